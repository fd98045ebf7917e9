#!/usr/bin/env python3
"""Records what a real Keycloak answers to a reader, one JSON file per exchange.

    record_keycloak.py --into ../../connectors/keycloak/fixtures [--url http://127.0.0.1:4790]

Standard library of Python 3.11 only. Makes the realm `acme` anew for each posture (keycloak_seed.py), lets its
administrator change something, and asks every call that a reader of identities could make: with the reader's own
client, never with the administrator's. Secrets are replaced before anything is written: see REDACTED and the README
that is written beside the recordings.
"""

import argparse
import json
import pathlib
import shutil
import sys
import time
import urllib.parse

sys.dont_write_bytecode = True
import keycloak_seed as seed

REALM = "acme"
BASE = f"/admin/realms/{REALM}"
TOKEN = f"/realms/{REALM}/protocol/openid-connect/token"
PAGE = 100
KEPT_HEADERS = ["content-type", "retry-after", "www-authenticate", "link", "x-total-count"]
# Values of these names are replaced wherever they stand, also inside JSON that is kept as text.
REDACTED = {"secret", "secretData", "credentialData"}
MARK = "[redacted]"
# Kinds of change that a reader of the realm, of clients and of people asks for.
EVENTS_ASKED_FOR = [
    ["REALM"], ["CLIENT"],
    ["REALM", "AUTH_FLOW", "AUTH_EXECUTION_FLOW", "AUTH_EXECUTION", "AUTHENTICATOR_CONFIG", "REQUIRED_ACTION"],
    ["USER", "REALM_ROLE_MAPPING", "CLIENT_ROLE_MAPPING", "GROUP_MEMBERSHIP"],
]


class Recording:
    """One folder of exchanges under one posture, with its index."""

    def __init__(self, url, folder, like=None):
        """`like` is a finished recording of the same realm: what it already holds byte for byte is only pointed to."""
        self.server, self.folder, self.index, self.token = seed.Server(url), folder, [], None
        self.like, self.texts = like, {}
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    def sign_in(self, secret=seed.READER_SECRET, keep=True):
        form = {"grant_type": "client_credentials", "client_id": seed.READER, "client_secret": secret}
        body = urllib.parse.urlencode(form)
        status, headers, answer = self.server.send("POST", TOKEN, body.encode())
        shown = urllib.parse.urlencode(form | {"client_secret": MARK}, safe="[]")
        if keep:
            self.keep("POST", TOKEN, status, headers, answer, request=shown)
        self.token = json.loads(answer).get("access_token")

    def get(self, path, **query):
        """Asks, records, and returns the parsed answer (None when it is not 200)."""
        target = BASE + path + ("?" + urllib.parse.urlencode(query) if query else "")
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        status, headers, answer = self.server.send("GET", target, headers=headers)
        self.keep("GET", target, status, headers, answer)
        return json.loads(answer) if status == 200 else None

    def pages(self, path, size=PAGE, **query):
        """Walks a list by first and max until a page is not full."""
        found, first = [], 0
        while True:
            page = self.get(path, first=first, max=size, **query)
            found += page or []
            if not page or len(page) < size:
                return found
            first += size

    def keep(self, method, target, status, headers, body, request=None):
        lower = {name.lower(): value for name, value in headers.items()}
        exchange = {"method": method, "target": target}
        if request:
            exchange["request"] = request
        exchange |= {"status": status, "headers": {n: lower[n] for n in KEPT_HEADERS if n in lower},
                     "body": redact(body.decode())}
        text = json.dumps(exchange, indent=1, ensure_ascii=False) + "\n"
        number, row = len(self.index), {"method": method, "target": target, "status": status}
        if self.like and text in self.like.texts:
            self.index.append({"file": f"../{self.like.folder.name}/{self.like.texts[text]}", **row})
            return
        words = target.removeprefix(BASE).removeprefix(f"/realms/{REALM}").split("?")[0].strip("/").split("/")
        name = "-".join(w for w in words if len(w) < 36)[:48].replace("%20", "-") or "realm"
        file = f"{number:04}-{name}.json"
        (self.folder / file).write_text(text)
        self.texts[text] = file
        self.index.append({"file": file, **row})

    def close(self, **facts):
        lines = [json.dumps(row) for row in self.index]
        text = json.dumps(facts, indent=1)[:-2] + ',\n "exchanges": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"
        json.loads(text)
        (self.folder / "index.json").write_text(text)


