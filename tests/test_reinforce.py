"""REINFORCE's rungs on a bandit in closed form, and on worlds so small that all their games can be written down.

A rung's gradient of one game is Σ_t A_t ∇ log π(a_t|s_t). Where every game and its probability are known, the mean of
that gradient and its variance are sums and not samples: what each rung expects, and how far it spreads.
"""

import math
from collections.abc import Callable
from itertools import product
from typing import NamedTuple, get_args

import numpy as np
import pytest
import torch

import bandits
from bandits import QUARTERS, bandit_batch, bandit_network, learner_on, short_rollout
from sparring.agents import reinforce
from sparring.agents.distributions import Categorical
from sparring.agents.learner import seen

RUNGS = get_args(reinforce.Advantage)
every_rung = pytest.mark.parametrize("advantage", RUNGS)


def reinforce_on(network, **options):
    return learner_on(reinforce, network, **{"advantage": "discounted"} | options)


def ascent(network):
    """The last update's direction for the logits."""
    return [-slope for slope in network.policy_head.bias.grad.tolist()]


# On the bandit, where a game is one step: every rung but the baselines is A = r


def test_the_rungs_are_seven():
    assert RUNGS == ("immediate", "episode", "to-go", "discounted", "constant", "running", "value")


@pytest.mark.parametrize(("π", "arms"), bandits.BANDITS.items(), ids=str)
@every_rung
def test_every_rung_climbs_the_bandits_true_gradient(advantage, π, arms):
    network = bandit_network(π, value=0.7)
    learner = reinforce_on(network, advantage=advantage, value_weight=0.0)
    learner.kept["baseline"].value.fill_(1.3)  # a baseline from earlier batches, which must not bend it
    steps, expected = bandits.exactly(π, arms)
    learner.update(bandit_batch(network, **steps))
    assert ascent(network) == pytest.approx(expected, abs=1e-6)


def test_a_rewarded_action_becomes_likelier():
    network = bandit_network((0.5, 0.5))
    reinforce_on(network, learning_rate=0.1).update(bandit_batch(network, [1], [2.0]))
    logits = network(torch.full((1, 1), 0.5))[0].logits
    assert logits[0, 1] > logits[0, 0]


def test_standardised_advantages_have_mean_zero_and_deviation_one():
    # advantages −1.5, 0.5, 0.5, 0.5 over their (unbiased) deviation, which is 1: the same gradient as unstandardised
    network = bandit_network(QUARTERS)
    reinforce_on(network, standardise=True).update(bandit_batch(network, [0, 1, 1, 1], [100.0, 102.0, 102.0, 102.0]))
    assert network.policy_head.bias.grad.tolist() == pytest.approx([0.375, -0.375], abs=1e-5)


@every_rung
def test_only_the_rung_with_a_value_trains_one_and_it_descends_to_the_return(advantage):
    network = bandit_network(QUARTERS, value=1.0)
    reinforce_on(network, advantage=advantage, value_weight=0.5).update(bandit_batch(network, **bandits.EXPECTED))
    expected = 0.5 * (1.0 - 2.5) if advantage == "value" else 0.0
    assert network.value_head.bias.grad.tolist() == pytest.approx([expected])


def test_the_entropy_bonus_pulls_towards_uniform():
    network = bandit_network(QUARTERS)
    reinforce_on(network, entropy_weight=2.0).update(bandit_batch(network, [0, 1], [0.0, 0.0]))
    expected = [-2 * slope for slope in bandits.entropy_ascent(QUARTERS)]
    assert expected[0] < 0  # the rarer action gains
    assert network.policy_head.bias.grad.tolist() == pytest.approx(expected, abs=1e-6)


# What a rollout is worth on each rung: world 0 ends at step 0, world 1 is cut at step 1; γ = 1/2, V(last) = V(cut) = 8


@pytest.mark.parametrize(
    ("advantage", "expected"),
    [
        ("immediate", [[5.0, -2.0], [0.0, 3.0], [7.0, 0.5]]),
        ("episode", [[5.0, 1.0], [7.0, 1.0], [7.0, 0.5]]),
        ("to-go", [[5.0, 1.0], [7.0, 3.0], [7.0, 0.5]]),
        ("discounted", [[5.0, -2 + 3 / 2], [7 / 2, 3.0], [7.0, 0.5]]),
        ("constant", [[5.0, -2 + 3 / 2], [7 / 2, 3.0], [7.0, 0.5]]),
        ("running", [[5.0, -2 + 3 / 2], [7 / 2, 3.0], [7.0, 0.5]]),
        ("value", [[5.0, -2 + 7 / 2], [(7 + 4) / 2, 3 + 4], [7 + 4, 0.5 + 4]]),
    ],
)
def test_the_return_of_each_rung_by_hand(advantage, expected):
    learner = reinforce_on(bandit_network((0.5, 0.5), value=8.0), advantage=advantage, gamma=0.5)
    assert reinforce.returns_of(learner.config, seen(learner, short_rollout())).tolist() == expected


