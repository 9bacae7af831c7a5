"""Bad input at Airflow's own routes: what Airflow's reader answers, and what logflume's does.

The table of docs/reference/airflow-bad-input.md says the same in words.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from airflow import __version__ as version

from tests.airflow.api import WHEN, lines_of
from tests.airflow.conftest import descriptors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.airflow.api import Api

NEWEST = version.startswith("3.3")
LOG = "dag_id=d/run_id=r/task_id=t/attempt=1.log"
LINE = b'{"timestamp":"2024-11-20T12:34:56Z","event":"found"}\n'


# What Airflow itself answers is told of its newest version.
@pytest.fixture(params=["stock", "logflume"] if NEWEST else ["logflume"])
def reader(request: pytest.FixtureRequest, server: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give who reads; no row is left."""
    server.read_with(request.param, monkeypatch)
    yield request.param
    server.forget()


def answers(server: Api, *parts: str, **asked: Any) -> Any:  # noqa: ANN401 - as the route
    """Ask both routes; give what each shows after the group of sources, or its status."""
    return tuple(shown(server.ask(*parts, accept=accept, **asked)) for accept in ("json", "x-ndjson"))


def shown(answer: Any) -> Any:  # noqa: ANN401 - an answer of httpx
    """Give the texts of a log, or a refusal's status."""
    if answer.status_code != 200:
        return answer.status_code
    texts = [line["event"] for line in lines_of(answer)]
    return texts[texts.index("::endgroup::") + 1 :] if "::endgroup::" in texts else texts


def told(server: Api, *parts: str) -> str:
    """Return what the group of sources says, in one text."""
    texts = [line["event"] for line in lines_of(server.ask(*parts))]
    return "\n".join(texts[1 : texts.index("::endgroup::")])


@pytest.mark.parametrize(
    ("parts", "asked", "status"),
    [
        (("d", "r", "unknown", "1"), {}, 404),
        (("unknown", "r", "t", "1"), {}, 404),
        (("d", "unknown", "t", "1"), {}, 404),
        (("d", "r", "t", "7"), {}, 404),
        (("d", "r", "t", "1"), {"map_index": 5}, 404),
        (("d", "r", "t", "1"), {"token": "made-up"}, 400),
        (("d", "r", "t", "-1"), {}, 422),
        (("d", "r", "t", "one"), {}, 422),
    ],
)
def test_what_is_not_there_is_refused_by_airflow(
    server: Api, reader: str, parts: tuple[str, ...], asked: dict[str, Any], status: int
) -> None:
    """Unknown dags, runs, tasks, tries and map indexes are 404, a forged token 400, and no number 422."""
    server.add("d", "r", "t")
    server.write(LOG, LINE)
    assert answers(server, *parts, **asked) == (status, status)


@dataclass(frozen=True)
class Case:
    """A log, and what each reader shows of it.

    Attributes:
        make: writes it.
        stock: what Airflow's reader shows by its JSON and its NDJSON route; a status, or texts.
        logflume: what logflume shows by both.
        says: a part of what logflume tells among the sources.
    """

    make: Callable[[Api], object]
    stock: tuple[Any, Any]
    logflume: list[str]
    says: str = ""


def as_folder(server: Api) -> None:
    """Put a folder in the place of the log."""
    (server.folder / LOG).mkdir(parents=True)


def as_link(server: Api) -> None:
    """Put a link to a file elsewhere in the place of the log."""
    secret = server.folder.parent / "secret"
    secret.write_bytes(b"secret\n")
    (server.folder / LOG).parent.mkdir(parents=True)
    (server.folder / LOG).symlink_to(secret)


