"""The Universal Scalability Law against a published benchmark, and against laws that were made up."""

import pytest

from simulator.analysis import fit_scalability

LOADS = (1, 18, 36, 72, 108, 144, 216)
SPEC_SDM91 = (64.9, 995.9, 1652.4, 1853.2, 1828.9, 1775.0, 1702.2)


def test_the_published_figures_of_spec_sdm91_give_the_published_law():
    law = fit_scalability(LOADS, SPEC_SDM91)
    assert law.alpha.value == pytest.approx(0.0277285, rel=1e-3)
    assert law.beta.value == pytest.approx(0.0001044, rel=1e-3)
    assert law.gamma.value == pytest.approx(89.995, rel=1e-3)
    assert law.peak_load == pytest.approx(96.5, rel=1e-3)
    assert law.throughput(law.peak_load) == pytest.approx(1884, rel=1e-3)
    assert law.asymptote == pytest.approx(3246, rel=1e-3)


def test_intervals_cover_what_the_figures_were_made_of():
    made = [30 * n / (1 + 0.05 * (n - 1)) * noise for n, noise in zip(range(1, 9), (1, 1.01, 0.99, 1) * 2, strict=True)]
    law = fit_scalability(range(1, 9), made)
    assert law.alpha.covers(0.05)
    assert law.gamma.covers(30)
    assert law.beta.value == pytest.approx(0, abs=1e-3)


def test_perfect_scaling_has_no_end():
    law = fit_scalability((1, 2, 4, 8), (10, 20, 40, 80))
    assert law.throughput(16) == pytest.approx(160, rel=1e-3)
    assert law.peak_load > 1000


def test_three_points_say_nothing():
    with pytest.raises(ValueError, match="at least four"):
        fit_scalability((1, 2, 3), (10, 20, 30))
