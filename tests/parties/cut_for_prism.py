#!/usr/bin/env python3
"""Cuts GitHub's description of its REST API down to what the connector could read, so that Prism starts in seconds.

    cut_for_prism.py ghec.json > small.json

Kept are the operations that `tests/world/published/cut_github.py` lists, and of the components only what they reach.
Answers are offered under GitHub's own media type too: the description names only application/json, and a client asks for
the other, as GitHub's manual tells it to
(https://docs.github.com/rest/using-the-rest-api/getting-started-with-the-rest-api#media-types).
The membership that is still pending in its example is an active one here.
"""

import json
import sys
from pathlib import Path

JSON, GITHUB = "application/json", "application/vnd.github+json"
# Nothing is written beside the other script.
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "world" / "published"))
from cut_github import PATHS  # noqa: E402, the one list of what the connector could read

# What Prism's own script asks to see whether it is up.
UP = "/meta"


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


def joined(examples):
    """The one example of a membership is an invitation that was not accepted, which may see nothing: it is accepted."""
    for example in examples.values():
        value = example.get("value")
        if isinstance(value, dict) and value.get("state") == "pending":
            value["state"] = "active"


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
    paths = {}
    for method, path in [(method, path) for method, those in PATHS.items() for path in those] + [("get", UP)]:
        described = whole["paths"].get(path)
        if described is None:
            sys.exit(f"cut_for_prism: {path} is not described any more")
        paths[path] = {key: described[key] for key in (method, "parameters") if key in described}
    found = set()
    reached(paths, whole["components"], found)
    components = {}
    for kind, name in sorted(found):
        components.setdefault(kind, {})[name] = whole["components"][kind][name]
    small = {"openapi": whole["openapi"], "info": whole["info"], "servers": whole["servers"], "paths": paths,
             "components": components}
    offered_twice(small)
    joined(components.get("examples", {}))
    json.dump(small, sys.stdout)


if __name__ == "__main__":
    main()
