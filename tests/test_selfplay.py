"""Self-play: games are legal, follow from their seeds however they are grouped, and become the right targets."""

import dataclasses

import numpy as np
import pytest
import torch

from sparring.agents import alphazero, networks
from sparring.agents.alphazero import AlphaZero, Config, Schedule
from sparring.agents.boardnet import Mind, Network, Said, Turns, guided_by, pooled, symmetries
from sparring.agents.match import Searcher, by_playouts, game, opened, series
from sparring.agents.mcts import Searching
from sparring.agents.records import Record
from sparring.agents.selfplay import Playing, SelfPlay
from sparring.agents.window import Window
from sparring.envs.errors import BadInputError
from sparring.envs.go import saved
from sparring.envs.go.board import BLACK, WHITE, Board
from sparring.envs.go.games import Games
from sparring.envs.go.opponents import at_random
from sparring.envs.go.rules import Rules, chosen
from sparring.runners import checkpoint

RULES = Rules(3, 3, komi=0.5)
SEARCH = Searching("gumbel", 8, considered=4)
TINY = Config(
    Schedule(steps=16, save_every=1, games=2),
    board=3,
    komi=0.5,
    playing=Playing(draw=8, slots=4, groups=2),
    search=SEARCH,
    width=8,
    blocks=2,
    batch=16,
    window=60,
    anchor=4,
)


class Opinionated:
    """Evaluates by a formula of what is seen, row by row."""

    def evaluate(self, seed, group):
        def said(leaves, rows):
            seen = leaves.obs[rows].reshape(len(rows), -1).astype(float)
            key = seen @ np.sin(np.arange(1, seen.shape[1] + 1))
            logits = np.cos(key[:, None] + np.arange(leaves.legal.shape[1]))
            return logits.astype(np.float32), (np.sin(3 * key) / 2).astype(np.float32)

        return said


def told(records):
    return [
        (record.number, record.moves, record.result, [policy.tolist() for policy in record.policies])
        for record in records
    ]


def drawn(playing, searching=SEARCH, seed=0, draws=1):
    source = SelfPlay(RULES, playing, searching)
    source.reset(seed)
    return [record for _ in range(draws) for record in source.draw(Opinionated())]


