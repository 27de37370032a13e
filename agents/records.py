"""Games that a network played against itself, and how a checkpoint holds many of them in a few arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from sparring.envs.worlds import Array

NOBODY_KNOWS = 2  # an owner, where the game was not played out


@dataclass
class Record:
    """A game, or what there is of it so far."""

    number: int
    stubborn: bool = True  # nobody gives up
    moves: list[int] = field(default_factory=list)
    policies: list[Array] = field(default_factory=list)  # what the search advised [A] float16
    full: list[bool] = field(default_factory=list)  # whether it was searched in full
    values: list[float] = field(default_factory=list)  # of the roots, to who moved
    result: int = 0  # 1 black has won, −1 white has, 0 nobody
    owners: Array | None = None  # [H · W] int8: 1 black's, −1 white's, 0 nobody's; None where it was not played out
    doomed: int = 0  # who would have given up first: 1 black, −1 white

    def despair(self, threshold: float) -> bool:
        """Whether who has just moved should have given up, for the second time running."""
        return max(self.values[-1:] + self.values[-3:-2]) < -threshold and len(self.values) > 2


def packed(records: Sequence[Record], points: int) -> dict[str, torch.Tensor]:
    """Games on boards of so many points, one after the other in a few arrays."""
    unknown = np.full(points, NOBODY_KNOWS, np.int8)
    owners = [unknown if record.owners is None else record.owners for record in records]
    policies = [policy for record in records for policy in record.policies]
    return {
        "numbers": torch.tensor([record.number for record in records], dtype=torch.int64),
        "stubborn": torch.tensor([record.stubborn for record in records], dtype=torch.bool),
        "lengths": torch.tensor([len(record.moves) for record in records], dtype=torch.int32),
        "moves": torch.tensor([move for record in records for move in record.moves], dtype=torch.int16),
        "policies": torch.from_numpy(np.array(policies, np.float16).reshape(-1, points + 1)),
        "full": torch.tensor([full for record in records for full in record.full], dtype=torch.bool),
        "values": torch.tensor([value for record in records for value in record.values], dtype=torch.float64),
        "results": torch.tensor([record.result for record in records], dtype=torch.int8),
        "owners": torch.from_numpy(np.array(owners, np.int8).reshape(-1, points)),
        "doomed": torch.tensor([record.doomed for record in records], dtype=torch.int8),
    }


def unpacked(state: Mapping[str, torch.Tensor]) -> list[Record]:
    """What was packed."""
    cuts = np.cumsum(state["lengths"].numpy())[:-1]
    plies = {name: np.split(state[name].numpy(), cuts) for name in ("moves", "policies", "full", "values")}
    return [
        Record(
            number,
            stubborn=stubborn,
            moves=plies["moves"][at].tolist(),
            policies=list(plies["policies"][at]),
            full=plies["full"][at].tolist(),
            values=plies["values"][at].tolist(),
            result=result,
            owners=None if owners[0] == NOBODY_KNOWS else owners,
            doomed=doomed,
        )
        for at, (number, stubborn, result, owners, doomed) in enumerate(
            zip(
                *(state[name].tolist() for name in ("numbers", "stubborn", "results")),
                state["owners"].numpy(),
                state["doomed"].tolist(),
                strict=True,
            )
        )
    ]
