"""The form in which every benchmark writes what it found: benchmarks/results/<claim>.json."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sparring.runners import process

process.prepare()  # as the command line does, before torch loads

import numpy as np  # noqa: E402
import torch  # noqa: E402

from sparring.agents import statistics  # noqa: E402
from sparring.envs.files import write_aside  # noqa: E402
from sparring.runners.job import cores, processor  # noqa: E402

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "numpy", "gymnasium", "ale-py", "stable-baselines3")


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """A figure made of one number a seed: their mean and, of two seeds or more, its 95 % bootstrap interval."""
    bounds = statistics.estimate(values).interval if len(values) > 1 else ()
    return {
        "mean": float(np.mean(values)),
        **dict(zip(("low", "high"), bounds, strict=False)),
        "n": len(values),
        "per_seed": [float(value) for value in values],
    }


def write(
    claim: str,
    *,
    figures: Mapping[str, Any],
    protocol: Mapping[str, Any],
    seeds: Sequence[int],
    notes: str,
    published: Mapping[str, Any] | None = None,
    packages: Sequence[str] = (),
) -> Path:
    """Write a claim's result with the command, versions (of these packages too) and hardware that it came from."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    record = {
        "claim": claim,
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "date": f"{datetime.date.today():%Y-%m-%d}",
        "hardware": {"processor": processor(), "cores": cores(), "gpu": torch.cuda.is_available()},
        "omp_wait_policy": os.environ["OMP_WAIT_POLICY"],
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in (*PACKAGES, *packages)},
        },
        "commit": commit.stdout.strip(),
        "protocol": protocol,
        "seeds": list(seeds),
        "figures": figures,
        "published": published or {},
        "notes": notes,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{claim}.json"
    write_aside(path, (json.dumps(record, indent=2) + "\n").encode())
    print(f"wrote {path}")
    return path
