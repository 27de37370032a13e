"""The end of a run in words: what is told in a line, and what is proposed next."""

import io

import pytest
from rich.console import Console

from sparring.runners import report


def test_a_headline_tells_the_first_metrics_and_no_ends_of_intervals():
    found = {"fid": 1.23456, "fid_low": 1.0, "fid_high": 2.0, "asked_class": 0.98, "samples": 10_000.0, "value": -1.4}
    assert report.headline(found) == "fid 1.235 · asked class 0.98 · samples 10,000"
    assert report.headline({}) == ""


class Folder:
    """As much of a run's folder as a farewell asks for."""

    def __init__(self, path, **protocol):
        self.path, self.protocol = path, protocol

    def judgement(self):
        return {"protocol": self.protocol}


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        (
            {"games": 50},
            ["watch its best game", "prove that game", "play more games", "runs/x --episodes 200"],
        ),
        (
            {"samples": 2_500},
            ["watch its training", "prove what it shows", "draw more samples", "runs/x --episodes 10000"],
        ),
        ({"start": [1.0, 2.0]}, ["watch its training", "prove what it shows"]),
    ],
)
def test_a_farewell_proposes_what_there_is_more_of(protocol, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    console = Console(record=True, width=150, file=io.StringIO())
    folder = Folder(tmp_path.relative_to(tmp_path) / "runs" / "x", name="anything", **protocol)
    report.farewell(console, folder, command=str, again="train gan --steps 1000")
    shown = console.export_text()
    assert [words for words in said if words not in shown] == []
    assert ("--episodes" in shown) == (len(protocol.keys() & {"games", "samples"}) == 1)
    assert "sparring train gan --steps 1000" in shown
