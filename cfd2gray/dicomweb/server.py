"""The address that DICOM is sent to: ``POST /studies`` with a token."""

from __future__ import annotations

import pathlib
import secrets
import shutil
import tempfile

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from cfd2gray.dicomweb.multipart import boundary_of, joined
from cfd2gray.dicomweb.station import Station
from cfd2gray.viewer.serve import listening, run_until_stopped
from cfd2gray.viewer.upload import TooLarge, keep

DICOM_JSON = "application/dicom+json"


def application(station: Station, *, token: str, max_upload: int, scratch: pathlib.Path) -> Starlette:
    """The service.

    Args:
      station: What works on instances.
      token: What ``Authorization: Bearer`` must say; a page of somebody else cannot send that header.
      max_upload: Bytes of one request, at most.
      scratch: Folder for what comes in; nothing stays in it.
    """

    async def store(request: Request) -> Response:
        peer = request.client.host if request.client else ""
        given = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if not secrets.compare_digest(given.encode(), token.encode()):
            station.log("denied", peer=peer)
            return PlainTextResponse("a token is needed\n", status_code=401, headers={"WWW-Authenticate": "Bearer"})
        accept = request.headers.get("accept", "*/*")
        if station.forward is None and "multipart/related" not in accept and "*/*" not in accept:
            return PlainTextResponse("results come as multipart/related; or start with --forward\n", status_code=406)
        try:
            boundary = boundary_of(request.headers.get("content-type", ""))
        except ValueError as error:
            return PlainTextResponse(f"{error}\n", status_code=415)
        folder = pathlib.Path(tempfile.mkdtemp(dir=scratch))
        leave = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
        try:
            announced = request.headers.get("content-length", "")
            length = int(announced) if announced.isdigit() else None
            await keep(request.stream(), folder / "body", most=max_upload, announced=length)
            receipt = await run_in_threadpool(station.receive, folder / "body", boundary, folder, peer=peer)
        except (ValueError, ClientDisconnect) as error:
            status = 413 if isinstance(error, TooLarge) else 400
            return PlainTextResponse(f"{error}\n", status_code=status, background=leave)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if not receipt.results:
            return JSONResponse(receipt.told(), receipt.status, media_type=DICOM_JSON, background=leave)
        kind, size, pieces = joined(receipt.results)
        headers = {"Content-Length": str(size), "Content-Type": kind}
        return StreamingResponse(pieces, receipt.status, headers=headers, background=leave)

    return Starlette(routes=[Route(path, store, methods=["POST"]) for path in ("/studies", "/studies/{study}")])


def serve(station: Station, *, token: str, host: str, port: int, max_upload: int) -> None:
    """Serve until interrupted or terminated; then whatever came in is deleted.

    Raises:
      ValueError: For an address that cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="cfd2gray-serve-") as scratch, listening(port, host) as listener:
        app = application(station, token=token, max_upload=max_upload, scratch=pathlib.Path(scratch))
        shown = f"[{host}]" if ":" in host else host
        print(f"http://{shown}:{listener.getsockname()[1]}/studies takes DICOM (STOW-RS); Ctrl+C ends it", flush=True)
        run_until_stopped(app, listener)
