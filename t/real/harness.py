"""harness - real servers for real tests: PostgreSQL, rollcall-policyd, Postfix

Each server is a context manager with a directory of its own under /tmp; nothing outside it is
touched, everything listens on unix sockets or free loopback ports and is stopped by its process id.
When a test fails, the logs of the servers it used are printed.

    with PostgreSQL() as pg, Rollcall(pg) as rc:
        rc.cli("customer", "add", "Example")
        ...
    def test_something(): ...
    if __name__ == "__main__": main()

ROLLCALL_BUILD names the build directory (default build-check), ROLLCALL_FULL=1 asks for the long
forms, ROLLCALL_NAMED=1 for what a test does only when it is asked for by name, ROLLCALL_SEED repeats a
run, ROLLCALL_KEEP=1 leaves the directories.
"""
import contextlib
import ctypes
import json
import os
import pathlib
import pwd
import random
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

TREE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ROLLCALL_BUILD", TREE / "build-check")).resolve()
FULL = os.environ.get("ROLLCALL_FULL", "0") not in ("", "0")
NAMED = os.environ.get("ROLLCALL_NAMED", "0") not in ("", "0")
PG_BIN = pathlib.Path("/usr/lib/postgresql/15/bin")
POLICY_USER = "nobody"  # exists on every Debian; the daemon must need nothing of root's
PR_SET_PDEATHSIG = 1
SANITIZER_WORDS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:")


# ------------------------------------------------------------------ waiting, numbers, ports

class Late(AssertionError):
    """Something did not come true before its deadline."""


def eventually(fn, deadline=10.0, what=None, every=0.02):
    """Calls fn until it returns something true, and returns that; Late after `deadline` seconds.
    An exception of fn counts as "not yet"."""
    end = time.monotonic() + deadline
    last = None
    while True:
        try:
            value = fn()
            if value:
                return value
            last = value
        except (OSError, AssertionError, Failed, ValueError, KeyError) as error:
            last = error
        if time.monotonic() >= end:
            raise Late(f"not within {deadline} s: {what or fn}; last: {last!r}")
        time.sleep(every)


