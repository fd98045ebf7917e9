#!/usr/bin/env python3
"""moto under a small wrapper of ours: AWS as far as its identity part goes, with what plain moto gets wrong mended.

Started by `tests/parties/moto`, in whose Python environment moto lives. One process is any number of accounts: a
caller's access key says which one, and no account sees another. moto answers; the wrapper stands before it and

- refuses what AWS would refuse and moto answers: an unknown access key, a wrong signature (checked with botocore's own
  signer), an action that no policy of the caller allows, a role that does not exist or whose trust does not name the
  caller (with its external id);
- gives the credential report its root row, its true columns and the moment it was made, and makes it at most every
  four hours, as AWS does; the root user its second factor, keys and last sign-in;
- gives ListUsers, ListGroups and GetAccountAuthorizationDetails their second pages, and the last of them only those of
  AWS's own policies that are in use (https://github.com/joshlarsen/aws-recon/issues/21);
- keeps the seeds of second factors out of ListVirtualMFADevices;
- keeps the policies of a role that a CloudFormation template makes as JSON;
- sets ages, which no AWS call can set;
- turns what moto cannot do (a page of HTML) into AWS-shaped errors;
- plays faults: denied, throttled, unavailable, cut, slow.

Seen wrong in plain moto 5.2.5: https://github.com/getmoto/moto, files moto/iam/models.py and moto/iam/responses.py.
How AWS behaves: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_getting-report.html,
https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html and the service descriptions inside botocore.

The control path, JSON in and out, needs no signature:

    GET    /party                        names and versions
    PUT    /party/ACCOUNT                makes the account anew; whoever signs with AKIA<account> may do everything there
    PUT    /party/ACCOUNT/ages           {"root": {"created", "password_last_used", "mfa", "keys": [KEY]},
                                          "users": {NAME: {"created", "password_last_used", "password_last_changed",
                                          "keys": {ID: KEY}}}, "roles": {NAME: {"created", "last_used"}}}
                                         KEY: {"created", "last_used", "active"}; times as 2026-01-31T10:00:00Z
    PUT    /party/ACCOUNT/faults         [{"action": "iam:Get*", "kind": KIND, "every": 5, "ms": 200}], replacing all;
                                         KIND: deny, throttle, unavailable, cut (the connection), slow (by "ms")
    DELETE /party/ACCOUNT/report         the credential report is forgotten, so that the next one is new
    GET    /party/ACCOUNT/calls          what was asked since last time, in order: action, key, status
"""

import argparse
import base64
import csv
import datetime
import fnmatch
import http.client
import io
import json
import os
import re
import signal
import socket
import sys
import threading
import time
import urllib.parse
import uuid
from importlib.metadata import version
from xml.sax.saxutils import escape

os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import werkzeug.serving
from moto.core.responses import ActionResult
from moto.core.serialize import never_return, url_encode
from moto.iam.exceptions import ReportNotPresentException, ValidationError
from moto.iam.models import AccessKeyLastUsed, ManagedPolicy, Role, iam_backends
from moto.iam.responses import IamResponse
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.sts.models import sts_backends

NAME = f"moto {version('moto')} under a wrapper of ours"
REPORT_HOURS = 4
SEEDER_SECRET = "seeder"
NAMESPACES = {"iam": "https://iam.amazonaws.com/doc/2010-05-08/", "sts": "https://sts.amazonaws.com/doc/2011-06-15/"}
REPORT_COLUMNS = (
    "user arn user_creation_time password_enabled password_last_used password_last_changed password_next_rotation "
    "mfa_active access_key_1_active access_key_1_last_rotated access_key_1_last_used_date access_key_1_last_used_region "
    "access_key_1_last_used_service access_key_2_active access_key_2_last_rotated access_key_2_last_used_date "
    "access_key_2_last_used_region access_key_2_last_used_service cert_1_active cert_1_last_rotated cert_2_active "
    "cert_2_last_rotated"
).split()


class Refused(Exception):
    """An answer in AWS's own shape that moto would not have given."""

    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Account:
    """What the wrapper knows of one account beside what moto keeps."""

    def __init__(self, number):
        self.number = number
        self.lock = threading.Lock()
        self.faults, self.calls, self.report = [], [], None
        self.root = {"created": now(), "password_last_used": None, "mfa": False, "keys": []}

    @property
    def iam(self):
        return iam_backends[self.number]["aws"]


