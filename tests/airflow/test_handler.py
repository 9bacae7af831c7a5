"""Airflow's contract with the handler that reads task logs, and what is better than Airflow's own."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.utils.log.file_task_handler import StructuredLogMessage

from logflume.abc import Found
from logflume.airflow.requests import NotesRequests
from logflume.airflow.settling import SETTLE_S
from logflume.sources.streamed import StreamedSource
from tests.airflow.conftest import TaskLogs, descriptors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Events = Callable[..., list[str]]


def line(second: int, event: str, **more: object) -> str:
    """Return a line as Airflow 3 writes it."""
    return (
        json.dumps({"timestamp": f"2024-11-20T12:{second // 60:02}:{second % 60:02}.000000Z", "event": event, **more})
        + "\n"
    )


def told(messages: list[dict[str, Any]]) -> list[str]:
    """Return what the group of sources says."""
    texts = [message["event"] for message in messages]
    return texts[1 : texts.index("::endgroup::")]


# The contract


def test_the_metadata_of_an_ended_try_has_two_keys(logs: TaskLogs) -> None:
    """An ended try's metadata is exactly the end and the number of lines."""
    logs.write("attempt=1.log", line(1, "a") + line(2, "b"))
    _, metadata = logs.read()
    assert metadata == {"end_of_log": True, "log_pos": 2}


def test_what_is_written_after_the_end_is_read(logs: TaskLogs) -> None:
    """A worker reports the end before the last lines: for a while, a token leads to them, and NDJSON ends as ever."""
    logs.write("attempt=1.log", line(1, "a"))
    now = datetime.now(tz=timezone.utc)
    messages, token = logs.read(end_date=now)
    assert messages[-1]["event"] == "a"
    assert token["end_of_log"] is False
    logs.write("attempt=1.log", line(2, "b"), append=True)
    assert [message["event"] for message in logs.lines(end_date=now)][-2:] == ["a", "b"]
    messages, token = logs.read(token, end_date=now - timedelta(seconds=SETTLE_S))
    assert [message["event"] for message in messages] == ["b"]
    assert token == {"end_of_log": True, "log_pos": 2}


def test_an_older_try_has_ended_while_the_task_runs(logs: TaskLogs) -> None:
    """The log of try 1 is complete while try 2 runs."""
    logs.write("attempt=1.log", line(1, "first try"))
    logs.write("attempt=2.log", line(1, "second try"))
    messages, metadata = logs.read(state="running", try_number=2)
    assert [message["event"] for message in messages][-1] == "first try"
    assert metadata["end_of_log"] is True


@pytest.mark.parametrize(
    ("number", "state", "event"),
    [
        (0, "skipped", "Task was skipped, no logs available."),
        (0, "success", "Error fetching the logs. Try number 0 is invalid."),
        (-1, "success", "Error fetching the logs. Try number -1 is invalid."),
    ],
)
def test_tries_that_have_no_log_are_answered_as_ever(logs: TaskLogs, number: int, state: str, event: str) -> None:
    """A skipped task and a try that cannot be say so in Airflow's words."""
    messages, metadata = logs.read(state=state, number=number)
    assert [message["event"] for message in messages] == [event]
    assert metadata == {"end_of_log": True}


@pytest.mark.parametrize("folder", ["", os.devnull])
def test_a_handler_without_a_folder_can_be_made(folder: str) -> None:
    """Airflow makes handlers with no folder at all."""
    from logflume.airflow import TaskLogHandler

    assert TaskLogHandler(folder).local_base == folder


def test_the_folder_is_looked_up_at_every_read(logs: TaskLogs, tmp_path: Path) -> None:
    """A changed base folder counts from the next read on."""
    logs.write("attempt=1.log", line(1, "a"))
    logs.handler.local_base = str(tmp_path / "elsewhere")
    messages, _ = logs.read()
    assert [message["event"] for message in messages][-1] == "::endgroup::"


