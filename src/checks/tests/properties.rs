//! What holds for every file and every resource, whatever is done to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use checks::{CheckSet, Kind, Prepared, Problem, Texts, verdict};
use domain::{Field, GapReason, ObservationValue, Resource, ResourceKey};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::support::{AT, DOOR};

/// The built-in checks and one with everything a check can have, as texts.
static FILES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let own = Texts::embedded().checks.into_iter().map(|(_, text)| text);
    own.chain([DOOR.to_owned()]).collect()
});

/// The catalogues that those files link to, each with these controls alone: they are read anew for every changed file.
static CATALOGUES: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let mut linked: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for link in FILES.iter().flat_map(|file| tree(file)["controls"].as_array().unwrap().clone()) {
        let word = |key: &str| link[key].as_str().unwrap().to_owned();
        linked.entry(word("framework")).or_default().insert(word("control"));
    }
    let catalogue = |(id, controls): (String, BTreeSet<String>)| {
        let held: Vec<Value> =
            controls.iter().map(|id| json!({"id": id, "title": "a title", "theme": "all"})).collect();
        let themes = json!([{"id": "all", "title": "All", "controls": held.len()}]);
        let catalogue = json!({"id": id, "title": id, "edition": "1", "copyright": "none", "themes": themes,
            "controls": held});
        (format!("{id}.yaml"), catalogue.to_string())
    };
    linked.into_iter().map(catalogue).collect()
});

static SET: LazyLock<CheckSet> = LazyLock::new(|| CheckSet::embedded().unwrap());

fn load(checks: &[(&str, &str)]) -> Result<CheckSet, Vec<Problem>> {
    let checks = checks.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    CheckSet::load(&[Texts { checks, frameworks: CATALOGUES.clone() }])
}

/// Every problem has a place, and can be shown.
fn placed(problems: &[Problem]) {
    for problem in problems {
        assert!(problem.line >= 1 && problem.column >= 1, "{problem:?}");
        assert!(problem.to_string().starts_with(&format!("check.yaml:{}:{}: ", problem.line, problem.column)));
    }
}

/// The file as a tree; JSON is YAML, so the changed tree is a file again.
fn tree(text: &str) -> Value {
    checks::yaml::parse(text, text).unwrap()
}

/// The paths of every key and item of a tree.
fn paths(value: &Value, here: &mut Vec<String>, out: &mut Vec<Vec<String>>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        here.push(key);
        out.push(here.clone());
        paths(child, here, out);
        here.pop();
    }
}

/// Whether a path leads into the value of an example's field: what a source answers has a shape of its own.
fn in_a_value(path: &[String]) -> bool {
    path.len() > 4 && path[0] == "examples" && path[2] == "fields"
}

fn at<'a>(value: &'a mut Value, path: &[String]) -> &'a mut Value {
    path.iter().fold(value, |value, key| match value {
        Value::Array(list) => &mut list[key.parse::<usize>().unwrap()],
        other => &mut other[key],
    })
}

/// A value of another kind.
fn other_kind(value: &Value) -> Value {
    match value {
        Value::String(_) | Value::Null => json!({"a": 1}),
        _ => json!("text"),
    }
}

#[test]
fn every_key_misspelt_is_a_problem_with_its_place() {
    let mut tried = 0;
    for file in FILES.iter() {
        let original = tree(file);
        let mut all = Vec::new();
        paths(&original, &mut Vec::new(), &mut all);
        all.retain(|path| !in_a_value(path));
        for path in &all {
            let (key, parent) = path.split_last().unwrap();
            let mut changed = original.clone();
            let Value::Object(map) = at(&mut changed, parent) else { continue };
            let value = map.remove(key).unwrap();
            map.insert(format!("{key}x"), value);
            let problems = load(&[("check.yaml", &changed.to_string())]).expect_err(&format!("{path:?}"));
            assert!(!problems.is_empty());
            placed(&problems);
            tried += 1;
        }
    }
    assert!(tried > 400, "{tried}");
}

