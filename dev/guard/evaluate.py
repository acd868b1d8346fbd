"""Prepares the test files that the Rust example `evaluate` reads, one JSON object a line.

    python evaluate.py <unpacked packages> <folder to write to>
"""

import ast
import json
import random
import re
import string
import sys
from pathlib import Path

import agentdojo_texts
import sources


def write(folder, name, rows):
    with open(folder / name, "w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row) + "\n")
    print(f"{name}: {len(rows)}")


def luhn(body):
    digits = [int(d) for d in body]
    total = 0
    for place, digit in enumerate(reversed(digits)):
        total += digit if place % 2 else (digit * 2 - 9 if digit > 4 else digit * 2)
    return body + str(-total % 10)


def card(r):
    prefix, length = r.choice([("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("37", 15), ("34", 15), ("6011", 16), ("3530", 16), ("36", 14), ("4", 16)])
    number = luhn(prefix + "".join(r.choice(string.digits) for _ in range(length - len(prefix) - 1)))
    if length == 16 and r.random() < 0.4:
        return r.choice(" -").join(number[i : i + 4] for i in range(0, 16, 4))
    return number


def iban(r):
    country, form = r.choice([("DE", "9" * 18), ("GB", "AAAA" + "9" * 14), ("FR", "9" * 10 + "9" * 11 + "99"), ("NL", "AAAA" + "9" * 10), ("ES", "9" * 20), ("CH", "9" * 17), ("SE", "9" * 20), ("NO", "9" * 11)])
    body = "".join(r.choice(string.digits) if c == "9" else r.choice(string.ascii_uppercase) for c in form)
    number = int("".join(str(int(c, 36)) for c in body + country) + "00")
    code = f"{country}{98 - number % 97:02d}{body}"
    return " ".join(code[i : i + 4] for i in range(0, len(code), 4)) if r.random() < 0.4 else code


def ssn(r):
    return f"{r.choice([n for n in range(1, 900) if n != 666]):03d}-{r.randrange(1, 100):02d}-{r.randrange(1, 10000):04d}"


def nhs(r):
    while True:
        body = "".join(r.choice(string.digits) for _ in range(9))
        check = 11 - sum(int(d) * w for d, w in zip(body, range(10, 1, -1))) % 11
        if check != 10:
            number = body + str(check % 11)
            return f"{number[:3]} {number[3:6]} {number[6:]}" if r.random() < 0.5 else number


def routing(r):
    while True:
        body = f"{r.choice(list(range(1, 13)) + list(range(21, 33))):02d}" + "".join(r.choice(string.digits) for _ in range(6))
        total = sum(int(d) * w for d, w in zip(body, [3, 7, 1, 3, 7, 1, 3, 7]))
        return body + str(-total % 10)


def utr(r):
    body = "".join(r.choice(string.digits) for _ in range(9))
    total = sum(int(d) * w for d, w in zip(body, [6, 7, 8, 9, 10, 5, 4, 3, 2])) % 11
    return "21987654321"[total] + body


def vin(r):
    letters = "ABCDEFGHJKLMNPRSTUVWXYZ"
    values = dict(zip(letters, [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9])) | {d: int(d) for d in string.digits}
    code = [r.choice("12345JKLSWVYZ")] + [r.choice(letters + string.digits) for _ in range(16)]
    total = sum(values[c] * w for c, w in zip(code, [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2]))
    code[8] = "0123456789X"[total % 11]
    return "".join(code)


def many(r, alphabet, count):
    return "".join(r.choice(alphabet) for _ in range(count))


def values(r):
    """What each type's values are, by its own rules: written apart from the detectors."""
    hexa = "0123456789abcdef"
    return {
        "CREDIT_DEBIT_CARD_NUMBER": card(r),
        "INTERNATIONAL_BANK_ACCOUNT_NUMBER": iban(r),
        "US_SOCIAL_SECURITY_NUMBER": ssn(r),
        "US_INDIVIDUAL_TAX_IDENTIFICATION_NUMBER": f"9{r.randrange(100):02d}-{r.choice([*range(50, 66), *range(70, 89)])}-{r.randrange(10000):04d}",
        "EMAIL": f"{many(r, string.ascii_lowercase, 5)}{r.choice(['.', '_', '', '+'])}{many(r, string.ascii_lowercase, 4)}@{many(r, string.ascii_lowercase, 7)}.{r.choice(['com', 'org', 'co.uk', 'io', 'example'])}",
        "URL": f"{r.choice(['https://', 'http://', 'www.'])}{many(r, string.ascii_lowercase, 8)}.{r.choice(['com', 'net', 'de'])}/{many(r, string.ascii_lowercase, 4)}?{many(r, string.ascii_lowercase, 2)}={r.randrange(99)}",
        "IP_ADDRESS": r.choice([".".join(str(r.randrange(1, 255)) for _ in range(4)), ":".join(many(r, hexa, 4) for _ in range(8)), f"2001:db8::{many(r, hexa, 4)}:{many(r, hexa, 3)}"]),
        "MAC_ADDRESS": r.choice(":-").join([""] * 0 + [many(r, hexa, 2) for _ in range(6)]),
        "VEHICLE_IDENTIFICATION_NUMBER": vin(r),
        "UK_NATIONAL_INSURANCE_NUMBER": f"{r.choice('ABCEGHJKLMNPRSTWXYZ')}{r.choice('ABCEHJLMPRSWXYZ')}".replace("GB", "AB") + r.choice(["{0}{1}{2}", " {0} {1} {2} "]).format(*[f"{r.randrange(100):02d}" for _ in range(3)]) + r.choice("ABCD"),
        "AWS_ACCESS_KEY": r.choice(["AKIA", "ASIA"]) + many(r, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
        "UK_NATIONAL_HEALTH_SERVICE_NUMBER": nhs(r),
        "US_BANK_ROUTING_NUMBER": routing(r),
        "UK_UNIQUE_TAXPAYER_REFERENCE_NUMBER": utr(r),
        "CA_SOCIAL_INSURANCE_NUMBER": "-".join(re.findall("...", luhn(r.choice("1245679") + many(r, string.digits, 7)))),
        "AWS_SECRET_KEY": "aB3" + many(r, string.ascii_letters + string.digits + "/+", 37),
        "PHONE": r.choice([f"+{r.choice(['1', '44', '49', '33', '91'])} {r.randrange(20, 99)} {r.randrange(1000, 9999)} {r.randrange(1000, 9999)}", f"({r.randrange(212, 989)}) {r.randrange(212, 989)}-{r.randrange(1000, 9999)}", f"{r.randrange(212, 989)}-{r.randrange(212, 989)}-{r.randrange(1000, 9999)}", f"0{r.randrange(20, 99)} {r.randrange(1000, 9999)} {r.randrange(100, 999)}"]),
        "AGE": str(r.randrange(2, 99)),
        "CREDIT_DEBIT_CARD_CVV": str(r.randrange(100, 999)),
        "CREDIT_DEBIT_CARD_EXPIRY": f"{r.randrange(1, 13):02d}/{r.randrange(25, 34)}",
        "PIN": str(r.randrange(1000, 9999)),
        "SWIFT_CODE": many(r, string.ascii_uppercase, 4) + r.choice(["DE", "GB", "US", "FR", "CH"]) + many(r, string.ascii_uppercase + string.digits, r.choice([2, 5])),
        "US_BANK_ACCOUNT_NUMBER": many(r, string.digits, r.randrange(8, 14)),
        "US_PASSPORT_NUMBER": r.choice("ABCDEGHXYZ") + many(r, string.digits, 8),
        "DRIVER_ID": r.choice(string.ascii_uppercase) + many(r, string.digits, r.choice([7, 8, 12])),
        "LICENSE_PLATE": many(r, string.ascii_uppercase, 3) + r.choice(["-", " ", ""]) + many(r, string.digits, r.choice([3, 4])),
        "CA_HEALTH_NUMBER": r.choice(["{}-{}-{}", "{}{}{}"]).format(r.randrange(1000, 9999), r.randrange(100, 999), r.randrange(100, 999)),
        "USERNAME": many(r, string.ascii_lowercase, 5) + str(r.randrange(99)),
        "PASSWORD": many(r, string.ascii_letters, 5) + many(r, string.digits, 3) + r.choice("!#?_"),
        "GITHUB_TOKEN": "ghp_" + many(r, string.ascii_letters + string.digits, 36),
        "STRIPE_KEY": "sk_live_" + many(r, string.ascii_letters + string.digits, 24),
        "SLACK_TOKEN": "xoxb-" + many(r, string.digits, 11) + "-" + many(r, string.ascii_letters + string.digits, 24),
        "GOOGLE_API_KEY": "AIza" + many(r, string.ascii_letters + string.digits + "_-", 35),
    }


# How people write of a value; the detectors' own lists of words were not looked at for these.
SAID = {
    "UK_NATIONAL_HEALTH_SERVICE_NUMBER": ["The patient's NHS number is {}.", "NHS no. {}", "nhs_number={}"],
    "US_BANK_ROUTING_NUMBER": ["Use routing number {} for the wire.", "ABA: {}", "Routing no {}"],
    "UK_UNIQUE_TAXPAYER_REFERENCE_NUMBER": ["My UTR is {}.", "Unique Taxpayer Reference {}", "UTR number: {}"],
    "AWS_SECRET_KEY": ["AWS_SECRET_ACCESS_KEY={}", "secret access key: {}", '"SecretAccessKey": "{}"'],
    "AGE": ["She is {} years old.", "Age: {}", "a {}-year-old man", "He turned {} last week."],
    "CREDIT_DEBIT_CARD_CVV": ["CVV {}", "the security code on the back is {}", "cvc: {}"],
    "CREDIT_DEBIT_CARD_EXPIRY": ["exp. {}", "It expires {}.", "Expiration date: {}", "valid thru {}"],
    "PIN": ["My PIN is {}.", "PIN: {}", "use pin code {}", "the PIN for the card ending in 12 is {}"],
    "SWIFT_CODE": ["SWIFT: {}", "BIC {}", "our bank's SWIFT code is {}"],
    "US_BANK_ACCOUNT_NUMBER": ["account number {}", "Acct: {}", "Wire it to my checking account {}."],
    "US_PASSPORT_NUMBER": ["passport number {}", "Passport: {}", "my US passport is {}"],
    "DRIVER_ID": ["driver's license {}", "DL# {}", "License number: {}", "his driving licence number is {}"],
    "LICENSE_PLATE": ["license plate {}", "The car's plate is {}.", "plate number: {}", "a van with plates {}"],
    "CA_HEALTH_NUMBER": ["health card number {}", "OHIP {}", "Health number: {}"],
    "USERNAME": ["username: {}", "log in as user {}", "Username is {}", "user_id={}"],
    "PASSWORD": ["password: {}", "The password is {}", "pwd={}", "my passphrase is {}"],
    "PHONE": ["Call me on {}.", "Tel: {}", "Phone {}", "You can reach us under {} from nine."],
}
PLAIN = ["Please use {} for this.", "{}", "value={};", "It was {} that we found, nothing else.", '{{"v": "{}"}}', "- {}\n- other", "Look at {}, then call."]


def sensitive(r):
    rows = []
    for _ in range(120):
        for kind, value in values(r).items():
            lead, tail = r.choice(["", "Hello. ", "2025-11-02 10:33 INFO ", "Order 100234: "]), r.choice(["", " Thanks!", " Total 12.50.", "\nbye"])
            said = r.choice(SAID.get(kind, PLAIN))
            before, after = said.replace("{{", "{").replace("}}", "}").split("{}") if "{}" in said else (said, "")
            text = lead + before + value + after + tail
            start = len((lead + before).encode())
            rows.append({"text": text, "spans": [[kind, start, start + len(value.encode())]], "set": "own"})
    # Numbers that are none of these: a wrong check digit, a version, a time, an identifier.
    for _ in range(1500):
        value = r.choice([
            lambda: many(r, string.digits, r.choice([5, 8, 10, 12])), lambda: f"v{r.randrange(9)}.{r.randrange(20)}.{r.randrange(20)}", lambda: f"2025-{r.randrange(1, 13):02d}-{r.randrange(1, 29):02d}T{r.randrange(24):02d}:{r.randrange(60):02d}:{r.randrange(60):02d}Z",
            lambda: "-".join(many(r, "0123456789abcdef", n) for n in [8, 4, 4, 4, 12]), lambda: many(r, "0123456789abcdef", 40), lambda: f"{r.randrange(10**6):,}", lambda: f"{r.randrange(99)}/{r.randrange(99)}", lambda: f"0x{many(r, '0123456789abcdef', 8)}", lambda: card(r)[:-1] + "x",
            lambda: f"issue #{r.randrange(99999)}", lambda: f"{r.randrange(999)}.{r.randrange(99):02d} EUR", lambda: many(r, string.ascii_uppercase, 5),
        ])()
        rows.append({"text": r.choice(PLAIN).replace("{{", "{").replace("}}", "}").replace("{}", value), "spans": [], "set": "own"})
    return rows


def presidio(root, r):
    """Sentences of presidio-evaluator's templates, filled by the values above and its list of fake people."""
    import csv

    base = root / "presidio_evaluator/presidio_evaluator/data_generator/raw_data"
    with open(base / "FakeNameGenerator.com_3000.csv", encoding="utf-8-sig") as stream:
        people = list(csv.DictReader(stream))
    rows = []
    templates = [line for line in (base / "templates.txt").read_text(encoding="utf-8").splitlines() if line.strip()]
    for _ in range(8):
        for template in templates:
            p, v = r.choice(people), values(r)
            fill = {
                "credit_card_number": ("CREDIT_DEBIT_CARD_NUMBER", v["CREDIT_DEBIT_CARD_NUMBER"]), "email": ("EMAIL", v["EMAIL"]), "iban": ("INTERNATIONAL_BANK_ACCOUNT_NUMBER", v["INTERNATIONAL_BANK_ACCOUNT_NUMBER"]),
                "ip_address": ("IP_ADDRESS", v["IP_ADDRESS"]), "url": ("URL", v["URL"]), "ssn": ("US_SOCIAL_SECURITY_NUMBER", v["US_SOCIAL_SECURITY_NUMBER"]), "phone_number": ("PHONE", v["PHONE"]), "us_driver_license": ("DRIVER_ID", v["DRIVER_ID"]),
                "age": ("AGE", v["AGE"]), "person": ("NAME", f"{p['GivenName']} {p['Surname']}"), "name": ("NAME", f"{p['GivenName']} {p['Surname']}"), "name_male": ("NAME", f"{p['GivenName']} {p['Surname']}"), "name_female": ("NAME", f"{p['GivenName']} {p['Surname']}"),
                "first_name": ("NAME", p["GivenName"]), "last_name": ("NAME", p["Surname"]), "address": ("ADDRESS", p["StreetAddress"]),
            }
            text, spans, at = "", [], 0
            for found in re.finditer(r"{{(\w+)}}", template):
                text += template[at : found.start()]
                kind, value = fill.get(found.group(1), (None, {"organization": p["Company"], "city": p["City"], "country": p["CountryFull"], "job": p["Occupation"], "year": "2019", "street_name": "High Street", "building_number": "12"}.get(found.group(1), "thing")))
                if kind:
                    spans.append([kind, len(text.encode()), len((text + value).encode())])
                text += value
                at = found.end()
            text += template[at:]
            rows.append({"text": text.replace("\\n", "  "), "spans": spans, "set": "presidio"})
    return rows


def bench(root):
    """mcp-defense-bench: the fixtures of its development part whose attack is in a text, and everything harmless."""
    base = root / "mcp_defense_bench/mcp_defense_bench/_bench"
    rows = []
    for path in sorted(base.glob("testcases/**/*.json")):
        case = json.loads(path.read_text(encoding="utf-8"))
        rows.append({"id": case["id"], "type": case["fixture"]["type"], "fixture": case["fixture"], "attack": True})
        rows.append({"id": case["id"] + "#control", "type": case["benignControl"]["type"], "fixture": case["benignControl"], "attack": False})
    for path in sorted(base.glob("testcases-benign/**/*.json")):
        case = json.loads(path.read_text(encoding="utf-8"))
        rows.append({"id": case["id"], "type": case["fixture"]["type"], "fixture": case["fixture"], "attack": False})
    return rows


class Known(dict):
    """Names of a module as far as they are plain values."""

    def value(self, node):
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.JoinedStr):
            return "".join(str(self.value(part.value if isinstance(part, ast.FormattedValue) else part)) for part in node.values)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self.value(node.left) + self.value(node.right)
        if isinstance(node, ast.Dict):
            return {str(self.value(key)): self.value(value) for key, value in zip(node.keys, node.values) if key is not None}
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            return [self.value(part) for part in node.elts]
        if isinstance(node, ast.Name):
            return self.get(node.id, node.id.lower())
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "frozenset" and node.args:
            return self.value(node.args[0])
        return ""


def guardbench(root):
    """mcp-guardbench's servers as they first list their tools; those that it calls poisoned are attacks."""
    rows = []
    base = root / "mcp_guardbench/guardbench"
    shared = Known()
    for path in [base / "domain/markers.py", base / "mcp_lab/common.py"]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name):
                    shared[target.id] = shared.value(node.value)
    names = {"input_schema": "inputSchema", "output_schema": "outputSchema"}
    for path in sorted((base / "mcp_lab/servers").glob("*_server.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        known, poisoned, tools = Known(shared), [], []
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                known[node.targets[0].id] = known.value(node.value)
        for node in ast.walk(tree):
            if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "poisoned_tools" and node.value is not None:
                poisoned = known.value(node.value)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ToolDefinitionData":
                tools.append({names.get(word.arg, word.arg): known.value(word.value) for word in node.keywords if word.arg and word.arg != "meta"})
        for tool in tools:
            rows.append({"server": path.stem, "tool": tool, "attack": tool.get("name") in poisoned})
    return rows


def main():
    root, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, "bench.jsonl", bench(root))
    write(folder, "guardbench.jsonl", guardbench(root))
    if "--definitions" in sys.argv:
        return
    attack = [{"text": text, "attack": name is not None, "group": name or "benign", "suite": suite} for text, name, suite in agentdojo_texts.texts(root)]
    write(folder, "agentdojo.jsonl", attack)
    lines = (Path(__file__).parent / "overdefence.txt").read_text(encoding="utf-8").splitlines()
    write(folder, "overdefence.jsonl", [{"text": line, "attack": False, "group": "overdefence", "suite": ""} for line in lines if line])
    write(folder, "sensitive.jsonl", sensitive(random.Random(5)) + presidio(root, random.Random(6)))


if __name__ == "__main__":
    main()
