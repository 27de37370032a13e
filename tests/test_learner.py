"""What every policy gradient has from its Learner: rewards, rates, players, and a state that goes on."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

import bandits
from bandits import QUARTERS, bandit_batch, bandit_network, gradients, learner_on, short_rollout
from sparring.agents import a2c, impala, ppo, reinforce
from sparring.agents.learner import seen
from sparring.agents.protocol import Schedule
from sparring.envs.errors import BadInputError, DivergedError
from sparring.envs.worlds import World

pytestmark = pytest.mark.usefixtures("one_thread")
every = pytest.mark.parametrize(
    "module", [reinforce, a2c, ppo, impala], ids=lambda module: module.__name__.split(".")[-1]
)


def blank(rows):
    return np.zeros((rows, 1), np.float32)


# Tensors from arrays


def test_a_rollout_becomes_tensors_with_the_value_of_what_truly_followed():
    s = seen(learner_on(a2c, bandit_network((0.5, 0.5), value=8.0)), short_rollout())
    assert s.obs.shape == (3, 2, 1)
    assert s.values.tolist() == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    assert s.next_values.tolist() == [[3.0, 4.0], [5.0, 8.0], [8.0, 8.0]]
    assert s.rewards.tolist() == [[5.0, -2.0], [0.0, 3.0], [7.0, 0.5]]


def test_learners_see_the_sign_of_the_reward_where_the_protocol_clips():
    s = seen(learner_on(a2c, bandit_network((0.5, 0.5)), clip_reward=True), short_rollout())
    assert s.rewards.tolist() == [[1.0, -1.0], [0.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize(("protocol", "clips"), [("ppo2017", True), ("gymnasium", False)])
def test_the_protocol_decides_whether_rewards_are_clipped(protocol, clips):
    env = "CartPole-v1" if protocol == "gymnasium" else "ALE/SpaceInvaders-v5"
    config = a2c.Config(Schedule(100), World(env, protocol, 2))
    assert a2c.experiment(config, seed=0, device="cpu").algorithm.clip_reward == clips


# What all of them do


@pytest.mark.parametrize(("π", "arms"), bandits.BANDITS.items(), ids=str)
@every
def test_every_learner_climbs_the_bandits_true_gradient(module, π, arms):
    network = bandit_network(π, value=0.7)
    steps, ascent = bandits.exactly(π, arms)
    learner_on(module, network, value_weight=0.0).update(bandit_batch(network, **steps))
    sums = 8 if module is impala else 1  # its losses are sums over the steps
    assert network.policy_head.bias.grad.tolist() == pytest.approx([-sums * slope for slope in ascent], abs=1e-5)


@pytest.mark.parametrize(("cut", "target"), [(False, 3.0), (True, 3 + 8 / 2)], ids=["ended", "cut"])
@every
def test_after_a_cut_the_game_is_worth_what_would_have_followed_and_after_its_end_nothing(module, cut, target):
    # r = 3, γ = 1/2, V = 8: the target y is 3 where the game ended and 3 + γ 8 where it was cut
    network = bandit_network(QUARTERS, value=8.0)
    batch = bandit_batch(network, [1], [3.0], cut=cut)
    learner_on(module, network, gamma=0.5, value_weight=1.0).update(batch)
    found = gradients(network)
    assert found["value_head.bias"].tolist() == pytest.approx([8 - target])
    # −(y − V) (e_1 − π), and e_1 − π = (−0.25, 0.25)
    assert found["policy_head.bias"].tolist() == pytest.approx([0.25 * (target - 8), -0.25 * (target - 8)], abs=1e-5)


@pytest.mark.parametrize(("what", "said"), [(0, "observations"), (1, "rewards"), (2, "values")])
@every
def test_a_batch_that_is_not_finite_is_refused_by_its_first_fault_before_a_weight_moves(module, what, said):
    network = bandit_network(QUARTERS)
    before = copy.deepcopy(network.state_dict())
    batch = bandit_batch(network, [0, 1], [1.0, 2.0])
    for table in (batch.obs, batch.rewards, batch.memory.value)[what:]:  # later faults may follow from the first
        table.flat[0] = np.nan
    size = 4 if what == 0 else 2
    with pytest.raises(DivergedError, match=f"^{said} are not finite in 1 of {size} places"):
        learner_on(module, network).update(batch)
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())


@pytest.mark.parametrize("module", [reinforce, a2c])
def test_a_batch_of_one_step_is_not_standardised(module):
    world = World("CartPole-v1", "gymnasium", 1)
    with pytest.raises(BadInputError, match="a batch of one step cannot be standardised; take more worlds or"):
        module.Config(Schedule(100), world, horizon=1, standardise=True)
    assert module.Config(Schedule(100), world, horizon=2, standardise=True).standardise


@every
def test_who_acts_in_bf16_acts_by_the_weights_of_the_last_update_and_of_a_checkpoint(module, monkeypatch):
    """The large layer keeps its weights in bf16 while somebody acts, and no longer."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    world = World("ALE/SpaceInvaders-v5", "ppo2017", 4)
    rate = 0.1 if module is a2c else 1e-3  # its first steps are small, since RMSprop's mean square starts at 1
    config = module.Config(Schedule(640), world, horizon=4, learning_rate=rate, precision="bf16")
    learner, source, _ = module.experiment(config, seed=0, device="cpu")
    fresh = copy.deepcopy({name: part.state_dict() for name, part in learner.parts().items()})
    source.reset(0)
    told = []

    def values(obs):
        with torch.no_grad():
            expected = learner.network(torch.from_numpy(obs))[1].numpy()
        told.append(learner.act(obs).memory.value)
        np.testing.assert_allclose(told[-1], expected, rtol=1e-5, atol=1e-5)

    batch = source.draw(learner)
    values(batch.obs[0])
    for _ in range(4):
        learner.update(batch)
        values(batch.obs[0])
    for name, part in learner.parts().items():
        part.load_state_dict(fresh[name])
    values(batch.obs[0])
    np.testing.assert_array_equal(told[-1], told[0])
    assert np.abs(told[-2] - told[0]).max() > 1e-3  # there was something to notice


