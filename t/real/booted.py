"""booted - a root of its own in which systemd is the first process, by systemd-nspawn: units as they run on a host"""
import ctypes
import json
import pathlib
import signal
import socket
import subprocess
import threading
import time

from harness import eventually, request, run

LANDLOCK = ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self")
NSPAWN = ("systemd-nspawn", "--register=no", "--keep-unit", "--quiet", "--private-network",
          f"--system-call-filter={' '.join(LANDLOCK)}")  # which it would forbid by default
PAUSE = 1  # seconds: between the two tries of Postfix
ANSWERED, ANSWERED_AGAIN, REFUSED, SILENT = "answered", "answered when asked again", "refused", "silent"


def containers_work(root):
    """Whether this machine lets root run containers at all, and why not: a program is run in one, nothing is booted."""
    done = run(*NSPAWN, "-D", root, "/bin/true", check=False, timeout=60)
    return done.returncode == 0, (done.stderr or done.stdout).strip()


def landlock_works():
    return ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1) >= 1  # landlock_create_ruleset, its version


class Booted:
    """A machine that runs; machine("systemctl", …) runs a command in it."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.console = self.root.with_name(self.root.name + ".console")

    def __enter__(self):
        (self.root / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
        with open(self.console, "wb") as console:
            self.process = subprocess.Popen([*NSPAWN, "--boot", "--console=pipe", "-D", self.root],
                                            stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        try:
            self.leader = eventually(self._leader, 20, "a first process")
            eventually(lambda: self("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded"),
                       90, "the machine to be up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _leader(self):
        assert self.process.poll() is None, self.console.read_text(errors="replace")
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ours = [pid for pid in children if "systemd" in pathlib.Path(f"/proc/{pid}/comm").read_text()]
        return int(ours[0]) if ours else None

    def __call__(self, *command, check=True, timeout=120, input=None, **more):
        return run("nsenter", f"--target={self.leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root",
                   "--wd=/", *command, check=check, timeout=timeout, input=input,
                   env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", **more})

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)  # asks it to power off
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def path(self, inside):
        """A file of it, as it sees it."""
        return pathlib.Path(f"/proc/{self.leader}/root{inside}")

    # -- units

    def show(self, unit, *properties):
        told = self("systemctl", "show", unit, *(f"--property={name}" for name in properties)).stdout
        return dict(line.split("=", 1) for line in told.splitlines())

    def wait_active(self, unit):
        eventually(lambda: self.show(unit, "ActiveState", "SubState") == {"ActiveState": "active", "SubState": "running"},
                   30, f"{unit} to run")

    def timers(self):
        """{unit: whether it is due some time}"""
        return {timer["unit"]: bool(timer["next"]) for timer in
                json.loads(self("systemctl", "list-timers", "--all", "--output=json").stdout)}

    def drop_in(self, unit, text):
        directory = self.path(f"/run/systemd/system/{unit}.d")
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "test.conf").write_text(f"[Service]\n{text}\n")
        self("systemctl", "daemon-reload")

    def log(self, unit):
        return self("journalctl", "--boot", "--no-pager", "--output=cat", f"--unit={unit}").stdout


class Asked(threading.Thread):
    """Connects to a policy socket again and again. Who is hung up on asks again: smtpd does so once, after a second; by
    then there must have been an answer."""

    def __init__(self, path, recipient):
        super().__init__(daemon=True)
        self.path, self.recipient, self.ended = str(path), recipient, threading.Event()
        self.counts = dict.fromkeys((ANSWERED, ANSWERED_AGAIN, REFUSED, SILENT), 0)

    def once(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.path)
            s.sendall(request(self.recipient))
            return s.recv(4096).startswith(b"action=")

    def one(self):
        end, outcome = time.monotonic() + PAUSE, ANSWERED
        while True:
            try:
                if self.once():
                    return outcome
            except (ConnectionRefusedError, FileNotFoundError):
                return REFUSED
            except OSError:
                pass
            if time.monotonic() > end:
                return SILENT
            outcome = ANSWERED_AGAIN

    def run(self):
        while not self.ended.is_set():
            self.counts[self.one()] += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join(30)
