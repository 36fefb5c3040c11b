"""The panel's report pages: settings of a customer, a domain and a user, what a report will look like, and one that is sent
to a real mailbox. Catches a setting that is lost or in force for somebody else, a preview that loads or runs anything, a
user who chooses what may not be chosen, a report sent to whoever one likes.
"""
import contextlib
import re
import struct
import zlib

from harness import main
from panel import PASSWORD, Panel
from test_report import Mails


@contextlib.contextmanager
def world():
    with Mails(["alice@customer.test", "bob@customer.test"]) as mails, Panel(
            mails.rc, link_key_file=mails.rc.dir / "keys/link.key") as panel:
        rc = mails.rc
        rc.cli("customer", "add", "Other")
        rc.cli("domain", "add", "other.test", "--customer", "Other")
        rc.cli("user", "add", "olga@other.test")
        panel.account("root")
        panel.account("anna", "Example")
        panel.account("otto", "Other")
        yield mails, rc, panel


def in_force(rc, address, what):
    local, domain = address.split("@")
    return rc.psql(f"select {what} from report_user where local_part = '{local}' and domain = '{domain}'")


def test_settings_of_customer_and_domain():
    with world() as (mails, rc, panel):
        c, otto = panel.client(), panel.client()
        c.sign_in("anna")
        otto.sign_in("otto")
        page = c.get("/reports")
        assert "customer.test" in page.text and "other.test" not in page.text
        customer = re.search(r"/reports/customer/\d+", page.text)[0]
        domain = "/reports/domain/" + rc.psql("select id from domain where name = 'customer.test'")
        page = c.fill(customer, days=["mon", "fri"], hours=["7", "16"], zone="Europe/Berlin", language="de",
                      users_choose="no", categories=["spam", "virus"], block_list="no")
        assert "Saved" in page.text and page.path == customer, page.text
        assert in_force(rc, "alice@customer.test", "days, hours, zone, language, users_choose, categories, block_list"
                        ) == f"{1 | 16}|{1 << 7 | 1 << 16}|Europe/Berlin|de|f|{{spam,virus}}|f"
        page = c.get(domain)
        assert "None chosen: mon,fri" in page.text and "not set: de" in page.text, page.text
        page = c.fill(domain, hours=["12"], central_contact="boss@customer.test", brand_name="Post <b>",
                      brand_colour="#AABBCC", brand_logo="https://logo.example/x.png", brand_footer="Call us.\nNow.")
        assert page.path == domain, page.text
        assert in_force(rc, "alice@customer.test", "days, hours, brand_name, brand_colour, brand_logo") == (
            f"{1 | 16}|{1 << 12}|Post <b>|#aabbcc|https://logo.example/x.png")
        assert rc.psql("select contact from report_domain") == "boss@customer.test"
        # what came is what the form shows, and sending it again changes nothing
        before = rc.psql("select * from report_setting order by id")
        c.fill(domain)
        assert rc.psql("select * from report_setting order by id") == before
        # the field is marked, what was typed stays, nothing is saved
        for field, bad in (("zone", "Mars/Base"), ("brand_colour", "red"), ("brand_logo", "http://x"),
                           ("central_contact", "no address"), ("language", "xx"), ("brand_name", "x" * 200)):
            page = c.fill(domain, **{field: bad})
            assert page.status == 422 and f'href="#{field}"' in page.text, (field, page.text)
            assert field == "language" or f'value="{bad}"' in page.text, (field, page.text)
        assert rc.psql("select * from report_setting order by id") == before
        # back to what is above
        c.fill(domain, hours=None, central_contact="", brand_name="", brand_colour="", brand_logo="", brand_footer="")
        assert in_force(rc, "alice@customer.test", "hours, brand_name, brand_colour") == f"{1 << 7 | 1 << 16}||#1f4e79"
        # another customer's administrator
        for path in (customer, domain, "/reports/look?domain=" + domain.split("/")[-1]):
            assert otto.get(path).status == 404, path
        otto.get("/reports")
        before = rc.psql("select * from report_setting order by id")
        for path in (customer, domain):
            assert otto.post(path, settings="yes", enabled="no").status == 404
        assert otto.post("/reports/look", domain=domain.split("/")[-1], settings="yes").status == 404
        assert otto.post(domain + "/send", address="alice@customer.test").status == 404
        assert rc.psql("select * from report_setting order by id") == before
        # the presets that the page names are those of the view
        rc.psql("delete from report_setting")
        page = c.get(customer).text
        names = [line.split(None, 1)[0] for line in rc.cli("report", "show", "--customer", "Example").splitlines()[1:]]
        for name in names:
            field = name.replace("-", "_")
            assert f'name="{field}"' in page, f"{name} would be lost by whoever saves the page"
        assert "None chosen: spam,bulk,virus,content" in page and "None chosen: all" in page and "None chosen: 7" in page
        assert in_force(rc, "alice@customer.test", "enabled, users_choose, days, hours, categories, block_list, sender_links,"
                        " brand_colour") == "t|t|127|128|{spam,bulk,virus,content}|t|t|#1f4e79"


