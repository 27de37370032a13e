"""The loop: what it asks for, how often, and that a run that was killed anywhere and resumed never stopped."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from sparring.agents import a2c, impala, ppo, reinforce
from sparring.agents.learner import Learner as LearnerOfWorlds
from sparring.agents.policy import Dice
from sparring.agents.protocol import Evaluation, Experiment, Schedule, unwatched
from sparring.envs.errors import DivergedError
from sparring.envs.rollouts import Report
from sparring.envs.worlds import World
from sparring.runners import checkpoint
from sparring.runners.folder import RunFolder
from sparring.runners.tracker import Silent
from sparring.runners.train import Run, StoppedError, due, seed_at, train

pytestmark = pytest.mark.usefixtures("one_thread")
RUN = Run(seed=5, updates=7, save_every=3, evaluate_every=2)


class Killed(Exception):
    pass


class Diary(list):
    """Notes what happens in a run; kills it before its `fuse`-th event."""

    fuse = -1

    def note(self, *event):
        if len(self) == self.fuse:
            raise Killed
        self.append(event)

    def kinds(self):
        return [kind for kind, *_ in self]

    def of(self, kind):
        """What was noted with the events of a kind."""
        return [rest[0] if rest else None for name, *rest in self if name == kind]


class Counter:
    """Counts the updates."""

    count = 0

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


class Learner:
    """Walks at random, pushed by what it is given; its weight tells every number it ever met, and in which order."""

    def __init__(self, diary):
        self.diary = diary
        self.weight = torch.zeros(())
        self.dice = Dice(1, "cpu")
        self.done = Counter()

    def update(self, batch):
        self.diary.note("update", batch)
        self.weight = 1.5 * self.weight + batch + torch.rand((), generator=self.dice.generator)
        self.done.count += 1
        return {"loss": float(self.weight)}

    def parts(self):
        return {"learner": self, "dice": self.dice, "done": self.done}

    def state_dict(self):
        return {"weight": self.weight}

    def load_state_dict(self, state):
        self.weight = state["weight"]


class Numbers:
    """A Source of random numbers; like a world, its state is its seed and what was drawn since."""

    steps_per_draw = 10
    begins_anew = True

    def __init__(self, diary):
        self.diary = diary

    def reset(self, seed):
        self.diary.note("reset", seed)
        self.seed, self.drawn, self.random = seed, 0, np.random.default_rng(seed)

    def draw(self, algorithm):
        assert isinstance(algorithm, Learner)
        self.diary.note("draw")
        self.drawn += 1
        return float(self.random.random())

    def report(self):
        return Report({"game/score": [float(self.drawn)]}, {"acting": 0.5})

    def state_dict(self):
        return {"seed": self.seed, "drawn": self.drawn}

    def load_state_dict(self, state):
        self.reset(state["seed"])
        for _ in range(state["drawn"]):
            self.drawn += 1
            self.random.random()


class Listener(Silent):
    """A tracker that notes what it hears."""

    def __init__(self, diary):
        self.diary = diary

    def log(self, row, seconds):
        self.diary.note("log", (row, set(seconds)))


def experiment(diary):
    def evaluate(algorithm, *, watch=unwatched):
        diary.note("evaluate", algorithm.done.count)
        return Evaluation({"score": float(algorithm.weight)}, {"name": "walk"}, [float(algorithm.weight)], [])

    return Experiment(Learner(diary), Numbers(diary), evaluate)


def walk(path, run=RUN, diary=None, **options):
    """Train the fake experiment in a folder, new or not; what happened, and its last evaluation."""
    diary = Diary() if diary is None else diary
    folder = RunFolder.open(path) if path.exists() else RunFolder.create(path, {})
    return diary, train(experiment(diary), run, Listener(diary), folder, **options)


def outcome(path):
    """All that a run leaves behind and that no clock decides, byte by byte; of the checkpoints the last one.

    A stop adds a checkpoint of its own, and a kill just before the oldest is removed leaves one too many.
    """
    older = set(RunFolder(path).checkpoints[:-1])
    files = {file for file in path.rglob("*.*") if file.name != "timing.jsonl"} - older
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def rows(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def saved(path):
    """The updates of the checkpoints that are there."""
    return [int(file.stem) for file in RunFolder(path).checkpoints]


# ---------------------------------------------------------------------------------------------- how often what


def test_every_update_draws_once_learns_once_and_is_logged_once(tmp_path):
    diary, _ = walk(tmp_path / "run")
    assert diary.kinds().count("draw") == diary.kinds().count("update") == 7
    assert diary.kinds().count("log") == 8
    assert [row["update"] for row in rows(tmp_path / "run")] == [0, 1, 2, 3, 4, 5, 6, 7]


def test_it_evaluates_before_anything_is_learned_when_due_and_at_the_end(tmp_path):
    diary, evaluation = walk(tmp_path / "run")
    assert diary.of("evaluate") == [0, 2, 4, 6, 7]
    assert rows(tmp_path / "run")[0] == {"update": 0, "step": 0, "evaluation/score": 0.0}
    assert evaluation.scores == [rows(tmp_path / "run")[-1]["evaluation/score"]]


def test_an_evaluation_that_is_due_at_the_end_happens_once(tmp_path):
    diary, _ = walk(tmp_path / "run", dataclasses.replace(RUN, updates=6))
    assert diary.of("evaluate") == [0, 2, 4, 6]


def test_without_a_rhythm_it_evaluates_at_the_end_only(tmp_path):
    diary, _ = walk(tmp_path / "run", dataclasses.replace(RUN, evaluate_every=0))
    assert diary.of("evaluate") == [7]


def test_it_saves_at_the_start_when_due_and_at_the_end(tmp_path, monkeypatch):
    updates, save = [], RunFolder.save
    monkeypatch.setattr(
        RunFolder, "save", lambda self, update, parts: (updates.append(update), save(self, update, parts))
    )
    walk(tmp_path / "run")
    assert updates == [0, 3, 6, 7]
    assert saved(tmp_path / "run") == [3, 6, 7]


def test_the_source_starts_anew_at_every_save_from_the_runs_seed_and_the_update(tmp_path):
    diary, _ = walk(tmp_path / "run")
    assert diary.of("reset") == [seed_at(RUN, update) for update in (0, 3, 6, 7)]
    assert rows(tmp_path / "run")[4]["game/score"] == [1.0]  # the first draw since the reset


def test_a_source_that_can_be_saved_as_it_is_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(Numbers, "begins_anew", False)
    diary, _ = walk(tmp_path / "whole")
    assert diary.of("reset") == [seed_at(RUN, 0)]
    assert rows(tmp_path / "whole")[-1]["game/score"] == [7.0]
    asked = iter([False] * 3 + [True])
    with pytest.raises(StoppedError):
        walk(tmp_path / "run", stop=lambda: next(asked))
    walk(tmp_path / "run")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_a_row_holds_its_place_what_happened_and_what_was_learned(tmp_path):
    walk(tmp_path / "run")
    third, fourth = rows(tmp_path / "run")[3:5]
    assert third == {"update": 3, "step": 30, "game/score": [3.0], "loss": third["loss"]}
    assert fourth.keys() - third.keys() == {"evaluation/score"}
    assert fourth["evaluation/score"] == fourth["loss"]


def test_the_tracker_hears_what_the_journal_holds_and_where_the_time_went(tmp_path):
    diary, _ = walk(tmp_path / "run")
    assert [row for row, _ in diary.of("log")] == rows(tmp_path / "run")
    stages = {"drawing", "learning", "acting"}
    assert [names for _, names in diary.of("log")][3:5] == [stages, stages | {"evaluating"}]


def test_a_run_that_is_complete_is_judged_and_not_trained(tmp_path):
    walk(tmp_path / "run")
    before = outcome(tmp_path / "run")
    diary, evaluation = walk(tmp_path / "run")
    assert {*diary.kinds()} == {"reset", "evaluate"}
    assert evaluation.scores == [rows(tmp_path / "run")[-1]["evaluation/score"]]
    assert outcome(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("update", "every", "expected"),
    [(0, 3, True), (1, 3, False), (3, 3, True), (4, 1, True), (4, 0, False), (0, 0, False)],
)
def test_due_is_every_so_many_updates_and_never_for_zero(update, every, expected):
    assert due(update, every=every) is expected


SEEDS = [742_202_927, 1_067_336_865, 458_876_031]


def test_the_seeds_of_the_source_are_these_forever():
    """A run that was begun under one version goes on under the next; NumPy promises that SeedSequence stays."""
    assert [seed_at(dataclasses.replace(RUN, seed=seed), update) for seed, update in [(0, 0), (0, 50), (1, 0)]] == SEEDS
    assert all(seed_at(RUN, update) < 2**30 for update in range(100))
    assert len({seed_at(RUN, update) for update in range(100)}) == 100


# ---------------------------------------------------------------------------------------------- stop and kill


@pytest.mark.parametrize("updates", [1, 2, 4, 5])
def test_a_stop_saves_everything_and_the_resumed_run_equals_the_one_that_never_stopped(tmp_path, updates):
    walk(tmp_path / "whole")
    asked = iter([False] * 100)
    diary = Diary()
    with pytest.raises(StoppedError, match=str(updates)):
        walk(tmp_path / "run", diary=diary, stop=lambda: diary.kinds().count("update") >= updates or next(asked))
    assert saved(tmp_path / "run")[-1] == rows(tmp_path / "run")[-1]["update"] == updates
    diary, _ = walk(tmp_path / "run")
    assert diary.kinds().count("update") == 7 - updates
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_a_stop_that_is_asked_for_at_a_regular_save_loses_nothing_either(tmp_path):
    walk(tmp_path / "whole")
    diary = Diary()
    with pytest.raises(StoppedError):
        walk(tmp_path / "run", diary=diary, stop=lambda: diary.kinds().count("update") >= 3)
    assert saved(tmp_path / "run")[-1] == rows(tmp_path / "run")[-1]["update"] < 7
    walk(tmp_path / "run")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_a_stop_during_the_last_update_is_a_run_that_is_complete(tmp_path):
    diary = Diary()
    _, evaluation = walk(tmp_path / "run", diary=diary, stop=lambda: diary.kinds().count("update") >= 7)
    assert evaluation.scores
    assert saved(tmp_path / "run")[-1] == 7


def test_a_run_that_is_killed_at_any_event_and_resumed_equals_the_one_that_never_stopped(tmp_path, monkeypatch):
    """Every draw, update, evaluation, reset and log, every sync and rename of a file."""
    diary = Diary()
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (diary.note("sync"), fsync(number)))
    monkeypatch.setattr(Path, "replace", lambda path, to: (diary.note("rename", to.name), replace(path, to)))
    walk(tmp_path / "whole", diary=diary)
    whole, events = outcome(tmp_path / "whole"), len(diary)
    assert {*diary.kinds()} == {"draw", "update", "evaluate", "reset", "log", "sync", "rename"}
    assert events > 60

    began = diary.kinds().index("reset")  # the folder is made before
    for fuse in range(began, events):
        path = tmp_path / str(fuse)
        diary.clear()
        diary.fuse = fuse
        with pytest.raises(Killed):
            walk(path, diary=diary)
        diary.clear()
        diary.fuse = -1
        walk(path, diary=diary)
        assert outcome(path) == whole, fuse


def test_a_run_that_is_killed_again_and_again_still_equals_the_one_that_never_stopped(tmp_path):
    walk(tmp_path / "whole")
    kills = 0
    for fuse in (2, 9, 14, 3, 14, 8, 14, 14, 100):
        diary = Diary()
        diary.fuse = fuse
        try:
            walk(tmp_path / "run", diary=diary)
            break
        except Killed:
            kills += 1
    assert kills >= 4
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


# ---------------------------------------------------------------------------------------------- real learners


def learn(path, module, *, env="CartPole-v1", stop=lambda: False, options=(), **schedule):
    """A learner on 12 updates of 16 × 4 steps; returns the last checkpoint's parts as bytes."""
    rhythm = Schedule(steps=768, games=2, **schedule)
    config = module.Config(rhythm, World(env, "gymnasium", 4), horizon=16, **dict(options))
    folder = RunFolder.open(path) if path.exists() else RunFolder.create(path, {})
    run = Run(3, 12, rhythm.save_every, rhythm.evaluate_every)
    train(module.experiment(config, seed=3, device="cpu"), run, Silent(), folder, stop)
    return folder.checkpoints[-1].read_bytes()


