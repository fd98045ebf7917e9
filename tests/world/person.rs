//! People: the named cast with its faults, and a crowd that is computed when asked for.

use std::collections::BTreeSet;

use crate::id;
use crate::organisation::Organisation;

/// What somebody signs in with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Credential {
    /// A password.
    Password,
    /// One-time codes.
    Otp,
    /// A security key as second factor.
    SecurityKey,
    /// A security key instead of a password.
    Passkey,
}

impl Credential {
    /// The name in the answers of the server.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Credential::Password => "password",
            Credential::Otp => "otp",
            Credential::SecurityKey => "webauthn",
            Credential::Passkey => "webauthn-passwordless",
        }
    }
}

/// One account of the realm.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) enabled: bool,
    pub(crate) credentials: Vec<Credential>,
    /// Roles of the realm held directly, without the default role that everybody holds.
    pub(crate) realm_roles: Vec<String>,
    /// Roles of the client `realm-management` held directly.
    pub(crate) management_roles: Vec<String>,
    /// Paths of the groups whose member it is.
    pub(crate) groups: Vec<String>,
    /// It is the account of a client, not of a person.
    pub(crate) machine: bool,
    /// When it was made, where the server knows.
    pub(crate) created: Option<i64>,
}

impl Person {
    pub(crate) fn new(seed: u64, username: &str, credentials: &[Credential]) -> Person {
        Person {
            id: id::uuid(seed, "user", username),
            username: username.to_owned(),
            enabled: true,
            credentials: credentials.to_vec(),
            realm_roles: Vec::new(),
            management_roles: Vec::new(),
            groups: Vec::new(),
            machine: false,
            created: None,
        }
    }

    pub(crate) fn has_second_factor(&self) -> bool {
        self.credentials.iter().any(|c| *c != Credential::Password)
    }
}

/// The user names of the crowd begin so; no other user name may.
pub(crate) const CROWD: &str = "person-";

/// How many units the crowd works in; unit `u` (from 0) holds the numbers `u`, `u` + 11, `u` + 22, …
pub(crate) const UNITS: u64 = 11;

/// The `n`-th person of the crowd, always the same.
pub(crate) fn of_the_crowd(seed: u64, n: u64) -> Person {
    let credentials: &[Credential] =
        if n.is_multiple_of(3) { &[Credential::Password, Credential::Otp] } else { &[Credential::Password] };
    Person {
        id: id::crowd_uuid(seed, n),
        enabled: n % 17 != 5,
        realm_roles: vec!["employee".to_owned()],
        groups: vec![format!("/staff/unit-{:02}", n % UNITS + 1)],
        ..Person::new(seed, &format!("{CROWD}{n:05}"), credentials)
    }
}

/// A list of accounts in the order of their user names, of which any part can be had without the rest.
pub(crate) struct Listing {
    /// Accounts before the crowd.
    head: Vec<Person>,
    /// First number and step of the part of the crowd that belongs to it.
    crowd: Option<(u64, u64)>,
    /// Accounts after the crowd.
    tail: Vec<Person>,
}

impl Listing {
    /// The named accounts that `belongs` chooses, with the part of the crowd given by first number and step.
    pub(crate) fn of(
        organisation: &Organisation,
        crowd: Option<(u64, u64)>,
        belongs: impl Fn(&Person) -> bool,
    ) -> Listing {
        let (head, tail) = organisation
            .named
            .values()
            .filter(|p| belongs(p))
            .cloned()
            .partition(|p: &Person| p.username.as_str() < CROWD);
        Listing { head, crowd, tail }
    }

    /// How many accounts it holds.
    pub(crate) fn len(&self, organisation: &Organisation) -> u64 {
        self.head.len() as u64 + self.crowd_len(organisation) + self.tail.len() as u64
    }

    /// The account at place `at`, from 0.
    pub(crate) fn get(&self, organisation: &Organisation, at: u64) -> Option<Person> {
        let head = self.head.len() as u64;
        if at < head {
            return self.head.get(usize::try_from(at).ok()?).cloned();
        }
        let crowd = self.crowd_len(organisation);
        let Some(within) = at.checked_sub(head + crowd) else {
            let (first, step) = self.crowd?;
            let n = remaining(first, step, &organisation.departed, at - head);
            return Some(of_the_crowd(organisation.seed, n));
        };
        self.tail.get(usize::try_from(within).ok()?).cloned()
    }

    fn crowd_len(&self, organisation: &Organisation) -> u64 {
        let Some((first, step)) = self.crowd else { return 0 };
        let all = organisation.crowd.saturating_sub(first).div_ceil(step);
        all - organisation.departed.iter().filter(|n| **n >= first && (**n - first).is_multiple_of(step)).count() as u64
    }
}

/// The number at place `at` among `first`, `first + step`, …, leaving out those who departed.
fn remaining(first: u64, step: u64, departed: &BTreeSet<u64>, at: u64) -> u64 {
    let mut n = first + step * at;
    for gone in departed.iter().filter(|gone| **gone >= first && (**gone - first).is_multiple_of(step)) {
        if *gone > n {
            break;
        }
        n += step;
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_departed_leave_no_hole_in_a_list() {
        let departed = BTreeSet::from([0, 3, 4]);
        let listed: Vec<u64> = (0..4).map(|at| remaining(0, 1, &departed, at)).collect();
        assert_eq!(listed, [1, 2, 5, 6]);
        let every_third: Vec<u64> = (0..3).map(|at| remaining(0, 3, &departed, at)).collect();
        assert_eq!(every_third, [6, 9, 12]);
    }
}
