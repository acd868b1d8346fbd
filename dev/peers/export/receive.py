"""A collector over HTTPS: takes batches of JSON Lines under a bearer token, and appends them to a file before it answers.

    receive.py PORT CERTIFICATE KEY FILE TOKEN
"""

import http.server
import json
import os
import ssl
import sys

PORT, CERTIFICATE, KEY, FILE, TOKEN = sys.argv[1:]


class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            return self.answer(401)
        if self.headers.get("content-type") != "application/x-ndjson":
            return self.answer(415)
        # Half of a batch is none.
        events = [json.loads(line) for line in body.decode().splitlines()]
        with open(FILE, "a") as file:
            file.writelines(json.dumps(event) + "\n" for event in events)
            file.flush()
            os.fsync(file.fileno())
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERTIFICATE, KEY)
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(PORT)), Collector)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
