"""How fast Go is played here and elsewhere: random games on one thread, in alternating turns of the same run.

Ours is stepped through `GoVectorEnv`, so that its steps hold the exact mask of every position, under positional
superko; the actions are drawn by a kernel. OpenSpiel and PettingZoo are driven as their
users drive them, a game at a time: a uniform legal action, then the next state. Both know simple ko only.

A light playout is a whole game of random moves that fill no simple eye, from the empty board to two passes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from time import perf_counter

import numpy as np
import record

from sparring.envs.go import kernels, table
from sparring.envs.go.rules import Rules
from sparring.envs.go.vector import GoVectorEnv

GAMES = 128  # side by side
MANY = 100_000
COMPILES = """
from time import perf_counter
start = perf_counter()
import sparring.envs.go.vector as vector
imported = perf_counter()
vector.GoVectorEnv(2).reset()
print(perf_counter() - imported, imported - start)
"""
REMEMBERS = f"""
import resource
import numpy as np
import sparring.envs.go.vector as vector
worlds = vector.GoVectorEnv({MANY})
worlds.reset()
worlds.step(np.full({MANY}, 40))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


class Ours:
    """Games side by side, a step at a time."""

    def __init__(self, size: int, observe: bool = False, seed: int = 0) -> None:
        self.worlds = GoVectorEnv(GAMES, size, observe=observe)
        self.worlds.table = table.lay(self.worlds.rules, GAMES, seed)
        self.worlds.reset()
        self.actions = np.zeros(GAMES, np.int64)

    def run(self, seconds: float) -> float:
        """Steps a second."""
        start, steps = perf_counter(), 0
        while perf_counter() - start < seconds:
            for _ in range(20):
                t = self.worlds.table
                kernels.choose_all(t.u, t.k, t.geometry, t.shape, self.worlds.legal, self.actions)
                self.worlds.step(self.actions)
            steps += 20 * GAMES
        return steps / (perf_counter() - start)


class Playouts:
    """Whole games, one after the other."""

    def __init__(self, size: int) -> None:
        self.table = table.lay(Rules(size, size, "simple"), 1)
        self.moves = 0

    def run(self, seconds: float) -> float:
        """Games a second."""
        t, margins, played = self.table, np.zeros(1000, np.int32), 0
        start = perf_counter()
        while perf_counter() - start < seconds:
            kernels.playouts(t.u[0], t.i[0], t.k[0], t.z, t.geometry, t.shape, len(margins), margins)
            played += len(margins)
        return played / (perf_counter() - start)


class OpenSpiel:
    """Its states, from Python."""

    def __init__(self, size: int) -> None:
        import pyspiel

        self.game = pyspiel.load_game(f"go(board_size={size},komi=7.0)")

    def run(self, seconds: float) -> float:
        """Steps a second."""
        dice, start, steps = random.Random(0), perf_counter(), 0
        while perf_counter() - start < seconds:
            state = self.game.new_initial_state()
            while not state.is_terminal():
                state.apply_action(dice.choice(state.legal_actions()))
                steps += 1
        return steps / (perf_counter() - start)


class PettingZoo:
    """Its AEC world, as its manual plays it."""

    def __init__(self, size: int) -> None:
        warnings.filterwarnings("ignore")
        from pettingzoo.classic import go_v5

        self.world = go_v5.env(board_size=size, komi=7.0)

    def run(self, seconds: float) -> float:
        """Steps a second."""
        dice, start, steps = np.random.default_rng(0), perf_counter(), 0
        while perf_counter() - start < seconds:
            self.world.reset()
            for _ in self.world.agent_iter():
                seen, _reward, terminated, truncated, _info = self.world.last()
                if terminated or truncated or perf_counter() - start > 2 * seconds:
                    break
                self.world.step(int(dice.choice(np.flatnonzero(seen["action_mask"]))))
                steps += 1
        return steps / (perf_counter() - start)


def worker(size: int, seconds: float, seed: int, pipe: Connection) -> None:
    """Steps games of its own whenever it is told to, and answers with steps a second."""
    one = Ours(size, seed=seed)
    one.run(0.3)
    while pipe.recv():
        pipe.send(one.run(seconds))


def in_processes(size: int, seconds: float, turns: int) -> float:
    """Steps a second of two processes at once over those of one; the median over turns."""
    context, pipes, ratios = multiprocessing.get_context("spawn"), [], []
    for seed in (1, 2):
        ours, theirs = context.Pipe()
        context.Process(target=worker, args=(size, seconds, seed, theirs), daemon=True).start()
        pipes.append(ours)
    asked(pipes)  # both are there now
    for _ in range(turns):
        alone = np.mean([*asked(pipes[:1]), *asked(pipes[1:])])
        ratios.append(sum(asked(pipes)) / alone)
    for pipe in pipes:
        pipe.send(False)
    return float(np.median(ratios))