def test_the_header_names_each_source(logs: TaskLogs) -> None:
    """The first messages are a group with one line a file."""
    paths = [logs.write(name, line(1, name)) for name in ("attempt=1.log", "attempt=1.log.trigger.7.log")]
    messages, _ = logs.read()
    assert told(messages) == [str(path) for path in paths]
    assert messages[0]["timestamp"] is None


def test_messages_are_like_those_of_airflow(logs: TaskLogs) -> None:
    """Members can be had as attributes, and the JSON is that of Airflow's class."""
    logs.write("attempt=1.log", line(1, "a", level="info", rows=3))
    stream, _ = logs.handler.read(logs.task(), 1, {})
    *_, last = stream
    own = StructuredLogMessage.model_validate_json(last.model_dump_json())
    assert (last.event, last.level, last.rows, last.timestamp) == ("a", "info", 3, "2024-11-20T12:00:01.000000Z")
    assert own.model_dump(mode="json") == {**last.model_dump(), "timestamp": "2024-11-20T12:00:01Z"}
    assert not hasattr(last, "no_such_member")


def test_one_who_writes_lines_is_given_many_at_once(logs: TaskLogs) -> None:
    """The NDJSON route gets no object for each line; the JSON route does."""
    logs.write("attempt=1.log", "".join(line(second, "x" * 50) for second in range(1000)))
    stream, _ = logs.handler.read(logs.task(), 1, {})
    written = [message.model_dump_json() for message in stream]
    assert sum(text.count("\n") + 1 for text in written) == 1003
    assert len(written) < 50
    assert max(map(len, written)) < 8 * 1024
    stream, _ = logs.handler.read(logs.task(), 1, {})
    assert len(list(stream)) == 1003


# A running task


@pytest.mark.parametrize("lines", [3, 30_000])
def test_a_copy_that_takes_over_is_gone_on_in(logs: TaskLogs, monkeypatch: pytest.MonkeyPatch, lines: int) -> None:
    """An ended try is read from the remote store: a client with a token gets the rest only."""
    from logflume.airflow import collect, remote

    file = logs.write("attempt=1.log", "".join(line(second % 3600, f"event {second}") for second in range(lines)))
    messages, token = logs.read(state="running")
    assert messages[-1]["event"] == f"event {lines - 1}"
    content = file.read_bytes() + line(3599, "the end").encode()
    found = Found(["s3://bucket/attempt=1.log"], [StreamedSource("s3://bucket/attempt=1.log", lambda: iter([content]))])
    monkeypatch.setattr(remote, "remote_logs", lambda *_: found)
    assert collect._of_module("logflume.airflow.remote", "remote_logs") is remote.remote_logs
    messages, token = logs.read(token)
    assert [message["event"] for message in messages] == ["the end"]
    assert token["end_of_log"] is True


