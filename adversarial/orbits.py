"""Orbits: the paths that players of small games take, beside the curve that theory draws.

On the bilinear game x·y every dynamics with step η is a linear map, and the distance to rest shrinks, or grows, by its
spectral radius ρ each round:

    simultaneous   ρ² = 1 + η²                      competitive        ρ² = 1 / (1 + η²)
    alternating    ρ  = 1, η < 2                    consensus, sga     ρ² = (1 − ηγ)² + η²
    extragradient  ρ² = 1 − η² + η⁴                 lookahead          ρ  = |1 − α + α (1 + iη)^k|^{1/k}
    optimistic     ρ  = |1 + 2iη + √(1 − 4η²)| / 2  unrolled           the eigenvalues of
                                                                       [[1, −η], [η, 1 − 2kη²]]

Other games have no curve to be held to: Dirac-GANs are shown by their distance to rest, games of strategies by their
exact duality gap (NashConv, in cards).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import inf
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from sparring.adversarial import dynamics, pictures
from sparring.adversarial.diagnostics import Respond, duality_gap, standing
from sparring.adversarial.game import Game
from sparring.adversarial.play import Play, Schedule, Table
from sparring.adversarial.sheets import Sheet
from sparring.adversarial.toys import (
    PENNIES,
    ROCK_PAPER_SCISSORS,
    Bilinear,
    DiracGAN,
    KuhnPoker,
    MatrixGame,
    best_pure_answer,
    best_pure_strategy,
)
from sparring.agents.protocol import Evaluation, Experiment, Preset, Watch, unwatched
from sparring.envs.errors import check_ranges
from sparring.envs.worlds import Array

Numbers = NDArray[np.float64]
GameName = Literal["bilinear", "dirac-gan", "dirac-wgan", "pennies", "rock-paper-scissors", "kuhn"]
AT_REST = "distance to rest"
EXPLOITABLE = "duality gap"
MEASURED = 200  # points of a way that are measured for a picture


@dataclass(frozen=True)
class Config:
    """Which game, and how its players move."""

    schedule: Schedule
    data: GameName
    """the game that is played"""
    dynamics: str = "alternating"
    """how players move, with parameters after a colon: extragradient, consensus:gamma=0.1, lookahead:k=6"""
    rate: float = 0.1
    """η: the step of plain gradient descent"""
    r1: float = 0.0
    """γ of the Dirac-GANs' penalty"""

    def __post_init__(self) -> None:
        check_ranges(self, rate=(0, inf), r1=(0, inf))
        dynamics.named(self.dynamics)


def game_of(config: Config) -> Game[None]:
    """The game, wherever its players are."""
    games: dict[GameName, Callable[[], Game[None]]] = {
        "bilinear": Bilinear,
        "dirac-gan": lambda: DiracGAN("minimax", config.r1),
        "dirac-wgan": lambda: DiracGAN("wasserstein", config.r1),
        "pennies": lambda: MatrixGame(PENNIES),
        "rock-paper-scissors": lambda: MatrixGame(ROCK_PAPER_SCISSORS),
        "kuhn": KuhnPoker,
    }
    return games[config.data]()


def start_of(config: Config, seed: int) -> Numbers:
    """Where the players begin [P]: anywhere around rest, or at any strategy."""
    random = np.random.default_rng(seed)
    sides = [point.numel() for point in game_of(config).parameters()]
    if config.data in ("pennies", "rock-paper-scissors"):
        return np.concatenate([random.dirichlet(np.ones(side)) for side in sides])
    return random.uniform(size=sum(sides)) if config.data == "kuhn" else random.standard_normal(sum(sides))


def measured_by(config: Config) -> str:
    """What says how far the players are from the end."""
    return AT_REST if config.data in ("bilinear", "dirac-gan", "dirac-wgan") else EXPLOITABLE


def begun(config: Config, start: Numbers) -> Play[None]:
    """The players at their start, set to move by plain gradient descent."""
    game = game_of(config)
    torch.nn.utils.vector_to_parameters(torch.tensor(start), game.parameters())  # which become views of it
    descent = {name: torch.optim.SGD(player.parameters(), lr=config.rate) for name, player in game.players.items()}
    return Play(game, dynamics.named(config.dynamics), descent)


class Orbit:
    """The way from a start, gone as far as it is asked for, and remembered."""

    def __init__(self, config: Config, start: Numbers) -> None:
        self.play = begun(config, start)
        self.way = [standing(self.play.game)]

    def until(self, rounds: int, watch: Watch = unwatched) -> Numbers:
        """All players' weights [rounds + 1, P] from the start on."""
        while len(self.way) <= rounds:
            self.play.update([[None] * self.play.dynamics.batches])
            self.way.append(standing(self.play.game))
            watch(len(self.way) - 1, rounds)
        return np.asarray(torch.stack(self.way[: rounds + 1]).numpy())


