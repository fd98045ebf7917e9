//! Joins accounts at code hosts and in clouds with the identities of the organisation: whose is each?
//!
//! It asks nobody. It reads populations that other connectors recorded, keeps as exchanges which run each came from, and
//! yields one resource for each account. Three rules shape it. An account is linked by an address that the identity
//! source has verified, or by the mapping file, and by nothing else; what fits twice or not surely is unread, never a
//! guess. Nothing is said of anybody unless both sides were read whole and lately. And an account is held against
//! identities that were read no earlier than it was, so that somebody who joined in between is not taken for a stranger.

use domain::{CollectorName, Duration, GapReason, SourceId, Timestamp};
use kit::view::Mark;
use kit::{CallSpec, Connector, Found, Recorded, Recorder, RunBuilder, Unread};
use serde_json::Value;

mod config;
mod identities;
mod join;
mod mapping;
mod spec;

pub use config::Config;
use identities::{Identities, Unknown};
use join::{Account, Keys};
use mapping::Mapping;
use spec::{ACCOUNTS, AccountSide, CLOUD, IDENTITIES, MAPPING};

/// What one run needs: the settings.
struct Join {
    config: Config,
}

#[kit::async_trait]
impl Connector for Join {
    async fn collect(&self, _: &CollectorName, run: &mut RunBuilder) {
        let recorder = run.recorder();
        let sides = Sides { mapping: self.mapping(&recorder).await, identities: self.identities(&recorder).await };
        for unread in [sides.mapping.as_ref().err(), sides.identities.as_ref().err()].into_iter().flatten() {
            run.missing(unread, &[]);
        }
        for side in ACCOUNTS {
            let mut listed = Some((None, 0));
            for source in self.config.accounts.iter().filter(|source| source.kind() == side.source) {
                let (keys, key_mark) = match self.keys(&recorder, side, source).await {
                    Ok(read) => read,
                    Err(unread) => {
                        run.missing(&unread, &[]);
                        (Keys::unread(Unknown::new(unread.reason, unread.detail)), None)
                    }
                };
                match self.accounts(&recorder, side, source, &keys, &sides).await {
                    Ok((mark, accounts)) => {
                        listed = listed.map(|(_, count)| (Some(mark), count + accounts.len() as u64));
                        for account in &accounts {
                            let mut found = found(side, source, mark, account, &sides);
                            if let Some(mark) = key_mark {
                                found.from(mark);
                            }
                            run.found(found);
                        }
                    }
                    Err(unread) => {
                        listed = None;
                        run.missing(&unread, &[side.yields]);
                    }
                }
            }
            if let Some((last, count)) = listed {
                run.complete(side.yields);
                last.into_iter().for_each(|mark| run.count(side.yields, mark, count));
            }
        }
    }
}

/// What accounts are held against, and why not where it could not be read.
struct Sides {
    mapping: Result<(Mapping, Option<Mark>), Unread>,
    identities: Result<Known, Unread>,
}

/// Everybody with an identity.
struct Known {
    identities: Identities,
    marks: Vec<Mark>,
    /// The moment up to which the earliest of the readings goes.
    as_of: Timestamp,
}

impl Join {
    async fn mapping(&self, recorder: &Recorder) -> Result<(Mapping, Option<Mark>), Unread> {
        let Some(path) = &self.config.mapping else { return Ok((Mapping::default(), None)) };
        let (mark, bytes) = recorder.file(&MAPPING, path).await?;
        let text = std::str::from_utf8(&bytes).map_err(|_| mark.malformed("the mapping file is not text"))?;
        let mapping = Mapping::read(text, &self.config.accounts).map_err(|faults| {
            let first = faults.first().map(ToString::to_string).unwrap_or_default();
            let more = faults.len().saturating_sub(1);
            let more = if more == 0 { String::new() } else { format!("; and {more} more") };
            mark.malformed(format!("{}:{first}{more}", path.display()))
        })?;
        Ok((mapping, Some(mark)))
    }

    async fn identities(&self, recorder: &Recorder) -> Result<Known, Unread> {
        let mut known = Known { identities: Identities::default(), marks: Vec::new(), as_of: recorder.now() };
        for source in &self.config.identities {
            for side in IDENTITIES.iter().filter(|side| side.source == source.kind()) {
                let (mark, recorded) = self.usable(recorder, side.call, source, recorder.now()).await?;
                let identities = &mut known.identities;
                recorder.resources(mark, &recorded, |person| identities.add(side, source, &person)).await?;
                known.marks.push(mark);
                known.as_of = known.as_of.min(recorded.ended);
            }
        }
        Ok(known)
    }