def seeded():
    """A random source whose seed is printed, so that a failure can be repeated."""
    seed = int(os.environ.get("ROLLCALL_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"    seed {seed}  (repeat: ROLLCALL_SEED={seed})", flush=True)
    return random.Random(seed)


PORTS = range(10000, 32000)  # below those that the kernel gives to clients: one of them would take it before its server does
leases = []  # held until this process ends


def free_port():
    """A port that nobody listens on and that no other test is given. The lease is an abstract socket of that name."""
    for port in random.SystemRandom().sample(PORTS, 1000):
        lease = socket.socket(socket.AF_UNIX)
        with socket.socket() as probe, contextlib.suppress(OSError):
            lease.bind(f"\0rollcall-test-port-{port}")
            probe.bind(("127.0.0.1", port))
            leases.append(lease)
            return port
        lease.close()
    raise AssertionError(f"no port is free between {PORTS.start} and {PORTS.stop}")


class Failed(Exception):
    """A command ended otherwise than asked for."""

    def __init__(self, command, code, out, err):
        super().__init__(f"{' '.join(map(str, command))}: exit {code}\n{out}{err}")
        self.code, self.out, self.err = code, out, err


def run(*command, check=True, input=None, timeout=120, **more):
    """Runs a command; returns the CompletedProcess with text. check: False, or the exit code wanted."""
    done = subprocess.run([str(c) for c in command], input=input, text=True, timeout=timeout,
                          capture_output=True, errors="replace", **more)
    wanted = 0 if check is True else check
    if check is not False and done.returncode != wanted:
        raise Failed(command, done.returncode, done.stdout, done.stderr)
    return done


def die_with_parent():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def as_user(name):
    """Arguments for subprocess that make the child that user."""
    entry = pwd.getpwnam(name)
    if os.getuid() == entry.pw_uid:
        return {}
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def own(path, user):
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, entry.pw_gid)


def children(pid):
    with contextlib.suppress(OSError):
        return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


class Scratch:
    """A directory of its own that others may enter; what it logs is shown when the test fails."""
    name = "scratch"

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"rc-{self.name}-", dir=os.environ.get("ROLLCALL_SCRATCH", "/tmp")))
        self.dir.chmod(0o755)

    def logs(self):
        return sorted(self.dir.glob("*.log"))

    def show_logs(self, lines=60):
        for log in self.logs():
            text = log.read_text(errors="replace").splitlines()
            print(f"    --- {log} ({len(text)} lines)")
            for line in text[-lines:]:
                print("    | " + line)

    def stop(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            self.stop()
        finally:
            if kind is not None and not issubclass(kind, KeyboardInterrupt):
                self.show_logs()
            if not os.environ.get("ROLLCALL_KEEP"):
                shutil.rmtree(self.dir, ignore_errors=True)


# ------------------------------------------------------------------ PostgreSQL

class PostgreSQL(Scratch):
    """A private server on a unix socket in its own directory; any local user may be anybody."""
    name = "pg"

    def __init__(self, settings=(), data_from=None):
        super().__init__()
        self.data, self.process, self.standby_of, self.opened = self.dir / "data", None, None, []
        own(self.dir, "postgres")
        if data_from is None:
            self._tool("initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "--no-sync",
                       "--no-locale", "-E", "UTF8")
        else:
            self.standby_of = data_from
            self._tool("pg_basebackup", "-h", data_from.dir, "-U", "postgres", "-D", self.data, "-R",
                       "-X", "stream", "-c", "fast", "--no-sync")
        with open(self.data / "postgresql.conf", "a") as conf:
            for line in ("listen_addresses=''", f"unix_socket_directories='{self.dir}'", "fsync=off",
                         "max_connections=200", "shared_buffers=32MB", "log_min_messages=log",
                         "log_line_prefix='%m [%p] %a '", "wal_receiver_timeout=5s", *settings):
                conf.write(line + "\n")
        try:
            self.start()
        except BaseException:
            self.show_logs()
            raise

    def _tool(self, tool, *args, **more):
        return run(PG_BIN / tool, *args, cwd=self.dir, **as_user("postgres"), **more)

    def start(self):
        with open(self.dir / "postgres.log", "a") as log:
            self.process = subprocess.Popen([PG_BIN / "postgres", "-D", self.data], cwd=self.dir, stdout=log,
                                            stderr=log, preexec_fn=die_with_parent, **as_user("postgres"))
        eventually(self._ready, 30, "PostgreSQL to start")
        return self

    def _ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended with {self.process.returncode}, see {self.dir}/postgres.log")
        lines = (self.data / "postmaster.pid").read_text().splitlines()
        return len(lines) > 7 and lines[7].strip() == "ready" and int(lines[0]) == self.process.pid

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, mode="fast"):
        """smart, fast or immediate (as a crash)."""
        if self.running:
            self.process.send_signal({"smart": signal.SIGTERM, "fast": signal.SIGINT,
                                      "immediate": signal.SIGQUIT}[mode])
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill9()
        self.process = None

    def kill9(self):
        """The server and all its processes die at once."""
        if self.running:
            family = children(self.process.pid)
            self.process.kill()
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait(10)
            eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in family), 10, "its children to end")
        self.process = None

    def restart(self, mode="fast"):
        self.stop(mode)
        return self.start()

    def pause(self):
        """Freezes the server and its processes: connections stay open and nobody answers."""
        for pid in [self.process.pid, *children(self.process.pid)]:
            os.kill(pid, signal.SIGSTOP)

    def unpause(self):
        for pid in [self.process.pid, *children(self.process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    @property
    def address(self):
        """What Rollcall's `database` calls it."""
        return self.dir

    def dsn(self, dbname="postgres", user="postgres"):
        return f"host={self.dir} dbname={dbname} user={user}"

    def psql(self, sql, dbname="postgres", user="postgres", check=True):
        """What the statements print, unaligned; Failed when one fails."""
        done = run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", self.dsn(dbname, user), input=sql, check=check)
        return done.stdout.strip()

    def session(self, dbname="postgres", user="postgres"):
        """A connection that stays open; a context manager too."""
        return Session(self.dsn(dbname, user))

    def create_database(self, name):
        self.psql(f'create database "{name}"')

    def dump(self, dbname):
        """The bytes of pg_dump -Fc, for restore()."""
        path = self.dir / f"{dbname}-{time.monotonic_ns()}.dump"
        self._tool("pg_dump", "-Fc", "-f", path, self.dsn(dbname))
        return path

    def restore(self, dbname, path):
        """Drops the database, whoever is connected, and makes it anew from the dump."""
        self.psql(f'drop database "{dbname}" with (force)')
        self.create_database(dbname)
        self._tool("pg_restore", "-d", self.dsn(dbname), path)

    # -- standby

    def standby(self, settings=()):
        """A hot standby that streams from this server; a PostgreSQL of its own."""
        return PostgreSQL(settings, data_from=self)

    def set(self, name, value):
        self.psql(f"alter system set {name} = '{value}'; select pg_reload_conf()")

    def cut(self):
        """Standby: hears nothing more of its primary."""
        self.set("primary_conninfo", "")
        eventually(lambda: self.psql("select count(*) from pg_stat_wal_receiver") == "0", 10, "streaming to end")

    def promote(self):
        assert self.psql("select pg_promote(true, 30)") == "t"

    def caught_up(self, deadline=10):
        """Standby: waits until it has replayed what its primary has written."""
        lsn = self.standby_of.psql("select pg_current_wal_lsn()")
        eventually(lambda: self.psql(f"select pg_last_wal_replay_lsn() >= '{lsn}'") == "t", deadline, "the standby")


class Session:
    """psql kept open: statements of one connection, one after the other."""

    def __init__(self, dsn):
        self.process = subprocess.Popen(["psql", "-XAtq", dsn], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, bufsize=1)
        self.pending, self.count = [], 0

    def send(self, sql):
        """Sends without waiting; wait() takes the answers."""
        self.count += 1
        mark = f"=== {self.count}"
        self.process.stdin.write(f"{sql};\n\\echo {mark}\n")
        self.process.stdin.flush()
        self.pending.append((mark, sql))

    def wait(self):
        mark, sql = self.pending.pop(0)
        lines = []
        for line in self.process.stdout:
            if line.strip() == mark:
                break
            lines.append(line.rstrip("\n"))
        text = "\n".join(lines)
        if "ERROR:" in text or "FATAL:" in text or self.process.poll() is not None:
            raise Failed(["psql:", sql], 1, text, "")
        return text

    def do(self, sql):
        self.send(sql)
        return self.wait()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


shared_servers = contextlib.ExitStack()  # ended by main()
shared = {}


def shared_postgresql():
    """One server for all tests of a file that do not harm it: each Rollcall has its own database."""
    if "pg" not in shared:
        shared["pg"] = shared_servers.enter_context(PostgreSQL())
    return shared["pg"]


# ------------------------------------------------------------------ Rollcall

BASE_REQUEST = {  # what Postfix 3.7 sends; see SMTPD_POLICY_README
    "request": "smtpd_access_policy", "protocol_state": "RCPT", "protocol_name": "ESMTP",
    "client_address": "192.0.2.1", "client_name": "mail.example.net", "client_port": "40000",
    "reverse_client_name": "mail.example.net", "server_address": "127.0.0.1", "server_port": "25",
    "helo_name": "mail.example.net", "sender": "somebody@example.net", "recipient": "", "recipient_count": "0",
    "queue_id": "", "instance": "1.2.3.0", "size": "0", "etrn_domain": "", "stress": "", "sasl_method": "",
    "sasl_username": "", "sasl_sender": "", "ccert_subject": "", "ccert_issuer": "", "ccert_fingerprint": "",
    "ccert_pubkey_fingerprint": "", "encryption_protocol": "", "encryption_cipher": "",
    "encryption_keysize": "0", "policy_context": "",
}


def request(recipient, state="RCPT", **attributes):
    """The bytes of one policy request."""
    rows = {**BASE_REQUEST, "protocol_state": state, "recipient": recipient, **attributes}
    return ("".join(f"{k}={v}\n" for k, v in rows.items()) + "\n").encode("utf-8", "surrogateescape")


class Lost(OSError):
    """The daemon closed the connection without an answer."""


class PolicyClient:
    """One connection to the policy socket, as an smtpd holds it."""

    def __init__(self, address, timeout=10.0):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(address)
        except BaseException:
            self.socket.close()
            raise
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data)

    def answer(self):
        """The next action, without 'action='. Lost when the daemon closed."""
        while b"\n\n" not in self.buffer:
            got = self.socket.recv(65536)
            if not got:
                raise Lost(f"connection closed by the daemon; pending: {self.buffer[:200]!r}")
            self.buffer += got
        one, self.buffer = self.buffer.split(b"\n\n", 1)
        assert one.startswith(b"action=") and b"\n" not in one, one
        return one[len(b"action="):].decode()

    def ask(self, recipient, state="RCPT", **attributes):
        self.send(request(recipient, state, **attributes))
        text = self.answer()
        assert not self.buffer, f"bytes nobody asked for (Postfix would drop the connection): {self.buffer!r}"
        return text

    def closed(self, within=5.0):
        """Whether the daemon closes the connection in that time."""
        self.socket.settimeout(within)
        try:
            while self.socket.recv(65536):
                pass
            return True
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Policyd:
    """The daemon in the foreground, READY=1 waited for as systemd does."""
    program = BUILD / "bin/rollcall-policyd"
    environment = {}  # beside the owner's

    def __init__(self, owner, options=(), as_root=False, name="policyd"):
        self.owner, self.options, self.as_root, self.process = owner, list(options), as_root, None
        self.log = owner.dir / f"{name}.log"
        self.notify_path = str(owner.dir / f"{name}.notify")
        self.client = None
        self.started_in = None
        self.killed = False

    def start(self, wait=True, deadline=20):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.notify_path)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(self.notify_path)
        os.chmod(self.notify_path, 0o777)
        begun, self.killed = time.monotonic(), False
        user = {} if self.as_root else as_user(POLICY_USER)
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                [self.program, "-c", self.owner.conf, *self.options], stdout=log, stderr=log,
                cwd="/", env=self.owner.environment(NOTIFY_SOCKET=self.notify_path, **self.environment),
                preexec_fn=die_with_parent, **user)
        if wait:
            self.wait_notified("READY=1", deadline)
            self.started_in = time.monotonic() - begun
        return self

    def wait_notified(self, word, deadline=20):
        end = time.monotonic() + deadline
        self.notify.settimeout(0.05)
        while time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                if word in self.notify.recv(4096).decode().split("\n"):
                    return
            if self.process.poll() is not None:
                raise AssertionError(f"rollcall-policyd ended with {self.process.returncode} before {word}:\n"
                                     + self.log.read_text(errors="replace")[-3000:])
        raise Late(f"no {word} within {deadline} s")

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def _gone(self):
        if self.client is not None:
            self.client.close()
        self.client = None
        self.notify.close()
        self.process = None

    def stop(self, deadline=15):
        """SIGTERM; must end by itself, with 0, without a word from a sanitizer."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            code = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self._gone()
            raise Late(f"rollcall-policyd did not end within {deadline} s of SIGTERM")
        self._gone()
        self.check_log()
        assert code == 0, f"rollcall-policyd ended with {code} after SIGTERM"

    def kill9(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._gone()
            self.check_log()

    def restart(self):
        self.stop()
        return self.start()

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def check_log(self):
        text = self.log.read_text(errors="replace")
        for word in SANITIZER_WORDS:
            assert word not in text, f"{word} in {self.log}"

    def connect(self, inet=False, timeout=10.0):
        address = ("127.0.0.1", self.owner.policy_port) if inet else str(self.owner.socket)
        return PolicyClient(address, timeout)

    def ask(self, recipient, state="RCPT", **attributes):
        """One question over a kept connection; as Postfix does, once more over a new one when it is lost."""
        for attempt in (1, 2):
            try:
                if self.client is None:
                    self.client = self.connect()
                return self.client.ask(recipient, state, **attributes)
            except OSError:
                if self.client is not None:
                    self.client.close()
                self.client = None
                if attempt == 2:
                    raise

    def __enter__(self):
        return self if self.process else self.start()

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        elif self.process is not None:
            self.process.kill()
            self.process.wait()
            self._gone()


class Rollcall(Scratch):
    """A configuration with its own database, the command line, and the daemon."""
    name = "roll"
    count = 0

    def __init__(self, pg=None, dbname=None, hosts=None, init=True, socket_path=None, **settings):
        super().__init__()
        self.pg = pg or shared_postgresql()
        Rollcall.count += 1
        self.dbname = dbname or f"roll_{os.getpid()}_{Rollcall.count}"
        self.host = ",".join(str(server.address) for server in (hosts or [self.pg]))
        self.conf = self.dir / "rollcall.conf"
        self.socket = pathlib.Path(socket_path or self.dir / "run/policy")
        (self.dir / "run").mkdir()
        own(self.dir / "run", POLICY_USER)
        (self.dir / "replica").mkdir(mode=0o700)
        own(self.dir / "replica", POLICY_USER)
        self.policy_port, self.metrics_port = free_port(), free_port()
        self.daemon = None
        self.settings = {
            "database": f"host={self.host} dbname={self.dbname} user=postgres",
            "database_timeout": "3s",
            "policy_listen": f"unix:{self.socket}, inet:127.0.0.1:{self.policy_port}",
            "policy_socket_mode": "0666",
            "policy_workers": "2",
            "policy_user": POLICY_USER,
            "metrics_listen": f"inet:127.0.0.1:{self.metrics_port}",
            "replica_directory": self.dir / "replica",
            "replica_cache": "8M",
            "poll_interval": "100ms",
            "gateway_interval": "500ms",
            "gateway_name": "gateway",
            "disk_least": "0",  # how full this machine is is not the tests' business
        }
        self.set(**settings)
        if init:
            self.pg.create_database(self.dbname)
            self.cli("db", "init")

    def set(self, **settings):
        """Writes the configuration with these settings changed; the daemon reads it at start or reload."""
        self.settings.update(settings)
        self.conf.write_text("".join(f"{k} = {v}\n" for k, v in self.settings.items() if v is not None))

    extra = {}  # in the environment of our programs

    def environment(self, **more):
        suppressions = self.dir / "lsan.supp"
        suppressions.write_text("leak:libdb-5.3\n")
        tsan = self.dir / "tsan.supp"
        tsan.write_text("called_from_lib:libdb-5.3\n")
        return {**os.environ, "LSAN_OPTIONS": f"suppressions={suppressions}:print_suppressions=0",
                "UBSAN_OPTIONS": "print_stacktrace=1", "PGCONNECT_TIMEOUT": "5",
                "TSAN_OPTIONS": f"suppressions={tsan}:ignore_noninstrumented_modules=1", **self.extra, **more}

    def cli(self, *args, check=True, input=None, timeout=60):
        """rollcall -c CONF args…; returns what it printed. check: False, or the exit code wanted."""
        return self.run(*args, check=check, input=input, timeout=timeout).stdout

    def run(self, *args, check=True, input=None, timeout=60):
        """As cli(), but the whole result: returncode, stdout, stderr."""
        done = run(BUILD / "bin/rollcall", "-c", self.conf, *args, check=False, input=input, timeout=timeout,
                   env=self.environment(), cwd="/")
        for word in SANITIZER_WORDS:
            if word in done.stderr:
                raise Failed(["rollcall", *args], done.returncode, done.stdout, done.stderr)
        wanted = 0 if check is True else check
        if check is not False and done.returncode != wanted:
            raise Failed(["rollcall", *args], done.returncode, done.stdout, done.stderr)
        return done

    def json(self, *args, **more):
        return json.loads(self.cli(*args, "--json", **more))

    def psql(self, sql, check=True):
        return self.pg.psql(sql, self.dbname, check=check)

    def policyd(self, *options, start=True, as_root=False, role="rollcall_policyd", name="policyd"):
        """The daemon under its own database role; a context manager, stopped with this Rollcall at the latest."""
        database = f"host={self.host} dbname={self.dbname} user={role}"
        self.daemon = Policyd(self, ["-o", f"database={database}", *options], as_root, name)
        return self.daemon.start() if start else self.daemon

    def ask(self, recipient, state="RCPT", **attributes):
        return self.daemon.ask(recipient, state, **attributes)

    def answers(self, recipient, start, deadline=10.0):
        """Waits until the answer for recipient starts so."""
        return eventually(lambda: self.ask(recipient).startswith(start), deadline, f"{recipient} answered {start!r}, not "
                          f"{self.ask(recipient)!r}")

    def http(self, path, timeout=5):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=timeout) as page:
            return page.status, page.read().decode()

    def metrics(self):
        """Prometheus lines as a dict; the key keeps its labels."""
        rows = {}
        for line in self.http("/metrics")[1].splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                rows[name] = float(value)
        return rows

    def version(self):
        """Of the roll in PostgreSQL."""
        return int(self.psql("select version from roll_clock"))

    def followed(self, version=None, deadline=15.0):
        """Waits until the daemon's gateway row tells that version (default: the newest)."""
        wanted = self.version() if version is None else version
        eventually(lambda: int(self.psql("select coalesce(max(version), -1) from gateway")) >= wanted, deadline,
                   f"gateway row at version {wanted}")

    def stop(self):
        if self.daemon is not None and self.daemon.process is not None:
            self.daemon.stop()

    def __exit__(self, kind, value, trace):
        if kind is not None and self.daemon is not None and self.daemon.process is not None:
            self.daemon.kill9()
        super().__exit__(kind, value, trace)


