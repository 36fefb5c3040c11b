"""panel_browser: the whole story as people live it, in Chromium, with real servers. An operator signs in for the first time, adds
a customer and a domain, connects its directory (slapd), imports a file with bad lines, pastes, undoes a change, switches
the relay check after its preflight; mail comes through Postfix and rspamd; a user opens the link of a report, asks for a
password in two steps out of two mails, releases a message that then arrives, blocks a sender, changes the report's times.
Once on a desk with scripts, once on a dark telephone without any.

Catches a page that does not work without JavaScript, that is wider than a telephone, that a strict policy breaks, that
has fields without labels, a link in a mail that leads nowhere, and steps that each work but not one after the other.
Pictures of the way are left in t/browser/shots.
"""
import contextlib
import email
import email.policy
import pathlib
import re
import time

from browser import Browser
from directories import READER, READER_PASSWORD, Slapd, person
from harness import TREE, eventually, main, smtp
from panel import PASSWORD, Panel
from quarantine import GTUBE, Quarantine, Rspamd, filtering_gateway
from test_ldap import PEOPLE, authority
from test_panel_ldap import follower
from test_report import DAY, Mails, text_of

MODES = {"desk": {}, "phone": {"phone": True, "dark": True, "script": False}}
SHOTS = TREE / "t/browser/shots"

# what a page must have, told in words; run in the page
CHECKS = """
const bad = [];
const wide = document.documentElement.scrollWidth - window.innerWidth;
if (wide > 0) bad.push(`it is ${wide} wider than the window`);
if (document.querySelectorAll("h1").length !== 1) bad.push("it has not one heading of the first order");
if (!document.querySelector("main") || !document.documentElement.lang || !document.title) bad.push("main, lang or title is missing");
document.querySelectorAll("input:not([type=hidden]), select, textarea").forEach(f => {
  if (!(f.labels && f.labels.length) && !f.getAttribute("aria-label")) bad.push(`the field ${f.name} has no label`);
});
document.querySelectorAll("button, a").forEach(e => {
  if (!e.textContent.trim() && !e.getAttribute("aria-label")) bad.push(`${e.outerHTML.slice(0, 60)} has no name`);
});
const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
ids.filter((id, i) => ids.indexOf(id) !== i).forEach(id => bad.push(`the id ${id} is there twice`));
return bad.join("; ");
"""


def check(b, shot=None):
    """The page is as a page must be; a picture of it under that name."""
    wrong = b.run(CHECKS)
    assert not wrong, f"{b.url}: {wrong}"
    if shot:
        b.shot(SHOTS / f"{'phone' if b.phone else 'desk'}-{shot}.png")


def go(b, panel, path, shot=None):
    b.go(panel.url + path)
    check(b, shot)


