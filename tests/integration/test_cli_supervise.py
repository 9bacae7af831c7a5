"""`logflume supervise`: children are started, watched, stopped and started again, and all that they write is kept."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.command import COMMAND, environment, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Require

PATIENCE_S = 60.0
QUICK = "backoff_s = 0.05\nmax_backoff_s = 0.1\n"


class Supervised:
    """A supervisor and its folder, from outside."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.process = process
        self.leaves = False  # whether the children are to outlive the test's `with`

    def kill_the_rest(self) -> None:
        """Kill what outlives a supervisor."""
        notes = [json.loads(path.read_text()) for path in (self.folder / "logs").glob("*/.logflume/capture.json")]
        pids = [note["pid"] for note in notes] + [pid for note in notes for pid, _ in note["holders"]]
        shipper = self.note().get("shipper")
        for pid in filter(None, [*pids, *(shipper or [])[:1]]):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def out(self, child: str) -> list[str]:
        """Return the lines that a child wrote."""
        path = self.folder / "logs" / child / "out.log"
        return path.read_text().splitlines() if path.exists() else []

    def note(self) -> dict[str, Any]:
        """Return what the supervisor noted last."""
        path = self.folder / "logs" / ".logflume" / "supervise.json"
        known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return known

    def wait(self) -> tuple[int, str]:
        """Wait for its end; return the exit code and what it said."""
        code = self.process.wait(PATIENCE_S)
        return code, (self.folder / "said").read_text()

    def stop(self) -> tuple[int, str]:
        """Ask it to end, and wait for that."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()


@contextlib.contextmanager
def supervising(folder: Path, text: str, supervise: str = "", **environ: str) -> Iterator[Supervised]:
    """Supervise what a file says while entered."""
    (folder / "logflume.toml").write_text(f'[supervise]\nfolder = "logs"\n{supervise}\n{text}')
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [*COMMAND, "supervise", str(folder / "logflume.toml")],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=environment(**environ),
        )
    supervised = Supervised(folder, process)
    try:
        yield supervised
    finally:
        process.kill()
        process.wait()
        if not supervised.leaves:
            supervised.kill_the_rest()


def child(name: str, script: str, more: str = "") -> str:
    """Return the table of a child that runs a script."""
    return f"[children.{name}]\ncommand = {json.dumps(['sh', '-c', script])}\n{more}\n"


def condition(of: str, kind: str, more: str) -> str:
    """Return the table of a condition that is looked at often."""
    return f'[children.{of}.conditions.it]\nkind = "{kind}"\nevery_s = 0.1\nfailures = 2\n{more}\n'


def wait_until(happened: Callable[[], object]) -> None:
    """Look again and again, up to the deadline."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.02)


