"""The whole chain on real servers: Postfix and rspamd catch a message for two people, the quarantine keeps it, the
report about it comes to a mailbox, its link is opened and its form sent; the customer's server then has the message for
the one who asked, byte for byte, and not for the other.

Catches: a link in a real mail that the panel does not take; a release that reaches a colleague, or nobody; a report
whose URLs do something when they are only looked at.
"""
import email
import email.policy
import email.utils
import re
import time

from browser import Browser
from harness import eventually, main, smtp
from panel import Panel
from quarantine import GTUBE, Quarantine, Rspamd, filtering_gateway, stored
from test_panel_browser import check
from test_links import Reported, path_of, press, token_of, urls_of, whole
from test_quarantine import HOSTILE_MESSAGES
from test_report import DAY, judge, links_of, text_of

ANN, BOB = "ann@customer.test", "bob@customer.test"


def of_filter(messages):
    return [message for message in messages if message.startswith("Return-Path: <somebody@example.net>")]


def test_from_the_filter_to_the_link_to_the_mailbox():
    with Reported([ANN, BOB]) as m, Rspamd() as filter, Quarantine(m.rc, release_port=m.postfix.port) as q:
        with filtering_gateway("customer.test", m.postfix, filter, q) as gateway:
            body = f"From: Eve <eve@bad.example>\nTo: b\nSubject: caught\nMessage-ID: <1@bad.example>\n\n{GTUBE}\n"
            assert smtp(gateway.port, ANN, BOB, body=body).data[0] == 250
            eventually(lambda: m.rc.psql("select count(*) from quarantine_recipient") == "2", 30, "both recipients' rows")
        kept = stored(q.files()[0]).decode().replace("\r\n", "\n")
        m.command("spam", now=int(time.time()) + DAY)
        assert "2 sent" in m.command("send")
        mail, = m.arrived(ANN, 1)
        assert "caught" in text_of(mail) and "eve@bad.example" in text_of(mail)
        mine, = m.ids()
        assert [number for number, _, _ in links_of(mail)["release"]] == [mine]
        with m.panel() as panel:
            before = whole(m.rc)
            for url in urls_of(mail):
                for method in ("GET", "HEAD"):
                    assert panel.client().ask(method, path_of(url)).status == 200, url
            assert whole(m.rc) == before, "following the report's links changed the database"
            assert not of_filter(m.postfix.delivered(ANN))
            link, = (url for url in urls_of(mail) if "/message?t=Ag" in url)  # its first byte: LINK_RELEASE
            page = press(panel, token_of(link), "Release")
            assert "Being released" in page.text
            got, = eventually(lambda: of_filter(m.postfix.delivered(ANN)), 30, "the released message")
            assert kept in got, got
            eventually(lambda: ">Release<" not in panel.client().get(path_of(link)).text, 15, "the page says it is done")
            assert "It was released before" in press_again(panel, token_of(link))
        assert m.state(mine) == f"released release done {ANN} (link)"
        assert m.state(m.ids("bob")[0]) == "held"
        assert not of_filter(m.postfix.delivered(BOB)) and len(of_filter(m.postfix.delivered(ANN))) == 1


def test_the_largest_message_goes_the_whole_way():
    """50 MB: taken in, reported, looked at by its link and by its user, released byte for byte."""
    with Reported([ANN]) as m, Quarantine(m.rc, release_port=m.postfix.port, quarantine_size_limit="60M") as q:
        main = m.postfix.etc / "main.cf"
        main.write_text(main.read_text() + "message_size_limit = 70000000\nvirtual_mailbox_limit = 0\n")
        m.postfix.reload()
        body = b"From: Eve <eve@bad.example>\r\nSubject: large\r\nMessage-ID: <2@bad.example>\r\n"
        body += b"Date: Tue, 1 Dec 2026 10:00:00 +0000\r\n\r\n" + (b"." + b"x" * 900 + b"\r\n") * 59000
        assert len(body) > 50 << 20
        assert [code for code, _ in q.give(body, ANN, ident="4LARGE")] == [250]
        m.command("spam", now=int(time.time()) + DAY)
        m.command("send")
        mail, = m.arrived(ANN, 1)
        assert "large" in text_of(mail) and len(m.raw(ANN)[0]) < 100_000
        number, = m.ids()
        with m.panel() as panel:
            panel.account("root")
            m.rc.psql("insert into user_password (user_id, confirmed_at, hash, changed_at, must_change)"
                      f" select {m.mine[ANN]}, now(), password, now(), false from account limit 1")
            c = panel.client()
            c.sign_in(ANN)
            page = c.get(f"/quarantine/{number}")
            assert page.status == 200 and "large" in page.text and len(page.text) < 500_000, (len(page.text), page.text[:2000])
            link, = (url for url in urls_of(mail) if "/message?t=Ag" in url)
            assert len(panel.client().get(path_of(link)).text) < 500_000
            assert "Being released" in press(panel, token_of(link), "Release").text
            inbox = lambda: [path for path in (m.postfix.mail / ANN / "new").glob("*") if path.stat().st_size > 1 << 20]
            got, = eventually(inbox, 60, "the released message")
            data = got.read_bytes()
            assert data.endswith(body.replace(b"\r\n", b"\n")) and len(data) < len(body) + 2000
        assert m.state(number) == f"released release done {ANN} (link)"


