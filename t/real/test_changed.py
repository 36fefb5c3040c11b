"""Whose password or second factor was changed is told by mail: real PostgreSQL, panel, Postfix.

Catches: a change that nobody hears of, by whatever program it is made; a mail about a change that was rolled back, or
was none; one that is lost when the sender dies; a wrong client address; a token in it; one that uses up the limit of
password requests.
"""
import re
import signal
import time
import urllib.parse

from harness import eventually, main
from panel import PASSWORD, mail_token
from test_links import Reported
from test_panel import totp
from test_report import text_of

ANN, BOSS, NOC = "ann@customer.test", "boss@customer.test", "noc@customer.test"
FRESH = "another horse battery"
CLIENT = "203.0.113.9"


class Told(Reported):
    """Mails with a panel; whoever is told of something is read off the outbox."""

    def send(self):
        self.command("send")
        return self.rc.psql("select string_agg(envelope_to, ',' order by id) from outbox where kind = 'changed'"
                            " and state = 'sent'")

    def waiting(self):
        return self.rc.psql("select string_agg(what || ' ' || coalesce(nullif(client, ''), 'none'), ',' order by id) from credential_change")

    def password(self, user):
        """Given by hand, with the statement that a letter with a password has."""
        self.rc.psql("insert into user_password (user_id, confirmed_at, hash, changed_at, must_change)"
                     f" select {self.mine[user]}, now(), password, now(), true from account limit 1")
        self.rc.psql(f"update user_password set must_change = false where user_id = {self.mine[user]}")


def post(client, path, **fields):
    """Through a proxy that tells whose request it is."""
    body = urllib.parse.urlencode({"token": client.last, **fields})
    return client.follow(client.ask("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded",
                                                         "X-Forwarded-For": CLIENT}))


def test_a_user_is_told():
    with Told([ANN]) as m, m.panel() as panel:
        m.rc.cli("report", "set", "--user", ANN, "--language", "de")
        panel.account("root")
        m.password(ANN)
        assert m.waiting() == "", "the mail with the password tells enough"
        c = panel.client()
        c.sign_in(ANN)
        c.get("/password")
        assert post(c, "/password", password="wrong", new_password=FRESH, new_password_again=FRESH).status == 422
        assert m.waiting() == ""
        assert "geändert" in post(c, "/password", password=PASSWORD, new_password=FRESH, new_password_again=FRESH).text
        assert m.waiting() == f"password {CLIENT}"
        for _ in range(2):
            assert m.send() == ANN
        assert m.waiting() == ""
        mail, = m.arrived(ANN, 1)
        text = text_of(mail)
        assert mail["Subject"] == "Ihr Passwort wurde geändert" and f"   Von der Adresse: {CLIENT}\n" in text, text
        assert f"   Anmeldung: {ANN}\n" in text and re.search(r"   Zeit: .*\d\d:\d\d GMT\n", text), text
        assert "/request-password" in text and "?t=" not in text, "a way to help, and no token"
        assert [p.get_content_type() for p in mail.walk()] == ["text/plain"]
        assert m.rc.psql("select count(*) from mail_request") == "0", "it counts for no limit"
        assert m.rc.psql("select sealed from outbox") == "f"
        # by the link of a mail, who is signed in to nothing
        m.rc.psql("insert into token (hash, purpose, subject, expires_at) select sha256('x'), 'password', "
                  f"{m.mine[ANN]}, now() + interval '1 hour'")
        m.rc.psql(f"select password_set(sha256('x'), '$y$0000000000000000x')")
        assert m.waiting() == "password none"
        m.send()
        assert "keine: am Gateway selbst" in text_of(m.arrived(ANN, 2)[1])
        # by such a link in a browser of which no session is known
        link, stranger = mail_token(m.rc, "password", m.mine[ANN]), panel.client()
        stranger.get(f"/set-password?t={link}")
        assert post(stranger, "/set-password", t=link, new_password=FRESH, new_password_again=FRESH).status == 200
        assert m.waiting() == f"password {CLIENT}"
        m.rc.psql("delete from credential_change")
        # no change is no news, and one that did not happen neither
        m.rc.psql("update user_password set hash = '$y$0000000000000000the same under newer parameters'")
        m.rc.psql("update user_password set hash = hash, changed_at = now() where false")
        m.rc.psql("begin; update user_password set hash = '$y$0000000000000000y', changed_at = now() + interval '1 s'; rollback")
        assert m.waiting() == ""
        # whoever goes meanwhile is not written to
        m.rc.psql("update user_password set hash = '$y$0000000000000000z', changed_at = now() + interval '2 s'")
        m.rc.cli("user", "disable", ANN)
        assert m.send() == f"{ANN},{ANN}" and m.waiting() == ""


