"""The quarantine on real servers: Postfix and rspamd feed it, a customer's Postfix gets what is released.

Would catch: a message that is acknowledged and not there, or there in half; a release that reaches anybody but its
recipient, twice, or changed; an allow list that lets a virus through; text of strangers that reaches a terminal or a
column as it came; memory that grows with the message; a full disk or a database away answered with anything but 4xx; a
file that nobody has and that stays; the role of the quarantine being able to do more than it has to.
"""
import hashlib
import re
import sys
import threading

from harness import TREE
from quarantine import *

sys.path.insert(0, str(TREE / "t/fuzz"))
from seeds import unescape  # the tables' way of writing bytes

EVERYBODY = ("bob@example.com", "eve@example.com", "robert@example.com")
SPAM = ("From: Seller <seller@shop.example>\nTo: you@example.com\nSubject: Offer\nMessage-ID: <1@shop.example>\n"
        "X-Spam-Status: Yes, score=12.5 required=6.0\n\nBuy.\n.\n..two dots\n")


PARTS = "".join(f"Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}\n" for i in range(1000))
HOSTILE_MESSAGES = {
    "no headers": "just text\n",
    "empty": "",
    "10,000 headers": "".join(f"X-H-{i}: v\n" for i in range(10000)) + "\nx\n",
    "NULs": "Subject: a\x00b\n\n\x00\x00text\x00\n",
    "1,000 nested parts": PARTS + "\nx\n",
    "injection": "Subject: =?utf-8?q?x=0D=0ABcc=3A_victim@example.org?=\n"
                 "From: =?utf-8?q?a=0D=0AX=3A_y?= <a@b.example>\n\nx\n",
    "override": "Subject: =?utf-8?b?4oCuZ3BqLmV4ZQ==?=\nFrom: =?utf-8?b?4oCu?= <a@b.example>\n\n\u202ex\u200b\n",
    "homograph": "From: Bank <info@\u0430pple.com>\n\nx\n",
    "terminal": "Subject: \x1b[2J\x1b]0;title\x07\n\n\x1b[31mred\x9b\n",
    "script": "Subject: <script>alert(1)</script>\nContent-Type: text/html\n\n<script>alert(1)</script><b>bold</b>\n",
    "bad charset": "Subject: =?x-none?b?gICA?=\nContent-Type: text/plain; charset=x-none\n\n\x80\n",
    "SQL": "Subject: '); drop table quarantine_message; --\n\n\\'\"{}\n",
}

BIDI = "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"


def make(**settings):
    rc = Rollcall(**settings)
    rc.cli("customer", "add", "Example")
    rc.cli("domain", "add", "example.com", "--customer", "Example")
    rc.cli("domain", "add", "alias.example", "--customer", "Example", "--alias-of", "example.com")
    rc.cli("user", "add", "bob@example.com", "--alias", "robert@example.com")
    rc.cli("user", "add", "eve@example.com")
    return rc


def rows(rc, *more):
    return rc.json("quarantine", "list", *more)


def crlf(text):
    return text.replace("\n", "\r\n").encode()


def codes(replies):
    return [code for code, _ in replies]


def body_of(message):
    return message.split("\n\n", 1)[1]


# ------------------------------------------------------------------ the whole way

def test_from_the_filter_to_the_customer():
    """GTUBE through Postfix and rspamd into the quarantine; released to one of two recipients."""
    with make() as rc, Rspamd() as filter, Postfix.customer(EVERYBODY) as customer:
        with Quarantine(rc, release_port=customer.port) as q:
            with filtering_gateway("example.com", customer, filter, q) as gateway:
                clean = f"From: a@example.org\nTo: b\nSubject: clean\nMessage-ID: <clean@example.org>\n\nhello\n"
                assert smtp(gateway.port, "bob@example.com", body=clean).data[0] == 250
                spam = f"From: a@example.org\nTo: b\nSubject: caught\nMessage-ID: <1@example.org>\n\n{GTUBE}\n"
                assert smtp(gateway.port, "bob@example.com", "eve@example.com", body=spam).data[0] == 250
                eventually(lambda: len(rows(rc)) == 2, 30, "both recipients' rows")
                eventually(lambda: customer.delivered("bob@example.com"), 15, "the clean message")
                caught = {row["recipient"]: row for row in rows(rc)}
                shown = rc.json("quarantine", "show", str(caught["eve@example.com"]["id"]))
                assert "\nX-Spam: Yes\n" in shown["headers"], shown
                assert shown["subject"] == "caught" and shown["sender"] == "somebody@example.net", shown
                assert shown["queue_id"] in gateway.log.read_text(), shown
                assert len(q.files()) == 1, "one file for both"
                kept = stored(q.files()[0])
                rc.cli("quarantine", "release", str(caught["eve@example.com"]["id"]))
                got = eventually(lambda: customer.delivered("eve@example.com"), 15, "the released message")
                assert kept.decode().replace("\r\n", "\n") in got[0], "byte for byte behind the trace"
                assert got[0].startswith("Return-Path: <somebody@example.net>"), got[0]
                assert all("caught" not in message for message in customer.delivered("bob@example.com"))
                again = rc.run("quarantine", "release", str(caught["eve@example.com"]["id"]), check=65)
                assert "--again" in again.stdout, again
                assert len(customer.delivered("eve@example.com")) == 1


