"""Domain-adversarial training: a feature extractor hides the domain from a classifier (Ganin et al., JMLR 17, 2016).

A learner has labels in the source domain and none in the target. Its extractor f and label predictor p learn the
source's labels, and f makes the two domains look alike to a critic d that tries to tell them apart:

    L_y = E_source −ln p(f(x))_y                              L_d = E_source −ln d(f(x)) + E_target −ln (1 − d(f(x)))
    the learner minimises  L_y + λ A                          the critic minimises  L_d

    dann          A = −L_d; both moving at once are gradient reversal          Ganin & Lempitsky, 2015
    cdan          the same, the critic seeing f ⊗ p, features and classes      Long et al., NeurIPS 2018
    adda          A = L_d with the domains' names exchanged, moving by turns   Tzeng et al., CVPR 2017, one extractor
    mmd, coral    A measures how far the domains' features lie apart, without a critic: kernel means (Gretton et al.,
                  2012), covariances (Sun & Saenko, 2016)
    source-only   A = 0, the floor          train-on-target   with the target's labels, the ceiling

λ scales what goes into the extractor and nothing else; with the rule `ramp`, at the share q of the training,

    λ(q) = λ (2 / (1 + e^(−10 q)) − 1)                        η(q) = η / (1 + 10 q)^0.75

(ibid., section 5.2.2). How well a domain is hidden is not what the critic says, who is part of the game: fresh probes
on frozen features do, as proxy A-distance 2 (1 − 2 ε), with ε their error on features that they have not seen. No label
of the target serves any choice; the last checkpoint counts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, inf
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, instance_norm

from sparring.adversarial import domains, dynamics, probes
from sparring.adversarial.domains import Domain
from sparring.adversarial.game import Game
from sparring.adversarial.play import Play, Schedule, Table
from sparring.adversarial.sheets import Sheet
from sparring.agents.protocol import Evaluation, Experiment, Judge, Preset, Published, Watch, unwatched
from sparring.envs.errors import BadInputError, check_ranges
from sparring.envs.worlds import Array

Method = Literal["dann", "cdan", "adda", "mmd", "coral", "source-only", "train-on-target"]
CRITICAL = ("dann", "cdan", "adda")  # the methods that have a critic
SHOWN = 200  # images of a domain in a sheet
AT_A_TIME = 2_000


@dataclass(frozen=True)
class Config:
    """Symbols as in the module's docstring."""

    schedule: Schedule
    source: domains.Name = "digits"
    """the domain that has labels"""
    target: domains.Name = "colour-digits"
    """the domain that has none"""
    data_dir: str = ""
    """folder that holds mnist/, mnistm/ and usps/; default: what the variable SPARRING_DATA names"""
    photos: str = ""
    """folder of photos from which mnistm is made anew"""
    method: Method = "dann"
    """what is done about the target"""
    dynamics: str = "simultaneous"
    """how learner and critic move; see `sparring train gan --help`"""
    batch: int = 64
    """images of each domain in a round"""
    weight: float = 1.0
    """λ"""
    weight_rule: Literal["ramp", "constant"] = "ramp"
    """λ(q)"""
    normalisation: Literal["mean", "instance", "none"] = "mean"
    """of images: less the mean image of both domains (the paper's); each by its own moments; or as they are"""
    batch_norm: bool = False
    """after each convolution, over both domains together"""
    optimiser: Literal["sgd", "adam"] = "sgd"
    """with momentum 0.9 (the paper's), or Adam"""
    learning_rate: float = 0.01
    """η"""
    rate_rule: Literal["inverse", "constant"] = "inverse"
    """η(q)"""

    def __post_init__(self) -> None:
        check_ranges(self, batch=(2, inf), weight=(0, inf), learning_rate=(0, inf))
        if self.source == self.target:
            raise BadInputError(f"source and target are both {self.source}; there is nothing to adapt to")
        dynamics.named(self.dynamics)


class Pair(NamedTuple):
    """What a round is played on."""

    source: Tensor  # [B, C, H, W]
    labels: Tensor  # [B]
    target: Tensor  # [B, C, H, W]
    target_labels: Tensor  # [B]; only train-on-target looks at them


# ---------------------------------------------------------------------------------------------- the networks


