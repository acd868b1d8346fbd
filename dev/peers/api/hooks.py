"""What schemathesis is told of this gateway: names of things that are there, and how requests are signed.

REMIT_KNOWN is JSON: for a field's name, the values that are known to it. Where a text was made up for such a field, three of four are
replaced, always the same ones (what is long may be wrong on purpose), so that requests come further than to the first "there is no such thing". REMIT_NAMED is JSON: the operations that are told by whom.

REMIT_KEYS, if it is set, is JSON in the form of `credential_process`: requests are signed with it by botocore instead of carrying a token.
"""

import itertools
import json
import os
import re
import zlib

import requests
import schemathesis
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KNOWN = json.loads(os.environ.get("REMIT_KNOWN", "{}"))
NAMED = json.loads(os.environ.get("REMIT_NAMED", "[]"))
KEY = re.compile(r"[!#-\[\]-~]{1,255}")
COUNTER = itertools.count()
ONE_OF = ["agent", "space", "user", "credential", "role", "server", "tool", "everything", "before_secs", "resume"]


def realistic(values):
    if not isinstance(values, dict):
        return values
    changed = dict(values)
    for name, value in values.items():
        known = KNOWN.get(name)
        if known and isinstance(value, str) and 0 < len(value) <= 64:
            number = zlib.crc32(value.encode("utf-8", "surrogatepass"))
            if number % 4:
                changed[name] = known[number // 4 % len(known)]
    return changed


@schemathesis.hook
def map_body(context, body):
    body = realistic(body)
    # These are about one thing at a time. What may be wrong on purpose stays.
    if isinstance(body, dict) and context.operation.label in ("POST /v1/suspend", "POST /v1/revoke"):
        fits = [name for name in ONE_OF if isinstance(body.get(name), str) and 0 < len(body[name]) <= 200]
        others = [name for name in ONE_OF if name in body and (body[name] is None or isinstance(body[name], bool) or name in fits[1:])]
        body = {name: value for name, value in body.items() if name not in others}
    # A secret's value comes in one way of two.
    if isinstance(body, dict) and context.operation.label == "POST /v1/secrets/put":
        given = [body.get("value"), body.get("value_base64")]
        if all(one is None or isinstance(one, str) and len(one) <= 200 for one in given):
            body = {name: value for name, value in body.items() if name != "value_base64"}
            body["value"] = given[0] or "a value"
    # Whoever shows the operator's token says who they are.
    if isinstance(body, dict) and body and context.operation.label in NAMED:
        body.setdefault("by", "operator")
    return body


@schemathesis.hook
def map_headers(context, headers):
    # A key is one request's: what is made up again and again would be refused for that alone.
    if headers and KEY.fullmatch(str(headers.get("Idempotency-Key", ""))):
        return {**headers, "Idempotency-Key": f"k{next(COUNTER)}"}
    return headers


@schemathesis.hook
def map_query(context, query):
    return realistic(query)


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    return realistic(path_parameters)


class Signed(requests.auth.AuthBase):
    """Signs what is sent, as it is sent."""

    def __init__(self, pair):
        self.credentials = Credentials(pair["AccessKeyId"], pair["SecretAccessKey"], pair.get("SessionToken"))

    def __call__(self, request):
        body = request.body if request.body is not None else b""
        if isinstance(body, str):
            body = body.encode()
        signed = AWSRequest(method=request.method, url=request.url, data=body)
        SigV4Auth(self.credentials, "remit", "us-east-1").add_auth(signed)
        request.headers.update(dict(signed.headers.items()))
        return request


if os.environ.get("REMIT_KEYS"):
    schemathesis.auth.set_from_requests(Signed(json.loads(os.environ["REMIT_KEYS"])))
