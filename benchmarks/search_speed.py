"""How fast searches are: the tree alone, self-play as it trains, and OpenSpiel's Python search beside it.

**The tree alone.** Gumbel and PUCT searches from the empty board in 64 games side by side on one thread, guided by a
dummy that knows nothing and costs nothing: what remains is selecting, replaying moves with exact superko, masks and
planes, expanding and backing up. A simulation is one leaf.

**Self-play.** Draws of preset `go5-cpu` with the network as it is at first, in as many threads as the preset has, after
others that bring the games to different stages: the share of the time that is not spent in the network, and positions
a second; beside them the network's own evaluations a
second, in batches as large, on as many threads, which bound it: in the precision that self-play takes, and in fp32.

**OpenSpiel.** Its Python AlphaZero's actors search with `open_spiel.python.algorithms.mcts`, one game at a time, each
leaf evaluated alone. The same here, on one thread: our network as its evaluator, with a cache as large as its own, as
many simulations, 5×5, until a number of positions is played; both in fp32. Its own networks are written in JAX, which
is not installed here; so the search is compared, with the same network. Ours plays on one thread, too.

All take turns, and the best turn of each counts, for the machine may be noisy.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

import numpy as np
import pyspiel
import record
import torch
from open_spiel.python.algorithms import mcts

from sparring.agents import alphazero, networks
from sparring.agents.boardnet import Network
from sparring.agents.mcts import Searching, Trees
from sparring.agents.selfplay import SelfPlay
from sparring.envs.go.games import Games
from sparring.envs.go.rules import Rules
from sparring.envs.leaves import Leaves
from sparring.envs.worlds import Array

SLOTS = 64
DRAWS = 2  # that are timed, and as many before them
CACHE = 2**16  # evaluations that OpenSpiel's AlphaZero keeps
PRESET = alphazero.PRESETS["go5-cpu"].config


def tree_alone(size: int, select: str, simulations: int) -> float:
    """Simulations a second on one thread, without a network."""
    rules, dice = Rules(size, size), np.random.default_rng(0)
    games = Games(rules, SLOTS)
    trees = Trees(SLOTS, games.actions, Searching(select, simulations))  # type: ignore[arg-type]
    logits = dice.normal(size=(SLOTS, games.actions)).astype(np.float32)
    values = np.zeros(SLOTS, np.float32)

    def evaluate(leaves: Leaves, rows: Array) -> tuple[Array, Array]:
        return logits[: len(rows)], values[: len(rows)]

    for slot in range(SLOTS):
        games.begin(slot)
        trees.begin(slot, games.legal(slot), dice)
    start = perf_counter()
    while not trees.finished.all():
        trees.step(games, evaluate)
    return SLOTS * simulations / (perf_counter() - start)


def selfplay(groups: int, precision: networks.Precision) -> dict[str, float]:
    """Positions a second, and the share of the time that the network does not take."""
    playing = dataclasses.replace(PRESET.playing, groups=groups)
    config = dataclasses.replace(PRESET, playing=playing, precision=precision)
    made = alphazero.experiment(config, seed=0, device="cpu")
    source = SelfPlay(PRESET.played, playing, PRESET.search)
    source.reset(0)
    for _ in range(DRAWS):
        source.draw(made.algorithm)
    start, positions, outside, inside = perf_counter(), 0, 0.0, 0.0
    for _ in range(DRAWS):
        positions += sum(len(one.moves) for one in source.draw(made.algorithm))
        seconds = source.report().seconds
        outside, inside = outside + seconds["emulating"], inside + seconds["acting"]
    spent = perf_counter() - start
    return {"positions_per_s": positions / spent, "share_outside_network": outside / (outside + inside)}


def network_alone(threads: int, precision: networks.Precision, seconds: float = 2.0) -> float:
    """Evaluations a second as self-play asks for them, in batches of a group's slots, by threads of their own."""
    config, slots = dataclasses.replace(PRESET, precision=precision), PRESET.playing.slots
    algorithm = alphazero.experiment(config, seed=0, device="cpu").algorithm
    games, rows = Games(PRESET.played, slots), np.arange(slots)
    leaves = games.look(rows, np.zeros((slots, 1), np.int32), np.zeros(slots, np.int32))

    def work(group: int) -> int:
        evaluate, done, start = algorithm.evaluate(0, group), 0, perf_counter()
        while perf_counter() - start < seconds:
            evaluate(leaves, rows)
            done += slots
        return done

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads))) / seconds


