"""The same with Samba as an Active Directory domain controller: what only such a directory has. One domain controller for
all tests of the file; each works below an organizational unit of its own."""
import base64
import contextlib
import time

from directories import Samba
from harness import eventually, main, shared, shared_servers
from test_import import rules_hold
from test_ldap import addresses, authority, fails, roll, rollcall, sync


def samba():
    if "samba" not in shared:
        shared["samba"] = shared_servers.enter_context(Samba(authority()))
    return shared["samba"]


def password(text):
    return base64.b64encode(f'"{text}"'.encode("utf-16-le")).decode()


def user(ad, unit, name, *lines, control=512):
    """control: userAccountControl; 512 is an ordinary account, bit 2 a disabled one."""
    return (f"dn: CN={name},OU={unit},{ad.base}\nobjectClass: user\nsAMAccountName: {unit}-{name}\n"
            f"userPrincipalName: {unit}-{name}@ad.example.test\nunicodePwd:: {password('Us3r-pass!')}\n"
            f"userAccountControl: {control}\n" + "".join(f"{line}\n" for line in lines) + "\n")


@contextlib.contextmanager
def unit(name, ldif, *options):
    """(rollcall, domain controller) with that content below OU=name, and the source example.com that reads it."""
    ad = samba()
    ad.add(f"dn: OU={name},{ad.base}\nobjectClass: organizationalUnit\n\ndn: OU={name}-away,{ad.base}\n"
           "objectClass: organizationalUnit\n\n" + ldif)
    with rollcall() as rc:
        rc.cli("ldap", "set", "example.com", "--preset", "samba", "--server", ad.ldaps, "--ca-file", authority().ca,
               "--bind-dn", ad.administrator, "--base", f"OU={name},{ad.base}", "--domain", "example.com", "--domain",
               "example.org", "--password", *options, input=ad.password + "\n")
        yield rc, ad


def filetime(seconds):
    return int((seconds + 11644473600) * 10000000)


def test_what_an_active_directory_has():
    """proxyAddresses with prefixes of every kind, disabled and expired accounts, contacts, groups, hidden users. Catches a
    rule that holds for OpenLDAP only."""
    ad = samba()
    now = time.time()
    people = (user(ad, "have", "anna", "mail: old.anna@example.com", "displayName: Anna Ä.", "proxyAddresses: SMTP:Anna@Example.com",
                   "proxyAddresses: smtp:a.nna@example.org", "proxyAddresses: X500:/o=Org/cn=anna",
                   "proxyAddresses: sip:anna@example.com", "proxyAddresses: EUM:1234", "proxyAddresses: smtp:anna@elsewhere.test")
              + user(ad, "have", "bob", "mail: bob@example.com")
              + user(ad, "have", "off", "mail: off@example.com", control=514)
              + user(ad, "have", "gone", "mail: gone@example.com", f"accountExpires: {filetime(now - 86400)}")
              + user(ad, "have", "soon", "mail: soon@example.com", f"accountExpires: {filetime(now + 86400)}")
              + user(ad, "have", "never", "mail: never@example.com", "accountExpires: 9223372036854775807")
              + user(ad, "have", "hidden", "mail: hidden@example.com", "showInAdvancedViewOnly: TRUE")
              + user(ad, "have", "nomail")
              + f"dn: CN=Contact,OU=have,{ad.base}\nobjectClass: contact\nmail: contact@example.com\n\n"
              + f"dn: CN=List,OU=have,{ad.base}\nobjectClass: group\nsAMAccountName: have-list\nmail: list@example.com\n\n")
    with unit("have", people) as (rc, ad):
        sync(rc)
        now_on = addresses(rc)
        assert now_on == {"anna@example.com": "active", "a.nna@example.org": "active", "old.anna@example.com": "active",
                          "bob@example.com": "active", "off@example.com": "disabled", "gone@example.com": "disabled",
                          "soon@example.com": "active", "never@example.com": "active", "hidden@example.com": "active"}, now_on
        assert rc.psql("select name from users where name like 'Anna%'") == "Anna Ä."
        rc.cli("ldap", "set", "example.com", "--groups", "yes", "--contacts", "yes")
        assert sync(rc)["added"] == "2"
        assert {a: row[1] for a, row in roll(rc).items() if row[1] == "group"} == {
            "contact@example.com": "group", "list@example.com": "group"}
        ad.modify(f"dn: CN=off,OU=have,{ad.base}\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: 512\n\n"
                  f"dn: CN=bob,OU=have,{ad.base}\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: 514\n")
        assert sync(rc)["changed"] == "2"
        assert addresses(rc)["off@example.com"] == "active" and addresses(rc)["bob@example.com"] == "disabled"
        assert sync(rc)["outcome"] == "unchanged"
        rc.cli("ldap", "set", "example.com", "--address-use", "alone")  # proxyAddresses, and mail only if there is nothing else
        sync(rc)
        assert "old.anna@example.com" not in addresses(rc) and "soon@example.com" in addresses(rc)
        rules_hold(rc)


