"""The policy's door, its random generators, and the gradients of REINFORCE and PPO against closed forms.

With the policy head's weights at zero its bias *is* the logits, so after a backward pass `policy_head.bias.grad` is
∂loss/∂logits summed over the batch, which a softmax gives in closed form: ∂ log π(a) / ∂z = e_a − π.
"""

import copy
import math
import typing

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from hypothesis import given, settings

from sparring.agents import networks, ppo, reinforce
from sparring.agents.descent import Descent
from sparring.agents.distributions import Categorical
from sparring.agents.learner import Learner, seen
from sparring.agents.policy import Dice, Policy, Remembered
from sparring.agents.protocol import Schedule
from sparring.envs.errors import BadInputError
from sparring.envs.rollouts import Rollout
from sparring.envs.worlds import World

fuzz = settings(deadline=None, derandomize=True)
QUARTERS = (0.25, 0.75)  # π of the two-armed bandit
LOGITS = st.lists(st.lists(st.floats(-20, 20, width=32), min_size=4, max_size=4), min_size=1, max_size=5)


class Fixed(torch.nn.Module):
    """A policy that sees nothing: the same logits everywhere, and V = the observation's first number."""

    def __init__(self, *probabilities):
        super().__init__()
        self.logits = torch.tensor(probabilities).log()

    def forward(self, obs):
        return Categorical(self.logits.expand(len(obs), -1)), obs[:, 0]


def fixed(*probabilities, seed=0):
    return Policy(Fixed(*probabilities), Dice(seed, "cpu"), "cpu")


def blank(rows):
    return np.zeros((rows, 1), np.float32)


# Log-probabilities and entropies


@fuzz
@given(LOGITS, st.integers(0, 3))
def test_log_probabilities_and_entropies_are_those_of_the_softmax(logits, action):
    actions = torch.full((len(logits),), action)
    policy = Categorical(torch.tensor(logits))
    log_probs, entropies = policy.log_prob(actions), policy.entropy()
    for row, log_prob, entropy in zip(logits, log_probs.tolist(), entropies.tolist(), strict=True):
        weights = [math.exp(z) for z in row]
        π = [weight / sum(weights) for weight in weights]
        assert log_prob == pytest.approx(math.log(π[action]), rel=1e-4, abs=1e-5)
        assert entropy == pytest.approx(-sum(p * math.log(p) for p in π), rel=1e-3, abs=1e-5)


def test_each_row_looks_up_its_own_action():
    logits = torch.tensor([[0.2, 0.3, 0.5], [0.7, 0.2, 0.1]]).log()
    torch.testing.assert_close(Categorical(logits).log_prob(torch.tensor([2, 0])).exp(), torch.tensor([0.5, 0.7]))
    torch.testing.assert_close(Categorical(logits).entropy(), torch.tensor([1.029653, 0.801819]))


def test_the_entropy_of_n_equal_actions_is_log_n_and_of_a_sure_one_zero():
    entropies = Categorical(torch.tensor([[7.0] * 6, [90.0] + [0.0] * 5])).entropy()
    torch.testing.assert_close(entropies, torch.tensor([math.log(6), 0.0]))


# Acting


def test_actions_are_drawn_as_often_as_the_softmax_says():
    π = np.array([0.5, 0.3, 0.15, 0.05])
    draws = 20_000
    counts = np.bincount(fixed(*π).act(blank(draws)).actions, minlength=4)
    chi_square = ((counts - draws * π) ** 2 / (draws * π)).sum()
    assert chi_square < 16.27  # the 99.9 % quantile at three degrees of freedom


def test_worlds_draw_independently_of_each_other():
    policy = fixed(0.5, 0.5)
    pairs = np.stack([policy.act(blank(2)).actions for _ in range(1000)])
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 4 / math.sqrt(1000)


def test_act_remembers_the_log_probability_of_what_it_did_and_the_value_of_what_it_saw():
    π = np.array([0.5, 0.3, 0.15, 0.05])
    obs = np.arange(200, dtype=np.float32)[:, None]
    actions, memory = fixed(*π).act(obs)
    np.testing.assert_allclose(memory.log_prob, np.log(π)[actions], rtol=1e-5)
    np.testing.assert_array_equal(memory.value, obs[:, 0])
    assert actions.shape == memory.log_prob.shape == memory.value.shape == (200,)
    assert set(actions) == {0, 1, 2, 3}


