"""Domains: what they hold, how photos come behind digits, and what is wrong with a file."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sparring.adversarial import data, domains, probes
from sparring.adversarial.data import Labelled
from sparring.adversarial.domains import Domain
from sparring.envs.errors import BadInputError

SHARED = Path(__file__).parents[2] / "shared" / "data"
NAMES = ("digits", "colour-digits")


def blank(count=4, side=6, classes=2):
    """White digits on nothing: a square in the middle."""
    x = torch.zeros(count, 1, side, side)
    x[:, :, 2:4, 2:4] = 1
    return Labelled(x, torch.arange(count) % classes)


# ---------------------------------------------------------------------------------------------- without a download


@pytest.mark.parametrize("name", NAMES)
def test_a_domain_has_pixels_from_0_to_1_and_all_classes(name):
    domain = domains.load(name)
    assert domain.name == name
    assert domain.shape == (3, 16, 16)
    assert domain.classes == 10
    for part in (domain.train, domain.test):
        assert part.x.dtype == torch.float32
        assert 0 <= float(part.x.min()) < 0.05
        assert 0.95 < float(part.x.max()) <= 1
        assert sorted(part.y.unique().tolist()) == list(range(10))
        assert len(part.x) == len(part.y)


def test_the_two_domains_show_the_same_digits():
    plain, colourful = (domains.load(name) for name in NAMES)
    assert torch.equal(plain.test.y, colourful.test.y)
    assert torch.equal(plain.train.y, colourful.train.y)
    assert len(plain.train.y) == domains.TIMES * len(data.digits().train.y)
    assert torch.equal(plain.test.x[:, 0], plain.test.x[:, 1])  # grey
    spread = colourful.test.x.std(1).mean()  # over colours
    assert spread > 0.05


def test_digits_are_drawn_twice_as_large_in_black_and_white():
    x = torch.zeros(3, 1, 8, 8)
    x[0, ..., 4:] = 1
    x[1], x[2] = 0.6, 0.3
    edge, light, dark = domains.drawn(Labelled(x, torch.zeros(3)), torch.eye(2, 3).repeat(3, 1, 1)).x[:, 0]
    assert edge[4:12].tolist() == [[0] * 8 + [1] * 8] * 8
    torch.testing.assert_close(light[4:12, 4:12], torch.full((8, 8), 0.9))  # 4 (0.6 − ½) + ½
    assert not dark.any()


def test_a_hand_draws_what_its_map_says():
    x = torch.zeros(2, 1, 8, 8)
    x[..., 0:4] = 1  # white on the left
    mirrored = torch.tensor([[-1.0, 0, 0], [0, 1, 0]])
    turned = torch.tensor([[0.0, -1, 0], [1, 0, 0]])  # a quarter: what is above is what was right
    across, below = domains.drawn(Labelled(x, torch.zeros(2)), torch.stack([mirrored, turned])).x[:, 0]
    assert across[4:12].tolist() == [[0] * 8 + [1] * 8] * 8
    assert below[:, 4:12].tolist() == [[0] * 8] * 8 + [[1] * 8] * 8


def test_an_unsteady_hand_stays_within_its_wobble_and_draws_alike_from_one_seed():
    hands = domains.unsteady(1_000, seed=3)
    assert torch.equal(hands, domains.unsteady(1_000, seed=3))
    assert not torch.equal(hands, domains.unsteady(1_000, seed=4))
    turn, size = torch.atan2(hands[:, 1, 0], hands[:, 0, 0]), hands[:, :2, :2].det().sqrt()
    assert 0.24 < turn.abs().max() <= 0.25
    assert 0.14 < (size - 1).abs().max() <= 0.15 + 1e-6
    assert 0.14 < hands[:, :, 2].abs().max() <= 0.15


def test_no_part_of_a_photo_stands_behind_images_of_both_parts(monkeypatch):
    """Every pixel of the photos is in one field, white or black, and each kind has about half of them."""
    from sklearn.datasets import load_sample_images

    behind, photos = [], load_sample_images().images
    monkeypatch.setattr(domains, "over", lambda images, fields, seed: behind.append(fields) or images)
    domains.colour_digits.__wrapped__()
    white, black = (sum(field[..., 0].size for field in fields) for fields in behind)
    assert white + black == sum(photo[..., 0].size for photo in photos)
    assert white == pytest.approx(black, rel=0.01)


def test_a_photo_is_cut_as_a_chessboard_is():
    places = np.arange(140 * 190, dtype=np.float32).reshape(140, 190, 1)
    white, black = domains.chequered(places)
    assert [field.shape[:2] for field in white] == [(70, 64), (70, 63), (70, 63)]
    assert [field.shape[:2] for field in black] == [(70, 63), (70, 64), (70, 63)]
    assert [field[0, 0, 0] for field in white] == [0, 127, 70 * 190 + 64]
    assert [field[0, 0, 0] for field in black] == [64, 70 * 190, 70 * 190 + 127]
    seen = np.concatenate([field.ravel() for field in (*white, *black)])
    assert np.array_equal(np.sort(seen), places.ravel())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_held_out_is_of_the_domain_that_is_learned_from(name):
    """A probe that tells the two domains apart at once finds nothing here."""
    domain, count = domains.load(name), 597
    shown = torch.randperm(len(domain.train.x), generator=torch.Generator().manual_seed(0))[:count]
    other = domains.load(next(one for one in NAMES if one != name)).test.x

    def distance(images):
        both = [some.flatten(1) for some in (domain.train.x[shown], images)]
        return max(probes.domain_distances([some[::2] for some in both], [some[1::2] for some in both], seed=0))

    assert distance(domain.test.x) < 0.3
    assert distance(other) > 1.5


def test_the_photo_is_inverted_under_the_digit():
    photo = np.full((6, 6, 3), [230, 128, 51], np.uint8)
    [image, *_] = domains.over(blank(), [photo], seed=0).x
    np.testing.assert_allclose(image[:, 0, 0], [230 / 255, 128 / 255, 0.2], rtol=1e-6)
    np.testing.assert_allclose(image[:, 2, 2], [25 / 255, 127 / 255, 0.8], rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(5, 9), st.integers(5, 9)), min_size=1, max_size=3),
    st.integers(1, 20),
    st.integers(0, 100),
)
def test_every_crop_lies_in_a_photo(sides, count, seed):
    photos = [np.random.default_rng(k).random((*side, 3)).astype(np.float32) for k, side in enumerate(sides)]
    crops = domains.cropped(photos, count, 5, seed)
    assert crops.shape == (count, 5, 5, 3)
    for crop in crops:
        places = (
            np.array_equal(crop, photo[y : y + 5, x : x + 5])
            for photo in photos
            for y in range(photo.shape[0] - 4)
            for x in range(photo.shape[1] - 4)
        )
        assert any(places)


def test_every_place_of_every_photo_can_be_cropped():
    photos = [np.arange(27, dtype=np.float32).reshape(3, 3, 3), 100 + np.arange(12, dtype=np.float32).reshape(2, 2, 3)]
    seen = {crop.tobytes() for crop in domains.cropped(photos, 500, 2, 0)}
    assert len(seen) == 4 + 1


def test_the_mean_counts_both_domains_alike():
    one, other = (
        Domain(name, Labelled(torch.full((count, 1, 2, 2), value), torch.zeros(count)), blank())
        for name, count, value in (("a", 2, 0.2), ("b", 10, 0.8))
    )
    torch.testing.assert_close(domains.mean_of(one, other), torch.full((1, 2, 2), 0.5))


# ---------------------------------------------------------------------------------------------- from a folder


def save(path, side, colour):
    Image.fromarray(np.full((*side, 3), colour, np.uint8)).save(path)


def test_photos_are_read_in_the_order_of_their_names(tmp_path):
    (tmp_path / "b").mkdir()
    save(tmp_path / "b" / "b.png", (30, 40), (0, 255, 0))
    save(tmp_path / "a.PNG", (28, 28), (255, 0, 0))
    (tmp_path / "notes.txt").write_text("no photo")
    first, second = domains.photos_in(tmp_path, 28)
    assert first.shape == (28, 28, 3)
    np.testing.assert_array_equal(first[0, 0], [255, 0, 0])
    np.testing.assert_array_equal(second[0, 0], [0, 255, 0])


def test_what_is_wrong_with_photos_is_said(tmp_path):
    save(tmp_path / "a.png", (28, 28), (1, 2, 3))
    with pytest.raises(BadInputError, match=r"holds 1 photos \(\.jpg.*\); two or more are needed"):
        domains.photos_in(tmp_path, 28)
    save(tmp_path / "b.png", (27, 90), (1, 2, 3))
    with pytest.raises(BadInputError, match=r"b\.png has 27×90 pixels; at least 28×28 are needed"):
        domains.photos_in(tmp_path, 28)
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(BadInputError, match=r"b\.png is no picture"):
        domains.photos_in(tmp_path, 28)
    (tmp_path / "b.png").unlink()
    (tmp_path / "b.png").mkdir()  # a folder is no photo, whatever it is called
    with pytest.raises(BadInputError, match="holds 1 photos"):
        domains.photos_in(tmp_path, 28)


@pytest.mark.parametrize("raw", [b"P6 5 x 255 ", b"P6 5 6 99999999 ", b"P6 5 6 0 ", b"P6 5 -6 255 ", b"P6 5", b""])
def test_a_damaged_photo_is_named(raw):
    with pytest.raises(BadInputError, match=r"some/photo\.ppm is no picture, or one that cannot be read"):
        domains.decoded(raw + 90 * b"." * bool(raw), Path("some/photo.ppm"))


def test_a_photo_that_would_fill_the_memory_is_named(monkeypatch):
    told = io.BytesIO()
    Image.fromarray(np.full((50, 60, 3), 7, np.uint8)).save(told, "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000)
    with pytest.raises(
        BadInputError, match=r"some/photo\.png is no picture, or one that cannot be read: .*3000 pixels"
    ):
        domains.decoded(told.getvalue(), Path("some/photo.png"))


@pytest.fixture
def home(tmp_path):
    """A folder with files that are not what they should be."""
    for name, content in (("usps/usps.npz", b"x"), *((f"mnistm/{name}", b"y") for name in domains.PATCHES)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_a_file_that_was_cut_or_altered_is_named_with_both_digests(home):
    with pytest.raises(
        BadInputError, match=r"usps\.npz was cut or altered: its sha256 is 2d711642.*should be bc7c88b7"
    ):
        domains.load("usps", str(home))
    for name in domains.PATCHES:
        with pytest.raises(
            BadInputError, match=rf"{name} was cut or altered: its sha256 is [0-9a-f]{{64}}, and should"
        ):
            domains.patches(home / "mnistm", name)


def test_a_file_that_is_not_there_is_named_with_what_to_do(home, monkeypatch):
    (home / "usps" / "usps.npz").unlink()
    with pytest.raises(
        BadInputError, match=r"there is no .*usps\.npz; name the folder that holds usps/ with --data-dir"
    ):
        domains.load("usps", str(home))
    with pytest.raises(BadInputError, match=r"there is no train-images-idx3-ubyte"):
        domains.load("mnist", str(home))
    monkeypatch.delenv(data.FOLDER, raising=False)
    with pytest.raises(
        BadInputError, match=r"where are the data\?.*mnistm/ and usps/ with --data-dir.*SPARRING_DATA.*need no file"
    ):
        domains.load("mnistm")


def test_domains_that_do_not_fit_are_refused():
    small, large = (Domain(name, blank(side=side), blank(side=side)) for name, side in (("a", 6), ("b", 8)))
    with pytest.raises(BadInputError, match=r"images of a are \[1, 6, 6\] and those of b \[1, 8, 8\]; digits go with"):
        domains.check_alike(small, large)
    three = Domain("c", blank(classes=3), blank(classes=3))
    with pytest.raises(BadInputError, match="a has 2 classes and c 3; they must be the same"):
        domains.check_alike(small, three)
    domains.check_alike(small, small)


# ---------------------------------------------------------------------------------------------- the real files


@pytest.mark.skipif(not (SHARED / "mnistm").is_dir(), reason="MNIST-M's patches are not in ../shared/data")
def test_mnistm_is_what_its_readme_says():
    """sha256 of the bytes of the first 30,000 images to learn from, and of those held out, as [N, 28, 28, 3]."""
    import hashlib

    known = domains.load("mnistm", os.fspath(SHARED))

    def digest(images):
        whole = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        return hashlib.sha256(whole.tobytes()).hexdigest()

    assert digest(known.train.x[:30_000]) == "94e5000e4d8314cea9085e0adc2671c77395751e928beef5bceec8c2679b669d"
    assert digest(known.test.x) == "946a7335382398b90a65205dde14ed9e4a7395fc216788e76d5644e472f1fcc3"
    assert torch.equal(known.test.y, domains.load("mnist", os.fspath(SHARED)).test.y)


@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="MNIST is not in ../shared/data")
def test_mnists_own_folder_may_be_named_or_the_one_above():
    above, own = (domains.load("mnist", os.fspath(folder)) for folder in (SHARED, SHARED / "mnist"))
    assert torch.equal(above.test.x, own.test.x)


@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="MNIST is not in ../shared/data")
def test_mnistm_is_made_anew_from_any_folder_of_photos(tmp_path):
    save(tmp_path / "a.png", (40, 40), (255, 0, 51))
    save(tmp_path / "b.png", (40, 40), (0, 102, 255))
    known = domains.mnistm(SHARED, tmp_path)
    plain = domains.mnist(SHARED)
    for part, digits, colour in ((known.train, plain.train, (1, 0, 0.2)), (known.test, plain.test, (0, 0.4, 1))):
        expected = (torch.tensor(colour).view(3, 1, 1) - digits.x[:5]).abs()
        torch.testing.assert_close(part.x[:5], expected)


@pytest.mark.skipif(not (SHARED / "usps").is_dir(), reason="USPS is not in ../shared/data")
def test_usps_is_white_on_black_and_as_large_as_mnist():
    known = domains.load("usps", os.fspath(SHARED))
    assert (len(known.train.x), len(known.test.x)) == (7291, 2007)
    assert known.shape == (3, 28, 28)
    assert float(known.test.x.mean()) < 0.4
    assert torch.equal(known.test.x[:, 0], known.test.x[:, 2])
