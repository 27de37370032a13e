"""What presets say of themselves: that it is what benchmarks measured, and that `sparring list presets` can be read."""

import dataclasses
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from sparring.agents.protocol import Measured, Preset, Published, Schedule
from sparring.envs.errors import BadInputError
from sparring.envs.worlds import World
from sparring.runners import catalog, listing, options

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
PRESETS = [(name, key, preset) for name in catalog.algorithms() for key, preset in catalog.load(name).PRESETS.items()]
ATARI = "ALE/SpaceInvaders-v5"


class Config:
    """As much of one as a listing asks for."""

    def __init__(self, steps, world=None):
        self.schedule = Schedule(steps)
        if world:
            self.world = world


def figures(claim):
    return json.loads((RESULTS / f"{claim}.json").read_text())["figures"]


@pytest.mark.parametrize("own", [pytest.param(p.own, id=f"{name}-{key}") for name, key, p in PRESETS if p.own])
def test_an_own_score_is_that_of_its_benchmark(own):
    measured, places = figures(own.claim)[own.figure], 0 if isinstance(own.score, int) else 2
    assert (own.score, own.low, own.high) == tuple(round(measured[name], places) for name in ("mean", "low", "high"))


def measured_speeds():
    """(preset's speed, measured speed) of each preset whose algorithm and network the throughput benchmark measured."""
    found = figures("space_invaders_throughput")
    for name, key, preset in PRESETS:
        figure = f"{name.replace('-', '_')}{{}}_steps_per_s"
        speed = found.get(figure.format("_bf16"), found.get(figure.format("")))
        if speed and preset.config.world.env == ATARI and getattr(preset.config, "network", "auto") == "auto":
            yield pytest.param(preset.speed, speed, id=f"{name}-{key}")


def test_the_rings_expected_time_is_that_of_its_benchmark():
    found = figures("ring8")
    seconds = [60 * minutes for minutes in found["r1_minutes"]["per_seed"]]
    preset = catalog.load("gan").PRESETS["ring8"]
    assert preset.config.schedule.steps / preset.speed == pytest.approx(sum(seconds) / len(seconds), rel=1 / 2)


def test_the_oracles_expected_time_is_that_of_its_benchmark():
    """By the method that differs from the preset in nothing but its rate."""
    preset = catalog.load("seqgan").PRESETS["oracle-50"]
    assert preset.minutes == pytest.approx(figures("seqgan_oracle50")["rollouts_faster_minutes"], rel=1 / 2)


@pytest.mark.parametrize(
    ("name", "claim"),
    [
        ("digits", "digits_to_colour"),
        ("mnist", "mnist_to_mnistm"),
        ("mnist-normalised", "mnist_to_mnistm"),
        ("usps", "mnist_to_usps"),
    ],
)
def test_the_expected_time_of_an_adaptation_is_that_of_its_benchmark(name, claim):
    preset = catalog.load("dann").PRESETS[name]
    assert preset.own.claim == claim
    assert preset.minutes == pytest.approx(figures(claim)[f"{preset.own.figure}_minutes"], rel=1 / 2)


@pytest.mark.parametrize(
    ("name", "method"), [("mnist-fgsm-rs", "fgsm_rs"), ("mnist-pgd", "pgd_training"), ("mnist-trades", "trades")]
)
def test_the_expected_time_of_training_against_an_attacker_is_that_of_its_benchmark(name, method):
    preset = catalog.load("robust").PRESETS[name]
    assert preset.minutes == pytest.approx(figures("robust_mnist")[f"{method}_minutes"], rel=1 / 2)


@pytest.mark.parametrize(("expected", "measured"), list(measured_speeds()))
def test_an_expected_time_is_that_of_the_throughput_benchmark(expected, measured):
    """As far as machines of the kind and settings differ: by half."""
    assert expected == pytest.approx(measured, rel=1 / 2)