every = pytest.mark.parametrize(
    "module", [reinforce, a2c, ppo, impala], ids=lambda module: module.__name__.split(".")[-1]
)


@every
def test_evaluation_changes_nothing(tmp_path, module):
    never = learn(tmp_path / "never", module, evaluate_every=0, save_every=5)
    always = learn(tmp_path / "always", module, evaluate_every=1, save_every=5)
    assert always == never
    assert len(list((tmp_path / "always" / "evaluations").iterdir())) == 13


@pytest.mark.parametrize(
    "world",
    [
        {"env": "CartPole-v1"},
        {"env": "Pendulum-v1", "options": {"normalise_observations": True, "normalise_rewards": True}},
    ],
    ids=["pole", "pendulum with both normalisations"],
)
@every
def test_a_stop_in_the_middle_of_the_games_loses_nothing(tmp_path, module, world):
    whole = learn(tmp_path / "whole", module, save_every=5, **world)
    for updates in (3, 7):
        with pytest.raises(StoppedError):
            learn(
                tmp_path / "run", module, save_every=5, stop=lambda n=updates: len(rows(tmp_path / "run")) == n, **world
            )
    assert learn(tmp_path / "run", module, save_every=5, **world) == whole
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def test_another_rhythm_of_saves_is_another_run(tmp_path):
    """The source starts anew at each, so it is part of what decides the learning, and a resume must not change it."""
    assert learn(tmp_path / "often", ppo, save_every=2) != learn(tmp_path / "seldom", ppo, save_every=6)


