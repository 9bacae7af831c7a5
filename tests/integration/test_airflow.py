"""A real Airflow with logflume in it: scheduler, triggerer, LocalExecutor and API server, asked over HTTP."""

from __future__ import annotations

import json
import os
import time
from collections import Counter, deque
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest

from tests.airflow_home import LOGFLUME, airflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import ViewportSize

    from tests.airflow_home import Airflow
    from tests.conftest import Require

VENV = Path(__file__).parents[2] / ".venv-airflow"
DEADLINE_S = 60.0
ENDED = ("success", "failed")
ODD_DAG, ODD_TASK = "odd.näme-1", "größe_group.attempt-1.log"

SCREEN: ViewportSize = {"width": 1400, "height": 900}

pytestmark = pytest.mark.timeout(600)

Messages = list[dict[str, Any]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """Give an Airflow whose sample DAGs have run, and whose live one is running."""
    if not (VENV / "bin" / "python").exists():
        message = f"there is no {VENV}: make airflow"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    home = tmp_path_factory.mktemp("airflow") / "home"
    # What a user may have at once is little, so that a test can reach it.
    bounds = {"AIRFLOW__LOGFLUME__MAX_FOLLOWERS_PER_CALLER": "2", "AIRFLOW__LOGFLUME__HEARTBEAT_S": "5"}
    with airflow(VENV, home, settings=LOGFLUME | bounds) as running:
        live = running.trigger("live_sample", "live")
        sample = running.trigger("log_sample", "sample")
        odd = running.trigger(ODD_DAG, "odd run: ~100% 'done' [ü] {0} & #1?")
        running.wait_for("end of the samples", lambda: all(running.state(run) in ENDED for run in (sample, odd)))
        running.wait_for("live task", lambda: running.state(f"{live}/taskInstances/live") == "running")
        running.wait_for("whole logs", lambda: all(map(logs_are_whole, [running] * 2, [sample, odd])))
        yield running


@pytest.fixture(scope="module")
def sample(server: Airflow) -> str:
    """Give the run of the sample DAG."""
    run = next(run for run in server.get("/dags/log_sample/dagRuns")["dag_runs"])
    return f"/dags/log_sample/dagRuns/{quote(run['dag_run_id'], safe='')}"


def logs_are_whole(server: Airflow, run: str) -> bool:
    """Tell whether no log of a run is expected to grow: for some seconds after its end, one is."""
    return all(
        as_json(server.client, log_path(run, task["task_id"], task["try_number"]), map_index=task["map_index"])[1]
        is None
        for task in server.get(f"{run}/taskInstances")["task_instances"]
    )


def log_path(run: str, task: str, number: int = 1) -> str:
    """Return where the log of a try is."""
    return f"{run}/taskInstances/{quote(task, safe='')}/logs/{number}"


def as_json(client: httpx.Client, path: str, **parameters: object) -> tuple[Messages, str | None]:
    """Ask the JSON route; return the messages and the token to go on with."""
    answer = client.get(f"/api/v2{path}", params=parameters, headers={"Accept": "application/json"})  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text[:2000]
    return answer.json()["content"], answer.json()["continuation_token"]


def as_lines(client: httpx.Client, path: str, **parameters: object) -> Messages:
    """Ask the NDJSON route."""
    answer = client.get(f"/api/v2{path}", params=parameters, headers={"Accept": "application/x-ndjson"})  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text[:2000]
    return [json.loads(line) for line in answer.content.decode().removesuffix("\n").split("\n")]


def in_both(server: Airflow, path: str, **parameters: object) -> Messages:
    """Ask both routes, which give the same; return what comes after the group of sources."""
    messages, token = as_json(server.client, path, **parameters)
    assert token is None
    # JSON has its numbers and its null written anew.
    assert [message["event"] for message in as_lines(server.client, path, **parameters)] == [
        message["event"] for message in messages
    ]
    assert messages[0]["event"] == "::group::Log message source details"
    end = next(number for number, message in enumerate(messages) if message["event"] == "::endgroup::")
    return messages[end + 1 :]


def texts(messages: Messages) -> list[str]:
    """Return the texts."""
    return [message["event"] for message in messages]


def test_each_try_has_its_own_log(server: Airflow, sample: str) -> None:
    """A task that failed and was tried again has two logs."""
    first = texts(in_both(server, log_path(sample, "flaky", 1)))
    second = texts(in_both(server, log_path(sample, "flaky", 2)))
    assert "first try: about to fail" in first
    assert "second try: all is well" in second
    assert "second try: all is well" not in first


def test_worker_and_triggerer_are_one_log_in_order(server: Airflow, sample: str) -> None:
    """A deferred task's log goes from the worker to the triggerer and back, by time."""
    messages = in_both(server, log_path(sample, "deferred"))
    shown = texts(messages)
    assert (
        shown.index("Pausing task as DEFERRED. ") < shown.index("trigger starting") < shown.index("trigger completed")
    )
    # Two processes write the worker's file, and a line of one may be older than that of the other before it: such a
    # line keeps its place, as everywhere. The triggerer's own are in order, and so is what comes after them.
    times = [message["timestamp"] for message in messages]
    first, last = shown.index("trigger starting"), shown.index("trigger completed")
    assert times[first : last + 1] == sorted(times[first : last + 1])
    assert last < len(shown) - 1
    assert max(times[:first]) <= times[first]
    assert times[last] <= min(times[last + 1 :])


def test_mapped_tasks_stay_apart(server: Airflow, sample: str) -> None:
    """Each map index has its own name in its log, and no other."""
    for index, name in enumerate(("Ada", "Grace", "Zoë")):
        shown = texts(in_both(server, log_path(sample, "mapped"), map_index=index))
        assert [text for text in shown if text.startswith("hello ")] == [f"hello {name}"]


def test_a_failure_is_there_with_its_cause(server: Airflow, sample: str) -> None:
    """The error, and what it came from, are in the message that Airflow wrote."""
    failed = [
        message for message in in_both(server, log_path(sample, "chained_failure")) if message.get("error_detail")
    ]
    assert [detail["exc_type"] for detail in failed[-1]["error_detail"]][:2] == ["ShipmentError", "KeyError"]


def test_a_killed_task_has_its_last_words(server: Airflow, sample: str) -> None:
    """What was written of a line before the end is shown."""
    assert "half a line befo" in texts(in_both(server, log_path(sample, "killed")))


def test_every_line_of_a_chatty_task_is_there_once(server: Airflow, sample: str) -> None:
    """All rows come, in order."""
    rows = [text for text in texts(in_both(server, log_path(sample, "chatty"))) if text.startswith("row ")]
    assert rows == [f"row {number} of 300 was loaded" for number in range(1, 301)]


def test_odd_lines_come_as_they_were_printed(server: Airflow, sample: str) -> None:
    """Repeats, blank lines, look-alikes of dates and control characters are all there."""
    shown = Counter(texts(in_both(server, log_path(sample, "odd_lines"))))
    assert shown["same line, three times"] == 3
    assert {"2019 rows were loaded", "12:30 is noon", "\ttab, NUL \0 and BEL \a"} <= shown.keys()


def test_secrets_stay_masked(server: Airflow, sample: str) -> None:
    """What Airflow masked when it was written is masked."""
    shown = "\n".join(texts(in_both(server, log_path(sample, "all_levels"))))
    assert "the password is ***" in shown
    assert "correct-horse" not in shown


def test_odd_names_of_dag_run_and_task(server: Airflow) -> None:
    """Letters of all kinds, spaces and signs in ids lead to the log."""
    run = server.get(f"/dags/{quote(ODD_DAG)}/dagRuns")["dag_runs"][0]["dag_run_id"]
    path = f"/dags/{quote(ODD_DAG)}/dagRuns/{quote(run, safe='')}"
    assert "hello odd names" in texts(in_both(server, log_path(path, ODD_TASK)))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("no_such_task/logs/1", 404),
        ("chatty/logs/9", 404),
        ("chatty/logs/-1", 422),
        ("chatty/logs/1?map_index=5", 404),
        ("chatty/logs/1?token=made-up", 400),
    ],
)
def test_what_cannot_be_answered_is_refused_as_ever(server: Airflow, sample: str, path: str, status: int) -> None:
    """Airflow's own refusals stay."""
    assert server.client.get(f"/api/v2{sample}/taskInstances/{path}").status_code == status


