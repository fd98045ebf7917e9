//! Answers of a local `openssl ts` authority, sound and not, and one of an authority whose certificate has expired since.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;

use anchor::testing::{Authority, openssl};
use anchor::{Request, Roots, RootsError, StampError, accept, verify};

const DATA: &[u8] = b"example/ledger\n7\nAAAA=\n";

fn roots(authority: &Authority) -> Roots {
    Roots::from_pem(&fs::read(authority.ca()).unwrap()).unwrap()
}

#[test]
fn an_answer_gives_the_time_and_the_chain_and_openssl_says_the_same_of_both() {
    let authority = Authority::new().unwrap();
    for random in [[0; 8], [255; 8], [1, 2, 3, 4, 5, 6, 7, 8]] {
        let request = Request::new(DATA, random).unwrap();
        let answer = authority.answer(request.der()).unwrap();
        let stamp = accept(&answer, DATA, &request, &roots(&authority)).unwrap();
        assert_eq!((stamp.signer.as_str(), stamp.accuracy), ("CN=Test time,O=Test", Some(1000)));
        assert_eq!(verify(&answer, DATA, &roots(&authority)).unwrap(), stamp);
        let dir = tempfile::tempdir().unwrap();
        let chain = stamp.chain(&roots(&authority)).unwrap();
        assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
        fs::write(dir.path().join("data"), DATA).unwrap();
        fs::write(dir.path().join("answer"), &answer).unwrap();
        fs::write(dir.path().join("chain"), chain).unwrap();
        let ca = authority.ca();
        let checked = ["ts", "-verify", "-data", "data", "-in", "answer", "-untrusted", "chain", "-CAfile"];
        let said = openssl(dir.path(), &[&checked[..], &[ca.to_str().unwrap()]].concat()).unwrap();
        assert!(said.contains("Verification: OK"), "{said}");
    }
}

#[test]
fn an_answer_to_another_request_about_other_bytes_or_of_another_authority_is_refused() {
    let (authority, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let request = Request::new(DATA, [1; 8]).unwrap();
    let answer = authority.answer(request.der()).unwrap();
    let roots = roots(&authority);
    let refused = |answer: &[u8], data: &[u8], request: &Request, roots: &Roots| {
        accept(answer, data, request, roots).expect_err("it was accepted")
    };
    let later = Request::new(DATA, [2; 8]).unwrap();
    assert_eq!(refused(&answer, DATA, &later, &roots), StampError::OtherRequest);
    assert_eq!(refused(&answer, b"other", &request, &roots), StampError::OtherBytes);
    let theirs = self::roots(&other);
    let error = refused(&answer, DATA, &request, &theirs);
    assert!(error.is_of_trust() && error.to_string().contains("among the trusted"), "{error}");
    assert!(refused(&answer, DATA, &request, &Roots::default()).is_of_trust());
    assert!(accept(&answer, DATA, &request, &theirs.and(roots)).is_ok(), "one of several will do");
}

#[test]
fn an_authority_whose_certificate_had_expired_dates_nothing() {
    let request = Request::new(DATA, [1; 8]).unwrap();
    let expired = Authority::expired().unwrap();
    let error = verify(&expired.answer(request.der()).unwrap(), DATA, &roots(&expired)).unwrap_err();
    assert!(error.is_of_trust() && error.to_string().contains("had expired when it signed"), "{error}");
}

#[test]
fn a_refusal_a_text_and_a_torn_answer_are_told_apart() {
    let authority = Authority::new().unwrap();
    let roots = roots(&authority);
    // A request that is none gets a refusal with words.
    let refusal = authority.answer(b"0").unwrap();
    let error = verify(&refusal, DATA, &roots).unwrap_err();
    assert!(matches!(&error, StampError::NotGranted(said) if said.starts_with("status 2")), "{error}");
    let request = Request::new(DATA, [1; 8]).unwrap();
    let answer = authority.answer(request.der()).unwrap();
    let cut = answer.get(..answer.len() - 1).unwrap();
    for bytes in [b"".as_slice(), b"<html>it works</html>", cut, &vec![0x30; 300 * 1024]] {
        let error = verify(bytes, DATA, &roots).unwrap_err();
        assert!(matches!(error, StampError::Malformed(_)), "{error}");
    }
}

#[test]
fn no_changed_byte_of_an_answer_gives_another_time_or_another_signer() {
    let authority = Authority::new().unwrap();
    let roots = roots(&authority);
    let request = Request::new(DATA, [1; 8]).unwrap();
    let answer = authority.answer(request.der()).unwrap();
    let stamp = verify(&answer, DATA, &roots).unwrap();
    let mut tolerated = 0;
    for at in 0..answer.len() {
        let mut changed = answer.clone();
        changed[at] ^= 1;
        if let Ok(other) = verify(&changed, DATA, &roots) {
            // A few bytes say nothing that counts: versions, the list of digests, the name of the way to sign.
            assert_eq!(other, stamp, "byte {at}");
            tolerated += 1;
        }
    }
    assert!(tolerated < 32, "{tolerated} of {} bytes may be anything", answer.len());
}

#[test]
fn a_certificate_that_has_expired_since_takes_nothing_from_its_answers() {
    let recorded = |name: &str| fs::read(format!("{}/tests/recorded/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let (answer, data) = (recorded("expired_since.tsr"), recorded("expired_since.data"));
    let roots = Roots::from_pem(&recorded("expired_since.ca.pem")).unwrap();
    let stamp = verify(&answer, &data, &roots).unwrap();
    assert_eq!(stamp.signer, "CN=Short-lived time,O=Test");
}

#[test]
fn a_file_without_certificates_is_trusted_for_nothing() {
    assert_eq!(Roots::from_pem(b"").unwrap_err(), RootsError::None);
    assert_eq!(Roots::from_pem(b"no certificate").unwrap_err(), RootsError::None);
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(Roots::from_pem(broken.as_bytes()).unwrap_err(), RootsError::Unreadable(1));
}
