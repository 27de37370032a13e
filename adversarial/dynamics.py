"""How the players of a game move: nine ways, each beside its equation, each over ordinary optimisers of torch.

w = (w_1, …, w_n) are all players' weights, v(w) = (∇_1 L_1, …, ∇_n L_n) the field of their own gradients, J = ∂v/∂w the
game's Jacobian, η a step. Where nobody's loss is another's, all of these are gradient descent. Where they are, v turns
in circles: its Jacobian has an antisymmetric part, along which nobody gains.

    simultaneous    w ← w − η v(w)                                      everybody at once
    alternating     w_1 ← w_1 − η ∇_1 L_1, then w_2 with the new w_1    k : 1 turns          Goodfellow et al. 2014
    extragradient   w ← w − η v(w − η v(w))                             look ahead first     Korpelevich 1976
    optimistic      w ← w − η (2 v(w) − v(w_before))                    the same from memory Popov 1980; Daskalakis 2018
    consensus       w ← w − η (v + γ Jᵀv)                               also lower ‖v‖²/2    Mescheder et al. 2017
    sga             w ← w − η (v ± λ Aᵀv),  A = (J − Jᵀ) / 2            only where it turns  Balduzzi et al. 2018
    competitive     each plays Nash in the bilinear game that it sees within a step          Schäfer & Anandkumar 2019
    lookahead       after k steps of another dynamics  s ← s + α (w − s),  w ← s             Chavdarova et al. 2021
    unrolled        the second player sees the first k steps later, and through them         Metz et al. 2017

What a direction is and how far a step goes are kept apart: a dynamics makes the direction, the player's optimiser takes
the step, so that Adam, momentum and schedules go with all of them (with SGD the equations above are exact). Every one
counts the gradients it asks for, which is the fair x-axis of a comparison.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.func import functional_call

from sparring.adversarial.game import Field, Match, combined, dot, grad
from sparring.envs.errors import BadInputError, UnknownNameError

Batch = TypeVar("Batch")


class Dynamics(Generic[Batch]):
    """A way of moving. `batches`: how many fresh batches a step takes."""

    batches = 1

    def step(self, match: Match[Batch], batches: Sequence[Batch]) -> None:
        """Move the players once."""
        raise NotImplementedError

    def check(self, match: Match[Batch]) -> None:
        """Refuse a game that this dynamics cannot move.

        Raises:
            BadInputError: names what it needs, and what the game has.
        """

    def state_dict(self) -> dict[str, Any]:
        """What it remembers from one step to the next."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""


class Simultaneous(Dynamics[Batch]):
    """Everybody steps down its own gradient at the same point."""

    def step(self, match: Match[Batch], batches: Sequence[Batch]) -> None:
        """w ← w − η v(w)."""
        match.move_all(match.field(batches[0]))


class Alternating(Dynamics[Batch]):
    """The players take turns, in their game's order, and each sees what those before have done."""

    def __init__(self, k: int = 1) -> None:
        """`k`: how often the first player moves in a round, on another batch each time, before the others move once."""
        self.k = at_least_one(k, "the first player moves at least once in a round")
        self.batches = k

    def step(self, match: Match[Batch], batches: Sequence[Batch]) -> None:
        """w_i ← w_i − η ∇_i L_i, one player after the other; the others see the last batch of the first."""
        first, *others = match.weights
        for batch in batches:
            match.move(first, match.gradient(first, batch))
        for player in others:
            match.move(player, match.gradient(player, batches[-1]))


class Extragradient(Dynamics[Batch]):
    """A step is taken from here in the direction that the field has a step ahead."""

    def step(self, match: Match[Batch], batches: Sequence[Batch]) -> None:
        """w ← w − η v(w − η v(w)), on one batch; optimisers remember both steps (ExtraAdam, Gidel et al. 2019)."""
        here = match.standing()
        match.move_all(match.field(batches[0]))
        ahead = match.field(batches[0])
        match.put(here)
        match.move_all(ahead)


class Optimistic(Dynamics[Batch]):
    """Extragradient that looks ahead by what it saw last: one evaluation a step."""

    def __init__(self) -> None:
        self.before: Field | None = None

    def step(self, match: Match[Batch], batches: Sequence[Batch]) -> None:
        """w ← w − η (2 v(w) − v(w_before)); the first step has no past, and is simultaneous."""
        now = match.field(batches[0])
        before = self.before or now
        match.move_all(combined(lambda v, last: 2 * v - last, now, before))
        self.before = now

    def state_dict(self) -> dict[str, Any]:
        """The field at the step before."""
        return {"before": self.before}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.before = state["before"]


class Consensus(Dynamics[Batch]):
    """Descent on everybody's own loss and, a little, on how far all are from rest."""

    def __init__(self, gamma: float = 1.0) -> None:
        self.γ = gamma

    def step(self, match: Match[Batch], batches: Sequence[Batch]) -> None:
        """w ← w − η (v + γ Jᵀv): Jᵀv is the gradient of ‖v‖² / 2."""
        v = match.field(batches[0], create_graph=True)
        uphill = match.transposed_product(v, rest(v))
        match.move_all(combined(lambda one, up: one + self.γ * up, v, uphill))


