from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from logflume.settings import BadSetting
from logflume.ship.config import read_config
from logflume.ship.outgoing import OutgoingTable, Redact, Rules, Sample
from logflume.ship.requests import TAKEN, requests_of
from logflume.ship.shipper import Job, ship_all
from logflume.ship.sinks import Chosen
from logflume.ship.sinks.file import FileSink
from logflume.ship.status import read_status
from tests.integration.command import run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from logflume.ship.delivery import Progress
    from logflume.ship.requests import Receipt, Request


def shipped(folder: Path, rules: Rules, tags: Mapping[str, str]) -> tuple[bytes, Progress]:
    """Ship what is in a folder by rules; return what arrived, and how it went."""
    archive = folder.parent / "archive.log"
    progress = ship_all([Job(folder, [FileSink(archive)], None, lambda: rules.stage(tags))])
    return archive.read_bytes() if archive.exists() else b"", progress[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for logs."""
    made = tmp_path / "logs"
    made.mkdir()
    return made


def test_secrets_are_covered_on_the_way_and_not_on_the_disk(folder: Path) -> None:
    """What matches is replaced for sinks; the file stays as it is; both are counted."""
    text = b"login password=hunter2 ok\nplain\n" * 10000
    (folder / "out.log").write_bytes(text)
    rules = Rules(OutgoingTable(count={"logins": "login"}), (Redact(pattern=r"(password=)\S+", replacement="$1***"),))
    arrived, progress = shipped(folder, rules, {})
    assert arrived == text.replace(b"hunter2", b"***")
    assert (folder / "out.log").read_bytes() == text
    assert (progress.redacted, progress.counts) == (10000, {"logins": 10000})


def test_the_place_of_a_sink_stays_right(folder: Path) -> None:
    """A sink that has had all has no backlog, though it got other bytes; what comes later is shipped once."""
    path = folder / "out.log"
    path.write_bytes(b"a secret\n" * 1000)
    rules = Rules(redact=(Redact(pattern="secret"),))
    shipped(folder, rules, {})
    with path.open("ab") as file:
        file.write(b"one more secret\n")
    arrived, _ = shipped(folder, rules, {})
    assert arrived == b"a ***\n" * 1000 + b"one more ***\n"


def test_what_was_redacted_once_does_not_leave_plain_by_mistake(tmp_path: Path) -> None:
    """``replay`` and ``drain`` ask for the settings by which lines left before; with them lines are redacted again."""
    kept, settings, archive = tmp_path / "kept", tmp_path / "x.toml", tmp_path / "archive.log"
    settings.write_text(f'[sinks.a]\nkind = "file"\npath = "{archive}"\n[outgoing.redact.x]\npattern = "hunter2"\n')
    assert run("run", "--quiet", "--dir", kept, "--config", settings, "--", "echo", "hunter2").code == 0
    assert archive.read_text() == "***\n"
    again = tmp_path / "again.log"
    for command in ("replay", "drain"):
        refused = run(command, kept, "--sink", f"file:{again}")
        assert (refused.code, again.exists()) == (2, False)
        assert "--config" in refused.err
    assert run("replay", kept, "--sink", f"file:{again}", "--config", settings).code == 0
    assert (again.read_text(), archive.read_text()) == ("***\n", "***\n***\n")
    assert run("drain", kept, "--sink", f"file:{tmp_path / 'other.log'}", "--config", settings).code == 0
    assert (tmp_path / "other.log").read_text() == "***\n"
    assert run("replay", kept, "--sink", f"file:{tmp_path / 'plain.log'}", "--plain").code == 0
    assert (tmp_path / "plain.log").read_text() == "hunter2\n"


def test_no_more_lines_leave_than_wanted() -> None:
    """Of a burst the first lines leave, as many as may in the time in which it came; a slow log leaves whole."""
    stage = Rules(OutgoingTable(lines_per_s=10)).stage({})
    second_ns = 10**9
    burst = b"".join(b"%d\n" % n for n in range(25))
    first = stage.apply(burst, 0)
    assert first is not None
    assert first.block == burst[:20]
    assert stage.left_out == 15
    later = stage.apply(burst, second_ns)
    assert later is not None
    assert later.block == burst[:20]
    assert stage.apply(burst, 4 * second_ns) is None  # in the three seconds since
    assert stage.apply(b"1\n" * 5, 4 * second_ns) is None
    assert stage.apply(b"1\n" * 6, 5 * second_ns) is None
    assert stage.left_out == 30
    back = stage.apply(burst, 0)  # a clock that was set back gives nothing
    assert back is not None
    assert len(back.block.splitlines()) == 4
    assert back.size_before(len(back.block), len(burst)) == len(burst)


def test_what_is_left_out_is_counted_and_not_waited_for(folder: Path) -> None:
    """Sampling leaves out whole records; a stream that ends with some has no backlog, and they are not read again."""
    block = b"2024-11-20 12:00:00 DEBUG x\n  its second line\n"
    (folder / "out.log").write_bytes(b"2024-11-20 12:00:00 INFO first\n" + block * 5)
    rules = Rules(sample=Sample(pattern="DEBUG", keep_one_in=10))
    arrived, progress = shipped(folder, rules, {})
    assert arrived == b"2024-11-20 12:00:00 INFO first\n" + block
    assert progress.left_out == 8
    assert shipped(folder, rules, {})[1].left_out == 0
    assert [sink.refused for sink in read_status(folder).sinks] == [None]


def test_records_become_objects(folder: Path) -> None:
    """A traceback stays with its line, wherever blocks end; level, time and tags are there; objects get the tags."""
    record = b'2024-11-20 12:34:56,789 ERROR it broke\nTraceback:\n  File "x"\n'
    (folder / "out.log").write_bytes(record * 9000 + b'{"event":"done"}\n')
    rules = Rules(OutgoingTable(format="records", tags={"team": "data"}))
    arrived, _ = shipped(folder, rules, {"child": "scheduler"})
    objects = [json.loads(line) for line in arrived.splitlines()]
    assert len(objects) == 9001
    tags = {"child": "scheduler", "team": "data"}
    assert objects[-1] == {"event": "done", **tags}
    assert {json.dumps(each) for each in objects[:-1]} == {
        json.dumps(
            {
                "timestamp": "2024-11-20T12:34:56.789000Z",
                "level": "error",
                "event": record.decode().rstrip("\n"),
                **tags,
            }
        )
    }


def test_lines_without_times_are_records_each(folder: Path) -> None:
    """Where no line has a time, each is a record, with the time at which it came."""
    (folder / "out.log").write_bytes(b"one\ntwo\n")
    arrived, _ = shipped(folder, Rules(OutgoingTable(format="records")), {"child": "x"})
    assert [json.loads(line)["event"] for line in arrived.splitlines()] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[outgoing]\nformt = 1", r"outgoing\.formt: .* Did you mean format\?"),
        ("[outgoing]\ntags = {a = 'b'}", r'outgoing\.tags: this needs format = "records"'),
        ("[outgoing.redact.keys]\npattern = '('", r"outgoing\.redact\.keys\.pattern: bad pattern at 0: unclosed group"),
        ("[outgoing.redact.keys]", r"outgoing\.redact\.keys\.pattern: expected a regular expression.* missing"),
        ("[outgoing]\ncount = {bad = '[a'}", r"outgoing\.count\.bad: bad pattern"),
        (
            "[outgoing.sample]\npattern = 'x'\nkeep_one_in = 1",
            r"outgoing\.sample\.keep_one_in: expected a whole number",
        ),
        ("[outgoing.sample]\npattern = '(?=x)'\nkeep_one_in = 2", r"outgoing\.sample\.pattern: bad pattern"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, text: str, told: str) -> None:
    """A pattern that cannot be used, and a key that is none, are told with their place."""
    path = tmp_path / "logflume.toml"
    path.write_text(text)
    with pytest.raises(BadSetting, match=told):
        read_config(path)


RECORD = b'2024-11-20 12:34:56,789 ERROR login password=hunter2 failed\nTraceback:\n  File "x", password=hunter2\n'
EVERY_KIND: dict[str, dict[str, object]] = {
    "cloudwatch": {"group": "g"},
    "http": {"url": "http://127.0.0.1:1/"},
    "loki": {"url": "http://127.0.0.1:1/"},
    "objectstore": {"url": "file:///{folder}/store"},
    "otlp": {"url": "http://127.0.0.1:1/"},
    "redis": {"url": "redis://127.0.0.1:1/0"},
    "file": {"path": "{folder}/file"},
}


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_rules_hold_for_every_kind_of_sink(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What leaves has no secret, one event for each record, with its level and tags, whatever the sink makes of it."""
    (folder / "out.log").write_bytes(RECORD * 3)
    table = {"kind": kind, **EVERY_KIND[kind]}
    tags = {"folder": str(folder.parent).lstrip("/"), "child": "scheduler"}
    if kind == "file":
        tags["folder"] = str(folder.parent)
    sink = Chosen("each", table, "logflume.toml", folder.parent).make(folder, tags)
    sent: list[Request] = []

    def take(request: Request) -> Receipt:
        sent.append(request)
        return TAKEN

    given = requests_of(sink)
    monkeypatch.setattr(type(given), "send", lambda _, request: take(request))
    redact = Redact(pattern=r"(password=)\w+", replacement="$1***")
    rules = Rules(OutgoingTable(format="records", tags={"team": "data"}, count={"logins": "login"}), (redact,))
    (progress,) = ship_all([Job(folder, [sink], None, lambda: rules.stage({"child": "scheduler"}))])
    body = b"".join(request.payload for request in sent).replace(b'\\"', b'"').replace(b"\\\\", b"\\")
    assert (progress.done, progress.redacted, progress.counts) == (True, 6, {"logins": 3})
    assert b"hunter2" not in body
    assert body.count(b"password=***") == 6
    assert body.count(b'"level":"error"') == body.count(b'"child": "scheduler", "team": "data"') == 3
    assert body.count(b"Traceback:\\n") == 3, "a record's lines stay together"
    assert sum(request.events for request in sent) in (0, 3)
    if kind == "otlp":
        assert body.count(b'"severityText":"ERROR"') == body.count(b'"timeUnixNano":"1732106096789000000"') == 3
