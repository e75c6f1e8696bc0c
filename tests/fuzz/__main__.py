"""``make fuzz SECONDS=600``: rounds of the property tests with other examples, until the time is up."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz.conftest import UNTIL


def main(seconds: float) -> int:
    """Prints every finding as pytest does, with its example; 1 where there was one. Nothing is kept
    between runs: each finding is to be fixed and to become a named case."""
    until = time.time() + seconds
    rounds, found = 0, 0
    while time.time() < until:
        rounds += 1
        seed = random.randrange(2**32)
        print(f"round {rounds}, seed {seed}", flush=True)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "--tb=short", str(Path(__file__).parent)),
                *("--hypothesis-profile=long", f"--hypothesis-seed={seed}"),
            ],
            env={**os.environ, UNTIL: str(until)},
            check=False,
        )
        if done.returncode not in (0, 1):
            return done.returncode  # pytest itself could not run
        found += done.returncode
    print(f"{rounds} rounds, {found} with findings")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
