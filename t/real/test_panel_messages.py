"""panel_messages: what a person sees of a quarantined message, and how it is found among many. Catches a stranger's HTML
that loads, runs or leads anywhere, the bytes of a message given to the wrong person, pages that show a message twice or
never, and a password that came by mail and need not be changed.
"""
import re
import urllib.parse

from harness import Rollcall, eventually, main
from panel import PASSWORD, Panel
from quarantine import Quarantine
from test_panel import fill

HOSTILE = b"""\
From: "Your <bank>" <service@bank.example>
To: alice@clinic.example
Subject: =?utf-8?q?Account_=3Cb=3Elocked=3C/b=3E?=
X-Spam: yes
MIME-Version: 1.0
Content-Type: text/html; charset=utf-8

<html><head><title>x</title><style>@import url(http://evil.example/s)</style>
<meta http-equiv="refresh" content="0;url=http://evil.example/r"><link rel="dns-prefetch" href="//evil.example">
<base href="http://evil.example/"></head><body background="http://evil.example/b" onload="alert(1)">
<h1 style="background:url(http://evil.example/c)">Dear customer</h1>
<p>Please <a href="http://evil.example/login?a=1&amp;b=2" target="_top">sign in</a> now.</p>
<img src="http://evil.example/pixel.gif" alt="logo &lt;script&gt;">
<form action="http://evil.example/"><input name="password"><button>Go</button></form>
<script>parent.document.title = "stolen"</script><iframe src="http://evil.example/f"></iframe>
<svg onload="alert(1)"><script>alert(2)</script></svg><table><tr><td>1</td></tr></table></body></html>
""".replace(b"\n", b"\r\n")


def test_preview_and_raw():
    """A message as a real gateway took it in, seen by its user, its administrator and others."""
    with Rollcall() as rc, Panel(rc) as panel:
        quarantine = Quarantine(rc, name="mx1")
        fill(rc)
        panel.account("anna", "Clinic")
        panel.account("sam", "School")
        with quarantine:
            assert quarantine.give(HOSTILE, "alice@clinic.example", "a.smith@clinic.example")[0][0] == 250
            number = rc.psql("select min(id) from quarantine_recipient")
            anna, sam = panel.client(), panel.client()
            anna.sign_in("anna")
            sam.sign_in("sam")
            page = anna.get(f"/quarantine/{number}")
            assert "Account &lt;b&gt;locked" in page.text and "Dear customer" in page.text and "X-Spam: yes" in page.text
            assert re.search(r'<iframe [^>]*src="/quarantine/%s/html" sandbox ' % number, page.text), page.text
            assert "default-src 'none'" in page.headers["Content-Security-Policy"]
            frame = anna.get(f"/quarantine/{number}/html")
            policy = frame.headers["Content-Security-Policy"].split("; ")
            assert "default-src 'none'" in policy and "sandbox" in policy and "frame-ancestors 'self'" in policy, policy
            assert not [part for part in policy if "allow" in part or "unsafe" in part]
            assert frame.headers["X-Content-Type-Options"] == "nosniff" and frame.headers["X-Frame-Options"] == "SAMEORIGIN"
            body = frame.text.split("<body>")[1]
            assert "<h1>Dear customer</h1>" in body and "<td>1</td>" in body and "[logo &lt;script&gt;]" in body, body
            assert "[http://evil.example/login?a=1&amp;b=2]" in body, "where a link leads is said"
            tags = set(re.findall(r"<(/?[^>]*)>", body))
            assert all(re.fullmatch(r"/?[a-z][a-z0-9]*", tag) for tag in tags), tags
            for word in ("alert", "pixel", "evil.example/f", "evil.example/s", "evil.example/r", "refresh", "stolen"):
                assert word not in body, word
            # the bytes as they came: for who manages
            got = anna.post(f"/quarantine/{number}/raw", follow=False)
            assert got.status == 303 and got.location == f"/quarantine/{number}/raw"
            raw = eventually(lambda: (a := anna.get(got.location)).headers.get("Content-Disposition") and a, 20, "the file")
            assert raw.body == HOSTILE, raw.body
            assert "attachment" in raw.headers["Content-Disposition"]
            assert raw.headers["Content-Type"] == "application/octet-stream"
            # nothing of it for another customer, nor its bytes for the user
            for path in ("", "/html", "/raw"):
                answer = sam.get(f"/quarantine/{number}{path}")
                assert answer.status == 404 and "bank" not in answer.text, path
            assert "bank" not in sam.follow(sam.post(f"/quarantine/{number}/raw", follow=False)).text
            assert rc.psql("select count(*) from quarantine_request where action = 'raw'") == "1"
            sets = "set role rollcall_panel; set rollcall.customer = '2'; "
            assert rc.psql(sets + "select count(*) from quarantine_raw").splitlines()[-1] == "0"
            c = user(rc, panel)
            assert c.get(f"/quarantine/{number}/html").status == 200
            assert c.get(f"/quarantine/{number}/raw").status == 403
            assert c.post(f"/quarantine/{number}/raw").status == 403
        # its gateway is away: the page says so, and goes on by itself
        second = rc.psql("select max(id) from quarantine_recipient")
        anna.get(f"/quarantine/{second}")
        page = anna.post(f"/quarantine/{second}/raw")
        assert page.status == 200 and "mx1" in page.text and "data-again" in page.text and "<noscript><meta" in page.text
        assert not list(panel.spool.iterdir())


