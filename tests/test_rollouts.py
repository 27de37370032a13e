"""Rollouts of a world that counts, so that every number in a batch is known beforehand.

Game g of `Count` lasts 1 + g % 3 steps; it terminates where g is even and is truncated where g is odd. What it shows is
(home, g, steps so far); a world seeded with s calls s its home and starts with game s. Each step pays 1 + action.
"""

import json
from typing import Any, NamedTuple

import gymnasium
import hypothesis.strategies as st
import numpy as np
import pytest
from ale_py.vector_env import AtariVectorEnv
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from hypothesis import given, settings

from sparring.envs import worlds as door
from sparring.envs.atari import AtariWorlds
from sparring.envs.errors import BadInputError
from sparring.envs.rollouts import Acts, Rollouts
from sparring.envs.worlds import World, Worlds

fuzz = settings(deadline=None, derandomize=True)


class Count(gymnasium.Env):
    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own convention
    observation_space = Box(0, 1000, (3,), np.float32)
    action_space = Discrete(3)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.home, self.game = seed, seed - 1
        self.game, self.count = self.game + 1, 0
        return self.show(), {}

    def step(self, action):
        self.count += 1
        over = self.count == 1 + self.game % 3
        return self.show(), 1.0 + action, over and self.game % 2 == 0, over and self.game % 2 == 1, {}

    def show(self):
        return np.array([self.home, self.game, self.count], np.float32)


class Both(Count):
    """Its games terminate in the very step in which time runs out."""

    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, reward, terminated or truncated, terminated or truncated, info


for world in (Count, Both):
    gymnasium.register(f"rollouts/{world.__name__}-v0", world)


class Seen(NamedTuple):
    game: Any  # [N]
    whole: Any  # [N, 3]


class Reader:
    """Acts by what it sees, so that equal actions mean equal observations; remembers two things."""

    def __init__(self, actions=3):
        self.actions = actions

    def act(self, obs, *, greedy=False):
        numbers = obs.reshape(len(obs), -1).astype(np.int64)
        return Acts(
            (numbers * (1 + np.arange(numbers.shape[1]) % 7)).sum(1) % self.actions, Seen(numbers[:, 1], numbers)
        )


class Thrower:
    """Throws dice and remembers nothing."""

    def __init__(self, seed, actions=3):
        self.random = np.random.default_rng(seed)
        self.actions = actions

    def act(self, obs, *, greedy=False):
        return Acts(self.random.integers(self.actions, size=len(obs)), ())


class Always:
    """Plays action 0."""

    def act(self, obs, *, greedy=False):
        return Acts(np.zeros(len(obs), int), ())


def counting(worlds, horizon, env="rollouts/Count-v0"):
    return Rollouts([door.build(World(env, "gymnasium", worlds), training=True)], horizon)


def running(source, field):
    """A field of all games in progress, [N]."""
    return np.concatenate([getattr(group, field) for group in source.groups])


def assert_same(first, second):
    """Two batches, memories included, hold the same."""
    for name, mine, other in zip(first._fields, first, second, strict=True):
        if name == "memory":
            assert type(mine) is type(other)
            for field, other_field in zip(mine, other, strict=True):
                np.testing.assert_array_equal(field, other_field)
        else:
            np.testing.assert_array_equal(mine, other, err_msg=name)
            assert mine.dtype == other.dtype


def test_one_world_by_hand():
    source = counting(1, horizon=6)
    source.reset(2)
    batch = source.draw(Always())
    shown = [(2, 2, 0), (2, 2, 1), (2, 2, 2), (2, 3, 0), (2, 4, 0), (2, 4, 1), (2, 5, 0)]
    assert batch.obs[:, 0].tolist() == [list(row) for row in shown]
    assert batch.actions[:, 0].tolist() == [0] * 6
    assert batch.rewards[:, 0].tolist() == [1.0] * 6
    assert batch.terminated[:, 0].tolist() == [False, False, True, False, False, True]
    assert batch.truncated[:, 0].tolist() == [False, False, False, True, False, False]
    assert batch.cut_obs.tolist() == [[2, 3, 1]]
    assert source.report().metrics == {"game/score": [3.0, 1.0, 2.0], "game/length": [3.0, 1.0, 2.0]}


