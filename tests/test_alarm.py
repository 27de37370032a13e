"""The masking alarm: silent on an honest model, and every check fires on a case that was built to fail it."""

import numpy as np
import pytest
import torch
from torch import nn

from sparring.adversarial import alarm
from sparring.adversarial.alarm import Measured
from sparring.adversarial.attacks import Attack, Ball
from sparring.envs.errors import BadInputError

pytestmark = pytest.mark.usefixtures("one_thread")


def left(accuracy, images=200):
    """The images that an attack has found, which are those that every stronger one finds, too."""
    return frozenset(range(round(accuracy * images), images))


HONEST = Measured(
    images=200,
    looks_apart=0.0,
    alone_apart=1e-6,
    probabilities=False,
    blind=0.0,
    clean=left(0.99),
    commonest=0.5,
    nothing=left(0.99),
    attack=left(0.60),
    one_step=left(0.70),
    many=left(0.61),
    longer=left(0.60),
    one_step_half=left(0.90),
    many_half=left(0.88),
    landscape=(0.1, 0.3, 0.6, 1.0),
    everything=left(0.0),
    chance=left(0.9),
    square=left(0.65),
    transfer=left(0.8),
)
NAMES = [check.name for check in alarm.judged(HONEST)]


def dice():
    return torch.Generator().manual_seed(0)


def sounded(model, x, y, attack, other):
    """The checks of what an attack makes of images."""
    return alarm.sounded(model, x, y, attack(model, x, y, dice()), attack, dice(), other)


def test_an_honest_model_is_evidence():
    assert [check.name for check in alarm.judged(HONEST) if not check.passed] == []
    assert alarm.evidence(alarm.judged(HONEST)) == "evidence: 16 checks passed"


def test_all_checks_are_told_in_the_head_of_the_module():
    told = [line.split()[0] for line in alarm.__doc__.splitlines() if line.startswith("    ")]
    assert told == NAMES


@pytest.mark.parametrize(
    ("changes", "fired"),
    [
        ({"images": 49}, {"enough"}),
        ({"looks_apart": 1e-9}, {"steady"}),
        ({"alone_apart": 0.01}, {"alone"}),
        ({"probabilities": True}, {"logits"}),
        ({"commonest": 0.97}, {"learned"}),
        ({"blind": 0.2}, {"sloped"}),
        ({"nothing": left(0.98)}, {"nothing"}),
        ({"one_step": left(0.5)}, {"iterated"}),
        ({"longer": left(0.7)}, {"longer"}),
        ({"attack": left(0.70), "square": left(0.70)}, {"converged"}),  # the number was found by too weak an attack
        ({"one_step": left(0.95)}, {"monotone"}),
        ({"many_half": left(0.5)}, {"monotone"}),
        ({"landscape": (0.1, 1.0, 2.0, 0.9)}, {"landscape"}),
        ({"everything": left(0.2)}, {"everything"}),
        ({"chance": left(0.5)}, {"chance"}),
        ({"square": left(0.5)}, {"square"}),
        ({"transfer": left(0.5)}, {"transfer"}),
    ],
)
def test_every_check_fires_on_what_it_is_for_and_no_other_does(changes, fired):
    checks = alarm.judged(HONEST._replace(**changes))
    assert {check.name for check in checks if not check.passed} == fired
    assert alarm.evidence(checks) == f"not evidence: {', '.join(fired)} failed"


def found_by(*, both, attack, longer):
    """So many images are found by both, by what is checked alone, by twice as many steps alone."""
    ends = both, both + attack, both + attack + longer
    return {
        "attack": frozenset(range(ends[1])),
        "longer": frozenset(range(both)) | frozenset(range(ends[1], ends[2])),
        "many": frozenset(range(both)),
    }


