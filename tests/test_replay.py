"""Saved games are proved, played in a real (pseudo-)terminal and filmed; films are decoded again and compared."""

import io
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from sparring.envs import episodes, worlds
from sparring.envs.episodes import Episode, checksum
from sparring.envs.worlds import Array, World
from sparring.runners import keepsakes, replay

INVADERS = World("ALE/SpaceInvaders-v5", "ppo2017")
STICKY = World("ALE/SpaceInvaders-v5", "machado2018")
CARTPOLE = World("CartPole-v1", "gymnasium")
PROBE = World("sparring/ProbeChoice-v0", "gymnasium")

SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"
ENTER_SCREEN, LEAVE_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
RED, BLUE, BLACK, WHITE = (255, 0, 0), (0, 0, 255), (0, 0, 0), (255, 255, 255)


@pytest.fixture(autouse=True)
def usual_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich looks at these; the tests' own terminals should not depend on where the tests run."""
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


def played(world: World, seed: int = 3) -> Episode:
    """One game of fixed random actions, recorded as the evaluation does."""
    game = worlds.build(world, training=False, count=1)
    generator = np.random.default_rng(seed)
    obs, _ = game.reset(seed=seed)
    actions, rewards, checksums, over = [], [], [checksum(obs[0])], False
    while not over:
        actions.append(generator.integers(game.single_action_space.n))
        obs, reward, terminated, truncated, info = game.step(np.array(actions[-1:]))
        over = bool(terminated[0] or truncated[0])
        rewards.append(reward[0])
        checksums.append(checksum(info["final_obs"][0] if over else obs[0]))
    game.close()
    rules, spec = asdict(worlds.protocol_of(world)), episodes.spec_of(world)
    recorded = np.array(actions), np.array(rewards, np.float32), np.array(checksums, np.uint32)
    return Episode(world, rules, spec, seed, *recorded)


def pictures_of(episode: Episode) -> list[Array]:
    return list(worlds.pictures(episode.world, episode.seed, episode.actions))


@pytest.fixture(scope="module")
def invaders() -> Episode:
    return played(INVADERS)


@pytest.fixture(scope="module")
def sticky() -> Episode:
    return played(STICKY)


@pytest.fixture(scope="module")
def cartpole() -> Episode:
    return played(CARTPOLE)


@pytest.fixture(scope="module")
def glimpse(invaders: Episode) -> Episode:
    """The first steps of a game: enough to look at, not to prove."""
    steps = 40
    arrays = {"actions": invaders.actions[:steps], "rewards": invaders.rewards[:steps]}
    return replace(invaders, **arrays, checksums=invaders.checksums[: steps + 1])


@pytest.fixture
def paper() -> Console:
    """A console that is no terminal."""
    return Console(file=io.StringIO(), force_terminal=False, width=60)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def seen_on_terminal(work: Callable[[Console], object], *, colours: str = "truecolor") -> str:
    """What a pseudo-terminal of 60 × 20 cells receives while `work` uses its console."""
    keyboard, screen = pty.openpty()
    received: list[bytes] = []

    def receive() -> None:
        try:
            while data := os.read(keyboard, 1 << 16):
                received.append(data)
        except OSError:  # Linux: the other end is closed and everything is read
            pass

    reader = threading.Thread(target=receive)
    reader.start()
    try:
        with os.fdopen(screen, "w", encoding="utf-8") as file:
            work(Console(file=file, force_terminal=True, color_system=colours, width=60, height=20))
    finally:
        reader.join()
        os.close(keyboard)
    return b"".join(received).decode()


# --- pictures made of characters


def test_two_pixels_share_a_cell_the_upper_one_in_front():
    picture = np.array([[RED, WHITE], [BLUE, BLACK]], np.uint8)
    upper_red, upper_white = "\x1b[38;2;255;0;0;48;2;0;0;255m▀", "\x1b[38;2;255;255;255;48;2;0;0;0m▀"
    assert replay.halfblocks(picture, 2, 1, "truecolor") == f"{upper_red}{upper_white}\x1b[0m"


@pytest.mark.parametrize(
    ("colours", "codes"),
    [("256", "38;5;196;48;5;21"), ("standard", "31;44"), ("truecolor", "38;2;255;0;0;48;2;0;0;255")],
)
def test_colours_are_those_that_the_terminal_knows(colours: str, codes: str):
    picture = np.array([[RED], [BLUE]], np.uint8)
    assert replay.halfblocks(picture, 1, 1, colours) == f"\x1b[{codes}m▀\x1b[0m"