@pytest.mark.parametrize("searching", [SEARCH, Searching("puct", 8, forced=2.0)], ids=lambda s: s.select)
def test_games_do_not_depend_on_who_plays_beside_them(searching):
    """Slots, groups and draws decide which games end first, and change none: a game follows from seed and number."""
    playing = Playing(draw=12, slots=1, groups=1, full=0.5, fast=3, hot=4)
    reference = told(drawn(playing, searching))
    assert [number for number, *_ in reference] == list(range(12))
    for slots, groups, draw in ((12, 1, 12), (2, 2, 12), (3, 3, 6)):
        other = Playing(draw=draw, slots=slots, groups=groups, full=0.5, fast=3, hot=4)
        found = told(drawn(other, searching, draws=24 // draw))
        assert len({number for number, *_ in found}) == 24
        assert sorted(one for one in found if one[0] < 12) == reference
    assert told(drawn(playing, searching, seed=1)) != reference


def test_no_game_is_lost_between_draws():
    """Every number was drawn, waits to be, or is still played, whatever its length."""
    source = SelfPlay(RULES, Playing(draw=5, slots=4, groups=2), SEARCH)
    source.reset(0)
    drawn = [record for _ in range(20) for record in source.draw(Opinionated())]
    assert len(drawn) == 100
    for group, table in enumerate(source.tables):
        there = [one.number for one in (*drawn, *table.ended, *table.records) if one.number % 2 == group]
        assert sorted(there) == list(range(group, 2 * table.begun, 2))


def test_every_game_is_legal_and_counted():
    for record in drawn(Playing(draw=10, slots=4, groups=2)):
        board = Board(RULES, record.moves)
        assert board.over
        assert record.result == np.sign(board.margin())
        black, white = board.areas()
        assert record.owners.sum() == black - white
        assert [abs(policy.sum() - 1) < 0.01 for policy in record.policies] == [True] * len(record.moves)


def test_a_share_of_the_moves_is_searched_in_full():
    records = drawn(Playing(draw=40, slots=8, groups=1, full=0.25, fast=2))
    full = np.concatenate([record.full for record in records])
    assert abs(full.mean() - 0.25) < 4 * (0.25 * 0.75 / len(full)) ** 0.5
    with pytest.raises(BadInputError, match="fast is 9 and simulations 8"):
        SelfPlay(RULES, Playing(full=0.5, fast=9), SEARCH)
    with pytest.raises(BadInputError, match="3 groups cannot share 2 games"):
        Playing(draw=2, groups=3)


def test_who_despairs_gives_up_unless_the_game_is_stubborn():
    gave_up = drawn(Playing(draw=20, slots=4, groups=1, resign=0.05, stubborn=0.5))
    doomed = [record for record in gave_up if record.doomed]
    assert {record.stubborn for record in doomed} == {True, False}
    for record in doomed:
        if record.stubborn:
            assert record.owners is not None
        else:
            assert record.owners is None
            assert record.result == -record.doomed
            assert not Board(RULES, record.moves[:-1]).over


@pytest.mark.parametrize("searching", [SEARCH, Searching("puct", 8)], ids=lambda s: s.select)
def test_a_source_goes_on_where_it_stopped(searching, tmp_path):
    """Games under way, and those that ended beyond what was asked for, survive a checkpoint."""
    playing = Playing(draw=3, slots=8, full=0.5, fast=3, hot=4, resign=0.05, stubborn=0.5)
    first, second = SelfPlay(RULES, playing, searching), SelfPlay(RULES, playing, searching)
    first.reset(5)
    first.draw(Opinionated())
    while not any(table.ended for table in first.tables):
        first.draw(Opinionated())
    under_way = [record for table in first.tables for record in table.records]
    assert any(record.moves for record in under_way)
    assert any(record.doomed for record in under_way)
    checkpoint.write(tmp_path / "s.pt", first.state_dict())
    second.load_state_dict(checkpoint.read(tmp_path / "s.pt"))
    drawn = [
        (one, other)
        for _ in range(4)
        for one, other in zip(*(s.draw(Opinionated()) for s in (first, second)), strict=True)
    ]
    for one, other in drawn:
        for field in dataclasses.fields(Record):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))
    assert {one.owners is None for one, _ in drawn} == {True, False}


# ---------------------------------------------------------------------------------------------- the window


def test_positions_are_what_the_board_showed_and_targets_what_became_of_it():
    record = drawn(Playing(draw=1, slots=1, groups=1))[0]
    samples = Window(RULES, 100).positions(record)
    board = Board(RULES)
    black, white = Board(RULES, record.moves).areas()
    for ply, move in enumerate(record.moves):
        sign = 1 if board.to_move == BLACK else -1
        np.testing.assert_array_equal(samples.obs[ply].reshape(10, 3, 3), board.planes())
        np.testing.assert_array_equal(samples.legal[ply], board.legal())
        assert samples.outcome[ply] == 1 - sign * record.result
        assert samples.score[ply] == sign * (black - white - 0.5)
        np.testing.assert_array_equal(samples.owner[ply].astype(int) - 1, sign * record.owners)
        board.play(move)


def test_a_window_grows_more_slowly_than_what_is_played():
    window = Window(RULES, 100)
    records = drawn(Playing(draw=60, slots=8, groups=1))
    for k in range(0, 60, 10):
        window.add(records[k : k + 10])
        played = sum(len(record.moves) for record in records[: k + 10])
        size = 100 * (1 + 0.4 * ((max(played, 100) / 100) ** 0.75 - 1) / 0.75)
        assert window.played == played
        assert window.size == int(size)
        assert min(played, size) - 30 <= window.held <= max(size, len(records[k + 9].moves)) + 30
    assert window.held < played / 2
    assert window.records[-1] is records[59]


def test_a_window_is_the_same_after_a_checkpoint(tmp_path):
    window, again = Window(RULES, 60), Window(RULES, 60)
    window.add(drawn(Playing(draw=20, slots=4, groups=1, resign=0.05, stubborn=0.2)))
    checkpoint.write(tmp_path / "w.pt", window.state_dict())
    again.load_state_dict(checkpoint.read(tmp_path / "w.pt"))
    assert (again.played, again.held) == (window.played, window.held)
    for mine, its in zip(window.all, again.all, strict=True):
        np.testing.assert_array_equal(mine, its)
    again.load_state_dict(Window(RULES, 60).state_dict())
    assert again.records == []