@pytest.mark.parametrize(
    ("attack", "longer", "passed"),
    [
        (0, 6, True),  # within the slack
        (0, 7, False),  # (7 − 0) / √7 = 2.6 standard deviations
        (2, 9, False),  # 7 / √11 = 2.1
        (3, 10, True),  # 7 / √13 = 1.9: as likely as not to be the dice's
        (20, 27, True),
        (20, 34, True),  # 14 / √54 = 1.9
        (20, 35, False),  # 15 / √55 = 2.02
        (40, 0, True),  # who finds more than the yardstick is welcome
    ],
)
def test_converged_fires_beyond_the_slack_and_beyond_chance(attack, longer, passed):
    checks = alarm.judged(HONEST._replace(**found_by(both=70, attack=attack, longer=longer), square=left(0.9)))
    assert {check.name: check.passed for check in checks}["converged"] == passed


def test_attacks_that_are_as_good_as_each_other_are_seldom_told_apart_and_weaker_ones_often():
    """Every image has a probability of its own that a climb finds it; what is checked begins elsewhere than the alarm.

    By the slack alone, 1 of 8 would be told to be weaker that is not.
    """
    rng = np.random.default_rng(0)

    def fired(missed):
        found = 0
        for _ in range(500):
            chances = rng.beta(0.3, 0.3, 200)
            attack, longer = rng.random(200) < chances * (1 - missed), rng.random(200) < chances
            sets = {"attack": attack, "longer": longer, "many": longer}
            sets = {name: frozenset(np.nonzero(one)[0].tolist()) for name, one in sets.items()}
            checks = alarm.judged(HONEST._replace(**sets))
            found += not {check.name: check.passed for check in checks}["converged"]
        return found / 500

    assert fired(missed=0) < 0.04
    assert fired(missed=0.25) > 0.9


@pytest.mark.parametrize("name", ["square", "transfer", "chance"])
def test_who_finds_more_without_the_slope_sets_it_off_whichever_images_he_finds(name):
    """That he finds others than the attack is what masking looks like, and none of chance's doing."""
    found = {"attack": frozenset(range(80)), "many": frozenset(range(80)), "longer": frozenset(range(80))}
    for more, passed in ((6, True), (7, False)):
        checks = alarm.judged(HONEST._replace(**found, **{name: frozenset(range(80, 160 + more))}))
        assert {check.name for check in checks if not check.passed} == (set() if passed else {name})


def test_a_smaller_ball_that_leaves_less_sets_it_off_whichever_images_it_is():
    one_step = {"one_step": frozenset(range(40)), "one_step_half": frozenset(range(100, 147))}
    checks = alarm.judged(HONEST._replace(**one_step))
    assert {check.name for check in checks if not check.passed} == {"monotone"}


def test_a_few_images_are_no_evidence():
    x, y = bright_and_dark(40)
    checks = sounded(Stripes().eval(), x, y, Attack("pgd", Ball(0.05), steps=10), Stripes().eval())
    assert alarm.evidence(checks) == "not evidence: enough failed"


def test_every_check_has_a_case():
    [mark] = test_every_check_fires_on_what_it_is_for_and_no_other_does.pytestmark[:1]
    assert set().union(*(case[1] for case in mark.args[1])) == set(NAMES)


# ---------------------------------------------------------------------------------------------- models


SIDE = 6


class Stripes(nn.Module):
    """Two classes by the mean of all pixels, with a logit that has a known slope; honest."""

    def __init__(self, steep=40.0):
        super().__init__()
        self.steep = steep

    def told(self, x):
        return self.steep * (x.flatten(1).mean(1) - 0.5)

    def forward(self, x):
        told = self.told(x)
        return torch.stack([-told, told], 1)


def bright_and_dark(count=120):
    """Images around 0.4 and 0.6, with some noise."""
    y = torch.arange(count) % 2
    noise = 0.1 * torch.rand(count, 1, SIDE, SIDE, generator=dice()) - 0.05
    return (0.4 + 0.2 * y).view(-1, 1, 1, 1) + noise, y


def fired(model, epsilon=0.05, other=None, name="pgd", steps=10):
    x, y = bright_and_dark()
    checks = sounded(model.eval(), x, y, Attack(name, Ball(epsilon), steps=steps), (other or Stripes()).eval())
    return {check.name for check in checks if not check.passed}


def test_an_honest_classifier_sets_nothing_off():
    assert fired(Stripes()) == set()
    assert fired(Stripes(), epsilon=0.2) == set()


