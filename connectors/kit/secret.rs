//! Secrets by reference: settings say where one lies, never what it is.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize};

/// The greatest length of a secret in bytes; a longer file is a mistake.
const GREATEST_LENGTH: u64 = 64 * 1024;

/// Where a secret lies: `{file: /run/secrets/keycloak}` or `{env: KEYCLOAK_SECRET}`. It is read again at every run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(example = &serde_json::json!({"file": "/run/secrets/keycloak"}))]
pub enum SecretRef {
    /// A file that holds the secret and nothing else; a line break at its end does not count.
    File(PathBuf),
    /// An environment variable of the daemon.
    Env(String),
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretRef::File(path) => write!(f, "file {}", shown_path(path)),
            SecretRef::Env(name) => f.write_str(&shown_variable(name)),
        }
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    /// Refuses a plain value with the remedy, and without repeating it.
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        const FORM: &str = "{file: PATH} or {env: NAME}";
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = SecretRef;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(FORM)
            }
            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<SecretRef, E> {
                Err(E::custom(format_args!(
                    "a secret may not stand in the settings; put it into a file or variable and write {FORM}"
                )))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
                use serde::de::Error;
                let Some(key) = map.next_key::<String>()? else {
                    return Err(A::Error::custom(format_args!("expected {FORM}")));
                };
                let reference = match key.as_str() {
                    "file" => SecretRef::File(map.next_value()?),
                    "env" => SecretRef::Env(map.next_value()?),
                    other => return Err(A::Error::unknown_field(other, &["file", "env"])),
                };
                let leads_nowhere = match &reference {
                    SecretRef::File(path) => path.to_string_lossy().trim().is_empty(),
                    SecretRef::Env(name) => name.trim().is_empty(),
                };
                match map.next_key::<String>()? {
                    None if leads_nowhere => Err(A::Error::custom(format_args!(
                        "{key} is empty; name the file or variable in which the secret lies"
                    ))),
                    None => Ok(reference),
                    Some(_) => Err(A::Error::custom(format_args!("expected one of {FORM}, not both"))),
                }
            }
        }
        d.deserialize_any(Visitor)
    }
}

/// A path, unless it may be a secret that was written where its place belongs.
fn shown_path(path: &Path) -> String {
    let text = path.display().to_string();
    if text.starts_with(['/', '.']) { text } else { "the file that is named here".to_owned() }
}

/// The name of a variable, unless it may be a secret that was written in its place.
fn shown_variable(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    if plain {
        format!("environment variable {name}")
    } else {
        "the environment variable that is named here".to_owned()
    }
}

/// Fetches secrets. The daemon uses [`SystemSecrets`]; tests hand in their own.
pub trait Secrets: Send + Sync {
    /// Reads the secret that `reference` points to, as it is now.
    fn resolve(&self, reference: &SecretRef) -> Result<SecretString, SecretError>;
}

/// A secret that could not be read. Says where it should be, never what it is.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file could not be read.
    #[error("cannot read {}", shown_path(path))]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// The file is longer than any secret.
    #[error("{} is longer than {GREATEST_LENGTH} bytes", shown_path(.0))]
    TooLong(PathBuf),
    /// The variable is not set or not text.
    #[error("{} is not set", shown_variable(.0))]
    Env(String),
    /// There is nothing in it.
    #[error("{0} is empty")]
    Empty(SecretRef),
}

/// Files and environment variables of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemSecrets;

impl Secrets for SystemSecrets {
    fn resolve(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        let secret = match reference {
            SecretRef::File(path) => read_secret(path)?,
            SecretRef::Env(name) => std::env::var(name).map_err(|_| SecretError::Env(name.clone()))?.into(),
        };
        if secret.expose_secret().is_empty() {
            return Err(SecretError::Empty(reference.clone()));
        }
        Ok(secret)
    }
}

fn read_secret(path: &Path) -> Result<SecretString, SecretError> {
    let failed = |cause| SecretError::File { path: path.to_owned(), cause };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > GREATEST_LENGTH {
        return Err(SecretError::TooLong(path.to_owned()));
    }
    let text = SecretString::from(std::fs::read_to_string(path).map_err(failed)?);
    let bare = text.expose_secret();
    let bare = bare.strip_suffix('\n').unwrap_or(bare);
    Ok(SecretString::from(bare.strip_suffix('\r').unwrap_or(bare)))
}

/// The secrets that one source's settings name, resolved: all that its connector ever sees.
#[derive(Default)]
pub struct Credentials(BTreeMap<&'static str, SecretString>);

impl Credentials {
    /// Resolves the secrets of a source, each under the name of its setting.
    pub fn resolve(
        wanted: &[(&'static str, &SecretRef)],
        secrets: &dyn Secrets,
    ) -> Result<Self, (&'static str, SecretError)> {
        let resolve = |(setting, reference): &(&'static str, &SecretRef)| match secrets.resolve(reference) {
            Ok(secret) => Ok((*setting, secret)),
            Err(cause) => Err((*setting, cause)),
        };
        Ok(Credentials(wanted.iter().map(resolve).collect::<Result<_, _>>()?))
    }

    /// Hands out the secret of a setting, once.
    pub fn take(&mut self, setting: &str) -> Option<SecretString> {
        self.0.remove(setting)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_secret_is_refused_with_the_remedy_and_not_repeated() {
        let error = serde_json::from_str::<SecretRef>("\"hunter2\"").unwrap_err().to_string();
        assert!(error.contains("{file: PATH} or {env: NAME}"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        for bad in
            [r#"{}"#, r#"{"file": "/a", "env": "B"}"#, r#"{"vault": "x"}"#, r#"{"file": ""}"#, r#"{"env": " "}"#, "7"]
        {
            assert!(serde_json::from_str::<SecretRef>(bad).is_err(), "{bad}");
        }
        assert_eq!(serde_json::from_str::<SecretRef>(r#"{"env": "A"}"#).unwrap(), SecretRef::Env("A".into()));
    }

    #[test]
    fn a_secret_file_is_read_anew_each_time_and_its_last_line_break_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let reference = SecretRef::File(path.clone());
        std::fs::write(&path, "first\r\n").unwrap();
        assert_eq!(SystemSecrets.resolve(&reference).unwrap().expose_secret(), "first");
        std::fs::write(&path, "second").unwrap();
        assert_eq!(SystemSecrets.resolve(&reference).unwrap().expose_secret(), "second");
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(SystemSecrets.resolve(&reference), Err(SecretError::Empty(_))));
        std::fs::write(&path, vec![b'x'; 70_000]).unwrap();
        assert!(matches!(SystemSecrets.resolve(&reference), Err(SecretError::TooLong(_))));
    }

    #[test]
    fn credentials_never_show_a_secret() {
        struct Always;
        impl Secrets for Always {
            fn resolve(&self, _: &SecretRef) -> Result<SecretString, SecretError> {
                Ok("hunter2".into())
            }
        }
        let reference = SecretRef::Env("A".into());
        let mut credentials = Credentials::resolve(&[("client_secret", &reference)], &Always).unwrap();
        assert_eq!(format!("{credentials:?}"), r#"["client_secret"]"#);
        assert!(credentials.take("client_secret").is_some());
        assert!(credentials.take("client_secret").is_none());
    }
}
