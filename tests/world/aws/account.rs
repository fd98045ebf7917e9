//! One AWS account: its users, groups, roles and policies, as plain data.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::id;
use crate::organisation::Posture;
use crate::person::CROWD;

/// The AWS account in which people of the organisation have users.
pub const AWS_ACCOUNT: &str = "111122223333";
/// A second account, well kept and small, into which the reader gets by assuming its role.
pub const AWS_SECOND_ACCOUNT: &str = "444455556666";
/// The user and the role that the reader is, in both accounts.
pub const AWS_READER: &str = "evidenced-reader";
/// The id that whoever assumes the reader's role has to name.
pub const AWS_EXTERNAL_ID: &str = "acme-evidence";

pub(crate) const DAY: i64 = 86_400_000;
/// An account of somebody else: a vendor of the organisation.
pub(crate) const VENDOR_ACCOUNT: &str = "999988887777";
/// The built-in policy with full rights.
pub(crate) const FULL: &str = "AdministratorAccess";
pub(crate) const GITHUB_ISSUER: &str = "token.actions.githubusercontent.com";

/// Everything about the account at one moment.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) id: &'static str,
    pub(crate) seed: u64,
    posture: Posture,
    /// When the world began: ages count from here.
    founded: i64,
    /// How many people the crowd had then; each `step`-th is a user here.
    crowd: u64,
    step: u64,
    pub(crate) root: Root,
    pub(crate) password_policy: Option<PasswordPolicy>,
    /// Users with a name of their own, by name.
    pub(crate) named: BTreeMap<String, User>,
    /// Sorted by name, as the three lists below.
    pub(crate) groups: Vec<Group>,
    pub(crate) roles: Vec<Role>,
    pub(crate) policies: Vec<Policy>,
    /// CloudTrail's events, oldest first.
    pub(crate) events: Vec<Value>,
}

#[derive(Clone)]
pub(crate) struct Root {
    pub(crate) created: i64,
    pub(crate) mfa: bool,
    /// Its first access key, if it has one.
    pub(crate) key: Option<Key>,
    pub(crate) last_used: Option<i64>,
}

#[derive(Clone)]
pub(crate) struct PasswordPolicy {
    pub(crate) length: u32,
    /// How many old passwords are remembered; left out of answers when none are.
    pub(crate) remembered: Option<u32>,
}

#[derive(Clone)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) created: i64,
    pub(crate) console: Option<Console>,
    pub(crate) mfa: bool,
    /// Two at the most.
    pub(crate) keys: Vec<Key>,
    pub(crate) rights: Rights,
    /// Names of the groups whose member it is.
    pub(crate) groups: Vec<String>,
    /// Whose it is, as a tag says it.
    pub(crate) email: Option<String>,
}

#[derive(Clone)]
pub(crate) struct Console {
    pub(crate) changed: i64,
    pub(crate) last_used: Option<i64>,
}

#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) active: bool,
    pub(crate) rotated: i64,
    pub(crate) last_used: Option<i64>,
}

/// What a user, group or role is given.
#[derive(Clone, Default)]
pub(crate) struct Rights {
    /// Names of managed policies.
    pub(crate) attached: Vec<String>,
    /// Policies of its own, by name.
    pub(crate) inline: Vec<(String, Value)>,
}

#[derive(Clone)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) rights: Rights,
}

#[derive(Clone)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) trust: Value,
    pub(crate) rights: Rights,
}

#[derive(Clone)]
pub(crate) struct Policy {
    pub(crate) name: String,
    /// Made by AWS, the same in every account.
    pub(crate) built_in: bool,
    /// Oldest first; the last is in force.
    pub(crate) versions: Vec<Value>,
}

impl Account {
    /// The account in which people have users.
    pub(crate) fn main(seed: u64, crowd: u64, founded: i64, posture: Posture) -> Account {
        Account::of(AWS_ACCOUNT, seed, crowd, founded, posture)
    }

    /// The small one beside it, well kept whatever the posture.
    pub(crate) fn second(seed: u64, founded: i64) -> Account {
        Account::of(AWS_SECOND_ACCOUNT, seed, 0, founded, Posture::Good)
    }

