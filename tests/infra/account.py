#!/usr/bin/env python3
"""Looks at an account of the emulator, and puts there what Terraform does not make. Run by the emulator's Python.

wait | cluster NAME | bucket BUCKET | unbucket BUCKET | exists BUCKET | put BUCKET KEY | has BUCKET KEY | reached STACK | all
"""
import os
import sys
import time

import botocore.exceptions
import botocore.session

SESSION = botocore.session.get_session()
# Longer than anything takes here, shorter than a person's patience.
SECONDS_MAX = 60


def client(service):
    return SESSION.create_client(service, region_name=os.environ["AWS_REGION"], endpoint_url=os.environ["AWS_ENDPOINT_URL"])


def eventually(happens):
    """Asks until it happens."""
    end = time.monotonic() + SECONDS_MAX
    while time.monotonic() < end:
        try:
            if happens():
                return
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            pass
        time.sleep(0.5)
    sys.exit(f"it did not happen within {SECONDS_MAX} seconds")


def wait():
    eventually(lambda: client("s3").list_buckets())


def exists(bucket):
    client("s3").head_bucket(Bucket=bucket)


def cluster(name):
    if name in client("eks").list_clusters()["clusters"]:
        return
    eks = client("eks")
    eks.create_cluster(name=name, roleArn="arn:aws:iam::000000000000:role/eks", resourcesVpcConfig={"subnetIds": ["subnet-1"]},
                       accessConfig={"authenticationMode": "API"})
    eks.create_addon(clusterName=name, addonName="eks-pod-identity-agent")


def bucket(name):
    client("s3").create_bucket(Bucket=name)


def unbucket(name):
    client("s3").delete_bucket(Bucket=name)


def put(bucket, key):
    client("s3").put_object(Bucket=bucket, Key=key, Body=b"{}")


def has(bucket, key):
    client("s3").head_object(Bucket=bucket, Key=key)


def guarded(bucket):
    """It has its policy, and is closed to the public."""
    assert "CreateOnly" in client("s3").get_bucket_policy(Bucket=bucket)["Policy"]
    assert client("s3").get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]["BlockPublicPolicy"]


def reached(stack):
    """An object in the upload bucket calls `ingest`: its log tells."""
    put(f"{stack}-000000000000-us-east-1-uploads", "churn/data.csv")
    group = f"/aws/lambda/{stack}-ingest"
    eventually(lambda: client("logs").describe_log_streams(logGroupName=group)["logStreams"])


def unpermit(role):
    for policy in client("iam").list_role_policies(RoleName=role)["PolicyNames"]:
        client("iam").delete_role_policy(RoleName=role, PolicyName=policy)


def live(stack, *wanted):
    """The aliases point at these versions (`advance=2`), and the queues call them by the alias."""
    service = client("lambda")
    names = [word.split("=")[0] for word in wanted]
    found = [f"{name}={service.get_alias(FunctionName=f'{stack}-{name}', Name='live')['FunctionVersion']}" for name in names]
    assert found == list(wanted), found
    called = {mapping["FunctionArn"].split(":function:")[1] for mapping in service.list_event_source_mappings()["EventSourceMappings"]}
    assert called == {f"{stack}-ingest:live", f"{stack}-advance:live"}, called


def everything():
    """What the account holds, by service."""
    def names(service, operation, field, name=None):
        answer = getattr(client(service), operation)().get(field, [])
        return [f"{service} {item[name] if name else item}" for item in answer]

    return [
        *names("s3", "list_buckets", "Buckets", "Name"),
        *names("sqs", "list_queues", "QueueUrls"),
        *names("lambda", "list_functions", "Functions", "FunctionName"),
        *names("lambda", "list_event_source_mappings", "EventSourceMappings", "UUID"),
        *names("iam", "list_roles", "Roles", "RoleName"),
        *[f"iam {policy['PolicyName']}" for policy in client("iam").list_policies(Scope="Local").get("Policies", [])],
        *names("scheduler", "list_schedule_groups", "ScheduleGroups", "Name"),
        *names("scheduler", "list_schedules", "Schedules", "Name"),
        *names("logs", "describe_log_groups", "logGroups", "logGroupName"),
        *names("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
        *names("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
        *names("sns", "list_topics", "Topics", "TopicArn"),
        *names("events", "list_rules", "Rules", "Name"),
        *names("ecr", "describe_repositories", "repositories", "repositoryName"),
        *[f"eks {entry}" for entry in client("eks").list_access_entries(clusterName="research")["accessEntries"]],
        *[f"eks {one['associationId']}" for one in client("eks").list_pod_identity_associations(clusterName="research")["associations"]],
    ]


if __name__ == "__main__":
    words = {"wait": wait, "cluster": cluster, "bucket": bucket, "unbucket": unbucket, "exists": exists, "put": put, "has": has, "guarded": guarded, "live": live, "unpermit": unpermit, "reached": reached, "all": lambda: print("\n".join(sorted(everything())))}
    words[sys.argv[1]](*sys.argv[2:])
