"""test_watchdog - each daemon says that it is ready and, as often as systemd's watchdog wants, that it goes round

Catches a daemon that systemd would kill for its silence, and one that goes on saying so when it hangs, or when one of the
threads that answer does.
"""
import contextlib
import ctypes
import os
import pathlib
import signal
import socket
import subprocess

from harness import BUILD, SANITIZER_WORDS, Rollcall, eventually, free_port, main


class Heard:
    """What is said to systemd."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def wait(self, word, seconds=20):
        self.socket.settimeout(seconds)
        while word not in self.socket.recv(4096).decode().split("\n"):
            pass

    def forget(self):
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.recv(4096)


@contextlib.contextmanager
def heard_by_systemd(rc, number, words):
    """(the daemon, what it says), once it is ready; it must end well."""
    path = rc.dir / f"notify{number}"
    with Heard(path) as heard, open(rc.dir / f"log{number}", "w+") as log:
        daemon = subprocess.Popen([BUILD / "bin" / words[0], "-c", rc.conf, *words[1:]], stdout=log, stderr=log, cwd="/",
                                  env=rc.environment(NOTIFY_SOCKET=str(path), WATCHDOG_USEC="200000"))
        try:
            heard.wait("READY=1")
            yield daemon, heard
            daemon.send_signal(signal.SIGTERM)
            heard.wait("STOPPING=1")
            code = daemon.wait(30)
        finally:
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait()
        log.seek(0)
        told = log.read()
        assert code == 0 and not [word for word in SANITIZER_WORDS if word in told], (code, told)


def watched(rc, number, words):
    with heard_by_systemd(rc, number, words) as (daemon, heard):
        for _ in range(3):
            heard.wait("WATCHDOG=1")
        daemon.send_signal(signal.SIGSTOP)
        os.waitpid(daemon.pid, os.WUNTRACED)
        heard.forget()
        try:
            heard.wait("WATCHDOG=1", 0.5)
            raise AssertionError(f"{words[0]} is stopped and says that it goes round")
        except TimeoutError:
            pass
        daemon.send_signal(signal.SIGCONT)
        heard.wait("WATCHDOG=1")


PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000


def ptrace(what, thread):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long] * 4
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(what, thread, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {what:#x} of {thread}")


@contextlib.contextmanager
def held(pid, name):
    """One thread of the process stands still, as a debugger lets it."""
    thread = next(int(task.name) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
                  if (task / "comm").read_text().strip() == name)
    ptrace(PTRACE_SEIZE, thread)
    ptrace(PTRACE_INTERRUPT, thread)
    os.waitpid(thread, WALL)
    try:
        yield
    finally:
        ptrace(PTRACE_DETACH, thread)


def test_each_worker():
    """One of three workers hangs while the other two answer and the main thread goes round: nothing is said until it goes on."""
    with Rollcall() as rc:
        rc.set(policy_user="root", policy_workers="3")
        with heard_by_systemd(rc, 0, ["rollcall-policyd"]) as (daemon, heard):
            for worker in range(3):
                heard.wait("WATCHDOG=1")
                with held(daemon.pid, f"worker-{worker}"):
                    heard.forget()
                    with contextlib.suppress(TimeoutError):
                        heard.wait("WATCHDOG=1", 0.5)  # it may have gone round since the last time
                    assert rc.metrics(), "the main thread goes round"
                    try:
                        heard.wait("WATCHDOG=1", 0.5)
                        raise AssertionError(f"worker {worker} is stopped and the daemon says that it goes round")
                    except TimeoutError:
                        pass
                heard.wait("WATCHDOG=1")


def test_every_daemon():
    with Rollcall() as rc:
        for name in ("quarantine", "spool"):
            (rc.dir / name).mkdir(mode=0o700)
        for name in ("secret.key", "link.key"):
            (rc.dir / name).write_text(os.urandom(32).hex())
            (rc.dir / name).chmod(0o640)
        rc.set(quarantine_listen=f"inet:127.0.0.1:{free_port()}", quarantine_user="root", quarantine_directory=rc.dir / "quarantine",
               panel_listen=f"inet:127.0.0.1:{free_port()}", panel_user="root",
               panel_metrics_listen=f"inet:127.0.0.1:{free_port()}", panel_spool_directory=rc.dir / "spool",
               secret_key_file=rc.dir / "secret.key", link_key_file=rc.dir / "link.key", policy_user="root",
               panel_url="http://127.0.0.1")
        daemons = (["rollcall-policyd"], ["rollcall-quarantine"], ["rollcall-panel"], ["rollcall-report", "send", "--follow"],
                   ["rollcall-ldapsync", "--requests", "--follow"])
        for number, words in enumerate(daemons):
            watched(rc, number, words)


if __name__ == "__main__":
    main()
