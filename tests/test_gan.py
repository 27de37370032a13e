"""GANs: losses and penalties held to closed forms, at discriminators whose logits are known."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from sparring.adversarial import diagnostics, gan
from sparring.adversarial.dynamics import DYNAMICS, named
from sparring.adversarial.gan import GAN, LOSSES, Config, Dealt
from sparring.adversarial.play import Schedule
from sparring.envs.errors import BadInputError, UnknownNameError

SLOPE = torch.tensor([3.0, -4.0])  # of the linear discriminator: a norm of 5


class Linear(nn.Module):
    """D(x) = ⟨SLOPE, x⟩, in packs."""

    def __init__(self, pack=1):
        super().__init__()
        self.weight = nn.Parameter(SLOPE.clone())
        self.pack = pack

    def forward(self, samples, classes):
        return (samples @ self.weight).view(-1, self.pack).sum(1)


class Shift(nn.Module):
    """G(z) = z + shift."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(2))

    def forward(self, latents, classes):
        return latents + self.shift


def game(**options):
    config = Config(Schedule(steps=10), "ring8", batch=4, **options)
    return GAN(config, nn.ModuleDict({"discriminator": Linear(config.pack), "generator": Shift()}))


@pytest.fixture
def batch():
    dice = torch.Generator().manual_seed(0)
    real, latents = torch.randn(4, 2, generator=dice), torch.randn(4, 2, generator=dice)
    return Dealt(real, torch.zeros(4, dtype=torch.long), latents, torch.tensor([0.0, 0.3, 0.5, 1.0]))


def logits(batch):
    return batch.real @ SLOPE, batch.latents @ SLOPE


def s(t):
    return torch.log1p(t.exp())


@pytest.mark.parametrize(
    ("loss", "discriminator", "generator"),
    [
        ("minimax", lambda r, f: s(-r) + s(f), lambda r, f: -s(-r) - s(f)),
        ("non-saturating", lambda r, f: s(-r) + s(f), lambda r, f: s(-f)),
        ("least-squares", lambda r, f: ((r - 1) ** 2 + f**2) / 2, lambda r, f: (f - 1) ** 2 / 2),
        ("wasserstein", lambda r, f: f - r, lambda r, f: r - f),
        ("hinge", lambda r, f: (1 - r).clamp(min=0) + (1 + f).clamp(min=0), lambda r, f: -f),
        ("relativistic", lambda r, f: s(f - r), lambda r, f: s(r - f)),
    ],
)
def test_losses_are_what_their_papers_say(batch, loss, discriminator, generator):
    r, f = logits(batch)
    torch.testing.assert_close(game(loss=loss).loss("discriminator", batch), discriminator(r, f).mean())
    torch.testing.assert_close(game(loss=loss).loss("generator", batch), generator(r, f).mean())


def test_every_loss_has_its_test():
    [mark] = test_losses_are_what_their_papers_say.pytestmark
    assert {case[0] for case in mark.args[1]} == set(LOSSES)


@pytest.mark.parametrize("loss", LOSSES)
def test_zero_sum_is_what_adds_up_to_nothing(batch, loss):
    played = game(loss=loss)
    whole = played.loss("discriminator", batch) + played.loss("generator", batch)
    assert played.zero_sum == (abs(whole.item()) < 1e-6)
    assert not game(loss=loss, r1=0.1).zero_sum


@pytest.mark.parametrize(
    ("options", "penalty"),
    [
        ({"r1": 0.2}, 0.1 * 25),
        ({"r2": 0.2}, 0.1 * 25),
        ({"r1": 0.2, "r2": 0.6}, 0.4 * 25),
        ({"gradient_penalty": 10.0}, 10 * 16),  # (5 − 1)²
        ({"r1": 0.2, "pack": 2}, 0.1 * 50),  # a pack has two slopes
        ({"gradient_penalty": 10.0, "pack": 2}, 10 * (math.sqrt(50) - 1) ** 2),
    ],
)
def test_penalties_have_their_closed_form_at_a_linear_discriminator(batch, options, penalty):
    plain = game(pack=options.get("pack", 1))
    penalised = game(**options)
    difference = penalised.loss("discriminator", batch) - plain.loss("discriminator", batch)
    assert difference.item() == pytest.approx(penalty, rel=1e-4)
    assert penalised.loss("generator", batch).item() == plain.loss("generator", batch).item()


