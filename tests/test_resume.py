"""A run that is killed at random moments and resumed equals, bit for bit, the run that was left alone.

All through the real command line; whoever is killed is a process of its own, and waits for it after a share of the
updates, since on a busy machine it could be done before the signal comes. One thread each: on shared cores the threads
of small networks would wait for each other. What is shown and filmed after a run is left to test_cli.py.
"""

import json
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from sparring.runners import checkpoint, cli, job, session
from sparring.runners.folder import RunFolder

TINY = ["--save-every", "2", "--worlds", "2", "--horizon", "32", "--games", "2", "--track", "off"]
IN_WORLDS = {
    "ppo": ["ppo", "--env", "CartPole-v1", "--steps", "10k", "--evaluate-every", "39"],
    "reinforce": ["reinforce", "--env", "CartPole-v1", "--steps", "20k", "--evaluate-every", "60"],
    "atari": ["ppo", "--env", "ALE/SpaceInvaders-v5", "--steps", "1_024"],
    "sb3-ppo": ["sb3-ppo", "--env", "CartPole-v1", "--steps", "10k", "--evaluate-every", "39"],
    "sb3-dqn": [
        *["sb3-dqn", "--env", "CartPole-v1", "--steps", "6k", "--evaluate-every", "39", "--learning-starts", "64"],
        *["--buffer-size", "1k", "--train-every", "8", "--gradient-steps", "4"],
    ],
}
ON_THREE_LINES = [
    *["--board", "3", "--komi", "2.5", "--width", "8", "--blocks", "1", "--anchor", "2", "--games", "2"],
    *["--save-every", "2", "--evaluate-every", "19", "--track", "off"],
]
RUNS = {name: [*words, *TINY] for name, words in IN_WORLDS.items()} | {
    # twelve rounds of likelihood, four of the discriminator, and play: some kills come within each
    "seqgan": [
        *["seqgan", "--steps", "40", "--save-every", "2", "--evaluate-every", "9", "--samples", "20", "--track", "off"],
        *["--vocabulary", "12", "--length", "6", "--sentences", "300", "--held-out", "40", "--hidden", "8"],
        *["--mle-rounds", "12", "--mle-batches", "4", "--warm-rounds", "4", "--d-sentences", "64", "--rollouts", "2"],
    ],
    # λ rises with the rounds, whose count is part of the game
    "dann": [
        *["dann", "--steps", "120", "--rounds", "3", "--save-every", "2", "--evaluate-every", "39", "--samples", "20"],
        *["--weight-rule", "ramp", "--batch", "8", "--track", "off"],
    ],
    "robust": [
        *["robust", "--method", "fgsm-rs", "--steps", "200", "--rounds", "5", "--save-every", "2", "--track", "off"],
        *["--evaluate-every", "39", "--samples", "20", "--batch", "20", "--width", "4", "--attack-steps", "2"],
    ],
    # a window of games, an average of weights, games counted
    "alphazero": [
        *["alphazero", *ON_THREE_LINES, "--steps", "80", "--draw", "2", "--slots", "2", "--simulations", "4"],
        *["--window", "60", "--batch", "8"],
    ],
    # a pool of past policies
    "ppo-selfplay": [
        *["ppo-selfplay", *ON_THREE_LINES, "--steps", "2560", "--boards", "4", "--horizon", "16", "--join-every", "3"],
        *["--minibatches", "2"],
    ],
}
CHILD = """
import itertools, time
from sparring.runners import cli, job, session

def train(experiment, run, tracker, folder, stop, watch):
    updates = itertools.count(1)

    def stop_at_last():
        done = next(updates)
        while done >= {leash} and not stop():
            time.sleep(0.01)
        return stop()

    return learn(experiment, run, tracker, folder, stop_at_last, watch)

learn, session.train = session.train, train
job.cores, session.show = lambda: 1, lambda *_: None
cli.main()
"""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(job, "cores", lambda: 1)
        patched.setattr(session, "show", lambda *_: None)
        yield
    torch.set_num_threads(before)


def sparring(*words):
    """The exit code of a command in this process."""
    with pytest.raises(SystemExit) as caught:
        cli.main([str(word) for word in words])
    return caught.value.code


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The runs that nobody disturbed, by name."""
    folder = tmp_path_factory.mktemp("whole")
    made = {}

    def run(name):
        if name not in made:
            made[name] = folder / name
            assert sparring("train", *RUNS[name], "--out", made[name]) == 0
        return made[name]

    return run


class Child:
    """A run in a process of its own: begun where there is no folder yet, else resumed. After `leash` updates it waits
    for a signal.
    """

    def __init__(self, name, path, leash):
        self.path = path
        self.journal = path / "metrics.jsonl"
        self.known = self.journal.stat().st_ino if self.journal.exists() else None
        self.floor = RunFolder(path).update or 0
        begun = (path / "config.json").exists()
        words = ["resume", path, "--track", "off"] if begun else ["train", *RUNS[name], "--out", path]
        command = [sys.executable, "-c", CHILD.format(leash=leash), *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def wait_until(self, happened):
        """Return when it has, or when the run is over."""
        limit = time.monotonic() + 120
        while self.process.poll() is None and not happened():
            assert time.monotonic() < limit, "nothing happens"
            time.sleep(0.02)

    def began(self):
        return (self.path / "config.json").exists()

    def learned(self):
        """Whether it has passed a save of its own: the journal was rewound (so it is a new file) and grew by three."""
        if not self.journal.exists() or self.journal.stat().st_ino == self.known:
            return False
        return max((row["update"] for row in RunFolder(self.path).rows()), default=0) >= self.floor + 3

    def send(self, number):
        """Send a signal, and tell how the process ended and what it said."""
        self.process.send_signal(number)
        said, _ = self.process.communicate(timeout=120)
        return self.process.returncode, said


def learned(path):
    """The last checkpoint: its update, and every part's leaves bit for bit."""
    state = checkpoint.read(RunFolder(path).checkpoints[-1])
    return state["update"], {name: leaves(part) for name, part in state["parts"].items()}


