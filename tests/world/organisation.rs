//! The organisation: a realm, its people, groups, roles, clients and sign-in flows, as plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::aws::Account;
use crate::github::Host;
use crate::id;
use crate::person::{self, Credential, Person, UNITS};

/// How well the organisation is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Posture {
    /// Nothing deviates: whatever is raised is a false alarm.
    Good,
    /// Some of everything, and every kind of fault once.
    Mixed,
    /// Whatever can deviate does.
    Bad,
}

/// The realm's name.
pub const REALM: &str = "acme";
/// The client that the reader signs in with.
pub const READER: &str = "evidenced-reader";
/// Every secret in the world begins so: found anywhere else, something leaked.
pub const CANARY: &str = "canary-";
/// The reader's secret until it is rotated.
pub const READER_SECRET: &str = "canary-reader-client-secret";
/// The roles of the reader at the start.
pub const READER_ROLES: [&str; 4] = ["view-realm", "view-users", "view-clients", "view-events"];
/// The most people there can be.
pub const MOST_PEOPLE: usize = 100_000;

pub(crate) const MANAGEMENT: &str = "realm-management";
pub(crate) const BUILT_IN: [&str; 6] =
    ["account", "account-console", "admin-cli", "broker", MANAGEMENT, "security-admin-console"];
pub(crate) const MANAGEMENT_ROLES: [&str; 19] = [
    "create-client",
    "impersonation",
    "manage-authorization",
    "manage-clients",
    "manage-events",
    "manage-identity-providers",
    "manage-realm",
    "manage-users",
    "query-clients",
    "query-groups",
    "query-realms",
    "query-users",
    "realm-admin",
    "view-authorization",
    "view-clients",
    "view-events",
    "view-identity-providers",
    "view-realm",
    "view-users",
];

/// Everything about the organisation at one moment. A change makes a new one; answers under way keep theirs.
#[derive(Clone)]
pub(crate) struct Organisation {
    pub(crate) seed: u64,
    pub(crate) settings: Settings,
    /// Accounts with a name of their own, by user name: the cast, machines, those who joined later.
    pub(crate) named: BTreeMap<String, Person>,
    /// How many people the crowd had at the start.
    pub(crate) crowd: u64,
    /// Numbers of the crowd that left.
    pub(crate) departed: BTreeSet<u64>,
    /// Sorted by path.
    pub(crate) groups: Vec<Group>,
    /// Roles of the realm, sorted by name.
    pub(crate) roles: Vec<Role>,
    /// Sorted by client id.
    pub(crate) clients: Vec<Client>,
    /// The second-factor part of each sign-in flow, by the flow's alias.
    pub(crate) flows: BTreeMap<String, SecondFactorStep>,
    /// Oldest first.
    pub(crate) events: Vec<Value>,
    pub(crate) reader: Reader,
    /// The AWS account in which people have users, and the one beside it.
    pub(crate) account: Arc<Account>,
    pub(crate) second_account: Arc<Account>,
    /// The GitHub organisation.
    pub(crate) code: Arc<Host>,
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) brute_force: bool,
    pub(crate) failure_factor: u64,
    pub(crate) password_policy: &'static str,
    pub(crate) ssl_required: &'static str,
    pub(crate) sso_idle: u64,
    pub(crate) sso_max: u64,
    pub(crate) access_token: u64,
    pub(crate) events: bool,
    /// 0: kept for ever, and left out of answers.
    pub(crate) events_expiration: u64,
    pub(crate) admin_events: bool,
    pub(crate) admin_events_details: bool,
    /// 0: kept for ever, and left out of answers.
    pub(crate) admin_events_expiration: u64,
    pub(crate) browser_flow: String,
}

/// How a flow's part "Conditional 2FA" is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SecondFactorStep {
    Conditional,
    Disabled,
    Removed,
}

#[derive(Clone)]
pub(crate) struct Group {
    pub(crate) path: String,
    pub(crate) realm_roles: Vec<String>,
    pub(crate) management_roles: Vec<String>,
}

impl Group {
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    pub(crate) fn parent(&self) -> Option<&str> {
        self.path.rsplit_once('/').map(|(parent, _)| parent).filter(|parent| !parent.is_empty())
    }
}

#[derive(Clone)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) realm_composites: Vec<String>,
    pub(crate) management_composites: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) client_id: String,
    pub(crate) enabled: bool,
    pub(crate) public: bool,
    pub(crate) standard_flow: bool,
    pub(crate) implicit_flow: bool,
    pub(crate) direct_grants: bool,
    pub(crate) service_account: bool,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) secret: String,
}

