"""panel: what may be seen and done over HTTP, and by whom. Catches a page of one customer that shows or changes
something of another, a form that is taken from elsewhere, text that becomes HTML, a session that somebody else chose,
passwords that can be tried for ever, and a panel that does not survive hostile requests or a database that is away.
"""
import base64
import hashlib
import hmac
import http.client
import re
import socket
import struct
import time

from harness import Failed, PostgreSQL, Rollcall, eventually, main
from panel import PASSWORD, Forms, Panel, mail_token


def fill(rc):
    for customer, domain in (("Clinic", "clinic.example"), ("School", "school.example")):
        rc.cli("customer", "add", customer)
        rc.cli("domain", "add", domain, "--customer", customer, "--next-hop", "[127.0.0.1]:25")
        rc.cli("user", "add", f"alice@{domain}", "--alias", f"a.smith@{domain}", "--name", f"Alice of {customer}")


def worked_out(client, path):
    """The page of a list, once nothing is being done to it."""
    eventually(lambda: 'http-equiv="refresh"' not in client.get(path).text, 30, "the list")
    return client.get(path)


def test_import_and_paste():
    with Rollcall() as rc, Panel(rc) as panel:
        fill(rc)
        panel.account("root")
        c = panel.client()
        assert "Overview" in c.sign_in("root").text
        c.get("/import")
        lines = b"address,name\ncarol@clinic.example,Carol\nnot an address,\ndave@nowhere.example,Dave\nerin@school.example,\n"
        path = c.upload("/import", lines, mode="add", domain="", follow=False).location
        page = worked_out(c, path)
        assert "+</b>" not in page.text and "carol@clinic.example" in page.text and "erin@school.example" in page.text
        assert "not an address" in page.text and "dave@nowhere.example" in page.text, page.text
        assert rc.psql("select count(*) from roll where address = 'carol@clinic.example'") == "0", "a preview changes nothing"
        csv = c.get(path + "/problems.csv")
        assert csv.text.startswith("line,text,reason\r\n3,") and csv.text.count("\r\n") == 3, csv.text
        c.post(path + "/apply", follow=False)
        page = worked_out(c, path)
        assert "The list is on the roll" in page.text, page.text
        assert rc.psql("select count(*) from roll where address ~ '^(carol|erin)@'") == "2"
        # the same by pasting, whatever the separators; replacing takes the others away, or is held
        c.get("/paste")
        path = c.post("/paste", text="Carol <carol@clinic.example>; zoe@clinic.example", mode="replace", domain="1",
                      follow=False).location
        page = worked_out(c, path)
        assert "zoe@clinic.example" in page.text and "alice@clinic.example" in page.text
        c.post(path + "/drop")
        assert c.get(path).status == 404
        assert c.post("/paste", text="   ", mode="add").status == 422
        assert c.upload("/import", b"", name="", mode="add").status in (404, 422)


