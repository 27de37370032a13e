"""Atari worlds: the emulation is Gymnasium's own frame by frame, and every sharp edge of the vector class is known.

The oracle is Gymnasium's `AtariPreprocessing` and `FrameStackObservation` on the registered single world. It is given
what the vector class draws for itself, and nothing else: the raw seed (Gymnasium hashes seeds) and the number of frames
that the opening of each game takes.
"""

import os
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import cv2
import gymnasium
import numpy as np
import pytest
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation

from sparring.envs import atari
from sparring.envs.worlds import World, build

INVADERS = "ALE/SpaceInvaders-v5"
BREAKOUT = "ALE/Breakout-v5"  # nothing moves before FIRE is pressed, and a game that nobody serves never ends
PPO2017, MNIH2015, MACHADO2018 = (atari.PROTOCOLS[name] for name in ("ppo2017", "mnih2015", "machado2018"))
STICKY = replace(PPO2017, name="sticky", sticky=0.25)  # FIRE and sticky together, which no preset has


def opened(rules, count=1, *, training=False, env=INVADERS):
    """Worlds that close at the end of a `with`."""
    return closing(atari.make(env, rules, count, training=training))


def random_actions(worlds, steps):
    """[T, N] uniform over the buttons."""
    return np.random.default_rng(0).integers(worlds.single_action_space.n, size=(steps, worlds.num_envs))


def shown(obs, info, over):
    """[N, 4, 84, 84]: what each world showed after the step, before any autoreset."""
    return np.where(over[:, None, None, None], info["final_obs"], obs) if over.any() else obs


def opening(info, k):
    """What the oracle must be told of world k's game at its reset."""
    return {"frames": info["episode_frame_number"][k]}


class Opening(gymnasium.Wrapper):
    """Seeds the emulator with the raw seed and opens a game as the vector class does, in a given number of frames."""

    def __init__(self, env, buttons):
        super().__init__(env)
        self.buttons = buttons

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.unwrapped.ale.setInt("random_seed", seed)
            self.unwrapped.load_game()
        obs, info = self.env.reset()
        for button in self.buttons:
            obs, *_, info = self.env.step(self.unwrapped.get_action_meanings().index(button))
        while info["episode_frame_number"] < options["frames"]:
            obs, *_, info = self.env.step(0)
        return obs, info


def frame_by_frame(rules, env=INVADERS, buttons=None, **settings):
    """Gymnasium's single world, one frame a step."""
    world = gymnasium.make(
        env,
        frameskip=1,
        repeat_action_probability=rules.sticky,
        full_action_space=rules.full_action_space,
        disable_env_checker=True,
        **settings,
    )
    return Opening(world, ["FIRE"] * rules.fire_reset if buttons is None else buttons)


def oracle(rules, *, padding="zero", **settings):
    """Gymnasium's own preprocessing; no idle frames of its own."""
    world = AtariPreprocessing(frame_by_frame(rules, **settings), noop_max=0, frame_skip=rules.frame_skip)
    return FrameStackObservation(world, 4, padding_type=padding)


def play(worlds, seed, actions):
    """Observations [T + 1, N, …], and rewards, terminated, truncated and life_lost [T, N]."""
    obs = [worlds.reset(seed=seed)[0]]
    facts = []
    for row in actions:
        picture, *rest, info = worlds.step(row)
        obs.append(picture)
        facts.append([*rest, info["life_lost"]])
    return [np.stack(obs), *(np.stack(fact) for fact in zip(*facts, strict=True))]


class Game(NamedTuple):
    """The first game of a single world under random actions."""

    opening: dict
    actions: np.ndarray  # [T]
    rewards: list  # [T]
    final_obs: np.ndarray  # [4, 84, 84]


def first_game(worlds, seed):
    _, info = worlds.reset(seed=seed)
    frames, rewards, over, actions = opening(info, 0), [], False, random_actions(worlds, 2000)
    while not over:
        _, reward, terminated, truncated, info = worlds.step(actions[len(rewards)])
        rewards.append(int(reward[0]))
        over = terminated[0] or truncated[0]
    return Game(frames, actions[: len(rewards), 0], rewards, info["final_obs"][0])


def shrink(screen):
    """[210, 160] → [84, 84]"""
    return cv2.resize(screen, (84, 84), interpolation=cv2.INTER_AREA)


