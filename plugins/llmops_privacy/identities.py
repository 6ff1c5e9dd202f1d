"""Numbers that states give to people, each with its own check."""

from __future__ import annotations

import re

from llmops_privacy.checksums import (
    OMOCODIA,
    brazilian,
    dutch,
    french_nir,
    german_tax,
    italian,
    nhs,
    spanish_letter,
    verhoeff,
)
from llmops_privacy.finding import Recogniser, matching, words

SSN = re.compile(r"\d{3}([- ])\d{2}\1\d{4}")
NINE = re.compile(r"\d{9}")
NHS = re.compile(r"\d{3}([ -]?)\d{3}\1\d{4}")
NINO = re.compile(
    r"[A-CEGHJ-PR-TW-Za-ceghj-pr-tw-z][A-CEGHJ-NPR-TW-Za-ceghj-npr-tw-z] ?\d{2} ?\d{2} ?\d{2} ?[A-Da-d]"
)
TAX = re.compile(r"[1-9]\d([ /]?)\d{3}\1\d{3}\1\d{3}")
NIR = re.compile(r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[ABab]) ?\d{3} ?\d{3} ?/?\d{2}")
DNI = re.compile(r"\d{2}\.?\d{3}\.?\d{3}[- ]?[A-Za-z]")
NIE = re.compile(r"[XYZxyz][- ]?\d{7}[- ]?[A-Za-z]")
FISCAL = re.compile(
    r"[A-Za-z]{6}[\dL-NP-Vl-np-v]{2}[A-EHLMPR-Ta-ehlmpr-t][\dL-NP-Vl-np-v]{2}[A-Za-z][\dL-NP-Vl-np-v]{3}[A-Za-z]"
)
BSN = re.compile(r"\d{4}([. ]?)\d{2}\1\d{3}|\d{3}[. ]\d{3}[. ]\d{3}")
CPF_WRITTEN, CPF = re.compile(r"\d{3}\.\d{3}\.\d{3}-\d{2}"), re.compile(r"\d{11}")
CNPJ_WRITTEN, CNPJ = re.compile(r"\d{2}\.\d{3}\.\d{3}/\d{4}-\d{2}"), re.compile(r"\d{14}")
AADHAAR_WRITTEN, AADHAAR = re.compile(r"[2-9]\d{3}([ -])\d{4}\1\d{4}"), re.compile(r"[2-9]\d{11}")

PRINTED_EVERYWHERE = frozenset({"078051120", "219099999", "123456789"})
"""Social security numbers of advertisements and examples."""
NO_PREFIX = frozenset({"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"})
CPF_WEIGHTS, CNPJ_WEIGHTS = range(11, 1, -1), (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
MONTHS = "ABCDEHLMPRST"

SSN_WORDS = words("ssn", "ssns", "social security", "social-security", "soc sec", "social")
NHS_WORDS = words("nhs", "patient", "patients", "health service")
NINO_WORDS = words("ni", "nino", "national insurance", "insurance number")
TAX_WORDS = words("steuer\\w*", "idnr", "tin", "tax", "steuerid", "identifikationsnummer")
NIR_WORDS = words("insee", "nir", "s[ée]curit[ée] sociale", "s[ée]cu", "social")
BSN_WORDS = words("bsn", "burgerservice\\w*", "sofi\\w*", "citizen service")
CPF_WORDS = words("cpf", "cadastro", "contribuinte")
CNPJ_WORDS = words("cnpj", "empresa")
AADHAAR_WORDS = words("aadhaar", "aadhar", "adhar", "uidai", "uid")


def plain(text: str) -> str:
    """A number without what separates its digits, in capitals."""
    return re.sub(r"[ ./-]", "", text).upper()


def _ssn(text: str) -> str:
    digits = plain(text)
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    impossible = area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000"
    return "" if impossible or digits in PRINTED_EVERYWHERE or len(set(digits)) == 1 else digits


def _nhs(text: str) -> str:
    digits = plain(text)
    return digits if len(set(digits)) > 1 and nhs(digits) else ""


def _nino(text: str) -> str:
    found = plain(text)
    return "" if found[:2] in NO_PREFIX else found


def _tax(text: str) -> str:
    digits = plain(text)
    return digits if german_tax(digits) else ""


def _nir(text: str) -> str:
    found = plain(text)
    return found if french_nir(found) else ""


def _spanish(text: str) -> str:
    found = plain(text)
    return found if spanish_letter(found) else ""


def _fiscal(text: str) -> str:
    code = text.upper()
    month, day = code[8], int(code[9:11].translate(OMOCODIA))
    born = month in MONTHS and (1 <= day <= 31 or 41 <= day <= 71)
    return code if born and italian(code) else ""


def _bsn(text: str) -> str:
    digits = plain(text)
    return digits if dutch(digits) else ""


def _cpf(text: str) -> str:
    digits = plain(text)
    return digits if brazilian(digits, CPF_WEIGHTS) else ""


def _cnpj(text: str) -> str:
    digits = plain(text)
    return digits if brazilian(digits, CNPJ_WEIGHTS) else ""


def _aadhaar(text: str) -> str:
    digits = plain(text)
    return digits if digits != digits[::-1] and verhoeff(digits) else ""


def identities() -> dict[str, tuple[Recogniser, ...]]:
    """The recognisers of this module, by what a text must hold for them.

    By itself a number counts for as much as its check and its form exclude: one number in eleven passes the
    11-test, one in a hundred a CPF's two digits.
    """
    letters = {
        "UK_NINO": Recogniser("UK_NINO", matching(NINO, _nino), 0.75, NINO_WORDS),
        "ES_NIF": Recogniser("ES_NIF", matching(DNI, _spanish), 0.8, words("dni", "nif")),
        "ES_NIE": Recogniser("ES_NIE", matching(NIE, _spanish), 0.85, words("nie")),
        "IT_FISCAL_CODE": Recogniser("IT_FISCAL_CODE", matching(FISCAL, _fiscal, number=False), 0.95),
        "FR_NIR": Recogniser("FR_NIR", matching(NIR, _nir), 0.85, NIR_WORDS),
    }
    numbers = (
        Recogniser("US_SSN", matching(SSN, _ssn), 0.7, SSN_WORDS, doubtful=True),
        Recogniser("US_SSN", matching(NINE, _ssn), 0.1, SSN_WORDS, 0.8),
        Recogniser("UK_NHS", matching(NHS, _nhs), 0.4, NHS_WORDS),
        Recogniser("DE_TAX_ID", matching(TAX, _tax), 0.55, TAX_WORDS, doubtful=True),
        Recogniser("NL_BSN", matching(BSN, _bsn), 0.3, BSN_WORDS),
        Recogniser("BR_CPF", matching(CPF_WRITTEN, _cpf), 0.95),
        Recogniser("BR_CPF", matching(CPF, _cpf), 0.4, CPF_WORDS),
        Recogniser("BR_CNPJ", matching(CNPJ_WRITTEN, _cnpj), 0.95),
        Recogniser("BR_CNPJ", matching(CNPJ, _cnpj), 0.4, CNPJ_WORDS),
        Recogniser("IN_AADHAAR", matching(AADHAAR_WRITTEN, _aadhaar), 0.6, AADHAAR_WORDS, doubtful=True),
        Recogniser("IN_AADHAAR", matching(AADHAAR, _aadhaar), 0.35, AADHAAR_WORDS),
    )
    return {"digits": tuple(letters.values()), "number": numbers}
