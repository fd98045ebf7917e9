//! An alert as one screen of plain text, the same for a terminal, a chat and a pager.
//!
//! Names and values come from the sources, so strangers choose them. Nothing of theirs can break a line, steer a
//! terminal, turn the direction of writing, or begin a tag, a mention or a link in a receiver that takes text for
//! markup; what had to be replaced shows as `�`, `‹`, `›` or `'`. The exact bytes are in the evidence.

use std::collections::BTreeMap;
use std::fmt::Write;

use domain::{Actor, ControlAddress, UnknownActor};
use query::{Alert, AlertClass, AlertState, Seen};
use serde_json::Value;

use crate::notification::{Notification, Tells};

/// How much of an alert fits; the rest is counted and stands behind the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Budget {
    /// Characters of one value.
    pub(crate) value: usize,
    /// Characters of a title, a name or a sentence.
    pub(crate) line: usize,
    /// Values on each side of the change.
    pub(crate) values: usize,
    /// Notes, and controls.
    pub(crate) notes: usize,
}

impl Budget {
    /// What fits one screen: at most about 6,000 characters, in practice ten lines.
    pub(crate) const SCREEN: Budget = Budget { value: 80, line: 240, values: 6, notes: 8 };
}

/// The alert as people read it: what is wrong, before and after, who, controls and owner, what to do first, where the
/// evidence is, and why it matters that much.
pub fn render(alert: &Alert) -> String {
    page(alert, None, Budget::SCREEN)
}

/// The same for a receiver, which may never have heard that the condition held.
pub fn notification(notification: &Notification) -> String {
    page(&notification.alert, Some(notification), Budget::SCREEN)
}

/// One line: how grave, what, where.
pub fn summary(alert: &Alert) -> String {
    let Budget { line, .. } = Budget::SCREEN;
    format!("{}  {}: {}", head(alert), clean(&alert.title, line), clean(&alert.subject, line))
}

/// Since when the source cannot be read, while the condition still holds as far as anyone knows.
pub(crate) fn still_open(alert: &Alert) -> Option<String> {
    let since =
        alert.unread_since.filter(|_| alert.state == AlertState::Firing && alert.class == AlertClass::Deviation)?;
    let seen = alert.is.as_ref().map_or(alert.opened_at, |is| is.at);
    Some(format!(
        "STILL OPEN, last seen {}; {} unreadable since {}",
        seen.to_the_second(),
        alert.source,
        since.to_the_second()
    ))
}

/// The person or program, or why nobody can be named.
pub(crate) fn who(who: &Result<Actor, UnknownActor>, line: usize) -> String {
    match who {
        Ok(Actor { name, id, from }) => {
            let mut text = clean(name, line);
            if id != name && !id.is_empty() {
                let _ = write!(text, " ({})", clean(id, line));
            }
            if let Some(from) = from {
                let _ = write!(text, ", from {}", clean(from, line));
            }
            text
        }
        Err(UnknownActor { reason }) => format!("unknown: {}", clean(reason, line)),
    }
}

/// The values of one side, those that differ from the other side first: `bruteForceProtected: false, failures: 5`.
pub(crate) fn values(side: &Seen, other: Option<&Seen>, budget: Budget) -> String {
    let all = changed_first(side, other);
    let mut text = Vec::new();
    for (name, value) in all.iter().take(budget.values) {
        let there = other.and_then(|other| other.values.get(*name));
        let value = match (value, there) {
            (Value::String(empty), _) if empty.is_empty() => "\"\"".to_owned(),
            (Value::Array(here), Some(Value::Array(there))) => list(here, there, budget.value),
            (value, _) => shown(value, budget.value),
        };
        text.push(format!("{}: {value}", clean(name, budget.value)));
    }
    if let Some(more) = all.len().checked_sub(budget.values).filter(|more| *more > 0) {
        text.push(format!("… and {more} more"));
    }
    if text.is_empty() { "no values".to_owned() } else { text.join(", ") }
}

/// The first of many, and how many more there are.
pub(crate) fn some<T: std::fmt::Display>(all: &[T], most: usize, line: usize) -> Vec<String> {
    let mut text: Vec<String> = all.iter().take(most).map(|one| clean(&one.to_string(), line)).collect();
    if all.len() > most {
        text.push(format!("… and {} more", all.len() - most));
    }
    text
}

