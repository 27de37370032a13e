"""The ladder from REINFORCE to V-trace: what each rung scores after equal steps, and how noisy its gradient is.

The rungs, in order, all in the same worlds, with the same network and as many agent steps:

    REINFORCE   immediate, episode, to-go, discounted, constant, running, value      (`--advantage`)
    A2C         TD(1): A = r + γ V(s') − V(s), V learned by temporal difference; then GAE (λ = 0.95)
    PPO         its preset
    V-trace     `impala`, its preset

**Equal.** The seven rungs of REINFORCE differ in A_t alone. Their presets standardise each batch's advantages, which
would hide what the ladder is about: it takes the batch's mean from every rung, so that `discounted`, `constant` and
`running` become one algorithm, (G − b) − mean(G − b) = G − mean(G). So they run without (`PLAIN`), and so does A2C, the
next rung. Their advantages then differ in scale by factors of hundreds, which Adam makes up for because it divides by
the gradient's size; but the entropy bonus, where a preset has one, weighs more where advantages are small. In all else
algorithms keep their presets: batch size, optimiser and learning rate are part of what they are, so between algorithms
only the steps are equal.

**Return.** A seed's own final evaluation: full games, last checkpoint, stochastic policy, seeds apart from training.

**Gradient variance.** One reference for each seed: policy and value of the rung `value`, half-way through its run. It
plays M independent batches of T·N steps (of the rung `value`), each from seeds of its own, and `BURN_IN` steps away
from the start of the games. On these same batches every rung computes the gradient of its policy loss, a mean over
steps, by its own functions: no entropy bonus, no value loss, no standardisation, no clipped norm (rewards are clipped
where the protocol clips them). Over the policy's parameters, a trunk that it shares with the value included,

    variance        Σ_k ‖g_k − ḡ‖² / (M − 1)
    squared norm    ‖ḡ‖² − variance / M           an unbiased estimate of ‖E g‖²; it may come out negative
    noise           variance / ‖ḡ‖²               not corrected: ‖ḡ‖² holds variance / M, so all noise is about M
    noise share     1 − ‖ḡ‖² / mean of ‖g_k‖²      0: every batch says the same; near 1: all noise

Gradients of different rungs differ in length, so a smaller variance alone does not say that a rung learns faster: it
may only be shorter, or biased. PPO is at its first gradient step, with one mini-batch, where its ratio is
1 and nothing is clipped: A2C's gradient with PPO's γ and λ. V-trace is on-policy here: the n-step return minus V, n to
the end of the batch. The baselines b of `constant` and `running` come from `BEFORE` other batches, played before, of
the same policy: the first of them, and all of them. Held still, the two differ only in how well they know the mean.

Every rung is a sweep in FOLDER/RUNG and every seed's gradients are in FOLDER/gradients-seed-K.json. What is complete is
left alone, so a stopped benchmark goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pictures
import record
import sweeps
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sparring.agents import a2c, impala, ppo, reinforce
from sparring.agents.learner import Learner, Seen, seen
from sparring.agents.protocol import Experiment
from sparring.envs.files import write_aside
from sparring.runners import catalog, checkpoint, overview
from sparring.runners.sweepfolder import Sweep

BURN_IN = 512  # steps from the start of the games to a measured batch: about as long as a game
BEFORE = 8  # batches from which the baselines are known
MEASURED = 2**32 - 2  # sets the measured games' seeds apart from those of training and evaluation
PLAIN = ["--no-standardise"]  # see this module's docstring
REFERENCE = "value"  # the rung whose policy and value are measured with


class Rung(NamedTuple):
    """A step of the ladder."""

    label: str  # in pictures and tables
    algorithm: str
    words: list[str]  # options beside preset, steps and games
    colour: str


RUNGS = {
    "immediate": Rung("immediate r", "reinforce", ["--advantage", "immediate", *PLAIN], "#999933"),
    "episode": Rung("whole episode's Σ r", "reinforce", ["--advantage", "episode", *PLAIN], "#CC6677"),
    "to_go": Rung("Σ r to go", "reinforce", ["--advantage", "to-go", *PLAIN], "#882255"),
    "discounted": Rung("discounted G", "reinforce", ["--advantage", "discounted", *PLAIN], "#AA4499"),
    "constant": Rung("G − constant", "reinforce", ["--advantage", "constant", *PLAIN], "#88CCEE"),
    "running": Rung("G − running mean", "reinforce", ["--advantage", "running", *PLAIN], "#44AA99"),
    "value": Rung("G − V(s)", "reinforce", ["--advantage", "value", *PLAIN], "#332288"),
    "a2c_td1": Rung("A2C, one-step TD", "a2c", ["--critic", "td", "--gae-lambda", "0", *PLAIN], "#E69F00"),
    "a2c_gae": Rung("A2C, GAE", "a2c", ["--critic", "mc", "--gae-lambda", "0.95", *PLAIN], "#D55E00"),
    "ppo": Rung("PPO", "ppo", [], "#117733"),
    "vtrace": Rung("V-trace", "impala", [], "#000000"),
}


@dataclass(frozen=True)
class Options:
    """A ladder: which world, how long, how exact."""

    preset: str
    seeds: list[int]
    steps: int
    games: int
    batches: int
    jobs: int | None
    runs: Path


# ---------------------------------------------------------------------------------------------- the runs


def words_of(rung: Rung, o: Options) -> list[str]:
    """The options of a rung's sweep. REINFORCE saves twice, half-way and at the end, so that half-way is kept."""
    saves = ["--save-every", str(half_way(o))] if rung.algorithm == "reinforce" else []
    return ["--preset", o.preset, *rung.words, "--steps", str(o.steps), "--games", str(o.games), *saves]


