"""The roll follows an LDAP directory: what is taken, what stays the same user, and what changes nothing; with a real
slapd that gives pages of 100 and no more, and a proxy that delays and cuts."""
import base64
import contextlib
import json
import os
import subprocess
import threading
import time

from directories import LIMITS, READER, READER_PASSWORD, SUFFIX, Authority, Proxy, Slapd, person
from harness import BUILD, Rollcall, eventually, main, run, shared, shared_servers
from test_import import rules_hold

PEOPLE, AWAY, GROUPS = (f"ou={name},{SUFFIX}" for name in ("people", "away", "groups"))


def authority():
    if "ca" not in shared:
        shared["ca"] = shared_servers.enter_context(Authority())
    return shared["ca"]


def rollcall(*domains, **settings):
    rc = Rollcall(**settings)
    rc.set(secret_key_file=rc.dir / "secret.key")
    rc.cli("customer", "add", "Example")
    rc.cli("domain", "add", *(domains or ["example.com", "example.org"]), "--customer", "Example", "--relay-check", "panel")
    return rc


def connect(rc, ldap, *options, name="example.com", domains=("example.com", "example.org"), server=None):
    rc.cli("ldap", "set", name, "--preset", "openldap", "--server", server or ldap.ldaps, "--ca", authority().ca,
           "--bind-dn", READER, "--base", PEOPLE, *[a for d in domains for a in ("--domain", d)], "--password", *options,
           input=READER_PASSWORD + "\n")


@contextlib.contextmanager
def world(ldif="", *options, limits=None, **settings):
    """(rollcall, slapd), the source example.com set."""
    with Slapd(authority(), **({"limits": limits} if limits is not None else {})) as ldap, rollcall(**settings) as rc:
        if ldif:
            ldap.modify(ldif)
        connect(rc, ldap, *options)
        yield rc, ldap


def sync(rc, *options, source="example.com"):
    """The outcome of one run as a dict of texts."""
    return rc.json("ldap", "sync", source, *options)["done"][0]


def fails(rc, *options, source="example.com"):
    """Why a run failed."""
    done = rc.run("ldap", "sync", source, *options, check=False)
    assert done.returncode != 0, done.stdout
    return done.stderr


def roll(rc):
    """{primary or group address: (user number, kind, state, {aliases})}"""
    rows = rc.psql("""select a.local_part || '@' || d.name, coalesce(a.user_id, 0), a.kind, a.state,
        (select string_agg(b.local_part || '@' || e.name, ',') from recipient b join domain e on e.id = b.domain_id
          where b.user_id = a.user_id and b.kind = 'alias')
        from recipient a join domain d on d.id = a.domain_id where a.kind <> 'alias' and a.state <> 'removed'""")
    parts = [line.split("|") for line in rows.splitlines()]
    return {p[0]: (int(p[1]), p[2], p[3], set(filter(None, p[4].split(",")))) for p in parts}


def addresses(rc):
    return {address: state for address, state in (line.split("|") for line in rc.psql(
        """select r.local_part || '@' || d.name, r.state from recipient r join domain d on d.id = r.domain_id
           where r.state <> 'removed'""").splitlines())}


def replace(uid, attribute, *values, ou="people"):
    return (f"dn: uid={uid},ou={ou},{SUFFIX}\nchangetype: modify\nreplace: {attribute}\n"
            + "".join(f"{attribute}: {value}\n" for value in values) + "\n")


# ------------------------------------------------------------------ what is taken

def test_users_with_all_their_addresses():
    """Catches a prefix that is taken in the wrong case, an X500 address that is one of ours, a domain that gets
    another one's address."""
    people = (person("anna", "mail: anna@example.com", "mail: a.second@example.com", "mailLocalAddress: A.Local@example.org",
                     "displayName: Anna A.")
              + person("bob", "mail: bob@example.com", "proxyAddresses: smtp:Bobby@Example.ORG", "proxyAddresses: X500:/o=x/cn=bob",
                       "proxyAddresses: SMTP:Bob.Main@example.com", "proxyAddresses: sip:bob@example.com",
                       "proxyAddresses: sMtP:bob.mixed@example.com")
              + person("eve", "mail: eve@elsewhere.test") + person("nobody", "telephoneNumber: 1")
              + person("both", "mail: both@example.com", "mail: both@elsewhere.test"))
    with world(people) as (rc, _):
        looked = rc.json("ldap", "test", "example.org")  # by a domain that it feeds
        assert {row["address"] for row in looked["user"]} == {"anna@example.com", "bob.main@example.com", "both@example.com"}
        assert [row["why"] for row in looked["left"]] == ["has addresses in other domains only"]
        assert looked["foreign"] == [{"source": "example.com", "domain": "elsewhere.test", "addresses": "2"}]
        assert roll(rc) == {}, "a test changes nothing"
        dry = rc.json("ldap", "sync", "example.com", "--dry-run")
        assert len(dry["difference"]) == 8 and dry["done"][0]["outcome"] == "dry-run", dry
        assert roll(rc) == {} and rc.psql("select count(*) from ldap_run") == "0"
        done = sync(rc)
        assert done["outcome"] == "applied" and done["added"] == "8" and done["users"] == "3", done
        now = roll(rc)
        assert {a: row[3] for a, row in now.items()} == {
            "anna@example.com": {"a.second@example.com", "a.local@example.org"},
            "bob.main@example.com": {"bob@example.com", "bobby@example.org", "bob.mixed@example.com"},
            "both@example.com": set()}, now
        assert rc.psql("select name from users order by name").splitlines() == ["Anna A.", "bob", "both"]
        assert sync(rc)["outcome"] == "unchanged"
        assert rc.psql("select count(*) from changeset where mode = 'follow'") == "1"
        rules_hold(rc)


