//! Days on which somebody tampers with what was kept, writes what is not theirs to write, or looks for secrets.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use domain::{FindingValue, Outcome};
use kit::http::Method;
use store::{Offline, Read};
use world::{CANARY, Drift};

use super::{GUESSING, good, value};
use crate::support::{Setup, binary, free_port};

/// What is done, the arguments of `verify`, its exit code, words that it must say, and the deed.
type Tampering<'a> = (&'a str, &'a [&'a str], i32, &'a [&'a str], &'a dyn Fn(&Path));

/// Somebody alters stored evidence, takes it away, or puts an older copy back. Owed: `verify` names what is not as it
/// was signed; the exit code tells altered from missing and from an older past.
///
/// What is rolled back together with everything that could tell of it is found by whoever kept a checkpoint. Stand-alone
/// verifiers of others hold the same formats against the same bytes; they are not part of this test.
#[test]
fn badday_17_whatever_was_tampered_with_is_named_by_verify() {
    let (world, server) = good();
    let setup = Setup::of_world(&server);
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    daemon.stop();
    let kept = fs::read(setup.data().join("ledger/checkpoint")).unwrap();
    let kept_by_the_auditor = setup.dir.path().join("kept.checkpoint");
    fs::write(&kept_by_the_auditor, &kept).unwrap();
    let early = setup.dir.path().join("early");
    copy(&setup.data(), &early);
    let mut daemon = setup.start();
    world.drift(Drift::BruteForceOff, "dora").unwrap();
    daemon.wait("a word against A.8.5", |api| (value(api, "A.8.5")? == FindingValue::Nonconforming).then_some(()));
    daemon.wait_for_runs(1);
    daemon.stop();
    let pin = ["--require", "pinned", "--pin", kept_by_the_auditor.to_str().unwrap()];

    // Left alone it holds, to the auditor's own checkpoint as well; so nothing below is found by accident.
    let altered = |what: &str, args: &[&str], tamper: &dyn Fn(&Path)| {
        let copied = setup.dir.path().join(what.replace(' ', "-"));
        copy(&setup.data(), &copied);
        tamper(&copied);
        let output = Command::new(binary()).arg("verify").arg(&copied).args(args).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    for args in [&[][..], &pin] {
        let (exit, said) = altered("nothing", args, &|_| {});
        assert_eq!(exit, 0, "{said}");
    }

    let segment = Path::new("ledger/seg/00000000000000000000.seg");
    let frames = Frames::read(&setup.data().join(segment));
    let bad_word = frames.place("\"value\":\"nonconforming\"");
    let better = |entry: &[u8]| {
        let text = String::from_utf8(entry.to_vec()).unwrap();
        text.replace("\"value\":\"nonconforming\"", "\"value\":\"conforming\"").into_bytes()
    };
    let deviation = frames.place("\"t\":\"deviation\"");
    let put_back_early = |data: &Path, parts: &[&str]| {
        for part in parts {
            fs::remove_dir_all(data.join(part)).unwrap();
            copy(&early.join(part), &data.join(part));
        }
    };
    let pack = |data: &Path| {
        let mut packs: Vec<PathBuf> = fs::read_dir(data.join("body")).unwrap().map(|e| e.unwrap().path()).collect();
        packs.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("pack-"));
        packs.sort();
        packs.remove(0)
    };
    let table: &[Tampering<'_>] = &[
        (
            "a finding made better and every checksum made right",
            &[],
            40,
            &["do not lead to the signed root", "INVALID"],
            &|data| frames.with(bad_word, Some(&better)).write(&data.join(segment)),
        ),
        (
            "a deviation taken out and every checksum made right",
            &[],
            40,
            &["do not lead to the signed root", "INVALID"],
            &|data| frames.with(deviation, None).write(&data.join(segment)),
        ),
        ("one bit of an entry", &[], 40, &[segment.to_str().unwrap(), "INVALID"], &|data| {
            flip(&data.join(segment), frames.offset(bad_word) + 40);
        }),
        ("the entries deleted", &[], 40, &["INVALID"], &|data| {
            fs::remove_file(data.join(segment)).unwrap();
        }),
        ("the signatures set to nothing", &[], 40, &["checkpoint", "INVALID"], &|data| {
            let path = data.join("ledger/checkpoint");
            let note = fs::read_to_string(&path).unwrap();
            fs::write(&path, &note[..note.find("\u{2014}").unwrap()]).unwrap();
        }),
        ("one bit of a body", &[], 40, &["body/pack-", "INVALID"], &|data| {
            let pack = pack(data);
            flip(&pack, fs::metadata(&pack).unwrap().len() / 2);
        }),
        ("the bodies deleted", &[], 50, &["body/pack-", "INCOMPLETE"], &|data| {
            fs::remove_file(pack(data)).unwrap();
        }),
        ("an older ledger put back", &[], 30, &["DIVERGED"], &|data| put_back_early(data, &["ledger"])),
        ("the ledger and its mark put back", &pin, 0, &[], &|data| {
            put_back_early(data, &["ledger", "guard", "body", "keys"]);
        }),
        ("the index deleted", &[], 0, &["SIGNED"], &|data| fs::remove_dir_all(data.join("index")).unwrap()),
    ];
    for (what, args, code, words, tamper) in table {
        let (exit, said) = altered(what, args, tamper);
        assert_eq!(exit, *code, "{what}: {said}");
        for word in *words {
            assert!(said.contains(word), "{what}: {word}: {said}");
        }
    }

    // The whole folder put back to the day before the auditor's checkpoint was taken: only what was kept tells.
    let later = setup.dir.path().join("later.checkpoint");
    fs::copy(setup.data().join("ledger/checkpoint"), &later).unwrap();
    let (exit, said) =
        altered("all of it put back", &["--require", "pinned", "--pin", later.to_str().unwrap()], &|data| {
            put_back_early(data, &["ledger", "guard", "body", "keys"]);
        });
    assert_eq!(exit, 30, "{said}");
}

