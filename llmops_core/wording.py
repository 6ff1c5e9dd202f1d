"""Numbers, times and digests as a person reads them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"


def count(value: float) -> str:
    """1962 is "1,962"."""
    return _signed(f"{value:,.0f}")


def size(value: float) -> str:
    """Bytes, in decimal units: 2100000000 is "2.1 GB"."""
    amount = abs(value)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 999.5 or unit == "TB":
            break
        amount /= 1000
    shown = f"{amount:.0f}" if unit == "B" or amount >= 99.95 else f"{amount:.1f}"
    return f"{shown} {unit}"


def duration(seconds: float) -> str:
    """84.1 is "1 m 24 s", 0.084 "84 ms"."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} m"


def moment(stamp: str) -> str:
    """An ISO time as "2026-11-22 09:14:17 UTC"; what is no time is given back as it is."""
    try:
        read = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
        universal = read.astimezone(UTC) if read.tzinfo else read
    except (ValueError, OverflowError):
        return stamp
    return f"{universal:%Y-%m-%d %H:%M:%S}" + (" UTC" if read.tzinfo else "")


def score(value: float) -> str:
    """A measured number with about three digits that matter: 21.4, 0.562, 1,204."""
    amount = abs(value)
    if value == 0:
        return "0"
    if amount >= 1e7 or amount < 0.0005:
        return _signed(re.sub(r"e([+-])0*(\d+)", _exponent, f"{value:.3g}"))
    digits = 0 if amount >= 999.5 else 1 if amount >= 9.995 else 2 if amount >= 0.9995 else 3
    return _signed(f"{value:,.{digits}f}")


def apart(value: float, bound: float) -> str:
    """`value` with as many digits as it takes to be told from `bound`: 0.8004 beside 0.8."""
    shown = score(value)
    if value == bound or shown != score(bound):
        return shown
    for digits in range(4, 17):
        shown = f"{value:.{digits}g}"
        if float(shown) != float(f"{bound:.{digits}g}"):
            break
    return _signed(shown)


def plain(value: float) -> str:
    """A number as someone wrote it in a recipe: 0.8, 15."""
    return _signed(f"{value:,.10g}")


def interval(low: float, high: float) -> str:
    """ "20.0-23.1", with words between where a minus sign would be misread."""
    between = " to " if low < 0 or high < 0 else DASH
    return f"{score(low)}{between}{score(high)}"


def change(before: float, after: float) -> str:
    """The relative change, as "+12 %"; empty where it has no meaning."""
    if before == 0:
        return ""
    ratio = (after - before) / abs(before) * 100
    if not math.isfinite(ratio):
        return ""
    shown = f"{ratio:+,.1f}" if abs(ratio) < 9.95 else f"{ratio:+,.0f}"
    return _signed(shown) + "\N{NO-BREAK SPACE}%"


def share(part: float, whole: float) -> str:
    """A part of a whole as "44 %"."""
    if whole <= 0:
        return ""
    percent = part / whole * 100
    return f"{percent:.0f}\N{NO-BREAK SPACE}%" if percent >= 0.95 or part == 0 else "<1\N{NO-BREAK SPACE}%"


def digest(value: str) -> str:
    """The first twelve characters, which is enough to find it in the store."""
    return value.rpartition(":")[2][:12]


def counted(value: int, one: str, many: str = "") -> str:
    """ "1 step", "2 steps"."""
    return f"{count(value)} {one if value == 1 else many or one + 's'}"


def _exponent(found: re.Match[str]) -> str:
    return "e" + found[1].replace("+", "").replace("-", MINUS) + found[2]


def _signed(shown: str) -> str:
    return shown.replace("-", MINUS, 1) if shown.startswith("-") else shown
