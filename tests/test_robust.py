"""Adversarial training: losses in closed form, the round of an attacker, and what an evaluation says."""

import dataclasses
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from sparring.adversarial import alarm, convnet, data, robust
from sparring.adversarial.attacks import Attack, Ball, reads
from sparring.adversarial.domains import Domain
from sparring.adversarial.game import Match
from sparring.adversarial.play import Schedule
from sparring.adversarial.robust import Answering, Config, Dealt, Standing, Steepest
from sparring.envs.errors import BadInputError
from sparring.runners import keepsakes

pytestmark = pytest.mark.usefixtures("one_thread")

SHARED = Path(os.environ.get(data.FOLDER, Path(__file__).parents[2] / "shared" / "data"))
SHAPE = (1, 3, 3)
TINY = Config(Schedule(steps=20, rounds=5, samples=40), ramp=0.0, batch=16, width=4, attack_steps=3)


def dice(seed=0):
    return torch.Generator().manual_seed(seed)


def config(**changes):
    return dataclasses.replace(TINY, **changes)


class Logistic(nn.Module):
    """Two classes, of which the second has the logit ⟨w, x⟩ + b."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(9, generator=dice(1)))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        told = x.flatten(1) @ self.weight + self.bias
        return torch.stack([torch.zeros_like(told), told], 1)


def dealt(settings, count=16):
    """Images in the middle of the range, where it is in nobody's way."""
    x = torch.rand(count, *SHAPE, generator=dice(2)) * 0.3 + 0.35
    y = torch.randint(2, (count,), generator=dice(3))
    start = torch.zeros_like(x)
    if settings.method in ("noise", "fgsm-rs", "pgd", "trades"):
        start = settings.ball.anywhere(x, dice(4))
    return Dealt(x, y, start)


def match_of(settings, model, rate=0.0):
    game = Standing(settings, model, SHAPE)
    optimisers = {"model": torch.optim.SGD(model.parameters(), lr=rate)}
    if settings.climbers:
        weights = list(game.players["attacker"].parameters())
        optimisers["attacker"] = Steepest(weights, settings.ball, lambda: game.climb.alpha)
    return Match(game, optimisers)


def played(match, batch, settings):
    match.begin(batch)
    Answering().step(match, [batch])


# ---------------------------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize(
    ("method", "stride", "norm", "dual"),
    [  # one step from a random point of a round ball ends beside the worst one, so that fgsm-rs is not asked there
        ("fgsm", 1.0, "linf", 1),
        ("fgsm", 1.0, "l2", 2),
        ("fgsm-rs", 2.0, "linf", 1),
        ("pgd", 0.3, "linf", 1),
        ("pgd", 0.3, "l2", 2),
    ],
)
def test_training_a_logistic_regression_is_training_on_its_dual_norm_form(method, stride, norm, dual):
    """max over ‖δ‖ ≤ ε of log(1 + exp(−m)) is log(1 + exp(−m + ε ‖w‖*)); its gradient moves the model."""
    settings = config(method=method, norm=norm, epsilon=0.1, climbs=60, stride=stride)
    model, batch = Logistic(), dealt(settings)
    closed = Logistic()
    match = match_of(settings, model, rate=0.5)
    for _ in range(5):
        side = 2.0 * batch.y - 1
        margins = side * (batch.x.flatten(1) @ closed.weight + closed.bias)
        loss = softplus(-margins + settings.epsilon * closed.weight.norm(p=dual)).mean()
        played(match, batch, settings)
        torch.testing.assert_close(match.losses["model"], loss.detach(), rtol=1e-4, atol=1e-5)
        slope = torch.autograd.grad(loss, [closed.weight, closed.bias])
        with torch.no_grad():
            for weight, one in zip((closed.weight, closed.bias), slope, strict=True):
                weight -= 0.5 * one
        torch.testing.assert_close(model.weight, closed.weight, rtol=1e-3, atol=1e-4)


