"""The tracker against the real W&B SDK: offline files are read back by W&B's own tool, online meets a loopback stub.

Every run is a child process: W&B keeps its settings and its service for as long as a process lives.
"""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sparring.runners.tracker import Fanout, Silent, flat

KEY = "0123456789" * 4
WANDB = Path(sys.executable).with_name("wandb")
STUB = Path(__file__).with_name("wandb_stub.py")

PRELUDE = """
import os, signal, subprocess, sys, time
from pathlib import Path
from sparring.runners.tracker import open_wandb

def track(mode, updates=range(3), **options):
    options = dict(run_id="abc", name="first", config={"lr": 0.1}, patience=10.0) | options
    tracker = open_wandb(mode, folder=Path("run"), warn=print, **options)
    log(tracker, updates)
    return tracker

def log(tracker, updates):
    for update in updates:
        row = {"update": update, "step": 10 * update, "game/score": [1.0, 2.0, 6.0], "game/length": [], "loss": 0.5}
        tracker.log(row, {"acting": 0.25})
"""


def environment(folder, **more):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "NETRC", "XDG_"))}
    return inherited | {"HOME": str(folder / "home")} | more


def play(folder, script, *, returncode=0, **more):
    """What the script says on a terminal's two channels; a Python warning anywhere is an error."""
    command = [sys.executable, "-W", "error", "-c", PRELUDE + script]
    child = subprocess.run(command, cwd=folder, env=environment(folder, **more), capture_output=True, text=True)
    assert (child.returncode, child.stderr) == (returncode, "")
    return child.stdout.splitlines()


def fragments(folder, kind="offline-run"):
    return sorted((folder / "run" / "wandb").glob(f"{kind}-*-abc/run-abc.wandb"))


def records(folder, file):
    command = [WANDB, "leet", "inspect", "--json", file]
    env = environment(folder, WANDB_ERROR_REPORTING="false")
    lines = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def history(records):
    """The logged names and numbers of each row, in order."""
    items = [record["history"]["item"] for record in records if record["type"] == "history"]
    return [{name: value for name, value in item.items() if not name.startswith("_")} for item in items]


def updates(folder, kind="offline-run"):
    return [row["update"] for file in fragments(folder, kind) for row in history(records(folder, file))]


class Server:
    def __init__(self, folder):
        folder.mkdir()
        self.folder = folder
        self.process = subprocess.Popen([sys.executable, STUB, folder])
        while not (folder / "port").exists():
            assert self.process.poll() is None
            time.sleep(0.01)
        self.port = int((folder / "port").read_text())
        self.env = {"WANDB_BASE_URL": f"http://127.0.0.1:{self.port}", "WANDB_API_KEY": KEY}

    def lines(self, file):
        path = self.folder / file
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def rows(self):
        return self.lines("history.jsonl")

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path / "server")
    yield server
    server.kill()


@pytest.fixture
def dead():
    """The environment of a user whose server does not answer."""
    with socket.socket() as closed:  # bound, never listening: every connection is refused
        closed.bind(("127.0.0.1", 0))
        yield {"WANDB_BASE_URL": f"http://127.0.0.1:{closed.getsockname()[1]}", "WANDB_API_KEY": KEY}


# ---------------------------------------------------------------------------------------------- without W&B


def test_a_row_becomes_one_number_a_name():
    row = {"update": 3, "step": 4096, "loss/policy": -0.25, "game/score": [1.0, 2.0, 6.0], "game/length": []}
    assert flat(row, {"acting": 0.5, "learning": 0.125}) == {
        "update": 3,
        "global_step": 4096,
        "loss/policy": -0.25,
        "game/score": 3.0,
        "time/acting": 0.5,
        "time/learning": 0.125,
    }


def test_a_fanout_tells_each_tracker_everything():
    class Diary:
        def __init__(self):
            self.entries = []

        def log(self, row, seconds):
            self.entries.append((row, seconds))

        def film(self, path, caption):
            self.entries.append((path, caption))

        def picture(self, path, caption):
            self.entries.append((path, caption))

        def text(self, path):
            self.entries.append(path)

        def close(self):
            self.entries.append("closed")

    first, second = Diary(), Diary()
    tracker = Fanout([first, Silent(), second])
    tracker.log({"update": 0}, {"acting": 1.0})
    tracker.film(Path("film.mp4"), "a win")
    tracker.picture(Path("strip.png"), "a strip")
    tracker.text(Path("x.txt"))
    tracker.close()
    shown = [(Path("film.mp4"), "a win"), (Path("strip.png"), "a strip"), Path("x.txt")]
    told = [({"update": 0}, {"acting": 1.0}), *shown, "closed"]
    assert first.entries == second.entries == told


