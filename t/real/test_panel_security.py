"""panel_security: strangers, other customers and hostile requests at every route that the panel has. The routes are read
from panel/route.c and the tables from PostgreSQL's catalog, so that a new page or table is covered without a line here.

Catches a page or a table that shows something of another customer, a role that gets in where it may not, a form that is
taken without its token, text that becomes HTML, a session that outlives its end or was chosen by somebody else, answers
that tell who exists, passwords and codes that can be tried for ever, and a request that harms the server or leaves no
line in its log.
"""
import contextlib
import html.parser
import http.client
import re
import select
import socket
import time
import urllib.parse

from harness import TREE, Failed, Rollcall, eventually, main, run
from panel import PASSWORD, Forms, Panel
from test_panel import crawl, totp

ROUTES = re.findall(r'\{"(\w+)",\s+"([^"]+)",\s+(WHO_\w+),\s+([A-Z_0-9 |]+),', (TREE / "panel/route.c").read_text())
TEMPLATES = "".join(path.read_text() for path in sorted((TREE / "panel/templates").glob("*.html")))
SOURCES = "".join(path.read_text() for path in sorted((TREE / "panel").glob("page_*.c")))
WHO = {"WHO_USER": {"user"}, "WHO_OPERATOR": {"operator"}, "WHO_MANAGES": {"admin", "operator"},
       "WHO_ANY": {"user", "admin", "operator"}}
FIELDS = set(re.findall(r'(?:form_value|form_has)\([^()]*"([a-z_]+)"\)', SOURCES)) - {"token"}
WORDS = sorted(set(re.findall(r'action="[^"]*\}\}/([a-z-]+)"', TEMPLATES)))  # what stands behind a number
ACTS = sorted(set(re.findall(r'name="do" value="([a-z-]+)"', TEMPLATES)))
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ZEBRA = 1000001  # every number of what is Zebra's is from here on, School's from 5000001 on
assert len(ROUTES) == (TREE / "panel/route.c").read_text().count('{"GET",') + (TREE / "panel/route.c").read_text().count('{"POST",')


def number_from(rc, first):
    """From now on each table counts from another number, so that one number names one thing."""
    names = rc.psql("select sequencename from pg_sequences where schemaname = 'public' order by 1").split()
    rc.psql("; ".join(f"alter sequence {name} restart with {first + 1000 * i}" for i, name in enumerate(names)))


def tables(rc):
    return rc.psql("select c.relname from pg_class c where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace"
                   " order by 1").split()


def fill(rc, panel, name, first):
    """A customer with something in every kind; each text of it has its name in it."""
    number_from(rc, first)
    domain = f"{name.lower()}.example"
    rc.cli("customer", "add", f"{name} stripes")
    rc.cli("domain", "add", domain, "--customer", f"{name} stripes", "--next-hop", "[127.0.0.1]:25", "--relay-check", "panel")
    rc.cli("user", "add", f"alice@{domain}", "--alias", f"a.smith@{domain}", "--name", f"Alice stripes of {name}")
    rc.cli("user", "add", *[f"{name.lower()}{i}@{domain}" for i in range(9)])
    rc.cli("user", "import", "-", "--replace", "--domain", domain, input=f"alice@{domain}\n", check=False)  # held
    rc.set(secret_key_file=panel.key)
    rc.cli("ldap", "set", f"{name}-stripes", "--preset", "openldap", "--server", "ldaps://192.0.2.1", "--base", f"dc={name}",
           "--bind-dn", f"cn={name}", "--domain", domain, "--password", input=f"secret of {name}\n")
    rc.psql(f"""
      with m as (insert into quarantine_message (gateway, file, received_at, sender, size, digest, category, reason, score,
          from_text, from_address, subject, headers, preview, preview_html)
        select 'mx1', substr(md5('{name}' || i), 1, 2) || '/' || md5('{name}' || i), now(), 's@{domain}', 9,
          decode(repeat('00', 32), 'hex'), 'spam', '{name} reason', 5, '{name} stripes', 's@{domain}', '{name} stripes offer',
          'X: {name} stripes', '{name} stripes', '<p>{name} stripes</p>' from generate_series(1, 3) i returning id)
      insert into quarantine_recipient (message_id, customer_id, domain_id, user_id, address, local_part, category, received_at)
        select m.id, d.customer_id, d.id, r.user_id, 'alice@{domain}', 'alice', 'spam', now()
          from m, domain d join recipient r on r.domain_id = d.id and r.local_part = 'alice' where d.name = '{domain}';
      insert into quarantine_request (gateway, recipient_id, action, actor, state)
        select 'mx1', max(id), 'raw', '{name}', 'done' from quarantine_recipient where address = 'alice@{domain}';
      insert into quarantine_raw (request_id, piece, bytes) select max(id), 0, '{name} stripes' from quarantine_request;
      insert into sender_rule (domain_id, action, pattern, actor) select id, 'block', '{domain}', '{name}' from domain
        where name = '{domain}';
      insert into sender_rule (user_id, action, pattern, actor) select user_id, 'allow', '{domain}', '{name}' from recipient r
        join domain d on d.id = r.domain_id where d.name = '{domain}' and r.local_part = 'alice'""")
    login = panel.account(f"{name.lower()}-stripes", f"{name} stripes")
    client = panel.client()
    client.sign_in(login)
    client.get("/paste")
    path = client.post("/paste", text=f"paste@{domain} Stripes", mode="add", follow=False).location
    eventually(lambda: 'http-equiv="refresh"' not in client.get(path).text, 30, "the list")
    source = rc.psql(f"select id from ldap_source where name = '{name}-stripes'")
    client.get(f"/ldap/{source}")
    for act in ACTS:
        client.post(f"/ldap/{source}/ask", do=act, follow=False)
    return client, path.split("/")[-1]


