//! Recorded answers of a source.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use url::Url;

/// One recorded exchange.
#[derive(Clone, Debug, Deserialize)]
pub struct Recorded {
    /// `GET`, `POST` …
    pub method: String,
    /// Path and query; for a request that names an action in its body, the body stands in the place of the query.
    pub target: String,
    /// HTTP status.
    pub status: u16,
    /// The headers worth keeping.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body as it came, secrets replaced.
    #[serde(default)]
    pub body: String,
}

/// The recorded exchanges of one folder: `index.json` lists their files, each file is one exchange.
#[derive(Clone, Debug, Default)]
pub struct Fixture {
    exchanges: Vec<Recorded>,
    /// Query parameters of offset and page size, when the source pages by them.
    offset: Option<(String, String)>,
}

#[derive(Deserialize)]
struct Index {
    exchanges: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    file: String,
}

impl Fixture {
    /// Reads a folder. Panics with the file's name when one cannot be read: a test without its fixture is no test.
    #[allow(clippy::panic, reason = "test support")]
    pub fn read(folder: impl AsRef<Path>) -> Self {
        let folder = folder.as_ref();
        let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let path = folder.join("index.json");
        let index: Index = serde_json::from_str(&text(&path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let exchange = |row: Row| {
            let path = folder.join(row.file);
            serde_json::from_str(&text(&path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        };
        Fixture { exchanges: index.exchanges.into_iter().map(exchange).collect(), offset: None }
    }

    /// Says which query parameters hold offset and page size. A list recorded whole then answers any page of it.
    pub fn paged_by(mut self, first: &str, max: &str) -> Self {
        self.offset = Some((first.to_owned(), max.to_owned()));
        self
    }

    /// Adds an answer made by hand, for a call that was not recorded.
    pub fn with(mut self, method: &str, target: &str, status: u16, body: &str) -> Self {
        let headers = [("content-type".to_owned(), "application/json".to_owned())].into();
        let (method, target, body) = (method.to_owned(), target.to_owned(), body.to_owned());
        self.exchanges.push(Recorded { method, target, status, headers, body });
        self
    }

    /// Answers from `other` what this one does not hold.
    pub fn then(mut self, other: Fixture) -> Self {
        self.exchanges.extend(other.exchanges);
        self.offset = self.offset.or(other.offset);
        self
    }

    /// The answer to a request: the first one recorded, or a page of a list recorded whole.
    pub fn answer(&self, method: &str, target: &str) -> Option<Recorded> {
        let exact = self.exchanges.iter().find(|e| e.method == method && e.target == target);
        exact.cloned().or_else(|| self.sliced(method, target))
    }

    /// Whether a request asks for a later page.
    pub(crate) fn is_later_page(&self, target: &str) -> bool {
        let Some((first, _)) = &self.offset else { return false };
        parameter(target, first).is_some_and(|first| first > 0)
    }

    fn sliced(&self, method: &str, target: &str) -> Option<Recorded> {
        let (first, max) = self.offset.as_ref()?;
        let (from, length) = (parameter(target, first)?, parameter(target, max)?);
        let bare = |target: &str| without(target, &[first, max]);
        let path = |target: &str| target.split('?').next().map(str::to_owned);
        let same_path = self.exchanges.iter().filter(|e| e.method == method && path(&e.target) == path(target));
        let whole = same_path.into_iter().find(|e| {
            let all = parameter(&e.target, first) == Some(0)
                && parameter(&e.target, max).is_some_and(|max| items(&e.body).is_some_and(|items| items.len() < max));
            all && bare(&e.target) == bare(target)
        })?;
        let page: Vec<_> = items(&whole.body)?.into_iter().skip(from).take(length).collect();
        Some(Recorded { body: serde_json::to_string(&page).ok()?, target: target.to_owned(), ..whole.clone() })
    }
}

fn items(body: &str) -> Option<Vec<serde_json::Value>> {
    serde_json::from_str(body).ok()
}

fn parsed(target: &str) -> Option<Url> {
    Url::parse("http://localhost").ok()?.join(target).ok()
}

fn parameter(target: &str, name: &str) -> Option<usize> {
    parsed(target)?.query_pairs().find(|(n, _)| n == name)?.1.parse().ok()
}

fn without(target: &str, names: &[&String]) -> Option<(String, Vec<(String, String)>)> {
    let url = parsed(target)?;
    let kept =
        url.query_pairs().filter(|(n, _)| !names.iter().any(|name| *name == n)).map(|(n, v)| (n.into(), v.into()));
    Some((url.path().to_owned(), kept.collect()))
}
