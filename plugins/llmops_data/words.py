"""Words of a text in any script, and those that say little by themselves."""

from __future__ import annotations

import re

# Scripts without spaces between words are counted by the character; marks belong to the letter before them.
SINGLE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
)
MARKED = (
    "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f"
    "\u0670\u06d6-\u06dc\u0900-\u0963\u0966-\u0dff\u200c\u200d"
)
MARKS_OF_SINGLE = (
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u17b4-\u17d3\u3099\u309a"
)
WORDS = re.compile(
    rf"[{SINGLE}][{MARKS_OF_SINGLE}]*|(?:(?![{SINGLE}])[\w{MARKED}])+(?:['’](?:(?![{SINGLE}])[\w{MARKED}])+)*"
)
ALONE = re.compile(f"[{SINGLE}]")

# English, German, French, Spanish, Italian, Portuguese, Dutch, Russian, Chinese and Japanese (by character)
_LISTED = """
a about after all also an and any are as at be because been but by can could did do does for from had
has have he her his how i if in into is it its it's just like me more most my no not of on one only or
other our out over she should so some such than that the their them then there these they this to up us
use was we were what when where which who why will with would you your i'm don't
aber als am auch auf aus bei bin bis bist da das dass dem den der des die doch du durch ein eine einem
einen einer er es für hat ich ihr im ist ja kann man mehr mein mich mir mit nach nicht noch nur oder
sein sich sie sind um und uns unter vom von vor war wenn werden wie wir wird zu zum zur über
au aux avec ce ces cette comme dans de elle en est et il ils je la le les leur lui mais ne nous ou où
par pas plus pour qu que qui sa se ses si son sont sur un une vous à être
al como con del el ella ellos era esta este fue ha hay las lo los muy más o para pero por ser sin sobre
su sus también una y ya che chi ci dal della di e gli ho io ma mi nel nella non per più questo sono suo
ti tra ao com dos em entre foi isso mas na nas não nos os pela pelo seu sua são uma você
aan bij dat deze dit door een heb het hij hun ik kan maar met mijn naar niet om ook op te tot uit van
voor wat ze zijn zo
а без бы был была было быть в вы да для до его ее ей если ещё же за и из или им их к как ко когда кто ли
мне мы на не него нет но ну о об он она они от по при с со так там то только ты у уже что чтобы эта это
этот я
的 了 是 在 我 有 和 就 不 人 都 一 个 上 也 很 到 说 要 去 你 会 着 没
看 这 那 吗 呢 吧 の に は を た が で て と し れ さ る い も な す か ま
"""
STOP_WORDS = frozenset(_LISTED.split())
"""Of ten languages, together: a word that is one anywhere is left out everywhere."""


def words(text: str) -> list[str]:
    """The words of a text in lower case; of scripts without spaces, the characters."""
    return WORDS.findall(text.lower())


def phrase(parts: tuple[str, ...]) -> str:
    """Words as they are written one after another."""
    return ("" if all(ALONE.match(part) for part in parts) else " ").join(parts)


def telling(parts: tuple[str, ...]) -> bool:
    """Whether some words say something: neither the first nor the last is a stop word or a number."""
    return all(part not in STOP_WORDS and not part.isdigit() for part in (parts[0], parts[-1]))
