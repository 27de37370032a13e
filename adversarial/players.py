"""The networks that play: generators from latents to samples, discriminators from samples to logits.

Points go through an MLP, and so do small images (up to 8×8); larger ones go through convolutions that halve, or double,
their sides. A discriminator may look at several samples at once (packing, Lin et al. 2018), compare those
of a batch (mini-batch discrimination, Salimans et al. 2016), be bounded in slope (spectral normalisation, Miyato et al.
2018) and be told a class (projection, Miyato & Koyama 2018, or concatenation, Mirza & Osindero 2014).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.nn.utils.parametrizations import spectral_norm

from sparring.adversarial.data import Labelled
from sparring.envs.errors import BadInputError

Activation = Literal["relu", "leaky-relu"]
Conditioning = Literal["none", "projection", "concatenation"]
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": lambda: nn.LeakyReLU(0.2),
}
SMALL_SIDE = 8  # pixels: images up to this go through an MLP
GROUPS = 8  # of channels that are normalised together
COMPARED = (16, 8)  # mini-batch discrimination: features B, each of C numbers


def is_small(shape: tuple[int, ...]) -> bool:
    """Whether samples of this shape are better flat."""
    return len(shape) == 1 or max(shape[1:]) <= SMALL_SIDE


def mlp(sides: list[int], activation: Callable[[], nn.Module]) -> list[nn.Module]:
    """Linear layers between `sides`, each followed by the activation."""
    return [layer for a, b in pairwise(sides) for layer in (nn.Linear(a, b), activation())]


def halvings(shape: tuple[int, ...]) -> list[int]:
    """The sides of images [C, H, W] that are halved until they are odd or at most 4: 28×28 → [28, 14, 7].

    Raises:
        BadInputError: they are no squares of an even side.
    """
    _, height, width = shape
    if height != width or width % 2:
        raise BadInputError(
            f"images are {height}×{width}; networks for more than {SMALL_SIDE}×{SMALL_SIDE} pixels halve their sides, "
            "which must be equal and even: crop or pad them"
        )
    sides = [width]
    while sides[-1] % 2 == 0 and sides[-1] > 4:
        sides.append(sides[-1] // 2)
    return sides


def channels_of(width: int, count: int) -> list[int]:
    """Channels of the convolutions from the image inwards: an eighth of an MLP's width, twice as many each time."""
    first = max(width // 8 // GROUPS, 1) * GROUPS
    return [first * 2**number for number in range(count)]


class Generator(nn.Module):
    """Latents [B, Z] and, where it is conditional, classes [B] → samples [B, *shape]."""

    def __init__(
        self,
        latent: int,
        shape: tuple[int, ...],
        *,
        width: int,
        depth: int,
        activation: Activation = "relu",
        scale: float = 1.0,
        classes: int = 0,
    ) -> None:
        """`scale` multiplies points; `classes` 0 makes it unconditional."""
        super().__init__()
        self.classes = classes
        self.scale = scale
        self.shape = shape
        act = ACTIVATIONS[activation]
        if is_small(shape):
            hidden = mlp([latent + classes, *[width] * depth], act)
            out = [nn.Linear(width, prod(shape)), *([nn.Tanh()] if len(shape) > 1 else [])]
            self.layers = nn.Sequential(*hidden, *out)
        else:
            sides = halvings(shape)
            channels = channels_of(width, len(sides) - 1)
            first = nn.Linear(latent + classes, 2 * channels[-1] * sides[-1] ** 2)
            layers: list[nn.Module] = [first, nn.Unflatten(1, (2 * channels[-1], sides[-1], sides[-1]))]
            for many, fewer in zip([2 * channels[-1], *channels[:0:-1]], channels[::-1], strict=True):
                layers += [nn.GroupNorm(GROUPS, many), act(), nn.ConvTranspose2d(many, fewer, 4, stride=2, padding=1)]
            layers += [
                nn.GroupNorm(GROUPS, channels[0]),
                act(),
                nn.Conv2d(channels[0], shape[0], 3, padding=1),
                nn.Tanh(),
            ]
            self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor, classes: Tensor) -> Tensor:
        """As the class says; `classes` are ignored by an unconditional one."""
        if self.classes:
            latents = torch.cat([latents, one_hot(classes, self.classes).to(latents)], 1)
        made: Tensor = self.layers(latents)
        return self.scale * made.view(-1, *self.shape)


