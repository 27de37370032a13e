"""Stable-Baselines3 under our runner: it learns what its own `learn` learns, to the bit, and sees what worlds mean."""

import copy
import dataclasses
import random
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.utils.env_checker import check_env as gymnasium_check
from gymnasium.vector import AutoresetMode, VectorEnv
from rich.console import Console
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.env_checker import check_env as sb3_check
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike

from sparring.agents import sb3, sb3_a2c, sb3_dqn, sb3_ppo, sb3_replay
from sparring.agents.networks import SpaceError
from sparring.agents.protocol import Schedule
from sparring.envs import worlds as door
from sparring.envs.errors import BadInputError, DivergedError
from sparring.envs.probes import PROBES
from sparring.envs.rollouts import Rollouts
from sparring.envs.worlds import World
from sparring.envs.worlds import Worlds as Vector
from sparring.runners import begin, budget, catalog, job

POLE = World("CartPole-v1", "gymnasium", 2)
INVADERS = World("ALE/SpaceInvaders-v5", "ppo2017", 2)


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks on shared cores: threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def on(world, *, clip_reward=False):
    """SB3's view of a world."""
    return sb3.Worlds(Rollouts([door.build(world, training=True)], 1), clip_reward=clip_reward)


def leaves(value):
    """Everything in a nest, arrays and tensors bit for bit."""
    if isinstance(value, dict):
        return {key: leaves(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [leaves(item) for item in value]
    if isinstance(value, torch.Tensor | np.ndarray):
        array = np.asarray(value)
        return str(array.dtype), array.shape, array.tobytes()
    return value


# ---------------------------------------------------------------------------------------------- SB3's own algorithm

PPO_ARGUMENTS = {
    "n_epochs": 3,
    "gamma": 0.98,
    "gae_lambda": 0.8,
    "ent_coef": 0.02,
    "vf_coef": 0.4,
    "max_grad_norm": 0.3,
}
PPO_CONFIG = {
    "epochs": 3,
    "gamma": 0.98,
    "gae_lambda": 0.8,
    "entropy_weight": 0.02,
    "value_weight": 0.4,
    "max_gradient_norm": 0.3,
}
DQN_ARGUMENTS = {
    "learning_rate": 1e-3,
    "buffer_size": 100,
    "learning_starts": 20,
    "batch_size": 16,
    "train_freq": 4,
    "gradient_steps": 2,
    "target_update_interval": 30,
    "exploration_fraction": 0.5,
    "exploration_final_eps": 0.2,
    "policy_kwargs": {"net_arch": [32, 32]},
}
DQN_CONFIG = {
    "horizon": 16,
    "learning_rate": 1e-3,
    "buffer_size": 100,
    "learning_starts": 20,
    "batch_size": 16,
    "train_every": 4,
    "gradient_steps": 2,
    "target_every": 30,
    "exploration_fraction": 0.5,
    "exploration_final": 0.2,
    "hidden_units": 32,
}
SAVING = {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}}


def short(module, world, updates, **fields):
    """A configuration of `updates` updates on a world."""
    config = module.Config(Schedule(1, games=2), world, **fields)
    return dataclasses.replace(config, schedule=Schedule(updates * config.horizon * world.worlds, games=2))


CASES = {
    "ppo": (
        short(sb3_ppo, POLE, 4, horizon=16, minibatches=2, learning_rate=1e-3, clip=0.2, **PPO_CONFIG),
        lambda worlds, seed: PPO(
            "MlpPolicy",
            worlds,
            n_steps=16,
            batch_size=16,
            learning_rate=lambda left: 1e-3 * left,
            clip_range=lambda left: 0.2 * left,
            seed=seed,
            device="cpu",
            **PPO_ARGUMENTS,
        ),
    ),
    "ppo on Atari": (
        short(sb3_ppo, INVADERS, 2, horizon=8, minibatches=2, anneal=False, anneal_clip=False, standardise=False),
        lambda worlds, seed: PPO(
            "CnnPolicy",
            worlds,
            n_steps=8,
            batch_size=8,
            n_epochs=4,
            learning_rate=2.5e-4,
            clip_range=0.1,
            ent_coef=0.01,
            normalize_advantage=False,
            seed=seed,
            device="cpu",
        ),
    ),
    "a2c": (
        short(sb3_a2c, POLE, 40, rmsprop="torch", value_weight=0.5, entropy_weight=0.0),
        lambda worlds, seed: A2C("MlpPolicy", worlds, seed=seed, device="cpu"),
    ),
    "a2c with TensorFlow's RMSprop": (
        short(sb3_a2c, POLE, 40, anneal=True, gae_lambda=0.9, standardise=True, epsilon=1e-4),
        lambda worlds, seed: A2C(
            "MlpPolicy",
            worlds,
            learning_rate=lambda left: 7e-4 * left,
            gae_lambda=0.9,
            ent_coef=0.01,
            vf_coef=0.25,
            normalize_advantage=True,
            policy_kwargs={"optimizer_class": RMSpropTFLike, "optimizer_kwargs": {"eps": 1e-4}},
            seed=seed,
            device="cpu",
        ),
    ),
    "dqn": (
        short(sb3_dqn, POLE, 6, save_memory=False, **DQN_CONFIG),
        lambda worlds, seed: DQN("MlpPolicy", worlds, seed=seed, device="cpu", **DQN_ARGUMENTS),
    ),
    "dqn that saves memory": (
        short(sb3_dqn, POLE, 6, **DQN_CONFIG),
        lambda worlds, seed: DQN("MlpPolicy", worlds, seed=seed, device="cpu", **DQN_ARGUMENTS, **SAVING),
    ),
}
MODULES = {"ppo": sb3_ppo, "a2c": sb3_a2c, "dqn": sb3_dqn}


@pytest.mark.parametrize("name", CASES)
def test_what_is_learned_is_what_its_own_learn_learns_to_the_bit(name):
    config, stock = CASES[name]
    learner, source, _ = MODULES[name.split()[0]].experiment(config, seed=1, device="cpu")
    before = leaves(learner.model.policy.state_dict())
    source.reset(7)
    for _ in range(config.schedule.steps // source.steps_per_draw):
        learner.update(source.draw(learner))

    worlds = on(config.world, clip_reward=config.world == INVADERS)
    with sb3.Generators(0, "cpu"):  # what SB3 seeds is put back
        theirs = stock(worlds, int(np.random.SeedSequence(1).generate_state(1)[0]))
        worlds.seed(7)
        theirs.learn(config.schedule.steps)
    assert leaves(learner.model.policy.state_dict()) == leaves(theirs.policy.state_dict()) != before
    assert leaves(learner.model.policy.optimizer.state_dict()) == leaves(theirs.policy.optimizer.state_dict())
    assert learner.model.num_timesteps == theirs.num_timesteps == config.schedule.steps


@pytest.mark.parametrize("name", CASES)
def test_it_leaves_the_global_generators_alone(name):
    def present():
        return leaves([random.getstate(), np.random.get_state(legacy=False), torch.get_rng_state()])  # noqa: NPY002

    before = present()
    learner, source, evaluate = MODULES[name.split()[0]].experiment(CASES[name][0], seed=1, device="cpu")
    source.reset(7)
    learner.update(source.draw(learner))
    if "Atari" not in name:
        evaluate(learner)
    assert present() == before


def test_two_learners_in_turn_learn_what_each_learns_alone():
    def begin(seed):
        learner, source, _ = sb3_ppo.experiment(CASES["ppo"][0], seed=seed, device="cpu")
        source.reset(seed)
        return learner, source

    def end(learner):
        return leaves(learner.model.policy.state_dict())

    alone = []
    for seed in (1, 2):
        learner, source = begin(seed)
        for _ in range(2):
            learner.update(source.draw(learner))
        alone.append(end(learner))
    together = [begin(1), begin(2)]
    for _ in range(2):
        for learner, source in together:
            learner.update(source.draw(learner))
    assert [end(learner) for learner, _ in together] == alone


def test_nothing_is_played_before_the_learner_asks():
    learner, source, _ = sb3_ppo.experiment(CASES["ppo"][0], seed=1, device="cpu")
    with pytest.raises(RuntimeError, match="reset"):
        source.draw(learner)
    source.reset(7)
    batch = source.draw(learner)
    assert learner.model.num_timesteps == 0
    learner.update(batch)
    assert learner.model.num_timesteps == source.steps_per_draw == 32


# ---------------------------------------------------------------------------------------------- what SB3 sees


class Lives(VectorEnv):
    """One world whose games last four steps, of which the second costs a life; every step pays 7."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 - Gymnasium's own convention
    num_envs = 1
    single_observation_space = Box(0, 10, (1,), np.float32)
    single_action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.count = 0
        return self.show(), {}

    def step(self, actions):
        self.count += 1
        over, lost = self.count == 4, self.count == 2
        info = {"life_lost": np.array([lost])}
        if over or lost:
            info["final_obs"] = np.array([[4.0 if over else np.nan]], np.float32)
        self.count %= 4
        return self.show(), np.array([7.0]), np.array([over or lost]), np.array([False]), info

    def show(self):
        return np.array([[self.count]], np.float32)


def test_a_lost_life_is_done_and_its_game_goes_on():
    worlds = sb3.Worlds(Rollouts([Vector(Lives())], 1), clip_reward=True)
    assert worlds.reset().tolist() == [[0]]
    seen = [worlds.step(np.array([1])) for _ in range(5)]
    assert [obs.tolist() for obs, *_ in seen] == [[[1]], [[2]], [[3]], [[0]], [[1]]]
    assert [rewards.tolist() for _, rewards, *_ in seen] == [[1.0]] * 5
    assert [done.tolist() for _, _, done, _ in seen] == [[False], [True], [False], [True], [False]]
    infos = [info for *_, (info,) in seen]
    assert [sorted(info) for info in infos] == [
        *[[], [], []],
        ["TimeLimit.truncated", "episode", "terminal_observation"],
        [],
    ]
    assert infos[3]["episode"] == {"r": 28.0, "l": 4, "t": 0.0}  # of the whole game, unclipped
    assert infos[3]["terminal_observation"].tolist() == [4]
    assert infos[3]["TimeLimit.truncated"] is False


def test_the_replay_buffer_holds_the_true_successor_of_a_lost_life():
    worlds = sb3.Worlds(Rollouts([Vector(Lives())], 1), clip_reward=True)
    with sb3.Generators(0, "cpu"):
        model = DQN("MlpPolicy", worlds, buffer_size=8, learning_starts=100, seed=0, device="cpu").learn(8)
    buffer = model.replay_buffer
    assert buffer.observations[:, 0, 0].tolist() == [0, 1, 2, 3] * 2
    assert buffer.next_observations[:, 0, 0].tolist() == [1, 2, 3, 4] * 2
    assert buffer.dones[:, 0].tolist() == [0, 1, 0, 1] * 2
    assert buffer.rewards[:, 0].tolist() == [1] * 8


def test_lives_and_scores_on_space_invaders_are_those_of_the_world():
    world = World("ALE/SpaceInvaders-v5", "ppo2017", 4)
    ours, theirs = Rollouts([door.build(world, training=True)], 1), on(world, clip_reward=True)
    ours.reset(3)
    theirs.seed(3)
    theirs.reset()
    dice, lives, told = np.random.default_rng(0), 0, []
    for _ in range(900):
        actions = dice.integers(6, size=4)
        rewards, terminated, truncated, life_lost, _ = ours.step(actions)
        before = theirs.rollouts.obs.copy()
        held = theirs.rollouts.obs  # SB3 stores an observation after the step that follows it
        obs, clipped, done, infos = theirs.step(actions)
        assert (held == before).all()
        assert (obs == ours.obs).all()
        assert (clipped == np.sign(rewards)).all()
        assert (done == (terminated | truncated)).all()
        lives += int(life_lost.sum())
        told += [(info["episode"]["r"], info["episode"]["l"]) for info in infos if "episode" in info]
        assert not any(infos[n] for n in np.flatnonzero(life_lost))
    assert lives > 4
    assert told == ours.finished != []


class Cut(gymnasium.Env):
    """Games that are cut after three steps of reward 1; what is seen is the step's number."""

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own convention
    observation_space = Box(0, 10, (1,), np.float32)
    action_space = Discrete(2)
    render_mode = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.count += 1
        return np.array([self.count], np.float32), 1.0, False, self.count == 3, {}


gymnasium.register("sb3/Cut-v0", Cut)


@pytest.mark.parametrize(("module", "fields"), [(sb3_ppo, {"minibatches": 1}), (sb3_a2c, {})])
def test_a_game_that_was_cut_goes_on_with_the_value_of_its_last_observation(module, fields):
    config = short(module, World("sb3/Cut-v0", "gymnasium", 1), 1, horizon=6, gamma=0.9, **fields)
    learner, source, _ = module.experiment(config, seed=1, device="cpu")
    source.reset(7)
    next(source.draw(learner))  # played, not yet trained
    with torch.no_grad():
        value = learner.model.policy.predict_values(torch.tensor([[3.0]])).item()
    assert value != 0
    rewards = learner.model.rollout_buffer.rewards[:, 0]
    assert rewards.tolist() == pytest.approx([1, 1, 1 + 0.9 * value] * 2)


@pytest.mark.parametrize(("save_memory", "ended"), [(False, [0, 0, 0]), (True, [0, 0, 1])])
def test_a_cut_game_counts_as_ended_only_where_memory_is_saved(save_memory, ended):
    world = World("sb3/Cut-v0", "gymnasium", 1)
    config = short(sb3_dqn, world, 1, horizon=6, train_every=6, buffer_size=9, save_memory=save_memory)
    learner, source, _ = sb3_dqn.experiment(config, seed=1, device="cpu")
    source.reset(7)
    learner.update(source.draw(learner))
    samples = learner.model.replay_buffer._get_samples(np.arange(6))
    assert samples.dones[:, 0].tolist() == ended * 2
    if not save_memory:
        assert samples.next_observations[:, 0].tolist() == [1, 2, 3] * 2


def test_sb3_judges_whole_games_by_their_raw_score():
    worlds = sb3.Worlds(Rollouts([Vector(Lives())], 1), clip_reward=True)
    with sb3.Generators(0, "cpu"):
        model = A2C("MlpPolicy", worlds, seed=0, device="cpu")
        scores, lengths = evaluate_policy(model, worlds, n_eval_episodes=3, return_episode_rewards=True)
    assert (scores, lengths) == ([28.0] * 3, [4] * 3)


def test_a_reset_without_a_seed_goes_on_from_the_last_one():
    def first(*seeds):
        worlds = on(POLE)
        for seed in seeds:
            if seed is not None:
                worlds.seed(seed)
            obs = worlds.reset()
        return obs.tolist()

    assert first(5, None) == first(5, None) != first(5)
    assert first(None) != first(None)


@pytest.mark.parametrize("call", [lambda w: w.set_attr("x", 1), lambda w: w.env_method("x")])
def test_worlds_of_a_vector_are_not_handled_one_by_one(call):
    with pytest.raises(NotImplementedError, match="one by one"):
        call(on(POLE))


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.id)
def test_our_worlds_pass_the_checkers_of_gymnasium_and_of_sb3(probe):
    world = gymnasium.make(probe.id).unwrapped
    gymnasium_check(world)
    sb3_check(world)


# ---------------------------------------------------------------------------------------------- DQN


@pytest.fixture
def pole():
    """DQN on two poles, 192 steps long."""
    return CASES["dqn"][0]


def test_exploration_falls_linearly_and_then_stays(pole):
    learner, source, _ = sb3_dqn.experiment(pole, seed=1, device="cpu")
    source.reset(7)
    rates = []
    for _ in range(6):
        learner.update(source.draw(learner))
        rates.append(learner.model.exploration_rate)
    assert rates == pytest.approx([1 - 0.8 * steps / 96 for steps in (32, 64, 96)] + [0.2] * 3)


def replayed(learner):
    """All that a replay buffer holds."""
    buffer = learner.model.replay_buffer
    arrays = {name: value for name, value in vars(buffer).items() if isinstance(value, np.ndarray)}
    assert {"observations", "actions", "rewards", "dones"} <= set(arrays)
    return leaves({**arrays, "pos": buffer.pos, "full": buffer.full})


@pytest.mark.parametrize("save_memory", [True, False])
@pytest.mark.parametrize("resets", [1, 2, 5])
@pytest.mark.parametrize("halfway", [True, False])
def test_a_resumed_replay_buffer_is_the_same_to_the_bit(pole, save_memory, resets, halfway):
    """It holds 50 steps of each world: the first case does not fill it, the last forgets whole stretches."""
    config = dataclasses.replace(pole, save_memory=save_memory)
    (learner, source, _), (twin, fresh, _) = (sb3_dqn.experiment(config, seed=seed, device="cpu") for seed in (1, 2))
    for seed in range(resets):
        source.reset(seed)
        learner.update(source.draw(learner))
        learner.update(source.draw(learner))
    if not halfway:
        source.reset(99)
    parts = {**learner.parts(), "source": source}
    saved = copy.deepcopy({name: part.state_dict() for name, part in parts.items()})  # as a file would
    for name, part in {**twin.parts(), "source": fresh}.items():
        part.load_state_dict(saved[name])
    assert replayed(twin) == replayed(learner)
    assert sum(len(stretch["actions"]) for stretch in saved["source"]["past"]) < 50 + 32
    for _ in range(2):
        assert twin.update(fresh.draw(twin)) == learner.update(source.draw(learner))
        fresh.reset(5)
        source.reset(5)
    assert replayed(twin) == replayed(learner)
    assert leaves(fresh.state_dict()) == leaves(source.state_dict())


def test_no_step_leads_from_one_game_into_another_where_pictures_are_stored_once(pole):
    config = dataclasses.replace(pole, save_memory=True)
    learner, source, _ = sb3_dqn.experiment(config, seed=1, device="cpu")
    source.reset(3)
    learner.update(source.draw(learner))
    assert learner.model.replay_buffer.dones[15].tolist() == [0, 0]
    source.reset(2)
    assert learner.model.replay_buffer.dones[15].tolist() == [1, 1]


def test_a_replay_buffer_of_other_worlds_is_refused(pole):
    learner, source, _ = sb3_dqn.experiment(pole, seed=1, device="cpu")
    source.reset(1)
    learner.update(source.draw(learner))
    state = source.state_dict()
    with pytest.raises(BadInputError, match="do not repeat themselves"):
        source.load_state_dict({**state, "shown": state["shown"] + 1})


def test_epsilon_greedy_explores_in_each_world_apart():
    model = sb3_dqn.experiment(CASES["dqn"][0], seed=1, device="cpu").algorithm.model
    obs = np.random.default_rng(0).normal(size=(20_000, 4)).astype(np.float32)
    best, _ = model.policy.predict(obs, deterministic=True)
    player = sb3_replay.EpsilonGreedy(model.policy, 0.3, seed=0)
    assert (player.act(obs, greedy=True).actions == best).all()
    share = (player.act(obs).actions != best).mean()
    assert share == pytest.approx(0.3 / 2, abs=0.01)  # half of what is explored is the best action


# ---------------------------------------------------------------------------------------------- reports


def test_metrics_have_our_names_where_they_mean_the_same():
    said = {
        "train/policy_gradient_loss": 1.0,
        "train/value_loss": 3.0,
        "train/entropy_loss": -0.5,
        "train/clip_fraction": 0.25,
        "train/n_updates": 12.0,
        "train/explained_variance": float("nan"),
        "train/loss": 9.0,
    }
    assert sb3.renamed(said) == {
        "loss/policy": 1.0,
        "loss/value": 1.5,  # SB3's is the mean square, ours half of it
        "policy/entropy": 0.5,
        "policy/clipped": 0.25,
        "train/loss": 9.0,
    }


@pytest.mark.parametrize("name", ["ppo", "a2c"])
def test_the_entropy_of_an_untrained_policy_is_that_of_two_equal_actions(name):
    learner, source, _ = MODULES[name].experiment(CASES[name][0], seed=1, device="cpu")
    source.reset(7)
    metrics = learner.update(source.draw(learner))
    assert metrics["policy/entropy"] == pytest.approx(np.log(2), abs=0.01)
    assert {"loss/policy", "loss/value"} <= set(metrics)


def test_a_report_tells_raw_scores_and_where_the_time_of_a_draw_went():
    config = short(sb3_dqn, POLE, 2, **DQN_CONFIG | {"horizon": 64})
    learner, source, _ = sb3_dqn.experiment(config, seed=1, device="cpu")
    source.reset(7)
    learner.update(source.draw(learner))
    metrics, seconds = source.report()
    assert metrics["game/score"] == metrics["game/length"] != []
    assert set(seconds) == {"drawing", "learning", "acting", "emulating"}
    assert seconds["drawing"] == pytest.approx(seconds["acting"] + seconds["emulating"])
    assert min(seconds.values()) > 0


@pytest.mark.parametrize(
    ("name", "policy"), [("ppo", "stochastic"), ("a2c", "stochastic"), ("dqn", "ε-greedy (ε = 0.2)")]
)
def test_a_judgement_says_how_the_policy_chose_and_is_the_same_twice(name, policy):
    learner, _, evaluate = MODULES[name].experiment(CASES[name][0], seed=1, device="cpu")
    before = leaves({part: state.state_dict() for part, state in learner.parts().items()})
    evaluation = evaluate(learner)
    assert evaluation.protocol["policy"] == policy
    assert evaluate(learner).scores == evaluation.scores
    assert leaves({part: state.state_dict() for part, state in learner.parts().items()}) == before


# ---------------------------------------------------------------------------------------------- spaces and bad input


class Wide(gymnasium.Env):
    """A colour image with its channels last, and a Box of actions."""

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own convention
    observation_space = Box(0, 255, (40, 44, 3), np.uint8)
    action_space = Box(-1, 1, (2,), np.float32)
    render_mode = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action.astype(np.float32))
        return (
            self.np_random.integers(256, size=(40, 44, 3), dtype=np.uint8),
            1.0,
            self.np_random.random() < 0.1,
            False,
            {},
        )


