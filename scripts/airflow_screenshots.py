"""Make the pictures of the tab in Airflow that the docs show: ``python -m scripts.airflow_screenshots``.

Holds: what is seen is what a user gets: a real Airflow with logflume in it, its own page in Debian's Chromium, the logs
       of tasks that it ran. A picture has at most MAX_BYTES.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench.data import ROOT
from scripts.screenshots import MAX_BYTES, PICTURES
from tests.airflow_home import LOGFLUME, airflow
from tests.browse import DEADLINE_MS, chromium

VENV = ROOT / ".venv-airflow"
ENDED = ("success", "failed")
SHOTS = {"airflow-tab.png": ("chained_failure", "ShipmentError")}


def main() -> int:
    """Run the sample tasks, and take a picture of the tab."""
    with (
        tempfile.TemporaryDirectory() as folder,
        airflow(VENV, Path(folder) / "home", settings=LOGFLUME) as server,
        chromium() as browser,
        browser.new_context(viewport={"width": 1280, "height": 720}) as context,
    ):
        run = server.trigger("log_sample", "sample")
        server.wait_for("end of the sample", lambda: server.state(run) in ENDED)
        base = str(server.client.base_url).rstrip("/")
        token = server.client.headers["Authorization"].split()[1]
        context.add_cookies([{"name": "_token", "value": token, "url": base}])
        page = context.new_page()
        for name, (task, text) in SHOTS.items():
            page.goto(f"{base}/dags/log_sample/runs/sample/tasks/{task}")
            page.get_by_text("Log (logflume)").first.click(timeout=DEADLINE_MS)
            page.frame_locator("iframe").get_by_text(text).first.wait_for(timeout=DEADLINE_MS)
            page.wait_for_timeout(2000)
            target = PICTURES / name
            page.screenshot(path=target)
            if target.stat().st_size > MAX_BYTES:
                sys.exit(f"{name} has more than {MAX_BYTES:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