def test_a_user_stays_the_same():
    """Renamed, moved to another place, with another primary address, addresses swapped: one changeset each, nobody new.
    Catches identity by DN or by address."""
    people = "".join(person(uid, f"mail: {uid}@example.com", f"mailLocalAddress: {uid}.alias@example.com")
                     for uid in ("anna", "bob", "carl", "dora", "emil", "fred"))
    with world(people, "--base", SUFFIX) as (rc, ldap):
        sync(rc)
        before = {address: row[0] for address, row in roll(rc).items()}
        ldap.modify(f"dn: uid=anna,{PEOPLE}\nchangetype: modrdn\nnewrdn: uid=anne\ndeleteoldrdn: 1\nnewsuperior: {AWAY}\n\n"
                    + replace("carl", "mail", "dora@example.com") + replace("dora", "mail", "carl@example.com")
                    + replace("emil", "mail", "emil.new@example.com") + replace("emil", "mailLocalAddress", "e@example.com"))
        done = sync(rc)
        now = roll(rc)
        wanted = {**before, "carl@example.com": before["dora@example.com"], "dora@example.com": before["carl@example.com"],
                  "emil.new@example.com": before["emil@example.com"]}
        del wanted["emil@example.com"]
        assert {address: row[0] for address, row in now.items()} == wanted, (before, now)
        assert rc.psql("select count(*) from users") == "6", "nobody new"
        assert rc.psql(f"""select string_agg(local_part, ',' order by local_part) from change
            where changeset_id = {done['changeset']} and after_state is null""") == "emil,emil.alias"
        assert rc.psql("select dn from ldap_user where dn like '%anne%'") == f"uid=anne,{AWAY}"
        rules_hold(rc)
        # an address that goes to another user in one run: never absent
        ldap.modify(replace("fred", "mailLocalAddress", "fred.alias@example.com", "bob.alias@example.com")
                    + f"dn: uid=bob,{PEOPLE}\nchangetype: modify\ndelete: mailLocalAddress\n\n")
        done = sync(rc)
        assert (done["added"], done["removed"], done["changed"]) == ("0", "0", "1"), done
        assert "bob.alias@example.com" in roll(rc)["fred@example.com"][3]
        rc.cli("change", "undo", done["changeset"])
        assert "bob.alias@example.com" in roll(rc)["bob@example.com"][3]
        assert sync(rc)["outcome"] == "applied", "undone, but the directory still says so"
        rules_hold(rc)


def test_disabled_and_back():
    """Catches a disabled account that goes on getting mail, or that is removed; and one that does not come back."""
    people = (person("anna", "mail: anna@example.com") + person("bob", "mail: bob@example.com", "nsAccountLock: TRUE")
              + person("carl", "mail: carl@example.com", "shadowExpire: 1") + person("dora", "mail: dora@example.com",
                                                                                     "shadowExpire: 90000")
              + person("emil", "mail: emil@example.com", "shadowExpire: -1"))
    with world(people) as (rc, ldap):
        sync(rc)
        assert addresses(rc) == {"anna@example.com": "active", "bob@example.com": "disabled", "carl@example.com": "disabled",
                                 "dora@example.com": "active", "emil@example.com": "active"}
        ldap.modify(replace("bob", "nsAccountLock") + replace("anna", "nsAccountLock", "true"))
        assert sync(rc)["changed"] == "2"
        assert addresses(rc)["anna@example.com"] == "disabled" and addresses(rc)["bob@example.com"] == "active"
        shown = rc.json("ldap", "test", "example.com")["user"]
        assert {row["address"]: row["state"] for row in shown}["anna@example.com"] == "disabled (nsAccountLock)"


