"""test_observe - users from what the customers' servers accept: logs, days, gateways

The logs are written here; test_observe_postfix.py has those of real servers.

Catches: a line counted twice or not at all, whatever happened between two runs; users created too early, too often, or
where something speaks against them; somebody retired who is there.
"""
import datetime
import gzip
import json
import os
import re
import shutil
import subprocess
import time

from harness import BUILD, FULL, main, run, seeded
from observed import HOP, Observed, at, moment

# ------------------------------------------------------------------ counting once

def test_counted_once():
    with Observed() as o:
        o.write(o.message(at(0, "10:00:00"), "a@customer.test", "b@customer.test") * 1)
        o.collect()
        o.collect()
        o.write(o.message(at(0, "11:00:00"), "a@customer.test"))
        o.log.rename(f"{o.log}.1")
        o.write(o.message(at(0, "12:00:00"), "a@customer.test"))
        run("gzip", f"{o.log}.1")
        o.collect()
        o.collect()
        assert o.counts() == [("a", "3"), ("b", "1")], o.counts()
        assert o.psql("select sequence, read_to from log_position") == f"4|{at(1, '00:04:50')[:10]} 00:04:50+00"


def test_standard_input_and_history():
    with Observed() as o:
        text = "".join(o.message(at(0, "10:00:00"), "a@customer.test") for _ in range(5))
        o.collect("-", input=text)
        o.collect("-", input=text)
        o.collect("-", input=text + o.message(at(0, "10:00:01"), "b@customer.test"))
        assert o.counts() == [("a", "5"), ("b", "1")], o.counts()
        old = o.message(at(-3, "10:00:00"), "old@customer.test")
        with gzip.open(f"{o.log}.2.gz", "wt") as packed:
            packed.write(old)
        o.write(o.message(at(0, "10:00:02"), "c@customer.test"))
        o.collect("--history")
        o.collect()
        assert o.counts() == [("a", "5"), ("b", "1"), ("c", "1"), ("old", "1")], o.counts()


def test_state_between_runs():
    """A message whose lines are read in two runs, and a store that was lost between them."""
    with Observed() as o:
        lines = o.message(at(0, "10:00:00"), "a@customer.test").splitlines(True)
        o.write("".join(lines[:2]))
        o.collect()
        o.write("".join(lines[2:]))
        o.collect()
        assert o.counts() == [("a", "1")], o.counts()
        lines = o.message(at(0, "11:00:00"), "a@customer.test").splitlines(True)
        o.write("".join(lines[:2]))
        o.collect()
        shutil.rmtree(o.dir / "observe")
        o.write("".join(lines[2:]))
        told = o.collect().stderr
        assert "observe-state" in told, told
        assert o.counts("accepted, deliverable") == [("a", "1", "2")], o.counts("accepted, deliverable")


def test_one_recipient_under_several_names():
    """With a tag, in capitals, by an alias domain, and decided later: one row, and what is sent twice is added up."""
    with Observed() as o:
        o.cli("domain", "set", "customer.test", "--delimiter", "+")
        o.cli("domain", "add", "alias.test", "--customer", "Test", "--alias-of", "customer.test")
        lines = o.message(at(0, "12:00:00"), "Ann+b@alias.test").splitlines(True)
        o.write(lines[2] + o.message(at(0, "10:00:00"), "ann@customer.test", "ANN@customer.test", "ann+tag@customer.test",
                                     "ann@alias.test", "zoe@customer.test") +
                o.refusal(at(0, "13:00:00"), "ann@customer.test") + o.refusal(at(0, "14:00:00"), "Ann@alias.test") +
                lines[0] + lines[1] + lines[3] + o.message(at(0, "11:00:00"), "Zoe@alias.test"))
        o.collect()
        times = lambda column: f"to_char({column} at time zone 'UTC', 'HH24:MI')"
        assert o.counts(f"accepted, deliverable, refused, {times('last_yes')}, {times('last_no')}") == [
            ("ann", "5", "5", "2", "12:00", "14:00"), ("zoe", "2", "2", "0", "11:00", "")], o.counts("accepted, deliverable, refused")


