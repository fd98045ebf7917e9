//! Evidence packages: what an auditor can prove of one with nothing of ours, and what no change of it can hide.

mod outside;
mod recorded;
mod replay;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anchor::Roots;
use domain::Timestamp;
use evidenced::package::Asked;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::Layout;
use verifier::{Kind, Level, Report, verify};

use recorded::{Ledger, files, slot, usual};

/// What one verifier says: exit code, level (with `+anchored` where outside time holds), and kind and place of every problem.
type Verdict = (u8, String, Vec<(String, String)>);

/// The verifier in Python, as it stands in a package, asked again and again in one process.
struct Python {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Reads questions, one JSON object a line, and answers likewise.
const ASKED_AGAIN: &str = r#"
import json, sys
import verify
for line in sys.stdin:
    asked = json.loads(line)
    pin = open(asked["pin"], "rb").read() if asked["pin"] else None
    keys = [verify.read_key(asked["key"])] if asked["key"] else None
    package = verify.Package(asked["folder"], keys, pin, asked["digest"], asked["ca"])
    level = package.level + ("+anchored" if package.anchored else "")
    problems = [[kind, place] for kind, place, _ in package.problems]
    print(json.dumps([package.code("anchored" if asked["ca"] else "signed"), level, problems]), flush=True)
"#;

impl Python {
    /// Takes the script out of a package.
    fn of(package: &Path, dir: &Path) -> Python {
        need_commands();
        fs::copy(package.join("verify.py"), dir.join("verify.py")).unwrap();
        let mut child = Command::new("python3")
            .args(["-B", "-c", ASKED_AGAIN])
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (asks, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Python { child, asks, answers }
    }

    fn verdict(&mut self, folder: &Path, asked: &Given) -> Verdict {
        let key = asked.key.as_ref().map(ToString::to_string);
        let question = json!({"folder": folder, "pin": asked.pin, "key": key, "digest": asked.digest, "ca": asked.ca});
        writeln!(self.asks, "{question}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("python did not answer: {line:?}"))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The two commands that the verifier in a package needs.
fn need_commands() {
    for command in ["python3", "openssl"] {
        let found = Command::new("sh").args(["-c", &format!("command -v {command}")]).output().unwrap();
        assert!(found.status.success(), "these tests need the command {command}: install it");
    }
    let zones =
        Command::new("python3").args(["-c", "import zoneinfo; zoneinfo.ZoneInfo('Europe/Berlin')"]).output().unwrap();
    assert!(zones.status.success(), "these tests need time zones that Python knows: install tzdata");
}

/// What a verifier is given beside the package.
#[derive(Default)]
struct Given {
    pin: Option<PathBuf>,
    key: Option<ledger::VerifierKey>,
    digest: Option<String>,
    /// Certificates that are trusted. Whoever gives some asks whether the package is anchored.
    ca: Vec<PathBuf>,
}

impl Given {
    fn rust(&self, folder: &Path) -> Report {
        let pin = self.pin.as_ref().map(|path| fs::read(path).unwrap());
        let roots = self.ca.iter().map(|path| Roots::from_pem(&fs::read(path).unwrap()).unwrap());
        let asked = verifier::Asked {
            keys: self.key.clone().map(|key| vec![key]),
            pin,
            digest: self.digest.clone(),
            roots: roots.fold(Roots::default(), Roots::and),
        };
        verify(folder, &asked)
    }
}

fn verdict(report: &Report, given: &Given) -> Verdict {
    let problems = report.problems.iter().map(|problem| (problem.kind.as_str().to_owned(), problem.place.clone()));
    let required = if given.ca.is_empty() { Level::Signed } else { Level::Anchored };
    let level = report.level.as_str().to_owned() + if report.anchored { "+anchored" } else { "" };
    (report.exit_code(required), level, problems.collect())
}

/// Asks both verifiers, who have to agree, and gives the verdict.
fn agreed(python: &mut Python, folder: &Path, given: &Given, what: &str) -> Verdict {
    let (mut rust, mut python) = (verdict(&given.rust(folder), given), python.verdict(folder, given));
    rust.2.sort();
    python.2.sort();
    assert_eq!(rust, python, "the verifiers disagree: {what}");
    rust
}

/// Numbers that are the same in every test.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % bound as u64) as usize
    }
}

/// What nobody signed: it follows from the rest, or is for people. A change of it shows in the digest.
fn is_for_people(name: &str) -> bool {
    ["index.html", "VERIFY.md", "verify.py", "package.json", "policy.txt", "csv/files.csv"].contains(&name)
}

/// A package that is changed file by file and made whole again.
struct Changing {
    folder: PathBuf,
    whole: BTreeMap<String, Vec<u8>>,
}

impl Changing {
    fn new(folder: &Path) -> Changing {
        Changing { folder: folder.to_owned(), whole: files(folder) }
    }

    /// Puts changed files into the folder (`None` removes one), and with `repaired` a list of files that fits them, as
    /// somebody would who wants to be believed; asks; and puts everything back.
    fn with<T>(&self, changed: &[(&str, Option<Vec<u8>>)], repaired: bool, ask: impl FnOnce(&Path) -> T) -> T {
        let mut list = self.whole.clone();
        for (name, bytes) in changed {
            match bytes {
                Some(bytes) => fs::write(self.folder.join(name), bytes).unwrap(),
                None => fs::remove_file(self.folder.join(name)).unwrap(),
            }
            list.remove(*name);
            list.extend(bytes.as_ref().map(|bytes| ((*name).to_owned(), bytes.clone())));
        }
        if repaired {
            let lines = list.iter().filter(|(name, _)| *name != "files.txt");
            let text: String =
                lines.map(|(name, bytes)| format!("{}  {name}\n", hex::encode(Sha256::digest(bytes)))).collect();
            fs::write(self.folder.join("files.txt"), text).unwrap();
        }
        let answer = ask(&self.folder);
        for (name, _) in changed.iter().map(|(name, _)| (*name, ())).chain([("files.txt", ())]) {
            let path = self.folder.join(name);
            match self.whole.get(name) {
                Some(bytes) => fs::write(path, bytes).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
        }
        answer
    }
}

#[test]
fn invariant_13_every_package_verifies_with_python_openssl_and_coreutils_alone() {
    let ledger = Ledger::new();
    let out = ledger.dir.path().join("package");
    let made = ledger.made(&out);
    assert_eq!((made.lacking.as_slice(), made.rows > 4, made.withheld > 0), (&[][..], true, true), "{made:?}");

    // Nothing else can be found, and nothing of the environment helps.
    need_commands();
    let commands = ledger.dir.path().join("commands");
    fs::create_dir(&commands).unwrap();
    // The interpreter itself: `python3` may be a script of a version manager, which calls other commands.
    for (command, where_) in
        [("python3", "python3 -c 'import sys; print(sys.executable)'"), ("openssl", "command -v openssl")]
    {
        let found = Command::new("sh").args(["-c", where_]).output().unwrap();
        let found = String::from_utf8(found.stdout).unwrap();
        std::os::unix::fs::symlink(found.trim(), commands.join(command)).unwrap();
    }
    let script = |more: &[&str]| {
        let mut command = Command::new(commands.join("python3"));
        command.args(["-I", "-B", "verify.py"]).args(more).current_dir(&out).env_clear().env("PATH", &commands);
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let key = ledger.key().to_string();
    let (code, said) = script(&["--key", &key, "--digest", &made.digest]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("6 collected, 0 partial, 0 failed, 3 missed"), "{said}");
    let asked = verifier::Asked {
        keys: Some(vec![ledger.key()]),
        digest: Some(made.digest.clone()),
        ..verifier::Asked::default()
    };
    assert_eq!(said, verify(&out, &asked).words(Level::Signed), "both say it in the same words");
    assert_eq!(script(&["--require", "anchored"]).0, 20);
    assert_eq!(script(&["--require", "pinned"]).0, 20);
    assert_eq!(script(&["--key", "nonsense"]).0, 2);
    assert_eq!(script(&["--digest", &"0".repeat(64)]).0, 30);
    let sums = Command::new("sha256sum").args(["--quiet", "--check", "files.txt"]).current_dir(&out).status().unwrap();
    assert!(sums.success());
}

#[test]
fn both_verifiers_say_the_same_of_every_changed_package() {
    let ledger = Ledger::new();
    let out = ledger.dir.path().join("package");
    ledger.made(&out);
    let mut python = Python::of(&out, ledger.dir.path());
    let given = Given { key: Some(ledger.key()), ..Given::default() };
    assert_eq!(agreed(&mut python, &out, &given, "the package as it was made"), (0, "signed".into(), vec![]));
    let package = Changing::new(&out);
    let names: Vec<&str> =
        package.whole.iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(name, _)| name.as_str()).collect();
    let evidence: Vec<&str> =
        names.iter().copied().filter(|name| !is_for_people(name) && *name != "files.txt").collect();
    let mut chance = Chance(5);

    // Every other change comes with a list of files that fits it.
    for n in 0..1000 {
        let repaired = n % 2 == 1;
        let name = if repaired { evidence[chance.below(evidence.len())] } else { names[chance.below(names.len())] };
        let mut bytes = package.whole[name].clone();
        let (at, bit) = (chance.below(bytes.len()), chance.below(8));
        bytes[at] ^= 1 << bit;
        let what = format!("bit {bit} of byte {at} of {name}, repaired: {repaired}");
        let (code, _, problems) =
            package.with(&[(name, Some(bytes))], repaired, |folder| agreed(&mut python, folder, &given, &what));
        assert_ne!(code, 0, "{what}");
        let named = problems.iter().any(|(_, place)| place.starts_with(name) || name == "files.txt");
        assert!(repaired || named, "{what}: {problems:?}");
    }
    for n in 0..100 {
        let repaired = n % 2 == 1;
        let name = if repaired { evidence[chance.below(evidence.len())] } else { names[chance.below(names.len())] };
        // A file, or a line of one.
        let lines: Vec<&[u8]> = package.whole[name].split_inclusive(|byte| *byte == b'\n').collect();
        let gone = chance.below(lines.len());
        let rest = lines.iter().enumerate().filter(|(at, _)| *at != gone).flat_map(|(_, line)| line.to_vec()).collect();
        let changed = if n % 3 == 0 || lines.len() < 2 { None } else { Some(rest) };
        let what = format!("{name} without line {gone}, or gone: {}, repaired: {repaired}", changed.is_none());
        let (code, ..) = package.with(&[(name, changed)], repaired && name != "files.txt", |folder| {
            agreed(&mut python, folder, &given, &what)
        });
        assert_ne!(code, 0, "{what}");
    }
    let with_lines: Vec<&str> = evidence
        .iter()
        .copied()
        .filter(|name| {
            package.whole[*name].split_inclusive(|byte| *byte == b'\n').collect::<std::collections::BTreeSet<_>>().len()
                > 1
        })
        .collect();
    for n in 0..100 {
        let name = with_lines[chance.below(with_lines.len())];
        let mut lines: Vec<&[u8]> = package.whole[name].split_inclusive(|byte| *byte == b'\n').collect();
        let (one, other) = loop {
            let (one, other) = (chance.below(lines.len()), chance.below(lines.len()));
            if lines[one] != lines[other] {
                break (one, other);
            }
        };
        lines.swap(one, other);
        let what = format!("lines {one} and {other} of {name} in each other's place");
        let (code, ..) = package
            .with(&[(name, Some(lines.concat()))], n % 2 == 1, |folder| agreed(&mut python, folder, &given, &what));
        assert_ne!(code, 0, "{what}");
    }
    assert_eq!(files(&out), package.whole, "everything was put back");
}

#[test]
fn a_package_of_an_older_copy_that_went_on_otherwise_never_continues_a_kept_checkpoint() {
    let ledger = Ledger::new();
    let older = ledger.copy();
    let dir = tempfile::tempdir().unwrap();
    let mut pins = Vec::new();
    for n in 0..10 {
        let first = 10 + n;
        ledger.go_on(first, first, 0);
        let path = dir.path().join(format!("kept-{n}"));
        fs::write(&path, ledger.checkpoint()).unwrap();
        pins.push(path);
    }
    let asked = |to: i64, pins: Vec<Vec<u8>>| Asked { to: Some(slot(to).0), pins, ..usual() };
    // The true ledger continues all of them, whichever is the longer.
    let all: Vec<Vec<u8>> = pins.iter().map(|path| fs::read(path).unwrap()).collect();
    let out = dir.path().join("true");
    ledger.package(&out, &asked(15, all.clone())).unwrap();
    let mut python = Python::of(&out, dir.path());
    for pin in &pins {
        let given = Given { pin: Some(pin.clone()), key: Some(ledger.key()), ..Given::default() };
        assert_eq!(agreed(&mut python, &out, &given, "the true ledger"), (0, "pinned".into(), vec![]));
    }
    let mut told = BTreeMap::<u8, u32>::new();
    for fork in 0..10 {
        let other = older.copy();
        other.go_on(10, 10 + fork, 1 + fork);
        // The program itself does not prove what is not so.
        assert!(other.package(&dir.path().join("none"), &asked(9, all.clone())).is_err());
        let out = dir.path().join(format!("fork-{fork}"));
        other.package(&out, &asked(11 + fork, vec![])).unwrap();
        let package = Changing::new(&out);
        let reader = ledger::Reader::open(&Layout::new(&other.data()).ledger());
        let last =
            ledger::SignedCheckpoint::parse_unverified(&package.whole["checkpoints/last.txt"]).unwrap().checkpoint.size;
        for (n, pin) in pins.iter().enumerate() {
            let given = Given { pin: Some(pin.clone()), key: Some(ledger.key()), ..Given::default() };
            let size = ledger::SignedCheckpoint::parse_unverified(&all[n]).unwrap().checkpoint.size;
            // Every other one brings a proof of its own history.
            let proof: String = match n % 2 == 1 && size < last {
                true => reader.consistency(size, last).unwrap().iter().map(|hash| hash.to_base64() + "\n").collect(),
                false => String::new(),
            };
            let name = format!("checkpoints/pin-{size}.txt");
            let changed = [(name.as_str(), Some(proof.into_bytes()))];
            let changed = if n % 2 == 1 { &changed[..] } else { &[] };
            let what = format!("fork {fork} against checkpoint {n}");
            let (code, level, _) = package.with(changed, true, |folder| agreed(&mut python, folder, &given, &what));
            assert!([20, 30].contains(&code), "{what}: {code}");
            assert_ne!(level, "pinned", "{what}");
            *told.entry(code).or_default() += 1;
        }
    }
    assert_eq!(told.values().sum::<u32>(), 100);
    assert!(told[&30] >= 50, "{told:?}");
}

#[test]
fn invariant_14_every_changed_byte_of_a_package_changes_the_verdict() {
    let ledger = Ledger::new();
    let out = ledger.dir.path().join("package");
    let digest = ledger.made(&out).digest;
    let mut python = Python::of(&out, ledger.dir.path());
    let given = Given { key: Some(ledger.key()), ..Given::default() };
    let with_digest = Given { key: Some(ledger.key()), digest: Some(digest), ..Given::default() };
    assert_eq!(agreed(&mut python, &out, &with_digest, "as it was made").0, 0);
    let package = Changing::new(&out);
    for (name, bytes) in package.whole.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let changed = [(name.as_str(), Some(changed))];
            let what = format!("byte {at} of {name}");
            let alone = package.with(&changed, false, |folder| agreed(&mut python, folder, &given, &what));
            assert_eq!(alone.0, 40, "{what}");
            // Also when the list of files fits: then the digest does not.
            if name != "files.txt" {
                let fits = package.with(&changed, true, |folder| agreed(&mut python, folder, &with_digest, &what));
                assert_ne!(fits.0, 0, "{what}");
            }
        }
    }
    let more = [("more.txt", Some(b"more".to_vec()))];
    assert_eq!(package.with(&more, false, |folder| agreed(&mut python, folder, &given, "a file more")).0, 40);
}

#[test]
fn the_same_ledger_and_the_same_question_give_the_same_bytes() {
    let ledger = Ledger::new();
    let (one, other) = (ledger.dir.path().join("one"), ledger.dir.path().join("other"));
    let first = ledger.made(&one);
    // What comes after the period, such as the word that a package was made, is no part of it.
    ledger.go_on(12, 14, 0);
    let second = ledger.made(&other);
    assert_eq!((files(&one), first.digest), (files(&other), second.digest));
    let refused = ledger.package(&one, &usual()).unwrap_err();
    assert!(refused.to_string().contains("is there already"), "{refused}");
    assert_eq!(files(&one), files(&other), "what is there is left alone");
    for name in files(&one).keys() {
        let last = name.rsplit('/').next().unwrap();
        assert!(last.len() <= 60 && name.len() <= 120 && name.is_ascii(), "{name}");
    }
}

#[test]
fn a_slot_without_an_outcome_is_found_in_the_package() {
    let ledger = Ledger::new();
    ledger.go_on(11, 12, 0);
    let out = ledger.dir.path().join("package");
    let made = ledger.package(&out, &Asked { to: Some(slot(13).0), ..usual() }).unwrap();
    assert_eq!(made.lacking.len(), 1, "{made:?}");
    let mut python = Python::of(&out, ledger.dir.path());
    let (code, _, problems) = agreed(&mut python, &out, &Given::default(), "a slot is lacking");
    assert_eq!((code, problems.len()), (50, 1), "{problems:?}");
    let report = verify(&out, &verifier::Asked::default());
    assert_eq!(report.problems[0].kind, Kind::Incomplete);
    assert!(report.problems[0].what.contains("1 slots of keycloak:acme/realm"), "{:?}", report.problems);
}

#[test]
fn what_is_hidden_stays_counted_and_verifiable_and_is_nowhere_in_the_package() {
    let ledger = Ledger::new();
    let (plain, hidden) = (ledger.dir.path().join("plain"), ledger.dir.path().join("hidden"));
    let whole = ledger.made(&plain);
    let hide = ["keycloak.realm.secret_field", "keycloak.realm.name", "keycloak.realm.id"].map(str::to_owned).to_vec();
    let made = ledger.package(&hidden, &Asked { hide, ..usual() }).unwrap();
    assert_eq!((made.rows, made.entries), (whole.rows, whole.entries));
    assert!(made.withheld > whole.withheld);
    let mut python = Python::of(&hidden, ledger.dir.path());
    let given = Given { key: Some(ledger.key()), ..Given::default() };
    assert_eq!(agreed(&mut python, &hidden, &given, "with hidden fields"), (0, "signed".into(), vec![]));
    let holds =
        |folder: &Path, word: &str| files(folder).values().any(|bytes| String::from_utf8_lossy(bytes).contains(word));
    for word in ["hush", "dora@example.org", "alert(1)", "quoted"] {
        assert!(holds(&plain, word), "{word} is in the package that shows it");
        assert!(!holds(&hidden, word), "{word} is in the package that hides it");
    }
    assert!(holds(&hidden, "\"failure_factor\":5"), "what is not hidden is shown");
    // A hidden line that is changed, or shown otherwise, is found.
    let package = Changing::new(&hidden);
    let (name, rows) = package.whole.iter().find(|(name, _)| name.starts_with("rows/")).unwrap();
    let text = String::from_utf8(rows.clone()).unwrap();
    for (from, to) in [("#", "#0"), ("brute_force\":true", "brute_force\":null"), ("+", "#")] {
        let changed = [(name.as_str(), Some(text.replacen(from, to, 1).into_bytes()))];
        let code = package.with(&changed, true, |folder| agreed(&mut python, folder, &given, from)).0;
        assert_eq!(code, 40, "{from}");
    }
    let unknown = Asked { hide: vec!["keycloak.user.email".into()], ..usual() };
    let refused = ledger.package(&ledger.dir.path().join("none"), &unknown).unwrap_err();
    assert!(refused.to_string().contains("there is keycloak.realm"), "{refused}");
    let misspelt = Asked { hide: vec!["keycloak.realm.brute_farce".into()], ..usual() };
    let refused = ledger.package(&ledger.dir.path().join("none"), &misspelt).unwrap_err().to_string();
    assert!(
        refused.contains("no keycloak.realm here has \"brute_farce\"") && refused.contains("brute_force"),
        "{refused}"
    );
    assert!(!ledger.dir.path().join("none").exists() && !ledger.dir.path().join("none.unfinished").exists());
}

#[test]
fn after_a_change_of_key_a_package_verifies_by_each_key_in_force() {
    let ledger = Ledger::new();
    let earlier = ledger.key();
    let output = Command::new(env!("CARGO_BIN_EXE_evidenced"))
        .args(["ledger", "rotate-key", "--data"])
        .arg(ledger.data())
        .current_dir(ledger.dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    ledger.go_on(10, 12, 0);
    let out = ledger.dir.path().join("package");
    let made = ledger.package(&out, &Asked { to: Some(slot(13).0), ..usual() }).unwrap();
    assert!(made.lacking.is_empty(), "{made:?}");
    let policy = fs::read_to_string(out.join("policy.txt")).unwrap();
    let keys: Vec<ledger::VerifierKey> =
        policy.lines().filter_map(|line| line.strip_prefix("log ")).map(|key| key.parse().unwrap()).collect();
    assert_eq!((keys.len(), keys.contains(&earlier)), (2, true), "{policy}");
    let mut python = Python::of(&out, ledger.dir.path());
    for key in keys.into_iter().map(Some).chain([None]) {
        let given = Given { key, ..Given::default() };
        assert_eq!(agreed(&mut python, &out, &given, "both keys sign"), (0, "signed".into(), vec![]));
    }
    let (first, last) = (slot(1).0, slot(10).0);
    let before = ledger.dir.path().join("before");
    ledger.package(&before, &Asked { from: first, to: Some(last), ..usual() }).unwrap();
    let stranger = ledger::SigningKey::from_seed(earlier.name(), &[7; 32]).unwrap().verifier();
    let given = Given { key: Some(stranger), ..Given::default() };
    assert_eq!(agreed(&mut python, &before, &given, "a key of somebody else"), (20, "unsigned".into(), vec![]));
}

#[test]
fn names_that_look_like_markup_or_formulas_are_harmless() {
    let ledger = Ledger::new();
    let out = ledger.dir.path().join("package");
    ledger.made(&out);
    let page = fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("&lt;script&gt;alert(1)"), "the deviation names it");
    for word in ["<script", "javascript:", "src=", "http-equiv=\"refresh", "@import", "url("] {
        assert!(!page.contains(word), "{word}");
    }
    for target in page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(out.join(target).is_file(), "{target} is linked and not there");
    }
    for table in ["csv/rows.csv", "csv/population.csv", "csv/files.csv"] {
        let text = fs::read_to_string(out.join(table)).unwrap();
        for line in text.lines() {
            let cells: Vec<&str> = line.strip_prefix('"').unwrap().strip_suffix('"').unwrap().split("\",\"").collect();
            assert!(cells.len() >= 3, "{line}");
            assert!(cells.iter().all(|cell| !cell.starts_with(['=', '+', '-', '@'])), "{line}");
            assert!(!line.chars().any(char::is_control), "{line}");
        }
        assert!(table == "csv/files.csv" || text.contains("\"'=cmd()|' /C calc'!A0\""), "{table}: {text}");
    }
    let said: Value = serde_json::from_slice(&fs::read(out.join("package.json")).unwrap()).unwrap();
    assert_eq!(said["open_end"], false);
}

/// The first slot that stands in one list only.
fn differing(one: &[i64], other: &[i64]) -> Option<Timestamp> {
    let of = |slots: &[i64]| slots.iter().copied().collect::<std::collections::BTreeSet<i64>>();
    of(one).symmetric_difference(&of(other)).next().map(|at| Timestamp::from_millis(*at))
}

#[test]
fn both_verifiers_derive_the_slots_that_the_daemon_keeps() {
    need_commands();
    let ledger = Ledger::new();
    let out = ledger.dir.path().join("package");
    ledger.made(&out);
    let [after, through] =
        ["2026-01-30T22:07:00Z", "2028-03-02T10:00:00Z"].map(|text| text.parse::<Timestamp>().unwrap().millis());
    // Clocks that change in spring and autumn, north and south, west and east, one by half an hour; and one that never does.
    let zones = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"];
    let expressions = [
        "every: 7h",
        "every: 90s",
        "every: 1d",
        "17 */6 * * *",
        "3,18,33,48 * * * *",
        "0 5 1-7 * MON",
        "30 4 29 2 *",
        "0 0 * JAN-MAR,dec *",
        "15 2-23/7 * * 5-7",
        "0 12 */10 * *",
        "0 9 * * sat-sun",
        "5 5 31 * 0,3",
        "59 23 1,15 * *",
        "0 0 * * 7",
        "0 0 13 * fri",
        "30 2 * * *",
        "*/20 1-3 * * *",
        "15 */2 * * sun",
    ];
    let asked: Vec<(&str, &str)> =
        expressions.iter().flat_map(|expression| zones.iter().map(|zone| (*expression, *zone))).collect();
    let script = "import json, sys, verify\nasked = json.load(sys.stdin)\n\
        print(json.dumps([verify.due_slots(e, verify.place_of(z), asked[1], asked[2]) for e, z in asked[0]]))";
    let mut child = Command::new("python3")
        .args(["-B", "-c", script])
        .current_dir(&out)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(json!([asked, after, through]).to_string().as_bytes()).unwrap();
    let answer = child.wait_with_output().unwrap();
    let python: Vec<Vec<i64>> = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(python.len(), asked.len());
    for ((expression, zone), python) in asked.into_iter().zip(python) {
        let schedule = evidenced::schedule::Schedule::parse(expression, Some(zone)).unwrap();
        let (from, to) = (Timestamp::from_millis(after), Timestamp::from_millis(through));
        let daemon: Vec<i64> =
            schedule.slots_after(from).map(|slot| slot.0.millis()).take_while(|at| *at <= to.millis()).collect();
        assert!(!daemon.is_empty(), "{expression} in {zone}");
        let clock = verifier::zone(zone).unwrap();
        let rust = verifier::due_slots(schedule.expression(), clock, after, through).unwrap();
        assert!(rust == daemon, "{expression} in {zone}: {:?}", differing(&rust, &daemon));
        assert!(python == daemon, "{expression} in {zone}, in Python: {:?}", differing(&python, &daemon));
    }
}