def operators_story(b, rc, panel, ldap, name):
    password = re.search(r"password: (\S+)", rc.cli("account", "add", name, "--operator"))[1]
    domain = f"{name}.example"
    go(b, panel, "/")
    b.type("login", name)
    b.type("password", "not this one")
    b.press("Sign in")
    assert "do not fit" in b.text() and b.value("login") == name
    b.type("password", password)
    b.press("Sign in")
    b.type("password", password)
    b.type("new_password", PASSWORD)
    b.type("new_password_again", PASSWORD)
    b.press("Change the password")
    assert "Overview" in b.text("h1")
    check(b)
    # a customer, a domain
    go(b, panel, "/customers")
    b.type("name", f"Customer {name}")
    b.press("Add")
    b.press(f"Customer {name}")
    check(b)
    b.press("Add a domain")
    b.type("name", "not a domain!")
    b.type("next_hop", "[127.0.0.1]:25")
    b.press("Add the domain")
    assert b.has("#name[aria-invalid=true]") and b.value("name") == "not a domain!"
    b.type("name", domain)
    b.choose("customer", f"Customer {name}")
    b.press("Add the domain")
    b.press(domain)
    check(b)
    # users: one, a file with bad lines, a paste
    number = re.search(r"/domains/(\d+)", b.url)[1]
    go(b, panel, f"/domains/{number}/users")
    b.press("Add")
    b.type("address", "alice")
    b.type("name", "Alice <Smith>")
    b.type("aliases", f"a.smith@{domain}")
    b.press("Add")
    assert "2 added" in b.text(), b.text()
    assert "Alice <Smith>" in b.text()
    check(b)
    b.press("Import")
    check(b)
    path = rc.dir / f"{name}.csv"
    path.write_text(f"address,name\nbob@{domain},Bob\nnobody at all,\ncarol@{domain},Carol\ndave@elsewhere.test,\n")
    b.type("file", path)
    b.press("Show what would change")
    b.waits_for("This would change")
    assert "nobody at all" in b.text() and f"bob@{domain}" in b.text() and "dave@elsewhere.test" in b.text()
    check(b, "import")
    b.press("Apply")
    b.waits_for("The list is on the roll")
    go(b, panel, f"/paste?domain={number}")
    b.type("text", f"Erin <erin@{domain}>, some words; frank@{domain}")
    b.press("Show what would change")
    b.waits_for("This would change")
    b.press("Apply")
    b.waits_for("The list is on the roll")
    # found, disabled, explained
    go(b, panel, f"/domains/{number}/users")
    b.type("q", "ran")
    b.press("Find")
    assert b.all("tbody th") == [f"frank@{domain}"], b.text("main")
    b.press(f"frank@{domain}")
    check(b)
    b.press("Disable")
    assert "disabled" in b.text("h1")
    b.press("Explain what is answered now")
    assert "550" in b.text("main")
    check(b)
    # the change is undone
    go(b, panel, "/changes", "changes")
    b.follow("tbody th a")
    check(b)
    b.press("What would undoing it do?")
    check(b)
    b.press("Undo it")
    assert "undone" in b.text()
    # reports: what is typed is looked at before it is saved, in a frame that runs nothing
    go(b, panel, f"/reports/domain/{number}")
    b.type("brand_name", "Post of " + name)
    b.click("button[formaction='/reports/look']")
    b.in_frame("iframe[name=look]", lambda: b.waits_for("Post of " + name))
    assert b.url.endswith(f"/reports/domain/{number}")
    b.click("label.tick:has(input[name=days][value=fri])")
    b.press("Save")
    assert "Saved" in b.text() and rc.psql(f"select days from report_setting where domain_id = {number}") == str(1 << 4)
    check(b)
    # the relay check, after its preflight
    go(b, panel, f"/domains/{number}/relay-check")
    b.click("input[value=either]")
    b.press("Show what it would mean")
    assert "customer's server is asked" in b.text()
    check(b, "preflight")
    b.press("Set it")
    assert rc.psql(f"select relay_check from domain where id = {number}") == "either"
    directory_story(b, rc, panel, ldap, name, number)
    go(b, panel, f"/reports/domain/{number}")
    b.click("label.tick:has(input[name=days][value=fri])")
    b.choose("users_choose", "yes")
    check(b, "report-settings")
    b.press("Save")
    go(b, panel, f"/domains/{number}", "domain")
    for path in ("/gateways", "/accounts", "/audit", "/me", "/explain", f"/domains/{number}/settings", "/senders",
                 "/quarantine", "/me/second", "/customers", "/nothing", "/reports", "/ldap", "/outbox", "/jobs",
                 f"/domains/{number}/users"):
        go(b, panel, path, path.strip("/").replace("/", "-").replace(str(number), "n"))
    go(b, panel, "/", "overview")
    b.press("Sign out")
    assert "You are signed out." in b.text()


