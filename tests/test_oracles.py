"""Oracles, held to what is known of them: floors, bars, and identities between their figures."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from sparring.adversarial import language, ngrams, oracles
from sparring.adversarial.language import LanguageModel
from sparring.adversarial.ngrams import NGrams
from sparring.envs.errors import BadInputError

pytestmark = pytest.mark.usefixtures("one_thread")

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "seqgan_oracle"
needs_authors = pytest.mark.skipif(not FOLDER.is_dir(), reason="the authors' oracle is not in ../shared/data")


def dice(seed=0):
    return torch.Generator().manual_seed(seed)


def by_hand(weights, sentence):
    """−ln p of a sentence, by the formulas of SeqGAN's code, in numpy."""

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    h = c = np.zeros(len(weights["W_logits"]))
    before, nats = 0, 0.0
    for token in sentence:
        x = weights["embedding"][before].astype(float)
        i, f, o, g = (
            x @ weights[f"W_{gate}"] + h @ weights[f"U_{gate}"] + weights[f"b_{gate}"]
            for gate in ("input", "forget", "output", "cell")
        )
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        logits = h @ weights["W_logits"] + weights["b_logits"]
        nats += np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[token]
        before = token
    return nats


def test_an_oracle_computes_what_the_formulas_say():
    random = np.random.default_rng(3)
    weights = {"embedding": random.standard_normal((7, 4))}
    for gate in oracles.GATES:
        weights |= {f"W_{gate}": random.standard_normal((4, 5)), f"U_{gate}": random.standard_normal((5, 5))}
        weights[f"b_{gate}"] = random.standard_normal(5)
    weights |= {"W_logits": random.standard_normal((5, 7)), "b_logits": random.standard_normal(7)}
    oracle = oracles.of_weights({name: array.astype(np.float32) for name, array in weights.items()})
    sentence = [3, 0, 6, 6, 1]
    told = oracles.nats(oracle, torch.tensor([sentence])).item() * len(sentence)
    assert told == pytest.approx(by_hand(weights, sentence), rel=1e-5)


@pytest.mark.parametrize(("seed", "floor"), [(0, 2.229), (1, 2.205)])
def test_a_drawn_oracle_of_50_tokens_has_its_floor(seed, floor):
    oracle = oracles.drawn(50, seed)
    told = oracles.estimated(oracles.nats(oracle, oracles.sentences(oracle, 4_000, 20, dice())))
    assert told.mean == pytest.approx(floor, abs=0.03)
    assert told.low < told.mean < told.high < told.low + 0.05


def test_its_ngrams_are_the_published_bars_of_oracle_50():
    """Measured independently: 3.478, 2.952, 2.694, 2.650 of 90,000 sentences."""
    oracle = oracles.drawn(50, 0)
    whole = oracles.sentences(oracle, 92_000, 20, dice(1)).numpy()
    told = [NGrams(whole[:90_000], 50, order).nll(whole[90_000:]) for order in (1, 2, 3, 4)]
    assert told == pytest.approx([3.478, 2.952, 2.694, 2.650], abs=0.03)


@needs_authors
def test_the_authors_oracle_has_its_floor_and_its_bars():
    """reference: 5.750; unigram 10.300 / 7.835, bigram d = ½ 8.988 / 7.906, d = 0.9 9.452 / 7.608, plain 8.261, by
    position 10.146."""
    oracle = oracles.authors(FOLDER)
    whole = oracles.sentences(oracle, 10_500, 20, dice(2)).numpy()
    train, test, random = whole[:10_000], whole[10_000:], np.random.default_rng(0)

    def thought_of(sentences):
        return oracles.nats(oracle, torch.from_numpy(sentences)).mean().item()

    assert thought_of(test) == pytest.approx(5.750, abs=0.08)
    unigram, bigram, smooth = NGrams(train, 5000, 1), NGrams(train, 5000, 2, 0.5), NGrams(train, 5000, 2, 0.9)
    assert (unigram.nll(test), bigram.nll(test), smooth.nll(test)) == pytest.approx((7.835, 7.906, 7.608), abs=0.06)
    assert thought_of(unigram.write(500, 20, random)) == pytest.approx(10.300, abs=0.1)
    assert thought_of(bigram.write(500, 20, random)) == pytest.approx(8.988, abs=0.12)
    assert thought_of(smooth.write(2_000, 20, random)) == pytest.approx(9.452, abs=0.1)  # of other training sentences
    assert thought_of(NGrams(train, 5000, 2, 0.0).write(500, 20, random)) == pytest.approx(8.261, abs=0.12)
    assert thought_of(ngrams.by_position(train, 500, random)) == pytest.approx(10.146, abs=0.1)
    assert thought_of(ngrams.replayed(train, 500, random)) == pytest.approx(5.745, abs=0.08)
    greedy = oracle.write(torch.zeros(1, 0, dtype=torch.long), torch.full((1, 20), 0.5), sharpness=1e4)
    assert thought_of(greedy.numpy()) == pytest.approx(2.756, abs=0.001)