def ask(port: int, path: str) -> tuple[int, str]:
    """Ask a supervisor something."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def children_of(pid: int) -> list[int]:
    """Return the processes whose parent is ``pid``."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state_of(pid: int) -> str:
    """Return the state of a process, such as Z for one that nobody has reaped; nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


LOOP = "while :; do sleep 0.05; done"


def test_children_run_and_are_shipped(tmp_path: Path) -> None:
    """What each child writes is kept in a folder of its name, and shipped; SIGTERM ends all, and that is no failure."""
    sink = '[sinks.archive]\nkind = "file"\npath = "archive-{child}.log"\n'
    text = child("one", f"echo 1; {LOOP}") + child("two", f"echo 2 >&2; {LOOP}") + sink
    with supervising(tmp_path, text) as supervised:
        wait_until(lambda: supervised.out("one") == ["1"] and supervised.out("two") == ["2"])
        code, said = supervised.stop()
    assert code == 0, said
    assert (tmp_path / "archive-one.log").read_text() == "1\n"
    assert (tmp_path / "archive-two.log").read_text() == "2\n"
    assert "one: it was ended by SIGTERM" in said


def test_children_start_and_stop_in_order(tmp_path: Path) -> None:
    """A child starts when those before it hold their conditions or have ended with 0, and stops before they do."""
    file = tmp_path / "order"
    traps = f"trap 'echo stop $0 >> {file}; exit' TERM; echo start $0 >> {file}"
    ready = condition("base", "file", f'path = "{tmp_path}/ready"\nmax_age_s = 1000\nfirst_after_s = 0')
    text = (
        child("top", f"set -- top; {traps.replace('$0', 'top')}; {LOOP}", 'after = ["base", "once"]')
        + child("base", f"{traps.replace('$0', 'base')}; touch {tmp_path}/ready; {LOOP}")
        + ready
        + child("once", f"sleep 0.5; echo once >> {file}", 'restart = "never"')
    )
    with supervising(tmp_path, text) as supervised:
        wait_until(lambda: file.exists() and "start top" in file.read_text())
        code, said = supervised.stop()
    lines = file.read_text().splitlines()
    assert code == 0, said
    assert sorted(lines[:2]) == ["once", "start base"]
    assert lines[2:] == ["start top", "stop top", "stop base"]


@pytest.mark.parametrize(
    ("restart", "script", "runs", "code"),
    [
        ("never", "exit 0", 1, 0),
        ("never", "exit 3", 1, 3),
        ("on-failure", "exit 0", 1, 0),
        ("on-failure", "exit 3", 3, 3),
    ],
)
def test_who_ends_is_started_again_as_wanted(tmp_path: Path, restart: str, script: str, runs: int, code: int) -> None:
    """The policy counts, and a child that ends too soon too often is given up; its exit code is ours."""
    text = child("it", f"echo run; {script}", f'restart = "{restart}"\nmax_restarts = 2\n{QUICK}')
    with supervising(tmp_path, text) as supervised:
        ended, said = supervised.wait()
    assert (ended, supervised.out("it")) == (code, ["run"] * runs)
    assert ("given up after 3 runs" in said) is (runs == 3)


@pytest.mark.parametrize("mode", ["direct", "pipe", "fifo"])
def test_a_torn_line_is_not_the_beginning_of_the_next_run(tmp_path: Path, mode: str) -> None:
    """What a run leaves without a newline is ended before the next one begins."""
    text = (
        child("it", "printf torn; exit 1", f"max_restarts = 2\n{QUICK}") + f'[children.it.capture]\nmode = "{mode}"\n'
    )
    with supervising(tmp_path, text) as supervised:
        supervised.wait()
    assert supervised.out("it") == ["torn"] * 3


def test_a_second_supervisor_is_refused(tmp_path: Path) -> None:
    """While one supervises, another one of the same file is refused, and takes nothing away from the first."""
    sink = '[sinks.archive]\nkind = "file"\npath = "archive.log"\n'
    with supervising(tmp_path, child("it", f"echo one; {LOOP}") + sink) as supervised:
        wait_until((tmp_path / "archive.log").exists)
        wait_until(lambda: supervised.note()["shipper"])
        shipper = supervised.note()["shipper"]
        done = run("supervise", tmp_path / "logflume.toml")
        assert done.code == 2
        assert "is being captured into" in done.err
        os.kill(shipper[0], 0)
        assert supervised.note()["shipper"] == shipper
        supervised.stop()


def test_what_cannot_be_run_is_told_and_tried_again(tmp_path: Path) -> None:
    """A command that is not there is a run that ended with 127."""
    text = f'[children.it]\ncommand = ["no-such-command"]\nmax_restarts = 1\n{QUICK}'
    with supervising(tmp_path, text) as supervised:
        code, said = supervised.wait()
    assert code == 127
    assert said.count("no-such-command cannot be run") == 2


def test_an_essential_child_ends_all(tmp_path: Path) -> None:
    """With an essential child all others end, and its exit code is ours."""
    text = child("it", "sleep 0.3; exit 4", 'restart = "never"\nessential = true') + child("other", LOOP)
    with supervising(tmp_path, text) as supervised:
        code, said = supervised.wait()
    assert code == 4
    assert "it has ended, and is essential: all are stopped" in said


def test_who_does_not_end_is_killed_with_all_that_is_left(tmp_path: Path) -> None:
    """A child that ignores SIGTERM gets SIGKILL when its time is over, and so does what it left behind."""
    script = "trap '' TERM; (trap '' TERM; echo $$; while :; do sleep 0.05; done) & echo ready; wait"
    with supervising(tmp_path, child("it", script, "stop_s = 0.2")) as supervised:
        wait_until(lambda: "ready" in supervised.out("it"))
        pid = int(supervised.out("it")[0]) if supervised.out("it")[0] != "ready" else int(supervised.out("it")[1])
        code, said = supervised.stop()
    assert code == 0
    assert "it is killed, for its time to end is over" in said
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)


def test_what_is_written_after_sigterm_is_kept(tmp_path: Path) -> None:
    """20,000 lines that a child writes when it is asked to end are all there, in each way of capture."""
    script = "exec 2>/dev/null; trap 'seq 20000; exit' TERM; echo ready; while :; do sleep 0.05; done"
    modes = ["direct", "pipe", "fifo", "pty"]
    text = "".join(child(mode, script) + f'[children.{mode}.capture]\nmode = "{mode}"\n' for mode in modes)
    with supervising(tmp_path, text) as supervised:
        wait_until(lambda: all("ready" in supervised.out(mode) for mode in modes))
        code, said = supervised.stop()
    assert code == 0, said
    for mode in modes:
        assert supervised.out(mode) == ["ready", *map(str, range(1, 20001))]


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("command", 'command = ["sh", "-c", "exit 1"]'),
        ("file", 'path = "no-such-file"\nmax_age_s = 0.2'),
        ("sql", 'url = "sqlite:///no-such.db"'),
        ("http", 'url = "http://127.0.0.1:9/"'),
        ("memory", "max_bytes = 1"),
        ("lifetime", "max_s = 1"),
    ],
)
def test_a_condition_restarts_its_child(tmp_path: Path, kind: str, more: str) -> None:
    """A child whose condition fails is stopped and started again, and it is told why."""
    text = child("it", f"echo run; {LOOP}", QUICK) + condition("it", kind, f'{more}\nthen = "restart"')
    with supervising(tmp_path, text) as supervised:
        wait_until(lambda: len(supervised.out("it")) >= 2)
        code, said = supervised.stop()
    assert code == 0
    assert re.search(r"it: it fails \(.+\): it is asked to end", said)


def test_a_condition_stops_or_signals(tmp_path: Path) -> None:
    """A condition can stop its child for good, or send it a signal of one's choice."""
    bad = 'command = ["false"]\nthen = '
    text = (
        child("stopped", LOOP)
        + condition("stopped", "command", bad + '"stop"')
        + child(
            "signalled",
            "exec 2>/dev/null; trap 'echo got it; exit 0' USR1; while :; do sleep 0.05; done",
            'restart = "never"',
        )
        + condition("signalled", "command", bad + '"signal"\nsend = "USR1"')
    )
    with supervising(tmp_path, text) as supervised:
        code, said = supervised.wait()
    assert supervised.out("signalled") == ["got it"]
    assert "stopped: it fails (it ended with 1): it is asked to end" in said
    assert code == 128 + signal.SIGTERM


