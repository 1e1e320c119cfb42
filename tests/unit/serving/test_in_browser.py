"""The page of a service in a browser: a text, its labels with probabilities, and the words behind them.

The labels and descriptions of the model are hostile: none becomes a script, and none reads as another one.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import xmcpipe
from tests.served import predict, serving
from tests.unit.api.conftest import NAMES, documents

TIMEOUT = 150_000  # milliseconds: machines are busy, and no test may fail for being slow
SCRIPT = "<img src=x onerror=alert(1)>"
HOSTILE = [SCRIPT, "\u202egnp.exe", "x" * 120, "music", "network", "printing"]
TEXTS = ["<script>alert(2)</script>", None, None, "Programs that play music", None, None]
SETTINGS = {"tokenize.words": "pairs", "train.head.word_fan_in": 4}


@pytest.fixture(scope="module")
def worded(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> xmcpipe.Model:
    """A model that reads words; label i has the words 10 i to 10 i + 9."""
    train, folder = documents(160, seed=1), tmp_path_factory.mktemp("words") / "model"
    classifier = xmcpipe.XMCClassifier(
        encoder=str(tiny_encoder), frozen=True, device="cpu", settings=SETTINGS
    )
    classifier.fit(train.texts, train.labels).save(folder)
    names = pq.read_table(folder / "labels.parquet")["label"].to_pylist()
    order = [NAMES.index(name) for name in names]
    table = {"label": [HOSTILE[number] for number in order], "text": [TEXTS[number] for number in order]}
    pq.write_table(
        pa.table(table, pa.schema({"label": pa.string(), "text": pa.string()})), folder / "labels.parquet"
    )
    return xmcpipe.load(folder, device="cpu", verify=False)  # it was given other labels


@pytest.fixture(scope="module")
def papers(worded: xmcpipe.Model) -> Iterator[int]:
    with serving(worded, name="papers") as port:
        yield port


class Opened:
    """The page in a tab of its own; `events` are console lines, errors, dialogs, and requests elsewhere."""

    def __init__(self, browser: Any, port: int, width: int = 1000, scheme: str = "light") -> None:
        self.events: list[str] = []
        self.address = f"http://127.0.0.1:{port}/"
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.tab = context.new_page()
        self.tab.set_default_timeout(TIMEOUT)
        self.tab.on("console", lambda message: self.events.append(message.text))
        self.tab.on("pageerror", lambda error: self.events.append(str(error)))
        self.tab.on("request", lambda request: self.note(request.url))
        self.tab.on("dialog", self.dismiss)
        self.tab.goto(self.address)
        self.wait()

    def wait(self) -> None:
        """Until the page has nothing to wait for."""
        self.tab.wait_for_selector("html[data-state=ready]", state="attached")

    def dismiss(self, dialog: Any) -> None:
        self.events.append("a dialog")
        dialog.dismiss()

    def note(self, address: str) -> None:
        if not address.startswith((self.address, "data:")):
            self.events.append(f"requested {address}")

    def ask(self, text: str) -> list[str]:
        """The names of the labels that are shown for `text`."""
        with self.tab.expect_response(self.address + "predict"):
            self.tab.fill("#text", text)
            self.tab.press("#text", "Control+Enter")
        self.wait()
        found: list[str] = self.tab.locator("#labels .name bdi").all_inner_texts()
        return found


def test_the_labels_of_a_text_in_a_browser(browser: Any, papers: int) -> None:
    page = Opened(browser, papers)
    assert page.tab.inner_text("h1") == "papers"
    assert page.tab.title() == "papers · xmcpipe"
    it_shows_what_the_service_answers(page, papers)
    a_threshold_and_a_number_of_labels(page)
    an_error_is_shown_and_goes_away(page)
    controls_are_named_for_those_who_cannot_see_them(page)
    assert len(page.events) == 1
    assert "status of 413" in page.events[0]


def it_shows_what_the_service_answers(page: Opened, port: int) -> None:
    text = "word31 word32 word33"
    expected = predict(port, text=text, k=5, words=True).value["labels"]
    assert page.ask(text) == [visible(each["label"]) for each in expected]
    first = page.tab.locator("#labels > li").first
    assert first.locator(".number").inner_text() == f"{100 * expected[0]['probability']:.1f}%"
    assert first.locator(".about").inner_text() == "Programs that play music"
    words = [f"{each['word']} +{each['part']:.2f}" for each in expected[0]["words"]]
    assert words
    assert first.locator(".words bdi").all_inner_texts() == words


def visible(label: str) -> str:
    return label.replace("\u202e", "\\u202e")


def a_threshold_and_a_number_of_labels(page: Opened) -> None:
    page.tab.fill("#threshold", "0.5")
    assert page.ask("word31 word32") == ["music"]
    page.tab.fill("#threshold", "0")
    page.tab.fill("#k", "2")
    assert len(page.ask("word31 word32")) == 2
    assert page.ask("  ") == []
    assert page.tab.inner_text("#note").startswith("No label.")
    page.tab.fill("#k", "5")


def an_error_is_shown_and_goes_away(page: Opened) -> None:
    page.tab.evaluate("document.getElementById('text').removeAttribute('maxlength')")
    page.ask("a" * 20_001)
    assert page.tab.inner_text("#error") == "expected text, at most 20,000 characters, got 20,001"
    page.ask("word1")
    assert page.tab.locator("#error").is_hidden()


def controls_are_named_for_those_who_cannot_see_them(page: Opened) -> None:
    assert page.tab.evaluate("[...document.querySelectorAll('input, textarea')].every(i => i.labels.length)")
    assert page.tab.locator("#answer").get_attribute("aria-live") == "polite"
    assert page.tab.locator("meter").first.get_attribute("aria-label") == "probability"


def test_hostile_labels_on_a_phone_in_the_dark(browser: Any, papers: int) -> None:
    page = Opened(browser, papers, width=360, scheme="dark")
    assert set(page.ask("word1 word11 word21 <b>word31</b> word41")) <= set(map(visible, HOSTILE))
    assert page.ask("word1 word2 word3")[0] == SCRIPT
    assert page.tab.locator(".about").first.inner_text() == "<script>alert(2)</script>"
    assert page.tab.locator("main img, main script").count() == 0
    assert page.ask("word11 word12")[0] == "\\u202egnp.exe"
    assert page.ask("word21 word22")[0] == "x" * 120
    assert page.tab.evaluate("document.documentElement.scrollWidth") == 360
    assert page.tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 22, 24)"
    page.tab.goto(page.address + "docs")
    assert page.tab.evaluate("document.documentElement.scrollWidth") == 360
    assert "POST /predict" in page.tab.inner_text("main")
    assert page.events == []


def test_a_service_that_has_gone_is_reported(browser: Any, model: xmcpipe.Model) -> None:
    with serving(model) as port:
        page = Opened(browser, port)
    page.tab.fill("#text", "word1")
    page.tab.click("#send")
    page.tab.locator("#error").wait_for()
    assert page.tab.inner_text("#error") == "The service does not answer. Is it still running?"