    fn of(id: &'static str, seed: u64, crowd: u64, founded: i64, posture: Posture) -> Account {
        let named = cast(founded, posture).into_iter().map(|user| (user.name.clone(), user)).collect();
        Account {
            id,
            seed,
            posture,
            founded,
            crowd,
            // Where nothing may deviate, only those of the crowd are users whose account in the realm is enabled.
            step: if posture == Posture::Good { 17 } else { 4 },
            root: root(founded, posture),
            password_policy: match posture {
                Posture::Good => Some(PasswordPolicy { length: 14, remembered: Some(24) }),
                Posture::Mixed => Some(PasswordPolicy { length: 14, remembered: None }),
                Posture::Bad => None,
            },
            named,
            groups: groups(),
            roles: roles(id, posture),
            policies: policies(posture),
            events: Vec::new(),
        }
    }

    pub(crate) fn user_count(&self) -> u64 {
        self.named.len() as u64 + self.crowd.div_ceil(self.step)
    }

    /// The user at place `at`, from 0, in the order of their names.
    pub(crate) fn user_at(&self, at: u64) -> Option<User> {
        let head = self.named.range(..CROWD.to_owned()).count() as u64;
        let crowd = self.crowd.div_ceil(self.step);
        if at >= head && at < head + crowd {
            return Some(self.of_the_crowd((at - head) * self.step));
        }
        let at = if at < head { at } else { at - crowd };
        self.named.values().nth(usize::try_from(at).ok()?).cloned()
    }

    /// Every user, made one by one.
    pub(crate) fn users(&self) -> impl Iterator<Item = User> + '_ {
        (0..self.user_count()).filter_map(|at| self.user_at(at))
    }

    /// The `n`-th person of the crowd. Whoever leaves the realm keeps the user here.
    fn of_the_crowd(&self, n: u64) -> User {
        let ago = |days: u64| self.founded - i64::try_from(days).unwrap_or(0) * DAY;
        let name = format!("{CROWD}{n:05}");
        let mut user = User { groups: vec!["engineers".to_owned()], ..User::person(&name, ago(400 + n % 300)) };
        match self.posture {
            Posture::Good => user.keys.push(Key::new(ago(20 + n % 50), Some(ago(n % 30)))),
            Posture::Mixed => {
                user.console = Some(Console { changed: ago(100), last_used: Some(ago(n % 60)) });
                user.mfa = !n.is_multiple_of(40);
                if n.is_multiple_of(24) {
                    let age = if n.is_multiple_of(48) { 150 } else { 12 };
                    user.keys.push(Key::new(ago(age), Some(ago(n % 12))));
                }
            }
            Posture::Bad => {
                user.console = Some(Console { changed: ago(400), last_used: Some(ago(120)) });
                user.keys.push(Key::new(ago(400), None));
            }
        }
        user
    }

    /// How many users, groups and roles a managed policy is attached to.
    pub(crate) fn attachments(&self, policy: &str) -> usize {
        let given = |rights: &Rights| rights.attached.iter().any(|name| name == policy);
        self.named.values().filter(|user| given(&user.rights)).count()
            + self.groups.iter().filter(|group| given(&group.rights)).count()
            + self.roles.iter().filter(|role| given(&role.rights)).count()
    }

    pub(crate) fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// The name of something in the account, as every answer writes it.
    pub(crate) fn arn(&self, kind: &str, path: &str, name: &str) -> String {
        format!("arn:aws:iam::{}:{kind}{path}{name}", self.id)
    }

    pub(crate) fn user_arn(&self, name: &str) -> String {
        self.arn("user", "/", name)
    }

    pub(crate) fn policy_arn(&self, policy: &Policy) -> String {
        if policy.built_in {
            format!("arn:aws:iam::aws:policy/{}", policy.name)
        } else {
            self.arn("policy", "/", &policy.name)
        }
    }

    /// The id that never comes back: a prefix that tells the kind, and 17 letters and digits.
    pub(crate) fn unique_id(&self, prefix: &str, name: &str) -> String {
        const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let (high, low) =
            (id::hash(self.seed, &[self.id, prefix, name]), id::hash(self.seed, &[prefix, name, self.id]));
        let bits = u128::from(high) << 64 | u128::from(low);
        let letter = |at: u32| LETTERS.get((bits >> (5 * at) & 31) as usize).map_or('A', |byte| char::from(*byte));
        prefix.chars().chain((0..17).map(letter)).collect()
    }

    pub(crate) fn founded(&self) -> i64 {
        self.founded
    }
}

