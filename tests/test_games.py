"""Games, their toys and what is measured on them, held to closed forms."""

import copy
import inspect
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from sparring.adversarial import diagnostics, dynamics, solvers, toys
from sparring.adversarial.dynamics import (
    DYNAMICS,
    Alternating,
    Competitive,
    Consensus,
    Extragradient,
    Lookahead,
    Optimistic,
    Simultaneous,
    Unrolled,
    named,
)
from sparring.adversarial.game import Game, Match, Point, flat_of
from sparring.envs.errors import BadInputError, UnknownNameError


def match_of(game, rate=0.1, make=torch.optim.SGD):
    return Match(game, {name: make(player.parameters(), lr=rate) for name, player in game.players.items()})


class Reversed(torch.autograd.Function):
    """A gradient-reversal layer (Ganin & Lempitsky 2015)."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


class Confusion(Game):
    """A feature extractor that would hide from a classifier what the classifier would know."""

    zero_sum = True

    def __init__(self):
        torch.manual_seed(0)
        super().__init__({"extractor": nn.Sequential(nn.Linear(3, 4), nn.Tanh()), "classifier": nn.Linear(4, 1)})

    def guess(self, batch, through):
        x, domain = batch
        told = self.players["classifier"](through(self.players["extractor"](x)))[:, 0]
        return nn.functional.binary_cross_entropy_with_logits(told, domain)

    def loss(self, player, batch):
        wrong = self.guess(batch, lambda features: features)
        return wrong if player == "classifier" else -wrong


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(16, 3, generator=generator), torch.randint(2, (16,), generator=generator).float()


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam])
def test_simultaneous_play_is_one_backward_pass_through_a_reversal_layer(batch, make):
    played = Confusion()
    reversed_ = copy.deepcopy(played)
    match = match_of(played, make=make)
    optimiser = make(reversed_.parameters(), lr=0.1)
    for _ in range(5):
        Simultaneous().step(match, [batch])
        optimiser.zero_grad()
        reversed_.guess(batch, Reversed.apply).backward()
        optimiser.step()
    for one, other in zip(played.parameters(), reversed_.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_zero_sum_games_losses_add_up_to_nothing(batch):
    games = [(Confusion(), batch), (toys.Bilinear(2.0, 3.0), None), (toys.MatrixGame(toys.PENNIES), None)]
    games += [(toys.DiracGAN("minimax"), None), (toys.DiracGAN("wasserstein"), None)]
    for game, told in games:
        assert game.zero_sum
        assert sum(float(game.loss(player, told).detach()) for player in game.players) == pytest.approx(0, abs=1e-12)
        assert float(game.value(told).detach()) == float(game.loss(next(iter(game.players)), told).detach())
    assert not toys.DiracGAN("non-saturating").zero_sum
    assert not toys.DiracGAN(gamma=0.1).zero_sum


def test_nobodys_gradient_leaks_into_anybody(batch):
    game = Confusion()
    match = match_of(game)
    before = copy.deepcopy(game.players["extractor"].state_dict())
    match.move("classifier", match.gradient("classifier", batch))
    assert all(weight.grad is None for weight in game.parameters())
    assert all(torch.equal(before[name], now) for name, now in game.players["extractor"].state_dict().items())


@pytest.mark.parametrize(
    ("name", "gradients"),
    [
        ("simultaneous", 2),
        ("alternating", 2),
        ("extragradient", 4),
        ("optimistic", 2),
        ("consensus", 4),
        ("sga", 6),
        ("lookahead", 2),
        ("unrolled", 5 + 1 + 1),
    ],
)
def test_gradients_are_counted(batch, name, gradients):
    match, dynamics = match_of(Confusion()), named(name)
    dynamics.check(match)
    dynamics.step(match, [batch] * dynamics.batches)
    assert match.gradients == gradients
    assert match.evaluations == gradients / 2


def test_competitive_descent_counts_its_conjugate_gradients():
    match = match_of(toys.Bilinear())
    Competitive().step(match, [None])
    assert match.gradients == 2 + 1 + 2 * 1 + 1  # field, right-hand side, one round, answer


def test_competitive_descent_solves_its_system(batch):
    """Against the dense solution of both players' conditions at once."""
    game = Confusion().double()
    batch = tuple(part.double() for part in batch)
    rows = diagnostics.jacobian(game, batch)
    field = torch.cat([one.flatten() for one in flat_of(Match(game, {}).field(batch))])
    x = sum(weight.numel() for weight in game.players["extractor"].parameters())
    η, mixed = 0.3, torch.zeros_like(rows)
    mixed[:x, x:], mixed[x:, :x] = rows[:x, x:], rows[x:, :x]
    expected = diagnostics.standing(game) - η * torch.linalg.solve(torch.eye(len(rows)).double() + η * mixed, field)
    match = match_of(game, η)
    Competitive(tolerance=1e-12).step(match, [batch])
    torch.testing.assert_close(diagnostics.standing(game), expected, rtol=1e-8, atol=1e-10)


