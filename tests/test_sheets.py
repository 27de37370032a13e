"""Sheets: samples that are made again and compared; files that are none."""

import dataclasses
import json

import numpy as np
import pytest
from rich.console import Console

from sparring.adversarial import gan, seqgan, sheets
from sparring.adversarial.play import Schedule
from sparring.envs import episodes
from sparring.envs.episodes import EpisodeError
from sparring.envs.errors import UnknownNameError
from sparring.runners import keepsakes, replay

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = {"width": 8, "depth": 1, "batch": 8, "schedule": Schedule(steps=10, rounds=5, samples=50)}


def sheet_of(preset, **changes):
    """What a GAN of that preset shows after an update."""
    config = dataclasses.replace(gan.PRESETS[preset].config, **{**TINY, **changes})
    play, table, judge = gan.experiment(config, seed=1, device="cpu")
    table.reset(2)
    play.update(table.draw(play))
    return judge(play).episodes[0]


@pytest.fixture(scope="module")
def ring():
    return sheet_of("ring8")


@pytest.fixture(scope="module")
def digits():
    return sheet_of("digits-by-class")


@pytest.fixture
def paper():
    return Console(record=True, width=120)


@pytest.mark.parametrize("name", ["ring", "digits"])
def test_a_sheet_survives_its_file_and_proves_itself(name, request, tmp_path, paper):
    sheet = request.getfixturevalue(name)
    sheet.save(tmp_path / "x.npz")
    again = keepsakes.load(tmp_path / "x.npz")
    for field in dataclasses.fields(sheet):
        one, other = getattr(sheet, field.name), getattr(again, field.name)
        if field.name == "weights":
            assert {k: v.tobytes() for k, v in one.items()} == {k: v.tobytes() for k, v in other.items()}
        elif isinstance(one, np.ndarray):
            assert one.tobytes() == other.tobytes()
        else:
            assert json.loads(json.dumps(one)) == other
    assert keepsakes.prove(again, paper).step is None
    assert paper.export_text() == f"proved: {len(sheet.samples)} samples, bit for bit as recorded\n"


def test_a_changed_sample_is_named(ring, paper):
    samples = ring.samples.copy()
    samples[17, 1] += 0.01
    assert keepsakes.prove(dataclasses.replace(ring, samples=samples), paper).step == 17
    assert "differs at sample 17: sample 17 differs by 0.01" in paper.export_text()


def test_a_changed_weight_or_latent_is_found(ring, paper):
    name = "generator.layers.0.weight"
    weights = {**ring.weights, name: ring.weights[name] + 0.1}
    assert keepsakes.prove(dataclasses.replace(ring, weights=weights), paper).step == 0
    latents = ring.latents.copy()
    latents[3] += 1
    assert keepsakes.prove(dataclasses.replace(ring, latents=latents), paper).step == 3


def test_another_order_of_additions_is_told_and_no_fault(ring, paper):
    samples = ring.samples * np.float32(1 + 1e-6)
    assert keepsakes.prove(dataclasses.replace(ring, samples=samples), paper).step is None
    assert "samples as recorded, to " in paper.export_text()
    assert sheets.compare(ring, np.full_like(ring.samples, np.nan)).step == 0


def test_weights_that_do_not_fit_and_unknown_makers_are_named(ring):
    narrow = {**ring.config, "width": 4}
    with pytest.raises(EpisodeError, match="weights do not fit its configuration"):
        keepsakes.remade(dataclasses.replace(ring, config=narrow))
    with pytest.raises(EpisodeError, match=r"configuration does not fit this version.*size"):
        keepsakes.remade(dataclasses.replace(ring, config={**ring.config, "size": 4}))
    with pytest.raises(UnknownNameError, match="no algorithm is called 'gam'; did you mean gan"):
        keepsakes.remade(dataclasses.replace(ring, algorithm="gam"))


