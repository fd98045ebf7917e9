//! The list of connectors: one line for each, here and in `Cargo.toml`, and nothing else.

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
        problems
    }
}