#[test]
fn every_value_of_a_wrong_kind_is_a_problem_with_its_place() {
    let mut tried = 0;
    for file in FILES.iter() {
        let original = tree(file);
        let mut all = Vec::new();
        paths(&original, &mut Vec::new(), &mut all);
        all.retain(|path| !in_a_value(path));
        for path in &all {
            let mut changed = original.clone();
            let value = at(&mut changed, path);
            *value = other_kind(value);
            let problems = load(&[("check.yaml", &changed.to_string())]).expect_err(&format!("{path:?}"));
            assert!(!problems.is_empty());
            placed(&problems);
            tried += 1;
        }
    }
    assert!(tried > 500, "{tried}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_cut_off_is_a_problem_with_its_place(which in 0..9_usize, part in 0.0..1.0_f64) {
        let file = &FILES[which];
        // Until then an example that every check must have is missing; after it the rest may well be a whole check.
        let needed = file.find("expect: undetermined").unwrap();
        let cut: String = file.chars().take((needed as f64 * part) as usize).collect();
        let problems = load(&[("check.yaml", &cut)]).expect_err(&cut);
        prop_assert!(!problems.is_empty());
        placed(&problems);
    }

    #[test]
    fn a_file_scribbled_on_never_panics(
        which in 0..9_usize,
        places in proptest::collection::vec((0.0..1.0_f64, any::<char>()), 1..4),
    ) {
        let mut chars: Vec<char> = FILES[which].chars().collect();
        for (part, c) in places {
            let place = (chars.len() as f64 * part) as usize;
            chars[place] = c;
        }
        if let Err(problems) = load(&[("check.yaml", &chars.into_iter().collect::<String>())]) {
            prop_assert!(!problems.is_empty());
            placed(&problems);
        }
    }

    #[test]
    fn an_expression_of_any_tokens_never_panics_or_overflows(
        tokens in proptest::collection::vec(proptest::sample::select(vec![
            "a", "locked", "turns", "params.least_turns", "(", ")", "[", "]", "{", "}", "!", "-", "?", ":", "&&", "||", "==",
            ".", ".all(x, ", ".exists(x, ", ".map(x, ", "size(", "1", "'s'", ",", "in", "has(", "@result", ".?k",
            "1e9", "null",
        ]), 0..400)
    ) {
        let expr = serde_json::to_string(&tokens.join(" ")).unwrap();
        let text = DOOR.replace("expr: locked == true && turns >= params.least_turns", &format!("expr: {expr}"));
        if let Err(problems) = load(&[("check.yaml", &text)]) {
            placed(&problems);
        }
    }

    #[test]
    fn an_unread_field_never_gives_a_word_for_or_against(
        which in 0..8_usize,
        unread in proptest::collection::vec(any::<bool>(), 10),
        seeds in proptest::collection::vec((0..12_u32, any::<i64>()), 10),
    ) {
        let check = SET.checks().nth(which).unwrap();
        let mut fields = BTreeMap::new();
        for (place, (name, field)) in check.fields().iter().enumerate() {
            let value = any_value(field.kind, seeds[place]);
            // The first field is unread whenever chance leaves all of them read.
            let is_unread = unread[place] || (place == 0 && !unread.iter().take(check.fields().len()).any(|u| *u));
            if is_unread {
                fields.insert(name.clone(), Field::Unread(GapReason::Throttled, "429".into()));
            } else if let Some(value) = value {
                fields.insert(name.clone(), Field::Read(value));
            }
        }
        let blind = |name: &str| !matches!(fields.get(name), Some(Field::Read(_)));
        // Whole words: `trust` is not named by `trusted_vendor_roles`.
        let words = |text: &str| -> Vec<String> {
            text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').map(str::to_owned).collect()
        };
        let applies = check.applies().map(words).unwrap_or_default();
        let in_applies = |name: &str| applies.iter().any(|word| word == name);
        let applies_blind = check.fields().keys().any(|name| in_applies(name) && blind(name));
        let expr_blind = check.fields().keys().any(|name| !in_applies(name) && blind(name));
        let key = ResourceKey { kind: check.resource().clone(), id: "1".into() };
        let resource = Resource { key, name: "any".into(), fields, exchanges: Vec::new() };
        let value = verdict(check, &Prepared::new(&resource, 1), AT).value;
        if applies_blind {
            prop_assert_eq!(value, ObservationValue::Undetermined);
        } else if expr_blind {
            let silent = matches!(value, ObservationValue::Undetermined | ObservationValue::NotApplicable);
            prop_assert!(silent, "{:?}", value);
        }
    }
}

/// A value of the kind, of any other kind, or none at all.
fn any_value(kind: Kind, (choice, number): (u32, i64)) -> Option<Value> {
    let texts = ["", "external", "none", "S256", "length(12) and passwordHistory(3)"];
    let text = texts[number.unsigned_abs() as usize % texts.len()];
    Some(match choice {
        0 => return None,
        1 => Value::Null,
        2 => json!(number),
        3 => json!(text),
        4 => json!([text, number, null]),
        5 => Value::Object(Map::from_iter([("k".to_owned(), json!(number))])),
        _ => match kind {
            Kind::Bool => json!(number % 2 == 0),
            Kind::Int => json!(number % 100_000),
            Kind::Number => json!(number as f64 / 3.0),
            Kind::Text => json!(text),
            Kind::Texts | Kind::List => json!([text, "otp"]),
            Kind::Map | Kind::Null => json!({}),
        },
    })
}
