"""Measure leaderboard pages: size, speed, Lighthouse, axe-core, layout shift; a line a figure, a column a page.

    npm install --prefix NODE axe-core lighthouse
    python benchmarks/page.py --node NODE --page old/index.html --page results/leaderboard/index.html

Needs Debian's chromium and chromium-driver, selenium (extra dev), and for two of the checks the npm packages in NODE. Each
page is served gzipped from this machine, as GitHub Pages serves it. Times are medians and depend on the machine and on what
else it does: compare pages of one run. The limits are the page's promise; exit code 1 where the last page misses one.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import http.server
import io
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

CHROMIUM = shutil.which("chromium") or "chromium"
DRIVER = shutil.which("chromedriver") or "chromedriver"
LIMITS: dict[str, tuple[str, float]] = {
    "bytes": ("<", 1_500_000),
    "bytes, gzipped": ("<", 500_000),
    "layout shift, loading and scrolling": ("<", 0.1),
    "tab switch, ms": ("<", 150),
    "profile switch, ms": ("<", 150),
    "sideways scroll at 390 px": ("<=", 0),
    "console messages": ("<=", 0),
    **{f"axe violations, {where}": ("<=", 0) for where in ("1440 light", "1440 dark", "390 light", "390 dark")},
    "Lighthouse desktop, performance": (">=", 90),
    "Lighthouse mobile, performance": (">=", 70),
    **{
        f"Lighthouse {kind}, {what}": (">=", least)
        for kind in ("desktop", "mobile")
        for what, least in (("accessibility", 100), ("best-practices", 100), ("seo", 90))
    },
}
SWITCH = """
  const done = arguments[arguments.length - 1], [what, value] = arguments, start = performance.now();
  if (what === "tab") document.getElementById(`tab-${value}`).click();
  else { const s = document.getElementById("profile"); s.value = value; s.dispatchEvent(new Event("change")); }
  const channel = new MessageChannel();
  channel.port1.onmessage = () => done(performance.now() - start);
  requestAnimationFrame(() => channel.port2.postMessage(0));
"""
"""Milliseconds from the click to the frame that shows it: script, layout and paint."""
SHIFTS = """
  window.shifted = 0;
  new PerformanceObserver((list) => { for (const e of list.getEntries()) if (!e.hadRecentInput) window.shifted += e.value; })
    .observe({ type: "layout-shift", buffered: true });
