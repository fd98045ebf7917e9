//! Outside dates: the entry and its bodies, and the same as files that other people's tools read.

use std::fs;
use std::io;
use std::path::Path;

use domain::entry::{Anchor, Fact, TreeHead};
use domain::{BodyId, Duration, Timestamp, in_full};

use crate::fold;
use crate::layout::private_dir;
use crate::read::{Read, ReadError};
use crate::rows::{AnchorRow, key};
use crate::writer::{Receipt, Store, StoreError};

/// What an authority said of a checkpoint, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dated {
    /// The authority by its name in the settings.
    pub authority: String,
    /// Size and root of the checkpoint.
    pub head: TreeHead,
    /// The time it gives.
    pub time: Timestamp,
    /// By how much that may be wrong.
    pub accuracy: Option<Duration>,
    /// The subject of the certificate that signed.
    pub signer: String,
    /// The bytes that were dated.
    pub checkpoint: Vec<u8>,
    /// The answer as it came.
    pub answer: Vec<u8>,
    /// The certificates, in PEM.
    pub chain: String,
}

/// The files of an anchor, in a folder of its own: `openssl ts -verify -data checkpoint -in checkpoint.tsr -untrusted
/// chain.pem -CAfile …` reads them.
const FILES: [&str; 3] = ["checkpoint", "checkpoint.tsr", "chain.pem"];

impl Store {
    /// Records what an authority said, and keeps it as files beside the ledger.
    ///
    /// # Errors
    /// The store's. Files that cannot be written are told in the log; the next start writes them.
    pub fn record_anchor(&self, dated: Dated) -> Result<Receipt, StoreError> {
        let Dated { authority, head, time, accuracy, signer, checkpoint, answer, chain } = dated;
        let checkpoint = self.put_body(&checkpoint)?;
        let answer = self.put_body(&answer)?;
        let chain = self.put_body(chain.as_bytes())?;
        let anchor = Anchor { authority, head, time, accuracy, signer, checkpoint, answer, chain };
        let receipt = self.record_one(Fact::Anchor(anchor.clone()))?;
        self.keep_files(&anchor);
        Ok(receipt)
    }

    /// Writes the files of every anchor that has none.
    pub fn write_anchor_files(&self) -> Result<(), ReadError> {
        for (_, bytes) in self.index().scan(key::ANCHORS, None, usize::MAX)? {
            let row: AnchorRow = fold::read(&bytes)?;
            self.keep_files(&row.anchor);
        }
        Ok(())
    }

    fn keep_files(&self, anchor: &Anchor) {
        let dir = self.layout().anchor(anchor.head.size, &anchor.authority);
        if dir.is_dir() {
            return;
        }
        let bodies = [&anchor.checkpoint, &anchor.answer, &anchor.chain];
        let written = bodies.map(|id| self.body_bytes(id)).into_iter().collect::<Result<Vec<_>, _>>();
        let written = written.and_then(|bodies| Ok(write(&dir, FILES.iter().copied().zip(bodies))?));
        if let Err(error) = written {
            let error = in_full(error.as_ref());
            tracing::warn!(dir = %dir.display(), error, "the files of an anchor could not be written; the next start tries again");
        }
    }

    fn body_bytes(&self, id: &BodyId) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.body(id)?.ok_or_else(|| format!("the body {id} is not there"))?)
    }
}

/// Writes a folder that is there whole or not at all.
fn write<'a>(dir: &Path, files: impl Iterator<Item = (&'a str, Vec<u8>)>) -> io::Result<()> {
    let new = dir.with_extension("new");
    private_dir(&new)?;
    for (name, bytes) in files {
        fs::write(new.join(name), bytes)?;
        fs::File::open(new.join(name))?.sync_all()?;
    }
    fs::File::open(&new)?.sync_all()?;
    fs::rename(&new, dir)
}
