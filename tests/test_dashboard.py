"""What people see while a run runs, on a terminal and in a log file: known rows and a known clock, known words."""

import io
import re

import pytest
from rich.console import Console

from sparring.runners import dashboard
from sparring.runners.dashboard import LINE_EVERY, Dashboard, clock

SECONDS = {"drawing": 1.5, "acting": 0.5, "emulating": 0.9, "learning": 0.5}  # 0.1 of drawing is neither


class Watch:
    """A clock that goes when it is told to."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def watch(monkeypatch):
    watch = Watch()
    monkeypatch.setattr(dashboard, "perf_counter", watch)
    return watch


def screen(terminal):
    return Console(record=True, width=150, file=io.StringIO(), force_terminal=terminal, color_system=None)


def show(console, watch, *, updates=12, seconds=SECONDS):
    """Twelve updates of 1,000 steps, 2 s each, of a run of 24,000 steps; what stands on the console afterwards.

    The first game scores 500, the 50 after it 0; the last 100 score 10 and 30 in turns.
    """
    scores = [500.0, *[0.0] * 49, *[10.0, 30.0] * 50]
    with Dashboard(console, "ppo · CartPole-v1 → runs/one", 24_000) as board:
        for update in range(1, updates + 1):
            watch.now += 2.0
            ended = scores[:50] if update == 1 else scores[50:] if update == 2 else []
            row = {"update": update, "step": 1000 * update, "game/score": ended, "loss/policy": -0.0123}
            board.log(row | {"loss/value": 4.5 / update}, seconds)
    return console.export_text()


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "log"])
@pytest.mark.parametrize(
    "words",
    [
        pytest.param("ppo · CartPole-v1 → runs/one", id="title"),
        pytest.param("50% · 12,000 of 24,000 steps", id="steps"),
        pytest.param("500 steps/s", id="speed"),
        pytest.param("0:24 left", id="time left"),
        pytest.param("score 20.0 ± 10.0 (last 100), best 500", id="score"),
        pytest.param("acting 25%", id="acting"),
        pytest.param("emulating 45%", id="emulating"),
        pytest.param("learning 25%", id="learning"),
        pytest.param("other 5%", id="other"),
        pytest.param("loss/policy -0.0123", id="policy loss"),
        pytest.param("loss/value 0.375", id="value loss"),
    ],
)
def test_it_tells(words, terminal, watch, monkeypatch):
    monkeypatch.setattr(dashboard, "LINE_EVERY", 23.0)  # a log gets its line at the end
    assert words in " ".join(show(screen(terminal), watch).split())


@pytest.mark.parametrize(
    "seconds",
    [
        SECONDS,
        SECONDS | {"evaluating": 7.0},
        {"drawing": 1.0, "learning": 3.0},
        {"drawing": 1e-6, "acting": 1e-6, "emulating": 0.0, "learning": 0.0},
        {"drawing": 1.0, "acting": 1 / 3, "emulating": 1 / 3, "learning": 1 / 3},
    ],
)
def test_the_shares_of_time_add_up_to_the_whole(seconds, watch):
    shown = show(screen(True), watch, seconds=seconds)
    [line] = [line for line in shown.splitlines() if line.startswith("time")]
    assert sum(map(int, re.findall(r"(\d+)%", line))) == pytest.approx(100, abs=2)


def test_the_spread_is_told_over_the_last_hundred_games_only(watch):
    assert "score 10.0 ± 70.0 (last 50), best 500" in show(screen(True), watch, updates=1)


def test_before_two_updates_no_speed_and_no_time_left_are_told(watch):
    shown = show(screen(True), watch, updates=1)
    assert "1,000 of 24,000 steps" in shown
    assert "steps/s" not in shown
    assert "left" not in shown


def test_without_a_game_that_ended_no_score_is_told(watch):
    board = Dashboard(screen(True), "title", 1000)
    board.log({"update": 1, "step": 10, "game/score": []}, SECONDS)
    assert board.sample_lines() == []


FOUND = {"modes": 8.0, "high_quality": 0.98, "reverse_kl": 0.0013, "fid": 2.5, "fid_low": 2.0, "fid_high": 3.0}


def judged(console, watch):
    """An evaluation, and an update after it."""
    row = {"update": 1, "step": 10, "loss/generator": 0.7} | {f"evaluation/{name}": one for name, one in FOUND.items()}
    with Dashboard(console, "title", 1000) as board:
        board.log(row, SECONDS)
        watch.now += LINE_EVERY + 1
        board.log({"update": 2, "step": 20, "loss/generator": 0.6}, SECONDS)
    return " ".join(console.export_text().split())


def test_what_the_last_evaluation_found_stands_on_a_line_of_its_own(watch):
    shown = judged(screen(True), watch)
    assert "found modes 8 high quality 0.98 reverse kl 0.0013 fid 2.5 learning loss/generator 0.6 time" in shown


def test_a_log_tells_the_first_of_it(watch):
    shown = judged(screen(False), watch)
    assert "modes 8 · high quality 0.98 · reverse kl 0.0013 · loss/generator 0.6 ·" in shown


def test_the_bar_fills_with_the_steps(watch):
    filled = [len(re.findall("━", show(screen(True), watch, updates=updates))) for updates in (1, 12, 24)]
    assert filled[-1] == pytest.approx(150, abs=1)
    assert filled == [pytest.approx(150 * share, abs=2) for share in (1 / 24, 12 / 24, 1)]


def test_a_log_gets_a_line_now_and_then_and_no_control_characters(watch):
    console = screen(False)
    shown = show(console, watch, updates=24).splitlines()
    assert len(shown) == 1 + 48 // (LINE_EVERY + 1)  # an update takes 2 s, so a line comes every 16 s
    assert "\x1b" not in console.file.getvalue()


def test_a_log_wraps_no_line(watch, monkeypatch):
    monkeypatch.setattr(dashboard, "LINE_EVERY", 23.0)
    console = Console(record=True, width=40, file=io.StringIO(), force_terminal=False)
    shown = show(console, watch).splitlines()
    assert len(shown) == 2
    assert shown[1].index("steps/s") < shown[1].index("score") < shown[1].index("acting")


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "log"])
def test_a_notice_is_shown(terminal, watch):
    console = screen(terminal)
    with Dashboard(console, "title", 1000) as board:
        board.say("stopping after this update")
    assert "stopping after this update" in console.export_text()


def test_an_evaluation_is_watched_until_it_is_over(watch):
    console = screen(True)
    board = Dashboard(console, "title", 1000)
    board.watch(3, 50)
    console.print(board.render())
    assert "evaluating: 3 of 50" in console.export_text()
    board.watch(50, 50)
    console.print(board.render())
    assert "evaluating" not in console.export_text()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0:00"),
        (59.4, "0:59"),
        (59.6, "1:00"),
        (61, "1:01"),
        (3599, "59:59"),
        (3600, "1:00:00"),
        (90061, "25:01:01"),
        (-5, "0:00"),
    ],
)
def test_seconds_read_as_a_clock(seconds, shown):
    assert clock(seconds) == shown


def test_what_is_counted_is_told_by_the_second(watch):
    console = screen(True)
    with Dashboard(console, "alphazero", 100) as board:
        for update in range(1, 6):
            watch.now += 2.0
            board.log({"update": update, "step": 5 * update, "count/evaluations": 6000.0, "loss/policy": 1.0}, SECONDS)
    shown = console.export_text()
    assert "25% · 25 of 100 steps · 2.5 steps/s · 3,000 evaluations/s · 0:30 left" in shown
    assert "count/" not in shown