def test_the_mean_return_is_told_before_any_baseline():
    for advantage, mean in (("immediate", 13.5 / 6), ("to-go", 23.5 / 6), ("constant", 18.5 / 6)):
        learner = reinforce_on(bandit_network((0.5, 0.5)), advantage=advantage, gamma=0.5)
        assert learner.update(short_rollout())["return/mean"] == pytest.approx(mean)


# Baselines from the batches before


@pytest.mark.parametrize(
    ("advantage", "baselines"),
    [("constant", [0.0, 4.0, 4.0, 4.0]), ("running", [0.0, 4.0, 0.9 * 4 + 0.1 * 10, 0.9 * 4.6 + 0.1 * -2])],
)
def test_a_baseline_knows_the_batches_before_and_never_the_present_one(advantage, baselines):
    network = bandit_network(QUARTERS)
    learner = reinforce_on(network, advantage=advantage, learning_rate=0.0)
    for reward, b in zip((4.0, 10.0, -2.0, 1.0), baselines, strict=True):
        learner.update(bandit_batch(network, [0], [reward]))
        # (r − b) (e_0 − π) = (r − b) (0.75, −0.75)
        assert ascent(network) == pytest.approx([0.75 * (reward - b), -0.75 * (reward - b)], abs=1e-5)


def test_the_baseline_lies_in_the_checkpoint():
    network = bandit_network(QUARTERS)
    learner, twin = (reinforce_on(network, advantage="running") for _ in range(2))
    learner.update(bandit_batch(network, [0], [4.0]))
    twin.parts()["baseline"].load_state_dict(learner.parts()["baseline"].state_dict())
    assert twin.kept["baseline"].value.item() == 4.0
    assert twin.kept["baseline"].batches.item() == 1


# Worlds small enough to enumerate


class Tabular(torch.nn.Module):
    """π(1) and V for each observation, from tables; the logit of π(1) is the parameter."""

    entrance = None

    def __init__(self, chances, values):
        super().__init__()
        self.shown = torch.tensor(list(chances))
        self.logits = torch.nn.Parameter(torch.logit(torch.tensor(list(chances.values()))))
        self.values = torch.nn.Parameter(torch.tensor([values[obs] for obs in chances]))

    def forward(self, obs):
        row = (obs == self.shown).int().argmax(1)
        return Categorical(torch.stack([torch.zeros(len(obs)), self.logits[row]], 1)), self.values[row]


class Tiny(NamedTuple):
    """A world of two actions, and a policy for it, whose games can all be written down."""

    steps: int
    story: Callable  # actions → (observations, rewards)
    chances: dict  # observation → π(1)
    values: dict  # observation → V

    def games(self):
        """(probability, observations, actions, rewards) of each."""
        for actions in product((0, 1), repeat=self.steps):
            shown, rewards = self.story(*actions)
            π = [self.chances[obs] if a else 1 - self.chances[obs] for obs, a in zip(shown, actions, strict=True)]
            yield math.prod(π), shown, actions, rewards

    def estimates(self, advantage, γ, b=0.0):
        """Each game's probability [G], and the rung's gradient Σ_t A_t ∇ log π(a_t|s_t) of that game alone [G, obs]."""
        weights, slopes = [], []
        for probability, shown, actions, rewards in self.games():
            network = Tabular(self.chances, self.values)
            learner = reinforce_on(network, advantage=advantage, gamma=γ, value_weight=0.0)
            learner.kept["baseline"].value.fill_(b)
            obs = np.array([*shown, 0.0], np.float32)[:, None, None]
            last = np.arange(1, self.steps + 1)[:, None] == self.steps
            batch = bandits.remembered(
                network,
                obs,
                np.array(actions)[:, None],
                np.array(rewards, np.float32)[:, None],
                last,
                last & False,
                obs[:0, 0],
            )
            learner.update(batch)
            weights.append(probability)
            slopes.append(-self.steps * network.logits.grad.double().numpy())  # the loss is a mean over the steps
        return np.array(weights), np.array(slopes)


def errand(first, second):
    """Take the tool (1, pays 0) or the coin (0, pays 1); then work (1) pays 4 with the tool, 0 without; rest pays 1."""
    return [0.5, 1.0 if first else -1.0], [1.0 - first, (4.0 if first else 0.0) if second else 1.0]


TOOL, COIN_THEN_WORK, TOOL_THEN_WORK = 0.4, 0.3, 0.6
ERRAND = Tiny(2, errand, {0.5: TOOL, -1.0: COIN_THEN_WORK, 1.0: TOOL_THEN_WORK}, {0.5: 2.0, -1.0: -3.0, 1.0: 0.7})


