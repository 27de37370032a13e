"""A siege: what a trained classifier stands, attack by attack, and whether that is evidence.

The attack that was asked for stands beside baselines that anybody should beat: noise, one change for all images, one
step, and the same attack made on another model. The alarm checks the attack that was asked for, the last row, by what
it made of the first `alarm.IMAGES` images; everything lies in the run's folder.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sparring.adversarial import alarm, attacks, convnet
from sparring.adversarial.alarm import Check, Subject
from sparring.adversarial.attacks import Attack, Ball
from sparring.adversarial.data import drawn
from sparring.agents import statistics
from sparring.agents.protocol import Watch, part_of, unwatched
from sparring.envs.errors import BadInputError
from sparring.envs.files import write_aside
from sparring.runners import catalog
from sparring.runners.options import Attack as Options

FOLDER = "attacks"  # in a run's
LEARNED = 2_000  # images that the universal change is made on
UNIVERSAL_STEPS, UNIVERSAL_BATCH = 100, 128


class Stood(NamedTuple):
    """What is left of a classifier's accuracy, and its 95 % interval; how often a target was reached."""

    accuracy: float
    low: float
    high: float
    reached: float | None = None


class Siege(NamedTuple):
    """All that was found."""

    attack: Attack
    targeted: bool
    images: int
    stood: dict[str, Stood]  # by attack; the one that was asked for last
    checks: list[Check]


def subject_of(algorithm: str, config: Any, play: Any) -> Subject:
    """The classifier of a run.

    Raises:
        BadInputError: its algorithm has none.
    """
    module = catalog.load(algorithm)
    if not hasattr(module, "subject"):
        known = [name for name in catalog.algorithms() if hasattr(catalog.load(name), "subject")]
        raise BadInputError(f"{algorithm} trains no classifier that could be attacked; {' and '.join(known)} do")
    subject: Subject = module.subject(config, play)
    return subject


def attack_of(options: Options, usual: Attack) -> Attack:
    """The attack that was asked for; what is not said is as the run's own evaluations have it.

    Raises:
        BadInputError: the ball is larger than the pixels' range, a number of steps is none, or the attack is told what
            it has no use for.
    """
    own, given = usual.ball, {"steps": options.steps, "restarts": options.restarts, "step": options.step or None}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    kind = attacks.KINDS[options.attack]
    for name in sorted(changes.keys() - kind.uses):
        fit = [attack for attack, other in attacks.KINDS.items() if name in other.uses]
        raise BadInputError(f"--{name} {changes[name]:g} is for {', '.join(fit)}; {options.attack} has none: leave it")
    if kind.tries:
        changes = {"steps": kind.tries, **changes}
    if options.norm not in (None, own.norm) and options.epsilon is None:
        raise BadInputError(f"--norm {options.norm} needs --epsilon: the run has {own.epsilon:g} in {own.norm}")
    epsilon = own.epsilon if options.epsilon is None else options.epsilon
    ball = Ball(epsilon, options.norm or own.norm)
    return dataclasses.replace(usual, name=options.attack, ball=ball, **changes)


def besieged(subject: Subject, options: Options, device: str, watch: Watch = unwatched) -> Siege:
    """Attack it.

    Args:
        subject: the classifier, which is left in evaluation mode, and its images.
        options: what was asked for.
        device: to compute on.
        watch: told how far it is.

    Raises:
        BadInputError: as `attack_of` and `attacks.check`.
    """
    attack = attack_of(options, subject.attack)
    model, other = subject.model.to(device).eval(), convnet.twin(subject.domain).to(device)
    few, some = slice(options.samples), slice(alarm.IMAGES)
    x, y = subject.domain.test.x[few].to(device), subject.domain.test.y[few].to(device)
    dice = torch.Generator(device).manual_seed(options.seed)
    target = attacks.logits_of(model, x).argmin(1) if options.targeted else None
    noise, one = (dataclasses.replace(attack, name=name) for name in ("noise", "fgsm"))

    made = {
        "clean": x,
        "noise": noise(model, x, y, dice, watch=part_of(watch, 0, 5)),
        "universal": (x + universal(subject, model, attack, device, dice)).clamp(0, 1),
        "transfer": attack(other, x, y, dice, target, part_of(watch, 1, 5)),
        "fgsm": one(model, x, y, dice, target, part_of(watch, 2, 5)),
        title(attack): attack(model, x, y, dice, target, part_of(watch, 3, 5)),
    }
    aimed = ("transfer", "fgsm", title(attack))
    stood = {
        name: judged(attacks.reads(model, moved), y, target if name in aimed else None) for name, moved in made.items()
    }
    checks = alarm.sounded(
        model, x[some], y[some], made[title(attack)][some], attack, dice, other, part_of(watch, 4, 5)
    )
    return Siege(attack, options.targeted, len(x), stood, checks)


