"""A report opened in a browser: one of two trained runs, and one of data that contain scripts.

Needs Playwright's Python package, and a Chromium or Chrome on the machine. Training and starting a browser
take longer than all checks together, so that there are only two tests.
"""

import json
import re
from pathlib import Path
from typing import Any

from tests.pipeline.places import Workplace, settings
from tests.report_store import SCRIPT, make_runs
from xmcpipe.artifacts.store import Artifact
from xmcpipe.report.facts.runs import named, read_run
from xmcpipe.report.make import ReportOptions, make_report

DRAWN = "document.documentElement.dataset.charts === 'drawn'"
SHOWN = "document.documentElement.dataset.documents === 'shown'"
SECTIONS = (
    *("figures", "learning", "frequency", "calibration", "labels", "memory", "speed", "topology"),
    *("documents", "settings"),
)
TIMEOUT = 150_000  # milliseconds: machines are busy, and no test may fail for being slow
DENSE = ["train.head.kind=dense", "train.epochs=2"]


class Opened:
    """A page in a tab of its own; `events` are its console lines, errors, dialogs and network requests."""

    def __init__(self, browser: Any, path: Path, width: int = 1200, scheme: str = "light") -> None:
        self.events: list[str] = []
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.tab = context.new_page()
        self.tab.set_default_timeout(TIMEOUT)
        self.tab.on("console", lambda message: self.events.append(message.text))
        self.tab.on("pageerror", lambda error: self.events.append(str(error)))
        self.tab.on("request", lambda request: self.note_request(request.url))
        self.tab.on("dialog", self.dismiss)
        self.tab.goto(path.as_uri())
        self.tab.wait_for_function(f"{DRAWN} && {SHOWN}")

    def dismiss(self, dialog: Any) -> None:
        self.events.append("a dialog")
        dialog.dismiss()

    def note_request(self, address: str) -> None:
        if not address.startswith(("file:", "data:")):
            self.events.append(f"requested {address}")

    def count(self, selector: str) -> int:
        return int(self.tab.locator(selector).count())

    def run(self, script: str) -> Any:
        return self.tab.evaluate(script)

    def search(self, words: str = "", shown: str = "all") -> str:
        """The displayed count after a search."""
        self.tab.select_option("#filter", shown)
        self.tab.fill("#words", words)
        self.tab.press("#words", "Enter")
        return str(self.tab.inner_text("#count"))


def trained_page(place: Workplace) -> tuple[Path, dict[str, Any]]:
    """The page of the tiny recipe with a sparse and with a dense layer, and the summary that is printed."""
    place.run(*settings(DENSE))
    models = sorted(
        place.store.glob("model/*/model.json"), key=lambda path: json.loads(path.read_text())["head"]["kind"]
    )
    runs = ["tiny.toml", str(models[0].parent)]  # "dense" comes before "ffi"
    done = place.call("report", *runs, "--bootstrap", "50", "--json", "--name", "sparse", "--name", "dense")
    return place.folder / "report.html", json.loads(done.stdout)


def hostile_page(folder: Path) -> Path:
    """A page whose labels, texts and a run's name are scripts."""
    store, metrics = make_runs(folder / "store")
    runs = named([read_run(Artifact.at(path), store) for path in metrics], [SCRIPT, "dense"])
    make_report(runs, ReportOptions(rounds=20), folder / "page.html")
    return folder / "page.html"


def test_two_trained_runs_in_a_browser(browser: Any, workplace: Workplace) -> None:
    path, facts = trained_page(workplace)
    page = Opened(browser, path)
    every_section_has_its_content_and_nothing_is_amiss(page, facts)
    search_filters_and_pages(page)
    the_theme_follows_the_button_and_the_charts_the_theme(page)
    on_paper_it_is_light_and_without_controls(page)
    tables_and_controls_are_named_for_those_who_cannot_see_them(page)
    assert page.events == []


def test_data_that_would_be_scripts_in_a_browser(browser: Any, tmp_path: Path) -> None:
    hostile = Opened(browser, hostile_page(tmp_path), width=360, scheme="dark")
    data_never_become_a_script(hostile)
    a_phone_shows_it_without_scrolling_sideways(hostile)
    nothing_could_be_loaded_from_a_network(hostile)


def every_section_has_its_content_and_nothing_is_amiss(page: Opened, facts: dict[str, Any]) -> None:
    assert page.events == []
    for section in SECTIONS:
        assert len(page.tab.inner_text(f"#{section}")) > 80, section
    assert page.count(".chart") == page.count("svg.marks") >= 15
    assert page.count("#learning .chart") >= 6
    assert page.count("#topology svg.marks") == 2
    assert re.search(r"that no rewiring replaced\s+\d+%", page.tab.inner_text("#topology"))
    assert page.count("#figures tr.run") == 2
    assert page.count("#figures tr.difference") == 1
    assert "train.head.kind" in page.tab.inner_text("#settings")
    assert facts["documents"] > 50
    wide = "p => p.getBoundingClientRect().width > 50"
    lines = page.run(f"[...document.querySelectorAll('svg.marks path')].filter({wide}).length")
    assert lines > 20  # there is something in the charts


