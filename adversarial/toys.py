"""Games small enough to know the answer: what a dynamics does on them is algebra, and tests hold it to that.

bilinear    x pays y the amount x·y; the equilibrium is 0, and v turns around it
Dirac-GAN   data are the point 0, a fake is the point θ, the discriminator is D(x) = ψx     Mescheder et al. 2018
matrix      x pays y the amount xᵀAy, both on a simplex                                     von Neumann 1928
"""

from __future__ import annotations

from itertools import product
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn.functional import logsigmoid

from sparring.adversarial.game import Game, Point
from sparring.envs.errors import BadInputError

Numbers = NDArray[np.float64]

PENNIES = np.array([[1.0, -1.0], [-1.0, 1.0]])
ROCK_PAPER_SCISSORS = np.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])


class Bilinear(Game[None]):
    """min over x, max over y of x·y."""

    zero_sum = True

    def __init__(self, x: float = 1.0, y: float = 1.0) -> None:
        super().__init__({"x": Point([x]), "y": Point([y])})

    def loss(self, player: str, batch: None) -> Tensor:
        """x·y for the one, −x·y for the other."""
        paid = (self.at("x") * self.at("y")).sum()
        return paid if player == "x" else -paid


class DiracGAN(Game[None]):
    """One fake, one datum, one slope.

    The discriminator would maximise f(ψθ) + f(0) − γψ²/2 and the generator minimises f(ψθ), f(t) = −log(1 + e^{−t})
    (`minimax`); or it maximises f(−ψθ) (`non-saturating`); or f(t) = t (`wasserstein`). γ is the weight of the R1
    penalty: with γ > 0 it comes to rest, without it turns for ever.
    """

    def __init__(
        self,
        kind: Literal["minimax", "non-saturating", "wasserstein"] = "minimax",
        gamma: float = 0.0,
        theta: float = 1.0,
        psi: float = 1.0,
    ) -> None:
        players = {
            "generator": Point([theta]),
            "discriminator": Point([psi]),
        }
        super().__init__(players)
        self.kind = kind
        self.γ = gamma
        self.zero_sum = kind != "non-saturating" and gamma == 0

    def loss(self, player: str, batch: None) -> Tensor:
        """As the class says; constants are left out."""
        told = (self.at("generator") * self.at("discriminator")).sum()

        def f(t: Tensor) -> Tensor:
            return t if self.kind == "wasserstein" else logsigmoid(t)

        if player == "discriminator":
            penalty = self.γ / 2 * self.at("discriminator").square().sum()
            return penalty - f(told)
        return -f(-told) if self.kind == "non-saturating" else f(told)


class MatrixGame(Game[None]):
    """min over x, max over y of xᵀAy, x and y mixed strategies; who leaves the simplex is brought back."""

    zero_sum = True

    def __init__(self, payoff: Numbers, x: Numbers | None = None, y: Numbers | None = None) -> None:
        """`payoff` [m, n]: what x pays; strategies start uniform."""
        sides = dict(zip("xy", payoff.shape, strict=True))
        uniform = {player: np.full(side, 1 / side) for player, side in sides.items()}
        starts = {"x": uniform["x"] if x is None else x, "y": uniform["y"] if y is None else y}
        for player, start in starts.items():
            if start.shape != (sides[player],):
                raise BadInputError(f"{player} has {start.shape} weights, and {sides[player]} pure strategies")
        super().__init__({player: Point(start) for player, start in starts.items()})
        self.payoff = torch.tensor(payoff, dtype=torch.float64)

    def loss(self, player: str, batch: None) -> Tensor:
        """xᵀAy for the one, −xᵀAy for the other."""
        paid = self.at("x") @ self.payoff @ self.at("y")
        return paid if player == "x" else -paid

    def project(self, player: str) -> None:
        """The nearest mixed strategy."""
        at = self.at(player)
        at.copy_(nearest_on_simplex(at))


class KuhnPoker(Game[None]):
    """Jack, queen, king, one card each, one coin in the pot from each; x speaks first.

    A strategy is six probabilities of putting a second coin in, by card: `x` at the start and, after its pass was
    answered by a bet, for the call; `y` after a pass and after a bet. Who does not put it in passes, or folds.
    """

    zero_sum = True

    def __init__(self, x: Numbers | None = None, y: Numbers | None = None) -> None:
        """Strategies [2, 3] by occasion and card; they start at a half."""
        half = np.full((2, 3), 0.5)
        super().__init__({"x": Point(half if x is None else x), "y": Point(half if y is None else y)})
        deals = [(mine, yours) for mine in range(3) for yours in range(3) if mine != yours]
        self.mine, self.yours = (list(cards) for cards in zip(*deals, strict=True))
        self.wins = torch.tensor([1.0 if mine > yours else -1.0 for mine, yours in deals], dtype=torch.float64)

    def loss(self, player: str, batch: None) -> Tensor:
        """What the player can expect to pay, over all six deals."""
        bet, call = self.at("x")[:, self.mine]
        raised, called = self.at("y")[:, self.yours]
        after_bet = called * 2 * self.wins + (1 - called)
        after_raise = call * 2 * self.wins - (1 - call)
        after_pass = raised * after_raise + (1 - raised) * self.wins
        earned: Tensor = (bet * after_bet + (1 - bet) * after_pass).mean()
        return -earned if player == "x" else earned

    def project(self, player: str) -> None:
        """Probabilities."""
        self.at(player).clamp_(0, 1)


def best_pure_answer(game: Game[None], player: str, batch: None) -> None:
    """Put a player of a small game of chances in [0, 1] at its best answer: some corner is one, and all are tried."""
    at = game.at(player)
    corners = torch.tensor(list(product((0.0, 1.0), repeat=at.numel())), dtype=at.dtype)
    put_at_best(game, player, batch, corners.view(-1, *at.shape))


def best_pure_strategy(game: Game[None], player: str, batch: None) -> None:
    """Put a player of a matrix game at its best answer: some pure strategy is one."""
    at = game.at(player)
    put_at_best(game, player, batch, torch.eye(len(at), dtype=at.dtype))


@torch.no_grad()
def put_at_best(game: Game[None], player: str, batch: None, answers: Tensor) -> None:
    """Put a player at the best of some answers [A, *shape], all of which are tried at once."""

    def cost(answer: Tensor) -> Any:
        return functional_call(game, {f"players.{player}.at": answer}, (player, batch))

    game.at(player).copy_(answers[vmap(cost)(answers).argmin()])


def nearest_on_simplex(point: Tensor) -> Tensor:
    """The Euclidean projection of `point` [n] on {p ≥ 0, Σp = 1} (Duchi et al. 2008, figure 1)."""
    descending = point.sort(descending=True).values
    excess = (descending.cumsum(0) - 1) / torch.arange(1, len(point) + 1, dtype=point.dtype)
    return (point - excess[(descending > excess).nonzero()[-1, 0]]).clamp(min=0)