def test_games_that_were_cut_stand_in_the_order_of_time_then_world():
    source = counting(4, horizon=3)
    source.reset(1)  # games 1, 2, 3, 4 first: 2, 3, 1 and 2 steps, of which the first and the third are cut
    batch = source.draw(Always())
    # t = 0: home 3 cuts game 3;  t = 1: home 1 cuts game 1;  then games 2, 3, 4, 5 go on, and game 3 begins at home 2
    assert np.argwhere(batch.truncated).tolist() == [[0, 2], [1, 0]]
    assert batch.cut_obs.tolist() == [[3, 3, 1], [1, 1, 2]]
    batch = source.draw(Always())
    # world by world: game 2 ends at t = 1; game 3 is cut at t = 0; game 5 is cut at t = 2; game 5 is cut at t = 1
    assert np.argwhere(batch.truncated).tolist() == [[0, 1], [1, 3], [2, 0], [2, 2]]
    assert batch.cut_obs.tolist() == [[2, 3, 1], [4, 5, 3], [1, 3, 1], [3, 5, 3]]


@fuzz
@given(
    count=st.integers(1, 3),
    horizon=st.integers(1, 8),
    seed=st.integers(0, 6),
    dice=st.integers(0, 99),
    draws=st.integers(1, 3),
)
def test_a_rollout_is_what_stepping_each_world_alone_shows(count, horizon, seed, dice, draws):
    source = counting(count, horizon)
    source.reset(seed)
    lone = [Count() for _ in range(count)]
    now = [world.reset(seed=seed + n)[0] for n, world in enumerate(lone)]
    scores, lengths = [0.0] * count, [0] * count
    actor = Thrower(dice)
    for _ in range(draws):
        batch, cut, finished = source.draw(actor), [], []
        for t, n in np.ndindex(horizon, count):
            np.testing.assert_array_equal(batch.obs[t, n], now[n])
            now[n], reward, terminated, truncated, _ = lone[n].step(int(batch.actions[t, n]))
            scores[n], lengths[n] = scores[n] + reward, lengths[n] + 1
            step = batch.rewards[t, n], batch.terminated[t, n], batch.truncated[t, n]
            assert step == (reward, terminated, truncated)
            if truncated:
                cut.append(now[n])
            if terminated or truncated:
                finished.append((scores[n], float(lengths[n])))
                scores[n], lengths[n] = 0.0, 0
                now[n], _ = lone[n].reset()
        np.testing.assert_array_equal(batch.obs[horizon], now)
        np.testing.assert_array_equal(batch.cut_obs, np.reshape(cut, (-1, 3)))
        metrics = source.report().metrics
        assert list(zip(metrics["game/score"], metrics["game/length"], strict=True)) == finished


def test_shapes_and_types_hold_with_and_without_cut_games():
    source = counting(2, horizon=1)
    source.reset(0)
    for cuts in (0, 1):  # games 0 and 1: the first ends at once, the second is cut a step later
        batch = source.draw(Always())
        assert batch.obs.shape == (2, 2, 3)
        assert batch.actions.shape == batch.rewards.shape == batch.terminated.shape == batch.truncated.shape == (1, 2)
        assert batch.cut_obs.shape[1:] == (3,)
        assert (batch.obs.dtype, batch.cut_obs.dtype, batch.rewards.dtype) == (np.float32,) * 3
        assert (batch.terminated.dtype, batch.truncated.dtype) == (bool, bool)
        assert batch.memory == ()
        assert len(batch.cut_obs) >= cuts
    assert source.steps_per_draw == 2


