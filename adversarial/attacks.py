"""Attacks: small changes of an input that make a classifier err.

An attack moves x inside a ball ‖δ‖ ≤ ε, and x + δ stays an image, in [0, 1]. With L the cross-entropy of the logits
(or, towards a target class, minus that of the target) and Π the projection onto ball and image:

    fgsm        δ = Π(ε sign ∇L(x))                                                Goodfellow et al., ICLR 2015
    fgsm-rs     δ₀ uniform in the ball, δ = Π(δ₀ + α sign ∇L(x + δ₀)), α = 1.25 ε  Wong et al., ICLR 2020
    r+fgsm      δ₀ = ε/2 sign of a normal draw, δ = Π(δ₀ + ε/2 sign ∇L(x + δ₀))    Tramèr et al., ICLR 2018
    pgd         δ ← Π(δ + α sign ∇L(x + δ)), many steps and restarts; the best
                point counts                                                       Madry et al., ICLR 2018
    random      the best of many random corners of the ball, without a gradient
    square      random squares are changed, and stay where they help; no gradient  after Andriushchenko et al., 2020
    universal   one δ for all inputs, by gradient steps over batches               after Moosavi-Dezfooli et al., 2017

In the Euclidean ball the sign is replaced by the gradient's direction. Against another model than it was made for, an
attacked image is a transfer attack.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sparring.envs.errors import BadInputError, check_ranges

Norm = Literal["linf", "l2"]
SMALL = 1e-12


@dataclass(frozen=True)
class Ball:
    """Where an attack may go."""

    epsilon: float
    norm: Norm = "linf"

    def __post_init__(self) -> None:
        if self.norm not in ("linf", "l2"):
            raise BadInputError(f"norm is {self.norm!r}; it can be linf or l2")
        most = 1.0 if self.norm == "linf" else 1e6
        check_ranges(self, epsilon=(0, most))

    def project(self, delta: Tensor, x: Tensor) -> Tensor:
        """The nearest δ [B, …] of the ball whose x + δ is an image; in the Euclidean ball, nearly the nearest.

        The image's range is a box around x, so that cutting to it last never leaves the ball.
        """
        if self.norm == "linf":
            delta = delta.clamp(-self.epsilon, self.epsilon)
        else:
            norms = norms_of(delta)
            delta = delta * (self.epsilon / norms.clamp(min=SMALL)).clamp(max=1)
        inside: Tensor = (x + delta).clamp(0, 1) - x
        return inside

    def direction(self, gradient: Tensor) -> Tensor:
        """The steepest way of length 1 in the ball's norm."""
        steepest: Tensor = gradient.sign() if self.norm == "linf" else gradient / norms_of(gradient).clamp(min=SMALL)
        return steepest

    def anywhere(self, x: Tensor, dice: torch.Generator) -> Tensor:
        """A random δ, uniform in the ball before it is cut to the image."""
        if self.norm == "linf":
            delta = (2 * torch.rand(x.shape, generator=dice, device=x.device) - 1) * self.epsilon
        else:
            delta = self.direction(torch.randn(x.shape, generator=dice, device=x.device))
            radius = torch.rand(len(x), generator=dice, device=x.device) ** (1 / x[0].numel())
            delta = delta * self.epsilon * radius.view(-1, *[1] * (x.dim() - 1))
        return self.project(delta, x)


def norms_of(some: Tensor) -> Tensor:
    """Euclidean norms [B, 1, …]."""
    return torch.linalg.vector_norm(some.flatten(1), dim=1).view(-1, *[1] * (some.dim() - 1))