def test_products_with_the_jacobian_are_those_of_the_matrix(batch):
    game = Confusion().double()
    batch = tuple(part.double() for part in batch)
    match, rows = Match(game, {}), diagnostics.jacobian(game, batch)
    field = match.field(batch, create_graph=True)
    along = {player: [torch.randn_like(one) for one in direction] for player, direction in field.items()}

    def vector(told):
        return torch.cat([one.flatten() for direction in told.values() for one in direction])

    torch.testing.assert_close(vector(match.product(field, along)), rows @ vector(along))
    torch.testing.assert_close(vector(match.transposed_product(field, along)), rows.T @ vector(along))


def test_arnoldi_finds_the_spectrums_ends(batch):
    game = Confusion().double()
    batch = tuple(part.double() for part in batch)
    whole = diagnostics.spectrum(game, batch)
    largest = diagnostics.extreme_eigenvalues(game, batch, 4, "LM")
    assert sorted(abs(largest)) == pytest.approx(sorted(abs(whole))[-4:], rel=1e-6)


@pytest.mark.parametrize("name", sorted(set(DYNAMICS) - {"competitive"}))
def test_where_there_is_one_player_only_descent_is_left(name):
    """On a bowl every dynamics that takes one player comes to rest at its bottom."""

    class Bowl(Game):
        def __init__(self):
            super().__init__({"ball": Point(torch.tensor([3.0, -2.0]))})

        def loss(self, player, batch):
            return self.at("ball").square().sum() / 2

    game = Bowl()
    match = match_of(game, 0.2)
    dynamics = named(name)
    if name == "unrolled":
        with pytest.raises(BadInputError, match="unrolling takes two players, and the game has 1"):
            dynamics.check(match)
        return
    for _ in range(100):
        dynamics.step(match, [None] * dynamics.batches)
    assert diagnostics.standing(game).abs().max() < 1e-3


def test_unrolling_sees_the_others_steps_and_its_own_part_in_them():
    """On x·y: u_k = x − kηy, and player y climbs u_k(y)·y, whose slope is x − 2kηy."""
    η, k = 0.1, 3
    game = toys.Bilinear(1.0, 0.5)
    Unrolled(k).step(match_of(game, η), [None])
    assert diagnostics.standing(game).tolist() == pytest.approx([1.0 - η * 0.5, 0.5 + η * (1.0 - 2 * k * η * 0.5)])


@pytest.mark.parametrize("make", [Optimistic, lambda: Lookahead(Optimistic(), k=3)])
def test_a_dynamics_with_a_memory_goes_on_from_its_state(make):
    def played(game, dynamics, steps):
        match = match_of(game)
        for _ in range(steps):
            dynamics.step(match, [None])
        return diagnostics.standing(game)

    whole = played(toys.Bilinear(), make(), 10)
    half, again, game = make(), make(), toys.Bilinear()
    played(game, half, 5)
    again.load_state_dict(half.state_dict())
    assert torch.equal(played(game, again, 5), whole)


# ---------------------------------------------------------------------------------------------- what is refused


def test_a_dynamics_that_does_not_exist_suggests_one_that_does():
    with pytest.raises(UnknownNameError, match="extragradient"):
        named("extragradiant")


