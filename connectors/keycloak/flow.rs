//! Which steps of a sign-in flow can run.

use kit::Unread;
use kit::view::View;

/// The steps that ask for a second factor, by Keycloak's provider names.
const STRONG: &[&str] = &["auth-otp-form", "webauthn-authenticator", "webauthn-authenticator-passwordless"];

/// One row of a flow as Keycloak lists it: depth first, each with its level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Execution<'a> {
    /// What it does; subflows have no provider.
    pub(crate) provider: Option<&'a str>,
    /// How deep it stands, from 0.
    pub(crate) level: i64,
    /// It is switched off itself.
    pub(crate) disabled: bool,
}

impl<'a> Execution<'a> {
    /// Reads one row of the answer.
    pub(crate) fn read(row: &View<'a>) -> Result<Self, Unread> {
        let requirement = row.text("requirement")?;
        if !["REQUIRED", "ALTERNATIVE", "CONDITIONAL", "DISABLED"].contains(&requirement) {
            return Err(row.mark.malformed("a requirement that is not known"));
        }
        let provider = row.get("providerId").and_then(|p| p.as_str());
        Ok(Execution { provider, level: row.number("level")?, disabled: requirement == "DISABLED" })
    }
}

/// The second-factor steps that can run: neither switched off themselves nor inside a subflow that is.
pub(crate) fn strong<'a>(executions: &[Execution<'a>]) -> Vec<&'a str> {
    let mut found = Vec::new();
    // The level of the subflow that switches off everything below it.
    let mut off: Option<i64> = None;
    for execution in executions {
        if off.is_some_and(|level| execution.level > level) {
            continue;
        }
        off = execution.disabled.then_some(execution.level);
        let provider = execution.provider.filter(|p| !execution.disabled && STRONG.contains(p));
        if let Some(provider) = provider.filter(|p| !found.contains(p)) {
            found.push(provider);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(rows: &[(i64, &'static str, bool)]) -> Vec<&'static str> {
        let execution = |&(level, provider, enabled): &(i64, &'static str, bool)| Execution {
            provider: Some(provider).filter(|p| !p.is_empty()),
            level,
            disabled: !enabled,
        };
        strong(&rows.iter().map(execution).collect::<Vec<_>>())
    }

    #[test]
    fn a_step_counts_only_if_everything_around_it_is_on() {
        assert_eq!(flow(&[(0, "auth-cookie", true), (0, "", true), (1, "auth-otp-form", true)]), ["auth-otp-form"]);
        assert!(flow(&[(0, "", false), (1, "auth-otp-form", true)]).is_empty());
        assert!(flow(&[(0, "", true), (1, "auth-otp-form", false)]).is_empty());
        assert!(flow(&[(0, "", false), (1, "", true), (2, "webauthn-authenticator", true)]).is_empty());
        assert!(flow(&[]).is_empty());
    }

    #[test]
    fn a_subflow_that_is_off_does_not_switch_off_its_neighbours() {
        let rows = [
            (0, "", false),
            (1, "", false),
            (2, "auth-otp-form", true),
            (1, "auth-otp-form", true),
            (0, "", true),
            (1, "webauthn-authenticator", true),
            (1, "webauthn-authenticator", true),
        ];
        assert_eq!(flow(&rows), ["webauthn-authenticator"]);
    }
}
