#!/usr/bin/env python3
"""Fills an AWS account on moto with an organisation whose faults are known, and plays changes in it. Needs boto3: run it
with the Python of `tests/parties/moto python`. Prints one JSON object on standard output: for `seed` the ground truth,
for every other command what was done. Everything else goes to standard error.

    aws_seed.py seed --posture mixed --account 111122223333 [--users 500] [--grant permissions.json]
    aws_seed.py drift admin-attached         (AdministratorAccess to a user)
    aws_seed.py undo admin-attached
    aws_seed.py grant permissions.json       (the reader may do this and nothing else; also on standard input: -)
    aws_seed.py attach iam-policy.json       (the reader has this policy, as it stands, and no other)
    aws_seed.py stack cloudformation.yaml TrustedPrincipal=arn:… …       (as a stack; prints what it puts out)
    aws_seed.py fault '[{"action": "iam:*", "kind": "throttle", "every": 5}]'    ([] ends them; see moto_server.py)
    aws_seed.py forget-report                (the next credential report is a new one)
    aws_seed.py calls                        (what the reader asked since last time)

`--url` and `--account` come from MOTO_URL (default http://127.0.0.1:4795) and MOTO_ACCOUNT (default 111122223333).

Postures: `good`, where nothing deviates; `bad`, where every check deviates; `mixed`, where every check has both, as far
as it speaks of more than one resource. What a principal with full rights is: a user or role that is granted every action
on every resource by a policy of its own, attached, or of a group; roles that AWS's services own are left out.
"""

import argparse
import datetime
import json
import os
import sys
import urllib.request

import boto3
import botocore.config

ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"
GITHUB = "token.actions.githubusercontent.com"
VENDOR, COLLECTOR = "999988887777", "444455556666"
READER, EXTERNAL_ID = "evidenced-reader", "acme-evidence-7"
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
POSTURES = ["good", "mixed", "bad"]
# What the reader may do unless `--grant` says it.
GRANT = [
    "iam:GetAccountSummary", "iam:GetAccountPasswordPolicy", "iam:GenerateCredentialReport", "iam:GetCredentialReport",
    "iam:GetAccountAuthorizationDetails", "iam:ListVirtualMFADevices", "iam:ListSAMLProviders",
    "iam:ListOpenIDConnectProviders", "iam:ListServerCertificates", "iam:ListAccountAliases",
]