# ---------------------------------------------------------------------------------------------- the network


@pytest.mark.parametrize("size", [(3, 3), (2, 4)])
def test_symmetries_are_all_ways_to_lay_a_board(size):
    found = symmetries(*size)
    assert len({tuple(one) for one in found.tolist()}) == (8 if size[0] == size[1] else 4)
    law = Rules(*size, "positional", komi=0.0)
    board = Board(law, [0, 1, 3])
    for points in found:
        back = np.argsort(points)  # what stood at p stands at back[p]
        turned = Board(law, [int(back[move]) for move in board.moves])
        np.testing.assert_array_equal(turned.stones().ravel(), board.stones().ravel()[points])


def test_advice_is_turned_back():
    """A network that likes one corner likes, whatever the turn, the corner that was turned there."""
    law = Rules(3, 3)
    games = Games(law, 1)
    leaves = games.look(np.zeros(1, np.int32), np.array([[1, 2]], np.int32), np.array([2], np.int32))
    turns = Turns(3, 3)

    class Likes(torch.nn.Module):
        """Logits: twice the own stones, and once the other's."""

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, planes):
            logits = 2.0 * planes[:, 0] + planes[:, 1]
            policy = torch.cat([logits.flatten(1), torch.full((len(planes), 1), 5.0)], 1)
            return Said(policy, torch.zeros(len(planes), 3), logits, logits[:, 0, 0])

    for seed in range(10):
        logits, _ = guided_by(Likes(), turns, np.random.default_rng(seed))(leaves, np.array([0]))
        assert logits[0].tolist() == [0, 2, 1, 0, 0, 0, 0, 0, 0, 5]


