//! The commands and their options, as `--help` tells them.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::{FrameworkId, ResourceKey, RowAddress, SourceId, StreamId, Timestamp};

/// The heading of options that every command has.
const EVERYWHERE: &str = "Options of every command";

/// Watches cloud, identity and source-control systems, keeps evidence that nobody can alter or remove unseen, and tells
/// people when something drifts from the controls of ISO/IEC 27001 and 27017.
#[derive(Parser, Debug)]
#[command(name = "evidenced", version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "Exit codes: 0 done, 1 deviations (scan --fail-on deviates), 2 error, 3 evidence incomplete.\n\
    verify has its own: 0 met, 20 level not met, 30 diverged, 40 invalid, 50 incomplete, 2 usage.\n\
    A demo that Ctrl-C ended before its story was told: 130.\n\n\
    Start here: evidenced demo")]
pub struct Cli {
    /// The settings file [default: ./evidenced.yaml]
    #[arg(long, short, global = true, env = "EVIDENCED_CONFIG", value_name = "FILE", help_heading = EVERYWHERE)]
    pub config: Option<PathBuf>,
    /// The data directory [default: what the settings say, else ./evidenced-data; of the demo: ./evidenced-demo]
    #[arg(long, short, global = true, value_name = "DIR", help_heading = EVERYWHERE)]
    pub data: Option<PathBuf>,
    /// Print facts as JSON, one object per line
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make a data directory: signing key, and a ledger with its first entry
    Init(InitArgs),
    /// Run the daemon
    Run(RunArgs),
    /// A simulated organisation and the daemon that watches it, on this machine only
    #[cfg(feature = "demo")]
    Demo(DemoArgs),
    /// Collect and check once, now, and print what was found
    Scan(ScanArgs),
    /// What would be asked, how often and with which permissions; contacts nothing
    Plan,
    /// The permissions to grant, for each kind of source
    Permissions(PermissionsArgs),
    /// A control or a check: what speaks to it, on what evidence, and what cannot be seen
    Explain(ExplainArgs),
    /// One entry (166) or one row of its manifest (166/1), with the calls and the proof behind it
    Show(ShowArgs),
    /// Checks, controls, sources, deviations, or what changed
    List(ListArgs),
    /// Re-derive everything: hashes, signatures, manifests, slots. Needs no key, no daemon, no index
    Verify(VerifyArgs),
    /// Whether everything is in order for the daemon here: settings, secrets, disk, keys, index, guard, anchors, clock, scrub.
    /// Changes nothing, contacts nobody outside; 0 when nothing is bad, 2 when something is
    Doctor,
    /// The ledger itself: its verifier key, and a copy in the form that other people's tools read
    Ledger(LedgerArgs),
    /// Evidence of controls or streams in a period, as a folder that an auditor verifies without this program
    Package(PackageArgs),
    /// A consistent copy of the data directory, beside a running daemon. The signing key is not in it, nor the guard
    Backup(BackupArgs),
    /// Read a copy back into a new or empty folder (--data DIR)
    Restore(RestoreArgs),
    /// Destroy what was recorded of a person or thing (one resource, or several that belong together). Ledger and proofs stay
    Erase(EraseArgs),
    /// Forbid that something is erased or expires, for as long as a dispute needs it
    Hold(HoldArgs),
    /// End a hold
    Release(ReleaseArgs),
    /// What is no longer to be kept by the settings (retention), what still is and why, and when it goes. Only looks
    Retention,
    /// Compute recorded observations again, byte for byte, with the checks of their day; and say what today's would flip
    Replay(ReplayArgs),
    /// Ask the running daemon to collect now
    RunNow(RunNowArgs),
    /// Work with checks
    Checks(ChecksArgs),
    /// Work with settings
    Config(ConfigArgs),
    /// Print what a shell needs to complete commands and options
    Completions(CompletionsArgs),
}

