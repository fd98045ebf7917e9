//! The readers of segments, notes, checkpoints and proofs over bytes that nobody meant: random ones, and true ones that
//! were cut, changed, doubled and joined. What must hold stands in `ledger::testing::fuzz`.

use ledger::testing::fuzz;
use ledger::testing::{ModelDisk, Rng};
use ledger::{Checkpoint, Reader, TlogProof, leaf_hash, node_hash};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{ORIGIN, dir, guard, key, small_ledger};

/// True bytes of each kind, as a ledger holds them.
struct Corpus {
    segments: Vec<Vec<u8>>,
    notes: Vec<Vec<u8>>,
    checkpoints: Vec<Vec<u8>>,
    proofs: Vec<Vec<u8>>,
}

fn corpus() -> Corpus {
    let disk = small_ledger(4);
    let file = |disk: &ModelDisk, path: &std::path::Path| disk.content(path).unwrap();
    let segments = disk.files_below(&dir().join("seg")).iter().take(1).map(|path| file(&disk, path)).collect();
    let published = file(&disk, &dir().join("checkpoint"));
    let witnessed = {
        let text = String::from_utf8(published.clone()).unwrap();
        let line = fuzz::keys()[1].sign(&(text.split_once("\n\n").unwrap().0.to_owned() + "\n")).unwrap();
        text + line.split_once("\n\n").unwrap().1
    };
    let reader = Reader::open_on(disk.shared(), dir());
    let (a, b) = (leaf_hash(b"entry"), leaf_hash(b"b"));
    let signed = Checkpoint { origin: ORIGIN.into(), size: 2, root: node_hash(&a, &b) }.sign(&key()).unwrap();
    let held = TlogProof { extra: Some(b"beside".to_vec()), index: 0, path: vec![b], checkpoint: signed.note };
    let text = String::from_utf8(published.clone()).unwrap();
    Corpus {
        segments,
        notes: vec![published.clone(), witnessed.into_bytes(), key().verifier().to_string().into_bytes()],
        checkpoints: vec![
            (text.split_once("\n\n").unwrap().0.to_owned() + "\n").into_bytes(),
            published,
            file(&disk, &dir().join("checkpoints.log")),
            file(&disk, &guard().join("high-water")),
        ],
        proofs: vec![held.to_string().into_bytes(), reader.tlog_proof(3).unwrap().to_string().into_bytes()],
    }
}

/// Spoils true bytes, in one to four places.
fn spoilt(whole: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..=rng.below(4) {
        let len = bytes.len() as u64;
        let at = rng.below(len) as usize;
        let to = at + rng.below(len - at as u64 + 1) as usize;
        match rng.below(7) {
            _ if bytes.is_empty() => bytes = whole.to_vec(),
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.next_u64() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..to)),
            4 => bytes.insert(at, b"\n\0+ =\xff"[rng.below(6) as usize]),
            5 => {
                let part = bytes[at..to].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                let (low, high) = bytes.split_at(at);
                bytes = [high, low].concat();
            }
        }
    }
    bytes
}

/// Runs a reader over the true bytes, which it must accept, and over many spoilt forms of them.
fn hold(whole: &[Vec<u8>], reader: impl Fn(&[u8]) -> bool, rounds: u64) {
    let mut accepted = 0;
    for (kind, whole) in (0..).zip(whole) {
        assert!(reader(whole), "the true bytes of kind {kind} are refused");
        for round in 0..rounds {
            let bytes = spoilt(whole, &mut Rng::new(kind * rounds + round));
            accepted += u64::from(reader(&bytes));
        }
    }
    println!("{accepted} of {} spoilt inputs were accepted, each for what it is", rounds * whole.len() as u64);
}

#[test]
fn a_spoilt_segment_is_read_up_to_where_it_is_spoilt_and_no_further() {
    hold(&corpus().segments, |bytes| fuzz::segment(bytes) > 0, 4_000);
}

#[test]
fn a_spoilt_note_or_key_is_refused_or_says_what_its_signers_signed() {
    hold(&corpus().notes, fuzz::note, 700);
}

#[test]
fn a_spoilt_checkpoint_is_refused_or_has_the_one_form_of_what_it_says() {
    hold(&corpus().checkpoints, fuzz::checkpoint, 1_500);
}

#[test]
fn a_spoilt_proof_is_refused_or_proves_one_entry_alone() {
    hold(&corpus().proofs, fuzz::proof, 700);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_reader_falls_over_any_bytes(bytes in vec(any::<u8>(), 0..400)) {
        fuzz::segment(&bytes);
        fuzz::note(&bytes);
        fuzz::checkpoint(&bytes);
        fuzz::proof(&bytes);
    }

    #[test]
    fn no_reader_falls_over_any_text(text in "[a-c0-9+/=\u{2014} \n.@-]{0,300}") {
        fuzz::note(text.as_bytes());
        fuzz::checkpoint(text.as_bytes());
        fuzz::proof(text.as_bytes());
        fuzz::proof(format!("c2sp.org/tlog-proof@v1\nindex {text}").as_bytes());
    }

    #[test]
    fn frames_of_any_kind_and_length_are_read_as_they_would_be_written(script in vec(any::<u8>(), 0..120)) {
        fuzz::frames(&script);
    }
}
