//! The daemon: streams that fall due, runs that end, people that ask, and the orderly end of it all.
//!
//! One task decides ([`crate::schedule::due`]) and starts runs; each run is a task of its own; one task tells people.
//! Everything else, pages and API and metrics, only reads.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use domain::entry::{ClockStep, Fact, MissedReason, Schedule as ScheduleFact};
use domain::{Clock, Duration, GapReason, SourceId, StreamId, Timestamp, Trigger, in_full};
use query::Query;
use store::{Read, Store, StoreError};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::judge::{self, JudgeError};
use crate::loaded::Loaded;
use crate::pipeline::{self, Done};
use crate::room::{self, Room};
use crate::schedule::{Decision, Resumed, Schedule, StreamState, due};
use crate::telemetry::Metrics;

/// What the parts of a running daemon share.
pub struct Daemon {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The store.
    pub store: Arc<Store>,
    /// What counts.
    pub metrics: Arc<Metrics>,
    /// What every run needs; its `cancel` ends the daemon's runs.
    pub around: kit::Surroundings,
    /// Something was recorded that people may have to be told of.
    pub news: Notify,
    /// Whether the disk has room to keep evidence.
    pub room: Room,
    /// Since when nothing could be decided because the index was being built, when that took its time.
    unindexed: Option<Timestamp>,
    loaded: RwLock<Arc<Loaded>>,
    asks: mpsc::Sender<Ask>,
    asked: Mutex<Option<mpsc::Receiver<Ask>>>,
}

/// Something asked of the deciding task.
enum Ask {
    /// Run these streams now; the answer lists those that will.
    Run(Vec<StreamId>, oneshot::Sender<Vec<StreamId>>),
    /// The settings changed.
    Reload,
    /// Do this while no run is under way.
    Alone(Alone),
}

/// What is done while no run is under way.
type Alone = Box<dyn FnOnce(&Daemon) + Send>;

/// A run that ended, or could not be recorded.
struct Ended {
    stream: StreamId,
    /// `None` when the daemon ended before there was room to record it.
    result: Result<Option<Done>, StoreError>,
    /// There was no room for what it read, so it should read again when there is.
    starved: bool,
}

/// The clock is looked at at least this often, so that a step is noticed.
const TICK: Duration = Duration::from_secs(1);
/// A difference between the clock and the elapsed time beyond this is a step.
const STEP: Duration = Duration::from_secs(5);
/// Findings are drawn again at least this often, since evidence grows old by itself.
const CONCLUDE_EVERY: Duration = Duration::from_secs(60);
/// After the order to stop, runs have this long to end and be recorded.
const GRACE: std::time::Duration = std::time::Duration::from_secs(8);

impl Daemon {
    /// A daemon that does nothing yet. `unindexed` is since when its index was being built, when that took its time.
    pub fn new(
        clock: Arc<dyn Clock>,
        store: Arc<Store>,
        metrics: Arc<Metrics>,
        around: kit::Surroundings,
        loaded: Arc<Loaded>,
        unindexed: Option<Timestamp>,
    ) -> Arc<Daemon> {
        let (asks, asked) = mpsc::channel(64);
        let (loaded, asked) = (RwLock::new(loaded), Mutex::new(Some(asked)));
        Arc::new(Daemon {
            clock,
            store,
            metrics,
            around,
            news: Notify::new(),
            room: Room::default(),
            unindexed,
            loaded,
            asks,
            asked,
        })
    }

    /// What is in force: settings, checks, catalogues.
    pub fn loaded(&self) -> Arc<Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts other settings in force. Streams are scheduled anew; runs under way end as they began.
    pub async fn reload(&self, loaded: Arc<Loaded>) {
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        // The deciding task has ended when nobody takes it: then nothing needs scheduling any more.
        drop(self.asks.send(Ask::Reload).await);
        self.news.notify_one();
    }

