"""The benchmarks of writing: what they compare is what they say, and their figures are computed right."""

import dataclasses
import importlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sparring.adversarial import seqgan
from sparring.envs.tokens import BLANK
from sparring.runners import begin, checkpoint, options

pytestmark = pytest.mark.usefixtures("one_thread")

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
BASELINES = ("none", "running", "value")


@pytest.fixture(autouse=True)
def benchmark(monkeypatch):
    """A benchmark's module, by its name."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


def over_seeds(*values):
    return {"mean": float(np.mean(values)), "low": min(values), "high": max(values), "n": len(values)} | {
        "per_seed": list(values)
    }


# ---------------------------------------------------------------------------------------------- oracle-50


def test_methods_differ_in_what_their_names_say(benchmark):
    module = benchmark("seqgan_oracle50")

    def config_of(words):
        line = [*module.COMMON, *words, "--seeds", "0", "--out", "x"]
        return begin.parse_training("sweep", options.Sweep, "seqgan", line).config

    configs = {name: config_of(words) for name, words in module.METHODS.items()}
    schedule = dataclasses.replace(seqgan.ORACLE.schedule, evaluate_every=100, samples=10_000)
    assert configs["rollouts"] == dataclasses.replace(seqgan.ORACLE, schedule=schedule)
    assert {config.mle_rounds for name, config in configs.items() if name != "mle_long"} == {module.MLE_ROUNDS}
    for config in configs.values():
        assert not (config.standardise and config.baseline in ("none", "running"))
    found = {name: (configs[f"terminal_{name}"].credit, configs[f"terminal_{name}"].baseline) for name in BASELINES}
    assert found == {name: ("terminal", name) for name in BASELINES}
    assert {configs[f"terminal_{name}"].standardise for name in BASELINES} == {False}
    assert len(set(map(str, configs.values()))) == len(configs)


def test_a_method_beats_likelihood_only_if_it_beats_both_on_held_out_sentences(benchmark):
    compared = benchmark("seqgan_oracle50").compared
    tested = {
        "mle": (2.50, 2.52, 2.51),
        "mle_long": (2.40, 2.42, 2.41),
        "between": (2.45, 2.47, 2.46),
        "better": (2.35, 2.37, 2.36),
        "sharp": (2.60, 2.62, 2.61),
    }
    thought = dict.fromkeys(tested, (2.3, 2.3, 2.3)) | {"sharp": (2.0, 2.0, 2.0)}
    figures = {}
    for name in tested:
        figures |= {f"{name}_nll_test": over_seeds(*tested[name]), f"{name}_nll_oracle": over_seeds(*thought[name])}
        figures[f"{name}_entropy"] = over_seeds(*[len(name)] * 3)
    told = compared(figures, list(tested))
    assert told["beat_maximum_likelihood"] == ["better"]
    assert told["between_minus_mle_nll_test"]["mean"] == pytest.approx(-0.05)
    assert told["between_minus_mle_long_nll_test"]["mean"] == pytest.approx(0.05)
    assert told["mle_long_minus_mle_nll_test"]["mean"] == pytest.approx(-0.1)
    assert told["best_adversarial_method"] == "better"
    assert told["lowest_adversarial_nll_oracle_method"] == "sharp"
    for figure in ("nll_oracle", "nll_test", "entropy"):
        assert told[f"best_adversarial_{figure}"] == figures[f"better_{figure}"]
    assert told["lowest_adversarial_nll_oracle"] == figures["sharp_nll_oracle"]
    for figure in ("nll_test", "entropy"):
        assert told[f"lowest_adversarial_nll_oracle_{figure}"] == figures[f"sharp_{figure}"]
    assert compared(figures, ["mle", "better"])["beat_maximum_likelihood"] == []


def test_what_begins_with_likelihood_is_what_it_would_have_become_alone(benchmark, tmp_path, monkeypatch):
    """Bit for bit, checkpoint by checkpoint and row by row, whoever learns to write and from whatever signal."""
    module = benchmark("seqgan_oracle50")
    small = ["--vocabulary=6", "--length=5", "--sentences=200", "--held-out=40", "--hidden=8", "--embedding=4"]
    quick = ["--mle-rounds=2", "--mle-batches=3", "--warm-rounds=1", "--d-sentences=16", "--batch=8"]
    common = [*small, *quick, "--steps=4", "--save-every=1", "--evaluate-every=2", "--samples=20"]
    monkeypatch.setattr(module, "COMMON", common)
    methods = {"mle": ["--steps=2"], "ppo": ["--agent=ppo"], "soft_wgan": ["--signal=soft-wgan"], "per_step": []}
    methods["per_step"] = ["--credit=per-step", "--baseline=none", "--no-standardise"]
    monkeypatch.setattr(module, "METHODS", methods)
    for method in ("ppo", "soft_wgan", "per_step"):
        begun = module.trained(method, [3], tmp_path, 1).folder(3)
        alone = module.sweeps.trained("seqgan", [*common, *methods[method]], [3], tmp_path / f"{method}-alone", 1)
        whole = alone.folder(3)
        assert list(begun.rows()) == list(whole.rows())
        assert [path.name for path in begun.checkpoints] == [path.name for path in whole.checkpoints]
        for mine, its in zip(begun.checkpoints, whole.checkpoints, strict=True):
            assert_alike(checkpoint.read(mine), checkpoint.read(its))
    spent = module.hours(begun, 2), module.hours(begun, 0)
    assert 0 < spent[0] < spent[1]


def test_a_seed_that_fails_is_told_and_stops_a_benchmark_unless_it_may(benchmark, tmp_path):
    sweeps = benchmark("sweeps")
    words = ["--vocabulary=6", "--length=5", "--sentences=200", "--held-out=40", "--hidden=8", "--embedding=4"]
    words += ["--mle-rounds=2", "--mle-batches=3", "--mle-rate=1e38", "--steps=2", "--samples=20"]
    sweep = sweeps.trained("seqgan", words, [3], tmp_path / "x", 1, failing=True)
    [(seed, said)] = sweeps.failures(sweep, [3]).items()
    assert seed == 3
    assert "the first thing to try" in said
    with pytest.raises(SystemExit) as stopped:
        sweeps.trained("seqgan", words, [3], tmp_path / "x", 1)
    assert stopped.value.code == 1


def assert_alike(mine, its):
    """Nested states."""
    if isinstance(its, dict):
        assert mine.keys() == its.keys()
        for key in its:
            assert_alike(mine[key], its[key])
    elif isinstance(its, list | tuple):
        assert len(mine) == len(its)
        for one, other in zip(mine, its, strict=True):
            assert_alike(one, other)
    elif isinstance(its, torch.Tensor):
        assert torch.equal(mine, its)
    else:
        assert mine == its


# ---------------------------------------------------------------------------------------------- the price


def curve(had, paid):
    return {"nll_oracle": had, "nll_test": paid, "entropy": paid}


def test_a_price_is_paid_where_a_curve_comes_down_to_its_target(benchmark):
    price = benchmark("seqgan_temperature").price
    one = curve([5.0, 3.0, 2.0], [2.0, 3.0, 7.0])
    assert [price(one, target) for target in (4.0, 3.0, 2.5)] == [2.5, 3.0, 5.0]
    assert price(one, 5.0) is None  # it begins there: what it pays lies further up
    assert price(one, 6.0) is None
    assert price(one, 1.9) is None


def test_seeds_that_do_not_cross_a_target_are_counted(benchmark):
    seeds = [curve([5.0, 3.0], [2.0, 3.0]), curve([4.0, 2.0], [2.0, 4.0]), curve([1.0, 0.5], [2.0, 4.0])]
    told = benchmark("seqgan_temperature").prices("x", seeds, {"t": 3.0, "far": 0.0})
    assert told["x_price_at_t"]["per_seed"] == [3.0, 3.0]
    assert told["x_price_at_t_uncrossed"] == 1
    assert "x_price_at_far" not in told
    assert told["x_price_at_far_uncrossed"] == 3
    paid = benchmark("readme").paid
    told["x_price_at_t"] |= {"low": 3.0, "high": 3.0}
    assert paid(told, "x", "t") == "3.000 (3.000 – 3.000), 2 of 3 seeds"
    assert paid(told, "x", "far") == "not crossed"
    told["x_price_at_t_uncrossed"] = 0
    assert paid(told, "x", "t") == "3.000 (3.000 – 3.000)"


def test_a_band_holds_every_seeds_curve_where_all_come_by(benchmark):
    seeds = [curve([5.0, 3.0, 1.0], [2.0, 3.0, 4.0]), curve([4.0, 2.0, 1.5], [2.5, 3.5, 4.5])]
    at, paid = benchmark("seqgan_temperature").band(seeds)
    assert at.min() >= 1.5
    assert at.max() < 4.0
    assert len(at) > 150
    np.testing.assert_allclose(paid[0], 2 + (5 - at) / 2)


def test_every_method_has_a_look_of_its_own(benchmark, tmp_path):
    module = benchmark("seqgan_temperature")
    assert len({str(look) for look in module.LOOKS}) == len(module.LOOKS) >= len(module.METHODS)
    down = np.linspace(3.0, 1.0, len(module.SHARPNESS))
    curves = {
        name: [curve((down + k / 10).tolist(), (4 - down + k / 9).tolist()) for k in range(3)]
        for name in module.METHODS
    }
    figures = {"floor": 2.2} | {f"ngram{n}_nll_{of}": 3.0 + n / 10 for n in (2, 3, 4) for of in ("oracle", "test")}
    module.draw(curves, figures, 4.0, tmp_path / "x.json")
    assert (tmp_path / "x.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match="shorter"):
        module.draw({f"{k}": curves["mle"] for k in range(len(module.LOOKS) + 1)}, figures, 4.0, tmp_path / "y.json")


# ---------------------------------------------------------------------------------------------- the paper


def test_the_best_of_play_lies_in_play(benchmark):
    points = [
        {"round": r, "nll_oracle": n} for r, n in [(0, 9.9), (5, 9.0), (10, 9.1), (15, 8.0), (20, 8.9), (25, 8.95)]
    ]
    told = benchmark("seqgan_paper").of_run(points, mle_rounds=10, warm_rounds=5)
    assert {name: point["round"] for name, point in told.items()} == {
        "mle": 10,
        "mle_best": 5,
        "seqgan": 25,
        "seqgan_best": 20,
    }


def test_the_paper_is_reduced_as_it_says_and_gently_changed(benchmark):
    paper = benchmark("seqgan_paper")

    def config_of(words):
        return begin.parse_training("sweep", options.Sweep, "seqgan", [*words, "--seeds", "0", "--out", "x"]).config

    whole = seqgan.PRESETS["paper"].config
    assert config_of(paper.words(full=True)) == whole
    reduced, gentle = config_of(paper.words(full=False)), config_of(paper.words_of_gentle())
    for name, (value, _) in paper.REDUCED.items():
        assert getattr(reduced.schedule if hasattr(reduced.schedule, name) else reduced, name) == value
    for config in (reduced, gentle):
        assert config.schedule.steps - config.mle_rounds - config.warm_rounds == 100
        assert config.mle_rounds % config.schedule.evaluate_every == 0  # a sheet is kept where likelihood ends
        assert (config.d_epochs, config.warm_rounds) == (whole.d_epochs, whole.warm_rounds)
    assert (gentle.mle_rounds, gentle.anneal_mle, gentle.teacher, gentle.rate) == (10, True, 1, 3e-4)
    assert (gentle.baseline, gentle.standardise, gentle.d_rate) == ("value", True, reduced.d_rate)

    def d_steps(c):
        turns = c.warm_rounds + c.d_turns * (c.schedule.steps - c.mle_rounds - c.warm_rounds)
        return turns * c.d_epochs * c.d_sentences / c.d_batch

    told = paper.REDUCED["d_rate"][1]
    assert told == f"1e-4, for {d_steps(whole) / d_steps(reduced):.0f} times as many steps of D"


def test_a_generator_comes_back_from_the_sheet_of_its_round(benchmark, tmp_path, monkeypatch):
    paper = benchmark("seqgan_paper")
    config = seqgan.Config(
        seqgan.Schedule(steps=4, samples=30),
        "oracle",
        vocabulary=6,
        length=5,
        sentences=100,
        held_out=40,
        hidden=8,
        mle_rounds=1,
        mle_batches=2,
        warm_rounds=1,
        d_sentences=16,
    )
    algorithm, source, judge = seqgan.experiment(config, seed=0, device="cpu")
    source.reset(0)
    (tmp_path / "episodes").mkdir()
    expected = {}
    for done in range(3):
        judge(algorithm).episodes[0].save(tmp_path / "episodes" / f"{done:08d}-samples20.npz")
        expected[done] = [weight.detach().clone() for weight in algorithm.model.parameters()]
        algorithm.update(source.draw(algorithm))
    monkeypatch.setattr(paper.Job, "of", lambda run: SimpleNamespace(config=config))
    for done, weights in expected.items():
        model, corpus = paper.generator(SimpleNamespace(path=tmp_path), done)
        assert all(map(torch.equal, model.parameters(), weights))
        assert corpus is algorithm.corpus
    swept = paper.sharpened(model, corpus, 30)
    assert {len(values) for values in swept.values()} == {len(paper.SHARPNESS)}
    assert swept["nll_oracle"][-1] < swept["nll_oracle"][0]


@pytest.mark.parametrize("claim", ["seqgan_oracle50", "seqgan_paper", "seqgan_speed"])
def test_the_readme_has_a_place_for_every_figure(benchmark, claim):
    """Of a result in which every figure is the same."""
    numbers = ("ngram", "bigram", "floor", "replay", "round", "oracle50", "core")
    texts = ("best_adversarial_method", "lowest_adversarial_nll_oracle_method")

    class Figures(dict):
        def __missing__(self, key):
            if key in texts:
                return "x"
            if key == "failed":
                return {"soft_wgan": {"3": "update 7: loss/generator became nan"}}
            return 1.25 if key.startswith(numbers) or key.endswith("minutes") else one

        def get(self, key):
            return self[key]

    one = over_seeds(1.25, 1.25)
    uncrossed = {f"{name}_price_at_8.736_uncrossed": 0 for name in ("mle", "mle_stopped", "seqgan", "gentle")}
    result = {
        "figures": Figures(beat_maximum_likelihood=["x"], **uncrossed),
        "seeds": [0, 1],
        "protocol": {
            "jobs": ["mle", "x"],
            "samples": 10,
            "full": False,
            "gentle": ["sparring"],
            "reductions": {},
            "sizes": {"oracle50": (50, 32, 64)},
            "rounds": {"k": [1, 4], "t": [10, 20]},
            "batch": 64,
            "length": 20,
            "ways": 16,
        },
        "published": getattr(benchmark(claim), "PUBLISHED", {}),
    }
    lines = getattr(benchmark("readme"), claim)(result)
    assert sum(line.startswith("|") for line in lines) > 4
    if claim == "seqgan_oracle50":
        assert lines[-1] == "Without figures, for seeds of theirs failed: soft_wgan."
    if claim == "seqgan_paper":
        assert "| SeqGAN, its price | 8.736 | 1.250 (1.250 – 1.250) | |" in lines
        assert "| another run of it, its price | 8.736 | 12.10 | |" in lines


# ---------------------------------------------------------------------------------------------- gradients, speed


def test_v_is_the_best_that_its_features_allow(benchmark):
    """Its errors, weighted, are orthogonal to its features; and with it, a sentence is less noisy."""
    module = benchmark("seqgan_gradients")
    algorithm = module.made(module.METHODS["terminal_value"], 0)
    known = {row: worth for row, worth in module.expected(algorithm).items() if row[-1] == BLANK}
    assert len(known) == 1 + 3 + 9
    rows = torch.tensor(list(known))
    chance = torch.stack(
        [
            algorithm.model.log_probs(module.EVERY).sum(1).exp()[((row == BLANK) | (row == module.EVERY)).all(1)].sum()
            for row in rows
        ]
    ).detach()

    def left():
        features = algorithm.model.reader(rows).detach()
        errors = algorithm.model.value_head(features)[:, 0].detach() - torch.stack(list(known.values()))
        return (features * (chance * errors)[:, None]).sum(0).abs().max().item(), (chance * errors**2).sum().item()

    before = left()
    module.fit_value(algorithm)
    orthogonal, square = left()
    assert orthogonal < 1e-5 < before[0]
    assert square < 0.5 * before[1]


def test_both_ways_are_timed_on_the_same_sentences(benchmark):
    module = benchmark("seqgan_speed")
    told = module.generation("oracle50", batch=3, length=4, ways=2, turns=1)
    kinds = ("written", "rolled_out", "rolled_out_and_judged")
    ratios = ("speedup", "speedup_head_once")
    speeds = ("tokens_per_s", "again_tokens_per_s", "again_head_once_tokens_per_s")
    assert set(told) == {f"oracle50_{kind}_{key}" for kind in kinds for key in (*speeds, *ratios)}


def test_ways_of_writing_are_alike_up_to_the_edge_of_two_tokens(benchmark):
    check = benchmark("seqgan_speed").check_alike
    same = torch.zeros(100, 20)
    parted = same.clone()
    parted[0, 2:] = 1  # 2 of 3 tokens that can be compared
    check([same], [same])
    check([same], [parted])
    with pytest.raises(AssertionError, match=r"only 50.0% of the tokens are alike"):
        check([torch.tensor([[1, 2]])], [torch.tensor([[1, 3]])])
    with pytest.raises(AssertionError, match=r"only 75.0% of the tokens are alike"):
        check([torch.zeros(2, 3)], [torch.tensor([[0, 0, 0], [1, 0, 0]])])


def test_a_round_is_timed_whole(benchmark, monkeypatch):
    module = benchmark("seqgan_speed")
    seen = []
    for method in ("persuade", "tell_apart"):
        plain = getattr(seqgan.SeqGAN, method)
        monkeypatch.setattr(
            seqgan.SeqGAN, method, lambda self, taken, m=method, p=plain: seen.append(m) or p(self, taken)
        )
    config = seqgan.Config(
        seqgan.Schedule(steps=1),
        "oracle",
        vocabulary=5,
        length=3,
        sentences=50,
        held_out=5,
        mle_rounds=0,
        warm_rounds=0,
        batch=4,
        d_sentences=8,
    )
    told = module.rounds(config, turns=2)
    assert seen == ["persuade", "tell_apart"] * 3
    assert 0 < told["drawing_s"] < told["round_s"]
