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

/// Walks a list by offset: `page(first, max)` makes the request of a page. A page shorter than `max` is the last.
///
/// A source that ignores the offset would give the same page for ever; a page that begins like the one before it is
/// therefore malformed.
pub async fn offset_pages(
    recorder: &Recorder,
    call: &'static CallSpec,
    max: usize,
    page: impl Fn(usize, usize) -> http::Request<Bytes> + Send,
) -> Pages {
    let mut items: Vec<(Value, Mark)> = Vec::new();
    let mut previous: Option<Value> = None;
    for number in 0..recorder.limits().pages as usize {
        let got = match recorder.exchange(call, page(number * max, max)).await {
            Ok(answer) => answer.json().map(|value| (value, answer.mark)),
            Err(unread) => Err(unread),
        };
        let (found, mark) = match got {
            Ok((Value::Array(found), mark)) => (found, mark),
            Ok((_, mark)) => return Pages { items, stopped: Some(mark.malformed("the answer is not a list")) },
            Err(unread) => return Pages { items, stopped: Some(unread) },
        };
        if !found.is_empty() && found.first() == previous.as_ref() {
            return Pages { items, stopped: Some(mark.malformed("the same page came twice")) };
        }
        previous = found.first().cloned();
        let last = found.len() < max;
        items.extend(found.into_iter().map(|item| (item, mark)));
        if last {
            return Pages { items, stopped: None };
        }
    }
    let detail = format!("more than {} pages", recorder.limits().pages);
    Pages { items, stopped: Some(Unread::unsent(call, GapReason::OverLimit, detail)) }
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
            Err(unread) => return Pages { items, stopped: Some(unread) },
        };
        match answer.json() {
            Ok(Value::Array(found)) => items.extend(found.into_iter().map(|item| (item, answer.mark))),
            Ok(_) => return Pages { items, stopped: Some(answer.mark.malformed("the answer is not a list")) },
            Err(unread) => return Pages { items, stopped: Some(unread) },
        }
        match next_link(&answer.headers, &at) {
            Some(next) => at = next,
            None => return Pages { items, stopped: None },
        }
    }
    let detail = format!("more than {} pages", recorder.limits().pages);
    Pages { items, stopped: Some(Unread::unsent(call, GapReason::OverLimit, detail)) }
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
