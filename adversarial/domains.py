"""Domains: the same classes, seen otherwise. What domain adaptation learns from and is judged on.

digits          scikit-learn's digits drawn anew by an unsteady hand, 16×16,     ships in its wheel
                white on black; those to learn from 16 times
colour-digits   the same drawings over its two sample photos, |photo − digit|  made here, nothing is downloaded
mnist           28×28                                                          from a folder
mnistm          MNIST over photos, |photo − digit| in every colour             Ganin et al., JMLR 2016, section 5.2.3
usps            16×16 digits of the US Postal Service, enlarged to 28×28       from a folder

Images are [3, H, W] in [0, 1], grey ones with three equal channels. Photos behind the images to learn from never stand
behind those held out: scikit-learn's are cut as chessboards are, into white fields and black ones; of a folder of
photos it is every other one. So a domain is one domain: what is held out is drawn as what is learned from, over the
like of the same photos, and a probe cannot tell which is which.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from sparring.adversarial import data
from sparring.adversarial.data import Labelled
from sparring.envs.errors import BadInputError
from sparring.envs.worlds import Array

Name = Literal["digits", "colour-digits", "mnist", "mnistm", "usps"]
SIDE = 28
CONTRAST = 4  # of strokes, which scikit-learn has in 17 greys, and a grey stroke is lost in a photo
TIMES = 16  # that each of the digits to learn from is drawn, lest 1,200 of them be soon known by heart
WOBBLE = (0.25, 0.15, 0.15, 0.15)  # by how much at most: turned, radians; sized; shifted to the right, down, half sides
PATCHES = {  # sha256 of the files in mnistm/
    "patches_train_0.webp": "35065ac54db7299857d919954b09455ddde372fbadd12ada45a2e94ff77c4695",
    "patches_train_1.webp": "e61148d8fd765ac62a2df0990e916a56f5855d8e4bbbaa7191f76f6cfd13fa26",
    "patches_train_2.webp": "2aca28deaa5f3b4f67ab3c56383bcb8e844c6ba3960b64e3e3393ba75edc38a8",
    "patches_test.webp": "2fd8dae620541992f6c6cd062e835e0662fe1e408ed70ddda9a11c4d07247cd5",
}
USPS_SHA256 = "bc7c88b75623d12d82668474cc944208a618e708292eda4c272589befa30b8d3"
FIELD = 60  # pixels at least of a field's side
PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".ppm")


class Domain(NamedTuple):
    """Images to learn from, and others to judge on."""

    name: str
    train: Labelled
    test: Labelled

    @property
    def shape(self) -> tuple[int, ...]:
        """[C, H, W]."""
        return tuple(self.train.x.shape[1:])

    @property
    def classes(self) -> int:
        """How many."""
        return int(self.train.y.max()) + 1


def load(name: Name, data_dir: str = "", photos: str = "") -> Domain:
    """The domain of that name.

    Args:
        name: of the domain.
        data_dir: the folder that holds mnist/, mnistm/ and usps/; empty: what the variable SPARRING_DATA names.
        photos: a folder of photos, from which MNIST-M is made anew.

    Raises:
        BadInputError: files are missing, cut or altered.
    """
    loaders: dict[str, Callable[[], Domain]] = {
        "digits": digits,
        "colour-digits": colour_digits,
        "mnist": lambda: mnist(folder(data_dir)),
        "mnistm": lambda: mnistm(folder(data_dir), Path(photos) if photos else None),
        "usps": lambda: usps(folder(data_dir)),
    }
    return loaders[name]()


def folder(data_dir: str) -> Path:
    """Where the folders of data lie.

    Raises:
        BadInputError: nobody says where.
    """
    found = data_dir or os.environ.get(data.FOLDER, "")
    if not found:
        raise BadInputError(
            f"where are the data? Name the folder that holds mnist/, mnistm/ and usps/ with --data-dir, or with the "
            f"variable {data.FOLDER}. (digits and colour-digits need no file)"
        )
    return Path(found)


def check_alike(source: Domain, target: Domain) -> None:
    """Make sure that what is learned on one can be asked of the other.

    Raises:
        BadInputError: shapes or classes differ.
    """
    if source.shape != target.shape:
        raise BadInputError(
            f"images of {source.name} are {list(source.shape)} and those of {target.name} {list(target.shape)}; "
            "digits go with colour-digits, mnist with mnistm and usps"
        )
    if source.classes != target.classes:
        raise BadInputError(
            f"{source.name} has {source.classes} classes and {target.name} {target.classes}; they must be the same"
        )


# ---------------------------------------------------------------------------------------------- without a download


def drawn(images: Labelled, hand: Tensor) -> Labelled:
    """Images [N, 1, 8, 8] in [0, 1] as if drawn twice as large: a stroke is white, what is none is black.

    Args:
        images: as scikit-learn has them.
        hand: affine maps [N, 2, 3] from places in what is drawn to places in the images, both from −1 to 1.
    """
    side = 2 * images.x.shape[-1]
    places = affine_grid(hand, [len(images.x), 1, side, side], align_corners=False)
    x = grid_sample(images.x, places, mode="bicubic", align_corners=False)
    return Labelled(((x - 0.5) * CONTRAST + 0.5).clamp(0, 1), images.y)


def unsteady(count: int, seed: int) -> Tensor:
    """Hands [count, 2, 3] that turn what they see by up to 14°, size it by up to 15 %, and shift it by up to 7.5 %."""
    dice = torch.Generator().manual_seed(seed)
    turn, size, right, down = ((2 * torch.rand(count, 4, generator=dice) - 1) * torch.tensor(WOBBLE)).unbind(1)
    cos, sin = (1 + size) * turn.cos(), (1 + size) * turn.sin()
    return torch.stack([cos, -sin, right, sin, cos, down], 1).view(count, 2, 3)


@functools.cache
def large_digits() -> tuple[Labelled, Labelled]:
    """Scikit-learn's digits [N, 1, 16, 16] in [0, 1]: to learn from, each drawn TIMES times, and held out, once."""
    known = data.digits()
    train, test = (Labelled((part.x + 1) / 2, part.y) for part in (known.train, known.held_out))
    train = Labelled(*(torch.cat([part] * TIMES) for part in train))
    return drawn(train, unsteady(len(train.x), seed=0)), drawn(test, unsteady(len(test.x), seed=1))


