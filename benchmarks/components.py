"""Chooses ASGI server, internal HTTP client and the way to SQLite by figures: `python -m benchmarks.components`."""

from rich.console import Console

from benchmarks import clients, databases, generator, servers
from benchmarks.measure import Figure, table


def measure(console: Console) -> dict[str, list[Figure]]:
    """Run the three comparisons (under a minute), print each as it ends, return the figures by title."""
    figures: dict[str, list[Figure]] = {}
    for part, what in ((servers, "requests"), (clients, "calls"), (databases, "inserts"), (generator, "requests")):
        measured = part.measure()
        for title, rows in measured.items():
            console.print(table(title, what, rows))
        figures.update(measured)
    return figures


if __name__ == "__main__":
    measure(Console())
