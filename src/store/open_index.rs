//! The index when the store is opened: taken as it is once all of it has been read, or built again.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ledger::Reader;

use crate::bodies::BodyStore;
use crate::catch_up;
use crate::index::{self, Index, SledIndex};
use crate::layout::Layout;
use crate::subjects::Subjects;
use crate::writer::Recovered;

/// The index as it lies there, brought up to date; or, where anything is wrong with it, one that is built again.
pub(crate) fn open_index(
    layout: &Layout,
    reader: &Reader,
    (bodies, subjects): (&mut BodyStore, &Subjects),
    recovered: &mut Recovered,
) -> Result<Arc<dyn Index>, Box<dyn std::error::Error + Send + Sync>> {
    let opened = SledIndex::open(&layout.index()).and_then(|index| {
        index::read_through(&index)?;
        let folded = catch_up::catch_up(&index, reader, bodies, subjects)?;
        Ok((index, folded))
    });
    match opened {
        Ok((index, folded)) => {
            recovered.folded = folded;
            // A ledger that was just begun has one entry; with more, there was an index once.
            if folded > 1 && reader.size()? == folded {
                recovered.notes.push("the index held nothing: the index is built again from the ledger".to_owned());
            }
            Ok(Arc::new(index))
        }
        Err(error) => {
            recovered
                .notes
                .push(format!("the index cannot be used: {error}; the index is built again from the ledger"));
            rebuild_index(layout, reader, (bodies, subjects), recovered)
        }
    }
}

/// Puts the old index aside, builds a new one, and lets the old one go.
pub(crate) fn rebuild_index(
    layout: &Layout,
    reader: &Reader,
    (bodies, subjects): (&mut BodyStore, &Subjects),
    recovered: &mut Recovered,
) -> Result<Arc<dyn Index>, Box<dyn std::error::Error + Send + Sync>> {
    let (current, aside) = (layout.index(), layout.data().join("index.broken"));
    remove(&aside)?;
    if current.exists() {
        fs::rename(&current, &aside)?;
    }
    let index = SledIndex::open(&current)?;
    recovered.folded = catch_up::catch_up(&index, reader, bodies, subjects)?;
    remove(&aside)?;
    Ok(Arc::new(index))
}

/// Removes what was put aside, whatever stood there.
fn remove(aside: &Path) -> io::Result<()> {
    match fs::symlink_metadata(aside) {
        Ok(there) if there.is_dir() => fs::remove_dir_all(aside),
        Ok(_) => fs::remove_file(aside),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
