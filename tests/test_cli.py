"""The command line: help at once, counts as people write them, bad input explained with exit code 2, a real run."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import gymnasium
import imageio_ffmpeg
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, MultiDiscrete
from rich.console import Console

from sparring.agents import networks
from sparring.agents.ppo import PRESETS
from sparring.envs import episodes
from sparring.envs.errors import BadInputError
from sparring.runners import begin, catalog, cli, job, options, session
from sparring.runners.folder import RunFolder
from sparring.runners.tracker import Silent

TINY = ["--horizon", "32", "--worlds", "2", "--games", "2", "--track", "off"]
HEAVY = {"torch._C", "wandb", "stable_baselines3", "matplotlib", "pandas"}  # torch itself may be a hollow one


class Said:
    """What a command said, and how it ended."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err
        self.words = " ".join(re.sub("[│╭╮╰╯─]", " ", out + err).split())  # whatever the width and the frames


@pytest.fixture
def sparring(capsys, monkeypatch):
    """Run a command in this process."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main([str(word) for word in words])
        return Said(caught.value.code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A real run: PPO on CartPole, 16 updates; nobody may change it."""
    path = tmp_path_factory.mktemp("runs") / "pole"
    words = ["train", "ppo", "--env", "CartPole-v1", "--steps", "1_024", "--save-every", "5", *TINY, "--out", path]
    with pytest.raises(SystemExit) as caught:
        cli.main([str(word) for word in words])
    assert caught.value.code == 0
    return path


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the run, to be changed at will."""
    return Path(shutil.copytree(finished, tmp_path / "pole"))


def contents(path):
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


# ---------------------------------------------------------------------------------------------- help


def test_the_main_job_needs_no_words(monkeypatch):
    """What `make train` types, up to where the training would begin."""
    begun = []
    monkeypatch.setattr(cli, "planned", lambda name, options, *rest, **kept: begun.append((name, options)) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["train", "ppo"])
    ((name, options),) = begun
    assert (name, options.config.world.env, options.config.schedule.steps) == ("ppo", "ALE/SpaceInvaders-v5", 250_000)


def test_a_reader_who_has_seen_enough_is_not_answered_with_a_traceback():
    command = [sys.executable, "-m", "sparring.runners.cli", "train", "ppo", "--help"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait() == 141


def imported(*words):
    """The modules that a command imports, and what it says."""
    command = [sys.executable, "-X", "importtime", "-m", "sparring.runners.cli", *words]
    child = subprocess.run(command, check=True, capture_output=True, text=True)
    names = re.findall(r"^import time:.*\| +(\S+)$", child.stderr, re.MULTILINE)
    return {*names}, child.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--help"], ["train", "sweep", "resume", "evaluate", "replay", "list"]),
        (["train", "--help"], ["ppo", "reinforce", "sb3-ppo"]),
        (["sweep", "--help"], ["sparring sweep ALGO", "ppo", "reinforce"]),
        (["sweep", "ppo", "--help"], ["--seeds", "0..2,9", "--jobs", "--steps", "--minutes", "--clip", "--out"]),
        (
            ["train", "ppo", "--help"],
            ["--steps", "--minutes", "--clip", "--env", "--out", "--device", "--track", "--seed"],
        ),
        (["train", "sb3-dqn", "--help"], ["--steps", "--buffer-size", "--exploration-final", "--no-save-memory"]),
        (["resume", "--help"], ["resume RUN"]),
        (["evaluate", "--help"], ["--episodes", "--protocol"]),
        (["replay", "--help"], ["--view", "terminal", "mp4", "gif", "verify"]),
        (["list"], ["ppo", "space-invaders", "ALE/SpaceInvaders-v5", "sparring/ProbeChoice-v0", "mnih2015"]),
    ],
    ids=" ".join,
)
def test_help_comes_without_heavy_packages(words, told):
    """Torch alone takes over a second."""
    packages, shown = imported(*words)
    assert "tyro" in packages
    assert packages & HEAVY == set()
    assert [word for word in told if word not in shown] == []


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_needs_no_word(sparring, words):
    said = sparring(*words)
    assert said.code == 0
    assert "sparring train" in said.out


def test_the_help_of_an_algorithm_shows_the_preset_that_fits_the_world(sparring):
    atari = sparring("train", "ppo", "--help").words
    pole = sparring("train", "ppo", "--env", "CartPole-v1", "--help").words
    assert "(default: ALE/SpaceInvaders-v5)" in atari
    assert "(default: CartPole-v1)" in pole
    assert "(default: 0.2)" in pole.partition("--clip")[2][:120]


# ---------------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *[
            ("10000", 10_000),
            ("10_000", 10_000),
            ("1e6", 1_000_000),
            ("10k", 10_000),
            ("64k", 64_000),
            ("1_000", 1_000),
        ],
        *[("2M", 2_000_000), ("1G", 10**9), ("1.5k", 1_500), ("2.3M", 2_300_000), ("4.35M", 4_350_000), ("0", 0)],
        ("9007199254740993", 9_007_199_254_740_993),
    ],
)
def test_a_count_is_read_as_people_write_it(text, number):
    assert options.count(text) == number


@pytest.mark.parametrize("text", ["1.5", "1e-3", "0.0001k", "abc", "", "k", "1kk", "1e", "nan", "inf", "--"])
def test_what_is_no_whole_number_is_refused(text):
    with pytest.raises(ValueError, match="is not a whole number"):
        options.count(text)


@pytest.mark.parametrize(("text", "steps"), [("1e3", 1_000), ("1k", 1_000), ("1_000", 1_000)])
def test_a_count_reaches_the_run(sparring, tmp_path, text, steps):
    words = ["--env", "sparring/ProbeConstant-v0", "--horizon", "250", *TINY[2:]]
    assert sparring("train", "ppo", *words, "--steps", text, "--out", tmp_path / "run").code == 0
    assert RunFolder.open(tmp_path / "run").record["config"]["schedule"]["steps"] == steps
    assert [row["step"] for row in RunFolder(tmp_path / "run").rows()] == [500, 1000]


# ---------------------------------------------------------------------------------------------- bad input

CHORD = "cli/Chord-v0"
POLE = ["train", "ppo", "--env", "CartPole-v1", "--track", "off"]


class Chord(gymnasium.Env):
    """Takes two actions at once, which no algorithm of ours can."""

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own convention
    observation_space = Box(-1, 1, (1,))
    action_space = MultiDiscrete([2, 3])

    def __init__(self, render_mode=None):
        self.render_mode = render_mode


gymnasium.register(CHORD, Chord)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        # the nearest names
        (["trian"], ["no command is called 'trian'", "did you mean train"]),
        (["train", "pppo"], ["no algorithm is called 'pppo'", "did you mean ppo"]),
        (["train", "zzz"], ["no algorithm is called 'zzz'", "there are:", "ppo", "reinforce"]),
        (["train", "ppo", "--env", "CartPol-v1"], ["no world is called 'CartPol-v1'", "did you mean CartPole-v1"]),
        (["train", "ppo", "--env", "SpaceInvaders"], ["no world is called 'SpaceInvaders'", "ALE/SpaceInvaders-v5"]),
        (
            ["train", "ppo", "--env", "ALE/SpaceInvader-v5"],
            ["'ALE/SpaceInvader-v5'", "did you mean ALE/SpaceInvaders-v5"],
        ),
        (["train", "ppo", "--env", "sparring/ProbeChoise-v0"], ["did you mean sparring/ProbeChoice-v0"]),
        (["train", "ppo", "--preset", "cartpol"], ["no preset is called 'cartpol'", "did you mean cartpole?"]),
        (["train", "ppo", "--protocol", "mnih2016"], ["ALE/SpaceInvaders-v5", "'mnih2016'", "did you mean mnih2015"]),
        ([*POLE, "--protocol", "ppo2017"], ["no protocol for CartPole-v1 is called 'ppo2017'", "there are: gymnasium"]),
        ([*POLE, "--learning-rat", "0.1"], ["--learning-rat", "Perhaps you meant", "--learning-rate"]),
        ([*POLE, "--clipp", "0.1"], ["--clipp", "Perhaps you meant", "--clip"]),
        (["list", "presest"], ["'presest'", "'presets'"]),
        (["replay", "x", "--view", "movie"], ["'movie'", "'mp4'", "'gif'", "'verify'"]),
        # what an algorithm can handle
        (["train", "ppo", "--env", CHORD], ["actions are MultiDiscrete([2 3])", "handles Discrete(n)", "Box(A)"]),
        ([*POLE, "--network", "nature"], ["Box(", "'nature' handles uint8 [C, H, W]", "try 'mlp'"]),
        (["train", "sb3-dqn", "--env", "Pendulum-v1"], ["sb3-dqn cannot learn Pendulum-v1", "handles Discrete(n)"]),
        # numbers that cannot be
        ([*POLE, "--steps", "1.5"], ["--steps", "'1.5' is not a whole number"]),
        ([*POLE, "--steps", "many"], ["--steps", "'many' is not a whole number"]),
        ([*POLE, "--steps", "inf"], ["--steps", "'inf' is not a whole number"]),
        ([*POLE, "--steps", "0"], ["steps is 0; it must be at least 1"]),
        ([*POLE, "--games", "1"], ["games is 1; it must be at least 2"]),
        ([*POLE, "--save-every", "0"], ["save_every is 0; it must be at least 1"]),
        ([*POLE, "--worlds", "0"], ["worlds is 0; it takes at least 1"]),
        ([*POLE, "--horizon", "0"], ["horizon is 0; a rollout has at least 1 step"]),
        ([*POLE, "--minibatches", "3"], ["256 steps (horizon 32 × 8 worlds)", "3 equal mini-batches"]),
        ([*POLE, "--minibatches", "0"], ["minibatches is 0"]),
        ([*POLE, "--epochs", "0"], ["epochs is 0"]),
        ([*POLE, "--seed", "-1"], ["seed is -1"]),
        ([*POLE, "--minutes", "0"], ["minutes is 0"]),
        ([*POLE, "--minutes", "-2"], ["minutes is -2"]),
        ([*POLE, "--clip", "wide"], ["--clip", "wide"]),
        # both values
        ([*POLE, "--steps", "10k", "--minutes", "2"], ["--steps 10k and --minutes 2 both set the length; give one"]),
        ([*POLE, "--steps=10k", "--minutes=2"], ["--steps 10k and --minutes 2 both set the length; give one"]),
        (
            ["train", "seqgan", "--minutes", "5"],
            ["--minutes 5: seqgan learns in phases", "use --steps, which is 320"],
        ),
        (
            ["train", "seqgan", "--signal", "gumbel", "--credit=terminal"],
            ["--credit changes nothing here, for signal is gumbel, and G learns from D's own gradient; leave it out"],
        ),
        (["sweep", "seqgan", "--temperature", "2"], ["--temperature changes nothing here", "signal is score-function"]),
        # nothing there
        (["train"], ["train what?", "for example: sparring train"]),
        (["sweep"], ["sweep what? for example: sparring sweep "]),
        (["sweep", "pppo"], ["no algorithm is called 'pppo'"]),
        (["resume"], ["resume which run?", "sparring list runs"]),
        (["resume", "nowhere"], ["there is no run at nowhere", "sparring list runs"]),
        (["evaluate", "nowhere"], ["there is no run at nowhere"]),
        (["replay", "nowhere.npz"], ["there is no episode at nowhere.npz"]),
        (["evaluate"], ["sparring evaluate", "the run's folder"]),
        (["replay"], ["sparring replay", "an episode (.npz), or a run"]),
        (["resume", "empty"], ["empty is not a run: it has no config.json"]),
        (["evaluate", "empty"], ["empty is not a run: it has no config.json"]),
        (["replay", "empty"], ["empty is not a run: it has no config.json"]),
        (["replay", "notes.npz"], ["notes.npz is not an episode, or it is damaged"]),
        # there already
        ([*POLE, "--out", "empty"], ["empty exists; go on with `sparring resume empty`, or name another --out"]),
        ([*POLE, "--out", "notes.npz"], ["notes.npz exists"]),
    ],
    ids=lambda words: (
        " ".join(words) if words and words[0] in ("train", "sweep", "list", "replay", "resume", "evaluate") else ""
    ),
)
def test_bad_input_is_explained(sparring, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("notes.npz").write_text("not an episode")
    before = sorted(tmp_path.rglob("*"))
    said = sparring(*words)
    assert said.code == 2
    assert [piece for piece in told if piece not in said.words] == []
    assert "Traceback" not in said.words
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("verb", ["train", "resume"])
def test_a_run_that_diverges_says_what_broke_and_which_checkpoint_is_good(sparring, tmp_path, verb):
    path = tmp_path / "run"
    words = [*POLE, *TINY, "--steps", "640", "--learning-rate", "1e38", "--out", path]
    said = sparring(*words)
    before = contents(path)
    if verb == "resume":
        said = sparring("resume", path, "--track", "off")
        assert contents(path) == before
    assert said.code == 2
    assert "sparring: update 1: loss/policy became nan in gradient step 2 of 20" in said.words
    assert f"{path / 'checkpoints' / '00000000.pt'} is from before and intact; a smaller learning rate" in said.words
    assert "Traceback" not in said.words
    assert [file.name for file in (path / "checkpoints").iterdir()] == ["00000000.pt"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("verb", ["train", "evaluate", "resume"])
def test_a_gpu_that_is_not_there_is_explained(sparring, finished, verb):
    said = sparring(*(POLE if verb == "train" else [verb, finished]), "--device", "cuda")
    assert said.code == 2
    assert "--device cuda: PyTorch sees no GPU here; use --device cpu, or auto" in said.words


def test_a_resume_with_changed_options_prints_each_difference_and_changes_nothing(sparring, run):
    before = contents(run)
    said = sparring("resume", run, "--clip", "0.3", "--seed", "4", "--save-every", "9", "--env", "Acrobot-v1")
    assert said.code == 2
    for option, old, new in [
        ("clip", 0.2, 0.3),
        ("seed", 0, 4),
        ("save-every", 5, 9),
        ("env", "CartPole-v1", "Acrobot-v1"),
    ]:
        assert f"--{option}: the run has {old}, you ask for {new}" in said.words
    assert said.words.count("you ask for") == 4
    assert contents(run) == before


def test_a_resume_with_the_same_options_is_no_difference(sparring, run):
    said = sparring("resume", run, "--clip", "0.2", "--steps", "1024", "--track", "off")
    assert said.code == 0


def test_an_unknown_option_of_a_resume_is_named(sparring, run):
    said = sparring("resume", run, "--clipp", "0.2")
    assert said.code == 2
    assert "--clipp" in said.words


# ---------------------------------------------------------------------------------------------- damage


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def alter(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("verb", ["resume", "evaluate"])
@pytest.mark.parametrize("damage", [cut, alter])
def test_a_damaged_checkpoint_is_named_and_nothing_changes(sparring, run, verb, damage, monkeypatch):
    """Not even W&B hears of it."""

    def open_wandb(*_, folder, **__):
        (folder / "told").touch()
        return Silent()

    monkeypatch.setattr("sparring.runners.tracker.open_wandb", open_wandb)
    *_, older, newest = RunFolder(run).checkpoints
    newest.unlink()  # so that there is something left to resume
    damage(older)
    before = contents(run)
    said = sparring(verb, run)
    assert said.code == 2
    assert f"{older} was cut short or altered" in said.words
    assert "to resume from an older one" in said.words
    assert contents(run) == before


def test_when_the_damaged_checkpoint_is_moved_away_the_run_goes_on_from_an_older_one(sparring, run, finished):
    *_, older, newest = RunFolder(run).checkpoints
    newest.unlink()
    older.unlink()
    said = sparring("resume", run, "--track", "off")
    assert said.code == 0
    assert (run / "metrics.jsonl").read_bytes() == (finished / "metrics.jsonl").read_bytes()
    assert RunFolder(run).checkpoints[-1].read_bytes() == RunFolder(finished).checkpoints[-1].read_bytes()


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ("{", "config.json is damaged"),
        ('{"format": 99}', "was written in format 99; this version reads 1"),
        ('{"format": 1, "algorithm": "pppo", "config": {}}', "no algorithm is called 'pppo'; did you mean ppo"),
        ('{"format": 1, "algorithm": "ppo", "config": {"speed": 1}}', "config.json does not fit this version"),
    ],
)
@pytest.mark.parametrize("verb", ["resume", "evaluate"])
def test_a_damaged_record_is_named(sparring, run, verb, record, told):
    (run / "config.json").write_text(record)
    said = sparring(verb, run)
    assert said.code == 2
    assert told in said.words


def changed(episode, **header):
    """The same episode file with another header."""
    with np.load(episode, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["header"] = np.array(json.dumps(json.loads(str(arrays["header"])) | header))
    np.savez(episode, **arrays)
    return episode


@pytest.mark.parametrize("view", ["verify", "mp4", "gif"])
def test_an_episode_of_another_version_is_named(sparring, run, view):
    episode = changed(RunFolder(run).episodes[-1], format=99)
    before = contents(run)
    said = sparring("replay", episode, "--view", view)
    assert said.code == 2
    assert f"{episode} is an episode of format 99; this version reads 1" in said.words
    assert contents(run) == before


def test_an_episode_that_was_cut_short_is_named(sparring, run):
    episode = RunFolder(run).episodes[-1]
    cut(episode)
    said = sparring("replay", episode)
    assert said.code == 2
    assert f"{episode} is not an episode, or it is damaged" in said.words


def test_a_game_that_was_not_played_like_this_is_not_proved(sparring, run):
    """The seed of another game: its first observation differs."""
    episode = RunFolder(run).episodes[-1]
    said = sparring("replay", changed(episode, seed=episodes.load(episode).seed + 1), "--view", "verify")
    assert said.code == 2
    assert "differs at step 0: the first observation differs" in said.words


@pytest.mark.parametrize("view", ["terminal", "mp4", "gif"])
def test_a_show_that_cannot_be_is_explained(sparring, run, view):
    """No terminal here; no such folder there."""
    said = sparring("replay", run, "--view", view, "--out", run / "nowhere" / f"film.{view}")
    assert said.code == 2
    assert (
        ("no terminal" in said.words or "this is none" in said.words) if view == "terminal" else "nowhere" in said.words
    )


# ---------------------------------------------------------------------------------------------- a real run


def test_a_run_leaves_what_it_promises(finished):
    record = json.loads((finished / "config.json").read_text())
    assert (record["algorithm"], record["seed"], record["device"]) == ("ppo", 0, "cpu")
    assert record["config"]["world"] == {"env": "CartPole-v1", "protocol": "gymnasium", "worlds": 2}
    assert record["config"]["clip"] == 0.2  # of the preset for that kind of world
    assert record["protocol"]["name"] == "gymnasium"
    assert {"sparring", "torch", "gymnasium", "python"} <= record["versions"].keys()
    rows = list(RunFolder(finished).rows())
    assert [(row["update"], row["step"]) for row in rows] == [(n, 64 * n) for n in range(1, 17)]
    assert [path.stem for path in RunFolder(finished).checkpoints] == ["00000010", "00000015", "00000016"]
    [episode] = RunFolder(finished).episodes
    [judged] = (finished / "evaluations").iterdir()
    judgement = json.loads(judged.read_text())
    assert episodes.load(episode).score == max(judgement["scores"])
    assert len(judgement["scores"]) == judgement["protocol"]["games"] == 2
    assert judgement["score_low"] <= judgement["score"] <= judgement["score_high"]
    assert (finished / "curve.png").stat().st_size > 1000
    assert not (finished / "wandb").exists()


def test_the_end_of_a_run_shows_the_score_the_proof_and_what_to_type_next(sparring, tmp_path):
    path = tmp_path / "pole"
    said = sparring(*POLE, "--steps", "128", *TINY, "--out", path)
    assert said.code == 0
    assert "CartPole-v1" in said.words
    number = r"[\d.]+"
    assert re.search(rf"score {number} {number} … {number} length {number}", said.words)
    assert re.search(rf"random {number} {number} … {number}", said.words)
    assert "95 %" in said.words
    assert "proved:" in said.words
    for verb in ("replay", "evaluate"):
        assert f"sparring {verb} {path}" in said.words
    longer = "train ppo --preset cartpole --games 2 --worlds 2 --steps 1280"
    assert longer in said.words  # --horizon 32 is the preset's
    assert "sparring resume" in said.words


def test_without_an_out_the_run_lies_below_runs_and_is_listed(sparring, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sparring(*POLE, "--steps", "128", *TINY, "--seed", "3").code == 0
    [path] = Path("runs").iterdir()
    assert re.fullmatch(r"ppo-CartPole-v1-\d{8}-\d{6}-seed3", path.name)
    said = sparring("list", "runs")
    assert said.code == 0
    assert f"{path} ppo 128 of 128" in said.words


def test_a_budget_in_minutes_becomes_steps_that_are_stored(sparring, tmp_path, monkeypatch):
    monkeypatch.setattr("sparring.runners.budget.LONG_ENOUGH", 0.2)
    path = tmp_path / "run"
    said = sparring("train", "ppo", "--env", "sparring/ProbeConstant-v0", *TINY, "--minutes", "0.02", "--out", path)
    assert said.code == 0
    steps = RunFolder.open(path).record["config"]["schedule"]["steps"]
    assert isinstance(steps, int)
    assert steps >= 64
    assert steps % 64 == 0
    assert f"0.02 minutes are {steps:,} steps" in said.words
    assert list(RunFolder(path).rows())[-1]["step"] == steps
    assert sparring("resume", path, "--track", "off").code == 0


def test_sentences_are_handed_to_the_mirror_as_they_can_be_read(sparring, tmp_path, monkeypatch):
    texts = []
    monkeypatch.setattr(Silent, "text", lambda _, path: texts.append(path))
    monkeypatch.setattr(session, "open_mirror", lambda *_: Silent())
    short = ["--steps", "2", "--mle-rounds", "1", "--mle-batches", "2", "--warm-rounds", "0", "--samples", "20"]
    data = ["--sentences", "60", "--held-out", "20", "--d-sentences", "16", "--hidden", "8", "--length", "6"]
    said = sparring("train", "seqgan", *short, *data, "--out", tmp_path / "run")
    assert said.code == 0
    [text] = texts
    assert text.parent == tmp_path / "run" / "episodes"
    lines = text.read_text(encoding="utf-8").splitlines()
    assert [line.split(" · ")[0] for line in lines if line.startswith("step")] == ["step 0", "step 2"]
    assert len(lines[1].split()) == 6


def test_a_complete_run_says_so(sparring, run):
    before = contents(run)
    said = sparring("resume", run)
    assert said.code == 0
    assert "is complete" in said.words
    assert contents(run) == before


def test_evaluate_plays_full_games_and_keeps_the_score_with_its_protocol(sparring, run):
    said = sparring("evaluate", run, "--episodes", "3")
    assert said.code == 0
    assert "update 16" in said.words
    assert re.search(r"score [\d.]+ [\d.]+ … [\d.]+ length", said.words)
    assert "3 full games" in said.words
    judged = [json.loads(file.read_text()) for file in (run / "evaluations").iterdir()]
    [judgement] = [record for record in judged if len(record["scores"]) == 3]
    assert judgement["protocol"]["full_games"] is True


def test_evaluate_twice_is_the_same_score_and_another_seed_another(sparring, run):
    one, same, other = (sparring("evaluate", run, "--episodes", "5", "--seed", seed).words for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_evaluate_under_an_unknown_protocol_names_what_there_is(sparring, run):
    said = sparring("evaluate", run, "--protocol", "machado2018")
    assert said.code == 2
    assert "no protocol for CartPole-v1 is called 'machado2018'" in said.words


def test_a_run_without_a_checkpoint_cannot_be_judged(sparring, run):
    for path in RunFolder(run).checkpoints:
        path.unlink()
    said = sparring("evaluate", run)
    assert said.code == 2
    assert f"has no checkpoint yet; train it with `sparring resume {run}`" in said.words


def test_a_run_without_a_game_cannot_be_replayed(sparring, run):
    for path in RunFolder(run).episodes:
        path.unlink()
    said = sparring("replay", run)
    assert said.code == 2
    assert f"has no episodes yet; `sparring evaluate {run}` makes some" in said.words


@pytest.mark.parametrize("words", [["--view", "verify"], []])
def test_replay_proves_the_game(sparring, finished, words):
    """And so it does by itself where there is no terminal."""
    game = episodes.load(RunFolder(finished).episodes[-1])
    for source in (finished, RunFolder(finished).episodes[-1]):
        said = sparring("replay", source, *words)
        assert said.code == 0
        assert f"proved: {len(game.actions)} steps, score {game.score:g}" in said.words


@pytest.mark.parametrize("view", ["mp4", "gif"])
def test_replay_films_the_game(sparring, run, tmp_path, view):
    film = tmp_path / f"film.{view}"
    said = sparring("replay", run, "--view", view, "--out", film)
    assert said.code == 0
    assert f"wrote {film}" in said.words
    pictures, _ = imageio_ffmpeg.count_frames_and_secs(str(film))
    assert pictures == len(episodes.load(RunFolder(run).episodes[-1]).actions) + 1


def test_a_film_goes_beside_its_episode(sparring, run):
    episode = RunFolder(run).episodes[-1]
    assert sparring("replay", run, "--view", "gif").code == 0
    assert episode.with_suffix(".gif").stat().st_size > 0


def test_replay_of_a_run_shows_the_best_game_of_its_last_evaluation(sparring, run):
    said = sparring("evaluate", run, "--episodes", "12")
    assert said.code == 0
    judged = [json.loads(file.read_text()) for file in (run / "evaluations").iterdir()]
    best = max(max(record["scores"]) for record in judged)
    assert f"score {best:g}:" in sparring("replay", run, "--view", "verify").words


def test_list_shows_algorithms_worlds_presets(sparring):
    said = sparring("list")
    assert said.code == 0
    shown = ("ppo", "reinforce", "ALE/SpaceInvaders-v5", "CartPole-v1", "ppo2017", "space-invaders", "cartpole")
    assert [word for word in shown if word not in said.words] == []


@pytest.mark.parametrize(
    ("what", "told"), [("algorithms", "reinforce"), ("worlds", "mnih2015"), ("presets", "space-invaders")]
)
def test_list_shows_one_kind_only(sparring, what, told):
    said = sparring("list", what)
    assert said.code == 0
    assert told in said.words
    assert ("mnih2015" in said.words) == (what == "worlds")


def test_a_job_comes_back_from_its_folder(finished):
    stored = job.Job.of(RunFolder.open(finished))
    assert (stored.algorithm, stored.seed, stored.config.schedule.steps) == ("ppo", 0, 1024)


def test_a_place_where_no_game_can_go_is_told_before_one_is_played(sparring, tmp_path):
    (tmp_path / "file").write_text("no folder")
    said = sparring("play", "random", "--out", tmp_path / "file" / "game.sgf")
    assert said.code == 2
    assert str(tmp_path / "file") in said.err.replace("\n", "")
    assert "your move" not in said.out


# ---------------------------------------------------------------------------------------------- other machines


@pytest.mark.parametrize(
    ("algorithm", "preset", "asked", "settled"),
    [
        ("ppo", "space-invaders", "auto", "bf16"),
        ("ppo", "space-invaders", "fp32", "fp32"),
        ("ppo", "cartpole", "auto", "fp32"),
        ("ppo", "cartpole", "bf16", "bf16"),
        ("alphazero", "go5-cpu", "auto", "bf16"),
        ("dann", "digits", "auto", "bf16"),
        ("robust", "digits", "auto", "bf16"),
        ("robust", "digits", "fp32", "fp32"),
        ("robust", "digits --method trades", "auto", "fp32"),
        ("dann", "digits --method mmd", "auto", "fp32"),
        ("dann", "digits --method coral", "auto", "fp32"),
    ],
)
def test_a_precision_is_settled_when_the_run_begins(monkeypatch, algorithm, preset, asked, settled):
    """So that its config.json says which, and a resume on other hardware stays with it or says that it cannot."""
    monkeypatch.setattr(networks, "has_bf16", lambda device: True)
    words = ["--preset", *preset.split(), "--precision", asked]
    asked_for = begin.parse_training("train", options.Train, algorithm, words)
    planned, _ = begin.planned(algorithm, asked_for, Console(quiet=True), seed=0)
    assert planned.record()["config"]["precision"] == settled
    monkeypatch.setattr(networks, "has_bf16", lambda device: False)
    assert job.at_home(planned, "auto").config.precision == "fp32"


def test_a_resume_on_another_processor_says_that_it_is_not_exact(monkeypatch, finished):
    stored, record = job.Job.of(RunFolder.open(finished)), RunFolder.open(finished).record
    assert job.inexact(stored, stored, record) == []
    monkeypatch.setattr(job, "processor", lambda: "an abacus")
    [said] = job.inexact(stored, stored, record)
    assert said.startswith("other versions or hardware: processor ")
    assert said.endswith(" → an abacus; the numbers will agree, but not to the last bit")


def test_a_bf16_run_is_judged_and_goes_on_where_the_hardware_lacks_it(monkeypatch, finished, tmp_path):
    stored = job.Job.of(RunFolder.open(finished))
    swift = dataclasses.replace(stored, config=dataclasses.replace(stored.config, precision="bf16"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    here = job.at_home(swift, "auto")
    assert here.config.precision == "fp32"
    assert any("--precision bf16 → fp32" in note for note in job.inexact(swift, here, job.Job.record(swift)))
    here.build()
    with pytest.raises(BadInputError, match="precision is bf16, which this cpu does not compute in; use fp32, or auto"):
        swift.build()


def test_a_stored_run_that_tells_no_precision_learned_in_fp32():
    """It is older than the option, so that `auto`, today's default, is not what it had."""
    for name in ("ppo", "dann", "robust", "alphazero"):
        module = catalog.load(name)
        config = next(iter(module.PRESETS.values())).config
        told = dataclasses.asdict(config)
        assert job.rebuild(module.Config, told).precision == config.precision == "auto"
        del told["precision"]
        assert job.rebuild(module.Config, told) == dataclasses.replace(config, precision="fp32")


def test_a_run_is_judged_under_any_protocol_that_has_its_actions(finished):
    space = job.rebuild(type(PRESETS["space-invaders"].config), dataclasses.asdict(PRESETS["space-invaders"].config))
    for protocol in ("ppo2017", "mnih2015", "dopamine2018"):
        assert job.judged(space, count=2, protocol=protocol).world.protocol == protocol
    with pytest.raises(BadInputError, match=r"machado2018 has other actions; .* ppo2017, mnih2015, dopamine2018"):
        job.judged(space, count=2, protocol="machado2018")


def test_two_processes_do_not_train_one_run(sparring, run):
    RunFolder.open(run).checkpoints[-1].unlink()
    with RunFolder.open(run).locked():
        said = sparring("resume", run, "--track", "off")
    assert said.code == 2
    assert f"{run} is being trained by another process" in said.words