def test_one_network_plays_on_every_board():
    network = Network(8, 2)
    for height, width in ((3, 3), (5, 5), (5, 7), (9, 9)):
        said = network(torch.zeros(2, 10, height, width, dtype=torch.uint8))
        assert said.policy.shape == (2, height * width + 1)
        assert said.owner.shape == (2, height, width)
        assert (said.outcome.shape, said.score.shape) == ((2, 3), (2,))
        assert said.value.abs().max() < 1e-6  # it knows nothing yet
    x = torch.arange(8.0).view(1, 2, 2, 2)
    np.testing.assert_allclose(pooled(x)[0], [1.5, 5.5, 1.5 * -0.5, 5.5 * -0.5, 3, 7])
    x = torch.randn(2, 3, 5, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    for precise in (x, x.bfloat16()):
        assert torch.equal(pooled(precise)[:, 6:], precise.amax((2, 3)))
    gradients = [torch.autograd.grad(f(x).square().sum(), x)[0] for f in (lambda x: pooled(x)[:, 6:], highest)]
    assert torch.equal(*gradients)


def highest(x):
    return x.amax((2, 3))


def test_owners_are_told_from_black_to_white_whoever_moves():
    torch.manual_seed(0)
    network = Network(8, 1)
    torch.nn.init.normal_(network.owner.weight)
    mind = Mind(network, 3, 3)
    empty = mind.owners(Board(RULES))
    np.testing.assert_allclose(empty, empty.T, atol=1e-5)
    np.testing.assert_allclose(empty, empty[::-1], atol=1e-5)
    assert np.abs(empty).max() <= 1


# ---------------------------------------------------------------------------------------------- learning


def trained(updates, seed=0):
    made = alphazero.experiment(TINY, seed=seed, device="cpu")
    made.source.reset(seed)
    rows = [made.algorithm.update(made.source.draw(made.algorithm)) for _ in range(updates)]
    return made, rows


def test_the_same_seed_learns_the_same():
    (one, rows), (other, again) = trained(2), trained(2)
    assert rows == again
    for mine, its in zip(one.algorithm.network.parameters(), other.algorithm.network.parameters(), strict=True):
        assert torch.equal(mine, its)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_learns_what_it_is_told(one_thread, monkeypatch, precision):
    """Games in which the search advised nothing but passes and black had the whole board: all losses fall."""
    monkeypatch.setattr(networks, "has_bf16", lambda device: True)  # slow where it is not, but right
    config = dataclasses.replace(TINY, width=32, anneal=False, precision=precision)
    algorithm = AlphaZero(config, seed=0, device="cpu", updates=10)
    records = drawn(Playing(draw=4, slots=1, groups=1))
    for record in records:
        record.policies = [np.eye(10, dtype=np.float16)[9]] * len(record.moves)
        record.owners, record.result = np.ones(9, np.int8), 1
    first = algorithm.update(records)
    for _ in range(25):
        last = algorithm.update(records)
    for name in ("loss/policy", "loss/outcome", "loss/owner", "loss/score", "policy/entropy"):
        assert last[name] < 0.2 * first[name], name
    said = algorithm.network(torch.from_numpy(np.stack([Board(RULES).planes(), Board(RULES, [0]).planes()])))
    assert said.value.detach().round().tolist() == [1, -1]  # black is to move, then white
    assert (said.score.detach() * 3).tolist() == pytest.approx([8.5, -8.5], abs=2)


def test_a_resigned_game_teaches_no_owner_and_no_score():
    algorithm = AlphaZero(TINY, seed=0, device="cpu", updates=1)
    record = Record(0, moves=[4, 0], policies=[np.full(10, 0.1, np.float16)] * 2, full=[True, False], result=1)
    algorithm.window.add([record])
    losses, _ = algorithm.losses(algorithm.window.all, np.zeros(16, int))
    assert [loss.item() for loss in losses[2:]] == [0.0, 0.0]


def test_an_evaluation_plays_both_colours_and_keeps_a_game_that_proves_itself(tmp_path):
    made, _ = trained(1)
    found = made.evaluate(made.algorithm)
    assert set(found.scores) <= {0.0, 0.5, 1.0}
    assert found.metrics["win_rate"] == np.mean(found.scores)
    kept = found.episodes[0]
    kept.save(tmp_path / "game.npz")
    again = saved.load(tmp_path / "game.npz")
    assert saved.verify(again).step is None
    assert (tmp_path / "game.sgf").exists()
    other = WHITE if again.winner == BLACK else BLACK
    moved = saved.SavedGame(again.rules, "a", "b", other, "passes", again.moves, again.checksums)
    assert saved.verify(moved).step is not None


# ---------------------------------------------------------------------------------------------- matches


def test_searching_beats_chance():
    searcher = Searcher(by_playouts, Searching("uct", 60, c_puct=1.0))
    played = series(searcher, at_random, Rules(5, 5, komi=0.5), 10, np.random.default_rng(0))
    assert sum(one.points_of_first for one in played) >= 9
    assert [one.first for one in played] == [BLACK, WHITE] * 5
    assert all(one.board.moves[:2] == two.board.moves[:2] for one, two in zip(played[::2], played[1::2], strict=True))


def test_a_player_follows_any_board():
    searcher, dice = Searcher(by_playouts, Searching("puct", 20)), np.random.default_rng(0)
    for moves in ([4], [4, 0], [4, 0, 1, 2], [3], []):
        board = Board(RULES, moves)
        assert board.allows(searcher(board, dice))
        assert searcher.moves == moves
    other = Board(chosen("chinese", 4), [1])
    assert other.allows(searcher(other, dice))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda board, dice: None, "resigned"),
        (lambda board, dice: 4, "illegal"),
        (lambda board, dice: fail(), "failed"),
    ],
)
def test_who_resigns_errs_or_fails_has_lost(answer, reason):
    played = game({BLACK: lambda board, dice: 4, WHITE: answer}, Board(RULES), np.random.default_rng(0), WHITE)
    assert (played.winner, played.reason, played.points_of_first) == (BLACK, reason, 0.0)


def fail():
    raise BadInputError("gone")


def test_openings_are_legal_and_hold_no_pass():
    for seed in range(5):
        board = opened(RULES, 4, np.random.default_rng(seed))
        assert len(board.moves) == 4
        assert 9 not in board.moves