def user_of(rc, panel, name):
    """alice of that customer, signed in."""
    domain = f"{name.lower()}.example"
    rc.psql(f"""insert into user_password (user_id, confirmed_at, hash, changed_at) select r.user_id, now(), a.password, now()
      from recipient r join domain d on d.id = r.domain_id, (select password from account limit 1) a
      where d.name = '{domain}' and r.local_part = 'alice'""")
    client = panel.client()
    assert "Quarantine" in client.sign_in(f"alice@{domain}").text
    return client


@contextlib.contextmanager
def two_customers(**settings):
    with Rollcall() as rc, Panel(rc, **settings) as panel:
        zebra, list_name = fill(rc, panel, "Zebra", ZEBRA)
        school, _ = fill(rc, panel, "School", 5 * ZEBRA)
        panel.account("root")
        root = panel.client()
        root.sign_in("root")
        yield rc, panel, {"admin": school, "user": user_of(rc, panel, "School"), "operator": root, "zebra": zebra}, list_name


def numbers_of(rc, first):
    """Numbers of what lies there, at most two of each table."""
    having = rc.psql("select table_name from information_schema.columns where table_schema = 'public' and column_name = 'id'"
                     " and table_name in (select tablename from pg_tables) order by 1").split()
    return rc.psql(" union all ".join(f"(select id from {table} where id between {first} and {first} + 999999 order by id desc"
                                      " limit 2)" for table in having)).split()


def everything(rc, pattern="", but=("session", "sign_in_attempt", "audit", "mail_request")):
    """A digest of all rows of all tables whose text is like that."""
    return rc.psql(" union all ".join(
        f"select '{t} ' || count(*) || ' ' || coalesce(md5(string_agg(t::text, ' ' order by t::text)), '')"
        f" from {t} t where t::text ~* '{pattern}'" for t in tables(rc) if t not in but))


def zebras(rc):
    return everything(rc, r"zebra|\m[1-4]0\d{5}\M")


def same(rc, before):
    after = zebras(rc)
    assert after == before, set(before.splitlines()) ^ set(after.splitlines())


def fields(number, **more):
    """Something plausible for every field that any page reads, with that number where one is meant."""
    values = {name: "made-up" for name in FIELDS}
    values.update({name: number for name in ("domain", "customer", "message", "user", "for_domain", "before")})
    values.update(address="alice@zebra.example", confirm="zebra.example", with_users="yes", check="off", how="set", mode="replace",
                  relay_check="off", next_hop="[6.6.6.6]:25", do="remove", time_zone="UTC", text="made@zebra.example",
                  aliases="made@zebra.example", login=f"made{number}", name="made-up", pattern="made.example", action="allow")
    return {**values, **more}


def paths_of(path, numbers, words):
    """The route's path with each of the numbers, and each word behind a number."""
    if path.count("*") == 2:
        return [path.replace("*", one, 1).replace("*", other) for one in numbers for other in words]
    return [path.replace("*", one) for one in numbers] if "*" in path else [path]


# ------------------------------------------------------------------ other customers

