"""Write the README's results from benchmarks/results/*.json, so that no number in it is typed.

python benchmarks/readme.py          rewrites the section
python benchmarks/readme.py --check  fails where it is not what the files say
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sparring.agents import statistics

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- results -->", "<!-- /results -->"


def five_minutes(result: dict[str, Any]) -> list[str]:
    """The main job."""
    f = result["figures"]
    rows = [f[f"seed_{seed}"] for seed in result["seeds"]]
    games = result["protocol"]["games"]
    return [
        f"**The main job** (`{' '.join(result['protocol']['job'])}`): mean score over {games} full games under "
        f"`{result['protocol']['name']}`, last checkpoint; the interval is over games.",
        "",
        "| seed | score | 95 % interval | random policy | steps | training |",
        "|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {seed} | {r['score']:.0f} | {r['low']:.0f} – {r['high']:.0f} | {r['random']:.0f} | {r['steps']:,} "
            f"| {r['training_minutes']:.1f} min |"
            for seed, r in zip(result["seeds"], rows, strict=True)
        ),
    ]


def throughput(result: dict[str, Any]) -> list[str]:
    """Speed beside SB3."""
    f = result["figures"]
    peers = {"ppo": ("PPO", "ppo_over_sb3", "ppo_fp32_over_sb3"), "a2c": ("A2C", "a2c_over_sb3", "a2c_fp32_over_sb3")}
    peers["impala"] = ("V-trace", "vtrace_over_sb3_a2c", "vtrace_fp32_over_sb3_a2c")
    rows = [
        f"| sparring {name}, {how} | {f[f'{key}_{how}_steps_per_s']:,.0f} | {f[ratio]:.2f} |"
        for key, (name, bf16, fp32) in peers.items()
        for how, ratio in (("bf16", bf16), ("fp32", fp32))
    ]
    spent = f["share_of_time"]["ppo_bf16"]
    return [
        "**Speed** on Space Invaders with the Nature-CNN, in one run on the same two cores (medians over alternating "
        "turns). PPO and A2C are set against SB3's with the same hyper-parameters, V-trace (128 worlds × 20 steps) "
        "against SB3's A2C.",
        "",
        "| | agent steps/s | over SB3 |",
        "|---|---:|---:|",
        *rows,
        f"| Stable-Baselines3 PPO | {f['sb3_ppo_steps_per_s']:,.0f} | 1 |",
        f"| Stable-Baselines3 A2C | {f['sb3_a2c_steps_per_s']:,.0f} | 1 |",
        f"| the emulators alone | {f['emulators_steps_per_s']:,.0f} | |",
        "",
        f"PPO in bf16 spends {', '.join(f'{share:.0%} {stage}' for stage, share in spent.items())}; its training holds "
        f"at most {f['peak_memory_gb']:.1f} GB.",
    ]


def over_seeds(figure: dict[str, Any], digits: str = ".0f") -> str:
    """Two cells: a mean over seeds, and its interval where there is one."""
    bounds = f"{figure['low']:{digits}} – {figure['high']:{digits}}" if "low" in figure else ""
    return f"{figure['mean']:{digits}} | {bounds}"


def seeds_of(result: dict[str, Any]) -> str:
    """How many."""
    count = len(result["seeds"])
    return f"{count} seed{'s' if count > 1 else ''}"


def cartpole(result: dict[str, Any]) -> list[str]:
    """Ten seeds, and the time they take beside SB3."""
    f, protocol = result["figures"], result["protocol"]
    names = {
        "ppo": "sparring PPO",
        "a2c": "sparring A2C",
        "sb3_ppo": "SB3 PPO under our runner",
        "sb3_a2c": "SB3 A2C under our runner",
    }

    def row(key: str, name: str) -> str:
        score, steps = f[f"{key}_score"], f"{protocol['steps'][key]:,}"
        reached = f"{f[f'{key}_seeds_at_500']} of {score['n']}"
        time = f"{f[f'{key}_seconds']['median_seconds']:.1f} | {f[f'{key}_over_sb3']:.2f}"
        return f"| {name} | {steps} | {reached} | {over_seeds(score, '.1f')} | {time} |"

    def alone(algorithm: str) -> str:
        steps, time = f"{protocol['steps'][f'sb3_{algorithm}']:,}", f[f"sb3_own_{algorithm}_seconds"]["median_seconds"]
        return f"| SB3 {algorithm.upper()}, its own loop | {steps} | | | | {time:.1f} | 1 |"

    return [
        f"**CartPole**, presets `cartpole`: mean of {protocol['games']} full games a seed, last checkpoint; the "
        "interval is over seeds; a seed is at 500 where every game is. Seconds are medians over runs that took turns "
        "on one thread; the last column is steps a second over SB3 in its own loop.",
        "",
        "| | steps | seeds at 500 | mean | 95 % interval | training, s | speed |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(row(key, name) for key, name in names.items()),
        *(alone(algorithm) for algorithm in ("ppo", "a2c")),
    ]


def precision(result: dict[str, Any]) -> list[str]:
    """bf16 beside fp32."""
    f, protocol = result["figures"], result["protocol"]
    rows = {"fp32": "fp32", "bf16": "bf16", "difference": "bf16 − fp32, by seed"}
    verdicts = {True: "The two intervals overlap.", False: "The two intervals do not overlap."}
    return [
        f"**bf16 or fp32**: PPO on Space Invaders, {protocol['steps']:,} steps, {f['fp32']['n']} seeds each, mean of "
        f"{protocol['games']} full games under `{protocol['name']}`, last checkpoint; intervals are over seeds. "
        f"{verdicts.get(f.get('intervals_overlap'), '')}",
        "",
        "| | score | 95 % interval |",
        "|---|---:|---:|",
        *(f"| {name} | {over_seeds(f[key])} |" for key, name in rows.items()),
    ]


def ladder(result: dict[str, Any]) -> list[str]:
    """From REINFORCE to V-trace."""
    f, protocol, seeds = result["figures"], result["protocol"], len(result["seeds"])
    names = [name.removeprefix("return_") for name in f if name.startswith("return_")]

    def row(name: str) -> str:
        command = " ".join(word for word in protocol["rungs"][name][2:] if word != "--no-standardise")
        told = command.partition(" --steps")[0].replace(f" --preset {protocol['rungs'][name][4]}", "")
        variance, noise = f[f"gradient_variance_{name}"]["mean"], f[f"gradient_noise_share_{name}"]["mean"]
        return f"| `{told}` | {over_seeds(f[f'return_{name}'])} | {variance:.2g} | {noise:.1%} |"

    return [
        f"**The ladder** on {protocol['env']}: {protocol['steps']:,} agent steps on every rung, {seeds} seeds, mean of "
        f"{protocol['games']} full games, last checkpoint; intervals are over seeds; a random policy scores "
        f"{f['random']:.0f}. The variance of the policy gradient is that of one policy and the same "
        f"{protocol['gradients']['batches']} batches for all rungs, noise is its share of a gradient's squared length. "
        "REINFORCE runs without standardised advantages, which would make its rungs alike; so does A2C.",
        "",
        "| rung | return | 95 % interval | gradient variance | noise |",
        "|---|---:|---:|---:|---:|",
        *(row(name) for name in names),
        "",
        lesson(f, names),
    ]


def lesson(f: dict[str, Any], names: list[str]) -> str:
    """What a ladder teaches, in its own figures."""

    def fold(before: str, after: str) -> str:
        ratio = f[f"gradient_variance_{before}"]["mean"] / f[f"gradient_variance_{after}"]["mean"]
        return f"{ratio:,.{1 if ratio < 10 else 0}f}"

    above = [name for name in names if f[f"return_{name}"]["low"] > f["random"]]
    immediate, noise = f["return_immediate"]["mean"], f["gradient_noise_share_immediate"]["mean"]
    return (
        f"What it teaches: variance falls {fold('episode', 'to_go')}-fold where an action is no longer credited with "
        f"what came before it, {fold('to_go', 'discounted')}-fold with a discount, {fold('discounted', 'constant')}-"
        f"fold with a constant baseline; with V instead of any baseline it is {fold('discounted', 'value')} times "
        f"smaller than without, and GAE's {fold('value', 'a2c_gae')} times smaller than that. A small variance is no "
        f"merit in itself: that of immediate rewards is {fold('episode', 'immediate')} times smaller than whole "
        f"episodes' since the gradient is small, {noise:.1%} noise, and they end at {immediate:.0f}. "
        f"{len(above)} of {len(names)} rungs have intervals above the random "
        f"policy's mean: {', '.join(name.replace('_', ' ') for name in above)}."
    )


def cpu_hour(result: dict[str, Any]) -> list[str]:
    """What an hour buys."""
    f, whole = result["figures"], result["figures"]["score"]
    rows = [(seed, f[f"seed_{seed}"]) for seed in result["seeds"]]
    return [
        f"**An hour on two cores** (`{' '.join(result['protocol']['job'])}`): mean score over "
        f"{result['protocol']['games']} full games under `{result['protocol']['name']}`, last checkpoint: "
        f"{whole['mean']:.0f} ({whole['low']:.0f} – {whole['high']:.0f}, over games). SB3's zoo reports 627 for A2C "
        "after 10M steps, OpenAI's baselines 1,020 for PPO2 after 10M. Other work ran beside these runs; the machine "
        f"alone does {f['steps_per_s_alone']:.0f} steps a second, and all of them in {f['minutes_alone']:.0f} minutes.",
        "",
        "| seed | score | 95 % interval | steps | training |",
        "|---:|---:|---:|---:|---:|",
        *(
            f"| {seed} | {r['score']:.0f} | {r['low']:.0f} – {r['high']:.0f} | {r['steps']:,} "
            f"| {r['training_minutes']:.0f} min |"
            for seed, r in rows
        ),
    ]


def mixture(result: dict[str, Any]) -> list[str]:
    """Modes found."""
    f, protocol = result["figures"], result["protocol"]
    methods = [name.removesuffix("_high_quality") for name in f if name.endswith("_high_quality")]
    names = {"r1": "R1: the preset", "pac2": "PacGAN, 2", "pac4": "PacGAN, 4", "wgan_gp": "WGAN-GP", "r3gan": "R3GAN"}

    def row(name: str) -> str:
        cells = [f[f"{name}_{figure}"] for figure in ("modes", "high_quality", "reverse_kl")]
        shown = [
            f"{c['mean']:{d}} ({c['low']:{d}} – {c['high']:{d}})"
            for c, d in zip(cells, (".3g", ".1%", ".2g"), strict=True)
        ]
        return (
            f"| {names.get(name, name.replace('_', ' '))} | {cells[0]['n']} | {' | '.join(shown)} "
            f"| {f[f'{name}_minutes']['mean']:.1f} |"
        )

    return [
        f"**{protocol['data']}**: {protocol['evaluations']:,} gradient evaluations each, "
        f"{protocol['samples']:,} samples of the last checkpoint; means over seeds with 95 % intervals; the same "
        "networks, optimisers and average for all. "
        "Published, with other networks and 400,000 rounds: "
        + ", ".join(f"{name.replace('_', ' ')} {told['value']}" for name, told in result["published"].items())
        + " (Lin et al. 2018).",
        "",
        "| method | seeds | modes | high quality | reverse KL | minutes |",
        "|---|---:|---:|---:|---:|---:|",
        *(row(name) for name in methods),
    ]


def digits(result: dict[str, Any]) -> list[str]:
    """8×8 digits."""
    f = result["figures"]
    low, high = f["memorisation_real_low"], f["memorisation_real_high"]
    rows = [
        f"| GAN, {kind} | {over_seeds(f[f'{kind}_fid'], '.2f')} | {over_seeds(f[f'{kind}_memorisation'], '.3f')} |"
        for kind in ("unconditional", "conditional")
    ]
    return [
        f"**8×8 digits**: {len(result['seeds'])} seeds, 597 samples of the last checkpoint against the 597 held-out "
        "images, in the features of a classifier that no GAN sees. Memorisation is the distance to the nearest image "
        "learned from, over that of held-out images. The conditional GAN makes the digit that was asked for "
        f"{f['conditional_asked_class']['mean']:.1%} of the time; training takes "
        f"{f['unconditional_minutes']['mean']:.1f} min.",
        "",
        "| | FID | 95 % interval | memorisation | 95 % interval |",
        "|---|---:|---:|---:|---:|",
        *rows,
        f"| 30 Gaussians | {f['fid_mixture']:.2f} | | {f['memorisation_mixture']:.3f} | |",
        f"| real images | {f['fid_real']:.2f} | | 1 | {low:.3f} – {high:.3f} |",
    ]


def shootout(result: dict[str, Any]) -> list[str]:
    """Nine dynamics at equal cost."""
    f, protocol = result["figures"], result["protocol"]
    games = list(protocol["budget"])

    def cell(game: str, name: str) -> str:
        figure = f[f"{game}_{name}".replace("-", "_")]
        if isinstance(figure, str):
            return "–" if figure.startswith("cannot") else "diverges"
        kind = protocol["figure"][game]
        return f"{figure['mean']:{'.1%' if kind == 'share' else '.2f' if kind == 'FID' else '.2g'}}"

    return [
        f"**Nine dynamics at equal gradient evaluations**, {seeds_of(result)}: distance to rest over that at "
        f"the start after {protocol['budget']['bilinear']} evaluations of the small games, high-quality share on the "
        f"ring and FID on the digits after {protocol['budget']['ring8']:,} "
        f"(30 Gaussians: {f['digits_fid_of_30_gaussians']:.2f}).",
        "",
        f"| dynamics | {' | '.join(games)} |",
        f"|---|{'---:|' * len(games)}",
        *(
            f"| `{words}` | {' | '.join(cell(game, name) for game in games)} |"
            for name, words in protocol["dynamics"].items()
        ),
    ]


def overhead(result: dict[str, Any]) -> list[str]:
    """What Play costs."""
    f = result["figures"]
    return [
        f"**Play beside a hand-written loop** of the same GAN, one thread: {f['overhead_plain']:.2f} of its time "
        f"without penalties, {f['overhead_r1']:.2f} with R1; both arrive at the same weights.",
    ]


def share(figure: dict[str, Any]) -> str:
    """Two cells: a mean share over seeds, and its interval where there is one."""
    return over_seeds(figure, ".1%")


def adaptation(result: dict[str, Any]) -> list[str]:
    """A domain without labels."""
    f, methods, published = result["figures"], result["protocol"]["methods"], result["published"]

    def row(name: str) -> str:
        gap, there = f.get(f"{name}_share_of_gap"), published.get(name)
        spread, seen = f"{100 * f[f'{name}_std']:.1f}", f"{f[f'{name}_a_distance']['mean']:.2f}"
        cells = (share(f[name]), spread, f"{gap['mean']:.0%}" if gap else "", seen)
        threads = methods[name].get("threads", 1)
        minutes = f"{f[f'{name}_minutes']:.1f}" + f" on {threads} threads" * (threads > 1)
        return f"| {name.replace('_', ' ')} | {' | '.join(cells)} | {minutes} | {told(there)} |"

    def told(there: dict[str, Any] | None) -> str:
        return "" if there is None else there["value"] if isinstance(there["value"], str) else f"{there['value']:.1%}"

    if not methods:
        return unended(f)
    where = next(iter(methods.values()))["name"].replace("-to-", " → ")
    copies = any("layers copied" in one for one in methods.values())
    later = " Who copies layers learns from the target in the second half of the rounds only." if copies else ""
    sources = "; ".join(sorted({one["source"] for name, one in published.items() if name in methods}))
    return [
        f"**{where}**: accuracy on the target over {len(result['seeds'])} seeds, last checkpoint, and its standard "
        "deviation over seeds, in points; the gap is between source only and train on target, normalised alike. The "
        "A-distance of fresh probes is 0 where the domain is hidden, 2 where it is plain. Minutes are of a run's "
        "training on one thread, "
        f"{result['protocol']['runs at a time']} at a time.{later}{f' Published: {sources}.' if sources else ''}",
        "",
        "| method | accuracy | 95 % interval | ± | share of the gap | A-distance | minutes | published |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *(row(name) for name in methods),
        *unended(f),
    ]


def spread(result: dict[str, Any]) -> list[str]:
    """Why reproductions differ."""
    f, settings = result["figures"], result["protocol"]["settings"]
    if not settings:
        return unended(f)
    choices = list(next(iter(settings.values())))
    symbols = {"weight": "λ", "weight-rule": "λ over time", "learning-rate": "η", "rate-rule": "η over time"}

    def row(name: str, chosen: dict[str, str]) -> str:
        cells = [chosen[choice] for choice in choices]
        dead, seen = f[f"{name}_collapsed"] or "", f[f"{name}_a_distance"]["mean"]
        cells += [share(f[name]), f"{f[f'{name}_std']:.1%}", f"{dead}", f"{seen:.2f}"]
        return f"| {' | '.join(cells)} |"

    first = "the first row is the paper's protocol in 8,600 steps, with half of its λ. " if "base" in settings else ""
    return [
        f"**Why reproductions of DANN differ**: MNIST → MNIST-M, {len(result['seeds'])} seeds, last checkpoint; {first}"
        f"Published reproductions range from 67 to 93 %. {furthest(f, settings)}",
        "",
        f"| {' | '.join(symbols.get(choice, choice) for choice in choices)} | accuracy | 95 % interval | std "
        "| collapsed | A-distance |",
        f"|{'---|' * len(choices)}---:|---:|---:|---:|---:|",
        *(row(name, chosen) for name, chosen in settings.items()),
        *unended(f),
    ]


def unended(f: dict[str, Any]) -> list[str]:
    """Methods without figures, and why."""
    return ["", f"Without figures, for seeds of theirs failed: {', '.join(f['failed'])}."] if f.get("failed") else []


def furthest(f: dict[str, Any], settings: dict[str, dict[str, str]]) -> str:
    """How far all of them reach, which choice moves most, and what kills runs: those have a mean of nothing."""
    dead = {name: f[f"{name}_collapsed"] for name in settings if f[f"{name}_collapsed"]}
    means = {name: f[name]["mean"] for name in settings if name not in dead}
    told = ""
    if means:
        low, high = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
        told = f"Here they range from {means[low]:.1%} ({low}) to {means[high]:.1%} ({high})."
    alone = {
        (choice, value): by
        for choice, values in f.get("moves", {}).items()
        for value, by in values.items()
        if f"{choice}_{value}".replace("-", "_") not in dead
    }
    if "effects" in f:
        choice = max(f["effects"], key=f["effects"].__getitem__)
        told += f" Averaged over the others, {choice} moves the mean most, by {100 * f['effects'][choice]:.1f} points."
    elif alone:
        most = max(alone, key=lambda one: abs(alone[one]["mean"]))
        by, low, high = (f"{100 * alone[most][end]:+.1f}" for end in ("mean", "low", "high"))
        told += f" Of single choices, {' '.join(most)} moves the mean most, by {by} points ({low} to {high})."
    if dead:
        runs = ", ".join(f"{name.replace('_', ' ')} ({count} of {f[name]['n']})" for name, count in dead.items())
        told += f" Runs collapsed, so that they cannot read the source either, with {runs}: their means say little."
    return told


def robust(result: dict[str, Any]) -> list[str]:
    """What is stood."""
    f, protocol, published = result["figures"], result["protocol"], result["published"]

    def row(method: str, attack: str) -> str:
        name = f"{method}_{attack}"
        both = (published.get(key) for key in (f"{method}_clean", name))
        there = [f"{one['value']:.1%}" if one else "–" for one in both]
        verdicts = {verdict.partition(":")[0] for verdict in f[f"{name}_verdict"]}
        rows = [*(f"{method}_{row}" for row in ("clean", "noise", "universal")), f"{name}_transfer", name]
        cells = [*(f"{f[row]['mean']:.1%}" for row in rows), ", ".join(sorted(verdicts)), " / ".join(there)]
        return f"| {method.replace('_', ' ')} | {attack} | {' | '.join(cells)} | {f[f'{method}_minutes']:.1f} |"

    return [
        f"**MNIST within ε = 0.3**: accuracy on {protocol['samples']:,} held-out images, {len(result['seeds'])} seeds, "
        "last checkpoint; published are clean and attacked accuracy. The alarm is about the attack of its row, and "
        "looks at 200 images; what it calls no evidence is none.",
        "",
        "| training | attack | clean | noise | universal | transfer | attacked | the alarm | published | minutes |",
        "|---|---|---:|---:|---:|---:|---:|---|---:|---:|",
        *(row(method, attack) for method, attacks in protocol["attacks"].items() for attack in attacks),
    ]


def robust_autoattack(result: dict[str, Any]) -> list[str]:
    """What a stronger attack leaves of it."""
    f, published = result["figures"], result["published"]

    def row(key: str, told: dict[str, Any]) -> str:
        method = key.removesuffix("_autoattack")
        cells = [f"{f[f'{method}_{attack}']['mean']:.1%}" for attack in ("clean", "pgd", "autoattack")]
        return f"| {method.replace('_', ' ')} | {' | '.join(cells)} | {told['value']:.1%} |"

    return [
        f"**AutoAttack** beside the PGD of that table, on the same first {result['protocol']['samples']:,} held-out "
        f"images, {len(result['seeds'])} seeds (the error of so few images comes on top); published are all 10,000.",
        "",
        "| training | clean | PGD | AutoAttack | published |",
        "|---|---:|---:|---:|---:|",
        *(row(key, told) for key, told in published.items()),
    ]


def dann_minutes(result: dict[str, Any]) -> list[str]:
    """What a seed costs."""
    alone, together = (result["figures"][name] for name in ("alone", "together"))
    return [
        f"**Minutes of DANN** from MNIST to MNIST-M, on the clock, with evaluation, probes and pictures: "
        f"a seed alone, on one core, {alone['minutes_a_seed']:.1f}; {together['seeds']} at a time "
        f"{together['minutes_a_seed']:.1f} each.",
    ]


def attack_speed(result: dict[str, Any]) -> list[str]:
    """PGD beside its peers."""
    f = result["figures"]
    peers = {"art": "ART", "torchattacks": "torchattacks"}
    beside = [f"{peers[name]} {f[f'{name}_steps_per_s']:,.0f}" for name in peers if f"{name}_steps_per_s" in f]
    return [
        f"**PGD**: {f['ours_steps_per_s']:,.0f} steps of an image a second on "
        f"{result['protocol']['threads']} thread, in one run beside {', '.join(beside) or 'nobody'} "
        "(medians over alternating turns; ours keeps the best point on the way, the others the last).",
    ]


def go_speed(result: dict[str, Any]) -> list[str]:
    """The board beside its peers."""
    f = result["figures"]
    openspiel, pettingzoo = f["over_openspiel_9"], f["over_pettingzoo_9"]
    rows = {
        "sparring 9×9, exact mask of every position": (f["steps_per_s_9"], openspiel, pettingzoo),
        "sparring 9×9, with planes": (f["steps_with_planes_per_s_9"], None, None),
        "sparring 5×5": (f["steps_per_s_5"], None, None),
        "sparring 13×13": (f["steps_per_s_13"], None, None),
        "sparring 19×19": (f["steps_per_s_19"], None, None),
        "OpenSpiel 9×9, from Python": (f["openspiel_steps_per_s_9"], 1, None),
        "PettingZoo 9×9": (f["pettingzoo_steps_per_s_9"], None, 1),
    }
    games = next(name.split("_")[2] for name in f if name.startswith("gb_for_"))
    return [
        "**Go**: moves a second of random games on one thread, in one run (medians over alternating turns). Ours hold "
        f"the exact superko mask of every position, {result['protocol']['games_side_by_side']} games side by side; "
        "OpenSpiel and PettingZoo know simple ko.",
        "",
        "| | moves/s | over OpenSpiel | over PettingZoo |",
        "|---|---:|---:|---:|",
        *(
            f"| {name} | {speed:,.0f} | {'' if a is None else f'{a:.3g}'} | {'' if b is None else f'{b:.3g}'} |"
            for name, (speed, a, b) in rows.items()
        ),
        "",
        f"Light playouts on 9×9: {f['playouts_per_s_9']:,.0f} games a second. Two processes play "
        f"{f['two_core_scaling']:.2f} × as many moves as one, two threads {f['two_thread_scaling']:.2f} × (they share "
        f"Python's lock between steps). A 9×9 game takes {f['bytes_per_game_9']:,} bytes, {int(games):,} of them with "
        f"masks and planes {f[f'gb_for_{games}_games_9']:.1f} GB. The kernels compile in {f['compile_s']:.0f} s, once, "
        f"and load in {f['load_from_cache_s']:.1f} s.",
    ]


def seqgan_gradients(result: dict[str, Any]) -> list[str]:
    """What a way around a token costs."""
    f, protocol = result["figures"], result["protocol"]

    def row(name: str, options: dict[str, Any]) -> str:
        cells = [f[f"{name}_{key}"]["mean"] for key in ("bias", "chance", "cosine", "noise")]
        theory = "unbiased" if name in protocol["unbiased_in_theory"] else "biased"
        told = " ".join(f"{key} {value}" for key, value in options.items())
        return f"| {name.replace('_', ' ')} | {told} | {theory} | " + " | ".join(f"{cell:.2g}" for cell in cells) + " |"

    return [
        f"**SeqGAN's gradients** where all {protocol['vocabulary']}^{protocol['length']} sentences can be enumerated, "
        f"{len(result['seeds'])} generators and discriminators: the mean of {protocol['draws']} steps of "
        f"{protocol['sentences_a_step']} sentences against the exact gradient, in units of its length; chance is what "
        "an unbiased estimate would be off by.",
        "",
        "| method | options | in theory | off by | chance | cosine | noise of one sentence |",
        "|---|---|---|---:|---:|---:|---:|",
        *(row(name, options) for name, options in protocol["methods"].items()),
        "",
        f"Off by no more than chance explains, at 1 %: {', '.join(f['unbiased_as_measured']).replace('_', ' ')}.",
    ]


def with_bounds(figure: dict[str, Any], digits: str = ".3f") -> str:
    """One cell: a mean over seeds, and its interval where there is one."""
    bounds = f" ({figure['low']:{digits}} – {figure['high']:{digits}})" if "low" in figure else ""
    return f"{figure['mean']:{digits}}{bounds}"


def seqgan_oracle50(result: dict[str, Any]) -> list[str]:
    """Maximum likelihood and its rivals."""
    f, protocol = result["figures"], result["protocol"]
    kinds = ("nll_oracle", "nll_test", "entropy")
    rows = [
        f"| `{name}` | {' | '.join(with_bounds(f[f'{name}_{kind}']) for kind in kinds)} | {f[f'{name}_minutes']:.1f} |"
        for name in protocol["jobs"]
    ]
    bars = [
        f"| {n}-grams | {f[f'ngram{n}_nll_oracle']:.3f} | {f[f'ngram{n}_nll_test']:.3f} | | |" for n in (1, 2, 3, 4)
    ]
    better = ", ".join(f"`{name}`" for name in f["beat_maximum_likelihood"]) or "none"
    best, lowest = f["best_adversarial_method"], f["lowest_adversarial_nll_oracle_method"]
    return [
        f"**Oracle-50**: {len(result['seeds'])} seeds, nats a token over {protocol['samples']:,} sentences of the last "
        f"checkpoint, means with 95 % intervals over seeds. Methods that beat maximum likelihood in NLL_test, seed by "
        f"seed, both where they begin (`mle`) and after as many rounds (`mle_long`): {better}. Of the adversarial, "
        f"`{best}` has the lowest NLL_test and `{lowest}` the lowest NLL_oracle. The baselines none, running and value "
        "are compared without standardised advantages, which would make the first two the same. All of it took "
        f"{f['core_hours']:.1f} hours of a core.",
        "",
        "| method | NLL_oracle | NLL_test | entropy | minutes |",
        "|---|---:|---:|---:|---:|",
        *rows,
        *bars,
        f"| training sentences again | {f['replay_nll_oracle']:.3f} | ∞ | | |",
        f"| the oracle (floor) | {f['floor']:.3f} | {f['floor']:.3f} | {f['floor']:.3f} | |",
        *unended(f),
    ]


def seqgan_temperature(result: dict[str, Any]) -> list[str]:
    """What a lower NLL_oracle costs."""
    f, methods = result["figures"], result["protocol"]["methods"]
    targets = f["targets"]
    names = {"mle": "maximum likelihood's own", "ngram4": "4-grams'", "floor": "the floor"}

    return [
        "**The price of NLL_oracle**: logits times α, and the NLL_test that is paid where NLL_oracle first comes down "
        "to a target; means with 95 % intervals over the seeds that cross it, all of them where nothing else is said.",
        "",
        f"| generator | {' | '.join(f'{names[target]} {value:.3f}' for target, value in targets.items())} |",
        f"|---|{'---:|' * len(targets)}",
        *(f"| `{name}` | {' | '.join(paid(f, name, target) for target in targets)} |" for name in methods),
    ]


def paid(f: dict[str, Any], name: str, target: str) -> str:
    """One cell: the price at a target, and how many seeds stand behind it when not all do."""
    price, missing = f.get(f"{name}_price_at_{target}"), f[f"{name}_price_at_{target}_uncrossed"]
    if price is None:
        return "not crossed"
    return with_bounds(price) + (f", {price['n']} of {price['n'] + missing} seeds" if missing else "")


def seqgan_paper(result: dict[str, Any]) -> list[str]:
    """The authors' oracle."""
    f, protocol, published = result["figures"], result["protocol"], result["published"]
    kinds = ("nll_oracle", "nll_test", "entropy")
    gentle = {"gentle": "SeqGAN, gentle"} if protocol["gentle"] else {}
    names = {
        "mle": "maximum likelihood",
        "mle_best": "the same at its best NLL_oracle",
        "seqgan": "SeqGAN",
        "seqgan_best": "the same at its best NLL_oracle",
        **gentle,
    }
    priced = {"mle": names["mle"], "mle_stopped": "the same, stopped in time", "seqgan": names["seqgan"], **gentle}
    others = {"tuned_mle": "maximum likelihood", "tuned_gan": "GAN", "cot": "CoT"}
    at, other = "8.736", published["seqgan_price_at_8.736"]["value"]
    reduced = "; ".join(f"{name} ({why})" for name, why in protocol["reductions"].items())
    return [
        f"**SeqGAN on the authors' oracle**, {len(result['seeds'])} seeds, "
        f"{'the recipe in full' if protocol['full'] else f'reduced in {reduced}'}. "
        + ("Gentle is what the benchmark calls so, chosen before any result. " if gentle else "")
        + "The price of an NLL_oracle is the NLL_test that is paid where logits times α come down to it; stopped in "
        f"time is where other held-out sentences were likeliest. The paper tells no NLL_test: the {other:.2f} are of "
        "another run of the authors' code, at α = 1.67 (Caccia et al.).",
        "",
        "| | NLL_oracle | NLL_test | entropy |",
        "|---|---:|---:|---:|",
        *(
            f"| {label} | {' | '.join(with_bounds(f[f'{name}_{kind}']) for kind in kinds)} |"
            for name, label in names.items()
        ),
        *(f"| {label}, its price | {at} | {paid(f, name, at)} | |" for name, label in priced.items()),
        *(f"| {n}-grams | {f[f'ngram{n}_nll_oracle']:.3f} | {f[f'ngram{n}_nll_test']:.3f} | |" for n in (1, 2)),
        f"| 2-grams, d = 0.9 | {f['bigram_0.9_nll_oracle']:.3f} | {f['bigram_0.9_nll_test']:.3f} | |",
        f"| published: maximum likelihood | {published['mle_nll_oracle']['value']} | | |",
        f"| published: SeqGAN | {at} | | |",
        f"| another run of it, its price | {at} | {other:.2f} | |",
        *(
            f"| others' tuned {label}, its price | {at} | {published[f'{name}_price_at_8.736']['value']:.2f} | |"
            for name, label in others.items()
        ),
        f"| the oracle (floor) | {f['floor']:.3f} | {f['floor']:.3f} | {f['floor']:.3f} |",
    ]


