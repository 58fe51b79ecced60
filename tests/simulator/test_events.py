"""Events: delivered by whichever replica, each one once."""

from dataclasses import replace

from simulator.model import simulate


def test_more_replicas_of_the_producers_cost_the_consumers_nothing(platform):
    def used_s(**replicas):
        plan = platform(rate_per_s=30, load_s=6, rest_s=10, replicas=replicas)
        costly = replace(plan.calibration, event_cpu_s={"audit": 0.004, "message": 0.004})
        tables = simulate(replace(plan, calibration=costly))
        assert len(tables["events"]) > 100
        return tables["resources"].query("process == 'backoffice-0'").cpu_s_per_s.sum()

    assert used_s(gateway=3, order=3) < 1.1 * used_s()