# ------------------------------------------------------------------ Postfix

MASTER_CF = """\
127.0.0.1:{port} inet n  -       {chroot}       -       -       smtpd
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
local     unix  -       n       n       -       -       local
virtual   unix  -       n       n       -       -       virtual
lmtp      unix  -       -       n       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
"""

MAIN_CF = """\
compatibility_level = 3.6
config_directory = {etc}
queue_directory = {queue}
data_directory = {data}
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
multi_instance_name = postfix-{name}
syslog_name = postfix-{name}
maillog_file = {log}
maillog_file_prefixes = /tmp, {directory}
myhostname = {name}.example.test
mydomain = example.test
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 10000
smtpd_peername_lookup = no
alias_maps =
alias_database =
biff = no
"""


class Postfix(Scratch):
    """A private instance: its own configuration, queue, data directory and log."""
    name = "mta"

    def __init__(self, name, main="", chroot=False, start=True):
        self.name = name
        super().__init__()
        self.etc, self.queue, self.mail = self.dir / "etc", self.dir / "queue", self.dir / "mail"
        self.log, self.port = self.dir / "mail.log", free_port()
        for directory in (self.etc, self.queue, self.mail, self.dir / "data"):
            directory.mkdir()
        own(self.dir / "data", "postfix")
        own(self.mail, POLICY_USER)
        for source in ("postfix-files", "postfix-files.d", "dynamicmaps.cf", "dynamicmaps.cf.d"):
            source = pathlib.Path("/etc/postfix") / source
            if source.is_dir():
                shutil.copytree(source, self.etc / source.name)
            elif source.exists():
                shutil.copy(source, self.etc / source.name)
        (self.etc / "main.cf").write_text(MAIN_CF.format(
            etc=self.etc, queue=self.queue, data=self.dir / "data", name=name, log=self.log,
            directory=self.dir) + main)
        (self.etc / "master.cf").write_text(MASTER_CF.format(port=self.port, chroot="y" if chroot else "n"))
        if start:
            self.start()

    @classmethod
    def gateway(cls, domains, main="", socket="private/rollcall", name="gateway", behind="127.0.0.1", **more):
        """domains: {name: port of its next hop, on the host behind}. The policy socket is queue/private/rollcall."""
        transport = ", ".join(f"{{ {domain} = relay:[{behind}]:{port} }}" for domain, port in domains.items())
        return cls(name, f"""\
relay_domains = {" ".join(domains)}
transport_maps = inline:{{ {transport} }}
parent_domain_matches_subdomains =
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = reject_unauth_destination,
    check_policy_service {{ unix:{socket}, timeout=10s, default_action=DEFER }}
unverified_recipient_reject_code = 550
address_verify_poll_delay = 1s
address_verify_positive_refresh_time = 12h
address_verify_positive_expire_time = 1d
""" + main, **more)

    @classmethod
    def customer(cls, addresses, main="", name="customer", **more):
        """A customer's server that has exactly these mailboxes, as maildirs below .mail."""
        domains = sorted({address.rsplit("@", 1)[1] for address in addresses})
        boxes = ", ".join(f"{{ {a} = {a}/ }}" for a in addresses)
        entry = pwd.getpwnam(POLICY_USER)
        made = cls(name, f"""\
virtual_mailbox_domains = {" ".join(domains)}
virtual_mailbox_maps = inline:{{ {boxes} }}
virtual_mailbox_base = @MAIL@
virtual_uid_maps = static:{entry.pw_uid}
virtual_gid_maps = static:{entry.pw_gid}
recipient_delimiter = +
smtpd_relay_restrictions = reject_unauth_destination
""" + main, start=False, **more)
        path = made.etc / "main.cf"
        path.write_text(path.read_text().replace("@MAIL@", str(made.mail)))
        return made.start()

    @property
    def policy_socket(self):
        return self.queue / "private/rollcall"

    def _run(self, command, check=True):
        return run("postfix", "-c", self.etc, command, check=check, cwd="/")

    def start(self):
        self._run("start")
        eventually(lambda: socket.create_connection(("127.0.0.1", self.port), 1).close() is None, 15, "smtpd")
        if (self.queue / "private").exists():  # for the policy daemon, which is neither root nor postfix
            (self.queue / "private").chmod(0o711)
        return self

    def reload(self):
        self._run("reload")

    def stop(self):
        pid = self.master()
        if pid is None:
            return
        self._run("stop", check=False)
        eventually(lambda: not os.path.exists(f"/proc/{pid}"), 15, "Postfix's master to end")

    def master(self):
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.queue / "pid/master.pid").read_text().strip())
            if os.path.exists(f"/proc/{pid}"):
                return pid
        return None

    def delivered(self, address):
        """The messages in that mailbox of a customer's server."""
        return [path.read_text(errors="replace") for path in sorted((self.mail / address / "new").glob("*"))]

    def postqueue(self):
        return run("postqueue", "-c", self.etc, "-p", check=False).stdout


