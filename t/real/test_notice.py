"""What a customer's contact is told of its directory: real PostgreSQL, real mails.

Catches: a failing directory that nobody hears of, or hears of again and again; the wrong contact or language; a
server's words that break out of the mail; a notice that is lost, or comes twice, when somebody dies.
"""
import signal

from harness import main
from test_report import Mails, text_of

HOSTILE = "line one\r\nBcc: all@customer.test\r\n\r\n<script>\x1b[31m"


class Directories(Mails):
    def __init__(self, **settings):
        super().__init__(["boss@customer.test", "hr@customer.test", "noc@example.test", "central@customer.test"], **settings)
        self.rc.psql("insert into ldap_source (name, customer_id, settings) select 'head-office', id, '{}' from customer")

    def note(self, kind, why):
        self.rc.psql("insert into ldap_notice (source_id, customer_id, kind, why) select id, customer_id, "
                     f"'{kind}', {quote(why)} from ldap_source")


def quote(text):
    return "E'" + text.replace("\\", "\\\\").replace("'", "''").replace("\r", "\\r").replace("\n", "\\n") + "'"


def test_each_notice_is_mailed_once():
    with Directories() as m:
        m.rc.cli("report", "set", "--customer", "Example", "--notice-contact", "boss@customer.test", "--language", "de")
        m.note("failed", HOSTILE)
        for _ in range(2):
            m.command("send")
        mail, = m.arrived("boss@customer.test", 1)
        assert mail["Subject"] == "Das Verzeichnis kann nicht gelesen werden: head-office", mail["Subject"]
        assert mail["Bcc"] is None and [p.get_content_type() for p in mail.walk()] == ["text/plain"]
        text = text_of(mail)
        assert "Niemand wurde entfernt" in text and "\x1b" not in text, text
        assert "   Grund: line one Bcc: all@customer.test <script>" in text, "one line, whatever stands in it"
        # the rest of the episode, in another language; a link to what waits
        m.rc.cli("report", "set", "--customer", "Example", "--language", "en")
        m.note("held", "40 of 50 addresses would go")
        m.note("recovered", "it had failed since yesterday")
        m.command("send")
        mails = {mail["Subject"]: text_of(mail) for mail in m.arrived("boss@customer.test", 3)}
        held = mails["A change of the directory waits for approval: head-office"]
        assert "https://panel.example.test:8443/changes" in held and "40 of 50" in held
        assert "synchronised again" in mails["The directory is read again: head-office"]
        assert m.rc.psql("select count(*) from ldap_notice where mailed_at is null") == "0"
        assert m.rc.psql("select string_agg(kind || state, ',' order by id) from outbox") == "noticesent,noticesent,noticesent"


def test_who_is_told():
    with Directories(notice_contact="noc@example.test") as m:
        def told(address, count):
            m.note("failed", "connection refused")
            m.command("send")
            m.arrived(address, count)
        told("noc@example.test", 1)  # nobody of the customer's
        m.rc.cli("report", "set", "--customer", "Example", "--central-contact", "central@customer.test")
        told("central@customer.test", 1)
        m.rc.cli("report", "set", "--customer", "Example", "--notice-contact", "boss@customer.test")
        told("boss@customer.test", 1)
        m.rc.psql("insert into ldap_source_domain (source_id, domain_id) select l.id, d.id from ldap_source l, domain d")
        m.rc.cli("report", "set", "--domain", "customer.test", "--notice-contact", "hr@customer.test")
        told("hr@customer.test", 1)
        m.rc.cli("report", "set", "--domain", "customer.test", "--notice-contact", "none")
        m.note("failed", "nobody is to hear of this")
        assert "nobody is to hear of this" in m.command("send"), "but the log tells"
        assert m.rc.psql("select count(*) from outbox") == "4"
        assert m.rc.psql("select count(*) from ldap_notice where mailed_at is null") == "0"
        m.rc.run("report", "set", "--user", "boss@customer.test", "--notice-contact", "hr@customer.test", check=64)
        m.rc.run("report", "set", "--customer", "Example", "--notice-contact", "no address", check=65)


def test_a_sender_that_waits_tells_at_once_and_a_killed_one_loses_none():
    with Directories(notice_contact="noc@example.test") as m:
        follower = m.start("send", "--follow")
        try:
            m.note("failed", "first")
            m.arrived("noc@example.test", 1)
        finally:
            follower.process.send_signal(signal.SIGTERM)
            follower.end()
        for i in range(20):
            m.note("failed", f"number {i}")
        for _ in range(6):
            one = m.start("send")
            one.process.kill()
            one.process.communicate()
        m.command("send")
        m.rc.psql("update outbox set next_at = now() where state = 'waiting'")
        m.command("send")
        ids = {mail["Message-ID"] for mail in m.mails("noc@example.test")}
        assert len(ids) == 21 and m.rc.psql("select count(*) from outbox where state = 'sent'") == "21", len(ids)


if __name__ == "__main__":
    main()