def test_a_row_says_world_steps_time_and_both_scores():
    whole = Preset(
        "learns",
        Config(10_000_000, World(ATARI, "ppo2017", 8)),
        speed=1_000,
        published=Published("960 ± 425", "SB3 zoo"),
        own=Measured(267, 260, 273, "space_invaders_five_minutes"),
    )
    assert listing.expected("atari-10m", whole) == ("atari-10m", ATARI, "10M", "2.8 h", "267 (260–273)")
    assert listing.story(whole) == "ppo2017 · learns · published: 960 ± 425 (SB3 zoo)"
    least = Preset("learns", Config(1_500))
    assert listing.expected("toy", least) == ("toy", "", "1500", "—", "—")
    assert listing.story(least) == "learns"


@pytest.mark.parametrize(("minutes", "said"), [(0.4, "< 1 min"), (1, "1 min"), (89, "89 min"), (90, "1.5 h")])
def test_a_time_is_said_in_the_unit_that_fits(minutes, said):
    assert Preset("", Config(60_000), speed=1_000 / minutes).minutes == pytest.approx(minutes)
    assert listing.duration(minutes) == said


@pytest.mark.parametrize("width", [80, 120])
def test_every_preset_has_a_row_that_is_whole(width):
    shown = io.StringIO()
    Console(file=shown, width=width).print(listing.presets_table())
    lines = [" ".join(line.split()) for line in shown.getvalue().splitlines()]
    rows = [" ".join(" ".join(listing.expected(key, preset)).split()) for _, key, preset in PRESETS]
    assert [line for line in lines if line in rows] == rows
    assert [name for name in lines if name in catalog.algorithms()] == list(catalog.algorithms())


@pytest.mark.parametrize(
    ("number", "text"), [(250_000, "250k"), (10_000_000, "10M"), (1_500_000, "1500k"), (50_001, "50001"), (0, "0")]
)
def test_the_shortest_way_to_write_a_number_can_be_read(number, text):
    assert options.shortest(number) == text
    assert options.count(text) == number


def test_an_algorithm_that_plays_no_world_has_presets_all_the_same():
    assert options.chosen_preset({"toy": Preset("", Config(1))}, ["--env", "CartPole-v1"]) == "toy"


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        ([], "space-invaders"),
        (["--seed", "1"], "space-invaders"),
        (["--env"], "space-invaders"),
        (["--preset", "cartpole"], "cartpole"),
        (["--env=CartPole-v1"], "cartpole"),
        (["--steps", "9", "--env", ATARI], "space-invaders"),
    ],
)
def test_a_command_line_starts_from_a_preset_whatever_it_says(words, chosen):
    assert options.chosen_preset(catalog.load("ppo").PRESETS, words) == chosen


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        ("--data mnist", "mnist-fgsm-rs"),
        ("--data mnist --method pgd", "mnist-pgd"),
        ("--method=trades --data=mnist", "mnist-trades"),
        ("--data mnist --method fgsm", "mnist-fgsm"),
        ("--data mnist --method noise", "mnist-fgsm-rs"),
        ("--method pgd", "digits"),
    ],
)
def test_of_several_presets_for_the_same_data_the_first_of_the_method_is_taken(words, chosen):
    assert options.chosen_preset(catalog.load("robust").PRESETS, words.split()) == chosen


@pytest.mark.parametrize("algorithm", ["alphazero", "ppo-selfplay"])
def test_a_board_chooses_its_preset_and_one_that_has_none_wants_a_komi(algorithm):
    presets = catalog.load(algorithm).PRESETS
    assert options.chosen_preset(presets, ["--board", "9"]) == "go9-cpu"
    assert options.chosen_preset(presets, ["--board=5", "--komi", "3"]) == "go5-cpu"
    assert options.chosen_preset(presets, ["--board", "6", "--komi", "4"]) == "go5-cpu"
    with pytest.raises(BadInputError, match="no preset plays on 6 lines, so that none says what is fair: give --komi"):
        options.chosen_preset(presets, ["--board", "6"])
    with pytest.raises(BadInputError, match=r"komi is 24\.5; it must be between -9 and 9"):
        dataclasses.replace(presets["go5-cpu"].config, board=3)