/// `init`
#[derive(Args, Debug)]
pub struct InitArgs {
    /// Be content with a ledger that is there already: for what runs before every start of the daemon
    #[arg(long)]
    pub once: bool,
    /// With --once: only the ledger whose first entry names this verifier key will do. Another one is refused, and so is an
    /// empty folder, which is an unmounted or a lost volume
    #[arg(long, value_name = "VKEY", requires = "once")]
    pub expect: Option<String>,
}

/// `run`
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Make the data directory when there is none. Without this, an empty folder is refused: an unmounted volume must
    /// not start a second ledger
    #[arg(long)]
    pub init: bool,
    /// Abort the process at the N-th step of this kind (append, sync, read_back, guard, sign, publish): for crash tests
    #[arg(long, hide = true, value_name = "STEP:N")]
    pub crash_at: Option<String>,
    /// Believe this file, in bytes, about the free space on the disk: for tests of a full one
    #[arg(long, hide = true, value_name = "FILE")]
    pub room_in: Option<PathBuf>,
    /// Wait at every step as many milliseconds as this file says: for tests of a slow disk
    #[arg(long, hide = true, value_name = "FILE")]
    pub slow_in: Option<PathBuf>,
    /// Write nothing while this file is there: for tests of a disk that became read-only
    #[arg(long, hide = true, value_name = "FILE")]
    pub read_only_by: Option<PathBuf>,
    /// Stop when standard input ends: for a parent that must not leave a daemon behind
    #[arg(long, hide = true)]
    pub until_stdin_ends: bool,
}

/// `run-now`
#[derive(Args, Debug)]
pub struct RunNowArgs {
    /// A stream (keycloak:acme/realm) or a source (keycloak:acme) for all its streams; everything when left out
    pub what: Option<String>,
}

/// `demo`
#[cfg(feature = "demo")]
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Keep it up after the story is told, until you press Ctrl-C, which is then its end. Pressed before that, it ends
    /// the daemon in good order as well, and the exit code is 130
    #[arg(long)]
    pub stay: bool,
    /// Start over: delete the demo's data directory first
    #[arg(long)]
    pub fresh: bool,
    /// People in the simulated organisation
    #[arg(long, default_value_t = 120, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub people: u32,
    /// Port of the page [default: 8461, or a free one when that is taken]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
}

/// `scan`
#[derive(Args, Debug)]
pub struct ScanArgs {
    /// Only this source
    #[arg(long, value_name = "KIND:NAME")]
    pub source: Option<SourceId>,
    /// Only this stream
    #[arg(long, value_name = "KIND:NAME/COLLECTOR", conflicts_with = "source")]
    pub stream: Option<StreamId>,
    /// Make the data directory when there is none. Without this, an empty folder is refused, as by `run`
    #[arg(long)]
    pub init: bool,
    /// Exit with 1 when something deviates
    #[arg(long, value_name = "WHAT")]
    pub fail_on: Option<FailOn>,
}

/// What `scan` reports by its exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum FailOn {
    /// A resource deviates from a check.
    Deviates,
}

/// `permissions`
#[derive(Args, Debug)]
pub struct PermissionsArgs {
    /// Kind of source, for example keycloak [default: all that the settings name, or all there are]
    pub kind: Option<String>,
    /// In which form: words for a person, JSON, or a document that grants them
    #[arg(long, value_name = "FORM", default_value = "text", value_parser = permission_forms())]
    pub format: String,
}

/// The forms in which permissions can be had.
fn permission_forms() -> PossibleValuesParser {
    let documents = connectors::kinds().flat_map(|kind| kind.documents);
    let documents = documents.map(|document| PossibleValue::new(document.format).help(document.about));
    let plain = [("text", "words for a person"), ("json", "what each call needs, and why")];
    PossibleValuesParser::new(
        plain.map(|(form, about)| PossibleValue::new(form).help(about)).into_iter().chain(documents),
    )
}