class Evaluator(mcts.Evaluator):  # type: ignore[misc]
    """Our network for OpenSpiel's search; a leaf at a time, as its actors do."""

    def __init__(self) -> None:
        self.network = Network(PRESET.width, PRESET.blocks).eval()
        self.rules = PRESET.played
        self.said = functools.lru_cache(CACHE)(self._said)

    def _ask(self, state: Any) -> tuple[Array, float]:
        return self.said(np.array(state.observation_tensor(), np.uint8).tobytes())

    def _said(self, seen: bytes) -> tuple[Array, float]:
        planes = np.zeros((1, 10, self.rules.height, self.rules.width), np.uint8)
        planes[0, :4] = np.frombuffer(seen, np.uint8).reshape(4, self.rules.height, -1)
        with torch.inference_mode():
            told = self.network(torch.from_numpy(planes))
        return told.policy[0].softmax(0).numpy(), float(told.value)

    def evaluate(self, state: Any) -> Array:
        """Of both players."""
        value = self._ask(state)[1] * (1 if state.current_player() == 0 else -1)
        return np.array([value, -value])

    def prior(self, state: Any) -> list[tuple[int, float]]:
        """Of every legal action."""
        chances = self._ask(state)[0]
        return [(action, float(chances[action])) for action in state.legal_actions()]


def openspiel(simulations: int, positions: int) -> float:
    """Positions a second that its Python search plays, on one thread."""
    game = pyspiel.load_game("go", {"board_size": PRESET.board, "komi": PRESET.komi})
    dice = np.random.RandomState(0)
    bot = mcts.MCTSBot(game, 1.1, simulations, Evaluator(), solve=False, random_state=dice, dirichlet_noise=(0.25, 1.0))
    state, start = game.new_initial_state(), perf_counter()
    for _ in range(positions):
        if state.is_terminal():
            state = game.new_initial_state()
        root = bot.mcts_search(state)
        visits = np.array([child.explore_count for child in root.children], float)
        state.apply_action(root.children[int(dice.choice(len(visits), p=visits / visits.sum()))].action)
    return positions / (perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--simulations", type=int, default=400, help="of a search of the tree alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    threads, simulations = PRESET.playing.groups, PRESET.search.simulations
    trees: dict[str, Callable[[], float]] = {
        f"simulations_per_s_{size}{suffix}": lambda size=size, select=select: tree_alone(  # type: ignore[misc]
            size, select, options.simulations
        )
        for size in (9, 5)
        for select, suffix in (("puct", ""), ("gumbel", "_gumbel"))
    }
    for measure in trees.values():
        measure()  # compiles
    best: dict[str, float] = {}
    for turn in range(options.turns):
        measured = {name: measure() for name, measure in trees.items()}
        two, one, plain = selfplay(threads, PRESET.precision), selfplay(1, PRESET.precision), selfplay(1, "fp32")
        measured |= {
            "positions_per_s": two["positions_per_s"],
            "positions_per_s_one_thread": one["positions_per_s"],
            "positions_per_s_one_thread_fp32": plain["positions_per_s"],
            "network_evaluations_per_s": network_alone(threads, PRESET.precision),
            "network_evaluations_per_s_fp32": network_alone(threads, "fp32"),
            "openspiel_positions_per_s": openspiel(simulations, 40),
        }
        share = {"share_outside_network_5": two["share_outside_network"]}
        best = {name: max(value, best.get(name, 0.0)) for name, value in measured.items()} | {
            name: min(value, best.get(name, 1.0)) for name, value in share.items()
        }
        print(f"turn {turn + 1}:", {name: round(value, 3) for name, value in (measured | share).items()}, flush=True)
    figures: dict[str, Any] = {
        name: round(value, 4) if value < 100 else round(value) for name, value in sorted(best.items())
    }
    figures["bound_of_positions_per_s"] = round(best["network_evaluations_per_s"] / (simulations + 1))
    figures["over_openspiel_alphazero"] = round(
        best["positions_per_s_one_thread_fp32"] / best["openspiel_positions_per_s"], 2
    )
    record.write(
        "search_speed",
        figures=figures,
        protocol={
            "turns": options.turns,
            "tree": {"games": SLOTS, "simulations": options.simulations, "threads": 1, "from": "the empty board"},
            "selfplay": {"preset": "go5-cpu", "draws": DRAWS, "config": dataclasses.asdict(PRESET)},
            "openspiel": {"simulations": simulations, "positions": 40, "threads": 1, "uct_c": 1.1},
        },
        seeds=[0],
        notes="Best of all turns; the share outside the network is the least. over_openspiel_alphazero: positions a "
        "second of one thread each, the same network in fp32 and number of simulations.",
        packages=("open-spiel",),
    )


if __name__ == "__main__":
    main()