def errands_gradient(coins_future, tools_future, coin=1.0):
    """E[Σ_t A_t ∇ log π] by its closed form p (1 − p) ∂J/∂p; what the first action earns is known to it or not."""
    p = TOOL
    slopes = [
        tools_future - coins_future - coin,
        (1 - p) * (0 - 1),  # work without the tool instead of rest
        p * (4 - 1),
    ]
    return [π * (1 - π) * slope for π, slope in zip(ERRAND.chances.values(), slopes, strict=True)]


COINS_FUTURE, TOOLS_FUTURE = 1 - COIN_THEN_WORK, 1 + 3 * TOOL_THEN_WORK  # expected rewards of the second step


@pytest.mark.parametrize("advantage", RUNGS[1:])
def test_every_rung_but_the_first_climbs_the_true_gradient_in_expectation(advantage):
    weights, slopes = ERRAND.estimates(advantage, γ=1.0, b=1.7)
    assert weights.sum() == pytest.approx(1)
    assert weights @ slopes == pytest.approx(np.array(errands_gradient(COINS_FUTURE, TOOLS_FUTURE)), abs=1e-6)


def test_the_immediate_reward_is_blind_to_the_future_and_climbs_down_here():
    weights, slopes = ERRAND.estimates("immediate", γ=1.0)
    assert weights @ slopes == pytest.approx(np.array(errands_gradient(0.0, 0.0)), abs=1e-6)
    assert errands_gradient(0.0, 0.0)[0] < 0 < errands_gradient(COINS_FUTURE, TOOLS_FUTURE)[0]


@pytest.mark.parametrize("advantage", RUNGS[3:])
def test_discounted_rungs_weigh_the_future_by_γ_and_agree_whatever_their_baseline(advantage):
    weights, slopes = ERRAND.estimates(advantage, γ=0.5, b=1.7)
    assert weights @ slopes == pytest.approx(np.array(errands_gradient(COINS_FUTURE / 2, TOOLS_FUTURE / 2)), abs=1e-6)


# How much each rung's gradient spreads. Four steps, each pays 1 + a with π(1) = 1/2. Write a = 1/2 + s with s = ±1/2;
# then ∇ log π = s, and with A_t = c_t + Σ_k w_tk s_k the variance of s_t A_t is (c_t² + Σ_{k≠t} w_tk² / 4) / 4.

CHAIN = Tiny(
    4,
    lambda *actions: ([0.0, 1.0, 2.0, 3.0], [1.0 + a for a in actions]),
    dict.fromkeys((0.0, 1.0, 2.0, 3.0), 0.5),
    {t: 1.5 * sum(0.5**k for k in range(4 - int(t))) for t in (0.0, 1.0, 2.0, 3.0)},  # the true V for γ = 1/2
)
MEAN_RETURN = sum(CHAIN.values.values()) / 4


def spread(c, w):
    """Σ_t Var[s_t A_t] for the weights c [T] and w [T, T]."""
    others = np.array(w) * (1 - np.eye(4))
    return (np.square(c).sum() + np.square(others).sum() / 4) / 4


ALL = np.ones((4, 4))
LATER = np.triu(ALL)
FADING = np.triu([[0.5 ** max(k - t, 0) for k in range(4)] for t in range(4)])
V = np.array(list(CHAIN.values.values()))
SPREADS = {
    "episode": spread([6.0] * 4, ALL),
    "to-go": spread([6.0, 4.5, 3.0, 1.5], LATER),
    "discounted": spread(V, FADING),
    "constant": spread(V - MEAN_RETURN, FADING),
    "running": spread(V - MEAN_RETURN, FADING),
    "value": spread(V - V, FADING),
}


@pytest.mark.parametrize("advantage", SPREADS)
def test_the_variance_of_each_rungs_gradient_is_its_closed_form(advantage):
    weights, slopes = CHAIN.estimates(advantage, γ=0.5, b=MEAN_RETURN)
    mean = weights @ slopes
    variance = weights @ np.square(slopes - mean).sum(1)
    assert variance == pytest.approx(SPREADS[advantage], rel=1e-5)
    assert mean == pytest.approx(np.full(4, 0.25))  # p (1 − p) · 1: here all of them expect the same


def test_the_gradients_variance_falls_from_rung_to_rung():
    found = [SPREADS[rung] for rung in ("episode", "to-go", "discounted", "constant", "value")]
    # by hand: 4 (36 + 3/4) / 4;  (36 + 20.25 + 9 + 2.25 + 6/4) / 4;  then γ = 1/2
    assert found[:2] == [36.75, 17.25]
    assert found == pytest.approx([36.75, 17.25, 5.583984375, 0.308349609375, 0.0556640625])
    assert found == sorted(found, reverse=True)
