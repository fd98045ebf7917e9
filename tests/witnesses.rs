//! A witness that remembers how far a ledger was: what it cosigned counts as kept, and it is believed over what is here.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use ledger::testing::Witness;
use ledger::{KeyRing, Reader};
use serde_json::Value;
use world::World;

use crate::support::{Setup, binary, copy, now, served};

/// A witness behind HTTP on this machine; ended with the test.
struct Serving {
    witness: Arc<Mutex<Option<Witness>>>,
    port: u16,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// It knows no ledger until it is told of one.
    fn new() -> Serving {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let witness: Arc<Mutex<Option<Witness>>> = Arc::default();
        let served = witness.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if !serve(stream, &served) {
                    return;
                }
            }
        });
        Serving { witness, port, thread: Some(thread) }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let told = TcpStream::connect(("127.0.0.1", self.port)).and_then(|mut stream| stream.write_all(b"END\n"));
        if let (Ok(()), Some(thread)) = (told, self.thread.take()) {
            drop(thread.join());
        }
    }
}

/// Answers one request; `false` when it is asked to end.
fn serve(mut stream: TcpStream, witness: &Mutex<Option<Witness>>) -> bool {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) && line.trim() != "" {
        if line == "END\n" {
            return false;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if first.is_empty() {
            first = line.clone();
        }
        line.clear();
    }
    let mut request = vec![0; length];
    reader.read_exact(&mut request).unwrap();
    let seconds = now().millis().unsigned_abs() / 1000;
    let (status, body) = match witness.lock().unwrap().as_mut() {
        Some(witness) if first.starts_with("POST /add-checkpoint ") => {
            witness.add_checkpoint(&String::from_utf8(request).unwrap(), seconds)
        }
        _ => (404, String::new()),
    };
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())));
    true
}

#[test]
fn what_a_witness_cosigned_counts_as_kept_and_an_older_copy_is_refused_on_its_word_alone() {
    let (_world, server) = served(World::new(7, 12, now().millis()));
    let (receiver, hook) = served(World::new(1, 12, now().millis()));
    let serving = Serving::new();
    let stranger = Witness::new("witness.example.com/w2", [6; 32], KeyRing::default()).unwrap();
    let witness = |ring| Witness::new("witness.example.com/w1", [5; 32], ring).unwrap();
    let key = witness(KeyRing::default()).key().to_string();
    let setup = Setup::of_world(&server).with_webhook(&format!("{}/hook", hook.url()));
    let setup =
        setup.with(&format!("witnesses:\n- {{key: '{key}', url: 'http://127.0.0.1:{}', every: 1s}}\n", serving.port));
    let data = setup.data();
    let mut daemon = setup.start();
    // One that does not know the ledger yet keeps nobody from working.
    daemon.wait_for_runs(1);
    assert!(daemon.log().contains("it does not know this ledger"), "{}", daemon.log());
    // That goes on: people are told, and told again when it is over.
    let of_witnesses = |api: &crate::support::Api, amiss: bool| {
        api.facts("trouble").into_iter().find(|fact| fact["in"] == "witnesses" && fact["amiss"] == amiss)
    };
    let told = daemon.wait("an alert", |api| of_witnesses(api, true));
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.starts_with("witness.example.com/w1 has not cosigned since "), "{detail}");
    assert!(detail.contains("it does not know this ledger"), "{detail}");
    let ring = Reader::open(&data.join("ledger")).key_ring().unwrap().unwrap().0;
    *serving.witness.lock().unwrap() = Some(witness(ring));
    daemon.wait("cosignatures", |api| (api.facts("cosigned").len() >= 2).then_some(()));
    daemon.wait("the end of the alert", |api| of_witnesses(api, false));
    assert_eq!(daemon.stop().0, Some(0));
    let old = setup.dir.path().join("old");
    copy(&data, &old);

    let verify = |more: &[&str]| {
        let output = Command::new(binary()).arg("verify").arg(&data).args(more).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, told) = verify(&["--require", "pinned", "--witness", &key]);
    assert!(code == Some(0) && told.contains("verdict    PINNED   exit 0"), "{told}");
    assert!(told.contains("witness.example.com/w1 saw the first"), "{told}");
    let (code, told) = verify(&["--require", "pinned", "--witness", &stranger.key().to_string()]);
    assert!(code == Some(20) && told.contains("SIGNED, and less than was required"), "{told}");

    // The data directory with its guard is put back: only the witness has seen more.
    let mut daemon = setup.start();
    let before = serving.witness.lock().unwrap().as_ref().unwrap().seen();
    daemon.wait("more cosignatures", |_| {
        (serving.witness.lock().unwrap().as_ref().unwrap().seen() > before + 20).then_some(())
    });
    assert_eq!(daemon.stop().0, Some(0));
    copy(&old, &data);
    let said = setup.refused();
    assert!(said.contains("has seen") && said.contains("evidenced ledger close --because"), "{said}");
    let alerts: Vec<Value> = receiver.received().into_iter().map(|one| one.json()["data"].clone()).collect();
    assert!(alerts.iter().any(|data| data["subject"] == "the ledger of evidenced"), "{alerts:?}");
}
