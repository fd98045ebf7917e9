//! A check that could say something its author did not mean is refused when it is loaded, with its place.

use checks::{CheckSet, Texts};

use crate::support::{CATALOGUE, DOOR, load, refusal};

#[test]
fn badday_13_a_misspelt_field_is_refused_with_the_nearest_name() {
    let text = DOOR.replace("expr: locked ==", "expr: lokced ==");
    assert_eq!(
        refusal(&text),
        "\
door.yaml:11:7: expr: names lokced, which is no field of this check
   11 | expr: lokced == true && turns >= params.least_turns
      |       ^^^^^^ did you mean locked?"
    );
}

#[test]
fn badday_14_a_check_without_its_expression_is_refused() {
    let text = DOOR.replace("expr: locked == true && turns >= params.least_turns\n", "");
    assert_eq!(
        refusal(&text),
        "\
door.yaml:1:1: the key expr is missing
    1 | id: house.door.locked
      | ^ add expr: …"
    );
}

#[test]
fn badday_15_a_check_that_does_not_say_which_collector_it_was_written_for_is_refused() {
    let text = DOOR.replace(", version: 2}", "}");
    assert_eq!(
        refusal(&text),
        "\
door.yaml:8:1: needs: the key version is missing
    8 | needs: {source: house, collector: doors}
      | ^^^^^ add version: …"
    );
}

#[test]
fn whatever_is_wrong_with_a_check_is_said_in_one_line_at_its_place() {
    let first_lines = |text: &str| {
        let said = refusal(text);
        said.lines().filter(|line| line.starts_with("door.yaml:")).collect::<Vec<_>>().join("\n")
    };
    let table = [
        ("severity: high", "severity: hihg", "door.yaml:5:11: severity: unknown value \"hihg\""),
        ("severity: high", "severity: [high]", "door.yaml:5:11: severity: expected one word"),
        ("severity: high", "severty: high", "door.yaml:5:1: severty: unknown key"),
        ("title: Doors are locked", "title: ''", "door.yaml:2:8: title is empty"),
        (
            "severity_why: anyone can walk in",
            "severity_why: |\n  one\n  two",
            "door.yaml:7:3: severity_why is for one line",
        ),
        ("greatest_age: 6h", "greatest_age: 0h", "door.yaml:9:15: evidence would always be too old"),
        (
            "greatest_age: 6h",
            "greatest_age: often",
            "door.yaml:9:15: greatest_age: not a length of time: \"often\"; expected a whole number and a unit \
             (ms, s, m, h, d), for example 15m",
        ),
        (
            "id: house.door.locked",
            "id: Door",
            "door.yaml:1:5: id: not a check: \"Door\"; expected words joined by dots, for example \
             keycloak.realm.brute_force",
        ),
        ("control: A.8.3", "control: A.8.33", "door.yaml:19:41: iso27001-2022 has no control A.8.33"),
        ("framework: iso27001-2022", "framework: iso27001-2021", "door.yaml:19:17: unknown framework iso27001-2021"),
        ("bearing: proves", "bearing: shows", "door.yaml:19:57: controls[0].bearing: unknown value \"shows\""),
        (
            "why: nobody walks in}",
            "why: nobody walks in}\n  - {framework: iso27001-2022, control: A.8.3, bearing: supports, why: x}",
            "door.yaml:20:41: A.8.3 stands here twice",
        ),
        (
            "params.least_turns",
            "params.least_turn",
            "door.yaml:11:34: expr: names the parameter least_turn, which this check does not have",
        ),
        ("turns >= params.least_turns", "turns >= 2", "door.yaml:13:3: least_turns is used nowhere"),
        ("locked == true && turns", "turns", "door.yaml:16:3: locked is used nowhere"),
        ("applies: outside == true\n", "", "door.yaml:14:3: outside is used nowhere"),
        (
            "locked == true &&",
            "locked == true &",
            "door.yaml:11:22: expr: not an expression: token recognition error at: '& '",
        ),
        (
            "kind: bool, call: GET /doors, path: locked",
            "kind: flag, call: GET /doors, path: locked",
            "door.yaml:16:30: fields.locked.kind: unknown value \"flag\"",
        ),
        (
            "fields: {outside: true, locked: true, turns: 2}",
            "fields: {outside: true, lokced: true, turns: 2}",
            "door.yaml:23:63: names lokced, which is no field of this check",
        ),
        (
            "fields: {outside: true, locked: true, turns: 2}",
            "fields: {outside: true, locked: 'yes', turns: 2}",
            "door.yaml:23:71: locked is text, expected bool",
        ),
        ("unread: [locked]", "unread: [lokced]", "door.yaml:26:85: names lokced, which is no field of this check"),
        ("unread: [locked]", "unread: [locked, turns]", "door.yaml:26:93: turns is both read and unread"),
        (
            "title: open, expect: deviates",
            "title: open, expect: conforms",
            "door.yaml:22:1: no example of a resource for which it says deviates",
        ),
        (
            "  - {title: inside, expect: not_applicable, fields: {outside: false, locked: false, turns: 0}}\n",
            "",
            "door.yaml:22:1: no example of a resource for which it says not applicable",
        ),
        (
            "  outside: {is",
            "  Outside: {is",
            "\
door.yaml:10:10: applies: names outside, which is no field of this check
door.yaml:15:3: \"Outside\" cannot be a name
door.yaml:23:48: names outside, which is no field of this check
door.yaml:24:46: names outside, which is no field of this check
door.yaml:25:54: names outside, which is no field of this check
door.yaml:26:50: names outside, which is no field of this check",
        ),
        (
            "  least_turns: {default: 2,",
            "  least_turns: {default: null,",
            "door.yaml:13:26: a threshold cannot be nothing",
        ),
    ];
    for (right, wrong, expected) in table {
        assert!(DOOR.contains(right), "{right}");
        assert_eq!(first_lines(&DOOR.replace(right, wrong)), expected, "{wrong}");
    }
}

