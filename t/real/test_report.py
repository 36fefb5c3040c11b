"""Spam reports and password mails: real PostgreSQL, real Postfix as submission and mailboxes, every
mail read by another parser.

Catches: a message told of twice or never, whatever died when; mails that are not well-formed or let
a stranger's text out of its place; links that say too much; a password that lies readable in the
database; an answer that tells who exists.
"""
import contextlib
import email
import email.policy
import hashlib
import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.parse

from browser import Browser
from harness import (BUILD, FULL, TREE, Failed, Postfix, Rollcall, SANITIZER_WORDS, eventually, free_port, main, run,
                     seeded)

PANEL = "https://panel.example.test:8443"
NOON = 1795564800 + 12 * 3600  # 2026-11-25, a Wednesday, GMT
DAY = 86400
LINKS = {1: "show", 2: "release", 3: "allow", 4: "block", 5: "unsubscribe", 6: "list"}


class Mails:
    """A Rollcall with users, a quarantine and a Postfix that takes mail for all of them."""

    def __init__(self, users, **settings):
        self.stack = contextlib.ExitStack()
        self.users = users
        try:
            self.rc = self.stack.enter_context(Rollcall())
            self.postfix = self.stack.enter_context(Postfix.customer(users, name="mailbox"))
            keys = self.rc.dir / "keys"
            keys.mkdir()
            self.rc.set(mail_server=f"inet:127.0.0.1:{self.postfix.port}", mail_from="gateway@example.test",
                        panel_url=PANEL, link_key_file=keys / "link.key", secret_key_file=keys / "secret.key",
                        **settings)
            self.rc.cli("customer", "add", "Example")
            self.rc.cli("domain", "add", "customer.test", "--customer", "Example")
            self.rc.cli("user", "add", *[u for u in users if u.endswith("@customer.test")])
        except BaseException:
            self.stack.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *why):
        return self.stack.__exit__(*why)

    def command(self, *args, check=True, **more):
        return self.start(*args, **more).end(check)

    def start(self, *args, now=None):
        database = f"host={self.rc.host} dbname={self.rc.dbname} user=rollcall_report"
        when = ["--now", str(now)] if now else []
        return Running([BUILD / "bin/rollcall-report", "-c", self.rc.conf, "-o", f"database={database}", *when, *args],
                       self.rc.environment())

    def quarantine(self, address, at=NOON - 3600, category="spam", sender="Eve <eve@bad.example>", subject="Buy now",
                   listed=None, count=1, score=12.3):
        """Rows as the intake makes them."""
        local, domain = address.rsplit("@", 1)
        quote = lambda text: "null" if text is None else "'" + text.replace("'", "''") + "'"
        self.rc.psql(f"""
with m as (insert into quarantine_message (gateway, file, received_at, size, digest, category, reason, score, from_text,
    from_address, subject)
  select 'gw', 'aa/' || md5(random()::text || n), to_timestamp({at} + n), 1000, sha256('x'), '{category}', 'because',
    {score}, {quote(sender)}, 'eve@bad.example', {quote(subject)} from generate_series(1, {count}) n
  returning id, received_at)
insert into quarantine_recipient (message_id, customer_id, domain_id, user_id, address, local_part, category,
    received_at, listed)
  select m.id, d.customer_id, d.id, r.user_id, {quote(address)}, r.local_part, '{category}', m.received_at,
    {quote(listed)} from m, domain d join recipient r on r.domain_id = d.id
  where d.name = '{domain}' and r.local_part = '{local}'""")

    def setting(self, where, **columns):
        """where: 'customer', a domain or an address."""
        if where == "customer":
            keys = "customer_id", "select id from customer"
        elif "@" in where:
            keys = ("customer_id, user_id", "select d.customer_id, r.user_id from domain d join recipient r on "
                    f"r.domain_id = d.id where r.local_part || '@' || d.name = '{where}'")
        else:
            keys = "customer_id, domain_id", f"select customer_id, id from domain where name = '{where}'"
        names = "".join(f", {name}" for name in columns)
        values = "".join(f", {value}" for value in columns.values())
        self.rc.psql(f"insert into report_setting ({keys[0]}{names}) select t.*{values} from ({keys[1]}) t")

    def mails(self, address):
        """Delivered ones, parsed strictly; a defect is a failure."""
        return [parse(raw) for raw in self.raw(address)]

    def raw(self, address):
        """In the order of their arrival (the names in a Maildir have the second before the inode)."""
        return [path.read_bytes() for path in
                sorted((self.postfix.mail / address / "new").glob("*"), key=lambda path: path.stat().st_mtime_ns)]

    def arrived(self, address, count):
        eventually(lambda: len(self.raw(address)) >= count, 30, f"{count} mails for {address}")
        mails = self.mails(address)
        assert len(mails) == count, (address, len(mails), count)
        return mails