/// The account that reads, and what it may read.
#[derive(Clone)]
pub(crate) struct Reader {
    pub(crate) secret: String,
    pub(crate) roles: BTreeSet<String>,
    /// How long its tokens live, where not as long as the realm says.
    pub(crate) token_seconds: Option<u64>,
    pub(crate) rotations: u32,
}

impl Organisation {
    /// The organisation at its start, at that moment in milliseconds since 1970. The same arguments give the same
    /// organisation.
    pub(crate) fn new(seed: u64, people: usize, posture: Posture, founded: i64) -> Organisation {
        let mut organisation = Organisation {
            seed,
            settings: settings(posture),
            named: BTreeMap::new(),
            crowd: 0,
            departed: BTreeSet::new(),
            groups: groups(),
            roles: roles(),
            clients: clients(posture),
            flows: BTreeMap::from([("browser".to_owned(), SecondFactorStep::Conditional)]),
            events: Vec::new(),
            reader: Reader {
                secret: READER_SECRET.to_owned(),
                roles: READER_ROLES.map(str::to_owned).into(),
                token_seconds: None,
                rotations: 0,
            },
            account: Arc::new(Account::main(seed, 0, founded, posture)),
            second_account: Arc::new(Account::second(seed, founded)),
            code: Arc::new(Host::new(seed, 0, founded, posture)),
        };
        match posture {
            Posture::Good => None,
            Posture::Mixed => organisation.flows.insert("staff browser".to_owned(), SecondFactorStep::Disabled),
            Posture::Bad => organisation.flows.insert("password only".to_owned(), SecondFactorStep::Removed),
        };
        for person in cast(seed, people, posture) {
            organisation.named.insert(person.username.clone(), person);
        }
        organisation.crowd = people.min(MOST_PEOPLE).saturating_sub(organisation.named.len()) as u64;
        organisation.account = Arc::new(Account::main(seed, organisation.crowd, founded, posture));
        organisation.code = Arc::new(Host::new(seed, organisation.crowd, founded, posture));
        for client in organisation.clients.iter().filter(|c| c.service_account) {
            let roles: &[&str] = if client.client_id == READER { &READER_ROLES } else { &["manage-users"] };
            let account = Person {
                machine: true,
                management_roles: roles.iter().map(|r| (*r).to_owned()).collect(),
                ..Person::new(seed, &format!("service-account-{}", client.client_id), &[])
            };
            organisation.named.insert(account.username.clone(), account);
        }
        organisation
    }

    /// The account with this user name.
    pub(crate) fn by_name(&self, username: &str) -> Option<Person> {
        if let Some(person) = self.named.get(username) {
            return Some(person.clone());
        }
        let n = username.strip_prefix(person::CROWD)?.parse().ok()?;
        let person = self.in_crowd(n)?;
        (person.username == username).then_some(person)
    }

    /// The account with this id.
    pub(crate) fn by_id(&self, user_id: &str) -> Option<Person> {
        let crowd = id::crowd_number(self.seed, user_id).and_then(|n| self.in_crowd(n));
        crowd.or_else(|| self.named.values().find(|p| p.id == user_id).cloned())
    }

    fn in_crowd(&self, n: u64) -> Option<Person> {
        (n < self.crowd && !self.departed.contains(&n)).then(|| person::of_the_crowd(self.seed, n))
    }

    pub(crate) fn realm_id(&self) -> String {
        id::uuid(self.seed, "realm", REALM)
    }

    pub(crate) fn client_id(&self, client: &str) -> String {
        id::uuid(self.seed, "client", client)
    }

    pub(crate) fn group_id(&self, path: &str) -> String {
        id::uuid(self.seed, "group", path)
    }

    pub(crate) fn default_role(&self) -> String {
        format!("default-roles-{REALM}")
    }

    /// The roles of `realm-management` that somebody has in effect: directly, by groups and the groups above them, and
    /// by what is inside roles.
    pub(crate) fn management_roles_of(&self, person: &Person) -> BTreeSet<String> {
        let mut realm: Vec<&str> = person.realm_roles.iter().map(String::as_str).collect();
        let mut management: Vec<&str> = person.management_roles.iter().map(String::as_str).collect();
        for path in &person.groups {
            let above = self.groups.iter().filter(|g| path == &g.path || path.starts_with(&format!("{}/", g.path)));
            for group in above {
                realm.extend(group.realm_roles.iter().map(String::as_str));
                management.extend(group.management_roles.iter().map(String::as_str));
            }
        }
        let mut seen = BTreeSet::new();
        while let Some(name) = realm.pop() {
            if let Some(role) = self.roles.iter().find(|r| r.name == name && seen.insert(name)) {
                realm.extend(role.realm_composites.iter().map(String::as_str));
                management.extend(role.management_composites.iter().map(String::as_str));
            }
        }
        expand(management)
    }
}

