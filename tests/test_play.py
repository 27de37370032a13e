"""Play and its table: what is learned, what survives, what falls, what is averaged."""

import contextlib
import dataclasses
import functools
import math

import pytest
import torch

from sparring.adversarial import gan, sheets
from sparring.adversarial.dynamics import Alternating, Competitive, Optimistic, Simultaneous
from sparring.adversarial.game import Game, Point
from sparring.adversarial.play import Play, Schedule, Table, falling
from sparring.envs.errors import BadInputError, DivergedError
from sparring.runners import checkpoint
from sparring.runners.folder import RunFolder
from sparring.runners.job import Job
from sparring.runners.tracker import Silent
from sparring.runners.train import StoppedError, train


class Chase(Game):
    """x would be where the batch says, y where x is."""

    def __init__(self):
        super().__init__({"x": Point([0.0]), "y": Point([4.0])})

    def loss(self, player, batch):
        goal = batch if player == "x" else self.at("x")
        return (self.at(player) - goal).square().sum() / 2


def play_of(game, dynamics=None, rate=0.5, **options):
    descent = {name: torch.optim.SGD(player.parameters(), lr=rate) for name, player in game.players.items()}
    return Play(game, dynamics or Alternating(), descent, **options)


def goals(dice, count):
    return list(torch.randn(count, 1, generator=dice, dtype=torch.float64))


def test_an_update_plays_its_rounds_and_tells_mean_losses():
    play = play_of(Chase())
    found = play.update([[2.0], [2.0]])
    # x: 0 → 1 → 1.5 at losses 2, 0.5; y, who sees x move first: 4 → 2.5 → 2 at losses 4.5, 0.5
    assert found == {"loss/x": 1.25, "loss/y": 2.5, "play/evaluations": 2.0}
    assert (play.game.at("x").item(), play.game.at("y").item()) == (1.5, 2.0)
    assert play.match.rounds == 2


def test_rates_fall_to_nothing_in_a_straight_line():
    play = play_of(Chase(), rates=dict.fromkeys("xy", falling(4)))
    rates = []
    for _ in range(4):
        rates.append([optimiser.param_groups[0]["lr"] for optimiser in play.match.optimisers.values()])
        play.update([[0.0]])
    assert rates == [[0.5, 0.5], [0.375, 0.375], [0.25, 0.25], [0.125, 0.125]]
    play = play_of(Chase())
    play.update([[0.0]])
    assert play.match.optimisers["x"].param_groups[0]["lr"] == 0.5


def test_an_average_follows_round_by_round():
    play = play_of(Chase(), averages={"x": 0.25})
    seen = []
    for goal in (2.0, 8.0, -4.0, 1.0):
        play.update([[goal]])
        seen.append(play.game.at("x").item())
    expected = seen[0]
    for one, decay in zip(seen[1:], (2 / 11, 0.25, 0.25), strict=True):  # 3 / 12 is the bound itself
        expected = decay * expected + (1 - decay) * one
    assert play.player("x").at.item() == pytest.approx(expected)
    assert play.player("y") is play.game.players["y"]


class Norms(Game):
    """One who normalises what it sees."""

    def __init__(self):
        super().__init__({"x": torch.nn.BatchNorm1d(1)})

    def loss(self, player, batch):
        return self.players[player](batch).square().mean()


def test_an_average_has_moments_of_its_own_and_counts_what_was_seen():
    play = play_of(Norms(), averages={"x": 0.25})
    seen = []
    for number in range(3):
        play.update([[torch.randn(8, 1) + number]])
        seen.append(play.game.players["x"].running_mean.item())
    norm = play.player("x")
    assert norm.running_mean.item() == pytest.approx(0.25 * (2 / 11 * seen[0] + 9 / 11 * seen[1]) + 0.75 * seen[2])
    assert int(norm.num_batches_tracked) == 3


class Scales(Game):
    """Both would have the product of their weights small."""

    def __init__(self):
        super().__init__({name: torch.nn.Linear(1, 1, bias=False) for name in "xy"})
        for weight in self.parameters():
            torch.nn.init.constant_(weight, 1 + 2**-10)  # 1, in the 8 bits of bf16

    def loss(self, player, batch):
        return self.players["y"](self.players["x"](batch)).sum()


@pytest.mark.parametrize(
    ("precision", "x", "y"),
    [
        ("bf16", 1 + 2**-10 - 0.5, 1 + 2**-10 - 0.5 * 0.5),
        ("fp32", 1 + 2**-10 - 0.5 * (1 + 2**-10), 1 + 2**-10 - 0.25 * (1 + 2**-10)),
    ],
)
def test_rounds_are_computed_in_the_precision_asked_for_on_weights_in_full(precision, x, y):
    """y, who moves second, sees where x has gone: no rounded weight is kept from before."""
    play = play_of(Scales(), precision=precision)
    play.update([[torch.ones(1, 1)]])
    assert [weight.item() for weight in play.game.parameters()] == [x, y]


def test_a_loss_that_is_not_finite_is_named_with_its_round():
    play = play_of(Chase())
    with pytest.raises(DivergedError, match=r"loss/x became inf in gradient step 2 of 3"):
        play.update([[2.0], [math.inf], [2.0]])


