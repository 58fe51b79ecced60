"""One scenario through one world after another: plan, play, save, judge, report.

    scenario -> plan -> world.play -> history -> verdict -> report

Whatever ends a run, its folder says so in `status.json`, and nothing is left running: a world cleans up after itself,
and an interrupt reaches it as KeyboardInterrupt.
"""

import errno
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from scenarios import history as histories
from scenarios import plan as plans
from scenarios.checks import Verdict
from scenarios.judging import judge
from scenarios.plan import Plan
from scenarios.runfolder import RunFolder, RunFolderError, RunState, create, run_name
from scenarios.spec import Scenario
from scenarios.worlds.base import Progress, World, WorldError, refuse_unsupported


@dataclass(frozen=True)
class RunResult:
    """What came of one world: a verdict, or the error that prevented it."""

    world: str
    folder: RunFolder
    verdict: Verdict | None = None
    error: WorldError | RunFolderError | None = None


def run(
    scenario: Scenario,
    seed: int,
    worlds: Sequence[World],
    parent: Path,
    progress_of: Callable[[Plan, World], AbstractContextManager[Progress]],
) -> list[RunResult]:
    """Play `scenario` in each of `worlds`, each into a folder of its own under `parent`.

    A world that fails does not keep the others from being played. Raises UnsupportedPlan before anything is started if
    a world cannot make a fault, RunFolderError if there is no place for the results, KeyboardInterrupt as it comes.
    """
    plan = plans.plan(scenario, seed)
    for world in worlds:
        refuse_unsupported(world, plan)
    results = []
    for world in worlds:
        with progress_of(plan, world) as progress:
            results.append(run_in(world, scenario, plan, parent, progress))
    return results


def run_in(world: World, scenario: Scenario, plan: Plan, parent: Path, progress: Progress) -> RunResult:
    """One run in one world. Raises RunFolderError if the folder cannot be made; other failures are in the result."""
    folder = create(parent, run_name(datetime.now(UTC), scenario.name, world.name, plan.seed))
    try:
        verdict = _played(world, scenario, plan, folder, progress)
        folder.set_state(RunState.FINISHED, verdict=verdict.verdict)
    except KeyboardInterrupt:
        _note(folder, RunState.INTERRUPTED)
        raise
    except WorldError as error:
        _note(folder, RunState.ERROR, str(error))
        return RunResult(world.name, folder, error=error)
    except OSError as error:
        problem = _storage_problem(error, folder)
        _note(folder, RunState.ERROR, str(problem))
        return RunResult(world.name, folder, error=problem)
    except BaseException as error:
        _note(folder, RunState.ERROR, f"{type(error).__name__}: {error}")
        raise
    return RunResult(world.name, folder, verdict)


def _played(world: World, scenario: Scenario, plan: Plan, folder: RunFolder, progress: Progress) -> Verdict:
    folder.scenario.write_text(scenario.to_yaml(), encoding="utf-8")
    folder.plan.write_text(plan.to_json(), encoding="utf-8")
    started_at = datetime.now(UTC).isoformat()
    history = world.play(plan, folder, progress)
    meta = {"started_at": started_at, **history.meta, "question": scenario.question}
    history = replace(history, meta=meta)
    progress.stage("saving the history")
    histories.write(history, folder.path)
    progress.stage("judging")
    return judge(history, folder)


def _note(folder: RunFolder, state: RunState, reason: str = "") -> None:
    """Say in the folder how the run ended; if even that cannot be written, the reason still reaches the user."""
    with suppress(OSError):
        folder.set_state(state, **({"reason": reason} if reason else {}))


def _storage_problem(error: OSError, folder: RunFolder) -> RunFolderError:
    where = error.filename or folder.path
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunFolderError(f"{where}: no space left for the run; free some, or choose another place by --out")
    return RunFolderError(f"{where}: {error.strerror or error}")