# --- the emulation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "seed"),
    [(PPO2017, 1), (MNIH2015, 20), (MACHADO2018, 7), (STICKY, 17)],
    ids=lambda case: getattr(case, "name", None),
)
def test_every_transition_is_gymnasiums(rules, seed):
    """Whole stacks, rewards, ends, lives and frame counts, through the end of a game and into the next one."""
    games = np.zeros(2, int)
    with opened(rules, 2) as worlds:
        obs, info = worlds.reset(seed=seed)
        oracles = [oracle(rules) for _ in range(2)]
        for k, single in enumerate(oracles):
            np.testing.assert_array_equal(obs[k], single.reset(seed=seed + k, options=opening(info, k))[0])
        for actions in random_actions(worlds, 500):
            obs, rewards, terminated, truncated, info = worlds.step(actions)
            pictures = shown(obs, info, terminated | truncated)
            for k, single in enumerate(oracles):
                picture, *facts, known = single.step(int(actions[k]))
                assert [rewards[k], terminated[k], truncated[k]] == facts
                np.testing.assert_array_equal(pictures[k], picture)
                if terminated[k]:
                    games[k] += 1
                    picture, known = single.reset(options=opening(info, k))
                    np.testing.assert_array_equal(obs[k], picture)
                for fact in ("lives", "episode_frame_number", "frame_number"):
                    assert info[fact][k] == known[fact]
    assert games.all()


@pytest.mark.parametrize(
    ("rules", "env"),
    [(PPO2017, INVADERS), (MACHADO2018, INVADERS), (PPO2017, BREAKOUT), (MNIH2015, BREAKOUT)],
    ids=lambda case: getattr(case, "name", case),
)
def test_pictures_show_the_same_game_in_colour(rules, env):
    """A whole game, frame by frame: it earns what the vector world earned, and its screens are the pictures."""
    seed = 1
    with opened(rules, env=env) as worlds:
        game = first_game(worlds, seed)
    single = frame_by_frame(rules, env)
    screen, _ = single.reset(seed=seed, options=game.opening)
    pictures = atari.pictures(env, rules, seed, game.actions)
    np.testing.assert_array_equal(next(pictures), screen)
    over = False
    for action, reward, picture in zip(game.actions, game.rewards, pictures, strict=True):
        assert not over
        for _ in range(4):
            before = screen
            if not over:
                screen, earned, over, *_ = single.step(action)
                reward -= earned
        assert reward == 0
        np.testing.assert_array_equal(picture, np.maximum(before, screen))
    assert over
    assert (picture.shape, picture.dtype) == ((210, 160, 3), np.uint8)


def test_world_k_of_a_seed_is_the_first_world_of_the_kth_seed_after_it():
    with opened(STICKY, 3) as together:
        actions = random_actions(together, 200)
        seen = play(together, 5, actions)
    for k in range(3):
        with opened(STICKY) as alone:
            for one, many in zip(play(alone, 5 + k, actions[:, k : k + 1]), seen, strict=True):
                np.testing.assert_array_equal(one[:, 0], many[:, k])


def test_the_number_of_threads_changes_nothing(monkeypatch):
    seen = []
    for threads in (1, 2):
        monkeypatch.setattr(atari, "AtariVectorEnv", partial(AtariVectorEnv, num_threads=threads))
        with opened(STICKY, 4, training=True) as worlds:
            seen.append(play(worlds, 0, random_actions(worlds, 200)))
    for one, two in zip(*seen, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="this system has no batch class")
def test_emulators_move_in_threads_that_wait_their_turn():
    def threads() -> set[int]:
        return {int(task) for task in os.listdir("/proc/self/task")}

    before = threads()
    with closing(build(World("ALE/SpaceInvaders-v5", "ppo2017"), training=True)):
        begun = threads() - before
        assert begun
        assert {os.sched_getscheduler(thread) for thread in begun} == {os.SCHED_BATCH}
    assert os.sched_getscheduler(0) != os.SCHED_BATCH  # those who think are as they were


