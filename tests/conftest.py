"""What all tests share. The first lines stand before anything imports torch: its idle threads must sleep, not spin, or
parallel tests stall each other.
"""

import os

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
