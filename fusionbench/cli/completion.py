"""What a shell offers after Tab: names of methods, tasks, metrics and profiles. Loaded while a shell asks, and only then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import click
from click.shell_completion import CompletionItem

from fusionbench.datasets import TASKS
from fusionbench.methods import METHODS
from fusionbench.methods._authors import published
from fusionbench.metrics import METRICS, PROFILES


def _tasks() -> list[str]:
    return ["all", *dict.fromkeys(name.partition("/")[2] for name in TASKS.names())]


def _datasets() -> list[str]:
    return ["auto", *dict.fromkeys(name.partition("/")[0] for name in TASKS.names())]


NAMES: Mapping[str, Callable[[], Iterable[str]]] = {
    "method": lambda: ["all", *METHODS.names()],
    "task": _tasks,
    "dataset": _datasets,
    "metric": METRICS.names,
    "profiles": lambda: PROFILES,
}
"""By the name of an option's or argument's parameter."""
ARGUMENTS: Mapping[tuple[str, str], Callable[[], Iterable[str]]] = {
    ("explain", "name"): lambda: [*METRICS.names(), *PROFILES, *METHODS.names()],
    ("fetch", "name"): published,
    ("claim", "methods"): METHODS.names,
}


class Named(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions alone
    """Text that is one of some names; nothing is refused here."""

    name = "text"

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self._names = names

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names that begin as what was typed."""
        return [CompletionItem(name) for name in self._names() if name.startswith(incomplete.lower())]


def offer_names(command: click.Command) -> click.Command:
    """The command, whose parameters now offer names."""
    for parameter in command.params:
        names = ARGUMENTS.get((command.name or "", parameter.name or "")) or NAMES.get(parameter.name or "")
        if names is not None and isinstance(parameter.type, click.types.StringParamType):
            parameter.type = Named(names)
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        offer_names(inner)
    return command
