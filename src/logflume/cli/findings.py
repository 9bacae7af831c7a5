"""What ``doctor`` finds: facts, things to know, and problems with what to do about them."""

from __future__ import annotations

import enum
import os
import stat
from dataclasses import dataclass
from pathlib import Path


class Verdict(enum.Enum):
    """How a finding is meant. The value is what is printed."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's: what it is about, what is so, and what to do."""

    verdict: Verdict
    subject: str
    text: str
    todo: str = ""


def ok(subject: str, text: str) -> Finding:
    """All is well."""
    return Finding(Verdict.OK, subject, text)


def note(subject: str, text: str, todo: str = "") -> Finding:
    """Something to know; it works all the same."""
    return Finding(Verdict.NOTE, subject, text, todo)


def problem(subject: str, text: str, todo: str) -> Finding:
    """Something that does not work."""
    return Finding(Verdict.PROBLEM, subject, text, todo)


def owner_and_mode(path: str) -> str:
    """Say who may do what with a path."""
    try:
        status = Path(path).stat()
    except OSError:
        return "mode unknown"
    mode = f"mode {stat.S_IMODE(status.st_mode):04o}"
    return f"{mode}, owned by {_user(status.st_uid)}, group {_group(status.st_gid)}"


def this_user() -> str:
    """Name who runs this."""
    return _user(os.geteuid())


def _user(number: int) -> str:
    import pwd

    try:
        return f"{pwd.getpwuid(number).pw_name} ({number})"
    except KeyError:
        return f"user {number}"


def _group(number: int) -> str:
    import grp

    try:
        return f"{grp.getgrgid(number).gr_name} ({number})"
    except KeyError:
        return str(number)
