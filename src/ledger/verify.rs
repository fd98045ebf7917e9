//! Verification: everything is derived again from the bytes on disk, and every contradiction is named.
//!
//! It needs neither lock nor index nor signing key, and may run beside the writer: it looks at the ledger as of the
//! checkpoint that was published when it began.

use std::io;
use std::path::{Path, PathBuf};

use crate::bodies::{self, BodyError, BodyReader};
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::checkpoints::{self, Records};
use crate::disk::{DiskFile, Open, SharedDisk};
use crate::guard;
use crate::hash::{Hash, leaf_hash};
use crate::keys::KeyRing;
use crate::pack::{self, Location};
use crate::reader::{ReadError, Reader};
use crate::real_disk::RealDisk;
use crate::report::{KeySource, Kind, Level, Problem, Progress, Report, VerifyOptions};
use crate::segment::{self, Frame, ScanError, Scanner, Source};
use crate::slots;
use crate::tree::Frontier;

/// Problems beyond this many are counted, not kept.
const MOST_PROBLEMS: usize = 100;
/// Progress is told every so many entries or bodies.
const TELL_EVERY: u64 = 10_000;

/// Verifies the ledger in a directory of the machine's disk.
pub fn verify(dir: &Path, options: &VerifyOptions, progress: &mut dyn FnMut(Progress)) -> Report {
    verify_on(RealDisk::shared(), dir, options, progress)
}

/// Verifies a ledger on another disk.
pub fn verify_on(disk: SharedDisk, dir: &Path, options: &VerifyOptions, progress: &mut dyn FnMut(Progress)) -> Report {
    let mut verifier = Verifier {
        ring: KeyRing::default(),
        dir: dir.to_owned(),
        frontier: Frontier::new(),
        intact: true,
        last_good: 0,
        head: None,
        mark: None,
        pin: None,
        pin_met: false,
        head_met: false,
        head_recorded: false,
        records: None,
        record: None,
        last_record_size: 0,
        disk,
        report: Report {
            origin: None,
            entries: 0,
            checkpoints: 0,
            bodies: 0,
            erased: 0,
            unopened: 0,
            root: Hash::of_empty_tree(),
            level: Level::Unsigned,
            key: options.key.clone(),
            keys: Vec::new(),
            key_from: if options.key.is_some() { KeySource::Given } else { KeySource::None },
            problems: Vec::new(),
            more_problems: 0,
            denied: false,
        },
    };
    verifier.read_heads(options);
    verifier.read_entries(progress);
    verifier.conclude(options);
    if let Some(dir) = &options.bodies {
        verifier.read_bodies(dir, options, progress);
    }
    verifier.report
}

/// Whether a file is there, and whoever asks may not look.
fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

struct Verifier {
    /// Who may sign, by the entries; none when there is no key to begin with.
    ring: KeyRing,
    disk: SharedDisk,
    dir: PathBuf,
    frontier: Frontier,
    /// Whether the frontier is that of the entries as written: false after the first damage.
    intact: bool,
    /// The last size at which the root agreed with a signed checkpoint.
    last_good: u64,
    head: Option<SignedCheckpoint>,
    mark: Option<Checkpoint>,
    pin: Option<Checkpoint>,
    pin_met: bool,
    head_met: bool,
    head_recorded: bool,
    records: Option<Records>,
    /// The next record of the log of checkpoints, and where it stands.
    record: Option<(Checkpoint, u64)>,
    last_record_size: u64,
    report: Report,
}

impl Verifier {
    fn problem(&mut self, kind: Kind, file: PathBuf, offset: Option<u64>, entry: Option<u64>, what: impl Into<String>) {
        let what = what.into();
        let same = |last: &&mut Problem| last.kind == kind && last.file == file && entry.is_none() && last.what == what;
        if let Some(last) = self.report.problems.last_mut().filter(same) {
            // One cause, such as a wrong key, is told once.
            last.more += 1;
        } else if self.report.problems.len() < MOST_PROBLEMS {
            self.report.problems.push(Problem { kind, file, offset, entry, what, more: 0 });
        } else {
            self.report.more_problems += 1;
        }
    }

    fn io_problem(&mut self, file: PathBuf, error: &io::Error) {
        let denied = is_denied(error);
        self.report.denied |= denied;
        let kind = if denied || error.kind() == io::ErrorKind::NotFound { Kind::Incomplete } else { Kind::Invalid };
        self.problem(kind, file, None, None, format!("it cannot be read: {error}"));
    }

