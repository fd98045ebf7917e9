//! `VERIFY.md`: what a package proves and what it does not, and how its reader finds out without this program.

use ledger::{Checkpoint, VerifierKey};

use super::About;

/// The text.
pub(super) fn text(about: &About, key: Option<&VerifierKey>, last: &Checkpoint) -> String {
    let (from, to) = (about.from, about.to);
    let key = key.map(ToString::to_string).unwrap_or_default();
    let public = key.splitn(3, '+').nth(2).unwrap_or_default().to_owned();
    format!(
        r##"# How to verify this package

It holds evidence of the ledger `{origin}` for {from} up to {to}. You need none of the programs that made it: Python 3.9 or
later, `openssl` and the usual `sha256sum`, `grep`, `base64` are enough, on a machine without a network.

## With the script

    python3 verify.py

Exit code 0: everything here holds together and a key signed it. 20: less than you required. 30: it contradicts something
that you hold. 40: something was changed, and the file or row is named. 50: something is missing, and what is named. Four
options make the proof stronger, each by something that did not come with the package:

    python3 verify.py --key VKEY              the key that you were handed: whose ledger it is. After a change of
                                              key the one that came after it, which `key` entries name
    python3 verify.py --pin FILE              a checkpoint that you kept: nothing before it was changed or removed since
    python3 verify.py --digest HEX            the digest that the sender told you: these very files, the page included
    python3 verify.py --require anchored --ca FILE
                                              {anchored}

The script comes with the package, so whoever changed the package could have changed the script. Compare it with the one
that the project publishes, or use the project's own `evidenced-verify`, which shares no line with it.

## By hand

1. **The files.** `sha256sum --quiet --check files.txt`, then `sha256sum files.txt`: that one line stands for every byte.

2. **The signature.** `checkpoints/last.txt` is a C2SP signed note: the log's name, the number of entries, the root of the
   tree, a blank line, the signature. With the 32 bytes of the key and the 64 of the signature:

       sed '/^$/,$d' checkpoints/last.txt > note
       sed -n '$p' checkpoints/last.txt | cut -d' ' -f3 | base64 -d | tail -c 64 > signature
       {{ echo MCowBQYDK2VwAyEA | base64 -d; echo {public} | base64 -d | tail -c 32; }} > key.der
       openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in note -sigfile signature

3. **An entry.** Each `entries/*/N.json` has beside it `N.tlog-proof`, a C2SP tlog-proof: any reader of that format shows
   that the entry is in the tree of {size} entries. The tree is that of RFC 6962.

4. **A body.** Entries name manifests, calls and texts by their commitments; manifests name rows. `bodies.txt` says for each
   its form, its salt, its file, and where it begins and how long it is there. A `whole` body is checked so:

       set -- $(grep ' manifests/' bodies.txt | head -n 1)
       {{ echo "$3" | base64 -d; tail -c +$(($5 + 1)) "$4" | head -c "$6"; }} | sha256sum; echo "$1"

   Rows are committed to by `lines`, so that a field can be hidden and the row still be counted and verified: line n has the
   salt SHA-256(salt, n as 8 bytes) and the commitment SHA-256(that salt, line); the row's commitment is SHA-256 of the 32
   bytes `evidenced body of lines, form 1` with its newline, and the commitments of all its lines. In a `shown` row a line
   stands as `+salt line`, and a hidden one as `#commitment`.

5. **Outside time.** Each `anchors/NAME.tsr` is the answer of a time-stamping authority (RFC 3161) about `checkpoints/last.txt`
   as it lies here: all that the checkpoint covers existed before the time it gives. The authority's certificate has to have
   been valid then, and may have expired since. Whom to trust is yours to say; `NAME.pem` holds what was kept with the answer:

       openssl ts -reply -in anchors/NAME.tsr -text | grep -e 'Time stamp' -e 'Accuracy'
       openssl ts -verify -data checkpoints/last.txt -in anchors/NAME.tsr -CAfile YOURS.pem -attime $(date -d 'THAT TIME' +%s)

6. **What is not here.** `withheld.txt` lists every body that is named and left out: `not-asked` belongs to another check,
   `hidden` was to stay hidden, `erased` is gone. They are counted in their manifests all the same:
   `wc -l manifests/*.txt`.

7. **Completeness.** Every slot that a `schedule` entry promises within the period has exactly one outcome, a `run` or a
   `missed` entry, and each run names the one before it (`prev`). `grep -l '"t":"missed"' entries/*/*.json` lists what nobody ran.

## What it does not prove

- What the source answered is as true as the source. The calls stand in `manifests/*-calls.txt` with the provider's own
  request ids, to be found again in the provider's own log.
- Without `--key` and `--pin` it only proves that somebody's key signed it. Whoever holds the key could have written another
  history before anybody kept a checkpoint. Keep `checkpoints/last.txt`.
- Times are those of the machine that collected. An authority's answer shows that nothing here was made later than it says; that
  nothing was made earlier than it claims, `evidenced verify --require anchored` on the ledger itself shows.
- That no schedule was left out is shown by the whole ledger only: `evidenced ledger export --tiles` writes it for anybody's tools.
"##,
        anchored = match about.dated_by.as_slice() {
            [] => "not reached: no authority outside has dated what is here (20)",
            [_, ..] => "that an authority you trust dated it: FILE is its certificate",
        },
        origin = last.origin,
        size = last.size,
    )
}
