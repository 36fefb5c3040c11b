"""faults - what the fault tests share: a World whose list changes, and a Watcher that no answer escapes

A World is one Rollcall with a domain whose list is changed by SQL, and three kinds of addresses: anchors, always on
the roll; strangers, never; and all others, which come and go. A Watcher asks about the first two without a pause: an
anchor must never get a 550, a stranger must never be accepted. After each fault the whole list, asked through the
policy socket, must be what the database says. A drill is both at once, and counts.
"""
import collections
import contextlib
import copy
import random
import re
import threading

from harness import Failed, Late, Rollcall, eventually, request, run

DOMAIN = "faults.test"
UPSERT = """insert into recipient (domain_id, local_part, kind, state, changed_by)
 select (select id from domain where name = '{domain}'), v.l, 'group', v.s::recipient_state, roll_changeset()
   from (values {rows}) v (l, s)
 on conflict (domain_id, local_part) do update set state = excluded.state, changed_by = excluded.changed_by"""

LOCAL_PARTS = f"select local_part from recipient where domain_id = (select id from domain where name = '{DOMAIN}')"


def changeset(changes):
    """SQL of a transaction that puts local parts on the roll (True) or off it; prints its version."""
    rows = ", ".join(f"('{local}', '{'active' if there else 'removed'}')" for local, there in changes.items())
    return ("begin;\nselect roll_begin('fault') as id \\gset\n" + UPSERT.format(domain=DOMAIN, rows=rows)
            + ";\ncommit;\nselect version from changeset where id = :id")


def ask_all(client, locals_):
    """{local part: answer}, pipelined over one connection."""
    answers, names = {}, list(locals_)
    for at in range(0, len(names), 100):
        part = names[at:at + 100]
        client.send(b"".join(request(f"{name}@{DOMAIN}") for name in part))
        for name in part:
            answers[name] = client.answer()
    return answers


class World:
    anchors = [f"anchor{n}" for n in range(10)]
    strangers = [f"stranger{n}" for n in range(10)]

    def __init__(self, roll, rng, stale_limit="null"):
        self.roll, self.rng = roll, rng
        self.names = [f"user{n}" for n in range(300)]
        roll.psql(f"""insert into customer (name) values ('Test'); begin; do $$ begin perform roll_begin('domain'); end $$;
            insert into domain (name, customer_id, loaded_at, stale_limit)
            select '{DOMAIN}', id, now(), {stale_limit} from customer; commit""")
        self.commit({name: True for name in self.anchors})
        self.commit({name: rng.random() < 0.5 for name in self.names})

    def seen_from(self, roll):
        """The same list, asked for at another gateway."""
        other = copy.copy(self)
        other.roll = roll
        return other

    def commit(self, changes, session=None):
        """Applies the changes and returns their version."""
        sql = changeset(changes)
        return int(session.do(sql) if session else self.roll.psql(sql))

    def some_changes(self, most=20):
        return {name: self.rng.random() < 0.5 for name in self.rng.sample(self.names, self.rng.randint(1, most))}

    def truth(self):
        """What the database has on the roll."""
        return set(self.roll.psql(LOCAL_PARTS + " and state = 'active'").split())

    def everybody(self):
        return set(self.roll.psql(LOCAL_PARTS).split()) | set(self.strangers)

    def differences(self):
        if not self.roll.daemon.running:
            raise RuntimeError("rollcall-policyd has ended by itself")
        truth, everybody = self.truth(), self.everybody()
        with self.roll.daemon.connect() as client:
            answers = ask_all(client, everybody)
        return [f"{name}: {answers[name]}, {'on' if name in truth else 'not on'} the roll" for name in sorted(everybody)
                if answers[name] != "DUNNO" and name in truth
                or not answers[name].startswith("550 5.1.1 ") and name not in truth]

    def equal(self, deadline=20):
        """Waits until every answer is what the database says; nothing changes meanwhile."""
        try:
            eventually(lambda: not self.differences(), deadline)
        except Late:
            raise AssertionError(f"contents differ from the database after {deadline} s: {self.differences()[:5]}") from None

    def position_agrees(self):
        """The gateway row, written by the daemon, names the changeset that the database has at that version."""
        self.roll.followed()
        assert self.roll.psql("""select count(*) from gateway g join changeset c on c.version = g.version
            and c.uuid = g.uuid join roll_clock k on k.version = g.version""") == "1"

    def loads(self):
        """How often the daemon has begun to read everything anew."""
        return len(re.findall(r"\bfull-load:", self.roll.daemon.log.read_text(errors="replace")))


@contextlib.contextmanager
def world(rng, pg=None, hosts=None, stale_limit="null", start=True, **settings):
    with Rollcall(pg, hosts=hosts, **settings) as roll:
        made = World(roll, rng, stale_limit)
        roll.policyd(start=start)
        if start:
            made.equal()
        yield made


