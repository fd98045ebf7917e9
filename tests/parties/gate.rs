//! A way to the real server that can be closed, and that remembers what went through.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A port of this machine that leads to the server.
pub(super) struct Gate {
    shared: Arc<Shared>,
    port: u16,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    server: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    closing: bool,
    /// Both ends of every connection.
    open: Vec<TcpStream>,
    /// What went each way of each connection, in order.
    passed: BTreeMap<usize, Vec<u8>>,
}

impl Gate {
    /// An open gate to the server with this address.
    pub(super) fn to(url: &str) -> Gate {
        let server = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let mut gate = Gate { shared: Arc::new(Shared { server, state: Mutex::default() }), port: 0, accepting: None };
        gate.open();
        gate
    }

    /// Its address.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The server can be reached, by the same port as before.
    pub(super) fn open(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        self.port = listener.local_addr().unwrap().port();
        self.shared.state.lock().unwrap().closing = false;
        let shared = self.shared.clone();
        self.accepting = Some(std::thread::spawn(move || accept(&listener, &shared)));
    }

    /// The server can no longer be reached: connections under way break, and new ones are refused.
    pub(super) fn close(&mut self) {
        self.shared.state.lock().unwrap().closing = true;
        // The accepting thread looks at its orders after each connection.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(accepting) = self.accepting.take() {
            accepting.join().unwrap();
        }
        for stream in self.shared.state.lock().unwrap().open.drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// Everything that went through, as text: each way of each connection for itself.
    pub(super) fn passed(&self) -> Vec<String> {
        let state = self.shared.state.lock().unwrap();
        state.passed.values().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.close();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        if shared.state.lock().unwrap().closing {
            return;
        }
        let Ok(server) = TcpStream::connect(&shared.server) else { continue };
        let [also_client, also_server] = [&client, &server].map(|stream| stream.try_clone().unwrap());
        shared.state.lock().unwrap().open.extend([&client, &server].map(|stream| stream.try_clone().unwrap()));
        carry(shared, also_client, also_server);
        carry(shared, server, client);
    }
}

fn carry(shared: &Arc<Shared>, mut from: TcpStream, mut to: TcpStream) {
    let shared = shared.clone();
    let way = {
        let mut state = shared.state.lock().unwrap();
        let way = state.passed.len();
        state.passed.insert(way, Vec::new());
        way
    };
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            let piece = &buffer[..n];
            shared.state.lock().unwrap().passed.entry(way).or_default().extend_from_slice(piece);
            if to.write_all(piece).is_err() {
                break;
            }
        }
        drop(to.shutdown(Shutdown::Both));
        drop(from.shutdown(Shutdown::Both));
    });
}