class Running:
    def __init__(self, command, environment):
        self.command = command
        self.process = subprocess.Popen([str(c) for c in command], env=environment, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, cwd="/", errors="replace")

    def end(self, check=True, timeout=120):
        out, err = self.process.communicate(timeout=timeout)
        code = self.process.returncode
        if any(word in err for word in SANITIZER_WORDS) or (check is not False and code != (0 if check is True else check)):
            raise Failed(self.command, code, out, err)
        return out + err


def parse(raw):
    """An independent reading: the standard library's, under its strict policy."""
    mail = email.message_from_bytes(raw, policy=email.policy.strict.clone(max_line_length=998))
    head, _, body = raw.partition(b"\n\n")
    assert all(len(line) <= 998 for line in raw.split(b"\n")), "a line is too long"
    assert all(len(line) <= 76 for line in body.split(b"\n")), "a line of the body is longer than 76"
    for name in ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version"):
        assert len(mail.get_all(name) or []) == 1, (name, mail.get_all(name))
    assert not mail.defects and mail["Auto-Submitted"] == "auto-generated"
    for part in mail.walk():
        assert not part.defects, part.defects
        for name, value in part.items():
            assert not getattr(value, "defects", ()), (name, value.defects)
    assert mail["Date"].datetime.utcoffset().total_seconds() == 0
    return mail


def text_of(mail, kind="plain"):
    return mail.get_body((kind,)).get_content()


def links_of(mail):
    """{action: [(recipient, user, expires)]} of the signed links, the same ones in both parts."""
    import base64
    found = {}
    hrefs = [h.replace("&amp;", "&") for h in re.findall(r'href="([^"]*)"', text_of(mail, "html"))]
    assert hrefs and all(h.startswith(PANEL + "/") for h in hrefs), hrefs
    for url in hrefs:
        assert url in text_of(mail), f"{url} is only in the HTML"
        token = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query).get("t")
        if token:
            data = base64.urlsafe_b64decode(token[0] + "=" * (-len(token[0]) % 4))
            assert len(data) == 41
            found.setdefault(LINKS[data[0]], []).append(
                tuple(int.from_bytes(data[i:i + 8], "big") for i in (1, 9, 17)))
    return found


HOSTILE = [
    ("Eve\r\nBcc: all@customer.test", "one\r\nX-Evil: yes\r\n\r\n<h1>two</h1>"),
    ("<script>alert(1)</script> <a@b.example>", "\"><img src=x onerror=alert(1)>"),
    ("\u202egpj.exe <rlo@bad.example>", "=?utf-8?B?PHNjcmlwdD4=?="),
    ("", ""),
    ("x" * 900, "\u20ac" * 900),
    ("paypa\u043b <a@p\u0430ypal.example>", "\\\\ \\x00 \\n back\\slash \\."),
]


