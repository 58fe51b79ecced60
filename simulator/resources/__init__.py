"""Queueing resources in virtual time, as a library: nothing in here knows about payments.

    agenda = Agenda()
    desk = Station(agenda, "desk", servers=4)
    agenda.at(0.5, desk.visit, 1.2, print)        # at 0.5 s somebody comes who needs 1.2 s of one of four servers
    agenda.run_until(100.0)
    print(desk.usage())                           # utilisation, queue and waits, as averages over time

`Agenda` is the clock, and also a SimPy environment: what is rare may be a SimPy process on the same clock, what is
frequent is a callback. `Station` is servers with one queue (or none: pure loss), `SharedCores` is processor sharing,
`Pool` is a counted pool with a longest wait, `Deadlines` are many timeouts of one length. All of them keep statistics
by themselves, weighted by time, in a few additions an event (`Level`); `usage()` sums them up.
"""

from simulator.resources.agenda import Agenda
from simulator.resources.deadlines import Deadlines
from simulator.resources.job import Job
from simulator.resources.pool import Pool
from simulator.resources.run_queues import RunQueues
from simulator.resources.sharing import SharedCores
from simulator.resources.station import Station
from simulator.resources.statistics import Level, Usage

__all__ = ["Agenda", "Deadlines", "Job", "Level", "Pool", "RunQueues", "SharedCores", "Station", "Usage"]
