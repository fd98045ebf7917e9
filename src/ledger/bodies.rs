//! Bodies beside the ledger: append-only packs, each body bound to an entry by its salted commitment.
//!
//! Nothing is durable before [`Bodies::sync`], so many small bodies cost one sync. How far the packs are durable is
//! written into a file of its own (`synced`): a start drops a torn tail behind that place, and never anything before.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::{self, Disk, DiskDir, DiskFile, Held, Open, SharedDisk};
use crate::key_store::{KeyStore, KeyStoreError};
use crate::pack::{self, Commitment, Encoder, GREATEST_BODY, HEAD, HEADER, Head, Location, PACK_BYTES, Seal, Unopened};
use crate::real_disk::RealDisk;
use crate::recover::Damage;
use crate::seal::KeyId;
use crate::slots::{self, SlotError, Slots};

/// Written records are gathered up to this many bytes before they go to the file.
const GATHER: usize = 1 << 20;
/// Packs that a reader keeps open.
const OPEN_PACKS: usize = 16;
/// How much a reader reads at first; most records are shorter.
const FIRST_READ: usize = 4096;
const WINDOW: usize = 64 * 1024;

/// Why a body could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// A body longer than [`GREATEST_BODY`], or than whoever keeps it allows.
    #[error("a body of {bytes} bytes; at most {most} are taken")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The greatest length.
        most: usize,
    },
    /// The device or the quota is full. Nothing is lost: gathered bodies wait for the next call.
    #[error("the disk is full")]
    Full(#[source] io::Error),
    /// The bytes on disk are not what was written.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The body is sealed, and its key is not at hand: the data key was not given, or the file of record keys lacks it.
    #[error("the body is sealed under the record key {0}, which is not at hand")]
    NoKey(KeyId),
    /// The body was sealed under a key that was destroyed. Nobody can open it any more.
    #[error("the body was sealed under the record key {0}, which was destroyed")]
    Destroyed(KeyId),
    /// The keys of records failed.
    #[error(transparent)]
    Keys(#[from] KeyStoreError),
    /// Another process writes bodies here.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The record of how far the packs are durable.
    #[error("{}", path.display())]
    Synced {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: SlotError,
    },
    /// The disk. A writer refuses from then on; the process must end and open it anew.
    #[error("{}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// An earlier failure left the outcome open.
    #[error("storing bodies has stopped after an earlier failure; the process must end and open them anew")]
    Stopped,
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, BodyError> {
    result.map_err(|source| BodyError::Io { path: path.to_owned(), source })
}

fn damage(file: PathBuf, offset: u64, what: &'static str) -> BodyError {
    Damage { file, offset, entry: None, what }.into()
}

fn unopened(file: PathBuf, offset: u64, why: Unopened) -> BodyError {
    match why {
        Unopened::Damaged(what) => damage(file, offset, what),
        Unopened::NoKey(id) => BodyError::NoKey(id),
        Unopened::Destroyed(id) => BodyError::Destroyed(id),
    }
}

/// The file that says how far the packs are durable.
pub(crate) fn synced_path(dir: &Path) -> PathBuf {
    dir.join("synced")
}

fn synced_text(end: Location) -> String {
    format!("pack {}\nbytes {}\n", end.pack, end.offset)
}

/// A file that says that the packs are durable up to there.
pub(crate) fn synced_file(end: Location) -> Result<Vec<u8>, SlotError> {
    slots::new_file(&synced_text(end))
}

fn parse_synced(text: &str) -> Option<Location> {
    let (pack, bytes) = text.strip_prefix("pack ")?.strip_suffix('\n')?.split_once("\nbytes ")?;
    Some(Location { pack: pack.parse().ok()?, offset: bytes.parse().ok()? })
}

fn open_synced(disk: &dyn Disk, dir: &Path, how: Open) -> Result<(Slots, Location), BodyError> {
    let path = synced_path(dir);
    let slots = Slots::open(disk, &path, how);
    let slots = slots.map_err(|source| BodyError::Synced { path: path.clone(), source })?;
    let end = parse_synced(slots.text()).ok_or(BodyError::Synced { path, source: SlotError::Damaged })?;
    Ok((slots, end))
}

/// How far the packs are durable, for reading.
pub(crate) fn synced(disk: &dyn Disk, dir: &Path) -> Result<Location, BodyError> {
    open_synced(disk, dir, Open::Read).map(|(_, end)| end)
}

/// How far the bodies in a directory are durable; `None` where that cannot be read.
pub fn bodies_end(dir: &Path) -> Option<Location> {
    synced(&RealDisk, dir).ok()
}

/// Numbers of all packs, ascending.
pub(crate) fn packs(disk: &dyn Disk, dir: &Path) -> Result<Vec<u32>, BodyError> {
    Ok(at(dir, disk.list(dir))?.iter().filter_map(|name| pack::number(name)).collect())
}

/// The single writer of bodies.
pub struct Bodies {
    disk: SharedDisk,
    dir: PathBuf,
    dir_handle: Box<dyn DiskDir>,
    slots: Slots,
    /// How far everything is durable.
    synced: Location,
    number: u32,
    file: Box<dyn DiskFile>,
    /// Bytes of the pack that are in the file, and what comes after them.
    written: u64,
    gathered: Vec<u8>,
    encoder: Encoder,
    reader: BodyReader,
    pack_bytes: u64,
    keys: Option<Arc<KeyStore>>,
    stopped: bool,
    _held: Box<dyn Held>,
}

impl Bodies {
    /// Opens the bodies in a directory, which is made if need be. A torn tail after the last sync is dropped.
    pub fn open(disk: SharedDisk, dir: &Path) -> Result<Bodies, BodyError> {
        Bodies::open_with(disk, dir, PACK_BYTES)
    }

    /// Like [`Bodies::open`], with packs of another length in bytes.
    pub fn open_with(disk: SharedDisk, dir: &Path, pack_bytes: u64) -> Result<Bodies, BodyError> {
        at(dir, disk::make_dir(disk.as_ref(), dir))?;
        let held = match disk.lock(&dir.join("lock")) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(BodyError::Locked(dir.to_owned())),
            held => at(dir, held)?,
        };
        let path = synced_path(dir);
        if !at(&path, disk.exists(&path))? {
            if !packs(disk.as_ref(), dir)?.is_empty() {
                return Err(damage(path, 0, "the record of how far the packs are durable is missing"));
            }
            let created = Slots::create(disk.as_ref(), &path, &synced_text(Location::default()));
            created.map_err(|source| BodyError::Synced { path, source })?;
        }
        let (mut slots, synced) = open_synced(disk.as_ref(), dir, Open::Write)?;
        let dir_handle = at(dir, disk.open_dir(dir))?;
        remove_unsynced_packs(disk.as_ref(), dir, dir_handle.as_ref(), synced)?;
        let (file, end) = open_last(disk.as_ref(), dir, dir_handle.as_ref(), synced)?;
        let synced = Location { pack: synced.pack, offset: end };
        let marked = if parse_synced(slots.text()) == Some(synced) {
            slots.write_again().and_then(|()| slots.mend())
        } else {
            slots.write(&synced_text(synced))
        };
        marked.map_err(|source| BodyError::Synced { path: synced_path(dir), source })?;
        Ok(Bodies {
            reader: BodyReader::open_on(disk.clone(), dir),
            disk,
            dir: dir.to_owned(),
            dir_handle,
            slots,
            synced,
            number: synced.pack,
            file,
            written: end,
            gathered: Vec::new(),
            encoder: at(dir, Encoder::new())?,
            pack_bytes,
            keys: None,
            stopped: false,
            _held: held,
        })
    }

    /// The same, with the keys of records. They are made durable before the first byte of a record under them is written.
    pub fn with_keys(mut self, keys: Arc<KeyStore>) -> Bodies {
        self.reader = self.reader.with_keys(keys.clone());
        self.keys = Some(keys);
        self
    }

    /// Where the next body goes; also the end of all bodies so far.
    pub fn end(&self) -> Location {
        Location { pack: self.number, offset: self.written + self.gathered.len() as u64 }
    }

    /// Stores a body as it is, under a salt of 32 fresh random bytes. It is not durable before [`Bodies::sync`].
    pub fn append(&mut self, salt: [u8; 32], body: &[u8]) -> Result<(Commitment, Location), BodyError> {
        self.append_as(salt, body, false, None)
    }

    /// Like [`Bodies::append`], under a commitment to its lines ([`pack::commit_lines`]): any of them can be shown alone.
    pub fn append_lines(&mut self, salt: [u8; 32], body: &[u8]) -> Result<(Commitment, Location), BodyError> {
        self.append_as(salt, body, true, None)
    }

    /// Like [`Bodies::append`], or [`Bodies::append_lines`] with `lines`, but salt and body sealed. The keys must be in
    /// the key store that was given.
    pub fn append_sealed(
        &mut self,
        seal: &Seal,
        salt: [u8; 32],
        body: &[u8],
        lines: bool,
    ) -> Result<(Commitment, Location), BodyError> {
        self.append_as(salt, body, lines, Some(seal))
    }

    fn append_as(
        &mut self,
        salt: [u8; 32],
        body: &[u8],
        lines: bool,
        seal: Option<&Seal>,
    ) -> Result<(Commitment, Location), BodyError> {
        if self.stopped {
            return Err(BodyError::Stopped);
        }
        if body.len() > GREATEST_BODY {
            return Err(BodyError::TooLong { bytes: body.len(), most: GREATEST_BODY });
        }
        if self.end().offset > HEADER && self.end().offset + (HEAD + body.len()) as u64 > self.pack_bytes {
            self.begin_pack()?;
        }
        let location = self.end();
        let before = self.gathered.len();
        let put = self.encoder.put(&mut self.gathered, &salt, body, lines, seal);
        let commitment = put.map_err(|source| BodyError::Io { path: self.dir.clone(), source })?;
        if self.gathered.len() >= GATHER
            && let Err(error) = self.write_gathered()
        {
            self.gathered.truncate(before);
            return Err(error);
        }
        Ok((commitment, location))
    }

    /// Stores many bodies, each under its own salt.
    pub fn append_many(&mut self, bodies: &[([u8; 32], &[u8])]) -> Result<Vec<(Commitment, Location)>, BodyError> {
        bodies.iter().map(|(salt, body)| self.append(*salt, body)).collect()
    }

    /// Makes everything stored so far durable.
    pub fn sync(&mut self) -> Result<(), BodyError> {
        if self.stopped {
            return Err(BodyError::Stopped);
        }
        self.sync_keys()?;
        if self.end() == self.synced {
            return Ok(());
        }
        self.write_gathered()?;
        let path = pack::path(&self.dir, self.number);
        let synced = at(&path, self.file.sync());
        self.or_stop(synced)?;
        let end = self.end();
        let marked = self.slots.write(&synced_text(end));
        let marked = marked.map_err(|source| BodyError::Synced { path: synced_path(&self.dir), source });
        self.or_stop(marked)?;
        self.synced = end;
        Ok(())
    }

    /// Reads a body, also one that is not durable yet, and checks it against its commitment.
    pub fn read(&self, location: Location) -> Result<Vec<u8>, BodyError> {
        self.read_salted(location).map(|(_, body)| body)
    }

    /// Reads a body with its salt.
    pub fn read_salted(&self, location: Location) -> Result<([u8; 32], Vec<u8>), BodyError> {
        let gathered = location.pack == self.number && location.offset >= self.written;
        if !gathered {
            return self.reader.read_salted(location);
        }
        let bytes = usize::try_from(location.offset - self.written).ok().and_then(|at| self.gathered.get(at..));
        let bytes = bytes.unwrap_or_default();
        let read = Head::read(bytes).map_err(Unopened::Damaged).and_then(|head| {
            let stored = bytes.get(HEAD..HEAD + head.stored).unwrap_or_default();
            head.body(stored, self.keys.as_deref())
        });
        read.map_err(|why| unopened(pack::path(&self.dir, location.pack), location.offset, why))
    }

    /// The commitments of all durable bodies from a place on; see [`BodyReader::scan`].
    pub fn scan(&self, from: Location) -> Result<Scan, BodyError> {
        self.reader.scan(from)
    }

    fn write_gathered(&mut self) -> Result<(), BodyError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        self.sync_keys()?;
        let path = pack::path(&self.dir, self.number);
        match self.file.write_at(self.written, &self.gathered) {
            Ok(()) => {
                self.written += self.gathered.len() as u64;
                self.gathered.clear();
                Ok(())
            }
            Err(full) if disk::is_full(&full) => {
                let taken_back = self.file.set_len(self.written).and_then(|()| self.file.sync());
                self.or_stop(at(&path, taken_back))?;
                Err(BodyError::Full(full))
            }
            Err(source) => self.or_stop(Err(BodyError::Io { path, source })),
        }
    }

    fn sync_keys(&mut self) -> Result<(), BodyError> {
        match self.keys.clone() {
            Some(keys) => self.or_stop(keys.sync().map_err(BodyError::Keys)),
            None => Ok(()),
        }
    }

    /// Closes the pack, durably, and begins the next.
    fn begin_pack(&mut self) -> Result<(), BodyError> {
        self.sync()?;
        let number = self.number + 1;
        let path = pack::path(&self.dir, number);
        match create_pack(self.disk.as_ref(), &path, number, self.dir_handle.as_ref()) {
            Ok(file) => {
                self.file = file;
                self.number = number;
                self.written = HEADER;
                let end = self.end();
                let marked = self.slots.write(&synced_text(end));
                let marked = marked.map_err(|source| BodyError::Synced { path: synced_path(&self.dir), source });
                self.or_stop(marked)?;
                self.synced = end;
                Ok(())
            }
            Err(full) if disk::is_full(&full) => {
                let removed = match self.disk.remove(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    removed => removed,
                };
                let taken_back = removed.and_then(|()| self.dir_handle.sync());
                self.or_stop(at(&path, taken_back))?;
                Err(BodyError::Full(full))
            }
            Err(source) => self.or_stop(Err(BodyError::Io { path, source })),
        }
    }

    fn or_stop<T>(&mut self, result: Result<T, BodyError>) -> Result<T, BodyError> {
        self.stopped |= result.is_err();
        result
    }
}

