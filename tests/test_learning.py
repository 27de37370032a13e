"""Whoever learns must learn what is known: the probes' values in closed form, and, slowly, to balance a pole, to find
every mode of a mixture, to draw digits.
"""

import dataclasses
from time import perf_counter

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

from sparring.adversarial import data, gan, sheets
from sparring.adversarial.play import Schedule as Rounds
from sparring.agents.evaluate import interval
from sparring.agents.protocol import Schedule
from sparring.envs.probes import PROBES
from sparring.envs.worlds import World
from sparring.runners import catalog
from sparring.runners.folder import RunFolder
from sparring.runners.job import Job
from sparring.runners.tracker import Silent
from sparring.runners.train import train

pytestmark = pytest.mark.usefixtures("one_thread")

γ = 0.5  # so low that a forgotten discount, or a value that leaks over the end of a game, is far off
UPDATES = 100


LEARNERS = {
    "reinforce": {"advantage": "value"},
    "a2c": {"learning_rate": 0.5, "anneal": True},
    "ppo": {"epochs": 2, "minibatches": 2, "clip": 0.2},
    "impala": {"minibatches": 2},
}


def taught(name, env):
    """A learner after 100 updates on a small world."""
    algorithm, horizon, count = catalog.load(name), 8, 16
    schedule, world = Schedule(UPDATES * horizon * count), World(env, "gymnasium", count)
    options = {"horizon": horizon, "learning_rate": 1e-2, "gamma": γ, "entropy_weight": 0.0} | LEARNERS[name]
    learner, source, _ = algorithm.experiment(algorithm.Config(schedule, world, **options), seed=1, device="cpu")
    source.reset(seed=1)
    for _ in range(UPDATES):
        learner.update(source.draw(learner))
    return learner


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.id.removeprefix("sparring/"))
@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_solves_every_probe(name, probe):
    learner = taught(name, probe.id)
    with torch.no_grad():
        shown = np.array([[obs] for obs in probe.values(γ)], np.float32)
        distribution, values = learner.network(torch.from_numpy(shown))
        chances = dict(zip(probe.values(γ), torch.softmax(distribution.logits, 1).tolist(), strict=True))
    found = dict(zip(probe.values(γ), values.tolist(), strict=True))
    assert found == pytest.approx(dict(probe.values(γ)), abs=0.02)
    assert {obs: round(chances[obs][action], 1) for obs, action in probe.actions.items()} == dict.fromkeys(
        probe.actions, 1.0
    )


class Again(gymnasium.Env):
    """Every step pays 1, and nothing ever changes; where it `ends`, it does so after one step."""

    metadata = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own convention
    observation_space = Box(-1, 1, (1,), np.float32)
    action_space = Discrete(2)

    def __init__(self, ends, render_mode=None):
        self.ends, self.render_mode = ends, render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 1.0, self.ends, False, {}


for name, ends in (("Over", True), ("TimeUp", False)):
    gymnasium.register(f"learning/{name}-v0", Again, kwargs={"ends": ends}, max_episode_steps=1)


@pytest.mark.parametrize(("env", "value"), [("learning/Over-v0", 1.0), ("learning/TimeUp-v0", 1 / (1 - γ))])
@pytest.mark.parametrize("name", LEARNERS)
def test_a_game_of_one_step_is_worth_its_reward_where_it_ends_and_a_whole_future_where_time_is_up(name, env, value):
    _, found = taught(name, env).network(torch.zeros(1, 1))
    assert found.tolist() == pytest.approx([value], abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", [*LEARNERS, "sb3-ppo"])
def test_the_cartpole_preset_balances_the_pole(name, seed, capsys):
    algorithm = catalog.load(name)
    config = algorithm.PRESETS["cartpole"].config
    learner, source, evaluate = algorithm.experiment(config, seed=seed, device="cpu")
    start, updates = perf_counter(), -(-config.schedule.steps // source.steps_per_draw)
    for update in range(updates):
        if update % config.schedule.save_every == 0:  # as the runner does at every save
            source.reset(int(np.random.SeedSequence([seed, update]).generate_state(1)[0] >> 2))
        learner.update(source.draw(learner))
    seconds, evaluation = perf_counter() - start, evaluate(learner)
    low, high = interval(evaluation.scores)
    with capsys.disabled():
        print(f"\n{name} seed {seed}: {evaluation.metrics['score']:.1f} [{low:.1f}, {high:.1f}] after {seconds:.0f} s")
    assert evaluation.metrics["score"] >= 475  # at which Gymnasium calls CartPole-v1 solved


# ---------------------------------------------------------------------------------------------- generators


def judged(preset, seed, folder, schedule=None):
    """What a GAN's preset is found to be at its end, under the runner; `schedule` instead of its own."""
    config = gan.PRESETS[preset].config
    job = Job("gan", seed, config if schedule is None else dataclasses.replace(config, schedule=schedule), "cpu", 1)
    experiment = job.build()
    return train(
        experiment, job.run(experiment.source.steps_per_draw), Silent(), RunFolder.create(folder, job.record())
    )


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "modes", "reverse_kl"), [("ring8", 8, 0.02), ("grid25", 25, 0.04)])
def test_every_mode_of_a_mixture_is_found(preset, modes, reverse_kl, tmp_path):
    found = judged(preset, 1, tmp_path / "run").metrics
    assert (found["modes"], found["modes_1pct"]) == (modes, modes)
    assert found["high_quality"] >= 0.95
    assert found["reverse_kl"] <= reverse_kl
    assert found["believed_real"] == pytest.approx(0.5, abs=0.05)
    assert found["value"] == pytest.approx(-np.log(4), abs=0.1)


@pytest.mark.slow
def test_digits_are_drawn_better_than_by_thirty_gaussians_and_not_from_memory(tmp_path):
    found = judged("digits", 1, tmp_path / "run").metrics
    assert found["fid"] < found["fid_mixture"]
    assert found["memorisation_real_low"] <= found["memorisation"] <= found["memorisation_real_high"]


@pytest.mark.slow
def test_the_digit_that_is_asked_for_is_drawn(tmp_path):
    assert judged("digits-by-class", 1, tmp_path / "run").metrics["asked_class"] >= 0.97


@pytest.mark.slow
def test_the_lectures_gan_sits_on_one_mode_then_on_another_and_its_gap_stays_wide(tmp_path):
    rounds = Rounds(steps=4_000, evaluate_every=10, rounds=100)
    judged("lecture-collapse", 1, tmp_path / "run", rounds)
    sat, gaps = [], []
    for path in RunFolder(tmp_path / "run").episodes[1:]:
        sheet = sheets.load(path)
        nearest = torch.cdist(torch.from_numpy(sheet.samples), data.ring().modes).argmin(1)
        shares = torch.bincount(nearest, minlength=8) / len(nearest)
        sat.append(int(shares.argmax()))
        assert shares.topk(2).values.sum() > 0.9  # it may be on its way
        gaps.append(sheet.metrics["gap_at_least"])
    assert len(set(sat)) > 1
    assert min(gaps) > 0.3