def test_changes():
    with Rollcall() as rc, Panel(rc) as panel:
        fill(rc)
        panel.account("root")
        c = panel.client()
        c.sign_in("root")
        c.get("/domains/1/users/add")
        page = c.post("/domains/1/users/add", address="bob", name="Bob <b>", aliases="b1@clinic.example\nb2@clinic.example")
        assert "bob@clinic.example" in page.text and "Bob &lt;b&gt;" in page.text and "3 added" in page.text, page.text
        number = rc.psql("select max(id) from changeset")
        assert "b1@clinic.example" in c.get(f"/changes/{number}").text
        assert "remove 3" in c.get(f"/changes/{number}?undo=yes").text
        assert "3 removed" in c.post(f"/changes/{number}/undo").text
        assert rc.psql("select count(*) from roll where address = 'bob@clinic.example'") == "0"
        assert c.post(f"/changes/{number}/undo").status == 422
        # held: approve
        rc.cli("user", "add", *[f"u{i}@clinic.example" for i in range(8)])
        rc.cli("user", "import", "-", "--replace", "--domain", "clinic.example", input="alice@clinic.example\n", check=1)
        number = rc.psql("select max(id) from changeset where state = 'held'")
        page = c.get(f"/changes/{number}")
        assert "Approve" in page.text and "u3@clinic.example" in page.text, page.text
        assert "removed" in c.post(f"/changes/{number}/approve").text
        assert rc.psql("select count(*) from roll where address ~ '^u[0-9]'") == "0"
        # one user
        rid = rc.psql("select id from recipient where local_part = 'alice' and domain_id = 1")
        c.get(f"/recipients/{rid}")
        assert "disabled" in c.post(f"/recipients/{rid}/state", do="disable", address="alice@clinic.example").text
        assert "550" in c.get("/explain?address=alice@clinic.example").text
        # what rules say of a sender
        rc.cli("sender", "block", "*.bad.example", "--domain", "clinic.example")
        page = c.get("/explain?address=bob@clinic.example&sender=spam@very.bad.example").text
        assert "*.bad.example" in page and "nobody is refused" in page, page
        assert "no rule" in c.get("/explain?address=bob@clinic.example&sender=good@good.example").text
        for wrong in ("no-address", "a@-b"):
            page = c.get(f"/explain?address=bob@clinic.example&sender={wrong}")
            assert page.status == 422 and f'value="{wrong}"' in page.text, page.text
        page = c.post(f"/recipients/{rid}", name="Alice B", aliases="new.alias@clinic.example")
        assert "Alice B" in page.text and "new.alias@clinic.example" in page.text
        page = c.post(f"/recipients/{rid}", name="Alice B", aliases="x@nowhere.example no-address")
        assert page.status == 422 and "no-address" in page.text, page.text
        # settings, relay check after its preflight
        c.get("/domains/1/settings")
        assert "[10.1.1.1]:26" in c.post("/domains/1/settings", next_hop="[10.1.1.1]:26", delimiter="+", threshold="5",
                                         stale_limit="default", source_stale_limit="default", guard_percent="30").text
        page = c.post("/domains/1/settings", next_hop="a b", delimiter="+", threshold="x")
        assert page.status == 422 and 'value="a b"' in page.text, page.text
        assert "Everybody else" in c.get("/domains/1/relay-check?check=off").text
        assert "shadow: either" in c.post("/domains/1/relay-check", check="either", how="shadow").text
        c.post("/domains/1/relay-check", check="smtp", how="set")
        assert rc.psql("select relay_check || coalesce(shadow::text, '') from domain where id = 1") == "smtp"


def test_held_observations():
    """Whose observed users wait is said on the overview and the domain's page, to those whose domain it is."""
    with Rollcall() as rc, Panel(rc) as panel:
        fill(rc)
        panel.account("root")
        panel.account("clinic", "Clinic")
        panel.account("school", "School")
        rc.cli("domain", "set", "clinic.example", "--relay-check", "smtp")
        who = {name: panel.client() for name in ("root", "clinic", "school")}
        pages = {name: client.sign_in(name).text for name, client in who.items()}
        assert not [name for name, page in pages.items() if "held back" in page]
        page = who["root"].get("/domains/1").text
        assert "Observed since" in page and "held back" not in page and "accepts everything" not in page, page
        assert "Observed since" not in who["root"].get("/domains/2").text, "it is not observed"
        rc.psql("update domain_observation set accepts_everything = true, held = 'held: its server <b>accepts</b> everything'"
                " where domain_id = 1")
        for name in ("root", "clinic"):
            page = who[name].get("/").text
            assert "of one domain are held back" in page and "its server &lt;b&gt;accepts&lt;/b&gt; everything" in page, page
            page = who[name].get("/domains/1").text
            assert "are held back" in page and "accepts&lt;/b&gt;" in page and "addresses that nobody has" in page, page
        assert "held" not in who["school"].get("/").text
        assert who["school"].get("/domains/1").status == 404
        rc.cli("domain", "set", "clinic.example", "--relay-check", "panel", "--loaded")
        assert "held back" not in who["root"].get("/").text and "held back" not in who["root"].get("/domains/1").text


