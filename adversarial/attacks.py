"""Attacks: small changes of an input that make a classifier err.

An attack moves x inside a ball ‖δ‖ ≤ ε, and x + δ stays an image, in [0, 1]. With L the cross-entropy of the logits
(or, towards a target class, minus that of the target) and Π the projection onto ball and image:

    noise       δ uniform in the ball: the baseline
    fgsm        δ = Π(ε sign ∇L(x))                                                Goodfellow et al., ICLR 2015
    fgsm-rs     δ₀ uniform in the ball, δ = Π(δ₀ + α sign ∇L(x + δ₀)), α = 1.25 ε  Wong et al., ICLR 2020
                (x + δ₀ is not cut to an image first: see `robust`)
    r+fgsm      δ₀ = ε/2 sign of a normal draw, δ = Π(δ₀ + ε/2 sign ∇L(x + δ₀))    Tramèr et al., ICLR 2018
    climb       δ ← Π(δ + α sign ∇L(x + δ)) from random points, many steps and
                restarts; the best point on the way counts                         Madry et al., ICLR 2018
    pgd         fgsm, then climb: never weaker than fgsm on any image
    random      the best of many random corners of the ball, without a gradient
    square      squares are changed at random, and stay where they help; only
                the logits are asked for                                           after Andriushchenko et al., 2020
    universal   one δ for all inputs, by gradient steps over batches               after Moosavi-Dezfooli et al., 2017

What is climbed is −m, with m the lead of the class over all others: L = log(1 + exp(−m)) rises with it, so that both
have the same steepest way and the same order of points. But ∇L shrinks like exp(−m), and rounding leaves nothing of it
where a model is sure (through fp32's softmax from m ≈ 17 on): then an attack looks weaker than it is.

In the Euclidean ball the sign is replaced by the gradient's direction. Against another model than it was made for, an
attacked image is a transfer attack.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from sparring.adversarial.game import grad
from sparring.agents.protocol import Watch, unwatched
from sparring.envs.errors import BadInputError, check_ranges

Norm = Literal["linf", "l2"]
Name = Literal["noise", "fgsm", "fgsm-rs", "r+fgsm", "climb", "pgd", "random", "square"]
SMALL = 1e-12
FINEST = 0.01  # of ε: steps that are not told are no smaller
AT_A_TIME = 500  # images: bounds the memory of attacking many


# ---------------------------------------------------------------------------------------------- where an attack may go


@dataclass(frozen=True)
class Ball:
    """Where an attack may go."""

    epsilon: float
    norm: Norm = "linf"

    def __post_init__(self) -> None:
        if self.norm not in ("linf", "l2"):
            raise BadInputError(f"norm is {self.norm!r}; it can be linf or l2")
        check_ranges(self, epsilon=(0, 1 if self.norm == "linf" else inf))  # a pixel's range is 1

    def project(self, delta: Tensor, x: Tensor) -> Tensor:
        """The nearest δ [B, …] of the ball whose x + δ is an image; in the Euclidean ball, nearly the nearest.

        Both hold to the last bit for the largest change, and up to rounding for the Euclidean length: 0 lies in the
        image's range, so that cutting to it makes nothing longer.
        """
        if self.norm == "linf":
            return delta.clamp(-x.clamp(max=self.epsilon), (1 - x).clamp(max=self.epsilon))
        return self.shortened(delta).clamp(-x, 1 - x)

    def shortened(self, delta: Tensor) -> Tensor:
        """The nearest δ [B, …] of the ball, whatever the image."""
        if self.norm == "linf":
            return delta.clamp(-self.epsilon, self.epsilon)
        share: Tensor = (self.epsilon / norms_of(delta).clamp(min=SMALL)).clamp(max=1)
        return delta * share

    def direction(self, gradient: Tensor) -> Tensor:
        """The steepest way of length 1 in the ball's norm; nowhere, where a gradient is not finite or nothing."""
        if self.norm == "linf":
            return gradient.sign()  # which is 0 for what is no number
        norms = norms_of(gradient)
        return torch.where(norms.isfinite(), gradient / norms.clamp(min=SMALL), 0)

    def anywhere(self, x: Tensor, dice: torch.Generator) -> Tensor:
        """A random δ, uniform in the ball and then cut to the image."""
        return self.project(self.uniform(x, dice), x)

    def uniform(self, x: Tensor, dice: torch.Generator) -> Tensor:
        """A random δ, uniform in the ball; x + δ may be no image."""
        if self.norm == "linf":
            return (2 * torch.rand(x.shape, generator=dice, device=x.device) - 1) * self.epsilon
        radius = torch.rand(len(x), generator=dice, device=x.device) ** (1 / x[0].numel())
        return self.corner(x, dice) * radius.view(-1, *[1] * (x.dim() - 1))

    def corner(self, x: Tensor, dice: torch.Generator) -> Tensor:
        """A random δ as long as the ball allows: one of its corners, or a point of the sphere."""
        return self.epsilon * self.direction(torch.randn(x.shape, generator=dice, device=x.device))