accounts = {}


def now():
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def moment(text):
    return None if text is None else datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


# --- What moto gets wrong -----------------------------------------------------------------------------------------------

def page(response, items):
    """One page of `items` and the marker of the next, by the parameters that every list of IAM has."""
    size, marker = response._get_int_param("MaxItems", 100), response._get_param("Marker")
    if not 1 <= size <= 1000:
        raise ValidationError(f"Value '{size}' at 'maxItems' failed to satisfy constraint: must be between 1 and 1000")
    try:
        first = int(base64.urlsafe_b64decode(marker).decode().removeprefix("from ")) if marker else 0
    except ValueError:
        raise ValidationError("Invalid Marker.") from None
    items = list(items)
    rest = first + size
    following = base64.urlsafe_b64encode(f"from {rest}".encode()).decode() if rest < len(items) else None
    return items[first:rest], following


def paged(key, marker, **lists):
    """The answer of a paged list; without a next page it has no marker at all."""
    answer = {key: lists[key]} if key else dict(lists)
    return ActionResult(answer | {"IsTruncated": bool(marker)} | ({"Marker": marker} if marker else {}))


def list_users(self):
    users, marker = page(self, self.backend.list_users(self._get_param("PathPrefix"), None, None))
    return paged("Users", marker, Users=users)


def list_groups(self):
    groups, marker = page(self, self.backend.list_groups())
    return paged("Groups", marker, Groups=groups)


def get_account_authorization_details(self):
    wanted = self._get_param("Filter", []) or ["User", "Group", "Role", "LocalManagedPolicy", "AWSManagedPolicy"]
    backend, everything = self.backend, []
    policies = sorted(backend.managed_policies.values(), key=lambda policy: policy.arn)
    by_aws = {policy.arn for policy in backend.aws_managed_policies}
    for kind, key, items in [
        ("User", "UserDetailList", backend.users.values()),
        ("Group", "GroupDetailList", backend.groups.values()),
        ("Role", "RoleDetailList", backend.roles.values()),
        ("LocalManagedPolicy", "Policies", [policy for policy in policies if policy.arn not in by_aws]),
        # Those of AWS's own policies that are attached to somebody, not all 1,500.
        ("AWSManagedPolicy", "Policies", [one for one in policies if one.arn in by_aws and one.attachment_count]),
    ]:
        everything += [(key, item) for item in items if kind in wanted]
    # A page counts entities of all kinds together.
    these, marker = page(self, everything)
    lists = {key: [] for key in ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies")}
    for key, item in these:
        lists[key].append(item)
    return paged(None, marker, **lists)


def generate_credential_report(self):
    account = accounts[self.current_account]
    with account.lock:
        if account.report and now() - account.report[0] < datetime.timedelta(hours=REPORT_HOURS):
            return ActionResult({"State": "COMPLETE"})
        account.report = (now(), report(account))
    return ActionResult({"State": "STARTED", "Description": "No report exists. Starting a new report generation task"})


def get_credential_report(self):
    made = accounts[self.current_account].report
    if made is None:
        raise ReportNotPresentException("Credential report not present")
    return ActionResult({"Content": made[1], "ReportFormat": "text/csv", "GeneratedTime": made[0]})


def report(account):
    """The credential report, its first row the root user's."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(REPORT_COLUMNS)
    root = account.root
    keys = [(key["active"], moment(key["created"]), moment(key["last_used"]), "us-east-1", "iam") for key in root["keys"]]
    arn = f"arn:aws:iam::{account.number}:root"
    used = said(root["password_last_used"], "no_information")
    table.writerow(["<root_account>", arn, said(root["created"]), "not_supported", used, "not_supported",
                    "not_supported", yes(root["mfa"]), *key_columns(keys), "false", "N/A", "false", "N/A"])
    for user in account.iam.users.values():
        password = ["false", "N/A", "N/A", "N/A"]
        if user.password:
            changed = getattr(user, "password_last_changed", user.create_date)
            password = ["true", said(user.password_last_used, "no_information"), said(changed), "N/A"]
        keys = []
        for key in user.access_keys:
            last = key.last_used
            used = (last.timestamp, last.region, last.service) if last else (None, "N/A", "N/A")
            keys.append((key.status == "Active", key.create_date, *used))
        table.writerow([user.name, user.arn, said(user.create_date), *password, yes(user.mfa_devices),
                        *key_columns(keys), "false", "N/A", "false", "N/A"])
    return text.getvalue().rstrip("\n")


def key_columns(keys):
    columns = []
    for slot in range(2):
        if slot < len(keys):
            active, created, used, region, service = keys[slot]
            columns += [yes(active), said(created), said(used), region if used else "N/A", service if used else "N/A"]
        else:
            columns += ["false", "N/A", "N/A", "N/A", "N/A"]
    return columns


def said(when, otherwise="N/A"):
    return when.strftime("%Y-%m-%dT%H:%M:%S+00:00") if when else otherwise


def yes(value):
    return "true" if value else "false"


for mended in (list_users, list_groups, get_account_authorization_details, generate_credential_report,
               get_credential_report):
    setattr(IamResponse, mended.__name__, mended)
# Policies have a name and an id there as everywhere, and whom a role trusts is encoded like every other document.
ManagedPolicy.policy_name = property(lambda policy: policy.name)
ManagedPolicy.policy_id = property(lambda policy: policy.id)
IamResponse.RESPONSE_KEY_PATH_TO_TRANSFORMER[
    "GetAccountAuthorizationDetailsResponse.RoleDetailList.RoleDetail.AssumeRolePolicyDocument"] = url_encode
# A role that a CloudFormation template makes has its policies as objects; AWS keeps every policy as the JSON that it is.
put_policy = Role.put_policy
Role.put_policy = lambda role, name, document: put_policy(
    role, name, document if isinstance(document, str) else json.dumps(document))
# The seed of a second factor leaves AWS once, when the device is made.
for secret in ("Base32StringSeed", "QRCodePNG"):
    path = f"ListVirtualMFADevicesResponse.VirtualMFADevices.VirtualMFADevice.{secret}"
    IamResponse.RESPONSE_KEY_PATH_TO_TRANSFORMER[path] = never_return


# --- Who asks, and whether they may -----------------------------------------------------------------------------------

def caller(environ, body):
    """The account, the access key and the documents that say what it may do; `None` for the seeding script's key."""
    parts = re.match(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
                     r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]+)", environ.get("HTTP_AUTHORIZATION", ""))
    if not parts:
        raise Refused(403, "MissingAuthenticationToken", "Request is missing Authentication Token")
    key, _, region, service, headers, signature = parts.groups()
    account, secret, arn, documents = whose(key)
    check_signature(environ, body, (key, secret), (region, service), headers.split(";"), signature)
    return account, key, arn, documents