def test_who_may_not_see_the_dag_gets_no_log(server: Airflow, sample: str) -> None:
    """A guest of another DAG is refused by both routes."""
    with server.sign_in("guest") as guest:
        for accept in ("application/json", "application/x-ndjson"):
            answer = guest.get(f"/api/v2{log_path(sample, 'chatty')}", headers={"Accept": accept})
            assert answer.status_code == 403


def test_a_running_task_is_followed_by_token(server: Airflow) -> None:
    """Each poll of the JSON route gives what was written since; the NDJSON route gives all there is."""
    path = log_path("/dags/live_sample/dagRuns/live", "live")
    lines = server.home / "live_lines"
    messages, token = as_json(server.client, path)
    assert token is not None
    seen = texts(messages)
    for number in range(3):
        with lines.open("a") as file:
            file.write(f"told {number}\n")
        deadline_s = time.monotonic() + DEADLINE_S
        while seen[-1] != f"told {number}":
            assert time.monotonic() < deadline_s
            messages, token = as_json(server.client, path, token=token)
            seen += texts(messages)
    assert [text for text in seen if text.startswith("told")] == ["told 0", "told 1", "told 2"]
    assert seen == texts(as_lines(server.client, path))
    messages, token = as_json(server.client, path, token=token)
    assert messages == []


