"""Who may import whom (ARCHITECTURE.md), and the rules of the house, held by reading the source."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import fusionbench

ROOT = Path(fusionbench.__file__).parent

CORE = {"errors", "files", "registry", "pairs", "scores"}
ENGINE = CORE | {"datasets", "methods", "metrics", "bench"}
# Part of the package -> parts that it may import. Whoever adds a part says here what it stands on.
ALLOWED = {
    "errors": set(),
    "files": {"errors"},
    "registry": {"errors"},
    "pairs": {"errors", "files"},
    "scores": {"errors", "files"},
    "stats": {"errors"},
    "observers": {"errors"},
    "datasets": CORE,
    "metrics": CORE,
    "training": CORE,
    "methods": CORE | {"training"},
    "bench": ENGINE | {"training", "observers"},
    "audit": ENGINE,
    "report": {"errors", "files", "pairs", "scores", "stats", "datasets"},
    "cli": None,  # everything
    "__main__": None,
    "__init__": None,  # the public names, loaded on first use
}
# The same for the files of a part, where the order among them matters; their faces (__init__) re-export.
INSIDE = {
    "bench": {
        "provenance": set(),
        "work": set(),
        "volumes": {"work"},
        "registration": {"volumes"},
        "rire": {"registration", "volumes"},
        "subjects": {"rire", "volumes"},
        "dicom": {"volumes"},
        "pools": {"provenance", "work"},
        "isolate": {"pools", "work"},
        "ledger": {"provenance", "work"},
        "plan": {"isolate", "ledger", "pools", "provenance", "work"},
        "forecast": {"ledger", "plan", "work"},
        "arrays": {"plan", "work"},
        "images": {"ledger", "plan", "pools", "provenance", "work"},
        "regions": {"ledger", "plan", "pools", "provenance", "work"},
        "observe": {"images", "ledger", "plan", "pools", "provenance", "regions", "work"},
        "prior": {"ledger", "plan", "work"},
        "training": {"prior"},
        "__init__": {"arrays", "forecast", "images", "ledger", "plan"},
    },
    "observers": {
        "channels": set(),
        "judge": {"channels"},
        "pixels": {"channels", "judge"},
        "study": {"channels", "judge", "pixels"},
        "__init__": {"channels", "judge"},
    },
    "stats": {
        "agreement": set(),
        "ranks": set(),
        "conventions": set(),
        "patients": set(),
        "stability": set(),
        "claims": {"patients"},
        "significance": {"claims"},
        "__init__": {"agreement", "claims", "patients", "ranks", "significance", "stability"},
    },
    "scores": {
        "keys": set(),
        "exposure": {"keys"},
        "tables": {"exposure", "keys"},
        "facts": set(),
        "public": {"keys", "tables"},
        "__init__": {"exposure", "keys", "tables"},
    },
}
NO_TORCH = ("errors", "files", "registry", "pairs", "scores", "stats", "observers", "datasets", "report")


@functools.cache
def syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


FILES = sorted(ROOT.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """(dotted module, line) of every import in a file, also those inside functions and for type checkers only."""
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if module == "fusionbench":
                yield from ((f"fusionbench.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield module, node.lineno


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT.parent)}:{line}"


def test_every_part_says_what_it_stands_on() -> None:
    assert {part_of(path) for path in FILES} <= ALLOWED.keys()


def test_imports_go_one_way() -> None:
    wrong = []
    for path in FILES:
        part = part_of(path)
        allowed = ALLOWED.get(part)
        for module, line in imports(path):
            first, _, rest = module.partition(".")
            target = rest.partition(".")[0]
            if first != "fusionbench" or target in (part, "__version__") or allowed is None:
                continue
            if target not in allowed:
                wrong.append(f"{where(path, line)}: {part} imports {target or 'the whole package'}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("part", INSIDE)
def test_imports_inside_a_part_go_one_way(part: str) -> None:
    files = [path for path in FILES if part_of(path) == part]
    assert {path.stem for path in files} == INSIDE[part].keys()
    wrong = [
        f"{where(path, line)}: imports {module}"
        for path in files
        for module, line in imports(path)
        if module.startswith(f"fusionbench.{part}")
        and module.split(".")[2:3] not in ([n] for n in INSIDE[part][path.stem])
    ]
    assert not wrong, "\n".join(wrong)


def test_no_file_imports_itself_by_way_of_others() -> None:
    """Imports inside functions count; a file that is imported from a package stands for itself, not for the package."""
    names = {dotted(path): path for path in FILES}
    left: dict[str, set[str]] = {}
    for name, path in names.items():
        found = {
            module
            for node in ast.walk(syntax(path))
            if isinstance(node, ast.Import)
            for module in (a.name for a in node.names)
        }
        for node in ast.walk(syntax(path)):
            if isinstance(node, ast.ImportFrom):
                found |= {
                    f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in names else str(node.module)
                    for a in node.names
                }
        left[name] = found & names.keys()
    while left:
        free = [name for name, own in left.items() if not own & left.keys()]
        assert free, f"a cycle among {sorted(left)}"
        for name in free:
            del left[name]


def test_the_top_floor_is_small() -> None:
    files = sorted(path.name for path in ROOT.glob("*.py"))
    folders = [path for path in ROOT.iterdir() if (path / "__init__.py").exists()]
    assert len(files) <= 6, files
    assert len(folders) <= 11


def test_a_network_is_known_in_its_folder_alone() -> None:
    """Training, import of published files and the zoo find it by its class; a network may build on another."""
    networks = {path.parent.name for path in ROOT.glob("methods/*/spec.py")}
    assert len(networks) >= 6
    users = [
        where(path, line)
        for path in FILES
        if path.relative_to(ROOT).parts[0] != "methods"
        for module, line in imports(path)
        if module.split(".")[1:2] == ["methods"] and module.split(".")[2:3] != [] and module.split(".")[2] in networks
    ]
    assert not users


def test_nothing_below_imports_the_command_line() -> None:
    users = [
        where(p, n)
        for p in FILES
        if part_of(p) not in ("cli", "__main__")
        for m, n in imports(p)
        if m.startswith("fusionbench.cli")
    ]
    assert not users


def test_the_allowed_imports_have_no_cycle() -> None:
    done: set[str] = set()
    left = {part: set(allowed) for part, allowed in ALLOWED.items() if allowed is not None}
    while left:
        free = [part for part, allowed in left.items() if allowed <= done | {part}]
        assert free, f"a cycle among {sorted(left)}"
        for part in free:
            done.add(part)
            del left[part]


def test_what_reads_results_needs_no_torch() -> None:
    users = [where(p, n) for p in FILES if part_of(p) in NO_TORCH for m, n in imports(p) if m.split(".")[0] == "torch"]
    assert not users


def test_names_of_results_are_taken_apart_by_their_owner_alone() -> None:
    """``dataset@split+flaw``, ``method@settings`` and ``metric@convention+mask``: Key and Column in scores/keys.py."""
    parsing = re.compile(r"""(partition|split|index|find)\(\s*["'][@+]["']|["'][@+]["']\s+(not\s+)?in\b""")
    tools = sorted((ROOT.parent / "tools").glob("*.py"))
    wrong = [
        f"{path.name}:{number}: {line.strip()}"
        for path in [*FILES, *tools]
        if path != ROOT / "scores" / "keys.py"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if parsing.search(line)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_house_rules(path: Path) -> None:
    relative = [where(path, line) for module, line in imports(path) if module.startswith(".")]
    assert not relative, "absolute imports only"
    asserts = [where(path, node.lineno) for node in ast.walk(syntax(path)) if isinstance(node, ast.Assert)]
    assert not asserts, "raise an error with the remedy instead of assert"
    bare = [
        where(path, n.lineno) for n in ast.walk(syntax(path)) if isinstance(n, ast.ExceptHandler) and n.type is None
    ]
    assert not bare, "name the exception"
    assert ast.get_docstring(syntax(path)), f"{path} does not say what it is for"
