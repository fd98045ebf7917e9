#!/usr/bin/env python3
"""Verifies an evidence package of `evidenced`. Needs Python 3.9 or later, the command `openssl` (1.1.1 or later, for Ed25519)
and nothing else: no network, no daemon, nothing of ours. VERIFY.md says what is proven and how to do it by hand.
Exit codes: 0 met, 20 level not met, 30 diverged, 40 invalid, 50 incomplete, 2 usage."""
import argparse, base64, bisect, collections, functools, hashlib, json, os, pathlib, re, subprocess, sys, tempfile
from datetime import datetime, timezone
from zoneinfo import ZoneInfo
CODES, ABOUT = [("invalid", 40), ("diverged", 30), ("incomplete", 50)], ("controls", "streams", "from", "to")
OUTCOMES, VALUES = ["collected", "partial", "failed", "missed"], ["conforms", "deviates", "undetermined", "not_applicable"]
TAG, DAY, GRACE, APART = b"evidenced body of lines, form 1\n", 86400000, 15 * 60000, 60000  # a slot may be under way; clocks may differ
def require(holds, what):
    if not holds:
        raise ValueError(what)
def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()
def hash_of(text, length=32):
    raw = base64.b64decode(text, validate=True)
    require(len(raw) == length and base64.b64encode(raw).decode() == text, "not a hash in base64")
    return raw