def test_another_customers_things():
    """Every route, with every number of Zebra's, as an administrator and as a user of School."""
    with two_customers() as (rc, panel, clients, list_name):
        numbers = numbers_of(rc, ZEBRA) + [list_name]
        assert len(numbers) > 15, numbers
        query = urllib.parse.urlencode({name: number for name in FIELDS for number in numbers[:1]})
        before = zebras(rc)
        tried = {"GET": 0, "POST": 0}
        for role in ("admin", "user"):
            client = clients[role]
            for method, path, who, _ in ROUTES:
                if path.startswith(("/static", "/sign-", "/password", "/me/")) or role not in WHO.get(who, {role}):
                    continue  # test_roles has who may not at all
                for one in paths_of(path, numbers, WORDS + numbers[-4:]):
                    tried[method] += 1
                    if method == "GET":
                        answer = client.get(f"{one}?{query}" if one == path else one)
                        assert answer.status in ({403, 404} if "*" in path else {200, 303, 403, 404, 410, 422}), (role, one, answer.status)
                        said = (answer.text + str(answer.headers)).lower()
                        assert "zebra" not in said and "stripes of z" not in said, (role, one, answer.text)
                    elif "*" in path:
                        answer = client.post(one, follow=False, **fields(numbers[0]))
                        assert answer.status in (403, 404), (role, one, answer.status, answer.location)
                        assert "zebra stripes" not in answer.text.lower(), (role, one)
                if method == "POST" and "*" not in path:
                    for number in numbers[:-1]:
                        for act in ACTS if path == "/quarantine" else ACTS[:1]:
                            tried[method] += 1
                            answer = client.post(path, follow=False, **fields(number, do=act))
                            assert answer.status < 500 and "zebra stripes" not in answer.text.lower(), (role, path, answer.status)
            assert client.get("/quarantine").status == 200, "still signed in"
        same(rc, before)
        assert tried["GET"] > 400 and tried["POST"] > 250, tried
        print(f"    {tried}")
        assert any("of school-stripes from" in line for line in panel.logged("request-refused")), "and the log has it"
        # what they have themselves is there: the same numbers open it for who owns them
        own = [n for n in numbers if clients["zebra"].get(f"/domains/{n}").status == 200]
        assert own and "zebra" in clients["zebra"].get(f"/domains/{own[0]}").text


def test_roles():
    """Whom the table does not name does not get in, to any page."""
    with two_customers() as (rc, panel, clients, _):
        nobody = panel.client()
        nobody.get("/sign-in")
        before = everything(rc)
        for method, path, who, _ in ROUTES:
            one = path.replace("*", "1")
            if who == "WHO_NOBODY":
                continue
            answer = nobody.get(one) if method == "GET" else nobody.post(one, follow=False, **fields("1"))
            assert answer.status == 303 and answer.location == "/sign-in" and not answer.body, (path, answer.status)
            for role in {"user", "admin", "operator"} - WHO[who]:
                client = clients[role]
                answer = client.get(one) if method == "GET" else client.post(one, follow=False, **fields("1"))
                assert answer.status == 403, (role, method, path, answer.status)
        assert everything(rc) == before


def rights(rc):
    """{table or view: ([columns the panel may read], [columns it may change], whether it may read and delete whole rows)}"""
    found = {}
    for line in rc.psql("""select c.relname, c.relkind, quote_ident(a.attname), has_column_privilege('rollcall_panel', c.oid, a.attnum, 'select'),
          has_column_privilege('rollcall_panel', c.oid, a.attnum, 'update') and a.attgenerated = '' and a.attidentity = '',
          has_table_privilege('rollcall_panel', c.oid, 'select'), has_table_privilege('rollcall_panel', c.oid, 'delete')
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relkind in ('r', 'v', 'p') and c.relnamespace = 'public'::regnamespace order by 1, a.attnum""").splitlines():
        table, kind, column, reads, changes, reads_all, deletes = line.split("|")
        one = found.setdefault(table, {"read": [], "change": [], "whole": reads_all == "t", "delete": deletes == "t", "kind": kind})
        one["read"] += [column] if reads == "t" else []
        one["change"] += [column] if changes == "t" else []
    return found


def becoming(customer, user):
    return (f"set session_replication_role = replica; set role rollcall_panel; set \"rollcall.customer\" = '{customer}';"
            f" set \"rollcall.user\" = '{user}';")


