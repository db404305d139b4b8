"""Other tools read a version's table and what was exported of it: pandas, polars and DuckDB see the rows that we see.

Usage: tables_check.py TABLE_FOLDER EXPORT.parquet HUB_FOLDER EXPECTED.json

EXPECTED.json is what `loopwright data query "SELECT row_id, text, label, split …"` printed. Prints one line.
"""

import json
import sys

import duckdb
import pandas
import polars
from deltalake import DeltaTable


def main(table, exported, hub, expected):
    rows = json.load(open(expected, encoding="utf-8"))
    want = sorted((row["row_id"], row["text"], row["label"], row["split"]) for row in rows)
    columns = ["row_id", "text", "label", "split"]
    delta = DeltaTable(table)
    arrow = delta.to_pyarrow_dataset()
    seen = {
        "pandas": delta.to_pandas()[columns].itertuples(index=False, name=None),
        "polars": polars.read_delta(table).select(columns).iter_rows(),
        "duckdb": duckdb.sql(f"SELECT {', '.join(columns)} FROM arrow").fetchall(),
        "pandas, the exported file": pandas.read_parquet(exported)[["id", "text", "label", "split"]].itertuples(index=False, name=None),
        "duckdb, the hub folder": duckdb.sql(f"SELECT id, text, label, split FROM '{hub}/data/*.parquet'").fetchall(),
    }
    for name, found in seen.items():
        found = sorted(tuple(row) for row in found)
        if found != want:
            sys.exit(f"{name}: {len(found)} rows differ from the {len(want)} expected")
    counts = duckdb.sql("SELECT label, count(*) FROM arrow GROUP BY label").fetchall()
    assert sum(n for _, n in counts) == len(want)
    # Text must not be kept in statistics, where a deleted row's words would outlive it.
    names = [name for name in delta.get_add_actions(flatten=True).schema.names if name.startswith(("min.", "max."))]
    if any(not name.endswith(".position") for name in names):
        sys.exit(f"the log holds statistics of {names}")
    print(f"tables: {', '.join(seen)} read the same {len(want)} rows in {len(counts)} labels")


if __name__ == "__main__":
    main(*sys.argv[1:])
