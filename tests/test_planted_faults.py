"""The lists of privacy faults fit the code: benchmarks/privacy_faults.py plants them and sees that tests catch them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_planted_fault_still_fits_the_code():
    script = ROOT / "benchmarks" / "privacy_faults.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) >= 144
