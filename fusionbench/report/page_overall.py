"""What the page is told of a board over all tasks of a data set."""

from __future__ import annotations

from typing import Any

from fusionbench import stats
from fusionbench.report import overall
from fusionbench.report.inference import undecidable
from fusionbench.report.page_data import rounded


def overall_data(found: overall.Overall) -> dict[str, Any]:
    """``rows``: a list a method of the pool, best first, under ``heads``: as in the CSV, without the columns of absence."""
    said, tests = overall.verdict(found), found.tests
    decided = not undecidable(tests.number)
    heads = ("place", "method", "mean_rank", "low", "high", "first_share", "win_rate")
    return {
        "dataset": found.dataset,
        "profile": found.profile,
        "tasks": list(found.boards),
        "titles": [board.task_title for board in found.boards.values()],
        "verdict": {"answer": said[:2], "more": said[2:]},
        "heads": [*heads, *(f"rank:{task}" for task in found.boards)],
        "rows": [
            [
                rounded(row[name]) if isinstance(row[name], float) else row[name]
                for name in (*heads, *(f"rank:{task}" for task in found.boards))
            ]
            for row in overall.rows(found)
        ],
        "among": [method for method in found.pool if decided and tests.best[method] > stats.ALPHA],
        "left_out": [found.left_out_name(method) for method in found.left_out],
    }
