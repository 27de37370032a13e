"""What is learned from: mixtures held to their definitions, idx files to their format, what is wrong to a message."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparring.adversarial import data
from sparring.envs.errors import BadInputError

SHARED = Path(__file__).parents[2] / "shared" / "data"


def dice(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_ring_has_eight_modes_that_differ():
    modes = data.ring().modes
    assert modes.shape == (8, 2)
    np.testing.assert_allclose(modes.norm(dim=1), 1, rtol=1e-6)
    apart = torch.cdist(modes, modes) + 9 * torch.eye(8)
    np.testing.assert_allclose(apart.min(1).values, 2 * np.sin(np.pi / 8), rtol=1e-5)


def test_the_grid_has_twenty_five():
    modes = data.grid().modes
    assert {tuple(mode) for mode in modes.tolist()} == {
        (float(x), float(y)) for x in range(-4, 5, 2) for y in range(-4, 5, 2)
    }


@pytest.mark.parametrize(("mixture", "sigma"), [(data.ring(), 0.01), (data.grid(), 0.05)])
def test_a_mixture_is_spread_evenly_around_its_modes(mixture, sigma):
    x, mode = mixture.sample(dice(), 50_000)
    shares = np.bincount(mode.numpy(), minlength=len(mixture.modes)) / 50_000
    assert abs(shares * len(mixture.modes) - 1).max() < 0.12
    np.testing.assert_allclose((x - mixture.modes[mode]).std(0), [sigma, sigma], rtol=0.02)
    assert float(x.std()) == pytest.approx(mixture.scale, rel=0.02)
    assert torch.equal(x, mixture.sample(dice(), 50_000).x)
    assert not torch.equal(x, mixture.sample(dice(1), 50_000).x)


def test_the_digits_are_split_in_proportion():
    digits = data.digits()
    assert digits.train.x.shape == (1200, 1, 8, 8)
    assert digits.held_out.x.shape == (597, 1, 8, 8)
    assert (float(digits.train.x.min()), float(digits.train.x.max())) == (-1, 1)
    shares = [torch.bincount(part.y, minlength=10) / len(part.y) for part in (digits.train, digits.held_out)]
    assert (shares[0] - shares[1]).abs().max() < 2e-3
    seen = {image.numpy().tobytes() for image in digits.train.x}
    assert not [image for image in digits.held_out.x if image.numpy().tobytes() in seen]
    x, y = digits.sample(dice(), 100)
    assert all(
        (digits.train.x[digits.train.y == label] == image).flatten(1).all(1).any()
        for image, label in zip(x, y, strict=True)
    )


def test_three_digits_are_the_colours_of_one_image():
    stacked = data.Stacked(data.digits())
    x, y = stacked.sample(dice(), 50)
    assert x.shape == (50, 3, 8, 8)
    assert stacked.shape == (3, 8, 8)
    train = stacked.of.train
    for image, number in zip(x, y.tolist(), strict=True):
        for channel, label in zip(image, (number // 100, number // 10 % 10, number % 10), strict=True):
            assert (train.x[train.y == label][:, 0] == channel).flatten(1).all(1).any()


# ---------------------------------------------------------------------------------------------- idx files


def idx_bytes(array):
    return struct.pack(f">2xBB{array.ndim}I", 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path):
    """Four files of 6 and 3 images of 4 × 5, two of them gzipped."""
    random = np.random.default_rng(0)
    for part, count in (("train", 6), ("t10k", 3)):
        images = random.integers(0, 256, (count, 4, 5), dtype=np.uint8)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        labels = np.arange(count, dtype=np.uint8)
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(labels)))
    return tmp_path


def test_idx_files_are_read_gzipped_or_not(folder):
    images = data.load("idx", str(folder))
    assert images.shape == (1, 4, 5)
    assert images.classes == 6
    pixels = np.frombuffer((folder / "train-images-idx3-ubyte").read_bytes()[16:], np.uint8)
    np.testing.assert_allclose(images.train.x.flatten(), pixels / 127.5 - 1, atol=1e-6)
    assert images.held_out.y.tolist() == [0, 1, 2]


def test_the_folder_above_mnist_may_be_named_too(folder, tmp_path_factory):
    above = tmp_path_factory.mktemp("above")
    (above / "mnist").symlink_to(folder)
    assert data.folder_of(str(above)) == above / "mnist"
    assert data.load("idx", str(above)).shape == (1, 4, 5)
    (folder / "mnist").mkdir()
    assert data.folder_of(str(folder)) == folder  # its own files come first
    assert data.folder_of(str(folder / "none")) == folder / "none"


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.data())
def test_an_array_survives_its_file(sides, drawn):
    array = np.array(
        drawn.draw(st.lists(st.integers(0, 255), min_size=int(np.prod(sides)), max_size=int(np.prod(sides)))), np.uint8
    )
    found = data.parsed(idx_bytes(array.reshape(sides)), Path("x"))
    assert found.shape == tuple(sides)
    assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no idx file of bytes: it begins with , not 00 00 08"),
        (b"GIF89a", "no idx file of bytes: it begins with 47 49 46 38, not 00 00 08"),
        (bytes([0, 0, 13, 1, 0, 0, 0, 1, 0]), "begins with 00 00 0d 01, not 00 00 08"),
        (idx_bytes(np.zeros((2, 3), np.uint8))[:-1], r"\[2, 3\] are 6 bytes, and 5 are there"),
        (idx_bytes(np.zeros(3, np.uint8)) + b"\0", r"\[3\] are 3 bytes, and 4 are there"),
        (bytes([0, 0, 8, 3, 0, 0, 0, 1]), "is cut, or damaged"),
    ],
)
def test_a_file_that_is_not_whole_is_named(content, said):
    with pytest.raises(BadInputError, match=f"some/file.*{said}"):
        data.parsed(content, Path("some/file"))


def test_what_is_wrong_with_a_folder_is_said(folder, monkeypatch):
    def load():
        data.idx.cache_clear()
        return data.load("idx", str(folder))

    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"\x1f\x8b\x08 no more")
    with pytest.raises(BadInputError, match=r"t10k-labels-idx1-ubyte.gz cannot be read, or it was cut short"):
        load()
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(np.zeros(4, np.uint8))))
    with pytest.raises(BadInputError, match=r"t10k-images-idx3-ubyte has shape \(3, 4, 5\) and its labels \(4,\)"):
        load()
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(np.zeros(3, np.uint8))))
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((3, 5, 5), np.uint8)))
    with pytest.raises(BadInputError, match=r"\[4, 5\] to learn from and \[5, 5\] held out"):
        load()
    with pytest.raises(
        BadInputError, match=r"is not MNIST's: its content has sha256 [0-9a-f]{64}, and MNIST's has ba89"
    ):
        data.load("mnist", str(folder))
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((0, 4, 5), np.uint8)))
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(np.zeros(0, np.uint8))))
    with pytest.raises(BadInputError, match=r"t10k-images-idx3-ubyte has shape \(0, 4, 5\): there is nothing in it"):
        load()
    (folder / "train-images-idx3-ubyte").unlink()
    with pytest.raises(
        BadInputError, match=r"there is no train-images-idx3-ubyte \(or .*gz\) in .*at https://.*--data-dir"
    ):
        load()
    monkeypatch.delenv(data.FOLDER, raising=False)
    with pytest.raises(
        BadInputError, match=r"where is MNIST\?.*--data-dir.*SPARRING_DATA.*--data digits needs no file"
    ):
        data.load("mnist")


@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="MNIST is not in ../shared/data")
def test_mnist_is_found_where_the_variable_says(monkeypatch):
    monkeypatch.setenv(data.FOLDER, os.fspath(SHARED))
    mnist = data.load("mnist")
    assert mnist.train.x.shape == (60_000, 1, 28, 28)
    assert mnist.held_out.x.shape == (10_000, 1, 28, 28)
    assert float((mnist.train.x.mean() + 1) / 2) == pytest.approx(0.1307, abs=1e-4)  # as everybody knows
    assert torch.bincount(mnist.train.y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.load("stacked-mnist").shape == (3, 28, 28)


def test_images_of_a_users_own_must_be_found_as_they_were():
    known = data.digits()
    learned = data.Theirs(known.train, known.held_out)
    data.Theirs(known.train, known.held_out).load_state_dict(learned.state_dict())
    changed = known.train.x.clone()
    changed[7, 0, 3, 3] += 0.5
    now = data.Theirs(data.Labelled(changed, known.train.y), known.held_out)
    with pytest.raises(
        BadInputError, match=rf"checksum {learned.crc:08x}, and those.*have {now.crc:08x}: they were changed since; bri"
    ):
        now.load_state_dict(learned.state_dict())
