"""Self-play without search: negamax advantages by hand, whose plies teach, what the past is, what a resume keeps."""

import dataclasses

import numpy as np
import pytest
import torch

from sparring.agents import ppo_selfplay
from sparring.agents.boardnet import Instinct
from sparring.agents.league import League, Meeting, Plies
from sparring.agents.match import series
from sparring.agents.policy import Remembered
from sparring.agents.ppo_selfplay import Config, Schedule, SelfPlayer
from sparring.envs.errors import BadInputError
from sparring.envs.go.board import BLACK, Board
from sparring.envs.go.opponents import at_random
from sparring.envs.go.rules import Rules

RULES = Rules(3, 3, komi=2.5)
TINY = Config(
    Schedule(10_000),
    board=3,
    komi=2.5,
    meeting=Meeting(boards=6, horizon=10, opening=2),
    width=8,
    blocks=1,
    pool=2,
    join_every=1,
    minibatches=2,
)


def player_of(config=TINY, seed=0):
    return SelfPlayer(config, seed=seed, device="cpu", updates=10)


def league_of(config=TINY, seed=0):
    league = League(config.played, config.meeting)
    league.reset(seed)
    return league


def plies(values, rewards, over, black, mine=None):
    """A batch of one game's plies; the boards are empty, which nobody looks at but for the last value."""
    T = len(rewards)
    column = lambda told, kind: np.array(told, kind)[:, None]  # noqa: E731
    return Plies(
        np.zeros((T + 1, 1, 10, 3, 3), np.uint8),
        np.ones((T, 1, 10), bool),
        column(black, bool),
        np.zeros((T, 1), int),
        column(rewards, np.float32),
        column(over, bool),
        column(mine or [True] * T, bool),
        Remembered(np.zeros((T, 1), np.float32), column(values, np.float32)),
    )


# ---------------------------------------------------------------------------------------------- advantages


def test_what_is_good_for_me_is_bad_for_you_by_hand():
    """Black, white, black wins; λ = ½: δ = (−V₁ − V₀, −V₂ − V₁, 1 − V₂), A_t = δ_t − ½ A_{t+1}."""
    player = player_of(dataclasses.replace(TINY, gae_lambda=0.5))
    batch = plies([0.2, -0.1, 0.6], [0, 0, 1], [False, False, True], [True, False, True, True])
    advantages, targets = player.estimate(batch)
    a2 = 1 - 0.6
    a1 = (-0.6 + 0.1) - 0.5 * a2
    a0 = (0.1 - 0.2) - 0.5 * a1
    assert advantages[:, 0].tolist() == pytest.approx([a0, a1, a2])
    assert targets[:, 0].tolist() == pytest.approx([a0 + 0.2, a1 - 0.1, a2 + 0.6])


def test_with_lambda_1_the_advantage_is_the_result_less_the_baseline():
    player = player_of(dataclasses.replace(TINY, gae_lambda=1.0))
    values, rng = np.random.default_rng(0).uniform(-1, 1, 7), [True, False] * 4
    over = [False, False, False, True, False, False, True]
    rewards = [0, 0, 0, 1, 0, 0, -1]
    black = [*rng[:4], *rng[:3], True]
    advantages, targets = player.estimate(plies(values, rewards, over, black))
    result = np.array([-1, 1, -1, 1, -1, 1, -1])  # to who moves: white won the first game and the second
    assert targets[:, 0].tolist() == pytest.approx(result.tolist(), abs=1e-6)
    assert advantages[:, 0].tolist() == pytest.approx((result - values).tolist(), abs=1e-6)


def test_what_goes_on_is_worth_what_the_other_thinks_of_it():
    """A rollout that stops in the middle of a game: the target is −V of the board that is shown then."""
    player = player_of(dataclasses.replace(TINY, gae_lambda=1.0))
    batch = plies([0.3], [0], [False], [True, False])
    with torch.no_grad():
        player.network.outcome.bias[:] = torch.tensor([1.0, 0.0, 0.0])
        last = player.network(torch.zeros(1, 10, 3, 3, dtype=torch.uint8)).value.item()
    assert last > 0.1
    _, targets = player.estimate(batch)
    assert targets.item() == pytest.approx(-last)


# ---------------------------------------------------------------------------------------------- the loss


