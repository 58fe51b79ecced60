"""A value without its guard is the same value, only cheaper to make."""

from dataclasses import dataclass, replace

import pytest

from settlement.values import unguarded


@dataclass(frozen=True, slots=True)
class Guarded:
    """What it was."""

    gid: str
    attempts: int = 0


@unguarded
@dataclass(frozen=True, slots=True)
class Plain:
    """The same without its guard."""

    gid: str
    attempts: int = 0


def test_it_is_compared_hashed_printed_and_replaced_as_before():
    assert Plain("a") == Plain(gid="a", attempts=0) != Plain("a", 1)
    assert hash(Plain("a", 1)) == hash(Guarded("a", 1))
    assert repr(Plain("a", 1)) == "Plain(gid='a', attempts=1)"
    assert replace(Plain("a"), attempts=2) == Plain("a", 2)
    assert Plain("a") != Guarded("a")


def test_it_takes_the_same_arguments_and_no_others():
    for missing_or_too_many in ((), ("a", 1, 2)):
        with pytest.raises(TypeError, match=r"Plain\.__init__"):
            Plain(*missing_or_too_many)
