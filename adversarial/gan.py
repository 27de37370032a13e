"""Generative adversarial networks: a generator G against a discriminator D, in six losses.

With r = D(x) of a real sample, f = D(G(z)) of a fake one, both logits, s(t) = log(1 + eᵗ), means over batches:

                     D minimises                    G minimises
    minimax          s(−r) + s(f)                   −s(−r) − s(f)      Goodfellow et al. 2014, eq. 1
    non-saturating   s(−r) + s(f)                   s(−f)              the same, section 3
    least-squares    ½(r − 1)² + ½f²                ½(f − 1)²          Mao et al. 2017, eq. 9
    wasserstein      f − r                          r − f              Arjovsky et al. 2017
    hinge            max(0, 1−r) + max(0, 1+f)      −f                 Lim & Ye 2017; Miyato et al. 2018
    relativistic     s(f − r)                       s(r − f)           Jolicoeur-Martineau 2019, in pairs

D's slope is held by any of

    r1, r2           γ/2 E‖∇_x D‖² at real, at fake samples            Mescheder et al. 2018
    gradient_penalty λ E(‖∇_x D‖ − 1)² between them                    Gulrajani et al. 2017
    clip             weights in [−c, c]                                Arjovsky et al. 2017
    spectral         every layer divided by its largest singular value Miyato et al. 2018

and lost modes are fought by `pack` (D sees m samples at once, Lin et al. 2018), `compare` (it compares those of a
batch, Salimans et al. 2016), and the dynamics `unrolled` (Metz et al. 2017). The relativistic loss with r1 and r2 is
R3GAN's recipe in small (Huang et al. 2024). Given classes, D is told them by projection or concatenation.

At equilibrium G makes the data, D knows nothing (½ everywhere), and minimax's value E log D + E log(1 − D) is −log 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from sparring.adversarial import data, diagnostics, dynamics, judges, pictures
from sparring.adversarial.data import Data
from sparring.adversarial.game import Game, grad
from sparring.adversarial.play import Play, Schedule, Table, falling
from sparring.adversarial.players import Activation, Conditioning, Discriminator, Generator, seeded
from sparring.adversarial.sheets import Sheet
from sparring.agents.protocol import Experiment, Measured, Preset, Published
from sparring.envs.errors import BadInputError, check_ranges
from sparring.envs.worlds import Array

ANSWER_STEPS, ANSWER_RATE = 50, 1e-3  # of Adam, by which a best answer is looked for; the same for all, to compare
EIGENVALUES = 6  # of the game's Jacobian: the largest

LossName = Literal["minimax", "non-saturating", "least-squares", "wasserstein", "hinge", "relativistic"]


@dataclass(frozen=True)
class Config:
    """Hyper-parameters; the defaults are a non-saturating GAN between small MLPs."""

    schedule: Schedule
    data: data.Name
    """what G learns to make"""
    data_dir: str = ""
    """folder of the idx files of mnist, stacked-mnist and idx, or the one above their folder mnist/; default: what the
    variable SPARRING_DATA names"""
    loss: LossName = "non-saturating"
    """what the players minimise; see the equations of this module"""
    dynamics: str = "alternating"
    """how they move, with parameters after a colon: alternating:k=5, extragradient, lookahead:inner=alternating,k=10"""
    latent: int = 2
    """Z: numbers in a latent"""
    batch: int = 256
    """real samples, and fakes, in a batch"""
    width: int = 128
    """of an MLP's hidden layers; convolutions begin with an eighth as many channels"""
    depth: int = 3
    """of an MLP: hidden layers"""
    activation: Activation = "leaky-relu"
    """of both networks"""
    generator_rate: float = 1e-3
    """G's learning rate, of Adam"""
    discriminator_rate: float = 1e-3
    """D's learning rate, of Adam"""
    beta1: float = 0.5
    """β₁ of both Adams"""
    beta2: float = 0.99
    """β₂ of both Adams"""
    anneal: bool = False
    """let the learning rates fall linearly to zero"""
    average: float = 0.0
    """decay of the moving average of G's weights that is shown and judged; 0: G as it is"""
    r1: float = 0.0
    """γ of the gradient penalty at real samples"""
    r2: float = 0.0
    """γ of the gradient penalty at fakes"""
    gradient_penalty: float = 0.0
    """λ of WGAN-GP's penalty"""
    clip: float = 0.0
    """c of WGAN's clipping; 0: none"""
    spectral: bool = False
    """normalise D's layers by their largest singular value"""
    pack: int = 1
    """m: samples that D sees at once"""
    compare: bool = False
    """mini-batch discrimination"""
    conditioning: Conditioning = "none"
    """how D is told the class, where G is asked for one"""
    diagnose: bool = False
    """with every evaluation, measure the duality gap (a lower bound), the field's norm and its Jacobian's spectrum"""

    def __post_init__(self) -> None:
        check_ranges(self, latent=(1, inf), batch=(1, inf), width=(1, inf), depth=(1, inf), pack=(1, inf))
        check_ranges(self, generator_rate=(0, inf), discriminator_rate=(0, inf), beta1=(0, 1), beta2=(0, 1))
        check_ranges(self, r1=(0, inf), r2=(0, inf), gradient_penalty=(0, inf), clip=(0, inf), average=(0, 1))
        if self.batch % self.pack:
            raise BadInputError(
                f"batch is {self.batch} and pack {self.pack}; packs must be whole: {self.batch} % pack = 0"
            )
        if self.schedule.samples < self.pack:
            raise BadInputError(f"samples is {self.schedule.samples} and pack {self.pack}; judge one pack at least")
        dynamics.named(self.dynamics)


