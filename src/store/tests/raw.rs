//! The readers of manifests over bytes that nobody meant: random ones, and true ones that were cut, changed and joined. What
//! must hold stands in `store::testing`.

use ledger::testing::Rng;
use proptest::collection::vec;
use proptest::prelude::*;
use store::testing::manifest;

/// A true manifest of each kind.
fn whole() -> [Vec<u8>; 2] {
    let row = |n: u8| (format!("{:032x}", n), format!("{:064x}", u128::from(n) << 77));
    let rows: Vec<_> = (1..9).map(row).collect();
    let population: String = rows.iter().map(|(who, body)| format!("{who} {body}\n")).collect();
    let value = ["conforms", "deviates", "undetermined", "not_applicable"];
    let observed = rows.iter().zip(value.iter().cycle());
    let observed: String =
        observed.map(|((who, body), value)| format!("keycloak.user.mfa {who} {value} {body}\n")).collect();
    [population.into_bytes(), observed.into_bytes()]
}

#[test]
fn a_spoilt_manifest_is_refused_or_has_the_one_form_of_what_it_says() {
    let mut accepted = 0;
    for (kind, whole) in (0..).zip(whole()) {
        assert!(manifest(&whole), "the true bytes of kind {kind} are refused");
        for round in 0..4_000 {
            let mut rng = Rng::new(kind * 4_000 + round);
            let mut bytes = whole.clone();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bytes.len() as u64 + 1) as usize;
                match rng.below(5) {
                    0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
                    1 => bytes.truncate(at),
                    2 => bytes.insert(at, b"\n\r\0 aF"[rng.below(6) as usize]),
                    3 => drop(bytes.drain(..at)),
                    _ => {
                        let line = bytes.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default().to_vec();
                        bytes.extend(line);
                    }
                }
            }
            accepted += u64::from(manifest(&bytes));
        }
    }
    assert!(accepted > 0, "inputs of which none is accepted prove little");
}

#[test]
fn a_manifest_with_other_ends_of_lines_or_without_its_last_is_refused() {
    for whole in whole() {
        assert!(!manifest(&whole[..whole.len() - 1]));
        let text = String::from_utf8(whole).unwrap();
        assert!(!manifest(text.replace('\n', "\r\n").as_bytes()));
        assert!(!manifest(text.replacen('\n', "\n\n", 1).as_bytes()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_reader_of_manifests_falls_over_any_bytes(bytes in vec(any::<u8>(), 0..400)) {
        manifest(&bytes);
    }

    #[test]
    fn no_reader_of_manifests_falls_over_any_text(text in "[a-f0-9]{0,33} [a-f0-9.]{0,65}[ \n\r\u{2014}]{0,3}[a-z ]{0,80}\n?") {
        manifest(text.as_bytes());
    }
}
