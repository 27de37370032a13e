"""The README's code runs: its commands in order in a folder, shortened; its Python; its targets are those of make."""

import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sparring.runners import cli
from sparring.runners.folder import RunFolder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][\w-]*):", MAKEFILE, re.MULTILINE))
SHORT = {  # options that are taken from a command, and what is put in their place
    "train": (
        {
            "--steps",
            "--minutes",
            "--horizon",
            "--worlds",
            "--games",
            "--save-every",
            "--evaluate-every",
            "--track",
            "--out",
        },
        ["--steps", "128", "--horizon", "16", "--worlds", "4", "--games", "2", "--track", "off"],
    ),
    "sweep": (
        {"--steps", "--minutes", "--horizon", "--worlds", "--games", "--save-every", "--seeds", "--jobs", "--track"},
        ["--steps", "64", "--horizon", "16", "--worlds", "2", "--games", "2", "--seeds", "0,1", "--track", "off"],
    ),
    "resume": ({"--track"}, ["--track", "off"]),
    "evaluate": ({"--episodes", "--games"}, ["--episodes", "2"]),
    "attack": ({"--samples", "--steps", "--restarts"}, ["--samples", "20", "--steps", "2"]),
    "replay": ({"--view", "--speed"}, []),
    "arena": ({"--games", "--sims", "--out"}, ["--games", "2", "--sims", "3"]),
    "play": ({"--sims"}, ["--sims", "2"]),
    "export": (set(), []),
    "list": (set(), []),
}
GAME = ["--steps", "20", "--rounds", "10", "--samples", "50", "--track", "off"]  # in place of those for worlds
GAMES = {"gan", "orbits", "dann", "robust"}
WRITING = ["--sentences", "200", "--held-out", "50", "--d-sentences", "32", "--samples", "20", "--track", "off"]
GO = ["--width", "8", "--blocks", "1", "--anchor", "2", "--games", "2", "--track", "off"]
INSTEAD = {  # of SHORT's for worlds
    **dict.fromkeys(GAMES, GAME),
    "seqgan": ["--steps", "4", "--mle-rounds", "2", "--mle-batches", "3", "--warm-rounds", "1", *WRITING],
    "alphazero": ["--steps", "2", "--draw", "2", "--slots", "2", "--simulations", "4", *GO],
    "ppo-selfplay": ["--steps", "64", "--boards", "4", "--horizon", "16", *GO],
}
KEPT = {"--out", "--view"}  # taken out and put back as they were, where they can be
ELSEWHERE = {"cd", "git", "pip", "python3", "source", "."}  # said for the reader; nothing of ours to run
WANDB = {"leet", "sync", "login"}


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands():
    """The command lines of all bash blocks, in order: prompts, comments and variables dropped, long lines joined."""
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    split = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    return [words for words in map(without_variables, split) if words]


def without_variables(words):
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    return words


def of(program):
    return [words for words in commands() if Path(words[0]).name == program]


def shortened(verb, words):
    """The same command in seconds. Only `--view terminal`, which needs a terminal, becomes the proof."""
    taken, instead = SHORT[verb]
    instead = INSTEAD.get(words[0], instead) if verb == "train" else instead
    kept, words = [], list(words)
    while words:
        word, *words = words
        name, _, value = word.partition("=")
        if name not in taken:
            kept.append(word)
            continue
        value = value or words.pop(0)
        if name in KEPT:
            kept += [name, "verify" if value == "terminal" else value]
    return [*kept, *instead]


def as_sparring(words):
    """What `make train ARGS=…` runs, as a command; every other command as it is."""
    if words[:2] == ["make", "train"]:
        extra = [word.partition("=")[2] for word in words[2:] if word.startswith("ARGS=")]
        return ["train", "ppo", *shlex.split(" ".join(extra))]
    return words[1:]


def run(words):
    """Run a command here; RUN and EPISODE stand for the newest."""
    runs = sorted(Path().glob("**/config.json"), key=lambda path: path.stat().st_mtime)
    newest = RunFolder(runs[-1].parent) if runs else None
    names = {"RUN": newest and newest.path, "EPISODE": newest and newest.episodes and newest.episodes[-1]}
    verb, *rest = [str(names.get(word) or word) for word in words]
    with pytest.raises(SystemExit) as caught:
        cli.main([verb, *(rest if {"-h", "--help"} & {*rest} else shortened(verb, rest))])
    return caught.value.code


def test_it_begins_with_the_two_commands():
    assert commands()[0] == ["make", "train"]
    assert ["make", "test"] in commands()


def test_every_target_it_names_is_one_of_the_makefile():
    named = {word for _, *words in of("make") for word in words if "=" not in word and word[0] != "-"}
    named |= set(re.findall(r"`make ([a-z][\w-]*)", README))
    assert {"train", "test"} <= named
    assert named - TARGETS == set()
    assert "$(BIN)/sparring train ppo $(ARGS)" in MAKEFILE


@pytest.mark.timeout(1200)  # a score of commands, one after the other
def test_its_commands_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("c3\nquit\n"))  # what somebody says who plays
    ours = [
        as_sparring(words)
        for words in commands()
        if Path(words[0]).name == "sparring" or words[:2] == ["make", "train"]
    ]
    assert len(ours) >= 3
    ended = {" ".join(words): run(words) for words in ours}
    said = capsys.readouterr()
    assert {command: code for command, code in ended.items() if code != 0} == {}, said.err


def test_every_other_command_is_known_here():
    """So that none is added which nobody tries."""
    others = {Path(words[0]).name for words in commands()} - {"make", "sparring"} - ELSEWHERE
    assert others <= {"python", "wandb", "pytest"}
    assert {words[1] for words in of("wandb")} <= WANDB
    scripts = [word for words in of("python") for word in words[1:] if word.endswith(".py")]
    assert [script for script in scripts if not (ROOT / script).is_file()] == []


def test_its_python_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    loss, score, *_ = capsys.readouterr().out.split()
    assert float(loss) >= 0
    assert float(score) >= 1  # of CartPole's steps


def test_every_file_it_names_exists():
    """`runners/train.py`, [a link](docs/x.md) or ![a picture](benchmarks/results/x.png)."""
    quoted = re.findall(r"`((?:agents|envs|adversarial|runners|tests|benchmarks|docs)/[\w./-]*)`", README)
    linked = [target for target in re.findall(r"\]\(([^)#]+)", README) if "://" not in target]
    assert [name for name in quoted + linked if not os.path.exists(ROOT / name)] == []


@pytest.mark.parametrize(
    ("verb", "words", "short"),
    [
        ("train", "ppo --steps 1e6 --clip 0.3 --out runs/x", "ppo --clip 0.3 --out runs/x"),
        ("train", "ppo --minutes=5 --out=runs/x", "ppo --out runs/x"),
        ("replay", "runs/x --view terminal --speed 2", "runs/x --view verify"),
        ("replay", "runs/x --view mp4", "runs/x --view mp4"),
        ("evaluate", "runs/x --games 200 --seed 3", "runs/x --seed 3"),
    ],
)
def test_a_command_is_shortened_and_otherwise_the_same(verb, words, short):
    assert shortened(verb, words.split()) == [*short.split(), *SHORT[verb][1]]


def test_its_results_are_what_the_result_files_say():
    checked = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "readme.py", "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
