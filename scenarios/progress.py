"""What a run looks like while it goes on: one live line on a terminal, plain lines anywhere else. Always on stderr."""

from bisect import bisect_right
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from scenarios.plan import Plan, PlannedFault
from scenarios.worlds import base

PLAIN_INTERVAL_S = 5.0


def progress_for(plan: Plan, world: base.World, console: Console) -> "LiveProgress | PlainProgress":
    """The display that suits `console`."""
    return LiveProgress(plan, world.name, console) if console.is_terminal else PlainProgress(plan, world.name, console)


class PlainProgress:
    """One line for everything worth a line: stages, faults, warnings, and the clock every few seconds."""

    def __init__(self, plan: Plan, world: str, console: Console) -> None:
        self.plan = plan
        self.world = world
        self.console = console
        self.times_s = [arrival.at_s for arrival in plan.arrivals]
        self.targets = {fault.id: fault_text(fault) for fault in plan.faults}
        self.started: int | None = None
        self._told_s = -PLAIN_INTERVAL_S

    def __enter__(self) -> Self:
        """Nothing to open."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to close."""

    def stage(self, text: str) -> None:
        """A line."""
        self.say(text)

    def clock(self, now_s: float) -> None:
        """A line every PLAIN_INTERVAL_S."""
        if now_s - self._told_s >= PLAIN_INTERVAL_S:
            self._told_s = now_s
            self.say(f"{now_s:5.1f} s  {self.phase(now_s)}, {self.left_text(now_s)}, {self.arrivals_text(now_s)}")

    def arrivals(self, started: int) -> None:
        """Remembered for the next line."""
        self.started = started

    def fault(self, id: str, event: str, at_s: float) -> None:  # noqa: A002 - the name it has everywhere else
        """A line."""
        self.say(f"{at_s:5.1f} s  fault {id} {event}: {self.targets.get(id, '')}")

    def warning(self, text: str) -> None:
        """A line that says it is a warning."""
        self.say(f"warning: {text}", style="yellow")

    def say(self, text: str, style: str | None = None) -> None:
        """One line, with the world's name in front."""
        self.console.print(f"{self.world}: {escape(text)}", style=style, highlight=False, soft_wrap=True)

    def phase(self, now_s: float) -> str:
        """The part of the run that `now_s` is in."""
        if now_s >= self.plan.load_s:
            return "recovery"
        windows = [phase for phase in self.plan.phases if phase.start_s <= now_s < phase.end_s]
        names = [phase.name for phase in windows if phase.name == "warmup" or phase.name.startswith("stage")]
        return names[0] if names else "load"

    def left_text(self, now_s: float) -> str:
        """How much longer."""
        return f"{max(0.0, self.plan.duration_s - now_s):.0f} s left"

    def arrivals_text(self, now_s: float) -> str:
        """How many arrivals: those the world counted, else those that were due."""
        if self.started is not None:
            return f"{self.started} arrivals"
        return f"{bisect_right(self.times_s, now_s)} of {len(self.times_s)} arrivals" if self.times_s else "closed load"


class LiveProgress(PlainProgress):
    """A line that stays at the bottom with phase, bar, time left and arrivals; faults scroll by above it."""

    def __init__(self, plan: Plan, world: str, console: Console) -> None:
        super().__init__(plan, world, console)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.fields[world]}[/]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[detail]}"),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=plan.duration_s, world=world, detail="")

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the line away."""
        self._bar.stop()

    def stage(self, text: str) -> None:
        """The line says what goes on."""
        self._bar.update(self._task, description=escape(text), detail="")

    def clock(self, now_s: float) -> None:
        """The bar moves."""
        detail = f"{self.left_text(now_s)}, {self.arrivals_text(now_s)}"
        done_s = min(max(now_s, 0.0), self.plan.duration_s)
        self._bar.update(self._task, completed=done_s, description=self.phase(now_s), detail=detail)


class CountProgress:
    """Many runs: a bar with the time left on a terminal, a line every PLAIN_INTERVAL_S anywhere else."""

    def __init__(self, title: str, what: str, total: int, console: Console) -> None:
        self._title, self._what, self._total, self._console = title, what, total, console
        self._told_s = 0.0
        self._bar = Progress(
            TextColumn(title), BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.description}"),
            TimeRemainingColumn(elapsed_when_finished=True), console=console, transient=True,
            disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the line away."""
        self._bar.stop()

    def show(self, done: int, text: str, elapsed_s: float) -> None:
        """`done` of them are over; `text` says what else is worth saying."""
        self._bar.update(self._task, completed=done, description=escape(text))
        if not self._console.is_terminal and elapsed_s - self._told_s >= PLAIN_INTERVAL_S:
            self._told_s = elapsed_s
            line = f"{self._title}: {done} of {self._total} {self._what}, {text}"
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def fault_text(fault: PlannedFault) -> str:
    """A fault for people: `crash_at gateway-0 coordinator.decided.persist.after`."""
    more = fault.parameters
    point = f" {more['point']} (hit {more['nth']})" if "point" in more else ""
    return f"{fault.kind} {fault.target}{point}"