def test_kls_are_exact_on_a_world_that_can_be_enumerated():
    p, q = LanguageModel(3, 4, 5), LanguageModel(3, 4, 5)
    for number, model in enumerate((p, q)):
        language.in_normal(model, 0.8, dice(number))
    every = torch.cartesian_prod(*[torch.arange(3)] * 3)
    log_p, log_q = (model.log_probs(every).sum(1).detach().double() / 3 for model in (p, q))
    share_p, share_q = (3 * log_p).exp(), (3 * log_q).exp()
    told = oracles.judge(p, q, oracles.sentences(q, 8_000, 3, dice(2)), oracles.sentences(p, 8_000, 3, dice(3)))
    exact = {
        "nll_oracle": -(share_q * log_p).sum(),
        "nll_test": -(share_p * log_q).sum(),
        "entropy": -(share_q * log_q).sum(),
        "kl_forward": (share_p * (log_p - log_q)).sum(),
        "kl_reverse": (share_q * (log_q - log_p)).sum(),
        "floor": -(share_p * log_p).sum(),
    }
    for name, value in exact.items():
        estimate = getattr(told, name)
        assert abs(estimate.mean - value.item()) < 1.5 * (estimate.high - estimate.mean), name
    assert told.kl_forward.mean == pytest.approx(told.nll_test.mean - told.floor.mean)
    assert told.kl_reverse.mean == pytest.approx(told.nll_oracle.mean - told.entropy.mean)


def test_an_oracle_that_judges_itself_finds_no_difference():
    oracle = oracles.drawn(20, 0)
    own, test = (oracles.sentences(oracle, 300, 8, dice(seed)) for seed in (1, 2))
    told = oracles.judge(oracle, oracle, own, test)
    assert told.kl_forward.mean == told.kl_reverse.mean == 0
    assert told.nll_test == told.floor


def test_a_missing_oracle_is_named_with_what_to_do(tmp_path):
    with pytest.raises(BadInputError, match=r"oracle_lstm.npz \(No such file.*--data-dir.*SPARRING_DATA.*a fresh one"):
        oracles.authors(tmp_path)
    (tmp_path / "x").mkdir()
    np.savez(tmp_path / "x" / oracles.AUTHORS, embedding=np.zeros((3, 2), np.float32))
    with pytest.raises(BadInputError, match=r"is no oracle, or it is damaged: 'W_logits"):
        oracles.authors(tmp_path / "x")


def test_a_damaged_oracle_is_named(tmp_path):
    oracle = {name: np.zeros((3, 2), np.float32) for name in ("embedding", "W_logits")}
    whole = tmp_path / oracles.AUTHORS
    weights = {f"{letter}_{gate}": np.zeros((2, 3), np.float32) for letter in "WU" for gate in oracles.GATES}
    biases = {f"b_{gate}": np.zeros(2, np.float32) for gate in oracles.GATES}
    np.savez(whole, **oracle, **weights, **biases, b_logits=np.zeros(2, np.float32))
    misshapen, data, alone = tmp_path / "misshapen", whole.read_bytes(), io.BytesIO()
    np.save(alone, np.zeros(3))
    for folder, content in {
        misshapen: data,
        tmp_path / "truncated": data[: len(data) // 2],
        tmp_path / "empty": b"",
        tmp_path / "other": b"no archive",
        tmp_path / "bent": data[:200] + bytes(100) + data[300:],
        tmp_path / "array": alone.getvalue(),
    }.items():
        folder.mkdir()
        (folder / oracles.AUTHORS).write_bytes(content)
        with pytest.raises(BadInputError, match=r"oracle_lstm.npz is no oracle, or it is damaged: "):
            oracles.authors(folder)


@pytest.mark.parametrize(("seed", "floor"), list(enumerate([5.913, 5.988, 5.819, 5.881, 5.983])))
def test_a_drawn_oracle_of_5000_tokens_has_its_floor(seed, floor):
    """Measured independently on 600 sentences of each; in all, 5.77 to 6.13."""
    oracle = oracles.drawn(5_000, seed)
    told = oracles.estimated(oracles.nats(oracle, oracles.sentences(oracle, 600, 20, dice())))
    assert 5.77 <= told.mean <= 6.13
    assert told.mean == pytest.approx(floor, abs=0.08)  # two means of 600 sentences each