def redact(body):
    """The body with its secrets replaced and every other byte as it came."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return body
    secrets = set()

    def walk(value):
        if isinstance(value, dict):
            for name, inner in value.items():
                if name in REDACTED and isinstance(inner, str):
                    secrets.add(inner)
                elif name == "access_token":
                    # The middle part says who the reader is and what it may do; without its signature it opens nothing.
                    secrets.add(inner.rsplit(".", 1)[1])
                elif name == "representation":
                    walk(json.loads(inner))
                else:
                    walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(parsed)
    for secret in sorted(secrets - {""}, key=len, reverse=True):
        text = json.dumps(secret, ensure_ascii=False)[1:-1]
        if text not in body:
            raise SystemExit(f"a secret in an answer is written in a way that cannot be replaced: {len(secret)} bytes")
        body = body.replace(text, MARK)
    if "canary" in body or "hashIterations" in body:
        raise SystemExit(f"a secret was left in: {body[:2000]}")
    return body


def everything(r, pages=True):
    """Every call that a reader of identities could make, in the order in which one builds on the other.

    With `pages` also the same lists cut otherwise, and what a reader could ask of each person instead."""
    r.sign_in()
    realm = r.get("")
    r.get("/events/config")
    r.get(f"/authentication/flows/{urllib.parse.quote(realm['browserFlow'])}/executions")
    r.get("/users/count")
    users = r.pages("/users", briefRepresentation="true")
    clients = r.pages("/clients")
    management = next(c["id"] for c in clients if c["clientId"] == "realm-management")
    r.get("/clients", clientId="realm-management")
    if pages:
        r.get("/authentication/flows/browser/executions")
        r.get("/authentication/flows")
        r.get("/users", first=0, max=1, briefRepresentation="false")
        r.get("/groups/count", top="true")
        r.get(f"/users/{users[0]['id']}/role-mappings")
        r.get("/roles/there-is-no-such-role/users")

    r.get("/groups/count")
    waiting = r.pages("/groups", briefRepresentation="false")
    while waiting:
        group = waiting.pop()
        r.pages(f"/groups/{group['id']}/members", briefRepresentation="true")
        if group.get("subGroupCount"):
            waiting += r.pages(f"/groups/{group['id']}/children", briefRepresentation="false")
            if pages and group["subGroupCount"] > 10:
                r.get(f"/groups/{group['id']}/children")
                r.pages(f"/groups/{group['id']}/children", size=10, briefRepresentation="false")

    for role in r.pages("/roles", briefRepresentation="true"):
        path = f"/roles/{urllib.parse.quote(role['name'])}"
        r.pages(f"{path}/users", briefRepresentation="true")
        r.pages(f"{path}/groups", briefRepresentation="true")
        if role["composite"]:
            r.get(f"{path}/composites")
    for client in clients:
        path = f"/clients/{client['id']}/roles"
        r.pages(path, briefRepresentation="true")
        for role in r.get(path, briefRepresentation="true"):
            if role["composite"]:
                r.get(f"{path}/{role['name']}/composites")
            if client["id"] == management:
                r.pages(f"{path}/{role['name']}/users", briefRepresentation="true")
                r.pages(f"{path}/{role['name']}/groups", briefRepresentation="true")

    for user in users:
        r.get(f"/users/{user['id']}")
        r.get(f"/users/{user['id']}/credentials")
        if pages:
            r.get(f"/users/{user['id']}/groups", first=0, max=PAGE, briefRepresentation="true")
            r.get(f"/users/{user['id']}/role-mappings/clients/{management}/composite", briefRepresentation="true")

    r.pages("/admin-events")
    for kinds in EVENTS_ASKED_FOR:
        query = [("resourceTypes", kind) for kind in kinds] + [("first", 0), ("max", PAGE)]
        r.get("/admin-events?" + urllib.parse.urlencode(query))
    if pages:
        r.get("/events", first=0, max=5)


def first_calls(r):
    """The calls whose answers change with the reader's roles."""
    r.get("")
    r.get("/events/config")
    r.get("/authentication/flows/browser/executions")
    r.get("/authentication/flows/staff%20browser/executions")
    r.get("/users/count")
    r.pages("/users", briefRepresentation="true")
    r.get("/groups/count")
    r.pages("/groups", briefRepresentation="false")
    r.pages("/roles", briefRepresentation="true")
    r.pages("/clients")
    r.get("/clients", clientId="realm-management")
    management, dora, leads = r.known
    r.get(f"/clients/{management}/roles", briefRepresentation="true")
    r.get(f"/clients/{management}/roles/realm-admin/users", first=0, max=PAGE, briefRepresentation="true")
    r.get(f"/clients/{management}/roles/realm-admin/groups", first=0, max=PAGE, briefRepresentation="true")
    r.get(f"/clients/{management}/roles/realm-admin/composites")
    r.get("/roles/platform-lead/users", first=0, max=PAGE, briefRepresentation="true")
    r.get("/roles/platform-lead/groups", first=0, max=PAGE, briefRepresentation="true")
    r.get("/roles/platform-lead/composites")
    r.get(f"/groups/{leads}/members", first=0, max=PAGE, briefRepresentation="true")
    r.get(f"/groups/{leads}/children", first=0, max=PAGE, briefRepresentation="false")
    r.get(f"/users/{dora}")
    r.get(f"/users/{dora}/credentials")
    r.get(f"/users/{dora}/groups", first=0, max=PAGE, briefRepresentation="true")
    r.get(f"/users/{dora}/role-mappings/clients/{management}/composite", briefRepresentation="true")
    r.get("/admin-events", first=0, max=5)
    r.get("/events", first=0, max=5)