def test_signals_reach_the_whole_group(tmp_path: Path) -> None:
    """A signal that does not stop is passed on to every process of every child."""
    inner = "trap 'echo inner' USR1; echo up; while :; do sleep 0.05; done"
    script = f"sh -c \"{inner}\" & trap 'echo outer' USR1; echo up; while :; do sleep 0.05; done"
    with supervising(tmp_path, child("it", script)) as supervised:
        wait_until(lambda: supervised.out("it").count("up") == 2)
        supervised.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: {"inner", "outer"} <= {*supervised.out("it")})
        supervised.stop()


@pytest.mark.parametrize("mode", ["direct", "fifo"])
def test_children_outlive_a_killed_supervisor(tmp_path: Path, mode: str) -> None:
    """After kill -9 of the supervisor children go on; the next one finds them, and ships each line once, in order."""
    go = tmp_path / "go"
    script = f"echo start; i=0; while [ ! -e {go} ]; do i=$((i+1)); echo $i; sleep 0.01; done; echo end; {LOOP}"
    sink = '[sinks.archive]\nkind = "file"\npath = "archive.log"\n'
    text = child("it", script) + f'[children.it.capture]\nmode = "{mode}"\n' + sink
    archive = tmp_path / "archive.log"
    pids: list[int] = []
    for _ in range(3):
        with supervising(tmp_path, text) as supervised:
            seen = len(supervised.out("it"))
            wait_until(lambda seen=seen: len(supervised.out("it")) > seen + 10)  # type: ignore[misc]
            supervised.process.kill()
            supervised.process.wait()
            pids.append(json.loads((tmp_path / "logs" / "it" / ".logflume" / "capture.json").read_text())["pid"])
            supervised.leaves = True
    with supervising(tmp_path, text) as supervised:
        wait_until(lambda: supervised.note().get("children", {}).get("it", {}).get("pid") == pids[0])
        go.touch()
        wait_until(lambda: "end" in supervised.out("it"))
        code, said = supervised.stop()
    assert code == 0, said
    assert len({*pids}) == 1
    assert f"process {pids[0]} of an earlier supervisor goes on" in said
    lines = supervised.out("it")
    assert lines == ["start", *(str(n) for n in range(1, len(lines) - 1)), "end"]
    assert archive.read_text().splitlines() == lines


