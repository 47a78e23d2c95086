"""A service for other programs: DICOM in, its translation out."""

from __future__ import annotations

import argparse
import os
import pathlib
import secrets

from cfd2gray.commands.parsers import AddCommand, add_weights, chosen_weights


def add_commands(add: AddCommand) -> None:
    """Declare the commands of this file."""
    sub = add(
        "serve",
        run_serve,
        "a DICOMweb service: clips come in, translations go on or back",
        "serve --dicomweb --token-file token --audit audit.jsonl",
    )
    sub.add_argument("--dicomweb", action="store_true", required=True, help="take DICOM by STOW-RS (POST /studies)")
    about = "what senders must say (Authorization: Bearer); made, for you alone, when it is not there"
    sub.add_argument("--token-file", type=pathlib.Path, required=True, metavar="FILE", help=about)
    about = "DICOMweb server that results are sent to (STOW-RS); without it they are the answer"
    sub.add_argument("--forward", metavar="URL", help=about)
    about = 'file with headers for it, one a line, such as "Authorization: Basic ..."'
    sub.add_argument("--forward-headers", type=pathlib.Path, metavar="FILE", help=about)
    about = "add a line of JSON for everything that was done or refused; no identifiers"
    sub.add_argument("--audit", type=pathlib.Path, metavar="FILE", help=about)
    about = "as in translate: research (new identifiers) or clinical (filed beside the source)"
    sub.add_argument("--mode", choices=("research", "clinical"), default="research", help=about)
    sub.add_argument("--key-file", type=pathlib.Path, help="secret of pseudonyms; without it one that is forgotten")
    add_weights(sub)
    sub.add_argument("--host", default="127.0.0.1", help="address to listen on; any other than this is not encrypted")
    sub.add_argument("--port", type=int, default=8720, help="default 8720; 0 for any that is free")
    sub.add_argument("--max-upload", type=int, default=4096, metavar="MIB", help="of one request; default 4096")


def run_serve(args: argparse.Namespace) -> int:
    from cfd2gray.translation.files import Output
    from cfd2gray.translation.translator import Translator
    from data_pipeline.screen.deidentify import KeyedHasher, secret_key

    try:
        from cfd2gray.dicomweb.server import serve
    except ModuleNotFoundError as error:
        raise ValueError(f'serve needs {error.name}, which is not installed; pip install "./cfd2gray[view]"') from None
    from cfd2gray.dicomweb.station import Forward, Station

    if args.max_upload < 1:
        raise ValueError(f"--max-upload is 1 MiB or more, got {args.max_upload}")
    if args.forward_headers and not args.forward:
        raise ValueError("--forward-headers are for --forward; name the archive, too")
    forward = Forward(url=args.forward, headers=_headers(args.forward_headers)) if args.forward else None
    output = Output(format=".dcm", hasher=KeyedHasher(secret_key(args.key_file)), mode=args.mode)
    weights, token = chosen_weights(args), _token(args.token_file)
    station = Station(lambda: Translator(weights), output, forward=forward, audit=args.audit)
    serve(station, token=token, host=args.host, port=args.port, max_upload=args.max_upload << 20)
    return 0


def _token(path: pathlib.Path) -> str:
    """The token of a file; a new file has a new one."""
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(f"{secrets.token_urlsafe(32)}\n")
    token = path.read_text(encoding="utf-8").strip()
    if len(token) < 16 or not token.isascii() or not token.isprintable():
        raise ValueError(f"{path} holds no token of 16 or more plain characters; remove it, and one is made")
    return token


def _headers(path: pathlib.Path | None) -> dict[str, str]:
    lines = [] if path is None else path.read_text(encoding="ascii").splitlines()
    pairs = [line.partition(":") for line in lines if line.strip()]
    if any(not (name.strip() and value.strip()) for name, _, value in pairs):
        raise ValueError(f"{path} has one header a line, as in: Authorization: Basic ...")
    return {name.strip(): value.strip() for name, _, value in pairs}
