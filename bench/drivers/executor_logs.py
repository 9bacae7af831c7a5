"""Read a running task's log from its executor a thousand times, and see what that leaves behind.

``executor_logs.py logflume|stock READS THREADS LINES [PROVIDER]``, with the Python of ``.venv-airflow``. PROVIDER is a
folder into which another release of the Kubernetes provider was put (``pip install --no-deps --target``). The cluster:
``logflume.testing_kubernetes``, in a process of its own. Prints what there was before the first read and after all.

Holds: figures of this process and its children, from /proc; a read counts when its bytes were seen.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec

SERVER = """
import sys, time
from logflume.testing_kubernetes import PodServer
from logflume.executors.pods import safe_label
with PodServer() as server:
    labels = {"dag_id": "d", "task_id": "t", "run_id": safe_label("r"), "try_number": "1", "airflow-worker": "7",
              "kubernetes_executor": "True", "ti_id": "0190"}
    pod = server.add_pod("pod-of-t", namespace="airflow", labels=labels)
    pod.log.write(b"".join(b'{"event": "line %d"}\\n' % number for number in range(int(sys.argv[2]))))
    print(server.write_kubeconfig(sys.argv[1]), flush=True)
    sys.stdin.read()
"""
OUT = os.dup(1)  # the result; what Airflow logs to standard output goes to standard error
os.dup2(2, 1)
TI = SimpleNamespace(
    dag_id="d", task_id="t", run_id="r", map_index=-1, try_number=1, state="running", hostname="pod-of-t", id="0190",
    executor=None, executor_config={}, queued_by_job_id=7, queue="default",
)  # fmt: skip


def figures() -> dict[str, float]:
    """Return what this process and its children hold now."""
    gc.collect()
    children = _children(os.getpid())
    return {
        "processes": len(children),
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "rss_mb": round(sum(map(_rss_mb, [os.getpid(), *children])), 1),
    }


def _children(pid: int) -> list[int]:
    found = [
        int(text) for task in Path(f"/proc/{pid}/task").iterdir() for text in (task / "children").read_text().split()
    ]
    return [each for child in found for each in (child, *_children(child))]


def _rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class OtherProvider:
    """Finds the Kubernetes provider in a folder, before the one that is installed."""

    def __init__(self, folder: str) -> None:
        self._home = Path(folder) / "airflow" / "providers" / "cncf" / "kubernetes"

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Answer for the package itself; what is in it follows."""
        if name != "airflow.providers.cncf.kubernetes":
            return None
        return spec_from_file_location(name, self._home / "__init__.py", submodule_search_locations=[str(self._home)])


def reader(kind: str) -> Callable[[], int]:
    """Return what reads once, and gives the number of lines seen."""
    if kind == "stock":
        from airflow.utils.log.file_task_handler import FileTaskHandler

        handler = FileTaskHandler("/nowhere")

        def read() -> int:
            _, texts = handler._get_executor_get_task_log(TI)(TI, 1)  # noqa: SLF001 - as its _read does
            return sum(text.count("\n") for text in texts)

    else:
        from logflume.airflow.running import executor_logs
        from logflume.merge import iter_merged

        def read() -> int:
            with iter_merged(executor_logs(TI, 1).sources, workers=0) as merged:
                return sum(block.count(b"\n") for block in merged)

    return read


def read_all(read: Callable[[], int], reads: int, threads: int) -> int:
    """Read so many times from so many threads; return all lines seen."""
    due: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(reads):
        due.put(number)
    seen: list[int] = []

    def work() -> None:
        while True:
            try:
                due.get_nowait()
            except queue.Empty:
                return
            seen.append(read())

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(seen)


def main(kind: str, reads: int, threads: int, lines: int, provider: str | None = None) -> None:
    """Measure one of the two."""
    folder = tempfile.mkdtemp()
    config = f"{folder}/kubeconfig"
    words = [sys.executable, "-c", SERVER, config, str(lines)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        if server.stdout is None or not server.stdout.readline():
            raise RuntimeError("the cluster did not come")
        os.environ |= {
            "AIRFLOW_HOME": folder,
            "AIRFLOW__CORE__EXECUTOR": "KubernetesExecutor",
            "AIRFLOW__KUBERNETES_EXECUTOR__IN_CLUSTER": "False",
            "AIRFLOW__KUBERNETES_EXECUTOR__CONFIG_FILE": config,
            "AIRFLOW__KUBERNETES_EXECUTOR__NAMESPACE": "airflow",
        }
        if provider:
            sys.meta_path.insert(0, OtherProvider(provider))
        importlib.import_module("airflow.utils.log.file_task_handler")
        _report(kind, reads, threads, provider)
        server.kill()


def _report(kind: str, reads: int, threads: int, provider: str | None) -> None:
    read = reader(kind)
    before = figures()
    first = read_all(read, threads, threads)  # what is loaded and made once
    settled = figures()
    started = time.perf_counter()
    seen = read_all(read, reads, threads)
    seconds = time.perf_counter() - started
    after = figures()
    module: Any = sys.modules.get("airflow.providers.cncf.kubernetes")
    found = {
        "kind": kind,
        "provider": getattr(module, "__version__", "not imported"),
        "asked_for": provider or "installed",
        "before": before,
        "after_first": settled,
        "after": after,
        "lines": [first, seen],
        "reads": reads,
        "seconds": round(seconds, 2),
        **{f"{what}_left": after[what] - before[what] for what in ("processes", "threads", "files")},
        "mb_of_first": round(settled["rss_mb"] - before["rss_mb"], 1),
        "mb_of_rest": round(after["rss_mb"] - settled["rss_mb"], 1),
        "executor_imported": "airflow.providers.cncf.kubernetes.executors.kubernetes_executor" in sys.modules,
    }
    os.write(OUT, f"{json.dumps(found)}\n".encode())


if __name__ == "__main__":
    kind, reads, threads, lines, *rest = sys.argv[1:]
    main(kind, int(reads), int(threads), int(lines), *rest)
