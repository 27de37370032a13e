"""Monte Carlo tree search over many games at once: PUCT, Gumbel and UCT on the slabs of `tree`.

A search is guided by any `Evaluate`: a network, or playouts. In training every tree looks at one leaf a round, and the
leaves of all games are evaluated together, so that a batch costs a game nothing in strength; only for interactive play,
where there is one game, do several rows share a tree and drive each other apart by virtual loss.

    while not trees.finished.all():
        trees.step(boards, evaluate)
    move, target = trees.best(0), trees.policy(0)

What a search advises:

    puct, uct    π(a) = N(a) / N, without the visits that were forced (Wu, arXiv 1902.10565, section 3.2)
    gumbel       π = softmax(ln P + σ(Q̂)); the move is the last that sequential halving leaves (Danihelka et al., 2022)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, inf, log2
from typing import Literal, Protocol

import numpy as np

from sparring.agents import tree as kernels
from sparring.envs.errors import BadInputError, check_ranges
from sparring.envs.leaves import Leaves
from sparring.envs.worlds import Array

KINDS = {"uct": kernels.UCT, "puct": kernels.PUCT, "gumbel": kernels.GUMBEL}


class Boards(Protocol):
    """Games of two players by turns, as a search needs them."""

    actions: int

    def look(self, games: Array, actions: Array, length: Array) -> Leaves:
        """Replay ways from where games stand.

        Args:
            games: of each row [R].
            actions: [R, D].
            length: of each way [R]; a row of −1 is not looked at, and what is returned there means nothing.
        """


Evaluate = Callable[[Leaves, Array], tuple[Array, Array]]
"""of leaves and rows [n] where the game goes on: logits of the policy [n, A], values [n] to the player to move"""


@dataclass(frozen=True)
class Searching:
    """How a tree is grown."""

    select: Literal["gumbel", "puct", "uct"] = "gumbel"
    """how edges are selected"""
    simulations: int = 32
    """of a search"""
    c_puct: float = 1.1
    """exploration of puct and uct"""
    urgency: float = 0.2
    """puct: first-play urgency, what an unvisited edge is thought to lose; 0 at a root with noise"""
    forced: float = 0.0
    """puct: k of forced playouts at a root with noise; 2 in KataGo, 0 for none"""
    noise: float = 0.25
    """puct: share of Dirichlet noise in the root's prior"""
    concentration: float = 10.83
    """puct: sum of the Dirichlet distribution's parameters; 0.03 · 361, KataGo's"""
    considered: int = 16
    """gumbel: m, how many actions the root considers"""
    c_visit: float = 50.0
    """gumbel: visits that σ adds"""
    c_scale: float = 1.0
    """gumbel: weight of values against logits"""

    def __post_init__(self) -> None:
        check_ranges(self, simulations=(1, 2**20), c_puct=(0, inf), urgency=(0, 2), forced=(0, inf), noise=(0, 1))
        check_ranges(self, concentration=(1e-6, inf), considered=(1, 2**15), c_visit=(0, inf), c_scale=(0, inf))
        if self.select not in KINDS:
            raise BadInputError(f"select is {self.select!r}; it can be {', '.join(KINDS)}")


