"""panel_axe: axe-core finds no violation of WCAG 2.2 AA on any page, on a desk and on a telephone, light and dark. The
pages are those of panel/route.c: one that is not reached fails the test.
"""
import pathlib
import re

from browser import Browser
from harness import TREE, main
from panel import mail_token
from test_panel_browser import CHECKS
from test_links import LIST, SHOW, UNSUBSCRIBE, sign
from test_panel_security import ROUTES, ZEBRA, numbers_of, two_customers

AXE = re.search(r"^axe_version=(\S+)", (TREE / "etc/install-deps").read_text(), re.M)[1]
AXE = pathlib.Path(f"/var/cache/rollcall-test/axe-core-{AXE}.js").read_text()
NO_PAGES = {"/static/*", "/brand/*", "/lists/*/problems.csv", "/quarantine/*/html"}  # files, and a stranger's in its sandbox
MODES = [(phone, dark) for phone in (False, True) for dark in (False, True)]
LOOK = """
const options = {iframes: false, resultTypes: ["violations"],
  runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]};
return axe.run(document, options).then(found => found.violations.map(v => `${v.id} (${v.impact}): ` +
  v.nodes.slice(0, 3).map(n => `${n.target} ${n.html.slice(0, 160)} ${(n.any[0] || n.all[0] || n.none[0] || {}).message || ""}`).join(" | ")));
"""


class Watcher:
    """A browser that says what is wrong with each page it is shown."""

    def __init__(self, browser, panel):
        self.b, self.panel, self.wrong, self.seen = browser, panel, {}, 0
        browser.cdp("Page.addScriptToEvaluateOnNewDocument", source=AXE)

    def sign_in(self, client):
        self.b.go(self.panel.url + "/static/mark.svg")
        self.b.call("DELETE", "/cookie")
        for name, value in (client.cookies.items() if client else ()):
            self.b.call("POST", "/cookie", {"cookie": {"name": name, "value": value, "path": "/", "httpOnly": True}})

    def look(self, path):
        self.b.go(self.panel.url + path)
        self.here(path)

    def here(self, name):
        for phone, dark in MODES:
            self.b.emulate(phone, dark)
            found = self.b.run(LOOK) + [f"own check: {said}" for said in self.b.run(CHECKS).split("; ") if said]
            self.seen += 1
            for one in found:
                self.wrong.setdefault(one, []).append(f"{name}{' phone' if phone else ''}{' dark' if dark else ''}")


def shown(client, path, words):
    """What the pattern stands for where there is something: the first that opens a page."""
    for one in words:
        for other in words if path.count("*") == 2 else ("",):
            tried = path.replace("*", one, 1).replace("*", other)
            answer = client.get(tried)
            if answer.status == 200 and (answer.headers["Content-Type"] or "").startswith("text/html"):
                return tried
    raise AssertionError(f"nothing opens {path}: {words}")


def test_no_barrier_on_any_page():
    with two_customers() as (rc, panel, clients, list_name), Browser() as b:
        w = Watcher(b, panel)
        numbers = numbers_of(rc, ZEBRA) + [list_name]
        waiting = rc.psql("select id from quarantine_recipient where customer_id < 5000000 order by id desc offset 1 limit 1")  # its gateway does not answer: the page that waits
        clients["zebra"].get(f"/quarantine/{waiting}")
        clients["zebra"].post(f"/quarantine/{waiting}/raw", follow=False)
        alice, message = rc.psql("select user_id, max(id) from quarantine_recipient group by 1 limit 1").split("|")
        tokens = {"/confirm": mail_token(rc, "confirm", alice), "/set-password": mail_token(rc, "password", alice),
                  "/message": sign(panel, SHOW, message, alice), "/unsubscribe": sign(panel, UNSUBSCRIBE, 0, alice)}
        rc.psql("insert into gateway (name, started_at, answers, refused, deferred) values ('mx1', now(), 5, 1, 1)")
        pending = panel.client()
        rc.psql("update account set second_factor = '\\x00' where login = 'school-stripes'")
        pending.sign_in("school-stripes")
        for role, client in (("", None), ("pending", pending), ("user", clients["user"]), ("admin", clients["zebra"]),
                             ("operator", clients["operator"])):
            w.sign_in(client)
            for method, path, who, _ in ROUTES:
                if method != "GET" or path in NO_PAGES or (path == "/sign-in/code") != (role == "pending"):
                    continue
                mine = {"": who == "WHO_NOBODY", "pending": True, "user": who in ("WHO_ANY", "WHO_USER"),
                        "admin": who in ("WHO_ANY", "WHO_MANAGES"), "operator": who == "WHO_OPERATOR" or path in ("/", "/domains", "/domains/*")}
                if not mine[role]:
                    continue
                if path in tokens:
                    w.look(f"{path}?t={tokens[path]}")
                elif role == "user" and "*" in path:
                    w.look(path.replace("*", rc.psql("select max(id) from quarantine_recipient")))
                else:
                    w.look(shown(client, path, numbers) if "*" in path else path)
        # what goes wrong, lists of a report's link, and empty pages
        w.sign_in(None)
        for path in ("/nothing", f"/message?t={sign(panel, LIST, 0, alice)}", "/message?t=x", "/confirm?t=x", "/static/nothing"):
            w.look(path)
        w.look("/sign-in")
        b.type("login", "nobody")
        b.type("password", "wrong")
        b.press("Sign in")
        w.here("/sign-in, complained")
        w.sign_in(clients["operator"])
        for path in ("/quarantine?q=nothing-like-this", "/changes?state=held", "/explain?address=alice@zebra.example", "/explain?address=none"):
            w.look(path)
        w.look("/domains/add")
        b.type("name", "no domain!")
        b.press("Add the domain")
        w.here("/domains/add, complained")
        w.sign_in(clients["user"])
        w.look("/domains")
        w.look("/senders")
        b.type("pattern", "no pattern")
        b.press("Allow")
        w.here("/senders, complained")
        assert w.seen > 4 * 55, w.seen
        assert not w.wrong, "\n" + "\n".join(f"{one}\n      at {', '.join(where[:6])}" for one, where in w.wrong.items())


if __name__ == "__main__":
    main()
