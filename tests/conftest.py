"""Set before anything imports torch: its idle threads must sleep, not spin, or parallel tests stall each other."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