def test_a_report_is_well_formed_and_harmless():
    with Mails(["ann@customer.test", "bob@customer.test"]) as m:
        m.setting("customer", brand_name="'Füße & <Co>'", brand_footer="'Questions?\nCall \"us\" <now>'")
        for i, (sender, subject) in enumerate(HOSTILE):
            m.quarantine("ann@customer.test", NOON - 9000 + i, sender=sender, subject=subject)
        m.quarantine("ann@customer.test", NOON - 8000, "bulk", listed="user", subject="Newsletter")
        m.quarantine("bob@customer.test", NOON - 8000, "virus", subject="=?=")
        before = m.rc.psql("select count(*) from outbox")
        m.command("spam", now=NOON)
        assert before == "0" and m.rc.psql("select count(*) from outbox") == "0", "seven o'clock was before they came"
        m.command("spam", now=NOON + 20 * 3600)
        assert m.rc.psql("select count(*), sum(listed) from report_run") == "2|8"
        assert "2 sent" in m.command("send")
        mail, = m.arrived("ann@customer.test", 1)
        assert mail["Subject"] == "Füße & <Co>: 7 new messages were held back"
        assert mail["From"].addresses[0].addr_spec == "gateway@example.test"
        assert mail["List-Id"].strip().endswith("<spam-report.customer.test>")
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert mail["X-Evil"] is None and mail["Bcc"] is None
        assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
        html, text = text_of(mail, "html"), text_of(mail)
        assert "<script" not in html and "<img" not in html and "onerror" in html and "\u202e" not in html + text
        assert "Füße &amp; &lt;Co&gt;" in html and "\\\\ \\x00 \\n back\\slash" in text
        assert "your block list" in text and "(no sender)" in text and "(no subject)" in text
        assert text.rstrip().endswith(f"Request password: {PANEL}/request-password?address=ann%40customer.test")
        links = links_of(mail)
        ids = [int(i) for i in m.rc.psql("select id from quarantine_recipient where local_part = 'ann' "
                                         "order by received_at desc, id desc").split()]
        user = int(m.rc.psql("select user_id from recipient where local_part = 'ann'"))
        for action in ("show", "release", "allow", "block"):
            assert [one[0] for one in links[action]] == ids, action
        assert {one[1] for many in links.values() for one in many} == {user}
        assert {one[2] for many in links.values() for one in many} == {NOON + 20 * 3600 + 30 * DAY}
        assert f"<{PANEL}/unsubscribe?t=" in mail["List-Unsubscribe"]
        # the body is gone, and so is its mail's content, once it was sent
        assert m.rc.psql("select count(*) from outbox where body is not null") == "0"
        m.command("spam", now=NOON + 20 * 3600)
        m.command("spam", now=NOON + 44 * 3600)
        assert m.rc.psql("select count(*) from outbox") == "2", "nothing new: no report"
        judge(look_at(m))


def look_at(m):
    """Screenshots for people, of what `preview` writes: a phone and a desk, light and dark. Returns the mail, of now."""
    shots = TREE / "t/browser/shots"
    shots.mkdir(parents=True, exist_ok=True)
    directory = m.rc.dir / "preview"
    directory.mkdir()
    out = m.command("preview", "--directory", str(directory), "ann@customer.test")
    assert "7 messages listed" in out, out
    assert m.rc.psql("select count(*) from report_run where again") == "0", "a preview leaves nothing behind"
    mail = (directory / "report.eml").read_bytes()
    with Browser(script=True) as b:
        b.go(f"file://{directory}/report.html")
        for name, phone, dark in (("phone", True, False), ("desk", False, False), ("phone-dark", True, True),
                                  ("dark", False, True)):
            b.emulate(phone, dark)
            wrong = b.run(LOOKS, 44 if phone else 0)
            assert not wrong, f"{name}: {wrong}"
            shot = shots / f"report-{name}.png"
            b.shot(shot)
            assert shot.stat().st_size > 5000, shot
    return mail


# what a report must look like, told in words; run in the page. Colours are compared as WCAG 2.1 does (1.4.3).
LOOKS = """
const bad = [], least = arguments[0];
const wide = document.documentElement.scrollWidth - window.innerWidth;
if (wide > 0) bad.push(`it is ${wide} wider than the window`);
const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map(v => { v /= 255;
  return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
  if (!/, 0\\)$|transparent/.test(c)) return c; } return "rgb(255, 255, 255)"; };
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const seen = new Set();
for (let t; (t = texts.nextNode());) {
  const e = t.parentElement;
  if (!t.textContent.trim() || seen.has(e)) continue;
  seen.add(e);
  const a = light(getComputedStyle(e).color), b = light(behind(e));
  const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  if (contrast < 4.5) bad.push(`"${t.textContent.trim().slice(0, 30)}" has a contrast of ${contrast.toFixed(1)}`);
  if (parseFloat(getComputedStyle(e).fontSize) < 12) bad.push(`"${t.textContent.trim().slice(0, 30)}" is tiny`);
}
if (seen.size < 20) bad.push("there is hardly anything in it");
if (least) document.querySelectorAll("a").forEach(a => { const h = a.getBoundingClientRect().height;
  if (h < 24) bad.push(`the link ${a.textContent} is ${h} high: hard to hit`); });
return bad.join("; ");
"""


def judge(raw):
    """Our own reports are no spam."""
    done = subprocess.run(["spamassassin", "-L", "-t"], input=raw, capture_output=True, timeout=120)
    head = done.stdout.decode(errors="replace").split("\n\n")[0].replace("\n\t", " ")
    score = float(re.search(r"score=(-?[\d.]+)", head)[1])
    print(f"    SpamAssassin: {score}")
    assert score < 2, head


