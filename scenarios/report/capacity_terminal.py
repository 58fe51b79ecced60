"""The planner's answer on the terminal. Fits 80 columns; reads the document of answer.json."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from scenarios.report import capacity_words as words

Document = Mapping[str, Any]


def show(document: Document, console: Console) -> None:
    """Everything a reader asks for, in the order in which it is asked."""
    objective = document["objective"]
    head = Text(words.vector(document["answer"]["replicas"]), style="bold")
    lines = [Text(line) for line in words.headlines(document)]
    title = words.question(objective)
    console.print(Panel(Group(head, *lines), title=title, title_align="left", border_style="green"))
    for title, table in (
        ("Demand of one payment, and who saturates first", demands(document)),
        ("Proof by simulation", proof(document)),
        ("Why not one fewer?", _table(("process", "binds", "because"), words.reasons(document))),
        ("If demand changes", _table(("process", "demand", "p99", "change", "still met"), words.effects(document))),
    ):
        console.print(Text(f"\n{title}", style="bold"))
        console.print(table)
    console.print(Text("\nWhat the laws say", style="bold"))
    for line in words.laws(document):
        console.print(Text(f"  {line}"))
    console.print(Text("\nTaken for granted", style="bold"))
    for number, line in enumerate(document["assumptions"], 1):
        console.print(Text(f"  {number}. {line}", style="dim"))


def demands(document: Document) -> Table:
    """The demand table."""
    header = ("process", "visits", "ms/visit", "ms/payment", "replicas", "busy", "1 bears", "n bear")
    return _table(header, words.demands(document), right=range(1, len(header)))


def proof(document: Document) -> Table:
    """Every state that was simulated of answer and runner-up."""
    header = ("state", "p99 with its 95 % interval", "success", "runs", "met")
    return _table(header, words.states(document), right=(2, 3))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number in right else "left", header_style="dim")
    for row in rows:
        table.add_row(*row)
    return table
