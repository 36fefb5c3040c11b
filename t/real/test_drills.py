"""test_drills - what DESIGN promises in trouble, counted: requests answered, wrong answers, acknowledged changes lost

PostgreSQL restarted again and again, a long bad line to it, a clock that jumps, no descriptor left, no memory left,
programs and databases of two versions. See faults.py; test_faults.py and test_kills.py have failover, restore, a damaged
replica and kill -9; test_drills_disk.py has full and damaged disks; test_upgrade.py an upgrade killed in the middle.
"""
import contextlib
import os
import pathlib
import re
import select
import signal
import statistics
import time

from cluster import Cluster, Writer
from faults import DOMAIN, World, drill, world
from harness import (FULL, POLICY_USER, PostgreSQL, Rollcall, as_user, eventually, main, request, run, seeded)
from network import LongHost
from versions import VERSIONS, make_version


# ------------------------------------------------------------------ PostgreSQL, and the way to it

def test_postgresql_restarted_again_and_again():
    """Orderly, at once, and as in a crash, in the midst of load."""
    rng, rounds = seeded(), 100 if FULL else 12
    with PostgreSQL() as pg, world(rng, pg) as w, drill(w) as (watcher, writer):
        for _ in range(rounds):
            mode = rng.choice(["fast", "immediate", "kill9"])
            writer.wait_for(rng.randint(1, 10))
            pg.kill9() if mode == "kill9" else pg.stop(mode)
            pg.start()
            writer.wait_for(1)
        print(f"    {rounds} restarts")
        assert w.loads() == 1, "went on where it was"
        assert watcher.counts["no answer"] == 0


WEATHER = [("150 ms", {"delay": 0.05, "jitter": 0.1}), ("5 % lost", {"delay": 0.01, "loss": 0.05}),
           ("20 % lost", {"loss": 0.2}), ("300 ms, 5 % lost", {"delay": 0.2, "jitter": 0.1, "loss": 0.05})]


def live_after(c, name, there):
    """Seconds until the change is live on all gateways."""
    c.world.commit({name: there})
    begun, wanted = time.monotonic(), "DUNNO" if there else "550 5.1.1 "
    for gateway in c.gateways:
        gateway.answers(f"{name}@{DOMAIN}", wanted, 60)
    return time.monotonic() - begun


def test_a_long_bad_line():
    """The gateways are far away: frames are late, lost, and for a while none comes through. Changes arrive, later."""
    rng, rounds = seeded(), 15 if FULL else 4
    with Cluster(1000, gateways=2, postfixes=0, cable=LongHost) as c:
        far = c.gateway_hosts
        with c.watched(), Writer(c) as writer:
            for name, weather in rng.sample(WEATHER, len(WEATHER)):
                for host in far:
                    host.weather(**weather)
                took = [live_after(c, "weather", number % 2 == 0) for number in range(rounds)]
                print(f"    {name}: {rounds} changes live on both after {statistics.median(took):.2f} s, at most {max(took):.2f} s")
            for host in far:
                host.weather(loss=0.05)
                host.unplug()
            writer.wait_for(20)
            assert not any(gateway.ask(f"far@{DOMAIN}").startswith("DUNNO") for gateway in c.gateways)
            c.world.commit({"far": True})
            for host in far:
                host.plug()
            for gateway in c.gateways:
                gateway.answers(f"far@{DOMAIN}", "DUNNO", 60)
            for host in far:
                host.weather()
        lost = writer.lost(c.world.truth())
        print(f"    {sum(host.carried for host in far)} frames carried, {sum(host.lost for host in far)} of them lost; "
              f"{len(writer.acknowledged)} acknowledged changes, {len(lost)} lost")
        assert not lost and sum(host.lost for host in far) > 0
        c.equal()


# ------------------------------------------------------------------ the clock

