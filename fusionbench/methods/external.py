"""Methods of other repositories, in any language, run by a command: ``fusionbench run -m ./theirs.toml -t pet-mri``.

A TOML file describes the method::

    name = "theirs"                                        # required; in the tables
    command = "python test.py --mri {a} --pet {b} --out {out}"   # required
    folder = "../theirs"          # working folder, from this file's folder (default: that folder)
    mode = "single"               # or "batch": {a}, {b} and {out} are then folders with files of the same names
    batch = 32                    # pairs at most in a batch
    timeout = 600                 # seconds a command
    tasks = ["pet-mri"]           # what it can do (default: everything)
    files = ["model.pth"]         # in that folder: what its output depends on besides the program and the words of the
                                  # command that are files; a change of any makes stored results stale
    title = "..."; family = "..."; year = 2024; reference = "..."; doi = "..."; licence = "..."; version = 1

    [settings]                    # what `-m theirs.toml:levels=5` sets: a text or a number, put in for {levels}
    levels = 4

    [environment]
    CUDA_VISIBLE_DEVICES = "0"

The command is split into words as a shell would, then ``{a}``, ``{b}``, ``{out}`` and settings are put in; no shell sees it,
so a name cannot become a command. The sources are 8-bit grey PNG files, ``a`` the structural image; the result must be an
8-bit image of their size at ``{out}`` (colour is reduced to its BT.601 grey). Names of files say nothing of the pair.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import signal
import string
import subprocess
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import Parameter, Signature
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from fusionbench.errors import InputError
from fusionbench.methods import METHODS, MethodFacts
from fusionbench.pairs import is_file_name, read_picture, size_text, to_uint8, write_png

if TYPE_CHECKING:
    import torch

    from fusionbench.methods import Generators

_FACTS = {"name": str, "title": str, "family": str, "year": int, "reference": str, "doi": str, "licence": str}
_REST = {
    "command": str,
    "folder": str,
    "mode": str,
    "batch": int,
    "timeout": (int, float),
    "tasks": list,
    "files": list,
    "version": int,
    "environment": dict,
    "settings": dict,
}


_PLACES = ("a", "b", "out")


class CommandError(RuntimeError):
    """The command failed on what it was given."""


@runtime_checkable
class FromFile(Protocol):
    """A class that was made from a description file, where another process finds it too."""

    source: str


@dataclass(frozen=True)
class Command:
    """How to run it; see the top of this module. ``words``: the command, split."""

    source: Path
    words: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    batch: int = 1
    folders: bool = False
    timeout: float = 600.0
    tasks: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def run(self, a: Path, b: Path, out: Path) -> None:
        """Raises CommandError with the last line that it printed when it fails or takes too long."""
        words = self.filled(a=a, b=b, out=out)
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                words,
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
            try:
                code = process.wait(self.timeout)
            except subprocess.TimeoutExpired:
                raise CommandError(f"{words[0]} ran longer than {self.timeout:g} s and was stopped") from None
            finally:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)  # and whatever it left behind
                process.wait()
            if code != 0:
                raise CommandError(f"{words[0]} ended with {_how(code)}{_last_line(said)}")

    def filled(self, **paths: object) -> list[str]:
        """The words of the command with settings and paths put in."""
        return [word.format(**self.settings, **paths) for word in self.words]


class External:
    """A method that is a command; :func:`load_method` makes a class of each TOML file, its settings in the signature."""

    command: Command

    def __init__(self, **settings: Any) -> None:
        self.command = replace(self.command, settings={**self.command.settings, **settings})

    @property
    def batch(self) -> int:
        """How many pairs of one size the engine may give at once."""
        return self.command.batch

    def prepare(self, device: torch.device) -> None:
        """Raises InputError when the working folder or the program is not there."""
        command = self.command
        if not command.folder.is_dir():
            raise InputError(f"{command.source}: folder {command.folder} does not exist; correct it")
        program = command.filled(a="", b="", out="")[0]
        found = shutil.which(program, path=_search_path(command)) or (command.folder / program).is_file()
        if not found:
            raise InputError(f"{command.source}: program {program!r} is not there; install it or give its path")

    def supports(self, task: str) -> str | None:
        if self.command.tasks and task not in self.command.tasks:
            return f"{self.command.source.name} lists {', '.join(self.command.tasks)} only"
        return None

    def digest(self) -> str:
        """Changes with the command and its environment."""
        command = self.command
        text = repr((command.words, sorted(command.environment.items()), command.folders))
        return hashlib.sha256(text.encode()).hexdigest()

    def files(self) -> list[Path]:
        """The program, ``files``, and every word of the command that is a file. Raises InputError for one of ``files`` that
        cannot be read."""
        command = self.command
        for path in command.files:
            try:
                path.open("rb").close()
            except OSError as error:
                raise InputError(f"{command.source}: {path}: {error.strerror}; correct `files`") from None
        words = command.filled(a="", b="", out="")
        program = shutil.which(words[0], path=_search_path(command))
        named = [path for word in words if (path := command.folder / word).is_file()]
        return [*command.files, *([Path(program)] if program else []), *named]

    def fuse(self, a: torch.Tensor, b: torch.Tensor, generator: Generators) -> torch.Tensor:
        """Raises CommandError when the command fails, InputError when what it leaves is not an image of the size."""
        import torch  # heavy; loaded when the first image is fused

        with tempfile.TemporaryDirectory(prefix="fusionbench-") as temporary:
            root = Path(temporary)
            names = [f"{n:05d}.png" for n in range(len(a))]
            for folder, images in (("a", a), ("b", b)):
                for name, image in zip(names, images[:, 0].double().cpu().numpy(), strict=True):
                    write_png(root / folder / name, to_uint8(image), durable=False)
            (root / "out").mkdir()
            if self.command.folders:
                self.command.run(root / "a", root / "b", root / "out")
            else:
                for name in names:
                    self.command.run(root / "a" / name, root / "b" / name, root / "out" / name)
            fused = [_result(root / "out" / name, a.shape[2:]) for name in names]
        return torch.from_numpy(np.stack(fused)[:, None]).to(a)


def load_method(path: Path) -> str:
    """Read a TOML file and register its method; returns the name. Reading the same file again replaces nothing.

    Raises InputError naming the file and the key at fault.
    """
    path = path.absolute()
    facts, command = read_method(path)
    settings = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=value, annotation=type(value))
        for name, value in command.settings.items()
    ]
    attributes = {"command": command, "source": str(path), "__module__": __name__, "__doc__": facts.title}
    attributes["__signature__"] = Signature(settings)
    made = type("External", (External,), {**attributes, "__qualname__": f"External[{path}]"})
    try:
        METHODS.register(facts)(made)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    return facts.name


def read_method(path: Path) -> tuple[MethodFacts, Command]:
    """The fact sheet and the command of a TOML file; runs nothing. Raises InputError naming the file and the key."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a readable TOML file ({' '.join(str(error).split())}); correct it") from None
    kinds: dict[str, Any] = {**_FACTS, **_REST}
    for key, value in table.items():
        if key not in kinds:
            raise InputError(f"{path}: unknown key {key!r}; the keys are: {', '.join(kinds)}")
        if not isinstance(value, kinds[key]) or isinstance(value, bool):
            raise InputError(f"{path}: {key} has a value of the wrong type; see docs/external.md")
    for key in ("name", "command"):
        if not table.get(key):
            raise InputError(f"{path}: has no {key!r}; see docs/external.md")
    if not is_file_name(table["name"]) or not table["name"].isascii():
        raise InputError(f"{path}: name {table['name']!r} cannot be a file name; use letters, digits and . _ -")
    given = {key: table[key] for key in _FACTS if key in table} | {"version": table.get("version", 1)}
    facts = MethodFacts(
        **{"title": table["name"], "family": "external", "licence": "theirs", **given}, identity=False, trained=False
    )
    return facts, _command(path, table)


