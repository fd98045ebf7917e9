//! The style sheet: found where pages say, kept for long, readable in the light and in the dark.

use axum::http::StatusCode;

use crate::html::tags;
use crate::{get, usual};

async fn sheet() -> String {
    let router = usual();
    let page = get(&router, "/").await.body;
    let link = tags(&page).into_iter().find(|tag| tag.name == "link").unwrap();
    let answer = get(&router, link.attribute("href").unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), "text/css; charset=utf-8");
    assert!(answer.header("cache-control").contains("immutable"));
    answer.body
}

/// WCAG 2.2: the ratio of the relative luminances of two colours, each written `#rrggbb`.
fn contrast(a: &str, b: &str) -> f64 {
    let luminance = |colour: &str| {
        let colour = colour.trim_start_matches('#');
        let channel = |n: usize| {
            let value = f64::from(u8::from_str_radix(&colour[2 * n..2 * n + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(0) + 0.7152 * channel(1) + 0.0722 * channel(2)
    };
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[tokio::test]
async fn every_text_has_enough_contrast_in_the_light_and_in_the_dark() {
    assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 0.01);
    let sheet = sheet().await;
    let blocks: Vec<&str> = sheet.split(":root {").skip(1).map(|rest| rest.split_once('}').unwrap().0).collect();
    let colour = |block: &str, name: &str| {
        let (_, rest) = block.split_once(&format!("--{name}: ")).unwrap_or_else(|| panic!("--{name} is missing"));
        rest.split_once(';').unwrap().0.to_owned()
    };
    for block in &blocks[..2] {
        for text in ["ink", "soft", "link", "bad", "unseen", "good", "accepted"] {
            for ground in ["paper", "panel"] {
                let ratio = contrast(&colour(block, text), &colour(block, ground));
                assert!(ratio >= 4.5, "{text} on {ground} has a contrast of {ratio:.2}");
            }
        }
    }
}

#[tokio::test]
async fn the_sheet_asks_for_nothing_from_elsewhere() {
    let sheet = sheet().await;
    for word in ["url(", "@import", "http", "//"] {
        assert!(!sheet.contains(word), "{word}");
    }
}