# Rates


@every
def test_the_learning_rate_falls_linearly_over_the_updates_of_the_run(module):
    config = module.Config(
        Schedule(16 * 10 - 3), World("CartPole-v1", "gymnasium", 4), horizon=4, learning_rate=0.5, anneal=True
    )

    def rates(config):
        learner, source, _ = module.experiment(config, seed=0, device="cpu")
        source.reset(0)
        batch = source.draw(learner)
        for _ in range(10):
            learner.update(batch)
            yield learner.descent.optimiser.param_groups[0]["lr"]

    assert list(rates(config)) == pytest.approx([0.5 * left / 10 for left in range(10, 0, -1)])
    assert set(rates(replace(config, anneal=False))) == {0.5}


# A state that goes on


@every
def test_a_learner_restored_from_its_parts_learns_on_bit_for_bit(module):
    config = module.Config(Schedule(640), World("CartPole-v1", "gymnasium", 4), horizon=16)
    (first, source, _), (second, _, _) = (module.experiment(config, seed=seed, device="cpu") for seed in (1, 2))
    source.reset(0)
    batch = source.draw(first)
    first.update(batch)
    first.act(batch.obs[0])
    for name, part in first.parts().items():
        second.parts()[name].load_state_dict(copy.deepcopy(part.state_dict()))  # the optimiser's is shared otherwise
    np.testing.assert_array_equal(first.act(batch.obs[0]).actions, second.act(batch.obs[0]).actions)
    assert first.update(batch) == second.update(batch)
    for mine, other in zip(first.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(mine, other)


@every
def test_a_player_acts_like_the_learner_on_dice_of_its_own(module):
    learner = learner_on(module, bandit_network(QUARTERS))
    before = learner.dice.state_dict()["state"].clone()
    first, again, other = (learner.player(seed).act(blank(200)).actions for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert torch.equal(learner.dice.state_dict()["state"], before)
    assert np.mean(first) == pytest.approx(0.75, abs=0.13)  # four standard errors


@every
def test_a_gradient_is_clipped_to_its_greatest_norm_and_told_as_it_was(module):
    def step(max_norm):
        network = bandits.fresh_network()
        metrics = learner_on(module, network, max_gradient_norm=max_norm).update(bandits.played(network))
        return metrics["gradient/norm"], torch.cat([g.flatten() for g in bandits.gradients(network).values()])

    (norm, whole), (told, clipped) = step(1e9), step(0.01)
    assert norm == pytest.approx(whole.norm().item())
    assert told == norm > 0.01
    torch.testing.assert_close(clipped, whole * 0.01 / norm)