/// Removes a pack that was begun and holds nothing durable. One that holds records is never removed.
fn remove_unsynced_packs(
    disk: &dyn Disk,
    dir: &Path,
    dir_handle: &dyn DiskDir,
    synced: Location,
) -> Result<(), BodyError> {
    let mut removed = false;
    for number in packs(disk, dir)?.into_iter().filter(|number| *number > synced.pack) {
        let path = pack::path(dir, number);
        let len = at(&path, disk.open(&path, Open::Read).and_then(|file| file.length()))?;
        if len > HEADER {
            return Err(damage(path, HEADER, "the pack holds records beyond what is known to be durable"));
        }
        at(&path, disk.remove(&path))?;
        removed = true;
    }
    if removed { at(dir, dir_handle.sync()) } else { Ok(()) }
}

/// Opens the last pack and drops what was torn behind the last sync: the file, and where its last record ends.
fn open_last(
    disk: &dyn Disk,
    dir: &Path,
    dir_handle: &dyn DiskDir,
    synced: Location,
) -> Result<(Box<dyn DiskFile>, u64), BodyError> {
    let path = pack::path(dir, synced.pack);
    if synced.offset == 0 {
        if at(&path, disk.exists(&path))? {
            if at(&path, disk.open(&path, Open::Read).and_then(|file| file.length()))? > HEADER {
                return Err(damage(path, HEADER, "the pack holds records beyond what is known to be durable"));
            }
            at(&path, disk.remove(&path))?;
        }
        let file = at(&path, create_pack(disk, &path, synced.pack, dir_handle))?;
        return Ok((file, HEADER));
    }
    let file = at(&path, disk.open(&path, Open::Write))?;
    let len = at(&path, file.length())?;
    if len < synced.offset {
        return Err(damage(path, len, "the pack is shorter than what was durable"));
    }
    let mut tail = vec![0; usize::try_from(len - synced.offset).unwrap_or(0)];
    let (read, _) = at(&path, file.read_back(synced.offset, &mut tail))?;
    let whole = whole_records(tail.get(..read).unwrap_or_default());
    let end = synced.offset + whole as u64;
    if end < len {
        at(&path, file.set_len(end))?;
    }
    at(&path, file.sync())?;
    Ok((file, end))
}

