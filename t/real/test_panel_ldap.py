"""The panel's LDAP page against a real slapd: connected, tested, looked at, synchronised, changed, removed; by an operator
and by a customer's administrator. Catches a password that comes back out, a customer who reads the gateway's own network
or another one's directory, a test that changes the roll, a failure without its reason, a form that forgets what was typed.
"""
import contextlib
import pathlib
import re
import signal
import subprocess

from directories import READER, READER_PASSWORD, SUFFIX, Slapd, person
from harness import BUILD, Failed, Rollcall, die_with_parent, eventually, main
from panel import Panel
from test_ldap import PEOPLE, authority, few


@contextlib.contextmanager
def follower(rc):
    """rollcall-ldapsync --requests --follow, as the service runs it."""
    with open(rc.dir / "requests.log", "a") as log:
        process = subprocess.Popen([BUILD / "bin/rollcall-ldapsync", "-c", rc.conf, "-o",
                                    f"database=host={rc.host} dbname={rc.dbname} user=rollcall_sync", "--requests", "--follow"], stdout=log,
                                   stderr=log, preexec_fn=die_with_parent)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, (rc.dir / "requests.log").read_text()


@contextlib.contextmanager
def world(ldif=""):
    with Slapd(authority()) as ldap, Rollcall() as rc:
        if ldif:
            ldap.modify(ldif)
        rc.set(secret_key_file=rc.dir / "secret.key")
        for customer, domain in (("Clinic", "example.com"), ("School", "school.example")):
            rc.cli("customer", "add", customer)
            rc.cli("domain", "add", domain, "--customer", customer, "--relay-check", "panel")
        with Panel(rc) as panel:
            panel.account("root")
            panel.account("anna", "Clinic")
            panel.account("sam", "School")
            yield rc, ldap, panel


def answered(client, page):
    """The page of a request once it is carried out; `page`: what came when it was asked for."""
    path = page.path
    eventually(lambda: 'http-equiv="refresh"' not in client.get(path).text, 60, "an answer")
    return client.get(path)


def is_refused(rc, sql):
    try:
        rc.psql(sql)
    except Failed as error:
        return "row-level security" in error.err
    return False


def ask(client, source, what):
    client.get(source)
    return answered(client, client.post(source + "/ask", do=what))


def page_of(rc):
    return "/ldap/" + rc.psql("select max(id) from ldap_source")


