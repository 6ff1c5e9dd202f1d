"""Where money is: cards, bank accounts, and addresses of crypto currencies."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llmops_privacy.checksums import base58check, bech32, luhn, mod97
from llmops_privacy.finding import Recogniser, Span, alone, matching, words

CARD = re.compile(
    r"[2-6]\d{3}([ -]?)\d{4}\1\d{4}\1\d{4}(?:\1\d{3}(?!\d))?|"
    r"3[47]\d{2}([ -]?)\d{6}\2\d{5}|3[0689]\d{2}([ -]?)\d{6}\3\d{4}|4\d{12}"
)
ISSUERS = (
    ("4", "4", (13, 16, 19)),
    ("51", "55", (16,)),
    ("2221", "2720", (16,)),
    ("34", "34", (15,)),
    ("37", "37", (15,)),
    ("300", "305", (14,)),
    ("36", "36", (14,)),
    ("38", "39", (14,)),
    ("6011", "6011", (16, 19)),
    ("644", "659", (16, 19)),
    ("3528", "3589", (16, 19)),
    ("62", "62", (16, 19)),
    ("5018", "5018", (16,)),
    ("5020", "5020", (16,)),
    ("5038", "5038", (16,)),
    ("6304", "6304", (16, 19)),
    ("6759", "6763", (16, 19)),
    ("2200", "2204", (16,)),
)
"""First and last prefix of an issuer's numbers, and how long they are."""

LENGTHS = {
    15: "NO",
    16: "BE",
    18: "DK FI FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
"""How long the IBANs of countries are (SWIFT's register)."""


COUNTRIES = {name: length for length, names in LENGTHS.items() for name in names.split()}
IBAN_OPENS = re.compile(r"[A-Za-z]{2}\d\d")
IBANS = {length: re.compile(rf"\w{{4}}(?:[ -]?[A-Za-z0-9]){{{length - 4}}}") for length in LENGTHS}
BITCOIN = re.compile(r"[13][1-9A-HJ-NP-Za-km-z]{25,34}")
SEGWIT = re.compile(r"[bB][cC]1[02-9ac-hj-np-zAC-HJ-NP-Z]{11,71}")
ETHEREUM = re.compile(r"0x[0-9a-fA-F]{40}")


def _card(text: str) -> str:
    digits = re.sub(r"[ -]", "", text)
    issued = any(
        low <= digits[: len(low)] <= high and len(digits) in lengths for low, high, lengths in ISSUERS
    )
    return digits if issued and luhn(digits) else ""


def _ibans(text: str) -> Iterator[Span]:
    """The country tells how long a number is, so that a word behind it is no part of it."""
    for opens in IBAN_OPENS.finditer(text):
        length = COUNTRIES.get(opens[0][:2].upper())
        found = IBANS[length].match(text, opens.start()) if length else None
        if found and alone(text, *found.span(), False):
            plain = re.sub(r"[ -]", "", found[0]).upper()
            if mod97(plain):
                yield *found.span(), plain


def _bitcoin(text: str) -> str:
    return text if base58check(text) else ""


def _segwit(text: str) -> str:
    # one case only, says BIP 173
    return text if (text.islower() or text.isupper()) and bech32(text) else ""


def _ethereum(text: str) -> str:
    return text.lower() if len(set(text[2:].lower())) > 4 else ""


def accounts() -> dict[str, tuple[Recogniser, ...]]:
    """The recognisers of this module, by what a text must hold for them."""
    return {
        "number": (
            Recogniser("CREDIT_CARD", matching(CARD, _card), 0.9, words("card", "visa", "mastercard"), 0.99),
        ),
        "digits": (Recogniser("IBAN_CODE", _ibans, 0.97),),
        "digit": (Recogniser("CRYPTO", matching(BITCOIN, _bitcoin, number=False), 0.95),),
        "token": (
            Recogniser("CRYPTO", matching(SEGWIT, _segwit, number=False), 0.95),
            Recogniser("CRYPTO", matching(ETHEREUM, _ethereum, number=False), 0.75),
        ),
    }
