"""Name -> (plugin, fact sheet). One file adds one plugin; nothing else is edited.

A plugin module calls ``REGISTRY.register(facts)`` on a class or function. The modules of the registry's home packages
are imported on first look-up, never at start-up, so that ``fusionbench --help`` stays quick; packages of strangers join
through an entry point of the registry's group, single files and modules through :meth:`Registry.load`.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import inspect
import itertools
import math
import pkgutil
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from fusionbench.errors import InputError

# Names become file names, so none may climb out of its folder.
_PART = r"[a-z0-9][a-z0-9._+@-]{0,79}"


class Facts(Protocol):
    """What every fact sheet has: a name; the rest is the registry's own affair."""

    @property
    def name(self) -> str: ...


F = TypeVar("F", bound=Facts)
C = TypeVar("C", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True)
class Plugin(Generic[F]):
    """One registered thing: its fact sheet and what makes it (a class, or a function)."""

    facts: F
    factory: Callable[..., Any]

    @property
    def settings(self) -> dict[str, inspect.Parameter]:
        """The keyword-only parameters of the factory, by name: what ``name:key=value`` may set."""
        parameters = inspect.signature(self.factory).parameters.values()
        return {p.name: p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY and p.name != "generator"}


class Registry(Generic[F]):
    """A lazily filled table of plugins of one kind.

    ``homes``: packages whose modules are its own plugins; ``group``: entry points of others. Names have ``parts`` parts
    with a slash between (tasks two, ``dataset/task``).
    """

    def __init__(self, kind: str, homes: tuple[str, ...], group: str, parts: int = 1) -> None:
        self.kind = kind
        self.homes = homes
        self.group = group
        self._name = re.compile("/".join([_PART] * parts))
        self.unavailable: dict[str, str] = {}
        self._plugins: dict[str, Plugin[F]] = {}
        self._discovered = False

    def register(self, facts: F) -> Callable[[C], C]:
        """Decorator: enter a class or function under ``facts.name``.

        Raises ValueError for a malformed name or one that something else already holds.
        """
        if not self._name.fullmatch(facts.name):
            form = "dataset/task" if "/" in self._name.pattern else "one word"
            raise ValueError(
                f"{self.kind} name {facts.name!r} must be {form} of a-z, 0-9 and . _ + @ -, a letter or digit first"
            )

        def enter(factory: C) -> C:
            held = self._plugins.get(facts.name)
            if held is not None and _origin(held.factory) != _origin(factory):
                raise ValueError(
                    f"{self.kind} {facts.name!r} is already registered by {_origin(held.factory)}; "
                    f"{_origin(factory)} must take another name"
                )
            self._plugins[facts.name] = Plugin(facts, factory)
            return factory

        return enter

    def names(self) -> list[str]:
        """All registered names, sorted."""
        self._discover()
        return sorted(self._plugins)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._plugins

    def __getitem__(self, name: str) -> Plugin[F]:
        """The plugin of that name, in upper or lower case; an unknown one raises InputError with the nearest known ones."""
        self._discover()
        try:
            return self._plugins[name.lower()]
        except KeyError:
            raise InputError(self._unknown(name)) from None

    def parse(self, spec: str) -> tuple[Plugin[F], dict[str, Any]]:
        """``"laplacian:levels=5"`` -> (plugin, {"levels": 5}).

        Values are converted to the annotated type of the setting. Raises InputError for an unknown name or setting (the
        valid ones are named) or a value that is not of the setting's type.
        """
        name, _, rest = spec.partition(":")
        plugin = self[name]
        values: dict[str, Any] = {}
        for item in filter(None, rest.split(",")):
            key, equals, text = item.partition("=")
            key = key.strip().replace("-", "_")
            if key not in plugin.settings:
                valid = ", ".join(plugin.settings) or "none"
                raise InputError(f"{self.kind} {name!r} has no setting {key!r}; its settings are: {valid}")
            if not equals:
                raise InputError(f"setting {key!r} of {self.kind} {name!r} needs a value: {name}:{key}=VALUE")
            try:
                values[key] = convert(text.strip(), _annotation(plugin, key))
            except ValueError as error:
                raise InputError(f"{self.kind} {name!r}: setting {key}={text!r}: {error}") from None
        return plugin, values

    def load(self, module: str) -> list[str]:
        """Import a stranger's plugin module (dotted name, or path of a .py file); return the names that it registers.

        Raises InputError when it cannot be found or imported.
        """
        return self.of_module(import_module(module))

    def of_module(self, module: types.ModuleType) -> list[str]:
        """The names registered by a module and, where it is a package, by the modules in it."""
        home = module.__name__
        return [name for name in self.names() if f"{self._plugins[name].factory.__module__}.".startswith(f"{home}.")]

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        for home in self.homes:
            package = importlib.import_module(home)
            for module in pkgutil.iter_modules(package.__path__, home + "."):
                if not module.name.rpartition(".")[2].startswith("_"):
                    self._import(module.name, functools.partial(importlib.import_module, module.name), ImportError)
        for entry in importlib.metadata.entry_points(group=self.group):
            self._import(entry.name, entry.load, Exception)  # a stranger's module may raise anything

    def _import(self, name: str, load: Callable[[], object], expected: type[Exception]) -> None:
        # One broken plugin must not take the others down: it is listed with the reason instead.
        try:
            load()
        except expected as error:
            self.unavailable[name] = f"{type(error).__name__}: {' '.join(str(error).split())}"

    def _unknown(self, name: str) -> str:
        known = self.names()
        near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(known)}"
        for module, reason in self.unavailable.items():
            if name in module.split("."):
                hint = f"it could not be loaded: {reason}"
        return f"unknown {self.kind} {name!r}; {hint}"


