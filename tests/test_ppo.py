"""PPO's loss on mini-batches made by hand, its estimates, its passes over a batch, and where it is A2C."""

import pytest
import torch

import bandits
from bandits import QUARTERS, bandit_network, gradients, learner_on, short_rollout
from sparring.agents import a2c, ppo
from sparring.agents.learner import seen
from sparring.agents.protocol import Schedule
from sparring.envs.errors import BadInputError
from sparring.envs.worlds import World


def ppo_on(network, **options):
    """PPO without a value loss, save what `options` say."""
    return learner_on(ppo, network, **{"value_weight": 0.0} | options)


def surrogate(learner, *, actions, ratios, advantages, targets=None):
    """Backward through PPO's loss where π/π_old are the given ratios; returns the loss and its terms."""
    obs = torch.full((len(actions), 1), 0.5)
    with torch.no_grad():
        log_probs = learner.network(obs)[0].log_prob(torch.tensor(actions))
    old = log_probs - torch.tensor(ratios).log()
    targets = torch.zeros(len(actions)) if targets is None else torch.tensor(targets)
    batch = ppo.Minibatch(learner.network.look(obs), torch.tensor(actions), old, torch.tensor(advantages), targets)
    loss, terms = ppo.loss(learner, batch)
    loss.backward()
    return loss.item(), [term.item() for term in terms]


def estimate(learner, batch):
    return [table.flatten().tolist() for table in ppo.estimate(learner.config, seen(learner, batch))]


# The loss


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


@pytest.mark.parametrize(("updates", "flows"), [(1, True), (5, True), (6, False), (10, False)])
def test_an_annealed_clip_falls_linearly_with_the_learning_rate(updates, flows):
    # ε = 0.2 · left, and left = 1, 0.6, 0.5, 0.1 in updates 1, 5, 6 and 10 of 10: 1.11 leaves the range at 0.5
    network = bandit_network(QUARTERS)
    learner = ppo_on(network, clip=0.2, anneal_clip=True)
    for _ in range(updates):
        learner.descent.begin_update()
    surrogate(learner, actions=[1], ratios=[1.11], advantages=[2.0])
    assert bool(network.policy_head.bias.grad.any()) == flows


def test_ppo_descends_half_the_squared_distance_to_the_target_times_its_weight():
    network = bandit_network(QUARTERS, value=1.0)
    learner = ppo_on(network, value_weight=0.5)
    loss, terms = surrogate(learner, actions=[0, 1], ratios=[1, 1.0], advantages=[0.0, 0.0], targets=[3.0, 5.0])
    assert terms[1] == pytest.approx((4 + 16) / 2 / 2)
    assert loss == pytest.approx(0.5 * 5)
    assert network.value_head.bias.grad.tolist() == pytest.approx([0.5 * (-2 - 4) / 2])


def test_ppo_standardises_the_advantages_of_the_mini_batch():
    # advantages −1.5, 0.5, 0.5, 0.5 over their (unbiased) deviation, which is 1
    network = bandit_network(QUARTERS)
    learner = ppo_on(network, standardise=True)
    surrogate(learner, actions=[0, 1, 1, 1], ratios=[1.0] * 4, advantages=[100.0, 102.0, 102.0, 102.0])
    assert network.policy_head.bias.grad.tolist() == pytest.approx([0.375, -0.375], abs=1e-5)


def test_the_entropy_bonus_pulls_towards_uniform():
    network = bandit_network(QUARTERS)
    surrogate(ppo_on(network, entropy_weight=2.0), actions=[0, 1], ratios=[1.0, 1.0], advantages=[0.0, 0.0])
    expected = [-2 * slope for slope in bandits.entropy_ascent(QUARTERS)]
    assert expected[0] < 0  # the rarer action gains
    assert network.policy_head.bias.grad.tolist() == pytest.approx(expected, abs=1e-6)


# Its estimates; the network says V = 8 of every observation, so of the last ones and of the cut one; γ = 1/2


def test_ppo_estimates_advantages_and_targets_of_a_rollout():
    learner = ppo_on(bandit_network((0.5, 0.5), value=8.0), gamma=0.5, gae_lambda=0.0)
    advantages, targets = estimate(learner, short_rollout())
    assert advantages == [5 - 1, -2 + 4 / 2 - 2, 5 / 2 - 3, 3 + 4 - 4, 7 + 4 - 5, 0.5 + 4 - 6]
    assert targets == [5.0, 0.0, 2.5, 7.0, 11.0, 4.5]


