"""How a person or a machine is reached: e-mail, telephone, network addresses, URLs that let somebody in."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import phonenumbers

from llmops_core.errors import DataError
from llmops_privacy.finding import BEFORE, Recogniser, Span, alone, matching, words

MAIL = re.compile(r"[\w+](?:[\w.+%&'*=!#$/?^{|}~-]{0,63})@(?:[^\W_][\w-]{0,62}\.){1,8}[^\W\d_]{2,24}")
HIDDEN_MAIL = re.compile(
    r"\w[\w.+-]{0,63} ?[\[({] ?(?:at|@|ät) ?[\])}] ?\w[\w-]{0,62}"
    r"(?: ?(?:\.|[\[({] ?(?:dot|punkt|point|punto|ponto|\.) ?[\])}]) ?\w[\w-]{1,62}){1,4}",
    re.IGNORECASE,
)
BRACKETED = re.compile(r" ?[\[({] ?(at|@|ät|dot|punkt|point|punto|ponto|\.) ?[\])}] ?", re.IGNORECASE)
RESERVED = (".example", ".invalid", ".test", ".localhost", ".local")
RESERVED_NAMES = frozenset({"example.com", "example.org", "example.net"})
FILES = re.compile(
    r"(?:png|jpe?g|gif|svg|webp|ico|css|scss|m?js|[jt]sx|json|x?html?|xml|ya?ml|py|md|txt|pdf|so)"
)
"""Names that end like these are files: icon@2x.png."""
SHARED = frozenset({"git"})
"""git@host:path is how a repository is reached, and names nobody."""

URL = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@?#\"'<>]{1,200}:[^\s/@\"'<>]{1,200}@[^\s/?#\"'<>]{1,255}[^\s\"'<>]{0,2000}"
)
V4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
V6 = re.compile(r"[0-9A-Fa-f]{1,4}(?::{1,2}[0-9A-Fa-f]{1,4}){2,7}(?:::)?")
LARGE = 64
"""Versions and numbers of sections have four small parts; of addresses one in three hundred has."""
UNICAST = ipaddress.IPv6Network("2000::/3")
MAC = re.compile(r"[0-9A-Fa-f]{2}([:-])[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2}){4}")

PHONE = re.compile(r"[+(\d](?:[ ().\-/]{0,3}\d){6,16}")
PHONE_WORDS = words(
    "tel", "phone", "telephone", "mobile", "cell", "call", "called", "calling", "dial", "fax",
    "text me", "sms", "whatsapp", "signal", "hotline", "ring", "reach me", "contact", "telefon\\w*",
    "tel[eé]fono\\w*", "handy", "mobil\\w*", "rufnummer", "anrufen", "ruf", "rufen", "erreichbar",
    "t[eé]l[eé]phone", "portable", "appelez", "appeler", "joindre", "m[oó]vil", "celular",
    "ll[aá]m\\w*", "cellulare", "chiam\\w*", "bel", "bellen", "gsm", "telefoon\\w*", "nummer",
    "telefone", "ligue", "ligar", "liga", "n[uú]mero",
)  # fmt: skip
DATE = re.compile(r"(?:19|20)\d\d[-./ ]\d\d?[-./ ]\d\d?|\d\d?[-./ ]\d\d?[-./ ](?:19|20)\d\d")
THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:[ .]\d{3})+")
DIGITS = re.compile(r"\d+")
NETWORK_WORDS = words("ip", "address", "addresses", "host", "server", "login", "logged", "client", "adresse")
LONG = 9
"""Digits from which a number in its own country is one without a 0 before it."""
PLAIN_PHONE, WRITTEN_PHONE = 0.35, 0.7
"""A number of a valid form alone; and one written the way its country writes it."""


def _mail(text: str) -> str:
    local, _, domain = text.lower().rpartition("@")
    ending = domain.rpartition(".")[2]
    reserved = f".{domain}".endswith(RESERVED) or ".".join(domain.split(".")[-2:]) in RESERVED_NAMES
    return "" if reserved or FILES.fullmatch(ending) or local in SHARED else f"{local}@{domain}"


def _hidden_mail(text: str) -> str:
    plain = BRACKETED.sub(lambda found: "@" if found[1].lower() in ("at", "@", "ät") else ".", text)
    plain = plain.replace(" ", "")
    return _mail(plain) if MAIL.fullmatch(plain) else ""


def _v4(text: str) -> str:
    try:
        return text if ipaddress.IPv4Address(text).is_global else ""
    except ValueError:
        return ""


def _large_v4(text: str) -> str:
    return _v4(text) if any(int(one) >= LARGE for one in text.split(".")) else ""


def _v6(text: str) -> str:
    try:
        found = ipaddress.IPv6Address(text)
    except ValueError:
        return ""
    return str(found) if found in UNICAST and found.is_global else ""


def _mac(text: str) -> str:
    plain = re.sub(r"[:-]", "", text).lower()
    telling = len(set(plain)) > 2 and any(map(str.isdigit, plain))
    return plain if telling else ""


def _url(text: str) -> str:
    host = text.partition("://")[2].rpartition("@")[2].partition("/")[0].lower()
    return "" if f".{host}".endswith(".invalid") else text


def phones(regions: Sequence[str], *, written: bool) -> Callable[[str], Iterator[Span]]:
    """Finds telephone numbers: international ones, and national ones of these regions.

    `written`: those that stand as their country writes them, or after a + ; else the others.
    """

    def search(text: str) -> Iterator[Span]:
        place = 0
        while found := PHONE.search(text, place):
            start, end = found.span()
            value, well = (
                _phone(text, start, end, tuple(regions)) if alone(text, start, end, True) else ("", False)
            )
            if value and well == written:
                yield start, end, value
            place = end if value else start + 1

    return search


def _phone(text: str, start: int, end: int, regions: tuple[str, ...]) -> tuple[str, bool]:
    said = text[start:end]
    if said.count("(") != said.count(")") or DATE.fullmatch(said):
        return "", False
    # a run of digits by itself is asked about only where words around it speak of telephones
    if said.isdigit() and said[0] != "0" and not PHONE_WORDS.search(text[max(0, start - BEFORE) : start]):
        return "", False
    return _number(said, regions)


@lru_cache(maxsize=4096)
def _number(said: str, regions: tuple[str, ...]) -> tuple[str, bool]:
    """A telephone number in its international form, and whether it is written as is usual; "": it is none."""
    abroad = said.startswith(("+", "00"))
    valid = ""
    for region in (None,) if abroad else regions:
        try:
            number = phonenumbers.parse("+" + said[2:] if said.startswith("00") else said, region)
        except phonenumbers.NumberParseException:
            continue
        value = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        if phonenumbers.is_valid_number(number):
            usual = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
            if abroad or (_tells(said) and _groups(said) == _groups(usual)):
                return value, True
            valid = valid or value
        elif abroad and phonenumbers.is_possible_number(number):
            return value, False  # plans change, and what is known of them is older
    return valid, False


def _tells(number: str) -> bool:
    """Whether groups of digits look like a telephone number's: no thousands, and no two years."""
    return (
        not THOUSANDS.fullmatch(number)
        and not number.isdigit()
        and (number[0] in "0(" or sum(map(str.isdigit, number)) >= LONG)
    )