class SymplecticAdjustment(Dynamics[Batch]):
    """The field, turned towards where it would come to rest, by the part of it that turns."""

    def __init__(self, weight: float = 1.0, align: bool = True) -> None:
        """`align`: choose the sign that leads to stable points and away from others, as the paper does."""
        self.λ = weight
        self.align = align

    def step(self, match: Match[Batch], batches: Sequence[Batch]) -> None:
        """w ← w − η (v ± λ Aᵀv), 2 Aᵀv = Jᵀv − Jv; the sign is that of ⟨v, Jᵀv⟩ ⟨Aᵀv, Jᵀv⟩ + ε (its section 3.5)."""
        v = match.field(batches[0], create_graph=True)
        still = rest(v)
        uphill, along = match.transposed_product(v, still), match.product(v, still)
        adjustment = combined(lambda up, ahead: (up - ahead) / 2, uphill, along)
        sign = 1.0
        if self.align:
            size = sum(one.numel() for direction in v.values() for one in direction)
            agreement = dot(still, uphill) * dot(adjustment, uphill) / size
            sign = 1.0 if agreement + 0.1 >= 0 else -1.0
        match.move_all(combined(lambda one, turn: one + sign * self.λ * turn, still, adjustment))


class Competitive(Dynamics[Batch]):
    """Competitive gradient descent, for two players x and y of a zero-sum game f (x pays).

    Each takes its part of the Nash equilibrium of the game as both see it from here, bilinear and with the price of a
    step, f + ∇_x·Δx + ∇_y·Δy + Δx·B Δy + ‖Δx‖²/2η − ‖Δy‖²/2η,  B = ∂²f/∂x∂y:

        Δx = −η (I + η² B Bᵀ)⁻¹ (∇_x f + η B ∇_y f),   Δy = η (∇_y f + Bᵀ Δx)

    η is the first player's learning rate. The inverse is applied by conjugate gradients, two products each time round.
    """

    def __init__(self, tolerance: float = 1e-6, most: int = 100) -> None:
        """Stop when the residual has fallen to `tolerance` of what it was, or after `most` times round."""
        self.tolerance = tolerance
        self.most = most

    def check(self, match: Match[Batch]) -> None:
        """Two players, and what one gains the other loses."""
        if len(match.weights) != 2:
            raise BadInputError(
                f"competitive descent takes two players, and the game has {len(match.weights)}: "
                f"{', '.join(match.weights)}; try extragradient"
            )
        if not match.game.zero_sum:
            raise BadInputError(
                f"competitive descent takes a zero-sum game, and {type(match.game).__name__} is none; try extragradient"
            )

    def step(self, match: Match[Batch], batches: Sequence[Batch]) -> None:
        """One step of both."""
        x, y = match.weights
        η = match.optimisers[x].param_groups[0]["lr"]
        v = match.field(batches[0], create_graph=True)
        down, up = v[x], [-one for one in v[y]]  # ∇_x f, ∇_y f

        def by(seen: Sequence[Tensor], u: Sequence[Tensor], player: str) -> list[Tensor]:
            match.gradients += 1
            told = torch.stack([(one * other).sum() for one, other in zip(seen, u, strict=True)]).sum()
            return grad(told, match.weights[player], retain_graph=True)

        def back_and_forth(u: list[Tensor]) -> list[Tensor]:
            there = by(down, u, y)  # Bᵀu
            return [one + η**2 * again for one, again in zip(u, by(up, there, x), strict=True)]

        wanted = [one + η * pull for one, pull in zip(rest_of(down), by(up, rest_of(up), x), strict=True)]
        move = conjugate_gradients(back_and_forth, wanted, self.tolerance, self.most)
        answer = [-(one - η * pull) for one, pull in zip(rest_of(up), by(down, move, y), strict=True)]
        match.move_all({x: move, y: answer})


