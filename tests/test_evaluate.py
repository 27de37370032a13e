"""Evaluation: every game that starts is counted, each can be played again alone, and the learner notices nothing."""

import copy
import math
from dataclasses import asdict

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

from sparring.agents import a2c, impala, ppo, reinforce
from sparring.agents import evaluate as module
from sparring.agents.evaluate import AT_A_TIME, Random, evaluate, interval, judge, play, random_scores
from sparring.agents.protocol import Schedule
from sparring.envs import episodes, worlds
from sparring.envs.rollouts import Acts
from sparring.envs.worlds import World

CARTPOLE = World("CartPole-v1", "gymnasium", 4)
INVADERS = World("ALE/SpaceInvaders-v5", "machado2018", 2)


class Sprint(gymnasium.Env):
    """A game from an odd seed lasts 40 steps, one from an even seed a single one; each step pays 1 + action.

    After its first game the world plays games of one step that pay 1000, so a second game would be noticed.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own convention
    observation_space = Box(0, 1e6, (3,), np.float32)
    action_space = Discrete(2)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.home = -1 if seed is None else seed
        self.left, self.step_count = (40 if self.home % 2 else 1), 0
        return self.show(), {}

    def step(self, action):
        self.step_count += 1
        over = self.step_count == self.left
        return self.show(), 1.0 + action if self.home >= 0 else 1000.0, over, False, {}

    def show(self):
        return np.array([max(self.home, 0), self.step_count, 1], np.float32)


SPRINT = World("evaluate/Sprint-v0", "gymnasium", 3)


@pytest.fixture(autouse=True, scope="module")
def register():
    gymnasium.register(SPRINT.env, f"{__name__}:Sprint")
    yield
    del gymnasium.registry[SPRINT.env]


class Fixed:
    """Always the same action."""

    def __init__(self, action=0):
        self.action = action

    def act(self, obs, *, greedy=False):
        return Acts(np.full(len(obs), self.action), ())


class Reader:
    """Acts by what it sees alone, so that a game does not depend on those beside it."""

    def __init__(self, actions):
        self.actions = actions

    def act(self, obs, *, greedy=False):
        return Acts(np.array([episodes.checksum(row) % self.actions for row in obs]), ())


def assert_same(first, second):
    assert (first.world, first.protocol, first.spec, first.seed) == (
        second.world,
        second.protocol,
        second.spec,
        second.seed,
    )
    for name in episodes.ARRAYS:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


# Which games count


@pytest.mark.parametrize("games", [2, 10, AT_A_TIME, AT_A_TIME + 3])
def test_every_game_that_starts_is_counted_however_long_it_takes(games):
    evaluation = evaluate(Fixed(), SPRINT, games=games, seed=100)
    expected = [40.0 if seed % 2 else 1.0 for seed in range(100, 100 + games)]
    assert list(evaluation.scores) == expected
    assert evaluation.metrics["score"] == pytest.approx(np.mean(expected))
    assert evaluation.metrics["length"] == pytest.approx(np.mean(expected))


def test_a_game_records_its_own_actions_and_rewards():
    first, second = play(Fixed(1), SPRINT, games=2, seed=6)
    assert (first.seed, first.actions.tolist(), first.rewards.tolist()) == (6, [1], [2.0])
    assert (second.seed, second.actions.tolist(), second.rewards.tolist()) == (7, [1] * 40, [2.0] * 40)
    shown = [np.array([7, t, 1], np.float32) for t in range(41)]
    assert second.checksums.tolist() == [episodes.checksum(obs) for obs in shown]


def test_whoever_watches_hears_how_many_games_are_done():
    heard = []
    play(Fixed(), SPRINT, games=AT_A_TIME + 2, seed=0, watch=lambda done, whole: heard.append((done, whole)))
    whole = AT_A_TIME + 2
    assert heard[0] == (AT_A_TIME // 2, whole)  # those from even seeds end at once
    assert heard[-1] == (whole, whole)
    assert heard == sorted(heard)


@pytest.mark.parametrize(("world", "actions"), [(CARTPOLE, 2), (INVADERS, 18)], ids=["cartpole", "invaders"])
def test_a_game_can_be_played_again_alone_from_its_seed(world, actions):
    together = play(Reader(actions), world, games=2, seed=40)
    assert [episode.seed for episode in together] == [40, 41]
    assert together[0].checksums.tolist() != together[1].checksums.tolist()
    for k, episode in enumerate(together):
        assert_same(play(Reader(actions), world, games=1, seed=40 + k)[0], episode)
        assert episodes.verify(episode).step is None


def test_the_best_game_is_kept_and_proves_itself():
    evaluation = evaluate(Random(Discrete(2), seed=3), CARTPOLE, games=20, seed=1)
    (best,) = evaluation.episodes
    assert best.score == max(evaluation.scores)
    assert evaluation.scores[best.seed - 1] == best.score
    assert episodes.verify(best).step is None


def test_full_games_are_played_for_the_raw_reward_whatever_training_clips_and_cuts():
    training = World("ALE/SpaceInvaders-v5", "ppo2017", 2)  # in training a lost life ends, and rewards are clipped
    played = play(Fixed(1), training, games=2, seed=0)  # to stand and fire costs three lives
    assert max(episode.rewards.max() for episode in played) > 1
    assert min(len(episode.actions) for episode in played) > 200


def test_a_world_registered_by_its_class_can_be_evaluated():
    gymnasium.register("evaluate/ByClass-v0", Sprint)
    try:
        evaluation = evaluate(Fixed(), World("evaluate/ByClass-v0", "gymnasium", 1), games=2, seed=0)
    finally:
        del gymnasium.registry["evaluate/ByClass-v0"]
    assert list(evaluation.scores) == [1.0, 40.0]


# What is told about them


def test_a_number_carries_its_protocol():
    evaluation = evaluate(Fixed(), SPRINT, games=4, seed=10)
    told = dict(evaluation.protocol)
    assert told.items() >= asdict(worlds.protocol_of(SPRINT)).items()
    assert (told["env"], told["games"], told["seeds"]) == ("evaluate/Sprint-v0", 4, [10, 13])
    assert (told["full_games"], told["policy"]) == (True, "stochastic")


def test_the_uniform_policy_stands_beside_every_score_on_the_same_seeds():
    metrics = evaluate(Fixed(1), SPRINT, games=40, seed=0).metrics
    # even seeds: one step, odd seeds: 40 steps; the uniform policy earns 1.5 a step, the fixed one 2
    assert metrics["score"] == pytest.approx(2 * 20.5)
    assert metrics["random"] == pytest.approx(1.5 * 20.5, rel=0.05)
    assert metrics["random_low"] < metrics["random"] < metrics["random_high"]
    assert metrics["score_low"] < metrics["score"] < metrics["score_high"]


def test_the_uniform_policy_balances_a_pole_for_about_22_steps():
    scores = random_scores(CARTPOLE, 500, 0)
    # 22 is what everybody finds; the standard deviation is about 12, so the mean of 500 is within 2 at over 99.9 %
    assert np.mean(scores) == pytest.approx(22, abs=2)
    assert min(scores) >= 8


def test_the_uniform_policy_takes_every_action_alike():
    counts = np.bincount(Random(Discrete(6), seed=1).act(np.zeros((600, 1))).actions)
    assert len(counts) == 6
    assert ((counts - 100) ** 2 / 100).sum() < 20.5  # chi-square, five degrees of freedom, 99.9 %
    first, twin = (Random(Discrete(6), seed=1).act(np.zeros((50, 1))).actions for _ in range(2))
    np.testing.assert_array_equal(first, twin)


# Intervals


def test_the_interval_of_a_large_sample_is_that_of_the_normal_distribution():
    scores = np.random.default_rng(4).gamma(2.0, 50.0, size=400)
    low, high = interval(scores)
    margin = 1.96 * scores.std() / math.sqrt(len(scores))
    assert low == pytest.approx(scores.mean() - margin, abs=0.06 * margin)
    assert high == pytest.approx(scores.mean() + margin, abs=0.06 * margin)


def test_about_95_of_100_intervals_cover_the_truth():
    random = np.random.default_rng(5)
    covered = sum(low <= 100 <= high for low, high in (interval(random.normal(100, 20, 40)) for _ in range(100)))
    # binomial(100, 0.95), and the percentile bootstrap of 40 covers a little less: 0.5 % and 99.5 % quantiles
    assert 86 <= covered <= 99


def test_the_interval_of_equal_scores_is_a_point():
    assert interval([7.0] * 10) == (7.0, 7.0)


def test_the_interval_of_two_scores_is_theirs():
    # resamples of (0, 1): mean 0, ½, 1 with probabilities ¼, ½, ¼
    assert interval([0.0, 1.0]) == (0.0, 1.0)


def test_the_interval_depends_on_nothing_but_the_scores():
    scores = list(np.random.default_rng(1).normal(size=30))
    assert interval(scores) == interval(scores) == interval(np.array(scores))
    low, high = interval(scores)
    shifted = interval([2 * score + 10 for score in scores])
    assert shifted == pytest.approx((2 * low + 10, 2 * high + 10))


# What the learner notices: nothing


def flatten(state):
    """Every tensor and number in nested states, copied."""
    if isinstance(state, dict):
        return {name: flatten(value) for name, value in state.items()}
    return state.clone() if isinstance(state, torch.Tensor) else copy.deepcopy(state)


def assert_identical(first, second):
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for name in first:
            assert_identical(first[name], second[name])
    elif isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype
        assert torch.equal(first, second)
    else:
        assert first == second


def small(algorithm):
    config = algorithm.Config(Schedule(4_000, games=6), CARTPOLE, horizon=32)
    return algorithm.experiment(config, seed=3, device="cpu")


@pytest.mark.parametrize("algorithm", [reinforce, a2c, ppo, impala], ids=lambda module: module.__name__.split(".")[-1])
def test_a_learner_learns_on_bit_for_bit_as_if_it_had_never_been_judged(algorithm):
    def learn(judged):
        learner, source, evaluation = small(algorithm)
        source.reset(0)
        for _ in range(3):
            learner.update(source.draw(learner))
            before = {name: flatten(part.state_dict()) for name, part in learner.parts().items()}
            if judged:
                evaluation(learner)
            assert_identical({name: part.state_dict() for name, part in learner.parts().items()}, before)
        return {name: part.state_dict() for name, part in learner.parts().items()}

    assert_identical(learn(judged=True), learn(judged=False))


@pytest.mark.parametrize("algorithm", [reinforce, a2c, ppo, impala], ids=lambda module: module.__name__.split(".")[-1])
def test_no_global_generator_is_read_or_moved(algorithm):
    learner, _, evaluation = small(algorithm)
    torch.manual_seed(1)
    numpy_before, torch_before = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - to see that nobody does
    first = evaluation(learner)
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert str(np.random.get_state()) == str(numpy_before)  # noqa: NPY002
    torch.manual_seed(2)
    assert evaluation(learner).scores == first.scores


def test_the_same_learner_gets_the_same_judgement_and_another_seed_another():
    learner, _, evaluation = small(ppo)
    first, again = evaluation(learner), evaluation(learner)
    assert (first.metrics, first.scores) == (again.metrics, again.scores)
    assert_same(first.episodes[0], again.episodes[0])
    other = judge(CARTPOLE, games=6, seed=4)(learner)
    assert other.protocol["seeds"] != first.protocol["seeds"]
    assert other.scores != first.scores


def test_games_of_judgement_lie_apart_from_those_of_training():
    learner, _, evaluation = small(ppo)
    first, last = evaluation(learner).protocol["seeds"]
    for update in range(1_000):  # the runner seeds its sources so
        training = int(np.random.SeedSequence([3, update]).generate_state(1)[0] >> 2)
        assert not first <= training <= last
    assert 0 <= first <= last < 2**31  # what an emulator takes as a seed


def test_the_uniform_policys_games_are_played_once_a_process(monkeypatch):
    played = []
    monkeypatch.setattr(module, "play", lambda *args, **kwargs: played.append(args) or play(*args, **kwargs))
    monkeypatch.setattr(module, "RANDOM_SCORES", {})
    first, second = (evaluate(Fixed(), SPRINT, games=3, seed=77) for _ in range(2))
    assert len(played) == 3
    assert first.metrics == second.metrics
