"""Mutation testing: change one thing in the source, and see whether a quick test notices.

``python tools/mutants.py [GROUP ...] [--count N] [--seed N] [--only N ...] [--list]``: of each group's modules take a seeded
sample of all mutants, run the group's tests on each, and print those that no test noticed. A mutant is one of: a comparison
and its neighbour (< and <=, == and !=, is and is not, in and not in), + and -, * and /, ``and`` and ``or``, ``not`` left out
or put before a bare condition, an int + 1, a float * 1.01, True and False, ``all`` and ``any``, ``min`` and ``max``, and
``return None``. What describes is left alone: annotations, decorators, strings, fact sheets.

Everything happens in a temporary copy of what git tracks. A mutant is killed when tests fail, or take ten times as long as
they do on the source as it is. A survivor is a missing test or the same program in other words: a person must say which.
``--only`` tries some of the sample again, by the numbers that were printed.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

REPORT = ("tests/test_report.py", "-k", "not grid and not pure_function")
GROUPS: dict[str, tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]] = {
    "stats": (
        ("stats/*.py",),
        (("tests/test_stats.py", "tests/test_metrics_sensitivity.py", "tests/test_stats_patients.py"),),
    ),
    "scores": (("scores/*.py",), (("tests/test_scores.py", "tests/test_startup.py"), ("tests/test_bench.py",), REPORT)),
    "plan": (("bench/plan.py",), (("tests/test_bench.py", "tests/test_edited.py", "tests/test_own_data.py"),)),
    "report": (("report/boards.py", "report/choice.py"), (REPORT,)),
    "metrics": (
        ("metrics/[!_]*.py",),
        (
            ("tests/test_metrics_golden.py",),
            ("tests/test_regression.py", "-k", "locked"),
            ("tests/test_metrics_laws.py",),
        ),
    ),
}
"""Group -> modules below fusionbench/, and what pytest is given, in turn, to find what is wrong with them."""

NEIGHBOURS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In},
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult},
}
NAMES = {"all": "any", "any": "all", "min": "max", "max": "min"}
DESCRIBING = {"MetricFacts", "variant"}


@dataclasses.dataclass(frozen=True)
class Mutant:
    """``new`` in place of the bytes from ``start`` to ``end`` of a file."""

    path: Path
    line: int
    start: int
    end: int
    new: str

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.new.encode() + source[self.end :]

    def __str__(self) -> str:
        old = " ".join((ROOT / self.path).read_bytes()[self.start : self.end].decode().split())
        return f"{self.path}:{self.line}: {old}  ->  {' '.join(self.new.split())}"


def mutants(path: Path) -> list[Mutant]:
    """All mutants of a file, in the order of the source."""
    source = (ROOT / path).read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node, new in _changes(ast.parse(source)):
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        found.append(Mutant(path, node.lineno, start, end, new))
    return sorted(found, key=lambda mutant: (mutant.start, mutant.end, mutant.new))


def _changes(node: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """(expression, what stands in its place) for all below a node that computes."""
    if isinstance(node, ast.expr):
        for new in _of_expression(node):
            yield node, f"({ast.unparse(new)})"
    if isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        yield node.value, "None"
    if isinstance(node, ast.If | ast.IfExp | ast.While | ast.comprehension):
        for test in node.ifs if isinstance(node, ast.comprehension) else [node.test]:
            if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant):
                yield test, f"(not {ast.unparse(test)})"
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Call) and ast.unparse(node.func) in DESCRIBING):
        return
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list", "bases"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _changes(child)


def _of_expression(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.Compare():
            for n, operator in enumerate(node.ops):
                operators = [*node.ops[:n], NEIGHBOURS[type(operator)](), *node.ops[n + 1 :]]
                yield ast.Compare(node.left, operators, node.comparators)
        case ast.BinOp() if type(node.op) in ARITHMETIC and not _of_words(node):
            yield ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
        case ast.BoolOp():
            yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)
        case ast.Constant(value=float(value)):
            yield ast.Constant(value * 1.01 if value else 0.01)
        case ast.Call(func=ast.Name(id=name)) if name in NAMES:
            yield ast.Call(ast.Name(NAMES[name]), node.args, node.keywords)


def _of_words(node: ast.expr) -> bool:
    """Whether strings, lists or sets are put together, or a path is, where the other operator could only fail."""
    if isinstance(node, ast.BinOp):
        return _of_words(node.left) or _of_words(node.right)
    return isinstance(node, ast.List | ast.Set | ast.JoinedStr) or isinstance(getattr(node, "value", None), str)


def sample(patterns: tuple[str, ...], count: int, seed: int) -> tuple[list[Mutant], int]:
    """The sample of a group, in the order of the source, and how many mutants it is taken from."""
    package = ROOT / "fusionbench"
    paths = sorted({path.relative_to(ROOT) for pattern in patterns for path in package.glob(pattern)})
    every = [mutant for path in paths for mutant in mutants(path)]
    places = random.Random(seed).sample(range(len(every)), min(count, len(every)))
    return [every[n] for n in sorted(places)], len(every)


def passes(copy: Path, tests: tuple[str, ...], timeout: float | None = None) -> bool:
    """Whether the tests pass on the copy, in that time."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    command += ["-m", "not slow and not gpu", *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return False
    if done.returncode == 5 or b"usage:" in done.stderr:
        raise SystemExit(f"no tests: {' '.join(tests)}")
    return done.returncode == 0


def limits(copy: Path, stages: tuple[tuple[str, ...], ...]) -> list[float]:
    """The seconds that each stage of a group's tests may take."""
    found = []
    for tests in stages:
        passes(copy, tests)  # compiles what is compiled
        start = time.monotonic()
        if not passes(copy, tests):
            raise SystemExit(f"{' '.join(tests)}: fails on the source as it is")
        found.append(10 * (time.monotonic() - start))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], default=[])
    parser.add_argument("--count", type=int, default=40, help="mutants a group")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="+", default=[], help="these numbers of the sample alone")
    parser.add_argument("--list", action="store_true", help="print the sample and stop")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "fusionbench"
        files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, files.split("\0")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
        for group in options.groups or GROUPS:
            patterns, stages = GROUPS[group]
            chosen, total = sample(patterns, options.count, options.seed)
            wanted = [(n, m) for n, m in enumerate(chosen, 1) if n in options.only or not options.only]
            if options.list:
                print(*(f"{group} {n}: {mutant}" for n, mutant in wanted), sep="\n")
                continue
            allowed = limits(copy, stages)
            survivors = 0
            for n, mutant in wanted:
                source = (copy / mutant.path).read_bytes()
                (copy / mutant.path).write_bytes(mutant.apply(source))
                if all(passes(copy, *stage) for stage in zip(stages, allowed, strict=True)):
                    survivors += 1
                    print(f"{group} {n} survives: {mutant}", flush=True)
                (copy / mutant.path).write_bytes(source)
            killed = len(wanted) - survivors
            print(f"{group}: {killed} of {len(wanted)} killed, a sample of {total} (seed {options.seed})", flush=True)


if __name__ == "__main__":
    main()
