"""Saved games: what is written comes back, what was played proves itself, and what was tampered with is told apart."""

import io
import json
import os
import pickle
from dataclasses import replace

import gymnasium
import hypothesis.strategies as st
import numpy as np
import pytest
from gymnasium.spaces import Discrete
from hypothesis import HealthCheck, given, settings

from sparring.agents.evaluate import Random, play
from sparring.envs import episodes, worlds
from sparring.envs.atari import AtariWorlds
from sparring.envs.control import PROTOCOLS
from sparring.envs.episodes import EpisodeError
from sparring.envs.errors import BadInputError
from sparring.envs.rollouts import Acts
from sparring.envs.worlds import World

fuzz = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
CARTPOLE = World("CartPole-v1", "gymnasium", 8)
INVADERS = World("ALE/SpaceInvaders-v5", "machado2018", 8)  # the rules with sticky actions
PENDULUM = World("Pendulum-v1", "gymnasium", 8)


class Wide:
    """Pushes as a Gaussian policy does: half of what it says lies outside of [−1, 1]."""

    def __init__(self):
        self.random = np.random.default_rng(0)

    def act(self, obs, *, greedy=False):
        return Acts(self.random.normal(0, 1.5, (len(obs), 1)).astype(np.float32), ())


@pytest.fixture(scope="module")
def cartpole():
    return play(Random(Discrete(2), seed=0), CARTPOLE, games=1, seed=5)[0]


@pytest.fixture(scope="module")
def invaders():
    return play(Random(Discrete(18), seed=0), INVADERS, games=1, seed=3)[0]


@pytest.fixture(scope="module")
def pendulum():
    return play(Wide(), PENDULUM, games=1, seed=2)[0]


@pytest.fixture(params=["cartpole", "invaders", "pendulum"])
def game(request):
    return request.getfixturevalue(request.param)


def altered(array, index, value):
    changed = array.copy()
    changed[index] = value
    return changed


def assert_same(first, second):
    for name in ("world", "protocol", "spec", "seed", "score"):
        assert getattr(first, name) == getattr(second, name)
    for name in ("actions", "rewards", "checksums"):
        mine, other = getattr(first, name), getattr(second, name)
        np.testing.assert_array_equal(mine, other)
        assert mine.dtype == other.dtype


# What is kept


def test_an_episode_comes_back_as_it_was_saved(game, tmp_path):
    game.save(tmp_path / "game.npz")
    assert_same(episodes.load(tmp_path / "game.npz"), game)


def test_an_episode_takes_kilobytes(game, tmp_path):
    game.save(tmp_path / "game.npz")
    size = (tmp_path / "game.npz").stat().st_size
    assert size < 3_000 + 8 * len(game.actions)  # a header, and some bytes a step: not the 28 224 of four frames


def test_the_score_is_the_sum_of_the_raw_rewards(cartpole, invaders):
    assert cartpole.score == len(cartpole.actions)
    assert invaders.score == float(invaders.rewards.sum())
    assert set(invaders.rewards) <= {0, 5, 10, 15, 20, 25, 30, 50, 100, 150, 200, 210, 215, 220, 225, 230}
    assert invaders.rewards.max() > 1  # not clipped


def test_it_holds_the_whole_protocol_and_the_registered_specification(invaders):
    assert (invaders.protocol["sticky"], invaders.protocol["frame_skip"]) == (0.25, 4)
    assert json.loads(invaders.spec)["id"] == "ALE/SpaceInvaders-v5"


def test_saving_again_replaces_the_older_game_and_leaves_nothing_beside_it(cartpole, invaders, tmp_path):
    invaders.save(tmp_path / "game.npz")
    cartpole.save(tmp_path / "game.npz")
    assert_same(episodes.load(tmp_path / "game.npz"), cartpole)
    assert os.listdir(tmp_path) == ["game.npz"]


@pytest.fixture
def full_disk(monkeypatch):
    """A function that fills the disk: from then on bytes are taken, but never reach it."""

    def fail(descriptor):
        raise OSError("no space left on device")

    return lambda: monkeypatch.setattr(os, "fsync", fail)


