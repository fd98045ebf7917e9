//! `explain`: a control or a check, what speaks to it, on what evidence, and what cannot be seen.

use std::collections::BTreeMap;

use anyhow::bail;
use checks::did_you_mean;
use domain::entry::{Fact, MissedReason};
use domain::{Bearing, CheckId, ControlId, FrameworkId, StreamId, Timestamp};
use query::{ControlView, LinkView, Query};
use store::fold;
use store::rows::{RunRow, key};

use super::Exit;
use super::args::{Cli, ExplainArgs};
use super::output::{Output, Tone, tone_of_finding, tone_of_severity};
use super::read::Reading;

/// `evidenced explain WHAT`
pub(super) fn explain(cli: &Cli, args: &ExplainArgs, out: &Output) -> anyhow::Result<Exit> {
    let reading = Reading::open(cli, out)?;
    let query = reading.query();
    // Numbers of controls are written in capitals and ids of checks are not, so `a.8.5` can mean one thing only.
    let control = args.what.to_ascii_uppercase().parse::<ControlId>().ok();
    let mut holding = control.as_ref().map(|id| query.catalogue.frameworks_with(id)).unwrap_or_default();
    if let Some(wanted) = &args.framework {
        if !query.catalogue.frameworks.contains_key(wanted) {
            bail!("there is no catalogue {wanted}; there is {}", catalogues(&query))
        }
        holding.retain(|id| id == wanted);
    }
    if let [_, _, ..] = holding.as_slice() {
        let names: Vec<&str> = holding.iter().map(FrameworkId::as_str).collect();
        bail!("{} is a control of {}: say which with --framework", args.what, names.join(" and of "))
    }
    if let Some(framework) = holding.first() {
        let controls = query.controls(framework)?.unwrap_or_default();
        if let Some(view) = controls.iter().find(|view| control.as_ref() == Some(&view.control)) {
            explain_control(&reading, &query, view, args, out)?;
            return Ok(Exit::Ok);
        }
    }
    if let Some(check) =
        args.what.to_ascii_lowercase().parse::<CheckId>().ok().and_then(|id| reading.knowledge.checks.check(&id))
    {
        explain_check(&query, check, out)?;
        return Ok(Exit::Ok);
    }
    let named = |id: &FrameworkId| args.framework.as_ref().is_none_or(|wanted| wanted == id);
    let frameworks = query.catalogue.frameworks.iter().filter(|(id, _)| named(id));
    let ids = frameworks.flat_map(|(_, info)| info.controls.iter().map(|control| control.id.as_str()));
    let names = ids.chain(reading.knowledge.checks.checks().map(|check| check.id().as_str()));
    let known = args.framework.as_ref().map_or_else(|| catalogues(&query), ToString::to_string);
    bail!("{:?} is neither a control of {known} nor a check; {}", args.what, did_you_mean(&args.what, names))
}

/// The names of the catalogues in force.
pub(super) fn catalogues(query: &Query<'_>) -> String {
    query.catalogue.frameworks.keys().map(FrameworkId::as_str).collect::<Vec<_>>().join(", ")
}