/// How many bytes at the beginning of `bytes` are whole records.
fn whole_records(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some(rest) = bytes.get(end..)
        && let Ok(head) = Head::read(rest)
        && rest.get(HEAD..HEAD + head.stored).is_some_and(|stored| head.holds(stored))
    {
        end += HEAD + head.stored;
    }
    end
}

fn create_pack(disk: &dyn Disk, path: &Path, number: u32, dir_handle: &dyn DiskDir) -> io::Result<Box<dyn DiskFile>> {
    let file = disk.open(path, Open::New)?;
    file.write_at(0, &pack::header(number))?;
    file.sync()?;
    dir_handle.sync()?;
    Ok(file)
}

/// Reads bodies beside their writer, without a lock. It may be shared between threads.
pub struct BodyReader {
    disk: SharedDisk,
    dir: PathBuf,
    keys: Option<Arc<KeyStore>>,
    open: Mutex<BTreeMap<u32, Arc<dyn DiskFile>>>,
}

impl BodyReader {
    /// A reader of the bodies in that directory.
    pub fn open(dir: &Path) -> BodyReader {
        BodyReader::open_on(RealDisk::shared(), dir)
    }

    /// A reader on another disk than the machine's.
    pub fn open_on(disk: SharedDisk, dir: &Path) -> BodyReader {
        BodyReader { disk, dir: dir.to_owned(), keys: None, open: Mutex::default() }
    }

