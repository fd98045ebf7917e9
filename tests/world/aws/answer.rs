//! What IAM answers, in the shapes of its service model: every list is made item by item.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::account::{Account, GITHUB_ISSUER, Group, Key, Policy, Rights, Role, Root, User};
use super::xml::{Xml, expiry, report_moment};
use crate::reply::Pieces;

/// The namespace of every IAM answer.
pub(crate) const IAM: &str = "https://iam.amazonaws.com/doc/2010-05-08/";

/// Which part of a list an answer holds.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    pub(crate) from: u64,
    pub(crate) items: u64,
}

/// Which kinds of things `GetAccountAuthorizationDetails` was asked for.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) users: bool,
    pub(crate) groups: bool,
    pub(crate) roles: bool,
    pub(crate) own_policies: bool,
    pub(crate) built_in_policies: bool,
}

/// The pieces of one answer: what `inside` makes, between the elements that every answer has.
pub(crate) fn result(action: &str, namespace: &str, request: &str, inside: Pieces) -> Pieces {
    let (response, result) = (format!("{action}Response"), format!("{action}Result"));
    let mut head = Xml::new();
    head.open_in(&response, namespace);
    head.open(&result);
    let tail = Bytes::from(format!("</{result}>"));
    let metadata = Xml::piece(|xml| xml.element("ResponseMetadata", |xml| xml.text("RequestId", request)));
    let end = Bytes::from(format!("</{response}>"));
    Box::new(std::iter::once(head.bytes()).chain(inside).chain([tail, metadata, end]))
}

/// One piece, made at once.
pub(crate) fn one(write: impl FnOnce(&mut Xml)) -> Pieces {
    Box::new(std::iter::once(Xml::piece(write)))
}

pub(crate) fn account_summary(account: &Account) -> Pieces {
    let providers = 2;
    let own = account.policies.iter().filter(|policy| !policy.built_in).count() as u64;
    let versions: u64 = account.policies.iter().filter(|p| !p.built_in).map(|p| p.versions.len() as u64).sum();
    let devices = account.users().filter(|user| user.mfa).count() as u64 + u64::from(account.root.mfa);
    let rows = [
        ("AccessKeysPerUserQuota", 2),
        ("AccountAccessKeysPresent", u64::from(account.root.key.is_some())),
        ("AccountMFAEnabled", u64::from(account.root.mfa)),
        ("AccountPasswordPresent", 1),
        ("AccountSigningCertificatesPresent", 0),
        ("AssumeRolePolicySizeQuota", 2048),
        ("AttachedPoliciesPerGroupQuota", 10),
        ("AttachedPoliciesPerRoleQuota", 10),
        ("AttachedPoliciesPerUserQuota", 10),
        ("GlobalEndpointTokenVersion", 1),
        ("GroupPolicySizeQuota", 5120),
        ("Groups", account.groups.len() as u64),
        ("GroupsPerUserQuota", 10),
        ("GroupsQuota", 300),
        ("InstanceProfiles", 0),
        ("InstanceProfilesQuota", 1000),
        ("MFADevices", devices),
        ("MFADevicesInUse", devices),
        ("Policies", own),
        ("PoliciesQuota", 1500),
        ("PolicySizeQuota", 6144),
        ("PolicyVersionsInUse", versions),
        ("PolicyVersionsInUseQuota", 10_000),
        ("Providers", providers),
        ("RolePolicySizeQuota", 10_240),
        ("Roles", account.roles.len() as u64),
        ("RolesQuota", 1000),
        ("ServerCertificates", 1),
        ("ServerCertificatesQuota", 20),
        ("SigningCertificatesPerUserQuota", 2),
        ("UserPolicySizeQuota", 2048),
        ("Users", account.user_count()),
        // The real quota is 5000; a world may have more people than that.
        ("UsersQuota", account.user_count().max(5000)),
        ("VersionsPerPolicyQuota", 5),
    ];
    one(|xml| {
        xml.element("SummaryMap", |xml| {
            for (key, value) in rows {
                xml.element("entry", |xml| {
                    xml.text("key", key);
                    xml.text("value", value.to_string());
                });
            }
        });
    })
}

pub(crate) fn password_policy(policy: &super::account::PasswordPolicy) -> Pieces {
    one(|xml| {
        xml.element("PasswordPolicy", |xml| {
            xml.text("MinimumPasswordLength", policy.length.to_string());
            for rule in ["RequireSymbols", "RequireNumbers", "RequireUppercaseCharacters", "RequireLowercaseCharacters"]
            {
                xml.text(rule, "true");
            }
            xml.text("AllowUsersToChangePassword", "true");
            xml.text("ExpirePasswords", "false");
            if let Some(remembered) = policy.remembered {
                xml.text("PasswordReusePrevention", remembered.to_string());
            }
        });
    })
}

