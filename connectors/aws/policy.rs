//! Policy documents: what they allow, and whom a role's trust names. Pure.
//!
//! The grammar: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::is_account;

/// A document whose text is no policy.
#[derive(Debug, thiserror::Error)]
#[error("a policy document is not what the grammar says")]
pub(crate) struct NoPolicy;

/// A policy document.
#[derive(Deserialize)]
pub(crate) struct Policy {
    #[serde(rename = "Statement")]
    statements: OneOrMany<Statement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: String,
    #[serde(default)]
    action: OneOrMany<String>,
    #[serde(default)]
    resource: OneOrMany<String>,
    #[serde(default)]
    principal: Option<Principal>,
    #[serde(default)]
    not_principal: Option<Principal>,
    #[serde(default)]
    condition: BTreeMap<String, BTreeMap<String, OneOrMany<Value>>>,
}

/// Everybody, or names by kind: `AWS`, `Federated`, `Service`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Principal {
    Everybody(String),
    Named(BTreeMap<String, OneOrMany<String>>),
}

/// The grammar lets a list of one stand without its brackets.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        OneOrMany::Many(Vec::new())
    }
}

impl<T> OneOrMany<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            OneOrMany::Many(all) => all,
            OneOrMany::One(one) => std::slice::from_ref(one),
        }
    }
}

impl Policy {
    /// Reads a document as IAM hands it out: JSON, percent-encoded (RFC 3986).
    pub(crate) fn read(encoded: &str) -> Result<Policy, NoPolicy> {
        let text = percent_decode_str(encoded).decode_utf8().map_err(|_| NoPolicy)?;
        serde_json::from_str(&text).map_err(|_| NoPolicy)
    }

    /// Whether one statement allows all actions on all resources. A condition is no exception: whoever meets it holds
    /// everything. Statements that deny, and boundaries, are not weighed.
    pub(crate) fn allows_everything(&self) -> bool {
        let everything = |patterns: &OneOrMany<String>| patterns.as_slice().iter().any(|p| star(p) == "*");
        self.statements
            .as_slice()
            .iter()
            .any(|s| s.effect == "Allow" && everything(&s.action) && everything(&s.resource))
    }

    /// The statements as checks see them: effect, actions, resources. A pattern that matches everything is written `*`.
    pub(crate) fn statements(&self) -> Value {
        let shown =
            |patterns: &OneOrMany<String>| patterns.as_slice().iter().map(|p| Value::from(star(p))).collect::<Value>();
        let statement =
            |s: &Statement| json!({"effect": s.effect, "actions": shown(&s.action), "resources": shown(&s.resource)});
        self.statements.as_slice().iter().map(statement).collect()
    }

    /// The statements of a trust as checks see them; `own` are the accounts of the organisation.
    pub(crate) fn trust(&self, own: &BTreeSet<&str>) -> Vec<Trust> {
        self.statements.as_slice().iter().map(|statement| Trust::of(statement, own)).collect()
    }
}

/// `*` for a pattern that matches everything, the pattern itself otherwise.
fn star(pattern: &str) -> &str {
    let everything = |part: &str| !part.is_empty() && part.bytes().all(|b| b == b'*');
    if pattern.split(':').all(everything) { "*" } else { pattern }
}

/// One statement of a role's trust.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Trust {
    effect: String,
    aws_principals: Vec<String>,
    foreign_accounts: BTreeSet<String>,
    federated: Vec<String>,
    condition_keys: BTreeSet<String>,
    limiting_keys: BTreeSet<String>,
    external_ids: Vec<String>,
    oidc_subs: Vec<String>,
}

impl Trust {
    fn of(statement: &Statement, own: &BTreeSet<&str>) -> Trust {
        let named = |kind: &str| match &statement.principal {
            Some(Principal::Everybody(all)) if kind == "AWS" => vec![all.clone()],
            Some(Principal::Named(named)) => named.get(kind).map_or_else(Vec::new, |all| all.as_slice().to_vec()),
            _ => Vec::new(),
        };
        let mut aws_principals: Vec<String> = named("AWS").iter().map(|p| star(p).to_owned()).collect();
        if statement.not_principal.is_some() {
            // Everybody but those named.
            aws_principals.push("*".to_owned());
        }
        let accounts = aws_principals.iter().filter_map(|principal| account_of(principal));
        let mut trust = Trust {
            effect: statement.effect.clone(),
            foreign_accounts: accounts.filter(|id| !own.contains(id)).map(str::to_owned).collect(),
            aws_principals,
            federated: named("Federated"),
            condition_keys: BTreeSet::new(),
            limiting_keys: BTreeSet::new(),
            external_ids: Vec::new(),
            oidc_subs: Vec::new(),
        };
        for (operator, keys) in &statement.condition {
            for (key, values) in keys {
                // Keys are the same in any case.
                let key = key.to_ascii_lowercase();
                let values: Vec<&str> = values.as_slice().iter().filter_map(Value::as_str).collect();
                if limits(operator) && values.iter().any(|value| star(value) != "*") {
                    trust.limiting_keys.insert(key.clone());
                }
                if limits(operator) {
                    let values = values.iter().map(|value| (*value).to_owned());
                    match key.as_str() {
                        "sts:externalid" => trust.external_ids.extend(values),
                        key if key.ends_with(":sub") => trust.oidc_subs.extend(values),
                        _ => {}
                    }
                }
                trust.condition_keys.insert(key);
            }
        }
        trust
    }