def test_a_save_that_fails_leaves_no_half_file(cartpole, tmp_path, full_disk):
    full_disk()
    with pytest.raises(OSError, match="no space left"):
        cartpole.save(tmp_path / "game.npz")
    assert os.listdir(tmp_path) == []


def test_a_save_that_fails_leaves_the_older_game_alone(cartpole, invaders, tmp_path, full_disk):
    cartpole.save(tmp_path / "game.npz")
    full_disk()
    with pytest.raises(OSError, match="no space left"):
        invaders.save(tmp_path / "game.npz")
    assert_same(episodes.load(tmp_path / "game.npz"), cartpole)
    assert os.listdir(tmp_path) == ["game.npz"]


def test_a_checksum_depends_on_the_numbers_and_not_on_how_they_lie_in_memory():
    table = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert episodes.checksum(table.T) == episodes.checksum(table.T.copy())
    assert episodes.checksum(table) != episodes.checksum(table + 1)
    assert episodes.checksum(np.frombuffer(b"123456789", np.uint8)) == 0xCBF43926  # CRC-32's published check value


# Actions that are numbers


def test_a_continuous_action_is_kept_as_it_was_meant_before_the_world_clipped_it(pendulum, tmp_path):
    pendulum.save(tmp_path / "game.npz")
    kept = episodes.load(tmp_path / "game.npz").actions
    assert (kept.dtype, kept.shape) == (np.float32, (200, 1))
    np.testing.assert_array_equal(kept, np.random.default_rng(0).normal(0, 1.5, (200, 1)).astype(np.float32))
    assert 60 < (np.abs(kept) > 1).sum() < 140


def test_what_a_world_clips_is_no_difference_and_what_it_does_not_is_one(pendulum):
    clipped = np.clip(pendulum.actions, -1, 1)
    assert episodes.verify(replace(pendulum, actions=clipped)).step is None
    step = int(np.flatnonzero(np.abs(pendulum.actions[:, 0]) < 0.9)[3])
    assert episodes.verify(replace(pendulum, actions=altered(pendulum.actions, step, 0.95))).step == step


