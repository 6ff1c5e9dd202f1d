"""Every kind: numbers that authorities and libraries print as examples, and the same ones broken."""

from __future__ import annotations

import pytest

from llmops_privacy.config import PATTERN_KINDS

from .conftest import Find

GOOD = {
    "EMAIL_ADDRESS": (
        "anna.schmidt+news@firma.de",
        "o'neil@mail.acme.co.uk",
        "ü.müller@bücher.de",
        "sandra [at] firma [dot] de",
        "x_y%z@sub.domain.museum",
    ),
    "PHONE_NUMBER": (
        "(212) 555-0147",
        "+49 (0)30 901820",
        "+44 20 7946 0958",
        "01 42 68 53 00",
        "+1-202-456-1111",
        "0049 30 901820",
        "(11) 3091-3116",
    ),
    # the test numbers of card networks
    "CREDIT_CARD": (
        "4111 1111 1111 1111",
        "5555-5555-5555-4444",
        "378282246310005",
        "6011111111111117",
        "3056 930902 5904",
        "3530111333300000",
        "2223003122003222",
        "４１１１ 1111\u200b 1111 1111",
    ),
    # SWIFT's register
    "IBAN_CODE": (
        "DE89 3704 0044 0532 0130 00",
        "GB29NWBK60161331926819",
        "FR14 2004 1010 0505 0001 3M02 606",
        "NO93 8601 1117 947",
        "MT84MALT011000012345MTLCAST001S",
        "nl91 abna 0417 1643 00",
    ),
    # the genesis block's, and those of BIP 13, 173 and 350
    "CRYPTO": (
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        "0x52908400098527886E0F7030069857D2E4169EE7",
    ),
    "IP_ADDRESS": ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "2a00:1450:4001:81b::200e"),
    "MAC_ADDRESS": ("00:1B:44:11:3A:B7", "00-1b-44-11-3a-b7"),
    "URL_WITH_PASSWORD": ("postgres://me:s3cret@db.firma.de:5432/shop", "https://user:pw@host.de"),
    # of AWS's documentation, and of the services' published forms
    "ACCESS_KEY": (
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIGl\n-----END EC PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\ncut off",
    ),
    "US_SSN": ("536-90-4399", "536 90 4399", "SSN 536904399"),
    "UK_NHS": ("NHS 943 476 5919", "patient 4010232137"),
    "UK_NINO": ("AB123456C", "ab 12 34 56 c"),
    "DE_TAX_ID": ("86095742719", "47 036 892 816", "65929970489"),
    "FR_NIR": ("2 55 08 14 168 025 38", "184127645108946"),
    "ES_NIF": ("12345678Z", "00000000-T", "12.345.678-Z"),
    "ES_NIE": ("X1234567L", "Y-1234567-X", "Z1234567R"),
    # Wikipedia's, and one with letters for digits
    "IT_FISCAL_CODE": ("RSSMRA85T10A562S", "MRTMTT91D08F205J"),
    "NL_BSN": ("BSN 111222333", "burgerservicenummer 1234.56.782"),
    "BR_CPF": ("529.982.247-25", "CPF 11144477735"),
    "BR_CNPJ": ("11.222.333/0001-81", "CNPJ 11444777000161"),
    # UIDAI's test number
    "IN_AADHAAR": ("Aadhaar 9999 4105 7058", "2341 2341 2346"),
    "PASSPORT": ("passport no. 533380006", "Reisepass Nr. C01X00T47", "passeport : 12AB34567"),
    "DATE_OF_BIRTH": (
        "born on 12 March 1985",
        "geboren am 03.10.1990",
        "née le 1er mai 1979",
        "DOB: 1985-03-12",
        "nacida el 3 de mayo de 1979",
        "birthday: May 3, 1979",
    ),
}
BROKEN = {
    "EMAIL_ADDRESS": (
        "icon@2x.png",
        "git@github.com:acme/app.git",
        "me@example.org",
        "@anna",
        "lodash@4.17.21",
        "a@b",
    ),
    "PHONE_NUMBER": (
        "2024-11-22",
        "12.11.2024 - 14.11.2024",
        "(212) 055-0147",
        "order 212 555 0147",
        "10 000 000",
    ),
    "CREDIT_CARD": (
        "4111 1111 1111 1112",
        "0.4111111111111111",
        "4111-1111-1111-1111-22",
        "9111111111111111",
        "x4111111111111111",
    ),
    "IBAN_CODE": ("DE88370400440532013000", "DE8937040044053201300", "XX89370400440532013000"),
    "CRYPTO": (
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
        "0x52908400098527886E0F7030069857D2E4169E",
        "bc1qW508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    ),
    "IP_ADDRESS": (
        "192.168.0.1",
        "version 93.184.216.34",
        "1.2.3.4.5",
        "300.1.1.1",
        "2.13.0.1",
        "10:30:45",
        "a::b",
        "192.0.2.7",
        "2001:db8::7",
    ),
    "MAC_ADDRESS": ("00:00:00:00:00:00", "00:1B:44:11:3A", "00:1B:44:11:3A:B7:99"),
    "URL_WITH_PASSWORD": ("https://host.de/a:b", "https://bcd.invalid/"),
    "ACCESS_KEY": (
        "AKIAIOSFODNN7",
        "-----BEGIN PUBLIC KEY-----\nMIGf",
        "sk-learn-is-a-python-library-name",
        "eyJhbGci.eyJzdWIi.dozjgNry",
    ),
    "US_SSN": (
        "000-12-3456",
        "666-12-3456",
        "900-12-3456",
        "536-00-4399",
        "536-90-0000",
        "078-05-1120",
        "536904399",
    ),
    "UK_NHS": ("NHS 943 476 5918", "943 476 5919"),
    "UK_NINO": ("QQ123456C", "BG123456A", "AB123456E"),
    "DE_TAX_ID": ("86095742718", "12345678901", "order 86095742719"),
    "FR_NIR": ("2 55 08 14 168 025 39", "184137645108946"),
    "ES_NIF": ("12345678A",),
    "ES_NIE": ("X1234567A", "A1234567L"),
    "IT_FISCAL_CODE": ("RSSMRA85T10A562T", "RSSMRA85T99A562S"),
    "NL_BSN": ("BSN 123456789", "111222333"),
    "BR_CPF": ("529.982.247-26", "111.111.111-11", "11144477735"),
    "BR_CNPJ": ("11.222.333/0001-82",),
    "IN_AADHAAR": ("Aadhaar 9999 4105 7059", "1234 5678 9012"),
    "PASSPORT": ("passport, and 533380 people more waited for theirs", "533380006", "passport is MISSING"),
    "DATE_OF_BIRTH": (
        "released on 12 March 1985",
        "born in 1985",
        "stubborn 12.03.1985",
        "nations: 12.03.1985",
    ),
}


def test_every_kind_has_good_examples_and_broken_ones() -> None:
    assert set(GOOD) == set(BROKEN) == set(PATTERN_KINDS)


@pytest.mark.parametrize(("kind", "said"), [(kind, said) for kind in GOOD for said in GOOD[kind]])
def test_an_example_is_found_in_a_sentence_and_as_that_kind(kind: str, said: str, find: Find) -> None:
    text = f"We wrote: {said} - and no more."
    assert [one.kind for one in find(text)] == [kind]


@pytest.mark.parametrize(("kind", "said"), [(kind, said) for kind in BROKEN for said in BROKEN[kind]])
def test_what_is_broken_is_not_taken_for_that_kind(kind: str, said: str, find: Find) -> None:
    assert kind not in [one.kind for one in find(f"We wrote: {said} - and no more.")]


@pytest.mark.parametrize(
    "text",
    [
        "It encodes 2045-2047 and 2360-2363. RFC 2047/2243, OID 1.3.101.112, see Section 3.4.1.2",
        "In 2021 the fine was 746 000 000 euros, paid on 16 July.",
        "Pi is 3.14159265358979323846264338327950288419716939937510.",
        "ISBN 978-3-16-148410-0, DOI 10.1000/182, arXiv 2112.11446",
        "It rose from 1,234,567.89 to 2.345.678,90 by 12:30:45.",
        "f5a6b1c2d3e4f5a6b1c2d3e4f5a6b1c2d3e4f5a6 550e8400-e29b-41d4-a716-446655440000",
        "std::vector<int> a[10]; x = y ? a::b : c@d;",
    ],
)
def test_ordinary_numbers_are_nobodys(text: str, find: Find) -> None:
    assert find(text) == []


def test_a_value_has_one_spelling_however_it_is_written(find: Find) -> None:
    told = find(
        "Call 030 901820 or +49 30 901820 or 0049 30 901820; card 4111-1111-1111-1111, 4111111111111111"
    )
    assert [one.value for one in told] == ["+4930901820"] * 3 + ["4111111111111111"] * 2


def test_words_around_a_number_decide_where_its_form_does_not(find: Find) -> None:
    assert [one.kind for one in find("BSN: 111222333")] == ["NL_BSN"]
    assert [one.kind for one in find("call 612345678 now")] == ["PHONE_NUMBER"]
    assert find("612345678 and 111222333") == []


def test_of_two_that_overlap_the_surer_one_stays(find: Find) -> None:
    told = find("postgres://anna:anna@firma.de/x")
    assert [one.kind for one in told] == ["URL_WITH_PASSWORD"]


def test_a_lower_score_finds_more(find: Find) -> None:
    assert [one.kind for one in find("number 9434765919 there", min_score=0.4)] == ["UK_NHS"]


def test_a_country_that_is_not_asked_for_has_no_national_numbers(find: Find) -> None:
    assert find("ring 030 901820 now", regions=("DE",)) != find("ring 030 901820 now", regions=("US",))
    assert find("ring +49 30 901820 now", regions=()) != []
