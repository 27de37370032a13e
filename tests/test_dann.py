"""Domain adaptation: gradient reversal, λ, distances in closed form, transfer, and what two Gaussians come to."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from sparring.adversarial import dann, domains
from sparring.adversarial.dann import Adaptation, Config, Learner, Pair
from sparring.adversarial.data import Labelled
from sparring.adversarial.domains import Domain
from sparring.adversarial.dynamics import DYNAMICS, Simultaneous
from sparring.adversarial.game import Match
from sparring.adversarial.play import Schedule
from sparring.agents import statistics
from sparring.envs.errors import BadInputError
from sparring.runners import keepsakes, options

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = Config(Schedule(steps=20, rounds=5, samples=40), batch=8, precision="fp32")
UNLABELLED = ("dann", "cdan", "adda", "mmd", "coral", "source-only")


def config(**changes):
    return dataclasses.replace(TINY, **changes)


def game_of(settings, seed=0):
    return Adaptation(settings, dann.players_of(settings, *dann.both_domains(settings), seed))


def pair_of(settings, seed=0):
    deal = dann.dealer(settings, *dann.both_domains(settings))
    return deal(torch.Generator().manual_seed(seed), 1)[0]


def slopes(game, player, batch, weights):
    return torch.autograd.grad(game.loss(player, batch), list(weights))


def test_a_normalised_critic_sees_features_as_a_fresh_probe_does():
    """Whatever scale and shift both domains have in common is nothing to it, and its units cannot die of them."""
    torch.manual_seed(0)
    features = torch.rand(2 * 8, 6)
    for normed in (False, True):
        critic = dann.critic_of(6, normed=normed)
        far = critic(50 * features - 1_000)
        assert torch.allclose(critic(features), far, atol=1e-3) == normed
        hidden = critic[:-1](50 * features - 1_000)
        assert bool((hidden > 0).any(0).all()) == normed
        assert not list(critic.buffers())  # nothing that an evaluation could take for another


# ---------------------------------------------------------------------------------------------- gradient reversal


class Reversal(torch.autograd.Function):
    """The identity forwards, −λ backwards (Ganin & Lempitsky 2015, eq. 14 and 15)."""

    @staticmethod
    def forward(ctx, features, weight):
        ctx.weight = weight
        return features.clone()

    @staticmethod
    def backward(ctx, slope):
        return -ctx.weight * slope, None


def test_playing_at_once_is_one_backward_pass_through_a_reversal_layer():
    settings = config(weight=0.7, weight_rule="constant", rate_rule="constant", normalisation="none")
    play, table, _ = dann.experiment(settings, seed=3, device="cpu")
    again, _, _ = dann.experiment(settings, seed=3, device="cpu")
    learner, critic = again.game.players["learner"], again.game.players["critic"]
    descent = torch.optim.SGD([*learner.parameters(), *critic.parameters()], lr=0.01, momentum=0.9)
    table.reset(5)
    rounds = table.draw(play)
    for [batch] in rounds:
        features, logits = learner(torch.cat([batch.source, batch.target]))
        told = critic(Reversal.apply(features, 0.7))[:, 0]
        label_loss = cross_entropy(logits[:8], batch.labels)
        domain_loss = binary_cross_entropy_with_logits(told[:8], torch.ones(8)) + binary_cross_entropy_with_logits(
            told[8:], torch.zeros(8)
        )
        descent.zero_grad()
        (label_loss + domain_loss).backward()
        descent.step()
    play.update(rounds)
    for one, other in zip(play.game.parameters(), again.game.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["dann", "cdan", "adda", "mmd", "coral"])
def test_the_weight_scales_what_goes_into_the_extractor_and_nothing_else(method):
    batch = pair_of(TINY)
    found = {}
    for weight in (0.0, 1.0, 3.0):
        game = game_of(config(method=method, weight=weight, weight_rule="constant"))
        extract, predict = game.learner.extract, game.learner.predict
        found[weight] = {
            "extractor": slopes(game, "learner", batch, extract.parameters()),
            "predictor": slopes(game, "learner", batch, predict.parameters()),
        }
        if "critic" in game.players:
            found[weight]["critic"] = slopes(game, "critic", batch, game.players["critic"].parameters())
    for none, once, thrice in zip(*(found[weight]["extractor"] for weight in (0.0, 1.0, 3.0)), strict=True):
        torch.testing.assert_close(thrice - none, 3 * (once - none), rtol=1e-3, atol=1e-6)
        assert not torch.equal(once, none)
    for player in found[0.0].keys() - {"extractor"}:
        for none, thrice in zip(found[0.0][player], found[3.0][player], strict=True):
            torch.testing.assert_close(none, thrice)


def test_the_critic_learns_to_tell_apart_what_the_learner_hides():
    batch, game = pair_of(TINY), game_of(config(weight_rule="constant"))
    features, logits = game.learner(torch.cat([batch.source, batch.target]))
    told = game.players["critic"](features)[:, 0].sigmoid()
    told_apart = -(told[:8].log().mean() + (1 - told[8:]).log().mean())
    torch.testing.assert_close(game.loss("critic", batch), told_apart)
    torch.testing.assert_close(game.loss("learner", batch), cross_entropy(logits[:8], batch.labels) - told_apart)
    game = game_of(config(method="adda", weight_rule="constant"))
    exchanged = -((1 - told[:8]).log().mean() + told[8:].log().mean())
    torch.testing.assert_close(game.loss("learner", batch), cross_entropy(logits[:8], batch.labels) + exchanged)


def test_cdans_critic_sees_every_feature_with_every_class():
    settings = config(method="cdan")
    batch, game = pair_of(settings), game_of(settings)
    features, logits = game.learner(torch.cat([batch.source, batch.target]))
    seen = torch.einsum("bk,bf->bkf", logits.softmax(1), features).flatten(1)
    told = game.players["critic"](seen)[:, 0].sigmoid()
    torch.testing.assert_close(game.loss("critic", batch), -(told[:8].log().mean() + (1 - told[8:]).log().mean()))


@pytest.mark.parametrize("name", DYNAMICS)
def test_any_dynamics_moves_both_but_those_for_zero_sum_games(name):
    settings = config(batch=2, dynamics=name, schedule=Schedule(steps=2, rounds=1, samples=40), weight_rule="constant")
    if name == "competitive":
        with pytest.raises(BadInputError, match="competitive descent takes a zero-sum game, and Adaptation is none"):
            dann.experiment(settings, seed=0, device="cpu")
        return
    play, table, _ = dann.experiment(settings, seed=0, device="cpu")
    before = [weight.detach().clone() for weight in play.game.parameters()]
    table.reset(0)
    found = play.update(table.draw(play))
    assert all(math.isfinite(value) for value in found.values())
    moved = [not torch.equal(a, b) for a, b in zip(before, play.game.parameters(), strict=True)]
    assert all(moved)


@pytest.mark.parametrize("method", dann.Method.__args__)
def test_addas_players_take_turns_unless_told_otherwise_and_all_others_move_at_once(method):
    expected = "alternating" if method == "adda" else "simultaneous"
    play, *_ = dann.experiment(config(method=method), seed=0, device="cpu")
    assert type(play.dynamics) is DYNAMICS[expected]
    assert config(method=method, dynamics="extragradient").moving == "extragradient"
    assert dann.protocol_of(play.game.config, play.precision, 100, 0)["dynamics"] == expected


def told_by_hand(game, batch, method):
    """The losses as the head of the module has them, domain by domain."""
    ours, theirs = (game.learner.extract(images) for images in (batch.source, batch.target))
    chances = [game.learner.predict(some).softmax(1) for some in (ours, theirs)]
    labels = [
        -p[torch.arange(len(p)), y].log().mean()
        for p, y in zip(chances, (batch.labels, batch.target_labels), strict=True)
    ]
    if method in ("source-only", "train-on-target"):
        return {"learner": labels[method == "train-on-target"]}
    if method == "mmd":
        return {"learner": labels[0] + 0.7 * dann.kernel_distance(ours, theirs)}
    if method == "coral":
        return {"learner": labels[0] + 0.7 * dann.covariance_distance(ours, theirs)}
    if method == "cdan":
        ours, theirs = (
            torch.einsum("bk,bf->bkf", p.detach(), f).flatten(1) for p, f in zip(chances, (ours, theirs), strict=True)
        )
    d = [game.players["critic"](some)[:, 0].sigmoid() for some in (ours, theirs)]
    critic = -d[0].log().mean() - (1 - d[1]).log().mean()
    exchanged = -(1 - d[0]).log().mean() - d[1].log().mean()
    hidden = exchanged if method == "adda" else -critic
    return {"learner": labels[0] + 0.7 * hidden, "critic": critic}


@pytest.mark.parametrize("method", [one for one in dann.Method.__args__ if one != "transfer"])
def test_the_losses_of_one_look_are_those_that_are_written_down(method):
    batch, game = pair_of(TINY), game_of(config(method=method, weight=0.7, weight_rule="constant"))
    found, expected = dict(game.losses(batch)), told_by_hand(game, batch, method)
    assert list(found) == list(expected) == list(game.players)
    for player, loss in expected.items():
        torch.testing.assert_close(found[player], loss, rtol=1e-4, atol=1e-5)
        assert torch.equal(game.loss(player, batch), found[player])


# ---------------------------------------------------------------------------------------------- schedules


@pytest.mark.parametrize(
    ("begun", "weight"), [(1, 0.0), (11, 0.462117), (51, 0.986614), (91, 0.999753), (101, 0.999909)]
)
def test_the_weight_rises_as_the_paper_says(begun, weight):
    """2 / (1 + e^(−10 q)) − 1 at q = 0, 0.1, 0.5, 0.9, 1."""
    game = game_of(config(schedule=Schedule(steps=100), weight=2.0))
    game.begun.fill_(begun)
    assert game.weight == pytest.approx(2 * weight, abs=2e-6)
    constant = game_of(config(schedule=Schedule(steps=100), weight=2.0, weight_rule="constant"))
    constant.begun.fill_(begun)
    assert constant.weight == 2


def test_the_weight_goes_on_from_a_checkpoint():
    play, table, _ = dann.experiment(TINY, seed=0, device="cpu")
    table.reset(0)
    play.update(table.draw(play))
    again, _, _ = dann.experiment(TINY, seed=1, device="cpu")
    assert again.game.weight != play.game.weight
    again.game.load_state_dict(play.game.state_dict())
    assert int(again.game.begun) == 5
    assert again.game.weight == play.game.weight == pytest.approx(2 / (1 + math.exp(-10 * 4 / 20)) - 1)


def test_the_rate_falls_as_the_paper_says():
    """(1 + 10 q)^−0.75 at q = 0, 0.1, 0.5, 0.9."""
    ten = Schedule(steps=10, rounds=1)
    rate = dann.rate_of(config(schedule=ten))
    assert [round(rate(begun), 5) for begun in (0, 1, 5, 9)] == [1.0, 0.5946, 0.26085, 0.17783]
    twice = dann.rate_of(config(schedule=ten, method="transfer"))
    once = dann.rate_of(config(schedule=Schedule(steps=5, rounds=1)))
    assert [twice(begun) for begun in range(10)] == [once(begun) for begun in range(5)] * 2
    play, table, _ = dann.experiment(TINY, seed=0, device="cpu")
    table.reset(0)
    play.update(table.draw(play))
    rates = [optimiser.param_groups[0]["lr"] for optimiser in play.match.optimisers.values()]
    assert rates == pytest.approx([0.01 * 3.5**-0.75] * 2)
    play, *_ = dann.experiment(config(rate_rule="constant"), seed=0, device="cpu")
    play.update(table.draw(play))
    assert play.match.optimisers["learner"].param_groups[0]["lr"] == 0.01


# ---------------------------------------------------------------------------------------------- distances


def test_the_kernel_distance_has_its_closed_form():
    """Of one point each, d apart, w² = d²/2 (two of four distances are 0) and MMD² = 2 − 2 exp(−2 / s)."""
    x, y = torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, -2.0]])
    for scale in (0.25, 1.0, 4.0):
        found = dann.kernel_distance(x, y, scales=(scale,))
        assert found.item() == pytest.approx(2 - 2 * math.exp(-2 / scale), rel=1e-5)
    expected = np.mean([2 - 2 * math.exp(-2 / scale) for scale in (0.25, 0.5, 1.0, 2.0, 4.0)])
    assert dann.kernel_distance(x, y).item() == pytest.approx(expected, rel=1e-5)


def test_the_kernel_distance_is_the_sum_over_all_pairs():
    dice = torch.Generator().manual_seed(0)
    x, y = torch.randn(7, 3, generator=dice), torch.randn(7, 3, generator=dice) + 1
    both = torch.cat([x, y]).double()
    width = ((both[:, None] - both) ** 2).sum(2).mean()

    def k(a, b):
        return torch.exp(-((a[:, None] - b) ** 2).sum(2) / (2.0 * width)).mean()

    expected = k(x.double(), x.double()) + k(y.double(), y.double()) - 2 * k(x.double(), y.double())
    assert dann.kernel_distance(x, y, scales=(2.0,)).item() == pytest.approx(expected.item(), rel=1e-4)
    assert dann.kernel_distance(x, x).item() == pytest.approx(0, abs=1e-6)


def test_the_covariance_distance_has_its_closed_form():
    """Covariances diag(2, 8) and [[2, 2], [2, 2]]: ‖difference‖² = 4 + 4 + 36 = 44, over 4 F² = 16."""
    x = torch.tensor([[1.0, 2.0], [-1.0, 2.0], [1.0, -2.0], [-1.0, -2.0]]) * (3 / 2) ** 0.5
    y = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    torch.testing.assert_close(x.T.cov(), torch.diag(torch.tensor([2.0, 8.0])))
    assert dann.covariance_distance(x, y).item() == pytest.approx(44 / 16)
    assert dann.covariance_distance(x + 5, x).item() == pytest.approx(0, abs=1e-9)  # means do not matter


# ---------------------------------------------------------------------------------------------- labels of the target


@pytest.mark.parametrize("method", UNLABELLED)
def test_no_label_of_the_target_is_looked_at(method):
    batch, game = pair_of(TINY), game_of(config(method=method))
    game.begin(batch)
    other = batch._replace(target_labels=(batch.target_labels + 1) % 10)
    for player in game.players:
        assert torch.equal(game.loss(player, batch), game.loss(player, other))


def test_the_ceiling_looks_at_nothing_else():
    batch, game = pair_of(TINY), game_of(config(method="train-on-target"))
    expected = cross_entropy(game.learner(batch.target)[1], batch.target_labels)
    torch.testing.assert_close(game.loss("learner", batch), expected)
    assert list(game.players) == ["learner"]


def test_only_as_many_labels_are_known_as_is_said():
    settings = config(method="train-on-target", labelled=3)
    seen = {image.numpy().tobytes() for seed in range(5) for image in pair_of(settings, seed).target}
    known = domains.load("colour-digits").train.x[:3]
    assert seen == {image.numpy().tobytes() for image in known}


# ---------------------------------------------------------------------------------------------- transfer


def transferred(**changes):
    """A transfer of 8 rounds just before its second half, after it, and how it began."""
    settings = config(method="transfer", schedule=Schedule(steps=8, rounds=1, samples=40), optimiser="adam", **changes)
    play, table, _ = dann.experiment(settings, seed=0, device="cpu")
    learner = play.game.learner
    began = {name: weight.detach().clone() for name, weight in learner.named_parameters()}
    table.reset(0)
    for _ in range(4):
        play.update(table.draw(play))
    half = {name: weight.detach().clone() for name, weight in learner.named_parameters()}
    return play, table, began, half


LAYERS = ("extract.body.0", "extract.body.3", "predict.0", "predict.2", "predict.4")


def test_the_layers_are_named_from_the_image_inwards():
    learner = game_of(TINY).learner
    assert list(learner.weights_of(slice(None))) == [
        f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias")
    ]
    assert set(learner.weights_of(slice(None))) == {name for name, _ in learner.named_parameters()}
    assert len(LAYERS) == dann.LAYERS


@pytest.mark.parametrize("copied", [0, 2, 5])
def test_frozen_layers_stay_and_the_others_begin_anew(copied):
    play, table, began, half = transferred(copied=copied, frozen=True)
    assert not any(torch.equal(half[name], began[name]) for name in half)
    batch = table.draw(play)
    play.match.begin(batch[0][0])
    at_turn = {name: weight.detach().clone() for name, weight in play.game.learner.named_parameters()}
    for number, layer in enumerate(LAYERS):
        before = half if number < copied else began
        assert torch.equal(at_turn[f"{layer}.weight"], before[f"{layer}.weight"])
    assert play.match.optimisers["learner"].state == {}
    for _ in range(3):
        play.update(table.draw(play))
    for number, layer in enumerate(LAYERS):
        stayed = torch.equal(play.game.learner.get_parameter(f"{layer}.bias"), at_turn[f"{layer}.bias"])
        assert stayed == (number < copied)


def test_batch_norm_is_frozen_with_the_layer_before_it():
    play, table, _, half = transferred(copied=2, frozen=True, batch_norm="apart")
    layers = [list(play.game.learner.weights_of(slice(k, k + 1))) for k in range(len(LAYERS))]
    assert [len(names) for names in layers] == [4, 4, 2, 2, 2]
    for _ in range(4):
        play.update(table.draw(play))
    for number, names in enumerate(layers):
        stayed = [torch.equal(play.game.learner.get_parameter(name), half[name]) for name in names]
        assert stayed == [number < 2] * len(names)


def test_the_moments_of_layers_that_begin_anew_are_forgotten():
    play, table, _, _ = transferred(copied=1, batch_norm="apart")
    first, second = (part for part in play.game.learner.modules() if isinstance(part, nn.BatchNorm2d))
    assert int(first.num_batches_tracked) == int(second.num_batches_tracked) == 4
    play.match.begin(table.draw(play)[0][0])
    assert (int(first.num_batches_tracked), int(second.num_batches_tracked)) == (4, 0)
    assert torch.equal(second.running_var, torch.ones_like(second.running_var))
    assert not torch.equal(first.running_var, torch.ones_like(first.running_var))


@pytest.mark.parametrize("steps", [20, 30, 50])
def test_the_rate_of_a_transfer_begins_anew_in_the_update_in_which_its_layers_do(steps):
    settings = config(method="transfer", schedule=Schedule(steps=steps, rounds=10))
    game, rate = game_of(settings), dann.rate_of(settings)
    reborn = []
    for update in range(settings.schedule.updates):
        reborn += [update for _ in range(10) if game.begin(None)]
    [turn] = reborn
    assert rate(turn) == rate(0) == 1
    assert all(rate(update) < rate(update - 1) for update in range(1, settings.schedule.updates) if update != turn)


def test_the_average_that_is_judged_begins_anew_where_the_learner_does():
    play, table, _, _ = transferred(copied=0, average=0.9)
    play.update(table.draw(play))
    average, learner = play.player("learner"), play.game.learner
    assert average is not learner
    assert all(torch.equal(one, other) for one, other in zip(average.parameters(), learner.parameters(), strict=True))
    play.update(table.draw(play))
    assert not any(torch.equal(*pair) for pair in zip(average.parameters(), learner.parameters(), strict=True))


def test_fine_tuning_keeps_all_and_moves_all():
    play, table, _, half = transferred()
    play.match.begin(table.draw(play)[0][0])
    assert all(torch.equal(weight, half[name]) for name, weight in play.game.learner.named_parameters())
    play.update(table.draw(play))
    assert not any(torch.equal(weight, half[name]) for name, weight in play.game.learner.named_parameters())


def test_the_first_half_learns_the_source_and_the_second_the_target():
    settings = config(method="transfer", schedule=Schedule(steps=8))
    batch, game = pair_of(settings), game_of(settings)
    for begun, images, labels in ((4, batch.source, batch.labels), (5, batch.target, batch.target_labels)):
        game.begun.fill_(begun)
        torch.testing.assert_close(game.loss("learner", batch), cross_entropy(game.learner(images)[1], labels))


def test_a_transfer_that_was_stopped_before_its_turn_goes_on_as_if_it_had_not():
    play, table, _, _ = transferred(copied=1)
    again, _, *_ = transferred(copied=1)
    for name, part in again.parts().items():
        part.load_state_dict(play.parts()[name].state_dict())
    for _ in range(2):
        batch = table.draw(play)
        assert play.update(batch) == again.update(batch)


# ---------------------------------------------------------------------------------------------- two Gaussians


class Flat(Learner):
    """f(x) = ⟨w, x⟩ of points in the plane, and a logistic regression on f."""

    def __init__(self):
        nn.Module.__init__(self)
        self.norms_apart = False
        self.extract = nn.Linear(2, 1, bias=False)
        self.predict = nn.Linear(1, 2)
        with torch.no_grad():
            self.extract.weight.copy_(torch.tensor([[0.5, 0.6]]))
            self.predict.weight.copy_(torch.tensor([[-0.5], [0.5]]))
            self.predict.bias.zero_()


def two_gaussians(shift, count=4_000):
    """Classes at ±(1, 1) with unit noise; the target is the source, shifted."""
    dice = torch.Generator().manual_seed(0)
    y = torch.arange(count) % 2
    source, target = ((2.0 * y - 1)[:, None] + torch.randn(count, 2, generator=dice) for _ in range(2))
    return Pair(source, y, target + torch.tensor(shift), y)


def adapted(shift, weight):
    """The way w / ‖w‖ of f, and its accuracy on the target, after a match to its rest; source-only at weight 0."""
    game = Adaptation(
        config(weight=weight, weight_rule="constant", method="dann" if weight else "source-only"),
        {"learner": Flat(), **({"critic": nn.Linear(1, 1)} if weight else {})},
    )
    rates = {"learner": 0.1 / (1 + weight), "critic": 0.5}
    match = Match(game, {name: torch.optim.SGD(p.parameters(), lr=rates[name]) for name, p in game.players.items()})
    batch = two_gaussians(shift)
    for _ in range(2_500):
        match.begin(batch)
        Simultaneous().step(match, [batch])
    way = game.learner.extract.weight.detach()[0]
    right = game.learner(batch.target)[1].argmax(1) == batch.target_labels
    return way / way.norm(), float(right.double().mean())


@pytest.mark.parametrize("shift", [(0.0, 3.0), (1.0, -2.0)])
def test_what_is_hidden_is_the_direction_in_which_the_domains_differ(shift):
    """f cannot tell the domains apart iff ⟨w, shift⟩ = 0, which λ enforces the more the larger it is, while source-only
    keeps w along the classes, (1, 1)."""
    along, apart = torch.tensor([0.5**0.5, 0.5**0.5]), torch.tensor(shift) / torch.tensor(shift).norm()
    (plain, floor), (little, _), (much, reached) = (adapted(shift, weight) for weight in (0.0, 1.0, 10.0))
    assert abs(float(plain @ along)) > 0.99
    assert abs(float(little @ apart)) < abs(float(plain @ apart)) / 1.5
    assert abs(float(much @ apart)) < 0.04
    assert abs(float(much @ apart)) < abs(float(little @ apart)) / 3
    assert reached > floor + 0.03


# ---------------------------------------------------------------------------------------------- what is judged and kept


@pytest.fixture(scope="module")
def judged():
    play, table, judge = dann.experiment(
        config(schedule=Schedule(steps=20, rounds=5, samples=100)), seed=0, device="cpu"
    )
    table.reset(1)
    play.update(table.draw(play))
    return play, judge, judge(play)


def test_an_evaluation_says_what_can_be_known_without_labels_too(judged):
    found = judged[2].metrics
    assert next(iter(found)) == "target_accuracy"
    assert found["target_accuracy_low"] <= found["target_accuracy"] <= found["target_accuracy_high"]
    assert {"source_accuracy", "target_entropy", "a_distance", "a_distance_linear"} <= set(found)
    assert 0 <= found["target_entropy"] <= math.log(10) + 1e-6
    assert 0 <= found["a_distance"] <= 2


def test_the_protocol_is_stored_with_the_number(judged):
    assert judged[2].protocol == {
        "name": "digits-to-colour-digits",
        "method": "dann",
        "dynamics": "simultaneous",
        "normalisation": "mean",
        "batch norm": "none",
        "critic norm": False,
        "optimiser": "sgd 0.01 inverse",
        "λ": "1 ramp",
        "steps": 20,
        "rate": "falls every 5 steps",
        "batch": 8,
        "precision": "fp32",
        "samples": 100,
        "checkpoint": "last",
        "target labels": "only judged by",
        "seeds": [0, 0],
    }
    told = dann.protocol_of(config(method="train-on-target", labelled=50, batch_norm="apart"), "fp32", 2_000, 3)
    assert (told["target labels"], told["batch norm"], told["samples"]) == ("50 learned from", "apart", 40)
    assert "critic norm" not in told


@pytest.mark.parametrize(
    ("method", "unused"),
    [
        ("dann", {"copied", "frozen"}),
        ("mmd", {"critic_norm", "copied", "frozen"}),
        ("source-only", {"weight", "weight_rule", "critic_norm", "copied", "frozen"}),
        ("transfer", {"weight", "weight_rule", "critic_norm"}),
    ],
)
def test_a_configuration_knows_which_options_have_no_effect_on_it(method, unused):
    assert set(config(method=method).unused) == unused


def test_settings_that_learn_otherwise_are_never_told_alike():
    """But for what a protocol cannot show: which photos, and where files lie."""
    mnist = config(source="mnist", target="mnistm")
    transfer = config(method="transfer", labelled=9)
    pairs = [
        (TINY, config(dynamics="extragradient")),
        (TINY, config(batch=9)),
        (TINY, config(average=0.9)),
        (config(method="adda"), config(method="adda", dynamics="simultaneous")),
        (transfer, dataclasses.replace(transfer, copied=2)),
        (transfer, dataclasses.replace(transfer, frozen=True)),
        (mnist, dataclasses.replace(mnist, photos="somewhere")),
        (mnist, dataclasses.replace(mnist, schedule=dataclasses.replace(mnist.schedule, rounds=2))),
    ]
    for one, other in pairs:
        assert dann.protocol_of(one, "fp32", 100, 0) != dann.protocol_of(other, "fp32", 100, 0)
    assert dann.protocol_of(TINY, "fp32", 100, 0) != dann.protocol_of(TINY, "bf16", 100, 0)
    told = dann.protocol_of(dataclasses.replace(mnist, photos="somewhere"), "fp32", 100, 0)
    assert "somewhere" not in str(told)


class Known(nn.Module):
    """A learner whose features are the images themselves."""

    def __init__(self):
        super().__init__()
        self.on = nn.Parameter(torch.zeros(()))

    def forward(self, images):
        return images.flatten(1), images.flatten(1)[:, :10]


def told_apart(things, sides, drawings, shift):
    """A-distances of two domains whose rows show the same, so many things so often, one shifted; and Bayes's."""
    rows = torch.randn(things, 1, 1, sides, generator=torch.Generator().manual_seed(0)).repeat(drawings, 1, 1, 1)
    shifted, nobody = rows.clone(), torch.zeros(len(rows)).long()
    shifted[..., 0] += shift
    source, target = (Domain("some", Labelled(x, nobody), Labelled(x, nobody)) for x in (rows, shifted))
    error = 0.5 * torch.special.erfc(torch.tensor(shift / 2 / 2**0.5)).item()
    return dann.distances(Known(), source, target, seed=0), 2 * (1 - 2 * error)