    /// Asks for runs now. `what` is a stream, a source, or nothing for all; the answer lists what will run.
    pub async fn run_now(&self, what: Option<&str>) -> Result<Vec<StreamId>, String> {
        let streams: Vec<StreamId> = self.loaded().streams().map(|stream| stream.id).collect();
        let wanted =
            |stream: &StreamId| what.is_none_or(|what| stream.as_str() == what || stream.source().as_str() == what);
        let chosen: Vec<StreamId> = streams.iter().filter(|stream| wanted(stream)).cloned().collect();
        if chosen.is_empty() {
            let known: Vec<&str> = streams.iter().map(StreamId::as_str).collect();
            return Err(format!("nothing is called {:?} here; there is {}", what.unwrap_or(""), known.join(", ")));
        }
        let (answer, answered) = oneshot::channel();
        let ending = || "the daemon is ending".to_owned();
        self.asks.send(Ask::Run(chosen, answer)).await.map_err(|_| ending())?;
        answered.await.map_err(|_| ending())
    }

    /// Does something that may wait for the disk while no run is under way: those that are have ended before, and no other
    /// begins. Whoever does not wait for it any more when its turn comes has it left undone.
    pub async fn alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Daemon) -> T + Send + 'static,
    ) -> Result<T, String> {
        let (answer, answered) = oneshot::channel();
        let ending = || "the daemon is ending".to_owned();
        let work = move |daemon: &Daemon| {
            if !answer.is_closed() {
                drop(answer.send(work(daemon)));
            }
        };
        self.asks.send(Ask::Alone(Box::new(work))).await.map_err(|_| ending())?;
        answered.await.map_err(|_| ending())
    }

    /// Decides and runs until `stop` is cancelled, then lets the runs under way end within their grace.
    ///
    /// # Errors
    /// The store stopped: the process should exit, and recover by starting again.
    pub async fn decide_and_run(self: &Arc<Self>, stop: CancellationToken) -> Result<(), StoreError> {
        let mut asked = self
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .ok_or_else(|| StoreError::Stopped("the daemon was started twice".into()))?;
        let Some(mut streams) = self.once_there_is_room(&stop, Daemon::scheduled).await? else { return Ok(()) };
        hold_for_want_of_index(&mut streams, self.unindexed);
        let mut runs: JoinSet<Ended> = JoinSet::new();
        let mut steps = Steps::new(self.clock.now());
        let mut concluded = Timestamp::default();
        // Other settings are in force, and there was no room to record the schedules they bring.
        let mut reload_owed = false;
        let mut alone: VecDeque<Alone> = VecDeque::new();
        while !stop.is_cancelled() {
            if let Some(why) = self.store.stopped() {
                return Err(StoreError::Stopped(why.to_owned()));
            }
            let now = self.clock.now();
            let mended = self.blocking(|daemon| daemon.store.mend_index()).await?;
            hold_for_want_of_index(&mut streams, mended.then_some(now));
            let now = self.clock.now();
            self.look_for_room(now).await?;
            self.notice_steps(&mut steps, &mut streams, now).await?;
            if now.since(concluded) >= CONCLUDE_EVERY {
                concluded = now;
                self.conclude().await;
            }
            if reload_owed && self.room.missing().is_none() {
                reload_owed = self.answer(&mut streams, &mut alone, Ask::Reload).await?;
            }
            if runs.is_empty()
                && let Some(work) = alone.pop_front()
            {
                self.blocking::<_, StoreError>(move |daemon| {
                    work(daemon);
                    Ok(())
                })
                .await?;
                continue;
            }
            let at_once = if alone.is_empty() { self.loaded().settings.limits.runs_at_once as usize } else { 0 };
            let wake = self.act(&mut streams, &mut runs, &stop, now, at_once).await?;
            let wait = wake.map_or(TICK, |wake| wake.since(now).min(TICK));
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(wait.to_std()) => {}
                Some(ended) = runs.join_next() => self.take_in(&mut streams, ended).await?,
                Some(ask) = asked.recv() => reload_owed |= self.answer(&mut streams, &mut alone, ask).await?,
            }
        }
        self.wind_up(&mut streams, runs).await
    }

    /// Does what is due for every stream, with so many runs at once; returns when the next thing will be.
    async fn act(
        self: &Arc<Self>,
        streams: &mut BTreeMap<StreamId, StreamState>,
        runs: &mut JoinSet<Ended>,
        stop: &CancellationToken,
        now: Timestamp,
        at_once: usize,
    ) -> Result<Option<Timestamp>, StoreError> {
        let loaded = self.loaded();
        let mut wake: Option<Timestamp> = None;
        let catching_up = catching_up(streams);
        for (stream, state) in streams.iter_mut() {
            // A run that waits to be recorded keeps no slot from starting; the disk does.
            if self.room.missing().is_some() {
                state.hold(MissedReason::DiskFull, now);
            }
            loop {
                // Nothing was written when there was no room for it, so nothing is lost but time: it stays owed.
                let decision = due(state, now);
                let done = match decision {
                    Decision::Interrupted(open) => {
                        let stream = stream.clone();
                        let done = self.blocking(move |daemon| {
                            let began = daemon.store.entry(open.entry).ok().flatten().map_or(now, |entry| entry.at);
                            pipeline::interrupted(&daemon.store, &stream, open.entry, open.trigger, began)
                        });
                        done.await.map(|_| state.interrupted())
                    }
                    Decision::Missed(slots, reason) => {
                        let id = stream.clone();
                        let done = self.blocking(move |daemon| pipeline::missed(&daemon.store, &id, slots, reason));
                        done.await.map(|_| {
                            tracing::warn!(%stream, first = %slots.first, last = %slots.last, count = slots.count, reason = reason.as_str(), "missed");
                            self.metrics.missed(stream, slots.count);
                            state.missed(slots, reason);
                            self.news.notify_one();
                        })
                    }
                    Decision::Start(_) if self.room.missing().is_some() => break,
                    Decision::Start(_) if runs.len() >= at_once => {
                        state.hold(MissedReason::HeldBack, now);
                        break;
                    }
                    // A join that has no slot to keep waits until all that it joins was looked at; the end of that wakes us.
                    Decision::Start(Trigger::Event | Trigger::CatchUp)
                        if loaded.joined_by(&stream.source()).iter().any(|joined| catching_up.contains(joined)) =>
                    {
                        break;
                    }
                    Decision::Start(trigger) => {
                        let id = stream.clone();
                        let intent = self.blocking(move |daemon| pipeline::intend(&daemon.store, &id, trigger));
                        intent.await.map(|intent| {
                            state.started(trigger, now);
                            runs.spawn(self.clone().run(stream.clone(), trigger, intent.entry, stop.clone()));
                        })
                    }
                    Decision::Wait(until, _) => {
                        wake = Some(wake.map_or(until, |wake| wake.min(until)));
                        Ok(())
                    }
                    Decision::Idle(_) => Ok(()),
                };
                match done {
                    Ok(()) => {}
                    Err(StoreError::DiskFull(why)) => {
                        self.refused(&why).await?;
                        state.hold(MissedReason::DiskFull, now);
                        break;
                    }
                    Err(error) => return Err(error),
                }
                if matches!(decision, Decision::Wait(..) | Decision::Idle(_)) {
                    if self.room.missing().is_none() {
                        state.released();
                    }
                    break;
                }
            }
        }
        Ok(wake)
    }

    /// One run, from its intent to everything that follows from it.
    async fn run(self: Arc<Self>, stream: StreamId, trigger: Trigger, intent: u64, stop: CancellationToken) -> Ended {
        let span =
            tracing::info_span!("run", %stream, intent, outcome = tracing::field::Empty, entry = tracing::field::Empty);
        let mut starved = false;
        let result = async {
            let loaded = self.loaded();
            let source = loaded.source(&stream.source());
            let run = match (source, loaded.collector(&stream)) {
                (Some(source), Some(collector)) => {
                    let limits = loaded.settings.limits.of_a_run();
                    let around = kit::Surroundings { limits, ..self.around.clone() };
                    kit::run(source, collector, &stream, trigger, &around)
                        .instrument(tracing::info_span!("collect"))
                        .await
                }
                // It was taken out of the settings between intent and start.
                _ => pipeline::withdrawn(&stream, trigger, self.clock.now()),
            };
            tracing::Span::current().record("outcome", run.outcome.as_str());
            self.metrics.run(&run);
            starved = run.gaps.iter().any(|gap| gap.reason == GapReason::NotKept);
            let (run, now) = (Arc::new(run), self.clock.now());
            // Recording and judging are each done once, however often they are tried.
            let settle = {
                let run = run.clone();
                move |daemon: &Daemon| {
                    let settled = pipeline::settle(&daemon.store, &daemon.loaded().knowledge, intent, &run, now);
                    settled.map_err(|error| match error {
                        JudgeError::Store(error) => error,
                        error => {
                            StoreError::Stopped(format!("{} could not be judged: {}", run.stream, in_full(&error)))
                        }
                    })
                }
            };
            let done = self.once_there_is_room(&stop, settle).await?;
            if let Some(done) = &done {
                tracing::Span::current().record("entry", done.run.entry);
                tell_log(&stream, done, &run);
            }
            Ok(done)
        }
        .instrument(span)
        .await;
        Ended { stream, result, starved }
    }

    /// A run has ended.
    async fn take_in(
        &self,
        streams: &mut BTreeMap<StreamId, StreamState>,
        ended: Result<Ended, tokio::task::JoinError>,
    ) -> Result<(), StoreError> {
        let Ended { stream, result, starved } = match ended {
            Ok(ended) => ended,
            // A panic in our own code: the run's intent stays open, and what happened to it is not known.
            Err(error) => return Err(StoreError::Stopped(format!("a run broke off: {error}"))),
        };
        if let Some(state) = streams.get_mut(&stream) {
            state.ended(self.clock.now());
            if starved {
                state.request(Trigger::CatchUp);
            }
        }
        match result? {
            Some(done) => {
                self.metrics.settled(&stream, &done);
                if done.changed {
                    self.look_again(streams, &stream.source());
                }
            }
            None => {
                tracing::warn!(%stream, "there was no room to record a run; the next start records it as interrupted")
            }
        }
        self.news.notify_one();
        Ok(())
    }

    /// Asks for a run of every join of a source's evidence.
    fn look_again(&self, streams: &mut BTreeMap<StreamId, StreamState>, changed: &SourceId) {
        let loaded = self.loaded();
        for (stream, state) in streams {
            if loaded.joined_by(&stream.source()).contains(changed) {
                state.request(Trigger::Event);
            }
        }
    }

    /// Whether there was no room to do what was asked, so that it must be asked again.
    async fn answer(
        self: &Arc<Self>,
        streams: &mut BTreeMap<StreamId, StreamState>,
        alone: &mut VecDeque<Alone>,
        ask: Ask,
    ) -> Result<bool, StoreError> {
        match ask {
            Ask::Run(wanted, answer) => {
                let mut will = Vec::new();
                for stream in wanted {
                    if let Some(state) = streams.get_mut(&stream) {
                        state.request(Trigger::Manual);
                        will.push(stream);
                    }
                }
                // Whoever asked may have gone; the runs are due all the same.
                drop(answer.send(will));
            }
            Ask::Alone(work) => alone.push_back(work),
            Ask::Reload => {
                let before = streams.clone();
                match self.blocking(move |daemon| daemon.rescheduled(before)).await {
                    Ok(rescheduled) => *streams = rescheduled,
                    Err(StoreError::DiskFull(why)) => {
                        self.refused(&why).await?;
                        return Ok(true);
                    }
                    Err(error) => return Err(error),
                }
                self.conclude().await;
            }
        }
        Ok(false)
    }

    /// Lets runs under way end and be recorded; what does not end in time is found as interrupted by the next start.
    async fn wind_up(
        &self,
        streams: &mut BTreeMap<StreamId, StreamState>,
        mut runs: JoinSet<Ended>,
    ) -> Result<(), StoreError> {
        if !runs.is_empty() {
            tracing::info!(runs = runs.len(), "ending: the runs under way are cancelled and recorded");
        }
        self.around.cancel.cancel();
        let ended = tokio::time::timeout(GRACE, async {
            while let Some(ended) = runs.join_next().await {
                self.take_in(streams, ended).await?;
            }
            Ok(())
        });
        ended.await.unwrap_or_else(|_| {
            tracing::warn!("a run did not end in time; the next start records it as interrupted");
            Ok(())
        })
    }

    /// Every stream as the ledger knows it, with the schedules of the settings in force.
    fn scheduled(&self) -> Result<BTreeMap<StreamId, StreamState>, StoreError> {
        let mut known = BTreeMap::new();
        let query =
            Query { read: self.store.as_ref(), catalogue: &self.loaded().knowledge.catalogue, now: self.clock.now() };
        let failed = |e: &dyn std::fmt::Display| StoreError::Stopped(format!("streams cannot be resumed: {e}"));
        for row in query.stream_rows().map_err(|e| failed(&e))? {
            let parse = |text: &String, zone: Option<&str>| Schedule::parse(text, zone);
            let schedules = row.schedules.iter().map(|era| {
                Ok((era.expression.as_ref().map(|text| parse(text, era.zone.as_deref())).transpose()?, era.from))
            });
            let schedules: Result<Vec<_>, crate::schedule::ScheduleError> = schedules.collect();
            let resumed = Resumed {
                schedules: schedules.map_err(|e| failed(&e))?,
                settled: row.last_slot.max(row.open_intent.and_then(|intent| intent.trigger.slot())),
                open: row
                    .open_intent
                    .map(|intent| crate::schedule::OpenIntent { entry: intent.entry, trigger: intent.trigger }),
                last_run: row.last_run.map(|run| (run.started, if run.interrupted { run.started } else { run.ended })),
                catch_up: row.catch_up,
            };
            if !resumed.schedules.is_empty() {
                known.insert(row.stream.clone(), StreamState::resume(row.stream.clone(), resumed));
            }
            judge::judge_last(&self.store, &self.loaded().knowledge, &row.stream).map_err(|e| match e {
                JudgeError::Store(error) => error,
                error => StoreError::Stopped(in_full(&error)),
            })?;
        }
        self.rescheduled(known)
    }

    /// Brings streams in line with the settings in force, and records every schedule that changed.
    fn rescheduled(
        &self,
        mut streams: BTreeMap<StreamId, StreamState>,
    ) -> Result<BTreeMap<StreamId, StreamState>, StoreError> {
        let (loaded, now) = (self.loaded(), self.clock.now());
        let mut facts = Vec::new();
        let wanted: BTreeMap<StreamId, Schedule> =
            loaded.streams().map(|stream| (stream.id, stream.schedule)).collect();
        for (stream, state) in &mut streams {
            let (wanted, have) = (wanted.get(stream), state.schedule());
            let word = |schedule: Option<&Schedule>| schedule.map(|s| (s.expression().to_owned(), s.zone()));
            if word(wanted) != word(have) {
                let from = state.change_schedule(wanted.cloned(), now);
                facts.push(schedule_fact(stream, wanted, from));
            }
        }
        for (stream, schedule) in wanted {
            if let Entry::Vacant(vacant) = streams.entry(stream.clone()) {
                facts.push(schedule_fact(&stream, Some(&schedule), now));
                let state = vacant.insert(StreamState::new(stream, schedule, now));
                // Nobody should wait for the first slot to see whether it works.
                state.request(Trigger::CatchUp);
            }
        }
        self.store.record(facts)?;
        Ok(streams)
    }

    /// Draws the findings again; a failure is told and tried again later.
    async fn conclude(self: &Arc<Self>) {
        let done = self
            .blocking(|daemon| judge::conclude(&daemon.store, &daemon.loaded().knowledge, daemon.clock.now()))
            .await;
        // Of a full disk everybody is told already.
        if let Err(error) = done
            && !matches!(error, JudgeError::Store(StoreError::DiskFull(_)))
        {
            tracing::error!(error = in_full(&error), "findings could not be drawn");
        }
    }

    async fn notice_steps(
        self: &Arc<Self>,
        steps: &mut Steps,
        streams: &mut BTreeMap<StreamId, StreamState>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if let Some((expected, by)) = steps.look(now) {
            tracing::warn!(%expected, shown = %now, %by, "the clock was stepped");
            streams.values_mut().for_each(|state| state.stepped(expected, now));
            steps.unsaid.push(Fact::Clock(ClockStep { expected, shown: now, by }));
            // On a disk that stays full the latest are kept in mind.
            let over = steps.unsaid.len().saturating_sub(Steps::MOST_UNSAID);
            steps.unsaid.drain(..over);
        }
        if steps.unsaid.is_empty() {
            return Ok(());
        }
        let facts = steps.unsaid.clone();
        match self.blocking(move |daemon| daemon.store.record(facts)).await {
            Ok(_) => {
                steps.unsaid.clear();
                Ok(())
            }
            Err(StoreError::DiskFull(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Looks how much room the disk has, and tells everybody when that changed.
    async fn look_for_room(self: &Arc<Self>, now: Timestamp) -> Result<(), StoreError> {
        let free = self.blocking(|daemon| daemon.store.free_space()).await?;
        self.tell_room(self.room.look(free, now));
        if self.blocking(|daemon| room::record(&daemon.store, &daemon.room)).await? {
            self.news.notify_one();
        }
        Ok(())
    }

    /// The store refused something for want of room.
    async fn refused(self: &Arc<Self>, why: &str) -> Result<(), StoreError> {
        let free = self.blocking(|daemon| daemon.store.free_space()).await?;
        self.tell_room(self.room.refused(why, free, self.clock.now()));
        Ok(())
    }

    fn tell_room(&self, step: Option<room::Step>) {
        match step {
            Some(room::Step::Lost(why)) => {
                tracing::error!(why, "the disk is nearly full: nothing is collected until there is room");
                self.metrics.disk_full(true);
            }
            Some(room::Step::Back) => {
                tracing::info!("the disk has room again: it is collected again");
                self.metrics.disk_full(false);
            }
            None => {}
        }
    }

    /// Does something that needs room on the disk; where there is none, waits and does it again. `None` when the daemon
    /// ends first. What it does, it does whole or not at all, or finds done when it is done again.
    pub async fn once_there_is_room<T: Send + 'static>(
        self: &Arc<Self>,
        stop: &CancellationToken,
        work: impl Fn(&Daemon) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        loop {
            match self.blocking(work.clone()).await {
                Err(StoreError::DiskFull(why)) => self.refused(&why).await?,
                done => return done.map(Some),
            }
            while self.room.missing().is_some() {
                tokio::select! {
                    () = stop.cancelled() => return Ok(None),
                    () = tokio::time::sleep(TICK.to_std()) => {}
                }
                self.look_for_room(self.clock.now()).await?;
            }
        }
    }

    /// Runs something that waits for the disk, off the threads that serve everybody.
    pub async fn blocking<T, E>(
        self: &Arc<Self>,
        work: impl FnOnce(&Daemon) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let daemon = self.clone();
        // What it says and does belongs to whatever wanted it.
        let span = tracing::Span::current();
        match tokio::task::spawn_blocking(move || span.in_scope(|| work(&daemon))).await {
            Ok(result) => result,
            Err(error) => Err(StoreError::Stopped(format!("a task broke off: {error}")).into()),
        }
    }
}

/// The sources of which a stream is still to be looked at for the first time, or again after a pause.
fn catching_up(streams: &BTreeMap<StreamId, StreamState>) -> BTreeSet<SourceId> {
    streams.iter().filter(|(_, state)| state.catches_up()).map(|(stream, _)| stream.source()).collect()
}

/// Slots that were lost since then were lost because there was no index.
fn hold_for_want_of_index(streams: &mut BTreeMap<StreamId, StreamState>, since: Option<Timestamp>) {
    if let Some(since) = since {
        streams.values_mut().for_each(|state| state.hold(MissedReason::NoIndex, since));
    }
}

/// Notices that the clock went another way than time did.
struct Steps {
    shown: Timestamp,
    since: tokio::time::Instant,
    /// Steps that are not recorded yet, for want of room.
    unsaid: Vec<Fact>,
}

impl Steps {
    fn new(now: Timestamp) -> Self {
        Steps { shown: now, since: tokio::time::Instant::now(), unsaid: Vec::new() }
    }

    const MOST_UNSAID: usize = 64;

    /// What the clock should show, and by how much it does not, when that is a step.
    fn look(&mut self, now: Timestamp) -> Option<(Timestamp, Duration)> {
        let elapsed = Duration::from_millis(u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX));
        let expected = self.shown.plus(elapsed);
        let by = now.since(expected).max(expected.since(now));
        (self.shown, self.since) = (now, tokio::time::Instant::now());
        (by > STEP).then_some((expected, by))
    }
}

/// A schedule as the ledger is told of it; `None` when the stream was taken out of the settings.
fn schedule_fact(stream: &StreamId, schedule: Option<&Schedule>, from: Timestamp) -> Fact {
    Fact::Schedule(ScheduleFact {
        stream: stream.clone(),
        expression: schedule.map(|schedule| schedule.expression().to_owned()),
        zone: schedule.and_then(|schedule| schedule.zone()).map(str::to_owned),
        from,
    })
}

/// One line per run for whoever watches the log.
fn tell_log(stream: &StreamId, done: &Done, run: &domain::CollectionRun) {
    let entry = done.run.entry;
    let (calls, resources, gaps) = (run.exchanges.len(), run.resource_count(), run.gaps.len());
    let took = run.ended.since(run.started);
    match run.outcome {
        domain::Outcome::Collected => tracing::info!(%stream, entry, calls, resources, %took, "collected"),
        outcome => {
            // The first gap tells most of it; all of them stand in the entry.
            let first = run.gaps.first().map_or_else(String::new, |gap| {
                let needs =
                    gap.permission.as_ref().map_or_else(String::new, |permission| format!("; needs {permission}"));
                format!("{} {}: {}{needs}", gap.reason.as_str(), gap.call, gap.detail)
            });
            tracing::warn!(%stream, entry, calls, resources, gaps, %took, outcome = outcome.as_str(), first, "evidence is incomplete");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_clock_is_noticed_in_either_direction_and_once() {
        let at = |minute: i64| Timestamp::from_millis(minute * 60_000);
        let mut steps = Steps::new(at(100));
        assert_eq!(steps.look(at(100)), None);
        for (shown, by) in [(40, 60), (41, 1), (400, 359)] {
            let before = steps.shown;
            let (expected, found) = steps.look(at(shown)).unwrap();
            assert!(expected.since(before) < STEP, "only the time that went by");
            assert_eq!((found.as_secs() + 30) / 60, by, "{shown}: {found}");
            assert_eq!(steps.look(at(shown)), None, "once");
        }
    }
}