def test_greedy_takes_the_likeliest_action_of_each_row_and_rolls_no_dice():
    class Echo(torch.nn.Module):
        def forward(self, obs):
            return Categorical(obs), obs[:, 0]

    policy = Policy(Echo(), Dice(0, "cpu"), "cpu")
    before = policy.dice.state_dict()["state"].clone()
    logits = np.array([[0.1, 0.3, 0.2], [2.0, -1.0, 1.9], [-3.0, -2.0, -1.0]], np.float32)
    actions, memory = policy.act(logits, greedy=True)
    assert actions.tolist() == [1, 0, 2]
    np.testing.assert_allclose(memory.log_prob, torch.log_softmax(torch.tensor(logits), 1).max(1).values, rtol=1e-6)
    assert torch.equal(policy.dice.state_dict()["state"], before)


def test_the_same_dice_throw_the_same_actions_and_others_do_not():
    first, twin, other = (fixed(0.5, 0.5, seed=seed).act(blank(100)).actions for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, twin)
    assert (first != other).any()


def test_acting_neither_reads_nor_moves_the_global_generator():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = fixed(0.5, 0.5).act(blank(50)).actions
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    np.testing.assert_array_equal(fixed(0.5, 0.5).act(blank(50)).actions, first)


def test_dice_go_on_from_a_saved_state():
    dice = Dice(3, "cpu")
    torch.rand(7, generator=dice.generator)
    state = copy.deepcopy(dice.state_dict())
    ahead = torch.rand(5, generator=dice.generator)
    again = Dice(99, "cpu")
    again.load_state_dict(state)
    assert torch.equal(torch.rand(5, generator=again.generator), ahead)


def test_the_state_of_dice_is_a_copy_that_later_throws_leave_alone():
    dice = Dice(3, "cpu")
    state = dice.state_dict()["state"]
    kept = state.clone()
    torch.rand(5, generator=dice.generator)
    assert torch.equal(state, kept)


# Gradients on a bandit: games of one step, so the return is the reward