def check(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """Refuse what cannot be attacked soundly.

    Raises:
        BadInputError: the model is in training mode, or x are no images in [0, 1] with labels [B].
    """
    if model.training:
        raise BadInputError(
            "the model is in training mode, where it answers otherwise than when it is used; call .eval()"
        )
    if len(x) != len(y):
        raise BadInputError(f"there are {len(x)} images and {len(y)} labels; each image has one")
    if not torch.isfinite(x).all():
        raise BadInputError(f"{int((~torch.isfinite(x)).sum())} pixels of {x.numel()} are not finite")
    low, high = float(x.min()), float(x.max())
    if low < 0 or high > 1:
        raise BadInputError(f"pixels lie between {low:g} and {high:g}; attacks take images in [0, 1]")


def losses(model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None) -> Tensor:
    """What an attack raises [B]: from logits, never from a softmax that may have saturated."""
    logits = model(x)
    return (
        cross_entropy(logits, y, reduction="none")
        if target is None
        else -cross_entropy(logits, target, reduction="none")
    )


def slope(model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """∇ₓL [B, …]."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        (found,) = torch.autograd.grad(losses(model, x, y, target).sum(), [x])
    return found


@torch.no_grad()
def reads(model: nn.Module, x: Tensor) -> Tensor:
    """The classes [B] that a model sees."""
    logits: Tensor = model(x)
    return logits.argmax(1)


@dataclass(frozen=True)
class Attack:
    """Settings of an attack; calling it attacks."""

    name: Literal["fgsm", "fgsm-rs", "r+fgsm", "pgd", "random", "square"] = "pgd"
    ball: Ball = Ball(0.3)
    steps: int = 40
    """of pgd; tries of random and square"""
    step: float = 0.0
    """α in units of ε; 0: 1.25 for fgsm-rs, 2.5 / steps for pgd"""
    restarts: int = 1
    """beginnings of pgd, each from a random point"""

    def __post_init__(self) -> None:
        check_ranges(self, steps=(1, 10**6), step=(0, 1e3), restarts=(1, 10**4))

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, dice: torch.Generator, target: Tensor | None = None
    ) -> Tensor:
        """Attacked images [B, …] in [0, 1]; `target` classes [B], where the attack has any.

        Raises:
            BadInputError: see `check`.
        """
        check(model, x, y)
        if self.ball.epsilon == 0:
            return x.clone()
        return x + WAYS[self.name](self, model, x, y, dice, target)

    @property
    def alpha(self) -> float:
        """α."""
        usual = {"fgsm-rs": 1.25, "pgd": max(2.5 / self.steps, 0.01)}.get(self.name, 1.0)
        return (self.step or usual) * self.ball.epsilon


Way = Callable[[Attack, nn.Module, Tensor, Tensor, torch.Generator, Tensor | None], Tensor]


def one_step(a: Attack, model: nn.Module, x: Tensor, y: Tensor, start: Tensor, size: float, t: Tensor | None) -> Tensor:
    """From δ₀ one step."""
    return a.ball.project(start + size * a.ball.direction(slope(model, x + start, y, t)), x)


def fgsm(a: Attack, model: nn.Module, x: Tensor, y: Tensor, dice: torch.Generator, t: Tensor | None) -> Tensor:
    """From the image itself."""
    return one_step(a, model, x, y, torch.zeros_like(x), a.ball.epsilon, t)


def fgsm_rs(a: Attack, model: nn.Module, x: Tensor, y: Tensor, dice: torch.Generator, t: Tensor | None) -> Tensor:
    """From a random point of the ball."""
    return one_step(a, model, x, y, a.ball.anywhere(x, dice), a.alpha, t)


def r_fgsm(a: Attack, model: nn.Module, x: Tensor, y: Tensor, dice: torch.Generator, t: Tensor | None) -> Tensor:
    """Half the way at random."""
    noise = torch.randn(x.shape, generator=dice, device=x.device)
    start = a.ball.project(a.ball.epsilon / 2 * a.ball.direction(noise), x)
    return one_step(a, model, x, y, start, a.ball.epsilon / 2, t)


class Best:
    """The worst point so far, for every image: one that is misread beats one that is not, then the higher loss."""

    def __init__(self, model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None) -> None:
        self.model, self.x, self.y, self.target = model, x, y, target
        self.delta = torch.zeros_like(x)
        self.loss, self.done = self._judged(self.delta)

    @torch.no_grad()
    def _judged(self, delta: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.model(self.x + delta)
        wanted = self.y if self.target is None else self.target
        loss = cross_entropy(logits, wanted, reduction="none") * (1 if self.target is None else -1)
        hit = logits.argmax(1) != self.y if self.target is None else logits.argmax(1) == self.target
        return loss, hit

    def take(self, delta: Tensor) -> None:
        """Look at other points [B, …], and keep those that are worse for the model."""
        loss, done = self._judged(delta)
        better = (done & ~self.done) | ((done == self.done) & (loss > self.loss))
        self.delta = torch.where(better.view(-1, *[1] * (delta.dim() - 1)), delta, self.delta)
        self.loss, self.done = torch.where(better, loss, self.loss), self.done | done


def pgd(a: Attack, model: nn.Module, x: Tensor, y: Tensor, dice: torch.Generator, t: Tensor | None) -> Tensor:
    """FGSM, then many steps from random points, for the images that are still read rightly."""
    best = Best(model, x, y, t)
    best.take(fgsm(a, model, x, y, dice, t))
    for _ in range(a.restarts):
        rows = torch.nonzero(~best.done)[:, 0]
        if not len(rows):
            break
        some, labels, wanted = x[rows], y[rows], None if t is None else t[rows]
        found = Best(model, some, labels, wanted)
        delta = a.ball.anywhere(some, dice)
        for _ in range(a.steps):
            delta = one_step(a, model, some, labels, delta, a.alpha, wanted)
            found.take(delta)
        whole = best.delta.clone()
        whole[rows] = found.delta
        best.take(whole)
    return best.delta


def at_random(a: Attack, model: nn.Module, x: Tensor, y: Tensor, dice: torch.Generator, t: Tensor | None) -> Tensor:
    """The worst of many random corners of the ball."""
    best = Best(model, x, y, t)
    for _ in range(a.steps):
        noise = torch.randn(x.shape, generator=dice, device=x.device)
        best.take(a.ball.project(a.ball.epsilon * a.ball.direction(noise), x))
    return best.delta


def square(a: Attack, model: nn.Module, x: Tensor, y: Tensor, dice: torch.Generator, t: Tensor | None) -> Tensor:
    """Begin with stripes; a square of random size, place and sign in every channel stays if it helps.

    For the maximum norm; in the Euclidean ball it is projected.
    """
    best = Best(model, x, y, t)
    _, channels, height, width = x.shape
    stripes = torch.randint(2, (len(x), channels, 1, width), generator=dice, device=x.device) * 2.0 - 1
    best.take(a.ball.project(a.ball.epsilon * stripes.expand_as(x), x))
    for step in range(a.steps):
        share = 0.5 * (1 - step / a.steps) ** 2 + 0.01
        side = max(1, min(round((share * height * width) ** 0.5), height, width))
        top = int(torch.randint(height - side + 1, (1,), generator=dice, device=x.device))
        left = int(torch.randint(width - side + 1, (1,), generator=dice, device=x.device))
        signs = torch.randint(2, (len(x), channels, 1, 1), generator=dice, device=x.device) * 2.0 - 1
        delta = best.delta.clone()
        delta[:, :, top : top + side, left : left + side] = a.ball.epsilon * signs
        best.take(a.ball.project(delta, x))
    return best.delta


WAYS: dict[str, Way] = {
    "fgsm": fgsm,
    "fgsm-rs": fgsm_rs,
    "r+fgsm": r_fgsm,
    "pgd": pgd,
    "random": at_random,
    "square": square,
}


def universal(
    model: nn.Module, x: Tensor, y: Tensor, ball: Ball, *, steps: int, batch: int, dice: torch.Generator
) -> Tensor:
    """One δ [1, …] for all images, by steps of ε / 10 along the gradient of batches' mean loss."""
    check(model, x, y)
    delta = torch.zeros_like(x[:1])
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,), generator=dice, device=x.device)
        up = slope(model, (x[rows] + delta).clamp(0, 1), y[rows]).mean(0, keepdim=True)
        delta = delta + ball.epsilon / 10 * ball.direction(up)
        delta = (
            delta.clamp(-ball.epsilon, ball.epsilon)
            if ball.norm == "linf"
            else delta * min(1.0, ball.epsilon / max(float(delta.norm()), SMALL))
        )
    return delta
