"""test_forget - a person is forgotten: afterwards no table of the database holds the address or the name

Catches a table that was left out (the whole dump is searched), erasing somebody who is on the roll, before every gateway
knows, or somebody else, and a history that brings the person back.
"""
from concurrent.futures import ThreadPoolExecutor

from harness import PG_BIN, Rollcall, as_user, eventually, main, run
from observed import Observed, at

TRACES = """
insert into observation (day, domain_id, local_part, accepted) select current_date - 1, id, 'erased.person', 3 from domain
  where name = 'forget.test';
begin; do $$ begin perform roll_begin('evidence'); end $$;
insert into refusal (domain_id, local_part, refused_at) select id, 'erased.person', now() from domain
  where name = 'forget.test';
commit;
insert into quarantine_message (gateway, file, received_at, category, size, sender, digest, preview)
  values ('gateway', '00/' || repeat('0', 32), now(), 'spam', 10, 'spammer@example.net', decode(repeat('00', 32), 'hex'),
    'Dear Erased.Person');
insert into quarantine_recipient (message_id, customer_id, domain_id, address, local_part, category, received_at)
  select m.id, d.customer_id, d.id, 'Erased.Person+tag@forget.test', 'erased.person', 'spam', now()
    from quarantine_message m, domain d where d.name = 'forget.test';
insert into outbox (kind, urgent, envelope_from, envelope_to, message_id, body)
  values ('report', false, '', 'erased.person@forget.test', '<1@test>', 'Dear Erased.Person');
insert into mail_request (kind, address, client) values ('password', 'Erased.Person@forget.test', '192.0.2.0/24');
"""


def dump(roll):
    """All data, as text."""
    return run(PG_BIN / "pg_dump", "--data-only", roll.pg.dsn(roll.dbname), **as_user("postgres")).stdout.lower()


def test_nothing_is_left():
    with Rollcall() as roll:
        roll.cli("customer", "add", "Test")
        roll.cli("domain", "add", "forget.test", "--customer", "Test", "--relay-check", "panel")
        roll.cli("user", "add", "erased.person@forget.test", "--alias", "erased.alias@forget.test", "--name", "Erased Name")
        roll.cli("user", "add", "other@forget.test")
        roll.cli("user", "disable", "erased.person@forget.test")
        roll.policyd()
        roll.followed()
        both = ("erased.person@forget.test", "Erased.Alias@Forget.test")
        before = roll.run("user", "forget", *both, check=65)
        assert "is on the roll" in before.stderr, before.stderr
        roll.cli("user", "remove", "erased.person@forget.test", "--wait")
        roll.psql(TRACES)
        roll.followed()
        assert "erased" in dump(roll)

        dry = roll.cli("user", "forget", *both, "--dry-run")
        assert "nothing was erased" in dry and "erased name" in dump(roll)
        rows = roll.json("user", "forget", *both)
        counts = {row["what"]: 0 for row in rows}
        for row in rows:
            counts[row["what"]] += row["traces"]
        assert counts == {"tombstone": 2, "history": 6, "users": 1, "observations": 2, "quarantined": 1, "mails": 2,
                          "audit": 0}, counts
        left = [line for line in dump(roll).splitlines() if "erased" in line]
        assert not left, left
        assert "other@forget.test" in roll.cli("user", "list")
        added = roll.json("change", "list")[-1]["id"]
        roll.run("change", "undo", str(added), check=False)
        assert "erased" not in roll.cli("user", "list")
        eventually(lambda: roll.ask("erased.person@forget.test").startswith("550 5.1.1 "), 5)
        assert roll.ask("other@forget.test") == "DUNNO"


def test_a_gateway_that_does_not_know():
    """It was seen a moment ago and is behind the removal."""
    with Rollcall() as roll:
        roll.cli("customer", "add", "Test")
        roll.cli("domain", "add", "forget.test", "--customer", "Test")
        roll.cli("user", "add", "late@forget.test")
        roll.psql("insert into gateway (name, version, seen_at) values ('behind', 1, now())")
        roll.cli("user", "remove", "late@forget.test")
        told = roll.run("user", "forget", "late@forget.test", check=75)
        assert "behind" in told.stderr, told.stderr
        roll.psql("update gateway set version = (select version from roll_clock)")
        roll.cli("user", "forget", "late@forget.test")
        roll.cli("user", "add", "late@forget.test")


def test_while_a_log_is_read():
    """`collect` holds the counts of addresses and will take a version; whoever forgets them takes nothing that it waits
    for. PostgreSQL never has to break either off."""
    with Observed() as roll:
        addresses = [f"{name}@customer.test" for name in ("anna", "bert")]
        roll.cli("user", "add", *addresses, "zoe@customer.test")
        roll.cli("user", "remove", *addresses)
        roll.write("".join(roll.message(at(0, "10:00:00"), address) for address in (*addresses, "zoe@customer.test")))
        roll.collect("--history")
        deadlocks = lambda: roll.pg.psql(f"select deadlocks from pg_stat_database where datname = '{roll.dbname}'")
        before = deadlocks()
        waiting = lambda what: roll.psql("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname ="
                                         f" current_database() and application_name like '%{what}%'")
        roll.write("".join(roll.refusal(at(0, "23:00:00"), address) for address in (*addresses, "zoe@customer.test")))
        with roll.pg.session(roll.dbname) as other, ThreadPoolExecutor(2) as together:
            other.do("begin")
            other.do("select from log_position for update")  # the last that collect takes before its version
            collecting = together.submit(roll.collect)
            eventually(lambda: waiting("observe") == "1", 20, "collect in the midst of it")
            forgetting = together.submit(roll.run, "user", "forget", *reversed(addresses))
            eventually(lambda: roll.psql("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname ="
                                         " current_database()") == "2", 20, "forget to wait for it")
            other.do("commit")
            collecting.result(60)
            forgetting.result(60)
        assert deadlocks() == before
        left = roll.psql("select count(*) from observation where local_part in ('anna', 'bert')")
        assert left == "0", f"{left} observations are left"
        assert roll.psql("select refused_at is not null from recipient where local_part = 'zoe'") == "t"


if __name__ == "__main__":
    main()
