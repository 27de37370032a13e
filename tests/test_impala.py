"""IMPALA's losses: on-policy they are A2C's, off-policy V-trace's; and whole unrolls stay together."""

import numpy as np
import pytest
import torch

import bandits
from bandits import QUARTERS, bandit_batch, bandit_network, gradients, learner_on, short_rollout
from sparring.agents import a2c, impala, returns
from sparring.agents.learner import seen
from sparring.agents.protocol import Schedule
from sparring.envs.errors import BadInputError
from sparring.envs.worlds import World


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_on_policy_its_gradient_is_that_of_a2c_times_the_number_of_steps(seed):
    first, second = bandits.fresh_network(seed=seed), bandits.fresh_network(seed=seed)
    batch = bandits.played(first, seed=seed)
    same = {"gamma": 0.9, "value_weight": 0.5, "entropy_weight": 0.1}
    metrics = learner_on(impala, first, **same).update(batch)
    plain = learner_on(a2c, second, critic="mc", gae_lambda=1.0, **same).update(batch)
    steps = batch.rewards.size
    expected = {name: gradient * steps for name, gradient in gradients(second).items()}
    assert all(gradient.abs().max() > 1e-4 for gradient in expected.values())
    torch.testing.assert_close(gradients(first), expected, rtol=1e-4, atol=1e-4)
    assert metrics["policy/ratio"] == pytest.approx(1)
    assert {name: metrics[name] for name in plain if name != "gradient/norm"} == pytest.approx(
        {name: plain[name] for name in plain if name != "gradient/norm"}, rel=1e-4
    )


def test_off_policy_each_step_counts_by_its_clipped_ratio():
    # π = (1/4, 3/4), but μ took each action half the time: ratios 1/2 and 3/2, so ρ = 1/2 and 1 (ρ̄ = 1)
    network = bandit_network(QUARTERS, value=0.5)
    batch = bandit_batch(network, [0, 1], [2.0, 3.0])
    batch.memory.log_prob[:] = np.log(0.5)
    metrics = learner_on(impala, network, value_weight=0.5).update(batch)
    # v = V + ρ (r − V): the value's pull is Σ (V − v) = −Σ ρ (r − V) = −(0.5 · 1.5 + 2.5)
    assert gradients(network)["value_head.bias"].tolist() == pytest.approx([-0.5 * 3.25])
    # −Σ ρ (r − V) (e_a − π) at action 0: −(0.75 · 0.75 − 2.5 · 0.25)
    assert gradients(network)["policy_head.bias"].tolist() == pytest.approx([0.0625, -0.0625])
    assert metrics["policy/ratio"] == pytest.approx(1.0)


@pytest.mark.parametrize(("ρ_max", "c_max"), [(1.0, 1.0), (2.0, 0.5), (0.5, 3.0)])
def test_its_targets_are_v_trace_of_the_values_and_probabilities_that_the_network_has_now(ρ_max, c_max):
    behaviour, network = bandits.fresh_network(seed=1), bandits.fresh_network(seed=2)
    batch = bandits.played(behaviour, seed=3)
    learner = learner_on(impala, network, gamma=0.9, rho_max=ρ_max, c_max=c_max, entropy_weight=0.3)
    s = seen(learner, batch)
    loss, (policy_loss, value_loss, _, ratio) = impala.loss(learner, s)
    distribution, values = network(s.obs.flatten(0, 1))
    log_probs, values = (table.view_as(s.values) for table in (distribution.log_prob(s.actions.flatten()), values))
    with torch.no_grad():
        cut_values, last = network(torch.from_numpy(batch.cut_obs))[1], network(torch.from_numpy(batch.obs[-1]))[1]
    following = returns.next_values(values.detach(), last, s.cut, cut_values)
    log_ratios = (log_probs - s.log_probs).detach()
    v = returns.vtrace(s.rewards, s.ended, s.cut, values.detach(), following, log_ratios, 0.9, ρ_max=ρ_max, c_max=c_max)
    expected = -(log_probs * v.advantages).mean(), (values - v.targets).square().mean() / 2
    torch.testing.assert_close((policy_loss, value_loss), expected)
    torch.testing.assert_close(loss, 24 * (expected[0] + 0.5 * expected[1] - 0.3 * distribution.entropy().mean()))
    assert ratio.item() == pytest.approx(log_ratios.exp().mean().item())
    assert (log_ratios.abs() > 0.01).any()  # it is off-policy


def test_mini_batches_are_whole_unrolls_each_world_once(monkeypatch):
    network = bandits.fresh_network()
    learner = learner_on(impala, network, minibatches=2, learning_rate=1e-3)
    batch = bandits.played(network)
    s, visited, plain = seen(learner, batch), [], impala.loss

    def spy(learner, part):
        visited.append(part)
        return plain(learner, part)

    monkeypatch.setattr(impala, "loss", spy)
    learner.update(batch)
    assert [part.rewards.shape for part in visited] == [(6, 2), (6, 2)]
    columns = {tuple(column.tolist()): number for number, column in enumerate(s.rewards.T)}
    order = [columns[tuple(column.tolist())] for part in visited for column in part.rewards.T]
    assert sorted(order) == [0, 1, 2, 3]
    for name, field in s._asdict().items():
        together = torch.cat([getattr(part, name) for part in visited], 1)
        torch.testing.assert_close(together, field[:, order], msg=name)


def test_what_follows_the_end_of_an_unroll_is_valued_as_the_update_began():
    # V = 8 of every observation; world 0: 5, then 0 + γ (7 + γ 8); world 1: −2 + γ (3 + γ 8), cut; 0.5 + γ 8; γ = 1/2
    network = bandit_network((0.5, 0.5), value=8.0)
    learner = learner_on(impala, network, gamma=0.5, value_weight=1.0)
    learner.update(short_rollout())
    targets = [5.0, (7 + 4) / 2, 7 + 4, -2 + (3 + 4) / 2, 3 + 4, 0.5 + 4]
    assert gradients(network)["value_head.bias"].tolist() == pytest.approx([sum(8 - target for target in targets)])


def test_worlds_that_do_not_divide_into_mini_batches_are_refused():
    with pytest.raises(BadInputError, match="6 worlds do not divide into 4 equal mini-batches"):
        impala.Config(Schedule(100), World("CartPole-v1", "gymnasium", 6), minibatches=4)
