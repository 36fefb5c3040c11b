"""The quarantine, the reports and the outbox in figures: files for the textfile collector, read as Prometheus reads them.

Catches: a figure that never moves, a file that is half written or left over, a full or forbidden directory that stops
the daemon.
"""
import contextlib
import re
import time

from harness import eventually, free_port, main, own
from quarantine import Quarantine
from test_quarantine import SPAM, codes, make
from test_report import NOON, Mails


def read(path):
    """{name or name{label}: number}; each family has its help and type before it."""
    values, typed = {}, set()
    for line in path.read_text().splitlines():
        if line.startswith("# TYPE "):
            typed.add(line.split()[2])
        elif not line.startswith("#"):
            found = re.fullmatch(r'([a-z_]+)(\{[a-z]+="(?:[^"\\]|\\.)*"\})? (-?[\d.e+]+)', line)
            assert found and found[1] in typed, line
            values[found[1] + (found[2] or "")] = float(found[3])
    return values


def test_the_quarantine():
    with make() as rc:
        directory = rc.dir / "metrics"
        directory.mkdir()
        own(directory, "nobody")
        path = directory / "quarantine.prom"
        with Quarantine(rc, quarantine_metrics_file=path, quarantine_size_limit="64K", release_port=free_port()) as q:
            name = lambda what: eventually(lambda: read(path), 20, "the file").get(f"rollcall_quarantine_{what}")
            becomes = lambda what, value: eventually(lambda: name(what) == value, 30, f"{what} {value}, not {name(what)}")
            assert codes(q.give(SPAM, "bob@example.com", "eve@example.com")) == [250, 250]
            assert codes(q.give(SPAM, "bob@nowhere.test")) == [550]
            assert 552 in codes(q.give("Subject: x\n\n" + "x" * 70000 + "\n", "bob@example.com"))
            becomes("messages_total", 1)
            becomes("refused_total", 2)
            assert name("recipients_total") == 2 and name("bytes_total") >= len(SPAM)
            assert name("free_bytes") > 1e6 and name("database_connected") == 1 and name("lost_total") == 0
            assert abs(name("written_timestamp_seconds") - time.time()) < 30
            # a release that nobody takes
            number = rc.psql("select min(id) from quarantine_recipient")
            rc.cli("quarantine", "release", number, check=False)
            becomes("requests", 1)
            assert name("release_later_total") >= 1
            # the database is away
            rc.psql("alter role rollcall_quarantine nologin")
            try:
                rc.psql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'rollcall_quarantine'")
                eventually(lambda: 451 in codes(q.give(SPAM, "bob@example.com")), 20, "put off")
                becomes("database_connected", 0)
                eventually(lambda: name("put_off_total") >= 1, 30, "put off, counted")
                assert name("requests") is None, "what is not known is not told"
            finally:
                rc.psql("alter role rollcall_quarantine login")
            becomes("database_connected", 1)
        assert [p.name for p in directory.iterdir()] == ["quarantine.prom"], "nothing is left beside it"
        # where it may not write: told once, and the rest works
        with Quarantine(rc, name="other", quarantine_metrics_file="/nowhere/x.prom") as q:
            assert codes(q.give(SPAM, "bob@example.com", ident="ABC")) == [250]
            eventually(lambda: "quarantine_metrics_file" in q.log.read_text(), 15, "a word about it")


def test_reports_and_outbox():
    with Mails(["ann@customer.test"]) as m:
        reports, outbox = m.rc.dir / "report.prom", m.rc.dir / "outbox.prom"
        m.rc.set(report_metrics_file=reports, outbox_metrics_file=outbox)
        m.quarantine("ann@customer.test", NOON - 10 * 3600)
        m.command("spam", now=NOON)
        seen = read(reports)
        assert seen["rollcall_report_last_run_success"] == 1 and seen["rollcall_report_last_run_reports"] == 1
        assert abs(seen["rollcall_report_last_run_timestamp_seconds"] - time.time()) < 60
        m.rc.set(mail_server=f"inet:127.0.0.1:{free_port()}")
        m.command("send", check=75)
        seen = read(outbox)
        assert seen['rollcall_outbox_waiting{kind="report"}'] == 1 and seen['rollcall_outbox_waiting{kind="notice"}'] == 0
        m.rc.psql("update outbox set made_at = now() - interval '1 hour'")
        m.command("send")
        assert read(outbox)['rollcall_outbox_oldest_seconds{kind="report"}'] >= 3600
        m.rc.psql("update outbox set next_at = now()")
        m.rc.set(mail_server=f"inet:127.0.0.1:{m.postfix.port}")
        m.command("send")
        seen = read(outbox)
        assert seen['rollcall_outbox_waiting{kind="report"}'] == 0 and seen['rollcall_outbox_sent_last_hour{kind="report"}'] == 1
        m.rc.psql("insert into outbox (kind, urgent, envelope_from, envelope_to, message_id, state, done_at, trouble) "
                  "values ('confirm', false, '', 'ann@customer.test', 'x@example', 'dead', now(), '550 no')")
        m.command("send")
        assert read(outbox)['rollcall_outbox_given_up{kind="confirm"}'] == 1
        # a run that fails says so
        m.rc.psql("alter table report_run rename to report_run_away")
        with contextlib.suppress(AssertionError):
            m.command("spam", now=NOON + 86400, check=False)
        m.rc.psql("alter table report_run_away rename to report_run")
        assert read(reports)["rollcall_report_last_run_success"] == 0
        # and a directory that is not there stops nothing
        m.rc.set(report_metrics_file="/nowhere/x.prom", outbox_metrics_file="/nowhere/y.prom")
        assert "report_metrics_file" in m.command("spam", now=NOON + 86400)
        assert "outbox_metrics_file" in m.command("send")


if __name__ == "__main__":
    main()
