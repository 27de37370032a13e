"""PPO by self-play: no search, a policy plays Go against itself and its past, and reinforces what won.

Players alternate, so what follows is worth to who moves the opposite of what it is worth to who moves next (negamax):

    δ_t = r_t − γ V(s_{t+1}) − V(s_t),     A_t = δ_t − γλ A_{t+1},     both sums stop where a game does.

In black's eyes, with c_t = 1 where black is to move and −1 where white is, this is nothing but generalised advantage
estimation of c r and c V, turned back: A = c GAE(c r, c V) (Schulman et al., arXiv 1506.02438). On these advantages
works PPO's clipped objective (arXiv 1707.06347),

    L = −mean min(ρ A, clip(ρ, 1 ± ε) A)  +  c_v mean (V − (A + V_old))² / 2  −  c_H H(π),

over legal moves alone and over those plies alone that the present policy chose. With one epoch and one mini-batch ρ is
1 and this is REINFORCE with a baseline; with λ = γ = 1, too, it is how AlphaGo's policy network was trained (Silver et
al., Nature 529, 2016): the preset `alphago`. Every k updates the policy joins the pool of its past; the oldest leaves.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sparring.agents import anchor, protocol, returns
from sparring.agents.boardnet import Instinct, Network
from sparring.agents.descent import Descent, Terms, check_finite
from sparring.agents.distributions import Categorical
from sparring.agents.league import League, Meeting, Plies
from sparring.agents.policy import Dice, Remembered
from sparring.agents.protocol import Experiment, Preset, Stateful
from sparring.envs.errors import BadInputError, check_ranges
from sparring.envs.go.rules import Rules, chosen
from sparring.envs.rollouts import Acts, Metrics
from sparring.envs.worlds import Array

MEETING = Meeting()


@dataclass(frozen=True)
class Schedule(protocol.Schedule):
    """How long, and how often what."""

    steps: int
    """plies in the whole run"""
    games: int = 40
    """games that an evaluation plays against its anchor"""


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
    meeting: Meeting = MEETING
    pool: int = 12
    """opponents that the past consists of"""
    join_every: int = 10
    """k: updates after which the policy joins them"""
    width: int = 32
    """channels of the network"""
    blocks: int = 3
    """residual blocks; every second one pools over the whole board"""
    learning_rate: float = 1e-3
    """η of Adam"""
    anneal: bool = True
    """let the learning rate fall to 0 over the run"""
    gamma: float = 1.0
    """γ: discount per ply"""
    gae_lambda: float = 0.95
    """λ of the advantage estimate"""
    epochs: int = 3
    """passes over each batch"""
    minibatches: int = 8
    """mini-batches per epoch"""
    clip: float = 0.2
    """ε: how far the ratio may leave 1 before its gradient stops"""
    value_weight: float = 1.0
    """c_v: weight of the value loss"""
    entropy_weight: float = 0.01
    """c_H: weight of the entropy bonus"""
    max_gradient_norm: float = 1.0
    """global norm to which gradients are clipped"""
    anchor: int = 100
    """random playouts a move of the search that evaluations play against"""

    def __post_init__(self) -> None:
        check_ranges(self, board=(2, 19), komi=(-(self.board**2), self.board**2))
        check_ranges(self, pool=(1, 1000), join_every=(1, inf), width=(2, 4096), blocks=(0, 200))
        check_ranges(self, learning_rate=(0, inf), gamma=(0, 1), gae_lambda=(0, 1), epochs=(1, inf), clip=(0, inf))
        check_ranges(self, minibatches=(1, inf), value_weight=(0, inf), max_gradient_norm=(0, inf))
        if self.minibatches > self.meeting.horizon * self.meeting.boards:
            raise BadInputError(
                f"{self.minibatches} mini-batches are more than the {self.meeting.horizon * self.meeting.boards} plies "
                f"of a draw (horizon {self.meeting.horizon} × {self.meeting.boards} boards)"
            )

    @property
    def played(self) -> Rules:
        """What is played on."""
        return chosen(self.rules, self.board, self.komi)


class Hand:
    """A network that plays on many boards at once."""

    def __init__(self, network: Network, dice: Dice) -> None:
        self.network = network
        self.dice = dice

    @torch.inference_mode()
    def act(self, obs: Array, legal: Array) -> Acts[Remembered]:
        """Planes [n, 10, H, W] and what is legal [n, A] bool → actions [n], with log μ(a|s) and V(s).

        Raises:
            DivergedError: the policy or the values are not finite.
        """
        policy, values = masked(self.network, *(torch.from_numpy(x).to(self.dice.device) for x in (obs, legal)))
        check_finite({"logits": policy.logits, "values": values})
        actions = policy.sample(self.dice.generator)
        memory = Remembered(policy.log_prob(actions).cpu().numpy(), values.cpu().numpy())
        return Acts(actions.cpu().numpy(), memory)


def masked(network: Network, obs: Tensor, legal: Tensor) -> tuple[Categorical, Tensor]:
    """The policy over legal moves, and V [B]."""
    said = network(obs)
    return Categorical(said.policy.masked_fill(~legal, -1e9)), said.value


class Pool:
    """The past of a network: what it was, the oldest first."""

    def __init__(self, network: Network, most: int) -> None:
        self.network = network
        self.most = most
        self.past: list[Network] = []

    def join(self) -> None:
        """Remember what the network is now, and forget the oldest if there are too many."""
        self.past = [*self.past, copy.deepcopy(self.network).requires_grad_(False)][-self.most :]

    def state_dict(self) -> dict[str, Any]:
        """All weights."""
        return {"past": [network.state_dict() for network in self.past]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember what was saved."""
        self.past = []
        for weights in state["past"]:
            self.join()
            self.past[-1].load_state_dict(weights)


