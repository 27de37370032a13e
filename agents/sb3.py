"""Stable-Baselines3 under our runner (Raffin et al. 2021, JMLR 22, 268): what sb3_ppo, sb3_a2c and sb3_dqn share.

SB3 keeps its networks, its losses and both halves of its loop:

    collect_rollouts    play in the worlds with the present policy, into SB3's own buffer
    train               learn from that buffer

A draw is a stream of such turns and an update trains after each, so the weights are those of SB3's own `learn`, to the
bit. Worlds, schedule, metrics, evaluation and checkpoints are ours. Where the two houses differ:

* SB3 takes a `VecEnv`, whose games only know `done`: `Worlds` makes one of a vector of worlds. It steps all of them at
  once, while `ppo` thinks about one half as the other moves.
* SB3 draws from the global generators of Python, NumPy and torch: `Generators` lends them states of its own, which a
  checkpoint keeps. (SB3's own checkpoints hold none, so its resumed runs differ from uninterrupted ones.)
* SB3 computes in fp32, and weighs the mean square of the value's error where `ppo` weighs half of it.

This module is imported only to train or to judge: SB3 takes a second, which neither help nor other algorithms need.
"""

from __future__ import annotations

import random
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from math import isnan
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, Space
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecEnv

from sparring.agents.evaluate import judge
from sparring.agents.networks import SMALLEST_IMAGE, SpaceError
from sparring.agents.protocol import Experiment, Stateful
from sparring.envs import worlds as door
from sparring.envs.errors import DivergedError
from sparring.envs.rollouts import Actor, Acts, Metrics, Report, Rollouts
from sparring.envs.worlds import Array

Model = TypeVar("Model", bound=BaseAlgorithm)
Stream = Iterator[None]
"""a batch: each item says that SB3 has played its half of a turn and may train"""

NAMES = {  # SB3's name of a metric → ours and its unit in ours; all others keep SB3's name
    "train/policy_gradient_loss": ("loss/policy", 1.0),
    "train/policy_loss": ("loss/policy", 1.0),
    "train/value_loss": ("loss/value", 0.5),
    "train/entropy_loss": ("policy/entropy", -1.0),
    "train/clip_fraction": ("policy/clipped", 1.0),
}


# ---------------------------------------------------------------------------------------------- the worlds


