"""test_faults - PostgreSQL and the disk break, and no answer is wrong; see faults.py"""
import collections
import contextlib
import os
import threading
import time

from faults import DOMAIN, ManyWriter, Watcher, World, ask_all, changeset, fill, offline, small_disk, world
from harness import FULL, POLICY_USER, PostgreSQL, Rollcall, eventually, main, own, seeded

# ------------------------------------------------------------------ PostgreSQL goes away

def test_postgresql_stops_and_starts():
    """However it goes: known ones are accepted throughout, unknown ones get 550 while the list is fresh, then 450."""
    rng = seeded()
    with PostgreSQL() as pg, world(rng, pg, stale_limit=1) as w, Watcher(w):
        modes = ["fast", "immediate", "kill9", "pause"] * (5 if FULL else 1)
        for mode in rng.sample(modes, len(modes)):
            w.commit(w.some_changes())
            w.equal()
            {"kill9": pg.kill9, "pause": pg.pause}.get(mode, lambda how=mode: pg.stop(how))()
            w.roll.answers(f"stranger1@{DOMAIN}", "DEFER_IF_PERMIT 4.3.0 ", 10)
            assert w.roll.ask(f"anchor1@{DOMAIN}") == "DUNNO"
            if rng.random() < 0.5:  # a restart meanwhile: from the disk, and as old as it is
                w.roll.daemon.kill9() if rng.random() < 0.5 else w.roll.daemon.stop()
                w.roll.daemon.start()
                assert w.roll.ask(f"anchor2@{DOMAIN}") == "DUNNO"
                assert w.roll.ask(f"stranger2@{DOMAIN}").startswith("DEFER_IF_PERMIT 4.3.0 ")
            pg.unpause() if mode == "pause" else pg.start()
            w.commit(w.some_changes())
            w.equal()
            w.position_agrees()
        assert w.loads() == 1


# ------------------------------------------------------------------ failover, restore, standby

def lose_commits(w, standby):
    """The standby hears no more; the daemon follows commits that only the primary has."""
    standby.caught_up()
    w.equal()
    standby.cut()
    for _ in range(w.rng.randint(1, 5)):
        w.commit(w.some_changes())
    w.commit({"lost": True, "user0": not ("user0" in w.truth())})
    w.equal()


def test_failover():
    """The standby has everything: the daemon goes on where it is. Twice: while it runs, while it is stopped."""
    rng = seeded()
    with PostgreSQL() as primary, primary.standby() as standby, world(rng, primary, [primary, standby]) as w, Watcher(w):
        w.commit(w.some_changes())
        standby.caught_up()
        primary.kill9()
        standby.promote()
        w.roll.pg = standby
        w.commit(w.some_changes())
        w.equal()
        w.position_agrees()
        assert w.loads() == 1, "its uuid agreed: nothing had to be read anew"


def failover_with_loss(rng, asleep):
    """The standby lacks the last commits; their versions are given to others."""
    with PostgreSQL() as primary, primary.standby() as standby, world(rng, primary, [primary, standby]) as w, \
            Watcher(w) as watcher:
        lose_commits(w, standby)
        before, had = w.loads(), w.roll.version()
        if asleep:
            w.roll.daemon.kill9()
        primary.kill9()
        standby.promote()
        w.roll.pg = standby
        assert w.roll.version() < had
        while w.roll.version() < had + rng.randint(0, 2):
            w.commit(w.some_changes())
        if asleep:
            w.roll.daemon.start()
        w.equal()
        w.position_agrees()
        assert w.loads() == before + 1
        assert w.roll.ask(f"lost@{DOMAIN}").startswith("550 5.1.1 ")
        assert watcher.counts["DUNNO"]


def test_failover_that_lost_commits():
    failover_with_loss(seeded(), asleep=False)


def test_failover_that_lost_commits_unseen():
    """The daemon slept: when it looks, its version is there, under another uuid."""
    failover_with_loss(seeded(), asleep=True)