def test_values_that_are_no_good():
    """Catches a bad value that ends the run, loses its neighbours, or gets into the roll or a terminal."""
    raw = [b"c\x01ontrol@example.com", b"inv\xff@example.com", b"x" * 70 + b"@example.com", b"two@at@example.com", b"plain",
           b"fine.one@example.com", b"ze\xc3\xa9@example.com", b"nul\x00@example.com", b"\x1b[31mred@example.com"]
    people = (person("odd", "mail: odd@example.com", *[f"rawAddress:: {base64.b64encode(v).decode()}" for v in raw])
              + person("only", *[f"rawAddress:: {base64.b64encode(v).decode()}" for v in raw[:5]])
              + person("many", "mail: many@example.com", *[f"proxyAddresses: smtp:many{n}@example.com" for n in range(10000)])
              + person("fat", "mail: fat@example.com", f"jpegPhoto:: {base64.b64encode(os.urandom(10 << 20)).decode()}",
                       f"rawAddress:: {base64.b64encode(b'y' * (2 << 20)).decode()}")
              + person("twin1", "mail: twin1@example.com", "proxyAddresses: smtp:shared@example.com")
              + person("twin2", "mail: twin2@example.com", "proxyAddresses: smtp:shared@example.com"))
    with world(people, "--filter", "(objectClass=person)", "--alias-attribute", "rawAddress", "--alias-attribute",
               "proxyAddresses", "--alias-attribute", "jpegPhoto") as (rc, ldap):
        looked = rc.run("ldap", "test", "example.com", "--json")
        assert "\x1b" not in looked.stdout and "\x01" not in looked.stdout and "\xff" not in looked.stdout
        looked = json.loads(looked.stdout)
        assert {row["why"] for row in looked["left"]} == {"none of its values is an address"}, looked["left"]
        whys = {row["value"][:12]: row["why"] for row in looked["note"]}
        assert len([1 for row in looked["note"] if row["dn"].startswith("uid=odd")]) >= 6, whys
        assert any("too long" in why for why in whys.values()) and any("more addresses" in why for why in whys.values())
        result = rc.json("ldap", "sync", "example.com")
        done, problems = result["done"][0], result["problem"]
        assert done["outcome"] == "applied", done
        now = roll(rc)
        assert "fine.one@example.com" in now["odd@example.com"][3] and len(now["many@example.com"][3]) == 999
        assert "fat@example.com" in now and "only@example.com" not in now
        first = rc.psql("select dn from ldap_user where dn like 'uid=twin%' order by identity limit 1")[4:9]
        other = {"twin1": "twin2", "twin2": "twin1"}[first]
        assert "shared@example.com" in now[f"{first}@example.com"][3], "the first by identity keeps it"
        assert [p["address"] for p in problems] == ["shared@example.com"] and problems[0]["dn"].startswith(f"uid={other},")
        assert f"{first}@example.com" in problems[0]["why"], problems
        rules_hold(rc)


def test_groups_and_contacts():
    """Catches a group that becomes a user, a circle of groups that never ends, a member that is not found in depth."""
    people = ("".join(person(uid, f"mail: {uid}@example.com") for uid in ("anna", "bob", "carl", "dora"))
              + "".join(f"dn: cn={name},{GROUPS}\nobjectClass: groupOfNames\nobjectClass: extensibleObject\ncn: {name}\n"
                        + "".join(f"member: {m}\n" for m in members) + extra + "\n" for name, members, extra in (
                            ("outer", [f"cn=inner,{GROUPS}", f"uid=anna,{PEOPLE}"], "mail: all@example.com\n"),
                            ("inner", [f"cn=circle,{GROUPS}", f"UID=bob, ou=People,{SUFFIX}"], ""),
                            ("circle", [f"cn=outer,{GROUPS}", f"uid=dora,{PEOPLE}"], ""),
                            ("apart", [f"uid=carl,{PEOPLE}"], "mail: apart@example.com\n"))))
    with world(people, "--base", SUFFIX) as (rc, _):
        sync(rc)
        assert len(roll(rc)) == 4
        rc.cli("ldap", "set", "example.com", "--groups", "yes")
        sync(rc)
        assert roll(rc)["all@example.com"][:3] == (0, "group", "active") and len(roll(rc)) == 6
        rc.cli("ldap", "set", "example.com", "--member-of", f"cn=outer,{GROUPS}", "--groups", "no")
        done = sync(rc, "--force")
        assert set(roll(rc)) == {f"{uid}@example.com" for uid in ("anna", "bob", "dora")}, (roll(rc), done)
        rc.cli("ldap", "set", "example.com", "--member-of", f"cn=gone,{GROUPS}")
        assert "does not exist" in fails(rc) and len(roll(rc)) == 3


# ------------------------------------------------------------------ what changes nothing

def few(count=5):
    return "".join(person(f"u{n}", f"mail: u{n}@example.com") for n in range(count))


def many(count=1200, aliases=0):
    return "".join(person(f"u{n}", f"mail: u{n}@example.com", f"description: {'x' * 300}",
                          *(f"mailLocalAddress: u{n}.{i}.{'y' * 50}@example.com" for i in range(aliases)))
                   for n in range(count))


def unharmed(rc, before, why):
    """Nothing changed, and the failure is on record."""
    assert addresses(rc) == before, "the roll is as it was"
    outcome, said = rc.psql("select outcome, why from ldap_run order by id desc limit 1").split("|", 1)
    assert outcome == "failed" and why in said, (outcome, said, why)
    assert rc.psql("select failing_since is not null from ldap_source where name = 'example.com'") == "t"