SPECIAL = {
    "no-roles": [],
    "no-view-realm": ["view-users", "view-clients", "view-events"],
    "no-view-users": ["view-realm", "view-clients", "view-events"],
    "no-view-clients": ["view-realm", "view-users", "view-events"],
    "no-view-events": ["view-realm", "view-users", "view-clients"],
    "only-query-users": ["query-users"],
    "only-query-clients": ["query-clients"],
    "only-query-groups": ["query-groups"],
}


README = """# What a real Keycloak answered

Recorded from Keycloak {version} on loopback by `tests/parties/record_keycloak.py`, with the client `{reader}` and the
roles named in each folder's `index.json`. To record anew:

    tests/parties/keycloak up
    tests/parties/record_keycloak.py --into connectors/keycloak/fixtures

One file is one exchange: method, target (path and query), status, the headers worth keeping, and the body as it came.
`index.json` lists them in the order of asking; a file under `../mixed/` says that the answer was the same byte for byte.
Folders:

| folder | what |
| --- | --- |
| `good`, `bad`, `mixed` | three postures of the realm `acme`; `truth.json` says which resource breaks which check, and who holds administrator rights |
| `no-view-*` | mixed, the reader without that one role |
| `no-roles`, `only-query-*` | mixed, the reader with none, or with that one |
| `wrong-secret` | the token endpoint refuses; then the admin API without a token |
| `bad-token`, `expired-token` | the admin API with a token it never issued, and with one that ran out |
| `unknown-realm` | a realm that does not exist |
| `admin-events-off` | switched off, then something changed: the second change left no event |

Replaced by `[redacted]`: {redacted}, and the signature of every token. Header and claims of a token are kept, because
they say who the reader is and what it may do; without the signature it opens nothing.

Seen while recording, and easy to trip over:

- Without `view-realm` the realm answers 200 with a stub that holds `bruteForceProtected`, and not `failureFactor`.
- With `query-users` alone the list of users is 200 `[]` while the count is true; `query-clients` alone lists no clients
  and has no count; `query-groups` alone lists no groups while their count is true.
- `/clients/{{id}}/roles` answers with `query-clients` alone, `/roles` with any role at all.
- Users come with a kilobyte of `userProfileMetadata` each in `/users`, also when the brief form is asked for.
- `/users` leaves service accounts out; the members of a role hold them, told apart by their user name only.
- A realm's update has no `resourcePath`; its actor's `authDetails.realmId` is the realm's id, not its name.
- `/roles` pages only when both `first` and `max` are given; members of a role or group, and groups that hold a role,
  come a hundred at a time, children of a group ten at a time, unless told otherwise; clients and groups come whole.
- Switching admin events off is recorded, switching them on is not; an unknown `resourceTypes` is a 500.
- In 26.4 a realm's own administrator may not map an administrator role to anybody (403), but may put anybody into a
  group that holds one.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=pathlib.Path, required=True)
    parser.add_argument("--url", default="http://127.0.0.1:4790")
    options = parser.parse_args()
    master = seed.Server(options.url)

    def make(posture, users):
        truth = seed.seed(master, argparse.Namespace(
            posture=posture, users=users, realm=REALM, reader_token_seconds=0, fixed_id=False))
        return {name: truth[name] for name in ["keycloak", "realm", "realm_id", "posture", "populations", "checks"]}

    def play(name, undo=False):
        seed.play(master, argparse.Namespace(realm=REALM, name=name, actor="dora"), undo)

    def recording(folder, like=None):
        return Recording(options.url, options.into / folder, like)

    for posture, users in [("good", 14), ("bad", 14), ("mixed", 24)]:
        truth = make(posture, users)
        if posture == "mixed":
            play("brute-force-off"), play("brute-force-off", undo=True)
            play("wildcard-return-address"), play("wildcard-return-address", undo=True)
            play("administrator-without-factor"), play("administrator-without-factor", undo=True)
        full = recording(posture)
        everything(full, pages=posture == "mixed")
        full.close(keycloak=seed.VERSION, posture=posture, realm=REALM, reader_roles=seed.READER_ROLES)
        (options.into / posture / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")

    # On the mixed realm: the same questions with fewer roles.
    management = seed.client_uuid(master, BASE, "realm-management")
    leads = next(g["id"] for g in master.call("GET", f"{BASE}/groups") if g["name"] == "leads")
    known = (management, seed.user_id(master, BASE, "dora"), leads)
    held = list(seed.READER_ROLES)
    for case, roles in SPECIAL.items():
        if held:
            seed.reader_roles(master, BASE, held, "DELETE")
        if roles:
            seed.reader_roles(master, BASE, roles, "POST")
        held = roles
        r = recording(case, like=full)
        r.known = known
        r.sign_in()
        first_calls(r)
        r.close(keycloak=seed.VERSION, posture="mixed", realm=REALM, reader_roles=roles)
    seed.reader_roles(master, BASE, held, "DELETE")
    seed.reader_roles(master, BASE, seed.READER_ROLES, "POST")

    r = recording("wrong-secret")
    r.sign_in(secret="not-the-secret")
    r.get("")
    r.close(keycloak=seed.VERSION, posture="mixed", realm=REALM)
    r = recording("bad-token")
    r.token = "not.a.token"
    r.get("")
    r.get("/users", first=0, max=PAGE, briefRepresentation="true")
    r.close(keycloak=seed.VERSION, posture="mixed", realm=REALM)
    seed.lifespan(master, argparse.Namespace(realm=REALM, seconds=1))
    r = recording("expired-token")
    r.sign_in()
    time.sleep(2.5)
    r.get("")
    r.close(keycloak=seed.VERSION, posture="mixed", realm=REALM)
    seed.lifespan(master, argparse.Namespace(realm=REALM, seconds=0))

    # A switched-off event log is an empty list, not a refusal.
    play("brute-force-off"), play("admin-events-off"), play("brute-force-off", undo=True)
    r = recording("admin-events-off", like=full)
    r.sign_in()
    r.get("/events/config")
    r.get("/admin-events", resourceTypes="REALM", first=0, max=3)
    r.close(keycloak=seed.VERSION, posture="mixed", realm=REALM)
    play("admin-events-off", undo=True)

    r = recording("unknown-realm")
    r.sign_in()
    for target in ["/realms/nowhere/protocol/openid-connect/token", "/admin/realms/nowhere"]:
        method, form = ("POST", b"grant_type=client_credentials&client_id=x") if "token" in target else ("GET", None)
        headers = {"Authorization": f"Bearer {r.token}"} if method == "GET" else {}
        r.keep(method, target, *r.server.send(method, target, form, headers), request=form and form.decode())
    r.close(keycloak=seed.VERSION, realm="nowhere")

    names = ", ".join(f"`{name}`" for name in sorted(REDACTED))
    (options.into / "README.md").write_text(README.format(version=seed.VERSION, reader=seed.READER, redacted=names))


if __name__ == "__main__":
    main()