/// Somebody reaches the API. Owed: nothing can be written there, by any method on any route, with any value; the owner's
/// socket takes the one request to collect now, and refuses what it does not know.
#[test]
fn badday_18_whoever_reaches_the_api_writes_no_evidence() {
    let (_world, server) = good();
    let setup = Setup::of_world(&server).every("every: 24h");
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    daemon.wait("the last conclusion", |api| (value(api, "A.8.5")? == FindingValue::Conforming).then_some(()));
    let settled = |daemon: &mut crate::support::Daemon<'_>| {
        // The last run's findings may still be on their way.
        let mut last = 0;
        daemon.wait("quiet", |api| {
            let size = api.entries(last).len() as u64 + last;
            let quiet = size == last && api.streams().iter().all(|view| view.running_since.is_none());
            last = size;
            quiet.then_some(size)
        })
    };
    let size = settled(&mut daemon);

    let read = [
        "/api/v1/overview",
        "/api/v1/changes",
        "/api/v1/deviations",
        "/api/v1/streams",
        "/api/v1/controls/iso27001-2022",
        "/api/v1/controls/iso27001-2022/A.8.5",
        "/api/v1/entries/0",
        "/api/v1/entries/0/proof",
        "/api/v1/checkpoint",
    ];
    let pages = ["/", "/changes", "/deviations", "/sources", "/controls/iso27001-2022", "/entries/0"];
    let health = ["/healthz", "/readyz", "/metrics"];
    let banana = r#"{"state":"banana","t":"finding","control":"A.8.5","value":"conforming"}"#;
    let (page_port, health_port) = (daemon.page(), daemon.health());
    let api = daemon.api();
    let network = |base: &str, method: &Method, path: &str| {
        api.fetch(method.clone(), &format!("{base}{path}"), banana).expect("an answer").0
    };
    let socket = |method: &Method, path: &str| api.send(method.clone(), path, banana).expect("an answer").0;
    for path in read.iter().chain(&pages) {
        assert_eq!(network(&page_port, &Method::GET, path), 200, "{path}: the table names what there is");
    }
    let methods = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    for method in &methods {
        for path in read.iter().chain(&pages) {
            assert_eq!(network(&page_port, method, path), 405, "{method} {path}");
        }
        for path in health {
            assert_eq!(network(&health_port, method, path), 405, "{method} {path}");
        }
        for path in read {
            assert_eq!(socket(method, path), 405, "{method} {path} on the socket");
        }
        for path in ["/api/v1/run-now", "/api/v1/evidence", "/api/v1/entries", "/api/v1/entries/999999"] {
            let status = network(&page_port, method, path);
            assert!([404, 405].contains(&status), "{method} {path}: {status}");
        }
    }
    let run_now = |body: &str| api.send(Method::POST, "/api/v1/run-now", body).unwrap();
    assert_eq!(run_now(banana).0, 422, "keys that nobody knows");
    assert_eq!(run_now(r#"{"what":"banana"}"#).0, 409, "a stream that nobody knows");
    assert_eq!(run_now("banana").0, 400);
    assert_eq!(run_now(&format!("{{\"what\":\"{}\"}}", "b".repeat(8192))).0, 413);
    assert_eq!(settled(&mut daemon), size, "nothing of it left a trace");

    let asked = daemon.api().send(Method::POST, "/api/v1/run-now", r#"{"what":"keycloak:acme/realm"}"#).unwrap();
    assert_eq!(asked.0, 202);
    daemon.wait("the run", |api| (api.stream("realm")?.last_run?.entry >= size).then_some(()));
}

/// Two sources, secrets of each, and an environment with more. Owed: a connector is given its own credentials and no
/// others, and no secret is anywhere: in the data directory, the API, the pages, the metrics or the log.
///
/// All connectors run in one process, so what can be seen from outside is what each sends: the other source here
/// keeps every byte that it is sent.
#[test]
fn badday_19_a_connector_sees_its_own_credentials_and_no_secret_is_kept() {
    let (world, server) = good();
    let other = Ear::listen();
    let own = format!("{CANARY}of-the-other");
    let surroundings = format!("{CANARY}in-the-environment");
    let mut setup = Setup::of_world(&server).with_webhook(&format!("{}/hook", server.url())).with_in_source(&format!(
        "  - name: other\n    owner: somebody\n    url: {}\n    realm: other\n    client_id: other-reader\n    \
         client_secret: {{env: OTHER_SECRET}}\n",
        other.url()
    ));
    setup.env = vec![("OTHER_SECRET".into(), own.clone()), ("AWS_SECRET_ACCESS_KEY".into(), surroundings)];
    let mut daemon = setup.start();
    daemon.wait("runs of both", |api| {
        let views = api.streams();
        let ended = |name: &str, outcome: Outcome| {
            let of = |view: &&query::StreamView| view.stream.source().as_str() == name;
            views.iter().filter(of).filter(|view| view.last_run.is_some_and(|run| run.outcome == outcome)).count() == 3
        };
        (ended("keycloak:acme", Outcome::Collected) && ended("keycloak:other", Outcome::Failed)).then_some(())
    });
    world.drift(Drift::BruteForceOff, "dora").unwrap();
    daemon.wait("the alert", |_| {
        world.received().iter().any(|one| one.json()["data"]["check"] == GUESSING).then_some(())
    });

    let heard = other.heard();
    assert!(contains(&heard, own.as_bytes()), "its own credentials are what it is given");
    let others: Vec<_> = canaries(&heard).into_iter().filter(|found| *found != own).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(!contains(&heard, b"whsec_") && !contains(&heard, world::READER.as_bytes()));

    // Everything that can be read, the commands' own doors included.
    let mut seen: Vec<(String, Vec<u8>)> = Vec::new();
    for (base, paths) in [
        (daemon.page(), &["/", "/changes", "/deviations", "/sources", "/controls/iso27001-2022/A.8.5"][..]),
        (daemon.health(), &["/metrics"]),
    ] {
        for path in paths {
            let (status, text) = daemon.api().fetch(Method::GET, &format!("{base}{path}"), "").unwrap();
            assert_eq!(status, 200, "{path}");
            seen.push((path.to_string(), text.into_bytes()));
        }
    }
    let entries = daemon.api().entries(0);
    assert!(entries.len() > 10);
    for entry in entries.iter().filter(|entry| entry.rows > 0).take(12) {
        for row in 0..entry.rows {
            let path = format!("/api/v1/entries/{}/{row}", entry.entry);
            let (status, text) = daemon.api().send(Method::GET, &path, "").unwrap();
            assert_eq!(status, 200, "{path}");
            seen.push((path, text.into_bytes()));
        }
    }
    seen.push(("the entries".into(), serde_json::to_vec(&entries).unwrap()));
    seen.push(("the log".into(), daemon.log().into_bytes()));
    seen.push(("the alerts".into(), world.received().iter().flat_map(|one| one.body.to_vec()).collect()));
    daemon.stop();
    files(&setup.data(), &mut |path| seen.push((path.display().to_string(), fs::read(path).unwrap())));
    // Bodies lie sealed in their packs, so each is opened.
    let offline = Offline::open(&setup.data()).unwrap();
    let mut bodies = 0;
    for (key, _) in offline.index().scan(b"b/", None, usize::MAX).unwrap() {
        let id = domain::BodyId::from_bytes(key[2..].try_into().unwrap());
        seen.push((format!("body {id}"), offline.body(&id).unwrap().unwrap()));
        bodies += 1;
    }
    assert!(bodies > 50, "{bodies}");
    assert!(seen.iter().any(|(_, bytes)| contains(bytes, b"evidenced-reader")), "what is searched is what was read");
    assert!(seen.iter().any(|(_, bytes)| contains(bytes, b"[redacted]")), "and secrets were on their way");
    for (place, bytes) in &seen {
        let found = canaries(bytes);
        assert!(found.is_empty(), "{place}: {found:?}");
        assert!(!contains(bytes, b"whsec_"), "{place}");
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Every secret of the simulated world that stands in some bytes.
fn canaries(bytes: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(bytes);
    let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.');
    text.match_indices(CANARY).map(|(at, _)| text[at..].split(ends).next().unwrap().to_owned()).collect()
}

/// A source that hears everything and answers nothing useful.
struct Ear {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
    accepting: Option<JoinHandle<()>>,
}

impl Ear {
    fn listen() -> Ear {
        let listener = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut bytes = [0; 4096];
                let length = stream.read(&mut bytes).unwrap_or(0);
                if bytes.starts_with(END) {
                    return;
                }
                let mut all = bytes[..length].to_vec();
                // The form follows its headers, at once or a little later.
                stream.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
                while !contains(&all, b"client_secret=") {
                    let Ok(more @ 1..) = stream.read(&mut bytes) else { break };
                    all.extend_from_slice(&bytes[..more]);
                }
                all.push(b'\n');
                kept.lock().unwrap().extend(all);
                let refusal = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(refusal.as_bytes());
                let _ = stream.shutdown(Shutdown::Write);
            }
        });
        Ear { port, heard, accepting: Some(accepting) }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }
}

const END: &[u8] = b"that is all";

impl Drop for Ear {
    fn drop(&mut self) {
        TcpStream::connect(("127.0.0.1", self.port)).unwrap().write_all(END).unwrap();
        self.accepting.take().unwrap().join().unwrap();
    }
}

type Change<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

/// The entries of a segment, as somebody sees them who knows the format and has the disk.
struct Frames(Vec<Vec<u8>>);

const HEADER: usize = 24;
const FRAME_HEAD: usize = 9;

impl Frames {
    fn read(path: &Path) -> Frames {
        let bytes = fs::read(path).unwrap();
        let mut rest = &bytes[HEADER..];
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let end = FRAME_HEAD + u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
            frames.push(rest[FRAME_HEAD..end].to_vec());
            rest = &rest[end..];
        }
        Frames(frames)
    }

    /// The last entry that holds these words.
    fn place(&self, words: &str) -> usize {
        self.0.iter().rposition(|entry| contains(entry, words.as_bytes())).unwrap()
    }

    /// Where the frame of an entry begins in the file.
    fn offset(&self, place: usize) -> u64 {
        (HEADER + self.0[..place].iter().map(|entry| FRAME_HEAD + entry.len()).sum::<usize>()) as u64
    }

    /// The same with one entry changed, or left out.
    fn with(&self, place: usize, change: Option<Change<'_>>) -> Frames {
        let mut frames = self.0.clone();
        match change {
            Some(change) => {
                let changed = change(&frames[place]);
                assert_ne!(changed, frames[place]);
                frames[place] = changed;
            }
            None => drop(frames.remove(place)),
        }
        Frames(frames)
    }

    fn write(&self, path: &Path) {
        let mut out = fs::read(path).unwrap()[..HEADER].to_vec();
        for (index, entry) in (0_u64..).zip(&self.0) {
            let len = (entry.len() as u32).to_le_bytes();
            let covered: Vec<u8> = [&index.to_le_bytes()[..], &len, &[1], entry].concat();
            out.extend([&len[..], &[1], &crc32c(&covered).to_le_bytes(), entry].concat());
        }
        fs::write(path, out).unwrap();
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

fn flip(path: &Path, at: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at as usize] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// Every file below a folder; sockets are none.
fn files(folder: &Path, each: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), each);
        } else if kind.is_file() {
            each(&entry.path());
        }
    }
}

fn copy(from: &Path, to: &Path) {
    files(from, &mut |path| {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(path, target).unwrap();
    });
}