def test_off_never_imports_wandb(tmp_path):
    script = """
tracker = track("off")
tracker.film(Path("film.mp4"), "a win")
tracker.close()
print(any(name.partition(".")[0] == "wandb" for name in sys.modules))
"""
    assert play(tmp_path, script) == ["False"]
    assert not (tmp_path / "run").exists()


def test_without_the_package_it_warns_once_and_goes_on(tmp_path):
    script = """
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "wandb":
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Missing())
track("auto").close()
"""
    assert play(tmp_path, script) == [
        "wandb cannot be imported (No module named 'wandb'); nothing is mirrored. Install it, or choose --track off"
    ]


# ---------------------------------------------------------------------------------------------- offline


def test_an_offline_run_holds_everything_in_its_folder_and_calls_nobody(tmp_path, server):
    script = """
before = dict(os.environ)
tracker = track("offline")
changed = {name for name in {*before, *os.environ} if before.get(name) != os.environ.get(name)}
assert changed <= {"WANDB_SERVICE"}, changed  # wandb's own, so that child processes find its service
Path("film.mp4").write_bytes(b"a film")
tracker.film(Path("film.mp4"), "a win")
Image.new("RGB", (6, 2)).save("strip.png")
tracker.picture(Path("strip.png"), "eight modes")
Path("said.txt").write_text("a < b & 秦\\n  c d\\n", encoding="utf-8")
tracker.text(Path("said.txt"))
tracker.close()
log(tracker, [3])
tracker.close()
"""
    assert play(tmp_path, "from PIL import Image" + script, **server.env) == []
    assert server.lines("calls.jsonl") == []
    assert not (tmp_path / "home").exists()

    [file] = fragments(tmp_path)
    found = records(tmp_path, file)
    [run] = [record["run"] for record in found if record["type"] == "run"]
    assert (run["run_id"], run["display_name"], run["project"]) == ("abc", "first", "sparring")
    assert run["config"]["update"]["lr"] == 0.1
    [metric] = [record["metric"] for record in found if record["type"] == "metric"]
    assert (metric["glob_name"], metric["step_metric"]) == ("*", "global_step")

    *rows, film, picture, text = history(found)
    same = {"game/score": 3.0, "loss": 0.5, "time/acting": 0.25}
    assert rows == [{"update": update, "global_step": 10 * update, **same} for update in range(3)]
    assert film["global_step"] == 20
    assert film["film.caption"] == "a win"
    assert (file.parent / "files" / film["film.path"]).read_bytes() == b"a film"
    assert (picture["global_step"], picture["picture.caption"]) == (20, "eight modes")
    assert (picture["picture.width"], picture["picture.height"]) == (6, 2)
    assert text["global_step"] == 20
    page = (file.parent / "files" / text["text.path"]).read_text(encoding="utf-8")
    assert "<pre>a &lt; b &amp; 秦\n  c d\n</pre>" in page


def test_an_offline_run_survives_a_kill_but_for_the_last_row(tmp_path):
    script = """
tracker = track("offline", range(20))
time.sleep(2)
log(tracker, [20])
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert play(tmp_path, script, returncode=-signal.SIGKILL) == []
    assert updates(tmp_path) in (list(range(20)), list(range(21)))


def test_a_resumed_offline_run_repeats_no_row_and_sync_stitches_it(tmp_path, server):
    play(tmp_path, 'track("offline", range(5)).close()')
    time.sleep(1)  # a fragment is named by the second it began in
    script = """
