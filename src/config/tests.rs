//! What settings promise: whatever is wrong is refused where it stands, with what to write instead.

use std::collections::BTreeSet;

use checks::Problem;
use checks::yaml::Document;
use serde_json::Value;

use super::manual::Manual;
use super::{Settings, check_set, example, load, parse, read, schema};

/// A small file that is right.
const GOOD: &str = "\
organisation: Acme Ltd
sources:
  keycloak:
    - name: acme
      owner: identity-team
      url: https://id.example.com
      realm: acme
      client_id: evidenced-reader
      client_secret: {file: /run/secrets/keycloak}
";

/// All problems of a text, checks and thresholds included.
fn problems(text: &str) -> Vec<Problem> {
    match read("evidenced.yaml", text) {
        Err(problems) => problems,
        Ok((settings, document)) => {
            let mut problems = settings.problems(&document);
            problems.extend(check_set(&settings, &document).err().unwrap_or_default());
            problems
        }
    }
}

/// The same as a person sees them.
fn said(text: &str) -> Vec<String> {
    problems(text).iter().map(ToString::to_string).collect()
}

/// Whether anything is wrong with a text. Loading all checks takes its time, so that is left out where only text
/// outside of `params` was touched.
fn is_refused(text: &str, in_params: bool) -> bool {
    parse("evidenced.yaml", text).is_err() || (in_params && !problems(text).is_empty())
}

/// Asserts that a text is refused, and that every problem has a place in the text and a remedy.
fn refused(text: &str, why: &str) {
    let problems = parse("evidenced.yaml", text).err().unwrap_or_else(|| problems(text));
    assert!(!problems.is_empty(), "passed although {why}");
    let lines = text.lines().count().max(1);
    for problem in problems {
        assert_eq!(problem.file, "evidenced.yaml");
        assert!((1..=lines + 1).contains(&problem.line), "{why}: {problem}");
        assert!(problem.column >= 1, "{why}: {problem}");
        assert!(!problem.message.is_empty());
        assert!(problem.remedy.is_some_and(|remedy| !remedy.is_empty()), "no remedy when {why}: {}", problem.message);
    }
}

/// Lines of the example that hold a setting, with their place.
fn settings_lines(text: &str) -> Vec<(usize, &str)> {
    let holds = |line: &str| !line.trim_start().starts_with('#') && !line.trim().is_empty();
    text.lines().enumerate().filter(|(_, line)| holds(line)).collect()
}

/// The text with one line replaced.
fn with_line(text: &str, place: usize, line: &str) -> String {
    let lines: Vec<&str> = text.lines().enumerate().map(|(n, old)| if n == place { line } else { old }).collect();
    lines.join("\n") + "\n"
}

/// Holds a file of `config/` against what is generated; `BLESS=1` writes it.
fn held_fresh(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, text, "config/{name} is not fresh: run this test with BLESS=1");
}

#[test]
fn the_example_file_is_made_from_the_doc_comments() {
    held_fresh("evidenced.example.yaml", &example());
}

#[test]
fn the_schema_file_is_made_from_the_types() {
    held_fresh("evidenced.schema.json", &schema());
}

#[test]
fn the_example_is_right_by_the_program_and_by_its_schema() {
    assert_eq!(said(&example()), [""; 0]);
    let value: Value = Document::read("example", &example()).unwrap().parse().unwrap();
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0]);
    assert!(!validator.is_valid(&serde_json::json!({ "organisation": "Acme Ltd" })), "sources are required");
    assert!(!validator.is_valid(&serde_json::json!({ "organisation": "Acme Ltd", "sources": {}, "wbe": {} })));
}

#[test]
fn every_setting_stands_in_the_example_with_its_meaning() {
    let text = example();
    let mut shown = BTreeSet::new();
    let mut path: Vec<(usize, String)> = Vec::new();
    for line in text.lines() {
        let bare = line.trim_start().trim_start_matches("# ");
        let (bare, item) = bare.strip_prefix("- ").map_or((bare, 0), |bare| (bare, 2));
        let Some((key, _)) = bare.split_once(':').filter(|(key, _)| !key.contains([' ', '`'])) else { continue };
        let indent = line.len() - line.trim_start().len() + item;
        path.retain(|(above, _)| *above < indent);
        path.push((indent, key.to_owned()));
        shown.insert(path.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>().join("."));
    }
    let manual = Manual::the();
    let settings = manual.settings();
    let missing: Vec<&String> =
        settings.iter().filter(|path| !path.starts_with("sources.example") && !shown.contains(*path)).collect();
    assert_eq!(missing, [""; 0]);
    assert!(settings.len() > 60, "{settings:?}");
    // What `file` and `env` mean stands with the type of all references to secrets.
    let of_reference = |path: &str| path.ends_with(".file") || path.ends_with(".env");
    let silent: Vec<&String> = settings.iter().filter(|path| !of_reference(path) && !manual.explains(path)).collect();
    assert_eq!(silent, [""; 0], "settings without a doc comment");
}

