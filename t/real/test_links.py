"""The links of reports, as they stand in a mail that Postfix delivered, opened in the panel.

Catches: a link that acts when something follows it; one that permits more than it says, works for another's message,
or after its time; an answer that tells a link that never was from one that is used up; a mail program's one-click
unsubscribe that does nothing; a stranger's text that becomes HTML.
"""
import base64
import hashlib
import re
import time
import urllib.parse

from harness import main, run
from panel import Forms, Panel
from test_report import DAY, PANEL, Mails, text_of

SHOW, RELEASE, ALLOW, BLOCK, UNSUBSCRIBE, LIST = range(1, 7)


def sign(panel, action, recipient, user, expires=None, key=None):
    """What lib/link makes, by another implementation."""
    key = bytes.fromhex(panel.link_key.read_text().strip()) if key is None else key
    own = hashlib.blake2b(b"rollcall link 1", digest_size=32, key=key).digest()
    said = bytes([action]) + b"".join(int(n).to_bytes(8, "big") for n in (recipient, user, expires or time.time() + DAY))
    return base64.urlsafe_b64encode(said + hashlib.blake2b(said, digest_size=16, key=own).digest()).rstrip(b"=").decode()


def whole(rc):
    """All that the database holds."""
    text = run("pg_dump", "-h", rc.pg.dir, "-U", "postgres", rc.dbname).stdout
    return [line for line in text.splitlines() if not re.match(r"\\(un)?restrict ", line)]


def urls_of(mail):
    found = re.findall(r'href="([^"]*)"', text_of(mail, "html")) + re.findall(r"https?://[^\s<>]+", text_of(mail))
    found += [mail["List-Unsubscribe"].strip("<> ")]
    return sorted({url.replace("&amp;", "&") for url in found})


def path_of(url):
    assert url.startswith(PANEL + "/"), url
    return url[len(PANEL):]


def token_of(url):
    return urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["t"][0]


class Reported(Mails):
    """Mails with a panel that its links lead to."""

    def __init__(self, users):
        super().__init__(users)
        self.mine = {u: int(self.rc.psql("select r.user_id from recipient r join domain d on d.id = r.domain_id where "
                                              f"local_part || '@' || d.name = '{u}'")) for u in users}

    def panel(self):
        return Panel(self.rc, panel_url=PANEL, link_key_file=self.rc.dir / "keys/link.key")

    def ids(self, user="ann"):
        return [int(i) for i in self.rc.psql("select id from quarantine_recipient where local_part = "
                                             f"'{user}' order by received_at, id").split()]

    def report(self, address="ann@customer.test"):
        self.command("spam", now=int(time.time()) + DAY)
        self.command("send")
        return self.arrived(address, 1)[0]

    def state(self, number):
        return self.rc.psql("select q.state || ' ' || coalesce(string_agg(r.action || ' ' || r.state || ' ' || r.actor, ','), '')"
                            " from quarantine_recipient q left join quarantine_request r on r.recipient_id = q.id"
                            f" where q.id = {number} group by q.state")

    def rules(self):
        return self.rc.psql("select u.local_part || ' ' || s.action || ' ' || s.pattern from sender_rule s join recipient u"
                            " on u.user_id = s.user_id order by 1").splitlines()


def press(panel, token, label):
    """Opens a link like a browser that was never here, presses one button, and follows."""
    c = panel.client()
    page = c.get(f"/message?t={token}")
    assert page.status == 200, (page.status, page.text)
    buttons = re.findall(r'<form method="post" action="/message">.*?name="t" value="([\w-]+)">.*?<button[^>]*>(.*?)</button>',
                         page.text)
    by_label = {name: t for t, name in buttons}
    assert label in by_label, (label, by_label, page.text)
    return c.post("/message", t=by_label[label])


