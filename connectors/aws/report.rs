//! The credential report: a table of every user and of root, made anew by AWS every four hours at most.
//!
//! Its columns: <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_getting-report.html>.

use std::time::Duration;

use aws_sdk_iam::types::ReportStateType;
use csv::StringRecord;
use domain::{GapReason, Timestamp};
use kit::Unread;
use kit::view::Mark;
use serde_json::Value;

use crate::moment;
use crate::session::{Session, ask};

/// What the first column says of the root user.
pub(crate) const ROOT: &str = "<root_account>";

/// Seconds between the questions whether the report is ready. Most are ready at the second.
const WAITS: &[u64] = &[0, 1, 2, 4, 8, 8, 8, 8];

/// A report as it came.
pub(crate) struct Report {
    header: StringRecord,
    rows: Vec<StringRecord>,
    /// When AWS made it.
    pub(crate) generated: Value,
    pub(crate) mark: Mark,
}

impl Report {
    /// Has it made, waits until it is, and reads it.
    pub(crate) async fn fetch(session: &Session) -> Result<Report, Unread> {
        made(session).await?;
        let (output, answer) = ask(&session.wire, session.iam.get_credential_report().send()).await?;
        let mark = answer.mark;
        let missing = |name: &str| mark.malformed(format!("{name} is missing from the answer"));
        let content = output.content.ok_or_else(|| missing("Content"))?;
        let generated = output.generated_time.ok_or_else(|| missing("GeneratedTime"))?;
        let generated = moment(&generated, mark)?;
        Report::parse(content.as_ref(), generated, mark)
    }

    fn parse(content: &[u8], generated: Value, mark: Mark) -> Result<Report, Unread> {
        let broken = |_| mark.malformed("the report is not a table");
        // A row of another length than the header is an error of the reader.
        let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(content);
        let header = reader.headers().map_err(broken)?.clone();
        let rows = reader.records().collect::<Result<Vec<_>, _>>().map_err(broken)?;
        for column in ["user", "arn"] {
            if !header.iter().any(|name| name == column) {
                return Err(mark.malformed(format!("the report has no column {column}")));
            }
        }
        Ok(Report { header, rows, generated, mark })
    }

    /// Its rows, root's among them.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|record| Row { report: self, record })
    }
}

/// Asks for the report until AWS says that it is complete.
async fn made(session: &Session) -> Result<(), Unread> {
    let mut asked = None;
    for wait in WAITS {
        tokio::time::sleep(Duration::from_secs(*wait)).await;
        let (output, answer) = ask(&session.wire, session.iam.generate_credential_report().send()).await?;
        match output.state {
            Some(ReportStateType::Complete) => return Ok(()),
            Some(ReportStateType::Inprogress | ReportStateType::Started) => asked = Some(answer.mark),
            _ => return Err(answer.mark.malformed("State is missing from the answer")),
        }
    }
    let waited: u64 = WAITS.iter().sum();
    match asked {
        Some(mark) => {
            let unread = mark.unread(GapReason::TimedOut, format!("the report was not ready after {waited} s"));
            Err(Unread { permission: None, ..unread })
        }
        None => Ok(()),
    }
}

/// One row.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    report: &'a Report,
    record: &'a StringRecord,
}

impl<'a> Row<'a> {
    /// A value as it stands there.
    pub(crate) fn text(&self, column: &str) -> Result<&'a str, Unread> {
        let place = self.report.header.iter().position(|name| name == column);
        let value = place.and_then(|place| self.record.get(place));
        value.ok_or_else(|| self.report.mark.malformed(format!("the report has no column {column}")))
    }

    /// A truth value.
    pub(crate) fn bool(&self, column: &str) -> Result<bool, Unread> {
        match self.text(column)? {
            "true" | "TRUE" => Ok(true),
            "false" | "FALSE" => Ok(false),
            _ => Err(self.report.mark.malformed(format!("{column} is not a truth value"))),
        }
    }

    /// A moment, or null where the report says that there is none.
    pub(crate) fn moment(&self, column: &str) -> Result<Value, Unread> {
        match self.text(column)? {
            "N/A" | "no_information" | "not_supported" => Ok(Value::Null),
            text => match text.parse::<Timestamp>() {
                Ok(at) => Ok(Value::from(at.to_string())),
                Err(_) => Err(self.report.mark.malformed(format!("{column} is not a moment"))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::REPORT;

    fn parsed(text: &str) -> Result<Report, Unread> {
        Report::parse(text.as_bytes(), Value::Null, Mark { call: &REPORT, seq: 0 })
    }

    #[test]
    fn a_value_that_says_there_is_none_is_null_and_a_missing_column_is_unread() {
        let report = parsed("user,arn,password_last_used,mfa_active\nanna,a,no_information,true\n").unwrap();
        let row = report.rows().next().unwrap();
        assert_eq!(row.moment("password_last_used").unwrap(), Value::Null);
        assert!(row.bool("mfa_active").unwrap());
        assert_eq!(row.moment("access_key_1_last_rotated").unwrap_err().reason, GapReason::Malformed);
        assert_eq!(row.bool("password_last_used").unwrap_err().reason, GapReason::Malformed);
        assert_eq!(row.moment("mfa_active").unwrap_err().reason, GapReason::Malformed);
    }

    #[test]
    fn a_table_with_a_short_row_is_not_read() {
        for broken in ["user,arn,mfa_active\nanna,a\n", "name,arn\nanna,a\n", "{}", ""] {
            assert!(parsed(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_name_with_a_comma_in_it_is_one_name() {
        let report = parsed("user,arn\n\"a,b\",c\n").unwrap();
        assert_eq!(report.rows().next().unwrap().text("user").unwrap(), "a,b");
    }
}