def ago(days):
    return (NOW - datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def precisely(moment):
    """A moment as the daemon writes it."""
    return moment.replace("Z", ".000Z")


def allow(actions, resources, **more):
    statement = {"Effect": "Allow", "Action": actions, "Resource": resources} | more
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def trust(principal, action="sts:AssumeRole", **more):
    statement = {"Effect": "Allow", "Principal": principal, "Action": action} | more
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


class Party:
    """The account as its owner sees it, and the wrapper's control path."""

    def __init__(self, url, account):
        self.url, self.account = url.rstrip("/"), account
        self.iam = self.client("iam")

    def client(self, service):
        return boto3.client(
            service, region_name="us-east-1", endpoint_url=self.url, aws_access_key_id=f"AKIA{self.account}",
            aws_secret_access_key="seeder", config=botocore.config.Config(retries={"max_attempts": 0}))

    def order(self, method, what, body=None):
        data = None if body is None else json.dumps(body).encode()
        path = f"{self.url}/party/{self.account}" + (f"/{what}" if what else "")
        with urllib.request.urlopen(urllib.request.Request(path, data=data, method=method), timeout=60) as answer:
            return json.load(answer)

    def arn(self, what):
        return f"arn:aws:iam::{self.account}:{what}"


class Truth:
    """Which resource breaks which check, as it is made."""

    def __init__(self):
        self.checks = {}

    def say(self, check, name, id, conforms, applies=True):
        """What is true of the resource that the daemon calls `id`: where AWS has no id, the ARN and when it was made."""
        word = "not_applicable" if not applies else "conforms" if conforms else "deviates"
        verdicts = self.checks.setdefault(f"aws.iam.{check}", {"conforms": [], "deviates": [], "not_applicable": []})
        verdicts[word].append({"name": name, "id": id})


class Organisation:
    """Makes one posture, step by step, and remembers what is true of it."""

    def __init__(self, party, posture, users):
        self.party, self.iam, self.posture, self.users = party, party.iam, posture, users
        self.truth, self.admins, self.console = Truth(), [], []
        self.ages = {"root": {}, "users": {}, "roles": {}}
        self.counts = {"aws.iam.user": 0, "aws.iam.user_row": 0, "aws.iam.role": 0, "aws.iam.access_key": 0}

    def is_bad(self, mixed):
        """Whether something is at fault: never in `good`, always in `bad`, and in `mixed` as told."""
        return self.posture == "bad" or self.posture == "mixed" and mixed

    # -- The account as a whole --

    def account(self):
        say, number = self.truth.say, self.party.account
        root = self.party.arn("root")
        no_mfa, keys, used = self.is_bad(False), self.is_bad(True), self.is_bad(True)
        old_key = {"active": True, "created": ago(700), "last_used": ago(650)}
        self.ages["root"] = {"created": ago(1500), "mfa": not no_mfa, "keys": [old_key] if keys else [],
                             "password_last_used": ago(3 if used else 400)}
        say("root.mfa_enabled", number, number, not no_mfa)
        say("root.no_access_keys", number, number, not keys)
        say("root.not_used", "<root_account>", root, not used)
        # In `bad` there is no password policy at all, which AWS answers with an error that is no failure.
        if self.posture != "bad":
            short = self.posture == "mixed"
            self.iam.update_account_password_policy(
                MinimumPasswordLength=8 if short else 16, PasswordReusePrevention=24, RequireNumbers=True,
                RequireSymbols=True, MaxPasswordAge=365, AllowUsersToChangePassword=True)
        say("password_policy", number, number, self.posture == "good")

    # -- Users --

    def user(self, name, created=300, console=None, mfa=False, keys=()):
        """`console`: days since the last sign-in, or "never"; `keys`: (days old, days since used or None, active)."""
        tags = [{"Key": "email", "Value": f"{name}@acme.example"}] if console else []
        path = "/people/" if console else "/machines/"
        made = self.iam.create_user(UserName=name, Path=path, Tags=tags)["User"]
        arn, say = made["Arn"], self.truth.say
        ages = {"created": ago(created), "keys": {}}
        if console is not None:
            self.iam.create_login_profile(UserName=name, Password="canary-password-Of-A-Person-1")
            ages["password_last_used"] = None if console == "never" else ago(console)
            ages["password_last_changed"] = ago(min(created, 20))
            self.console.append(name)
        if mfa:
            device = self.iam.create_virtual_mfa_device(VirtualMFADeviceName=name)["VirtualMFADevice"]
            self.iam.enable_mfa_device(UserName=name, SerialNumber=device["SerialNumber"],
                                       AuthenticationCode1="123456", AuthenticationCode2="654321")
        row = f"{arn} of {precisely(ago(created))}"
        say("user.console_mfa", name, row, mfa, applies=console is not None)
        idle = created if console == "never" else console
        say("user.console_dormant", name, row, console is not None and idle <= 90, applies=console is not None)
        for slot, (old, used, active) in enumerate(keys, 1):
            key = self.iam.create_access_key(UserName=name)["AccessKey"]["AccessKeyId"]
            if not active:
                self.iam.update_access_key(UserName=name, AccessKeyId=key, Status="Inactive")
            ages["keys"][key] = {"created": ago(old), "last_used": None if used is None else ago(used)}
            self.key(name, arn, slot, old, used, active)
        self.ages["users"][name] = ages
        self.count_user()
        return arn

    def count_user(self):
        self.counts["aws.iam.user"] += 1
        self.counts["aws.iam.user_row"] += 1

    def key(self, name, arn, slot, old, used, active):
        which = (f"{name} key {slot}", f"{arn} key of {precisely(ago(old))}")
        self.truth.say("access_key.rotated", *which, old <= 90, applies=active)
        self.truth.say("access_key.in_use", *which, (old if used is None else used) <= 45, applies=active)
        self.counts["aws.iam.access_key"] += 1

    def people(self):
        # Two people for a day when federation is down; everybody else signs in elsewhere, unless it is bad.
        self.user("glass-1", console=60, mfa=not self.is_bad(False))
        self.user("glass-2", created=40, console="never", mfa=not self.is_bad(True))
        if self.posture != "good":
            self.user("paula", console=12, mfa=True)
            self.user("quentin", console=90.5, mfa=True)
            self.user("ruth", created=200, console="never", mfa=False)
            self.user("sam", console=200, mfa=False, keys=[(500, 400, True)])
        self.truth.say("user.humans_federated", self.party.account, self.party.account, len(self.console) <= 2)
        self.user("backup", keys=[(89.5, 44.5, True)])
        self.user("deploy", keys=[(10, None, True), (800, 700, False)])
        self.user("no-keys")
        if self.posture != "good":
            self.user("legacy", keys=[(90.5, 1, True)])
            self.user("two-keys", keys=[(400, 45.5, True), (45.5, None, True)])
            self.user("odd.name+tag=1@acme_x-y", keys=[(20, 1, True)])
        for i in range(self.counts["aws.iam.user"] + 1, self.users):
            late = self.is_bad(i % 5 == 0)
            self.user(f"machine-{i:04}", created=500, keys=[(200 if late else 30, 2, True)] if i % 2 else [])

    # -- Roles, policies, groups: who has full rights, and who may become whom --

    def policy(self, name, document, full, attached_to=None, versions=()):
        made = self.iam.create_policy(PolicyName=name, PolicyDocument=document, Path="/acme/")["Policy"]
        arn = made["Arn"]
        for newer in versions:
            self.iam.create_policy_version(PolicyArn=arn, PolicyDocument=newer, SetAsDefault=True)
        if attached_to:
            self.iam.attach_role_policy(RoleName=attached_to, PolicyArn=arn)
        self.truth.say("policy.no_full_admin", name, made["PolicyId"], not full, applies=attached_to is not None)
        return arn

    def role(self, name, document, public=False, vendor=None, scoped=None, path="/"):
        """`vendor`: whether a role that another account may take asks for an external id; `scoped`: whether one that
        pipelines may take names whose."""
        made = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document, Path=path)["Role"]
        self.say_role(name, made["RoleId"], public, vendor, scoped)
        self.ages["roles"][name] = {"created": ago(250), "last_used": ago(2)}
        return made["Arn"]

    def say_role(self, name, id, public=False, vendor=None, scoped=None):
        self.truth.say("role.trust_not_public", name, id, not public)
        self.truth.say("role.vendor_external_id", name, id, vendor is True, applies=vendor is not None)
        self.truth.say("role.ci_trust_scoped", name, id, scoped is True, applies=scoped is not None)
        self.counts["aws.iam.role"] += 1

    def rights(self):
        own = {"AWS": self.party.arn("root")}
        self.role("support", trust(own))
        self.role("ec2", trust({"Service": "ec2.amazonaws.com"}))
        for i in range(4):
            arn = self.role(f"admin-{i}", trust({"Federated": self.party.arn("saml-provider/acme")},
                                                "sts:AssumeRoleWithSAML", Condition={"StringEquals": {
                                                    "SAML:aud": "https://signin.aws.amazon.com/saml"}}))
            self.iam.attach_role_policy(RoleName=f"admin-{i}", PolicyArn=ADMIN)
            self.admins.append(arn)
        self.iam.put_user_policy(UserName="glass-1", PolicyName="everything", PolicyDocument=allow("*", "*"))
        self.admins.append(self.party.arn("user/people/glass-1"))
        linked = self.iam.create_service_linked_role(AWSServiceName="support.amazonaws.com")["Role"]
        self.say_role(linked["RoleName"], linked["RoleId"])
        self.iam.create_group(GroupName="operators")
        self.iam.attach_group_policy(GroupName="operators", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
        self.iam.add_user_to_group(GroupName="operators", UserName="deploy")
        self.iam.create_group(GroupName="nobody")
        if self.is_bad(False):
            self.iam.attach_group_policy(GroupName="operators", PolicyArn=ADMIN)
            self.admins.append(self.party.arn("user/machines/deploy"))
        self.policies()
        self.truth.say("admin_principals.limited", self.party.account, self.party.account, len(self.admins) <= 5)

    def policies(self):
        odd = "arn:aws:s3:::acme reports/100% + Übersicht/*"
        self.policy("reports", allow(["s3:Get*", "s3:List*"], [odd]), False, "support")
        self.policy("kept-for-later", allow("*", "*"), True)
        self.policy("was-too-much", allow("*", "*"), False, "support", versions=[allow("s3:*", "*")])
        fence = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
        self.policy("fence", json.dumps(fence), False, "ec2")
        if self.posture == "good":
            return
        for name, document in [("do-all", allow(["s3:*", "*"], ["*"])), ("do-all-late", allow("*:*", "*"))]:
            role = f"with-{name}"
            self.admins.append(self.role(role, trust({"AWS": self.party.arn("root")})))
            versions = [document] if name.endswith("late") else []
            self.policy(name, allow("s3:*", "*") if versions else document, True, role, versions)

    def trusts(self):
        provider = self.iam.create_open_id_connect_provider(
            Url=f"https://{GITHUB}", ClientIDList=["sts.amazonaws.com"], ThumbprintList=["a" * 40])
        github = {"Federated": provider["OpenIDConnectProviderArn"]}
        web, aud = "sts:AssumeRoleWithWebIdentity", {f"{GITHUB}:aud": "sts.amazonaws.com"}
        sub = f"{GITHUB}:sub"
        asked = {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}}
        self.iam.create_saml_provider(Name="acme", SAMLMetadataDocument="<EntityDescriptor/>" + " " * 1000)
        self.role("ci-exact", trust(github, web, Condition={
            "StringEquals": aud | {sub: "repo:acme/app:ref:refs/heads/main"}}), scoped=True)
        self.role("ci-any-branch", trust(github, web, Condition={
            "StringEquals": aud, "StringLike": {sub: ["repo:acme/app:*", "repo:acme/web:environment:*"]}}), scoped=True)
        self.role("vendor-asked", trust({"AWS": f"arn:aws:iam::{VENDOR}:root"}, Condition=asked), vendor=True)
        self.role("vendor-by-number", trust({"AWS": VENDOR}, Condition=asked), vendor=True)
        self.role("org-only", trust("*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-acme123456"}}))
        self.role(READER, trust({"AWS": f"arn:aws:iam::{COLLECTOR}:root"}, Condition=asked), vendor=True)
        if self.posture == "good":
            return
        self.role("vendor-trusting", trust({"AWS": f"arn:aws:iam::{VENDOR}:role/scanner"}), vendor=False)
        self.role("vendor-half-asked", trust({"AWS": VENDOR}, Condition={
            "StringEqualsIfExists": {"sts:ExternalId": EXTERNAL_ID}}), vendor=False)
        self.role("ci-any-repository", trust(github, web, Condition={
            "StringEquals": aud, "StringLike": {sub: "repo:acme/*:ref:refs/heads/main"}}), scoped=False)
        self.role("ci-anybody", trust(github, web, Condition={"StringEquals": aud}), scoped=False)
        self.role("open", trust("*"), public=True)
        self.role("open-to-aws", trust({"AWS": "*"}), public=True)

    def reader(self, grant):
        """The daemon's own: a user with a key, for tests that sign in directly, and the role above for the others."""
        arn = self.iam.create_user(UserName=READER, Path="/machines/")["User"]["Arn"]
        key = self.iam.create_access_key(UserName=READER)["AccessKey"]
        may(self.iam, grant)
        self.ages["users"][READER] = {"created": ago(1), "keys": {key["AccessKeyId"]: {"created": ago(1)}}}
        for check in ("user.console_mfa", "user.console_dormant"):
            self.truth.say(check, READER, f"{arn} of {precisely(ago(1))}", False, applies=False)
        self.key(READER, arn, 1, 1, None, True)
        self.count_user()
        return {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"], "arn": arn,
                "role_arn": self.party.arn(f"role/{READER}"), "external_id": EXTERNAL_ID}


