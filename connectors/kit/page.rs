//! Walking lists to their end, or saying that it was not reached.

use bytes::Bytes;
use domain::GapReason;
use http::HeaderMap;
use serde_json::Value;
use url::Url;

use crate::view::Mark;
use crate::{Answer, CallSpec, Recorder, Unread};

/// What a walk through a list found.
#[derive(Debug)]
pub struct Pages {
    /// The items, each with the exchange it came from.
    pub items: Vec<(Value, Mark)>,
    /// The last page that was answered; an empty list has one too.
    pub last: Option<Mark>,
    /// Why the end was not reached; `None` when it was.
    pub stopped: Option<Unread>,
}

impl Pages {
    fn ended(items: Vec<(Value, Mark)>, last: Option<Mark>, stopped: Option<Unread>) -> Self {
        Pages { items, last, stopped }
    }
}

/// Walks a list by offset: `page(first, max)` asks for a page. A page shorter than `max` is the last.
///
/// Each page begins with the last item of the one before it. That costs one item a page, and shows a page that was lost,
/// a list that shifted while it was read, and a source that ignores the offset.
pub async fn offset_pages<F>(
    recorder: &Recorder,
    call: &'static CallSpec,
    max: usize,
    page: impl Fn(usize, usize) -> F + Send,
) -> Pages
where
    F: Future<Output = Result<Answer, Unread>> + Send,
{
    let max = max.max(2);
    let mut items: Vec<(Value, Mark)> = Vec::new();
    let mut last = None;
    for _ in 0..recorder.limits().pages {
        let first = items.len().saturating_sub(1);
        let (found, mark) = match page(first, max).await.and_then(list) {
            Ok(found) => found,
            Err(unread) => return Pages::ended(items, last, Some(unread)),
        };
        last = Some(mark);
        let whole = found.len() < max;
        let mut found = found.into_iter();
        if let Some((before, _)) = items.last()
            && found.next().as_ref() != Some(before)
        {
            let unread = mark.unread(GapReason::Truncated, "a page was lost, or the list shifted");
            return Pages::ended(items, last, Some(Unread { permission: None, ..unread }));
        }
        items.extend(found.map(|item| (item, mark)));
        if whole {
            return Pages::ended(items, last, None);
        }
    }
    let unread = over_limit(recorder, call);
    Pages::ended(items, last, Some(unread))
}

/// Walks a list by its next links (RFC 8288), beginning at `first`. The recorder refuses a link that leads away from the
/// source or to another call.
pub async fn link_pages(
    recorder: &Recorder,
    call: &'static CallSpec,
    first: Url,
    page: impl Fn(&Url) -> Option<http::Request<Bytes>> + Send + Sync,
) -> Pages {
    let ask = |at: Url| {
        let request = page(&at);
        async move { recorder.exchange(call, request.ok_or_else(|| no_address(call))?).await }
    };
    link_pages_asked(recorder, call, first, ask).await
}

/// The same for a connector that asks in its own way: `page` asks for the page at an address.
pub async fn link_pages_asked<F>(
    recorder: &Recorder,
    call: &'static CallSpec,
    first: Url,
    page: impl Fn(Url) -> F + Send,
) -> Pages
where
    F: Future<Output = Result<Answer, Unread>> + Send,
{
    let mut items: Vec<(Value, Mark)> = Vec::new();
    let mut last = None;
    let mut at = first;
    for _ in 0..recorder.limits().pages {
        let answer = match page(at.clone()).await {
            Ok(answer) => answer,
            Err(unread) => return Pages::ended(items, last, Some(unread)),
        };
        let next = next_link(&answer.headers, &at);
        let (found, mark) = match list(answer) {
            Ok(found) => found,
            Err(unread) => return Pages::ended(items, last, Some(unread)),
        };
        last = Some(mark);
        items.extend(found.into_iter().map(|item| (item, mark)));
        match next {
            Some(next) => at = next,
            None => return Pages::ended(items, last, None),
        }
    }
    let unread = over_limit(recorder, call);
    Pages::ended(items, last, Some(unread))
}

fn list(answer: Answer) -> Result<(Vec<Value>, Mark), Unread> {
    match answer.json()? {
        Value::Array(found) => Ok((found, answer.mark)),
        _ => Err(answer.mark.malformed("the answer is not a list")),
    }
}

fn over_limit(recorder: &Recorder, call: &'static CallSpec) -> Unread {
    Unread::unsent(call, GapReason::OverLimit, format!("more than {} pages", recorder.limits().pages))
}

fn no_address(call: &'static CallSpec) -> Unread {
    Unread::unsent(call, GapReason::Refused, "no address could be made")
}

/// The address of the next page from a `Link` header, relative ones resolved against the page that named them.
pub fn next_link(headers: &HeaderMap, at: &Url) -> Option<Url> {
    let links = headers.get_all(http::header::LINK).iter().filter_map(|value| value.to_str().ok());
    links.flat_map(|value| value.split(',')).find_map(|link| {
        let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|p| matches!(p.trim(), "rel=\"next\"" | "rel=next"));
        is_next.then(|| at.join(address).ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_is_found_among_others() {
        let at: Url = "https://h/a?page=1".parse().unwrap();
        let next = |text: &'static str| {
            let headers: HeaderMap = [(http::header::LINK, http::HeaderValue::from_static(text))].into_iter().collect();
            next_link(&headers, &at).map(String::from)
        };
        assert_eq!(
            next("<https://h/a?page=9>; rel=\"last\", <https://h/a?page=2>; rel=\"next\"").as_deref(),
            Some("https://h/a?page=2")
        );
        assert_eq!(next("</a?page=2>; rel=next").as_deref(), Some("https://h/a?page=2"));
        assert_eq!(next("<https://h/a?page=9>; rel=\"last\""), None);
        assert_eq!(next("nonsense"), None);
    }
}
