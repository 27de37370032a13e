"""What `Play` costs beside a hand-written loop of the same GAN: same networks, data, losses and optimisers, one thread.

Both train the preset's generator and discriminator on the ring, ROUNDS rounds a turn, in alternating turns, and go on
from where they were; `overhead` is the median over turns of the ratio of their times. That both do the same work is
checked: from equal weights and equal batches they arrive at equal weights.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Callable
from time import perf_counter

import numpy as np
import record
import torch
from torch.nn.functional import softplus

from sparring.adversarial import data, gan
from sparring.adversarial.gan import Config, Dealt
from sparring.adversarial.play import Play, Table

SEED = 0


class Loop:
    """The loop that everybody writes: discriminator, then generator, each with zero_grad, backward and step."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.known = data.load(config.data)
        players = gan.players_of(config, self.known, int(np.random.SeedSequence(SEED).generate_state(1)[0]))
        self.d, self.g = players["discriminator"], players["generator"]
        betas = (config.beta1, config.beta2)
        self.d_adam = torch.optim.Adam(self.d.parameters(), lr=config.discriminator_rate, betas=betas, fused=True)
        self.g_adam = torch.optim.Adam(self.g.parameters(), lr=config.generator_rate, betas=betas, fused=True)
        self.dice = torch.Generator().manual_seed(SEED)

    def step(self, batch: Dealt) -> tuple[float, float]:
        """One round; both losses, since whoever writes a loop prints them."""
        x, y, z, _ = batch
        x = x.detach().requires_grad_(self.config.r1 > 0)
        real, fake = self.d(x, y), self.d(self.g(z, y).detach(), y)
        d_loss = softplus(-real).mean() + softplus(fake).mean()
        if self.config.r1:
            [slope] = torch.autograd.grad(real.sum(), x, create_graph=True)
            d_loss = d_loss + self.config.r1 / 2 * slope.square().sum(1).mean()
        self.d_adam.zero_grad()
        d_loss.backward()
        self.d_adam.step()
        g_loss = softplus(-self.d(self.g(z, y), y)).mean()
        self.g_adam.zero_grad()
        g_loss.backward()
        self.g_adam.step()
        return d_loss.item(), g_loss.item()

    def batch(self) -> Dealt:
        """Real samples and latents, drawn as they are needed."""
        x, y = self.known.sample(self.dice, self.config.batch)
        z = torch.randn(self.config.batch, self.config.latent, generator=self.dice)
        return Dealt(x, y, z, z[:, 0])

    def play(self, rounds: int) -> None:
        """So many rounds."""
        for _ in range(rounds):
            self.step(self.batch())


def arrive_together(config: Config, updates: int = 2) -> float:
    """The largest difference of any weight after the same batches from the same start."""
    play, table, _ = gan.experiment(config, seed=SEED, device="cpu")
    loop = Loop(config)
    table.reset(SEED)
    for _ in range(updates):
        rounds = table.draw(play)
        play.update(rounds)
        for [batch] in rounds:
            loop.step(batch)
    mine = [*play.game.players["discriminator"].parameters(), *play.game.players["generator"].parameters()]
    theirs = [*loop.d.parameters(), *loop.g.parameters()]
    return max(float((a - b).detach().abs().max()) for a, b in zip(mine, theirs, strict=True))


def played(play: Play[Dealt], table: Table[Dealt], updates: int) -> None:
    """So many updates."""
    for _ in range(updates):
        play.update(table.draw(play))


def timed(what: Callable[[], object]) -> float:
    """Seconds."""
    start = perf_counter()
    what()
    return perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=500, help="in a turn")
    options = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, object] = {}
    for name, r1 in (("plain", 0.0), ("r1", 0.1)):
        config = dataclasses.replace(gan.PRESETS["ring8"].config, r1=r1, average=0.0, anneal=False)
        apart = arrive_together(config)
        assert apart < 1e-3, f"they part by {apart:g}"
        play, table, _ = gan.experiment(config, seed=SEED, device="cpu")
        table.reset(SEED)
        loop = Loop(config)
        ours = functools.partial(played, play, table, options.rounds // table.steps_per_draw)
        theirs = functools.partial(loop.play, options.rounds)
        turns = [(timed(ours), timed(theirs)) for _ in range(options.turns + 1)][1:]  # the first warms up
        ratios = [mine / other for mine, other in turns]
        figures |= {
            f"overhead_{name}": float(np.median(ratios)),
            f"overhead_{name}_range": [min(ratios), max(ratios)],
            f"play_{name}_rounds_per_s": options.rounds / float(np.median([mine for mine, _ in turns])),
            f"loop_{name}_rounds_per_s": options.rounds / float(np.median([other for _, other in turns])),
            f"largest_difference_{name}": apart,
        }
    record.write(
        "play_overhead",
        figures=figures,
        protocol={
            "config": dataclasses.asdict(config),
            "turns": options.turns,
            "rounds": options.rounds,
            "threads": 1,
        },
        seeds=[SEED],
        notes="Ratio of times of alternating turns, median. Both read both losses; the loop deals a batch when it "
        "needs one, Play an update's worth at once. Without penalties (plain) and with R1.",
    )


if __name__ == "__main__":
    main()
