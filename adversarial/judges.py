"""Judging a generator: the metrics that fit its data, beside what real samples and a simple model score.

Latents, held-out samples and dice are set apart from those of the training, and an evaluation changes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from sparring.adversarial import classifier, metrics, players
from sparring.adversarial.data import Data, Images, Labelled, Mixture, Stacked
from sparring.adversarial.game import Game
from sparring.adversarial.play import Play
from sparring.adversarial.players import is_small
from sparring.adversarial.sheets import Sheet
from sparring.agents.evaluate import JUDGED
from sparring.agents.protocol import Evaluation, Judge, Watch, unwatched
from sparring.envs.worlds import Array

AT_A_TIME = 2_000  # samples: bounds the memory of many images
POINTS, TILES = 2_500, 100  # samples of a sheet
NEIGHBOURS = 1_000  # samples that are compared with every image
BAR_COMPONENTS = 30  # of the Gaussian mixture that a GAN of small images should beat
REFERENCES: dict[tuple[int, int], References] = {}  # by (identity of the data, samples): they never change

Diagnosis = Callable[[Game[Any]], Mapping[str, float]]
"""what instruments say of a game as it stands"""


def judge(algorithm: str, config: Any, data: Data, *, seed: int, diagnose: Diagnosis | None) -> Judge:
    """What an Experiment needs.

    `config` has a schedule that says how many samples, a latent size, the size of a batch, the name of the data, the
    decay of G's average (0: none) and how G is conditioned.
    """
    apart = int(np.random.SeedSequence([seed, JUDGED]).generate_state(1)[0] >> 2)
    count = config.schedule.samples
    by_class = config.conditioning != "none"

    def evaluation(play: Play[Any], /, *, watch: Watch = unwatched) -> Evaluation:
        with play.at_rest("generator") as generator:
            latents, classes = asked(config.latent, data.classes, count, apart)
            made = Labelled(generated(generator, latents, classes), classes)
            found = quality(made, data, by_class, watch)
            found |= calibration(play.game.players["discriminator"], made, held_out(data, count, apart), config.batch)
            found |= diagnose(play.game) if diagnose else {}
            some = POINTS if isinstance(data, Mixture) else TILES
            latents, classes = asked(config.latent, data.classes, some, apart, in_rows=True)
            sheet = Sheet(
                algorithm,
                dataclasses.asdict(config),
                play.match.rounds,
                found,
                torch.get_num_threads(),
                latents.numpy(),
                classes.numpy(),
                generated(generator, latents, classes).numpy(),
                shown_weights(play, generator, with_discriminator=isinstance(data, Mixture)),
            )
        protocol = {
            "name": config.data,
            "samples": count,
            "seeds": [apart, apart],
            "generator": f"averaged with decay {config.average:g}" if config.average else "as it is",
        }
        return Evaluation(found, protocol, [], [sheet])

    return evaluation


def device_of(module: nn.Module) -> torch.device:
    """Where a module's weights are."""
    return next(module.parameters()).device


def asked(latent: int, classes: int, count: int, seed: int, *, in_rows: bool = False) -> tuple[Tensor, Tensor]:
    """Latents [N, Z] and classes [N], each class as often as the others, in turn or one after the other."""
    dice = torch.Generator().manual_seed(seed)
    order = torch.arange(count)
    chosen = order * classes // count if in_rows and classes <= count else order % max(classes, 1)
    return torch.randn(count, latent, generator=dice), chosen


@torch.no_grad()
def generated(generator: nn.Module, latents: Tensor, classes: Tensor) -> Tensor:
    """Samples [N, *shape], on the CPU."""
    device = device_of(generator)
    parts = zip(torch.split(latents, AT_A_TIME), torch.split(classes, AT_A_TIME), strict=True)
    return torch.cat([generator(z.to(device), y.to(device)).cpu() for z, y in parts])


def drawn(generator: nn.Module, sheet: Sheet) -> Array:
    """A sheet's samples made again, on as many threads as made them: sums depend on how they are parted."""
    before = torch.get_num_threads()
    torch.set_num_threads(sheet.threads)
    try:
        latents, classes = torch.from_numpy(sheet.latents), torch.from_numpy(sheet.labels)
        return np.asarray(generated(generator, latents, classes).numpy())
    finally:
        torch.set_num_threads(before)


def shown_weights(play: Play[Any], generator: nn.Module, *, with_discriminator: bool) -> dict[str, Array]:
    """The weights that a sheet holds: those of G as it is shown, and of D where its field is to be drawn."""
    shown = {"generator": generator}
    if with_discriminator:
        shown["discriminator"] = play.game.players["discriminator"]
    return {
        f"{player}.{name}": weight.detach().cpu().numpy().copy()
        for player, network in shown.items()
        for name, weight in network.state_dict().items()
    }


def held_out(data: Data, count: int, seed: int) -> Labelled:
    """Real samples that nobody learned from, at most `count`."""
    if isinstance(data, Mixture):
        return data.sample(torch.Generator().manual_seed(seed + 1), count)
    assert isinstance(data, Images | Stacked)
    x, y = data.held_out
    return Labelled(x[:count], y[:count])


# ---------------------------------------------------------------------------------------------- what is measured