def crawl(client, start="/"):
    """Every page that its links lead to."""
    seen, todo = {}, [start]
    while todo:
        path = todo.pop()
        if path in seen or len(seen) > 400:
            continue
        answer = client.follow(client.get(path))
        seen[path] = answer
        assert answer.status < 500, (path, answer.status)
        todo += [link.split("#")[0] for link in Forms(answer.text).links if link.split("#")[0] not in seen]
    return seen


def test_tenants():
    """The administrator of one customer tries every path and number of another."""
    with Rollcall() as rc, Panel(rc) as panel:
        fill(rc)
        rc.cli("user", "import", "-", "--replace", "--domain", "clinic.example", input="z@clinic.example\n", check=False)
        panel.account("root")
        panel.account("anna", "Clinic")
        panel.account("sam", "School")
        root, sam = panel.client(), panel.client()
        root.sign_in("root")
        sam.sign_in("sam")
        everything = crawl(root)
        mine = crawl(sam)
        assert len(everything) > 25 and len(mine) > 8, (len(everything), len(mine))
        own = {action for answer in mine.values() for _, action, _ in Forms(answer.text).forms}
        for path, answer in mine.items():
            for word in ("clinic.example", "Clinic", "anna"):
                assert word not in answer.text, f"{word} at {path}"
        forms = set()
        for path, seen in everything.items():
            answer = sam.follow(sam.get(path))
            assert answer.status in (200, 403, 404), (path, answer.status)
            for word in ("clinic.example", "Alice of Clinic", "anna"):
                assert word not in answer.text.replace("address=alice@clinic.example", "") or path.startswith("/explain"), (
                    f"{word} at {path}")
            forms |= {action for method, action, _ in Forms(seen.text).forms if method == "post" and action not in (
                "/sign-out", "/sign-out/everywhere")}
        before = rc.psql("select (select md5(string_agg(r::text, '' order by id)) from recipient r where domain_id = 1),"
                         " (select md5(string_agg(d::text, '' order by id)) from domain d where id = 1),"
                         " (select count(*) from account), (select string_agg(login || state || password, ',') from account"
                         " where login <> 'sam'), (select string_agg(name, ',') from customer),"
                         " (select string_agg(id || state::text, ',' order by id) from changeset)")
        tried = 0
        sam.get("/me")
        for action in sorted(forms - own):
            answer = sam.post(action, follow=False, name="Stolen", do="remove", address="alice@clinic.example",
                              confirm="clinic.example", with_users="yes", check="off", how="set", aliases="",
                              relay_check="off", customer="Clinic")
            assert answer.status in (403, 404, 422), (action, answer.status)
            tried += 1
        assert tried > 8, tried
        # the next hop of one's own domain is the operator's
        sam.post("/domains/2/settings", next_hop="[6.6.6.6]:25", delimiter="+", threshold="2", stale_limit="default",
                 source_stale_limit="default", guard_percent="default", loaded="yes")
        assert "6.6.6.6" not in rc.psql("select next_hop from domain where id = 2")
        after = rc.psql("select (select md5(string_agg(r::text, '' order by id)) from recipient r where domain_id = 1),"
                        " (select md5(string_agg(d::text, '' order by id)) from domain d where id = 1),"
                        " (select count(*) from account), (select string_agg(login || state || password, ',') from account"
                        " where login <> 'sam'), (select string_agg(name, ',') from customer),"
                        " (select string_agg(id || state::text, ',' order by id) from changeset where customer_id = 1"
                        "  or customer_id is null or id <= (select count(*) from changeset))")
        assert before.split("|")[:5] == after.split("|")[:5], (before, after)