def test_release_is_byte_for_byte():
    """Bytes above 127, dots, long lines, no last end, a null sender, what is hostile, 50 MB: what the listener gets is
    what was given."""
    taken = []

    def sink(listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                connection.sendall(b"220 sink\r\n")
                while line := lines.readline():
                    if line.startswith(b"DATA"):
                        connection.sendall(b"354 go\r\n")
                        data = bytearray()  # adding to bytes would copy all of them
                        while (line := lines.readline()) != b".\r\n":
                            data += line[1:] if line.startswith(b".") else line
                        taken.append((sender, recipients, bytes(data)))
                        connection.sendall(b"250 2.0.0 taken\r\n")
                        continue
                    if line.startswith(b"MAIL"):
                        sender, recipients = line.strip(), []
                    if line.startswith(b"RCPT"):
                        recipients.append(line.strip())
                    connection.sendall(b"250-sink\r\n250 SMTPUTF8\r\n" if line.startswith(b"EHLO") else b"250 ok\r\n")

    with make() as rc, socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=sink, args=(listener,), daemon=True).start()
        with Quarantine(rc, release_port=listener.getsockname()[1]) as q:
            message = (b"Subject: \xff\xfe raw\r\nX-Long: " + b"x" * 5000 + b"\r\n\r\n.\r\n..\r\n.a\r\n\x00\x01\x80\r\n"
                       + b"y" * 3000 + b"\r\nlast")
            replies = q.give(message, "bob@example.com", "eve@example.com", sender="")
            assert codes(replies) == [250, 250], replies
            assert stored(q.files()[0]) == message + b"\r\n"
            number = next(row["id"] for row in rows(rc) if row["recipient"] == "eve@example.com")
            rc.cli("quarantine", "release", str(number))
            sender, recipients, data = taken[0]
            assert (sender, recipients) == (b"MAIL FROM:<>", [b"RCPT TO:<eve@example.com>"]), (sender, recipients)
            trace, rest = data.split(b"+0000\r\n", 1)
            assert trace.startswith(b"Received: by ") and rest == message + b"\r\n", data[:300]
            raw = subprocess.run([BUILD / "bin/rollcall", "-c", rc.conf, "quarantine", "show", str(number), "--raw"],
                                 capture_output=True, env=rc.environment(), cwd="/", check=True)
            assert raw.stdout == message + b"\r\n", raw.stdout[:300]
            assert len(taken) == 1
            for name, text in {**HOSTILE_MESSAGES, "large": "Subject: large\n\n" + ("." * 998 + "\n") * 52600}.items():
                message = crlf(text) if text.endswith("\n") else crlf(text + "\n")
                assert codes(q.give(message, "bob@example.com")) == [250], name
                rc.cli("quarantine", "release", str(max(row["id"] for row in rows(rc))), timeout=60)
                trace, rest = taken.pop()[2].split(b"+0000\r\n", 1)
                assert trace.startswith(b"Received: by ") and rest == message, (name, len(rest), len(message))
                shown = subprocess.run([BUILD / "bin/rollcall", "-c", rc.conf, "quarantine", "show",
                                        str(max(row["id"] for row in rows(rc, "--state", "all"))), "--raw"],
                                       capture_output=True, env=rc.environment(), cwd="/", check=True)
                assert shown.stdout == message and shown.stderr == b"", (name, len(shown.stdout), shown.stderr)
            # came with SMTPUTF8, for its header's sake: goes so
            q.give("Subject: \u00fc\n\nx\n", "bob@example.com", options=["SMTPUTF8"])
            rc.cli("quarantine", "release", str(max(row["id"] for row in rows(rc))))
            assert taken.pop()[0] == b"MAIL FROM:<a@example.org> SMTPUTF8"