def test_what_is_refused_is_not_offered():
    """A virus that its owner may not release has no link to do so, nor one to allow its sender: who may is said."""
    with Mails(["ann@customer.test"]) as m:
        m.quarantine("ann@customer.test", subject="Buy now")
        m.quarantine("ann@customer.test", category="virus", subject="Invoice")
        spam, virus = (int(m.rc.psql(f"select id from quarantine_recipient where category = '{c}'"))
                       for c in ("spam", "virus"))
        for setting, words in (("admins", "Only your administrator may release it."),
                               ("operators", "Only whoever runs the mail gateway may release it."), ("users", None)):
            m.rc.set(release_virus=setting)
            directory = m.rc.dir / setting
            directory.mkdir()
            m.command("preview", "--directory", str(directory), "ann@customer.test")
            mail = parse((directory / "report.eml").read_bytes())
            links = {action: {one[0] for one in found} for action, found in links_of(mail).items()}
            assert links["show"] == links["block"] == {spam, virus}, (setting, links)
            assert links["release"] == links["allow"] == ({spam} if words else {spam, virus}), (setting, links)
            for kind in ("plain", "html"):
                assert text_of(mail, kind).count("may release it.") == (1 if words else 0), setting
                assert not words or words in text_of(mail, kind), setting


def test_languages_lists_and_the_accumulative_report():
    users = [f"{u}@customer.test" for u in ("de", "fr", "es", "off", "noblock", "nobody", "many")]
    with Mails(users + ["boss@example.test"], report_zone="Europe/Berlin") as m:
        m.setting("customer", central_contact="'boss@example.test'", hours=1 << 13, language="'fr'")
        m.setting("de@customer.test", language="'de'", zone="'Asia/Kolkata'", hours=1 << 17)
        m.setting("es@customer.test", language="'es'", sender_links="false")
        m.setting("off@customer.test", enabled="false")
        m.setting("noblock@customer.test", block_list="false", categories="array['spam']")
        for user in ("de", "fr", "es", "off"):
            m.quarantine(f"{user}@customer.test", NOON - 7200)
        m.quarantine("noblock@customer.test", NOON - 7200, listed="domain", subject="hidden")
        m.quarantine("noblock@customer.test", NOON - 7200, "virus", subject="hidden")
        m.quarantine("noblock@customer.test", NOON - 7200, subject="shown")
        m.quarantine("many@customer.test", NOON - 7200, count=250)
        m.command("spam", now=NOON)  # 13 in Berlin, 17:30 in Kolkata
        m.command("send")
        german, = m.arrived("de@customer.test", 1)
        assert german["Subject"] == "Spam-Bericht: 1 neue Nachricht wurde zurückgehalten"
        assert german["Content-Language"] == "de" and "25.11.2026, 15:30" in text_of(german)
        assert "1 nouveau message a été retenu" in m.arrived("fr@customer.test", 1)[0]["Subject"]
        spanish, = m.arrived("es@customer.test", 1)
        assert "Solicitar contraseña" in text_of(spanish) and "allow" not in links_of(spanish)
        shown, = m.arrived("noblock@customer.test", 1)
        assert "shown" in text_of(shown) and "hidden" not in text_of(shown) and "1 nouveau" in shown["Subject"]
        many, = m.arrived("many@customer.test", 1)
        assert "250 nouveaux" in many["Subject"] and len(links_of(many)["show"]) == 200
        assert "50 autres messages ne sont pas listés" in text_of(many) and "list" in links_of(many)
        central, = m.arrived("boss@example.test", 1)
        assert "customer.test: 257 nouveaux messages" in central["Subject"], central["Subject"]
        assert central["List-Unsubscribe"] is None and "href" not in text_of(central, "html")
        assert "À: many@customer.test" in text_of(central)
        assert not m.raw("off@customer.test") and not m.raw("nobody@customer.test")


