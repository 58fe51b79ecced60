"""The twin: how well the simulated world predicts the real one, on scenarios that no calibration has seen.

    held_out/*.yaml -> played in both worlds -> scorecard -> report

The calibration is the only thing that may be fitted. Nothing here is tuned for a scenario.
"""