def test_probes_find_the_distance_of_domains_that_show_the_same():
    (linear, deep), bayes = told_apart(things=8_000, sides=20, drawings=1, shift=1.5)
    assert linear == pytest.approx(bayes, abs=0.1)
    assert deep == pytest.approx(bayes, abs=0.1)


def test_what_is_shown_in_both_domains_does_not_hide_a_small_shift():
    """Asked where a thing is from whose likeness it learned in the other domain, a probe would be misled."""
    found, bayes = told_apart(things=8_000, sides=300, drawings=1, shift=0.5)
    assert 0.08 < min(found) <= max(found) < bayes


def test_what_is_drawn_again_and_again_is_not_asked_about_by_heart():
    """A probe that remembers 1,200 things would err less than anybody who must tell by the shift."""
    found, bayes = told_apart(things=1_200, sides=100, drawings=7, shift=1.5)
    assert 0.3 < min(found) <= max(found) < bayes + 0.05


def test_an_evaluation_changes_nothing(judged):
    play, judge, evaluation = judged
    before = {name: weight.clone() for name, weight in play.game.state_dict().items()}
    assert judge(play).metrics == evaluation.metrics
    assert all(torch.equal(weight, before[name]) for name, weight in play.game.state_dict().items())
    assert play.game.players["learner"].training


