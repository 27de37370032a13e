"""AlphaZero: a network learns from games that its own search plays (Silver et al., Science 362, 2018).

A position is seen by the player to move. The network says a policy p, the outcome w (win, draw, loss), whose every
point will be at the end (o) and by how many points (s); search makes of p a better policy π, and the games say the rest.
With z the outcome, o* the owners and s* the score at the end, all in the eyes of who is to move, it descends

    L = −Σ π ln p  −  c_w ln w_z  −  c_o mean[o* ln o + (1 − o*) ln(1 − o)]  +  c_s huber((s − s*) / scale)

over positions of a window of the latest games, each turned by a random symmetry of the board. Owners and score as
targets, global pooling and the window are KataGo's (Wu, arXiv 1902.10565): a window of

    n (1 + β ((N / n)^α − 1) / α)

positions after N have been played, with n the smallest one, α = 0.75 and β = 0.4.

The network knows no size: it is convolutions, and pooling over the whole board, so that one network plays on all. Games
are played by an exponential moving average of its weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sparring.agents import statistics
from sparring.agents.descent import Descent, Terms
from sparring.agents.evaluate import JUDGED
from sparring.agents.match import OPENING, Searcher, by_playouts, series
from sparring.agents.mcts import Evaluate, Leaves, Searching
from sparring.agents.policy import Dice
from sparring.agents.protocol import Evaluation, Experiment, Judge, Preset, Stateful, Watch, unwatched
from sparring.agents.selfplay import Playing, Record, SelfPlay
from sparring.envs.errors import check_ranges
from sparring.envs.go import kernels
from sparring.envs.go.games import Games
from sparring.envs.go.rules import Rules, chosen
from sparring.envs.rollouts import Metrics
from sparring.envs.worlds import Array

KOMI = kernels.PLANES - 1  # the plane that is a number, in halves of a point from 128
AVERAGE_SIDE = 7.0  # b_avg of global pooling


# ---------------------------------------------------------------------------------------------- the network


def pooled(x: Tensor) -> Tensor:
    """[B, C, H, W] → [B, 3 C]: the mean, the mean as it grows with the board's side, the maximum."""
    mean = x.mean((2, 3))
    side = (x.shape[2] * x.shape[3]) ** 0.5
    return torch.cat([mean, mean * ((side - AVERAGE_SIDE) / 10), x.amax((2, 3))], 1)


