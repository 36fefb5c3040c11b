"""test_clients - clients of every kind at the policy socket: many, slow, broken, hostile; and the daemon's manners

No client may cost another one its answer, and none may get an answer that it did not ask for.
"""
import contextlib
import fcntl
import grp
import json
import os
import pathlib
import pwd
import resource
import signal
import socket
import stat
import struct
import subprocess
import termios
import threading
import time
import urllib.error

from harness import (BUILD, FULL, POLICY_USER, Lost, PolicyClient, Rollcall, as_user, die_with_parent, eventually, main,
                     request, run)

KNOWN, UNKNOWN = "alice@clients.test", "nobody@clients.test"


@contextlib.contextmanager
def daemon(*options, as_root=False, start=True, **settings):
    """A Rollcall of one domain with one user, its daemon running."""
    with Rollcall(**settings) as roll:
        roll.cli("customer", "add", "Test")
        roll.cli("domain", "add", "clients.test", "--customer", "Test", "--relay-check", "panel")
        roll.cli("user", "add", KNOWN)
        roll.policyd(*options, as_root=as_root, start=start)
        if start:
            roll.followed()
        yield roll


def right(client):
    """Whether this connection gets both answers right."""
    return client.ask(KNOWN) == "DUNNO" and client.ask(UNKNOWN).startswith("550 5.1.1 ")


def raise_files(wanted):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))


def logged(roll, word):
    return roll.daemon.log.read_text(errors="replace").count(word)


def unread(roll, client):
    """Bytes that the client has sent and the daemon has not read."""
    own = struct.unpack("i", fcntl.ioctl(client.socket, termios.TIOCOUTQ, bytes(4)))[0]
    if client.socket.family == socket.AF_UNIX:
        return own
    port, theirs = client.socket.getsockname()[1], []
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if local.endswith(f":{roll.policy_port:04X}") and remote.endswith(f":{port:04X}"):
            theirs.append(int(queues.partition(":")[2], 16))
    assert len(theirs) == 1, theirs
    return own + theirs[0]


@contextlib.contextmanager
def stopped(roll):
    roll.daemon.process.send_signal(signal.SIGSTOP)
    os.waitpid(roll.daemon.process.pid, os.WUNTRACED)
    try:
        yield
    finally:
        roll.daemon.process.send_signal(signal.SIGCONT)


def resident_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


# ------------------------------------------------------------------ many

def test_two_thousand_connections():
    count = 10000 if FULL else 2000
    raise_files(count + 500)
    with daemon(policy_max_connections=count + 100) as roll, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(roll.daemon.connect(inet=n % 2 == 1, timeout=30)) for n in range(count)]
        for n, client in enumerate(clients):  # all in hand at the same time
            client.send(request(KNOWN if n % 3 else UNKNOWN))
        for n, client in enumerate(clients):
            got = client.answer()
            assert got == "DUNNO" if n % 3 else got.startswith("550 5.1.1 "), (n, got)
        for client in clients[::-1]:
            assert client.ask(KNOWN) == "DUNNO"
        print(f"    {count} connections, unix and inet, each answered twice")


def test_more_connections_than_allowed():
    """Those beyond wait in the queue and are served once others go; nobody is refused."""
    with daemon(policy_max_connections=20) as roll:
        inside = [roll.daemon.connect() for _ in range(20)]
        assert all(right(client) for client in inside)
        outside = [roll.daemon.connect() for _ in range(10)]
        for client in outside:
            client.send(request(KNOWN))
        assert all(right(client) for client in inside)
        for client in inside:
            client.close()
        for client in outside:
            assert client.answer() == "DUNNO"
            client.close()


def test_unix_and_inet_at_once():
    with daemon() as roll, roll.daemon.connect() as unix, roll.daemon.connect(inet=True) as inet:
        for _ in range(50):
            assert right(unix) and right(inet)


# ------------------------------------------------------------------ slow, half, vanishing