def _command(path: Path, table: Mapping[str, Any]) -> Command:
    settings = table.get("settings", {})
    words = _words(path, table["command"], settings)
    mode, batch, timeout = table.get("mode", "single"), table.get("batch", 32), table.get("timeout", 600)
    if mode not in ("single", "batch"):
        raise InputError(f"{path}: mode {mode!r} is neither single nor batch")
    if batch < 1 or not 0 < timeout < float("inf"):
        raise InputError(f"{path}: batch and timeout must be above zero")
    environment = table.get("environment", {})
    listed = [*table.get("tasks", []), *table.get("files", []), *environment.values()]
    if not all(isinstance(item, str) and "\0" not in item for item in [*listed, *environment]):
        raise InputError(f"{path}: tasks, files and environment hold texts; put numbers into quotes")
    if any("=" in name or not name for name in environment):
        raise InputError(f"{path}: environment: a name may not be empty or hold =")
    folder = (path.parent / table.get("folder", ".")).resolve()
    return Command(
        source=path,
        words=words,
        folder=folder,
        environment=environment,
        batch=batch if mode == "batch" else 1,
        folders=mode == "batch",
        timeout=float(timeout),
        tasks=tuple(table.get("tasks", [])),
        files=tuple(folder / name for name in table.get("files", [])),
        settings=settings,
    )


def _search_path(command: Command) -> str:
    return command.environment.get("PATH", os.environ.get("PATH", os.defpath))


def _words(path: Path, command: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    for name, value in settings.items():
        if not name.isidentifier() or name in _PLACES or type(value) not in (str, int, float) or "\0" in str(value):
            raise InputError(f"{path}: settings: {name} = {value!r} is no name of letters with a text or a number")
    try:
        words = tuple(shlex.split(command))
        fields = [(name, spec, how) for word in words for _, name, spec, how in string.Formatter().parse(word)]
    except ValueError as error:
        raise InputError(f"{path}: command cannot be read ({error}); double a brace that is meant as such") from None
    named = [name for name, spec, how in fields if name is not None]
    known = (*_PLACES, *settings)
    odd = [name for name, spec, how in fields if name is not None and (name not in known or spec or how)]
    if odd or "out" not in named or not words or "\0" in command:
        raise InputError(f"{path}: command must hold {{out}}, may hold {{a}}, {{b}} and settings, and no other brace")
    if unused := [name for name in settings if name not in named]:
        raise InputError(f"{path}: settings: the command does not hold {{{unused[0]}}}; put it there or leave it out")
    return words


def _result(path: Path, size: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    if not path.exists():
        raise CommandError("the command ended well and left no image at {out}")
    image = read_picture(path).grey
    if image.shape != tuple(size):
        raise CommandError(f"the command left an image of {size_text(image)}, its sources are {size[1]} x {size[0]}")
    return image / 255.0


def _how(code: int) -> str:
    if code < 0 and -code in set(signal.Signals):
        return signal.Signals(-code).name
    return f"exit code {code}"


def _last_line(said: IO[bytes]) -> str:
    said.seek(0, os.SEEK_END)
    said.seek(max(0, said.tell() - 4096))
    lines = said.read().decode(errors="replace").strip().splitlines()
    return f": {' '.join(lines[-1].split())[:300]}" if lines else ""
