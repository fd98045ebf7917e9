//! Source text: how a file begins, how long it may be, and who may touch the clock, the disk and the network.

use super::repository::{File, file, files, rust};
use super::{Except, Faults};

const HERE: &str = "tests/tidy/code.rs";

#[test]
fn every_file_says_first_what_it_is() {
    let mut faults = Faults::default();
    for file in rust().filter(|file| !file.text.starts_with("//! ")) {
        faults.of(&file.path, "it does not begin with `//! `", "say in one sentence what the file holds");
    }
    faults.end();
}

/// Lines a file may have.
const LINES: usize = 700;

const LONG_FILES: &[(&str, &str)] = &[];

#[test]
fn no_file_is_too_long_to_be_read_in_one_sitting() {
    let (mut faults, mut except) = (Faults::default(), Except::new(HERE, LONG_FILES));
    for file in rust().filter(|file| file.text.lines().count() > LINES) {
        if !except.covers(&file.path) {
            let count = file.text.lines().count();
            faults.at(
                &file.path,
                LINES,
                format!("{count} lines, and {LINES} are enough"),
                "split it where the story has a seam",
            );
        }
    }
    except.unused(&mut faults);
    faults.end();
}

const CLOCK: &[(&str, &str)] = &[("src/clock.rs", "the clock itself")];

const STOPWATCH: &[(&str, &str)] = &[
    ("connectors/kit/recorder.rs", "limits on waits hold whatever the clock does"),
    ("connectors/kit/connector.rs", "the limit on the whole run"),
    ("connectors/kit/budget.rs", "the space between requests"),
    ("src/daemon.rs", "elapsed time tells that the clock was stepped"),
    ("src/store/pace.rs", "a clock that is stepped is no slow disk"),
    ("src/cli/demo.rs", "how long the story has been told"),
];

#[test]
fn the_clock_is_read_in_one_place() {
    let remedy = "take a &dyn domain::Clock, or a Timestamp, as an argument";
    holds_nowhere(rust(), &["SystemTime::now", "Utc::now", "Local::now"], remedy, CLOCK);
}

#[test]
fn elapsed_time_is_measured_where_it_is_said_why() {
    let remedy = "measure in the test, or name the file in STOPWATCH with the reason";
    holds_nowhere(rust().filter(|file| !file.is_test()), &["Instant::now"], remedy, STOPWATCH);
}

const SOCKETS: &[(&str, &str)] = &[("tests/world/wire.rs", "its own tests ask it as a stranger would")];

#[test]
fn connections_are_opened_by_kit_only() {
    let outside = rust().filter(|file| !file.is_test() && !file.path.starts_with("connectors/kit/"));
    let remedy = "go through kit: kit::Recorder for sources, kit::outbound for the rest";
    holds_nowhere(outside, &["reqwest::", "TcpStream::connect", "UnixStream::connect", "TcpSocket::"], remedy, SOCKETS);
}

const WRITERS: &[(&str, &str)] = &[
    ("src/ledger/", "segments, checkpoints and bodies"),
    ("src/store/", "the data directory"),
    ("src/checks/build.rs", "runs when the crate is built, and lists the files of config/"),
    ("src/package/folder.rs", "evidence to take away, in a folder of its own"),
    ("src/serve.rs", "the control socket, readable by its owner only"),
    ("src/cli/demo.rs", "the settings and secrets of the demo's own folder"),
];

#[test]
fn files_are_written_by_ledger_and_store_and_where_it_is_said_why() {
    let writes = [
        "fs::write",
        "fs::create_dir",
        "fs::remove",
        "fs::rename",
        "fs::copy",
        "fs::hard_link",
        "fs::set_permissions",
        "fs::symlink",
        "File::create",
        "File::options",
        "OpenOptions",
        "DirBuilder",
    ];
    let remedy = "hand it to store, which makes it durable and evident; or name the file in WRITERS with the reason";
    holds_nowhere(rust().filter(|file| !file.is_test()), &writes, remedy, WRITERS);
}

const UNORDERED: &[(&str, &str)] = &[
    ("src/ledger/key_store.rs", "looked up by name, never walked; the file has the order of the lines"),
    ("src/store/bodies.rs", "looked up by digest, never walked"),
    ("src/store/subjects.rs", "looked up by key, never walked"),
    ("src/store/plan.rs", "looked up by idempotency key, never walked"),
];

