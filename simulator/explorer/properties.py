"""What has to hold of an atomic commit protocol, numbered as the textbooks do (Bernstein, Hadzilacos, Goodman)."""

from __future__ import annotations

from simulator.explorer.engine import Kind, Problem, Property

AGREEMENT = Property("agreement", Kind.SAFETY, "AC1: all who reach an outcome reach the same one")
STABILITY = Property("stability", Kind.SAFETY, "AC2: a durable outcome is never reversed")
VALIDITY = Property("validity", Kind.SAFETY, "AC3: commit only if every participant has durably promised")
NON_TRIVIALITY = Property("non_triviality", Kind.SAFETY, "AC4: abort only after a refusal, a timeout or a take-over")
CLIENT_TRUTH = Property("client_truth", Kind.SAFETY, "what the client was told is what was decided")
NO_LEAK = Property("no_leak", Kind.SAFETY, "in the end nothing is held or charged that was not committed")
ONE_CHARGE = Property("one_charge", Kind.SAFETY, "a commit is applied at most once at each participant")
POSSIBLE = Property("possible", Kind.SAFETY, "nobody meets an event that its transition table has no entry for")
HEURISTIC = Property(
    "heuristic_on_record", Kind.SAFETY, "what an operator decides, and the damage that does, is marked in the record"
)
TERMINATION = Property(
    "termination", Kind.LIVENESS, "AC5: once faults stop, every fair schedule ends with nothing in doubt"
)

COMMIT = Property("commit", Kind.SOMETIMES, "a commit is decided")
ABORT = Property("abort", Kind.SOMETIMES, "an abort is decided")
RECOVERY = Property("recovery", Kind.SOMETIMES, "somebody restarts and finds something in doubt")
TAKE_OVER = Property("take_over", Kind.SOMETIMES, "a replica takes over what another one drove")
ORPHAN_INQUIRY = Property("orphan_inquiry", Kind.SOMETIMES, "a participant in doubt asks for the outcome")
EXHAUSTED = Property("exhausted", Kind.SOMETIMES, "retrying ends, and the transaction is handed to an operator")
RESUMED = Property("resumed", Kind.SOMETIMES, "an operator has an exhausted decision delivered again")
ORDERED = Property("operator", Kind.SOMETIMES, "an operator decides, overrules or closes")
DAMAGE = Property("heuristic_hazard", Kind.SOMETIMES, "participants end differently because of an operator, on record")

ALWAYS = (
    AGREEMENT,
    STABILITY,
    VALIDITY,
    NON_TRIVIALITY,
    CLIENT_TRUTH,
    NO_LEAK,
    ONE_CHARGE,
    POSSIBLE,
    TERMINATION,
)


def problem(broken: Property, text: str) -> Problem:
    """A violation of `broken`."""
    return Problem(broken.name, text)
