"""On PYTHONPATH, this makes every process started wrong in one way: the mutant that PAYLAB_MUTANT names."""

import os
import sys
from pathlib import Path
from types import ModuleType

if "PAYLAB_MUTANT" in os.environ:
    # Other packages are called `tests`, too: this process shall have ours for as long as it takes.
    ours = ModuleType("tests")
    ours.__path__ = [str(Path(__file__).resolve().parents[2])]
    sys.modules["tests"] = ours
    from tests.mutants.registry import MUTANTS

    MUTANTS[os.environ["PAYLAB_MUTANT"]].apply()
    del sys.modules["tests"]
