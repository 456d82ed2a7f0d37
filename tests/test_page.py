"""The leaderboard page in a real headless Chromium: what it shows, re-ranks, links to, draws and never does."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fusionbench import bench
from fusionbench.metrics import PROFILES
from fusionbench.report import page
from fusionbench.report.boards import Board
from fusionbench.report.choice import make_boards
from fusionbench.scores import read_metric_facts, read_results
from tests.conftest import make_folders, write_plugin

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium, in the extra dev")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.promise,
    pytest.mark.skipif(not CHROMIUM or not DRIVER, reason="needs chromium and chromium-driver"),
]
PLUGIN = """
from fusionbench.methods import METHODS, MethodFacts

TITLE = "<script>window.hacked=1</script><img src=x onerror=alert(1)>"

SEEN = {"trained": True, "trained_on": ("folders",), "trained_for": ("ssim",)}

@METHODS.register(MethodFacts(name="evil", title=TITLE, family="<b>", origin="trained here", **SEEN))
def evil(a, b):
    return a * 0.7 + b * 0.3
"""
METHODS = ["average", "maximum", "pca", "laplacian", "ratio-pyramid", "dwt", "evil"]
PATIENTS = 7
CLASSICAL = ["dwt", "laplacian", "pca", "ratio-pyramid"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """Results of seven methods on seven pairs under two profiles, and one degraded input; the folders of the pairs."""
    root = tmp_path_factory.mktemp("page")
    data = list(make_folders(root / "data", PATIENTS))
    from fusionbench.methods import METHODS as registry

    registry.load(str(write_plugin(root / "evil.py", PLUGIN)))
    metrics = list(dict.fromkeys([*PROFILES["dmfnet"].metrics, *PROFILES["cddfuse"].metrics]))
    results = root / "results"
    bench.run(METHODS, ["folders/pet-mri"], results, data=data, metrics=metrics)
    bench.run(["pca", "laplacian"], ["folders/pet-mri"], results, data=data, corrupt=["noise:sigma=0.1"])
    # A second task is another tab: two of the methods on phantom pairs.
    bench.run(["average", "pca", "laplacian"], ["phantom/ct-mri"], results, metrics=metrics, limit=2)
    return results, data


@pytest.fixture(scope="module")
def address(made: tuple[Path, list[Path]]) -> str:
    results, data = made
    boards = make_boards(read_results(results), read_metric_facts(results))
    page.write(boards, results / "page", results, data)
    return (results / "page" / "index.html").as_uri()


def board(results: Path, **chosen: Any) -> Board:
    """The board of the first tab, or of some of its methods."""
    found = make_boards(read_results(results), read_metric_facts(results), **chosen)
    return next(b for b in found if b.dataset == "folders" and b.profile == "dmfnet")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1300,900")
    for argument in flags:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    from selenium.webdriver.chrome.service import Service

    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(120)
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium: Any, address: str) -> Iterator[Any]:
    """The page as it opens; afterwards the console has to be empty."""
    chromium.get("about:blank")
    chromium.get(address)
    yield chromium
    errors = [entry["message"] for entry in chromium.get_log("browser")]
    assert errors == []


@contextlib.contextmanager
def phone(browser: Any, width: int = 390, theme: str = "light") -> Iterator[None]:
    """Another width, or dark."""
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 700}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    browser.refresh()
    yield
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def js(browser: Any, script: str, *values: Any) -> Any:
    return browser.execute_script(f"return ({script})", *values)


def rows(browser: Any, kind: str = "contender") -> list[str]:
    found: list[str] = js(
        browser, "[...document.querySelectorAll(`#board tr.${arguments[0]}`)].map((row) => row.dataset.row)", kind
    )
    return found


def column(browser: Any, name: str) -> list[str]:
    """The cells of a column by its id, top to bottom, contenders only."""
    script = """
      const heads = [...document.querySelectorAll('#board thead th')];
      const index = heads.findIndex((th) => th.dataset.column === arguments[0]);
      return [...document.querySelectorAll('#board tr.contender')].map((row) => row.children[index].textContent);
    """
    found: list[str] = browser.execute_script(script, name)
    return found


def numbers(browser: Any, name: str) -> list[float]:
    return [float(text.rstrip("†‡")) for text in column(browser, name)]


def click(browser: Any, selector: str) -> None:
    browser.execute_script("document.querySelector(arguments[0]).click()", selector)


def put(browser: Any, selector: str, value: str, event: str = "change") -> None:
    script = """
      const field = document.querySelector(arguments[0]);
      field.value = arguments[1];
      field.dispatchEvent(new Event(arguments[2]));
    """
    browser.execute_script(script, selector, value, event)


def text(browser: Any, selector: str) -> str:
    found: str = js(browser, "document.querySelector(arguments[0]).textContent", selector)
    return found


def until(browser: Any, script: str, *values: Any) -> Any:
    """What a script returns, as soon as that is true."""
    end = time.monotonic() + 20
    while not (found := js(browser, script, *values)):
        assert time.monotonic() < end, script
        time.sleep(0.02)
    return found


def settled(browser: Any) -> None:
    until(browser, "document.getElementById('count').dataset.ready === 'true'")


def scroll_to(browser: Any, selector: str) -> None:
    browser.execute_script("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)


def test_the_first_screen_answers(browser: Any, made: tuple[Path, list[Path]]) -> None:
    found = board(made[0])
    answer = text(browser, "#answer")
    assert answer.startswith(f"For PET–MRI on folders, {found.name(found.order[0])} is first by mean rank, ")
    assert f"on {PATIENTS} pairs" in answer
    assert numbers(browser, "rank") == [round(float(found.mean_rank[m]), 2) for m in found.order]
    intervals = found.tests.bootstrap
    assert not isinstance(intervals, str)
    ends = [f"{intervals.rank_low[m]:.2f}–{intervals.rank_high[m]:.2f}" for m in found.order]
    assert column(browser, "interval") == ends
    for metric in found.core:
        means = [round(found.cell(found.means, m, metric), 4) for m in found.order]
        assert numbers(browser, f"m:{metric}") == means
    assert sorted(rows(browser, "control")) == ["average", "maximum"]
    assert js(browser, "document.querySelectorAll('#board tr.control .best').length") == 0
    assert js(browser, "document.querySelectorAll('#board tr.contender .best').length") >= len(found.core)
    assert dict(zip(rows(browser), column(browser, "exposed"), strict=True))["evil"] == "all"
    assert text(browser, "header p").startswith("fusionbench ")


def test_sorting_by_click_and_again_and_a_column_that_goes(browser: Any) -> None:
    click(browser, '[data-column="m:ssim"] button')
    assert numbers(browser, "m:ssim") == sorted(numbers(browser, "m:ssim"), reverse=True)
    click(browser, '[data-column="m:ssim"] button')
    assert numbers(browser, "m:ssim") == sorted(numbers(browser, "m:ssim"))
    assert js(browser, "document.querySelector('[data-column=\"m:ssim\"]').ariaSort") == "ascending"
    put(browser, "#profile", "1")  # cddfuse has another SSIM: the best are on top again
    assert numbers(browser, "rank") == sorted(numbers(browser, "rank"))
    click(browser, "#every")
    click(browser, '[data-column="m:mse"] button')  # lower is better: the first click puts the lowest first
    assert numbers(browser, "m:mse") == sorted(numbers(browser, "m:mse"))


def test_filtering_ranks_nobody_anew(browser: Any) -> None:
    before = dict(zip(rows(browser), numbers(browser, "rank"), strict=True))
    put(browser, "#find", "LAPL", "input")
    assert dict(zip(rows(browser), numbers(browser, "rank"), strict=True)) == {"laplacian": before["laplacian"]}
    assert "1 of them listed" in text(browser, "#count")
    put(browser, "#find", "", "input")
    put(browser, "#family", "multiscale")
    assert sorted(rows(browser)) == ["dwt", "laplacian", "ratio-pyramid"]
    click(browser, "#controls")
    assert rows(browser, "control") == []
    click(browser, "#clear")
    assert len(rows(browser)) == 5


def test_ticked_methods_are_ranked_as_the_command_ranks_them(browser: Any, made: tuple[Path, list[Path]]) -> None:
    click(browser, "[data-preset=classical]")
    settled(browser)
    found = board(made[0], methods=[*CLASSICAL, "average", "maximum"])
    assert rows(browser) == found.order
    assert numbers(browser, "rank") == [round(float(found.mean_rank[m]), 2) for m in found.order]
    assert "4 of 5 methods, ranked anew" in text(browser, "#count")
    assert "intervals and tests made in this page" in text(browser, "#count")
    tests = found.tests
    assert not isinstance(tests.bootstrap, str)
    ends = [[float(v) for v in cell.split("–")] for cell in column(browser, "interval")]
    for method, (low, high) in zip(found.order, ends, strict=True):
        assert low == pytest.approx(tests.bootstrap.rank_low[method], abs=0.3)
        assert high == pytest.approx(tests.bootstrap.rank_high[method], abs=0.3)
    first = dict(zip(rows(browser), numbers(browser, "first"), strict=True))
    assert first == pytest.approx({m: float(tests.bootstrap.first[m]) for m in found.order}, abs=0.06)
    marked = js(
        browser,
        "[...document.querySelectorAll('#board tr.contender')].filter((r) => r.children[1].textContent.includes('†'))"
        ".map((r) => r.dataset.row)",
    )
    assert set(marked) == set(tests.among_best) - set(found.first)
    said = text(browser, "#answer")
    assert said.startswith(f"For PET–MRI on folders, {found.name(found.order[0])} is first by mean rank")
    assert "among 4 ticked methods" in said
    click(browser, "[data-preset='']")
    assert "figures as fusionbench computed them" in text(browser, "#count")


def test_single_methods_and_metrics_are_ticked(browser: Any, made: tuple[Path, list[Path]]) -> None:
    click(browser, "#pick-methods summary")
    until(browser, "document.querySelectorAll('#pick-methods input').length === 5")
    browser.find_element("css selector", "#pick-methods input").click()
    settled(browser)
    assert len(rows(browser)) == 4
    click(browser, "#pick-metrics summary")
    until(browser, "document.querySelectorAll('#pick-metrics input').length > 7")
    for _ in range(6):  # all but one of the core: always the first that is ticked
        click(browser, "#pick-metrics input:checked")
    settled(browser)
    shown = js(browser, "[...document.querySelectorAll('#board [data-column^=\"m:\"]')].map((th) => th.dataset.column)")
    assert len(shown) == 1
    assert "1 ticked metric" in text(browser, "#answer")
    assert numbers(browser, "rank") == sorted(numbers(browser, "rank"))


def test_the_view_lives_in_the_address(browser: Any) -> None:
    click(browser, "[data-preset=classical]")
    click(browser, '[data-column="m:ssim"] button')
    settled(browser)
    link, shown = browser.current_url, rows(browser)
    assert "only=classical" in link
    click(browser, "#clear")
    browser.execute_script("location.hash = arguments[0]", link.partition("#")[2])  # pasted into the open page
    until(browser, "document.querySelectorAll('#board tr.contender').length === 4")
    assert rows(browser) == shown
    browser.execute_script("location.hash = '#task=phantom/ct-mri'")
    until(browser, "document.querySelector('#tab-1').ariaSelected === 'true'")
    browser.get("about:blank")
    browser.get(link.partition("#")[0] + "#task=folders/pet-mri&method=laplacian")  # the permalink of a method
    assert js(browser, "document.getElementById('details').open") is True
    assert "Burt and Adelson" in text(browser, "#details")
    click(browser, "#details .close")
    until(browser, "!location.href.includes('method=')")  # the event of closing comes a moment later
    browser.get("about:blank")
    browser.get(link.partition("#")[0] + "#task=nothing&profile=nobody&m=x&metric=y&sort=z")  # of another page
    assert len(rows(browser)) == 5


def test_details_show_the_fact_sheet_and_means_by_patient(browser: Any) -> None:
    click(browser, '[data-method="laplacian"]')
    assert "Burt and Adelson" in text(browser, "#details")
    assert js(browser, "document.querySelectorAll('#details tbody tr').length") == PATIENTS
    click(browser, "#details .close")
    assert js(browser, "document.querySelector('#details').open") is False


def test_what_is_taken_away_is_what_is_seen(browser: Any) -> None:
    """The three files, caught where the page hands them to the browser."""
    click(browser, "[data-preset=classical]")
    settled(browser)
    catch = """
      window.caught = [];
      URL.createObjectURL = (blob) => { blob.text().then((t) => window.caught.push(t)); return 'blob:x'; };
      HTMLAnchorElement.prototype.click = () => {};
      for (const id of ['save-csv', 'save-tex', 'save-bib']) document.getElementById(id).click();
    """
    browser.execute_script(catch)
    until(browser, "window.caught.length === 3")
    table, latex, references = sorted(js(browser, "window.caught"), key=lambda t: (t[0] != "p", t[0] != "%"))
    lines = list(csv.DictReader(io.StringIO(table)))
    assert [line["method"] for line in lines][:4] == rows(browser)
    assert [round(float(line["mean_rank"]), 2) for line in lines[:4]] == numbers(browser, "rank")
    assert [round(float(line["ssim"]), 4) for line in lines[:4]] == numbers(browser, "m:ssim")
    assert latex.count("\\\\\n") == 1 + len(lines)
    assert latex.count("\\textbf{") >= 7
    assert "@" in references
    assert "fusionbench" in references
    assert "fusionbench" in text(browser, "#cite")


CHARTS = ("forest", "blobs", "bump", "significance", "wins", "time", "robust")


def test_charts_are_drawn_when_they_are_scrolled_to_and_nothing_moves(browser: Any) -> None:
    assert not js(browser, "document.querySelector('#chart-robust').dataset.drawn")
    ready(browser)
    tall = js(browser, "document.documentElement.scrollHeight")
    for name in CHARTS:
        scroll_to(browser, f"#chart-{name}")
        until(browser, "document.getElementById(`chart-${arguments[0]}`).dataset.drawn", name)
        assert js(browser, "document.querySelectorAll(`#chart-${arguments[0]} svg *`).length", name) > 10, name
        label = js(browser, "document.querySelector(`#chart-${arguments[0]} svg`).getAttribute('aria-label')", name)
        assert len(label) > 20
    assert js(browser, "document.documentElement.scrollHeight") == pytest.approx(tall, abs=60)
    put(browser, "#robust-metric", "ssim")
    assert "Structural similarity" in js(
        browser, "document.querySelector('#chart-robust svg').getAttribute('aria-label')"
    )
    assert js(browser, "document.getElementById('figure-truth').hidden") is True  # nobody was judged


def test_the_map_of_verdicts_is_that_of_the_tests(browser: Any, made: tuple[Path, list[Path]]) -> None:
    """Drawn from Python's verdicts, and by the page's own tests where everything is ticked by hand."""
    found = board(made[0])
    words = list(found.tests.pairwise["verdict"])
    scroll_to(browser, "#chart-significance")
    label = until(browser, "document.querySelector('#chart-significance svg')?.getAttribute('aria-label')")
    assert f"{words.count('not separable')} not separable" in label
    click(browser, "[data-preset=classical]")
    settled(browser)
    few = board(made[0], methods=[*CLASSICAL, "average", "maximum"])
    lines = few.tests.pairwise
    apart = int((lines["p_adjusted"] <= 0.05).sum())
    label = until(browser, "document.querySelector('#chart-significance svg')?.getAttribute('aria-label')")
    assert f"{len(lines) - apart} not separable" in label


def ready(browser: Any) -> list[str]:
    scroll_to(browser, "#compare")
    found: str = until(browser, "document.getElementById('compare').dataset.ready")
    return found.split("|")


def pixels(browser: Any, view: str) -> str:
    """A picture of a canvas as it is on the screen: of files of a disk no script may read it."""
    found: str = browser.find_element("css selector", f"canvas[data-view={view}]").screenshot_as_base64
    return found


VIEWS = ("a", "b", "left", "right", "difference")


def test_images_from_the_disk_swipe_zoom_and_difference(browser: Any) -> None:
    pair, left, right = ready(browser)
    assert pair in {f"p{n}" for n in range(PATIENTS)}
    assert left != right
    captions = js(browser, "[...document.querySelectorAll('.view [data-caption]')].map((c) => c.textContent)")
    assert captions[:2] == ["MRI", "PET"]
    middle = pixels(browser, "swipe")
    put(browser, "#split", "100", "input")
    assert pixels(browser, "swipe") != middle
    put(browser, "#split", "50", "input")
    whole = {view: pixels(browser, view) for view in VIEWS}
    assert len(set(whole.values())) == 5
    put(browser, "#zoom", "4", "input")
    assert all(pixels(browser, view) != whole[view] for view in whole)  # all views are linked
    click(browser, "#reset")
    assert {view: pixels(browser, view) for view in whole} == whole
    click(browser, "#colour")
    until(browser, "document.getElementById('compare').dataset.ready")
    assert pixels(browser, "b") != whole["b"]
    click(browser, "#swap")
    assert ready(browser) == [pair, right, left]
    put(browser, "#left", "a")  # a source by itself
    assert ready(browser)[1] == "a"


def test_a_folder_of_the_readers_own_is_shown(browser: Any, made: tuple[Path, list[Path]], tmp_path: Path) -> None:
    ready(browser)
    for part, folder in zip(("MRI", "PET"), made[1], strict=True):
        shutil.copytree(folder, tmp_path / "PET-MRI" / "test" / part)
    shutil.copytree(made[0] / "fused" / "folders", tmp_path / "fused" / "folders")
    browser.find_element("id", "folder").send_keys(str(tmp_path))
    until(browser, "[...document.querySelectorAll('#pair optgroup')].some((g) => g.label === 'Your folder')")
    put(browser, "#pair", "p1 (your folder)")
    assert ready(browser)[0] == "p1 (your folder)"
    assert "leaves this computer" in text(browser, "#told")
    options = js(browser, "[...document.querySelectorAll('#left option')].map((o) => o.value)")
    assert set(METHODS) | {"a", "b"} == set(options)
    readout = (
        "const c = document.querySelector('canvas[data-view=a]'), b = c.getBoundingClientRect();"
        "c.dispatchEvent(new PointerEvent('pointermove', {clientX: b.left + b.width / 2, clientY: b.top + b.height / 2}))"
    )
    browser.execute_script(readout)
    assert text(browser, "#readout").startswith("x ")  # grey levels can be read where the reader gave the files


def test_keyboard(browser: Any) -> None:
    def press(selector: str, key: str) -> None:
        event = "new KeyboardEvent('keydown', {key: arguments[1], bubbles: true})"
        script = f"document.querySelector(arguments[0]).dispatchEvent({event})"
        browser.execute_script(script, selector, key)

    selected = "document.querySelector('[role=tab][aria-selected=true]').id"
    for key, expected in (("End", "tab-1"), ("Home", "tab-0"), ("ArrowLeft", "tab-1"), ("ArrowRight", "tab-0")):
        press(f"#{js(browser, selected)}", key)
        assert js(browser, selected) == expected
        assert js(browser, "document.activeElement.id") == expected
    names = js(
        browser,
        "[...document.querySelectorAll('button, select, input')]"
        ".every((e) => e.textContent.trim() || e.labels?.length || e.ariaLabel)",
    )
    assert names is True
    from selenium.webdriver.common.keys import Keys

    browser.refresh()
    body = browser.find_element("tag name", "body")
    body.send_keys(Keys.TAB)
    assert js(browser, "document.activeElement.getAttribute('href')") == "#panel"  # skip links are the first stops
    ready(browser)
    before = pixels(browser, "a")
    press("canvas[data-view=a]", "+")
    assert pixels(browser, "a") != before
    press("canvas[data-view=a]", "0")
    assert pixels(browser, "a") == before


def test_a_name_with_markup_is_only_text(browser: Any) -> None:
    assert js(browser, "window.hacked === undefined")
    assert js(browser, "document.querySelectorAll('main img, main script, dialog img').length") == 0
    assert "<script>window.hacked=1</script>" in text(browser, "#board")
    click(browser, '[data-method="evil"]')
    assert "<img src=x onerror=alert(1)>" in text(browser, "#details")
    for name in CHARTS:
        scroll_to(browser, f"#chart-{name}")
        until(browser, "document.getElementById(`chart-${arguments[0]}`).dataset.drawn", name)
    assert js(browser, "document.querySelectorAll('main img, main script').length") == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 1440])
def test_widths_and_themes(browser: Any, width: int, theme: str) -> None:
    with phone(browser, width, theme):
        ready(browser)
        wide = js(browser, "document.documentElement.scrollWidth")
        paper = js(browser, "getComputedStyle(document.body).backgroundColor")
        sticky = js(browser, "getComputedStyle(document.querySelector('#board thead th')).position")
    assert wide <= width
    assert (paper == "rgb(16, 21, 26)") is (theme == "dark")
    assert sticky == "sticky"


EXERCISE = """
  const done = arguments[0], used = new Set();
  HTMLAnchorElement.prototype.click = () => {};
  const pause = () => new Promise((go) => requestAnimationFrame(() => setTimeout(go)));
  const use = async (selector, act) => {
    for (let n = 0; n < document.querySelectorAll(selector).length; n++) {
      const node = document.querySelectorAll(selector)[n];
      if (node.disabled || !node.checkVisibility()) continue;
      used.add(node.id || node.dataset.preset || node.ariaLabel || node.textContent);
      await act(node);
      await pause();
    }
  };
  const twice = async (node) => { node.click(); await pause(); if (node.isConnected) node.click(); };
  const each = async (node) => {
    const id = node.id, before = node.value;
    for (const value of [...[...node.options].map((o) => o.value), before]) {
      document.getElementById(id).value = value;
      document.getElementById(id).dispatchEvent(new Event('change'));
      await pause();
    }
  };
  const put = (node, value) => { node.value = value; node.dispatchEvent(new Event('input')); };
  const go = async () => {
    const click = async (node) => node.click();
    for (const id of [...document.querySelectorAll('.pick')].map((pick) => pick.id)) {
      await use(`#${id} summary`, click);
      await use(`#${id} input`, twice);
      await use(`#${id} .list button`, click);
    }
    await use('#controls, #every, #ranking thead button', twice);
    await use('#presets button, #clear, #copy-link', click);
    for (const text of ['lap', '']) await use('#find', async (node) => put(node, text));
    for (const part of document.querySelectorAll('details')) part.open = !part.classList.contains('pick');
    document.getElementById('images').scrollIntoView();
    while (!document.getElementById('compare').dataset.ready) await pause();
    for (const figure of document.querySelectorAll('#chart-list figure')) {
      figure.scrollIntoView();
      for (let n = 0; n < 3; n++) await pause();
    }
    await use('select:not(#left, #right)', each);
    await use('#swap, #reset, #colour, figcaption button', click);
    await use('input[type=range]', async (node) => { put(node, node.max); put(node, node.min); });
    await use('#board tbody .who button', click);
    document.querySelector('#details .close').click();
    await use('[role=tab]', click);
    await use('#theme', twice);
    document.getElementById('tab-0').click();
    document.getElementById('clear').click();
    return [...used];
  };
  go().then(done, (error) => done(String(error.stack)));