def test_equal_neighbours_are_coloured_once_and_equal_pixels_are_spaces():
    picture = np.array([[RED, RED, RED, BLUE], [RED, RED, RED, BLUE]], np.uint8)
    assert replay.halfblocks(picture, 4, 1, "truecolor") == "\x1b[48;2;255;0;0m   \x1b[48;2;0;0;255m \x1b[0m"


def test_enlarging_repeats_pixels():
    picture = np.array([[RED, BLUE], [BLUE, RED]], np.uint8)
    line = "\x1b[48;2;255;0;0m  \x1b[48;2;0;0;255m  \x1b[0m\n\x1b[48;2;0;0;255m  \x1b[48;2;255;0;0m  \x1b[0m"
    assert replay.halfblocks(picture, 4, 2, "truecolor") == line


def test_shrinking_takes_means_also_across_fractions_of_pixels():
    halves = np.array([[BLACK, WHITE, BLACK, WHITE]] * 4, np.uint8)
    assert replay.halfblocks(halves, 2, 1, "truecolor") == "\x1b[48;2;128;128;128m  \x1b[0m"
    thirds = np.array([[WHITE, BLACK, BLACK]] * 3, np.uint8)  # to two columns: 1 of 1½ pixels is white, then none
    assert replay.halfblocks(thirds, 2, 1, "truecolor") == "\x1b[48;2;170;170;170m \x1b[48;2;0;0;0m \x1b[0m"


@pytest.mark.parametrize(
    ("columns", "rows", "expected"),
    [(80, 24, (37, 24)), (30, 100, (30, 20)), (400, 120, (183, 120)), (1, 1, (1, 1)), (2, 0, (1, 1))],
)
def test_a_picture_fits_the_terminal_and_keeps_its_aspect(columns: int, rows: int, expected: tuple[int, int]):
    noise = np.random.default_rng(0).integers(0, 256, (210, 160, 3), np.uint8)
    lines = re.sub("\x1b.*?m", "", replay.halfblocks(noise, columns, rows, "truecolor")).split("\n")
    assert {len(line) for line in lines} == {expected[0]}
    assert len(lines) == expected[1]


# --- proofs


@pytest.mark.parametrize("name", ["invaders", "sticky", "cartpole"])
def test_a_game_proves_itself(name: str, paper: Console, request: pytest.FixtureRequest):
    episode: Episode = request.getfixturevalue(name)
    assert keepsakes.prove(episode, paper).step is None
    steps, score = len(episode.actions), f"{episode.score:g}"
    assert written(paper) == f"proved: {steps} steps, score {score}: every reward and observation as recorded\n"


def test_a_probe_proves_itself_without_any_picture(paper: Console):
    assert keepsakes.prove(played(PROBE), paper).step is None


def changed(array: Array, index: int, value: float) -> Array:
    array = array.copy()
    array[index] = value
    return array


def test_the_first_changed_reward_is_named(invaders: Episode, paper: Console):
    hit = int(invaders.rewards.nonzero()[0][0])
    verdict = keepsakes.prove(replace(invaders, rewards=changed(invaders.rewards, hit, 0)), paper)
    assert verdict.step == hit
    line = rf"differs at step {hit}: reward {invaders.rewards[hit]:g}(\.0)? instead of 0(\.0)?\n"
    assert re.fullmatch(line, written(paper))


def test_the_first_changed_observation_is_named(invaders: Episode, paper: Console):
    keepsakes.prove(replace(invaders, checksums=changed(invaders.checksums, 18, 0)), paper)
    assert written(paper) == "differs at step 17: the observation differs\n"


def test_a_changed_first_observation_is_named(cartpole: Episode, paper: Console):
    keepsakes.prove(replace(cartpole, seed=cartpole.seed + 1), paper)
    assert written(paper) == "differs at step 0: the first observation differs\n"


def test_a_changed_action_shows_where_it_was_made(cartpole: Episode, paper: Console):
    other = changed(cartpole.actions, 5, 1 - cartpole.actions[5])
    keepsakes.prove(replace(cartpole, actions=other), paper)
    assert written(paper) == "differs at step 5: the observation differs\n"