    /// Reads what is claimed: published checkpoint, key, guard, pin. The checkpoint comes before the guard, so that a
    /// running writer can only make the guard look further.
    fn read_heads(&mut self, options: &VerifyOptions) {
        let path = checkpoints::path(&self.dir);
        let note = checkpoints::read(self.disk.as_ref(), &self.dir);
        if let Err((file, denied)) = self.find_key() {
            // Without the keys nothing that is signed can be held against anything.
            return self.io_problem(file, &denied);
        }
        match note {
            Err(error) => self.io_problem(path, &error),
            Ok(None) => self.problem(Kind::Incomplete, path, None, None, "there is no published checkpoint"),
            Ok(Some(note)) => {
                if let Err(error) = SignedCheckpoint::verify_by(&note, &self.ring) {
                    self.problem(Kind::Invalid, path, None, None, error.to_string());
                } else if let Ok(head) = SignedCheckpoint::parse_unverified(&note) {
                    self.report.origin = Some(head.checkpoint.origin.clone());
                    self.head = Some(head);
                }
            }
        }
        if let Some(dir) = &options.guard {
            self.read_guard(dir);
        }
        if let Some(pin) = &options.pin {
            self.read_pin(pin);
        }
        match Records::open(self.disk.as_ref(), &self.dir) {
            Ok(records) => {
                self.records = Some(records);
                self.next_record();
            }
            Err(error) => self.io_problem(checkpoints::log_path(&self.dir), &error),
        }
    }

    /// Learns who may sign: the key that the first entry names, in the field `key` of a JSON object, and its successors.
    /// Where a key was given it has to be one of them; else it alone counts, and nothing that others signed.
    ///
    /// # Errors
    /// Whoever verifies may not look at the entries that name them.
    fn find_key(&mut self) -> Result<(), (PathBuf, io::Error)> {
        let reader = Reader::open_on(self.disk.clone(), &self.dir);
        let (ring, faults) = match reader.key_ring() {
            Ok(found) => found.unwrap_or_default(),
            Err(ReadError::Io { path, source }) if is_denied(&source) => return Err((path, source)),
            // What cannot be read is named where entries are read; the first key is known all the same.
            Err(_) => (reader.named_key().ok().flatten().map(KeyRing::new).unwrap_or_default(), Vec::new()),
        };
        for (index, fault) in faults {
            self.problem(Kind::Invalid, segment::dir(&self.dir), None, Some(index), fault.to_string());
        }
        match (&self.report.key, ring.keys().last()) {
            (Some(given), _) if ring.keys().iter().any(|range| range.key == *given) => self.ring = ring,
            (Some(given), _) => self.ring = KeyRing::new(given.clone()),
            (None, Some(latest)) => {
                self.report.key = Some(latest.key.clone());
                self.report.key_from = KeySource::FirstEntry;
                self.ring = ring;
            }
            (None, None) => {
                let what = "no verifier key was given and the first entry names none";
                self.problem(Kind::Invalid, segment::path(&self.dir, 0), None, Some(0), what);
            }
        }
        self.report.keys = self.ring.keys().to_vec();
        Ok(())
    }

    fn read_guard(&mut self, dir: &Path) {
        let path = guard::path(dir);
        match slots::is_whole(self.disk.as_ref(), &path) {
            Ok(true) => {}
            Ok(false) => {
                self.problem(Kind::Invalid, path.clone(), None, None, "its bytes are not as they were written")
            }
            Err(error) => return self.io_problem(path, &error),
        }
        match guard::read(self.disk.as_ref(), dir) {
            Ok(mark) => self.mark = Some(mark),
            Err(error) => self.problem(Kind::Invalid, path, None, None, error.to_string()),
        }
    }

    fn read_pin(&mut self, pin: &[u8]) {
        let path = checkpoints::path(&self.dir);
        match SignedCheckpoint::verify_by(pin, &self.ring) {
            Ok(pin) => self.pin = Some(pin.checkpoint),
            Err(error) => {
                let what = format!("the pinned checkpoint was not signed by this ledger's key: {error}");
                self.problem(Kind::Diverged, path, None, None, what);
            }
        }
    }