def test_a_missed_report_is_made_good_and_none_comes_twice():
    with Mails(["ann@customer.test"]) as m:
        m.quarantine("ann@customer.test", NOON - 10 * 3600, count=3)
        seven = NOON - 5 * 3600
        m.command("spam", now=seven - 60)
        assert m.rc.psql("select count(*) from outbox") == "0", "before seven"
        m.command("spam", now=seven + 3 * 3600)
        m.command("spam", now=seven + 4 * 3600)
        assert m.rc.psql("select count(*), sum(listed) from report_run") == "1|3", "late, but once"
        m.quarantine("ann@customer.test", seven + 5 * 3600, count=2)
        m.command("spam", now=seven + 6 * 3600)
        assert m.rc.psql("select count(*) from report_run") == "1", "not before the next seven o'clock"
        running = [m.start("spam", now=seven + DAY) for _ in range(4)]
        for one in running:
            one.end()
        assert m.rc.psql("select count(*), sum(listed) from report_run") == "2|5", "four programs made it once"
        # refused for good: what it told of comes with the next one
        m.rc.psql("update outbox set envelope_to = 'ann@elsewhere.test' where id = (select max(id) from outbox)")
        assert "1 sent, 0 to be tried again, 1 given up" in m.command("send")
        assert m.rc.psql("select state, body is null, trouble <> '' from outbox order by id desc limit 1") == "dead|t|t"
        m.command("spam", now=seven + 2 * DAY)
        m.command("send")
        assert ["3 new" in x["Subject"] or "2 new" in x["Subject"] for x in m.arrived("ann@customer.test", 2)] == [True] * 2
        m.command("resend", "ann@customer.test")
        m.command("send")
        assert m.arrived("ann@customer.test", 3)[-1]["Message-ID"] not in [x["Message-ID"] for x in
                                                                           m.mails("ann@customer.test")[:2]]
        assert "5 messages sent" in m.command("resend", "--since", "9000d", "ann@customer.test")
        assert "no active user" in m.command("resend", "nobody@customer.test", check=65)


def test_what_is_still_to_be_told():
    """A message waits for its report while it is held, whatever happens to it otherwise, and no longer."""
    def untold():
        return m.rc.psql("select count(*), (select count(*) from quarantine_uncounted) from quarantine_unreported")

    with Mails(["ann@customer.test"]) as m:
        m.setting("ann@customer.test", categories="array['virus']")
        for subject in ("kept", "released", "deleted", "purged", "allowed"):
            m.quarantine("ann@customer.test", NOON - 10 * 3600, subject=subject)
        m.quarantine("ann@customer.test", NOON - 10 * 3600, "virus", subject="worm")
        assert untold() == "6|6"
        change = "update quarantine_recipient q set state = '{}' from quarantine_message m where m.id = q.message_id " \
                 "and m.subject = '{}'"
        m.rc.psql(change.format("released", "released"))
        m.rc.psql(change.format("deleted", "deleted"))
        m.rc.psql("delete from quarantine_message where subject = 'purged'")
        assert untold() == "5|5", "what is gone is told to nobody"
        m.rc.psql("delete from quarantine_unreported where recipient_id = (select q.id from quarantine_recipient q join "
                  "quarantine_message m on m.id = q.message_id where m.subject = 'allowed')")
        m.rc.psql(change.format("allowed", "allowed"))
        m.rc.psql(change.format("held", "allowed"))
        assert untold() == "5|5", "its release failed: it is to be told"
        m.command("spam", now=NOON)
        # worm was told of; what else was held then is told of no more: the user does not want that category
        assert m.rc.psql("select listed, cardinality(messages) from report_run") == "1|3" and untold() == "0|5"
        m.quarantine("ann@customer.test", NOON - 9 * 3600, subject="later")
        m.command("spam", now=NOON + DAY)
        assert m.rc.psql("select count(*) from report_run") == "1" and untold() == "1|6", "no report, and nothing is lost"
        m.rc.psql("update report_setting set categories = array['spam']")
        m.rc.psql(change.format("deleted", "later"))
        m.command("spam", now=NOON + DAY)
        assert m.rc.psql("select count(*) from report_run") == "1" and untold() == "0|6", "nothing held: no report, nothing left"
        m.quarantine("ann@customer.test", NOON - 8 * 3600, subject="another")
        m.rc.psql("update quarantine_recipient set user_id = null where id = (select max(id) from quarantine_recipient)")
        assert untold() == "0|7", "it is nobody's any more"