def directory_story(b, rc, panel, ldap, name, number):
    """Connected, tested, looked at, synchronised: each shows itself until it is done."""
    domain = f"{name}.example"
    go(b, panel, f"/domains/{number}/ldap")
    b.press("Connect a directory")
    b.press("OpenLDAP")
    b.type("name", f"directory-{name}")
    b.type("server", "ldaps://")
    b.type("base", PEOPLE)
    b.type("bind_dn", READER)
    b.type("password", READER_PASSWORD)
    b.type("ca", pathlib.Path(authority().ca).read_text())
    b.press("Save and test")
    assert b.has("[aria-invalid=true]"), b.text("main")[:500]
    assert b.value("base") == PEOPLE and b.value("name") == f"directory-{name}", "what was typed is kept"
    b.type("server", ldap.ldaps)
    b.type("password", READER_PASSWORD)
    check(b, "ldap-form")
    b.press("Save and test")
    b.waits_for("The directory answers", 40)
    assert f"gina@{domain}" in b.text()
    check(b, "ldap-test")
    b.press("Preview all of it")
    b.waits_for("This would change", 40)
    assert rc.psql(f"select count(*) from roll where address = 'gina@{domain}'") == "0", "a preview changes nothing"
    check(b, "ldap-preview")
    b.press("Synchronise now")
    b.waits_for("The roll agrees with the directory", 40)
    check(b)
    assert "2 added" in b.text() or rc.psql(f"select count(*) from roll where address ~ '^(gina|hugo)@{domain}$'") == "2"


# ------------------------------------------------------------------ a user

def offer(gateway, alice, number):
    """A message that the filter catches, from the world."""
    sender = f"shop{number}@bad{number}.example"
    body = (f"From: Shop {number} <{sender}>\nTo: {alice}\nSubject: Offer {number} for you\nMessage-ID: <{number}.{alice}>\n"
            f"MIME-Version: 1.0\nContent-Type: text/html\n\n<h1>Offer {number}</h1><p>{GTUBE}</p>"
            f"<a href='http://bad{number}.example/buy'>Buy</a><img src='http://bad{number}.example/p.gif'>\n")
    assert smtp(gateway.port, alice, sender=sender, body=body).data[0] == 250


def link_in(m, alice, path):
    """The link that begins so in the newest mail of ours to her, once there is one."""
    def found():
        for raw in reversed(m.raw(alice)):
            mail = email.message_from_bytes(raw, policy=email.policy.default)
            if mail["Auto-Submitted"] == "auto-generated":
                links = [url for url in re.findall(r"https?://[^\s<>]+", text_of(mail)) if path in url]
                return links[0] if links else None
    return eventually(found, 30, f"a mail to {alice} with {path}")


def users_story(b, m, panel, gateway, alice, day):
    rc = m.rc
    for number in (1, 2, 3):
        offer(gateway, alice, number)
    eventually(lambda: rc.psql(f"select count(*) from quarantine_recipient where address = '{alice}'") == "3", 30, "in the quarantine")
    rc.psql("update quarantine_recipient set received_at = received_at - interval '2 hours';"
            " update quarantine_message set received_at = received_at - interval '2 hours'")
    m.command("spam", now=int(time.time()) + day * DAY)
    m.command("send")
    # the report's link: looked at, then pressed
    b.go(link_in(m, alice, "/message?t=Ag"))
    check(b, "report-link")
    first = re.search(r"Offer \d", b.text("h1"))[0]
    assert not came_through(m, alice, first), "a GET releases nothing"
    b.press("Release")
    assert "Being released" in b.text(), b.text()
    eventually(lambda: came_through(m, alice, first), 30, "the released message at the customer's server")
    # the password, in two steps
    b.go(link_in(m, alice, "/request-password"))
    check(b, "request-password")
    assert b.value("address") == alice
    b.press("Send the confirmation mail")
    assert "on its way" in b.text()
    check(b)
    m.command("send")
    b.go(link_in(m, alice, "/confirm?t="))
    check(b)
    b.press("Confirm")
    assert "Your registration is confirmed" in b.text()
    check(b, "confirmed")
    b.press("Request password")
    b.type("address", alice)
    b.press("Send the password mail")
    check(b)
    m.command("send")
    b.go(link_in(m, alice, "/set-password?t="))
    b.type("new_password", PASSWORD)
    b.type("new_password_again", PASSWORD + "x")
    b.press("Set the password")
    assert b.has("#new_password_again[aria-invalid=true]")
    check(b, "set-password")
    b.type("new_password", PASSWORD)
    b.type("new_password_again", PASSWORD)
    b.press("Set the password")
    b.type("login", alice)
    b.type("password", PASSWORD)
    b.press("Sign in")
    # the quarantine: one is looked at and released, one's sender is blocked
    assert len(b.all("tbody tr")) == 2, b.text("main")
    check(b, "user-quarantine")
    b.type("q", "Offer")
    b.choose("order", "by subject")
    b.press("Find")
    second, third = [text.strip() for text in b.all("tbody th")]
    assert second < third
    b.press(second)
    assert b.has("iframe[sandbox='']") and "bad" in b.text("main")
    b.click("main details summary")
    frame(b, second)
    check(b, "user-message")
    b.press("Release")
    assert "Being released" in b.text()
    eventually(lambda: came_through(m, alice, second[:7]), 30, "the released message at the customer's server")
    go(b, panel, "/quarantine")
    b.click("tbody input[type=checkbox]")
    b.press("Block sender")
    assert "blocked" in b.text() and not b.has("tbody tr")
    check(b, "user-empty")
    go(b, panel, "/senders", "user-senders")
    assert re.search(r"shop\d@bad\d.example", b.text("tbody")) and "blocked" in b.text("tbody")
    b.type("pattern", "news@friends.example")
    b.press("Allow")
    assert "news@friends.example" in b.text("tbody")
    report_times(b, rc, panel, alice)
    go(b, panel, "/password", "user-password")
    b.press("Überall abmelden")  # in the language of the reports, from now on
    assert "überall abgemeldet" in b.text()


