//! Notes, checkpoints and proof files against the specification's examples and other people's implementations.

use ledger::note::{self, NoteError, SigningKey, VerifierKey};
use ledger::{Checkpoint, CheckpointError, Hash, SignedCheckpoint, TlogProof, leaf_hash, node_hash};
use signed_note::{Note, StandardVerifier, Verifier as _, VerifierList};

use crate::support::{ORIGIN, key, small_ledger};

/// The example of C2SP signed-note v1.0.0.
const SPEC_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const SPEC_NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
    Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

fn other() -> SigningKey {
    SigningKey::from_seed("example.org/witness", &[9; 32]).unwrap()
}

#[test]
fn the_example_of_the_specification_verifies_and_its_key_prints_as_it_was_read() {
    let spec_key: VerifierKey = SPEC_KEY.parse().unwrap();
    assert_eq!(spec_key.to_string(), SPEC_KEY);
    let verified = note::verify(SPEC_NOTE.as_bytes(), &[spec_key]).unwrap();
    assert_eq!(verified.text, "This is an example message.\n");
    assert_eq!(verified.signers, ["example.com/foo"]);
}

#[test]
fn another_implementation_verifies_our_notes_and_we_verify_its() {
    let ours = key().sign("hello\n\nworld\n").unwrap();
    let verifier = StandardVerifier::new(&key().verifier().to_string()).unwrap();
    assert_eq!(verifier.name(), ORIGIN);
    let theirs = Note::from_bytes(ours.as_bytes()).unwrap();
    let list = VerifierList::new(vec![Box::new(verifier)]);
    assert_eq!(theirs.verify(&list).unwrap().0.len(), 1);
    assert_eq!(theirs.to_bytes(), ours.as_bytes());

    let mut note = Note::new(b"from the other side\n", &[]).unwrap();
    let (signer_key, verifier_key) = generated();
    note.add_sigs(&[&signed_note::StandardSigner::new(&signer_key).unwrap()]).unwrap();
    let known: VerifierKey = verifier_key.parse().unwrap();
    assert_eq!(note::verify(&note.to_bytes(), &[known]).unwrap().text, "from the other side\n");
}

/// A key pair as signed_note writes them: `PRIVATE+KEY+name+id+base64(1 ‖ seed)`.
fn generated() -> (String, String) {
    use base64::Engine as _;
    let public = other().verifier().to_string();
    let id = public.split('+').nth(1).unwrap().to_owned();
    let seed = base64::engine::general_purpose::STANDARD.encode([&[1][..], &[9; 32]].concat());
    (format!("PRIVATE+KEY+example.org/witness+{id}+{seed}"), public)
}

#[test]
fn signatures_of_unknown_keys_are_ignored_and_one_bad_signature_of_a_known_key_refuses_the_note() {
    let ours = key().sign("text\n").unwrap();
    let theirs = other().sign("text\n").unwrap();
    let both = ours.clone() + theirs.split_once("\n\n").unwrap().1;
    assert_eq!(note::verify(both.as_bytes(), &[key().verifier()]).unwrap().signers, [ORIGIN]);
    assert_eq!(note::verify(both.as_bytes(), &[key().verifier(), other().verifier()]).unwrap().signers.len(), 2);
    assert_eq!(note::verify(theirs.as_bytes(), &[key().verifier()]), Err(NoteError::Unsigned));
    let wrong = both.replacen("text", "tent", 1);
    assert_eq!(note::verify(wrong.as_bytes(), &[key().verifier()]), Err(NoteError::Invalid(ORIGIN.into())));
}

#[test]
fn notes_that_do_not_have_the_form_of_one_are_refused() {
    let good = key().sign("text\n").unwrap();
    let signature = good.split_once("\n\n").unwrap().1;
    let many = format!("text\n\n{}", signature.repeat(65));
    for bad in [
        "",
        "text\n",
        good.trim_end(),
        &good.replace("\n\n", "\n"),
        &good.replace('\u{2014}', "-"),
        &good.replace("text", "te\u{7}xt"),
        &good.replace("text", "te\rxt"),
        &format!("{good}\n"),
        &format!("{good}trailing\n"),
        &many,
    ] {
        assert!(matches!(note::verify(bad.as_bytes(), &[key().verifier()]), Err(NoteError::Malformed(_))), "{bad:?}");
    }
    assert!(matches!(note::verify(b"\xff\n\n\n", &[]), Err(NoteError::Malformed(_))));
    assert!(note::verify(format!("text\n\n{}", signature.repeat(16)).as_bytes(), &[key().verifier()]).is_ok());
}

#[test]
fn keys_of_another_form_are_refused() {
    for bad in [
        "example.com/foo",
        "example.com/foo+530d903a",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+Aeky",
        "exa mple+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    ] {
        assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
    }
    for bad in ["", "a b", "a+b", "a\nb", "a\u{a0}b"] {
        assert!(SigningKey::from_seed(bad, &[1; 32]).is_err(), "{bad:?}");
    }
}

#[test]
fn a_signing_key_is_never_printed() {
    let shown = format!("{:?}", key());
    assert!(shown.contains(ORIGIN));
    assert!(!shown.contains(&hex::encode([7; 32])) && !shown.contains("7, 7, 7"), "{shown}");
}

