"""test_forget - a person is forgotten: afterwards no table of the database holds the address or the name

Catches a table that was left out (every column of the schema is in SAYS or SILENT below, a trace stands in each of SAYS,
and the whole dump is searched), erasing somebody who is on the roll, before every gateway
knows, or somebody else, and a history that brings the person back.
"""
import re
from concurrent.futures import ThreadPoolExecutor

from harness import PG_BIN, TREE, Rollcall, as_user, eventually, main, run
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
update quarantine_message set headers = 'To: Erased.Person', preview_html = '<p>Erased.Person';
update quarantine_recipient set state_by = 'Erased.Person@forget.test';
insert into quarantine_recipient (message_id, customer_id, domain_id, address, local_part, category, received_at, state, state_by)
  select m.id, d.customer_id, d.id, 'other@forget.test', 'other', 'spam', now(), 'deleted', 'erased.person@forget.test'
    from quarantine_message m, domain d where d.name = 'forget.test';
insert into quarantine_request (gateway, recipient_id, action, actor, state, answer)
  select 'gateway', id, 'raw', 'erased.person@forget.test', 'done', '550 <Erased.Person@forget.test>' from quarantine_recipient;
insert into quarantine_raw (request_id, piece, bytes) select q.id, 0, 'To: Erased.Person' from quarantine_request q
  join quarantine_recipient r on r.id = q.recipient_id where r.local_part = 'erased.person';
insert into report_request (customer_id, domain_id, address, actor) select customer_id, id, a, b from domain, (values
  ('Erased.Person@forget.test', 'admin'), ('other@forget.test', 'erased.person@forget.test')) x (a, b) where name = 'forget.test';
insert into sender_rule (domain_id, action, pattern, actor) select id, 'block', 'spammer.example', 'erased.person@forget.test'
  from domain where name = 'forget.test';
insert into sign_in_attempt values ('account:erased.person@forget.test', 3, now(), now());
insert into audit (actor, program, action, object) values ('erased.person@forget.test', 'panel', 'report set', 'other'),
  ('admin', 'panel', 'report set', 'Erased.Person@forget.test');
insert into ldap_source (name, customer_id) select 'directory', min(id) from customer;
insert into ldap_user select s.id, gen_random_uuid(), u.id, 'cn=Erased Name' from ldap_source s, users u
  where u.name = 'Erased Name';
insert into ldap_run (source_id, why) select id, 'erased.person@forget.test is an alias' from ldap_source;
insert into ldap_notice (source_id, customer_id, kind, why) select id, customer_id, 'failed', 'erased.person@forget.test ...'
  from ldap_source;
insert into ldap_request (source_id, what, actor, state, why, records) select id, 'preview', 'admin', 'done',
  'erased.person@forget.test ...', 'add Erased.Person@forget.test' from ldap_source;
insert into held_entry (changeset_id, entry, place, line, domain_id, local_part, kind, disabled, name)
  select (select min(id) from changeset), 1, 1, 1, id, 'erased.person', 'primary', false, 'Erased Name' from domain
    where name = 'forget.test';
insert into user_change select max(c.id), u.id, 'Erased Before', 'Erased Name' from changeset c, users u
  where u.name = 'Erased Name' group by u.id;
