"""Views of what was saved: a show in the terminal, a film to share, a strip of pictures.

An episode holds no pictures, a `Show` draws them whenever it is asked. Of a game there are T + 1 for T steps. Steps
count from 0, as in `episodes.Verdict`: the picture named "step 17" is what action 17 led to, the very first one shows
the reset.

A terminal cell is about twice as high as wide, so the character ▀ shows two square pixels: its foreground is the upper
one, its background the lower.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import lru_cache
from itertools import chain, groupby
from pathlib import Path
from typing import NamedTuple

import gymnasium
import imageio_ffmpeg
import numpy as np
from rich.color import Color
from rich.console import COLOR_SYSTEMS, Console
from rich.progress import Progress

from sparring.envs import episodes
from sparring.envs import worlds as door
from sparring.envs.episodes import Episode
from sparring.envs.errors import BadInputError
from sparring.envs.files import write_aside
from sparring.envs.worlds import Array

RGB = tuple[int, int, int]

ATARI_HZ = 60  # frames a second of an Atari 2600 (NTSC)
DEFAULT_HZ = 30  # of a world that does not tell
GLANCE = 0.1  # s: a show that is late still gives a picture this often
LINGER = 1.0  # s for which the last picture of a show stays
FILM_HEIGHT = 640  # pixels: small pictures are enlarged up to this
GIF_MAX_FPS = 50  # browsers slow down a picture that is shorter than 1/50 s to 1/10 s

HOME, CLEAR_LINE, CLEAR_BELOW, RESET = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[0m"


class Show(NamedTuple):
    """Pictures in their order, as often as they are wanted."""

    pictures: Callable[[], Iterator[Array]]  # [H, W, 3] uint8 each
    titles: Sequence[str]  # one a picture
    rate: float  # pictures a second, in real time


def of_game(episode: Episode) -> Show:
    """A game as somebody beside the machine would see it.

    Raises:
        EpisodeError: the protocol has changed since the game.
    """
    episodes.check_protocol(episode)
    return Show(
        lambda: door.pictures(episode.world, episode.seed, episode.actions), _titles(episode), _own_rate(episode)
    )


def play(show: Show, console: Console, *, fps: float | None = None, speed: float = 1.0) -> None:
    """Show it in the terminal, in real time or at `fps` pictures a second, times `speed`; Ctrl-C ends it.

    Raises:
        BadInputError: no colour terminal, a rate that is not positive, or a world that draws no pictures.
    """
    colours = console.color_system
    if not console.is_terminal or colours is None:
        raise BadInputError("a show takes a terminal with colours, and this is none; film it instead: --view mp4")
    pace = _rate(show, fps, speed)
    title = show.titles[0]
    pictures = show.pictures()
    first = next(pictures)  # a world that draws none says so here, before the screen changes
    with console.screen(), suppress(KeyboardInterrupt):
        for number, picture in _in_time(chain([first], pictures), pace, last=len(show.titles) - 1):
            title = show.titles[number]
            columns, rows = console.width - 1, console.height - 1  # to clear after the last column would erase it
            shown = halfblocks(picture, columns, rows, colours).replace("\n", f"{CLEAR_LINE}\n")
            console.file.write(f"{HOME}{shown}{CLEAR_LINE}\n{title[:columns]}{CLEAR_BELOW}")
            console.file.flush()
        time.sleep(LINGER)
    console.out(title, highlight=False)


def film(
    show: Show,
    path: Path,
    *,
    fps: float | None = None,
    scale: int | None = None,
    console: Console | None = None,
) -> None:
    """Write it as .mp4 or .gif, `scale` times as large, with a progress bar on `console`.

    Films run in real time, small pictures enlarged to about 600 pixels' height, unless told otherwise. The file appears
    when it is complete: an older one of that name stays until then.

    Raises:
        BadInputError: an unknown suffix, a folder, rate or scale that cannot be, or a world that draws no pictures.
        OSError: ffmpeg failed.
    """
    form = FORMS.get(path.suffix.lower())
    if form is None:
        raise BadInputError(f"{path.name} does not say what film it is; it can end in {' or '.join(FORMS)}")
    if not path.parent.is_dir():
        raise BadInputError(f"{path} cannot be written: there is no folder {path.parent}")
    if scale is not None and scale < 1:
        raise BadInputError(f"scale is {scale}; it takes at least 1")
    pace = _rate(show, fps)
    if pace > form.max_fps:
        raise BadInputError(
            f"{path.suffix} shows at most {form.max_fps:g} pictures a second, not {pace:g}; film an .mp4"
        )
    count = len(show.titles)
    aside = path.absolute().with_name(path.name + ".part")
    shows = (show.pictures() for _ in range(form.passes))
    try:
        with progress(console) as bar:
            shots = bar.track(chain.from_iterable(shows), total=form.passes * count, description="filming")
            _encode(shots, aside, form, pace, scale, count)
        written, _ = imageio_ffmpeg.count_frames_and_secs(str(aside))  # write_frames hides how ffmpeg ended
        if written != count:
            raise OSError(f"ffmpeg wrote {written} of {count} pictures to {path}; is the disk full?")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def strip(show: Show, path: Path, most: int = 6) -> None:
    """Write at most so many of its pictures, the first and the last among them, side by side as a .png.

    Raises:
        BadInputError: there is no folder to write it to, or a world draws no pictures.
    """
    if not path.parent.is_dir():
        raise BadInputError(f"{path} cannot be written: there is no folder {path.parent}")
    from matplotlib.image import imsave

    last = len(show.titles) - 1
    chosen = {round(place) for place in np.linspace(0, last, most)} if last else {0}
    content = io.BytesIO()
    imsave(content, np.concatenate([one for number, one in enumerate(show.pictures()) if number in chosen], 1))
    write_aside(path, content.getvalue())


def halfblocks(picture: Array, columns: int, rows: int, color_system: str) -> str:
    """Draw a picture [H, W, 3] as large as fits into `columns` × `rows` cells, its aspect kept; lines end in "\\n".

    `color_system` is one of rich's: truecolor, 256, standard. Each pixel is the mean of the area that it covers, so
    that a laser one pixel wide grows pale but never vanishes.
    """
    height, width = picture.shape[:2]
    zoom = min(columns / width, 2 * rows / height)
    columns, rows = max(1, round(width * zoom)), max(1, round(height * zoom / 2))
    tall = _areas(2 * rows, height) @ picture.reshape(height, -1)  # [2 rows, W · 3]
    small = _areas(columns, width) @ tall.reshape(2 * rows, width, 3)  # [2 rows, columns, 3]
    pixels = [list(map(tuple, line)) for line in np.rint(small).astype(int).tolist()]
    lines = []
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        cells = ((_cell(*pair, color_system), run) for pair, run in groupby(zip(upper, lower, strict=True)))
        lines.append("".join(colours + shape * len(list(run)) for (colours, shape), run in cells) + RESET)
    return "\n".join(lines)


@lru_cache(maxsize=16)
def _areas(parts: int, whole: int) -> Array:
    """[parts, whole]: row i takes the mean of the i-th of `parts` equal stretches of `whole` pixels."""
    edges = np.arange(parts + 1) * (whole / parts)
    pixels = np.arange(whole)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(covered.clip(0) * (parts / whole))


@lru_cache(maxsize=1 << 16)
def _cell(upper: RGB, lower: RGB, color_system: str) -> tuple[str, str]:
    """The colours and the character of two pixels: a space where they are alike, for fonts draw seams between ▀."""
    ink, paper = (Color.from_rgb(*rgb).downgrade(COLOR_SYSTEMS[color_system]) for rgb in (upper, lower))
    front, back = ink.get_ansi_codes(foreground=True), paper.get_ansi_codes(foreground=False)
    if back == ink.get_ansi_codes(foreground=False):
        return f"\x1b[{';'.join(back)}m", " "
    return f"\x1b[{';'.join(front + back)}m", "▀"


def _titles(episode: Episode) -> list[str]:
    """What stands under each of the T + 1 pictures."""
    count = len(episode.actions)
    names = _action_names(episode)
    scores = episode.rewards.cumsum(dtype=float)
    digits, letters = len(str(count)), max(map(len, names), default=0)
    titles = [f"{episode.world.env} ({episode.world.protocol}), {count} steps"]
    for step, (action, reward, score) in enumerate(zip(episode.actions, episode.rewards, scores, strict=True)):
        name = names[action] if names else f"action {action}"
        share = f"{(step + 1) / count:4.0%}"
        titles.append(f"{share} · step {step:{digits}} · {name:{letters}} · reward {reward:g} · score {score:g}")
    return titles


def _action_names(episode: Episode) -> list[str]:
    """Gymnasium's convention, known to Atari: `get_action_meanings`; empty where a world has no names."""
    options = {"full_action_space": True} if door.protocol_of(episode.world).full_action_space else {}
    with closing(gymnasium.make(episode.world.env, **options)) as world:
        return list(getattr(world.unwrapped, "get_action_meanings", list)())