def seqgan_speed(result: dict[str, Any]) -> list[str]:
    """Cached states beside reading again."""
    f, protocol = result["figures"], result["protocol"]

    def row(name: str, kind: str) -> str:
        keys = ("tokens_per_s", "again_tokens_per_s", "speedup", "speedup_head_once")
        ours, theirs, ratio, once = (f[f"{name}_{kind}_{key}"] for key in keys)
        vocabulary, _, hidden = protocol["sizes"][name]
        told = f"{kind.replace('_', ' ')}, V = {vocabulary:,}, H = {hidden}"
        return f"| {told} | {ours:,.0f} | {theirs:,.0f} | {ratio:.1f} | {once:.1f} |"

    def of_ways(ways: int) -> str:
        return f"| {ways} | " + " | ".join(f"{f[f'round_s_k{ways}_t{length}']:.2f}" for length in of_rounds["t"]) + " |"

    kinds = ("written", "rolled_out", "rolled_out_and_judged")
    of_rounds = protocol["rounds"]
    return [
        f"**Writing**: tokens a second on one thread, {protocol['batch']} sentences of {protocol['length']} tokens, "
        f"{protocol['ways']} roll-outs of every prefix; beside reading the whole prefix again for every token; the "
        "last column is beside one who does so, but asks for no distribution except the last.",
        "",
        "| | sparring | read again | ratio | head once |",
        "|---|---:|---:|---:|---:|",
        *(row(name, kind) for name in protocol["sizes"] for kind in kinds),
        "",
        "Seconds of a whole round of play on `oracle-50` (drawing and judging sentences, G's step, D's turn):",
        "",
        f"| roll-outs K | {' | '.join(f'T = {length}' for length in of_rounds['t'])} |",
        f"|---|{'---:|' * len(of_rounds['t'])}",
        *(of_ways(ways) for ways in of_rounds["k"]),
    ]