"""


class _Gzip(http.server.SimpleHTTPRequestHandler):
    """Files of a folder; pages and scripts are sent compressed."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.suffix not in (".html", ".js"):
            super().do_GET()
            return
        content = gzip.compress(path.read_bytes(), 6)
        self.send_response(200)
        kind = "text/html" if path.suffix == ".html" else "text/javascript"
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextlib.contextmanager
def served(page: Path) -> Iterator[str]:
    """The address of a page."""
    handler = functools.partial(_Gzip, directory=str(page.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{page.name}"
        server.shutdown()


@contextlib.contextmanager
def browser(width: int = 1440, theme: str = "light") -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_script_timeout(300)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 700}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = [{"name": "prefers-color-scheme", "value": theme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    try:
        yield driver
    finally:
        driver.quit()


def scroll_through(driver: Any) -> None:
    """From the top to the end, a screen at a time, so that all is drawn."""
    step = """
      const done = arguments[0];
      const on = () => {
        scrollBy(0, innerHeight * 0.8);
        const more = scrollY + innerHeight < document.documentElement.scrollHeight - 2;
        setTimeout(more ? on : done, more ? 150 : 300);
      };
      on();
    """
    driver.execute_async_script(step)


def sizes(page: Path) -> dict[str, float]:
    """Of the page with all files of patients, which are read when a task is shown, and of the page alone; images apart."""
    parts = [path.read_bytes() for path in [page, *sorted((page.parent / "patients").rglob("*.js"))]]
    packed = [len(gzip.compress(part, 9)) for part in parts]
    return {
        "bytes": sum(map(len, parts)),
        "bytes, gzipped": sum(packed),
        "bytes of the page alone, gzipped": packed[0],
    }


def behaviour(address: str, repeats: int) -> dict[str, float]:
    """Elements, height, switches, layout shift, console, width of a phone."""
    with browser() as driver:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": SHIFTS})
        driver.get(address)
        found: dict[str, float] = {}
        scroll_through(driver)
        found["layout shift, loading and scrolling"] = round(driver.execute_script("return window.shifted"), 4)
        found["elements, all drawn"] = driver.execute_script("return document.querySelectorAll('*').length")
        found["height, px"] = driver.execute_script("return document.documentElement.scrollHeight")
        driver.get("about:blank")
        driver.get(address)
        tabs = driver.execute_script("return document.querySelectorAll('[role=tab]').length")
        profiles = driver.execute_script("return document.querySelectorAll('#profile option').length")
        for what, number in (("profile", profiles), ("tab", tabs)):
            values = [n % number for n in range(1, max(2, number) * repeats + 1)]
            times = [driver.execute_async_script(SWITCH, what, str(value)) for value in values]
            found[f"{what} switch, ms"] = round(statistics.median(times), 1)
            found[f"{what} switch, slowest, ms"] = round(max(times), 1)
        found["console messages"] = len(driver.get_log("browser"))
    with browser(390) as driver:
        driver.get(address)
        scroll_through(driver)
        wide = "return document.documentElement.scrollWidth - innerWidth"
        found["sideways scroll at 390 px"] = max(0, driver.execute_script(wide))
    return found


def axe(address: str, node: Path) -> dict[str, float]:
    """Violations of axe-core's rules, each rule once, on desktop and phone, light and dark, all charts drawn."""
    script = (node / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    run = """
      const done = arguments[0];
      axe.run().then((r) => done(r.violations.map((v) => `${v.id} (${v.nodes.length}): ${v.nodes[0].html.slice(0, 100)}`)));
    """
    found: dict[str, float] = {}
    for width in (1440, 390):
        for theme in ("light", "dark"):
            with browser(width, theme) as driver:
                driver.get(address)
                scroll_through(driver)
                driver.execute_script(script)
                violations = driver.execute_async_script(run)
                found[f"axe violations, {width} {theme}"] = len(violations)
                for line in violations:
                    click.echo(f"  axe, {width} {theme}: {line}", err=True)
    return found


def lighthouse(address: str, node: Path) -> dict[str, float]:
    """Lighthouse's scores, 0 to 100, with its own throttling of network and processor."""
    found: dict[str, float] = {}
    for kind in ("desktop", "mobile"):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "report.json"
            command = [str(node / "node_modules" / ".bin" / "lighthouse"), address, "--quiet", "--output=json"]
            command += [f"--output-path={out}", "--chrome-flags=--headless=new --no-sandbox --disable-gpu"]
            command += ["--preset=desktop"] if kind == "desktop" else []
            done = subprocess.run(command, env={**os.environ, "CHROME_PATH": CHROMIUM}, capture_output=True, text=True)
            if done.returncode:  # a page too heavy for it, or a machine too busy
                click.echo(f"  Lighthouse {kind} gave up: {done.stderr.strip().splitlines()[-1:]}", err=True)
                continue
            report = json.loads(out.read_text(encoding="utf-8"))
        for name in ("performance", "accessibility", "best-practices", "seo"):
            found[f"Lighthouse {kind}, {name}"] = round(100 * float(report["categories"][name]["score"] or 0))
        for name, title in (("largest-contentful-paint", "largest paint, s"), ("total-blocking-time", "blocking, s")):
            found[f"Lighthouse {kind}, {title}"] = round(float(report["audits"][name]["numericValue"]) / 1000, 2)
        failed = [
            a["id"] for a in report["audits"].values() if a.get("score") == 0 and a["scoreDisplayMode"] == "binary"
        ]
        click.echo(f"  Lighthouse {kind}, failed: {', '.join(failed) or 'nothing'}", err=True)
    return found


def held(name: str, value: float) -> str:
    """ "" where a figure has no limit; else whether it holds."""
    if name not in LIMITS:
        return ""
    way, limit = LIMITS[name]
    good = {"<": value < limit, "<=": value <= limit, ">=": value >= limit}[way]
    return f"{'holds' if good else 'MISSED'} ({way} {limit:,g})"


def screenshots(page: Path, folder: Path) -> None:
    """The pictures of docs/report.md: FOLDER/page.png, page-compare.png and page-charts.png, of the task SPECT-MRI."""
    from PIL import Image

    shown = {
        "page": ("#answer", "window.scrollTo(0, 0)"),
        "page-compare": ("#compare canvas", "document.getElementById('images').scrollIntoView()"),
        "page-charts": ("#chart-significance svg", "document.getElementById('figure-significance').scrollIntoView()"),
    }
    with browser(1280) as driver:
        driver.get(f"{page.resolve().as_uri()}#task=harvard/spect-mri")
        for name, (part, go) in shown.items():
            driver.execute_script(go)
            time.sleep(2)
            if not driver.execute_script("return Boolean(document.querySelector(arguments[0]))", part):
                raise SystemExit(f"{page}: no {part} to be pictured; write the page from results with task truth")
            image = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
            image.quantize(128).save(folder / f"{name}.png", optimize=True)


@click.command()
@click.option(
    "--page", "pages", multiple=True, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--node", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Holds node_modules.")
@click.option(
    "--shots", type=click.Path(file_okay=False, path_type=Path), help="Make the pictures of docs/ here; no figures."
)
@click.option("--repeats", default=3, show_default=True, help="So often every tab and profile is switched to.")
def main(pages: tuple[Path, ...], node: Path | None, shots: Path | None, repeats: int) -> None:
    """Measure one page or several."""
    if shots is not None:
        screenshots(pages[-1], shots)
        return
    columns: list[dict[str, float]] = []
    for page in pages:
        click.echo(f"{page}", err=True)
        figures = sizes(page)
        with served(page.resolve()) as address:
            figures |= behaviour(address, repeats)
            if node is not None:
                figures |= axe(address, node.resolve()) | lighthouse(address, node.resolve())
        columns.append(figures)
    missed = False
    click.echo(f"| | {' | '.join(str(page) for page in pages)} | limit |\n|---|{'---:|' * len(pages)}---|")
    wanted = LIMITS if node is not None else {}
    for name in dict.fromkeys([*(name for figures in columns for name in figures), *wanted]):
        told = held(name, columns[-1][name]) if name in columns[-1] else "MISSED, not measured"
        missed |= told.startswith("MISSED")
        cells = [f"{figures[name]:,g}" if name in figures else "" for figures in columns]
        click.echo(f"| {name} | {' | '.join(cells)} | {told} |")
    raise SystemExit(1 if missed else 0)


if __name__ == "__main__":
    main()