def test_proving_on_a_terminal_leaves_one_line(cartpole: Episode):
    screen = seen_on_terminal(lambda console: keepsakes.prove(cartpole, console))
    assert screen.count("proved: ") == 1
    assert screen.rfind(SHOW_CURSOR) > screen.rfind(HIDE_CURSOR)


# --- the show in the terminal


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "LINGER", 0.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("colours", "code"), [("truecolor", "48;2;0;0;0"), ("256", "48;5;16")])
def test_a_game_plays_with_actions_rewards_and_scores(invaders: Episode, colours: str, code: str):
    screen = seen_on_terminal(lambda console: replay.play(replay.of_game(invaders), console, fps=500), colours=colours)
    assert f"\x1b[{code}m" in screen
    assert f"ALE/SpaceInvaders-v5 (ppo2017), {len(invaders.actions)} steps" in screen
    assert "RIGHTFIRE" in screen
    last = f"100% · step {len(invaders.actions) - 1} · "
    assert last in screen
    assert screen.rstrip().endswith(f"score {invaders.score:g}")  # stays below the prompt when the show is over
    assert screen.count(ENTER_SCREEN) == screen.count(LEAVE_SCREEN) == 1
    assert screen.index(HIDE_CURSOR) < screen.index(last) < screen.index(LEAVE_SCREEN) < screen.index(SHOW_CURSOR)


@pytest.mark.usefixtures("impatient")
def test_a_shown_picture_is_the_halfblocks_of_the_game(glimpse: Episode):
    screen = seen_on_terminal(lambda console: replay.play(replay.of_game(glimpse), console, fps=100))
    first = replay.halfblocks(pictures_of(glimpse)[0], 59, 19, "truecolor")
    shown = screen[screen.index("\x1b[H", screen.index(HIDE_CURSOR)) :].removeprefix("\x1b[H")
    assert shown.replace("\x1b[K\r\n", "\n").startswith(first)


@pytest.mark.usefixtures("impatient")
def test_sticky_games_play_with_all_18_actions(sticky: Episode):
    screen = seen_on_terminal(lambda console: replay.play(replay.of_game(sticky), console, fps=1000))
    assert set(sticky.actions) == set(range(18))
    assert screen.rstrip().endswith(f"score {sticky.score:g}")
    assert replay._titles(sticky)[1 + list(sticky.actions).index(17)].split(" · ")[2].rstrip() == "DOWNLEFTFIRE"


@pytest.mark.usefixtures("impatient")
def test_actions_without_names_have_numbers(cartpole: Episode):
    screen = seen_on_terminal(lambda console: replay.play(replay.of_game(cartpole), console, speed=20))
    assert f"step  0 · action {cartpole.actions[0]} · reward 1 · score 1" in screen


@pytest.mark.usefixtures("impatient")
def test_a_show_keeps_its_time(glimpse: Episode):
    start = time.monotonic()
    seen_on_terminal(lambda console: replay.play(replay.of_game(glimpse), console, fps=20, speed=2))
    assert 1.0 <= time.monotonic() - start < 4.0  # 41 pictures, 40 a second: the last is due after one second


def test_what_comes_late_is_left_out_but_never_the_last():
    def slow() -> Iterator[Array]:
        for _ in range(30):
            time.sleep(0.01)
            yield np.zeros((1, 1, 3), np.uint8)

    numbers = [number for number, _ in replay._in_time(slow(), pace=1000, last=29)]
    assert len(numbers) < 28
    assert numbers[-1] == 29


@pytest.mark.parametrize(
    ("world", "hertz"), [(INVADERS, 15), (CARTPOLE, 50), (World("Acrobot-v1", "gymnasium"), 15), (PROBE, 30)]
)
def test_real_time_is_the_worlds_own(world: World, hertz: float, invaders: Episode):
    assert replay._own_rate(replace(invaders, world=world)) == hertz


def test_the_terminal_is_restored_when_the_pictures_fail(glimpse: Episode, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worlds, "pictures", failing_after(3))

    def play(console: Console) -> None:
        with pytest.raises(RuntimeError, match="the projector broke"):
            replay.play(replay.of_game(glimpse), console, fps=1000)

    assert_restored(seen_on_terminal(play))


def assert_restored(screen: str) -> None:
    assert HIDE_CURSOR in screen
    assert screen.rfind(SHOW_CURSOR) > screen.rfind(HIDE_CURSOR)
    assert screen.rfind(LEAVE_SCREEN) > screen.rfind(ENTER_SCREEN)