def bandit_network(π, value=0.0):
    """An ActorCritic on observations [1] whose logits are log π and whose value is `value`, whatever it sees."""
    spaces = Box(-1, 1, (1,), np.float32), Discrete(len(π))
    network = networks.build("mlp", *spaces, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for head, bias in ((network.policy_head, torch.tensor(π).log()), (network.value_head, torch.tensor([value]))):
            head.weight.zero_()
            head.bias.copy_(bias)
    return network


def bandit_batch(network, actions, rewards):
    """One row of worlds that each played one step and terminated."""
    obs = np.full((2, len(actions), 1), 0.5, np.float32)
    with torch.no_grad():
        policy, values = network(torch.from_numpy(obs[0]))
    log_probs = torch.log_softmax(policy.logits, 1)[range(len(actions)), actions]
    never, always = (np.full((1, len(actions)), flag) for flag in (False, True))
    memory = Remembered(log_probs.numpy()[None], values.numpy()[None])
    return Rollout(obs, np.array([actions]), np.array([rewards], np.float32), always, never, memory, obs[:0, 0])


def reinforce_on(network, **options):
    plain = {"advantage": "discounted", "standardise": False, "entropy_weight": 0.0, "max_gradient_norm": 1e9}
    config = reinforce.Config(Schedule(100), World("CartPole-v1", "gymnasium", 4), **plain | options)
    return learner_of(reinforce, config, network, kept={"baseline": reinforce.Baseline()})


def ppo_on(network, *, clip_reward=False, **options):
    plain = {"standardise": False, "entropy_weight": 0.0, "value_weight": 0.0, "max_gradient_norm": 1e9}
    config = ppo.Config(Schedule(100), World("CartPole-v1", "gymnasium", 4), **plain | options)
    return learner_of(ppo, config, network, clip_reward=clip_reward)


def learner_of(module, config, network, *, clip_reward=False, **kept):
    """As `assemble` makes it, on a network of our own."""
    adam = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    descent = Descent(adam, max_norm=config.max_gradient_norm, updates=10 if config.anneal else None)
    return Learner(module.learn, config, network, descent, clip_reward=clip_reward, seed=0, device="cpu", **kept)


def gradients(network):
    return {
        name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None
    }


# Every action as often as π takes it, so that the batch's mean is the exact expectation:
# J = 0.25 · 1 + 0.75 · 3 = 2.5 and ∂J/∂z_a = π_a (r_a − J) = ∓0.375.
EXPECTED = {"actions": [0, 1, 1, 1], "rewards": [1.0, 3.0, 3.0, 3.0]}
ASCENT = [-0.375, 0.375]


@pytest.mark.parametrize("advantage", typing.get_args(reinforce.Advantage))
def test_reinforce_climbs_the_bandits_true_gradient_on_every_rung(advantage):
    network = bandit_network(QUARTERS, value=0.7)
    reinforce_on(network, advantage=advantage, value_weight=0.0).update(bandit_batch(network, **EXPECTED))
    assert network.policy_head.bias.grad.tolist() == pytest.approx([-slope for slope in ASCENT], abs=1e-6)


def test_a_baseline_takes_variance_away():
    # of the four samples' gradients (r − b)(e_a − π): with b = E[r] they spread less than with b = 0
    def spread(advantage):
        single = []
        for action, reward in zip(*EXPECTED.values(), strict=True):
            network = bandit_network(QUARTERS, value=2.5)
            reinforce_on(network, advantage=advantage).update(bandit_batch(network, [action], [reward]))
            single.append(float(network.policy_head.bias.grad[0]))
        return np.var(single)

    assert spread("discounted") == pytest.approx(
        np.var([-0.75, 0.75, 0.75, 0.75])
    )  # −r (e_a − π) at a = 0: −0.75, then 0.75
    assert spread("value") == pytest.approx(np.var([1.125, 0.125, 0.125, 0.125]))  # −(r − 2.5)(e_a − π)


def test_reinforce_makes_a_rewarded_action_likelier():
    network = bandit_network((0.5, 0.5))
    reinforce_on(network, learning_rate=0.1).update(bandit_batch(network, [1], [2.0]))
    policy, _ = network(torch.full((1, 1), 0.5))
    assert policy.logits[0, 1] > policy.logits[0, 0]


def test_standardised_advantages_have_mean_zero_and_deviation_one():
    # advantages −1.5, 0.5, 0.5, 0.5 over their (unbiased) deviation, which is 1: the same gradient as unstandardised
    network = bandit_network(QUARTERS)
    reinforce_on(network, standardise=True).update(bandit_batch(network, [0, 1, 1, 1], [100.0, 102.0, 102.0, 102.0]))
    assert network.policy_head.bias.grad.tolist() == pytest.approx([0.375, -0.375], abs=1e-5)


def test_reinforces_value_baseline_descends_to_the_return():
    network = bandit_network(QUARTERS, value=1.0)
    reinforce_on(network, advantage="value", value_weight=0.5).update(bandit_batch(network, **EXPECTED))
    assert network.value_head.bias.grad.tolist() == pytest.approx([0.5 * (1.0 - 2.5)])
    network = bandit_network(QUARTERS, value=1.0)
    reinforce_on(network, advantage="discounted", value_weight=0.5).update(bandit_batch(network, **EXPECTED))
    assert network.value_head.bias.grad.tolist() == [0.0]


def entropy_ascent(π):
    """∂H/∂z_j = −π_j (log π_j + H)."""
    H = -sum(p * math.log(p) for p in π)
    return [-p * (math.log(p) + H) for p in π]


def test_the_entropy_bonus_pulls_both_algorithms_towards_uniform():
    assert entropy_ascent(QUARTERS)[0] > 0  # the rarer action gains
    expected = pytest.approx([-2 * slope for slope in entropy_ascent(QUARTERS)], abs=1e-6)
    network = bandit_network(QUARTERS)
    reinforce_on(network, entropy_weight=2.0).update(bandit_batch(network, [0, 1], [0.0, 0.0]))
    assert network.policy_head.bias.grad.tolist() == expected
    network = bandit_network(QUARTERS)
    surrogate(ppo_on(network, entropy_weight=2.0), actions=[0, 1], ratios=[1.0, 1.0], advantages=[0.0, 0.0])
    assert network.policy_head.bias.grad.tolist() == expected


def surrogate(algorithm, *, actions, ratios, advantages, targets=None):
    """Backward through PPO's loss where π/π_old are the given ratios; returns the loss and its terms."""
    obs = torch.full((len(actions), 1), 0.5)
    with torch.no_grad():
        log_probs = algorithm.network(obs)[0].log_prob(torch.tensor(actions))
    old = log_probs - torch.tensor(ratios).log()
    targets = torch.zeros(len(actions)) if targets is None else torch.tensor(targets)
    batch = ppo.Minibatch(obs, torch.tensor(actions), old, torch.tensor(advantages), targets)
    loss, terms = ppo.loss(algorithm, batch)
    loss.backward()
    return loss.item(), [term.item() for term in terms]


def test_at_ratio_one_ppo_follows_the_gradient_of_reinforce():
    generator = torch.Generator().manual_seed(3)
    spaces = Box(-1, 1, (1,), np.float32), Discrete(3)
    actions, rewards = [0, 2, 1, 1, 0, 2], [1.0, -2.0, 0.5, 3.0, -1.0, 0.25]
    learner = reinforce_on(networks.build("mlp", *spaces, generator))
    clone = ppo_on(networks.build("mlp", *spaces, generator))
    clone.network.load_state_dict(learner.network.state_dict())
    batch = bandit_batch(learner.network, actions, rewards)
    surrogate(clone, actions=actions, ratios=[1.0] * 6, advantages=rewards)
    expected = {name: grad for name, grad in gradients(clone.network).items() if "policy" in name}
    learner.update(batch)
    found = {name: grad for name, grad in gradients(learner.network).items() if "policy" in name}
    assert len(found) == 6
    assert all(grad.abs().max() > 0 for grad in found.values())
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("ratio", "advantage", "flows"),
    [
        (1.3, +2.0, False),  # profit was taken already
        (0.7, -2.0, False),
        (0.7, +2.0, True),  # things got worse: the way back stays open
        (1.3, -2.0, True),
        (1.1, +2.0, True),  # inside the clip range
        (0.9, -2.0, True),
    ],
)
def test_ppo_stops_the_gradient_only_where_the_ratio_left_the_range_to_its_profit(ratio, advantage, flows):
    network = bandit_network(QUARTERS)
    loss, terms = surrogate(ppo_on(network, clip=0.2), actions=[1], ratios=[ratio], advantages=[advantage])
    # −∂(ρA)/∂z = −ρ A (e_1 − π), and e_1 − π = (−0.25, 0.25)
    expected = [0.25 * ratio * advantage, -0.25 * ratio * advantage] if flows else [0.0, 0.0]
    assert network.policy_head.bias.grad.tolist() == pytest.approx(expected, abs=1e-6)
    clipped = min(max(ratio, 0.8), 1.2)
    assert loss == pytest.approx(-min(ratio * advantage, clipped * advantage))
    assert terms[3] == (1.0 if abs(ratio - 1) > 0.2 else 0.0)


