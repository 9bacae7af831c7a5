"""The merge by DuckDB: lines as one column, ordered by a parsed timestamp. Assumes JSON lines."""

from __future__ import annotations

import sys

import duckdb

MERGE = r"""
copy (
    select line
    from read_csv($paths, columns = {'line': 'varchar'}, delim = '\1', quote = '', escape = '', header = false,
                  auto_detect = false)
    order by cast(regexp_extract(line, '"timestamp":"([^"]+)"', 1) as timestamptz)
) to '/dev/stdout' (format csv, header false, delimiter '\1', quote '', escape '')
"""


def main(paths: list[str]) -> None:
    """Write the lines of all files by time."""
    duckdb.execute(MERGE.replace(r"\1", "\x01"), {"paths": paths})


if __name__ == "__main__":
    main(sys.argv[1:])
