"""A small Google Cloud Storage in memory: the part of its JSON API that gcsfs, TensorStore and Google's client use.

    python tests/launch/bucket_server.py PORT

Objects have generations and writes may ask for one, as TensorStore's checkpoints do. ``POST /told {"lose": REGEX}`` makes it
acknowledge the next write of a matching object without keeping it; ``{"busy": N}`` answers the next N requests with 503.
"""

from __future__ import annotations

import base64
import email
import hashlib
import http.server
import itertools
import json
import re
import sys
import threading
import urllib.parse

OBJECTS: dict[tuple[str, str], tuple[bytes, int]] = {}
"""(bucket, name) -> bytes, generation."""
UPLOADS: dict[str, tuple[str, str, bytearray]] = {}
LOCK, NUMBERS = threading.RLock(), itertools.count(1)
TOLD = {"lose": "", "busy": 0, "lost": 0}
OBJECT = re.compile(r"(?:/download)?(?:/storage/v1)?/b/([^/]+)/o/(.+)")
LIST = re.compile(r"(?:/storage/v1)?/b/([^/]+)/o/?")
BUCKET = re.compile(r"(?:/storage/v1)?/b/([^/]+)/?")
COPY = re.compile(r"(?:/storage/v1)?/b/([^/]+)/o/(.+)/rewriteTo/b/([^/]+)/o/(.+)")
UPLOAD = re.compile(r"/(?:resumable/)?upload/storage/v1/b/([^/]+)/o/?")


