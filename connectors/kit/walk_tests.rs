//! Walks through lists, to their end and no further.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc;

use super::*;

/// Walks a list of `there` items in pages of ten, of which the source counts `expected`: the items that came, and the
/// offsets that were asked for.
async fn walked(there: usize, expected: Option<usize>) -> (Vec<usize>, Vec<usize>) {
    let (came, asked) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let (items, offsets) = (Arc::clone(&came), Arc::clone(&asked));
    let ask: Ask = Arc::new(move |_, run| {
        let (items, offsets, recorder) = (Arc::clone(&items), Arc::clone(&offsets), run.recorder());
        Box::pin(async move {
            let page = |first: usize, max: usize| {
                offsets.lock().unwrap().push(first);
                let body: Vec<usize> = (first..there.min(first + max)).collect();
                let body = serde_json::to_vec(&body).unwrap().into();
                std::future::ready(Ok(Answer {
                    mark: MARK,
                    status: 200,
                    headers: http::HeaderMap::new(),
                    body,
                    items: None,
                }))
            };
            let each = |item: serde_json::Value, _| items.lock().unwrap().push(item.as_u64().unwrap() as usize);
            let walked = walk_by_offset(&recorder, &LIST, 10, expected, page, each).await;
            assert!(walked.stopped.is_none() && walked.items == there && walked.last.is_some(), "{walked:?}");
        })
    });
    collect(&"http://127.0.0.1:1/".parse().unwrap(), ask, &around()).await;
    (came.lock().unwrap().clone(), asked.lock().unwrap().clone())
}

#[tokio::test]
async fn a_list_is_walked_to_its_end_whatever_its_count_says_and_with_a_true_count_no_page_is_asked_in_vain() {
    for there in [0, 1, 9, 10, 11, 18, 19, 20, 99, 100] {
        let all: Vec<usize> = (0..there).collect();
        // A page is asked for when the one before it was full.
        let full = |first: usize| there - first >= 10;
        let offsets = (0..=there).step_by(9).filter(|first| *first == 0 || full(first - 9));
        let offsets: Vec<usize> = offsets.collect();
        for expected in [None, Some(there), Some(there / 2)] {
            assert_eq!(walked(there, expected).await, (all.clone(), offsets.clone()), "{there} counted {expected:?}");
        }
        assert_eq!(walked(there, Some(there + 50)).await.0, all);
    }
}

/// Keeps nothing; but the first answer it refuses only once the second page was asked for.
struct Refusing {
    asked: Mutex<mpsc::Receiver<usize>>,
    first: AtomicBool,
}

impl BodySink for Refusing {
    fn put(&self, _: &[Bytes]) -> Result<Vec<BodyId>, SinkError> {
        let asked = self.asked.lock().unwrap();
        if self.first.swap(false, Ordering::SeqCst) {
            // However slow the machine; without the second page this would not end.
            assert!(asked.iter().any(|number| number == 1));
        }
        Err(SinkError("no space left".into()))
    }
}

#[tokio::test]
async fn a_next_page_is_on_its_way_while_one_is_kept_and_nothing_is_read_from_what_was_not_kept() {
    let (asked, receiver) = mpsc::channel();
    let asked = Mutex::new(asked);
    let source = source(move |number| {
        asked.lock().unwrap().send(number).unwrap();
        Reply::Send("HTTP/1.1 200 OK\r\nlink: </things?page=2>; rel=next\r\ncontent-length: 3\r\n\r\n[1]")
    })
    .await;
    let ask: Ask = Arc::new(|url, run| {
        Box::pin(async move {
            let (first, recorder) = (url.join("/things").unwrap(), run.recorder());
            let page = |at| recorder.ask(&LIST, get(&at, ""));
            let walked = walk_by_link(&recorder, &LIST, first, page, |item, _| panic!("{item} was read")).await;
            assert_eq!((walked.items, walked.stopped.unwrap().reason), (0, GapReason::NotKept));
        })
    });
    let mut around = around();
    around.bodies = Arc::new(Refusing { asked: Mutex::new(receiver), first: AtomicBool::new(true) });
    let run = collect(&source.url, ask, &around).await;
    let said: Vec<_> = run.exchanges.iter().map(|exchange| exchange.error.as_deref().unwrap()).collect();
    assert_eq!(said, ["an answer could not be kept: no space left", "nobody waited for the answer"]);
}
