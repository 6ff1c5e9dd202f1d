"""The checks that numbers carry in themselves. Each takes a number without separators."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
SPANISH = "TRWAGMYFPDXBNJZSQVHLCKE"
OMOCODIA = str.maketrans("LMNPQRSTUV", "0123456789")
"""In an Italian fiscal code a digit may be written as a letter."""
ITALIAN_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
"""What a letter (or the digit of its place in the alphabet) is worth in the odd places."""
VERHOEFF_PRODUCT = (
    "0123456789",
    "1234067895",
    "2340178956",
    "3401289567",
    "4012395678",
    "5987604321",
    "6598710432",
    "7659821043",
    "8765932104",
    "9876543210",
)
VERHOEFF_SHUFFLE = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)
BECH32_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
BECH32_CONSTANTS = (1, 0x2BC830A3)
"""BIP 173's and BIP 350's."""


def luhn(digits: str) -> bool:
    """Cards (ISO/IEC 7812)."""
    doubled = [sum(divmod(2 * int(one), 10)) for one in digits[-2::-2]]
    return (sum(doubled) + sum(map(int, digits[::-2]))) % 10 == 0


def mod97(iban: str) -> bool:
    """IBANs (ISO 13616): the check digits moved to the end, letters as numbers, give 1."""
    moved = iban[4:] + iban[:4]
    return int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1


def weighted(digits: str, weights: Sequence[int]) -> int:
    """The sum of digits, each by its weight."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def nhs(digits: str) -> bool:
    """United Kingdom's NHS numbers: modulus 11."""
    check = 11 - weighted(digits, range(10, 1, -1)) % 11
    return check % 11 == int(digits[9]) and check != 10


def german_tax(digits: str) -> bool:
    """Germany's tax numbers of a person: ISO 7064 mod 11, 10; one digit stands twice or thrice."""
    counts = sorted(Counter(digits[:10]).values(), reverse=True)
    if digits[0] == "0" or counts[0] not in (2, 3) or counts[1:2] != [1]:
        return False
    product = 10
    for one in digits[:10]:
        product = (int(one) + product) % 10 or 10
        product = 2 * product % 11
    return (11 - product) % 10 == int(digits[10])


def french_nir(number: str) -> bool:
    """France's social security numbers: the key is 97 less the rest by 97; Corsica is 2A, 2B."""
    body = number[:13].replace("2A", "19").replace("2B", "18")
    return body.isdigit() and 97 - int(body) % 97 == int(number[13:])


def spanish_letter(number: str) -> bool:
    """Spain's DNI and NIE: the letter is the rest by 23."""
    digits = number[:-1].translate(str.maketrans("XYZ", "012"))
    return digits.isdigit() and SPANISH[int(digits) % 23] == number[-1]


def italian(code: str) -> bool:
    """Italy's fiscal codes: the last letter is the sum by 26."""
    values = [int(one) if one.isdigit() else ord(one) - ord("A") for one in code[:15]]
    odd = sum(ITALIAN_ODD[one] for one in values[::2])
    return (odd + sum(values[1::2])) % 26 == ord(code[15]) - ord("A")


def dutch(digits: str) -> bool:
    """The Netherlands' BSN: the 11-test."""
    return digits != "0" * 9 and weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def brazilian(digits: str, weights: Sequence[int]) -> bool:
    """Brazil's CPF and CNPJ: two digits by modulus 11. `weights` are those of the second digit."""
    if len(set(digits)) == 1:
        return False
    for place, used in ((-2, weights[1:]), (-1, weights)):
        rest = weighted(digits[:place], used) % 11
        if int(digits[place]) != (0 if rest < 2 else 11 - rest):
            return False
    return True


def verhoeff(digits: str) -> bool:
    """India's Aadhaar."""
    check = 0
    for place, one in enumerate(reversed(digits)):
        check = int(VERHOEFF_PRODUCT[check][int(VERHOEFF_SHUFFLE[place % 8][int(one)])])
    return check == 0


def base58check(text: str) -> bool:
    """Bitcoin addresses of 25 bytes: four of them are the beginning of a double SHA-256."""
    number = 0
    for letter in text:
        number = number * 58 + BASE58.index(letter)
    if number.bit_length() > 200:
        return False
    raw = number.to_bytes(25, "big")
    return hashlib.sha256(hashlib.sha256(raw[:-4]).digest()).digest()[:4] == raw[-4:]


def bech32(text: str) -> bool:
    """Segwit addresses (BIP 173 and 350)."""
    prefix, _, data = text.lower().rpartition("1")
    values = [ord(one) >> 5 for one in prefix] + [0] + [ord(one) & 31 for one in prefix]
    values += [BECH32.index(one) for one in data]
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(BECH32_GENERATORS):
            check ^= generator if top >> bit & 1 else 0
    return check in BECH32_CONSTANTS