    /// The same, with the keys of records.
    pub fn with_keys(self, keys: Arc<KeyStore>) -> BodyReader {
        BodyReader { keys: Some(keys), ..self }
    }

    /// Reads a body and checks it against its commitment.
    pub fn read(&self, location: Location) -> Result<Vec<u8>, BodyError> {
        self.read_salted(location).map(|(_, body)| body)
    }

    /// Reads a body with its salt.
    pub fn read_salted(&self, location: Location) -> Result<([u8; 32], Vec<u8>), BodyError> {
        let path = pack::path(&self.dir, location.pack);
        let file = self.pack(location.pack)?;
        let mut bytes = vec![0; FIRST_READ];
        let read = at(&path, file.read_at(location.offset, &mut bytes))?;
        bytes.truncate(read);
        let head = Head::read(&bytes).map_err(|what| damage(path.clone(), location.offset, what))?;
        let whole = HEAD + head.stored;
        if bytes.len() < whole {
            let have = bytes.len();
            bytes.resize(whole, 0);
            let rest = bytes.get_mut(have..).unwrap_or_default();
            let more = at(&path, file.read_at(location.offset + have as u64, rest))?;
            bytes.truncate(have + more);
        }
        let opened = head.body(bytes.get(HEAD..whole).unwrap_or_default(), self.keys.as_deref());
        opened.map_err(|why| unopened(path, location.offset, why))
    }

