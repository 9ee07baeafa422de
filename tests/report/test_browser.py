"""The page in a real browser: it fits a phone and a screen, and loads nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

PROBE = """
<script>
window.addEventListener("load", () => {
  const all = (q) => [...document.querySelectorAll(q)];
  const box = (e) => e.getBoundingClientRect();
  const found = {
    width: innerWidth,
    page: document.documentElement.scrollWidth,
    wide: all("figure, p, h1, h2, h3, dl, .box, svg")
      .filter((e) => box(e).right > innerWidth + 1).length,
    text: Math.min(...all("svg text").map((e) => box(e).height)),
    drawn: all("svg").filter((e) => box(e).width > 100 && box(e).height > 80).length,
    svgs: all("svg").length,
    broken: all("nav a").filter((a) => !document.querySelector(a.getAttribute("href"))).length,
    loaded: performance.getEntriesByType("resource").length,
  };
  document.body.dataset.found = JSON.stringify(found);
});
</script>
"""


def _probe(page, tmp_path, width):
    probed = tmp_path / "probed.html"
    probed.write_text(page.read_text(encoding="utf-8").replace("</body>", PROBE + "</body>"))
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},1200",
        "--dump-dom",
        probed.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found, done.stderr[-500:]
    return json.loads(found.group(1).replace("&quot;", '"'))


@pytest.mark.parametrize("width", [390, 800, 1200])
def test_the_page_fits_and_loads_nothing(page, tmp_path, width):
    found = _probe(page, tmp_path, width)
    assert found["page"] <= found["width"]
    assert found["wide"] == 0
    assert found["drawn"] == found["svgs"] > 10
    assert found["broken"] == 0
    assert found["loaded"] == 0
    assert found["text"] >= 6  # pixels: the smallest label on the narrowest screen
