"""The summary on the terminal: verdict, checks, key figures. Fits 80 columns."""

from collections.abc import Sequence

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from scenarios.checks import CheckResult, Outcome, Verdict
from scenarios.report import wording

STYLES = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.UNKNOWN: "yellow", Outcome.INVALID: "bold magenta"}


def print_summary(verdict: Verdict, console: Console) -> None:
    """One run: the question and the answer, then why."""
    style = STYLES[verdict.verdict]
    head = Text(f"{wording.MARKS[verdict.verdict]} {verdict.verdict.upper()}  ", style=style)
    head.append(wording.headline(verdict), style="default not bold")
    about = f"{verdict.scenario} in {verdict.world}, seed {verdict.seed}"
    question = [Text(verdict.question, style="italic")] if verdict.question else []
    console.print(Panel(Group(*question, head), title=about, title_align="left", border_style=style))
    console.print(_checks(verdict.checks))
    if verdict.not_asked:
        console.print(Text(wording.not_asked(verdict), style="dim"))
    _print_losses(verdict, console)
    console.print(_figures([verdict]))


def _print_losses(verdict: Verdict, console: Console) -> None:
    """Who lost what: one line if nobody did, else every kind of loss with its amount."""
    sentence = wording.losses(verdict)
    if not sentence:
        return
    broken = bool(verdict.losses["broken"])
    console.print(Text(sentence, style="bold red" if broken else "dim"))
    if not broken:
        return
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for row in verdict.losses["totals"]:
        amount = Text(wording.money(row["lost_minor"], row["currency"]), style="red")
        table.add_row("", row["who"], row["what"], wording.plural(row["orders"], "order"), amount)
    console.print(table)


def print_comparison(verdicts: Sequence[Verdict], console: Console) -> None:
    """Several runs side by side: the verdict on every check, and the key figures."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("check", ratio=1)
    for verdict in verdicts:
        table.add_column(verdict.world, style="bold", no_wrap=True)
    found = [{check.name: check for check in verdict.checks} for verdict in verdicts]
    names = dict.fromkeys(name for checks in found for name in checks)
    for name in names:
        table.add_row(_full_title(name), *(_short(checks.get(name)) for checks in found))
    table.add_row("verdict", *(Text(verdict.verdict, style=STYLES[verdict.verdict]) for verdict in verdicts))
    console.print(table)
    console.print(_figures(verdicts))


def _checks(checks: Sequence[CheckResult]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(ratio=2)
    table.add_column(ratio=3)
    for check in checks:
        style = STYLES[check.verdict]
        what = Text(check.explanation, style="" if check.verdict is not Outcome.PASS else "dim")
        table.add_row(Text(wording.MARKS[check.verdict], style=style), Text(_full_title(check.name)), what)
    return table


def _full_title(name: str) -> str:
    """Here a threshold has no column of its own for its bound."""
    return wording.title(name) if name.startswith(wording.NOT) else wording.TITLES.get(name, name)


def _short(check: CheckResult | None) -> Text:
    if check is None:
        return Text(wording.NOTHING, style="dim")
    return Text(f"{wording.MARKS[check.verdict]} {wording.value(check)}", style=STYLES[check.verdict])


def _figures(verdicts: Sequence[Verdict]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=len(verdicts) > 1)
    table.add_column("")
    for verdict in verdicts:
        table.add_column(verdict.world, justify="right", no_wrap=True)
    for metric, name in wording.KEY_FIGURES.items():
        if any(metric in verdict.metrics for verdict in verdicts):
            table.add_row(Text(name, style="dim"), *(wording.figure(verdict, metric) for verdict in verdicts))
    return table