class Endless(Wide):
    action_space = Box(-np.inf, np.inf, (2,), np.float32)


class Starting(Wide):
    action_space = Discrete(3, start=1)


for world in (Wide, Endless, Starting):
    gymnasium.register(f"sb3/{world.__name__}-v0", world)


@pytest.mark.parametrize("module", [sb3_ppo, sb3_a2c])
def test_actor_critics_play_a_box_of_actions_and_see_images_with_channels_last(module):
    config = short(module, World("sb3/Wide-v0", "gymnasium", 2), 2, horizon=8)
    learner, source, _ = module.experiment(config, seed=1, device="cpu")
    assert "Cnn" in type(learner.model.policy).__name__
    source.reset(7)
    assert np.isfinite(list(learner.update(source.draw(learner)).values())).all()
    actions, _ = learner.player(0).act(source.rollouts.obs)
    assert actions.shape == (2, 2)
    assert np.abs(actions).max() <= 1


@pytest.mark.parametrize("module", [sb3_ppo, sb3_a2c])
def test_a_pendulum_is_swung_judged_and_swung_on_after_a_crash(module):
    config = short(module, World("Pendulum-v1", "gymnasium", 2), 4, horizon=8)
    (learner, source, evaluate), (twin, fresh, _) = (module.experiment(config, seed=k, device="cpu") for k in (1, 2))
    source.reset(7)
    learner.update(source.draw(learner))
    parts = {**learner.parts(), "source": source}
    saved = copy.deepcopy({name: part.state_dict() for name, part in parts.items()})  # as a file would
    for name, part in {**twin.parts(), "source": fresh}.items():
        part.load_state_dict(saved[name])
    assert twin.update(fresh.draw(twin)) == learner.update(source.draw(learner))
    assert leaves(fresh.state_dict()) == leaves(source.state_dict())
    assert -2000 < evaluate(learner).metrics["score"] < 0


