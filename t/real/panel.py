"""panel - rollcall-panel as a test's server, and a client that behaves like a browser without looks

    with Rollcall() as rc, Panel(rc) as panel:
        c = panel.client(); c.sign_in("root", PASSWORD); c.get("/customers")
"""
import base64
import contextlib
import hashlib
import html.parser
import http.client
import os
import pathlib
import re
import signal
import subprocess
import urllib.parse

from harness import BUILD, POLICY_USER, SANITIZER_WORDS, die_with_parent, eventually, free_port, own

PASSWORD = "correct horse battery"


class Panel:
    """The daemon under its own database role, with a key, on a free port."""

    def __init__(self, owner, **settings):
        self.owner, self.port, self.metrics_port = owner, free_port(), free_port()
        self.spool, self.key, self.log = owner.dir / "panel-spool", owner.dir / "secret.key", owner.dir / "panel.log"
        self.url = f"http://127.0.0.1:{self.port}"
        self.link_key = pathlib.Path(settings.get("link_key_file", owner.dir / "link.key"))
        for key in (self.key, self.link_key):
            if not key.exists():
                key.write_text(os.urandom(32).hex())
                key.chmod(0o640)
        self.settings = {
            "database": f"host={owner.host} dbname={owner.dbname} user=rollcall_panel", "database_timeout": "3s",
            "panel_listen": f"inet:127.0.0.1:{self.port}", "panel_metrics_listen": f"inet:127.0.0.1:{self.metrics_port}",
            "panel_url": self.url, "panel_user": POLICY_USER, "panel_spool_directory": self.spool,
            "secret_key_file": self.key, "link_key_file": self.link_key, "sandbox_read": "/tmp",  # whose certificates lie there
            **settings}
        self.process = None

    def __enter__(self):
        out = open(self.log, "ab")
        options = [part for name, value in self.settings.items() for part in ("-o", f"{name}={value}")]
        self.process = subprocess.Popen([BUILD / "bin/rollcall-panel", "-c", "/dev/null", *options], stdout=out, stderr=out,
                                        cwd="/", env=self.owner.environment(), preexec_fn=die_with_parent)
        out.close()
        eventually(lambda: self.client().get("/sign-in").status == 200, 20, "the panel")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        text = self.log.read_text(errors="replace")
        assert code == 0, f"rollcall-panel ended with {code}\n{text[-3000:]}"
        for word in SANITIZER_WORDS:
            assert word not in text, text[-6000:]
        assert not list(self.spool.iterdir()), "lists are left in the spool"

    def client(self):
        return Client(self.port)

    def account(self, login, customer=None, password=PASSWORD):
        """An account that need not change its password."""
        self.owner.cli("account", "add", login, *(["--customer", customer] if customer else ["--operator"]),
                       "--password-stdin", input=password + "\n")
        self.owner.psql(f"update account set must_change = false where login = '{login}'")
        return login

    def logged(self, event):
        return [line for line in self.log.read_text(errors="replace").splitlines() if f": {event}: " in line]


class Forms(html.parser.HTMLParser):
    """The links of a page, and its forms: [(method, action, {name: value})]."""

    def __init__(self, text):
        super().__init__()
        self.links, self.forms = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        if tag == "a" and a.get("href", "").startswith("/"):
            self.links.append(a["href"])
        elif tag == "form":
            self.forms.append((a.get("method", "get"), a.get("action", ""), {}))
        elif tag in ("input", "button", "textarea", "select") and self.forms:
            if a.get("formaction"):
                self.forms.append(("post", a["formaction"], dict(self.forms[-1][2])))
            if "name" in a:
                self.forms[-1][2][a["name"]] = a.get("value", "")


