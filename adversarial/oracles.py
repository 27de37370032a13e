"""Oracles: language models that are known, so that what others write can be judged exactly.

An oracle p is an LSTM with random weights N(0, 1) (Yu et al. 2017, section 4.1). Of a generator q, in nats a token:

    NLL_oracle   E_q[−ln p(y)]                 what the oracle thinks of q's sentences: quality
    NLL_test     E_p[−ln q(y)]                 what q thinks of the oracle's: diversity, and quality
    H(q), H(p)   E_q[−ln q(y)], E_p[−ln p(y)]  H(p) is the floor of NLL_test; NLL_oracle alone can go far below it
    KL(p ‖ q)    E_p[ln p(y) − ln q(y)]        forward: NLL_test − H(p)
    KL(q ‖ p)    E_q[ln q(y) − ln p(y)]        reverse: NLL_oracle − H(q)

All of them are means over sentences, with nothing approximated but the expectation. NLL_oracle alone says nothing: one
sentence that the oracle likes, written again and again, has less than half of the floor.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn

from sparring.adversarial.language import LanguageModel, parts
from sparring.envs.errors import BadInputError
from sparring.envs.worlds import Array

SIZE = 32  # of the oracle's embedding and state
GATES = ("input", "forget", "cell", "output")  # in torch's order
DRAWN = ("input", "forget", "output", "cell")  # in the order in which weights are drawn
AUTHORS = "oracle_lstm.npz"


class Estimate(NamedTuple):
    """A mean over sentences and its 95 % interval (normal), in nats a token."""

    mean: float
    low: float
    high: float


def estimated(nats: Tensor) -> Estimate:
    """Of nats a token, sentence by sentence [N]."""
    mean = float(nats.double().mean())
    reach = 1.96 * float(nats.double().std()) / len(nats) ** 0.5 if len(nats) > 1 else float("inf")
    return Estimate(mean, mean - reach, mean + reach)


@torch.no_grad()
def nats(model: LanguageModel, sentences: Tensor, given: int = 0, sharpness: float = 1.0) -> Tensor:
    """−ln p a token, of each sentence [N, L] → [N]."""
    device = next(model.parameters()).device
    told = [model.log_probs(some.to(device), given, sharpness).cpu() for some in parts(sentences)]
    return -torch.cat(told).double().mean(1)


@torch.no_grad()
def sentences(model: LanguageModel, count: int, length: int, dice: torch.Generator, sharpness: float = 1.0) -> Tensor:
    """So many sentences [N, T] that nothing was given for."""
    nobody = torch.zeros(count, 0, dtype=torch.long, device=dice.device)
    places = torch.rand(count, length, generator=dice, device=dice.device)
    pairs = zip(parts(nobody), parts(places), strict=True)
    return torch.cat([model.write(given, place, sharpness) for given, place in pairs])


def of_weights(weights: Mapping[str, Array]) -> LanguageModel:
    """The oracle of arrays named as in SeqGAN's code, row vectors times matrices, one bias a gate."""
    vocabulary, embedding = weights["embedding"].shape
    model = LanguageModel(vocabulary, embedding, len(weights["W_logits"]))
    stacked = {
        name: np.concatenate([weights[f"{letter}_{gate}"] for gate in GATES], -1).T
        for name, letter in (("weight_ih_l0", "W"), ("weight_hh_l0", "U"), ("bias_ih_l0", "b"))
    }
    with torch.no_grad():
        model.reader.embedding.weight.copy_(torch.from_numpy(weights["embedding"]))
        for name, array in stacked.items():
            model.reader.lstm.get_parameter(name).copy_(torch.from_numpy(array))
        nn.init.zeros_(model.reader.lstm.get_parameter("bias_hh_l0"))
        model.policy_head.weight.copy_(torch.from_numpy(weights["W_logits"].T))
        model.policy_head.bias.copy_(torch.from_numpy(weights["b_logits"]))
        model.value_head.weight.zero_()
        model.value_head.bias.zero_()
    return model.requires_grad_(False).eval()


@functools.cache
def drawn(vocabulary: int, seed: int) -> LanguageModel:
    """A fresh oracle: all weights from N(0, 1), in the order of SeqGAN's file."""
    random = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"embedding": (vocabulary, SIZE)}
    for gate in DRAWN:
        shapes |= {f"W_{gate}": (SIZE, SIZE), f"U_{gate}": (SIZE, SIZE), f"b_{gate}": (SIZE,)}
    shapes |= {"W_logits": (SIZE, vocabulary), "b_logits": (vocabulary,)}
    return of_weights({name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()})


@functools.cache
def authors(folder: Path) -> LanguageModel:
    """The oracle of Yu et al., from a folder that holds `oracle_lstm.npz`.

    Raises:
        BadInputError: it is not there, or no such oracle.
    """
    path = folder / AUTHORS
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return of_weights({name: archive[name] for name in archive.files})
    except OSError as error:
        raise BadInputError(
            f"the authors' oracle is not at {path} ({error.strerror or error}); name its folder with --data-dir, the "
            "one above its folder seqgan_oracle/ with the variable SPARRING_DATA, or take --data oracle, a fresh one"
        ) from None
    except (ValueError, TypeError, KeyError, IndexError, EOFError, RuntimeError, BadZipFile, zlib.error) as error:
        raise BadInputError(f"{path} is no oracle, or it is damaged: {error}") from None


class Judgement(NamedTuple):
    """A generator in the eyes of an oracle; all in nats a token."""

    nll_oracle: Estimate
    nll_test: Estimate
    entropy: Estimate
    kl_forward: Estimate
    kl_reverse: Estimate
    floor: Estimate  # H(p)


def judge(oracle: LanguageModel, model: LanguageModel, own: Tensor, test: Tensor, sharpness: float = 1.0) -> Judgement:
    """By sentences `own` [N, T] that the model wrote, and others `test` [M, T] that the oracle did."""
    p_of_q, q_of_q = nats(oracle, own), nats(model, own, sharpness=sharpness)
    p_of_p, q_of_p = nats(oracle, test), nats(model, test, sharpness=sharpness)
    told = (p_of_q, q_of_p, q_of_q, q_of_p - p_of_p, p_of_q - q_of_q, p_of_p)
    return Judgement(*(estimated(one) for one in told))