class Watcher:
    """Asks about anchors and strangers until it is left; what it was told is counted."""

    def __init__(self, world_, may_defer=False, every=0.004):
        self.world, self.may_defer, self.every = world_, may_defer, every
        self.counts, self.wrong = collections.Counter(), []
        self.done, self.thread = threading.Event(), threading.Thread(target=self._run, daemon=True)

    def _judge(self, name, answer):
        word = answer.split()[0]
        self.counts[word] += 1
        anchor = name in World.anchors
        fine = {"DUNNO"} if anchor else {"550", "DEFER_IF_PERMIT"}
        if anchor and self.may_defer:
            fine.add("DEFER_IF_PERMIT")
        if word not in fine:
            self.wrong.append(f"{name}: {answer}")

    def _run(self):
        client, rng = None, random.Random(1)
        while not self.done.wait(self.every):
            try:
                if client is None:
                    client = self.world.roll.daemon.connect()
                names = [rng.choice(World.anchors), rng.choice(World.strangers)]
                for name, answer in ask_all(client, names).items():
                    self._judge(name, answer)
            except (OSError, AttributeError):  # killed, or not there yet: Postfix would try again, too
                self.counts["no answer"] += 1
                if client is not None:
                    client.close()
                client = None
        if client is not None:
            client.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.done.set()
        self.thread.join(15)
        print("    watched:", ", ".join(f"{word} {n}" for word, n in sorted(self.counts.items())))
        if kind is None:
            assert not self.wrong, f"{len(self.wrong)} wrong answers: {self.wrong[:5]}"
            assert sum(self.counts.values()) > self.counts["no answer"]


def offline(roll):
    """The daemon without PostgreSQL: it has what its disk has."""
    return roll.policyd("-o", "database=host=/nonexistent", name="offline")


@contextlib.contextmanager
def small_disk(directory, megabytes, mode="0755"):
    """A file system of its own; the path of a file that may fill it."""
    directory.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode={mode}", "rollcall-test", directory)
    try:
        yield directory / "filler"
    finally:
        run("umount", "-l", directory)


def fill(path):
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


class ManyWriter(threading.Thread):
    def __init__(self, world_, number, stop, seed):
        super().__init__(daemon=True)
        self.world, self.number, self.stop, self.rng = world_, number, stop, random.Random(seed)
        self.commits, self.error = 0, None

    def run(self):
        try:
            with self.world.roll.pg.session(self.world.roll.dbname) as session:
                while not self.stop.is_set():
                    self.one(session)
        except Exception as error:
            self.error = error

    def one(self, session):
        """Work of random length, then commit or not. The last row is everybody's: writers get into each other's way."""
        mine = {f"w{self.number}x{self.rng.randrange(200)}": self.rng.random() < 0.6 for _ in range(self.rng.randint(1, 10))}
        begin, _, end = changeset(mine | ({"shared": self.rng.random() < 0.5} if self.rng.random() < 0.3 else {})
                                  ).partition(";\ncommit;")
        session.do(begin)
        if self.rng.random() < 0.3:
            self.stop.wait(self.rng.uniform(0, 0.3))
        if self.rng.random() < 0.1:
            session.do("rollback")
            return
        session.do("commit;" + end)
        self.commits += 1


class Acknowledged(threading.Thread):
    """Changes without a pause: each adds a name and takes away the one ten before. What was acknowledged is noted, and
    what was under way when the connection broke: nobody knows of that."""

    def __init__(self, world_, connect, every=0.005):
        super().__init__(daemon=True)
        self.world, self.connect, self.every = world_, connect, every
        self.done, self.acknowledged, self.unknown = threading.Event(), {}, set()

    def run(self):
        number = 0
        while not self.done.is_set():
            with contextlib.suppress(Failed, OSError, ValueError), self.connect() as session:
                while not self.done.wait(self.every):
                    number += 1
                    changes = {f"ack{number}": True} | ({f"ack{number - 10}": False} if number > 10 else {})
                    self.unknown |= set(changes)
                    self.world.commit(changes, session)
                    self.unknown -= set(changes)
                    self.acknowledged |= changes
            self.done.wait(0.02)

    def wait_for(self, more):
        wanted = len(self.acknowledged) + more
        eventually(lambda: len(self.acknowledged) >= wanted, 60, f"{more} more acknowledged changes")

    def lost(self, truth):
        return [name for name, there in self.acknowledged.items()
                if name not in self.unknown and there != (name in truth)]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join(60)


@contextlib.contextmanager
def drill(w, **more):
    """The daemon is asked and its roll changes without a pause. In the end every answer is the database's, every
    acknowledged change is there, and both are counted."""
    with Watcher(w, **more) as watcher, Acknowledged(w, lambda: w.roll.pg.session(w.roll.dbname)) as writer:
        yield watcher, writer
    w.equal(60)
    lost = writer.lost(w.truth())
    count(watcher, len(writer.acknowledged), lost)
    assert not lost and writer.acknowledged, f"acknowledged and lost: {lost[:5]}"


def count(watcher, acknowledged, lost=()):
    answered = sum(watcher.counts.values()) - watcher.counts["no answer"]
    print(f"    {answered} requests answered, {len(watcher.wrong)} wrong; {acknowledged} acknowledged changes, {len(lost)} lost")
