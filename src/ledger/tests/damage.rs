//! Whatever is changed, cut, removed or exchanged in a ledger's files is named by `verify`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::disk::{Disk, DiskDir, DiskFile, Held, Open, SharedDisk};
use ledger::testing::ModelDisk;
use ledger::{Bodies, Kind, Level, OpenError, Reader, Report, SigningKey, VerifyOptions, verify_on};

use crate::support::{self, dir, entries, guard, key, open, small_ledger};

fn bodies_dir() -> &'static Path {
    Path::new("/data/body")
}

/// A ledger with bodies beside it, at rest.
fn ledger_with_bodies() -> ModelDisk {
    let disk = small_ledger(4);
    let mut bodies = Bodies::open(disk.shared(), bodies_dir()).unwrap();
    bodies.append([1; 32], b"a short body").unwrap();
    bodies.append([2; 32], "a long body, ".repeat(100).as_bytes()).unwrap();
    bodies.sync().unwrap();
    bodies.append([3; 32], b"").unwrap();
    bodies.sync().unwrap();
    disk
}

fn options() -> VerifyOptions {
    VerifyOptions {
        key: Some(key().verifier()),
        bodies: Some(bodies_dir().to_owned()),
        guard: Some(guard().to_owned()),
        ..VerifyOptions::default()
    }
}

fn verify(disk: &ModelDisk) -> Report {
    verify_on(disk.shared(), dir(), &options(), &mut |_| {})
}

fn segment(first: u64) -> PathBuf {
    dir().join(format!("seg/{first:020}.seg"))
}

fn change(disk: &ModelDisk, file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut content = disk.content(file).unwrap();
    change(&mut content);
    disk.put(file, &content);
}

/// The frames of a segment: offset and length of each.
fn frames(content: &[u8]) -> Vec<(usize, usize)> {
    let mut at = 24;
    let mut frames = Vec::new();
    while at < content.len() {
        let len = 9 + u32::from_le_bytes(content[at..at + 4].try_into().unwrap()) as usize;
        frames.push((at, len));
        at += len;
    }
    frames
}

#[test]
fn invariant_10_a_single_changed_byte_in_any_file_is_detected_and_its_file_named() {
    let disk = ledger_with_bodies();
    let report = verify(&disk);
    assert_eq!((report.exit_code(Level::Signed), report.bodies), (0, 3), "{report:#?}");
    let mut flips = 0;
    for root in ["/data", "/guard"] {
        for file in disk.files_below(Path::new(root)) {
            let whole = disk.content(&file).unwrap();
            for at in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << (at % 8);
                disk.put(&file, &bytes);
                let report = verify(&disk);
                let named = report.problems.iter().any(|problem| problem.file == file);
                assert!(named, "byte {at} of {} changed: {:#?}", file.display(), report.problems);
                assert_ne!(report.exit_code(Level::Unsigned), 0);
                flips += 1;
            }
            disk.put(&file, &whole);
        }
    }
    println!("{flips} bytes changed, one at a time");
    assert_eq!(verify(&disk).exit_code(Level::Signed), 0);
}

