"""On PYTHONPATH, this makes the protocol of every process started wrong in one way: `unilateral_abort`."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("paylab_mutants", Path(__file__).resolve().parents[1] / "patches.py")
assert _spec is not None
assert _spec.loader is not None
_patches = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_patches)
_patches.PATCHES["unilateral_abort"]()