class Block(nn.Module):
    """x + conv(relu(conv(relu x))); with pooling, half of what the first convolution says biases the other half."""

    def __init__(self, width: int, *, pooling: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)  # a block begins as nothing, so that depth does no harm (Zhang et al., 2019)
        self.bias = nn.Linear(3 * (width // 2), width) if pooling else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, H, W] → the same."""
        inner = F.relu(self.first(F.relu(x)))
        if self.bias is not None:
            half = inner.shape[1] // 2
            inner = F.relu(inner + self.bias(pooled(inner[:, :half]))[:, :, None, None])
        return x + self.second(inner)


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
        scale, origin = torch.ones(kernels.PLANES), torch.zeros(kernels.PLANES)
        scale[KOMI], origin[KOMI] = 1 / 40, 128.0
        self.register_buffer("scale", scale[:, None, None], persistent=False)
        self.register_buffer("origin", origin[:, None, None], persistent=False)
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
            nn.init.zeros_(head.weight)  # knows nothing at first, and says so
            nn.init.zeros_(head.bias)

    def forward(self, planes: Tensor) -> Said:
        """See the class."""
        x = ((planes - self.origin) * self.scale).contiguous(memory_format=torch.channels_last)
        x = F.relu(self.blocks(self.entrance(x)))
        moves = F.relu(self.policy(x))
        whole = pooled(moves)
        moves = F.relu(moves + self.policy_bias(whole)[:, :, None, None])
        policy = torch.cat([self.points(moves).flatten(1), self.passing(whole)], 1)
        values = F.relu(self.value(x))
        dense = F.relu(self.dense(pooled(values)))
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
        turned = obs.reshape(*obs.shape[:2], -1)[:, :, turns.points[turn]].reshape(obs.shape)
        said = network(torch.from_numpy(turned).to(device))
        return said.policy.cpu().numpy()[:, turns.back[turn]], said.value.cpu().numpy()

    return evaluate


# ---------------------------------------------------------------------------------------------- the window


class Samples(NamedTuple):
    """N positions and what became of them, in the eyes of who was to move."""

    obs: Array  # [N, 10, H · W] uint8
    legal: Array  # [N, A] bool
    policy: Array  # [N, A] float16
    searched: Array  # [N] bool: whether in full, so that the policy can be learned from
    outcome: Array  # [N] int64: 0 won, 1 drawn, 2 lost
    owner: Array  # [N, H · W] uint8: 2 mine, 1 nobody's, 0 theirs; 255 where the game was not played out
    score: Array  # [N] float32: points ahead


class Window:
    """The latest games. As its state it keeps their moves and what was advised; positions are played again."""

    def __init__(self, rules: Rules, smallest: int) -> None:
        self.rules = rules
        self.smallest = smallest
        self.records: list[Record] = []
        self.chunks: list[Samples] = []  # of each game
        self.played = 0  # positions, ever
        self.games = Games(rules, 1, rows=rules.plies)

    @property
    def size(self) -> int:
        """How many positions it should hold now."""
        grown = (max(self.played, self.smallest) / self.smallest) ** 0.75
        return int(self.smallest * (1 + 0.4 * (grown - 1) / 0.75))

    @property
    def held(self) -> int:
        """How many it holds."""
        return sum(len(record.moves) for record in self.records)

    def add(self, records: Sequence[Record]) -> int:
        """Let games in, and the oldest out; how many positions are new."""
        new = sum(len(record.moves) for record in records)
        self.played += new
        self.records += records
        self.chunks += map(self.positions, records)
        spare, out = self.held - self.size, 0
        while out < len(self.records) - 1 and spare >= len(self.records[out].moves):
            spare -= len(self.records[out].moves)
            out += 1
        del self.records[:out], self.chunks[:out]
        self.all = Samples(*(np.concatenate(field) for field in zip(*self.chunks, strict=True)))
        return new

    def positions(self, record: Record) -> Samples:
        """Play a game again and see every position of it."""
        length = len(record.moves)
        ways = np.tile(np.array(record.moves, np.int32), (length, 1))
        seen = self.games.look(np.zeros(length, np.int32), ways, np.arange(length, dtype=np.int32))
        mover = np.where(np.arange(length) % 2 == 0, 1, -1)  # 1 is black
        owner = np.full((length, self.rules.area), 255, np.uint8)
        score = np.zeros(length, np.float32)
        if record.owners is not None:
            owner = (mover[:, None] * record.owners + 1).astype(np.uint8)
            score = (mover * (record.owners.sum(dtype=int) - self.rules.komi)).astype(np.float32)
        return Samples(
            seen.obs[:length].reshape(length, kernels.PLANES, -1).copy(),
            seen.legal[:length].astype(bool),
            np.stack(record.policies),
            np.array(record.full),
            1 - mover * record.result,
            owner,
            score,
        )

    def state_dict(self) -> dict[str, Any]:
        """The games."""
        return {
            "played": self.played,
            "games": [
                {
                    "moves": torch.tensor(record.moves, dtype=torch.int16),
                    "policies": torch.from_numpy(np.stack(record.policies)),
                    "full": torch.tensor(record.full),
                    "result": record.result,
                    "owners": None if record.owners is None else torch.from_numpy(record.owners),
                }
                for record in self.records
            ],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Play them again."""
        self.records = [
            Record(
                number,
                moves=game["moves"].tolist(),
                policies=list(game["policies"].numpy()),
                full=game["full"].tolist(),
                result=game["result"],
                owners=None if game["owners"] is None else game["owners"].numpy(),
            )
            for number, game in enumerate(state["games"])
        ]
        self.chunks = [self.positions(record) for record in self.records]
        self.played = state["played"]
        if self.chunks:
            self.all = Samples(*(np.concatenate(field) for field in zip(*self.chunks, strict=True)))


# ---------------------------------------------------------------------------------------------- the algorithm


@dataclass(frozen=True)
class Schedule:
    """How long, and how often what, counted in draws of games."""

    steps: int
    """games in the whole run"""
    save_every: int = 10
    """updates between checkpoints"""
    evaluate_every: int = 0
    """updates between evaluations, the first before any learning; 0: only at the end"""
    games: int = 40
    """games that an evaluation plays against its anchor"""

    def __post_init__(self) -> None:
        check_ranges(self, steps=(1, inf), save_every=(1, inf), evaluate_every=(0, inf), games=(2, inf))

    def judging(self, games: int) -> Schedule:
        """The same with evaluations of so many games."""
        return replace(self, games=games)


PLAYING, SEARCHING = Playing(), Searching()


@dataclass(frozen=True)
class Config:
    """Symbols as in the module's docstring."""

    schedule: Schedule
    board: int = 9
    """lines of the board"""
    rules: str = "tromp-taylor"
    """what is played"""
    komi: float = 7.0
    """points that white is given"""
    playing: Playing = PLAYING
    search: Searching = SEARCHING
    width: int = 32
    """channels of the network"""
    blocks: int = 3
    """residual blocks; every second one pools over the whole board"""
    learning_rate: float = 2e-3
    """η of Adam"""
    anneal: bool = True
    """let the learning rate fall to 0 over the run"""
    weight_decay: float = 1e-4
    """λ, decoupled (Loshchilov & Hutter, 2019)"""
    batch: int = 256
    """positions in a gradient step"""
    reuse: float = 4.0
    """how often a position is learned from, on average, while it is in the window"""
    window: int = 20_000
    """n: positions in the smallest window"""
    outcome_weight: float = 1.5
    """c_w"""
    owner_weight: float = 1.5
    """c_o"""
    score_weight: float = 0.2
    """c_s"""
    max_gradient_norm: float = 5.0
    """global norm to which gradients are clipped"""
    average: float = 0.99
    """decay of the moving average of weights that plays, gradient step by gradient step"""
    anchor: int = 100
    """random playouts a move of the search that evaluations play against"""

    def __post_init__(self) -> None:
        check_ranges(self, board=(2, 19), width=(2, 4096), blocks=(0, 200), learning_rate=(0, inf), batch=(1, inf))
        check_ranges(self, reuse=(0, inf), window=(1, inf), average=(0, 1), max_gradient_norm=(0, inf))

    @property
    def played(self) -> Rules:
        """What is played on."""
        return chosen(self.rules, self.board, self.komi)


class AlphaZero:
    """The network, its average, and the window that it learns from."""

    def __init__(self, config: Config, *, seed: int, device: str, updates: int) -> None:
        self.config = config
        self.device = torch.device(device)
        torch.manual_seed(seed)
        self.network = Network(config.width, config.blocks).to(self.device, memory_format=torch.channels_last)
        self.average = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(config.average))
        optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.descent = Descent(optimiser, max_norm=config.max_gradient_norm, updates=updates if config.anneal else None)
        self.rules = config.played
        self.turns = Turns(self.rules.height, self.rules.width)
        self.window = Window(self.rules, config.window)
        self.dice = Dice(seed, "cpu")

    def parts(self) -> dict[str, Stateful]:
        """Network, average, optimiser, window and dice."""
        return {
            "network": self.network,
            "average": self.average,
            "descent": self.descent,
            "window": self.window,
            "dice": self.dice,
        }

    def evaluate(self, seed: int, group: int) -> Evaluate:
        """The average's word on leaves, each batch turned by a random symmetry."""
        return guided_by(self.average.module, self.turns, np.random.default_rng([seed, group]))

    def update(self, batch: list[Record]) -> Metrics:
        """Let new games into the window, and learn from as many positions as they pay for."""
        c = self.config
        new = self.window.add(batch)
        terms = Terms("loss/policy", "loss/outcome", "loss/owner", "loss/score", "policy/entropy", "gradient/norm")
        self.descent.begin_update()
        for _ in range(max(1, round(new * c.reuse / c.batch))):
            losses, entropy = self.losses(self.window.all, self._drawn(self.window.held))
            weights = (1.0, c.outcome_weight, c.owner_weight, c.score_weight)
            norm = self.descent.step(torch.stack([w * loss for w, loss in zip(weights, losses, strict=True)]).sum())
            self.average.update_parameters(self.network)
            terms.add(*losses, entropy, norm)
        return {
            **terms.means(),
            "window/positions": float(self.window.held),
            "window/games": float(len(self.window.records)),
        }

    def losses(self, samples: Samples, rows: Array) -> tuple[tuple[Tensor, ...], Tensor]:
        """The four terms of L over some rows, each turned its own way; and the policy's entropy."""
        turn = self._drawn(len(self.turns))
        points, actions = self.turns.points[turn], self.turns.actions[turn]
        c, side = self.rules, self.rules.area**0.5
        obs = np.take_along_axis(samples.obs[rows], points[:, None], 2).reshape(len(rows), -1, c.height, c.width)
        said = self.network(self._tensor(obs))
        legal = self._tensor(np.take_along_axis(samples.legal[rows], actions, 1))
        target = self._tensor(np.take_along_axis(samples.policy[rows], actions, 1)).float()
        log_policy = said.policy.masked_fill(~legal, -1e9).log_softmax(1)
        searched = self._tensor(samples.searched[rows])
        policy = -(target * log_policy).sum(1)[searched].sum() / searched.sum().clamp(min=1)
        outcome = F.cross_entropy(said.outcome, self._tensor(samples.outcome[rows]))
        owner = self._tensor(np.take_along_axis(samples.owner[rows], points, 1)).reshape(said.owner.shape)
        known = owner != 255
        owners = F.binary_cross_entropy_with_logits(said.owner[known], owner[known] / 2) if known.any() else policy * 0
        ended = known[:, 0, 0]
        score = self._tensor(samples.score[rows]) / side
        scores = F.huber_loss(said.score[ended], score[ended]) if ended.any() else policy * 0
        entropy = -(log_policy.exp() * log_policy).sum(1).mean()
        return (policy, outcome, owners, scores), entropy

    def _drawn(self, below: int) -> Array:
        return torch.randint(below, (self.config.batch,), generator=self.dice.generator).numpy()

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


# ---------------------------------------------------------------------------------------------- who judges it


def judge(config: Config, seed: int) -> Judge:
    """Games against a fixed anchor: plain search with random playouts, which learns nothing."""
    rules, turns = config.played, Turns(config.played.height, config.played.width)

    def evaluation(algorithm: AlphaZero, /, *, watch: Watch = unwatched) -> Evaluation:
        dice = np.random.default_rng([seed, JUDGED])
        network = algorithm.average.module
        ours = Searcher(lambda games: guided_by(network, turns, dice), config.search)
        anchor = Searcher(by_playouts, Searching("uct", config.anchor, c_puct=1.0))
        played = series(ours, anchor, rules, config.schedule.games, dice, watch)
        scores = [game.points_of_first for game in played]
        estimate = statistics.estimate(scores)
        metrics = {
            "win_rate": estimate.value,
            "win_rate_low": estimate.low,
            "win_rate_high": estimate.high,
            "length": float(np.mean([len(game.board.moves) for game in played])),
        }
        protocol = {
            "rules": asdict(rules),
            "games": config.schedule.games,
            "search": asdict(config.search),
            "anchor": f"uct with {config.anchor} random playouts",
            "colours": "by turns",
            "opening": f"{OPENING} random moves, the same for both colours",
            "draw": 0.5,
            "interval": "95 % bootstrap over games",
        }
        return Evaluation(metrics, protocol, scores, [])

    return evaluation


GO5 = Config(
    Schedule(steps=40_000, save_every=10, evaluate_every=20),
    board=5,
    komi=24.5,
    search=Searching("gumbel", 32, considered=8),
)
PRESETS = {
    "go5-cpu": Preset("the whole board of 5×5, in half an hour on two cores", GO5),
    "go7-cpu": Preset(
        "7×7 in two hours on two cores",
        replace(GO5, schedule=Schedule(steps=60_000, save_every=10, evaluate_every=20), board=7, komi=9.0, blocks=4),
    ),
}


def experiment(config: Config, *, seed: int, device: str) -> Experiment:
    """A network that plays itself."""
    source = SelfPlay(config.played, config.playing, config.search)
    updates = -(-config.schedule.steps // source.steps_per_draw)
    return Experiment(AlphaZero(config, seed=seed, device=device, updates=updates), source, judge(config, seed))
