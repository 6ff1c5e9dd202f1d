"""Values made up for the labelled set: sound ones of each kind, and ones that only look like them."""

from __future__ import annotations

import base64
import hashlib
import random
import string
import uuid
from collections.abc import Callable, Mapping

from llmops_privacy import checksums

Chance = random.Random
FIRST = (
    "Anna Maria Sofia Emma Julia Laura Sarah Hannah Olivia Priya Fatima Mei Yuki Aisha Ingrid Chiara "
    "Camila Elena Peter Thomas Michael David James Robert William Daniel Lukas Pierre Giovanni Carlos "
    "Mateo Ahmed Rajesh Wei Hiroshi Kwame Lars Pavel Andrzej Dmitri Samuel Tobias "
)
LAST = (
    "Smith Johnson Williams Brown Miller Davis Wilson Anderson Taylor Moore Schmidt Weber Fischer "
    "Wagner Becker Dubois Laurent Moreau Garcia Fernandez Lopez Rossi Ferrari Bianchi Silva Santos "
    "Oliveira Jansen Visser Sharma Patel Gupta Khan Chen Wang Tanaka Suzuki Novak Kowalski Okafor "
    "Lindqvist "
)
HOSTS = (
    "gmail.com outlook.com web.de orange.fr mail.ru proton.me firma-nord.de uni-graz.at nhs.net acme.co.uk"
)
DIGITS = string.digits
PARTS = ("AT", "BZ", "CK", "XQ")


def digits(chance: Chance, count: int) -> str:
    """So many digits, the first not 0."""
    return str(chance.randint(1, 9)) + "".join(chance.choices(DIGITS, k=count - 1))


def number(chance: Chance, low: int, high: int) -> int:
    """A number between two, which both may come."""
    return chance.randint(low, high)


def until(make: Callable[[], str], good: Callable[[str], bool]) -> str:
    """The first that is good of what is made."""
    while not good(found := make()):
        pass
    return found


def grouped(text: str, sizes: tuple[int, ...], joint: str) -> str:
    """A text cut into groups."""
    pieces, place = [], 0
    for size in sizes:
        pieces.append(text[place : place + size])
        place += size
    return joint.join(pieces)


def email(chance: Chance) -> str:
    first, last = chance.choice(FIRST.split()).lower(), chance.choice(LAST.split()).lower()
    local = chance.choice(
        [f"{first}.{last}", f"{first[0]}{last}{chance.randint(1, 99)}", f"{first}+news", f"{last}_{first}"]
    )
    return f"{local}@{chance.choice(HOSTS.split())}"


def phone(chance: Chance) -> str:
    """Numbers of real plans, in the ways they are written; which ones are given out is not known here."""

    def some(count: int) -> str:
        return "".join(chance.choices(DIGITS, k=count))

    area = chance.choice(["212", "415", "617", "312", "503"])
    exchange = f"{chance.randint(2, 9)}{chance.randint(0, 9)}{chance.randint(2, 9)}"
    return chance.choice(
        [
            f"({area}) {exchange}-{some(4)}",
            f"{area}-{exchange}-{some(4)}",
            f"+1 {area} {exchange} {some(4)}",
            f"+49 30 {digits(chance, 7)}",
            f"0171 {digits(chance, 7)}",
            f"+44 20 7{some(3)} {some(4)}",
            f"07911 {digits(chance, 6)}",
            f"06 {some(2)} {some(2)} {some(2)} {some(2)}",
            f"+33 6 {some(2)} {some(2)} {some(2)} {some(2)}",
            f"+34 612 {some(3)} {some(3)}",
            f"+39 347 {some(3)} {some(4)}",
            f"+31 6 {digits(chance, 8)}",
            f"(11) 9{chance.randint(6, 9)}{some(3)}-{some(4)}",
            f"+91 98{some(3)} {some(5)}",
        ]
    )


def card(chance: Chance) -> str:
    opening, length = chance.choice(
        [("4", 16), ("51", 16), ("54", 16), ("2221", 16), ("37", 15), ("6011", 16), ("36", 14)]
    )
    number = until(lambda: opening + "".join(chance.choices(DIGITS, k=length - len(opening))), checksums.luhn)
    sizes = {16: (4, 4, 4, 4), 15: (4, 6, 5), 14: (4, 6, 4)}[length]
    return grouped(number, sizes, chance.choice([" ", "-", ""]))


def iban(chance: Chance) -> str:
    country, body = chance.choice(
        [("DE", digits(chance, 18)), ("FR", digits(chance, 23)), ("ES", digits(chance, 20)),
         ("NL", "ABNA" + digits(chance, 10)),
         ("GB", "WEST" + digits(chance, 14)), ("IT", "X" + digits(chance, 22)), ("AT", digits(chance, 16))]
    )  # fmt: skip
    found = next(one for check in range(2, 99) if checksums.mod97(one := f"{country}{check:02}{body}"))
    return " ".join(found[at : at + 4] for at in range(0, len(found), 4)) if chance.random() < 0.5 else found


