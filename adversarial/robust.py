"""Adversarial training: a model against an attacker who is born anew for every batch.

    min_θ E max_{‖δ‖ ≤ ε} L(x + δ, y; θ)                                            Madry et al., ICLR 2018

The attacker holds δ, one for every image of the batch. In a round it begins where its method says, climbs the loss k
times, each a step of length α along the steepest way in the ball's norm, and is brought back to ball and image; then
the model moves once, against what the attacker found. Both see x + r δ, with r = min(1, q / ramp) at the share q of the
training: in the whole of a large ball from the start, a small model may never leave chance.

    natural    nobody attacks              noise      δ is random in the ball, and nobody climbs
    fgsm       from x itself, k = 1, α = ε
    fgsm-rs    from a random point, k = 1, α = 1.25 ε                               Wong et al., ICLR 2020
    pgd        from a random point, k steps                                         Madry et al., ICLR 2018
    trades     δ climbs KL(p(x) ‖ p(x + δ)), the model minimises L(x) + β KL        Zhang et al., ICML 2019

fgsm-rs must begin where x + δ may be no image, as Wong's code does. Cut first, every pixel of a black background that
rises at all rises by all of ε; the attacker only ever stands in corners, and training fails as that of `fgsm` does.

`fgsm` is here because it fails: the model learns to mask its gradients from one step, not to stand the ball. fgsm-rs
may suddenly come to the same end (catastrophic overfitting, Wong et al.). With `pgd_every`, every so many rounds climb
many steps from the same kind of start, so that a model that stands one step alone does not get away with it. (After Li
et al., arXiv 2006.03089, who climb so for some batches once they find that it has happened.)

Here the attacker climbs L itself, as the papers' code does; attacks that judge climb what does not vanish where a model
is sure (`attacks`). A robust accuracy is evidence only where nothing is masked, so that with every one goes an alarm
(`alarm`): its protocol says "evidence" or "not evidence".
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div

from sparring.adversarial import alarm, convnet, data, pictures
from sparring.adversarial.alarm import Subject
from sparring.adversarial.attacks import Attack, Ball, Norm, reads
from sparring.adversarial.data import Images, Labelled
from sparring.adversarial.domains import Domain
from sparring.adversarial.dynamics import Dynamics
from sparring.adversarial.game import Game, Match, Point
from sparring.adversarial.play import Play, Schedule, Table
from sparring.adversarial.sheets import Sheet
from sparring.agents import networks, statistics
from sparring.agents.protocol import (
    Evaluation,
    Experiment,
    Judge,
    Measured,
    Preset,
    Published,
    Watch,
    part_of,
    unwatched,
)
from sparring.envs.errors import check_ranges
from sparring.envs.worlds import Array

Method = Literal["natural", "noise", "fgsm", "fgsm-rs", "pgd", "trades"]
SHOWN = 10  # images of a sheet, each beside its attack


@dataclass(frozen=True)
class Config:
    """Symbols as in the module's docstring."""

    schedule: Schedule
    data: Literal["digits", "mnist", "idx"] = "digits"
    """digits are scikit-learn's; mnist and idx are read from a folder"""
    data_dir: str = ""
    """folder of the idx files, or the one above their folder mnist/; default: what the variable SPARRING_DATA names"""
    method: Method = "fgsm-rs"
    """how the attacker begins and climbs"""
    epsilon: float = 0.3
    """ε, in units of the pixels' range"""
    ramp: float = 0.4
    """share of the run over which r rises from 0 to 1; 0: it is 1 throughout"""
    norm: Norm = "linf"
    """of the ball: the largest change of a pixel, or the Euclidean length"""
    climbs: int = 7
    """k of pgd and trades, and of fgsm-rs in the rounds of pgd_every"""
    pgd_every: int = 0
    """of fgsm-rs: every so many rounds the attacker climbs k steps of 2.5 / k ε, not one; 0: never"""
    stride: float = 0.0
    """α in units of ε, but for rounds of pgd_every; 0: 1 for fgsm, 1.25 for fgsm-rs, 2.5 / k for pgd and trades"""
    beta: float = 6.0
    """β of trades"""
    batch: int = 100
    """images in a round"""
    learning_rate: float = 5e-3
    """η of Adam, the highest"""
    cyclic: bool = True
    """rate from 0 to η in the first two fifths of the run, and back to 0 (Wong et al.)"""
    width: int = 16
    """channels of the first convolution; the second has twice as many"""
    attack_steps: int = 50
    """of the PGD that an evaluation attacks with"""
    restarts: int = 1
    """of it"""
    precision: networks.Precision = "auto"
    """of learning's arithmetic; auto takes bf16 where the hardware has it, but not for trades, whose KL is too small.
    Evaluations are fp32"""

    def __post_init__(self) -> None:
        Ball(self.epsilon, self.norm)
        check_ranges(self, climbs=(1, inf), stride=(0, inf), beta=(0, inf), batch=(1, inf), learning_rate=(0, inf))
        check_ranges(self, ramp=(0, 1), width=(1, inf), attack_steps=(1, inf), restarts=(1, inf), pgd_every=(0, inf))

    @property
    def ball(self) -> Ball:
        """Where the attacker may go."""
        return Ball(self.epsilon, self.norm)

    @property
    def climbers(self) -> bool:
        """Whether there is an attacker who climbs."""
        return self.method not in ("natural", "noise")

    @property
    def mixed(self) -> bool:
        """Whether the attacker climbs one step in most rounds and many in others."""
        return self.method == "fgsm-rs" and self.pgd_every > 0

    def climb(self, begun: int) -> Climb:
        """Of the `begun`-th round."""
        if not self.climbers:
            return Climb(0, 0.0)
        many = Climb(self.climbs, 2.5 / self.climbs * self.epsilon)
        if self.mixed and begun % self.pgd_every == 0:
            return many
        usual = {"fgsm": Climb(1, self.epsilon), "fgsm-rs": Climb(1, 1.25 * self.epsilon)}.get(self.method, many)
        return usual._replace(alpha=self.stride * self.epsilon) if self.stride else usual

    @property
    def unused(self) -> dict[str, str]:
        """Options without any effect here, and why."""
        why = f"method is {self.method}"
        works = {
            "climbs": self.method in ("pgd", "trades") or self.mixed,
            "pgd_every": self.method == "fgsm-rs",
            "stride": self.climbers and not (self.mixed and self.pgd_every == 1),
            "beta": self.method == "trades",
            "ramp": self.method != "natural",
        }
        rounds = f"{why} and pgd_every is {self.pgd_every}" if self.method == "fgsm-rs" else why
        reasons = {"climbs": rounds, "stride": rounds}
        return {name: reasons.get(name, why) for name, does in works.items() if not does}

    @property
    def attack(self) -> Attack:
        """What an evaluation attacks with."""
        return Attack("pgd", self.ball, steps=self.attack_steps, restarts=self.restarts)


