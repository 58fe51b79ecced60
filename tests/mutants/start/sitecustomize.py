"""On PYTHONPATH, this makes every process started wrong in one way: the mutant that PAYLAB_MUTANT names."""

import os
import sys
from pathlib import Path

if "PAYLAB_MUTANT" in os.environ:
    sys.path.append(str(Path(__file__).resolve().parents[3]))
    from tests.mutants.registry import MUTANTS

    MUTANTS[os.environ["PAYLAB_MUTANT"]].apply()
