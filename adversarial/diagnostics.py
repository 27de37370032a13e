"""What shows whether players are near an equilibrium, for any game.

w are all players' weights, v(w) the field of their own gradients, L_i what player i would minimise.

    gradient norm    ‖v(w)‖: 0 at rest, wherever that is
    spectrum         eigenvalues of J = ∂v/∂w: all real parts > 0, and small steps come to rest; imaginary parts turn
    path angle       cos of the angle between −v and the way to where the players end up, along that way: a sudden
                     change of sign is a saddle or an end, a bump is rotation                 Berard et al. 2019
    duality gap      Σ_i  L_i(w) − min over w_i' of L_i(w_i', w_others): what all would gain, each by its best answer
                     to the others; 0 exactly at a Nash equilibrium; NashConv, in cards       Grnarova et al. 2019
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from sparring.adversarial.game import Game, Match, flat_of, grad

Batch = TypeVar("Batch")
Complex = NDArray[np.complex128]


def gradient_norm(game: Game[Batch], batch: Batch) -> float:
    """‖v(w)‖ over all players."""
    field = flat_of(Match(game, {}).field(batch))
    return float(torch.cat([one.flatten() for one in field]).norm())


def spectrum(game: Game[Batch], batch: Batch) -> Complex:
    """All eigenvalues of J [P], for games of up to some thousand weights: P products."""
    return np.linalg.eigvals(jacobian(game, batch).double().cpu().numpy())


def jacobian(game: Game[Batch], batch: Batch) -> torch.Tensor:
    """J [P, P], row by row."""
    match = Match(game, {})
    weights = match.flat_weights()
    field = torch.cat([one.flatten() for one in flat_of(match.field(batch, create_graph=True))])
    rows = [torch.cat([one.flatten() for one in grad(one, weights, retain_graph=True)]) for one in field]
    return torch.stack(rows).detach()


def extreme_eigenvalues(game: Game[Batch], batch: Batch, count: int, which: Literal["LM", "LR", "SR", "LI"]) -> Complex:
    """The `count` eigenvalues of J that are largest in size, real part, or imaginary part, or smallest in real part.

    By Arnoldi's iteration (ARPACK), from products Ju alone: for networks. They are as exact as products of such numbers
    can tell: to the root of the type's rounding.
    """
    from scipy.sparse.linalg import LinearOperator, eigs

    match = Match(game, {})
    field = match.field(batch, create_graph=True)
    like = flat_of(field)
    sizes, dtype, device = [one.numel() for one in like], like[0].dtype, like[0].device

    def product(u: NDArray[Any]) -> NDArray[Any]:
        parts = torch.as_tensor(u.ravel(), dtype=dtype, device=device).split(sizes)  # type: ignore[no-untyped-call]
        along = match.parted([part.view_as(one) for part, one in zip(parts, like, strict=True)])
        return torch.cat([one.flatten() for one in flat_of(match.product(field, along))]).double().cpu().numpy()

    whole = sum(sizes)
    start = np.random.default_rng(0).standard_normal(whole)
    operator = LinearOperator((whole, whole), matvec=product, dtype=np.float64)
    exactness = torch.finfo(dtype).eps ** 0.5
    return np.asarray(eigs(operator, k=count, which=which, v0=start, tol=exactness, return_eigenvectors=False))


class Gap(NamedTuple):
    """A duality gap, and whether it is one."""

    value: float
    exact: bool  # False: a lower bound, since a better answer may exist

    def __str__(self) -> str:
        return f"{self.value:.6g}" if self.exact else f"≥ {self.value:.6g}"


Respond = Callable[[Game[Any], str, Any], None]
"""puts one player of a game where it answers the others best, as well as it can"""


def duality_gap(game: Game[Batch], batch: Batch, respond: Respond, *, exact: bool) -> Gap:
    """Σ over players of what the answer that `respond` finds gains; the game stays as it is.

    `batch` should be held out: an answer that only fits the batch gains nothing elsewhere. The losses are those that
    the players optimise; for a zero-sum game the sum is the difference max − min of its value.
    """
    gain = 0.0
    for player in game.players:
        other = copy.deepcopy(game)
        respond(other, player, batch)
        with torch.no_grad():
            gain += float(game.loss(player, batch) - other.loss(player, batch))
    return Gap(gain, exact)


def descend(
    steps: int, make: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer], *, on: Any = None
) -> Respond:
    """An answer by so many steps of an optimiser: a lower bound on what could be gained.

    It is found `on` a batch of its own, so that no gain is mere memory; None: on the one that it is judged on.
    """

    def respond(game: Game[Any], player: str, batch: Any) -> None:
        match = Match(game, {player: make(list(game.players[player].parameters()))})
        for _ in range(steps):
            match.move(player, match.gradient(player, batch if on is None else on))

    return respond


class PathAngle(NamedTuple):
    """Along the straight way w(α) = start + α (end − start)."""

    alphas: NDArray[np.float64]  # [A]
    cosines: NDArray[np.float64]  # [A] of the angle between −v(w(α)) and the way


def path_angle(game: Game[Batch], start: torch.Tensor, end: torch.Tensor, batch: Batch, points: int = 41) -> PathAngle:
    """From `start` past `end`, both [P] as `torch.nn.utils.parameters_to_vector(game.parameters())` has them."""
    game = copy.deepcopy(game)
    way = end - start
    alphas, cosines = np.linspace(0.0, 1.5, points), []
    for alpha in alphas.tolist():
        vector_to_parameters(start + alpha * way, game.parameters())
        moving = -torch.cat([one.flatten() for one in flat_of(Match(game, {}).field(batch))])
        cosines.append(float(torch.cosine_similarity(moving, way, dim=0)))
    return PathAngle(alphas, np.array(cosines))


def standing(game: Game[Any]) -> torch.Tensor:
    """All players' weights as one vector [P]."""
    return parameters_to_vector(game.parameters()).detach().clone()
