"""Seeds side by side: each is the ordinary run, whatever stops a sweep it goes on to the same end, and no run is lost.

Real runs on CartPole through the real command line; each seed is a process of its own, as it is for people.
"""

import dataclasses
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from sparring.agents import ppo, statistics
from sparring.envs.errors import BadInputError
from sparring.runners import begin, checkpoint, cli, crew, dashboard, job, lanes, options, overview, session
from sparring.runners import sweep as sweeps
from sparring.runners.crew import Crew
from sparring.runners.folder import RunFolder
from sparring.runners.lanes import Lane, Lanes
from sparring.runners.sweepfolder import Sweep

POLE = ["--env", "CartPole-v1", "--steps", "9_600", "--worlds", "2", "--epochs", "4", "--learning-rate", "1e-4"]
POLE += ["--save-every", "20", "--games", "3"]  # it learns little, so that films are short
SWEEP = ["sweep", "ppo", *POLE, "--track", "off", "--jobs", "2"]


class Said:
    """What a command said, and how it ended."""

    def __init__(self, code, text):
        self.code = code
        self.words = " ".join(re.sub("[│╭╮╰╯─]", " ", text).split())  # whatever the width and the frames


@pytest.fixture
def sparring(capsys, monkeypatch):
    """Run a command in this process."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main([str(word) for word in words])
        return Said(caught.value.code, "".join(capsys.readouterr()))

    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A sweep over three seeds that nobody disturbed; nobody may change it."""
    path = tmp_path_factory.mktemp("sweeps") / "whole"
    with pytest.raises(SystemExit) as caught:
        cli.main([*SWEEP, "--seeds", "0..2", "--out", str(path)])
    assert caught.value.code == 0
    return path


@pytest.fixture
def copy(whole, tmp_path):
    """A copy of the sweep, to be changed at will."""
    return Path(shutil.copytree(whole, tmp_path / "whole"))


def record(path):
    return json.loads((path / "sweep.json").read_text())


def learned(path):
    """The newest checkpoint of a run, bit for bit."""
    return RunFolder(path).update, leaves(checkpoint.read(RunFolder(path).checkpoints[-1])["parts"])


