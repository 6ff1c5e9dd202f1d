"""Completion in bash, which breaks `train.lr=1` and `data@documents=x` into several words."""

from __future__ import annotations

from click.shell_completion import BashComplete, CompletionItem

BREAKS = frozenset("=@:")
"""What bash breaks words at (COMP_WORDBREAKS) that may stand in an override."""
ADD = "COMPREPLY+=($value)"
NO_SPACE = "\n            [[ $value == *= ]] && compopt -o nospace"


class Bash(BashComplete):
    """Puts an override together again before it is completed, and answers with its last part."""

    source_template = BashComplete.source_template.replace(ADD, ADD + NO_SPACE)
    glued = 0
    """Characters of the override that stand before the word that bash completes."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The whole words before the one that is completed, and as much of that as is typed."""
        before, last = super().get_completion_args()
        words: list[str] = []
        broken = False
        for word in (*before, last):
            apart = bool(word) and BREAKS.issuperset(word)
            if words and word and (apart or broken):
                words[-1] += word
            else:
                words.append(word)
            broken = apart
        kept = "" if last and BREAKS.issuperset(last) else last
        self.glued = len(words[-1]) - len(kept)
        return words[:-1], words[-1]

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """What fits, without the part that bash leaves alone."""
        found = super().get_completions(args, incomplete)
        for one in found:
            one.value = one.value[self.glued :]
        return found