    /// Moves to the next signed checkpoint of the log, past those that are none.
    fn next_record(&mut self) {
        self.record = None;
        let path = checkpoints::log_path(&self.dir);
        while let Some(records) = &mut self.records {
            let record = match records.next() {
                Ok(Some(record)) => record,
                Ok(None) => return,
                Err(error) => return self.io_problem(path, &error),
            };
            let beyond = self.head.as_ref().is_some_and(|head| self.last_record_size >= head.checkpoint.size);
            if beyond {
                // Written while this runs, or by an append that was never answered.
                return;
            }
            let offset = Some(record.offset);
            let verified = record
                .note
                .map_err(str::to_owned)
                .and_then(|note| SignedCheckpoint::verify_by(&note, &self.ring).map_err(|error| error.to_string()));
            match verified {
                Err(what) => self.problem(Kind::Invalid, path.clone(), offset, None, what),
                Ok(signed) => {
                    self.report.checkpoints += 1;
                    let checkpoint = signed.checkpoint;
                    if checkpoint.size <= self.last_record_size {
                        let what = format!("the size {} follows the size {}", checkpoint.size, self.last_record_size);
                        self.problem(Kind::Invalid, path.clone(), offset, None, what);
                        continue;
                    }
                    self.last_record_size = checkpoint.size;
                    self.record = Some((checkpoint, record.offset));
                    return;
                }
            }
        }
    }

    fn read_entries(&mut self, progress: &mut dyn FnMut(Progress)) {
        let segments = segment::dir(&self.dir);
        let firsts = match segment::list(self.disk.as_ref(), &self.dir) {
            Ok(firsts) => firsts,
            Err(error) => return self.io_problem(segments, &error),
        };
        self.compare();
        let mut expected = 0;
        let signed = self.head.as_ref().map_or(u64::MAX, |head| head.checkpoint.size);
        let mut rest = firsts.iter().copied().peekable();
        while let Some(first) = rest.next() {
            let path = segment::path(&self.dir, first);
            if first >= signed && first != expected {
                break;
            }
            if first != expected {
                let missing = first > expected;
                let kind = if missing { Kind::Incomplete } else { Kind::Invalid };
                let what = if missing {
                    format!("the entries {expected} to {} before this segment are missing", first - 1)
                } else {
                    format!("the segment begins at entry {first}, which is in the one before it")
                };
                self.problem(kind, path.clone(), None, Some(expected), what);
                self.intact = false;
            }
            let file = match self.disk.open(&path, Open::Read) {
                Ok(file) => file,
                Err(error) => {
                    self.intact = false;
                    self.io_problem(path, &error);
                    continue;
                }
            };
            let last = rest.peek().is_none();
            expected = self.read_segment(&path, file.as_ref(), first, last, progress);
            if let Some(next) = rest.peek().filter(|_| !self.intact) {
                // After damage the tree cannot be continued; the segments behind it are still checked one by one.
                expected = *next;
            }
        }
        progress(Progress::Entries { done: self.report.entries, total: self.report.entries });
    }

    /// Reads one segment; gives the index after its last entry.
    fn read_segment(
        &mut self,
        path: &Path,
        file: &dyn DiskFile,
        first: u64,
        last: bool,
        progress: &mut dyn FnMut(Progress),
    ) -> u64 {
        let signed = self.head.as_ref().map_or(u64::MAX, |head| head.checkpoint.size);
        let wanted = self.mark.as_ref().map_or(signed, |mark| mark.size.max(signed));
        let mut next = first;
        let mut scanner = match Scanner::new(file, first, Source::Cache, true) {
            Ok(scanner) => scanner,
            Err(error) => {
                self.scan_problem(path, error, next, signed, last);
                return next;
            }
        };
        loop {
            match scanner.next() {
                Ok(Some(Frame::Entry { index, bytes, .. })) => {
                    next = index + 1;
                    if index >= wanted {
                        // Not signed for, and not known to the guard: an append under way.
                        return next;
                    }
                    if self.intact {
                        self.frontier.push(leaf_hash(bytes));
                        self.compare();
                    }
                    if next.is_multiple_of(TELL_EVERY) {
                        progress(Progress::Entries { done: next, total: wanted.max(next) });
                    }
                }
                Ok(Some(Frame::Footer)) => {
                    if let Err(error) = scanner.next() {
                        self.scan_problem(path, error, next, signed, last);
                    }
                    return next;
                }
                Ok(None) => {
                    if !last {
                        let what = "the segment has no footer though another follows it";
                        self.problem(Kind::Incomplete, path.to_owned(), Some(scanner.offset()), Some(next), what);
                    }
                    return next;
                }
                Err(error) => {
                    self.scan_problem(path, error, next, signed, last);
                    return next;
                }
            }
        }
    }

