"""Returns and advantages against sums written out by hand and against slow oracles that follow the textbooks.

Sources: Sutton & Barto 2018, eq. 3.9 (return); Schulman et al. 2016, eq. 11-16 (generalised advantage estimation);
Espeholt et al. 2018, eq. 1 (V-trace).
"""

from typing import NamedTuple

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from sparring.agents import returns

fuzz = settings(deadline=None, derandomize=True)
ENDED, CUT = "ended", "cut"
NUMBERS = st.integers(-40, 40).map(lambda n: n / 8)  # exact in binary, so that oracles need little tolerance
FRACTIONS = st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0])


class Games(NamedTuple):
    """T steps of N worlds, all [T, N] in float64 or bool, and what the values of the next observations are made of."""

    rewards: torch.Tensor
    ended: torch.Tensor
    cut: torch.Tensor
    values: torch.Tensor
    last: torch.Tensor  # [N]
    cut_values: torch.Tensor  # [K]

    @property
    def following(self):
        return returns.next_values(self.values, self.last, self.cut, self.cut_values)


@st.composite
def games(draw, values=NUMBERS):
    T, N = draw(st.integers(1, 7)), draw(st.integers(1, 3))

    def table(entries, *shape):
        count = int(np.prod(shape))
        return torch.tensor(draw(st.lists(entries, min_size=count, max_size=count))).reshape(shape)

    fates = np.array(draw(st.lists(st.sampled_from([None, ENDED, CUT]), min_size=T * N, max_size=T * N))).reshape(T, N)
    ended, cut = torch.from_numpy(fates == ENDED), torch.from_numpy(fates == CUT)
    return Games(
        table(NUMBERS, T, N).double(),
        ended,
        cut,
        table(values, T, N).double(),
        table(values, N).double(),
        table(values, int(cut.sum())).double(),
    )


def slow_return(g, γ, t, n):
    """Walk forward from step t until the game or the rollout stops."""
    total, weight = 0.0, 1.0
    for k in range(t, len(g.rewards)):
        total += weight * float(g.rewards[k, n])
        weight *= γ
        if g.ended[k, n]:
            return total
        if g.cut[k, n]:
            rank = [tuple(index) for index in torch.nonzero(g.cut).tolist()].index((k, n))
            return total + weight * float(g.cut_values[rank])
    return total + weight * float(g.last[n])


def slow_advantage(g, γ, λ, t, n):
    """The explicit sum Σ_k (γλ)^k δ_{t+k}, which stops where the game does."""
    total = 0.0
    for k in range(t, len(g.rewards)):
        bootstrap = 0.0 if g.ended[k, n] else float(g.following[k, n])
        δ = float(g.rewards[k, n]) + γ * bootstrap - float(g.values[k, n])
        total += (γ * λ) ** (k - t) * δ
        if g.ended[k, n] or g.cut[k, n]:
            break
    return total


def table_of(entry, g):
    T, N = g.rewards.shape
    return torch.tensor([[entry(t, n) for n in range(N)] for t in range(T)], dtype=torch.float64)


