"""Many games of Go at once: `GoVectorEnv`, where each step is a move of whoever is to move in each game.

Observations are uint8 planes from the side to move (`kernels.planes`), and `info["action_mask"]` is exact, superko
included. A game that ends begins anew in the same step; `info["final_obs"]` then holds what it ended on. Two passes
terminate a game, the cap on its length truncates it; both are scored.
"""

from __future__ import annotations

from typing import Any, NoReturn

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
        opponent: str = "none",
    ) -> None:
        """Lay the boards.

        Args:
            num_envs: games.
            size: as for `world.GoEnv`, and so are rules and komi.
            rules: see there.
            komi: see there.
            observe: False leaves the planes out; observations are then empty.
            opponent: nobody; whoever steps the games plays both colours.

        Raises:
            UnknownNameError: there are no such rules.
            BadInputError: there is no game, the size or komi cannot be, or an opponent is asked for.
        """
        if opponent != "none":
            raise BadInputError(
                f"opponent is {opponent!r}; many games at once are played with both colours in one hand. Step a "
                "gym.make_vec(…, vectorization_mode='sync') of single worlds to meet somebody in each"
            )
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
        self.wanted = num_envs if observe else 0  # rows of planes
        self.last = self._planes()  # of games that have ended in this step

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Begin all games anew. Go has no dice, so `seed` decides nothing; Gymnasium wants it taken."""
        super().reset(seed=seed if isinstance(seed, int) else None, options=options)
        t, planes = self.table, self._planes()
        kernels.renew(t.u, t.i, t.k, t.geometry, t.shape)
        kernels.mask_all(*t, self.legal)
        if self.observe:
            kernels.planes_all(t.u, t.i, t.geometry, t.shape, self.legal, np.float64(self.rules.komi), planes)
        to_move = t.u[:, int(kernels.MOVER)].astype(np.uint8)
        return self._shaped(planes), {"action_mask": self.legal.copy(), "to_move": to_move}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """A move in every game [B]: row · W + column, or H · W for a pass.

        Returns:
            Planes [B, 10, H, W], rewards [B] of those who moved (1 won, −1 lost, 0 drawn or not over), games that two
            passes ended [B], games that the cap ended [B], and `action_mask` [B, H · W + 1], `to_move` [B], `margin`
            [B] (black's points less white's and komi, where a game is over), `final_obs` where one is.

        Raises:
            BadInputError: a move is not legal; nothing is played.
        """
        actions = self._numbers(np.asarray(actions))
        count, planes = self.num_envs, self._planes()
        margins, rewards, movers = np.empty(count, np.float32), np.empty(count), np.empty(count, np.uint8)
        terminated, truncated = np.empty((2, count), bool)
        ended, wrong = kernels.step_all(
            *self.table,
            actions,
            np.float64(self.rules.komi),
            self.legal,
            margins,
            rewards,
            terminated,
            truncated,
            movers,
            planes,
            self.last,
        )
        if wrong >= 0:
            self._refuse(int(wrong), int(actions[wrong]))
        info: dict[str, Any] = {"action_mask": self.legal.copy(), "to_move": movers, "margin": margins}
        if ended:
            over, last = terminated | truncated, self._planes()
            last[over[: self.wanted]] = self.last[over[: self.wanted]]
            info |= {"final_obs": self._shaped(last), "_final_obs": over}
        return self._shaped(planes), rewards, terminated, truncated, info

    def action_masks(self) -> Array:
        """Which actions are legal now [B, H · W + 1] bool, as sb3-contrib asks for it."""
        return self.legal.astype(bool)

    def _numbers(self, actions: Array) -> Array:
        """The actions as kernels take them."""
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            told = f"{actions.dtype}{list(actions.shape)}"
            raise BadInputError(f"actions are {told}; there are {self.num_envs} games, and each takes a whole number")
        return actions.astype(np.int64)

    def _refuse(self, game: int, action: int) -> NoReturn:
        area = self.rules.area
        why = "its action_mask is 0 there" if 0 <= action <= area else f"it must lie between 0 and {area}"
        raise BadInputError(f"action {action} in game {game} is not legal: {why}")

    def _planes(self) -> Array:
        return np.empty((self.wanted, kernels.PLANES * self.rules.area), np.uint8)

    def _shaped(self, planes: Array) -> Array:
        return planes.reshape(self.num_envs, *self.single_observation_space.shape)  # type: ignore[misc]
