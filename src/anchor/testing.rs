//! An authority on this machine, for tests: certificates and answers are made by the `openssl` command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A time-stamping authority with a certificate authority above it.
pub struct Authority {
    dir: TempDir,
}

/// An authority could not be made, or gave no answer.
pub type Failed = String;

const SETTINGS: &str = "[tsa]\ndefault_tsa = here\n[here]\nserial = serial\nsigner_digest = sha256\n\
    default_policy = 1.3.6.1.4.1.99999.1\ndigests = sha256, sha512\naccuracy = secs:1\ness_cert_id_alg = sha256\n";

const ABOVE: &str = "[ca]\ndefault_ca = here\n[here]\ndatabase = issued\nnew_certs_dir = .\nrand_serial = yes\n\
    default_md = sha256\npolicy = any\nx509_extensions = purpose\n[any]\norganizationName = optional\ncommonName = supplied\n\
    [purpose]\nbasicConstraints = CA:false\nextendedKeyUsage = critical, timeStamping\n";

impl Authority {
    /// An authority whose certificates are valid now.
    pub fn new() -> Result<Authority, Failed> {
        Authority::until("20990101000000Z")
    }

    /// An authority whose certificate has long expired.
    pub fn expired() -> Result<Authority, Failed> {
        Authority::until("20210101000000Z")
    }

    fn until(until: &str) -> Result<Authority, Failed> {
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let authority = Authority { dir };
        let write = |name: &str, text: &str| fs::write(authority.path(name), text).map_err(|e| e.to_string());
        write("settings", SETTINGS)?;
        write("serial", "01\n")?;
        write("issued", "")?;
        write("above", ABOVE)?;
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let root = ["req", "-x509", "-days", "3650", "-subj", "/CN=Test root", "-keyout", "ca.key", "-out", "ca.pem"];
        authority.openssl(&[&root[..], &key].concat())?;
        let own = ["req", "-subj", "/O=Test/CN=Test time", "-keyout", "tsa.key", "-out", "tsa.csr"];
        authority.openssl(&[&own[..], &key].concat())?;
        let signed = ["ca", "-batch", "-config", "above", "-cert", "ca.pem", "-keyfile", "ca.key", "-notext"];
        let to = ["-startdate", "20200101000000Z", "-enddate", until, "-in", "tsa.csr", "-out", "tsa.pem"];
        authority.openssl(&[&signed[..], &to].concat())?;
        Ok(authority)
    }

    /// The certificate to trust, in PEM.
    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// The answer to a request.
    pub fn answer(&self, request: &[u8]) -> Result<Vec<u8>, Failed> {
        fs::write(self.path("request"), request).map_err(|e| e.to_string())?;
        let reply = ["ts", "-reply", "-config", "settings", "-queryfile", "request", "-out", "answer"];
        self.openssl(&[&reply[..], &["-signer", "tsa.pem", "-inkey", "tsa.key"]].concat())?;
        fs::read(self.path("answer")).map_err(|e| e.to_string())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn openssl(&self, arguments: &[&str]) -> Result<(), Failed> {
        openssl(self.dir.path(), arguments).map(|_| ())
    }
}

/// Runs the `openssl` command in a directory; gives what it printed.
pub fn openssl(dir: &Path, arguments: &[&str]) -> Result<String, Failed> {
    let ran = Command::new("openssl").args(arguments).current_dir(dir).stdin(Stdio::null()).output();
    let ran = ran.map_err(|e| format!("the tests of outside time need the `openssl` command: {e}"))?;
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    if ran.status.success() { Ok(said) } else { Err(format!("openssl {}: {said}", arguments.join(" "))) }
}
