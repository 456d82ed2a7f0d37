"""The leaderboard page in a real headless Chromium: sorting, filtering, switching, the slider, and no error."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from fusionbench import bench
from fusionbench.metrics import PROFILES
from fusionbench.report import page
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

@METHODS.register(MethodFacts(name="evil", title=TITLE, family="<b>", **SEEN))
def evil(a, b):
    return a * 0.7 + b * 0.3
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of six methods under two profiles, with images and one degraded input."""
    root = tmp_path_factory.mktemp("page")
    data = list(make_folders(root / "data"))
    from fusionbench.methods import METHODS

    METHODS.load(str(write_plugin(root / "evil.py", PLUGIN)))
    metrics = list(dict.fromkeys([*PROFILES["dmfnet"].metrics, *PROFILES["cddfuse"].metrics]))
    methods = ["average", "maximum", "pca", "laplacian", "ratio-pyramid", "evil"]
    results = root / "results"
    bench.run(methods, ["folders/pet-mri"], results, data=data, metrics=metrics)
    bench.run(["pca", "laplacian"], ["folders/pet-mri"], results, data=data, corrupt=["noise:sigma=0.1"])
    boards = make_boards(read_results(results), read_metric_facts(results))
    (root / "index.html").write_text(page.write(boards, results, data, (), "auto"), encoding="utf-8")
    return (root / "index.html").as_uri()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1300,900",
    ):
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
    chromium.get("about:blank")
    chromium.get(address)
    yield chromium
    errors = [entry["message"] for entry in chromium.get_log("browser")]
    assert errors == []


def rows(browser: Any, kind: str = "contender") -> list[str]:
    found: list[str] = browser.execute_script(
        "return [...document.querySelectorAll(`#board tr.${arguments[0]}`)].map((row) => row.dataset.row)", kind
    )
    return found


def column(browser: Any, heading: str) -> list[float]:
    """The numbers of a column, top to bottom, contenders only."""
    script = """
      const heads = [...document.querySelectorAll('#board thead th')];
      const index = heads.findIndex((th) => th.textContent.startsWith(arguments[0]));
      return [...document.querySelectorAll('#board tr.contender')].map((row) => parseFloat(row.children[index].textContent));
    """
    values: list[float] = browser.execute_script(script, heading)
    return values


def click(browser: Any, selector: str) -> None:
    browser.execute_script("document.querySelector(arguments[0]).click()", selector)


def choose(browser: Any, selector: str, value: str) -> None:
    script = (
        "const s = document.querySelector(arguments[0]); s.value = arguments[1]; s.dispatchEvent(new Event('change'))"
    )
    browser.execute_script(script, selector, value)


def text(browser: Any, selector: str) -> str:
    found: str = browser.execute_script("return document.querySelector(arguments[0]).textContent", selector)
    return found


def test_who_has_seen_the_patients_and_what_a_method_was_made_for(browser: Any) -> None:
    cells = "return [...document.querySelectorAll(`[data-row=${arguments[0]}] td.text`)].map((td) => td.textContent)"
    assert [text for text in browser.execute_script(cells, "evil") if text in ("all", "SSIM")] == ["all", "SSIM"]
    assert browser.execute_script(cells, "laplacian").count("none") == 1


def test_controls_are_set_apart_and_best_is_marked(browser: Any) -> None:
    assert sorted(rows(browser)) == ["evil", "laplacian", "pca", "ratio-pyramid"]
    assert sorted(rows(browser, "control")) == ["average", "maximum"]
    assert browser.execute_script("return document.querySelectorAll('#board tr.control .best').length") == 0
    assert browser.execute_script("return document.querySelectorAll('#board tr.contender .best').length") > 5
    assert "First by mean rank" in text(browser, "#answer")


def test_sorting_by_click_and_again(browser: Any) -> None:
    click(browser, '[data-column="m:ssim"] button')
    assert column(browser, "SSIM") == sorted(column(browser, "SSIM"), reverse=True)
    click(browser, '[data-column="m:ssim"] button')
    assert column(browser, "SSIM") == sorted(column(browser, "SSIM"))
    assert browser.execute_script("return document.querySelector('[data-column=\"m:ssim\"]').ariaSort") == "ascending"
    click(browser, '[data-column="m:mse"] button')  # lower is better: the first click puts the lowest first
    assert column(browser, "MSE") == sorted(column(browser, "MSE"))


def test_filtering(browser: Any) -> None:
    browser.execute_script(
        "const f = document.getElementById('find'); f.value = 'LAPL'; f.dispatchEvent(new Event('input'))"
    )
    assert rows(browser) == ["laplacian"]
    assert text(browser, "#count").startswith("1 of 4 methods shown")
    browser.execute_script(
        "const f = document.getElementById('find'); f.value = ''; f.dispatchEvent(new Event('input'))"
    )
    choose(browser, "#family", "multiscale")
    assert sorted(rows(browser)) == ["laplacian", "ratio-pyramid"]
    click(browser, "#controls")
    assert rows(browser, "control") == []


