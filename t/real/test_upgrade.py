"""test_upgrade - databases of older versions, with something in every table, become what a new one is

No row is lost, nothing reads otherwise, what was to be decided and undone still can be; gateways answer and follow
throughout, without reading everything anew. An upgrade that is killed, or that others are in the way of, leaves each
migration whole or not at all, and the next one completes it. test_drills.py has programs and databases of two versions;
unit-schema has several upgrades at once, and databases of another line.
"""
import subprocess
import time

from faults import DOMAIN, World, drill
from harness import BUILD, FULL, PostgreSQL, Rollcall, eventually, main, seeded, shared_postgresql
from versions import VERSIONS, Picture, dump, fill, make_version, schema

NEWEST = VERSIONS[-1]
RELEASED = 26  # what had been in use before quarantine groups, sessions, brands and notices of changed passwords


def fresh_schema(pg):
    with Rollcall(pg) as fresh:
        return schema(pg, fresh.dbname)


# ------------------------------------------------------------------ filled

def test_a_filled_database():
    rng = seeded()
    pg = shared_postgresql()
    wanted = fresh_schema(pg)
    for version in VERSIONS[:-1] if FULL else (RELEASED, 1, rng.choice(VERSIONS[1:-1])):
        name = f"filled{version}_{time.monotonic_ns()}"
        make_version(pg, name, version)
        with Rollcall(pg, name, init=False) as roll:
            upgrade_filled(World(roll, rng), version, wanted)


def upgrade_filled(w, version, wanted):
    roll, pg, name = w.roll, w.roll.pg, w.roll.dbname
    fill(pg, name, version)
    roll.policyd()
    follows = version >= RELEASED  # else these gateways say what is to be done
    if follows:
        w.equal()
    before = Picture(pg, name, version, DOMAIN)
    with drill(w, may_defer=not follows) as (_, writer):
        writer.wait_for(20)
        assert f"from version {version} to {NEWEST}" in roll.cli("db", "upgrade")
        writer.wait_for(20)
    found = before.differences(Picture(pg, name, NEWEST, DOMAIN))
    assert not found, "\n".join(found)
    assert w.loads() == 1, "the gateway went on where it was"
    w.position_agrees()
    assert schema(pg, name) == wanted
    roll.daemon.stop()  # it writes where it stands
    again(roll)
    restored(pg, name)
    roll.policyd()
    what_was_begun(roll)
    print(f"    version {version}: {sum(map(len, before.rows.values()))} rows of {len(before.rows)} tables and views are there")


def again(roll):
    """A second upgrade changes nothing."""
    before = dump(roll.pg, roll.dbname)
    assert "nothing to do" in roll.cli("db", "upgrade")
    assert dump(roll.pg, roll.dbname) == before


def restored(pg, name):
    """Every row passes every check, foreign key and unique index: a restore makes them all anew."""
    assert pg.psql("select count(*) from pg_constraint where not convalidated", name) == "0"
    path, copy = pg.dump(name), name + "_restored"
    pg.create_database(copy)
    pg.restore(copy, path)
    assert dump(pg, copy, "--data-only") == dump(pg, name, "--data-only")


def what_was_begun(roll):
    """Changesets of before the upgrade are undone and approved, and gateways hear of it."""
    number = {note: roll.psql(f"select id from changeset where note = '{note}'")
              for note in ("removed", "directory", "would remove most")}
    for local in ("user1", "user200"):
        assert roll.ask(f"{local}@filled.test").startswith("550"), "disabled by the directory; removed"
    roll.cli("change", "undo", number["removed"])
    roll.answers("user200@filled.test", "DUNNO")
    roll.answers("alias200@filled.test", "DUNNO")
    roll.cli("change", "undo", number["directory"])
    roll.answers("user1@filled.test", "DUNNO")
    roll.cli("change", "approve", number["would remove most"])
    roll.answers("user9@filled.test", "550 5.1.1")
    assert roll.ask("user5@filled.test") == "DUNNO"
    names = roll.psql("select u.name from users u join recipient r on r.user_id = u.id and r.kind = 'primary'"
                      " join domain d on d.id = r.domain_id where d.name = 'filled.test' order by r.local_part")
    assert names.split("\n") == ["User 1", "New 2", "New 3", "New 4", "New 5"], names


# ------------------------------------------------------------------ killed

def begin(roll):
    return subprocess.Popen([BUILD / "bin/rollcall", "-c", roll.conf, "db", "upgrade"], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, env=roll.environment(), cwd="/")


