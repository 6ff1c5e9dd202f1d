"""What opens something: keys of well-known services by their prefixes, JSON web tokens, private keys."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping

from llmops_privacy.finding import Recogniser, Span, alone

TOKENS: Mapping[str, str] = {
    "AKIA": r"AKIA[0-9A-Z]{16}",
    "ASIA": r"ASIA[0-9A-Z]{16}",
    "ghp_": r"ghp_[A-Za-z0-9]{36,255}",
    "gho_": r"gho_[A-Za-z0-9]{36,255}",
    "ghu_": r"ghu_[A-Za-z0-9]{36,255}",
    "ghs_": r"ghs_[A-Za-z0-9]{36,255}",
    "ghr_": r"ghr_[A-Za-z0-9]{36,255}",
    "github_pat_": r"github_pat_[A-Za-z0-9_]{50,255}",
    "glpat-": r"glpat-[\w-]{20,64}",
    "xox": r"xox[abeoprs]-[A-Za-z0-9-]{10,250}",
    "sk-": r"sk-(?=[\w-]*\d)[A-Za-z0-9_-]{20,250}",
    "sk_live_": r"sk_live_[A-Za-z0-9]{16,120}",
    "rk_live_": r"rk_live_[A-Za-z0-9]{16,120}",
    "AIza": r"AIza[\w-]{35}",
    "hf_": r"hf_[A-Za-z0-9]{30,64}",
    "npm_": r"npm_[A-Za-z0-9]{36}",
    "pypi-AgEI": r"pypi-AgEI[\w-]{50,250}",
    "SG.": r"SG\.[\w-]{22}\.[\w-]{43}",
    "dop_v1_": r"dop_v1_[a-f0-9]{64}",
}
"""What a service's keys begin with -> their whole form."""
PATTERNS = {prefix: re.compile(pattern) for prefix, pattern in TOKENS.items()}
WEB_TOKEN = re.compile(r"eyJ[\w-]{8,4000}\.[\w-]{8,8000}\.[\w-]{8,2000}")
OPENS = "-----BEGIN "
PRIVATE = re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
CLOSES = re.compile(r"-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")


def _tokens(text: str) -> Iterator[Span]:
    for prefix, pattern in PATTERNS.items():
        if prefix not in text:
            continue
        for found in pattern.finditer(text):
            if alone(text, *found.span(), False):
                yield *found.span(), found[0]


def _web_tokens(text: str) -> Iterator[Span]:
    for found in WEB_TOKEN.finditer(text):
        header = found[0].partition(".")[0]
        try:
            says = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
        except ValueError:
            continue
        if isinstance(says, dict) and "alg" in says:
            yield *found.span(), found[0]


def _private_keys(text: str) -> Iterator[Span]:
    place = 0
    while found := PRIVATE.search(text, place):
        closes = CLOSES.search(text, found.end())
        # a key that was cut off is a key all the same
        place = closes.end() if closes else len(text)
        yield found.start(), place, text[found.start() : place]


def credentials() -> dict[str, tuple[Recogniser, ...]]:
    """The recognisers of this module, by what a text must hold for them."""
    return {
        "": (Recogniser("ACCESS_KEY", _tokens, 0.95),),
        "eyJ": (Recogniser("ACCESS_KEY", _web_tokens, 0.99),),
        OPENS: (Recogniser("ACCESS_KEY", _private_keys, 0.99),),
    }
