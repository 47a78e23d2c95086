"""Drive a real headless Chromium over the WebDriver protocol, with nothing but the standard library.

``chromedriver`` speaks JSON over HTTP (W3C WebDriver); a test needs a dozen of its calls.
"""

import base64
import contextlib
import importlib.util
import json
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")

needs_browser = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER), reason="no chromium and chromedriver on PATH (Debian: chromium, chromium-driver)"
)


class Browser:
    """One session. Elements are WebDriver element ids."""

    def __init__(self, base, session):
        self._base = f"{base}/session/{session}"

    def _call(self, method, path, body=None):
        return _request(method, self._base + path, body)

    def open(self, path):
        """A file of this machine, or an address."""
        self._call("POST", "/url", {"url": path if isinstance(path, str) else path.as_uri()})

    def refresh(self):
        self._call("POST", "/refresh", {})

    def script(self, code, *arguments):
        return self._call("POST", "/execute/sync", {"script": code, "args": list(arguments)})

    def find(self, css):
        return next(iter(self._call("POST", "/element", {"using": "css selector", "value": css}).values()))

    def click(self, css):
        self._call("POST", f"/element/{self.find(css)}/click", {})

    def type(self, css, text):
        self._call("POST", f"/element/{self.find(css)}/value", {"text": text})

    def key(self, value):
        """Press and release one key on whatever has the focus."""
        keys = [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": keys}]})

    def wait(self, code, *, seconds=10):
        """Wait until the JavaScript expression is true."""
        deadline = time.monotonic() + seconds
        while not self.script(f"return Boolean({code})"):
            if time.monotonic() > deadline:
                raise AssertionError(f"not true within {seconds} s: {code}")
            time.sleep(0.05)

    def errors(self):
        """Severe messages of the page's console."""
        log = self._call("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))


@contextlib.contextmanager
def browser(downloads, *, size=(1280, 900), dark=False):
    """A session whose downloads land in ``downloads``; browser and driver end with it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    driver = subprocess.Popen([CHROMEDRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={size[0]},{size[1]}"]
    arguments += ["--disable-dev-shm-usage", *(["--force-dark-mode"] if dark else [])]
    options = {
        "binary": CHROMIUM,
        "args": arguments,
        "prefs": {"download.default_directory": str(downloads), "download.prompt_for_download": False},
    }
    capabilities = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                if _request("GET", base + "/status")["ready"]:
                    break
            time.sleep(0.05)
        session = _request("POST", base + "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]
        try:
            yield Browser(base, session)
        finally:
            _request("DELETE", f"{base}/session/{session}")
    finally:
        driver.terminate()
        driver.wait(10)


RULES = """
const done = arguments[0], tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const told = (rule) => [rule.id, rule.nodes.map((node) => `${node.target}: ${node.failureSummary}`)];
axe.run({runOnly: tags}).then((found) => done(found.violations.map(told)));
"""


@contextlib.contextmanager
def as_wide_as(chrome, width):
    """The window of a screen of ``width`` px."""
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 400}
    chrome._call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": size})
    try:
        yield
    finally:
        chrome._call("POST", "/goog/cdp/execute", {"cmd": "Emulation.clearDeviceMetricsOverride", "params": {}})


def violations(chrome):
    """What axe-core, the rules that Lighthouse's accessibility score is made of, finds wrong in the open page."""
    (folder,) = importlib.util.find_spec("axe_core_python").submodule_search_locations
    chrome.script(pathlib.Path(folder, "axe.min.js").read_text())
    return chrome._call("POST", "/execute/async", {"script": RULES, "args": []})


def _request(method, url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {url}: {error.read().decode()[:600]}") from error