    fn scan_problem(&mut self, path: &Path, error: ScanError, entry: u64, signed: u64, last: bool) {
        if entry >= signed && last {
            // Behind the signed size in the last segment: what an interrupted append leaves.
            return;
        }
        self.intact = false;
        match error {
            ScanError::Io(error) => self.io_problem(path.to_owned(), &error),
            ScanError::Bad { offset, what } => {
                self.problem(Kind::Invalid, path.to_owned(), Some(offset), Some(entry), what);
            }
        }
    }

    /// Holds the root at the present size against everything that speaks of this size.
    fn compare(&mut self) {
        let size = self.frontier.size();
        let mut root = None;
        while let Some((checkpoint, offset)) = self.record.take_if(|(checkpoint, _)| checkpoint.size <= size) {
            let computed = *root.get_or_insert_with(|| self.frontier.root());
            if checkpoint.root != computed {
                self.wrong_root(checkpoints::log_path(&self.dir), Some(offset), size);
                return;
            }
            if self.head.as_ref().is_some_and(|head| head.checkpoint == checkpoint) {
                self.head_recorded = true;
            }
            self.last_good = size;
            self.next_record();
        }
        if let Some(head) = self.head.as_ref().filter(|head| head.checkpoint.size == size) {
            let computed = *root.get_or_insert_with(|| self.frontier.root());
            if head.checkpoint.root != computed {
                return self.wrong_root(checkpoints::path(&self.dir), None, size);
            }
            self.head_met = true;
        }
        if let Some(pin) = self.pin.as_ref().filter(|pin| pin.size == size) {
            let computed = *root.get_or_insert_with(|| self.frontier.root());
            if pin.root == computed {
                self.pin_met = true;
            } else {
                let what = format!("the pinned checkpoint over {size} entries has another root");
                self.problem(Kind::Diverged, checkpoints::path(&self.dir), None, None, what);
            }
        }
        if let Some(mark) = self.mark.take_if(|mark| mark.size == size) {
            let computed = *root.get_or_insert_with(|| self.frontier.root());
            if mark.root != computed {
                let what = format!("the high-water mark over {size} entries has another root");
                self.problem(Kind::Diverged, checkpoints::path(&self.dir), None, None, what);
            }
        }
        if self.intact {
            self.report.entries = size;
        }
    }

    /// The entries since the last agreement do not lead to a signed root: one of them is not what was signed.
    fn wrong_root(&mut self, file: PathBuf, offset: Option<u64>, size: u64) {
        let from = self.last_good;
        let what = format!("the entries {from} to {} do not lead to the signed root", size.saturating_sub(1));
        self.problem(Kind::Invalid, file, offset, Some(from), what);
        self.intact = false;
        self.record = None;
    }

    /// What can only be said when everything was read.
    fn conclude(&mut self, options: &VerifyOptions) {
        self.report.root = self.frontier.root();
        let read = self.frontier.size();
        if let Some(head) = self.head.clone().map(|head| head.checkpoint) {
            if self.intact && read < head.size {
                let what = format!("the entries {read} to {} are signed for and missing", head.size - 1);
                self.problem(Kind::Incomplete, segment::dir(&self.dir), None, Some(read), what);
            }
            if self.head_met && !self.head_recorded {
                let what = format!("the published checkpoint over {} entries is not in it", head.size);
                self.problem(Kind::Incomplete, checkpoints::log_path(&self.dir), None, None, what);
            }
            if let Some(pin) = self.pin.clone()
                && pin.size > head.size
            {
                let what = format!("it covers {} entries, the pinned checkpoint {}", head.size, pin.size);
                self.problem(Kind::Diverged, checkpoints::path(&self.dir), None, None, what);
            }
        }
        // Entries that are signed for and missing were named above.
        let all_read = self.intact && self.head.as_ref().is_none_or(|head| read >= head.checkpoint.size);
        if let (true, Some(mark), Some(dir)) = (all_read, self.mark.clone(), &options.guard) {
            let what = format!("it stands at {} entries, the ledger has {read}", mark.size);
            self.problem(Kind::Diverged, guard::path(dir), None, None, what);
        }
        if self.intact && self.head_met {
            self.report.level = if self.pin_met { Level::Pinned } else { Level::Signed };
        }
    }