def search_speed(result: dict[str, Any]) -> list[str]:
    """Trees, self-play, and OpenSpiel's search."""
    f = result["figures"]
    return [
        f"**Search**: {f['simulations_per_s_9']:,} simulations a second on one core on 9×9 and "
        f"{f['simulations_per_s_5']:,} on 5×5 (PUCT; Gumbel {f['simulations_per_s_9_gumbel']:,} and "
        f"{f['simulations_per_s_5_gumbel']:,}), with a network that costs nothing. Self-play of `go5-cpu` plays "
        f"{f['positions_per_s']:,} positions a second on two cores, of at most {f['bound_of_positions_per_s']:,} that "
        f"the network alone would allow; {f['share_outside_network_5']:.0%} of the time is not the network's. That is "
        f"{f['over_openspiel_alphazero']:.0f} times as many as the search of OpenSpiel's Python AlphaZero plays with "
        "the same network and number of simulations, one thread each, in fp32.",
    ]


def whole_board(result: dict[str, Any]) -> list[str]:
    """5×5 against GNU Go."""
    f, protocol = result["figures"], result["protocol"]

    def row(seed: int) -> str:
        one = f[f"seed_{seed}"]
        games, raw = protocol["games"], one["raw_policy_of_the_centre"]
        rate = statistics.rate(one["win_rate"]["value"] * games, games)
        return (
            f"| {seed} | {rate.value:.0%} | {rate.low:.1%} – {rate.high:.1%} | {one['centre_opening']:.0%} "
            f"| {raw:.2f} | {one['different_games']} | {one['training_minutes']:.1f} |"
        )

    return [
        f"**5×5 from nothing** (`{' '.join(protocol['job'][1:])}`): the last checkpoint as black against GNU Go level "
        f"10, {protocol['games']} games a seed, {protocol['simulations']} simulations a move, komi {protocol['komi']}, "
        "so that only the whole board wins; minutes of training on two cores.",
        "",
        "| seed | wins | 95 % interval | opens in the centre | raw policy of the centre | different games | minutes |",
        "|---:|---:|---:|---:|---:|---:|---:|",
        *(row(seed) for seed in result["seeds"]),
    ]


