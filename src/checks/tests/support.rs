//! Small checks and resources for the tests.

use std::collections::BTreeMap;

use checks::{CheckSet, Problem, Texts};
use domain::{Field, GapReason, Resource, ResourceKey, Timestamp};
use serde_json::Value;

/// A catalogue with the controls that the tests link to.
pub(crate) const CATALOGUE: &str = "\
id: iso27001-2022
title: a few controls
edition: '3'
copyright: none
themes:
  - {id: all, title: All, controls: 9}
controls:
  - {id: A.5.14, title: one, theme: all}
  - {id: A.5.17, title: two, theme: all}
  - {id: A.8.2, title: three, theme: all}
  - {id: A.8.5, title: four, theme: all}
  - {id: A.8.15, title: five, theme: all}
  - {id: A.8.24, title: six, theme: all}
  - {id: A.8.26, title: seven, theme: all}
  - {id: A.8.3, title: eight, theme: all}
  - {id: A.8.4, title: nine, theme: all}
";

/// A check that is right in every way. Tests make it wrong in one.
pub(crate) const DOOR: &str = "\
id: house.door.locked
title: Doors are locked
problem: something is wrong
rationale: An open door lets in everybody.
severity: high
severity_why: anyone can walk in
resource: house.door
needs: {source: house, collector: doors, version: 2}
greatest_age: 6h
applies: outside == true
expr: locked == true && turns >= params.least_turns
params:
  least_turns: {default: 2, means: turns of the key}
fields:
  outside: {is: leads outside, kind: bool, call: GET /doors, path: outside}
  locked: {is: locked, kind: bool, call: GET /doors, path: locked}
  turns: {is: turns of the key, kind: int, or_null: true, call: 'GET /doors/{id}', path: turns}
controls:
  - {framework: iso27001-2022, control: A.8.3, bearing: proves, why: nobody walks in}
first_action: Turn the key twice
remediation: Lock the door.
examples:
  - {title: locked, expect: conforms, fields: {outside: true, locked: true, turns: 2}}
  - {title: open, expect: deviates, fields: {outside: true, locked: false, turns: 0}}
  - {title: inside, expect: not_applicable, fields: {outside: false, locked: false, turns: 0}}
  - {title: dark, expect: undetermined, fields: {outside: true, turns: 2}, unread: [locked]}
";

/// When the tests evaluate.
pub(crate) const AT: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Loads checks by file name and text, over the small catalogue.
pub(crate) fn load(checks: &[(&str, &str)]) -> Result<CheckSet, Vec<Problem>> {
    let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    let frameworks = vec![("catalogue.yaml".to_owned(), CATALOGUE.to_owned())];
    CheckSet::load(&[Texts { checks: checks.iter().map(own).collect(), frameworks }])
}

/// What a person reads when a check is refused.
pub(crate) fn refusal(text: &str) -> String {
    let problems = load(&[("door.yaml", text)]).expect_err(text);
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// A set with one check: the given expression over fields of the kinds that `fields` names (`a: bool`). Its examples
/// are left to the loader of the real check, so it takes the place of one that loads.
pub(crate) fn expression(fields: &[(&str, &str)], expr: &str) -> CheckSet {
    let list: String = fields
        .iter()
        .map(|(name, kind)| format!("  {name}: {{is: x, kind: {kind}, or_null: true, call: GET /, path: x}}\n"))
        .collect();
    let text = format!(
        "id: a.b
title: t
problem: something is wrong
rationale: r
severity: low
severity_why: w
resource: a.thing
needs: {{source: a, collector: c, version: 1}}
greatest_age: 1h
expr: {}
fields:
  pick: {{is: which example, kind: int, call: GET /, path: x}}
{list}controls:
  - {{framework: iso27001-2022, control: A.8.3, bearing: supports, why: w}}
first_action: f
remediation: m
examples:
  - {{title: yes, expect: conforms, fields: {{pick: 1{nulls}}}}}
  - {{title: no, expect: deviates, fields: {{pick: 0{nulls}}}}}
  - {{title: unknown, expect: undetermined}}
",
        serde_json::to_string(&format!("pick == 2 ? ({expr}) : pick == 1")).unwrap(),
        nulls = fields.iter().map(|(name, _)| format!(", {name}: null")).collect::<String>(),
    );
    load(&[("expression.yaml", &text)])
        .unwrap_or_else(|problems| panic!("{}", problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")))
}

/// A resource whose fields were all read.
pub(crate) fn read(kind: &str, fields: Value) -> Resource {
    let fields: BTreeMap<String, Value> = serde_json::from_value(fields).unwrap();
    let fields = fields.into_iter().map(|(name, value)| (name, Field::Read(value))).collect();
    let key = ResourceKey { kind: kind.parse().unwrap(), id: "1".into() };
    Resource { key, name: "front door".into(), fields, exchanges: Vec::new() }
}

/// The same resource with a field that could not be read.
pub(crate) fn unread(mut resource: Resource, field: &str) -> Resource {
    resource.fields.insert(field.into(), Field::Unread(GapReason::Denied, "403 Forbidden".into()));
    resource
}