def test_recipients_and_rules():
    """Aliases and tags fold onto their user, allow lists release by themselves, block lists are told, viruses stay."""
    with make() as rc, Postfix.customer(EVERYBODY) as customer:
        with Quarantine(rc, release_port=customer.port) as q:
            rc.cli("sender", "allow", "seller@shop.example", "--user", "eve@example.com")
            rc.cli("sender", "block", "*.example", "--domain", "example.com")
            rc.cli("sender", "allow", "nobody@example", "--domain", "example.com")
            replies = q.give(SPAM, "robert+tag@alias.example", "Eve@Example.COM", "unknown@example.com",
                             "x@elsewhere.example", "x@sub.example.com", sender="bounce@mail.shop.example", ident="4ABC")
            assert codes(replies) == [550, 550, 250, 250, 250], replies
            eventually(lambda: customer.delivered("eve@example.com"), 15, "the allowed copy")
            by = {row["recipient"]: row for row in rows(rc, "--state", "all")}
            assert by["Eve@Example.COM"]["state"] == "released" and by["Eve@Example.COM"]["listed"] is None, by
            assert by["robert+tag@alias.example"]["listed"] == "domain", by
            assert by["unknown@example.com"]["state"] == "held", by
            assert customer.delivered("bob@example.com") == [] and customer.delivered("robert@example.com") == []
            assert len(rows(rc, "--address", "bob@example.com")) == 1, "bob's, by an alias with a tag"
            assert rows(rc, "--address", "robert@alias.example") == rows(rc, "--address", "bob@example.com")
            virus = SPAM.replace("X-Spam-Status", "X-Virus-Status: Infected (Eicar)\nX-Spam-Status")
            assert codes(q.give(virus, "eve@example.com")) == [250]
            assert [row["state"] for row in rows(rc, "--category", "virus")] == ["held"]
            # the same again from the same queue, as when an answer was lost: once
            before = len(rows(rc, "--state", "all"))
            assert codes(q.give(SPAM, "robert+tag@alias.example", ident="4ABC")) == [250]
            assert len(rows(rc, "--state", "all")) == before and len(q.files()) == 2
            # a tag may be longer than what a roll can hold
            assert codes(q.give(SPAM, f"robert+{'t' * 80}@alias.example", ident="5DEF")) == [250]
            assert len(rows(rc, "--address", "bob@example.com")) == 2
            assert rc.run("sender", "allow", "not a pattern", "--user", "eve@example.com", check=65)
            rc.cli("sender", "remove", "*.example", "--domain", "example.com")
            assert len(rc.json("sender", "list")) == 2


def test_given_again_mends_the_file():
    """An answer that is lost makes the client come again: the file that its row names is looked at, not trusted."""
    with make() as rc, Quarantine(rc) as q:
        give = lambda: codes(q.give(SPAM, "bob@example.com", ident="4ABC"))
        state = lambda: rc.psql("select file, lost_at is null from quarantine_message")
        assert give() == [250]
        first, = q.files()
        whole = first.read_bytes()
        assert give() == [250] and q.files() == [first] and first.read_bytes() == whole, "the same file stays"
        harm = {"missing": first.unlink, "shorter": lambda: os.truncate(q.files()[0], len(whole) - 3),
                "longer": lambda: q.files()[0].write_bytes(whole + b"x"),
                "altered": lambda: q.files()[0].write_bytes(whole[:-3] + b"xyz"),
                "another's": lambda: q.files()[0].write_bytes(foreign)}
        q.give(SPAM.replace("Subject: ", "Subject: other "), "bob@example.com", ident="5DEF")
        other, = set(q.files()) - {first}
        foreign = other.read_bytes()
        rc.psql("delete from quarantine_message where queue_id = '5DEF'")
        other.unlink()
        for name, do in harm.items():
            do()
            assert give() == [250], name
            file, = q.files()
            assert state() == f"{file.parent.name}/{file.name}|t", (name, state())
            assert stored(file) == whole.split(b"\n\n", 1)[1], name
        assert rc.psql("select count(*) from quarantine_recipient") == "1"
        assert q.log.read_text(errors="replace").count("given again and takes its place") == len(harm)


