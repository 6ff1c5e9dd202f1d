"""Sources of every format, and what can be wrong with them."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import hashlib
import json
import lzma
import os
import shutil
import sqlite3
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmops_core.errors import DataError, SecretError, StoreError
from llmops_core.step import StepRun
from llmops_data import formats, opening, reading
from llmops_data.config import DialogueData, Source
from llmops_data.mixing import mixed
from llmops_data.reading import Found, read_sources

from .conftest import Told

PAIRS = [("Is it on?", "It is on."), ("Where is it, then?", 'In the "room".')]
LINES = "\n".join(json.dumps({"question": asked, "answer": answered}) for asked, answered in PAIRS)
FONT = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 100]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>"


def pdf(drawn: bytes) -> bytes:
    """A PDF of one page on which this is drawn."""
    catalog, pages = b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
    stream = b"<</Length %d>>stream\n%s\nendstream" % (len(drawn), drawn)
    found, places = b"%PDF-1.4\n", []
    for number, content in enumerate((catalog, pages, PAGE, stream, FONT), 1):
        places.append(len(found))
        found += b"%d 0 obj%sendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"xref\n0 6\n0000000000 65535 f \n%strailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF"
    return found + end % (table, len(found))


def read(run: StepRun, config: DialogueData) -> list[Found]:
    return read_sources(config, run)


def pairs(run: StepRun, source: Source, **config: Any) -> list[tuple[str, ...]]:
    [found] = read(run, DialogueData(sources={"mine": source}, **config))
    return [tuple(one.content for one in row.messages) for row in found.rows]


def database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("create table talks (question text, answer text)")
        connection.executemany("insert into talks values (?, ?)", PAIRS)
    connection.close()


def tables(path: Path) -> None:
    columns = {"question": [one[0] for one in PAIRS], "answer": [one[1] for one in PAIRS]}
    pq.write_table(pa.table(columns), path)


SEPARATED = 'question,answer\nIs it on?,It is on.\n"Where is it, then?","In the ""room""."\n'
ARRAY = "[" + LINES.replace("\n", ",\n ") + "]"
FILES: dict[str, Callable[[Path], Any]] = {
    "rows.jsonl": lambda path: path.write_text(LINES),
    "rows.ndjson": lambda path: path.write_text(LINES),
    "rows.json": lambda path: path.write_text(ARRAY),
    "rows.json.gz": lambda path: path.write_bytes(gzip.compress(ARRAY.encode())),
    "rows.jsonl.gz": lambda path: path.write_bytes(gzip.compress(LINES.encode())),
    "rows.jsonl.bz2": lambda path: path.write_bytes(bz2.compress(LINES.encode())),
    "rows.csv.xz": lambda path: path.write_bytes(lzma.compress(SEPARATED.encode())),
    "rows.csv": lambda path: path.write_bytes(b"\xef\xbb\xbf" + SEPARATED.encode()),
    "rows.tsv": lambda path: path.write_text(
        "answer\tquestion\n" + "".join(f'"{b}"\t{a}\n'.replace('"room"', '""room""') for a, b in PAIRS)
    ),
    "rows.parquet": tables,
    "rows.sqlite": database,
}


@pytest.mark.parametrize("name", FILES)
def test_a_table_of_any_format_gives_the_same_rows(name: str, run: StepRun, tmp_path: Path) -> None:
    FILES[name](tmp_path / name)
    query = "select * from talks order by rowid"
    source = Source(f"file:{tmp_path / name}", query=query)
    assert pairs(run, source) == PAIRS


DOCUMENTS: dict[str, bytes] = {
    "tale.txt": b"Once upon a time.\r\nThe end.",
    "tale.md": b"---\nauthor: Ann\n---\n# A tale\n\nOnce upon a time.",
    "tale.html": b"<html><head><title>A &amp; tale</title><style>p{}</style></head><body><nav>Home</nav>"
    b"<p>Once <b>upon</b>\n a time.<br>The&nbsp;end.</p><script>'<p>'</script></body></html>",
    "tale.pdf": pdf(b"BT /F 12 Tf 20 50 Td (Once upon a time.) Tj ET"),
}
TOLD = {
    "tale.txt": ("Once upon a time.\nThe end.", "tale.txt"),
    "tale.md": ("# A tale\n\nOnce upon a time.", "A tale"),
    "tale.html": ("Once upon a time.\nThe end.", "A & tale"),
    "tale.pdf": ("Once upon a time.", "tale.pdf"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_a_row_with_its_text_and_title(name: str, run: StepRun, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / name).write_bytes(DOCUMENTS[name])
    config = DialogueData(sources={"mine": Source(f"file:{tmp_path / 'docs'}")}, shape="text")
    [found] = read(run, config)
    [row] = found.rows
    text, title = TOLD[name]
    assert (row.messages[0].content.strip(), row.origin, row.facts["title"]) == (text, f"mine/{name}", title)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("empty.html", b"<html><script>document.write('hi')</script></html>", "holds no text"),
        ("blank.txt", b" \n", "holds no text"),
        ("latin.txt", "Grüße".encode("latin-1"), r"not UTF-8 \(byte 2\)"),
        ("scan.pdf", pdf(b"0 0 10 10 re f"), "scanned pages"),
        ("no.pdf", b"not a pdf at all", "no readable PDF"),
    ],
)
def test_a_document_without_a_text_is_told(
    name: str, content: bytes, why: str, run: StepRun, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"1 of 1 rows is broken: .*{why}.*raise step.max_broken_share"):
        read(run, DialogueData(source=str(tmp_path / name), shape="text"))


def test_an_encoding_may_be_stated(run: StepRun, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes("question,answer\nGrüße?,Ja".encode("latin-1"))
    assert pairs(run, Source(f"file:{tmp_path / 'rows.csv'}", encoding="latin-1")) == [("Grüße?", "Ja")]


def test_mixed_encodings_are_broken_row_by_row(run: StepRun, tmp_path: Path, told: Told) -> None:
    (tmp_path / "rows.csv").write_bytes("question,answer\né?,utf\n".encode() + "ü?,latin\n".encode("latin-1"))
    assert pairs(run, Source(f"file:{tmp_path / 'rows.csv'}"), max_broken_share=0.5) == [("é?", "utf")]
    assert "mine:3: it is not UTF-8" in told.warnings[0]


def test_a_column_missing_in_one_of_five_files_is_counted_for_that_file(
    run: StepRun, tmp_path: Path, told: Told
) -> None:
    (tmp_path / "tables").mkdir()
    for number in range(5):
        columns = "question,remark" if number == 3 else "question,answer"
        (tmp_path / "tables" / f"{number}.csv").write_text(f"{columns}\na?,b\nc?,d\n")
    (tmp_path / "tables" / "0.csv").write_text("question,answer\na?,b\nc?,d,e\n")
    source = Source(f"file:{tmp_path / 'tables'}")
    assert len(pairs(run, source, max_broken_share=0.5)) == 7
    [warning] = told.warnings
    assert warning.startswith("3 of 10 rows are broken and left out: mine/3.csv:2: ")
    assert "; mine/0.csv:3: it has 3 cells, and the header 2" in warning
    assert "(by file: mine/0.csv 1, mine/3.csv 2)" in warning


def test_columns_of_other_names_can_be_told(run: StepRun, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("ask,say,when\na?,b,2026-01-01\n")
    columns = {"question": "ask", "answer": "say"}
    source = Source(f"file:{tmp_path / 'rows.csv'}", columns=columns, keep=("when",))
    [found] = read(run, DialogueData(sources={"mine": source}))
    assert found.rows[0].facts == {"when": "2026-01-01"}
    assert found.shapes == {"qa": 1}


def test_globs_choose_files_and_several_formats_need_a_word(run: StepRun, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.jsonl").write_text(LINES)
    (folder / "deep" / "b.jsonl.gz").write_bytes(gzip.compress(LINES.encode()))
    (folder / "c.csv").write_text(SEPARATED)
    (folder / "README").write_text("about")
    with pytest.raises(DataError, match=r"several formats \(csv, jsonl\).*include"):
        pairs(run, Source(f"file:{folder}"))
    assert len(pairs(run, Source(f"file:{folder}", format="jsonl"))) == 4
    assert len(pairs(run, Source(f"file:{folder}", include=("deep/*",)))) == 2
    with pytest.raises(DataError, match="format of README is not known"):
        pairs(run, Source(f"file:{folder}", include=("*.csv", "README")))


def test_a_folder_as_hubs_keep_it_is_read_without_a_word_about_its_card(run: StepRun, tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    (folder / "data").mkdir(parents=True)
    tables(folder / "data" / "train-00000-of-00001.parquet")
    for name in ("README.md", ".gitattributes", "LICENSE.txt"):
        (folder / name).write_text("about")
    assert pairs(run, Source(f"file:{folder}")) == PAIRS


def test_an_object_store_is_read_through_fsspec(run: StepRun, tmp_path: Path) -> None:
    digest = hashlib.sha256(LINES.encode()).hexdigest()
    fsspec.filesystem("memory").pipe("/bucket/rows.jsonl", LINES.encode())
    source = Source("memory://bucket/rows.jsonl", sha256=digest)
    assert pairs(run, source) == PAIRS


def test_a_zip_bomb_is_refused_long_before_it_fills_anything(
    run: StepRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "HARMLESS", 1_000_000)
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(b"\n" * 50_000_000))
    with pytest.raises(DataError, match=r"source: it expands to more than 200 times.*zip bomb"):
        read(run, DialogueData(source=str(tmp_path / "rows.jsonl.gz")))


def test_a_damaged_archive_and_a_damaged_table_say_so(run: StepRun, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(LINES.encode())[:-20])
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(DataError, match="it is damaged"):
        read(run, DialogueData(source=str(tmp_path / "rows.jsonl.gz")))
    with pytest.raises(DataError, match="no sound Parquet"):
        read(run, DialogueData(source=str(tmp_path / "rows.parquet")))


def test_a_long_line_is_one_broken_row(
    run: StepRun, tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "LONGEST_LINE", 1000)
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "x" * 3000, "completion": "y"}) + "\n" + LINES)
    config = DialogueData(source=str(tmp_path / "rows.jsonl"), max_broken_share=0.5)
    assert len(read(run, config)[0].rows) == 2
    assert "1 of 3 rows is broken" in told.warnings[0]


def test_a_file_that_changes_while_it_is_read_is_refused(
    run: StepRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(LINES)
    plain = formats.read

    def growing(*given: Any) -> Any:
        for one in plain(*given):
            with path.open("a") as file:
                file.write("\n")
            yield one

    monkeypatch.setattr(formats, "read", growing)
    with pytest.raises(DataError, match="changed while it was read"):
        read(run, DialogueData(source=str(path)))
    assert not (tmp_path / "cache").exists()


def test_rows_that_do_not_fit_on_the_disk_are_refused_before_any_is_written(
    run: StepRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.jsonl").write_text(LINES)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(100, 90, 10))
    with pytest.raises(DataError, match=r"need about .* GB are free.*gc"):
        read(run, DialogueData(source=str(tmp_path / "rows.jsonl")))


def test_a_disk_that_fills_up_says_so(run: StepRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.jsonl").write_text(LINES)

    def full(*given: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(reading.RowsWriter, "add", full)
    with pytest.raises(StoreError, match="no space left"):
        read(run, DialogueData(source=str(tmp_path / "rows.jsonl")))


def test_a_source_that_needs_a_secret_names_it(run: StepRun) -> None:
    source = Source("https://example.org/rows.jsonl", sha256="a" * 64, token="${secret:DATA_TOKEN}")
    with pytest.raises(SecretError, match="DATA_TOKEN is not set"):
        read(run, DialogueData(sources={"mine": source}))


def test_a_database_url_is_read_only_with_the_digest_of_what_it_answers(run: StepRun, tmp_path: Path) -> None:
    database(tmp_path / "talks.db")
    query = "select * from talks order by rowid"
    source = Source(f"sqlite:///{tmp_path / 'talks.db'}", format="sql", query=query)
    with pytest.raises(DataError, match=r"write sha256: [0-9a-f]{64}") as caught:
        pairs(run, source)
    digest = str(caught.value).split("sha256: ")[1][:64]
    assert pairs(run, dataclasses.replace(source, sha256=digest)) == PAIRS
    with sqlite3.connect(tmp_path / "talks.db") as connection:
        connection.execute("insert into talks values ('new?', 'yes')")
    connection.close()
    with pytest.raises(DataError, match="others than before"):
        pairs(run, dataclasses.replace(source, sha256=digest))
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("url", "query", "why"),
    [
        ("sqlite:////nowhere/at/all.db", "select 1", "unable to open"),
        ("sqlite:///:memory:", "select * from nowhere", "no such table"),
        ("nosuchdb://host/x", "select 1", "nosuchdb"),
    ],
)
def test_a_database_that_refuses_is_told_on_one_line(url: str, query: str, why: str, run: StepRun) -> None:
    with pytest.raises(DataError, match=f"mine: the database refused: .*{why}"):
        pairs(run, Source(url, format="sql", query=query))


def test_sources_are_mixed_by_weight_and_the_scarcest_gives_all(run: StepRun, tmp_path: Path) -> None:
    for name, count in {"small": 10, "large": 200, "whole": 7}.items():
        lines = [json.dumps({"prompt": f"{name} {n}?", "completion": "yes"}) for n in range(count)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    sources = {
        "small": Source(f"file:{tmp_path / 'small.jsonl'}", weight=1.0),
        "large": Source(f"file:{tmp_path / 'large.jsonl'}", weight=3.0),
        "whole": Source(f"file:{tmp_path / 'whole.jsonl'}"),
    }
    config = DialogueData(sources=sources)
    found = mixed(config, run, read(run, config))
    assert found.counts == {"from small": 10, "from large": 30, "from whole": 7}
    origins = [row.origin for row in found.rows]
    assert len(origins) == 47 and len(set(origins)) == 47
    chosen = [int(one.partition(":")[2]) for one in origins if one.startswith("large")]
    assert chosen == sorted(chosen) and max(chosen) > 100
    assert "170 over their source's weight" in found.note


def test_a_reader_that_is_not_installed_says_what_to_install(
    run: StepRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tale.pdf").write_bytes(DOCUMENTS["tale.pdf"])
    database(tmp_path / "talks.db")
    monkeypatch.setitem(sys.modules, "pypdf", None)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(DataError, match=r"PDF needs pypdf.*pip install"):
        read(run, DialogueData(source=str(tmp_path / "tale.pdf"), shape="text"))
    with pytest.raises(DataError, match=r"needs sqlalchemy.*pip install"):
        pairs(run, Source(f"file:{tmp_path / 'talks.db'}", query="select * from talks"))


def test_another_separator_is_told_and_may_be_said(run: StepRun, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(SEPARATED.replace(",", ";").replace("is it; then", "is it, then"))
    source = Source(f"file:{tmp_path / 'rows.csv'}")
    with pytest.raises(DataError, match=r"header is one cell, 'question;answer'.*separator: ';'"):
        pairs(run, source)
    assert pairs(run, dataclasses.replace(source, separator=";"))[0] == PAIRS[0]


def test_keys_of_no_shape_say_how_to_name_them(run: StepRun, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"sentence": "s{n}", "kind": "a"}}\n' for n in range(9)))
    with pytest.raises(
        DataError, match=r"\(sentence, kind\) fits.*and 8 more like it.*sources.NAME.columns.*Known"
    ) as told:
        read(run, DialogueData(source=str(tmp_path / "rows.jsonl")))
    assert str(told.value).count("fits no known shape") == 1
    columns = {"prompt": "sentence", "completion": "kind"}
    assert pairs(run, Source(f"file:{tmp_path / 'rows.jsonl'}", columns=columns))[0] == ("s0", "a")


def test_rejected_answers_that_are_left_out_are_told(run: StepRun, tmp_path: Path, told: Told) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}')
    read(run, DialogueData(source=str(tmp_path / "rows.jsonl")))
    assert "rejected answers of 1 preference pairs are left out" in told[-1].text
    told.clear()
    read(run, DialogueData(source=str(tmp_path / "rows.jsonl"), shape="preference"))
    assert not any("rejected" in getattr(one, "text", "") for one in told)