def test_one_epoch_is_reinforce():
    """The gradient of L is −mean A ∇ log π + c_v mean (V − target) ∇V where ρ is 1 and nothing is clipped."""
    player = player_of(dataclasses.replace(TINY, entropy_weight=0.0))
    batch = league_of().draw(player)
    advantages, targets = player.estimate(batch)
    obs, legal = torch.from_numpy(batch.obs[:-1]).flatten(0, 1), torch.from_numpy(batch.legal).flatten(0, 1)
    actions, old = (torch.from_numpy(x).flatten() for x in (batch.actions, batch.memory.log_prob))
    rows = torch.from_numpy(batch.mine).flatten()
    fields = (obs, legal, actions, old, advantages.flatten(), targets.flatten())
    small = ppo_selfplay.Minibatch(*(field[rows] for field in fields))
    ours = torch.autograd.grad(player.loss(small)[0], list(player.network.parameters()), allow_unused=True)
    policy, values = ppo_selfplay.masked(player.network, small.obs, small.legal)
    assert torch.allclose(policy.log_prob(small.actions), small.old_log_probs, atol=1e-5)
    plain = -(small.advantages * policy.log_prob(small.actions)).mean() + (values - small.targets).square().mean() / 2
    theirs = torch.autograd.grad(plain, list(player.network.parameters()), allow_unused=True)
    for one, other in zip(ours, theirs, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.allclose(one, other, atol=1e-6)


def test_others_plies_teach_nothing():
    one, other = player_of(), player_of()
    batch = league_of().draw(one)
    other.dice.load_state_dict(one.dice.state_dict())
    mine = np.zeros_like(batch.mine)
    mine[3:6] = True
    obs, actions = batch.obs.copy(), batch.actions.copy()
    obs[:-1][~mine] = 1
    actions[~mine] = 0
    first = one.update(batch._replace(mine=mine))
    again = other.update(batch._replace(mine=mine, obs=obs, actions=actions))
    assert first == again
    for a, b in zip(one.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_only_legal_moves_have_a_chance():
    player = player_of()
    legal = np.zeros((4, 10), bool)
    legal[np.arange(4), [0, 3, 5, 9]] = True
    acts = player.act(np.zeros((4, 10, 3, 3), np.uint8), legal)
    assert acts.actions.tolist() == [0, 3, 5, 9]
    assert acts.memory.log_prob == pytest.approx(0)


# ---------------------------------------------------------------------------------------------- the league


def test_random_and_foreign_plies_are_not_mine():
    player = player_of(dataclasses.replace(TINY, meeting=Meeting(boards=40, horizon=12, opening=3, past=1.0)))
    player.pool.join()
    league = league_of(player.config)
    first = league.draw(player)
    assert first.mine.any()
    opened = (~first.mine).sum(0)[:]
    assert opened.max() >= 3  # of a game that began with three random plies
    for _ in range(6):  # till every game has begun with an opponent there
        batch = league.draw(player)
    begun = np.cumsum(batch.over, 0) > 0
    inside = ~np.roll(begun, 1, 0)
    share = batch.mine[inside].mean()
    assert 0.3 < share < 0.55  # every second ply, less the random ones


def test_without_a_past_both_colours_are_mine():
    player = player_of(dataclasses.replace(TINY, meeting=Meeting(boards=6, horizon=10, opening=0)))
    assert player.opponent(np.random.default_rng(0)) is None
    assert league_of(player.config).draw(player).mine.all()


def test_black_is_told_apart_from_white_across_games():
    batch = league_of().draw(player_of())
    begins = np.concatenate([np.ones((1, 6), bool), batch.over])
    for game in range(6):
        expected = True
        for t in range(11):
            expected = True if begins[t, game] else not expected
            assert batch.black[t, game] == expected


def test_the_winner_is_rewarded():
    league = league_of(dataclasses.replace(TINY, meeting=Meeting(boards=6, horizon=60, opening=0)))
    batch = league.draw(player_of())
    assert set(np.unique(batch.rewards[batch.over])) <= {-1.0, 1.0}
    assert not batch.rewards[~batch.over].any()
    t, game = (int(index[0]) for index in np.nonzero(batch.over))
    start = max([-1, *np.flatnonzero(batch.over[:t, game])]) + 1
    board = Board(TINY.played, batch.actions[start : t + 1, game].tolist())
    assert board.over
    mover = 1 if (t - start) % 2 == 0 else -1
    assert batch.rewards[t, game] == np.sign(board.margin()) * mover


def test_a_league_goes_on_where_it_was_saved():
    player = player_of()
    player.pool.join()
    league = league_of()
    for _ in range(3):
        league.draw(player)
    dice, state = player.dice.state_dict(), league.state_dict()
    expected = league.draw(player)
    player.dice.load_state_dict(dice)
    other = League(TINY.played, TINY.meeting)
    other.load_state_dict(state)
    found = other.draw(player)
    for mine, its in zip((*expected[:-1], *expected.memory), (*found[:-1], *found.memory), strict=True):
        assert np.array_equal(mine, its)


def test_the_past_forgets_its_oldest():
    player = player_of()
    for value in range(3):
        with torch.no_grad():
            player.network.outcome.bias[:] = value
        player.pool.join()
    assert [network.outcome.bias[0].item() for network in player.pool.past] == [1, 2]
    other = player_of(seed=1)
    other.pool.load_state_dict(player.pool.state_dict())
    assert [network.outcome.bias[0].item() for network in other.pool.past] == [1, 2]
    assert not any(weight.requires_grad for network in other.pool.past for weight in network.parameters())


def test_more_minibatches_than_plies_are_refused():
    with pytest.raises(BadInputError, match="61 mini-batches are more than the 60 plies"):
        dataclasses.replace(TINY, minibatches=61)


# ---------------------------------------------------------------------------------------------- learning


def test_it_learns_to_beat_chance(one_thread):
    """3×3 with komi 2.5, where black wins from the centre: without search, from nothing."""
    config = dataclasses.replace(
        TINY,
        width=16,
        meeting=Meeting(boards=32, horizon=32, opening=2),
        learning_rate=3e-3,
        join_every=4,
        pool=4,
        anneal=False,
    )
    player, league = player_of(config), league_of(config)
    rules, dice = Rules(3, 3, komi=2.5), np.random.default_rng(0)
    before = np.mean([one.points_of_first for one in series(Instinct(player.network), at_random, rules, 60, dice)])
    for _ in range(40):
        player.update(league.draw(player))
    after = np.mean([one.points_of_first for one in series(Instinct(player.network), at_random, rules, 60, dice)])
    assert before < 0.7 < 0.8 < after
    assert Instinct(player.network, greedy=True)(Board(rules), dice) == 4
    assert Board(rules).to_move == BLACK
