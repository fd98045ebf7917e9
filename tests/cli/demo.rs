//! The demo: it leaves others alone, says what is wrong, and ends well whenever it is told to.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use crate::support::{binary, signal};

/// A demo that has told of its first look.
struct Running {
    child: Child,
    said: BufReader<ChildStdout>,
    text: String,
}

impl Running {
    fn start(data: &Path) -> Running {
        let mut child = Command::new(binary())
            .args(["demo", "--people", "20", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut running = Running { child, said, text: String::new() };
        while !running.text.contains("collected") {
            assert!(running.said.read_line(&mut running.text).unwrap() > 0, "it ended:\n{}", running.text);
        }
        running
    }

    /// Ends it as Ctrl-C would; gives its exit code and all it said.
    fn interrupt(mut self) -> (Option<i32>, String) {
        signal(&self.child, "INT");
        std::io::Read::read_to_string(&mut self.said, &mut self.text).unwrap();
        (self.child.wait().unwrap().code(), std::mem::take(&mut self.text))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn demo(args: &[&str], data: &Path) -> Output {
    Command::new(binary()).arg("demo").args(args).arg("--data").arg(data).output().unwrap()
}

#[test]
fn a_demo_that_still_runs_is_left_alone_and_ctrl_c_ends_it_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let (running, beside) = (Running::start(&first), Running::start(&second));
    for args in [&["--fresh"][..], &[]] {
        let refused = demo(args, &first);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("is in use by process "), "{said}");
        // Its daemon is named, by a number that is alive.
        let process: u32 = said
            .split("process ")
            .nth(1)
            .unwrap()
            .chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>()
            .parse()
            .unwrap();
        assert!(Command::new("kill").args(["-0", &process.to_string()]).status().unwrap().success());
    }
    for (demo, data) in [(running, &first), (beside, &second)] {
        let (code, said) = demo.interrupt();
        assert_eq!(code, Some(130), "{said}");
        assert!(said.contains("interrupted: the story ends here"), "{said}");
        assert!(said.contains("nothing altered, nothing missing"), "{said}");
        assert!(!data.join("control.sock").exists(), "its daemon has ended");
        let verified = Command::new(binary()).arg("verify").arg(data).output().unwrap();
        assert_eq!(verified.status.code(), Some(0));
    }
}

#[test]
fn a_demo_whose_daemon_cannot_listen_says_so_itself() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let failed = demo(&["--people", "20", "--port", &port], &folder.path().join("demo"));
    let said = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{said}");
}

#[test]
fn a_folder_that_no_demo_made_is_neither_used_nor_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("mine");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("settings.yaml"), "organisation: mine\n").unwrap();
    let refused = demo(&["--fresh"], &data);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("was not made by a demo"));
    assert!(data.join("settings.yaml").exists());
}