def test_release_waits_for_its_listener():
    """Nobody listens: the release stays asked for, and happens when somebody does; refused for good: told."""
    port = free_port()
    with make() as rc, Quarantine(rc, release_port=port) as q:
        q.give(SPAM, "bob@example.com", "eve@example.com", "unknown@example.com")
        number = {row["recipient"]: str(row["id"]) for row in rows(rc)}
        waiting = rc.psql(f"select count(*) from quarantine_ask(array[{number['bob@example.com']}], 'release', 'x')")
        assert waiting == "1"
        eventually(lambda: rc.psql("select attempts > 0 and answer <> '' from quarantine_request") == "t")
        assert rows(rc, "--state", "held")[0]["state"] == "held"
        with Postfix.customer(EVERYBODY) as customer:
            master = customer.etc / "master.cf"
            customer.stop()
            master.write_text(master.read_text().replace(f"127.0.0.1:{customer.port} inet", f"127.0.0.1:{port} inet"))
            customer.port = port
            customer.start()
            eventually(lambda: customer.delivered("bob@example.com"), 30, "the release, by itself")
            refused = rc.run("quarantine", "release", number["unknown@example.com"], check=1)
            assert "failed" in refused.stdout and "550" in refused.stdout or "5.1.1" in refused.stdout, refused
            assert {row["recipient"] for row in rows(rc)} == {"eve@example.com", "unknown@example.com"}


# ------------------------------------------------------------------ hostile messages

def test_hostile_messages():
    """Stored whole, shown harmless."""
    with make() as rc, Quarantine(rc) as q:
        numbers = {}
        for name, text in HOSTILE_MESSAGES.items():
            data = text.replace("\n", "\r\n").encode()
            before = set(q.files())
            assert codes(q.give(data, "bob@example.com")) == [250], name
            file = (set(q.files()) - before).pop()
            want = data if data.endswith(b"\r\n") else data + b"\r\n"
            assert stored(file) == want, f"{name}: stored whole"
            numbers[name] = str(max(row["id"] for row in rows(rc)))
        bare = b"Subject: bare\n\nMAIL FROM:<x@y>\n.\nRCPT\r\rx\n.\r\ny\r\n"
        assert codes(q.give(bare, "bob@example.com")) == [250]
        assert any(stored(file) == bare for file in q.files()), "a bare LF ends nothing"

        for name, number in numbers.items():
            shown = rc.cli("quarantine", "show", number)
            assert not any(ord(c) < 32 and c != "\n" or 0x7f <= ord(c) < 0xa0 or c in "\u202e\u200b" for c in shown), \
                f"{name}: {shown!r}"
        show = lambda name: rc.json("quarantine", "show", numbers[name])
        assert show("injection")["subject"] == "x Bcc: victim@example.org"
        assert "\ufffd" in show("override")["subject"]
        assert "xn--pple-43d.com" in show("homograph")["from"]
        assert show("script")["preview"].strip() == "bold"
        assert rc.psql("select count(*) from quarantine_message") == str(len(HOSTILE_MESSAGES) + 1)


def of_tables():
    """What t/data/mime has of strangers, as messages: [(where, bytes)]."""
    heads = {"htmltext": b"Content-Type: text/html; charset=utf-8\n\n", "safehtml": b"Content-Type: text/html; charset=utf-8\n\n",
             "line": b"\n", "address": b"From: "}
    lines = (TREE / "t/data/mime/messages.txt").read_bytes().splitlines()
    for number, line in enumerate(lines, 1):
        if line and not line.startswith(b"#"):
            kind, text = line.split(b"\t")[:2]
            yield f"{kind.decode()}, line {number}", heads.get(kind.decode(), b"") + unescape(text)