def test_rows_without_a_handler():
    """What a handler could show that forgot to ask: the role itself, without and with a customer."""
    with Rollcall() as rc, Panel(rc):
        fill(rc)
        tables = ("customer", "domain", "users", "recipient", "recipient_source", "changeset", "change", "audit")

        def counts(customer):
            sets = f"set role rollcall_panel; set rollcall.customer = '{customer}'; "
            return [int(rc.psql(sets + f"select count(*) from {t}").splitlines()[-1]) for t in tables]
        assert counts("") == [0] * len(tables), "without a session nothing is there"
        both, one = counts("0"), counts("2")
        assert all(0 < a < b for a, b in zip(one[:7], both[:7])), (one, both)
        sets = "set role rollcall_panel; set rollcall.customer = '2'; "
        assert rc.psql(sets + "select string_agg(name, ',') from domain").splitlines()[-1] == "school.example"
        for statement in ("delete from recipient_source; select 1",
                          "update users set name = 'x'; select 1"):
            rc.psql(f"begin; {sets}{statement}; commit", check=False)
        assert rc.psql("select count(*) from users where name = 'Alice of Clinic'") == "1"
        try:
            rc.psql(sets + "select password from account")
            raise AssertionError("the panel's role reads hashes of passwords")
        except Failed as error:
            assert "permission denied" in error.err, error.err


def totp(secret, step):
    digest = hmac.new(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7fffffff) % 1000000:06}"


def test_signing_in():
    with Rollcall() as rc, Panel(rc) as panel:
        fill(rc)
        shown = rc.cli("account", "add", "root", "--operator")
        given = re.search(r"password: (\S+)", shown)[1]
        c = panel.client()
        c.get("/sign-in")
        before = c.cookies["rollcall"]
        page = c.post("/sign-in", login="root", password=given)
        assert c.cookies["rollcall"] != before, "a token from before is worth nothing"
        assert "Change your password" in page.text and c.get("/customers").location == "/password"
        assert c.post("/password", password=given, new_password="short", new_password_again="short").status == 422
        assert c.post("/password", password="wrong", new_password=PASSWORD, new_password_again=PASSWORD).status == 422
        assert "Overview" in c.post("/password", password=given, new_password=PASSWORD, new_password_again=PASSWORD).text
        # whoever has the old cookie is nobody, and one that was made up too
        for cookie in (before, "A" * 43, "x", "'; drop table session; --"):
            other = panel.client()
            other.cookies["rollcall"] = cookie
            assert other.get("/customers").location == "/sign-in"
        # second factor
        page = c.get("/me/second")
        secret = re.search(r"<code>([A-Z2-7]{32})</code>", page.text)[1]
        sealed = re.search(r'name="sealed" value="([0-9a-f]+)"', page.text)[1]
        assert c.post("/me/second", sealed=sealed, password=PASSWORD, code="000000").status in (200, 422)
        step = int(time.time()) // 30
        page = c.post("/me/second", sealed=sealed, password=PASSWORD, code=totp(secret, step))
        codes = re.findall(r"<code>([a-z2-9]{4}-[a-z2-9]{4}-[a-z2-9]{4})</code>", page.text)
        assert len(codes) == 8, page.text
        assert secret not in rc.psql("select second_factor, recovery from account"), "the secret is sealed"
        other = panel.client()
        page = other.sign_in("root")
        assert "Second factor" in page.text and other.get("/customers").location == "/sign-in/code"
        assert other.post("/sign-in/code", code=totp(secret, step)).status == 422, "a code works once"
        assert "Overview" in other.post("/sign-in/code", code=totp(secret, step + 1)).text
        third = panel.client()
        third.sign_in("root")
        assert "Overview" in third.post("/sign-in/code", code=codes[3].upper()).text
        fourth = panel.client()
        fourth.sign_in("root")
        assert fourth.post("/sign-in/code", code=codes[3]).status == 422, "a recovery code works once"
        # out, everywhere, and by somebody else
        other.get("/me")
        other.post("/sign-out/everywhere")
        for client in (c, other, third):
            assert client.get("/customers").location == "/sign-in"
        panel.account("anna", "Clinic")
        anna = panel.client()
        assert "Overview" in anna.sign_in("anna").text
        rc.cli("account", "disable", "anna")
        assert anna.get("/domains").location == "/sign-in"
        assert "do not fit" in panel.client().sign_in("anna").text
        # nothing secret in the log
        text = panel.log.read_text()
        assert PASSWORD not in text and given not in text and secret not in text and c.cookies["rollcall"] not in text


