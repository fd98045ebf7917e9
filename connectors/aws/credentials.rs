//! The collector `credentials`: root, users and keys as the credential report tells them.

use kit::{Found, RunBuilder, Unread};
use serde_json::Value;

use crate::changes::{Index, Subject};
use crate::report::{ROOT, Report, Row};
use crate::session::Session;
use crate::spec::{ACCESS_KEY, ACCOUNT, ROOT_ROW, USER_ROW};

/// The events that change who has a password for the console.
const EVENTS: &[&str] = &["CreateLoginProfile", "DeleteLoginProfile", "DeleteUser"];

pub(crate) async fn collect(session: &Session, run: &mut RunBuilder) -> Index {
    let mut index = Index::new(EVENTS);
    let mut account = Found::new(ACCOUNT, session.account.as_str(), session.name.as_str());
    account.from(session.mark);
    let report = match Report::fetch(session).await {
        Ok(report) => report,
        Err(unread) => {
            run.missing(&unread, &[ROOT_ROW, USER_ROW, ACCESS_KEY]);
            for field in ["console_user_names", "report_generated"] {
                account.set(field, Err::<Value, Unread>(unread.clone()));
            }
            run.found(account);
            return index;
        }
    };
    account.from(report.mark).read("report_generated", report.generated.clone());
    let mut console: Result<Vec<String>, Unread> = Ok(Vec::new());
    let mut roots = 0;
    for row in report.rows() {
        let read = match row.text("user") {
            Ok(ROOT) => {
                roots += 1;
                root(row, session, &report).map(|found| run.found(found))
            }
            Ok(name) => {
                match (row.bool("password_enabled"), &mut console) {
                    (Ok(true), Ok(names)) => names.push(name.to_owned()),
                    (Err(unread), Ok(_)) => console = Err(unread),
                    _ => {}
                }
                user(row, name, &report, &mut index, run)
            }
            Err(unread) => Err(unread),
        };
        if let Err(unread) = read {
            run.missing(&unread, &[ROOT_ROW, USER_ROW, ACCESS_KEY]);
        }
    }
    if roots != 1 {
        run.missing(&report.mark.malformed("the report has no row of the root user"), &[ROOT_ROW]);
    }
    account.set("console_user_names", console);
    run.found(account);
    index
}

fn root(row: Row<'_>, session: &Session, report: &Report) -> Result<Found, Unread> {
    let mut found = Found::new(ROOT_ROW, row.text("arn")?, format!("root of {}", session.name));
    found.from(report.mark).read("report_generated", report.generated.clone());
    found.set("mfa_active", row.bool("mfa_active"));
    found.set("password_last_used", row.moment("password_last_used"));
    found.set("key1_active", row.bool("access_key_1_active"));
    found.set("key1_last_used", row.moment("access_key_1_last_used_date"));
    found.set("key2_active", row.bool("access_key_2_active"));
    found.set("key2_last_used", row.moment("access_key_2_last_used_date"));
    Ok(found)
}

/// The report knows a user by name and by the moment of creation only; both together are the same user for ever.
fn user(row: Row<'_>, name: &str, report: &Report, index: &mut Index, run: &mut RunBuilder) -> Result<(), Unread> {
    let (arn, created) = (row.text("arn")?, row.moment("user_creation_time")?);
    let made = created.as_str().ok_or_else(|| report.mark.malformed("a user without the moment of creation"))?;
    let id = format!("{arn} of {made}");
    index.add(Subject::User(name.to_owned()), USER_ROW, &id);
    let mut found = Found::new(USER_ROW, id, name);
    found.from(report.mark).read("report_generated", report.generated.clone());
    found.read("arn", arn).read("user_created", created);
    found.set("password_enabled", row.bool("password_enabled"));
    found.set("password_last_used", row.moment("password_last_used"));
    found.set("password_last_changed", row.moment("password_last_changed"));
    found.set("mfa_active", row.bool("mfa_active"));
    run.found(found);
    let first = key(row, arn, name, "1", None, report)?;
    let second = key(row, arn, name, "2", first.as_ref().map(|(_, at)| at.as_str()), report)?;
    for (found, _) in [first, second].into_iter().flatten() {
        index.add(Subject::User(name.to_owned()), ACCESS_KEY, found.id());
        run.found(found);
    }
    Ok(())
}

/// The report names no key. The moment it was made, at this user, is its id: a slot goes to another key once the key
/// before it is deleted. Gives that moment.
fn key(
    row: Row<'_>,
    user_arn: &str,
    name: &str,
    slot: &str,
    other: Option<&str>,
    report: &Report,
) -> Result<Option<(Found, String)>, Unread> {
    let column = |rest: &str| format!("access_key_{slot}_{rest}");
    let made = row.moment(&column("last_rotated"))?;
    let Some(at) = made.as_str().map(str::to_owned) else { return Ok(None) };
    // Two keys made in one second are told apart by their slots.
    let twin = if other == Some(at.as_str()) { format!(", key {slot}") } else { String::new() };
    let mut found = Found::new(ACCESS_KEY, format!("{user_arn} key of {at}{twin}"), format!("{name}, key {slot}"));
    found.from(report.mark).read("report_generated", report.generated.clone());
    found.read("user_arn", user_arn).read("last_rotated", made);
    found.set("active", row.bool(&column("active")));
    found.set("last_used", row.moment(&column("last_used_date")));
    Ok(Some((found, at)))
}