#[test]
fn a_left_out_setting_of_the_example_can_be_put_in_by_taking_its_mark_away() {
    // Whole sections at once, since a key and what is below it belong together.
    let mut text = String::new();
    let manual = Manual::the();
    for line in example().lines() {
        let bare = line.trim_start();
        let margin = &line[..line.len() - bare.len()];
        let uncommented = bare.strip_prefix("# ").filter(|bare| {
            let bare = bare.trim_start_matches("- ");
            let key = bare.split(':').next().unwrap_or_default();
            let known = manual.settings().iter().any(|path| path.rsplit('.').next() == Some(key));
            // Prose may begin with a key too, as in `github:acme`.
            let after = bare.strip_prefix(key).unwrap_or_default();
            known && (after == ":" || after.starts_with(": ")) && !bare.ends_with('.')
        });
        // A secret lies in one place, a sign-in is by key or by profile, and these folders are of another machine.
        let other = ["# env:", "# profile:", "# config_file:", "# checks_dir:", "# frameworks_dir:", "# ca_file:"];
        match uncommented {
            Some(bare) if !other.iter().any(|other| line.trim_start().starts_with(other)) => {
                text.push_str(&format!("{margin}{bare}\n"));
            }
            _ => text.push_str(&format!("{line}\n")),
        }
    }
    // Whoever signs in as an App has no token.
    let text = text.replace("      token:\n        file: /run/secrets/github\n", "");
    assert_eq!(said(&text), [""; 0], "{text}");
    let settings = parse("evidenced.yaml", &text).unwrap();
    assert_eq!(settings.ledger.origin.as_deref(), Some("evidenced/acme-ltd"));
    assert_eq!(settings.limits.calls, 20_000);
    assert_eq!(settings.alerts.silences.len(), 1);
}

#[test]
fn a_misspelt_key_is_refused_wherever_it_stands() {
    let text = example();
    for (place, line) in settings_lines(&text) {
        let Some((before, rest)) = line.split_once(':') else { continue };
        let key = before.trim_start().trim_start_matches("- ");
        let margin = &before[..before.len() - key.len()];
        // Two letters swapped, one doubled, one lost.
        let mut swapped: Vec<char> = key.chars().collect();
        swapped.swap(0, 1);
        let swapped: String = swapped.into_iter().collect();
        for wrong in [swapped, format!("{key}x"), key[..key.len() - 1].to_owned()] {
            if wrong != key {
                refused(&with_line(&text, place, &format!("{margin}{wrong}:{rest}")), &format!("{key} became {wrong}"));
            }
        }
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_refused_wherever_it_stands() {
    let text = example();
    for (place, line) in settings_lines(&text) {
        let Some((before, _)) = line.split_once(": ") else { continue };
        let key = before.trim_start().trim_start_matches("- ");
        for wrong in ["{a: {b: c}}", "[[1], [2]]", "", "~", "true", "''", "-1", "1e99", "\"\\u0007\""] {
            // Nothing at all leaves a setting out, and an empty list is a list.
            let optional = ["zone", "severity_at_least", "default_receivers"];
            if wrong == "~" && optional.contains(&key) || wrong.is_empty() && optional.contains(&key) {
                continue;
            }
            // Text that looks like something else is still text.
            let free_text = ["organisation", "name", "owner", "realm", "client_id", "file"];
            if free_text.contains(&key) && ["true", "-1", "1e99", "\"\\u0007\""].contains(&wrong) {
                continue;
            }
            // Less than nothing is a number too; what it means is for the check to say.
            if key == "max_failures" && wrong == "-1" {
                continue;
            }
            let broken = with_line(&text, place, &format!("{before}: {wrong}"));
            refused(&broken, &format!("{key} became {wrong}"));
        }
    }
}

#[test]
fn a_cut_file_never_passes_as_something_else_and_never_panics() {
    let text = example();
    let line_of = |start: &str| text.lines().position(|line| line.starts_with(start)).unwrap();
    let in_params = line_of("params:")..line_of("log:");
    for (place, line) in settings_lines(&text) {
        let key_ends = line.find(':').unwrap_or(line.len());
        let begins = line.len() - line.trim_start().trim_start_matches("- ").len();
        for cut in (0..=line.len()).filter(|cut| line.is_char_boundary(*cut)) {
            let broken = with_line(&text, place, &line[..cut]);
            let passed = !is_refused(&broken, in_params.contains(&place));
            // Cut inside its key a line is no setting any more.
            assert!(!passed || !(begins + 1..=key_ends).contains(&cut), "passed, cut at {cut}:\n{line}");
        }
    }
    // The whole file, cut at every character: whatever it says, it says it without a panic.
    for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)).step_by(31) {
        let _ = is_refused(&text[..cut], false);
    }
}

