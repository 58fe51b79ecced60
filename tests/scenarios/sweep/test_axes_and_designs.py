"""What is varied: lists, ranges, spans, samples, and everything that is wrong with them at once."""

import pytest

from scenarios.sweep.axes import UnusableAxis, axis, read_axis, read_seeds
from scenarios.sweep.design import Design, Sampling, values_of


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("k=1,2,4", (1, 2, 4)),
        ("k=20:200:60", (20, 80, 140, 200)),
        ("k=0.1:0.3:0.1", (0.1, 0.2, 0.3)),
        ("k=1:2:0.5", (1, 1.5, 2)),
        ("k=100ms:300ms:100ms", ("100ms", "200ms", "300ms")),
        ("k=20/s:40/s:20/s", ("20/s", "40/s")),
        ("k=compact, split", ("compact", "split")),
        ("k={pay: 70, browse: 30},{pay: 1}", ({"pay": 70, "browse": 30}, {"pay": 1})),
        ("k=true", (True,)),
    ],
)
def test_values(text, values):
    assert read_axis(text).values == values
    assert [type(value) for value in read_axis(text).values] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("k", "expected KEY=VALUES"),
        ("k=", "expected KEY=VALUES"),
        ("k=5:1:1", "is empty"),
        ("k=1:5:0", "is empty"),
        ("k=1s:5ms:1s", "different units"),
        ("k=0:1000000:1", "more than 100000"),
        ("k=9..1", "is empty"),
        ("k=1,1", "given twice"),
        ("k={", "cannot be read"),
    ],
)
def test_axes_that_give_nothing_are_refused(text, problem):
    with pytest.raises(UnusableAxis, match=problem):
        read_axis(text)


def test_seeds():
    assert read_seeds("3:6") == (3, 4, 5, 6)
    assert read_seeds("1, 5,7") == (1, 5, 7)
    for wrong in ("", "a", "5:1", "1,1", "-1", "1.5"):
        with pytest.raises(UnusableAxis, match="seed"):
            read_seeds(wrong)


def test_a_grid_is_every_combination_the_first_axis_slowest():
    points = Design(axes=(read_axis("a=1,2"), read_axis("b=x,y"))).points()
    assert [tuple(values_of(point).values()) for point in points] == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]


def test_a_latin_hypercube_covers_every_axis_evenly_and_the_seed_says_how():
    axes = (read_axis("rate=20.0..120.0"), read_axis("count=1..5"), read_axis("kind=a,b"), read_axis("d=100ms..200ms"))
    design = Design(axes=axes, sampling=Sampling(50, seed=3))
    points = [values_of(point) for point in design.points()]
    assert sorted(int((point["rate"] - 20) / 2) for point in points) == list(range(50)), "one in each of 50 slices"
    assert [sum(point["count"] == count for point in points) for count in range(1, 6)] == [10] * 5
    assert [sum(point["kind"] == kind for point in points) for kind in "ab"] == [25, 25]
    assert all(100 <= int(point["d"].removesuffix("ms")) <= 200 for point in points)
    assert design.points() == design.points()
    assert design.points() != Design(axes=axes, sampling=Sampling(50, seed=4)).points()


def test_random_samples_stay_within_their_spans():
    design = Design(axes=(read_axis("a=0.5..0.6"), read_axis("b=1..2")), sampling=Sampling(100, "random"))
    points = [values_of(point) for point in design.points()]
    assert all(0.5 <= point["a"] <= 0.6 for point in points)
    assert {point["b"] for point in points} == {1, 2}


def test_everything_that_does_not_fit_together_is_said_at_once():
    design = Design(axes=(read_axis("a=1..2"), axis("b", [1]), axis("b", [2])), seeds=tuple(range(100_000)))
    with pytest.raises(UnusableAxis) as found:
        Design(design.axes, design.axes, seeds=design.seeds).points()
    assert "b is varied twice" in str(found.value)
    assert "a: a span has no end of values" in str(found.value)
    with pytest.raises(UnusableAxis, match="unknown sampling 'sobol'"):
        Design(axes=(read_axis("a=1..2"),), sampling=Sampling(5, "sobol")).points()
    with pytest.raises(UnusableAxis, match="1000000000 variants are too many"):
        Design(axes=(axis("a", range(10_000)),), seeds=tuple(range(100_000))).points()
