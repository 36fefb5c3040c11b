"""The administrator's command line against a real PostgreSQL, the daemon and Postfix."""
import json
import os
import re
import signal
import socket
import subprocess
import time

from harness import (BUILD, SANITIZER_WORDS, Postfix, PostgreSQL, Rollcall, eventually, free_port, main, own, run,
                     shared_postgresql)


def refused(rc, code, *args, has=(), input=None):
    """The command ends with that code and one of its words on standard error; returns that."""
    text = rc.run(*args, check=code, input=input).stderr
    for word in [has] if isinstance(has, str) else has:
        assert word in text, f"{word!r} not in {text!r}"
    return text


def bare(**settings):
    """A configuration without a database."""
    return Rollcall(pg=shared_postgresql(), init=False, **settings)


def sample(rc=None, **settings):
    """A customer with one domain of each kind."""
    rc = rc or Rollcall(**settings)
    rc.cli("customer", "add", "Example Clinic")
    for name, more in {
        "panel.test": ["--relay-check", "panel"],
        "smtp.test": ["--relay-check", "smtp", "--shadow", "panel"],
        "either.test": ["--relay-check", "either"],
        "off.test": ["--relay-check", "off"],
        "case.test": ["--relay-check", "panel", "--case-sensitive", "--delimiter", "+-"],
    }.items():
        rc.cli("domain", "add", name, "--customer", "Example Clinic", "--next-hop", "relay:[127.0.0.1]:2525", *more)
    rc.cli("domain", "add", "alias.test", "--customer", "Example Clinic", "--alias-of", "panel.test")
    return rc


def counts(rc):
    """What must stay as it is when a command is refused."""
    return rc.psql("select (select version from roll_clock), (select count(*) from changeset),"
                   " (select count(*) from recipient where state <> 'removed'), (select count(*) from users)")


# ------------------------------------------------------------------ without a database

def test_usage():
    with bare() as rc:
        refused(rc, 64, has="rollcall --help")
        refused(rc, 64, "usr", "add", "x@y", has="did you mean 'user add'?")
        refused(rc, 64, "user", has="add|remove|disable|enable|password-request|show|forget|list|import|paste|export")
        refused(rc, 64, "user", "add", has="usage: rollcall user add")
        refused(rc, 64, "user", "add", "a@b.test", "--nmae", "x", has="did you mean --name?")
        refused(rc, 64, "user", "add", "a@b.test", "c@b.test", "--name", "x", has="one ADDRESS, not 2")
        refused(rc, 64, "user", "add", "a@b.test", "--timeout", "5s", has="--wait")
        refused(rc, 64, "user", "add", "a@b.test", "--wait", "--timeout", "soon", has="--timeout soon")
        refused(rc, 64, "user", "list", "--limit", "many", has="--limit many")
        refused(rc, 64, "user", "list", "--state", "gone", has="not one of active")
        refused(rc, 64, "db", "init", "now", has="does not take 'now'")
        refused(rc, 64, "domain", "add", "x.test", has="--customer")
        refused(rc, 64, "domain", "set", "x.test", has="needs a setting")
        refused(rc, 64, "change", "show", "x", has="'x' is not the number")
        assert rc.cli("--version").startswith("rollcall ")


def test_help():
    with bare() as rc:
        table = json.loads(rc.cli("--help", "--json"))
        for row in table["commands"]:
            text = rc.cli(*row["command"].split(), "--help")
            assert text.startswith(f"usage: rollcall {row['command']}"), text
            for option in table["options"]:
                if option["command"] in (None, row["command"]):
                    assert f"-{option['option']}" in text, (row["command"], option)
        assert "user import" in rc.cli("user", "--help") and "explain" not in rc.cli("user", "--help")
        refused(rc, 64, "frobnicate", "--help", has="no command")


def test_settings():
    with bare(stale_limit="2h") as rc:
        def wrong(line, *has):
            rc.conf.write_text(f"# head\nstale_limit = 2h\n{line}\n")
            refused(rc, 78, "config", has=[f"{rc.conf}:3", *has])

        wrong("stale_limt = 1h", "did you mean 'stale_limit'?")
        wrong("stale_limit = soon", "stale_limit = soon")
        wrong("stale_limit = 0s", "out of bounds")
        wrong("log_format = xml", "text, json")
        rc.set()
        refused(rc, 78, "-o", "polcy_user=x", "status", has=["-o", "policy_user"])
        missing = rc.dir / "missing.conf"
        assert str(missing) in run(BUILD / "bin/rollcall", "-c", missing, "config", check=78).stderr
        rc.set(poll_interval="200ms")
        refused(rc, 78, "config", "pol_interval", has="poll_interval")
        assert rc.cli("config", "stale_limit", "poll_interval") == "poll_interval = 200ms\nstale_limit = 2h\n"
        assert rc.cli("config", "-d", "stale_limit") == "stale_limit = 1h\n"
        assert rc.cli("config", "-h", "stale_limit") == "2h\n"
        assert rc.cli("config", "-n", "refused_for") == ""
        assert len(rc.cli("config", "-n").splitlines()) == len(rc.settings)
        source = {row["name"]: row["source"] for row in rc.json("config", "-o", "refused_for=4h")}
        assert re.fullmatch(f"{rc.conf}:\\d+", source["stale_limit"]) and source["refused_for"] == "-o"
        assert source["verified_for"] == "default"
        assert f"{rc.conf}:" in rc.cli("config", "--source", "stale_limit")