def test_restored_from_an_older_dump():
    rng = seeded()
    with world(rng) as w, Watcher(w):
        for asleep in (False, True, False, True)[:4 if FULL else 2]:
            dump, before = w.roll.pg.dump(w.roll.dbname), w.loads()
            for _ in range(rng.randint(1, 4)):
                w.commit(w.some_changes())
            w.commit({"lost": True})
            young = f"young{before}.test"
            w.roll.psql(f"""begin; do $$ begin perform roll_begin('young'); end $$;
                insert into domain (name, customer_id, relay_check) select '{young}', min(id), 'off' from customer; commit""")
            w.equal()
            w.roll.answers(f"x@sub.{young}", "550 5.7.1 ")
            had = w.roll.version()
            if asleep:
                w.roll.daemon.kill9()
            w.roll.pg.restore(w.roll.dbname, dump)
            assert w.roll.version() < had
            while asleep and w.roll.version() < had:  # its very version, given a second time
                w.commit(w.some_changes())
            if asleep:
                w.roll.daemon.start()
            w.equal()
            w.position_agrees()
            assert w.loads() == before + 1
            for lost in (f"x@{young}", f"postmaster@{young}", f"x@sub.{young}"):  # Postfix may relay for it still
                assert w.roll.ask(lost).startswith("DEFER_IF_PERMIT 4.3.0 "), lost
        # a dump of the very state it has: nothing to do
        dump, before = w.roll.pg.dump(w.roll.dbname), w.loads()
        w.roll.pg.restore(w.roll.dbname, dump)
        w.commit(w.some_changes())
        w.equal()
        assert w.loads() == before


def lag(standby, delay):
    """From now on commits are replayed only when they are that old."""
    standby.set("recovery_min_apply_delay", delay)


def test_lagging_standby_joins_and_leaves():
    """The daemon prefers the standby. While that is behind, nothing goes back: what was applied stays, and ages."""
    rng = seeded()
    with PostgreSQL() as primary, primary.standby() as standby, \
            world(rng, primary, [standby, primary], stale_limit=1) as w, Watcher(w):
        w.commit(w.some_changes())
        w.equal()  # through the standby, by polling
        lag(standby, "1h")
        standby.stop()
        w.commit({"late": True, "user1": True, "user2": False})
        w.equal()  # through the primary
        standby.start()
        assert int(standby.psql("select version from roll_clock", w.roll.dbname)) < w.roll.version()
        primary.psql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'rollcall-policyd'")
        eventually(lambda: "standby-behind" in w.roll.daemon.log.read_text(), 10, "the daemon at the lagging standby")
        w.roll.answers(f"stranger1@{DOMAIN}", "DEFER_IF_PERMIT 4.3.0 ")
        for name in ("late", "user1", "anchor1"):
            assert w.roll.ask(f"{name}@{DOMAIN}") == "DUNNO", name
        assert w.roll.ask(f"user2@{DOMAIN}").startswith("DEFER_IF_PERMIT 4.3.0 ")
        w.commit({"later": True})
        lag(standby, "0")
        w.equal()
        lag(standby, "1h")
        w.commit({"latest": True})
        standby.stop()
        w.equal()
        w.position_agrees()
        assert w.loads() == 1


# ------------------------------------------------------------------ the disk

def harm(rng, path):
    """One file is cut, overwritten in part or in whole, lengthened, or gone; says what was done: "cut meta"."""
    size = path.stat().st_size
    way = rng.choice(["cut", "noise", "zeros", "all noise", "more", "gone"])
    if way == "gone":
        path.unlink()
    elif way == "cut":
        os.truncate(path, rng.randrange(size) if size else 0)
    elif way == "more":
        with open(path, "ab") as file:
            file.write(rng.randbytes(rng.randint(1, 20000)))
    else:
        with open(path, "r+b") as file:
            at = 0 if way == "all noise" else rng.randrange(size) if size else 0
            length = size if way == "all noise" else rng.randint(1, 20000)
            file.seek(at)
            file.write(bytes(length) if way == "zeros" else rng.randbytes(length))
    return f"{way} {path.name.partition('.')[0]}"


def files_of(w):
    return sorted(path for path in (w.roll.dir / "replica").iterdir() if path.is_file() and path.name != "lock")


def test_replica_damaged():
    """Files harmed while the daemon is away or while it runs: never a wrong answer, and whole again by itself."""
    rng = seeded()
    rounds, done = (60 if FULL else 10), []
    with world(rng) as w, Watcher(w, may_defer=True):
        for _ in range(rounds):
            running = rng.random() < 0.3
            if not files_of(w):  # moved aside after the last harm, and not yet written again
                w.roll.daemon.restart()
                w.equal()
            if not running:
                w.roll.daemon.kill9() if rng.random() < 0.5 else w.roll.daemon.stop()
            try:
                done.append(harm(rng, rng.choice(files_of(w))) + " while running" * running)
                if running:
                    w.commit(w.some_changes())
                    w.equal()
                    w.roll.daemon.kill9()
                if rng.random() < 0.3:  # nothing to load from: right, or not sure
                    daemon = offline(w.roll)
                    with daemon.connect() as client:
                        answers = ask_all(client, [*World.anchors, *World.strangers])
                    for name, answer in answers.items():
                        assert answer.startswith(("DUNNO" if name in World.anchors else "550 ", "DEFER")), (name, answer)
                    daemon.stop()
                w.commit(w.some_changes())
                w.roll.policyd()
                w.equal()
                w.position_agrees()
            except Exception:
                print("    " + "\n    ".join(done))
                raise
        print("    " + ", ".join(f"{what} {n}" for what, n in sorted(collections.Counter(done).items())))