@pytest.mark.parametrize(
    ("rules", "one_game"),
    [(PPO2017, True), (MNIH2015, True), (MACHADO2018, False)],
    ids=lambda case: getattr(case, "name", ""),
)
def test_only_sticky_actions_tell_two_seeds_apart(rules, one_game):
    """Without idle frames; the vector class and the registered id disagree on what is sticky by default."""
    with opened(replace(rules, noop_max=0), 2) as worlds:
        actions = np.repeat(random_actions(worlds, 300)[:, :1], 2, axis=1)
        obs, *_ = play(worlds, 0, actions)
    assert np.array_equal(obs[:, 0], obs[:, 1]) == one_game


def test_pictures_handed_out_are_never_overwritten():
    """Rollouts keep views of `final_obs` while the worlds play on."""
    kept, copies = [], []
    with opened(replace(PPO2017, max_frames=20), 2) as worlds:
        kept.append(worlds.reset(seed=0)[0])
        copies.append(kept[-1].copy())
        for actions in random_actions(worlds, 100):
            obs, _, _, truncated, info = worlds.step(actions)
            kept += [obs, info["final_obs"]] if truncated.any() else [obs]
            copies += [array.copy() for array in kept[len(copies) :]]
    for array, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


# --- differences from Gymnasium --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("buttons", "same"), [(["FIRE"], True), (["NOOP"] * 11 + ["FIRE"], False), ([], False)], ids=["first", "last", "no"]
)
def test_fire_comes_before_the_idle_frames(buttons, same):
    """Breakout, as Space Invaders looks the same either way: an early FIRE has the ball in play."""
    with opened(PPO2017, env=BREAKOUT) as worlds:
        obs, info = worlds.reset(seed=1)
    assert info["episode_frame_number"] == 12
    single = oracle(PPO2017, env=BREAKOUT, buttons=buttons)
    assert np.array_equal(obs[0], single.reset(seed=1, options={"frames": 12})[0]) == same


def test_idle_frames_are_0_to_noop_max_less_1_and_fire_is_one_of_them():
    drawn = []
    for rules in (MNIH2015, PPO2017, MACHADO2018):
        with opened(rules) as worlds:
            infos = [worlds.reset(seed=0)[1]] + [worlds.reset()[1] for _ in range(200)]
            drawn.append(np.array([info["episode_frame_number"][0] for info in infos]))
    idle, with_fire, none = drawn
    assert set(idle) == set(range(30))
    np.testing.assert_array_equal(with_fire, np.maximum(idle, 1))
    assert not none.any()


@pytest.mark.parametrize(("fire", "noop_max", "frames"), [(False, 0, 0), (False, 1, 0), (True, 0, 1), (True, 1, 1)])
def test_the_shortest_openings(fire, noop_max, frames):
    with opened(replace(PPO2017, fire_reset=fire, noop_max=noop_max), 2) as worlds:
        assert worlds.reset(seed=0)[1]["episode_frame_number"].tolist() == [frames] * 2


def test_gymnasium_draws_one_idle_frame_more():
    """noop_max = 1: always one frame there, always none here."""
    single = gymnasium.make(INVADERS, frameskip=1, disable_env_checker=True)
    _, info = AtariPreprocessing(single, noop_max=1).reset(seed=0)
    assert info["episode_frame_number"] == 1


def test_the_stack_starts_with_zeros_where_gymnasium_repeats_the_first_picture():
    with opened(PPO2017) as worlds:
        obs, info = worlds.reset(seed=0)
        single = oracle(PPO2017, padding="reset")
        repeated, _ = single.reset(seed=0, options=opening(info, 0))
        for filled in range(1, 5):
            assert repeated.any(axis=(1, 2)).all()
            assert not obs[0, : 4 - filled].any()
            np.testing.assert_array_equal(obs[0, 4 - filled :], repeated[4 - filled :])
            obs, *_ = worlds.step(np.array([1]))
            repeated, *_ = single.step(1)
        np.testing.assert_array_equal(obs[0], repeated)


def test_the_frame_cap_leaves_out_the_opening_where_gymnasium_counts_it():
    """Opening of 12 frames and a cap of 400: 400 / 4 steps here, (400 − 12) / 4 there; told 412, Gymnasium agrees."""
    with opened(replace(PPO2017, max_frames=400)) as worlds:
        game = first_game(worlds, 1)
    assert game.opening == {"frames": 12}
    assert len(game.actions) == 100
    for cap, steps in ((400, 97), (412, 100)):
        single = oracle(PPO2017, max_num_frames_per_episode=cap)
        single.reset(seed=1, options=game.opening)
        *before, end = (single.step(action) for action in game.actions[:steps])
        assert [step[3] for step in (*before, end)] == [False] * (steps - 1) + [True]
    np.testing.assert_array_equal(end[0], game.final_obs)


