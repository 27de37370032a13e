"""Checkpoint files: a digest, then tensors and plain values; written aside, synced, renamed.

A file is one header line `sparring checkpoint 1 <sha256>` and torch's own archive after it. A file that was cut short
or altered fails its digest and is named; nothing in it can run code (`weights_only`).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sparring.envs.errors import BadInputError, DivergedError
from sparring.envs.files import write_aside

MAGIC = b"sparring checkpoint 1 "


class CheckpointError(BadInputError):
    """A file that is no checkpoint of ours, or a damaged one; the message names it and says what to do."""


def check_finite(state: Any, name: str = "") -> None:
    """Look through nested dicts and lists for a tensor that is worth nothing.

    Raises:
        DivergedError: names the first one.
    """
    if isinstance(state, Mapping):
        for key, value in state.items():
            check_finite(value, f"{name}.{key}" if name else str(key))
    elif isinstance(state, list | tuple):
        for number, value in enumerate(state):
            check_finite(value, f"{name}.{number}")
    elif isinstance(state, torch.Tensor) and not torch.isfinite(state).all():
        raise DivergedError(
            f"{name} holds numbers that are not finite, so it is not saved; the last checkpoint is good"
        )


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Save a state of tensors and plain values."""
    archive = io.BytesIO()
    torch.save(dict(state), archive)
    content = archive.getvalue()
    write_aside(path, MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def read(path: Path) -> dict[str, Any]:
    """Load what `write` saved, on the CPU.

    Raises:
        CheckpointError: the file is missing, of another format, cut short, altered, or would run code.
    """
    try:
        header, _, content = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror}") from None
    if not header.startswith(MAGIC):
        raise CheckpointError(f"{path} is not a checkpoint that this version reads (it starts with {header[:30]!r})")
    if hashlib.sha256(content).hexdigest().encode() != header[len(MAGIC) :]:
        raise CheckpointError(
            f"{path} was cut short or altered: its digest does not fit; move it away to resume from an older one"
        )
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # its digest fits, so somebody made it so: torch names what it would not build
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CheckpointError(f"{path} holds more than tensors and plain values, and is not read: {reason}") from None
    return state