def test_its_sheet_proves_itself_and_is_a_picture(judged, tmp_path):
    [sheet] = judged[2].episodes
    sheet.save(tmp_path / "x.npz")
    kept = keepsakes.load(tmp_path / "x.npz")
    assert keepsakes.prove(kept, Console()).step is None
    shown = list(keepsakes.show([kept]).pictures())
    assert shown[0].ndim == 3
    assert shown[0].std() > 10
    moved = {name: weight * 1.1 if weight.ndim else weight for name, weight in sheet.weights.items()}
    assert keepsakes.prove(dataclasses.replace(sheet, weights=moved), Console()).step is not None


def test_a_subject_is_what_the_learner_says_of_the_target(judged):
    subject = dann.subject(TINY, judged[0])
    x = subject.domain.test.x[:5]
    assert subject.domain.name == "colour-digits"
    assert torch.equal(subject.model.eval()(x), judged[0].game.learner.eval()(x)[1])
    judged[0].game.learner.train()


@pytest.mark.parametrize(
    ("words", "preset"),
    [
        ("", "digits"),
        ("--source mnist --target mnistm", "mnist"),
        ("--target usps", "usps"),
        ("--source usps --target mnist", "usps-to-mnist"),
        ("--source=mnist --target=mnistm --normalisation instance", "mnist"),
        ("--target usps --preset mnist", "mnist"),
        ("--source mnistm --target mnist", "mnist"),
        ("--source usps --target mnistm", "mnist"),
        ("--source mnistm --target usps", "mnist"),
        ("--source colour-digits --target digits", "digits"),
    ],
)
def test_the_domains_that_are_named_choose_the_preset(words, preset):
    assert options.chosen_preset(dann.PRESETS, words.split()) == preset


