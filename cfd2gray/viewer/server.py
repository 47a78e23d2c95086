"""What the page asks for and what it gets: routes of a Starlette application below ``/TOKEN``."""

from __future__ import annotations

import functools
import json
import pathlib
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from cfd2gray.pages.page import render
from cfd2gray.viewer.corrections import Corrections
from cfd2gray.viewer.desk import Desk
from cfd2gray.viewer.downloads import FORMATS, download_name, write_download
from cfd2gray.viewer.guard import Guard
from cfd2gray.viewer.layers import layer_png
from cfd2gray.viewer.names import shown_name
from cfd2gray.viewer.page import page
from cfd2gray.viewer.upload import TooLarge, keep
from cfd2gray.viewer.viewed import Viewed

MOST_JSON = 4 << 20
"""Bytes of a correction."""


def application(
    desk: Desk, *, token: str, hosts: tuple[str, ...], max_upload: int, example: pathlib.Path, first: str = ""
) -> Starlette:
    """The viewer.

    Args:
      desk: Where the clips are.
      token: The part of the address that a stranger does not know.
      hosts: ``HOST:PORT`` under which it may be asked.
      max_upload: Bytes of a dropped file, at most.
      example: A clip for who has none at hand.
      first: Id of the clip that the page opens with.
    """
    pages = _Pages(desk, max_upload=max_upload, example=example, first=first)
    one = "/clips/{id}"
    routes = [
        Route("/", pages.page),
        Route("/page.css", pages.style),
        Mount("/static", StaticFiles(packages=[("cfd2gray.viewer", "static")])),
        Route("/clips", pages.listed),
        Route("/clips", pages.upload, methods=["POST"]),
        Route("/example", pages.example, methods=["POST"]),
        Route(one, pages.told),
        Route(one, pages.remove, methods=["DELETE"]),
        Route(f"{one}/open", pages.open, methods=["POST"]),
        Route(f"{one}/correct", pages.correct, methods=["POST"]),
        Route(f"{one}/mark", pages.mark, methods=["POST"]),
        Route(f"{one}/picture", pages.picture),
        Route(f"{one}/{{version:int}}/{{layer}}/{{frame:int}}", pages.frame),
        Route(f"{one}/download/{{format}}", pages.download),
    ]
    return Starlette(
        routes=[Mount(f"/{token}", routes=routes)],
        middleware=[Middleware(Guard, token=token, hosts=hosts)],
        exception_handlers={ValueError: _refused, TooLarge: _refused, OSError: _refused, ClientDisconnect: _refused},
    )


def _refused(_: Request, error: Exception) -> Response:
    """What a person asked for and cannot have, in words."""
    if isinstance(error, OSError):
        return PlainTextResponse(f"could not be written: {error.strerror or type(error).__name__}", status_code=507)
    return PlainTextResponse(str(error), status_code=413 if isinstance(error, TooLarge) else 422)


class _Pages:
    """Handlers; those that are not ``async`` run in threads."""

    def __init__(self, desk: Desk, *, max_upload: int, example: pathlib.Path, first: str) -> None:
        self._desk, self._max_upload, self._example, self._first = desk, max_upload, example, first

    def _clip(self, request: Request) -> Viewed:
        clip = self._desk.clips.get(request.path_params["id"])
        if clip is None:
            raise HTTPException(404, "this clip is no longer here; drop it again")
        return clip

    def page(self, request: Request) -> Response:
        if not request.url.path.endswith("/"):
            raise HTTPException(404, "the address ends with a slash")
        folder = self._desk.folder
        settings = {
            "first": self._first,
            "folder": folder and shown_name(folder.resolve().name),
            "marks": self._desk.marks and shown_name(self._desk.marks.path.name),
            "max_upload": self._max_upload,
        }
        return HTMLResponse(page(settings))

    def style(self, request: Request) -> Response:
        return Response(_style(), media_type="text/css")

    def listed(self, request: Request) -> Response:
        """All clips, or 204 where nothing has changed since ``?since=REVISION``."""
        desk = self._desk
        revision = desk.revision
        if request.query_params.get("since") == str(revision):
            return Response(status_code=204)
        clips = [clip.summary() for clip in list(desk.clips.values())]
        return JSONResponse({"revision": revision, "clips": clips, "unlisted": desk.unlisted, "problem": desk.problem})

    async def upload(self, request: Request) -> Response:
        announced = request.headers.get("content-length", "")
        target = self._desk.new_path()
        await keep(
            request.stream(), target, most=self._max_upload, announced=int(announced) if announced.isdigit() else None
        )
        name = request.query_params.get("name", "")
        return JSONResponse({"id": self._desk.add(target, name, owned=True).id})

    def example(self, request: Request) -> Response:
        return JSONResponse({"id": self._desk.add(self._example, "example (simulated)", owned=False).id})

    def told(self, request: Request) -> Response:
        return JSONResponse(self._clip(request).told())

    def remove(self, request: Request) -> Response:
        clip = self._clip(request)
        if clip.in_folder:
            raise ValueError("clips of the folder stay listed; reject it instead")
        self._desk.remove(clip)
        return Response(status_code=204)

    def open(self, request: Request) -> Response:
        self._desk.open(self._clip(request))
        return Response(status_code=204)

    async def correct(self, request: Request) -> Response:
        clip = self._clip(request)
        said = await _json(request)
        shape = tuple(clip.facts.get(name, 0) for name in ("frames", "height", "width"))
        if not clip.version:
            raise ValueError("there is nothing to correct yet; wait until the clip was read")
        self._desk.correct(clip, Corrections.of(said, shape=shape))
        return Response(status_code=204)

    async def mark(self, request: Request) -> Response:
        clip, said = self._clip(request), await _json(request)
        mark = said.get("mark") if isinstance(said, dict) else None
        await run_in_threadpool(self._desk.mark, clip, mark if isinstance(mark, str) else "?")
        return Response(status_code=204)

    def picture(self, request: Request) -> Response:
        picture = self._clip(request).picture
        if not picture:
            raise HTTPException(404, "no picture yet")
        return Response(picture, media_type="image/jpeg")

    def frame(self, request: Request) -> Response:
        clip, asked = self._clip(request), request.path_params
        seen = self._desk.seen(clip)
        if asked["version"] != clip.version:
            return PlainTextResponse("the clip was translated again meanwhile", status_code=409)
        return Response(layer_png(seen, asked["layer"], asked["frame"]), media_type="image/png")

    def download(self, request: Request) -> Response:
        clip, format = self._clip(request), request.path_params["format"]
        seen = self._desk.seen(clip)
        target = self._desk.new_path().with_suffix(f".{format}")
        keep_screen = request.query_params.get("screen") == "keep"
        write_download(seen, format, target, keep_screen=keep_screen)
        return FileResponse(
            target, media_type=FORMATS[format], filename=download_name(seen, format, clip.version),
            background=BackgroundTask(functools.partial(target.unlink, missing_ok=True)),
        )  # fmt: skip


async def _json(request: Request) -> Any:
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > MOST_JSON:
            raise ValueError(f"at most {MOST_JSON >> 20} MiB of corrections")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("the correction is no JSON") from None


@functools.cache
def _style() -> str:
    return render("page.css") + render("cards.css")