    /// The commitments of all durable bodies from a place on (from [`Location::default`] for all of them), in the
    /// order of writing. Only the heads are read.
    pub fn scan(&self, from: Location) -> Result<Scan, BodyError> {
        let end = synced(self.disk.as_ref(), &self.dir)?;
        Ok(Scan {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            next: Location { pack: from.pack, offset: from.offset.max(HEADER) },
            end,
            open: None,
            window: Vec::new(),
            window_at: 0,
            keys: Vec::new(),
        })
    }

    fn pack(&self, number: u32) -> Result<Arc<dyn DiskFile>, BodyError> {
        // The map is complete after every statement, so a panic elsewhere leaves it usable.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(&number) {
            return Ok(file.clone());
        }
        let path = pack::path(&self.dir, number);
        let file: Arc<dyn DiskFile> = Arc::from(at(&path, self.disk.open(&path, Open::Read))?);
        if open.len() >= OPEN_PACKS {
            open.pop_first();
        }
        open.insert(number, file.clone());
        Ok(file)
    }
}

/// The heads of records in order; see [`BodyReader::scan`]. After an error it ends.
pub struct Scan {
    disk: SharedDisk,
    dir: PathBuf,
    next: Location,
    end: Location,
    /// The pack being read, and how long it is.
    open: Option<(u32, Box<dyn DiskFile>, u64)>,
    window: Vec<u8>,
    window_at: u64,
    keys: Vec<KeyId>,
}

