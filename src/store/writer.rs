//! The single writer.
//!
//! Callers hand in facts and wait. One thread takes whatever has queued up while the last batch was being made
//! durable, stamps it, refuses what was recorded before, and appends it as one batch: bodies first, then the ledger,
//! then the index. Nobody is answered before the batch is signed and its checkpoint durable.
//!
//! A failure after which the state is not known ends the writer for good: every later call gets the reason, and the
//! daemon exits so that a fresh start recovers by the normal path.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;

use domain::entry::{Entry, Fact, GREATEST_SIZE, VERSION};
use domain::{BodyId, Pseudonym, ResourceKey, StreamId, Timestamp, in_full};
use ledger::disk::Step;
use ledger::{AppendError, Log, Progress, Reader};

use crate::bodies::{BodyStore, Fresh};
use crate::index::{Index, IndexError};
use crate::layout::Layout;
use crate::open_index::{Sources, rebuild_index};
use crate::pace::Pace;
use crate::plan::{Plan, settled, slots_of};
use crate::read::{Head, Read, ReadError};
use crate::rows::{StreamRow, key};
use crate::subjects::Subjects;
use crate::watched::Watched;
use crate::{catch_up, fold};

pub use crate::opening::{InitError, OpenError, Options, Random, Receipt, Recovered, StoreError};

/// The store of a running daemon: the only one who may write to its data directory.
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// What the writer, and whoever hands in bodies and asks, have in common.
pub(crate) struct Shared {
    layout: Layout,
    pub(crate) options: Arc<Options>,
    pub(crate) index: Watched,
    pub(crate) bodies: Mutex<BodyStore>,
    pub(crate) subjects: Mutex<Subjects>,
    reader: Reader,
    head: RwLock<Head>,
    deciding: Mutex<()>,
    pace: Pace,
    stopped: OnceLock<String>,
}

/// What a writer is begun with.
pub(crate) struct Parts {
    pub(crate) layout: Layout,
    pub(crate) options: Arc<Options>,
    pub(crate) index: Arc<dyn Index>,
    pub(crate) bodies: BodyStore,
    pub(crate) subjects: Mutex<Subjects>,
    pub(crate) reader: Reader,
    pub(crate) log: Log,
}

struct Job {
    facts: Make,
    answer: SyncSender<Result<Vec<Receipt>, StoreError>>,
}

/// Makes the facts of a job, told the number that the first of them will have.
type Make = Box<dyn FnOnce(u64) -> Vec<Fact> + Send>;

/// Bodies are refused while fewer bytes than this are free.
///
/// The ledger itself goes on to half of that ([`ledger::LogOptions`]). What lies between is the reserve: short entries
/// find room in it, so that slots lost meanwhile, what people were told, and that the disk is nearly full are recorded
/// when they happen. A file that is given up in need would hold the same bytes, but only once, and would have to be
/// made again on a disk that is barely less full.
pub const LEAST_ROOM: u64 = 128 << 20;

/// Jobs waiting at once; callers beyond that wait to hand theirs in.
const QUEUE: usize = 1024;
/// Jobs in one batch.
const BATCH: usize = 256;
/// No further job is taken into a batch of more entries.
const LONG_BATCH: usize = 4096;

impl Store {
    /// Begins the writer of a ledger whose index is there.
    pub(crate) fn running(parts: Parts) -> Result<Store, Box<dyn std::error::Error + Send + Sync>> {
        let Parts { layout, options, index, bodies, subjects, reader, log } = parts;
        let (head, last_at) = (head_of(&reader)?, catch_up::last_time(index.as_ref())?);
        let shared = Arc::new(Shared {
            layout,
            options,
            index: Watched::new(index),
            bodies: Mutex::new(bodies),
            subjects,
            reader,
            head: RwLock::new(head),
            deciding: Mutex::new(()),
            pace: Pace::default(),
            stopped: OnceLock::new(),
        });
        let (queue, jobs) = sync_channel(QUEUE);
        let lost_guards = log.unreachable_guards().len();
        let writer = Writer { shared: shared.clone(), log, last_at, lost_guards };
        let thread = std::thread::Builder::new().name("writer".into()).spawn(move || writer.run(&jobs))?;
        Ok(Store { shared, queue: Some(queue), thread: Some(thread) })
    }

    /// Records facts, in order, and waits until they are durable and signed. All or none.
    pub fn record(&self, facts: Vec<Fact>) -> Result<Vec<Receipt>, StoreError> {
        if facts.is_empty() {
            return Ok(Vec::new());
        }
        self.record_together(move |_| facts)
    }