def test_the_store_that_is_configured_is_asked(
    events: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever this version of Airflow keeps it; a store of one's own that gives whole texts is read, too."""
    from airflow import logging_config

    asked = []

    class Store:
        def read(self, path: str, ti: object) -> tuple[list[str], list[str]]:
            del ti
            asked.append(path)
            return [f"store/{path}"], ["from the store\n"]

    if hasattr(logging_config, "get_remote_task_log"):
        monkeypatch.setattr(logging_config, "get_remote_task_log", Store)
    else:
        monkeypatch.setattr(logging_config, "REMOTE_TASK_LOG", Store())
    assert events() == ["from the store"]
    assert set(asked) == {"dag_id=d/run_id=r/task_id=t/attempt=1.log"}


def test_another_log_that_takes_over_is_told(logs: TaskLogs) -> None:
    """Where nothing tells how far a client is in what is there now, it is shown whole, and that is said."""
    file = logs.write("attempt=1.log", "".join(line(second, f"event {second}") for second in range(9)))
    _, token = logs.read(state="running")
    file.rename(file.with_name("attempt=1.log.trigger.7.log"))
    file.with_name("attempt=1.log.trigger.7.log").write_text(line(1, "another log"), encoding="utf-8")
    messages, _ = logs.read(token)
    assert [message["event"] for message in messages][1:] == ["another log"]
    assert "is read from another place now" in messages[0]["event"]


def test_a_token_goes_on_with_the_new_lines_only(logs: TaskLogs) -> None:
    """Each poll gives what was written since, once."""
    logs.write("attempt=1.log", line(1, "a"))
    messages, token = logs.read(state="running")
    assert (messages[-1]["event"], token["end_of_log"]) == ("a", False)
    logs.write("attempt=1.log", line(2, "b") + line(3, "c"), append=True)
    messages, token = logs.read(token, state="running")
    assert [message["event"] for message in messages] == ["b", "c"]
    messages, token = logs.read(token, state="running")
    assert messages == []
    logs.write("attempt=1.log", line(4, "d"), append=True)
    messages, token = logs.read(token, state="success")
    assert [message["event"] for message in messages] == ["d"]
    assert token == {"end_of_log": True, "log_pos": 4}


def test_a_half_written_line_comes_whole_with_the_next_token(logs: TaskLogs) -> None:
    """A line that is being written while somebody polls is shown once, and to its end."""
    logs.write("attempt=1.log", line(1, "a") + "half a li")
    messages, token = logs.read(state="running")
    assert messages[-1]["event"] == "a"
    logs.write("attempt=1.log", "ne and the rest\n", append=True)
    messages, token = logs.read(token, state="running")
    assert [message["event"] for message in messages] == ["half a line and the rest"]
    logs.write("attempt=1.log", "no newline", append=True)
    messages, token = logs.read(token, state="running")
    assert messages == []
    messages, _ = logs.read(token, state="failed")
    assert [message["event"] for message in messages] == ["no newline"]


def test_what_a_running_task_is_writing_is_shown_to_who_has_no_token(logs: TaskLogs) -> None:
    """The NDJSON route, which knows no position, shows the unfinished last line too."""
    logs.write("attempt=1.log", line(1, "a") + "half a li")
    assert [message["event"] for message in logs.lines(state="running")][-2:] == ["a", "half a li"]


def test_a_file_that_appears_between_polls_is_shown_whole(logs: TaskLogs) -> None:
    """A second file with earlier times neither hides a line nor repeats one."""
    logs.write("attempt=1.log", line(10, "a"))
    _, token = logs.read(state="deferred")
    logs.write("attempt=1.log.trigger.3.log", line(5, "t") + line(12, "u"))
    logs.write("attempt=1.log", line(11, "b"), append=True)
    messages, token = logs.read(token, state="deferred")
    assert [message["event"] for message in messages] == ["t", "b", "u"]
    assert logs.read(token, state="deferred")[0] == []


def test_a_file_that_rotates_between_polls_is_followed(logs: TaskLogs) -> None:
    """After a rotation the token goes on in the renamed file and then in the new one."""
    path = logs.write("attempt=1.log", line(1, "a"))
    _, token = logs.read(state="running")
    logs.write("attempt=1.log", line(2, "b"), append=True)
    path.rename(path.with_name("attempt=1.log.1"))
    logs.write("attempt=1.log", line(3, "c"))
    messages, _ = logs.read(token, state="running")
    assert [message["event"] for message in messages] == ["b", "c"]


def test_a_replaced_file_begins_anew_and_says_so(logs: TaskLogs) -> None:
    """A task that was cleared while somebody polls: the new file comes from its start, with a word about it."""
    path = logs.write("attempt=1.log", line(1, "a") + line(2, "b"))
    _, token = logs.read(state="running")
    path.unlink()
    logs.write("attempt=1.log", line(9, "n"))
    messages, token = logs.read(token, state="running")
    assert "was cut or replaced" in messages[0]["event"]
    assert [message["event"] for message in messages[1:]] == ["n"]
    assert logs.read(token, state="running")[0] == []


def test_a_poll_reads_no_old_byte(logs: TaskLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a token, what has been shown is not read again, however long it is."""
    logs.write("attempt=1.log", "".join(line(second, "x" * 1000) for second in range(3000)))
    _, token = logs.read(state="running")
    logs.write("attempt=1.log", line(3001, "new"), append=True)
    read_bytes = 0
    real = os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        nonlocal read_bytes
        data = real(descriptor, size, offset)
        read_bytes += len(data)
        return data

    monkeypatch.setattr(os, "pread", counted)
    messages, _ = logs.read(token, state="running")
    assert [message["event"] for message in messages] == ["new"]
    assert 0 < read_bytes < 64 * 1024


def test_a_token_of_airflows_own_handler_goes_on_after_its_lines(logs: TaskLogs) -> None:
    """A page that was open while logflume was installed goes on where it was."""
    logs.write("attempt=1.log", line(1, "a") + line(2, "b") + line(3, "c"))
    messages, token = logs.read({"end_of_log": False, "log_pos": 2}, state="running")
    assert [message["event"] for message in messages] == ["c"]
    assert "logflume" in token


def test_a_damaged_token_begins_anew(logs: TaskLogs) -> None:
    """Whatever stands in our part of a token, the log is shown."""
    logs.write("attempt=1.log", line(1, "a"))
    messages, _ = logs.read({"logflume": "2.bm90aGluZw.", "log_pos": 0}, state="running")
    assert [message["event"] for message in messages] == ["a"]


# What a log may hold


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("same\nsame\nsame\n", ["same"] * 3),
        ("a\n\n\nb\n", ["a", "", "", "b"]),
        ("with windows\r\nends\r\n", ["with windows", "ends"]),
        ("progress 10 %\rprogress 100 %\n", ["progress 10 %\rprogress 100 %"]),
        (
            "émoji 🚚 e\u0301 \u2028 \u0085 \x1b[31m \x00 \ufeff\n",
            ["émoji 🚚 e\u0301 \u2028 \u0085 \x1b[31m \x00 \ufeff"],
        ),
        ("the last, cut", ["the last, cut"]),
        ('{"timestamp":"2024-11-20T12:00:01Z","event":"cut', ['{"timestamp":"2024-11-20T12:00:01Z","event":"cut']),
        ('{"event":7}\n', ['{"event":7}']),
        ('{"no":"event"}\n', ['{"no":"event"}']),
        ("[1,2]\nnull\n3\n", ["[1,2]", "null", "3"]),
        ("P1D ago\nPT5M\n2024-01-01/2024-01-02 a range\n", ["P1D ago", "PT5M", "2024-01-01/2024-01-02 a range"]),
        ("2019 rows written\n12:00:00 step\nnow loading\n", ["2019 rows written", "12:00:00 step", "now loading"]),
    ],
)
def test_every_line_is_shown_once_and_whole(logs: TaskLogs, events: Events, written: str, shown: list[str]) -> None:
    """Whatever a task printed comes out as it was, whichever way it is asked for."""
    logs.write("attempt=1.log", written)
    assert events() == shown


@pytest.mark.parametrize("odd", [b"\xff\xfe \xc3(", b"\xf0\x9f\x9a", b"\xed\xa0\x80"])
def test_bytes_that_are_no_text_cost_nothing_but_themselves(logs: TaskLogs, events: Events, odd: bytes) -> None:
    """A bad byte is shown as U+FFFD; what stands before and after it is there."""
    logs.write("attempt=1.log", b"before\nodd " + odd + b"\nafter\n")
    first, second, third = events()
    assert (first, third) == ("before", "after")
    assert second.startswith("odd \ufffd")


def test_a_line_of_ten_megabytes_is_one_message(logs: TaskLogs, events: Events) -> None:
    """A very long line is not cut."""
    logs.write("attempt=1.log", "a\n" + "x" * 10_000_000 + "\nb\n")
    assert [len(event) for event in events()] == [1, 10_000_000, 1]


def test_numbers_pass_as_they_were_written(logs: TaskLogs) -> None:
    """On the NDJSON route a line is not written anew."""
    text = '{"timestamp":"2024-11-20T12:00:01Z","level":"info","event":"a","z":1.10,"b":1e400,"c":12345678901234567890}'
    logs.write("attempt=1.log", text + "\n")
    stream, _ = logs.handler.read(logs.task(), 1, {})
    assert [message.model_dump_json() for message in stream][-1] == text


@pytest.mark.parametrize(
    "text",
    [
        '{"timestamp":"2024-11-20T12:00:01Z","event":"a","n":1e400}',
        '{"timestamp":"2024-11-20T12:00:01Z","event":"a","n":' + "9" * 6000 + "}",
        '{"timestamp":"2024-11-20T12:00:01Z","event":"half a \\ud83d character"}',
        '{"timestamp":"2024-11-20T12:00:01Z","event":"deep","n":' + "[" * 100 + "]" * 100 + "}",
    ],
)
def test_the_json_route_can_write_every_message(logs: TaskLogs, text: str) -> None:
    """No line of a log keeps FastAPI from writing the answer."""
    from airflow.api_fastapi.core_api.datamodels.log import TaskInstancesLogResponse
    from pydantic import TypeAdapter

    logs.write("attempt=1.log", text + "\n")
    stream, _ = logs.handler.read(logs.task(), 1, {})
    answer = TaskInstancesLogResponse.model_construct(continuation_token=None, content=list(stream))
    written = json.loads(TypeAdapter(TaskInstancesLogResponse).dump_json(answer, exclude_unset=True, warnings=False))
    assert written["content"][-1]["event"] == json.loads(text, parse_int=float)["event"].replace("\ud83d", "\ufffd")


def test_times_are_told_apart_by_instant(logs: TaskLogs, events: Events) -> None:
    """Zones count, and a time without one is UTC."""
    logs.write("attempt=1.log", '{"timestamp":"2024-11-20T13:00:02+01:00","event":"b"}\n')
    logs.write("attempt=1.log.trigger.1.log", "[2024-11-20T12:00:01.000] a\n[2024-11-20T12:00:03.000+0000] c\n")
    assert events() == ["[2024-11-20T12:00:01.000] a", "b", "[2024-11-20T12:00:03.000+0000] c"]


def test_numeric_and_older_times_are_normalised(logs: TaskLogs) -> None:
    """A client finds RFC 3339 in every `timestamp`, or null."""
    logs.write(
        "attempt=1.log",
        'first\n{"timestamp":1732104001.5,"event":"a"}\n{"timestamp":"2024-11-20 13:00:02,250+0100","event":"b"}\n'
        '{"timestamp":"soon","event":"c"}\n',
    )
    assert [message["timestamp"] for message in logs.both()] == [
        None,
        "2024-11-20T12:00:01.500000Z",
        "2024-11-20T12:00:02.250000Z",
        "2024-11-20T12:00:02.250000Z",
    ]


def test_a_traceback_stays_whole_beside_another_file(logs: TaskLogs, events: Events) -> None:
    """Lines without a time stay under the one above them, whatever another file holds at that time."""
    trace = "Traceback (most recent call last):\n  File x\nValueError: no\n"
    logs.write("attempt=1.log", "2024-11-20T12:00:01Z ERROR one\n" + trace)
    logs.write("attempt=1.log.trigger.1.log", "2024-11-20T12:00:01Z ERROR two\n" + trace)
    shown = [text.split(" ")[-1] for text in events()]
    assert shown == ["one", "last):", "x", "no", "two", "last):", "x", "no"]


def test_the_times_of_pythons_logging_are_known(logs: TaskLogs) -> None:
    """A time with a comma is not taken for midnight."""
    logs.write("attempt=1.log", "2024-01-01 10:00:00,123 INFO a\n2024-01-01 10:00:01,5 INFO b\n")
    assert [message["timestamp"] for message in logs.both()] == [
        "2024-01-01T10:00:00.123000Z",
        "2024-01-01T10:00:01.500000Z",
    ]


def test_what_looks_like_a_time_keeps_its_place(logs: TaskLogs, events: Events) -> None:
    """Numbers and words that could be dates stay between the lines where they were written, whatever else is merged."""
    look_alikes = ["2019 rows written", "12:00:00 step", "now loading", "May be"]
    logs.write("attempt=1.log", line(1, "a") + "".join(f"{text}\n" for text in look_alikes) + line(4, "b"))
    logs.write("attempt=1.log.trigger.1.log", line(2, "t") + line(3, "u"))
    assert events() == ["a", *look_alikes, "t", "u", "b"]


def test_files_without_times_are_shown_one_after_the_other(logs: TaskLogs, events: Events) -> None:
    """Lines of two files that know no time are not mixed."""
    ours, theirs = [f"ours {n}" for n in range(50)], [f"theirs {n}" for n in range(50)]
    logs.write("attempt=1.log", "".join(f"{text}\n" for text in ours))
    logs.write("attempt=1.log.trigger.1.log", "".join(f"{text}\n" for text in theirs))
    assert events() == ours + theirs


def test_equal_lines_under_one_time_are_all_shown(logs: TaskLogs, events: Events) -> None:
    """Repeats are real, below a line with a time, too."""
    logs.write("attempt=1.log", line(1, "a") + "same\nsame\nsame\n" + line(1, "a") + line(1, "a"))
    assert events() == ["a", "same", "same", "same", "a", "a"]


def test_a_rotated_file_comes_before_the_newer_one(logs: TaskLogs, events: Events) -> None:
    """`attempt=1.log.1` and `attempt=1.log` are one log, in the order in which they were written."""
    logs.write("attempt=1.log.1", "".join(line(second, f"old {second}") for second in range(1000)))
    logs.write("attempt=1.log", "".join(line(1000 + second, f"new {second}") for second in range(1000)))
    assert events() == [f"old {n}" for n in range(1000)] + [f"new {n}" for n in range(1000)]


def test_the_same_line_of_two_files_is_shown_once(logs: TaskLogs, events: Events) -> None:
    """A copy of a file beside it adds nothing, untimed first lines included."""
    text = "untimed\n" + line(1, "a") + line(2, "b")
    logs.write("attempt=1.log", text)
    logs.write("attempt=1.log.copy.log", text)
    assert events() == ["untimed", "a", "b"]


# Which files


def test_other_tries_and_map_indexes_stay_apart(logs: TaskLogs, events: Events) -> None:
    """`attempt=10.log` is none of `attempt=1`'s."""
    logs.write("attempt=1.log", "one\n")
    logs.write("attempt=10.log", "ten\n")
    logs.write("attempt=1.logx", "other\n")
    assert events() == ["one"]
    assert events(number=10) == ["ten"]


def test_a_link_out_of_the_log_folder_is_not_read(logs: TaskLogs, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a link leads to outside of the folder is not shown, and that is said."""
    secret = tmp_path_factory.mktemp("elsewhere") / "secret"
    secret.write_text("secret\n")
    (logs.folder / "attempt=1.log").symlink_to(secret)
    messages, _ = logs.read()
    assert not any("secret\n" in message["event"] or message["event"] == "secret" for message in messages)
    assert "leads to no file inside of the folder" in told(messages)[0]


@contextmanager
def as_somebody_else() -> Iterator[None]:
    """Be no longer root, who may read everything, while entered."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_may_not_be_read_says_why() -> None:
    """Who and what is missing stands in the group of sources; other files are shown."""
    with TemporaryDirectory() as folder:  # not below pytest's, which is closed to others
        logs = TaskLogs(Path(folder))
        logs.write("attempt=1.log", line(1, "a")).chmod(0)
        logs.write("attempt=1.log.trigger.1.log", line(1, "t"))
        Path(folder).chmod(0o755)
        with as_somebody_else():
            messages, _ = logs.read()
    assert any("may not read" in text for text in told(messages))
    assert messages[-1]["event"] == "t"


def test_a_folder_that_may_not_be_listed_says_why() -> None:
    """What keeps a log from being found is told."""
    with TemporaryDirectory() as folder:
        logs = TaskLogs(Path(folder))
        logs.write("attempt=1.log", line(1, "a"))
        Path(folder).chmod(0o755)
        logs.folder.chmod(0)
        with as_somebody_else():
            messages, _ = logs.read()
        logs.folder.chmod(0o755)
    assert any("cannot be listed" in text for text in told(messages))


def test_a_file_that_is_rotated_while_it_is_read_comes_once_and_whole(logs: TaskLogs) -> None:
    """A stream that has begun goes on from the old file to the new one."""
    logs.write("attempt=1.log", "".join(line(number // 3, f"old {number} {'x' * 2000}") for number in range(3000)))
    stream, _ = logs.handler.read(logs.task(), 1, {})
    seen = [next(stream).model_dump_json() for _ in range(10)]
    (logs.folder / "attempt=1.log").rename(logs.folder / "attempt=1.log.1")
    logs.write("attempt=1.log", "".join(line(1000 + number // 3, f"new {number} ") for number in range(1000)))
    seen += [message.model_dump_json() for message in stream]
    events = [json.loads(text)["event"] for each in seen for text in each.split("\n")]
    shown = [" ".join(event.split(" ")[:2]) for event in events[events.index("::endgroup::") + 1 :]]
    assert shown == [f"old {number}" for number in range(3000)] + [f"new {number}" for number in range(1000)]


def test_a_task_that_has_not_run_yet_says_so(logs: TaskLogs) -> None:
    """No log is no silence: the state of the task stands in the group of sources."""
    messages, metadata = logs.read(state="queued")
    assert told(messages) == ["There is no log yet: the task is queued. It begins when the task runs."]
    assert metadata["end_of_log"] is True


def test_an_empty_operator_has_no_log(logs: TaskLogs) -> None:
    """A task that does nothing by its nature says so, in Airflow's words, and blames no host."""
    messages, _ = logs.read(state="success", task=SimpleNamespace(inherits_from_empty_operator=True))
    assert told(messages) == ["Operator inherits from empty operator and thus does not have logs"]


def test_a_pipe_in_the_place_of_a_log_does_not_stop_the_server(logs: TaskLogs) -> None:
    """Nothing waits for a named pipe."""
    os.mkfifo(logs.folder / "attempt=1.log")
    messages, _ = logs.read()
    assert any("named pipe" in text for text in told(messages))


def test_odd_names_are_found(logs: TaskLogs, events: Events) -> None:
    """Folders with spaces, signs and letters of all kinds, and glob's own characters."""
    logs.folder = logs.root / "dag_id=größe [1]*?" / "run_id=a+b %20 {x}" / "task_id=東京"
    logs.folder.mkdir(parents=True)
    logs.write("attempt=1.log", "found\n")
    assert events() == ["found"]


def test_an_empty_file_and_no_file_end_well(logs: TaskLogs) -> None:
    """There is a group and nothing after it."""
    assert logs.both() == []
    logs.write("attempt=1.log", "")
    assert logs.both() == []


# What is left behind


@pytest.mark.parametrize("consumed", [0, 1, 2, 10])
def test_a_stream_that_is_dropped_leaves_nothing_open(logs: TaskLogs, consumed: int) -> None:
    """A client that hangs up leaves no descriptor, thread or temporary file."""
    path = logs.write("attempt=1.log", "".join(line(second % 3600, "x" * 2000) for second in range(10_000)))
    stream, _ = logs.handler.read(logs.task(), 1, {})
    for message in (message for _, message in zip(range(consumed), stream, strict=False)):
        message.model_dump_json()
    del stream
    gc.collect()
    assert str(path) not in descriptors()
    assert not any("deleted" in name and str(logs.root) in name for name in descriptors())


# Executors


def test_an_executors_stream_is_followed_by_token(logs: TaskLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an executor holds of a running task comes whole at first, and then only what is new of it."""
    held = [line(1, "a"), line(2, "b")]

    def ask(*_: object) -> Found:
        return Found(["held by the executor"], [StreamedSource("executor", lambda: [each.encode() for each in held])])

    monkeypatch.setattr("logflume.airflow.running.executor_logs", ask)
    messages, token = logs.read(state="running")
    assert told(messages)[0] == "held by the executor"
    assert [message["event"] for message in messages][-2:] == ["a", "b"]
    held.append(line(3, "c"))
    messages, token = logs.read(token, state="running")
    assert [message["event"] for message in messages] == ["c"]
    assert logs.read(token, state="running")[0] == []
    assert [message["event"] for message in logs.lines(state="running")][-3:] == ["a", "b", "c"]


def test_an_executor_that_fails_hides_nothing_else(logs: TaskLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it raised is told, and the files are shown."""

    def ask(*_: object) -> Found:
        raise ConnectionError("no cluster")

    monkeypatch.setattr("logflume.airflow.running.executor_logs", ask)
    logs.write("attempt=1.log", line(1, "a"))
    messages, _ = logs.read(state="running")
    assert "Could not read from the executor: ConnectionError: no cluster" in told(messages)
    assert messages[-1]["event"] == "a"


# Requests


def test_streams_end_with_their_request(logs: TaskLogs) -> None:
    """What a request has opened is closed when it is over, though something still refers to it."""
    path = logs.write("attempt=1.log", "".join(line(second % 3600, "x" * 2000) for second in range(10_000)))
    kept = []

    async def nothing(*_: object) -> Any:  # noqa: ANN401 - a message that never comes
        raise AssertionError

    async def app(*_: object) -> None:
        stream, _found = await asyncio.to_thread(logs.handler.read, logs.task(), 1, {})
        kept.append(stream)
        await asyncio.to_thread(lambda: [next(stream).model_dump_json() for _ in range(10)])
        assert str(path) in descriptors()
        raise ConnectionResetError

    async def hang_up() -> None:
        with pytest.raises(ConnectionResetError):
            await NotesRequests(app)(
                {"type": "http", "headers": [(b"accept", b"application/x-ndjson")]}, nothing, nothing
            )

    asyncio.run(hang_up())
    assert str(path) not in descriptors()
    assert kept


# Pages


def test_an_answer_of_messages_can_end_early(logs: TaskLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a page limit the JSON route goes on by token to the end, each line once; the NDJSON route gives all."""
    monkeypatch.setenv("AIRFLOW__LOGFLUME__JSON_PAGE_LINES", "4")
    texts = [f"line {second}" for second in range(10)]
    logs.write("attempt=1.log", "".join(line(second, text) for second, text in enumerate(texts)))
    messages, token = logs.read()
    pages = [[message["event"] for message in messages][-4:]]
    while not token["end_of_log"]:
        messages, token = logs.read(token)
        pages.append([message["event"] for message in messages])
    assert pages == [texts[:4], texts[4:8], texts[8:]]
    assert token == {"end_of_log": True, "log_pos": 10}
    assert [message["event"] for message in logs.lines()][-10:] == texts


def test_a_page_of_a_running_task_leads_to_its_present_end(logs: TaskLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages and polls go into each other: no line is lost or repeated where the one ends and the other begins."""
    monkeypatch.setenv("AIRFLOW__LOGFLUME__JSON_PAGE_LINES", "3")
    logs.write("attempt=1.log", "".join(line(second, str(second)) for second in range(5)) + "half")
    seen: list[str] = []
    token: dict[str, Any] = {}
    for more in ("", " a line\n", line(7, "7"), ""):
        logs.write("attempt=1.log", more, append=True)
        messages, token = logs.read(token, state="running")
        seen += [message["event"] for message in messages]
    assert seen[seen.index("::endgroup::") + 1 :] == ["0", "1", "2", "3", "4", "half a line", "7"]


def test_a_source_that_breaks_between_polls_is_told_once(logs: TaskLogs) -> None:
    """What cannot be read any more is a message of the next answer, and not of every later one."""
    path = logs.write("attempt=1.log", line(1, "a"))
    _, token = logs.read(state="running")
    path.unlink()
    os.mkfifo(path)
    messages, token = logs.read(token, state="running")
    assert "named pipe" in messages[0]["event"]
    assert logs.read(token, state="running")[0] == []