/// The report of an account as it was when the report was made.
pub(crate) fn credential_report(account: &Arc<Account>, made: i64) -> Pieces {
    let head = "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,\
                password_next_rotation,mfa_active,access_key_1_active,access_key_1_last_rotated,\
                access_key_1_last_used_date,access_key_1_last_used_region,access_key_1_last_used_service,\
                access_key_2_active,access_key_2_last_rotated,access_key_2_last_used_date,\
                access_key_2_last_used_region,access_key_2_last_used_service,cert_1_active,cert_1_last_rotated,\
                cert_2_active,cert_2_last_rotated";
    let (of, count) = (Arc::clone(account), account.user_count());
    let root = root_row(&account.root, account.id);
    let users = (0..count).filter_map(move |at| of.user_at(at).map(|user| row(&of, &user)));
    let rows = [head.to_owned(), root].into_iter().chain(users).enumerate();
    let lines = rows.map(|(at, row)| if at == 0 { row } else { format!("\n{row}") });
    let tail = Xml::piece(|xml| {
        xml.text("ReportFormat", "text/csv");
        xml.moment("GeneratedTime", made);
    });
    let (open, close) = (Bytes::from_static(b"<Content>"), Bytes::from_static(b"</Content>"));
    Box::new(std::iter::once(open).chain(Base64::of(lines)).chain([close, tail]))
}

/// Text in base64, a few lines at a time: pieces end where three bytes do.
struct Base64<I> {
    lines: I,
    rest: Vec<u8>,
    ended: bool,
}

impl<I: Iterator<Item = String>> Base64<I> {
    fn of(lines: I) -> Base64<I> {
        Base64 { lines, rest: Vec::new(), ended: false }
    }
}

impl<I: Iterator<Item = String>> Iterator for Base64<I> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        while self.rest.len() < 3000 {
            match self.lines.next() {
                Some(line) => self.rest.extend_from_slice(line.as_bytes()),
                None => {
                    self.ended = true;
                    return Some(Bytes::from(STANDARD.encode(&self.rest)));
                }
            }
        }
        let rest = self.rest.split_off(self.rest.len() - self.rest.len() % 3);
        let whole = std::mem::replace(&mut self.rest, rest);
        Some(Bytes::from(STANDARD.encode(whole)))
    }
}

fn root_row(root: &Root, account: &str) -> String {
    let last_used = root.last_used.map_or("no_information".to_owned(), report_moment);
    format!(
        "<root_account>,arn:aws:iam::{account}:root,{},not_supported,{last_used},not_supported,not_supported,{},{},{},{}",
        report_moment(root.created),
        root.mfa,
        key_columns(root.key.as_ref()),
        key_columns(None),
        NO_CERTIFICATES,
    )
}

fn row(account: &Account, user: &User) -> String {
    let console = match &user.console {
        Some(console) => {
            let last_used = console.last_used.map_or("no_information".to_owned(), report_moment);
            format!("true,{last_used},{},N/A", report_moment(console.changed))
        }
        None => "false,N/A,N/A,N/A".to_owned(),
    };
    format!(
        "{},{},{},{console},{},{},{},{}",
        user.name,
        account.user_arn(&user.name),
        report_moment(user.created),
        user.mfa,
        key_columns(user.keys.first()),
        key_columns(user.keys.get(1)),
        NO_CERTIFICATES,
    )
}

const NO_CERTIFICATES: &str = "false,N/A,false,N/A";

fn key_columns(key: Option<&Key>) -> String {
    let Some(key) = key else { return "false,N/A,N/A,N/A,N/A".to_owned() };
    let used = key.last_used.map_or("N/A,N/A,N/A".to_owned(), |at| format!("{},eu-central-1,s3", report_moment(at)));
    format!("{},{},{used}", key.active, report_moment(key.rotated))
}