CASES = {
    "no file": Case(lambda server: None, ([], []), [], "Hostname not available"),
    "an empty file": Case(lambda server: server.write(LOG, b""), ([], []), []),
    "a link out of the log folder": Case(as_link, ([], []), [], "leads to no file inside of the folder"),
    "a folder in the place of the file": Case(as_folder, ([], []), [], "folder"),
    "a byte that is no UTF-8": Case(
        lambda server: server.write(LOG, b"before\nodd \xff byte\nafter\n"),
        ([], []),
        ["before", "odd \ufffd byte", "after"],
    ),
    "a file cut within a character": Case(
        lambda server: server.write(LOG, LINE + "ü".encode()[:1]), ([], []), ["found", "\ufffd"]
    ),
    "a line that looks like a duration": Case(
        lambda server: server.write(LOG, b"before\nP1D ago\nafter\n"), (500, []), ["before", "P1D ago", "after"]
    ),
    "blank lines": Case(lambda server: server.write(LOG, b"a\n\n\nb\n"), (["a", "b"],) * 2, ["a", "", "", "b"]),
    "equal lines": Case(lambda server: server.write(LOG, LINE * 3), (["found"],) * 2, ["found"] * 3),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_log_that_is_none_or_odd(server: Api, reader: str, case: Case) -> None:
    """What can be shown is shown, and what cannot is told."""
    server.add("d", "r", "t")
    remove(server)
    case.make(server)
    expected = case.stock if reader == "stock" else (case.logflume, case.logflume)
    assert answers(server, "d", "r", "t", "1") == expected
    if reader == "logflume":
        assert case.says in told(server, "d", "r", "t", "1")


def remove(server: Api) -> None:
    """Remove whatever is in the place of the log."""
    path = server.folder / LOG
    path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    if path.parent.exists():
        path.parent.rmdir()


# Templates of file names


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("{{ ti.dag_id }}/{{ ti.task_id }}/{{ ts }}/{{ try_number }}.log", "d/t/{ts}/1.log"),
        ("{dag_id}/{task_id}/{logical_date}/{try_number}.log", "d/t/{ts}/1.log"),
        ("{{ ti.run_id }}{% if ti.map_index >= 0 %}/{{ ti.map_index }}{% endif %}/{{ try_number }}", "r/1"),
        ("{{ ti.dag_id | upper }}/{{ dag_run.run_id if dag_run else ti.run_id }}/{{ try_number }}.txt", "D/r/1.txt"),
    ],
)
def test_a_run_has_the_template_of_its_time(server: Api, reader: str, template: str, path: str) -> None:
    """Runs of long ago are found by the template that their row names, in either style."""
    server.add("d", "r", "t", template=server.add_template(template))
    when = WHEN.replace(second=0)
    stamp = server.client.get("/api/v2/dags/d/dagRuns/r").json()["logical_date"].replace("Z", "+00:00")
    assert stamp > when.isoformat()
    server.write(path.format(ts=stamp), LINE)
    server.write(path.format(ts=stamp) + "0", b"of another try\n")
    expected = ["found"] if reader == "logflume" else ["of another try", "found"]
    json, lines = answers(server, "d", "r", "t", "1")
    assert (json, lines) == (expected, expected)


@pytest.mark.parametrize("template", ["../../secret", "{{ '/etc/passwd' }}", "a/../../secret"])
def test_a_template_leads_nowhere_else(server: Api, reader: str, template: str) -> None:
    """A name that leads out of the log folder is not read."""
    (server.folder.parent / "secret").write_bytes(b"secret\n")
    server.add("d", "r", "t", template=server.add_template(template))
    assert answers(server, "d", "r", "t", "1") == ([], [])


def test_a_template_that_names_nothing_is_told(server: Api, reader: str) -> None:
    """A template that cannot be filled in is a message, where Airflow's reader has nothing to say but 500."""
    server.add("d", "r", "t", template=server.add_template("{{ ti.nothing.more }}.log"))
    if reader == "stock":
        assert answers(server, "d", "r", "t", "1")[0] == 500
    else:
        assert answers(server, "d", "r", "t", "1") == ([], [])
        assert "log_filename_template" in told(server, "d", "r", "t", "1")


# Ids


