"""Domains told to Postfix as indexed tables, and what another relay check would mean."""
import json

from harness import Postfix, Rollcall, eventually, main, rcpt, run


def sample(**settings):
    rc = Rollcall(**settings)
    rc.cli("customer", "add", "Example")
    return rc


def test_export():
    with sample() as rc, Postfix("gateway", start=False) as postfix:
        rc.set(postfix_config_directory=postfix.etc)

        def lookup(table, key):
            return run("postmap", "-c", postfix.etc, "-q", key, table, check=False).stdout.strip()

        where = rc.dir / "tables"
        where.mkdir()
        export = ["domain", "export", "--postfix", where]
        done = rc.run(*export, check=65)
        assert "no domain is served" in done.stderr and list(where.iterdir()) == []
        hops = {"a.test": "[192.0.2.1]:2525", "b.test": "relay:[mail.b.test]", "c.test": "mail.c.test:25", "d.test": "",
                "e.test": "unix:/run/lmtp", "f.test": "smtp-tls:mail.f.test:submission", "g.test": "mail.g.test:submission"}
        for name, hop in hops.items():
            rc.cli("domain", "add", name, "--customer", "Example", "--next-hop", hop)
        rc.cli("domain", "add", "alias.test", "--customer", "Example", "--alias-of", "b.test")
        rows = rc.json(*export)
        assert [row["changed"] for row in rows] == [True, True]
        relay, transport = (row["table"] for row in rows)
        for name in [*hops, "alias.test"]:
            assert lookup(relay, name), name
        assert lookup(relay, "x.test") == "" == lookup(transport, "d.test")
        wanted = {"a.test": "relay:[192.0.2.1]:2525", "b.test": "relay:[mail.b.test]", "c.test": "relay:mail.c.test:25",
                  "e.test": "lmtp:unix:/run/lmtp", "f.test": "smtp-tls:mail.f.test:submission",
                  "g.test": "relay:mail.g.test:submission", "alias.test": "relay:[mail.b.test]"}
        assert {name: lookup(transport, name) for name in wanted} == wanted
        stamps = {path: path.stat().st_mtime_ns for path in where.iterdir()}
        assert [row["changed"] for row in rc.json(*export)] == [False, False]
        assert stamps == {path: path.stat().st_mtime_ns for path in where.iterdir()}
        rc.cli("domain", "set", "d.test", "--next-hop", "[192.0.2.9]")
        assert [row["changed"] for row in rc.json(*export)] == [False, True]
        rc.cli("domain", "remove", "g.test")
        assert [row["changed"] for row in rc.json(*export)] == [True, True] and lookup(relay, "g.test") == ""
        index = next(path for path in where.iterdir() if path.name.startswith("relay_domains."))
        index.unlink()
        assert [row["changed"] for row in rc.json(*export)] == [True, False] and lookup(relay, "a.test")
        assert not [path for path in where.iterdir() if ".new" in path.name]
        for kind in ("hash", "btree", "lmdb"):
            assert lookup(rc.json(*export, "--type", kind)[0]["table"], "a.test"), kind
        rc.run(*export, "--type", "pgsql", check=64)
        rc.run("domain", "export", check=64)
        assert "No such file" in rc.run("domain", "export", "--postfix", rc.dir / "none", check=1).stderr


def test_a_gateway_relays_by_them():
    with sample() as rc, Postfix.customer(["bob@example.test"]) as customer:
        rc.cli("domain", "add", "example.test", "--customer", "Example", "--next-hop", f"[127.0.0.1]:{customer.port}")
        where = rc.dir / "tables"
        where.mkdir()
        rc.set(postfix_config_directory=customer.etc)
        relay, transport = (row["table"] for row in rc.json("domain", "export", "--postfix", where))
        with Postfix("gateway", f"""\
relay_domains = {relay}
transport_maps = {transport}
parent_domain_matches_subdomains =
smtpd_relay_restrictions = reject_unauth_destination
""") as gateway:
            assert rcpt(gateway.port, "bob@example.test").startswith("250")
            assert rcpt(gateway.port, "bob@other.test").startswith("554")
            rc.cli("domain", "add", "other.test", "--customer", "Example", "--next-hop", f"[127.0.0.1]:{customer.port}")
            rc.cli("domain", "export", "--postfix", where)
            eventually(lambda: rcpt(gateway.port, "bob@other.test").startswith("250"), 20)
            rc.set(postfix_config_directory=gateway.etc)
            told = json.loads(rc.run("doctor", "--json", check=False).stdout)
            assert not [row for row in told if "451" in row["found"]], told
            with open(gateway.etc / "main.cf", "a") as main_cf:
                main_cf.write("transport_maps = proxy:pgsql:/etc/postfix/transport.cf\n")
            told = json.loads(rc.run("doctor", "--json", check=False).stdout)
            assert [row for row in told if "all mail gets 451" in row["found"]], told


def test_preflight():
    with sample() as rc:
        rc.cli("domain", "add", "a.test", "--customer", "Example", "--relay-check", "smtp")
        rc.cli("domain", "add", "alias.test", "--customer", "Example", "--alias-of", "a.test")

        def told(name, mode):
            page = rc.json("domain", "preflight", name, "--relay-check", mode)
            return page, " / ".join(row["consequence"] for row in page["consequences"])

        page, text = told("a.test", "panel")
        assert "0 recipients" in text and "gets 450" in text and "nobody is on the roll" in text
        rc.cli("user", "import", "-", input="".join(f"u{n}@a.test\n" for n in range(10)))
        rc.cli("user", "add", "u1@a.test", "new@a.test")
        rc.cli("user", "disable", "u2@a.test")
        page, text = told("alias.test", "panel")
        assert (page["relay_check"], page["active"], page["disabled"], page["verified"]) == ("smtp", 10, 1, 0)
        assert "refused with 550" in text and "1 disabled" in text
        assert [(row["source"], row["recipients"]) for row in page["sources"]] == [("import", 10), ("manual", 2)], page
        assert "nothing changes" in told("a.test", "smtp")[1] and "no next hop" in told("a.test", "either")[1]
        assert "everybody else is accepted" in told("a.test", "off")[1]
        assert "consequence" in rc.cli("domain", "preflight", "a.test", "--relay-check", "off")
        rc.run("domain", "preflight", "a.test", check=64)
        rc.run("domain", "preflight", "a.test", "--relay-check", "x", check=64)
        rc.run("domain", "preflight", "none.test", "--relay-check", "off", check=65)


if __name__ == "__main__":
    main()