Path("film.mp4").write_bytes(b"a film")
tracker = track("offline", range(2, 5), mirrored=4)
tracker.film(Path("film.mp4"), "seen before")
log(tracker, range(5, 8))
tracker.close()
"""
    play(tmp_path, script)
    first, second = fragments(tmp_path)
    assert [row["update"] for row in history(records(tmp_path, first))] == [0, 1, 2, 3, 4]
    assert [row["update"] for row in history(records(tmp_path, second))] == [5, 6, 7]

    sync = [WANDB, "sync", first.parent, second.parent]
    env = environment(tmp_path, WANDB_ERROR_REPORTING="false", **server.env)
    subprocess.run(sync, env=env, cwd=tmp_path, check=True, capture_output=True)
    assert [row["global_step"] for row in server.rows()] == [0, 10, 20, 30, 40, 50, 60, 70]


def test_a_run_remembers_how_far_it_was_mirrored_even_if_a_part_of_it_was_not(tmp_path):
    play(tmp_path, 'track("offline", range(3), mirrored=None).close()')
    play(tmp_path, 'track("off", range(3, 6), mirrored=None).close()')
    time.sleep(1)  # a fragment is named by the second it began in
    play(tmp_path, 'track("offline", range(8), mirrored=None).close()')
    assert updates(tmp_path) == list(range(8))


# ---------------------------------------------------------------------------------------------- auto


def test_auto_is_offline_for_who_is_not_logged_in(tmp_path):
    assert play(tmp_path, 'track("auto").close()') == []
    assert updates(tmp_path) == [0, 1, 2]


def test_auto_is_online_for_who_is_logged_in(tmp_path, server):
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text(f"machine 127.0.0.1:{server.port} login user password {KEY}\n")
    (home / ".netrc").chmod(0o600)
    assert play(tmp_path, 'track("auto").close()', WANDB_BASE_URL=server.env["WANDB_BASE_URL"]) == []
    assert [row["update"] for row in server.rows()] == [0, 1, 2]


@pytest.mark.parametrize(("wanted", "kept"), [("offline", [0, 1, 2]), ("disabled", [])])
def test_auto_leaves_it_to_wandb_mode(tmp_path, server, wanted, kept):
    assert play(tmp_path, 'track("auto").close()', WANDB_MODE=wanted, **server.env) == []
    assert server.lines("calls.jsonl") == []
    assert updates(tmp_path) == kept


def test_an_explicit_mode_overrides_wandb_mode(tmp_path, server):
    assert play(tmp_path, 'track("online").close()', WANDB_MODE="disabled", **server.env) == []
    assert [row["update"] for row in server.rows()] == [0, 1, 2]


# ---------------------------------------------------------------------------------------------- the ladder

NO_KEY = "UsageError: No API key configured. Use `wandb login` to log in."
BAD_KEY = "AuthenticationError: WANDB_API_KEY invalid: API key must have 40+ characters, has 5."


@pytest.mark.parametrize(
    ("mode", "env", "reason"),
    [
        ("online", {}, NO_KEY),
        ("auto", {"WANDB_MODE": "online"}, NO_KEY),
        ("online", {"WANDB_API_KEY": "short"}, BAD_KEY),
        ("auto", {"WANDB_API_KEY": "short"}, BAD_KEY),
    ],
)
def test_without_a_good_key_it_warns_once_and_stays_offline(tmp_path, mode, env, reason):
    said = play(tmp_path, f"track({mode!r}).close()", **env)
    assert said == [f"W&B does not start {mode} ({reason}); the run is kept offline for `wandb sync`"]
    assert updates(tmp_path) == [0, 1, 2]


def test_on_a_terminal_it_does_not_ask_for_a_key(tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", PRELUDE + 'track("online").close()']
    env = environment(tmp_path, TERM="xterm")
    child = subprocess.Popen(command, cwd=tmp_path, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    try:
        assert child.wait(timeout=30) == 0
        said = os.read(ours, 10_000).decode().split("\r\n")
    finally:
        child.kill()
        os.close(ours)
        os.close(theirs)
    assert said == [f"W&B does not start online ({NO_KEY}); the run is kept offline for `wandb sync`", ""]


@pytest.mark.parametrize("mode", ["online", "auto"])
def test_a_dead_server_costs_one_warning_and_the_patience(tmp_path, dead, mode):
    begin = time.monotonic()
    [said] = play(tmp_path, f"track({mode!r}, patience=1.0).close()", **dead)
    assert time.monotonic() - begin < 15
    assert said.startswith(f"W&B does not start {mode} (CommError: ")
    assert said.endswith("); the run is kept offline for `wandb sync`")
    assert updates(tmp_path) == [0, 1, 2]


def test_what_cannot_start_offline_either_is_not_mirrored(tmp_path):
    [said] = play(tmp_path, 'track("offline", run_id="a/b").close()')
    assert said.startswith("W&B does not start offline (")
    assert said.endswith("); nothing is mirrored")
    assert not list((tmp_path / "run").glob("**/*.wandb"))


# ---------------------------------------------------------------------------------------------- online


def test_a_resumed_online_run_shows_no_step_twice(tmp_path, server):
    script = """