def test_pages_to_the_end():
    """A server that gives no more than 100 entries at a time. Catches a forgotten page, and a page size that the server
    refuses."""
    with world(many(1234)) as (rc, _):
        done = sync(rc)
        assert done["users"] == "1234" and int(done["pages"]) >= 13 and len(roll(rc)) == 1234, done


def test_half_an_answer_changes_nothing():
    """Cut in a page, silent in a page, the server killed between pages, and started again between pages. Catches an
    answer that is taken for complete because it ended."""
    with world(many()) as (rc, ldap), Proxy(ldap.tls_port) as proxy:
        sync(rc)
        before = addresses(rc)
        rc.cli("ldap", "set", "example.com", "--server", f"ldaps://127.0.0.1:{proxy.port}", "--time-limit", "5s",
               "--page-size", "50")
        ldap.modify("".join(f"dn: uid=u{n},{PEOPLE}\nchangetype: delete\n\n" for n in range(200)))
        proxy.cut_after = 60000
        assert "lost" in fails(rc)
        unharmed(rc, before, "connection was lost")
        proxy.cut_after, proxy.stall_after = None, 60000
        assert "time-limit" in fails(rc)
        unharmed(rc, before, "longer than time-limit")
        proxy.stall_after = None

        def kill(count):
            if count > 60000 and ldap.process is not None:
                proxy.on_bytes = None
                ldap.kill9()
        proxy.on_bytes = kill
        fails(rc)
        unharmed(rc, before, "")

        reached, back = threading.Event(), threading.Event()

        def hold(count):
            if count > 60000:
                proxy.on_bytes = None
                reached.set()
                back.wait(30)
        ldap.start()
        proxy.on_bytes = hold
        said = []
        running = threading.Thread(target=lambda: said.append(fails(rc)))
        running.start()
        assert reached.wait(20)
        ldap.stop()
        ldap.start()
        back.set()
        running.join()
        assert said
        unharmed(rc, before, "")
        # told once for all of it, and shown
        assert rc.psql("select kind from ldap_notice") == "failed"
        assert any("example.com fails since" in row["text"] for row in
                   rc.json("status", check=False)["attention"])
        assert sync(rc)["removed"] == "200"
        assert rc.psql("select kind from ldap_notice order by id").split() == ["failed", "recovered"]
        rules_hold(rc)


def test_limits_of_the_server():
    """A size limit that pages do not lift, and a part of the tree that is elsewhere. Catches half of a directory taken
    for all of it."""
    limits = "sizelimit size.soft=500 size.hard=500 size.pr=100 size.prtotal=300"
    with world(few(), limits=limits) as (rc, ldap):
        sync(rc)
        before = addresses(rc)
        ldap.modify("".join(person(f"more{n}", f"mail: more{n}@example.com") for n in range(400)))
        assert "limit" in fails(rc)
        unharmed(rc, before, "limit")
    with world(few()) as (rc, ldap):
        sync(rc)
        before = addresses(rc)
        ldap.modify(f"dn: ou=branch,{PEOPLE}\nobjectClass: referral\nobjectClass: extensibleObject\nou: branch\n"
                    "ref: ldap://branch.example.test/ou=people,dc=branch\n\n")
        assert "branch.example.test" in fails(rc)
        unharmed(rc, before, "is not followed")
        rc.cli("ldap", "set", "example.com", "--entry-limit", "3")
        assert "more than 3 entries" in fails(rc)


def test_an_answer_that_nobody_believes():
    """Nobody, or nearly nobody; then the guard, approval and rejection. Catches a filter gone wrong that empties the roll."""
    with world(few(20)) as (rc, ldap):
        sync(rc)
        before = addresses(rc)
        rc.cli("ldap", "set", "example.com", "--filter", "(uid=nobody)")
        assert "no user among 0 entries" in fails(rc)
        unharmed(rc, before, "no user")
        rc.cli("ldap", "set", "example.com", "--filter", "(|(uid=u0)(uid=u1)(uid=u2))")
        assert "only 3 entries, last time 20" in fails(rc)
        unharmed(rc, before, "only 3 entries")
        rc.cli("ldap", "set", "example.com", "--filter", "(uid=u1*)")  # 11 of 20, and one with another address
        ldap.modify(replace("u1", "mail", "u1.new@example.com"))
        user = roll(rc)["u1@example.com"][0]
        done = sync(rc)
        assert done["outcome"] == "held" and addresses(rc) == before, done
        held = int(done["changeset"])
        again = sync(rc)
        assert again["outcome"] == "held" and int(again["changeset"]) == held, "the same answer waits once"
        assert rc.psql("select count(*) from changeset where mode = 'follow'") == "2"
        assert rc.psql("select kind from ldap_notice order by id").split() == ["failed", "held"]
        assert rc.psql("select synced_at < (select max(started_at) from ldap_run) from ldap_source") == "t"
        rc.cli("change", "reject", str(held))
        again = sync(rc)
        assert again["outcome"] == "held" and "rejected" in again["why"], "rejected is rejected"
        ldap.modify(replace("u10", "displayName", "Another"))
        done = sync(rc)
        assert done["outcome"] == "held" and int(done["changeset"]) > held
        rc.cli("change", "approve", done["changeset"])
        assert len(addresses(rc)) == 11 and roll(rc)["u1.new@example.com"][0] == user, "approved, it is still the same user"
        assert sync(rc)["outcome"] == "unchanged"
        rules_hold(rc)


