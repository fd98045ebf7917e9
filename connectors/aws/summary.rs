//! The account summary: a map of numbers about the account and of counts that prove lists to be whole.

use std::collections::HashMap;

use kit::Unread;
use kit::view::Mark;

use crate::session::{Session, ask};

/// One account's summary.
pub(crate) struct Summary {
    entries: HashMap<String, i64>,
    pub(crate) mark: Mark,
}

impl Summary {
    pub(crate) async fn read(session: &Session) -> Result<Summary, Unread> {
        let (output, answer) = ask(&session.wire, session.iam.get_account_summary().send()).await?;
        let map = output.summary_map.ok_or_else(|| answer.mark.malformed("SummaryMap is missing from the answer"))?;
        let entries = map.into_iter().map(|(key, value)| (key.as_str().to_owned(), i64::from(value))).collect();
        Ok(Summary { entries, mark: answer.mark })
    }

    /// An entry that AWS always gives.
    pub(crate) fn number(&self, key: &str) -> Result<i64, Unread> {
        let missing = || self.mark.malformed(format!("{key} is missing from the answer"));
        self.entries.get(key).copied().ok_or_else(missing)
    }

    /// An entry that AWS does not always give.
    pub(crate) fn perhaps(&self, key: &str) -> Option<i64> {
        self.entries.get(key).copied()
    }

    /// A count.
    pub(crate) fn count(&self, key: &str) -> Result<u64, Unread> {
        let negative = |_| self.mark.malformed(format!("{key} is less than nothing"));
        self.number(key).and_then(|number| u64::try_from(number).map_err(negative))
    }
}