def test_the_slope_is_looked_at_where_the_batch_says(batch):
    """D(x) = ‖x‖²/2 has the slope x, so the penalty tells where it was looked at."""

    class Bowl(Linear):
        def forward(self, samples, classes):
            return samples.square().sum(1) / 2 * self.weight.norm() / 5

    played = game(gradient_penalty=1.0)
    played.players["discriminator"] = Bowl()
    plain = game()
    plain.players["discriminator"] = Bowl()
    between = batch.mix[:, None] * batch.real + (1 - batch.mix[:, None]) * batch.latents
    expected = (between.norm(dim=1) - 1).square().mean()
    found = played.loss("discriminator", batch) - plain.loss("discriminator", batch)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("options", [{}, {"r1": 0.1}, {"r2": 0.1}, {"gradient_penalty": 1.0}, {"loss": "relativistic"}])
def test_a_loss_reaches_both_players(batch, options):
    """So that dynamics that look at the others' part, through the fakes too, see all of it."""
    config = Config(Schedule(steps=10), "ring8", batch=4, width=8, depth=1, **options)
    played = GAN(config, gan.players_of(config, gan.data.ring(), 0))
    for player in played.players:
        reached = torch.autograd.grad(played.loss(player, batch), list(played.parameters()), allow_unused=True)
        moved = [name for (name, _), one in zip(played.named_parameters(), reached, strict=True) if one is not None]
        assert {name.split(".")[1] for name in moved} == {"discriminator", "generator"}


def test_the_critics_weights_are_clipped():
    played = game(clip=0.5)
    with torch.no_grad():
        played.project("generator")
        played.project("discriminator")
    assert played.players["discriminator"].weight.tolist() == [0.5, -0.5]


@pytest.mark.parametrize("name", DYNAMICS)
def test_every_dynamics_moves_a_gan(name):
    config = Config(Schedule(steps=10), "ring8", loss="minimax", batch=8, width=8, depth=1, dynamics=name)
    experiment = gan.experiment(config, seed=0, device="cpu")
    experiment.source.reset(1)
    before = [weight.detach().clone() for weight in experiment.algorithm.game.parameters()]
    found = experiment.algorithm.update(experiment.source.draw(experiment.algorithm))
    assert all(math.isfinite(value) for value in found.values())
    moved = [not torch.equal(a, b) for a, b in zip(before, experiment.algorithm.game.parameters(), strict=True)]
    assert all(moved)


