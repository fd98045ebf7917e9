//! Three-valued judgement, and what the check language can and cannot say.

use checks::{CheckSet, Prepared, evaluate, verdict};
use domain::{ObservationValue, ObservationValue::*, Resource};
use serde_json::{Value, json};

use crate::support::{AT, DOOR, expression, load, read, unread};

fn judge(set: &CheckSet, resource: &Resource, collector_version: u32) -> (ObservationValue, String) {
    let check = set.checks().next().unwrap();
    let observation = evaluate(check, &Prepared::new(resource, collector_version), AT);
    assert_eq!(observation.value, verdict(check, &Prepared::new(resource, collector_version), AT).value);
    (observation.value, observation.reason.unwrap_or_default())
}

fn door(fields: Value) -> Resource {
    read("house.door", fields)
}

#[test]
fn each_word_is_said_when_its_turn_comes() {
    let set = load(&[("door.yaml", DOOR)]).unwrap();
    let locked = || door(json!({"outside": true, "locked": true, "turns": 2}));
    let inside = || door(json!({"outside": false, "locked": true, "turns": 2}));
    let table = [
        (locked(), Conforms, ""),
        (door(json!({"outside": true, "locked": false, "turns": 2})), Deviates, ""),
        (inside(), NotApplicable, "the check does not speak of it"),
        // `applies` first: what it does not speak of may be unread.
        (unread(inside(), "locked"), NotApplicable, "the check does not speak of it"),
        (unread(locked(), "outside"), Undetermined, "could not read outside: denied"),
        (unread(locked(), "locked"), Undetermined, "could not read locked: denied"),
        // It would deviate whatever the other field is; it must not say so.
        (
            unread(door(json!({"outside": true, "locked": false})), "turns"),
            Undetermined,
            "could not read turns: denied",
        ),
        (door(json!({"outside": true, "locked": true})), Undetermined, "not collected: turns"),
        (door(json!({})), Undetermined, "not collected: outside"),
        // Null is a value, and this one cannot be compared.
        (
            door(json!({"outside": true, "locked": true, "turns": null})),
            Undetermined,
            "could not be evaluated: found no matching overload for '_>=_' applied to '(null_type, int)'",
        ),
        // Null where it is not a value, and text where the check was written for a bool: neither pass nor fail.
        (door(json!({"outside": true, "locked": null, "turns": 2})), Undetermined, "locked is null, expected bool"),
        (door(json!({"outside": true, "locked": "true", "turns": 2})), Undetermined, "locked is text, expected bool"),
    ];
    for (resource, value, reason) in table {
        assert_eq!(judge(&set, &resource, 2), (value, reason.to_owned()), "{:?}", resource.fields);
    }
}

#[test]
fn badday_15_evidence_of_an_older_collector_is_undetermined() {
    let set = load(&[("door.yaml", DOOR)]).unwrap();
    let resource = door(json!({"outside": true, "locked": true, "turns": 2}));
    let reason = "read by version 1 of the collector, the check needs 2";
    assert_eq!(judge(&set, &resource, 1), (Undetermined, reason.to_owned()));
    assert_eq!(judge(&set, &resource, 3).0, Conforms);
}

#[test]
fn badday_01_and_16_an_unread_field_leaves_the_resource_and_names_what_is_missing() {
    let set = load(&[("door.yaml", DOOR)]).unwrap();
    let resource = unread(door(json!({"outside": true, "turns": 2, "colour": "red"})), "locked");
    let observation = evaluate(set.checks().next().unwrap(), &Prepared::new(&resource, 2), AT);
    assert_eq!(observation.value, Undetermined);
    assert_eq!(observation.unread, ["locked"]);
    assert_eq!(json!(observation.fields), json!({"outside": true, "turns": 2}), "the fields it names, no others");
    assert_eq!(observation.name, "front door");
    assert_eq!(observation.version.len(), 16);
    let blind: Vec<&str> = set.blinded_by(&["house.door.locked".to_owned()]).map(|c| c.id().as_str()).collect();
    assert_eq!(blind, ["house.door.locked"]);
    assert_eq!(set.blinded_by(&["house.door.colour".to_owned()]).count(), 0);
}

/// Evaluates an expression over fields `a` and `b` of any kind.
fn says(kind: &str, expr: &str, a: Value) -> (ObservationValue, String) {
    let set = expression(&[("a", kind)], expr);
    judge(&set, &read("a.thing", json!({"pick": 2, "a": a})), 1)
}

