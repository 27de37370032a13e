"""Attacks, on linear models whose worst case is known in closed form, and on networks for what must always hold."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sparring.adversarial import attacks, convnet, robust
from sparring.adversarial.attacks import KINDS, Attack, Ball
from sparring.envs.errors import BadInputError

pytestmark = pytest.mark.usefixtures("one_thread")

PIXELS = (1, 4, 4)
ASK_NO_SLOPE = ("noise", "random", "square")


def dice(seed=0):
    return torch.Generator().manual_seed(seed)


def network(seed=0, classes=3, scale=8.0):
    """A small network with steep logits, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, classes)
    for layer in (layers[0], layers[2]):
        nn.init.normal_(layer.weight, std=scale / 16, generator=dice(seed))
    return nn.Sequential(nn.Flatten(), *layers).eval()


def linear(weights):
    """Two classes, of which the second has the logit ⟨w, x⟩ and the first 0."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.stack([torch.zeros(16), weights]))
        model[1].bias.zero_()
    return model.eval()


def images(count=40, seed=1, low=0.0, high=1.0):
    x = torch.rand(count, *PIXELS, generator=dice(seed)) * (high - low) + low
    return x, torch.randint(3, (count,), generator=dice(seed + 1))


def losses(model, x, y):
    return attacks.loss(attacks.logits_of(model, x), y)


# ---------------------------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("name", ["fgsm", "pgd", "climb"])
@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_on_a_linear_model_the_worst_case_is_the_dual_norm(name, norm, dual):
    """min over ‖δ‖ ≤ ε of the margin m ⟨w, x + δ⟩ is m ⟨w, x⟩ − ε ‖w‖*, where no image's range is in the way."""
    weights, epsilon = torch.randn(16, generator=dice(3)), 0.1
    x, y = images(low=0.3, high=0.7)
    y = y % 2
    found = Attack(name, Ball(epsilon, norm), steps=60, step=0.3)(linear(weights), x, y, dice())
    side = 2.0 * y - 1
    margins = side * (x.flatten(1) @ weights)
    expected = margins - epsilon * weights.norm(p=dual)
    torch.testing.assert_close(side * (found.flatten(1) @ weights), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(losses(linear(weights), found, y), torch.log1p((-expected).exp()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("margin", [0.0, 17.0, 40.0, 1e3])
def test_a_sure_model_is_no_masked_one(margin, norm):
    """Attacks go against ∇m whatever the margin m, also where fp32's softmax says p(y) = 1 and loses z_y's slope."""
    weights = torch.randn(16, generator=dice(3)) / 4
    model = linear(weights)
    model[1].weight.data[0] = -weights.abs() / 2  # another way than w: what is left of the slope without z_y is no help
    model[1].bias.data[1] = margin
    x, _ = images(low=0.3, high=0.7)
    y = torch.ones(len(x), dtype=torch.int64)
    up = -(weights + weights.abs() / 2)  # −∇m = w_0 − w_1
    step = up.sign() if norm == "linf" else up / up.norm()
    for attack in (Attack("fgsm", Ball(0.1, norm)), Attack("climb", Ball(0.1, norm), steps=20, step=0.5)):
        found = attack(model, x, y, dice())
        rounded = 2e-3 if attack.name == "climb" and norm == "l2" else 1e-5  # of two points as high, the first is kept
        torch.testing.assert_close(found, x + 0.1 * step.view(PIXELS), rtol=0, atol=rounded)
    every = attacks.universal(model, x, y, Ball(0.1), steps=20, batch=8, dice=dice())
    assert (every.abs().amax() == 0) == (margin == 1e3)  # whose mean loss is 0 everywhere


@given(st.integers(0, 1000), st.booleans())
def test_what_is_climbed_rises_with_the_cross_entropy(seed, targeted):
    """L = log(1 + exp(h)) is torch's, and so is its slope σ(h) ∇h; the target's L is −log(1 + exp(−h))."""
    logits = 6 * torch.randn(20, 4, generator=dice(seed), dtype=torch.float64)
    logits.requires_grad_()
    y = torch.randint(4, (20,), generator=dice(seed + 1))
    theirs = nn.functional.cross_entropy(logits, y, reduction="none") * (-1 if targeted else 1)
    height = attacks.rise(logits, y, y if targeted else None)
    ours = -nn.functional.softplus(-height) if targeted else attacks.loss(logits, y)
    torch.testing.assert_close(ours, theirs)
    slopes = [torch.autograd.grad(one.sum(), logits, retain_graph=True)[0] for one in (theirs, height)]
    shares = (-height if targeted else height).sigmoid().detach()
    torch.testing.assert_close(slopes[0], shares[:, None] * slopes[1])


def test_large_logits_cost_no_digits():
    logits, y = torch.full((1, 3), 1e8), torch.tensor([1])
    assert float(attacks.loss(logits, y)) == pytest.approx(math.log(3))
    assert float(attacks.rise(logits, y)) == pytest.approx(math.log(2))


def test_where_the_image_ends_the_worst_case_is_cut_pixel_by_pixel():
    weights, epsilon = torch.randn(16, generator=dice(3)), 0.3
    x, y = images()
    y = y % 2
    found = Attack("fgsm", Ball(epsilon))(linear(weights), x, y, dice())
    away = -(2.0 * y - 1).view(-1, 1, 1, 1) * weights.view(PIXELS).sign()
    torch.testing.assert_close(found, (x + epsilon * away).clamp(0, 1))


def test_a_target_is_approached_and_nothing_else():
    weights = torch.randn(16, generator=dice(3))
    x, y = images(low=0.3, high=0.7)
    y = y % 2
    towards = Attack("fgsm", Ball(0.1))(linear(weights), x, y, dice(), torch.ones_like(y))
    torch.testing.assert_close(towards, x + 0.1 * weights.view(PIXELS).sign().expand_as(x))


def test_targeted_pgd_reaches_more_targets_than_targeted_fgsm():
    model, (x, y) = network(), images(200)
    target = (attacks.reads(model, x) + 1) % 3

    def reached(name):
        return (attacks.reads(model, Attack(name, Ball(0.2))(model, x, y, dice(), target)) == target).double().mean()

    assert reached("pgd") > reached("fgsm") > 0


def test_rs_and_r_fgsm_are_what_their_papers_say():
    model, ball, (x, y) = network(), Ball(0.1), images(low=0.3, high=0.7)
    start = (2 * torch.rand(x.shape, generator=dice(7)) - 1) * 0.1
    expected = (start + 0.125 * attacks.slope(model, x + start, y).sign()).clamp(-0.1, 0.1)
    torch.testing.assert_close(Attack("fgsm-rs", ball)(model, x, y, dice(7)), x + expected)
    start = 0.05 * torch.randn(x.shape, generator=dice(7)).sign()
    expected = start + 0.05 * attacks.slope(model, x + start, y).sign()
    torch.testing.assert_close(Attack("r+fgsm", ball)(model, x, y, dice(7)), x + expected)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", KINDS)
def test_a_slope_that_is_not_finite_makes_no_image_that_is_none(name, norm):
    class Broken(nn.Module):
        def forward(self, x):
            told = x.flatten(1).sum(1) + (x.flatten(1)[:, 0] * 0).sqrt() * 0  # NaN backwards
            return torch.stack([told, -told], 1)

    x, _ = images(20)
    y = torch.arange(20) % 2
    moved = Attack(name, Ball(0.1, norm), steps=3)(Broken().eval(), x, y, dice())
    assert bool(moved.isfinite().all())
    assert 0 <= float(moved.min()) <= float(moved.max()) <= 1


def test_the_steps_are_as_long_as_is_said():
    assert Attack("pgd", Ball(0.3), steps=40).alpha == pytest.approx(0.3 * 2.5 / 40)
    assert Attack("pgd", Ball(0.3), steps=1000).alpha == pytest.approx(0.3 * 0.01)  # and no smaller
    assert Attack("climb", Ball(0.3), step=1 / 30).alpha == pytest.approx(0.01)  # Madry's
    assert Attack("fgsm-rs", Ball(0.3)).alpha == pytest.approx(0.375)


def test_a_universal_change_is_one_for_all_and_the_worst_on_a_linear_model():
    """All images of one class: the mean slope has the sign of w everywhere, so δ ends at −ε sign w."""
    weights = torch.randn(16, generator=dice(3))
    x, y = images(low=0.4, high=0.6)
    found = attacks.universal(linear(weights), x, torch.ones_like(y), Ball(0.2), steps=20, batch=10, dice=dice())
    torch.testing.assert_close(found, -0.2 * weights.view(1, *PIXELS).sign())
    model, (x, y) = network(), images(300)
    y = attacks.reads(model, x)
    delta = attacks.universal(model, x, y, Ball(0.3, "l2"), steps=30, batch=100, dice=dice())
    assert delta.shape == (1, *PIXELS)
    assert delta.norm() <= 0.3 * (1 + 1e-6)
    noise = Attack("noise", Ball(0.3, "l2"))(model, x, y, dice())
    assert losses(model, (x + delta).clamp(0, 1), y).mean() > losses(model, noise, y).mean()


# ---------------------------------------------------------------------------------------------- what always holds


def test_pgd_is_never_weaker_than_fgsm_on_any_example():
    for seed in range(5):
        model, (x, y) = network(seed), images(100, seed)
        y = attacks.reads(model, x)
        ball = Ball(0.15)
        one, many = (Attack(name, ball, steps=3)(model, x, y, dice()) for name in ("fgsm", "pgd"))
        fooled_by_one, fooled_by_many = (attacks.reads(model, some) != y for some in (one, many))
        assert not (fooled_by_one & ~fooled_by_many).any()
        alike = fooled_by_one == fooled_by_many
        assert (losses(model, many, y) >= losses(model, one, y) - 1e-6)[alike].all()


def test_restarts_and_steps_only_help():
    model, (x, y) = network(2), images(300)
    y = attacks.reads(model, x)

    def stood(**options):
        return int((attacks.reads(model, Attack("climb", Ball(0.12), **options)(model, x, y, dice())) == y).sum())

    assert stood(steps=1) > stood(steps=20)
    assert stood(steps=4, restarts=8) < stood(steps=4)


def test_the_best_point_on_the_way_counts_not_the_last():
    """Steps of ten ε jump from corner to corner; the worst point that was seen is kept."""
    model, (x, y) = network(), images(100)
    attack = Attack("climb", Ball(0.2), steps=7, step=10)
    found = attack(model, x, y, dice())
    delta, seen = attack.ball.anywhere(x, dice()), []
    for _ in range(8):
        seen.append(x + delta)
        delta = attack.ball.project(delta + 2.0 * attacks.slope(model, x + delta, y).sign(), x)
    fooled = torch.stack([attacks.reads(model, some) != y for some in seen])
    highest = torch.stack([losses(model, some, y) for some in seen]).max(0).values
    assert torch.equal(attacks.reads(model, found) != y, fooled.any(0))
    never = ~fooled.any(0) | fooled.all(0)
    torch.testing.assert_close(losses(model, found, y)[never], highest[never])


def test_images_that_are_lost_are_not_attacked_again():
    model, (x, y) = network(), images(50)
    asked = []

    class Counting(nn.Module):
        def forward(self, some):
            asked.append(len(some))
            return model(some)

    Attack("climb", Ball(0.1), steps=2, restarts=3)(Counting().eval(), x, y, dice())
    assert asked.pop(0) == 1  # how many classes it knows
    per_restart = [asked[first] for first in range(0, len(asked), 3)]
    assert per_restart[0] == 50
    assert all(later < 50 for later in per_restart[1:])
    assert len(asked) == 3 * len(per_restart)  # one look a step, and one at the end: a slope costs no second


pixels = st.floats(0, 1, width=32)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(list(KINDS)),
    norm=st.sampled_from(["linf", "l2"]),
    epsilon=st.floats(0, 1, width=32),
    some=st.lists(st.lists(pixels, min_size=16, max_size=16), min_size=1, max_size=4),
    seed=st.integers(0, 100),
    targeted=st.booleans(),
)
def test_ball_and_pixels_are_never_left(name, norm, epsilon, some, seed, targeted):
    x = torch.tensor(some).view(-1, *PIXELS)
    y = torch.arange(len(x)) % 3
    attack = Attack(name, Ball(epsilon, norm), steps=3, step=2.0, restarts=2)
    moved = attack(network(seed), x, y, dice(seed), (y + 1) % 3 if targeted else None)
    assert moved.shape == x.shape
    assert float(moved.min()) >= 0
    assert float(moved.max()) <= 1
    change = (moved - x).flatten(1)
    length = change.abs().max() if norm == "linf" else change.norm(dim=1).max()
    assert float(length) <= epsilon + 1e-6


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1, width=32), pixels, st.floats(-2, 2, width=32))
def test_projecting_is_exact_and_changes_nothing_that_is_inside(epsilon, pixel, change):
    ball, x = Ball(epsilon), torch.full((1, 1, 1, 1), pixel)
    delta = ball.project(torch.full_like(x, change), x)
    assert abs(float(delta)) <= torch.tensor(epsilon).item()
    assert 0 <= float(x + delta) <= 1
    assert torch.equal(ball.project(delta, x), delta)
    if abs(change) < epsilon and 0 < pixel + change < 1:
        assert float(delta) == pytest.approx(change, abs=1e-6)