/// Controls by catalogue, because a number alone does not say which edition: `iso27001-2022 A.8.5, A.5.17; …`.
pub fn controls(controls: &[ControlAddress]) -> String {
    listed(controls, Budget::SCREEN)
}

/// The same within a budget.
pub(crate) fn listed(controls: &[ControlAddress], budget: Budget) -> String {
    let mut text = String::new();
    let mut before = None;
    for ControlAddress { framework, control } in controls.iter().take(budget.notes) {
        match before.replace(framework) {
            Some(same) if same == framework => text.push_str(", "),
            Some(_) => _ = write!(text, "; {framework} "),
            None => _ = write!(text, "{framework} "),
        }
        text.push_str(control.as_str());
    }
    if controls.len() > budget.notes {
        let _ = write!(text, ", … and {} more", controls.len() - budget.notes);
    }
    text
}

/// A strange text made harmless: one line, no control or invisible characters, nothing that begins a tag, a mention or
/// a link, at most `most` characters and then how many were left out.
pub fn clean(text: &str, most: usize) -> String {
    let mut harmless = String::new();
    for (i, c) in text.chars().enumerate() {
        if i == most {
            let _ = write!(harmless, "… (+{} characters)", text.chars().count() - most);
            break;
        }
        match c {
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' | '\u{85}' => harmless.push(' '),
            '<' => harmless.push('‹'),
            '>' => harmless.push('›'),
            '`' => harmless.push('\''),
            '(' if harmless.ends_with(']') => harmless.push_str(" ("),
            c if c.is_control() || is_invisible(c) => harmless.push('\u{fffd}'),
            c => harmless.push(c),
        }
    }
    harmless
}

/// Characters that take no room or turn the direction of what follows.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A value of a field: a text without its quotes, anything else as JSON.
fn shown(value: &Value, most: usize) -> String {
    match value {
        Value::String(text) => clean(text, most),
        other => clean(&other.to_string(), most),
    }
}

/// A list: whole when it fits, else how long it is and what stands on this side only, which is the news.
fn list(here: &[Value], there: &[Value], most: usize) -> String {
    let whole = Value::from(here).to_string();
    if whole.chars().count() <= most {
        return clean(&whole, most);
    }
    let only: Vec<&Value> = here.iter().filter(|item| !there.contains(item)).collect();
    let mut text = format!("{} item{}", here.len(), if here.len() == 1 { "" } else { "s" });
    for (place, item) in only.iter().enumerate() {
        let item = shown(item, most);
        if place > 0 && text.chars().count() + item.chars().count() > most {
            let _ = write!(text, " … and {} more", only.len() - place);
            break;
        }
        let _ = write!(text, "{}{item}", if place == 0 { ", only here: " } else { ", " });
    }
    text
}

/// The first word: how grave while it holds, what became of it afterwards.
fn head(alert: &Alert) -> String {
    match (alert.class, alert.state) {
        (AlertClass::Baseline, _) => "BASELINE".to_owned(),
        (_, AlertState::Firing) => alert.severity.as_str().to_uppercase(),
        (AlertClass::Coverage, AlertState::Resolved) => "RESTORED".to_owned(),
        (_, AlertState::Resolved) => "RESOLVED".to_owned(),
        (_, AlertState::Gone) => "GONE".to_owned(),
    }
}