def leaves(value):
    if isinstance(value, dict):
        return {key: leaves(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [leaves(item) for item in value]
    return (value.dtype, value.shape, value.numpy().tobytes()) if hasattr(value, "numpy") else value


def judgements(path):
    return {file.name: file.read_bytes() for file in (path / "evaluations").iterdir()}


def assert_same_run(path, other):
    assert (path / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    assert learned(path) == learned(other)
    assert judgements(path) == judgements(other)


def assert_same_sweep(path, other):
    for seed in (0, 1, 2):
        assert_same_run(path / f"seed-{seed}", other / f"seed-{seed}")
    assert record(path)["results"] == record(other)["results"]


def wait_until(happened, limit=120):
    limit += time.monotonic()
    while not happened():
        assert time.monotonic() < limit, "nothing happens"
        time.sleep(0.02)


def has_learned(path, updates=3):
    return len(list(RunFolder(path).rows())) >= updates


def is_free(path):
    """Whether no process trains the run."""
    try:
        with RunFolder(path).locked():
            return True
    except BadInputError:
        return False


# ---------------------------------------------------------------------------------------------- which seeds


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0..4", (0, 1, 2, 3, 4)),
        ("0,3,7", (0, 3, 7)),
        ("0..2,9", (0, 1, 2, 9)),
        ("9,0..2", (9, 0, 1, 2)),
        ("7..7,3", (7, 3)),
        ("5", (5,)),
        ("0..2, 9", (0, 1, 2, 9)),
    ],
)
def test_seeds_are_read_as_people_write_them(text, numbers):
    assert options.seeds(text) == numbers


@pytest.mark.parametrize(
    ("text", "said"),
    [
        *[(text, "are no seeds; write 0..4 or 0,3,7 or 0..2,9") for text in ("", "x", "1,", "1..", "..3", "0...4")],
        *[
            (text, "are no seeds; write 0..4 or 0,3,7 or 0..2,9")
            for text in ("-1", "1.5", "0 ..4", "0-4", "0:4", "1e2", "²")
        ],
        ("4..0", "4..0 has nothing in it; write 0..4"),
        ("0..4,2", "'0..4,2' has 2 twice; give every seed once"),
        ("1,1,1,5,5", "'1,1,1,5,5' has 1, 5 twice"),
        ("0..1000", "'0..1000' are 1,001 seeds; at most 1,000 are one sweep"),
        ("0..99999999999999999999999", "at most 1,000 are one sweep"),
    ],
)
def test_what_are_no_seeds_is_refused(text, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        options.seeds(text)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--seeds", "4..0"], ["--seeds", "4..0 has nothing in it; write 0..4"]),
        (["--seeds", "0,0"], ["--seeds", "has 0 twice"]),
        (["--seeds", "3"], ["at least two seeds; for one there is `sparring train ppo --seed 3`"]),
        (["--seed", "3"], ["--seed", "Perhaps you meant", "--seeds"]),
        (["--jobs", "0"], ["jobs is 0; it must be at least 1"]),
        (["--minutes", "-1"], ["minutes is -1"]),
        (["--minutes", "1", "--steps", "5k"], ["--steps 5k and --minutes 1 both set the length; give one"]),
        (["--minibatches", "3"], ["does not divide into 3 equal mini-batches"]),
        (["--network", "nature"], ["'nature' handles uint8"]),
        (["--out", "notes.txt"], ["notes.txt exists and is no sweep; name another --out"]),
        (["--out", "run"], ["run exists and is no sweep; name another --out"]),
        (["--out", "notes.txt/sweep"], ["notes.txt/sweep cannot be made: Not a directory; name another --out"]),
    ],
    ids=lambda words: " ".join(words),
)
def test_bad_input_is_explained_before_anything_begins(sparring, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").touch()
    Path("run").mkdir()
    Path("run", "config.json").touch()
    before = sorted(tmp_path.rglob("*"))
    said = sparring("sweep", "ppo", "--env", "CartPole-v1", *words)
    assert said.code == 2
    assert [piece for piece in told if piece not in said.words] == []
    assert sorted(tmp_path.rglob("*")) == before


# ---------------------------------------------------------------------------------------------- a real sweep


def test_a_sweep_leaves_what_it_promises(whole):
    told = record(whole)
    assert (told["algorithm"], told["seeds"], told["updates"], told["steps"]) == ("ppo", [0, 1, 2], 150, 9_600)
    assert told["config"]["schedule"]["steps"] == 9_600
    assert (whole / "curves.png").stat().st_size > 5_000
    assert {path.name for path in whole.iterdir()} == {
        *("sweep.json", "curves.png", ".lock"),
        *(f"seed-{seed}{ending}" for seed in (0, 1, 2) for ending in ("", ".log")),
    }
    assert "proved:" in (whole / "seed-1.log").read_text()


def test_what_the_seeds_say_together_follows_from_their_evaluations(whole):
    told = record(whole)["results"]
    scores = []
    for seed in (0, 1, 2):
        [file] = (whole / f"seed-{seed}" / "evaluations").iterdir()
        judged = json.loads(file.read_text())
        scores.append(sum(judged["scores"]) / 3)
        assert {name: told["seeds"][str(seed)][name] for name in ("score", "score_low", "score_high")} == {
            "score": pytest.approx(scores[-1]),
            "score_low": judged["score_low"],
            "score_high": judged["score_high"],
        }
        assert told["protocol"] == {name: value for name, value in judged["protocol"].items() if name != "seeds"}
    low, middle, high = sorted(scores)
    bounds = {"low": pytest.approx(low), "high": pytest.approx(high)}  # of three, see test_statistics
    assert list(told["aggregates"]) == ["score", "length", "random"]
    assert told["aggregates"]["score"] == {
        "mean": {"value": pytest.approx(sum(scores) / 3), **bounds},
        "median": {"value": pytest.approx(middle), **bounds},
        "IQM": {"value": pytest.approx(sum(scores) / 3), **bounds},
    }
    assert told["n"] == 3


def test_a_seed_is_the_ordinary_run(whole, sparring, tmp_path):
    path = tmp_path / "alone"
    assert sparring("train", "ppo", *POLE, "--track", "off", "--seed", 1, "--out", path).code == 0
    assert_same_run(path, whole / "seed-1")
    ours, theirs = RunFolder.open(path).record, RunFolder.open(whole / "seed-1").record
    assert {name for name in ours if ours[name] != theirs[name]} <= {"run_id", "created", "command"}
    assert ours.keys() == theirs.keys()


def test_a_seed_can_be_judged_proved_and_resumed_like_any_run(copy, sparring):
    seed = copy / "seed-2"
    assert "update 150" in sparring("evaluate", seed, "--episodes", 4).words
    assert "proved:" in sparring("replay", seed, "--view", "verify").words
    assert "is complete" in sparring("resume", seed).words
    before = record(copy)["results"]
    assert sparring(*SWEEP, "--seeds", "0..2", "--out", copy).code == 0
    assert record(copy)["results"] == before  # another evaluation of the same update is not the training's own


def test_so_many_seeds_run_at_once_and_the_next_begins_when_one_has_ended(whole):
    begun = [(whole / f"seed-{seed}" / "config.json").stat().st_mtime for seed in (0, 1, 2)]
    ended = [RunFolder(whole / f"seed-{seed}").checkpoints[-1].stat().st_mtime for seed in (0, 1, 2)]
    assert max(begun[:2]) < min(ended[:2])
    assert begun[2] > min(ended[:2])


def test_a_complete_sweep_is_shown_again_and_its_runs_are_left_alone(copy, sparring):
    before = {file: file.read_bytes() for file in copy.glob("seed-*/**/*") if file.is_file()}
    said = sparring(*SWEEP, "--seeds", "0..2", "--out", copy)
    assert said.code == 0
    assert {file: file.read_bytes() for file in copy.glob("seed-*/**/*") if file.is_file()} == before
    numbers = record(copy)["results"]["seeds"]["1"]
    cells = [cell(numbers["score"], numbers["score_low"], numbers["score_high"]), f"{numbers['length']:.4g}"]
    assert "3 of 3 seeds seed score length random 0 " in said.words
    assert " ".join(["1", *cells]) in said.words
    for name, told in record(copy)["results"]["aggregates"]["score"].items():
        assert f"{name} {cell(**told)}" in said.words
    assert "gymnasium: 3 full games, stochastic policy, a seed" in said.words
    assert f"{copy}/curves.png" in said.words


def cell(value, low, high):
    return f"{value:.4g} ({low:.4g} … {high:.4g})"


def test_more_seeds_may_be_added(copy, sparring):
    before = {file: file.read_bytes() for file in copy.glob("seed-*/**/*") if file.is_file()}
    assert sparring(*SWEEP, "--seeds", "1,5", "--out", copy).code == 0
    told = record(copy)
    assert told["seeds"] == [0, 1, 2, 5]
    assert list(told["results"]["seeds"]) == ["0", "1", "2", "5"]
    assert {file: file.read_bytes() for file in before} == before
    scores = [told["results"]["seeds"][seed]["score"] for seed in ("0", "1", "2", "5")]
    assert told["results"]["aggregates"]["score"]["IQM"] == statistics.estimate(scores, statistics.iqm)._asdict()


# ---------------------------------------------------------------------------------------------- stopped and gone on


def test_ctrl_c_stops_all_seeds_and_going_on_ends_like_the_sweep_that_nobody_disturbed(tmp_path, whole, sparring):
    path = tmp_path / "stopped"
    words = [*SWEEP, "--seeds", "0..2", "--out", str(path)]
    command = [sys.executable, "-m", "sparring.runners.cli", *words]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    wait_until(lambda: has_learned(path / "seed-0") and has_learned(path / "seed-1"))  # both at once
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert f"sparring sweep {' '.join(words[1:])}" in " ".join(said.split())
    for seed in (0, 1):
        assert is_free(path / f"seed-{seed}")
        rows = list(RunFolder(path / f"seed-{seed}").rows())
        assert 3 <= len(rows) == RunFolder(path / f"seed-{seed}").update < 150  # nothing that was learned is lost
        assert "the run stopped; all of it is saved" in (path / f"seed-{seed}.log").read_text()
    assert not (path / "seed-2").exists()
    assert "results" not in record(path)
    assert sparring(*words).code == 0
    assert_same_sweep(path, whole)


@pytest.fixture
def launched(monkeypatch):
    """The processes of the sweeps in this process, in their order."""
    processes = []

    def launch(*words):
        processes.append(crew.launch(*words))
        return processes[-1]

    monkeypatch.setattr(sweeps, "launch", launch)
    return processes


def test_a_seed_that_is_killed_stops_no_other_is_reported_and_can_go_on(tmp_path, whole, sparring, launched):
    path = tmp_path / "killed"

    def kill():
        wait_until(lambda: has_learned(path / "seed-0"))
        launched[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    said = sparring(*SWEEP, "--seeds", "0..2", "--out", path)
    killer.join()
    assert said.code == 1
    assert f"seed 0 failed (killed by SIGKILL); its log is {path}/seed-0.log" in said.words
    assert "ppo · CartPole-v1 · gymnasium · seed 0" in said.words  # what it said last
    assert "2 of 3 seeds" in said.words
    assert list(record(path)["results"]["seeds"]) == ["1", "2"]
    assert f"go on with: {session.own_command('sparring')} sweep ppo" in said.words
    assert sparring(*SWEEP, "--seeds", "0..2", "--out", path).code == 0
    assert_same_sweep(path, whole)


def test_a_seed_that_fails_is_reported_with_the_end_of_its_log(copy, sparring):
    *_, older, newest = RunFolder(copy / "seed-1").checkpoints
    newest.unlink()
    older.write_bytes(older.read_bytes()[:-10])
    said = sparring(*SWEEP, "--seeds", "0..2", "--out", copy)
    assert said.code == 1
    assert f"seed 1 failed (exit code 2); its log is {copy}/seed-1.log" in said.words
    assert f"{older} was cut short or altered" in said.words
    assert list(record(copy)["results"]["seeds"]) == ["0", "2"]


def test_a_seed_that_somebody_else_trains_is_reported(copy, sparring):
    RunFolder(copy / "seed-1").checkpoints[-1].unlink()
    with RunFolder(copy / "seed-1").locked():
        said = sparring(*SWEEP, "--seeds", "0..2", "--out", copy)
    assert said.code == 1
    assert "seed-1 is being trained by another process" in said.words


def test_two_sweeps_do_not_share_a_folder(copy, sparring):
    with RunFolder(copy).locked():
        said = sparring(*SWEEP, "--seeds", "0..2", "--out", copy)
    assert said.code == 2
    assert f"{copy} is being trained by another process" in said.words


# ---------------------------------------------------------------------------------------------- other options


def test_other_options_are_named_and_nothing_changes(copy, sparring):
    before = {file: file.read_bytes() for file in copy.rglob("*") if file.is_file()}
    said = sparring(*SWEEP, "--seeds", "0..5", "--out", copy, "--clip", "0.3", "--save-every", "21")
    assert said.code == 2
    assert f"{copy} cannot go on with other options; name another --out for these:" in said.words
    assert "--clip: the run has 0.2, you ask for 0.3" in said.words
    assert "--save-every: the run has 20, you ask for 21" in said.words
    assert said.words.count("you ask for") == 2
    said = sparring("sweep", "reinforce", "--env", "CartPole-v1", "--out", copy)
    assert said.code == 2
    assert "algorithm: the run has ppo, you ask for reinforce" in said.words
    assert {file: file.read_bytes() for file in copy.rglob("*") if file.is_file()} == before


def test_a_folder_that_holds_another_run_is_named(copy, sparring):
    config = copy / "seed-1" / "config.json"
    config.write_text(config.read_text().replace('"clip": 0.2', '"clip": 0.3'))
    said = sparring(*SWEEP, "--seeds", "0..2", "--out", copy)
    assert said.code == 2
    assert (
        f"{copy}/seed-1 is no run of this sweep; move it away: --clip: the run has 0.3, you ask for 0.2" in said.words
    )


def stored(tmp_path, config, **changes):
    """A sweep on paper."""
    planned = job.Job.plan("ppo", config, seed=0, device="cpu")
    return Sweep.plan(tmp_path, planned, 256, [0, 1], minutes=None).with_record(**changes)


def test_a_sweep_that_was_measured_in_minutes_goes_on_with_the_steps_that_were_measured(tmp_path):
    config = ppo.PRESETS["cartpole"].config
    measured = dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, steps=1_234))
    before = stored(tmp_path, measured, minutes=5.0)
    assert before.asked_again("ppo", config, [0, 1], minutes=5.0).job == before.job
    with pytest.raises(BadInputError, match=r"^.*\n  --minutes: the run has 5\.0, you ask for 6$"):
        before.asked_again("ppo", config, [0, 1], minutes=6.0)
    with pytest.raises(BadInputError, match="--steps: the run has 1234, you ask for 100000"):
        before.asked_again("ppo", config, [0, 1], minutes=None)


