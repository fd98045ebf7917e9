//! The API: the read layer's shapes, limits that show, and errors that help.

use axum::http::StatusCode;
use query::{Alert, ChangeView, ControlView, EntryView, RowView, StreamView};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use web::{Listing, NowView};

use crate::{get, usual};

/// The answer reads as `T`, and `T` holds all of it.
async fn read<T: Serialize + DeserializeOwned>(path: &str) -> T {
    let answer = get(&usual(), path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
    let value: T = serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{path}: {e}"));
    assert_eq!(serde_json::to_value(&value).unwrap(), answer.json(), "{path}");
    value
}

#[tokio::test]
async fn answers_have_the_shapes_of_the_read_layer() {
    let now: NowView = read("/api/v1/overview").await;
    assert_eq!(
        (now.overview.organisation.as_str(), now.deviations_total, now.overview.streams.len()),
        ("Acme GmbH", 4, 3)
    );
    let changes: Listing<ChangeView> = read("/api/v1/changes").await;
    assert_eq!(changes.items, now.overview.changes);
    let deviations: Listing<Alert> = read("/api/v1/deviations").await;
    assert_eq!((deviations.items, deviations.total), (now.overview.deviations, Some(4)));
    let streams: Listing<StreamView> = read("/api/v1/streams").await;
    assert_eq!(streams.items, now.overview.streams);
    let controls: Listing<ControlView> = read("/api/v1/controls/iso27001-2022").await;
    assert_eq!((controls.items.len(), controls.more), (93, false));
    let rows: Listing<RowView> = read("/api/v1/entries/6/rows?limit=1").await;
    assert_eq!((rows.items.len(), rows.total, rows.more), (1, Some(2), true));
    let rest: Listing<RowView> = read(rows.next.as_deref().unwrap()).await;
    assert_eq!((rest.items[0].address.to_string().as_str(), rest.more), ("#6/1", false));
    let catalogues: Listing<query::FrameworkView> = read("/api/v1/controls").await;
    let known: Vec<_> =
        catalogues.items.iter().map(|c| (c.framework.as_str(), c.edition.as_str(), c.controls)).collect();
    assert_eq!(known, [("iso27001-2022", "3 (2022-10)", 93)]);
    let control: ControlView = read("/api/v1/controls/iso27001-2022/A.8.5").await;
    assert_eq!(control.edition, "3 (2022-10)", "a number means something in one edition alone");
    assert!(controls.items.contains(&control));
    let entry: EntryView = read("/api/v1/entries/25").await;
    assert_eq!((entry.entry, entry.kind.as_str(), entry.rows), (25, "observation", 2));
    let row: RowView = read("/api/v1/entries/25/0").await;
    assert_eq!(row.observation.unwrap().name, "acme");
}

#[tokio::test]
async fn proofs_and_checkpoints_are_text_as_others_write_them() {
    let router = usual();
    let proof = get(&router, "/api/v1/entries/25/proof").await;
    assert_eq!(proof.header("content-type"), "text/plain; charset=utf-8");
    assert!(proof.body.starts_with("c2sp.org/tlog-proof@v1\nindex 25\n"));
    let checkpoint = get(&router, "/api/v1/checkpoint").await;
    assert_eq!(checkpoint.body, "acme\n28\nroot\n\n— acme signature\n");
}

#[tokio::test]
async fn a_list_ends_at_its_limit_and_says_where_it_goes_on() {
    let whole: Listing<ChangeView> = read("/api/v1/changes").await;
    assert!(!whole.more && whole.next.is_none());
    let mut walked = Vec::new();
    let mut next = Some("/api/v1/changes?limit=5".to_owned());
    while let Some(path) = next {
        let part: Listing<ChangeView> = read(&path).await;
        assert!(part.items.len() <= 5 && part.limit == 5);
        assert_eq!(part.more, part.next.is_some());
        walked.extend(part.items);
        next = part.next;
    }
    assert_eq!(walked, whole.items);

    let part: Listing<Alert> = read("/api/v1/deviations?limit=3").await;
    assert_eq!((part.items.len(), part.total, part.more), (3, Some(4), true));
    let rest: Listing<Alert> = read(&part.next.unwrap()).await;
    assert_eq!((rest.items.len(), rest.total, rest.more), (1, Some(4), false));
    let beyond: Listing<Alert> = read("/api/v1/deviations?from=18446744073709551615").await;
    assert_eq!((beyond.items.len(), beyond.more), (0, false));

    for (asked, given) in [("0", 1), ("1000", 1000), ("1001", 1000), ("18446744073709551615", 1000)] {
        let part: Listing<ChangeView> = read(&format!("/api/v1/changes?limit={asked}")).await;
        assert_eq!(part.limit, given, "a limit of {asked}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_apart_from_what_does_not_read() {
    let router = usual();
    let table = [
        ("/api/v1/nothing", 404, "there is nothing at this address"),
        ("/api/v1", 404, "there is nothing at this address"),
        ("/api/v1/entries/28", 404, "there is no such entry"),
        ("/api/v1/entries/-1", 404, "there is no such entry"),
        ("/api/v1/entries/99999999999999999999999", 404, "there is no such entry"),
        ("/api/v1/entries/25/2", 404, "there is no such row"),
        ("/api/v1/entries/25/4294967296", 404, "there is no such row"),
        ("/api/v1/entries/0/0", 404, "there is no such row"),
        ("/api/v1/entries/28/proof", 404, "there is no such entry"),
        ("/api/v1/controls/iso9001", 404, "there is no such catalogue"),
        ("/api/v1/controls/%3Cscript%3E", 404, "there is no such catalogue"),
        ("/api/v1/controls/iso27001-2022/A.9.1", 404, "iso27001-2022 has no such control"),
        ("/api/v1/changes?limit=ten", 400, "Failed to deserialize query string: limit: invalid digit found in string"),
        ("/api/v1/changes?limit=-1", 400, "Failed to deserialize query string: limit: invalid digit found in string"),
    ];
    for (path, status, error) in table {
        let answer = get(&router, path).await;
        let body: Value = answer.json();
        assert_eq!((answer.status.as_u16(), body["error"].as_str()), (status, Some(error)), "{path}");
        assert!(body["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{path}");
        assert_eq!(body.as_object().unwrap().len(), 2, "{path}");
    }
    assert_eq!(get(&router, "/api/v1/changes?limits=5").await.status, StatusCode::BAD_REQUEST);
}