class Extractor(nn.Module):
    """Images [B, 3, H, W] → features [B, F]: the paper's two convolutions for MNIST."""

    def __init__(self, shape: tuple[int, ...], mean: Tensor, config: Config) -> None:
        super().__init__()
        self.normalisation = config.normalisation
        self.mean = nn.Buffer(mean)
        padding = 0 if shape[-1] >= 28 else 2  # small images would be used up
        layers: list[nn.Module] = []
        for before, after in ((shape[0], 32), (32, 48)):
            norm = [nn.BatchNorm2d(after)] if config.batch_norm else []
            layers += [nn.Conv2d(before, after, 5, padding=padding), *norm, nn.ReLU(), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*layers, nn.Flatten())
        with torch.no_grad():
            self.features = self.body(torch.zeros(2, *shape)).shape[1]

    def forward(self, images: Tensor) -> Tensor:
        """Features."""
        if self.normalisation == "instance":
            images = instance_norm(images)
        elif self.normalisation == "mean":
            images = images - self.mean
        features: Tensor = self.body(images)
        return features


def perceptron(*widths: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Learner(nn.Module):
    """Extractor and label predictor."""

    def __init__(self, shape: tuple[int, ...], classes: int, mean: Tensor, config: Config) -> None:
        super().__init__()
        self.extract = Extractor(shape, mean, config)
        self.predict = perceptron(self.extract.features, 100, 100, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, F] and logits [B, K]."""
        features = self.extract(images)
        return features, self.predict(features)


# ---------------------------------------------------------------------------------------------- the game


class Adaptation(Game[Pair]):
    """The learner moves first, then the critic, if there is one."""

    def __init__(self, config: Config, players: Mapping[str, nn.Module]) -> None:
        super().__init__(players)
        self.config = config
        self.whole = config.schedule.steps
        self.begun = nn.Buffer(torch.zeros((), dtype=torch.int64))  # rounds: λ's clock, which a checkpoint holds

    def begin(self, batch: Pair) -> Sequence[str]:
        """Time goes on; nobody is born anew."""
        self.begun.add_(1)
        return ()

    @property
    def weight(self) -> float:
        """λ(q) of the round in progress."""
        if self.config.weight_rule == "constant":
            return self.config.weight
        q = (int(self.begun) - 1) / self.whole
        return self.config.weight * (2 / (1 + exp(-10 * q)) - 1)

    def loss(self, player: str, batch: Pair) -> Tensor:
        """As this module's equations say."""
        method, count = self.config.method, len(batch.source)
        if method == "train-on-target":
            return cross_entropy(self.players["learner"](batch.target)[1], batch.target_labels)
        if method == "source-only":
            return cross_entropy(self.players["learner"](batch.source)[1], batch.labels)
        features, logits = self.players["learner"](torch.cat([batch.source, batch.target]))
        if player == "critic":
            return self.told_apart(features, logits)
        label_loss = cross_entropy(logits[:count], batch.labels)
        return label_loss + self.weight * self.apart(features, logits)

    def told_apart(self, features: Tensor, logits: Tensor, *, exchanged: bool = False) -> Tensor:
        """L_d, or with the domains' names exchanged."""
        seen = features
        if self.config.method == "cdan":
            seen = (logits.softmax(1)[:, :, None] * features[:, None]).flatten(1)
        told = self.players["critic"](seen)[:, 0]
        from_source = torch.zeros_like(told)
        from_source[: len(told) // 2] = 1
        return 2 * binary_cross_entropy_with_logits(told, 1 - from_source if exchanged else from_source)

    def apart(self, features: Tensor, logits: Tensor) -> Tensor:
        """A."""
        half = len(features) // 2
        if self.config.method == "mmd":
            return kernel_distance(features[:half], features[half:])
        if self.config.method == "coral":
            return covariance_distance(features[:half], features[half:])
        if self.config.method == "adda":
            return self.told_apart(features, logits, exchanged=True)
        return -self.told_apart(features, logits)


def kernel_distance(x: Tensor, y: Tensor, scales: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0)) -> Tensor:
    """Squared maximum mean discrepancy [] of x and y [B, F] under Gaussian kernels around the mean distance."""
    both = torch.cat([x, y])
    squares = torch.cdist(both, both).square()
    width = squares.detach().mean().clamp(min=1e-12)
    kernel = torch.stack([(-squares / (scale * width)).exp() for scale in scales]).mean(0)
    sign = torch.cat([torch.ones(len(x)), -torch.ones(len(y))]).to(x)
    return (sign[:, None] * sign * kernel).sum() / len(x) ** 2


def covariance_distance(x: Tensor, y: Tensor) -> Tensor:
    """‖cov x − cov y‖² / 4 F² []."""
    return (x.T.cov() - y.T.cov()).square().sum() / (4 * x.shape[1] ** 2)


def players_of(config: Config, source: Domain, target: Domain, seed: int) -> dict[str, nn.Module]:
    """The learner, and the critic of a method that has one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        learner = Learner(source.shape, source.classes, domains.mean_of(source, target), config)
        if config.method not in CRITICAL:
            return {"learner": learner}
        seen = learner.extract.features * (source.classes if config.method == "cdan" else 1)
        return {"learner": learner, "critic": perceptron(seen, 100, 1)}


# ---------------------------------------------------------------------------------------------- the experiment


def dealer(config: Config, source: Domain, target: Domain) -> Callable[[torch.Generator, int], Sequence[Pair]]:
    """Deals pairs of batches."""

    def deal(dice: torch.Generator, count: int) -> Sequence[Pair]:
        ours, theirs = (domains.drawn(domain.train, dice, config.batch * count) for domain in (source, target))
        parts = (torch.split(part, config.batch) for part in (*ours, *theirs))
        return [Pair(*some) for some in zip(*parts, strict=True)]

    return deal


def experiment(config: Config, *, seed: int, device: str) -> Experiment:
    """Two domains, from data that are there.

    Raises:
        BadInputError: they are not, they do not fit each other, or the dynamics cannot move this game.
    """
    source, target = (domains.load(name, config.data_dir, config.photos) for name in (config.source, config.target))
    domains.check_alike(source, target)
    first = int(np.random.SeedSequence(seed).generate_state(1)[0])
    game = Adaptation(config, players_of(config, source, target, first)).to(device)
    moves = dynamics.named(config.dynamics)
    updates = config.schedule.updates

    def paper_rate(begun: int) -> float:
        return float((1 + 10 * begun / updates) ** -0.75)

    play = Play(
        game,
        moves,
        {name: optimiser_of(config, player) for name, player in game.players.items()},
        rates=dict.fromkeys(game.players, paper_rate) if config.rate_rule == "inverse" else None,
    )
    deal = dealer(config, source, target)
    table = Table(deal, rounds=config.schedule.rounds, batches=moves.batches, device=device)
    return Experiment(play, table, judge(config, source, target, seed))


def optimiser_of(config: Config, player: nn.Module) -> torch.optim.Optimizer:
    """A player's."""
    if config.optimiser == "adam":
        return torch.optim.Adam(player.parameters(), lr=config.learning_rate, fused=True)
    return torch.optim.SGD(player.parameters(), lr=config.learning_rate, momentum=0.9)


def judge(config: Config, source: Domain, target: Domain, seed: int) -> Judge:
    """Accuracies on images that nobody learned from, and what fresh probes see of the domains."""

    def evaluation(play: Play[Pair], /, *, watch: Watch = unwatched) -> Evaluation:
        learner = play.game.players["learner"]
        before = learner.training
        learner.eval()
        try:
            found = judged(learner, source, target, config.schedule.samples, seed, watch)
            sheet = sheet_of(config, play, source, target, found)
        finally:
            learner.train(before)
        protocol = {
            "name": f"{config.source} → {config.target}",
            "method": config.method,
            "samples": min(config.schedule.samples, len(target.test.x)),
            "seeds": [seed, seed],
            "checkpoint": "last",
            "target labels": "ceiling: learned from" if config.method == "train-on-target" else "only judged by",
        }
        return Evaluation(found, protocol, [], [sheet])

    return evaluation


def judged(learner: nn.Module, source: Domain, target: Domain, count: int, seed: int, watch: Watch) -> dict[str, float]:
    """The metrics, the target's accuracy first."""
    theirs, ours = (read(learner, domain.test.x[:count]) for domain in (target, source))
    right = theirs.logits.argmax(1) == target.test.y[:count]
    low, high = probes.wilson(int(right.sum()), len(right))
    chances = theirs.logits.softmax(1)
    features = [read(learner, domain.train.x[: probes.MOST]).features for domain in (source, target)]
    linear, deep = probes.domain_distances(*features, seed=seed, watch=watch)
    return {
        "target_accuracy": float(right.double().mean()),
        "target_accuracy_low": low,
        "target_accuracy_high": high,
        "source_accuracy": float((ours.logits.argmax(1) == source.test.y[:count]).double().mean()),
        "a_distance": max(linear, deep),
        "a_distance_linear": linear,
        "target_entropy": float(-(chances * chances.clamp(min=1e-12).log()).sum(1).mean()),
    }


class Read(NamedTuple):
    """What a learner makes of images."""

    features: Tensor  # [N, F]
    logits: Tensor  # [N, K]


@torch.no_grad()
def read(learner: nn.Module, images: Tensor) -> Read:
    """Features and logits, on the CPU."""
    device = next(learner.parameters()).device
    parts = [learner(part.to(device)) for part in torch.split(images, AT_A_TIME)]
    return Read(*(torch.cat([part[k].cpu() for part in parts]) for k in range(2)))


# ---------------------------------------------------------------------------------------------- what is kept and shown


def sheet_of(config: Config, play: Play[Pair], source: Domain, target: Domain, found: dict[str, float]) -> Sheet:
    """Some images of both domains with their features and logits, and the learner that made them."""
    learner = play.game.players["learner"]
    shown, labels = images_shown(source, target)
    return Sheet(
        "dann",
        dataclasses.asdict(config),
        play.match.rounds,
        found,
        torch.get_num_threads(),
        np.arange(len(shown), dtype=np.float32)[:, None],
        labels.numpy(),
        np.asarray(torch.cat(read(learner, shown), 1).numpy()),
        {name: weight.detach().cpu().numpy().copy() for name, weight in learner.state_dict().items()},
    )


def images_shown(source: Domain, target: Domain) -> tuple[Tensor, Tensor]:
    """Images [N, C, H, W] of both domains' tests, the source's first, and their labels [N]."""
    parts = [(domain.test.x[:SHOWN], domain.test.y[:SHOWN]) for domain in (source, target)]
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


def remake(config: Config, sheet: Sheet) -> Array:
    """Features and logits [N, F + K] of a sheet, made again from its weights and the domains' images."""
    source, target = (domains.load(name, config.data_dir, config.photos) for name in (config.source, config.target))
    learner = Learner(source.shape, source.classes, torch.zeros(source.shape), config).eval()
    learner.load_state_dict(sheet.state_dict())
    before = torch.get_num_threads()
    torch.set_num_threads(sheet.threads)
    try:
        return np.asarray(torch.cat(read(learner, images_shown(source, target)[0]), 1).numpy())
    finally:
        torch.set_num_threads(before)


def picture(config: Config, sheet: Sheet) -> Array:
    """Both domains' features in the plane, the target's confusions, and some images with what was read in them."""
    source, target = (domains.load(name, config.data_dir, config.photos) for name in (config.source, config.target))
    shown, _ = images_shown(source, target)
    return probes.picture(sheet, shown, source.classes, f"{config.source} → {config.target}: {config.method}")


DIGITS = Config(Schedule(steps=3_000, evaluate_every=20, samples=10_000))
MNIST = Config(Schedule(steps=8_600, save_every=40, evaluate_every=86, samples=10_000), "mnist", "mnistm")
PRESETS = {
    "digits": Preset("digits that turn colourful, without a download", DIGITS),
    "mnist": Preset(
        "the paper's network and schedule on MNIST → MNIST-M",
        MNIST,
        published=Published("0.767", "Ganin et al., JMLR 2016; 0.815 in the first version of 2014"),
    ),
    "mnist-instance": Preset(
        "the same with every image normalised by itself",
        dataclasses.replace(MNIST, normalisation="instance"),
        published=Published("0.946", "Shu et al., ICLR 2018: DANN with instance normalisation"),
    ),
    "usps": Preset(
        "MNIST → USPS",
        dataclasses.replace(MNIST, target="usps"),
        published=Published("0.804 ± 0.053", "PyKale, 10 seeds"),
    ),
}