def test_control_c_ends_the_show_and_restores_the_terminal(glimpse: Episode, tmp_path: Path):
    path = tmp_path / "game.npz"
    glimpse.save(path)
    show = (
        "import signal, sys; from pathlib import Path; from rich.console import Console\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # which tests in the background ignore
        "from sparring.envs import episodes; from sparring.runners import replay\n"
        "console = Console(force_terminal=True, color_system='truecolor', width=60, height=20)\n"
        "replay.play(replay.of_game(episodes.load(Path(sys.argv[1]))), console, fps=1)\n"
    )
    keyboard, terminal = pty.openpty()
    command = [sys.executable, "-c", show, str(path)]
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        screen = b""
        while b"step  0" not in screen:  # 40 s of game are left
            screen += os.read(keyboard, 1 << 16)
        process.send_signal(signal.SIGINT)
        try:
            while data := os.read(keyboard, 1 << 16):
                screen += data
        except OSError:  # Linux: the process has closed its end
            pass
        os.close(keyboard)
    assert process.returncode == 0
    assert_restored(screen.decode())
    assert "Traceback" not in screen.decode()
    assert re.search(r"step  \d · \w+ +· reward 0 · score 0\s*$", screen.decode())


def test_no_terminal_no_show(glimpse: Episode, paper: Console):
    with pytest.raises(ValueError, match="this is none; film it instead: --view mp4"):
        replay.play(replay.of_game(glimpse), paper)
    colourless = Console(file=io.StringIO(), force_terminal=True, color_system=None)
    with pytest.raises(ValueError, match="terminal with colours"):
        replay.play(replay.of_game(glimpse), colourless)
    assert written(colourless) == ""


@pytest.mark.parametrize("rate", [{"speed": 0}, {"fps": -1}, {"speed": float("nan")}])
def test_rates_are_positive(glimpse: Episode, rate: dict[str, float]):
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
    with pytest.raises(ValueError, match="must be positive"):
        replay.play(replay.of_game(glimpse), console, **rate)


def test_a_world_without_pictures_says_so_and_leaves_no_trace(tmp_path: Path):
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
    with pytest.raises(ValueError, match="draws no pictures"):
        replay.play(replay.of_game(played(PROBE)), console)
    assert written(console) == ""
    with pytest.raises(ValueError, match="draws no pictures"):
        replay.film(replay.of_game(played(PROBE)), tmp_path / "probe.mp4")
    assert not any(tmp_path.iterdir())


# --- films


def decoded(path: Path) -> tuple[str, Array]:
    """What ffmpeg says of a film's picture stream, and its pictures [T + 1, H, W, 3]."""
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()  # imageio_ffmpeg.read_frames leaves pipes open, which warns
    command = [ffmpeg, "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-fps_mode", "passthrough", "-"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    stream = re.search(r"Video: .* (\d+)x(\d+)[ ,].*", done.stderr.decode())
    assert stream is not None
    width, height = int(stream[1]), int(stream[2])
    return stream[0], np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)


def test_an_mp4_decodes_to_the_game(invaders: Episode, tmp_path: Path):
    replay.film(replay.of_game(invaders), tmp_path / "game.mp4")
    told, frames = decoded(tmp_path / "game.mp4")
    game = np.stack(pictures_of(invaders)).astype(np.int16)
    assert frames.shape == (len(invaders.actions) + 1, 630, 480, 3)
    assert "h264" in told
    assert "yuv420p(tv, bt709, progressive)" in told  # what players assume, said aloud
    assert "15 fps" in told
    middles = frames[:, 1::3, 1::3].astype(np.int16)
    assert np.abs(middles - game).mean() < 1
    ground, shown = game[:, 200:].mean((0, 1, 2)), middles[:, 200:].mean((0, 1, 2))
    assert shown == pytest.approx(ground, abs=4)


