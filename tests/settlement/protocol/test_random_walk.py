"""Agreement, stability, validity and clean hands hold in random walks with loss, crashes and take-overs."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.protocol.crashpoints import CRASH_POINTS
from settlement.protocol.records import Decision, ParticipantPhase, Vote

from .walk import Options, Walk

OPTIONS = st.builds(
    Options,
    participants=st.integers(1, 4),
    replicas=st.integers(1, 3),
    last=st.booleans(),
    refuse=st.sampled_from([0.0, 0.2]),
    uncertain=st.sampled_from([0.0, 0.2]),
    lose=st.sampled_from([0.0, 0.3]),
    duplicate=st.sampled_from([0.0, 0.3]),
    crash=st.sampled_from([0.0, 0.02, 0.1]),
)


def judge(walk: Walk) -> None:
    """The safety properties of one converged walk."""
    phases = {node.record.phase for node in walk.participants.values() if node.record}
    assert not {ParticipantPhase.COMMITTED, ParticipantPhase.ABORTED} <= phases, "agreement"
    assert len(set(walk.decisions)) <= 1, "stability: a decision was reversed"
    assert len(set(walk.answers)) <= 1, "the client was told both"
    for answer in walk.answers:
        assert walk.decisions == [answer] * len(walk.decisions), "the client was told what was not decided"
    if Decision.COMMIT in walk.decisions:
        assert all(votes == {Vote.YES} for votes in walk.votes.values()), "validity: committed without every yes"
    for name, node in walk.participants.items():
        committed = node.record is not None and node.record.phase is ParticipantPhase.COMMITTED
        assert not node.business.held, f"{name} leaks its reservation"
        if walk.row is not None:
            assert node.business.outside == committed, f"{name}: the outside does not match the decision"


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), options=OPTIONS)
def test_every_walk_converges_and_is_safe(seed: int, options: Options) -> None:
    judge(Walk(seed, options).run())


def test_nothing_goes_wrong_means_commit() -> None:
    calm = Options(participants=3, replicas=1, refuse=0, uncertain=0, lose=0, duplicate=0, crash=0)
    walks = [Walk(seed, calm).run() for seed in range(50)]
    assert any(set(walk.answers) == {Decision.COMMIT} for walk in walks)


@pytest.fixture(scope="module")
def many_walks() -> list[Walk]:
    eager = Options(participants=2, replicas=2, last=True, crash=0.02)
    return [Walk(seed, eager).run() for seed in range(600)]


def test_the_interesting_really_happens(many_walks: list[Walk]) -> None:
    seen: Counter[str] = Counter()
    for walk in many_walks:
        seen.update(walk.seen.keys())
        seen.update(str(decision) for decision in set(walk.decisions))
    decisions = ["commit", "abort"]
    faults = ["lost", "duplicate", "refused", "uncertain", "coordinator_crash", "participant_crash"]
    cures = ["take_over", "fenced", "orphan_asked", "orphan_answered"]
    for thing in decisions + faults + cures:
        assert seen[thing] > 0, f"no walk ever saw: {thing}"


def test_walks_pass_only_declared_crash_points(many_walks: list[Walk]) -> None:
    passed = set().union(*(walk.passed for walk in many_walks))
    assert passed <= set(CRASH_POINTS)
    # What only operators, exhausted retries or inquiries to a row reach is covered by the unit tests.
    never = {p for p in set(CRASH_POINTS) - passed if not any(word in p for word in ("exhausted", ".reply.", "fenced"))}
    assert never == set()


def test_the_same_seed_is_the_same_walk() -> None:
    first, second = Walk(7, Options()).run(), Walk(7, Options()).run()
    assert (first.row, first.answers, first.seen) == (second.row, second.answers, second.seen)
