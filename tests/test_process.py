"""What a process is told before it computes."""

import os
import platform
import subprocess
import sys

import pytest

AGAIN = """
import resource
import numpy as np
from sparring.runners import process
if {prepared}:
    process.prepare()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**23)  # 64 MB
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(taken)
"""


def faults(prepared):
    """Page faults of a large array, made when the same was made and freed before."""
    words = [sys.executable, "-c", AGAIN.format(prepared=prepared)]
    return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator's thresholds are glibc's")
def test_memory_that_was_freed_is_at_hand():
    """Where the system gives huge pages they are few, a fault each; at hand, they are none."""
    assert 8 * faults(prepared=True) < faults(prepared=False)


@pytest.mark.parametrize(("own", "policy"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_the_user_has_it_otherwise(own, policy):
    told = "import os; from sparring.runners import process; process.prepare(); print(os.environ['OMP_WAIT_POLICY'])"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": own} if own else {}
    child = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True, env=environment)
    assert child.stdout.strip() == policy
