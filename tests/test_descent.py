"""Gradient steps: RMSprop as TensorFlow has it, rates that fall, and the first quantity that is not finite by name."""

import copy
import math

import pytest
import torch
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from torch import nn

from sparring.agents.descent import Descent, DivergedError, RMSpropTF, Terms, check_finite
from sparring.envs.errors import BadInputError


def weight(*numbers):
    return nn.Parameter(torch.tensor(numbers))


# RMSpropTF


def test_the_first_step_of_rmsprop_by_hand():
    # v = 0.9 · 1 + 0.1 · g²: g = 3 gives 1.8, g = 0 gives 0.9 and no step; θ ← θ − 0.5 g / √(v + 0.2)
    w = weight(1.0, 7.0)
    w.grad = torch.tensor([3.0, 0.0])
    RMSpropTF([w], lr=0.5, alpha=0.9, eps=0.2).step()
    assert w.tolist() == pytest.approx([1 - 0.5 * 3 / math.sqrt(1.8 + 0.2), 7.0], abs=1e-6)


def test_the_second_step_of_rmsprop_remembers_the_square_of_the_first():
    w = weight(0.0)
    descent = RMSpropTF([w], lr=1.0, alpha=0.5, eps=0.0)
    for gradient, after in ((3.0, 5.0), (1.0, 3.0)):  # v = (1 + 9) / 2 = 5, then (5 + 1) / 2 = 3
        before = w.item()
        w.grad = torch.tensor([gradient])
        descent.step()
        assert before - w.item() == pytest.approx(gradient / math.sqrt(after))


def test_rmsprop_steps_as_stable_baselines_does():
    generator = torch.Generator().manual_seed(0)
    mine = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((5, 3), (3,), (2, 1, 4, 4))]
    theirs = [nn.Parameter(w.detach().clone()) for w in mine]
    options = {"lr": 7e-3, "alpha": 0.99, "eps": 1e-5}
    first = RMSpropTF(mine, **options)
    second = RMSpropTFLike(theirs, **options, centered=False, momentum=0)
    for step in range(50):
        for w, other in zip(mine, theirs, strict=True):
            w.grad = torch.randn(w.shape, generator=generator) * 0.1 ** step.bit_count()
            other.grad = w.grad.clone()
        first.step()
        second.step()
        for w, other in zip(mine, theirs, strict=True):
            torch.testing.assert_close(w, other, rtol=1e-6, atol=1e-7)


def test_rmsprop_leaves_a_weight_without_a_gradient_alone():
    moved, still = weight(1.0), weight(2.0)
    moved.grad = torch.tensor([1.0])
    RMSpropTF([moved, still], lr=0.1).step()
    assert moved.item() < 1
    assert still.item() == 2


# Descent


def halves(w):
    """A loss whose gradient is w."""
    return w.square().sum() / 2


def test_a_step_goes_down_the_gradient_and_tells_its_norm_before_it_was_clipped():
    w = weight(3.0, 4.0)
    descent = Descent(torch.optim.SGD([w], lr=0.5), max_norm=1.0, updates=None)
    assert descent.step(halves(w)).item() == pytest.approx(5)
    assert w.tolist() == pytest.approx([3 - 0.5 * 0.6, 4 - 0.5 * 0.8], rel=1e-5)


@pytest.mark.parametrize("fused", [True, False])
def test_a_step_marks_its_weights_as_changed_whatever_the_optimiser(fused):
    w = weight(3.0, 4.0)
    before = w._version
    Descent(torch.optim.Adam([w], lr=0.5, fused=fused), max_norm=1.0, updates=None).step(halves(w))
    assert w._version > before


def test_a_rate_may_stay_before_it_falls():
    descent = Descent(torch.optim.SGD([weight(1.0)], lr=0.4), max_norm=1.0, updates=8, level=0.5)
    seen = []
    for _ in range(8):
        descent.begin_update()
        seen.append(descent.left)
    assert seen == [1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]


def test_what_is_left_of_the_run_falls_from_one_and_the_rate_of_every_group_with_it():
    groups = [{"params": [weight(1.0)], "lr": 0.4}, {"params": [weight(1.0)], "lr": 4.0}]
    descent = Descent(torch.optim.SGD(groups), max_norm=1.0, updates=4)
    for left in (1.0, 0.75, 0.5, 0.25):
        descent.begin_update()
        assert descent.left == left
        assert [group["lr"] for group in descent.optimiser.param_groups] == pytest.approx([0.4 * left, 4.0 * left])


def test_rates_that_stay_leave_all_of_the_run_ahead():
    descent = Descent(torch.optim.SGD([weight(1.0)], lr=0.4), max_norm=1.0, updates=None)
    for _ in range(3):
        descent.begin_update()
        assert descent.left == 1
        assert descent.optimiser.param_groups[0]["lr"] == 0.4


@pytest.mark.parametrize(
    "optimiser", [lambda w: RMSpropTF([w], lr=0.1), lambda w: torch.optim.Adam([w], lr=0.1)], ids=["rmsprop", "adam"]
)
def test_a_descent_goes_on_from_its_state(optimiser):
    first, second = weight(3.0, -4.0), weight(0.0, 0.0)
    descents = [Descent(optimiser(w), max_norm=2.0, updates=10) for w in (first, second)]
    for _ in range(3):
        descents[0].begin_update()
        descents[0].step(halves(first))
    descents[1].load_state_dict(copy.deepcopy(descents[0].state_dict()))
    second.data.copy_(first)
    for _ in range(3):
        for descent, w in zip(descents, (first, second), strict=True):
            descent.begin_update()
            descent.step(halves(w))
    assert torch.equal(first, second)
    assert descents[1].left == pytest.approx(0.5)


# What is not finite


def test_terms_are_means_over_the_steps_and_ask_for_no_gradient():
    terms = Terms("loss", "norm")
    terms.add(weight(1.0)[0], torch.tensor(10.0))
    terms.add(torch.tensor(2.0), torch.tensor(30.0))
    assert not terms.rows[0].requires_grad
    assert terms.means() == {"loss": 1.5, "norm": 20.0}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(1, 1, 1), (1, math.nan, math.nan)], "loss/value became nan in gradient step 2 of 2"),
        ([(1, 1, math.inf), (math.nan, 1, 1)], "gradient/norm became inf in gradient step 1 of 2"),
        ([(1, 1, 1), (-math.inf, math.nan, 1), (math.nan, 1, 1)], "loss/policy became -inf in gradient step 2 of 3"),
    ],
)
def test_the_first_term_of_the_first_step_that_is_not_finite_is_named(rows, said):
    terms = Terms("loss/policy", "loss/value", "gradient/norm")
    for row in rows:
        terms.add(*(torch.tensor(float(number)) for number in row))
    with pytest.raises(DivergedError) as stop:
        terms.means()
    assert isinstance(stop.value, BadInputError)
    assert said in str(stop.value)


def test_quantities_are_checked_in_their_order_and_the_first_that_is_broken_is_named_and_counted():
    broken = torch.tensor([1.0, math.nan, math.inf, -math.inf])
    check_finite({"observations": torch.ones(3), "rewards": torch.zeros(2, 2)})
    with pytest.raises(DivergedError, match="rewards are not finite in 3 of 4 places"):
        check_finite({"observations": torch.ones(3), "rewards": broken, "values": broken})


def test_numbers_whose_sum_overflows_are_finite_all_the_same():
    check_finite({"rewards": torch.full((4,), 3e38)})