@pytest.mark.parametrize(("name", "rate", "update"), [("ppo", 1e30, 0), ("a2c", 1e38, 1), ("dqn", 1e30, 1)])
def test_a_learner_that_diverges_says_so(name, rate, update):
    """Actor-critics fail when they draw from what is no distribution any more; DQN reports a loss that is no number."""
    config = dataclasses.replace(CASES[name][0], learning_rate=rate)
    learner, source, _ = MODULES[name].experiment(config, seed=1, device="cpu")
    source.reset(7)
    for _ in range(update):
        learner.update(source.draw(learner))
    if name == "dqn":
        assert not np.isfinite(learner.update(source.draw(learner))["train/loss"])
    else:
        with pytest.raises(DivergedError, match="the weights became nan or inf"):
            learner.update(source.draw(learner))


@pytest.mark.parametrize(
    ("module", "env", "fields", "told"),
    [
        (sb3_dqn, "Pendulum-v1", {}, ["Box(-1.0, 1.0", "Discrete", "sb3-ppo and sb3-a2c handle a Box"]),
        (sb3_ppo, "sb3/Endless-v0", {}, ["-inf", "a Box with finite bounds"]),
        (sb3_a2c, "sb3/Starting-v0", {}, ["start=1", "counted from 0"]),
        (sb3_ppo, "CartPole-v1", {"network": "nature"}, ["Box(", "'nature' handles uint8 images", "try 'mlp'"]),
    ],
)
def test_spaces_that_cannot_be_handled_are_named(module, env, fields, told):
    config = short(module, World(env, "gymnasium", 2), 1, **fields)
    with pytest.raises(SpaceError) as caught:
        module.experiment(config, seed=1, device="cpu")
    assert [piece for piece in told if piece not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("module", "fields", "told"),
    [
        (sb3_ppo, {"minibatches": 3}, "256 steps .horizon 128 × 2 worlds. does not divide into 3"),
        (sb3_ppo, {"minibatches": 256}, "mini-batches of one step cannot be standardised; 256 of 256"),
        (sb3_ppo, {"minibatches": 0}, "minibatches is 0"),
        (sb3_a2c, {"gae_lambda": 1.5}, "gae_lambda is 1.5"),
        (sb3_a2c, {"horizon": 1, "standardise": True, "world": dataclasses.replace(POLE, worlds=1)}, "one step"),
        (sb3_dqn, {"horizon": 10, "train_every": 4}, "horizon is 10, which .* train_every = 4"),
        (sb3_dqn, {"buffer_size": 3}, "buffer_size is 3; 2 worlds need at least 2 steps each"),
        (sb3_dqn, {"target_every": 1}, "target_every is 1, but 2 worlds play 2 steps at once"),
        (sb3_dqn, {"exploration_final": 2.0}, "exploration_final is 2"),
        (sb3_dqn, {"gradient_steps": 0}, "gradient_steps is 0"),
        (sb3_ppo, {"horizon": 0}, "horizon is 0"),
        (sb3_ppo, {"world": dataclasses.replace(POLE, worlds=0)}, "worlds is 0"),
    ],
)
def test_numbers_that_cannot_be_are_named(module, fields, told):
    with pytest.raises(BadInputError, match=told):
        module.experiment(module.Config(Schedule(1000), **{"world": POLE, **fields}), seed=1, device="cpu")