    /// The keys of a source's accounts; none where every account can sign in.
    async fn keys(
        &self,
        recorder: &Recorder,
        side: &AccountSide,
        source: &SourceId,
    ) -> Result<(Keys, Option<Mark>), Unread> {
        let mut keys = Keys::none();
        let Some(sign_in) = &side.signs_in else { return Ok((keys, None)) };
        let (mark, recorded) = self.usable(recorder, sign_in.keys, source, recorder.now()).await?;
        recorder.resources(mark, &recorded, |key| keys.add(sign_in, &key)).await?;
        Ok((keys, Some(mark)))
    }

    /// The accounts of a source: those of its latest population, or of the latest that was read before the identities were.
    async fn accounts(
        &self,
        recorder: &Recorder,
        side: &AccountSide,
        source: &SourceId,
        keys: &Keys,
        sides: &Sides,
    ) -> Result<(Mark, Vec<Account>), Unread> {
        let (mut mark, mut recorded) = self.usable(recorder, side.call, source, recorder.now()).await?;
        if let Some(as_of) =
            sides.identities.as_ref().ok().map(|known| known.as_of).filter(|as_of| recorded.started > *as_of)
        {
            (mark, recorded) =
                self.usable(recorder, side.call, source, as_of).await.map_err(|unread| match unread.reason {
                    GapReason::NoEvidence => Unread {
                        detail: format!("{source} was read only after the identities were; they are to be read again"),
                        ..unread
                    },
                    _ => unread,
                })?;
        }
        let mut accounts = Vec::new();
        recorder.resources(mark, &recorded, |resource| accounts.push(Account::of(side, keys, resource))).await?;
        Ok((mark, accounts))
    }

    /// The latest population of a source that began by a moment, if something may be concluded from it.
    async fn usable(
        &self,
        recorder: &Recorder,
        call: &'static CallSpec,
        source: &SourceId,
        begun_by: Timestamp,
    ) -> Result<(Mark, Recorded), Unread> {
        let (mark, recorded) = recorder.recorded(call, source, begun_by).await?;
        match usable(recorded, source, recorder.now(), self.config.max_age()) {
            Ok(recorded) => Ok((mark, recorded)),
            Err(Unknown { reason, why }) => Err(mark.unread(reason, why)),
        }
    }
}

/// Whether something may be concluded from a population, as of `now`.
fn usable(
    recorded: Option<Recorded>,
    source: &SourceId,
    now: Timestamp,
    max_age: Duration,
) -> Result<Recorded, Unknown> {
    let Some(recorded) = recorded else {
        return Err(Unknown::new(GapReason::NoEvidence, format!("{source} has recorded none yet")));
    };
    let (stream, age) = (&recorded.stream, now.since(recorded.ended));
    match recorded.incomplete {
        Some(reason) => Err(Unknown::new(reason, format!("{stream} did not read it completely"))),
        None if age > max_age => {
            Err(Unknown::new(GapReason::NoEvidence, format!("{stream} read it more than {max_age} ago")))
        }
        None => Ok(recorded),
    }
}

/// One account as a resource: its fields read, or why they are not.
fn found(side: &AccountSide, source: &SourceId, mark: Mark, account: &Account, sides: &Sides) -> Found {
    let mut found = Found::new(side.yields, format!("{source}/{}", account.id), account.name.as_str());
    found.from(mark);
    let unknown = |unknown: Unknown| mark.unread(unknown.reason, unknown.why);
    let holder = match (&sides.mapping, &sides.identities) {
        (Err(unread), _) | (_, Err(unread)) => Err(unread.clone()),
        (Ok((mapping, by)), Ok(known)) => {
            by.iter().chain(&known.marks).for_each(|mark| {
                found.from(*mark);
            });
            join::holder(source, account, mapping, &known.identities).map_err(unknown)
        }
    };
    let holder = holder.as_ref().map_err(|unread| unread.clone());
    let of_identity = |value: Option<Result<Value, Unknown>>| value.unwrap_or(Ok(Value::Null)).map_err(unknown);
    found.set("idp_account_id", holder.clone().and_then(|h| of_identity(h.identity.map(|i| Ok(i.id.clone().into())))));
    let active = |h: &join::Holder<'_>| h.identity.map(|i| i.active.clone().map(Value::from));
    found.set("idp_active", holder.clone().and_then(|h| of_identity(active(h))));
    found.set("is_bot", holder.clone().map(|h| h.is_bot));
    found.set("matched_by", holder.map(|h| h.by.as_str()));
    if side.yields == CLOUD {
        found.set("can_sign_in", account.can_sign_in.clone().map_err(unknown));
    }
    found
}

#[cfg(test)]
mod tests;