class Loss(NamedTuple):
    """What both minimise, from logits r [B] of real samples and f [B] of fakes."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    zero_sum: bool = False
    sees_real: bool = False  # whether G's loss depends on r at all


def told_apart(r: Tensor, f: Tensor) -> Tensor:
    """−E log D(x) − E log(1 − D(G(z)))."""
    return softplus(-r).mean() + softplus(f).mean()


def distance(r: Tensor, f: Tensor) -> Tensor:
    """The critic's estimate of the Wasserstein distance."""
    return r.mean() - f.mean()


LOSSES: dict[str, Loss] = {
    "minimax": Loss(told_apart, lambda r, f: -told_apart(r, f), zero_sum=True, sees_real=True),
    "non-saturating": Loss(told_apart, lambda r, f: softplus(-f).mean()),
    "least-squares": Loss(
        lambda r, f: ((r - 1).square().mean() + f.square().mean()) / 2,
        lambda r, f: (f - 1).square().mean() / 2,
    ),
    "wasserstein": Loss(lambda r, f: -distance(r, f), distance, zero_sum=True, sees_real=True),
    "hinge": Loss(lambda r, f: relu(1 - r).mean() + relu(1 + f).mean(), lambda r, f: -f.mean()),
    "relativistic": Loss(
        lambda r, f: softplus(f - r).mean(),
        lambda r, f: softplus(r - f).mean(),
        sees_real=True,
    ),
}


class Dealt(NamedTuple):
    """What a turn is played on; all randomness lies here."""

    real: Tensor  # [B, *shape]
    classes: Tensor  # [B] of the real samples, and asked of the fakes
    latents: Tensor  # [B, Z]
    mix: Tensor  # [B] in [0, 1]: where between a real sample and a fake the slope is looked at