def whose(key):
    for account in accounts.values():
        if key == f"AKIA{account.number}":
            return account, SEEDER_SECRET, f"arn:aws:iam::{account.number}:root", None
        held = account.iam.access_keys.get(key)
        if held is None:
            continue
        if held.user_name and held.status == "Active":
            user = account.iam.users[held.user_name]
            groups = account.iam.get_groups_for_user(user.name)
            return account, held.secret_access_key, user.arn, [one for who in [user, *groups] for one in granted(who)]
        if held.role_arn:
            session = sts_backends[account.number]["aws"].get_assumed_role_from_access_key(key)
            return account, held.secret_access_key, session.arn, granted(account.iam.get_role_by_arn(held.role_arn))
    raise Refused(403, "InvalidClientTokenId", "The security token included in the request is invalid.")


def granted(principal):
    texts = [*principal.policies.values()]
    for policy in principal.managed_policies.values():
        texts += [each.document for each in policy.versions if each.version_id == policy.default_version_id]
    return [json.loads(text) for text in texts]


def check_signature(environ, body, key_and_secret, scope, names, signature):
    path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
    url = f"http://{environ['HTTP_HOST']}{path}" + (f"?{query}" if query else "")
    headers = {}
    for name in names:
        field = name.upper().replace("-", "_")
        headers[name] = environ.get(field if field in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{field}", "")
    request = botocore.awsrequest.AWSRequest(environ["REQUEST_METHOD"], url, headers=headers, data=body)
    request.context["timestamp"] = environ.get("HTTP_X_AMZ_DATE", "")
    signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(*key_and_secret), scope[1], scope[0])
    signer.headers_to_sign = lambda asked: signed_headers(names, headers)
    made = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    if made != signature:
        raise Refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature "
                      "you provided. Check your AWS Secret Access Key and signing method.")