@functools.cache
def halving(considered: int, simulations: int) -> tuple[int, ...]:
    """The visits that the root's next action must have, simulation after simulation, under sequential halving.

    m actions share the simulations of each of log₂ m phases, and the better half goes on (Karnin et al., 2013).
    """
    if considered == 1:
        return tuple(range(simulations))
    plan: list[int] = []
    phases, left, visits = ceil(log2(considered)), considered, 0
    while len(plan) < simulations:
        each = max(1, simulations // (phases * left))
        plan += [visits + more for more in range(each) for _ in range(left)]
        visits, left = visits + each, max(2, left // 2)
    return tuple(plan[:simulations])


class Trees:
    """B trees, grown together by a simulation a round."""

    def __init__(self, trees: int, actions: int, searching: Searching, *, nodes: int = 0, rows: int = 1) -> None:
        """Make room.

        Args:
            trees: B.
            actions: A.
            searching: how they grow.
            nodes: that a tree has room for; 0: as many as one search needs.
            rows: leaves that a tree looks at in a round; above 1, virtual loss keeps them apart.
        """
        self.searching = searching
        most = max(nodes, searching.simulations + 1)
        self.slab = kernels.slab(trees, most, actions, searching.simulations)
        self.ways = kernels.ways(trees * rows, most)
        self.ways.tree[:] = np.repeat(np.arange(trees), rows)
        self.rule = kernels.Rule(
            KINDS[searching.select],
            searching.c_puct,
            searching.urgency,
            searching.forced,
            searching.noise,
            searching.c_visit,
            searching.c_scale,
            float(rows > 1),
        )
        self.logits = np.zeros((trees * rows, actions), np.float32)
        self.scores = np.zeros(actions, np.float32)
        self.values = np.zeros(trees * rows, np.float32)

    @property
    def finished(self) -> Array:
        """Whose search is done [B] bool."""
        return np.asarray((self.slab.left == 0) & (self.slab.size > 0))

    def begin(
        self, tree: int, legal: Array, dice: np.random.Generator, *, simulations: int = 0, noisy: bool = True
    ) -> None:
        """Begin a search from a new position; what was found before is forgotten.

        Args:
            tree: whose.
            legal: actions there [A] bool.
            dice: for noise or Gumbel variables.
            simulations: in place of the configured number, at most that.
            noisy: whether the root has any.
        """
        self.slab.size[tree] = 0
        self.go_on(tree, legal, dice, simulations=simulations, noisy=noisy)

    def leave(self, tree: int) -> None:
        """Nothing more is searched here until `begin`."""
        self.slab.size[tree] = self.slab.left[tree] = 0

    def follow(self, tree: int, action: int) -> None:
        """Keep what was found behind a move that was played, for `go_on`; nothing under gumbel, whose halving would
        take old visits for its own.
        """
        if self.searching.select == "gumbel":
            self.leave(tree)
        else:
            kernels.keep(self.slab, tree, action, self.rule)

    def go_on(
        self, tree: int, legal: Array, dice: np.random.Generator, *, simulations: int = 0, noisy: bool = False
    ) -> None:
        """Search on from what is there; arguments as of `begin`. A root that was there before gets no new noise."""
        slab, count = self.slab, int(np.count_nonzero(legal))
        room = slab.prior.shape[1] - max(int(slab.size[tree]), 1)  # the root takes a node, and no simulation
        wanted = simulations or self.searching.simulations
        slab.left[tree] = max(0, min(wanted, room))
        slab.done[tree], slab.noisy[tree] = 0, noisy
        if self.searching.select == "gumbel":
            slab.left[tree] = min(slab.left[tree], slab.halving.shape[1])
            slab.noise[tree] = dice.gumbel(size=slab.noise.shape[1]) if noisy else 0
            plan = halving(min(self.searching.considered, count), int(slab.left[tree]))
            slab.halving[tree, : len(plan)] = plan
        elif noisy:
            slab.noise[tree] = 0
            slab.noise[tree, legal] = dice.dirichlet(np.full(count, self.searching.concentration / count))

    def step(self, boards: Boards, evaluate: Evaluate) -> None:
        """One simulation, or the root's evaluation, in every tree that has any left."""
        kernels.select(self.slab, self.ways, self.rule, self.scores)
        leaves = boards.look(self.ways.tree, self.ways.actions, self.ways.length)
        rows = np.flatnonzero((self.ways.length >= 0) & (leaves.over == 0))
        self.values[:] = leaves.results
        if len(rows):
            self.logits[rows], self.values[rows] = evaluate(leaves, rows)
        kernels.expand(self.slab, self.ways, self.rule, self.logits, self.values, leaves.legal, leaves.over)

    def prior(self, tree: int) -> Array:
        """P of the root [A], with its noise; −1 where not legal."""
        return np.asarray(self.slab.prior[tree, 0])

    def visits(self, tree: int) -> Array:
        """N of the root [A]."""
        return self.by_action(tree, 0, self.slab.visits)

    def total(self, tree: int) -> Array:
        """W of the root [A]: what the visits brought, in the eyes of who moves there."""
        return self.by_action(tree, 0, self.slab.total)

    def value(self, tree: int) -> float:
        """What the root is worth to who moves there: the mean of its evaluation and of all that it brought."""
        return float((self.slab.value[tree, 0] + self.total(tree).sum()) / (1 + self.visits(tree).sum()))

    def ranking(self, tree: int) -> list[int]:
        """The root's legal moves, the most advisable first: by visits, then by the prior; under gumbel, as the halving
        left them.
        """
        prior, visits = self.prior(tree), self.visits(tree)
        second = self._improved(tree) + self.slab.noise[tree] if self.searching.select == "gumbel" else prior
        order = np.lexsort((second, visits))[::-1]
        return [int(action) for action in order if prior[action] >= 0]

    def best(self, tree: int) -> int:
        """The move that the search advises."""
        return self.ranking(tree)[0]

    def line(self, tree: int, action: int) -> list[int]:
        """How the search thinks that the game goes on after a move of the root: always the most visited one."""
        moves, node = [action], 0
        while True:
            node = int(self.by_action(tree, node, self.slab.child)[moves[-1]])
            visits = self.by_action(tree, node, self.slab.visits)
            if node == 0 or not visits.any():
                return moves
            moves.append(int(np.argmax(visits)))

    def by_action(self, tree: int, node: int, field: Array) -> Array:
        """A field of the slab's edges: of those of a node [A]; 0 where it has none."""
        first, count = int(self.slab.first[tree, node]), int(self.slab.degree[tree, node])
        found = np.zeros(self.slab.prior.shape[2], field.dtype)
        found[self.slab.action[tree, first : first + count]] = field[tree, first : first + count]
        return found

    def policy(self, tree: int) -> Array:
        """What the prior should have been [A] float32."""
        if self.searching.select == "gumbel":
            logits = self._improved(tree)
            weights = np.exp(logits - logits.max())
        else:
            weights = self._unforced(tree)
        return np.asarray(weights / weights.sum(), np.float32)

    def _improved(self, tree: int) -> Array:
        """ln P + σ(Q̂) of the root [A]."""
        logits: Array = np.empty(self.slab.prior.shape[2], np.float32)
        kernels.improve(self.slab, tree, self.rule, self.scores, logits)
        return logits

    def _unforced(self, tree: int) -> Array:
        """Visits of the root [A], less those that were forced where PUCT would not have paid them."""
        prior, visits, total = self.prior(tree), self.visits(tree), self.total(tree)
        if not (self.searching.forced and self.slab.noisy[tree]):
            return np.asarray(visits, float)
        best = int(np.argmax(visits))
        whole = visits.sum()
        explore = self.searching.c_puct * np.sqrt(1 + whole) * np.maximum(prior, 0)
        q = total / np.maximum(visits, 1)
        gap = q[best] + explore[best] / (1 + visits[best]) - q
        earned = np.where(gap > 0, explore / np.maximum(gap, 1e-9) - 1, np.inf)  # visits at which PUCT would stop
        forced = np.sqrt(self.searching.forced * np.maximum(prior, 0) * whole)
        left = np.minimum(visits, np.maximum(visits - forced, np.ceil(earned)))
        left[best] = visits[best]
        return np.where((left <= 1) & (np.arange(len(left)) != best), 0, left)