"""
"""Every control of the page, one after the other; the names of those used."""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 1440])
def test_every_control_at_every_width_leaves_the_page_whole(browser: Any, width: int, theme: str) -> None:
    """The fixture holds that the console stays empty."""
    with phone(browser, width, theme):
        order = rows(browser)
        used = browser.execute_async_script(EXERCISE)
        assert isinstance(used, list), used
        assert {"profile", "family", "find", "controls", "every", "copy-link", "save-csv", "theme", "tab-1"} <= set(
            used
        )
        assert {"SSIM ↑", "published", "pair", "swap", "split", "zoom", "robust-kind", "Robustness as PNG"} <= set(used)
        assert len(used) > 60
        settled(browser)
        assert rows(browser) == order
        assert js(browser, "document.documentElement.scrollWidth") <= width


def test_without_the_file_of_patients_ranks_are_there_and_tests_are_not(browser: Any, tmp_path: Path) -> None:
    """As when index.html alone is sent by mail."""
    alone = tmp_path / "index.html"
    shutil.copy(browser.current_url.partition("#")[0].removeprefix("file://"), alone)
    browser.get(alone.as_uri())
    click(browser, "[data-preset=classical]")
    settled(browser)
    assert numbers(browser, "rank") == sorted(numbers(browser, "rank"))
    assert "need the file patients/folders/pet-mri.js beside this page" in text(browser, "#answer")
    click(browser, '[data-method="laplacian"]')
    assert "Burt and Adelson" in text(browser, "#details")
    errors = browser.get_log("browser")
    assert len(errors) == 1
    assert "patients/folders/pet-mri.js" in errors[0]["message"]


def test_the_switch_of_the_theme_is_kept(browser: Any) -> None:
    paper = js(browser, "getComputedStyle(document.body).backgroundColor")
    click(browser, "#theme")
    assert js(browser, "getComputedStyle(document.body).backgroundColor") != paper
    click(browser, "#theme")
    assert js(browser, "getComputedStyle(document.body).backgroundColor") == paper


def test_print_shows_the_whole_table(browser: Any) -> None:
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    hidden = js(browser, "getComputedStyle(document.querySelector('.controls')).display")
    room = js(
        browser, "(() => { const t = document.getElementById('table'); return t.scrollHeight - t.clientHeight; })()"
    )
    drawn = js(browser, "document.querySelectorAll('.drawing[data-drawn]').length")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert hidden == "none"
    assert room <= 1  # nothing is cut
    assert drawn == len(CHARTS)


def test_written_twice_the_same_and_images_beside_it(made: tuple[Path, list[Path]], tmp_path: Path) -> None:
    results, data = made
    boards = make_boards(read_results(results), read_metric_facts(results))
    for name in ("one", "two"):
        page.write(boards, tmp_path / name, results, data)
    one, two = (
        {str(p.relative_to(tmp_path / name)): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in ("one", "two")
    )
    assert one == two
    content = json.loads(one["index.html"].decode().partition('id="data">')[2].partition("</script>")[0])
    for task in content["tasks"]:
        for entry in task["images"]["pairs"]:
            for name in ("a", "b", *entry["fused"].values()):
                assert f"{entry['folder']}/{name}.webp" in one
