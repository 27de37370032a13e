"""Networks with two heads: what to do (a policy) and how good it is here (a value).

    mlp      two hidden layers of 64 tanh units, policy and value apart           Schulman et al. 2017, section 6.1
    nature   conv 32·8/4, 64·4/2, 64·3/1, dense 512, one trunk for both           Mnih et al. 2015
    impala   3 × (conv 3/1, pool 3/2, 2 residual blocks) of 16, 32, 32 channels,
             dense 256, one trunk for both                                        Espeholt et al. 2018, figure 3

Weights start orthogonal: gain √2 in the body, 0.01 for the policy's head so that it starts near uniform, 1 for the
value's (Engstrom et al. 2020; OpenAI baselines). Images come as uint8 [B, C, H, W] and are scaled to [0, 1] here.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, Space
from torch import Tensor, nn

from sparring.agents.distributions import Categorical, Distribution, Gaussian
from sparring.agents.layers import (
    BlockConv2d,
    Blocks,
    ChannelsFirst,
    Dense,
    Flatten,
    HalvingConv2d,
    PixelConv2d,
    Pixels,
    Residual,
)
from sparring.agents.normalise import Normalise
from sparring.envs.errors import BadInputError
from sparring.envs.worlds import Array

NetworkName = Literal["auto", "mlp", "nature", "impala"]
Precision = Literal["auto", "fp32", "bf16"]
SMALLEST_IMAGE = 36  # pixels a side that the Nature network's three convolutions need


class SpaceError(BadInputError):
    """A world whose observations or actions an algorithm cannot handle; the message says which, and what it can."""


class ActorCritic(nn.Module):
    """obs [B, *obs] → π(·|obs), V(obs) [B]."""

    def __init__(
        self,
        entrance: nn.Module,
        policy_body: nn.Module,
        value_body: nn.Module,
        features: int,
        actions: Discrete | Box,
        precision: Precision,
    ) -> None:
        super().__init__()
        self.precision = precision
        self.entrance = entrance
        self.policy_body = policy_body
        self.value_body = value_body
        self.policy_head = nn.Linear(features, int(actions.n if isinstance(actions, Discrete) else actions.shape[0]))
        self.value_head = nn.Linear(features, 1)
        self.log_std: nn.Parameter | None = None
        if isinstance(actions, Box):
            self.log_std = nn.Parameter(torch.zeros(actions.shape[0]))  # one for all states, from 1 on

    def forward(self, obs: Tensor) -> tuple[Distribution, Tensor]:
        """Policy and values in fp32, whatever the precision inside."""
        return self.judge(self.look(obs))

    def look(self, obs: Tensor) -> Tensor:
        """Observations as the bodies take them, [B, …]; it knows no weights, so whoever needs it often keeps it."""
        with self.precise(obs):
            seen: Tensor = self.entrance(obs)
            return seen

    def judge(self, seen: Tensor) -> tuple[Distribution, Tensor]:
        """Policy and values of what was looked at; one shared body is evaluated once."""
        with self.precise(seen):
            features = self.policy_body(seen)
            value_features = features if self.value_body is self.policy_body else self.value_body(seen)
            output, values = self.policy_head(features).float(), self.value_head(value_features)[:, 0].float()
        if self.log_std is None:
            return Categorical(output), values
        return Gaussian(output, self.log_std.expand_as(output)), values

    def precise(self, x: Tensor) -> torch.autocast:
        """The context in which the network computes."""
        return torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16")


class Numbers(nn.Module):
    """Numbers of any type and shape [B, …] → float [B, inputs]."""

    def forward(self, numbers: Tensor) -> Tensor:
        """Flatten and convert."""
        return numbers.flatten(1).float()


def mlp_body(inputs: int) -> nn.Sequential:
    """[B, inputs] → [B, 64]."""
    return nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())


def nature_body(shape: tuple[int, ...]) -> tuple[nn.Module, nn.Sequential]:
    """uint8 [B, C, H, W] → [B, 512]: the entrance and the body."""
    channels, height, width = shape
    in_blocks = height % 4 == 0 and width % 4 == 0
    convolutions = nn.Sequential(
        ChannelsFirst(),
        (BlockConv2d if in_blocks else PixelConv2d)(channels, 32, 8, stride=4),
        nn.ReLU(inplace=True),
        HalvingConv2d(32, 64, 4, stride=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(64, 64, 3),
        nn.ReLU(inplace=True),
        Flatten(),
    )
    entrance = Blocks() if in_blocks else Pixels()
    return entrance, dense(entrance, convolutions, shape, 512)


def impala_body(shape: tuple[int, ...]) -> tuple[nn.Module, nn.Sequential]:
    """uint8 [B, C, H, W] → [B, 256]: the entrance and the body."""
    layers: list[nn.Module] = []
    for before, after in zip((shape[0], 16, 32), (16, 32, 32), strict=True):
        convolution = nn.Conv2d if layers else PixelConv2d
        layers += [convolution(before, after, 3, padding=1), nn.MaxPool2d(3, 2, padding=1)]
        layers += [Residual(after), Residual(after)]
    return Pixels(), dense(Pixels(), nn.Sequential(ChannelsFirst(), *layers, nn.ReLU(), Flatten()), shape, 256)


def dense(entrance: nn.Module, convolutions: nn.Module, shape: tuple[int, ...], features: int) -> nn.Sequential:
    """The convolutions, and a dense layer over all that comes out of them."""
    with torch.no_grad():
        inputs = convolutions(entrance(torch.zeros(1, *shape, dtype=torch.uint8))).shape[1]
    return nn.Sequential(convolutions, Dense(inputs, features), nn.ReLU(inplace=True))


def has_bf16(device: str) -> bool:
    """Whether the hardware computes in bf16, and does not imitate it many times slower."""
    if device == "cpu":
        return any(torch.cpu.get_capabilities().get(feature) for feature in ("avx512_bf16", "amx_bf16"))
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def settled(precision: Precision, device: str, *, images: bool) -> Precision:
    """The precision that is meant: `auto` takes bf16 for images where the hardware has it; an MLP gains nothing by it.

    Raises:
        BadInputError: bf16 was asked for and the hardware lacks it.
    """
    if precision == "bf16" and not has_bf16(device):
        raise BadInputError(f"precision is bf16, which this {device} does not compute in; use fp32, or auto")
    if precision == "auto":
        return "bf16" if images and has_bf16(device) else "fp32"
    return precision


IMAGE_BODIES = {"nature": (nature_body, 512), "impala": (impala_body, 256)}


def is_image(space: Space[Array]) -> bool:
    """Whether observations are uint8 [C, H, W], large enough for our convolutions."""
    shape = space.shape or ()
    return space.dtype == np.uint8 and len(shape) == 3 and min(shape[1:]) >= SMALLEST_IMAGE


def build(
    name: NetworkName,
    observations: Space[Array],
    actions: Space[Array],
    generator: torch.Generator,
    *,
    precision: Precision = "fp32",
    device: str = "cpu",
    normalise: bool = False,
) -> ActorCritic:
    """A network for a world's spaces, on the CPU still; `auto` takes the Nature network for images, else an MLP.

    Raises:
        SpaceError: the spaces do not fit the network.
        BadInputError: the device lacks the precision, or images are to be normalised.
    """
    if not (
        (isinstance(actions, Discrete) and actions.start == 0) or (isinstance(actions, Box) and len(actions.shape) == 1)
    ):
        raise SpaceError(f"the actions are {actions}; this algorithm handles Discrete(n) counted from 0, and Box(A)")
    if not isinstance(observations, Box) or not observations.shape:
        raise SpaceError(f"the observations are {observations}; this algorithm handles a Box of numbers")
    if name in IMAGE_BODIES and not is_image(observations):
        need = f"uint8 [C, H, W] with sides of at least {SMALLEST_IMAGE}"
        raise SpaceError(f"the observations are {observations}; the network {name!r} handles {need}; try 'mlp'")
    if name == "auto":
        name = "nature" if is_image(observations) else "mlp"
    precision = settled(precision, device, images=name in IMAGE_BODIES)
    if name == "mlp":
        inputs = int(np.prod(observations.shape))
        entrance: nn.Module = Normalise(inputs) if normalise else Numbers()
        network = ActorCritic(entrance, mlp_body(inputs), mlp_body(inputs), 64, actions, precision)
    elif normalise:
        raise BadInputError(
            f"the network {name!r} scales images by 255 and nothing else; leave --normalise-observations out"
        )
    else:
        make, features = IMAGE_BODIES[name]
        entrance, body = make(observations.shape)
        network = ActorCritic(entrance, body, body, features, actions, precision)
    return start_orthogonal(network, generator)


def start_orthogonal(network: ActorCritic, generator: torch.Generator) -> ActorCritic:
    """Draw the weights anew, from `generator` alone; biases are 0."""
    gains: dict[nn.Module, float] = {network.policy_head: 0.01, network.value_head: 1.0}
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.orthogonal_(module.weight, gains.get(module, 2**0.5), generator)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