impl User {
    fn machine(name: &str, created: i64) -> User {
        User {
            name: name.to_owned(),
            created,
            console: None,
            mfa: false,
            keys: Vec::new(),
            rights: Rights::default(),
            groups: Vec::new(),
            email: None,
        }
    }

    fn person(name: &str, created: i64) -> User {
        User { email: Some(format!("{name}@acme.example")), ..User::machine(name, created) }
    }
}

impl Key {
    fn new(rotated: i64, last_used: Option<i64>) -> Key {
        Key { active: true, rotated, last_used }
    }
}

impl Rights {
    pub(crate) fn attached(names: &[&str]) -> Rights {
        Rights { attached: names.iter().map(|name| (*name).to_owned()).collect(), inline: Vec::new() }
    }
}

impl Policy {
    /// What it says now.
    pub(crate) fn in_force(&self) -> &Value {
        self.versions.last().unwrap_or(&Value::Null)
    }
}

/// A policy document with one statement, which is no list: AWS takes both.
pub(crate) fn document(effect: &str, action: &Value, resource: &Value) -> Value {
    json!({ "Version": "2012-10-17", "Statement": { "Effect": effect, "Action": action, "Resource": resource } })
}

fn root(founded: i64, posture: Posture) -> Root {
    let ago = |days: i64| founded - days * DAY;
    let (mfa, key, last_used) = match posture {
        Posture::Good => (true, None, Some(ago(400))),
        Posture::Mixed => (true, Some(Key::new(ago(700), Some(ago(650)))), Some(ago(3))),
        Posture::Bad => (false, Some(Key::new(ago(700), Some(ago(1)))), Some(ago(1))),
    };
    Root { created: ago(1500), mfa, key, last_used }
}

/// The users with a part to play: most are people of the realm, some are not and should be found.
fn cast(founded: i64, posture: Posture) -> Vec<User> {
    let ago = |days: i64| founded - days * DAY;
    let console = |last_used: Option<i64>| Some(Console { changed: ago(90), last_used });
    let key = |rotated: i64, last_used: Option<i64>| Key::new(ago(rotated), last_used.map(ago));
    let everything = || document("Allow", &json!("*"), &json!("*"));
    let person = |name: &str, days: i64| User::person(name, ago(days));
    let mut cast = vec![
        // Administrators: by a group, by a policy.
        User {
            console: console(Some(ago(1))),
            mfa: true,
            groups: vec!["administrators".to_owned(), "engineers".to_owned()],
            ..person("dora", 900)
        },
        User { console: console(Some(ago(2))), mfa: true, rights: Rights::attached(&[FULL]), ..person("erik", 880) },
        User { keys: vec![key(20, Some(1))], ..person("hana", 500) },
        User { keys: vec![key(30, Some(1))], ..person("ivan", 500) },
        User { keys: vec![key(10, Some(0))], ..person("lena", 400) },
        // Machines.
        User { keys: vec![key(30, Some(0))], ..User::machine("deploy-bot", ago(600)) },
        User {
            keys: vec![key(5, Some(0))],
            rights: Rights::attached(&["SecurityAudit"]),
            ..User::machine(AWS_READER, ago(40))
        },
    ];
    if posture == Posture::Good {
        return cast;
    }
    for user in &mut cast {
        match user.name.as_str() {
            "hana" => user.rights.inline.push(("everything".to_owned(), everything())),
            "ivan" => user.keys = vec![key(200, Some(1))],
            "lena" => user.keys.push(key(120, Some(100))),
            "deploy-bot" => user.rights.attached.push("legacy-everything".to_owned()),
            _ => {}
        }
    }
    cast.extend([
        User { keys: vec![Key { active: false, ..key(500, None) }], ..person("kurt", 700) },
        // Disabled in the realm; gone from it; never there.
        User { keys: vec![key(50, Some(10))], ..person("olaf", 300) },
        User { keys: vec![key(80, Some(30))], ..person("former-otto", 800) },
        User { keys: vec![key(15, Some(2))], ..person("contractor-petra", 60) },
        User { console: console(Some(ago(3))), ..person("finn", 400) },
        User { console: console(Some(ago(200))), mfa: true, ..person("gita", 400) },
        User { keys: vec![key(60, None)], ..person("jana", 61) },
        // New, and not signed in yet: no fault. The other never signed in, and is not new.
        User { console: console(None), mfa: true, ..person("mika", 5) },
        User { console: console(None), mfa: true, ..person("nora", 300) },
    ]);
    if posture == Posture::Bad {
        for user in cast.iter_mut().filter(|user| user.email.is_some()) {
            user.mfa = false;
            user.console = console(Some(ago(150)));
            user.keys = vec![key(400, None)];
            user.rights.attached = vec![FULL.to_owned()];
        }
    }
    cast
}

