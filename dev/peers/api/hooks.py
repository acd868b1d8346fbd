"""What schemathesis is told of this gateway: names of things that are there, and how requests are signed.

REMIT_KNOWN is JSON: for a field's name, the values that are known to it. Where a text was made up for such a field, about every other one is
replaced, always the same ones (what is long may be wrong on purpose), so that requests come further than to the first "there is no such thing".

REMIT_KEYS, if it is set, is JSON in the form of `credential_process`: requests are signed with it by botocore instead of carrying a token.
"""

import json
import os
import zlib

import requests
import schemathesis
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KNOWN = json.loads(os.environ.get("REMIT_KNOWN", "{}"))


def realistic(values):
    if not isinstance(values, dict):
        return values
    changed = dict(values)
    for name, value in values.items():
        known = KNOWN.get(name)
        if known and isinstance(value, str) and 0 < len(value) <= 200:
            number = zlib.crc32(value.encode("utf-8", "surrogatepass"))
            if number % 2:
                changed[name] = known[number // 2 % len(known)]
    return changed


@schemathesis.hook
def map_body(context, body):
    return realistic(body)


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