def test_what_the_tables_hold_is_shown_harmless():
    """Each hostile text of t/data through the intake: printable on a terminal, and the very bytes when these are wanted."""
    with make() as rc, Quarantine(rc) as q:
        given = []
        for where, text in of_tables():
            data = re.sub(rb"\r?\n", b"\r\n", text)
            data = data if data.endswith(b"\r\n") else data + b"\r\n"
            assert codes(q.give(data, "bob@example.com")) == [250], where
            given.append((where, data))
        numbers = sorted(row["id"] for row in rows(rc, "--limit", "1000"))
        assert len(numbers) == len(given) > 50
        for number, (where, data) in zip(numbers, given):
            shown = rc.cli("quarantine", "show", str(number))
            assert not [c for c in shown if ord(c) < 32 and c != "\n" or 0x7f <= ord(c) < 0xa0 or c in BIDI], (where, shown)
            raw = subprocess.run([BUILD / "bin/rollcall", "-c", rc.conf, "quarantine", "show", str(number), "--raw"],
                                 capture_output=True, env=rc.environment(), cwd="/", check=True)
            assert raw.stdout == data, (where, raw.stdout)


def test_large_message_in_constant_memory():
    """50 MB twice over: the daemon grows by a few MB at most; one byte too much is refused."""
    with make() as rc, Quarantine(rc, quarantine_size_limit="60M") as q:
        q.give(SPAM, "bob@example.com")
        status = pathlib.Path(f"/proc/{q.process.pid}/status")
        peak = lambda: int(status.read_text().split("VmHWM:")[1].split()[0])
        line = b"x" * 998 + b"\r\n"
        head = b"Subject: large\r\n\r\n"
        client = q.lmtp()
        before = peak()
        for ident in ("A1", "A2"):
            client.docmd("XFORWARD", f"IDENT={ident}")
            client.mail("a@example.org")
            client.rcpt("bob@example.com")
            client.docmd("DATA")
            client.send(head)
            for _ in range(50):
                client.send(line * 1049)
            client.send(b".\r\n")
            assert client.getreply()[0] == 250
        grown = (peak() - before) // 1024
        assert grown < 24, f"grew by {grown} MB"
        size = int(rc.psql("select max(size) from quarantine_message"))
        assert size == len(head) + 50 * 1049 * 1000, size
        assert client.docmd("MAIL", f"FROM:<a@example.org> SIZE={61 << 20}")[0] == 552
        client.rset()
        client.mail("a@example.org")
        client.rcpt("bob@example.com")
        client.docmd("DATA")
        for _ in range(64):
            client.send(line * 1049)
        client.send(b".\r\n")
        assert client.getreply()[0] == 552
        assert len(q.files()) == 3 and q.tmp() == []
        client.close()


# ------------------------------------------------------------------ trouble

def test_database_away():
    """4xx at every stage, no file left, and everything well when it is back; a release asked for then happens."""
    with PostgreSQL() as pg, make(pg=pg) as rc, Quarantine(rc) as q:
        assert codes(q.give(SPAM, "bob@example.com")) == [250]
        client = q.lmtp()
        client.mail("a@example.org")
        assert client.rcpt("bob@example.com")[0] == 250
        pg.stop("immediate")
        assert client.docmd("DATA")[0] == 354
        client.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        code, text = client.getreply()
        assert code == 451, (code, text)
        client.close()
        eventually(lambda: codes(q.give(SPAM, "eve@example.com")) == [451], 15)
        assert q.tmp() == []
        pg.start()
        eventually(lambda: codes(q.give(SPAM, "eve@example.com")) == [250], 20)
        assert int(rc.psql("select count(*) from quarantine_message")) == 2
        # frozen, not gone: the time-out decides
        pg.pause()
        try:
            assert codes(q.give(SPAM, "eve@example.com")) == [451]
        finally:
            pg.unpause()
        eventually(lambda: codes(q.give(SPAM, "bob@example.com")) == [250], 20)
        assert q.running


def give_together(rc, q, given):
    """The answers to messages that one writer finds waiting; given: number → (sender, recipient, ident)."""
    answers = {}

    def work(number):
        sender, to, ident = given[number]
        answers[number] = codes(q.give(f"Subject: {ident}\n\nx\n", to, sender=sender, ident=ident))

    before = len(q.files())
    threads = [threading.Thread(target=work, args=(number,)) for number in given]
    with rc.pg.session(rc.dbname) as lock:
        lock.do("begin; lock table quarantine_message in exclusive mode")
        threads[0].start()
        eventually(lambda: rc.psql("select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
                                   " and datname = current_database()") == "1", 10, "the writer to wait")
        for thread in threads[1:]:
            thread.start()
        eventually(lambda: len(q.files()) == before + len(given), 10, "the files")
        lock.do("commit")
        for thread in threads:
            thread.join()
    return answers


