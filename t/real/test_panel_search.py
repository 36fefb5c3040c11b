"""panel_search: the pages of a search, put together, are what a plain query finds. Catches a page that shows an address
twice or leaves one out where the walk, the trigram index and a pause take turns, and one that shows another customer's.
"""
import html
import re

from harness import FULL, Rollcall, main, seeded, shared, shared_servers
from panel import Panel

PAGE = 51
FIRST = ["anna", "bernd", "carla", "da_vid", "elena", "frank", "greta", "zoë", "x%y", "o\\k"]
LAST = ["adler", "berger", "christ", "dietrich", "ebert", "fischer", "graf", "huber", "meier", "ng"]


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def plain(text):
    return "'%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("'", "''") + "%'"


def fill(rc, random, rows):
    """Clusters (robots before everybody, their names like others' addresses), people, aliases, and some removed."""
    for customer, domain in (("Clinic", "clinic.example"), ("School", "school.example")):
        rc.cli("customer", "add", customer)
        rc.cli("domain", "add", domain, "--customer", customer, "--next-hop", "[127.0.0.1]:25")
    people = []
    for i in range(rows):
        local = (f"a-robot.{i:06}" if i % 4 == 0 else f"{random.choice(FIRST)}.{random.choice(LAST)}{i}")
        name = " ".join((random.choice(FIRST).title(), random.choice(LAST).title())) if random.random() < 0.7 else ""
        people.append((i + 1, 1 if random.random() < 0.9 else 2, local, name))
    values = ",".join(f"({i}, {d}, {literal(local)}, {literal(name)})" for i, d, local, name in people)
    rc.psql(f"""begin; do $$ begin perform roll_begin('test'); end $$;
create temporary table person (id bigint, domain integer, local text, name text); insert into person values {values};
insert into users (id, customer_id, name) overriding system value select id, domain, name from person;
insert into recipient (domain_id, local_part, kind, user_id)
  select domain, local, case when id % 50 = 0 then 'group' else 'primary' end::recipient_kind,
    case when id % 50 <> 0 then id end from person;
insert into recipient (domain_id, local_part, kind, user_id) select domain, 'alias.' || id, 'alias', id from person
  where id % 7 = 0 and id % 50 <> 0;
insert into recipient (domain_id, local_part, kind, state) select 1, 'gone.meier' || id, 'group', 'removed' from person
  where id % 9 = 0;
commit; analyze""")


def roll(name):
    if name not in shared:
        random = seeded()
        rows = 60000 if FULL else 30000
        shared[name] = shared_servers.enter_context(Rollcall()), random
        fill(*shared[name], rows)
    return shared[name]


def pages(session, domain, fragment, most=10000):
    """All pages, one after the other: (addresses in the order shown, how many pages ended early)."""
    found, after, early = [], "", 0
    for _ in range(most):
        lines = session.do(f"select coalesce(id::text, ''), local_part from panel_search({domain}, {literal(fragment)}, "
                           f"{literal(after)}, {PAGE})").splitlines()
        rows = [line.split("|", 1) for line in lines]
        assert len(rows) <= PAGE
        if rows and rows[-1][0] == "":
            assert after == "" or rows[-1][1] > after or after.startswith(fragment.lower()), "the search stands still"
            early, after = early + 1, rows.pop()[1]
            found += [local for _, local in rows]
        elif len(rows) == PAGE:
            found += [local for _, local in rows[:-1]]
            after = rows[-2][1]
        else:
            return found + [local for _, local in rows], early
    raise AssertionError(f"no end of {fragment!r}")


def wanted(rc, domain, fragment):
    text = rc.psql(f"""select r.local_part from recipient r left join users u on u.id = r.user_id and r.kind = 'primary'
 where r.domain_id = {domain} and r.state <> 'removed' and (r.local_part ilike {plain(fragment)} or u.name ilike {plain(fragment)})
 order by not starts_with(r.local_part, lower({literal(fragment)})), r.local_part""")
    return text.splitlines()


def local_part(text):
    """As it stands in the roll, from the page's HTML."""
    text = html.unescape(text)
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def searching(rc, patience):
    session = rc.pg.session(rc.dbname)
    session.do(f"set rollcall.customer = '0'; set rollcall.search_patience = '{patience}'")
    return session


