"""Networks with two heads: what to do (logits) and how good it is here (value).

    MLP        two hidden layers of 64 tanh units, policy and value apart     Schulman et al. 2017, section 6.1
    NatureCNN  conv 32·8/4, 64·4/2, 64·3/1, dense 512, one trunk for both     Mnih et al. 2015

Weights start orthogonal: gain √2 in the body, 0.01 for the policy's head so that it starts near uniform, 1 for the
value's (Engstrom et al. 2020; OpenAI baselines). Images come as uint8 [B, C, H, W] and are scaled to [0, 1] here.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, Space
from torch import Tensor, nn

from sparring.envs.errors import BadInputError
from sparring.envs.worlds import Array

NetworkName = Literal["auto", "mlp", "nature"]
Precision = Literal["auto", "fp32", "bf16"]
SMALLEST_IMAGE = 36  # pixels a side that the Nature network's three convolutions need


class SpaceError(BadInputError):
    """A world whose observations or actions an algorithm cannot handle; the message says which, and what it can."""


class ActorCritic(nn.Module):
    """obs [B, *obs] → logits [B, A], value [B]."""

    def __init__(
        self, policy_body: nn.Module, value_body: nn.Module, features: int, actions: int, precision: Precision
    ) -> None:
        super().__init__()
        self.precision = precision
        self.policy_body = policy_body
        self.value_body = value_body
        self.policy_head = nn.Linear(features, actions)
        self.value_head = nn.Linear(features, 1)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and values in fp32, whatever the precision inside; one shared body is evaluated once."""
        with torch.autocast(obs.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            features = self.policy_body(obs)
            value_features = features if self.value_body is self.policy_body else self.value_body(obs)
            logits, values = self.policy_head(features), self.value_head(value_features)[:, 0]
        return logits.float(), values.float()


class PixelConv2d(nn.Conv2d):
    """A convolution that reads bytes: w ∗ (x / 255) = (w / 255) ∗ x, which spares a pass over the images.

    Channels come last in memory, and bytes are exact in bf16: what CPU and GPU convolutions are fastest with.
    """

    def forward(self, images: Tensor) -> Tensor:
        """uint8 [B, C, H, W] → float [B, C', H', W']."""
        device = images.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.weight.dtype
        pixels = images.contiguous(memory_format=torch.channels_last).to(dtype)
        convolved: Tensor = self._conv_forward(pixels, self.weight / 255, self.bias)
        return convolved


class Numbers(nn.Module):
    """Numbers of any type and shape [B, …] → float [B, inputs]."""

    def forward(self, numbers: Tensor) -> Tensor:
        """Flatten and convert."""
        return numbers.flatten(1).float()


def mlp_body(inputs: int) -> nn.Sequential:
    """Numbers of any type [B, …] → [B, 64]."""
    return nn.Sequential(Numbers(), nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())


def nature_body(shape: tuple[int, ...]) -> nn.Sequential:
    """uint8 [B, C, H, W] → [B, 512]."""
    channels, height, width = shape
    convolutions = nn.Sequential(
        PixelConv2d(channels, 32, 8, stride=4),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, stride=2),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3),
        nn.ReLU(),
        nn.Flatten(),
    )
    with torch.no_grad():
        features = convolutions(torch.zeros(1, channels, height, width)).shape[1]
    return nn.Sequential(convolutions, nn.Linear(features, 512), nn.ReLU())


def settled(precision: Precision, device: str) -> Precision:
    """The precision that is meant: `auto` takes bf16 where the hardware computes in it.

    Raises:
        BadInputError: bf16 was asked for and the hardware would only imitate it, many times slower.
    """
    if device == "cpu":
        has_bf16 = any(torch.cpu.get_capabilities().get(feature) for feature in ("avx512_bf16", "amx_bf16"))
    else:
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16" and not has_bf16:
        raise BadInputError(f"precision is bf16, which this {device} does not compute in; use fp32, or auto")
    if precision == "auto":
        return "bf16" if has_bf16 else "fp32"
    return precision


def is_image(space: Space[Array]) -> bool:
    """Whether observations are uint8 [C, H, W], large enough for the Nature network."""
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
) -> ActorCritic:
    """A network for a world's spaces, on the CPU still; `auto` takes the Nature network for images, else an MLP.

    Raises:
        SpaceError: the spaces do not fit the network.
        BadInputError: the device lacks the precision.
    """
    precision = settled(precision, device)
    if not isinstance(actions, Discrete) or actions.start != 0:
        raise SpaceError(f"the actions are {actions}; this algorithm handles Discrete(n) counted from 0")
    if not isinstance(observations, Box) or not observations.shape:
        raise SpaceError(f"the observations are {observations}; this algorithm handles a Box of numbers")
    if name == "nature" and not is_image(observations):
        need = f"uint8 [C, H, W] with sides of at least {SMALLEST_IMAGE}"
        raise SpaceError(f"the observations are {observations}; the network 'nature' handles {need}; try 'mlp'")
    if name == "mlp" or not is_image(observations):
        inputs = int(np.prod(observations.shape))
        network = ActorCritic(mlp_body(inputs), mlp_body(inputs), 64, int(actions.n), precision)
    else:
        body = nature_body(observations.shape)
        network = ActorCritic(body, body, 512, int(actions.n), precision)
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