fn groups() -> Vec<Group> {
    let group = |name: &str, rights: Rights| Group { name: name.to_owned(), rights };
    vec![
        group("administrators", Rights::attached(&[FULL])),
        group("auditors", Rights::attached(&["ReadOnlyAccess", "SecurityAudit"])),
        group("engineers", Rights::attached(&["deny-outside-europe", "ReadOnlyAccess"])),
    ]
}

fn policies(posture: Posture) -> Vec<Policy> {
    let policy = |name: &str, versions: Vec<Value>| Policy { name: name.to_owned(), built_in: false, versions };
    let built_in = |name: &str, version: Value| Policy { built_in: true, ..policy(name, vec![version]) };
    let all = json!("*");
    let reading = json!(["iam:Get*", "iam:List*", "s3:GetBucket*"]);
    let bucket = json!(["arn:aws:s3:::acme-reports", "arn:aws:s3:::acme-reports/*"]);
    let mut policies = vec![
        built_in(FULL, document("Allow", &all, &all)),
        built_in("ReadOnlyAccess", document("Allow", &reading, &all)),
        built_in("SecurityAudit", document("Allow", &reading, &all)),
        // Everything is denied, and everything is allowed on one thing only: neither is full rights.
        policy("deny-outside-europe", vec![document("Deny", &all, &all)]),
        policy("deploy", vec![document("Allow", &json!(["ecs:UpdateService", "ecr:PutImage"]), &all)]),
        policy("reports", vec![document("Allow", &all, &bucket)]),
        // It gave full rights once: what is in force is the last version.
        policy("terraform", vec![document("Allow", &all, &all), document("Allow", &json!("ec2:*"), &all)]),
    ];
    if posture != Posture::Good {
        let narrow = json!({ "Sid": "logs", "Effect": "Allow", "Action": "logs:*", "Resource": "*" });
        let wide = json!({ "Sid": "rest", "Effect": "Allow", "Action": ["s3:*", "*"], "Resource": ["*"] });
        let both = json!({ "Version": "2012-10-17", "Statement": [narrow, wide] });
        policies.push(policy("legacy-everything", vec![both]));
        policies.push(policy("unused-everything", vec![document("Allow", &all, &all)]));
    }
    policies.sort_by(|a, b| a.name.cmp(&b.name));
    policies
}