def frame(b, title):
    """What the sandbox shows: the message's words, and nothing that was asked for elsewhere."""
    def look():
        b.waits_for(title[:7])
        assert not b.has("img, script, a, form, style") and "[http://bad" in b.text()
    b.in_frame("iframe", look)


def came_through(m, alice, subject):
    """Whether the message itself, not a report of it, is in her mailbox."""
    return any(text.startswith("Return-Path: <shop") and f"\nSubject: {subject}" in text for text in m.postfix.delivered(alice))


def report_times(b, rc, panel, alice):
    go(b, panel, "/reports/mine")
    b.click("label.tick:has(input[name=hours][value='6'])")
    b.type("zone", "Nowhere/Else")
    b.press("Save")
    assert b.has("#zone[aria-invalid=true]"), b.text("main")
    b.type("zone", "Europe/Berlin")
    b.choose("language", "Deutsch")
    b.press("Save")
    assert "Saved" in b.text(), b.text("main")
    check(b, "user-report")
    local, domain = alice.split("@")
    assert rc.psql("select s.hours || s.zone || s.language from report_setting s join recipient r on r.user_id = s.user_id join domain d"
                   f" on d.id = r.domain_id where r.local_part = '{local}' and d.name = '{domain}'") == f"{1 << 6}Europe/Berlinde"


@contextlib.contextmanager
def world():
    names = list(MODES)
    with contextlib.ExitStack() as stack:
        m = stack.enter_context(Mails(["office@customer.test", *(f"alice@{name}.example" for name in names)]))
        ldap = stack.enter_context(Slapd(authority()))
        ldap.modify("".join(person(f"{uid}-{name}", f"mail: {uid}@{name}.example") for name in names for uid in ("gina", "hugo")))
        panel = stack.enter_context(Panel(m.rc))
        m.rc.set(panel_url=panel.url, secret_key_file=panel.key, link_key_file=panel.link_key)
        stack.enter_context(follower(m.rc))
        q = stack.enter_context(Quarantine(m.rc, release_port=m.postfix.port))
        filter = stack.enter_context(Rspamd())
        gateways = {name: stack.enter_context(filtering_gateway(f"{name}.example", m.postfix, filter, q)) for name in names}
        yield m, panel, ldap, gateways


def test_stories():
    SHOTS.mkdir(parents=True, exist_ok=True)
    with world() as (m, panel, ldap, gateways):
        for day, (name, mode) in enumerate(MODES.items(), 1):
            with Browser(**mode) as b:
                operators_story(b, m.rc, panel, ldap, name)
                users_story(b, m, panel, gateways[name], f"alice@{name}.example", day)


if __name__ == "__main__":
    main()