    /// Records facts that need to know where they will stand: `make` is told the number of the first. All or none; when
    /// the first was recorded before, nothing is recorded and its earlier receipt is the only answer.
    pub fn record_together(
        &self,
        make: impl FnOnce(u64) -> Vec<Fact> + Send + 'static,
    ) -> Result<Vec<Receipt>, StoreError> {
        let stopped = || StoreError::Stopped(self.stopped().unwrap_or("it was closed").to_owned());
        let (answer, answered) = sync_channel(1);
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(Job { facts: Box::new(make), answer }).map_err(|_| stopped())?;
        answered.recv().map_err(|_| stopped())?
    }

    /// Records one fact.
    pub fn record_one(&self, fact: Fact) -> Result<Receipt, StoreError> {
        let receipts = self.record(vec![fact])?;
        receipts.first().copied().ok_or_else(|| StoreError::Unwritable("no receipt".into()))
    }

    /// Held by whoever reads what is recorded, decides from it, and records the decision: two of them at once would
    /// decide the same thing twice.
    pub fn deciding(&self) -> MutexGuard<'_, ()> {
        lock(&self.shared.deciding)
    }

    /// The longest that the disk took to make a batch of entries durable since this was asked last, the one under way
    /// included.
    pub fn longest_append(&self) -> std::time::Duration {
        self.shared.pace.longest()
    }

    /// For how long a batch of entries has been waiting for the disk; zero when none is.
    pub fn waiting_for_disk(&self) -> std::time::Duration {
        self.shared.pace.waiting()
    }

    /// Bytes that are free where the data directory is.
    pub fn free_space(&self) -> Result<u64, StoreError> {
        let free = self.shared.options.disk.free_space(&self.shared.layout.bodies());
        free.map_err(|e| StoreError::Stopped(format!("the disk does not say how much room there is: {e}")))
    }

    /// Whether there is room to keep evidence, with so many bytes free; else what is missing, in words.
    pub fn room_in(free: u64) -> Result<(), String> {
        let mib = |bytes: u64| bytes >> 20;
        match free < LEAST_ROOM {
            true => Err(format!("{} MiB are free, and {} MiB are needed to keep evidence", mib(free), mib(LEAST_ROOM))),
            false => Ok(()),
        }
    }

    /// The entry of a stream's last run.
    pub(crate) fn last_run(&self, stream: &StreamId) -> Result<Option<u64>, StoreError> {
        Ok(self.stream_row(stream)?.last_run.map(|run| run.entry))
    }

    /// Where a stream stands.
    pub fn stream_row(&self, stream: &StreamId) -> Result<StreamRow, StoreError> {
        let row = || fold::stream_row(self.shared.index.get().as_ref(), stream);
        let row = match row() {
            Err(error) => {
                self.mend(&error)?;
                row()
            }
            row => row,
        };
        row.map_err(|e| self.shared.stop(e.to_string()))
    }

    /// While the index is built again because somebody met damage in it, how far that is, in one line: until then no
    /// question is answered that needs it, and nothing is recorded.
    pub fn rebuilding(&self) -> Option<String> {
        self.shared.index.said().map(|said| format!("the index {said}"))
    }

    /// Builds the index again when somebody met damage in it; says whether it was so.
    pub fn mend_index(&self) -> Result<bool, StoreError> {
        let damaged = self.shared.index.damage().is_some();
        if damaged {
            // The writer looks after the index before anything else, also where there is nothing to write.
            self.record_together(|_| Vec::new())?;
        }
        Ok(damaged)
    }

    /// Has the index built again, in which an error was met.
    pub(crate) fn mend(&self, error: &IndexError) -> Result<(), StoreError> {
        self.shared.index.suspect(error);
        self.mend_index().map(|_| ())
    }

    /// Why the store has stopped, once it has.
    pub fn stopped(&self) -> Option<&str> {
        self.shared.stopped.get().map(String::as_str)
    }

    /// The layout of the data directory.
    pub fn layout(&self) -> &Layout {
        &self.shared.layout
    }

    /// What it was opened with.
    pub(crate) fn options(&self) -> &Options {
        &self.shared.options
    }

    pub(crate) fn alive(&self) -> Result<(), StoreError> {
        match self.shared.stopped.get() {
            Some(why) => Err(StoreError::Stopped(why.clone())),
            None => Ok(()),
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // The writer contains its own failures; a panic there has been told already.
            drop(thread.join());
        }
    }
}

impl Read for Store {
    fn index(&self) -> Arc<dyn Index> {
        self.shared.index.get()
    }