Path("film.mp4").write_bytes(b"a film")
tracker = track("online", range(3))
tracker.film(Path("film.mp4"), "a win")
tracker.close()
"""
    assert play(tmp_path, script, **server.env) == []
    resumed = """track("online", range(1, 6), mirrored=2, config={"lr": 0.2}).close()"""
    assert play(tmp_path, resumed, **server.env) == []

    rows = server.rows()
    assert [row["update"] for row in rows if "update" in row] == [0, 1, 2, 3, 4, 5]
    assert [row["global_step"] for row in rows] == [0, 10, 20, 20, 30, 40, 50]
    assert [row["_step"] for row in rows] == [0, 1, 2, 3, 4, 5, 6]
    assert rows[3]["film"]["caption"] == "a win"
    assert any(call.get("upload", "").endswith(".mp4") for call in server.lines("calls.jsonl"))
    configs = [call["variables"]["config"] for call in server.lines("calls.jsonl") if "UpsertBucket" in call.values()]
    assert json.loads(configs[0])["lr"] == {"value": 0.1}
    assert json.loads(configs[-1])["lr"] == {"value": 0.2}


def test_a_resumed_online_run_sends_again_what_a_crash_kept_from_the_server(tmp_path, server):
    assert play(tmp_path, 'track("online", range(3)).close()', **server.env) == []
    assert play(tmp_path, 'track("online", range(1, 8), mirrored=5).close()', **server.env) == []
    assert [row["update"] for row in server.rows()] == [0, 1, 2, 3, 4, 5, 6, 7]


def test_a_server_that_dies_mid_run_holds_up_neither_log_nor_close(tmp_path, server):
    script = f"""
tracker = track("online", patience=1.0)
os.kill({server.process.pid}, signal.SIGKILL)
begin = time.monotonic()
log(tracker, range(3, 1000))
logged = time.monotonic()
tracker.close()
closed = time.monotonic()
assert logged - begin < 5, logged - begin
assert closed - logged < 5, closed - logged
"""
    begin = time.monotonic()
    said = play(tmp_path, script, **server.env)
    assert time.monotonic() - begin < 20
    [file] = fragments(tmp_path, "run")
    folder = file.parent.relative_to(tmp_path)
    assert said == [f"W&B did not take every row in time; `wandb sync {folder}` uploads them"]
    assert updates(tmp_path, "run") == list(range(1000))


# ---------------------------------------------------------------------------------------------- W&B itself fails


def test_an_error_while_logging_costs_one_warning_and_the_mirror(tmp_path):
    script = """
tracker = track("offline")
for _ in range(2):
    tracker.film(Path("nowhere.mp4"), "a win")
log(tracker, range(3, 6))
tracker.close()
print("trained on")
"""
    reason = "FileNotFoundError: [Errno 2] No such file or directory: 'nowhere.mp4'"
    assert play(tmp_path, script) == [f"W&B failed ({reason}); the run goes on without it", "trained on"]
    assert updates(tmp_path) == [0, 1, 2]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds the service's process through /proc")
def test_when_wandb_core_is_killed_training_goes_on(tmp_path):
    script = """
import warnings
warnings.simplefilter("ignore", ResourceWarning)  # wandb leaves a killed service unreaped
tracker = track("offline")
children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
for child in children:
    os.kill(int(child), signal.SIGKILL)
time.sleep(0.5)
log(tracker, range(3, 6))
tracker.close()
print("trained on")
"""
    reasons = "Connection lost", "[Errno 104] Connection reset by peer"  # which is noticed first is by chance
    warnings = [f"W&B failed (ConnectionResetError: {why}); the run goes on without it" for why in reasons]
    assert play(tmp_path, script) in [[warning, "trained on"] for warning in warnings]