def test_following_changes_nothing_and_forms_act():
    with Reported(["ann@customer.test", "bob@customer.test"]) as m:
        ann = "ann@customer.test"
        # a few hours back, so that the report of tomorrow has them
        m.quarantine(ann, time.time() - 7200, count=5, subject="<script>alert(1)</script>")
        m.rc.psql("update quarantine_message set preview = '<img src=x onerror=alert(1)>', headers = 'X-<b>: </pre>'")
        mail = m.report()
        released, shown, allowed, blocked, other = ids = m.ids()
        with m.panel() as panel:
            urls = urls_of(mail)
            assert len(urls) == 5 * 4 + 4, urls
            before = whole(m.rc)
            pages = {}
            for url in urls:
                for method in ("HEAD", "GET"):
                    answer = panel.client().ask(method, path_of(url))
                    assert answer.status == 200, (method, url, answer.status)
                    assert "<script>alert" not in answer.text and "<img" not in answer.text
                pages[url] = answer
            assert whole(m.rc) == before, "following links changed the database"
            by = {(base64.urlsafe_b64decode(token_of(u) + "==")[0], int.from_bytes(
                base64.urlsafe_b64decode(token_of(u) + "==")[1:9], "big")): token_of(u) for u in urls if "?t=" in u}
            assert set(by) == {(a, i) for a in (SHOW, RELEASE, ALLOW, BLOCK) for i in ids} | {(UNSUBSCRIBE, 0), (LIST, 0)}
            page = panel.client().get(f"/message?t={by[RELEASE, released]}")
            assert "&lt;img src=x" in page.text and "X-&lt;b&gt;" in page.text and "because" in page.text
            assert page.text.index(">Release<") < page.text.index(">Allow sender<")
            page = panel.client().get(f"/message?t={by[BLOCK, released]}")
            assert page.text.index(">Block sender<") < page.text.index(">Release<")

            # a form without this browser's token, or one that only looks, does nothing
            c = panel.client()
            assert c.ask("POST", "/message", f"t={by[RELEASE, released]}", {
                "Content-Type": "application/x-www-form-urlencoded"}).status == 403
            c.get(f"/message?t={by[SHOW, shown]}")
            assert c.post("/message", t=by[SHOW, shown]).status == 410
            assert c.post("/message", t=by[UNSUBSCRIBE, 0]).status == 410 and c.post("/message", t=by[LIST, 0]).status == 410
            assert c.post("/message", t="").status == 410
            assert whole(m.rc) == before

            assert "Being released" in press(panel, by[RELEASE, released], "Release").text
            assert m.state(released) == "held release waiting ann@customer.test (link)"
            assert "Being released" in press(panel, by[SHOW, shown], "Release").text, "looking offers it"
            page = press(panel, by[ALLOW, allowed], "Allow sender")
            assert "The sender is allowed, the message is being released" in page.text and "being released" in page.text
            assert m.rules() == ["ann allow eve@bad.example"]
            page = press(panel, by[BLOCK, blocked], "Block sender")
            assert "The sender is blocked, the message is deleted" in page.text and "onerror" not in page.text
            assert m.rules() == ["ann block eve@bad.example"] and m.state(blocked) == "deleted"
            # once
            m.rc.psql(f"select quarantine_answer(id, true, '250 ok') from quarantine_request where recipient_id = {released}")
            page = c.get(f"/message?t={by[RELEASE, released]}")
            assert "released" in page.text and ">Release<" not in page.text
            assert "It was released before" in c.post("/message", t=by[RELEASE, released]).text
            assert m.state(released) == "released release done ann@customer.test (link)"
            assert "The sender is allowed." in press(panel, by[ALLOW, released], "Allow sender").text
            assert m.state(released).startswith("released") and m.rules() == ["ann allow eve@bad.example"]
            assert "deleted before" in c.post("/message", t=by[RELEASE, blocked]).text
            # lost files are told of
            m.rc.psql(f"update quarantine_message set lost_at = now() where id = (select message_id from quarantine_recipient "
                      f"where id = {other})")
            assert "cannot be released" in c.get(f"/message?t={by[RELEASE, other]}").text
            assert "cannot be released" in c.post("/message", t=by[RELEASE, other]).text
            # the customer takes the choice of senders away
            m.setting("customer", sender_links="false")
            page = c.get(f"/message?t={by[ALLOW, allowed]}")
            assert page.status == 200 and "Allow sender" not in page.text
            assert c.post("/message", t=by[ALLOW, allowed]).status == 410
            assert m.rules() == ["ann allow eve@bad.example"]