    fn head(&self) -> Result<Head, ReadError> {
        Ok(self.shared.head.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn entry_bytes(&self, number: u64) -> Result<Option<Vec<u8>>, ReadError> {
        catch_up::entry_bytes(&self.shared.reader, number)
    }

    fn proof(&self, number: u64) -> Result<Option<String>, ReadError> {
        catch_up::proof(&self.shared.reader, number)
    }

    fn body(&self, id: &BodyId) -> Result<Option<Vec<u8>>, ReadError> {
        let index = self.shared.index.there()?;
        lock(&self.shared.bodies).get(index.as_ref(), id)
    }

    fn resource(&self, pseudonym: &Pseudonym) -> Option<ResourceKey> {
        lock(&self.shared.subjects).name(pseudonym).cloned()
    }

    fn pseudonym(&self, resource: &ResourceKey) -> Option<Pseudonym> {
        lock(&self.shared.subjects).known(resource).cloned()
    }
}

impl Shared {
    /// Ends the store; the first reason counts.
    pub(crate) fn stop(&self, why: String) -> StoreError {
        let why = self.stopped.get_or_init(|| {
            tracing::error!(reason = %why, "the store has stopped");
            why
        });
        StoreError::Stopped(why.clone())
    }
}

struct Writer {
    shared: Arc<Shared>,
    log: Log,
    last_at: Timestamp,
    /// Places of the guard whose loss was said.
    lost_guards: usize,
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH {
                let Ok(job) = jobs.try_recv() else { break };
                batch.push(job);
            }
            self.write(batch);
        }
    }

    fn write(&mut self, jobs: Vec<Job>) {
        if let Some(why) = self.shared.stopped.get() {
            for job in jobs {
                drop(job.answer.send(Err(StoreError::Stopped(why.clone()))));
            }
            return;
        }
        let mut jobs = jobs.into_iter();
        while jobs.len() > 0 {
            self.write_some(&mut jobs);
        }
    }

    /// Writes jobs as one batch: all of them, or as many as fit.
    fn write_some(&mut self, jobs: &mut std::vec::IntoIter<Job>) {
        let mut plan = Plan::new(self.log.size());
        let mut answers = Vec::with_capacity(jobs.len());
        // An index that cannot be built again ends the store, and every job below is told so.
        drop(self.mend());
        for job in jobs.by_ref() {
            let planned = self.planned(&mut plan, job.facts);
            answers.push((job.answer, planned));
            if plan.entries.len() > LONG_BATCH {
                break;
            }
        }
        let shared = self.shared.clone();
        // What an index costs that has to be built again says nothing of the disk's pace.
        if let Err(error) = shared.pace.of(|| self.append(&plan)).and_then(|()| self.mend()) {
            for (answer, _) in answers {
                drop(answer.send(Err(error.clone())));
            }
            return;
        }
        // A caller that no longer waits has lost interest, not the fact.
        for (answer, planned) in answers {
            drop(answer.send(planned));
        }
    }

    /// Decides what becomes of one job's facts; an index that is in the way is built again.
    fn planned(&mut self, plan: &mut Plan, make: Make) -> Result<Vec<Receipt>, StoreError> {
        if let Some(why) = self.shared.stopped.get() {
            return Err(StoreError::Stopped(why.clone()));
        }
        let facts = make(plan.next());
        let planned = match self.plan(plan, &facts) {
            Err(PlanError::Index(error)) => {
                self.shared.index.suspect(&error);
                self.mend()?;
                self.plan(plan, &facts)
            }
            planned => planned,
        };
        planned.map_err(|error| match error {
            PlanError::Index(error) => self.shared.stop(error.to_string()),
            PlanError::Refused(error) => error,
        })
    }

    /// What is refused leaves no trace in the plan.
    fn plan(&mut self, plan: &mut Plan, facts: &[Fact]) -> Result<Vec<Receipt>, PlanError> {
        let index = self.shared.index.get();
        if facts.len() > ledger::GREATEST_BATCH - LONG_BATCH {
            return Err(StoreError::Unwritable(format!("{} entries at once", facts.len())).into());
        }
        let mut receipts = Vec::new();
        let mut part = Plan::new(plan.next());
        for fact in facts {
            if let Some(earlier) = self.recorded_before(index.as_ref(), plan, &part, fact)? {
                receipts.push(earlier);
                if receipts.len() == 1 {
                    return Ok(receipts);
                }
                continue;
            }
            if let Some((stream, first, last)) = slots_of(fact) {
                let taken = settled(index.as_ref(), stream, first, last)?;
                let taken =
                    taken.or_else(|| plan.settled(stream, first, last)).or_else(|| part.settled(stream, first, last));
                if let Some((slot, entry)) = taken {
                    return Err(StoreError::SlotTaken { stream: stream.clone(), slot, entry }.into());
                }
            }
            let at = self.shared.options.clock.now().max(self.last_at);
            let entry = Entry { v: VERSION, at, fact: fact.clone() };
            let bytes = crate::record::canonical(&entry)?.into_bytes();
            if bytes.len() > GREATEST_SIZE {
                let kind = entry.fact.kind();
                return Err(StoreError::Unwritable(format!("a {kind} entry of {} bytes", bytes.len())).into());
            }
            self.last_at = at;
            receipts.push(Receipt { entry: part.next(), at, fresh: true });
            part.push(entry, bytes);
        }
        plan.take(part);
        Ok(receipts)
    }