def apart(config: Config, way: Numbers) -> Numbers:
    """How far the players are from the end [T] at each point of a way [T, P]."""
    if measured_by(config) == AT_REST:
        return np.asarray(np.linalg.norm(way, axis=1))
    game, gaps = game_of(config), []
    answer: Respond = best_pure_answer if config.data == "kuhn" else best_pure_strategy
    for point in torch.from_numpy(way):
        torch.nn.utils.vector_to_parameters(point, game.parameters())
        gaps.append(duality_gap(game, None, answer, exact=True).value)
    return np.array(gaps)


def theory(config: Config) -> float | None:
    """ρ of a round on the bilinear game; None for other games."""
    if config.data != "bilinear":
        return None
    moves, η = dynamics.named(config.dynamics), config.rate
    match moves:
        case dynamics.Simultaneous():
            return float(np.hypot(1, η))
        case dynamics.Alternating(k=1):
            return 1.0 if η < 2 else float(abs(np.linalg.eigvals([[1, -η], [η, 1 - η**2]])).max())
        case dynamics.Extragradient():
            return float(np.sqrt(1 - η**2 + η**4))
        case dynamics.Optimistic():
            return float(abs(1 + 2j * η + np.emath.sqrt(1 - 4 * η**2)) / 2)
        case dynamics.Competitive():
            return float(1 / np.hypot(1, η))
        case dynamics.Consensus(γ=γ) | dynamics.SymplecticAdjustment(λ=γ):
            return float(np.hypot(1 - η * γ, η))
        case dynamics.Lookahead(inner=dynamics.Simultaneous(), k=k, α=α):
            return float(abs(1 - α + α * (1 + 1j * η) ** k) ** (1 / k))
        case dynamics.Unrolled(k=k):
            return float(abs(np.linalg.eigvals([[1, -η], [η, 1 - 2 * k * η**2]])).max())
    return None


def experiment(config: Config, *, seed: int, device: str) -> Experiment:
    """A small game, whose start is all that `seed` decides; it is computed on the CPU."""
    start = start_of(config, seed)
    play = begun(config, start)

    orbit = Orbit(config, start)

    def judge(play: Play[None], /, *, watch: Watch = unwatched) -> Evaluation:
        return evaluation(config, orbit.until(play.match.rounds, watch))

    def deal(dice: torch.Generator, count: int) -> list[None]:
        return [None] * count

    return Experiment(
        play, Table(deal, rounds=config.schedule.rounds, batches=play.dynamics.batches, device="cpu"), judge
    )


def evaluation(config: Config, way: Numbers) -> Evaluation:
    """Where the players are after a way [T, P], and how fast they came there."""
    first, last = apart(config, way[[0, -1]])
    rounds, ρ = len(way) - 1, theory(config)
    found = {
        measured_by(config).replace(" ", "_"): float(last),
        "per_round": float((last / first) ** (1 / max(rounds, 1))),
        **({} if ρ is None else {"per_round_theory": ρ}),
    }
    nobody, nothing = np.zeros((len(way), 0), np.float32), np.zeros(0, np.int64)
    sheet = Sheet("orbits", asdict(config), rounds, found, torch.get_num_threads(), nobody, nothing, way, {})
    return Evaluation(found, {"name": config.data, "start": [round(one, 6) for one in way[0].tolist()]}, [], [sheet])


def remake(config: Config, sheet: Sheet) -> Array:
    """The way [T, P], gone again from its start."""
    return Orbit(config, sheet.samples[0]).until(sheet.step)


def picture(config: Config, sheet: Sheet) -> Array:
    """The way of the first two weights, and how far from the end they were, beside theory's curve."""
    rounds = np.unique(np.linspace(0, sheet.step, MEASURED).astype(int))
    way = pictures.Way(sheet.samples, rounds, apart(config, sheet.samples[rounds]), theory(config))
    return pictures.of_way(way, f"{config.data} · {config.dynamics} · η = {config.rate:g}", measured_by(config))


ROUNDS = Schedule(steps=200, evaluate_every=2, rounds=10)
PRESETS = {
    "bilinear": Preset("x·y by turns: round and round, for ever", Config(ROUNDS, "bilinear", rate=0.3)),
    "extragradient": Preset(
        "the same with a look ahead: to rest", Config(ROUNDS, "bilinear", "extragradient", rate=0.3)
    ),
    "dirac": Preset("one fake against one slope: it turns", Config(ROUNDS, "dirac-gan", rate=0.2)),
    "dirac-r1": Preset("the same with a penalty on the slope: to rest", Config(ROUNDS, "dirac-gan", rate=0.2, r1=1.0)),
    "scissors": Preset(
        "optimistic players find that nothing is best", Config(ROUNDS, "rock-paper-scissors", "optimistic")
    ),
    "kuhn": Preset(
        "poker with three cards: bluffing is learned",
        Config(Schedule(steps=4_000, evaluate_every=4, rounds=100), "kuhn", "extragradient", rate=0.1),
    ),
}
