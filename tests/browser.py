"""Pages in a real browser, without a network: what it says of their layout, and what it prints."""

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MEASURE = Path(__file__).with_name("measure_page.js")


def find_browser():
    """Return the path of Chromium, or skip."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("looking at pages needs Chromium: apt-get install chromium")
    return found


def measured(page, widths, *, dark=False, paper=False):
    """Return by width what a browser says of a page in a window so wide, or on paper."""
    if paper:  # what holds on paper holds on the screen, and the other way round
        page = page.replace("@media print", "@media all").replace("@media screen", "@media print")
    script = f"const PAGE = {json.dumps(page)}, WIDTHS = {list(widths)};\n{MEASURE.read_text()}".replace("</", "<\\/")
    style = "<style>:root { color-scheme: light dark } iframe { border: 0; display: block; height: 900px }</style>"
    with tempfile.TemporaryDirectory() as folder:
        harness = Path(folder, "harness.html")
        harness.write_text(f"<!doctype html><meta charset=utf-8>{style}<body></body><script>{script}</script>")
        dom = _run(folder, "--dump-dom", "--virtual-time-budget=20000", *_scheme(dark), harness.as_uri())
    (found,) = re.findall(r"<title>(.*?)</title>", dom, re.DOTALL)
    return {int(width): told for width, told in json.loads(bytes.fromhex(found)).items()}


def printed(page, *, dark=False):
    """Return the page as a PDF file."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "page.html"), Path(folder, "page.pdf")
        source.write_text(page)
        _run(folder, f"--print-to-pdf={target}", "--no-pdf-header-footer", *_scheme(dark), source.as_uri())
        return target.read_bytes()


def _scheme(dark):
    return [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]


def _run(folder, *arguments):
    fixed = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={folder}/p",
    )
    command = [find_browser(), *fixed, "--window-size=1600,1000", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=240).stdout
