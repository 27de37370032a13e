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
    transfer      first the source, then the target's labels, keeping `copied` of the layers learned first, `frozen` or
                  not, while the others begin anew                             Yosinski et al., NeurIPS 2014
                  (all of them and not frozen: fine-tuning)

λ scales what goes into the extractor and nothing else (cdan's classes count as given); with the rule `ramp`, at the
share q of the training,

    λ(q) = λ (2 / (1 + e^(−10 q)) − 1)                        η(q) = η / (1 + 10 q)^0.75

(ibid., section 5.2.2). How well a domain is hidden is not what the critic says, who is part of the game: fresh probes
on frozen features do, as proxy A-distance 2 (1 − 2 ε), with ε their error on features that they have not seen. No label
of the target enters a training, unless the method is to have them, or picks a checkpoint: the last one counts. What is
known without them is told for every evaluation: the source's accuracy, the entropy of what is said of the target, the
A-distance.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, inf
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, instance_norm

from sparring.adversarial import data, domains, dynamics, probes
from sparring.adversarial.alarm import Subject
from sparring.adversarial.attacks import Attack, Ball
from sparring.adversarial.data import Labelled
from sparring.adversarial.domains import Domain
from sparring.adversarial.game import Game
from sparring.adversarial.play import Play, Schedule, Table
from sparring.adversarial.sheets import Sheet
from sparring.agents import networks, statistics
from sparring.agents.protocol import Evaluation, Experiment, Judge, Measured, Preset, Published, Watch, unwatched
from sparring.envs.errors import BadInputError, check_ranges
from sparring.envs.worlds import Array

Method = Literal["dann", "cdan", "adda", "mmd", "coral", "source-only", "train-on-target", "transfer"]
CRITICAL = ("dann", "cdan", "adda")  # the methods that have a critic
TAUGHT = ("train-on-target", "transfer")  # those that look at the target's labels
ALONE = ("source-only", *TAUGHT)  # those that look at one domain at a time
LAYERS = 5  # of the learner that have weights
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
    dynamics: str = "auto"
    """how learner and critic move (see `sparring train gan --help`); auto is alternating for adda, else simultaneous"""
    batch: int = 64
    """images of each domain in a round"""
    weight: float = 1.0
    """λ: what hiding the domain counts, beside the labels"""
    weight_rule: Literal["ramp", "constant"] = "ramp"
    """λ over time: rising from 0 (the paper's), or the same throughout"""
    normalisation: Literal["mean", "instance", "none"] = "mean"
    """of images: less the mean image of both domains (the paper's); each by its own moments; or as they are"""
    batch_norm: Literal["none", "together", "apart"] = "none"
    """after each convolution: over both domains' images of a batch together, or over each domain's apart (evaluations
    then take the moving moments, which are of both)"""
    critic_norm: bool = False
    """batch norm in the critic, over both domains: it sees features as a fresh probe does, and no unit of it can die"""
    optimiser: Literal["sgd", "adam"] = "sgd"
    """with momentum 0.9 (the paper's), or Adam"""
    learning_rate: float = 0.01
    """η at the beginning"""
    rate_rule: Literal["inverse", "constant"] = "inverse"
    """η over time: falling (the paper's), or the same throughout"""
    average: float = 0.0
    """decay of the moving average of the learner's weights that is judged; 0: the learner as it is"""
    labelled: int = 0
    """images of the target whose labels train-on-target and transfer know; 0: all"""
    copied: int = LAYERS
    """k of transfer: layers that keep, in the second half, what they learned from the source in the first"""
    frozen: bool = False
    """let those layers learn no more; moments of batch norm are those of the images all the same"""
    precision: networks.Precision = "auto"
    """of learning's arithmetic; auto takes bf16 where the hardware has it, but not for mmd and coral, whose differences
    of large sums it would lose. Evaluations are fp32"""

    def __post_init__(self) -> None:
        check_ranges(self, batch=(2, inf), weight=(0, inf), learning_rate=(0, inf))
        check_ranges(self, labelled=(0, inf), copied=(0, LAYERS), average=(0, 1))
        if self.source == self.target:
            raise BadInputError(f"source and target are both {self.source}; there is nothing to adapt to")
        if self.photos and "mnistm" not in (self.source, self.target):
            raise BadInputError(f"photos are for mnistm; {self.source} and {self.target} are made without")
        if self.labelled and self.method not in TAUGHT:
            raise BadInputError(f"labelled is {self.labelled}, and {self.method} sees no label of the target; leave it")
        if dynamics.named(self.moving).state_dict() and self.method == "transfer":
            raise BadInputError(
                f"dynamics is {self.dynamics}, which remembers the first half of a transfer, and the second begins "
                "anew; take simultaneous"
            )

    @property
    def moving(self) -> str:
        """The dynamics that is meant."""
        if self.dynamics == "auto":
            return "alternating" if self.method == "adda" else "simultaneous"
        return self.dynamics

    @property
    def unused(self) -> dict[str, str]:
        """Options without any effect here, and why."""
        why, alone = f"method is {self.method}", self.method in ALONE
        idle = {"weight": not alone, "weight_rule": not alone, "critic_norm": self.method in CRITICAL}
        idle |= dict.fromkeys(("copied", "frozen"), self.method == "transfer")
        return {name: why for name, works in idle.items() if not works}

    @property
    def half(self) -> int:
        """Rounds of a transfer's first half."""
        return self.schedule.steps // 2

    @property
    def data(self) -> str:
        """What it learns from, in a word."""
        return f"{self.source}-to-{self.target}"


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
            norm = [nn.BatchNorm2d(after)] if config.batch_norm != "none" else []
            layers += [nn.Conv2d(before, after, 5, padding=padding), *norm, nn.MaxPool2d(2), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.body.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a quarter faster
        with torch.no_grad():
            self.features = self.body.eval()(torch.zeros(1, *shape)).shape[1]  # no image of which moments are kept
        self.body.train()

    def forward(self, images: Tensor) -> Tensor:
        """Features."""
        if self.normalisation == "instance":
            images = instance_norm(images)
        elif self.normalisation == "mean":
            images = images - self.mean
        features: Tensor = self.body(images.contiguous(memory_format=torch.channels_last))
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
        self.norms_apart = config.batch_norm == "apart"
        self.extract = Extractor(shape, mean, config)
        self.predict = perceptron(self.extract.features, 100, 100, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, F] and logits [B, K]."""
        features = self.extract(images)
        return features, self.predict(features)

    def of_both(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Features [2 B, F] and logits [2 B, K] of both domains' images, the source's first."""
        if not self.norms_apart:
            features = self.extract(torch.cat([source, target]))
        else:
            features = torch.cat([self.extract(source), self.extract(target)])
        return features, self.predict(features)

    def parts_of(self, layers: slice) -> dict[str, nn.Module]:
        """What some of the `LAYERS` are made of, by name; batch norm is of the layer before it."""
        own: list[dict[str, nn.Module]] = []
        for name, part in self.named_modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                own.append({name: part})
            elif isinstance(part, nn.BatchNorm2d):
                own[-1][name] = part
        return {name: part for layer in own[layers] for name, part in layer.items()}

    def weights_of(self, layers: slice) -> dict[str, Tensor]:
        """The weights of some of the `LAYERS`, by name."""
        parts = self.parts_of(layers).items()
        return {f"{name}.{kind}": weight for name, part in parts for kind, weight in part.named_parameters()}


class Predictor(nn.Module):
    """A learner of which nothing but its logits is asked."""

    def __init__(self, of: nn.Module) -> None:
        super().__init__()
        self.of = of

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, K]."""
        logits: Tensor = self.of(images)[1]
        return logits


# ---------------------------------------------------------------------------------------------- the game


class Adaptation(Game[Pair]):
    """The learner moves first, then the critic, if there is one."""

    def __init__(self, config: Config, players: Mapping[str, nn.Module]) -> None:
        super().__init__(players)
        self.config = config
        self.begun = nn.Buffer(torch.zeros((), dtype=torch.int64))  # rounds: λ's clock, which a checkpoint holds
        others = self.learner.parts_of(slice(config.copied, None))
        self.anew = {name: copy.deepcopy(part.state_dict()) for name, part in others.items()}

    @property
    def learner(self) -> Learner:
        """The first player."""
        learner = self.players["learner"]
        assert isinstance(learner, Learner)
        return learner

    def begin(self, batch: Pair) -> Sequence[str]:
        """Time goes on; at half of it a transfer begins anew, with the layers that are not copied."""
        self.begun.add_(1)
        if self.config.method != "transfer" or int(self.begun) != self.config.half + 1:
            return ()
        for name, part in self.learner.parts_of(slice(self.config.copied, None)).items():
            part.load_state_dict(self.anew[name])
        return ("learner",)

    @property
    def weight(self) -> float:
        """λ(q) of the round in progress."""
        if self.config.weight_rule == "constant":
            return self.config.weight
        q = (int(self.begun) - 1) / self.config.schedule.steps
        return self.config.weight * (2 / (1 + exp(-10 * q)) - 1)

    def loss(self, player: str, batch: Pair) -> Tensor:
        """As this module's equations say."""
        return dict(self.losses(batch))[player]

    def losses(self, batch: Pair) -> Iterator[tuple[str, Tensor]]:
        """Both players', from one look at the images."""
        if self.config.method in ALONE:
            yield "learner", self.taught(batch)
            return
        features, logits = self.learner.of_both(batch.source, batch.target)
        told = self.told_apart(features, logits) if "critic" in self.players else None
        label_loss = cross_entropy(logits[: len(batch.source)], batch.labels)
        yield "learner", label_loss + self.weight * self.apart(features, told)
        if told is not None:
            yield "critic", domain_loss(told)

    def taught(self, batch: Pair) -> Tensor:
        """The label loss alone, of the source or of the target."""
        method = self.config.method
        in_first_half = int(self.begun) <= self.config.half
        if method == "source-only" or (method == "transfer" and in_first_half):
            return cross_entropy(self.learner(batch.source)[1], batch.labels)
        still = self.learner.weights_of(slice(self.config.copied)) if self.config.frozen else {}
        held = {name: weight.detach() for name, weight in still.items()}
        return cross_entropy(functional_call(self.learner, held, (batch.target,))[1], batch.target_labels)

    def told_apart(self, features: Tensor, logits: Tensor) -> Tensor:
        """What the critic says [2 B]: a logit, high for the source."""
        seen = features
        if self.config.method == "cdan":
            seen = (logits.detach().softmax(1)[:, :, None] * features[:, None]).flatten(1)
        told: Tensor = self.players["critic"](seen)[:, 0]
        return told

    def apart(self, features: Tensor, told: Tensor | None) -> Tensor:
        """A."""
        half = len(features) // 2
        if self.config.method == "mmd":
            return kernel_distance(features[:half], features[half:])
        if self.config.method == "coral":
            return covariance_distance(features[:half], features[half:])
        assert told is not None
        return domain_loss(-told) if self.config.method == "adda" else -domain_loss(told)


def domain_loss(told: Tensor) -> Tensor:
    """L_d of logits [2 B], high for the source, whose half comes first; of −logits, with the names exchanged."""
    from_source = (torch.arange(len(told), device=told.device) < len(told) // 2).to(told)
    return 2 * binary_cross_entropy_with_logits(told, from_source)


def kernel_distance(x: Tensor, y: Tensor, scales: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0)) -> Tensor:
    """Squared maximum mean discrepancy [] of x and y [B, F]: the mean over kernels exp(−‖a − b‖² / s w²) of all scales
    s, with w² the mean squared distance of all of them."""
    both = torch.cat([x, y])
    lengths = both.square().sum(1)
    squares = (lengths[:, None] + lengths - 2 * both @ both.T).clamp(min=0)
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
        return {"learner": learner, "critic": critic_of(seen, normed=config.critic_norm)}


def critic_of(features: int, *, normed: bool) -> nn.Sequential:
    """The paper's critic for MNIST; or the same with its inputs and hidden units normalised over each batch."""
    if not normed:
        return perceptron(features, 100, 1)
    entrance = nn.BatchNorm1d(features, affine=False, track_running_stats=False)
    first, norm = nn.Linear(features, 100), nn.BatchNorm1d(100, track_running_stats=False)
    return nn.Sequential(entrance, first, norm, nn.ReLU(), nn.Linear(100, 1))


# ---------------------------------------------------------------------------------------------- the experiment


def dealer(config: Config, source: Domain, target: Domain) -> Callable[[torch.Generator, int], Sequence[Pair]]:
    """Deals pairs of batches; of the target only what is `labelled`, where that is told."""
    known = Labelled(*(part[: config.labelled or None] for part in target.train))

    def deal(dice: torch.Generator, count: int) -> Sequence[Pair]:
        ours, theirs = (data.drawn(images, dice, config.batch * count) for images in (source.train, known))
        parts = (torch.split(part, config.batch) for part in (*ours, *theirs))
        return [Pair(*some) for some in zip(*parts, strict=True)]

    return deal


def both_domains(config: Config) -> tuple[Domain, Domain]:
    """Source and target.

    Raises:
        BadInputError: files are missing or damaged, or the domains do not fit each other.
    """
    source, target = (domains.load(name, config.data_dir, config.photos) for name in (config.source, config.target))
    domains.check_alike(source, target)
    return source, target


def experiment(config: Config, *, seed: int, device: str) -> Experiment:
    """Two domains, from data that are there.

    Raises:
        BadInputError: they are not, they do not fit each other, there are fewer than are to be labelled, or the
            dynamics cannot move this game.
    """
    source, target = both_domains(config)
    if config.labelled > len(target.train.x):
        raise BadInputError(
            f"labelled is {config.labelled}, and {target.name} has {len(target.train.x)} images to learn from; "
            "0 takes them all"
        )
    made_anew = source if source.name == "mnistm" else target
    first = int(np.random.SeedSequence(seed).generate_state(1)[0])
    game = Adaptation(config, players_of(config, source, target, first)).to(device)
    moves = dynamics.named(config.moving)
    play = Play(
        game,
        moves,
        {name: optimiser_of(config, player) for name, player in game.players.items()},
        rates=dict.fromkeys(game.players, rate_of(config)) if config.rate_rule == "inverse" else None,
        averages={"learner": config.average} if config.average else None,
        precision=networks.settled(config.precision, device, images=config.method not in ("mmd", "coral")),
        known=data.Theirs(made_anew.train, made_anew.test) if config.photos else None,
    )
    deal = dealer(config, source, target)
    table = Table(deal, rounds=config.schedule.rounds, batches=moves.batches, device=device)
    return Experiment(play, table, judge(config, source, target, seed))


def rate_of(config: Config) -> Callable[[int], float]:
    """η(q) / η, update by update; a transfer begins a training of its own in the update that its second half is in."""
    turn = config.half // config.schedule.rounds if config.method == "transfer" else 0

    def rate(begun: int) -> float:
        done, whole = (begun, turn) if begun < turn else (begun - turn, config.schedule.updates - turn)
        return float((1 + 10 * done / whole) ** -0.75)

    return rate


def optimiser_of(config: Config, player: nn.Module) -> torch.optim.Optimizer:
    """A player's."""
    if config.optimiser == "adam":
        return torch.optim.Adam(player.parameters(), lr=config.learning_rate, fused=True)
    return torch.optim.SGD(player.parameters(), lr=config.learning_rate, momentum=0.9)


def subject(config: Config, play: Play[Any]) -> Subject:
    """The learner as it is attacked: on the target, which it was to stand."""
    _, target = both_domains(config)
    return Subject(Predictor(play.player("learner")), target, Attack("pgd", Ball(0.1)))


def judge(config: Config, source: Domain, target: Domain, seed: int) -> Judge:
    """Accuracies on images that nobody learned from, and what fresh probes see of the domains."""

    def evaluation(play: Play[Pair], /, *, watch: Watch = unwatched) -> Evaluation:
        with play.at_rest("learner") as learner:
            found = judged(learner, source, target, config.schedule.samples, seed, watch)
            sheet = sheet_of(config, play.match.rounds, learner, source, target, found)
        return Evaluation(found, protocol_of(config, play.precision, len(target.test.x), seed), [], [sheet])

    return evaluation


def protocol_of(config: Config, precision: networks.Precision, held_out: int, seed: int) -> dict[str, Any]:
    """All that two numbers must have in common to be compared; `precision` as it was settled."""
    labels = "only judged by"
    if config.method in TAUGHT:
        labels = f"{config.labelled or 'all'} learned from"
    layers = {"layers copied": config.copied, "frozen": config.frozen} if config.method == "transfer" else {}
    behind = {"photos": "made anew" if config.photos else "as shipped"} if "mnistm" in config.data else {}
    return {
        "name": config.data,
        **behind,
        "method": config.method,
        **layers,
        "dynamics": config.moving,
        "normalisation": config.normalisation,
        "batch norm": config.batch_norm,
        **({"critic norm": config.critic_norm} if config.method in CRITICAL else {}),
        "optimiser": f"{config.optimiser} {config.learning_rate:g} {config.rate_rule}",
        "λ": f"{config.weight:g} {config.weight_rule}",
        **({"learner": f"averaged with decay {config.average:g}"} if config.average else {}),
        "steps": config.schedule.steps,
        **({"rate": f"falls every {config.schedule.rounds} steps"} if config.rate_rule == "inverse" else {}),
        "batch": config.batch,
        "precision": precision,
        "samples": min(config.schedule.samples, held_out),
        "checkpoint": "last",
        "target labels": labels,
        "seeds": [seed, seed],
    }


def judged(learner: nn.Module, source: Domain, target: Domain, count: int, seed: int, watch: Watch) -> dict[str, float]:
    """The metrics, the target's accuracy first."""
    theirs, ours = (read(learner, domain.test.x[:count]) for domain in (target, source))
    right = theirs.logits.argmax(1) == target.test.y[:count]
    reached = statistics.rate(int(right.sum()), len(right))
    chances = theirs.logits.softmax(1)
    linear, deep = distances(learner, source, target, seed, watch)
    return {
        "target_accuracy": reached.value,
        "target_accuracy_low": reached.low,
        "target_accuracy_high": reached.high,
        "source_accuracy": float((ours.logits.argmax(1) == source.test.y[:count]).double().mean()),
        "a_distance": max(linear, deep),
        "a_distance_linear": linear,
        "target_entropy": float(-(chances * chances.clamp(min=1e-12).log()).sum(1).mean()),
    }


def distances(
    learner: nn.Module, source: Domain, target: Domain, seed: int, watch: Watch = unwatched
) -> tuple[float, float]:
    """Proxy A-distances by a linear probe and by one with a hidden layer, of images to learn from.

    Row by row, the domains may show the same digit, and scikit-learn's come again after 1,200 rows: who has learned
    where one of them is from would know the other. So no two of the four parts share a digit.
    """
    apart = ((source, 0), (target, 1)), ((source, 2), (target, 3))
    learned, asked = (
        [read(learner, domain.train.x[first : 2 * probes.MOST : 4]).features for domain, first in some]
        for some in apart
    )
    return probes.domain_distances(learned, asked, seed=seed, watch=watch)


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


def sheet_of(
    config: Config, rounds: int, learner: nn.Module, source: Domain, target: Domain, found: dict[str, float]
) -> Sheet:
    """Some images of both domains with their features and logits, and the learner that made them, on the CPU."""
    learner = copy.deepcopy(learner).cpu()
    shown, labels = images_shown(source, target)
    return Sheet(
        "dann",
        dataclasses.asdict(config),
        rounds,
        found,
        torch.get_num_threads(),
        np.arange(len(shown), dtype=np.float32)[:, None],
        labels.numpy(),
        np.asarray(torch.cat(read(learner, shown), 1).numpy()),
        {name: weight.numpy() for name, weight in learner.state_dict().items()},
    )


def images_shown(source: Domain, target: Domain) -> tuple[Tensor, Tensor]:
    """Images [N, C, H, W] of both domains' tests, the source's first, and their labels [N]."""
    parts = [(domain.test.x[:SHOWN], domain.test.y[:SHOWN]) for domain in (source, target)]
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


def remake(config: Config, sheet: Sheet) -> Array:
    """Features and logits [N, F + K] of a sheet, made again from its weights and the domains' images."""
    source, target = both_domains(config)
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
    source, target = both_domains(config)
    shown, _ = images_shown(source, target)
    return probes.picture(sheet, shown, source.classes, f"{config.source} → {config.target}: {config.method}")


def averaged(config: Config) -> Config:
    """With Adam and the average that is judged, much as Shu et al. (ICLR 2018) have it.

    λ was chosen by hand, on a seed that nothing reports: 0.1 left a smaller A-distance on digits than 0.03 and 0.3.
    """
    return dataclasses.replace(
        config, optimiser="adam", learning_rate=0.001, rate_rule="constant", weight=0.1, average=0.999
    )


def normalised(config: Config) -> Config:
    """The same with images and layers normalised."""
    return dataclasses.replace(averaged(config), normalisation="instance", batch_norm="apart")


DIGITS = normalised(Config(Schedule(steps=4_000, evaluate_every=40, samples=10_000)))
MNIST = Config(  # the paper has no number of steps; λ: usual code takes the mean over both domains, half of our L_d
    Schedule(steps=20_000, save_every=40, evaluate_every=100, samples=10_000), "mnist", "mnistm", weight=0.5
)
USPS = averaged(Config(Schedule(steps=8_600, save_every=40, evaluate_every=86, samples=10_000), "mnist", "usps"))
PRESETS = {
    "digits": Preset(
        "digits that turn colourful, without a download",
        DIGITS,
        speed=57,
        own=Measured(0.74, 0.72, 0.76, "digits_to_colour", "dann"),
    ),
    "digits-transfer": Preset(
        "the first two layers from the digits, frozen, the others from 200 labelled colour-digits",
        dataclasses.replace(DIGITS, method="transfer", labelled=200, copied=2, frozen=True),
    ),
    "mnist": Preset(
        "the paper's network and schedules on MNIST → MNIST-M, with half of its λ",
        MNIST,
        speed=60,
        own=Measured(0.87, 0.84, 0.88, "mnist_to_mnistm", "dann"),
        published=Published("0.767", "Ganin et al., JMLR 2016; 0.815 in the first version of 2014"),
    ),
    "mnist-normalised": Preset(
        "the same with every image normalised by itself, batch norm, Adam, and averaged weights",
        normalised(dataclasses.replace(MNIST, schedule=dataclasses.replace(MNIST.schedule, steps=12_000))),
        speed=35,
        own=Measured(0.94, 0.94, 0.95, "mnist_to_mnistm", "dann_normalised"),
        published=Published("0.946", "Shu et al., ICLR 2018: DANN with instance normalisation"),
    ),
    "usps": Preset(
        "MNIST → USPS",
        USPS,
        speed=53,
        own=Measured(0.84, 0.84, 0.85, "mnist_to_usps", "dann"),
        published=Published("0.804 ± 0.053", "PyKale, 10 seeds"),
    ),
    "usps-to-mnist": Preset(
        "USPS → MNIST",
        dataclasses.replace(USPS, source="usps", target="mnist"),
        published=Published("0.730", "RevGrad in later tables"),
    ),
}
