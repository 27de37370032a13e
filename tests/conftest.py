"""What all tests share. The first lines stand before anything imports torch: its idle threads must sleep, not spin, or
parallel tests stall each other.
"""

import os
import shutil

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest


@pytest.fixture
def one_thread():
    """Networks as small as those of tests are fastest on one thread; several would fight over the cores."""
    import torch  # not at the top: most tests do without

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def gnu_go():
    """The path of GNU Go, a Debian package that lies where no user's PATH leads."""
    found = shutil.which("gnugo", path=f"{os.environ.get('PATH', os.defpath)}:/usr/games")
    if found is None:
        pytest.skip("GNU Go is not installed (apt-get install gnugo)")
    return found