def test_memories_are_stacked_over_time_beside_what_was_seen():
    source = counting(2, horizon=5)
    source.reset(0)
    batch = source.draw(Reader())
    assert isinstance(batch.memory, Seen)
    np.testing.assert_array_equal(batch.memory.game, batch.obs[:-1, :, 1])
    np.testing.assert_array_equal(batch.memory.whole, batch.obs[:-1])


def test_a_later_draw_leaves_an_earlier_batch_alone():
    source = counting(2, horizon=5)
    source.reset(0)
    batch = source.draw(Reader())
    kept = [array.copy() for array in batch[:5]]
    after = source.draw(Reader())
    np.testing.assert_array_equal(after.obs[0], batch.obs[-1])
    for array, copy in zip(batch, kept, strict=False):
        np.testing.assert_array_equal(array, copy)


def test_a_game_that_ends_as_time_runs_out_has_ended():
    source = counting(1, horizon=6, env="rollouts/Both-v0")
    source.reset(2)
    batch = source.draw(Always())
    assert batch.terminated[:, 0].tolist() == [False, False, True, True, False, True]
    assert not batch.truncated.any()
    assert batch.cut_obs.shape == (0, 3)
    assert source.report().metrics["game/length"] == [3.0, 1.0, 2.0]


class Lives(VectorEnv):
    """Two worlds that follow a script: each row is (rewards, terminated, truncated, life lost), all [2]."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 - Gymnasium's own convention
    num_envs = 2
    single_observation_space = Box(-10, 10, (1,))
    single_action_space = Discrete(2)
    SCRIPT = (
        ((1, 10), (0, 0), (0, 0), (0, 0)),
        ((2, 20), (1, 0), (0, 0), (1, 0)),  # world 0 loses a life and plays on
        ((4, 40), (0, 1), (0, 0), (0, 0)),  # world 1 loses the game
        ((8, 80), (1, 0), (0, 1), (0, 0)),  # world 0 loses the game, world 1 is cut
        ((16, 160), (1, 1), (0, 0), (1, 0)),  # world 0 loses a life while world 1 loses the game
        ((32, 320), (1, 0), (0, 0), (0, 0)),
    )

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return np.full((2, 1), 0.0), {}

    def step(self, actions):
        rewards, terminated, truncated, lost = self.SCRIPT[self.t]
        self.t += 1
        final_obs = np.full((2, 1), -float(self.t))
        info = {"final_obs": final_obs, "life_lost": np.array(lost, bool)}
        flags = np.array(terminated, bool), np.array(truncated, bool)
        return np.full((2, 1), float(self.t)), np.array(rewards, float), *flags, info


def test_a_lost_life_ends_the_return_but_not_the_games_score():
    source = Rollouts([Worlds(Lives())], horizon=6)
    source.reset(0)
    batch = source.draw(Always())
    assert batch.terminated.T.tolist() == [
        [False, True, False, True, True, True],
        [False, False, True, False, True, False],
    ]
    assert batch.cut_obs.tolist() == [[-4.0]]
    assert batch.obs[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]
    # world 1: 10 + 20 + 40, then 80, then 160; world 0: 1 + 2 + 4 + 8, then 16 + 32
    metrics = source.report().metrics
    assert metrics["game/score"] == [70.0, 15.0, 80.0, 160.0, 48.0]
    assert metrics["game/length"] == [3.0, 4.0, 1.0, 1.0, 2.0]


def test_a_report_tells_of_the_last_draw_only_and_counts_games_from_their_start():
    source = counting(1, horizon=2)
    source.reset(2)
    games = []
    for _ in range(3):
        source.draw(Always())
        games.append(source.report().metrics["game/length"])
    assert games == [[], [3.0, 1.0], [2.0]]
    assert set(source.report().seconds) == {"acting", "emulating"}
    assert min(source.report().seconds.values()) > 0


def test_a_reset_forgets_the_games_in_progress():
    source = counting(2, horizon=4)
    source.reset(5)
    first = source.draw(Reader())
    source.draw(Reader())
    source.reset(5)
    assert_same(source.draw(Reader()), first)
    assert source.report().metrics["game/length"] == [1.0, 3.0, 2.0, 1.0]  # games 6, 5, 7, 6
    source.reset(6)
    assert source.draw(Reader()).obs[0, :, 0].tolist() == [6.0, 7.0]


def test_drawing_before_the_first_reset_is_an_error():
    with pytest.raises(RuntimeError, match="reset"):
        counting(1, horizon=2).draw(Always())


@pytest.mark.parametrize("horizon", [0, -3])
def test_a_rollout_has_at_least_one_step(horizon):
    with pytest.raises(BadInputError, match=rf"horizon is {horizon}; .* at least 1"):
        counting(1, horizon)


# Several vectors take turns


def parted(counts, horizon):
    """Vectors of so many counting worlds each."""
    world = World("rollouts/Count-v0", "gymnasium", sum(counts))
    return Rollouts([door.build(world, training=True, count=count) for count in counts], horizon)


@fuzz
@given(st.lists(st.integers(1, 3), min_size=2, max_size=3), st.integers(1, 6), st.integers(0, 6))
def test_worlds_in_several_vectors_draw_what_they_draw_in_one(counts, horizon, seed):
    together, apart = counting(sum(counts), horizon), parted(counts, horizon)
    assert (apart.worlds, apart.steps_per_draw) == (together.worlds, together.steps_per_draw)
    for source in (together, apart):
        source.reset(seed)
    for _ in range(3):
        assert_same(apart.draw(Reader()), together.draw(Reader()))
        np.testing.assert_array_equal(apart.obs, together.obs)
        assert sorted(apart.finished) == sorted(together.finished)
    assert apart.state_dict() == together.state_dict()
    assert_same(resume(together, parted(counts, horizon)).draw(Reader()), together.draw(Reader()))


@fuzz
@given(st.lists(st.integers(1, 3), min_size=2, max_size=3), st.integers(0, 6))
def test_a_single_step_of_several_vectors_is_that_of_one(counts, seed):
    together, apart = counting(sum(counts), 1), parted(counts, 1)
    for source in (together, apart):
        source.reset(seed)
    for actions in np.random.default_rng(seed).integers(3, size=(6, sum(counts))):
        first, second = together.step(actions), apart.step(actions)
        for mine, other in zip(first[:4], second[:4], strict=True):
            np.testing.assert_array_equal(mine, other)
        assert {k: last.tolist() for k, last in first.final_obs.items()} == {
            k: last.tolist() for k, last in second.final_obs.items()
        }
    assert apart.state_dict() == together.state_dict()


def test_while_one_vector_moves_the_actor_thinks_about_the_next():
    diary = []

    class Told(Worlds):
        def __init__(self, name, worlds):
            super().__init__(worlds)
            self.name = name

        def send(self, actions):
            diary.append(f"{self.name} moves")
            super().send(actions)

        def recv(self):
            diary.append(f"{self.name} moved")
            return super().recv()

    class Thinker(Always):
        def act(self, obs, *, greedy=False):
            diary.append(f"think of {len(obs)}")
            return super().act(obs)

    world = World("rollouts/Count-v0", "gymnasium", 3)
    vectors = [Told(name, door.build(world, training=True, count=count)) for name, count in (("a", 1), ("b", 2))]
    source = Rollouts(vectors, horizon=2)
    source.reset(0)
    source.draw(Thinker())
    step = ["a moved", "think of 1", "a moves", "b moved", "think of 2", "b moves"]
    assert diary == [*(entry for entry in step if "moved" not in entry), *step, "a moved", "b moved"]


@pytest.mark.parametrize(
    ("world", "counts"),
    [
        (World("ALE/SpaceInvaders-v5", "ppo2017", 5), [2, 3]),
        (World("ALE/SpaceInvaders-v5", "ppo2017", 1), [1]),
        (World("CartPole-v1", "gymnasium", 5), [5]),
    ],
)
def test_emulators_form_two_vectors_and_worlds_in_our_own_thread_one(world, counts):
    assert [vector.num_envs for vector in door.build_groups(world)] == counts


def test_space_invaders_in_two_vectors_is_space_invaders_in_one():
    world = World("ALE/SpaceInvaders-v5", "machado2018", 3)
    together, apart = (
        Rollouts(vectors, 150) for vectors in ([door.build(world, training=True)], door.build_groups(world))
    )
    assert (len(together.groups), len(apart.groups)) == (1, 2)
    for source in (together, apart):
        source.reset(4)
    assert_same(apart.draw(Reader(18)), together.draw(Reader(18)))


# Going on after a crash


def resume(source, twin):
    """Make `twin` stand where `source` stands, by way of a file's plain text."""
    twin.load_state_dict(json.loads(json.dumps(source.state_dict())))
    return twin


