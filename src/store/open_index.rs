//! The index when the store is opened: taken as it is once all of it has been read, or built again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ledger::{Progress, Reader};

use crate::bodies::BodyStore;
use crate::catch_up;
use crate::index::{Engine, Index, IndexError, Summed};
use crate::layout::Layout;
use crate::subjects::Subjects;
use crate::writer::Recovered;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// What an index is made from, and by which engine.
pub(crate) struct Sources<'a> {
    pub(crate) engine: Engine,
    pub(crate) layout: &'a Layout,
    pub(crate) reader: &'a Reader,
    pub(crate) bodies: &'a mut BodyStore,
    pub(crate) subjects: &'a Mutex<Subjects>,
    /// Told how far it is, now and then.
    pub(crate) progress: &'a mut dyn FnMut(Progress),
}

/// The index as it lies there, brought up to date; or, where anything is wrong with it, one that is built again.
pub(crate) fn open_index(mut sources: Sources<'_>, recovered: &mut Recovered) -> Result<Arc<dyn Index>, AnyError> {
    let opened = sources.engine.open(&sources.layout.index()).and_then(|index| {
        let index = Summed::open(index)?;
        let folded = catch_up(&index, &mut sources)?;
        Ok((index, folded))
    });
    match opened {
        Ok((index, folded)) => {
            recovered.folded = folded;
            // A rebuild that was broken off leaves the old one aside.
            remove(&aside(sources.layout))?;
            // A ledger that was just begun has one entry; with more, there was an index once.
            if folded > 1 && sources.reader.size()? == folded {
                recovered.notes.push("the index held nothing: the index is built again from the ledger".to_owned());
            }
            Ok(Arc::new(index))
        }
        Err(error) => {
            recovered
                .notes
                .push(format!("the index cannot be used: {error}; the index is built again from the ledger"));
            let (index, folded) = rebuild_index(sources)?;
            recovered.folded = folded;
            Ok(index)
        }
    }
}

/// Puts the old index aside, builds a new one, and lets the old one go. Gives also how many entries were folded.
pub(crate) fn rebuild_index(mut sources: Sources<'_>) -> Result<(Arc<dyn Index>, u64), AnyError> {
    let layout = sources.layout;
    let (current, aside) = (layout.index(), aside(layout));
    remove(&aside)?;
    // A link counts, wherever it leads.
    if fs::symlink_metadata(&current).is_ok() {
        fs::rename(&current, &aside)?;
    }
    let index = Summed::open(sources.engine.open(&current)?)?;
    let folded = catch_up(&index, &mut sources)?;
    remove(&aside)?;
    Ok((Arc::new(index), folded))
}

fn catch_up(index: &dyn Index, sources: &mut Sources<'_>) -> Result<u64, IndexError> {
    catch_up::catch_up(index, sources.reader, sources.bodies, sources.subjects, sources.progress)
}

/// Where an index is put that cannot be used, until another one is built.
fn aside(layout: &Layout) -> PathBuf {
    layout.data().join("index.broken")
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