def bitcoin(chance: Chance) -> str:
    raw = b"\0" + chance.randbytes(20)
    number = int.from_bytes(raw + hashlib.sha256(hashlib.sha256(raw).digest()).digest()[:4], "big")
    text = ""
    while number:
        number, rest = divmod(number, 58)
        text = checksums.BASE58[rest] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text


def ip(chance: Chance) -> str:
    if chance.random() < 0.3:
        return ":".join(["2a02", *(f"{chance.randint(1, 65535):x}" for _ in range(7))])
    return f"{chance.choice([8, 31, 46, 62, 77, 81, 93, 109, 142, 151, 185, 193, 212])}." + ".".join(
        str(chance.randint(1, 254)) for _ in range(3)
    )


def mac(chance: Chance) -> str:
    joint = chance.choice([":", "-"])
    return joint.join(f"{one:02x}" for one in (0x3C, 0x22, *chance.randbytes(4)))


def token(chance: Chance) -> str:
    letters = string.ascii_letters + DIGITS

    def some(count: int) -> str:
        return "".join(chance.choices(letters, k=count))

    header = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")
    body = base64.urlsafe_b64encode(f'{{"sub":"{digits(chance, 8)}"}}'.encode()).decode().rstrip("=")
    upper = "".join(chance.choices(string.ascii_uppercase + DIGITS, k=16))
    return chance.choice(
        ["AKIA" + upper, "ghp_" + some(36), f"xoxb-{digits(chance, 11)}-{some(24)}", "glpat-" + some(20),
         "sk_live_" + some(24), "AIza" + some(35), f"{header}.{body}.{some(43)}", "hf_" + some(34)]
    )  # fmt: skip


def ssn(chance: Chance) -> str:
    area = chance.choice([*range(1, 666), *range(667, 900)])
    return f"{area:03}-{chance.randint(1, 99):02}-{chance.randint(1, 9999):04}"


def nhs(chance: Chance) -> str:
    number = until(lambda: digits(chance, 10), checksums.nhs)
    return grouped(number, (3, 3, 4), chance.choice([" ", ""]))


def nino(chance: Chance) -> str:
    prefix = chance.choice(["AB", "CE", "JK", "PX", "SR", "WM"])
    number = prefix + "".join(chance.choices(DIGITS, k=6)) + chance.choice("ABCD")
    return grouped(number, (2, 2, 2, 2, 1), chance.choice([" ", ""]))


def german_tax(chance: Chance) -> str:
    def make() -> str:
        chosen = chance.sample(DIGITS, 9)
        chosen.append(chance.choice(chosen))
        chance.shuffle(chosen)
        return "".join(chosen) + chance.choice(DIGITS)

    return grouped(until(make, checksums.german_tax), (2, 3, 3, 3), chance.choice([" ", ""]))


def nir(chance: Chance) -> str:
    born = f"{chance.randint(40, 99)}{chance.randint(1, 12):02}{chance.randint(1, 95):02}"
    body = f"{chance.choice('12')}{born}{digits(chance, 3)}{digits(chance, 3)}"
    number = body + f"{97 - int(body) % 97:02}"
    return grouped(number, (1, 2, 2, 2, 3, 3, 2), " ") if chance.random() < 0.5 else number


def dni(chance: Chance) -> str:
    number = digits(chance, 8)
    return number + chance.choice(["", "-"]) + checksums.SPANISH[int(number) % 23]


def nie(chance: Chance) -> str:
    letter, number = chance.choice("XYZ"), "".join(chance.choices(DIGITS, k=7))
    return letter + number + checksums.SPANISH[int("XYZ".index(letter) * 10**7 + int(number)) % 23]


def fiscal(chance: Chance) -> str:
    letters = "".join(chance.choices("BCDFGLMNPRSTV", k=6))
    born = f"{chance.randint(40, 99)}{chance.choice('ABCDEHLMPRST')}{chance.randint(1, 28):02}"
    code = f"{letters}{born}H{digits(chance, 3)}"
    return next(one for last in string.ascii_uppercase if checksums.italian(one := code + last))


def bsn(chance: Chance) -> str:
    return until(lambda: digits(chance, 9), checksums.dutch)


def cpf(chance: Chance) -> str:
    number = _brazilian(chance, 9, range(11, 1, -1))
    return f"{grouped(number[:9], (3, 3, 3), '.')}-{number[9:]}" if chance.random() < 0.7 else number


def cnpj(chance: Chance) -> str:
    number = _brazilian(chance, 12, (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2))
    return f"{number[:2]}.{number[2:5]}.{number[5:8]}/{number[8:12]}-{number[12:]}"


def _brazilian(chance: Chance, count: int, weights: range | tuple[int, ...]) -> str:
    body = digits(chance, count)
    return next(one for check in range(100) if checksums.brazilian(one := f"{body}{check:02}", weights))


def aadhaar(chance: Chance) -> str:
    number = until(lambda: str(chance.randint(2, 9)) + digits(chance, 11), checksums.verhoeff)
    return grouped(number, (4, 4, 4), chance.choice([" ", ""]))


