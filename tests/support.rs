//! What the tests of the whole program share: a daemon as a child process, its settings, and its answers.
//!
//! Everything goes through the public doors: the binary, its settings file, its API, its data directory.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use domain::Timestamp;
use kit::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use kit::outbound::Outbound;
use query::{Alert, ChangeView, EntryView, StreamView};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use web::Listing;
use world::World;

/// Nothing that is waited for takes longer, unless something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A simulated organisation whose time is the machine's, behind HTTP.
pub(crate) fn served(world: World) -> (World, world::Server) {
    world.follow(|| now().millis());
    let server = world.serve(0).unwrap();
    (world, server)
}

/// A copy of a folder, in the place of what is there.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::remove_dir_all(to).ok();
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Settings of a test's daemon, with what most tests need.
pub(crate) struct Setup {
    /// The folder that holds settings, secrets and data; gone with the test.
    pub(crate) dir: TempDir,
    /// The address of the Keycloak that is watched.
    pub(crate) url: String,
    /// Its realm.
    pub(crate) realm: String,
    /// The reader's client.
    pub(crate) client: String,
    /// How often everything is collected.
    pub(crate) schedule: String,
    /// More settings, as YAML at the top level: `alerts`, `limits` …
    pub(crate) more: String,
    /// More settings of the source, as YAML with its indentation, and sources after it.
    pub(crate) source_more: String,
    /// All sources, as YAML below `sources`, in place of the Keycloak above. `DIR` stands for the folder of the settings.
    pub(crate) sources: Option<String>,
    /// Variables in the daemon's environment, beside those of the tests.
    pub(crate) env: Vec<(String, String)>,
}

impl Setup {
    /// Watches a Keycloak as the client `client` of `realm`, whose secret is `secret`.
    pub(crate) fn new(url: &str, realm: &str, client: &str, secret: &str) -> Setup {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("reader.secret"), secret).unwrap();
        fs::write(dir.path().join("hook.secret"), "whsec_dGVzdHMgb25seTogbm90IGEgc2VjcmV0IGF0IGFsbA==").unwrap();
        Setup {
            dir,
            url: url.to_owned(),
            realm: realm.to_owned(),
            client: client.to_owned(),
            schedule: "every: 1s".to_owned(),
            more: String::new(),
            source_more: String::new(),
            sources: None,
            env: Vec::new(),
        }
    }

    /// Watches other sources than a Keycloak: YAML below `sources`, where `DIR` stands for the folder of the settings,
    /// which also holds `secret` as the file `reader.secret`.
    pub(crate) fn of_sources(sources: &str, secret: &str) -> Setup {
        let mut setup = Setup::new("http://127.0.0.1:9", "none", "none", secret);
        setup.sources = Some(sources.to_owned());
        setup
    }

    /// Watches the simulated organisation.
    pub(crate) fn of_world(server: &world::Server) -> Setup {
        Setup::new(&server.url(), world::REALM, world::READER, world::READER_SECRET)
    }

    /// With more settings, as YAML at the top level.
    pub(crate) fn with(mut self, more: &str) -> Setup {
        self.more.push_str(more);
        self
    }

    /// With more settings of the source, or sources after it: YAML as it follows the source's own.
    pub(crate) fn with_in_source(mut self, more: &str) -> Setup {
        self.source_more.push_str(more);
        self
    }

    /// With a check of the organisation's own, in a folder of checks.
    pub(crate) fn with_check(self, name: &str, text: &str) -> Setup {
        let folder = self.dir.path().join("checks");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), text).unwrap();
        let known = self.more.contains("checks_dir:");
        if known { self } else { self.with(&format!("checks_dir: {}\n", folder.display())) }
    }

    /// With another schedule for every collector.
    pub(crate) fn every(mut self, schedule: &str) -> Setup {
        self.schedule = schedule.to_owned();
        self
    }

    /// With a signed webhook to `url`.
    pub(crate) fn with_webhook(self, url: &str) -> Setup {
        let secret = self.dir.path().join("hook.secret").display().to_string();
        self.with(&format!(
            "alerts:\n  receivers:\n  - name: hook\n    webhook: {{url: '{url}', secret: {{file: {secret}}}, allow_private: true}}\n"
        ))
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The settings file.
    pub(crate) fn settings(&self) -> PathBuf {
        self.dir.path().join("evidenced.yaml")
    }

    /// Writes the settings file, with free ports.
    pub(crate) fn write(&self) {
        let (dir, web, health) = (self.dir.path().display(), free_port(), free_port());
        let Setup { url, realm, client, schedule, more, source_more, .. } = self;
        let sources = self.sources.as_ref().map(|sources| sources.replace("DIR", &dir.to_string()));
        let sources = sources.unwrap_or_else(|| {
            format!(
                "  keycloak:\n  - name: acme\n    owner: identity team\n    url: {url}\n    realm: {realm}\n    \
                 client_id: {client}\n    client_secret: {{file: {dir}/reader.secret}}\n"
            )
        });
        let text = format!(
            "organisation: Acme\ndata: {dir}/data\nweb: {{listen: '127.0.0.1:{web}'}}\nhealth: {{listen: '127.0.0.1:{health}'}}\n\
             schedules: {{default: '{schedule}'}}\n{more}sources:\n{sources}{source_more}"
        );
        fs::write(self.settings(), text).unwrap();
    }

    /// Writes the settings, makes the data directory unless there is one, and starts a daemon.
    pub(crate) fn start(&self) -> Daemon<'_> {
        self.write();
        self.start_as_written(&[])
    }

    /// Starts a daemon with the settings file as it is, and more arguments to `run`.
    pub(crate) fn start_as_written(&self, args: &[&str]) -> Daemon<'_> {
        let log = self.dir.path().join("daemon.log");
        let child = Command::new(binary())
            .args(["run", "--init", "--until-stdin-ends", "--config"])
            .arg(self.settings())
            .args(args)
            .envs(self.env.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(fs::OpenOptions::new().create(true).append(true).open(&log).unwrap())
            .spawn()
            .unwrap();
        Daemon { child, setup: self, log, api: Api::new(&self.data().join("control.sock")) }
    }

    /// The settings as the program reads them.
    pub(crate) fn read(&self) -> evidenced::config::Settings {
        let text = fs::read_to_string(self.settings()).unwrap();
        evidenced::config::parse("evidenced.yaml", &text).unwrap()
    }

    /// Runs a command of the program with these settings and waits for its end.
    pub(crate) fn command(&self, args: &[&str]) -> Output {
        Command::new(binary()).arg("--config").arg(self.settings()).args(args).output().unwrap()
    }

    /// Starts a daemon that is expected to refuse, and to record nothing; gives what it said.
    pub(crate) fn refused(&self) -> String {
        let size = || ledger::Reader::open(&self.data().join("ledger")).size().ok();
        let before = size();
        let run = self.command(&["run", "--until-stdin-ends"]);
        let said = String::from_utf8([run.stdout, run.stderr].concat()).unwrap();
        assert_eq!(run.status.code(), Some(2), "{said}");
        assert_eq!(size(), before, "nothing was recorded: {said}");
        said
    }

    /// Verifies the data directory with nothing but itself; gives the exit code and what was printed.
    pub(crate) fn verify(&self) -> (i32, String) {
        let output = Command::new(binary()).arg("verify").arg(self.data()).output().unwrap();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// The program under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_evidenced"))
}

