"""What the story in the cluster needs around it: commands, counterparts, a receiver of webhooks, and a table of what was seen."""

import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import urllib.request

NODE = "198.18.0.1"
HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
PARTIES = REPOSITORY / "tests" / "parties"
# What a pod asks, by port of the node; the counterparts themselves listen on loopback.
KEYCLOAK, MOTO, TIME, ALERTMANAGER, HOOK, PROMETHEUS, OTLP = 8443, 8444, 8445, 9093, 9099, 9090, 4317


class Failed(Exception):
    """Something did not come out as it should."""


def say(text):
    print(f"   {text}", file=sys.stderr, flush=True)


def run(*command, check=True, stdin=None, timeout=300, cwd=None, env=None):
    """Runs a command; gives its standard output. With `check`, another exit code than 0 is a failure that shows all of it."""
    command = [str(part) for part in command]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, cwd=cwd, env=env)
    done.out, done.err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(command)[:300]}\nexit {done.returncode}\n{done.out[-2000:]}{done.err[-2000:]}")
    return done


def wait(what, seconds, ask, every=0.5):
    """Asks until there is an answer; gives the answer and the seconds that it took."""
    began, last = time.monotonic(), None
    while time.monotonic() - began < seconds:
        try:
            answer = ask()
            if answer:
                return answer, time.monotonic() - began
        except (Failed, OSError, ValueError, KeyError, IndexError, subprocess.TimeoutExpired) as why:
            last = why
        time.sleep(every)
    raise Failed(f"not within {seconds} s: {what}" + (f"; last: {last}" if last else ""))


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


class Table:
    """What was seen: one line for each thing that was promised."""

    def __init__(self):
        self.rows = []

    def row(self, what, ok, detail):
        self.rows.append((what, "ok" if ok else "FAILED", detail))
        say(f"{'ok' if ok else 'FAILED':7} {what}: {detail}")

    def part(self, what, tell):
        """Runs one part of the story; one that breaks off is a failed row, and the story goes on."""
        print(f"\n== {what}", file=sys.stderr, flush=True)
        try:
            tell()
        except (Failed, subprocess.TimeoutExpired, OSError, KeyError, ValueError, IndexError) as why:
            self.row(what, False, str(why).strip())

    def show(self):
        wide = max((len(what) for what, *_ in self.rows), default=0)
        for what, result, detail in self.rows:
            print(f"{what:{wide}}  {result:7} {detail.splitlines()[0] if detail else ''}")
            for line in detail.splitlines()[1:20]:
                print(f"{'':{wide}}  {'':7} {line}")

    def failed(self):
        return sum(result != "ok" for _, result, _ in self.rows)


