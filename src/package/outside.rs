//! Outside time in a package: it rests on a checkpoint that an authority dated, where one covers its entries, and holds the
//! authority's answer, which dates that very file.

use ledger::{Reader, SignedCheckpoint};
use store::Read;

use super::folder::Folder;
use super::select::Selection;
use super::{PackageError, Source};

/// A checkpoint, and what authorities said of it.
pub(super) struct Dates {
    pub(super) checkpoint: SignedCheckpoint,
    answers: Vec<Answer>,
}

/// What one authority said.
struct Answer {
    authority: String,
    bytes: Vec<u8>,
    /// Certificates that vouched for it when it was given, in PEM, while they are there.
    chain: Option<Vec<u8>>,
}

/// The first checkpoint that covers the entries of a package and that an authority dated. An answer that does not hold is
/// passed over: `evidenced verify` names it.
pub(super) fn dates(
    source: &Source<'_>,
    reader: &Reader,
    selection: &Selection,
) -> Result<Option<Dates>, PackageError> {
    let mut found: Option<Dates> = None;
    for anchor in selection.anchors.iter().filter(|anchor| anchor.head.size > selection.ends_at) {
        if found.as_ref().is_some_and(|dates| dates.checkpoint.checkpoint.size != anchor.head.size) {
            continue;
        }
        let bodies = (source.offline.body(&anchor.checkpoint)?, source.offline.body(&anchor.answer)?);
        let (Some(note), Some(answer)) = bodies else { continue };
        // Whom to trust is for the receiver to say.
        if anchor::verify(&answer, &note, &anchor::Roots::default()).is_err_and(|error| !error.is_of_trust()) {
            continue;
        }
        let Ok(checkpoint) = SignedCheckpoint::parse_unverified(&note) else { continue };
        if reader.root(anchor.head.size)? != checkpoint.checkpoint.root {
            continue;
        }
        let dates = found.get_or_insert(Dates { checkpoint, answers: Vec::new() });
        let known = dates.answers.iter().any(|known| known.authority == anchor.authority);
        if dates.checkpoint.note.as_bytes() == note && !known {
            let chain = source.offline.body(&anchor.chain)?;
            dates.answers.push(Answer { authority: anchor.authority.clone(), bytes: answer, chain });
        }
    }
    Ok(found)
}

/// Writes the answers, and the certificates that were kept with them. Returns the names of the authorities.
pub(super) fn write(folder: &mut Folder, dates: Option<Dates>) -> Result<Vec<String>, PackageError> {
    let mut names = Vec::new();
    for answer in dates.into_iter().flat_map(|dates| dates.answers) {
        folder.write(&format!("anchors/{}.tsr", answer.authority), &answer.bytes)?;
        if let Some(chain) = &answer.chain {
            folder.write(&format!("anchors/{}.pem", answer.authority), chain)?;
        }
        names.push(answer.authority);
    }
    Ok(names)
}