def test_addresses_beyond_ascii_go_the_whole_way():
    """RFC 6531 from the gateway's LMTP client to the mailbox, with what Postfix tells of the client by XFORWARD."""
    joerg, sender = "j\u00f6rg@customer.test", "\u03b4\u03bf\u03ba\u03b9\u03bc\u03ae@\u03c0\u03b1\u03c1\u03ac\u03b4\u03b5\u03b9\u03b3\u03bc\u03b1.test"
    with Reported([joerg, BOB]) as m, Quarantine(m.rc, release_port=m.postfix.port) as q:
        body = f"From: \u0394 <{sender}>\nTo: {joerg}\nSubject: gr\u00fc\u00df dich\nMessage-ID: <3@bad.example>\n"
        body += "Date: Tue, 1 Dec 2026 10:00:00 +0000\n\n\u20ac\n"
        assert [code for code, _ in q.give(body, joerg, sender=sender, ident="4UTF8", options=["SMTPUTF8", "BODY=8BITMIME"])] == [250]
        assert m.rc.psql("select queue_id, client_address, client_name, helo, sender, smtputf8, subject from quarantine_message"
                         ) == f"4UTF8|192.0.2.7|mail.example.org|mail|{sender}|t|gr\u00fc\u00df dich"
        m.command("spam", now=int(time.time()) + DAY)
        assert "1 sent" in m.command("send")
        eventually(lambda: m.raw(joerg), 30, "the report")
        raw, = m.raw(joerg)
        mail = email.message_from_bytes(raw, policy=email.policy.SMTPUTF8)
        assert joerg in raw.decode() and not mail.defects
        assert "gr\u00fc\u00df dich" in text_of(mail) and "xn--" in text_of(mail), text_of(mail)
        link, = (url for url in urls_of(mail) if "/message?t=Ag" in url)
        with m.panel() as panel:
            page = panel.client().get(path_of(link))
            assert "gr\u00fc\u00df dich" in page.text and joerg in page.text
            assert "Being released" in press(panel, token_of(link), "Release").text
            mine = lambda: [one for one in m.postfix.delivered(joerg) if "gr\u00fc\u00df dich\n" in one.split("\n\n")[0]]
            got, = eventually(mine, 30, "the released message")
        assert got.startswith(f"Return-Path: <{sender}>") and got.endswith(body), got
        assert not m.postfix.delivered(BOB)


def test_hostile_messages_are_reported_well_formed():
    """What strangers send, through the real intake into a real mail and onto the pages of its links."""
    with Reported([ANN]) as m, Quarantine(m.rc, release_port=m.postfix.port) as q:
        for text in HOSTILE_MESSAGES.values():
            replies = q.give(text.replace("\n", "\r\n").encode(), ANN)
            assert [code for code, _ in replies] == [250], replies
        m.command("spam", now=int(time.time()) + DAY)
        m.command("send")
        mail, = m.arrived(ANN, 1)  # parsed strictly
        html, text = text_of(mail, "html"), text_of(mail)
        assert len(links_of(mail)["show"]) == len(HOSTILE_MESSAGES) and mail["Bcc"] is None and mail["X"] is None
        assert "<script" not in html and "&lt;script&gt;alert(1)" in html
        assert "x Bcc: victim@example.org" in text and "xn--pple-43d.com" in text, text
        assert not [c for c in html + text if ord(c) < 32 and c != "\n" or 0x7f <= ord(c) < 0xa0 or c in "\u202e\u200b"]
        today = email.utils.formatdate().encode()  # it was made as of tomorrow
        judge(re.sub(rb"(?m)^Date: .*$", b"Date: " + today, m.raw(ANN)[0], count=1))
        with Panel(m.rc, link_key_file=m.rc.dir / "keys/link.key") as panel:
            for url in urls_of(mail):
                page = panel.client().get(path_of(url))
                assert page.status == 200 and "<script>alert" not in page.text and "\u202e" not in page.text, url
            look_at_links(m, panel, [path_of(url) for url in urls_of(mail) if "?t=" in url])


def look_at_links(m, panel, paths):
    """The pages as people see them, on a telephone and on a desk, without scripts; one message is released there."""
    with Browser(phone=True, script=False) as b:
        for path in paths[::5] + [path for path in paths if path.startswith("/unsubscribe")]:
            for phone in (True, False):
                b.emulate(phone, False)
                b.go(panel.url + path)
                check(b)
        release = next(path for path in paths if path.startswith("/message?t=Ag"))
        b.go(panel.url + release)
        b.press("Release")
        assert "Being released" in b.text()
        check(b)
    got, = eventually(lambda: [one for one in m.postfix.delivered(ANN) if one.startswith("Return-Path: <a@example.org>")], 30,
                      "the released message")
    assert got


def press_again(panel, token):
    """The form of a page that was loaded before, sent once more."""
    c = panel.client()
    c.get("/request-password")
    return c.post("/message", t=token).text


if __name__ == "__main__":
    main()