class Hook:
    """A receiver of webhooks: keeps every message once for each time that it came, and refuses when it is told to."""

    def __init__(self):
        self.messages, self.refuse, self.lock = [], False, threading.Lock()
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                with hook.lock:
                    refuse = hook.refuse
                    if not refuse and self.path == "/hook":
                        hook.messages.append((self.headers.get("webhook-id"), json.loads(body)))
                self.send_response(503 if refuse and self.path == "/hook" else 204)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer((NODE, HOOK), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def all(self):
        """Every message that came, as its id and its body."""
        with self.lock:
            return list(self.messages)

    def told(self, kind, source, check=None):
        """Messages of a kind (`deviation.firing`) about a source, and a check."""
        return [
            body["data"]
            for _, body in self.all()
            if body["type"] == kind and body["data"]["source"] == source and check in (None, body["data"]["check"])
        ]


class Authority:
    """A time-stamping authority (RFC 3161) by `openssl ts`, on loopback; refuses when it is told to."""

    SETTINGS = """[tsa]\ndefault_tsa = here\n[here]\nserial = serial\nsigner_digest = sha256\ndefault_policy = 1.3.6.1.4.1.99999.1
digests = sha256, sha512\naccuracy = secs:1\ness_cert_id_alg = sha256\n"""

    def __init__(self, folder, port):
        folder.mkdir(exist_ok=True)
        self.folder, self.refuse, authority = folder, False, self
        (folder / "settings").write_text(self.SETTINGS)
        (folder / "serial").write_text("01\n")
        (folder / "purpose").write_text("basicConstraints=CA:false\nextendedKeyUsage=critical,timeStamping\n")
        key = ("-newkey", "rsa:2048", "-nodes")
        run(
            "openssl",
            "req",
            "-x509",
            "-days",
            "3650",
            "-subj",
            "/CN=time root",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            *key,
            cwd=folder,
        )
        run("openssl", "req", "-subj", "/CN=time", "-keyout", "tsa.key", "-out", "tsa.csr", *key, cwd=folder)
        run(
            "openssl",
            "x509",
            "-req",
            "-days",
            "3650",
            "-in",
            "tsa.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            "tsa.pem",
            "-extfile",
            "purpose",
            cwd=folder,
        )

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                (folder / "request").write_bytes(self.rfile.read(int(self.headers.get("content-length", 0))))
                if authority.refuse:
                    self.send_response(503)
                    self.end_headers()
                    return
                run(
                    "openssl",
                    "ts",
                    "-reply",
                    "-config",
                    "settings",
                    "-queryfile",
                    "request",
                    "-out",
                    "answer",
                    "-signer",
                    "tsa.pem",
                    "-inkey",
                    "tsa.key",
                    cwd=folder,
                )
                answer = (folder / "answer").read_bytes()
                self.send_response(200)
                self.send_header("content-type", "application/timestamp-reply")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        server = http.server.HTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()


class Parties:
    """The counterparts, on loopback, and a relay before them that pods can reach; all of it ends with the namespaces."""

    def __init__(self, work):
        self.work = work
        self.env = os.environ | {
            "KEYCLOAK_DATA": str(work / "keycloak"),
            "KEYCLOAK_FRESH": "1",
            "KEYCLOAK_WAIT": "400",
            "MOTO_DATA": str(work / "moto"),
            "ALERTMANAGER_DATA": str(work / "alertmanager"),
            "ALERTMANAGER_HOOK": f"http://{NODE}:{HOOK}/alertmanager",
            "OTELCOL_DATA": str(work / "otelcol"),
        }
        self.certificates()
        self.time = Authority(work / "time", 3161)
        # The slow one first; it starts while the others do.
        keycloak = subprocess.Popen(
            [PARTIES / "keycloak", "up"], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.moto = run(PARTIES / "moto", "up", env=self.env, timeout=600).out.strip()
        self.python = run(PARTIES / "moto", "python", env=self.env).out.strip()
        self.alertmanager = run(PARTIES / "alertmanager", "up", env=self.env).out.strip()
        self.otelcol = run(PARTIES / "otelcol", "up", env=self.env, timeout=600).out.strip()
        out, err = keycloak.communicate(timeout=600)
        if keycloak.returncode != 0:
            raise Failed(err.decode())
        self.keycloak = out.decode().strip()
        local = lambda url: url.removeprefix("http://")
        self.started = [
            subprocess.Popen(
                [
                    sys.executable,
                    HERE / "relay.py",
                    f"{NODE}:{ALERTMANAGER}={local(self.alertmanager)}",
                    f"{NODE}:{OTLP}={local(self.otelcol)}",
                    "--tls",
                    work / "server.crt",
                    work / "server.key",
                    f"{NODE}:{KEYCLOAK}={local(self.keycloak)}",
                    f"{NODE}:{MOTO}={local(self.moto)}",
                    f"{NODE}:{TIME}=127.0.0.1:3161",
                ]
            )
        ]

    def certificates(self):
        """A private authority and a certificate of the node's address, as many an organisation has them."""
        work = self.work
        run(
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "365",
            "-keyout",
            work / "ca.key",
            "-out",
            work / "ca.crt",
            "-subj",
            "/CN=private authority",
        )
        run(
            "openssl",
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            work / "server.key",
            "-out",
            work / "server.csr",
            "-subj",
            "/CN=node",
        )
        (work / "san").write_text(f"subjectAltName=IP:{NODE}\n")
        run(
            "openssl",
            "x509",
            "-req",
            "-in",
            work / "server.csr",
            "-CA",
            work / "ca.crt",
            "-CAkey",
            work / "ca.key",
            "-CAcreateserial",
            "-days",
            "365",
            "-extfile",
            work / "san",
            "-out",
            work / "server.crt",
        )

    def seed_keycloak(self, *arguments):
        return json.loads(run(PARTIES / "keycloak_seed.py", *arguments, "--url", self.keycloak).out)

    def seed_aws(self, *arguments):
        return json.loads(run(self.python, PARTIES / "aws_seed.py", "--url", self.moto, *arguments).out)

    def down(self):
        """The relay; the counterparts by their scripts."""
        for started in self.started:
            started.terminate()
        for party in ("keycloak", "moto", "alertmanager", "otelcol"):
            run(PARTIES / party, "down", env=self.env, check=False)