def test_the_command_line():
    with Mails(["ann@customer.test"]) as m:
        where = ("--user", "ann@customer.test")
        m.rc.cli("report", "set", *where, "--days", "wed,sun", "--hours", "6,18", "--language", "es", "--categories",
                 "spam,virus", "--block-list", "no")
        shown = {row["setting"]: row["value"] for row in m.rc.json("report", "show", *where)}
        assert (shown["days"], shown["hours"], shown["block-list"], shown["categories"], shown["enabled"]) == \
            ("wed,sun", "6,18", "no", "spam,virus", None), shown
        m.rc.cli("report", "set", *where, "--days", "all", "--hours", "default")
        assert m.rc.psql("select days, hours, categories from report_user") == '127|128|{spam,virus}'
        for wrong in (("--hours", "24"), ("--days", ""), ("--language", "xx"), ("--zone", "../x"), ("--categories", "ham"),
                      ("--enabled", "perhaps")):
            assert wrong[0][2:] in m.rc.run("report", "set", *where, *wrong, check=65).stderr, wrong
        m.rc.run("report", "set", *where, "--brand-name", "x", check=64)
        m.rc.run("report", "set", "--domain", "nowhere.test", "--days", "all", check=65)
        m.rc.cli("report", "set", "--customer", "example", "--brand-colour", "#AABBCC", "--central-contact", "none")
        m.quarantine("ann@customer.test", time.time() - 7200)
        admin = ("-o", f"database=host={m.rc.host} dbname={m.rc.dbname} user=rollcall_admin")
        out = m.rc.cli(*admin, "report", "preview", "ann@customer.test", "--directory", m.rc.dir)
        assert "1 message listed" in out and "#aabbcc" in (m.rc.dir / "report.html").read_text()
        assert "Liberar" in (m.rc.dir / "report.txt").read_text()
        m.rc.run("report", "preview", "bob@customer.test", check=65)
        m.rc.run("report", "resend", "ann@customer.test", check=65)
        m.rc.cli(*admin, "report", "resend", "ann@customer.test", "--since", "3h")
        m.rc.cli("user", "password-request", "ann@customer.test")
        m.command("send")
        assert [mail["Subject"] for mail in m.arrived("ann@customer.test", 2)]
        m.rc.psql("insert into outbox (kind, urgent, envelope_from, envelope_to, message_id, state, done_at, trouble) "
                  "values ('report', false, '', 'ann@customer.test', 'x@example', 'dead', now(), '550 no')")
        assert "given up within a day; the last: ann@customer.test: 550 no" in m.rc.run("status", check=1).stdout


def test_a_server_that_is_away():
    with Mails(["ann@customer.test"]) as m:
        m.quarantine("ann@customer.test", NOON - 10 * 3600)
        m.command("spam", now=NOON)
        m.rc.set(mail_server=f"inet:127.0.0.1:{free_port()}")
        m.command("send", check=75)
        assert m.rc.psql("select state, tries, trouble <> '', next_at > now() from outbox") == "waiting|1|t|t"
        m.rc.set(mail_server=f"inet:127.0.0.1:{m.postfix.port}")
        assert "0 sent" in m.command("send"), "not before its time"
        m.rc.psql("update outbox set next_at = now()")
        assert "1 sent" in m.command("send")
        m.arrived("ann@customer.test", 1)


def ask(m, kind, address, client="198.51.100.7"):
    return m.rc.psql(f"set role rollcall_panel; select mail_ask('{kind}', '{address}', '{client}', 5, 100)").split()[-1]


def token_in(mail, page):
    return re.search(re.escape(PANEL + page) + r"\?t=([\w-]{43})\s", text_of(mail))[1]


def hash_of(token):
    import base64
    return "\\x" + hashlib.blake2b(base64.urlsafe_b64decode(token + "="), digest_size=32).hexdigest()


def test_the_two_steps_to_a_password():
    with Mails(["ann@customer.test", "dir@customer.test"]) as m:
        m.setting("ann@customer.test", language="'de'")
        follower = m.start("send", "--follow")
        try:
            begun = time.monotonic()
            assert ask(m, "confirm", "Ann@customer.test") == ask(m, "confirm", "nobody@customer.test") == "t"
            mail, = m.arrived("ann@customer.test", 1)
            took = time.monotonic() - begun
            print(f"    {took:.2f} s from asking to the mailbox")
            assert took < 10, "by NOTIFY: without a word the follower looks every 30 s"
            assert mail["Subject"] == "Bestätigen Sie Ihre Registrierung" and "24 Stunden" in text_of(mail)
            eventually(lambda: m.rc.psql("select count(*) from mail_request where done_at is null") == "0")
            assert m.rc.psql("select count(*) from outbox") == "1", "nobody gets nothing"
            token = token_in(mail, "/confirm")
            assert token not in run("pg_dump", "-h", m.rc.pg.dir, "-U", "postgres", m.rc.dbname).stdout
            # not confirmed yet: another confirmation
            assert ask(m, "password", "ann@customer.test") == "t"
            token = token_in(m.arrived("ann@customer.test", 2)[1], "/confirm")
            assert m.rc.psql(f"set role rollcall_panel; select password_confirm('{hash_of(token)}') > 0").endswith("t")
            assert ask(m, "password", "ann@customer.test") == "t"
            link = token_in(m.arrived("ann@customer.test", 3)[2], "/set-password")
            assert m.rc.psql(f"set role rollcall_panel; select password_set('{hash_of(link)}', '$y$j9T$twentycharacters')"
                             " > 0").endswith("t")
            for _ in range(2):
                ask(m, "password", "ann@customer.test")
            assert ask(m, "password", "ann@customer.test") == "f", "too many of late"
            # one who came by LDAP has the directory's password: whatever he asks for, he is told so and gets none
            m.rc.psql("insert into ldap_source (name, customer_id) select 'ours', min(id) from customer; insert into ldap_user "
                      "select s.id, gen_random_uuid(), r.user_id, 'cn=x' from ldap_source s, recipient r where local_part = 'dir'")
            kept = m.rc.psql("select count(*) from token") + m.rc.psql("table user_password")
            for number, kind in enumerate(("confirm", "password"), 1):
                assert ask(m, kind, "dir@customer.test") == "t"
                mail = m.arrived("dir@customer.test", number)[-1]
                assert mail["Subject"] == "Your password is that of your directory" and "?t=" not in mail.as_string(), kind
            assert m.rc.psql("select count(*) from token") + m.rc.psql("table user_password") == kept
        finally:
            follower.process.send_signal(signal.SIGTERM)
            follower.end()
        assert m.rc.psql("select count(*) from outbox where body is not null") == "0"


