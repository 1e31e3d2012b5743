"""A page opened in Chromium without a window, with what goes wrong in it."""

import html
import json
import re
import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt install chromium)")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
]
HOSTILE = "<script>alert(1)</script>&\"'"  # what a page must escape
ERRORS = "<script>window.errors = []; addEventListener('error', (e) => errors.push(String(e.message)), true);</script>"


def run_in_browser(page, script, tmp_path, width=None, dark=False):
    """
    Open a copy of the page and run a script after its own, as a person's clicks.

    Args:
        width: of the page in pixels, as on a phone (the window itself cannot be narrow); None: the window's.
        dark: whether the reader's system is dark.

    Returns:
        What the script returned (JSON), the page's errors, and what its console and the browser said of it.
    """
    text = page.read_text(encoding="utf-8")
    assert text.count("<head>") == 1 and text.count("</body>") == 1
    ask = f"<script>{{ const answer = (() => {{ {script} }})();" + (
        "parent.document.getElementById('answer').textContent = JSON.stringify({answer, errors}); }</script>"
    )
    text = text.replace("<head>", f"<head>{ERRORS}").replace("</body>", f"{ask}</body>")
    frame = (
        f"<iframe style='border: 0; width: {width or 1400}px; height: 900px' srcdoc=\"{html.escape(text)}\"></iframe>"
    )
    copy = tmp_path / "opened.html"
    style = "<meta charset='utf-8'><style>:root { color-scheme: light dark; }</style>"
    copy.write_text(f"<!doctype html>{style}<pre id='answer'></pre>{frame}", encoding="utf-8")
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    command = [CHROMIUM, *FLAGS, scheme, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", copy.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=180)
    found = re.search(r"<pre id=\"answer\">(.+?)</pre>", done.stdout, re.S)
    assert found, done.stderr[-2000:]
    result = json.loads(html.unescape(found[1]))
    return result["answer"], result["errors"], [line for line in done.stderr.splitlines() if "CONSOLE" in line]


SORTED = """
const table = document.getElementById(%r);
const header = table.querySelector('th[data-column="%d"]');
const column = () => Array.from(table.tBodies[0].rows, (row) => row.cells[%d].dataset.v ?? row.cells[%d].innerText);
const before = column();
header.click(); const once = column(); const sort = header.getAttribute('aria-sort');
header.click(); const twice = column();
return {before, once, sort, twice};
"""


def sort_script(table, column):
    """Clicks a column's header twice; returns the column's values before, after one click and after two."""
    return SORTED % (table, column, column, column)


def check_sorted(found):
    """Numbers fall after a click and rise after two; what is empty stays last."""
    numbers = [float(x) for x in found["before"] if x != "–"]
    empty = ["–"] * (len(found["before"]) - len(numbers))
    assert numbers != sorted(numbers, reverse=True) and found["sort"] == "descending"
    assert [float(x) for x in found["once"][: len(numbers)]] == sorted(numbers, reverse=True)
    assert [float(x) for x in found["twice"][: len(numbers)]] == sorted(numbers)
    assert found["once"][len(numbers) :] == found["twice"][len(numbers) :] == empty