def test_a_precision_that_was_settled_stays_as_it_was_settled(tmp_path):
    config = dataclasses.replace(ppo.PRESETS["cartpole"].config, precision="auto")
    for precision in ("fp32", "bf16"):
        before = stored(tmp_path, dataclasses.replace(config, precision=precision))
        assert before.asked_again("ppo", config, [0, 1], None).job.config.precision == precision
    with pytest.raises(BadInputError, match="--precision: the run has bf16, you ask for fp32"):
        before.asked_again("ppo", dataclasses.replace(config, precision="fp32"), [0, 1], None)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": 99}', '{"format": 1, "seeds": [0, 1]}'])
def test_a_damaged_record_is_named(tmp_path, text):
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(BadInputError, match=r"sweep\.json is (damaged|no record of a sweep in format 1)"):
        Sweep.open(tmp_path)


def test_what_a_crash_left_is_in_nobodys_way(tmp_path):
    assert Sweep.open(tmp_path / "nowhere") is None
    (tmp_path / ".lock").touch()
    (tmp_path / "sweep.json.part").touch()
    assert Sweep.open(tmp_path) is None
    before = stored(tmp_path, ppo.PRESETS["cartpole"].config)
    (tmp_path / ".seed-1" / "checkpoints").mkdir(parents=True)
    folder = before.begin(1)
    assert (folder.path, job.Job.of(folder)) == (tmp_path / "seed-1", before.of(1))
    made = RunFolder.open(folder.path).record
    assert before.begin(1).record == made  # what has begun is not begun again