def test_killed_at_any_moment():
    """Catches a run that leaves half of its work, and a run that stays 'running' for ever."""
    with world(many(400)) as (rc, ldap), Proxy(ldap.tls_port) as proxy:
        rc.cli("ldap", "set", "example.com", "--server", f"ldaps://127.0.0.1:{proxy.port}")
        reached = threading.Event()
        proxy.on_bytes = lambda count: reached.set() if count > 30000 else None
        proxy.stall_after = 40000
        process = subprocess.Popen([BUILD / "bin/rollcall-ldapsync", "-c", rc.conf, "--all"], env=rc.environment(),
                                   stderr=subprocess.DEVNULL)
        assert reached.wait(20)
        other = rc.run("ldap", "sync", "example.com", check=75)
        assert "another run" in other.stderr, "one source is read once at a time"
        process.kill()
        process.wait()
        proxy.stall_after = None
        eventually(lambda: sync(rc)["outcome"] == "applied", 20, "the lock of the killed one to go")
        assert len(addresses(rc)) == 400
        assert rc.psql("select outcome, why from ldap_run order by id").splitlines() == [
            "failed|ended without a word", "applied|"]
        rules_hold(rc)


def test_a_first_answer_goes_ahead():
    """A first list is written while it is read. Catches addresses or users of half an answer, an entry that is known by
    another's user, a first list that is not compared although somebody is on the roll, and new entries of the search
    indexes that nobody sorts in, so that each search reads all of them."""
    people, all_of_them = 3000, 9000  # more than one piece
    traces = """select (select count(*) from recipient), (select count(*) from users), (select count(*) from ldap_user),
        (select count(*) from changeset where mode = 'follow')"""
    known = """select count(*) from ldap_user l join recipient r on r.user_id = l.user_id and r.kind = 'primary'
        join users u on u.id = r.user_id where l.dn like 'uid=' || r.local_part || ',%'"""
    with world(many(people, aliases=2)) as (rc, ldap), Proxy(ldap.tls_port) as proxy:
        rc.cli("ldap", "set", "example.com", "--server", f"ldaps://127.0.0.1:{proxy.port}", "--page-size", "500")
        proxy.cut_after = 700000
        assert "lost" in fails(rc)
        assert rc.psql(traces) == "0|0|0|0", "of half an answer nothing is left"
        proxy.cut_after = None
        done = sync(rc)
        assert (done["outcome"], done["added"]) == ("applied", str(all_of_them)), done
        assert rc.psql("select last_value % 4096 from users_id_seq") == "0", "it went ahead"
        assert rc.psql(traces) == f"{all_of_them}|{people}|{people}|1" and rc.psql(known) == str(people)
        rc.psql("create extension pgstattuple")
        eventually(lambda: rc.psql("""select sum(pending_tuples) from unnest('{recipient_fragment,users_fragment}'::regclass[]) i,
            pgstatginindex(i)""") == "0", what="the search indexes in order")
        rules_hold(rc)
        assert sync(rc)["outcome"] == "unchanged"
        # undone: the tombstones are somebody, so that the list is compared; who is who stays
        rc.cli("change", "undo", done["changeset"])
        assert sync(rc)["added"] == str(all_of_them) and rc.psql(known) == str(people)
        rules_hold(rc)
    for role in ("rollcall_sync", "renter_of_a_server"):
        # COPY onto the roll is what PostgreSQL refuses to who must ask policies: then it is read first
        with world(many(20)) as (rc, ldap):
            asks = role != "rollcall_sync"
            if asks:
                rc.psql(f"create role {role} login; grant rollcall_sync to {role}")
            run(BUILD / "bin/rollcall-ldapsync", "-c", rc.conf, "-o",
                f"database=host={rc.host} dbname={rc.dbname} user={role}", "--all", check=0, env=rc.environment())
            assert rc.psql("select outcome, added from ldap_run") == "applied|20" and rc.psql(known) == "20"
            assert (rc.psql("select last_value % 4096 from users_id_seq") == "0") == (not asks), role
            rules_hold(rc)
    with world(many(20)) as (rc, ldap):
        rc.cli("user", "add", "u5@example.com", "--name", "By hand")
        done = sync(rc)
        assert (done["outcome"], done["added"], done["changed"]) == ("applied", "19", "1"), done
        assert rc.psql(known) == "20" and rc.psql("select count(*) from users") == "20"
        rules_hold(rc)


# ------------------------------------------------------------------ words

