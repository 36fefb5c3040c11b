"""browser: the panel as people use it, in Chromium: an operator from the first sign-in to a change that is undone, and
a user who minds the own messages. Once on a desk with scripts, once on a telephone without any. Catches a page that
does not work without JavaScript, that is wider than a telephone, that a strict policy breaks, or that has fields
without labels.
"""
import re

from browser import Browser
from harness import Rollcall, main
from panel import PASSWORD, Panel
from test_panel import QUARANTINED

MODES = {"desk": {}, "phone": {"phone": True, "dark": True, "script": False}}

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


def check(b):
    wrong = b.run(CHECKS)
    assert not wrong, f"{b.url}: {wrong}"


def go(b, panel, path):
    b.go(panel.url + path)
    check(b)


def operators_story(b, rc, panel, name):
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
    check(b)
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
    go(b, panel, "/changes")
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
    # a directory: the form is refused, and has what was typed
    go(b, panel, f"/ldap/add?domain={number}&preset=openldap")
    b.type("server", "ldaps://ldap.example.test")
    b.press("Save")
    assert b.has("#base[aria-invalid=true]") and b.value("server") == "ldaps://ldap.example.test"
    check(b)
    b.type("base", "dc=example,dc=test")
    b.press("Save and test")
    assert "Waiting for its turn" in b.text()
    check(b)
    go(b, panel, "/ldap")
    b.press(domain)
    assert "See how far it is" in b.text()
    check(b)
    # the relay check, after its preflight
    go(b, panel, f"/domains/{number}/relay-check")
    b.click("input[value=either]")
    b.press("Show what it would mean")
    assert "customer's server is asked" in b.text()
    check(b)
    b.press("Set it")
    assert rc.psql(f"select relay_check from domain where id = {number}") == "either"
    for path in ("/gateways", "/accounts", "/audit", "/me", "/explain", f"/domains/{number}/settings", "/senders",
                 "/quarantine", "/me/second", "/nothing", "/reports", "/ldap"):
        go(b, panel, path)
    go(b, panel, "/")
    b.press("Sign out")
    assert "You are signed out." in b.text()


def users_story(b, rc, panel):
    user = rc.psql("select user_id from recipient where local_part = 'alice' and domain_id = 1")
    rc.psql(f"insert into user_password (user_id, confirmed_at, hash, changed_at) select {user}, now(), password, now()"
            " from account limit 1 on conflict (user_id) do nothing")
    go(b, panel, "/request-password?address=alice@clinic.example")
    b.press("Send the confirmation mail")
    assert "on its way" in b.text()
    check(b)
    b.press("Sign in")
    assert b.value("login") == "alice@clinic.example"
    b.type("password", PASSWORD)
    b.press("Sign in")
    check(b)
    offers = len(b.all("tbody tr"))
    b.click("tbody input[type=checkbox]")
    b.press("Delete")
    assert "Deleted." in b.text() and len(b.all("tbody tr")) <= offers
    b.follow("tbody th a")
    check(b)
    b.press("Release")
    assert "Being released" in b.text()
    go(b, panel, "/senders")
    b.type("pattern", "news@friends.example")
    b.press("Allow")
    assert "news@friends.example" in b.text("tbody")
    check(b)
    b.press("Remove")
    go(b, panel, "/reports/mine")
    b.click("label.tick:has(input[name=hours][value='6'])")
    b.press("Save")
    assert "Saved" in b.text() and rc.psql(f"select hours from report_setting where user_id = {user}") == str(1 << 6)
    check(b)
    b.click("label.tick:has(input[name=hours][value='6'])")
    b.press("Save")
    go(b, panel, "/password")


def test_stories():
    with Rollcall() as rc, Panel(rc) as panel:
        rc.cli("customer", "add", "Clinic")
        rc.cli("domain", "add", "clinic.example", "school.example", "--customer", "Clinic")
        rc.cli("user", "add", "alice@clinic.example")
        rc.cli("user", "add", "alice@school.example")
        rc.psql(QUARANTINED)
        for name, mode in MODES.items():
            with Browser(**mode) as b:
                operators_story(b, rc, panel, name)
                users_story(b, rc, panel)


if __name__ == "__main__":
    main()