def asked(pipes: list[Connection]) -> list[float]:
    """All at once."""
    for pipe in pipes:
        pipe.send(True)
    return [pipe.recv() for pipe in pipes]


def in_threads(size: int, seconds: float, turns: int) -> float:
    """The same for two threads of one process, which share Python's lock between steps."""
    pair, ratios = [Ours(size, seed=seed) for seed in (1, 2)], []
    for one in pair:
        one.run(0.3)
    with ThreadPoolExecutor(2) as threads:
        for _ in range(turns):
            alone = np.mean([one.run(seconds) for one in pair])
            ratios.append(sum(threads.map(lambda one: one.run(seconds), pair)) / alone)
    return float(np.median(ratios))


def answer(script: str, **environment: str) -> list[float]:
    """The numbers that a process of its own prints."""
    told = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True
    )
    return [float(number) for number in told.stdout.split()]


def compiling(folder: str) -> tuple[float, float]:
    """Seconds until the first game is laid, without what `import` takes, which comes second; with that cache."""
    first, imports = answer(COMPILES, NUMBA_CACHE_DIR=folder)
    return first, imports


def memory_of_many() -> float:
    """Gigabytes that a process takes for 100,000 games and their masks and planes, after a step of each."""
    (kilobytes,) = answer(REMEMBERS)
    return kilobytes * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a turn of a contender")
    options = parser.parse_args()
    contenders: dict[str, Callable[[], Ours | Playouts | OpenSpiel | PettingZoo]] = {
        "steps_per_s_9": lambda: Ours(9),
        "steps_with_planes_per_s_9": lambda: Ours(9, observe=True),
        "playouts_per_s_9": lambda: Playouts(9),
        "openspiel_steps_per_s_9": lambda: OpenSpiel(9),
        "pettingzoo_steps_per_s_9": lambda: PettingZoo(9),
        "steps_per_s_5": lambda: Ours(5),
        "steps_per_s_13": lambda: Ours(13),
        "steps_per_s_19": lambda: Ours(19),
        "playouts_per_s_5": lambda: Playouts(5),
        "playouts_per_s_19": lambda: Playouts(19),
    }
    ready = {name: make() for name, make in contenders.items()}
    for one in ready.values():
        one.run(0.2)
    turns: dict[str, list[float]] = {name: [] for name in ready}
    for turn in range(options.turns):
        for name, one in ready.items():
            turns[name].append(one.run(options.seconds))
        print(f"turn {turn + 1}: " + ", ".join(f"{name} {values[-1]:,.0f}" for name, values in turns.items()))
    speeds = {name: float(np.median(values)) for name, values in turns.items()}
    over = {
        f"over_{peer}_9": float(np.median(np.divide(turns["steps_per_s_9"], turns[f"{peer}_steps_per_s_9"])))
        for peer in ("openspiel", "pettingzoo")
    }
    with tempfile.TemporaryDirectory() as folder:
        first, second = compiling(folder), compiling(folder)
    record.write(
        "go_speed",
        figures={
            **{name: round(value, 1) for name, value in speeds.items()},
            **over,
            "two_core_scaling": in_processes(9, options.seconds, options.turns),
            "two_thread_scaling": in_threads(9, options.seconds, options.turns),
            "bytes_per_game_9": table.lay(Rules(9, 9), 1).bytes_per_game,
            "bytes_per_game_19": table.lay(Rules(19, 19), 1).bytes_per_game,
            f"gb_for_{MANY}_games_9": memory_of_many(),
            "compile_s": first[0],
            "load_from_cache_s": second[0],
            "import_s": second[1],
        },
        protocol={
            "rules": "ours: positional superko, suicide, cap 2 · N²; OpenSpiel, PettingZoo: their own, simple ko",
            "games_side_by_side": GAMES,
            "turns": options.turns,
            "seconds_a_turn": options.seconds,
        },
        seeds=[0],
        packages=("numba", "open-spiel", "pettingzoo"),
        notes="Speeds are medians over turns taken in alternation, ratios medians of the turns' ratios. All turns: "
        + json.dumps({name: [round(value) for value in values] for name, values in turns.items()}),
    )


if __name__ == "__main__":
    main()
