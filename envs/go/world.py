"""`sparring/Go-v0`: a game of Go as a Gymnasium world, against an opponent or with both colours in one hand.

Observations are the planes of `kernels.planes`, from the side to move; `info["action_mask"]` and `action_masks()` say
what is legal, repetition included. The reward comes at the end: 1 for a game won, −1 for one lost, 0 for a draw, always
in the eyes of whoever made the step. Two passes terminate a game, the cap on its length truncates it, and is scored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from sparring.envs.errors import BadInputError, UnknownNameError
from sparring.envs.go import kernels, picture, rules
from sparring.envs.go.board import BLACK, COLOURS, WHITE, Board
from sparring.envs.go.rules import Rules
from sparring.envs.worlds import Array

Opponent = Callable[[Board, np.random.Generator], int]
"""chooses the mover's action"""
Colour = Literal["black", "white", "random"]


def at_random(board: Board, dice: np.random.Generator) -> int:
    """Any legal action, passes among them."""
    return int(dice.choice(np.flatnonzero(board.legal())))


OPPONENTS: dict[str, Opponent | None] = {"random": at_random, "none": None}


class GoEnv(gymnasium.Env[Array, int]):
    """One game at a time."""

    metadata = {"render_modes": ["ansi", "rgb_array", "human"], "render_fps": 2}  # noqa: RUF012 - as Gymnasium has it

    def __init__(
        self,
        size: int | tuple[int, int] = 9,
        rules_name: str = "tromp-taylor",
        komi: float | None = None,
        opponent: str | Opponent = "random",
        colour: Colour = "black",
        illegal: Literal["loses", "raises"] = "loses",
        render_mode: str | None = None,
    ) -> None:
        """Set up a board.

        Args:
            size: N for N × N, or (rows, columns).
            rules_name: a preset of `rules`.
            komi: in place of the preset's.
            opponent: "random", "none" (every step is the move of whoever is to move), or a function of the board and
                a random generator.
            colour: the agent's; "random" draws it anew for each game.
            illegal: what an illegal move does: it loses the game, as Gymnasium has no action without a result, or it
                raises a BadInputError and plays nothing.
            render_mode: "ansi" is text, "rgb_array" a picture, "human" a window.

        Raises:
            UnknownNameError: there are no such rules, or no such opponent.
            BadInputError: the size, komi or colour cannot be.
        """
        self.rules: Rules = rules.named(rules_name, size, komi)
        if isinstance(opponent, str) and opponent not in OPPONENTS:
            raise UnknownNameError("opponent", opponent, OPPONENTS)
        if colour not in ("black", "white", "random"):
            raise BadInputError(f"colour is {colour!r}; it can be black, white or random")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise BadInputError(f"render_mode is {render_mode!r}; it can be {', '.join(self.metadata['render_modes'])}")
        self.opponent = OPPONENTS[opponent] if isinstance(opponent, str) else opponent
        self.colour = colour
        self.illegal = illegal
        self.render_mode = render_mode
        self.observation_space = Box(0, 255, (kernels.PLANES, self.rules.height, self.rules.width), np.uint8)
        self.action_space = Discrete(self.rules.area + 1)  # type: ignore[assignment]
        self.board = Board(self.rules)
        self.mine = BLACK
        self.window: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """An empty board; where the agent is white, the opponent has moved."""
        super().reset(seed=seed)
        self.board = Board(self.rules)
        chosen = COLOURS[int(self.np_random.integers(1, 3))] if self.colour == "random" else self.colour
        self.mine = BLACK if chosen == "black" else WHITE
        if self.opponent is not None and self.mine == WHITE:
            self.board.play(self.opponent(self.board, self.np_random))
        return self._seen(), self._info()

    def step(self, action: int) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """The agent's move, and the opponent's answer.

        Raises:
            BadInputError: the move is not legal, and `illegal` raises; nothing is played.
        """
        mover = self.board.to_move
        if self.illegal == "loses" and not self.board.over and not self.board.legal()[int(action)]:
            return self._seen(), -1.0, True, False, {**self._info(), "illegal": int(action)}
        self.board.play(int(action))
        if self.opponent is not None and not self.board.over:
            self.board.play(self.opponent(self.board, self.np_random))
        over = self.board.over
        reward = 0.0
        if over:
            reward = float(np.sign(self.board.margin())) * (1 if mover == BLACK else -1)
        if self.render_mode == "human":
            self.render()
        return self._seen(), reward, over == "passes", over == "cap", self._info()

    def action_masks(self) -> Array:
        """What is legal [H · W + 1] bool, as sb3-contrib asks for it."""
        return self.board.legal()

    def render(self) -> Any:
        """Text, a picture [H, W, 3] uint8, or a window; as the mode says."""
        if self.render_mode == "ansi":
            return str(self.board)
        if self.render_mode == "rgb_array":
            return picture.pixels(self.board)
        if self.render_mode == "human":
            self._show(picture.pixels(self.board))
        return None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self.window is not None:
            import pygame

            pygame.display.quit()
            self.window = None

    def _seen(self) -> Array:
        return self.board.planes()

    def _info(self) -> dict[str, Any]:
        margin = {"margin": self.board.margin()} if self.board.over else {}
        return {"action_mask": self.board.legal().astype(np.int8), "to_move": self.board.to_move, **margin}

    def _show(self, pixels: Array) -> None:
        import pygame  # comes with gymnasium[classic-control]

        if self.window is None:
            pygame.display.init()
            self.window = pygame.display.set_mode(pixels.shape[1::-1])
        self.window.blit(pygame.surfarray.make_surface(pixels.swapaxes(0, 1)), (0, 0))
        pygame.event.pump()
        pygame.display.flip()