@pytest.mark.parametrize("missing", ["latents", "samples"])
def test_a_sheet_that_lacks_something_is_refused(ring, tmp_path, missing):
    ring.save(tmp_path / "x.npz")
    header, arrays = episodes.unpack(tmp_path / "x.npz")
    del arrays[missing]
    episodes.pack(tmp_path / "y.npz", header, arrays)
    with pytest.raises(
        EpisodeError, match=rf"y.npz is not a sheet of samples, or it is damaged: it has no '{missing}'"
    ):
        keepsakes.load(tmp_path / "y.npz")
    episodes.pack(tmp_path / "z.npz", header, {**arrays, missing: np.zeros((1, 2), np.float32)})
    with pytest.raises(EpisodeError, match=r"z.npz is damaged: \d+ latents and \d+ samples"):
        keepsakes.load(tmp_path / "z.npz")


def test_a_game_is_no_sheet_and_a_sheet_no_game(ring, tmp_path):
    ring.save(tmp_path / "x.npz")
    with pytest.raises(EpisodeError, match=r"x.npz is not an episode, or it is damaged"):
        episodes.load(tmp_path / "x.npz")


def test_all_sheets_of_a_run_are_its_film(ring, digits, tmp_path):
    for number in (1, 2, 3):
        dataclasses.replace(ring, step=50 * number).save(tmp_path / f"{number}.npz")
    kept = keepsakes.together(sorted(tmp_path.glob("*.npz")))
    show = keepsakes.show(kept)
    assert [title.split(" · ")[0] for title in show.titles] == ["step 50", "step 100", "step 150"]
    pictures = list(show.pictures())
    assert [picture.shape for picture in pictures] == [(400, 400, 3)] * 3
    assert all(again is once for again, once in zip(show.pictures(), pictures, strict=True))  # none is drawn twice
    replay.film(show, tmp_path / "training.gif")
    replay.strip(show, tmp_path / "training.png", most=2)
    from matplotlib.image import imread

    assert imread(tmp_path / "training.png").shape[:2] == (400, 800)


def test_images_are_shown_in_a_grid_ink_white(digits):
    config = gan.Config(**{**digits.config, "schedule": Schedule(**digits.config["schedule"])})
    picture = gan.picture(config, digits)
    tile = 4 * 9  # 8 pixels and a gap, enlarged
    assert picture.shape == (10 * tile, 10 * tile, 3)
    first = ((digits.samples[0, 0] + 1) * 127.5).round().astype(np.uint8)
    np.testing.assert_array_equal(picture[4:tile:4, 4:tile:4, 0], first)
    assert digits.labels.tolist() == [tile // 10 for tile in range(100)]


@pytest.fixture(scope="module")
def sentences():
    config = dataclasses.replace(
        seqgan.PRESETS["reverse"].config,
        schedule=seqgan.Schedule(steps=1, samples=30),
        sentences=50,
        held_out=30,
        hidden=4,
    )
    algorithm, _, judge = seqgan.experiment(config, seed=1, device="cpu")
    return judge(algorithm).episodes[0]


def test_sentences_are_read_and_a_gans_samples_are_not(sentences, ring, tmp_path):
    sentences.save(tmp_path / "x.npz")
    kept = [keepsakes.load(tmp_path / "x.npz"), dataclasses.replace(sentences, step=7)]
    assert keepsakes.has_words(kept)
    first, *said, second, _ = list(keepsakes.read(kept, 1))
    assert (first.split(" · ")[0], second.split(" · ")[0]) == ("step 0", "step 7")
    assert said == ["  " + seqgan.words(seqgan.PRESETS["reverse"].config, sentences)[0]]
    assert not keepsakes.has_words([ring])
    with pytest.raises(EpisodeError, match="there are no sentences to read in it; --view terminal or png"):
        list(keepsakes.read([ring]))


def test_sentences_prove_themselves_too(sentences, paper):
    assert keepsakes.prove(sentences, paper).step is None
    samples = sentences.samples.copy()
    samples[3, -1] += 1
    assert keepsakes.prove(dataclasses.replace(sentences, samples=samples), paper).step == 3


def test_a_title_names_metrics_and_not_their_intervals(sentences):
    assert keepsakes.title(sentences).startswith("step 0 · answers right 0 · tokens right 0.")
    told = dataclasses.replace(sentences, metrics={"x": 1.0, "x_low": 0.5, "x_high": 2.0, "y": 3.0})
    assert keepsakes.title(told) == "step 0 · x 1 · y 3"
