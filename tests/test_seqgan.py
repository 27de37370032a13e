"""SeqGAN: gradients held to enumeration, phases and credits to what they say."""

import copy
import dataclasses
from math import inf

import numpy as np
import pytest
import torch

from sparring.adversarial import language, seqgan
from sparring.adversarial.corpus import Corpus
from sparring.adversarial.seqgan import Config, Desk, Schedule, SeqGAN
from sparring.envs.errors import BadInputError
from sparring.envs.tokens import BLANK

pytestmark = pytest.mark.usefixtures("one_thread")

V, T = 3, 3
EVERY = torch.cartesian_prod(*[torch.arange(V)] * T)  # all 27 sentences
DRAWS, BATCH = 80, 512
STILL = {"rollouts": 2, "keep": 1.0, "standardise": False}  # π′ does not move, and nothing is scaled


def small(**options):
    """A SeqGAN whose world can be enumerated, in its third phase; one step of it is its gradient."""
    chosen = {
        "batch": BATCH,
        "embedding": 3,
        "hidden": 4,
        "baseline": "none",
        "rollouts": 2,
        "keep": 1.0,
        "standardise": False,
        **options,
    }
    config = Config(
        Schedule(steps=10), "oracle", vocabulary=V, length=T, mle_rounds=0, warm_rounds=0, d_turns=0, **chosen
    )
    made = SeqGAN(config, Corpus(EVERY, EVERY, V), seed=0, device="cpu")
    language.in_normal(made.model, 1.0, torch.Generator().manual_seed(1))
    with torch.no_grad():
        made.d.head.weight.mul_(20)  # so that it believes in some sentences more than in others
    made.grow_older(0.0)
    learner = made.learner
    learner.descent = seqgan.Descent(torch.optim.SGD(made.model.parameters(), lr=1.0), max_norm=inf, updates=None)
    learner.config = dataclasses.replace(learner.config, value_weight=0.0)
    return made


def weights(made):
    """Those that write."""
    return [*made.model.reader.parameters(), *made.model.policy_head.parameters()]


def flat(tensors):
    return torch.cat([one.detach().double().flatten() for one in tensors])


def exact(made, worth=None):
    """∇ E[J(y)] by enumeration; J = σ(D) of whole sentences unless said otherwise."""
    with torch.no_grad():
        worth = made.d(EVERY).sigmoid() if worth is None else worth
    share = made.model.log_probs(EVERY).sum(1).exp()
    return flat(torch.autograd.grad((share * worth).sum(), weights(made)))


def prefixes(t):
    """All sentences up to their token t, 1 … T."""
    return torch.where(torch.arange(T) < t, EVERY, BLANK)


def expected_worth(made):
    """E[σ(D) | y_1…y_t] [27, T], by enumeration."""
    with torch.no_grad():
        share, worth = made.model.log_probs(EVERY).sum(1).exp(), made.d(EVERY).sigmoid()
    columns = []
    for t in range(1, T + 1):
        _, group = torch.unique(prefixes(t), dim=0, return_inverse=True)
        mass = torch.zeros(27).index_add(0, group, share)
        columns.append((torch.zeros(27).index_add(0, group, share * worth) / mass)[group])
    return torch.stack(columns, 1)


def estimates(made, draws=DRAWS):
    """Gradients [draws, P] that the algorithm's own steps are."""
    source = Desk(made)
    source.reset(0)
    start, found = [weight.detach().clone() for weight in made.model.parameters()], []
    for _ in range(draws):
        made.update(source.draw(made))
        here = weights(made)
        with torch.no_grad():
            moved = [now - before for now, before in zip(made.model.parameters(), start, strict=True)]
            names = {id(weight) for weight in here}
            found.append(flat([one for one, w in zip(moved, made.model.parameters(), strict=True) if id(w) in names]))
            for weight, before in zip(made.model.parameters(), start, strict=True):
                weight.copy_(before)
    return T * torch.stack(found)  # a step is the mean over T tokens, the gradient their sum


def agree(found, gradient):
    """Whether the mean of estimates is as near the gradient as chance has it, and that is near."""
    mean, chance = found.mean(0), (found.var(0).sum() / len(found)).sqrt()
    assert chance < 0.08 * gradient.norm(), "too few draws to tell"
    return ((mean - gradient).norm() < 2 * chance).item()


@pytest.mark.parametrize("baseline", ["none", "running", "value"])
@pytest.mark.parametrize("credit", ["terminal", "rollouts"])
def test_the_score_function_is_unbiased(credit, baseline):
    made = small(credit=credit, baseline=baseline)
    assert agree(estimates(made), exact(made))