/// `explain`
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// A control (A.8.5) or a check (keycloak.realm.brute_force)
    pub what: String,
    /// The catalogue of the control [default: the one that has this number]
    #[arg(long, value_name = "ID")]
    pub framework: Option<FrameworkId>,
    /// Count runs from this moment on (2026-07-01 or RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Count runs up to this moment
    #[arg(long, value_name = "TIME")]
    pub to: Option<Timestamp>,
}

/// `show`
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// An entry (166) or a row (166/1); a leading # is allowed
    pub address: RowAddress,
    /// Write the entry to FILE, byte for byte, and the proof that it is in the ledger to FILE.tlog-proof (C2SP)
    #[arg(long, value_name = "FILE")]
    pub proof: Option<PathBuf>,
}

/// `list`
#[derive(Args, Debug)]
pub struct ListArgs {
    /// What to list
    #[arg(value_enum)]
    pub what: Listing,
    /// At most this many changes
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub limit: usize,
    /// The catalogue of the controls
    #[arg(long, default_value = "iso27001-2022", value_name = "ID")]
    pub framework: FrameworkId,
}

/// What can be listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Listing {
    /// The checks in force.
    Checks,
    /// The controls of a catalogue, each with its finding.
    Controls,
    /// The sources and how fresh they are.
    Sources,
    /// What deviates.
    Deviations,
    /// What changed, newest first.
    Changes,
}

/// `verify`
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// The data directory, or an evidence package [default: as for every command]
    pub dir: Option<PathBuf>,
    /// The least level that will do
    #[arg(long, value_enum, default_value_t = Level::Signed)]
    pub require: Level,
    /// A checkpoint that you kept: proves that nothing before it was changed or removed since
    #[arg(long, value_name = "FILE")]
    pub pin: Option<PathBuf>,
    /// The verifier key you were given, one line, be it the first or a later one of the ledger; lines with # before them do
    /// not count [default: the one in entry 0, which proves less]
    #[arg(long, value_name = "VKEY")]
    pub key: Option<String>,
    /// Certificates (PEM) that you trust to vouch for the authorities that date the ledger; may be given several times
    /// [default: those that the settings name, when they are read]
    #[arg(long, value_name = "FILE")]
    pub ca: Vec<PathBuf>,
    /// The key of a witness that you trust, one line: what it cosigned counts as a checkpoint that you kept; may be given
    /// several times
    #[arg(long, value_name = "VKEY")]
    pub witness: Vec<String>,
    /// Do not recompute the bodies
    #[arg(long)]
    pub skip_bodies: bool,
}

/// How far a verification must reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Level {
    /// Everything hashes to a signed root.
    Signed,
    /// And to a checkpoint that you kept, or that a witness you trust cosigned.
    Pinned,
    /// And an authority outside, which you trust, dated it, and lately.
    Anchored,
}

/// `ledger`
#[derive(Args, Debug)]
pub struct LedgerArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: LedgerCommand,
}

