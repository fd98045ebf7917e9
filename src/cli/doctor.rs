//! `doctor`: one look at everything that whoever runs the daemon has to look after.

use super::Exit;
use super::args::Cli;
use super::output::{Output, Tone};
use super::read::settings_path;
use crate::clock::SystemClock;
use crate::doctor::{State, examine};

/// `evidenced doctor`
pub(super) fn doctor(cli: &Cli, out: &Output) -> anyhow::Result<Exit> {
    let lines = examine(&settings_path(cli), cli.data.as_deref(), &SystemClock);
    for line in &lines {
        let (word, tone) = match line.state {
            State::Ok => ("ok  ", Tone::Good),
            State::Warn => ("warn", Tone::Unseen),
            State::Bad => ("bad ", Tone::Bad),
        };
        out.line(format!("{}  {:<16}{}", out.toned(tone, word), line.about, line.said));
        if let Some(remedy) = &line.remedy {
            out.line(format!("      {:<16}{}", "", out.toned(Tone::Faint, remedy)));
        }
        out.fact(line);
    }
    let count = |state| lines.iter().filter(|line| line.state == state).count();
    let (warn, bad) = (count(State::Warn), count(State::Bad));
    out.line(format!("{} looked at, {warn} to look after, {bad} bad", lines.len()));
    Ok(if bad > 0 { Exit::Error } else { Exit::Ok })
}
