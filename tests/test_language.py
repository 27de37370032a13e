"""The language model: one distribution, however it is asked."""

import numpy as np
import pytest
import torch
from scipy import stats

from sparring.adversarial import language
from sparring.adversarial.language import LanguageModel, Pen
from sparring.envs.tokens import BLANK

pytestmark = pytest.mark.usefixtures("one_thread")

V, T = 3, 3


def sentences():
    """All 27."""
    return torch.cartesian_prod(*[torch.arange(V)] * T)


@pytest.fixture
def model():
    made = LanguageModel(V, 4, 5)
    language.in_normal(made, 1.0, torch.Generator().manual_seed(0))
    return made


def test_probabilities_of_all_sentences_add_up_to_one(model):
    assert model.log_probs(sentences()).sum(1).exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_a_policy_over_prefixes_says_what_teacher_forcing_says(model):
    whole = sentences()
    forced = model.log_probs(whole)
    for t in range(T):
        prefix = whole.clone()
        prefix[:, t:] = BLANK
        distribution, _ = model(prefix)
        torch.testing.assert_close(distribution.log_prob(whole[:, t]), forced[:, t])


def test_prefixes_in_any_order_give_what_each_gives_alone_with_its_gradient(model):
    whole = sentences()
    rows = torch.cat([torch.where(torch.arange(T) < t, whole, BLANK) for t in range(T)])
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(1))]
    together, alone = model.reader(rows), torch.cat([model.reader(row[None]) for row in rows])
    torch.testing.assert_close(together, alone)
    weight = torch.randn(together.shape, generator=torch.Generator().manual_seed(2))
    weights = list(model.reader.parameters())
    for one, other in zip(
        torch.autograd.grad((together * weight).sum(), weights),
        torch.autograd.grad((alone * weight).sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_only_the_longest_of_a_sentences_prefixes_is_read(model):
    read = []
    model.reader.lstm.register_forward_hook(lambda module, taken, _: read.append(taken[0].shape))
    rows = torch.tensor([[BLANK] * 3, [1, BLANK, BLANK], [1, 2, BLANK], [0, 2, BLANK], [0, BLANK, BLANK]])
    model.reader(rows)
    assert read == [(2, 3, 4)]  # two sentences, START and two tokens, embedded in 4 numbers


def test_sentences_are_written_as_often_as_they_are_likely(model):
    places = torch.rand(20_000, T, generator=torch.Generator().manual_seed(3))
    made = model.write(torch.zeros(len(places), 0, dtype=torch.long), places)
    counts = torch.bincount(made @ torch.tensor([9, 3, 1]), minlength=27).numpy()
    expected = model.log_probs(sentences()).sum(1).exp().detach().double().numpy() * len(places)
    assert stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 1e-3


def test_a_pen_goes_on_from_its_state_and_writes_what_the_policy_says(model):
    pen = Pen(model, torch.Generator().manual_seed(0))
    read = []
    model.reader.lstm.register_forward_hook(lambda module, taken, _: read.append(taken[0].shape[1]))
    obs = np.full((4, T), BLANK)
    for t in range(T):
        acts = pen.act(obs)
        distribution, values = model(torch.from_numpy(obs))
        read.pop()
        told = distribution.log_prob(torch.from_numpy(acts.actions)).detach().numpy()
        np.testing.assert_allclose(acts.memory.log_prob, told, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(acts.memory.value, values.detach().numpy(), rtol=1e-5, atol=1e-6)
        obs[:, t] = acts.actions
    assert read == [1, 1, 1]
    assert (pen.act(np.full((4, T), BLANK), greedy=True).actions == pen.act(obs * 0 + BLANK, greedy=True).actions).all()
    other = np.array([[2, 1, BLANK]] * 4)
    pen.act(other)
    assert read[-1] == 3  # it has not followed this sentence


def test_what_is_given_is_read_before_writing(model):
    given = torch.tensor([[2, 2], [0, 1]])
    places = torch.full((2, 2), 0.5)
    made = model.write(given, places)
    assert torch.equal(made[:, :2], given)
    alone = torch.cat([model.write(given[:1], places[:1]), model.write(given[1:], places[1:])])
    assert torch.equal(made, alone)
    torch.testing.assert_close(model.log_probs(made, given=2), model.log_probs(made)[:, 2:])


def test_a_place_picks_the_token_whose_share_it_falls_into():
    logits = torch.log(torch.tensor([[0.2, 0.3, 0.5]])).expand(5, 3)
    assert language.picked(logits, torch.tensor([0.0, 0.19, 0.21, 0.51, 0.9999999])).tolist() == [0, 0, 1, 2, 2]


def test_a_sharp_model_writes_its_likeliest_tokens(model):
    places = torch.rand(50, T, generator=torch.Generator().manual_seed(0))
    made = model.write(torch.zeros(50, 0, dtype=torch.long), places, sharpness=1e4)
    assert len(torch.unique(made, dim=0)) == 1
    assert model.log_probs(made, sharpness=1e4).exp().min().item() == pytest.approx(1)


@pytest.mark.parametrize("relax", [language.straight_through(0.7), language.probabilities, language.softened(1e-3)])
def test_relaxed_tokens_are_drawn_from_the_policy(model, relax):
    """The drawn token is argmax(logits + g), which is π's (Gumbel 1954)."""
    noise = language.gumbel(torch.rand(20_000, 1, V, generator=torch.Generator().manual_seed(4)))
    logits = model.policy_head(model.reader.read(torch.zeros(1, 1, dtype=torch.long))[0])[0]
    token = relax(logits.expand(len(noise), V), noise[:, 0])
    torch.testing.assert_close(token.fed.mean(0), torch.softmax(logits[0], 0), atol=0.015, rtol=0)
    assert model.dream(torch.zeros(len(noise), 0, dtype=torch.long), noise, relax).shape == (20_000, 1, V)


def test_straight_through_rounds_forward_and_bends_backward(model):
    logits = torch.tensor([[0.3, 0.1, -0.2]], requires_grad=True)
    noise = torch.tensor([[0.0, 1.0, 0.0]])
    hard = language.straight_through(0.5)(logits, noise).shown
    assert hard.tolist() == [[0, 1, 0]]
    weight = torch.tensor([1.0, -2.0, 3.0])
    [through] = torch.autograd.grad((hard * weight).sum(), logits)
    [soft] = torch.autograd.grad((torch.softmax((logits + noise) / 0.5, 1) * weight).sum(), logits)
    torch.testing.assert_close(through, soft)
