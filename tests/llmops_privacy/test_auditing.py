"""What of personal data is left in a dataset, for the audits before it is published."""

from __future__ import annotations

from llmops_privacy.auditing import personal_data


def test_every_text_of_every_row_is_looked_at_and_counted_by_kind() -> None:
    rows = [["Hello.", "anna@firma.de or bob@firma.de"], ["4111 1111 1111 1111"], [], ["[EMAIL_ADDRESS]"]]
    assert personal_data(rows) == {"CREDIT_CARD": 1, "EMAIL_ADDRESS": 2}