#[test]
fn an_example_that_does_not_give_what_it_says_is_refused() {
    let text = DOOR.replace("expr: locked == true", "expr: locked != true");
    assert_eq!(
        refusal(&text),
        "\
door.yaml:23:29: \"locked\" says conforms, but the check gives deviates
   23 |   - {title: locked, expect: conforms, fields: {outside: true, locked: true, turns: 2}}
      |                             ^^^^^^^^"
    );
    let text = DOOR.replace("outside: true, turns: 2}, unread: [locked]", "outside: true, locked: true, turns: null}");
    assert!(load(&[("door.yaml", &text)]).is_ok(), "null cannot be compared, which is undetermined too");
    let text = text.replace("turns: null", "turns: 3");
    assert!(
        refusal(&text).starts_with("door.yaml:26:27: \"dark\" says undetermined, but the check gives conforms"),
        "{}",
        refusal(&text)
    );
}

#[test]
fn every_problem_of_every_file_is_told_at_once() {
    let one = DOOR.replace("A.8.3,", "A.9.9,").replace("unread: [locked]", "unread: [lokced]");
    let two = DOOR.replace("house.door.locked", "house.door.other").replace("title: Doors", "tittle: Doors");
    let problems = load(&[("one.yaml", &one), ("two.yaml", &two)]).unwrap_err();
    let said: Vec<String> = problems.iter().map(checks::Problem::headline).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[0].starts_with("one.yaml:19:") && said[1].starts_with("one.yaml:26:"), "{said:?}");
    assert!(said[2].starts_with("two.yaml:2:1:"), "{said:?}");
}

#[test]
fn a_later_layer_takes_the_place_of_an_earlier_one_but_one_layer_says_an_id_once() {
    let layer = |text: &str| Texts {
        checks: vec![("door.yaml".into(), text.into())],
        frameworks: vec![("catalogue.yaml".into(), CATALOGUE.into())],
    };
    let stricter = DOOR.replace("default: 2", "default: 3").replace("turns: 2", "turns: 3");
    let set = CheckSet::load(&[layer(DOOR), layer(&stricter)]).unwrap();
    assert_eq!(set.checks().count(), 1);
    assert_eq!(set.checks().next().unwrap().param_values()["least_turns"], 3);

    let problems = load(&[("one.yaml", DOOR), ("two.yaml", DOOR)]).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].headline(), "two.yaml:1:5: house.door.locked is already in one.yaml");
}

#[test]
fn a_catalogue_that_contradicts_itself_is_refused() {
    let refused = |text: String| {
        let texts = Texts { checks: vec![], frameworks: vec![("catalogue.yaml".into(), text)] };
        let problems = CheckSet::load(&[texts]).unwrap_err();
        problems.iter().map(checks::Problem::headline).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        refused(CATALOGUE.replace("controls: 9", "controls: 8")),
        "catalogue.yaml:6:37: says 8 controls, but 9 have this theme"
    );
    assert_eq!(
        refused(CATALOGUE.replace("A.8.4", "A.8.3")),
        "catalogue.yaml:16:10: the control A.8.3 stands here twice"
    );
    assert!(refused(CATALOGUE.replace("one, theme: all", "one, theme: al")).contains("unknown theme \"al\""));
}

#[test]
fn a_catalogue_that_names_what_no_other_has_is_refused_at_its_place() {
    let refused = |control: &str| {
        let text = CATALOGUE.replace("{id: A.8.4, title: nine, theme: all}", control);
        let texts = Texts { checks: vec![], frameworks: vec![("catalogue.yaml".into(), text)] };
        let problems = CheckSet::load(&[texts]).unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let control = |corresponds: &str| format!("{{id: A.8.4, title: nine, theme: all, corresponds: {corresponds}}}");
    let said = refused(&control("{iso27001-2022: [A.8.33]}"));
    assert!(said.starts_with("catalogue.yaml:16:72: iso27001-2022 has no control A.8.33"), "{said}");
    assert!(said.contains("A.8.3"), "{said}");
    let said = refused(&control("{iso27001-2023: [A.8.3]}"));
    assert!(said.contains("unknown framework iso27001-2023") && said.contains("iso27001-2022"), "{said}");
}
