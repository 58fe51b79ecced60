"""Deterministic simulation testing: whole runs of the simulated platform, drawn from a seed, judged by the checks.

    seed --draw--> FuzzPlan --play--> rows, digest --judge--> findings --shrink--> the smallest plan that still fails

A plan is data: the same plan gives the same run, byte for byte, on any machine and with any number of workers.
"""
