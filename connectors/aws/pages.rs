//! Lists in pages, as IAM gives them: `IsTruncated` says that there is more, `Marker` where it begins.

use std::collections::BTreeSet;

use aws_sdk_iam::operation::get_account_authorization_details::GetAccountAuthorizationDetailsOutput;
use aws_sdk_iam::operation::list_server_certificates::ListServerCertificatesOutput;
use aws_sdk_iam::operation::list_virtual_mfa_devices::ListVirtualMfaDevicesOutput;
use domain::GapReason;
use kit::{Answer, CallSpec, Unread};

use crate::session::Session;

/// Items of one page, always asked for; IAM gives at most as many, and may give fewer.
pub(crate) const PAGE: i32 = 1000;

/// An answer that may have another after it.
pub(crate) trait Paged {
    /// Whether there is more, and where it begins.
    fn next(&self) -> (bool, Option<&str>);
}

impl Paged for GetAccountAuthorizationDetailsOutput {
    fn next(&self) -> (bool, Option<&str>) {
        (self.is_truncated, self.marker())
    }
}

impl Paged for ListServerCertificatesOutput {
    fn next(&self) -> (bool, Option<&str>) {
        (self.is_truncated, self.marker())
    }
}

impl Paged for ListVirtualMfaDevicesOutput {
    fn next(&self) -> (bool, Option<&str>) {
        (self.is_truncated, self.marker())
    }
}

/// Walks a list to its end, one page in memory at a time. `Err` says why the end was not reached.
pub(crate) async fn walk<T: Paged, F>(
    session: &Session,
    call: &'static CallSpec,
    mut fetch: impl FnMut(Option<String>) -> F,
    mut each: impl FnMut(T, &Answer),
) -> Result<(), Unread>
where
    F: Future<Output = Result<(T, Answer), Unread>>,
{
    let limit = session.wire.recorder().limits().pages;
    let mut seen = BTreeSet::new();
    let mut marker = None;
    for _ in 0..limit {
        let (page, answer) = fetch(marker.take()).await?;
        // Its typed form has *false* for an answer that does not say, and a list that does not say has no known end.
        if !says_whether_truncated(&answer) {
            return Err(answer.mark.malformed("IsTruncated is missing from the answer"));
        }
        let next = match page.next() {
            (false, _) => None,
            (true, Some(next)) if !next.is_empty() => Some(next.to_owned()),
            (true, _) => return Err(answer.mark.malformed("there is more, and no Marker to ask for it")),
        };
        let mark = answer.mark;
        each(page, &answer);
        match next {
            None => return Ok(()),
            Some(next) if !seen.insert(next.clone()) => {
                return Err(mark.malformed("the next page is one that was read before"));
            }
            Some(next) => marker = Some(next),
        }
    }
    Err(Unread::unsent(call, GapReason::OverLimit, format!("more than {limit} pages")))
}

fn says_whether_truncated(answer: &Answer) -> bool {
    const TAG: &[u8] = b"<IsTruncated>";
    answer.body.windows(TAG.len()).any(|window| window == TAG)
}