def test_a_client_that_hangs_up_leaves_nothing_open(server: Airflow, sample: str) -> None:
    """The API server lets go of the file soon after its client has gone."""
    run = server.get("/dags/log_sample/dagRuns")["dag_runs"][0]["dag_run_id"]
    log = server.home / "logs" / "dag_id=log_sample" / f"run_id={run}" / "task_id=chatty" / "attempt=1.log"
    kept = log.read_bytes()
    try:
        with log.open("ab") as file:
            file.writelines(b"x" * 1000 + b"\n" for _ in range(100_000))
        headers = {"Accept": "application/x-ndjson", "Accept-Encoding": "identity"}
        with server.client.stream("GET", f"/api/v2{log_path(sample, 'chatty')}", headers=headers) as answer:
            pieces = answer.iter_raw()
            while b"x" * 1000 not in next(pieces):
                pass
            assert any(log in open_files(pid) for pid in server.pids("api-server"))
        deadline_s = time.monotonic() + DEADLINE_S
        while any(log in open_files(pid) for pid in server.pids("api-server")):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
    finally:
        log.write_bytes(kept)


def open_files(pid: int) -> set[Path]:
    """Return the files that a process has open."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            found.add(entry.readlink())
        except OSError:
            continue
    return found


# The plugin

LIVE = "/logflume/api/v1/logs/live_sample/live/live/-1/1"


def test_the_plugin_is_found_by_its_entry_point(server: Airflow) -> None:
    """Airflow lists it, with a tab on the task instance page."""
    plugin = next(each for each in server.get("/plugins")["plugins"] if each["name"] == "logflume")
    (view,) = plugin["external_views"]
    assert view["destination"] == "task_instance"
    assert view["href"] == "/logflume/tasks/{DAG_ID}/{RUN_ID}/{TASK_ID}/{MAP_INDEX}"


def test_the_tab_shows_the_viewer_of_the_latest_try(server: Airflow, sample: str) -> None:
    """The page names the log of the last try, or of the one that is asked for, and its module is there."""
    run = sample.rpartition("/")[2]
    page = server.client.get(f"/logflume/tasks/log_sample/{run}/flaky/{{MAP_INDEX}}")
    assert page.status_code == 200
    assert f'src="../../../../api/v1/logs/log_sample/{run}/flaky/-1/2"' in page.text
    assert "frame-ancestors 'self'" in page.headers["content-security-policy"]
    first = server.client.get(f"/logflume/tasks/log_sample/{run}/flaky/-1?try=1")
    assert f'api/v1/logs/log_sample/{run}/flaky/-1/1"' in first.text
    assert server.client.get(f"/logflume/tasks/log_sample/{run}/none/-1").status_code == 404


def test_the_operators_link_leads_to_the_page(server: Airflow, sample: str) -> None:
    """Airflow's list of extra links has it, with the try."""
    links = server.get(f"{sample}/taskInstances/flaky/links")["extra_links"]
    path = links["Log (logflume)"]
    assert path.startswith("/logflume/tasks/log_sample/")
    assert server.client.get(path).status_code == 200