def test_recorded_together():
    """Messages that wait for one writer become one statement: what comes twice in it is one message, and whom it refuses
    fails alone."""
    with make() as rc, Quarantine(rc, quarantine_database_connections="2") as q:
        count = lambda what: int(rc.psql(f"select count(*) from {what}"))
        given = {i: ("s@example.org", "bob@example.com", f"T{i}") for i in range(12)}
        given[12] = ("s@example.org", "eve@example.com", "T3")  # what T3 is, for somebody else
        assert give_together(rc, q, given) == {i: [250] for i in given}
        assert count("quarantine_message") == len(q.files()) == 12
        assert rc.psql("select string_agg(address, ' ' order by address) from quarantine_recipient r join"
                       " quarantine_message m on m.id = r.message_id where m.queue_id = 'T3'"
                       ) == "bob@example.com eve@example.com"
        assert count("quarantine_recipient") == count("quarantine_uncounted") == count("quarantine_unreported") == 13
        rc.psql("""create function poison() returns trigger language plpgsql as $$
            begin if new.sender like 'poison@%' then raise exception 'poison'; end if; return new; end $$;
            create trigger poison before insert on quarantine_message for each row execute function poison()""")
        given = {i: (f"{'poison' if i == 5 else 's'}@example.org", "bob@example.com", f"U{i}") for i in range(12)}
        assert give_together(rc, q, given) == {i: [451 if i == 5 else 250] for i in given}
        assert count("quarantine_message") == len(q.files()) == 23
        assert "poison" in q.log.read_text()


def test_disk_full():
    """A small tmpfs: 452 at the beginning or 451 at the end, nothing half written, and well when there is room."""
    with make() as rc:
        directory = rc.dir / "small"
        directory.mkdir()
        run("mount", "-t", "tmpfs", "-o", "size=4m,mode=0777", "none", directory)
        try:
            with Quarantine(rc, directory=directory) as q:
                body = b"Subject: x\r\n\r\n" + (b"y" * 998 + b"\r\n") * 900
                results = [codes(q.give(body, "bob@example.com", ident=f"Q{i}"))[0] for i in range(8)]
                kept = results.count(250)
                assert 1 <= kept <= 5 and set(results) <= {250, 451, 452}, results
                assert len(q.files()) == kept and q.tmp() == [], (results, q.files(), q.tmp())
                assert int(rc.psql("select count(*) from quarantine_message")) == kept
                assert all(stored(file) == body for file in q.files())
                number = str(rows(rc)[0]["id"])
                rc.cli("quarantine", "delete", number)
                eventually(lambda: len(q.files()) == kept - 1, 15, "the deleted file to go")
                assert codes(q.give(body, "bob@example.com")) == [250]
                assert "quarantine-trouble" in q.log.read_text()
        finally:
            run("umount", "-l", directory)


