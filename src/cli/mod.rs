//! Arguments in, exit code out.

mod args;
mod backup;
mod check;
mod doctor;
mod erase;
mod explain;
mod hold;
mod ledger;
mod output;
mod package;
mod plan;
mod read;
mod replay;
mod retention;
mod run;
mod scan;
mod show;
mod verify;

#[cfg(feature = "demo")]
mod demo;

pub use args::{Cli, Command};

use std::process::ExitCode;

use args::Shell;
use clap::CommandFactory;
use output::Output;

/// What a command comes to.
///
/// `verify` has codes of its own (see `evidenced verify --help`); every other command uses these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// It did what it was asked.
    Ok,
    /// It found deviations, and was asked to say so by its exit code.
    Deviations,
    /// It could not do what it was asked.
    Error,
    /// Evidence is incomplete. Outranks deviations.
    Incomplete,
    /// Somebody ended it before it was done. What a shell gives a command that Ctrl-C ended, 128 and the signal's
    /// number, so that a script does not go on as if all of it had happened.
    Interrupted,
    /// A code of `verify`.
    Verify(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Ok => 0,
            Exit::Deviations => 1,
            Exit::Error => 2,
            Exit::Incomplete => 3,
            Exit::Interrupted => 130,
            Exit::Verify(code) => code,
        })
    }
}

/// `evidenced completions SHELL`
fn completions(shell: Shell, out: &Output) -> anyhow::Result<Exit> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "evidenced", &mut text);
    out.write(String::from_utf8_lossy(&text).trim_end());
    Ok(Exit::Ok)
}

/// Runs one command. Errors are printed here, with everything that caused them; nothing else exits the process.
pub fn main(cli: Cli) -> ExitCode {
    let out = Output::new(cli.json);
    let done = match &cli.command {
        Command::Init(args) => run::init(&cli, args, &out),
        Command::Run(args) => run::run(&cli, args, &out),
        Command::Package(args) => package::package(&cli, args, &out),
        Command::Erase(args) => erase::erase(&cli, args, &out),
        Command::Hold(args) => hold::hold(&cli, args, &out),
        Command::Release(args) => hold::release(&cli, args, &out),
        Command::Retention => retention::retention(&cli, &out),
        Command::Replay(args) => replay::replay(&cli, args, &out),
        Command::RunNow(args) => run::run_now(&cli, args, &out),
        Command::Scan(args) => scan::scan(&cli, args, &out),
        Command::Plan => plan::plan(&cli, &out),
        Command::Permissions(args) => plan::permissions(&cli, args, &out),
        Command::Explain(args) => explain::explain(&cli, args, &out),
        Command::Show(args) => show::show(&cli, args, &out),
        Command::List(args) => show::list(&cli, args, &out),
        Command::Verify(args) => verify::verify(&cli, args, &out),
        Command::Doctor => doctor::doctor(&cli, &out),
        Command::Ledger(args) => ledger::ledger(&cli, args, &out),
        Command::Backup(args) => backup::backup(&cli, args, &out),
        Command::Restore(args) => backup::restore(&cli, args, &out),
        Command::Checks(args) => check::checks(&cli, args, &out),
        Command::Config(args) => check::config(&cli, args, &out),
        Command::Completions(args) => completions(args.shell, &out),
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::demo(&cli, args, &out),
    };
    let exit = match done {
        Ok(exit) => exit,
        Err(error) => {
            out.error(&error);
            Exit::Error
        }
    };
    if let Some(error) = out.unwritten() {
        out.note(format!("error: what was to be printed could not be written: {error}"));
        return Exit::Error.into();
    }
    exit.into()
}