def in_colour(images: Labelled) -> Labelled:
    """Grey images [N, 1, H, W] in three equal channels."""
    return Labelled(images.x.expand(-1, 3, -1, -1), images.y)


@functools.cache
def digits() -> Domain:
    """The digits in three equal channels."""
    return Domain("digits", *map(in_colour, large_digits()))


@functools.cache
def colour_digits() -> Domain:
    """The digits over crops of scikit-learn's photos: white fields to learn from, black ones held out."""
    from sklearn.datasets import load_sample_images

    white, black = list[Array](), list[Array]()
    for photo in load_sample_images().images:
        for fields, more in zip((white, black), chequered(photo), strict=True):
            fields += more
    train, test = large_digits()
    return Domain("colour-digits", over(train, white, seed=0), over(test, black, seed=1))


def chequered(photo: Array) -> tuple[list[Array], list[Array]]:
    """The white and the black fields of a photo [H, W, 3] that is cut as a chessboard is."""
    rows = np.array_split(photo, photo.shape[0] // FIELD)
    fields = [np.array_split(row, photo.shape[1] // FIELD, axis=1) for row in rows]
    white, black = ([one for y, row in enumerate(fields) for one in row[(y + k) % 2 :: 2]] for k in range(2))
    return white, black


def over(images: Labelled, photos: Sequence[Array], seed: int) -> Labelled:
    """|photo − digit| with a random crop behind every image; photos [H, W, 3] uint8."""
    crops = torch.from_numpy(cropped(photos, len(images.x), images.x.shape[-1], seed)).permute(0, 3, 1, 2)
    return Labelled((crops.float() / 255 - images.x).abs().contiguous(), images.y)


def cropped(photos: Sequence[Array], count: int, side: int, seed: int) -> Array:
    """Random crops [count, side, side, 3]: a photo, then a corner, each as likely as any other."""
    dice = np.random.default_rng(seed)
    chosen = dice.integers(len(photos), size=count)
    top = dice.integers(np.array([photo.shape[0] - side + 1 for photo in photos])[chosen])
    left = dice.integers(np.array([photo.shape[1] - side + 1 for photo in photos])[chosen])
    return np.stack([photos[k][y : y + side, x : x + side] for k, y, x in zip(chosen, top, left, strict=True)])


# ---------------------------------------------------------------------------------------------- from a folder


@functools.cache
def mnist(home: Path) -> Domain:
    """MNIST in three equal channels."""
    known = data.idx(data.folder_of(str(home)), data.MNIST_SHA256)
    train, test = (in_colour(Labelled((part.x + 1) / 2, part.y)) for part in (known.train, known.held_out))
    return Domain("mnist", train, test)


@functools.cache
def mnistm(home: Path, photos: Path | None) -> Domain:
    """MNIST over photos: over the patches in mnistm/, or over crops of a folder of photos."""
    plain = mnist(home)
    if photos is not None:
        pictures = photos_in(photos, SIDE)
        train, test = pictures[::2], pictures[1::2]
        return Domain("mnistm", over(plain.train, train, seed=0), over(plain.test, test, seed=1))
    names = list(PATCHES)
    train_patches = np.concatenate([patches(home / "mnistm", name) for name in names[:3]])
    parts = (train_patches[np.arange(len(plain.train.x)) % len(train_patches)], patches(home / "mnistm", names[3]))
    blended = [blend(images, behind) for images, behind in zip((plain.train, plain.test), parts, strict=True)]
    return Domain("mnistm", *blended)


def blend(images: Labelled, behind: Array) -> Labelled:
    """|patch − digit| in whole numbers, as MNIST-M is made; patches [N, 28, 28, 3] uint8."""
    grey = (images.x[:, 0] * 255).round().to(torch.int16)
    patch = torch.from_numpy(behind).permute(0, 3, 1, 2).to(torch.int16)
    return Labelled((patch - grey[:, None]).abs().float() / 255, images.y)


def patches(home: Path, name: str) -> Array:
    """The patches in a picture of 100 × 100 of them, row by row [10000, 28, 28, 3] uint8."""
    picture = decoded(content(home / name, PATCHES[name]), home / name)
    return picture.reshape(100, SIDE, 100, SIDE, 3).swapaxes(1, 2).reshape(-1, SIDE, SIDE, 3)


def photos_in(home: Path, side: int) -> list[Array]:
    """All photos in a folder and those below it, in the order of their paths [H, W, 3] uint8.

    Raises:
        BadInputError: there are fewer than two, or one is smaller than a crop.
    """
    paths = sorted(path for path in home.rglob("*") if path.suffix.lower() in PHOTO_ENDINGS and path.is_file())
    if len(paths) < 2:
        raise BadInputError(f"{home} holds {len(paths)} photos ({', '.join(PHOTO_ENDINGS)}); two or more are needed")
    found = []
    for path in paths:
        photo = decoded(path.read_bytes(), path)
        if min(photo.shape[:2]) < side:
            raise BadInputError(
                f"{path} has {photo.shape[0]}×{photo.shape[1]} pixels; at least {side}×{side} are needed"
            )
        found.append(photo)
    return found


def decoded(raw: bytes, path: Path) -> Array:
    """A picture [H, W, 3] uint8.

    Raises:
        BadInputError: it is none.
    """
    from PIL import Image

    try:
        return np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise BadInputError(f"{path} is no picture, or one that cannot be read: {error}") from None


@functools.cache
def usps(home: Path) -> Domain:
    """USPS, white on black as MNIST, enlarged to its size."""
    path = home / "usps" / "usps.npz"
    arrays = np.load(io.BytesIO(content(path, USPS_SHA256)), allow_pickle=False)

    def part(name: str) -> Labelled:
        x = torch.from_numpy((arrays[f"{name}_x"] + 1) / 2).float()[:, None]
        x = interpolate(x, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        return Labelled(x.expand(-1, 3, -1, -1).contiguous(), torch.from_numpy(arrays[f"{name}_y"].astype(np.int64)))

    return Domain("usps", part("train"), part("test"))


def content(path: Path, sha256: str) -> bytes:
    """The bytes of a file that must be these.

    Raises:
        BadInputError: it is missing, cut or altered.
    """
    if not path.is_file():
        raise BadInputError(f"there is no {path}; name the folder that holds {path.parent.name}/ with --data-dir")
    raw = path.read_bytes()
    got = hashlib.sha256(raw).hexdigest()
    if got != sha256:
        raise BadInputError(f"{path} was cut or altered: its sha256 is {got}, and should be {sha256}")
    return raw


def mean_of(*domains: Domain) -> Tensor:
    """The mean image of what is learned from [C, H, W], each domain as much as the other."""
    return torch.stack([domain.train.x.mean(0) for domain in domains]).mean(0)
