"""The service of one model, an ASGI application: /, /predict, /labels, /health, /metrics and /docs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool

import xmcpipe
from xmcpipe.errors import XmcpipeError
from xmcpipe.serving.answers import Explainer, Labelled, Names, Refusal, Results, answer
from xmcpipe.serving.batching import Batcher, Question, QueueFullError, StoppedError
from xmcpipe.serving.counters import Counters
from xmcpipe.serving.docs_page import docs_page
from xmcpipe.serving.limits import Limits
from xmcpipe.serving.question import PredictBody, RefusedError, read_asked
from xmcpipe.serving.refusals import add_refusals
from xmcpipe.serving.watched import Watched

if TYPE_CHECKING:
    from xmcpipe.api.model import Model

PAGE = Path(__file__).parent / "page"
STATIC = {"page.css": "text/css", "page.js": "text/javascript"}
MOST_NAMES = 1000  # of one answer of /labels
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": what}
    for status, what in {
        408: "The body took too long to arrive.",
        413: "The body, a text, or their number is too large.",
        415: "The body is not declared as JSON.",
        422: "The body is not as described, or names a label that the model lacks.",
        429: "The queue is full: ask again after the seconds of the header Retry-After.",
        503: "The service is stopping.",
    }.items()
}


class Service:
    """A model, its queue and its counters; `application` answers HTTP requests."""

    def __init__(self, model: "Model", name: str, limits: Limits) -> None:
        self.model, self.name, self.limits = model, name, limits
        self.explainer = Explainer(model)
        self.counters = Counters(
            {
                "xmcpipe_queue_texts": ("Texts that wait now.", lambda: self.batcher.waiting),
                "xmcpipe_queue_limit_texts": ("Texts that may wait.", lambda: limits.queue),
                "xmcpipe_labels": ("Labels of the model.", lambda: self.num_labels),
            }
        )
        self.batcher = Batcher(self._predict, limits.batch, limits.queue, self.counters.batch)
        self.application = _application(self)

    def _predict(self, texts: list[str], question: Question) -> list[Any]:
        asked = vars(question)
        return list(self.model.predict(texts, batch_size=self.limits.batch, **asked))

    async def predict(self, request: Request) -> Response:
        """Answer POST /predict."""
        asked = await read_asked(request, self.limits)
        explainer = self.explainer if asked.words else None
        if explainer is not None and not explainer.available:
            raise RefusedError(422, "expected words: false, because the model reads no words")
        if asked.question.threshold is not None and not self.model.has_probabilities:
            raise RefusedError(422, "expected no threshold, because the model has no probabilities")
        try:
            rows = await asyncio.wrap_future(self.batcher.submit(asked.texts, asked.question))
        except QueueFullError as error:
            line = f"{self.limits.queue:,} texts may wait, and there is no room for more (ask again later)"
            raise RefusedError(429, line) from error
        except StoppedError as error:
            raise RefusedError(503, "the service is stopping (ask again later)") from error
        except XmcpipeError as error:
            raise RefusedError(422, _for_clients(error, self.model)) from error
        body = await run_in_threadpool(answer, asked.texts, rows, asked.single, explainer)
        return Response(body, media_type="application/json")

    def labels(self, offset: int, limit: int) -> dict[str, Any]:
        """Some labels of the model, in the order of their ids."""
        names, texts = self.model.labels, self.model.label_texts
        shown = [
            {"label": label, "text": text}
            for label, text in zip(
                names[offset : offset + limit], texts[offset : offset + limit], strict=True
            )
        ]
        return {"total": len(names), "labels": shown}

    def health(self) -> dict[str, Any]:
        """Facts of the model and of the queue."""
        return {
            "status": "stopping" if self.batcher.closed else "ok",
            "model": self.name,
            "version": xmcpipe.__version__,
            "labels": self.num_labels,
            "probabilities": self.model.has_probabilities,
            "calibrated": self.model.is_calibrated,
            "words": self.explainer.available,
            "waiting": self.batcher.waiting,
            "limits": vars(self.limits),
        }

    @property
    def num_labels(self) -> int:
        """L."""
        return len(self.model.labels)


def _for_clients(error: XmcpipeError, model: "Model") -> str:
    """The line of an error, without the path of the model, and with a hint that clients can follow."""
    line = error.message.replace(str(model.path), "the model")
    if error.hint.startswith("did you mean"):
        return f"{line} ({error.hint})"
    return f"{line} (GET /labels lists all labels)" if "labels of the model" in line else line


# Long: a list of the paths, each of which is short.
def _application(service: Service) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(service.batcher.close)  # answers what still waits

    app = FastAPI(
        title=f"xmcpipe: {service.name}",
        version=xmcpipe.__version__,
        docs_url=None,  # FastAPI's own page loads scripts of another host
        redoc_url=None,
        lifespan=lifespan,
    )
    files = {name: (PAGE / name).read_bytes() for name in ("index.html", *STATIC)}

    @app.post(
        "/predict",
        summary="Label one text or several",
        response_model=Labelled | Results,
        responses=REFUSALS,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": PredictBody.model_json_schema()}},
            }
        },
    )
    async def predict(request: Request) -> Response:
        return await service.predict(request)

    @app.get(
        "/labels",
        summary="List the labels of the model, in the order of their ids",
        response_model=Names,
        responses={422: {"model": Refusal, "description": "A parameter is out of range."}},
    )
    def labels(
        offset: Annotated[int, Query(ge=0, description="Id of the first label.")] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_NAMES, description="Number of labels.")] = 100,
    ) -> JSONResponse:
        return JSONResponse(service.labels(offset, limit))

    @app.get("/health", summary="Whether the service answers, with facts of the model")
    async def health() -> JSONResponse:
        facts = service.health()
        return JSONResponse(facts, status_code=200 if facts["status"] == "ok" else 503)

    @app.get("/metrics", summary="Counters for Prometheus", response_class=PlainTextResponse)
    async def metrics() -> Response:
        return Response(service.counters.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return HTMLResponse(files["index.html"])

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        if name not in STATIC:
            raise RefusedError(404, f"expected one of {', '.join(STATIC)}, got {name!r}")
        return Response(files[name], media_type=STATIC[name])

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(docs_page(app.openapi()))

    add_refusals(app)
    app.add_middleware(Watched, count=service.counters.request)
    return app