def test_an_operators_connection():
    people = few(9) + person("far", "mail: far@elsewhere.test") + person("bare", "telephoneNumber: 1", "mail: no-address")
    with world(people) as (rc, ldap, panel):
        c = panel.client()
        c.sign_in("root")
        assert "No directory is connected" in c.get("/domains/1/ldap").text
        # a form that is not right: the field is marked, what was typed stays
        path = "/ldap/add?domain=1&preset=openldap"
        page = c.fill(path, server="http://x", base=PEOPLE, bind_dn=READER, password=READER_PASSWORD, do="save")
        assert page.status == 422 and 'id="server-why"' in page.text and "http://x" in page.text and PEOPLE in page.text
        assert READER_PASSWORD not in page.text
        page = c.fill(path, server=ldap.ldaps, base=PEOPLE, bind_dn=READER, do="save")
        assert page.status == 422 and 'id="password-why"' in page.text, page.text
        page = c.fill(path, server=ldap.ldap, base=PEOPLE, tls="none", do="save")
        assert page.status == 422 and 'id="tls-why"' in page.text, page.text
        assert rc.psql("select count(*) from ldap_source") == "0"
        # nobody carries it out: the page says so
        page = c.fill(path, server=ldap.ldaps, base=PEOPLE, bind_dn=READER, password=READER_PASSWORD, do="test")
        assert "Waiting for its turn" in page.text, page.text
        source = page_of(rc)
        rc.psql("update ldap_request set asked_at = now() - interval '1 minute'")
        waiting = c.get(page.path)
        assert "Nobody has taken it up" in waiting.text
        assert "See how far it is" in c.get(source).text
        # what is kept: only what differs from the preset; the password sealed, and not to be read
        kept = rc.psql("select settings from ldap_source")
        assert "filter" not in kept and "openldap" in kept and READER_PASSWORD not in kept
        assert rc.psql("select has_secret from ldap_source") == "t"
        assert READER_PASSWORD not in c.get(source + "/settings").text
        with follower(rc):
            # the certificate is of nobody whom this host knows
            page = answered(c, waiting)
            assert "did not answer as it should" in page.text and "certificate" in page.text, page.text
            page = c.fill(source + "/settings", ca_file=authority().ca, do="test")
            page = answered(c, page)
            assert "The directory answers" in page.text and "u3@example.com" in page.text, page.text
            assert "has addresses in other domains only" in page.text and "elsewhere.test" in page.text, page.text
            assert rc.psql("select count(*) from roll") == "0" and rc.psql("select count(*) from ldap_run") == "0"
            page = ask(c, source, "preview")
            assert "This would change" in page.text and "+9" in page.text and "u0@example.com" in page.text, page.text
            assert rc.psql("select count(*) from roll") == "0"
            page = ask(c, source, "sync")
            assert "The roll agrees with the directory" in page.text and "See change" in page.text, page.text
            assert rc.psql("select count(*) from roll") == "9"
            assert rc.psql("select actor from changeset where mode = 'follow'") == "root"
            page = c.get(source)
            assert "applied" in page.text and "+9" in page.text and "follows" in page.text, page.text
            # fails: in words, there and in the list
            page = c.fill(source + "/settings", password="wrong", do="test")
            page = answered(c, page)
            assert "password" in page.text and "did not answer" in page.text, page.text
            ask(c, source, "sync")
            assert "It fails since" in c.get(source).text and "fails" in c.get("/ldap").text
            c.fill(source + "/settings", password=READER_PASSWORD, filter="(|(uid=u0)(uid=u1)(uid=u2))", do="save")
            page = ask(c, source, "sync")
            assert "held" in page.text and "Decide about it" in page.text, page.text
            # back to the preset's filter: nothing is kept of it
            assert '"filter"' in rc.psql("select settings from ldap_source")
            c.fill(source + "/settings?preset=openldap", filter=re.search(
                r'name="filter" value="([^"]*)"', c.get("/ldap/add?domain=1&preset=openldap").text)[1].replace("&amp;", "&"))
            assert '"filter"' not in rc.psql("select settings from ldap_source")
            # removed: first not, then with what it put there, as a change
            c.get(source)
            assert c.post(source + "/remove", confirm="nonsense").status == 422
            page = c.post(source + "/remove", confirm="example.com")
            assert page.status == 422 and "put 9 addresses" in page.text, page.text
            assert "is removed" in c.post(source + "/remove", confirm="example.com", with_users="yes").text
            assert rc.psql("select count(*) from roll where state = 'active'") == "0"
            assert rc.psql("select count(*) from ldap_source") == "0"
        shown = rc.psql("select detail from audit where action like 'ldap%'")
        assert READER_PASSWORD not in shown and READER_PASSWORD not in panel.log.read_text()
        assert READER_PASSWORD not in (rc.dir / "requests.log").read_text()