def seven(result: dict[str, Any]) -> list[str]:
    """7×7 against GNU Go."""
    f, protocol = result["figures"], result["protocol"]

    def row(seed: int) -> str:
        one = f[f"seed_{seed}"]
        return (
            f"| {seed} | {one['win_rate']:.1%} | {one['low']:.1%} – {one['high']:.1%} | {one['wins_as_black']} "
            f"| {one['wins_as_white']} | {one['draws']} | {one['training_minutes']:.0f} |"
        )

    return [
        f"**7×7 from nothing** (`{' '.join(protocol['job'][1:])}`): the last checkpoint against GNU Go level 10, "
        f"{protocol['games']} different games from openings of {protocol['opening']} random moves, "
        f"{protocol['simulations']} simulations a move, komi {protocol['komi']:g}; minutes of training on two cores.",
        "",
        "| seed | win rate | 95 % interval | as black | as white | draws | minutes |",
        "|---:|---:|---:|---:|---:|---:|---:|",
        *(row(seed) for seed in result["seeds"]),
    ]


def nine(result: dict[str, Any]) -> list[str]:
    """9×9 over time."""
    f, protocol = result["figures"], result["protocol"]

    def rating(one: dict[str, float]) -> str:
        return f"{one['elo']:+.0f} ({one['low']:+.0f} – {one['high']:+.0f})"

    curve = " · ".join(f"{minutes} min {rating(one)}" for minutes, one in f["elo_by_minutes"].items())
    anchors = " · ".join(f"`{name}` {rating(one)}" for name, one in f["elo_of_anchors"].items())
    last = ", ".join(f"{share:.0%} against `{name}`" for name, share in f["last_against"].items())
    return [
        f"**9×9 from nothing** (`{' '.join(protocol['job'][1:])}`), Elo over GNU Go level 10 by minutes of training, "
        f"{protocol['games']} games a pair, {protocol['simulations']} simulations a move: {curve}. The anchors: "
        f"{anchors}. The last wins {last}.",
    ]


