"""Signs requests with botocore and sends them: a line of JSON in, a line of JSON out.

In: `method`, `path`, `body`, `credentials` as `credential_process` has them; and to do it wrong: `sent_body` and `sent_path` instead of what
was signed, `late_secs` for the clock, `secret`, `service`, `region`, `more` for headers that aren't signed, `again` to send it once more.
Out: `status`, `headers`, `body`, of the last one.
"""

import datetime
import json
import sys
import urllib.error
import urllib.request

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

base = sys.argv[1]
now = botocore.auth.get_current_datetime

for line in sys.stdin:
    asked = json.loads(line)
    pair = asked["credentials"]
    keys = Credentials(pair["AccessKeyId"], asked.get("secret") or pair["SecretAccessKey"], pair.get("SessionToken"))
    body = asked.get("body", "").encode()
    request = AWSRequest(method=asked["method"], url=base + asked["path"], data=body)
    if body:
        request.headers["content-type"] = "application/json"
    late = datetime.timedelta(seconds=asked.get("late_secs", 0))
    botocore.auth.get_current_datetime = lambda *args, **kwargs: now(*args, **kwargs) - late
    botocore.auth.SigV4Auth(keys, asked.get("service", "remit"), asked.get("region", "us-east-1")).add_auth(request)
    headers = dict(request.headers.items()) | asked.get("more", {})
    sent = asked["sent_body"].encode() if "sent_body" in asked else body
    url = base + asked.get("sent_path", asked["path"])
    for _ in range(2 if asked.get("again") else 1):
        try:
            done = urllib.request.urlopen(urllib.request.Request(url, sent or None, headers, method=asked["method"]))
        except urllib.error.HTTPError as error:
            done = error
        answer = {"status": done.status, "headers": {k.lower(): v for k, v in done.headers.items()}, "body": done.read().decode()}
    print(json.dumps(answer), flush=True)