def test_preview():
    with world() as (mails, rc, panel):
        c = panel.client()
        c.sign_in("anna")
        number = rc.psql("select id from domain where name = 'customer.test'")
        page = c.get(f"/reports/domain/{number}")
        assert 'sandbox' in page.text and f'src="/reports/look?domain={number}"' in page.text
        look = c.get(f"/reports/look?domain={number}")
        policy = look.headers["Content-Security-Policy"]
        assert look.status == 200 and "sandbox;" in policy and "default-src 'none'" in policy and "script" not in policy
        assert "alice@customer.test" in look.text and "You have won" in look.text and "Allow sender" in look.text
        # what is typed and not saved
        look = c.post("/reports/look", settings="yes", domain=number, language="fr", brand_name="Courrier <i>",
                      brand_colour='"><script>', brand_logo="https://logo.example/x.png", brand_footer="Fin",
                      categories="virus", sender_links="no", block_list="no")
        assert "Courrier &lt;i&gt;" in look.text and "<script" not in look.text and 'lang="fr"' in look.text, look.text
        assert "logo.example" not in look.text and "Fin" in look.text
        assert "Invoice 4711" in look.text and "You have won" not in look.text
        central = c.post("/reports/look?central", settings="yes", domain=number)
        assert ">customer.test<" in central.text and "Release" not in central.text
        assert rc.psql("select count(*) from report_setting") == "0"
        # links of samples are nobody's
        links = re.findall(r"/message\?t=([\w-]+)", c.get(f"/reports/look?domain={number}").text)
        assert links and all(c.get(f"/message?t={token}").status in (404, 410) for token in links[:3])


def png():
    """A picture of one white dot."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"\0\xff")) + chunk(b"IEND", b""))


def test_a_logo():
    """Taken in, in the preview and in the report, shown to whoever has the mail; nothing else than a picture, nobody else's."""
    with world() as (mails, rc, panel):
        c, otto, nobody = panel.client(), panel.client(), panel.client()
        c.sign_in("anna")
        otto.sign_in("otto")
        domain = "/reports/domain/" + rc.psql("select id from domain where name = 'customer.test'")
        customer = "/reports/customer/" + rc.psql("select customer_id from domain where name = 'customer.test'")
        c.get(domain)
        for wrong in (b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", b"", png()[:-3],
                      png()[:-12] + bytes(300_000) + png()[-12:]):
            page = c.upload(domain + "/logo", wrong, name="logo.png")
            assert page.status == 422 and "256 KiB" in page.text and 'href="#logo"' in page.text, page.text
        assert rc.psql("select count(*) from brand_image") == "0" and not list(panel.spool.iterdir())
        page = c.upload(domain + "/logo", png(), name="../logo.gif")
        assert page.path == domain and page.status == 200, page.text
        path = rc.psql("select brand_logo from report_setting where domain_id is not null")
        assert re.fullmatch(r"/brand/[0-9a-f]{32}\.png", path) and f'value="{path}"' in page.text, (path, page.text)
        shown = nobody.get(path)
        assert shown.status == 200 and shown.body == png() and shown.headers["Content-Type"] == "image/png", shown.headers
        assert shown.headers["Cross-Origin-Resource-Policy"] == "cross-origin" and "immutable" in shown.headers["Cache-Control"]
        assert nobody.get("/brand/" + "0" * 32 + ".png").status == 404 and nobody.get("/brand/x").status == 404
        look = c.get("/reports/look?domain=" + domain.split("/")[-1])
        assert "data:image/png;base64,iVBOR" in look.text and "img-src data:" in look.headers["Content-Security-Policy"]
        # the form around it keeps it, and the customer's own comes beside it
        assert "Saved" in c.fill(domain, brand_name="Post").text
        c.get(customer)
        assert c.upload(customer + "/logo", png()).path == customer
        assert rc.psql("select count(*), count(distinct brand_logo) from report_setting where brand_logo is not null") == "2|1"
        # another customer's
        otto.get("/reports")
        for theirs in (domain, customer):
            assert otto.upload(theirs + "/logo", png()).status == 404
        number = domain.split("/")[-1]
        rc.psql("set role rollcall_panel; select set_config('rollcall.customer', (select id::text from customer where name = 'Other'), false);"
                f" select panel_brand_add(true, {number}, 'png', '\\x00')", check=False)
        assert rc.psql("select count(*) from brand_image") == "1"
        # at most so many that nothing shows
        for i in range(25):
            c.upload(domain + "/logo", png()[:-12] + bytes([i]) + png()[-12:])
        assert rc.psql("select count(*) <= 22 from brand_image") == "t"
        assert rc.psql("select count(*) from report_setting s where brand_logo is not null and not exists (select from brand_image b"
                       " where '/brand/' || b.name = s.brand_logo)") == "0"