# ---------------------------------------------------------------------------------------------- networks


def test_images_are_normalised_as_is_said():
    learner = game_of(config(normalisation="instance")).learner
    x = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(learner.extract(x), learner.extract(x * 0.5 + 0.2), rtol=1e-3, atol=1e-4)
    learner = game_of(config(normalisation="mean")).learner
    mean = (domains.load("digits").train.x.mean(0) + domains.load("colour-digits").train.x.mean(0)) / 2
    torch.testing.assert_close(learner.extract(x), learner.extract.body(x - mean))
    learner = game_of(config(normalisation="none")).learner
    torch.testing.assert_close(learner.extract(x), learner.extract.body(x))


def test_the_networks_are_the_papers_for_mnist():
    """conv5×5-32, pool, conv5×5-48, pool, 100, 100, 10; the critic 100, 1 (JMLR 2016, figure 4a)."""
    settings = dann.PRESETS["mnist"].config
    learner = Learner((3, 28, 28), 10, torch.zeros(3, 28, 28), settings)
    shapes = [tuple(weight.shape) for weight in learner.parameters() if weight.ndim > 1]
    assert shapes == [(32, 3, 5, 5), (48, 32, 5, 5), (100, 768), (100, 100), (10, 100)]
    assert (settings.batch, settings.learning_rate, settings.optimiser) == (64, 0.01, "sgd")