def user(rc, panel, must_change=False):
    """alice of Clinic, signed in with a password of her own."""
    number = rc.psql("select user_id from recipient where local_part = 'alice' and domain_id = 1")
    rc.psql(f"insert into user_password (user_id, confirmed_at, hash, changed_at, must_change) select {number}, now(),"
            f" password, now(), {must_change} from account limit 1 on conflict (user_id) do update set must_change = {must_change}")
    c = panel.client()
    c.sign_in("alice@clinic.example")
    return c


MANY = """
insert into quarantine_message (gateway, file, received_at, sender, size, digest, category, reason, score, from_text,
    from_address, subject, headers, preview)
  select 'mx1', '00/' || lpad(to_hex(i), 32, '0'), timestamptz '2026-11-30 12:00Z' - (i * 7919 % 140) * interval '1 hour',
    's@x.example', 1000, decode(repeat('00', 32), 'hex'), (array['spam','bulk','virus','content'])[1 + i % 4]::quarantine_category,
    'R', i % 9, 'Sender ' || chr(65 + i % 26), 's@x.example', 'Subject ' || i % 13, '', '' from generate_series(1, 140) i;
insert into quarantine_recipient (message_id, customer_id, domain_id, user_id, address, local_part, category, received_at)
  select m.id, 1, 1, r.user_id, 'alice@clinic.example', 'alice', m.category, m.received_at from quarantine_message m
    join recipient r on r.domain_id = 1 and r.local_part = 'alice';
"""


def walk(client, query):
    """The numbers on all pages, in their order."""
    seen, path = [], "/quarantine?" + query
    while path:
        page = client.get(path)
        assert page.status == 200
        seen.append(re.findall(r'<th scope="row"><a href="/quarantine/(\d+)"', page.text))
        found = re.search(r'rel="next" href="([^"]*)"', page.text)
        path = found and found[1].replace("&amp;", "&")
    assert all(len(page) == 50 for page in seen[:-1]), [len(page) for page in seen]
    return [number for page in seen for number in page]


