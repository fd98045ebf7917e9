//! What people read.

use axum::http::StatusCode;

use crate::html::{tags, text};
use crate::sample::{Names, sample};
use crate::{READS, get, pages_of, usual};

/// The first page of the sample, word for word.
const NOW: &str = include_str!("now.txt");

async fn read(path: &str) -> String {
    let answer = get(&usual(), path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}");
    text(&answer.body)
}

#[tokio::test]
async fn the_first_page_tells_what_changed_what_deviates_and_what_could_not_be_seen() {
    let page = get(&pages_of(sample(&Names::tame(), 6)), "/").await.body;
    let now = text(&page);
    assert_eq!(now, NOW, "the first page reads otherwise:\n{now}");
}

#[tokio::test]
async fn a_deviation_is_shown_with_before_and_after_actor_owner_and_first_action() {
    for path in ["/deviations", "/entries/26"] {
        let page = read(path).await;
        for fact in [
            "Brute-force protection is off keycloak.realm.brute_force",
            "was bruteForceProtected true failureFactor 5 sslRequired external seen 2026-11-22 19:15:02 UTC #6/0",
            "is bruteForceProtected false failureFactor 5 sslRequired external seen 2026-11-22 19:30:01 UTC #25/0",
            "who dora, from 10.1.2.3 at 2026-11-22 19:26:02 UTC by the source's clock",
            "first Realm settings > Security defenses > Brute force detection: on",
            "owner Identity team",
            "controls iso27001-2022 A.5.17 A.8.5",
            "high because anyone can guess passwords without being slowed down",
        ] {
            assert!(page.lines().any(|line| line == fact), "{path} lacks {fact:?}:\n{page}");
        }
    }
}

#[tokio::test]
async fn an_earlier_step_of_a_deviation_says_where_it_stands_by_now() {
    let page = read("/entries/13").await;
    assert!(page.contains("▲ opened with this entry at first look: nobody was paged"), "{page}");
    assert!(page.contains("By now: ● resolved #22 2026-11-22 06:48:00 UTC"), "{page}");
    let last = read("/entries/22").await;
    assert!(last.contains("● resolved with this entry") && !last.contains("By now"), "{last}");
}

#[tokio::test]
async fn what_could_not_be_read_is_shown_as_neither_good_nor_bad() {
    let page = read("/entries/21").await;
    let rows: Vec<&str> =
        page.lines().filter(|line| line.starts_with("#21/") && line.contains("undetermined")).collect();
    let [row] = rows.as_slice() else { panic!("one row is undetermined: {rows:?}") };
    let address = row.split(' ').next().unwrap().trim_start_matches('#');
    let card = read(&format!("/entries/{address}")).await;
    assert!(card.contains("credential_types ○ could not be read denied: 403 Forbidden"), "{card}");
    assert!(card.starts_with(&format!("row #{address}")) && card.contains("○ undetermined person-119"), "{card}");
}

#[tokio::test]
async fn raw_bytes_and_the_call_are_three_clicks_from_a_control() {
    let router = usual();
    let mut reached = Vec::new();
    let mut pages = vec!["/controls/iso27001-2022".to_owned()];
    for _ in 0..3 {
        let mut next = Vec::new();
        for path in &pages {
            let body = get(&router, path.split('#').next().unwrap()).await.body;
            let main = body.split_once("<main").unwrap().1.split_once("</main>").unwrap().0.to_owned();
            let links =
                tags(&format!("<main{main}")).into_iter().filter_map(|tag| tag.attribute("href").map(str::to_owned));
            next.extend(links.filter(|link| link.contains("A.5.17") || link.starts_with("/entries/25")));
        }
        reached.extend(next.clone());
        pages = next;
        pages.sort();
        pages.dedup();
    }
    assert!(reached.contains(&"/entries/25/0".to_owned()), "{reached:?}");
    let card = read("/entries/25/0").await;
    for fact in [
        "asked GET https://id.acme.example/admin/realms/acme",
        r#"{"realm":"acme","bruteForceProtected":false,"failureFactor":5,"sslRequired":"none"}"#,
        "redacted before anything was kept: [].credentialData",
        "Repeat all of it, without this page: evidenced show 25/0 evidenced verify",
        "c2sp.org/tlog-proof@v1",
    ] {
        assert!(card.contains(fact), "the evidence card lacks {fact:?}:\n{card}");
    }
}

#[tokio::test]
async fn every_control_of_the_catalogue_has_a_row_with_its_finding_in_words() {
    let page = read("/controls/iso27001-2022").await;
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("A.")).collect();
    assert_eq!(rows.len(), 93);
    let row = |control: &str| *rows.iter().find(|row| row.starts_with(&format!("{control} "))).unwrap();
    assert!(
        row("A.8.5")
            .contains("▲ nonconforming a linked check deviates ▲ deviates: keycloak.admin.second_factor keycloak:acme")
    );
    assert!(row("A.8.2").contains("○ not evidenced") && row("A.5.1").contains("○ not evidenced"));
}