class _AlwaysFromSource(importlib.machinery.SourceFileLoader):
    """Without Python's bytecode cache, which takes a file edited within a second to its old size for the old one."""

    def get_code(self, fullname: str) -> types.CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def sources_of(
    factory: Callable[..., Any], held: Sequence[Mapping[str, Any]] = (), named: Sequence[Path] = ()
) -> dict[str, str]:
    """Name -> SHA-256 of every file that the output of a stranger's plugin depends on: its source, modules beside it that it
    imports, the files named by the globals of its module, by its attributes and by the values ``held``, and ``named``
    ones. Of the suite's own plugins, whose ``version`` says it, ``named`` ones alone.
    """
    files = list(named)
    if factory.__module__.partition(".")[0] != "fusionbench":
        module = sys.modules[factory.__module__]
        values = [*held, vars(factory), vars(module)]
        files = [*source_files(module), *(path for some in values for path in _files_among(some)), *files]
    return {shown: _sha256(path) for shown, path in _shown(files).items()}


def _files_among(values: Mapping[str, Any]) -> list[Path]:
    """The existing files among some values: paths, and texts that name one."""
    texts = [value for name, value in values.items() if isinstance(value, Path | str) and not name.startswith("__")]
    return [Path(text) for text in texts if str(text) and "\n" not in str(text) and _is_file(Path(text))]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a text that cannot be a path
        return False


def _shown(paths: Sequence[Path]) -> dict[str, Path]:
    """Files by as much of their paths as tells them apart; the same on another machine where the layout is."""
    files = sorted({path.resolve() for path in paths})
    count = 1
    while len({path.parts[-count:] for path in files}) < len(files):
        count += 1
    return {"/".join(path.parts[-count:]): path for path in files}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_files(module: types.ModuleType) -> list[Path]:
    """The source file of a plugin's module and those of the modules beside it, or in its package, that it imports, by any
    way round. Empty for a module without a source file, such as a notebook.
    """
    path = Path(getattr(module, "__file__", None) or "")
    found: list[Path] = []
    todo = [path.resolve()] if path.suffix == ".py" and path.is_file() else []
    while todo:
        path = todo.pop()
        found.append(path)
        todo += sorted({p for p in _imports_beside(path) if p not in found and p not in todo})
    return found