/// `ledger …`
#[derive(Subcommand, Debug)]
pub enum LedgerCommand {
    /// Print the verifier keys: the one in force first, then those before it, each with the entries it signs for. Hand
    /// the first to whoever verifies, by another way than the evidence; who has an older one can follow from there
    Key,
    /// Print a trust policy (C2SP tlog-policy) for other people's verifiers: the keys whose checkpoints to accept
    Policy,
    /// Give the ledger another signing key. The daemon must not run. Both keys sign until an outside authority (anchors)
    /// has dated what both have signed, or for a day where there is none; the running daemon then retires the older one
    RotateKey,
    /// End this ledger, when it can never go on, and begin the one that continues it, under another name and key. Its first
    /// entry says what came before, what of it is missing, and why. The old one is kept in DATA/closed. The daemon must not
    /// run. There is no way back
    Close {
        /// Why, for whoever audits it
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        because: String,
        /// Do not ask, where the ledger could go on as it is
        #[arg(long)]
        yes: bool,
    },
    /// Keep the keys of all records under another data key. The daemon must not run; packs and ledger stay as they are.
    /// Who has an older copy of the folder of keys still needs the older data key for it
    Rewrap {
        /// A file with the new data key, 64 hexadecimal digits: the settings must name it from then on (data_key)
        /// [default: a new one, in the folder of keys]
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Write the ledger as C2SP tlog-tiles: tiles, entry bundles, checkpoint. Reads beside a running daemon; run it
    /// again to carry on what was interrupted or has grown
    Export {
        /// The folder: new, empty, or an earlier export of the same ledger
        #[arg(long, value_name = "DIR")]
        tiles: PathBuf,
    },
}

/// `package`
#[derive(Args, Debug)]
#[command(
    after_help = "The folder holds a page (index.html), tables (csv/), the entries with their proofs, and VERIFY.md, which says \
    how to verify all of it with python3 and openssl alone. The same ledger and the same arguments give the same bytes.\n\n\
    Exit codes: 0 made and recorded, 3 made and recorded, and incomplete as it says, 2 nothing was made.\n\n\
    Example: evidenced package --control A.8.5 --period 2026-07-01..2026-10-01 --out room-2026-Q3 --for 'Audit firm'"
)]
pub struct PackageArgs {
    /// A control (A.8.5, or iso27001-2022/A.8.5): everything of the checks that bear on it; may be given more than once
    #[arg(long, value_name = "CONTROL")]
    pub control: Vec<String>,
    /// A stream with all its checks; may be given more than once
    #[arg(long, value_name = "KIND:NAME/COLLECTOR")]
    pub stream: Vec<StreamId>,
    /// Every stream
    #[arg(long)]
    pub all: bool,
    /// From a moment up to another, which is no part of it (2026-07-01..2026-10-01); without the second as far as was
    /// collected
    #[arg(long, value_name = "FROM..TO", value_parser = period)]
    pub period: (Timestamp, Option<Timestamp>),
    /// The folder to make
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Do not show a field (keycloak.user.email, keycloak.user.name) or anything of a type (keycloak.user); it stays
    /// counted and verifiable. Answers as received are left out then, since they could hold it
    #[arg(long, value_name = "FIELD", num_args = 1..)]
    pub hide: Vec<String>,
    /// A checkpoint that the receiver kept: the package will prove that it continues it; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub pin: Vec<PathBuf>,
    /// Whom it is for: recorded in the ledger, so that they can be told when something in it is erased
    #[arg(long = "for", value_name = "NAME")]
    pub recipient: String,
}

/// `erase`
#[derive(Args, Debug)]
#[command(
    after_help = "Each record lies sealed under a key of its own; that key is destroyed, with those of all answers in which an id, a \
    name or an address of it stands. What is not there any more is said to be erased everywhere, and no proof breaks. A \
    daemon that runs does it once its runs under way have ended. Whoever is still at the source is collected again, as somebody \
    new: erase after they are gone from there.\n\n\
    Example: evidenced erase --find dora@example.org\n         \
    evidenced erase keycloak.user/0b1c… --because 'request of 2026-11-20' --by 'Data protection officer' --yes\n\n\
    Exit codes: 0 erased, or found, or shown; 2 nothing was erased."
)]
pub struct EraseArgs {
    /// What to erase: a type and the source's own id, as --find prints them
    #[arg(value_name = "TYPE/ID", required_unless_present = "find", value_parser = resource)]
    pub resources: Vec<ResourceKey>,
    /// Only list the records in which a word stands: a name, an address, an id
    #[arg(long, value_name = "WORD", conflicts_with = "resources")]
    pub find: Option<String>,
    /// A word to look for in answers beside its ids, names and addresses; may be given more than once
    #[arg(long, value_name = "WORD")]
    pub also_named: Vec<String>,
    /// Why, in words that name nobody: it stands in the ledger for ever
    #[arg(long, value_name = "TEXT")]
    pub because: Option<String>,
    /// Who asked for it
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Only show what would go, what would stay and who else has it
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask again
    #[arg(long)]
    pub yes: bool,
}