def test_a_damaged_checkpoint_stops_the_run_before_anything_changes(tmp_path):
    walk(tmp_path / "run")
    newest = RunFolder(tmp_path / "run").checkpoints[-1]
    newest.write_bytes(newest.read_bytes()[:-3])
    before = outcome(tmp_path / "run")
    with pytest.raises(checkpoint.CheckpointError, match=newest.name):
        walk(tmp_path / "run")
    assert outcome(tmp_path / "run") == before


# ---------------------------------------------------------------------------------------------- what diverges


class Diverging(Learner):
    """Its metrics break in its fifth update, in their order."""

    def update(self, batch):
        metrics = super().update(batch) | {"norm": 1.0}
        return dict.fromkeys(metrics, float("nan")) if self.done.count == 5 else metrics


class Fading(Learner):
    """Its weight breaks in its fifth update, and no metric tells."""

    def update(self, batch):
        super().update(batch)
        self.weight = self.weight / (self.done.count != 5)
        return {"loss": 1.0}


def diverge(path, learner):
    """Train a learner that breaks, in a folder, new or not; what the run says."""
    folder, diary = RunFolder.open(path) if path.exists() else RunFolder.create(path, {}), Diary()
    broken = experiment(diary)._replace(algorithm=learner(diary))
    with pytest.raises(DivergedError) as stop:
        train(broken, dataclasses.replace(RUN, evaluate_every=0, save_every=5), Listener(diary), folder)
    return str(stop.value)