def test_alternating_play_is_the_loop_that_everybody_writes():
    config = Config(Schedule(steps=10, rounds=7), "ring8", batch=16, width=8, depth=2, r1=0.1)
    play, table, _ = gan.experiment(config, seed=3, device="cpu")
    table.reset(5)
    rounds = table.draw(play)
    known = gan.data.ring()
    seed = int(np.random.SeedSequence(3).generate_state(1)[0])
    networks = gan.players_of(config, known, seed)
    d, g = networks["discriminator"], networks["generator"]
    descent = {n: torch.optim.Adam(n.parameters(), lr=1e-3, betas=(0.5, 0.99), fused=True) for n in (d, g)}
    play.update(rounds)
    for [(real, nobody, latents, _)] in rounds:
        x = real.clone().requires_grad_()
        told = d(x, nobody)
        [slope] = torch.autograd.grad(told.sum(), x, create_graph=True)
        loss = s(-told).mean() + s(d(g(latents, nobody).detach(), nobody)).mean() + 0.05 * slope.square().sum(1).mean()
        descent[d].zero_grad()
        loss.backward()
        descent[d].step()
        descent[g].zero_grad()
        s(-d(g(latents, nobody), nobody)).mean().backward()
        descent[g].step()
    for one, other in zip(play.game.players["discriminator"].parameters(), d.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    for one, other in zip(play.game.players["generator"].parameters(), g.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_what_cannot_be_is_refused():
    ring = Config(Schedule(steps=10), "ring8")
    with pytest.raises(BadInputError, match="batch is 256 and pack 3; packs must be whole"):
        dataclasses.replace(ring, pack=3)
    with pytest.raises(UnknownNameError, match="no dynamics is called 'alternate'; did you mean alternating"):
        dataclasses.replace(ring, dynamics="alternate")
    with pytest.raises(BadInputError, match="conditioning is projection, and ring8 has no classes; use digits"):
        gan.experiment(dataclasses.replace(ring, conditioning="projection"), seed=0, device="cpu")
    with pytest.raises(BadInputError, match="competitive descent takes a zero-sum game, and GAN is none"):
        gan.experiment(dataclasses.replace(ring, dynamics="competitive"), seed=0, device="cpu")
    with pytest.raises(BadInputError, match=r"average is 1\.5; it must be between 0 and 1"):
        dataclasses.replace(ring, average=1.5)


def test_the_instruments_read_a_game_and_leave_it_as_it_is(batch):
    config = Config(Schedule(steps=10), "ring8", batch=8, width=8, depth=1, diagnose=True)
    play, table, _ = gan.experiment(config, seed=0, device="cpu")
    before = [weight.detach().clone() for weight in play.game.parameters()]
    table.reset(0)
    (batch,), (apart,), *_ = table.draw(play)
    found = gan.diagnosis(config, play.game, batch, apart)
    assert list(found) == ["gap_at_least", "field_norm", "eigenvalue_size", "eigenvalue_turn"]
    assert found["gap_at_least"] > 0.01  # both can answer better than they do at first
    assert 0 <= found["eigenvalue_turn"] <= found["eigenvalue_size"] * (1 + 1e-9)
    assert all(torch.equal(a, b) for a, b in zip(before, play.game.parameters(), strict=True))
    assert play.match.gradients == 0


class Tabular(nn.Module):
    """A logit for each of some points, which are numbered."""

    pack = 1

    def __init__(self, points):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(points).double())

    def forward(self, samples, classes):
        return self.logits[samples[:, 0].long()]


class Same(nn.Module):
    """G(z) = z."""

    def forward(self, latents, classes):
        return latents


def test_the_optimal_discriminator_and_the_value_on_a_discrete_game():
    """Best response: D*(x) = p / (p + q), value −log 4 + 2 JS(p, q) (Goodfellow et al. 2014, prop. 1 and thm. 1)."""
    p, q = np.array([10, 6, 3, 1]) / 20, np.array([2, 4, 6, 8]) / 20
    points, config = np.arange(4), Config(Schedule(steps=10), "ring8", loss="minimax")
    real, latents = (torch.tensor(points.repeat((20 * share).astype(int)))[:, None] for share in (p, q))
    batch = Dealt(real, torch.zeros(20), latents, torch.zeros(20))
    played = GAN(config, nn.ModuleDict({"discriminator": Tabular(4), "generator": Same()}))
    diagnostics.descend(5_000, lambda weights: torch.optim.SGD(weights, lr=2.0))(played, "discriminator", batch)
    best = played.players["discriminator"].logits.detach().sigmoid()
    np.testing.assert_allclose(best, p / (p + q), atol=1e-9)
    middle = (p + q) / 2
    js = ((p * np.log(p / middle)).sum() + (q * np.log(q / middle)).sum()) / 2
    assert -played.value(batch).item() == pytest.approx(-math.log(4) + 2 * js, abs=1e-9)


def test_names_of_dynamics_come_with_parameters():
    config = Config(Schedule(steps=10), "ring8", dynamics="alternating:k=5")
    assert gan.experiment(config, seed=0, device="cpu").source.batches == 5
    assert named("alternating:k=5").batches == 5
