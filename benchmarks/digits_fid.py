"""How good a GAN's 8×8 digits are: FID beside that of real images and of a mixture of Gaussians, memorisation, classes.

FID is between features of a small classifier that no GAN sees, of 597 generated and the 597 held-out images; it
compares with nothing but what stands beside it here. `fid_real` is that of 597 images to learn from, `fid_mixture` that
of 597 samples of 30 full Gaussians fitted to the images to learn from: a bar that costs two seconds. `memorisation` is
the mean distance of samples to the nearest image that was learned from, over that of held-out images, in features (and
in pixels), and its band what real images have. `asked_class` is how often the classifier reads the digit that a
conditional GAN was asked for.

Last checkpoint of every seed; each preset is a sweep in FOLDER/PRESET, which goes on where it stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pictures
import record
import sweeps
from matplotlib.figure import Figure
from mixtures import film, minutes_of

PRESETS = {"unconditional": "digits", "conditional": "digits-by-class"}
FIGURES = ("fid", "memorisation", "memorisation_pixels", "inception_score", "nearest_neighbour_accuracy", "parzen")
REFERENCES = (
    "fid_real",
    "fid_mixture",
    "memorisation_mixture",
    "memorisation_real_low",
    "memorisation_real_high",
    "memorisation_pixels_real_low",
    "memorisation_pixels_real_high",
)


def draw(figures: dict[str, Any], path: Path) -> None:
    """FID and memorisation of both, beside the references."""
    figure = Figure(figsize=(11, 2.6), layout="constrained")
    names = list(PRESETS)
    for number, name in enumerate(("fid", "memorisation"), start=1):
        title = "8×8 digits" if number == 1 else ""
        axes = pictures.axes_of(figure, 1, 2, number, title=title, xlabel=name if number > 1 else "FID")
        pictures.estimates(axes, [figures[f"{one}_{name}"] for one in names], [pictures.BLUE, pictures.VERMILLION])
        pictures.rows(axes, names)
        if name == "fid":
            for reference, label in (("fid_real", "real"), ("fid_mixture", "30 Gaussians")):
                axes.axvline(figures[reference], ls="--", lw=1, color=pictures.GREY)
                axes.annotate(label, (figures[reference], -0.45), (3, 0), **pictures.BESIDE)
        else:
            axes.axvspan(figures["memorisation_real_low"], figures["memorisation_real_high"], color="0.9")
    pictures.save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--jobs", type=int, help="runs at a time; default: as many as the cores hold")
    parser.add_argument("--runs", type=Path, default=Path("runs/digits_fid"), help="folder of all runs")
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    jobs = {name: ["--preset", preset] for name, preset in PRESETS.items()}
    for name, words in jobs.items():
        done = sweeps.trained("gan", words, options.seeds, options.runs / name, options.jobs)
        runs = [done.folder(seed) for seed in options.seeds]
        judged = [run.judgement() for run in runs]
        kinds = (*FIGURES, *(["asked_class"] if name == "conditional" else []))
        figures |= {f"{name}_{kind}": record.over_seeds([one[kind] for one in judged]) for kind in kinds}
        figures |= {f"{name}_minutes": record.over_seeds([minutes_of(run) for run in runs])}
        figures |= {kind: judged[0][kind] for kind in REFERENCES}
        film(runs[0], record.RESULTS / f"digits_fid_{name}.png")
    path = record.write(
        "digits_fid",
        figures=figures,
        protocol={"samples": 597, "jobs": {name: ["sparring", "sweep", "gan", *words] for name, words in jobs.items()}},
        seeds=options.seeds,
        notes="Means over seeds with bootstrap intervals; the grids show the first seed's samples while it trained, "
        "unselected.",
        published={
            "fid_mixture": {"value": 1.77, "source": "another classifier's features, one seed: only its place counts"},
            "fid_real": {"value": 0.58, "source": "the same"},
        },
    )
    draw(figures, path)


if __name__ == "__main__":
    main()