def log_text(o, lines, recipients, rng):
    """A log whose truth is returned beside it."""
    truth, text = {}, []
    for i in range(lines // 4):
        name = f"user{rng.randrange(recipients)}"
        clock = str(datetime.timedelta(seconds=i * 72000 // (lines // 4)))
        text.append(o.message(at(0, clock), f"{name}@customer.test"))
        truth[name] = truth.get(name, 0) + 1
    return "".join(text), truth


def is_true(o, truth):
    got = {name: int(n) for name, n in o.counts("accepted", "accepted > 0")}
    assert got == truth, {k: (got.get(k), truth.get(k)) for k in set(got) | set(truth) if got.get(k) != truth.get(k)}


def start_collect(o, *more, now=None):
    database = f"host={o.host} dbname={o.dbname} user=rollcall_observe"
    return subprocess.Popen([BUILD / "bin/rollcall-observe", "-c", o.conf, "-o", f"database={database}", *more,
                             "collect", "--now", now or at(1, "00:05:00")], stderr=subprocess.PIPE, env=o.environment(),
                            cwd="/", text=True)


def test_killed_at_any_moment():
    rng = seeded()
    with Observed(observe_step="16K") as o:
        lines = 1900000 if FULL else 60000  # 200 MB, 6 MB
        text, truth = log_text(o, lines, 2000, rng)
        half = len(text) // 2 + rng.randrange(200)
        o.write(text[:half])
        begun = time.monotonic()
        kills, ended = 0, 0
        while ended < 2 and time.monotonic() - begun < (400 if FULL else 100):
            child = start_collect(o, now=at(0, "10:01:00") if ended == 0 else None)
            try:
                child.wait(rng.random() * (0.2 if kills < 5 else 0.4 if kills < 40 else 30))
                assert child.returncode == 0, child.stderr.read()
                ended += 1
                if ended == 1:
                    o.write(text[half:])
                    os.rename(o.log, f"{o.log}.1")
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                kills += 1
            child.stderr.close()
        assert ended == 2 and kills > 1, (ended, kills)
        is_true(o, truth)
        print(f"    {kills} times killed, {o.psql('select sequence from log_position')} commits")


def test_lines_that_come_late():
    """A log that is read long after its hours: a commit between two lines of a message loses nothing."""
    rng = seeded()
    with Observed(observe_step="16K") as o:
        text, truth = log_text(o, 16000, 300, rng)
        o.write(o.message(at(0, "00:00:00"), "x@elsewhere.test"))
        o.collect()
        o.write(text)
        o.collect()
        is_true(o, truth)


def test_two_gateways_at_once():
    rng = seeded()
    with Observed(observe_step="64K") as o:
        text, truth = log_text(o, 8000, 300, rng)
        other_text, other = log_text(o, 8000, 300, rng)
        o.write(text)
        second = o.dir / "logs/second.log"
        second.write_text(other_text)
        sides = [("-o", f"observe_sources={o.log}"),
                 ("-o", f"observe_sources={second}", "-o", "gateway_name=second", "-o",
                  f"observe_directory={o.dir}/observe2")]
        children = [start_collect(o, *side) for side in sides]
        for child in children:
            _, told = child.communicate(timeout=200)
            assert child.returncode == 0, told
        for name, n in other.items():
            truth[name] = truth.get(name, 0) + n
        is_true(o, truth)


def run_together(o, *sides):
    """Several at once, each of which does its work or is told to try again."""
    children = [start_collect(o, *side) for side in sides]
    codes = []
    for child in children:
        _, told = child.communicate(timeout=200)
        codes.append(child.returncode)
        assert child.returncode in (0, 75), told
    assert 0 in codes, codes


def test_the_same_gateway_twice():
    """Two runs at once: kept apart by the directory's lock or, when that differs, by the position."""
    rng = seeded()
    with Observed(observe_step="64K") as o:
        text, truth = log_text(o, 8000, 300, rng)
        o.write(text)
        run_together(o, (), (), ())
        o.collect()
        is_true(o, truth)
    with Observed(observe_step="64K") as o:
        o.write(text)
        run_together(o, (), ("-o", f"observe_directory={o.dir}/elsewhere"))
        o.collect()
        # what one had in flight the other does not know: that may be missing, and nothing is there twice
        got = {name: int(n) for name, n in o.counts("accepted", "accepted > 0")}
        missing = {name: truth[name] - got.get(name, 0) for name in truth}
        assert set(got) <= set(truth) and min(missing.values()) >= 0 and sum(missing.values()) <= 4, missing


def test_clock_jumps():
    """Stamps that go back, and stamps of the future, which count as now."""
    with Observed() as o:
        o.write(o.message(at(0, "10:00:00"), "a@customer.test") + o.message(at(0, "07:00:00"), "a@customer.test") +
                o.message(at(400, "10:00:00"), "future@customer.test") + o.message(at(0, "23:59:59"), "a@customer.test"))
        o.collect(now=at(0, "23:59:59"))
        assert o.counts("day, accepted") == [("a", at(0, "0:0:0")[:10], "3"), ("future", at(0, "0:0:0")[:10], "1")]


def test_summer_time():
    """Days are GMT's, whatever the zone of the stamps, also when its clock is changed."""
    with Observed(observe_time_zone="Europe/Berlin") as o:
        local = lambda stamp, who: re.sub(r"^\S+", stamp, o.message("X", f"{who}@customer.test"), flags=re.M)
        o.write("".join([local("Oct 25 01:59:59", "before"),  # 23:59:59 on the 24th: +02:00
                         local("Oct 25 02:00:00", "after"), local("Oct 25 02:30:00", "after"),
                         local("Oct 25 02:00:00", "after"), local("Oct 26 00:59:59", "after"),  # +01:00
                         local("Oct 26 01:00:00", "next")]))
        stamp = datetime.datetime(2026, 10, 26, 12, tzinfo=datetime.timezone.utc).timestamp()
        os.utime(o.log, (stamp, stamp))
        o.collect(now="2026-10-26T12:00:00Z")
        assert o.counts("day, accepted") == [("after", "2026-10-25", "4"), ("before", "2026-10-24", "1"),
                                             ("next", "2026-10-26", "1")], o.counts("day, accepted")


def test_journal():
    remote = "/lib/systemd/systemd-journal-remote"
    with Observed() as o:
        directory = o.dir / "journal"
        directory.mkdir()

        def add(text, number):
            entries = []
            for line in text.splitlines():
                stamp, _, program, rest = line.split(" ", 3)
                us = int(datetime.datetime.fromisoformat(stamp).timestamp() * 1000000) + len(entries)
                entries.append(f"__REALTIME_TIMESTAMP={us}\n__MONOTONIC_TIMESTAMP={us % 10 ** 12}\n_SOURCE_REALTIME_TIMESTAMP={us}\nSYSLOG_FACILITY=2\n"
                               f"SYSLOG_IDENTIFIER={program.split('[')[0]}\nMESSAGE={rest}\n"
                               "_BOOT_ID=0123456789abcdef0123456789abcdef\n\n")
            run(remote, "-o", directory / f"part{number}.journal", "-", input="".join(entries))

        o.set(observe_sources=f"journal:{directory}")
        add(o.message(at(0, "10:00:00"), "a@customer.test", "b@customer.test"), 1)
        o.collect()
        o.collect()
        add(o.message(at(0, "11:00:00"), "a@customer.test"), 2)
        o.collect()
        o.collect()
        assert o.counts() == [("a", "2"), ("b", "1")], o.counts()


def test_troubles_are_told():
    with Observed() as o:
        o.set(observe_sources=f"{o.dir}/nowhere.log, {o.log}")
        o.write(o.message(at(0, "10:00:00"), "a@customer.test"))
        told = o.collect(check=1).stderr
        assert "nowhere.log" in told and o.counts() == [("a", "1")], told
        assert o.psql("select read_to < now() - interval '30 years' from log_position") == "t"  # not that far
        assert "no such" in o.observe("collect", "--print", "/nowhere", check=78).stderr.lower()
        assert "no command" in o.observe("fly", check=64).stderr
        assert "no time" in o.observe("collect", "--now", "yesterday", check=64).stderr
        assert o.observe("create", "--force", role="rollcall_sync", check=64)
        o.set(database="host=/nowhere dbname=x")
        assert run(BUILD / "bin/rollcall-observe", "-c", o.conf, "collect", check=75, env=o.environment())


def test_rights():
    """A gateway may add, and nothing else."""
    with Observed() as o:
        def refused(sql):
            done = run("psql", "-XAtq", o.pg.dsn(o.dbname, "rollcall_observe"), "-c", sql, check=False)
            assert done.returncode != 0 and "permission denied" in done.stderr, (sql, done.stdout, done.stderr)
        for sql in ("select * from observation", "delete from observation", "update recipient set state = 'removed'",
                    "insert into refusal values (1, 'a', now(), 1)", "update log_position set sequence = 7",
                    "select * from users", "insert into changeset (mode, source, actor, program) values ('add', 'smtp', 'a', 'b')",
                    "select observe_changeset('x')", "update domain_observation set accepts_everything = false"):
            refused(sql)


# ------------------------------------------------------------------ evidence

def test_newest_word_wins():
    with Observed() as o:
        o.cli("user", "add", "on@customer.test")
        stamp = lambda what, who="on": o.psql(f"select {what} from recipient where local_part = '{who}'")
        o.write(o.message(at(0, "10:00:00"), "on@customer.test", "off@customer.test"))
        o.collect()
        assert stamp("verified_on, refused_at") == f"{at(0, '0:0:0')[:10]}|"
        version = o.version()
        o.write(o.message(at(0, "11:00:00"), "on@customer.test"))
        o.collect()
        assert o.version() == version, "the same day again is no news"
        o.write(o.refusal(at(0, "12:00:00"), "on@customer.test") + o.refusal(at(0, "12:00:00"), "off@customer.test"))
        o.collect()
        assert stamp("refused_at is not null") == "t" and o.version() == version + 1
        assert o.psql("select local_part from refusal where refused_at is not null") == "off"
        o.write(o.message(at(0, "11:30:00"), "on@customer.test"))  # older than the refusal
        o.collect()
        assert stamp("refused_at is not null") == "t"
        o.write(o.message(at(0, "13:00:00"), "on@customer.test", "off@customer.test"))
        o.collect()
        assert stamp("refused_at is null") == "t"
        assert o.psql("select count(*) from refusal where refused_at is not null") == "0"
        assert o.psql("select count(*) from changeset where mode = 'evidence'") == "3"


def test_addresses_are_looked_up_by_key():
    """Not by the index that finds fragments of addresses, which answers as well and costs fifty times as much."""
    scans = "select idx_scan from pg_stat_user_indexes where indexrelname = 'recipient_{}'"
    with Observed() as o:
        o.psql("""begin; do $$ begin perform roll_begin('many'); end $$; insert into recipient (domain_id, local_part, kind)
            select d.id, 'u' || n, 'group' from domain d, generate_series(1, 20000) n; commit""")
        o.psql("vacuum analyze")
        before = [int(o.psql(scans.format(index))) for index in ("address", "fragment")]
        for day in range(8):  # a statement is planned for its values five times, then perhaps once for all
            o.psql(f"""select observe_add('gw', array_agg(current_date), array_agg((select id from domain)), array_agg('u' || n),
                array_agg(1), array_agg(1), array_agg(0), array_agg(0), array_agg(0), array_agg(now() + {day} * interval '1 day'),
                array_agg(null::timestamptz)) from generate_series(1, 500) n""")
        by_key, by_fragment = (int(o.psql(scans.format(index))) - was for index, was in zip(("address", "fragment"), before))
        assert by_key >= 8 * 500 and by_fragment == 0, (by_key, by_fragment)


def test_refusals_are_bounded():
    with Observed() as o:
        o.psql("""
            select observe_add('g', array_agg(current_date), array_agg((select id from domain)), array_agg('x' || i),
              array_agg(0), array_agg(0), array_agg(1), array_agg(1), array_agg(0), array_agg(null::timestamptz),
              array_agg(now() + i * interval '1 millisecond')) from generate_series(1, 100200) i""")
        assert o.psql("select count(*), min(substr(local_part, 2)::int) from refusal") == "100000|201"


# ------------------------------------------------------------------ creation

def test_day_edges():
    with Observed() as o:
        o.add_domain("young.test", since=0)
        o.since("young.test", at(0, "10:00:00"))
        clean = lambda who, *clocks: "".join(o.message(clock, who) for clock in clocks)
        o.write("".join([
            clean("two@customer.test", at(0, "10:00:00"), at(0, "10:00:01")),
            clean("three@customer.test", at(0, "00:00:00"), at(0, "12:00:00"), at(0, "23:59:59")),
            clean("early@customer.test", at(-1, "23:59:59"), at(0, "12:00:00"), at(0, "12:00:01")),
            clean("three@young.test", at(0, "11:00:00"), at(0, "12:00:00"), at(0, "13:00:00")),
            clean("late@customer.test", at(0, "9:00:00"), at(0, "9:00:01")),
            clean("gone@customer.test", at(0, "9:00:00"), at(0, "9:00:01"), at(0, "9:00:02")),
            o.refusal(at(0, "10:00:00"), "gone@customer.test"),
            clean("postmaster@elsewhere.test", at(0, "9:00:00"), at(0, "9:00:01"), at(0, "9:00:02")),
        ]))
        o.collect(now=at(0, "23:59:58"))
        o.create(now=at(1, "00:00:10"))
        assert o.users() == [], "the log is not read past 24:00"
        assert "waiting for gateway" in o.create(now=at(1, "02:00:00"), check=75).stderr
        o.psql("update log_position set read_from = '2000-01-01'")
        o.write(o.message(at(1, "00:00:00"), "late@customer.test"))
        o.collect()
        told = o.create("--dry-run").stdout
        assert told == "+ three@customer.test\n", told
        o.create()
        assert o.users() == ["three@customer.test"], o.users()
        changesets = o.psql("select count(*) from changeset")
        o.create()
        assert o.psql("select count(*) from changeset") == changesets, "the second run does nothing"
        assert o.psql("select source, actor from changeset where mode = 'add'") == "smtp|rollcall-observe"
        explained = o.observe("create", "--explain", "Two@customer.test", role="rollcall_sync").stdout
        assert "1 more clean message wanted" in explained and "not on the roll" in explained, explained
        assert "last word was no" in o.observe("create", "--explain", "gone@customer.test", role="rollcall_sync").stdout
        assert "enough for a user" in o.observe("create", "--explain", "three@customer.test", role="rollcall_sync").stdout


def test_threshold_and_sources():
    with Observed() as o:
        o.cli("domain", "set", "customer.test", "--threshold", "0")
        o.cli("user", "add", "manual@customer.test", "off@customer.test")
        o.cli("user", "disable", "off@customer.test")
        o.write("".join(o.message(at(0, "10:00:00"), f"{who}@customer.test") for who in ("one", "manual", "off")))
        o.write(o.message(at(-1, "10:00:00"), "x@customer.test"))
        o.collect()
        o.psql("update log_position set read_from = '2000-01-01'")
        o.create()
        assert o.users() == ["manual@customer.test", "one@customer.test", "x@customer.test"], o.users()
        assert o.psql("select string_agg(distinct s.source::text, ' ') from recipient_source s join recipient r on"
                      " r.id = s.recipient_id where r.local_part = 'manual'") == "manual"
        # a removed user is not created again, unless by hand
        o.cli("user", "remove", "one@customer.test")
        o.write(o.message(at(1, "10:00:00"), "one@customer.test"))
        o.collect(now=at(2, "00:05:00"))
        o.create(now=at(2, "00:05:00"))
        assert "one@customer.test" not in o.users()
        assert "was removed" in o.observe("create", "--explain", "one@customer.test", role="rollcall_sync").stdout
        o.set(veto_for="0s")
        o.write(o.message(at(2, "10:00:00"), "one@customer.test"))
        o.collect(now=at(3, "00:05:00"))
        o.create(now=at(3, "00:05:00"))
        assert "one@customer.test" in o.users()


def test_missed_nights_in_order():
    with Observed() as o:
        for day in (-3, -2, -1, 0):
            o.write("".join(o.message(at(day, "10:00:00"), f"day{day + 3}@customer.test") for _ in range(3)))
        o.collect()
        o.psql("update log_position set read_from = '2000-01-01'")
        o.create()
        assert len(o.users()) == 4
        notes = o.psql("select note from changeset where mode = 'add' order by id").splitlines()
        assert notes == [f"observed on {at(day, '0:0:0')[:10]}" for day in (-3, -2, -1, 0)], notes
        assert o.psql("select worked_to from domain_observation") == at(0, "0:0:0")[:10]


def test_all_gateways_are_waited_for():
    with Observed() as o:
        o.write("".join(o.message(at(0, "10:00:00"), "a@customer.test") for _ in range(2)))
        other = o.dir / "logs/other.log"
        other.write_text(o.message(at(0, "11:00:00"), "a@customer.test"))
        o.collect()
        second = ("-o", "gateway_name=second", "-o", f"observe_sources={other}", "-o",
                  f"observe_directory={o.dir}/observe2")
        o.collect(now=at(0, "20:00:00"), more=second)
        o.psql("update log_position set read_from = '2000-01-01'")
        o.create()
        assert o.users() == []
        told = o.create(now=at(1, "01:30:00"), check=75).stderr
        assert "second" in told and "create-late" in told, told
        assert o.create("--without", "second", "--dry-run").stdout == "+ a@customer.test\n"
        o.collect(more=second)
        o.create()
        assert o.users() == ["a@customer.test"]


def test_too_many_are_held():
    with Observed() as o:
        o.cli("domain", "set", "customer.test", "--threshold", "0")
        o.write("".join(o.message(at(-1, "10:00:00"), f"first{i}@customer.test") for i in range(30)))
        o.write("".join(o.message(at(0, "10:00:00"), f"second{i}@customer.test") for i in range(26)))
        o.collect()
        o.psql("update log_position set read_from = '2000-01-01'")
        told = o.create().stderr
        assert len(o.users()) == 30 and "would add 26 users" in told, (len(o.users()), told)
        assert "held" not in o.create().stderr, "it is told once"
        assert "would add 26" in o.observe("status", role="rollcall_sync").stdout
        told = json.loads(o.run("status", "--json", check=1).stdout)
        assert told["observation_held"][0]["domain"] == "customer.test", told
        assert any("would add 26" in row["text"] for row in told["attention"]), told
        o.create("--domain", "customer.test", "--force")
        assert len(o.users()) == 56
        assert json.loads(o.run("status", "--json", check=False).stdout)["observation_held"] == []
        assert "held" not in o.observe("status", role="rollcall_sync").stdout


def test_told_to_people():
    """Before the mode is changed; why an address is refused; whether the log is read."""
    with Observed() as o:
        o.cli("user", "add", "listed@customer.test")
        assert "nothing was observed" in o.cli("domain", "preflight", "customer.test", "--relay-check", "panel")
        for who, times in (("listed", 4), ("missing", 3), ("once", 1)):
            o.write("".join(o.message(at(0, "10:00:00"), f"{who}@customer.test") for _ in range(times)))
        o.write(o.refusal(moment(-60), "ghost@customer.test"))
        o.collect(now=moment())
        told = o.json("domain", "preflight", "customer.test", "--relay-check", "panel")
        assert told["unlisted"] == 2 and [(row["unlisted"], row["messages"]) for row in told["not_on_the_roll"]] == [
            ("missing@customer.test", 3), ("once@customer.test", 1)], told
        assert any("4 clean messages" in row["consequence"] and "would be refused" in row["consequence"]
                   for row in told["consequences"]), told
        told = o.json("explain", "Missing@customer.test")
        assert told["rule"] == "ask-unlisted" and [row["accepted"] for row in told["observed"]] == [3], told
        told = o.json("explain", "ghost@customer.test")
        assert told["rule"] == "refused" and "(refused)" in told["reply"] and told["observed"][0]["refused"] == 1, told
        check = lambda: [row for row in json.loads(o.run("doctor", "--json", check=False).stdout) if row["check"] == "observation"]
        assert check()[0]["result"] == "ok", check()
        o.psql("update log_position set read_to = now() - interval '3 hours'")
        assert check()[0]["result"] == "warning" and "collect" in check()[0]["remedy"], check()


def test_late_bouncers_are_frozen():
    with Observed() as o:
        late = o.message(at(0, "11:00:00"), "x@customer.test", status="bounced", dsn="5.1.1",
                         reply=f"host {HOP[:-3]} said: 550 5.1.1 unknown (in reply to end of DATA command)")
        o.write("".join(o.message(at(0, "10:00:00"), "a@customer.test") for _ in range(3)))
        o.write(o.message(at(0, "10:30:00"), "x@customer.test", status="deliverable", dsn="2.1.5",
                          sender="double-bounce@gw") + late)
        o.collect()
        o.psql("update log_position set read_from = '2000-01-01'")
        told = o.create().stderr
        assert o.users() == [] and "then says it does not have" in told, told


def test_retired():
    with Observed() as o:
        o.cli("user", "add", "byhand@customer.test")
        for who in ("dead", "alive", "once", "byhand"):
            o.write("".join(o.message(at(0, "10:00:00"), f"{who}@customer.test") for _ in range(3)))
        for i in range(20):
            o.write("".join(o.message(at(0, "10:00:00"), f"other{i}@customer.test") for _ in range(3)))
        o.collect()
        o.psql("update log_position set read_from = '2000-01-01'")
        o.create()
        assert len(o.users()) == 24
        day = lambda d, *who: "".join(o.refusal(at(d, "12:00:00"), f"{name}@customer.test") for name in who)
        o.write(day(1, "dead", "alive", "once", "byhand") + o.message(at(1, "13:00:00"), "alive@customer.test"))
        o.collect(now=at(2, "00:05:00"))
        o.create(now=at(2, "00:05:00"))
        assert o.users("retired") == []
        o.write(day(2, "dead", "alive", "byhand"))
        o.collect(now=at(3, "00:05:00"))
        assert o.create("--dry-run", now=at(3, "00:05:00")).stdout == "- dead@customer.test\n"
        o.create(now=at(3, "00:05:00"))
        assert o.users("retired") == ["dead@customer.test"], o.users("retired")
        assert o.psql("select mode, changed from changeset order by id desc limit 1") == "retire|1"
        # the mailbox is back
        o.write("".join(o.message(at(3, "10:00:00"), "dead@customer.test") for _ in range(3)))
        o.collect(now=at(4, "00:05:00"))
        o.create(now=at(4, "00:05:00"))
        assert "dead@customer.test" in o.users() and o.users("retired") == []
        # a server that says so of everybody is not believed
        everybody = [user.split("@")[0] for user in o.users() if user.startswith("other")]
        o.write(day(4, *everybody) + day(5, *everybody))
        o.collect(now=at(6, "00:05:00"))
        told = o.create(now=at(6, "00:05:00")).stderr
        assert "would retire 20 of" in told and not {user for user in o.users("retired") if user.startswith("other")}, told
        held = json.loads(o.run("status", "--json", check=False).stdout)["observation_held"]
        assert "would retire" in held[0]["why"], held
        o.create("--domain", "customer.test", "--day", at(5, "0:0:0")[:10], "--force", now=at(6, "00:10:00"))
        assert len([user for user in o.users("retired") if user.startswith("other")]) == 20


if __name__ == "__main__":
    main()