def test_a_password_that_comes_by_mail():
    with Mails(["ann@customer.test"], password_mail="password") as m:
        m.rc.psql("insert into user_password (user_id, confirmed_at) select user_id, now() from recipient")
        ask(m, "password", "ann@customer.test")
        # made, and sealed while it waits
        port = free_port()
        m.rc.set(mail_server=f"inet:127.0.0.1:{port}")
        m.command("send", check=75)
        assert m.rc.psql("select sealed, position('password' in encode(body, 'escape')) from outbox") == "t|0"
        assert m.rc.psql("select must_change, left(hash, 3) from user_password") == "t|$y$"
        m.rc.set(mail_server=f"inet:127.0.0.1:{m.postfix.port}")
        m.rc.psql("update outbox set next_at = now()")
        m.command("send")
        text = text_of(m.arrived("ann@customer.test", 1)[0])
        assert re.search(r"^   [a-z2-9]{4}(-[a-z2-9]{4}){4}$", text, re.M), text
        assert m.rc.psql("select body is null from outbox") == "t"


def kill(one):
    one.process.kill()
    one.process.communicate()


def test_killed_at_any_moment():
    """kill -9 while reports are made and sent: each message is in exactly one report, each report in a mailbox,
    and at most one mail of each connection comes twice, with the same Message-ID."""
    random = seeded()
    people, each = (1500, 3) if FULL else (300, 3)
    users = [f"u{i}@customer.test" for i in range(people)]
    with Mails(users, mail_connections="3") as m:
        for user in users:
            m.quarantine(user, NOON - 10 * 3600, count=each)
        making = sending = 0
        seconds = 0.3
        while m.rc.psql("select count(*) from quarantine_unreported") != "0":
            one = m.start("spam", now=NOON)
            if making == 6:
                one.end()
                continue
            try:
                one.process.wait(random.uniform(0.02, seconds))
                seconds *= 0.7
            except subprocess.TimeoutExpired:
                seconds *= 1.2  # it may not even have begun
            kill(one)
            making += 1
        waiting = lambda: int(m.rc.psql("select count(*) from outbox where state = 'waiting'"))
        while (left := waiting()) != 0:
            one = m.start("send")
            if sending == 8:
                one.end()
                continue
            until = left - random.randint(1, left // 4 + 1)
            eventually(lambda: waiting() <= until or one.process.poll() is not None, 60, "some to be sent", every=0.001)
            kill(one)
            sending += 1
        ids = m.rc.psql("select count(distinct message_id) from outbox where state = 'sent'")
        assert ids == str(people), ids
        told = {}
        repeated = 0
        for user in users:
            eventually(lambda: m.raw(user), 30, f"a report for {user}")
            mails = m.mails(user)
            assert len({mail["Message-ID"] for mail in mails}) == 1, user
            repeated += len(mails) - 1
            for recipient, _, _ in links_of(mails[0])["show"]:
                told[recipient] = told.get(recipient, 0) + 1
        assert len(told) == people * each and set(told.values()) == {1}
        print(f"    {making} and {sending} kills, {repeated} mails came twice")
        assert sending > 2, "it is over before it is killed"
        assert repeated <= 3 * sending, (repeated, sending)


def test_senders_share_the_work():
    """Several at once never send one mail twice; one whose connections to PostgreSQL are cut goes on with at most
    the mail in hand repeated, and what it could not record is recorded when it is back."""
    users = [f"u{i}@customer.test" for i in range(200)]

    def made(day):
        m.rc.psql("".join(f"""insert into outbox (kind, urgent, envelope_from, envelope_to, message_id, body) values
            ('report', false, 'gateway@example.test', '{user}', '{day}-{user}',
            convert_to(E'From: <gateway@example.test>\\r\\nMessage-ID: <{day}-{user}>\\r\\n\\r\\n{"text " * 800}\\r\\n',
            'UTF8'));""" for user in users))

    def waiting():
        return int(m.rc.psql("select count(*) from outbox where state = 'waiting'"))

    with Mails(users, mail_connections="3") as m:
        made("one")
        running = [m.start("send") for _ in range(4)]
        sent = [int(re.search(r"(\d+) sent", one.end())[1]) for one in running]
        assert sum(sent) == len(users) and waiting() == 0, sent
        for user in users:
            eventually(lambda: m.raw(user), 30, f"a mail for {user}")
            assert len(m.raw(user)) == 1, user
        made("two")
        other, one = m.start("send", "--follow"), m.start("send", "--follow")
        eventually(lambda: waiting() < 180, 30, "some to be sent", every=0.01)
        cut = m.rc.psql("select count(pg_terminate_backend(pid)) from pg_stat_activity "
                        "where usename = 'rollcall_report'")
        eventually(lambda: waiting() == 0, 60, "all to be sent")
        for sender in (other, one):
            sender.process.send_signal(signal.SIGTERM)
            sender.end(check=False)
        for user in users:
            eventually(lambda: len(m.raw(user)) >= 2, 30, f"both mails for {user}")
        twice = sum(len(m.raw(user)) - 2 for user in users)
        print(f"    sent {sent}; {cut} connections cut, {twice} mails came twice")
        assert int(cut) > 3 and twice <= 6, (cut, twice)


def test_taking_mails():
    """What somebody waits for comes first, the rest in order; what came back in front of the place is found again; and
    senders look at each mail a few times, not at all that wait for each that they send."""
    users = ["ann@customer.test"]

    def made(first, last, more="false, now()"):
        m.rc.psql(f"""insert into outbox (kind, urgent, next_at, envelope_from, envelope_to, message_id, body)
            select 'report', {more}, 'gateway@example.test', 'ann@customer.test', 'mail-' || n, convert_to(
                E'From: <gateway@example.test>\\r\\nMessage-ID: <mail-' || n || E'>\\r\\n\\r\\ntext\\r\\n', 'UTF8')
              from generate_series({first}, {last}) n order by n""")

    def taken(after):
        return m.rc.psql("select string_agg(substr(message_id, 6), ' ') from outbox_take(4, 100000, "
                         f"coalesce((select next_at from outbox where message_id = 'mail-{after}'), '-infinity'), "
                         f"coalesce((select id from outbox where message_id = 'mail-{after}'), 0))")

    with Mails(users, mail_connections="3") as m:
        made(1, 3)
        made(4, 5, "true, now()")
        made(6, 9)
        made(10, 10, "false, now() + interval '1 hour'")
        made(11, 11, "false, now() - interval '1 hour'")
        assert (taken(0), taken(2), taken(8)) == ("4 5 11 1", "4 5 3 6", "4 5 9"), (taken(0), taken(2), taken(8))
        made(12, 2000)
        follower = m.start("send", "--follow")
        try:
            sent = lambda: int(m.rc.psql("set enable_indexscan = off; set enable_bitmapscan = off; "
                                         "select count(*) from outbox where state = 'sent'"))
            eventually(lambda: sent() > 500, 60, "some to be sent")
            made(2001, 2001, "false, now() - interval '1 hour'")  # far in front of where they are
            m.rc.psql("update outbox set next_at = now() where message_id = 'mail-10'")
            eventually(lambda: sent() == 2001, 120, "all to be sent")
        finally:
            follower.process.send_signal(signal.SIGTERM)
            follower.end()
        looks = int(m.rc.psql("select idx_tup_read from pg_stat_user_indexes where indexrelname = 'outbox_waiting'"))
        print(f"    {looks} entries of the index looked at for 2,001 mails")
        assert looks < 20 * 2001, looks


if __name__ == "__main__":
    main()
