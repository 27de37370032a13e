"""The masking alarm: whether a robust accuracy is evidence, or only says that the attack went blind.

A defence that hides its gradients stands attacks that follow them, and falls to others (Athalye et al., ICML 2018).
What must hold of any sound model and any sound attack (Carlini et al., arXiv 1902.06705; AutoAttack's flags):

    enough       there are so many images that the others can tell anything
    steady       two looks at the same images give the same logits
    alone        an image's logits do not depend on its neighbours in the batch
    logits       they are no probabilities, in which a cross-entropy saturates
    learned      without an attack the model reads better than who always says the commonest class
    sloped       hardly any image has a slope of nothing, or one that is not finite
    nothing      ε = 0 changes nothing
    iterated     many steps do not find less than one
    longer       twice as many steps do not find less than so many
    converged    nor do they find more than the attack did
    monotone     half of ε does not find more than all of it, in one step or in many
    landscape    along the steepest direction the loss does not rise and then fall by half
    everything   with ε so large that any image can become any other, nothing stands
    chance       random corners of the ball do not find more than the attack
    square       neither does a search that only asks for logits
    transfer     nor an attack on another model, the natural twin

`iterated` compares attacks that know nothing of each other. Many steps are as many as the attack takes, from as many
points, and no fewer than `STEPS`, of the usual length: an attack of few steps is found weak by them, and is no
yardstick for itself. A target is the attack's alone: yardsticks aim at any error, so that who only tries one class must
find as many errors as they do, or his number is none of what is stood. They all roll the same dice, lest chance be what
two of them differ by. The dice of what is checked are its own: it is weaker than twice as many steps if these find
more, beyond the slack, and beyond what chance makes of the images on which the two differ (McNemar, Psychometrika
1947).

Who fails one of the checks has a number, and no evidence. Who passes all was not found to be masked; stronger attacks
than those here may still find more (AutoAttack's errors are often a few points beyond those of PGD).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sparring.adversarial.attacks import Attack, Ball, check, logits_of, loss, reads, slope
from sparring.adversarial.domains import Domain
from sparring.agents.protocol import Watch, unwatched

IMAGES = 200  # that the checks are made on
ENOUGH = 50  # without which they say nothing
STEPS = 40  # of the yardsticks that climb, at least, as Madry's PGD-40
SLACK = 0.03  # accuracies of so few images that are this near are the same
CHANCE = 2.0  # standard deviations, of what chance makes of the images on which two attacks differ
BLIND = 0.1  # share of images that may have no slope
NOTHING_STANDS = 0.1
QUERIES, CORNERS = 200, 20  # of the searches without gradients
YARDSTICKS = 10  # attacks that the checks make
PLACES = 8  # at which the landscape is looked at
FALL = 0.5  # of the highest loss on the way, which the end may not fall below
ROUNDING = 1e-3  # of the largest logit: a batch of another size adds in another order


class Subject(NamedTuple):
    """A classifier that can be attacked, and images to do it with."""

    model: nn.Module  # images [B, C, H, W] in [0, 1] → logits [B, K]
    domain: Domain  # it is judged on the images held out; its natural twin learns from the others
    attack: Attack  # what its own evaluations attack with


class Check(NamedTuple):
    """One of the checks."""

    name: str
    passed: bool
    told: str


Found = frozenset[int]  # which images are misread


class Measured(NamedTuple):
    """What the checks look at; what is misread after an attack, where nothing else is said."""

    images: int
    looks_apart: float  # largest difference of logits
    alone_apart: float  # the same, in units of the largest logit
    probabilities: bool
    blind: float  # share of images
    clean: Found  # without an attack
    commonest: float  # share of the images that are of one class
    nothing: Found  # ε = 0
    attack: Found  # what is checked
    one_step: Found
    many: Found  # as many as the attack takes, or `STEPS`
    longer: Found  # twice as many
    one_step_half: Found  # ε / 2
    many_half: Found
    landscape: Sequence[float]  # mean loss from the images to ε along the steepest direction
    everything: Found
    chance: Found
    square: Found
    transfer: Found

    def more(self, found: Found, others: Found) -> bool:
        """Whether there are more of the one than of the other, beyond the slack."""
        return len(found) - len(others) > SLACK * self.images


def by_chance(found: Found, others: Found) -> bool:
    """Whether dice alone could have made the one more than the other, of images on which they differ."""
    alone, others_alone = len(found - others), len(others - found)
    return alone - others_alone <= CHANCE * sqrt(alone + others_alone)


def sounded(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attacked: Tensor,
    attack: Attack,
    dice: torch.Generator,
    other: nn.Module,
    watch: Watch = unwatched,
) -> list[Check]:
    """All checks of what an attack left of a model in evaluation mode.

    Args:
        model: images → logits.
        x: images [N, C, H, W] in [0, 1].
        y: their classes [N].
        attacked: what the attack made of them [N, C, H, W].
        attack: its settings.
        dice: for the yardsticks.
        other: the model that transfer attacks are made on.
        watch: told how many of the yardsticks are done.

    Raises:
        BadInputError: see `attacks.check`.
    """
    return judged(measured(model, x, y, attacked, attack, dice, other, watch))


def measured(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    attacked: Tensor,
    attack: Attack,
    dice: torch.Generator,
    other: nn.Module,
    watch: Watch = unwatched,
) -> Measured:
    """What `judged` looks at."""
    done = 0

    def misread(images: Tensor) -> Found:
        return frozenset(torch.nonzero(reads(model, images) != y)[:, 0].tolist())

    begins = int(torch.randint(2**31, (), generator=dice, device=dice.device))

    def found(one: Attack, maker: nn.Module = model) -> Found:
        nonlocal done
        images = misread(one(maker, x, y, torch.Generator(dice.device).manual_seed(begins)))
        done += 1
        watch(done, YARDSTICKS)
        return images

    check(model, x, y)
    ball = attack.ball
    half, none = replace(ball, epsilon=ball.epsilon / 2), replace(ball, epsilon=0.0)
    widest = Ball(1.0) if ball.norm == "linf" else Ball(float(x[0].numel()) ** 0.5, "l2")
    steps, restarts = attack.climbing
    one_step, many = Attack("fgsm", ball), Attack("climb", ball, steps=max(STEPS, steps), restarts=restarts)
    logits, again = logits_of(model, x), logits_of(model, x)
    few = logits_of(model, x[: max(len(x) // 3, 1)])
    steep = slope(model, x, y).flatten(1)
    return Measured(
        images=len(x),
        looks_apart=float((logits - again).abs().max()),
        alone_apart=float((few - logits[: len(few)]).abs().max() / logits.abs().max().clamp(min=1e-12)),
        probabilities=bool((logits >= 0).all() and (logits.sum(1) - 1).abs().max() < 1e-3),
        blind=float((~steep.isfinite().all(1) | (steep == 0).all(1)).double().mean()),
        clean=misread(x),
        commonest=float(y.bincount().max() / len(y)),
        nothing=found(replace(attack, ball=none, steps=1, restarts=1)),
        attack=misread(attacked),
        one_step=found(one_step),
        many=found(many),
        longer=found(replace(many, steps=2 * many.steps)),
        one_step_half=found(replace(one_step, ball=half)),
        many_half=found(replace(many, ball=half)),
        landscape=landscape(model, x, y, ball),
        everything=found(replace(many, ball=widest)),
        chance=found(Attack("random", ball, steps=CORNERS)),
        square=found(Attack("square", ball, steps=QUERIES)),
        transfer=found(many, other),
    )


def landscape(model: nn.Module, x: Tensor, y: Tensor, ball: Ball) -> list[float]:
    """The mean loss at `PLACES` + 1 points from the images to ε along the steepest direction."""
    way = ball.direction(slope(model, x, y)) * ball.epsilon
    points = (x + ball.project(way * place / PLACES, x) for place in range(PLACES + 1))
    return [float(loss(logits_of(model, point), y).mean()) for point in points]


def judged(m: Measured) -> list[Check]:
    """The checks, in the order of this module's head."""
    fallen = 1 - m.landscape[-1] / max(*m.landscape, 1e-12)
    left = {name: 1 - len(found) / m.images for name, found in m._asdict().items() if isinstance(found, frozenset)}
    weaker = m.more(m.longer, m.attack) and not by_chance(m.longer, m.attack)
    this = f"this {left['attack']:.1%}"
    return [
        Check("enough", m.images >= ENOUGH, f"there are {m.images} images; {ENOUGH} or more can tell something"),
        Check("steady", m.looks_apart == 0, f"two looks at the same images differ by {m.looks_apart:.2g}"),
        Check("alone", m.alone_apart <= ROUNDING, f"alone and among others, logits differ by {m.alone_apart:.2%}"),
        Check("logits", not m.probabilities, f"the model gives {'probabilities' if m.probabilities else 'logits'}"),
        Check(
            "learned",
            left["clean"] > m.commonest + SLACK,
            f"clean are {left['clean']:.1%}, the commonest class {m.commonest:.1%}",
        ),
        Check("sloped", m.blind <= BLIND, f"{m.blind:.1%} of the images have no slope"),
        Check("nothing", m.nothing == m.clean, f"ε = 0 leaves {left['nothing']:.1%}, clean are {left['clean']:.1%}"),
        Check(
            "iterated",
            not m.more(m.one_step, m.many),
            f"many steps leave {left['many']:.1%}, one leaves {left['one_step']:.1%}",
        ),
        Check(
            "longer",
            not m.more(m.many, m.longer),
            f"twice as many steps leave {left['longer']:.1%}, once {left['many']:.1%}",
        ),
        Check("converged", not weaker, f"twice as many leave {left['longer']:.1%}, {this}"),
        Check(
            "monotone",
            not m.more(m.one_step_half, m.one_step) and not m.more(m.many_half, m.many),
            f"ε leaves {left['one_step']:.1%} and {left['many']:.1%} (one step, many), ε / 2 leaves "
            f"{left['one_step_half']:.1%} and {left['many_half']:.1%}",
        ),
        Check("landscape", fallen <= FALL, f"towards ε the loss falls by {fallen:.0%} from its highest"),
        Check("everything", left["everything"] <= NOTHING_STANDS, f"the widest ball leaves {left['everything']:.1%}"),
        Check("chance", not m.more(m.chance, m.attack), f"random corners leave {left['chance']:.1%}, {this}"),
        Check("square", not m.more(m.square, m.attack), f"asking for logits leaves {left['square']:.1%}, {this}"),
        Check("transfer", not m.more(m.transfer, m.attack), f"transfer leaves {left['transfer']:.1%}, {this}"),
    ]


def evidence(checks: Sequence[Check]) -> str:
    """What a robust accuracy that was checked is worth."""
    failed = [check.name for check in checks if not check.passed]
    return f"not evidence: {', '.join(failed)} failed" if failed else f"evidence: {len(checks)} checks passed"