def test_brute_force():
    with Rollcall() as rc, Panel(rc) as panel:
        panel.account("root")
        c = panel.client()
        answers = [re.sub(r'value="[^"]*"|href="[^"]*"', "", c.sign_in(login, "wrong").text)
                   for login in ("root", "nobody", "root'--")]
        assert answers[0] == answers[1] == answers[2], "known and unknown are answered alike"
        page = [c.sign_in("root", "wrong").text for _ in range(6)][-1]
        assert "Too many attempts" in page
        assert "Too many attempts" in c.sign_in("root", PASSWORD).text, "not even with the right one"
        assert len(panel.logged("sign-in-failed")) >= 5, "for fail2ban"
        rc.psql("update sign_in_attempt set blocked_until = now()")
        assert "Overview" in c.sign_in("root").text, "and later it goes on"


def too_long(send):
    """Refused for its length. The connection may end while the rest is still being sent, and the answer be lost with it:
    then it is asked again."""
    for _ in range(20):
        try:
            return send().status == 413
        except (ConnectionError, http.client.HTTPException):
            pass
    return False


def test_hostile_requests():
    with Rollcall() as rc, Panel(rc, panel_upload_most="1M") as panel:
        fill(rc)
        panel.account("root")
        c = panel.client()
        answer = c.get("/sign-in")
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        for header in ("X-Content-Type-Options", "Referrer-Policy", "X-Frame-Options"):
            assert answer.headers[header]
        c.sign_in("root")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert c.post("/customers", token="0" * 32, name="Evil").status == 403
        assert c.post("/customers", token="", name="Evil").status == 403
        stolen = c.last
        d = panel.client()
        d.get("/sign-in")
        assert d.post("/sign-in", token=stolen, login="root", password=PASSWORD).status == 403, "another browser's token"
        statuses = {
            404: ["/nothing", "/static/../main.c", "/static/%2e%2e%2fmain.c", "/domains/999", "/domains/x", "/domains/-1",
                  "/domains/1/users/none", "/lists/" + "0" * 32, "/recipients/99999999999999999999", "//", "/customers/"],
            400: ["/domains/%ff", "/domains/%00", "/domains/%zz", "/users?q=%ff", "/?a=%"],
        }
        for status, paths in statuses.items():
            for path in paths:
                assert c.get(path).status in ({404, 400} if "%2f" in path else {status}), (path, c.get(path).status)
        assert c.ask("POST", "/audit", "", form).status == 405 and c.ask("PUT", "/", "", form).status == 405
        assert c.ask("POST", "/customers", "{}", {"Content-Type": "application/json"}).status == 415
        assert too_long(lambda: c.ask("POST", "/customers", "&".join(f"f{i}=1" for i in range(100000)), form))
        assert c.ask("POST", "/customers", "token=%ff", form).status == 400
        assert c.ask("POST", "/import", b"--xx\r\n", {"Content-Type": "multipart/form-data; boundary=xx"}).status == 400
        assert too_long(lambda: c.upload("/import", b"x" * 1200000, mode="add"))
        assert c.upload("/import", b"a@clinic.example\n", token="0" * 32, mode="add").status == 403
        eventually(lambda: not list(panel.spool.iterdir()), what="nothing of these is kept")
        for raw in (b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 200000, b"\x00\xff" * 100, b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
                    b"POST /customers HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
                    b"POST /import HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n--x"):
            with socket.create_connection(("127.0.0.1", panel.port), 5) as s:
                s.settimeout(2)
                try:
                    s.sendall(raw)
                    s.recv(100)
                except OSError:
                    pass
        assert c.get("/").status == 200, "it goes on"
        # over https the cookie is bound to the name
    with Rollcall() as rc, Panel(rc, panel_url="https://panel.example.com") as panel:
        headers = panel.client().get("/sign-in").headers
        cookie = headers["Set-Cookie"]
        assert "max-age=" in headers["Strict-Transport-Security"] and "Server" not in headers
        assert cookie.startswith("__Host-rollcall=") and all(w in cookie for w in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"))


EVIL = ['<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "'+alert(1)+'", "{{name}} {token}", "</textarea><b>"]


def test_text_stays_text():
    with Rollcall() as rc, Panel(rc) as panel:
        fill(rc)
        panel.account("root")
        c = panel.client()
        c.sign_in("root")
        for evil in EVIL:
            c.get("/customers")
            c.post("/customers", name=evil)
            c.get("/domains/1/users/add")
            c.post("/domains/1/users/add", address=f"e{EVIL.index(evil)}", name=evil, aliases=evil)
            c.post("/domains/1/users/add", address=f"f{EVIL.index(evil)}", name=evil, aliases="")
            c.post("/accounts", login=evil.replace(" ", "_"), customer="")
            c.post("/domains/add", name=evil, customer=evil, next_hop=evil, relay_check=evil)
            c.post("/me/taste", time_zone=evil)
            c.post("/paste", text=evil + " <x@clinic.example>", mode=evil)
            quoted = evil.replace("%", "%25").replace("<", "%3C").replace('"', "%22").replace(" ", "+").replace("&", "%26")
            for path in ("/explain?address=", "/domains?q=", "/domains/1/users?q=", "/changes?state=", "/domains/1/relay-check?check="):
                answer = c.follow(c.get(path + quoted))
                assert answer.status in (200, 422) and (evil.startswith("{") or evil not in answer.text), (path, evil)
        for path, answer in crawl(c).items():
            for evil in EVIL[:2] + EVIL[4:]:
                assert evil not in answer.text, (path, evil)


QUARANTINED = """
insert into quarantine_message (gateway, file, received_at, sender, size, digest, category, reason, score, from_text,
    from_address, subject, headers, preview)
  select 'mx1', '00/' || lpad(to_hex(i), 32, '0'), now() - i * interval '1 minute', 'spam@bad.example', 1000,
    decode(repeat('00', 32), 'hex'), 'spam', 'GTUBE', 15, 'Spammer <spam@bad.example>', 'spam@bad.example',
    'Offer ' || i || ' <script>alert(1)</script>', 'Subject: x', 'Buy <b>now</b>' from generate_series(1, 120) i;
insert into quarantine_recipient (message_id, customer_id, domain_id, user_id, address, local_part, category, received_at)
  select m.id, d.customer_id, d.id, r.user_id, 'alice@' || d.name, 'alice', 'spam', m.received_at
    from quarantine_message m join domain d on d.id = 1 + (m.id % 2)
    join recipient r on r.domain_id = d.id and r.local_part = 'alice';
"""


def test_users():
    """A user asks for a password, gets one, and minds the own messages; nobody else's."""
    with Rollcall() as rc, Panel(rc) as panel:
        fill(rc)
        rc.psql(QUARANTINED)
        c = panel.client()
        assert "alice@clinic.example" in c.get("/request-password?address=alice@clinic.example").text
        known = c.post("/request-password", address="alice@clinic.example", step="registration").text
        nobody = c.post("/request-password", address="nobody@clinic.example", step="registration").text
        assert known.replace("alice", "nobody") == nobody, "it does not tell who exists"
        assert rc.psql("select count(*) from mail_request where kind = 'confirm'") == "2"
        assert c.post("/request-password", address="no address", step="password").status == 422
        user = rc.psql("select user_id from recipient where local_part = 'alice' and domain_id = 1")
        tokens = {purpose: mail_token(rc, purpose, user) for purpose in ("confirm", "password")}
        for _ in range(2):  # whatever follows links
            assert c.get(f"/confirm?t={tokens['confirm']}").status == 200
        assert rc.psql("select count(*) from user_password") == "0", "a GET confirms nothing"
        assert "confirmed" in c.post("/confirm", t=tokens["confirm"]).text
        for bad in (tokens["confirm"], "x", "A" * 43):
            assert c.get(f"/confirm?t={bad}").status == 410
        c.get(f"/set-password?t={tokens['password']}")
        assert c.post("/set-password", t=tokens["password"], new_password="short", new_password_again="short").status == 422
        for weak in ("Sommer 2024!", "Alice.2024!", "1qaz2wsx3edc"):
            page = c.post("/set-password", t=tokens["password"], new_password=weak, new_password_again=weak)
            assert page.status == 422 and "first that are tried" in page.text, weak
        page = c.post("/set-password", t=tokens["password"], new_password=PASSWORD, new_password_again=PASSWORD)
        assert "Your password is set" in page.text, page.text
        assert c.post("/set-password", t=tokens["password"], new_password=PASSWORD, new_password_again=PASSWORD).status == 410
        assert "do not fit" in c.sign_in("alice@clinic.example", "wrong").text
        page = c.sign_in("a.smith@clinic.example")  # by an alias
        assert "Quarantine" in page.text and "Offer" in page.text and "<script>alert" not in page.text
        assert c.get("/domains").status == 403 and c.get("/customers").status == 403
        mine = set(re.findall(r'href="/quarantine/(\d+)"', page.text))
        assert len(mine) == 50 and "Next page" in page.text
        other = rc.psql(f"select id from quarantine_recipient where user_id <> {user} order by id desc limit 1")
        assert c.get(f"/quarantine/{other}").status == 404
        first, second, third = sorted(mine, key=int)[:3]
        assert "Buy &lt;b&gt;now" in c.get(f"/quarantine/{first}").text
        c.post("/quarantine", do="release", message=first)
        c.post("/quarantine", do="block", message=second)
        c.post("/quarantine", do="delete", message=other)
        assert rc.psql("select action from quarantine_request") == "release"
        assert rc.psql(f"select state from quarantine_recipient where id = {second}") == "deleted"
        assert rc.psql(f"select state from quarantine_recipient where id = {other}") == "held", "somebody else's"
        assert rc.psql("select user_id, action, pattern from sender_rule") == f"{user}|block|spam@bad.example"
        c.get("/senders")
        assert "*.good.example" in c.post("/senders", pattern="*.good.example", action="allow").text
        assert c.post("/senders", pattern="a b", action="allow").status == 422
        panel.account("sam", "School")
        sam = panel.client()
        sam.sign_in("sam")
        page = sam.get("/quarantine")
        assert "alice@school.example" in page.text and "clinic.example" not in page.text
        assert "good.example" not in sam.get("/senders").text
        c.get("/password")
        assert "changed" in c.post("/password", password=PASSWORD, new_password=PASSWORD + "2",
                                   new_password_again=PASSWORD + "2").text
        assert "Offer" in panel.client().sign_in("alice@clinic.example", PASSWORD + "2").text


def test_outage():
    with PostgreSQL() as pg, Rollcall(pg) as rc, Panel(rc) as panel:
        fill(rc)
        panel.account("root")
        c = panel.client()
        c.sign_in("root")
        pg.stop("immediate")
        answer = c.get("/domains")
        assert answer.status == 503 and "cannot be reached" in answer.text and answer.headers["Retry-After"]
        assert panel.client().get("/sign-in").status == 200
        pg.start()
        eventually(lambda: c.get("/domains").status == 200, 10, "it recovers by itself")


if __name__ == "__main__":
    main()