def test_a_run_that_diverges_stops_by_name_and_leaves_the_last_good_checkpoint(tmp_path):
    said = diverge(tmp_path / "run", Diverging)
    assert said.startswith("update 5: loss became nan. ")
    assert f"{RunFolder(tmp_path / 'run').checkpoints[-1]} is from before and intact" in said
    assert saved(tmp_path / "run") == [0]
    assert [row["update"] for row in rows(tmp_path / "run")] == [1, 2, 3, 4]
    before = outcome(tmp_path / "run")
    assert diverge(tmp_path / "run", Diverging) == said  # the same, from the same checkpoint
    assert outcome(tmp_path / "run") == before


def test_what_is_not_finite_is_never_saved(tmp_path):
    assert diverge(tmp_path / "run", Fading).startswith("learner.weight holds numbers that are not finite")
    assert saved(tmp_path / "run") == [0]


@pytest.mark.parametrize("rate", [1e30, 1e38])
@every
def test_a_learner_whose_steps_are_far_too_long_stops_and_its_run_can_be_read(tmp_path, module, rate):
    """Its losses break, or, before they can, the policy by which it would act."""
    broke = r"update [12]: .* (became|are not finite in) .*00000000\.pt is from before"
    with pytest.raises(DivergedError, match=broke):
        learn(tmp_path / "run", module, save_every=5, options={"learning_rate": rate, "anneal": False})
    folder = RunFolder.open(tmp_path / "run")
    config = module.Config(Schedule(768), World("CartPole-v1", "gymnasium", 4), horizon=16)
    learner, source, _ = module.experiment(config, seed=9, device="cpu")
    assert folder.restore({**learner.parts(), "source": source}) == 0
    first = module.experiment(config, seed=3, device="cpu").algorithm.network.state_dict()
    assert all(torch.equal(weight, first[name]) for name, weight in learner.network.state_dict().items())
    assert source.draw(learner).rewards.size == 64


def test_a_policy_that_breaks_in_the_last_update_is_neither_judged_nor_saved(tmp_path, monkeypatch):
    update = LearnerOfWorlds.update

    def spoil(learner, batch):
        metrics = update(learner, batch)
        if learner.descent.begun == 12:
            learner.network.policy_head.bias.data.fill_(float("inf"))
        return metrics

    monkeypatch.setattr(LearnerOfWorlds, "update", spoil)
    with pytest.raises(DivergedError, match=r"update 12: logits are not finite in .*00000010\.pt is from before"):
        learn(tmp_path / "run", a2c, save_every=5)
    assert saved(tmp_path / "run")[-1] == 10
    assert not list((tmp_path / "run" / "evaluations").glob("*"))