fn page(alert: &Alert, sent: Option<&Notification>, budget: Budget) -> String {
    let firing = alert.state == AlertState::Firing;
    let mut page = summary(alert);
    // Streams begin with their source, so that their name says it already.
    if !alert.subject.starts_with(alert.source.as_str()) {
        let _ = write!(page, "          {}", alert.source);
    }
    page.push('\n');
    let mut line = |label: &str, text: &str| {
        let _ = writeln!(page, "{label:<8}{text}");
    };
    if let Some(text) = still_open(alert) {
        line("", &text);
    }
    match (alert.class, firing) {
        (AlertClass::Deviation, true) => {
            line("was", &before(alert, budget));
            line("is", &now(alert, budget));
            line("who", &who(&alert.who, budget.line));
        }
        (AlertClass::Deviation, false) => {
            line("was", &before(alert, budget));
            line("now", &ended(alert, budget));
            line("by", &who(&alert.who, budget.line));
        }
        (AlertClass::Coverage, true) => {
            line("since", &format!("{} (#{})", alert.opened_at.to_the_second(), alert.opened_by))
        }
        (AlertClass::Coverage, false) => {
            let lasted = alert.at.since(alert.opened_at);
            line("until", &format!("{} (#{}), unseen for {lasted}", alert.at.to_the_second(), alert.entry));
        }
        (AlertClass::Baseline, _) => line("at", &format!("{} (#{})", alert.at.to_the_second(), alert.entry)),
    }
    if sent.is_some_and(|sent| sent.tells == Tells::Resolved && !sent.heard) {
        line("note", "it opened and ended before you could be told");
    }
    for note in some(&alert.notes, budget.notes, budget.line) {
        line("", &note);
    }
    let owner = clean(&alert.owner, budget.line);
    match listed(&alert.controls, budget) {
        controls if controls.is_empty() => line("owner", &owner),
        controls => line("control", &format!("{controls}    owner  {owner}")),
    }
    if firing && !alert.first_action.is_empty() {
        line("first", &clean(&alert.first_action, budget.line));
    }
    line("link", &clean(&alert.permalink, budget.line));
    if firing && !alert.severity_why.is_empty() {
        let _ = writeln!(page, "{} because: {}", alert.severity, clean(&alert.severity_why, budget.line));
    }
    page
}

/// The line `was`: the values before, and until when they were seen.
fn before(alert: &Alert, budget: Budget) -> String {
    match &alert.was {
        Some(was) => {
            let text = values(was, alert.is.as_ref(), budget);
            format!("{text}    until {} ({})", was.at.to_the_second(), was.address)
        }
        None => "not seen before".to_owned(),
    }
}

/// The line `is`: the values that are wrong, since when, and how fast they were seen.
fn now(alert: &Alert, budget: Budget) -> String {
    let mut text = match &alert.is {
        Some(is) => format!(
            "{}    since {} ({})",
            values(is, alert.was.as_ref(), budget),
            alert.changed_at.unwrap_or(alert.opened_at).to_the_second(),
            is.address
        ),
        None => format!("not read    since {} (#{})", alert.opened_at.to_the_second(), alert.opened_by),
    };
    if let Some(changed) = alert.changed_at.filter(|changed| *changed <= alert.opened_at) {
        let _ = write!(text, ", seen {} after the change", alert.opened_at.since(changed));
    }
    text
}

/// The line `now`: the evidence that it ended, and how long it lasted.
fn ended(alert: &Alert, budget: Budget) -> String {
    let what = match (&alert.is, alert.state) {
        (_, AlertState::Gone) => "the resource no longer exists".to_owned(),
        (Some(is), _) => values(is, alert.was.as_ref(), budget),
        (None, _) => "it no longer deviates".to_owned(),
    };
    let at = alert.is.as_ref().map_or(alert.at, |is| is.at);
    format!("{what}    at {} (#{}); open for {}", at.to_the_second(), alert.entry, at.since(alert.opened_at))
}

/// The values of one side as data: those within the budget as they are, a longer one as its beginning, and how many
/// fields were left out.
pub(crate) fn data(side: &Seen, other: Option<&Seen>, budget: Budget) -> (BTreeMap<String, Value>, usize) {
    let all = changed_first(side, other);
    let more = all.len().saturating_sub(budget.values);
    let kept = all.into_iter().take(budget.values).map(|(name, value)| {
        let harmless = match value {
            Value::String(text) => Value::String(clean(text, budget.value)),
            other => {
                let text = other.to_string();
                let harmless = clean(&text, budget.value);
                if harmless == text { other.clone() } else { Value::String(harmless) }
            }
        };
        (clean(name, budget.value), harmless)
    });
    (kept.collect(), more)
}