def test_one_is_sent():
    with world() as (mails, rc, panel):
        c = panel.client()
        c.sign_in("anna")
        page = "/reports/domain/" + rc.psql("select id from domain where name = 'customer.test'")
        c.get(page)
        for bad in ("no address", "nobody@customer.test", "olga@other.test", ""):
            answer = c.post(page + "/send", address=bad)
            assert answer.status == 422 and 'id="address-why"' in answer.text, (bad, answer.text)
        assert rc.psql("select count(*) from report_request") == "0"
        mails.quarantine("alice@customer.test", subject="Something odd")
        c.upload(page + "/logo", png())
        assert "being made" in c.post(page + "/send", address="alice@customer.test").text
        c.post(page + "/send", address="bob@customer.test")
        mails.command("send")
        shown = c.get(page).text
        assert "one message listed" in shown and "holds nothing to show" in shown and "being made" not in shown, shown
        mails.command("send")
        mail = mails.arrived("alice@customer.test", 1)[0]
        assert "Something odd" in mail.get_body(("plain",)).get_content()
        assert re.search(r'<img src="https?://[^"/]+/brand/[0-9a-f]{32}\.png"', mail.get_body(("html",)).get_content()), mail
        assert rc.psql("select count(*) from report_run where not again") == "0", "the next report lists it all the same"


def test_a_users_own():
    with world() as (mails, rc, panel):
        user = rc.psql("select user_id from recipient where local_part = 'alice'")
        rc.psql(f"insert into user_password (user_id, confirmed_at, hash, changed_at) select {user}, now(), password, now()"
                " from account where login = 'root'")
        c = panel.client()
        c.sign_in("alice@customer.test", PASSWORD)
        page = c.fill("/reports/mine", hours=["6"], days=["sat"], zone="America/New_York", language="es",
                      categories=["spam"], block_list="no", sender_links="no")
        assert "Saved" in page.text, page.text
        what = "enabled, days, hours, zone, language, categories, block_list, sender_links"
        assert in_force(rc, "alice@customer.test", what) == f"t|32|{1 << 6}|America/New_York|es|{{spam}}|f|f"
        assert in_force(rc, "bob@customer.test", "days, hours") == "127|128"
        # times are shown in that zone, also where PostgreSQL has never heard of it
        mails.quarantine("alice@customer.test", at=1795564800)
        assert 'datetime="2026-11-24T19:00:01-05:00"' in c.get("/quarantine").text  # five hours behind midnight GMT
        rc.psql("update report_setting set zone = 'Mars/Base' where user_id is not null")
        assert 'datetime="2026-11-25T00:00:01+00:00"' in c.get("/quarantine").text
        rc.psql("update report_setting set zone = 'America/New_York' where user_id is not null")
        assert c.fill("/reports/mine", zone="Nowhere").status == 422
        c.fill("/reports/mine", enabled="no")
        assert in_force(rc, "alice@customer.test", "enabled") == "f"
        assert "No recibe ningún informe." in c.get("/reports/mine").text, "and the panel speaks the reports' language"
        # the administrator decides: then nothing but off
        root = panel.client()
        root.sign_in("root")
        root.fill("/reports/domain/" + rc.psql("select id from domain where name = 'customer.test'"), users_choose="no")
        page = c.get("/reports/mine")
        assert 'name="hours"' not in page.text and 'name="zone"' not in page.text
        before = rc.psql("select days, hours, zone from report_setting where user_id is not null")
        c.post("/reports/mine", settings="yes", enabled="", days="mon", hours="1", zone="Europe/Berlin", users_choose="yes",
               brand_name="Mine")
        assert rc.psql("select days, hours, zone from report_setting where user_id is not null") == before
        assert in_force(rc, "alice@customer.test", "enabled, days, hours") == "t|127|128"
        for path in ("/reports", "/reports/domain/1", "/reports/customer/1", "/reports/look?domain=1"):
            assert c.get(path).status == 403, path


if __name__ == "__main__":
    main()