def column(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


def flags(*marks):
    return torch.tensor(marks, dtype=torch.bool)[:, None]


def test_next_values_are_the_next_row_the_last_row_and_the_cut_games_own_in_nonzero_order():
    values = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    cut = torch.tensor([[False, True, True], [True, False, False]])
    following = returns.next_values(values, torch.tensor([7.0, 8.0, 9.0]), cut, torch.tensor([-2.0, -3.0, -1.0]))
    assert following.tolist() == [[4.0, -2.0, -3.0], [-1.0, 8.0, 9.0]]


def test_next_values_leave_their_arguments_alone():
    values, last = torch.ones(2, 1), torch.ones(1)
    returns.next_values(values, last, flags(True, False), torch.tensor([5.0]))
    assert values.tolist() == [[1.0], [1.0]]
    assert last.tolist() == [1.0]


@pytest.mark.parametrize(
    ("ended", "cut", "expected"),
    [
        # γ = 1/2, rewards 1 2 4, V of what follows 8 16 32
        ((0, 0, 0), (0, 0, 0), (1 + 2 / 2 + 4 / 4 + 32 / 8, 2 + 4 / 2 + 32 / 4, 4 + 32 / 2)),
        ((0, 0, 1), (0, 0, 0), (1 + 2 / 2 + 4 / 4, 2 + 4 / 2, 4)),
        ((0, 1, 0), (0, 0, 0), (1 + 2 / 2, 2, 4 + 32 / 2)),
        ((0, 0, 0), (0, 1, 0), (1 + 2 / 2 + 16 / 4, 2 + 16 / 2, 4 + 32 / 2)),
        ((1, 0, 0), (0, 0, 1), (1, 2 + 4 / 2 + 32 / 4, 4 + 32 / 2)),
    ],
    ids=["goes on", "ends last", "ends midway", "cut midway", "ends first, cut last"],
)
def test_reward_to_go_by_hand(ended, cut, expected):
    found = returns.reward_to_go(column(1, 2, 4), flags(*ended), flags(*cut), column(8, 16, 32), 0.5)
    assert found[:, 0].tolist() == list(expected)


@fuzz
@given(games(), FRACTIONS)
def test_reward_to_go_is_what_walking_forward_finds(g, γ):
    found = returns.reward_to_go(g.rewards, g.ended, g.cut, g.following, γ)
    torch.testing.assert_close(found, table_of(lambda t, n: slow_return(g, γ, t, n), g))


@fuzz
@given(games(values=st.just(0.0)), FRACTIONS)
def test_with_next_values_of_zero_the_return_is_what_was_seen(g, γ):
    def seen(t, n):
        over = [k for k in range(t, len(g.rewards)) if g.ended[k, n] or g.cut[k, n]]
        stop = over[0] + 1 if over else len(g.rewards)
        return sum(γ ** (k - t) * float(g.rewards[k, n]) for k in range(t, stop))

    found = returns.reward_to_go(g.rewards, g.ended, g.cut, torch.zeros_like(g.values), γ)
    torch.testing.assert_close(found, table_of(seen, g))


def test_gae_by_hand():
    # γ = 1/2, λ = 1/2, so γλ = 1/4; V = 2 4 6 8, then 10; the game ends at step 1 and the next is cut at step 3
    # δ_0 = 1 + 4/2 − 2 = 1      δ_1 = 3 − 4 = −1      δ_2 = 5 + 8/2 − 6 = 3      δ_3 = 7 + 20/2 − 8 = 9
    ended, cut = flags(0, 1, 0, 0), flags(0, 0, 0, 1)
    values = column(2, 4, 6, 8)
    following = returns.next_values(values, torch.tensor([10.0]).double(), cut, torch.tensor([20.0]).double())
    found = returns.gae(column(1, 3, 5, 7), ended, cut, values, following, 0.5, 0.5)
    assert found[:, 0].tolist() == [1 - 1 / 4, -1, 3 + 9 / 4, 9]


@fuzz
@given(games(), FRACTIONS, FRACTIONS)
def test_gae_is_its_explicit_double_sum(g, γ, λ):
    found = returns.gae(g.rewards, g.ended, g.cut, g.values, g.following, γ, λ)
    torch.testing.assert_close(found, table_of(lambda t, n: slow_advantage(g, γ, λ, t, n), g))


@fuzz
@given(games(), FRACTIONS)
def test_gae_with_λ_one_is_the_monte_carlo_return_minus_the_value(g, γ):
    found = returns.gae(g.rewards, g.ended, g.cut, g.values, g.following, γ, 1.0)
    torch.testing.assert_close(found + g.values, table_of(lambda t, n: slow_return(g, γ, t, n), g))


@fuzz
@given(games(), FRACTIONS)
def test_gae_with_λ_zero_is_the_one_step_td_error(g, γ):
    found = returns.gae(g.rewards, g.ended, g.cut, g.values, g.following, γ, 0.0)
    torch.testing.assert_close(found, g.rewards + γ * g.following * (~g.ended) - g.values)


@fuzz
@given(games(), FRACTIONS, FRACTIONS)
def test_worlds_do_not_leak_into_each_other(g, γ, λ):
    together = returns.gae(g.rewards, g.ended, g.cut, g.values, g.following, γ, λ)
    for n in range(g.rewards.shape[1]):
        only = [array[:, n : n + 1] for array in (g.rewards, g.ended, g.cut, g.values, g.following)]
        torch.testing.assert_close(returns.gae(*only, γ, λ), together[:, n : n + 1])


def test_a_perfect_value_function_has_no_advantage_anywhere():
    # reward 1 for ever under γ = 0.9: V = 10 everywhere, and a cut changes nothing where V stands for the rest
    ten, one, cut = torch.full((6, 1), 10.0), torch.ones(6, 1), flags(0, 0, 1, 0, 0, 0)
    following = returns.next_values(ten, torch.tensor([10.0]), cut, torch.tensor([10.0]))
    never = torch.zeros(6, 1, dtype=torch.bool)
    for λ in (0.0, 0.5, 1.0):
        found = returns.gae(one, never, cut, ten, following, 0.9, λ)
        torch.testing.assert_close(found, torch.zeros(6, 1), atol=1e-5, rtol=0)
    torch.testing.assert_close(returns.reward_to_go(one, never, cut, following, 0.9), ten)


def test_nothing_flows_back_over_a_game_that_ended_even_an_infinite_value():
    # an ended game's next observation is somebody else's: V of it must not enter even as 0 · inf = nan
    following = column(float("inf"), 0.0)
    assert returns.gae(column(1, 1), flags(1, 1), flags(0, 0), column(0, 0), following, 0.5, 0.5).isfinite().all()
    assert returns.reward_to_go(column(1, 1), flags(1, 1), flags(0, 0), following, 0.5)[:, 0].tolist() == [1.0, 1.0]


# The whole game's return


def test_the_return_of_a_game_is_the_same_for_all_its_steps():
    # a game that began before the rollout and ends, one within it that is cut, one that goes on after it
    rewards, ended, cut = column(1, 2, 4, 8, 16, 32), flags(0, 1, 0, 0, 0, 0), flags(0, 0, 0, 1, 0, 0)
    assert returns.episode_return(rewards, ended, cut)[:, 0].tolist() == [3, 3, 12, 12, 48, 48]


def test_a_game_of_one_step_and_one_that_spans_the_rollout_have_their_own_returns():
    rewards = torch.tensor([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]])
    ended = torch.tensor([[True, False], [False, False], [True, False]])
    cut = torch.tensor([[False, False], [True, False], [False, False]])
    assert returns.episode_return(rewards, ended, cut).tolist() == [[1, 7], [2, 7], [4, 7]]