def _groups(number: str) -> list[int]:
    """The lengths of its groups of digits, without the 0 before a number in its own country."""
    return [len(group) for group in DIGITS.findall(number.lstrip("(").removeprefix("0"))]


def contacts(regions: Sequence[str]) -> dict[str, tuple[Recogniser, ...]]:
    """The recognisers of this module, by what a text must hold. Raises DataError for no such region."""
    if unknown := sorted(set(regions) - phonenumbers.SUPPORTED_REGIONS):
        remedy = "Write two capital letters by ISO 3166: GB, not UK."
        raise DataError(f"there is no region {', '.join(unknown)}", where="regions", remedy=remedy)
    plain = phones(regions, written=False)
    usual = phones(regions, written=True)
    return {
        "@": (
            Recogniser("EMAIL_ADDRESS", matching(MAIL, _mail, number=False), 0.95),
            Recogniser("URL_WITH_PASSWORD", matching(URL, _url, number=False), 0.99),
        ),
        "[at]": (Recogniser("EMAIL_ADDRESS", matching(HIDDEN_MAIL, _hidden_mail, number=False), 0.8),),
        "number": (
            Recogniser("PHONE_NUMBER", plain, PLAIN_PHONE, PHONE_WORDS, 0.85, doubtful=True),
            Recogniser("PHONE_NUMBER", usual, WRITTEN_PHONE, PHONE_WORDS, 0.9, doubtful=True),
        ),
        "...": (
            Recogniser("IP_ADDRESS", matching(V4, _large_v4), 0.6, NETWORK_WORDS, 0.9, doubtful=True),
            Recogniser("IP_ADDRESS", matching(V4, _v4), 0.3, NETWORK_WORDS, 0.8, doubtful=True),
        ),
        "::": (
            Recogniser("IP_ADDRESS", matching(V6, _v6), 0.8),
            Recogniser("MAC_ADDRESS", matching(MAC, _mac), 0.85),
        ),
    }