/// Users, groups, roles and policies, in this order, as many as the page holds; and where the next one begins.
pub(crate) fn authorization_details(account: &Arc<Account>, wanted: Wanted, page: Page) -> Pieces {
    let policy_places: Vec<usize> = (0..account.policies.len())
        .filter(|at| {
            account.policies.get(*at).is_some_and(|policy| {
                if policy.built_in {
                    // Of the policies that AWS made, those in use.
                    wanted.built_in_policies && account.attachments(&policy.name) > 0
                } else {
                    wanted.own_policies
                }
            })
        })
        .collect();
    let count = |wanted: bool, count: u64| if wanted { count } else { 0 };
    let counts = [
        count(wanted.users, account.user_count()),
        count(wanted.groups, account.groups.len() as u64),
        count(wanted.roles, account.roles.len() as u64),
        policy_places.len() as u64,
    ];
    let mut first = page.from;
    let mut room = page.items;
    let [users, groups, roles, policies] = counts.map(|count| {
        let begin = first.min(count);
        let end = (begin + room).min(count);
        first -= begin;
        room -= end - begin;
        begin..end
    });
    let (of_users, of_groups, of_roles, of_policies) =
        (Arc::clone(account), Arc::clone(account), Arc::clone(account), Arc::clone(account));
    let users = users
        .filter_map(move |at| of_users.user_at(at).map(|item| Xml::piece(|xml| user_detail(xml, &of_users, &item))));
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let groups = groups.filter_map(move |at| {
        of_groups.groups.get(place(at)).map(|item| Xml::piece(|xml| group_detail(xml, &of_groups, item)))
    });
    let roles = roles.filter_map(move |at| {
        of_roles.roles.get(place(at)).map(|item| Xml::piece(|xml| role_detail(xml, &of_roles, item)))
    });
    let policies = policies.filter_map(move |at| {
        let item = of_policies.policies.get(*policy_places.get(place(at))?)?;
        Some(Xml::piece(|xml| policy_detail(xml, &of_policies, item)))
    });
    let lists = listed("UserDetailList", users)
        .chain(listed("GroupDetailList", groups))
        .chain(listed("RoleDetailList", roles))
        .chain(listed("Policies", policies));
    Box::new(lists.chain(std::iter::once(paged(page, counts.iter().sum()))))
}

/// Devices that were assigned, root's first; the real service knows unassigned ones as well, and this account has none.
pub(crate) fn virtual_mfa_devices(account: &Arc<Account>, assigned: bool, page: Page) -> Pieces {
    let root = (account.root.mfa && assigned).then(|| {
        Xml::piece(|xml| {
            xml.text("SerialNumber", account.arn("mfa", "/", "root-account-mfa-device"));
            xml.element("User", |xml| {
                // The root user has neither a name nor a path.
                xml.text("UserId", account.id);
                xml.text("Arn", format!("arn:aws:iam::{}:root", account.id));
                xml.moment("CreateDate", account.root.created);
            });
            xml.moment("EnableDate", account.root.created);
        })
    });
    let of = Arc::clone(account);
    let users = (0..if assigned { account.user_count() } else { 0 }).filter_map(move |at| {
        let user = of.user_at(at).filter(|user| user.mfa)?;
        Some(Xml::piece(|xml| {
            xml.text("SerialNumber", of.arn("mfa", "/", &user.name));
            xml.element("User", |xml| {
                xml.text("Path", "/");
                xml.text("UserName", &user.name);
                xml.text("UserId", of.unique_id("AIDA", &user.name));
                xml.text("Arn", of.user_arn(&user.name));
                xml.moment("CreateDate", user.created);
                if let Some(used) = user.console.as_ref().and_then(|console| console.last_used) {
                    xml.moment("PasswordLastUsed", used);
                }
            });
            xml.moment("EnableDate", user.created);
        }))
    });
    let total =
        if assigned { account.users().filter(|user| user.mfa).count() as u64 + u64::from(account.root.mfa) } else { 0 };
    let skip = usize::try_from(page.from).unwrap_or(usize::MAX);
    let take = usize::try_from(page.items).unwrap_or(usize::MAX);
    let shown = root.into_iter().chain(users).skip(skip).take(take);
    Box::new(listed("VirtualMFADevices", shown).chain(std::iter::once(paged(page, total))))
}

pub(crate) fn saml_providers(account: &Account) -> Pieces {
    one(|xml| {
        xml.list("SAMLProviderList", ["keycloak"], |xml, name| {
            xml.text("Arn", account.arn("saml-provider", "/", name));
            xml.moment("ValidUntil", expiry(account.founded()));
            xml.moment("CreateDate", account.root.created);
        });
    })
}

pub(crate) fn oidc_providers(account: &Account) -> Pieces {
    one(|xml| {
        xml.list("OpenIDConnectProviderList", [GITHUB_ISSUER], |xml, name| {
            xml.text("Arn", account.arn("oidc-provider", "/", name));
        });
    })
}

pub(crate) fn server_certificates(account: &Account, page: Page) -> Pieces {
    let shown = ["old-shop"].into_iter().skip(usize::try_from(page.from).unwrap_or(usize::MAX));
    one(|xml| {
        xml.list("ServerCertificateMetadataList", shown, |xml, name| {
            xml.text("Path", "/");
            xml.text("ServerCertificateName", name);
            xml.text("ServerCertificateId", account.unique_id("ASCA", name));
            xml.text("Arn", account.arn("server-certificate", "/", name));
            xml.moment("UploadDate", account.founded());
            xml.moment("Expiration", expiry(account.founded()));
        });
        xml.text("IsTruncated", "false");
    })
}