/// A port of 127.0.0.1 that nobody listens on, and that was given to nobody before: whoever got one may not listen yet.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap();
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if given.insert(port) {
            return port;
        }
    }
}

/// A running daemon; ended with the test.
pub(crate) struct Daemon<'a> {
    pub(crate) child: Child,
    pub(crate) setup: &'a Setup,
    log: PathBuf,
    api: Api,
}

impl Daemon<'_> {
    /// The daemon's API.
    pub(crate) fn api(&self) -> &Api {
        &self.api
    }

    /// What the daemon has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of its log, for whoever has to find out what went wrong.
    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Waits until `done` gives something; fails with the log after [`PATIENCE`].
    pub(crate) fn wait<T>(&mut self, what: &str, mut done: impl FnMut(&Api) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = done(&self.api) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the daemon ended ({ended:?}) while waiting for {what}:\n{}", self.tail());
            assert!(began.elapsed() < PATIENCE, "{what} did not come:\n{}", self.tail());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The address of the pages and the API for everybody on this machine.
    pub(crate) fn page(&self) -> String {
        format!("http://{}", self.setup.read().web.listen)
    }

    /// The address of health and metrics.
    pub(crate) fn health(&self) -> String {
        format!("http://{}", self.setup.read().health.listen)
    }

    /// The metrics as Prometheus would read them.
    pub(crate) fn metrics(&self) -> Metrics {
        let (status, text) = self.api.fetch(Method::GET, &format!("{}/metrics", self.health()), "").unwrap();
        assert_eq!(status, 200, "{text}");
        Metrics(text)
    }

    /// Waits until the process has ended by itself; gives its exit code.
    pub(crate) fn ended(mut self) -> Option<i32> {
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < PATIENCE, "it does not end:\n{}", self.tail());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child.wait().unwrap().code()
    }

    /// Waits until every stream has ended `runs` more runs than now.
    pub(crate) fn wait_for_runs(&mut self, runs: u64) -> Vec<StreamView> {
        let count = |view: &StreamView| view.outcomes.iter().take(3).sum::<u64>();
        // After a restart the ledger has runs already, so nothing is counted before there is an answer.
        let known = self.wait("an answer", |api| api.get::<Listing<StreamView>>("streams")).items;
        let before: std::collections::BTreeMap<_, _> =
            known.into_iter().map(|view| (view.stream.clone(), count(&view))).collect();
        self.wait("more runs", |api| {
            let views = api.streams();
            let enough = |view: &StreamView| count(view) >= before.get(&view.stream).copied().unwrap_or(0) + runs;
            (views.len() >= 3 && views.iter().all(enough)).then_some(views)
        })
    }

    /// Asks it to end, by SIGTERM, and waits; gives its exit code and how long it took.
    pub(crate) fn stop(mut self) -> (Option<i32>, Duration) {
        let began = Instant::now();
        signal(&self.child, "TERM");
        while self.child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < PATIENCE, "it does not end:\n{}", self.tail());
            std::thread::sleep(Duration::from_millis(20));
        }
        (self.child.wait().unwrap().code(), began.elapsed())
    }

    /// Kills it, as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// Sends a signal to a child by its name.
pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status().unwrap();
    assert!(sent.success());
}

/// Metrics in the text format of Prometheus.
pub(crate) struct Metrics(pub(crate) String);

impl Metrics {
    /// The sum of all samples of a name whose labels hold all of `labels`, each as `name="value"`.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let lines = self.0.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && labels.iter().all(|label| line.contains(label))
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

/// The API over the control socket.
pub(crate) struct Api {
    client: Outbound,
    network: Outbound,
    runtime: Runtime,
}

impl Api {
    fn new(socket: &Path) -> Api {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(async { Outbound::over_socket(socket) }).unwrap();
        let network = runtime.block_on(async { Outbound::network(&kit::Network::default()) }).unwrap();
        Api { client, network, runtime }
    }

    /// Sends a request over the control socket; gives status and text, or `None` when there is no answer.
    pub(crate) fn send(&self, method: Method, path: &str, body: &str) -> Option<(u16, String)> {
        self.request(&self.client, method, &format!("http://localhost{path}"), body)
    }

    /// Sends a request over the network; gives status and text, or `None` when there is no answer.
    pub(crate) fn fetch(&self, method: Method, url: &str, body: &str) -> Option<(u16, String)> {
        self.request(&self.network, method, url, body)
    }

    /// The status of an answer to whoever shows a token.
    pub(crate) fn status_with(&self, token: &str, url: &str) -> Option<u16> {
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]);
        let url = url.parse().unwrap();
        let ask = self.network.ask(Method::GET, &url, headers, Default::default(), Duration::from_secs(10));
        Some(self.runtime.block_on(ask).ok()?.status().as_u16())
    }

    fn request(&self, client: &Outbound, method: Method, url: &str, body: &str) -> Option<(u16, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = body.as_bytes().to_vec().into();
        let url = url.parse().unwrap();
        let ask = client.ask(method, &url, headers, body, Duration::from_secs(10));
        let answer = self.runtime.block_on(ask).ok()?;
        Some((answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned()))
    }

    /// An answer of the API; `None` when there is none, or none yet.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Option<T> {
        let url = format!("http://localhost/api/v1/{path}").parse().unwrap();
        let ask = || {
            let ask = self.client.ask(Method::GET, &url, HeaderMap::new(), Default::default(), Duration::from_secs(10));
            self.runtime.block_on(ask).ok()
        };
        // A server may close a connection that idles just when it is used again; whoever asks then asks again.
        let answer = ask().or_else(ask)?;
        (answer.status() == StatusCode::OK).then(|| serde_json::from_slice(answer.body()).unwrap())
    }

    /// All streams; none while the daemon is starting.
    pub(crate) fn streams(&self) -> Vec<StreamView> {
        self.get::<Listing<StreamView>>("streams").map(|list| list.items).unwrap_or_default()
    }

    /// One stream by its collector.
    pub(crate) fn stream(&self, collector: &str) -> Option<StreamView> {
        self.streams().into_iter().find(|view| view.stream.collector().as_str() == collector)
    }

    /// Open deviations.
    pub(crate) fn deviations(&self) -> Vec<Alert> {
        self.get::<Listing<Alert>>("deviations").map(|list| list.items).unwrap_or_default()
    }

    /// The open deviation of a check, if there is one.
    pub(crate) fn deviation(&self, check: &str) -> Option<Alert> {
        self.deviations().into_iter().find(|alert| alert.check.as_ref().is_some_and(|id| id.as_str() == check))
    }

    /// The latest changes, newest first.
    pub(crate) fn changes(&self) -> Vec<ChangeView> {
        self.get::<Listing<ChangeView>>("changes?limit=200").map(|list| list.items).unwrap_or_default()
    }

    /// Every entry from `from` on, in order.
    pub(crate) fn entries(&self, from: u64) -> Vec<EntryView> {
        (from..).map_while(|number| self.get(&format!("entries/{number}"))).collect()
    }

    /// Entries of one kind, as they stand in the ledger.
    pub(crate) fn facts(&self, kind: &str) -> Vec<Value> {
        self.entries(0).into_iter().filter(|view| view.kind == kind).map(|view| view.fact).collect()
    }
}

/// Now, by the machine's clock.
pub(crate) fn now() -> Timestamp {
    domain::Clock::now(&evidenced::clock::SystemClock)
}
