"""Renders of the chart: its switches taken pairwise, each applied server-side by the real API server and looked at by linters."""

import itertools
import json

from stage import REPOSITORY, run

RENDERS = "renders"
CHART = REPOSITORY / "deploy" / "helm" / "evidenced"

# Each switch with its settings; the first is the chart's own.
SWITCHES = {
    "guard": [{}, {"guard": {"enabled": True}}],
    "account": [{}, {"serviceAccount": {"create": False}}],
    "cloud": [
        {},
        {"workloadIdentity": {"aws": {"roleArn": "arn:aws:iam::111122223333:role/evidenced-reader"}}},
        {"workloadIdentity": {"gcp": {"serviceAccount": "reader@acme.iam.gserviceaccount.com"}}},
        {"workloadIdentity": {"azure": {"clientId": "00000000-0000-0000-0000-000000000001"}}},
    ],
    "budget": [{}, {"podDisruptionBudget": {"enabled": False}}],
    "network": [
        {},
        {"networkPolicy": {"enabled": False}},
        {
            "networkPolicy": {
                "metricsFrom": [{"namespaceSelector": {}}],
                "destinations": {"id.example.com": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]},
                "extraEgress": [{"ports": [{"port": 3128}]}],
            }
        },
    ],
    "monitor": [{}, {"serviceMonitor": {"enabled": True}}],
    "rules": [{}, {"prometheusRule": {"enabled": True}}],
    "preflight": [{}, {"preflight": {"enabled": False}}],
    "ledger": [{}, {"ledger": {"key": "evidenced/acme-ltd+00000000+AbCd"}}],
    "image": [{}, {"image": {"digest": "sha256:" + "0" * 64}, "imagePullSecrets": ["registry"]}],
    "place": [
        {},
        {
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "a", "operator": "Exists"}],
            "priorityClassName": "system-cluster-critical",
            "podLabels": {"team": "platform"},
            "podAnnotations": {"a/b": "c"},
            "topologySpreadConstraints": [],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]
                    }
                }
            },
        },
    ],
    "read": [
        {},
        {
            "secrets": ["keycloak", "aws"],
            "configMaps": ["private-ca"],
            "env": [
                {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://otel.monitoring.svc:4318"},
                {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "k8s.pod.name=$(K8S_POD_NAME),team=platform"},
            ],
        },
    ],
    "restore": [{}, {"restore": {"enabled": True, "because": "the volume was lost"}}],
    "volume": [{}, {"persistence": {"size": "20Gi", "storageClassName": "fast", "annotations": {"a/b": "c"}}}],
}
BASE = {
    "image": {"repository": "registry.example.com/evidenced"},
    "settings": {
        "organisation": "Acme Ltd",
        "sources": {
            "keycloak": [
                {
                    "name": "acme",
                    "owner": "identity-team",
                    "url": "https://id.example.com",
                    "realm": "acme",
                    "client_id": "reader",
                    "client_secret": {"file": "/run/secrets/keycloak/client-secret"},
                }
            ],
            "aws": [{"name": "prod", "owner": "cloud-team", "profile": "evidenced"}],
        },
        "alerts": {
            "receivers": [{"name": "alertmanager", "alertmanager": {"url": "http://alertmanager.monitoring.svc:9093"}}]
        },
    },
}


def merged(*trees):
    """Objects merged into one; lists and plain values of the later win."""
    out = {}
    for tree in trees:
        for key, value in tree.items():
            out[key] = merged(out.get(key, {}), value) if isinstance(value, dict) else value
    return out


def pairwise(switches):
    """A few choices of all switches such that any two settings of any two switches occur together in one of them."""
    names = list(switches)
    wanted = {
        ((a, i), (b, j))
        for a, b in itertools.combinations(names, 2)
        for i in range(len(switches[a]))
        for j in range(len(switches[b]))
    }
    chosen = []
    while wanted:
        choice = dict([*min(wanted)])
        for name in names:
            if name not in choice:
                # The setting that meets most of what is wanted still, with what is chosen already.
                meets = lambda i: sum(
                    ((o, choice[o]), (name, i)) in wanted or ((name, i), (o, choice[o])) in wanted for o in choice
                )
                choice[name] = max(range(len(switches[name])), key=meets)
        pairs = {(x, y) for x in choice.items() for y in choice.items()}
        wanted -= pairs
        chosen.append(choice)
    return chosen


def render(values, namespace="evidenced", *more):
    return run(
        "helm", "template", "evidenced", CHART, "-n", namespace, "-f", "-", *more, stdin=json.dumps(values).encode()
    ).out