def test_an_account_is_told():
    with Told([BOSS, NOC]) as m, m.panel() as panel:
        panel.account("root")
        panel.account(BOSS, "Example")
        assert m.waiting() == "", "an account that is new has nobody to tell"
        c = panel.client()
        c.sign_in(BOSS)
        page = c.get("/me/second")
        secret = re.search(r"<code>([A-Z2-7]{32})</code>", page.text)[1]
        sealed = re.search(r'name="sealed" value="([0-9a-f]+)"', page.text)[1]
        assert post(c, "/me/second", sealed=sealed, password=PASSWORD, code="000000").status == 422 and m.waiting() == ""
        post(c, "/me/second", sealed=sealed, password=PASSWORD, code=totp(secret, int(time.time()) // 30))
        assert m.waiting() == f"second-on {CLIENT}"
        c.get("/me")
        post(c, "/me/second/drop", password=PASSWORD)
        assert m.waiting() == f"second-on {CLIENT},second-off {CLIENT}"
        c.get("/password")
        post(c, "/password", password=PASSWORD, new_password=FRESH, new_password_again=FRESH)
        # an operator, and the command line
        number = m.rc.psql(f"select id from account where login = '{BOSS}'")
        root = panel.client()
        root.sign_in("root")
        root.get("/accounts")
        assert BOSS in post(root, f"/accounts/{number}/password").text
        m.rc.psql(f"update account set second_factor = 'x' where id = {number}")
        m.rc.cli("account", "reset", BOSS)
        m.rc.cli("account", "password", BOSS, "--password-stdin", input=PASSWORD + "\n")
        changes = [f"second-on {CLIENT}", f"second-off {CLIENT}", f"password {CLIENT}", f"password {CLIENT}", "second-on none",
                   "second-off none", "password none"]
        assert m.waiting() == ",".join(changes), m.waiting()
        assert m.send() == ",".join([BOSS] * len(changes))
        mails = m.arrived(BOSS, len(changes))
        subjects = {"password": "Your password was changed", "second-on": "Your second factor was set up",
                    "second-off": "Your second factor was removed"}
        # mails that leave at once need not arrive in order: told apart by their numbers
        mails.sort(key=lambda mail: int(re.search(r"changed-(\d+)@", mail["Message-ID"])[1]))
        for mail, change in zip(mails, changes):
            what, client = change.split(" ")
            assert mail["Subject"] == subjects[what], (mail["Subject"], change)
            assert f"From the address: {client}" in text_of(mail), text_of(mail)
        # a login that is no address: the customer's contact, else the gateway's, else the log
        m.rc.cli("account", "password", "root", "--password-stdin", input=PASSWORD + "\n")
        assert "root was changed" in m.command("send") and m.waiting() == ""
        m.rc.set(notice_contact=NOC)
        m.rc.cli("account", "password", "root", "--password-stdin", input=PASSWORD + "\n")
        m.send()
        assert "   Sign-in: root\n" in text_of(m.arrived(NOC, 1)[0])


def test_at_once_and_a_killed_sender_loses_none():
    with Told([ANN]) as m, m.panel() as panel:
        panel.account("root")
        m.password(ANN)
        follower = m.start("send", "--follow")
        try:
            change = "update user_password set hash = '$y$0000000000000000{0}', changed_at = now()"
            m.rc.psql(change.format("a"))
            m.arrived(ANN, 1)
            begun = time.monotonic()
            m.rc.psql(change.format("b"))
            m.arrived(ANN, 2)
            assert time.monotonic() - begun < 5, "waiting for the next turn would be a minute"
            # it dies where it waits for somebody who has the line
            with m.rc.pg.session(m.rc.dbname) as holder:
                holder.do("begin; lock table outbox in share mode")
                m.rc.psql(change.format("c"))
                eventually(lambda: m.rc.psql("select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
                                             " and query like 'insert into outbox%'") == "1", 20, "the sender waits")
                follower.process.send_signal(signal.SIGKILL)
                follower.process.wait(20)
                holder.do("rollback")
        finally:
            if follower.process.poll() is None:
                follower.process.send_signal(signal.SIGTERM)
            follower.end(check=False)
        assert m.waiting() == "password none", "the line is there until the mail is"
        m.command("send")
        m.arrived(ANN, 3)
        assert m.rc.psql("select count(*) from outbox where kind = 'changed'") == "3" and m.waiting() == ""


if __name__ == "__main__":
    main()