def test_a_model_that_guesses_is_not_steady():
    class Guessing(Stripes):
        def told(self, x):
            return super().told(x) + torch.randn(len(x))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert "steady" in fired(Guessing())


def test_a_model_that_looks_at_its_neighbours_is_not_alone():
    class Normalising(Stripes):
        def told(self, x):
            return super().told(x - x.mean(0) + 0.5)

    assert "alone" in fired(Normalising())


def test_probabilities_in_place_of_logits_are_seen():
    class Soft(Stripes):
        def forward(self, x):
            return super().forward(x).softmax(1)

    assert "logits" in fired(Soft())


def test_a_saturated_softmax_masks_the_slope_and_the_search_finds_it_out():
    """Probabilities that are 0 and 1 to the last bit: no slope, so that only who asks for none succeeds."""

    class Saturated(Stripes):
        def forward(self, x):
            return super().forward(x * 100 - 49.5).softmax(1)

    assert {"logits", "sloped", "square", "transfer"} <= fired(Saturated(), epsilon=0.2)


def test_rounded_pixels_have_no_slope_and_transfer_goes_around():
    class Rounded(Stripes):
        def told(self, x):
            return super().told((x * 10).round() / 10)

    assert {"sloped", "everything", "transfer"} <= fired(Rounded(), epsilon=0.2)


def test_a_slope_that_is_not_finite_is_as_good_as_none():
    class Broken(Stripes):
        def told(self, x):
            return super().told(x) + (x.flatten(1)[:, 0] * 0).sqrt() * 0  # 0 forwards, NaN backwards

    assert "sloped" in fired(Broken())


def test_a_ridge_on_the_way_is_what_training_on_one_step_leaves():
    """Catastrophic overfitting, made by hand: the model errs at half of ε, and is right again at ε itself."""

    class Ridge(Stripes):
        def forward(self, x):
            told = x.flatten(1).mean(1) - 0.5
            side = torch.where(told > 0, 1.0, -1.0)
            margin = 40 * (told.abs() - 0.05).abs() - 1  # least at half of the way to 0.5, and high at both ends
            return torch.stack([-side * margin, side * margin], 1)

    assert {"monotone", "landscape"} <= fired(Ridge(), epsilon=0.09)


def bent(seed):
    """A network whose slope turns on the way through the ball, as that of any deep one does."""
    layers = nn.Linear(SIDE**2, 24), nn.Tanh(), nn.Linear(24, 3)
    for layer in (layers[0], layers[2]):
        nn.init.normal_(layer.weight, std=1.0, generator=torch.Generator().manual_seed(seed))
        nn.init.zeros_(layer.bias)
    return nn.Sequential(nn.Flatten(), *layers).eval()


def test_a_number_that_one_step_found_is_no_evidence_where_many_find_more():
    x = torch.rand(200, 1, SIDE, SIDE, generator=dice())
    y = bent(0)(x).argmax(1)

    def fired_by(name):
        attack = Attack(name, Ball(0.06), steps=20)
        return {check.name for check in sounded(bent(0), x, y, attack, bent(1)) if not check.passed}

    assert fired_by("pgd") == set()
    assert fired_by("fgsm") == {"converged"}


def test_an_attack_of_few_steps_is_no_yardstick_for_itself():
    x = torch.rand(200, 1, SIDE, SIDE, generator=dice())
    y = bent(0)(x).argmax(1)
    checks = sounded(bent(0), x, y, Attack("climb", Ball(0.06), steps=1), bent(1))
    assert "converged" in {check.name for check in checks if not check.passed}


def test_a_model_that_says_the_same_whatever_it_sees_is_no_evidence():
    """It stands every attack on the class that it says."""

    class Constant(Stripes):
        def told(self, x):
            return super().told(x) * 1e-3 + 1

    assert {"learned", "everything"} <= fired(Constant())


def test_what_is_checked_is_what_the_attack_made():
    """Whatever its settings would make another time."""
    x = torch.rand(200, 1, SIDE, SIDE, generator=dice())
    y = bent(0)(x).argmax(1)
    attack = Attack("climb", Ball(0.06), steps=1, step=0.3, restarts=50)
    for attacked in (x, attack(bent(0), x, y, dice())):
        checks = {check.name: check for check in alarm.sounded(bent(0), x, y, attacked, attack, dice(), bent(1))}
        left = (bent(0)(attacked).argmax(1) == y).double().mean()
        for name in ("converged", "chance", "square", "transfer"):
            assert checks[name].told.endswith(f"this {left:.1%}")
    assert left < 0.9