def test_what_is_wrong_is_said():
    """Each trouble has its own words, and the password is nowhere. Catches 'cannot connect' for everything."""
    with world(few()) as (rc, ldap), Authority() as stranger:
        def says(*options, input=None):
            rc.cli("ldap", "set", "example.com", *options, input=input)
            done = rc.run("ldap", "test", "example.com", check=False)
            assert done.returncode != 0 and done.stdout == "", done.stdout
            return done.stderr
        texts = {"password": says("--password", input="not the password\n"),
                 "authority": says("--ca", stranger.ca), "dead": says("--server", "ldaps://127.0.0.1:1")}
        assert "wrong user name or password" in texts["password"]
        assert "signed by 'CN=Test CA'" in texts["authority"] and "--ca" in texts["authority"]
        assert "nobody answers there" in texts["dead"]
        assert "not the password" not in "".join(texts.values())
        rc.cli("ldap", "set", "example.com", "--ca", authority().ca, "--password", "--server", ldap.ldaps,
               input=READER_PASSWORD + "\n")
        assert "does not exist" in says("--base", f"ou=nowhere,{SUFFIX}")
        assert "no distinguished name" in says("--base", "nonsense")
        assert "port without TLS" in says("--base", PEOPLE, "--server", f"ldaps://127.0.0.1:{ldap.port}")
        cleartext = ("--server", ldap.ldap, "--tls", "none", "--allow-cleartext", "yes")
        assert "wants the connection protected" in says(*cleartext)
        assert "may not read" in says("--server", ldap.ldaps, "--default", "tls", "--default", "allow-cleartext",
                                      "--bind-dn", "", "--no-password")
        # certificates that are not there; that the program which cron runs may not look at
        assert "ca-file /nowhere/ca.pem cannot be read: No such file" in says("--default", "ca", "--ca-file", "/nowhere/ca.pem")
        rc.cli("ldap", "set", "example.com", "--bind-dn", READER, "--password", "--ca-file", authority().ca,
               input=READER_PASSWORD + "\n")
        assert "signed by" not in rc.cli("ldap", "test", "example.com")
        (rc.dir / "spool").mkdir()
        confined = {**rc.environment(), "TMPDIR": str(rc.dir / "spool")}  # else all of /tmp is its
        hidden = run(BUILD / "bin/rollcall-ldapsync", "-c", rc.conf, "--all", check=False, env=confined)
        assert hidden.returncode and f"ca-file {authority().ca} cannot be read" in hidden.stderr and "sandbox_read" in hidden.stderr
        rc.set(sandbox_read=os.path.dirname(authority().ca))
        run(BUILD / "bin/rollcall-ldapsync", "-c", rc.conf, "--all", check=0, env=confined)
        # a certificate for another name; an expired one
        for certificate, words in ((authority().certificate("other", "DNS:other.example.test"), "another name: 'other.example.test'"),
                                   (authority().expired("old"), "expired on 2020-02-01")):
            with Slapd(authority(), certificate=certificate) as wrong:
                text = says("--server", wrong.ldaps)
                assert words in text and wrong.ldaps in text, text
        # what can be known when it is set
        for options, words in ((("--filter", "(&(mail=*)"), "missing at character"), (("--tls", "none", "--server", ldap.ldap), "allow-cleartext"),
                               (("--interval", "5"), "interval"), (("--server", "http://x"), "a server is"),
                               (("--domain", "elsewhere.test"), "not served"), (("--disabled", "what"), "none of")):
            done = rc.run("ldap", "set", "example.com", *options, check=False)
            assert done.returncode in (64, 65) and words in done.stderr, (options, done.stderr)
        # StartTLS
        rc.cli("ldap", "set", "example.com", "--server", ldap.ldap, "--tls", "starttls")
        assert sync(rc)["outcome"] == "unchanged"
        # nowhere in the clear
        dump = rc.pg.dump(rc.dbname)
        text = run("/usr/lib/postgresql/15/bin/pg_restore", "-f", "-", dump).stdout
        assert "example.com" in text and READER_PASSWORD not in text
        shown = rc.cli("ldap", "show", "example.com") + rc.cli("ldap", "show", "example.com", "--json")
        assert READER_PASSWORD not in shown and "kept, sealed" in shown
        assert (rc.dir / "secret.key").stat().st_mode & 0o077 == 0


def test_the_password_is_in_no_process_list():
    """Catches a password among the arguments or in the environment of any process."""
    with world(few()) as (rc, ldap), Proxy(ldap.tls_port) as proxy:
        rc.cli("ldap", "set", "example.com", "--server", f"ldaps://127.0.0.1:{proxy.port}")
        proxy.delay = 0.3
        process = subprocess.Popen([BUILD / "bin/rollcall", "-c", rc.conf, "ldap", "sync", "example.com"],
                                   env=rc.environment(), stdout=subprocess.DEVNULL)
        seen = b""
        while process.poll() is None:
            for pid in filter(str.isdigit, os.listdir("/proc")):
                with contextlib.suppress(OSError):
                    command = open(f"/proc/{pid}/cmdline", "rb").read()
                    if b"rollcall" in command:
                        seen += command + open(f"/proc/{pid}/environ", "rb").read()
        assert b"rollcall-ldapsync" in seen and READER_PASSWORD.encode() not in seen