def test_a_wrong_gradient_would_be_found_out():
    made = small(credit="terminal")
    found, right = estimates(made), exact(made)
    assert agree(found, right)
    assert not agree(found, exact(made, worth=made.d(EVERY.flip(1)).sigmoid().detach()))
    assert not agree(found, 1.2 * right)


def test_per_step_credit_agrees_where_d_knows_what_is_to_be_expected(monkeypatch):
    made = small(credit="per-step")
    known = {
        tuple(row): value
        for t in range(1, T + 1)
        for row, value in zip(prefixes(t).tolist(), expected_worth(made)[:, t - 1], strict=True)
    }
    monkeypatch.setattr(made, "believed", lambda whole: torch.stack([known[tuple(row)] for row in whole.tolist()]))
    assert agree(estimates(made), exact(made))


def test_per_step_credit_follows_d_on_prefixes_where_it_does_not():
    made = small(credit="per-step", baseline="running")
    log_probs = made.model.log_probs(EVERY)
    with torch.no_grad():
        made.d.head.weight.mul_(5)
        worth = torch.stack([made.d(prefixes(t)).sigmoid() for t in range(1, T + 1)], 1)
    surrogate = (log_probs.sum(1).exp().detach()[:, None] * worth * log_probs).sum()
    followed, right = flat(torch.autograd.grad(surrogate, weights(made))), exact(made)
    found = estimates(made)
    assert agree(found, followed)
    assert not agree(found, right)


def test_less_is_left_to_chance_from_rung_to_rung():
    spread = {
        name: estimates(small(**options), draws=30).var(0).sum().item()
        for name, options in {
            "terminal": {"credit": "terminal"},
            "rollouts": {"credit": "rollouts", "rollouts": 16},
            "running": {"credit": "rollouts", "rollouts": 16, "baseline": "running"},
        }.items()
    }
    assert spread["running"] < spread["rollouts"] < 1.1 * spread["terminal"]


def test_an_older_policy_bends_roll_outs():
    made = small(credit="rollouts", rollouts=4)
    language.in_normal(made.older, 1.0, torch.Generator().manual_seed(9))
    assert not agree(estimates(made), exact(made))


def test_ppo_takes_the_same_first_step_as_reinforce():
    """With one epoch the ratio is 1 and nothing is clipped: one word changed, the same gradient."""
    steps = []
    for agent in ("reinforce", "ppo"):
        made = small(agent=agent, baseline="value", credit="rollouts")
        epochs = {"epochs": 1, "standardise": False, "entropy_weight": 0.0} if agent == "ppo" else {}
        made.learner.config = dataclasses.replace(made.learner.config, **epochs)
        steps.append(estimates(made, draws=1)[0])
    torch.testing.assert_close(steps[0], steps[1], rtol=1e-4, atol=1e-6)
    assert steps[0].norm() > 1e-3