class Dialogue:
    """What an SMTP conversation answered: replies is [(code, text)] per RCPT, data (code, text) or None."""

    def __init__(self, replies, data):
        self.replies, self.data = replies, data

    def __repr__(self):
        return f"Dialogue({self.replies}, {self.data})"


def smtp(port, *recipients, sender="somebody@example.net", body=None, timeout=60):
    """One conversation: MAIL, each RCPT, and DATA with `body` (Subject and all) when that is given and a
    recipient was accepted."""
    with contextlib.closing(smtplib.SMTP("127.0.0.1", port, "client.example.net", timeout)) as client:
        client.ehlo()
        code, text = client.mail(sender)
        assert code == 250, (code, text)
        replies = []
        for recipient in recipients:
            code, text = client.rcpt(recipient)
            replies.append((code, text.decode(errors="replace")))
        data = None
        if body is not None and any(code == 250 for code, _ in replies):
            code, text = client.data(body)
            data = (code, text.decode(errors="replace"))
        client.quit()
        return Dialogue(replies, data)


def rcpt(port, recipient, **more):
    """'CODE text' of one RCPT."""
    code, text = smtp(port, recipient, **more).replies[0]
    return f"{code} {text}"


# ------------------------------------------------------------------ running

def main():
    """Runs the test_* functions of the script (or those named on the command line), a line each."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    module = sys.modules["__main__"]
    tests = {name: fn for name, fn in vars(module).items() if name.startswith("test_") and callable(fn)}
    wanted = sys.argv[1:] or list(tests)
    unknown = [name for name in wanted if name not in tests]
    if unknown:
        sys.exit(f"no such test: {', '.join(unknown)}; there are: {', '.join(tests)}")
    passed, failed = 0, []
    with shared_servers:
        for name in wanted:
            begun = time.monotonic()
            try:
                tests[name]()
                passed += 1
                print(f"ok      {name}  ({time.monotonic() - begun:.1f} s)", flush=True)
            except Exception:
                failed.append(name)
                traceback.print_exc(file=sys.stdout)
                print(f"FAILED  {name}  ({time.monotonic() - begun:.1f} s)", flush=True)
    print(f"{passed} passed, {len(failed)} failed{': ' + ', '.join(failed) if failed else ''}")
    sys.exit(1 if failed else 0)
