//! The export as C2SP tlog-tiles, against another reading of that form (tlog_tiles) and through every interruption.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ledger::testing::{Fault, Harm, ModelDisk, Rng};
use ledger::{ExportError, Exported, Log, Reader, RealDisk, SigningKey};
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{HashReader as _, Tile, TileHashReader, TileReader};

use crate::support::{self, dir, entries, genesis, guard, key, open, small_ledger};

fn out() -> &'static Path {
    Path::new("/export")
}

fn export(disk: &ModelDisk) -> Result<Exported, ExportError> {
    Reader::open_on(disk.shared(), dir()).export_tiles(out(), &mut |_| {})
}

/// Everything in the export's folder.
fn exported(disk: &ModelDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    disk.files_below(out()).into_iter().map(|file| (file.clone(), disk.content(&file).unwrap())).collect()
}

/// A folder of tiles as tlog_tiles asks for them; it names the height too, which C2SP leaves out.
struct Served(PathBuf);

impl Served {
    fn read(&self, tile: &Tile) -> Vec<u8> {
        let path = tile.path().replace("tile/8/data/", "tile/entries/").replace("tile/8/", "tile/");
        std::fs::read(self.0.join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

impl TileReader for Served {
    fn height(&self) -> u8 {
        8
    }
    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        Ok(tiles.iter().map(|tile| self.read(tile)).collect())
    }
    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// Holds a folder against the entries that it should serve, with nothing but other people's code.
fn accepted_by_others(folder: &Path, expected: &[Vec<u8>]) {
    let verifier = StandardVerifier::new(&key().verifier().to_string()).unwrap();
    let note = Note::from_bytes(&std::fs::read(folder.join("checkpoint")).unwrap()).unwrap();
    assert_eq!(note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap().0.len(), 1);
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    let size = checkpoint.size();
    assert_eq!((checkpoint.origin(), size), (support::ORIGIN, expected.len() as u64));

    let served = Served(folder.to_owned());
    let hashes = TileHashReader::new(size, *checkpoint.hash(), &served);
    let mut found = Vec::new();
    for start in (0..size).step_by(256) {
        let width = (size - start).min(256);
        let indices: Vec<u64> = (start..start + width).map(|n| tlog_tiles::stored_hash_index(0, n)).collect();
        let leaves = hashes.read_hashes(&indices).unwrap();
        let mut bundle = served.read(&Tile::new(8, 0, start / 256, width as u32, true));
        for leaf in leaves {
            let rest = bundle.split_off(2);
            let len = u16::from_be_bytes([bundle[0], bundle[1]]);
            let (entry, rest) = rest.split_at(usize::from(len));
            assert_eq!(tlog_tiles::record_hash(entry), leaf);
            found.push(entry.to_vec());
            bundle = rest.to_vec();
        }
        assert!(bundle.is_empty(), "more than {width} entries in a bundle");
    }
    assert!(found == expected, "the bundles hold other entries");
    for tile in Tile::new_tiles(8, 0, size) {
        assert_eq!(served.read(&tile), tile.read_data(&hashes).unwrap(), "{}", tile.path());
    }
}

#[test]
fn invariant_29_an_export_is_accepted_by_another_reading_at_every_size_and_carried_on_as_the_ledger_grows() {
    let home = tempfile::tempdir().unwrap();
    let (dir, guard, out) = (home.path().join("ledger"), home.path().join("guard"), home.path().join("out/tiles"));
    let mut log = Log::create(RealDisk::shared(), &dir, &guard, key(), &genesis()).unwrap();
    let reader = Reader::open(&dir);
    let mut before = 0;
    let mut expected = vec![genesis()];
    for size in [1, 2, 255, 256, 257, 600, 1_025] {
        if size > log.size() {
            log.append(&entries(log.size()..size)).unwrap();
            expected.extend(entries(expected.len() as u64..size));
        }
        let done = reader.export_tiles(&out, &mut |_| {}).unwrap();
        assert_eq!((done.checkpoint.size, done.before), (size, before));
        accepted_by_others(&out, &expected);
        let again = reader.export_tiles(&out, &mut |_| {}).unwrap();
        assert_eq!((again.written, again.present), (0, done.written + done.present), "{size}");
        before = size;
    }
    // Full tiles were written once: the last two bundles, the last two tiles above them, and one above those.
    assert!(home.path().join("out/tiles/tile/1/000.p/4").exists());
}

#[test]
fn an_export_of_three_levels_is_accepted_by_another_reading() {
    let home = tempfile::tempdir().unwrap();
    let (dir, guard, out) = (home.path().join("ledger"), home.path().join("guard"), home.path().join("tiles"));
    let mut log = Log::create(RealDisk::shared(), &dir, &guard, key(), &genesis()).unwrap();
    let short = |n: u64| n.to_string().into_bytes();
    let mut expected = vec![genesis()];
    while log.size() < 65_536 + 300 {
        let batch: Vec<_> = (log.size()..(log.size() + 4096).min(65_536 + 300)).map(short).collect();
        log.append(&batch).unwrap();
        expected.extend(batch);
    }
    let mut told = Vec::new();
    Reader::open(&dir).export_tiles(&out, &mut |progress| told.push(progress)).unwrap();
    assert_eq!(told.len(), 6, "{told:?}");
    assert!(out.join("tile/2/000.p/1").exists());
    accepted_by_others(&out, &expected);
}

#[test]
fn a_folder_that_holds_something_else_is_refused_and_left_as_it_is() {
    let disk = small_ledger(3);
    export(&disk).unwrap();
    let refused = |disk: &ModelDisk| {
        let before = exported(disk);
        let error = export(disk).unwrap_err();
        assert_eq!(exported(disk), before, "{error}");
        error
    };

    // The ledger in its place is another one, a shorter copy of the same, or one with another history.
    let of = |key: SigningKey, other: &[Vec<u8>]| {
        let there = disk.copy();
        for file in there.files_below(Path::new("/data")).into_iter().chain(there.files_below(guard())) {
            there.take_away(&file);
        }
        let first = String::from_utf8(genesis()).unwrap();
        let first = first.replace(&support::key().verifier().to_string(), &key.verifier().to_string());
        let mut log = Log::create(there.shared(), dir(), guard(), key, first.as_bytes()).unwrap();
        log.append(other).unwrap();
        there
    };
    let stranger = SigningKey::from_seed("example.org/other", &[8; 32]).unwrap();
    let error = refused(&of(stranger, &entries(1..9)));
    assert!(matches!(&error, ExportError::AnotherLog { found, .. } if found == support::ORIGIN), "{error:?}");
    let error = refused(&of(key(), &entries(1..5)));
    assert!(matches!(error, ExportError::Newer { exported: 7, local: 5, .. }), "{error:?}");
    let error = refused(&of(key(), &entries(2..12)));
    assert!(matches!(error, ExportError::Contradicts { size: 7, .. }), "{error:?}");

    // A folder of somebody else's.
    let foreign = small_ledger(1);
    foreign.shared().create_dir(out()).unwrap();
    foreign.put(&out().join("letter.txt"), b"dear");
    let error = refused(&foreign);
    assert!(matches!(&error, ExportError::NotEmpty { found, .. } if found == "letter.txt"), "{error:?}");
    foreign.take_away(&out().join("letter.txt"));
    foreign.put(&out().join("checkpoint"), b"not one");
    assert!(matches!(refused(&foreign), ExportError::NotEmpty { found, .. } if found == "checkpoint"));
    let nameless = disk.copy();
    nameless.take_away(&out().join("checkpoint"));
    assert!(matches!(refused(&nameless), ExportError::NotEmpty { found, .. } if found == "tile"));

    // The ledger's own folder, whose checkpoint is that of the ledger.
    let before = disk.files_below(Path::new("/data"));
    let into_itself = Reader::open_on(disk.shared(), dir()).export_tiles(dir(), &mut |_| {});
    assert!(matches!(into_itself, Err(ExportError::NotEmpty { .. })), "{into_itself:?}");
    assert_eq!(disk.files_below(Path::new("/data")), before);
}

#[test]
fn a_changed_byte_of_a_finished_export_is_named_and_not_written_over() {
    let disk = small_ledger(3);
    export(&disk).unwrap();
    let (mut log, _) = open(&disk).unwrap();
    for (file, whole) in exported(&disk) {
        let changed = disk.copy();
        let mut bytes = whole.clone();
        bytes[whole.len() / 2] ^= 1;
        changed.put(&file, &bytes);
        let done = export(&changed);
        match done {
            Err(ExportError::Changed(named)) => assert_eq!(named, file),
            // A changed checkpoint contradicts the ledger, or reads as no checkpoint, or only its signature suffers.
            _ => assert!(file.ends_with("checkpoint"), "{}: {done:?}", file.display()),
        }
    }
    // What was removed from it is written again.
    log.append(&entries(7..9)).unwrap();
    disk.take_away(&out().join("tile/entries/000.p/7"));
    let done = export(&disk).unwrap();
    assert_eq!((done.before, done.checkpoint.size), (7, 9));
}

#[test]
fn a_ledger_that_does_not_lead_to_its_checkpoint_is_not_exported() {
    let disk = small_ledger(3);
    let segment = dir().join("seg/00000000000000000000.seg");
    let mut bytes = disk.content(&segment).unwrap();
    let at = bytes.len() - 40;
    bytes[at] ^= 1;
    disk.put(&segment, &bytes);
    assert!(matches!(export(&disk), Err(ExportError::Read(_))));
    assert!(disk.content(&out().join("checkpoint")).is_none());

    let unsigned = small_ledger(1);
    let checkpoint = dir().join("checkpoint");
    let stranger = SigningKey::from_seed(support::ORIGIN, &[8; 32]).unwrap();
    let note = String::from_utf8(unsigned.content(&checkpoint).unwrap()).unwrap();
    let text = note.split_once("\n\n").unwrap().0.to_owned() + "\n";
    unsigned.put(&checkpoint, stranger.sign(&text).unwrap().as_bytes());
    assert!(matches!(export(&unsigned), Err(ExportError::Unsigned(_))));
    assert!(matches!(export(&ModelDisk::new()), Err(ExportError::NoLedger)));
}

#[test]
fn whatever_interrupts_an_export_nothing_half_written_is_published_and_the_next_one_finishes_it() {
    let first = small_ledger(2);
    export(&first).unwrap();
    let (mut log, _) = open(&first).unwrap();
    log.append(&entries(4..9)).unwrap();
    drop(log);
    let mut points = 0;
    // The first export into a folder, and one that carries an older one on.
    for start in [small_ledger(3), first] {
        let calm = start.copy();
        calm.set_fault(None);
        export(&calm).unwrap();
        let (operations, trace, expected) = (calm.operations(), calm.trace(), exported(&calm));
        for at in 0..operations {
            for harm in [Harm::PowerLoss, Harm::FailsKept, Harm::FailsLost, Harm::NoSpace] {
                let disk = start.copy();
                disk.set_fault(Some(Fault { at, harm }));
                if export(&disk).is_ok() {
                    continue;
                }
                for seed in 0..5 {
                    let after = disk.copy();
                    match seed {
                        0 if harm != Harm::PowerLoss => after.restart(),
                        1 => after.lose_everything_unsynced(),
                        2 => after.keep_everything_unsynced(),
                        _ => after.lose_power(&mut Rng::new(at * 7 + seed)),
                    }
                    let told = format!("{harm:?} at {at} ({}), seed {seed}", trace[at as usize]);
                    let published = after.content(&out().join("checkpoint"));
                    if published == expected.get(&out().join("checkpoint")).cloned() {
                        for (file, bytes) in expected.iter().filter(|(file, _)| file.starts_with(out().join("tile"))) {
                            assert_eq!(after.content(file).as_ref(), Some(bytes), "{told}: {}", file.display());
                        }
                    } else {
                        assert_eq!(published, start.content(&out().join("checkpoint")), "{told}");
                    }
                    export(&after).unwrap_or_else(|error| panic!("{told}: {error}"));
                    after.lose_everything_unsynced();
                    assert_eq!(exported(&after), expected, "{told}");
                    points += 1;
                }
            }
        }
    }
    println!("{points} interrupted exports");
    assert!(points > 300, "{points}");
}