# ---------------------------------------------------------------------------------------------- cores


@pytest.mark.parametrize(
    ("preset", "at_once", "threads"),
    [("cartpole", 1, 1), ("cartpole", 8, 1), ("space-invaders", 1, 8), ("space-invaders", 3, 2)],
)
def test_runs_that_share_the_cores_take_their_share_of_threads(monkeypatch, preset, at_once, threads):
    monkeypatch.setattr(job, "cores", lambda: 8)
    asked = options.parse_with_config(options.Sweep, ppo.PRESETS[preset].config, [], "sparring sweep ppo")
    monkeypatch.setattr("torch.set_num_threads", lambda count: None)
    planned, _ = begin.planned("ppo", asked, Console(), seed=0, at_once=at_once)
    assert planned.threads == threads


@pytest.mark.parametrize(("jobs", "at_once"), [([], 8), (["--jobs", "3"], 3)])
def test_small_runs_fill_the_cores_unless_told_otherwise(monkeypatch, sparring, tmp_path, jobs, at_once):
    monkeypatch.setattr(job, "cores", lambda: 8)
    heard = []
    monkeypatch.setattr(sweeps, "run_to_end", lambda sweep, **words: heard.append((sweep, words)) or 0)
    assert sparring("sweep", "ppo", *POLE, "--seeds", "0..9", *jobs, "--out", tmp_path / "x").code == 0
    [(sweep, words)] = heard
    assert (words["at_once"], sweep.job.threads) == (at_once, 1)


