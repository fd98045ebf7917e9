//! What of a file may be repeated to the person who wrote it, where the file could hold a secret by mistake.
//!
//! A message about settings ends up on terminals, in logs of builds and in tickets. So it shows keys that are settings
//! or look like one, values of a short list, and a `…` for everything else.

use std::collections::BTreeSet;

/// What stands for what is not shown.
const HIDDEN: &str = "…";

/// What of a file may be shown. Paths are keys joined by dots; positions in lists are left out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Discretion {
    keys: BTreeSet<String>,
    references: BTreeSet<String>,
    values: Vec<String>,
    unlisted: Option<String>,
}

impl Discretion {
    /// `keys`: every setting there is. `references`: those of them that say where a secret lies; below these nothing
    /// but a known key is shown. `values`: where values, and everything below, may be shown; `*` stands for any one
    /// key.
    pub fn new(
        keys: impl IntoIterator<Item = String>,
        references: impl IntoIterator<Item = String>,
        values: &[&str],
    ) -> Self {
        Discretion {
            keys: keys.into_iter().collect(),
            references: references.into_iter().collect(),
            values: values.iter().map(|path| (*path).to_owned()).collect(),
            unlisted: None,
        }
    }

    /// The same, with a key that is known and that nobody is pointed to.
    #[must_use]
    pub fn proposing_no(mut self, key: &str) -> Self {
        self.unlisted = Some(key.to_owned());
        self
    }

    /// Whether a remedy may propose a key.
    pub(crate) fn proposes(&self, key: &str) -> bool {
        self.unlisted.as_deref() != Some(key)
    }

    /// Whether the value at `path` may be shown.
    pub(crate) fn shows_value(&self, path: &str) -> bool {
        let path = without_positions(path);
        self.values.iter().any(|pattern| {
            let mut keys = path.split('.');
            pattern.split('.').all(|wanted| keys.next().is_some_and(|key| wanted == "*" || key == wanted))
        })
    }

    /// Whether the last key of `path` may be shown: it is a setting, stands among values that may be shown, or could be
    /// a misspelt setting.
    pub(crate) fn shows_key(&self, path: &str) -> bool {
        let bare = without_positions(path);
        let (above, name) = bare.rsplit_once('.').unwrap_or(("", &bare));
        let looks_like_one = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let among_settings = above.is_empty() || (self.keys.contains(above) && !self.references.contains(above));
        self.keys.contains(&bare) || self.shows_value(path) || (among_settings && looks_like_one)
    }

    /// A path as it may stand in a message: up to the first key that is not shown.
    pub(crate) fn path(&self, path: &str) -> String {
        let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
        let mut shown = 0;
        for end in ends {
            let so_far = path.get(..end).unwrap_or_default();
            // A key that holds dots itself is known at its last one only.
            if self.shows_key(so_far) {
                shown = end;
            }
        }
        match path.get(..shown).unwrap_or_default() {
            whole if whole.len() == path.len() => whole.to_owned(),
            "" => HIDDEN.to_owned(),
            part => format!("{part}.{HIDDEN}"),
        }
    }
}

/// The path without the positions in lists.
fn without_positions(path: &str) -> String {
    let mut bare = String::with_capacity(path.len());
    let mut within = false;
    for c in path.chars() {
        match c {
            '[' => within = true,
            ']' if within => within = false,
            _ if within => {}
            c => bare.push(c),
        }
    }
    bare
}

/// A line with what may be shown of it, and where `column` (in characters, from 1) has gone. `shown` are ranges of
/// characters, from 0; what lies between them stays only as far as it is white space and brackets.
pub(crate) fn masked(line: &str, mut shown: Vec<std::ops::Range<usize>>, column: usize) -> (String, usize) {
    let chars: Vec<char> = line.chars().collect();
    shown.sort_by_key(|range| range.start);
    let end = chars.len()..chars.len();
    let (mut text, mut written, mut at, mut place) = (String::new(), 0, 0, None);
    let wanted = column.saturating_sub(1);
    for range in shown.into_iter().chain([end]) {
        let (start, end) = (range.start.max(at).min(chars.len()), range.end.max(at).min(chars.len()));
        let gap = chars.get(at..start).unwrap_or_default();
        let hidden_from = gap.iter().position(|c| !c.is_whitespace() && !"-{}[],:".contains(*c)).unwrap_or(gap.len());
        let kept_from =
            gap.iter().rposition(|c| !c.is_whitespace() && !"}],".contains(*c)).map_or(gap.len(), |last| last + 1);
        let kept_from = kept_from.max(hidden_from);
        let mark = if hidden_from < gap.len() { HIDDEN } else { "" };
        let kept = if mark.is_empty() { &[] } else { gap.get(kept_from..).unwrap_or_default() };
        if place.is_none() && wanted < start {
            place = Some(written + wanted.saturating_sub(at).min(hidden_from));
        }
        text.extend(gap.get(..hidden_from).unwrap_or_default());
        text.push_str(mark);
        text.extend(kept);
        written += hidden_from + mark.chars().count() + kept.len();
        if place.is_none() && wanted < end {
            place = Some(written + wanted.saturating_sub(start));
        }
        text.extend(chars.get(start..end).unwrap_or_default());
        written += end - start;
        at = end;
    }
    (text, place.unwrap_or(written) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discretion() -> Discretion {
        let keys = ["sources", "sources.keycloak", "sources.keycloak.secret", "sources.keycloak.secret.file", "zone"];
        Discretion::new(
            keys.map(str::to_owned),
            ["sources.keycloak.secret".to_owned()],
            &["zone", "params", "sources.*.name"],
        )
    }

    #[test]
    fn a_path_is_shown_up_to_what_is_no_setting() {
        let discretion = discretion();
        for (path, shown) in [
            ("sources.keycloak[0].secret.file", "sources.keycloak[0].secret.file"),
            ("sources.keycloak[0].secret.hunter", "sources.keycloak[0].secret.…"),
            ("sources.keycloak[0].secert", "sources.keycloak[0].secert"),
            ("sources.keycloak[0].secert.hunter", "sources.keycloak[0].secert.…"),
            ("sources.keycloak[0].hunter2", "sources.keycloak[0].…"),
            ("params.keycloak.realm.lock.after2", "params.keycloak.realm.lock.after2"),
            ("hunter2", "…"),
        ] {
            assert_eq!(discretion.path(path), shown);
        }
        assert!(discretion.shows_value("sources.keycloak[3].name"));
        assert!(!discretion.shows_value("sources.keycloak[3].secret"));
        assert!(!discretion.shows_value("sources"));
    }

    #[test]
    fn a_line_keeps_what_may_be_shown_and_the_place_of_what_is_meant() {
        let line = "  - {name: a, secret: hunter2, realm: 'x'} # hunter2";
        let (key, value) = (line.find("secret").unwrap(), line.find("hunter2").unwrap());
        let name = line.find("name").unwrap()..line.find("name").unwrap() + 4;
        let (text, column) = masked(line, vec![name.clone(), key..key + 6], value + 1);
        assert_eq!(text, "  - {name: …, secret: …");
        assert_eq!(column, 23);
        assert_eq!(masked(line, vec![key..key + 6, name.clone()], key + 1), (text, 15));
        assert_eq!(masked("hunter2", Vec::new(), 3), ("…".to_owned(), 1));
        assert_eq!(masked("a: ", std::iter::once(0..1).collect(), 4), ("a: ".to_owned(), 4));
    }
}
