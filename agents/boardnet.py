"""A network that looks at boards of Go: what to play, who wins, who owns what in the end, by how much.

It knows no size: it is convolutions, and pooling over the whole board (KataGo; Wu, arXiv 1902.10565, section 3.3), so
that one network plays on all. A board may be turned before it is shown, and what is said of it turned back.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sparring.agents.mcts import Evaluate
from sparring.envs.go import kernels
from sparring.envs.go.board import BLACK, Board
from sparring.envs.go.games import Games
from sparring.envs.leaves import Leaves
from sparring.envs.worlds import Array

KOMI = kernels.PLANES - 1  # the plane that is a number, in halves of a point from 128
AVERAGE_SIDE = 7.0  # b_avg of global pooling


def pooled(x: Tensor) -> Tensor:
    """[B, C, H, W] → [B, 3 C]: the mean, the mean as it grows with the board's side, the maximum."""
    mean = x.mean((2, 3))
    side = (x.shape[2] * x.shape[3]) ** 0.5
    highest = F.adaptive_max_pool2d(x, 1).flatten(1)  # as amax, which is slow on a CPU where channels are last
    return torch.cat([mean, mean * ((side - AVERAGE_SIDE) / 10), highest], 1)


class Block(nn.Module):
    """x + conv(relu(conv(relu x))); with pooling, half of what the first convolution says biases all of it."""

    def __init__(self, width: int, *, pooling: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)  # a block begins as nothing, so that depth does no harm (Zhang et al., 2019)
        self.bias = nn.Linear(3 * (width // 2), width) if pooling else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] → the same."""
        inner = self.first(F.relu(x))
        if self.bias is not None:
            half = inner.shape[1] // 2
            inner += self.bias(pooled(F.relu(inner[:, :half])))[:, :, None, None]
        changed: Tensor = self.second(F.relu_(inner))
        changed += x
        return changed


class Said(NamedTuple):
    """What the network says of B positions."""

    policy: Tensor  # [B, H · W + 1] logits
    outcome: Tensor  # [B, 3] logits of win, draw, loss
    owner: Tensor  # [B, H, W] logits of "mine in the end"
    score: Tensor  # [B] points ahead in the end, komi included, in the unit of the board's side

    @property
    def value(self) -> Tensor:
        """P(win) − P(loss) [B]."""
        chances = self.outcome.softmax(1)
        return chances[:, 0] - chances[:, 2]


class Network(nn.Module):
    """Planes uint8 [B, 10, H, W] → Said, on any board."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        scale, origin = torch.ones(kernels.PLANES, 1, 1), torch.zeros(kernels.PLANES, 1, 1)
        scale[KOMI], origin[KOMI] = 1 / 40, 128.0
        self.scale, self.origin = nn.Buffer(scale, persistent=False), nn.Buffer(origin, persistent=False)
        self.entrance = nn.Conv2d(kernels.PLANES, width, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(width, pooling=number % 2 == 1) for number in range(blocks)))
        half = width // 2
        self.policy = nn.Conv2d(width, half, 1)
        self.policy_bias = nn.Linear(3 * half, half)
        self.points = nn.Conv2d(half, 1, 1)
        self.passing = nn.Linear(3 * half, 1)
        self.value = nn.Conv2d(width, half, 1)
        self.owner = nn.Conv2d(half, 1, 1)
        self.dense = nn.Linear(3 * half, 2 * width)
        self.outcome = nn.Linear(2 * width, 3)
        self.score = nn.Linear(2 * width, 1)
        for head in (self.points, self.passing, self.outcome, self.owner, self.score):
            for weight in head.parameters():
                nn.init.zeros_(weight)  # knows nothing at first, and says so

    def forward(self, planes: Tensor) -> Said:
        """See the class."""
        x = ((planes - self.origin) * self.scale).contiguous(memory_format=torch.channels_last)
        x = F.relu_(self.blocks(self.entrance(x)))
        moves = F.relu_(self.policy(x))
        whole = pooled(moves)
        moves = F.relu_(moves + self.policy_bias(whole)[:, :, None, None])
        policy = torch.cat([self.points(moves).flatten(1), self.passing(whole)], 1)
        values = F.relu_(self.value(x))
        dense = F.relu_(self.dense(pooled(values)))
        return Said(policy, self.outcome(dense), self.owner(values)[:, 0], self.score(dense)[:, 0])


# ---------------------------------------------------------------------------------------------- symmetries


def symmetries(height: int, width: int) -> Array:
    """How the board may be turned [S, H · W], S = 8 or 4: what stands at p afterwards stood at `[k, p]` before."""
    points = np.arange(height * width).reshape(height, width)
    turns = range(4) if height == width else range(0, 4, 2)
    turned = [np.rot90(points, turn) for turn in turns]
    return np.stack([board.ravel() for one in turned for board in (one, one[:, ::-1])])


class Turns:
    """The symmetries of a board, for planes and for policies."""

    def __init__(self, height: int, width: int) -> None:
        self.points = symmetries(height, width)
        passing = np.full((len(self.points), 1), height * width)
        self.actions = np.concatenate([self.points, passing], 1)  # the pass stays
        self.back = np.argsort(self.actions, 1)

    def __len__(self) -> int:
        return len(self.points)


def guided_by(network: nn.Module, turns: Turns, dice: np.random.Generator) -> Evaluate:
    """What a network says of leaves, each batch of them turned by a random symmetry of the board."""
    device = next(network.parameters()).device

    @torch.inference_mode()
    def evaluate(leaves: Leaves, rows: Array) -> tuple[Array, Array]:
        turn = int(dice.integers(len(turns)))
        obs = leaves.obs[rows]
        turned = np.take(obs.reshape(*obs.shape[:2], -1), turns.points[turn], 2).reshape(obs.shape)
        said = network(torch.from_numpy(turned).to(device))
        return said.policy.float().cpu().numpy()[:, turns.back[turn]], said.value.float().cpu().numpy()

    return evaluate


class Mind:
    """A trained network that plays: it guides a search, and says whose the board will be."""

    def __init__(self, network: Network, height: int, width: int, seed: int = 0) -> None:
        self.network = network.eval()
        self.turns = Turns(height, width)
        self.dice = np.random.default_rng(seed)

    def guide(self, games: Games) -> Evaluate:
        """What evaluates leaves."""
        return guided_by(self.network, self.turns, self.dice)

    @torch.inference_mode()
    def owners(self, board: Board) -> Array:
        """Who every point will belong to in the end [H, W], from 1 (black) to −1 (white); all symmetries are asked."""
        planes = board.planes().reshape(kernels.PLANES, -1)
        turned = planes[:, self.turns.points].transpose(1, 0, 2).reshape(len(self.turns), *board.planes().shape)
        said = self.network(torch.from_numpy(np.ascontiguousarray(turned)))
        mine = 2 * said.owner.sigmoid().flatten(1).numpy() - 1
        back = np.argsort(self.turns.points, 1)
        mean = np.take_along_axis(mine, back, 1).mean(0).reshape(board.rules.height, board.rules.width)
        return np.asarray(mean if board.to_move == BLACK else -mean)


class Instinct:
    """A network that plays without search: a move drawn from its policy, or always the likeliest."""

    def __init__(self, network: nn.Module, *, greedy: bool = False) -> None:
        self.network = network
        self.greedy = greedy

    def chances(self, board: Board) -> Array:
        """Of every action [H · W + 1] float64; those that are not legal have none."""
        with torch.inference_mode():
            device = next(self.network.parameters()).device
            logits = self.network(torch.from_numpy(board.planes()[None]).to(device)).policy[0].double().cpu().numpy()
        legal = board.legal()
        weights = np.where(legal, np.exp(logits - logits[legal].max()), 0.0)
        return np.asarray(weights / weights.sum())

    def __call__(self, board: Board, dice: np.random.Generator) -> int:
        """A legal move."""
        chances = self.chances(board)
        return int(np.argmax(chances) if self.greedy else dice.choice(len(chances), p=chances))
