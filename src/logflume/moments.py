"""Times as people write them, in a command or an address, to nanoseconds.

Holds: nothing. A time without an offset is in the zone given, as such times in the log are: what a line shows can be
       typed as it stands.
"""

from __future__ import annotations

import datetime as dt
import re

from logflume.errors import UsageError

SECOND_NS = 1_000_000_000
_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86_400
_EPOCH_DAY = dt.date(1970, 1, 1).toordinal()

_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
_OFFSET = r"\s*(?P<offset>Z|UTC|[+-]\d\d:?\d\d)?"
_DAY = r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)|(?P<named>today|yesterday)"
_MOMENT = re.compile(rf"(?:{_DAY})?(?:(?:^|(?<=.)[T ]){_CLOCK})?{_OFFSET}", re.IGNORECASE | re.ASCII)
_EPOCH = re.compile(r"@(\d{1,12})(?:\.(\d{1,9}))?", re.ASCII)
_SPAN = re.compile(r"(?P<sign>-)?\s*(?P<parts>(?:\d+\s*[a-z]+\s*)+?)(?P<ago>\s*ago)?", re.IGNORECASE | re.ASCII)
_SPAN_PART = re.compile(r"(\d+)\s*([a-z]+)", re.IGNORECASE | re.ASCII)
_UNITS = {
    1: ("s", "sec", "secs", "second", "seconds"),
    _MINUTE_S: ("m", "min", "mins", "minute", "minutes"),
    _HOUR_S: ("h", "hour", "hours"),
    _DAY_S: ("d", "day", "days"),
    7 * _DAY_S: ("w", "week", "weeks"),
}
_UNIT_S = {name: size_s for size_s, names in _UNITS.items() for name in names}


def parse_moment(text: str, *, now_ns: int, zone: str = "UTC") -> int:
    """Return the time that ``text`` names.

    ``2024-11-20T12:34:56.5Z``, ``2024-11-20 12:34``, ``2024-11-20``; ``12:34`` and ``yesterday 12:34``; ``15m``,
    ``-15m`` and ``1h30m ago`` before now; ``@1732106096`` since 1970; ``now``.

    Raises:
        UsageError: it names none, or the zone is unknown.
    """
    wanted = text.strip()
    if wanted.lower() == "now":
        return now_ns
    if found := _EPOCH.fullmatch(wanted):
        return int(found[1]) * SECOND_NS + _fraction_ns(found[2])
    found = _MOMENT.fullmatch(wanted)
    if found and (found["year"] or found["named"] or found["hour"]):
        return _within_64_bits(_moment(found, text, now_ns, zone))
    if found := _SPAN.fullmatch(wanted):
        return _within_64_bits(now_ns - _span_s(found["parts"], text) * SECOND_NS)
    raise _unknown(text)


def _within_64_bits(ts_ns: int) -> int:
    """Times of records lie between the years 1677 and 2262: what is beyond them is as good as their ends."""
    return max(-(2**63), min(ts_ns, 2**63 - 1))


def _moment(found: re.Match[str], text: str, now_ns: int, zone: str) -> int:
    try:
        day = _day(found, now_ns, zone)
        clock = dt.time(int(found["hour"] or 0), int(found["minute"] or 0))
    except ValueError:
        raise _unknown(text) from None
    second = int(found["second"] or 0)
    if second > _MINUTE_S:  # 60 is a leap second
        raise _unknown(text)
    naive_s = (day.toordinal() - _EPOCH_DAY) * _DAY_S + clock.hour * _HOUR_S + clock.minute * _MINUTE_S + second
    offset_s = _offset_s(found["offset"], dt.datetime.combine(day, clock), zone)
    return (naive_s - offset_s) * SECOND_NS + _fraction_ns(found["fraction"])


def _day(found: re.Match[str], now_ns: int, zone: str) -> dt.date:
    if found["year"]:
        return dt.date(int(found["year"]), int(found["month"]), int(found["day"]))
    now = dt.datetime.fromtimestamp(now_ns / SECOND_NS, _zone(zone))
    if (found["named"] or "").lower() == "yesterday":
        now -= dt.timedelta(days=1)
    return now.date()


def _offset_s(offset: str | None, moment: dt.datetime, zone: str) -> int:
    if offset is None:
        difference = moment.replace(tzinfo=_zone(zone)).utcoffset()
        return round(difference.total_seconds()) if difference else 0
    if offset.upper() in ("Z", "UTC"):
        return 0
    size_s = int(offset[1:3]) * _HOUR_S + int(offset[-2:]) * _MINUTE_S
    return -size_s if offset[0] == "-" else size_s


def _zone(name: str) -> dt.tzinfo:
    if name == "UTC":
        return dt.timezone.utc
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"there is no time zone {name!r}; write it as Europe/Berlin or UTC") from None


def _span_s(parts: str, text: str) -> int:
    try:
        return sum(int(count) * _UNIT_S[unit.lower()] for count, unit in _SPAN_PART.findall(parts))
    except KeyError:
        raise _unknown(text) from None


def _fraction_ns(digits: str | None) -> int:
    return int((digits or "0").ljust(9, "0"))


def _unknown(text: str) -> UsageError:
    return UsageError(f"{text!r} is no time; write 2024-11-20T12:34:56Z, 2024-11-20 12:34, 12:34 (today) or 15m (ago)")


def show_moment(ts_ns: int, digits: int = 3) -> str:
    """Return a time as RFC 3339, in UTC, with so many ``digits`` (1 to 9) of a second's fraction."""
    seconds, rest_ns = divmod(ts_ns, SECOND_NS)
    # Every 64-bit number of nanoseconds is a date.
    moment = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds)  # noqa: DTZ001 - UTC throughout
    return f"{moment.isoformat()}.{rest_ns:09d}"[: 20 + digits] + "Z"


_UNITS_NS = (
    (_DAY_S * SECOND_NS, "d"),
    (_HOUR_S * SECOND_NS, "h"),
    (_MINUTE_S * SECOND_NS, "min"),
    (SECOND_NS, "s"),
    (1_000_000, "ms"),
)


def show_span(span_ns: int) -> str:
    """Return a length of time in its largest unit: ``1.5 h``, ``12 s``."""
    size_ns, unit = next((each for each in _UNITS_NS if span_ns >= each[0]), _UNITS_NS[-1])
    number = f"{span_ns / size_ns:.1f}".removesuffix(".0")
    return f"{number} {unit}"
