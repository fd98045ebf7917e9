#!/usr/bin/env python3
"""Cuts botocore's service models of IAM and STS to the calls that the simulated organisation answers.

    pip download --no-deps botocore && unzip botocore-*.whl -d botocore
    tests/world/published/cut_aws.py botocore > tests/world/published/aws.json

Kept: the operations below with their errors, and every shape reached from them. Left out: documentation.
"""

import gzip
import json
import pathlib
import sys

OPERATIONS = {
    "iam/2010-05-08": [
        "GenerateCredentialReport",
        "GetAccountAuthorizationDetails",
        "GetAccountPasswordPolicy",
        "GetAccountSummary",
        "GetCredentialReport",
        "ListOpenIDConnectProviders",
        "ListSAMLProviders",
        "ListServerCertificates",
        "ListVirtualMFADevices",
    ],
    "sts/2011-06-15": ["AssumeRole", "GetCallerIdentity"],
}
DROPPED = {"documentation", "documentationUrl", "synopsis"}


def slim(value):
    if isinstance(value, list):
        return [slim(item) for item in value]
    if isinstance(value, dict):
        return {key: slim(item) for key, item in value.items() if not (key in DROPPED and not isinstance(item, dict))}
    return value


def members(shape):
    for member in list(shape.get("members", {}).values()) + [shape.get(key) for key in ("member", "key", "value")]:
        if member:
            yield member["shape"]


def main():
    root = pathlib.Path(sys.argv[1])
    version = next(root.glob("botocore-*.dist-info")).name.removeprefix("botocore-").removesuffix(".dist-info")
    services = {}
    for service, names in OPERATIONS.items():
        with gzip.open(root / "botocore/data" / service / "service-2.json.gz", "rt", encoding="utf-8") as file:
            model = json.load(file)
        operations = {name: slim(model["operations"][name]) for name in names}
        wanted = []
        for operation in operations.values():
            wanted += [operation[side]["shape"] for side in ("input", "output") if side in operation]
            wanted += [error["shape"] for error in operation.get("errors", [])]
        shapes = {}
        while wanted:
            name = wanted.pop()
            if name not in shapes:
                shapes[name] = slim(model["shapes"][name])
                wanted += members(shapes[name])
        services[service.split("/")[0]] = {
            "metadata": {key: model["metadata"][key] for key in ("apiVersion", "protocol", "xmlNamespace")},
            "operations": operations,
            "shapes": dict(sorted(shapes.items())),
        }
    origin = f"botocore {version}, data/<service>/<version>/service-2.json.gz, Apache-2.0 licence, cut by cut_aws.py"
    json.dump({"from": origin, "services": services}, sys.stdout, separators=(",", ":"))
    print()


main()