def playouts(result: dict[str, Any]) -> list[str]:
    """Plain search against GNU Go."""
    games, published = result["protocol"]["games"], result["published"]["fotland_2009"]["value"]
    rate = statistics.rate(result["figures"]["win_rate"]["mean"] * games, games)
    return [
        f"**9×9 without learning**: search with 5,000 light random playouts a move wins {rate.value:.1%} "
        f"({rate.low:.1%} – {rate.high:.1%}) of {games} games against GNU Go level 10; "
        f"others published {published:.0%}.",
    ]


SECTIONS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "space_invaders_five_minutes": five_minutes,
    "space_invaders_throughput": throughput,
    "cartpole_seeds": cartpole,
    "space_invaders_precision": precision,
    "ladder_cartpole": ladder,
    "ladder_space_invaders": ladder,
    "space_invaders_cpu_hour": cpu_hour,
    "ring8": mixture,
    "grid25": mixture,
    "digits_fid": digits,
    "dynamics_shootout": shootout,
    "play_overhead": overhead,
    "digits_to_colour": adaptation,
    "mnist_to_mnistm": adaptation,
    "dann_minutes": dann_minutes,
    "mnist_to_usps": adaptation,
    "dann_spread": spread,
    "robust_mnist": robust,
    "robust_autoattack": robust_autoattack,
    "attack_speed": attack_speed,
    "seqgan_gradients": seqgan_gradients,
    "seqgan_oracle50": seqgan_oracle50,
    "seqgan_temperature": seqgan_temperature,
    "seqgan_paper": seqgan_paper,
    "seqgan_speed": seqgan_speed,
    "go_speed": go_speed,
    "search_speed": search_speed,
    "mcts5000_vs_gnugo": playouts,
    "go5_vs_gnugo": whole_board,
    "go7_vs_gnugo": seven,
    "go9_elo_curve": nine,
}


