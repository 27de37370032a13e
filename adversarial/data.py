"""What generators learn to make: mixtures of Gaussians whose modes are known, and images.

ring8            8 Gaussians on a circle of radius 1, σ = 0.01                 both as PacGAN's code has them
grid25           25 on {−4, −2, 0, 2, 4}², σ = 0.05                            (Lin et al. 2018)
digits           1,797 handwritten digits of 8×8 pixels, which ship with scikit-learn: 1,200 to learn from, 597 held out
mnist            70,000 of 28×28, read from a folder
stacked-mnist    three of MNIST's digits as the colours of one image: 1,000 modes   (Metz et al. 2017)
idx              any four files of MNIST's names and format: Fashion-MNIST, KMNIST, …

The ring's angles leave out the end of the circle, which is its beginning: circulating code keeps it, and has seven
modes. Mixtures never run out of samples. Images lie in [−1, 1], as [C, H, W].
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import itertools
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparring.envs.errors import BadInputError

Name = Literal["ring8", "grid25", "digits", "mnist", "stacked-mnist", "idx"]
FOLDER = "SPARRING_DATA"  # the environment variable that names a folder of data
HELD_OUT = 597  # of the 1,797 digits
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
MNIST_SHA256 = (  # of the uncompressed files
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)
MNIST_HOME = "https://ossci-datasets.s3.amazonaws.com/mnist/"
UBYTE = 8  # the code of unsigned bytes in an idx header


class Labelled(NamedTuple):
    """Samples and their classes."""

    x: Tensor  # [N, *shape] float32
    y: Tensor  # [N] int64; zeros where there are no classes


class Theirs:
    """Images that lie in a user's own folder, which a checkpoint must find again as they were."""

    def __init__(self, *parts: Labelled) -> None:
        self.crc = 0
        for tensor in itertools.chain(*parts):
            self.crc = zlib.crc32(tensor.contiguous().numpy().data, self.crc)

    def state_dict(self) -> dict[str, Any]:
        """What tells others from these."""
        return {"crc": self.crc}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Make sure that they are what was learned from.

        Raises:
            BadInputError: they are not.
        """
        if state["crc"] != self.crc:
            raise BadInputError(
                f"the checkpoint learned from images with the checksum {state['crc']:08x}, and those that are there "
                f"have {self.crc:08x}: they were changed since; bring the old ones back, or begin a new run"
            )


class Data(Protocol):
    """Something to learn to make."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""

    @property
    def classes(self) -> int:
        """How many; 0 where there are none."""

    @property
    def scale(self) -> float:
        """The deviation of a coordinate: the unit in which networks see it."""

    def sample(self, dice: torch.Generator, count: int) -> Labelled:
        """So many samples to learn from, on the device of the dice."""


@dataclass(frozen=True)
class Mixture:
    """Equal Gaussians around known modes."""

    modes: Tensor  # [K, D]
    sigma: float
    scale: float
    classes = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """[D]."""
        return (self.modes.shape[1],)

    def sample(self, dice: torch.Generator, count: int) -> Labelled:
        """Fresh ones; y is the mode, which nobody is shown."""
        mode = torch.randint(len(self.modes), (count,), generator=dice, device=dice.device)
        noise = torch.randn(count, *self.shape, generator=dice, device=dice.device)
        return Labelled(self.modes.to(dice.device)[mode] + self.sigma * noise, mode)


@dataclass(frozen=True)
class Images:
    """Images to learn from, drawn with replacement, and others that are held out."""

    train: Labelled
    held_out: Labelled
    classes: int = 10
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """[C, H, W]."""
        return tuple(self.train.x.shape[1:])

    def sample(self, dice: torch.Generator, count: int) -> Labelled:
        """Any of those to learn from."""
        return drawn(self.train, dice, count)


@dataclass(frozen=True)
class Stacked:
    """Three images of one channel as the channels of one; its class is a number of three digits."""

    of: Images
    classes: int = 1000
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """[3, H, W]."""
        return (3, *self.of.shape[1:])

    @property
    def held_out(self) -> Labelled:
        """As many triples as there are images held out."""
        return stacked(self.of.held_out, torch.Generator().manual_seed(0), len(self.of.held_out.x))

    def sample(self, dice: torch.Generator, count: int) -> Labelled:
        """Fresh triples: there are more than anybody can see."""
        return stacked(self.of.train, dice, count)


def drawn(images: Labelled, dice: torch.Generator, count: int) -> Labelled:
    """So many, with replacement, on the device of the dice."""
    chosen = torch.randint(len(images.x), (count,), generator=dice, device=dice.device).to(images.x.device)
    return Labelled(*(part[chosen].to(dice.device) for part in images))


def stacked(images: Labelled, dice: torch.Generator, count: int) -> Labelled:
    """So many triples."""
    x, y = drawn(images, dice, 3 * count)
    return Labelled(
        x.view(count, 3, *x.shape[2:]), (y.view(count, 3) * torch.tensor([100, 10, 1], device=y.device)).sum(1)
    )


def ring() -> Mixture:
    """Eight modes, all different."""
    angles = torch.arange(8, dtype=torch.float64) * (2 * torch.pi / 8)
    return Mixture(torch.stack([angles.cos(), angles.sin()], 1).float(), sigma=0.01, scale=2**-0.5)