def zero_pages(path, word, whole):
    """What a power cut leaves of a file's latest pages: zeros, in whole or in front. Those with the word in them; the
    first page stays."""
    with open(path, "r+b") as file:
        bytes_ = file.read()
        size = int.from_bytes(bytes_[20:24], "little")  # Berkeley DB's metadata page: the page size
        hit = [at for at in range(size, len(bytes_), size) if word in bytes_[at:at + size]]
        assert 512 <= size <= 65536 and hit, (path, size)
        for at in hit:
            file.seek(at)
            file.write(bytes(size if whole else 512))


def test_zeroed_pages():
    """Berkeley DB takes a page of zeros for an empty one. Asked from the first moment on: nobody is refused who is on
    the roll, nobody accepted who is not, neither with PostgreSQL nor without it."""
    rng = seeded()
    with world(rng) as w:
        w.roll.psql("""begin; do $$ begin perform roll_begin('many'); end $$;
            insert into recipient (domain_id, local_part, kind)
            select d.id, 'many' || i, 'group' from domain d, generate_series(1, 50000) i; commit""")
        for kind, word in (("domain", DOMAIN.encode()), ("recipient", b"anchor")) * (5 if FULL else 1):
            for alone in (True, False):
                w.equal()
                w.roll.daemon.stop()
                zero_pages(next((w.roll.dir / "replica").glob(f"{kind}.0*")), word, rng.random() < 0.5)
                with Watcher(w, may_defer=True, every=0.001) as watcher:
                    if alone:
                        offline(w.roll)
                        eventually(lambda: watcher.counts["DEFER_IF_PERMIT"] > 10 or watcher.wrong, 10, "some answers")
                        eventually(lambda: w.roll.metrics()["rollcall_replica_damages_total"] == 1, 10, "the damage seen")
                        w.roll.daemon.stop()
                    w.roll.policyd()
                    w.equal()


def change_until_disk_is_behind(w):
    there = True
    while w.roll.metrics()["rollcall_replica_disk_behind"] == 0:
        w.commit({f"many{n}": there for n in range(3000)})
        w.equal()
        there = not there


def test_disk_full():
    """Changes go on in memory, are told, and reach the disk when it has room again; so after a restart meanwhile."""
    rng = seeded()
    with Rollcall() as roll, small_disk(roll.dir / "disk", 48) as filler:
        (roll.dir / "disk/replica").mkdir(mode=0o700)
        own(roll.dir / "disk/replica", POLICY_USER)
        roll.set(replica_directory=roll.dir / "disk/replica")
        w = World(roll, rng)
        roll.policyd()
        w.equal()
        for restarts in (0, 2):
            fill(filler)
            with Watcher(w):
                change_until_disk_is_behind(w)
                assert "replica-failed" in roll.daemon.log.read_text()
            with Watcher(w, may_defer=restarts > 0):
                for _ in range(restarts):
                    roll.daemon.kill9()
                    roll.policyd()
                    w.commit(w.some_changes())
                    w.equal()
                filler.unlink()
                if restarts:
                    roll.daemon.restart()
                w.commit(w.some_changes())
                eventually(lambda: roll.metrics()["rollcall_replica_disk_behind"] == 0, 60, "the disk to catch up", every=0.1)
                w.equal()
            roll.followed()  # changes that are none show in no answer
            version = roll.version()
            roll.daemon.kill9()
            offline(roll)
            assert int(roll.metrics()["rollcall_replica_version"]) == version
            w.equal(1)
            roll.daemon.kill9()
            roll.policyd()


# ------------------------------------------------------------------ writers

