"""Who may import whom (ARCHITECTURE.md), and three rules of the house, held by reading the source."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import fusionbench

ROOT = Path(fusionbench.__file__).parent

CORE = {"errors", "files", "registry", "pairs"}
ENGINE = CORE | {"scores", "provenance", "datasets", "methods", "metrics", "corrupt", "work"}
# Part of the package -> parts that it may import. Whoever adds a part says here what it stands on.
ALLOWED = {
    "errors": set(),
    "files": set(),
    "published": set(),
    "registry": {"errors"},
    "pairs": {"errors", "files"},
    "scores": {"errors", "files"},
    "provenance": {"scores"},
    "stats": {"errors", "scores"},
    "sensitivity": {"errors", "scores", "stats"},
    "datasets": CORE,
    "metrics": CORE | {"scores"},
    "training": CORE,
    "methods": CORE | {"scores", "training"},
    "corrupt": CORE | {"datasets", "scores"},
    "work": CORE | {"scores", "datasets", "methods", "metrics", "corrupt"},
    "engines": CORE | {"scores", "provenance", "work"},
    "isolate": CORE | {"scores", "work", "engines"},
    "ledger": ENGINE,
    "bench": ENGINE | {"engines", "isolate", "ledger"},
    "regression": ENGINE | {"bench"},
    "contracts": ENGINE,
    "profiling": ENGINE | {"engines", "ledger", "bench"},
    "reproduction": ENGINE | {"bench"},
    "prior": ENGINE | {"bench"},
    "volumes": ENGINE,
    "report": {"errors", "files", "pairs", "scores", "stats", "sensitivity", "datasets", "published"},
    "cli": None,  # everything
    "__main__": None,
    "__init__": None,  # the public names, loaded on first use
}
NO_TORCH = ("errors", "files", "published", "registry", "pairs", "scores", "stats", "sensitivity", "datasets", "report")


@functools.cache
def syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


FILES = sorted(ROOT.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


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
    """``dataset@split+flaw``, ``method@settings`` and ``metric@convention+mask``: Key and Column in scores.py."""
    parsing = re.compile(r"""(partition|split|index|find)\(\s*["'][@+]["']|["'][@+]["']\s+(not\s+)?in\b""")
    tools = sorted((ROOT.parent / "tools").glob("*.py"))
    wrong = [
        f"{path.name}:{number}: {line.strip()}"
        for path in [*FILES, *tools]
        if path != ROOT / "scores.py"
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