def test_children_end_with_a_killed_supervisor_if_that_is_wanted(tmp_path: Path) -> None:
    """With when_killed = "stop" the system ends children when it ends the supervisor."""
    with supervising(tmp_path, child("it", f"echo $$; {LOOP}"), 'when_killed = "stop"') as supervised:
        wait_until(lambda: supervised.out("it"))
        pid = int(supervised.out("it")[0])
        supervised.process.kill()
        supervised.process.wait()

        wait_until(lambda: state_of(pid) in ("", "Z"))


def test_how_a_child_is_run(tmp_path: Path) -> None:
    """Environment, working folder, umask, limits and user are as the file says."""
    script = 'pwd; umask; ulimit -n; echo "$A $NOTIFY_SOCKET"; id -un; echo $HOME; cat; echo done'
    root = os.geteuid() == 0
    more = 'restart = "never"\nworking_folder = "/usr"\numask = "027"\nenvironment = {A = "b c"}\n'
    more += 'user = "nobody"\n' if root else ""
    text = child("it", script, more) + "[children.it.limits]\nopen_files = 123\n"
    with supervising(tmp_path, text, NOTIFY_SOCKET="/nowhere") as supervised:
        code, said = supervised.wait()
    assert code == 0, said
    lines = supervised.out("it")
    assert lines[:4] == ["/usr", "0027", "123", "b c "]
    assert lines[-1] == "done"
    if root:
        assert lines[4] == "nobody"


def test_an_unknown_user_is_told(tmp_path: Path) -> None:
    """A user that the system does not know is told, and nothing is run."""
    with supervising(tmp_path, child("it", "echo x", 'user = "nobody-at-all"')) as supervised:
        code, said = supervised.wait()
    assert code == 2
    assert "children.it: " in said
    assert "nobody-at-all" in said
    assert supervised.out("it") == []


def test_orphans_are_reaped(tmp_path: Path) -> None:
    """Processes whose parents have ended are ours, and none stays a zombie."""
    port = free_port()
    script = f"for i in 1 2 3; do (sleep 0.1 &) ; done; echo started; {LOOP}"
    with supervising(tmp_path, child("it", script), f'listen = "127.0.0.1:{port}"') as supervised:
        wait_until(lambda: supervised.out("it"))
        wait_until(lambda: "logflume_orphans_reaped_total 3" in ask(port, "/metrics")[1])
        assert "Z" not in [state_of(pid) for pid in children_of(supervised.process.pid)]
        supervised.stop()