def _imports_beside(path: Path) -> Iterator[Path]:
    """The source files that a source file imports from its own folder or package."""
    home = root = path.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    package = home.relative_to(root).parts[:1]  # (), or the name of the top package
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names, places = [alias.name for alias in node.names], [home, root]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names = [base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)]
            places = [home, root] if node.level == 0 else [home.joinpath(*[".."] * (node.level - 1)).resolve()]
        else:
            continue
        for name, place in itertools.product(filter(None, names), places):
            parts = name.split(".")
            if place == root and (parts[:1] != list(package) if package else _is_installed(root)):
                continue  # an installed package's neighbours are not its own
            for length in range(1, len(parts) + 1):
                stem = place.joinpath(*parts[:length])
                yield from (file for file in (stem.with_suffix(".py"), stem / "__init__.py") if file.is_file())


def _is_installed(folder: Path) -> bool:
    return bool({"site-packages", "dist-packages"} & set(folder.parts))


def import_module(module: str) -> types.ModuleType:
    """Import a dotted module name or the path of a .py file, once; a file again when it has changed since.

    Raises InputError when it does not exist or fails to import.
    """
    path = Path(module)
    try:
        if path.suffix != ".py":
            return importlib.import_module(module)
        if not path.is_file():
            raise InputError(f"{module}: no such plugin file; give the path of a .py file or a dotted module name")
        name = f"fusionbench_plugin_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
        before = sys.modules.get(name)
        if before is not None:
            files = source_files(before)
            if before.__dict__.get("__content__") == _content(files):
                return before
            for beside in [key for key, m in sys.modules.items() if m is not before and _is_from(m, files)]:
                del sys.modules[beside]
        spec = importlib.util.spec_from_file_location(name, path, loader=_AlwaysFromSource(name, str(path)))
        if spec is None or spec.loader is None:
            raise InputError(f"{module}: not a Python module; give the path of a .py file")
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[name] = loaded
        try:
            spec.loader.exec_module(loaded)
        except BaseException:
            del sys.modules[name]
            raise
        # Workers of a cluster outlive a run, and the file, or what it imports, may be edited.
        loaded.__dict__["__content__"] = _content(source_files(loaded))
        return loaded
    except InputError:
        raise
    except Exception as error:  # whatever a stranger's module raises at import is their input at fault
        raise InputError(
            f"{module}: cannot be imported ({type(error).__name__}: {error}); fix it and try again"
        ) from error


def convert(text: str, kind: Any) -> Any:
    """Text -> a value of an annotated type: bool, int, float, str, Path, Literal, and optional or union forms of these.

    Raises ValueError with what was expected.
    """
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        for choice in typing.get_args(kind):
            if str(choice) == text:
                return choice
        raise ValueError(f"expected one of {', '.join(map(str, typing.get_args(kind)))}")
    if origin in (typing.Union, types.UnionType):
        members = typing.get_args(kind)
        if types.NoneType in members and text.lower() == "none":
            return None
        for member in members:
            if member is types.NoneType:
                continue
            try:
                return convert(text, member)
            except ValueError:
                continue
        raise ValueError(f"expected {kind}")
    if kind is bool:
        if text.lower() in ("true", "yes", "on", "1"):
            return True
        if text.lower() in ("false", "no", "off", "0"):
            return False
        raise ValueError("expected true or false")
    if kind in (int, float, str, Path):
        try:
            value = kind(text)
        except ValueError:
            raise ValueError(f"expected a value of type {kind.__name__}") from None
        if kind is float and math.isnan(value):
            raise ValueError("expected a number")
        return value
    raise ValueError(f"settings of type {kind} cannot be given as text")


def _annotation(plugin: Plugin[Any], setting: str) -> Any:
    """The type of one setting. Only its own annotation is looked up: others may name types imported for checkers alone.

    Raises ValueError when it names a type that its module does not have.
    """
    annotation = plugin.settings[setting].annotation
    if annotation is inspect.Parameter.empty:
        return str
    function: Any = plugin.factory.__init__ if inspect.isclass(plugin.factory) else inspect.unwrap(plugin.factory)
    try:
        return typing.get_type_hints(
            types.SimpleNamespace(__annotations__={setting: annotation}), globalns=function.__globals__
        )[setting]
    except (NameError, TypeError, SyntaxError) as error:
        raise ValueError(f"its annotation {annotation!r} cannot be looked up ({error})") from None


def _origin(factory: Callable[..., Any]) -> str:
    return f"{factory.__module__}.{factory.__qualname__}"


def _content(files: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()


def _is_from(module: types.ModuleType, files: Sequence[Path]) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() in files