# --- the last picture of a game, which Gymnasium gets wrong in the same way ------------------------------------------


@pytest.mark.parametrize(
    ("seed", "cap", "last"),
    [(0, 481, 1), (0, 482, 2), (0, 483, 3), (0, 484, 4), (7, atari.HALF_HOUR, 3), (9, atari.HALF_HOUR, 4)],
    ids=["cut at 1", "cut at 2", "cut at 3", "cut at 4", "lost at 3", "lost at 4"],
)
def test_the_last_picture_of_a_game_lacks_its_last_frame(seed, cap, last):
    """Frames 1, 2 and 3 of the step: the picture is the one before it; frame 4: that one pooled with frame 3."""
    rules = replace(PPO2017, max_frames=cap)
    with opened(rules) as worlds:
        game = first_game(worlds, seed)
    single = frame_by_frame(rules, obs_type="grayscale")
    single.reset(seed=seed, options=game.opening)
    *before, ending = (
        [single.step(action)[0] for _ in range(4 if t < len(game.actions) else last)]
        for t, action in enumerate(game.actions, 1)
    )
    assert single.unwrapped.ale.game_over() == (cap == atari.HALF_HOUR)
    picture = np.maximum(*before[-1][2:])
    stale = np.maximum(picture, ending[2]) if last == 4 else picture
    np.testing.assert_array_equal(game.final_obs[-1], shrink(stale))
    true = np.maximum(*(before[-1] + ending)[-2:])
    assert not np.array_equal(game.final_obs[-1], shrink(true))


# --- lives, ends and cuts --------------------------------------------------------------------------------------------


def test_training_changes_nothing_but_that_lost_lives_are_terminated():
    """Both play on through 3, 2 and 1 lives; told by the lives, not by the frame count that the code looks at."""
    with opened(PPO2017, 3, training=True) as training, opened(PPO2017, 3) as full:
        obs, info = full.reset(seed=0)
        np.testing.assert_array_equal(training.reset(seed=0)[0], obs)
        lives, frames = info["lives"].copy(), info["episode_frame_number"].copy()
        ends, losses, largest = 0, [], 0
        for actions in random_actions(full, 600):
            obs, rewards, over, cut, info = full.step(actions)
            learner_obs, learner_rewards, terminated, truncated, learner_info = training.step(actions)
            lost = ~over & (info["lives"] < lives)
            np.testing.assert_array_equal(learner_obs, obs)
            np.testing.assert_array_equal(learner_rewards, rewards)
            np.testing.assert_array_equal(learner_info["life_lost"], lost)
            np.testing.assert_array_equal(terminated, over | lost)
            assert not (cut | truncated | info["life_lost"]).any()
            assert (info["episode_frame_number"] > frames)[~over].all()
            assert (info["episode_frame_number"] < 30)[over].all()
            if over.any():
                np.testing.assert_array_equal(learner_info["final_obs"][over], info["final_obs"][over])
            losses += [(int(lives[k]), int(info["lives"][k])) for k in np.flatnonzero(lost)]
            ends, largest = ends + over.sum(), max(largest, rewards.max())
            lives, frames = info["lives"].copy(), info["episode_frame_number"].copy()
    assert set(losses) == {(3, 2), (2, 1)}
    assert ends >= 2
    assert largest == 200 or largest in range(5, 31, 5)  # raw, although the learner of this protocol clips


HIDING = "LRR......LRL..L.R..RRRLLLRLLRLLR..LLRLLL.LLL.LL.RLRR.L.RL..L..LR.RR.RLL.."  # each held for 16 steps


@pytest.mark.parametrize("training", [True, False])
def test_invaders_that_land_end_the_game_whatever_lives_are_left(training):
    """The cannon dodges and never shoots until the invaders reach the ground: one life lost, then the game at two."""
    with opened(replace(PPO2017, noop_max=0), training=training) as worlds:
        worlds.reset(seed=0)
        ends, lives = [], 3
        for t, button in enumerate(np.repeat([".FRL".index(held) for held in HIDING], 16), 1):
            _, _, terminated, truncated, info = worlds.step(button[None])
            if terminated[0]:
                ends.append((t, lives, bool(info["life_lost"][0]), int(info["episode_frame_number"][0])))
            assert not truncated[0]
            lives = int(info["lives"][0])
    lost_life = [(1138, 3, True, 4553)] if training else []
    assert ends == [*lost_life, (1162, 2, False, 1)]


