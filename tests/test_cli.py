"""The command line: every command on real files, config files, plugins, start-up, exit codes, and a kill in the middle."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fusionbench.cli import COMMANDS, common, report, show
from fusionbench.datasets import TASKS
from fusionbench.methods import METHODS, unavailable
from fusionbench.metrics import METRICS, PROFILES
from fusionbench.pairs import grey, read_picture
from fusionbench.report import figures
from fusionbench.report.choice import make_boards
from fusionbench.report.tables import Cell, Line, Sheet
from fusionbench.scores import Key, read_metric_facts, read_results, read_table, write_table
from tests.conftest import SHARED, Cli, Write, folder_options, make_folders, process, save, slices, tree, write_plugin


def counts(text: str) -> str:
    return text.strip().splitlines()[-1].partition(";")[0]


def test_help_names_every_command_and_stays_light() -> None:
    program = (
        "import sys, time; start = time.process_time()\n"
        "from fusionbench.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    code = end.code\n"
        "heavy = {'torch', 'numpy', 'scipy', 'pandas', 'matplotlib', 'numba', 'PIL', 'rich'} & sys.modules.keys()\n"
        "print('HEAVY', sorted(heavy), code, time.process_time() - start)\n"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    listing, _, tail = output.partition("HEAVY")
    assert all(f"  {name} " in listing for name in COMMANDS)
    assert tail.startswith(" [] 0 ")
    assert float(tail.split()[-1]) < 0.5


@pytest.mark.parametrize("command", [*COMMANDS, "data list", "data verify", "data download"])
def test_every_command_has_help(cli: Cli, command: str) -> None:
    text = cli(*command.split(), "--help").stdout
    assert len(text.splitlines()) > 3


def test_an_unknown_command_gets_a_hint(cli: Cli) -> None:
    assert "no command 'raport'; did you mean 'report'?" in cli("raport", code=2).stderr
    assert cli("--version").stdout.startswith("fusionbench")


def test_list_and_explain(cli: Cli) -> None:
    whole = json.loads(cli("list", "--json").stdout)
    assert whole.keys() == {"methods", "metrics", "tasks", "profiles", "reconstructions"}
    assert {"average", "laplacian", "guided-filter"} <= {row["name"] for row in whole["methods"]}
    assert {row["name"]: row for row in whole["methods"]}["laplacian"]["settings"] == {"levels": 4}
    assert {row["name"]: row for row in whole["methods"]}["average"]["unavailable"] is None
    assert {"phantom/ct-mri", "harvard/pet-mri"} <= {row["name"] for row in whole["tasks"]}
    assert json.loads(cli("list", "profiles", "--json").stdout) == whole["profiles"]
    assert {row["name"] for row in whole["reconstructions"]} == {"cmdnet", "cs"}
    assert "CMD-Net, single coil" in cli("explain", "cmdnet").stdout
    text = cli("list", "methods").stdout
    assert all(row["name"] in text for row in whole["methods"])
    story = cli("explain", "ssim").stdout
    assert all(
        word in story
        for word in ("Convention", "Direction: higher is better", "https://doi.org/10.1109/TIP.2003.819861")
    )
    assert "did you mean 'ssim" in cli("explain", "ssmi", code=2).stderr


def terminal(width: int = 80) -> tuple[Console, io.StringIO]:
    """A console of that width, and what is printed on it."""
    shown = io.StringIO()
    return Console(file=shown, width=width, highlight=False), shown


def test_listings_stay_whole_at_80_columns() -> None:
    console, shown = terminal()
    for kind in ("methods", "metrics", "tasks"):
        show._print_listing(console, kind, show._LISTINGS[kind]())
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    firsts = {line[1:].partition("│")[0].strip() for line in lines if line.startswith("│")}
    assert {*METHODS.names(), *METRICS.names(), *TASKS.names()} <= firsts
    text = " ".join(" ".join(line.split("│")[2].split()) for line in lines if line.startswith("│"))
    assert str(unavailable(METHODS["ifcnn-max"])) in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_profiles_are_listed_whole_at_any_width(width: int) -> None:
    console, shown = terminal(width)
    show._print_profiles(console, "profiles", show._profiles())
    assert max(map(len, shown.getvalue().splitlines())) <= width
    words = shown.getvalue().split()
    for profile in PROFILES.values():
        at = words.index(f"{profile.name}:")
        assert " ".join(words[at:]).startswith(f"{profile.name}: {profile.title} {' '.join(profile.metrics)}")


def test_explain_takes_profiles_and_methods(cli: Cli) -> None:
    assert "The mean rank is over: en sd sf mi qabf vif ssim@l2" in cli("explain", "cddfuse").stdout
    method = cli("explain", "laplacian:levels=5").stdout
    assert "https://doi.org/10.1109/TCOM.1983.1095851" in method
    assert "Settings: levels=4" in method
    both = cli("explain", "dmfnet").stdout  # a profile and a method go by this name
    assert "# dmfnet: The evaluator of DM-FNet" in both
    assert "# dmfnet: DM-FNet (compact)" in both
    assert "did you mean 'laplacian'" in cli("explain", "laplacain", code=2).stderr


def test_names_are_taken_in_upper_and_lower_case(cli: Cli, tmp_path: Path) -> None:
    assert cli("explain", "SSIM@L2").stdout == cli("explain", "ssim@l2").stdout
    wanted = ["-t", "PET-MRI", "--dataset", "Phantom", "--profile", "CDDFuse", "--limit", 1]
    cli("run", "-m", "Laplacian:levels=2", *wanted, "--metric", "MI@bits", "--results", tmp_path)
    table = read_table(tmp_path, Key("phantom", "pet-mri", "laplacian@levels=2"))
    assert table.about["spec"] == "laplacian:levels=2"
    assert {"ssim@l2", "mi@bits"} <= set(table.frame())
    shown = cli(
        "report", "--results", tmp_path, "--method", "LAPLACIAN@levels=2", "--metric", "MI@Bits", "--images", "none"
    )
    assert "Laplacian" in shown.stdout


@pytest.mark.parametrize("command", ["run", "report", "sensitivity"])
def test_method_and_metric_have_one_spelling_everywhere(cli: Cli, command: str) -> None:
    text = " ".join(cli(command, "--help").stdout.split())
    assert "--metric, --metrics" in text
    for name in ("run", "fuse", "profile", "prior", "check", "report"):
        assert "-m, --method, --methods" in cli(name, "--help").stdout


def test_a_leaderboard_stays_whole_at_80_columns() -> None:
    console, shown = terminal()
    headings = ("Mean rank", *(f"METRIC-{i} ↑" for i in range(12)))
    cells = [tuple(Cell(f"{1000 * i + j}.1234") for j in range(13)) for i in (1, 2)]
    title = "A method whose title is longer than a third of the terminal is wide"
    lines = (Line("one", title, "contender", cells[0]), Line("two", "Maximum", "control", cells[1]))
    apart = Line("three", "Third", "apart", (), "scored on other pairs")
    report.print_sheet(console, Sheet("PET–MRI", headings, (*lines, apart), ()))
    text = shown.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert all(text.count(word) == 1 for word in (*headings, *(cell.text for row in cells for cell in row)))
    assert text.count("Maximum (control)") == text.count("Method") > 1
    assert text.endswith("Third: scored on other pairs\n")


def test_a_wide_leaderboard_is_one_table() -> None:
    assert report._blocks([9, 6, 6], 30) == [slice(0, 3)]
    assert report._blocks([9, 6, 6], 29) == [slice(0, 2), slice(2, 3)]
    assert report._blocks([40, 40], 10) == [slice(0, 1), slice(1, 2)]


def test_a_named_method_that_cannot_run_is_an_error(cli: Cli, tmp_path: Path) -> None:
    for command in (["run", "-t", "pet-mri"], ["fuse", "a.png", "b.png", "-o", tmp_path / "c.png"]):
        assert "ifcnn-max: needs weights: get" in cli(*command, "-m", "ifcnn-max", code=2).stderr
    assert "name one" in cli("fuse", "a.png", "b.png", "-o", tmp_path / "c.png", "-m", "all", code=2).stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_to_fuse_is_told_to_be_a_volume(cli: Cli, tmp_path: Path) -> None:
    told = cli("fuse", tmp_path, tmp_path / "b.png", "-o", tmp_path / "c.png", code=2).stderr
    assert f"{tmp_path} is a volume" in " ".join(told.split())


def test_run_twice_report_and_score(cli: Cli, tmp_path: Path, folders: tuple[Path, Path]) -> None:
    results = tmp_path / "results"
    run = ["run", "-m", "average", "-m", "laplacian", *folder_options(folders), "--results", results]
    first = cli(*run)
    assert counts(first.stdout) == "6 images fused, 6 scored"
    assert "Laplacian" in first.stdout
    assert "(control)" in first.stdout
    before = tree(results)
    assert counts(cli(*run).stdout) == "0 images fused, 0 scored"
    assert tree(results) == before

    theirs = tmp_path / "theirs"
    for i in range(3):
        save(theirs / f"p{i}.jpg", slices(1, seed=30 + i)[0])
    score = ["score", theirs, "--name", "TheirNet", *folder_options(folders), "--results", results, "--year", 2023]
    scored = cli(*score)
    assert counts(scored.stdout) == "0 images fused, 3 scored"
    assert "TheirNet" in scored.stdout
    assert "note: 3 of 3 images are JPEG or WebP" in scored.stderr
    assert counts(cli(*score).stdout) == "0 images fused, 0 scored"
    table = read_table(results, Key("folders-data", "pet-mri", "TheirNet"))
    assert table.about["method"]["year"] == 2023
    assert table.about["method"]["origin"] == "scored from images"
    assert "Fused elsewhere (my own run): TheirNet." in " ".join(cli(*score, "--origin", "my own run").stdout.split())
    assert all(record["lossy"] for record in table.pairs.values())


def test_scored_images_reach_the_image_grid(
    cli: Cli, tmp_path: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def note(figure: object, stem: Path) -> list[Path]:
        drawn.append(stem.name)
        return []

    monkeypatch.setattr(figures, "save", note)
    theirs = shutil.copytree(folders[0], tmp_path / "theirs")
    where = ["--results", tmp_path / "results"]
    score = ["score", theirs, "--name", "TheirNet", *folder_options(folders), *where, "--metric", "en"]
    report = ["report", *where, "--data", folders[0], "--data", folders[1], "--pairs", "p1"]
    cli(*score)
    assert "image grid" not in cli(*report).stderr
    assert "grid" in drawn
    cli(*score, "--copy")
    shutil.rmtree(theirs)
    assert "image grid" not in cli(*report).stderr
    shutil.rmtree(tmp_path / "results/fused")
    table = read_table(tmp_path / "results", Key("folders-data", "pet-mri", "TheirNet"))
    for record in table.pairs.values():
        del record["path"]  # as 0.1.0 wrote it
    write_table(tmp_path / "results", table)
    told = cli(*report).stderr
    assert "no image grid of folders-data/pet-mri: the images that were scored are not at hand (TheirNet: made" in told
    assert "made before sources were recorded; score the images again" in told


def test_a_failing_pair_is_told_and_the_exit_code_is_1(
    cli: Cli, tmp_path: Path, folders: tuple[Path, Path], method_file: Write
) -> None:
    save(folders[0] / "p1.png", np.full((64, 64), 9, np.uint8))
    path = method_file(
        "cli-fails", "if float(a.max()) == float(a.min()): raise RuntimeError('flat')\n    return a.maximum(b)"
    )
    result = cli(
        "run",
        "-m",
        path,
        "-m",
        "maximum",
        *folder_options(folders),
        "--metric",
        "en",
        "--results",
        tmp_path / "r",
        code=1,
    )
    log = tmp_path / "r/failures.log"
    assert result.stderr.splitlines() == [
        "failed cli-fails on folders-data/pet-mri p1: RuntimeError: flat",
        f"tracebacks: {log}",
        f"next: fusionbench report --results {tmp_path / 'r'}",
    ]
    assert re.search(r'cli-fails.py", line \d+, in fuse\n.*raise RuntimeError\(.flat.\)', log.read_text())
    assert counts(result.stdout) == "5 images fused, 5 scored"


def test_a_run_tells_what_it_does(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: tuple[Path, Path]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(common, "FIRST_LINE", 0.0)
    monkeypatch.setattr(common, "NEXT_LINE", 0.0)
    wanted = ["run", "-m", "average", "-m", "pca", "--metric", "en", "--limit", 1]
    told = cli(*wanted, "-t", "pet-mri").stderr.splitlines()
    phantom = "no Harvard pairs found: using phantom, generated pairs (--data FOLDER names the Harvard ones)"
    assert told[0] == phantom
    assert any(re.fullmatch(r"\[0:\d\d\] phantom/pet-mri: fusing 1 of 2, 0:\d\d left average", line) for line in told)
    assert any(re.fullmatch(r"\[0:\d\d\] phantom/pet-mri: scoring 2 of 2 pca", line) for line in told)
    assert told[-1] == "next: fusionbench report"
    assert phantom in cli("score", folders[0], "--name", "x", "-t", "pet-mri", code=2).stderr
    assert phantom not in cli(*wanted, "-t", "phantom/pet-mri").stderr  # as was asked for
    assert phantom not in cli(*wanted, "-t", "pet-mri", "--dataset", "phantom").stderr


def test_the_bar_on_a_terminal_names_the_method(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(common, "FIRST_BAR", 0.0)
    monkeypatch.setattr(
        common, "Console", lambda stderr: Console(file=shown, force_terminal=True, width=120, legacy_windows=False)
    )
    with common.progress_bar() as notify:
        notify("phantom/pet-mri: fusing", 1, 24, "laplacian")
    assert "phantom/pet-mri: fusing laplacian" in shown.getvalue()
    assert "1/24" in shown.getvalue()


def test_fuse_keeps_colour(cli: Cli, tmp_path: Path, folders: tuple[Path, Path]) -> None:
    mri, pet, output = folders[0] / "p0.png", folders[1] / "p0.png", tmp_path / "new" / "fused.png"
    cli("fuse", mri, pet, "-o", output, "-m", "source-b")
    own = read_picture(pet).color
    fused = read_picture(output).color
    assert own is not None
    assert fused is not None
    assert np.abs(fused.astype(int) - own).max() <= 1  # its own luminance put back
    cli("fuse", mri, pet, "-o", output, "-m", "source-a")
    assert read_picture(output).color is not None
    cli("fuse", mri, mri, "-o", output, "-m", "average")
    np.testing.assert_array_equal(read_picture(output).pixels, grey(read_picture(mri).pixels[..., None].repeat(3, -1)))


def test_options_from_a_config_file(cli: Cli, tmp_path: Path, folders: tuple[Path, Path]) -> None:
    config, results = tmp_path / "run.toml", tmp_path / "results"
    data = json.dumps([str(folder) for folder in folders])
    config.write_text(
        f'method = ["average", "maximum"]\ntask = "pet-mri"\ndataset = "folders:data"\ndata = {data}\nmetric = ["en"]\n'
        f'limit = 2\nresults = "{results}"\n',
        encoding="utf-8",
    )
    assert counts(cli("run", "--config", config).stdout) == "4 images fused, 4 scored"
    assert counts(cli("run", "--config", config, "--limit", 1, "-m", "pca").stdout) == "1 images fused, 1 scored"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("metod = 'average'", ["unknown key 'metod'", "keys are the option names", "method"]),
        ("config = 'x'", ["unknown key 'config'"]),
        ("[run]\nmethod = 'average'", ["unknown key 'run'"]),
        ("limit = 'two'", ["limit = 'two'", "a whole number"]),
        ("limit = 2.5", ["limit = 2.5", "a whole number"]),
        ("seed = true", ["seed = True", "a whole number"]),
        ("force = 'yes'", ["force = 'yes'", "true or false"]),
        ("method = 3", ["method = 3", "text in quotes, or a list"]),
        ("data = ['a', 2]", ["data = ['a', 2]", "text in quotes, or a list"]),
        ("dataset = ['phantom']", ["dataset = ['phantom']", "text in quotes"]),
        ("results = 5", ["results = 5", "text in quotes"]),
        ("limit = ", ["not a readable TOML file"]),
    ],
)
def test_a_bad_config_file(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "run.toml"
    config.write_text(text, encoding="utf-8")
    lines = cli("run", "--config", config, code=2).stderr.strip().splitlines()
    assert len(lines) == 1
    assert all(word in lines[0] for word in [str(config), *words]), lines[0]
    assert tree(tmp_path).keys() == {"run.toml"}


def test_a_bad_number_in_a_config_file_is_a_usage_error(cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text("limit = 0", encoding="utf-8")
    assert "--limit" in cli("run", "--config", config, "-m", "average", "-t", "pet-mri", code=2).stderr


def test_verify_tells_good_from_bad(cli: Cli, tmp_path: Path, method_file: Write) -> None:
    result = cli("verify", method_file("cli-good", "return a.maximum(b)"))
    assert "8 of 8 checks hold" in result.stdout
    result = cli("verify", method_file("cli-bad", "return a * 3"), code=1)
    assert "BROKEN  method cli-bad: shape, dtype, range" in result.stdout
    assert "clamp them to [0, 1]" in result.stdout
    empty = write_plugin(tmp_path / "nothing.py", "x = 1\n")
    assert "registers no plugin" in cli("verify", empty, code=2).stderr
    assert "cannot be imported" in cli("verify", write_plugin(tmp_path / "bad.py", "1 / 0"), code=2).stderr


ONE_FILE = """
import numpy as np
import torch
from fusionbench.datasets import TASKS, TaskFacts
from fusionbench.errors import InputError
from fusionbench.methods import METHODS, MethodFacts, per_image
from fusionbench.metrics import METRICS, MetricFacts, variant
from fusionbench.pairs import Pair


