"""Writes botocore.json: what botocore's own signer makes of some callers (`pip install botocore`)."""

import datetime
import json
import pathlib
import unittest.mock

import botocore.auth
import botocore.awsrequest
import botocore.credentials

CASES = [
    ("production", "eu-central-1", "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, 1795827600),
    ("a-cluster_1", "us-east-1", "ASIAEXAMPLE", "secret", "token/with+signs==", 1795827601),
    ("beijing", "cn-north-1", "AKIDEXAMPLE", "s", None, 1700000000),
]


def url(cluster, region, access_key, secret_key, session_token, time):
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    request = botocore.awsrequest.AWSRequest(
        "GET",
        f"https://sts.{region}.{domain}/",
        params={"Action": "GetCallerIdentity", "Version": "2011-06-15"},
        headers={"x-k8s-aws-id": cluster},
    )
    credentials = botocore.credentials.Credentials(access_key, secret_key, session_token)
    now = datetime.datetime.fromtimestamp(time, datetime.timezone.utc).replace(tzinfo=None)
    signer = botocore.auth.SigV4QueryAuth(credentials, "sts", region, expires=60)
    with unittest.mock.patch("botocore.auth.get_current_datetime", lambda: now):
        signer.add_auth(request)
    return request.url


NAMES = ["cluster", "region", "access_key", "secret_key", "session_token", "time"]
cases = [dict(zip(NAMES, case)) | {"url": url(*case)} for case in CASES]
pathlib.Path(__file__).with_name("botocore.json").write_text(json.dumps(cases, indent=2) + "\n")
