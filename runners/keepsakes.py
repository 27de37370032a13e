"""What a run keeps to show: games, and sheets of samples; each proves itself, and can be seen.

A game is shown by itself; the sheets of a run are shown one after the other, which is its training as a film.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console

from sparring.adversarial import sheets
from sparring.adversarial.sheets import SHEET, Sheet
from sparring.envs import episodes
from sparring.envs.episodes import Episode, EpisodeError, Verdict
from sparring.envs.go import saved
from sparring.envs.go.saved import SavedGame
from sparring.envs.worlds import Array
from sparring.runners import catalog
from sparring.runners.job import rebuild
from sparring.runners.replay import Show, of_game, progress
from sparring.runners.report import headline

SHEETS_A_SECOND = 4.0
DRAWN = 64  # pictures of sheets that are kept, for a film and a strip want the same

Kept = Episode | Sheet | SavedGame
MOVES_A_SECOND = 2.0


def load(path: Path) -> Kept:
    """Read a game, of Go or of a world, or a sheet.

    Raises:
        EpisodeError: the file is none of them, missing, damaged, or of another version.
    """
    header, _ = episodes.unpack(path)
    loaders: dict[Any, Callable[[Path], Kept]] = {SHEET: sheets.load, saved.GO: saved.load}
    return loaders.get(header.get("kind"), episodes.load)(path)


def together(paths: Sequence[Path]) -> list[Kept]:
    """What is shown together, of the episodes of a run: all its sheets, or the last game.

    Raises:
        EpisodeError: as `load`.
    """
    last = load(paths[-1])
    return [*(load(path) for path in paths[:-1]), last] if isinstance(last, Sheet) else [last]


def prove(kept: Kept, console: Console) -> Verdict:
    """Make it again, compare all of it, and print one line that says what was found.

    Raises:
        EpisodeError, UnknownNameError: it cannot be made here; see `episodes.verify`.
    """
    if isinstance(kept, Sheet):
        verdict, what = sheets.compare(kept, remade(kept)), "sample"
    else:
        verdict, what = prove_game(kept, console) if isinstance(kept, Episode) else saved.verify(kept), "step"
    found = "proved" if verdict.step is None else f"differs at {what} {verdict.step}"
    console.out(f"{found}: {verdict.what}", highlight=False)
    return verdict


def prove_game(game: Episode, console: Console) -> Verdict:
    """Replay a game."""
    with progress(console) as bar:
        task = bar.add_task("proving", total=len(game.actions))
        return episodes.verify(game, lambda step: bar.update(task, completed=step + 1))


def remade(sheet: Sheet) -> Array:
    """A sheet's samples, made again."""
    module, config = _maker(sheet)
    try:
        return module.remake(config, sheet)  # type: ignore[no-any-return]
    except RuntimeError as error:  # torch's, of weights that do not fit
        raise EpisodeError(f"the sheet's weights do not fit its configuration: {error}") from None


def _maker(sheet: Sheet) -> tuple[ModuleType, Any]:
    """The module that makes a sheet, and its configuration.

    Raises:
        EpisodeError: the configuration does not fit this version.
        UnknownNameError: there is no such algorithm.
    """
    module = catalog.load(sheet.algorithm)
    try:
        return module, rebuild(module.Config, sheet.config)
    except TypeError as error:
        raise EpisodeError(f"the sheet's configuration does not fit this version: {error}") from None


def show(kept: Sequence[Kept]) -> Show:
    """Sheets one after the other; of games, the last."""
    last = kept[-1]
    if isinstance(last, Episode):
        return of_game(last)
    if isinstance(last, SavedGame):
        return Show(last.pictures, last.titles(), MOVES_A_SECOND)
    run = [one for one in kept if isinstance(one, Sheet)]

    @functools.lru_cache(DRAWN)
    def picture(number: int) -> Array:
        module, config = _maker(run[number])
        return module.picture(config, run[number])  # type: ignore[no-any-return]

    return Show(lambda: map(picture, range(len(run))), [title(sheet) for sheet in run], SHEETS_A_SECOND)


def has_words(kept: Sequence[Kept]) -> bool:
    """Whether it is sentences that were kept, which are read and not looked at."""
    return all(isinstance(one, Sheet) and hasattr(_maker(one)[0], "words") for one in kept)


def read(kept: Sequence[Kept], most: int | None = None) -> Iterator[str]:
    """Sheets of sentences line by line: of each its title and, at most so many, the sentences.

    Raises:
        EpisodeError: these are games, or samples of another kind.
    """
    if not has_words(kept):
        raise EpisodeError("there are no sentences to read in it; --view terminal or png shows what there is")
    for sheet in kept:
        assert isinstance(sheet, Sheet)
        module, config = _maker(sheet)
        yield title(sheet)
        yield from (f"  {sentence}" for sentence in module.words(config, sheet)[:most])


def title(kept: Kept) -> str:
    """What it is, in a line."""
    if isinstance(kept, Episode):
        return f"score {kept.score:g}"
    if isinstance(kept, SavedGame):
        return kept.told
    return f"step {kept.step:,} · {headline(kept.metrics)}"