@METHODS.register(MethodFacts(name="own-blend", title="Own blend", family="pixel"))
@per_image
def blend(a, b, *, share: float = 0.5):
    return share * a + (1 - share) * b


CONTRAST = MetricFacts(name="own-contrast", title="Contrast", short="OC", family="statistics", direction="higher",
                       customary="higher", range="[0, 1]", formula="Largest minus smallest level, over 255.",
                       degenerate="Never NaN.")


@METRICS.register(CONTRAST)
def contrast(t):
    return (t.f.x.amax((1, 2)) - t.f.x.amin((1, 2))) / 255


@METRICS.register(variant(CONTRAST, name="own-contrast@part", convention="Without the brightest 200 pixels.",
                          formula="Largest of the others minus smallest level, over 255."))
def contrast_without_the_brightest(t):
    levels = t.f.x.flatten(1).sort().values
    return (levels[:, -200] - levels[:, 0]) / 255


@TASKS.register(TaskFacts(name="own-set/gfp", title="Own set", modalities=("brightfield", "GFP"), reference=""))
class Own:
    def __init__(self, *, data=(), split="test"):
        self.names = ["one", "two"]
        self.names.sort()
    def ids(self):
        return list(self.names)
    def load(self, id):
        if id not in self.names:
            raise InputError(f"own-set has no pair {id!r}")
        a = np.random.default_rng(len(id) + ord(id[0])).integers(0, 256, (64, 64), dtype=np.uint8)
        return Pair(id=id, a=a, b=255 - a)
    def case(self, id):
        return ""
    def digest(self, id):
        return id