def described(bucket: str, name: str) -> dict[str, str]:
    data, generation = OBJECTS[bucket, name]
    digest = base64.b64encode(hashlib.md5(data).digest()).decode()
    return {
        "kind": "storage#object", "name": name, "bucket": bucket, "generation": str(generation), "metageneration": "1",
        "size": str(len(data)), "md5Hash": digest, "etag": digest, "contentType": "application/octet-stream",
        "timeCreated": "2026-01-01T00:00:00.000Z", "updated": "2026-01-01T00:00:00.000Z", "storageClass": "STANDARD",
    }  # fmt: skip


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, code: int, body: object = b"", **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Type" not in headers:
            self.send_header(
                "Content-Type", "application/octet-stream" if isinstance(body, bytes) else "application/json"
            )
        if code != 304:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if code != 304:
            self.wfile.write(data)

    def received(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def start(self) -> tuple[str, dict[str, str], bytes]:
        url = urllib.parse.urlsplit(self.path)
        return url.path, dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True)), self.received()

    def unfit(self, asked: dict[str, str], generation: int, *, reading: bool) -> bool:
        """Whether conditions on the generation fail; then they are answered."""
        if "ifGenerationMatch" in asked and int(asked["ifGenerationMatch"]) != generation:
            self.answer(412, {"error": {"code": 412}})
        elif "ifGenerationNotMatch" in asked and int(asked["ifGenerationNotMatch"]) == generation:
            self.answer(304 if reading else 412)
        else:
            return False
        return True

    def keep(self, bucket: str, name: str, data: bytes, asked: dict[str, str]) -> None:
        with LOCK:
            if self.unfit(asked, OBJECTS.get((bucket, name), (b"", 0))[1], reading=False):
                return
            before = OBJECTS.get((bucket, name))
            OBJECTS[bucket, name] = (bytes(data), next(NUMBERS))
            found = described(bucket, name)
            if TOLD["lose"] and re.search(TOLD["lose"], name):
                TOLD["lose"], TOLD["lost"] = "", TOLD["lost"] + 1
                OBJECTS.pop((bucket, name)) if before is None else OBJECTS.update({(bucket, name): before})
        self.answer(200, found)

    def do_GET(self) -> None:  # noqa: N802
        path, asked, _ = self.start()
        with LOCK:
            if TOLD["busy"]:
                TOLD["busy"] -= 1
                return self.answer(503)
            if path == "/told":
                return self.answer(200, TOLD)
            if match := LIST.fullmatch(path):
                return self.answer(200, self.listed(match[1], asked))
            if match := OBJECT.fullmatch(path):
                bucket, name = match[1], urllib.parse.unquote(match[2])
                if (bucket, name) not in OBJECTS:
                    return self.answer(404, {"error": {"code": 404, "message": "no such object"}})
                data, generation = OBJECTS[bucket, name]
                if self.unfit(asked, generation, reading=True):
                    return None
                if asked.get("alt") != "media":
                    return self.answer(200, described(bucket, name))
            elif match := BUCKET.fullmatch(path):
                return self.answer(200, {"kind": "storage#bucket", "name": match[1], "id": match[1], "location": "US"})
            else:
                return self.answer(404)
        told = {"x_goog_generation": str(generation), "x_goog_stored_content_length": str(len(data))}
        if span := re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "")):
            first = int(span[1]) if span[1] else len(data) - int(span[2])
            last = min(int(span[2]) if span[1] and span[2] else len(data) - 1, len(data) - 1)
            if first >= len(data):
                return self.answer(416)
            return self.answer(206, data[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}", **told)
        return self.answer(200, data, **told)

    def listed(self, bucket: str, asked: dict[str, str]) -> dict[str, object]:
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
        names = sorted(name for own, name in OBJECTS if own == bucket and name.startswith(prefix))
        names = [name for name in names if asked.get("startOffset", "") <= name < asked.get("endOffset", "\U0010ffff")]
        items, prefixes = [], []
        for name in names:
            rest = name[len(prefix) :]
            if delimiter and delimiter in rest:
                prefixes.append(prefix + rest.split(delimiter)[0] + delimiter)
            else:
                items.append(described(bucket, name))
        return {"kind": "storage#objects", "items": items, "prefixes": sorted(set(prefixes))}

    def do_POST(self) -> None:  # noqa: N802
        path, asked, body = self.start()
        if path == "/told":
            TOLD.update(json.loads(body))  # nothing told: only asked
            return self.answer(200, TOLD)
        if path.startswith("/batch"):
            return self.batch(body)
        if match := COPY.fullmatch(path):
            bucket, name, target, new = map(urllib.parse.unquote, match.groups())
            with LOCK:
                OBJECTS[target, new] = (OBJECTS[bucket, name][0], next(NUMBERS))
                return self.answer(200, {"done": True, "resource": described(target, new)})
        match = UPLOAD.fullmatch(path)
        if not match:
            return self.answer(404)
        if "upload_id" in asked:
            return self.chunk(asked, body)
        kind, name = asked.get("uploadType"), asked.get("name", "")
        if kind == "media":
            return self.keep(match[1], name, body, asked)
        if kind == "multipart":
            mark = b"--" + re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])[1].encode()
            _, about, content = body.split(mark, 2)
            about, content = (re.split(rb"\r?\n\r?\n", part, maxsplit=1)[1] for part in (about, content))
            content = content[: content.rindex(mark)]
            content = content[: -2 if content.endswith(b"\r\n") else -1]
            return self.keep(match[1], name or json.loads(about)["name"], content, asked)
        name = name or json.loads(body)["name"]
        key = str(next(NUMBERS))
        UPLOADS[key] = (match[1], name, bytearray())
        host = self.headers["Host"]
        return self.answer(
            200, Location=f"http://{host}/upload/storage/v1/b/{match[1]}/o?uploadType=resumable&upload_id={key}"
        )

    def do_PUT(self) -> None:  # noqa: N802
        _, asked, body = self.start()
        return self.chunk(asked, body)

    def chunk(self, asked: dict[str, str], body: bytes) -> None:
        """A part of a resumable upload; the last one says how long the whole is."""
        bucket, name, data = UPLOADS[asked["upload_id"]]
        data.extend(body)
        if (self.headers.get("Content-Range") or "").endswith("/*"):
            return self.answer(308, Range=f"bytes=0-{len(data) - 1}")
        return self.keep(bucket, name, bytes(data), asked)

    def do_DELETE(self) -> None:  # noqa: N802
        path, asked, _ = self.start()
        return self.answer(*self.drop(path, asked))

    def drop(self, path: str, asked: dict[str, str]) -> tuple[int]:
        match = OBJECT.fullmatch(path)
        with LOCK:
            found = OBJECTS.pop((match[1], urllib.parse.unquote(match[2])), None) if match else None
        return (204,) if found else (404,)

    def batch(self, body: bytes) -> None:
        """Many deletions in one request, as gcsfs removes folders."""
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        answers = []
        for part in email.message_from_bytes(head + body).get_payload():
            url = urllib.parse.urlsplit(re.search(r"DELETE (\S+)", part.get_payload())[1])
            (code,) = self.drop(url.path, {})
            own = part["Content-ID"].strip("<>")
            answers.append(
                f"--batch_x\r\nContent-Type: application/http\r\nContent-ID: <response-{own}>\r\n\r\n"
                f"HTTP/1.1 {code} {'No Content' if code == 204 else 'Not Found'}\r\nContent-Length: 0\r\n\r\n\r\n"
            )
        self.answer(200, ("".join(answers) + "--batch_x--").encode(), Content_Type="multipart/mixed; boundary=batch_x")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # clients that were killed
            super().handle_error(request, client_address)


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
