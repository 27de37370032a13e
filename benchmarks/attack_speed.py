"""How fast PGD is: steps of one image a second, beside ART and torchattacks where they are installed.

All attack the same network (that of `sparring train robust`, trained on clean images of MNIST) on the same held-out
images with the same steps from a random point, in alternating turns; medians over turns. Ours looks at every point and
keeps the best one, the others keep the last; `_loss` is the mean loss that each reaches, so that one sees that they do
the same work. torchattacks is compared where somebody installed it: its releases end in 2023 and ask for requests 2.25
and torchvision, which would replace this environment's requests and torch. Its PGD needs neither, so that
`pip install --no-deps torchattacks` will do.

MNIST is found where the variable SPARRING_DATA says.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
from collections.abc import Callable
from time import perf_counter

import numpy as np
import record
import torch
from torch import Tensor, nn

from sparring.adversarial import attacks, convnet, robust
from sparring.adversarial.attacks import Attack, Ball
from sparring.adversarial.domains import Domain

WIDTH = 16
EPSILON, STEP = 0.3, 0.05
PACKAGES = {"art": "adversarial-robustness-toolbox", "torchattacks": "torchattacks"}
Method = Callable[[Tensor, Tensor], Tensor]


def contenders(model: nn.Module, domain: Domain, steps: int, installed: list[str]) -> dict[str, Method]:
    """Each from images and labels to attacked images."""
    attack = Attack("climb", Ball(EPSILON), steps=steps, step=STEP / EPSILON)
    found: dict[str, Method] = {"ours": lambda x, y: attack(model, x, y, torch.Generator().manual_seed(0))}
    if "art" in installed:
        from art.attacks.evasion import ProjectedGradientDescentPyTorch
        from art.estimators.classification import PyTorchClassifier

        known = PyTorchClassifier(
            model,
            nn.CrossEntropyLoss(),
            input_shape=domain.shape,
            nb_classes=domain.classes,
            clip_values=(0.0, 1.0),
            device_type="cpu",
        )
        theirs = ProjectedGradientDescentPyTorch(
            known, eps=EPSILON, eps_step=STEP, max_iter=steps, num_random_init=1, batch_size=10**6, verbose=False
        )
        found["art"] = lambda x, y: torch.from_numpy(theirs.generate(x.numpy(), y.numpy()))
    if "torchattacks" in installed:
        import torchattacks

        found["torchattacks"] = torchattacks.PGD(model, eps=EPSILON, alpha=STEP, steps=steps)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    mnist = robust.images_of("mnist", "")
    model = convnet.twin(mnist, WIDTH)
    x, y = (part[: options.images] for part in mnist.test)
    installed = [name for name in PACKAGES if importlib.util.find_spec(name)]
    methods = contenders(model, mnist, options.steps, installed)
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    figures: dict[str, float] = {}
    for turn in range(options.turns + 1):  # the first warms up
        for name, method in methods.items():
            start = perf_counter()
            moved = method(x, y)
            if turn:
                seconds[name].append(perf_counter() - start)
            figures[f"{name}_loss"] = float(attacks.loss(attacks.logits_of(model, moved), y).mean())
    for name, taken in seconds.items():
        figures[f"{name}_steps_per_s"] = options.images * options.steps / float(np.median(taken))
    for name in installed:
        figures[f"over_{name}"] = figures["ours_steps_per_s"] / figures[f"{name}_steps_per_s"]
    record.write(
        "attack_speed",
        figures=figures,
        protocol={
            "images": options.images,
            "steps": options.steps,
            "turns": options.turns,
            "threads": options.threads,
            "ball": f"linf {EPSILON}",
            "step": STEP,
            "network": f"convnet, width {WIDTH}, {list(mnist.shape)}, clean training",
        },
        seeds=[0],
        notes=f"Not installed: {', '.join(PACKAGES.keys() - set(installed)) or 'none'}.",
        packages=[PACKAGES[name] for name in installed],
    )


if __name__ == "__main__":
    main()
