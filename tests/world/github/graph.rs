//! The part of GitHub's GraphQL that a reader uses: what was asked of the organisation, and nothing that was not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use graphql_parser::query::{
    Definition, Field, OperationDefinition, Selection, SelectionSet, Value as Argument, parse_query,
};
use serde_json::{Map, Value, json};

use super::host::{GITHUB_ORG, Host};

type Asked<'a> = Field<'a, String>;
type Fields<'a> = SelectionSet<'a, String>;

/// The answer to a request's body; what cannot be answered is said in `errors`, with 200, as GitHub does it.
pub(crate) fn answer(host: &Host, body: &[u8]) -> Value {
    resolve(host, body).map_or_else(
        |why| json!({ "data": null, "errors": [{ "type": "UNPROCESSABLE", "message": why }] }),
        |data| json!({ "data": data }),
    )
}

fn resolve(host: &Host, body: &[u8]) -> Result<Value, String> {
    let request: Value = serde_json::from_slice(body).map_err(|_| "Problems parsing JSON".to_owned())?;
    let text = request["query"].as_str().ok_or("A query attribute must be specified and must be a string.")?;
    let document = parse_query::<String>(text).map_err(|error| error.to_string())?;
    let query = document.definitions.iter().find_map(|definition| match definition {
        Definition::Operation(OperationDefinition::Query(query)) => Some(&query.selection_set),
        Definition::Operation(OperationDefinition::SelectionSet(fields)) => Some(fields),
        _ => None,
    });
    let reader = Reader { host, variables: &request["variables"] };
    reader.each(query.ok_or("A query is expected")?, |field| match field.name.as_str() {
        "organization" if reader.text(field, "login").as_deref() == Some(GITHUB_ORG) => {
            reader.each(&field.selection_set, |field| reader.organisation(field))
        }
        "organization" => Err("Could not resolve to an Organization with that login".to_owned()),
        other => Err(unknown(other)),
    })
}

struct Reader<'a> {
    host: &'a Host,
    variables: &'a Value,
}

impl Reader<'_> {
    fn organisation(&self, field: &Asked) -> Result<Value, String> {
        match field.name.as_str() {
            "login" => Ok(json!(GITHUB_ORG)),
            "id" => Ok(json!(self.host.node_id("organisation", GITHUB_ORG))),
            "requiresTwoFactorAuthentication" => Ok(json!(self.host.settings.two_factor_required)),
            "samlIdentityProvider" => Ok(Value::Null),
            "membersWithRole" => self.members(field),
            other => Err(unknown(other)),
        }
    }

    fn members(&self, field: &Asked) -> Result<Value, String> {
        let first = self.argument(field, "first").and_then(|value| value.as_u64());
        let first = first.filter(|first| (1..=100).contains(first));
        let first = first.ok_or("`first` must be between 1 and 100 on the `membersWithRole` connection")?;
        let from = match self.text(field, "after") {
            None => 0,
            Some(cursor) => {
                place(&cursor).ok_or_else(|| format!("`{cursor}` does not appear to be a valid cursor."))?
            }
        };
        let (total, end) = (self.host.member_count(), (from + first).min(self.host.member_count()));
        let members = || (from..end).filter_map(|at| self.host.member_at(at));
        self.each(&field.selection_set, |field| match field.name.as_str() {
            "totalCount" => Ok(json!(total)),
            "pageInfo" => self.each(&field.selection_set, |field| match field.name.as_str() {
                "hasNextPage" => Ok(json!(end < total)),
                "endCursor" => Ok((end > from).then(|| cursor(end)).into()),
                other => Err(unknown(other)),
            }),
            "nodes" => members().map(|member| self.member(&field.selection_set, &member)).collect(),
            "edges" => members()
                .map(|member| {
                    self.each(&field.selection_set, |field| match field.name.as_str() {
                        "role" => Ok(json!(if member.owner { "ADMIN" } else { "MEMBER" })),
                        "hasTwoFactorEnabled" => Ok(json!(member.second_factor)),
                        "node" => self.member(&field.selection_set, &member),
                        other => Err(unknown(other)),
                    })
                })
                .collect(),
            other => Err(unknown(other)),
        })
    }

    fn member(&self, fields: &Fields, member: &super::host::Member) -> Result<Value, String> {
        self.each(fields, |field| match field.name.as_str() {
            "login" => Ok(json!(member.login)),
            "id" => Ok(json!(self.host.node_id("user", &member.login))),
            "databaseId" => Ok(json!(self.host.number("user", &member.login))),
            "organizationVerifiedDomainEmails" if self.text(field, "login").as_deref() == Some(GITHUB_ORG) => {
                Ok(json!(member.email.as_ref().map_or_else(Vec::new, |email| vec![email])))
            }
            other => Err(unknown(other)),
        })
    }

    /// An object with a value for each field that was asked for.
    fn each(&self, fields: &Fields, mut value: impl FnMut(&Asked) -> Result<Value, String>) -> Result<Value, String> {
        let mut object = Map::new();
        for selection in &fields.items {
            let Selection::Field(field) = selection else { return Err("Fragments are not known here".to_owned()) };
            let name = field.alias.as_ref().unwrap_or(&field.name);
            object.insert(name.clone(), value(field)?);
        }
        Ok(Value::Object(object))
    }

    fn argument(&self, field: &Asked, name: &str) -> Option<Value> {
        match field.arguments.iter().find(|(given, _)| given == name).map(|(_, value)| value)? {
            Argument::Variable(variable) => self.variables.get(variable).cloned(),
            Argument::String(text) => Some(json!(text)),
            Argument::Int(number) => Some(json!(number.as_i64())),
            _ => None,
        }
    }

    fn text(&self, field: &Asked, name: &str) -> Option<String> {
        self.argument(field, name)?.as_str().map(str::to_owned)
    }
}

fn cursor(end: u64) -> String {
    STANDARD.encode(format!("cursor:{end}"))
}

fn place(cursor: &str) -> Option<u64> {
    String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?.strip_prefix("cursor:")?.parse().ok()
}

fn unknown(field: &str) -> String {
    format!("Field '{field}' is not known to the simulated organisation")
}