@pytest.mark.parametrize("shape", [(7, 5), (2, 3), (4, 6)])
def test_odd_sizes_are_padded_for_mp4_and_kept_for_gif(
    shape: tuple[int, int], glimpse: Episode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    picture = np.full((*shape, 3), (200, 60, 30), np.uint8)
    monkeypatch.setattr(worlds, "pictures", lambda world, seed, actions: iter([picture] * (len(actions) + 1)))
    replay.film(replay.of_game(glimpse), tmp_path / "odd.mp4", scale=1)
    _, frames = decoded(tmp_path / "odd.mp4")
    assert frames.shape == (41, *(side + side % 2 for side in shape), 3)
    assert np.abs(frames[:, 0, 0].astype(int) - picture[0, 0]).max() < 6
    replay.film(replay.of_game(glimpse), tmp_path / "odd.gif", scale=3)
    with Image.open(tmp_path / "odd.gif") as film:
        assert film.size == (3 * shape[1], 3 * shape[0])


@pytest.mark.parametrize(("name", "scale", "hertz"), [("invaders", 3, 15), ("sticky", 3, 15), ("cartpole", 1, 50)])
def test_a_gif_shows_every_picture_in_its_colours_and_time(
    name: str, scale: int, hertz: int, tmp_path: Path, request: pytest.FixtureRequest
):
    episode: Episode = request.getfixturevalue(name)
    replay.film(replay.of_game(episode), tmp_path / "game.gif")
    game = pictures_of(episode)
    durations = []
    with Image.open(tmp_path / "game.gif") as film:
        assert film.n_frames == len(game)
        for index, picture in enumerate(game):
            film.seek(index)
            durations.append(film.info["duration"])
            shown = np.asarray(film.convert("RGB"))[::scale, ::scale].astype(int)
            assert np.abs(shown - picture).max() <= 2  # exact for up to 255 colours; CartPole's soft edges have more
    assert np.sum(durations) == pytest.approx(1000 * len(game) / hertz, abs=10)
    assert max(durations) - min(durations) <= 10  # the format counts hundredths of a second


def test_a_film_takes_its_rate_and_scale(glimpse: Episode, tmp_path: Path):
    replay.film(replay.of_game(glimpse), tmp_path / "game.MP4", fps=30, scale=1)
    told, frames = decoded(tmp_path / "game.MP4")
    assert frames.shape == (41, 210, 160, 3)
    assert "30 fps" in told


def failing_after(count: int) -> Callable[..., Iterator[Array]]:
    def pictures(world: World, seed: int, actions: Array) -> Iterator[Array]:
        yield from [np.zeros((210, 160, 3), np.uint8)] * count
        raise RuntimeError("the projector broke")

    return pictures


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_film_is_whole_or_not_there(suffix: str, glimpse: Episode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / f"game{suffix}"
    path.write_text("the older film")
    monkeypatch.setattr(worlds, "pictures", failing_after(20))
    with pytest.raises(RuntimeError, match="the projector broke"):
        replay.film(replay.of_game(glimpse), path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "the older film"


def test_a_film_with_missing_pictures_is_no_film(glimpse: Episode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(imageio_ffmpeg, "count_frames_and_secs", lambda path: (7, 1.0))
    with pytest.raises(OSError, match="wrote 7 of 41 pictures"):
        replay.film(replay.of_game(glimpse), tmp_path / "game.mp4", scale=1)
    assert not any(tmp_path.iterdir())


def test_a_new_film_replaces_the_older_one(cartpole: Episode, tmp_path: Path):
    path = tmp_path / "odd name: 100%, yes.gif"
    path.write_text("the older film")
    replay.film(replay.of_game(cartpole), path)
    assert path.read_bytes().startswith(b"GIF89a")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("game.webm", {}, r"game.webm does not say what film it is; it can end in .mp4 or .gif"),
        ("game", {}, r"it can end in .mp4 or .gif"),
        ("nowhere/game.mp4", {}, r"there is no folder"),
        ("game.mp4", {"scale": 0}, r"scale is 0; it takes at least 1"),
        ("game.mp4", {"fps": 0}, r"fps is 0; it must be positive"),
        ("game.gif", {"fps": 60}, r"\.gif shows at most 50 pictures a second, not 60; film an \.mp4"),
    ],
)
def test_impossible_films_are_refused(
    name: str, options: dict[str, int], message: str, glimpse: Episode, tmp_path: Path
):
    with pytest.raises(ValueError, match=message):
        replay.film(replay.of_game(glimpse), tmp_path / name, **options)
    assert not any(tmp_path.iterdir())


def test_filming_on_a_terminal_shows_a_bar_that_vanishes(glimpse: Episode, tmp_path: Path):
    screen = seen_on_terminal(
        lambda console: replay.film(replay.of_game(glimpse), tmp_path / "game.mp4", scale=1, console=console)
    )
    assert "filming" in screen
    assert screen.rfind(SHOW_CURSOR) > screen.rfind(HIDE_CURSOR)