"""


def test_a_method_a_metric_and_a_task_are_one_new_file(cli: Cli, tmp_path: Path) -> None:
    path = write_plugin(tmp_path / "own.py", ONE_FILE)
    assert "22 of 22 checks hold" in cli("verify", path).stdout
    options = ["--plugin", path, "-t", "own-set/gfp", "--results", tmp_path / "results"]
    result = cli(
        "run",
        "-m",
        "own-blend:share=0.25",
        "-m",
        "average",
        "--metric",
        "own-contrast",
        "--metric",
        "own-contrast@part",
        "--metric",
        "en",
        *options,
    )
    assert counts(result.stdout) == "4 images fused, 4 scored"
    frame = read_table(tmp_path / "results", Key("own-set", "gfp", "own-blend@share=0.25")).frame()
    assert list(frame) == ["en", "own-contrast", "own-contrast@part"]
    assert (frame["own-contrast@part"] < frame["own-contrast"]).all()
    assert ((frame["own-contrast"] > 0.4) & (frame["own-contrast"] < 0.6)).all()
    assert "own-contrast" in cli("list", "metrics", "--plugin", path).stdout
    assert "Largest minus smallest" in cli("explain", "own-contrast", "--plugin", path).stdout
    cli("report", "--plugin", path, "--results", tmp_path / "results", "--images", "none")
    page = (tmp_path / "results" / "leaderboard" / "index.html").read_text("utf-8")
    assert '"sources": ["brightfield", "GFP"]' in page or '"sources":["brightfield","GFP"]' in page


def test_data_list_and_verify(cli: Cli, tmp_path: Path) -> None:
    assert "phantom/pet-mri" in cli("data", "list").stdout
    home = tmp_path / "harvard" / "PET-MRI"
    for split, seed in (("train", 1), ("test", 2)):
        for folder, modality in zip(make_folders(tmp_path / split, 2), ("MRI", "PET"), strict=True):
            (home / split).mkdir(parents=True, exist_ok=True)
            for i, file in enumerate(sorted(folder.iterdir())):
                file.rename(file.with_name(f"{seed}00{i}.png"))
            folder.rename(home / split / modality)
    found = json.loads(cli("data", "verify", "-t", "pet-mri", "--data", tmp_path / "harvard", "--json").stdout)
    assert found[0]["pairs"] == {"train": 2, "test": 2}
    assert found[0]["duplicates"]  # the same images in both splits
    assert found[0]["leaks"] is True
    (home / "test" / "PET" / "2001.png").write_bytes(b"x")
    result = cli("data", "verify", "-t", "pet-mri", "--data", tmp_path / "harvard", code=1)
    assert "UNSOUND" in result.stdout
    assert "2001.png" in result.stdout


SLOW_PLUGINS = """
import time
from fusionbench.methods import METHODS, MethodFacts
from fusionbench.metrics import METRICS, MetricFacts

