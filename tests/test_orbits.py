"""Orbits: what players of small games do, held to theory."""

import dataclasses

import numpy as np
import pytest

from sparring.adversarial import orbits
from sparring.adversarial.orbits import Config
from sparring.adversarial.play import Schedule
from sparring.envs.errors import BadInputError, UnknownNameError

ROUNDS = Schedule(steps=60, rounds=10)


def judged(config, start, rounds):
    return orbits.evaluation(config, orbits.Orbit(config, start).until(rounds))


@pytest.mark.parametrize("moves", ["optimistic", "lookahead:k=7,inner=alternating", "alternating:k=3"])
def test_a_judge_goes_the_players_way_and_no_step_of_it_twice(moves):
    play, table, judge = orbits.experiment(Config(ROUNDS, "bilinear", moves), seed=3, device="cpu")
    for _ in range(4):
        play.update(table.draw(play))
        [sheet] = judge(play).episodes
        assert np.array_equal(sheet.samples[-1], orbits.standing(play.game).numpy())
        assert len(sheet.samples) == play.match.rounds + 1
    watched = []
    judge(play, watch=lambda done, whole: watched.append(done))
    assert watched == []


@pytest.mark.parametrize("rate", [0.1, 0.5])
@pytest.mark.parametrize(
    "moves",
    [
        "simultaneous",
        "extragradient",
        "competitive",
        "consensus",
        "consensus:gamma=0.1",
        "sga",
        "lookahead:k=5",
        "lookahead:k=6,alpha=0.7",
    ],
)
def test_the_measured_shrinkage_is_theorys(moves, rate):
    """These are rotations with a shrinkage, so every round (every k, for lookahead) shrinks alike."""
    config = Config(ROUNDS, "bilinear", moves, rate)
    found = judged(config, np.ones(2), 60).metrics
    assert found["per_round_theory"] == pytest.approx(found["per_round"], abs=1e-9)


@pytest.mark.parametrize("rate", [0.1, 0.5, 2.1])
def test_a_way_of_turns_keeps_to_its_radius_in_the_long_run(rate):
    config = Config(ROUNDS, "bilinear", "alternating", rate)
    rounds = 2_000 if rate < 2 else 300
    found = judged(config, np.ones(2), rounds).metrics["per_round"]
    assert found == pytest.approx(orbits.theory(config), abs=5e-3)
    assert orbits.theory(config) == pytest.approx({0.1: 1, 0.5: 1, 2.1: 1.877}[rate], abs=1e-3)


@pytest.mark.parametrize(("moves", "rate"), [("optimistic", 0.3), ("unrolled:k=5", 0.3), ("optimistic", 0.7)])
def test_other_radii_are_approached(moves, rate):
    config = Config(ROUNDS, "bilinear", moves, rate)
    way = orbits.apart(config, orbits.Orbit(config, np.ones(2)).until(60))
    assert (way[60] / way[20]) ** (1 / 40) == pytest.approx(orbits.theory(config), rel=0.02)


@pytest.mark.parametrize(("rate", "radius"), [(0.1, 0.994936), (0.5, 0.707107)])
def test_the_optimistic_radius_is_the_published_one(rate, radius):
    assert orbits.theory(Config(ROUNDS, "bilinear", "optimistic", rate)) == pytest.approx(radius, abs=1e-6)


def test_strategies_are_measured_by_their_gap():
    config = Config(ROUNDS, "rock-paper-scissors", "optimistic")
    way = orbits.Orbit(config, np.array([0.6, 0.3, 0.1, 0.1, 0.3, 0.6])).until(600)
    gaps = orbits.apart(config, way)
    y = way[0, 3:]
    payoff = orbits.ROCK_PAPER_SCISSORS
    assert gaps[0] == pytest.approx(float((way[0, :3] @ payoff).max() - (payoff @ y).min()))
    assert gaps[-1] < 1e-3
    np.testing.assert_allclose(way[-1], np.full(6, 1 / 3), atol=1e-3)


def test_kuhns_players_begin_where_openspiel_says_and_learn():
    config = Config(ROUNDS, "kuhn", "extragradient", 0.1)
    gaps = orbits.apart(config, orbits.Orbit(config, np.full(12, 0.5)).until(500)[[0, 500]])
    assert gaps[0] == pytest.approx(11 / 12, abs=1e-12)
    assert gaps[1] < 0.1


def test_games_without_a_theory_have_none():
    assert orbits.theory(Config(ROUNDS, "dirac-gan")) is None
    assert orbits.theory(Config(ROUNDS, "bilinear", "lookahead:inner=alternating")) is None


@pytest.mark.parametrize("name", orbits.PRESETS)
def test_every_preset_is_drawn_and_made_again(name):
    config = dataclasses.replace(orbits.PRESETS[name].config, schedule=ROUNDS)
    start = orbits.start_of(config, seed=1)
    assert not np.array_equal(start, orbits.start_of(config, seed=2))
    sheet = judged(config, start, 20).episodes[0]
    assert np.array_equal(orbits.remake(config, sheet), sheet.samples)
    picture = orbits.picture(config, sheet)
    assert picture.dtype == np.uint8
    assert picture.shape == (400, 800, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10


def test_bad_names_and_numbers_are_refused():
    with pytest.raises(UnknownNameError, match="no dynamics is called 'extra'; did you mean extragradient"):
        Config(ROUNDS, "bilinear", "extra")
    with pytest.raises(BadInputError, match="rate is -1; it must be at least 0"):
        Config(ROUNDS, "bilinear", rate=-1)