fn explain_control(
    reading: &Reading,
    query: &Query<'_>,
    view: &ControlView,
    args: &ExplainArgs,
    out: &Output,
) -> anyhow::Result<()> {
    out.fact(view);
    let framework = reading.knowledge.checks.framework(&view.framework);
    let control = framework.and_then(|framework| framework.control(&view.control));
    out.line(format!("{} {}", out.toned(Tone::Strong, view.control.as_str()), out.toned(Tone::Strong, &view.title)));
    if let Some(framework) = framework {
        out.line(format!("catalogue  {}, edition {}", framework.title, framework.edition));
        if let Some(next) = &framework.replaced_by {
            out.line(format!("           its place was taken by {next}"));
        }
    }
    if !view.corresponds.is_empty() {
        out.line(format!("elsewhere  {}", alerts::text::controls(&view.corresponds)));
    }
    if !view.roles.is_empty() {
        out.line(format!("guides     {} of a cloud service", view.roles.join(" and ")));
    }
    let value = out.toned(tone_of_finding(view.value), view.value.as_str());
    let since = match (view.entry, view.since) {
        (Some(entry), Some(since)) => format!("; since {}  #{entry}", since.to_the_second()),
        _ => String::new(),
    };
    out.line(format!("finding    {value}: {}{since}", view.because()));
    let period = Period { from: args.from, to: args.to };
    if let (Some(from), Some(to)) = (period.from, period.to)
        && from > to
    {
        bail!("the period ends ({to}) before it begins ({from})");
    }
    if period.from.is_some() || period.to.is_some() {
        let side =
            |moment: Option<Timestamp>, none: &str| moment.map_or_else(|| none.to_owned(), Timestamp::to_the_second);
        let (from, to) = (side(period.from, "the beginning"), side(period.to, "now"));
        out.line(format!(
            "period     {from} to {to}: runs and missed slots are counted in it; the finding and the counts of"
        ));
        out.line("           resources are the latest there are");
    }
    for (place, link) in view.links.iter().enumerate() {
        let label = if place == 0 { "evidence" } else { "" };
        print_link(query, link, &period, label, out)?;
    }
    if view.links.is_empty() {
        out.line("evidence   no check speaks to it");
    }
    if let Some(control) = control {
        for (place, ask) in control.asks.iter().enumerate() {
            out.line(format!("{}  {ask}", if place == 0 { "asked for" } else { "         " }));
        }
        if let Some(automation) = control.automation {
            out.line(format!("automation {}", automation.as_str()));
        }
    }
    out.line("This is a machine's finding for you to weigh; it does not conclude for you.");
    Ok(())
}

struct Period {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Period {
    fn holds(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at <= to)
    }
}

fn print_link(query: &Query<'_>, link: &LinkView, period: &Period, label: &str, out: &Output) -> anyhow::Result<()> {
    let bearing = match link.state.bearing {
        Bearing::Proves => "proves  ",
        Bearing::Supports => "supports",
    };
    let check = out.toned(Tone::Strong, link.state.check.as_str());
    out.line(format!("{label:<10} {bearing} {check}  {}", link.title));
    out.line(format!("{:<10}          why: {}", "", link.why));
    let Some(source) = &link.state.source else {
        out.line(format!("{:<10}          {}", "", out.toned(Tone::Unseen, "no configured source can feed it")));
        return Ok(());
    };
    let stream =
        query.catalogue.checks.get(&link.state.check).and_then(|info| query.catalogue.stream_feeding(info, source));
    let runs = stream.map(|stream| runs_in(query, &stream, period)).transpose()?.unwrap_or_default();
    let said = match &link.state.counts {
        None => out.toned(Tone::Unseen, "has not been evaluated yet"),
        Some(counts) => {
            let mut said = format!(
                "{} conform, {} deviate, {} undetermined",
                counts.conforms, counts.deviates, counts.undetermined
            );
            if counts.not_applicable > 0 {
                said.push_str(&format!(", {} not applicable", counts.not_applicable));
            }
            // An open deviation that was not read this time is counted as undetermined, and still deviates.
            let unread = link.state.open.saturating_sub(counts.deviates);
            if unread > 0 {
                let open = format!("{unread} of these deviated when last read");
                said.push_str(&format!("; {}", out.toned(Tone::Bad, &open)));
            }
            if !link.state.complete {
                said.push_str(&format!("; {}", out.toned(Tone::Unseen, "the population was not read completely")));
            }
            if link.stale {
                said.push_str(&format!("; {}", out.toned(Tone::Unseen, "older than it may be")));
            }
            said
        }
    };
    let entry = link.entry.map_or_else(String::new, |entry| format!("  #{entry}"));
    out.line(format!("{:<10}          {source}: {said}{entry}", ""));
    out.line(format!("{:<10}          {runs}", ""));
    Ok(())
}