#[test]
fn each_fault_is_shown_where_it_stands_with_what_to_write_instead() {
    let with = |more: &str| format!("{GOOD}{more}");
    let table = [
        (
            with("schedules:\n  zone: Europe/Berln\n"),
            "evidenced.yaml:11:9: schedules.zone: unknown zone \"Europe/Berln\"
   11 |   zone: Europe/Berln
      |         ^^^^^^^^^^^^ did you mean Europe/Berlin?",
        ),
        (
            with("schedules:\n  default: '*/15 25 * * *'\n"),
            "evidenced.yaml:11:18: schedules.default: hour: 25 is out of range
   11 |   default: '*/15 25 * * *'
      |                  ^^ hour allows 0 to 23",
        ),
        (
            with("      schedules: {realm: every day, peple: '0 3 * * *'}\n"),
            "evidenced.yaml:10:32: sources.keycloak[0].schedules.realm: every: not a length of time: \"day\"
   10 |       schedules: {realm: every day, peple: '0 3 * * *'}
      |                                ^^^ a whole number and s, m, h or d, for example every: 15m
evidenced.yaml:10:44: sources.keycloak[0].schedules.peple: keycloak has no collector peple
   10 |       schedules: {realm: every day, peple: '0 3 * * *'}
      |                                            ^^^^^^^^^^^ did you mean people?",
        ),
        (
            with(&GOOD[GOOD.find("    - name").unwrap()..]),
            "evidenced.yaml:10:13: sources.keycloak[1].name: keycloak[0] has this name already
   10 |     - name: acme
      |             ^^^^ give each source a name of its own",
        ),
        (
            GOOD.replace("https://id.example.com", "http://id.example.com"),
            "evidenced.yaml:6:12: sources.keycloak[0].url: would send credentials in clear
    6 |       url: …
      |            ^ write https://",
        ),
        (
            with("web:\n  listen: 0.0.0.0:8461\n"),
            "evidenced.yaml:11:11: web.listen: 0.0.0.0:8461 can be reached from other machines, and nothing keeps them out
   11 |   listen: 0.0.0.0:8461
      |           ^^^^^^^^^^^^ add web.token_file, or listen on 127.0.0.1",
        ),
        (
            with("health: {listen: '127.0.0.1:8461'}\n"),
            "evidenced.yaml:10:18: health.listen: 127.0.0.1:8461 is the address of the page
   10 | health: {listen: '127.0.0.1:8461'}
      |                  ^^^^^^^^^^^^^^^^ give it a port of its own, such as 8462",
        ),
        (
            with("params:\n  keycloak.realm.brute_froce: {max_failures: 5}\n  keycloak.realm.brute_force: {max_failure: 5}\n"),
            "evidenced.yaml:11:3: unknown check keycloak.realm.brute_froce
   11 |   keycloak.realm.brute_froce: {max_failures: 5}
      |   ^^^^^^^^^^^^^^^^^^^^^^^^^^ did you mean keycloak.realm.brute_force?
evidenced.yaml:12:32: keycloak.realm.brute_force has no parameter max_failure
   12 |   keycloak.realm.brute_force: {max_failure: 5}
      |                                ^^^^^^^^^^^ did you mean max_failures?",
        ),
        (
            with(
                "alerts:\n  receivers: [{name: chat, webhook: {url: 'https://h', secret: {env: A}}}]\n  routes:\n    - {receivers: [chta]}\n    - {sources: ['keycloak:acem'], checks: [keycloak.realm.brute_froce], receivers: [chat]}\n",
            ),
            "evidenced.yaml:13:20: alerts.routes[0].receivers[0]: there is no receiver of the name \"chta\"
   13 |     - {receivers: [chta]}
      |                    ^^^^ did you mean chat?
evidenced.yaml:14:18: alerts.routes[1].sources[0]: no source is called \"keycloak:acem\"
   14 |     - {sources: ['keycloak:acem'], checks: [keycloak.realm.brute_froce], receivers: [chat]}
      |                  ^^^^^^^^^^^^^^^ did you mean keycloak:acme?
evidenced.yaml:14:45: alerts.routes[1].checks[0]: no check is called \"keycloak.realm.brute_froce\"
   14 |     - {sources: ['keycloak:acem'], checks: [keycloak.realm.brute_froce], receivers: [chat]}
      |                                             ^^^^^^^^^^^^^^^^^^^^^^^^^^
   did you mean keycloak.realm.brute_force?",
        ),
        (
            with("limits: {pages: 0, run: 7h}\nledger: {origin: 'my ledger'}\n"),
            "evidenced.yaml:10:17: limits.pages: 0 is out of range
   10 | limits: {pages: 0, run: 7h}
      |                 ^ 1 to 100000
evidenced.yaml:10:25: limits.run: 7 h is out of range
   10 | limits: {pages: 0, run: 7h}
      |                         ^^ 1s to 6h
evidenced.yaml:11:18: ledger.origin: not a ledger's name
   11 | ledger: {origin: 'my ledger'}
      |                  ^^^^^^^^^^^ 1 to 255 characters without spaces and '+', for example evidenced/acme",
        ),
        (
            with("retention: {answers: 0s}\n"),
            "evidenced.yaml:10:22: retention.answers: 0 ms is out of range
   10 | retention: {answers: 0s}
      |                      ^^ 1s to 36500d; leave it out to keep them for ever",
        ),
        (
            with("guard_dir: ./evidenced-data/guard\nchecks_dir: ''\n"),
            "evidenced.yaml:10:12: guard_dir: lies in the data directory, so it would go back together with it
   10 | guard_dir: ./evidenced-data/guard
      |            ^^^^^^^^^^^^^^^^^^^^^^ name another volume, or leave the setting out
evidenced.yaml:11:13: checks_dir: is empty
   11 | checks_dir: ''
      |             ^^ name a path, or leave the setting out",
        ),
        (
            GOOD.replace("file: /run/secrets/keycloak", "env: ''"),
            "evidenced.yaml:9:22: sources.keycloak[0].client_secret: env is empty
    9 |       client_secret: {env: …}
      |                      ^ name the file or variable in which the secret lies",
        ),
        (
            "organisation: Acme Ltd\nsources: {}\n".to_owned(),
            "evidenced.yaml:2:10: sources: there is none, so nothing would be watched
    2 | sources: {}
      |          ^ add one; `evidenced config example` shows how; kinds: keycloak, aws, github, accounts",
        ),
        (
            GOOD.replace("organisation: Acme Ltd\n", ""),
            "evidenced.yaml:1:1: organisation: is missing or empty
    1 | sources:
      | ^ write the organisation's name: organisation: Acme Ltd",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(said(&text).join("\n"), expected, "{text}");
    }
}

#[test]
fn one_fault_does_not_hide_the_next() {
    let text = "\
organisation: [Acme]
sources:
  keycloak:
    - name: acme
      owner: identity-team
      ulr: https://id.example.com
      realm: acme
      client_id: evidenced-reader
      client_secret: {file: /run/secrets/keycloak}
    - name: other
      owner: identity-team
      url: not an address
      realm: other
      client_id: evidenced-reader
      client_secret: {flie: /run/secrets/keycloak}
  gitlb: []
web:
  listen: 127.0.0.1:8461
health:
  listen: everywhere
limits: {pages: many}
";
    let found: Vec<usize> = read("evidenced.yaml", text).unwrap_err().iter().map(|problem| problem.line).collect();
    assert_eq!(found, [1, 6, 12, 16, 20, 21]);
}

#[test]
fn a_secret_in_the_settings_is_refused_without_being_repeated() {
    const CANARY: &str = "hunter2-canary";
    let of_source = GOOD.replace("{file: /run/secrets/keycloak}", CANARY);
    let receiver = |webhook: &str| format!("{GOOD}alerts:\n  receivers:\n    - name: chat\n      webhook: {webhook}\n");
    let table = [
        (
            of_source.clone(),
            "evidenced.yaml:9:22: sources.keycloak[0].client_secret: a secret may not stand in the settings",
        ),
        (
            receiver(&format!("{{url: 'https://h', secret: {CANARY}}}")),
            "evidenced.yaml:13:43: alerts.receivers[0].webhook.secret: a secret may not stand in the settings",
        ),
        (
            receiver(&format!("{{url: 'https://h', secret: {{env: A}}, old_secrets: [{CANARY}]}}")),
            "evidenced.yaml:13:67: alerts.receivers[0].webhook.old_secrets[0]: a secret may not stand in the settings",
        ),
        // Another fault on the same line, whose message would show it.
        (
            receiver(&format!("{{ulr: 'https://h', secret: {CANARY}}}")),
            "evidenced.yaml:13:43: alerts.receivers[0].webhook.secret: a secret may not stand in the settings",
        ),
    ];
    for (text, expected) in table {
        let found = said(&text);
        assert_eq!(found[0].lines().next(), Some(expected));
        assert!(found[0].contains("write {file: PATH} or {env: NAME}"), "{found:?}");
        assert!(!found.join("\n").contains(CANARY), "{found:?}");
    }
}

/// What somebody could write where a secret's place is to be named, as lines below `key`'s neighbours; `C` is the secret.
const MISTAKES: &[&str] = &[
    "KEY: C",
    "KEYx: C",
    "EKY: C",
    "KEY C",
    "KEY:C",
    "KEY:\n  C",
    "KEYx:\n  C",
    "KEY:\nC",
    "KEY:\n\tC",
    "KEY: - C",
    "KEY: C: x",
    "KEY: x: C",
    "KEY: {value: C}",
    "KEY: {secret: C}",
    "KEY: {C}",
    "KEY: {C: x}",
    "KEY: {file: [C]}",
    "KEY: {file: {C: x}}",
    "KEY: {flie: C}",
    "KEY: {file: /x, value: C}",
    "KEY: {file: /x, env: C}",
    "KEY: {file: /x, file: C}",
    "KEY: {file: C, file: /x}",
    "KEY: {file: /x} C",
    "KEY: {flie: /x} # C",
    "KEYx: {file: C}",
    "KEYx: {C: x}",
    "KEYx: [C]",
    "KEY: [C",
    "KEY: {file: C",
    "KEY: 'C",
    "KEY: \"C",
    "KEY: 'x' C",
    "KEY: \"\\C\"",
    "KEYx: \"a\\\"C\"",
    "KEY: @C",
    "KEY: *C",
    "KEY: &C x",
    "KEY: !C x",
    "KEY: |C",
    "KEYx: |\n  C",
    "KEY: |\n  C\n bad",
    "KEY: %C",
    "KEY: {file: /x}\nKEY: C",
    "KEY: C\nKEY: {file: /x}",
    "KEYx: C\nKEYx: C",
    "C: {file: /x}",
    "- C",
    "C",
    "url: https://reader:C@id.example.com",
    "url: C",
];

#[test]
fn a_secret_that_stands_where_it_should_not_is_never_shown_whatever_else_is_wrong_there() {
    const CANARY: &str = "Hunter2-canary";
    let receivers = "\
alerts:
  receivers:
    - name: pager
      webhook:
        url: https://hooks.example.com
        secret: {file: /run/secrets/hook}
        old_secrets: [{file: /run/secrets/old}]
    - name: prometheus
      alertmanager:
        url: https://alerts.example.com
        token: {file: /run/secrets/token}
";
    let good = format!("{GOOD}{receivers}");
    assert_eq!(said(&good), [""; 0]);
    let (mut planted, mut shown) = (0, 0);
    for (place, line) in settings_lines(&good) {
        let key = line.trim_start().split(':').next().unwrap();
        if !["client_secret", "secret", "old_secrets", "token"].contains(&key) {
            continue;
        }
        let margin = &line[..line.len() - line.trim_start().len()];
        let swapped: String =
            key.chars().skip(1).take(1).chain(key.chars().take(1)).chain(key.chars().skip(2)).collect();
        for mistake in MISTAKES {
            let written = mistake.replace("EKY", &swapped).replace("KEY", key).replace('C', CANARY);
            let lines: Vec<String> = written.lines().map(|line| format!("{margin}{line}")).collect();
            // Alone, and with a fault of its own on the line before, and with the file ending there.
            let broken = with_line(&good, place, &lines.join("\n"));
            let after_a_fault = with_line(&good, place, &format!("{margin}colour: red\n{}", lines.join("\n")));
            let end = broken.find(CANARY).unwrap() + CANARY.len();
            for text in [&broken, &after_a_fault, &broken[..end]] {
                let problems = problems(text);
                planted += 1;
                shown += problems.iter().filter(|problem| problem.excerpt.is_some()).count();
                // A tag on nothing leaves an optional setting out, and so does nothing at all.
                assert!(!problems.is_empty() || *mistake == "KEY: !C x", "passed:\n{text}");
                for problem in problems {
                    let all = format!("{problem}\n{}\n{problem:?}", problem.headline());
                    assert!(!all.contains("Hunter2") && !all.contains("canary"), "{all}\nof\n{text}");
                }
            }
        }
    }
    assert!(planted >= 4 * 3 * MISTAKES.len(), "{planted}");
    assert!(shown * 2 > planted, "{shown} excerpts for {planted} texts");
}

#[test]
fn a_key_that_stands_twice_is_reported_with_both_its_places_and_beside_the_others() {
    let text = format!("{GOOD}      realm: other\nparams: {{a.b: {{c: 1}}, a.b: {{c: 2}}}}\norganisation: B\n");
    let expected = "\
evidenced.yaml:10:7: sources.keycloak[0].realm: stands here twice, first in line 7
   10 |       realm: …
      |       ^^^^^ keep one of the two
evidenced.yaml:11:23: params.a.b: stands here twice, first in line 11
   11 | params: {a.b: {c: 1}, a.b: {…}}
      |                       ^^^ keep one of the two
evidenced.yaml:12:1: organisation: stands here twice, first in line 1
   12 | organisation: …
      | ^^^^^^^^^^^^ keep one of the two";
    assert_eq!(said(&text).join("\n"), expected);
}

#[test]
fn settings_may_be_printed_since_they_hold_references_only() {
    let settings = parse("evidenced.yaml", GOOD).unwrap();
    let printed = format!("{settings:?} {}", serde_json::to_string(&settings).unwrap());
    assert!(printed.contains("/run/secrets/keycloak"));
    let url = GOOD.replace("https://id", "https://user:hunter2@id");
    assert!(said(&url)[0].contains("holds credentials"), "{:?}", said(&url));
}

#[test]
fn the_digest_is_of_what_settings_mean() {
    let digest = |text: &str| parse("evidenced.yaml", text).unwrap().digest();
    let first = digest(GOOD);
    assert_eq!(first.len(), 64);
    assert_eq!(first, digest(&format!("# A comment.\n{GOOD}web: {{listen: '127.0.0.1:8461'}}\n")));
    assert_ne!(first, digest(&GOOD.replace("realm: acme", "realm: other")));
    assert_ne!(first, digest(&format!("{GOOD}params: {{keycloak.realm.brute_force: {{max_failures: 9}}}}\n")));
}

#[test]
fn a_source_says_when_it_is_asked_before_the_default_of_all_and_that_before_the_collector() {
    let schedules = |text: &str| {
        let settings = parse("evidenced.yaml", text).unwrap();
        let all = settings.sources.all();
        let (_, source) = all[0];
        let of = |name: &str| {
            let collector = source.kind().collectors.iter().find(|collector| collector.name == name).unwrap();
            settings.schedule(source, collector).unwrap().to_string()
        };
        (of("realm"), of("people"))
    };
    let own = schedules(GOOD);
    let with_default = format!(
        "{GOOD}      schedules: {{people: 0 3 * * *}}\nschedules: {{default: 'every: 5s', zone: Europe/Berlin}}\n"
    );
    assert_eq!(schedules(&with_default), ("every: 5s".to_owned(), "0 3 * * * (Europe/Berlin)".to_owned()));
    assert_ne!(own, schedules(&with_default));
}

#[test]
fn the_schedules_that_connectors_bring_are_right() {
    for kind in connectors::KINDS {
        for collector in kind.collectors {
            let parsed = crate::schedule::Schedule::parse(collector.default_schedule, None);
            assert!(parsed.is_ok(), "{} {}: {parsed:?}", kind.name, collector.name);
        }
    }
}

#[test]
fn the_ledger_is_named_after_the_organisation() {
    let named = |organisation: &str, origin: Option<&str>| {
        let mut settings = Settings { organisation: organisation.to_owned(), ..Settings::default() };
        settings.ledger.origin = origin.map(str::to_owned);
        settings.origin()
    };
    assert_eq!(named("Acme Ltd", None), "evidenced/acme-ltd");
    assert_eq!(named("  Müller & Söhne, GmbH ", None), "evidenced/m-ller-s-hne-gmbh");
    assert_eq!(named("株式会社", None), "evidenced/ledger");
    assert_eq!(named("Acme Ltd", Some("acme.example/log")), "acme.example/log");
}

#[test]
fn a_file_is_loaded_with_the_checks_it_names_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evidenced.yaml");
    let missing = load(&path).unwrap_err();
    assert!(missing[0].message.starts_with("cannot be read: "), "{}", missing[0]);
    assert!(missing[0].remedy.as_deref().is_some_and(|remedy| remedy.contains("evidenced config example")));

    std::fs::write(&path, GOOD).unwrap();
    let loaded = load(&path).unwrap();
    assert!(loaded.checks.checks().count() > 0);
    assert_eq!(loaded.settings.organisation, "Acme Ltd");

    let checks = folder.path().join("checks");
    let with_folder = format!("{GOOD}checks_dir: {}\nschedules: {{zone: nowhere}}\n", checks.display());
    std::fs::write(&path, &with_folder).unwrap();
    let problems = load(&path).unwrap_err();
    let lines: Vec<usize> = problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [10, 11], "a folder that is not there, and the fault beside it");

    std::fs::create_dir_all(checks.join("keycloak")).unwrap();
    std::fs::write(checks.join("keycloak/own.yaml"), "id: keycloak.realm.own\n").unwrap();
    std::fs::write(checks.join("notes.txt"), "not a check").unwrap();
    std::fs::write(&path, with_folder.replace("schedules: {zone: nowhere}\n", "")).unwrap();
    let problems = load(&path).unwrap_err();
    assert!(problems.iter().all(|problem| problem.file.ends_with("checks/keycloak/own.yaml")), "{problems:?}");
}

