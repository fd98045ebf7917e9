//! What the daemon says of every resource, read from its ledger, beside what is true.

use std::collections::BTreeMap;
use std::fmt::Write;

use domain::ObservationValue;
use query::RowView;
use serde_json::Value;

use super::Checks;
use crate::support::Api;

/// By check, then by the resource's id at the source: what is said of it.
pub(super) type Verdicts = BTreeMap<String, BTreeMap<String, ObservationValue>>;

/// A stream that no check reads: it is there for joins.
const NOT_JUDGED: &str = "github:acme/people";

/// Whether the last run of every stream has been judged.
pub(super) fn all_judged(api: &Api) -> bool {
    let streams = api.streams();
    // No answer is no judgement either.
    !streams.is_empty()
        && streams.iter().filter(|view| view.stream.as_str() != NOT_JUDGED).all(|view| {
            let ended = view.last_run.map(|run| run.ended);
            !view.checks.is_empty() && view.checks.iter().all(|check| Some(check.at) == ended)
        })
}

/// The observations that the last judgement of every stream recorded, each read from its row.
pub(super) fn recorded(api: &Api) -> Verdicts {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for view in api.entries(0).into_iter().filter(|view| view.kind == "observation") {
        let rows_in = view.fact["same_as"].as_u64().unwrap_or(view.entry);
        last.insert(view.fact["stream"].as_str().unwrap().to_owned(), rows_in);
    }
    let mut verdicts = Verdicts::new();
    for entry in last.into_values() {
        let rows = (0..).map_while(|row| api.get::<RowView>(&format!("entries/{entry}/{row}")));
        for observation in rows.map(|row| row.observation.unwrap()) {
            let of_check = verdicts.entry(observation.check.to_string()).or_default();
            assert_eq!(of_check.insert(observation.resource.id, observation.value), None, "said twice");
        }
    }
    verdicts
}

/// What should have been said.
pub(super) fn expected(truth: &Checks) -> Verdicts {
    let value = |word: &str| match word {
        "conforms" => ObservationValue::Conforms,
        "deviates" => ObservationValue::Deviates,
        "not_applicable" => ObservationValue::NotApplicable,
        other => panic!("the script says {other:?}"),
    };
    let of_check = |verdicts: &BTreeMap<String, Vec<super::Named>>| {
        verdicts.iter().flat_map(|(word, all)| all.iter().map(move |one| (one.id.clone(), value(word)))).collect()
    };
    truth.iter().map(|(check, verdicts)| (check.clone(), of_check(verdicts))).collect()
}

/// A table of how right each check was, printed, and the checks that were not wholly right.
///
/// Recall: of what deviates, the share that was found. Precision: of what was found, the share that deviates; nothing
/// found is nothing wrongly found.
pub(super) fn table(title: &str, truth: &Checks, found: &Verdicts) -> String {
    let mut table = format!("\n{title}\n");
    let heads = ["check", "recall", "precision", "deviates", "conforms", "undetermined", "not applicable"];
    let [check, recall, precision, deviates, conforms, undetermined, not_applicable] = heads;
    let _ = writeln!(
        table,
        "  {check:<38} {recall:>6} {precision:>9} {deviates:>9} {conforms:>9} {undetermined:>13} {not_applicable:>15}"
    );
    let none = BTreeMap::new();
    for (check, expected) in expected(truth) {
        let found = found.get(&check).unwrap_or(&none);
        let count = |value| found.values().filter(|said| **said == value).count();
        let deviates = |all: &BTreeMap<String, ObservationValue>| -> Vec<String> {
            all.iter().filter(|(_, value)| **value == ObservationValue::Deviates).map(|(id, _)| id.clone()).collect()
        };
        let (wanted, raised) = (deviates(&expected), deviates(found));
        let right = raised.iter().filter(|id| wanted.contains(id)).count();
        let share = |of: usize| if of == 0 { 1.0 } else { right as f64 / of as f64 };
        let _ = writeln!(
            table,
            "  {check:<38} {:>6.3} {:>9.3} {:>9} {:>9} {:>13} {:>15}",
            share(wanted.len()),
            share(raised.len()),
            count(ObservationValue::Deviates),
            count(ObservationValue::Conforms),
            count(ObservationValue::Undetermined),
            count(ObservationValue::NotApplicable),
        );
    }
    table
}

/// How two sets of verdicts differ, by name; empty when they do not.
pub(super) fn differences(truth: &Checks, expected: &Verdicts, found: &Verdicts) -> Vec<String> {
    let named = truth.values().flat_map(|verdicts| verdicts.values().flatten());
    let names: BTreeMap<&str, &str> = named.map(|one| (one.id.as_str(), one.name.as_str())).collect();
    let mut differences = Vec::new();
    let none = BTreeMap::new();
    let checks: std::collections::BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    for check in checks {
        let (wanted, said) = (expected.get(check).unwrap_or(&none), found.get(check).unwrap_or(&none));
        let resources: std::collections::BTreeSet<&String> = wanted.keys().chain(said.keys()).collect();
        for id in resources {
            if wanted.get(id) != said.get(id) {
                let name = names.get(id.as_str()).copied().unwrap_or("nobody the script knows");
                differences.push(format!("{check} of {name} ({id}): {:?}, not {:?}", said.get(id), wanted.get(id)));
            }
        }
    }
    differences
}

/// The deviations so far, as `check change`, in order.
pub(super) fn steps(api: &Api) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    api.facts("deviation").iter().map(|fact| format!("{} {}", word(&fact["check"]), word(&fact["change"]))).collect()
}
