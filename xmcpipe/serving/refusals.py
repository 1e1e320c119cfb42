"""Every error of a service is JSON with one line, {"error": "..."}, also those that FastAPI makes itself."""

import json

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from xmcpipe.serving.question import RefusedError

RETRY_SECONDS = 1


def add_refusals(app: FastAPI) -> None:
    """Have `app` answer each kind of error with its status and line."""

    @app.exception_handler(RefusedError)
    async def refused(_: Request, error: RefusedError) -> Response:
        return _line(error.status, error.line)

    @app.exception_handler(RequestValidationError)
    async def wrong_parameter(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        name, wanted = first["loc"][-1], str(first["msg"]).removeprefix("Input should be ").split(",")[0]
        return _line(422, f"expected {name}, {wanted}, got {json.dumps(first['input'])}")

    @app.exception_handler(HTTPException)
    async def wrong_path(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            return _line(404, "there is no such path (GET /docs lists all)")
        if error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "another method")
            return _line(405, f"expected {allowed}, got {request.method}")
        return _line(error.status_code, str(error.detail))

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> Response:
        return _line(400, "the connection ended before the body did")

    @app.exception_handler(Exception)
    async def fault(_: Request, __: Exception) -> Response:
        return _line(500, "an error of the service, whose log has the details")


def _line(status: int, line: str) -> Response:
    headers = {"Retry-After": str(RETRY_SECONDS)} if status in (429, 503) else {}
    if status == 408:
        headers["Connection"] = "close"  # the rest of the body may never come
    return JSONResponse({"error": " ".join(line.split())}, status, headers)