@pytest.mark.parametrize(
    ("save_memory", "told"), [(True, "lower --buffer-size$"), (False, "halve it with --save-memory$")]
)
def test_a_replay_buffer_that_no_machine_holds_is_refused(save_memory, told):
    config = short(sb3_dqn, INVADERS, 1, buffer_size=10**11, save_memory=save_memory)
    with pytest.raises(BadInputError, match=told) as caught:
        sb3_dqn.experiment(config, seed=1, device="cpu")
    assert f"100,000,000,000 steps takes {10**11 * 4 * 84 * 84 * (2 - save_memory) / 1e9:,.1f} GB" in str(caught.value)


def test_the_atari_preset_of_dqn_takes_as_much_memory_as_it_says():
    preset = sb3_dqn.PRESETS["atari-10m"]
    buffer = sb3_dqn.experiment(preset.config, seed=1, device="cpu").algorithm.model.replay_buffer
    needed = sum(value.nbytes for value in vars(buffer).values() if isinstance(value, np.ndarray))
    assert f"{needed / 1e9:.1f} GB" == "2.8 GB"
    assert "2.8 GB" in preset.summary


def test_noise_of_sb3_does_not_reach_the_user():
    """It advises against a device that is not the CPU; a warning is an error here. `meta` is a device that all have."""
    config = short(sb3_ppo, POLE, 1)
    assert sb3_ppo.experiment(config, seed=1, device="meta").algorithm.model.device.type == "meta"


def test_neither_listings_nor_other_algorithms_import_sb3():
    script = """
import sys
from sparring.runners import begin, catalog
for name in catalog.algorithms():
    assert catalog.load(name).PRESETS
print("torch" in sys.modules, "stable_baselines3" in sys.modules)
"""
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert said.split() == ["True", "False"]


def test_a_small_network_learns_on_one_thread():
    plan = job.Job.plan("sb3-ppo", catalog.load("sb3-ppo").PRESETS["cartpole"].config, seed=0, device="cpu")
    assert job.with_fitting_threads(plan, plan.build()).threads == 1


def test_a_budget_in_minutes_is_measured_while_learning(monkeypatch):
    """The first steps of DQN are random play, which is many times faster than what follows."""
    measured = []
    monkeypatch.setattr(budget, "steps_in", lambda minutes, build: measured.append(build()) or 640)
    plan = job.Job.plan("sb3-dqn", CASES["dqn"][0], seed=0, device="cpu")
    within = begin.within(5, plan, Console(quiet=True))
    assert measured[0].algorithm.model.learning_starts == 0
    assert within.config == dataclasses.replace(plan.config, schedule=Schedule(640, games=2))
    assert within.config.learning_starts == 20
