"""The panel's pages for operators: mails that do not leave, and jobs that do not run. Catches a mail that is sent twice or
lost by a click, a body that can be read, a tenant who sees others' mails, a job that failed and looks well.
"""
import subprocess

from harness import BUILD, Failed, main
from panel import Panel
from test_report import Mails


def test_outbox():
    with Mails(["alice@customer.test", "bob@customer.test", "gone@customer.test"]) as mails, Panel(
            mails.rc, link_key_file=mails.rc.dir / "keys/link.key") as panel:
        rc = mails.rc
        panel.account("root")
        panel.account("anna", "Example")
        c, anna = panel.client(), panel.client()
        c.sign_in("root")
        anna.sign_in("anna")
        assert "Every mail has left" in c.get("/outbox").text
        for user in ("alice", "bob", "gone"):
            mails.quarantine(f"{user}@customer.test", subject="Secret subject")
        mails.command("spam")
        rc.psql("update outbox set next_at = now() + interval '1 hour', tries = 3, trouble = '451 4.3.0 <busy>'"
                " where envelope_to <> 'bob@customer.test'")
        page = c.get("/outbox")
        assert "alice@customer.test" in page.text and "451 4.3.0 &lt;busy&gt;" in page.text, page.text
        assert "Secret subject" not in page.text and "3 tries" in page.text
        assert "bob@" in page.text and "bob@" not in c.get("/outbox?q=busy").text
        ids = dict(line.split("|") for line in rc.psql("select split_part(envelope_to, '@', 1), id from outbox").splitlines())
        # given up: the report tells of it no more, the next one will
        told = "select count(*) from quarantine_unreported"
        assert rc.psql(told) == "0"
        page = c.post("/outbox", state="waiting", mail=ids["gone"], do="drop")
        assert "Given up" in page.text, page.text
        assert rc.psql("select state, body is null, trouble from outbox where id = " + ids["gone"]) == "dead|t|given up by root"
        assert rc.psql(told) == "1"
        assert "gone@customer.test" in c.get("/outbox?state=dead").text
        # tried now, and it leaves
        page = c.post("/outbox", state="waiting", mail=[ids["alice"], ids["bob"]], do="retry")
        assert "tried now" in page.text, page.text
        mails.command("send")
        mails.arrived("alice@customer.test", 1)
        assert "alice@customer.test" in c.get("/outbox?state=sent").text
        # what has left is neither sent again nor given up
        page = c.post("/outbox", state="waiting", mail=[ids["alice"]], do="drop")
        assert "left meanwhile" in page.text and rc.psql("select state from outbox where id = " + ids["alice"]) == "sent"
        c.post("/outbox", state="waiting", mail=[ids["alice"]], do="retry")
        mails.command("send")
        mails.arrived("alice@customer.test", 1)
        assert "Choose mails first" in c.post("/outbox", state="dead", do="forget").text
        c.post("/outbox", state="dead", mail=[ids["gone"]], do="forget")
        assert rc.psql("select count(*) from outbox where id = " + ids["gone"]) == "0"
        assert c.post("/outbox", state="dead", mail=[ids["alice"]], do="read").status == 404
        assert "outbox retry" in c.get("/audit").text
        # nobody else, by whatever way
        for path in ("/outbox", "/jobs"):
            assert anna.get(path).status == 403
        assert anna.post("/outbox", mail=ids["bob"], do="forget").status == 403
        sets = "set role rollcall_panel; set rollcall.customer = '1'; "
        assert rc.psql(sets + "select count(*) from panel_outbox").splitlines()[-1] == "0"
        assert rc.psql(sets + "select count(*) from job_run").splitlines()[-1] == "0"
        for statement in (f"select panel_outbox_act(array[{ids['bob']}], 'forget', 'anna')", "select body from outbox"):
            for customer in ("1", ""):
                try:
                    rc.psql(f"set role rollcall_panel; set rollcall.customer = '{customer}'; {statement}")
                    raise AssertionError(statement)
                except Failed as error:
                    assert "operators" in error.err or "permission denied" in error.err, error.err


def test_jobs():
    with Mails(["alice@customer.test"]) as mails, Panel(mails.rc,
                                                        link_key_file=mails.rc.dir / "keys/link.key") as panel:
        rc = mails.rc
        panel.account("root")
        c = panel.client()
        c.sign_in("root")
        page = c.get("/jobs").text
        assert page.count("has not run") == 7, page
        as_role = lambda program, role, *args: subprocess.run(
            [BUILD / "bin" / program, "-c", rc.conf, "-o", f"database=host={rc.host} dbname={rc.dbname} user={role}", *args],
            capture_output=True, timeout=60, cwd="/")
        mails.command("spam")
        mails.command("send")
        as_role("rollcall-ldapsync", "rollcall_sync")
        as_role("rollcall-observe", "rollcall_sync", "create")
        assert as_role("rollcall-observe", "rollcall_observe", "collect", "-o", "observe_directory=/nowhere/observe").returncode
        rc.cli("quarantine", "purge")
        rc.cli("db", "purge")
        shown = {line.split("|")[0]: line.split("|")[1] for line in rc.psql("select job, fine from job_run").splitlines()}
        assert set(shown) == {"report-spam", "report-send", "ldapsync", "observe-create", "observe-collect",
                              "quarantine-purge", "db-purge"}, shown
        assert shown["observe-collect"] == "f" and shown["report-spam"] == "t", shown
        page = c.get("/jobs").text
        assert "has not run" not in page and "failed" in page and "/nowhere/observe" in page, page
        status = rc.run("status", check=False).stdout
        assert "/nowhere/observe" in status, status
        # one that no longer runs
        rc.psql("update job_run set fine = true, why = '', ended_at = now() - interval '16 minutes' where job = 'ldapsync'")
        assert "late" in c.get("/jobs").text
        assert "job ldapsync on " in rc.run("status", check=False).stdout
        # a look is no run of the job
        before = rc.psql("select ended_at from job_run where job = 'ldapsync'")
        as_role("rollcall-ldapsync", "rollcall_sync", "--all", "--dry-run")
        assert rc.psql("select ended_at from job_run where job = 'ldapsync'") == before


if __name__ == "__main__":
    main()