@METHODS.register(MethodFacts(name="kill-method", title="K", family="test"))
def fuse(a, b):
    time.sleep(0.1)
    return (a + b) / 2

@METRICS.register(MetricFacts(name="kill-metric", title="K", short="K", family="test", direction="higher",
                              customary="higher", range="", formula="mean", degenerate="never"))
def metric(t):
    time.sleep(0.1)
    return t.f.x.mean((1, 2))
"""


def rows_of(journal: Path) -> int:
    return journal.read_text(encoding="utf-8").count('"record"') if journal.exists() else 0


@pytest.mark.slow
@pytest.mark.promise
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_kill_9_in_the_middle_then_the_same_command(cli: Cli, tmp_path: Path) -> None:
    pairs = 6
    folders = make_folders(tmp_path / "data", pairs)
    plugin = write_plugin(tmp_path / "killed.py", SLOW_PLUGINS)
    key = Key("folders-data", "pet-mri", "kill-method")

    def command(results: Path) -> list[object]:
        wanted = ["-m", "kill-method", "--metric", "kill-metric", "--metric", "mi"]
        return ["run", *wanted, *folder_options(folders), "--plugin", plugin, "--results", results]

    undisturbed = tmp_path / "undisturbed"
    cli(*command(undisturbed))
    for moment in (1, 4, pairs + 2):  # rows in the journal: twice while fusing, once while scoring
        results = tmp_path / f"killed-{moment}"
        running = process(*command(results))
        deadline = time.monotonic() + 300
        while rows_of(key.journal(results)) < moment:
            assert running.poll() is None, running.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(running.pid, signal.SIGKILL)
        running.communicate()
        assert running.returncode == -signal.SIGKILL
        kept = rows_of(key.journal(results))
        assert moment <= kept < 2 * pairs
        assert not key.csv(results).exists()
        resumed = cli(*command(results))
        fused, scored = max(0, pairs - kept), pairs - max(0, kept - pairs)
        assert counts(resumed.stdout) == f"{fused} images fused, {scored} scored"
        assert key.csv(results).read_bytes() == key.csv(undisturbed).read_bytes()
        assert tree(key.fused(results)) == tree(key.fused(undisturbed))
        assert counts(cli(*command(results)).stdout) == "0 images fused, 0 scored"
        assert not [path for path in tree(results) if path.endswith((".journal", ".tmp"))]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "task", "expected"),
    [
        ("CDDFuse", "CT-MRI", [4.6869, 80.7739, 36.6092, 2.1451, 0.5256, 0.6141, 1.4777]),
        ("maximum", "PET-MRI", [4.7267, 88.3225, 34.0620, 3.6170, 0.8572, 0.7447, 1.3949]),
        ("Diff-IF", "SPECT-MRI", [5.0093, 61.1419, 22.0412, 2.6862, 0.7868, 0.7347, 1.4428]),
    ],
)
def test_the_means_of_the_real_pairs(
    cli: Cli, tmp_path: Path, shared: Path, method: str, task: str, expected: list[float]
) -> None:
    options = ["-t", task.lower(), "--data", shared / "harvard", "--results", tmp_path]
    if method == "maximum":
        cli("run", "-m", method, *options)
    else:
        cli("score", shared / "published" / method / task, "--name", method, *options)
    frame = read_table(tmp_path, Key("harvard", task.lower(), method)).frame()
    assert len(frame) == 24
    means = frame[["en", "sd", "sf", "mi", "vif", "qabf", "ssim"]].mean()
    np.testing.assert_allclose(means, expected, rtol=0, atol=2e-4)


PUBLISHED = (
    sorted(p.name for p in (SHARED / "published").iterdir() if p.is_dir()) if (SHARED / "published").is_dir() else []
)


@pytest.mark.slow
@pytest.mark.parametrize("method", PUBLISHED)
def test_all_published_folders_are_scored(cli: Cli, tmp_path: Path, shared: Path, method: str) -> None:
    tasks = [p.name for p in sorted((shared / "published" / method).iterdir()) if p.is_dir()]
    assert tasks
    for task in tasks:
        options = ["-t", task.lower(), "--data", shared / "harvard", "--results", tmp_path]
        cli("score", shared / "published" / method / task, "--name", method, *options)
        frame = read_table(tmp_path, Key("harvard", task.lower(), method)).frame()
        assert frame.shape == (24, 12)
        assert frame.notna().all(axis=None)


def test_a_report_shows_the_methods_that_were_chosen(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the terminal as in the files: ranks are those among them."""
    cli(
        "run",
        "-m",
        "laplacian",
        "-m",
        "pca",
        "-m",
        "dwt",
        "-t",
        "ct-mri",
        "--dataset",
        "phantom",
        "--limit",
        1,
        "--results",
        tmp_path,
    )
    monkeypatch.setattr(figures, "save", lambda figure, stem: [stem])
    monkeypatch.setattr(common, "FIRST_LINE", 0.0)
    monkeypatch.setattr(common, "NEXT_LINE", 0.0)
    first = cli("report", "--results", tmp_path, "--pairs", "test-00000", "--images", "none")
    everything = first.stdout
    assert "report: figures 2 of 7" in first.stderr  # a log, not a terminal
    assert "note: no image grid of phantom/ct-mri: asked to show no images" in first.stderr
    chosen = cli("report", "--results", tmp_path, "--methods", "pca", "--methods", "dwt").stdout
    assert "Laplacian" in everything
    assert "Laplacian" not in chosen
    assert "PCA" in chosen


