"""Exhaustive exploration: every state that the shipped protocol can get into within given bounds, judged.

`engine` searches any `Model`, breadth first, and knows nothing of payments; `liveness` judges what it found where
faults have stopped. `gateway` and `participants` interpret the code of `settlement.protocol`, effect by effect;
`protocol` puts them together with a network and faults into a model. `properties` names what has to hold; `story` and
`diagram` tell a counterexample to people. Neither clock nor chance decides: the same bounds, the same exploration.
"""