    fn recorded_before(
        &self,
        index: &dyn Index,
        plan: &Plan,
        part: &Plan,
        fact: &Fact,
    ) -> Result<Option<Receipt>, PlanError> {
        let Some(once) = fact.once() else { return Ok(None) };
        if let Some(number) = plan.once.get(&once).or_else(|| part.once.get(&once)) {
            return Ok(Some(Receipt { entry: *number, at: self.last_at, fresh: false }));
        }
        let known = index.get(&key::once(&once))?;
        let Some(number) = known.and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?))) else {
            return Ok(None);
        };
        let bytes = catch_up::entry_bytes(&self.shared.reader, number).map_err(|e| self.shared.stop(e.to_string()))?;
        let at = bytes.and_then(|bytes| serde_json::from_slice::<Entry>(&bytes).ok()).map_or(self.last_at, |e| e.at);
        Ok(Some(Receipt { entry: number, at, fresh: false }))
    }

    /// Bodies, then ledger, then index.
    fn append(&mut self, plan: &Plan) -> Result<(), StoreError> {
        if plan.entries.is_empty() {
            return Ok(());
        }
        let shared = self.shared.clone();
        let fresh = shared.sync_bodies()?;
        let bytes: Vec<Vec<u8>> = plan.entries.iter().map(|accepted| accepted.bytes.clone()).collect();
        match self.log.append(&bytes) {
            Ok(_) => {}
            Err(error @ (AppendError::LowSpace { .. } | AppendError::Full(_))) => {
                return Err(StoreError::DiskFull(error.to_string()));
            }
            Err(error) => return Err(shared.stop(in_full(&error))),
        }
        for (place, why) in self.log.unreachable_guards().iter().skip(self.lost_guards) {
            tracing::warn!(place = %place.display(), why, "this place of the guard is out of reach until the next start");
        }
        self.lost_guards = self.log.unreachable_guards().len();
        if let Err(error) = self.index(plan, fresh) {
            self.shared.index.suspect(&error);
        }
        Ok(())
    }

    fn index(&self, plan: &Plan, fresh: Fresh) -> Result<(), IndexError> {
        let index = self.shared.index.get();
        catch_up::apply_bodies(index.as_ref(), fresh.ops())?;
        let signed = self.log.head().ok_or_else(|| IndexError("the ledger has no checkpoint".into()))?;
        let _whole = self.shared.index.alone();
        let entries = plan.entries.iter().map(|accepted| &accepted.entry);
        let head = catch_up::tree_head(&signed.checkpoint);
        catch_up::fold_written(index.as_ref(), &self.shared.reader, plan.first, entries, head)?;
        *self.shared.head.write().unwrap_or_else(PoisonError::into_inner) = catch_up::head_from(signed);
        Ok(())
    }

    /// Builds the index again when somebody met damage in it.
    fn mend(&self) -> Result<(), StoreError> {
        let Some(why) = self.shared.index.damage() else { return Ok(()) };
        tracing::warn!(why, "the index failed: the index is built again from the ledger");
        let folded =
            self.rebuild().map_err(|e| self.shared.stop(format!("the index could not be built again: {e}")))?;
        tracing::info!(entries = folded, "the index is built again");
        Ok(())
    }

    fn rebuild(&self) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
        let shared = &self.shared;
        // The broken one is let go first: there is a lock on its folder.
        let building = shared.index.building();
        let mut bodies = lock(&shared.bodies);
        let (index, folded) = rebuild_index(Sources {
            engine: shared.options.index,
            layout: &shared.layout,
            reader: &shared.reader,
            bodies: &mut bodies,
            subjects: &shared.subjects,
            progress: &mut |progress| {
                building.is_at(progress);
                if let Progress::Entries { .. } = progress {
                    shared.options.disk.reached(Step::Fold);
                }
            },
        })?;
        shared.index.put(index);
        *shared.head.write().unwrap_or_else(PoisonError::into_inner) = head_of(&shared.reader)?;
        Ok(folded)
    }
}

/// Why a job's facts are not written.
enum PlanError {
    /// The index failed, so that it is not known whether they may be.
    Index(IndexError),
    /// They are refused.
    Refused(StoreError),
}

impl From<IndexError> for PlanError {
    fn from(error: IndexError) -> Self {
        PlanError::Index(error)
    }
}

impl From<StoreError> for PlanError {
    fn from(error: StoreError) -> Self {
        PlanError::Refused(error)
    }
}

fn head_of(reader: &Reader) -> Result<Head, ReadError> {
    catch_up::head(reader)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