def test_killed_at_any_moment():
    """kill -9 during intake: every message that was acknowledged is there, whole and once; no other is half there."""
    random = seeded()
    with make() as rc:
        q = Quarantine(rc)
        acknowledged, sent, stop = {}, {}, threading.Event()

        def client(number):
            i = 0
            while not stop.is_set():
                i += 1
                ident = f"K{number}N{i}"
                text = f"Subject: {ident}\r\n\r\n".encode() + f"{ident} line\r\n".encode() * random.randint(1, 3000)
                sent[ident] = text
                while not stop.is_set():  # as Postfix: until it is taken
                    try:
                        if codes(q.give(text, "bob@example.com", "eve@example.com", ident=ident)) == [250, 250]:
                            acknowledged[ident] = hashlib.sha256(text).digest()
                            break
                    except (OSError, smtplib.SMTPException, AssertionError):
                        stop.wait(0.01)

        q.start()
        threads = [threading.Thread(target=client, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(15 if FULL else 6):
                goal = len(acknowledged) + random.randint(1, 25)
                eventually(lambda: len(acknowledged) >= goal, 30, "some messages")
                time.sleep(random.random() * 0.02)  # any moment will do
                q.kill9()
                q.start()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        q.stop()
        q.start()  # its first sweep mends what the last kill left
        named = lambda: set(rc.psql("select file from quarantine_message").split())
        files = lambda: {f"{path.parent.name}/{path.name}" for path in q.files()}
        eventually(lambda: named() == files(), 20, "files and rows to agree")
        assert q.tmp() == []
        found = {}
        for path in q.files():
            text = stored(path)
            ident = text.split(b"\r\n", 1)[0].split()[-1].decode()
            assert text == sent[ident], f"{ident}: half"
            assert ident not in found, f"{ident}: twice"
            found[ident] = path
        lost = set(acknowledged) - set(found)
        assert not lost, f"acknowledged and lost: {lost}"
        counts = rc.psql("select count(*) from (select message_id from quarantine_recipient group by 1"
                         " having count(*) <> 2) x")
        assert counts == "0", "both recipients of each"
        assert rc.psql("select count(*) from quarantine_message where lost_at is not null") == "0"
        print(f"    {len(acknowledged)} acknowledged, {len(found)} there, {len(sent)} sent")
        q.stop()


def test_mending():
    """A file without rows is recorded from itself, a row without a file is marked, junk is left alone."""
    with make() as rc:
        q = Quarantine(rc)
        with q.start():
            q.give(SPAM, "bob@example.com", "eve@example.com", ident="M1", sender="s@shop.example")
            q.give(SPAM.replace("Offer", "Second"), "bob@example.com", ident="M2")
        before = rc.psql("select sender, queue_id, size, digest, subject from quarantine_message order by subject")
        rc.psql("delete from quarantine_message")
        junk = q.files()[0].parent / ("0" * 32)
        junk.write_text("no message of ours")
        own(junk, POLICY_USER)
        begun = [q.files()[0].parent / (digit * 32) for digit in "123"]  # what a crash leaves: nothing, or no seal
        for path, content in zip(begun, (b"", bytes(40), bytes(108) + b"Subject: x")):
            path.write_bytes(content)
            own(path, POLICY_USER)
        with q.start():
            eventually(lambda: len(rows(rc)) == 3, 15, "the rows to be made again")
            eventually(lambda: not any(path.exists() for path in begun), 15, "what was never sealed to be removed")
            assert rc.psql("select sender, queue_id, size, digest, subject from quarantine_message order by subject") == before
        assert junk.exists() and "quarantine-mended" in q.log.read_text()
        junk.unlink()
        gone = q.files()[0]
        gone.unlink()
        with q.start():
            eventually(lambda: any(row["state"] == "lost" for row in rows(rc)), 15, "the lost one to be marked")
            lost = next(row for row in rows(rc) if row["state"] == "lost")
            answer = rc.run("quarantine", "release", str(lost["id"]), check=65)
            assert "not there any more" in answer.stdout, answer


def test_files_that_are_not_their_message():
    """By length at once, by reading in a slow round: what is not its row's message is lost, and nothing else."""
    with make() as rc:
        q = Quarantine(rc)
        names = ["whole", "shorter", "longer", "unsealed", "altered", "of another", "large", "large too"]
        made = {}
        with q.start():
            for name in names:
                before = set(q.files())
                body = SPAM.replace("Offer", name)
                q.give(body + ("x" * 70 + "\r\n") * (13000 if "large" in name else 0), "bob@example.com", ident=name.replace(" ", ""))
                made[name], = set(q.files()) - before
        state = lambda: {row["subject"]: row["state"] for row in rows(rc, "--state", "all")}
        assert set(state()) == set(names) and set(state().values()) == {"held"}
        os.truncate(made["shorter"], made["shorter"].stat().st_size - 1)
        with open(made["longer"], "ab") as file:
            file.write(b"x")
        unsealed = made["unsealed"].read_bytes()
        made["unsealed"].write_bytes(bytes(108) + unsealed[108:])
        other = made["whole"].read_bytes()
        made["of another"].write_bytes(other)
        for name in ("altered", "large too"):  # as long as it was
            with open(made[name], "r+b") as file:
                file.seek(-7, os.SEEK_END)
                file.write(b"!")
        bad = {"shorter", "longer", "unsealed", "of another", "altered", "large too"}
        with q.start():
            eventually(lambda: {name for name, one in state().items() if one == "lost"} == bad, 40, "all of them to be found")
            told = q.log.read_text(errors="replace")
            assert told.count("its message is marked as lost") == len(bad), told
            assert "of another message" not in told and told.count("is another message than its row says") == 1, told
            shown, = rc.json("status", check=False)["quarantine"]
            assert shown["lost"] == len(bad), shown
            # neither a look nor a release waits until the round has come by
            made["whole"].write_bytes(other[:-9] + b"y" * 7 + b"\r\n")
            number = str(next(row["id"] for row in rows(rc, "--state", "all") if row["subject"] == "whole"))
            assert "not there any more, or was altered" in rc.run("quarantine", "show", number, "--raw", check=1).stderr
            assert state()["whole"] == "lost"
            made["large"].write_bytes(made["large"].read_bytes()[:-9] + b"y" * 7 + b"\r\n")
            number = str(next(row["id"] for row in rows(rc, "--state", "all") if row["subject"] == "large"))
            assert "not there any more, or was altered" in rc.run("quarantine", "release", number, check=1).stdout
            assert state()["large"] == "lost"
            number = str(next(row["id"] for row in rows(rc, "--state", "all") if row["subject"] == "altered"))
            assert "not there any more" in rc.run("quarantine", "release", number, check=65).stdout
        assert all(path.exists() for path in made.values()), "they stay for whoever wants to look"


def test_forgetting():
    """Deleted by one: the other's stays. Purged by age, per customer and category; the file goes with the last."""
    with make() as rc, Quarantine(rc) as q:
        q.give(SPAM, "bob@example.com", "eve@example.com")
        q.give(SPAM.replace("X-Spam", "X-Virus-Status: Infected\nX-Spam"), "bob@example.com")
        first = {row["recipient"]: str(row["id"]) for row in rows(rc, "--category", "spam")}
        rc.cli("quarantine", "delete", first["bob@example.com"])
        rc.run("quarantine", "release", first["bob@example.com"], check=65)
        assert len(q.files()) == 2
        rc.cli("quarantine", "keep", "Example", "7", "--category", "spam")
        rc.psql("update quarantine_recipient set received_at = now() - interval '8 days'")
        assert rc.json("quarantine", "purge")["forgotten"] == 2
        eventually(lambda: len(q.files()) == 1, 15, "the file of the spam to go")
        eventually(lambda: rc.psql("select count(*) from quarantine_message") == "1", 15, "and its row")
        rc.psql("update quarantine_recipient set received_at = now() - interval '15 days'")
        assert rc.json("quarantine", "purge")["forgotten"] == 1
        eventually(lambda: q.files() == [], 15, "everything to go")


def test_rights_and_start():
    """Its role may do nothing else; started as root it is not root; a second one, a foreign directory: told at once."""
    with make() as rc, Quarantine(rc, as_root=True) as q:
        assert codes(q.give(SPAM, "bob@example.com")) == [250]
        status = open(f"/proc/{q.process.pid}/status").read()
        assert f"Uid:\t{pwd.getpwnam(POLICY_USER).pw_uid}\t" in status, status
        for statement in ("select * from users", "update quarantine_recipient set state = 'held'", "select * from recipient",
                          "insert into sender_rule (domain_id, action, pattern, actor) values (1, 'allow', 'x', 'x')"):
            denied = run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", rc.pg.dsn(rc.dbname, "rollcall_quarantine"),
                         input=statement, check=False)
            assert "permission denied" in denied.stderr, (statement, denied)
        second = run(q.program, "-c", rc.conf, *q.options, "-o", f"quarantine_listen=inet:127.0.0.1:{free_port()}",
                     check=78, env=rc.environment(), cwd="/")
        assert "another rollcall-quarantine" in second.stderr, second
        bad = run(q.program, "-c", rc.conf, "-o", f"quarantine_user={POLICY_USER}", "-o", "quarantine_rules=worm X", "--check", check=78, env=rc.environment())
        assert "worm X" in bad.stderr, bad
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
            client.connect(q.path)
            assert client.recv(100).startswith(b"220 ")


def test_two_gateways():
    """Each carries out what concerns its own files."""
    with make() as rc, Postfix.customer(EVERYBODY) as customer:
        with Quarantine(rc, "one", release_port=customer.port) as one, Quarantine(rc, "two", release_port=customer.port) as two:
            one.give(SPAM, "bob@example.com")
            two.give(SPAM, "eve@example.com")
            numbers = [str(row["id"]) for row in rows(rc)]
            rc.cli("quarantine", "release", *numbers)
            for address in ("bob@example.com", "eve@example.com"):
                eventually(lambda: len(customer.delivered(address)) == 1, 15, address)
            assert one.log.read_text().count("released:") == two.log.read_text().count("released:") == 1


if __name__ == "__main__":
    main()
