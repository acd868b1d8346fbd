"""What stands around a state machine: `aws.py ENDPOINT set-up FILE`, `topic` (one with a queue), `receive QUEUE`, `answer TOKEN JSON`, `status ARN NAME`;
and what an alarm of CloudWatch sees: `metrics ALARM`. Prints JSON."""

import datetime
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


def metrics(endpoint, alarm):
    """What the alarm would sum up, the sums of every metric by dimension, and how many durations there are."""
    watch = client("cloudwatch", endpoint)
    now = datetime.datetime.now(datetime.timezone.utc)
    window = {"StartTime": now - datetime.timedelta(hours=1), "EndTime": now + datetime.timedelta(minutes=1)}
    [alarm] = watch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    names = {key: alarm[key] for key in ("Namespace", "MetricName")}
    asked = watch.get_metric_statistics(**names, **window, Period=7200, Dimensions=alarm["Dimensions"], Statistics=[alarm["Statistic"]])
    everything = sum(point[alarm["Statistic"]] for point in asked["Datapoints"])
    sums = {}
    for listed in watch.list_metrics(Namespace=alarm["Namespace"])["Metrics"]:
        metric = {key: listed[key] for key in ("Namespace", "MetricName", "Dimensions")}
        query = {"Id": "m", "MetricStat": {"Metric": metric, "Period": 7200, "Stat": "Sum"}}
        [found] = watch.get_metric_data(MetricDataQueries=[query], **window)["MetricDataResults"]
        dimension = ",".join(f"{one['Name']}={one['Value']}" for one in listed["Dimensions"])
        sums.setdefault(listed["MetricName"], {})[dimension] = sum(found["Values"])
    # Who names no dimensions sees what has none. moto sums up what has some, too: that is taken out again.
    for of in sums.values():
        of[""] -= sum(value for dimension, value in of.items() if dimension)
    everything -= sum(value for dimension, value in sums[alarm["MetricName"]].items() if dimension)
    seen = {**names, "Threshold": alarm["Threshold"], "sum": everything}
    latency = watch.get_metric_statistics(
        Namespace=alarm["Namespace"], MetricName="CallLatency", **window, Period=7200, Dimensions=[], Statistics=["SampleCount"]
    )["Datapoints"]
    count = sum(point["SampleCount"] for point in latency)
    for listed in watch.list_metrics(MetricName="CallLatency")["Metrics"]:
        if listed["Dimensions"]:
            of = watch.get_metric_statistics(**listed, **window, Period=7200, Statistics=["SampleCount"])
            count -= sum(point["SampleCount"] for point in of["Datapoints"])
    return {"alarm": seen, "sums": sums, "latency": {"count": int(count), "unit": latency[0]["Unit"]}}


def main():
    endpoint, what, *rest = sys.argv[1:]
    states = client("stepfunctions", endpoint)
    if what == "set-up":
        told = set_up(endpoint, *rest)
    elif what == "topic":
        told = topic(endpoint)
    elif what == "receive":
        told = receive(endpoint, *rest)
    elif what == "metrics":
        told = metrics(endpoint, *rest)
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
