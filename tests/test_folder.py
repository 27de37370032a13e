"""What a run leaves behind: made once, opened only if it is one, and never half written."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from sparring.agents.protocol import Evaluation
from sparring.envs import episodes, worlds
from sparring.envs.episodes import Episode
from sparring.envs.errors import BadInputError
from sparring.envs.worlds import World
from sparring.runners import checkpoint
from sparring.runners.checkpoint import CheckpointError
from sparring.runners.folder import KEPT, RunFolder, summaries

RECORD = {"algorithm": "ppo", "config": {"schedule": {"steps": 4000}}, "run_id": "abc"}
CARTPOLE = World("CartPole-v1", "gymnasium", 1)


class Box:
    """A part that holds one tensor."""

    def __init__(self, *numbers):
        self.tensor = torch.tensor(numbers)

    def state_dict(self):
        return {"tensor": self.tensor.clone()}

    def load_state_dict(self, state):
        if state["tensor"].shape != self.tensor.shape:
            raise RuntimeError("size mismatch")
        self.tensor = state["tensor"].clone()


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path / "runs" / "one", RECORD)


def contents(folder):
    """All files below a folder, with their bytes."""
    return {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}


def row(update, **more):
    return {"update": update, "step": 10 * update, **more}


# ---------------------------------------------------------------------------------------------- create and open


def test_a_new_run_holds_its_record_and_no_checkpoint(folder):
    opened = RunFolder.open(folder.path)
    assert opened.record == {"format": 1, **RECORD}
    assert (opened.checkpoints, opened.episodes, list(opened.rows())) == ([], [], [])


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_create_refuses_what_exists_and_leaves_it_alone(tmp_path, make):
    make(tmp_path / "here")
    with pytest.raises(
        BadInputError, match=r"here exists; resume it with `sparring resume .*here`, or name another --out"
    ):
        RunFolder.create(tmp_path / "here", RECORD)
    assert list(tmp_path.rglob("*")) == [tmp_path / "here"]


def test_open_refuses_what_is_not_there(tmp_path):
    with pytest.raises(BadInputError, match=r"there is no run at .*nowhere"):
        RunFolder.open(tmp_path / "nowhere")


def test_open_refuses_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(BadInputError, match=r"is not a run: it has no config\.json"):
        RunFolder.open(tmp_path)


def test_open_tells_where_the_runs_of_a_sweep_are(tmp_path):
    (tmp_path / "sweep.json").touch()
    with pytest.raises(BadInputError, match=r"is a sweep; its runs are the folders seed-… in it, such as .*/seed-0"):
        RunFolder.open(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"config\.json is damaged"),
        ('{"format": 1, "algo', r"config\.json is damaged"),
        ("[1]", r"config\.json is not a run's record"),
        ('{"format": 99}', r"was written in format 99; this version reads 1"),
        ("{}", r"was written in format None; this version reads 1"),
    ],
)
def test_open_refuses_a_record_that_it_cannot_read(folder, text, said):
    (folder.path / "config.json").write_text(text)
    before = contents(folder)
    with pytest.raises(BadInputError, match=said):
        RunFolder.open(folder.path)
    assert contents(folder) == before


# ---------------------------------------------------------------------------------------------- checkpoints


def test_parts_come_back_from_the_newest_checkpoint(folder):
    for update, number in [(0, 0.0), (9, 9.0), (10, 10.0)]:
        folder.save(update, {"box": Box(number), "other": Box(1, 2)})
    box, other = Box(-1.0), Box(0, 0)
    assert folder.restore({"box": box, "other": other}) == 10
    assert (box.tensor.tolist(), other.tensor.tolist()) == ([10.0], [1, 2])


def test_a_run_without_a_checkpoint_changes_nothing(folder):
    box = Box(3.0)
    assert folder.restore({"box": box}) is None
    assert box.tensor.tolist() == [3.0]


def test_only_the_last_few_checkpoints_are_kept(folder):
    for update in range(0, 100, 10):
        folder.save(update, {"box": Box(update)})
    assert [path.name for path in folder.checkpoints] == ["00000070.pt", "00000080.pt", "00000090.pt"]
    assert len(folder.checkpoints) == KEPT


def test_a_crash_while_saving_leaves_the_checkpoints_as_they_were(folder, monkeypatch):
    folder.save(1, {"box": Box(1.0)})

    def crash(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", crash)
        with pytest.raises(KeyboardInterrupt):
            folder.save(2, {"box": Box(2.0)})
    box = Box(0.0)
    assert folder.restore({"box": box}) == 1
    assert box.tensor.tolist() == [1.0]


def test_a_damaged_checkpoint_is_named_and_changes_nothing(folder):
    folder.save(1, {"box": Box(1.0)})
    folder.save(2, {"box": Box(2.0)})
    newest = folder.checkpoints[-1]
    newest.write_bytes(newest.read_bytes()[:-1])
    before, box = contents(folder), Box(0.0)
    with pytest.raises(CheckpointError, match=r"00000002\.pt was cut short or altered"):
        folder.restore({"box": box})
    assert box.tensor.tolist() == [0.0]
    assert contents(folder) == before


@pytest.mark.parametrize("state", [{}, {"update": 3}, {"update": 3, "parts": {}}, {"update": 3, "parts": 5}])
def test_a_checkpoint_of_another_experiment_is_named(folder, state):
    checkpoint.write(folder.path / "checkpoints" / "00000003.pt", state)
    with pytest.raises(CheckpointError, match=r"00000003\.pt does not fit this experiment"):
        folder.restore({"box": Box(0.0)})


def test_a_part_of_another_size_is_named(folder):
    folder.save(3, {"box": Box(1.0, 2.0)})
    with pytest.raises(CheckpointError, match=r"00000003\.pt does not fit this experiment: size mismatch"):
        folder.restore({"box": Box(0.0)})


def test_an_optimiser_with_other_parameters_is_named(folder):
    """Torch says ValueError there."""

    def adam(count):
        return torch.optim.Adam([torch.nn.Parameter(torch.zeros(1)) for _ in range(count)])

    folder.save(3, {"optimiser": adam(2)})
    with pytest.raises(CheckpointError, match=r"00000003\.pt does not fit this experiment"):
        folder.restore({"optimiser": adam(1)})


# ---------------------------------------------------------------------------------------------- journals

ODD = {"loss": 0.1 + 0.2, "tiny": 5e-324, "game/score": [1.0, -2.5], "lost": float("inf"), "empty": []}


def test_a_journal_keeps_every_bit_of_a_number(folder):
    folder.log(row(1, **ODD), {"acting": 0.25})
    assert list(folder.rows()) == [row(1, **ODD)]


def test_the_clock_stands_in_a_journal_of_its_own(folder):
    folder.log(row(1), {"acting": 0.1234567, "learning": 2.0})
    assert list(folder.rows("timing.jsonl")) == [{"update": 1, "acting": 0.123457, "learning": 2.0}]
    assert "acting" not in (folder.path / "metrics.jsonl").read_text()


def test_journals_rewind_to_exactly_what_they_were(folder):
    states = []
    for update in range(1, 6):
        folder.log(row(update, **ODD), {"acting": update / 3})
        states.append({name: (folder.path / name).read_bytes() for name in ("metrics.jsonl", "timing.jsonl")})
    for update in (5, 3, 1):
        folder.rewind(update)
        assert {name: (folder.path / name).read_bytes() for name in states[0]} == states[update - 1]
    folder.rewind(0)
    assert list(folder.rows()) == list(folder.rows("timing.jsonl")) == []


@pytest.mark.parametrize("cut", [1, 2, 20])
def test_a_last_line_that_a_crash_cut_short_is_passed_over(folder, cut):
    for update in (1, 2):
        folder.log(row(update, **ODD), {})
    path = folder.path / "metrics.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert [line["update"] for line in folder.rows()] == ([1, 2] if cut == 1 else [1])  # 1: only the line's end is gone
    folder.rewind(1)
    folder.log(row(2, **ODD), {})
    assert path.read_bytes() == whole


def test_a_crash_while_rewinding_loses_no_line(folder, monkeypatch):
    for update in (1, 2, 3):
        folder.log(row(update), {})
    before = contents(folder)

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            folder.rewind(2)
    assert {path: content for path, content in contents(folder).items() if path.suffix == ".jsonl"} == {
        path: content for path, content in before.items() if path.suffix == ".jsonl"
    }


# ---------------------------------------------------------------------------------------------- evaluations, summaries


def game(score):
    """An episode of CartPole whose rewards add up to `score`."""
    rewards = np.ones(score, np.float32)
    rules = {"name": "gymnasium"}
    return Episode(
        CARTPOLE,
        rules,
        episodes.spec_of(CARTPOLE),
        5,
        np.zeros(score, np.int64),
        rewards,
        np.zeros(score + 1, np.uint32),
    )


def evaluation(*scores):
    worlds.module_of(CARTPOLE.env)
    best = [game(score) for score in sorted(scores, reverse=True)[:1]]
    return Evaluation(
        {"score": float(np.mean(scores))}, {"name": "gymnasium", "games": len(scores)}, list(scores), best
    )


def test_an_evaluation_is_kept_with_its_protocol_its_sample_and_its_best_game(folder):
    folder.keep(4, evaluation(9, 12))
    [path] = (folder.path / "evaluations").glob("*.json")
    assert json.loads(path.read_text()) == {
        "update": 4,
        "score": 10.5,
        "scores": [9, 12],
        "protocol": {"name": "gymnasium", "games": 2},
    }
    [episode] = folder.episodes
    assert episodes.load(episode).score == 12


def test_an_evaluation_that_is_made_again_after_a_crash_is_not_kept_twice(folder):
    for _ in range(2):
        folder.keep(4, evaluation(9, 12))
    assert len(folder.episodes) == len(list((folder.path / "evaluations").iterdir())) == 1


def test_the_trainings_own_last_evaluation_is_told_from_those_that_came_later(folder):
    def judge(update, *scores):
        judged = evaluation(*scores)
        folder.keep(update, judged)
        return {f"evaluation/{name}": value for name, value in judged.metrics.items()}

    for update, scores in [(4, (1, 2)), (8, (9, 12))]:
        folder.log(row(update, **judge(update, *scores)), {})
    folder.log(row(9), {})
    judge(8, 9, 12, 400)
    told = folder.judgement()
    assert (told["update"], told["score"], told["scores"]) == (8, 10.5, [9, 12])


def test_a_run_that_was_not_judged_yet_says_so(folder):
    folder.log(row(1), {})
    with pytest.raises(BadInputError, match="has no evaluation yet; go on with `sparring resume "):
        folder.judgement()


@pytest.mark.parametrize("scores", [(9, 119), (99, 100), (1, 2)])
def test_the_last_evaluations_best_game_is_the_last_episode(folder, scores):
    """What `sparring replay RUN` shows; 119 is more than 9, though its name sorts before."""
    folder.keep(4, evaluation(300))
    for score in scores:
        folder.keep(8, evaluation(score))
    assert episodes.load(folder.episodes[-1]).score == scores[-1]


def test_runs_are_listed_with_their_steps_and_their_last_score(folder):
    assert [line[1:4] for line in summaries(folder.path.parent)] == [("ppo", "0 of 4,000", "")]
    folder.log(row(100, **{"evaluation/score": 21.25}), {})
    folder.log(row(200), {})
    folder.save(200, {})
    [line] = summaries(folder.path.parent)
    assert line[:4] == (str(folder.path), "ppo", "2,000 of 4,000", "21.25")


def test_the_runs_of_a_sweep_are_listed_too(folder):
    RunFolder.create(folder.path.parent / "sweep" / "seed-3", RECORD)
    listed = [Path(line[0]).relative_to(folder.path.parent) for line in summaries(folder.path.parent)]
    assert listed == [Path("one"), Path("sweep", "seed-3")]


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}', '{"format": 99}'])
def test_a_damaged_run_does_not_hide_the_others(folder, text):
    other = folder.path.with_name("zwei")
    other.mkdir()
    (other / "config.json").write_text(text)
    assert str(folder.path) in [line[0] for line in summaries(folder.path.parent)]
