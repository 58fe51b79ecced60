"""The model as machine code: mypyc compiles a copy of the package `simulator`, all that a payment passes through.

Whoever puts the copy first on PYTHONPATH plays with it, and gets the same histories, byte for byte; the model takes two
thirds of its time. What is not on a payment's way stays as it is, and so does the shipped protocol, which the services
run too. But its constants are part of what is compiled, so the copy is out of date when it changes as well.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import settlement
from scenarios.errors import BadInput, LabError
from scenarios.sources import add_sources

PACKAGE = "simulator"
SOURCE = Path(__file__).resolve().parents[1] / PACKAGE
SHIPPED = Path(settlement.__file__).resolve().parent
FOLDER = Path("build/compiled")
"""Where the copy is, unless somebody wants it elsewhere."""
MARKER = "compiled-from"
"""The file in that folder that says what it was compiled from."""

COMPILED = (".", "resources")
"""The packages whose modules are compiled, below the package itself."""
INTERPRETED = frozenset({"calibration.py", "inputs.py", "randomness.py", "scheduling.py", "screening.py", "speed.py"})
"""But these are not: what is pickled for other processes, what numba compiles (screening), and endless generators
(randomness), which mypyc would run to their end."""
FASTEST = "2"
POLL_S = 0.2
LOG_LINES = 20
_SUFFIX = str(sysconfig.get_config_var("EXT_SUFFIX"))

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
    found = sorted(path for part in COMPILED for path in (SOURCE / part).glob("*.py") if path.name != "__init__.py")
    return [
        path.relative_to(SOURCE.parent).as_posix()
        for path in found
        if path.relative_to(SOURCE).as_posix() not in INTERPRETED
    ]


def is_current(folder: Path) -> bool:
    """Whether `folder` holds the compiled model of the present sources, for the present interpreter."""
    return _compiled_from(folder) == _sources() and any(folder.glob(f"*__mypyc{_SUFFIX}"))


def outdated() -> str | None:
    """What is wrong if the model in use is a compiled one, but of other sources or for another interpreter."""
    spec = importlib.util.find_spec(PACKAGE)
    used = Path(spec.origin).resolve().parents[1] if spec is not None and spec.origin is not None else SOURCE.parent
    if _compiled_from(used) is None or is_current(used):
        return None
    return (
        f"the model in {used} was compiled from other sources, or for another Python; "
        "compile it again (`paylab compile`), or take it off PYTHONPATH"
    )


def compile_model(folder: Path, watch: Callable[[int, int], None], level: str = FASTEST) -> None:
    """Compile into `folder`; `watch(done, all)` hears every POLL_S how many modules are done.

    About two minutes, or one with `level` "0". A compiled model that is there already is replaced at the end.
    Raises BadInput if anything else is there, and LabError if something is missing (all of it is named) or the compiler
    failed.
    """
    folder = folder.resolve()
    if os.pathsep in str(folder):
        raise BadInput(f"{folder}: a folder on PYTHONPATH cannot have {os.pathsep!r} in its name")
    if folder.exists() and not (folder.is_dir() and (_compiled_from(folder) or not any(folder.iterdir()))):
        raise BadInput(f"{folder} has something else in it than a compiled model; choose a new or an empty folder")
    if missing := needed():
        raise LabError(f"cannot compile the model: there is no {', no '.join(missing)}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        work, made = Path(name, "work"), Path(name, "made")
        shutil.copytree(SOURCE, work / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
        made_from = _sources()
        _run(work, level, watch)
        made.mkdir()
        for path in (work / PACKAGE, *work.glob(f"*__mypyc{_SUFFIX}")):
            path.rename(made / path.name)
        (made / MARKER).write_text(made_from, encoding="ascii")
        if folder.exists():
            folder.rename(Path(name, "replaced"))
        made.rename(folder)


def needed() -> list[str]:
    """What compiling takes and this machine has not."""
    compiler = next(iter(shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "")), "cc")
    header = Path(sysconfig.get_path("include")) / "Python.h"
    have = {
        "mypyc (`make compiled` installs it)": importlib.util.find_spec("mypyc") is not None,
        "setuptools (`make compiled` installs it)": importlib.util.find_spec("setuptools") is not None,
        f"C compiler {compiler!r}": shutil.which(compiler) is not None,
        f"Python.h of this interpreter (Debian: python3-dev) in {header.parent}": header.is_file(),
    }
    return [what for what, there in have.items() if not there]


def _compiled_from(folder: Path) -> str | None:
    """What the model in a folder was compiled from; None: there is none."""
    marker = folder / MARKER
    return marker.read_text(encoding="ascii") if marker.is_file() else None


def _sources() -> str:
    """Hex digest of all that a compiled model depends on."""
    digest = hashlib.sha256(f"{_SUFFIX} {_SETUP} {modules()}".encode())
    with suppress(importlib.metadata.PackageNotFoundError):
        digest.update(importlib.metadata.version("mypy").encode())
    for package in (SOURCE, SHIPPED):
        add_sources(digest, package)
    return digest.hexdigest()


def _run(work: Path, level: str, watch: Callable[[int, int], None]) -> None:
    sources = modules()
    (work / "mypy.ini").write_text("[mypy]\nignore_missing_imports = True\n", encoding="utf-8")
    # mypy refuses a search path that is site-packages, where an installed paylab is.
    path, log = work.with_name("path"), work.with_name("log")
    path.mkdir()
    (path / SHIPPED.name).symlink_to(SHIPPED)
    with log.open("wb") as output:
        compiler = subprocess.Popen(
            [sys.executable, "-P", "-c", _SETUP, level, *sources], cwd=work, stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, "MYPYPATH": str(path)}, start_new_session=True,
        )  # fmt: skip
        try:
            while compiler.poll() is None:
                done = sum(1 for _ in work.glob(f"build/temp*/build/__native_{PACKAGE}*.o"))
                watch(min(done, len(sources)), len(sources))
                with suppress(subprocess.TimeoutExpired):
                    compiler.wait(POLL_S)
        finally:
            if compiler.poll() is None:
                os.killpg(compiler.pid, signal.SIGKILL)  # it has compilers of its own
                compiler.wait()
    if compiler.returncode:
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        raise LabError("\n".join(["the model could not be compiled:", *last]))
    watch(len(sources), len(sources))
