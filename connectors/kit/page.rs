//! Walking lists to their end, or saying that it was not reached.

use std::pin::pin;

use domain::GapReason;
use futures::StreamExt;
use http::HeaderMap;
use serde_json::Value;
use url::Url;

use crate::items::items;
use crate::view::Mark;
use crate::{Answer, Arrived, CallSpec, Recorder, Unread};

/// How a walk through a list went. Its items were handed over page by page, so that no list need be held whole.
#[derive(Debug, Default)]
pub struct Walked {
    /// How many items came.
    pub items: usize,
    /// The last page that was answered; an empty list has one too.
    pub last: Option<Mark>,
    /// Why the end was not reached; `None` when it was.
    pub stopped: Option<Unread>,
}

impl Walked {
    fn stopped(self, unread: Unread) -> Self {
        Walked { stopped: Some(unread), ..self }
    }
}

/// A list that is short by its nature, held whole.
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
    /// The items of a walk.
    pub fn of(items: Vec<(Value, Mark)>, walked: Walked) -> Self {
        Pages { items, last: walked.last, stopped: walked.stopped }
    }
}

/// Walks a list by offset: `page(first, max)` asks for a page, `each` takes its items in order, each with its exchange. A
/// page shorter than `max` is the last. `expected` is the source's own count of the items, where there is one; it decides
/// nothing but how far ahead pages are asked for: as many at once as the source's manners allow, so that one is on its way
/// while others are kept and read.
///
/// Each page begins with the last item of the one before it. That costs one item a page, and shows a page that was lost,
/// a list that shifted while it was read, and a source that ignores the offset.
pub async fn walk_by_offset<F>(
    recorder: &Recorder,
    call: &'static CallSpec,
    max: usize,
    expected: Option<usize>,
    page: impl Fn(usize, usize) -> F + Send + Sync,
    mut each: impl FnMut(Value, Mark) + Send,
) -> Walked
where
    F: Future<Output = Result<Answer, Unread>> + Send,
{
    let max = max.max(2);
    let mut walked = Walked::default();
    let mut before: Option<Value> = None;
    let limit = recorder.limits().pages as usize;
    let known = expected.map_or(0, |count| 1 + (count + 1).saturating_sub(max).div_ceil(max - 1)).min(limit);
    let ask = |number: usize| page(number * (max - 1), max);
    let ahead = futures::stream::iter(0..known).map(ask).buffered(recorder.at_once());
    let mut answers = pin!(ahead.chain(futures::stream::iter(known..limit).then(ask)));
    while let Some(answer) = answers.next().await {
        let (found, mark) = match answer.and_then(list) {
            Ok(found) => found,
            Err(unread) => return walked.stopped(unread),
        };
        walked.last = Some(mark);
        let whole = found.len() < max;
        if before.is_some() && found.first() != before.as_ref() {
            let unread = mark.unread(GapReason::Truncated, "a page was lost, or the list shifted");
            return walked.stopped(Unread { permission: None, ..unread });
        }
        let repeated = usize::from(before.is_some());
        before = found.last().cloned();
        for item in found.into_iter().skip(repeated) {
            walked.items += 1;
            each(item, mark);
        }
        if whole {
            return walked;
        }
    }
    walked.stopped(over_limit(recorder, call))
}

/// Walks a list by its next links (RFC 8288), beginning at `first`: `page` asks for the page at an address, `each` takes
/// its items. The recorder refuses a link that leads away from the source or to another call.
///
/// Pages are asked for one after the other. The next one is on its way while this one is kept and read.
pub async fn walk_by_link<F>(
    recorder: &Recorder,
    call: &'static CallSpec,
    first: Url,
    page: impl Fn(Url) -> F + Send,
    mut each: impl FnMut(Value, Mark) + Send,
) -> Walked
where
    F: Future<Output = Result<Arrived, Unread>> + Send,
{
    let mut walked = Walked::default();
    let mut asked = page(first.clone()).await;
    let mut at = first;
    for left in (0..recorder.limits().pages).rev() {
        let arrived = match asked {
            Ok(arrived) => arrived,
            Err(unread) => return walked.stopped(unread),
        };
        let next = arrived.next(&at);
        let reading = async {
            // The question goes out before there is work to do: then the source is at it as well.
            tokio::task::yield_now().await;
            let (found, mark) = list(recorder.kept(arrived).await?)?;
            walked.last = Some(mark);
            walked.items += found.len();
            found.into_iter().for_each(|item| each(item, mark));
            Ok(())
        };
        let asking = async {
            match next.clone().filter(|_| left > 0) {
                Some(next) => Some(page(next).await),
                None => None,
            }
        };
        let (following, read) = futures::join!(asking, reading);
        if let Err(unread) = read {
            return walked.stopped(unread);
        }
        (at, asked) = match (next, following) {
            (None, _) => return walked,
            (Some(next), Some(following)) => (next, following),
            (Some(_), None) => break,
        };
    }
    walked.stopped(over_limit(recorder, call))
}

fn list(answer: Answer) -> Result<(Vec<Value>, Mark), Unread> {
    let mark = answer.mark;
    Ok((items(answer)?, mark))
}

fn over_limit(recorder: &Recorder, call: &'static CallSpec) -> Unread {
    Unread::unsent(call, GapReason::OverLimit, format!("more than {} pages", recorder.limits().pages))
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
