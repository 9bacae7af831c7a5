"""The plugin's tab, page, routes and follow at a real API server, beside each Airflow that is supported."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.airflow.api import Api

FILE = "dag_id=d/run_id=r/task_id=t/attempt=1.log"
LINES = [f'{{"timestamp":"2024-11-20T12:34:{second:02}Z","event":"row {second}"}}' for second in range(60)]
TEXT = "".join(f"{line}\n" for line in LINES)
LOG = "/logflume/api/v1/logs/d/r/t/-1/1"
FOLLOW_S = 60.0


@pytest.fixture
def task(server: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """Give a server with one task, which runs and has written; no row is left."""
    server.read_with("logflume", monkeypatch)
    server.add("d", "r", "t", state="running")
    server.write(FILE, TEXT.encode())
    yield server
    server.forget()


def listed(server: Api) -> dict[str, Any]:
    """Return what Airflow tells of the plugin."""
    answer = server.client.get("/api/v2/plugins", params={"limit": 100})
    assert answer.status_code == 200
    (plugin,) = [each for each in answer.json()["plugins"] if each["name"] == "logflume"]
    return dict(plugin)


def test_airflow_lists_all_that_the_plugin_brings(server: Api) -> None:
    """The tab of a task instance, the application, the middleware and the button are known to Airflow."""
    plugin = listed(server)
    (view,) = plugin["external_views"]
    assert (view["destination"], view["name"]) == ("task_instance", "Log (logflume)")
    assert [app["url_prefix"] for app in plugin["fastapi_apps"]] == ["/logflume"]
    assert len(plugin["fastapi_root_middlewares"]) == 1
    assert len(plugin["global_operator_extra_links"]) == 1


def test_the_tab_leads_to_the_page_and_the_page_to_its_module(task: Api) -> None:
    """The address of the tab, filled in as Airflow does it for a task that is not mapped, shows the latest try."""
    href = listed(task)["external_views"][0]["href"]
    for name, value in (("{DAG_ID}", "d"), ("{RUN_ID}", "r"), ("{TASK_ID}", "t")):
        href = href.replace(name, value)
    page = task.client.get(href)
    assert page.status_code == 200
    assert 'src="../../../../api/v1/logs/d/r/t/-1/1"' in page.text
    module = page.text.partition('<script type="module" src="../../../../')[2].partition('"')[0]
    assert task.client.get(f"/logflume/{module}").status_code == 200


def test_a_log_is_described_with_its_sources(task: Api) -> None:
    """State, lines and sources are told."""
    told = task.client.get(LOG).json()
    assert (told["state"], told["lines"]["count"]) == ("running", len(LINES))
    assert [source["state"] for source in told["sources"]] == ["ok"]


@pytest.mark.parametrize(
    ("rest", "found"),
    [
        ("/stream?level=info", ""),
        ("/stream?since=2024-11-20T12:34:58Z&q=row", "row 59"),
        ("/stream?regex=ROW.5&ignore_case=true&limit=1", "row 5"),
        ("/raw", "row 59"),
        ("/search?q=row%2059", "row 59"),
        ("/pages?q=row", '"rows": 60'),
        ("/rows?from=50&n=10", "row 59"),
        ("/locate?ts=2024-11-20T12:34:30Z", "30"),
        ("/summary?buckets=4", "buckets"),
        ("/outline", "groups"),
        ("/meta", "sources"),
    ],
)
def test_each_route_answers(task: Api, rest: str, found: str) -> None:
    """All that the engine's application answers, it answers inside Airflow, filters included."""
    answer = task.client.get(f"{LOG}{rest}")
    assert answer.status_code == 200, answer.text
    assert found in answer.text


def test_what_a_filter_cannot_be_is_refused(task: Api) -> None:
    """The bounds of parameters hold, and the problem names the parameter."""
    for name, value in (("level", "loud"), ("q", "x" * 5000), ("ignore_case", "perhaps")):
        answer = task.client.get(f"{LOG}/stream", params={name: value})
        assert (answer.status_code, answer.json()["parameter"]) == (400, name)


def test_a_follow_gets_each_new_line_and_ends_with_the_task(task: Api) -> None:
    """What is written comes, and when the task has ended, so does the follow."""
    asked = {"follow": "true", "tail": "1"}
    with task.client.stream("GET", f"{LOG}/stream", params=asked, timeout=FOLLOW_S) as answer:
        assert answer.status_code == 200
        assert "gzip" in answer.request.headers["accept-encoding"]  # or nothing would hold lines back
        lines = (json.loads(line) for line in answer.iter_lines() if line.strip())
        assert next(lines)["event"] == "row 59"
        with (task.folder / FILE).open("a") as file:
            file.write(LINES[0].replace("row 0", "last words") + "\n")
        task.end("t")
        assert "last words" in [line.get("event") for line in lines]