def test_ppo_descends_half_the_squared_distance_to_the_target_times_its_weight():
    network = bandit_network(QUARTERS, value=1.0)
    algorithm = ppo_on(network, value_weight=0.5)
    loss, terms = surrogate(algorithm, actions=[0, 1], ratios=[1, 1.0], advantages=[0.0, 0.0], targets=[3.0, 5.0])
    assert terms[1] == pytest.approx((4 + 16) / 2 / 2)
    assert loss == pytest.approx(0.5 * 5)
    assert network.value_head.bias.grad.tolist() == pytest.approx([0.5 * (-2 - 4) / 2])


def test_ppo_standardises_the_advantages_of_the_mini_batch():
    network = bandit_network(QUARTERS)
    algorithm = ppo_on(network, standardise=True)
    surrogate(algorithm, actions=[0, 1, 1, 1], ratios=[1.0] * 4, advantages=[100.0, 102.0, 102.0, 102.0])
    assert network.policy_head.bias.grad.tolist() == pytest.approx([0.375, -0.375], abs=1e-5)


# What both make of a rollout: two worlds, three steps; world 0 ends at step 0, world 1 is cut at step 1


def short_rollout(network):
    obs = np.full((4, 2, 1), 0.5, np.float32)
    rewards = np.array([[5.0, -2.0], [0.0, 3.0], [7.0, 0.5]], np.float32)
    ended = np.array([[True, False], [False, False], [False, False]])
    cut = np.array([[False, False], [False, True], [False, False]])
    values = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32)
    memory = Remembered(np.full((3, 2), math.log(0.5), np.float32), values)
    return Rollout(obs, np.zeros((3, 2), int), rewards, ended, cut, memory, np.full((1, 1), 0.5, np.float32))


# The network says V = 8 of every observation, so of the last ones and of the cut one; γ = 1/2.
def test_reinforce_bootstraps_with_a_value_baseline_and_counts_what_it_saw_without():
    network = bandit_network((0.5, 0.5), value=8.0)
    batch = short_rollout(network)

    def targets(advantage):
        learner = reinforce_on(network, advantage=advantage, gamma=0.5)
        return reinforce.returns_of(learner.config, seen(learner, batch))

    assert targets("value").tolist() == [[5.0, -2 + 7 / 2], [(7 + 4) / 2, 3 + 4], [7 + 4, 0.5 + 4]]
    assert targets("running").tolist() == [[5.0, -2 + 3 / 2], [7 / 2, 3.0], [7.0, 0.5]]


