"""test_drills_disk - each directory full, and what lies on disk or in the database damaged: nothing is counted twice, half
done or lost, it is told, and goes on by itself when there is room

The replica's directory is in test_faults.py, the quarantine's in test_quarantine.py. Here: PostgreSQL's own disk, the
panel's spool, the state of rollcall-observe, the temporary directory of rollcall-ldapsync, the directory of metrics files;
then a damaged state and position of rollcall-observe, and a damaged outbox.
"""
import collections
import json
import os
import pathlib
import random
import shutil

from directories import Authority, Slapd, person
from faults import DOMAIN, Watcher, fill, small_disk, world
from harness import FULL, Failed, PostgreSQL, Rollcall, eventually, main, own, run, seeded, shared, shared_servers
from observed import Observed, at
from panel import Panel
from test_ldap import addresses, authority, connect, rollcall
from test_report import NOON, Mails


# ------------------------------------------------------------------ full

def test_disk_of_postgresql_full():
    """Whoever writes fails and says why, nothing is half done, gateways answer from what they have; then it goes on."""
    rng = seeded()
    with PostgreSQL() as pg, world(rng, pg) as w, small_disk(pg.dir / "small", 16, "0777") as filler:
        (pg.dir / "small/data").mkdir()
        own(pg.dir / "small/data", "postgres")
        w.roll.daemon.stop()
        pg.psql(f"create tablespace small location '{pg.dir}/small/data'")
        w.roll.psql("alter table recipient set tablespace small")
        w.roll.policyd()
        people = w.roll.dir / "people.csv"
        people.write_text("address\n" + "".join(f"person{n}@{DOMAIN}\n" for n in range(20000)))
        with Watcher(w) as watcher:
            before, refused = w.roll.version(), 0
            fill(filler)
            for _ in range(5 if FULL else 2):
                failed = w.roll.run("user", "import", people, check=False)
                assert failed.returncode not in (0, 64, 65, 78), (failed.returncode, failed.stderr)
                assert "No space left on device" in failed.stderr, failed.stderr
                assert w.roll.version() == before and w.roll.psql("select count(*) from users") == "0", "half done"
                refused += 1
            filler.unlink()
            w.roll.cli("user", "import", people)
            w.roll.answers(f"person19999@{DOMAIN}", "DUNNO")
        w.equal()
        print(f"    {refused} imports failed whole, then one went through; {len(watcher.wrong)} wrong answers")


def test_spool_of_the_panel_full():
    """A list that finds no room is refused in words, leaves nothing behind, and does not stop the panel's other pages."""
    rng = seeded()
    with Rollcall() as rc, small_disk(rc.dir / "disk", 2) as filler:
        spool = rc.dir / "disk/spool"
        with Panel(rc, panel_spool_directory=spool) as panel:
            panel.spool = spool
            rc.cli("customer", "add", "Clinic")
            rc.cli("domain", "add", "clinic.example", "--customer", "Clinic")
            panel.account("root")
            c = panel.client()
            c.sign_in("root")
            lines = "".join(f"person{n}@clinic.example\n" for n in range(60000)).encode()
            for kind in rng.sample(["upload", "paste"], 2) * (5 if FULL else 1):
                fill(filler)
                os.truncate(filler, filler.stat().st_size - rng.choice([0, 4096, 65536]))  # none, or not enough
                c.get("/import" if kind == "upload" else "/paste")
                got = (c.upload("/import", lines, mode="add", domain="", follow=False) if kind == "upload" else
                       c.post("/paste", text=lines[:900000].decode(), mode="add", follow=False))
                assert got.status == 503, (kind, got.status, got.text[-1000:])
                eventually(lambda: list(spool.iterdir()) == [], 10, "half a list to go")
                assert c.follow(c.get("/users")).status == 200
                assert c.get("/customers").status == 200, c.get("/customers").text
                filler.unlink()
            assert panel.logged("panel-trouble")
            c.get("/import")
            path = c.upload("/import", b"carol@clinic.example\n", mode="add", domain="", follow=False).location
            eventually(lambda: "carol@clinic.example" in c.get(path).text, 30, "the preview")
            c.post(path + "/apply", follow=False)
            eventually(lambda: rc.psql("select count(*) from roll where address ~ '^carol@'") == "1", 30, "the list")
            assert rc.psql("select count(*) from roll") == "1"