#[test]
fn a_checkpoint_reads_as_another_implementation_reads_it() {
    let signed = Checkpoint { origin: ORIGIN.into(), size: 7, root: leaf_hash(b"x") }.sign(&key()).unwrap();
    let text = signed.note.split_once("\n\n").unwrap().0.to_owned() + "\n";
    let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).unwrap();
    assert_eq!((theirs.origin(), theirs.size(), theirs.hash().0), (ORIGIN, 7, leaf_hash(b"x").0));
    assert_eq!(theirs.to_bytes(), text.as_bytes());
    assert_eq!(SignedCheckpoint::verify(signed.note.as_bytes(), &[key().verifier()]).unwrap(), signed);
}

#[test]
fn checkpoints_of_another_form_and_of_another_ledger_are_refused() {
    let root = Hash::of_empty_tree().to_base64();
    let good = format!("o\n0\n{root}\n");
    assert!(Checkpoint::parse(&good).is_ok());
    for bad in [
        format!("\n0\n{root}\n"),
        format!("o\n00\n{root}\n"),
        format!("o\n+1\n{root}\n"),
        format!("o\n-1\n{root}\n"),
        format!("o\n18446744073709551616\n{root}\n"),
        format!("o\n0\n{root}"),
        format!("o\n0\n{}\n", root.replace('=', "")),
        format!("o\n0\n{root}\nextension\n"),
        "o\n0\n".to_owned(),
        "o\n0\nAAAA\n".to_owned(),
    ] {
        assert!(matches!(Checkpoint::parse(&bad), Err(CheckpointError::Malformed(_))), "{bad:?}");
    }
    let foreign = key().sign(&format!("example.org/other\n0\n{root}\n")).unwrap();
    let refused = SignedCheckpoint::verify(foreign.as_bytes(), &[key().verifier()]);
    assert!(matches!(refused, Err(CheckpointError::Origin { .. })));
    let checkpoint = Checkpoint { origin: "example.org/other".into(), size: 0, root: Hash::of_empty_tree() };
    assert!(matches!(checkpoint.sign(&key()), Err(CheckpointError::Origin { .. })));
}

#[test]
fn a_proof_file_reads_back_byte_for_byte_and_proves_its_entry_alone() {
    let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
    let signed = Checkpoint { origin: ORIGIN.into(), size: 2, root: node_hash(&a, &b) }.sign(&key()).unwrap();
    for extra in [None, Some(b"beside it".to_vec())] {
        let proof = TlogProof { extra, index: 1, path: vec![a], checkpoint: signed.note.clone() };
        let text = proof.to_string();
        assert!(text.starts_with("c2sp.org/tlog-proof@v1\n"), "{text}");
        assert_eq!(text.parse::<TlogProof>().unwrap(), proof);
        assert_eq!(proof.verify(b"b", &[key().verifier()]).unwrap(), signed.checkpoint);
        assert!(proof.verify(b"a", &[key().verifier()]).is_err());
        assert!(proof.verify(b"b", &[other().verifier()]).is_err());
    }
    let alone = Checkpoint { origin: ORIGIN.into(), size: 1, root: a }.sign(&key()).unwrap();
    let proof = TlogProof { extra: None, index: 0, path: vec![], checkpoint: alone.note };
    assert_eq!(proof.to_string().parse::<TlogProof>().unwrap(), proof);
    proof.verify(b"a", &[key().verifier()]).unwrap();
}

#[test]
fn a_changed_byte_of_a_proof_file_is_noticed_everywhere_but_in_its_unsigned_extra() {
    let (a, b) = (leaf_hash(b"a"), leaf_hash(b"b"));
    let signed = Checkpoint { origin: ORIGIN.into(), size: 2, root: node_hash(&a, &b) }.sign(&key()).unwrap();
    let text = TlogProof { extra: None, index: 1, path: vec![a], checkpoint: signed.note }.to_string();
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        let holds = String::from_utf8(bytes).ok().and_then(|text| text.parse::<TlogProof>().ok());
        let holds = holds.is_some_and(|proof| proof.verify(b"b", &[key().verifier()]).is_ok());
        assert!(!holds, "byte {at} of {text}");
    }
}

#[test]
fn a_proof_file_is_enough_for_a_verifier_made_of_other_peoples_crates() {
    let disk = small_ledger(6);
    let reader = ledger::Reader::open_on(disk.shared(), crate::support::dir());
    let vkey = reader.named_key().unwrap().unwrap().to_string();
    for index in 0..reader.size().unwrap() {
        let (entry, text) = (reader.entry(index).unwrap(), reader.tlog_proof(index).unwrap().to_string());

        // From here on nothing of ours: the specification's lines, signed_note and tlog_tiles.
        let accepted = |entry: &[u8], text: &str| {
            let (proof, note) = text.split_once("\n\n").unwrap();
            let mut lines = proof.lines();
            assert_eq!(lines.next(), Some("c2sp.org/tlog-proof@v1"));
            let stated: u64 = lines.next().unwrap().strip_prefix("index ").unwrap().parse().unwrap();
            let path: Vec<_> = lines.map(|line| tlog_tiles::Hash::parse_hash(line).unwrap()).collect();
            let note = Note::from_bytes(note.as_bytes()).unwrap();
            let known = VerifierList::new(vec![Box::new(StandardVerifier::new(&vkey).unwrap())]);
            let signed = note.verify(&known).is_ok_and(|(known, _)| known.len() == 1);
            let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
            let leaf = tlog_tiles::record_hash(entry);
            signed && tlog_tiles::check_record(&path, checkpoint.size(), *checkpoint.hash(), stated, leaf).is_ok()
        };
        assert!(accepted(&entry, &text), "{text}");
        assert!(!accepted(b"another entry", &text));
        assert!(!accepted(&entry, &text.replace(&format!("index {index}\n"), &format!("index {}\n", index ^ 1))));
    }
}