#[test]
fn numbers_texts_and_lists_mean_what_json_means() {
    let table = [
        ("int", "a + 1 == 42", json!(41)),
        ("int", "a == 41 && a > 40.5 && a < 41.5", json!(41)),
        ("number", "a + 0.5 == 41.5", json!(41.0)),
        ("number", "a > 9223372036854775807", json!(u64::MAX)),
        ("int", "a < 0", json!(i64::MIN)),
        ("text", "a.startsWith('x') && a.endsWith('z') && a.contains('y') && size(a) == 3", json!("xyz")),
        ("text", "a.matches('^x.z$') && matches(a, 'y')", json!("xyz")),
        ("list", "a.all(x, x in ['p', 'q']) && size(a) == 2 && a[0] == 'p'", json!(["p", "q"])),
        ("list", "a.filter(x, x > 1).map(x, x * 2) == [4, 6]", json!([1, 2, 3])),
        ("list", "a.exists_one(x, x == null)", json!([1, null])),
        ("map", "a.k.l == 1 && 'k' in a && has(a.k) && !has(a.z) && size(a) == 1", json!({"k": {"l": 1}})),
        ("map", "a['k'] == 'v' && a.all(key, a[key] == 'v')", json!({"k": "v", "l": "v"})),
        (
            "map",
            "a.map(key, key) == ['a', 'b', 'c', 'd', 'e', 'f']",
            json!({"f": 1, "e": 1, "d": 1, "c": 1, "b": 1, "a": 1}),
        ),
        ("map", "a.x == a.y && a.x != a.z", json!({"x": {"p": 1}, "y": {"p": 1}, "z": {"p": 2}})),
        ("map", "a.?z.orValue(7) == 7", json!({"k": 1})),
        ("text", "a == null", json!(null)),
    ];
    for (kind, expr, value) in table {
        assert_eq!(says(kind, expr, value), (Conforms, String::new()), "{expr}");
    }
}

#[test]
fn lengths_of_time_are_relative_to_the_time_of_evaluation() {
    // Evaluated at 2026-01-01T00:00:00Z.
    let table = [
        ("days_since(a) == 31.0 && days_since(a) > 30", json!("2025-12-01T00:00:00Z")),
        ("days_until(a) == 1.5", json!("2026-01-02T12:00:00+00:00")),
        ("days_until(a) < 0", json!("2025-12-01")),
        ("days_between(a, '2025-12-03') == 2", json!("2025-12-01")),
        ("hours_since(a) == 1", json!("2025-12-31T23:00:00Z")),
        ("hours_between(a, '2025-12-01T06:00:00Z') == 6", json!("2025-12-01")),
        ("minutes_since(a) == 30", json!("2025-12-31T23:30:00Z")),
        ("minutes_between('2025-12-31T23:30:00Z', a) == 15", json!("2025-12-31T23:45:00Z")),
        ("days_since(timestamp(a)) == 31", json!("2025-12-01T00:00:00Z")),
    ];
    for (expr, value) in table {
        assert_eq!(says("text", expr, value), (Conforms, String::new()), "{expr}");
    }
}

#[test]
fn what_cannot_be_evaluated_is_undetermined_with_its_reason() {
    let table = [
        ("map", "a.z == 1", json!({"k": 1}), "could not be evaluated: No such key: z"),
        ("map", "a.k", json!({"k": 1}), "gave int instead of true or false"),
        (
            "text",
            "days_since(a) > 1",
            json!("soon"),
            "could not be evaluated: Error executing function 'days_since': not a moment: \"soon\"; expected RFC 3339, for \
             example 2026-07-01T00:00:00Z or 2026-07-01",
        ),
        (
            "text",
            "days_since(a) > 1",
            json!(null),
            "could not be evaluated: Error executing function 'days_since': expected a moment, found null_type",
        ),
        ("int", "1 / a == 1", json!(0), "could not be evaluated: Division by zero of Int(1)"),
        (
            "int",
            "a + 1 > 0",
            json!(i64::MAX),
            "could not be evaluated: Overflow from binary operator 'add': Int(9223372036854775807), Int(1)",
        ),
        ("list", "a[5] == 1", json!([1]), "could not be evaluated: Index out of bounds: Int(5)"),
        (
            "text",
            "a.matches('x')",
            json!(null),
            "could not be evaluated: Error executing function '@matches': matches is for text",
        ),
    ];
    for (kind, expr, value, reason) in table {
        assert_eq!(says(kind, expr, value), (Undetermined, reason.to_owned()), "{expr}");
    }
}

#[test]
fn a_list_too_long_for_a_nested_loop_is_undetermined_at_once() {
    let long: Vec<u32> = (0..5000).collect();
    let reason = "a list of 5000 is too long for a check that loops 2 deep";
    assert_eq!(says("list", "a.all(x, a.exists(y, y == x))", json!(long)), (Undetermined, reason.to_owned()));
    assert_eq!(says("list", "a.all(x, x >= 0)", json!(long)).0, Conforms);
}

#[test]
fn the_deepest_expression_that_is_allowed_is_evaluated_on_a_small_stack() {
    let deep = format!("a{} == 60", " + 1".repeat(59));
    let work = move || assert_eq!(says("int", &deep, json!(1)).0, Conforms);
    std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(work).unwrap().join().unwrap();
}

#[test]
fn the_same_evidence_gives_the_same_bytes() {
    let fields = json!({"pick": 2, "a": {"z": 1, "y": 2, "x": 3, "w": 4, "v": 5}});
    let set = expression(&[("a", "map")], "a.all(k, a[k] / 0 == 1)");
    let check = set.checks().next().unwrap();
    let resource = read("a.thing", fields);
    let once = serde_json::to_string(&evaluate(check, &Prepared::new(&resource, 1), AT)).unwrap();
    for _ in 0..20 {
        assert_eq!(serde_json::to_string(&evaluate(check, &Prepared::new(&resource, 1), AT)).unwrap(), once);
    }
}
