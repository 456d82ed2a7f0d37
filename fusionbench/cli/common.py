"""Options that several commands share, the TOML config file, and progress bars."""

from __future__ import annotations

import re
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich import progress
from rich.console import Console

from fusionbench.cli import QUIET
from fusionbench.datasets import resolve_tasks
from fusionbench.datasets.folders import looks_exchanged
from fusionbench.datasets.levels import CHANNELS
from fusionbench.errors import InputError
from fusionbench.methods import METHODS, unavailable
from fusionbench.methods.external import load_method
from fusionbench.metrics import select
from fusionbench.registry import import_module

if TYPE_CHECKING:
    from fusionbench.bench.ledger import Notify

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_PROFILE = "dmfnet"
FIRST_BAR = 2.0  # seconds: a command that ends sooner shows no bar
FIRST_LINE, NEXT_LINE = 10.0, 60.0  # seconds: of progress in a log file
DIRECTORY = click.Path(path_type=Path, file_okay=False, readable=False)
# Whether a path can be read is told by whoever reads it, in one line.
FILE = click.Path(path_type=Path, dir_okay=False, readable=False)
# One option, whichever way it is spelled; the last is the parameter's name.
METHOD = ("-m", "--method", "--methods", "method")
METRIC = ("--metric", "--metrics", "metric")
PLACE = click.Path(path_type=Path, readable=False)


def options(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Several option decorators as one, in the order in which they are to be listed."""

    def apply(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def _load_plugins(ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> Sequence[str]:
    for value in values:
        if value.endswith(".toml"):
            load_method(Path(value))
        else:
            import_module(value)
    return values


def _read_config(ctx: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Make a TOML table the defaults of the command's options; unknown keys are refused."""
    if path is None:
        return None
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such config file; check the path") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable TOML file ({error}); correct it") from None
    known = {}
    for option in ctx.command.params:
        if isinstance(option, click.Option) and option.name != "config":
            for text in option.opts:
                if text.startswith("--"):
                    known[text[2:]] = option
    defaults: dict[str, Any] = {}
    for key, value in table.items():
        found = known.get(key.replace("_", "-"))
        if found is None or found.name is None:
            raise InputError(f"{path}: unknown key {key!r}; keys are the option names: {', '.join(sorted(known))}")
        kinds, wanted = _toml_types(found)
        values = value if found.multiple and isinstance(value, list) else [value]
        for item in values:
            if type(item) not in kinds:
                raise InputError(f"{path}: {key} = {value!r} has the wrong type; give {wanted}")
        defaults[found.name] = values if found.multiple else value
    ctx.default_map = {**(ctx.default_map or {}), **defaults}
    return path


def _toml_types(option: click.Option) -> tuple[tuple[type, ...], str]:
    """The Python types that a TOML value of an option may have, and how to say so."""
    if option.is_flag:
        return (bool,), "true or false"
    if isinstance(option.type, click.types.IntParamType):
        return (int,), "a whole number"
    if isinstance(option.type, click.types.FloatParamType):
        return (int, float), "a number"
    return (str,), "text in quotes" + (", or a list of such" if option.multiple else "")


config_option = click.option(
    "--config",
    type=FILE,
    is_eager=True,
    expose_value=False,
    callback=_read_config,
    help="TOML file with option values.",
)
plugin_option = click.option(
    "--plugin",
    multiple=True,
    is_eager=True,
    expose_value=False,
    callback=_load_plugins,
    metavar="FILE|MODULE",
    help="Python file or module with plugins of your own.",
)
results_option = click.option(
    "--results", type=DIRECTORY, default=Path("results"), show_default=True, help="Results folder."
)