def kill_in_the_midst(rng, roll, took, how):
    """True when the upgrade, which takes so long, was ended before its end: by kill -9, by ending its connection, or by
    a crash of the server."""
    with roll.pg.session() as operator:
        child = begin(roll)
        try:
            assert child.wait(took * rng.uniform(0.05, 0.9)) == 0
            return False
        except subprocess.TimeoutExpired:
            if how == "connection":
                operator.do(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{roll.dbname}'"
                            " and application_name = 'rollcall'")
                return child.wait(60) != 0
    if how == "crash":
        roll.pg.restart("immediate")
        return child.wait(60) != 0
    child.kill()
    child.wait()
    return True


def applied(roll):
    """The newest of the migrations, all of which are there up to it."""
    versions = roll.psql("select version from schema_version order by 1").split()
    assert versions == [str(n) for n in VERSIONS[:len(versions)]], versions
    return int(versions[-1])


def test_killed_in_the_middle():
    rng, kills, halts, number = seeded(), 20 if FULL else 6, [], 0
    with PostgreSQL() as pg:
        wanted = fresh_schema(pg)
        make_version(pg, "first", 1)
        with Rollcall(pg, "first", init=False) as roll:
            begun = time.monotonic()
            roll.cli("db", "upgrade")
            took = time.monotonic() - begun
        while len(halts) < kills:
            number += 1
            version, name = rng.choice(VERSIONS[:len(VERSIONS) // 2]), f"old{number}"
            make_version(pg, name, version)
            fill(pg, name, version)
            before = Picture(pg, name, version)
            with Rollcall(pg, name, init=False) as roll:
                while len(halts) < kills and kill_in_the_midst(rng, roll, took, ("program", "connection", "crash")[len(halts) % 3]):
                    halts.append(applied(roll))
                    found = before.differences(Picture(pg, name, halts[-1]))
                    assert not found, "\n".join([f"at version {halts[-1]}", *found])
                roll.cli("db", "upgrade")
                found = before.differences(Picture(pg, name, NEWEST))
                assert applied(roll) == NEWEST and schema(pg, name) == wanted and not found, found
            assert number < 5 * kills, f"only {len(halts)} upgrades could be ended before their end"
        print(f"    {number} upgrades ended {len(halts)} times, at versions {sorted(set(halts))}; all whole in the end")


# ------------------------------------------------------------------ slow, and in the way of others

def test_somebody_holds_a_table():
    """The upgrade waits for as long as a statement may take, so that nobody queues behind it for longer; says so; and has
    done what it could."""
    pg, name = shared_postgresql(), f"held_{time.monotonic_ns()}"
    make_version(pg, name, RELEASED)
    with Rollcall(pg, name, init=False, database_timeout="500ms") as roll, pg.session(name) as reader:
        reader.do("begin; select count(*) from outbox")
        refused = roll.run("db", "upgrade", check=75)
        assert "migration 0034_credential_change: others were at work on its tables" in refused.stderr, refused.stderr
        assert applied(roll) == 33
        reader.do("commit")
        assert "from version 33" in roll.cli("db", "upgrade")


def test_others_lock_the_other_way_round():
    """A migration that waits for somebody who waits for it is taken again. Would catch an upgrade that gives up, in the
    middle of a working day, because a writer was in its way."""
    pg, name = shared_postgresql(), f"round_{time.monotonic_ns()}"
    make_version(pg, name, 14)
    with Rollcall(pg, name, init=False) as roll, pg.session(name) as writer:
        roll.psql(f"alter database {name} set deadlock_timeout = '2s'")  # room to get in each other's way
        writer.do("set deadlock_timeout = '60s'; begin; lock table recipient in row exclusive mode")
        upgrade = subprocess.Popen([BUILD / "bin/rollcall", "-c", roll.conf, "db", "upgrade"], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, cwd="/")
        eventually(lambda: roll.psql("select count(*) from pg_locks where not granted and relation = 'recipient'::regclass")
                   == "1", 10, "migration 15 at the writer's table")
        writer.do("lock table change in access share mode; commit")  # which that migration has renamed by now
        told, _ = upgrade.communicate(timeout=60)
        assert upgrade.returncode == 0 and f"to {NEWEST}" in told, told
        deadlocks = eventually(lambda: int(roll.psql("select deadlocks from pg_stat_database where datname = current_database()")),
                               10, "the deadlock to be counted")
        print(f"    {deadlocks} deadlock")


def test_a_migration_takes_its_time():
    """Longer than a statement may take otherwise: large tables are rewritten for minutes."""
    pg, name = shared_postgresql(), f"slow_{time.monotonic_ns()}"
    make_version(pg, name, 33)
    with Rollcall(pg, name, init=False, database_timeout="500ms") as roll:
        roll.psql("""create function slow() returns event_trigger language plpgsql as $$ begin perform pg_sleep(0.3); end $$;
            create event trigger slow on ddl_command_end when tag in ('CREATE TRIGGER') execute function slow()""")
        assert f"to {NEWEST}" in roll.cli("db", "upgrade")


if __name__ == "__main__":
    main()
