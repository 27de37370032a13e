"""The small network for digits that adversarial training is judged by (Wong et al., ICLR 2020), and its natural twin.

The twin learns from clean images alone. What an attack finds on it and carries to another model is a transfer attack,
which needs no gradient of that model.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sparring.adversarial.data import Labelled
from sparring.adversarial.domains import Domain

STEPS, BATCH = 600, 128  # of the twin: some seconds
LARGE = 16  # pixels a side, from which on kernels are 4×4
KNOWN: dict[tuple[int, int], tuple[Tensor, nn.Module]] = {}  # by identity and width: images, which stay, and twin


def network(shape: tuple[int, ...], classes: int, width: int) -> nn.Sequential:
    """Two convolutions of stride 2 with `width` and twice as many channels, and two dense layers."""
    channels, side = shape[0], shape[-1]
    kernel = 4 if side >= LARGE else 3
    convolutions = nn.Sequential(
        nn.Conv2d(channels, width, kernel, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, kernel, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
    )
    with torch.no_grad():
        flat = convolutions(torch.zeros(1, *shape)).shape[1]
    return nn.Sequential(*convolutions, nn.Linear(flat, 100), nn.ReLU(), nn.Linear(100, classes))


def twin(domain: Domain, width: int = 16) -> nn.Module:
    """A network that learned from the domain's clean images, on the CPU; trained once a process, always the same.

    Every call gives a copy, which the caller may move to another device.
    """
    key = (id(domain.train.x), width)
    if key not in KNOWN:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = network(domain.shape, domain.classes, width)
        KNOWN[key] = domain.train.x, taught(model, domain.train)
    return copy.deepcopy(KNOWN[key][1])


def taught(model: nn.Module, images: Labelled) -> nn.Module:
    """The model after `STEPS` of Adam on clean images."""
    dice = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(STEPS):
        x, y = batch(images, dice)
        loss = cross_entropy(model(x), y)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return model.eval()


def batch(images: Labelled, dice: torch.Generator) -> tuple[Tensor, Tensor]:
    """Any of them."""
    rows = torch.randint(len(images.x), (BATCH,), generator=dice)
    return images.x[rows], images.y[rows]