#[tokio::test]
async fn long_lists_are_shown_in_parts_that_say_so() {
    let page = read("/entries/21").await;
    assert!(page.contains("120 rows, 50 on a page: after"), "{page}");
    assert_eq!(page.lines().filter(|line| line.starts_with("#21/")).count(), 50);
    let last = read("/entries/21?from=100").await;
    assert!(last.contains("120 rows, 50 on a page: before"), "{last}");
    assert_eq!(last.lines().filter(|line| line.starts_with("#21/")).count(), 20);
    let calls = read("/entries/20").await;
    assert!(calls.contains("122 rows, 50 on a page: before after") && calls.contains("\n#20/0 GET"), "{calls}");
    assert!(read("/entries/20?from=0").await.contains("#20/0 GET /admin/realms/{realm}/users 200"));
    assert_eq!(read("/entries/21?from=99999").await.lines().filter(|line| line.starts_with("#21/")).count(), 0);
    let by_check = read("/entries/25?check=keycloak.realm.tls_required").await;
    assert!(by_check.contains("#25/1 acme") && !by_check.contains("#25/0 acme"), "{by_check}");
    assert!(read("/deviations?limit=3").await.contains("4 deviations open, the worst first; 1 to 3 here"));
    assert!(read("/changes?limit=2").await.contains("older changes"));
}

#[tokio::test]
async fn a_long_body_is_cut_on_the_page_and_whole_in_the_api() {
    let mut names = Names::tame();
    names.body = "ü".repeat(600 * 1024);
    let router = pages_of(sample(&names, 6));
    let card = get(&router, "/entries/25/0").await.body;
    assert!(card.len() < 64 * 1024 && text(&card).contains("606,208 characters more: the whole exchange"));
    let alone = get(&router, "/entries/24/0").await.body;
    assert!(text(&alone).contains("90,112 characters more: all of it, in JSON"));
    assert!(get(&router, "/api/v1/entries/24/0").await.body.contains(&names.body));
}

#[tokio::test]
async fn what_was_erased_says_so_and_the_rest_stands() {
    let mut daemon = sample(&Names::tame(), 6);
    daemon.ledger.erase_observations_of("keycloak.realm.brute_force");
    let router = pages_of(daemon);
    let card = text(&get(&router, "/entries/25/0").await.body);
    assert!(card.contains("What stood here was erased. Its commitment still stands in the manifest."), "{card}");
    assert!(card.contains("manifest keycloak.realm.brute_force "), "{card}");
    assert_eq!(get(&router, "/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_entry_and_every_row_has_its_page() {
    let router = pages_of(sample(&Names::tame(), 6));
    for entry in 0..28 {
        let answer = get(&router, &format!("/entries/{entry}")).await;
        assert_eq!(answer.status, StatusCode::OK, "#{entry}: {}", answer.body);
        for tag in tags(&answer.body) {
            let Some(link) = tag.attribute("href").filter(|link| link.starts_with('/')) else { continue };
            let reached = get(&router, link.split('#').next().unwrap()).await;
            assert_eq!(reached.status, StatusCode::OK, "#{entry} links to {link}");
        }
    }
}

#[tokio::test]
async fn pages_need_no_script_no_style_of_their_own_and_nothing_from_elsewhere() {
    let router = usual();
    for path in READS.iter().filter(|path| !path.starts_with("/api")) {
        let answer = get(&router, path).await;
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        assert!(answer.body.len() < 100 * 1024, "{path} has {} bytes", answer.body.len());
        let tags = tags(&answer.body);
        for tag in &tags {
            assert!(
                !["script", "style", "iframe", "object", "form", "img"].contains(&tag.name.as_str()),
                "{path}: {tag:?}"
            );
            let elsewhere = |value: &str| value.contains("//");
            assert!(
                !tag.attributes.iter().any(|(name, value)| name == "style" || name != "datetime" && elsewhere(value)),
                "{path}: {tag:?}"
            );
        }
        let count = |name: &str| tags.iter().filter(|tag| tag.name == name).count();
        assert_eq!((count("h1"), count("main"), count("title")), (1, 1, 1), "{path}");
        assert!(tags.iter().filter(|tag| tag.name == "th").all(|tag| tag.attribute("scope") == Some("col")), "{path}");
        assert_eq!(count("table"), count("thead"), "{path}");
        let mut ids: Vec<&str> = tags.iter().filter_map(|tag| tag.attribute("id")).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "{path} has an id twice");
    }
}

#[tokio::test]
async fn no_page_gives_a_score_or_a_word_that_concludes() {
    for path in READS {
        // The short title of A.5.36 is the standard's word, not ours.
        let body = get(&usual(), path).await.body.to_lowercase().replace("compliance with policies", "");
        for word in ["compliant", "compliance", "certified", "passed", "audit-ready", "score", "%"] {
            assert!(!body.contains(word), "{path} says {word:?}");
        }
    }
}

#[tokio::test]
async fn a_page_that_is_not_there_is_a_page_that_says_so() {
    for path in ["/nothing", "/entries/28", "/entries/x", "/entries/25/9", "/controls/iso9001", "/changes?limit=x"] {
        let answer = get(&usual(), path).await;
        assert!(answer.status.is_client_error(), "{path}");
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{path}");
        assert_eq!(tags(&answer.body)[0].name, "html", "{path}");
    }
}
