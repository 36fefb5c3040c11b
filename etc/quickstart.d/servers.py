"""servers - PostgreSQL, two Postfix instances and rollcall-policyd below one state directory

Every wait polls with a deadline; every process is found again, and ended, by the state directory it works in.
"""
import concurrent.futures
import contextlib
import os
import pathlib
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

ETC = pathlib.Path(__file__).resolve().parents[1]
PG_BIN = pathlib.Path("/usr/lib/postgresql/15/bin")
DAEMONS = ("rollcall-policyd", "rollcall-panel", "rollcall-report", "rollcall-ldapsync", "rollcall-quarantine")
SERVERS = ("/usr/lib/postgresql/", "/usr/lib/postfix/")
PLAIN_USER = "nobody"  # owns the replica and the mailboxes: no account is added to this machine
MARKER = ".rollcall-quickstart"
STATE_MAX = 80  # the paths of unix sockets below it have 107 bytes
DOMAINS = {  # name: relay check
    "clinic.example": "panel", "school.example": "smtp", "works.example": "off",
}
MAILBOXES = {  # address at the customer's server: the mailbox it ends in
    "alice@clinic.example": "alice@clinic.example", "a.smith@clinic.example": "alice@clinic.example",
    "alice@clinic-group.example": "alice@clinic.example", "bob@clinic.example": "bob@clinic.example",
    "carol@clinic.example": "carol@clinic.example", "dave@clinic.example": "dave@clinic.example",
    "postmaster@clinic.example": "postmaster@clinic.example", "teacher@school.example": "teacher@school.example",
    "anybody@works.example": "anybody@works.example",
}


class Trouble(Exception):
    """Something did not start or did not answer; the text is for whoever runs this."""


def eventually(fn, seconds, what):
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if value := fn():
                return value
        if time.monotonic() > end:
            raise Trouble(f"waited {seconds} s in vain for {what}")
        time.sleep(0.02)


def run(*command, fine=(0,), seconds=60, **more):
    try:
        done = subprocess.run([str(c) for c in command], text=True, errors="replace", capture_output=True,
                              timeout=seconds, cwd="/", **more)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Trouble(f"{command[0]}: {error}") from None
    if done.returncode not in fine:
        raise Trouble(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def port(wanted):
    """The wanted loopback port, or any other when somebody has that."""
    for number in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", number))
            return probe.getsockname()[1]
    raise Trouble("no free port on 127.0.0.1")


def own(path, user):
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, entry.pw_gid)


# ------------------------------------------------------------------ what runs below the state directory

def is_below(path, state):
    return path == str(state) or path.startswith(f"{state}/")


