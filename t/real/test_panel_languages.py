"""panel_languages: the pages in the reader's language. Catches a page that stays English, a browser's wish that is not
followed or beats one's own taste, and words that become HTML in a translation.
"""
from harness import Rollcall, main
from panel import PASSWORD, Panel
from test_panel import crawl, worked_out

SIGN_IN = {"en": "Sign in", "de": "Anmelden", "fr": "Se connecter", "es": "Iniciar sesión"}
WISHES = {"de": "de", "de-AT,en;q=0.5": "de", "en;q=0.3, fr;q=0.8, xx": "fr", "xx": "en", "": "en", "ES-mx": "es", "*": "en",
          "de;q=0, es;q=0.1": "es", "fr;q=abc, de;q=0.2": "de", ",;,=;q=,": "en", "en, de": "en"}


def asked_in(client, language, path):
    return client.ask("GET", path, headers={"Accept-Language": language})


def test_what_the_browser_wishes():
    with Rollcall() as rc, Panel(rc) as panel:
        for wish, language in WISHES.items():
            page = asked_in(panel.client(), wish, "/sign-in").text
            assert f'<html lang="{language}">' in page, (wish, language, page[:80])
            assert SIGN_IN[language] in page, (wish, page)


def test_every_page_in_every_language():
    """Pages differ from the English ones, whoever looks; one's own taste comes before the browser's."""
    with Rollcall() as rc, Panel(rc) as panel:
        rc.cli("customer", "add", "Clinic")
        rc.cli("domain", "add", "clinic.example", "--customer", "Clinic", "--next-hop", "[127.0.0.1]:25")
        rc.cli("user", "add", "alice@clinic.example", "--alias", "a@clinic.example", "--name", "Alice")
        panel.account("root")
        client = panel.client()
        client.sign_in("root")
        english = crawl(client)
        assert len(english) > 20, len(english)
        for language in ("de", "fr", "es"):
            client.get("/me")
            assert client.post("/me/taste", language=language, time_zone="Europe/Berlin").status == 200
            for path, before in english.items():
                page = client.follow(asked_in(client, "en", path))
                assert page.status == before.status, (path, page.status)
                if "<html" not in page.text:
                    continue
                assert f'<html lang="{language}">' in page.text, (language, path)
                for word in (">Sign out<", ">Users<", ">Domains<", ">Quarantine<", ">Save<", ">Add<", ">Nothing here<"):
                    assert word not in page.text or word == ">Domains<" and language == "de", (language, path, word)


def test_times_and_numbers():
    """A change of 1,234 addresses in summer, in each language and in the reader's zone; the exact time beside it."""
    wanted = {
        "en": ("1 Jul 2026, 23:30", "1 Jul 2026, 23:30:05 UTC+2", "1,234"),
        "de": ("01.07.2026, 23:30", "01.07.2026, 23:30:05 UTC+2", "1.234"),
        "fr": ("01/07/2026 23:30", "01/07/2026 23:30:05 UTC+2", "1\u202f234"),
        "es": ("01/07/2026, 23:30", "01/07/2026, 23:30:05 UTC+2", "1234"),
    }
    with Rollcall() as rc, Panel(rc) as panel:
        panel.account("root")
        rc.cli("customer", "add", "Clinic")
        rc.cli("domain", "add", "clinic.example", "--customer", "Clinic")
        rc.cli("user", "import", "-", input="".join(f"u{i}@clinic.example\n" for i in range(1234)))
        rc.psql("update changeset set created_at = '2026-07-01 21:30:05+00', decided_at = null where added = 1234")
        client = panel.client()
        client.sign_in("root")
        for language, (short, exact, count) in wanted.items():
            client.get("/me")
            assert client.post("/me/taste", language=language, time_zone="Europe/Berlin").status == 200
            page = client.get("/changes").text
            time = f'<time datetime="2026-07-01T23:30:05+02:00" title="{exact}">{short}</time>'
            assert time in page and count in page, (language, page)


def test_what_lib_refuses():
    """In the reader's words, in a form, in a list, and without commands."""
    with Rollcall() as rc, Panel(rc) as panel:
        panel.account("root")
        rc.cli("customer", "add", "Clinic")
        rc.cli("domain", "add", "clinic.example", "--customer", "Clinic")
        client = panel.client()
        client.sign_in("root")
        client.get("/me")
        assert client.post("/me/taste", language="de", time_zone="Europe/Berlin").status == 200
        page = client.get("/explain?address=nobody").text
        assert "„nobody“: enthält kein „@“" in page, page
        client.get("/paste")
        page = worked_out(client, client.post("/paste", text="a@nowhere.example b@-x", mode="add", domain="", follow=False).location)
        assert "a@nowhere.example: Die Domain wird hier nicht bedient." in page.text, page.text
        assert "Bindestrich" in page.text and "rollcall domain" not in page.text, page.text


def test_refusals():
    with Rollcall() as rc, Panel(rc) as panel:
        panel.account("root")
        client = panel.client()
        page = asked_in(client, "de", "/no/such/page")
        assert page.status == 404 and "Hier ist nichts" in page.text, page.text
        asked_in(client, "de", "/sign-in")
        assert "passen nicht zusammen" in client.ask(
            "POST", "/sign-in", f"token={client.last}&login=root&password=wrong{PASSWORD[:3]}",
            {"Content-Type": "application/x-www-form-urlencoded", "Accept-Language": "de"}).text


if __name__ == "__main__":
    main()