@fuzz
@given(st.integers(1, 3), st.integers(1, 5), st.integers(0, 4), st.integers(0, 9))
def test_a_source_restored_in_the_middle_of_games_goes_on_exactly(count, horizon, draws, seed):
    source, twin = counting(count, horizon), counting(count, horizon)
    twin.reset(seed + 50)
    twin.draw(Reader())  # whatever it did before must not matter
    source.reset(seed)
    for _ in range(draws):
        source.draw(Reader())
    resume(source, twin)
    for _ in range(3):
        assert_same(source.draw(Reader()), twin.draw(Reader()))
        assert source.report().metrics == twin.report().metrics
    assert source.state_dict() == twin.state_dict()


def test_a_restored_source_can_be_saved_and_restored_again():
    source = counting(2, horizon=2)
    source.reset(3)
    source.draw(Reader())
    again = resume(source, counting(2, horizon=2))
    again.draw(Reader())
    source.draw(Reader())
    third = resume(again, counting(2, horizon=2))
    assert_same(third.draw(Reader()), source.draw(Reader()))


def test_right_after_a_reset_the_state_holds_no_actions():
    source = counting(2, horizon=2)
    source.reset(3)
    source.draw(Reader())
    source.reset(4)
    fresh = counting(2, horizon=2)
    fresh.reset(4)
    assert source.state_dict() == fresh.state_dict()
    assert_same(resume(source, counting(2, horizon=2)).draw(Reader()), fresh.draw(Reader()))


