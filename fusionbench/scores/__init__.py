"""Scores on disk, and what they are called: tables, their journals, and the names of results and columns."""

from fusionbench.scores.exposure import Exposure, conflicts, exposure, person, training
from fusionbench.scores.exposure import entry as exposure_entry
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
    load_scores,
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
    "Exposure",
    "Journal",
    "Key",
    "Record",
    "Table",
    "conflicts",
    "exposure",
    "exposure_entry",
    "find_tables",
    "fingerprint",
    "forget",
    "load_scores",
    "merge_record",
    "person",
    "read_metric_facts",
    "read_results",
    "read_table",
    "salvage_table",
    "training",
    "write_json",
    "write_metric_facts",
    "write_table",
]