def test_the_seeds_are_one_group_in_wandb(tmp_path, monkeypatch):
    heard = []
    monkeypatch.setattr(sweeps, "launch", lambda *words: heard.append(words))
    sweep = stored(tmp_path, ppo.PRESETS["cartpole"].config)
    sweeps.start(sweep, 1, track="offline", device="cpu")
    [(command, log, environment)] = heard
    assert environment["WANDB_RUN_GROUP"] == tmp_path.name
    assert command[-6:] == ["resume", str(tmp_path / "seed-1"), "--track", "offline", "--device", "cpu"]
    assert log == tmp_path / "seed-1.log"


# ---------------------------------------------------------------------------------------------- the crew


def python(code, log=Path(os.devnull)):
    return crew.launch([sys.executable, "-S", "-c", code], log, dict(os.environ))


def finish(work):
    while work.turn():
        time.sleep(0.01)


def test_a_crew_never_has_more_at_work_than_it_may():
    seen = []
    with Crew(range(5), lambda _: python("import time; time.sleep(0.2)"), at_once=2) as work:
        while work.turn():
            seen.append(len(work.running))
            time.sleep(0.01)
    assert max(seen) == 2
    assert work.codes == dict.fromkeys(range(5), 0)


def test_a_crew_tells_how_each_has_ended():
    codes = {0: "pass", 1: "import os; os._exit(3)", 2: "import os; os.kill(os.getpid(), 9)"}
    with Crew(codes, lambda member: python(codes[member]), at_once=3) as work:
        finish(work)
    assert work.codes == {0: 0, 1: 3, 2: -9}
    assert [crew.how_it_ended(code) for code in (3, -9)] == ["exit code 3", "killed by SIGKILL"]


def test_what_a_process_says_goes_to_the_end_of_its_log(tmp_path):
    log = tmp_path / "log"
    for word in ("one", "two"):
        python(f"import sys; print('{word}'); print('{word}!', file=sys.stderr)", log).wait()
    assert sorted(log.read_text().split()) == ["one", "one!", "two", "two!"]


