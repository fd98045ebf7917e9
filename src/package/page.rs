//! `index.html`: the package at a glance, for a browser that opens it from a folder. No script, nothing from outside.

use std::collections::BTreeMap;

use domain::entry::{Deviation, Fact};
use domain::{StreamId, Timestamp};
use query::Query;
use verifier::Tables;

use super::bodies::Kept;
use super::select::Selection;
use super::{About, entry_path};

/// Rows of a list that stand in the page; all of them are in the entries.
const LISTED: usize = 500;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#1a1a1a}\
table{border-collapse:collapse;margin:.5em 0 1.5em}td,th{text-align:left;vertical-align:top;padding:.2em 1em .2em 0;\
border-bottom:1px solid #ddd}code{font-size:.95em}h2{margin-top:2em}.n{text-align:right}";

/// One stream's outcomes.
#[derive(Default)]
struct Outcomes {
    /// Collected, partial, failed, missed.
    counts: [u64; 4],
    last: Option<(u64, Timestamp)>,
    schedules: Vec<String>,
}

/// The page.
pub(super) fn text(about: &About, query: &Query<'_>, selection: &Selection, kept: &Kept, tables: &Tables) -> String {
    let mut html = String::from("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n");
    html.push_str(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
    );
    html.push_str(&format!("<title>Evidence of {}</title>\n<style>{STYLE}</style>\n", escape(&about.ledger)));
    html.push_str(&format!("<h1>Evidence of {}</h1>\n", escape(&about.ledger)));
    html.push_str(
        "<p>What was recorded, for you to weigh. This page is made from the files beside it and concludes nothing. ",
    );
    html.push_str(
        "<a href=\"VERIFY.md\">VERIFY.md</a> says how to verify all of it without the program that made it.</p>\n",
    );
    head(&mut html, about, query, selection, tables);
    streams(&mut html, about, selection);
    says(&mut html, query, selection);
    deviations(&mut html, query, selection, kept);
    gaps(&mut html, selection);
    files(&mut html, kept);
    html.push_str("</html>\n");
    html
}

fn head(html: &mut String, about: &About, query: &Query<'_>, selection: &Selection, tables: &Tables) {
    let mut rows = vec![];
    for control in &about.controls {
        let (framework, number) = control.split_once('/').unwrap_or(("", control));
        let info = query.catalogue.frameworks.iter().find(|(id, _)| id.as_str() == framework).map(|(_, info)| info);
        let title = info.and_then(|info| info.controls.iter().find(|known| known.id.as_str() == number));
        let title = title.map_or("", |known| known.title.as_str());
        rows.push(("control".to_owned(), format!("{} {}", escape(control), escape(title))));
    }
    let goes_on = if about.open_end { ", as far as there is something to show" } else { "" };
    rows.push(("period".to_owned(), format!("{} up to {}{goes_on}", about.from, about.to)));
    let dated: Vec<String> = about.dated_by.iter().map(|name| format!("anchors/{}.tsr", escape(name))).collect();
    rows.push((
        "outside time".to_owned(),
        match dated.is_empty() {
            true => "no authority outside has dated what is here yet; times are those of the machine that collected"
                .to_owned(),
            false => {
                format!("{} dates all of it: verify it with the certificates that you trust, --ca", dated.join(", "))
            }
        },
    ));
    let streams: Vec<String> = about.streams.iter().map(|stream| escape(stream.as_str())).collect();
    rows.push(("streams".to_owned(), streams.join(", ")));
    rows.push(("checks".to_owned(), escape(&about.checks.join(", "))));
    let count = |lines: &[String]| lines.len().saturating_sub(1);
    rows.push((
        "holds".to_owned(),
        format!(
            "{} entries; {} <a href=\"csv/rows.csv\">rows of observations</a>; {} <a href=\"csv/population.csv\">resources</a>; \
             <a href=\"csv/files.csv\">all files</a>",
            selection.entries.len(),
            count(&tables.rows),
            count(&tables.population)
        ),
    ));
    if !about.hidden.is_empty() {
        let what =
            format!("{}, and every answer and list of calls, which could hold them", escape(&about.hidden.join(", ")));
        rows.push(("hidden".to_owned(), what));
    }
    rows.push((
        "ledger".to_owned(),
        format!("{} entries at its last checkpoint here, recorded {}", about.entries, about.recorded),
    ));
    table(html, &[], rows.into_iter().map(|(name, what)| vec![name, what]));
    for (number, chosen) in &selection.entries {
        if let Fact::Finding(finding) = &chosen.entry.fact {
            let place = link(*number);
            let (value, reason) = (finding.value.as_str(), finding.reason.as_str());
            let of = escape(&format!("{}:{}", finding.framework, finding.control));
            html.push_str(&format!("<p>{}: finding on {of}: {value}; {reason} ({place}).</p>\n", chosen.entry.at));
        }
    }
}

fn streams(html: &mut String, about: &About, selection: &Selection) {
    html.push_str("<h2>Slots and their outcomes</h2>\n");
    let mut of: BTreeMap<&StreamId, Outcomes> = BTreeMap::new();
    for (number, chosen) in &selection.entries {
        match &chosen.entry.fact {
            Fact::Run(run) => {
                let at = run.trigger.slot().map_or(run.started, |slot| slot.0);
                if at < about.from || at >= about.to {
                    continue;
                }
                let outcomes = of.entry(&run.stream).or_default();
                let place = match run.outcome {
                    domain::Outcome::Collected => 0,
                    domain::Outcome::Partial => 1,
                    domain::Outcome::Failed => 2,
                };
                if let Some(count) = outcomes.counts.get_mut(place) {
                    *count += 1;
                }
                outcomes.last = Some((*number, run.ended));
            }
            Fact::Missed(missed) => {
                if let Some(count) = of.entry(&missed.stream).or_default().counts.get_mut(3) {
                    *count += missed.count;
                }
            }
            Fact::Schedule(schedule) => {
                let expression = schedule.expression.as_deref().unwrap_or("taken out of the settings");
                let zone = schedule.zone.as_deref().unwrap_or("UTC");
                let text = format!("{} ({}) {}", escape(expression), escape(zone), link(*number));
                of.entry(&schedule.stream).or_default().schedules.push(text);
            }
            _ => {}
        }
    }
    let rows = of.iter().map(|(stream, outcomes)| {
        let mut row = vec![escape(stream.as_str()), outcomes.schedules.join("<br>")];
        row.extend(outcomes.counts.map(|count| count.to_string()));
        row.push(outcomes.last.map_or_else(String::new, |(number, at)| format!("{at} {}", link(number))));
        row
    });
    table(html, &["stream", "schedule", "collected", "partial", "failed", "missed", "last run"], rows);
    let mut missed = Vec::new();
    for (number, chosen) in &selection.entries {
        if let Fact::Missed(fact) = &chosen.entry.fact {
            let range = format!("{} to {}", fact.first, fact.last);
            let why = fact.reason.as_str().to_owned();
            missed.push(vec![escape(fact.stream.as_str()), range, fact.count.to_string(), why, link(*number)]);
        }
    }
    list(html, "What nobody ran", &["stream", "slots", "count", "because", "entry"], missed);
}

fn says(html: &mut String, query: &Query<'_>, selection: &Selection) {
    let mut last: BTreeMap<&StreamId, (u64, u64)> = BTreeMap::new();
    for (number, chosen) in &selection.entries {
        if let Fact::Observation(said) = &chosen.entry.fact {
            last.insert(&said.stream, (*number, said.same_as.unwrap_or(*number)));
        }
    }
    let mut rows = Vec::new();
    for (stream, (said_in, rows_in)) in last {
        let Some(Fact::Observation(said)) = selection.entries.get(&rows_in).map(|chosen| &chosen.entry.fact) else {
            continue;
        };
        for line in said.checks.iter().filter(|line| selection.checks.contains(&line.check)) {
            let title = query.catalogue.checks.get(&line.check).map_or("", |info| info.title.as_str());
            let counts = &line.counts;
            let mut row =
                vec![escape(stream.as_str()), format!("{}<br>{}", escape(line.check.as_str()), escape(title))];
            row.extend(
                [counts.conforms, counts.deviates, counts.undetermined, counts.not_applicable].map(|n| n.to_string()),
            );
            row.push(if line.complete { "whole" } else { "not whole" }.to_owned());
            row.push(format!("{}, rows&nbsp;in&nbsp;{}", link(said_in), link(rows_in)));
            rows.push(row);
        }
    }
    let columns =
        ["stream", "check", "conforms", "deviates", "undetermined", "not applicable", "population", "said in"];
    list(html, "What the checks said last in the period", &columns, rows);
}

fn deviations(html: &mut String, query: &Query<'_>, selection: &Selection, kept: &Kept) {
    let mut rows = Vec::new();
    for (number, chosen) in &selection.entries {
        if let Fact::Deviation(deviation) = &chosen.entry.fact {
            let (name, detail) = told(query, kept, deviation);
            let check = escape(deviation.check.as_str());
            let what = format!("{check}<br>{name}");
            let (severity, step) = (deviation.severity.as_str().to_owned(), deviation.change.as_str());
            let step = format!("{step}{}", if deviation.baseline { ", baseline" } else { "" });
            rows.push(vec![chosen.entry.at.to_string(), step, severity, what, format!("{} {detail}", link(*number))]);
        }
    }
    list(html, "Deviations", &["recorded", "step", "severity", "what", "entry"], rows);
}

/// Whose deviation it is and where its details are, as far as they are shown.
fn told(query: &Query<'_>, kept: &Kept, deviation: &Deviation) -> (String, String) {
    let Some(file) = kept.files.get(&deviation.detail) else {
        return (escape(&deviation.resource.to_string()), String::new());
    };
    let detail = query.detail(&deviation.detail).ok().flatten();
    let name = detail.map_or_else(|| deviation.resource.to_string(), |detail| detail.name);
    (escape(&name), format!("<a href=\"{file}\">details</a>"))
}

fn gaps(html: &mut String, selection: &Selection) {
    let mut rows = Vec::new();
    for (number, chosen) in &selection.entries {
        if let Fact::Run(run) = &chosen.entry.fact {
            for gap in &run.gaps {
                let what = format!("{}: {}", gap.reason.as_str(), gap.detail);
                rows.push(vec![
                    run.ended.to_string(),
                    escape(run.stream.as_str()),
                    escape(&gap.call),
                    escape(&what),
                    link(*number),
                ]);
            }
        }
    }
    list(html, "What could not be read", &["when", "stream", "call", "why", "entry"], rows);
}

fn files(html: &mut String, kept: &Kept) {
    html.push_str("<h2>Left out</h2>\n");
    if kept.withheld.is_empty() {
        html.push_str("<p>Nothing that an entry here names.</p>\n");
    }
    for (reason, count) in &kept.withheld {
        html.push_str(&format!("<p>{count} bodies: {reason}. They are counted and committed to all the same.</p>\n"));
    }
}

/// A heading and a table below it, cut where it grows too long for a page; or a word that there is nothing.
fn list(html: &mut String, title: &str, columns: &[&str], rows: Vec<Vec<String>>) {
    html.push_str(&format!("<h2>{title}</h2>\n"));
    let more = rows.len().saturating_sub(LISTED);
    if rows.is_empty() {
        html.push_str("<p>Nothing in this period.</p>\n");
        return;
    }
    table(html, columns, rows.into_iter().take(LISTED));
    if more > 0 {
        html.push_str(&format!("<p>And {more} more, which stand in the entries.</p>\n"));
    }
}

/// Cells are HTML already.
fn table(html: &mut String, columns: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    html.push_str("<table>\n");
    if !columns.is_empty() {
        let cells: String = columns.iter().map(|column| format!("<th>{column}</th>")).collect();
        html.push_str(&format!("<tr>{cells}</tr>\n"));
    }
    for row in rows {
        let cells: String = row.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        html.push_str(&format!("<tr>{cells}</tr>\n"));
    }
    html.push_str("</table>\n");
}

fn link(number: u64) -> String {
    format!("<a href=\"{}.json\">#{number}</a>", entry_path(number))
}

/// Text that is nothing but text in HTML.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
