"""`sparring attack`: what is attacked and how, the tables, the file, and what is refused."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from sparring.adversarial import alarm
from sparring.adversarial.alarm import Check
from sparring.adversarial.attacks import Attack, Ball
from sparring.agents import statistics
from sparring.runners import cli, siege
from sparring.runners.folder import RunFolder
from sparring.runners.job import Job
from sparring.runners.options import Attack as Options

pytestmark = pytest.mark.usefixtures("one_thread")

BASELINES = ["clean", "noise", "universal", "transfer", "fgsm"]


def command(*words):
    with pytest.raises(SystemExit) as caught:
        cli.main([str(word) for word in words])
    return caught.value.code


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small model of digits, trained against one random step."""
    path = tmp_path_factory.mktemp("runs") / "robust"
    options = "--ramp 0 --steps 300 --rounds 50 --samples 100 --attack-steps 5 --width 8 --evaluate-every 0 --track off"
    assert command("train", "robust", *options.split(), "--out", path) == 0
    return path


def attacked(run, *words, capsys):
    before = set((run / siege.FOLDER).glob("*.json"))
    code = command("attack", run, "--samples", 60, *words)
    said = capsys.readouterr()
    assert code == 0, said.err
    [path] = set((run / siege.FOLDER).glob("*.json")) - before
    return path, json.loads(path.read_text()), said.out


def test_a_run_is_attacked_beside_baselines_and_the_alarm_has_the_last_word(run, capsys):
    path, record, said = attacked(run, "--attack", "pgd", "--steps", 10, "--restarts", 2, capsys=capsys)
    assert path.name == "00000006-PGD-10x2-linf-0.2-seed0-60.json"
    assert list(record["accuracy"]) == [*BASELINES, "PGD-10×2"]
    assert record["attack"] == {
        "name": "pgd",
        "ball": {"epsilon": 0.2, "norm": "linf"},
        "steps": 10,
        "step": 0.0,
        "restarts": 2,
    }
    assert [check["name"] for check in record["checks"]][:2] == ["enough", "steady"]
    assert len(record["checks"]) == 16
    left = {name: stood["accuracy"] for name, stood in record["accuracy"].items()}
    assert left["PGD-10×2"] <= left["fgsm"] <= left["clean"]
    assert left["PGD-10×2"] <= min(left["noise"], left["universal"], left["transfer"])
    for stood in record["accuracy"].values():
        assert stood["low"] <= stood["accuracy"] <= stood["high"]
        assert stood["reached"] is None
    for name in [*BASELINES, "PGD-10×2", "95 % interval", "landscape", "passed", record["verdict"], str(path)]:
        assert name in said


def test_no_more_images_are_told_than_there_are(run, capsys):
    path, record, _ = attacked(run, "--attack", "fgsm", "--samples", 1_000, capsys=capsys)
    assert record["samples"] == 597
    assert path.name == "00000006-fgsm-linf-0.2-seed0-597.json"
    clean = record["accuracy"]["clean"]
    right = round(597 * clean["accuracy"])
    assert (clean["accuracy"], clean["low"], clean["high"]) == pytest.approx(tuple(statistics.rate(right, 597)))


def test_what_is_not_said_is_as_the_run_has_it(run, capsys):
    _, record, _ = attacked(run, "--attack", "climb", capsys=capsys)
    assert record["attack"]["steps"] == 5
    assert record["attack"]["ball"] == {"epsilon": 0.2, "norm": "linf"}
    again, other, _ = attacked(run, "--attack", "climb", "--seed", 1, capsys=capsys)
    assert "seed1" in again.name
    assert other["accuracy"]["clean"] == record["accuracy"]["clean"]


def test_targets_are_told_apart_from_errors(run, capsys):
    path, record, said = attacked(run, "--targeted", "--epsilon", 0.4, capsys=capsys)
    assert "targeted" in path.name
    assert "target reached" in said
    asked = record["accuracy"]["PGD-5×1"]
    assert asked["reached"] <= 1 - asked["accuracy"]
    assert record["accuracy"]["noise"]["reached"] is None


def test_the_verdict_of_a_targeted_attack_is_about_it(run, capsys):
    """On all images that are attacked, what the alarm checks is what the attack left."""
    _, record, _ = attacked(run, "--targeted", "--epsilon", 0.1, "--steps", 20, capsys=capsys)
    asked = record["accuracy"]["PGD-20×1"]["accuracy"]
    [told] = [check["told"] for check in record["checks"] if check["name"] == "converged"]
    assert told.endswith(f"this {asked:.1%}")
    _, free, _ = attacked(run, "--epsilon", 0.1, "--steps", 20, capsys=capsys)
    assert free["accuracy"]["PGD-20×1"]["accuracy"] < asked - alarm.SLACK
    assert "converged" in record["verdict"]