/// The roles given and those inside them.
pub(crate) fn expand<'a>(roles: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    roles.into_iter().flat_map(|role| [role].into_iter().chain(inside(role)).map(str::to_owned)).collect()
}

/// The roles inside a role of `realm-management`.
pub(crate) fn inside(role: &str) -> Vec<&'static str> {
    match role {
        "realm-admin" => MANAGEMENT_ROLES.into_iter().filter(|name| *name != "realm-admin").collect(),
        "view-users" => vec!["query-users", "query-groups"],
        "view-clients" => vec!["query-clients"],
        _ => Vec::new(),
    }
}

/// Whether a role of `realm-management` lets its holder change something.
pub(crate) fn administers(role: &str) -> bool {
    !role.starts_with("view-") && !role.starts_with("query-")
}

fn settings(posture: Posture) -> Settings {
    let good = Settings {
        brute_force: true,
        failure_factor: 5,
        password_policy: "length(14) and passwordHistory(5) and notUsername",
        ssl_required: "external",
        sso_idle: 1800,
        sso_max: 36_000,
        access_token: 300,
        events: true,
        events_expiration: 31_536_000,
        admin_events: true,
        admin_events_details: true,
        admin_events_expiration: 31_536_000,
        browser_flow: "browser".to_owned(),
    };
    match posture {
        Posture::Good => good,
        Posture::Mixed => Settings {
            password_policy: "length(8)",
            access_token: 3600,
            admin_events_expiration: 86_400,
            browser_flow: "staff browser".to_owned(),
            ..good
        },
        Posture::Bad => Settings {
            brute_force: false,
            failure_factor: 30,
            password_policy: "",
            ssl_required: "none",
            sso_idle: 864_000,
            sso_max: 2_592_000,
            access_token: 86_400,
            events: false,
            events_expiration: 0,
            admin_events: false,
            admin_events_details: false,
            admin_events_expiration: 0,
            browser_flow: "password only".to_owned(),
        },
    }
}