class Clock:
    """The wall clock of a program, set by libfaketime; the clock that only counts is left alone, as a jump does."""

    def __init__(self, directory):
        self.file = pathlib.Path(directory) / "clock"
        self.set(0)

    def set(self, seconds):
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.chmod(0o644)
        new.rename(self.file)

    def environment(self, program):
        sanitizer = re.findall(r"=> (\S*lib[at]san\S*)", run("ldd", program).stdout)  # must come first
        library = max(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        return {"LD_PRELOAD": ":".join([*sanitizer, str(library)]), "FAKETIME_TIMESTAMP_FILE": str(self.file),
                "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}


def test_the_clock_jumps():
    """By hours, days, a year, to and fro, while it runs, while PostgreSQL is away, and between stop and start. How old
    the list is does not change by that; where it cannot be told, unknown recipients wait."""
    rng = seeded()
    jumps = [7200, -7200, 86400, -86400, 400 * 86400, -400 * 86400] * (5 if FULL else 1)
    with PostgreSQL() as pg, world(rng, pg, stale_limit=2, start=False) as w:
        clock, daemon = Clock(w.roll.dir), w.roll.daemon
        daemon.environment = clock.environment(daemon.program)
        daemon.start()
        w.equal()
        with drill(w, may_defer=True):
            for jump in rng.sample(jumps, len(jumps)):
                clock.set(jump)
                w.commit({"jumped": jump > 0})
                w.roll.answers(f"jumped@{DOMAIN}", "DUNNO" if jump > 0 else "550 5.1.1 ")
                age = w.roll.metrics()["rollcall_replica_age_seconds"]
                assert age < 2, f"after a jump of {jump} s the list is {age} s old"
        for jump in (-7200, 7200):
            clock.set(0)
            w.roll.answers(f"stranger1@{DOMAIN}", "550 ")
            pg.pause()
            clock.set(jump)
            w.roll.answers(f"stranger1@{DOMAIN}", "DEFER_IF_PERMIT 4.3.0 ", 8)
            assert w.roll.ask(f"anchor1@{DOMAIN}") == "DUNNO"
            daemon.kill9()
            clock.set(2 * jump)  # meanwhile, too
            daemon.start()
            for _ in range(20):
                assert w.roll.ask(f"stranger1@{DOMAIN}").startswith("DEFER_IF_PERMIT 4.3.0 ")
                assert w.roll.ask(f"anchor1@{DOMAIN}") == "DUNNO"
            pg.unpause()
            w.equal()


def test_a_machine_that_stood_still():
    """Put back to a snapshot, a machine believes that no time went by until its clock is set: by an old list it would
    call people unknown for as long as stale_limit says, since the database is not at hand either."""
    rng = seeded()
    with PostgreSQL() as pg, world(rng, pg, start=False) as w:
        clock, daemon = Clock(w.roll.dir), w.roll.daemon
        daemon.environment = clock.environment(daemon.program)
        daemon.start()
        w.equal()
        pg.stop()
        eventually(lambda: "database-lost" in daemon.log.read_text(), 10, "the server to be missed")
        assert w.roll.ask(f"stranger1@{DOMAIN}").startswith("550 5.1.1 "), "the list is young"
        clock.set(-7200)
        eventually(lambda: w.roll.metrics()["rollcall_replica_age_seconds"] > 0, 5)
        assert w.roll.ask(f"stranger1@{DOMAIN}").startswith("550 5.1.1 "), "and not older because a clock went back"
        clock.set(7200)
        w.roll.answers(f"stranger1@{DOMAIN}", "DEFER_IF_PERMIT 4.3.0 ", 10)
        assert w.roll.ask(f"anchor1@{DOMAIN}") == "DUNNO" and "clock-jumped" in daemon.log.read_text()
        pg.start()
        w.roll.answers(f"stranger1@{DOMAIN}", "550 5.1.1 ", 20)
        w.equal()


# ------------------------------------------------------------------ descriptors, memory

def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def ulimit(pid, what, most):
    """Of a running daemon, whose user may do that whatever root may here."""
    run("prlimit", f"--pid={pid}", f"--{what}={most}:", **as_user(POLICY_USER))


@contextlib.contextmanager
def starved(pid, most):
    ulimit(pid, "nofile", most)
    try:
        yield
    finally:
        ulimit(pid, "nofile", 1024)


def answered(clients, seconds):
    """Those to whom an answer has come by then."""
    end, there = time.monotonic() + seconds, set()
    while (left := end - time.monotonic()) > 0:
        there |= set(select.select([client.socket for client in clients if client.socket not in there], (), (), left)[0])
    return [client for client in clients if client.socket in there]


def test_no_descriptor_left():
    """Who has a connection is answered, who comes then waits, and PostgreSQL, lost meanwhile, is found again when there
    is room."""
    rng, rounds = seeded(), 20 if FULL else 3
    with PostgreSQL() as pg, world(rng, pg) as w, drill(w) as (watcher, writer):
        pid, waited = w.roll.daemon.process.pid, 0
        for _ in range(rounds):
            with starved(pid, descriptors(pid) + rng.randint(3, 10)):
                clients = [w.roll.daemon.connect(timeout=30) for _ in range(40)]
                for client in clients:
                    client.send(request(f"anchor1@{DOMAIN}"))
                inside = answered(clients, 1)
                waited += len(clients) - len(inside)
                assert 0 < len(inside) < 40, f"{len(inside)} of 40 had a descriptor"
                pg.restart("immediate")
                for client in inside:
                    assert client.answer() == "DUNNO" and client.ask(f"stranger1@{DOMAIN}").startswith("550 ")
                    client.close()
                for client in clients:
                    if client not in inside:
                        assert client.answer() == "DUNNO"
                        client.close()
            there = rng.random() < 0.5
            w.commit({"after": there})
            w.roll.answers(f"after@{DOMAIN}", "DUNNO" if there else "550 5.1.1 ")
        print(f"    {rounds} times without descriptors, {waited} clients waited and were answered")
        assert watcher.counts["no answer"] == 0


class Cage:
    """A group of processes that may have so much memory; when it is used up the kernel kills. Version 1 or 2."""
    top = pathlib.Path("/sys/fs/cgroup")

    def __init__(self):
        old = self.top / "memory"
        self.path = (old if old.is_dir() else self.top) / f"rollcall-{os.getpid()}"
        names = ("limit_in_bytes", "usage_in_bytes") if old.is_dir() else ("max", "current")
        self.limit, self.used = (self.path / f"memory.{name}" for name in names)

    def __enter__(self):
        self.path.mkdir()
        return self

    def hold(self, pid, more):
        """What it had before it came in is not counted."""
        (self.path / "cgroup.procs").write_text(str(pid))
        self.limit.write_text(str(int(self.used.read_text()) + more))

    def __exit__(self, *_):
        eventually(lambda: not (self.path / "cgroup.procs").read_text(), 10, "the group to be empty")
        self.path.rmdir()


def size_of(pid, name):
    return int(re.search(rf"{name}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


GROWTH = 20000


def no_memory(w, hold):
    """The roll grows until the daemon, held by hold(pid), dies; as systemd does it is started again, and has it all."""
    daemon = w.roll.daemon
    hold(daemon.process.pid)
    for step in range(200):
        w.roll.psql(f"""begin; do $$ begin perform roll_begin('grow'); end $$;
            insert into recipient (domain_id, local_part, kind)
            select d.id, 'grow' || {step} || 'n' || n, 'group' from domain d, generate_series(0, {GROWTH} - 1) n
            on conflict (domain_id, local_part) do update set state = 'active', changed_by = roll_changeset(); commit""")
        with contextlib.suppress(AssertionError):
            eventually(lambda: not daemon.running, 0.5)
        if not daemon.running:
            break
    code = daemon.process.wait()
    assert code in (-signal.SIGKILL, -signal.SIGABRT, 1), code
    daemon._gone()
    daemon.log.rename(daemon.log.with_suffix(f".died{step}"))  # a sanitizer may have said why
    daemon.start()
    last = f"grow{step}n{GROWTH - 1}@{DOMAIN}"
    w.roll.answers(last, "DUNNO", 60)
    assert w.loads() == 0, "went on from its disk"
    print(f"    died ({code}) at {GROWTH * (step + 1)} new recipients, right again {daemon.started_in:.2f} s after its start")
    w.roll.psql(f"""begin; do $$ begin perform roll_begin('shrink'); end $$;
        update recipient set state = 'removed', changed_by = roll_changeset() where local_part like 'grow%'; commit""")
    w.roll.answers(last, "550 5.1.1 ", 60)


def test_no_memory_left():
    """Killed by the kernel, and by its own hand when an allocation fails: never a wrong answer, and nothing is lost."""
    rng = seeded()
    with world(rng) as w, drill(w) as (watcher, writer):
        for _ in range(2 if FULL else 1):
            no_memory(w, lambda pid: ulimit(pid, "data", size_of(pid, "VmData") + (8 << 20)))
            if (Cage.top / "memory").is_dir() or "memory" in (Cage.top / "cgroup.controllers").read_text():
                with Cage() as cage:
                    no_memory(w, lambda pid: cage.hold(pid, 8 << 20))


# ------------------------------------------------------------------ versions

def test_two_versions_of_the_program():
    """A database older than the programs, or newer. Gateways answer throughout: they follow where the tables have what
    they read, else they say what to do and answer from what they have. Whoever would write refuses, saying what to do."""
    rng, newest = seeded(), VERSIONS[-1]
    with PostgreSQL() as pg:
        for version in VERSIONS[:-1] if FULL else (1, rng.choice(VERSIONS[1:-1])):
            name = f"version{version}"
            make_version(pg, name, version)
            with Rollcall(pg, name, init=False) as roll:
                an_older_database(World(roll, rng), version, newest)
        with world(rng, pg) as w, drill(w) as (watcher, writer):
            w.roll.psql(f"insert into schema_version (version, name) values ({newest + 1}, 'of tomorrow')")
            refused = w.roll.run("user", "add", f"x@{DOMAIN}", check=78)
            assert "install the Rollcall that goes with it" in refused.stderr, refused.stderr
            w.roll.daemon.restart()
            w.commit({"tomorrow": True})
            w.roll.answers(f"tomorrow@{DOMAIN}", "DUNNO")
            w.roll.psql(f"delete from schema_version where version = {newest + 1}")


def an_older_database(w, version, newest):
    roll, told = w.roll, f"its version is {version}, this program needs {newest}: run `rollcall db upgrade`"
    roll.policyd()
    with drill(w, may_defer=True):
        refused = roll.run("user", "list", check=78)
        assert told in refused.stderr, refused.stderr
        eventually(lambda: told in roll.daemon.log.read_text() or roll.ask(f"anchor1@{DOMAIN}") == "DUNNO", 10)
        follows = roll.ask(f"anchor1@{DOMAIN}") == "DUNNO"
        roll.cli("db", "upgrade")
        roll.answers(f"anchor1@{DOMAIN}", "DUNNO")
        roll.cli("user", "list", "--domain", DOMAIN)
    print(f"    version {version}: gateways of version {newest} {'follow' if follows else 'say what is to be done'}")


if __name__ == "__main__":
    main()
