#!/usr/bin/env python3
"""Fills a real Keycloak realm with an organisation whose faults are known, and plays changes in it.

Standard library of Python 3.11 only. Prints one JSON object on standard output: for `seed` the ground truth, for every
other command what was changed, by whom and when. Everything else goes to standard error.

    keycloak_seed.py seed --posture mixed --realm acme [--users 300] [--reader-token-seconds 20]
    keycloak_seed.py drift brute-force-off --as dora
    keycloak_seed.py undo brute-force-off --as dora
    keycloak_seed.py revoke view-events view-users        (of the reader's service account)
    keycloak_seed.py grant view-events
    keycloak_seed.py import reader.json                   (takes the place of the reader; prints its secret)
    keycloak_seed.py rotate-secret
    keycloak_seed.py add-user max | delete-user max
    keycloak_seed.py lifespan 20                          (seconds a reader's token lives; 0: the realm's own)
    keycloak_seed.py delete

`--url` and `--realm` come from KEYCLOAK_URL (default http://127.0.0.1:4790) and KEYCLOAK_REALM (default acme).

What counts as a realm administrator here: a person who holds, directly, through a group or a group above it, or inside
a composite role, any role of the client `realm-management` that changes something, which is every one whose name does
not begin with view- or query-.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import struct
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

VERSION = "26.4.0"
READER = "evidenced-reader"
READER_SECRET = "canary-reader-client-secret"
READER_ROLES = ["view-realm", "view-users", "view-clients", "view-events"]
PASSWORD = "canary-password-Of-A-Person-1"
BUILT_IN = ["account", "account-console", "admin-cli", "broker", "realm-management", "security-admin-console"]
POSTURES = ["good", "mixed", "bad"]
CHECKS = [
    "keycloak.realm.brute_force", "keycloak.realm.password_rule", "keycloak.realm.tls_required",
    "keycloak.realm.session_limits", "keycloak.realm.events_kept", "keycloak.realm.second_factor_in_flow",
    "keycloak.admin.second_factor", "keycloak.client.hardened",
]


class Refused(Exception):
    """The server answered with a status that the caller did not expect."""


class Server:
    """The admin API as one signed-in person sees it; signs in again for every call, so no token is ever stale."""

    def __init__(self, url, realm="master", username="admin", password="admin", totp=None):
        self.url, self.realm, self.username, self.password, self.totp = url.rstrip("/"), realm, username, password, totp
        self.token, self.until = None, 0.0

    def send(self, method, path, body=None, headers=None):
        """One exchange; returns status, headers and the raw body, whatever the status is."""
        request = urllib.request.Request(self.url + path, data=body, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as answer:
            return answer.code, dict(answer.headers), answer.read()

    def sign_in(self):
        form = {"grant_type": "password", "client_id": "admin-cli", "username": self.username,
                "password": self.password}
        if self.totp:
            form["totp"] = one_time_code(self.totp, time.time())
        path = f"/realms/{self.realm}/protocol/openid-connect/token"
        status, _, body = self.send("POST", path, urllib.parse.urlencode(form).encode())
        if status != 200:
            raise Refused(f"{self.username} cannot sign in to realm {self.realm}: {status} {body.decode()}")
        answer = json.loads(body)
        self.token, self.until = answer["access_token"], time.time() + answer["expires_in"] / 2

    def call(self, method, path, body=None, expect=(200, 201, 204)):
        """One call of the admin API with JSON in and out; anything but the expected statuses is an error."""
        if not self.token or time.time() > self.until:
            self.sign_in()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        status, _, answer = self.send(method, path, data, headers)
        if status not in expect:
            raise Refused(f"{method} {path}: {status} {answer.decode(errors='replace')[:500]}")
        return json.loads(answer) if answer else None


def one_time_code(secret, at):
    """The six digits of RFC 6238 that Keycloak expects of `secret` at the moment `at`."""
    counter = struct.pack(">Q", int(at) // 30)
    mac = hmac.new(secret.encode(), counter, hashlib.sha1).digest()
    offset = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[offset:offset + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"


# --- What people and clients look like --------------------------------------------------------------------------------

def stored_password():
    """A password already hashed, so that a thousand people do not cost a thousand slow hashes."""
    salt, rounds = b"0123456789abcdef", 1000
    digest = hashlib.pbkdf2_hmac("sha512", PASSWORD.encode(), salt, rounds, 64)
    return {
        "type": "password", "createdDate": 1_756_000_000_000,
        "secretData": json.dumps({"value": base64.b64encode(digest).decode(),
                                  "salt": base64.b64encode(salt).decode(), "additionalParameters": {}}),
        "credentialData": json.dumps({"hashIterations": rounds, "algorithm": "pbkdf2-sha512",
                                      "additionalParameters": {}}),
    }


def one_time_password(username):
    return {
        "type": "otp", "userLabel": "phone", "createdDate": 1_756_000_100_000,
        "secretData": json.dumps({"value": totp_secret(username)}),
        "credentialData": json.dumps({"subType": "totp", "digits": 6, "counter": 0, "period": 30,
                                      "algorithm": "HmacSHA1"}),
    }


def totp_secret(username):
    return f"canary-totp-{username}"


def security_key(username, kind="webauthn"):
    return {
        "type": kind, "userLabel": "blue key", "createdDate": 1_756_000_200_000, "secretData": "{}",
        "credentialData": json.dumps({
            "aaguid": "00000000-0000-0000-0000-000000000000", "counter": 0, "attestationStatementFormat": "none",
            "credentialId": base64.b64encode(f"key-of-{username}".encode()).decode(),
            "credentialPublicKey": base64.urlsafe_b64encode(b"canary-public-key").decode(), "transports": []}),
    }


def person(username, *credentials, enabled=True, roles=(), realm_roles=(), groups=()):
    factors = {"password": lambda: stored_password(), "otp": lambda: one_time_password(username),
               "webauthn": lambda: security_key(username),
               "webauthn-passwordless": lambda: security_key(username, "webauthn-passwordless")}
    user = {
        "username": username, "enabled": enabled, "emailVerified": True, "email": f"{username}@acme.example",
        "firstName": username.capitalize(), "lastName": "Example", "requiredActions": [],
        "credentials": [factors[name]() for name in credentials], "groups": list(groups),
    }
    if roles:
        user["clientRoles"] = {"realm-management": list(roles)}
    if realm_roles:
        user["realmRoles"] = list(realm_roles)
    return user


def client(client_id, **settings):
    """A confidential client with the code flow and one exact return address, unless told otherwise."""
    attributes = settings.pop("attributes", {})
    return {
        "clientId": client_id, "name": client_id.replace("-", " "), "enabled": True, "protocol": "openid-connect",
        "publicClient": False, "standardFlowEnabled": True, "implicitFlowEnabled": False,
        "directAccessGrantsEnabled": False, "serviceAccountsEnabled": False,
        "redirectUris": [f"https://{client_id}.acme.example/callback"], "webOrigins": [],
        "secret": None if settings.get("publicClient") else f"canary-client-secret-{client_id}",
        "attributes": attributes, **settings,
    }


# --- The organisation, as data ----------------------------------------------------------------------------------------

def organisation(realm_name, posture, users, reader_token_seconds):
    """Realm, people, groups, roles, clients and the truth about them, by name; nothing is read from a server."""
    bad = posture == "bad"
    truth = {check: {"deviates": [], "conforms": [], "not_applicable": []} for check in CHECKS}

    def judged(check, name, deviates):
        truth[check]["deviates" if deviates else "conforms"].append({"name": name})

    realm, deviating = realm_settings(posture)
    for check in CHECKS[:6]:
        judged(check, "@realm", check in deviating)

    people, groups, roles = [], [], [
        {"name": "employee", "description": "everybody"},
        {"name": "platform-lead", "composite": True, "description": "administers by way of a composite role",
         "composites": {"client": {"realm-management": ["manage-realm"]}}},
        {"name": "head-of-platform", "composite": True, "description": "a composite role inside a composite role",
         "composites": {"realm": ["platform-lead"]}},
        {"name": "helpdesk", "composite": True, "composites": {"client": {"realm-management": ["manage-users"]}}},
    ]

    def administrator(username, *credentials, **settings):
        factor = any(c != "password" for c in credentials)
        if not factor and posture == "good" and settings.get("enabled", True):
            credentials, factor = (*credentials, "otp"), True
        if bad and username != "dora":
            credentials, factor = [c for c in credentials if c == "password"], False
        people.append(person(username, *credentials, **settings))
        if settings.get("enabled", True):
            judged("keycloak.admin.second_factor", username, not factor)
        else:
            truth["keycloak.admin.second_factor"]["not_applicable"].append({"name": username, "reason": "disabled"})

    # Who holds administrator rights, one way each.
    administrator("dora", "password", "otp", roles=["realm-admin"])
    administrator("erik", "password", "webauthn", roles=["realm-admin"])
    administrator("finn", "password", roles=["manage-users"])
    administrator("gita", "password", groups=["/operations"])
    administrator("hana", "password", "otp", groups=["/operations/team-02"])
    administrator("ivan", "password", realm_roles=["platform-lead"])
    administrator("jana", "webauthn-passwordless", groups=["/leads"])
    administrator("kurt", "password", roles=["realm-admin"], enabled=False)
    administrator("lena", roles=["manage-clients"])
    # The twelfth child of its parent: an answer of ten child groups does not show it.
    administrator("nora", "password", groups=["/staff/z-break-glass"])
    # Nearly an administrator: reading is not administering, and a disabled person without rights is nobody's concern.
    people.append(person("mika", "password", roles=["view-users", "query-groups"]))
    people.append(person("olaf", "password", enabled=False))

    groups.append({"name": "operations", "clientRoles": {"realm-management": ["manage-clients"]},
                   "subGroups": [{"name": f"team-{n:02}"} for n in range(1, 4)]})
    groups.append({"name": "leads", "realmRoles": ["head-of-platform"]})
    groups.append({"name": "staff", "subGroups": [{"name": f"unit-{n:02}"} for n in range(1, 12)] + [
        {"name": "z-break-glass", "clientRoles": {"realm-management": ["impersonation"]}}]})
    groups.append({"name": "field", "clientRoles": {"realm-management": ["manage-users"]}})

    # Enough holders of one role and members of one group that a silent page of a hundred hides the last of them.
    if users >= 300:
        for n in range(105):
            administrator(f"helper-{n:04}", "password", *(["otp"] if n < 104 else []), realm_roles=["helpdesk"])
        for n in range(105):
            administrator(f"field-{n:04}", "password", *(["otp"] if n < 104 else []), groups=["/field"])
    for n in range(max(0, users - len(people))):
        people.append(person(f"person-{n:05}", "password", *(["otp"] if n % 3 == 0 else []),
                             enabled=n % 17 != 5, realm_roles=["employee"], groups=[f"/staff/unit-{n % 11 + 1:02}"]))
    visible = len(people)

    clients = []

    def application(fault, client_id, **settings):
        if fault and posture == "good":
            return
        if bad and settings.get("enabled", True) and client_id not in (READER, "provisioner"):
            fault, settings = True, {**settings, "directAccessGrantsEnabled": True}
        clients.append(client(client_id, **settings))
        if settings.get("enabled", True):
            judged("keycloak.client.hardened", client_id, fault)
        else:
            truth["keycloak.client.hardened"]["not_applicable"].append({"name": client_id, "reason": "disabled"})

    lifespan = {"access.token.lifespan": str(reader_token_seconds)} if reader_token_seconds else {}
    quiet = {"standardFlowEnabled": False, "redirectUris": []}
    application(False, READER, serviceAccountsEnabled=True, secret=READER_SECRET, attributes=lifespan, **quiet)
    application(False, "provisioner", serviceAccountsEnabled=True, **quiet)
    application(False, "intranet")
    application(False, "web-shop", publicClient=True, attributes={"pkce.code.challenge.method": "S256"})
    application(False, "warehouse-scanner", publicClient=True, **quiet,
                attributes={"oauth2.device.authorization.grant.enabled": "true"})
    application(True, "wildcard-app", redirectUris=["https://wildcard.acme.example/*"])
    application(True, "legacy-implicit", implicitFlowEnabled=True)
    application(True, "legacy-password", directAccessGrantsEnabled=True)
    application(True, "spa-without-pkce", publicClient=True)
    application(True, "spa-plain-pkce", publicClient=True, attributes={"pkce.code.challenge.method": "plain"})
    application(False, "retired", enabled=False, redirectUris=["*"], implicitFlowEnabled=True)
    for name in BUILT_IN:
        truth["keycloak.client.hardened"]["not_applicable"].append({"name": name, "reason": "made with every realm"})

    # Machines: they hold administrator rights and no second factor, and are no people.
    people.append({"username": f"service-account-{READER}", "enabled": True, "serviceAccountClientId": READER,
                   "clientRoles": {"realm-management": READER_ROLES}})
    people.append({"username": "service-account-provisioner", "enabled": True, "serviceAccountClientId": "provisioner",
                   "clientRoles": {"realm-management": ["manage-users"]}})
    truth["keycloak.admin.second_factor"]["not_applicable"].append(
        {"name": "service-account-provisioner", "reason": "service account"})

    # A person made by hand or by signing up holds the realm's default role; an imported one only when told so.
    for someone in people:
        someone["realmRoles"] = [f"default-roles-{realm_name}", *someone.get("realmRoles", [])]

    realm |= {"users": people, "groups": groups, "roles": {"realm": roles}, "clients": clients}
    return realm, truth, visible


def realm_settings(posture):
    """The realm without its people, and the realm checks that deviate."""
    realm = {
        "enabled": True, "displayName": "Acme",
        "bruteForceProtected": True, "failureFactor": 5,
        "passwordPolicy": "length(14) and passwordHistory(5) and notUsername",
        "sslRequired": "external",
        "ssoSessionIdleTimeout": 1800, "ssoSessionMaxLifespan": 36000, "accessTokenLifespan": 300,
        "eventsEnabled": True, "eventsExpiration": 31_536_000, "eventsListeners": ["jboss-logging"],
        "adminEventsEnabled": True, "adminEventsDetailsEnabled": True,
        "attributes": {"adminEventsExpiration": "31536000"},
        # One administrator plays several changes within the half minute that a code lives.
        "otpPolicyCodeReusable": True,
        # The server takes a one-time code policy as a whole or not at all.
        "otpPolicyType": "totp", "otpPolicyAlgorithm": "HmacSHA1", "otpPolicyDigits": 6, "otpPolicyPeriod": 30,
        "otpPolicyLookAheadWindow": 1, "otpPolicyInitialCounter": 0,
    }
    if posture == "good":
        return realm, []
    if posture == "mixed":
        realm |= {"passwordPolicy": "length(8)", "accessTokenLifespan": 3600,
                  "attributes": {"adminEventsExpiration": "86400"}}
        return realm, ["keycloak.realm.password_rule", "keycloak.realm.session_limits", "keycloak.realm.events_kept",
                       "keycloak.realm.second_factor_in_flow"]
    realm |= {
        "bruteForceProtected": False, "failureFactor": 30, "passwordPolicy": "", "sslRequired": "none",
        "ssoSessionIdleTimeout": 864_000, "ssoSessionMaxLifespan": 2_592_000, "accessTokenLifespan": 86_400,
        "eventsEnabled": False, "eventsExpiration": 0, "adminEventsEnabled": False, "adminEventsDetailsEnabled": False,
        "attributes": {},
    }
    return realm, CHECKS[:6]


# --- Commands ---------------------------------------------------------------------------------------------------------

def seed(master, options):
    realm, truth, visible = organisation(
        options.realm, options.posture, options.users, options.reader_token_seconds)
    name, base = options.realm, f"/admin/realms/{options.realm}"
    master.call("DELETE", base, expect=(204, 404))
    master.call("POST", "/admin/realms", {"realm": name, "id": name if options.fixed_id else None, **realm})
    if options.posture == "mixed":
        bind_flow(master, base, "staff browser", "Browser - Conditional 2FA")
    if options.posture == "bad":
        bind_flow(master, base, "password only", "Browser - Conditional 2FA", remove=True)
    ids = {"@realm": master.call("GET", base)["id"]}
    ids |= {c["clientId"]: c["id"] for c in master.call("GET", f"{base}/clients?max=-1")}
    listed = master.call("GET", f"{base}/users?first=0&max=1000000&briefRepresentation=true")
    ids |= {u["username"]: u["id"] for u in listed}
    account = service_account(master, base, "provisioner")
    ids[account["username"]] = account["id"]
    count = master.call("GET", f"{base}/users/count")
    if len(listed) != visible or count != visible:
        raise Refused(f"seeded {visible} people, the list holds {len(listed)} and the count says {count}")
    for values in truth.values():
        for resources in values.values():
            for resource in resources:
                resource["id"] = ids[resource["name"]]
                if resource["name"] == "@realm":
                    resource["name"] = name
    admins = truth["keycloak.admin.second_factor"]
    return {
        "keycloak": VERSION, "url": master.url, "realm": name, "realm_id": ids["@realm"], "posture": options.posture,
        "reader": {"client_id": READER, "client_secret": READER_SECRET, "roles": READER_ROLES},
        "administrator": {"username": "dora", "id": ids["dora"], "password": PASSWORD, "totp": totp_secret("dora")},
        "populations": {
            "keycloak.realm": 1,
            "keycloak.admin": sum(len(v) for v in admins.values()),
            "keycloak.client": sum(len(v) for v in truth["keycloak.client.hardened"].values()),
            "users": visible,
        },
        "checks": truth,
        "canaries": ["canary-", "hashIterations", "credentialPublicKey"],
    }


def bind_flow(master, base, alias, subflow, remove=False):
    """Copies the browser flow, disables or removes one subflow in the copy, and makes the copy the one in use."""
    flows = f"{base}/authentication/flows"
    master.call("POST", f"{flows}/browser/copy", {"newName": alias})
    executions = f"{flows}/{urllib.parse.quote(alias)}/executions"
    found = [e for e in master.call("GET", executions) if e["displayName"].endswith(subflow)]
    if len(found) != 1:
        raise Refused(f"flow {alias!r}: {len(found)} subflows end with {subflow!r}")
    if remove:
        master.call("DELETE", f"{base}/authentication/executions/{found[0]['id']}")
    else:
        master.call("PUT", executions, {**found[0], "requirement": "DISABLED"}, expect=(200, 202, 204))
    master.call("PUT", base, {"browserFlow": alias})


def service_account(server, base, client_id):
    return server.call("GET", f"{base}/clients/{client_uuid(server, base, client_id)}/service-account-user")


def client_uuid(server, base, client_id):
    found = server.call("GET", f"{base}/clients?clientId={urllib.parse.quote(client_id)}")
    if not found:
        raise Refused(f"no client {client_id!r}")
    return found[0]["id"]


def user_id(server, base, username):
    found = server.call("GET", f"{base}/users?exact=true&username={urllib.parse.quote(username)}")
    if not found:
        raise Refused(f"no user {username!r}")
    return found[0]["id"]


def reader_roles(master, base, names, method):
    management = client_uuid(master, base, "realm-management")
    roles = [master.call("GET", f"{base}/clients/{management}/roles/{name}") for name in names]
    account = service_account(master, base, READER)["id"]
    master.call(method, f"{base}/users/{account}/role-mappings/clients/{management}", roles)
    held = master.call("GET", f"{base}/users/{account}/role-mappings/clients/{management}")
    return {"reader_roles": sorted(role["name"] for role in held)}


def change_client(server, base, client_id, **settings):
    uuid = client_uuid(server, base, client_id)
    server.call("PUT", f"{base}/clients/{uuid}", {**server.call("GET", f"{base}/clients/{uuid}"), **settings})


def add_administrator(server, base, username):
    """Makes a person an administrator by way of a group: in 26.4 a realm's own administrator may not map
    administrator roles to anybody (403), but may still put anybody into a group that holds one."""
    server.call("POST", f"{base}/users", person(username, "password"))
    user = user_id(server, base, username)
    group = next(g for g in server.call("GET", f"{base}/groups?max=1000") if g["name"] == "operations")
    server.call("PUT", f"{base}/users/{user}/groups/{group['id']}")


def remove_user(server, base, username):
    server.call("DELETE", f"{base}/users/{user_id(server, base, username)}")


def second_factor_step(server, base, requirement):
    alias = server.call("GET", base)["browserFlow"]
    executions = f"{base}/authentication/flows/{urllib.parse.quote(alias)}/executions"
    for step in server.call("GET", executions):
        if step.get("displayName", "").endswith("Browser - Conditional 2FA"):
            server.call("PUT", executions, {**step, "requirement": requirement}, expect=(200, 202, 204))


INTRANET = "https://intranet.acme.example/callback"

# Name: (check, resource, what to do, how to undo it); each is an ordinary act of a realm administrator.
DRIFTS = {
    "brute-force-off": (
        "keycloak.realm.brute_force", "@realm",
        lambda s, b: s.call("PUT", b, {"bruteForceProtected": False}),
        lambda s, b: s.call("PUT", b, {"bruteForceProtected": True})),
    "tls-off": (
        "keycloak.realm.tls_required", "@realm",
        lambda s, b: s.call("PUT", b, {"sslRequired": "none"}),
        lambda s, b: s.call("PUT", b, {"sslRequired": "external"})),
    "long-tokens": (
        "keycloak.realm.session_limits", "@realm",
        lambda s, b: s.call("PUT", b, {"accessTokenLifespan": 7200}),
        lambda s, b: s.call("PUT", b, {"accessTokenLifespan": 300})),
    "admin-events-off": (
        "keycloak.realm.events_kept", "@realm",
        lambda s, b: s.call("PUT", b, {"adminEventsEnabled": False}),
        lambda s, b: s.call("PUT", b, {"adminEventsEnabled": True})),
    "second-factor-step-off": (
        "keycloak.realm.second_factor_in_flow", "@realm",
        lambda s, b: second_factor_step(s, b, "DISABLED"),
        lambda s, b: second_factor_step(s, b, "CONDITIONAL")),
    "wildcard-return-address": (
        "keycloak.client.hardened", "intranet",
        lambda s, b: change_client(s, b, "intranet", redirectUris=["https://*"]),
        lambda s, b: change_client(s, b, "intranet", redirectUris=[INTRANET])),
    "administrator-without-factor": (
        "keycloak.admin.second_factor", "wilma",
        lambda s, b: add_administrator(s, b, "wilma"),
        lambda s, b: remove_user(s, b, "wilma")),
}


def play(master, options, undo):
    base = f"/admin/realms/{options.realm}"
    check, resource, act, back = DRIFTS[options.name]
    actor = master if options.actor == "admin" else Server(
        master.url, options.realm, options.actor, PASSWORD, totp_secret(options.actor))
    before = int(time.time() * 1000)
    (back if undo else act)(actor, base)
    return {
        "drift": options.name, "undone": undo, "check": check,
        "resource": options.realm if resource == "@realm" else resource,
        "actor": options.actor, "between": [before, int(time.time() * 1000)],
    }


def rotate_secret(master, options):
    base = f"/admin/realms/{options.realm}"
    uuid = client_uuid(master, base, READER)
    return {"reader_secret": master.call("POST", f"{base}/clients/{uuid}/client-secret")["value"]}


def partial_import(master, options):
    """As Realm settings > Action > Partial import does it, of a realm that has no such client yet."""
    base = f"/admin/realms/{options.realm}"
    master.call("DELETE", f"{base}/clients/{client_uuid(master, base, READER)}")
    with open(options.file, encoding="utf-8") as file:
        done = master.call("POST", f"{base}/partialImport", json.load(file))
    uuid = client_uuid(master, base, READER)
    secret = master.call("GET", f"{base}/clients/{uuid}/client-secret")["value"]
    return {"added": done["added"], "client_id": READER, "client_secret": secret,
            "roles": reader_roles(master, base, [], "POST")["reader_roles"]}


def lifespan(master, options):
    base = f"/admin/realms/{options.realm}"
    uuid = client_uuid(master, base, READER)
    settings = master.call("GET", f"{base}/clients/{uuid}")
    settings["attributes"]["access.token.lifespan"] = str(options.seconds) if options.seconds else ""
    master.call("PUT", f"{base}/clients/{uuid}", settings)
    return {"reader_token_seconds": options.seconds}


def main():
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", default=os.environ.get("KEYCLOAK_URL", "http://127.0.0.1:4790"))
    common.add_argument("--realm", default=os.environ.get("KEYCLOAK_REALM", "acme"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, help_text):
        return commands.add_parser(name, parents=[common], help=help_text)

    add = command("seed", "make the realm anew and print the ground truth")
    add.add_argument("--posture", choices=POSTURES, default="mixed")
    add.add_argument("--users", type=int, default=40, help="people in the realm; 300 or more overflow silent pages")
    add.add_argument("--reader-token-seconds", type=int, default=0)
    add.add_argument("--fixed-id", action="store_true", help="the realm's id is its name")
    for name in ("drift", "undo"):
        add = command(name, "play one change" if name == "drift" else "take it back")
        add.add_argument("name", choices=sorted(DRIFTS))
        add.add_argument("--as", dest="actor", default="dora", help="a realm administrator, or admin of the master realm")
    for name in ("revoke", "grant"):
        command(name, "roles of the reader's service account").add_argument("roles", nargs="+")
    for name in ("add-user", "delete-user"):
        command(name, "a person without rights").add_argument("username")
    command("import", "a document that makes the reader, in its place").add_argument("file")
    command("rotate-secret", "give the reader's client a new secret")
    command("lifespan", "seconds that a reader's token lives").add_argument("seconds", type=int)
    command("delete", "delete the realm")
    options = parser.parse_args()

    master, base = Server(options.url), f"/admin/realms/{options.realm}"
    run = {
        "seed": lambda: seed(master, options),
        "drift": lambda: play(master, options, undo=False),
        "undo": lambda: play(master, options, undo=True),
        "revoke": lambda: reader_roles(master, base, options.roles, "DELETE"),
        "grant": lambda: reader_roles(master, base, options.roles, "POST"),
        "add-user": lambda: master.call("POST", f"{base}/users", person(options.username, "password"))
        or {"added": options.username, "id": user_id(master, base, options.username)},
        "delete-user": lambda: remove_user(master, base, options.username) or {"deleted": options.username},
        "import": lambda: partial_import(master, options),
        "rotate-secret": lambda: rotate_secret(master, options),
        "lifespan": lambda: lifespan(master, options),
        "delete": lambda: master.call("DELETE", base) or {"deleted": options.realm},
    }
    try:
        json.dump(run[options.command](), sys.stdout, indent=1)
        print()
    except (Refused, urllib.error.URLError) as why:
        sys.exit(f"keycloak_seed: {why}")


if __name__ == "__main__":
    main()