def test_rows_of_every_table():
    """A handler that forgets to ask whose it is: the panel's own role, at every table it may read or write."""
    public = {"roll_clock", "schema_version"}  # the same for everybody, and nobody's
    with two_customers() as (rc, _, __, ___):
        school = rc.psql("select id from customer where name like 'School%'")
        alice = rc.psql("select user_id from recipient r join domain d on d.id = r.domain_id where d.name = 'school.example'"
                        " and local_part = 'alice'")
        known = rights(rc)
        readable = {table: one["read"] for table, one in known.items() if one["read"] and table not in public}
        assert len(readable) > 25, readable

        def sees(customer, user):
            return [line.split("|", 1) for line in rc.psql(becoming(customer, user) + " union all ".join(
                f"select '{table}', row({','.join(columns)})::text from {table}" for table, columns in readable.items())).splitlines()]
        assert not sees("", ""), "without a session there is nothing"
        for user in ("", alice):
            rows = sees(school, user)
            assert len(rows) > 20, rows
            wrong = [row for row in rows if re.search(r"zebra|\b[1-4]0\d{5}\b", row[1], re.I)]
            assert not wrong, (user, wrong[:3])
        own = [table for table, _ in sees(school, "")]
        for table in ("domain", "users", "recipient", "quarantine_message", "quarantine_recipient", "quarantine_raw", "sender_rule",
                      "changeset", "ldap_source"):
            wanted = rc.psql(f"select count(*) from {table} t where t::text ~* 'school' or t::text ~ '\\m50\\d{{5}}\\M'")
            assert own.count(table) == int(wanted) > 0, f"{table}: {own.count(table)} of {wanted} own rows are seen"
        assert all(f",{alice}," in row for table, row in sees(school, alice) if table == "quarantine_recipient")
        tried = 0
        for table, one in known.items():
            key = "id" if '"id"' in one["read"] or "id" in one["read"] else "ctid"
            if one["kind"] != "r" or key == "ctid" and not one["whole"]:
                continue
            theirs = rc.psql(f"select string_agg({key}::text, ';') from {table} t where t::text ~* 'zebra|\\m[1-4]0\\d{{5}}\\M'").split(";")
            where = f"where {key}::text = any ('{{{','.join(chr(34) + row + chr(34) for row in theirs)}}}')"
            statements = [f'update "{table}" set {column} = null {where}' for column in one["change"]]
            statements += [f'delete from "{table}" {where}'] if one["delete"] else []
            if theirs == [""] or not statements:
                continue
            tried += len(statements)
            # without triggers: they would refuse before a row is looked for
            checked = "".join(f" {statement}; get diagnostics n = row_count; if n > 0 then raise exception '% rows of another"
                              f" customer', n; end if;" for statement in statements)
            rc.psql(f"{becoming(school, '')} do $do$ declare n bigint; begin {checked} end $do$")
        assert tried > 60, tried
        sets = becoming(school, "")
        zebra = rc.psql("select id from domain where name = 'zebra.example'")
        for statement in (f"insert into sender_rule (domain_id, action, pattern, actor) values ({zebra}, 'allow', 'x.example', 'x')",
                          f"insert into account (login, role, customer_id) values ('op', 'operator', null)",
                          f"insert into account (login, role, customer_id) select 'op', 'admin', customer_id from domain where id = {zebra}",
                          "insert into customer (name) values ('Mine')"):
            with contextlib.suppress(Failed):
                rc.psql(sets + statement)
        assert rc.psql("select count(*) from sender_rule where pattern = 'x.example'") == "0"
        assert rc.psql("select count(*) from account where login = 'op'") == "0"
        assert rc.psql("select count(*) from customer where name = 'Mine'") == "0"


# ------------------------------------------------------------------ forms

def test_every_form_needs_its_token():
    with two_customers() as (rc, panel, clients, _):
        root, other = clients["operator"], clients["zebra"]
        root.get("/")
        other.get("/")
        before = everything(rc)
        tried = 0
        for method, path, who, flags in ROUTES:
            if method != "POST" or "ROUTE_NO_TOKEN" in flags:
                continue
            client = clients["user"] if who == "WHO_USER" else root
            for token in ("", "0" * 32, other.last, root.last.upper() if root.last.upper() != root.last else "x"):
                number = rc.psql("select max(id) from domain")
                answer = client.post(path.replace("*", number), token=token, follow=False, **fields(number))
                assert answer.status == 403, (path, token, answer.status)
                tried += 1
            if "ROUTE_UPLOAD" in flags:
                assert client.upload(path, b"a@school.example\n", token=other.last, mode="add").status == 403
        assert tried > 80, tried
        assert everything(rc) == before
        assert sum("token is wrong" in line for line in panel.logged("request-refused")) > 5


EVIL = "\"'><xss/onxss=1>{{x}}</title>"