def test_competitive_descent_refuses_what_is_not_two_and_not_zero_sum():
    three = Game({name: Point(torch.zeros(1)) for name in "abc"})
    with pytest.raises(BadInputError, match="two players, and the game has 3: a, b, c; try extragradient"):
        Competitive().check(match_of(three))
    with pytest.raises(BadInputError, match="DiracGAN is none; try extragradient"):
        Lookahead(Competitive()).check(match_of(toys.DiracGAN("non-saturating")))


@pytest.mark.parametrize("k", [1, 3])
def test_in_a_round_the_first_player_moves_k_times_on_fresh_batches_and_the_others_once(k):
    class Taught(Game):
        """Both would be where the batch says."""

        def __init__(self):
            super().__init__({"x": Point([0.0]), "y": Point([0.0])})

        def loss(self, player, batch):
            return (self.at(player) - batch).square().sum() / 2

    game, moves = Taught(), Alternating(k)
    match = match_of(game, rate=1.0)
    assert moves.batches == k
    moves.step(match, [float(number) for number in range(k)])
    assert (float(game.at("x").detach()), float(game.at("y").detach())) == (k - 1, k - 1)
    assert match.gradients == k + 1
    with pytest.raises(BadInputError, match="k is 0; the first player moves at least once"):
        Alternating(0)


