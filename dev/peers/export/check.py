"""Holds an export to the published schema of OCSF, and reads Parquet back: every row must be the event that the JSON Lines have.

    check.py ocsf FILE          each line against the schema of its version and profiles
    check.py same FILE DIR      the rows of all Parquet files below DIR against the lines of FILE
    check.py lake FILE...       the rows of these Parquet files as JSON Lines
"""

import copy
import hashlib
import json
import pathlib
import sys

import pyarrow.parquet as parquet
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema


def lines(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


def fingerprint(event):
    """Of all of the event but the fingerprint, as RFC 8785 writes it: whole numbers and keys of ASCII only."""
    rest = copy.deepcopy(event)
    told = rest["unmapped"]["attestation"].pop("fingerprint")
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return told, {"algorithm_id": 3, "algorithm": "SHA-256", "value": hashlib.sha256(text.encode()).hexdigest()}


def ocsf(path):
    schemas, checked, profiles, attested = {}, 0, set(), 0
    for event in lines(path):
        key = (event["metadata"]["version"], tuple(sorted(event["metadata"]["profiles"])))
        if key not in schemas:
            published = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=key[0]))
            name = published.lookup_class_name_from_uid(class_uid=event["class_uid"])
            schemas[key] = Draft202012Validator(published.get_class_schema(class_name=name, profiles=list(key[1])))
        faults = [f"{'/'.join(map(str, error.path))}: {error.message}"[:400] for error in schemas[key].iter_errors(event)]
        if faults:
            sys.exit(f"event {event['metadata'].get('sequence')}: {faults}")
        if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
            sys.exit(f"type_uid of {event}")
        told, made = fingerprint(event)
        if told != made:
            sys.exit(f"event {event['metadata'].get('sequence')}: its fingerprint is {told}, not {made}")
        event["severity_id"] += 1
        attested += fingerprint(event)[1] != told
        checked += 1
        profiles |= set(key[1])
    # An oracle that accepts everything is none.
    broken = lines(path)[0]
    broken["action_id"] = 5
    broken["no_such_attribute"] = 1
    del broken["actor"]
    found = [error.message for error in schemas[next(iter(schemas))].iter_errors(broken)]
    if len(found) < 3:
        sys.exit(f"the schema found only {found} in a broken event")
    print(json.dumps({"checked": checked, "profiles": sorted(profiles), "version": next(iter(schemas))[0], "attested": attested}))


def bare(value):
    """Without what isn't there."""
    if isinstance(value, dict):
        kept = {key: bare(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner is not None and inner != {} and inner != []}
    if isinstance(value, list):
        return [bare(inner) for inner in value]
    return value


def rows(paths):
    for path in paths:
        file = parquet.ParquetFile(path)
        for row in file.read().to_pylist():
            yield path, bare(row)


def same(path, directory):
    paths = sorted(pathlib.Path(directory).rglob("*.parquet"))
    found = {row["metadata"]["sequence"]: row for _, row in rows(paths)}
    wanted = {event["metadata"]["sequence"]: bare(event) for event in lines(path)}
    if found.keys() != wanted.keys():
        sys.exit(f"rows {sorted(found)} and lines {sorted(wanted)}")
    for key, event in wanted.items():
        if found[key] != event:
            differing = [name for name in event.keys() | found[key].keys() if event.get(name) != found[key].get(name)]
            sys.exit(f"row {key} differs in {[(name, event.get(name), found[key].get(name)) for name in differing]}")
    print(json.dumps({"rows": len(found), "files": [str(path.relative_to(directory)) for path in paths]}))


def lake(*paths):
    for _, row in rows(paths):
        print(json.dumps(row))


if __name__ == "__main__":
    {"ocsf": ocsf, "same": same, "lake": lake}[sys.argv[1]](*sys.argv[2:])