class Strange(html.parser.HTMLParser):
    """What of a page came to life that was a value."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if "xss" in tag:
            self.found.append(tag)
        for name, value in attributes:
            if "xss" in name or name.startswith("on") or name == "style":
                self.found.append(name)
            if name in ("href", "src", "action", "formaction") and not re.match(r"/[^/]|/$|#|otpauth:|data:image|https?://\S*$", value or "/"):
                self.found.append(f"{name}={value}")


def alive(path, answer):
    if (answer.headers.get("Content-Type") or "").startswith("text/html"):
        found = Strange(answer.text).found
        assert not found, (path, found)


def test_text_stays_text_on_every_page():
    """Every text of every table becomes markup, and whatever a form takes; then every page is read by a parser."""
    kept = {"account": ("login", "password", "role", "time_zone", "state"), "session": None, "sign_in_attempt": None, "schema_version": None,
            "user_password": None, "token": None}
    with two_customers() as (rc, panel, clients, list_name):
        crawl(clients["operator"])
        for role in ("operator", "admin"):  # what is typed comes back
            client = clients[role]
            for path, page in crawl(client).items():
                for method, action, given in Forms(page.text).forms:
                    if method != "post" or action.startswith(("/sign-", "/password", "/me/second")) or action.endswith(("/remove", "/drop")):
                        continue
                    client.get(path)
                    answer = client.post(action, follow=False, **{name: EVIL for name in given if name != "token"})
                    assert answer.status < 500, (path, action, answer.status)
                    alive(action, answer)
        texts = [line.split("|") for line in rc.psql(
            "select table_name, column_name from information_schema.columns where table_schema = 'public' and data_type = 'text'"
            " and is_generated = 'NEVER' and table_name in (select tablename from pg_tables)").splitlines()]
        changed = []
        for table, column in texts:
            if kept.get(table, ()) is None or column in kept.get(table, ()):
                continue
            with contextlib.suppress(Failed):
                rc.psql(f"set session_replication_role = replica; update {table} set {column} = $evil${EVIL}$evil$ || ctid")
                changed.append(f"{table}.{column}")
        for column in ("users.name", "customer.name", "quarantine_message.subject", "audit.actor", "audit.object", "sender_rule.actor"):
            assert column in changed, (column, changed)
        pages = 0
        for role, client in clients.items():
            for start in ("/", "/quarantine"):
                for path, answer in crawl(client, start).items():
                    alive(path, answer)
                    pages += 1
        assert pages > 60, pages


# ------------------------------------------------------------------ sessions

def test_a_second_factor_that_is_asked_for():
    """Nothing else is open before it is on: for operators, or for all accounts; users have none."""
    with Rollcall() as rc:
        for wanted, admins_too in (("operators", False), ("accounts", True)):
            with Panel(rc, panel_second_factor=wanted) as panel:
                if wanted == "operators":
                    rc.cli("customer", "add", "Clinic")
                    panel.account("root")
                    panel.account("sam", "Clinic")
                root, sam = panel.client(), panel.client()
                root.sign_in("root")
                sam.sign_in("sam")
                assert (sam.get("/domains").status == 303) == admins_too
                for path in ("/", "/customers", "/me", "/domains"):
                    assert root.get(path).location == "/me/second", path
                page = root.get("/me/second")
                assert root.post("/customers", name="Before", follow=False).location == "/me/second"
                assert rc.psql("select count(*) from customer where name = 'Before'") == "0"
                secret = re.search(r"<code>(\w+)</code>", page.text)[1]
                sealed = re.search(r'name="sealed" value="([^"]+)"', page.text)[1]
                code = totp(secret, int(time.time()) // 30)
                assert root.post("/me/second", sealed=sealed, password="wrong" + PASSWORD, code=code).status == 422
                if wanted == "accounts":
                    root.post("/me/second", sealed=sealed, password=PASSWORD, code=code)
                    assert root.get("/customers").status == 200
                root.post("/sign-out")


def test_sessions_end():
    with Rollcall() as rc, Panel(rc, panel_idle_limit="30m", panel_session_life="12h") as panel:
        panel.account("root")
        c = panel.client()
        c.get("/sign-in")
        planted = dict(c.cookies)
        answer = c.ask("POST", "/sign-in", urllib.parse.urlencode({"token": c.last, "login": "root", "password": PASSWORD}), FORM)
        line = answer.headers.get_all("Set-Cookie")[0]
        assert "HttpOnly" in line and "SameSite=Lax" in line and "Path=/" in line and "Domain" not in line and "Expires" not in line
        assert c.cookies["rollcall"] != planted["rollcall"], "renewed at sign-in"
        attacker = panel.client()
        attacker.cookies = dict(planted)
        assert attacker.get("/customers").location == "/sign-in", "whoever planted the cookie is not in"
        assert c.get("/customers").status == 200 and answer.headers["Cache-Control"] == "no-store"
        assert rc.psql("select count(*) from session where digest::text like '%' || $x$" + c.cookies["rollcall"] + "$x$ || '%'") == "0"
        # idle: the clock is the database's
        rc.psql("update session set seen_at = now() - interval '29 minutes'")
        assert c.get("/customers").status == 200
        assert rc.psql("select seen_at > now() - interval '1 minute' from session") == "t", "being used is not resting"
        rc.psql("update session set seen_at = now() - interval '31 minutes'")
        assert c.get("/customers").location == "/sign-in"
        # absolute, however busy
        c.sign_in("root")
        assert rc.psql("select ends_at - created_at = interval '12 hours' from session order by created_at desc limit 1") == "t"
        before = rc.psql("select max(ends_at) from session")
        c.get("/customers")
        assert rc.psql("select max(ends_at) from session") == before
        rc.psql("update session set ends_at = now() - interval '1 second'")
        assert c.get("/customers").location == "/sign-in"
        # out: the cookie and its forms are worth nothing, also when sent again
        c.sign_in("root")
        c.get("/customers")
        old, token = dict(c.cookies), c.last
        c.post("/sign-out")
        replay = panel.client()
        replay.cookies = old
        assert replay.get("/customers").location == "/sign-in"
        assert replay.post("/customers", token=token, name="Replayed", follow=False).location == "/sign-in"
        assert rc.psql("select count(*) from customer") == "0"
        # each sees where he is signed in, and ends one of these: nobody else's
        rc.cli("customer", "add", "Clinic")
        panel.account("sam", "Clinic")
        one, two, sam = panel.client(), panel.client(), panel.client()
        one.sign_in("root")
        two.sign_in("root")
        sam.sign_in("sam")
        names = re.findall(r'name="session" value="(\w+)"', one.get("/me").text)
        assert len(names) == 1 and "this one" in one.get("/me").text, one.get("/me").text
        sam.get("/me")
        assert "had ended already" in sam.post("/sessions/end", session=names[0]).text and two.get("/customers").status == 200
        assert one.cookies["rollcall"] not in one.get("/me").text
        assert "is ended" in one.post("/sessions/end", session=names[0]).text
        assert two.get("/customers").location == "/sign-in" and one.get("/customers").status == 200
        # another password ends the other sessions; a role that is gone ends all
        one, two = panel.client(), panel.client()
        one.sign_in("root")
        two.sign_in("root")
        one.get("/password")
        one.post("/password", password=PASSWORD, new_password=PASSWORD + "2", new_password_again=PASSWORD + "2")
        assert one.get("/customers").status == 200 and two.get("/customers").location == "/sign-in"
        rc.cli("account", "remove", "root")
        assert one.get("/customers").location == "/sign-in"
    with two_customers() as (rc, panel, clients, _):
        clients["user"].get("/password")
        clients["user"].post("/sign-out/everywhere")
        assert clients["user"].get("/quarantine").location == "/sign-in"
        assert clients["zebra"].get("/quarantine").status == 200, "everywhere is the own everywhere"


def test_answers_do_not_tell_who_exists():
    with two_customers() as (rc, panel, _, __):
        def tries(login):
            took = []
            for _ in range(3):
                c = panel.client()
                c.get("/sign-in")
                begun = time.monotonic()
                answer = c.post("/sign-in", login=login, password="wrong")
                took.append(time.monotonic() - begun)
                rc.psql("delete from sign_in_attempt")
            text = re.sub(r'value="[^"]*"', "", answer.text)
            return (answer.status, text, sorted(answer.headers.keys())), min(took)
        answers = {login: tries(login) for login in ("root", "nobody-like-this", "alice@zebra.example", "nobody@zebra.example",
                                                     "alice@nowhere.example", "no address@", "'--")}
        first = answers["root"]
        for login, (answer, took) in answers.items():
            assert answer == first[0], login
            assert first[1] / 4 < took < first[1] * 4, (login, took, first[1])
        for step in ("registration", "password"):
            said, took = set(), {}
            for address in ("alice@zebra.example", "nobody@zebra.example", "alice@nowhere.example") * 5:
                c = panel.client()
                c.get("/request-password")
                begun = time.monotonic()
                answer = c.post("/request-password", address=address, step=step)
                took[address] = min(took.get(address, 60), time.monotonic() - begun)
                rc.psql("delete from mail_request")  # or they would be too many
                said.add((answer.status, re.sub(r'value="[^"]*"', "", answer.text).replace(address, "")
                          .replace(urllib.parse.quote(address, safe=""), "")))
            assert len(said) == 1, said
            assert max(took.values()) < 3 * min(took.values()), took


def test_trying_for_ever():
    with Rollcall() as rc, Panel(rc) as panel:
        panel.account("root")
        panel.account("anna")

        def attempt(login, password="wrong", client="203.0.113.7", forged=""):
            c = panel.client()
            header = {"X-Forwarded-For": f"{forged}{client}"}
            token = re.search(r'name="token" value="(\w+)"', c.ask("GET", "/sign-in", None, header).text)[1]
            body = urllib.parse.urlencode({"token": token, "login": login, "password": password})
            return c.ask("POST", "/sign-in", body, {**FORM, **header})
        # one account from everywhere
        texts = [attempt("root", client=f"203.0.113.{i}").text for i in range(7)]
        assert "Too many" not in texts[3] and "Too many" in texts[-1]
        assert "Too many" in attempt("root", PASSWORD, "203.0.113.99").text
        wait = int(re.search(r"in (\d+) seconds", attempt("root", PASSWORD, "203.0.113.99").text)[1])
        assert 0 < wait <= 60, "nobody is locked out by others for long"
        # many accounts from one client, whatever it claims before the proxy's word
        texts = [attempt(f"user{i}", client="198.51.100.1", forged=f"10.0.0.{i}, ").text for i in range(22)]
        assert "Too many" in texts[-1] and "Too many" in attempt("anna", PASSWORD, "198.51.100.1").text
        assert attempt("anna", PASSWORD, "198.51.100.2").status == 303, "others go on"
        assert any("from 198.51.100.1" in line for line in panel.logged("sign-in-failed"))
        # codes of the second factor
        rc.psql("delete from sign_in_attempt")
        c = panel.client()
        c.sign_in("anna")
        page = c.get("/me/second")
        secret = re.search(r"<code>([A-Z2-7]{32})</code>", page.text)[1]
        sealed = re.search(r'name="sealed" value="([0-9a-f]+)"', page.text)[1]
        c.post("/me/second", sealed=sealed, password=PASSWORD, code=totp(secret, int(time.time()) // 30))
        d = panel.client()
        d.sign_in("anna")
        texts = [d.post("/sign-in/code", code=f"{i:06}").text for i in range(8)]
        assert "Too many" in texts[-1] and d.get("/customers").location == "/sign-in/code"
        assert rc.psql("select count(*) from session where pending and ends_at > now() + interval '11 minutes'") == "0"
        # mails to an address
        rc.cli("customer", "add", "Clinic")
        rc.cli("domain", "add", "clinic.example", "--customer", "Clinic")
        rc.cli("user", "add", "alice@clinic.example")
        e = panel.client()
        e.get("/request-password")
        answers = [e.post("/request-password", address="alice@clinic.example", step="registration") for _ in range(30)]
        assert answers[-1].status == 422 and "often" in answers[-1].text
        assert int(rc.psql("select count(*) from mail_request")) < 15


# ------------------------------------------------------------------ hostile requests

def multipart(*parts, end=b"--xx--\r\n"):
    return b"".join(b"--xx\r\n" + head + b"\r\n\r\n" + body + b"\r\n" for head, body in parts) + end


def test_hostile_requests():
    """Each gets the answer that is right, leaves a line in the log, and harms nobody."""
    field = b'Content-Disposition: form-data; name="%s"'
    file = b'Content-Disposition: form-data; name="file"; filename="a.csv"'
    with two_customers(panel_upload_most="1M") as (rc, panel, clients, _):
        c = clients["admin"]
        asked, begun = 0, refusals(panel)
        c.get("/import")
        token = (field % b"token", c.last.encode())
        kind = {"Content-Type": "multipart/form-data; boundary=xx"}
        bodies = {
            "no end": (kind, multipart(token, end=b""), 400),
            "no boundary": ({"Content-Type": "multipart/form-data"}, multipart(token), 415),
            "endless boundary": ({"Content-Type": "multipart/form-data; boundary=" + "x" * 100}, b"", 415),
            "another boundary": ({"Content-Type": "multipart/form-data; boundary=yy"}, multipart(token), 400),
            "headers without end": (kind, b"--xx\r\nContent-Disposition: form-data; " + b"x" * 10000, (400, 413)),
            "a part without a name": (kind, multipart(token, (b"Content-Type: text/plain", b"x")), 400),
            "a name that is not UTF-8": (kind, multipart(token, (field % b"\xff", b"x")), 400),
            "two files": (kind, multipart(token, (file, b"a@school.example\n"), (file, b"b@school.example\n")), (400, 403)),
            "a file before the token": (kind, multipart((file, b"a@school.example\n"), token), 403),
            "2,000 parts": (kind, multipart(token, *[(field % b"f", b"1")] * 2000), 413),
            "too long": (kind, multipart(token, (file, b"x" * 1200000)), 413),
            "100,000 fields": (FORM, "&".join(f"f{i}=1" for i in range(100000)), 413),
            "one field of 13 MB": (FORM, "token=" + "x" * (13 << 20), 413),
            "a name of 200 octets": (FORM, "x" * 200 + "=1", (400, 413)),
            "a NUL": (FORM, "token=%00", 400),
            "half a percent": (FORM, "token=%4", 400),
            "not UTF-8": (FORM, b"token=\xc3\x28", 400),
            "surrogates": (FORM, "token=%ed%a0%80", 400),
            "another type": ({"Content-Type": "text/xml"}, "<a/>", 415),
            "no type": ({}, "token=x", 400),
        }
        for what, (headers, body, wanted) in bodies.items():
            asked += 1
            try:
                status = c.ask("POST", "/import" if "multipart" in str(headers) else "/paste", body, headers).status
            except (ConnectionError, http.client.HTTPException):
                status = 413  # it was told while it was still sending
            assert status in (wanted if isinstance(wanted, tuple) else (wanted,)), (what, status)
        assert [p for p in panel.spool.iterdir() if p.stat().st_mtime > time.time() - 5 and p.stat().st_size > 500000] == []
        lines = {
            400: [b"GET /domains/%ff HTTP/1.1", b"GET /domains/%00 HTTP/1.1", b"GET /?a=%zz HTTP/1.1", b"GET /domains/%2e%2e%2fx HTTP/1.1",
                  b"GET /domains/\xc3\x28 HTTP/1.1", b"POST /customers?a=%ff HTTP/1.1"],
            404: [b"GET /nothing HTTP/1.1", b"GET //domains HTTP/1.1", b"GET /domains/ HTTP/1.1", b"GET /static/../route.c HTTP/1.1",
                  b"GET /static/app.css/x HTTP/1.1", b"GET /domains/-1 HTTP/1.1", b"GET /domains/1e3 HTTP/1.1", b"GET /static/nothing.js HTTP/1.1",
                  b"GET /domains/99999999999999999999999 HTTP/1.1", b"GET /Domains HTTP/1.1", b"GET /domains;x=1 HTTP/1.1",
                  b"GET http://evil.example/domains HTTP/1.1", b"GET /lists/' HTTP/1.1", b"GET \\domains HTTP/1.1"],
            405: [b"PUT /domains HTTP/1.1", b"DELETE /domains/1 HTTP/1.1", b"OPTIONS / HTTP/1.1", b"TRACE / HTTP/1.1", b"POST /audit HTTP/1.1",
                  b"GET /sign-out HTTP/1.1", b"BREW /domains HTTP/1.1", b"POST /static/app.css HTTP/1.1"],
        }
        cookie = f"Cookie: rollcall={c.cookies['rollcall']}\r\n".encode()
        for status, requests in lines.items():
            for request in requests:
                asked += 1
                answer = say(panel, request + b"\r\nHost: x\r\n" + cookie + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
                assert answer.startswith(b"HTTP/1.1 %d " % status), (request, answer[:60])
                assert b"Set-Cookie: rollcall=\r\n" not in answer and b"\nX-Injected" not in answer
        # the next second's first line tells how many were left out
        eventually(lambda: c.get("/nothing").status == 404 and refusals(panel) - begun >= asked, 10, "a line in the log for each")
        for request, starts in ((b"GET / HTTP/1.1\r\nX: " + b"y" * 200000, (b"HTTP/1.1 431", b"")), (b"\x16\x03\x01\x02\x00" * 50, (b"HTTP/1.1 4", b"")),
                                (b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n", (b"HTTP/1.1 414", b"HTTP/1.1 431", b"")),
                                (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", (b"HTTP/1.1 4", b"")),
                                (b"POST /paste HTTP/1.1\r\nHost: x\r\n" + cookie + b"Content-Length: 99999999999\r\n\r\n", (b"HTTP/1.1 413",)),
                                (b"POST /paste HTTP/1.1\r\nHost: x\r\n" + cookie + b"Content-Type: application/x-www-form-urlencoded\r\n"
                                 b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", (b"HTTP/1.1 4", b""))):
            answer = say(panel, request)
            assert any(answer.startswith(one) if one else answer == b"" for one in starts), (request[:60], answer[:60])
        # a header of the answer is never a stranger's
        answer = say(panel, b"GET /sign-in?address=a%0d%0aX-Injected:%201 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"\nX-Injected" not in answer.split(b"\r\n\r\n")[0]
        answer = say(panel, b"GET / HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nConnection: close\r\n\r\n")
        assert b"evil.example" not in answer, "where it leads is not the request's to say"
        assert c.get("/domains").status == 200
        for line in panel.log.read_text(errors="replace").splitlines():
            assert line.isprintable() and len(line) < 3000, line[:200]


def refusals(panel):
    """How many the log has, those included that it left out because they came too fast."""
    lines = panel.logged("request-refused")
    return len(lines) + sum(int(n) for n in re.findall(r"(\d+) more such lines were left out", "\n".join(lines)))


def say(panel, raw, timeout=10):
    """What the server answers to these bytes, until it closes or rests."""
    got = b""
    with socket.create_connection(("127.0.0.1", panel.port), timeout) as s:
        s.settimeout(timeout)
        with contextlib.suppress(OSError):
            s.sendall(raw)
        with contextlib.suppress(OSError):
            while piece := s.recv(65536):
                got += piece
                if b"\r\n\r\n" in got and b"Connection: close" not in raw:
                    break
    return got


def test_slow_senders():
    """Who sends slowly, or stops, is cut off in time, told in the log, and holds up nobody."""
    with Rollcall() as rc, Panel(rc, panel_silence_limit="1s", panel_request_limit="2s", panel_upload_most="1M") as panel:
        panel.account("root")
        c = panel.client()
        c.sign_in("root")
        c.get("/import")
        cookie = f"Cookie: rollcall={c.cookies['rollcall']}\r\n".encode()
        head = b"POST /import HTTP/1.1\r\nHost: x\r\n" + cookie + b"Content-Type: multipart/form-data; boundary=xx\r\nContent-Length: 100000\r\n\r\n"
        slow = [b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX: ", head, head + b"--xx\r\nContent-Disp"]
        sockets = [socket.create_connection(("127.0.0.1", panel.port), 5) for _ in range(40)]
        for i, s in enumerate(sockets):
            s.sendall(slow[i % len(slow)])
        assert c.get("/customers").status == 200, "the others are served meanwhile"
        for s in sockets:
            s.settimeout(15)
            with contextlib.suppress(ConnectionError):
                while s.recv(4096):
                    pass
            s.close()
        assert any("nothing more came in time" in line for line in panel.logged("request-refused")), panel.log.read_text()
        # a few octets now and then keep nobody for ever
        with socket.create_connection(("127.0.0.1", panel.port), 5) as s:
            s.sendall(head)
            begun, over = time.monotonic(), False
            while not over and time.monotonic() - begun < 30:
                try:
                    s.sendall(b"-")
                    over = bool(select.select([s], [], [], 0.3)[0]) and not s.recv(4096)
                except OSError:
                    over = True
            assert over, "it was cut off"
        eventually(lambda: any("too slow" in line for line in panel.logged("request-refused")), 5, "told in the log")
        # broken off in the middle
        with socket.create_connection(("127.0.0.1", panel.port), 5) as s:
            s.sendall(head + b"--xx\r\n")
        eventually(lambda: any("broke off" in line for line in panel.logged("request-refused")), 10, "told in the log")
        assert c.get("/customers").status == 200 and not list(panel.spool.iterdir())


if __name__ == "__main__":
    main()
