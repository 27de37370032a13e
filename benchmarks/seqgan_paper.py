"""The experiment of Yu et al. (2017) on the authors' oracle: maximum likelihood, then SeqGAN, with NLL_test beside it.

The literal recipe (`--full`: the preset `paper`) takes days on two cores and is for a GPU. Without it every reduction
is one of REDUCED and stands in the record. `mle` is the run where its pre-training ends, and where it was best in
NLL_oracle (`mle_best`: the paper stops early, which this picks with hindsight); `seqgan` is its end, and `seqgan_best`
its best round of play. `gentle` is SeqGAN as one would play it for held-out sentences, which the recipe does not care
for: what it changes is GENTLE, chosen before any result.

The price is what counts: the NLL_test that was paid for an NLL_oracle. `…_price_at_8.736` is what is paid for the
published 8.736, logits times the α that it takes (see seqgan_temperature), over the first half of the held-out
sentences; also of `mle_stopped`, maximum likelihood where the other half was likeliest.

The runs are sweeps in FOLDER, which go on where they stopped. The oracle lies in seqgan_oracle/ below what the variable
SPARRING_DATA names.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import record
import sweeps
import torch
from matplotlib.figure import Figure
from mixtures import minutes_of
from seqgan_temperature import SHARPNESS, Curve, by_sharpness, prices, sharpened
from seqgan_temperature import draw as draw_prices

from sparring.adversarial import oracles, seqgan, sheets
from sparring.adversarial.corpus import Corpus
from sparring.adversarial.language import LanguageModel
from sparring.adversarial.ngrams import NGrams
from sparring.runners.folder import EVALUATION, RunFolder
from sparring.runners.job import Job

REDUCED = {
    "mle_rounds": (20, "120 passes of maximum likelihood"),
    "steps": (170, "200 rounds of play; here 100"),
    "d_size": ("small", "1,720 filters and a largest response; here 192 and a mean"),
    "d_rate": (1e-3, "1e-4, for 34 times as many steps of D"),
    "d_turns": (1, "5 turns of D a round"),
    "d_sentences": (2_048, "10,000 sentences a turn"),
    "rollouts": (4, "16 roll-outs"),
    "samples": (2_000, "10,000 sentences that are judged; 2,000 are held out"),
}
GENTLE = ["--mle-rounds=10", "--anneal-mle", "--teacher=1", "--rate=3e-4", "--baseline=value", "--standardise"]
GENTLE_STEPS = 160  # with as many rounds of play
BOTH = ("nll_oracle", "nll_test", "entropy", "kl_forward", "kl_reverse")
SAMPLES = 1_000  # of a price: the first half of what is held out
PUBLISHED_AT = 8.736  # NLL_oracle
CACCIA = "tabulated from GansFallingShort, authors' oracle, one run"
PUBLISHED = {
    "floor": {"value": 5.750, "source": "Real, in the tables of LeakGAN and RelGAN"},
    "mle_nll_oracle": {"value": 9.038, "source": "Yu et al. 2017, table 1"},
    "seqgan_nll_oracle": {"value": PUBLISHED_AT, "source": "Yu et al. 2017, table 1"},
    "seqgan_price_at_8.736": {"value": 12.10, "source": f"another run of the authors' code, α = 1.67; {CACCIA}"},
    "tuned_mle_nll_oracle": {"value": 9.400, "source": CACCIA},
    "tuned_mle_nll_test": {"value": 7.610, "source": CACCIA},
    "tuned_mle_price_at_8.736": {"value": 7.78, "source": CACCIA},
    "cot_price_at_8.736": {"value": 7.70, "source": CACCIA},
    "tuned_gan_price_at_8.736": {"value": 7.85, "source": f"gan_mle; gan_beta_cvot 7.90; {CACCIA}"},
    "unigram_nll_oracle": {"value": 10.300, "source": "measured independently"},
    "bigram_0.9_nll_oracle": {"value": 9.452, "source": "measured independently, other sentences"},
}


def words(*, full: bool) -> list[str]:
    """The options of the runs."""
    told = [] if full else [f"--{name.replace('_', '-')}={value}" for name, (value, _) in REDUCED.items()]
    return ["--preset", "paper", *told]


def words_of_gentle() -> list[str]:
    """Those of `gentle`, which is reduced likewise."""
    changed = {word.partition("=")[0] for word in (*GENTLE, "--steps")}
    kept = [word for word in words(full=False) if word.partition("=")[0] not in changed]
    return [*kept, *GENTLE, f"--steps={GENTLE_STEPS}"]


def curve(run: RunFolder) -> list[dict[str, float]]:
    """What evaluations found, round by round."""
    return [
        {"round": row["update"], **{name: row[EVALUATION + name] for name in BOTH}}
        for row in run.rows()
        if EVALUATION + "nll_oracle" in row
    ]


def of_run(points: Sequence[Mapping[str, float]], mle_rounds: int, warm_rounds: int) -> dict[str, dict[str, float]]:
    """The four moments of a run; G plays in the rounds after those of likelihood and of D alone."""
    before = [point for point in points if point["round"] <= mle_rounds]
    playing = [point for point in points if point["round"] > mle_rounds + warm_rounds]
    return {
        "mle": dict(before[-1]),
        "mle_best": dict(min(before, key=lambda point: point["nll_oracle"])),
        "seqgan": dict(points[-1]),
        "seqgan_best": dict(min(playing, key=lambda point: point["nll_oracle"])),
    }


def likeliest(run: RunFolder, mle_rounds: int) -> int:
    """The round of maximum likelihood after which the sentences that no price is told of were likeliest."""
    found: dict[int, float] = {}
    for point in curve(run):
        if point["round"] <= mle_rounds:
            model, corpus = generator(run, int(point["round"]))
            found[int(point["round"])] = oracles.estimated(oracles.nats(model, corpus.test[SAMPLES:])).mean
    return min(found, key=lambda after: found[after])


def bigrams(corpus: Corpus) -> dict[str, float]:
    """What a smoothed table of pairs comes to, which takes a second to count."""
    assert corpus.oracle is not None
    model = NGrams(corpus.train.numpy(), corpus.vocabulary, 2, 0.9)
    written = torch.from_numpy(model.write(10_000, corpus.length, np.random.default_rng(0)))
    thought = oracles.estimated(oracles.nats(corpus.oracle, written)).mean
    return {"bigram_0.9_nll_oracle": thought, "bigram_0.9_nll_test": model.nll(corpus.test.numpy())}


def generator(run: RunFolder, after: int) -> tuple[LanguageModel, Corpus]:
    """The generator that an evaluation after so many rounds judged, from its sheet, and what it learned from."""
    [path] = (run.path / "episodes").glob(f"{after:08d}-*.npz")
    corpus, model = seqgan.written_by(Job.of(run).config, sheets.load(path))
    return model, corpus


def draw(curves: Sequence[Sequence[Mapping[str, float]]], mle_rounds: int, floor: float, path: Path) -> None:
    """Both NLLs against rounds."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = pictures.axes_of(
        figure, 1, 1, 1, title="SeqGAN on the authors' oracle", xlabel="round", ylabel="nats a token"
    )
    for name, colour in (("nll_oracle", pictures.VERMILLION), ("nll_test", pictures.BLUE)):
        rows = np.array([[point[name] for point in points] for points in curves])
        rounds = [point["round"] for point in curves[0]]
        pictures.curves(axes, [(np.array(rounds), row) for row in rows], color=colour, label=name.replace("_", " "))
    axes.axvline(mle_rounds, ls=":", lw=1, color=pictures.GREY)
    axes.axhline(floor, ls="--", lw=1, color=pictures.GREY)
    axes.legend(fontsize="small")
    pictures.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 7)))
    parser.add_argument("--full", action="store_true", help="the literal recipe, without `gentle`: for a GPU")
    parser.add_argument("--jobs", type=int, help="runs at a time; default: as many as the cores hold")
    parser.add_argument("--runs", type=Path, default=Path("runs/seqgan_paper"), help="folder of all runs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    out = options.runs / ("full" if options.full else "reduced")
    done = sweeps.trained("seqgan", words(full=options.full), options.seeds, out, options.jobs)
    runs = [done.folder(seed) for seed in options.seeds]
    curves = [curve(run) for run in runs]
    c = done.job.config
    moments = [of_run(points, c.mle_rounds, c.warm_rounds) for points in curves]
    figures: dict[str, Any] = {
        f"{moment}_{name}": record.over_seeds([one[moment][name] for one in moments])
        for moment in moments[0]
        for name in moments[0][moment]
    }
    gained = [one["seqgan"]["nll_oracle"] - one["mle"]["nll_oracle"] for one in moments]
    paid = [one["seqgan"]["nll_test"] - one["mle"]["nll_test"] for one in moments]
    stopped = [likeliest(run, c.mle_rounds) for run in runs]
    priced = {
        "mle": [generator(run, c.mle_rounds) for run in runs],
        "mle_stopped": [generator(run, after) for run, after in zip(runs, stopped, strict=True)],
        "seqgan": [generator(run, c.schedule.steps) for run in runs],
    }
    if not options.full:
        gentle = sweeps.trained("seqgan", words_of_gentle(), options.seeds, options.runs / "gentle", options.jobs)
        ends = [curve(gentle.folder(seed))[-1] for seed in options.seeds]
        figures |= {f"gentle_{name}": record.over_seeds([end[name] for end in ends]) for name in BOTH}
        priced["gentle"] = [generator(gentle.folder(seed), GENTLE_STEPS) for seed in options.seeds]
    swept: dict[str, list[Curve]] = {}
    for name, generators in priced.items():
        swept[name] = [sharpened(*one, SAMPLES) for one in generators]
        figures |= by_sharpness(f"{name}_sharpened", swept[name])
        figures |= prices(name, swept[name], {f"{PUBLISHED_AT:g}": PUBLISHED_AT})
    judged = runs[0].judgement()
    figures |= bigrams(priced["mle"][0][1]) | {
        "mle_stopped_after": stopped,
        "change_nll_oracle": record.over_seeds(gained),
        "change_nll_test": record.over_seeds(paid),
        "minutes": float(np.mean([minutes_of(run) for run in runs])),
        **{key: judged[key] for key in judged if key == "floor" or key.startswith(("ngram", "uniform", "replay"))},
    }
    path = record.write(
        "seqgan_paper",
        figures=figures,
        protocol={
            "job": ["sparring", "sweep", "seqgan", *words(full=options.full)],
            "gentle": [] if options.full else ["sparring", "sweep", "seqgan", *words_of_gentle()],
            "full": options.full,
            "reductions": {} if options.full else {name: why for name, (_, why) in REDUCED.items()},
            "samples": c.schedule.samples,
            "samples_of_prices": SAMPLES,
            "sharpness": SHARPNESS,
        },
        seeds=options.seeds,
        notes="Means over seeds with bootstrap intervals. mle_best and seqgan_best are chosen with hindsight by "
        "NLL_oracle, as the published numbers are; mle_stopped by held-out sentences on which no price is told.",
        published=PUBLISHED,
    )
    draw(curves, c.mle_rounds, figures["floor"], path)
    highest = max(figures[f"{name}_nll_test"]["mean"] for name in ("mle", "seqgan"))
    draw_prices(swept, figures, highest + 0.6, path.with_stem(f"{path.stem}_price"))


if __name__ == "__main__":
    main()