def test_the_natural_and_the_noisy_model_have_no_attacker():
    for method in ("natural", "noise"):
        settings, model = config(method=method, epsilon=0.1), Logistic()
        match, batch = match_of(settings, model), dealt(settings)
        assert list(match.weights) == ["model"]
        expected = nn.functional.cross_entropy(model(batch.x + batch.start), batch.y)
        played(match, batch, settings)
        torch.testing.assert_close(match.losses["model"], expected.detach())
        assert match.gradients == 1
        assert (batch.start == 0).all() == (method == "natural")


def test_trades_adds_the_divergence_that_the_attacker_raised():
    settings, model = config(method="trades", epsilon=0.1, climbs=5, beta=3.0), Logistic()
    match, batch = match_of(settings, model), dealt(settings)
    played(match, batch, settings)
    clean, moved = (model(x).softmax(1) for x in (batch.x, batch.x + match.game.at("attacker")))
    apart = (clean * (clean / moved).log()).sum(1)
    natural = -clean.gather(1, batch.y[:, None]).log().mean()
    torch.testing.assert_close(match.losses["model"], (natural + 3.0 * apart.mean()).detach())
    at_first = model(batch.x + batch.start).softmax(1)
    assert (apart > (clean * (clean / at_first).log()).sum(1) - 1e-6).all()


# ---------------------------------------------------------------------------------------------- the attacker


def test_the_attacker_is_born_anew_in_every_round():
    settings, model = config(method="fgsm-rs", epsilon=0.1), Logistic()
    match, batch = match_of(settings, model), dealt(settings)
    played(match, batch, settings)
    first = match.game.at("attacker").detach().clone()
    played(match, batch, settings)
    torch.testing.assert_close(match.game.at("attacker"), first)
    direction = -(2.0 * batch.y - 1).view(-1, 1, 1, 1) * model.weight.view(1, *SHAPE).sign()
    torch.testing.assert_close(first, (batch.start + 0.125 * direction).clamp(-0.1, 0.1))


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("method", ["fgsm", "fgsm-rs", "pgd", "trades"])
def test_the_attacker_stays_in_ball_and_image(method, norm):
    settings, model = config(method=method, norm=norm, epsilon=0.4, climbs=4, stride=3.0), Logistic()
    match = match_of(settings, model)
    batch = dealt(settings)
    edge = batch._replace(x=torch.rand(batch.x.shape, generator=dice(5)).round())
    if method != "fgsm-rs":  # which begins where x + δ may be no image
        edge = edge._replace(start=settings.ball.project(batch.start, edge.x))
    played(match, edge, settings)
    delta = match.game.at("attacker").detach()
    assert ((edge.x + delta >= 0) & (edge.x + delta <= 1)).all()
    lengths = delta.flatten(1).abs().max() if norm == "linf" else delta.flatten(1).norm(dim=1).max()
    assert float(lengths) <= 0.4 + 1e-6
    assert float(lengths) > 0


def test_no_images_step_depends_on_the_others():
    settings, model = config(method="pgd", epsilon=0.1, climbs=3), Logistic()
    batch = dealt(settings)
    match = match_of(settings, model)
    played(match, batch, settings)
    alone = match_of(config(method="pgd", epsilon=0.1, climbs=3, batch=1), model)
    few = Dealt(*(part[:1] for part in batch))
    played(alone, few, settings)
    torch.testing.assert_close(alone.game.at("attacker")[0], match.game.at("attacker")[0])


def test_a_round_costs_what_it_climbs_and_one_for_the_model():
    for method, gradients in (("natural", 1), ("fgsm", 2), ("fgsm-rs", 2), ("pgd", 8), ("trades", 8)):
        settings = config(method=method, climbs=7)
        match = match_of(settings, Logistic())
        played(match, dealt(settings), settings)
        assert match.gradients == gradients