def may(iam, actions):
    """Lets the reader do these actions and nothing else."""
    document = allow(sorted(actions), "*")
    iam.put_user_policy(UserName=READER, PolicyName="read", PolicyDocument=document)
    iam.put_role_policy(RoleName=READER, PolicyName="read", PolicyDocument=document)


def actions_of(path):
    """The actions of an IAM policy document: of a file, or of standard input."""
    with sys.stdin if path == "-" else open(path, encoding="utf-8") as file:
        document = json.load(file)
    statements = document["Statement"]
    found = [one["Action"] for one in (statements if isinstance(statements, list) else [statements])]
    return [action for one in found for action in (one if isinstance(one, list) else [one])]


def attach(iam, path):
    """The reader gets a policy document as it stands; AWS, and moto like it, refuses one that is no policy."""
    with open(path, encoding="utf-8") as file:
        iam.put_user_policy(UserName=READER, PolicyName="read", PolicyDocument=file.read())
    return {"policies": iam.list_user_policies(UserName=READER)["PolicyNames"]}


def stack(party, path, parameters):
    """Makes what a CloudFormation template says; gives its outputs, and the policies of the roles in it."""
    cloudformation = party.client("cloudformation")
    values = [dict(zip(("ParameterKey", "ParameterValue"), one.split("=", 1))) for one in parameters]
    with open(path, encoding="utf-8") as file:
        cloudformation.create_stack(
            StackName="reader", TemplateBody=file.read(), Parameters=values, Capabilities=["CAPABILITY_NAMED_IAM"])
    made = cloudformation.describe_stacks(StackName="reader")["Stacks"][0]
    said = {one["OutputKey"]: one["OutputValue"] for one in made.get("Outputs", [])}
    policies = {}
    for one in cloudformation.list_stack_resources(StackName="reader")["StackResourceSummaries"]:
        if one["ResourceType"] == "AWS::IAM::Role":
            role = one["PhysicalResourceId"]
            for name in party.iam.list_role_policies(RoleName=role)["PolicyNames"]:
                policies[name] = party.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    return {"status": made["StackStatus"], "outputs": said, "policies": policies}