def test_yardsticks_climb_as_far_as_the_attack_and_no_less_than_usual():
    slopes = []

    class Unmoved(Stripes):
        def forward(self, x):
            slopes.append(torch.is_grad_enabled())
            return super().forward(x) * 1e-6 + torch.tensor([0.0, 1.0])  # so that every restart is made

    def climbed(attack):
        slopes.clear()
        x, y = torch.full((10, 1, SIDE, SIDE), 0.6), torch.ones(10, dtype=torch.int64)
        alarm.sounded(Unmoved().eval(), x, y, x, attack, dice(), Stripes().eval())
        of_nothing = {"square": 0, "fgsm": 1, "climb": 1, "pgd": 2}[attack.name]  # the attack itself, with ε = 0
        return sum(slopes) - of_nothing - 4  # two of one step, and two slopes

    ball, five = Ball(0.05), 5  # many, twice as many, ε / 2, the widest
    assert alarm.STEPS >= 40
    for steps in (1, 10**6):
        assert climbed(Attack("square", ball, steps=steps, step=7.0, restarts=9)) == five * alarm.STEPS
    assert climbed(Attack("fgsm", ball, steps=10**6, restarts=9)) == five * alarm.STEPS
    assert climbed(Attack("climb", ball, steps=2)) == five * alarm.STEPS
    assert climbed(Attack("pgd", ball, steps=2, restarts=3)) == five * alarm.STEPS * 3
    assert climbed(Attack("climb", ball, steps=60, step=7.0)) == five * 60


def test_yardsticks_begin_alike(monkeypatch):
    """So that what they are compared by is not where they began."""
    begun = []
    monkeypatch.setattr(Ball, "anywhere", lambda ball, x, dice: begun.append(torch.rand(3, generator=dice)) or 0 * x)
    x, y = bright_and_dark(10)
    alarm.measured(Stripes().eval(), x, y, x, Attack("fgsm", Ball(0.05)), dice(), Stripes().eval())
    assert len(begun) == 5  # many, twice as many, ε / 2, the widest, transfer
    assert all(torch.equal(one, begun[0]) for one in begun)


def test_a_target_is_the_attacks_alone():
    """What leaves more to be read rightly than any error would is no number of what is stood."""
    x = torch.rand(200, 1, SIDE, SIDE, generator=dice())
    y = bent(0)(x).argmax(1)
    target = bent(0)(x).argmin(1)
    attack = Attack("pgd", Ball(0.06), steps=40)
    made = (attack(bent(0), x, y, dice(), some) for some in (target, None))
    aimed, free = (alarm.measured(bent(0), x, y, attacked, attack, dice(), bent(1)) for attacked in made)
    assert len(aimed.attack) < len(free.attack) - 20
    assert aimed._replace(attack=free.attack) == free
    assert "converged" in {check.name for check in alarm.judged(aimed) if not check.passed}


def test_a_model_in_training_mode_is_refused():
    x, y = bright_and_dark(10)
    with pytest.raises(BadInputError, match="the model is in training mode"):
        alarm.sounded(Stripes().train(), x, y, x, Attack(), dice(), Stripes().eval())


def test_the_landscape_of_a_linear_model_rises_as_its_closed_form_does():
    """The margin m − 2 · 40 t falls linearly along the steepest direction, and the loss is log(1 + e^−m)."""
    x, y = bright_and_dark(2)
    model = Stripes().eval()
    margins = 2 * 40 * (x.flatten(1).mean(1) - 0.5) * (2 * y - 1)
    found = alarm.landscape(model, x, y, Ball(0.04))
    places = torch.arange(alarm.PLACES + 1) / alarm.PLACES * 0.04
    expected = torch.log1p((80 * places[:, None] - margins).exp()).mean(1)
    torch.testing.assert_close(torch.tensor(found), expected, rtol=1e-4, atol=1e-5)
