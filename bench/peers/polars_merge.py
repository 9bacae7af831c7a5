"""The merge by polars: lines as one column, a parsed timestamp as the other, ``merge_sorted``. Assumes JSON lines."""

from __future__ import annotations

import functools
import sys

import polars as pl

NO_SUCH_BYTE = "\x01"


def lines(path: str) -> pl.LazyFrame:
    """Scan one file as a column of lines beside their times."""
    frame = pl.scan_csv(path, has_header=False, separator=NO_SUCH_BYTE, quote_char=None, schema={"line": pl.String})
    time = pl.col("line").str.extract('"timestamp":"([^"]+)"').str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us")
    return frame.with_columns(time.alias("time"))


def main(paths: list[str]) -> None:
    """Write the lines of all files by time."""
    merged = functools.reduce(lambda a, b: a.merge_sorted(b, key="time"), map(lines, paths))
    merged.select("line").sink_csv(sys.stdout.buffer, include_header=False, separator=NO_SUCH_BYTE, quote_style="never")


if __name__ == "__main__":
    main(sys.argv[1:])