def test_switching_the_profile_changes_numbers_and_tells_what_moved(browser: Any) -> None:
    before = column(browser, "SSIM")
    choose(browser, "#profile", "1")
    assert text(browser, "#profile-note").startswith("Profile cddfuse")
    assert "methods change place" in text(browser, "#profile-note")
    assert column(browser, "SSIM") != before
    assert "Moved" in text(browser, "#board thead")
    assert "profile=cddfuse" in browser.current_url


def test_details_show_the_fact_sheet_and_every_pair(browser: Any) -> None:
    click(browser, '[data-method="laplacian"]')
    details = text(browser, "#details")
    assert "Burt and Adelson" in details
    assert all(pair in details for pair in ("p0", "p1", "p2"))
    shown = browser.execute_script("return document.querySelector('#details').open")
    assert shown is True
    click(browser, "#details .head button")
    assert browser.execute_script("return document.querySelector('#details').open") is False


def ready(browser: Any) -> str:
    script = """
      const done = arguments[arguments.length - 1];
      const look = () => { const r = document.getElementById('compare').dataset.ready; r ? done(r) : setTimeout(look, 20); };
      look();
    """
    found: str = browser.execute_async_script(script)
    return found


def pixels(browser: Any, view: str) -> str:
    found: str = browser.execute_script(
        "return document.querySelector(`canvas[data-view=${arguments[0]}]`).toDataURL()", view
    )
    return found


def test_comparing_images_slider_zoom_and_difference(browser: Any) -> None:
    pair, left, right = ready(browser).split("|")
    assert left != right
    middle = pixels(browser, "swipe")
    slide = "const s = document.getElementById('split'); s.value = arguments[0]; s.dispatchEvent(new Event('input'))"
    browser.execute_script(slide, 100)
    assert pixels(browser, "swipe") != middle
    whole = {view: pixels(browser, view) for view in ("a", "b", "left", "right", "difference")}
    assert len(set(whole.values())) == 5
    zoom = "const z = document.getElementById('zoom'); z.value = 4; z.dispatchEvent(new Event('input'))"
    browser.execute_script(zoom)
    assert all(pixels(browser, view) != whole[view] for view in whole)  # all views are linked
    click(browser, "#reset")
    assert {view: pixels(browser, view) for view in whole} == whole
    click(browser, "#swap")
    browser.execute_script("return 0")
    assert ready(browser).split("|") in ([pair, left, right], [pair, right, left])


def test_keyboard_moves_the_images_and_the_tabs_are_tabs(browser: Any) -> None:
    ready(browser)
    before = pixels(browser, "a")
    press = (
        "document.querySelector('canvas[data-view=a]').dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0]}))"
    )
    browser.execute_script(press, "+")
    assert pixels(browser, "a") != before
    browser.execute_script(press, "0")
    assert pixels(browser, "a") == before
    tab = browser.find_element("css selector", "[role=tab]")
    assert tab.get_attribute("aria-selected") == "true"
    names = browser.execute_script(
        "return [...document.querySelectorAll('button, select, input')].filter((e) => !e.closest('#details'))"
        ".every((e) => e.textContent.trim() || e.labels?.length || e.ariaLabel)"
    )
    assert names is True


def test_charts_statistics_and_robustness_are_drawn(browser: Any) -> None:
    for part in ("forest", "time", "boxes", "cd", "robust"):
        assert browser.execute_script("return document.querySelectorAll(`#${arguments[0]} svg *`).length", part) > 10, (
            part
        )
    assert browser.execute_script("return document.querySelectorAll('#heat td').length") > 30
    assert browser.execute_script("return document.querySelectorAll('#pairwise td').length") == 16
    before = text(browser, "#boxes")
    choose(browser, "#box-metric", "en")
    assert text(browser, "#boxes") != before
    assert "Friedman" in text(browser, "#friedman")
    assert "ssim@l2" in text(browser, "#convention-table")


def test_a_name_with_markup_is_only_text(browser: Any) -> None:
    assert browser.execute_script("return window.hacked === undefined")
    assert browser.execute_script("return document.querySelectorAll('main img, main script, dialog img').length") == 0
    assert "<script>window.hacked=1</script>" in text(browser, "#board")
    click(browser, '[data-method="evil"]')
    assert "<img src=x onerror=alert(1)>" in text(browser, "#details")


def test_dark_theme_and_a_phones_width(browser: Any) -> None:
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    click(browser, "#theme")
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") != paper
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.refresh()
    ready(browser)
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    click(browser, "#theme")
    assert wide <= 390
