"""The web server: a page, what it asks for, and a stream of what is new. It only reads, and only what was found."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sdpose.dashboard import answers
from sdpose.dashboard.watched_run import WatchedRun
from sdpose.dashboard.watcher import Watcher
from sdpose.monitor import strict_json
from sdpose.monitor.language import LANGUAGES
from sdpose.monitor.readers.run_config import config_text

STATIC = Path(__file__).resolve().parent / "static"
# A browser or a proxy closes a stream on which nothing comes for long.
_BEAT_S = 15.0
_MOST_POINTS = 20_000
_PORT = re.compile(r":\d+$")
_MOST_RUNS = 12
# Nothing from elsewhere, not even in a text that a log brought along.
_HEADERS = {
    "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def make_app(watcher: Watcher, *, allowed_hosts: Sequence[str] | None = LOOPBACK) -> Starlette:
    """The application. It starts `watcher` with itself and stops it at its end.

    `allowed_hosts` are the names under which it may be called, None any: a page elsewhere, whose own name was made to
    point at us, is refused.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        watcher.start()
        yield
        await run_in_threadpool(watcher.stop)

    def data(answer: Callable[[Request], Any]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            # Large logs take a moment: the stream of other browsers goes on meanwhile.
            content = await run_in_threadpool(lambda: strict_json.dumps(answer(request)))
            return Response(content, media_type="application/json")

        return endpoint

    def run_of(request: Request) -> WatchedRun:
        run = watcher.runs.get(request.path_params["run"])
        if run is None:
            raise HTTPException(404, "no such run; the list at /api/runs has them all")
        return run

    def list_runs(request: Request) -> Any:
        return {
            "runs": [run.summary() for run in watcher.runs.values()],
            "paths": list(map(str, watcher.paths)),
        }

    def one_run(request: Request) -> Any:
        return answers.page_of(run_of(request), _language(request))

    def run_curves(request: Request) -> Any:
        run = run_of(request)
        log, axis = run.log(), _axis(request)
        return {
            "id": run.identity,
            "version": run.version,
            "overview": run.overview,
            "extent": answers.extent(log, axis),
            "curves": answers.curves(
                log,
                axis=axis,
                first=_float(request, "from"),
                last=_float(request, "to"),
                num_points=_whole(request, "points", 1200, most=_MOST_POINTS),
                window=_whole(request, "window", 1, most=10**7),
            ),
        }

    def run_rows(request: Request) -> Any:
        mode = request.query_params.get("mode", "train")
        if mode not in ("train", "val"):
            raise HTTPException(400, f"mode is {mode!r}; expected train or val")
        return answers.rows(
            run_of(request).log(),
            mode,
            axis=_axis(request),
            first=_float(request, "from"),
            last=_float(request, "to"),
            limit=_whole(request, "limit", 40, most=answers.MAX_ROWS),
        )

    def compare(request: Request) -> Any:
        wanted = request.query_params.get("runs", "").split(",")[:_MOST_RUNS]
        runs = [watcher.runs[identity] for identity in wanted if identity in watcher.runs]
        if len(runs) < 2:
            raise HTTPException(400, "comparing takes two runs or more: /api/compare?runs=ID,ID")
        return answers.compare_configs(runs)

    async def run_config(request: Request) -> Response:
        path = await run_in_threadpool(run_of(request).config)
        if path is None:
            raise HTTPException(404, "no config in this run's folder")
        return PlainTextResponse(await run_in_threadpool(config_text, path))

    async def run_picture(request: Request) -> Response:
        found = await run_in_threadpool(answers.picture_of, run_of(request).folder)
        if found is None:
            raise HTTPException(404, "no picture of predictions in this run's folder")
        path, media_type = found
        return FileResponse(path, media_type=media_type)

    async def events(request: Request) -> Response:
        return StreamingResponse(
            _events(watcher),
            media_type="text/event-stream",
            headers={"x-accel-buffering": "no"},
        )

    async def index(request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    return Starlette(
        routes=[
            Route("/", index),
            Route("/api/runs", data(list_runs)),
            Route("/api/runs/{run}", data(one_run)),
            Route("/api/runs/{run}/curves", data(run_curves)),
            Route("/api/runs/{run}/rows", data(run_rows)),
            Route("/api/runs/{run}/config", run_config),
            Route("/api/runs/{run}/picture", run_picture),
            Route("/api/compare", data(compare)),
            Route("/api/events", events),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[
            Middleware(_Guard, allowed_hosts=allowed_hosts),
            Middleware(GZipMiddleware, minimum_size=4096, compresslevel=1),
        ],
        lifespan=lifespan,
    )


async def _events(watcher: Watcher) -> AsyncIterator[str]:
    """Server-sent events: `runs` with the summaries of what changed, of all at first; comments as a pulse."""
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()
    end = watcher.listen(lambda: loop.call_soon_threadsafe(woken.set))
    sent: dict[str, int] = {}
    try:
        while not watcher.ended:
            woken.clear()
            changed = [run for run in watcher.runs.values() if sent.get(run.identity) != run.version]
            if changed:
                sent.update({run.identity: run.version for run in changed})
                summaries = await run_in_threadpool(lambda runs: [run.summary() for run in runs], changed)
                yield f"event: runs\ndata: {strict_json.dumps(summaries)}\n\n"
                # A log that is being read changes many times a second; a page is drawn once.
                await asyncio.sleep(0.3)
            try:
                await asyncio.wait_for(woken.wait(), _BEAT_S if sent else 1.0)
            except TimeoutError:
                yield ": still here\n\n"
    finally:
        end()


class _Guard:
    """Refuses calls under other names, and adds the headers that keep the page to itself."""

    def __init__(self, app: ASGIApp, *, allowed_hosts: Sequence[str] | None) -> None:
        self._app = app
        self._allowed_hosts = allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._allowed_hosts is not None:
            host = _PORT.sub("", Headers(scope=scope).get("host", ""))
            if host not in self._allowed_hosts:
                refusal = PlainTextResponse(f"not served under the name {host!r}\n", status_code=400)
                await refusal(scope, receive, send)
                return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def _language(request: Request) -> str:
    language = request.query_params.get("lang", "en")
    if language not in LANGUAGES:
        raise HTTPException(400, f"lang is {language!r}; expected one of {', '.join(LANGUAGES)}")
    return language


def _axis(request: Request) -> str:
    axis = request.query_params.get("x", "step")
    if axis not in ("step", "epoch"):
        raise HTTPException(400, f"x is {axis!r}; expected step or epoch")
    return axis


def _float(request: Request, name: str) -> float | None:
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise HTTPException(400, f"{name} is {text!r}; expected a number")
    return value


def _whole(request: Request, name: str, default: int, *, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise HTTPException(400, f"{name} is {text!r}; expected a whole number from 1 to {most}")
    return int(text)


__all__ = ["LOOPBACK", "STATIC", "make_app"]
