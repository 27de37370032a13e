"""`sparring/Go-v0`: a game of Go as a Gymnasium world, against an opponent or with both colours in one hand.

Observations are the planes of `kernels.planes`, from the side to move; `info["action_mask"]` and `action_masks()` say
what is legal, repetition included. The reward comes at the end: 1 for a game won, −1 for one lost, 0 for a draw, always
in the eyes of whoever made the step. Two passes terminate a game, the cap on its length truncates it, and is scored.
"""

from __future__ import annotations

from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from sparring.envs.errors import BadInputError
from sparring.envs.go import kernels, opponents, picture
from sparring.envs.go.board import BLACK, COLOURS, WHITE, Board, handicap
from sparring.envs.go.opponents import Engine, Opponent
from sparring.envs.go.rules import Rules, chosen
from sparring.envs.worlds import Array

Colour = Literal["black", "white", "random"]


class GoEnv(gymnasium.Env[Array, int]):
    """One game at a time."""

    metadata = {"render_modes": ["ansi", "rgb_array", "human"], "render_fps": 2}  # noqa: RUF012 - as Gymnasium has it

    def __init__(
        self,
        size: int | tuple[int, int] | None = None,
        rules: str | Rules = "tromp-taylor",
        komi: float | None = None,
        opponent: str | Opponent = "random",
        colour: Colour = "black",
        illegal: Literal["loses", "raises"] = "loses",
        render_mode: str | None = None,
    ) -> None:
        """Set up a board.

        Args:
            size: N for N × N, or (rows, columns); a preset's is 9.
            rules: a preset of the module `rules`, or rules of one's own.
            komi: in place of theirs.
            opponent: "random"; "none" (every step is the move of whoever is to move); "gtp:COMMAND", a program that
                speaks GTP and is closed with the world; or a function of the board and a random generator, which
                resigns by None.
            colour: the agent's; "random" draws it anew for each game.
            illegal: what an illegal move does, the opponent's too: it loses the game, as Gymnasium has no action
                without a result, or it raises a BadInputError and plays nothing.
            render_mode: "ansi" is text, "rgb_array" a picture, "human" a window.

        Raises:
            UnknownNameError: there are no such rules, or no such opponent.
            BadInputError: the size, komi, colour or mode cannot be, or a program cannot be started.
        """
        self.rules = chosen(rules, size, komi)
        if colour not in ("black", "white", "random"):
            raise BadInputError(f"colour is {colour!r}; it can be black, white or random")
        if illegal not in ("loses", "raises"):
            raise BadInputError(f"illegal is {illegal!r}; it can be loses or raises")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise BadInputError(f"render_mode is {render_mode!r}; it can be {', '.join(self.metadata['render_modes'])}")
        self.colour = colour
        self.illegal = illegal
        self.render_mode = render_mode
        self.observation_space = Box(0, 255, (kernels.PLANES, self.rules.height, self.rules.width), np.uint8)
        self.action_space = Discrete(self.rules.area + 1)  # type: ignore[assignment]
        self.board = Board(self.rules)
        self.given_up: dict[str, Any] = {}  # how whoever is to move lost before the end
        self.mine = BLACK  # the agent's colour, where there is an opponent
        self.window: Any = None
        self.engine: Engine | None = None  # that this world has started
        self.opponent = opponents.called(opponent, self.rules) if isinstance(opponent, str) else opponent
        if isinstance(opponent, str) and isinstance(self.opponent, Engine):
            self.engine = self.opponent

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """An empty board, or the one that `options` tell of; if it is the opponent's turn, it has moved.

        Args:
            seed: of the colour, where it is drawn, and of the opponent.
            options: "handicap", black stones by their points, after which white moves first; "moves" that were played.

        Raises:
            BadInputError: a move or stone is not legal, or the game is over before the agent has moved.
            GtpError: a program does not answer.
        """
        super().reset(seed=seed)
        told = options or {}
        self.board, self.given_up = Board(self.rules, told.get("moves", ()), handicap(told.get("handicap", ()))), {}
        colour = COLOURS[int(self.np_random.integers(1, 3))] if self.colour == "random" else self.colour
        self.mine = BLACK if colour == "black" else WHITE
        if self.opponent is not None and self.board.to_move != self.mine and not self.board.over:
            self._move(self.opponent(self.board, self.np_random))
        if self._over:
            raise BadInputError(f"the game is over before the agent has moved: {self._ended}")
        if self.render_mode == "human":
            self.render()
        return self.board.planes(), self._info()

    def step(self, action: int) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """The agent's move, and the opponent's answer.

        Raises:
            BadInputError: the game is over, or the move is not legal and `illegal` raises: then nothing is played. Or
                the opponent's answer is not: then the agent's move stands, and `reset` goes on.
            GtpError: a program refuses a move, or does not answer; the same.
        """
        mover = self.board.to_move
        if self.opponent is not None and not self._over and mover != self.mine:
            raise BadInputError("the opponent has not answered the last move; reset begins another game")
        self._move(int(action))
        if self.opponent is not None and not self._over:
            self._move(self.opponent(self.board, self.np_random))
        reward = self._result() * (1.0 if mover == BLACK else -1.0) if self._over else 0.0
        if self.render_mode == "human":
            self.render()
        terminated = self.board.over == "passes" or bool(self.given_up)
        return self.board.planes(), reward, terminated, self.board.over == "cap", self._info()

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
        """Close the window and end the program, if there are any."""
        if self.engine is not None:
            self.engine.close()
        if self.window is not None:
            import pygame

            pygame.display.quit()
            self.window = None

    @property
    def _over(self) -> bool:
        return bool(self.board.over or self.given_up)

    @property
    def _ended(self) -> str:
        """How the game has ended, for people."""
        return self.board.over or " ".join(f"{how} {what}" for how, what in self.given_up.items())

    def _move(self, action: int | None) -> None:
        """Of whoever is to move."""
        if self._over:
            raise BadInputError(f"the game is over ({self._ended}); reset begins another")
        if action is None:
            self.given_up = {"resigned": COLOURS[self.board.to_move]}
        elif self.illegal == "loses" and not self.board.allows(action):
            self.given_up = {"illegal": action}
        else:
            self.board.play(action)

    def _result(self) -> float:
        """1 if black has won, −1 if white has, 0 if nobody."""
        if self.given_up:
            return -1.0 if self.board.to_move == BLACK else 1.0
        return float(np.sign(self.board.margin()))

    def _info(self) -> dict[str, Any]:
        margin = {"margin": self.board.margin()} if self.board.over else {}
        mask = self.board.legal().astype(np.int8)
        return {"action_mask": mask, "to_move": self.board.to_move, **margin, **self.given_up}

    def _show(self, pixels: Array) -> None:
        import pygame  # comes with gymnasium[classic-control]

        if self.window is None:
            pygame.display.init()
            self.window = pygame.display.set_mode(pixels.shape[1::-1])
        self.window.blit(pygame.surfarray.make_surface(pixels.swapaxes(0, 1)), (0, 0))
        pygame.event.pump()
        pygame.display.flip()
