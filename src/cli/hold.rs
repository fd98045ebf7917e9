//! `hold` and `release`: what a dispute needs is kept, by the word of two people.

use anyhow::Context;
use domain::entry::HoldDetail;
use store::Store;

use super::Exit;
use super::args::{Cli, HoldArgs, ReleaseArgs, TwoRoles};
use super::output::{Output, counted};
use super::read::{data_dir, load, settings_path};
use crate::app;
use crate::config::Settings;

/// `evidenced hold`
pub(super) fn hold(cli: &Cli, args: &HoldArgs, out: &Output) -> anyhow::Result<Exit> {
    let receipt = open(cli, out)?.hold(&args.resources, &args.why.because, &people(&args.why))?;
    let what = match args.resources.len() {
        0 => "everything".to_owned(),
        n => counted(n, "record"),
    };
    out.line(format!("held       {what}: neither erased nor left to expire. Recorded as #{}", receipt.entry));
    out.line(format!(
        "release    evidenced release {} --because '…' --asked-by NAME --approved-by ANOTHER",
        receipt.entry
    ));
    out.fact(&serde_json::json!({ "entry": receipt.entry, "records": args.resources.len(), "all": args.all }));
    Ok(Exit::Ok)
}

/// `evidenced release`
pub(super) fn release(cli: &Cli, args: &ReleaseArgs, out: &Output) -> anyhow::Result<Exit> {
    let receipt = open(cli, out)?.release(args.hold.entry, &args.why.because, &people(&args.why))?;
    out.line(format!("released   #{}, as #{} says", args.hold.entry, receipt.entry));
    out.fact(&serde_json::json!({ "entry": receipt.entry, "hold": args.hold.entry }));
    Ok(Exit::Ok)
}

fn people(why: &TwoRoles) -> HoldDetail {
    HoldDetail { asked_by: why.asked_by.clone(), approved_by: why.approved_by.clone() }
}

fn open(cli: &Cli, out: &Output) -> anyhow::Result<Store> {
    let settings = match cli.config.is_some() || (cli.data.is_none() && settings_path(cli).exists()) {
        true => load(cli, out)?.settings,
        false => Settings::default(),
    };
    let data = data_dir(cli, Some(&settings).filter(|_| cli.data.is_none()));
    let opened = app::open_store(&data, &settings, &app::BadDisk::default());
    Ok(opened.context("nothing was recorded; if a daemon runs here, stop it first")?.0)
}