@pytest.mark.parametrize("protocol", ["ppo2017", "machado2018"])
def test_space_invaders_goes_on_exactly_from_the_middle_of_a_game(protocol):
    def invaders():
        return Rollouts(door.build_groups(World("ALE/SpaceInvaders-v5", protocol, 2)), 300)

    source, twin = invaders(), invaders()
    actor = Reader(source.action_space.n)
    source.reset(11)
    source.draw(actor)
    assert running(source, "lengths").min() > 0  # no world stands at the start of a game
    resume(source, twin)
    finished = 0
    for _ in range(2):
        assert_same(source.draw(actor), twin.draw(actor))
        assert source.report().metrics == twin.report().metrics
        finished += len(source.report().metrics["game/score"])
    assert finished > 0
    assert running(twin, "scores").tolist() == running(source, "scores").tolist()


def test_the_emulators_last_observation_of_a_cut_game_is_kept_whole():
    emulators = AtariVectorEnv(
        "space_invaders", 3, max_num_frames_per_episode=100, noop_max=30, autoreset_mode=AutoresetMode.SAME_STEP
    )
    source = Rollouts([AtariWorlds(emulators)], 70)
    source.reset(1)
    batch = source.draw(Reader(6))
    where = np.argwhere(batch.truncated)
    assert len(where) >= 6
    for (t, n), last in zip(where, batch.cut_obs, strict=True):
        # four frames are stacked: the older three of what came last are the newer three of what came before
        np.testing.assert_array_equal(last[:-1], batch.obs[t, n, 1:])
        assert (last != batch.obs[t + 1, n]).any()  # which shows the next game already
    assert not batch.terminated.any()