def test_passwords_are_not_shown():
    with bare() as rc:
        for given, shown in [
            ("host=h password=secret dbname=d", "host=h password=*** dbname=d"),
            ("host=h password = 'sec ret\\'s' dbname=d", "host=h password = *** dbname=d"),
            ("password=secret", "password=***"),
            ("sslpassword=secret host=h", "sslpassword=*** host=h"),
            ("host=h options=secret-less", "host=h options=secret-less"),
            ("postgresql://u:secret@h1,h2/d", "postgresql://u:***@h1,h2/d"),
            ("postgres://h/d?password=secret&x=y", "postgres://h/d?password=***&x=y"),
            ("postgres://u@h:5432/d", "postgres://u@h:5432/d"),
        ]:
            assert rc.cli("config", "-h", "database", "-o", f"database={given}") == shown + "\n", given
        done = rc.run("status", "-o", "database=host=/nowhere password=secret", check=75)
        assert "secret" not in done.stderr + done.stdout
        done = rc.run("doctor", "-o", "database=host=/nowhere password=secret", "--json", check=1)
        assert "secret" not in done.stderr + done.stdout


def test_template_is_a_settings_file():
    with bare() as rc:
        text = rc.cli("config", "--template")
        path = rc.dir / "template.conf"
        path.write_text(re.sub("(?m)^#([a-z_]+ =)", r"\1", text))
        set_all = run(BUILD / "bin/rollcall", "-c", path, "config", "-n").stdout
        assert set_all == run(BUILD / "bin/rollcall", "-c", "/dev/null", "config").stdout


def test_unreachable_database():
    with bare(database_timeout="2s") as rc:
        port = free_port()
        for database, host in [("host=/nowhere/at/all", "/nowhere/at/all"),
                               (f"host=127.0.0.1 port={port}", f"127.0.0.1:{port}"),
                               (f"host=127.0.0.1,/nowhere port={port}", "127.0.0.1")]:
            rc.set(database=f"{database} dbname=x user=postgres")
            for args in [["status"], ["customer", "list"], ["user", "list"], ["explain", "a@b.test"],
                         ["db", "init"], ["db", "status"], ["change", "list"], ["domain", "show", "b.test"],
                         ["domain", "add", "b.test", "--customer", "x"], ["user", "add", "a@b.test"],
                         ["user", "show", "a@b.test"]]:
                begun = time.monotonic()
                refused(rc, 75, *args, has=host)
                assert time.monotonic() - begun < 8, args
        # bad data is told without a database
        refused(rc, 65, "user", "add", "a b@b.test", has="RFC 5321")


def test_silent_server():
    """A server that accepts and says nothing, and one that is frozen in the middle."""
    with bare(database_timeout="1s") as rc, socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(50)
        rc.set(database=f"host=127.0.0.1 port={mute.getsockname()[1]} dbname=x user=postgres")
        begun = time.monotonic()
        refused(rc, 75, "status", has="127.0.0.1")
        assert time.monotonic() - begun < 10


# ------------------------------------------------------------------ database

def test_db():
    pg = shared_postgresql()
    with Rollcall(pg, init=False) as rc:
        refused(rc, 78, "db", "init", has=rc.dbname)  # there is no such database
        pg.create_database(rc.dbname)
        refused(rc, 78, "status", has="db init")
        refused(rc, 78, "db", "upgrade", has="db init")
        assert rc.run("db", "status", check=78).stdout.startswith("host:")
        assert "made" in rc.cli("db", "init")
        assert "nothing to do" in rc.cli("db", "init")
        assert "nothing to do" in rc.cli("db", "upgrade")
        status = rc.json("db", "status")
        assert status["schema"] == status["needs"] and status["database"] == rc.dbname and status["primary"] is True
        rc.psql("insert into schema_version values (9999, 'from the future')")
        for args in [["status"], ["db", "upgrade"], ["db", "init"], ["user", "add", "a@b.test"]]:
            refused(rc, 78, *args, has="9999")


def test_purge():
    with Rollcall(tombstone_life="1h") as rc:
        sample(rc)
        rc.cli("domain", "remove", "off.test")
        assert rc.json("db", "purge") == {"purged": 0, "observations": 0, "audit": 0, "evidence": 0}
        rc.psql("begin; alter table domain disable trigger user;"
                " update domain set removed_at = now() - interval '3h' where name = 'off.test';"
                " update changeset set created_at = now() - interval '3h'; alter table domain enable trigger user; commit")
        assert "1 tombstone" in rc.cli("db", "purge")


def test_purge_by_age():
    """Observations and the audit are kept for as long as their settings say, by an administrator's role too."""
    with sample() as rc:
        fill = lambda: rc.psql("delete from observation; delete from audit; insert into observation (day, domain_id, local_part,"
                               " accepted) select (now() at time zone 'UTC')::date - n, id, 'old', 1 from domain,"
                               " generate_series(39, 42) n where name = 'smtp.test'; insert into audit (at, actor, program, action,"
                               " object) select now() - n * interval '1 day' + interval '1 hour', 'a', 'b', 'c', 'd' from generate_series(728, 732) n")
        admin = ("-o", f"database=host={rc.host} dbname={rc.dbname} user=rollcall_admin")
        fill()
        assert rc.json("db", "purge", *admin) == {"purged": 0, "observations": 2, "audit": 2, "evidence": 0}
        assert rc.psql("select count(*) from observation") == "2" and rc.psql("select count(*) from audit") == "3"
        fill()
        assert rc.json("db", "purge", *admin, "-o", "audit_life=0") == {"purged": 0, "observations": 2, "audit": 0, "evidence": 0}
        assert [job["job"] for job in rc.json("status", check=False)["jobs"]] == ["db-purge"]


