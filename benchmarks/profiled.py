"""`settlement.serve` under cProfile, counting CPU time: begins at SIGUSR1, writes the profile when the process ends.

The file is `<service>.prof` in $PAYLAB_PROFILES.
"""

import cProfile
import os
import signal
import sys
import time
from pathlib import Path

from settlement.serve import main

BEGIN = signal.SIGUSR1


def profiled_main() -> None:
    """Run the services of the command line, as usual."""
    service = sys.argv[sys.argv.index("--service") + 1]
    profile = cProfile.Profile(time.process_time)
    signal.signal(BEGIN, lambda *_: profile.enable())
    try:
        main()
    finally:
        profile.disable()
        profile.dump_stats(Path(os.environ["PAYLAB_PROFILES"]) / f"{service}.prof")


if __name__ == "__main__":
    profiled_main()