def test_steps_of_another_length_are_kept_apart_and_refused_where_there_are_none(run, capsys):
    usual, _, _ = attacked(run, "--attack", "climb", "--steps", 3, capsys=capsys)
    other, record, _ = attacked(run, "--attack", "climb", "--steps", 3, "--step", 0.5, capsys=capsys)
    assert usual != other
    assert "step0.5" in other.name
    assert record["attack"]["step"] == 0.5
    for name in ("fgsm", "r+fgsm", "random", "square"):
        assert command("attack", run, "--attack", name, "--step", 0.5) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert f"--step 0.5 is for fgsm-rs, climb, pgd; {name} has none: leave it" in said
    for name, option in (("fgsm", "steps"), ("fgsm-rs", "restarts"), ("square", "restarts")):
        assert command("attack", run, "--attack", name, f"--{option}", 7) == 2
        assert f"--{option} 7 is for climb, pgd" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("name", "used"),
    [("square", {"steps": 3}), ("random", {"steps": 3}), ("fgsm-rs", {"step": 0.0}), ("r+fgsm", {}), ("fgsm", {})],
)
def test_every_attack_can_be_asked_for_and_only_what_it_uses_is_told(run, name, used, capsys):
    words = ["--steps", 3] if "steps" in used else []
    _, record, _ = attacked(run, "--attack", name, "--norm", "l2", "--epsilon", 1.5, *words, capsys=capsys)
    assert record["attack"] == {"name": name, "ball": {"epsilon": 1.5, "norm": "l2"}, **used}


def test_who_asks_for_no_slope_tries_more_often():
    usual = Attack("pgd", Ball(0.2), steps=5)
    for name, steps in (("square", 1_000), ("random", 1_000), ("climb", 5)):
        assert siege.attack_of(Options(run=Path(), attack=name), usual).steps == steps
    assert siege.attack_of(Options(run=Path(), attack="square", steps=7), usual).steps == 7


def test_the_same_command_finds_the_same(run, capsys):
    path, first, _ = attacked(run, "--attack", "pgd", "--steps", 4, capsys=capsys)
    path.unlink()
    _, again, _ = attacked(run, "--attack", "pgd", "--steps", 4, capsys=capsys)
    assert again == first


def test_what_a_masked_model_stands_is_not_evidence():
    checks = [Check("steady", True, "so"), Check("square", False, "asking for logits leaves 3.0%, this 98.0%")]
    found = siege.Siege(Attack("fgsm", Ball(0.1)), False, 50, {"fgsm": siege.Stood(0.98, 0.9, 1.0)}, checks)
    paper = Console(record=True, width=120)
    siege.show(found, paper)
    said = paper.export_text()
    assert "fgsm leaves 98.0%: not evidence: square failed" in said
    assert "asking for logits leaves 3.0%, this 98.0%" in said


def test_a_run_of_dann_is_attacked_on_its_target(tmp_path, capsys):
    out = tmp_path / "dann"
    assert command("train", "dann", "--steps", 4, "--rounds", 2, "--samples", 20, "--track", "off", "--out", out) == 0
    assert f"sparring attack {out} --restarts 10" in capsys.readouterr().out
    _, record, _ = attacked(out, "--attack", "fgsm", capsys=capsys)
    assert record["attack"]["ball"]["epsilon"] == 0.1


def test_what_cannot_be_attacked_is_refused(run, tmp_path, capsys):
    def refused(*words):
        assert command("attack", *words) == 2
        return " ".join(capsys.readouterr().err.split())

    assert "there is no run at" in refused(tmp_path / "nothing")
    assert "epsilon is 1.5; it must be between 0 and 1" in refused(run, "--epsilon", 1.5)
    assert "--norm l2 needs --epsilon: the run has 0.2 in linf" in refused(run, "--norm", "l2")
    assert "restarts is 0; it must be between 1 and" in refused(run, "--restarts", 0)
    orbits = tmp_path / "orbits"
    assert (
        command("train", "orbits", "--steps", 4, "--rounds", 2, "--samples", 2, "--track", "off", "--out", orbits) == 0
    )
    assert "orbits trains no classifier that could be attacked; dann and robust do" in refused(orbits)
    empty = tmp_path / "empty"
    config = json.loads((run / "config.json").read_text())
    RunFolder.create(empty, {name: value for name, value in config.items() if name != "format"})
    assert f"empty has no checkpoint yet; train it with `sparring resume {empty}`" in refused(empty)


def test_its_help_tells_every_option(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert command("attack", "--help") == 0
    said = capsys.readouterr().out
    for option in Options.__dataclass_fields__:
        assert f"--{option}" in said or option == "run"
    assert "say whether what it stood is evidence" in said


def test_progress_is_told_and_the_alarm_has_the_last_fifth(run):
    folder = RunFolder.open(run)
    job = Job.of(folder)
    experiment = job.build()
    folder.restore(experiment.algorithm.parts())
    subject = siege.subject_of(job.algorithm, job.config, experiment.algorithm)
    heard = []
    options = Options(run=run, steps=2, samples=30)
    siege.besieged(subject, options, "cpu", lambda done, whole: heard.append((done, whole)))
    assert heard[:4] == [(30, 150), (60, 150), (90, 150), (120, 150)]
    assert heard[4:] == [(40 + done, 50) for done in range(1, alarm.YARDSTICKS + 1)]