/// `hold`
#[derive(Args, Debug)]
pub struct HoldArgs {
    /// What to hold: a type and the source's own id, as `erase --find` prints them
    #[arg(value_name = "TYPE/ID", required_unless_present = "all", conflicts_with = "all", value_parser = resource)]
    pub resources: Vec<ResourceKey>,
    /// Everything that is and will be recorded
    #[arg(long)]
    pub all: bool,
    /// Why, and by whom.
    #[command(flatten)]
    pub why: TwoRoles,
}

/// `release`
#[derive(Args, Debug)]
pub struct ReleaseArgs {
    /// The entry that recorded the hold (166); a leading # is allowed
    #[arg(value_name = "ENTRY")]
    pub hold: RowAddress,
    /// Why, and by whom.
    #[command(flatten)]
    pub why: TwoRoles,
}

/// What one person asks for and another approves.
#[derive(Args, Debug)]
pub struct TwoRoles {
    /// Why, in words that name nobody: it stands in the ledger for ever
    #[arg(long, value_name = "TEXT")]
    pub because: String,
    /// Who asks for it
    #[arg(long, value_name = "NAME")]
    pub asked_by: String,
    /// Who approved it: somebody else
    #[arg(long, value_name = "NAME")]
    pub approved_by: String,
}

/// Reads `TYPE/ID`.
fn resource(text: &str) -> Result<ResourceKey, String> {
    let (kind, id) = text.split_once('/').filter(|(_, id)| !id.is_empty()).ok_or("expected TYPE/ID")?;
    Ok(ResourceKey { kind: kind.parse().map_err(|error| format!("{error}"))?, id: id.to_owned() })
}

/// `replay`
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 everything came out as recorded, 2 something did not, 3 something could not be computed again."
)]
pub struct ReplayArgs {
    /// Only this entry: a run, or the observations of one
    #[arg(long, value_name = "N", conflicts_with = "period")]
    pub entry: Option<u64>,
    /// Only what was recorded from a moment up to another (2026-07-01..2026-10-01)
    #[arg(long, value_name = "FROM..TO", value_parser = period)]
    pub period: Option<(Timestamp, Option<Timestamp>)>,
}

/// Reads `FROM..TO` or `FROM..`.
fn period(text: &str) -> Result<(Timestamp, Option<Timestamp>), String> {
    let (from, to) = text.split_once("..").ok_or("expected FROM..TO, for example 2026-07-01..2026-10-01")?;
    let moment = |text: &str| text.parse::<Timestamp>().map_err(|error| error.to_string());
    Ok((moment(from)?, if to.is_empty() { None } else { Some(moment(to)?) }))
}

/// `backup`
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// The file to write, a tar archive, which must not be there yet; - for standard output
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}

/// `restore`
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// The copy; - for standard input
    #[arg(required_unless_present = "from")]
    pub file: Option<PathBuf>,
    /// The same, named as `backup --to` names it
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    pub from: Option<PathBuf>,
    /// Verify everything before it is put in its place; what does not verify is not kept
    #[arg(long)]
    pub verify: bool,
}

/// `checks`
#[derive(Args, Debug)]
pub struct ChecksArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ChecksCommand,
}

/// `checks …`
#[derive(Subcommand, Debug)]
pub enum ChecksCommand {
    /// Run the examples beside every check
    Test {
        /// More check files to load, as `checks_dir` in the settings
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// `completions`
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// Which shell
    pub shell: Shell,
}

/// A shell that can complete commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Shell {
    /// `source <(evidenced completions bash)`
    Bash,
    /// `evidenced completions zsh > "${fpath[1]}/_evidenced"`
    Zsh,
    /// `evidenced completions fish > ~/.config/fish/completions/evidenced.fish`
    Fish,
}

/// `config`
#[derive(Args, Debug)]
pub struct ConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// `config …`
#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// Read the settings and everything they name; contacts nothing
    Validate {
        /// Do not look whether secrets lie where the settings say: for a machine that has none, such as one that builds
        #[arg(long)]
        without_secrets: bool,
    },
    /// Print the JSON Schema of the settings
    Schema,
    /// Print commented example settings
    Example,
}