@functools.cache
def images_of(name: Literal["digits", "mnist", "idx"], data_dir: str) -> Domain:
    """The images in [0, 1].

    Raises:
        BadInputError: they are not there.
    """
    known = data.load(name, data_dir)
    assert isinstance(known, Images)
    return Domain(name, *(Labelled((part.x + 1) / 2, part.y) for part in (known.train, known.held_out)))


class Climb(NamedTuple):
    """How far the attacker may go in a round."""

    turns: int  # steps
    alpha: float  # length of each, in the ball's norm


class Dealt(NamedTuple):
    """What a round is played on."""

    x: Tensor  # [B, C, H, W] in [0, 1]
    y: Tensor  # [B]
    start: Tensor  # [B, C, H, W]: where δ begins


class Steepest(torch.optim.Optimizer):
    """Steps along the steepest way in a ball's norm, as long as is said when one is taken: w ← w − α dir(∇)."""

    def __init__(self, weights: Sequence[nn.Parameter], ball: Ball, alpha: Callable[[], float]) -> None:
        self.ball, self.alpha = ball, alpha
        super().__init__(list(weights), {"lr": 1.0})  # which torch's schedules ask for, and nothing uses

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.sub_(self.ball.direction(weight.grad), alpha=self.alpha())


class Standing(Game[Dealt]):
    """The attacker moves first, if there is one who climbs; then the model."""

    def __init__(self, config: Config, model: nn.Module, shape: tuple[int, ...]) -> None:
        attacker = {"attacker": Point(torch.zeros(config.batch, *shape))} if config.climbers else {}
        super().__init__({**attacker, "model": model})
        self.config = config
        self.images: Tensor | None = None  # of the round in progress
        self.climb = config.climb(1)  # of it
        self.begun = nn.Buffer(torch.zeros((), dtype=torch.int64))  # rounds: a clock, which a checkpoint holds

    @property
    def reach(self) -> float:
        """r(q) of the round in progress."""
        whole = self.config.ramp * self.config.schedule.steps
        return min(1.0, int(self.begun) / whole) if whole else 1.0

    def begin(self, batch: Dealt) -> Sequence[str]:
        """The attacker is born anew, where its method says."""
        self.begun.add_(1)
        if not self.config.climbers:
            return ()
        self.climb = self.config.climb(int(self.begun))
        with torch.no_grad():
            self.at("attacker").copy_(batch.start)
        self.images = batch.x
        return ("attacker",)

    def project(self, player: str) -> None:
        """Bring the attacker back to ball and image."""
        if player == "attacker":
            assert self.images is not None
            delta = self.at("attacker")
            delta.copy_(self.config.ball.project(delta, self.images))

    def loss(self, player: str, batch: Dealt) -> Tensor:
        """As this module's equations say; the attacker's is a sum, so that no image's step depends on the others."""
        model = self.players["model"]
        moved = batch.x + self.reach * (self.at("attacker") if self.config.climbers else batch.start)
        if self.config.method == "trades":
            clean, attacked = model(batch.x), model(moved)
            apart = kl_div(attacked.log_softmax(1), clean.log_softmax(1), log_target=True, reduction="sum")
            if player == "attacker":
                return -apart
            return cross_entropy(clean, batch.y) + self.config.beta * apart / len(batch.y)
        if player == "attacker":
            return -cross_entropy(model(moved), batch.y, reduction="sum")
        return cross_entropy(model(moved), batch.y)