def test_one_step_from_a_random_start_ends_between_the_corners_of_the_ball_where_an_image_is_black():
    """Wong's start is not cut to the image. Cut, a black pixel that rises would always rise by ε: 0 + 1.25 ε, cut to ε.
    With a start U(−ε, ε) it rises by min(ε, start + 1.25 ε), and by less than ε for starts below −ε / 4: 3 in 8."""
    settings, model = config(method="fgsm-rs", epsilon=0.2, batch=400), Logistic()
    black = torch.zeros(400, *SHAPE)
    start = settings.ball.uniform(black, dice())
    match = match_of(settings, model)
    played(match, Dealt(black, torch.ones(400, dtype=torch.long), start), settings)
    rising = match.game.at("attacker").detach()[:, model.weight.view(SHAPE) < 0]
    assert float((rising < 0.2).double().mean()) == pytest.approx(3 / 8, abs=0.05)
    assert float(rising.min()) >= 0.05 - 1e-6
    [batch, *_] = robust.dealer(config(method="fgsm-rs", epsilon=0.2), robust.images_of("digits", "").train)(dice(), 1)
    assert float((batch.x + batch.start).min()) < 0
    [batch, *_] = robust.dealer(config(method="pgd", epsilon=0.2), robust.images_of("digits", "").train)(dice(), 1)
    assert float((batch.x + batch.start).min()) >= 0


def test_batches_begin_where_their_method_says():
    images = robust.images_of("digits", "").train

    def starts(method):
        settings = config(method=method, epsilon=0.2)
        return robust.dealer(settings, images)(dice(), 3)

    for method in ("natural", "fgsm"):
        assert not any(batch.start.any() for batch in starts(method))
    for method in ("noise", "fgsm-rs", "pgd"):
        [batch, *_] = starts(method)
        inside = (batch.x > 0.2) & (batch.x < 0.8)
        assert batch.start[inside].var().item() == pytest.approx(0.4**2 / 12, rel=0.2)
    [batch, *_] = starts("trades")
    assert 0 < float(batch.start.abs().max()) < 0.01
    assert [len(batch.x) for batch in starts("pgd")] == [16] * 3


@pytest.mark.parametrize(
    ("method", "turns", "alpha"),
    [("fgsm", 1, 0.3), ("fgsm-rs", 1, 0.375), ("pgd", 7, 0.3 * 2.5 / 7), ("trades", 7, 0.3 * 2.5 / 7)],
)
def test_steps_and_turns_are_their_papers(method, turns, alpha):
    settings = Config(Schedule(steps=1), method=method)
    for begun in (1, 2, 100):
        assert settings.climb(begun) == pytest.approx((turns, alpha))
        assert dataclasses.replace(settings, stride=0.5).climb(begun) == pytest.approx((turns, 0.15))


def test_every_so_many_rounds_fgsm_rs_climbs_as_pgd_does():
    """By hand: in rounds 3 and 6 of seven 4 steps of 2.5 / 4 ε, in the others one of 1.25 ε; the model moves in all."""
    settings = config(method="fgsm-rs", epsilon=0.1, pgd_every=3, climbs=4)
    assert [settings.climb(begun).turns for begun in range(1, 8)] == [1, 1, 4, 1, 1, 4, 1]
    assert settings.climb(3).alpha == pytest.approx(0.0625)
    match = match_of(settings, Logistic())
    asked = []
    for _ in range(7):
        played(match, dealt(settings), settings)
        asked.append(match.gradients)
    assert list(np.diff([0, *asked])) == [2, 2, 5, 2, 2, 5, 2]
    assert robust.climb_of(settings) == "1 × 1.25 ε, every 3 rounds 4 × 0.625 ε"


