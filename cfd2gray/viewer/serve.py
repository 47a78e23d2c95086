"""Starting and ending: an address on this machine, a folder for copies, the browser; nothing is left behind."""

from __future__ import annotations

import contextlib
import pathlib
import secrets
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator
from typing import BinaryIO

import uvicorn

from cfd2gray.translation.translator import Translator
from cfd2gray.viewer.desk import Desk
from cfd2gray.viewer.server import application
from cfd2gray.viewer.upload import PIECE, keep_stream

LOOPBACK = "127.0.0.1"
STANDARD_INPUT = pathlib.Path("-")


def view(
    source: pathlib.Path | None,
    open_translator: Callable[[], Translator],
    *,
    example: pathlib.Path,
    port: int = 0,
    max_upload: int = 4 << 30,
    browser: bool = True,
    stdin: BinaryIO | None = None,
) -> None:
    """Serve the viewer on this machine until it is interrupted (or terminated); then its copies are deleted.

    Args:
      source: A clip, a folder, ``-`` for standard input, or None for an empty page.
      open_translator: Called when the first clip is translated.
      example: A clip for who has none at hand.
      port: 0 for any free one.
      max_upload: Bytes of a dropped file, at most.
      browser: Open it in the web browser.

    Raises:
      ValueError: For a source that is not there or empty, a port that is taken, or a file of marks that is none.
    """
    standard = source == STANDARD_INPUT
    if source is not None and not standard and not source.exists():
        raise ValueError(f"{source} is not there; name a clip or a folder, or - for standard input")
    folder = source if source is not None and source.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="cfd2gray-view-") as scratch, listening(port) as listener:
        desk = Desk(open_translator, pathlib.Path(scratch), folder=folder)
        first = ""
        if standard:
            kept, pipe = desk.new_path(), stdin or sys.stdin.buffer
            keep_stream(iter(lambda: pipe.read(PIECE), b""), kept, most=max_upload)
            first = desk.add(kept, "standard input", owned=True).id
        elif source is not None and folder is None:
            first = desk.add(source, source.name, owned=False).id
        token, port = secrets.token_urlsafe(24), listener.getsockname()[1]
        hosts = (f"{LOOPBACK}:{port}", f"localhost:{port}")
        app = application(desk, token=token, hosts=hosts, max_upload=max_upload, example=example, first=first)
        address = f"http://{LOOPBACK}:{port}/{token}/"
        print(f"{address}\nfor this computer alone; Ctrl+C ends it and deletes its copies of clips", flush=True)
        if browser:
            _open_in_browser(address, pathlib.Path(scratch))
        try:
            run_until_stopped(app, listener)
        finally:
            desk.close()


def run_until_stopped(app: object, listener: socket.socket) -> None:
    """Answer until this process is interrupted or terminated."""
    options = {"access_log": False, "log_level": "warning", "server_header": False, "proxy_headers": False}
    server = uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=2, lifespan="off", **options))
    before = signal.getsignal(signal.SIGTERM)
    try:
        if threading.current_thread() is threading.main_thread():
            # The server gives its signals back when it has ended: termination, too, must end in our clearing up.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def listening(port: int, host: str = LOOPBACK) -> Iterator[socket.socket]:
    """A socket that takes connections from now on; port 0 is any free one.

    Raises:
      ValueError: For an address that cannot be had.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as error:
            raise ValueError(f"--port {port} of {host} cannot be had ({error}); --port 0 is any free one") from error
        listener.listen()  # from now on whoever was given the address may ask, and waits until there is an answer
        yield listener


def _open_in_browser(address: str, scratch: pathlib.Path) -> None:
    """By way of a file that its owner alone can read: other people here can read the command lines of programs."""
    page = scratch / "open.html"
    page.touch(mode=0o600)
    page.write_text(f'<!doctype html><meta http-equiv="refresh" content="0;url={address}"><title>cfd2gray</title>')
    threading.Thread(target=webbrowser.open, args=(page.as_uri(),), daemon=True).start()