# ------------------------------------------------------------------ customers and domains

def test_customer():
    with Rollcall() as rc:
        assert rc.json("customer", "add", "Übung & Söhne") == {"added": "Übung & Söhne"}
        refused(rc, 65, "customer", "add", "ÜbuNG & Söhne", has="there is")
        refused(rc, 65, "customer", "add", "  ")
        rc.cli("customer", "add", "Second")
        assert [row["name"] for row in rc.json("customer", "list")] == ["Second", "Übung & Söhne"]
        rc.cli("domain", "add", "a.test", "b.test", "--customer", "Second")
        shown = rc.json("customer", "show", "second")
        assert shown["name"] == "Second" and shown["domains"] == 2
        assert [row["domain"] for row in shown["domain_list"]] == ["a.test", "b.test"]
        refused(rc, 65, "customer", "remove", "Second", has="a.test, b.test")
        refused(rc, 65, "customer", "remove", "Third", has="Third")
        refused(rc, 65, "customer", "show", "Third", has="Third")
        rc.cli("domain", "remove", "a.test", "b.test")
        assert "removed" in rc.cli("customer", "remove", "Übung & Söhne")


def test_domain():
    with sample() as rc:
        assert [d["name"] for d in rc.json("domain", "list")] == [
            "alias.test", "case.test", "either.test", "off.test", "panel.test", "smtp.test"]
        assert [d["name"] for d in rc.json("domain", "list", "--like", "pan")] == ["panel.test"]
        refused(rc, 65, "domain", "list", "--customer", "Nobody", has="Nobody")
        row = rc.json("domain", "show", "SMTP.test.")[0]
        assert (row["relay_check"], row["shadow"], row["loaded"]) == ("smtp", "panel", None)
        assert row["next_hop"] == "relay:[127.0.0.1]:2525"
        before = counts(rc)
        refused(rc, 65, "domain", "add", "--customer", "Example Clinic", "--", "new.test", "bad_name.test", "-x.test",
                has=["bad_name.test", "-x.test", "RFC"])
        refused(rc, 65, "domain", "add", "new.test", "panel.test", "--customer", "Example Clinic", has="panel.test")
        refused(rc, 65, "domain", "add", "new.test", "--customer", "Nobody", has="Nobody")
        refused(rc, 65, "domain", "set", "panel.test", "gone.test", "--loaded", has="gone.test")
        refused(rc, 65, "domain", "set", "panel.test", "--relay-check", "maybe", has="maybe")
        refused(rc, 65, "domain", "show", "gone.test", has="gone.test")
        refused(rc, 65, "domain", "remove", "panel.test", has="alias")
        assert counts(rc) == before
        text = rc.cli("domain", "set", "panel.test", "either.test", "--stale-limit", "30m", "--loaded")
        assert re.fullmatch(r"changeset \d+ \(version \d+\): 2 domains changed\n", text), text
        assert rc.json("domain", "show", "panel.test")[0]["stale_limit"] == 1800
        told = rc.json("domain", "remove", "off.test")
        assert told["state"] == "applied" and told["removed"] == 1 and told["version"] > 0
        assert rc.json("domain", "set", "panel.test", "--loaded=no")["changed"] == 1
        rc.cli("domain", "add", "bücher.test", "--customer", "Example Clinic")
        assert rc.json("domain", "show", "xn--bcher-kva.test")[0]["name"] == "xn--bcher-kva.test"


def test_many_domains_at_once():
    with Rollcall() as rc:
        rc.cli("customer", "add", "Big")
        names = [f"d{n}.test" for n in range(200)]
        told = rc.json("domain", "add", *names, "--customer", "Big", "--relay-check", "off")
        assert told["added"] == 200 and len(rc.json("domain", "list")) == 200
        assert rc.psql("select count(*) from changeset") == "1"


# ------------------------------------------------------------------ users