def test_passwords_from_elsewhere():
    """Catches a password file that is not read anew, and a sealed password that another key opens."""
    with world(few()) as (rc, _):
        secret = rc.dir / "reader.password"
        secret.write_text(READER_PASSWORD + "\n")
        (rc.dir / "secret.key").write_text("00" * 32 + "\n")
        assert "cannot be opened with the key" in fails(rc)
        rc.cli("ldap", "set", "example.com", "--no-password", "--password-file", secret)
        assert sync(rc)["outcome"] == "applied"
        secret.write_text("something else\n")
        assert "wrong user name or password" in fails(rc)


def test_proof_without_a_password():
    """SASL EXTERNAL: by a client's certificate, and by the user at a local socket. Catches a certificate that is not shown,
    and settings that could never work."""
    with Slapd(authority(), LIMITS + "\nTLSVerifyClient try\nrequire authc") as ldap, rollcall() as rc, Authority() as stranger:
        ldap.modify(few())
        crt, key = authority().certificate("gateway")
        of = lambda server: ("ldap", "set", "example.com", "--preset", "openldap", "--ca-file", authority().ca, "--base", PEOPLE,
                             "--domain", "example.com", "--domain", "example.org", "--sasl", "external", "--server", server)
        for options, words in ((of(ldap.ldaps), "has neither"), (of(ldap.ldaps) + ("--client-certificate", crt), "needs client-key"),
                               (of(ldap.ldap) + ("--client-certificate", crt, "--client-key", key, "--tls", "none",
                                                 "--allow-cleartext", "yes"), "has neither")):
            refused = rc.run(*options, check=64)
            assert words in refused.stderr, refused.stderr
        rc.cli(*of(ldap.ldaps), "--client-certificate", crt, "--client-key", key)
        assert sync(rc)["outcome"] == "applied" and "u0@example.com" in addresses(rc), addresses(rc)
        rc.cli("ldap", "set", "example.com", "--server", ldap.ldap, "--tls", "starttls")
        ldap.modify(person("late", "mail: late@example.com"))
        assert sync(rc)["outcome"] == "applied" and "late@example.com" in addresses(rc)
        # a certificate that the server does not know; none that can be read
        other, its = stranger.certificate("gateway")
        rc.cli("ldap", "set", "example.com", "--client-certificate", other, "--client-key", its)
        assert ldap.ldap in fails(rc)
        rc.cli("ldap", "set", "example.com", "--client-key", key)
        assert "check ca-file, client-certificate and client-key" in fails(rc)
        # as who we are, at its socket
        rc.cli("ldap", "set", "example.com", "--default", "client-certificate", "--default", "client-key", "--default", "tls",
               "--server", ldap.ldapi)
        ldap.modify(person("local", "mail: local@example.com"))
        assert sync(rc)["outcome"] == "applied" and "local@example.com" in addresses(rc)


def test_signing_in():
    """Catches an empty password that is let in, a bind that is repeated, and a directory that is down taken for a no."""
    people = (person("anna", "mail: anna@example.com", "mailLocalAddress: anna@example.org", "userPassword: annas own")
              + person("bob", "mail: bob@example.com"))
    with world(people) as (rc, ldap):
        sync(rc)

        def try_in(address, password, check):
            done = rc.run("ldap", "test", "example.com", "--sign-in", address, input=password + "\n", check=check)
            assert password == "" or password not in done.stderr + done.stdout
            return done.stderr + done.stdout
        assert "takes this password" in try_in("anna@example.com", "annas own", 0)
        assert "takes this password" in try_in("anna@example.org", "annas own", 0)
        assert "wrong user name or password" in try_in("anna@example.com", "bobs", 65)
        assert "empty password" in try_in("anna@example.com", "", 65)
        try_in("bob@example.com", "anything", 65)
        assert "no user's address" in try_in("nobody@example.com", "whatever", 65)
        rc.cli("user", "add", "hand@example.com")
        assert "of no directory" in try_in("hand@example.com", "whatever", 65)
        ldap.stop()
        assert "nobody answers" in try_in("anna@example.com", "annas own", 75)


# ------------------------------------------------------------------ several sources

def test_two_directories_and_a_person_feed_one_domain():
    """Catches a source that withdraws what another, or a person, has put there."""
    with world(few(4), "--filter", "(|(uid=u0)(uid=u1)(uid=u2))") as (rc, ldap):
        connect(rc, ldap, "--filter", "(|(uid=u2)(uid=u3))", name="second", domains=["example.com"])
        rc.cli("user", "add", "u1@example.com", "hand@example.com")
        sync(rc)
        sync(rc, source="second")
        everybody = {f"u{n}@example.com" for n in range(4)} | {"hand@example.com"}
        assert set(addresses(rc)) == everybody
        assert sync(rc)["outcome"] == "unchanged" and set(addresses(rc)) == everybody
        assert "example.com" in rc.run("ldap", "remove", "example.com", check=65).stderr
        rc.cli("ldap", "remove", "example.com", "--with-users")
        assert set(addresses(rc)) == everybody - {"u0@example.com"}
        assert rc.psql("select count(*) from ldap_user u where not exists (select from ldap_source s"
                       " where s.id = u.source_id)") == "0"
        assert rc.psql("select follows_directory from domain order by name").split() == ["t", "f"]
        rc.cli("ldap", "remove", "second", "--with-users")
        assert set(addresses(rc)) == {"u1@example.com", "hand@example.com"}
        assert rc.psql("select bool_or(follows_directory) from domain") == "f"
        rules_hold(rc)