def test_state_of_observe_full():
    """A run that cannot keep what is in flight counts nothing; the next one, with room, counts each line once."""
    rng = seeded()
    with Observed() as o, small_disk(o.dir / "disk", 96) as filler:
        o.set(observe_directory=o.dir / "disk/state")
        wanted, failed, state = 0, 0, o.dir / "disk/state"
        for number in range(20 if FULL else 4):
            lines = o.message(at(0, f"{10 + number % 10}:00:00"), "a@customer.test").splitlines(True)
            o.write("".join(lines[:2]))  # its end comes later
            fill(filler)
            os.truncate(filler, max(0, filler.stat().st_size - rng.choice([0, 40000, 5 << 20])))
            done = o.collect(check=False)
            if done.returncode != 0:
                failed += 1
                assert "observe_directory" in done.stderr or "observe" in done.stderr, done.stderr
            o.write("".join(lines[2:]))
            if rng.random() < 0.5:
                done = o.collect(check=False)
                failed += done.returncode != 0
            filler.unlink()
            o.collect()
            wanted += 1
            assert o.counts() == [("a", str(wanted))], (number, o.counts(), wanted, done.stderr)
        assert failed > 0 and state.is_dir()
        print(f"    {failed} runs failed for want of room, {wanted} messages counted once each")


def test_temporary_directory_of_ldapsync_full():
    """A directory that cannot be kept while it is read changes nothing."""
    seeded()
    people = "".join(person(f"p{n}", f"mail: p{n}@example.com", "description: " + "x" * 400) for n in range(300))
    with Slapd(authority()) as ldap, rollcall("example.com") as rc, small_disk(rc.dir / "disk", 1, "0777") as filler:
        ldap.modify(people)
        connect(rc, ldap, domains=("example.com",))
        real = rc.environment
        rc.environment = lambda **more: real(TMPDIR=str(rc.dir / "disk"), **more)
        rc.set(sandbox_read="/tmp")  # where the certificates lie, which is no temporary directory any more
        fill(filler)
        failed = rc.run("ldap", "sync", "example.com", check=False)
        assert failed.returncode == 75 and "No space left" in failed.stderr, (failed.returncode, failed.stderr)
        assert addresses(rc) == {}
        filler.unlink()
        rc.cli("ldap", "sync", "example.com")
        assert len(addresses(rc)) == 300
        fill(filler)
        ldap.modify(person("late", "mail: late@example.com"))
        assert rc.run("ldap", "sync", "example.com", check=False).returncode == 75
        assert len(addresses(rc)) == 300, "nobody is lost"
        print("    2 runs failed, 300 addresses stayed")


def test_directory_of_metrics_full():
    """Mails go all the same, it is told, and whoever reads the file finds the last one whole."""
    seeded()
    with Mails(["ann@customer.test"]) as m, small_disk(m.rc.dir / "disk", 1, "0777") as filler:
        files = [m.rc.dir / "disk" / name for name in ("report.prom", "outbox.prom")]
        m.rc.set(report_metrics_file=files[0], outbox_metrics_file=files[1])
        for day in range(2):
            m.quarantine("ann@customer.test", NOON + day * 86400 - 10 * 3600)
            if day:
                fill(filler)
                before = [file.read_text() for file in files]
            told = [m.command("spam", now=NOON + day * 86400), m.command("send")]
            assert ["No space left on device" in text for text in told] == [bool(day)] * 2, told
            m.arrived("ann@customer.test", day + 1)
        assert [file.read_text() for file in files] == before and all(before)
        assert sorted(path.name for path in filler.parent.iterdir()) == sorted([filler.name, *(f.name for f in files)])
        print("    2 files as they were, 2 mails delivered")


# ------------------------------------------------------------------ damaged

def harm_file(rng, path):
    size = path.stat().st_size
    way = rng.choice(["cut", "noise", "zeros", "gone"])
    if way == "gone":
        path.unlink()
    elif way == "cut":
        os.truncate(path, rng.randrange(size) if size else 0)
    else:
        with open(path, "r+b") as file:
            file.seek(rng.randrange(size) if size else 0)
            length = rng.randint(1, 20000)
            file.write(bytes(length) if way == "zeros" else rng.randbytes(length))
    return way


