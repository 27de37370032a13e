"""The masking alarm: whether a robust accuracy is evidence, or only says that the attack went blind.

A defence that hides its gradients stands attacks that follow them, and falls to others (Athalye et al., ICML 2018).
What must hold for any sound model and any sound attack (Carlini et al., arXiv 1902.06705; AutoAttack's flags):

    steady       two looks at the same image are the same
    sloped       hardly any image has a gradient of exactly nothing
    nothing      ε = 0 changes nothing
    iterated     many steps do not find less than one
    more         twice as many steps do not find less
    everything   with ε so large that any image can become grey, nothing stands
    chance       random changes do not find more than the attack
    square       neither does a search without gradients
    transfer     nor an attack on another model
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sparring.adversarial import classifier
from sparring.adversarial.attacks import Attack, Ball, reads, slope
from sparring.adversarial.data import Images

IMAGES = 200  # that the checks are made on
SLACK = 0.02  # accuracies this near are the same
BLIND = 0.1  # share of images that may have no slope
QUERIES = 200  # of the searches without gradients
NOTHING_STANDS = 0.1


class Check(NamedTuple):
    """One of the checks."""

    name: str
    passed: bool
    told: str


class Shifted(nn.Module):
    """A classifier of images in [−1, 1], asked about images in [0, 1]."""

    def __init__(self, of: nn.Module) -> None:
        super().__init__()
        self.of = of

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.of(2 * x - 1)
        return logits


def sounded(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, dice: torch.Generator, images: Images
) -> list[Check]:
    """All checks of a model in evaluation mode on x [N, …] in [0, 1] and y [N]; `images` teach the other model."""

    def accuracy(one: Attack, source: nn.Module = model) -> float:
        return float((reads(model, one(source, x, y, dice)) == y).double().mean())

    with torch.no_grad():
        steady = torch.equal(model(x), model(x))
    flat = (slope(model, x, y).flatten(1).abs().sum(1) == 0).double().mean().item()
    clean = float((reads(model, x) == y).double().mean())
    attack = replace(attack, restarts=1)
    found = accuracy(attack)
    one_step = accuracy(replace(attack, name="fgsm"))
    longer = accuracy(replace(attack, steps=2 * attack.steps))
    widest = Ball(1.0) if attack.ball.norm == "linf" else Ball(float(x[0].numel()) ** 0.5, "l2")
    everything = accuracy(replace(attack, ball=widest))
    chance = accuracy(replace(attack, name="random", steps=min(QUERIES, 20)))
    square = accuracy(replace(attack, name="square", steps=QUERIES))
    other = Shifted(classifier.trained(images)).eval().to(x.device)
    transfer = accuracy(attack, other)
    nothing = accuracy(replace(attack, ball=Ball(0.0, attack.ball.norm)))
    return [
        Check("steady", steady, "two looks agree" if steady else "two looks at the same images differ"),
        Check("sloped", flat <= BLIND, f"{flat:.1%} of the images have no gradient"),
        Check("nothing", nothing == clean, f"ε = 0 leaves {nothing:.1%} of {clean:.1%}"),
        Check("iterated", found <= one_step + SLACK, f"many steps leave {found:.1%}, one leaves {one_step:.1%}"),
        Check("more", longer <= found + SLACK, f"twice as many steps leave {longer:.1%} of {found:.1%}"),
        Check("everything", everything <= NOTHING_STANDS, f"the widest ball leaves {everything:.1%}"),
        Check("chance", chance >= found - SLACK, f"random corners leave {chance:.1%}, the attack {found:.1%}"),
        Check("square", square >= found - SLACK, f"without gradients {square:.1%} are left, by the attack {found:.1%}"),
        Check("transfer", transfer >= found - SLACK, f"transfer leaves {transfer:.1%}, the attack {found:.1%}"),
    ]