def _keep_name(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    ctx.meta["fusionbench.as"] = value or ""


dataset_options = options(
    click.option(
        "--dataset",
        default="auto",
        show_default=True,
        help="auto, harvard, phantom, folders[:NAME] or a plugin's. auto: harvard where its images are found, else phantom.",
    ),
    click.option(
        "--as",
        metavar="NAME",
        expose_value=False,
        callback=_keep_name,
        help="Name of your own data set, as in --dataset folders:NAME [default: made from the folders].",
    ),
    click.option(
        "--data",
        type=PLACE,
        multiple=True,
        help="Where the images are (folders: twice).",
    ),
    click.option("--split", default="test", show_default=True, help="test or train, or another that the task has."),
)
metric_options = options(
    click.option(
        "--profile",
        "profiles",
        multiple=True,
        help="Named set of metric conventions; several add up [default: dmfnet, unless --metric is given].",
    ),
    click.option(*METRIC, multiple=True, metavar="ID", help="Single metrics, besides --profile if given; repeatable."),
    click.option(
        "--mask", default="none", show_default=True, help="Where to score: none, foreground, or an image file."
    ),
)
channel_option = click.option(
    "--channel",
    type=click.Choice(CHANNELS),
    default="luma",
    show_default=True,
    help="What is fused of PET and SPECT: luminance of the colours, as papers do, or the level that they stand for.",
)
debug_option = click.option("--debug", is_flag=True, help="Print the traceback of every failure.")
work_options = options(
    click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda."),
    click.option("--limit", type=click.IntRange(min=1), help="Only the first N pairs of each task."),
    click.option("--force", is_flag=True, help="Redo what is already there."),
)


def chosen_metrics(profiles: Sequence[str], metric: Sequence[str]) -> list[str]:
    """The metric ids of a command."""
    return select(profiles if profiles or metric else [DEFAULT_PROFILE], metric)


def chosen_methods(wanted: Sequence[str]) -> list[str]:
    """Specs; "all" is every available method; a .py file stands for the methods that it registers, a .toml file for one, and
    settings may follow: ``mynet.py:width=32``."""
    chosen: list[str] = []
    for spec in wanted:
        file = re.match(r"(.+\.(?:py|toml))(:.*)?$", spec)
        if file and file[1].endswith(".py"):
            names = METHODS.load(file[1])
            if not names:
                raise InputError(
                    f"{file[1]}: registers no method; decorate one with METHODS.register(MethodFacts(...))"
                )
            if file[2] and len(names) > 1:
                raise InputError(
                    f"{spec}: {file[1]} registers {', '.join(names)}; name the one that is set: --plugin {file[1]} "
                    f"-m {names[0]}{file[2]}"
                )
            chosen += [name + (file[2] or "") for name in names]
            METHODS.parse(chosen[-1])
        elif file:
            chosen.append(load_method(Path(file[1])) + (file[2] or ""))
            METHODS.parse(chosen[-1])
        elif spec.lower() == "all":
            for name in METHODS.names():
                reason = unavailable(METHODS[name])
                if reason:
                    tell(f"skipped {name}: {reason}")
                else:
                    chosen.append(name)
        else:
            plugin, given = METHODS.parse(spec)
            reason = unavailable(plugin)
            if reason and not given:
                raise InputError(f"method {spec}: {reason}")
            chosen.append(plugin.facts.name + spec[len(plugin.facts.name) :])
    return list(dict.fromkeys(chosen))


def chosen_tasks(task: Sequence[str], dataset: str, data: Sequence[Path]) -> list[str]:
    """Full task names; bad data paths are told before any work, and what a data set of the user's own is called."""
    for path in data:
        if not path.exists():
            raise InputError(f"{path}: no such folder; check --data")
    tasks = resolve_tasks(task, _with_name(dataset), data)
    unsaid = dataset.lower() == "auto" and not all("/" in name for name in task)
    if unsaid and any(name.startswith("phantom/") for name in tasks):
        tell("no Harvard pairs found: using phantom, generated pairs (--data FOLDER names the Harvard ones)")
    for name in tasks:
        own = name.partition("/")[0]
        if ":" in own and len(data) == 2:
            if warning := looks_exchanged(data):
                tell(f"note: {warning}")
            if own != _with_name(dataset):
                tell(f"note: this data set is called {own}; --as NAME names it otherwise")
    return tasks


def _with_name(dataset: str) -> str:
    """The dataset as named by --as."""
    name = click.get_current_context().meta.get("fusionbench.as", "")
    return f"{dataset.partition(':')[0]}:{name}" if name else dataset


def is_quiet() -> bool:
    """Whether --quiet was given."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(QUIET))


def tell(text: str) -> None:
    """A note on stderr, which --quiet leaves out."""
    if not is_quiet():
        click.echo(text, err=True)


@contextmanager
def progress_bar() -> Iterator[Notify]:
    """A ``notify`` for the engine. On a terminal one bar a stage, after two seconds; in a log file a plain line after ten
    seconds, then one a minute; with --quiet nothing."""
    if is_quiet():
        yield lambda stage, done, total, item="": None
        return
    if not sys.stderr.isatty():
        yield _log_lines()
        return
    console = Console(stderr=True)
    bar = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    start = time.monotonic()
    rows: dict[str, Any] = {}
    running = False

    def notify(stage: str, done: int, total: int, item: str = "") -> None:
        nonlocal running
        if not running and time.monotonic() - start > FIRST_BAR:
            bar.start()
            running = True
        if stage not in rows:
            for row in rows.values():
                bar.update(row, visible=False)
            rows[stage] = bar.add_task(stage, total=total or None)  # 0: unknown
        bar.update(rows[stage], completed=done, description=f"{stage} {item}".rstrip())

    try:
        yield notify
    finally:
        if running:
            bar.stop()


def _log_lines() -> Notify:
    start = time.monotonic()
    due = start + FIRST_LINE
    since: dict[str, tuple[float, int]] = {}

    def notify(stage: str, done: int, total: int, item: str = "") -> None:
        nonlocal due
        now = time.monotonic()
        begun, before = since.setdefault(stage, (now, done))
        if now >= due:
            due = now + NEXT_LINE
            of = f" of {total}" if total else ""
            left = (now - begun) / (done - before) * (total - done) if total >= done > before else 0
            after = f", {_clock(left)} left" if left else ""
            click.echo(f"[{_clock(now - start)}] {stage} {done}{of}{after} {item}".rstrip(), err=True)

    return notify


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:d}:{int(seconds) % 60:02d}"


def make_console() -> Console:
    """As wide as the terminal; wide enough for a whole table where the output goes to a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=200)