def _rate(show: Show, fps: float | None, speed: float = 1.0) -> float:
    """Pictures a second: `fps`, or the show's own, times `speed`."""
    for name, value in (("fps", fps), ("speed", speed)):
        if value is not None and not value > 0:
            raise BadInputError(f"{name} is {value:g}; it must be positive")
    return (show.rate if fps is None else fps) * speed


def _own_rate(episode: Episode) -> float:
    """Pictures a second that somebody beside the machine would see."""
    frame_skip = door.protocol_of(episode.world).frame_skip
    if episode.world.env.startswith("ALE/"):  # their `render_fps` says 30, whatever the frame skip
        return ATARI_HZ / frame_skip
    with closing(gymnasium.make(episode.world.env)) as world:
        return float(world.metadata.get("render_fps", DEFAULT_HZ)) / frame_skip


def _in_time(pictures: Iterable[Array], pace: float, last: int) -> Iterator[tuple[int, Array]]:
    """Number and hand out each picture when it is due: a slow line costs pictures, not time."""
    start = seen = time.monotonic()
    for number, picture in enumerate(pictures):
        now, due = time.monotonic(), start + number / pace
        if number < last and now - due > GLANCE and now - seen < GLANCE:
            continue
        time.sleep(max(0.0, due - now))
        yield number, picture
        seen = time.monotonic()


