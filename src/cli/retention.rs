//! `retention`: what the settings no longer keep, and when it goes. Only looks.

use anyhow::Context;
use domain::Clock;
use store::{Offline, Rest};

use super::Exit;
use super::args::Cli;
use super::output::{Output, counted};
use super::read::{data_dir, load};
use crate::clock::SystemClock;
use crate::{app, expiring};

/// `evidenced retention`
pub(super) fn retention(cli: &Cli, out: &Output) -> anyhow::Result<Exit> {
    let settings = load(cli, out)?.settings;
    let data = data_dir(cli, Some(&settings));
    let classes = expiring::classes(&settings.retention);
    if classes.is_empty() {
        out.line("kept       everything, for ever: the settings name no period (retention)");
        return Ok(Exit::Ok);
    }
    let offline = Offline::open_with(&data, app::data_key(&settings)?.as_ref())
        .with_context(|| format!("cannot read {}", data.display()))?;
    for (class, after) in classes {
        let plan = offline.expiring(class, after, SystemClock.now())?;
        let (what, one) = (class.as_str(), class.as_str().trim_end_matches('s'));
        out.line(format!("class      {what}: kept for {after} after the last run that referred to it"));
        out.line(match plan.span() {
            Some((oldest, youngest)) => format!(
                "due        {}, last referred to from {} to {}: the daemon destroys them, at most once a day",
                counted(plan.due() as u64, one),
                oldest.to_the_second(),
                youngest.to_the_second()
            ),
            None => "due        nothing".to_owned(),
        });
        if let Some((count, first)) = plan.later {
            let count = counted(count, one);
            out.line(format!(
                "later      {count}, the first after {}, unless a run refers to it",
                first.to_the_second()
            ));
        }
        for (rest, count) in &plan.kept {
            let why = match rest {
                Rest::Present => "the present state rests on them".to_owned(),
                Rest::OpenDeviation => "an open deviation rests on them".to_owned(),
                Rest::Held(hold) => format!("the legal hold #{hold} keeps them"),
            };
            out.line(format!("stays      {}: {why}", counted(*count, one)));
        }
        if plan.unknown > 0 {
            let unknown = counted(plan.unknown, one);
            out.line(format!(
                "stays      {unknown} that no run of this ledger refers to: how old they are is not known"
            ));
        }
        let kept = plan.kept.iter().map(|(rest, count)| match rest {
            Rest::Present => serde_json::json!({ "for": "present", "count": count }),
            Rest::OpenDeviation => serde_json::json!({ "for": "open_deviation", "count": count }),
            Rest::Held(hold) => serde_json::json!({ "for": "hold", "hold": hold, "count": count }),
        });
        out.fact(&serde_json::json!({
            "class": class, "after": after, "due": plan.due(), "oldest": plan.span().map(|span| span.0),
            "youngest": plan.span().map(|span| span.1), "later": plan.later.map(|later| later.0),
            "next": plan.later.map(|later| later.1), "kept": kept.collect::<Vec<_>>(), "unknown": plan.unknown,
        }));
    }
    Ok(Exit::Ok)
}
