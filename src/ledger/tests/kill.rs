//! The real process on the real disk, ended without warning at every step of an append.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use ledger::disk::Step;
use ledger::testing::{BadDisk, CrashPoint, Ill};
use ledger::{Level, Log, OpenError, Reader, RealDisk, VerifyOptions};

use crate::support::{entries, entry, genesis, key};

const HOME: &str = "LEDGER_TEST_HOME";
const POINT: &str = "LEDGER_TEST_CRASH_AT";

fn open_or_create(home: &Path, disk: ledger::SharedDisk) -> Log {
    let (dir, guard) = (home.join("ledger"), home.join("guard"));
    match Log::open(disk.clone(), &dir, &guard, key()) {
        Err(OpenError::NotCreated(_)) => Log::create(disk, &dir, &guard, key(), &genesis()).unwrap(),
        opened => opened.unwrap().0,
    }
}

#[test]
#[ignore = "the process that the next test starts and that ends itself"]
fn a_process_that_appends_until_it_is_ended() {
    let (Some(home), Ok(point)) = (std::env::var_os(HOME), std::env::var(POINT)) else { return };
    let point: CrashPoint = point.parse().unwrap();
    let mut log = open_or_create(Path::new(&home), BadDisk::shared(Ill { crash: Some(point), ..Ill::default() }));
    let mut out = std::io::stdout();
    for _ in 0..10 {
        let next = log.size();
        log.append(&entries(next..next + 3)).unwrap();
        writeln!(out, "acknowledged {}", log.size()).unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn invariant_01_a_process_ended_at_any_step_loses_nothing_that_it_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for nth in 1..=4 {
        for step in Step::ALL {
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--ignored", "--exact", "--nocapture", "kill::a_process_that_appends_until_it_is_ended"])
                .env(HOME, home.path())
                .env(POINT, format!("{}:{nth}", step.as_str()))
                .stderr(Stdio::null())
                .output()
                .unwrap();
            assert!(!child.status.success(), "the process was to end at {}:{nth}", step.as_str());
            let said = String::from_utf8(child.stdout).unwrap();
            let last = said.lines().filter_map(|line| line.strip_prefix("acknowledged ")).next_back();
            acknowledged = last.map_or(acknowledged, |size| size.parse().unwrap());
            let reader = Reader::open(&home.path().join("ledger"));
            let size = reader.size().unwrap();
            assert!(size >= acknowledged, "{}:{nth}: {size} of {acknowledged}", step.as_str());
        }
    }
    let log = open_or_create(home.path(), RealDisk::shared());
    assert!(log.size() > 100, "{}", log.size());
    let reader = Reader::open(&home.path().join("ledger"));
    for (index, found) in reader.entries(1, log.size()).unwrap().enumerate() {
        assert_eq!(found.unwrap(), entry(index as u64 + 1));
    }
    let options = VerifyOptions {
        key: Some(key().verifier()),
        guard: Some(home.path().join("guard")),
        ..VerifyOptions::default()
    };
    let report = ledger::verify(&home.path().join("ledger"), &options, &mut |_| {});
    assert_eq!((report.entries, report.exit_code(Level::Signed)), (log.size(), 0), "{report:#?}");
}

#[test]
fn a_crash_point_is_a_step_and_a_number() {
    assert_eq!("guard:3".parse(), Ok(CrashPoint { step: Step::Guard, nth: 3 }));
    assert_eq!("read_back".parse(), Ok(CrashPoint { step: Step::ReadBack, nth: 1 }));
    for bad in ["", "lunch", "guard:0", "guard:x"] {
        assert!(bad.parse::<CrashPoint>().is_err(), "{bad}");
    }
}