def test_the_engines_routes_read_a_try(server: Airflow, sample: str) -> None:
    """Stream, rows, search and the description of a log are the engine's."""
    log = f"/logflume/api/v1/logs/log_sample/{sample.rpartition('/')[2]}/chatty/-1/1"
    text = server.client.get(f"{log}/stream", headers={"Accept": "text/plain"})
    assert text.text.count('"event":"row ') == 300
    told = server.client.get(log).json()
    assert (told["state"], [source["state"] for source in told["sources"]]) == ("succeeded", ["ok"])
    hits = server.client.get(f"{log}/search", params={"q": "row 299 of"}).text.splitlines()
    assert json.loads(hits[-1])["done"]["hits"] == 1
    assert server.client.get(f"{log}/nothing").status_code == 404
    assert server.client.get(log.replace("/chatty/-1/1", "/chatty/-1/7")).status_code == 404


def test_the_engines_routes_find_odd_names(server: Airflow) -> None:
    """Ids with signs and letters of all kinds lead to their log, once encoded."""
    run = server.get(f"/dags/{quote(ODD_DAG)}/dagRuns")["dag_runs"][0]["dag_run_id"]
    path = "/".join(quote(part, safe="") for part in (ODD_DAG, run, ODD_TASK, "-1"))
    page = server.client.get(f"/logflume/tasks/{path}")
    assert f"api/v1/logs/{path}/1" in page.text
    assert "hello odd names" in server.client.get(f"/logflume/api/v1/logs/{path}/1/stream").text
    # Airflow's own page encodes the name of such a run twice when one of its tabs is clicked.
    twice = "/".join(quote(part, safe="") for part in (ODD_DAG, quote(run, safe=""), ODD_TASK, "-1"))
    assert f"api/v1/logs/{path}/1" in server.client.get(f"/logflume/tasks/{twice}").text


@pytest.mark.parametrize("rest", ["", "/stream", "/rows", "/search?q=x", "/locate?seq=1", "/summary", "/raw", "/meta"])
def test_who_may_not_see_the_dag_sees_nothing_of_its_log(server: Airflow, sample: str, rest: str) -> None:
    """Every route asks Airflow, whatever the address says beside; a stranger is not even told that it is there."""
    log = f"/logflume/api/v1/logs/log_sample/{sample.rpartition('/')[2]}/chatty/-1/1{rest}"
    sign = "&" if "?" in rest else "?"
    with server.sign_in("guest") as guest:
        assert guest.get(log).status_code == 403
        assert guest.get(f"{log}{sign}dag_id=live_sample").status_code == 403
        assert guest.get(log.replace("chatty", "none")).status_code == 403
        assert guest.get(f"{LIVE}{rest}").status_code != 403
    with httpx.Client(base_url=server.client.base_url, trust_env=False) as stranger:
        assert stranger.get(log).status_code == 401


def test_who_may_not_see_the_dag_does_not_get_its_page(server: Airflow, sample: str) -> None:
    """The page is refused, too, and there is no list."""
    with server.sign_in("guest") as guest:
        assert guest.get(f"/logflume/tasks/log_sample/{sample.rpartition('/')[2]}/chatty/-1").status_code == 403
        assert guest.get("/logflume/api/v1/logs").status_code == 404
        assert guest.get("/logflume/tasks/live_sample/live/live/-1").status_code == 200