def test_a_random_point_is_uniform_in_the_ball():
    x = torch.full((20_000, 1, 1, 2), 0.5)
    square = Ball(0.2).anywhere(x, dice()).flatten(1)
    assert square.abs().max() <= 0.2
    torch.testing.assert_close(square.var(0), torch.full((2,), 0.4**2 / 12), rtol=0.03, atol=0)
    disc = Ball(0.2, "l2").anywhere(x, dice()).flatten(1).norm(dim=1)
    assert disc.max() <= 0.2 + 1e-6
    assert float((disc < 0.1).double().mean()) == pytest.approx(
        0.25, abs=0.02
    )  # half the radius, a quarter of the area


@pytest.mark.parametrize("name", KINDS)
def test_nothing_moves_in_a_ball_of_nothing(name):
    x, y = images()
    assert torch.equal(Attack(name, Ball(0.0), steps=2)(network(), x, y, dice()), x)


@pytest.mark.parametrize("name", KINDS)
def test_the_same_dice_find_the_same_and_the_model_stays_as_it_is(name):
    model, (x, y) = network(), images()
    before = [weight.clone() for weight in model.parameters()]
    first, second = (Attack(name, Ball(0.2), steps=4)(model, x, y, dice(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(weight.grad is None for weight in model.parameters())
    if name != "fgsm":
        assert not torch.equal(first, Attack(name, Ball(0.2), steps=4)(model, x, y, dice(6)))


@pytest.mark.parametrize("name", ASK_NO_SLOPE)
def test_who_asks_no_slope_needs_none(name):
    """A model that hides its slope altogether: these attacks find what the others cannot."""
    model, (x, y) = network(), images(100)

    class Hidden(nn.Module):
        def forward(self, some):
            with torch.no_grad():
                return model(some)

    y = attacks.reads(model, x)
    assert torch.equal(attacks.slope(Hidden().eval(), x, y), torch.zeros_like(x))
    hidden = Attack(name, Ball(0.3), steps=50)(Hidden().eval(), x, y, dice())
    assert torch.equal(hidden, Attack(name, Ball(0.3), steps=50)(model, x, y, dice()))
    if name != "noise":
        assert (attacks.reads(model, hidden) == y).double().mean() < 0.9


def test_what_is_weaker_is_weaker():
    """Noise finds less than chance, chance less than a search, a search less than many steps along the slope."""
    model, (x, y) = network(), images(300)
    y = attacks.reads(model, x)
    left = {
        name: int((attacks.reads(model, Attack(name, Ball(0.15), steps=30)(model, x, y, dice())) == y).sum())
        for name in ("noise", "random", "square", "pgd")
    }
    assert list(left.values()) == sorted(left.values(), reverse=True)
    assert left["noise"] > left["square"] > left["pgd"]


def test_many_images_are_attacked_some_at_a_time_each_with_its_own_target(monkeypatch):
    (x, y), model = images(20), network()
    whole = Attack("fgsm", Ball(0.1))(model, x, y, dice(), (y + 1) % 3)
    monkeypatch.setattr(attacks, "AT_A_TIME", 7)
    heard = []
    parts = Attack("fgsm", Ball(0.1))(model, x, y, dice(), (y + 1) % 3, lambda done, of: heard.append((done, of)))
    torch.testing.assert_close(parts, whole)
    assert heard == [(7, 20), (14, 20), (20, 20)]


def test_every_image_has_a_square_of_its_own_place():
    """A model that nothing helps against keeps the stripes, so that each try differs from them in one square."""
    asked = []

    class Deaf(nn.Module):
        def forward(self, some):
            asked.append(some)
            return torch.zeros(len(some), 3)

    x = torch.full((60, 2, 8, 8), 0.5)
    Attack("square", Ball(0.2), steps=40)(Deaf().eval(), x, torch.zeros(60, dtype=torch.long), dice())
    _, stripes, *tries = asked  # the first look is to know the classes
    for step, one in enumerate(tries):
        side = round(((0.5 * (1 - step / 40) ** 2 + 0.01) * 64) ** 0.5)
        changed = (one != stripes).any(1)
        rows, columns = ([p.nonzero()[:, 0] for p in changed.any(way)] for way in (2, 1))
        for some in (rows, columns):
            assert all(int(p[-1] - p[0]) < side for p in some if len(p))
        places = {(int(r[0]), int(c[0])) for r, c in zip(rows, columns, strict=True) if len(r)}
        assert len(places) > 5


# ---------------------------------------------------------------------------------------------- what is refused


def test_what_cannot_be_attacked_soundly_is_refused():
    model, (x, y) = network(), images(3)
    attack = Attack("fgsm", Ball(0.1))
    with pytest.raises(BadInputError, match=r"the model is in training mode.*call \.eval\(\)"):
        attack(network().train(), x, y, dice())
    half = nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.Dropout()).eval()
    half[2].train()
    with pytest.raises(BadInputError, match=r"2 is in training mode, where it answers otherwise"):
        attack(half, x, y, dice())
    with pytest.raises(BadInputError, match=r"pixels lie between 0.* and 255; attacks take images in \[0, 1\]: scale"):
        attack(model, x.clone().index_put_((torch.tensor(0),) * 4, torch.tensor(255.0)), y, dice())
    with pytest.raises(BadInputError, match=r"pixels lie between -1 and"):
        attack(model, x.clone().index_put_((torch.tensor(0),) * 4, torch.tensor(-1.0)), y, dice())
    for odd in (math.nan, math.inf):
        spoilt = x.clone()
        spoilt[1, 0, :2, 2] = odd
        with pytest.raises(BadInputError, match=r"2 of 48 pixels are not finite; mend these images, or leave them out"):
            attack(model, spoilt, y, dice())
    with pytest.raises(BadInputError, match="there are 3 images and 2 labels; each image has one"):
        attack(model, x, y[:2], dice())
    with pytest.raises(BadInputError, match="there are 0 images; give an attack at least one"):
        attack(model, x[:0], y[:0], dice())
    with pytest.raises(BadInputError, match="there are 3 images and 1 targets; each image has one"):
        attack(model, x, y, dice(), y[:1])
    with pytest.raises(BadInputError, match="labels lie between 0 and 3, and the model knows 3 classes, 0 to 2"):
        attack(model, x, torch.tensor([0, 3, 1]), dice())
    with pytest.raises(BadInputError, match="targets lie between -1 and 2, and the model knows 3 classes, 0 to 2"):
        attack(model, x, y, dice(), torch.tensor([0, -1, 2]))
    with pytest.raises(BadInputError, match=r"images are torch\.uint8 \[3, 1, 4, 4\]; attacks take floating point"):
        attack(model, (255 * x).byte(), y, dice())
    with pytest.raises(BadInputError, match=r"images are torch\.float32 \[3, 4, 4\]; attacks take floating point \[B"):
        attack(model, x[:, 0], y, dice())


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(BadInputError, match=r"epsilon is 1\.5; it must be between 0 and 1"):
        Ball(1.5)
    with pytest.raises(BadInputError, match=r"epsilon is -0\.1; it must be at least 0"):
        Ball(-0.1, "l2")
    with pytest.raises(BadInputError, match="norm is 'l1'; it can be linf or l2"):
        Ball(0.1, "l1")
    with pytest.raises(BadInputError, match=r"restarts is 0; it must be between 1 and"):
        dataclasses.replace(Attack(), restarts=0)
    with pytest.raises(BadInputError, match=r"steps is 0; it must be between 1 and"):
        dataclasses.replace(Attack(), steps=0)


# ---------------------------------------------------------------------------------------------- beside another library


def test_fgsm_and_pgd_find_what_art_finds():
    """The same steps from the image itself, in both norms."""
    estimators = pytest.importorskip("art.estimators.classification")
    evasion = pytest.importorskip("art.attacks.evasion")
    model, (x, y) = network(), images(60)
    y = attacks.reads(model, x)
    known = estimators.PyTorchClassifier(
        model, nn.CrossEntropyLoss(), input_shape=PIXELS, nb_classes=3, clip_values=(0.0, 1.0), device_type="cpu"
    )
    for norm, theirs in (("linf", float("inf")), ("l2", 2)):
        ball = Ball(0.2, norm)
        one = evasion.FastGradientMethod(known, norm=theirs, eps=0.2).generate(x.numpy(), y.numpy())
        ours = Attack("fgsm", ball)(model, x, y, dice())
        torch.testing.assert_close(ours, torch.from_numpy(one), rtol=1e-4, atol=1e-5)
        many = evasion.ProjectedGradientDescentPyTorch(
            known, norm=theirs, eps=0.2, eps_step=0.02, max_iter=30, num_random_init=0, verbose=False
        ).generate(x.numpy(), y.numpy())
        ours = Attack("climb", ball, steps=30, step=0.1)(model, x, y, dice())
        left = [int((attacks.reads(model, some) == y).sum()) for some in (ours, torch.from_numpy(many))]
        assert abs(left[0] - left[1]) <= 2


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.06), ("l2", 0.4)])
@pytest.mark.parametrize("found_by", [["apgd-ce", "apgd-t"], pytest.param(None, marks=pytest.mark.slow)])
def test_pgd_finds_nearly_all_that_autoattack_finds(norm, epsilon, found_by):
    """Its steps that choose their own length, towards every class; slowly, all four attacks of its standard."""
    autoattack = pytest.importorskip("pyautoattack")
    digits = robust.images_of("digits", "")
    model, x, y = convnet.twin(digits, 8), digits.test.x[:60], digits.test.y[:60]
    asked = {} if found_by is None else {"version": "custom", "attacks": found_by}
    with torch.random.fork_rng(devices=[]):  # it seeds the global dice
        known = autoattack.AutoAttack(model, norm={"linf": "Linf", "l2": "L2"}[norm], eps=epsilon, seed=0, **asked)
        theirs, _ = known.run_standard_evaluation(x, y)
    ours = Attack("pgd", Ball(epsilon, norm), steps=40, restarts=5)(model, x, y, dice())
    left = [int((attacks.reads(model, some) == y).sum()) for some in (ours, theirs)]
    assert left[1] - 1 <= left[0] <= left[1] + 3
    assert 0.3 * len(x) < left[1] < 0.9 * len(x)  # so that there is something to find and to miss