class GAN(Game[Dealt]):
    """D moves first, then G."""

    def __init__(self, config: Config, players: nn.ModuleDict) -> None:
        super().__init__(dict(players.items()))
        self.config = config
        self.rule = LOSSES[config.loss]
        self.zero_sum = self.rule.zero_sum and not (config.r1 or config.r2 or config.gradient_penalty)

    def loss(self, player: str, batch: Dealt) -> Tensor:
        """As this module's equations say."""
        generate, discriminate = self.players["generator"], self.players["discriminator"]
        fake = generate(batch.latents, batch.classes)
        if player == "generator":
            f = discriminate(fake, batch.classes)
            r = discriminate(batch.real, batch.classes) if self.rule.sees_real else f
            return self.rule.generator(r, f)
        return self.judged(batch, fake)

    def judged(self, batch: Dealt, fake: Tensor) -> Tensor:
        """D's loss with its penalties; where the slope is not asked for, it costs nothing."""
        c = self.config
        x, fake = slope_at(batch.real, c.r1), slope_at(fake, c.r2)
        r, f = (self.players["discriminator"](some, batch.classes) for some in (x, fake))
        loss = self.rule.discriminator(r, f)
        for weight, logits, samples in ((c.r1, r, x), (c.r2, f, fake)):
            if weight:
                loss = loss + weight / 2 * slope(logits, samples).square().sum() / len(logits)
        if c.gradient_penalty:
            mix = batch.mix.view(-1, *[1] * (x.dim() - 1))
            between = slope_at(mix * batch.real + (1 - mix) * fake, c.gradient_penalty)
            steep = slope(self.players["discriminator"](between, batch.classes), between)
            norms = steep.reshape(len(steep) // c.pack, -1).norm(dim=1)
            loss = loss + c.gradient_penalty * (norms - 1).square().mean()
        return loss

    def project(self, player: str) -> None:
        """Clip the critic's weights, if they are to be."""
        if player == "discriminator" and self.config.clip:
            for weight in self.players[player].parameters():
                weight.clamp_(-self.config.clip, self.config.clip)


def slope_at(samples: Tensor, weight: float) -> Tensor:
    """The samples, at which the slope can be asked for if it weighs anything."""
    return samples.detach().requires_grad_() if weight and not samples.requires_grad else samples


def slope(logits: Tensor, samples: Tensor) -> Tensor:
    """∇_x D [B, *shape], with a graph."""
    return grad(logits.sum(), [samples], create_graph=True)[0]


def players_of(config: Config, known: Data, seed: int) -> nn.ModuleDict:
    """Both networks, D first."""
    classes = known.classes if config.conditioning != "none" else 0
    if config.conditioning != "none" and not known.classes:
        raise BadInputError(
            f"conditioning is {config.conditioning}, and {config.data} has no classes; use digits or mnist"
        )

    def build() -> nn.ModuleDict:
        shared: dict[str, Any] = {
            "width": config.width,
            "depth": config.depth,
            "activation": config.activation,
            "scale": known.scale,
        }
        discriminator = Discriminator(
            known.shape,
            **shared,
            pack=config.pack,
            classes=classes,
            conditioning=config.conditioning,
            compare=config.compare,
            spectral=config.spectral,
        )
        generator = Generator(config.latent, known.shape, **shared, classes=classes)
        return nn.ModuleDict({"discriminator": discriminator, "generator": generator})

    return seeded(build, seed)


def dealer(config: Config, known: Data) -> Callable[[torch.Generator, int], Sequence[Dealt]]:
    """Deals so many batches at once, which costs less than one after the other."""

    def deal(dice: torch.Generator, count: int) -> Sequence[Dealt]:
        whole = count * config.batch
        x, y = known.sample(dice, whole)
        latents = torch.randn(whole, config.latent, generator=dice, device=dice.device)
        mix = torch.rand(whole, generator=dice, device=dice.device)
        parts = (torch.split(part, config.batch) for part in (x, y, latents, mix))
        return [Dealt(*some) for some in zip(*parts, strict=True)]

    return deal


def experiment(config: Config, *, seed: int, device: str) -> Experiment:
    """A GAN, from data that are there.

    Raises:
        BadInputError: they are not, or the dynamics cannot move this game.
    """
    known = data.load(config.data, config.data_dir)
    theirs = (
        data.Theirs(known.train, known.held_out) if isinstance(known, data.Images) and config.data == "idx" else None
    )
    game = GAN(config, players_of(config, known, int(np.random.SeedSequence(seed).generate_state(1)[0]))).to(device)
    moves = dynamics.named(config.dynamics)
    rates = {"discriminator": config.discriminator_rate, "generator": config.generator_rate}
    play = Play(
        game,
        moves,
        {
            player: torch.optim.Adam(
                network.parameters(), lr=rates[player], betas=(config.beta1, config.beta2), fused=True
            )
            for player, network in game.players.items()
        },
        rates=dict.fromkeys(rates, falling(config.schedule.updates)) if config.anneal else None,
        averages={"generator": config.average} if config.average else None,
        known=theirs,
    )
    deal = dealer(config, known)

    def diagnose(game: Game[Dealt]) -> dict[str, float]:
        dice = torch.Generator(device).manual_seed(seed)
        learned, apart = deal(dice, 2)
        unseen, classes = data.drawn(judges.held_out(known, config.schedule.samples, seed), dice, config.batch)
        return diagnosis(config, game, apart._replace(real=unseen, classes=classes), learned)

    judge = judges.judge("gan", config, known, seed=seed, diagnose=diagnose if config.diagnose else None)
    return Experiment(play, Table(deal, rounds=config.schedule.rounds, batches=moves.batches, device=device), judge)


def diagnosis(config: Config, game: Game[Dealt], batch: Dealt, learned: Dealt) -> dict[str, float]:
    """What the instruments say on a batch that is held out; best answers are looked for on one to learn from.

    The gap is that of the minimax value, whatever the players minimise, since only for a zero-sum game is it 0 exactly
    at equilibria; and it is a lower bound, since better answers may exist than some steps of Adam find.
    """
    value = GAN(replace(config, loss="minimax", r1=0.0, r2=0.0, gradient_penalty=0.0), game.players)
    answer = diagnostics.descend(ANSWER_STEPS, lambda weights: torch.optim.Adam(weights, lr=ANSWER_RATE), on=learned)
    largest = diagnostics.extreme_eigenvalues(game, batch, EIGENVALUES, "LM")
    return {
        "gap_at_least": diagnostics.duality_gap(value, batch, answer, exact=False).value,
        "field_norm": diagnostics.gradient_norm(game, batch),
        "eigenvalue_size": float(abs(largest).max()),
        "eigenvalue_turn": float(abs(largest.imag).max()),
    }


def remake(config: Config, sheet: Sheet) -> Array:
    """The samples [N, *shape] of a sheet, made again from its latents and weights."""
    return judges.drawn(revived(config, sheet)["generator"], sheet)


def picture(config: Config, sheet: Sheet) -> Array:
    """A sheet as people look at it, [H, W, 3] uint8: points above D's field, or a grid of images."""
    return pictures.of_sheet(sheet, data.load(config.data, config.data_dir), revived(config, sheet))


def revived(config: Config, sheet: Sheet) -> nn.ModuleDict:
    """The players of a sheet; D as it began, where the sheet does not hold it."""
    players = players_of(config, data.load(config.data, config.data_dir), seed=0)
    players.load_state_dict(sheet.state_dict(), strict=False)
    return players.eval()


RING = Config(
    Schedule(steps=10_000, evaluate_every=20),
    "ring8",
    activation="relu",  # sharper than leaky ones: fewer samples between the modes
    r1=0.1,
    anneal=True,
    average=0.999,
)
DIGITS = Config(
    Schedule(steps=6_000, evaluate_every=20, samples=597),
    "digits",
    latent=32,
    batch=128,
    width=256,
    activation="relu",
    r1=4.0,  # 1,200 images are learned by heart where the slope is less dear
    beta1=0.0,
    anneal=True,
    average=0.999,
)
MNIST = replace(
    DIGITS,
    schedule=Schedule(steps=6_000, evaluate_every=40, samples=10_000),
    data="mnist",
    latent=64,
    batch=64,
    width=128,
    r1=1.0,
)
PACGAN = "Lin et al. 2018, 10 trials of "
PRESETS = {
    "ring8": Preset(
        "eight Gaussians on a circle: modes, high quality, reverse KL",
        RING,
        speed=130,
        published=Published("7.9 ± 0.1", PACGAN + "PacGAN2, modes"),
        own=Measured(8, 8, 8, "ring8", "r1_modes"),
    ),
    "grid25": Preset(
        "twenty-five Gaussians on a grid",
        replace(RING, schedule=Schedule(steps=20_000, evaluate_every=40), data="grid25"),
        speed=130,
        published=Published("24.8 ± 0.2", PACGAN + "PacGAN4, modes"),
        own=Measured(25, 25, 25, "grid25", "r1_modes"),
    ),
    "lecture-collapse": Preset(
        "fails on purpose: all samples sit on one mode, then on another; the instruments say why",
        Config(
            Schedule(steps=25_000, evaluate_every=10, rounds=100),
            "ring8",
            loss="minimax",
            latent=16,
            depth=2,
            activation="relu",
            discriminator_rate=1e-4,  # a tenth of G's: G is where D no longer looks before D has turned round
            diagnose=True,
        ),
        speed=180,
    ),
    "wgan-gp": Preset(
        "a Wasserstein critic with a gradient penalty, five turns to one, on the ring",
        Config(
            Schedule(steps=5_000, evaluate_every=20),
            "ring8",
            loss="wasserstein",
            dynamics="alternating:k=5",
            gradient_penalty=0.1,
            beta1=0.0,
        ),
        speed=30,
    ),
    "r3gan": Preset(
        "relativistic pairs with slopes held at real samples and fakes, on the ring",
        replace(RING, loss="relativistic", r2=0.1),
        speed=115,
    ),
    "digits": Preset("scikit-learn's 8×8 digits, which need no download", DIGITS, speed=85),
    "digits-by-class": Preset("the digit that is asked for", replace(DIGITS, conditioning="projection"), speed=80),
    "mnist": Preset("MNIST from a folder of idx files", MNIST, speed=15),
    "stacked-mnist": Preset(
        "three digits in the colours of one image: 1,000 modes",
        replace(
            MNIST,
            data="stacked-mnist",
            width=256,
            schedule=Schedule(steps=50_000, evaluate_every=100, samples=26_000),
        ),
        published=Published("1000 ± 0", PACGAN + "PacDCGAN2, modes"),
    ),
}
