//! Erasures and legal holds, asked for on the command line, done by whoever holds the store: the running daemon, which is
//! asked on its control socket, or the command itself where none runs.

use std::collections::BTreeSet;

use domain::entry::{ExportDetail, Fact, HoldDetail};
use domain::in_full;
use store::{Erasure, HoldError, Left, Read, ReadError, Receipt, Store};
use web::{EraseAsked, Erased, ErasedRecord, HoldAsked, LeftBodies, PackageSent, ReleaseAsked};

use crate::daemon::Daemon;

/// Erases what is asked for. No run may be under way: one that has read somebody already would record them after it.
///
/// # Errors
/// In words, and nothing was erased.
pub fn erase(store: &Store, asked: &EraseAsked) -> Result<Erased, String> {
    let words = |error: &dyn std::error::Error| in_full(error);
    // No hold comes between the plan and the erasure.
    let _decided_once = store.deciding();
    let plan = store.plan_erasure(&asked.resources, &asked.also_named).map_err(|e| words(&e))?;
    let mut erased = planned(store, &plan).map_err(|e| words(&e))?;
    let receipts = store.erase(&plan, &asked.because, &asked.by).map_err(|e| words(&e))?;
    erased.entries = receipts.iter().map(|receipt| receipt.entry).collect();
    erased.dry_run = false;
    Ok(erased)
}

/// Erases in a running daemon, as soon as no run is under way.
///
/// # Errors
/// In words, and nothing was erased.
pub async fn erase_in(daemon: &Daemon, asked: EraseAsked) -> Result<Erased, String> {
    let erased = move |daemon: &Daemon| {
        let erased = erase(&daemon.store, &asked)?;
        if let Some(earlier) = &daemon.around.conditional {
            earlier.forget();
        }
        Ok(erased)
    };
    let erased = daemon.alone(erased).await?;
    daemon.news.notify_one();
    erased
}

/// Holds what is asked for.
///
/// # Errors
/// [`HoldError`]
pub fn hold(store: &Store, asked: &HoldAsked) -> Result<Receipt, HoldError> {
    let people = HoldDetail { asked_by: asked.asked_by.clone(), approved_by: asked.approved_by.clone() };
    store.hold(&asked.resources, &asked.because, &people)
}

/// Releases a hold.
///
/// # Errors
/// [`HoldError`]
pub fn release(store: &Store, asked: &ReleaseAsked) -> Result<Receipt, HoldError> {
    let people = HoldDetail { asked_by: asked.asked_by.clone(), approved_by: asked.approved_by.clone() };
    store.release(asked.hold, &asked.because, &people)
}

/// What an erasure would come to, and where the evidence went before, out of our reach.
pub fn planned(read: &dyn Read, plan: &Erasure) -> Result<Erased, ReadError> {
    let records = plan.records.iter().map(|record| ErasedRecord {
        kind: record.resource.kind.clone(),
        resource: record.pseudonym.clone(),
        bodies: record.bodies,
    });
    let left = plan.left.iter().map(|(left, bodies)| {
        let blank = LeftBodies { bodies: *bodies, ..LeftBodies::default() };
        match left {
            Left::Record(of) => LeftBodies { record: Some(of.clone()), ..blank },
            Left::Lists => LeftBodies { lists: true, ..blank },
            Left::Unsealed => LeftBodies { unsealed: true, ..blank },
        }
    });
    let (packages, receivers) = elsewhere(read, plan)?;
    Ok(Erased {
        erased: records.collect(),
        answers: plan.answers,
        left: left.collect(),
        held_by: plan.held_by.clone(),
        packages,
        receivers,
        entries: Vec::new(),
        dry_run: true,
    })
}

/// The packages that were made so far, and who was told of a deviation of what is erased.
fn elsewhere(read: &dyn Read, plan: &Erasure) -> Result<(Vec<PackageSent>, BTreeSet<String>), ReadError> {
    let (mut packages, mut receivers, mut deviations) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for number in 0..read.head()?.size {
        match read.entry(number)?.map(|entry| entry.fact) {
            Some(Fact::Deviation(deviation))
                if plan.records.iter().any(|record| record.pseudonym == deviation.resource) =>
            {
                deviations.insert(number);
            }
            Some(Fact::Delivery(delivery))
                if delivery.accepted && delivery.about.iter().any(|entry| deviations.contains(entry)) =>
            {
                receivers.insert(delivery.receiver);
            }
            Some(Fact::Export(export)) => {
                let detail = read.body(&export.detail)?;
                let detail = detail.and_then(|bytes| serde_json::from_slice::<ExportDetail>(&bytes).ok());
                let recipient = detail.map_or_else(|| "unknown".to_owned(), |detail| detail.recipient);
                packages.push(PackageSent { export: number, recipient });
            }
            _ => {}
        }
    }
    Ok((packages, receivers))
}