class Answering(Dynamics[Dealt]):
    """The attacker goes as far as it may in this round, all the way on one batch; then the model moves."""

    def step(self, match: Match[Dealt], batches: Sequence[Dealt]) -> None:
        """δ ← Π(δ + α dir(∇_δ L)), k times;  θ ← θ − η ∇_θ L."""
        [batch] = batches
        assert isinstance(match.game, Standing)
        for _ in range(match.game.climb.turns):
            match.move("attacker", match.gradient("attacker", batch))
        match.move("model", match.gradient("model", batch))


def dealer(config: Config, images: Labelled) -> Callable[[torch.Generator, int], Sequence[Dealt]]:
    """Deals batches, and where the attacker begins in each."""

    def deal(dice: torch.Generator, count: int) -> Sequence[Dealt]:
        x, y = data.drawn(images, dice, config.batch * count)
        start = torch.zeros_like(x)
        if config.method == "fgsm-rs":
            start = config.ball.uniform(x, dice)
        elif config.method in ("noise", "pgd"):
            start = config.ball.anywhere(x, dice)
        elif config.method == "trades":
            start = config.ball.project(0.001 * torch.randn(x.shape, generator=dice, device=x.device), x)
        parts = (torch.split(part, config.batch) for part in (x, y, start))
        return [Dealt(*some) for some in zip(*parts, strict=True)]

    return deal


def there_and_back(updates: int) -> Callable[[int], float]:
    """A rate that rises for two fifths of the updates and falls to 0 over the rest."""
    peak = 0.4 * updates
    return lambda begun: min(1.0, (begun + 1) / peak if begun < peak else (updates - begun) / (updates - peak))


def experiment(config: Config, *, seed: int, device: str) -> Experiment:
    """A model and its attacker, on data that are there.

    Raises:
        BadInputError: they are not.
    """
    images = images_of(config.data, config.data_dir)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        model = convnet.network(images.shape, images.classes, config.width)
    game = Standing(config, model, images.shape).to(device)
    optimisers: dict[str, torch.optim.Optimizer] = {
        "model": torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
    }
    if config.climbers:
        optimisers["attacker"] = Steepest(
            list(game.players["attacker"].parameters()), config.ball, lambda: game.climb.alpha
        )
    rates = {"model": there_and_back(config.schedule.updates)} if config.cyclic else {}
    table = Table(dealer(config, images.train), rounds=config.schedule.rounds, batches=1, device=device)
    precision = networks.settled(config.precision, device, images=config.method != "trades")
    known = data.Theirs(images.train, images.test) if config.data == "idx" else None
    play = Play(game, Answering(), optimisers, rates=rates, precision=precision, known=known)
    return Experiment(play, table, judge(config, images, seed))