def test_domains_come_and_go_whole():
    """A domain and its recipients in one changeset, also one too large for one transaction of the daemon: a
    recipient is never refused, neither while the domain comes nor while it goes."""
    with world(seeded()) as w:
        for n, size in enumerate((1, 100, 9000, 100, 9000)):
            name, asked = f"new{n}.test", ["u0", f"u{size - 1}", "nobody"]
            seen, done = {who: [] for who in asked}, threading.Event()

            def ask():
                with w.roll.daemon.connect() as client:
                    while not done.is_set():
                        for who in asked:
                            word = client.ask(f"{who}@{name}").split()[0]
                            if seen[who][-1:] != [word]:
                                seen[who].append(word)

            asking = threading.Thread(target=ask)
            asking.start()
            w.roll.psql(f"""begin; do $$ begin perform roll_begin('come'); end $$;
                insert into domain (name, customer_id, loaded_at) select '{name}', min(id), now() from customer;
                insert into recipient (domain_id, local_part, kind)
                select d.id, 'u' || i, 'group' from domain d, generate_series(0, {size - 1}) i where d.name = '{name}';
                commit""")
            eventually(lambda: seen["nobody"][-1:] == ["550"], 20, f"{name} to be served: {seen}")
            w.roll.psql(f"""begin; do $$ begin perform roll_begin('go'); end $$;
                update recipient set state = 'removed', changed_by = roll_changeset()
                 where domain_id = (select id from domain where name = '{name}');
                update domain set state = 'removed', removed_at = now(), changed_by = roll_changeset() where name = '{name}';
                commit""")
            eventually(lambda: all(seen[who][-1:] == ["DEFER_IF_PERMIT"] for who in asked), 20, f"{name} to go: {seen}")
            done.set()
            asking.join()
            assert seen["nobody"] == ["DUNNO", "550", "DEFER_IF_PERMIT"], (size, seen)
            for who in asked[:2]:
                assert seen[who] == ["DUNNO", "DEFER_IF_PERMIT"], (size, seen)


class NaiveFollower:
    """What others do: remember the highest id, or the latest time, and ask for what is above."""

    def __init__(self, roll):
        self.roll, self.seen_ids, self.seen_times, self.id, self.time = roll, set(), set(), "0", "-infinity"

    def poll(self):
        rows = self.roll.psql(f"""select id, case when id > {self.id} then 1 else 0 end,
            case when created_at > '{self.time}' then 1 else 0 end, created_at from changeset
            where version is not null order by created_at""")
        rows = [row.split("|") for row in rows.splitlines()]
        self.seen_ids |= {row[0] for row in rows if row[1] == "1"}
        self.seen_times |= {row[0] for row in rows if row[2] == "1"}
        if rows:
            self.id, self.time = str(max(int(row[0]) for row in rows)), rows[-1][3]

    def missed(self):
        everything = set(self.roll.psql("select id from changeset where version is not null").split())
        return len(everything - self.seen_ids), len(everything - self.seen_times)


def test_long_transactions():
    """The older changeset commits last, after others were followed: nothing is missed."""
    rng = seeded()
    with world(rng) as w, Watcher(w), contextlib.ExitStack() as stack:
        pg, name, naive = w.roll.pg, w.roll.dbname, NaiveFollower(w.roll)
        open_ones = []
        for n in range(5):
            session = stack.enter_context(pg.session(name))
            begin, _, end = changeset({f"long{n}": True, f"user{n}": n % 2 == 0}).partition(";\ncommit;")
            session.do(begin)
            open_ones.append((n, session, "commit;" + end))
        for n in range(3):
            w.commit({f"short{n}": True})
            w.equal()
            naive.poll()
        rng.shuffle(open_ones)
        for n, session, end in open_ones:
            assert w.roll.ask(f"long{n}@{DOMAIN}").startswith("550 "), "not committed yet"
            session.do(end)
            w.roll.answers(f"long{n}@{DOMAIN}", "DUNNO", 5)
            naive.poll()
            w.equal()
        by_id, by_time = naive.missed()
        assert by_id > 0 and by_time > 0, "this test would not find a follower by number or by time"
        w.position_agrees()
        print(f"    a follower by id would have missed {by_id} changesets, one by time {by_time}")


def test_many_writers():
    rng, seconds = seeded(), 30 if FULL else 4
    with world(rng, poll_interval="50ms") as w, Watcher(w):
        stop, naive = threading.Event(), NaiveFollower(w.roll)
        writers = [ManyWriter(w, n, stop, rng.random()) for n in range(8)]
        for writer in writers:
            writer.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            naive.poll()
        stop.set()
        for writer in writers:
            writer.join(20)
            assert writer.error is None, writer.error
        naive.poll()
        w.equal()
        w.position_agrees()
        assert w.roll.psql("""select count(*) = max(version) and count(distinct version) = count(*) from changeset
            where version is not null""") == "t", "numbers without a gap"
        by_id, by_time = naive.missed()
        assert by_id > 0 and by_time > 0, "no writers overtook each other"
        assert w.loads() == 1
        print(f"    {sum(writer.commits for writer in writers)} changesets of 8 writers; "
              f"a follower by id would have missed {by_id}, one by time {by_time}")


if __name__ == "__main__":
    main()