def test_ppos_target_is_the_λ_return():
    # with λ = 1/2, γλ = 1/4: A_0 of world 1 is δ_0 + δ_1 / 4 = −2 + 3 / 4, and of world 0 at step 1 −0.5 + 6 / 4
    learner = ppo_on(bandit_network((0.5, 0.5), value=8.0), gamma=0.5, gae_lambda=0.5)
    advantages, targets = estimate(learner, short_rollout())
    assert advantages == [4.0, -2 + 3 / 4, -0.5 + 6 / 4, 3.0, 6.0, -1.5]
    assert targets == [5.0, 2 - 2 + 3 / 4, 3 - 0.5 + 6 / 4, 7.0, 11.0, 4.5]


# Its passes


def test_ppo_visits_every_step_once_an_epoch(monkeypatch):
    learner = ppo_on(bandit_network((0.5, 0.5)), epochs=3, minibatches=2)
    visited, plain = [], ppo.loss

    def spy(learner, minibatch):
        visited.append(minibatch.targets.tolist())
        return plain(learner, minibatch)

    monkeypatch.setattr(ppo, "loss", spy)
    batch = short_rollout()
    _, targets = estimate(learner, batch)
    learner.update(batch)
    assert [len(rows) for rows in visited] == [3] * 6
    for first, second in zip(visited[::2], visited[1::2], strict=True):
        assert sorted(first + second) == sorted(targets)
    assert len({tuple(rows) for rows in visited}) > 2  # shuffled anew each epoch


def test_a_steps_fields_stay_together_when_the_steps_are_shuffled(monkeypatch):
    network = bandits.fresh_network()
    learner = ppo_on(network, minibatches=4, gae_lambda=1.0)
    batch = bandits.played(network)
    s = seen(learner, batch)
    rows = zip(s.obs.flatten().tolist(), s.actions.flatten().tolist(), s.log_probs.flatten().tolist(), strict=True)
    estimates = zip(*estimate(learner, batch), strict=True)
    whole = {(*row, *estimated) for row, estimated in zip(rows, estimates, strict=True)}
    visited, plain = [], ppo.loss

    def spy(learner, m):
        columns = (m.seen[:, 0], m.actions, m.old_log_probs, m.advantages, m.targets)
        visited.extend(zip(*(column.tolist() for column in columns), strict=True))
        return plain(learner, m)

    monkeypatch.setattr(ppo, "loss", spy)
    learner.update(batch)
    assert len(whole) == len(visited) == 24
    assert set(visited) == whole


def test_the_explained_variance_is_one_for_a_value_that_knows_and_zero_for_one_that_does_not():
    def explained(values):
        network = bandit_network((0.5, 0.5))
        batch = bandits.bandit_batch(network, [0, 1, 0], [1.0, 2.0, 6.0])
        batch.memory.value[:] = values
        return ppo_on(network).update(batch)["value/explained_variance"]

    assert explained([1.0, 2.0, 6.0]) == pytest.approx(1)
    assert explained([3.0, 3.0, 3.0]) == pytest.approx(0, abs=1e-6)
    assert explained([0.5, 1.0, 3.0]) == pytest.approx(0.75)  # half of every target: a quarter of the variance is left


# Where it is A2C


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_epoch_of_one_mini_batch_without_a_clip_has_a2cs_gradient(seed):
    first, second = bandits.fresh_network(seed=seed), bandits.fresh_network(seed=seed)
    batch = bandits.played(first, seed=seed)
    same = {"gae_lambda": 1.0, "value_weight": 0.5, "entropy_weight": 0.1, "gamma": 0.9}
    learner_on(ppo, first, clip=1e6, **same).update(batch)
    learner_on(a2c, second, critic="mc", **same).update(batch)
    expected = gradients(second)
    assert len(expected) == len(list(first.parameters()))
    assert all(gradient.abs().max() > 1e-4 for gradient in expected.values())
    torch.testing.assert_close(gradients(first), expected)


# What it refuses


def config(**options):
    return ppo.Config(Schedule(100), World("CartPole-v1", "gymnasium", 3), **options)


def test_ppo_refuses_mini_batches_that_do_not_divide_the_batch():
    with pytest.raises(BadInputError, match=r"batch of 15 steps \(horizon 5 × 3 worlds\).* 4 equal mini-batches"):
        config(horizon=5, minibatches=4)


def test_ppo_refuses_to_standardise_mini_batches_of_one_step():
    with pytest.raises(BadInputError, match="mini-batches of one step cannot be standardised; 15 of 15"):
        config(horizon=5, minibatches=15)
    assert config(horizon=5, minibatches=15, standardise=False).minibatches == 15


def test_a_clip_that_falls_with_a_learning_rate_that_stays_is_refused():
    with pytest.raises(BadInputError, match=r"anneal_clip .* use --anneal"):
        config(horizon=4, minibatches=4, anneal=False, anneal_clip=True)