def signed_headers(names, headers):
    signed = http.client.HTTPMessage()
    for name in names:
        signed[name] = headers[name]
    return signed


def statements(document):
    found = document.get("Statement", [])
    return found if isinstance(found, list) else [found]


def some(value):
    return value if isinstance(value, list) else [] if value is None else [value]


def may(arn, documents, action):
    """Refuses what no policy allows or one denies. Resources and conditions of policies are not looked at."""
    if documents is None or action == "sts:GetCallerIdentity":
        return
    names = {"Allow": False, "Deny": False}
    for statement in (one for document in documents for one in statements(document)):
        patterns = [pattern.lower() for pattern in some(statement.get("Action"))]
        if any(fnmatch.fnmatchcase(action.lower(), pattern) for pattern in patterns):
            names[statement["Effect"]] = True
    if names["Deny"] or not names["Allow"]:
        why = "with an explicit deny in" if names["Deny"] else "because"
        end = "an identity-based policy" if names["Deny"] else f"no identity-based policy allows the {action} action"
        raise denied(arn, action, f"{why} {end}")


def denied(arn, action, why):
    text = f"User: {arn} is not authorized to perform: {action} on resource: * {why}"
    return Refused(403, "AccessDenied", text)


def trusts(form, caller_arn, caller_account):
    """Refuses to let a role be assumed whose trust does not name the caller."""
    role_arn, external = form.get("RoleArn", ""), form.get("ExternalId")
    account = accounts.get(role_arn.split(":")[4] if role_arn.count(":") > 4 else "")
    roles = {role.arn: role for role in account.iam.roles.values()} if account else {}
    role = roles.get(role_arn)
    own = {caller_arn, caller_account, f"arn:aws:iam::{caller_account}:root", "*"}
    for statement in statements(json.loads(role.assume_role_policy_document)) if role else []:
        named = some((statement.get("Principal") or {}).get("AWS")) if isinstance(statement.get("Principal"), dict) else []
        wanted = some(statement.get("Condition", {}).get("StringEquals", {}).get("sts:ExternalId"))
        if statement["Effect"] == "Allow" and own & set(named) and (not wanted or external in wanted):
            return
    raise denied(caller_arn, "sts:AssumeRole", f"and {role_arn} does not let it")


# --- Faults and the control path ---------------------------------------------------------------------------------------

def fault(account, action, environ):
    """Plays the faults of the account that are meant for this action and this call of it."""
    with account.lock:
        due = []
        for one in account.faults:
            if fnmatch.fnmatchcase(action, one.get("action", "*")):
                one["seen"] = one.get("seen", 0) + 1
                if one["seen"] % one.get("every", 1) == 0:
                    due.append(one)
    for one in due:
        match one["kind"]:
            case "slow":
                time.sleep(one["ms"] / 1000)
            case "deny":
                raise denied("somebody", action, "with an explicit deny in a service control policy")
            case "throttle":
                raise Refused(400, "Throttling", "Rate exceeded")
            case "unavailable":
                raise Refused(503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server.")
            case "cut":
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)


def control(method, path, body):
    """An order to the wrapper itself; what it says in return."""
    if path == "/party":
        return {"name": NAME, "boto3": version("boto3"), "botocore": version("botocore")}
    number, _, what = path.removeprefix("/party/").partition("/")
    if method == "PUT" and not what:
        for backends in (iam_backends, sts_backends):
            backends.pop(number, None)
        accounts[number] = Account(number)
        accounts[number].iam  # moto reads AWS's own policies here, once an account
        return {"account": number, "access_key": f"AKIA{number}", "secret": SEEDER_SECRET}
    account = accounts[number]
    match method, what:
        case "PUT", "ages":
            set_ages(account, json.loads(body))
            return {}
        case "PUT", "faults":
            with account.lock:
                account.faults = json.loads(body)
            return {}
        case "DELETE", "report":
            account.report = None
            return {}
        case "GET", "calls":
            with account.lock:
                calls, account.calls = account.calls, []
            return calls
    raise KeyError(path)