def test_user():
    with sample() as rc:
        text = rc.cli("user", "add", "Anna@panel.test", "--alias", "a@panel.test", "--alias", '"a b"@alias.test',
                      "--name", "Anna Ä")
        assert re.fullmatch(r"changeset \d+ \(version \d+\): 3 added\n", text), text
        shown = rc.json("user", "show", "A@alias.test")
        assert shown["name"] == "Anna Ä" and shown["customer"] == "Example Clinic"
        assert [(r["address"], r["kind"], r["state"], r["sources"]) for r in shown["addresses"]] == [
            ("anna@panel.test", "primary", "active", ["manual"]),
            ("a@panel.test", "alias", "active", ["manual"]), ('"a b"@panel.test', "alias", "active", ["manual"])]
        assert "nothing to change" in rc.cli("user", "add", "anna@panel.test")
        assert rc.json("user", "add", "b@panel.test", "c@panel.test")["added"] == 2
        rc.cli("user", "add", "all@panel.test", "--group", "--note", "everybody")
        rc.cli("user", "add", "off@panel.test", "--disabled")
        rows = {r["address"]: r for r in rc.json("user", "list", "--domain", "PANEL.test")}
        assert list(rows) == ["all@panel.test", "anna@panel.test", "b@panel.test", "c@panel.test", "off@panel.test"]
        assert rows["all@panel.test"]["kind"] == "group" and rows["off@panel.test"]["state"] == "disabled"
        assert rows["anna@panel.test"]["aliases"] == ["a@panel.test", '"a b"@panel.test']
        assert len(rc.json("user", "list", "--limit", "2")) == 2
        assert [r["address"] for r in rc.json("user", "list", "--like", "ANNA")] == ["anna@panel.test"]
        assert [r["address"] for r in rc.json("user", "list", "--like", "A B@pan")] == ["anna@panel.test"], "by an alias"
        assert [r["address"] for r in rc.json("user", "list", "--like", "b@panel.test")] == ["anna@panel.test", "b@panel.test"]
        assert [r["address"] for r in rc.json("user", "list", "--state", "disabled")] == ["off@panel.test"]
        assert len(rc.json("user", "list", "--customer", "example clinic")) == 5
        assert rc.json("user", "disable", "anna@panel.test")["changed"] == 3
        assert {r["state"].split()[0] for r in rc.json("user", "show", "anna@panel.test")["addresses"]} == {"disabled"}
        assert rc.json("user", "enable", "anna@panel.test")["changed"] == 3
        assert rc.json("user", "remove", "a@panel.test", "b@panel.test")["removed"] == 2
        assert rc.json("user", "list", "--like", "a@panel.test")[0]["address"] == "anna@panel.test"
        assert rc.json("user", "list", "--like", "b@panel.test") == rc.json("user", "list", "--like", "a b@"), "one is gone"
        refused(rc, 65, "user", "show", "b@panel.test", has=["b@panel.test", "removed", "change show"])
        assert rc.json("user", "remove", "anna@panel.test")["removed"] == 2
        assert rc.json("user", "list", "--domain", "alias.test") == []


def test_user_refusals():
    with sample() as rc:
        rc.cli("user", "add", "anna@panel.test", "--alias", "a@panel.test")
        before = counts(rc)
        for address, why in {
            "nobody": "has no '@'", "a b@panel.test": "RFC 5321 section 4.1.2", "@panel.test": "RFC 5321",
            "x@panel..test": "RFC 1035", f"{'x' * 65}@panel.test": "RFC 5321 section 4.5.3.1.1",
            "Anna <a@panel.test>": "<>", "x@[192.0.2.1]": "RFC 5321 section 4.1.3", "": "RFC 5321",
        }.items():
            for command in [["user", "add"], ["user", "remove"], ["user", "disable"], ["user", "enable"], ["user", "show"],
                            ["explain"]]:
                refused(rc, 65, *command, "--", address, has=[address[:40], why])
        # every bad one is named, the good ones are not added
        refused(rc, 65, "user", "add", "good@panel.test", "bad1", "bad2", has=["'bad1'", "'bad2'", "nothing is changed"])
        refused(rc, 65, "user", "add", "good@panel.test", "x@foreign.test", has="x@foreign.test")
        refused(rc, 65, "user", "add", "b@panel.test", "--alias", "a@panel.test", has=["a@panel.test", "anna@panel.test"])
        refused(rc, 65, "user", "remove", "anna@panel.test", "gone@panel.test", has="gone@panel.test")
        refused(rc, 65, "user", "disable", "gone@panel.test", has="gone@panel.test")
        refused(rc, 65, "user", "list", "--domain", "foreign.test", has="foreign.test")
        refused(rc, 65, "user", "list", "--customer", "Nobody", has="Nobody")
        refused(rc, 65, "user", "show", "gone@panel.test", has="not on the roll")
        done = rc.run("user", "add", "bad", "--json", check=65)
        assert json.loads(done.stdout)["problem_list"][0]["kind"] == "malformed"
        assert counts(rc) == before


def test_dry_run():
    with sample() as rc:
        before = counts(rc)
        text = rc.cli("user", "add", "anna@panel.test", "--alias", "a@panel.test", "--dry-run")
        assert "+" in text and "anna@panel.test" in text and "would be: 2 added" in text, text
        told = rc.json("user", "add", "anna@panel.test", "--dry-run")
        assert told["state"] == "dry-run" and told["differences"][0]["sign"] == "+"
        assert counts(rc) == before


def test_case():
    with sample() as rc:
        rc.cli("user", "add", "Bob@case.test", "bob@case.test", "Bob@panel.test")
        assert [r["address"] for r in rc.json("user", "list")] == ["Bob@case.test", "bob@case.test", "bob@panel.test"]
        assert rc.json("user", "show", "BOB@panel.test")["asked"] == "bob@panel.test"
        refused(rc, 65, "user", "show", "BOB@case.test", has="not on the roll")


