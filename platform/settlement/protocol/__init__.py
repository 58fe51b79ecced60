"""Two-phase commit with presumed abort, for any number of participants, as pure state machines.

Theory of operation. `coordinator.handle` and `participant.handle` take a state and an event and return the next
state and the effects to run. They never wait, never read a clock, never talk to a network. An *interpreter* runs the
effects **strictly in order**, so what a `Persist` records is durable before the `Send` or `Reply` that it justifies.
The same two functions are run by the services, by the simulator and by tests; a crash drops the state, and a restart
feeds `Recovered(record)` with whatever had become durable.
"""
