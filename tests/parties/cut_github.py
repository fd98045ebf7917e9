#!/usr/bin/env python3
"""Cuts GitHub's description of its REST API down to what the connector could read, so that Prism starts in seconds.

    cut_github.py ghec.json > small.json

Kept are the GET operations of the paths below, and of the components only what they reach. Answers are offered under
GitHub's own media type too: the description names only application/json, and a client asks for the other, as GitHub's
manual tells it to (https://docs.github.com/rest/using-the-rest-api/getting-started-with-the-rest-api#media-types).
"""

import json
import sys

JSON, GITHUB = "application/json", "application/vnd.github+json"
ORG = [
    "", "/actions/permissions", "/actions/permissions/selected-actions", "/actions/permissions/workflow",
    "/actions/runners", "/audit-log", "/code-scanning/alerts", "/code-security/configurations",
    "/code-security/configurations/defaults", "/credential-authorizations", "/dependabot/alerts", "/hooks",
    "/installation", "/installations", "/invitations", "/members", "/memberships/{username}", "/organization-roles",
    "/outside_collaborators", "/personal-access-tokens", "/properties/schema", "/properties/values", "/repos",
    "/rulesets", "/rulesets/{ruleset_id}", "/secret-scanning/alerts", "/teams", "/teams/{team_slug}/members",
]
REPOSITORY = [
    "", "/actions/permissions", "/actions/permissions/workflow", "/automated-security-fixes", "/branches",
    "/branches/{branch}", "/branches/{branch}/protection", "/code-scanning/alerts", "/code-scanning/default-setup",
    "/code-security-configuration", "/collaborators", "/commits", "/dependabot/alerts", "/environments", "/hooks",
    "/keys", "/private-vulnerability-reporting", "/rules/branches/{branch}", "/rulesets", "/rulesets/{ruleset_id}",
    "/rulesets/rule-suites", "/secret-scanning/alerts", "/teams", "/vulnerability-alerts",
]
OTHER = [
    "/", "/app", "/app/installations", "/app/installations/{installation_id}", "/installation/repositories", "/meta",
    "/rate_limit", "/user", "/users/{username}", "/orgs/{org}/installation",
]
# The one call that is no GET: an App asks for its token.
POST = ["/app/installations/{installation_id}/access_tokens"]


def offered_twice(node):
    """Every answer in JSON, under GitHub's media type as well."""
    if isinstance(node, dict):
        content = node.get("content")
        if isinstance(content, dict) and JSON in content:
            content[GITHUB] = content[JSON]
        for below in node.values():
            offered_twice(below)
    elif isinstance(node, list):
        for below in node:
            offered_twice(below)


def reached(node, components, found):
    """Names every component that `node` refers to, and those that they refer to."""
    if isinstance(node, list):
        for below in node:
            reached(below, components, found)
    elif isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):
            _, _, kind, name = reference.split("/", 3)
            if (kind, name) not in found:
                found.add((kind, name))
                reached(components[kind][name], components, found)
        for below in node.values():
            reached(below, components, found)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        whole = json.load(file)
    wanted = [f"/orgs/{{org}}{path}" for path in ORG] + [f"/repos/{{owner}}/{{repo}}{path}" for path in REPOSITORY] + OTHER
    paths = {}
    for path in [*wanted, *POST]:
        described = whole["paths"].get(path)
        if described is None:
            print(f"cut_github: {path} is not described", file=sys.stderr)
            continue
        method = "post" if path in POST else "get"
        paths[path] = {key: described[key] for key in (method, "parameters") if key in described}
    found = set()
    reached(paths, whole["components"], found)
    components = {}
    for kind, name in sorted(found):
        components.setdefault(kind, {})[name] = whole["components"][kind][name]
    small = {"openapi": whole["openapi"], "info": whole["info"], "servers": whole["servers"], "paths": paths,
             "components": components}
    offered_twice(small)
    json.dump(small, sys.stdout)


if __name__ == "__main__":
    main()
