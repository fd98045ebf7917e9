//! The list of connectors: one line for each, here and in `Cargo.toml`, and nothing else.

use domain::SourceId;
use kit::{AnySource, FieldProblem, Kind, SourceConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// From the list: the settings of all sources by kind, and the kinds themselves.
macro_rules! connectors {
    ($($connector:ident),* $(,)?) => {
        /// The sources to watch, by kind.
        #[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct Sources {
            $(
                #[doc = concat!("Sources of the kind `", stringify!($connector), "`.")]
                #[serde(skip_serializing_if = "Vec::is_empty")]
                pub $connector: Vec<$connector::Config>,
            )*
        }

        /// Every kind of source there is a connector for, in the order of the list.
        pub const KINDS: &[Kind] = &[$(Kind::of::<$connector::Config>()),*];

        impl Sources {
            /// Every configured source with its place in the settings, such as `keycloak[0]`.
            pub fn all(&self) -> Vec<(String, &dyn AnySource)> {
                let mut all: Vec<(String, &dyn AnySource)> = Vec::new();
                $(
                    for (place, source) in self.$connector.iter().enumerate() {
                        all.push((format!("{}[{place}]", <$connector::Config as SourceConfig>::KIND), source));
                    }
                )*
                all
            }
        }
    };
}

connectors! {
    example,
    keycloak,
    aws,
    github,
    accounts,
}

/// The connector to learn from; nobody has such a source.
pub const TO_LEARN_FROM: &str = "example";

/// The kinds that a person may have a source of: all but [`TO_LEARN_FROM`].
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(|kind| kind.name != TO_LEARN_FROM)
}

impl Sources {
    /// What is wrong with the settings of all sources; paths begin at the place of the source: `keycloak[0].url`.
    pub fn problems(&self) -> Vec<FieldProblem> {
        let mut problems = Vec::new();
        let mut seen = std::collections::BTreeMap::new();
        for (place, source) in self.all() {
            let within = |problem: FieldProblem| FieldProblem { path: format!("{place}.{}", problem.path), ..problem };
            problems.extend(source.problems().into_iter().map(within));
            if let Some(first) = source.id().ok().and_then(|id| seen.insert(id, place.clone())) {
                let message = format!("{first} has this name already");
                problems.push(FieldProblem::new(
                    format!("{place}.name"),
                    message,
                    "give each source a name of its own",
                ));
            }
        }
        for (place, source) in self.all() {
            for (setting, joined) in source.joins().into_iter().filter(|(_, joined)| !seen.contains_key(joined)) {
                let known: Vec<&str> = seen.keys().map(SourceId::as_str).collect();
                let remedy = match kit::nearest(joined.as_str(), &known) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("one of {}", known.join(", ")),
                };
                let message = format!("no source is called {joined}");
                problems.push(FieldProblem::new(format!("{place}.{setting}"), message, remedy));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
keycloak:
  - name: acme
    owner: identity-team
    url: https://id.example.com
    realm: acme
    client_id: evidenced-reader
    client_secret: {file: /run/secrets/keycloak}
    schedules: {realm: 'every: 5m'}
";

    fn read(text: &str) -> Result<Sources, String> {
        // Without the lines around the fault: one of them could be a secret that stands where it should not.
        let options = serde_saphyr::options! { with_snippet: false };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_read_as_they_are_written_in_the_manual() {
        let sources = read(GOOD).unwrap();
        assert_eq!(sources.problems(), []);
        let all = sources.all();
        let (place, source) = &all[0];
        assert_eq!((place.as_str(), source.id().unwrap().as_str()), ("keycloak[0]", "keycloak:acme"));
        let schedules: Vec<String> = source.kind().collectors.iter().map(|c| source.schedule(c)).collect();
        assert_eq!(schedules, ["every: 5m", "7 * * * *", "22 * * * *"]);
    }

    #[test]
    fn what_nobody_declared_is_refused() {
        for (from, to, named) in [
            ("realm: acme", "reaml: acme", "reaml"),
            ("keycloak:\n", "keycloack:\n", "keycloack"),
            ("{file: /run/secrets/keycloak}", "hunter2", "{file: PATH} or {env: NAME}"),
        ] {
            let error = read(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(named), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn every_problem_says_where_it_stands_and_what_to_write() {
        let bad =
            GOOD.replace("https:", "http:").replace("owner: identity-team", "owner: ''").replace("{realm:", "{raelm:");
        let twice = format!("{bad}{}", GOOD.replacen("keycloak:\n", "", 1));
        let problems: Vec<_> = read(&twice).unwrap().problems().into_iter().map(|p| (p.path, p.remedy)).collect();
        let said = |path: &str, remedy: &str| (path.to_owned(), remedy.to_owned());
        assert_eq!(
            problems,
            [
                said("keycloak[0].owner", "name a person or team"),
                said("keycloak[0].schedules.raelm", "did you mean realm?"),
                said("keycloak[0].url", "write https://"),
                said("keycloak[1].name", "give each source a name of its own"),
            ]
        );
    }

    #[test]
    fn a_join_of_a_source_that_there_is_not_is_told_where_it_stands() {
        let join = "accounts:\n  - {name: acme, owner: me, identities: ['keycloak:acne'], accounts: ['github:acme']}\n";
        let problems = read(&format!("{GOOD}{join}")).unwrap().problems();
        let told = |path: &str| problems.iter().find(|p| p.path == path).map(|p| p.remedy.clone());
        assert_eq!(told("accounts[0].identities[0]").as_deref(), Some("did you mean keycloak:acme?"), "{problems:?}");
    }
}