class Lookahead(Dynamics[Batch]):
    """Another dynamics, called back after every k steps to between where it was and where it went."""

    def __init__(self, inner: Dynamics[Batch] | None = None, k: int = 5, alpha: float = 0.5) -> None:
        self.inner = inner or Simultaneous()
        self.batches = self.inner.batches
        self.k = at_least_one(k, "another dynamics goes at least one step before it is called back")
        self.α = alpha
        self.taken = 0
        self.slow: Field | None = None

    def step(self, match: Match[Batch], batches: Sequence[Batch]) -> None:
        """One step of the inner dynamics; after the k-th  s ← s + α (w − s),  w ← s."""
        self.slow = self.slow or match.standing()
        self.inner.step(match, batches)
        self.taken += 1
        if self.taken % self.k == 0:
            self.slow = combined(lambda s, w: s + self.α * (w - s), self.slow, match.standing())
            match.put(self.slow)

    def check(self, match: Match[Batch]) -> None:
        """What the inner dynamics asks for."""
        self.inner.check(match)

    def state_dict(self) -> dict[str, Any]:
        """The slow weights, the steps taken, and the inner dynamics' state."""
        return {"slow": self.slow, "taken": self.taken, "inner": self.inner.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.slow, self.taken = state["slow"], state["taken"]
        self.inner.load_state_dict(state["inner"])


class Unrolled(Dynamics[Batch]):
    """The first player steps down its gradient; the second foresees k such steps, and what its own does to them."""

    def __init__(self, k: int = 5, rate: float | None = None) -> None:
        """`rate` of the foreseen steps, which are plain descent; None: the first player's learning rate."""
        self.k = at_least_one(k, "the second player foresees at least one step")
        self.rate = rate

    def check(self, match: Match[Batch]) -> None:
        """One who is foreseen, one who foresees."""
        if len(match.weights) != 2:
            raise BadInputError(f"unrolling takes two players, and the game has {len(match.weights)}")

    def step(self, match: Match[Batch], batches: Sequence[Batch]) -> None:
        """w_2 ← w_2 − η d/dw_2 L_2(u_k(w_2), w_2),  u_0 = w_1,  u_{j+1} = u_j − η ∇_1 L_1(u_j, w_2)."""
        batch = batches[0]
        first, second = match.weights
        rate = match.optimisers[first].param_groups[0]["lr"] if self.rate is None else self.rate
        own = match.game.players[first].named_parameters()
        foreseen: dict[str, Tensor] = {f"players.{first}.{name}": weight for name, weight in own}
        for _ in range(self.k):
            loss = functional_call(match.game, foreseen, (first, batch))
            down = grad(loss, list(foreseen.values()), create_graph=True)
            match.gradients += 1
            foreseen = {name: w - rate * one for (name, w), one in zip(foreseen.items(), down, strict=True)}
        seen = functional_call(match.game, foreseen, (second, batch))
        match.gradients += 1
        match.losses[second] = seen.detach()
        through = grad(seen, match.weights[second])
        match.move_all({first: match.gradient(first, batch), second: through})


DYNAMICS: dict[str, Callable[..., Dynamics[Any]]] = {
    "simultaneous": Simultaneous,
    "alternating": Alternating,
    "extragradient": Extragradient,
    "optimistic": Optimistic,
    "consensus": Consensus,
    "sga": SymplecticAdjustment,
    "competitive": Competitive,
    "lookahead": Lookahead,
    "unrolled": Unrolled,
}


def named(text: str) -> Dynamics[Any]:
    """A dynamics by its name and, after a colon, parameters: `alternating`, `lookahead:k=10,inner=alternating`.

    Raises:
        UnknownNameError: nothing is called so, or it has no such parameter.
        BadInputError: a parameter is not of its type, or one that cannot be.
    """
    name, _, words = text.partition(":")
    if name not in DYNAMICS:
        raise UnknownNameError("dynamics", name, DYNAMICS)
    known = inspect.signature(DYNAMICS[name]).parameters
    parameters = {}
    for word in filter(None, words.split(",")):
        key, _, value = word.partition("=")
        if key not in known:
            raise UnknownNameError(f"parameter of {name}", key, known or ["none"])
        read, what = READERS[str(known[key].annotation)]
        try:
            parameters[key] = read(value)
        except (KeyError, ValueError):
            raise BadInputError(f"{key} is {value!r}; it must be {what}") from None
    return DYNAMICS[name](**parameters)


READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "int": (int, "a whole number"),
    "float": (float, "a number"),
    "float | None": (float, "a number"),
    "bool": ({"true": True, "false": False}.__getitem__, "true or false"),
    "Dynamics[Batch] | None": (lambda name: DYNAMICS[name](), "the name of a dynamics"),
}
"""by a parameter's annotation: from its text, and what it must be"""


def at_least_one(k: int, why: str) -> int:
    """The number of steps.

    Raises:
        BadInputError: there are none.
    """
    if k < 1:
        raise BadInputError(f"k is {k}; {why}")
    return k


def rest(field: Field) -> dict[str, list[Tensor]]:
    """The same numbers without their past."""
    return {player: rest_of(direction) for player, direction in field.items()}


def rest_of(direction: Sequence[Tensor]) -> list[Tensor]:
    """A direction's numbers without their past."""
    return [one.detach() for one in direction]


def conjugate_gradients(
    product: Callable[[list[Tensor]], list[Tensor]], wanted: list[Tensor], tolerance: float, most: int
) -> list[Tensor]:
    """x with Mx = `wanted`, for a symmetric positive M given by its product (Hestenes & Stiefel 1952)."""
    x = [torch.zeros_like(one) for one in wanted]
    residual, direction = wanted, wanted
    size = first = inner(residual, residual)
    for _ in range(most):
        if size <= tolerance**2 * first:
            break
        there = product(direction)
        length = size / inner(direction, there)
        x = [one + length * d for one, d in zip(x, direction, strict=True)]
        residual = [r - length * t for r, t in zip(residual, there, strict=True)]
        before, size = size, inner(residual, residual)
        direction = [r + size / before * d for r, d in zip(residual, direction, strict=True)]
    return x


def inner(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """⟨one, other⟩."""
    return float(torch.stack([(a * b).sum() for a, b in zip(one, other, strict=True)]).sum())
