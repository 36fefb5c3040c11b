"""The whole chain on real servers: Postfix and rspamd catch a message for two people, the quarantine keeps it, the
report about it comes to a mailbox, its link is opened and its form sent; the customer's server then has the message for
the one who asked, byte for byte, and not for the other.

Catches: a link in a real mail that the panel does not take; a release that reaches a colleague, or nobody; a report
whose URLs do something when they are only looked at.
"""
import time

from harness import eventually, main, smtp
from quarantine import GTUBE, Quarantine, Rspamd, filtering_gateway, stored
from test_links import Reported, path_of, press, token_of, urls_of, whole
from test_report import DAY, links_of, text_of

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


def press_again(panel, token):
    """The form of a page that was loaded before, sent once more."""
    c = panel.client()
    c.get("/request-password")
    return c.post("/message", t=token).text


if __name__ == "__main__":
    main()