# ---------------------------------------------------------------------------------------------- how it is judged


def subject(config: Config, play: Play[Any]) -> Subject:
    """The model as it is attacked."""
    return Subject(play.game.players["model"], images_of(config.data, config.data_dir), config.attack)


def judge(config: Config, images: Domain, seed: int) -> Judge:
    """Accuracies, clean and attacked, and whether the latter are evidence."""

    def evaluation(play: Play[Any], /, *, watch: Watch = unwatched) -> Evaluation:
        device = next(play.game.parameters()).device
        few = slice(config.schedule.samples)
        x, y = images.test.x[few].to(device), images.test.y[few].to(device)
        dice = torch.Generator(device).manual_seed(seed)
        with play.at_rest("model") as model:
            moved = config.attack(model, x, y, dice, watch=part_of(watch, 0, 2))
            some = slice(alarm.IMAGES)
            other = convnet.twin(images).to(device)
            checks = alarm.sounded(
                model, x[some], y[some], moved[some], config.attack, dice, other, part_of(watch, 1, 2)
            )
            found = {**accuracies(model, x, moved, y), "alarms": float(sum(not check.passed for check in checks))}
            sheet = sheet_of(config, play, images, found)
        told = protocol_of(config, play.precision, len(x), seed)
        return Evaluation(found, {**told, "robust accuracy": alarm.evidence(checks)}, [], [sheet])

    return evaluation


def protocol_of(config: Config, precision: networks.Precision, samples: int, seed: int) -> dict[str, Any]:
    """All that two numbers must have in common to be compared; `precision` as it was settled."""
    return {
        "name": config.data,
        "method": config.method,
        **({"climb": climb_of(config)} if config.climbers and config.epsilon else {}),
        **({"β": config.beta} if config.method == "trades" else {}),
        **({"ramp": config.ramp} if config.ramp and config.method != "natural" else {}),
        "width": config.width,
        "optimiser": f"adam {config.learning_rate:g} {'cyclic' if config.cyclic else 'constant'}",
        "steps": config.schedule.steps,
        "batch": config.batch,
        "precision": precision,
        "samples": samples,
        "seeds": [seed, seed],
        "ball": f"{config.norm} {config.epsilon:g}",
        "attack": f"PGD-{config.attack_steps}×{config.restarts}",
        "checkpoint": "last",
    }


def climb_of(config: Config) -> str:
    """In a protocol."""

    def told(climb: Climb) -> str:
        return f"{climb.turns} × {climb.alpha / config.epsilon:g} ε"

    usual = told(config.climb(1))
    return f"{usual}, every {config.pgd_every} rounds {told(config.climb(config.pgd_every))}" if config.mixed else usual


def accuracies(model: nn.Module, x: Tensor, moved: Tensor, y: Tensor) -> dict[str, float]:
    """The robust accuracy with its interval, then the clean one."""
    robust = statistics.rate(int((reads(model, moved) == y).sum()), len(y))
    return {
        "robust_accuracy": robust.value,
        "robust_accuracy_low": robust.low,
        "robust_accuracy_high": robust.high,
        "clean_accuracy": float((reads(model, x) == y).double().mean()),
    }


# ---------------------------------------------------------------------------------------------- what is kept and shown


def sheet_of(config: Config, play: Play[Any], images: Domain, found: dict[str, float]) -> Sheet:
    """A few images with what the attack makes of them, and the model that was attacked."""
    model = copy.deepcopy(play.game.players["model"]).cpu()
    shown, labels = images.test.x[:SHOWN], images.test.y[:SHOWN]
    return Sheet(
        "robust",
        dataclasses.asdict(config),
        play.match.rounds,
        found,
        torch.get_num_threads(),
        shown.flatten(1).numpy(),
        labels.numpy(),
        np.asarray(attacked(config, model, shown, labels).numpy()),
        {name: weight.detach().numpy().copy() for name, weight in model.state_dict().items()},
    )