# ---------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": "colour-digits"}, "source and target are both colour-digits; there is nothing to adapt to"),
        ({"photos": "x"}, "photos are for mnistm; digits and colour-digits are made without"),
        ({"labelled": 5}, "labelled is 5, and dann sees no label of the target; leave it"),
        ({"copied": 6}, "copied is 6; it must be between 0 and 5"),
        ({"batch": 1}, "batch is 1; it must be at least 2"),
        ({"dynamics": "simultan"}, "no dynamics is called 'simultan'; did you mean simultaneous"),
        *(
            ({"method": "transfer", "dynamics": name}, f"dynamics is {name}, which remembers.*; take simultaneous")
            for name in ("optimistic", "lookahead", "lookahead:inner=optimistic")
        ),
    ],
)
def test_what_cannot_be_is_refused(changes, said):
    with pytest.raises(BadInputError, match=said):
        config(**changes)


def test_more_labels_than_there_are_are_refused():
    with pytest.raises(BadInputError, match="labelled is 20000, and colour-digits has 19200 images to learn from"):
        dann.experiment(config(method="train-on-target", labelled=20_000), seed=0, device="cpu")


def test_domains_that_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setattr(
        domains,
        "load",
        lambda name, *rest: (
            domains.digits()
            if name == "digits"
            else domains.Domain(name, *(part._replace(x=part.x[:, :, :8]) for part in domains.digits()[1:]))
        ),
    )
    with pytest.raises(BadInputError, match=r"images of digits are \[3, 16, 16\] and those of mnist \[3, 8, 16\]"):
        dann.experiment(config(target="mnist"), seed=0, device="cpu")


# ---------------------------------------------------------------------------------------------- slowly


@pytest.mark.slow
def test_dann_closes_a_share_of_the_gap_on_the_digits_preset(capsys):
    """Five seeds of the preset, last checkpoint."""
    found = {}
    for method in ("source-only", "dann", "train-on-target"):
        settings = dataclasses.replace(dann.PRESETS["digits"].config, method=method)
        accuracies = []
        for seed in range(5):
            play, table, judge = dann.experiment(settings, seed=seed, device="cpu")
            for update in range(settings.schedule.updates):
                if update % settings.schedule.save_every == 0:  # as the runner does at every save
                    table.reset(int(np.random.SeedSequence([seed, update]).generate_state(1)[0] >> 2))
                play.update(table.draw(play))
            accuracies.append(judge(play).metrics["target_accuracy"])
        found[method] = statistics.estimate(accuracies)
    floor, reached, ceiling = (estimate.value for estimate in found.values())
    with capsys.disabled():
        print(f"\n{found}\nshare of the gap: {(reached - floor) / (ceiling - floor):.0%}")
    assert found["dann"].low > found["source-only"].high
    assert (reached - floor) / (ceiling - floor) > 0.25