def test_an_experiment_takes_the_steps_of_its_rounds():
    """Where no pixel is in the way, the largest change of a turn is α: 1.25 ε in rounds 1 and 2, 0.5 ε in the third."""
    settings = config(method="fgsm-rs", epsilon=0.1, pgd_every=3, climbs=5)
    play, _, _ = robust.experiment(settings, seed=0, device="cpu")
    shape = robust.images_of("digits", "").shape
    grey, far = torch.full((16, *shape), 0.5), torch.zeros(16, dtype=torch.int64)
    longest = []
    for _ in range(3):
        play.match.begin(Dealt(grey, far, torch.zeros_like(grey)))
        at = play.game.at("attacker")
        at.grad = torch.ones_like(at)
        before = at.detach().clone()
        play.match.optimisers["attacker"].step()
        longest.append(float((at.detach() - before).abs().max()))
    assert longest == pytest.approx([0.125, 0.125, 0.05])


def test_a_round_of_many_steps_is_a_round_of_pgd():
    """From the same beginning, both make the same of attacker and model."""
    found = []
    for changes in ({"method": "fgsm-rs", "pgd_every": 1}, {"method": "pgd"}):
        settings = config(**changes, epsilon=0.1, climbs=5)
        model = Logistic()
        match = match_of(settings, model, rate=0.5)
        played(match, dealt(settings), settings)
        found.append((match.game.at("attacker").detach(), model.weight.detach(), match.gradients))
    torch.testing.assert_close(*found)


def test_rounds_of_many_steps_go_on_from_a_checkpoint():
    """Updates of 5 rounds and every third of many steps: after one update the next is in the first round."""
    settings = config(method="fgsm-rs", pgd_every=3)
    play, table, _ = robust.experiment(settings, seed=0, device="cpu")
    table.reset(0)
    play.update(table.draw(play))
    again, _, _ = robust.experiment(settings, seed=1, device="cpu")
    again.game.load_state_dict(play.game.state_dict())
    batch, *_ = table.draw(play)
    for one in (play, again):
        one.match.begin(*batch)
        assert one.game.climb.turns == settings.climbs


def test_the_rate_goes_there_and_back():
    """Up to 1 over two fifths of the updates, down to 0 over the rest (Wong et al., `train_mnist.py`)."""
    rate = robust.there_and_back(10)
    assert [round(rate(begun), 3) for begun in range(11)] == [0.25, 0.5, 0.75, 1, 1, 0.833, 0.667, 0.5, 0.333, 0.167, 0]


@pytest.mark.parametrize("updates", [1, 2, 3, 6, 11, 101])
def test_the_rate_never_exceeds_the_highest(updates):
    rates = [robust.there_and_back(updates)(begun) for begun in range(updates + 1)]
    assert max(rates[:-1]) <= 1
    assert rates[-1] == 0


def test_settings_that_learn_otherwise_are_never_told_alike():
    """But for what a protocol cannot show: where files lie, and how often what is saved or judged."""
    known = dict.fromkeys(("data", "data_dir", "schedule", "precision"))
    changes = {"method": "pgd", "norm": "l2", "cyclic": False, "climbs": 5, "stride": 0.7, "beta": 2.0}
    for field in dataclasses.fields(Config):
        if field.name in known:
            continue
        value = getattr(TINY, field.name)
        other = changes[field.name] if field.name in changes else value + (0.05 if isinstance(value, float) else 3)
        one = config(method={"climbs": "pgd", "beta": "trades"}.get(field.name, "fgsm-rs"))
        two = dataclasses.replace(one, **{field.name: other})
        assert field.name not in one.unused
        assert robust.protocol_of(one, "fp32", 9, 0) != robust.protocol_of(two, "fp32", 9, 0), field.name


@pytest.mark.parametrize(
    ("method", "unused"),
    [
        ("natural", {"climbs", "pgd_every", "stride", "beta", "ramp"}),
        ("noise", {"climbs", "pgd_every", "stride", "beta"}),
        ("fgsm", {"climbs", "pgd_every", "beta"}),
        ("fgsm-rs", {"climbs", "beta"}),
        ("pgd", {"pgd_every", "beta"}),
        ("trades", {"pgd_every"}),
    ],
)
def test_a_configuration_knows_which_options_have_no_effect_on_it(method, unused):
    assert set(config(method=method).unused) == unused
    assert set(config(method=method, pgd_every=4).unused) == unused - ({"climbs"} if method == "fgsm-rs" else set())