class Minibatch(NamedTuple):
    """Some of the plies that the policy chose, B of them."""

    obs: Tensor  # [B, 10, H, W]
    legal: Tensor  # [B, A]
    actions: Tensor  # [B]
    old_log_probs: Tensor  # [B]
    advantages: Tensor  # [B]
    targets: Tensor  # [B]


class SelfPlayer:
    """The policy, its descent, its past, and the dice that act and shuffle."""

    def __init__(self, config: Config, *, seed: int, device: str, updates: int) -> None:
        self.config = config
        torch.manual_seed(seed)
        self.network = Network(config.width, config.blocks).to(device)
        optimiser = torch.optim.Adam(self.network.parameters(), lr=config.learning_rate, eps=1e-5)
        self.descent = Descent(optimiser, max_norm=config.max_gradient_norm, updates=updates if config.anneal else None)
        self.pool = Pool(self.network, config.pool)
        self.dice = Dice(seed, device)
        self.hand = Hand(self.network, self.dice)

    def parts(self) -> dict[str, Stateful]:
        """Network, optimiser, past and dice."""
        return {"network": self.network, "descent": self.descent, "pool": self.pool, "dice": self.dice}

    def act(self, obs: Array, legal: Array) -> Acts[Remembered]:
        """See `Hand.act`."""
        return self.hand.act(obs, legal)

    def opponent(self, dice: np.random.Generator) -> Hand | None:
        """Anybody from the past; nobody at first."""
        if not self.pool.past:
            return None
        return Hand(self.pool.past[int(dice.integers(len(self.pool.past)))], self.dice)

    def estimate(self, batch: Plies) -> tuple[Tensor, Tensor]:
        """Advantages and value targets [T, N], in the eyes of who is to move."""
        c = self.config
        obs, legal = self._tensor(batch.obs[-1]), torch.ones(batch.legal.shape[1:], dtype=torch.bool)
        with torch.no_grad():
            _, last = masked(self.network, obs, legal.to(obs.device))
        colour = torch.where(self._tensor(batch.black), 1.0, -1.0)
        values = torch.cat([self._tensor(batch.memory.value), last[None]]) * colour
        ended, rewards = self._tensor(batch.over), self._tensor(batch.rewards) * colour[:-1]
        nowhere = torch.zeros_like(ended)
        black = returns.gae(rewards, ended, nowhere, values[:-1], values[1:], c.gamma, c.gae_lambda)
        return black * colour[:-1], (black + values[:-1]) * colour[:-1]

    def update(self, batch: Plies) -> Metrics:
        """Learn from the plies that the policy chose; then, every k updates, join the past."""
        c, terms = self.config, Terms("loss/policy", "loss/value", "policy/entropy", "policy/clipped", "gradient/norm")
        self.descent.begin_update()
        advantages, targets = self.estimate(batch)
        mine = self._tensor(np.flatnonzero(batch.mine.ravel()))
        fields = map(self._tensor, (batch.obs[:-1], batch.legal, batch.actions, batch.memory.log_prob))
        whole = Minibatch(*(field.flatten(0, 1)[mine] for field in (*fields, advantages, targets)))
        for _ in range(c.epochs):
            order = torch.randperm(len(mine), generator=self.dice.generator, device=self.dice.device)
            for rows in order.chunk(c.minibatches):
                down, parts = self.loss(Minibatch(*(field[rows] for field in whole)))
                terms.add(*parts, self.descent.step(down))
        if self.descent.begun % c.join_every == 0:
            self.pool.join()
        unexplained = (advantages.var(correction=0) / targets.var(correction=0).clamp(min=1e-8)).item()
        return terms.means() | {"value/explained_variance": 1 - unexplained, "pool/size": float(len(self.pool.past))}

    def loss(self, m: Minibatch) -> tuple[Tensor, list[Tensor]]:
        """L of one mini-batch, and its terms for the record."""
        c = self.config
        policy, values = masked(self.network, m.obs, m.legal)
        ratio = (policy.log_prob(m.actions) - m.old_log_probs).exp()
        clipped = ratio.clamp(1 - c.clip, 1 + c.clip)
        policy_loss = -torch.min(ratio * m.advantages, clipped * m.advantages).mean()
        value_loss = (values - m.targets).square().mean() / 2
        entropy = policy.entropy().mean()
        whole = policy_loss + c.value_weight * value_loss - c.entropy_weight * entropy
        return whole, [policy_loss, value_loss, entropy, (ratio != clipped).float().mean()]

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.dice.device)