    fn read_bodies(&mut self, dir: &Path, options: &VerifyOptions, progress: &mut dyn FnMut(Progress)) {
        let synced = bodies::synced_path(dir);
        match slots::is_whole(self.disk.as_ref(), &synced) {
            Ok(true) => {}
            Ok(false) => self.problem(Kind::Invalid, synced, None, None, "its bytes are not as they were written"),
            Err(error) => return self.io_problem(synced, &error),
        }
        let end = match bodies::synced(self.disk.as_ref(), dir) {
            Ok(end) => options.bodies_until.map_or(end, |until| until.min(end)),
            Err(error) => return self.body_problem(error),
        };
        let mut reader = BodyReader::open_on(self.disk.clone(), dir);
        if let Some(keys) = &options.keys {
            reader = reader.with_keys(keys.clone());
        }
        let keyed = options.keys.is_some();
        for number in 0..=end.pack {
            let path = pack::path(dir, number);
            if let Err(error) = self.check_pack_header(&path, number) {
                self.io_problem(path, &error);
                continue;
            }
            self.read_pack(&reader, keyed, (&path, number), end, progress);
        }
        progress(Progress::Bodies { done: self.report.bodies });
    }

    fn check_pack_header(&mut self, path: &Path, number: u32) -> io::Result<()> {
        let file = self.disk.open(path, Open::Read)?;
        let mut bytes = vec![0; pack::HEADER as usize];
        file.read_at(0, &mut bytes)?;
        if bytes != pack::header(number) {
            self.problem(Kind::Invalid, path.to_owned(), Some(0), None, "the file header does not hold");
        }
        Ok(())
    }

    fn read_pack(
        &mut self,
        reader: &BodyReader,
        keyed: bool,
        (path, number): (&Path, u32),
        end: Location,
        progress: &mut dyn FnMut(Progress),
    ) {
        let mut scan = match reader.scan(Location { pack: number, offset: pack::HEADER }) {
            // A running daemon may have written more since.
            Ok(scan) => scan.until(end),
            Err(error) => return self.body_problem(error),
        };
        while scan.position().pack == number {
            match scan.next() {
                Some(Ok((commitment, location))) if location.pack == number => {
                    match reader.read(location) {
                        Ok(_) => self.report.bodies += 1,
                        Err(BodyError::Destroyed(_)) => self.report.erased += 1,
                        Err(BodyError::NoKey(_)) if !keyed => self.report.unopened += 1,
                        Err(BodyError::NoKey(id)) => {
                            let what =
                                format!("body {commitment} is sealed under the record key {id}, which is not there");
                            self.problem(Kind::Incomplete, path.to_owned(), Some(location.offset), None, what);
                        }
                        Err(BodyError::Damaged(damage)) => {
                            let what = format!("{} (body {commitment})", damage.what);
                            self.problem(Kind::Invalid, damage.file, Some(damage.offset), None, what);
                        }
                        Err(error) => self.body_problem(error),
                    }
                    if self.report.bodies.is_multiple_of(TELL_EVERY) {
                        progress(Progress::Bodies { done: self.report.bodies });
                    }
                }
                Some(Ok(_)) | None => break,
                Some(Err(error)) => return self.body_problem(error),
            }
        }
        if number == end.pack && scan.position() != end {
            let what = format!("it was durable up to byte {} and ends before", end.offset);
            self.problem(Kind::Incomplete, path.to_owned(), Some(scan.position().offset), None, what);
        }
    }

    fn body_problem(&mut self, error: BodyError) {
        match error {
            BodyError::Damaged(damage) => {
                self.problem(Kind::Invalid, damage.file, Some(damage.offset), damage.entry, damage.what);
            }
            BodyError::Io { path, source } => self.io_problem(path, &source),
            BodyError::Synced { path, source } => self.problem(Kind::Invalid, path, None, None, source.to_string()),
            other => self.problem(Kind::Invalid, PathBuf::new(), None, None, other.to_string()),
        }
    }
}
