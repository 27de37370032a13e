"""A game is players and what each of them would minimise while the others hold still.

    player i holds weights w_i and would minimise  L_i(w_1, …, w_n; batch)

How they move is somebody else's business (`dynamics`): a game knows no optimiser, a dynamics no network. A loss is
pure: all that is random in it, latents and noise, lies in the batch. `Match` is a game being played: it asks for
gradients, counts them and moves the players; nobody's gradient leaks into anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.optim import Optimizer

Batch = TypeVar("Batch")
Direction = Sequence[Tensor]  # one tensor for each of a player's weights, of its shape
Field = Mapping[str, Direction]  # of every player


class Game(nn.Module, Generic[Batch]):
    """Players and losses. The order of the players is the order in which they move, where they take turns."""

    zero_sum = False
    """two players whose losses add up to nothing: then `value` is the first player's loss"""

    def __init__(self, players: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.players = nn.ModuleDict(players)

    def loss(self, player: str, batch: Batch) -> Tensor:
        """What the player would minimise [], with gradients to all players' weights."""
        raise NotImplementedError

    def losses(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        """All players' losses at one point, one after the other; a game whose losses share work does it once here."""
        for player in self.players:
            yield player, self.loss(player, batch)

    def value(self, batch: Batch) -> Tensor:
        """The value [] that a zero-sum game is about: what the first player pays to the second."""
        return self.loss(next(iter(self.players)), batch)

    def at(self, player: str) -> nn.Parameter:
        """Where a player stands that is a `Point`."""
        point = self.players[player]
        assert isinstance(point, Point)
        return point.at

    def project(self, player: str) -> None:
        """Bring a player that has moved back to where it may be: nothing, unless a game says otherwise."""

    def begin(self, batch: Batch) -> Sequence[str]:
        """A round begins: the players that are born anew in it, who are put where they start. Nobody, usually."""
        return ()

    def forward(self, player: str, batch: Batch) -> Tensor:
        """The loss, so that torch can call a game with other weights."""
        return self.loss(player, batch)


class Point(nn.Module):
    """A player that is nothing but numbers: a strategy, a perturbation, a coordinate."""

    def __init__(self, start: ArrayLike | Tensor) -> None:
        """A tensor as it is, anything else in double precision."""
        super().__init__()
        self.at = nn.Parameter(start.clone() if isinstance(start, Tensor) else torch.tensor(start, dtype=torch.float64))


class Match(Generic[Batch]):
    """A game, the optimiser of every player, and the number of gradients that were asked for so far."""

    def __init__(self, game: Game[Batch], optimisers: Mapping[str, Optimizer]) -> None:
        self.game = game
        self.optimisers = optimisers
        self.weights = {name: list(player.parameters()) for name, player in game.players.items()}
        self.gradients = 0  # of one player's loss, or products of the game's Jacobian with one player's direction
        self.rounds = 0  # begun so far
        self.losses: dict[str, Tensor] = {}  # [] as each player saw it last

    def state_dict(self) -> dict[str, Any]:
        """The optimisers, and what was counted."""
        optimisers = {player: optimiser.state_dict() for player, optimiser in self.optimisers.items()}
        return {"optimisers": optimisers, "gradients": self.gradients, "rounds": self.rounds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        for player, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][player])
        self.gradients, self.rounds = state["gradients"], state["rounds"]

    @property
    def evaluations(self) -> float:
        """Gradients so far, in units of the whole field's: the x-axis on which dynamics are compared."""
        return self.gradients / len(self.weights)

    def begin(self, batch: Batch) -> Sequence[str]:
        """Begin a round; whoever is born anew has no past, and neither has its optimiser. Their names."""
        self.rounds += 1
        reborn = self.game.begin(batch)
        for player in reborn:
            self.optimisers[player].state.clear()
        return reborn

    def gradient(self, player: str, batch: Batch, *, create_graph: bool = False) -> list[Tensor]:
        """∇_i L_i: of a player's own loss, for its own weights."""
        return self._down(player, self.game.loss(player, batch), create_graph=create_graph)

    def field(self, batch: Batch, *, create_graph: bool = False) -> dict[str, list[Tensor]]:
        """v = (∇_1 L_1, …, ∇_n L_n), all at the same point."""
        losses = self.game.losses(batch)
        return {player: self._down(player, one, create_graph=create_graph, retain_graph=True) for player, one in losses}

    def _down(self, player: str, loss: Tensor, **graphs: bool) -> list[Tensor]:
        """The gradient of a loss for a player's weights, counted and remembered."""
        self.gradients += 1
        self.losses[player] = loss.detach()
        return grad(loss, self.weights[player], **graphs)

    def move(self, player: str, direction: Direction) -> None:
        """One step of the player's optimiser down `direction`, and back to where the player may be."""
        for weight, one in zip(self.weights[player], direction, strict=True):
            weight.grad = one.detach()
        self.optimisers[player].step()
        self.optimisers[player].zero_grad()
        with torch.no_grad():
            self.game.project(player)

    def move_all(self, field: Field) -> None:
        """Everybody moves at once: nobody has seen the others' step."""
        for player, direction in field.items():
            self.move(player, direction)

    def standing(self) -> dict[str, list[Tensor]]:
        """Where all players are, to come back to."""
        return {player: [weight.detach().clone() for weight in weights] for player, weights in self.weights.items()}

    @torch.no_grad()
    def put(self, standing: Field) -> None:
        """Put all players where `standing` says."""
        for player, weights in self.weights.items():
            for weight, one in zip(weights, standing[player], strict=True):
                weight.copy_(one)

    def transposed_product(self, field: Field, along: Field) -> dict[str, list[Tensor]]:
        """Jᵀu of the game's Jacobian J = ∂v/∂w, for a `field` v with its graph and u = `along`."""
        self.gradients += len(self.weights)
        return self.parted(grad(dot(field, along), self.flat_weights(), retain_graph=True))

    def product(self, field: Field, along: Field) -> dict[str, list[Tensor]]:
        """Ju: the derivative, along u, of Jᵀq by its dummy q, in which it is linear."""
        self.gradients += len(self.weights)
        dummy = combined(lambda v: torch.zeros_like(v).requires_grad_(), field)
        transposed = self.parted(grad(dot(field, dummy), self.flat_weights(), create_graph=True))
        return self.parted(grad(dot(transposed, along), flat_of(dummy), retain_graph=True))

    def flat_weights(self) -> list[Tensor]:
        """All players' weights in one list."""
        return [weight for weights in self.weights.values() for weight in weights]

    def parted(self, flat: Sequence[Tensor]) -> dict[str, list[Tensor]]:
        """A list over all players' weights, by player."""
        rest = iter(flat)
        return {player: [next(rest) for _ in weights] for player, weights in self.weights.items()}


def grad(
    what: Tensor, by: Sequence[Tensor], *, create_graph: bool = False, retain_graph: bool | None = None
) -> list[Tensor]:
    """∂what/∂by, with zeros where `what` does not depend on a weight."""
    keep = create_graph if retain_graph is None else retain_graph
    if not what.requires_grad:
        return [torch.zeros_like(weight) for weight in by]
    found = torch.autograd.grad(what, by, create_graph=create_graph, retain_graph=keep, allow_unused=True)
    return [torch.zeros_like(weight) if one is None else one for one, weight in zip(found, by, strict=True)]


def flat_of(field: Field) -> list[Tensor]:
    """All players' tensors in one list."""
    return [one for direction in field.values() for one in direction]


def dot(one: Field, other: Field) -> Tensor:
    """⟨one, other⟩ over all players, []."""
    pairs = zip(flat_of(one), flat_of(other), strict=True)
    return torch.stack([(a * b).sum() for a, b in pairs]).sum()


def combined(do: Callable[..., Tensor], *fields: Field) -> dict[str, list[Tensor]]:
    """`do` on the corresponding tensors of several fields."""
    return {
        player: [do(*ones) for ones in zip(*(field[player] for field in fields), strict=True)] for player in fields[0]
    }
