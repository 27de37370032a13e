"""A checkpoint comes back bit for bit, or is named and refused; a crash while one is written leaves the older whole."""

import hashlib
import io
import math
import os
from pathlib import Path

import pytest
import torch

from sparring.envs import files
from sparring.envs.errors import BadInputError
from sparring.runners import checkpoint
from sparring.runners.checkpoint import CheckpointError

STATE = {
    "update": 7,
    "parts": {
        "network": {"weight": torch.tensor([[0.1, -2.5], [3e-39, 1e38]]), "bias": torch.zeros(0, dtype=torch.bfloat16)},
        "optimiser": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999)}]},
        "dice": {"state": torch.arange(5, dtype=torch.uint8)},
        "source": {"seed": 2**62 + 1, "log": [[0, 1], [1, 1]], "name": "welt π", "none": None, "flag": True},
    },
}


class Intruder:
    """Unpickled by anybody who trusts the file, it makes the file `path`."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def path(tmp_path):
    checkpoint.write(tmp_path / "00000007.pt", STATE)
    return tmp_path / "00000007.pt"


def sealed(content):
    """The bytes of a file whose digest fits whatever it holds."""
    return checkpoint.MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def pickled(value):
    archive = io.BytesIO()
    torch.save(value, archive)
    return archive.getvalue()


def same(one, other):
    """Whether two states are the same to the last bit, with the same types."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def refused(path):
    """What is said about a file that is not read; the file stays as it is."""
    before = path.read_bytes()
    with pytest.raises(CheckpointError) as caught:
        checkpoint.read(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    return str(caught.value)


def test_a_state_comes_back_bit_for_bit(path):
    assert same(checkpoint.read(path), STATE)


def test_infinite_and_undefined_numbers_come_back(tmp_path):
    checkpoint.write(tmp_path / "x.pt", {"x": torch.tensor([math.inf, -0.0]), "y": math.nan})
    state = checkpoint.read(tmp_path / "x.pt")
    assert state["x"].tolist() == [math.inf, 0.0]
    assert torch.signbit(state["x"]).tolist() == [False, True]
    assert math.isnan(state["y"])


def test_the_same_state_makes_the_same_file(path, tmp_path):
    checkpoint.write(tmp_path / "again.pt", STATE)
    assert (tmp_path / "again.pt").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("share", [0.99, 0.5, 0.1])
def test_a_file_that_was_cut_short_is_named(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "was cut short or altered" in refused(path)


def test_a_file_that_grew_is_named(path):
    path.write_bytes(path.read_bytes() + b"\0")
    assert "was cut short or altered" in refused(path)


@pytest.mark.parametrize("place", [25, 100, 600, -1])
def test_a_single_altered_bit_is_named(path, place):
    """In the digest, after it, among the numbers, at the end."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert "was cut short or altered" in refused(path)


@pytest.mark.parametrize("content", [b"", b"\n", checkpoint.MAGIC[:-2], b"PK\x03\x04", b"sparring checkpoint 2 00\nx"])
def test_a_file_of_another_format_is_named(path, content):
    path.write_bytes(content)
    assert "is not a checkpoint that this version reads" in refused(path)


def test_a_plain_torch_archive_is_no_checkpoint(path):
    torch.save(STATE, path)
    assert "is not a checkpoint that this version reads" in refused(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot read the checkpoint .*nowhere\.pt: No such file"):
        checkpoint.read(tmp_path / "nowhere.pt")


def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path):
    """Even where somebody has made its digest fit."""
    path, trace = tmp_path / "evil.pt", tmp_path / "trace"
    path.write_bytes(sealed(pickled({"update": 1, "parts": Intruder(trace)})))
    assert "holds more than tensors and plain values" in refused(path)
    assert not trace.exists()


def test_what_is_no_archive_is_refused_though_its_digest_fits(tmp_path):
    path = tmp_path / "odd.pt"
    path.write_bytes(sealed(b"anything"))
    assert "holds more than tensors and plain values" in refused(path)


def test_a_refused_checkpoint_is_bad_input():
    """So that the command line explains it and exits with 2."""
    assert issubclass(CheckpointError, BadInputError)


class Crash(Exception):
    pass


def crash(*_):
    raise Crash


@pytest.mark.parametrize(("owner", "step"), [(os, "fsync"), (Path, "replace")])
def test_a_crash_while_writing_leaves_the_old_file_whole(path, monkeypatch, owner, step):
    with monkeypatch.context() as patched:
        patched.setattr(owner, step, crash)
        with pytest.raises(Crash):
            checkpoint.write(path, {"update": 8, "parts": {}})
    assert same(checkpoint.read(path), STATE)
    checkpoint.write(path, {"update": 8, "parts": {}})
    assert checkpoint.read(path)["update"] == 8


def test_what_a_crash_leaves_behind_is_no_checkpoint(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", crash)
        with pytest.raises(Crash):
            checkpoint.write(tmp_path / "00000001.pt", STATE)
    assert list(tmp_path.glob("*.pt")) == []


def test_the_content_reaches_the_disk_before_the_name_does(tmp_path, monkeypatch):
    """Else a power cut could leave the new name with half of the bytes."""
    events = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (events.append("sync"), fsync(number)))
    monkeypatch.setattr(Path, "replace", lambda path, to: (events.append(f"rename to {to.name}"), replace(path, to)))
    files.write_aside(tmp_path / "file", b"content")
    assert events == ["sync", "rename to file", "sync"]
    assert (tmp_path / "file").read_bytes() == b"content"
