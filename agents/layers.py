"""Layers that make images fast: the numbers of ordinary ones, from memory as the hardware likes it.

Bytes become numbers once, channels last (`Pixels`, `Blocks`); convolutions whose stride halves their kernel are
computed over blocks of pixels (`BlockConv2d`, `HalvingConv2d`); nothing moves on the way to the dense layer (`Flatten`,
`Dense`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Pixels(nn.Module):
    """Bytes → numbers that are exact in fp32 and in bf16; the first convolution divides by 255.

    Channels come last in memory, which is what convolutions are fastest with on CPUs and GPUs.
    """

    def forward(self, images: Tensor) -> Tensor:
        """uint8 [B, C, H, W] → 0 … 255 [B, H, W, C]."""
        return images.permute(0, 2, 3, 1).contiguous().to(float_type(images))


class Blocks(nn.Module):
    """Bytes → numbers in which each block of 4×4 pixels has become channels (space to depth).

    A convolution of 8×8 with stride 4 is one of 2×2 with stride 1 over such blocks: the same numbers from matrices that
    the hardware is twice as fast with. Four bytes move as one.
    """

    def forward(self, images: Tensor) -> Tensor:
        """uint8 [B, C, H, W] → 0 … 255 [B, H / 4, W / 4, 16 C], the channels ordered by channel, row, column."""
        B, C, H, W = images.shape
        rows = images.reshape(-1).view(torch.int32).view(B, C, H // 4, 4, W // 4)
        blocks = rows.permute(0, 2, 4, 1, 3).reshape(-1).view(torch.uint8).view(B, H // 4, W // 4, 16 * C)
        return blocks.to(float_type(images))


class ChannelsFirst(nn.Module):
    """[B, H, W, C] → [B, C, H, W] as PyTorch's convolutions want to see it; nothing moves."""

    def forward(self, x: Tensor) -> Tensor:
        """A view of the same numbers."""
        return x.permute(0, 3, 1, 2)


def float_type(images: Tensor) -> torch.dtype:
    """What the convolutions compute in."""
    device = images.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32


class PixelConv2d(nn.Conv2d):
    """A convolution over pixels in 0 … 255: w ∗ (x / 255) = (w / 255) ∗ x, which spares a pass over the images."""

    def forward(self, pixels: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C', H', W']."""
        convolved: Tensor = self._conv_forward(pixels, self.weight / 255, self.bias)
        return convolved


class BlockConv2d(nn.Conv2d):
    """The convolution of 8×8 with stride 4 over pixels, computed over `Blocks`; its weights are the ordinary ones."""

    def forward(self, blocks: Tensor) -> Tensor:
        """[B, 16 C, H / 4, W / 4] → [B, C', H / 4 - 1, W / 4 - 1]."""
        out, channels = self.weight.shape[:2]
        weight = (self.weight / 255).view(out, channels, 2, 4, 2, 4).permute(0, 1, 3, 5, 2, 4)
        weight = weight.reshape(out, 16 * channels, 2, 2)
        return torch.conv2d(blocks, weight, self.bias)


class HalvingConv2d(nn.Conv2d):
    """The convolution of 4×4 with stride 2, computed as one of 2×2 over blocks of 2×2 where they fit: the same numbers.

    The backward pass of the strided one takes half as long again in every other process, by where its memory lies.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W], channels last → [B, C', H / 2 - 1, W / 2 - 1]."""
        (B, C, H, W), out = x.shape, len(self.weight)
        if H % 2 or W % 2:
            return super().forward(x)
        pairs = x.permute(0, 2, 3, 1).reshape(B, H // 2, 2, W // 2, 2, C).transpose(2, 3)
        blocks = pairs.reshape(B, H // 2, W // 2, 4 * C).permute(0, 3, 1, 2)
        weight = self.weight.view(out, C, 2, 2, 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(out, 4 * C, 2, 2)
        return torch.conv2d(blocks, weight.contiguous(memory_format=torch.channels_last), self.bias)


class Residual(nn.Module):
    """x + conv(relu(conv(relu(x)))), 3×3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → the same shape."""
        out: Tensor = x + self.second(torch.relu(self.first(torch.relu(x))))
        return out


class Flatten(nn.Module):
    """[B, C, H, W] → [B, H W C]: the order in which channels-last numbers lie in memory, so that nothing moves."""

    def forward(self, x: Tensor) -> Tensor:
        """A view of the same numbers."""
        return x.permute(0, 2, 3, 1).flatten(1)


class Dense(nn.Linear):
    """A linear layer so large that casting its weights takes longer than using them on a few observations.

    While somebody acts, which changes no weights, they are cast once and kept.
    """

    cast: Tensor  # the weights in the type, on the device and of the version that `cast_as` says
    cast_as: tuple[object, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs] → [B, outputs]."""
        if not torch.is_inference_mode_enabled() or x.dtype == self.weight.dtype:
            return super().forward(x)
        wanted = (x.dtype, x.device, self.weight._version)
        if self.cast_as != wanted:
            self.cast, self.cast_as = self.weight.to(x.dtype), wanted
        return nn.functional.linear(x, self.cast, self.bias)
