"""What holds something until it is closed: ``close()``, and ``with`` that calls it.

Holds: nothing itself. A class says in its own ``close`` what it releases; calling it twice is fine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


class Closing(ABC):
    """Closed where its ``with`` ends, whatever happened in it."""

    __slots__ = ()

    @abstractmethod
    def close(self) -> None:
        """Release all that is held, now; once more is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
