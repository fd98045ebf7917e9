//! `hold` and `release`: what a dispute needs is kept, by the word of two people.

use std::path::PathBuf;

use anyhow::Context;
use store::{Layout, Store};
use web::{HoldAsked, ReleaseAsked};

use super::Exit;
use super::args::{Cli, HoldArgs, ReleaseArgs};
use super::output::{Output, counted};
use super::read::{data_dir, settings_beside};
use crate::{app, erasing, serve};

/// `evidenced hold`
pub(super) fn hold(cli: &Cli, args: &HoldArgs, out: &Output) -> anyhow::Result<Exit> {
    let asked = HoldAsked {
        resources: args.resources.clone(),
        because: args.why.because.clone(),
        asked_by: args.why.asked_by.clone(),
        approved_by: args.why.approved_by.clone(),
    };
    let entry = match Holder::find(cli, out)? {
        Holder::Daemon(socket) => serve::ask_to_hold(&socket, &asked)?,
        Holder::Us(store) => erasing::hold(&store, &asked)?.entry,
    };
    let what = match args.resources.len() {
        0 => "everything".to_owned(),
        n => counted(n, "record"),
    };
    out.line(format!("held       {what}: neither erased nor left to expire. Recorded as #{entry}"));
    out.line(format!("release    evidenced release {entry} --because '…' --asked-by NAME --approved-by ANOTHER"));
    out.fact(&serde_json::json!({ "entry": entry, "records": args.resources.len(), "all": args.all }));
    Ok(Exit::Ok)
}

/// `evidenced release`
pub(super) fn release(cli: &Cli, args: &ReleaseArgs, out: &Output) -> anyhow::Result<Exit> {
    let asked = ReleaseAsked {
        hold: args.hold.entry,
        because: args.why.because.clone(),
        asked_by: args.why.asked_by.clone(),
        approved_by: args.why.approved_by.clone(),
    };
    let entry = match Holder::find(cli, out)? {
        Holder::Daemon(socket) => serve::ask_to_release(&socket, &asked)?,
        Holder::Us(store) => erasing::release(&store, &asked)?.entry,
    };
    out.line(format!("released   #{}, as #{entry} says", args.hold.entry));
    out.fact(&serde_json::json!({ "entry": entry, "hold": args.hold.entry }));
    Ok(Exit::Ok)
}

/// Who holds the store.
enum Holder {
    /// A daemon, behind its control socket.
    Daemon(PathBuf),
    /// This command.
    Us(Store),
}

impl Holder {
    fn find(cli: &Cli, out: &Output) -> anyhow::Result<Holder> {
        let settings = settings_beside(cli, out)?.unwrap_or_default();
        let data = data_dir(cli, Some(&settings));
        app::own_ledger(&data, &settings)?;
        let socket = Layout::new(&data).socket();
        if serve::is_answered(&socket) {
            return Ok(Holder::Daemon(socket));
        }
        let opened = app::open_store(&data, &settings, &app::BadDisk::default());
        Ok(Holder::Us(opened.context("nothing was recorded; do it again once nothing else uses the data directory")?.0))
    }
}
