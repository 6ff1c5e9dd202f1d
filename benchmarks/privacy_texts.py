"""The labelled set of `benchmarks.privacy`: templates with slots, and texts written by hand.

Slots in capitals are labels ({EMAIL_ADDRESS}); the others are what must not be found ({no_card}). The
recognisers were worked on with DEVELOPMENT; HELD_OUT and BY_HAND were written before they were first measured
with, and led to one change since (numbers of four small parts are no IP address by themselves), so the result
file holds the first measurement too. All of it comes from one pen: it tells whether forms, checksums and the
words around them work, not how much of a real text's personal data is found.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.privacy_values import MAKERS, NO_MAKERS

SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Labelled:
    """A text, and where what of it is: (start, end, kind)."""

    text: str
    spans: tuple[tuple[int, int, str], ...]


DEVELOPMENT = (
    "Please write to {EMAIL_ADDRESS} and we will answer.",
    "My mail is {EMAIL_ADDRESS}, thanks!",
    "Call me at {PHONE_NUMBER} tomorrow.",
    "Phone: {PHONE_NUMBER}",
    "I paid with my card {CREDIT_CARD} last week.",
    "Bitte überweisen Sie auf {IBAN_CODE} bis Freitag.",
    "Send the coins to {CRYPTO} please.",
    "The login came from {IP_ADDRESS} at {time}.",
    "The laptop's MAC is {MAC_ADDRESS}.",
    "Export the key {ACCESS_KEY} before you start.",
    "My social security number is {US_SSN}.",
    "NHS number {UK_NHS} was given.",
    "Her NI number: {UK_NINO}",
    "Meine Steuer-ID lautet {DE_TAX_ID}.",
    "Mon numéro de sécurité sociale : {FR_NIR}",
    "Mi DNI es {ES_NIF}.",
    "El NIE del solicitante es {ES_NIE}.",
    "Codice fiscale: {IT_FISCAL_CODE}",
    "Mijn BSN is {NL_BSN}.",
    "Meu CPF é {BR_CPF}.",
    "CNPJ {BR_CNPJ}",
    "Aadhaar: {IN_AADHAAR}",
    "Passport number {PASSPORT}, issued in 2019.",
    "She was born on {DATE_OF_BIRTH}.",
    "Connect with {URL_WITH_PASSWORD} first.",
    "{PERSON} called this morning.",
    "We met {PERSON} at the office.",
    "Your order number {no_card} has shipped.",
    "Version {version} was released on {date}.",
    "The book is ISBN {isbn}.",
    "It cost ${price}, of {millions} in all.",
    "Ticket {nine} is closed.",
    "The tracking number is {twelve}.",
    "Commit {hash} broke the build.",
    "The printer sits at {private_ip}.",
    "The id {uuid} is not known.",
)
"""What was looked at while the recognisers were written."""

HELD_OUT = (
    "You can reach our team under {EMAIL_ADDRESS} at any time of the day.",
    "cc: {EMAIL_ADDRESS}; {EMAIL_ADDRESS}",
    "<{EMAIL_ADDRESS}> wrote: I agree with the proposal",
    "Schreib mir einfach an {EMAIL_ADDRESS}, ich antworte heute noch.",
    "Mon adresse ({EMAIL_ADDRESS}) n'a pas changé depuis deux ans.",
    "If it rings twice, it is {PHONE_NUMBER} that calls.",
    "Rufen Sie uns an: {PHONE_NUMBER} (Mo-Fr).",
    "On peut me joindre au {PHONE_NUMBER} après six heures.",
    "Mi teléfono: {PHONE_NUMBER}.",
    "He left {PHONE_NUMBER} on a sticky note, nothing else.",
    "Mobile {PHONE_NUMBER}, home {PHONE_NUMBER}.",
    "The charge of ${price} went to {CREDIT_CARD} on {date}.",
    "Visa {CREDIT_CARD} exp 09/28 cvv on the back",
    "Kreditkarte: {CREDIT_CARD}",
    "Il numero della carta è {CREDIT_CARD} e scade a maggio.",
    "Account holder moved; the new account is {IBAN_CODE}.",
    "IBAN:{IBAN_CODE}\nBIC: see above",
    "Mon compte {IBAN_CODE} est bloqué depuis hier.",
    "Donations welcome: {CRYPTO}",
    "He asked for 0.5 BTC to the wallet {CRYPTO} within a day.",
    "Blocked {IP_ADDRESS} after twelve failed attempts.",
    "Received: from unknown ({IP_ADDRESS}) by our relay",
    "Die Anfrage kam von der Adresse {IP_ADDRESS}.",
    "wlan0: hardware address {MAC_ADDRESS}, state up",
    "The router with {MAC_ADDRESS} was stolen in March.",
    'token = "{ACCESS_KEY}"  # remove before committing',
    "curl -H 'Authorization: Bearer {ACCESS_KEY}' https://api.acme.co.uk/v2/items",
    "They leaked {ACCESS_KEY} in a screenshot.",
    "SSN on file: {US_SSN}; please verify the last four.",
    "The applicant ({US_SSN}) filed in time.",
    "Patient with NHS No {UK_NHS} was moved to ward 7.",
    "For the health service she is {UK_NHS}.",
    "National Insurance {UK_NINO} appears on every payslip.",
    "The letter quoted {UK_NINO} at the top.",
    "Identifikationsnummer {DE_TAX_ID} (bitte immer angeben)",
    "Das Finanzamt führt mich unter {DE_TAX_ID}.",
    "NIR : {FR_NIR}",
    "Le patient {FR_NIR} a été admis lundi.",
    "Firmado por la titular con DNI {ES_NIF} en Sevilla.",
    "La persona {ES_NIF} no se presentó.",
    "Extranjero con NIE {ES_NIE}, residente en Vigo.",
    "Documento {ES_NIE} caducado.",
    "C.F. {IT_FISCAL_CODE}, residente a Parma.",
    "Il paziente {IT_FISCAL_CODE} è stato dimesso.",
    "Burgerservicenummer {NL_BSN} staat op de pas.",
    "BSN: {NL_BSN}, geboren te Leiden",
    "Titular inscrito no CPF sob o nº {BR_CPF}.",
    "Cliente {BR_CPF} pediu o cancelamento.",
    "A empresa de CNPJ {BR_CNPJ} emitiu a nota.",
    "Fornecedor {BR_CNPJ} bloqueado.",
    "UIDAI issued {IN_AADHAAR} to him in 2014.",
    "KYC done with Aadhaar no. {IN_AADHAAR}.",
    "Reisepass Nr. {PASSPORT}, gültig bis 2031.",
    "Travelling on passport {PASSPORT} from Lagos.",
    "Le passeport n° {PASSPORT} a été perdu à Lyon.",
    "DOB {DATE_OF_BIRTH}, no known allergies.",
    "geboren am {DATE_OF_BIRTH} in Kiel",
    "Date de naissance : {DATE_OF_BIRTH}",
    "Birthday ({DATE_OF_BIRTH}) as on the certificate.",
    "DATABASE_URL={URL_WITH_PASSWORD}",
    "The dump is behind {URL_WITH_PASSWORD}, as ever.",
    "According to {PERSON}, the meeting was moved to Friday.",
    "The contract was signed by {PERSON} and {PERSON} in the afternoon.",
    "Dear {PERSON}, thank you for your letter.",
    "I spoke with {PERSON} about the invoice.",
    # what must not be found
    "Article {no_card} is sold out until {date}.",
    "The reference {no_card} belongs to an older contract.",
    "Überweisung an {no_iban} wurde abgelehnt.",
    "See {isbn}, chapter 4, for the proof.",
    "Upgrade from v{version} to v{version}, then restart.",
    "Firmware {version} (build {nine}) fixes the leak.",
    "From {date} to {date} the shop was shut, daily from {time}.",
    "Revenue rose to {millions} units, or EUR {price}.",
    "Invoice {ten} of {date} is still open.",
    "Bestellnummer {eleven}, bitte angeben.",
    "Serial no. {twelve}, lot {nine}.",
    "The timestamp {fourteen} is in the file's name.",
    "md5 of the first and sha1 of the second: {hash}",
    "Object {uuid} was evicted from the cache.",
    "Ping {private_ip} and 127.0.0.1 before you ask.",
    "Modelo {area_no_dni} retirado del mercado.",
    "The loss fell to {decimal} after the third epoch.",
    "File {ratio} in the second drawer.",
    "Part {part} replaces {part}.",
    "The sum of {nine} and {ten} overflows.",
    "icon@2x.png and git@github.com:acme/app.git are no addresses of people.",
    "Write to support@example.com or webmaster@test.invalid in your tests.",
    "std::vector<int> a::b and 10:30:45 are no addresses either.",
    "Page 12-34-56 of 78-90, figure 3.1.4.1, table 2.7.1.8",
)
"""What is reported."""

BY_HAND = (
    (
        "Ruf <<+49 171 2345678|PHONE_NUMBER>> oder schreib <<jana.p@web.de|EMAIL_ADDRESS>> :)",
        "de",
    ),
    ("sorry wrong card, use <<4111-1111-1111-1111|CREDIT_CARD>> instead, not 4111-1111-1111-1112", "en"),
    ("Karte: <<４１１１ １１１１ １１１１ １１１１|CREDIT_CARD>> (Vollbreite)", "de"),
    ("tel <<+44 7911\u200b 123456|PHONE_NUMBER>> with an invisible blank", "en"),
    ("mail me: <<sandra [at] firma-nord [dot] de|EMAIL_ADDRESS>>", "en"),
    ("Écrivez à <<françois.müller@orange.fr|EMAIL_ADDRESS>> svp.", "fr"),
    ("用户的邮箱是 <<li.wei@mail.ru|EMAIL_ADDRESS>>，请回复。", "zh"),
    ("Мой телефон <<+7 912 345-67-89|PHONE_NUMBER>>, пишите.", "ru"),
    ("電話は <<+81 90-1234-5678|PHONE_NUMBER>> です", "ja"),
    ("रसीद संख्या 98765, आधार <<2341 2341 2346|IN_AADHAAR>>", "hi"),
    ("IBAN <<de89 3704 0044 0532 0130 00|IBAN_CODE>> und dann weiter im Text", "de"),
    ("(<<212 555 0147|PHONE_NUMBER>> is cut off by the bracket", "en"),
    ("The GDPR fine was 746 000 000 euros on 16 July 2021.", "en"),
    ("Pi is 3.14159265358979323846264338327950288419716939937510", "en"),
    ("The Bible verse 1 Kings 7:23-26 and the score 21:19 21:17", "en"),
    ("RFC 1918 names 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16.", "en"),
    ("pip install torch==2.13.0.1 numpy==2.4.6.0", "en"),
    ("Born to run (1975) was recorded in 1974-1975.", "en"),
    ("My passport is lost, and 20 people wait before me.", "en"),
    ("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7 is a public key", "en"),
    ("-----BEGIN PUBLIC KEY-----\nMIGfMA0GCSqGSIb3\n-----END PUBLIC KEY-----", "en"),
    ("<<-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY-----|ACCESS_KEY>>", "en"),
    ("le numéro <<2 55 08 14 168 025 38|FR_NIR>> est un exemple connu", "fr"),
    ("Née le <<12 mars 1985|DATE_OF_BIRTH>> à Nantes.", "fr"),
    ("nacida el <<3 de mayo de 1979|DATE_OF_BIRTH>> en Lugo", "es"),
    ("nata a Roma il <<10/12/1985|DATE_OF_BIRTH>>", "it"),
    ("ring mich an unter <<089 / 1234567|PHONE_NUMBER>>", "de"),
    ("chiamami al <<347 1234567|PHONE_NUMBER>> dopo cena", "it"),
    ("llámame al <<612345678|PHONE_NUMBER>>", "es"),
    ("bel <<0612345678|PHONE_NUMBER>> even", "nl"),
)
"""Written by hand, with <<text|KIND>> for what is to be found, and the language."""
MARK = re.compile(r"<<(.*?)\|([A-Z_]+)>>", re.DOTALL)


def made(templates: Sequence[str], times: int, seed: int) -> list[Labelled]:
    """Each template filled so many times."""
    chance = random.Random(seed)
    return [_filled(template, chance) for _ in range(times) for template in templates]


def _filled(template: str, chance: random.Random) -> Labelled:
    text, spans, place = "", [], 0
    for slot in SLOT.finditer(template):
        text += template[place : slot.start()]
        name = slot[1]
        value = MAKERS[name](chance) if name in MAKERS else NO_MAKERS[name](chance)
        if name in MAKERS:
            spans.append((len(text), len(text) + len(value), name))
        text += value
        place = slot.end()
    return Labelled(text + template[place:], tuple(spans))


def by_hand() -> list[Labelled]:
    """The texts written by hand."""
    found = []
    for said, _ in BY_HAND:
        text, spans, place = "", [], 0
        for mark in MARK.finditer(said):
            text += said[place : mark.start()]
            spans.append((len(text), len(text) + len(mark[1]), mark[2]))
            text += mark[1]
            place = mark.end()
        found.append(Labelled(text + said[place:], tuple(spans)))
    return found


PROSE = (
    "The committee met in the afternoon to discuss the plans for the new building.",
    "Most of the members agreed that the work should go ahead before the winter.",
    "It had rained for three days, and the river stood higher than usual.",
    "Nobody could say where the old map had gone, though many had seen it.",
    "The second part of the report deals with the costs of the last two years.",
    "When the lights went out, the children began to tell each other stories.",
    "A good recipe needs few words and leaves little to chance.",
    "The train was late again, so we walked along the canal and talked.",
    "He opened the window, looked at the garden and closed it without a word.",
    "Every model of the series was tested on 40 samples in 2024.",
)


def long_texts(count: int, length: int, seed: int) -> list[str]:
    """Texts of that many letters: prose with one labelled or misleading sentence each."""
    chance = random.Random(seed)
    sentences = [one.text for one in made(HELD_OUT, 3, seed)]
    found = []
    for _ in range(count):
        words = [chance.choice(PROSE) for _ in range(length // 60)]
        words[chance.randrange(len(words) // 2)] = chance.choice(sentences)
        found.append(" ".join(words)[:length].ljust(length, "."))
    return found