class Comparison(nn.Module):
    """Features [B, F] → [B, F + 16]: how near each sample's projections are to those of the others in its batch.

    o_b(x_i) = Σ_j exp(−‖M_ib − M_jb‖₁),  M_i = T f(x_i) ∈ ℝ^{16×8}         Salimans et al. 2016, section 3.2
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.project = nn.Linear(features, prod(COMPARED), bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Concatenate what the comparison says."""
        projected = self.project(features).view(-1, *COMPARED)
        apart = (projected[:, None] - projected[None]).abs().sum(3)  # [B, B, 16]
        return torch.cat([features, torch.exp(-apart).sum(1) - 1], 1)


class Discriminator(nn.Module):
    """Samples [B, *shape], and classes [B] where it is told them → logits [B / pack]: large is real."""

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        width: int,
        depth: int,
        activation: Activation = "leaky-relu",
        scale: float = 1.0,
        pack: int = 1,
        classes: int = 0,
        conditioning: Conditioning = "none",
        compare: bool = False,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        if conditioning != "none" and pack > 1:
            raise BadInputError(
                f"pack is {pack} and conditioning {conditioning}; a pack has no one class: use --pack 1"
            )
        self.pack = pack
        self.scale = scale
        self.shape = shape
        self.classes = classes if conditioning == "concatenation" else 0
        bounded = spectral_norm if spectral else nn.Identity()
        act = ACTIVATIONS[activation]
        if is_small(shape):
            layers: list[nn.Module] = [nn.Flatten(), *mlp([pack * prod(shape) + self.classes, *[width] * depth], act)]
            features = width
        else:
            sides = halvings(shape)
            channels = [pack * shape[0] + self.classes, *channels_of(width, len(sides) - 1)]
            layers = [one for a, b in pairwise(channels) for one in (nn.Conv2d(a, b, 4, stride=2, padding=1), act())]
            features = channels[-1] * sides[-1] ** 2
            layers.append(nn.Flatten())
        self.features = nn.Sequential(*(bounded(one) if hasattr(one, "weight") else one for one in layers))
        self.compare = Comparison(features) if compare else None
        self.head = bounded(nn.Linear(features + (COMPARED[0] if compare else 0), 1))
        self.embedding = bounded(nn.Embedding(classes, features)) if conditioning == "projection" else None

    def forward(self, samples: Tensor, classes: Tensor) -> Tensor:
        """As the class says; `classes` are ignored by an unconditional one."""
        x = samples / self.scale
        x = x.reshape(len(x) // self.pack, self.pack * x.shape[1], *x.shape[2:])
        if self.classes:
            told = one_hot(classes, self.classes).to(x)
            x = torch.cat([x.flatten(1), told], 1) if is_small(self.shape) else torch.cat([x, planes(told, x)], 1)
        features = self.features(x)
        logits = self.head(features if self.compare is None else self.compare(features))[:, 0]
        if self.embedding is not None:
            logits = logits + (self.embedding(classes) * features).sum(1)
        return torch.as_tensor(logits)


@torch.no_grad()
def asked(discriminator: nn.Module, some: Labelled, batch: int) -> Tensor:
    """Logits [N / pack], on the CPU, of samples that D sees so many at a time: it may compare those of a batch."""
    device = next(discriminator.parameters()).device
    parts = zip(torch.split(some.x, batch), torch.split(some.y, batch), strict=True)
    return torch.cat([discriminator(x.to(device), y.to(device)).cpu() for x, y in parts])


def planes(told: Tensor, images: Tensor) -> Tensor:
    """[B, K] as K channels of the images' size."""
    return told[:, :, None, None].expand(-1, -1, *images.shape[2:])


def seeded(build: Callable[[], nn.ModuleDict], seed: int) -> nn.ModuleDict:
    """Networks whose weights follow from `seed` alone, drawn on the CPU as torch draws them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
