"""A page as a browser sees it: what is shown, what is broken, what the console complains of."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on this machine")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    "--enable-logging=stderr",
)
# Counts after everything is loaded, and writes what it found into the document, which --dump-dom prints.
COUNT = """<script>
addEventListener("load", () => {
  const images = [...document.images];
  const links = [...document.querySelectorAll('a[href^="#"]')];
  const found = {
    pictures: images.length,
    shown: images.filter((image) => image.complete && image.naturalWidth > 0).length,
    broken: links.filter((a) => !document.getElementById(a.hash.slice(1))).length,
    width: document.documentElement.scrollWidth, room: innerWidth, sheets: document.styleSheets.length,
    background: getComputedStyle(document.body).backgroundColor, title: document.title,
  };
  document.title = "counted " + JSON.stringify(found);
});
</script>"""
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


@dataclass(frozen=True)
class Seen:
    """What a browser saw: pictures in the page, those shown, links that lead nowhere, widths in pixels."""

    complaints: list[str]
    pictures: int
    shown: int
    broken: int
    width: int
    room: int
    sheets: int
    background: str
    title: str


def look(page: Path, scratch: Path, *, width: int = 1200) -> Seen:
    """Open a page twice: as it is, for complaints; and a copy that counts what is shown."""
    _, told = _open(page, scratch, width=width)
    copy = scratch / "counting.html"
    html = page.read_text(encoding="utf-8")
    assert POLICY.search(html)
    copy.write_text(POLICY.sub("", html).replace("</body>", f"{COUNT}\n</body>"), encoding="utf-8")
    dom, _ = _open(copy, scratch, width=width)
    counted = re.search(r"<title>counted (\{.*?\})</title>", dom)
    assert counted, dom[:300]
    return Seen(complaints(told), **json.loads(unescape(counted[1])))


def complaints(log: str) -> list[str]:
    """Keep what the page itself gave the console cause to say, or was refused."""
    return [line for line in log.splitlines() if "CONSOLE" in line or "Content Security Policy" in line]


def _open(page: Path, scratch: Path, *, width: int) -> tuple[str, str]:
    profile = scratch / f"profile-{len(list(scratch.glob('profile-*')))}"
    options = [f"--user-data-dir={profile}", f"--window-size={width},900", "--virtual-time-budget=5000", "--dump-dom"]
    command = [BROWSER, *QUIET, *options, page.absolute().as_uri()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    return ended.stdout, ended.stderr