def test_slow_clients():
    """A hundred that drip a byte now and then are cut off after policy_request_limit, others are served meanwhile."""
    with daemon(policy_request_limit="1s", log_level="debug") as roll, roll.daemon.connect() as good:
        slow = [roll.daemon.connect(inet=n % 2 == 1) for n in range(100)]
        text = request(KNOWN)
        begun, lost, at = time.monotonic(), set(), 0
        while len(lost) < len(slow):
            assert time.monotonic() - begun < 10, f"{len(slow) - len(lost)} slow clients are still connected"
            for n, client in enumerate(slow):
                if n not in lost:
                    try:
                        client.send(text[at:at + 1])
                    except OSError:
                        lost.add(n)
            at = min(at + 1, 60)
            assert right(good)
        assert time.monotonic() - begun >= 0.9, "cut off before their time"
        assert logged(roll, "client-late") > 0
        for client in slow:
            client.close()


def test_idle_clients():
    """Without a request a connection may stay for policy_idle_limit; then it is closed without a word."""
    with daemon(policy_idle_limit="1s", policy_request_limit="1s") as roll, roll.daemon.connect() as client:
        begun = time.monotonic()  # the daemon counts from its answer, which may be seen late
        assert right(client)
        answered = time.monotonic()
        assert client.closed(10) and client.buffer == b""
        closed = time.monotonic()
        assert closed - begun > 0.9 and closed - answered < 5
        assert logged(roll, "client-late") == 0, "an idle connection is nothing to warn of"


def test_bytes_one_by_one():
    with daemon() as roll, roll.daemon.connect() as client:
        for recipient, start in ((KNOWN, "DUNNO"), (UNKNOWN, "550 5.1.1 ")):
            for byte in request(recipient):
                client.send(bytes([byte]))
            assert client.answer().startswith(start)


