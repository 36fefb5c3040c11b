"""quarantine - what the tests of the quarantine share: the daemon, an LMTP client, a filter

A Quarantine is rollcall-quarantine with a directory of its own and its own database role; a Rspamd is a private one
that knows GTUBE and nothing of the network.
"""
import contextlib
import smtplib
import socket
import subprocess

from harness import *

GTUBE = "YJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"  # "add header"


class Quarantine(Policyd):
    """rollcall-quarantine; `rc` is the Rollcall whose settings and database it uses."""
    program = BUILD / "bin/rollcall-quarantine"

    def __init__(self, rc, name="quarantine", directory=None, release_port=9, as_root=False, **settings):
        self.name = name
        self.directory = pathlib.Path(directory or rc.dir / name)
        self.port, self.path = free_port(), str(rc.dir / f"run/{name}")
        if directory is None:
            self.directory.mkdir()
            own(self.directory, POLICY_USER)
        given = {
            "database": f"host={rc.host} dbname={rc.dbname} user=rollcall_quarantine",
            "gateway_name": name,
            "quarantine_listen": f"inet:127.0.0.1:{self.port}, unix:{self.path}",
            "quarantine_socket_mode": "0666",
            "quarantine_user": POLICY_USER,
            "quarantine_directory": self.directory,
            "release_to": f"inet:127.0.0.1:{release_port}",
            **settings,
        }
        super().__init__(rc, [word for k, v in given.items() for word in ("-o", f"{k}={v}")], as_root, name)

    def files(self):
        return sorted(p for p in self.directory.glob("??/*") if len(p.name) == 32)

    def tmp(self):
        return sorted((self.directory / "tmp").glob("*"))

    def lmtp(self, timeout=60):
        client = smtplib.LMTP("127.0.0.1", self.port, timeout=timeout)
        client.ehlo("gateway.example.test")
        return client

    def give(self, body, *recipients, sender="a@example.org", ident=None, options=()):
        """One message by LMTP; the replies as [(code, text)] for each recipient that was accepted at RCPT."""
        with contextlib.closing(self.lmtp()) as client:
            return give(client, body, *recipients, sender=sender, ident=ident, options=options)


def give(client, body, *recipients, sender="a@example.org", ident=None, options=()):
    if ident is not None:
        code, text = client.docmd("XFORWARD", f"IDENT={ident} ADDR=192.0.2.7 NAME=mail.example.org HELO=mail")
        assert code == 250, (code, text)
    code, text = client.mail(sender, options)
    assert code == 250, (code, text)
    accepted = []
    replies = []
    for recipient in recipients:
        code, text = client.rcpt(recipient)
        if code == 250:
            accepted.append(recipient)
        else:
            replies.append((code, text.decode()))
    if not accepted:
        return replies
    code, text = client.docmd("DATA")
    if code != 354:
        return replies + [(code, text.decode())]
    data = body if isinstance(body, bytes) else body.replace("\n", "\r\n").encode()
    data = data.replace(b"\r\n.", b"\r\n..")
    if data.startswith(b"."):
        data = b"." + data
    client.send(data + b"\r\n.\r\n" if not data.endswith(b"\r\n") else data + b".\r\n")
    for _ in accepted:
        code, text = client.getreply()
        replies.append((code, text.decode()))
    return replies


def stored(path):
    """The message in a quarantine file, behind its seal and envelope."""
    return path.read_bytes().split(b"\n\n", 1)[1]


RSPAMD_CONF = """\
options {{
  pidfile = "{dir}/run/rspamd.pid"; control_socket = "{dir}/run/rspamd.sock mode=0600"; filters = "";
  enable_test_patterns = true; disable_hyperscan = true; url_tld = "/usr/share/rspamd/effective_tld_names.dat";
  dns {{ nameserver = ["127.0.0.1:9:1"]; timeout = 0.05s; retransmits = 1; }}
}}
logging {{ type = "file"; filename = "{dir}/log/rspamd.log"; level = "info"; }}
metric {{ name = "default"; actions {{ reject = null; greylist = null; add_header = 6; }} }}
worker "rspamd_proxy" {{
  bind_socket = "127.0.0.1:{port}"; milter = yes; timeout = 20s; count = 1;
  upstream "local" {{ default = yes; self_scan = yes; }}
}}
"""


class Rspamd(Scratch):
    """The real filter with none of its rules: it still knows GTUBE, and starts in a moment."""
    name = "rspamd"

    def __init__(self):
        super().__init__()
        self.port, self.process = free_port(), None
        for name in ("run", "db", "log"):
            (self.dir / name).mkdir()
            own(self.dir / name, "_rspamd")
        (self.dir / "rspamd.conf").write_text(RSPAMD_CONF.format(dir=self.dir, port=self.port))
        (self.dir / "rspamd.log").symlink_to(self.dir / "log/rspamd.log")

    def start(self):
        variables = {"RUNDIR": self.dir / "run", "DBDIR": self.dir / "db", "LOGDIR": self.dir / "log"}
        self.process = subprocess.Popen(
            ["rspamd", "-f", *(f"--var={k}={v}" for k, v in variables.items()), "-c", self.dir / "rspamd.conf", "-u",
             "_rspamd", "-g", "_rspamd"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent, cwd="/")
        eventually(lambda: socket.create_connection(("127.0.0.1", self.port), 1).close() is None, 60, "rspamd")
        return self

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
        self.process = None

    def __enter__(self):
        return self.start()


@contextlib.contextmanager
def filtering_gateway(domain, customer, filter, q):
    """A Postfix that asks the filter, and gives what it caught to the quarantine."""
    gateway = Postfix("gateway", f"""\
relay_domains = {domain}
transport_maps = inline:{{ {{ {domain} = relay:[127.0.0.1]:{customer.port} }} }}
smtpd_relay_restrictions = reject_unauth_destination
smtpd_milters = inet:127.0.0.1:{filter.port}
milter_default_action = tempfail
lmtp_send_xforward_command = yes
milter_header_checks = regexp:@ETC@/quarantine.regexp
""", start=False)
    with gateway:
        main = gateway.etc / "main.cf"
        main.write_text(main.read_text().replace("@ETC@", str(gateway.etc)))
        (gateway.etc / "quarantine.regexp").write_text(f"/^X-Spam: *yes/ FILTER lmtp:inet:127.0.0.1:{q.port}\n")
        gateway.start()
        yield gateway
