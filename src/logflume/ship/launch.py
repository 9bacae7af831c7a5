"""Become a command, under limits: run as ``python launch.py JSON WORD …`` between the supervisor and a child.

Holds: nothing of logflume is imported; what is done here is done in the order in which rights allow it.
Plan:  join the control group, set limits, change user, and only then ask for a signal when the parent ends: the system
       forgets that wish when the user changes. Then exec. What goes wrong is said on standard error, which is captured.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import sys
import termios
from typing import Any

PATH = __file__

_NOT_FOUND = 127
_NOT_EXECUTABLE = 126
_SET_DEATH_SIGNAL = 1  # prctl(2)
_STDOUT = 1


def launch(plan: dict[str, Any], words: list[str]) -> None:
    """Do what is planned, and become ``words``.

    Raises:
        OSError: something is not allowed, or not there.
    """
    if group := plan.get("cgroup"):
        with open(os.path.join(group, "cgroup.procs"), "w", encoding="ascii") as file:  # noqa: PTH118, PTH123 - no pathlib
            file.write("0")
    for name, most in plan.get("limits", {}).items():
        _limit(getattr(resource, name), most)
    if (mask := plan.get("umask")) is not None:
        os.umask(mask)
    _change_user(plan)
    if folder := plan.get("folder"):
        os.chdir(folder)
    if plan.get("terminal"):
        fcntl.ioctl(_STDOUT, termios.TIOCSCTTY, 0)
    if number := plan.get("death_signal"):
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, number)
        if os.getppid() != plan["parent"]:  # it has ended before we asked
            return
    os.execvp(words[0], words)  # noqa: S606 - no shell is wanted


def _limit(number: int, most: int) -> None:
    hard = resource.getrlimit(number)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(number, (most, most))


def _change_user(plan: dict[str, Any]) -> None:
    if (groups := plan.get("groups")) is not None:
        os.setgroups(groups)
    if (group_id := plan.get("gid")) is not None:
        os.setgid(group_id)
    if (user_id := plan.get("uid")) is not None:
        os.setuid(user_id)


def _main() -> int:
    plan, words = json.loads(sys.argv[1]), sys.argv[2:]
    try:
        launch(plan, words)
    except OSError as error:
        print(f"logflume: {words[0]} cannot be run: {error}", file=sys.stderr)  # noqa: T201 - it is captured
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE
    return 0


if __name__ == "__main__":
    sys.exit(_main())
