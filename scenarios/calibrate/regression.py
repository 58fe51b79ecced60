"""Demands from CPU accounts: weighted least squares that says which of its figures the accounts determine.

    cpu(window) = sum over terms of count(window, term) * demand(term) + noise

Terms that always occur together (a prepare and its decision) cannot be told apart by their sum. So every term has a
prior, a guess from the spans, as wide as the guess itself: where the accounts say something they win, elsewhere the
guess splits what they leave together. (Bayesian linear regression with Gaussian prior: Bishop, Pattern Recognition and
Machine Learning, 2006, eq. 3.50-3.51.) Which of the two it was is a matter of the design alone: what share of a term's
counts no combination of the other terms' counts can imitate (the root of the tolerance, 1 / variance inflation), each
window weighing as much as it does in the fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy
from numpy.typing import NDArray
from scipy import optimize, stats

from simulator.analysis.estimates import LEVEL, Estimate

Matrix = NDArray[numpy.float64]

# The accounts tick in hundredths of a second, at both ends of a window; beyond that, a machine is never quite the same.
TICK_S = 0.01
RELATIVE_NOISE = 0.03
PRIOR_WIDTH = 0.7
KNOWN_WIDTH = 1e-3
TINY_S = 1e-9
# A term of whose counts less than this share is its own cannot be told from the others.
SEPARABLE = 0.1


@dataclass(frozen=True)
class Term:
    """A demand to be found: its guess in seconds, and how wide (standard deviation in seconds) the guess is.

    `known`: it is no guess; so nothing can be mistaken for it.
    """

    name: str
    guess_s: float
    width_s: float
    known: bool = False


@dataclass(frozen=True)
class Found:
    """A demand in seconds with its interval. `separable`: told by the accounts; else its guess splits what they say."""

    estimate: Estimate
    separable: bool

    @property
    def at_bound(self) -> bool:
        """Whether it would be negative if it could."""
        return self.estimate.value <= TINY_S

    @property
    def is_vague(self) -> bool:
        """Whether the interval is wider than the figure."""
        return self.estimate.half_width > self.estimate.value


@dataclass(frozen=True)
class Fit:
    """All demands of one process. `residual`: root mean square of what is unexplained, as a share of the mean CPU.

    `misfit`: the sum of its squares, each in units of the noise that it should have.
    """

    terms: Mapping[str, Found]
    residual: float
    condition: float
    windows: int
    misfit: float


def guessed(name: str, guess_s: float) -> Term:
    """A term whose prior is as wide as guesses are."""
    return Term(name, guess_s, max(PRIOR_WIDTH * guess_s, 1e-6))


def known(name: str, value_s: float) -> Term:
    """A term that was measured elsewhere."""
    return Term(name, value_s, KNOWN_WIDTH * max(value_s, 1e-6), known=True)


def fit(
    terms: Sequence[Term],
    counts: Sequence[Mapping[str, float]],
    cpu_s: Sequence[float],
    clusters: Sequence[int] = (),
) -> Fit:
    """The demands, none negative, that explain `cpu_s` of every window by the terms' `counts` in it.

    Rows of the same one of `clusters` may be wrong together; the intervals then mind that (Liang and Zeger, Biometrika
    73, 1986). Not given: every row is wrong by itself.
    """
    design = numpy.array([[row.get(term.name, 0.0) for term in terms] for row in counts], dtype=float)
    used = numpy.asarray(cpu_s, dtype=float)
    guess = numpy.array([term.guess_s for term in terms])
    width = numpy.array([term.width_s for term in terms])
    noise = numpy.sqrt(TICK_S**2 + (RELATIVE_NOISE * used) ** 2)
    weighed = design / noise[:, None]
    rows = numpy.vstack([weighed, numpy.diag(1 / width)])
    goals = numpy.concatenate([used / noise, guess / width])
    demands = optimize.lsq_linear(rows, goals, bounds=(0, numpy.inf)).x
    misfit = used - design @ demands
    # Less noise than assumed is luck, more is real: the intervals widen with it.
    freedom = max(1, len(used) - int(numpy.linalg.matrix_rank(design)))
    excess = max(1.0, float(((misfit / noise) ** 2).sum()) / freedom)
    error = numpy.sqrt(numpy.diag(numpy.linalg.inv(weighed.T @ weighed / excess + numpy.diag(1 / width**2))))
    if clusters:
        error = numpy.maximum(error, _clustered_error(weighed, misfit / noise, 1 / width**2, clusters))
    told = numpy.vstack([weighed, numpy.diag([1 / term.width_s if term.known else 0.0 for term in terms])])
    reach = float(stats.t.ppf((1 + LEVEL) / 2, freedom))
    return Fit(
        {
            term.name: Found(_estimate(demands[at], reach * error[at], len(used)), _own_share(told, at) >= SEPARABLE)
            for at, term in enumerate(terms)
        },
        sqrt(float((misfit**2).mean())) / max(float(used.mean()), 1e-12),
        _condition(design),
        len(used),
        float(((misfit / noise) ** 2).sum()),
    )


def _clustered_error(weighed: Matrix, misfit: Matrix, prior: Matrix, clusters: Sequence[int]) -> Matrix:
    pulls = numpy.zeros((max(clusters) + 1, weighed.shape[1]))
    numpy.add.at(pulls, list(clusters), weighed * misfit[:, None])
    inverse = numpy.linalg.inv(weighed.T @ weighed + numpy.diag(prior))
    error: Matrix = numpy.sqrt(numpy.diag(inverse @ pulls.T @ pulls @ inverse))
    return error


def _estimate(value: float, half: float, count: int) -> Estimate:
    return Estimate(float(value), max(0.0, float(value - half)), float(value + half), count)


def _own_share(design: Matrix, at: int) -> float:
    column, others = design[:, at], numpy.delete(design, at, axis=1)
    length = float(numpy.linalg.norm(column))
    if not length:
        return 0.0
    if not others.size:
        return 1.0
    imitation = others @ numpy.linalg.lstsq(others, column, rcond=None)[0]
    return float(numpy.linalg.norm(column - imitation)) / length


def _condition(design: Matrix) -> float:
    """Of the columns scaled to length one; infinite if some of them cannot be told apart at all."""
    lengths = numpy.linalg.norm(design, axis=0)
    scaled = design[:, lengths > 0] / lengths[lengths > 0]
    return float(numpy.linalg.cond(scaled)) if scaled.size else 1.0