def test_import():
    with sample() as rc:
        path = rc.dir / "list.txt"
        path.write_text("\ufeff# people\n\nanna@panel.test\r\n  bob@panel.test  \nBOB@panel.test\nö@either.test")
        assert "3 added" in rc.cli("user", "import", path)
        assert [r["sources"] for r in rc.json("user", "list")] == [["import"]] * 3
        assert "nothing to change" in rc.cli("user", "import", "-", input=path.read_text())
        before = counts(rc)
        bad = "carl@panel.test\nno address\n\n" + "x" * 5000 + "\n@panel.test\ndora@panel.test\n"
        text = refused(rc, 65, "user", "import", "-", "--strict", input=bad, has=["line 2:", "line 4:", "line 5:", "RFC 5321"])
        assert "line 1" not in text and "line 6" not in text and "3 bad lines: nothing is changed" in text
        assert counts(rc) == before
        mixed = "carl@panel.test\nx@foreign.test\ndora@panel.test\n"
        refused(rc, 65, "user", "import", "-", "--strict", input=mixed, has=["line 2:", "x@foreign.test"])
        assert counts(rc) == before
        done = rc.run("user", "import", "-", "--json", input=mixed, check=65)
        told = json.loads(done.stdout)
        assert (told["added"], told["problems"]) == (2, 1) and "line 2:" in done.stderr
        assert told["problem_list"][0]["line"] == 2 and told["problem_list"][0]["kind"] == "foreign"
        refused(rc, 65, "user", "import", rc.dir / "missing.txt", has="missing.txt")
        refused(rc, 65, "user", "import", rc.dir, has=str(rc.dir))
        refused(rc, 65, "user", "import", "-", input="", has="is empty")
        many = "".join(f"user{n}@off.test\n" for n in range(12000))
        assert rc.json("user", "import", "-", input=many)["added"] == 12000
        assert len(rc.json("user", "list", "--domain", "off.test")) == 12000  # more than a page


# ------------------------------------------------------------------ with the daemon

def test_wait():
    with sample() as rc:
        begun = time.monotonic()
        done = rc.run("user", "add", "anna@panel.test", "--wait", "--timeout", "200ms", check=75)
        assert "no gateway" in done.stderr and "1 added" in done.stdout and time.monotonic() - begun < 10
        with rc.policyd():
            rc.followed()
            text = rc.cli("user", "add", "bob@panel.test", "--wait")
            assert re.search(r"live on 1 gateway after \d+\.\d ms", text), text
            assert rc.ask("bob@panel.test") == "DUNNO"
            told = rc.json("user", "add", "carl@panel.test", "--wait")
            assert told["gateways"] == 1 and told["live_after_ms"] >= 0
            assert "live on 1" in rc.cli("user", "add", "carl@panel.test", "--wait")  # nothing to change
            assert "live on 1" in rc.cli("domain", "add", "late.test", "--customer", "Example Clinic", "--wait")
            rc.psql("insert into gateway (name, version) values ('slow-one', 1)")
            refused(rc, 75, "user", "add", "dora@panel.test", "--wait", "--timeout", "300ms", has="slow-one (at 1)")
            rc.psql("update gateway set seen_at = now() - interval '2 hours' where name = 'slow-one'")
            assert "live on 1" in rc.cli("user", "add", "emil@panel.test", "--wait")


def test_explain_says_what_the_daemon_says():
    with sample() as rc:
        rc.cli("user", "add", "anna@panel.test", "--alias", '"a b"@panel.test', "--name", "Anna")
        rc.cli("user", "add", "bob@smtp.test", "bob@either.test", "bob@off.test", "Bob@case.test", "tag-ged@case.test")
        rc.cli("user", "add", "no@panel.test", "no@smtp.test", "no@either.test", "no@off.test", "--disabled")
        rc.cli("user", "add", "ver@smtp.test", "ref@smtp.test", "old@smtp.test", "both@smtp.test")
        rc.cli("user", "add", "gone@panel.test")
        rc.cli("user", "remove", "gone@panel.test")
        rc.cli("domain", "add", "removed.test", "below.panel.test", "empty.test", "--customer", "Example Clinic")
        rc.cli("domain", "remove", "removed.test")
        rc.psql("""begin; select roll_begin('evidence');
            update recipient set verified_on = current_date, changed_by = roll_changeset() where local_part in ('ver', 'both');
            update recipient set verified_on = current_date - 30, changed_by = roll_changeset() where local_part = 'old';
            update recipient set refused_at = now() - interval '30 min', changed_by = roll_changeset()
              where local_part in ('ref', 'both'); commit""")
        with rc.policyd():
            rc.followed()
            asked = ["anna@panel.test", "ANNA+x@Panel.Test", "anna+x+y@alias.test", "x@panel.test", "x@alias.test",
                     "+x@panel.test", "gone@panel.test", "postmaster@panel.test", "Postmaster@alias.test", "abuse@smtp.test",
                     "bob@smtp.test", "x@smtp.test", "ver@smtp.test", "ref@smtp.test", "old@smtp.test", "both@smtp.test",
                     "no@smtp.test", "no@either.test", "no@off.test", "no@panel.test", "bob@either.test", "x@either.test",
                     "x@off.test", "Bob@case.test", "bob@case.test", "Bob-x@case.test", "tag-ged@case.test",
                     "tag-ged-x@case.test", "tag@case.test", "x@foreign.test", "x@sub.panel.test", "x@a.b.alias.test",
                     "x@removed.test", "x@sub.removed.test", "x@below.panel.test", "x@y.below.panel.test", "x@empty.test"]
            for address in asked:
                told = rc.json("explain", address)
                assert told["reply"] == rc.ask(address), (address, told, rc.ask(address))
                assert [g["rule"] for g in told["gateways"]] == [told["rule"]], told
                assert told["gateways"][0]["has_it"] is True and told["gateways"][0]["data_age"] < 60
            assert rc.json("explain", '"a b"@panel.test')["reply"] == rc.ask("a b@panel.test") == "DUNNO"
            told = rc.json("explain", "anna+x@alias.test")
            assert told["without_tag"] is True and told["mode"] == "panel" and told["rule"] == "listed"
            assert [row["row"] for row in told["rows"]] == ["domain", "target", "recipient"]
            row = told["rows"][2]
            assert (row["user"], row["user_name"], row["kind"], row["sources"]) == (
                "anna@panel.test", "Anna", "primary", ["manual"])
            assert row["program"] == "rollcall" and row["actor"] and row["changed"].endswith("Z")
            assert rc.json("explain", "x@smtp.test")["shadow"].startswith("panel: would ")