def test_half_requests():
    with daemon() as roll, roll.daemon.connect() as client:
        text = request(UNKNOWN)
        for at in (1, 10, len(text) // 2, len(text) - 1):
            client.send(text[:at])
            with roll.daemon.connect() as other:  # the half one holds up nobody
                assert right(other)
            client.send(text[at:])
            assert client.answer().startswith("550 5.1.1 ")
        client.send(text[:-1])
        client.socket.shutdown(socket.SHUT_WR)
        assert client.closed(), "half a request and an end: no answer"
        assert roll.ask(KNOWN) == "DUNNO"


def test_clients_that_close_their_side_get_their_answer():
    with daemon() as roll, roll.daemon.connect() as client:
        client.send(request(UNKNOWN) * 3)
        client.socket.shutdown(socket.SHUT_WR)
        for _ in range(3):
            assert client.answer().startswith("550 5.1.1 ")
        assert client.closed()


@contextlib.contextmanager
def sent_at_once(roll, inet, data):
    """A client that has sent as much of it as there is room for while the daemon did not look; and how much."""
    client = roll.daemon.connect(inet=inet)
    assert right(client)
    with stopped(roll):
        client.socket.setblocking(False)
        sent = client.socket.send(data)
        client.socket.settimeout(10)
        assert unread(roll, client) > 0
        yield client, sent


def test_more_at_once_than_is_read_at_once():
    """One event for the daemon, and several reads."""
    with daemon() as roll:
        data = request(UNKNOWN) * 4000
        for inet in (False, True):
            with sent_at_once(roll, inet, data) as (client, sent):
                assert sent > 64 * 1024, sent
            sender = threading.Thread(target=client.send, args=(data[sent:],))
            sender.start()
            for _ in range(4000):
                assert client.answer().startswith("550 5.1.1 ")
            sender.join()
            client.close()


def test_a_request_and_the_end_at_once():
    """One event, too: the answer, and then the end of it is seen."""
    with daemon() as roll:
        for inet in (False, True):
            with sent_at_once(roll, inet, request(UNKNOWN)) as (client, _):
                client.socket.shutdown(socket.SHUT_WR)
            assert client.answer().startswith("550 5.1.1 ") and client.closed(), "the end was not seen"
            client.close()


def test_clients_that_vanish():
    """Before, during and after a request; by FIN and by RST."""
    with daemon() as roll, roll.daemon.connect() as good:
        text = request(UNKNOWN)
        for n in range(600):
            client = roll.daemon.connect(inet=n % 2 == 1)
            client.send(text[:(0, 17, len(text), len(text) - 1)[n % 4]])
            if n % 3 == 0 and n % 2 == 1:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            if n % 50 == 0:
                assert right(good)
        assert right(good)
        pid = roll.daemon.process.pid
        eventually(lambda: len(os.listdir(f"/proc/{pid}/fd")) < 200, 5, "their descriptors to be closed")


def test_clients_that_do_not_listen():
    """Requests without end, answers never read: bounded memory, then cut off; others are served."""
    with daemon(policy_request_limit="1s") as roll, roll.daemon.connect() as good:
        before = resident_kib(roll.daemon.process.pid)
        deaf, chunk = roll.daemon.connect(timeout=0.2), request(UNKNOWN) * 64
        begun, sent = time.monotonic(), 0
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - begun < 10:
                try:
                    sent += deaf.socket.send(chunk)
                except TimeoutError:
                    assert right(good)
            raise AssertionError("a client that never reads is still connected after 10 s")
        grown = resident_kib(roll.daemon.process.pid) - before
        assert right(good) and grown < 32 * 1024, f"grew by {grown} KiB after {sent} bytes"
        deaf.close()


# ------------------------------------------------------------------ wrong

def rejected(roll, data, inet=False):
    """Sent on a connection of its own: closed without any answer, and the next client is served."""
    with roll.daemon.connect(inet=inet) as client:
        with contextlib.suppress(ConnectionError):
            client.send(data)
        got = b""
        try:
            while piece := client.socket.recv(65536):
                got += piece
        except ConnectionError:
            pass
        except TimeoutError:
            raise AssertionError(f"still connected after {data[:60]!r}…") from None
        assert got == b"", f"{data[:60]!r}… was answered with {got[:100]!r}"
    with roll.daemon.connect() as client:
        assert right(client)


def test_malformed_requests():
    good = request(KNOWN)
    with daemon(policy_request_limit="1s") as roll:
        for data in (
            b"no equals sign\n\n", b"=value\n" + good, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"EHLO client.example.net\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
            bytes(1000), b"\0\n\n", b"\n", b"\n\n",
        ):
            rejected(roll, data)
            rejected(roll, data, inet=True)
        assert logged(roll, "request-malformed") > 0 and logged(roll, "client-late") > 0
        assert "\0" not in roll.daemon.log.read_text(errors="replace"), "hostile bytes in the log"


def test_huge_requests():
    """10 MB in one line, in many lines, of good attributes: cut off at the limit, memory does not follow."""
    head = b"request=smtpd_access_policy\nprotocol_state=RCPT\n"
    with daemon() as roll:
        before = resident_kib(roll.daemon.process.pid)
        for data in (head + b"recipient=" + b"a" * 10_000_000 + b"@clients.test\n\n",
                     head + b"".join(b"name%d=value\n" % n for n in range(700_000)) + b"\n",
                     b"x" * 10_000_000, head + b"sender=" + b"\xff" * 10_000_000):
            rejected(roll, data)
        grown = resident_kib(roll.daemon.process.pid) - before
        assert grown < 32 * 1024, f"grew by {grown} KiB"


def test_requests_at_the_limits():
    """64 KiB and 256 attributes are allowed; one more is not."""
    with daemon() as roll:
        plain = request(UNKNOWN)
        fill = 64 * 1024 - len(plain) - len(b"fill=\n")
        largest = plain[:-1] + b"fill=" + b"x" * fill + b"\n\n"
        assert len(largest) == 64 * 1024
        attributes = plain.count(b"\n") - 1
        many = plain[:-1] + b"".join(b"more%d=x\n" % n for n in range(256 - attributes)) + b"\n"
        with roll.daemon.connect() as client:
            for data in (largest, many, largest + many + plain):
                client.send(data)
                assert client.answer().startswith("550 5.1.1 ")
            assert client.answer().startswith("550 5.1.1 ") and client.answer().startswith("550 5.1.1 ")
        rejected(roll, plain[:-1] + b"fill=" + b"x" * (fill + 1) + b"\n\n")
        rejected(roll, many[:-1] + b"another=x\n\n")


def test_pipelining():
    """Answers in the order of the questions, however they are cut."""
    with daemon() as roll, roll.daemon.connect() as client:
        for size in (1, 7, 1000, 4096, 65536):
            asked = [KNOWN if (n * 7) % 5 < 2 else UNKNOWN for n in range(300)]
            stream = b"".join(map(request, asked))
            sender = threading.Thread(target=lambda s=stream, k=size: [client.send(s[at:at + k])
                                                                        for at in range(0, len(s), k)])
            if size == 1:
                asked, stream = asked[:5], b"".join(map(request, asked[:5]))
                sender = threading.Thread(target=lambda s=stream: [client.send(s[at:at + 1]) for at in range(len(s))])
            sender.start()
            for recipient in asked:
                got = client.answer()
                assert got == "DUNNO" if recipient == KNOWN else got.startswith("550 5.1.1 "), (size, recipient, got)
            sender.join()
        # good ones in front of a bad one are answered, then it ends
        client.send(request(KNOWN) + request(UNKNOWN) + b"garbage\n\n" + request(KNOWN))
        assert client.answer() == "DUNNO" and client.answer().startswith("550 5.1.1 ")
        try:
            raise AssertionError(f"an answer behind garbage: {client.answer()}")
        except (Lost, ConnectionError):
            pass


def test_strange_recipients():
    """What is no address of ours is no business of ours; what looks like one is not on the roll."""
    with daemon() as roll, roll.daemon.connect() as client:
        for recipient, start in {
            "": "DUNNO", "alice": "DUNNO", "@": "DUNNO", "@clients.test": "550 5.1.1", "alice@": "DUNNO",
            "x" * 1900 + "@clients.test": "550 5.1.1", "alice@a_b.clients.test": "550 5.7.1",
            "alice@\U0001f600.clients.test": "550 5.7.1", "alice@a..clients.test": "550 5.7.1",
            "alice@[127.0.0.1]": "DUNNO", "x@" + "a" * 2000 + ".test": "DUNNO", "alice@clients.test@elsewhere.test": "DUNNO",
            "a@b@clients.test": "550 ", "a\0lice@clients.test": "550 ", "alice\0@clients.test": "550 ",
            "alice@clients.test\0": "DUNNO", "alice@clients\0.test": "DUNNO", "alice@\0.clients.test": "550 5.7.1", "\udcff\udcfe@clients.test": "550 ", "al\tice@clients.test": "550 ",
            "%s%n@clients.test": "550 ", "' or 1=1 --@clients.test": "550 ", "x" * 500 + "@clients.test": "550 ",
            "alice@CLIENTS.TEST.": "DUNNO", "Alice+%00@clients.test": "DUNNO",
        }.items():
            got = client.ask(recipient)
            assert got.startswith(start), (recipient, got)


def test_states_that_do_not_decide():
    with daemon() as roll, roll.daemon.connect() as client:
        for state in ("CONNECT", "EHLO", "HELO", "MAIL", "DATA", "END-OF-MESSAGE", "ETRN", "", "NEWSTATE"):
            assert client.ask(UNKNOWN, state) == "DUNNO", state
        assert client.ask(UNKNOWN, "VRFY").startswith("550 5.1.1 ")
        assert client.ask(UNKNOWN, "RCPT", compatibility_level="3.8", mail_version="3.12", tls_sni="x").startswith("550 ")


# ------------------------------------------------------------------ the daemon's manners

def test_socket_mode_and_owner():
    with daemon(as_root=True, policy_socket_owner="postfix:postdrop", policy_socket_mode="0620") as roll:
        about = roll.socket.stat()
        assert stat.S_IMODE(about.st_mode) == 0o620 and stat.S_ISSOCK(about.st_mode)
        assert pwd.getpwuid(about.st_uid).pw_name == "postfix" and grp.getgrgid(about.st_gid).gr_name == "postdrop"
        reached = run("python3", "-c", f"import socket; socket.socket(socket.AF_UNIX).connect({str(roll.socket)!r})",
                      check=False, **as_user(POLICY_USER))
        assert reached.returncode != 0 and "PermissionError" in reached.stderr


def test_root_is_given_up():
    with daemon(as_root=True) as roll:
        assert roll.ask(KNOWN) == "DUNNO"
        entry, status = pwd.getpwnam(POLICY_USER), {}
        for task in pathlib.Path(f"/proc/{roll.daemon.process.pid}/task").iterdir():
            for line in (task / "status").read_text().splitlines():
                name, _, value = line.partition(":")
                status[name] = value.split()
            assert set(status["Uid"]) == {str(entry.pw_uid)} and set(status["Gid"]) == {str(entry.pw_gid)}, status
            assert set(status["Groups"]) <= {str(entry.pw_gid)}, "keeps groups of root"
            assert status["CapEff"] == ["0000000000000000"] and status["CapPrm"] == ["0000000000000000"], status
        assert logged(roll, "privileges") == 1


def test_a_socket_left_behind():
    """After kill -9 the path is taken over; that of a living daemon is not."""
    with daemon() as roll:
        roll.daemon.kill9()
        assert roll.socket.exists()
        roll.daemon.start()
        assert roll.ask(KNOWN) == "DUNNO"
        other = roll.dir / "other"
        other.mkdir()
        os.chmod(other, 0o777)
        second = roll.policyd("-o", f"replica_directory={other}", "-o", "metrics_listen=",
                              "-o", f"policy_listen=unix:{roll.socket}", start=False, name="second")
        first_client = PolicyClient(str(roll.socket))
        done = run(BUILD / "bin/rollcall-policyd", "-c", roll.conf, *second.options, check=False, timeout=20,
                   env=roll.environment(), cwd="/", **as_user(POLICY_USER))
        assert done.returncode not in (0, -6, -11), done
        assert str(roll.socket) in done.stderr, done.stderr
        assert right(first_client)
        first_client.close()


def test_one_daemon_per_replica():
    with daemon() as roll:
        done = run(BUILD / "bin/rollcall-policyd", "-c", roll.conf, "-o", f"policy_listen=unix:{roll.dir}/run/other",
                   "-o", "metrics_listen=", check=False, timeout=20, env=roll.environment(), cwd="/",
                   **as_user(POLICY_USER))
        assert done.returncode not in (0, -6, -11) and "replica" in done.stderr, done
        assert roll.ask(KNOWN) == "DUNNO"


def reloaded(roll):
    """SIGHUP, and what a service manager waits for: RELOADING=1, READY=1."""
    roll.daemon.reload()
    roll.daemon.wait_notified("RELOADING=1")
    roll.daemon.wait_notified("READY=1")


def test_reload():
    """SIGHUP: what may change changes, connections and requests in hand stay; a bad file changes nothing."""
    with daemon() as roll, roll.daemon.connect() as client:
        text = request(UNKNOWN)
        client.send(text[:50])
        roll.set(unknown_text="Nobody of that name")
        reloaded(roll)
        assert roll.ask(UNKNOWN) == "550 5.1.1 Nobody of that name (unlisted)"
        client.send(text[50:])
        assert client.answer() == "550 5.1.1 Nobody of that name (unlisted)"
        roll.set(unknown_text="Changed again", stale_limt="2h")
        reloaded(roll)
        line = [line for line in roll.daemon.log.read_text().splitlines() if "reload-failed" in line][0]
        assert str(roll.conf) in line and "stale_limt" in line and "stale_limit" in line, line
        assert client.ask(UNKNOWN) == "550 5.1.1 Nobody of that name (unlisted)"
        roll.set(stale_limt=None)
        reloaded(roll)
        assert roll.ask(UNKNOWN) == "550 5.1.1 Changed again (unlisted)"
        for _ in range(30):
            reloaded(roll)
            assert client.ask(KNOWN) == "DUNNO"


def test_stop_with_requests_in_hand():
    """SIGTERM: what has begun is answered, then the end, well before the limit."""
    with daemon(policy_request_limit="5s") as roll:
        text = request(UNKNOWN)
        begun, idle = [roll.daemon.connect(inet=n % 2 == 1) for n in range(20)], roll.daemon.connect()
        assert right(idle)
        for client in begun:
            client.send(text[:100])
        eventually(lambda: not any(unread(roll, client) for client in begun), 10, "the daemon to have read the halves")
        assert right(idle)
        process, started = roll.daemon.process, time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert idle.closed(5)
        for client in begun:
            client.send(text[100:])
            assert client.answer().startswith("550 5.1.1 ")
            assert client.closed(5)
            client.close()
        idle.close()
        assert process.wait(10) == 0 and time.monotonic() - started < 5
        roll.daemon.stop()
        assert not roll.socket.exists() or roll.daemon.start(), "the next one starts"


def test_stop_does_not_wait_for_the_slow():
    with daemon(policy_request_limit="1s") as roll, roll.daemon.connect() as client:
        client.send(request(KNOWN)[:10])
        eventually(lambda: not unread(roll, client), 10, "the daemon to have read it")
        begun = time.monotonic()
        roll.daemon.stop(deadline=8)
        assert time.monotonic() - begun < 5 and client.closed()


def test_socket_activation():
    """As systemd does it: listening sockets from descriptor 3 on; what waits in them is answered."""
    with daemon(start=False, policy_listen="") as roll:
        path = str(roll.dir / "activated")
        with socket.socket(socket.AF_UNIX) as unix, socket.socket() as inet:
            unix.bind(path)
            unix.listen(100)
            os.chmod(path, 0o666)
            inet.bind(("127.0.0.1", 0))
            inet.listen(100)
            early = PolicyClient(path)
            early.send(request(KNOWN))  # before anybody runs

            def handed_over():
                die_with_parent()
                first, second = os.dup(unix.fileno()), os.dup(inet.fileno())
                os.dup2(first, 3)
                os.dup2(second, 4)

            with open(roll.dir / "activated.log", "w") as log:
                command = " ".join(["LISTEN_FDS=2 LISTEN_PID=$$ exec", str(BUILD / "bin/rollcall-policyd"), "-c",
                                    str(roll.conf)])
                process = subprocess.Popen(["/bin/sh", "-c", command], stdout=log, stderr=log, cwd="/",
                                           env=roll.environment(), pass_fds=(3, 4), preexec_fn=handed_over,
                                           **as_user(POLICY_USER))
            try:
                assert early.answer().startswith(("DUNNO", "DEFER_IF_PERMIT 4.3.0 ")), "the roll may not be there yet"
                with PolicyClient(path) as one, PolicyClient(inet.getsockname()) as two:
                    eventually(lambda: one.ask(KNOWN) == "DUNNO", 10, "the roll")
                    assert right(one) and right(two)
                process.terminate()
                assert process.wait(10) == 0
            finally:
                process.kill()
                process.wait()
            early.close()
            assert os.path.exists(path), "the socket is systemd's: it stays"


def test_ready_is_told_when_it_answers():
    with daemon() as roll:
        for _ in range(5):
            roll.daemon.restart()  # waits for READY=1
            with roll.daemon.connect(timeout=5) as client:
                assert client.ask(KNOWN) == "DUNNO"


def policyd_once(roll, *options):
    return run(BUILD / "bin/rollcall-policyd", "-c", roll.conf, *options, check=False, timeout=20, cwd="/",
               env=roll.environment(), **as_user(POLICY_USER))


def test_check_of_the_configuration():
    """--check: 0 and quiet, or 78 with file, line and the nearest name; it starts nothing."""
    with daemon(start=False) as roll:
        done = policyd_once(roll, "--check")
        assert done.returncode == 0, done
        assert not roll.socket.exists()
        for name, value, words in (
            ("stale_limt", "1h", ["stale_limt", "stale_limit"]), ("policy_workers", "many", ["policy_workers", "many"]),
            ("stale_limit", "0s", ["stale_limit"]), ("policy_listen", "unix:relative", ["policy_listen"]),
            ("unknown_text", "x\ty", ["unknown_text"]),
        ):
            roll.set(**{name: value})
            line = roll.conf.read_text().splitlines().index(f"{name} = {value}") + 1
            for options in (["--check"], []):
                done = policyd_once(roll, *options)
                assert done.returncode == 78, (name, value, done)
                for word in [f"{roll.conf}:{line}", *words]:
                    assert word in done.stderr.replace(f"{roll.conf}, line {line}", f"{roll.conf}:{line}"), (word, done.stderr)
            roll.set(**{name: None})
            roll.set(policy_listen=f"unix:{roll.socket}, inet:127.0.0.1:{roll.policy_port}")
        assert policyd_once(roll, "--check", "-o", "nonsense=1").returncode == 78
        assert policyd_once(roll, "--chek").returncode == 64
        assert policyd_once(roll, "--help").returncode == 0


def test_metrics_and_health():
    with daemon() as roll:
        status, text = roll.http("/healthz")
        assert status == 200, text
        before = roll.metrics()
        for _ in range(10):
            right(roll.daemon.connect())
        after = roll.metrics()
        assert all(name.startswith("rollcall_") for name in after), after
        grown = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
        answers = {name: value for name, value in grown.items() if "answers" in name}
        assert sum(answers.values()) == 20, (answers, grown)
        assert any(value == 10 and "reject" in name for name, value in answers.items()), answers
        for path in ("/", "/nothing", "/metrics/../x"):
            try:
                code = roll.http(path)[0]
            except urllib.error.HTTPError as error:
                code = error.code
            assert code == 404, (path, code)
        assert roll.ask(KNOWN) == "DUNNO"


def test_no_list_is_not_healthy():
    """Started without PostgreSQL and without a replica: not sure about anybody, and says so."""
    with daemon(start=False) as roll:
        roll.policyd("-o", "database=host=/nonexistent", start=False).start(wait=False)
        eventually(lambda: roll.ask(KNOWN).startswith("DEFER_IF_PERMIT 4.3.0 "), 10, "not sure")
        try:
            code = roll.http("/healthz")[0]
        except urllib.error.HTTPError as error:
            code = error.code
        assert code == 503, code
        roll.daemon.stop()


def test_json_log():
    with daemon(log_format="json", log_answers="all") as roll:
        roll.ask(KNOWN)
        roll.ask('evil"\\\udc80\x1b[31m@clients.test')
        eventually(lambda: logged(roll, '"event":"answer"') >= 2, 5, "the answers in the log")
        for line in roll.daemon.log.read_text(errors="strict").splitlines():
            row = json.loads(line)
            assert {"time", "program", "pid", "level", "event", "text"} <= set(row) and row["text"].isprintable(), row


if __name__ == "__main__":
    main()