def norms_of(some: Tensor) -> Tensor:
    """Euclidean norms [B, 1, …]."""
    norms: Tensor = torch.linalg.vector_norm(some.flatten(1), dim=1)
    return norms.view(-1, *[1] * (some.dim() - 1))


def check(model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None = None) -> None:
    """Refuse what cannot be attacked soundly.

    Raises:
        BadInputError: the model or a part of it is in training mode, there are no images, x are none in [0, 1], or
            labels, or targets, are not classes [B] of the model.
    """
    training = [name or "the model" for name, part in model.named_modules() if part.training]
    if training:
        raise BadInputError(
            f"{training[0]} is in training mode, where it answers otherwise than when it is used; call .eval()"
        )
    if x.dim() != 4 or not x.is_floating_point():
        raise BadInputError(f"images are {x.dtype} {list(x.shape)}; attacks take floating point [B, C, H, W]")
    given = {"labels": y} if target is None else {"labels": y, "targets": target}
    for name, classes in given.items():
        if len(x) != len(classes):
            raise BadInputError(f"there are {len(x)} images and {len(classes)} {name}; each image has one")
    if not len(x):
        raise BadInputError("there are 0 images; give an attack at least one")
    odd = int((~torch.isfinite(x)).sum())
    if odd:
        raise BadInputError(f"{odd} of {x.numel()} pixels are not finite; mend these images, or leave them out")
    low, high = float(x.min()), float(x.max())
    if low < 0 or high > 1:
        raise BadInputError(
            f"pixels lie between {low:g} and {high:g}; attacks take images in [0, 1]: scale them, and let the model "
            "normalise"
        )
    known = logits_of(model, x[:1]).shape[1]
    for name, classes in given.items():
        if int(classes.min()) < 0 or int(classes.max()) >= known:
            raise BadInputError(
                f"{name} lie between {int(classes.min())} and {int(classes.max())}, and the model knows {known} "
                f"classes, 0 to {known - 1}"
            )


# ---------------------------------------------------------------------------------------------- what an attack raises


