"""test_kills - the daemon killed at random moments while the roll changes; see faults.py"""
import collections
import contextlib
import random
import threading

from faults import ManyWriter, Watcher, World, ask_all, offline, world
from harness import FULL, Failed, PostgreSQL, eventually, main, seeded

class Writer:
    """Changes without a pause, and what the roll was at every version."""
    BULK = [f"bulk{n}" for n in range(5000)]  # more than the daemon applies in one transaction

    def __init__(self, world_):
        self.world, self.done, self.go, self.start_state = world_, threading.Event(), threading.Event(), world_.truth()
        self.history, self.error, self.lock = [], None, threading.Lock()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.go.set()

    def _run(self):
        rng = random.Random(self.world.rng.random())
        try:
            with self.world.roll.pg.session(self.world.roll.dbname) as session:
                while self.go.wait() and not self.done.is_set():
                    kind = rng.random()
                    if kind < 0.005:
                        there = rng.random() < 0.5
                        changes = {name: there for name in self.BULK}
                    else:
                        names = rng.sample(self.world.names, 1 if kind < 0.6 else rng.randint(2, 100))
                        changes = {name: rng.random() < 0.5 for name in names}
                    version = self.world.commit(changes, session)
                    with self.lock:
                        self.history.append((version, changes))
        except Exception as error:
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.go.set()
        self.thread.join(30)

    def states(self, version, newest):
        """The roll at that version; what each local part became up to the newest one; whether a bulk change did it."""
        with self.lock:
            history = list(self.history)
        then, later, bulk = set(self.start_state), collections.defaultdict(set), False
        for number, changes in history:
            for name, there in changes.items():
                if number <= version:
                    (then.add if there else then.discard)(name)
                elif number <= newest:
                    later[name].add(there)
            bulk |= version < number <= newest and len(changes) > 4000
        return then, later, bulk


def disk_agrees(world_, writer):
    """Position and contents of what a killed daemon left. A change too large for one transaction may be there in
    part, known as pending; everything else must be exactly what the roll was at the position."""
    least, newest = map(int, world_.roll.psql(
        "select coalesce(g.version, 0), k.version from roll_clock k left join gateway g on true").split("|"))
    daemon = offline(world_.roll)
    version = int(world_.roll.metrics()["rollcall_replica_version"])
    assert least <= version <= newest, f"the gateway row said {least}, the disk has {version}, PostgreSQL {newest}"
    eventually(lambda: not writer.history or writer.history[-1][0] >= newest, 10, "the writer to note what it did")
    with daemon.connect() as client:
        answers = ask_all(client, [*world_.names, *Writer.BULK[::50], *World.anchors, *World.strangers])
    then, later, bulk = writer.states(version, newest)
    for name, answer in answers.items():
        there = answer == "DUNNO"  # how old the list is may not have reached the disk: then unknown ones are list-stale
        assert there or answer.startswith("550 5.1.1 ") or answer.endswith("(list-stale)"), (name, answer)
        fine = there == (name in then) or bulk and there in later[name]
        assert fine, f"{name}: {answer} at version {version}, where it is {'on' if name in then else 'not on'} the roll"
    daemon.kill9()
    return version, newest, bulk


def test_kill9_during_changes():
    rounds = 200 if FULL else 50
    rng = seeded()
    with world(rng, poll_interval="1s") as w, Watcher(w) as watcher:
        bulk, behind, versions, starts = 0, 0, set(), []
        with Writer(w) as writer:
            for _ in range(rounds):
                watcher.done.wait(rng.uniform(0, 0.2))  # the random moment
                w.roll.daemon.kill9()
                writer.go.clear()
                version, newest, large = disk_agrees(w, writer)
                versions, behind, bulk = versions | {version}, behind + (version < newest), bulk + large
                writer.go.set()
                starts.append(w.roll.policyd().started_in)
        assert writer.error is None, writer.error
        w.equal()
        w.position_agrees()
        assert w.loads() == 1, "went on from the disk each time"
        print(f"    {rounds} times killed during {len(writer.history)} changes at {len(versions)} versions, {behind} times "
              f"with changes under way, {bulk} times with a large one; slowest start {max(starts):.2f} s")
        assert len(versions) > rounds // 10 and behind > 0, "killed before it did anything"


def test_kill9_during_full_load():
    rng = seeded()
    rounds = 20 if FULL else 5
    with world(rng, start=False) as w, Watcher(w, may_defer=True) as watcher:
        w.commit({f"many{n}": True for n in range(20000)})
        w.roll.daemon.start()
        for _ in range(rounds):
            watcher.done.wait(rng.uniform(0, 0.3))
            w.roll.daemon.kill9()
            if rng.random() < 0.5:  # its history is unknown now: all is read again, beside the old list
                w.roll.psql("""begin; select roll_begin('x'); commit""")
            w.roll.daemon.start()
        w.equal()
        w.position_agrees()


def test_changes_while_everything_breaks():
    """All together: writers, kills of the daemon, crashes of the database, lost connections."""
    rng, rounds = seeded(), 40 if FULL else 5
    with PostgreSQL() as pg, world(rng, pg) as w, Watcher(w) as watcher:
        for _ in range(rounds):
            stop = threading.Event()
            writers = [ManyWriter(w, n, stop, rng.random()) for n in range(3)]
            for writer in writers:
                writer.start()
            for _ in range(3):
                watcher.done.wait(rng.uniform(0, 0.2))
                breaks = rng.choice(["kill", "restart", "crash", "cut"])
                if breaks == "kill":
                    w.roll.daemon.kill9()
                    w.roll.daemon.start()
                elif breaks == "restart":
                    w.roll.daemon.restart()
                elif breaks == "crash":
                    pg.kill9()
                    pg.start()
                else:
                    with contextlib.suppress(Failed):
                        pg.psql("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
                                " and backend_type = 'client backend'")
            stop.set()
            for writer in writers:  # those whose connection was cut have ended before
                writer.join(20)
            w.equal()
            w.position_agrees()


if __name__ == "__main__":
    main()