def test_why_an_option_has_no_effect_names_what_would_help():
    assert config(method="fgsm-rs").unused == {
        "climbs": "method is fgsm-rs and pgd_every is 0",
        "beta": "method is fgsm-rs",
    }
    every = config(method="fgsm-rs", pgd_every=1).unused
    assert every == {"stride": "method is fgsm-rs and pgd_every is 1", "beta": "method is fgsm-rs"}


def test_the_ball_grows_over_the_ramp():
    game = Standing(config(method="pgd", ramp=0.25), Logistic(), SHAPE)  # 5 of 20 rounds
    reach = []
    for _ in range(7):
        game.begin(dealt(game.config))
        reach.append(game.reach)
    assert reach == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1])


@pytest.mark.parametrize("method", ["fgsm-rs", "pgd"])
def test_without_a_ramp_the_ball_is_whole_from_the_start(method):
    game = Standing(config(method=method, ramp=0.0), Logistic(), SHAPE)
    game.begin(dealt(game.config))
    assert game.reach == 1


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(("method", "climbs"), [("noise", 1), ("fgsm", 1), ("fgsm-rs", 1), ("pgd", 4), ("trades", 4)])
def test_a_round_of_the_ramp_is_a_round_in_a_smaller_ball(method, climbs, norm):
    """At r = 0.4, away from the pixels' limits, everything is as with 0.4 ε: where δ begins, its steps, its ball."""
    large = config(method=method, norm=norm, epsilon=0.3, climbs=climbs, ramp=0.5)
    small = config(method=method, norm=norm, epsilon=0.12, climbs=climbs)
    batch = dealt(large)
    losses = []
    for settings, start in ((large, batch.start), (small, 0.4 * batch.start)):
        match = match_of(settings, Logistic())
        match.game.begun.fill_(3)  # the fourth of ten rounds
        played(match, batch._replace(start=start), settings)
        losses.append(match.losses["model"])
    torch.testing.assert_close(*losses)


def test_the_ramp_goes_on_from_a_checkpoint():
    play, table, judge = robust.experiment(config(method="pgd", ramp=0.5), seed=0, device="cpu")
    table.reset(0)
    play.update(table.draw(play))
    again, _, _ = robust.experiment(play.game.config, seed=1, device="cpu")
    again.game.load_state_dict(play.game.state_dict())
    assert again.game.reach == play.game.reach == 0.5
    assert judge(play).protocol["ramp"] == 0.5


# ---------------------------------------------------------------------------------------------- what is judged


@pytest.fixture(scope="module")
def taught():
    """A model of digits after some rounds of each kind."""
    found = {}
    for method in ("natural", "fgsm-rs"):
        attack = {"attack_steps": 10, "restarts": 3}  # from one point, ten steps are too weak for the alarm
        settings = config(method=method, epsilon=0.2, batch=100, width=8, schedule=Schedule(300, samples=200), **attack)
        play, table, judge = robust.experiment(settings, seed=0, device="cpu")
        table.reset(1)
        for _ in range(settings.schedule.updates):
            play.update(table.draw(play))
        found[method] = (settings, play, judge(play))
    return found


def test_who_was_attacked_stands_more_than_who_was_not(taught):
    natural, stood = (taught[method][2].metrics for method in ("natural", "fgsm-rs"))
    assert natural["clean_accuracy"] > 0.85
    assert natural["robust_accuracy"] < 0.15
    assert stood["robust_accuracy"] > natural["robust_accuracy"] + 0.2
    assert stood["robust_accuracy"] <= stood["clean_accuracy"]
    assert stood["robust_accuracy_low"] < stood["robust_accuracy"] < stood["robust_accuracy_high"]


