"""The report: what a reader has to find in it, whether it stands alone, and what machines get."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from scenarios import report
from scenarios.history import HistoryError
from scenarios.report import wording
from scenarios.report.verdict import read

from ..checks.histories import Run
from .crashes import CRASHES, QUESTION, crashing, judged_folder, verdict_of

TIMELINES = 6  # three curves of two runs; then the distributions of both, wide and narrow
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Texts of a page, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judged_folder(tmp_path_factory.mktemp("good"), crashing())


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judged_folder(tmp_path_factory.mktemp("bad"), crashing("processes", wrong=True))


def html_of(*folders: Path) -> str:
    return report.write(*folders).read_text(encoding="utf-8")


@cache
def rendered(*folders: Path) -> tuple[Path, str]:
    """Where the page is, and the page, rendered once for all who only read it."""
    path = report.write(*folders)
    return path, path.read_text(encoding="utf-8")


def written(*folders: Path) -> str:
    """The same without its place."""
    return rendered(*folders)[1]


def test_it_answers_the_question_with_checks_and_figures(good: Path):
    page = Page(written(good))
    assert page.open == []
    for expected in (QUESTION, "9 of 9 checks passed", "AC1 agreement", "in_doubt.max", "< 12s", "Time to pay"):
        assert expected in page.text
    assert "clients tried 480 operations" in page.text
    assert "paylab run hand-written --world simulated --seed 7" in page.text


def test_a_failure_shows_its_evidence(bad: Path):
    text = written(bad)
    assert "AC1 agreement: 4" in Page(text).text
    assert "pay-a148" in text
    assert re.search(r"<details open>\s*<summary>Evidence", text)


def test_it_stands_alone(good: Path):
    text = written(good)
    assert not re.search(r'(?:src|href)="(?!#)', text)
    assert not re.search(r"@import|url\((?!#)|<script", text)
    assert str(good) not in text


def test_plots_mark_faults_deaths_and_phases_and_take_the_page_s_colours(good: Path):
    drawings = re.findall(r"<svg.*?</svg>", written(good), flags=re.DOTALL)
    assert len(drawings) == 6  # three curves, wide and narrow
    for drawing in drawings:
        assert {"F1", "F2", "faults", "recovery"} <= {text.strip() for text in re.findall(r">([^<>]+)</text>", drawing)}
        assert "var(--fault)" in drawing
        assert "var(--ready)" in drawing
        assert not re.search(r"#0000[12]", drawing)
        ElementTree.fromstring(drawing.replace("xlink:href", "href"))


def test_the_same_run_gives_the_same_report(good: Path):
    assert html_of(good) == html_of(good)


def test_two_worlds_side_by_side(good: Path, bad: Path):
    path, text = rendered(good, bad)
    page = Page(text)
    assert path.parent == good.parent
    assert (good / "report.html").exists()
    assert (bad / "report.html").exists()
    assert "simulated · seed 7" in page.text
    assert "processes · seed 7" in page.text
    heights = re.findall(r'viewBox="([^"]+)"', text)
    assert len(set(heights[:TIMELINES])) == 1


def test_two_worlds_share_one_plot_of_the_time_in_doubt(good: Path, bad: Path):
    page = written(good, bad)
    wide = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)[TIMELINES]
    assert {"var(--run1)", "var(--run2)"} <= set(re.findall(r"var\(--run\d\)", wide))
    assert "time from a participant's yes to its applying the outcome" in wide
    assert re.search(r"simulated · seed 7 \(\d+ votes\)", Page(page).text)
    assert "money held, p99" in Page(page).text
    assert "Time in doubt" not in Page(written(good)).text  # nothing to compare with


def test_what_blocking_cost_each_run_is_on_one_plot(good: Path, bad: Path):
    page = written(good, bad)
    plots = re.findall(r'aria-label="What blocking cost, by metric and run">(<svg.*?</svg>)', page, flags=re.DOTALL)
    assert len(plots) == 2, "one for wide pages and one for phones"
    for plot in plots:
        for name in ("in doubt, p99", "in doubt, longest", "goods held, p99", "money held, p99", "had to ask"):
            assert name in plot
        assert {"var(--run1)", "var(--run2)"} <= set(re.findall(r"var\(--run\d\)", plot))
    assert "the simulated one is the model's prediction" in Page(page).text


def test_runs_in_which_nobody_was_in_doubt_have_no_such_plot(tmp_path: Path):
    runs = [judged_folder(tmp_path, Run().request("a", 1.0).build(), name) for name in ("one", "other")]
    assert "Time in doubt" not in Page(html_of(*runs)).text


def test_side_by_side_means_the_same_axes(good: Path, tmp_path: Path):
    quick = Run(load_s=10.0, duration_s=12.0).payment("a").build()
    page = html_of(judged_folder(tmp_path, quick, "quick"), good)
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    for left, right in zip(drawings[0:TIMELINES:2], drawings[1:TIMELINES:2], strict=True):
        assert _ticks(left) == _ticks(right)


def _ticks(drawing: str) -> list[str]:
    return [text for text in re.findall(r">([^<>]+)</text>", drawing) if re.fullmatch(r"\s*[\d.]+(\s?m?s)?\s*", text)]


def test_what_came_from_outside_is_escaped(tmp_path: Path):
    run = Run().payment("a").payment("b", 2.0)
    run.change("payments", lambda row: row["key"] == "b-pay", outcome="fail", error="<script>alert(1)</script>")
    assert "<script>" not in html_of(judged_folder(tmp_path, run.build()))


@pytest.mark.parametrize("run", [Run(), Run().request("a", 1.0), Run().payment("a", commit=False), Run().fault()])
def test_runs_in_which_little_happened_have_a_report_too(tmp_path: Path, run: Run):
    assert Page(html_of(judged_folder(tmp_path, run.build()))).open == []


def test_a_run_that_was_not_judged(tmp_path: Path):
    folder = judged_folder(tmp_path, Run().build())
    (folder / "verdict.json").unlink()
    with pytest.raises(HistoryError, match=r"verdict\.json"):
        report.write(folder)


def test_junit(bad: Path):
    report.write(bad)
    suite = ElementTree.parse(bad / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert suite.get("tests") == "9"
    assert suite.get("failures") == "2"
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert failed == ["atomic", "client_truth"]
    assert "pay-a9" in ElementTree.tostring(suite, encoding="unicode")


def test_junit_tells_invalid_and_unknown_from_failed(tmp_path: Path):
    run = Run().request("a", 1.0).change("generator", lambda row: True, dropped=50)
    folder = judged_folder(tmp_path, run.build())
    report.write(folder)
    suite = ElementTree.parse(folder / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert suite.get("errors") == "1"
    assert int(suite.get("skipped") or 0) >= 3


def test_the_terminal_fits_80_columns(bad: Path, good: Path):
    console = Console(width=80, file=io.StringIO(), color_system=None)
    verdicts = [read(bad / "verdict.json"), read(good / "verdict.json")]
    report.print_summary(verdicts[0], console)
    report.print_comparison(verdicts, console)
    text = console.file.getvalue()
    assert "✗ FAIL" in text
    assert "AC1 agreement (4)" in text
    assert "longest in doubt" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_story_of_a_run_without_a_fault(tmp_path: Path):
    from scenarios.report.run import load

    run = load(judged_folder(tmp_path, Run().payment("a").payment("b", 2.0).build()))
    assert wording.story(run) == (
        "In 30 s of load, clients tried 2 operations, and every one succeeded. "
        "The platform settled 2 payments with no fault to bear."
    )


def test_the_story_names_faults_doubt_and_recovery(good: Path):
    from scenarios.report.run import load

    story = wording.story(load(good))
    assert f"through {len(CRASHES)} faults" in story
    assert "the platform was back at its baseline level" in story


def test_a_report_takes_less_than_three_seconds(good: Path):
    html_of(good)
    began = time.process_time()
    html_of(good)
    assert time.process_time() - began < 3.0


def test_importing_the_report_does_not_load_matplotlib():
    code = "import sys, scenarios.report, scenarios.checks; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_verdict_of_the_example_is_what_it_was_made_for():
    assert verdict_of(crashing()).verdict == "pass"
    failed = [check.name for check in verdict_of(crashing(wrong=True)).checks if check.verdict == "fail"]
    assert failed == ["atomic", "client_truth"]


def losing(tmp_path: Path) -> Path:
    """A run under the article's protocol in which one customer was charged for an order that is not paid."""
    run = Run()
    run.protocol = "article"
    run.payment("a").payment("b", at_s=2.0)
    run.change("orders", lambda row: row["order_no"] == "order-a", status="pending", paid_gid="")
    run.change("payments", lambda row: row["order_no"] == "order-a", outcome="fail")
    aborted = ("pay-a", "order", "applied")
    run.change("transactions", lambda row: (row["gid"], row["role"], row["event"]) == aborted, value="aborted")
    return judged_folder(tmp_path, run.build(), expectations=["not atomic under article", "atomic under two_phase"])


