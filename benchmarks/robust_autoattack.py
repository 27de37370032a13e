"""MNIST within ε = 0.3: what AutoAttack leaves, and what PGD leaves of the same held-out images.

The models are those of `robust_mnist.py`, which are trained here where they are not there yet, and the PGD is its PGD.
AutoAttack is its authors' (pyautoattack), in the standard version: APGD on the cross-entropy, then APGD and FAB towards
nine classes each and Square with 5,000 queries, each on what those before it left. Images are attacked in parts, whose
results lie in the run's folder, so that a stopped benchmark goes on. Intervals are over seeds, all on the same images;
of one seed, Wilson's over images. What the masking alarm says of these models stands in `robust_mnist.json`.

MNIST is found where the variable SPARRING_DATA says.
"""

from __future__ import annotations

import json
from typing import Any

import record
import torch
from pyautoattack import AutoAttack
from rich.progress import track
from robust_mnist import ATTACKS, arguments, asked, over_runs, restored, title, trained
from torch import nn

from sparring.adversarial.attacks import reads
from sparring.agents import statistics
from sparring.envs.files import write_aside
from sparring.runners import siege
from sparring.runners.folder import RunFolder
from sparring.runners.siege import Stood

PART = 100  # images
TRAINED = ("fgsm_rs", "pgd_training", "trades")
SOURCE = "auto-attack, README: standard version, 10,000 images"
PUBLISHED = {
    "fgsm_rs_autoattack": {"value": 0.8293, "source": f"{SOURCE}, one step in every round, no ramp"},
    "pgd_training_autoattack": {"value": 0.8850, "source": f"{SOURCE}, a larger network"},
    "trades_autoattack": {"value": 0.9281, "source": f"{SOURCE}, a larger network"},
}


def autoattack(model: nn.Module, epsilon: float, briefly: bool) -> AutoAttack:
    """Its standard version; briefly, its first attack."""
    brief = {"version": "custom", "attacks": ["apgd-ce"]} if briefly else {}
    return AutoAttack(model, eps=epsilon, seed=0, device=next(model.parameters()).device, **brief)


def left(run: RunFolder, method: str, samples: int, briefly: bool) -> dict[str, Stood]:
    """What is left of a run's accuracy by either, or was found to be."""
    subject, update, job = restored(run)
    model = subject.model.to(job.device).eval()
    [options] = asked(method, run.path, samples, briefly)
    attack = siege.attack_of(options, subject.attack)
    right = {"clean": 0, "pgd": 0, "autoattack": 0}
    for first in track(range(0, samples, PART), f"{run.path}", transient=True):
        part = slice(first, min(first + PART, samples))
        path = run.path / siege.FOLDER / f"{update:08d}-autoattack-{title(options)}-{part.start}-{part.stop}.json"
        if not path.exists():
            x, y = (some[part].to(job.device) for some in subject.domain.test)
            theirs, _ = autoattack(model, attack.ball.epsilon, briefly).run_standard_evaluation(x, y, batch_size=PART)
            ours = attack(model, x, y, torch.Generator(job.device).manual_seed(first))
            made = {"clean": x, "pgd": ours, "autoattack": theirs}
            found = {name: int((reads(model, images) == y).sum()) for name, images in made.items()}
            path.parent.mkdir(exist_ok=True)
            write_aside(path, (json.dumps(found) + "\n").encode())
        for name, count in json.loads(path.read_text()).items():
            right[name] += count
    return {name: Stood(*statistics.rate(count, samples)) for name, count in right.items()}


def main() -> None:
    options = arguments(__doc__, 300, TRAINED)
    figures: dict[str, Any] = {}
    for name in options.methods:
        sweep = trained(name, options)
        found = [left(sweep.folder(seed), name, options.samples, bool(options.steps)) for seed in options.seeds]
        for attack in found[0]:
            figures[f"{name}_{attack}"] = over_runs([one[attack]._asdict() for one in found])
    record.write(
        "robust_autoattack",
        figures=figures,
        protocol={
            "ball": "linf 0.3",
            "samples": options.samples,
            "checkpoint": "last",
            "pgd": {name: ATTACKS[name] for name in options.methods},
            "autoattack": "standard version of pyautoattack",
        },
        seeds=options.seeds,
        notes="Published are all 10,000 images, here the first ones.",
        published={name: told for name, told in PUBLISHED.items() if name in figures},
        packages=["pyautoattack"],
    )


if __name__ == "__main__":
    main()