def test_the_terminals_ctrl_c_does_not_reach_the_crew():
    process = python("import time; time.sleep(60)")
    assert os.getsid(process.pid) != os.getsid(0)
    assert os.getpgid(process.pid) != os.getpgid(0)
    process.kill()
    process.wait()


STUBBORN = """
import signal, sys, time
heard = []
signal.signal(signal.SIGINT, lambda *_: heard.append(1))
print("ready", flush=True)
while len(heard) < {count}:
    time.sleep(0.01)
"""


@pytest.mark.parametrize(("count", "code"), [(1, 0), (2, 0), (99, -9)])
def test_a_crew_asks_once_and_asks_again_when_it_is_over_and_leaves_nobody(tmp_path, monkeypatch, count, code):
    monkeypatch.setattr(crew, "GRACE", 1.0)
    log = tmp_path / "log"
    with Crew([0, 1], lambda _: python(STUBBORN.format(count=count), log), at_once=1) as work:
        work.turn()
        process = work.running[0]
        wait_until(lambda: log.read_text() == "ready\n")
        work.interrupt()
        time.sleep(0.2)
        assert (process.poll() is None) == (count > 1)
    assert process.returncode == code
    assert work.codes == {}  # it did not end by itself
    assert not work.waiting


def test_a_crew_leaves_nobody_when_its_owner_fails():
    work = Crew([0], lambda _: python("while True: pass"), at_once=1)
    with pytest.raises(ZeroDivisionError), work:
        work.at_once //= work.turn() - 1
    assert work.running[0].returncode not in (None, 0)


def test_a_terminal_that_is_closed_asks_for_a_stop_unless_it_must_not_matter():
    ours = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests that run under nohup ignore it
    try:
        with session.stop_signals(lambda _: None) as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with session.stop_signals(lambda _: None) as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop()
    finally:
        signal.signal(signal.SIGHUP, ours)


# ---------------------------------------------------------------------------------------------- the lanes