def fragments(random, count):
    """Common, rare, absent, short, with the letters that LIKE and regular expressions know."""
    known = ["meier", "robot", "anna", "An", "a", "ng", "n.m", "_", "%", "\\", "x%y", "zoë", "alias.", "nobody at all", "0",
             "a-r", "Meier", "anna graf", "gone", "t.eb", "12", "er1"]
    for fragment in known:
        yield fragment
    for _ in range(count):
        text = random.choice([random.choice(FIRST), random.choice(LAST), str(random.randrange(30000)), "robot.00" + str(
            random.randrange(9999)), f"{random.choice(FIRST)}.{random.choice(LAST)}", f"{random.choice(FIRST)} {random.choice(LAST)}"])
        begin = random.randrange(len(text))
        yield text[begin:begin + random.randint(1, 9)]


def test_pages_are_the_whole():
    rc, random = roll("search")
    early = 0
    with searching(rc, "25ms") as patient, searching(rc, "0") as hasty:
        for number, fragment in enumerate(fragments(random, 150 if FULL else 25)):
            for domain in (1, 2):
                expected = wanted(rc, domain, fragment)
                session = hasty if number % 2 else patient
                if len(expected) > 3000 and number % 5:
                    continue  # many pages of the same kind
                found, ended = pages(session, domain, fragment)
                early += ended
                assert found == expected, (
                    f"{fragment!r} in {domain}: {len(found)} found, {len(expected)} wanted; twice:"
                    f" {len(found) - len(set(found))}, missing: {sorted(set(expected) - set(found))[:5]},"
                    f" too many: {sorted(set(found) - set(expected))[:5]}")
    assert early > 0, "no page ended early: the pause was not tried"


def test_tenants():
    rc, _ = roll("search")
    with searching(rc, "25ms") as session:
        for customer, domain, seen in (("1", 1, True), ("2", 1, False), ("2", 2, True), ("", 1, False)):
            session.do(f"set rollcall.customer = '{customer}'")
            for fragment in ("meier", "er", "robot"):
                assert bool(pages(session, domain, fragment, 1 if not seen else 10000)[0]) == seen, (customer, domain, fragment)
    # asked for directly, the part that knows no tenants does not answer the panel's role
    answer = rc.pg.psql("select panel_search_rare(1, '%meier%', '%meier%', 'meier', '', 9)", rc.dbname, "rollcall_panel",
                        check=False)
    assert "meier" not in answer


def test_the_page_goes_on():
    """In the browser: the pages lead to the end of the search, whether they are full or not."""
    rc, _ = roll("search")
    with Panel(rc) as panel:
        rc.psql(f"alter role rollcall_panel in database {rc.dbname} set rollcall.search_patience = '0'")
        panel.account("root")
        c = panel.client()
        c.sign_in("root")
        for fragment in ("graf", "ng"):
            page, seen = c.get(f"/domains/2/users?q={fragment}"), []
            for _ in range(1000):
                seen += [line.split(">")[-1] for line in page.text.split("@school.example</a>")[:-1]]
                link = page.text.split('rel="next" href="')[1:]
                if not link:
                    break
                page = c.get(link[0].split('"')[0].replace("&amp;", "&"))
            expected = wanted(rc, 2, fragment)
            assert [local_part(text) for text in seen] == expected, (fragment, len(seen), len(expected))


def test_quarantine_pages():
    """Messages whose numbers say nothing about when they came, many of them in the same moment."""
    rc, _ = roll("search")
    rc.psql("""insert into quarantine_message (gateway, file, received_at, size, digest, category, subject)
 select 'gw', lpad(to_hex(i % 256), 2, '0') || '/' || md5(i::text), date_trunc('minute', now()) - i * 7919 % 40 * interval '1 minute',
   9, sha256('x'), 'spam', 'number ' || i || '.' from generate_series(1, 260) i;
insert into quarantine_recipient (message_id, customer_id, domain_id, user_id, address, local_part, category, received_at)
 select id, 1 + (id % 5 = 0)::int, 1 + (id % 5 = 0)::int, case id % 3 when 0 then 1 end, 'x@clinic.example', 'x', category,
   received_at from quarantine_message""")
    with Panel(rc) as panel:
        panel.account("boss")
        panel.account("ann", "Clinic")
        for login, where in (("boss", "true"), ("ann", "customer_id = 1")):
            client, seen = panel.client(), []
            client.sign_in(login)
            page = client.get("/quarantine")
            while True:
                seen += re.findall(r">number ([0-9]+)\.<", page.text)
                link = re.search(r'rel="next" href="([^"]*)"', page.text)
                if not link:
                    break
                page = client.get(html.unescape(link[1]))
            assert seen == rc.psql(f"select message_id from quarantine_recipient where {where}"
                                   " order by received_at desc, id desc").splitlines(), (login, len(seen), seen[:60])


if __name__ == "__main__":
    main()