def test_squares_find_at_least_what_arts_find():
    """With as many queries; theirs have one place for all images and other sizes, so that only strength is asked."""
    estimators = pytest.importorskip("art.estimators.classification")
    evasion = pytest.importorskip("art.attacks.evasion")
    digits = robust.images_of("digits", "")
    model, x, y = convnet.twin(digits, 8), digits.test.x[:100], digits.test.y[:100]
    known = estimators.PyTorchClassifier(
        model, nn.CrossEntropyLoss(), input_shape=digits.shape, nb_classes=10, clip_values=(0.0, 1.0), device_type="cpu"
    )
    before = np.random.get_state()  # noqa: NPY002  # ART rolls the global dice
    np.random.seed(0)  # noqa: NPY002
    try:
        theirs = evasion.SquareAttack(
            known, norm=np.inf, eps=0.15, max_iter=100, p_init=0.8, nb_restarts=1, batch_size=100, verbose=False
        ).generate(x.numpy(), y.numpy())
    finally:
        np.random.set_state(before)  # noqa: NPY002
    ours = Attack("square", Ball(0.15), steps=100)(model, x, y, dice())
    left = [float((attacks.reads(model, some) == y).double().mean()) for some in (ours, torch.from_numpy(theirs))]
    assert left[0] <= left[1] + 0.03
    assert left[1] < 0.6  # and theirs is an attack