@fuzz
@given(games())
def test_the_return_of_a_game_is_the_sum_over_all_steps_between_two_ends(g):
    def whole(t, n):
        over = [k for k in range(len(g.rewards)) if g.ended[k, n] or g.cut[k, n]]
        first = max((k + 1 for k in over if k < t), default=0)
        last = min((k for k in over if k >= t), default=len(g.rewards) - 1)
        return float(g.rewards[first : last + 1, n].sum())

    torch.testing.assert_close(returns.episode_return(g.rewards, g.ended, g.cut), table_of(whole, g))


# V-trace

LOG_RATIOS = st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0])
BOUNDS = st.sampled_from([0.5, 1.0, 1.5, 100.0])


def v_trace(g, log_ratios, γ, **bounds):
    return returns.vtrace(g.rewards, g.ended, g.cut, g.values, g.following, log_ratios, γ, **bounds)


def slow_v_trace(g, log_ratios, γ, ρ_max, c_max, s, n):
    """v_s = V_s + Σ_t γ^{t−s} (Π_{i=s}^{t−1} c_i) δ_t, the paper's equation 1; the sum stops where the game does."""
    total = float(g.values[s, n])
    for t in range(s, len(g.rewards)):
        trace = np.prod([min(c_max, float(log_ratios[i, n].exp())) for i in range(s, t)])
        bootstrap = 0.0 if g.ended[t, n] else float(g.following[t, n])
        ρ = min(ρ_max, float(log_ratios[t, n].exp()))
        total += γ ** (t - s) * trace * ρ * (float(g.rewards[t, n]) + γ * bootstrap - float(g.values[t, n]))
        if g.ended[t, n] or g.cut[t, n]:
            break
    return total


def slow_v_trace_advantage(g, log_ratios, γ, ρ_max, c_max, s, n):
    """ρ_s (r_s + γ v_{s+1} − V_s), section 4.2; after a cut, and after the last step, v is V."""
    if g.ended[s, n]:
        following = 0.0
    elif g.cut[s, n] or s == len(g.rewards) - 1:
        following = float(g.following[s, n])
    else:
        following = slow_v_trace(g, log_ratios, γ, ρ_max, c_max, s + 1, n)
    ρ = min(ρ_max, float(log_ratios[s, n].exp()))
    return ρ * (float(g.rewards[s, n]) + γ * following - float(g.values[s, n]))