#[test]
fn limits_reach_every_run() {
    let settings = parse("evidenced.yaml", &format!("{GOOD}limits: {{run: 90s, calls: 7, pages: 3, answer_mib: 2}}\n"));
    let limits = settings.unwrap().limits.of_a_run();
    assert_eq!((limits.run.as_secs(), limits.exchanges, limits.pages, limits.body_bytes), (90, 7, 3, 2 * 1024 * 1024));
}

#[test]
fn whatever_the_limits_allow_to_be_read_can_be_kept_too() {
    let greatest = ledger::GREATEST_BODY as u64;
    let settings = parse("evidenced.yaml", &format!("{GOOD}limits: {{answer_mib: 512, calls: 500000}}\n"));
    let limits = settings.unwrap().limits.of_a_run();
    assert!(limits.body_bytes <= greatest, "an answer as long as the settings allow");
    assert!(u64::from(limits.exchanges) * 1024 <= greatest, "a list of exchanges, at 1 KiB for each");
    // Each resource has a row for each check that speaks of it, and no row is longer than this one.
    let row = format!("{} {} not_applicable {}\n", "x".repeat(60), "0".repeat(32), "0".repeat(64)).len();
    let set = checks::CheckSet::embedded().unwrap();
    let types = connectors::kinds().flat_map(|kind| kind.collectors).flat_map(|collector| collector.yields);
    for spec in types {
        let kind: domain::ResourceType = spec.kind.parse().unwrap();
        let checks = set.by_resource(&kind).count();
        assert!((limits.resources * checks * row) as u64 <= greatest, "{kind} has {checks} checks");
    }
    for over in ["{answer_mib: 513}", "{calls: 500001}"] {
        assert!(parse("evidenced.yaml", &format!("{GOOD}limits: {over}\n")).is_err(), "{over}");
    }
}
