#!/usr/bin/env python3
"""The same AWS account asked by this program and by Prowler's IAM checks: processor time, memory, calls, in one run.

    cargo build --release
    tests/bench/prowler.py [--users 100] [--binary target/release/evidenced]

The account lies on moto under our wrapper (tests/parties/moto), which counts the calls of each. Prowler comes from the
Python registry into an environment of its own below tests/parties/.cache, 2.3 GB, once. The two do not ask the same
questions: Prowler has 51 checks of IAM, this program those of config/checks/aws, and it also records, signs and verifies
what it read. Both look once, from a cold start.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARTIES = ROOT / "tests/parties"
PROWLER = "5.46.0"
ACCOUNT = "300000000001"


def asked(command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout.strip()


def measured(command, environment, log):
    """Runs a command to its end: its processor seconds, the most memory it held, in MiB, seconds it took, exit code."""
    began = time.monotonic()
    with open(log, "wb") as output:
        child = subprocess.Popen(command, env=os.environ | environment, stdout=output, stderr=output)
        _, status, used = os.wait4(child.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, time.monotonic() - began, code


def prowler():
    """The folder of Prowler's environment; made if it is not there."""
    folder = PARTIES / f".cache/prowler-{PROWLER}"
    if not (folder / "installed").exists():
        print(f"fetching Prowler {PROWLER} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", f"prowler=={PROWLER}"]
        subprocess.run(pip, check=True, stdout=sys.stderr)
        (folder / "installed").touch()
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--binary", default=ROOT / "target/release/evidenced", type=pathlib.Path)
    options = parser.parse_args()
    if not options.binary.exists():
        sys.exit(f"{options.binary} is not there: cargo build --release, or --binary PATH")
    theirs = prowler()
    moto = PARTIES / "moto"
    was_up = subprocess.run([moto, "status"], stdout=subprocess.DEVNULL).returncode == 0
    url = asked([moto, "up"])
    try:
        compare(options, theirs, url, [asked([moto, "python"]), PARTIES / "aws_seed.py", "--url", url, "--account", ACCOUNT])
    finally:
        if not was_up:
            subprocess.run([moto, "down"], check=False)


def compare(options, theirs, url, seed):
    truth = json.loads(asked([*seed, "seed", "--posture", "mixed", "--users", str(options.users)]))
    reader = truth["reader"]
    everything = json.dumps({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    asked([*seed, "grant", "-"], input=everything)
    keys = {"AWS_ACCESS_KEY_ID": reader["access_key_id"], "AWS_SECRET_ACCESS_KEY": reader["secret_access_key"],
            "AWS_ENDPOINT_URL": url, "AWS_REGION": "us-east-1"}
    with tempfile.TemporaryDirectory() as folder:
        settings = pathlib.Path(folder, "evidenced.yaml")
        settings.write_text(f"organisation: Acme\ndata: {folder}/data\nsources:\n  aws:\n  - name: acme\n    owner: cloud\n"
                            f"    endpoint_url: {url}\n    access_key: {{id: {reader['access_key_id']}, "
                            f"secret: {{file: {folder}/secret}}}}\n")
        pathlib.Path(folder, "secret").write_text(reader["secret_access_key"])
        rows = []
        for name, command, environment in [
            ("evidenced", [options.binary, "--config", settings, "scan", "--init"], {}),
            (f"Prowler {PROWLER}", [theirs / "bin/python", theirs / "bin/prowler", "aws", "--service", "iam", "--region",
                                    "us-east-1", "--no-banner", "--output-formats", "json-ocsf", "--output-directory",
                                    f"{folder}/prowler"], keys),
        ]:
            asked([*seed, "calls"])
            asked([*seed, "forget-report"])
            log = pathlib.Path(folder, "log")
            cpu, memory, took, code = measured(command, environment, log)
            calls = json.loads(asked([*seed, "calls"]))
            # Both say with 3 that they found something: evidenced, that evidence is incomplete; Prowler, that checks fail.
            if code not in (0, 1, 3):
                sys.exit(f"{name} ended with {code}:\n{log.read_text()}")
            rows.append((name, cpu, memory, took, len(calls), sum(call["status"] >= 400 for call in calls), code))
    print(f"{options.users} users, {truth['counts']['aws.iam.role']} roles, on moto under our wrapper; one look each")
    print(f"{'':<16}{'CPU s':>8}{'MiB':>8}{'seconds':>9}{'calls':>8}{'refused':>9}{'exit':>6}")
    for name, cpu, memory, took, calls, refused, code in rows:
        print(f"{name:<16}{cpu:>8.2f}{memory:>8.0f}{took:>9.1f}{calls:>8}{refused:>9}{code:>6}")
    (_, *ours), (_, *other) = rows
    print("ratio           " + "".join(f"{b / a:>{width}.1f}" for a, b, width in zip(ours[:4], other[:4], (8, 8, 9, 8))))


if __name__ == "__main__":
    main()