def test_finding():
    with Rollcall() as rc, Panel(rc) as panel:
        fill(rc)
        panel.account("anna", "Clinic")
        rc.psql(MANY)
        c = panel.client()
        c.sign_in("anna")
        base = "select string_agg(r.id::text, ',' order by {}) from quarantine_recipient r join quarantine_message m on m.id = r.message_id where {}"

        def wanted(order, where="true"):
            return (rc.psql(base.format(order, where)) or "").split(",")
        for order, sql in (("", "r.received_at desc, r.id desc"), ("oldest", "r.received_at, r.id"),
                           ("sender", "lower(from_text), r.id"), ("subject", "lower(subject), r.id"),
                           ("score", "score desc, r.id desc"), ("'; drop table x", "r.received_at desc, r.id desc")):
            got = walk(c, "order=" + urllib.parse.quote(order))
            assert got == wanted(sql), (order, got[:5], wanted(sql)[:5])
        newest = "r.received_at desc, r.id desc"
        assert walk(c, "category=virus") == wanted(newest, "m.category = 'virus'")
        assert walk(c, "from=2026-11-28&to=2026-11-29") == wanted(newest, "r.received_at >= '2026-11-28Z' and r.received_at < '2026-11-30Z'")
        assert walk(c, "from=2026-11-28&category=bulk&q=subject+5") == wanted(
            newest, "r.received_at >= '2026-11-28Z' and m.category = 'bulk' and subject = 'Subject 5'")
        assert len(walk(c, "from=2026-02-30&to=yesterday")) == 140, "a day that there is not is none"
        # the day is the viewer's
        c.get("/me")
        c.post("/me/taste", time_zone="Pacific/Kiritimati")
        assert walk(c, "to=2026-11-29") == wanted(newest, "r.received_at < '2026-11-29T10:00Z'")
        # several at once; back to where one was
        c.get("/quarantine")
        chosen = wanted("r.id")[:3]
        body = urllib.parse.urlencode([("token", c.last), ("do", "delete"), ("category", "spam"), ("q", "a&b"),
                                       ("order", "sender"), *(("message", n) for n in chosen)])
        answer = c.ask("POST", "/quarantine", body, {"Content-Type": "application/x-www-form-urlencoded"})
        assert answer.location == "/quarantine?category=spam&order=sender&q=a%26b", answer.location
        assert rc.psql("select count(*) from quarantine_recipient where state = 'deleted'") == "3"
        page = c.post("/quarantine", do="release", message=chosen[0])
        assert "Done for 0 of 1" in page.text, page.text
        assert len(walk(c, "state=deleted")) == 3


def test_viruses():
    """Who may release a virus is a setting; by default administrators, and no user."""
    with Rollcall() as rc:
        fill(rc)
        rc.psql(MANY)
        virus, spam = (rc.psql(f"select min(id) from quarantine_recipient where category = '{c}'") for c in ("virus", "spam"))
        asked = lambda: rc.psql("select string_agg(recipient_id::text, ' ' order by id) from quarantine_request")
        with Panel(rc) as panel:
            panel.account("anna", "Clinic")
            c = user(rc, panel)
            page = c.get(f"/quarantine/{virus}")
            assert "you cannot release it" in page.text and 'value="release"' not in page.text
            assert 'value="allow"' not in page.text and 'value="delete"' in page.text
            page = c.post("/quarantine", do="release", message=[virus, spam])
            assert "Done for 1 of 2: the others carry a virus" in page.text, page.text
            assert asked() == spam
            assert "Done for 0 of 1" in c.post("/quarantine", do="allow", message=virus).text and asked() == spam
            anna = panel.client()
            anna.sign_in("anna")
            assert "only if you know" in anna.get(f"/quarantine/{virus}").text
            assert "Being released" in anna.post("/quarantine", do="release", message=virus).text
            assert asked() == f"{spam} {virus}"
        rc.psql("delete from quarantine_request")
        with Panel(rc, release_virus="operators") as panel:
            anna = panel.client()
            anna.sign_in("anna")
            assert "Done for 0 of 1" in anna.post("/quarantine", do="release", message=virus).text and asked() == ""
        with Panel(rc, release_virus="users") as panel:
            c = user(rc, panel)
            assert 'value="release"' in c.get(f"/quarantine/{virus}").text
            assert "Being released" in c.post("/quarantine", do="release", message=virus).text and asked() == virus


def test_first_password():
    """A password that came by mail opens nothing but the page on which it is changed."""
    with Rollcall() as rc, Panel(rc) as panel:
        fill(rc)
        panel.account("anna", "Clinic")
        c = user(rc, panel, must_change=True)
        for path in ("/", "/quarantine", "/senders"):
            assert c.get(path).location == "/password", path
        c.get("/password")
        assert c.post("/quarantine", do="delete", message="1", follow=False).location == "/password"
        page = c.post("/password", password=PASSWORD, new_password=PASSWORD + "2", new_password_again=PASSWORD + "2")
        assert "changed" in page.text and c.get("/quarantine").status == 200


if __name__ == "__main__":
    main()
