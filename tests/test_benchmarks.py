"""What benchmarks make of their runs: by figures whose answers are known, without a run."""

import dataclasses
import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from sparring.adversarial import dann
from sparring.adversarial.attacks import Attack, Ball
from sparring.runners import siege

ROOT = Path(__file__).parents[1]


@pytest.fixture
def scripts(monkeypatch):
    """The scripts of benchmarks/, which import each other by their bare names."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    names = ("adaptation", "dann_spread", "digits_to_colour", "mnist_to_mnistm", "readme", "robust_mnist")
    return SimpleNamespace(**{name: importlib.import_module(name) for name in names})


def figure(*values):
    mean = sum(values) / len(values)
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01, "n": len(values), "per_seed": list(values)}


class Swept:
    """A sweep of two seeds, as far as figures look at it."""

    def __init__(self, config, accuracies, told=None):
        self.job = SimpleNamespace(config=config)
        self.accuracies, self.told = accuracies, told or {}

    def folder(self, seed):
        found = {"target_accuracy": self.accuracies[seed], "source_accuracy": 1.0, "a_distance": 0.5}
        protocol = {"name": "x", "seeds": [seed, seed], **self.told}
        return SimpleNamespace(
            judgement=lambda: {**found, "target_entropy": 0.1, "protocol": protocol},
            rows=lambda name: [{"learning": 60.0}],
            record={"threads": 1},
        )


def test_a_share_of_the_gap_is_between_ends_that_are_normalised_alike(scripts):
    plain, normalised = (dann.PRESETS[name].config for name in ("mnist", "mnist-normalised"))

    def swept(config, method, *accuracies):
        return Swept(dataclasses.replace(config, method=method), accuracies)

    done = {
        "source_only": swept(plain, "source-only", 0.5, 0.4),
        "dann": swept(plain, "dann", 0.7, 0.6),
        "train_on_target": swept(plain, "train-on-target", 0.9, 0.8),
        "source_only_normalised": swept(normalised, "source-only", 0.6, 0.6),
        "dann_normalised": swept(normalised, "dann", 0.9, 0.7),
    }
    figures = scripts.adaptation.figures_of(done, [0, 1])
    assert figures["dann_share_of_gap"]["per_seed"] == pytest.approx([0.5, 0.5])
    assert "dann_normalised_share_of_gap" not in figures  # there is no ceiling like it
    done["train_on_target_normalised"] = swept(normalised, "train-on-target", 1.0, 1.0)
    figures = scripts.adaptation.figures_of(done, [0, 1])
    assert figures["dann_normalised_share_of_gap"]["per_seed"] == pytest.approx([0.75, 0.25])
    weighed = Swept(dataclasses.replace(plain, method="mmd", weight=3.0, precision="fp32"), (0.6, 0.5))
    assert scripts.adaptation.figures_of({**done, "mmd": weighed}, [0, 1])["mmd_share_of_gap"]["mean"] == pytest.approx(
        0.25
    )
    assert {"source_only_normalised", "train_on_target_normalised"} <= scripts.mnist_to_mnistm.METHODS.keys()


def test_a_methods_protocol_is_that_of_its_runs_and_its_job_tells_their_length(scripts):
    options = SimpleNamespace(methods=["dann"], steps=70)
    words = scripts.adaptation.asked(options, {"dann": ["--preset", "mnist"], "cdan": []})
    done = {"dann": Swept(dann.PRESETS["mnist"].config, (0.7,), {"steps": 70, "samples": 123})}
    told = scripts.adaptation.protocols(done, words, 0)
    job = ["sparring", "sweep", "dann", "--preset", "mnist", "--steps", "70"]
    assert told == {"dann": {"name": "x", "steps": 70, "samples": 123, "threads": 1, "job": job}}


def test_the_spreads_settings_say_what_they_are_and_how_far_they_move(scripts):
    spread = scripts.dann_spread
    settings = spread.settings(grid=False)
    assert next(iter(settings)) == "base"
    assert {"bn_adam", "instance_bn_adam_constant"} < settings.keys()
    assert not [name for name in settings if "like" in name]
    assert len(spread.settings(grid=True)) == 3 * 3 * 2 * 2 * 3 * 2 * 2 * 3
    assert "--no-critic-norm" in spread.words_of(settings["base"])
    assert "--critic-norm" in spread.words_of(settings["critic_norm_yes"])
    for chosen in settings.values():
        rate = ("0.001", "constant") if chosen["optimiser"] == "adam" else ("0.01", "inverse")
        assert (chosen["learning-rate"], chosen["rate-rule"]) == rate
        assert " ".join(spread.words_of(chosen)).endswith(f"--learning-rate {rate[0]} --rate-rule {rate[1]}")


@pytest.fixture
def spread(scripts):
    """Figures of the spread over two seeds, and a function that renders them."""
    settings = scripts.dann_spread.settings(grid=False)
    figures = {name: figure(0.6, 0.8) for name in settings}
    figures |= {"optimiser_adam": figure(0.67, 0.83), "normalisation_none": figure(0.6, 0.2), "bn_adam": figure(0.9, 1)}

    def rendered(source=None, names=tuple(settings), failed=()):
        chosen = {name: settings[name] for name in names if name not in failed}
        found = {name: figures[name] for name in chosen} | {"failed": {name: {0: "died"} for name in failed}}
        for name in chosen:
            dead = scripts.dann_spread.collapsed(figure(*(source or {}).get(name, (0.99, 0.98))))
            found |= {f"{name}_std": 0.01, f"{name}_a_distance": figure(1.0), f"{name}_collapsed": dead}
        if "base" in chosen:
            found["moves"] = scripts.dann_spread.moves(found, chosen)
        return found, scripts.readme.spread({"figures": found, "protocol": {"settings": chosen}, "seeds": [0, 1]})

    return rendered


def test_the_spread_says_how_far_each_choice_moves_seed_by_seed(scripts, spread):
    figures, lines = spread()
    moves = figures["moves"]
    assert moves.keys() == scripts.dann_spread.CHOICES.keys()
    assert moves["optimiser"]["adam"]["per_seed"] == pytest.approx([0.07, 0.03])
    assert moves["normalisation"]["none"]["mean"] == pytest.approx(-0.3)
    assert "the first row is the paper's protocol" in lines[0]
    assert "Here they range from 40.0% (normalisation_none) to 95.0% (bn_adam)." in lines[0]
    assert "Of single choices, normalisation none moves the mean most, by -30.0 points (-60.0 to +0.0)." in lines[0]
    assert "collapsed, so" not in lines[0]
    assert "| η | η over time |" in lines[2]
    assert "| 0.001 | constant |" in next(line for line in lines if "| adam |" in line)


def test_a_mean_over_runs_that_died_is_none_that_says_what_a_choice_is_worth(spread):
    figures, lines = spread(source={"normalisation_none": (0.97, 0.11), "bn_adam": (0.49, 0.1)})
    assert (figures["normalisation_none_collapsed"], figures["base_collapsed"]) == (1, 0)
    assert "Here they range from 70.0% (base) to 75.0% (optimiser_adam)." in lines[0]
    assert "Of single choices, optimiser adam moves the mean most, by +5.0 points (+3.0 to +7.0)." in lines[0]
    assert "cannot read the source either, with normalisation none (1 of 2), bn adam (2 of 2): their" in lines[0]
    [row] = [line for line in lines if line.startswith("| none | none | no | sgd")]
    assert "| 1.0% | 1 | 1.00 |" in row


def test_settings_that_failed_are_named_and_the_first_row_is_only_told_where_it_is_there(spread):
    lines = spread(failed=("base",))[1]
    assert "the first row" not in lines[0]
    assert lines[-1] == "Without figures, for seeds of theirs failed: base."
    assert spread(names=("base",), failed=("base",))[1] == ["", "Without figures, for seeds of theirs failed: base."]


def test_methods_are_rendered_without_those_that_failed_and_with_the_threads_they_took(scripts):
    protocol = {"name": "digits-to-colour-digits", "threads": 1}
    figures = {name: figure(0.5, 0.7) for name in ("dann", "cdan")}
    figures |= {f"{name}_std": 0.01 for name in figures} | {f"{name}_a_distance": figure(1.0) for name in figures}
    figures |= {"dann_minutes": 1.25, "cdan_minutes": 4.0, "failed": {"adda": {1: "died"}}}
    result = {"figures": figures, "published": {}, "seeds": [0, 1]}
    methods = {"dann": protocol, "cdan": protocol | {"threads": 2}}
    lines = scripts.readme.adaptation(result | {"protocol": {"methods": methods, "runs at a time": 2}})
    assert [line.split(" | ")[-2] for line in lines[4:6]] == ["1.2", "4.0 on 2 threads"]
    assert lines[-1] == "Without figures, for seeds of theirs failed: adda."
    nothing = scripts.readme.adaptation(result | {"protocol": {"methods": {}, "runs at a time": 2}})
    assert nothing == lines[-2:]


def test_a_transfer_attack_is_told_with_the_attack_that_it_repeats(scripts, monkeypatch):
    def besieged(run, options):
        stood = {"clean": 0.99, "noise": 0.98, "universal": 0.97}
        stood |= {"transfer": 0.9 if options.attack == "fgsm" else 0.8, "asked": 0.1}
        told = {name: {"accuracy": value, "low": value - 0.02, "high": value + 0.01} for name, value in stood.items()}
        return {"accuracy": told, "verdict": "evidence: 14", "checks": [{"name": "steps", "passed": True}]}

    monkeypatch.setattr(scripts.robust_mnist, "besieged", besieged)
    attacks = [scripts.robust_mnist.asked("fgsm", Path("run"), 10, briefly=False)]
    figures = scripts.robust_mnist.figures_of("fgsm", [Swept(None, (0.0,)).folder(0)], attacks)
    assert figures["fgsm_fgsm_transfer"]["mean"] == pytest.approx(0.9)
    assert figures["fgsm_pgd50x10_transfer"]["mean"] == pytest.approx(0.8)
    assert figures["fgsm_clean"] == {"mean": 0.99, "low": 0.97, "high": 1.0, "n": 1, "per_seed": [0.99]}
    assert figures["fgsm_pgd50x10_checks"] == [{"name": "steps", "passed": True}]
    assert {one.step for one in attacks[0] if one.attack == "pgd"} == {1 / 30}
    rows = scripts.readme.robust(
        {"figures": figures, "protocol": {"attacks": {"fgsm": ["fgsm", "pgd50x10"]}, "samples": 10}, "seeds": [0]}
        | {"published": scripts.robust_mnist.PUBLISHED}
    )
    assert [row.split(" | ")[5] for row in rows[-2:]] == ["90.0%", "80.0%"]


@pytest.mark.parametrize("briefly", [False, True])
def test_attacks_on_robust_mnist_can_be_made(scripts, briefly):
    for name in scripts.robust_mnist.METHODS:
        asked = scripts.robust_mnist.asked(name, Path("run"), 10, briefly)
        made = [siege.attack_of(one, Attack("pgd", Ball(0.3))) for one in asked]
        assert not briefly or all(attack.climbing in ((2, 1), (1, 1)) for attack in made)


def test_layers_are_swept_frozen_and_not_between_the_floor_and_the_ceiling(scripts, tmp_path):
    methods = scripts.digits_to_colour.METHODS
    for k in range(1, dann.LAYERS + 1):
        assert methods[f"frozen_{k}"] == [*methods[f"tuned_{k}"], "--frozen"]
        assert methods[f"tuned_{k}"][-2:] == ["--copied", str(k)]
    scripts.digits_to_colour.draw({name: figure(0.5) for name in methods}, tmp_path / "layers.json")
    assert (tmp_path / "layers.png").stat().st_size > 10_000
