"""Every state in which a power failure can leave files: the calls of a program are recorded and played again in part.

What a crash may leave, as ALICE has it: of each file, any beginning of what was written to it since it was last synced,
the last write torn; of each folder, any beginning of the names made, changed and removed since that was last synced;
and all of these independently of one another. What was synced is there.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pytest


FEW_COMBINATIONS = 12


@dataclass(frozen=True)
class Call:
    """One recorded call: on a file by its number, or on names in a folder."""

    what: str  # create, write, truncate, rename, unlink, sync, syncdir, mark
    file: int = 0
    path: str = ""
    other: str = ""
    at: int = 0
    data: bytes = b""


@dataclass
class Recorder:
    """Records what is done below a folder; install it before what is recorded begins."""

    root: Path
    calls: list[Call] = field(default_factory=list)
    inodes: dict[int, int] = field(default_factory=dict)
    _held: list[int] = field(default_factory=list)
    _real_open: Callable[..., int] = os.open
    _numbers: dict[int, int] = field(default_factory=dict)
    _sizes: dict[int, int] = field(default_factory=dict)
    _count: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def mark(self, what: str, number: int) -> None:
        """Note a fact about this moment."""
        self.calls.append(Call("mark", path=what, at=number))

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand before the calls that change files."""
        self._real_open = os.open
        for name in ("open", "write", "ftruncate", "fsync", "fdatasync"):
            monkeypatch.setattr(os, name, getattr(self, f"_{name}")(getattr(os, name)))
        for name in ("write_bytes", "write_text", "rename", "replace", "unlink"):
            monkeypatch.setattr(Path, name, getattr(self, f"_{name}")(getattr(Path, name)))

    def close(self) -> None:
        """Let files go."""
        for descriptor in self._held:
            os.close(descriptor)
        self._held.clear()

    def _inside(self, path: object) -> str | None:
        with contextlib.suppress(ValueError, TypeError):
            return str(Path(os.fspath(path)).relative_to(self.root))  # type: ignore[call-overload]
        return None

    def _created(self, path: str) -> int:
        inode = (self.root / path).stat().st_ino
        self._numbers[inode] = next(self._count)
        self._sizes[self._numbers[inode]] = 0
        self._held.append(self._real_open(self.root / path, os.O_RDONLY))  # so that no number is used again
        self.inodes[self._numbers[inode]] = inode
        self.calls.append(Call("create", self._numbers[inode], path))
        return self._numbers[inode]

    def _file(self, descriptor: int) -> int | None:
        return self._numbers.get(os.fstat(descriptor).st_ino)

    def _wrote(self, file: int, data: bytes) -> None:
        self.calls.append(Call("write", file, at=self._sizes[file], data=data))
        self._sizes[file] += len(data)

    def _open(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(path: Any, flags: int, *rest: Any, **named: Any) -> int:  # noqa: ANN401 - as os.open has it
            inside = self._inside(path)
            new = inside is not None and flags & os.O_CREAT and not os.path.lexists(path)
            descriptor = real(path, flags, *rest, **named)
            if new and inside is not None:
                self._created(inside)
            return descriptor

        return call

    def _write(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(descriptor: int, data: bytes) -> int:
            written = real(descriptor, data)
            file = self._file(descriptor)
            if file is not None:
                self._wrote(file, bytes(data)[:written])
            return written

        return call

    def _ftruncate(self, real: Callable[..., None]) -> Callable[..., None]:
        def call(descriptor: int, size: int) -> None:
            real(descriptor, size)
            file = self._file(descriptor)
            if file is not None and size != self._sizes[file]:
                self.calls.append(Call("truncate", file, at=size))
                self._sizes[file] = size

        return call

    def _fsync(self, real: Callable[..., None]) -> Callable[..., None]:
        def call(descriptor: int) -> None:
            real(descriptor)
            inside = self._inside(Path(f"/proc/self/fd/{descriptor}").readlink())
            file = self._file(descriptor)
            if file is not None:
                self.calls.append(Call("sync", file))
            elif inside is not None:
                self.calls.append(Call("syncdir", path=inside))

        return call

    _fdatasync = _fsync

    def _write_bytes(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(path: Path, data: bytes) -> int:
            inside, existed = self._inside(path), path.exists()
            written = real(path, data)
            if inside is not None:
                file = self._numbers[path.stat().st_ino] if existed else self._created(inside)
                if existed:
                    self.calls.append(Call("truncate", file))
                    self._sizes[file] = 0
                self._wrote(file, data)
            return written

        return call

    def _write_text(self, real: Callable[..., int]) -> Callable[..., int]:
        del real

        def call(path: Path, text: str, encoding: str) -> int:
            return path.write_bytes(text.encode(encoding))

        return call

    def _rename(self, real: Callable[..., Path]) -> Callable[..., Path]:
        def call(path: Path, target: Path) -> Path:
            moved = real(path, target)
            if (inside := self._inside(path)) is not None:
                self.calls.append(Call("rename", path=inside, other=self._inside(target) or ""))
            return moved

        return call

    _replace = _rename

    def _unlink(self, real: Callable[..., None]) -> Callable[..., None]:
        def call(path: Path, *, missing_ok: bool = False) -> None:
            existed = path.exists()
            real(path, missing_ok=missing_ok)
            if existed and (inside := self._inside(path)) is not None:
                self.calls.append(Call("unlink", path=inside))

        return call


@dataclass(frozen=True)
class State:
    """Files as a crash leaves them, after so many calls."""

    calls: int
    files: dict[str, bytes]
    numbers: dict[str, int]

    def restore(self, folder: Path) -> dict[int, int]:
        """Write them; return the new inode of each file by its number."""
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return {number: (folder / name).stat().st_ino for name, number in self.numbers.items()}


def iter_states(calls: Sequence[Call]) -> Iterator[State]:
    """Yield every different state that a crash can leave, at any moment."""
    seen = set()
    for moment in range(len(calls) + 1):
        for numbers, files in _states_at(calls[:moment]):
            key = hash(tuple(sorted(files.items())))
            if key not in seen:
                seen.add(key)
                yield State(moment, files, numbers)


def _states_at(calls: Sequence[Call]) -> Iterator[tuple[dict[str, int], dict[str, bytes]]]:
    """Combine what each file and each folder may have kept: nothing, all, or a part of what was not synced."""
    data, names = _by_file(calls), _by_folder(calls)
    choices = [_choices(*of) for of in [*data.values(), *names.values()]]
    for chosen in _combined(choices):
        contents = {file: _content(calls) for file, calls in zip(data, chosen, strict=False)}
        names_left = _names_of(chosen[len(data) :])
        yield names_left, {name: contents.get(file, b"") for name, file in names_left.items()}


def _combined(choices: Sequence[list[list[Call]]]) -> Iterator[Sequence[list[Call]]]:
    """Yield all combinations where these are few; else those where one differs from others that keep all or none."""
    if math.prod(map(len, choices)) <= FEW_COMBINATIONS:
        yield from itertools.product(*choices)
        return
    for usual in (0, 1):  # nothing, all
        others = [kept[usual] if len(kept) > 1 else kept[0] for kept in choices]
        for number, kept in enumerate(choices):
            for one in kept:
                yield [*others[:number], one, *others[number + 1 :]]


def _by_file(calls: Sequence[Call]) -> dict[int, tuple[list[Call], list[Call]]]:
    """Return for each file what is synced, and what is not."""
    found: dict[int, tuple[list[Call], list[Call]]] = {}
    for call in calls:
        synced, loose = found.setdefault(call.file, ([], [])) if call.file else ([], [])
        if call.what in ("write", "truncate"):
            loose.append(call)
        elif call.what == "sync":
            synced += loose
            loose.clear()
    return found


def _by_folder(calls: Sequence[Call]) -> dict[str, tuple[list[Call], list[Call]]]:
    found: dict[str, tuple[list[Call], list[Call]]] = {}
    for call in calls:
        if call.what in ("create", "rename", "unlink"):
            found.setdefault(os.path.dirname(call.path), ([], []))[1].append(call)  # noqa: PTH120 - a key
        elif call.what == "syncdir":
            synced, loose = found.setdefault("" if call.path == "." else call.path, ([], []))
            synced += loose
            loose.clear()
    return found


def _choices(synced: list[Call], loose: list[Call]) -> list[list[Call]]:
    """Return what may be kept: nothing of what is loose, all of it, all but its last call, and that torn."""
    if not loose:
        return [synced]
    last = loose[-1]
    kept = [synced, [*synced, *loose]]
    if len(loose) > 1:
        kept.append([*synced, *loose[:-1]])
    if last.what == "write" and len(last.data) > 1:
        torn = Call("write", last.file, at=last.at, data=last.data[: len(last.data) // 2])
        kept.append([*synced, *loose[:-1], torn])
    return kept


def _content(calls: Sequence[Call]) -> bytes:
    data = b""
    for call in calls:
        if call.what == "truncate":
            data = data[: call.at].ljust(call.at, b"\0")
        else:
            data = data[: call.at].ljust(call.at, b"\0") + call.data
    return data


def _names_of(kept: Sequence[list[Call]]) -> dict[str, int]:
    names: dict[str, int] = {}
    for call in itertools.chain.from_iterable(kept):
        if call.what == "create":
            names[call.path] = call.file
        elif call.what == "unlink":
            names.pop(call.path, None)
        elif call.path in names:
            names[call.other] = names.pop(call.path)
    return names