def test_a_user_stays_the_same():
    """Renamed, moved, with another address, swapped. Catches identity by DN."""
    ad = samba()
    people = "".join(user(ad, "same", name, f"mail: {name}@example.com", f"proxyAddresses: SMTP:{name}@example.com")
                     for name in ("anna", "bob", "carl", "dora"))
    with unit("same", people, "--base", ad.base, "--member-of", f"CN=all,OU=same,{ad.base}") as (rc, ad):
        ad.add(f"dn: CN=all,OU=same,{ad.base}\nobjectClass: group\nsAMAccountName: same-all\n"
               + "".join(f"member: CN={name},OU=same,{ad.base}\n" for name in ("anna", "bob", "carl", "dora")) + "\n")
        sync(rc)
        before = {address: row[0] for address, row in roll(rc).items()}
        ad.rename(f"CN=anna,OU=same,{ad.base}", f"CN=anne,OU=same-away,{ad.base}")

        def address(name, new):
            return (f"dn: CN={name},OU=same,{ad.base}\nchangetype: modify\nreplace: mail\nmail: {new}@example.com\n-\n"
                    f"replace: proxyAddresses\nproxyAddresses: SMTP:{new}@example.com\n\n")
        ad.modify(address("carl", "dora") + address("dora", "carl") + address("bob", "bob.new"))
        done = sync(rc)
        assert (done["outcome"], done["added"], done["removed"]) == ("applied", "1", "1"), done
        assert {a: row[0] for a, row in roll(rc).items()} == {
            "anna@example.com": before["anna@example.com"], "bob.new@example.com": before["bob@example.com"],
            "carl@example.com": before["dora@example.com"], "dora@example.com": before["carl@example.com"]}
        assert rc.psql("select count(*) from users") == "4"
        rc.cli("change", "undo", done["changeset"])
        assert {a: row[0] for a, row in roll(rc).items()} == before
        rules_hold(rc)


def test_nested_groups():
    """Catches a member of a member that is left out, and groups in a circle."""
    ad = samba()
    people = ("".join(user(ad, "nest", name, f"mail: {name}@example.com") for name in ("anna", "bob", "carl"))
              + "".join(f"dn: CN={name},OU=nest,{ad.base}\nobjectClass: group\nsAMAccountName: nest-{name}\n\n"
                        for name in ("outer", "inner")))
    with unit("nest", people, "--member-of", f"CN=outer,OU=nest,{ad.base}") as (rc, ad):
        for group, members in (("outer", ("inner", "anna")), ("inner", ("bob", "outer"))):
            ad.modify(f"dn: CN={group},OU=nest,{ad.base}\nchangetype: modify\nadd: member\n"
                      + "".join(f"member: CN={name},OU=nest,{ad.base}\n" for name in members))
        sync(rc)
        assert set(addresses(rc)) == {"anna@example.com", "bob@example.com"}
        rc.cli("ldap", "set", "example.com", "--member-of", f"CN=nothere,OU=nest,{ad.base}")
        assert "does not exist" in fails(rc) and len(addresses(rc)) == 2


def test_the_whole_directory_and_the_global_catalog():
    """Catches the references to Active Directory's own partitions taken for a gap, and one page that is too large."""
    ad = samba()
    people = "".join(user(ad, "whole", f"u{n}", f"mail: u{n}@example.com") for n in range(30))
    with unit("whole", people, "--base", ad.base, "--page-size", "7",
              "--filter", "(&(objectCategory=person)(objectClass=user)(sAMAccountName=whole-*))") as (rc, ad):
        done = sync(rc)
        assert done["users"] == "30" and int(done["pages"]) >= 5, done
        rc.cli("ldap", "set", "example.com", "--server", f"ldaps://{ad.address}:3269")
        assert sync(rc)["users"] == "30"


