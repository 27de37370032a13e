"""Go for two agents by turns: PettingZoo's AEC interface, `black_0` and `white_0`.

An agent's observation is {"observation": planes [10, H, W] uint8, "action_mask": [H · W + 1] int8}, from its own side
whoever is to move; its mask is empty while the other thinks. Rewards come at the end, 1 and −1, or 0 for a draw.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from pettingzoo import AECEnv
from pettingzoo.utils.agent_selector import AgentSelector

from sparring.envs.errors import BadInputError
from sparring.envs.go import kernels, picture
from sparring.envs.go.board import BLACK, Board, handicap
from sparring.envs.go.rules import Rules, chosen
from sparring.envs.worlds import Array

AGENTS = ("black_0", "white_0")


class GoAEC(AECEnv):  # type: ignore[misc]
    """One game between two agents."""

    metadata: ClassVar[dict[str, Any]] = {
        "name": "sparring_go_v0",
        "render_modes": ["ansi", "rgb_array"],
        "is_parallelizable": False,
        "render_fps": 2,
    }

    def __init__(
        self,
        size: int | tuple[int, int] | None = None,
        rules: str | Rules = "tromp-taylor",
        komi: float | None = None,
        render_mode: str | None = None,
    ) -> None:
        """As `world.GoEnv`.

        Raises:
            UnknownNameError: there are no such rules.
            BadInputError: the size, komi or mode cannot be.
        """
        super().__init__()
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise BadInputError(f"render_mode is {render_mode!r}; it can be {', '.join(self.metadata['render_modes'])}")
        self.rules = chosen(rules, size, komi)
        self.render_mode = render_mode
        self.possible_agents = list(AGENTS)
        area = self.rules.area
        planes = Box(0, 255, (kernels.PLANES, self.rules.height, self.rules.width), np.uint8)
        seen = Dict({"observation": planes, "action_mask": Box(0, 1, (area + 1,), np.int8)})
        self.observation_spaces = dict.fromkeys(AGENTS, seen)
        self.action_spaces = {agent: Discrete(area + 1) for agent in AGENTS}
        self.reset()

    def observation_space(self, agent: str) -> Any:
        """Of planes and mask."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Any:
        """row · W + column, or H · W for a pass."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """An empty board, or one with the "handicap" and "moves" of `options`; Go has no dice.

        Raises:
            BadInputError: a move or stone is not legal.
        """
        told = options or {}
        self.board = Board(self.rules, told.get("moves", ()), handicap(told.get("handicap", ())))
        self.agents = list(AGENTS)
        self.rewards = dict.fromkeys(AGENTS, 0.0)
        self._cumulative_rewards = dict.fromkeys(AGENTS, 0.0)
        self.terminations = dict.fromkeys(AGENTS, False)
        self.truncations = dict.fromkeys(AGENTS, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in AGENTS}
        self.turns = AgentSelector(self.agents)
        self.agent_selection = self.turns.next()
        if self.board.to_move != BLACK:
            self.agent_selection = self.turns.next()

    def observe(self, agent: str) -> dict[str, Array]:
        """What `agent` sees, whoever is to move."""
        mine = (agent == AGENTS[0]) == (self.board.to_move == BLACK)
        mask = self.board.legal() if mine else np.zeros(self.rules.area + 1, bool)
        return {"observation": self.board.planes(mine=mine), "action_mask": mask.astype(np.int8)}

    def step(self, action: int | None) -> None:
        """The move of the agent whose turn it is.

        Raises:
            BadInputError: it is not legal; nothing is played.
        """
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        if action is None:
            raise BadInputError(f"{agent} is to move, and None is a move only of who has no game any more")
        self.board.play(int(action))
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()
        if self.board.over:
            sign = float(np.sign(self.board.margin()))
            self.rewards = {AGENTS[0]: sign, AGENTS[1]: -sign}
            ended = self.terminations if self.board.over == "passes" else self.truncations
            ended.update(dict.fromkeys(AGENTS, True))
        self.agent_selection = self.turns.next()
        self._accumulate_rewards()

    def render(self) -> Any:
        """Text or a picture."""
        return picture.pixels(self.board) if self.render_mode == "rgb_array" else str(self.board)

    def close(self) -> None:
        """Nothing to close."""