def family(state):
    """Process ids of the servers that work in the state directory: {pid: program}."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            program = os.readlink(entry / "exe").removesuffix(" (deleted)")
            if not program.startswith(SERVERS) and os.path.basename(program) not in DAEMONS:
                continue
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if is_below(os.readlink(entry / "cwd"), state) or any(is_below(word, state) for word in words):
                found[int(entry.name)] = os.path.basename(program)
    return found


def stop_daemons(state):
    for pid, program in family(state).items():
        if program in DAEMONS:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def stop_postfix(etc):
    if (etc / "main.cf").exists():
        with contextlib.suppress(Trouble):  # not running
            run("postfix", "-c", etc, "stop", fine=(0, 1))


def stop_all(state):
    """Ends everything in order; what does not end in time is killed. Nothing is left, or Trouble."""
    if not family(state):
        return False
    stop_daemons(state)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(stop_postfix, (state / "gateway/etc", state / "customer/etc")))
    if (state / "postgres/data/postmaster.pid").exists():
        with contextlib.suppress(Trouble):
            run(PG_BIN / "pg_ctl", "-D", state / "postgres/data", "-m", "fast", "-w", "stop", user="postgres")
    try:
        eventually(lambda: not family(state), 20, "the servers to end")
    except Trouble:
        for pid in family(state):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: not family(state), 10, f"killed processes to go away: {family(state)}")
    return True


def clean(state):
    """An empty state directory; one that is not ours is left alone."""
    if len(str(state)) > STATE_MAX:
        raise Trouble(f"{state}: longer than {STATE_MAX} bytes; unix sockets below it would not fit")
    if state.exists() and any(state.iterdir()) and not (state / MARKER).exists():
        raise Trouble(f"{state} is not empty and not mine ({MARKER} is absent): name another with --state")
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True, mode=0o755)
    state.chmod(0o755)
    (state / MARKER).write_text("etc/quickstart empties this directory when it starts\n")


# ------------------------------------------------------------------ PostgreSQL

class PostgreSQL:
    """On a unix socket only. Who connects is known by its system user: root is the owner of the database,
    rollcall-policyd (as nobody) its own role, and no password exists."""

    def __init__(self, state):
        self.dir, self.data = state / "postgres", state / "postgres/data"

    def create(self):
        self.dir.mkdir(mode=0o755)
        own(self.dir, "postgres")
        run(PG_BIN / "initdb", "-D", self.data, "-A", "peer", "-U", "postgres", "--no-sync", "--no-locale",
            "-E", "UTF8", user="postgres")
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(f"listen_addresses = ''\nunix_socket_directories = '{self.dir}'\n")
        (self.data / "pg_hba.conf").write_text("local all all peer map=quickstart\n")
        (self.data / "pg_ident.conf").write_text(
            f"quickstart root postgres\nquickstart postgres postgres\nquickstart {PLAIN_USER} rollcall_policyd\n"
            f"quickstart {PLAIN_USER} rollcall_panel\nquickstart root rollcall_report\nquickstart root rollcall_sync\n"
            f"quickstart {PLAIN_USER} rollcall_quarantine\n")
        self.start()
        run("createdb", "-h", self.dir, "-U", "postgres", "rollcall")

    def start(self):
        run(PG_BIN / "pg_ctl", "-D", self.data, "-l", self.dir / "postgres.log", "-w", "start", user="postgres",
            stdin=subprocess.DEVNULL)

    def stop(self):
        run(PG_BIN / "pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop", user="postgres")

    def dsn(self, user="postgres"):
        return f"host={self.dir} dbname=rollcall user={user}"


# ------------------------------------------------------------------ Postfix

BASE_CF = """\
compatibility_level = 3.6
config_directory = {dir}/etc
queue_directory = {dir}/queue
data_directory = {dir}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
syslog_name = {name}
maillog_file = {dir}/mail.log
maillog_file_prefixes = {dir}
myhostname = {name}.example
mydestination =
# the mail sent here comes from this very host, which must count as a stranger
mynetworks =
# and nothing leaves this machine but to the customer's server
default_transport = error:5.0.0 the quickstart sends nothing outside
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0
alias_maps =
alias_database =
"""


class Postfix:
    def __init__(self, state, name, wanted):
        self.name, self.dir, self.etc, self.port = name, state / name, state / name / "etc", port(wanted)

    def create(self, main, master):
        for part in ("", "etc", "queue", "data", "mail"):
            (self.dir / part).mkdir(mode=0o755)
        own(self.dir / "data", "postfix")
        own(self.dir / "mail", PLAIN_USER)
        for part in ("postfix-files", "postfix-files.d", "dynamicmaps.cf", "dynamicmaps.cf.d"):
            source = pathlib.Path("/etc/postfix") / part
            if source.exists():
                (shutil.copytree if source.is_dir() else shutil.copy)(source, self.etc / part)
        (self.etc / "main.cf").write_text(BASE_CF.format(dir=self.dir, name=self.name) + main)
        (self.etc / "master.cf").write_text(master)

    def start(self):
        run("postfix", "-c", self.etc, "start")
        eventually(lambda: socket.create_connection(("127.0.0.1", self.port), 1).close() is None, 15,
                   f"{self.name} on port {self.port}; see {self.dir}/mail.log")


def master_cf(smtp_port, snippet="smtp      inet  n       -       y       -       -       smtpd\n"):
    """Debian's master.cf, its services replaced by those of the snippet, on loopback ports."""
    ours = re.sub(r"^smtp(\s+inet)", rf"127.0.0.1:{smtp_port}\1", snippet, flags=re.M)
    ours = re.sub(r"^127\.0\.0\.1:10025", f"127.0.0.1:{port(10025)}", ours, flags=re.M)
    mine = set(re.findall(r"^(\S+\s+(?:inet|unix))\b", snippet, flags=re.M))
    lines, keep = [], True
    for line in pathlib.Path("/usr/share/postfix/master.cf.dist").read_text().splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if not line[0].isspace():
            keep = re.match(r"\S+\s+\S+", line)[0] not in mine
        if keep:
            lines.append(line)
    return "\n".join(lines) + "\n" + ours


def make_gateway(gateway, customer):
    """etc/postfix/ as it stands, with its two tables beside it."""
    gateway.create((ETC / "postfix/main.cf.example").read_text(),
                   master_cf(gateway.port, (ETC / "postfix/master.cf.example").read_text()))
    # Two slips of an administrator are left in: all subdomains of a domain, and a domain that Rollcall has lost.
    names = [*DOMAINS, "clinic-group.example", ".clinic.example", "gone.example"]
    (gateway.etc / "relay_domains").write_text("".join(f"{name} OK\n" for name in names))
    (gateway.etc / "transport").write_text("".join(f"{name} relay:[127.0.0.1]:{customer.port}\n" for name in names))


def make_customer(customer):
    entry = pwd.getpwnam(PLAIN_USER)
    domains = sorted({address.partition("@")[2] for address in MAILBOXES})
    boxes = ", ".join(f"{{ {address} = {box}/ }}" for address, box in MAILBOXES.items())
    customer.create(f"""\
virtual_mailbox_domains = {" ".join(domains)}
virtual_mailbox_maps = inline:{{ {boxes} }}
virtual_mailbox_base = {customer.dir}/mail
virtual_uid_maps = static:{entry.pw_uid}
virtual_gid_maps = static:{entry.pw_gid}
recipient_delimiter = +
smtpd_relay_restrictions = reject_unauth_destination
""", master_cf(customer.port))