class Worlds(VecEnv):
    """A vector of our worlds as a VecEnv: `done` where a return ends or a game is cut.

    A lost life is `done` too, but has no terminal observation: its game goes on in the observation itself. What a
    whole game earned, unclipped, is told at its end as by SB3's `Monitor`, which is why this claims to be wrapped in
    one.
    """

    def __init__(self, rollouts: Rollouts[Any], *, clip_reward: bool) -> None:
        self.rollouts = rollouts
        self.clip_reward = clip_reward
        super().__init__(rollouts.worlds, rollouts.observation_space, rollouts.action_space)

    def reset(self) -> Array:
        """Start all games anew, from the seed told before or else from one that follows from the last."""
        seed = self._seeds[0]
        if seed is None:
            seed = int(np.random.SeedSequence(self.rollouts.seed).generate_state(1)[0] >> 2)
        self.rollouts.reset(seed)
        self._reset_seeds()
        obs: Array = self.rollouts.obs
        return obs

    def step_async(self, actions: Array) -> None:
        """Take the actions [N]."""
        self.actions = actions

    def step_wait(self) -> tuple[Array, Array, Array, list[dict[str, Any]]]:
        """Play them: observations, rewards as the learner sees them, dones, infos."""
        rewards, terminated, truncated, _, final_obs = self.rollouts.step(self.actions)
        done = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        games = self.rollouts.finished
        for (n, last), (score, length) in zip(final_obs.items(), games[len(games) - len(final_obs) :], strict=True):
            infos[n] = {
                "terminal_observation": last,
                "TimeLimit.truncated": bool(truncated[n]),
                "episode": {"r": score, "l": length, "t": 0.0},
            }
        seen = np.sign(rewards) if self.clip_reward else rewards
        return self.rollouts.obs, seen.astype(np.float32), done, infos

    def close(self) -> None:
        """Close the worlds."""
        for group in self.rollouts.groups:
            group.worlds.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the vector, once for each world."""
        return [getattr(self.rollouts.groups[0].worlds, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Worlds of a vector are not changed one by one."""
        raise NotImplementedError(f"{attr_name} cannot be set: the worlds of a vector are not changed one by one")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Worlds of a vector are not called one by one."""
        raise NotImplementedError(f"{method_name} cannot be called: the worlds of a vector are not called one by one")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Whether infos tell what that wrapper would tell."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]


# ---------------------------------------------------------------------------------------------- chance


class Generators:
    """States of the global generators: lent to whoever draws from them inside `with`, and taken back after it."""

    def __init__(self, seed: int, device: str) -> None:
        self.device = torch.device(device)
        self.own = self._present()
        with self:
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002 - SB3 draws from this one
            torch.default_generator.manual_seed(seed)
            if self.device.type == "cuda":
                torch.cuda.manual_seed(seed)

    def __enter__(self) -> Generators:
        """Lend."""
        self.others = self._present()
        self._put(self.own)
        return self

    def __exit__(self, *_: object) -> None:
        """Take back."""
        self.own = self._present()
        self._put(self.others)

    def state_dict(self) -> dict[str, Any]:
        """The states; NumPy's words as a tensor."""
        twister = self.own["numpy"]
        words = torch.from_numpy(twister["state"]["key"].copy())
        return {**self.own, "numpy": {**twister, "state": {**twister["state"], "key": words}}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from saved states; a GPU that the run did not have before goes on from its seed."""
        twister = state["numpy"]
        words = twister["state"]["key"].numpy().copy()
        self.own |= {**state, "numpy": {**twister, "state": {**twister["state"], "key": words}}}

    def _present(self) -> dict[str, Any]:
        states = {
            "python": random.getstate(),
            "numpy": np.random.get_state(legacy=False),  # noqa: NPY002 - SB3 draws from this one
            "torch": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        return states

    def _put(self, states: Mapping[str, Any]) -> None:
        random.setstate(states["python"])
        np.random.set_state(states["numpy"])  # noqa: NPY002 - SB3 draws from this one
        torch.set_rng_state(states["torch"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"], self.device)


class Player:
    """The present policy with dice of its own, as SB3's `predict` plays it."""

    def __init__(self, model: BaseAlgorithm, seed: int) -> None:
        self.policy = model.policy
        self.random = Generators(seed, str(model.device))

    def act(self, obs: Array, *, greedy: bool = False) -> Acts[tuple[()]]:
        """Observations [N, *obs] → actions [N, …]."""
        with self.random:
            return Acts(self.policy.predict(obs, deterministic=greedy)[0], ())


# ---------------------------------------------------------------------------------------------- turns of the loop


class Turns:
    """A Source: `turns` turns of SB3's loop a draw, each played when the learner asks for it."""

    begins_anew = True

    def __init__(
        self,
        model: BaseAlgorithm,
        rollouts: Rollouts[Any],
        play: Callable[[BaseCallback], None],
        *,
        turns: int,
        steps: int,
    ) -> None:
        """`play` is one half turn, told SB3's callback; over `steps` steps in all SB3's schedules run out."""
        self.model = model
        self.rollouts = rollouts
        self.play = play
        self.turns = turns
        self.steps = steps
        self.steps_per_draw = rollouts.steps_per_draw
        assert model.env is not None
        self.worlds = model.env  # ours, or SB3's wrapper around them that puts an image's channels first
        self.seconds: dict[str, float] = {}

    def reset(self, seed: int) -> None:
        """Start all games anew, as SB3 does at the start of `learn`; its counters go on."""
        self.worlds.seed(seed)
        self.model._last_obs = None
        left = self.steps - self.model.num_timesteps
        _, self.callback = self.model._setup_learn(left, reset_num_timesteps=False)
        self.model._last_episode_starts = np.ones(self.worlds.num_envs, bool)

    def draw(self, algorithm: Any) -> Stream:
        """A stream of turns; nothing is played before it is asked for.

        Raises:
            RuntimeError: the source was never reset.
        """
        if self.rollouts.seed is None:
            raise RuntimeError("reset(seed) the source before drawing from it")
        self.rollouts.forget()
        self.seconds = {"drawing": 0.0, "learning": 0.0}
        return self._stream()

    def _stream(self) -> Stream:
        for _ in range(self.turns):
            start = perf_counter()
            self.play(self.callback)
            played = perf_counter()
            yield
            self.seconds["drawing"] += played - start
            self.seconds["learning"] += perf_counter() - played

    def report(self) -> Report:
        """The games that ended during the last draw, and where the time of its turns went."""
        metrics, seconds = self.rollouts.report()
        acting = max(self.seconds["drawing"] - seconds["emulating"], 0.0)
        return Report(metrics, {**self.seconds, **seconds, "acting": acting})

    def state_dict(self) -> dict[str, Any]:
        """The seed and the actions since."""
        return self.rollouts.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Play the actions again, so that the worlds stand where they stood.

        Raises:
            BadInputError: they do not repeat themselves.
        """
        self.reset(state["seed"])
        for actions in state["log"]:
            obs, _, done, _ = self.worlds.step(np.array(actions, self.rollouts.action_space.dtype))
            self.model._last_obs, self.model._last_episode_starts = obs, done  # type: ignore[assignment]
        self.rollouts.prove(state)


class Progress:
    """How far SB3 has counted, and the dice with which it explores."""

    COUNTED = ("num_timesteps", "_n_updates", "_episode_num", "_n_calls", "exploration_rate")

    def __init__(self, model: BaseAlgorithm) -> None:
        self.model = model

    def state_dict(self) -> dict[str, Any]:
        """What SB3 counts, as far as this algorithm has it."""
        counted = {name: getattr(self.model, name) for name in self.COUNTED if hasattr(self.model, name)}
        return {**counted, "explorer": self.model.action_space.np_random.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Count on."""
        for name in self.COUNTED:
            if name in state:
                setattr(self.model, name, state[name])
        self.model.action_space.np_random.bit_generator.state = state["explorer"]


class Learner:
    """An Algorithm: one of SB3's, trained after each turn of a batch."""

    def __init__(
        self,
        model: BaseAlgorithm,
        train: Callable[[], None],
        generators: Generators,
        player: Callable[[int], Actor[Any]],
    ) -> None:
        """`player` is the present policy with dice from a seed."""
        self.model = model
        self.train = train
        self.generators = generators
        self.player = player

    def update(self, batch: Stream) -> Metrics:
        """Play and train, turn by turn; metrics are means over the turns.

        Raises:
            DivergedError: the network computes no numbers any more.
        """
        try:
            with self.generators:
                said = self._turns(batch)
        except (ValueError, RuntimeError) as error:
            if all(weight.isfinite().all() for weight in self.model.policy.parameters()):
                raise
            raise DivergedError(f"the weights became nan or inf ({str(error).splitlines()[0]})") from None
        return renamed({name: sum(values) / len(values) for name, values in said.items()})

    def _turns(self, batch: Stream) -> dict[str, list[float]]:
        """What SB3 says in each turn."""
        said: dict[str, list[float]] = defaultdict(list)
        logger = self.model.logger
        for _ in batch:
            self.train()
            for name, value in logger.name_to_value.items():
                said[name].append(float(value))
            logger.dump()  # to nobody; it begins a new report
        return said

    def parts(self) -> Mapping[str, Stateful]:
        """What must survive a crash."""
        return {
            "policy": self.model.policy,
            "optimiser": self.model.policy.optimizer,
            "progress": Progress(self.model),
            "generators": self.generators,
        }


def renamed(said: Mapping[str, float]) -> dict[str, float]:
    """SB3's metrics under our names, where they mean the same; its count of updates is our own."""
    metrics = {}
    for name, value in said.items():
        ours, unit = NAMES.get(name, (name, 1.0))
        metrics[ours] = unit * value
    metrics.pop("train/n_updates", None)
    if isnan(metrics.get("train/explained_variance", 0.0)):  # equal returns have no variance to explain
        del metrics["train/explained_variance"]
    return metrics


# ---------------------------------------------------------------------------------------------- an experiment


class Built(NamedTuple):
    """One of SB3's algorithms with its worlds, and what else an Experiment of it needs."""

    model: Any  # BaseAlgorithm
    rollouts: Rollouts[Any]
    generators: Generators
    steps: int  # of the whole run, in whole updates


def build(
    make: Callable[[str, Worlds], BaseAlgorithm], config: Any, *, seed: int, device: str, boxes: bool = True
) -> Built:
    """What `make` makes of SB3's policy name and our worlds; everything random in it follows from `seed`.

    Raises:
        SpaceError: SB3's algorithm cannot handle the world's spaces (`boxes`: it can handle actions in a Box).
        BadInputError: the world does not open.
    """
    rollouts: Rollouts[Any] = Rollouts([door.build(config.world, training=True)], config.horizon)
    worlds = Worlds(rollouts, clip_reward=door.protocol_of(config.world).clip_reward)
    check_actions(worlds.action_space, boxes=boxes)
    policy = policy_name(config.network, worlds.observation_space)
    dice_seed = int(np.random.SeedSequence(seed).generate_state(1)[0])
    generators = Generators(dice_seed, device)
    worlds.action_space.seed(dice_seed)
    with generators, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are trying to run .* on the GPU")  # --device said so
        warnings.filterwarnings("ignore", message="Treating image space as channels-last")  # a board's planes are none
        model = make(policy, worlds)
    model.set_logger(Logger(folder=None, output_formats=[]))
    updates = -(-config.schedule.steps // rollouts.steps_per_draw)
    return Built(model, rollouts, generators, updates * rollouts.steps_per_draw)


def check_actions(actions: Space[Any], *, boxes: bool) -> None:
    """Make sure that SB3 and our evaluation can handle the actions.

    Raises:
        SpaceError: they cannot.
    """
    if isinstance(actions, Discrete) and actions.start == 0:
        return
    if boxes and isinstance(actions, Box) and actions.is_bounded():
        return
    instead = " or a Box with finite bounds" if boxes else "; sb3-ppo and sb3-a2c handle a Box with finite bounds too"
    raise SpaceError(f"the actions are {actions}; this algorithm handles Discrete(n) counted from 0{instead}")


def policy_name(network: str, observations: Space[Any]) -> str:
    """SB3's name of the policy that has that network; `auto` takes the Nature network for images.

    Raises:
        SpaceError: the Nature network was asked for what is no image.
    """
    shape = observations.shape or ()
    fits = is_image_space(observations) and sorted(shape)[1] >= SMALLEST_IMAGE  # channels are the smallest side
    if network == "nature" and not fits:
        need = f"uint8 images with sides of at least {SMALLEST_IMAGE}"
        raise SpaceError(f"the observations are {observations}; the network 'nature' handles {need}; try 'mlp'")
    return "MlpPolicy" if network == "mlp" or not fits else "CnnPolicy"


def falling(start: float, *, anneal: bool) -> float | Callable[[float], float]:
    """SB3's schedule that falls linearly to 0 with the progress that remains, or its constant."""
    return (lambda remaining: start * remaining) if anneal else start


def on_policy(make: Callable[[str, Worlds], OnPolicyAlgorithm], config: Any, *, seed: int, device: str) -> Experiment:
    """One of SB3's actor-critics on a vector of worlds.

    Raises:
        SpaceError: it cannot handle the world's spaces.
        BadInputError: the world does not open.
    """
    model, rollouts, generators, steps = build(make, config, seed=seed, device=device)

    def play(callback: BaseCallback) -> None:
        model.collect_rollouts(model.env, callback, model.rollout_buffer, n_rollout_steps=model.n_steps)
        model._update_current_progress_remaining(model.num_timesteps, steps)

    learner = Learner(model, model.train, generators, lambda dice: Player(model, dice))
    source = Turns(model, rollouts, play, turns=1, steps=steps)
    return Experiment(learner, source, judge(config.world, games=config.schedule.games, seed=seed))
