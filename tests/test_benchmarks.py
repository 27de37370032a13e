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


def figure(mean):
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01, "n": 5}


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
    assert told == {"dann": {"name": "x", "steps": 70, "samples": 123, "job": job}}


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
    figures = {name: figure(0.7) for name in settings}
    figures |= {"optimiser_adam": figure(0.75), "normalisation_none": figure(0.4), "bn_adam": figure(0.95)}
    found = spread.moves(figures, settings)
    assert found["optimiser"] == pytest.approx({"adam": 0.05})
    assert found["normalisation"] == pytest.approx({"instance": 0.0, "none": -0.3})
    assert found.keys() == spread.CHOICES.keys()
    figures |= {f"{name}_std": 0.01 for name in settings} | {f"{name}_a_distance": figure(1.0) for name in settings}
    lines = scripts.readme.spread(
        {"figures": {**figures, "moves": found}, "protocol": {"settings": settings}, "seeds": [0, 1]}
    )
    assert "Here they range from 40.0% (normalisation_none) to 95.0% (bn_adam)." in lines[0]
    assert "Of single choices, normalisation none moves the mean most, by -30.0 points." in lines[0]
    assert "| η | η over time |" in lines[2]
    assert "| 0.001 | constant |" in next(line for line in lines if "| adam |" in line)


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
