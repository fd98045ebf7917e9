//! Names that outsiders choose stay text, wherever they appear.

use axum::http::StatusCode;

use crate::html::{Tag, tags, text};
use crate::sample::{Names, sample};
use crate::{Answer, READS, get, pages_of};

/// Names that would be markup, script, attributes, style, templates, terminal commands or turned text, if anything let
/// them; bare and broken out of wherever they might stand.
fn corpus() -> Vec<String> {
    let bare = [
        "<script>alert(1)</script>",
        "<SCRIPT SRC=//evil.example/x></SCRIPT>",
        "<img src=x onerror=alert(1)>",
        "<svg/onload=alert(1)>",
        "<svg><script>alert&#40;1)</script>",
        "<iframe src=javascript:alert(1)>",
        "<a href=\"javascript:alert(1)\">x</a>",
        "<body onload=alert(1)>",
        "<style>*{display:none}</style>",
        "<link rel=stylesheet href=//evil.example>",
        "<meta http-equiv=refresh content=0;url=//evil.example>",
        "<base href=//evil.example/>",
        "<form action=//evil.example><input>",
        "<math><mtext></form>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "</",
        "<",
        ">",
        "&lt;script&gt;",
        "&#60;script&#62;",
        "&amp;",
        "&",
        "\"",
        "'",
        "`",
        "=",
        "onmouseover=alert(1)",
        "javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "{{7*7}}",
        "{% raw %}",
        "{{ super() }}",
        "${7*7}",
        "#{7*7}",
        "<%= 7*7 %>",
        "\\u003cscript\\u003e",
        "%3Cscript%3E",
        "\u{202e}gnp.exe",
        "\u{2066}\u{202d}admin\u{202c}",
        "a\u{200b}dmin",
        "\u{feff}admin",
        "adm\u{ad}in",
        "\u{1b}[31mred\u{1b}[0m",
        "\u{7}\u{8}\u{c}",
        "nul\u{0}l",
        "\r\nSet-Cookie: a=b",
        "\u{2028}\u{2029}",
        "\u{85}",
        "../../etc/passwd",
        "//evil.example",
        "Zürich 東京 👩‍💻",
        "a  b",
        " ",
    ];
    let long = "W".repeat(3000);
    let around = ["{}", "\">{}", "'>{}", "</td>{}<td>", "</title>{}", "</pre>{}<pre>", "x onclick={}"];
    let wrapped = bare.iter().flat_map(|name| around.iter().map(move |around| around.replace("{}", name)));
    wrapped.chain([long]).collect()
}

const PAGES: [&str; 9] = [
    "/",
    "/changes",
    "/deviations",
    "/controls/iso27001-2022/A.8.5",
    "/entries/9",
    "/entries/10",
    "/entries/10/0",
    "/entries/9/1",
    "/entries/22",
];

/// What a page is built of, without what names may change: the text of attributes.
fn build(page: &str) -> Vec<(String, Vec<String>)> {
    let names = |tag: Tag| tag.attributes.into_iter().map(|(name, _)| name).collect();
    tags(page).into_iter().map(|tag| (tag.name.clone(), names(tag))).collect()
}

fn inert(path: &str, name: &str, answer: &Answer) {
    assert_eq!(answer.status, StatusCode::OK, "{path} with {name:?}");
    for tag in tags(&answer.body) {
        for (attribute, value) in &tag.attributes {
            assert!(!attribute.starts_with("on") && attribute != "style", "{path} with {name:?}: {tag:?}");
            let local = value.starts_with('/') && !value.starts_with("//") || value.starts_with('#');
            assert!(!matches!(attribute.as_str(), "href" | "src") || local, "{path} with {name:?}: {tag:?}");
        }
    }
    let unseen = |c: char| {
        c.is_control() && c != '\n' && c != '\t'
            || matches!(c, '\u{200b}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!answer.body.contains(unseen), "{path} with {name:?} holds a character that acts unseen");
}

#[tokio::test]
async fn no_name_changes_what_a_page_is_built_of() {
    let tame = pages_of(sample(&Names::tame(), 6));
    let corpus = corpus();
    assert!(corpus.len() >= 200, "{}", corpus.len());
    let mut expected = Vec::new();
    for path in PAGES {
        expected.push(build(&get(&tame, path).await.body));
    }
    for name in &corpus {
        let router = pages_of(sample(&Names::all(name), 6));
        for (path, expected) in PAGES.iter().zip(&expected) {
            let answer = get(&router, path).await;
            inert(path, name, &answer);
            assert!(build(&answer.body) == *expected, "{path} is built otherwise with {name:?}");
        }
    }
}

#[tokio::test]
async fn a_hostile_name_is_read_as_it_is() {
    let name = r#"<b onclick='x'>&"dora"</b>"#;
    let router = pages_of(sample(&Names::all(name), 6));
    for path in PAGES {
        let page = get(&router, path).await.body;
        assert!(text(&page).contains(name) || path.ends_with("/10"), "{path}");
    }
    let turned = pages_of(sample(&Names::all("nimda\u{202e}txt"), 6));
    assert!(text(&get(&turned, "/").await.body).contains("nimda\\u{202e}txt"));
}

#[tokio::test]
async fn the_api_gives_hostile_names_as_json_that_no_browser_takes_for_a_page() {
    for name in corpus() {
        let router = pages_of(sample(&Names::all(&name), 6));
        for path in READS.iter().filter(|path| path.starts_with("/api/")) {
            let answer = get(&router, path).await;
            let kind = answer.header("content-type");
            assert!(
                kind == "application/json" || kind == "text/plain; charset=utf-8" || !answer.status.is_success(),
                "{path}: {kind}"
            );
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
        }
    }
}
