"""Writing as a world: prefixes grow, judges pay, and any agent can hold the pen."""

import dataclasses

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from sparring.agents import ppo
from sparring.agents.protocol import Schedule
from sparring.envs import tokens
from sparring.envs.errors import BadInputError
from sparring.envs.rollouts import Acts, Rollouts
from sparring.envs.tokens import BLANK, Writing
from sparring.envs.worlds import World, Worlds

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_prefix_grows_by_the_token_that_was_written_and_the_judge_pays_for_it():
    asked = []

    def judge(sentences, written):
        asked.append((sentences.copy().tolist(), written))
        return sentences[:, written - 1] * 10

    world = Writing(2, 5, 2, judge)
    obs, _ = world.reset(seed=0)
    assert obs.tolist() == [[BLANK, BLANK]] * 2
    obs, rewards, terminated, truncated, _ = world.step(np.array([3, 4]))
    assert obs.tolist() == [[3, BLANK], [4, BLANK]]
    assert rewards.tolist() == [30, 40]
    assert not terminated.any()
    obs, rewards, terminated, truncated, info = world.step(np.array([0, 1]))
    assert info["final_obs"].tolist() == [[3, 0], [4, 1]]
    assert obs.tolist() == [[BLANK, BLANK]] * 2
    assert terminated.all()
    assert not truncated.any()
    assert asked == [([[3, BLANK], [4, BLANK]], 1), ([[3, 0], [4, 1]], 2)]


def test_what_is_given_stands_first_and_follows_from_the_seed():
    def world(seed):
        made = Writing(3, 9, 2, lambda sentences, written: np.zeros(3), tokens.sources(9, 4))
        return made.reset(seed=seed)[0]

    assert world(1).shape == (3, 6)
    assert (world(1)[:, :4] > 0).all()
    assert (world(1)[:, 4:] == BLANK).all()
    assert world(1).tolist() == world(1).tolist()
    assert world(1).tolist() != world(2).tolist()


@pytest.mark.parametrize(("task", "answer"), [("copy", [1, 2, 3, 4]), ("reverse", [4, 3, 2, 1])])
def test_a_teacher_pays_a_share_for_each_token_that_is_right(task, answer):
    world = gymnasium.make(tokens.TASKS[task]).unwrapped
    world.reset(seed=0)
    world.writing.sentences[0, :4] = [1, 2, 3, 4]
    steps = [world.step(np.int64(token)) for token in [answer[0], 0, answer[2], answer[3]]]
    assert [step[1] for step in steps] == [0.25, 0, 0.25, 0.25]
    assert [step[2] for step in steps] == [False, False, False, True]
    assert steps[-1][0].tolist() == [1, 2, 3, 4, answer[0], 0, answer[2], answer[3]]


@pytest.mark.parametrize("name", tokens.TASKS.values())
def test_a_task_is_a_world_as_gymnasium_wants_them(name):
    check_env(gymnasium.make(name).unwrapped, skip_render_check=True)


class Clerk:
    """Writes the answer to `reverse`."""

    def act(self, obs, *, greedy=False):
        written = (obs[0] != BLANK).sum() - 4
        return Acts(obs[:, 3 - written], ())


def test_a_rollout_holds_whole_sentences():
    judge = tokens.teacher(tokens.reversed_order, 4)
    source = Rollouts([Worlds(Writing(3, 8, 4, judge, tokens.sources(8, 4)))], 4)
    source.reset(5)
    batch = source.draw(Clerk())
    assert batch.rewards.sum(0).tolist() == [1, 1, 1]
    assert batch.terminated.tolist() == [[False] * 3] * 3 + [[True] * 3]
    assert (batch.obs[3][:, 4:7] == batch.actions[:3].T).all()
    assert source.report().metrics["game/score"] == [1, 1, 1]


def test_an_agent_that_knows_nothing_of_sentences_learns_to_copy():
    config = dataclasses.replace(
        ppo.PRESETS["cartpole"].config,
        schedule=Schedule(steps=24_000),
        world=World(tokens.TASKS["copy"], "gymnasium", 16),
        horizon=32,
        learning_rate=3e-3,
        gamma=0.0,  # what is written earns at once
        entropy_weight=0.01,
        minibatches=4,
        epochs=8,
    )
    learner, source, _ = ppo.experiment(config, seed=0, device="cpu")
    source.reset(0)
    for _ in range(45):
        learner.update(source.draw(learner))
    scores = source.report().metrics["game/score"]
    assert np.mean(scores) > 0.6  # chance: 1/8


def test_a_vocabulary_of_one_is_refused():
    with pytest.raises(BadInputError, match="a sentence of 4 tokens from a vocabulary of 1: it takes at least 1, and"):
        Writing(1, 1, 4, lambda sentences, written: np.zeros(1))
