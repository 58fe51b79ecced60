"""Calibration files as the command line names them: read, or refused with what is wrong."""

from pathlib import Path

from scenarios.calibrate.machine import machine_id
from scenarios.errors import BadInput
from simulator import calibration
from simulator.calibration import Calibration

FOLDER = Path("calibration")


class NoCalibration(BadInput):
    """A file that cannot be used as a calibration; the message names it."""


def calibration_of(path: Path) -> Calibration:
    """The figures in `path`. Raises NoCalibration."""
    try:
        return calibration.load(path)
    except OSError as error:
        raise NoCalibration(f"--calibration {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoCalibration(
            f"--calibration {path}: is no calibration ({type(error).__name__}: {error}); make one by paylab calibrate"
        ) from error


def machine_file() -> Path | None:
    """Where `paylab calibrate` put this machine's, if it did."""
    path = FOLDER / f"{machine_id()}.json"
    return path if path.exists() else None