def seed(party, options):
    party.order("PUT", "")
    made = Organisation(party, options.posture, options.users)
    made.account()
    made.people()
    made.rights()
    made.trusts()
    reader = made.reader(actions_of(options.grant) if options.grant else GRANT)
    party.order("PUT", "ages", made.ages)
    return {"account": party.account, "posture": options.posture, "checks": made.truth.checks, "reader": reader,
            "counts": made.counts, "admins": sorted(made.admins),
            "canaries": ["canary-password-Of-A-Person-1", reader["secret_access_key"]]}


def drift(party, options, undo=False):
    """AdministratorAccess to a user who needs it not: one principal with full rights more than are agreed on."""
    assert options.name == "admin-attached", f"there is no drift {options.name}; there is admin-attached"
    change = party.iam.detach_user_policy if undo else party.iam.attach_user_policy
    before = int(datetime.datetime.now().timestamp() * 1000)
    change(UserName="no-keys", PolicyArn=ADMIN)
    return {"check": "aws.iam.admin_principals.limited", "resource": party.account,
            "principal": party.arn("user/machines/no-keys"),
            "between": [before, int(datetime.datetime.now().timestamp() * 1000)]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=os.environ.get("MOTO_URL", "http://127.0.0.1:4795"))
    parser.add_argument("--account", default=os.environ.get("MOTO_ACCOUNT", "111122223333"))
    commands = parser.add_subparsers(dest="command", required=True)
    seeding = commands.add_parser("seed")
    seeding.add_argument("--posture", choices=POSTURES, default="mixed")
    seeding.add_argument("--users", type=int, default=0, help="as many users in all, or as many as the posture needs")
    seeding.add_argument("--grant", help="an IAM policy document whose actions the reader may do, and nothing else")
    for name in ("drift", "undo"):
        commands.add_parser(name).add_argument("name")
    commands.add_parser("grant").add_argument("file")
    commands.add_parser("attach").add_argument("file")
    stacking = commands.add_parser("stack")
    stacking.add_argument("file")
    stacking.add_argument("parameters", nargs="*", metavar="NAME=VALUE")
    commands.add_parser("fault").add_argument("faults", type=json.loads)
    commands.add_parser("forget-report")
    commands.add_parser("calls")
    options = parser.parse_args()
    party = Party(options.url, options.account)
    match options.command:
        case "seed":
            said = seed(party, options)
        case "drift" | "undo":
            said = drift(party, options, options.command == "undo")
        case "grant":
            actions = actions_of(options.file)
            may(party.iam, actions)
            said = {"granted": actions}
        case "attach":
            said = attach(party.iam, options.file)
        case "stack":
            said = stack(party, options.file, options.parameters)
        case "fault":
            said = party.order("PUT", "faults", options.faults)
        case "forget-report":
            said = party.order("DELETE", "report")
        case "calls":
            said = party.order("GET", "calls")
    print(json.dumps(said, indent=1))


if __name__ == "__main__":
    main()