def definitions():
    """The Prometheus Operator's definitions, so that the API server knows ServiceMonitor and PrometheusRule."""
    source = json.loads(
        run(
            "go",
            "mod",
            "download",
            "-json",
            "github.com/prometheus-operator/prometheus-operator@v0.85.0",
            cwd="/",
            timeout=600,
        ).out
    )
    folder = f"{source['Dir']}/example/prometheus-operator-crd"
    for name in ("servicemonitors", "prometheusrules"):
        run("kubectl", "apply", "--server-side", "-f", f"{folder}/monitoring.coreos.com_{name}.yaml")


def hold(story):
    definitions()
    # A namespace of its own, so that nothing is compared with what runs.
    run("kubectl", "create", "namespace", RENDERS)
    run("kubectl", "label", "namespace", RENDERS, "pod-security.kubernetes.io/enforce=restricted")
    choices, faults = pairwise(SWITCHES), []
    everything = []
    for choice in choices:
        values = merged(BASE, *(SWITCHES[name][setting] for name, setting in choice.items()))
        first = render(values, RENDERS)
        if first != render(values, RENDERS):
            faults.append(f"two renders differ: {choice}")
        everything.append(first)
        done = run(
            "kubectl",
            "apply",
            "--server-side",
            "--dry-run=server",
            "--validate=strict",
            "-n",
            RENDERS,
            "-f",
            "-",
            stdin=first.encode(),
            check=False,
        )
        if done.returncode != 0:
            faults.append(f"{choice}: {done.err[-400:]}")
    combined = sum(len(settings) for settings in SWITCHES.values())
    story.table.row(
        "renders",
        not faults,
        "; ".join(faults)[:1500]
        or f"{len(choices)} renders hold every pair of {combined} settings of {len(SWITCHES)} switches: byte-identical twice, applied server-side with strict validation",
    )
    lint(story, everything)


def lint(story, renders):
    """Linters that other people wrote, where they are compiled; a finding is a failed row."""
    folder = story.work / "renders"
    folder.mkdir(exist_ok=True)
    for number, text in enumerate(renders):
        (folder / f"{number:02}.yaml").write_text(text)
    # Every container has a request of the processor, and no limit, which would slow what has to be recorded in time. When an image
    # is fetched is a value.
    left_out = ["--ignore-container-cpu-limit", "--ignore-test", "container-image-pull-policy"]
    scored = merged(
        BASE, {"guard": {"enabled": True}, "serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
    )
    score = run(
        "kube-score", "score", "--output-format", "ci", *left_out, "-", stdin=render(scored).encode(), check=False
    )
    lines = score.out.splitlines()
    high = [line for line in lines if line.startswith(("[CRITICAL]", "[WARNING]"))]
    story.table.row(
        "kube-score",
        bool(lines) and not high,
        "; ".join(high)[:600] or f"nothing high in {sum(line.startswith('[OK]') for line in lines)} answers",
    )
    schemas = story.work / "schemas"
    kinds = openapi_schemas(schemas)
    conform = run(
        "kubeconform",
        "-strict",
        "-summary",
        "-schema-location",
        f"{schemas}/{{{{ .ResourceKind }}}}.json",
        "-skip",
        "ServiceMonitor,PrometheusRule",
        folder,
        check=False,
    )
    story.table.row(
        "kubeconform",
        conform.returncode == 0,
        f"against the API server's own description of {kinds} kinds: {(conform.out + conform.err).strip()[-300:]}",
    )


def openapi_schemas(folder):
    """The API server's description of the kinds that the chart makes, as JSON Schemas that refuse unknown fields."""
    folder.mkdir(exist_ok=True)
    described = json.loads(run("kubectl", "get", "--raw", "/openapi/v2").out)["definitions"]

    def closed(schema):
        if "$ref" in schema:
            return {"$ref": schema["$ref"]}
        if schema.get("format") == "int-or-string":
            return {"type": ["integer", "string"]}
        out = dict(schema)
        # Keys of this map are names of fields, which may be called as the words of JSON Schema are.
        if "properties" in schema:
            out["properties"] = {name: closed(field) for name, field in schema["properties"].items()}
            out.setdefault("additionalProperties", False)
        for key in ("items", "additionalProperties"):
            if isinstance(schema.get(key), dict):
                out[key] = closed(schema[key])
        return out

    definitions, count = {name: closed(schema) for name, schema in described.items()}, 0
    for name, schema in described.items():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            if kind["group"] in ("", "apps", "batch", "policy", "networking.k8s.io") and kind["version"] == "v1":
                (folder / f"{kind['kind'].lower()}.json").write_text(
                    json.dumps({**definitions[name], "definitions": definitions})
                )
                count += 1
    return count
