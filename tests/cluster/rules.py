"""The alert rules of the chart in a real Prometheus: each fires when its cause is made."""

import json
import shutil
import subprocess
import urllib.parse

from renders import BASE, merged, render
from stage import HERE, NODE, PROMETHEUS, get, run, say, wait

# Waiting for minutes shows nothing that waiting for seconds does not.
SHORTER = {"for: 5m": "for: 5s", "for: 30m": "for: 5s", "for: 2m": "for: 2s"}


def of_the_chart(**settings):
    """The groups of the chart's PrometheusRule, as a file of rules."""
    values = merged(BASE, {"prometheusRule": {"enabled": True} | settings})
    text = render(values, "evidenced", "--show-only", "templates/prometheusrule.yaml")
    lines = text.split("\nspec:\n", 1)[1].splitlines()
    return "\n".join(line[2:] for line in lines) + "\n"


def tested(story):
    """Each rule with the chart's defaults, in Prometheus' own tests of rules."""
    folder = story.work / "rules"
    folder.mkdir(exist_ok=True)
    (folder / "rules.yaml").write_text(of_the_chart())
    (folder / "rules.test.yaml").write_text((HERE / "rules.test.yaml").read_text())
    run("promtool", "check", "rules", "rules.yaml", cwd=folder)
    done = run("promtool", "test", "rules", "rules.test.yaml", cwd=folder, check=False)
    story.table.row(
        "promtool test rules", done.returncode == 0, (done.out + done.err).strip()[-600:].replace("\n", " ")
    )


def fire(story):
    tested(story)
    rules = of_the_chart(staleAfterSeconds=60, outboxStuckAfterSeconds=5, unanchoredAfterSeconds=5)
    for long, short in SHORTER.items():
        rules = rules.replace(long, short)
    (story.work / "rules-soon.yaml").write_text(rules)
    address = "evidenced-0.evidenced.evidenced.svc.cluster.local:8462"
    (story.work / "prometheus.yaml").write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"},
                "rule_files": [str(story.work / "rules-soon.yaml")],
                "scrape_configs": [
                    {
                        "job_name": "evidenced",
                        "static_configs": [
                            {"targets": [address], "labels": {"namespace": "evidenced", "pod": "evidenced-0"}}
                        ],
                    }
                ],
            }
        )
    )
    with open(story.work / "prometheus.log", "wb") as log:
        server = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={story.work / 'prometheus.yaml'}",
                f"--storage.tsdb.path={story.work / 'prometheus'}",
                f"--web.listen-address={NODE}:{PROMETHEUS}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        wait("Prometheus", 60, lambda: get(f"http://{NODE}:{PROMETHEUS}/-/ready"))
        wait("a scrape", 60, lambda: query('up{job="evidenced"} == 1'))
        text = run("curl", "-sf", f"http://{story.pod()['status']['podIP']}:8462/metrics").out
        checked = run("promtool", "check", "metrics", stdin=text.encode(), check=False)
        series = sum(1 for line in text.splitlines() if line and line[0] != "#")
        story.table.row(
            "metrics",
            checked.returncode == 0,
            f"promtool check metrics: {(checked.out + checked.err).strip()[:200] or 'nothing to say'}; {series} series",
        )
        each(story)
    finally:
        server.terminate()


def query(expression):
    answer = json.loads(get(f"http://{NODE}:{PROMETHEUS}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"))
    return answer["data"]["result"]


def firing(name):
    return query(f'ALERTS{{alertname="{name}",alertstate="firing"}}')


def each(story):
    names = [
        rule["name"]
        for group in json.loads(get(f"http://{NODE}:{PROMETHEUS}/api/v1/rules"))["data"]["groups"]
        for rule in group["rules"]
    ]
    # Slots may have been missed before: the volume was full, and a busy machine is slow.
    caused = {"EvidencedRunMissed"} if query("evidenced_missed_slots_total > 0") else set()
    early = [name for name in names if name not in caused and firing(name)]
    seen = {}

    def made(name, cause, seconds=150):
        _, took = wait(f"{name} fires once {cause}", seconds, lambda: firing(name))
        seen[name] = f"{cause}, {took:.0f} s"
        say(f"{name} fires: {seen[name]}")

    story.hook.refuse = True
    story.parties.seed_keycloak("drift", "brute-force-off", "--as", "dora")
    made("EvidencedOutboxStuck", "a receiver refuses")
    story.hook.refuse = False
    story.parties.seed_keycloak("undo", "brute-force-off", "--as", "dora")
    story.parties.seed_keycloak("revoke", "view-users")
    made("EvidencedCoverageLost", "a role of the reader is revoked")
    made("EvidencedSourceStale", "its evidence is 60 s old")
    story.parties.seed_keycloak("grant", "view-users")
    settings = json.loads(story.kubectl("get", "configmap", "evidenced", "-o", "json"))
    good = settings["data"]["evidenced.yaml"]
    patch = lambda text: story.kubectl(
        "patch", "configmap", "evidenced", "-p", json.dumps({"data": {"evidenced.yaml": text}})
    )
    patch(good + "\nunknown: true\n")
    made("EvidencedSettingsRefused", "the ConfigMap is bad")
    patch(good)
    story.parties.time.refuse = True
    made("EvidencedLedgerNotAnchored", "the authority refuses")
    story.parties.time.refuse = False
    certificate = story.work / "soon.crt"
    run(
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-keyout",
        story.work / "soon.key",
        "-out",
        certificate,
        "-subj",
        "/CN=soon",
    )
    authority = (story.work / "ca.crt").read_text()
    both = lambda text: story.kubectl("patch", "configmap", "private-ca", "-p", json.dumps({"data": {"ca.crt": text}}))
    both(authority + certificate.read_text())
    made("EvidencedCertificateNearExpiry", "a file of authorities holds one that ends in two days")
    both(authority)
    folder = story.work / "volumes" / "data"
    filler = folder / "filler"
    with open(filler, "wb") as file:
        file.write(b"\0" * (shutil.disk_usage(folder).free - 1_000_000))
    made("EvidencedDiskLow", "the volume is full")
    filler.unlink()
    wait("ready again", 120, story.ready)
    story.kubectl("scale", "statefulset", "evidenced", "--replicas=0")
    made("EvidencedDown", "there is no pod")
    story.kubectl("scale", "statefulset", "evidenced", "--replicas=1")
    wait("ready again", 120, story.ready)
    made("EvidencedRunMissed", "slots passed meanwhile")
    wait("settings are good again", 150, lambda: story.metric("evidenced_config_last_reload_successful") == 1)
    wait("all collected once more", 180, story.all_collected)
    missing = [name for name in names if name not in seen]
    story.table.row(
        "rules",
        not missing and not early,
        f"{len(seen)} of {len(names)} fire in Prometheus when their cause is made (waits shortened); "
        f"not: {missing}; before any cause: {early}\n" + "\n".join(f"{name}: {what}" for name, what in seen.items()),
    )
