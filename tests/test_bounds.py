"""Numba looks at no bounds unless it is told to; a kernel that leaves its arrays reads anything, or crashes one day."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sparring.envs.compiled import bare

TESTS = Path(__file__).parent
SEARCHES = ["test_tree.py", "test_mcts.py", "test_tactics.py", "test_selfplay.py"]
BOARDS = ["test_go_board.py", "test_go_oracle.py", "test_go_worlds.py"]


@bare
def at(array, index):
    """What lies there."""
    return array[index]


@pytest.mark.slow
def test_no_kernel_leaves_its_arrays(tmp_path):
    """All that the other tests of searches and boards do, with every index checked."""
    checked = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    files = [str(TESTS / name) for name in (*SEARCHES, *BOARDS, f"{Path(__file__).name}::test_they_are_looked_at")]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=TESTS.parent, env=checked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3_000:]


@pytest.mark.skipif(os.environ.get("NUMBA_BOUNDSCHECK") != "1", reason="bounds are not looked at, for speed")
def test_they_are_looked_at():
    with pytest.raises(IndexError, match="out of bounds"):
        at(np.zeros(3), 3)