def test_links_that_are_not_good_are_all_the_same():
    with Reported(["ann@customer.test", "bob@customer.test"]) as m, m.panel() as panel:
        ann, bob = m.mine["ann@customer.test"], m.mine["bob@customer.test"]
        m.quarantine("ann@customer.test", count=2)
        m.quarantine("bob@customer.test")
        (mine, second), (his,) = m.ids(), m.ids("bob")
        good = sign(panel, RELEASE, mine, ann)
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        altered = [good[:i] + letters[(letters.index(good[i]) + 1 + i) % 64] + good[i + 1:] for i in range(len(good))]
        bad = {
            "nothing": "", "garbage": "x" * len(good), "short": good[:-1], "long": good + "A", "expired":
            sign(panel, RELEASE, mine, ann, time.time() - 5), "another key": sign(panel, RELEASE, mine, ann, key=bytes(32)),
            "another's message": sign(panel, RELEASE, his, ann), "no message": sign(panel, RELEASE, 999999, ann),
            "no user": sign(panel, RELEASE, mine, 999999), "no user's list": sign(panel, LIST, 0, 999999),
            "unknown action": sign(panel, 9, mine, ann), "to unsubscribe": sign(panel, UNSUBSCRIBE, 0, ann),
            "quotes": "%22%3E%3Cscript%3E", "huge": "A" * 5000, "negative": sign(panel, SHOW, 2**64 - 1, ann),
            **{f"altered at {i}": text for i, text in enumerate(altered)}}
        before = whole(m.rc)

        def plain(answer):
            assert answer.status == 410, (answer.status, answer.text)
            return answer.text.replace(answer.token, "")

        c = panel.client()
        c.get("/request-password")
        text = plain(c.get("/message?t=none"))
        assert "does not work any more" in text and "customer.test" not in text
        for name, token in bad.items():
            assert plain(c.get(f"/message?t={token}")) == text, name
            if "script" not in token:
                assert plain(c.post("/message", t=token)) == text, name
            if name != "to unsubscribe":
                assert plain(c.get(f"/unsubscribe?t={token}")) == text, name
        for token in (good, sign(panel, UNSUBSCRIBE, 0, 999999)):
            assert plain(c.ask("POST", f"/unsubscribe?t={token}", "List-Unsubscribe=One-Click", {
                "Content-Type": "application/x-www-form-urlencoded"})) == text
        assert whole(m.rc) == before
        assert c.get(f"/message?t={good}").status == 200
        # used up: the message is forgotten, or its user is
        m.rc.psql(f"delete from quarantine_recipient where id = {mine}")
        assert plain(c.get(f"/message?t={good}")) == text
        again = sign(panel, RELEASE, second, ann)
        assert c.get(f"/message?t={again}").status == 200
        m.rc.cli("user", "disable", "ann@customer.test")
        assert plain(c.get(f"/message?t={again}")) == text and plain(c.post("/message", t=again)) == text
        assert plain(c.get("/unsubscribe?t=" + sign(panel, UNSUBSCRIBE, 0, ann))) == text
        assert m.state(second) == "held"


def test_all_that_is_held():
    with Reported(["ann@customer.test", "bob@customer.test"]) as m, m.panel() as panel:
        m.quarantine("ann@customer.test", count=120)
        m.quarantine("bob@customer.test", count=3, subject="not for ann")
        m.setting("ann@customer.test", zone="'Asia/Kolkata'")
        token = sign(panel, LIST, 0, m.mine["ann@customer.test"])
        path, seen = f"/message?t={token}", []
        c = panel.client()
        while path:
            page = c.get(path)
            assert page.status == 200 and "not for ann" not in page.text and "ann@customer.test" in page.text
            links = [link.replace("&amp;", "&") for link in Forms(page.text).links if link.startswith("/message?t=")]
            path = next((link for link in links if "before=" in link), None)
            seen += [link for link in links if "before=" not in link]
        assert len(seen) == len(set(seen)) == 120, len(seen)
        page = c.get(seen[0])
        assert page.status == 200 and " UTC+5:30" in page.text
        hour = m.rc.psql("select to_char(max(received_at) at time zone 'Asia/Kolkata', 'FMDD Mon YYYY, HH24:MI') from "
                         "quarantine_recipient where local_part = 'ann'")
        assert hour in page.text, hour
        # a zone that the server does not know is GMT
        m.rc.psql("update report_setting set zone = 'Moon/Crater'")
        text = c.get(seen[0]).text
        assert " UTC" in text and " UTC+" not in text


