//! Outside time: a daemon whose ledger is dated by `openssl ts` authorities on this machine, honest ones and others.

use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use anchor::Request;
use anchor::testing::{Authority, openssl};
use serde_json::Value;
use world::World;

use crate::support::{Setup, binary, now, served};

/// How an authority behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// It dates what it is sent.
    Honest,
    /// It dates other bytes than it is sent.
    OtherBytes,
    /// It gives the answer to an earlier request once more.
    OtherRequest,
    /// It refuses in the form of RFC 3161.
    Refuses,
    /// It answers with a page of its provider.
    Page,
    /// It takes the request and says nothing, for as long as the other side waits.
    Hangs,
}

/// An authority behind HTTP on this machine; ended with the test.
pub(crate) struct Clock {
    authority: Authority,
    manner: Mutex<Manner>,
    port: u16,
}

/// The thread that serves it.
pub(crate) struct Serving(pub(crate) Arc<Clock>, Option<JoinHandle<()>>);

impl Serving {
    pub(crate) fn new(authority: Authority, manner: Manner) -> Serving {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let clock = Arc::new(Clock { authority, manner: Mutex::new(manner), port });
        let served = clock.clone();
        let thread = std::thread::spawn(move || {
            let mut hanging = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                match served.serve(stream) {
                    Served::Answered => {}
                    Served::Hanging(stream) => hanging.push(stream),
                    Served::Over => return,
                }
            }
        });
        Serving(clock, Some(thread))
    }

    pub(crate) fn behave(&self, manner: Manner) {
        *self.0.manner.lock().unwrap() = manner;
    }

    /// Settings of an authority with this address.
    pub(crate) fn setting(&self, name: &str, every: &str) -> String {
        let (port, ca) = (self.0.port, self.0.authority.ca());
        format!("- {{name: {name}, url: 'http://127.0.0.1:{port}/tsr', ca: {}, every: {every}}}\n", ca.display())
    }

    pub(crate) fn ca(&self) -> String {
        self.0.authority.ca().display().to_string()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let told = TcpStream::connect(("127.0.0.1", self.0.port)).and_then(|mut stream| stream.write_all(b"END\n"));
        if let (Ok(()), Some(thread)) = (told, self.1.take()) {
            drop(thread.join());
        }
    }
}

enum Served {
    Answered,
    Hanging(TcpStream),
    Over,
}

impl Clock {
    fn serve(&self, mut stream: TcpStream) -> Served {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        let mut length = 0;
        while reader.read_line(&mut line).is_ok_and(|read| read > 0) && line.trim() != "" {
            if line == "END\n" {
                return Served::Over;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut request = vec![0; length];
        reader.read_exact(&mut request).unwrap();
        let other = |data: &[u8]| Request::new(data, [9; 8]).unwrap().der().to_vec();
        let (kind, body) = match *self.manner.lock().unwrap() {
            Manner::Honest => ("application/timestamp-reply", self.authority.answer(&request).unwrap()),
            Manner::OtherBytes => ("application/timestamp-reply", self.authority.answer(&other(b"other")).unwrap()),
            Manner::OtherRequest => {
                // The digest is what was sent, the number is another: both stand at fixed places of our request.
                let mut changed = request.clone();
                let nonce = changed.len() - 3 - 8;
                changed[nonce + 7] ^= 1;
                ("application/timestamp-reply", self.authority.answer(&changed).unwrap())
            }
            Manner::Refuses => ("application/timestamp-reply", self.authority.answer(b"0").unwrap()),
            Manner::Page => ("text/html", b"<html>back soon</html>".to_vec()),
            Manner::Hangs => return Served::Hanging(stream),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        // Whoever asked may have gone.
        drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)));
        Served::Answered
    }
}

fn verify(dir: &Path, more: &[&str]) -> (i32, Value, String) {
    let run = |json: &[&str]| Command::new(binary()).arg("verify").arg(dir).args(more).args(json).output().unwrap();
    let (output, told) = (run(&["--json"]), run(&[]));
    let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().unwrap(), json, String::from_utf8_lossy(&told.stdout).into_owned())
}