GO5 = Config(Schedule(steps=4_000_000, save_every=20, evaluate_every=100), board=5, komi=24.5)
PRESETS = {
    "go5-cpu": Preset("5×5 where black must take the whole board", GO5),
    "go9-cpu": Preset(
        "9×9", replace(GO5, board=9, komi=7.0, blocks=4, meeting=replace(MEETING, horizon=128, opening=40))
    ),
    "alphago": Preset(
        "9×9 as AlphaGo's policy network was trained: REINFORCE with a baseline, against the past",
        replace(
            GO5,
            board=9,
            komi=7.0,
            blocks=4,
            meeting=replace(MEETING, horizon=128, opening=0, past=1.0),
            gae_lambda=1.0,
            epochs=1,
            minibatches=1,
            join_every=5,
        ),
    ),
}


def experiment(config: Config, *, seed: int, device: str) -> Experiment:
    """A policy that plays itself, and plays the anchor without any search."""
    source = League(config.played, config.meeting)
    updates = -(-config.schedule.steps // source.steps_per_draw)
    judged = anchor.judge(
        config.played,
        lambda player, dice: Instinct(player.network),
        policy="drawn from the network's, without search",
        playouts=config.anchor,
        games=config.schedule.games,
        seed=seed,
    )
    return Experiment(SelfPlayer(config, seed=seed, device=device, updates=updates), source, judged)