def test_a_violation_that_was_expected_is_no_praise_and_its_price_is_told(tmp_path: Path):
    folder = losing(tmp_path)
    page = Page(html_of(folder)).text
    for told in (
        "The platform broke as the scenario expected, and the lab found it.",
        "Customers lost 10.00 CNY on 1 order of 2.",
        "Not asked, because the protocol is article: atomic under two_phase.",
        "not atomic violation expected",
        "Who lost what",
        "customers: charged, order not paid 10.00 CNY",
        "order-a pay-a",
    ):
        assert told in page, told
    assert "Everything that was expected held" not in page
    verdict = read(folder / "verdict.json")
    assert [result.name for result in verdict.checks if result.negated] == ["not atomic"]
    assert verdict.losses["totals"] == [
        {"who": "customer", "what": "charged, order not paid", "currency": "CNY", "orders": 1, "lost_minor": 1_000}
    ]
    suite = ElementTree.parse(folder / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    properties = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert properties["violations_expected"] == "not atomic"
    assert properties["not_asked"] == "atomic under two_phase"
    assert "Customers lost" in str(properties["losses"])
    assert next(case.get("name") for case in suite.iter("testcase")) == "not atomic"


def test_the_terminal_tells_who_lost_what(tmp_path: Path):
    output = io.StringIO()
    report.print_summary(read(losing(tmp_path) / "verdict.json"), Console(file=output, width=80))
    text = " ".join(output.getvalue().split())
    for told in ("As expected, it is violated.", "Customers lost 10.00", "customer charged, order not paid 1 order"):
        assert told in text, told


def test_where_nobody_lost_anything_the_report_says_so(good: Path):
    assert "Nobody lost anything: the money taken is what" in Page(written(good)).text