fn roles(account: &str, posture: Posture) -> Vec<Role> {
    let own = format!("arn:aws:iam::{account}:root");
    let main = format!("arn:aws:iam::{AWS_ACCOUNT}:root");
    let vendor = format!("arn:aws:iam::{VENDOR_ACCOUNT}:root");
    let saml = format!("arn:aws:iam::{account}:saml-provider/keycloak");
    let oidc = format!("arn:aws:iam::{account}:oidc-provider/{GITHUB_ISSUER}");
    let trust = |principal: Value, action: &str, condition: Value| {
        let mut statement = json!({ "Effect": "Allow", "Principal": principal, "Action": action });
        if !condition.is_null() {
            statement["Condition"] = condition;
        }
        json!({ "Version": "2012-10-17", "Statement": [statement] })
    };
    let role = |name: &str, trust: Value, attached: &[&str]| Role {
        name: name.to_owned(),
        path: "/".to_owned(),
        trust,
        rights: Rights::attached(attached),
    };
    let service = |name: &str| trust(json!({ "Service": name }), "sts:AssumeRole", Value::Null);
    let by_mfa = json!({ "Bool": { "aws:MultiFactorAuthPresent": "true" } });
    let external = |id: &str| json!({ "StringEquals": { "sts:ExternalId": id } });
    let ci = |subject: Value| {
        let mut condition = json!({ "StringEquals": { format!("{GITHUB_ISSUER}:aud"): "sts.amazonaws.com" } });
        if !subject.is_null() {
            condition["StringLike"] = json!({ format!("{GITHUB_ISSUER}:sub"): subject });
        }
        trust(json!({ "Federated": oidc }), "sts:AssumeRoleWithWebIdentity", condition)
    };
    let saml_audience = json!({ "StringEquals": { "SAML:aud": "https://signin.aws.amazon.com/saml" } });
    let sub = |text: &str| json!(text);
    let mut roles = vec![
        role("admin-break-glass", trust(json!({ "AWS": own }), "sts:AssumeRole", by_mfa.clone()), &[FULL]),
        role("ci-deploy", ci(sub("repo:acme/payments:ref:refs/heads/main")), &["deploy"]),
        role("ci-preview", ci(json!(["repo:acme/web:environment:preview", "repo:acme/api:*"])), &["deploy"]),
        role(
            AWS_READER,
            trust(json!({ "AWS": main }), "sts:AssumeRole", external(AWS_EXTERNAL_ID)),
            &["SecurityAudit"],
        ),
        role("reports", service("ec2.amazonaws.com"), &["reports"]),
        role(
            "staff",
            trust(json!({ "Federated": saml }), "sts:AssumeRoleWithSAML", saml_audience),
            &["ReadOnlyAccess"],
        ),
        role(
            "vendor-monitoring",
            trust(json!({ "AWS": vendor }), "sts:AssumeRole", external("acme-7731")),
            &["SecurityAudit"],
        ),
        Role {
            path: "/aws-service-role/support.amazonaws.com/".to_owned(),
            ..role("AWSServiceRoleForSupport", service("support.amazonaws.com"), &[])
        },
    ];
    if posture == Posture::Good {
        // As many with full rights as the mixed account has: five in all, and one more is too many.
        roles.push(role("admin-on-call", trust(json!({ "AWS": own }), "sts:AssumeRole", by_mfa), &[FULL]));
        roles.push(role("terraform", ci(sub("repo:acme/infra:environment:production")), &["terraform", FULL]));
    } else {
        let of_the_organisation = json!({ "StringEquals": { "aws:PrincipalOrgID": "o-acme000001" } });
        roles.extend([
            role("ci-any-branch-of-ours", ci(sub("repo:acme/*")), &["deploy"]),
            role("ci-any-repository", ci(sub("repo:*")), &["deploy"]),
            role("ci-without-subject", ci(Value::Null), &["deploy"]),
            role("open", trust(json!("*"), "sts:AssumeRole", Value::Null), &["ReadOnlyAccess"]),
            role(
                "open-within",
                trust(json!({ "AWS": "*" }), "sts:AssumeRole", of_the_organisation),
                &["ReadOnlyAccess"],
            ),
            role("terraform", ci(sub("repo:acme/infra:environment:production")), &["terraform"]),
            role(
                "vendor-backup",
                trust(json!({ "AWS": [vendor, own] }), "sts:AssumeRole", Value::Null),
                &["ReadOnlyAccess"],
            ),
        ]);
    }
    roles.sort_by(|a, b| a.name.cmp(&b.name));
    roles
}