def test_explain():
    with sample() as rc:
        text = rc.cli("explain", "nobody@panel.test")
        assert re.search(r"mode: +panel\n", text) and re.search(r"rule: +not-loaded\n", text) and "data age" in text, text
        rc.cli("domain", "set", "panel.test", "--loaded")
        rc.psql("""insert into gateway (name, version, age_ms, seen_at) values
            ('fresh', 1000, 5, now()), ('behind', 1, 5, now()), ('stale', 1000, 0, now() - interval '2 hours'),
            ('empty', 0, null, now())""")
        told = {g["gateway"]: g for g in rc.json("explain", "nobody@panel.test")["gateways"]}
        assert (told["fresh"]["verdict"], told["fresh"]["rule"]) == ("reject", "unlisted")
        assert told["behind"]["has_it"] is False and told["behind"]["verdict"] is None
        assert (told["stale"]["verdict"], told["stale"]["rule"]) == ("defer", "list-stale")
        assert told["stale"]["data_age"] >= 7200 and told["empty"]["rule"] == "no-list"
        assert "550 5.1.1 User unknown (unlisted)" in rc.cli("explain", "nobody@panel.test")
        assert "complete and fresh" in rc.cli("explain", "unlisted")
        assert rc.json("explain", "(list-stale)")["rule"] == "list-stale"
        rc.cli("user", "add", "anna@panel.test")
        rc.cli("user", "remove", "anna@panel.test")
        told = rc.json("explain", "anna@panel.test")
        assert told["rule"] == "unlisted" and told["rows"][1]["state"] == "removed"


def test_status():
    with sample() as rc:
        assert "no gateway" in rc.run("status", check=1).stdout
        with rc.policyd():
            rc.followed()
            told = rc.json("status")
            assert told["attention"] == [] and told["held"] == []
            gateway = told["gateways"][0]
            assert gateway["gateway"] == "gateway" and gateway["live"] is True and gateway["behind"] == 0
            rc.psql("insert into gateway (name, version, seen_at) values ('old', 1, now() - interval '1 day')")
            told = json.loads(rc.cli("status", "--json", check=1))
            assert "old" in told["attention"][0]["text"] and told["gateways"][1]["live"] is False
            refused(rc, 65, "status", "--forget", "other", has="other")
            assert rc.json("status", "--forget", "old") == {"forgotten": "old"}
            assert rc.run("status").returncode == 0


def test_status_watched():
    """It looks again, tells a database that is away and that it is back, and ends with what it saw last."""
    with PostgreSQL() as pg, sample(Rollcall(pg)) as rc, rc.policyd():
        rc.followed()
        log = rc.dir / "watched.log"
        with open(log, "w") as out:
            watched = subprocess.Popen([BUILD / "bin/rollcall", "-c", rc.conf, "status", "--watch"], stdout=out, stderr=out,
                                       env=rc.environment(), cwd="/")
        try:
            eventually(lambda: log.read_text().count("roll_version") >= 2, 20, "a second look")
            pg.stop()
            eventually(lambda: "tried again" in log.read_text(), 20, "the database missed")
            pg.start()
            looks = log.read_text().count("roll_version")
            eventually(lambda: log.read_text().count("roll_version") > looks, 20, "the database again")
            rc.psql("insert into gateway (name, version, seen_at) values ('old', 1, now() - interval '1 day')")
            eventually(lambda: "rollcall status --forget old" in log.read_text(), 20, "what needs attention")
        finally:
            watched.send_signal(signal.SIGINT)
            code = watched.wait(20)
        assert code == 1, (code, log.read_text()[-2000:])
        assert not any(word in log.read_text() for word in SANITIZER_WORDS)
        refused(rc, 64, "status", "--watch", "--json", has="--watch")


# ------------------------------------------------------------------ history

def test_change():
    with sample() as rc:
        rc.cli("user", "add", "anna@panel.test", "--alias", "a@panel.test", "--note", "first day")
        number = rc.json("user", "remove", "a@panel.test")["changeset"]
        rows = rc.json("change", "list")
        assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), reverse=True)
        assert (rows[0]["id"], rows[0]["mode"], rows[0]["removed"], rows[1]["note"]) == (number, "withdraw", 1, "first day")
        assert len(rc.json("change", "list", "--limit", "1")) == 1
        assert rc.json("change", "list", "--state", "held") == []
        shown = rc.json("change", "show", str(number))
        assert [(r["sign"], r["what"], r["after"]) for r in shown["addresses"]] == [("-", "a@panel.test", "")], shown
        assert "user anna@panel.test" in shown["addresses"][0]["before"]
        shown = rc.json("change", "show", "1")
        assert shown["domains"][0]["what"] == "panel.test" and "relay_check=panel" in shown["domains"][0]["after"]
        refused(rc, 65, "change", "show", "12345", has="12345")
        told = rc.json("change", "undo", str(number), "--dry-run")
        assert told["state"] == "dry-run" and told["added"] == 1
        told = rc.json("change", "undo", str(number))
        assert told["state"] == "applied" and told["added"] == 1
        assert len(rc.json("user", "show", "anna@panel.test")["addresses"]) == 2
        refused(rc, 65, "change", "undo", str(number), has=str(number))
        refused(rc, 65, "change", "approve", str(number), has=str(number))
        refused(rc, 65, "change", "reject", "12345", has="12345")


