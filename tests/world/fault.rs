//! Bad days, made call by call.

use std::time::Duration;

/// What happens to a call instead of its answer, or to its answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// 403, as the server says it when a role is missing.
    Denied,
    /// 401, as the server says it when a token is not accepted.
    Unauthenticated,
    /// 429 with `Retry-After` in seconds, as a proxy in front of the server says it; the server itself never does.
    Throttled {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// Every n-th matching call is throttled, the others are answered.
    EveryNthThrottled {
        /// From 1: every call.
        n: u32,
        /// Seconds to wait.
        retry_after: u32,
    },
    /// The given status with the server's word for its own faults: 500, 502, 503.
    Status(u16),
    /// 200 with an empty list, where a page with this number (from 0) was asked for; other pages come whole.
    DroppedPage(u64),
    /// The connection breaks after so many bytes of the body.
    CutOff(usize),
    /// 200 with a sign-in page in HTML, as a proxy in front of the server answers when its own session ran out.
    Html,
    /// 200 with this body.
    Body(String),
    /// The answer comes, after this wait.
    Slow(Duration),
    /// The call is accepted and never answered.
    Hang,
}

/// Faults waiting for their calls.
#[derive(Default)]
pub(crate) struct Faults(Vec<Waiting>);

struct Waiting {
    call: String,
    fault: Fault,
    /// How often it still strikes; `None`: until it is taken away.
    left: Option<u32>,
    /// Matching calls so far.
    seen: u32,
}

impl Faults {
    pub(crate) fn add(&mut self, call: &str, fault: Fault, times: Option<u32>) {
        self.0.push(Waiting { call: without_names(call), fault, left: times, seen: 0 });
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault that strikes this call, if one does; `page` is the page asked for, where the call asks for one.
    pub(crate) fn strike(&mut self, call: &str, page: Option<u64>) -> Option<Fault> {
        let call = without_names(call);
        for waiting in &mut self.0 {
            if waiting.left == Some(0) || (waiting.call != "*" && waiting.call != call) {
                continue;
            }
            waiting.seen += 1;
            let strikes = match &waiting.fault {
                Fault::EveryNthThrottled { n, .. } => waiting.seen % (*n).max(1) == 0,
                Fault::DroppedPage(wanted) => page == Some(*wanted),
                _ => true,
            };
            if strikes {
                waiting.left = waiting.left.map(|left| left - 1);
                return Some(waiting.fault.clone());
            }
        }
        None
    }
}

/// The call with its placeholders emptied, so that `{id}` and `{user}` mean the same.
fn without_names(call: &str) -> String {
    let mut out = String::with_capacity(call.len());
    let mut inside = false;
    for c in call.chars() {
        match c {
            '{' => inside = true,
            '}' => inside = false,
            _ if inside => continue,
            _ => {}
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_the_call_it_names_as_often_as_it_should() {
        let mut faults = Faults::default();
        faults.add("GET /a/{x}", Fault::Denied, Some(2));
        assert_eq!(faults.strike("GET /b", None), None);
        assert_eq!(faults.strike("GET /a/{id}", None), Some(Fault::Denied));
        assert_eq!(faults.strike("GET /a/{id}", None), Some(Fault::Denied));
        assert_eq!(faults.strike("GET /a/{id}", None), None);
    }

    #[test]
    fn every_third_call_is_throttled_and_only_the_second_page_is_dropped() {
        let mut faults = Faults::default();
        faults.add("*", Fault::EveryNthThrottled { n: 3, retry_after: 1 }, None);
        let struck: Vec<bool> = (0..6).map(|_| faults.strike("GET /a", None).is_some()).collect();
        assert_eq!(struck, [false, false, true, false, false, true]);
        faults.clear();
        faults.add("GET /a", Fault::DroppedPage(1), None);
        assert_eq!(faults.strike("GET /a", Some(0)), None);
        assert_eq!(faults.strike("GET /a", Some(1)), Some(Fault::DroppedPage(1)));
    }
}
