"""Play: the Algorithm that moves any Game by any Dynamics; and the Source that deals what the rounds are played on.

An update is some rounds; a round is one step of the dynamics, on as many fresh batches as it takes. Everything that
survives a crash is torch's own: the game's weights, the optimisers, their schedules, the averages.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Generic, TypeVar

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from sparring.adversarial.dynamics import Dynamics
from sparring.adversarial.game import Game, Match
from sparring.agents.descent import Terms
from sparring.agents.networks import Precision
from sparring.agents.policy import Dice
from sparring.agents.protocol import Stateful
from sparring.envs.errors import check_ranges
from sparring.envs.rollouts import Metrics, Report

Batch = TypeVar("Batch")
Deal = Callable[[torch.Generator, int], Sequence[Batch]]
"""so many batches, from these dice"""


@dataclass(frozen=True)
class Schedule:
    """How long, and how often what; everything that decides the learning is counted in updates, never in seconds."""

    steps: int
    """rounds in the whole run: in each, every player moves"""
    save_every: int = 20
    """updates between checkpoints"""
    evaluate_every: int = 0
    """updates between evaluations, the first before any learning; 0: only at the end"""
    rounds: int = 50
    """rounds in an update"""
    samples: int = 2_500
    """that an evaluation draws"""

    def __post_init__(self) -> None:
        check_ranges(self, steps=(1, inf), save_every=(1, inf), evaluate_every=(0, inf), rounds=(1, inf))
        check_ranges(self, samples=(2, inf))

    def judging(self, samples: int) -> Schedule:
        """The same with evaluations of so many samples."""
        return replace(self, samples=samples)

    @property
    def updates(self) -> int:
        """In the whole run."""
        return -(-self.steps // self.rounds)


class Play(Generic[Batch]):
    """Steps a game with a dynamics, over optimisers of torch."""

    def __init__(
        self,
        game: Game[Batch],
        dynamics: Dynamics[Batch],
        optimisers: Mapping[str, Optimizer],
        *,
        rates: Mapping[str, Callable[[int], float]] | None = None,
        averages: Mapping[str, float] | None = None,
        precision: Precision = "fp32",
        known: Stateful | None = None,
    ) -> None:
        """Set the players at their board.

        Args:
            game: what is played.
            dynamics: how players move.
            optimisers: of every player.
            rates: by player, what its learning rate is multiplied by after so many updates; others' stay.
            averages: by player, the decay of a moving average of its weights, and of the moments that its batch norm
                keeps, round by round; see `moving_average`.
            precision: of the arithmetic of rounds; judges look in fp32.
            known: what a checkpoint must find again, beside all that is learned.

        Raises:
            BadInputError: the dynamics cannot move this game.
        """
        self.game = game
        self.dynamics = dynamics
        self.precision = precision
        self.known = known
        self.match = Match(game, optimisers)
        dynamics.check(self.match)
        self.schedules = {
            player: LambdaLR(optimiser, (rates or {}).get(player, lambda begun: 1.0))
            for player, optimiser in optimisers.items()
        }
        self.averages = {
            player: AveragedModel(game.players[player], multi_avg_fn=moving_average(decay), use_buffers=True)
            for player, decay in (averages or {}).items()
        }

    def update(self, rounds: Sequence[Sequence[Batch]]) -> Metrics:
        """Play some rounds; every player's mean loss, and the gradients that were asked for so far.

        Raises:
            DivergedError: a loss is not finite.
        """
        terms = Terms(*(f"loss/{player}" for player in self.game.players))
        for batches in rounds:
            reborn = self.match.begin(batches[0])
            for player in self.averages.keys() & reborn:
                self.averages[player].n_averaged.zero_()  # its past is not the player's any more
            with self.precise():
                self.dynamics.step(self.match, batches)
            terms.add(*(self.match.losses[player] for player in self.game.players))
            for player, average in self.averages.items():
                average.update_parameters(self.game.players[player])
        for schedule in self.schedules.values():
            schedule.step()
        return {**terms.means(), "play/evaluations": self.match.evaluations}

    def precise(self) -> torch.autocast:
        """The context in which a round is computed; its weights move, so that none may be kept in bf16."""
        device = next(self.game.parameters()).device.type
        return torch.autocast(device, torch.bfloat16, enabled=self.precision == "bf16", cache_enabled=False)

    def parts(self) -> Mapping[str, Stateful]:
        """What must survive a crash; first what tells whether the rest can."""
        return {
            **({} if self.known is None else {"known": self.known}),
            "game": self.game,
            "match": self.match,
            "dynamics": self.dynamics,
            **{f"schedule/{player}": schedule for player, schedule in self.schedules.items()},
            **{f"average/{player}": average for player, average in self.averages.items()},
        }

    def player(self, name: str) -> torch.nn.Module:
        """A player as it is shown: its average where there is one."""
        return self.averages[name].module if name in self.averages else self.game.players[name]

    @contextlib.contextmanager
    def at_rest(self, name: str) -> Iterator[torch.nn.Module]:
        """A player as it is shown, while no network counts or drops anything."""
        player = self.player(name)
        networks = [self.game, player]
        before = [network.training for network in networks]
        try:
            for network in networks:
                network.eval()
            yield player
        finally:
            for network, mode in zip(networks, before, strict=True):
                network.train(mode)


def falling(updates: int) -> Callable[[int], float]:
    """A rate that falls to 0, update by update."""
    return lambda begun: 1 - begun / updates


def moving_average(decay: float) -> Callable[[Any, Any, Any], None]:
    """How an average takes in the n-th weights: a ← a + (1 − d) (w − a), d = min(decay, (1 + n) / (10 + n)).

    The second term forgets the beginning sooner (TensorFlow's `ExponentialMovingAverage` with `num_updates`). Counts
    are no weights: they are taken over.
    """

    def take_in(averages: list[torch.Tensor], weights: list[torch.Tensor], count: torch.Tensor) -> None:
        n = int(count)
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, weights, 1 - min(decay, (1 + n) / (10 + n)))
        else:
            torch._foreach_copy_(averages, weights)

    return torch.no_grad()(take_in)


class Table(Generic[Batch]):
    """Where the batches are dealt: a Source that follows from its seed alone and asks no algorithm."""

    begins_anew = True

    def __init__(self, deal: Deal[Batch], *, rounds: int, batches: int, device: str) -> None:
        """`rounds` in an update, `batches` in a round."""
        self.deal = deal
        self.batches = batches
        self.steps_per_draw = rounds
        self.dice = Dice(0, device)

    def reset(self, seed: int) -> None:
        """Begin anew."""
        self.dice.generator.manual_seed(seed)

    def draw(self, algorithm: object) -> list[Sequence[Batch]]:
        """The rounds of an update, each its batches."""
        dealt = self.deal(self.dice.generator, self.steps_per_draw * self.batches)
        return [dealt[first : first + self.batches] for first in range(0, len(dealt), self.batches)]

    def report(self) -> Report:
        """Nothing happens while cards are dealt."""
        return Report({}, {})

    def state_dict(self) -> dict[str, Any]:
        """The dice."""
        return self.dice.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.dice.load_state_dict(state)