class Scripted(VectorEnv):
    """Four games that stand at frame 900 and go where the script says."""

    num_envs = 4

    def __init__(self, terminated, frames):
        self.terminated, self.frames = np.array(terminated), np.array(frames)

    def reset(self, *, seed=None, options=None):
        return np.zeros(4), {"episode_frame_number": np.full(4, 900)}

    def send(self, actions):
        self.actions = actions

    def recv(self):
        return self.actions, self.actions, self.terminated, ~self.terminated, {"episode_frame_number": self.frames}


def test_a_life_is_lost_where_a_game_that_was_terminated_goes_on():
    """Also right after a reset in mid-game, whatever frame that game had come to."""
    script = Scripted(terminated=[True, True, False, False], frames=[5000, 5000, 5000, 5000])
    worlds = atari.AtariWorlds(script)
    worlds.reset()
    worlds.step(np.zeros(4))
    worlds.reset()
    script.frames = np.array([904, 12, 904, 12])
    assert worlds.step(np.zeros(4))[-1]["life_lost"].tolist() == [True, False, False, False]


@pytest.mark.parametrize("training", [True, False])
def test_a_game_at_the_frame_cap_is_cut_and_not_ended(training):
    with opened(replace(PPO2017, max_frames=400), 2, training=training) as worlds:
        actions = random_actions(worlds, 100)
        obs, _, terminated, truncated, life_lost = play(worlds, 0, actions[:-1])
        assert not (terminated | truncated | life_lost).any()
        after, _, terminated, truncated, info = worlds.step(actions[-1])
    assert truncated.all()
    assert not (terminated | info["life_lost"]).any()
    np.testing.assert_array_equal(info["final_obs"][:, :-1], obs[-1][:, 1:])
    assert info["final_obs"].any(axis=(2, 3)).all()
    assert after.any(axis=(2, 3)).tolist() == [[False, False, False, True]] * 2


def test_a_life_lost_on_the_very_step_of_the_cut_ends_the_game():
    """The learner's return ends with the life; the game is over all the same, and its score is told."""
    with opened(PPO2017, training=True) as worlds:
        actions = random_actions(worlds, 1000)
        worlds.reset(seed=0)
        length = next(t for t, row in enumerate(actions, 1) if worlds.step(row)[-1]["life_lost"][0])
    ends = []
    for training in (True, False):
        with opened(replace(PPO2017, max_frames=4 * length), training=training) as worlds:
            *_, terminated, truncated, life_lost = play(worlds, 0, actions[:length])
            assert not (terminated | truncated | life_lost)[:-1].any()
            ends.append((terminated[-1, 0], truncated[-1, 0], life_lost[-1, 0]))
    assert ends == [(True, False, False), (False, True, False)]


# --- protocols -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("protocol", "buttons"), [("ppo2017", 6), ("mnih2015", 6), ("machado2018", 18)])
def test_a_protocol_has_its_buttons(protocol, buttons):
    with closing(build(World(INVADERS, protocol), training=True, count=2)) as worlds:
        assert worlds.single_action_space.n == buttons
        assert worlds.observation_space.shape == (2, 4, 84, 84)
        assert worlds.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP


@pytest.mark.parametrize(
    ("protocol", "frames"),
    [
        ("mnih2015", 18_000),
        pytest.param("ppo2017", 108_000, marks=pytest.mark.slow),
        pytest.param("machado2018", 108_000, marks=pytest.mark.slow),
    ],
)
def test_a_protocol_cuts_games_at_its_frame(protocol, frames):
    """Breakout, where nobody serves the next ball."""
    with closing(build(World(BREAKOUT, protocol), training=False, count=1)) as worlds:
        worlds.reset(seed=0)
        ends = [worlds.step(np.array([0]))[2:4] for _ in range(frames // 4)]
    assert [bool(truncated[0]) for _, truncated in ends] == [False] * (frames // 4 - 1) + [True]
    assert not any(terminated[0] for terminated, _ in ends)