ODD = [
    "sample 1+%",
    "100%25 done",
    "größe ünd 東京",
    "a?b=c&d#e",
    'it\'s "quoted"',
    "{x} [y] *",
    "a\\b",
    "%2F",
    " ",
]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("map_index", [-1, 3])
def test_odd_ids_lead_to_their_log(server: Api, reader: str, odd: str, map_index: int) -> None:
    """Whatever a run or a task is called, its log is found, its map index and try included."""
    server.add("d", odd, odd, map_index=map_index, try_number=2)
    mapped = f"/map_index={map_index}" if map_index >= 0 else ""
    server.write(f"dag_id=d/run_id={odd}/task_id={odd}{mapped}/attempt=2.log", LINE)
    assert answers(server, "d", odd, odd, "2", map_index=map_index) == (["found"], ["found"])
    if reader == "logflume":
        task = "/".join(quote(part, safe="") for part in ("d", odd, odd, str(map_index)))
        log = f"/logflume/api/v1/logs/{task}/2"
        assert server.client.get(f"{log}/stream", headers={"Accept": "text/plain"}).content == LINE
        page = server.client.get(f"/logflume/tasks/{task}?try=2")
        assert page.status_code == 200
        assert f"api/v1/logs/{task}/2" in page.text


def test_the_button_leads_to_the_page_of_odd_ids(server: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The link of an operator is encoded once."""
    from types import SimpleNamespace

    from logflume.airflow.plugin import LogLink

    for odd in ODD:
        key = SimpleNamespace(dag_id="d", run_id=odd, task_id=odd, map_index=3, try_number=2)
        server.read_with("logflume", monkeypatch)
        server.add("d", odd, odd, map_index=3, try_number=2)
        assert server.client.get(LogLink().get_link(None, ti_key=key)).status_code == 200
        server.forget()


@pytest.mark.parametrize("odd", ["a/b", "../../etc", ".."])
def test_a_slash_in_an_id_is_no_part_of_an_address(server: Api, reader: str, odd: str) -> None:
    """Airflow's routes know no slash within an id, and neither do ours: nothing is read."""
    server.add("d", odd, "t")
    assert answers(server, "d", odd, "t", "1") in ((404, 404), ([], []))


# While a log is read


def test_a_task_that_is_cleared_keeps_its_log(server: Api, reader: str) -> None:
    """Who reads a try goes on with it when it becomes history: by token, and from the start."""
    server.add("d", "r", "t", state="running")
    server.write(LOG, LINE)
    first = server.ask("d", "r", "t", "1")
    assert shown(first) == ["found"]
    token = first.json()["continuation_token"]
    server.write(LOG, LINE + LINE.replace(b"found", b"last words"))
    server.clear("t")
    server.write(LOG.replace("=1.", "=2."), LINE.replace(b"found", b"second try"))
    answer = server.ask("d", "r", "t", "1", token=token)
    assert [line["event"] for line in answer.json()["content"]] == ["last words"]
    assert answer.json()["continuation_token"] is None
    assert answers(server, "d", "r", "t", "1") == (["found", "last words"],) * 2
    assert shown(server.ask("d", "r", "t", "2")) == ["second try"]


def test_a_stream_goes_on_while_its_task_is_cleared(server: Api, reader: str) -> None:
    """What a client has begun to read comes to its end, whatever becomes of the rows."""
    server.add("d", "r", "t", state="running")
    server.write(LOG, LINE * 20_000)
    path = "/api/v2/dags/d/dagRuns/r/taskInstances/t/logs/1"
    with server.client.stream("GET", path, headers={"Accept": "application/x-ndjson"}) as answer:
        pieces = answer.iter_bytes()
        text = next(pieces)
        server.clear("t")
        server.write(LOG.replace("=1.", "=2."), b"second try\n")
        text += b"".join(pieces)
    assert text.count(b"found") == (1 if reader == "stock" else 20_000)
    assert b"second try" not in text


def test_nothing_of_these_is_left_open() -> None:
    """No file of the log folder is open in the server when all has been asked."""
    folder = os.environ["AIRFLOW_HOME"] + "/logs/dag_id"
    assert not [name for name in descriptors() if name.startswith(folder)]
