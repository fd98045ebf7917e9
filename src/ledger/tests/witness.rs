//! What a witness is sent and what is believed of its answers.

use ledger::testing::Witness;
use ledger::{KeyRing, NoteError, Reader, WitnessKey};

use crate::support::{dir, entries, key, open, small_ledger};

fn witness() -> Witness {
    Witness::new("witness.example.com/w1", [5; 32], KeyRing::new(key().verifier())).unwrap()
}

#[test]
fn a_witness_cosigns_what_continues_what_it_saw_and_says_how_far_it_was() {
    let disk = small_ledger(4);
    let (mut witness, mut sizes) = (witness(), Vec::new());
    let other = Witness::new("witness.example.com/w2", [6; 32], KeyRing::default()).unwrap();
    for _ in 0..3 {
        let reader = Reader::open_on(disk.shared(), dir());
        let head = reader.head().unwrap().unwrap();
        let (text, size) = (head.checkpoint.to_string(), head.checkpoint.size);
        let request = reader.add_checkpoint(witness.seen(), &head).unwrap();
        let (status, lines) = witness.add_checkpoint(&request, 1_700_000_000);
        assert_eq!(status, 200, "{request}");
        let found = witness.key().find(&text, &format!("\u{2014} somebody else\n{lines}")).unwrap();
        assert_eq!((found.time, found.line.as_str()), (1_700_000_000, lines.trim_end()));
        // Over another text, at another time or by another key it is none.
        assert_eq!(
            witness.key().find(&text.replace("test", "best"), &lines),
            Err(NoteError::Invalid(witness.key().name().into()))
        );
        assert_eq!(other.key().find(&text, &lines), Err(NoteError::Unsigned));
        // Asked as if it had seen less or more, it says what it has seen.
        for old in [0, size - 1] {
            let request = reader.add_checkpoint(old, &head).unwrap();
            assert_eq!(witness.add_checkpoint(&request, 1), (409, format!("{size}\n")));
        }
        sizes.push(size);
        let (mut log, _) = open(&disk).unwrap();
        log.append(&entries(size..size + 3)).unwrap();
    }
    assert!(sizes.is_sorted_by(|a, b| a < b));
    // A ledger that is another one from the same size on is not cosigned.
    let fork = small_ledger(1);
    let (mut log, _) = open(&fork).unwrap();
    while log.size() < 40 {
        log.append(&[b"another".to_vec()]).unwrap();
    }
    drop(log);
    let reader = Reader::open_on(fork.shared(), dir());
    let request = reader.add_checkpoint(witness.seen(), &reader.head().unwrap().unwrap()).unwrap();
    assert_eq!(witness.add_checkpoint(&request, 1).0, 422);
}

#[test]
fn the_key_of_a_witness_reads_back_and_that_of_a_ledger_is_none() {
    let text = witness().key().to_string();
    assert_eq!(text.parse::<WitnessKey>().unwrap(), *witness().key());
    assert!(key().verifier().to_string().parse::<WitnessKey>().is_err());
    let (name, rest) = text.split_once('+').unwrap();
    assert!(format!("{name}x+{rest}").parse::<WitnessKey>().is_err(), "the id is over the name too");
}