def test_viruses():
    """By a link nobody releases a virus, unless the settings say so; blocking its sender is fine."""
    with Reported(["ann@customer.test"]) as m:
        m.quarantine("ann@customer.test", category="virus", count=2)
        ann, (number, other) = m.mine["ann@customer.test"], m.ids()
        with m.panel() as panel:
            before = whole(m.rc)
            c = panel.client()
            page = c.get(f"/message?t={sign(panel, RELEASE, number, ann)}")
            assert "you cannot release it" in page.text and ">Release<" not in page.text
            assert ">Allow sender<" not in page.text and ">Block sender<" in page.text
            for action in (RELEASE, ALLOW):
                assert "you cannot release it" in c.post("/message", t=sign(panel, action, number, ann)).text
            assert whole(m.rc) == before
            assert "deleted" in c.post("/message", t=sign(panel, BLOCK, other, ann)).text
        with Panel(m.rc, panel_url=PANEL, link_key_file=panel.link_key, release_virus="users") as panel:
            token = sign(panel, RELEASE, number, ann)
            assert "only if you know" in panel.client().get(f"/message?t={token}").text
            assert "Being released" in press(panel, token, "Release").text


def test_each_customer_says_who_may_release_its_viruses():
    """Report, link, page and command line agree for each customer; who says nothing has the setting. No customer's
    administrator changes it."""
    ann, bob = "ann@customer.test", "bob@other.test"
    with Reported([ann]) as m:
        m.rc.cli("customer", "add", "Other")
        m.rc.cli("domain", "add", "other.test", "--customer", "Other")
        m.rc.cli("user", "add", bob)
        m.quarantine(ann, category="virus")
        m.quarantine(bob, category="virus")
        numbers = {u: int(m.rc.psql(f"select id from quarantine_recipient where address = '{u}'")) for u in (ann, bob)}
        whose = {u: int(m.rc.psql(f"select user_id from quarantine_recipient where address = '{u}'")) for u in (ann, bob)}
        said = lambda customer, *to: m.rc.json("quarantine", "viruses", customer, *to)[0]
        with m.panel() as panel:
            panel.account("root")
            admins = {ann: panel.account("anna", "Example"), bob: panel.account("otto", "Other")}
            for user in whose.values():
                m.rc.psql("insert into user_password (user_id, confirmed_at, hash, changed_at, must_change)"
                          f" select {user}, now(), password, now(), false from account limit 1")
            signed = {}
            for login in (ann, bob, *admins.values(), "root"):
                signed[login] = panel.client()
                signed[login].sign_in(login)

            def offered(address):
                """Where a release is offered."""
                directory = m.rc.dir / f"look-{time.monotonic_ns()}"
                directory.mkdir()
                m.command("preview", "--directory", str(directory), address)
                report = (directory / "report.html").read_text()
                link = panel.client().get(f"/message?t={sign(panel, RELEASE, numbers[address], whose[address])}")
                pages = {who: signed[login].get(f"/quarantine/{numbers[address]}").text
                         for who, login in (("user", address), ("admin", admins[address]), ("operator", "root"))}
                assert link.status == 200 and all("quarantine" in page for page in pages.values())
                return {"report": ">Release<" in report, "link": ">Release<" in link.text,
                        **{who: 'value="release"' in page for who, page in pages.items()}}, report

            expected = {"users": ("report", "link", "user", "admin", "operator"), "admins": ("admin", "operator"),
                        "operators": ("operator",)}
            words = {"users": "", "admins": "Only your administrator may", "operators": "Only whoever runs the mail gateway may"}

            ids = {name: m.rc.psql(f"select id from customer where name = '{name}'") for name in ("Example", "Other")}

            def check(address, customer, who, where):
                assert said(customer) == {"release": who, "from": where}
                found, report = offered(address)
                assert {k for k, v in found.items() if v} == set(expected[who]), (address, who, found)
                assert words[who] in report and report.count(" may release it.") == (who != "users"), (address, who)
                look = signed["root"].get(f"/reports/look?customer={ids[customer]}").text
                assert words[who] in look and look.count(" may release it.") == (who != "users"), (customer, who)
                c, token = panel.client(), sign(panel, ALLOW, numbers[address], whose[address])
                c.get(f"/message?t={token}")
                answer = c.post("/message", t=token)
                assert ("you cannot release it" in answer.text) == (who != "users"), (address, who)
                asked = m.rc.psql("delete from quarantine_request returning recipient_id")
                assert asked.split()[:1] == ([str(numbers[address])] if who == "users" else []), asked

            check(ann, "Example", "admins", "setting")
            assert said("Example", "users") == {"release": "users", "from": "customer"}
            check(bob, "Other", "admins", "setting")
            check(ann, "Example", "users", "customer")
            # by the panel, and each of them otherwise
            root = signed["root"]
            for name, who in (("Example", "operators"), ("Other", "users")):
                page = root.get(f"/customers/{ids[name]}")
                assert 'name="viruses"' in page.text
                page = root.post(f"/customers/{ids[name]}/viruses", viruses=who)
                assert page.status == 200 and f'value="{who}" selected' in page.text, page.text
            check(ann, "Example", "operators", "customer")
            check(bob, "Other", "users", "customer")
            assert m.rc.psql("select string_agg(actor || ' ' || object, ',' order by id) from audit "
                             "where action = 'quarantine viruses' and program = 'rollcall-panel'") == "root Example,root Other"
            # nobody else's business, and no other word
            for login in ("anna", ann):
                signed[login].get("/quarantine")
                assert signed[login].post(f"/customers/{ids['Example']}/viruses", viruses="users").status in (403, 404)
            for do in (f"insert into quarantine_release values ({ids['Example']}, 'users') on conflict (customer_id) do "
                       "update set virus = 'users'", "delete from quarantine_release",
                       "update quarantine_release set virus = 'users'"):
                m.rc.psql(f"set rollcall.customer = {ids['Example']}; set role rollcall_panel; {do}", check=False)
            root.get(f"/customers/{ids['Example']}")
            assert root.post(f"/customers/{ids['Example']}/viruses", viruses="everybody").status == 404
            m.rc.run("quarantine", "viruses", "Example", "everybody", check=64)
            check(ann, "Example", "operators", "customer")
            assert said("Example", "default") == {"release": "admins", "from": "setting"}
            m.rc.set(release_virus="operators")
            assert said("Example")["release"] == "operators" and said("Other")["release"] == "users"