def test_a_follow_gets_what_a_task_writes_and_counts_against_its_user(server: Airflow) -> None:
    """Lines come as they are written; one follow more than there may be is refused with 429."""
    follow = {"follow": "true", "tail": "0"}
    with ExitStack() as stack:
        both = [stack.enter_context(server.client.stream("GET", f"{LIVE}/stream", params=follow)) for _ in range(2)]
        refused = server.client.get(f"{LIVE}/stream", params=follow)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        with (server.home / "live_lines").open("a") as file:
            file.write("followed\n")
        for answer in both:
            assert any("followed" in line for line in answer.iter_lines())
    deadline_s = time.monotonic() + DEADLINE_S
    while server.client.get(f"{LIVE}/stream", params={"limit": 1}).status_code == 429:
        assert time.monotonic() < deadline_s


def test_a_follow_ends_when_its_user_may_no_longer_read(server: Airflow) -> None:
    """Access is asked for again while a follow lasts."""
    denied = server.home / "guest_denied"
    follow = {"follow": "true", "tail": "0"}
    with server.sign_in("guest") as guest, guest.stream("GET", f"{LIVE}/stream", params=follow) as answer:
        denied.touch()
        try:
            # Heartbeats come until then.
            with suppress(httpx.RemoteProtocolError):
                deque(answer.iter_lines(), maxlen=0)
            assert guest.get(f"{LIVE}/stream").status_code == 403
        finally:
            denied.unlink()


def test_what_cannot_be_shown_in_the_tab_says_why(server: Airflow, sample: str) -> None:
    """A refusal of the page is a page that a browser shows in Airflow's frame."""
    run = sample.rpartition("/")[2]
    missing = server.client.get(f"/logflume/tasks/log_sample/{run}/none/-1")
    with server.sign_in("guest") as guest:
        refused = guest.get(f"/logflume/tasks/log_sample/{run}/chatty/-1")
    for answer, status in ((missing, 404), (refused, 403)):
        assert answer.status_code == status
        assert "There is no log to be seen here: " in answer.text
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]


def test_airflows_pages_show_the_log_in_a_browser(server: Airflow, sample: str, require: Require) -> None:
    """Airflow's own Logs tab and the tab of logflume both show the lines, in Chromium."""
    require("chromium")
    require("npm")
    from tests.browse import DEADLINE_MS, chromium

    base = str(server.client.base_url).rstrip("/")
    token = server.client.headers["Authorization"].split()[1]
    run = sample.rpartition("/")[2]
    with chromium() as browser, browser.new_context(viewport=SCREEN) as context:
        context.add_cookies([{"name": "_token", "value": token, "url": base}])
        page = context.new_page()
        page.goto(f"{base}/dags/log_sample/runs/{run}/tasks/chatty")
        page.get_by_text("of 300 was loaded").first.wait_for(timeout=DEADLINE_MS)
        page.get_by_text("Log (logflume)").first.click(timeout=DEADLINE_MS)
        viewer = page.frame_locator("iframe")
        viewer.get_by_text("was loaded").first.wait_for(timeout=DEADLINE_MS)


def test_the_live_task_ends(server: Airflow) -> None:
    """When a task has ended, polls with the last token lead to its last words, and end too; so does a follow."""
    path = log_path("/dags/live_sample/dagRuns/live", "live")
    _, token = as_json(server.client, path)
    with server.client.stream("GET", f"{LIVE}/stream", params={"follow": "true"}, timeout=DEADLINE_S) as answer:
        assert answer.status_code == 200
        with (server.home / "live_lines").open("a") as file:
            file.write("last words\nend\n")
        assert sum('"last words"' in line for line in answer.iter_lines()) == 1
    server.wait_for("end", lambda: server.state("/dags/live_sample/dagRuns/live/taskInstances/live") in ENDED)
    seen = []
    deadline_s = time.monotonic() + DEADLINE_S
    while token is not None:
        assert time.monotonic() < deadline_s
        messages, token = as_json(server.client, path, token=token)
        seen += texts(messages)
        time.sleep(0.2)
    assert seen.count("last words") == 1