/// How somebody of the cast comes by rights.
enum By {
    Client(&'static str),
    Realm(&'static str),
    Group(&'static str),
}

/// The people with a part to play, one way to be an administrator each.
fn cast(seed: u64, people: usize, posture: Posture) -> Vec<Person> {
    use By::{Client, Group, Realm};
    use Credential::{Otp, Passkey, Password, SecurityKey};
    let administrator = |username: &str, credentials: &[Credential], by: &By| {
        let mut person = Person::new(seed, username, credentials);
        match posture {
            Posture::Good if !person.has_second_factor() && username != "kurt" => person.credentials.push(Otp),
            Posture::Bad if username != "dora" => person.credentials.retain(|c| *c == Password),
            _ => {}
        }
        match by {
            Client(role) => person.management_roles.push((*role).to_owned()),
            Realm(role) => person.realm_roles.push((*role).to_owned()),
            Group(path) => person.groups.push((*path).to_owned()),
        }
        person
    };
    let mut cast = vec![
        administrator("dora", &[Password, Otp], &Client("realm-admin")),
        administrator("erik", &[Password, SecurityKey], &Client("realm-admin")),
        administrator("finn", &[Password], &Client("manage-users")),
        administrator("gita", &[Password], &Group("/operations")),
        administrator("hana", &[Password, Otp], &Group("/operations/team-02")),
        administrator("ivan", &[Password], &Realm("platform-lead")),
        administrator("jana", &[Passkey], &Group("/leads")),
        Person { enabled: false, ..administrator("kurt", &[Password], &Client("realm-admin")) },
        administrator("lena", &[], &Client("manage-clients")),
        administrator("nora", &[Password], &Group("/staff/z-break-glass")),
        // Nearly an administrator: reading is not administering.
        Person {
            management_roles: vec!["view-users".to_owned(), "query-groups".to_owned()],
            ..Person::new(seed, "mika", &[Password])
        },
        Person { enabled: false, ..Person::new(seed, "olaf", &[Password]) },
    ];
    // Enough holders of one role and members of one group that a silent page of a hundred hides the last of them.
    if people >= 300 {
        for n in 0..105 {
            let credentials: &[Credential] = if n < 104 { &[Password, Otp] } else { &[Password] };
            cast.push(administrator(&format!("helper-{n:04}"), credentials, &Realm("helpdesk")));
            cast.push(administrator(&format!("field-{n:04}"), credentials, &Group("/field")));
        }
    }
    cast
}

fn groups() -> Vec<Group> {
    let group = |path: &str, realm: &[&str], management: &[&str]| Group {
        path: path.to_owned(),
        realm_roles: realm.iter().map(|r| (*r).to_owned()).collect(),
        management_roles: management.iter().map(|r| (*r).to_owned()).collect(),
    };
    let mut groups = vec![
        group("/field", &[], &["manage-users"]),
        group("/leads", &["head-of-platform"], &[]),
        group("/operations", &[], &["manage-clients"]),
        group("/operations/team-01", &[], &[]),
        group("/operations/team-02", &[], &[]),
        group("/operations/team-03", &[], &[]),
        group("/staff", &[], &[]),
        // The twelfth child of its parent: an answer of ten child groups does not show it.
        group("/staff/z-break-glass", &[], &["impersonation"]),
    ];
    groups.extend((1..=UNITS).map(|u| group(&format!("/staff/unit-{u:02}"), &[], &[])));
    groups.sort_by(|a, b| a.path.cmp(&b.path));
    groups
}

fn roles() -> Vec<Role> {
    let role = |name: &str, description: Option<&str>, realm: &[&str], management: &[&str]| Role {
        name: name.to_owned(),
        description: description.map(str::to_owned),
        realm_composites: realm.iter().map(|r| (*r).to_owned()).collect(),
        management_composites: management.iter().map(|r| (*r).to_owned()).collect(),
    };
    let lead = "administers by way of a composite role";
    let head = "a composite role inside a composite role";
    let default_role = format!("default-roles-{REALM}");
    vec![
        role(&default_role, Some("${role_default-roles}"), &["offline_access", "uma_authorization"], &[]),
        role("employee", Some("everybody"), &[], &[]),
        role("head-of-platform", Some(head), &["platform-lead"], &[]),
        role("helpdesk", None, &[], &["manage-users"]),
        role("offline_access", Some("${role_offline-access}"), &[], &[]),
        role("platform-lead", Some(lead), &[], &["manage-realm"]),
        role("uma_authorization", Some("${role_uma_authorization}"), &[], &[]),
    ]
}

fn clients(posture: Posture) -> Vec<Client> {
    let application = |client_id: &str| Client {
        client_id: client_id.to_owned(),
        enabled: true,
        public: false,
        standard_flow: true,
        implicit_flow: false,
        direct_grants: false,
        service_account: false,
        redirect_uris: vec![format!("https://{client_id}.acme.example/callback")],
        attributes: BTreeMap::new(),
        secret: format!("{CANARY}client-secret-{client_id}"),
    };
    let machine = |client_id: &str| Client {
        standard_flow: false,
        service_account: true,
        redirect_uris: Vec::new(),
        ..application(client_id)
    };
    let public = |client_id: &str, attribute: Option<(&str, &str)>| Client {
        public: true,
        attributes: attribute.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        ..application(client_id)
    };
    let pkce = "pkce.code.challenge.method";
    let device = ("oauth2.device.authorization.grant.enabled", "true");
    let sound = vec![
        Client { secret: READER_SECRET.to_owned(), ..machine(READER) },
        application("intranet"),
        machine("provisioner"),
        Client { enabled: false, implicit_flow: true, redirect_uris: vec!["*".to_owned()], ..application("retired") },
        Client { standard_flow: false, redirect_uris: Vec::new(), ..public("warehouse-scanner", Some(device)) },
        public("web-shop", Some((pkce, "S256"))),
    ];
    let faulty = vec![
        Client { implicit_flow: true, ..application("legacy-implicit") },
        Client { direct_grants: true, ..application("legacy-password") },
        public("spa-plain-pkce", Some((pkce, "plain"))),
        public("spa-without-pkce", None),
        Client { redirect_uris: vec!["https://wildcard.acme.example/*".to_owned()], ..application("wildcard-app") },
    ];
    let mut clients = sound;
    if posture != Posture::Good {
        clients.extend(faulty);
    }
    if posture == Posture::Bad {
        for client in clients.iter_mut().filter(|c| c.enabled && !c.service_account) {
            client.direct_grants = true;
        }
    }
    clients.sort_by(|a, b| a.client_id.cmp(&b.client_id));
    clients
}
