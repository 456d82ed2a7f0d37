"""The command line: parse, call one door, print. Commands live in the modules beside this one.

A command's module (and with it torch, pandas or matplotlib) is imported when the command is called, not before, so that
``fusionbench --help`` answers at once: the table below holds what that page needs.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import click
from click.shell_completion import CompletionItem

from fusionbench import __version__
from fusionbench.cli.lazy import heavy_modules_late
from fusionbench.errors import InputError

COMMANDS = {
    "list": ("show", "What is registered: methods, metrics, tasks, profiles."),
    "explain": ("show", "What a metric, a profile or a method is: formula, convention, source, settings, traps."),
    "data": ("data", "What data is where; verify it; download it."),
    "run": ("run", "Fuse, save and score methods on tasks."),
    "fuse": ("run", "Fuse one pair of your own images."),
    "register": ("volumes", "Register one volume to another; the error against a known transform."),
    "score": ("run", "Score a folder of images that something else fused."),
    "compare": ("compare", "Where does my method stand on the public board?"),
    "submit": ("submit", "Make a bundle for the public board, or check one."),
    "profile": ("profile", "Parameters, FLOPs, seconds a pair and peak memory of methods."),
    "report": ("report", "Leaderboard, figures and page from a results folder."),
    "observe": ("observe", "Can findings be made in the fused images? Model observers, known truth."),
    "validate": ("validate", "Which metric orders methods as the model observers do?"),
    "claim": ("claim", "Is A better than B? By patient, on scores, a CSV or a line of a paper."),
    "sensitivity": ("sensitivity", "How much the ranking owes to the convention of each metric."),
    "check": ("check", "Recompute locked scores; fail when they drift."),
    "correct": ("check", "Correct what score files say of a method, without scoring again."),
    "reproduce": ("reproduce", "Do a score file again; tell whether the bytes agree."),
    "verify": ("check", "Run the contract tests on your own plugin module."),
    "prior": ("prior", "Choose the best fused image of each training pair, for Diff-IF to learn from."),
    "train": ("train", "Train a method, such as dmfnet, on the Harvard training pairs."),
    "weights": ("train", "Look into weights files; fetch the authors' own, convert their checkpoints."),
    "doctor": ("doctor", "What this installation has and lacks: versions, devices, data, weights, caches."),
}


QUIET = "fusionbench.quiet"  # in the meta of a context
LOOKED_UP = ("list", "explain", "data")  # these compute nothing, and answer at once


class _BadInput(click.ClickException):
    exit_code = 2


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which batch systems send: a clean stop, like Ctrl-C."""


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM raises _Terminated inside."""

    def stop(number: int, frame: object) -> None:
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _keep_quiet(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    ctx.meta[QUIET] = value or ctx.meta.get(QUIET, False)


def _add_quiet(command: click.Command) -> None:
    """Every command takes ``--quiet``, each of a group's too."""
    for one in command.commands.values() if isinstance(command, click.Group) else [command]:
        if not any(parameter.name == "quiet" for parameter in one.params):
            text = "Leave out progress, notes and tables of what was done; failures are told."
            option = click.Option(
                ["-q", "--quiet"], is_flag=True, expose_value=False, is_eager=True, callback=_keep_quiet, help=text
            )
            one.params.append(option)


class LazyGroup(click.Group):
    """Finds commands in COMMANDS; turns InputError into one line on stderr and exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands from the table, so that Tab loads none of their modules; options as click has them."""
        items = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return items + click.Command.shell_complete(self, ctx, incomplete)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS and ctx.resilient_parsing:
            return None
        if cmd_name not in COMMANDS:
            near = difflib.get_close_matches(cmd_name, COMMANDS, n=1, cutoff=0.5)
            ctx.fail(f"no command {cmd_name!r}; {f'did you mean {near[0]!r}?' if near else ', '.join(COMMANDS)}")
        if cmd_name in LOOKED_UP or ctx.resilient_parsing:
            ctx.with_resource(heavy_modules_late())
        module = importlib.import_module(f"fusionbench.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        _add_quiet(command)
        if ctx.resilient_parsing:  # a shell asks what could follow
            completion = importlib.import_module("fusionbench.cli.completion")
            return cast(click.Command, completion.offer_names(command))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _terminable():
                return super().invoke(ctx)
        except KeyboardInterrupt as error:
            said = str(error) or "what is done is kept: run the same command again to go on"
            click.echo(f"stopped; {said}", err=True)
            ctx.exit(143 if isinstance(error, _Terminated) else 130)
        except InputError as error:
            raise _BadInput(" ".join(str(error).split())) from None
        except OSError as error:  # no permission, no room, a name too long: the user's disk, not our code
            if error.errno == errno.EPIPE:
                raise
            raise _BadInput(
                f"{error.filename or 'file'}: {error.strerror or error}; check path, mode and room"
            ) from None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="fusionbench")
def main() -> None:
    """Benchmark multimodal medical image fusion: methods, exact metrics, leaderboards.

    Exit codes: 0 done; 1 a result failed (scores drifted, a method failed on a pair); 2 bad usage or input;
    130 and 143 stopped by Ctrl-C or SIGTERM: what is done is kept.
    """