# ------------------------------------------------------------------ Rollcall

class Rollcall:
    def __init__(self, state, build, pg, gateway):
        self.state, self.build, self.pg, self.gateway = state, build, pg, gateway
        self.conf, self.metrics_port, self.panel_port = state / "rollcall.conf", port(9564), port(8025)
        self.quarantine_port = port(2424)
        for program in ("rollcall", *DAEMONS):
            if not (build / "bin" / program).exists():
                raise Trouble(f"{build}/bin/{program} is not there; build first, or leave out --build")

    def create(self):
        for name in ("replica", "quarantine"):
            (self.state / name).mkdir(mode=0o700)
            own(self.state / name, PLAIN_USER)
        self.conf.write_text(f"""\
# made by etc/quickstart
database = {self.pg.dsn()}
policy_listen = unix:{self.gateway.dir}/queue/private/rollcall
policy_socket_owner = postfix
policy_socket_mode = 0600
policy_user = {PLAIN_USER}
metrics_listen = inet:127.0.0.1:{self.metrics_port}
replica_directory = {self.state}/replica
gateway_name = {self.gateway.name}
postfix_config_directory = {self.gateway.etc}
panel_listen = inet:127.0.0.1:{self.panel_port}
panel_url = {self.panel_url}
panel_user = {PLAIN_USER}
panel_spool_directory = {self.state}/panel
panel_metrics_listen =
secret_key_file = {self.state}/secret.key
link_key_file = {self.state}/link.key
quarantine_listen = inet:127.0.0.1:{self.quarantine_port}
quarantine_user = {PLAIN_USER}
quarantine_directory = {self.state}/quarantine
release_to = inet:127.0.0.1:{self.gateway.port}
mail_server = inet:127.0.0.1:{self.gateway.port}
mail_from = rollcall@gateway.example
""")
        for key in ("secret.key", "link.key"):
            (self.state / key).write_text(secrets.token_hex(32))
            (self.state / key).chmod(0o640)
        self.cli("db", "init")

    @property
    def panel_url(self):
        return f"http://localhost:{self.panel_port}"

    def start_panel(self):
        """rollcall-panel in a session of its own, until it shows a page; returns the password of its admin."""
        with open(self.state / "panel.log", "a") as log:
            daemon = subprocess.Popen(
                [self.build / "bin/rollcall-panel", "-c", self.conf, "-o", f"database={self.pg.dsn('rollcall_panel')}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True)

        def shows():
            if daemon.poll() is not None:
                raise Trouble(f"rollcall-panel ended at once:\n{(self.state / 'panel.log').read_text()}")
            with urllib.request.urlopen(f"http://127.0.0.1:{self.panel_port}/sign-in", timeout=2) as page:
                return page.status == 200

        eventually(shows, 20, f"rollcall-panel to answer; see {self.state}/panel.log")
        return re.search(r"password: (\S+)", self.cli("account", "add", "admin", "--operator"))[1]

    def start_jobs(self):
        """What the panel asks for: mails, directories, and messages of the quarantine."""
        for program, role, *args in (("rollcall-report", "rollcall_report", "send", "--follow"),
                                     ("rollcall-quarantine", "rollcall_quarantine"),
                                     ("rollcall-ldapsync", "rollcall_sync", "--requests", "--follow")):
            with open(self.state / f"{program.removeprefix('rollcall-')}.log", "a") as log:
                daemon = subprocess.Popen(
                    [self.build / "bin" / program, "-c", self.conf, "-o", f"database={self.pg.dsn(role)}", *args],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True)
            if daemon.poll() is not None:
                raise Trouble(f"{program} ended at once; see {self.state}")

        eventually(lambda: socket.create_connection(("127.0.0.1", self.quarantine_port), 1).close() or True, 20,
                   f"rollcall-quarantine to listen; see {self.state}/quarantine.log")

    def cli(self, *args, **more):
        return run(self.build / "bin/rollcall", "-c", self.conf, *args, **more)

    def psql(self, sql):
        return run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", self.pg.dsn(), input=sql).strip()

    def start(self):
        """rollcall-policyd in a session of its own, until it says that it answers from a loaded roll."""
        with open(self.state / "policyd.log", "a") as log:
            daemon = subprocess.Popen(
                [self.build / "bin/rollcall-policyd", "-c", self.conf, "-o", f"database={self.pg.dsn('rollcall_policyd')}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True)

        def healthy():
            if daemon.poll() is not None:
                raise Trouble(f"rollcall-policyd ended at once:\n{(self.state / 'policyd.log').read_text()}")
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/healthz", timeout=2) as page:
                return page.status == 200

        eventually(healthy, 20, f"rollcall-policyd to be ready; see {self.state}/policyd.log")