def test_side_by_side_by_turns():
    """One that fails and one that hangs touch no other; each at its turn, as the role that may do no more; metrics.
    Catches sources that wait for one another, and a source that is read too often."""
    with world(few()) as (rc, ldap), Proxy(ldap.tls_port) as slow:
        rc.cli("domain", "add", *(f"d{n}.test" for n in range(6)), "--customer", "Example", "--relay-check", "panel")
        ldap.modify("".join(person(f"d{n}", f"mail: user@d{n}.test") for n in range(6)))
        for n in range(6):
            connect(rc, ldap, name=f"d{n}.test", domains=[f"d{n}.test"])
        rc.cli("ldap", "set", "d0.test", "--password", input="wrong\n")
        rc.cli("ldap", "set", "d1.test", "--server", f"ldaps://127.0.0.1:{slow.port}", "--time-limit", "2s")
        rc.cli("ldap", "set", "d2.test", "--enabled", "no")
        slow.stall_after = 0  # takes the connection and says nothing
        rc.set(ldap_metrics_file=rc.dir / "ldap.prom")

        def go(*options, check=None):
            role = f"database=host={rc.host} dbname={rc.dbname} user=rollcall_sync"
            return run(BUILD / "bin/rollcall-ldapsync", "-c", rc.conf, "-o", role, *options, check=check,
                       env=rc.environment(), timeout=60)
        begun = time.monotonic()
        done = go(check=False)
        assert done.returncode in (65, 75) and time.monotonic() - begun < 30, done.stderr
        outcomes = dict(line.split("|") for line in rc.psql(
            "select s.name, coalesce(r.outcome, '') from ldap_source s left join ldap_run r on r.source_id = s.id").splitlines())
        assert outcomes == {"example.com": "applied", "d0.test": "failed", "d1.test": "failed", "d2.test": "",
                            "d3.test": "applied", "d4.test": "applied", "d5.test": "applied"}, done.stderr
        metrics = (rc.dir / "ldap.prom").read_text()
        assert 'rollcall_ldap_last_run_success{source="d3.test"} 1' in metrics
        assert 'rollcall_ldap_last_run_success{source="d0.test"} 0' in metrics and "# TYPE rollcall_ldap_users gauge" in metrics
        assert go(check=0).stderr == "", "nobody's turn"
        rc.psql("update ldap_run set started_at = started_at - interval '3 hours 1 second'"
                " where source_id = (select id from ldap_source where name = 'd4.test')")
        go(check=0)
        assert rc.psql("select count(*) from ldap_run") == "7"
        go("--source", "D2.test", check=0)
        assert "user@d2.test" in addresses(rc)
        assert "no LDAP source" in go("--source", "nonsense", check=65).stderr


def test_servers_that_a_customer_names():
    """Catches a customer who has the gateway's own network read."""
    with world(few()) as (rc, ldap):
        rc.psql("update ldap_source set by_customer = true")
        text = fails(rc)
        assert "127.0.0.1 is in ldap_denied_networks" in text, text
        assert "ldap_denied_networks" in rc.run("ldap", "test", "example.com", check=78).stderr
        rc.set(ldap_denied_networks="192.0.2.0/24")
        assert sync(rc)["outcome"] == "applied"


def test_a_stale_directory_is_not_believed():
    """After source_stale_limit an unknown recipient gets 450. Catches a 550 out of a directory that nobody reads."""
    with world(few()) as (rc, ldap), rc.policyd() as _:
        rc.answers("u9@example.com", "DEFER_IF_PERMIT")  # never read
        sync(rc)
        rc.answers("u9@example.com", "550 5.1.1")
        rc.answers("u1@example.com", "DUNNO")
        rc.psql("""begin; do $$ begin perform roll_begin('test'); end $$;
                   update domain set synced_at = now() - interval '25 hours', changed_by = roll_changeset(); commit""")
        rc.answers("u9@example.com", "DEFER_IF_PERMIT")
        rc.answers("u1@example.com", "DUNNO")
        ldap.modify(person("u9", "mail: u9@example.com"))
        sync(rc)
        rc.answers("u9@example.com", "DUNNO")
        rc.answers("u8@example.com", "550 5.1.1")
        # read in a time that is still to come: one of the two clocks is wrong, and with it the directory's age
        rc.psql("""begin; do $$ begin perform roll_begin('test'); end $$;
                   update domain set synced_at = now() + interval '2 days', changed_by = roll_changeset(); commit""")
        rc.answers("u8@example.com", "DEFER_IF_PERMIT")
        rc.answers("u9@example.com", "DUNNO")


if __name__ == "__main__":
    main()
