"""Sheets: a generator's samples, with all that made them, so that they can be made again and compared.

A sheet is to a generator what an episode is to an agent. It holds latents, labels and the weights of the game; from
these the algorithm that it names makes the samples once more. On the machine and the number of threads where they were
made they come out bit for bit; another processor adds in another order, and then the largest difference is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sparring.envs.episodes import EpisodeError, Verdict, pack, unpack
from sparring.envs.worlds import Array

SHEET = "sheet"  # the kind of episode that this module reads
TOLERANCE = 1e-3  # largest difference, in units of the data, that another order of additions can explain
WEIGHTS = "weights/"  # before a weight's name, in the file
ARRAYS = ("latents", "labels", "samples")


@dataclass(frozen=True)
class Sheet:
    """Samples that a generator drew at one moment of its training."""

    algorithm: str  # whose module makes them again
    config: Mapping[str, Any]  # its Config, as JSON holds it
    step: int
    metrics: Mapping[str, float]  # what the evaluation found at that moment
    threads: int  # that computed them
    latents: Array  # [N, Z] float32
    labels: Array  # [N] int64; [0] where there are none
    samples: Array  # [N, *shape], as they were made
    weights: Mapping[str, Array]  # of the whole game, by name
    checksum: int = 0  # of the file without which samples mean nothing; 0 where there is none

    @property
    def label(self) -> str:
        """What its file is called."""
        return f"samples{len(self.samples)}"

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        header = {
            "kind": SHEET,
            "algorithm": self.algorithm,
            "config": dict(self.config),
            "step": self.step,
            "metrics": dict(self.metrics),
            "threads": self.threads,
            "checksum": self.checksum,
        }
        weights = {f"{WEIGHTS}{name}": weight for name, weight in self.weights.items()}
        pack(path, header, {**{name: getattr(self, name) for name in ARRAYS}, **weights})

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The weights as tensors."""
        return {name: torch.from_numpy(weight) for name, weight in self.weights.items()}


def load(path: Path) -> Sheet:
    """Read a sheet.

    Raises:
        EpisodeError: the file is missing, no sheet, damaged, or of another version.
    """
    header, arrays = unpack(path)
    weights = {name.removeprefix(WEIGHTS): one for name, one in arrays.items() if name.startswith(WEIGHTS)}
    try:
        sheet = Sheet(
            header["algorithm"],
            header["config"],
            header["step"],
            header["metrics"],
            header["threads"],
            arrays["latents"],
            arrays["labels"],
            arrays["samples"],
            weights,
            header.get("checksum", 0),
        )
    except KeyError as error:
        raise EpisodeError(f"{path} is not a sheet of samples, or it is damaged: it has no {error}") from None
    if not len(sheet.samples) or len(sheet.latents) != len(sheet.samples):
        raise EpisodeError(f"{path} is damaged: {len(sheet.latents)} latents and {len(sheet.samples)} samples")
    return sheet


def compare(sheet: Sheet, again: Array) -> Verdict:
    """What making the samples [N, *shape] `again` showed; `step` is the first sample that differs."""
    count = len(sheet.samples)
    if again.shape != sheet.samples.shape:
        return Verdict(0, f"samples of shape {again.shape[1:]} instead of {sheet.samples.shape[1:]}")
    if np.array_equal(again, sheet.samples):
        return Verdict(None, f"{count} samples, bit for bit as recorded")
    apart = np.abs(again - sheet.samples).reshape(count, -1).max(1)
    if not apart.max() <= TOLERANCE:
        first = int(np.argmax(~(apart <= TOLERANCE)))
        return Verdict(first, f"sample {first} differs by {apart[first]:.3g}")
    return Verdict(None, f"{count} samples as recorded, to {apart.max():.1g}: this processor adds in another order")