"""

MARK = "rased.Person".encode().hex()  # where PostgreSQL writes bytes

# Columns of text and bytes that say who a person is.
SAYS = {
    "audit": "actor object", "change_line": "local_part", "held_entry": "local_part name", "ldap_notice": "why",
    "ldap_request": "why records", "ldap_run": "why", "ldap_user": "dn", "mail_request": "address",
    "observation": "local_part", "outbox": "envelope_to body", "quarantine_message": "headers preview preview_html",
    "quarantine_raw": "bytes", "quarantine_recipient": "address local_part state_by", "quarantine_request": "actor answer",
    "recipient": "local_part", "refusal": "local_part", "report_request": "address actor", "sender_rule": "actor",
    "sign_in_attempt": "key", "user_change": "before_name after_name", "users": "name",
}
# All others, and why they say nothing of whoever is on the roll; '*': the whole table.
SILENT = {
    "what is written by administrators, about accounts, customers and domains": {
        "account": "*", "brand_image": "*", "customer": "*", "domain": "*", "domain_change": "*", "ldap_source": "*",
        "report_setting": "*", "audit": "program action detail", "changeset": "actor program note", "ldap_request": "actor",
        "quarantine_release": "*"},
    "what programs and gateways say of themselves": {
        "domain_observation": "*", "gateway": "*", "gateway_hour": "*", "job_run": "*", "log_position": "*", "schema_version": "*",
        "ldap_run": "server outcome", "outbox": "message_id trouble"},
    "words out of a few": {
        "change_line": "before_claims after_claims", "ldap_notice": "kind", "ldap_request": "what state step",
        "ldap_run": "outcome", "mail_request": "kind", "outbox": "kind state", "quarantine_recipient": "listed",
        "quarantine_request": "action state", "recipient": "claims", "report_request": "state why"},
    "goes with the row of the user": {
        "credential_change": "*", "session": "*", "token": "*", "user_password": "*"},
    "of the sender, who is somebody else": {
        "quarantine_message": "file gateway queue_id client_address client_name helo sender digest reason from_text "
                              "from_address subject message_id",
        "quarantine_request": "gateway", "outbox": "envelope_from", "sender_rule": "pattern", "mail_request": "client"},
}
COLUMNS = """select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid join pg_type t on t.oid =
  a.atttypid where c.relkind in ('r', 'p', 'm') and c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped
  and coalesce(nullif(t.typelem, 0)::regtype, t.oid::regtype) in ('text', 'jsonb', 'bytea')"""


def dump(roll):
    """All data, as text."""
    return run(PG_BIN / "pg_dump", "--data-only", roll.pg.dsn(roll.dbname), **as_user("postgres")).stdout.lower()


def without_trace(roll):
    """Columns of SAYS in which the person does not stand: nothing would be seen of their erasing."""
    return [f"{table}.{column}" for table, columns in SAYS.items() for column in columns.split() if roll.psql(
        f"select count(*) from {table} where {column}::text ~* 'erased|{MARK}'") == "0"]


def test_every_column_is_thought_of():
    with Rollcall() as roll:
        real = {tuple(line.split("|")) for line in roll.psql(COLUMNS).splitlines()}
        whole = {table for tables in SILENT.values() for table, columns in tables.items() if columns == "*"}
        listed = {(table, column) for tables in (SAYS, *SILENT.values()) for table, columns in tables.items()
                  for column in columns.split() if columns != "*"}
        new = sorted(key for key in real - listed if key[0] not in whole)
        assert not new, f"does it say who somebody is? then user_forget erases it, and SAYS has it; else SILENT: {new}"
        old = sorted(listed - real) + sorted(whole - {table for table, _ in real})
        assert not old, f"is not in the schema: {old}"


def test_the_page_tells_how_long():
    """SECURITY.md names each table that says who a person is."""
    page = re.search(r"## What is kept about people.*?(?=\n## )", (TREE / "SECURITY.md").read_text(), re.S)[0]
    untold = [table for table in SAYS if f"`{table}`" not in page]
    assert not untold, f"SECURITY.md does not tell how long these are kept: {untold}"


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
        assert not (bare := without_trace(roll)), f"TRACES has none in {bare}"

        dry = roll.cli("user", "forget", *both, "--dry-run")
        assert "nothing was erased" in dry and "erased name" in dump(roll)
        rows = roll.json("user", "forget", *both)
        counts = {row["what"]: 0 for row in rows}
        for row in rows:
            counts[row["what"]] += row["traces"]
        assert counts == {"tombstone": 2, "history": 7, "users": 1, "observations": 2, "quarantined": 1, "mails": 2,
                          "audit": 1, "mentions": 12}, counts
        left = [line for line in dump(roll).splitlines() if "erased" in line or MARK in line]
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