@st.composite
def off_policy_games(draw):
    g = draw(games())
    ratios = draw(st.lists(LOG_RATIOS, min_size=g.rewards.numel(), max_size=g.rewards.numel()))
    return g, torch.tensor(ratios, dtype=torch.float64).view(g.rewards.shape)


@fuzz
@given(off_policy_games(), FRACTIONS, BOUNDS, BOUNDS)
def test_v_trace_is_the_papers_sum_of_products(played, γ, ρ_max, c_max):
    g, log_ratios = played
    found = v_trace(g, log_ratios, γ, ρ_max=ρ_max, c_max=c_max)
    for table, slow in zip(found, (slow_v_trace, slow_v_trace_advantage), strict=True):
        expected = table_of(lambda s, n, slow=slow: slow(g, log_ratios, γ, ρ_max, c_max, s, n), g)
        torch.testing.assert_close(table, expected)


@fuzz
@given(games(), FRACTIONS, st.sampled_from([1.0, 100.0]))
def test_on_policy_v_trace_is_the_n_step_return(g, γ, bound):
    found = v_trace(g, torch.zeros_like(g.rewards), γ, ρ_max=bound, c_max=bound)
    n_step = table_of(lambda t, n: slow_return(g, γ, t, n), g)
    torch.testing.assert_close(found.targets, n_step)
    torch.testing.assert_close(found.advantages, n_step - g.values)


def test_v_trace_by_hand():
    # γ = 1/2, V = 2 4, then 8; ratios 4 and 1/2 with ρ̄ = 2 and c̄ = 1: ρ = 2, 1/2 and c = 1, 1/2
    # δ_1 = (3 + 8/2 − 4) / 2 = 3/2, v_1 = 4 + 3/2;  δ_0 = 2 (1 + 4/2 − 2) = 2, v_0 = 2 + 2 + (1/2) · 1 · (3/2)
    log_ratios, never = column(4, 1 / 2).log(), flags(0, 0)
    found = returns.vtrace(column(1, 3), never, never, column(2, 4), column(4, 8), log_ratios, 0.5, ρ_max=2, c_max=1)
    assert found.targets[:, 0].tolist() == pytest.approx([4.75, 5.5])
    # ρ_t (r_t + γ v_{t+1} − V_t), and v_2 = 8
    assert found.advantages[:, 0].tolist() == pytest.approx([2 * (1 + 5.5 / 2 - 2), (3 + 8 / 2 - 4) / 2])


def test_v_trace_leaves_the_values_of_actions_that_the_policy_would_never_take():
    g = Games(
        column(5, 7), flags(0, 0), flags(0, 0), column(2, 3), torch.tensor([4.0]).double(), torch.empty(0).double()
    )
    found = v_trace(g, torch.full((2, 1), -60.0, dtype=torch.float64), 0.9)
    torch.testing.assert_close(found.targets, g.values)
    torch.testing.assert_close(found.advantages, torch.zeros_like(g.values))


def test_no_value_and_no_trace_flows_back_over_an_end_in_v_trace_either():
    following, never = column(float("inf"), 0.0), flags(0, 0)
    found = returns.vtrace(column(1, 1), flags(1, 1), never, column(0, 0), following, column(0, 0), 0.5)
    assert [table[:, 0].tolist() for table in found] == [[1.0, 1.0], [1.0, 1.0]]


def test_unbounded_v_trace_expects_what_the_policy_would_have_earned_though_another_one_played():
    # μ plays each arm half the time, π = (1/4, 3/4), arms pay 1 and 3: E_μ[v] = E_π[r] = 2.5 whatever V is
    log_ratios = torch.tensor([[0.5, 1.5]], dtype=torch.float64).log()
    arms, V = torch.tensor([[1.0, 3.0]]).double(), torch.full((1, 2), 0.7).double()
    always, never = torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, 2, dtype=torch.bool)
    found = returns.vtrace(arms, always, never, V, torch.zeros_like(V), log_ratios, 0.9, ρ_max=100, c_max=1)
    assert found.targets.mean().item() == pytest.approx(2.5)
