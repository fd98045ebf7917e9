//! What authorities outside say of the time of a package: answers of RFC 3161 about its last checkpoint, byte for byte, which
//! covers every entry in it.

use crate::package::{LAST, Package};
use crate::report::{Kind, Level};
use crate::time;

/// Clocks that differ by less, in milliseconds, contradict nobody.
const APART: i64 = 60_000;

impl Package {
    /// Holds every answer that is here against the certificates that are trusted. One that does not hold proves nothing,
    /// and speaks against nothing: nobody's evidence rests on it.
    pub(crate) fn read_anchors(&mut self) -> Result<(), String> {
        let dated = self.read(LAST)?;
        let shorts: Vec<String> = self.paths.keys().filter(|short| is_answer(short)).cloned().collect();
        for short in shorts {
            let answer = self.read(&short)?;
            let stamp = match anchor::verify(&answer, &dated, &self.asked.roots) {
                Ok(stamp) => stamp,
                Err(why) => {
                    let why = match self.asked.roots.is_empty() {
                        true => "no certificate that you gave with --ca vouches for it".to_owned(),
                        false => why.to_string(),
                    };
                    self.said.push(("anchored", format!("{short}: {why}")));
                    continue;
                }
            };
            let accuracy = stamp.accuracy.and_then(|accuracy| i64::try_from(accuracy).ok()).unwrap_or(0);
            let before = stamp.time.saturating_add(accuracy);
            self.anchored |= self.level.is_some_and(|level| level != Level::Unsigned);
            self.said.push(("anchored", format!("{short}: all of it existed before {}", time::moment(before))));
            if self.latest > before.saturating_add(APART) {
                self.problem(Kind::Diverged, short, "the last entry claims to be younger than that");
            }
        }
        Ok(())
    }
}

/// Whether a file is an authority's answer, by its name.
fn is_answer(short: &str) -> bool {
    let name = short.strip_prefix("anchors/").and_then(|name| name.strip_suffix(".tsr"));
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.is_some_and(|name| (1..=100).contains(&name.len()) && name.bytes().all(fits))
}