def millis(text):
    require(re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z", text), "not a moment")
    return round(datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp() * 1000)
def openssl(*arguments):
    return subprocess.run(("openssl",) + arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
def dated(data, answer, trusted):
    """Before which moment, in milliseconds, a file was there by an answer of RFC 3161; 0 when it does not hold."""
    text = openssl("ts", "-reply", "-in", answer, "-text").stdout.decode(errors="replace")
    said = re.search(r"\nTime stamp: (\w{3} [ \d]\d [\d:]{8})(\.\d+)? (\d{4}) GMT\nAccuracy: (.*)\n", text)
    clock = datetime.strptime("%s %s+0000" % said.group(1, 3), "%b %d %H:%M:%S %Y%z").timestamp() if said else 0
    # The certificates have to have been valid then, and may have expired since.
    if not said or openssl("ts", "-verify", "-attime", "%d" % clock, "-data", data, "-in", answer, "-CAfile", trusted).returncode:
        return 0
    parts = [int(part, 16) if part[0] == "0" else 0 for part in re.findall("0x[0-9A-F]+|unspecified", said.group(4))]
    return int((clock + float(said.group(2) or 0)) * 1000 + sum(part * unit for part, unit in zip(parts, (1000, 1, 0.001))))
# Signed notes, checkpoints and trees: C2SP signed-note and tlog-checkpoint, RFC 6962.
def read_key(line):
    name, id_, key = line.split("+", 2)
    raw = hash_of(key, 33)
    require(raw[0] == 1 and sha256(name.encode(), b"\n", raw)[:4].hex() == id_, "not a verifier key")
    return name, raw[1:]
@functools.lru_cache(None)
def signature_holds(key, message, signature):
    with tempfile.TemporaryDirectory() as temp:
        command = "pkeyutl -verify -pubin -keyform DER -rawin".split()
        for option, raw in (("-inkey", bytes.fromhex("302a300506032b6570032100") + key), ("-in", message), ("-sigfile", signature)):
            command += [option, os.path.join(temp, option)]
            pathlib.Path(command[-1]).write_bytes(raw)
        return openssl(*command).returncode == 0
def read_checkpoint(note, keys=()):
    """Log, size and root, and whether one of the keys, named after the log, signed; a bad signature of theirs refuses."""
    head, _, signatures = note.decode().rpartition("\n\n")
    lines, signed = head.split("\n"), False
    require(re.fullmatch("[^\n]+\n(0|[1-9][0-9]{0,17})\n[^\n]*", head) and signatures.endswith("\n"), "not a checkpoint")
    for line in signatures[:-1].split("\n"):
        match = re.fullmatch("\u2014 ([^ +]+) ([A-Za-z0-9+/]+=*)", line)
        require(match, "a signature line does not have its form")
        raw = base64.b64decode(match.group(2), validate=True)
        for name, key in keys:
            if name == match.group(1) and raw[:4] == sha256(name.encode(), b"\n\x01", key)[:4]:
                require(signature_holds(key, (head + "\n").encode(), raw[4:]), "the signature of %s does not hold" % name)
                signed |= name == lines[0]
    return (lines[0], int(lines[1]), hash_of(lines[2])), signed
node = functools.partial(sha256, b"\x01")
def root_over(leaf, index, size, path):
    """The root that a path of siblings leads to; the path is used up from its end."""
    if size == 1:
        return leaf
    half, side = 1 << (size - 1).bit_length() - 1, path.pop()
    return node(root_over(leaf, index, half, path), side) if index < half else node(side, root_over(leaf, index - half, size - half, path))
def grown(old, old_size, size, path):
    """The roots of the earlier and of the later tree that a consistency proof leads to, used up from its end."""
    if old_size == size:
        return (old, old) if old else (path[-1], path.pop())
    half, side = 1 << (size - 1).bit_length() - 1, path.pop()
    if old_size <= half:
        before, after = grown(old, old_size, half, path)
        return before, node(after, side)
    return tuple(node(side, root) for root in grown(None, old_size - half, size - half, path))
def continues(old, new, path):
    require(old[0] == new[0], "they are of two logs")
    require(0 < old[1] <= new[1] and len(path) <= 128, "the later one is the smaller")
    require(grown(old[2], old[1], new[1], path) == (old[2], new[2]) and not path, "the later one does not continue the earlier one")
# Schedules: five cron fields by the clock of a place, or a beat aligned to 1970.
def numbers(field, low, high, names=()):
    found = set()
    for item in field.lower().split(","):
        base, _, step = item.partition("/")
        first, dash, last = base.partition("-")
        first, last = (names.index(text) + low if text in names else text for text in (first, last or first))
        first, last = (low, 6 if high == 7 else high) if base == "*" else (int(first), int(last))
        found.update(range(first, (7 if high == 7 and dash and last == 0 < first else last) + 1, int(step or 1)))
    return {0 if high == 7 and n == 7 else n for n in found}
def place_of(zone):
    return timezone.utc if zone == "UTC" else ZoneInfo(zone)
def instants(place, wall, fixed):
    """When the clock of a place shows a time: any number of times; a fixed hour once, at the end of a leap that leaves it out."""
    ahead = lambda at: round(datetime.fromtimestamp(at / 1000, place).utcoffset().total_seconds()) * 1000
    before, after = ahead(wall - DAY), ahead(wall + DAY)
    found = sorted({wall - by for by in (before, after) if ahead(wall - by) == by})
    leaps = (at for at in range(wall - after, wall - before + 1, 1000) if ahead(at) != before)
    return (found[:1] or [next(leaps)]) if fixed else found
def due_slots(expression, place, after, through):  # the slots after one moment up to and including another, in milliseconds
    if re.fullmatch("every: [1-9][0-9]{0,8}[smhd]", expression):
        beat = int(expression[7:-1]) * {"s": 1000, "m": 60000, "h": 3600000, "d": DAY}[expression[-1]]
        return list(range((after // beat + 1) * beat, through + 1, beat))
    minute, hour, day, month, weekday = expression.split(" ")
    times = sorted((h * 60 + m) * 60000 for h in numbers(hour, 0, 23) for m in numbers(minute, 0, 59))
    months, fixed = numbers(month, 1, 12, "jan feb mar apr may jun jul aug sep oct nov dec".split()), not set("*/") & set(hour)
    days, weekdays, slots = numbers(day, 1, 31), numbers(weekday, 0, 7, "sun mon tue wed thu fri sat".split()), set()
    for date in range(after // DAY - 1, through // DAY + 2):
        at = datetime.fromtimestamp(date * 86400, timezone.utc)
        fits = (at.day in days, (at.weekday() + 1) % 7 in weekdays)
        if at.month in months and (all(fits) if "*" in day or "*" in weekday else any(fits)):
            slots.update(at for time in times for at in instants(place, date * DAY + time, fixed) if after < at <= through)
    return sorted(slots)
def cell(value):
    text = re.sub("[\x00-\x1f\x7f]", " ", str(value)).replace('"', '""')
    return '"%s%s"' % ("'" if text.lstrip(" ")[:1] in tuple("=+-@") else "", text)
class Package:
    def __init__(self, folder, keys=None, pin=None, digest=None, trusted=()):
        self.keys, self.pin, self.wanted, self.trusted, self.digest, self.anchored = keys, pin, digest, trusted, "", False
        self.problems, self.said, self.level, self.about = [], [], "unsigned", {}
        self.bodies, self.withheld, self.entries, self.needed = {}, {}, {}, {}
        self.counts, self.last = dict.fromkeys(OUTCOMES, 0), ("", 0, b"")
        found = (pathlib.Path(top, name) for top, folders, names in os.walk(folder) for name in folders + names)
        self.paths = {path.relative_to(folder).as_posix(): path for path in found if path.is_symlink() or not path.is_dir()}
        whole = self.attempt("invalid", "files.txt", self.read_files) and all(problem[0] != "incomplete" for problem in self.problems)
        steps = ("checkpoints", "entries", "bodies", "meaning", "slots", "csv", "anchors") if whole else ()
        all(self.attempt("invalid", step, getattr(self, "read_" + step)) for step in steps)  # up to the first that breaks off
    def problem(self, kind, place, what, unless=False):
        self.problems += [] if unless else [(kind, place, what)]
    def attempt(self, kind, place, do, *given):
        try:
            do(*given)
            return True
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError, RecursionError) as error:
            self.problem(kind, place, str(error) if isinstance(error, ValueError) else "it does not read: %r" % error)
    def read(self, short):
        require(short in self.paths, "%s is missing" % short)
        return self.paths[short].read_bytes()
    def lines(self, short):
        text = self.read(short).decode()
        require(text == "" or text.endswith("\n"), "%s does not end in a newline" % short)
        return text.split("\n")[:-1]
    def read_files(self):
        if "files.txt" not in self.paths:
            return self.problem("incomplete", "files.txt", "it is missing: this is not a package, or not all of one")
        self.digest = sha256(self.read("files.txt")).hex()
        self.problem("diverged", "files.txt", "its digest is not the one that you were given", self.wanted in (None, "", self.digest))
        listed, last = {}, ""
        for number, line in enumerate(self.lines("files.txt"), 1):
            match = re.fullmatch("([0-9a-f]{64})  ([A-Za-z0-9._/-]{1,120})", line)
            if match and match.group(2) > last:
                last, listed[match.group(2)] = match.group(2), match.group(1)
            else:
                self.problem("invalid", "files.txt line %d" % number, "it is not as such a line is, or out of order")
        for short, digest in listed.items():
            self.problem("incomplete", short, "it is missing", short in self.paths)
            same = short not in self.paths or not self.paths[short].is_symlink() and sha256(self.read(short)).hex() == digest
            self.problem("invalid", short, "it is not what files.txt lists", same)
        for short in set(self.paths) - set(listed) - {"files.txt"}:
            self.problem("invalid", short, "files.txt does not list it")
        self.about = json.loads(self.read("package.json")) if "package.json" in self.paths else {}
    def read_checkpoints(self):
        named = [line[4:] for line in self.lines("policy.txt") if line.startswith("log ")]
        keys = [read_key(line) for line in named] if self.keys is None else self.keys
        self.note = self.read("checkpoints/last.txt")
        self.last, signed = read_checkpoint(self.note, keys)
        first, _ = read_checkpoint(self.read("checkpoints/first.txt"), keys)  # what continues it is signed, so it is bound
        continues(first, self.last, [hash_of(line) for line in self.lines("checkpoints/first-to-last.txt")])
        self.level = "signed" if signed else "unsigned"
        if self.pin is not None:
            self.attempt("diverged", "checkpoints/last.txt", self.hold_against_pin, read_checkpoint(self.pin)[0])
    def hold_against_pin(self, pin):
        short = "checkpoints/pin-%d.txt" % pin[1]
        if short not in self.paths and pin[0] == self.last[0] and pin[1] != self.last[1]:
            return self.said.append(("pinned", "no: nothing here connects your checkpoint of %d entries with this one of %d; "
                                     "ask for a package made with --pin" % (pin[1], self.last[1])))
        path = map(hash_of, self.lines(short) if short in self.paths else [])
        continues(*sorted([pin, self.last], key=lambda checkpoint: checkpoint[1]), list(path))
        self.level = "pinned" if self.level == "signed" else self.level
    def read_entries(self):
        for short in sorted(self.paths):
            match = re.fullmatch(r"entries/[0-9]{3,}/([0-9]{6,})(\.json|\.tlog-proof)", short)
            beside = match and os.path.splitext(short)[0] + (".json" if match.group(2) != ".json" else ".tlog-proof")
            if match and beside not in self.paths:
                self.problem("incomplete", beside, "it is missing")
            elif match and match.group(2) == ".json":
                self.attempt("invalid", short, self.read_entry, int(match.group(1)), self.read(short), self.read(beside))
        self.entries = dict(sorted(self.entries.items()))
    def read_entry(self, number, raw, proof):
        head, blank, note = proof.partition(b"\n\n")
        lines = head.decode().split("\n")
        require(lines[:2] == ["c2sp.org/tlog-proof@v1", "index %d" % number], "its proof is not one for this entry")
        require(blank and note == self.note, "its proof does not rest on checkpoints/last.txt")
        path = [hash_of(line) for line in lines[2:]]
        require(number < self.last[1] and len(path) <= 64, "it lies outside the tree")
        root = root_over(sha256(b"\0", raw), number, self.last[1], path)
        require(root == self.last[2] and not path, "its proof does not lead to the signed root")
        self.entries[number] = json.loads(raw)
    def read_bodies(self):
        ends, short, raw = {}, "", b""
        form = re.compile("([0-9a-f]{64}) (whole|lines|shown) (-|[A-Za-z0-9+/=]{44}) ((manifests|rows|answers|texts)/"
                          "[A-Za-z0-9._-]+) (0|[1-9][0-9]{0,15}) (0|[1-9][0-9]{0,15})")
        for number, line in enumerate(self.lines("bodies.txt"), 1):
            match = form.fullmatch(line)
            fits = match and match.group(4) in self.paths and match.group(4) >= short
            require(fits, "bodies.txt line %d: not as it has to be, out of order, or no such file" % number)
            raw, short = raw if match.group(4) == short else self.read(match.group(4)), match.group(4)
            offset, end = int(match.group(6)), int(match.group(6)) + int(match.group(7))
            after = b"\n" if match.group(5) == "rows" else b""
            require(offset == ends.get(short, 0) and end <= len(raw) and raw.startswith(after, end),
                    "bodies.txt line %d: the body does not lie there in %s" % (number, short))
            place, ends[short] = "%s at byte %d" % (short, offset), end + len(after)
            self.attempt("invalid", place, self.read_body, *match.groups()[:3], raw[offset:end], short)
        for short, path in self.paths.items():
            if short.split("/")[0] in ("manifests", "rows", "answers", "texts") and ends.get(short) != path.stat().st_size:
                self.problem("invalid", short, "bodies.txt does not account for every byte of it")
        lines = self.lines("withheld.txt")
        require(all(re.fullmatch("[0-9a-f]{64} [a-z-]+", line) for line in lines), "withheld.txt: a line is not as it has to be")
        self.withheld = dict(line.split(" ") for line in lines)
        require(lines == [" ".join(pair) for pair in sorted(self.withheld.items())] and not set(self.withheld) & set(self.bodies),
                "withheld.txt: a line is out of order, twice, or of what is here")
    def read_body(self, commitment, form, salt, body, short):
        digests, shown, parts = [], [], body.split(b"\n")
        if form == "shown":  # each line is "+salt line", or "#commitment" where it is hidden
            for number, part in enumerate(parts):
                if re.fullmatch(b"#[0-9a-f]{64}", part):
                    digests.append(bytes.fromhex(part[1:].decode()))
                else:
                    line_salt, blank, line = part[1:].partition(b" ")
                    require(part[:1] == b"+" and blank, "a line of it is neither shown nor hidden")
                    digests.append(sha256(hash_of(line_salt.decode()), line, b"\n" if number + 1 < len(parts) else b""))
                    shown.append(line)
        elif form == "lines":
            lines, seed = re.findall(b"[^\n]*\n|[^\n]+", body), hash_of(salt)
            digests = [sha256(sha256(seed, number.to_bytes(8, "big")), line) for number, line in enumerate(lines)]
        digest = sha256(hash_of(salt), body) if form == "whole" else sha256(TAG, *digests)
        require(digest.hex() == commitment, "it does not match the commitment %s" % commitment)
        if form == "shown":  # what is left of the JSON when the hidden lines are taken out
            body = b"\n".join(shown).replace(b",\n}", b"\n}")
        self.bodies.setdefault(commitment, (short, body))
    # What the entries mean together.
    def read_meaning(self):
        self.begin, self.end, self.time, self.runs = millis(self.about["from"]), millis(self.about["to"]), 0, {}
        for number, entry in self.entries.items():
            self.attempt("invalid", "#%d" % number, self.take, number, entry)
        self.attempt("incomplete", "#0", require, 0 in self.entries, "it names log and key, and is not here")
        for commitment in [one for one in list(self.bodies) + list(self.withheld) if one not in self.needed]:
            self.problem("invalid", self.bodies.get(commitment, ["withheld.txt"])[0], "no entry here names the body %s" % commitment)
    def take(self, number, entry):
        kind, before, self.time = entry["t"], self.time, max(self.time, millis(entry["at"]))
        require(millis(entry["at"]) >= before, "its time lies before that of an entry before it")
        require(kind != "genesis" or entry["origin"] == self.last[0], "it names another log than checkpoints/last.txt")
        self.need(number, entry.get({"version": "checks_body", "deviation": "detail", "run": "changes"}.get(kind)))
        if kind == "run":
            self.take_run(number, entry)
        elif kind == "observation":
            self.rest_on(number, entry["run"])
            self.rest_on(number, entry.get("same_as", number))
            form = "[a-z0-9][a-z0-9._-]* [0-9a-f]{32} (%s) [0-9a-f]{64}" % "|".join(VALUES)
            rows = [row.split(" ") for row in self.manifest(number, entry.get("manifest"), entry.get("rows", 0), form, 2)]
            for row in rows:
                self.need(number, row[3])
            counted = collections.Counter((check, value) for check, _, value, _ in rows)
            said = {(line["check"], value): line[value] for line in entry.get("checks", []) for value in VALUES if line.get(value)}
            require(not rows or said == counted, "its counts are not those of its rows")
    def take_run(self, number, run):
        for line in self.manifest(number, run.get("exchanges"), run["calls"], ".*", 0):
            call = json.loads(line)
            for commitment in call.get("body", []) + [call[name] for name in ("request_body",) if name in call]:
                self.need(number, commitment)
        for population in run["populations"]:
            form = "[0-9a-f]{32} [0-9a-f]{64}"
            for row in self.manifest(number, population.get("manifest"), population["count"], form, 1):
                self.need(number, row.split(" ")[1])
        scheduled = run["trigger"]["slot"] if isinstance(run["trigger"], dict) else run["started"]
        if self.begin <= millis(scheduled) < self.end:
            earlier = self.runs.setdefault(run["stream"], [])
            if earlier and run.get("prev") != earlier[-1]:
                self.problem("incomplete", "#%d" % number, "runs between #%d and it are not here" % earlier[-1])
            earlier.append(number)
            self.rest_on(number, run["intent"])
    def rest_on(self, number, other):
        self.attempt("incomplete", "#%d" % other, require, other in self.entries, "#%d rests on it, and it is not here" % number)
    def need(self, number, commitment):
        known = commitment is None or self.needed.setdefault(commitment, number) < number
        self.problem("incomplete", "#%d" % number, "the body %s that it names is neither here nor withheld" % commitment,
                     known or commitment in self.bodies or commitment in self.withheld)
    def manifest(self, number, commitment, count, form, key):
        """The rows of a manifest, counted, each in its form, in the order of its first `key` words; none where withheld."""
        self.need(number, commitment)
        require(commitment is not None or count == 0, "it counts %d rows and names no list of them" % count)
        if commitment not in self.bodies:
            return []
        short, body = self.bodies[commitment]
        rows, before = body.decode().split("\n")[:-1], []
        require(len(rows) == count, "it counts %d rows, and %s has %d" % (count, short, len(rows)))
        for place, row in enumerate(rows, 1):
            words = row.split(" ")[:key]
            require(re.fullmatch(form, row) and (not key or words > before), "%s line %d: out of form or order" % (short, place))
            before = words
        return rows
    def read_slots(self):
        for stream in self.about["streams"]:
            of = [(number, entry) for number, entry in self.entries.items() if entry.get("stream") == stream]
            outcomes = [(millis(entry["first"]), millis(entry["last"]), number, "missed") for number, entry in of if entry["t"] == "missed"]
            outcomes += [(millis(entry["trigger"]["slot"]),) * 2 + (number, entry["outcome"]) for number, entry in of
                         if entry["t"] == "run" and isinstance(entry["trigger"], dict)]
            for before, after in zip(sorted(outcomes), sorted(outcomes)[1:]):
                self.problem("invalid", "#%d" % after[2], "a slot of %s has its outcome in #%d" % (stream, before[2]), after[0] > before[1])
            schedules = [(number, entry) for number, entry in of if entry["t"] == "schedule"]
            self.attempt("incomplete", "package.json", require, schedules, "no schedule of %s is here" % stream)
            for (number, schedule), end in zip(schedules, [millis(entry["from"]) for _, entry in schedules[1:]] + [self.end]):
                place, zone = "#%d" % number, "UTC" if schedule.get("zone") is None else schedule["zone"]
                if schedule["expression"] is not None and self.attempt("incomplete", place, place_of, zone):
                    begin, end = max(self.begin - 1, millis(schedule["from"])), min(self.end - 1, end)
                    self.settle(place, stream, due_slots(schedule["expression"], place_of(zone), begin, end), sorted(outcomes))
    def settle(self, place, stream, due, outcomes):
        settled, lacking = max([outcome[1] for outcome in outcomes], default=0), 0
        for slot in due:
            at = bisect.bisect(outcomes, (slot, self.end * 2)) - 1  # the last that begins by then
            if at >= 0 and slot <= outcomes[at][1]:
                self.counts[outcomes[at][3]] += 1
            else:
                lacking += not (self.about["open_end"] and slot > max(settled, self.end - GRACE))
        self.attempt("incomplete", place, require, not lacking, "%d slots of %s that it promises have no outcome here" % (lacking, stream))
    def read_csv(self):
        """The tables that people open are derived again and have to be equal."""
        rows = [["address", "recorded", "stream", "run", "check", "resource", "value", "name", "reason", "commitment", "body"]]
        people = [["address", "recorded", "stream", "type", "resource", "name", "id", "commitment", "body"]]
        for number, entry in self.entries.items():
            own, place = [entry["at"], entry.get("stream")], entry.get("calls", 0)
            for at, words in self.listed(entry.get("manifest") if entry["t"] == "observation" else None, 0):
                rows.append(["#%d/%d" % (number, at)] + own + ["#%d" % entry["run"]] + words[:3] + self.shown(words[3], "name", "reason"))
            for population in entry.get("populations", []):
                first = self.needed.get(population.get("manifest")) == number  # what is the same as before is not told again
                for at, words in self.listed(population.get("manifest") if first else None, place):
                    people.append(["#%d/%d" % (number, at)] + own + [population["type"], words[0]] + self.shown(words[1], "name", "id"))
                place += population["count"]
        for short, table in (("csv/rows.csv", rows), ("csv/population.csv", people)):
            pairs = enumerate(zip(self.lines(short) + [None], [",".join(map(cell, row)) for row in table] + [None]), 1)
            wrong = next((number for number, (is_, should) in pairs if is_ != should), None)
            self.problem("invalid", "%s line %s" % (short, wrong), "it does not say what the evidence says", wrong is None)
    def read_anchors(self):  # what authorities outside say of the time of checkpoints/last.txt, and so of all that it covers
        for short in filter(re.compile("anchors/[a-z0-9-]{1,100}[.]tsr").fullmatch, sorted(self.paths)):
            before = max((dated(self.paths["checkpoints/last.txt"], self.paths[short], ca) for ca in self.trusted), default=0)
            self.anchored |= before > 0 and self.level != "unsigned"
            moment = datetime.fromtimestamp(before / 1000, timezone.utc).isoformat(timespec="milliseconds")[:23]
            what = "all of it existed before %sZ" % moment if before else "no certificate that you gave with --ca vouches for it"
            self.said.append(("anchored", "%s: %s" % (short, what)))
            self.problem("diverged", short, "the last entry claims to be younger than that", not before or self.time <= before + APART)
    def listed(self, manifest, place):
        rows = self.bodies[manifest][1].decode().split("\n")[:-1] if manifest in self.bodies else []
        return enumerate((row.split(" ") for row in rows), place)
    def shown(self, commitment, *names):
        if commitment not in self.bodies:
            return ["", "", commitment, "withheld: " + self.withheld.get(commitment, "")]
        member = json.loads(self.bodies[commitment][1])
        return [member.get(name, "") for name in names] + [commitment, self.bodies[commitment][0]]
    def code(self, wanted):
        needed = "pinned" if self.pin is not None or wanted == "pinned" else "signed"
        reached = self.level in (needed, "pinned") and (self.anchored or wanted != "anchored")
        return next((code for kind, code in CODES if kind in {problem[0] for problem in self.problems}), 0 if reached else 20)
def in_words(value):
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else value
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--key", metavar="VKEY", action="append", default=[], help="the verifier key that you were handed, one line")
    parser.add_argument("--pin", metavar="FILE", help="a checkpoint that you kept: the package has to continue it")
    parser.add_argument("--digest", metavar="HEX", help="the package's digest, as its sender told it to you")
    parser.add_argument("--ca", metavar="FILE", action="append", default=[], help="certificates that you trust to vouch for dates (PEM)")
    parser.add_argument("--require", choices=["signed", "anchored", "pinned"], default="signed", help="the least level that will do")
    args = parser.parse_args()
    try:
        keys = [read_key(line.strip()) for text in args.key for line in text.split("\n") if line.strip()[:1] not in ("", "#")]
        pin = pathlib.Path(args.pin).read_bytes() if args.pin else None
        require(openssl("version").returncode == 0 and (pin is None or read_checkpoint(pin)), "the command fails")
        require(all(b"-BEGIN " in pathlib.Path(ca).read_bytes() for ca in args.ca), "--ca takes certificates in PEM")
    except (ValueError, OSError) as error:
        parser.error("openssl, --key, --pin or --ca cannot be used: %s" % error)
    package = Package(args.folder, keys or None, pin, args.digest, args.ca)
    code, about = package.code(args.require), package.about if isinstance(package.about, dict) else {}
    said = [("package", "sha256 of files.txt: %s%s" % (package.digest, "" if args.digest else
             "; page and guide rest on it alone: give the one that you were told with --digest"))]
    said += [(name, in_words(about.get(name))) for name in ABOUT] + [("ledger", "%s, at %d entries" % package.last[:2]),
             ("key", "the one you gave" if keys else "the one in the package: give yours with --key to prove whose it is"),
             ("evidence", "%d entries are in the ledger; %d bodies are what was committed to, %d are withheld" % (
                 len(package.entries), len(package.bodies), len(package.withheld))),
             ("slots", ", ".join("%d %s" % (package.counts[name], name) for name in OUTCOMES))] + package.said
    level = package.level.upper() + (", ANCHORED" if package.anchored else "")
    words = {0: level, 20: level + ", and less than was required", 30: "DIVERGED", 40: "INVALID"}
    said += [(kind, "%s: %s" % (place, what)) for kind, place, what in package.problems]
    said += [("verdict", "%s   exit %d" % (words.get(code, "INCOMPLETE"), code))]
    sys.stdout.reconfigure(errors="backslashreplace")
    print("\n".join("%-10s %s" % line for line in said))
    sys.exit(code)
if __name__ == "__main__":
    main()
