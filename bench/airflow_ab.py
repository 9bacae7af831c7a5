"""Airflow's API server with its own reader and with logflume, on the same logs: the A/B proof.

Holds: ``bench/results/airflow.json`` is the one record; ``docs/airflow-benchmarks.md`` is made of it and of nothing
       else. A part that was not run again keeps its older figures, with their date and commit.

    make airflow && .venv/bin/python -m bench.airflow_ab                      # everything; half an hour or more
    .venv/bin/python -m bench.airflow_ab --only logflume --what json --what poll
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys

from bench import machine
from bench.ab import page
from bench.ab.parts import PARTS
from bench.ab.server import WHO

NOT_FOR = {"stock": {"tenfold"}, "logflume": set[str](), "handler": PARTS.keys() - {"finished", "quarter", "json"}}
"""Ten times the seed would take stock an hour and a half, and 8.3 GB of temporary files."""


def main() -> int:
    """Measure, keep each part as soon as it is there, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.airflow_ab", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=WHO, help="one of them")
    parser.add_argument("--what", choices=PARTS, action="append", help="a part; all of them by default")
    parser.add_argument("--try", dest="trying", action="store_true", help="print, and keep nothing")
    options = parser.parse_args()
    for what in options.what or PARTS:
        for who in [options.only] if options.only else WHO:
            if what in NOT_FOR[who]:
                continue
            found = PARTS[what](who)
            print(json.dumps({who: found}, indent=1), flush=True)
            if not options.trying:
                about = machine.describe() | {"date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat()}
                page.keep(what, who, found, about)
    if not options.trying:
        page.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
