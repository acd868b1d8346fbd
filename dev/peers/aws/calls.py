"""Calls AWS APIs with boto3: one call a line on standard input, one answer a line on standard output.

A call is {"service", "operation", "parameters", "credentials"?, "region"?, "unchecked"?, "times"?}. `unchecked` leaves the checking of
parameters to the server; `times` makes so many equal calls at once. An answer is {"answer"} or {"error": {"type", "code", "message",
"status"}}, or a list of them. The endpoint is the first argument; without credentials botocore looks for some, as it always does.
"""

import json
import sys
import threading

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError


def answered(client, call, barrier):
    barrier.wait()
    try:
        answer = getattr(client, call["operation"])(**call["parameters"])
        return {"answer": answer}
    except ClientError as error:
        told = error.response["Error"]
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return {"error": {"type": type(error).__name__, "code": told["Code"], "message": told["Message"], "status": status}}


def called(call):
    credentials = call.get("credentials") or {}
    client = boto3.client(
        call["service"],
        endpoint_url=sys.argv[1],
        region_name=call.get("region", "us-east-1"),
        aws_access_key_id=credentials.get("AccessKeyId"),
        aws_secret_access_key=credentials.get("SecretAccessKey"),
        aws_session_token=credentials.get("SessionToken"),
        config=Config(parameter_validation=not call.get("unchecked")),
    )
    if call["operation"] == "generate_presigned_url":
        return {"answer": client.generate_presigned_url(**call["parameters"])}
    times = call.get("times", 1)
    barrier, answers = threading.Barrier(times), [None] * times

    def one(place):
        answers[place] = answered(client, call, barrier)

    threads = [threading.Thread(target=one, args=[place]) for place in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers if "times" in call else answers[0]


for line in sys.stdin:
    print(json.dumps(called(json.loads(line)), default=str), flush=True)