def test_probabilities_shown_to_a_linear_judge_pass_the_exact_gradient():
    """With one token and D linear in it, E D(π) = Σ π_k D(k): nothing is lost."""
    made = small(signal="soft-wgan")
    made.corpus = Corpus(EVERY[:, :1], EVERY[:, :1], V)
    judge = torch.tensor([1.0, -2.0, 0.5])

    class Linear(torch.nn.Module):
        def forward(self, sentences, dice=None):
            return (sentences * judge).sum((1, 2))

    made.d = Linear()
    made.persuade(None)  # a step of SGD
    after = [weight.detach().clone() for weight in weights(made)]
    again = small(signal="soft-wgan")
    share = again.model.log_probs(torch.arange(V)[:, None])[:, 0].exp()
    gradient = flat(torch.autograd.grad((share * judge).sum(), weights(again), materialize_grads=True))
    moved = flat(after) - flat(weights(again))
    torch.testing.assert_close(moved, gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("signal", ["gumbel", "straight-through", "soft-wgan"])
def test_a_relaxed_signal_moves_the_generator_and_not_the_judge(signal):
    made = small(signal=signal)
    before, judge = flat(weights(made)), flat(made.d.parameters())
    made.persuade(None)
    assert not torch.equal(flat(weights(made)), before)
    assert torch.equal(flat(made.d.parameters()), judge)


# ---------------------------------------------------------------------------------------------- phases


def tiny(**options):
    chosen = {"mle_rounds": 2, "mle_batches": 3, "warm_rounds": 1, "d_sentences": 32, "batch": 16, **options}
    config = Config(
        Schedule(steps=6, samples=40), "oracle", vocabulary=6, length=5, sentences=200, held_out=50, hidden=8, **chosen
    )
    return seqgan.experiment(config, seed=0, device="cpu")


def test_likelihood_comes_first_then_d_alone_then_both():
    algorithm, source, _ = tiny()
    source.reset(0)
    g, d = [], []
    for _ in range(5):
        before = flat(algorithm.model.parameters()), flat(algorithm.d.parameters())
        algorithm.update(source.draw(algorithm))
        g.append(not torch.equal(flat(algorithm.model.parameters()), before[0]))
        d.append(not torch.equal(flat(algorithm.d.parameters()), before[1]))
    assert g == [True, True, False, True, True]
    assert d == [False, False, True, True, True]


@pytest.mark.parametrize(
    ("credit", "paid"), [("terminal", [False] * 4 + [True]), ("rollouts", [True] * 5), ("per-step", [True] * 5)]
)
def test_credit_says_when_a_token_is_paid(credit, paid):
    algorithm, source, _ = tiny(mle_rounds=0, warm_rounds=0, credit=credit)
    source.reset(0)
    written = source.draw(algorithm).written
    assert (written.rewards > 0).all(1).tolist() == paid
    whole = torch.from_numpy(np.concatenate([written.obs[4][:, :4], written.actions[4][:, None]], 1))
    np.testing.assert_allclose(written.rewards[4], algorithm.d(whole).sigmoid().detach().numpy(), rtol=1e-5)


def test_roll_outs_are_means_over_ends_that_the_older_policy_writes():
    algorithm, _, _ = tiny(rollouts=4_000)
    made = small(rollouts=4_000)
    language.in_normal(made.older, 1.5, torch.Generator().manual_seed(5))
    found = made.rolled_out(torch.tensor([[2], [0]]))
    made.model = made.older  # so that the enumeration is the older one's
    worth = expected_worth(made)
    rows = {int(row[0]): value for row, value in zip(EVERY, worth[:, 0], strict=True)}
    assert found.tolist() == pytest.approx([rows[2].item(), rows[0].item()], abs=0.02)
    assert algorithm.config.rollouts == 4_000


def test_the_older_policy_follows_slowly_and_is_the_same_after_likelihood():
    algorithm, source, _ = tiny(warm_rounds=0, keep=0.75)
    source.reset(0)
    for _ in range(2):
        algorithm.update(source.draw(algorithm))
    assert torch.equal(flat(algorithm.older.parameters()), flat(algorithm.model.parameters()))
    before = flat(algorithm.older.parameters())
    algorithm.update(source.draw(algorithm))
    expected = 0.75 * before + 0.25 * flat(algorithm.model.parameters())
    torch.testing.assert_close(flat(algorithm.older.parameters()), expected, rtol=1e-5, atol=1e-7)


def test_prefixes_that_d_learns_from_are_equally_long_and_never_empty():
    algorithm, _, _ = tiny(credit="per-step")
    real = algorithm.corpus.train[:100]
    cut, other = algorithm.cut(real, real.flip(0))
    lengths = language.written(cut)
    assert torch.equal(lengths, language.written(other))
    assert set(lengths.tolist()) == {1, 2, 3, 4, 5}
    assert torch.equal(cut, torch.where(torch.arange(5) < lengths[:, None], real, BLANK))


def test_maximum_likelihood_in_play_goes_at_the_rate_of_play_with_an_optimiser_of_its_own():
    algorithm, source, _ = tiny(mle_rounds=1, warm_rounds=0, teacher=1, rate=1e-3, d_turns=0)
    source.reset(0)
    rates = []
    for _ in range(4):
        algorithm.update(source.draw(algorithm))
        rates.append(algorithm.teaching.optimiser.param_groups[0]["lr"])
    steps = {
        name: next(iter(descent.optimiser.state_dict()["state"].values()))["step"].item()
        for name, descent in (("likelihood", algorithm.likelihood), ("teaching", algorithm.teaching))
    }
    assert rates == [1e-3] * 4
    assert steps == {"likelihood": 3, "teaching": 3}  # three batches of the first round, and one of each in play
    assert algorithm.parts()["teaching"] is algorithm.teaching


def test_a_teacher_keeps_the_likelihood_that_play_alone_loses():
    """An adversary who pays for nothing but token 0, and who goes at it fast."""
    found = {}
    for teacher in (0, 8):
        algorithm, source, judge = tiny(
            mle_rounds=4, mle_batches=20, warm_rounds=0, teacher=teacher, d_turns=0, rate=1e-2, baseline="none"
        )
        source.reset(0)
        algorithm.believed = lambda whole: (whole == 0).float().mean(1)
        for _ in range(24):
            algorithm.update(source.draw(algorithm))
        found[teacher] = judge(algorithm).metrics["nll_test"]
    assert found[8] < found[0] - 0.1


@pytest.mark.parametrize("sizes", [[8, 8, 8, 8], [32]])
def test_a_step_of_d_takes_so_many_sentences_of_each_kind(monkeypatch, sizes):
    algorithm, source, _ = tiny(mle_rounds=0, d_batch=sizes[0])
    source.reset(0)
    seen, d_loss = [], algorithm.d_loss
    monkeypatch.setattr(algorithm, "d_loss", lambda real, written: seen.append(len(real)) or d_loss(real, written))
    algorithm.update(source.draw(algorithm))
    assert seen == sizes


def test_relaxed_sentences_are_not_written_too(monkeypatch):
    algorithm, source, _ = tiny(mle_rounds=0, warm_rounds=1, signal="gumbel")
    source.reset(0)
    monkeypatch.setattr(algorithm.model, "write", None)
    for _ in range(2):
        assert algorithm.update(source.draw(algorithm))["loss/discriminator"] > 0


def test_g_and_d_are_drawn_from_seeds_of_their_own():
    """Whoever has D's seed does not know G's weights."""
    algorithm, _, _ = tiny()
    seeds = [int(word) for word in np.random.SeedSequence(0).generate_state(4)]
    g = [flat(seqgan.model_of(algorithm.config, algorithm.corpus, seed).parameters()) for seed in seeds]
    d = [flat(seqgan.discriminator_of(algorithm.config, algorithm.corpus, seed).parameters()) for seed in seeds]
    assert [torch.equal(one, flat(algorithm.model.parameters())) for one in g] == [True, False, False, False]
    assert [torch.equal(one, flat(algorithm.d.parameters())) for one in d] == [False, False, False, True]


def test_without_a_baseline_and_with_a_running_one_standardised_steps_are_the_same():
    steps = {
        (baseline, standardise): estimates(small(credit="rollouts", baseline=baseline, standardise=standardise), 2)
        for baseline in ("none", "running")
        for standardise in (False, True)
    }
    torch.testing.assert_close(steps["none", True], steps["running", True], rtol=1e-3, atol=1e-5)
    assert not torch.allclose(steps["none", False][1], steps["running", False][1], rtol=0.1)


@pytest.mark.parametrize(
    "options",
    [
        {"signal": "gumbel"},
        {"agent": "ppo"},
        {"agent": "ppo", "credit": "per-step", "teacher": 2},
        {"signal": "soft-wgan", "teacher": 1},
    ],
)
@pytest.mark.parametrize("stopped", [1, 2, 4])
def test_every_way_is_resumed_exactly_from_every_phase(options, stopped):
    """As the runner does: a fresh experiment takes over parts and source, and goes on as the other."""
    one, source, _ = tiny(**options)
    source.reset(0)
    for _ in range(stopped):
        one.update(source.draw(one))
    other, other_source, _ = seqgan.experiment(one.config, seed=1, device="cpu")
    for name, part in other.parts().items():
        part.load_state_dict(copy.deepcopy(one.parts()[name].state_dict()))
    other_source.load_state_dict(copy.deepcopy(source.state_dict()))
    for _ in range(3):
        assert one.update(source.draw(one)) == other.update(other_source.draw(other))
    for name, part in one.parts().items():
        assert str(part.state_dict()) == str(other.parts()[name].state_dict()), name
    assert torch.equal(flat(one.model.parameters()), flat(other.model.parameters()))


def test_d_learns_to_tell_sentences_apart():
    algorithm, source, _ = tiny(mle_rounds=0, warm_rounds=40, d_rate=3e-3, d_sentences=128)
    source.reset(0)
    told = [algorithm.update(source.draw(algorithm)) for _ in range(40)]
    assert told[-1]["believed/real"] - told[-1]["believed/fake"] > 0.15
    assert told[-1]["loss/discriminator"] < told[0]["loss/discriminator"]


def test_playing_makes_sentences_that_d_believes():
    """D holds still, so there is one thing to do."""
    algorithm, source, _ = tiny(mle_rounds=0, warm_rounds=10, d_rate=3e-3, d_turns=0, credit="rollouts", rate=3e-3)
    source.reset(0)
    rewards = [algorithm.update(source.draw(algorithm)).get("reward/mean") for _ in range(90)]
    assert np.mean(rewards[-10:]) > np.mean(rewards[10:20]) + 0.1


def test_maximum_likelihood_finds_a_source_that_is_known():
    algorithm, source, judge = tiny(mle_rounds=20, mle_batches=25, mle_rate=2e-2)
    source.reset(0)
    for _ in range(20):
        algorithm.update(source.draw(algorithm))
    found = judge(algorithm).metrics
    assert found["nll_test"] < found["ngram1_nll_test"]
    assert found["nll_test"] > found["floor"] - 0.1


def test_conditional_writing_is_checked_by_its_answers():
    config = dataclasses.replace(
        seqgan.PRESETS["reverse"].config,
        vocabulary=4,
        length=2,
        sentences=500,
        held_out=50,
        hidden=16,
        mle_rounds=10,
        mle_batches=40,
        mle_rate=1e-2,
        schedule=Schedule(steps=12, samples=50),
        warm_rounds=1,
        d_sentences=64,
    )
    algorithm, source, judge = seqgan.experiment(config, seed=0, device="cpu")
    source.reset(0)
    assert judge(algorithm).metrics["answers_right"] < 0.5
    for _ in range(12):
        algorithm.update(source.draw(algorithm))
    judged = judge(algorithm)
    assert next(iter(judged.metrics)) == "answers_right"
    assert judged.metrics["answers_right"] > 0.95
    [sheet] = judged.episodes
    for said in seqgan.words(config, sheet):
        source_, answer = said.split(" → ")
        assert len(source_) == len(answer) == 3


# ---------------------------------------------------------------------------------------------- what is asked


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"rollouts": 0},
            "rollouts is 0; a sentence is ended at least once: use --rollouts 1, or more, or --",
        ),
        ({"text": "x.txt"}, "text is x.txt, and data is oracle; use --data text with it"),
        ({"agent": "ppo", "baseline": "none"}, "baseline is none, and ppo has one of its own, V: use --baseline value"),
        ({"length": 0}, "length is 0, and oracle has no longest line; use --length 20"),
        ({"vocabulary": 1}, "vocabulary is 1; it must be at least 2"),
        ({"keep": 1.5}, "keep is 1.5; it must be between 0 and 1"),
        ({"hidden": 0}, "hidden is 0; it must be at least 1"),
        ({"data_seed": -1}, "data_seed is -1; it must be at least 0"),
        ({"d_batch": 0}, "d_batch is 0; it must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(BadInputError) as caught:
        Config(Schedule(steps=1), "oracle", **options)
    assert str(caught.value).startswith(message)


def test_sentences_too_short_for_every_filter_are_refused():
    config = Config(Schedule(steps=1), "oracle", vocabulary=4, length=1, sentences=20, held_out=5)
    with pytest.raises(
        BadInputError, match=r"sentences have 1 token, and D's narrowest filter 2: use --length 2 or mo"
    ):
        seqgan.experiment(config, seed=0, device="cpu")
    seqgan.experiment(dataclasses.replace(config, d_size="paper"), seed=0, device="cpu")


@pytest.mark.parametrize(
    ("options", "unused"),
    [
        ({}, {"temperature"}),
        (
            {"signal": "soft-wgan"},
            {"credit", "rollouts", "keep", "agent", "baseline", "standardise", "entropy_weight"},
        ),
    ],
)
def test_a_configuration_knows_which_options_have_no_effect_on_it(options, unused):
    config = Config(Schedule(steps=1), "oracle", **options)
    assert set(config.unused) == unused <= {field.name for field in dataclasses.fields(config)}


def test_a_text_that_is_not_named_is_asked_for():
    with pytest.raises(BadInputError, match="data is text, and nobody says which; name a file with --text FILE"):
        seqgan.corpus_of(Config(Schedule(steps=1), "text", length=0))


def test_the_presets_are_the_recipes_that_they_say():
    paper = seqgan.PRESETS["paper"].config
    assert (paper.sentences, paper.batch, paper.mle_rounds * paper.mle_batches) == (10_000, 64, 18_720)
    assert (paper.hidden, paper.embedding, paper.length, paper.rollouts, paper.keep) == (32, 32, 20, 16, 0.8)
    assert (paper.d_batch, paper.d_sentences, paper.d_epochs, paper.d_turns) == (32, 10_000, 3, 5)
    filters = seqgan.discriminator_of(paper, Corpus(torch.zeros(1, 20), torch.zeros(1, 20), 5000), 0)
    assert filters.head.in_features == 1720
    assert sum(weight.numel() for weight in filters.parameters()) == pytest.approx(7.0e6, rel=0.1)