fn user_detail(xml: &mut Xml, account: &Account, user: &User) {
    xml.text("Path", "/");
    xml.text("UserName", &user.name);
    xml.text("UserId", account.unique_id("AIDA", &user.name));
    xml.text("Arn", account.user_arn(&user.name));
    xml.moment("CreateDate", user.created);
    inline(xml, "UserPolicyList", &user.rights);
    xml.element("GroupList", |xml| user.groups.iter().for_each(|group| xml.text("member", group)));
    attached(xml, account, &user.rights);
    xml.list("Tags", &user.email, |xml, email| {
        xml.text("Key", "email");
        xml.text("Value", email);
    });
}

fn group_detail(xml: &mut Xml, account: &Account, group: &Group) {
    xml.text("Path", "/");
    xml.text("GroupName", &group.name);
    xml.text("GroupId", account.unique_id("AGPA", &group.name));
    xml.text("Arn", account.arn("group", "/", &group.name));
    xml.moment("CreateDate", account.root.created);
    inline(xml, "GroupPolicyList", &group.rights);
    attached(xml, account, &group.rights);
}

fn role_detail(xml: &mut Xml, account: &Account, role: &Role) {
    xml.text("Path", &role.path);
    xml.text("RoleName", &role.name);
    xml.text("RoleId", account.unique_id("AROA", &role.name));
    xml.text("Arn", account.arn("role", &role.path, &role.name));
    xml.moment("CreateDate", account.root.created);
    xml.document("AssumeRolePolicyDocument", &role.trust);
    xml.element("InstanceProfileList", |_| {});
    inline(xml, "RolePolicyList", &role.rights);
    attached(xml, account, &role.rights);
    xml.element("Tags", |_| {});
    xml.element("RoleLastUsed", |_| {});
}

fn policy_detail(xml: &mut Xml, account: &Account, policy: &Policy) {
    let version = |at: usize| format!("v{}", at + 1);
    let last = policy.versions.len().saturating_sub(1);
    let prefix = "ANPA";
    xml.text("PolicyName", &policy.name);
    xml.text("PolicyId", account.unique_id(prefix, &policy.name));
    xml.text("Arn", account.policy_arn(policy));
    xml.text("Path", "/");
    xml.text("DefaultVersionId", version(last));
    xml.text("AttachmentCount", account.attachments(&policy.name).to_string());
    xml.text("PermissionsBoundaryUsageCount", "0");
    xml.text("IsAttachable", "true");
    xml.moment("CreateDate", account.root.created);
    xml.moment("UpdateDate", account.root.created);
    // Newest first, as the service lists them.
    xml.list("PolicyVersionList", policy.versions.iter().enumerate().rev(), |xml, (at, document)| {
        xml.document("Document", document);
        xml.text("VersionId", version(at));
        xml.text("IsDefaultVersion", (at == last).to_string());
        xml.moment("CreateDate", account.root.created);
    });
}

fn inline(xml: &mut Xml, list: &str, rights: &Rights) {
    xml.list(list, &rights.inline, |xml, (name, policy)| {
        xml.text("PolicyName", name);
        xml.document("PolicyDocument", policy);
    });
}

fn attached(xml: &mut Xml, account: &Account, rights: &Rights) {
    let policies = rights.attached.iter().filter_map(|name| account.policies.iter().find(|p| &p.name == name));
    xml.list("AttachedManagedPolicies", policies, |xml, policy| {
        xml.text("PolicyName", &policy.name);
        xml.text("PolicyArn", account.policy_arn(policy));
    });
}

/// A list whose items are made while they are sent.
fn listed(
    name: &'static str,
    items: impl Iterator<Item = Bytes> + Send + 'static,
) -> impl Iterator<Item = Bytes> + Send {
    let item = |item: Bytes| [Bytes::from_static(b"<member>"), item, Bytes::from_static(b"</member>")];
    let (open, close) = (Bytes::from(format!("<{name}>")), Bytes::from(format!("</{name}>")));
    std::iter::once(open).chain(items.flat_map(item)).chain(std::iter::once(close))
}

/// Whether there is more, and from where.
fn paged(page: Page, total: u64) -> Bytes {
    let next = page.from + page.items;
    Xml::piece(|xml| {
        xml.text("IsTruncated", (next < total).to_string());
        if next < total {
            xml.text("Marker", marker(next));
        }
    })
}

/// A marker that nobody can guess the meaning of, and that means a place.
pub(crate) fn marker(place: u64) -> String {
    STANDARD.encode(format!("from:{place}"))
}

/// The place that a marker means.
pub(crate) fn place(marker: &str) -> Option<u64> {
    let text = String::from_utf8(STANDARD.decode(marker).ok()?).ok()?;
    text.strip_prefix("from:")?.parse().ok()
}