def test_held():
    """A list that would take away half of a domain waits for a decision."""
    with sample() as rc:
        rc.cli("user", "add", *[f"u{n}@panel.test" for n in range(10)])

        def hold():
            return rc.psql("""with c as (insert into changeset (customer_id, mode, source, actor, program, state, removed)
                select customer_id, 'replace', 'import', 'somebody', 'test', 'held', 8 from domain where name = 'panel.test'
                returning id), d as (insert into held_domain select c.id, d.id from c, domain d where d.name = 'panel.test'
                returning changeset_id, domain_id) insert into held_entry (changeset_id, entry, place, line, domain_id,
                local_part, kind, disabled, name) select changeset_id, n, n, n, domain_id, 'u' || n, 'primary', false, ''
                from d, generate_series(0, 1) n returning changeset_id""").split()[0]

        number = hold()
        assert [row["id"] for row in rc.json("change", "list", "--state", "held")] == [int(number)]
        told = json.loads(rc.cli("status", "--json", check=1))
        assert told["held"][0]["changeset"] == int(number) and any(number in row["text"] for row in told["attention"])
        shown = rc.json("change", "show", number)
        assert shown["state"] == "held" and [r["sign"] for r in shown["differences"]].count("-") == 8, shown
        assert "change approve " + number in rc.cli("change", "show", number)
        assert len(rc.json("user", "list")) == 10
        assert rc.json("change", "reject", number, "--note", "no") == {"rejected": int(number)}
        assert rc.json("change", "show", number)["state"] == "rejected" and len(rc.json("user", "list")) == 10
        number = hold()
        assert rc.json("change", "approve", number)["removed"] == 8
        assert len(rc.json("user", "list")) == 2 and rc.json("change", "show", number)["state"] == "applied"


def test_roles():
    """What the administrator's role may do, and what the daemon's is told."""
    with sample() as rc:
        rc.set(database=f"host={rc.host} dbname={rc.dbname} user=rollcall_admin")
        for command in [["customer", "add", "Second"], ["customer", "remove", "Second"], ["customer", "list"],
                        ["domain", "add", "new.test", "--customer", "Example Clinic"], ["domain", "set", "new.test", "--loaded"],
                        ["domain", "remove", "new.test"], ["user", "add", "anna@panel.test", "b@panel.test"],
                        ["user", "disable", "b@panel.test"], ["user", "enable", "b@panel.test"], ["user", "list"],
                        ["user", "show", "anna@panel.test"], ["user", "remove", "anna@panel.test"],
                        ["explain", "anna@panel.test"], ["change", "undo", rc.psql("select max(id) + 7 from changeset")],
                        ["change", "list"], ["db", "purge"], ["db", "status"]]:
            rc.cli(*command)
        rc.set(database=f"host={rc.host} dbname={rc.dbname} user=rollcall_policyd")
        refused(rc, 1, "user", "list", has=["permission denied", "rollcall_admin"])


# ------------------------------------------------------------------ doctor

def findings(rc, code):
    """{check: [(result, found, remedy)]}"""
    found = {}
    for row in json.loads(rc.cli("doctor", "--json", check=code)):
        found.setdefault(row["check"], []).append((row["result"], row["found"], row["remedy"]))
    return found


def results(rows):
    return [row[0] for row in rows]


def test_doctor_without_anything():
    with bare(postfix_config_directory="/nowhere", database="host=/nowhere", replica_directory="/nowhere/replica") as rc:
        found = findings(rc, 1)
        assert results(found["settings"]) == ["ok"] and results(found["database"]) == ["bad"]
        assert results(found["schema"]) == ["skipped"] and results(found["replica"]) == ["bad"]
        assert "install -d" in found["replica"][0][2] and set(results(found["policy socket"])) == {"bad"}
        assert results(found["postfix"]) == ["bad"]
        text = rc.cli("doctor", check=1)
        assert "what to do" in text and "install -d -o nobody -m 0700 /nowhere/replica" in text


def test_doctor_on_a_gateway():
    with Postfix.gateway({"panel.test": 2525}, chroot=True, main="""\
unverified_recipient_reject_reason = User unknown
""") as postfix:
        with Rollcall(socket_path=postfix.policy_socket, postfix_config_directory=postfix.etc) as rc:
            rc.cli("customer", "add", "Example")
            rc.cli("domain", "add", "panel.test", "--customer", "Example", "--relay-check", "smtp")
            # as in production: the socket is bound by root, in a directory that only root and postfix enter
            with rc.policyd(as_root=True):
                rc.followed()
                assert results(findings(rc, 0)["observation"]) == ["warning"], "its log was never read"
                rc.psql("insert into log_position values ('gateway', 1, now(), now(), '{}')")
                found = findings(rc, 0)
                assert not [f for rows in found.values() for f in rows if f[0] in ("bad", "warning")], found
                assert "not chrooted" not in found["master.cf"][0][1]
                assert set(results(found["verification"])) == {"ok"} and results(found["relay_domains"]) == ["ok"]
                assert set(results(found["policy socket"])) == {"ok"}
                spoil_one_by_one(rc, postfix)
            found = findings(rc, 1)
            assert set(results(found["policy socket"])) == {"bad"}


