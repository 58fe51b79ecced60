"""`settlement.serve` under cProfile: writes `<service>.prof` into $PAYLAB_PROFILES when the process ends in order."""

import cProfile
import os
import sys
from pathlib import Path

from settlement.serve import main


def profiled_main() -> None:
    """Run the services of the command line, as usual."""
    service = sys.argv[sys.argv.index("--service") + 1]
    profile = cProfile.Profile()
    try:
        profile.runcall(main)
    finally:
        profile.dump_stats(Path(os.environ["PAYLAB_PROFILES"]) / f"{service}.prof")


if __name__ == "__main__":
    profiled_main()
