"""Judging generators: what they are judged on is set apart, nothing is changed, and impostors are found out."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from sparring.adversarial import classifier, data, gan, judges
from sparring.adversarial.data import Labelled
from sparring.adversarial.play import Schedule
from sparring.envs.rollouts import Report

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = {"width": 8, "depth": 1, "batch": 8}


def experiment(preset="ring8", seed=0, **changes):
    schedule = Schedule(steps=20, rounds=5, samples=200)
    config = dataclasses.replace(gan.PRESETS[preset].config, schedule=schedule, **{**TINY, **changes})
    found = gan.experiment(config, seed=seed, device="cpu")
    found.source.reset(3)
    return found


@pytest.mark.parametrize("changes", [{}, {"spectral": True, "r1": 0.0}, {"average": 0.0}, {"diagnose": True}])
def test_an_evaluation_changes_nothing_and_is_the_same_again(changes):
    play, table, judge = experiment(**changes)
    play.update(table.draw(play))
    before = {name: str(part.state_dict()) for name, part in play.parts().items()}
    dice = torch.get_rng_state()
    one, other = judge(play), judge(play)
    assert one.metrics == other.metrics
    assert one.episodes[0].samples.tobytes() == other.episodes[0].samples.tobytes()
    assert {name: str(part.state_dict()) for name, part in play.parts().items()} == before
    assert torch.equal(torch.get_rng_state(), dice)
    assert play.game.training
    assert table.report() == Report({}, {})


def test_every_seed_is_judged_on_latents_of_its_own():
    latents = [experiment(seed=seed).evaluate(experiment(seed=seed).algorithm).episodes[0].latents for seed in (0, 1)]
    assert not np.array_equal(*latents)


def test_an_average_is_what_is_judged():
    play, table, judge = experiment(average=0.9)
    for _ in range(3):
        play.update(table.draw(play))
    sheet = judge(play).episodes[0]
    shown = {name: torch.from_numpy(weight) for name, weight in sheet.weights.items()}
    average, now = play.player("generator").state_dict(), play.game.players["generator"].state_dict()
    for name in average:
        assert torch.equal(shown[f"generator.{name}"], average[name])
    assert any(not torch.equal(average[name], now[name]) for name in average)


def test_who_knows_nothing_believes_in_a_half_and_is_asked_in_whole_batches():
    seen = []

    class Fool(nn.Module):
        pack = 2

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def forward(self, samples, classes):
            seen.append(len(samples))
            return samples.view(-1, 4).sum(1) * self.weight

    x, y = data.ring().sample(torch.Generator().manual_seed(0), 500)
    told = judges.calibration(Fool(), Labelled(x[:250], y[:250]), Labelled(x[250:], y[250:]), 100)
    assert told == {"believed_real": 0.5, "believed_fake": 0.5, "value": pytest.approx(-np.log(4))}
    assert seen == [100] * 4
    judges.calibration(Fool(), Labelled(x[:251], y[:251]), Labelled(x[250:], y[250:]), 1_000)
    assert seen[4:] == [250] * 2


@pytest.fixture(scope="module")
def digits():
    return data.digits()


def test_the_classifier_reads_digits_it_has_not_seen(digits):
    assert classifier.accuracy(classifier.trained(digits), digits.held_out) >= 0.98
    assert classifier.trained(digits) is classifier.trained(digits)


def test_held_out_images_pass_copies_are_found_out_and_noise_fails(digits):
    held_out, learned = digits.held_out, Labelled(digits.train.x[:597], digits.train.y[:597])
    noise = torch.rand(597, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    real, copied, random = (
        judges.quality(some, digits, True) for some in (held_out, learned, Labelled(noise, learned.y))
    )
    assert real["fid"] == pytest.approx(0, abs=1e-6)
    assert (real["memorisation"], real["memorisation_pixels"]) == (1, 1)
    assert real["asked_class"] >= 0.98
    assert real["inception_score"] > 9
    assert copied["fid"] < 2 * copied["fid_real"]
    assert max(copied["memorisation"], copied["memorisation_pixels"]) < 0.05 < copied["memorisation_real_low"]
    assert random["fid"] > 20
    assert random["memorisation"] > random["memorisation_real_high"]
    assert random["nearest_neighbour_accuracy"] > 0.95
    assert random["asked_class"] < 0.3
    assert random["parzen"] < real["parzen"]


def test_real_images_and_a_mixture_stand_beside_every_score(digits):
    known = judges.references(digits, 597)
    found = known.figures
    assert 0.1 < found["fid_real"] < found["fid_mixture"] < 10
    assert found["memorisation_real_low"] < 1 < found["memorisation_real_high"]
    assert judges.references(digits, 597) is known


def test_numbers_of_three_digits_are_read(digits):
    stacked = data.Stacked(digits)
    x, y = stacked.held_out
    found = judges.quality(Labelled(x, y), stacked, False)
    assert found["modes"] == pytest.approx(len(set(y.tolist())), abs=30)
    assert found["reverse_kl"] < 1  # 597 samples of 1,000 modes cannot be even
    nines = digits.held_out.x[digits.held_out.y == 9][:20].expand(-1, 3, -1, -1)
    assert judges.quality(Labelled(nines, y), stacked, False)["modes"] <= 3


def test_classes_are_asked_for_equally():
    _, classes = judges.asked(2, 10, 100, 0)
    assert torch.bincount(classes).tolist() == [10] * 10
    _, rows = judges.asked(2, 10, 100, 0, in_rows=True)
    assert rows.tolist() == [number // 10 for number in range(100)]
    assert not judges.asked(2, 0, 5, 0, in_rows=True)[1].any()