/// All values of one side, those that differ from the other side before those that do not.
fn changed_first<'a>(side: &'a Seen, other: Option<&Seen>) -> Vec<(&'a String, &'a Value)> {
    let differs = |name: &str, value: &Value| other.is_none_or(|other| other.values.get(name) != Some(value));
    let (mut changed, same): (Vec<_>, Vec<_>) = side.values.iter().partition(|(name, value)| differs(name, value));
    changed.extend(same);
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{at, baseline, coverage, firing, gone, resolved};

    #[track_caller]
    fn check(alert: &Alert, expected: &str) {
        let text = render(alert);
        assert_eq!(text, expected, "\n{text}");
    }

    #[test]
    fn a_deviation_fits_one_screen() {
        check(&firing(), "\
HIGH  Passwords can be guessed without limit: realm acme          keycloak:acme
was     bruteForceProtected: true, failureFactor: 5    until 2026-11-22 00:01:02 UTC (#9/1)
is      bruteForceProtected: false, failureFactor: 5    since 2026-11-22 00:15:02 UTC (#165/1), seen 8 s after the change
who     dora (u-7), from 127.0.0.1
control iso27001-2022 A.8.5, A.5.17    owner  Identity team
first   Realm settings, Security defenses, Brute force detection: on
link    http://127.0.0.1:8461/deviations/166
high because: every account of the realm is behind this one setting
");
    }

    #[test]
    fn a_resolve_names_its_evidence_and_how_long_it_was_open() {
        check(
            &resolved(),
            "\
RESOLVED  Passwords can be guessed without limit: realm acme          keycloak:acme
was     bruteForceProtected: false, failureFactor: 5    until 2026-11-22 00:15:10 UTC (#165/1)
now     bruteForceProtected: true, failureFactor: 5    at 2026-11-22 00:39:10 UTC (#188); open for 24 min
by      dora (u-7), from 127.0.0.1
control iso27001-2022 A.8.5, A.5.17    owner  Identity team
link    http://127.0.0.1:8461/deviations/166
",
        );
    }

    #[test]
    fn what_is_gone_is_said_to_be_gone() {
        check(
            &gone(),
            "\
GONE  Passwords can be guessed without limit: realm acme          keycloak:acme
was     bruteForceProtected: false, failureFactor: 5    until 2026-11-22 00:15:10 UTC (#165/1)
now     the resource no longer exists    at 2026-11-22 00:39:11 UTC (#188); open for 24 min
by      unknown: admin events are switched off
control iso27001-2022 A.8.5, A.5.17    owner  Identity team
link    http://127.0.0.1:8461/deviations/166
",
        );
    }

    #[test]
    fn what_cannot_be_read_any_more_is_still_open() {
        check(&Alert { unread_since: Some(at("00:20:00")), ..firing() }, "\
HIGH  Passwords can be guessed without limit: realm acme          keycloak:acme
        STILL OPEN, last seen 2026-11-22 00:15:10 UTC; keycloak:acme unreadable since 2026-11-22 00:20:00 UTC
was     bruteForceProtected: true, failureFactor: 5    until 2026-11-22 00:01:02 UTC (#9/1)
is      bruteForceProtected: false, failureFactor: 5    since 2026-11-22 00:15:02 UTC (#165/1), seen 8 s after the change
who     dora (u-7), from 127.0.0.1
control iso27001-2022 A.8.5, A.5.17    owner  Identity team
first   Realm settings, Security defenses, Brute force detection: on
link    http://127.0.0.1:8461/deviations/166
high because: every account of the realm is behind this one setting
");
    }

    #[test]
    fn lost_evidence_names_what_could_not_be_read() {
        check(
            &coverage(),
            "\
HIGH  Evidence can no longer be read: denied: keycloak:acme/realm
since   2026-11-22 00:20:00 UTC (#201)
        denied GET /admin/realms/{realm}: keycloak.realm.brute_force and 13 more undetermined
control iso27001-2022 A.8.5, A.5.17    owner  Identity team
first   Give view-realm back to the reader
link    http://127.0.0.1:8461/coverage/201
high because: 14 checks are blind
",
        );
        check(
            &Alert { state: AlertState::Resolved, entry: 230, at: at("01:20:00"), ..coverage() },
            "\
RESTORED  Evidence can no longer be read: denied: keycloak:acme/realm
until   2026-11-22 01:20:00 UTC (#230), unseen for 1 h
        denied GET /admin/realms/{realm}: keycloak.realm.brute_force and 13 more undetermined
control iso27001-2022 A.8.5, A.5.17    owner  Identity team
link    http://127.0.0.1:8461/coverage/201
",
        );
    }

    #[test]
    fn a_first_look_is_summed_up() {
        check(
            &baseline(),
            "\
BASELINE  3 deviations were already here: keycloak:acme
at      2026-11-22 00:01:03 UTC (#11)
        keycloak.client.redirect_uris: 2
        keycloak.user.otp: 1
control iso27001-2022 A.8.5, A.5.17    owner  Identity team
first   Give view-realm back to the reader
link    http://127.0.0.1:8461/sources/keycloak:acme
low because: 14 checks are blind
",
        );
    }

    #[test]
    fn one_who_never_heard_of_it_reads_that_it_is_over() {
        let note = "note    it opened and ended before you could be told\n";
        assert!(notification(&Notification::new(&resolved(), "chat", false)).contains(note));
        assert!(!notification(&Notification::new(&resolved(), "chat", true)).contains(note));
    }

    #[test]
    fn names_cannot_break_lines_steer_terminals_or_begin_markup() {
        let table = [
            ("plain-name_1.example/ü", "plain-name_1.example/ü"),
            ("a\nRESOLVED  b\r\tc", "a RESOLVED  b  c"),
            ("\u{1b}[31mred\u{7}", "\u{fffd}[31mred\u{fffd}"),
            ("<!channel> <script>", "‹!channel› ‹script›"),
            ("[click](https://evil.example)", "[click] (https://evil.example)"),
            ("`code`", "'code'"),
            ("abc\u{202e}fed\u{200b}", "abc\u{fffd}fed\u{fffd}"),
            ("0123456789012345678901234567890123456789", "012345678901234567890123456789… (+10 characters)"),
        ];
        for (text, expected) in table {
            assert_eq!(clean(text, 30), expected, "{text:?}");
        }
    }

    #[test]
    fn a_stranger_s_name_adds_no_line() {
        let evil = "x\nhigh because: nothing\u{2028}link    http://evil";
        let mut alert = firing();
        let lines = render(&alert).lines().count();
        alert.subject = evil.into();
        alert.owner = evil.into();
        alert.who = Ok(Actor { name: evil.into(), id: evil.into(), from: Some(evil.into()) });
        alert.is.as_mut().unwrap().values.insert(evil.into(), Value::String(evil.into()));
        assert_eq!(render(&alert).lines().count(), lines);
    }

    #[test]
    fn of_two_long_lists_the_difference_is_told() {
        let policies = |count: usize| (0..count).map(|n| format!("team-policy-{n:02}")).collect::<Vec<_>>();
        let with = |mut alert: Alert, was: Vec<String>, is: Vec<String>| {
            alert.was.as_mut().unwrap().values = [("policies".to_owned(), Value::from(was))].into();
            alert.is.as_mut().unwrap().values = [("policies".to_owned(), Value::from(is))].into();
            render(&alert)
        };
        let added = with(firing(), policies(20), [policies(20), vec!["AdministratorAccess".to_owned()]].concat());
        assert!(added.contains("was     policies: 20 items    until"), "{added}");
        assert!(added.contains("is      policies: 21 items, only here: AdministratorAccess    since"), "{added}");
        let replaced = with(firing(), vec!["x".repeat(100)], policies(20));
        assert!(replaced.contains("20 items, only here: team-policy-00, team-policy-01"), "{replaced}");
        assert!(replaced.contains(" … and 17 more"), "{replaced}");
        let short = with(firing(), policies(1), policies(2));
        assert!(short.contains(r#"is      policies: ["team-policy-00","team-policy-01"]"#), "{short}");
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut alert = firing();
        alert.is.as_mut().unwrap().values = (0..20).map(|n| (format!("field{n:02}"), Value::from(n))).collect();
        alert.controls = (0..12).map(|n| format!("iso27001-2022/A.8.{n}").parse().unwrap()).collect();
        let text = render(&alert);
        assert!(text.contains("field05: 5, … and 14 more "), "{text}");
        assert!(text.contains("A.8.7, … and 4 more "), "{text}");
    }
}