#[test]
fn a_ledger_that_authorities_date_is_anchored_for_whoever_trusts_one_of_them_and_openssl_agrees() {
    let (one, two) = (Authority::new().unwrap(), Authority::new().unwrap());
    let (one, two) = (Serving::new(one, Manner::Honest), Serving::new(two, Manner::Honest));
    let stranger = Authority::new().unwrap();
    let (_world, server) = served(World::new(7, 12, now().millis()));
    let settings = format!("anchors:\n{}{}", one.setting("one", "1s"), two.setting("two", "1h"));
    let setup = Setup::of_world(&server).with(&settings);
    let mut daemon = setup.start();
    daemon.wait("anchors", |api| (api.facts("anchor").len() >= 3).then_some(()));
    daemon.wait_for_runs(1);
    assert_eq!(daemon.stop().0, Some(0));

    // By the settings, by either certificate, by none, and by that of somebody else.
    let output = setup.command(&["verify", "--require", "anchored"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("verdict    SIGNED, ANCHORED   exit 0"), "{told}");
    assert!(told.contains("existed before 20") && told.contains("the anchor before)"), "{told}");
    let required = ["--require", "anchored", "--ca"];
    let data = setup.data();
    let (ca, other) = (one.ca(), stranger.ca().display().to_string());
    for (trusted, code, says) in [
        (&[&required[..], &[&ca]].concat()[..], 0, "SIGNED, ANCHORED"),
        (&["--require", "anchored"][..], 20, "give the certificates that you trust with --ca"),
        (&[&required[..], &[&other]].concat(), 20, "among the trusted certificates"),
        (&[], 0, "verdict    SIGNED   exit 0"),
    ] {
        let (found, json, told) = verify(&data, trusted);
        assert_eq!(found, code, "{trusted:?}: {told}");
        assert!(told.contains(says), "{trusted:?}: {told}");
        assert_eq!(json["anchored"], told.contains("ANCHORED"), "{json}");
        assert!(json["meaning"]["outside"]["broken"].as_array().unwrap().is_empty(), "{json}");
    }
    let (_, json, _) = verify(&data, &["--ca", &ca]);
    let outside = &json["meaning"]["outside"];
    let held = outside["held"].as_array().unwrap();
    // The end of the daemon was dated as well: what came after that is the anchors' own entries.
    assert!(outside["undated"].as_u64().unwrap() <= 2, "{outside}");

    // The files say the same to openssl, now and when the certificate will have expired.
    let dated = held.last().unwrap();
    let folder = data.join("anchors").join(format!("{:012}-one", dated["size"].as_u64().unwrap()));
    let time = dated["time"].as_str().unwrap().parse::<domain::Timestamp>().unwrap().millis() / 1000;
    let args =
        ["ts", "-verify", "-data", "checkpoint", "-in", "checkpoint.tsr", "-untrusted", "chain.pem", "-CAfile", &ca];
    let at = |time: i64| openssl(&folder, &[&args[..], &["-attime", &time.to_string()]].concat());
    assert!(at(time).unwrap().contains("Verification: OK"));
    let in_a_hundred_years = time + 100 * 365 * 86_400;
    assert!(at(in_a_hundred_years).unwrap_err().contains("expired"));

    // They are made again from the ledger when they are lost.
    let before = fs::read(folder.join("checkpoint.tsr")).unwrap();
    fs::remove_dir_all(data.join("anchors")).unwrap();
    let mut daemon = setup.start();
    daemon.wait("an answer", |api| api.get::<Value>("overview"));
    daemon.wait("the files", |_| fs::read(folder.join("checkpoint.tsr")).ok().filter(|again| *again == before));
}

#[test]
fn an_answer_that_does_not_hold_is_none_and_says_why() {
    let manners = [
        (Manner::OtherBytes, "it dates other bytes"),
        (Manner::OtherRequest, "it does not repeat the number"),
        (Manner::Refuses, "the authority did not grant it: status 2"),
        (Manner::Page, "it is not an answer in the form of RFC 3161"),
        (Manner::Hangs, "no answer within"),
        (Manner::Honest, "had expired when it signed"),
    ];
    let authorities: Vec<Serving> = manners
        .iter()
        .map(|(manner, _)| {
            let expired = *manner == Manner::Honest;
            Serving::new(if expired { Authority::expired() } else { Authority::new() }.unwrap(), *manner)
        })
        .collect();
    let named = |place: usize| format!("authority-{place}");
    let settings: String = authorities.iter().enumerate().map(|(n, one)| one.setting(&named(n), "1s")).collect();
    let (_world, server) = served(World::new(7, 12, now().millis()));
    let setup = Setup::of_world(&server).with(&format!("anchors:\n{settings}"));
    let mut daemon = setup.start();
    let silences = daemon.wait("six silences", |api| {
        let said = api.facts("silence");
        (said.len() >= manners.len()).then_some(said)
    });
    for (place, (manner, why)) in manners.iter().enumerate() {
        let said = silences.iter().find(|said| said["authority"] == named(place)).unwrap();
        assert!(said["lost"] == true && said["detail"].as_str().unwrap().contains(why), "{manner:?}: {said}");
    }
    assert!(daemon.api().facts("anchor").is_empty());
    // One that mends its ways is heard again, and the silence ends.
    authorities[4].behave(Manner::Honest);
    daemon.wait("the end of a silence", |api| {
        api.facts("silence").into_iter().find(|said| said["lost"] == false && said["authority"] == named(4))
    });
    assert_eq!(daemon.stop().0, Some(0));
    let ca = authorities[4].ca();
    assert_eq!(verify(&setup.data(), &["--require", "anchored", "--ca", &ca]).0, 0);
}
