"""What does not fit into memory comes back whole, in order, and as it would have in memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from llmops_data import buckets
from llmops_data.buckets import Buckets, Pairs, buckets_for, by_digest
from llmops_data.config import Near
from llmops_data.digests import Copies, digests_of
from llmops_data.near import Texts, pairs
from llmops_data.rows import Message, Row


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So little memory that a few rows are many buckets, written many times."""
    monkeypatch.setattr(buckets, "WAITING", 7)
    monkeypatch.setattr(buckets, "IN_BUCKET", 16)
    yield


def test_every_record_comes_back_once_in_its_bucket_and_in_order(tmp_path: Path, small: None) -> None:
    chance = np.random.default_rng(1)
    which = chance.integers(0, 5, 100).astype(np.uint16)
    records = np.stack((np.arange(100), chance.integers(0, 1 << 40, 100)), axis=1).astype(np.uint64)
    with Buckets(tmp_path, 6, columns=2) as kept:
        for start in range(0, 100, 3):
            kept.add(which[start : start + 3], records[start : start + 3])
        found = list(kept)
    assert len(found) == 6
    for number, bucket in enumerate(found):
        assert np.array_equal(bucket, records[which == number])
    assert not list(tmp_path.iterdir())


def test_pairs_come_in_order_each_once(tmp_path: Path, small: None) -> None:
    chance = random.Random(2)
    said = [tuple(sorted(chance.sample(range(90), 2))) for _ in range(400)]
    with Pairs(tmp_path, 90) as kept:
        for first, second in said:
            kept.add(np.array([first], np.uint64), np.array([second], np.uint64))
        found = list(kept)
    assert found == sorted({(second, first) for first, second in said})


def test_copies_are_told_with_the_first_that_they_equal(tmp_path: Path, small: None) -> None:
    chance = random.Random(3)
    texts = [str(chance.randrange(60)).encode() for _ in range(200)]
    with Copies(tmp_path, len(texts)) as copies:
        for some in digests_of(texts):
            copies.add(some)
        copies.find()
        found = list(copies)
        mask = copies.mask.tolist()
    true = [(place, texts.index(text)) for place, text in enumerate(texts) if texts.index(text) != place]
    assert found == true
    assert mask == [texts.index(text) != place for place, text in enumerate(texts)]


def test_near_duplicates_are_the_same_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(4)
    texts: list[str] = []
    for _ in range(300):
        words = chance.choice(texts).split() if texts and chance.random() < 0.4 else []
        words = words or [str(chance.randrange(10_000)) for _ in range(40)]
        words[chance.randrange(40)] = chance.choice(["other", words[0]])
        texts.append(" ".join(words))
    rows = [Row(str(number), (Message("text", text),)) for number, text in enumerate(texts)]
    config = Near(threshold=0.7)
    whole = list(pairs(Texts(rows, config), config, tmp_path))
    monkeypatch.setattr(buckets, "WAITING", 1000)
    monkeypatch.setattr(buckets, "IN_BUCKET", 32)
    assert len(whole) > 50
    assert list(pairs(Texts(rows, config), config, tmp_path)) == whole


def test_equal_digests_fall_into_one_bucket_of_those_there_are() -> None:
    digests = np.array([0, 1 << 63, (1 << 64) - 1, 1 << 63], np.uint64)
    assert by_digest(digests, 1).tolist() == [0, 0, 0, 0]
    assert by_digest(digests, 4).tolist() == [0, 2, 3, 2]
    assert buckets_for(0) == 1
    assert buckets_for(buckets.IN_BUCKET + 1) == 2
    assert buckets_for(1 << 60) == buckets.MOST_BUCKETS
