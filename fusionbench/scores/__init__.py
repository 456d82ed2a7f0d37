"""Scores on disk, and what they are called: tables, their journals, and the names of results and columns."""

from fusionbench.scores.keys import Column, Key, fingerprint
from fusionbench.scores.tables import (
    FORMAT,
    FROM_IMAGES,
    DamagedError,
    Journal,
    Record,
    Table,
    find_tables,
    forget,
    merge_record,
    read_metric_facts,
    read_results,
    read_table,
    salvage_table,
    write_json,
    write_metric_facts,
    write_table,
)

__all__ = [
    "FORMAT",
    "FROM_IMAGES",
    "Column",
    "DamagedError",
    "Journal",
    "Key",
    "Record",
    "Table",
    "find_tables",
    "fingerprint",
    "forget",
    "merge_record",
    "read_metric_facts",
    "read_results",
    "read_table",
    "salvage_table",
    "write_json",
    "write_metric_facts",
    "write_table",
]