def grid() -> Mixture:
    """Five times five."""
    side = torch.arange(-4.0, 5.0, 2.0)
    return Mixture(torch.cartesian_prod(side, side), sigma=0.05, scale=8**0.5)


@functools.cache
def digits() -> Images:
    """Scikit-learn's digits, split in proportion to the classes."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, classes = load_digits(return_X_y=True)
    images = (pixels / 8 - 1).astype(np.float32).reshape(-1, 1, 8, 8)
    parts = train_test_split(images, classes, test_size=HELD_OUT, random_state=0, stratify=classes)
    train_x, test_x, train_y, test_y = (torch.from_numpy(part) for part in parts)
    return Images(Labelled(train_x, train_y), Labelled(test_x, test_y))


@functools.cache
def idx(folder: Path, sha256: tuple[str, ...] | None) -> Images:
    """Four files of MNIST's names, gzipped or not; whose contents must have these digests, if any are given.

    Raises:
        BadInputError: one is missing, cut, altered, or of another shape.
    """
    found = [_found(folder, name) for name in FILES]
    contents = [_content(path) for path in found]
    for path, content, digest in zip(found, contents, sha256 or (), strict=False):
        got = hashlib.sha256(content).hexdigest()
        if got != digest:
            raise BadInputError(f"{path} is not MNIST's: its content has sha256 {got}, and MNIST's has {digest}")
    arrays = [parsed(content, path) for path, content in zip(found, contents, strict=True)]
    parts = [_images(arrays[first], arrays[first + 1], found[first]) for first in (0, 2)]
    if parts[0].x.shape[1:] != parts[1].x.shape[1:]:
        raise BadInputError(
            f"the images in {folder} are {list(parts[0].x.shape[2:])} to learn from and "
            f"{list(parts[1].x.shape[2:])} held out; they must be alike"
        )
    return Images(parts[0], parts[1], classes=int(parts[0].y.max()) + 1)


def _found(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise BadInputError(
        f"there is no {name} (or {name}.gz) in {folder}; MNIST's four files are at {MNIST_HOME}. Name their folder, or "
        f"the one above its folder mnist/, with --data-dir, or the latter with the variable {FOLDER}"
    )


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise BadInputError(f"{path} cannot be read, or it was cut short: {error}") from None


def parsed(content: bytes, path: Path) -> NDArray[np.uint8]:
    """The array in an idx file: two zeros, type, number of sides, the sides, the bytes (Y. LeCun's format).

    Raises:
        BadInputError: it is no such file of bytes, or not all of it is there.
    """
    if len(content) < 4 or content[:3] != bytes([0, 0, UBYTE]):
        raise BadInputError(f"{path} is no idx file of bytes: it begins with {content[:4].hex(' ')}, not 00 00 08")
    sides = np.frombuffer(content, ">u4", count=min(content[3], (len(content) - 4) // 4), offset=4)
    here, wanted = len(content) - 4 - 4 * content[3], prod(int(side) for side in sides)
    if len(sides) < content[3] or here != wanted:
        raise BadInputError(f"{path} is cut, or damaged: {sides.tolist()} are {wanted} bytes, and {here} are there")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(sides)


def _images(pixels: NDArray[np.uint8], classes: NDArray[np.uint8], path: Path) -> Labelled:
    if pixels.ndim != 3 or classes.shape != pixels.shape[:1]:
        raise BadInputError(f"{path} has shape {pixels.shape} and its labels {classes.shape}, not [N, H, W] and [N]")
    if not pixels.size:
        raise BadInputError(
            f"{path} has shape {pixels.shape}: there is nothing in it to learn from or to be asked about"
        )
    return Labelled(torch.from_numpy(pixels / np.float32(127.5) - 1)[:, None], torch.from_numpy(classes.astype(int)))


def folder_of(data_dir: str) -> Path:
    """Where the idx files lie: in `data_dir` or its folder mnist/, or in that of what the variable SPARRING_DATA names.

    Raises:
        BadInputError: nobody says where.
    """
    if data_dir:
        home, below = Path(data_dir), Path(data_dir) / "mnist"
        return below if below.is_dir() and not list(home.glob(f"{FILES[0]}*")) else home
    if FOLDER in os.environ:
        return Path(os.environ[FOLDER]) / "mnist"
    raise BadInputError(
        f"where is MNIST? Name the folder of its four files, or the one above its folder mnist/, with --data-dir, or "
        f"the latter with the variable {FOLDER}; the files are at {MNIST_HOME}. (--data digits needs no file)"
    )


def load(name: Name, data_dir: str = "") -> Data:
    """The data of that name.

    Raises:
        BadInputError: its files are missing or damaged.
    """
    loaders: dict[str, Callable[[], Data]] = {
        "ring8": ring,
        "grid25": grid,
        "digits": digits,
        "mnist": lambda: idx(folder_of(data_dir), MNIST_SHA256),
        "stacked-mnist": lambda: Stacked(idx(folder_of(data_dir), MNIST_SHA256)),
        "idx": lambda: idx(folder_of(data_dir), None),
    }
    return loaders[name]()