def passport(chance: Chance) -> str:
    return chance.choice(
        [
            digits(chance, 9),
            "C" + "01X00T47"[: chance.randint(8, 8)],
            f"{chance.choice('ABKL')}{digits(chance, 7)}",
        ]
    )


def birth(chance: Chance) -> str:
    year, month, day = chance.randint(1940, 2009), chance.randint(1, 12), chance.randint(1, 28)
    name = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ][month - 1]
    return chance.choice(
        [
            f"{year}-{month:02}-{day:02}",
            f"{day:02}.{month:02}.{year}",
            f"{day:02}/{month:02}/{year}",
            f"{day} {name} {year}",
            f"{name} {day}, {year}",
        ]
    )


def url(chance: Chance) -> str:
    user = chance.choice(LAST.split()).lower()
    return f"postgresql://{user}:{token(chance)[:9]}@db.firma-nord.de:5432/shop"


def person(chance: Chance) -> str:
    return f"{chance.choice(FIRST.split())} {chance.choice(LAST.split())}"


MAKERS: Mapping[str, Callable[[Chance], str]] = {
    "EMAIL_ADDRESS": email,
    "PHONE_NUMBER": phone,
    "CREDIT_CARD": card,
    "IBAN_CODE": iban,
    "CRYPTO": bitcoin,
    "IP_ADDRESS": ip,
    "MAC_ADDRESS": mac,
    "ACCESS_KEY": token,
    "US_SSN": ssn,
    "UK_NHS": nhs,
    "UK_NINO": nino,
    "DE_TAX_ID": german_tax,
    "FR_NIR": nir,
    "ES_NIF": dni,
    "ES_NIE": nie,
    "IT_FISCAL_CODE": fiscal,
    "NL_BSN": bsn,
    "BR_CPF": cpf,
    "BR_CNPJ": cnpj,
    "IN_AADHAAR": aadhaar,
    "PASSPORT": passport,
    "DATE_OF_BIRTH": birth,
    "URL_WITH_PASSWORD": url,
    "PERSON": person,
}
"""Kind -> what makes a value of it."""


def no_card(chance: Chance) -> str:
    """Sixteen digits of an issuer's range that fail Luhn."""
    number = until(lambda: "4" + digits(chance, 15), lambda one: not checksums.luhn(one))
    return grouped(number, (4, 4, 4, 4), chance.choice([" ", ""]))


def no_iban(chance: Chance) -> str:
    """A German IBAN's form with wrong check digits."""
    return until(
        lambda: f"DE{chance.randint(10, 99)}{digits(chance, 18)}", lambda one: not checksums.mod97(one)
    )


def no_dni(chance: Chance) -> str:
    """Eight digits with another letter than a DNI's."""
    return until(
        lambda: digits(chance, 8) + chance.choice("ABCDEFGH"), lambda one: not checksums.spanish_letter(one)
    )


def version(chance: Chance) -> str:
    """A version of four parts."""
    parts = [number(chance, 1, 30), number(chance, 0, 20), number(chance, 0, 99), number(chance, 0, 250)]
    return ".".join(map(str, parts))


def isbn(chance: Chance) -> str:
    """An ISBN's form."""
    return f"978-{chance.randint(0, 9)}-{digits(chance, 4)}-{digits(chance, 4)}-{chance.randint(0, 9)}"


NO_MAKERS: Mapping[str, Callable[[Chance], str]] = {
    "no_card": no_card,
    "no_iban": no_iban,
    "isbn": isbn,
    "version": version,
    "date": lambda chance: f"{number(chance, 1990, 2030)}-{number(chance, 10, 12)}-{number(chance, 10, 28)}",
    "time": lambda chance: f"{number(chance, 10, 23)}:{number(chance, 10, 59)}:{number(chance, 10, 59)}",
    "price": lambda chance: f"{number(chance, 1, 999)},{digits(chance, 3)}.{number(chance, 10, 99)}",
    "millions": lambda chance: f"{number(chance, 1, 999)} {digits(chance, 3)} {digits(chance, 3)}",
    "nine": lambda chance: digits(chance, 9),
    "ten": lambda chance: digits(chance, 10),
    "eleven": lambda chance: digits(chance, 11),
    "twelve": lambda chance: digits(chance, 12),
    "fourteen": lambda chance: digits(chance, 14),
    "hash": lambda chance: chance.randbytes(20).hex(),
    "uuid": lambda chance: str(uuid.UUID(bytes=chance.randbytes(16))),
    "private_ip": lambda chance: f"192.168.{number(chance, 0, 255)}.{number(chance, 1, 254)}",
    "area_no_dni": no_dni,
    "decimal": lambda chance: f"0.{digits(chance, 16)}",
    "ratio": lambda chance: f"{digits(chance, 3)}/{digits(chance, 4)}/{digits(chance, 2)}",
    "part": lambda chance: f"{chance.choice(PARTS)}-{digits(chance, 3)}-{digits(chance, 4)}",
}
"""Name -> what makes something that is nobody's."""
