"""`rollcall doctor` and `status` about the quarantine, beside a real Postfix and a real rollcall-quarantine, spoiled one
by one.

Catches: a filter whose finds are not filed, a release that would meet the filter again, a listener or store that is not
there, and nobody told.
"""
import contextlib
import os
import shutil
import time

from harness import Postfix, eventually, free_port, main
from quarantine import Quarantine
from test_cli import findings, results
from test_quarantine import SPAM, codes, make


class Scene:
    def __init__(self, stack):
        self.release = free_port()
        self.postfix = stack.enter_context(Postfix("gateway", "smtpd_milters = inet:127.0.0.1:9\nmilter_default_action = accept\n"
                                                   "lmtp_send_xforward_command = yes\n", start=False))
        self.rc = stack.enter_context(make(postfix_config_directory=self.postfix.etc))
        self.q = Quarantine(self.rc, release_port=self.release)
        self.rc.set(quarantine_listen=f"inet:127.0.0.1:{self.q.port}, unix:{self.q.path}", quarantine_user="nobody",
                    quarantine_directory=self.q.directory, release_to=f"inet:127.0.0.1:{self.release}")
        self.table = self.postfix.etc / "quarantine.regexp"
        self.main_cf = (self.postfix.etc / "main.cf").read_text() + f"milter_header_checks = regexp:{self.table}\n"
        self.master_cf = (self.postfix.etc / "master.cf").read_text() + (
            f"127.0.0.1:{self.release} inet n - n - - smtpd\n  -o smtpd_milters=\n  -o content_filter=\n")
        self.lines = f"# comment FILTER lmtp:inet:192.0.2.1:24\n/^X-Spam: *yes/  FILTER lmtp:inet:127.0.0.1:{self.q.port}\n"
        self.write()
        stack.enter_context(self.q)
        self.postfix.start()

    def write(self, main=None, master=None, table=None):
        for name, text in (("main.cf", main or self.main_cf), ("master.cf", master or self.master_cf),
                           ("quarantine.regexp", self.lines if table is None else table)):
            path = self.postfix.etc / name
            path.write_text(text)
            past = time.time() - 60  # Postfix's programs wait for a file that was just written to settle
            os.utime(path, (past, past))

    def found(self):
        return findings(self.rc, 1)  # the rest of this gateway is not in order: nobody asks Rollcall

    def spoiled(self, check, result, has, **files):
        self.write(**files)
        rows = self.found()[check]
        assert any(row[0] == result and has in row[1] + (row[2] or "") for row in rows), (check, has, rows)
        self.write()


def test_doctor():
    with contextlib.ExitStack() as stack:
        s = Scene(stack)
        found = s.found()
        for check in ("quarantine", "filing", "release"):
            assert set(results(found[check])) == {"ok"}, found[check]
        assert len(found["quarantine"]) == 4 and len(found["release"]) == 2
        # what the daemon found when it compared files with rows, on this gateway
        s.rc.set(gateway_name="quarantine")
        assert codes(s.q.give(SPAM, "bob@example.com")) == [250]
        assert "no file of 1 quarantined messages" in str(s.found()["quarantine"])
        s.rc.psql("update quarantine_message set lost_at = now()")
        warned, = (row for row in s.found()["quarantine"] if row[0] == "warning")
        assert "1 of 1 quarantined messages are gone or altered" in warned[1] and "quarantine-mended" in warned[2], warned
        s.rc.psql("delete from quarantine_message")
        # Postfix's way to it, in each way of writing it
        for to in (f"lmtp:[127.0.0.1]:{s.q.port}", f"lmtp:localhost:{s.q.port}", f"LMTP:inet:127.0.0.1:{s.q.port}",
                   f"lmtp:unix:{s.q.path}"):
            s.spoiled("filing", "ok", "files to rollcall-quarantine", table=f"/^X-Spam/ filter {to}\n")
        s.spoiled("filing", "ok", "files to", table=f"/^X-Filter: my filter yes/ FILTER lmtp:inet:127.0.0.1:{s.q.port}\n")
        s.spoiled("filing", "bad", "files elsewhere", table="/^X-Spam/ FILTER lmtp:inet:127.0.0.1:24\n")
        s.spoiled("filing", "bad", "no FILTER", table="/^X-Spam/ HOLD\n")
        s.spoiled("filing", "bad", "milter_header_checks is empty",
                  main=s.main_cf.replace("milter_header_checks", "#milter_header_checks"))
        s.spoiled("filing", "warning", "No such file", main=s.main_cf.replace("quarantine.regexp", "other.regexp"))
        s.spoiled("filing", "warning", "no filter is asked", main=s.main_cf.replace("smtpd_milters", "#smtpd_milters"))
        s.spoiled("filing", "warning", "XFORWARD", main=s.main_cf.replace("lmtp_send", "#lmtp_send"))
        # the way back
        s.spoiled("release", "bad", "asks the filter again", master=s.master_cf.replace("  -o smtpd_milters=\n", ""))
        s.spoiled("release", "bad", "content_filter", master=s.master_cf.replace("  -o content_filter=\n", ""),
                  main=s.main_cf + "content_filter = smtp:127.0.0.1:9\n")
        s.postfix.stop()
        rows = s.found()["release"]
        assert rows[0][0] == "bad" and "refused" in rows[0][1] and "master.cf" in rows[0][2], rows
        # the daemon
        s.q.stop()
        assert set(results(s.found()["quarantine"])) == {"ok", "bad"}
        os.chown(s.q.directory, 0, 0)
        assert "does not belong to nobody" in str(s.found()["quarantine"])
        # a host without one
        shutil.rmtree(s.q.directory)
        assert "No such file" in str(s.found()["quarantine"]), "Postfix files to it still"
        s.write(main=s.main_cf.replace("milter_header_checks", "#milter_header_checks"))
        found = s.found()
        assert [results(found[check]) for check in ("quarantine", "filing", "release")] == [["skipped"]] * 3


def test_status():
    with make() as rc, Quarantine(rc, release_port=free_port()) as q:
        shown = lambda: rc.json("status", check=False)
        assert codes(q.give(SPAM, "bob@example.com", "eve@example.com", ident="1")) == [250, 250]
        row, = shown()["quarantine"]
        assert (row["gateway"], row["held"], row["waiting"], row["lost"]) == ("quarantine", 2, 0, 0), row
        number = rc.psql("select min(id) from quarantine_recipient")
        rc.cli("quarantine", "release", number, check=False)
        eventually(lambda: shown()["quarantine"][0]["waiting"] == 1, 10, "the release waits")
        assert "release" not in str(shown()["attention"]), "not for long yet"
        rc.psql("update quarantine_request set asked_at = now() - interval '20 minutes'; update quarantine_message set lost_at = "
                "now()")
        row, = shown()["quarantine"]
        assert row["lost"] == 1 and row["waiting"] == 1 and 1190 < row["oldest"] < 1300, row
        told = str(shown()["attention"])
        assert "gateway quarantine: a release waits since 20 min" in told and "release_to" in told, told
        assert "the files of 1 quarantined message are gone or altered" in told, told
        assert "quarantine" in rc.run("status", check=1).stdout


if __name__ == "__main__":
    main()
