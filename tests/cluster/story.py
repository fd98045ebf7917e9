#!/usr/bin/env python3
"""The life of a release on a real cluster, from an empty namespace to its removal; run inside it by `tests/kubernetes`.

Every command of deploy/README.md is run as it stands there. What was seen is printed as a table; the exit code is 1 when
a line of it failed.
"""

import argparse
import json
import pathlib
import shutil
import sys
import tarfile
import threading
import time

import renders
import rules
import telemetry
import told
from guide import Guide
from stage import HOOK, KEYCLOAK, MOTO, NODE, OTLP, REPOSITORY, TIME, Failed, Hook, Parties, Table, run, say, wait

NS, POD = "evidenced", "evidenced-0"
BRUTE_FORCE = "keycloak.realm.brute_force"
ACCOUNT = "111122223333"


class Story:
    def __init__(self, options):
        self.options, self.table, self.work = options, Table(), pathlib.Path(options.work)
        # Typed in the root of the repository: so it looks to the commands of the guide.
        self.folder = self.work / "typed"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        # A copy: what the guide asks its reader to change is changed there.
        shutil.copytree(REPOSITORY / "deploy", self.folder / "deploy")
        self.guide = Guide((REPOSITORY / "deploy" / "README.md").read_text(), self.folder)
        self.guide.done.add("Image")

    # ---- what the cluster says ----------------------------------------------------------------------------------------

    def kubectl(self, *arguments, **more):
        return run("kubectl", "-n", NS, *arguments, **more).out

    def evidenced(self, *arguments, **more):
        return self.kubectl("exec", POD, "-c", "evidenced", "--", "evidenced", *arguments, **more)

    def facts(self, *arguments):
        return [json.loads(line) for line in self.evidenced(*arguments, "--json").splitlines()]

    def pod(self):
        return json.loads(self.kubectl("get", "pod", POD, "-o", "json"))

    def ready(self, pod=None):
        pod = pod or self.pod()
        return "deletionTimestamp" not in pod["metadata"] and any(
            c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", [])
        )

    def metrics(self):
        """Metrics by name with labels, as the health address tells them."""
        address = self.pod()["status"]["podIP"]
        lines = run("curl", "-sf", "--max-time", "5", f"http://{address}:8462/metrics").out.splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line and line[0] != "#"}

    def metric(self, name):
        """A figure; nothing until the daemon has said it for the first time."""
        return self.metrics().get(name, 0)

    def verified(self, *arguments):
        """What `verify` says of the volume, beside the running daemon."""
        done = run(
            "kubectl",
            "-n",
            NS,
            "exec",
            POD,
            "-c",
            "evidenced",
            "--",
            "evidenced",
            "verify",
            "--json",
            *arguments,
            check=False,
            timeout=600,
        )
        if not done.out:
            raise Failed(done.err)
        return done.returncode, json.loads(done.out.splitlines()[-1])

    def all_collected(self):
        views = self.facts("list", "sources")
        return views and all((view["last_collected"] or {}).get("outcome") == "collected" for view in views) and views

    # ---- the settings -------------------------------------------------------------------------------------------------

    def values(self, key=None, every="5s", **more):
        receivers = [
            {
                "name": "hook",
                "webhook": {
                    "url": f"http://{NODE}:{HOOK}/hook",
                    "secret": {"file": "/run/secrets/hook/secret"},
                    "allow_private": True,
                },
            },
            {"name": "alertmanager", "alertmanager": {"url": f"http://{NODE}:9093"}},
        ]
        authority = "/etc/evidenced/private-ca/ca.crt"
        settings = {
            "organisation": "Acme Ltd",
            "schedules": {"default": f"every: {every}"},
            "anchors": [
                {
                    "name": "time",
                    "url": f"https://{NODE}:{TIME}",
                    "ca": "/etc/evidenced/private-ca/time.crt",
                    "every": "20s",
                }
            ],
            "network": {"ca_file": authority},
            "telemetry": {"endpoint": f"http://{NODE}:{OTLP}", "every": "5s"},
            "sources": {
                "keycloak": [
                    {
                        "name": "acme",
                        "owner": "identity-team",
                        "url": f"https://{NODE}:{KEYCLOAK}",
                        "realm": "acme",
                        "client_id": "evidenced-reader",
                        "client_secret": {"file": "/run/secrets/keycloak/client-secret"},
                        "ca_file": authority,
                    }
                ],
                "aws": [
                    {
                        "name": "prod",
                        "owner": "cloud-team",
                        "endpoint_url": f"https://{NODE}:{MOTO}",
                        "ca_file": authority,
                        "access_key": {"id": self.aws_key, "secret": {"file": "/run/secrets/aws/secret"}},
                    }
                ],
            },
            "alerts": {"receivers": receivers},
        }
        values = {
            "image": {"repository": "localhost/evidenced"},
            "secrets": ["keycloak", "aws", "hook"],
            "configMaps": ["private-ca"],
            "settings": settings,
            "persistence": {"storageClassName": "data"},
            "guard": {"enabled": True, "storageClassName": "guard"},
        }
        if key:
            values["ledger"] = {"key": key}
        return values | more

    def write_values(self, values, name="values.yaml"):
        # JSON is YAML; the guide adds lines to it, so it ends as a mapping in block style.
        lines = [f"{key}: {json.dumps(value)}" for key, value in values.items()]
        (self.folder / name).write_text("\n".join(lines) + "\n")

    def upgrade(self, name="values.yaml", check=True, *more):
        return run(
            "helm",
            "upgrade",
            "evidenced",
            "deploy/helm/evidenced",
            "-n",
            NS,
            "-f",
            name,
            "--wait",
            "--timeout",
            "3m",
            *more,
            cwd=self.folder,
            check=check,
            timeout=300,
        )

    # ---- the parts ----------------------------------------------------------------------------------------------------

    def volumes(self):
        """Two volumes, each a file system of its own, so that one of them can be filled."""
        volumes = []
        for name, megabytes in (("data", 900), ("guard", 64)):
            folder = self.work / "volumes" / name
            folder.mkdir(parents=True, exist_ok=True)
            run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0770,uid=0,gid=65532", "tmpfs", folder)
            volumes.append(
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolume",
                    "metadata": {"name": name},
                    "spec": {
                        "capacity": {"storage": "10Gi"},
                        "accessModes": ["ReadWriteOnce"],
                        "storageClassName": name,
                        "persistentVolumeReclaimPolicy": "Retain",
                        "hostPath": {"path": str(folder)},
                    },
                }
            )
        run(
            "kubectl",
            "apply",
            "-f",
            "-",
            stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": volumes}).encode(),
        )

    def begin(self):
        self.volumes()
        self.hook = Hook()
        self.parties = Parties(self.work)
        self.parties.seed_keycloak("seed", "--posture", "mixed", "--realm", "acme")
        reader = self.parties.seed_aws("--account", ACCOUNT, "seed", "--posture", "good")["reader"]
        self.aws_key = reader["access_key_id"]
        (self.folder / "keycloak.secret").write_text("canary-reader-client-secret")
        self.guide.follow("Prepare")
        careless = run("kubectl", "-n", NS, "run", "careless", "--image=localhost/evidenced:0.1.0", check=False)
        self.table.row(
            "namespace is restricted",
            "violates PodSecurity" in careless.err,
            "a careless pod is refused: " + careless.err.strip()[:110],
        )
        self.guide.follow("Give access")
        self.kubectl("create", "secret", "generic", "aws", f"--from-literal=secret={reader['secret_access_key']}")
        self.kubectl(
            "create",
            "secret",
            "generic",
            "hook",
            "--from-literal=secret=whsec_dGVzdHMgb25seTogbm90IGEgc2VjcmV0IGF0IGFsbA==",
        )
        self.kubectl(
            "create",
            "configmap",
            "private-ca",
            f"--from-file=ca.crt={self.work / 'ca.crt'}",
            f"--from-file=time.crt={self.work / 'time' / 'ca.pem'}",
        )

    def install(self):
        self.write_values(self.values())
        began = time.monotonic()
        self.guide.follow("Install")
        self.table.row(
            "install",
            self.ready(),
            f"helm install, ready in {time.monotonic() - began:.0f} s with its Job; admitted as restricted",
        )
        self.started("start to ready")
        _, seconds = wait("all streams collected", 180, self.all_collected)
        views = self.all_collected()
        self.table.row(
            "sources collected",
            True,
            f"{len(views)} streams of Keycloak and moto, by https with a private authority, in {seconds:.0f} s",
        )
        try:
            self.guide.follow("First evidence")
        finally:
            # What comes after needs the key only.
            self.key = (self.folder / "auditor.vkey").read_text().strip()
        self.table.row("helm test", True, "verify --require signed, in a pod of its own on the volume")

    def started(self, what):
        """Seconds from the start of the container to Ready, as the kubelet saw them (whole seconds)."""
        pod = self.pod()
        moment = lambda text: time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))
        ran = next(c for c in pod["status"]["containerStatuses"] if c["name"] == "evidenced")["state"]["running"][
            "startedAt"
        ]
        ready = next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")["lastTransitionTime"]
        seconds = moment(ready) - moment(ran)
        self.table.row(what, seconds <= 5, f"{seconds:.0f} s, of at most 5")

    def drifts(self):
        for source, check, drift, undo in (
            (
                "keycloak:acme",
                BRUTE_FORCE,
                lambda: self.parties.seed_keycloak("drift", "brute-force-off", "--as", "dora"),
                lambda: self.parties.seed_keycloak("undo", "brute-force-off", "--as", "dora"),
            ),
            (
                "aws:prod",
                None,
                lambda: self.parties.seed_aws("--account", ACCOUNT, "drift", "admin-attached"),
                lambda: self.parties.seed_aws("--account", ACCOUNT, "undo", "admin-attached"),
            ),
        ):
            before = len(self.hook.told("deviation.firing", source, check))
            drift()
            _, fired = wait(
                f"an alert of {source}", 120, lambda: len(self.hook.told("deviation.firing", source, check)) > before
            )
            incident = self.hook.told("deviation.firing", source, check)[-1]
            active = lambda: [
                alert["labels"]["check"]
                for alert in json.loads(run("curl", "-sf", f"{self.parties.alertmanager}/api/v2/alerts").out)
                if alert["labels"].get("incident") == incident["incident"]
            ]
            wait(f"Alertmanager has the alert of {source}", 60, active)
            undo()
            resolved = lambda: any(
                told["incident"] == incident["incident"] for told in self.hook.told("deviation.resolved", source, check)
            )
            _, ended = wait(f"its resolve of {source}", 120, resolved)
            self.table.row(
                f"drift on {source}",
                True,
                f"{incident['check']} told after {fired:.1f} s, resolved {ended:.1f} s after its undoing; by webhook, and by Alertmanager",
            )

    def copy(self):
        self.guide.follow("Back up", timeout=300)
        restored = self.work / "restored"
        shutil.rmtree(restored, ignore_errors=True)
        binary = self.options.binary
        run(binary, "restore", self.folder / "evidenced-copy.tar", "--data", restored, "--verify")
        run(binary, "verify", restored, "--key", self.key)
        # The copy has no signing key, so it cannot record that a package of it is given to anybody: the daemon's own
        # ledger does, and the volume is where there is room.
        package = "/var/lib/evidenced/package"
        asked = ("--all", "--period", "2026-01-01..", "--for", "the test", "--out", package)
        self.evidenced("package", *asked, timeout=600)
        made = self.work / "volumes" / "data" / "package"
        run("python3", made / "verify.py", "--key", self.key, timeout=600)
        shutil.rmtree(made)
        size = (self.folder / "evidenced-copy.tar").stat().st_size
        self.table.row(
            "copy",
            True,
            f"backup --to - through kubectl exec, {size // 1000} kB: evidenced verify accepts it; verify.py a package made in the pod",
        )

    def second(self):
        done = run("kubectl", "-n", NS, "exec", POD, "--", "evidenced", "run", check=False, timeout=60)
        said = " ".join(line for line in done.err.splitlines() if line.lstrip().startswith(("error", "because")))
        self.table.row(
            "second process on the volume",
            done.returncode == 2 and self.ready(),
            f"refused, exit {done.returncode}: {said[:170]}",
        )

    def ends(self):
        """The pod is deleted, killed and evicted, again and again, while something drifts and is undone."""
        folder = self.work / "volumes" / "data" / "data"
        kept = self.work / "kept"
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir()
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": POD, "namespace": NS}}
        ways = (
            ("deleted", lambda: self.kubectl("delete", "pod", POD, "--wait=false")),
            ("killed", lambda: self.kubectl("delete", "pod", POD, "--force", "--grace-period=0", "--wait=false")),
            (
                "evicted",
                lambda: run(
                    "kubectl",
                    "create",
                    "--raw",
                    f"/api/v1/namespaces/{NS}/pods/{POD}/eviction",
                    "-f",
                    "-",
                    stdin=json.dumps(eviction).encode(),
                ),
            ),
        )
        longest = 0.0
        self.untold(ways[1][1])
        for way, end in ways:
            for number in range(self.options.rounds):
                drift = "undo" if number % 2 else "drift"
                self.parties.seed_keycloak(drift, "brute-force-off", "--as", "dora")
                # What was acknowledged before the end: the checkpoint that is on the volume at this moment.
                shutil.copy(folder / "ledger" / "checkpoint", kept / f"{way}-{number:02}")
                uid = self.pod()["metadata"]["uid"]
                end()
                again = lambda: (pod := self.pod())["metadata"]["uid"] != uid and self.ready(pod)
                _, seconds = wait(f"ready again after it was {way}", 150, again, every=0.3)
                longest = max(longest, seconds)
            say(f"{way} {self.options.rounds} times; longest to ready again {longest:.1f} s")
        self.parties.seed_keycloak("undo", "brute-force-off", "--as", "dora")
        wait("all collected once more", 180, self.all_collected)
        wait("nothing waits for a receiver", 120, lambda: self.metric("evidenced_outbox_pending") == 0)
        self.account(kept, longest)

    def untold(self, kill):
        """An episode that begins and ends while its receiver takes nothing, with a killed daemon in between."""
        whats = lambda: [
            c["what"] for c in self.facts("list", "changes", "--limit", "20") if c["subject"].startswith(BRUTE_FORCE)
        ]
        self.hook.refuse = True
        for act, what in (("drift", "DEVIATES"), ("undo", "RESOLVED")):
            self.parties.seed_keycloak(act, "brute-force-off", "--as", "dora")
            wait(f"it {what}", 120, lambda: whats()[0].startswith(what))
        uid = self.pod()["metadata"]["uid"]
        kill()
        wait("ready again", 150, lambda: (pod := self.pod())["metadata"]["uid"] != uid and self.ready(pod))
        self.hook.refuse = False

    def account(self, kept, longest):
        """Every acknowledged entry is there, every slot has one outcome, every episode was told, and none is two incidents."""
        checkpoints = sorted(kept.iterdir())
        lost = []
        # The daemon's own volume, read by the program outside; it needs neither lock nor index.
        data = self.work / "volumes" / "data" / "data"
        for pin in checkpoints[:: max(1, len(checkpoints) // 3)] + checkpoints[-1:]:
            done = run(
                self.options.binary,
                "verify",
                data,
                "--key",
                self.key,
                "--pin",
                pin,
                "--require",
                "pinned",
                "--skip-bodies",
                check=False,
                timeout=600,
            )
            if done.returncode != 0:
                lost.append(f"{pin.name}: exit {done.returncode} {done.out[-300:]}")
        size = int(checkpoints[-1].read_text().splitlines()[1])
        self.table.row(
            "acknowledged entries",
            not lost,
            "; ".join(lost)
            or f"0 lost: the ledger continues the checkpoints kept before each of {len(checkpoints)} ends, the last of {size} entries",
        )
        code, report = self.verified()
        meaning = report["meaning"]
        self.table.row(
            "slots",
            code == 0 and not meaning["problems"],
            f"exit {code}, {sum(meaning['slots'])} slots, each with one outcome: {meaning['slots']} collected, partial, failed, missed; longest until ready again {longest:.1f} s",
        )
        changes = self.facts("list", "changes", "--limit", "100000")
        self.table.row("alerts", *told.account(changes, self.hook.all()))

    def upgrades(self):
        uid = lambda: self.pod()["metadata"]["uid"]
        before, restarts = uid(), self.pod()["status"]["containerStatuses"][0]["restartCount"]
        bad = self.values(self.key)
        bad["settings"]["sources"]["keycloak"][0]["client_secret"] = {"file": "/run/secrets/keycloak/not-there"}
        self.write_values(bad, "bad.yaml")
        done = self.upgrade("bad.yaml", check=False)
        self.table.row(
            "upgrade, bad settings",
            done.returncode != 0
            and uid() == before
            and self.ready()
            and self.pod()["status"]["containerStatuses"][0]["restartCount"] == restarts,
            f"refused, the old pod untouched: {(done.err.strip().splitlines() or [''])[-1][:110]}",
        )
        bad["settings"]["sourcez"] = {}
        self.write_values(bad, "bad.yaml")
        done = self.upgrade("bad.yaml", check=False)
        self.table.row(
            "upgrade, unknown key",
            done.returncode != 0 and "sourcez" in done.err and uid() == before,
            "refused by the schema before anything is sent",
        )
        self.guide.follow("Upgrade")
        self.table.row("upgrade and rollback", self.ready(), "helm upgrade with good settings, helm rollback")

    def live(self):
        """A changed ConfigMap and a rotated Secret, without a restart."""
        uid = self.pod()["metadata"]["uid"]
        name = "evidenced_config_last_reload_timestamp_seconds"
        before = self.metric(name)
        self.write_values(self.values(self.key, every="6s"))
        self.upgrade()
        _, seconds = wait("other settings in force", 150, lambda: self.metric(name) > before)
        self.table.row(
            "ConfigMap changed",
            seconds <= 90 and self.pod()["metadata"]["uid"] == uid,
            f"in force after {seconds:.0f} s, of at most 90; the same pod",
        )
        text = self.parties.seed_keycloak("rotate-secret")["reader_secret"]
        self.kubectl("delete", "secret", "keycloak")
        self.kubectl("create", "secret", "generic", "keycloak", f"--from-literal=client-secret={text}")
        rotated = time.time()
        moment = lambda text: time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))

        def used():
            views = [view for view in self.facts("list", "sources") if view["stream"].startswith("keycloak:")]
            return all(
                view["last_run"]["outcome"] == "collected" and moment(view["last_run"]["started"]) > rotated + 1
                for view in views
            )

        _, seconds = wait("collected with the new secret", 180, used)
        self.table.row(
            "Secret rotated",
            self.pod()["metadata"]["uid"] == uid,
            f"used by the runs {seconds:.0f} s later; the same pod",
        )

    def full(self):
        """A volume without room: not ready, nothing damaged, and on it goes by itself."""
        folder = self.work / "volumes" / "data"
        restarts = self.pod()["status"]["containerStatuses"][0]["restartCount"]
        filler = folder / "filler"
        room = shutil.disk_usage(folder).free
        with open(filler, "wb") as file:
            file.write(b"\0" * (room - 1_000_000))
        try:
            wait(
                "the daemon says that the disk is nearly full",
                90,
                lambda: self.metric("evidenced_disk_nearly_full") == 1,
            )
            wait("the pod is not ready", 60, lambda: not self.ready())
            why = run("curl", "-s", f"http://{self.pod()['status']['podIP']}:8462/readyz").out.splitlines()[0][:140]
        finally:
            filler.unlink()
        _, seconds = wait("ready again", 120, self.ready)
        wait("all collected once more", 120, self.all_collected)
        code, _ = self.verified()
        same = self.pod()["status"]["containerStatuses"][0]["restartCount"] == restarts
        self.table.row(
            "volume full",
            code == 0 and same,
            f"not ready, 0 restarts, verified afterwards, ready again {seconds:.0f} s after there was room: {why}",
        )

    def restored(self):
        """The volume is lost: what the cluster's storage would make anew is made by hand meanwhile."""
        before = self.verified()[1]["entries"]
        self.write_values(self.values())
        with open(self.folder / "values.yaml", "a") as values:
            values.write(f'ledger:\n  key: "{self.key}"\n')
        volume = self.work / "volumes" / "data"
        done = threading.Event()

        def storage():
            while not done.wait(1):
                phase = run("kubectl", "get", "pv", "data", "-o", "jsonpath={.status.phase}", check=False).out
                if phase == "Released":
                    for path in volume.iterdir():
                        shutil.rmtree(path) if path.is_dir() else path.unlink()
                    run(
                        "kubectl",
                        "patch",
                        "pv",
                        "data",
                        "--type=json",
                        "-p",
                        '[{"op": "remove", "path": "/spec/claimRef"}]',
                        check=False,
                    )

        thread = threading.Thread(target=storage, daemon=True)
        thread.start()
        try:
            self.guide.follow("Restore", timeout=900)
        finally:
            done.set()
        self.key = (self.folder / "auditor.vkey").read_text().strip()
        wait("all collected", 180, self.all_collected)
        code, report = self.verified("--key", self.key)
        with tarfile.open(self.folder / "evidenced-copy.tar") as copy:
            copied = json.load(copy.extractfile("evidenced-backup.json"))["entries"]
        said = report["meaning"]["continues"]
        # The guard's volume was not lost, and remembers how long the ledger was when its pod ended.
        known, missing = said["known"]["size"], said["missing"]
        self.table.row(
            "restore",
            code == 0 and known >= before and missing == known - copied and not said.get("unremembered"),
            f"a lost volume of {known} entries from a copy of {copied}: verified, closed, continued under another key, which "
            f"says that {missing} are missing; exit {code} of verify",
        )

    def removed(self):
        before = self.verified()[1]["entries"]
        self.guide.follow("Remove")
        wait("the pod is gone", 90, lambda: run("kubectl", "-n", NS, "get", "pod", POD, check=False).returncode != 0)
        # The files of the release, but the claims.
        left = self.kubectl(
            "get",
            "all,configmap,pdb,networkpolicy,serviceaccount",
            "-l",
            "app.kubernetes.io/instance=evidenced",
            "-o",
            "name",
        ).split()
        # helm test leaves its pod, for its log.
        left = [name for name in left if not name.endswith("-verify")]
        self.kubectl("delete", "pod", "-l", "app.kubernetes.io/name=evidenced-verify", "--ignore-not-found")
        self.write_values(self.values(self.key))
        run(
            "helm",
            "install",
            "evidenced",
            "deploy/helm/evidenced",
            "-n",
            NS,
            "-f",
            "values.yaml",
            "--wait",
            "--timeout",
            "3m",
            cwd=self.folder,
        )
        wait("all collected", 120, self.all_collected)
        code, report = self.verified("--key", self.key)
        after = report["entries"]
        self.table.row(
            "uninstall and install again",
            code == 0 and after > before and not left,
            f"the same ledger goes on, {before} to {after} entries, under the same key; left of the release: {left or 'the claims'}",
        )

    def without_helm(self):
        """The same ledger goes on under the objects of deploy/kustomize, which are changed as the guide says."""
        before = self.verified()[1]["entries"]
        self.guide.follow("Remove")
        wait("the pod is gone", 90, lambda: run("kubectl", "-n", NS, "get", "pod", POD, check=False).returncode != 0)
        folder = self.folder / "deploy" / "kustomize"
        given = self.values()
        fixed = {
            "data": "/var/lib/evidenced/data",
            "guard_dir": "/var/lib/evidenced-guard",
            "health": {"listen": "0.0.0.0:8462"},
            "log": {"format": "json"},
        }
        (folder / "evidenced.yaml").write_text(json.dumps(given["settings"] | fixed))
        operations = []
        for kind, name, path in (
            ("secret", "aws", "/run/secrets/aws"),
            ("secret", "hook", "/run/secrets/hook"),
            ("configMap", "private-ca", "/etc/evidenced/private-ca"),
        ):
            what = {"secret": {"secretName": name}} if kind == "secret" else {"configMap": {"name": name}}
            mount = {"name": name, "mountPath": path, "readOnly": True}
            spec = "/spec/template/spec"
            operations.append({"op": "add", "path": f"{spec}/volumes/-", "value": {"name": name, **what}})
            for container in ("initContainers/0", "containers/0"):
                operations.append({"op": "add", "path": f"{spec}/{container}/volumeMounts/-", "value": mount})
        patch = {"target": {"kind": "StatefulSet", "name": "evidenced"}, "patch": json.dumps(operations)}
        text = (folder / "kustomization.yaml").read_text()
        text = text.replace("newName: registry.example.com/evidenced", "newName: localhost/evidenced")
        (folder / "kustomization.yaml").write_text(f"{text}patches: {json.dumps([patch])}\n")
        self.guide.follow("Without Helm")
        wait("all collected", 120, self.all_collected)
        code, report = self.verified("--key", self.key)
        after = report["entries"]
        run("kubectl", "delete", "--wait", "-k", "deploy/kustomize", cwd=self.folder)
        wait("the pod is gone", 90, lambda: run("kubectl", "-n", NS, "get", "pod", POD, check=False).returncode != 0)
        self.table.row(
            "without Helm",
            code == 0 and after > before,
            f"kubectl apply -k after an uninstallation: the same ledger goes on, {before} to {after} entries",
        )
        self.write_values(self.values(self.key))
        self.guide.follow("Install")

    def other_volume(self):
        """An empty volume does not begin a second ledger once the key is in the values."""
        wrong = self.values(self.key)
        wrong["settings"]["data"] = "/var/lib/evidenced/elsewhere"
        self.write_values(wrong, "wrong.yaml")
        done = run(
            "helm",
            "upgrade",
            "evidenced",
            "deploy/helm/evidenced",
            "-n",
            NS,
            "-f",
            "wrong.yaml",
            cwd=self.folder,
            timeout=200,
        )
        refused = lambda: self.kubectl("logs", POD, "-c", "init", "--tail=3", check=False)
        said, _ = wait("the init container refuses", 90, lambda: (text := refused()) and "is expected" in text and text)
        run("helm", "rollback", "evidenced", "-n", NS, cwd=self.folder)
        # A pod that never was ready is not replaced by itself (kubernetes/kubernetes#67250).
        self.kubectl("delete", "pod", POD, "--wait=false")
        wait("ready again", 120, self.ready)
        self.table.row(
            "empty volume",
            done.returncode == 0,
            "refused by the init container: " + said.strip().splitlines()[-1][-140:],
        )

    def rights(self):
        asked, all_lines = [], 0
        with open(self.options.audit_log) as lines:
            for line in lines:
                all_lines += 1
                user = json.loads(line)["user"]["username"]
                if user.startswith(f"system:serviceaccount:{NS}:"):
                    asked.append(line[:200])
        self.table.row(
            "requests to the API server",
            not asked,
            f"{len(asked)} by the accounts of the namespace, of {all_lines} in its audit log",
        )

    def tell(self):
        part = self.table.part
        began = time.monotonic()
        part("counterparts, volumes, namespace", self.begin)
        part("install", self.install)
        if hasattr(self, "key"):
            for name, what, tell in (
                ("drifts", "drifts", self.drifts),
                ("telemetry", "telemetry", lambda: telemetry.arrived(self)),
                ("copy", "copy", self.copy),
                ("second", "a second process", self.second),
                ("upgrades", "upgrades", self.upgrades),
                ("live", "live settings", self.live),
                ("full", "volume full", self.full),
                ("rules", "rules", lambda: rules.fire(self)),
                ("ends", "deleted, killed, evicted", self.ends),
                ("restored", "a lost volume", self.restored),
                ("removed", "removed and installed again", self.removed),
                ("kustomize", "without Helm", self.without_helm),
                ("empty", "an empty volume", self.other_volume),
                ("rights", "rights", self.rights),
            ):
                if not self.options.only or name in self.options.only:
                    part(what, tell)
        if not self.options.only or "renders" in self.options.only:
            part("renders", lambda: renders.hold(self))
        if not self.options.only:
            left = self.guide.left()
            self.table.row(
                "guide",
                not left,
                (
                    f"every command of deploy/README.md was run; not run: {left}"
                    if left
                    else "every command of deploy/README.md was run as it stands"
                ),
            )
        self.parties.down() if hasattr(self, "parties") else None
        print(f"\n{(self.work / 'image.txt').read_text().strip()}\n")
        self.table.show()
        print(
            "\nNot to be seen on this cluster: NetworkPolicy is accepted, not enforced; one node, so no drain to another; volumes are made by hand."
        )
        print(f"{'FAILED' if self.table.failed() else 'all held'}, in {time.monotonic() - began:.0f} s")
        return 1 if self.table.failed() else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--work", "--binary", "--audit-log"):
        parser.add_argument(name, required=True)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", action="append", default=[])
    sys.exit(Story(parser.parse_args()).tell())


if __name__ == "__main__":
    main()
