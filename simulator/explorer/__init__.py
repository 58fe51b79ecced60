"""Exhaustive exploration: every state that the shipped protocol can get into within given bounds, judged.

`engine` searches any `Model`, breadth first, and knows nothing of payments; `liveness` judges what it found where
faults have stopped.
"""