class Watch:
    """A clock that goes when it is told to."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def watch(monkeypatch):
    watch = Watch()
    monkeypatch.setattr(dashboard, "perf_counter", watch)
    monkeypatch.setattr(lanes, "perf_counter", watch)
    return watch


def write(journal, steps, scores=()):
    with journal.open("a") as file:
        file.writelines(json.dumps({"step": step, "game/score": list(scores)}) + "\n" for step in steps)


@pytest.fixture
def lane(tmp_path):
    lane = Lane("seed 0", tmp_path / "metrics.jsonl", steps=1_000)
    lane.state = "running"
    return lane


def test_a_lane_tells_the_recent_games_the_speed_and_the_time_left(lane, watch):
    lane.look()
    assert (lane.step, lane.standing(), lane.prospect()) == (0, "", "running")
    write(lane.journal, [100], [0.0] * 50)
    lane.look()
    assert (lane.share, lane.standing(), lane.prospect()) == (0.1, "score 0.0 (last 50)", "running")
    watch.now += 10
    write(lane.journal, [200, 300], [20.0] * 40)  # a hundred remain: 20 zeros, 80 twenties
    lane.look()
    assert (lane.step, lane.standing()) == (300, "score 16.0 (last 100)")
    assert (lane.speed(), lane.prospect()) == (20.0, "0:35 left")
    write(lane.journal, [1_000])
    lane.look()
    assert lane.prospect() == "finishing"
    lane.state = "complete"
    assert (lane.speed(), lane.prospect()) == (0.0, "complete")


def test_a_lane_without_games_tells_what_was_found_last_and_before_that_the_losses(lane, watch):
    def line(**row):
        with lane.journal.open("a") as file:
            file.write(json.dumps(row) + "\n")
        lane.look()
        return lane.standing()

    assert line(step=50, **{"loss/x": 1.2345, "play/evaluations": 50.0}) == "loss/x 1.23"
    found = {"evaluation/modes": 8.0, "evaluation/gap_low": 0.1, "evaluation/gap": 0.2, "evaluation/gap_high": 0.3}
    assert line(step=100, **{"loss/x": 1.0}, **found) == "modes 8 · gap 0.2"
    assert line(step=150, **{"loss/x": 0.9}) == "modes 8 · gap 0.2"


def test_a_lane_reads_only_whole_lines_and_each_once(lane, watch):
    text = json.dumps({"step": 7, "game/score": [5.0]}) + "\n"
    for cut in (1, 10, len(text) - 1):
        lane.journal.write_text(text[:cut])
        lane.look()
        assert lane.step == 0
    with lane.journal.open("a") as file:
        file.write(text[-1])
    for _ in range(2):
        lane.look()
        assert (lane.step, list(lane.scores)) == (7, [5.0])


def test_a_lane_begins_anew_where_a_resume_rewinds_the_journal(lane, watch):
    write(lane.journal, [100, 200, 300], [1.0])
    lane.look()
    watch.now += 10
    aside = lane.journal.with_name("aside")
    write(aside, [100], [1.0])
    aside.replace(lane.journal)
    lane.look()
    assert (lane.step, list(lane.scores), lane.speed()) == (100, [1.0], 0.0)


def test_a_damaged_line_is_passed_over(lane, watch):
    lane.journal.write_text("\0\0\0\n")
    write(lane.journal, [100])
    lane.look()
    assert lane.step == 100


def screen(terminal):
    return Console(record=True, width=150, file=io.StringIO(), force_terminal=terminal, color_system=None)


def two_lanes(tmp_path):
    both = [Lane(f"seed {seed}", tmp_path / f"{seed}.jsonl", steps=1_000) for seed in (0, 1)]
    for lane, step in zip(both, (500, 250), strict=True):
        write(lane.journal, [step], [12.0])
    return both


def test_a_terminal_shows_a_bar_a_seed_and_the_whole(tmp_path, watch):
    console, both = screen(True), two_lanes(tmp_path)
    with Lanes(console, "ppo, 2 at a time", both) as shown:
        for lane in both:
            lane.state = "running"
        shown.show()
        watch.now += 10
        write(both[0].journal, [600], [12.0])
        write(both[1].journal, [300], [12.0])
        shown.show()
        shown.say("stopping")
        shown.show()
    words = " ".join(console.export_text().split())
    assert "ppo, 2 at a time seed 0" in words
    assert re.search(r"seed 0 ━\S*( \S*)? 60% score 12\.0 \(last 2\) 0:40 left", words)
    assert re.search(r"seed 1 ━\S*( \S*)? 30% score 12\.0 \(last 2\) 2:20 left", words)
    assert "45% · 2,000 steps in all · 15 steps/s · 1:13 left" in words  # 1,100 are left
    assert words.endswith("stopping")


def test_a_log_gets_a_line_when_a_seed_begins_or_ends_and_now_and_then(tmp_path, watch):
    console, both = screen(False), two_lanes(tmp_path)
    with Lanes(console, "ppo, 2 at a time", both) as shown:
        for second, state in enumerate(["waiting", "running", "running", "failed: exit code 2"]):
            both[0].state = state
            watch.now += 1
            write(both[0].journal, [500 + 100 * second])
            shown.show()
        watch.now += lanes.LINE_EVERY
        both[1].state = "running"
        for _ in range(2):
            shown.show()
        shown.say("stopping")
    assert console.export_text().splitlines() == [
        "ppo, 2 at a time",
        "seed 0: 60% · score 12.0 (last 1) · 0:04 left",
        "seed 0: 80% · score 12.0 (last 1) · failed: exit code 2",
        "seed 1: 25% · score 12.0 (last 1) · running",
        "stopping",
    ]
    assert "\x1b" not in console.file.getvalue()


# ---------------------------------------------------------------------------------------------- the end


def rows(*updates):
    return [{"step": 10 * number, "game/score": list(scores)} for number, scores in enumerate(updates, start=1)]


def test_a_curve_is_the_mean_of_the_last_hundred_games_after_each_update(monkeypatch):
    monkeypatch.setattr("sparring.runners.report.SMOOTH", 3)
    steps, means = overview.curve(rows([], [4.0, 8.0], [], [0.0, 1.0, 5.0, 6.0]))
    assert steps.tolist() == [10, 20, 30, 40]
    assert means.tolist() == pytest.approx([float("nan"), 6, 6, 4], nan_ok=True)


def test_curves_are_drawn_where_few_games_or_none_have_ended(tmp_path):
    cases = {
        "one": {"seed 0": rows([1.0], [2.0])},
        "late": {"seed 0": rows([1.0], [2.0]), "seed 1": rows([], [2.0])},
        "none": {"seed 0": rows([], []), "seed 1": rows([], [])},
    }
    for name, runs in cases.items():
        overview.curves(runs, tmp_path / f"{name}.png", name)
        assert (tmp_path / f"{name}.png").stat().st_size > 1_000


def judgement(score):
    metrics = {"update": 9, "score": score, "score_low": score - 1, "score_high": score + 1, "random": 20.0}
    seeds = [score, score + 49]
    protocol = {"name": "gymnasium", "policy": "stochastic", "full_games": True, "games": 50, "seeds": seeds}
    return {**metrics, "scores": [score], "protocol": protocol}


def test_one_seed_alone_has_no_interval_over_seeds():
    told = overview.results({4: judgement(30.0)})
    assert (told["n"], told["aggregates"]) == (1, {})
    console = screen(False)
    overview.table(console, told, "1 of 3 seeds")
    shown = console.export_text()
    assert "30 (29 … 31)" in shown
    assert "mean" not in shown


def test_the_results_hold_numbers_and_the_protocol_that_all_share():
    told = overview.results({seed: judgement(score) for seed, score in [(0, 10.0), (1, 40.0)]})
    assert told["seeds"]["1"] == {"update": 9, "score": 40.0, "score_low": 39.0, "score_high": 41.0, "random": 20.0}
    assert told["protocol"] == {"name": "gymnasium", "policy": "stochastic", "full_games": True, "games": 50}
    assert told["aggregates"]["score"]["mean"] == {"value": 25.0, "low": 10.0, "high": 40.0}
    assert told["aggregates"]["random"]["median"] == {"value": 20.0, "low": 20.0, "high": 20.0}
    assert told["intervals"].startswith("95 %: a seed's over its games")


def test_of_the_protocol_the_results_hold_what_all_seeds_have_in_common():
    told = overview.results(
        {seed: {"gap": 0.1, "scores": [], "protocol": {"name": "bilinear", "start": [seed]}} for seed in (0, 1)}
    )
    assert told["protocol"] == {"name": "bilinear"}


def found(modes, kl):
    metrics = {"update": 9, "modes": modes, "reverse_kl": kl}
    return {**metrics, "scores": [], "protocol": {"name": "ring8", "samples": 2500, "seeds": [modes, modes]}}


def test_a_sweep_without_games_tells_every_metric():
    told = overview.results({seed: found(modes, kl) for seed, modes, kl in [(0, 8.0, 0.01), (1, 7.0, 0.13)]})
    console = screen(False)
    overview.table(console, told, "2 of 2 seeds")
    shown = " ".join(console.export_text().replace("│", " ").split())
    assert "seed modes reverse kl 0 8 0.01 1 7 0.13 mean 7.5 (7 … 8) 0.07 (0.01 … 0.13)" in shown
    assert "ring8, samples 2500, a seed" in shown
    assert told["intervals"] == "95 %: over seeds (stratified percentile bootstrap)"


def test_a_sweep_tells_verdicts_on_which_its_seeds_differ():
    """And leaves out other things that they do not share."""
    judgements = {
        seed: {"x": 1.0, "protocol": {"name": "mnist", "verdict": verdict, "count": seed, "seeds": [seed, seed]}}
        for seed, verdict in enumerate(["evidence", "not evidence: square failed", "evidence"])
    }
    assert overview.results(judgements)["protocol"] == {
        "name": "mnist",
        "verdict": "evidence (2 of 3 seeds); not evidence: square failed (1 of 3 seeds)",
    }


def test_the_curves_of_runs_without_games_are_their_evaluations(tmp_path):
    journal = [{"step": 50, "loss/x": 1.0}, {"step": 100, "loss/x": 0.5, "evaluation/modes": 6.0, "evaluation/kl": 0.2}]
    steps, modes = overview.curve([*journal, {"step": 200, "evaluation/modes": 8.0, "evaluation/kl": 0.0}])
    assert (steps.tolist(), modes.tolist()) == ([100, 200], [6, 8])
    overview.curves({"seed 0": journal, "seed 1": journal}, tmp_path / "curves.png", "gan")
    assert (tmp_path / "curves.png").stat().st_size > 1_000


def test_the_words_that_go_on_name_the_folder(sparring, monkeypatch, tmp_path):
    """Without an --out the folder is a new one below runs/; it must be named to go on."""
    monkeypatch.chdir(tmp_path)
    heard = []
    monkeypatch.setattr(sweeps, "run_to_end", lambda sweep, **words: heard.append((sweep, words)) or 0)
    assert sparring("sweep", "ppo", *POLE).code == 0
    [(sweep, words)] = heard
    assert re.fullmatch(r"runs/ppo-CartPole-v1-\d{8}-\d{6}-sweep", str(sweep.path))
    assert words["again"] == f"sweep ppo {' '.join(POLE)} --out {sweep.path}"
    assert sweep.seeds == [0, 1, 2, 3, 4]
