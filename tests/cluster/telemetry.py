"""What the OpenTelemetry Collector was told by the pod: spans, metrics and log lines, whose they are, and that they join."""

import json

from stage import wait


def attributes(of):
    return {one["key"]: next(iter(one["value"].values()), None) for one in of.get("attributes", [])}


def told(story):
    """What arrived, as (kind, attributes of the resource, one span, metric or line)."""
    found = []
    for line in (story.work / "otelcol" / "told.jsonl").read_text().splitlines():
        try:
            message = json.loads(line)
        except ValueError:
            # The last one may be on its way still.
            continue
        for kind, scopes, inner in (
            ("resourceSpans", "scopeSpans", "spans"),
            ("resourceMetrics", "scopeMetrics", "metrics"),
            ("resourceLogs", "scopeLogs", "logRecords"),
        ):
            for resource in message.get(kind, []):
                whose = attributes(resource["resource"])
                found += [(inner, whose, one) for scope in resource[scopes] for one in scope[inner]]
    return found


def arrived(story):
    pod = story.pod()
    us = {
        "service.name": "evidenced",
        "k8s.namespace.name": pod["metadata"]["namespace"],
        "k8s.pod.name": pod["metadata"]["name"],
        "k8s.pod.uid": pod["metadata"]["uid"],
        "k8s.node.name": pod["spec"]["nodeName"],
    }

    def ours(kind):
        return [one for of, whose, one in told(story) if of == kind and us.items() <= whose.items()]

    def ended():
        return [line for line in ours("logRecords") if line["body"].get("stringValue") == "collected"]

    lines, _ = wait("the line of a run that is over", 60, ended)
    wait("metrics", 60, lambda: ours("metrics"))

    def joined():
        """Lines of runs with the trace of their run, which names the entry that it was recorded as."""
        runs = {span["traceId"]: span for span in ours("spans") if span["name"] == "run"}
        with_run = [line for line in lines if "entry" in attributes(runs.get(line.get("traceId"), {}))]
        return len(with_run) == len(lines)

    # Spans come some seconds after the lines that were written within them.
    wait("the runs of these lines", 60, joined)
    spans, metrics = ours("spans"), ours("metrics")
    stranger = [whose for _, whose, _ in told(story) if whose.get("k8s.namespace.name") != us["k8s.namespace.name"]]
    secret = "canary-reader-client-secret" in (story.work / "otelcol" / "told.jsonl").read_text()
    story.table.row(
        "telemetry",
        not stranger and not secret,
        f"the OpenTelemetry Collector was told {len(spans)} spans, {len({metric['name'] for metric in metrics})} metrics in "
        f"{len(metrics)} messages and {len(ours('logRecords'))} log lines, with namespace, node, name and uid of this pod; the "
        f"{len(lines)} lines of runs that were over carry the trace of their run, which names the entry"
        + ("; a secret is among them" if secret else "")
        + (f"; without the pod's name: {len(stranger)}" if stranger else ""),
    )