def test_a_game_that_a_dynamics_cannot_move_is_refused_at_once():
    with pytest.raises(BadInputError, match="competitive descent takes a zero-sum game, and Chase is none"):
        play_of(Chase(), Competitive())


def test_all_that_matters_survives(tmp_path):
    def begin():
        game = Chase()
        descent = {name: torch.optim.Adam(p.parameters(), lr=0.1) for name, p in game.players.items()}
        return Play(game, Optimistic(), descent, rates=dict.fromkeys("xy", falling(20)), averages={"y": 0.5})

    table, other = (Table(goals, rounds=3, batches=1, device="cpu") for _ in range(2))
    table.reset(4)
    play, again = begin(), begin()
    for _ in range(5):
        play.update(table.draw(play))
    torch.save(
        {**{name: part.state_dict() for name, part in play.parts().items()}, "table": table.state_dict()},
        tmp_path / "x",
    )
    saved = torch.load(tmp_path / "x", weights_only=True)
    for name, part in again.parts().items():
        part.load_state_dict(saved[name])
    other.load_state_dict(saved["table"])
    for _ in range(3):
        assert play.update(table.draw(play)) == again.update(other.draw(again))
    assert play.player("y").at.item() == again.player("y").at.item()
    assert (play.match.rounds, again.match.rounds) == (24, 24)


def test_a_table_deals_rounds_of_batches_that_follow_from_the_seed():
    table = Table(goals, rounds=3, batches=2, device="cpu")
    assert table.steps_per_draw == 3
    table.reset(1)
    first = table.draw(None)
    assert [len(round_) for round_ in first] == [2, 2, 2]
    assert len({one.item() for round_ in first for one in round_}) == 6
    second = table.draw(None)
    table.reset(1)
    assert table.draw(None) == first
    assert table.draw(None) == second
    assert table.report() == ({}, {})


def test_whatever_the_dynamics_a_round_takes_its_batches():
    for dynamics in (Simultaneous(), Alternating(3)):
        play = play_of(Chase(), dynamics)
        table = Table(goals, rounds=2, batches=dynamics.batches, device="cpu")
        table.reset(0)
        play.update(table.draw(play))
        assert play.match.gradients == 2 * (dynamics.batches + 1)


def test_a_schedule_counts_whole_updates():
    assert Schedule(steps=101, rounds=50).updates == 3
    assert Schedule(steps=100, rounds=50).updates == 2
    assert Schedule(steps=100).judging(7).samples == 7
    with pytest.raises(BadInputError, match="rounds is 0; it must be at least 1"):
        Schedule(steps=100, rounds=0)


# ---------------------------------------------------------------------------------------------- under the runner


def run_of(path, preset, stops=()):
    """A short run of a GAN, stopped after each of the updates and resumed; its rows and its last weights."""
    schedule = Schedule(steps=60, rounds=5, save_every=4, evaluate_every=3, samples=50)
    config = dataclasses.replace(gan.PRESETS[preset].config, schedule=schedule, width=8, depth=1, batch=8)
    job = Job("gan", 3, config, "cpu", 1)
    folder = RunFolder.create(path, job.record())
    for stop in (*stops, None):
        experiment = job.build()
        heard = []

        class Listener:
            def log(self, row, seconds, heard=heard):
                heard.append(row["update"])

        asked = functools.partial(lambda heard, stop: stop is not None and heard[-1] >= stop, heard, stop)
        with contextlib.suppress(StoppedError):
            train(experiment, job.run(experiment.source.steps_per_draw), Listener(), folder, asked)
    return (path / "metrics.jsonl").read_bytes(), checkpoint.read(folder.checkpoints[-1])


@pytest.mark.parametrize("preset", ["ring8", "r3gan", "digits-by-class"])
def test_a_gan_that_was_stopped_is_the_gan_that_was_not(preset, tmp_path):
    whole, weights = run_of(tmp_path / "whole", preset)
    parted, others = run_of(tmp_path / "parted", preset, stops=(2, 4, 9))
    assert parted == whole
    assert str(others) == str(weights)
    names = sorted(path.name for path in (tmp_path / "whole" / "episodes").iterdir())
    assert [name[:8] for name in names] == ["00000000", "00000003", "00000006", "00000009", "00000012"]
    for name in names:
        one, other = (sheets.load(tmp_path / run / "episodes" / name) for run in ("whole", "parted"))
        assert one.samples.tobytes() == other.samples.tobytes()


def test_a_gan_that_diverges_says_what_broke_first_and_keeps_the_last_checkpoint(tmp_path):
    config = dataclasses.replace(
        gan.PRESETS["ring8"].config,
        schedule=Schedule(steps=2_000, rounds=5, save_every=1, samples=50),
        width=8,
        depth=1,
        batch=8,
        generator_rate=1e30,
        discriminator_rate=1e30,
        anneal=False,
    )
    job = Job("gan", 3, config, "cpu", 1)
    folder = RunFolder.create(tmp_path / "run", job.record())
    experiment = job.build()
    with pytest.raises(
        DivergedError, match=r"update \d+: loss/\w+ became (nan|inf).*is from before and intact; a smaller"
    ):
        train(experiment, job.run(5), Silent(), folder)
    saved = checkpoint.read(folder.checkpoints[-1])
    checkpoint.check_finite(saved["parts"])