def attacked(config: Config, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The attack of a sheet, which rolls the same dice every time."""
    return dataclasses.replace(config.attack, restarts=1)(model, x, y, torch.Generator().manual_seed(0))


def remake(config: Config, sheet: Sheet) -> Array:
    """A sheet's attacked images, attacked again."""
    shape = sheet.samples.shape[1:]
    model = revived(config, sheet)
    before = torch.get_num_threads()
    torch.set_num_threads(sheet.threads)
    try:
        x = torch.from_numpy(sheet.latents).view(-1, *shape)
        return np.asarray(attacked(config, model, x, torch.from_numpy(sheet.labels)).numpy())
    finally:
        torch.set_num_threads(before)


def revived(config: Config, sheet: Sheet) -> nn.Module:
    """The model of a sheet."""
    classes = len(list(sheet.weights.values())[-1])  # the last bias
    model = convnet.network(sheet.samples.shape[1:], classes, config.width)
    model.load_state_dict(sheet.state_dict())
    return model.eval()


def picture(config: Config, sheet: Sheet) -> Array:
    """Images above, what the attack made of them below, each with what is read in it; and the loss on the way there."""
    from matplotlib.figure import Figure

    shape, model = sheet.samples.shape[1:], revived(config, sheet)
    labels, rows = torch.from_numpy(sheet.labels), (sheet.latents.reshape(-1, *shape), sheet.samples)
    figure = Figure(figsize=(3 * pictures.SIDE, pictures.SIDE), layout="constrained", dpi=pictures.DPI)
    figure.suptitle(f"{config.data}: {config.method} · step {sheet.step:,}")
    halves: Any = figure.subfigures(1, 2, width_ratios=(2, 1))
    left, right = halves
    grid = left.subplots(2, len(sheet.latents))
    for line, images in zip(grid, rows, strict=True):
        for axes, image, read, label in zip(line, images, reads(model, torch.from_numpy(images)), labels, strict=True):
            axes.imshow(image.transpose(1, 2, 0).squeeze(), cmap="gray", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
            axes.set_title(str(int(read)), color=pictures.REAL if read == label else pictures.FAKE)
    landscape = right.subplots()
    points = np.linspace(0, config.epsilon, alarm.PLACES + 1)
    landscape.plot(points, alarm.landscape(model, torch.from_numpy(rows[0]), labels, config.ball), color=pictures.FAKE)
    landscape.set(title="loss along the steepest way", xlabel="ε", ylabel="cross-entropy", ylim=(0, None))
    return pictures.pixels(figure)


DIGITS = Config(Schedule(steps=1_500, evaluate_every=10, samples=597), epsilon=0.2)
MNIST = Config(Schedule(steps=6_000, evaluate_every=60, samples=1_000), "mnist")
PRESETS = {
    "digits": Preset("scikit-learn's digits, ε = 0.2, without a download", DIGITS),
    "mnist-fgsm-rs": Preset(
        "MNIST, ε = 0.3: one random start and one step, in every fourth round five, in a ball that grows",
        dataclasses.replace(
            MNIST, schedule=dataclasses.replace(MNIST.schedule, steps=5_000), ramp=0.2, pgd_every=4, climbs=5
        ),
        speed=50,
        published=Published("0.888 (0.829 AutoAttack)", "Wong et al., ICLR 2020: PGD-50×10"),
        own=Measured(0.90, 0.89, 0.91, "robust_mnist", "fgsm_rs_pgd50x10"),
    ),
    "mnist-pgd": Preset(
        "MNIST, ε = 0.3: many steps",
        dataclasses.replace(MNIST, schedule=dataclasses.replace(MNIST.schedule, steps=10_000), method="pgd", climbs=20),
        speed=9,
        published=Published("0.893", "Madry et al., ICLR 2018: PGD-100×20, a larger network"),
        own=Measured(0.92, 0.91, 0.92, "robust_mnist", "pgd_training_pgd100x20"),
    ),
    "mnist-trades": Preset(
        "MNIST, ε = 0.3: clean and attacked apart",
        dataclasses.replace(MNIST, method="trades", climbs=10),
        speed=11,
        published=Published("0.961 (0.928 AutoAttack)", "Zhang et al., ICML 2019: PGD-40, a larger network"),
        own=Measured(0.92, 0.92, 0.93, "robust_mnist", "trades_pgd50x10"),
    ),
    "mnist-fgsm": Preset(
        "the one that fails: its gradients are masked, and the alarm says so",
        dataclasses.replace(MNIST, method="fgsm", ramp=0.0),
    ),
}