def search_filters_and_pages(page: Opened) -> None:
    everything = page.search()
    total = int(everything.split()[-1].replace(",", ""))
    assert everything == f"{total:,} of {total:,}"
    assert page.count(".card") == 20
    first = page.tab.inner_text(".card >> nth=0")
    page.tab.click("#next")
    assert page.tab.inner_text("#page").startswith("page 2 of")
    assert page.tab.inner_text(".card >> nth=0") != first
    page.tab.click("#previous")
    assert page.tab.inner_text(".card >> nth=0") == first
    word = page.tab.inner_text(".card .true .label >> nth=0").split()[-1]
    found = int(page.search(word).split()[0])
    assert 0 < found < total
    assert all(word in text for text in page.tab.locator(".card").all_inner_texts())
    assert page.count("mark") >= found // 20
    assert page.search("no such word anywhere").startswith("0 of")
    assert page.count(".card") == 0
    right, wrong = (int(page.search("", shown).split()[0]) for shown in ("right", "wrong"))
    assert 0 < right < total
    assert page.search("", "wrong").startswith(str(wrong))
    assert page.count(".side li:first-child.hit") == 0
    differ = int(page.search("", "differ").split()[0])
    assert 0 < differ <= total
    page.search()


def the_theme_follows_the_button_and_the_charts_the_theme(page: Opened) -> None:
    def colours() -> tuple[str, str]:
        ground = page.run("getComputedStyle(document.body).backgroundColor")
        return ground, page.run("getComputedStyle(document.querySelector('.role-axis-label text')).fill")

    light = colours()
    page.tab.click("#theme")
    dark = colours()
    assert light[0] == "rgb(255, 255, 255)"
    assert dark[0] != light[0]
    assert dark[1] != light[1]
    page.tab.click("#theme")
    assert colours() == light


def on_paper_it_is_light_and_without_controls(page: Opened) -> None:
    page.tab.click("#theme")
    page.tab.emulate_media(media="print")
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for selector in ("#theme", "#search", ".pages", "nav .links"):
        assert page.run(f"getComputedStyle(document.querySelector('{selector}')).display") == "none"
    folded = (
        "[...document.querySelectorAll('main details')].filter(d => !d.open && !d.closest('.chart')).length"
    )
    assert page.run(folded) > 0
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert page.run(folded) == 0
    page.run("dispatchEvent(new Event('afterprint'))")
    assert page.run(folded) > 0
    page.tab.emulate_media(media="screen")
    page.tab.click("#theme")


def tables_and_controls_are_named_for_those_who_cannot_see_them(page: Opened) -> None:
    assert page.run("[...document.querySelectorAll('th')].every(th => th.scope)")
    assert page.run(
        "[...document.querySelectorAll('button')].every(b => b.ariaLabel || b.textContent.trim())"
    )
    assert page.run("[...document.querySelectorAll('.chart')].every(c => c.ariaLabel)")
    assert page.run(
        "[...document.querySelectorAll('#search :is(input, select)')].every(i => i.labels.length)"
    )


def data_never_become_a_script(hostile: Opened) -> None:
    assert hostile.events == []
    assert hostile.search("alert(2)") == "1 of 40"
    assert "</script><script>alert(2)</script>" in hostile.tab.inner_text(".card .text")
    assert hostile.search("<script>").split()[0] != "0"
    assert hostile.tab.locator(".card .label", has_text=SCRIPT).count() > 0
    assert SCRIPT in hostile.tab.inner_text("nav .runs")
    assert hostile.count("main script:not([type])") == 0
    assert hostile.events == []


def a_phone_shows_it_without_scrolling_sideways(hostile: Opened) -> None:
    assert hostile.run("document.documentElement.scrollWidth") == 360
    assert (
        hostile.run("getComputedStyle(document.body).backgroundColor") == "rgb(20, 22, 24)"
    )  # as the system is
    widths = hostile.run(
        "[...document.querySelectorAll('.chart svg')].map(s => s.getBoundingClientRect().right)"
    )
    assert max(widths) <= 360


def nothing_could_be_loaded_from_a_network(hostile: Opened) -> None:
    """Requests that the policy forbids fail, with a line in the console."""
    outcome = hostile.run("fetch('https://example.org/').then(() => 'answered', () => 'refused')")
    assert outcome == "refused"
    assert any("Content Security Policy" in line for line in hostile.events)
