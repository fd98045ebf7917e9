#!/usr/bin/env python3
"""Records what an AWS account on moto answers to the calls of `connectors/aws`, for replay in its tests.

    tests/parties/moto up
    $(tests/parties/moto python) tests/parties/record_aws.py --into connectors/aws/fixtures

One folder for each posture of `aws_seed.py`, each with its `truth.json`; and `denied`, where the reader may do nothing.
Every list is asked for in pages of 1000, and of the mixed posture in pages of 7 as well. Bodies stand as they came; the key that signs, and the
headers of requests, are not kept.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.credentials

HERE = pathlib.Path(__file__).resolve().parent
VERSIONS = {"iam": "2010-05-08", "sts": "2011-06-15"}
PLAIN = ["GetAccountSummary", "GetAccountPasswordPolicy", "ListSAMLProviders", "ListOpenIDConnectProviders",
         "GenerateCredentialReport", "GetCredentialReport"]
PAGED = ["ListVirtualMFADevices", "ListServerCertificates", "GetAccountAuthorizationDetails"]


class Recording:
    def __init__(self, url, key, folder):
        self.url, self.key, self.folder, self.rows = url.rstrip("/") + "/", key, folder, []
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.json"):
            old.unlink()

    def ask(self, service, action, parameters=()):
        """Asks once and keeps the answer. The parameters stand in the order in which the SDK writes them."""
        body = urllib.parse.urlencode([("Action", action), ("Version", VERSIONS[service]), *parameters])
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        request = botocore.awsrequest.AWSRequest("POST", self.url, headers=headers, data=body.encode())
        credentials = botocore.credentials.Credentials(self.key["access_key_id"], self.key["secret_access_key"])
        botocore.auth.SigV4Auth(credentials, service, "us-east-1").add_auth(request)
        sent = urllib.request.Request(self.url, data=body.encode(), headers=dict(request.headers.items()))
        try:
            with urllib.request.urlopen(sent, timeout=60) as answer:
                status, kind, text = answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            status, kind, text = error.code, error.headers["Content-Type"], error.read().decode()
        name = f"{len(self.rows):04}-{action}.json"
        row = {"method": "POST", "target": f"/?{body}", "status": status, "headers": {"content-type": kind}, "body": text}
        (self.folder / name).write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
        self.rows.append({"file": name, "method": "POST", "target": row["target"], "status": status})
        return status, text

    def walk(self, action, size):
        marker = None
        while True:
            parameters = [("MaxItems", size)] + ([("Marker", marker)] if marker else [])
            status, text = self.ask("iam", action, parameters)
            found = re.search("<Marker>(.*?)</Marker>", text)
            if status != 200 or "<IsTruncated>true" not in text or not found:
                return
            marker = found.group(1)

    def index(self, **about):
        rows = ",\n".join("  " + json.dumps(row) for row in self.rows)
        head = json.dumps(about, indent=1)[:-2]
        (self.folder / "index.json").write_text(f'{head},\n "exchanges": [\n{rows}\n ]\n}}\n', encoding="utf-8")


def seeded(url, *arguments):
    run = [sys.executable, str(HERE / "aws_seed.py"), "--url", url, *arguments]
    return json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)


def everything(recording, sizes=(1000,)):
    recording.ask("sts", "GetCallerIdentity")
    for action in PLAIN:
        recording.ask("iam", action)
    for action in PAGED:
        for size in sizes:
            recording.walk(action, size)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=os.environ.get("MOTO_URL", "http://127.0.0.1:4795"))
    parser.add_argument("--into", type=pathlib.Path, required=True)
    options = parser.parse_args()
    with urllib.request.urlopen(f"{options.url}/party", timeout=10) as answer:
        counterpart = json.load(answer)["name"]
    for posture in ("good", "mixed", "bad"):
        truth = seeded(options.url, "seed", "--posture", posture)
        recording = Recording(options.url, truth["reader"], options.into / posture)
        # The first asking has the report made; what is replayed is the answer that it is there.
        warm = Recording(options.url, truth["reader"], options.into / "warm")
        warm.ask("iam", "GenerateCredentialReport")
        everything(recording, (1000, 7) if posture == "mixed" else (1000,))
        recording.index(counterpart=counterpart, posture=posture, account=truth["account"])
        for secret in ("reader", "canaries"):
            truth.pop(secret)
        (recording.folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    denied(options, counterpart)
    for leftover in (options.into / "warm").glob("*.json"):
        leftover.unlink()
    (options.into / "warm").rmdir()


def denied(options, counterpart):
    truth = seeded(options.url, "seed", "--posture", "good")
    document = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:ListBucket"]}]})
    run = [sys.executable, str(HERE / "aws_seed.py"), "--url", options.url, "grant", "-"]
    subprocess.run(run, check=True, input=document, capture_output=True, text=True)
    recording = Recording(options.url, truth["reader"], options.into / "denied")
    everything(recording)
    recording.index(counterpart=counterpart, posture="good, the reader may do nothing", account=truth["account"])


if __name__ == "__main__":
    main()
