//! Outside time in packages: what both verifiers make of an authority's answer.

use std::path::Path;
use std::process::Command;

use anchor::testing::Authority;
use evidenced::package::Asked;

use super::recorded::{Ledger, slot, usual};
use super::{Chance, Changing, Given, Python, agreed, need_commands};

#[test]
fn what_an_authority_dated_is_in_the_package_and_counts_by_the_certificates_that_its_reader_trusts() {
    let ledger = Ledger::new();
    let (before, out) = (ledger.dir.path().join("before"), ledger.dir.path().join("package"));
    assert!(ledger.made(&before).dated_by.is_empty());
    let (one, two, stranger) = (Authority::new().unwrap(), Authority::new().unwrap(), Authority::new().unwrap());
    ledger.date("one", &one);
    assert_eq!(ledger.made(&out).dated_by, ["one"]);
    // What is dated later is not what this package rests on.
    ledger.date("two", &two);
    let again = ledger.dir.path().join("again");
    assert_eq!(ledger.made(&again).dated_by, ["one"]);
    assert_eq!(super::files(&again), super::files(&out));

    let mut python = Python::of(&out, ledger.dir.path());
    let trusting = |ca: &[&Authority]| Given {
        key: Some(ledger.key()),
        ca: ca.iter().map(|authority| authority.ca()).collect(),
        ..Given::default()
    };
    let mut verdict = |folder: &Path, ca: &[&Authority], what: &str| {
        let (code, level, problems) = agreed(&mut python, folder, &trusting(ca), what);
        assert_eq!(problems, [], "{what}");
        (code, level)
    };
    assert_eq!(verdict(&out, &[], "nobody is trusted, nothing required"), (0, "signed".into()));
    assert_eq!(verdict(&out, &[&one], "the authority is trusted"), (0, "signed+anchored".into()));
    assert_eq!(verdict(&out, &[&stranger, &one], "it and another are"), (0, "signed+anchored".into()));
    assert_eq!(verdict(&out, &[&stranger], "another is"), (20, "signed".into()));
    assert_eq!(verdict(&before, &[&one], "nobody dated it"), (20, "signed".into()));

    // An answer of a trusted authority about other bytes.
    let other = Ledger::new();
    other.go_on(10, 10, 0);
    other.date("one", &one);
    let elsewhere = other.dir.path().join("package");
    other.made(&elsewhere);
    let foreign = super::files(&elsewhere)["anchors/one.tsr"].clone();
    let package = Changing::new(&out);
    let found =
        package.with(&[("anchors/one.tsr", Some(foreign))], true, |folder| verdict(folder, &[&one], "other bytes"));
    assert_eq!(found, (20, "signed".into()));

    // A changed answer either proves nothing or says the same as before. Some bytes of it, such as letters of a name, nobody
    // signed: `openssl` and this program may take them differently, and neither reads another time out of them.
    let answer = &package.whole["anchors/one.tsr"];
    let mut chance = Chance(11);
    let time = |report: &super::Report| report.said.iter().find(|(name, _)| *name == "anchored").unwrap().1.clone();
    let before = time(&trusting(&[&one]).rust(&out));
    let mut refused = 0;
    for _ in 0..60 {
        let (at, bit) = (chance.below(answer.len()), chance.below(8));
        let mut changed = answer.clone();
        changed[at] ^= 1 << bit;
        let what = format!("bit {bit} of byte {at} of the answer");
        package.with(&[("anchors/one.tsr", Some(changed))], true, |folder| {
            let given = trusting(&[&one]);
            let report = given.rust(folder);
            let verdicts = [super::verdict(&report, &given), python.verdict(folder, &given)];
            for (code, level, problems) in verdicts {
                assert!([(0, "signed+anchored"), (20, "signed")].contains(&(code, level.as_str())), "{what}: {level}");
                assert_eq!(problems, [], "{what}");
                refused += u32::from(code == 20);
            }
            assert!(!report.anchored || time(&report) == before, "{what}");
        });
    }
    assert!(refused >= 100, "{refused} of 120");
}

#[test]
fn a_package_that_claims_to_be_younger_than_its_date_diverges() {
    let ledger = Ledger::new();
    // The machine's clock shows the year 2103.
    ledger.go_on_at(10, 70_000_000);
    let authority = Authority::new().unwrap();
    ledger.date("one", &authority);
    let out = ledger.dir.path().join("package");
    ledger.package(&out, &Asked { to: Some(slot(11).0), ..usual() }).unwrap();
    let mut python = Python::of(&out, ledger.dir.path());
    let given = Given { ca: vec![authority.ca()], ..Given::default() };
    let diverged = vec![("diverged".to_owned(), "anchors/one.tsr".to_owned())];
    let expected = (30, "signed+anchored".to_owned(), diverged);
    assert_eq!(agreed(&mut python, &out, &given, "entries of 2103"), expected);
}

#[test]
fn the_script_takes_an_answer_whose_certificate_has_expired_since() {
    need_commands();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let recorded = |name: &str| root.join("src/anchor/tests/recorded").join(name);
    let script = "import sys, verify; print(verify.dated(*sys.argv[1:]))";
    let ask = |data: &str| {
        let output = Command::new("python3")
            .args(["-B", "-c", script])
            .args([data, "expired_since.tsr", "expired_since.ca.pem"].map(recorded))
            .env("PYTHONPATH", root.join("src/verifier"))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<i64>().unwrap()
    };
    assert!(ask("expired_since.data") > 0);
    assert_eq!(ask("expired_since.ca.pem"), 0, "another file");
}

#[test]
fn of_a_period_that_goes_on_nothing_is_missing_that_is_still_to_come() {
    let ledger = Ledger::new();
    let out = ledger.dir.path().join("package");
    let later = ledger.package_at(&out, &Asked { to: Some(slot(40).0), ..usual() }, slot(10).0).unwrap();
    assert_eq!((later.to, later.lacking.as_slice()), (slot(10).0, &[][..]));
    // But what should have come by now is.
    let out = ledger.dir.path().join("late");
    let late = ledger.package_at(&out, &Asked { to: Some(slot(80).0), ..usual() }, slot(40).0).unwrap();
    assert_eq!((late.to, late.lacking.len()), (slot(40).0, 1), "{late:?}");
    let mut python = Python::of(&out, ledger.dir.path());
    assert_eq!(agreed(&mut python, &out, &Given::default(), "slots are missing").0, 50);
}