def section() -> str:
    """All results there are, in order, each with its source."""
    lines: list[str] = []
    for claim, write in SECTIONS.items():
        path = ROOT / "benchmarks" / "results" / f"{claim}.json"
        if not path.exists():
            continue
        result = json.loads(path.read_text())
        machine = f"{result['hardware']['processor']}, {result['hardware']['cores']} cores"
        told = f"`{result['command']}` at {result['commit']}, {machine}, {result['date']}"
        source = f"From `benchmarks/results/{claim}.json`: {told}."
        pictures = [*path.parent.glob(f"{claim}.png"), *sorted(path.parent.glob(f"{claim}_*.png"))]
        shown = [line for one in pictures for line in (f"![{one.stem}]({one.relative_to(ROOT)})", "")]
        remark = [result["remark"], ""] if "remark" in result else []  # by hand, of what the command does not tell
        lines += [*write(result), "", *remark, *shown, source, ""]
    return "\n".join(lines)


def main() -> None:
    readme = ROOT / "README.md"
    text = readme.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    fresh = f"{before}{BEGIN}\n{section()}{END}{after}"
    if "--check" in sys.argv and fresh != text:
        sys.exit("README.md does not say what benchmarks/results say; run python benchmarks/readme.py")
    readme.write_text(fresh)


if __name__ == "__main__":
    main()
