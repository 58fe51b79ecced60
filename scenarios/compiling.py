"""The model as machine code: mypyc compiles a copy of the package `simulator`, all that a payment passes through.

Whoever puts the copy first on PYTHONPATH plays with it, and gets the same histories, byte for byte, in two thirds of
the time. What is not on a payment's way stays as it is, and so does the shipped protocol: the services run that too.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import settlement
from scenarios.errors import LabError

PACKAGE = "simulator"
SOURCE = Path(__file__).resolve().parents[1] / PACKAGE
PLATFORM = Path(settlement.__file__).resolve().parents[1]
FOLDER = Path("build/compiled")
"""Where the copy is, unless somebody wants it elsewhere."""

# The packages whose modules are compiled, and those modules that are not: what is pickled for other processes, what
# numba compiles, and draws, which are endless generators (mypyc would have them all at once).
COMPILED = (".", "resources")
INTERPRETED = frozenset({"__init__", "calibration", "inputs", "randomness", "scheduling", "screening", "speed"})
FASTEST = "2"
POLL_S = 0.2
LOG_LINES = 20

_SETUP = """
import sys
from mypyc.build import mypycify
from setuptools import setup
level, *modules = sys.argv[1:]
sys.argv[1:] = ["build_ext", "--inplace"]
options = ["--config-file", "mypy.ini"]
setup(
    name="compiled",
    packages=[],
    ext_modules=mypycify(options + modules, opt_level=level, debug_level="0", multi_file=True),
)
"""


def modules() -> list[str]:
    """The modules that are compiled, as paths relative to the package's parent."""
    found = sorted(path for part in COMPILED for path in (SOURCE / part).glob("*.py") if path.stem not in INTERPRETED)
    return [str(path.relative_to(SOURCE.parent)) for path in found]


def is_current(folder: Path) -> bool:
    """Whether `folder` holds the compiled model of the present sources, for the present interpreter."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    built = {
        str(path.relative_to(folder)).removesuffix(suffix) + ".py" for path in folder.rglob(f"{PACKAGE}/**/*{suffix}")
    }
    return built == set(modules()) and _sources(folder / PACKAGE) == _sources(SOURCE)


def compile_model(folder: Path, watch: Callable[[int, int], None], level: str = FASTEST) -> None:
    """Compile into `folder`; `watch(done, all)` hears of each module. About two minutes, or one with `level` "0".

    Raises LabError: something is missing that it takes (all of it is named), or the compiler failed.
    """
    if missing := needed():
        raise LabError(f"cannot compile the model: there is no {', no '.join(missing)}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        work = Path(name) / "work"
        shutil.copytree(SOURCE, work / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
        (work / "mypy.ini").write_text("[mypy]\nignore_missing_imports = True\n", encoding="utf-8")
        log = Path(name) / "log"
        _run(work, log, level, watch)
        shutil.rmtree(work / "build")
        if folder.exists():
            shutil.rmtree(folder)
        work.rename(folder)


def needed() -> list[str]:
    """What compiling takes and this machine has not."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    header = Path(sysconfig.get_path("include")) / "Python.h"
    have = {
        "mypyc (`make compiled` installs it)": importlib.util.find_spec("mypyc") is not None,
        "setuptools (`make compiled` installs it)": importlib.util.find_spec("setuptools") is not None,
        f"C compiler {compiler!r}": shutil.which(compiler) is not None,
        f"Python.h of this interpreter (Debian: python3-dev) in {header.parent}": header.is_file(),
    }
    return [what for what, there in have.items() if not there]


def outdated() -> str | None:
    """What is wrong if the model in use is a compiled one, but of other sources than the present ones."""
    spec = importlib.util.find_spec(PACKAGE)
    used = Path(spec.origin).resolve().parent if spec is not None and spec.origin is not None else SOURCE
    if used == SOURCE or _sources(used) == _sources(SOURCE):
        return None
    return (
        f"the model in {used} was compiled from other sources than {SOURCE}; "
        "compile it again (`make compiled`), or take it off PYTHONPATH"
    )


def _run(work: Path, log: Path, level: str, watch: Callable[[int, int], None]) -> None:
    sources = modules()
    command = [sys.executable, "-P", "-c", _SETUP, level, *sources]
    with log.open("wb") as output:
        compiler = subprocess.Popen(
            command, cwd=work, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "MYPYPATH": str(PLATFORM)}
        )
        try:
            while compiler.poll() is None:
                done = sum(1 for path in work.glob("build/temp*/build/__native_simulator*.o"))
                watch(min(done, len(sources)), len(sources))
                _wait(compiler)
        finally:
            compiler.kill()
            compiler.wait()
    if compiler.returncode:
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        raise LabError("\n".join(["the model could not be compiled:", *last]))
    watch(len(sources), len(sources))


def _wait(compiler: subprocess.Popen[bytes]) -> None:
    try:
        compiler.wait(POLL_S)
    except subprocess.TimeoutExpired:
        return


def _sources(package: Path) -> dict[str, bytes]:
    return {str(path.relative_to(package)): path.read_bytes() for path in package.rglob("*.py")}