def test_an_evaluation_says_what_its_number_is_worth(taught):
    settings, _, evaluation = taught["fgsm-rs"]
    protocol = evaluation.protocol
    assert protocol["robust accuracy"] == "evidence: 16 checks passed"
    assert evaluation.metrics["alarms"] == 0
    assert (protocol["ball"], protocol["attack"], protocol["samples"]) == ("linf 0.2", "PGD-10×3", 200)
    assert protocol["checkpoint"] == "last"
    assert (protocol["method"], protocol["steps"]) == ("fgsm-rs", 300)
    assert protocol["precision"] == taught["fgsm-rs"][1].precision != "auto"
    assert settings.attack.ball == Ball(0.2)


def test_an_evaluation_changes_nothing_and_says_the_same_again(taught):
    settings, play, evaluation = taught["fgsm-rs"]
    _, _, judge = robust.experiment(settings, seed=0, device="cpu")
    before = {name: weight.clone() for name, weight in play.game.state_dict().items()}
    again = judge(play)
    assert again.metrics == evaluation.metrics
    assert all(torch.equal(weight, before[name]) for name, weight in play.game.state_dict().items())
    assert play.game.players["model"].training
    assert all(weight.requires_grad for weight in play.game.parameters())


def test_its_sheet_holds_attacked_images_that_prove_themselves(taught, tmp_path, capsys):
    from rich.console import Console

    _, _, evaluation = taught["fgsm-rs"]
    [sheet] = evaluation.episodes
    assert np.abs(sheet.samples - sheet.latents.reshape(sheet.samples.shape)).max() == pytest.approx(0.2, abs=1e-6)
    sheet.save(tmp_path / "x.npz")
    kept = keepsakes.load(tmp_path / "x.npz")
    assert keepsakes.prove(kept, Console()).step is None
    picture = robust.picture(robust.Config(**{**sheet.config, "schedule": Schedule(**sheet.config["schedule"])}), sheet)
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    other = dataclasses.replace(sheet, weights={name: weight * 1.1 for name, weight in sheet.weights.items()})
    assert keepsakes.prove(other, Console()).step is not None


def test_a_subject_is_the_model_on_its_held_out_images(taught):
    settings, play, _ = taught["natural"]
    subject = robust.subject(settings, play)
    assert subject.model is play.game.players["model"]
    assert len(subject.domain.test.x) == 597
    assert (float(subject.domain.test.x.min()), float(subject.domain.test.x.max())) == (0, 1)
    assert subject.attack == settings.attack


def test_who_moves_the_natural_twin_moves_a_copy():
    images = robust.images_of("digits", "")
    convnet.twin(images, 4).to("meta")
    assert next(convnet.twin(images, 4).parameters()).device.type == "cpu"


def test_the_natural_twin_is_always_the_same_and_reads_well(monkeypatch):
    images = robust.images_of("digits", "")
    torch.manual_seed(5)
    first = convnet.twin(images, 4)
    convnet.KNOWN.clear()
    torch.manual_seed(6)
    again = convnet.twin(images, 4)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    monkeypatch.setattr(convnet, "taught", None)  # once a process
    assert all(torch.equal(a, b) for a, b in zip(convnet.twin(images, 4).parameters(), again.parameters(), strict=True))
    assert float((again(images.test.x).argmax(1) == images.test.y).double().mean()) > 0.85


def test_no_domain_gets_anothers_twin(monkeypatch):
    """Though what nobody holds is forgotten, and its place in memory taken by the next."""
    monkeypatch.setattr(convnet, "taught", lambda model, images: model)
    for classes in range(2, 30):
        some = data.Labelled(torch.zeros(40, 1, 8, 8), torch.arange(40) % classes)
        assert convnet.twin(Domain("some", some, some), 4)[-1].out_features == classes


# ---------------------------------------------------------------------------------------------- slowly