impl Scan {
    /// The keys that the record last given is sealed under: none, one or two.
    pub fn keys(&self) -> &[KeyId] {
        &self.keys
    }

    /// The same scan, but no further than `end`.
    pub(crate) fn until(mut self, end: Location) -> Self {
        self.end = self.end.min(end);
        self
    }

    /// Where the record after the last one given begins: a later scan may go on from here.
    pub fn position(&self) -> Location {
        self.next
    }

    fn read(&mut self) -> Result<Option<(Commitment, Location)>, BodyError> {
        while self.next < self.end {
            let path = pack::path(&self.dir, self.next.pack);
            let len = self.open_pack()?;
            if self.next.offset == len && self.next.pack < self.end.pack {
                self.next = Location { pack: self.next.pack + 1, offset: HEADER };
                continue;
            }
            let location = self.next;
            let refuse = |what| damage(path.clone(), location.offset, what);
            let head = self.head(&path)?.map_err(refuse)?;
            let end = location.offset + (HEAD + head.stored) as u64;
            if end > len {
                return Err(refuse("the pack ends within a record"));
            }
            self.next.offset = end;
            self.keys = head.keys();
            return Ok(Some((head.commitment, location)));
        }
        Ok(None)
    }

    /// Opens the pack in which the next record lies: how much of it is durable.
    fn open_pack(&mut self) -> Result<u64, BodyError> {
        if let Some((number, _, len)) = &self.open
            && *number == self.next.pack
        {
            return Ok(*len);
        }
        let path = pack::path(&self.dir, self.next.pack);
        let file = at(&path, self.disk.open(&path, Open::Read))?;
        let durable = if self.next.pack == self.end.pack { self.end.offset } else { u64::MAX };
        let len = at(&path, file.length())?.min(durable);
        self.open = Some((self.next.pack, file, len));
        self.window.clear();
        Ok(len)
    }

    fn head(&mut self, path: &Path) -> Result<Result<Head, &'static str>, BodyError> {
        let offset = self.next.offset;
        let inside = |window: &[u8], window_at: u64| {
            let from = usize::try_from(offset.checked_sub(window_at)?).ok()?;
            window.get(from..from + HEAD).map(Head::read)
        };
        if let Some(head) = inside(&self.window, self.window_at) {
            return Ok(head);
        }
        if let Some((_, file, _)) = &self.open {
            self.window = vec![0; WINDOW];
            let read = at(path, file.read_at(offset, &mut self.window))?;
            self.window.truncate(read);
            self.window_at = offset;
        }
        Ok(inside(&self.window, self.window_at).unwrap_or(Err("the pack ends within a record")))
    }
}

impl Iterator for Scan {
    type Item = Result<(Commitment, Location), BodyError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        if read.is_err() {
            self.end = Location::default();
        }
        read.transpose()
    }
}