/// How many runs there were in a period and how they ended, in words.
fn runs_in(query: &Query<'_>, stream: &StreamId, period: &Period) -> anyhow::Result<String> {
    let index = query.read.index();
    let (mut all, mut whole) = (0u64, 0u64);
    for (_, bytes) in index.scan(&key::runs(stream), None, usize::MAX)? {
        let run: RunRow = fold::read(&bytes)?;
        if period.holds(run.ended) {
            all += 1;
            whole += u64::from(run.outcome == domain::Outcome::Collected);
        }
    }
    let mut missed = Vec::new();
    for (_, bytes) in index.scan(&key::slots(stream), None, usize::MAX)? {
        let slot: store::rows::SlotRow = fold::read(&bytes)?;
        if slot.outcome == store::rows::SlotOutcome::Missed && period.holds(slot.first.0) {
            missed.push(slot);
        }
    }
    let mut text = format!("{whole} of {all} runs of {stream} read everything");
    let mut reasons: BTreeMap<MissedReason, u64> = BTreeMap::new();
    for slot in &missed {
        if let Some(Fact::Missed(missed)) = query.read.entry(slot.entry)?.map(|entry| entry.fact) {
            *reasons.entry(missed.reason).or_default() += missed.count;
        }
    }
    if let (Some(first), Some(last)) = (missed.first(), missed.last()) {
        let count: u64 = reasons.values().sum();
        let why: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count}: {}", reason.as_str())).collect();
        text.push_str(&format!(
            "; {count} slots missed between {} and {} ({})",
            first.first.0.to_the_second(),
            last.last.0.to_the_second(),
            why.join("; ")
        ));
    }
    Ok(text)
}

fn explain_check(query: &Query<'_>, check: &checks::Check, out: &Output) -> anyhow::Result<()> {
    out.line(format!("{}  {}", out.toned(Tone::Strong, check.id().as_str()), check.title()));
    let severity = out.toned(tone_of_severity(check.severity()), check.severity().as_str());
    out.line(format!("severity   {severity}: {}", check.severity_why()));
    out.line(format!("because    {}", check.rationale()));
    out.line(format!("deviating  {}", check.problem()));
    out.line(format!("speaks of  {} read by {}/{}", check.resource(), check.needs().source, check.needs().collector));
    if let Some(applies) = check.applies() {
        out.line(format!("applies    {applies}"));
    }
    out.line(format!("criterion  {}", check.expr()));
    for (name, param) in check.params() {
        let value = check.param_values().get(name).unwrap_or(&param.default);
        out.line(format!("parameter  {name} = {value}   {}", out.toned(Tone::Faint, &param.means)));
    }
    for (name, field) in check.fields() {
        out.line(format!("field      {name}: {}   {}", field.is, out.toned(Tone::Faint, &field.call)));
    }
    for mapping in check.mappings() {
        let bearing = match mapping.bearing {
            Bearing::Proves => "proves",
            Bearing::Supports => "supports",
        };
        out.line(format!("control    {bearing} {} {}: {}", mapping.framework, mapping.control, mapping.why));
    }
    out.line(format!("evidence   may be {} old at most; version {}", check.greatest_age(), check.version()));
    out.line(format!("first      {}", check.first_action()));
    out.line(format!("remedy     {}", check.remediation()));
    for (state, entry) in query.link_states()?.into_iter().filter(|(state, _)| state.check == *check.id()) {
        let Some(source) = &state.source else {
            out.line("says       nothing: no configured source can feed it");
            continue;
        };
        let entry = entry.map_or_else(String::new, |entry| format!("  #{entry}"));
        match (&state.counts, state.at) {
            (Some(counts), Some(at)) => out.line(format!(
                "says       {source}: {} conform, {} deviate, {} undetermined, {} not applicable, as of {}{entry}",
                counts.conforms,
                counts.deviates,
                counts.undetermined,
                counts.not_applicable,
                at.to_the_second()
            )),
            _ => out.line(format!("says       {source}: nothing yet")),
        }
        out.fact(&state);
    }
    Ok(())
}
