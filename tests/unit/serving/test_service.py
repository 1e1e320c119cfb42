"""A service over HTTP: each client gets the right answer, a full queue refuses, pages need no other host."""

import random
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.served import Client, get, predict, serving
from tests.small_models import LABELS
from tests.unit.serving.conftest import GatedModel
from xmcpipe.api.model import Model
from xmcpipe.serving.limits import Limits

CLIENTS, REQUESTS = 24, 15
EXTERNAL = re.compile(r"(?:https?:)?//[^\s\"'<]+")


class Truth:
    """All scores of texts, as the model gives them without a service."""

    def __init__(self, model: Model, texts: list[str]) -> None:
        rows = model.predict(texts, k=LABELS)
        self.scores = {
            text: {each.label: each.score for each in row} for text, row in zip(texts, rows, strict=True)
        }

    def check(self, text: str, labels: list[dict[str, Any]], body: dict[str, Any]) -> None:
        """Compare what a service answered for one text with what is right for the request `body`."""
        allowed = set(body.get("allow") or self.scores[text]) - set(body.get("deny", ()))
        scores = {label: score for label, score in self.scores[text].items() if label in allowed}
        least = body.get("threshold", 0.0)
        best = sorted(scores.values(), reverse=True)[: body["k"]]
        assert [each["score"] for each in labels] == pytest.approx(
            [score for score in best if sigmoid(score) >= least], abs=1e-4
        )
        for each in labels:
            assert each["score"] == pytest.approx(scores[each["label"]], abs=1e-4)
            assert each["probability"] == pytest.approx(sigmoid(each["score"]), abs=1e-4)


def sigmoid(score: float) -> float:
    return float(1 / (1 + 2.718281828459045**-score))


def drawn_text(draw: random.Random) -> str:
    return " ".join(f"word{draw.randrange(200)}" for _ in range(draw.randint(1, 20)))


def drawn_body(draw: random.Random, texts: list[str]) -> dict[str, Any]:
    body: dict[str, Any] = {"k": draw.choice([1, 3, 3, 3, LABELS])}
    if draw.random() < 0.7:
        body["text"] = draw.choice(texts)
    else:
        body["texts"] = [draw.choice(texts) for _ in range(draw.randint(0, 9))]
    names = [f"label {number}" for number in draw.sample(range(LABELS), 4)]
    body |= draw.choice([{}, {}, {}, {"allow": names}, {"deny": names}, {"threshold": 0.5}])
    return body


def test_under_load_every_client_gets_the_right_answer_to_each_request(model: Model) -> None:
    draw = random.Random(3)
    texts = sorted({drawn_text(draw) for _ in range(300)})
    truth = Truth(model, texts)
    bodies = [[drawn_body(draw, texts) for _ in range(REQUESTS)] for _ in range(CLIENTS)]

    def ask_all(port: int, own: list[dict[str, Any]]) -> int:
        with Client(port) as client:
            for body in own:
                answer = client.predict(**body)
                assert answer.status == 200, answer.value
                single = "text" in body
                asked = [body["text"]] if single else body["texts"]
                found = [answer.value] if single else answer.value["results"]
                for text, labelled in zip(asked, found, strict=True):
                    truth.check(text, labelled["labels"], body)
        return len(own)

    with serving(model, Limits(batch=16)) as port, ThreadPoolExecutor(CLIENTS) as threads:
        answered = sum(threads.map(lambda own: ask_all(port, own), bodies))
        metrics = get(port, "/metrics").value
    assert answered == CLIENTS * REQUESTS
    assert f'xmcpipe_requests_total{{path="/predict",status="200"}} {answered}.0' in metrics
    num_texts = sum(1 if "text" in body else len(body["texts"]) for own in bodies for body in own)
    assert f"xmcpipe_batch_texts_sum {num_texts}.0" in metrics


def test_a_full_queue_refuses_and_the_accepted_are_answered(gated: GatedModel) -> None:
    with serving(gated, Limits(queue=3, texts=3)) as port, ThreadPoolExecutor(4) as threads:
        first = threads.submit(lambda: predict(port, text="word1"))
        assert gated.entered.wait(150)
        second = threads.submit(lambda: predict(port, texts=["word2", "word3"]))
        while get(port, "/health").value["waiting"] < 2:
            pass
        refused = predict(port, texts=["word4", "word5"])
        assert refused.status == 429
        assert refused.value == {"error": "3 texts may wait, and there is no room for more (ask again later)"}
        assert refused.headers["retry-after"] == "1"
        third = threads.submit(lambda: predict(port, text="word6"))
        gated.gate.set()
        assert first.result().status == second.result().status == third.result().status == 200
        assert len(second.result().value["results"]) == 2
        counted = 'xmcpipe_requests_total{path="/predict",status="429"} 1.0'
        assert counted in get(port, "/metrics").value


