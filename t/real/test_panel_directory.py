"""panel_directory: users that came from a directory sign in with its password, through a real slapd. Catches a password
that is good for somebody else's entry, one that still fits after it was changed or its user was taken off, a directory
that is away and lets everybody in or nobody know why, and a page that offers to change what is not ours.
"""
from directories import Slapd, person
from harness import eventually, main
from panel import PASSWORD, Panel
from test_ldap import PEOPLE, authority, connect, replace, rollcall, sync

OTHER = "another horse entirely"


def test_signing_in_by_the_directory():
    with Slapd(authority()) as ldap, rollcall() as rc, Panel(rc) as panel:
        rc.set(secret_key_file=panel.key)
        ldap.modify(person("anna", "mail: anna@example.com", "mail: a.second@example.com", f"userPassword: {PASSWORD}")
                    + person("bob", "mail: bob@example.com", f"userPassword: {OTHER}")
                    + person("carol", "mail: carol@example.com"))
        connect(rc, ldap)
        assert sync(rc)["outcome"] == "applied"
        rc.cli("user", "add", "local@example.com")

        def signs_in(address, password):
            c = panel.client()
            page = c.sign_in(address, password)
            return c if "Quarantine" in page.text and page.status == 200 else page
        anna = signs_in("anna@example.com", PASSWORD)
        assert anna.get("/quarantine").status == 200 and signs_in("A.Second@example.com", PASSWORD).get("/senders").status == 200
        wrong = [signs_in(address, password) for address, password in (
            ("anna@example.com", OTHER), ("bob@example.com", PASSWORD), ("anna@example.com", ""), ("carol@example.com", ""),
            ("carol@example.com", PASSWORD), ("local@example.com", PASSWORD), ("nobody@example.com", PASSWORD),
            ("*@example.com", PASSWORD), (f"uid=anna,{PEOPLE}", PASSWORD))]
        assert all(answer.status == 422 and "do not fit" in answer.text for answer in wrong), [a.text for a in wrong]
        # a password kept here, from before the directory, is worth nothing
        carol = rc.psql("select user_id from recipient where local_part = 'carol'")
        panel.account("root")
        rc.psql(f"insert into user_password (user_id, confirmed_at, hash, changed_at, must_change)"
                f" select {carol}, now(), password, now(), true from account")
        assert signs_in("carol@example.com", PASSWORD).status == 422
        # what is not ours is not changed here, and is not asked to be
        page = anna.get("/password")
        assert "directory" in page.text and "new_password" not in page.text and "Sign out everywhere" in page.text
        assert anna.post("/password", password=PASSWORD, new_password=OTHER, new_password_again=OTHER).status == 422
        # another password, at once
        ldap.modify(replace("anna", "userPassword", OTHER))
        assert signs_in("anna@example.com", PASSWORD).status == 422
        signs_in("anna@example.com", OTHER).get("/password")
        # away: nobody comes in, the log says why, and it goes on by itself
        ldap.stop()
        assert signs_in("bob@example.com", OTHER).status == 422
        assert any("directory of bob@example.com" in line for line in panel.logged("panel-trouble")), panel.log.read_text()
        ldap.start()
        eventually(lambda: signs_in("bob@example.com", OTHER).get("/quarantine").status == 200, 20, "the directory is back")
        assert anna.get("/quarantine").status == 200, "who is in stays in"
        # taken off in the directory: off the roll, out of the panel
        ldap.modify(f"dn: uid=anna,{PEOPLE}\nchangetype: delete\n")
        sync(rc)
        assert anna.get("/quarantine").location == "/sign-in"
        assert signs_in("anna@example.com", OTHER).status == 422
        for secret in (PASSWORD, OTHER):
            assert secret not in panel.log.read_text()


if __name__ == "__main__":
    main()
