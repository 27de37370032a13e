"""Many games of Go at once: `GoVectorEnv`, where each step is a move of whoever is to move in each game.

Observations are uint8 planes from the side to move (`kernels.planes`), and `info["action_mask"]` is exact, superko
included. A game that ends begins anew in the same step; `info["final_obs"]` then holds what it ended on. Two passes
terminate a game, the cap on its length truncates it; both are scored.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from sparring.envs.errors import BadInputError, check_ranges
from sparring.envs.go import kernels, table
from sparring.envs.go.rules import Rules, chosen
from sparring.envs.worlds import Array


class GoVectorEnv(VectorEnv[Array, Array, Array]):
    """B games side by side; both colours are played by whoever steps it."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}  # noqa: RUF012 - as Gymnasium has it

    def __init__(
        self,
        num_envs: int,
        size: int | tuple[int, int] | None = None,
        rules: str | Rules = "tromp-taylor",
        komi: float | None = None,
        observe: bool = True,
    ) -> None:
        """Size, rules and komi are `world.GoEnv`'s; `observe` False leaves the planes out: observations are then empty.

        Raises:
            UnknownNameError: there are no such rules.
            BadInputError: there is no game, or the size or komi cannot be.
        """
        self.num_envs = num_envs
        check_ranges(self, num_envs=(1, 2**31))
        self.rules = chosen(rules, size, komi)
        self.observe = observe
        area = self.rules.area
        planes = (kernels.PLANES, self.rules.height, self.rules.width) if observe else (0,)
        self.single_observation_space = Box(0, 255, planes, np.uint8)
        self.single_action_space = Discrete(area + 1)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = MultiDiscrete(np.full(num_envs, area + 1))
        self.table = table.lay(self.rules, num_envs)
        self.legal = np.zeros((num_envs, area + 1), np.uint8)
        self.margins = np.zeros(num_envs, np.float32)
        self.over = np.zeros(num_envs, np.uint8)
        self.planes = np.zeros((num_envs, kernels.PLANES, area), np.uint8)
        kernels.mask_all(*self.table, self.legal)

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Begin all games anew. Go has no dice, so `seed` decides nothing; Gymnasium wants it taken."""
        super().reset(seed=seed if isinstance(seed, int) else None, options=options)
        self.table = table.lay(self.rules, self.num_envs)
        kernels.mask_all(*self.table, self.legal)
        return self._seen(), {"action_mask": self.legal.copy()}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """A move in every game [B]: row · W + column, or H · W for a pass.

        Returns:
            Planes [B, 10, H, W], rewards [B] of those who moved (1 won, −1 lost, 0 drawn or not over), games that two
            passes ended [B], games that the cap ended [B], and `action_mask` [B, H · W + 1], `to_move` [B], `margin`
            [B] (black's points less white's and komi, where a game is over), `final_obs` where one is.

        Raises:
            BadInputError: a move is not legal; nothing is played.
        """
        actions = np.asarray(actions)
        self._check(actions)
        movers = self.table.u[:, int(kernels.MOVER)].copy()
        komi = np.float64(self.rules.komi)
        kernels.step_all(*self.table, actions.astype(np.uint16), komi, self.legal, self.margins, self.over)
        ended = self.over != 0
        info: dict[str, Any] = {"margin": self.margins.copy()}
        if ended.any():
            info |= {"final_obs": self._seen(), "_final_obs": ended}
            kernels.renew(*self.table, self.legal)
        rewards = np.sign(self.margins) * np.where(movers == kernels.BLACK, 1, -1)
        info |= {"action_mask": self.legal.copy(), "to_move": self.table.u[:, int(kernels.MOVER)].copy()}
        return self._seen(), rewards.astype(np.float64), self.over == 1, self.over == 2, info

    def action_masks(self) -> Array:
        """Which actions are legal now [B, H · W + 1] bool, as sb3-contrib asks for it."""
        return self.legal.astype(bool)

    def _check(self, actions: Array) -> None:
        if actions.shape != (self.num_envs,):
            raise BadInputError(f"actions have shape {actions.shape}; there are {self.num_envs} games")
        area = self.rules.area
        outside = (actions < 0) | (actions > area)
        wrong = outside if outside.any() else self.legal[np.arange(self.num_envs), actions] == 0
        if wrong.any():
            game = int(np.argmax(wrong))
            why = f"it must lie between 0 and {area}" if outside.any() else "its action_mask is 0 there"
            raise BadInputError(f"action {actions[game]} in game {game} is not legal: {why}")

    def _seen(self) -> Array:
        if not self.observe:
            return np.zeros((self.num_envs, 0), np.uint8)
        t, komi = self.table, np.float64(self.rules.komi)
        kernels.planes_all(t.u, t.i, t.geometry, t.shape, self.legal, komi, self.planes)
        return self.planes.reshape(-1, *self.single_observation_space.shape).copy()  # type: ignore[misc]
