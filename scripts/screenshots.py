"""Make the pictures of the viewer that the docs show, from the running product: ``python -m scripts.screenshots``.

Holds: what is seen is what a reader gets: the real server, Debian's Chromium, logs that a real Airflow wrote. Each
       picture has at most MAX_BYTES.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from bench.data import LOGFLUME, ROOT
from tests.browse import Look, chromium
from tests.served import serving

PICTURES = ROOT / "docs" / "pictures"
MAX_BYTES = 150_000
SAMPLE = ROOT / "tests" / "data" / "airflow" / "sample" / "logs"
RUN = "dag_id=log_sample/run_id=manual__2024-11-20T12:34:56+00:00"

Shot = tuple[str, str, dict[str, object], list[str]]
SHOTS: list[Shot] = [
    ("viewer-light.png", "/logs/large", {"color_scheme": "light"}, ["/", "needle", "Enter"]),
    ("viewer-dark.png", f"/logs/{RUN}/task_id=all_levels/attempt=1.log", {"color_scheme": "dark"}, []),
    ("viewer-record.png", f"/logs/{RUN}/task_id=chained_failure/attempt=1.log", {"color_scheme": "light"}, ["Enter"]),
    ("viewer-list.png", "/", {"color_scheme": "light"}, []),
]


def main() -> int:
    """Make them all."""
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        folder = Path(name)
        large = folder / "large"
        subprocess.run([LOGFLUME, "gen", large, "--lines", "1000000", "--quiet"], check=True)
        with (
            serving(SAMPLE, folder / "cache") as sample,
            serving(large, folder / "cache", "--pattern", "source-{*number}.log") as made,
        ):
            look = Look(browser)
            for file, path, options, keys in SHOTS:
                page = look.page({"viewport": {"width": 1200, "height": 640}, **options})
                page.goto(made.url + "/logs/source-*.log" if path == "/logs/large" else sample.url + path)
                page.wait_for_selector("task-log .row.current, li.log")
                for key in keys:
                    page.keyboard.type(key) if key == "needle" else page.keyboard.press(key)
                page.wait_for_load_state("networkidle") if path == "/" else page.wait_for_timeout(1500)
                target = PICTURES / file
                page.screenshot(path=target)
                if target.stat().st_size > MAX_BYTES:
                    sys.exit(f"{file} has more than {MAX_BYTES:,} bytes")
            look.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