def test_health_and_metrics(tmp_path: Path) -> None:
    """/health tells by its code whether all is well, /metrics what came and what is not shipped, and nothing else."""
    port = free_port()
    sink = f'[sinks.away]\nkind = "http"\nurl = "http://127.0.0.1:{free_port()}/"\n'
    text = child("it", f"echo secret-word; seq 1000; {LOOP}") + sink
    text += condition("it", "file", f'path = "{tmp_path}/beat"\nmax_age_s = 1000')
    with supervising(tmp_path, text, f'listen = "127.0.0.1:{port}"\ndrain_s = 0') as supervised:
        wait_until(lambda: "1000" in supervised.out("it"))
        wait_until(lambda: ask(port, "/health")[0] == 200)
        refused = re.compile(r'sink_refusals_total{child="it",sink="away"} [1-9]')
        wait_until(lambda: refused.search(ask(port, "/metrics")[1]))
        metrics = ask(port, "/metrics")[1]
        assert ask(port, "/")[0] == 404
        supervised.process.send_signal(signal.SIGTERM)
        supervised.wait()
    size = len((tmp_path / "logs" / "it" / "out.log").read_bytes())
    for line in (
        'logflume_child_up{child="it"} 1',
        f'logflume_captured_bytes_total{{child="it",stream="out.log"}} {size}',
        'logflume_captured_lines_total{child="it"} 1001',
        f'logflume_sink_backlog_bytes{{child="it",sink="away"}} {size}',
        'logflume_sink_up{child="it",sink="away"} 0',
        'logflume_child_condition_ok{child="it",condition="it"} 1',
    ):
        assert line in metrics.splitlines()
    assert float(re.findall(r'sink_lag_seconds{child="it",sink="away"} ([0-9.]+)', metrics)[0]) > 0
    assert "secret-word" not in metrics