def test_a_dynamics_is_named_with_its_parameters():
    assert vars(named("consensus:gamma=10")) == vars(Consensus(10))
    assert named("alternating:k=5").k == 5
    assert not named("sga:align=false,weight=0.5").align
    slow = named("lookahead:inner=alternating,k=10,alpha=0.8")
    assert (type(slow.inner), slow.k, slow.α) == (Alternating, 10, 0.8)
    with pytest.raises(UnknownNameError, match="no parameter of lookahead is called 'beta'"):
        named("lookahead:beta=1")
    with pytest.raises(UnknownNameError, match="no parameter of simultaneous is called 'k'"):
        named("simultaneous:k=1")
    assert named("unrolled:k=3,rate=0.5").rate == 0.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("consensus:gamma=much", "gamma is 'much'; it must be a number"),
        ("alternating:k=2.5", "k is '2.5'; it must be a whole number"),
        ("sga:align=1", "align is '1'; it must be true or false"),
        ("lookahead:inner=extra", "inner is 'extra'; it must be the name of a dynamics"),
        ("lookahead:k=0", "k is 0; another dynamics goes at least one step"),
        ("unrolled:k=-1", "k is -1; the second player foresees at least one step"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(text, said):
    with pytest.raises(BadInputError, match=said):
        named(text)


def test_every_parameter_of_every_dynamics_can_be_read():
    kinds = {one.annotation for make in DYNAMICS.values() for one in inspect.signature(make).parameters.values()}
    assert kinds <= set(dynamics.READERS)


# ---------------------------------------------------------------------------------------------- players


class Duel(Game):
    """An attacker that is born anew each round at `start`, and a defender kept in [-1, 1]."""

    def __init__(self):
        super().__init__({"attacker": Point(torch.zeros(2)), "defender": Point(torch.zeros(2))})

    def begin(self, batch):
        with torch.no_grad():
            self.at("attacker").copy_(batch)
        return ["attacker"]

    def loss(self, player, batch):
        apart = (self.at("attacker") - self.at("defender")).square().sum()
        return apart if player == "defender" else -apart

    def project(self, player):
        if player == "defender":
            self.at("defender").clamp_(-1, 1)


def test_a_player_that_is_born_anew_has_no_past():
    game = Duel()
    match = match_of(game, make=torch.optim.Adam)
    for start in (torch.tensor([3.0, 0.5]), torch.tensor([-2.0, 0.0])):
        match.begin(start)
        assert torch.equal(game.at("attacker"), start)
        assert not match.optimisers["attacker"].state
        Alternating(3).step(match, [start] * 3)
        assert match.optimisers["attacker"].state


def test_a_player_that_leaves_is_brought_back():
    game = Duel()
    match = match_of(game, rate=10.0)
    match.begin(torch.tensor([3.0, 0.05]))
    match.move("defender", match.gradient("defender", torch.zeros(2)))
    assert game.at("defender").tolist() == [1.0, 1.0]


# ---------------------------------------------------------------------------------------------- matrix games


def best_answer(game, player, batch):
    """Exact, in a matrix game: a pure strategy."""
    x, y = (game.at(name).detach() for name in "xy")
    costs = game.payoff @ y if player == "x" else -(x @ game.payoff)
    with torch.no_grad():
        game.at(player).copy_(nn.functional.one_hot(costs.argmin(), len(costs)))


def test_matching_pennies_gap_is_zero_where_both_toss_a_coin():
    gap = diagnostics.duality_gap(toys.MatrixGame(toys.PENNIES), None, best_answer, exact=True)
    assert gap.value == 0
    always = toys.MatrixGame(toys.PENNIES, x=np.array([1.0, 0.0]), y=np.array([1.0, 0.0]))
    gap = diagnostics.duality_gap(always, None, best_answer, exact=True)
    assert gap.value == 2  # x pays 1 and could gain 1 by changing sides; y can gain no more
    assert str(gap) == "2"


def test_a_gap_by_descent_is_a_lower_bound_and_says_so():
    always = toys.MatrixGame(toys.PENNIES, x=np.array([0.9, 0.1]), y=np.array([0.8, 0.2]))
    exact = diagnostics.duality_gap(always, None, best_answer, exact=True)
    some = diagnostics.descend(3, lambda weights: torch.optim.SGD(weights, lr=0.05))
    bound = diagnostics.duality_gap(always, None, some, exact=False)
    assert 0 < bound.value < exact.value
    assert str(bound).startswith("≥ ")
    many = diagnostics.descend(200, lambda weights: torch.optim.SGD(weights, lr=0.5))
    assert diagnostics.duality_gap(always, None, many, exact=False).value == pytest.approx(exact.value)


@pytest.mark.parametrize("payoff", [toys.PENNIES, toys.ROCK_PAPER_SCISSORS, np.array([[3.0, 0.0], [1.0, 2.0]])])
def test_three_ways_to_an_equilibrium_agree(payoff):
    x, y, value = solvers.solved(payoff)
    assert (x @ payoff).max() == pytest.approx(value, abs=1e-9)
    assert (payoff @ y).min() == pytest.approx(value, abs=1e-9)
    for found in (solvers.regret_matching(payoff, 20_000), solvers.mirror_descent(payoff, 20_000, 0.01)):
        game = toys.MatrixGame(payoff, *found)
        assert diagnostics.duality_gap(game, None, best_answer, exact=True).value < 0.03


def test_extragradient_finds_the_equilibrium_of_rock_paper_scissors():
    game = toys.MatrixGame(toys.ROCK_PAPER_SCISSORS, x=np.array([0.8, 0.1, 0.1]), y=np.array([0.1, 0.6, 0.3]))
    match = match_of(game, 0.2)
    for _ in range(400):
        Extragradient().step(match, [None])
    assert diagnostics.standing(game).tolist() == pytest.approx([1 / 3] * 6, abs=1e-6)


@given(point=arrays.arrays(np.float64, st.integers(1, 6), elements=st.floats(-5, 5)))
@settings(deadline=None)
def test_the_nearest_strategy_is_nearer_than_any_other(point):
    at = toys.nearest_on_simplex(torch.tensor(point)).numpy()
    assert at.min() >= 0
    assert at.sum() == pytest.approx(1)
    # the way from the point to the answer is at right angles, or worse, to the way to every corner
    corners = np.eye(len(point))
    assert all((point - at) @ (corner - at) <= 1e-9 for corner in corners)


def test_strategies_of_the_wrong_length_are_refused():
    with pytest.raises(BadInputError, match=r"x has \(3,\) weights, and 2 pure strategies"):
        toys.MatrixGame(toys.PENNIES, x=np.ones(3) / 3)


# ---------------------------------------------------------------------------------------------- Kuhn poker

PASS = np.zeros((2, 3))


def bluffing(α):
    """An equilibrium for every α in [0, 1/3] (Kuhn 1950): x bets a jack with α, a king with 3α, calls with a queen."""
    return np.array([[α, 0, 3 * α], [0, α + 1 / 3, 1]]), np.array([[1 / 3, 0, 1], [0, 1 / 3, 1]])


@pytest.mark.parametrize(
    ("strategies", "gap"), [((None, None), 11 / 12), ((PASS, PASS), 2.0), (bluffing(0.0), 0.0), (bluffing(0.25), 0.0)]
)
def test_kuhn_pokers_gap_is_its_nash_conv(strategies, gap):
    found = diagnostics.duality_gap(toys.KuhnPoker(*strategies), None, toys.best_pure_answer, exact=True)
    assert found.value == pytest.approx(gap, abs=1e-12)


def test_who_speaks_first_in_kuhn_poker_loses_an_eighteenth():
    assert float(toys.KuhnPoker(*bluffing(0.1)).value(None).detach()) == pytest.approx(1 / 18)


def test_kuhn_poker_is_openspiels():
    pyspiel = pytest.importorskip("pyspiel", reason="OpenSpiel is not installed")
    exploitability = pytest.importorskip("open_spiel.python.algorithms.exploitability")
    policies = pytest.importorskip("open_spiel.python.policy")
    random = np.random.default_rng(0)
    theirs = pyspiel.load_game("kuhn_poker")
    for _ in range(5):
        x, y = random.uniform(size=(2, 2, 3))
        policy = policies.TabularPolicy(theirs)
        for state, row in policy.state_lookup.items():
            card, said = int(state[0]), state[1:]
            chance = {"": x[0], "pb": x[1], "p": y[0], "b": y[1]}[said][card]
            policy.action_probability_array[row] = [1 - chance, chance]
        ours = diagnostics.duality_gap(toys.KuhnPoker(x, y), None, toys.best_pure_answer, exact=True)
        assert ours.value == pytest.approx(exploitability.nash_conv(theirs, policy))


# ---------------------------------------------------------------------------------------------- the minimax GAN, finite


class FiniteGAN(Game):
    """Data p and fakes q on a few points, a discriminator free at each: V = Σ p log D + q log (1 − D)."""

    zero_sum = True

    def __init__(self, p, q):
        super().__init__(
            {"generator": Point(torch.tensor(q).log()), "discriminator": Point(torch.zeros(len(p)).double())}
        )
        self.p = torch.tensor(p)

    def loss(self, player, batch):
        q, logits = self.at("generator").softmax(0), self.at("discriminator")
        value = (self.p * nn.functional.logsigmoid(logits) + q * nn.functional.logsigmoid(-logits)).sum()
        return value if player == "generator" else -value


def test_the_best_discriminator_is_p_over_p_plus_q_and_its_value_the_jensen_shannon_divergence():
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7])
    game = FiniteGAN(p, q)
    diagnostics.descend(2000, lambda weights: torch.optim.SGD(weights, lr=2.0))(game, "discriminator", None)
    assert game.at("discriminator").sigmoid().tolist() == pytest.approx((p / (p + q)).tolist(), abs=1e-9)
    m = (p + q) / 2
    js = ((p * np.log(p / m)).sum() + (q * np.log(q / m)).sum()) / 2
    assert float(game.value(None).detach()) == pytest.approx(-math.log(4) + 2 * js, abs=1e-12)


def test_the_path_angle_of_a_bowl_is_straight_and_turns_round_at_its_bottom():
    class Bowl(Game):
        def __init__(self):
            super().__init__({"ball": Point(torch.tensor([2.0, 1.0]).double())})

        def loss(self, player, batch):
            return self.at("ball").square().sum() / 2

    told = diagnostics.path_angle(Bowl(), torch.tensor([2.0, 1.0]).double(), torch.zeros(2).double(), None, points=16)
    before, after = told.alphas < 0.99, told.alphas > 1.01
    assert told.cosines[before] == pytest.approx(1.0)
    assert told.cosines[after] == pytest.approx(-1.0)


def test_the_gradient_norm_is_that_of_the_whole_field():
    assert diagnostics.gradient_norm(toys.Bilinear(3.0, 4.0), None) == pytest.approx(5.0)
