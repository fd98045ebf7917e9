//! Walking lists to their end, or saying that it was not reached.

use bytes::Bytes;
use domain::GapReason;
use http::HeaderMap;
use serde_json::Value;
use url::Url;

use crate::view::Mark;
use crate::{CallSpec, Recorder, Unread};

/// What a walk through a list found.
#[derive(Debug)]
pub struct Pages {
    /// The items, each with the exchange it came from.
    pub items: Vec<(Value, Mark)>,
    /// Why the end was not reached; `None` when it was.
    pub stopped: Option<Unread>,
}

impl Pages {
    fn stopped(items: Vec<(Value, Mark)>, unread: Unread) -> Self {
        Pages { items, stopped: Some(unread) }
    }
}

/// Walks a list by offset: `page(first, max)` makes the request of a page. A page shorter than `max` is the last.
///
/// Each page begins with the last item of the one before it. That costs one item a page, and shows a page that was lost,
/// a list that shifted while it was read, and a source that ignores the offset.
pub async fn offset_pages(
    recorder: &Recorder,
    call: &'static CallSpec,
    max: usize,
    page: impl Fn(usize, usize) -> Option<http::Request<Bytes>> + Send,
) -> Pages {
    let max = max.max(2);
    let mut items: Vec<(Value, Mark)> = Vec::new();
    for _ in 0..recorder.limits().pages {
        let first = items.len().saturating_sub(1);
        let Some(request) = page(first, max) else { return Pages::stopped(items, no_address(call)) };
        let got = match recorder.exchange(call, request).await {
            Ok(answer) => answer.json().map(|value| (value, answer.mark)),
            Err(unread) => Err(unread),
        };
        let (found, mark) = match got {
            Ok((Value::Array(found), mark)) => (found, mark),
            Ok((_, mark)) => return Pages::stopped(items, mark.malformed("the answer is not a list")),
            Err(unread) => return Pages::stopped(items, unread),
        };
        let last = found.len() < max;
        let mut found = found.into_iter();
        if let Some((before, _)) = items.last()
            && found.next().as_ref() != Some(before)
        {
            let unread = Unread {
                permission: None,
                ..mark.unread(GapReason::Truncated, "a page was lost, or the list shifted")
            };
            return Pages::stopped(items, unread);
        }
        items.extend(found.map(|item| (item, mark)));
        if last {
            return Pages { items, stopped: None };
        }
    }
    let unread = over_limit(recorder, call);
    Pages::stopped(items, unread)
}

/// Walks a list by its next links (RFC 8288), beginning at `first`. The recorder refuses a link that leads away from the
/// source or to another call.
pub async fn link_pages(
    recorder: &Recorder,
    call: &'static CallSpec,
    first: Url,
    page: impl Fn(&Url) -> Option<http::Request<Bytes>> + Send,
) -> Pages {
    let mut items: Vec<(Value, Mark)> = Vec::new();
    let mut at = first;
    for _ in 0..recorder.limits().pages {
        let Some(request) = page(&at) else {
            return Pages {
                items,
                stopped: Some(Unread::unsent(call, GapReason::Refused, "a next link that is no address")),
            };
        };
        let answer = match recorder.exchange(call, request).await {
            Ok(answer) => answer,
            Err(unread) => return Pages::stopped(items, unread),
        };
        match answer.json() {
            Ok(Value::Array(found)) => items.extend(found.into_iter().map(|item| (item, answer.mark))),
            Ok(_) => return Pages::stopped(items, answer.mark.malformed("the answer is not a list")),
            Err(unread) => return Pages::stopped(items, unread),
        }
        match next_link(&answer.headers, &at) {
            Some(next) => at = next,
            None => return Pages { items, stopped: None },
        }
    }
    let unread = over_limit(recorder, call);
    Pages::stopped(items, unread)
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