def set_ages(account, ages):
    root = ages.get("root", {})
    account.root |= {key: moment(root[key]) for key in ("created", "password_last_used") if key in root}
    account.root |= {key: root[key] for key in ("mfa", "keys") if key in root}
    summary = account.iam.account_summary
    summary._account_mfa_enabled = int(account.root["mfa"])
    summary._account_access_keys_present = int(bool(account.root["keys"]))
    for name, user_ages in ages.get("users", {}).items():
        user = account.iam.users[name]
        user.create_date = moment(user_ages["created"]) if "created" in user_ages else user.create_date
        for field in ("password_last_used", "password_last_changed"):
            if field in user_ages:
                setattr(user, field, moment(user_ages[field]))
        for key in user.access_keys:
            of_key = user_ages.get("keys", {}).get(key.access_key_id, {})
            key.create_date = moment(of_key["created"]) if "created" in of_key else key.create_date
            if "last_used" in of_key:
                used = moment(of_key["last_used"])
                key.last_used = AccessKeyLastUsed(used, "s3", "eu-central-1") if used else None
    for name, role_ages in ages.get("roles", {}).items():
        role = account.iam.get_role(name)
        role.create_date = moment(role_ages["created"]) if "created" in role_ages else role.create_date
        role.last_used = moment(role_ages["last_used"]) if "last_used" in role_ages else role.last_used


# --- The front ---------------------------------------------------------------------------------------------------------

class Front:
    """The WSGI application: orders to the wrapper, or a call that is checked and handed to moto."""

    def __init__(self):
        self.moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ, start):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        path = environ["PATH_INFO"]
        if path == "/party" or path.startswith("/party/"):
            try:
                said = control(environ["REQUEST_METHOD"], path, body)
                return answer(start, 200, "application/json", json.dumps(said))
            except (KeyError, ValueError, AttributeError) as wrong:
                return answer(start, 400, "application/json", json.dumps({"error": f"{path}: {wrong!r}"}))
        form = dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace")))
        scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
        service = scope.group(1) if scope else "sts" if form.get("Action", "").startswith("AssumeRole") else "iam"
        action = f"{service}:{form.get('Action') or environ.get('HTTP_X_AMZ_TARGET', '?').split('.')[-1]}"
        account = key = None
        try:
            if action == "sts:AssumeRoleWithWebIdentity":
                status, headers, text = self.ask_moto(environ)
            else:
                account, key, arn, documents = caller(environ, body)
                if documents is not None:
                    fault(account, action, environ)
                may(arn, documents, action)
                if action == "sts:AssumeRole" and documents is not None:
                    trusts(form, arn, account.number)
                # The seeding script's keys exist in no account, so moto has to be told whose they are.
                environ["HTTP_X_MOTO_ACCOUNT_ID"] = account.number
                status, headers, text = self.ask_moto(environ)
            if "html" in dict((name.lower(), value) for name, value in headers).get("content-type", ""):
                raise Refused(501, "NotImplemented", f"{action} is not implemented here.")
        except Refused as refused:
            status, headers, text = f"{refused.status} Refused", *shaped(service, refused)
        if account and documents is not None:
            with account.lock:
                account.calls.append({"action": action, "key": key, "status": int(status.split()[0])})
        start(status, headers)
        return [text]

    def ask_moto(self, environ):
        got = {}

        def keep(status, headers, _=None):
            got["status"], got["headers"] = status, headers

        try:
            pieces = self.moto(environ, keep)
            text = b"".join(pieces)
        except Exception as wrong:  # noqa: BLE001 - whatever moto trips over, a client of AWS gets an answer in AWS's shape.
            print(f"moto: {wrong!r}", file=sys.stderr)
            raise Refused(501, "NotImplemented", "This is not implemented here.") from None
        return got["status"], got["headers"], text


def shaped(service, refused):
    who = "Sender" if refused.status < 500 else "Receiver"
    request_id = str(uuid.uuid4())
    text = (f'<ErrorResponse xmlns="{NAMESPACES.get(service, NAMESPACES["iam"])}"><Error><Type>{who}</Type>'
            f"<Code>{refused.code}</Code><Message>{escape(refused.message)}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>").encode()
    headers = [("Content-Type", "text/xml"), ("Content-Length", str(len(text))), ("x-amzn-RequestId", request_id)]
    return headers, text


def answer(start, status, kind, text):
    text = text.encode()
    start(f"{status} Said", [("Content-Type", kind), ("Content-Length", str(len(text)))])
    return [text]


class Handler(MotoRequestHandler):
    """Keeps connections open between calls, as AWS does, and says nothing of each."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    werkzeug.serving.run_simple("127.0.0.1", options.port, Front(), threaded=True, request_handler=Handler)


if __name__ == "__main__":
    main()