#[test]
fn invariant_09_damage_in_an_entry_names_file_offset_and_entry_and_is_left_as_it_is() {
    let disk = small_ledger(4);
    let content = disk.content(&segment(0)).unwrap();
    let (offset, _) = frames(&content)[2];
    change(&disk, &segment(0), |bytes| bytes[offset + 20] ^= 1);
    let report = verify(&disk);
    let problem = &report.problems[0];
    assert_eq!((problem.kind, problem.offset, problem.entry), (Kind::Invalid, Some(offset as u64), Some(2)));
    assert_eq!((&problem.file, report.exit_code(Level::Signed)), (&segment(0), 40));

    let before = disk.content(&segment(0)).unwrap();
    match open(&disk) {
        Err(OpenError::Damaged(damage)) => {
            assert_eq!((damage.file, damage.offset, damage.entry), (segment(0), offset as u64, Some(2)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(disk.content(&segment(0)).unwrap(), before);

    let reader = Reader::open_on(disk.shared(), dir());
    assert!(reader.entry(1).is_ok());
    assert!(reader.entry(2).unwrap_err().to_string().contains("entry 2"));
    assert!(reader.tlog_proof(1).is_err());
}

#[test]
fn a_changed_entry_with_a_mended_checksum_is_found_by_the_tree() {
    let disk = small_ledger(4);
    let (offset, len) = frames(&disk.content(&segment(0)).unwrap())[2];
    change(&disk, &segment(0), |bytes| {
        bytes[offset + 10] ^= 1;
        let mut sum = [&2u64.to_le_bytes()[..], &bytes[offset..offset + 5]].concat();
        sum.extend_from_slice(&bytes[offset + 9..offset + len]);
        let sum = crc32c::crc32c(&sum).to_le_bytes();
        bytes[offset + 5..offset + 9].copy_from_slice(&sum);
    });
    let report = verify(&disk);
    assert_eq!(report.problems[0].entry, Some(2), "{report:#?}");
    assert!(report.problems[0].what.contains("do not lead to the signed root"), "{report:#?}");
    assert_eq!((report.level, report.exit_code(Level::Unsigned)), (Level::Unsigned, 40));
    assert!(matches!(open(&disk), Err(OpenError::Diverged { .. } | OpenError::Damaged(_))));
}

#[test]
fn frames_cut_off_removed_exchanged_or_doubled_are_detected() {
    let whole = small_ledger(2);
    let file = segment(0);
    let content = whole.content(&file).unwrap();
    let all = frames(&content);
    assert_eq!(all.len(), 4);
    let cut = |from: usize, to: usize| content[from..to].to_vec();
    let part = |nth: usize| cut(all[nth].0, all[nth].0 + all[nth].1);
    let head = cut(0, 24);
    for (what, bytes, code) in [
        ("the last entry is cut off", cut(0, all[3].0), 50),
        ("the last entry is cut through", cut(0, content.len() - 3), 40),
        ("everything is cut off", head.clone(), 50),
        ("the file is empty", vec![], 40),
        ("an entry is removed", [head.clone(), part(0), part(2), part(3)].concat(), 40),
        ("two entries are exchanged", [head.clone(), part(0), part(2), part(1), part(3)].concat(), 40),
        ("an entry is doubled", [head.clone(), part(0), part(1), part(1), part(2), part(3)].concat(), 40),
    ] {
        let disk = whole.copy();
        disk.put(&file, &bytes);
        let report = verify_on(disk.shared(), dir(), &VerifyOptions { bodies: None, ..options() }, &mut |_| {});
        assert_eq!(report.exit_code(Level::Signed), code, "{what}: {report:#?}");
        assert!(open(&disk).is_err(), "{what}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let whole = ledger_with_bodies();
    for file in whole.files_below(Path::new("/data")) {
        if file.ends_with("lock") {
            continue;
        }
        let disk = whole.copy();
        disk.take_away(&file);
        let report = verify(&disk);
        assert_eq!(report.exit_code(Level::Signed), 50, "{}: {report:#?}", file.display());
        if file.starts_with(dir()) {
            assert!(open(&disk).is_err(), "{}", file.display());
        }
    }
    assert!(whole.files_below(&dir().join("seg")).len() > 1);
}

#[test]
fn a_pinned_checkpoint_is_continued_or_contradicted() {
    let disk = small_ledger(3);
    let pin = disk.content(&dir().join("checkpoint")).unwrap();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&entries(7..9)).unwrap();
    drop(log);
    let with_pin = |pin: &[u8]| VerifyOptions { pin: Some(pin.to_vec()), bodies: None, ..options() };
    let report = verify_on(disk.shared(), dir(), &with_pin(&pin), &mut |_| {});
    assert_eq!((report.level, report.exit_code(Level::Pinned)), (Level::Pinned, 0), "{report:#?}");

    // Another history under the same key: the same number of entries, one of them different.
    let other = ModelDisk::new();
    let mut log = support::create(&other).unwrap();
    log.append(&entries(1..6)).unwrap();
    log.append(&entries(16..19)).unwrap();
    drop(log);
    let report = verify_on(other.shared(), dir(), &with_pin(&pin), &mut |_| {});
    assert_eq!((report.level, report.exit_code(Level::Signed)), (Level::Signed, 30), "{report:#?}");

    // A ledger that is shorter than the pin.
    let report = verify_on(small_ledger(1).shared(), dir(), &with_pin(&pin), &mut |_| {});
    assert_eq!(report.exit_code(Level::Signed), 30, "{report:#?}");

    // A pin that somebody else signed.
    let stranger = SigningKey::from_seed(support::ORIGIN, &[8; 32]).unwrap();
    let text = String::from_utf8(pin).unwrap();
    let forged = stranger.sign(&(text.split_once("\n\n").unwrap().0.to_owned() + "\n")).unwrap();
    let report = verify_on(disk.shared(), dir(), &with_pin(forged.as_bytes()), &mut |_| {});
    assert_eq!(report.exit_code(Level::Signed), 30, "{report:#?}");
}

#[test]
fn the_signature_of_another_key_is_invalid() {
    let disk = small_ledger(2);
    let stranger = SigningKey::from_seed(support::ORIGIN, &[8; 32]).unwrap();
    let given = VerifyOptions { key: Some(stranger.verifier()), ..VerifyOptions::default() };
    let report = verify_on(disk.shared(), dir(), &given, &mut |_| {});
    assert_eq!((report.level, report.exit_code(Level::Unsigned)), (Level::Unsigned, 40));
}

#[test]
fn a_log_of_checkpoints_that_lost_or_exchanged_records_is_named() {
    let whole = small_ledger(3);
    let file = dir().join("checkpoints.log");
    let content = whole.content(&file).unwrap();
    let text = String::from_utf8(content).unwrap();
    let mut records: Vec<&str> = text.split_inclusive("=\n\n").collect();
    // A root and a signature both end in `=`; a record is one of each.
    records.retain(|record| !record.is_empty());
    let record = |n: usize| records[2 * n..2 * n + 2].concat();
    for (what, bytes, code) in [
        ("the last is lost", [record(0), record(1), record(2)].concat(), 50),
        ("two are exchanged", [record(0), record(2), record(1), record(3)].concat(), 40),
        ("one is doubled", [record(0), record(1), record(1), record(2), record(3)].concat(), 40),
        ("all are lost", String::new(), 50),
    ] {
        let disk = whole.copy();
        disk.put(&file, bytes.as_bytes());
        let report = verify_on(disk.shared(), dir(), &VerifyOptions { bodies: None, ..options() }, &mut |_| {});
        assert_eq!(report.exit_code(Level::Signed), code, "{what}: {report:#?}");
        assert!(report.problems.iter().any(|problem| problem.file == file), "{what}: {report:#?}");
    }
}

/// A disk on which some files may not be looked at.
struct Closed {
    disk: SharedDisk,
    to_us: PathBuf,
}

impl Closed {
    fn look(&self, path: &Path) -> io::Result<()> {
        match path.starts_with(&self.to_us) {
            true => Err(io::ErrorKind::PermissionDenied.into()),
            false => Ok(()),
        }
    }
}

impl Disk for Closed {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        self.look(path).and_then(|()| self.disk.open(path, how))
    }
    fn open_dir(&self, dir: &Path) -> io::Result<Box<dyn DiskDir>> {
        self.disk.open_dir(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.look(dir).and_then(|()| self.disk.list(dir))
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Held>> {
        self.disk.lock(path)
    }
    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_space(dir)
    }
}

#[test]
fn what_may_not_be_looked_at_is_incomplete_and_never_invalid() {
    let disk = ledger_with_bodies();
    let body = |name: &str| bodies_dir().join(name);
    let files: Vec<PathBuf> =
        disk.files_below(Path::new("/")).into_iter().filter(|path| !path.ends_with("lock")).collect();
    let folders = [dir().to_owned(), dir().join("seg"), bodies_dir().to_owned(), body("none of it")];
    assert!(files.len() >= 6, "{files:?}");
    for to_us in files.into_iter().chain(folders) {
        for key in [None, Some(key().verifier())] {
            let closed: SharedDisk = Arc::new(Closed { disk: disk.shared(), to_us: to_us.clone() });
            let report = verify_on(closed, dir(), &VerifyOptions { key, ..options() }, &mut |_| {});
            let read = to_us.ends_with("none of it");
            assert_eq!(
                (report.denied, report.exit_code(Level::Signed)),
                (!read, if read { 0 } else { 50 }),
                "{to_us:?}"
            );
            assert!(report.problems.iter().all(|problem| problem.kind == Kind::Incomplete), "{to_us:?}: {report:?}");
        }
    }
}