def trained(preset, **changes):
    """A preset's model, its attack, 200 held-out images with labels, and what its own evaluation says of PGD."""
    settings = dataclasses.replace(robust.PRESETS[preset].config, **changes)
    settings = dataclasses.replace(settings, schedule=dataclasses.replace(settings.schedule, samples=200))
    play, table, judge = robust.experiment(settings, seed=0, device="cpu")
    table.reset(0)
    for _ in range(settings.schedule.updates):
        play.update(table.draw(play))
    domain = robust.images_of(settings.data, settings.data_dir)
    return play, domain, settings, judge(play)


def under_one_step(play, domain, settings):
    """What one step leaves of the accuracy, and what the alarm says of that number."""
    attack, x, y = Attack("fgsm", settings.ball), domain.test.x[:200], domain.test.y[:200]
    with play.at_rest("model") as model:
        moved = attack(model, x, y, dice())
        left = float((reads(model, moved) == y).double().mean())
        checks = alarm.sounded(model, x, y, moved, attack, dice(), convnet.twin(domain))
    return left, alarm.evidence(checks)


@pytest.mark.slow
def test_training_on_one_step_from_the_image_collapses_and_the_alarm_says_so():
    """Digits, ε = 0.4: what one step leaves, many steps take. (That a random start saves the training is for MNIST: on
    digits so large a ball leaves nobody much to stand.)"""
    *found, evaluation = trained("digits", method="fgsm", epsilon=0.4, ramp=0.0)
    left, verdict = under_one_step(*found)
    assert left > 0.5
    assert evaluation.metrics["robust_accuracy"] < 0.05
    assert verdict.startswith("not evidence")


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="MNIST is not in ../shared/data")
def test_one_step_is_all_it_takes_against_a_natural_network_of_mnist():
    """Madry et al. 2018 have 6.4 %."""
    images = robust.images_of("mnist", os.fspath(SHARED))
    model, x, y = convnet.twin(images).eval(), images.test.x[:1_000], images.test.y[:1_000]
    assert float((reads(model, x) == y).double().mean()) > 0.95
    assert float((reads(model, Attack("fgsm", Ball(0.3))(model, x, y, dice())) == y).double().mean()) <= 0.1


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="MNIST is not in ../shared/data")
def test_on_mnist_random_starts_and_some_rounds_of_many_steps_save_the_training_that_collapses_without(monkeypatch):
    """With 2,000 rounds each. One step leaves much of both, many steps none of the one."""
    monkeypatch.setenv(data.FOLDER, os.fspath(SHARED))
    schedule = Schedule(steps=2_000, samples=200)
    *found, fallen = trained("mnist-fgsm", schedule=schedule)
    left, verdict = under_one_step(*found)
    *_, stood = trained("mnist-fgsm-rs", schedule=schedule)
    assert left > 0.7
    assert verdict.startswith("not evidence")
    assert fallen.metrics["robust_accuracy"] < 0.05
    assert fallen.metrics["clean_accuracy"] > 0.9
    assert stood.metrics["robust_accuracy"] > 0.6
    assert stood.protocol["robust accuracy"] == "evidence: 16 checks passed"


# ---------------------------------------------------------------------------------------------- what is refused


def test_what_cannot_be_is_refused():
    with pytest.raises(BadInputError, match=r"epsilon is 1\.2; it must be between 0 and 1"):
        config(epsilon=1.2)
    with pytest.raises(BadInputError, match=r"epsilon is -1; it must be at least 0"):
        config(epsilon=-1, norm="l2")
    with pytest.raises(BadInputError, match=r"ramp is 1\.5; it must be between 0 and 1"):
        config(ramp=1.5)
    with pytest.raises(BadInputError, match=r"climbs is 0; it must be at least 1"):
        config(climbs=0)
    with pytest.raises(BadInputError, match=r"restarts is 0; it must be at least 1"):
        config(restarts=0)
    assert math.isclose(config(epsilon=3.0, norm="l2").ball.epsilon, 3.0)