#[test]
fn nothing_that_reaches_the_ledger_is_in_a_map_without_order() {
    let walls = ["src/domain/", "src/ledger/", "src/checks/", "src/store/", "src/query/"];
    let reaches = |file: &&File| {
        let wiring = file.path.starts_with("src/") && file.path.matches('/').count() == 1;
        !file.is_test() && (wiring || walls.iter().any(|wall| file.path.starts_with(wall)))
    };
    let remedy = "use BTreeMap or BTreeSet: equal facts must give equal bytes";
    holds_nowhere(rust().filter(reaches), &["HashMap", "HashSet"], remedy, UNORDERED);
}

#[test]
fn every_test_file_is_part_of_the_one_test_binary() {
    let mut faults = Faults::default();
    let main = file("tests/main.rs");
    let top = files().iter().filter_map(|file| file.path.strip_prefix("tests/")?.strip_suffix(".rs"));
    for name in top.filter(|name| !name.contains('/') && *name != "main") {
        if !main.lines().any(|(_, line)| line == format!("mod {name};")) {
            let what = format!("tests/{name}.rs is not listed");
            faults.of("tests/main.rs", what, format!("add the line `mod {name};`"));
        }
    }
    faults.end();
}

#[test]
fn a_test_that_is_left_out_says_who_runs_it() {
    let mut faults = Faults::default();
    for file in rust().filter(|file| !file.path.starts_with("tests/tidy")) {
        let mut party = false;
        for (number, line) in file.lines() {
            let line = line.trim();
            if line.starts_with("#[ignore") {
                party = line.contains("needs ");
                // Some tests start their own binary again, as a process that is to be ended.
                let by_another = line.contains("the process that the next test starts");
                let by_all = line.contains("run by tests/all") && file.path.starts_with("tests/");
                // An invariant whose part is not there fails until somebody builds it, so nobody runs it.
                let by_nobody = line.contains("not built yet: ") && file.path == "tests/invariants.rs";
                if !by_another && !by_all && !by_nobody {
                    let remedy = "in tests/, write #[ignore = \"needs …: run by tests/all\"], and see that it is";
                    faults.at(&file.path, number, "ignored by everybody", remedy);
                }
            } else if let Some((_, name)) = line.split_once("fn ").filter(|_| party) {
                party = false;
                if !name.starts_with("party_") {
                    let what = "needs a counterpart, but is not named after it";
                    faults.at(&file.path, number, what, "begin the name with party_<counterpart>_");
                }
            }
        }
    }
    faults.end();
}

/// How many invariants the ledger has.
const INVARIANTS: usize = 30;

#[test]
fn every_invariant_of_the_ledger_has_a_test_of_its_number() {
    let mut faults = Faults::default();
    let tests: Vec<&str> = rust().filter(|file| file.is_test()).map(|file| file.text.as_str()).collect();
    for number in 1..=INVARIANTS {
        let name = format!("#[test]\nfn invariant_{number:02}_");
        let ignored = format!("\"]\nfn invariant_{number:02}_");
        if !tests.iter().any(|text| text.contains(&name) || text.contains(&ignored)) {
            let what = format!("no test is named invariant_{number:02}_…");
            faults.of(
                "tests/invariants.rs",
                what,
                "give the test that promises it that name; or say what is not built",
            );
        }
    }
    faults.end();
}

/// None of the words stands in the code of the files, but where it is excepted.
fn holds_nowhere<'a>(
    files: impl Iterator<Item = &'a File>,
    words: &[&str],
    remedy: &str,
    excepted: &'static [(&'static str, &'static str)],
) {
    let (mut faults, mut except) = (Faults::default(), Except::new(HERE, excepted));
    let mut looked = 0;
    for file in files.filter(|file| !file.path.starts_with("tests/tidy")) {
        looked += 1;
        for (number, line) in file.code() {
            let Some(word) = words.iter().find(|word| line.contains(**word)) else { continue };
            if !except.covers(&file.path) {
                faults.at(&file.path, number, format!("{word} has no place here"), remedy);
            }
        }
    }
    assert!(looked > 20, "no files were looked at");
    except.unused(&mut faults);
    faults.end();
}