class Filled(html.parser.HTMLParser):
    """What a browser would send of the form with that action if nobody touched it: {name: value, or a list of values}."""

    def __init__(self, text, action):
        super().__init__()
        self.action, self.inside, self.fields, self.open, self.found = action, False, {}, None, False
        self.feed(text)
        assert self.found, f"no form for {action}"

    def _add(self, name, value):
        if name in self.fields:
            before = self.fields[name]
            self.fields[name] = [*(before if isinstance(before, list) else [before]), value]
        else:
            self.fields[name] = value

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        if tag == "form":
            self.inside = a.get("action") == self.action and a.get("method") == "post"
            self.found = self.found or self.inside
        elif not self.inside:
            return
        elif tag == "input" and a.get("name") and (a.get("type") not in ("checkbox", "radio", "file") or "checked" in a):
            self._add(a["name"], a.get("value") or "")
        elif tag == "textarea":
            self.open, self.fields[a["name"]] = a["name"], ""
        elif tag == "select":
            self.select, self.chosen, self.option = a["name"], None, None
        elif tag == "option":
            self.open, self.option, self.label = "option", a, ""

    def handle_data(self, data):
        if self.open == "option":
            self.label += data
        elif self.open:
            self.fields[self.open] += data

    def handle_endtag(self, tag):
        if tag == "form":
            self.inside = False
        elif tag == "textarea" and self.open:
            self.fields[self.open] = self.fields[self.open].removeprefix("\n")  # HTML standard, 13.2.6.4.7
            self.open = None
        elif tag == "option" and self.inside:
            value = self.option.get("value", self.label.strip())
            if self.chosen is None or "selected" in self.option:
                self.chosen = value
            self.open = None
        elif tag == "select" and self.inside:
            self._add(self.select, self.chosen)


class Answer:
    path = ""  # where it came from, after what was followed

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        self.text = body.decode(errors="replace")

    @property
    def location(self):
        return self.headers.get("Location")

    @property
    def token(self):
        found = re.search(r'name="token" value="([0-9a-f]{32})"', self.text)
        return found[1] if found else ""


def mail_token(rc, purpose, user):
    """What the link of such a mail carries, made as the mail's program makes it."""
    raw = os.urandom(32)
    rc.psql(f"select token_make('\\x{hashlib.blake2b(raw, digest_size=32).hexdigest()}', '{purpose}', {user}, '1 hour')")
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Client:
    def __init__(self, port):
        self.port, self.cookies, self.last = port, {}, None

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            cookie = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())} if self.cookies else {}
            connection.request(method, path, body, {**cookie, **(headers or {})})
            got = connection.getresponse()
            for line in got.headers.get_all("Set-Cookie") or []:
                name, value = line.split(";")[0].split("=", 1)
                self.cookies.pop(name, None)
                if "Max-Age=0" not in line:
                    self.cookies[name] = value
            answer = Answer(got.status, got.headers, got.read())
        if answer.token:
            self.last = answer.token
        answer.path = path
        return answer

    def get(self, path):
        return self.ask("GET", path)

    def follow(self, answer):
        while answer.status == 303:
            answer = self.get(answer.location)
        return answer

    def post(self, path, token=None, follow=True, **fields):
        """Sends a form with the last page's token."""
        body = urllib.parse.urlencode({"token": self.last if token is None else token, **fields}, doseq=True)
        answer = self.ask("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})
        return self.follow(answer) if follow else answer

    def fill(self, path, action=None, **typed):
        """Opens a form, types what is given (None: unticks or leaves out), and sends it."""
        action = action or path.split("?")[0]
        fields = {**Filled(self.get(path).text, action).fields, **typed}
        return self.post(action, **{name: value for name, value in fields.items() if value is not None and name != "token"})

    def upload(self, path, content, name="users.csv", token=None, follow=True, **fields):
        parts = {"token": self.last if token is None else token, **fields}
        body = b"".join(b'--xx\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
                        % (k.encode(), str(v).encode()) for k, v in parts.items())
        body += b'--xx\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n%s\r\n--xx--\r\n' % (
            name.encode(), content)
        answer = self.ask("POST", path, body, {"Content-Type": "multipart/form-data; boundary=xx"})
        return self.follow(answer) if follow else answer

    def sign_in(self, login, password=PASSWORD):
        self.get("/sign-in")
        answer = self.post("/sign-in", login=login, password=password)
        return answer