def test_state_of_observe_damaged():
    """Messages that were in flight may not count; all others do, once."""
    rng = seeded()
    with Observed() as o:
        done, most = collections.Counter(), 0
        for number in range(60 if FULL else 8):
            lines = o.message(at(0, f"{number % 24}:10:00"), "flight@customer.test").splitlines(True)
            o.write("".join(lines[:2]) + o.message(at(0, f"{number % 24}:10:01"), "whole@customer.test"))
            o.collect()
            files = [path for path in (o.dir / "observe").rglob("*") if path.is_file() and path.name != "lock"]
            done[harm_file(rng, rng.choice(files))] += 1
            o.write("".join(lines[2:]))
            o.collect()
            most += 1
            counts = dict(o.counts("accepted", "accepted > 0"))
            assert counts["whole"] == str(most), (number, counts, done)
            assert int(counts.get("flight", 0)) <= most, counts
        print(f"    {', '.join(f'{way} {n}' for way, n in sorted(done.items()))}: {most} messages counted once each, "
              f"{most - int(counts.get('flight', 0))} in flight not counted")


GARBAGE = ["null", "[]", "{}", "\"x\"", "-1", "99999999999999999999", "{\"files\": null}", "{\"files\": {}}",
           "{\"files\": [1, null, \"x\"]}", "{\"files\": [{\"offset\": -5}]}", "{\"files\": [{\"offset\": \"far\"}]}",
           "{\"files\": [{\"head\": \"zz\", \"head_len\": 4000000000, \"offset\": 1e30}]}", "{\"run\": \"never\"}"]


def test_position_damaged():
    """Whatever stands in log_position, a run ends by itself, says what it can, and what it counted stays."""
    rng = seeded()
    with Observed() as o:
        o.write(o.message(at(0, "10:00:00"), "a@customer.test"))
        o.collect()
        whole = o.psql("select sources from log_position")
        source = next(iter(json.loads(whole)))
        told = collections.Counter()
        for value in GARBAGE if FULL else rng.sample(GARBAGE, 6):
            broken = value if value in ("null", "[]", "{}", "\"x\"", "-1") and rng.random() < 0.5 else json.dumps(
                {source: json.loads(value)})
            o.psql(f"update log_position set sources = '{broken}'")
            done = o.collect(check=False)
            told[done.returncode] += 1
            assert done.returncode in (0, 1, 65), (broken, done.returncode, done.stderr)
            assert done.returncode != 65 or "gateway: its row of log_position is damaged" in done.stderr, done.stderr
            assert int(dict(o.counts())["a"]) >= 1, "what was counted is gone"
            o.psql(f"update log_position set sources = '{whole}'")
        o.write(o.message(at(0, "11:00:00"), "b@customer.test"))
        o.collect()
        assert dict(o.counts())["b"] == "1"
        print(f"    {sum(told.values())} damaged positions, runs ended with {dict(told)}; right again after them")


def test_outbox_damaged():
    """A mail whose sealed text is damaged, or was sealed under another key, is never sent as it is: it is given up and
    told, and the others go."""
    rng = seeded()
    people = [f"u{n}@customer.test" for n in range(40 if FULL else 12)]
    with Mails(people) as m:
        for user in people:
            m.quarantine(user, NOON - 10 * 3600)
        m.command("spam", now=NOON)
        sealed = m.rc.psql("select count(*) from outbox where sealed")
        if sealed == "0":  # reports carry no secret; password mails do
            m.rc.psql("delete from outbox")
            for user in people:
                m.rc.psql(f"set role rollcall_panel; select mail_ask('confirm', '{user}', '198.51.100.7', 100, 1000)")
        m.rc.set(mail_server="inet:127.0.0.1:9")
        m.command("send", check=75)  # written and sealed, nobody to take them
        waiting = m.rc.psql("select id from outbox where sealed and state = 'waiting' order by 1").split()
        assert len(waiting) == len(people), waiting
        harmed = rng.sample(waiting, len(waiting) // 3)
        for number in harmed:
            m.rc.psql(f"update outbox set body = " + rng.choice([
                "set_byte(body, length(body) / 2, 255 - get_byte(body, length(body) / 2))", "substr(body, 1, 10)", "''",
                "sha512(body)", "body || 'x'"]) + f" where id = {number}")
        m.rc.psql("update outbox set next_at = now()")
        m.rc.set(mail_server=f"inet:127.0.0.1:{m.postfix.port}")
        told = m.command("send", check=False)
        states = dict(line.split("|") for line in m.rc.psql("select id, state from outbox").splitlines())
        assert {number for number, state in states.items() if state == "dead"} == set(harmed), states
        assert told.count("mail-dead") == len(harmed), told
        good = len(people) - len(harmed)
        eventually(lambda: sum(len(m.raw(user)) for user in people) == good, 30, f"{good} mails")
        assert all(m.mails(user) is not None for user in people)
        print(f"    {len(harmed)} damaged mails given up and told, {good} sent")


if __name__ == "__main__":
    main()
