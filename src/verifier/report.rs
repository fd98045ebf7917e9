//! What a verification is asked, and what it answers.

pub use ledger::Kind;
use ledger::VerifierKey;

/// What to hold a package against.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Verifier keys that were obtained otherwise than with the package. `None` takes those that the package names, which
    /// proves less: nothing then shows whose ledger it is.
    pub keys: Option<Vec<VerifierKey>>,
    /// A checkpoint that was kept: the signed note, byte for byte. The package has to continue it.
    pub pin: Option<Vec<u8>>,
    /// The package's digest, 64 hexadecimal digits, as its sender told it.
    pub digest: Option<String>,
    /// Certificates that are trusted to vouch for authorities of outside time.
    pub roots: anchor::Roots,
}

/// How much is proven, in ascending order but for [`Level::Anchored`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// No known key signed the package's checkpoints.
    Unsigned,
    /// Everything leads to a checkpoint that a known key signed.
    Signed,
    /// An outside authority that is trusted dated it. It stands beside [`Level::Pinned`], not below: see
    /// [`Report::anchored`].
    Anchored,
    /// It continues the checkpoint that the verifier kept.
    Pinned,
}

impl Level {
    /// The word that people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Unsigned => "unsigned",
            Level::Signed => "signed",
            Level::Anchored => "anchored",
            Level::Pinned => "pinned",
        }
    }

    /// The level of that name, but for [`Level::Unsigned`], which nobody requires.
    pub fn named(word: &str) -> Option<Level> {
        [Level::Signed, Level::Anchored, Level::Pinned].into_iter().find(|level| level.as_str() == word)
    }
}

/// Something that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// What it means.
    pub kind: Kind,
    /// The file, with line or byte where that is known; or the entry.
    pub place: String,
    /// What is wrong, in words.
    pub what: String,
}

/// What a verification found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// SHA-256 of the list of files, hexadecimal: it stands for every byte of the package.
    pub digest: String,
    /// Whether it was held against the one that was asked for. Else page and guide, which no entry binds, may be anybody's.
    pub digest_given: bool,
    /// The ledger's name, and how many entries its last checkpoint here covers.
    pub ledger: (String, u64),
    /// What was asked for, in words, each with its name.
    pub about: Vec<(&'static str, String)>,
    /// Whether the keys were given, or taken from the package.
    pub key_given: bool,
    /// Entries that are proven to be in the ledger.
    pub entries: u64,
    /// Bodies that are what was committed to.
    pub bodies: u64,
    /// Bodies that entries name and that were left out on purpose.
    pub withheld: u64,
    /// Slots that were due, by outcome: collected, partial, failed, missed.
    pub slots: [u64; 4],
    /// What else is to be known, each with its name.
    pub said: Vec<(&'static str, String)>,
    /// What does not hold, in the order it was met.
    pub problems: Vec<Problem>,
    /// What was reached: unsigned, signed or pinned.
    pub level: Level,
    /// Whether an outside authority that is trusted dated it.
    pub anchored: bool,
    /// Whether a checkpoint was given that the package has to continue.
    pub pinned_asked: bool,
}

/// The words of the four outcomes, in the order of [`Report::slots`].
pub(crate) const OUTCOMES: [&str; 4] = ["collected", "partial", "failed", "missed"];

impl Report {
    /// The exit code: 0 met, 20 level not met, 30 diverged, 40 invalid, 50 incomplete. Invalid counts before diverged,
    /// and diverged before incomplete.
    pub fn exit_code(&self, required: Level) -> u8 {
        match self.problems.iter().map(|problem| problem.kind).max() {
            Some(Kind::Invalid) => 40,
            Some(Kind::Diverged) => 30,
            Some(Kind::Incomplete) => 50,
            None if self.reached(required) => 0,
            None => 20,
        }
    }

    fn reached(&self, required: Level) -> bool {
        let needed = if self.pinned_asked || required == Level::Pinned { Level::Pinned } else { Level::Signed };
        self.level >= needed && (self.anchored || required != Level::Anchored)
    }

    /// The report in words, one fact a line, the verdict last.
    pub fn words(&self, required: Level) -> String {
        let mut text = String::new();
        let mut say = |name: &str, what: &str| {
            let clean: String = what.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            text.push_str(&format!("{name:<10} {clean}\n"));
        };
        let rests = "; page and guide rest on it alone: give the one that you were told with --digest";
        say("package", &format!("sha256 of files.txt: {}{}", self.digest, if self.digest_given { "" } else { rests }));
        for (name, what) in &self.about {
            say(name, what);
        }
        say("ledger", &format!("{}, at {} entries", self.ledger.0, self.ledger.1));
        say(
            "key",
            match self.key_given {
                true => "the one you gave",
                false => "the one in the package: give yours with --key to prove whose it is",
            },
        );
        say(
            "evidence",
            &format!(
                "{} entries are in the ledger; {} bodies are what was committed to, {} are withheld",
                self.entries, self.bodies, self.withheld
            ),
        );
        let slots: Vec<String> =
            OUTCOMES.iter().zip(self.slots).map(|(word, count)| format!("{count} {word}")).collect();
        say("slots", &slots.join(", "));
        for (name, what) in &self.said {
            say(name, what);
        }
        for problem in &self.problems {
            say(problem.kind.as_str(), &format!("{}: {}", problem.place, problem.what));
        }
        let code = self.exit_code(required);
        let level = self.level.as_str().to_uppercase() + if self.anchored { ", ANCHORED" } else { "" };
        let verdict = match code {
            0 => level,
            20 => format!("{level}, and less than was required"),
            30 => "DIVERGED".to_owned(),
            40 => "INVALID".to_owned(),
            _ => "INCOMPLETE".to_owned(),
        };
        say("verdict", &format!("{verdict}   exit {code}"));
        text
    }
}
