"""AlphaZero: a network learns from games that its own search plays (Silver et al., Science 362, 2018).

A position is seen by the player to move. The network says a policy p, the outcome w (win, draw, loss), whose every
point will be at the end (o) and by how many points (s). Search makes of p a better policy π; the game says the rest.
With z the outcome, o* the owners and s* the score at the end, all in the eyes of who is to move, it descends

    L = −Σ π ln p  −  c_w ln w_z  −  c_o mean[o* ln o + (1 − o*) ln(1 − o)]  +  c_s huber((s − s*) / side)

over positions of a window of the latest games, each turned by a random symmetry of the board. Owners and score as
targets are KataGo's (Wu, arXiv 1902.10565). Games are played by an exponential moving average of the weights.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from math import inf

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sparring.agents import anchor, networks, protocol
from sparring.agents.boardnet import Network, Said, Turns, guided_by
from sparring.agents.descent import Descent, Terms
from sparring.agents.match import Searcher
from sparring.agents.mcts import Evaluate, Searching
from sparring.agents.policy import Dice, on_threads
from sparring.agents.protocol import Experiment, Preset, Stateful
from sparring.agents.records import Record
from sparring.agents.selfplay import SYMMETRIES, Playing, SelfPlay
from sparring.agents.window import Samples, Window
from sparring.envs.errors import check_ranges
from sparring.envs.go.rules import Rules, chosen
from sparring.envs.rollouts import Metrics
from sparring.envs.worlds import Array


@dataclass(frozen=True)
class Schedule(protocol.Schedule):
    """How long, and how often what, counted in draws of games."""

    steps: int
    """games in the whole run"""
    save_every: int = 10
    """updates between checkpoints"""
    games: int = 40
    """games that an evaluation plays against its anchor"""


PLAYING, SEARCHING = Playing(), Searching()


@dataclass(frozen=True)
class Config:
    """Symbols as in the module's docstring."""

    schedule: Schedule
    board: int = 9
    """lines of the board"""
    rules: str = "cgos"
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
    """c_w: weight of the outcome's loss"""
    owner_weight: float = 1.5
    """c_o: weight of the owners' loss"""
    score_weight: float = 0.2
    """c_s: weight of the score's loss"""
    max_gradient_norm: float = 5.0
    """global norm to which gradients are clipped"""
    average: float = 0.99
    """decay of the moving average of weights that plays, gradient step by gradient step"""
    precision: networks.Precision = "auto"
    """of self-play and learning; auto takes bf16 where the hardware has it. Weights that learn, losses and evaluations
    are fp32"""
    anchor: int = 100
    """random playouts a move of the search that evaluations play against"""

    def __post_init__(self) -> None:
        check_ranges(self, board=(2, 19), komi=(-(self.board**2), self.board**2))
        check_ranges(self, width=(2, 4096), blocks=(0, 200), learning_rate=(0, inf), batch=(1, inf))
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
        self.precision = networks.settled(config.precision, device, images=True)
        torch.manual_seed(seed)
        self.network = Network(config.width, config.blocks).to(self.device)
        self.average = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(config.average))  # type: ignore[no-untyped-call]
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
        network = copy.deepcopy(self.average.module)
        if self.precision == "bf16":
            network.bfloat16()
        return guided_by(network, self.turns, np.random.default_rng([SYMMETRIES, seed, group]))

    def update(self, batch: list[Record]) -> Metrics:
        """Let new games into the window, and learn from as many positions as they pay for.

        The small network that plays on one thread learns on as many as have played.
        """
        c = self.config
        new = self.window.add(batch)
        terms = Terms("loss/policy", "loss/outcome", "loss/owner", "loss/score", "policy/entropy", "gradient/norm")
        self.descent.begin_update()
        weights = (1.0, c.outcome_weight, c.owner_weight, c.score_weight)
        with on_threads(c.playing.groups):
            for _ in range(max(1, round(new * c.reuse / c.batch))):
                losses, entropy = self.losses(self.window.all, self._drawn(self.window.held))
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
        rules, side = self.rules, self.rules.area**0.5
        obs = np.take_along_axis(samples.obs[rows], points[:, None], 2)
        obs = obs.reshape(len(rows), -1, rules.height, rules.width)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            said = self.network(self._tensor(obs))
        said = Said(*(each.float() for each in said))
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


GO5 = Config(
    Schedule(steps=16_000, save_every=10, evaluate_every=20),
    board=5,
    komi=24.5,
    search=Searching("gumbel", 32, considered=8),
)
GO9 = replace(
    GO5,
    schedule=Schedule(steps=40_000, save_every=10, evaluate_every=20),
    board=9,
    komi=7.0,
    blocks=4,
    window=50_000,
    playing=Playing(slots=256),
    search=Searching("gumbel", 32),
)
PRESETS = {
    "go5-cpu": Preset("the whole board of 5×5, in under half an hour on two cores", GO5),
    "go7-cpu": Preset(
        "7×7, for two hours on two cores",
        replace(GO5, schedule=Schedule(steps=32_000, save_every=10, evaluate_every=20), board=7, komi=9.0, blocks=4),
    ),
    "go9-cpu": Preset("9×9 for as long as two cores can bear", GO9),
    "go9-katago": Preset(
        "9×9 as KataGo plays itself: few moves searched in full, forced playouts, hot beginnings, resignation",
        replace(
            GO9,
            search=Searching("puct", 120, forced=2.0),
            playing=Playing(full=0.25, fast=20, hot=12, resign=0.9),
        ),
    ),
    "go9-gpu": Preset(
        "9×9 on a GPU: a wider network, many games side by side",
        replace(
            GO9,
            schedule=Schedule(steps=200_000, save_every=10, evaluate_every=25),
            playing=Playing(draw=2048, slots=512, groups=2),
            width=96,
            blocks=6,
            batch=1024,
            window=250_000,
        ),
    ),
}


def experiment(config: Config, *, seed: int, device: str) -> Experiment:
    """A network that plays itself."""
    source = SelfPlay(config.played, config.playing, config.search)
    updates = -(-config.schedule.steps // source.steps_per_draw)
    turns = Turns(config.played.height, config.played.width)

    def seat(algorithm: AlphaZero, dice: np.random.Generator) -> Searcher:
        network = algorithm.average.module
        return Searcher(lambda games: guided_by(network, turns, dice), config.search)

    judged = anchor.judge(
        config.played,
        seat,
        policy=f"{config.search.select} search of {config.search.simulations}",
        playouts=config.anchor,
        games=config.schedule.games,
        seed=seed,
    )
    return Experiment(AlphaZero(config, seed=seed, device=device, updates=updates), source, judged)