def test_one_click_unsubscribe():
    with Reported(["ann@customer.test", "bob@customer.test"]) as m, m.panel() as panel:
        path = "/unsubscribe?t=" + sign(panel, UNSUBSCRIBE, 0, m.mine["ann@customer.test"])
        on = lambda: m.rc.psql("select string_agg(local_part, ',' order by local_part) from report_user where enabled")
        forms = ({"Content-Type": "application/x-www-form-urlencoded"}, "List-Unsubscribe=One-Click"), (
            {"Content-Type": "multipart/form-data; boundary=b"},
            '--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n')
        for headers, body in forms:
            page = panel.client().get(path)
            assert page.status == 200 and "Turn the reports off" in page.text and on() == "ann,bob"
            for _ in range(2):
                answer = panel.client().ask("POST", path, body, headers)
                assert answer.status == 200 and "They are off" in answer.text, (answer.status, answer.text)
                assert on() == "bob"
            # the page's own forms: on again
            c = panel.client()
            form, = (f for f in Forms(c.get(path).text).forms if f[1].startswith("/unsubscribe"))
            assert "on again" in c.post(form[1].replace("&amp;", "&"), **form[2]).text and on() == "ann,bob"
        for body in ("", "List-Unsubscribe=Yes", "reports=off"):
            assert panel.client().ask("POST", path, body, forms[0][0]).status == 400
        assert on() == "ann,bob"
        m.setting("customer", enabled="false")
        c = panel.client()
        c.get(path)
        assert "off for your whole company" in c.post(path, reports="on").text and on() == ""


def test_without_a_key_nothing_opens():
    with Reported(["ann@customer.test"]) as m:
        with Panel(m.rc, panel_url=PANEL) as other:
            token = sign(other, LIST, 0, m.mine["ann@customer.test"])
            assert other.client().get(f"/message?t={token}").status == 200
            other.link_key.unlink()
        missing = Panel(m.rc, panel_url=PANEL)
        missing.link_key.unlink()
        with missing as panel:
            assert panel.client().get(f"/message?t={token}").status == 410
            assert [line for line in panel.logged("panel-trouble") if "link" in line], panel.log.read_text()


if __name__ == "__main__":
    main()