def test_a_text_without_words_has_no_labels(client: Client) -> None:
    assert client.predict(text=" \n").value == {"labels": []}
    assert client.predict(texts=[]).value == {"results": []}


def test_labels_in_the_order_of_their_ids(client: Client) -> None:
    assert client.get("/labels?offset=1&limit=2").value == {
        "total": LABELS,
        "labels": [
            {"label": "label 1", "text": None},
            {"label": "label 2", "text": "the text of 2"},
        ],
    }
    assert len(client.get("/labels").value["labels"]) == LABELS
    assert client.get("/labels?offset=500").value == {"total": LABELS, "labels": []}
    for path, line in (
        ("/labels?limit=x", 'expected limit, a valid integer, got "x"'),
        ("/labels?limit=1001", 'expected limit, less than or equal to 1000, got "1001"'),
        ("/labels?offset=-1", 'expected offset, greater than or equal to 0, got "-1"'),
    ):
        answer = client.get(path)
        assert (answer.status, answer.value) == (422, {"error": line})


def test_health_says_what_the_service_can(client: Client) -> None:
    facts = client.get("/health").value
    assert facts["status"] == "ok"
    assert (facts["labels"], facts["probabilities"], facts["words"]) == (LABELS, True, False)


def test_a_wrong_path_or_method_gets_one_line(client: Client) -> None:
    assert client.get("/nope").value == {"error": "there is no such path (GET /docs lists all)"}
    assert client.get("/static/..%2fservice.py").status == 404
    assert client.get("/static/service.py").value == {
        "error": "expected one of page.css, page.js, got 'service.py'"
    }
    answer = client.get("/predict")
    assert (answer.status, answer.value) == (405, {"error": "expected POST, got GET"})


def test_a_fault_of_the_service_is_not_shown_to_clients(
    model: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("a secret path")

    monkeypatch.setattr(type(model), "predict", fail)
    with serving(model) as port:
        answer = predict(port, text="a")
    assert answer.status == 500
    assert answer.value == {"error": "an error of the service, whose log has the details"}
    assert "a secret path" in caplog.text


def test_metrics_are_in_the_format_of_prometheus(client: Client) -> None:
    client.predict(text="word1")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    sample = re.compile(r'[a-z_]+(\{[a-z]+="[^"]+"(,[a-z]+="[^"]+")*\})? [0-9.e+-]+')
    for line in answer.value.splitlines():
        assert line.startswith(("# HELP ", "# TYPE ")) or sample.fullmatch(line), line
    found = {each.name: each for each in text_string_to_metric_families(answer.value)}
    assert {name: each.type for name, each in found.items()} == {
        "xmcpipe_requests": "counter",
        "xmcpipe_predict_seconds": "histogram",
        "xmcpipe_batch_texts": "histogram",
        "xmcpipe_batch_seconds": "histogram",
        "xmcpipe_queue_texts": "gauge",
        "xmcpipe_queue_limit_texts": "gauge",
        "xmcpipe_labels": "gauge",
    }
    answered = [each for each in found["xmcpipe_requests"].samples if each.labels["path"] == "/predict"]
    seconds = found["xmcpipe_predict_seconds"].samples
    buckets = [each.value for each in seconds if each.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] >= 1
    assert [each.value for each in seconds if each.name.endswith("_count")] == [
        sum(each.value for each in answered if each.labels["status"] == "200")
    ]


def test_pages_load_nothing_from_other_hosts(client: Client) -> None:
    for path in ("/", "/docs", "/static/page.css", "/static/page.js"):
        answer = client.get(path)
        assert answer.status == 200
        found = [each for each in EXTERNAL.findall(answer.value) if "localhost" not in each]
        assert [each for each in found if not each.startswith("// ")] == []
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")


def test_openapi_describes_every_path_and_field(client: Client) -> None:
    described = client.get("/openapi.json").value
    assert set(described["paths"]) == {"/predict", "/labels", "/health", "/metrics"}
    body = described["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == {"text", "texts", "k", "threshold", "allow", "deny", "words"}
    assert {"413", "422", "429"} < set(described["paths"]["/predict"]["post"]["responses"])
    page = client.get("/docs").value
    for text in ("POST /predict", "GET /labels", "threshold", "probability", "<strong>429</strong>"):
        assert text in page