@pytest.mark.parametrize("lie", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_no_action(pendulum, lie):
    verdict = episodes.verify(replace(pendulum, actions=altered(pendulum.actions, 5, lie)))
    assert verdict.step == 5
    assert "no action" in verdict.what


@pytest.mark.parametrize("actions", [np.zeros((200, 2), np.float32), np.zeros(200, int)], ids=["two", "a choice"])
def test_a_pendulum_takes_one_number_at_a_time(pendulum, actions):
    assert episodes.verify(replace(pendulum, actions=actions)).step == 0


# What proves itself


def test_a_game_proves_itself_after_a_round_trip(game, tmp_path):
    game.save(tmp_path / "game.npz")
    steps = []
    verdict = episodes.verify(episodes.load(tmp_path / "game.npz"), steps.append)
    assert verdict.step is None
    assert f"{len(game.actions)} steps" in verdict.what
    assert f"score {game.score:g}" in verdict.what
    assert steps == list(range(len(game.actions)))


def test_a_game_that_was_cut_by_its_time_limit_proves_itself():
    class Balance:
        def act(self, obs, *, greedy=False):
            return Acts((obs @ [0.02, 0.05, 1.0, 0.25] > 0).astype(int), ())

    balanced = play(Balance(), CARTPOLE, games=1, seed=0)[0]
    assert len(balanced.actions) == 500
    assert episodes.verify(balanced).step is None


@pytest.mark.parametrize("place", [0, 7, -1])
def test_a_changed_reward_is_named(game, place):
    step = place % len(game.actions)
    lie = altered(game.rewards, step, game.rewards[step] + 3)
    verdict = episodes.verify(replace(game, rewards=lie))
    assert verdict.step == step
    assert f"reward {game.rewards[step]:g} instead of {game.rewards[step] + 3:g}" in verdict.what


@pytest.mark.parametrize("place", [0, 1, 7, -1])
def test_a_changed_checksum_is_named_by_the_step_that_led_to_it(game, place):
    index = place % len(game.checksums)
    lie = altered(game.checksums, index, game.checksums[index] ^ 1)
    verdict = episodes.verify(replace(game, checksums=lie))
    assert verdict.step == max(0, index - 1)
    assert "observation differs" in verdict.what


@pytest.mark.parametrize("type_or_shape", [lambda actions: actions.astype(float), lambda actions: actions[:, None]])
def test_actions_of_another_kind_than_the_worlds_are_none_of_its_actions(cartpole, type_or_shape):
    verdict = episodes.verify(replace(cartpole, actions=type_or_shape(cartpole.actions)))
    assert verdict.step == 0
    assert "no action" in verdict.what


@pytest.mark.parametrize("place", [0, 7, -1])
def test_a_changed_action_is_named_where_every_action_shows_at_once(cartpole, place):
    step = place % len(cartpole.actions)
    verdict = episodes.verify(replace(cartpole, actions=altered(cartpole.actions, step, 1 - cartpole.actions[step])))
    assert verdict.step == step


def first_difference(game, actions):
    """Where the game that `actions` play parts from the recorded one, found by playing it here."""
    vector = worlds.build(game.world, training=False, count=1)
    vector.reset(seed=game.seed)
    try:
        for step, action in enumerate(actions):
            obs, rewards, terminated, truncated, info = vector.step(np.array([action]))
            over = bool(terminated[0] or truncated[0])
            seen = episodes.checksum(info["final_obs"][0] if over else obs[0])
            recorded = game.rewards[step], step == len(actions) - 1, game.checksums[step + 1]
            if (rewards[0], over, seen) != recorded:
                return step
    finally:
        vector.close()
    return None


def test_a_changed_action_is_named_where_it_first_shows(invaders):
    LEFT, RIGHT = 4, 3  # of all 18 buttons
    for step in (60, 200):
        other = LEFT if invaders.actions[step] != LEFT else RIGHT
        actions = altered(invaders.actions, slice(step, step + 8), other)
        expected = first_difference(invaders, actions)
        assert step <= expected < step + 20
        assert episodes.verify(replace(invaders, actions=actions)).step == expected


def test_of_two_lies_the_first_is_named(game):
    rewards = altered(game.rewards, 9, 99.0)
    checksums = altered(game.checksums, 4, 0)  # what step 3 led to
    assert episodes.verify(replace(game, rewards=rewards, checksums=checksums)).step == 3


def test_another_seed_is_another_game(game):
    assert episodes.verify(replace(game, seed=game.seed + 1)).step is not None


def cut_to(game, steps):
    return replace(
        game, actions=game.actions[:steps], rewards=game.rewards[:steps], checksums=game.checksums[: steps + 1]
    )


def test_a_game_without_its_end_is_no_whole_game(game):
    verdict = episodes.verify(cut_to(game, 6))
    assert (verdict.step, verdict.what) == (5, "the game goes on here")


def test_steps_after_the_end_are_no_part_of_the_game(cartpole):
    last = len(cartpole.actions) - 1
    longer = replace(
        cartpole,
        actions=np.append(cartpole.actions, 0),
        rewards=np.append(cartpole.rewards, np.float32(1)),
        checksums=np.append(cartpole.checksums, np.uint32(0)),
    )
    verdict = episodes.verify(longer)
    assert (verdict.step, verdict.what) == (last, "the game ends here")


def test_an_episode_without_any_step_proves_nothing(cartpole, tmp_path):
    cut_to(cartpole, 0).save(tmp_path / "game.npz")
    with pytest.raises(EpisodeError):
        episodes.verify(episodes.load(tmp_path / "game.npz"))


@pytest.mark.parametrize("action", [18, -1])
@pytest.mark.parametrize("game", ["cartpole", "invaders"], indirect=True)
def test_an_action_that_the_world_does_not_have_is_no_crash(game, action, monkeypatch):
    step = AtariWorlds.step

    def guarded(emulators, actions):
        if not emulators.action_space.contains(actions):
            pytest.fail("the emulator was told a button it does not have; it would never answer")
        return step(emulators, actions)

    monkeypatch.setattr(AtariWorlds, "step", guarded)
    impossible = replace(game, actions=altered(game.actions, 2, action))
    try:
        verdict = episodes.verify(impossible)
    except EpisodeError as refusal:
        assert str(action) in str(refusal)  # noqa: PT017 - to refuse it and to name its step are both right
    else:
        assert verdict.step == 2


# What is refused


def test_a_protocol_that_changed_since_is_an_error_that_names_both_values(game):
    with pytest.raises(EpisodeError, match=r"protocol \w+ has changed .*frame_skip 9 → [14]"):
        episodes.verify(replace(game, protocol={**game.protocol, "frame_skip": 9}))


def test_a_preset_edited_in_place_cannot_pass_unseen(cartpole, monkeypatch):
    monkeypatch.setitem(PROTOCOLS, "gymnasium", replace(PROTOCOLS["gymnasium"], noop_max=7))
    with pytest.raises(EpisodeError, match="noop_max 0 → 7"):
        episodes.verify(cartpole)


def test_a_rule_that_the_game_did_not_know_is_a_change(cartpole):
    older = {name: value for name, value in cartpole.protocol.items() if name != "sticky"}
    with pytest.raises(EpisodeError, match=r"sticky None → 0\.0"):
        episodes.verify(replace(cartpole, protocol=older))


def test_a_world_that_is_not_here_is_an_error(cartpole):
    with pytest.raises(BadInputError, match=r"no world is called 'CartPol-v1'; did you mean .*CartPole-v1"):
        episodes.verify(replace(cartpole, world=World("CartPol-v1", "gymnasium", 1)))


def refused(path):
    """Loading must refuse the file, by its name."""
    with pytest.raises(EpisodeError) as refusal:
        episodes.load(path)
    assert str(path) in str(refusal.value)
    return str(refusal.value)


def archive(path, **changed):
    """A tiny episode with some of its parts changed; those that are None are left out."""
    header = {
        "format": episodes.FORMAT,
        "world": {"env": "CartPole-v1", "protocol": "gymnasium", "worlds": 1},
        "protocol": {},
        "spec": "{}",
        "seed": 0,
        "score": 2.0,
    }
    parts = {
        "header": header | changed.pop("header", {}),
        "actions": np.zeros(2, np.int64),
        "rewards": np.ones(2, np.float32),
        "checksums": np.zeros(3, np.uint32),
        **changed,
    }
    if isinstance(parts["header"], dict):
        parts["header"] = np.array(json.dumps(parts["header"]))
    np.savez(path, **{name: part for name, part in parts.items() if part is not None})
    return path


def test_the_tiny_episode_of_these_tests_is_one(tmp_path):
    assert episodes.load(archive(tmp_path / "game.npz")).score == 2.0


def test_a_missing_file_is_refused(tmp_path):
    assert "there is no episode" in refused(tmp_path / "none.npz")


def test_a_folder_is_refused(tmp_path):
    refused(tmp_path)


def test_another_version_is_refused_by_both_numbers(tmp_path):
    said = refused(archive(tmp_path / "game.npz", header={"format": 7}))
    assert "format 7; this version reads 1" in said


def test_another_version_is_recognised_even_where_it_keeps_other_arrays(tmp_path):
    said = refused(archive(tmp_path / "game.npz", header={"format": 7}, checksums=None, digests=np.zeros(3)))
    assert "format 7; this version reads 1" in said


@pytest.mark.parametrize(
    "changed",
    [
        {"actions": None},
        {"rewards": None},
        {"checksums": None},
        {"header": {"world": {"env": "CartPole-v1", "colour": "red"}}},
        {"header": {"world": None}},
        {"actions": np.zeros(3, np.int64)},
        {"rewards": np.zeros(1, np.float32)},
        {"checksums": np.zeros(2, np.uint32)},
        {"actions": np.array(0)},
        {"actions": np.zeros((3, 1))},
        {"actions": np.zeros(2, bool)},
        {"actions": np.zeros(2, complex)},
        {"actions": np.array(["0", "0"])},
    ],
    ids=str,
)
def test_an_archive_whose_parts_do_not_fit_is_refused(tmp_path, changed):
    refused(archive(tmp_path / "game.npz", **changed))


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", "null", "3"])
def test_a_header_that_is_none_is_refused(tmp_path, text):
    np.savez(tmp_path / "game.npz", header=np.array(text), **dict.fromkeys(episodes.ARRAYS, np.zeros(1)))
    refused(tmp_path / "game.npz")


class Bomb:
    """Unpickling it leaves a mark."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("part", ["header", *episodes.ARRAYS])
def test_nothing_in_an_archive_can_run_code(tmp_path, part):
    mark = tmp_path / "it ran"
    bomb = np.empty(1, object)
    bomb[0] = Bomb(mark)
    path = tmp_path / "game.npz"
    parts = {name: np.zeros(1) for name in ("header", *episodes.ARRAYS)} | {part: bomb}
    np.savez(path, **parts)
    refused(path)
    assert not mark.exists()


def test_a_pickle_is_refused_unread(tmp_path):
    mark, path = tmp_path / "it ran", tmp_path / "game.npz"
    path.write_bytes(pickle.dumps(Bomb(mark)))
    refused(path)
    assert not mark.exists()


def test_a_single_array_is_no_episode(tmp_path):
    np.save(tmp_path / "game.npy", np.zeros(3))
    refused(tmp_path / "game.npy")


@fuzz
@given(st.binary(max_size=200), st.sampled_from([b"", b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY\x01\x00", b"\x80\x04"]))
def test_random_bytes_are_refused(tmp_path, noise, magic):
    (tmp_path / "game.npz").write_bytes(magic + noise)
    refused(tmp_path / "game.npz")


@pytest.fixture(scope="module")
def saved(cartpole, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "game.npz"
    cartpole.save(path)
    return path.read_bytes()


@fuzz
@given(st.floats(0, 1, exclude_max=True))
def test_a_file_that_was_cut_short_is_refused(tmp_path, saved, share):
    (tmp_path / "game.npz").write_bytes(saved[: int(share * len(saved))])
    refused(tmp_path / "game.npz")


def zip_fields(data):
    """Where the archive's directories lie: the bytes that no checksum guards."""
    return [place for magic in (b"PK\x01\x02", b"PK\x03\x04") for place in find_all(data, magic)]


def find_all(data, magic):
    place = data.find(magic)
    while place >= 0:
        yield place
        place = data.find(magic, place + 1)


@settings(fuzz, max_examples=300)
@given(st.data())
def test_a_damaged_byte_changes_nothing_or_is_refused(tmp_path, cartpole, saved, data):
    entry = data.draw(st.sampled_from(zip_fields(saved)))
    anywhere = st.integers(0, len(saved) - 1)
    place = data.draw(st.one_of(anywhere, st.integers(0, 45).map(lambda k: min(entry + k, len(saved) - 1))))
    damaged = bytearray(saved)
    damaged[place] ^= data.draw(st.sampled_from([1, 8, 255]))
    path = tmp_path / "game.npz"
    path.write_bytes(damaged)
    try:
        found = episodes.load(path)
    except EpisodeError as refusal:
        assert str(path) in str(refusal)  # noqa: PT017 - either outcome is right
    else:
        assert_same(found, cartpole)


def test_the_specification_is_that_of_gymnasium():
    assert gymnasium.envs.registration.EnvSpec.from_json(episodes.spec_of(CARTPOLE)) == gymnasium.spec("CartPole-v1")


def test_a_file_is_closed_even_where_it_is_refused(tmp_path):
    path = tmp_path / "game.npz"
    buffer = io.BytesIO()
    np.savez(buffer, actions=np.zeros(2))
    path.write_bytes(buffer.getvalue()[:-30])
    refused(path)  # an open file would warn when it is forgotten, and warnings are errors here