def leaves(value):
    if isinstance(value, dict):
        return {key: leaves(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [leaves(item) for item in value]
    return (value.dtype, value.shape, value.numpy().tobytes()) if isinstance(value, torch.Tensor) else value


def journal(path):
    return (path / "metrics.jsonl").read_bytes()


def judgements(path):
    return {file.name: file.read_bytes() for file in (path / "evaluations").iterdir()}


def assert_same_run(path, other):
    assert journal(path) == journal(other)
    assert learned(path) == learned(other)
    assert judgements(path) == judgements(other)
    assert [file.name for file in RunFolder(path).episodes] == [file.name for file in RunFolder(other).episodes]


@pytest.mark.parametrize(
    ("name", "signals"),
    [
        ("ppo", [signal.SIGKILL] * 3),
        ("reinforce", [signal.SIGKILL] * 3),
        ("atari", [signal.SIGKILL, signal.SIGINT, signal.SIGKILL]),
        ("sb3-ppo", [signal.SIGKILL] * 2),
        ("sb3-dqn", [signal.SIGKILL, signal.SIGINT, signal.SIGKILL]),
        ("alphazero", [signal.SIGKILL, signal.SIGINT, signal.SIGKILL]),
        ("ppo-selfplay", [signal.SIGKILL] * 2),
        ("seqgan", [signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGKILL]),
        ("dann", [signal.SIGKILL, signal.SIGINT]),
        ("robust", [signal.SIGKILL, signal.SIGINT]),
    ],
)
def test_a_run_that_is_killed_at_random_and_resumed_equals_the_run_that_was_left_alone(tmp_path, whole, name, signals):
    dice = random.Random(name)
    path = tmp_path / name
    updates = RunFolder(whole(name)).update
    reached = []
    for number in signals:
        child = Child(name, path, leash=updates // (len(signals) + 1))
        child.wait_until(child.learned if reached else child.began)  # the first comes before anything is learned
        time.sleep(dice.uniform(0.0, 0.15 if reached else 0.05))
        code, _ = child.send(number)
        assert code == (130 if number == signal.SIGINT else -number)
        reached.append(RunFolder(path).update or 0)
    assert reached == sorted(reached)
    assert 0 < reached[-1] < updates, "the last one did not come in the middle"
    assert sparring("resume", path, "--track", "off") == 0
    assert_same_run(path, whole(name))


def test_ctrl_c_stops_cleanly_says_how_to_go_on_and_loses_nothing(tmp_path, whole):
    path = tmp_path / "ppo"
    child = Child("ppo", path, leash=100)
    child.wait_until(child.learned)
    code, said = child.send(signal.SIGINT)
    assert code == 130
    assert f"sparring resume {path}" in " ".join(said.split())
    assert RunFolder(path).update == [row["update"] for row in RunFolder(path).rows()][-1] >= 3
    assert journal(whole("ppo")).startswith(journal(path))
    assert sparring("resume", path, "--track", "off") == 0
    assert_same_run(path, whole("ppo"))


def test_the_same_seed_is_the_same_run_and_another_seed_another(tmp_path, whole):
    for seed in (0, 1):
        assert sparring("train", *RUNS["ppo"], "--seed", seed, "--out", tmp_path / str(seed)) == 0
    assert_same_run(tmp_path / "0", whole("ppo"))
    assert journal(tmp_path / "1") != journal(whole("ppo"))
    assert learned(tmp_path / "1") != learned(whole("ppo"))


def test_a_run_that_is_complete_is_not_changed_by_a_resume(whole):
    path = whole("ppo")
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert sparring("resume", path, "--track", "off") == 0
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    config = json.loads((path / "config.json").read_text())
    assert (config["seed"], config["threads"]) == (0, 1)


@pytest.mark.slow
def test_the_main_job_resumes_exactly_on_all_cores_and_in_its_own_precision(tmp_path):
    words = ["--steps", "20k", "--save-every", "5", "--games", "4", "--track", "off"]

    def begin(verb, *more):
        return subprocess.Popen([sys.executable, "-m", "sparring.runners.cli", verb, *map(str, more)])

    assert begin("train", "ppo", *words, "--out", tmp_path / "whole").wait() == 0
    child = begin("train", "ppo", *words, "--out", tmp_path / "killed")
    while len(list(RunFolder(tmp_path / "killed").rows())) < 8:
        assert child.poll() is None
        time.sleep(0.1)
    child.kill()
    child.wait()
    assert RunFolder(tmp_path / "killed").update == 5
    assert begin("resume", tmp_path / "killed", "--track", "off").wait() == 0
    assert_same_run(tmp_path / "killed", tmp_path / "whole")
