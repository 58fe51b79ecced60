"""report.html of a planner's answer: the answer, its proof, and what was taken for granted. One file, nothing else."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from scenarios.report import capacity_plots, capacity_words


def page(document: Mapping[str, Any]) -> str:
    """The whole document."""
    environment = Environment(
        loader=PackageLoader("scenarios.report", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    best, words = document["answer"], capacity_words
    return environment.get_template("capacity.html.j2").render(
        document=document,
        question=words.question(document["objective"]),
        vector=words.vector(best["replicas"]),
        headlines=words.headlines(document),
        figures=[
            ("replicas", str(best["replicas_total"])),
            ("cores", f"{best['cores']:g}"),
            ("a million payments", f"{best['cost_per_million_payments']:.3g}"),
            ("p99", words.ms(best["whole"]["p99_s"]["value"])),
            ("P(SLO met)", f"{document['p_slo_met']['share']:.0%}"),
        ],
        options=words.option_rows((("answer", best), ("runner-up", document["runner_up"]))),
        demands=words.demands(document),
        states=words.states(document),
        reasons=words.reasons(document),
        effects=words.effects(document),
        laws=words.laws(document),
        drawings=[
            (name, meaning, capacity_plots.svg(draw, document), capacity_plots.svg(draw, document, 4.6, 3.2))
            for name, (draw, meaning) in capacity_plots.PLOTS.items()
        ],
    )