def rise(logits: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """What an attack climbs [B]: −m, m = z_y − log Σ_{j ≠ y} exp(z_j); towards a target class, its m."""
    leads = y if target is None else target
    own = leads[:, None] == torch.arange(logits.shape[1], device=y.device)
    behind = (logits - logits.gather(1, leads[:, None])).masked_fill(own, -inf).logsumexp(1)
    return behind if target is None else -behind


def loss(logits: Tensor, y: Tensor) -> Tensor:
    """L [B]."""
    return softplus(rise(logits, y))


def looked(model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Logits [B, K] and the slope ∇ₓ(−m) [B, …], of one pass; a slope of 0 where the model has none."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(x)
        [slope] = grad(rise(logits, y, target).sum(), [x])
    return logits.detach(), slope


def slope(model: nn.Module, x: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """∇ₓ(−m) [B, …]."""
    return looked(model, x, y, target)[1]


@torch.no_grad()
def logits_of(model: nn.Module, x: Tensor) -> Tensor:
    """Logits [B, K]."""
    logits: Tensor = model(x)
    return logits


def reads(model: nn.Module, x: Tensor) -> Tensor:
    """The classes [B] that a model sees."""
    return logits_of(model, x).argmax(1)


class Best:
    """The worst δ so far for every image [B, …]: one that is misread beats one that is not, then the higher −m."""

    def __init__(self, x: Tensor, y: Tensor, target: Tensor | None) -> None:
        self.y, self.target = y, target
        self.delta = torch.zeros_like(x)
        self.height = torch.full((len(x),), -inf, device=x.device)
        self.done = torch.zeros(len(x), dtype=torch.bool, device=x.device)

    def take(self, rows: Tensor, delta: Tensor, logits: Tensor) -> None:
        """Look at other δ [R, …] of the images `rows` [R], and keep those that are worse for the model."""
        target = None if self.target is None else self.target[rows]
        height, read = rise(logits, self.y[rows], target), logits.argmax(1)
        done = read != self.y[rows] if target is None else read == target
        better = (done & ~self.done[rows]) | ((done == self.done[rows]) & (height > self.height[rows]))
        kept = rows[better]
        self.delta[kept], self.height[kept], self.done[kept] = delta[better], height[better], done[better]


# ---------------------------------------------------------------------------------------------- the attacks


@dataclass(frozen=True)
class Attack:
    """Settings of an attack; calling it attacks."""

    name: Name = "pgd"
    ball: Ball = Ball(0.3)
    steps: int = 40
    """of climb and pgd; tries of random and square"""
    step: float = 0.0
    """α in units of ε; 0: 1.25 for fgsm-rs, 2.5 / steps for climb and pgd"""
    restarts: int = 1
    """beginnings of climb and pgd, each from a random point"""

    def __post_init__(self) -> None:
        check_ranges(self, steps=(1, 10**6), step=(0, 1e3), restarts=(1, 10**4))

    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        dice: torch.Generator,
        target: Tensor | None = None,
        watch: Watch = unwatched,
    ) -> Tensor:
        """Attacked images [B, …] in [0, 1], made some at a time.

        Args:
            model: in evaluation mode; images → logits [B, K].
            x: images [B, C, H, W] in [0, 1].
            y: their classes [B].
            dice: for whatever is random.
            target: classes [B] that the attack aims at, if it does.
            watch: told how many images are attacked.

        Raises:
            BadInputError: see `check`.
        """
        check(model, x, y, target)
        made: list[Tensor] = []
        for first in range(0, len(x), AT_A_TIME):
            some = slice(first, first + AT_A_TIME)
            aims = None if target is None else target[some]
            made.append(x[some] + KINDS[self.name].make(self, model, x[some], y[some], dice, aims))
            watch(first + len(made[-1]), len(x))
        return torch.cat(made)

    @property
    def climbing(self) -> tuple[int, int]:
        """Steps and restarts; 1 and 1 of an attack that does not climb."""
        return (self.steps, self.restarts) if KINDS[self.name].uses == CLIMBING else (1, 1)

    @property
    def alpha(self) -> float:
        """α."""
        usual = {"fgsm-rs": 1.25, "climb": max(2.5 / self.steps, FINEST), "pgd": max(2.5 / self.steps, FINEST)}
        return (self.step or usual.get(self.name, 1.0)) * self.ball.epsilon


Way = Callable[[Attack, nn.Module, Tensor, Tensor, torch.Generator, Tensor | None], Tensor]


def noise(a: Attack, model: nn.Module, x: Tensor, y: Tensor, dice: torch.Generator, t: Tensor | None) -> Tensor:
    """Anywhere in the ball."""
    return a.ball.anywhere(x, dice)


def one_step(a: Attack, model: nn.Module, x: Tensor, y: Tensor, start: Tensor, size: float, t: Tensor | None) -> Tensor:
    """From δ₀ one step."""
    return a.ball.project(start + size * a.ball.direction(slope(model, x + start, y, t)), x)


def fgsm(a: Attack, model: nn.Module, x: Tensor, y: Tensor, dice: torch.Generator, t: Tensor | None) -> Tensor:
    """From the image itself."""
    return one_step(a, model, x, y, torch.zeros_like(x), a.ball.epsilon, t)


def fgsm_rs(a: Attack, model: nn.Module, x: Tensor, y: Tensor, dice: torch.Generator, t: Tensor | None) -> Tensor:
    """From a random point of the ball."""
    return one_step(a, model, x, y, a.ball.uniform(x, dice), a.alpha, t)


def r_fgsm(a: Attack, model: nn.Module, x: Tensor, y: Tensor, dice: torch.Generator, t: Tensor | None) -> Tensor:
    """Half the way at random."""
    start = a.ball.project(a.ball.corner(x, dice) / 2, x)
    return one_step(a, model, x, y, start, a.ball.epsilon / 2, t)


def climb(a: Attack, model: nn.Module, x: Tensor, y: Tensor, dice: torch.Generator, t: Tensor | None) -> Tensor:
    """Many steps from random points."""
    best = Best(x, y, t)
    climbed(a, model, x, best, dice)
    return best.delta


def pgd(a: Attack, model: nn.Module, x: Tensor, y: Tensor, dice: torch.Generator, t: Tensor | None) -> Tensor:
    """The best of one step and of many."""
    best = Best(x, y, t)
    at_once = fgsm(a, model, x, y, dice, t)
    best.take(torch.arange(len(x), device=x.device), at_once, logits_of(model, x + at_once))
    climbed(a, model, x, best, dice)
    return best.delta


def climbed(a: Attack, model: nn.Module, x: Tensor, best: Best, dice: torch.Generator) -> None:
    """Climb from random points, all images first, then again with those that are still read rightly."""
    rows = torch.arange(len(x), device=x.device)
    for _ in range(a.restarts):
        some, y, target = x[rows], best.y[rows], None if best.target is None else best.target[rows]
        delta = a.ball.anywhere(some, dice)
        for _ in range(a.steps):
            logits, up = looked(model, some + delta, y, target)
            best.take(rows, delta, logits)
            delta = a.ball.project(delta + a.alpha * a.ball.direction(up), some)
        best.take(rows, delta, logits_of(model, some + delta))
        rows = torch.nonzero(~best.done)[:, 0]
        if not len(rows):
            return


def at_random(a: Attack, model: nn.Module, x: Tensor, y: Tensor, dice: torch.Generator, t: Tensor | None) -> Tensor:
    """The worst of many corners."""
    best, rows = Best(x, y, t), torch.arange(len(x), device=x.device)
    for _ in range(a.steps):
        delta = a.ball.project(a.ball.corner(x, dice), x)
        best.take(rows, delta, logits_of(model, x + delta))
    return best.delta


def square(a: Attack, model: nn.Module, x: Tensor, y: Tensor, dice: torch.Generator, t: Tensor | None) -> Tensor:
    """Begin with stripes; a square stays if it helps, and squares get smaller.

    Every image has a square of its own place, and a sign for every channel (algorithms 1 and 2 of the paper), of the
    same size for all. For the largest change of a pixel; in the Euclidean ball what comes of it is projected.
    """
    best, rows = Best(x, y, t), torch.arange(len(x), device=x.device)
    _, channels, height, width = x.shape

    def signs(*sides: int) -> Tensor:
        return a.ball.epsilon * (torch.randint(2, sides, generator=dice, device=x.device) * 2.0 - 1)

    def span(side: int, length: int) -> Tensor:
        """Which of the rows, or columns, are an image's own `side` in a row [B, length]."""
        first = torch.randint(length - side + 1, (len(x), 1), generator=dice, device=x.device)
        places = torch.arange(length, device=x.device)
        return (first <= places) & (places < first + side)

    delta = signs(len(x), channels, 1, width).expand_as(x)
    for step in range(a.steps):
        delta = a.ball.project(delta, x)
        best.take(rows, delta, logits_of(model, x + delta))
        share = 0.5 * (1 - step / a.steps) ** 2 + 0.01
        side = max(1, min(round((share * height * width) ** 0.5), height, width))
        inside = span(side, height)[:, None, :, None] & span(side, width)[:, None, None, :]  # [B, 1, H, W]
        delta = torch.where(inside, signs(len(x), channels, 1, 1), best.delta)
    return best.delta


class Kind(NamedTuple):
    """How an attack is made, and what of its settings it uses, beside its ball."""

    make: Way
    uses: tuple[str, ...] = ()
    tries: int | None = None
    """steps of who asks for no slope, and so needs more of them, where nobody says how many"""


CLIMBING = ("steps", "step", "restarts")
KINDS: dict[str, Kind] = {
    "noise": Kind(noise),
    "fgsm": Kind(fgsm),
    "fgsm-rs": Kind(fgsm_rs, ("step",)),
    "r+fgsm": Kind(r_fgsm),
    "climb": Kind(climb, CLIMBING),
    "pgd": Kind(pgd, CLIMBING),
    "random": Kind(at_random, ("steps",), tries=1_000),
    "square": Kind(square, ("steps",), tries=1_000),
}


def universal(
    model: nn.Module, x: Tensor, y: Tensor, ball: Ball, *, steps: int, batch: int, dice: torch.Generator
) -> Tensor:
    """One δ [1, …] for all images, by steps of ε / 10 along the gradient of batches' mean loss.

    Raises:
        BadInputError: see `check`.
    """
    check(model, x, y)
    delta = torch.zeros_like(x[:1])
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,), generator=dice, device=x.device)
        logits, up = looked(model, (x[rows] + delta).clamp(0, 1), y[rows])
        shares = rise(logits, y[rows]).sigmoid()  # ∇L = σ(−m) ∇(−m)
        up = (shares.view(-1, *[1] * (x.dim() - 1)) * up).sum(0, keepdim=True)
        delta = ball.shortened(delta + ball.epsilon / 10 * ball.direction(up))
    return delta