def quality(made: Labelled, data: Data, by_class: bool, watch: Watch = unwatched) -> dict[str, float]:
    """The metrics that fit the data; the first is what a run is known by."""
    if isinstance(data, Mixture):
        return {name: float(value) for name, value in metrics.coverage(made.x, data)._asdict().items()}
    if isinstance(data, Stacked):
        return stacked_coverage(made.x, data, watch)
    assert isinstance(data, Images)
    return image_quality(made, data, by_class, watch)


def image_quality(made: Labelled, data: Images, by_class: bool, watch: Watch) -> dict[str, float]:
    """Images in the eyes of the classifier, and beside those that were learned from."""
    known = references(data, len(made.x), watch)
    features, probabilities = known.reader.read(made.x)
    few = slice(min(NEIGHBOURS, len(made.x), len(known.held_out)))
    found = {
        "fid": metrics.frechet_distance(features, known.held_out),
        "memorisation": metrics.memorisation(features[few], known.learned, known.held_out[few]),
        "memorisation_pixels": metrics.memorisation(made.x[few], data.train.x, data.held_out.x[few]),
        "inception_score": metrics.inception_score(probabilities),
        "nearest_neighbour_accuracy": metrics.nearest_neighbour_accuracy(features[few], known.held_out[few]),
        "parzen": metrics.parzen(made.x[few], data.held_out.x[few]),
    }
    if by_class:
        found["asked_class"] = float((probabilities.argmax(1) == made.y).double().mean())
    return found | known.figures


class References(NamedTuple):
    """What samples are held against."""

    reader: classifier.Classifier
    learned: Tensor  # [M, 64] features of the images to learn from
    held_out: Tensor  # [N, 64] features
    figures: dict[str, float]  # what real images score, and a Gaussian mixture where images are small


def references(data: Images, count: int, watch: Watch = unwatched) -> References:
    """What `count` samples are held against; computed once a process."""
    key = (id(data), count)
    if key not in REFERENCES:
        reader = classifier.trained(data, watch)
        learned, real = (reader.read(some.x)[0] for some in (data.train, data.held_out))
        chosen = torch.randint(len(learned), (count,), generator=torch.Generator().manual_seed(0))
        few = min(NEIGHBOURS, count, len(real))
        figures = {
            "fid_real": metrics.frechet_distance(learned[chosen], real),
            **real_band("memorisation", learned, real[:few], few),
            **real_band("memorisation_pixels", data.train.x, data.held_out.x[:few], few),
        }
        if is_small(data.shape):
            mixed = gaussian_mixture(data.train.x, count)
            features, _ = reader.read(mixed)
            figures |= {
                "fid_mixture": metrics.frechet_distance(features, real),
                "memorisation_mixture": metrics.memorisation(features[:few], learned, real[:few]),
            }
        REFERENCES[key] = References(reader, learned, real, figures)
    return REFERENCES[key]


def real_band(name: str, learned: Tensor, held_out: Tensor, count: int) -> dict[str, float]:
    """Real images' memorisation, which is 1, and the interval that as few have by chance."""
    low, high = metrics.memorisation_band(learned, held_out, count)
    return {f"{name}_real": 1.0, f"{name}_real_low": low, f"{name}_real_high": high}


def gaussian_mixture(images: Tensor, count: int) -> Tensor:
    """Samples of a mixture of 30 Gaussians with full covariances, fitted to images: a bar that costs seconds."""
    from sklearn.mixture import GaussianMixture

    flat = images.flatten(1).double().numpy()  # in fp32, covariances of pixels that never vary may turn out negative
    fitted = GaussianMixture(BAR_COMPONENTS, covariance_type="full", random_state=0).fit(flat)
    drawn = fitted.sample(count)[0].clip(-1, 1).astype(np.float32)
    return torch.from_numpy(drawn).view(count, *images.shape[1:])


def stacked_coverage(made: Tensor, data: Stacked, watch: Watch) -> dict[str, float]:
    """Which of the 1,000 numbers the classifier reads, and how evenly."""
    reader = classifier.trained(data.of, watch)
    digits = torch.stack([reader.read(made[:, [channel]])[1].argmax(1) for channel in range(3)], 1)
    counts = torch.bincount(digits @ torch.tensor([100, 10, 1]), minlength=data.classes).double()
    return {"modes": float((counts > 0).sum()), "reverse_kl": metrics.reverse_kl(counts.numpy())}


def calibration(discriminator: nn.Module, made: Labelled, real: Labelled, batch: int) -> dict[str, float]:
    """What D believes of held-out samples and of fakes, which is ½ at equilibrium, and minimax's value, then −log 4.

    `batch`: how many samples D sees at a time, as when it learned.
    """
    count = min(len(made.x), len(real.x))
    whole = count - count % min(batch, count - count % int(discriminator.pack))  # type: ignore[arg-type]
    r, f = (players.asked(discriminator, Labelled(some.x[:whole], some.y[:whole]), batch) for some in (real, made))
    value = logsigmoid(r).mean() + logsigmoid(-f).mean()
    return {
        "believed_real": float(r.sigmoid().mean()),
        "believed_fake": float(f.sigmoid().mean()),
        "value": float(value),
    }
