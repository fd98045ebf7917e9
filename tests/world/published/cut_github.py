#!/usr/bin/env python3
"""Cuts GitHub's OpenAPI description to the answers that the simulated organisation gives.

    npm pack @octokit/openapi && tar xzf octokit-openapi-*.tgz
    tests/world/published/cut_github.py package > tests/world/published/github.json

Kept: for every path below, the JSON Schema of each JSON answer by status. Left out: descriptions, examples, parameters.
OpenAPI 3.0 says `nullable`, which JSON Schema does not know: it becomes one more type.
"""

import json
import sys

# What the connector declares (connectors/github/spec.rs), and a repository alone.
PATHS = {
    "get": [
        "/orgs/{org}",
        "/orgs/{org}/audit-log",
        "/orgs/{org}/installations",
        "/orgs/{org}/members",
        "/orgs/{org}/outside_collaborators",
        "/orgs/{org}/repos",
        "/orgs/{org}/hooks",
        "/orgs/{org}/actions/permissions",
        "/orgs/{org}/actions/permissions/workflow",
        "/orgs/{org}/code-security/configurations/defaults",
        "/repos/{owner}/{repo}",
        "/repos/{owner}/{repo}/branches/{branch}/protection",
        "/repos/{owner}/{repo}/code-scanning/analyses",
        "/repos/{owner}/{repo}/code-scanning/default-setup",
        "/repos/{owner}/{repo}/collaborators",
        "/repos/{owner}/{repo}/rules/branches/{branch}",
        "/repos/{owner}/{repo}/vulnerability-alerts",
        "/user/memberships/orgs/{org}",
    ],
    "post": ["/app/installations/{installation_id}/access_tokens"],
}
DROPPED = {"description", "example", "examples", "externalDocs", "title", "deprecated", "summary", "discriminator", "xml"}


def slim(value, names=False):
    """A schema without prose; `names`: the keys are names of properties, not words of the schema language."""
    if isinstance(value, list):
        return [slim(item) for item in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for key, item in value.items():
        if not names and (key in DROPPED or key.startswith("x-") or key in ("nullable", "readOnly", "writeOnly")):
            continue
        if key in ("enum", "default", "const") and not names:
            if key != "default":
                out[key] = item
            continue
        out[key] = slim(item, names=not names and key == "properties")
    if not names and value.get("nullable") is True:
        if isinstance(out.get("type"), str):
            out["type"] = [out["type"], "null"]
            if "enum" in out and None not in out["enum"]:
                out["enum"] = out["enum"] + [None]
        elif "type" not in out:
            out = {"anyOf": [out, {"type": "null"}]}
    return out


def references(value, found):
    if isinstance(value, list):
        for item in value:
            references(item, found)
    elif isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            found.add(value["$ref"])
        for item in value.values():
            references(item, found)


def resolve(document, reference):
    for part in reference.removeprefix("#/").split("/"):
        document = document[part]
    return document


def main():
    package = sys.argv[1]
    with open(f"{package}/generated/ghec.json", encoding="utf-8") as file:
        document = json.load(file)
    with open(f"{package}/package.json", encoding="utf-8") as file:
        version = json.load(file)["version"]
    answers = {}
    for method, paths in PATHS.items():
        for path in paths:
            by_status = {}
            for status, answer in document["paths"][path][method]["responses"].items():
                if "$ref" in answer:
                    answer = resolve(document, answer["$ref"])
                content = answer.get("content", {}).get("application/json")
                by_status[status] = slim(content["schema"]) if content else None
            answers[f"{method.upper()} {path}"] = by_status
    schemas, wanted = {}, set()
    references(answers, wanted)
    while wanted:
        reference = wanted.pop()
        name = reference.removeprefix("#/components/schemas/")
        if name not in schemas:
            schemas[name] = slim(resolve(document, reference))
            references(schemas[name], wanted)
    cut = {
        "from": f"@octokit/openapi {version}, generated/ghec.json, MIT licence, cut by cut_github.py",
        "answers": answers,
        "components": {"schemas": dict(sorted(schemas.items()))},
    }
    json.dump(cut, sys.stdout, separators=(",", ":"), sort_keys=False)
    print()


if __name__ == "__main__":
    main()
