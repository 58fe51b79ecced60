"""The capacity planner: operational laws first, then screening, then simulation near the answer.

    answer = solve(Question(Objective(rate_per_s=200, p99_s=0.3, availability=0.999), build), print)
    answer.best.counts      # {"gateway": 3, "order": 3, ...}

`build` makes the traffic (`simulator.capacity.question.Build`); nothing in here reads files or prints. Equal questions
have equal answers, on any number of workers.
"""

from simulator.capacity.answer import Answer, Option
from simulator.capacity.feasibility import Infeasible, Refusal
from simulator.capacity.planner import solve
from simulator.capacity.question import BadQuestion, Effort, Objective, Prices, Question, Reliability

__all__ = [
    "Answer", "BadQuestion", "Effort", "Infeasible", "Objective", "Option", "Prices", "Question", "Refusal",
    "Reliability", "solve",
]  # fmt: skip
