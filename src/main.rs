//! `evidenced`: a continuous evidence daemon. See `README.md`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    evidenced::cli::main(evidenced::cli::Cli::parse())
}