def spoil_one_by_one(rc, postfix):
    main_cf = (postfix.etc / "main.cf").read_text()
    master_cf = (postfix.etc / "master.cf").read_text()

    def write(name, text):
        (postfix.etc / name).write_text(text)
        past = time.time() - 60  # Postfix's programs wait for a file that was just written to settle
        os.utime(postfix.etc / name, (past, past))

    def spoiled(check, result, has, main=None, master=None, code=1):
        write("main.cf", main_cf if main is None else main)
        write("master.cf", master_cf if master is None else master)
        rows = findings(rc, code).get(check, [])
        assert any(row[0] == result and has in row[1] + (row[2] or "") for row in rows), (check, has, rows)
        write("main.cf", main_cf)
        write("master.cf", master_cf)

    def setting(name, value):
        kept, skipping = [], False
        for line in main_cf.splitlines():
            skipping = line.startswith(name + " =") or (skipping and line[:1].isspace())
            if not skipping:
                kept.append(line)
        return "\n".join(kept + ([f"{name} = {value}"] if value is not None else [])) + "\n"

    ours = "check_policy_service { unix:private/rollcall, timeout=10s, default_action=DEFER }"
    lists = "smtpd_recipient_restrictions"
    spoiled("policy service", "bad", "no check_policy_service", setting(lists, "reject_unauth_destination"))
    spoiled("policy service", "bad", "unix:private/rollcall, timeout=10s", setting(lists, "reject_unauth_destination"))
    spoiled("policy service", "bad", "another policy service",
            setting(lists, "reject_unauth_destination, check_policy_service unix:private/postgrey"))
    spoiled("policy service", "bad", "permit stands before", setting(lists, f"permit, {ours}"))
    spoiled("policy service", "bad", "default_action DUNNO", setting(lists, ours.replace("DEFER", "DUNNO")))
    spoiled("policy service", "bad", "default_action 550", setting(lists, ours.replace("DEFER }", "{ default_action = 550 No }}")
                                                                   .replace("default_action={", "{")))
    spoiled("policy service", "warning", "timeout 100s", setting(lists, "check_policy_service unix:private/rollcall"), code=0)
    spoiled("policy service", "ok", "after reject_unauth_destination",
            setting("smtpd_restriction_classes", "ours").rstrip("\n")
            .replace(lists + " = reject_unauth_destination,", "ours = reject_unauth_destination,")
            + f"\n{lists} = permit_mynetworks, ours\n", code=0)
    spoiled("parent domains", "bad", "parent_domain_matches_subdomains =",
            setting("parent_domain_matches_subdomains", None))
    spoiled("verification", "bad", "unverified_recipient_reject_code = 550", setting("unverified_recipient_reject_code", "450"))
    spoiled("verification", "warning", "unverified_recipient_reject_reason = User unknown",
            setting("unverified_recipient_reject_reason", None), code=0)
    spoiled("verification", "warning", "address_verify_map =", setting("address_verify_map", ""), code=0)
    spoiled("verification", "warning", "address_verify_poll_delay = 1s", setting("address_verify_poll_delay", "3s"), code=0)
    spoiled("verification", "warning", "address_verify_positive_expire_time = 1d",
            setting("address_verify_positive_expire_time", "31d"), code=0)
    spoiled("verification", "warning", "address_verify_poll_count = 3", setting("address_verify_poll_count", "1"), code=0)
    spoiled("relay_domains", "bad", "refused: panel.test", setting("relay_domains", "other.test"))
    spoiled("relay_domains", "warning", "accepted: other.test", setting("relay_domains", "panel.test other.test"), code=0)
    (postfix.etc / "relay").write_text("panel.test OK\nmore.test OK\n")
    spoiled("relay_domains", "warning", "more.test", setting("relay_domains", f"texthash:{postfix.etc}/relay"), code=0)
    (postfix.etc / "names").write_text("# ours\npanel.test\n")
    spoiled("relay_domains", "ok", "what is served here: 1 domain", setting("relay_domains", f"{postfix.etc}/names"), code=0)
    spoiled("relay_domains", "bad", "mydestination", setting("mydestination", "panel.test"))
    spoiled("relay_domains", "warning", "relay_recipient_maps", setting("relay_recipient_maps", "static:all"), code=0)
    spoiled("master.cf", "bad", "cannot see", setting(lists, ours.replace("private/rollcall", str(postfix.policy_socket))))
    smtp = f"smtp inet n - n - - smtpd\n  -o {lists}=permit_mynetworks,reject_unauth_destination\n"
    spoiled("master.cf", "bad", "there nobody is checked", master=master_cf + smtp)
    spoiled("master.cf", "ok", "does not ask", code=0,
            master=master_cf + smtp.replace("smtp inet", "127.0.0.1:10025 inet"))
    os.chmod(postfix.policy_socket, 0o600)
    spoiled("permissions", "bad", "policy_socket_owner = postfix")
    os.chmod(postfix.policy_socket, 0o666)
    (postfix.queue / "private").chmod(0o700)
    own(postfix.queue / "private", "nobody")
    spoiled("permissions", "bad", "may not enter")
    own(postfix.queue / "private", "postfix")
    (postfix.queue / "private").chmod(0o711)


if __name__ == "__main__":
    main()