def half_way(o: Options) -> int:
    """The update in the middle of a run of REINFORCE."""
    c = reinforce.PRESETS[o.preset].config
    updates = -(-o.steps // (c.horizon * c.world.worlds))
    return -(-updates // 2)


def climbed(o: Options) -> dict[str, Sweep]:
    """All rungs' sweeps, complete."""
    return {
        name: sweeps.trained(rung.algorithm, words_of(rung, o), o.seeds, o.runs / name, o.jobs)
        for name, rung in RUNGS.items()
    }


# ---------------------------------------------------------------------------------------------- the gradients


def reference_of(sweep: Sweep, seed: int, o: Options) -> tuple[Experiment, str]:
    """The reference as it was half-way, and the digest of its checkpoint."""
    path = sweep.folder(seed).path / "checkpoints" / f"{half_way(o):08d}.pt"
    if not path.exists():
        sys.exit(f"{path}, the reference, was lost to stops in the second half; remove {path.parents[1]} and run again")
    experiment = sweep.of(seed).build()
    experiment.algorithm.network.load_state_dict(checkpoint.read(path)["parts"]["network"])
    with path.open("rb") as file:
        return experiment, file.readline().split()[-1].decode()


def learner_of(reference: Learner[Any], sweep: Sweep) -> Learner[Any]:
    """A rung's learner with the reference's network, which does not standardise."""
    config = sweep.job.config
    if hasattr(config, "standardise"):
        config = dataclasses.replace(config, standardise=False)
    return Learner(
        catalog.load(sweep.job.algorithm).learn,
        config,
        reference.network,
        reference.descent,
        clip_reward=reference.clip_reward,
        seed=0,
        device=reference.device,
    )


def policy_loss(learner: Learner[Any], s: Seen, b: Tensor) -> Tensor:
    """The mean policy loss [] of a batch, as the rung has it; `b` [] is the baseline of `constant` and `running`."""
    c = learner.config
    if isinstance(c, impala.Config):
        return impala.loss(learner, s)[1][0]
    if isinstance(c, ppo.Config):
        looked = learner.network.look(s.obs.flatten(0, 1))
        fields = (s.actions, s.log_probs, *ppo.estimate(c, s))
        return ppo.loss(learner, ppo.Minibatch(looked, *(field.flatten(0, 1) for field in fields)))[1][0]
    if isinstance(c, a2c.Config):
        advantages, _ = a2c.estimate(c, s)
    else:
        advantages = reinforce.returns_of(c, s) - reinforce.baseline(c, s.values, b)
    distribution, _ = learner.network(s.obs.flatten(0, 1))
    return -(distribution.log_prob(s.actions.flatten(0, 1)) * advantages.flatten()).mean()


def gradient(learner: Learner[Any], s: Seen, b: Tensor) -> Tensor:
    """∇ of the policy loss over the policy's parameters, [P]."""
    network = learner.network
    weights = [*network.policy_body.parameters(), *network.policy_head.parameters()]
    parts = torch.autograd.grad(policy_loss(learner, s, b), weights)
    return torch.cat([part.flatten() for part in parts])


class Gradients:
    """What is kept of a rung's gradients g_1 … g_M."""

    def __init__(self) -> None:
        self.count = 0
        self.total: Tensor | float = 0.0  # [P]
        self.squares = 0.0

    def add(self, one: Tensor) -> None:
        """Count g_k [P]."""
        exact = one.double()
        self.count += 1
        self.total = self.total + exact
        self.squares += float(exact.square().sum())

    def told(self) -> dict[str, float]:
        """Variance, squared norm and noise; see this module's docstring."""
        mean_squared = float(torch.as_tensor(self.total / self.count).square().sum())
        variance = (self.squares - self.count * mean_squared) / (self.count - 1)
        return {
            "variance": variance,
            "squared_norm": mean_squared - variance / self.count,
            "noise": variance / mean_squared if mean_squared else 0.0,
            "noise_share": 1 - mean_squared * self.count / self.squares if self.squares else 0.0,
        }


def batches(reference: Experiment, seed: int, numbers: range, scores: list[float]) -> Iterator[Seen]:
    """Independent batches by the reference; `scores` is told of the games that end in them."""
    learner, source, _ = reference
    for number in numbers:
        worlds_seed, dice_seed = np.random.SeedSequence([seed, MEASURED, number]).generate_state(2)
        source.reset(int(worlds_seed >> 2))
        player = learner.player(int(dice_seed))
        for _ in range(-(-BURN_IN // source.horizon)):
            source.draw(player)
        batch = source.draw(player)
        scores += source.report().metrics["game/score"]
        yield seen(learner, batch)


def baselines(learners: Mapping[str, Learner[Any]], before: Iterator[Seen]) -> dict[str, Tensor]:
    """b [] of every rung: of those that have one, as they learn it from the batches before."""
    kept = {name: reinforce.Baseline().to(learner.device) for name, learner in learners.items()}
    for s in before:
        for name in ("constant", "running"):
            mean = reinforce.returns_of(learners[name].config, s).mean()
            kept[name].observe(mean, constant=name == "constant")
    return {name: baseline.value for name, baseline in kept.items()}


def measured(done: Mapping[str, Sweep], seed: int, o: Options) -> dict[str, Any]:
    """A seed's gradients, from their file if they were measured in the same way before."""
    reference, digest = reference_of(done[REFERENCE], seed, o)
    learners = {name: learner_of(reference.algorithm, sweep) for name, sweep in done.items()}
    configs = {name: dataclasses.asdict(learner.config) for name, learner in learners.items()}
    way = {"reference": digest, "batches": o.batches, "before": BEFORE, "burn_in": BURN_IN, "configs": configs}
    path = o.runs / f"gradients-seed-{seed}.json"
    if path.exists() and (stored := json.loads(path.read_text()))["way"] == way:
        return dict(stored)
    scores: list[float] = []
    b = baselines(learners, batches(reference, seed, range(BEFORE), []))
    rungs = {name: Gradients() for name in learners}
    for number, s in enumerate(batches(reference, seed, range(BEFORE, BEFORE + o.batches), scores), start=1):
        for name, learner in learners.items():
            rungs[name].add(gradient(learner, s, b[name]))
        print(f"\rgradients of seed {seed}: batch {number} of {o.batches}", end="", flush=True)
    print()
    told = {
        "way": way,
        "reference_score": float(np.mean(scores)) if scores else None,
        "rungs": {name: gradients.told() for name, gradients in rungs.items()},
    }
    write_aside(path, json.dumps(told, indent=2).encode())
    return told


# ---------------------------------------------------------------------------------------------- what is told


def figures_of(
    judged: Mapping[str, Sequence[Mapping[str, Any]]], gradients: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The figures of all rungs, over seeds."""
    figures: dict[str, Any] = {}
    for name, told in judged.items():
        figures[f"return_{name}"] = record.over_seeds([float(judgement["score"]) for judgement in told])
    for what in ("variance", "squared_norm", "noise", "noise_share"):
        for name in judged:
            figures[f"gradient_{what}_{name}"] = record.over_seeds([g["rungs"][name][what] for g in gradients])
    scores = [g["reference_score"] for g in gradients if g["reference_score"] is not None]
    if scores:
        figures["reference_score"] = record.over_seeds(scores)
    figures["random"] = float(np.mean([judgement["random"] for judgement in judged[REFERENCE]]))
    return figures


def draw(done: Mapping[str, Sweep], o: Options, figures: dict[str, Any], path: Path) -> None:
    """Learning curves above, in two halves; final returns and gradient variances below."""
    figure = Figure(figsize=(13, 10.5), layout="constrained")
    world = done[REFERENCE].job.config.world.env
    over = f"{len(o.seeds)} seeds, bands and bars: 95 % bootstrap over seeds" if len(o.seeds) > 1 else "1 seed"
    figure.suptitle(f"The ladder on {world}: {o.steps:,} agent steps, {over}", x=0.01, ha="left", fontsize=13)
    grid = figure.add_gridspec(2, 2)
    first, second = list(RUNGS)[: list(RUNGS).index(REFERENCE) + 1], list(RUNGS)[list(RUNGS).index(REFERENCE) :]
    left = curves(figure, grid[0, 0], "REINFORCE: what an action is credited with", first, done, o, figures)
    right = curves(figure, grid[0, 1], "With a critic", second, done, o, figures)
    right.sharey(left)
    left.autoscale(axis="y")  # to both
    labels, colours = [rung.label for rung in RUNGS.values()], [rung.colour for rung in RUNGS.values()]
    returns = pictures.axes_of(
        figure, grid[1, 0], title="Final evaluation", xlabel=f"mean score of {o.games} full games"
    )
    returns.axvline(figures["random"], ls="--", lw=1, color=pictures.GREY)
    pictures.estimates(returns, [figures[f"return_{name}"] for name in RUNGS], colours)
    pictures.rows(returns, labels)
    title, unit = "Variance of the policy gradient", "Σ‖g − ḡ‖² / (M − 1) on the same batches of one policy, log scale"
    variances = pictures.axes_of(figure, grid[1, 1], title=title, xlabel=unit)
    pictures.bars(variances, [figures[f"gradient_variance_{name}"] for name in RUNGS], colours)
    pictures.rows(variances, labels)
    pictures.save(figure, path)


def curves(
    figure: Figure,
    place: Any,
    title: str,
    names: Sequence[str],
    done: Mapping[str, Sweep],
    o: Options,
    figures: dict[str, Any],
) -> Any:
    """Some rungs' learning curves."""
    axes = pictures.axes_of(figure, place, title=title, xlabel="agent steps", ylabel=pictures.SCORE)
    for name in names:
        runs = [overview.curve(done[name].folder(seed).rows()) for seed in o.seeds]
        pictures.curves(axes, runs, color=RUNGS[name].colour, label=RUNGS[name].label)
    axes.axhline(figures["random"], ls="--", lw=1, color=pictures.GREY, label="random policy")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.locator_params(axis="x", nbins=5)
    axes.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=4)
    return axes


def options(about: str | None, *, preset: str, seeds: int, steps: int, batches: int) -> Options:
    """What the command line says; the arguments are the defaults."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(seeds)))
    parser.add_argument("--steps", type=int, default=steps, help="agent steps of every run")
    parser.add_argument("--games", type=int, default=50, help="full games that a seed's score is the mean of")
    parser.add_argument("--batches", type=int, default=batches, help="M: batches whose gradients are compared")
    parser.add_argument("--jobs", type=int, help="runs at a time; default: as many as the cores hold")
    parser.add_argument("--runs", type=Path, default=Path("runs") / Path(sys.argv[0]).stem, help="folder of all runs")
    return Options(preset=preset, **vars(parser.parse_args()))


def climb(claim: str, o: Options) -> None:
    """Train, measure, write and draw."""
    done = climbed(o)
    gradients = [measured(done, seed, o) for seed in o.seeds]
    judged = {name: [sweep.folder(seed).judgement() for seed in o.seeds] for name, sweep in done.items()}
    figures = figures_of(judged, gradients)
    protocol = judged[REFERENCE][0]["protocol"]
    c = done[REFERENCE].job.config
    path = record.write(
        claim,
        figures=figures,
        protocol={
            **{name: value for name, value in protocol.items() if name != "seeds"},
            "steps": o.steps,
            "rungs": {name: ["sparring", "sweep", rung.algorithm, *words_of(rung, o)] for name, rung in RUNGS.items()},
            "precision": {name: sweep.job.config.precision for name, sweep in done.items()},
            "gradients": {
                "reference": f"rung {REFERENCE}, update {half_way(o)}",
                "batches": o.batches,
                "batch": [c.horizon, c.world.worlds],
                "burn_in": BURN_IN,
                "batches_before": BEFORE,
                "configs": gradients[0]["way"]["configs"],
            },
        },
        seeds=o.seeds,
        notes="return: mean of a seed's full games; all figures are means over seeds with bootstrap intervals. "
        "gradient_variance: of the policy loss's gradient over independent batches of one policy, the same for all "
        "rungs; gradient_squared_norm: of its mean, unbiased; gradient_noise: variance over the uncorrected squared "
        "norm, about the number of batches where all is noise; gradient_noise_share: 1 minus the squared norm of "
        "the mean over the mean squared norm. REINFORCE runs without standardised advantages, which would make "
        "its rungs alike; so does A2C. reference_score: of the games that ended in the measured batches. See "
        "benchmarks/ladder.py.",
    )
    draw(done, o, figures, path)
