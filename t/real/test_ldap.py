"""The roll follows an LDAP directory: what is taken, what stays the same user, and what changes nothing; with a real
slapd that gives pages of 100 and no more, and a proxy that delays and cuts."""
import contextlib
import os
import re
import subprocess
import threading
import time

from directories import ADMIN, ADMIN_PASSWORD, READER, READER_PASSWORD, SUFFIX, Authority, Proxy, Slapd, person
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
    rc.cli("ldap", "set", name, "--preset", "openldap", "--server", server or ldap.ldaps, "--ca-file", authority().ca,
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
    import base64
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
        import json
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


if __name__ == "__main__":
    main()
