//! A witness nobody here wrote: litewitness of Torchwood, which speaks C2SP tlog-witness and remembers what it cosigned.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ledger::Reader;
use world::World;

use super::needed;
use crate::support::{PATIENCE, Setup, binary, copy, free_port, now, served};

/// A litewitness with a key of its own in an agent of its own; both end with the test.
struct LiteWitness {
    dir: tempfile::TempDir,
    agent: Child,
    program: Child,
    port: u16,
    /// Its verifier key, by its own word.
    key: String,
}

impl LiteWitness {
    fn start() -> LiteWitness {
        let dir = tempfile::tempdir().unwrap();
        let (socket, seed) = (dir.path().join("agent"), dir.path().join("key"));
        let done = |command: &mut Command| {
            let output = command.output().unwrap();
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        done(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&seed));
        let agent = Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        while !socket.exists() {
            assert!(began.elapsed() < PATIENCE, "the agent does not come");
            std::thread::sleep(Duration::from_millis(20));
        }
        done(Command::new("ssh-add").arg("-q").arg(&seed).env("SSH_AUTH_SOCK", &socket));
        let known = done(Command::new("ssh-keygen").arg("-lf").arg(&seed));
        let fingerprint = known.split(' ').find(|word| word.starts_with("SHA256:")).unwrap().to_owned();
        let port = free_port();
        let mut program = Command::new(needed("LITEWITNESS_URL"))
            .args(["-name", "witness.example.com/lite", "-key", &fingerprint, "-listen", &format!("127.0.0.1:{port}")])
            .arg("-ssh-agent")
            .arg(&socket)
            .arg("-db")
            .arg(dir.path().join("witness.db"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(program.stderr.take().unwrap()).lines().map_while(Result::ok);
        let key = lines.find_map(|line| Some(line.split_once("vkey=")?.1.trim_matches('"').to_owned()));
        // What it says after that is taken, or it would wait for somebody to read it.
        std::thread::spawn(move || lines.for_each(drop));
        LiteWitness { dir, agent, program, port, key: key.expect("it names its key") }
    }

    /// Has it know a ledger, as its operator does by writing origin and key into its database.
    fn learn(&self, origin: &str, key: &str) {
        let script = "import base64, hashlib, sqlite3, sys\nfile, origin, key = sys.argv[1:]\n\
            empty = base64.b64encode(hashlib.sha256().digest()).decode()\n\
            with sqlite3.connect(file, timeout=10) as db:\n \
            db.execute('INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)', (origin, empty))\n \
            db.execute('INSERT INTO key (origin, key) VALUES (?, ?)', (origin, key))\n";
        let file = self.dir.path().join("witness.db");
        let output = Command::new("python3").args(["-c", script]).arg(file).args([origin, key]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for LiteWitness {
    fn drop(&mut self) {
        for child in [&mut self.program, &mut self.agent] {
            drop(child.kill().and_then(|()| child.wait()));
        }
    }
}

#[test]
#[ignore = "needs litewitness: run by tests/all"]
fn party_litewitness_cosigns_the_ledger_and_an_older_copy_is_refused_on_its_word() {
    let (_world, server) = served(World::new(7, 12, now().millis()));
    let witness = LiteWitness::start();
    let setup = Setup::of_world(&server).with(&format!(
        "witnesses:\n- {{key: '{}', url: 'http://127.0.0.1:{}', every: 1s}}\n",
        witness.key, witness.port
    ));
    let data = setup.data();
    let mut daemon = setup.start();
    daemon.wait_for_runs(1);
    assert!(daemon.api().facts("cosigned").is_empty(), "it knows no such ledger yet");
    let head = Reader::open(&data.join("ledger")).head().unwrap().unwrap().checkpoint;
    let key = setup.command(&["ledger", "key"]).stdout;
    witness.learn(&head.origin, String::from_utf8(key).unwrap().trim());
    daemon.wait("cosignatures", |api| (api.facts("cosigned").len() >= 2).then_some(()));
    assert_eq!(daemon.stop().0, Some(0));

    let verified = Command::new(binary())
        .args(["verify", "--require", "pinned", "--witness", &witness.key])
        .arg(&data)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success() && told.contains("witness.example.com/lite saw the first"), "{told}");
    println!("{told}");

    // The whole data directory is put back to before: nothing here remembers more, and the witness does.
    let old = setup.dir.path().join("old");
    copy(&data, &old);
    let mut daemon = setup.start();
    // Counted once it answers at all.
    daemon.wait_for_runs(1);
    let before = daemon.api().facts("cosigned").len();
    assert!(before >= 2, "{before}");
    daemon.wait("more cosignatures", |api| (api.facts("cosigned").len() > before + 1).then_some(()));
    assert_eq!(daemon.stop().0, Some(0));
    copy(&old, &data);
    let said = setup.refused();
    assert!(said.contains("witness.example.com/lite has seen"), "{said}");
}