def test_what_is_wrong_is_said():
    """Active Directory's own words. Catches 'invalid credentials' for everything, and a password sent in the clear."""
    ad = samba()
    with unit("said", user(ad, "said", "anna", "mail: anna@example.com")) as (rc, ad):
        def says(*options, input=None):
            rc.cli("ldap", "set", "example.com", *options, input=input)
            return rc.run("ldap", "test", "example.com", check=False).stderr
        assert "wrong user name or password" in says("--password", input="nonsense\n")
        assert "wants the connection protected" in says("--server", ad.ldap, "--tls", "none", "--allow-cleartext", "yes",
                                                        "--password", input=ad.password + "\n")
        rc.cli("ldap", "set", "example.com", "--tls", "starttls", "--allow-cleartext", "no")
        assert sync(rc)["outcome"] == "applied"
        assert "does not exist" in says("--base", f"OU=nowhere,{ad.base}")


def test_kerberos():
    """SASL GSSAPI, with a keytab and no password: inside TLS, where a second encryption is refused. Catches a ticket that is
    asked for another name than the server's, and a bind without proof that passes."""
    with unit("kerberos", user(samba(), "kerberos", "anna", "mail: anna@example.com")) as (rc, ad):
        ad.modify(f"dn: CN=DC1,OU=Domain Controllers,{ad.base}\nchangetype: modify\nadd: servicePrincipalName\n"
                  f"servicePrincipalName: ldap/{ad.address}\n")
        rc.cli("ldap", "set", "example.com", "--sasl", "gssapi", "--no-password", "--bind-dn", "")
        rc.extra = {"KRB5_CONFIG": "/dev/null", "KRB5CCNAME": f"FILE:{rc.dir}/none"}
        assert "KRB5_CLIENT_KTNAME" in fails(rc), fails(rc)
        rc.extra = ad.kerberos()
        assert sync(rc)["outcome"] == "applied" and addresses(rc) == {"anna@example.com": "active"}, addresses(rc)
        rc.cli("ldap", "set", "example.com", "--server", ad.ldap, "--tls", "starttls")
        ad.add(user(ad, "kerberos", "bob", "mail: bob@example.com"))
        assert sync(rc)["outcome"] == "applied" and "bob@example.com" in addresses(rc)
        # the DC wants more than a bind in the clear; by itself Kerberos protects what follows
        rc.cli("ldap", "set", "example.com", "--tls", "none", "--allow-cleartext", "yes")
        ad.add(user(ad, "kerberos", "eve", "mail: eve@example.com"))
        assert sync(rc)["outcome"] == "applied" and "eve@example.com" in addresses(rc)


def test_signing_in():
    """Catches a bind by the wrong name, and a disabled account that is let in."""
    ad = samba()
    people = user(ad, "sign", "anna", "mail: anna@example.com") + user(ad, "sign", "off", "mail: off@example.com", control=514)
    with unit("sign", people) as (rc, ad):
        sync(rc)

        def try_in(address, text, check):
            done = rc.run("ldap", "test", "example.com", "--sign-in", address, input=text + "\n", check=check)
            return done.stderr + done.stdout
        assert "takes this password" in try_in("anna@example.com", "Us3r-pass!", 0)
        assert "wrong user name or password" in try_in("anna@example.com", "Us3r-pass?", 65)
        assert "off@example.com" in try_in("off@example.com", "Us3r-pass!", 65)
        assert "empty" in try_in("anna@example.com", "", 65)


def test_stopped_and_started():
    """Catches a roll that is emptied while the domain controller is away, and a failure that lasts."""
    ad = samba()
    with unit("stop", user(ad, "stop", "anna", "mail: anna@example.com")) as (rc, ad):
        sync(rc)
        ad.stop()
        assert "nobody answers" in fails(rc) and addresses(rc) == {"anna@example.com": "active"}
        ad.start()
        eventually(lambda: sync(rc)["outcome"] == "unchanged", 20, "the domain controller")
        assert rc.psql("select kind from ldap_notice order by id").split() == ["failed", "recovered"]


if __name__ == "__main__":
    main()
