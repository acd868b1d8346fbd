"""What stands around a state machine: `aws.py ENDPOINT set-up FILE`, `topic` (one with a queue), `receive QUEUE`, `answer TOKEN JSON`, `status ARN NAME`. Prints JSON."""

import json
import sys

import boto3


def client(service, endpoint):
    keys = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "example"}
    return boto3.client(service, endpoint_url=endpoint, region_name="us-east-1", **keys)


def set_up(endpoint, definition, ask_seconds, escalate_seconds):
    sqs, sns = client("sqs", endpoint), client("sns", endpoint)
    first, second = (sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("approvers", "escalation"))
    topic = sns.create_topic(Name="approvals")["TopicArn"]
    text = open(definition).read()
    for name, value in [
        ("TopicArn", topic),
        ("ApproversQueueUrl", first),
        ("EscalationQueueUrl", second),
        ("AskSeconds", ask_seconds),
        ("EscalateSeconds", escalate_seconds),
    ]:
        text = text.replace("${%s}" % name, value)
    machine = client("stepfunctions", endpoint).create_state_machine(
        name="remit-approval", definition=text, roleArn="arn:aws:iam::123456789012:role/states"
    )
    return {"machine": machine["stateMachineArn"], "queue": first, "escalation": second}


def topic(endpoint):
    sqs, sns = client("sqs", endpoint), client("sns", endpoint)
    queue = sqs.create_queue(QueueName="alerts")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = sns.create_topic(Name="agent-governance-alerts")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return {"topic": topic, "queue": queue}


def receive(endpoint, queue):
    sqs = client("sqs", endpoint)
    for _ in range(30):
        got = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1, MaxNumberOfMessages=1).get("Messages", [])
        if got:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=got[0]["ReceiptHandle"])
            return json.loads(got[0]["Body"])
    raise SystemExit("nothing came")


def main():
    endpoint, what, *rest = sys.argv[1:]
    states = client("stepfunctions", endpoint)
    if what == "set-up":
        told = set_up(endpoint, *rest)
    elif what == "topic":
        told = topic(endpoint)
    elif what == "receive":
        told = receive(endpoint, *rest)
    elif what == "answer":
        states.send_task_success(taskToken=rest[0], output=rest[1])
        told = {}
    else:
        arn = rest[0].replace(":stateMachine:", ":execution:") + ":" + rest[1]
        found = states.describe_execution(executionArn=arn)
        told = {"status": found["status"], "output": found.get("output")}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