class Form(NamedTuple):
    """How ffmpeg writes a kind of film; {scale} and {count} stand for the enlargement and the number of pictures."""

    codec: str
    pixels: str
    filters: str
    options: str
    passes: int = 1
    max_fps: float = float("inf")


ENLARGE = "scale=iw*{scale}:ih*{scale}:flags=neighbor"
FORMS = {
    # What plays everywhere: H.264 in yuv420p, which needs even sides; the header first, so that browsers start at once.
    ".mp4": Form(
        "libx264",
        "yuv420p",
        f"{ENLARGE},pad=ceil(iw/2)*2:ceil(ih/2)*2,"
        "scale=out_color_matrix=bt709,setparams=color_primaries=bt709:color_trc=bt709",
        "-crf 18 -tune animation -movflags +faststart -f mp4",
    ),
    # One palette for the whole game, so the game is filmed twice: the first pass collects the colours, the second uses
    # them. (ffmpeg's usual one pass keeps every picture in memory until the palette is there, a gigabyte a minute.)
    ".gif": Form(
        "gif",
        "pal8",
        "split[a][b];[a]trim=end_frame={count},palettegen[palette];"
        f"[b]trim=start_frame={{count}},setpts=PTS-STARTPTS,{ENLARGE}[large];[large][palette]paletteuse=dither=none",
        "-f gif",
        passes=2,
        max_fps=GIF_MAX_FPS,
    ),
}


def _encode(shots: Iterable[Array], path: Path, form: Form, fps: float, scale: int | None, count: int) -> None:
    """Feed pictures to ffmpeg; it enlarges them, which keeps the pipe small."""
    shots = iter(shots)
    first = next(shots)
    height, width = first.shape[:2]
    scale = scale or max(1, FILM_HEIGHT // height)
    writer = imageio_ffmpeg.write_frames(
        str(path),
        (width, height),
        fps=fps,
        codec=form.codec,
        pix_fmt_out=form.pixels,
        quality=None,
        macro_block_size=1,
        ffmpeg_log_level="error",
        output_params=["-vf", form.filters.format(scale=scale, count=count), *form.options.split()],
    )
    with closing(writer):
        writer.send(None)
        for shot in chain([first], shots):
            writer.send(np.ascontiguousarray(shot))


def progress(console: Console | None) -> Progress:
    """A bar that vanishes when its work is done, and that only terminals see."""
    return Progress(console=console, transient=True, disable=console is None or not console.is_terminal)