def title(attack: Attack) -> str:
    """An attack in a word."""
    if attack.name in ("climb", "pgd"):
        return f"{attack.name.upper()}-{attack.steps}×{attack.restarts}"
    return f"{attack.name}-{attack.steps}" if attack.name in ("random", "square") else attack.name


def universal(subject: Subject, model: torch.nn.Module, attack: Attack, device: str, dice: torch.Generator) -> Tensor:
    """The change that is best on images to learn from."""
    x, y = (part.to(device) for part in drawn(subject.domain.train, dice, LEARNED))
    return attacks.universal(model, x, y, attack.ball, steps=UNIVERSAL_STEPS, batch=UNIVERSAL_BATCH, dice=dice)


def judged(read: Tensor, y: Tensor, target: Tensor | None) -> Stood:
    """What is left where classes [N] are read."""
    right = int((read == y).sum())
    reached = None if target is None else float((read == target).double().mean())
    return Stood(*statistics.rate(right, len(y)), reached)


def record_of(siege: Siege, options: Options, update: int) -> dict[str, Any]:
    """What the file holds."""
    return {
        "update": update,
        "attack": settings_of(siege.attack),
        "targeted": siege.targeted,
        "samples": siege.images,
        "seed": options.seed,
        "accuracy": {name: stood._asdict() for name, stood in siege.stood.items()},
        "verdict": alarm.evidence(siege.checks),
        "checks": [check._asdict() for check in siege.checks],
    }


def settings_of(attack: Attack) -> dict[str, Any]:
    """What an attack has a use for."""
    told = dataclasses.asdict(attack)
    return {name: told[name] for name in ("name", "ball", *attacks.KINDS[attack.name].uses)}


def path_of(attack: Attack, images: int, options: Options, update: int, run: Path) -> Path:
    """Where in the run's folder it is kept, of an attack on so many images."""
    words = [f"{update:08d}", title(attack).replace("×", "x"), attack.ball.norm, f"{attack.ball.epsilon:g}"]
    words += [f"step{attack.step:g}"] * bool(attack.step) + ["targeted"] * options.targeted
    words += [f"seed{options.seed}", str(images)]
    return run / FOLDER / f"{'-'.join(words)}.json"


def keep(siege: Siege, options: Options, update: int, run: Path) -> Path:
    """Write it into the run's folder."""
    path = path_of(siege.attack, siege.images, options, update, run)
    path.parent.mkdir(exist_ok=True)
    write_aside(path, (json.dumps(record_of(siege, options, update), indent=2) + "\n").encode())
    return path


def show(siege: Siege, console: Console) -> None:
    """Two tables: what was stood, and what the alarm says; then the verdict."""
    ball = siege.attack.ball
    aimed = ["target reached"] if siege.targeted else []
    table = Table(f"{ball.norm} {ball.epsilon:g}", "accuracy", "95 % interval", *aimed, box=None, padding=(0, 2))
    for name, stood in siege.stood.items():
        reached = [] if not siege.targeted else ["" if stood.reached is None else f"{stood.reached:.1%}"]
        table.add_row(name, f"{stood.accuracy:.1%}", f"{stood.low:.1%} … {stood.high:.1%}", *reached)
    console.print(table)
    checks = Table("check", "", "", box=None, padding=(0, 2))
    for check in siege.checks:
        checks.add_row(check.name, "[green]passed[/]" if check.passed else "[red]failed[/]", check.told)
    console.print(checks)
    colour = "green" if all(check.passed for check in siege.checks) else "red"
    last = list(siege.stood)[-1]
    console.print(f"{last} leaves {siege.stood[last].accuracy:.1%}: [{colour}]{alarm.evidence(siege.checks)}[/]")