def test_systemd_is_told(tmp_path: Path) -> None:
    """READY when all children run, WATCHDOG in time, STOPPING at the end; children do not inherit the socket."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(path))
        told.settimeout(PATIENCE_S)
        environ = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "200000"}
        with supervising(tmp_path, child("it", f"echo up; {LOOP}"), **environ) as supervised:
            heard = b""
            while b"READY=1" not in heard or b"WATCHDOG=1" not in heard:
                heard += told.recv(4096) + b"\n"
            supervised.process.send_signal(signal.SIGTERM)
            while b"STOPPING=1" not in heard:
                heard += told.recv(4096) + b"\n"
            assert supervised.wait()[0] == 0


def test_nothing_waits_for_a_sink_that_hangs(tmp_path: Path) -> None:
    """With a sink that never answers, children write on, conditions are looked at, and the loop goes round."""
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system takes connections, and nobody answers
        sink = f'[sinks.hangs]\nkind = "http"\nurl = "http://127.0.0.1:{silent.getsockname()[1]}/"\n'
        script = f"i=0; while [ $i -lt 50 ]; do seq 20000; i=$((i+1)); done; touch {tmp_path}/all; {LOOP}"
        text = child("it", script) + condition("it", "command", 'command = ["true"]') + sink
        with supervising(tmp_path, text, f'listen = "127.0.0.1:{port}"\ndrain_s = 0') as supervised:
            wait_until((tmp_path / "all").exists)
            rounds = int(supervised.note()["rounds"])
            wait_until(lambda: int(supervised.note()["rounds"]) > rounds + 10)
            metrics = ask(port, "/metrics")[1]
            code, said = supervised.stop()
    assert code == 0
    assert "not all is shipped yet" in said
    assert 'sink_sent_bytes_total{child="it",sink="hangs"} 0' in metrics
    looks = supervised.note()["children"]["it"]["conditions"]["it"]["looks"]
    assert looks > 1


def test_a_file_can_be_checked(tmp_path: Path) -> None:
    """--check names what would run, or the mistake, and runs nothing."""
    path = tmp_path / "logflume.toml"
    path.write_text('[supervise]\nfolder = "logs"\n' + child("it", "touch ran"))
    done = run("supervise", "--check", path, cwd=tmp_path)
    assert (done.code, done.text) == (0, "it; no sink\n")
    path.write_text('[supervise]\nfolder = "logs"\n')
    done = run("supervise", "--check", path)
    assert done.code == 2
    assert "there must be a table [supervise] and one [children.NAME]" in done.err
    path.write_text('[supervise]\nfolder = "logs"\n' + child("it", "true") + '[sinks.x]\nkind = "no"\n')
    assert "there is no such kind of sinks" in run("supervise", "--check", path).err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["logflume.toml"]


def test_run_and_ship_take_the_same_file(tmp_path: Path) -> None:
    """`run --config` keeps and ships as a file says; a flag counts more; `ship --config` does the rest."""
    (tmp_path / "logflume.toml").write_text(
        '[capture]\nmode = "pipe"\napart = true\n[sinks.archive]\nkind = "file"\npath = "{child}-archive.log"\n'
    )
    script = f'{sys.executable} -c "import os; print(os.fstat(1).st_mode & 0o170000 == 0o010000)"; echo err >&2'
    words = ("run", "--config", tmp_path / "logflume.toml", "--dir", tmp_path / "job")
    done = run(*words, "--", "sh", "-c", script)
    assert (done.code, done.out, done.err) == (0, b"True\n", "err\n")
    assert sorted((tmp_path / "job-archive.log").read_text().splitlines()) == ["True", "err"]
    assert run(*words, "--capture", "direct", "--", "sh", "-c", script).out == b"False\n"
    assert run("ship", "--config", tmp_path / "logflume.toml", tmp_path / "job").code == 0
    assert run("ship", "--config", tmp_path / "logflume.toml").code == 2


def test_status_shows_children(tmp_path: Path) -> None:
    """`status` of a supervisor's folder shows each child, its conditions and its sinks; --watch shows rates."""
    sink = f'[sinks.away]\nkind = "http"\nurl = "http://127.0.0.1:{free_port()}/"\n'
    text = child("it", "while :; do echo a line; sleep 0.01; done") + sink
    text += condition("it", "command", 'command = ["false"]')
    with supervising(tmp_path, text, "drain_s = 0") as supervised:
        wait_until(lambda: supervised.out("it"))
        wait_until(lambda: "it ended with 1" in run("status", tmp_path / "logs").text)
        shown = run("status", tmp_path / "logs").text
        known = json.loads(run("status", "--json", tmp_path / "logs").out)
        words = [*COMMAND, "status", "--watch", str(tmp_path / "logs")]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment()) as watch:
            assert watch.stdout
            assert any(re.search(r"^it .* [0-9.]+ k?B/s ", line) for line in watch.stdout)
            watch.send_signal(signal.SIGINT)
            watch.communicate(timeout=PATIENCE_S)
        assert watch.returncode == 0
        supervised.stop()
    assert re.search(r"^it +running +[0-9]+ +1 +.* away +it: it ended with 1$", shown, re.MULTILINE)
    assert re.search(r"^it: away +[0-9.]+ k?B ", shown, re.MULTILINE)
    assert known["captures"]["it"]["running"]
    assert known["supervisor"]["children"]["it"]["starts"] == 1


def test_as_process_1(require: Require, tmp_path: Path) -> None:
    """As the first process of a container it reaps what others leave, and ends with all its children when asked to."""
    require("unshare")
    script = f"for i in 1 2 3; do (sleep 0.1 &); done; echo started; {LOOP}"
    (tmp_path / "logflume.toml").write_text('[supervise]\nfolder = "logs"\n' + child("it", script))
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    words = ["unshare", *rights, "--pid", "--fork", "--kill-child", "--mount-proc", *COMMAND, "supervise"]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen([*words, str(tmp_path / "logflume.toml")], stderr=said, env=environment())
    supervised = Supervised(tmp_path, process)
    try:
        wait_until(lambda: supervised.note().get("orphans") == 3)
        assert supervised.note()["pid"] == 1
        (below,) = children_of(process.pid)
        os.kill(below, signal.SIGTERM)
        code, told = supervised.wait()
    finally:
        process.kill()
        process.wait()
    assert code == 0
    assert "it: it was ended by SIGTERM" in told
