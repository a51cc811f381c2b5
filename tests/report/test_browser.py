"""The pages in a browser: a silent console, links that lead somewhere visible, toggles that open, nothing too wide.

The pages have no script of their own; a copy gets one that clicks around and writes down what it saw. It waits for
nothing, so that the browser needs no budget of virtual time, which now and then never expires.
"""

import json
import re
import shutil
import subprocess

import pytest

from privsynth import evaluate
from privsynth.publish import compare
from privsynth.report import render_html, render_publishable
from tests.publish.conftest import model, synthetic  # noqa: F401

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((path for name in NAMES if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
PROBE = """<script>
addEventListener("load", () => {
  const found = {links: 0, dead: [], toggles: 0, stuck: [], wide: [], unnamed: 0, scheme: "", skipped: []};
  found.scheme = getComputedStyle(document.body).backgroundColor;
  const page = document.documentElement;
  if (page.scrollWidth > innerWidth + 1)
    found.wide = [...document.querySelectorAll("body *")].filter(
      e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll")).map(e => e.tagName).slice(0, 5);
  for (const link of document.querySelectorAll("a[href]")) {
    found.links++;
    const goal = document.getElementById(decodeURIComponent(link.getAttribute("href").slice(1)));
    link.dispatchEvent(new MouseEvent("click", {bubbles: true, cancelable: true}));
    const box = goal && goal.getBoundingClientRect();
    const away = goal && goal.id !== "content" && (box.top > innerHeight || box.bottom < 0);
    if (!goal || location.hash !== link.getAttribute("href") || !box.height || away)
      found.dead.push(link.outerHTML.slice(0, 80));
  }
  for (const summary of document.querySelectorAll("summary")) {
    found.toggles++;
    const details = summary.parentElement, before = details.open;
    summary.click();
    if (details.open === before) found.stuck.push(summary.textContent);
  }
  const levels = [...document.querySelectorAll("h1, h2, h3, h4")].map(h => +h.tagName[1]);
  found.skipped = levels.filter((level, i) => i > 0 && level > levels[i - 1] + 1);
  found.unnamed = [...document.querySelectorAll("svg")].filter(s => !s.getAttribute("aria-label")).length
    + [...document.querySelectorAll("table")].filter(t => !t.caption && !t.closest("[data-plain]")).length;
  document.title = "probed";
  const out = document.createElement("pre");
  out.id = "found"; out.textContent = JSON.stringify(found);
  document.body.append(out);
});
</script></body>"""


def browse(page, tmp_path, *, width=1280, dark=False):
    path = tmp_path / "page.html"
    path.write_text(page.replace("</body>", PROBE), encoding="utf-8")
    command = [
        BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--window-size={width},900",
        "--enable-logging=stderr", "--dump-dom", f"file://{path}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    held = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert held, done.stdout[-500:]
    found = json.loads(held[1].replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"))
    return {**found, "console": console}


@pytest.fixture(scope="module")
def pages(request):
    fitted, sample = request.getfixturevalue("model"), request.getfixturevalue("synthetic")
    real, others = (fitted.sample(800, random_state=seed) for seed in (1, 2))
    evaluation = evaluate(real, sample[:800], holdout=others, target="kind", conditions=["city"], model=fitted)
    return {
        "evaluation": render_html(evaluation.summary, title="Visits", date="2026-01-01"),
        "publishable": render_publishable(compare(fitted, sample), title="Visits", date="2026-01-01"),
    }


@pytest.mark.parametrize("name", ["evaluation", "publishable"])
@pytest.mark.parametrize("width", [1280, 390])
def test_links_toggles_and_width(pages, tmp_path, name, width):
    found = browse(pages[name], tmp_path, width=width)
    assert found["links"] > 10
    assert found["toggles"] > 5
    for problem in ("console", "dead", "stuck", "wide", "skipped"):
        assert found[problem] == [], problem
    assert found["unnamed"] == 0


@pytest.mark.parametrize("name", ["evaluation", "publishable"])
def test_light_and_dark(pages, tmp_path, name):
    schemes = [browse(pages[name], tmp_path, dark=dark)["scheme"] for dark in (False, True)]
    assert schemes == ["rgb(255, 255, 255)", "rgb(20, 24, 31)"]


def test_the_probe_sees_faults(tmp_path):
    page = (
        "<html><body><h1>a</h1><h3>b</h3><a href='#no'>x</a><div style='width:3000px'>y</div><svg></svg></body></html>"
    )
    found = browse(page.replace("<h1>", "<script>console.error('planted')</script><h1>"), tmp_path)
    assert len(found["dead"]) == 1
    assert found["wide"] == ["DIV"]
    assert found["unnamed"] == 1
    assert found["skipped"] == [3]
    assert "planted" in found["console"][0]