def test_a_customers_connection():
    with world(few()) as (rc, ldap, panel):
        anna, sam, root = panel.client(), panel.client(), panel.client()
        anna.sign_in("anna")
        sam.sign_in("sam")
        root.sign_in("root")
        form = anna.get("/ldap/add?domain=1&preset=openldap").text
        assert 'name="ca_file"' not in form and 'name="sasl"' not in form and 'name="password_file"' not in form
        # what has no field is not taken either
        page = anna.fill("/ldap/add?domain=1&preset=openldap", server=ldap.ldaps, base=PEOPLE, bind_dn=READER,
                    password=READER_PASSWORD, ca_file="/etc/passwd", password_file="/etc/shadow", sasl="gssapi", do="save")
        source = page_of(rc)
        assert page.path == source, page.text
        assert rc.psql("select by_customer, settings ? 'ca-file' or settings ? 'password-file' or settings ? 'sasl'"
                       " from ldap_source") == "t|f"
        assert "ldapi://" in anna.fill(source + "/settings", server="ldapi://%2frun%2fslapd", password=READER_PASSWORD).text
        with follower(rc):
            page = ask(anna, source, "test")
            assert "ldap_denied_networks" in page.text, page.text
            rc.set(ldap_denied_networks="192.0.2.0/24")
            page = anna.fill(source + "/settings", ca="-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----")
            assert page.status == 422 and "There is no certificate in it" in page.text, page.text
            certificate = pathlib.Path(authority().ca).read_text()
            anna.fill(source + "/settings", ca="What stands around it counts for nothing.\n" + certificate)
            assert "BEGIN CERTIFICATE" in rc.psql("select settings->>'ca' from ldap_source")
            root.fill(source + "/settings", interval="6h")
            assert rc.psql("select by_customer from ldap_source") == "t", "an operator's change of something else"
            assert "The directory answers" in ask(anna, source, "test").text
            # what the operator set does not keep the customer from the rest
            assert anna.fill(source + "/settings", interval="6h").path == source
            # another server gets the kept password only from who knows it
            page = anna.fill(source + "/settings", server="ldaps://192.168.7.7")
            assert page.status == 422 and "give it again" in page.text, page.text
            page = anna.fill(source + "/settings", tls="none", allow_cleartext="yes")
            assert page.status == 422 and "give it again" in page.text, page.text
        # another customer: nothing of it
        for path in (source, source + "/settings", source + "/asked/1", "/domains/1/ldap", "/ldap/add?domain=1"):
            assert sam.get(path).status == 404, path
        assert "example.com" not in sam.get("/ldap").text
        for path in (source + "/settings", source + "/ask", source + "/remove"):
            assert sam.post(path, do="sync", confirm="example.com", domain="2", server="ldaps://x").status == 404, path
        before = rc.psql("select count(*) from ldap_source_domain, ldap_request")
        page = sam.fill("/ldap/add?domain=2", name="theirs", server="ldaps://x", base="dc=x", domain="1")
        assert page.status == 404, page.text
        page = sam.fill("/ldap/add?domain=2", name="example.com", server="ldaps://x", base="dc=x")
        assert page.status == 422 and 'id="name-why"' in page.text, page.text
        # nor by a handler that forgot to ask
        sets = "set role rollcall_panel; set rollcall.customer = '2'; "
        for statement in ("insert into ldap_request (source_id, what, actor) values ({}, 'sync', 'sam')",
                          "insert into ldap_source_domain values ({}, 2)"):
            assert is_refused(rc, sets + statement.format(source[6:])), statement
        sam.fill("/ldap/add?domain=2", server="ldaps://x", base="dc=x")
        assert is_refused(rc, sets + "insert into ldap_source_domain select id, 1 from ldap_source where customer_id = 2")
        assert before and rc.psql("select count(*) from ldap_source_domain where domain_id = 1") == "1"


def test_requests_without_a_service():
    """As cron does it; one whose process ended without a word has failed; one at a time."""
    with world(few()) as (rc, ldap, panel):
        c = panel.client()
        c.sign_in("root")
        c.fill("/ldap/add?domain=1&preset=openldap", server=ldap.ldaps, base=PEOPLE, bind_dn=READER, ca_file=authority().ca,
             password=READER_PASSWORD)
        source = page_of(rc)
        c.get(source)
        first = c.post(source + "/ask", do="preview").path
        assert c.post(source + "/ask", do="sync").path == first, "one at a time"
        rc.psql("update ldap_request set state = 'running', started_at = now()")
        program = [BUILD / "bin/rollcall-ldapsync", "-c", rc.conf, "-o",
                   f"database=host={rc.host} dbname={rc.dbname} user=rollcall_sync"]
        subprocess.run([*program, "--requests"], check=True, timeout=60)
        assert "ended without a word" in c.get(first).text
        for _ in range(25):
            rc.psql("insert into ldap_request (source_id, what, actor, state) values (" + source[6:] + ", 'test', 'x', 'done')")
        page = c.post(source + "/ask", do="sync")
        subprocess.run([*program, "--requests"], check=True, timeout=60)
        assert "agrees with the directory" in c.get(page.path).text
        assert rc.psql("select count(*) from ldap_request") == "20"
        for wrong in (["--follow"], ["--requests", "--all"], ["--records-most", "0"]):
            assert subprocess.run([*program, *wrong], capture_output=True, timeout=60).returncode == 64, wrong


if __name__ == "__main__":
    main()
