"""Calibration: what things cost on this machine, learned from short runs of the real platform.

    experiments -> world.play -> history -> windows, graph -> regression -> fitting -> document

Everything but playing is pure: a fit is a function of the histories, and can be tested against known answers.
"""
