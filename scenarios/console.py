"""What the command line says: errors with the right exit code, results, and tables that fit 80 columns."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from scenarios.errors import BadInput, LabError
from scenarios.spec import InvalidScenario, Scenario
from scenarios.units import format_duration
from scenarios.worlds import UnknownWorld
from scenarios.worlds.base import UnsupportedPlan

if TYPE_CHECKING:
    from scenarios.checks import Verdict
    from scenarios.runner import RunResult

PASSED, FAILED, BAD_INPUT, NO_VERDICT, INTERRUPTED = 0, 1, 2, 3, 130

messages = Console(stderr=True)  # progress, problems, advice
output = Console()  # what was asked for


def say(text: str) -> None:
    """A line on stderr, as it is: no markup, no wrapping (paths must stay whole)."""
    messages.print(text, markup=False, highlight=False, soft_wrap=True)


def stop(code: int, *lines: object) -> NoReturn:
    """Say `lines` and end with `code`."""
    for line in lines:
        say(str(line))
    raise typer.Exit(code)


@contextmanager
def reported_errors() -> Iterator[None]:
    """Turn every expected failure of a command into its message and exit code."""
    try:
        yield
    except InvalidScenario as error:
        stop(BAD_INPUT, *error.problems)
    except (UnsupportedPlan, UnknownWorld, BadInput) as error:
        stop(BAD_INPUT, f"paylab: {error}")
    except LabError as error:
        stop(NO_VERDICT, f"paylab: {error}")
    except KeyboardInterrupt:
        stop(INTERRUPTED, "paylab: interrupted; everything that was started has ended")
    except BrokenPipeError:
        raise  # whoever read our output has enough of it
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        stop(NO_VERDICT, f"paylab: {place}{error.strerror or error}")


def exit_code(results: Sequence["RunResult"]) -> int:
    """1 if any world failed its checks, else 3 if any has no clear verdict, else 0."""
    verdicts = {result.verdict.verdict.value if result.verdict else "error" for result in results}
    if "fail" in verdicts:
        return FAILED
    return PASSED if verdicts == {"pass"} else NO_VERDICT


def scenario_table(scenarios: Sequence[Scenario]) -> Table:
    """Name, question, faults and length of each."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    table.add_column("scenario", style="bold", no_wrap=True)
    table.add_column("question", ratio=1)
    table.add_column("faults", no_wrap=True)
    table.add_column("length", justify="right", no_wrap=True)
    for scenario in scenarios:
        table.add_row(scenario.name, scenario.question, fault_summary(scenario), format_duration(scenario.duration_s))
    return table


def fault_summary(scenario: Scenario) -> str:
    """`4 crash_at` or `none`, a kind a line."""
    kinds = [fault.kind for fault in scenario.faults]
    return "\n".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)) or "none"


def summarize(verdicts: "Sequence[Verdict]") -> None:
    """Every verdict for people, on stdout, and then, if there are several, side by side."""
    from scenarios import report  # late: it draws, and `paylab list` does not

    for verdict in verdicts:
        report.print_summary(verdict, output)
    if len(verdicts) > 1:
        report.print_comparison(list(verdicts), output)


def result_document(result: "RunResult") -> dict[str, Any]:
    """The verdict of one world as JSON; a run that could not be made is `unknown`, with the error."""
    if result.verdict is not None:
        return {**result.verdict.to_dict(), "run": str(result.folder.path)}
    return {"world": result.world, "verdict": "unknown", "error": str(result.error), "run": str(result.folder.path)}