def test_every_metric_that_was_asked_for_is_shown(cli: Cli, tmp_path: Path) -> None:
    wanted = ["-m", "laplacian", "-t", "ct-mri", "--dataset", "phantom", "--limit", 1, "--results", tmp_path]
    assert "MI (bits)" in cli("run", *wanted, "--profile", "cddfuse", "--metric", "mi@bits").stdout
    shown = {b.profile: b.metrics for b in make_boards(read_results(tmp_path), read_metric_facts(tmp_path))}
    assert shown == {"cddfuse": [*PROFILES["cddfuse"].metrics, "mi@bits"]}
    told = " ".join(cli("report", "--results", tmp_path, "--metrics", "mi@vifb", code=2).stderr.split())
    assert "metric 'mi@vifb' is not in these results" in told
    assert "`fusionbench run --metric ID` adds one" in told
    assert "profile strict: not scored" in cli("report", "--results", tmp_path, "--profile", "strict", code=2).stderr
    # Profiles add up; what is scored inside a mask is shown, beside the whole image where it is but a metric.
    both = cli("run", *wanted, "--profile", "dmfnet", "--profile", "cddfuse").stdout
    assert all(f"profile {name}" in both for name in ("dmfnet", "cddfuse"))
    assert "CC (foreground)" in cli("run", *wanted, "--mask", "foreground", "--metric", "cc").stdout


def test_python_m_fusionbench() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fusionbench", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("fusionbench, version ")