def estimated(algorithm, batch):
    """PPO's advantages and targets, each [T·N]."""
    return [field.flatten() for field in ppo.estimate(algorithm.config, seen(algorithm, batch))]


def test_ppo_estimates_advantages_and_targets_of_a_rollout():
    network = bandit_network((0.5, 0.5), value=8.0)
    advantages, targets = estimated(ppo_on(network, gamma=0.5, gae_lambda=0.0), short_rollout(network))
    assert advantages.tolist() == [5 - 1, -2 + 4 / 2 - 2, 5 / 2 - 3, 3 + 4 - 4, 7 + 4 - 5, 0.5 + 4 - 6]
    assert targets.tolist() == [5.0, 0.0, 2.5, 7.0, 11.0, 4.5]


def test_learners_see_the_sign_of_the_reward_where_the_protocol_clips():
    network = bandit_network((0.5, 0.5), value=8.0)
    _, targets = estimated(ppo_on(network, gamma=0.5, gae_lambda=0.0, clip_reward=True), short_rollout(network))
    assert targets.tolist() == [1.0, -1 + 4 / 2, 5 / 2, 1 + 4, 1 + 4, 1 + 4]


@pytest.mark.parametrize("make", [reinforce_on, ppo_on])
def test_the_learning_rate_falls_linearly_over_the_updates_of_the_run(make):
    network = bandit_network((0.5, 0.5))
    batch = short_rollout(network)
    extra = {"minibatches": 2} if make is ppo_on else {}
    algorithm = make(network, learning_rate=0.5, **extra)
    rates = []
    for _ in range(10):
        algorithm.update(batch)
        rates.append(algorithm.descent.optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([0.5 * left / 10 for left in range(10, 0, -1)])
    steady = make(network, learning_rate=0.5, anneal=False, **extra)
    steady.update(batch)
    steady.update(batch)
    assert steady.descent.optimiser.param_groups[0]["lr"] == 0.5


def test_ppo_visits_every_step_once_an_epoch(monkeypatch):
    network = bandit_network((0.5, 0.5))
    algorithm = ppo_on(network, epochs=3, minibatches=2)
    visited, plain = [], ppo.loss

    def spy(learner, minibatch):
        visited.append(minibatch.targets.tolist())
        return plain(learner, minibatch)

    monkeypatch.setattr(ppo, "loss", spy)
    batch = short_rollout(network)
    _, targets = estimated(algorithm, batch)
    algorithm.update(batch)
    assert [len(rows) for rows in visited] == [3] * 6
    for first, second in zip(visited[::2], visited[1::2], strict=True):
        assert sorted(first + second) == sorted(targets.tolist())
    assert len({tuple(rows) for rows in visited}) > 2  # shuffled anew each epoch


def test_ppo_refuses_mini_batches_that_do_not_divide_the_batch():
    with pytest.raises(BadInputError, match=r"batch of 15 steps \(horizon 5 × 3 worlds\).* 4 equal mini-batches"):
        ppo.Config(Schedule(100), World("CartPole-v1", "gymnasium", 3), horizon=5, minibatches=4)


@pytest.mark.parametrize("make", [reinforce_on, ppo_on])
def test_a_learner_restored_from_its_parts_learns_on_bit_for_bit(make):
    extra = {"minibatches": 2} if make is ppo_on else {}
    first, second = make(bandit_network(QUARTERS), **extra), make(bandit_network((0.5, 0.5)), **extra)
    batch = short_rollout(first.network)
    first.update(batch)
    first.act(blank(7))
    for name, part in first.parts().items():
        second.parts()[name].load_state_dict(copy.deepcopy(part.state_dict()))  # Adam's state is shared otherwise
    np.testing.assert_array_equal(first.act(blank(20)).actions, second.act(blank(20)).actions)
    assert first.update(batch) == second.update(batch)
    for mine, other in zip(first.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("make", [reinforce_on, ppo_on])
def test_a_player_acts_like_the_learner_on_dice_of_its_own(make):
    learner = make(bandit_network(QUARTERS))
    before = learner.dice.state_dict()["state"].clone()
    first, again, other = (learner.player(seed).act(blank(200)).actions for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert torch.equal(learner.dice.state_dict()["state"], before)
