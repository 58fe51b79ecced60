"""Round figures for tests of the model's mechanisms, whatever the shipped calibration says today."""

from pathlib import Path

from simulator import calibration

PLAIN = calibration.load(Path(__file__).with_name("plain_costs.json"))