    /// Whether it lets an account in that is not of the organisation.
    pub(crate) fn lets_foreigners_in(&self) -> bool {
        self.effect == "Allow" && !self.foreign_accounts.is_empty()
    }

    pub(crate) fn shown(&self) -> Value {
        json!({
            "effect": self.effect,
            "aws_principals": self.aws_principals,
            "foreign_accounts": self.foreign_accounts,
            "federated": self.federated,
            "condition_keys": self.condition_keys,
            "limiting_keys": self.limiting_keys,
            "external_ids": self.external_ids,
            "oidc_subs": self.oidc_subs,
        })
    }
}

/// Whether an operator keeps out whoever does not bring one of its values: those that compare text, ARNs or addresses
/// for likeness. `…IfExists` and `ForAllValues:` let in whoever brings none.
fn limits(operator: &str) -> bool {
    let operator = operator.strip_prefix("ForAnyValue:").unwrap_or(operator);
    matches!(operator, "StringEquals" | "StringEqualsIgnoreCase" | "StringLike" | "ArnEquals" | "ArnLike" | "IpAddress")
}

/// The account in a principal: a number alone, or the fifth part of an ARN.
fn account_of(principal: &str) -> Option<&str> {
    let account = if principal.starts_with("arn:") { principal.split(':').nth(4)? } else { principal };
    is_account(account).then_some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Policy {
        Policy::read(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[test]
    fn everything_is_allowed_in_whatever_way_it_is_written() {
        let table = [
            (r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#, true),
            (r#"{"Statement":[{"Effect":"Allow","Action":["s3:Get*","*:*"],"Resource":["a","**"]}]}"#, true),
            (
                r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"a":"true"}}}]}"#,
                true,
            ),
            (r#"{"Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}"#, false),
            (r#"{"Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"*"}]}"#, false),
            (r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::a"}]}"#, false),
            (r#"{"Statement":[{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}]}"#, false),
            (
                r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"a"},{"Effect":"Allow","Action":"a","Resource":"*"}]}"#,
                false,
            ),
            (r#"{"Statement":[]}"#, false),
        ];
        for (text, everything) in table {
            assert_eq!(read(text).allows_everything(), everything, "{text}");
        }
    }

    #[test]
    fn a_document_is_decoded_as_rfc_3986_says() {
        let policy = read("%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22a%3Ab+c%22%7D%7D");
        assert_eq!(policy.statements(), json!([{"effect": "Allow", "actions": ["a:b+c"], "resources": []}]));
        for broken in ["", "%7B", "{}", "[]", "{\"Statement\": 7}", "%FF"] {
            assert!(Policy::read(broken).is_err(), "{broken}");
        }
    }

    fn trust(statement: &str) -> Trust {
        let own = ["111122223333"].into_iter().collect();
        read(&format!(r#"{{"Statement":[{statement}]}}"#)).trust(&own).remove(0)
    }

    #[test]
    fn a_trust_names_everybody_in_three_ways() {
        for statement in [
            r#"{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}"#,
            r#"{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":"sts:AssumeRole"}"#,
            r#"{"Effect":"Allow","NotPrincipal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"sts:AssumeRole"}"#,
        ] {
            assert_eq!(trust(statement).aws_principals, ["*"], "{statement}");
        }
    }

    #[test]
    fn only_conditions_that_keep_somebody_out_limit_a_trust() {
        let table = [
            (r#"{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}"#, &["aws:principalorgid"][..]),
            (r#"{"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":["o-1/*"]}}"#, &["aws:principalorgpaths"]),
            (r#"{"StringLike":{"aws:PrincipalArn":"*"}}"#, &[]),
            (r#"{"StringEqualsIfExists":{"aws:PrincipalOrgID":"o-1"}}"#, &[]),
            (r#"{"StringNotEquals":{"aws:PrincipalOrgID":"o-1"}}"#, &[]),
            (r#"{"Bool":{"aws:SecureTransport":"true"}}"#, &[]),
        ];
        for (condition, keys) in table {
            let trust = trust(&format!(r#"{{"Effect":"Allow","Principal":"*","Condition":{condition}}}"#));
            assert_eq!(trust.limiting_keys.iter().collect::<Vec<_>>(), keys, "{condition}");
            assert_eq!(trust.condition_keys.len(), 1);
        }
    }

    #[test]
    fn a_foreign_account_is_one_that_the_settings_do_not_name() {
        let foreign = |principal: &str| {
            trust(&format!(r#"{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}}}}"#)).lets_foreigners_in()
        };
        assert!(foreign("arn:aws:iam::999988887777:root") && foreign("999988887777"));
        assert!(foreign("arn:aws:sts::999988887777:assumed-role/a/b"));
        for own in ["arn:aws:iam::111122223333:role/a", "111122223333", "*", "AIDAEXAMPLE"] {
            assert!(!foreign(own), "{own}");
        }
    }

    #[test]
    fn external_ids_and_subjects_count_only_where_they_are_asked_for() {
        let condition = r#"{"StringEquals":{"sts:ExternalId":"x"},"StringLike":{"token.actions.githubusercontent.com:sub":["repo:a/b:*"]},
            "StringEqualsIfExists":{"sts:externalid":"y"}}"#;
        let trust = trust(&format!(r#"{{"Effect":"Allow","Principal":{{"Federated":"f"}},"Condition":{condition}}}"#));
        assert_eq!((trust.external_ids, trust.oidc_subs), (vec!["x".to_owned()], vec!["repo:a/b:*".to_owned()]));
    }
}
