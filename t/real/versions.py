"""versions - databases as they were before the newest migrations: made, filled with something of everything, compared

A database of an older version is made by the migrations of its time, as a program made it that knew no later ones. What
it is filled with is written as that time's programs wrote it, in PIECES: each says from which migration on, and up to
which, things were so. A table that no piece fills is found by the test: whoever adds one adds a line here.
"""
import collections
import json
import re

from harness import TREE, run

MIGRATIONS = {int(path.stem.split("_")[0]): path for path in sorted((TREE / "sql").glob("[0-9]*.sql"))}
VERSIONS = list(MIGRATIONS)
NUMBER = {path.stem.split("_", 1)[1]: number for number, path in MIGRATIONS.items()}
ROLES = TREE / "sql/roles.sql"


def make_version(pg, dbname, version):
    """The database as a program made it that knew no later migrations."""
    pg.create_database(dbname)
    for number, path in MIGRATIONS.items():
        if number > version:
            break
        pg.psql(f"begin;\n{path.read_text()}\n;insert into schema_version (version, name) values ({number}, '{path.stem}');"
                "commit", dbname)
    run("psql", "-XAtq", pg.dsn(dbname), input=ROLES.read_text())  # those grants whose tables there are


def dump(pg, dbname, *options):
    """The lines of a dump, in an order that does not tell what was granted or written first."""
    lines = pg._tool("pg_dump", *options, pg.dsn(dbname)).stdout.splitlines()
    return sorted(line for line in lines if not re.match(r"\\(un)?restrict ", line))


def schema(pg, dbname):
    return dump(pg, dbname, "--schema-only")


# ------------------------------------------------------------------ filling

ALWAYS, NEVER = 0, 1 << 30
CLAIMS = NUMBER["claims"]

# Users are numbered; the addresses of number n are user<n> and alias<n>.
PIECES = [
    (ALWAYS, NEVER, r"""
insert into customer (name) values ('Filled') returning id as customer \gset
insert into customer (name) values ('Nobody else') returning id as other \gset
begin;
select roll_begin('domains') as made \gset
insert into domain (name, customer_id, loaded_at, next_hop) values ('filled.test', :customer, now(), '[mx.filled.test]:25')
  returning id as domain \gset
insert into domain (name, customer_id, relay_check, shadow, loaded_at, threshold)
  values ('asked.test', :customer, 'smtp', 'panel', now(), 3) returning id as asked \gset
insert into domain (name, customer_id, alias_of) values ('alias.test', :customer, :domain);
insert into domain (name, customer_id) values ('gone.test', :other) returning id as gone \gset
insert into domain_change select roll_changeset(), d.id, null, to_jsonb(d) - 'changed_by' from domain d
  where changed_by = roll_changeset();
commit;
begin;
select roll_begin('a domain goes') as made \gset
insert into domain_change select roll_changeset(), d.id, to_jsonb(d) - 'changed_by', to_jsonb(d) || '{"state": "removed"}'
  from domain d where id = :gone;
update domain set state = 'removed', removed_at = now(), changed_by = roll_changeset() where id = :gone;
commit;
select coalesce(max(id), 0) as last_user from users \gset
insert into users (customer_id, name) select :customer, 'User ' || n from generate_series(1, 200) n order by n;
select min(id) - 1 as nought from users where id > :last_user \gset
"""),
    # an import, a directory that disables some, a removal, an undone addition: with claims and history in their own rows
    (ALWAYS, CLAIMS, r"""
begin;
select roll_begin('import') as imported \gset
insert into recipient (domain_id, local_part, user_id, kind)
  select :domain, 'user' || n, :nought + n, 'primary'::recipient_kind from generate_series(1, 200) n
  union all select :domain, 'alias' || n, :nought + n, 'alias' from generate_series(1, 200) n
  union all select :domain, 'all', null, 'group';
insert into recipient_source (recipient_id, source) select id, 'import' from recipient where changed_by = roll_changeset();
insert into recipient_source (recipient_id, source, source_id)
  select id, 'ldap', 1 from recipient where changed_by = roll_changeset() and user_id <= :nought + 20;
insert into change (changeset_id, domain_id, local_part, after_user, after_kind, after_state, after_person, after_claims)
  select roll_changeset(), domain_id, local_part, user_id, kind, state, false, roll_claims(id) from recipient
    where changed_by = roll_changeset();
update changeset set mode = 'add', source = 'import', customer_id = :customer, added = 401 where id = roll_changeset();
commit;
begin;
select roll_begin('directory') as followed \gset
insert into change select roll_changeset(), domain_id, local_part, user_id, kind, state, false, roll_claims(id),
  user_id, kind, 'disabled', false, '{import,ldap:1!}' from recipient where user_id between :nought + 1 and :nought + 5;
update recipient_source set disabled = true where source = 'ldap' and recipient_id in (
  select id from recipient where user_id between :nought + 1 and :nought + 5);
update recipient set state = 'disabled', changed_by = roll_changeset() where user_id between :nought + 1 and :nought + 5;
update changeset set mode = 'follow', source = 'ldap', source_id = 1, customer_id = :customer, changed = 10
  where id = roll_changeset();
commit;
begin;
select roll_begin('removed') as removed \gset
insert into change (changeset_id, domain_id, local_part, before_user, before_kind, before_state, before_person, before_claims)
  select roll_changeset(), domain_id, local_part, user_id, kind, state, false, roll_claims(id) from recipient
    where user_id = :nought + 200;
delete from recipient_source where recipient_id in (select id from recipient where user_id = :nought + 200);
update recipient set state = 'removed', user_id = null, changed_by = roll_changeset() where user_id = :nought + 200;
update changeset set mode = 'withdraw', customer_id = :customer, removed = 2 where id = roll_changeset();
commit;
"""),
    # the same since a row has its claims, and is its own history until it is touched again
    (CLAIMS, NEVER, r"""
begin;
select roll_begin('import') as imported \gset
insert into recipient (domain_id, local_part, user_id, kind, claims, born_by)
  select :domain, 'user' || n, :nought + n, 'primary'::recipient_kind,
      case when n <= 20 then '{import,ldap:1}' else '{import}' end::text[], roll_changeset() from generate_series(1, 200) n
  union all select :domain, 'alias' || n, :nought + n, 'alias',
      case when n <= 20 then '{import,ldap:1}' else '{import}' end::text[], roll_changeset() from generate_series(1, 200) n
  union all select :domain, 'all', null, 'group', '{import}', roll_changeset();
insert into changeset_domain values (roll_changeset(), :domain);
update changeset set mode = 'add', source = 'import', customer_id = :customer, added = 401 where id = roll_changeset();
commit;
begin;
select roll_begin('directory') as followed \gset
insert into change_line (changeset_id, domain_id, local_part, before_user, before_kind, before_state, before_person,
    before_claims, after_user, after_kind, after_state, after_person, after_claims, born_by)
  select roll_changeset(), domain_id, local_part, user_id, kind, state, false, claims, user_id, kind, 'disabled', false,
    '{import,ldap:1!}', born_by from recipient where user_id between :nought + 1 and :nought + 5;
update recipient set state = 'disabled', claims = '{import,ldap:1!}', born_by = null, changed_by = roll_changeset()
  where user_id between :nought + 1 and :nought + 5;
insert into changeset_domain values (roll_changeset(), :domain);
update changeset set mode = 'follow', source = 'ldap', source_id = 1, customer_id = :customer, changed = 10
  where id = roll_changeset();
commit;
begin;
select roll_begin('removed') as removed \gset
insert into change_line (changeset_id, domain_id, local_part, before_user, before_kind, before_state, before_person,
    before_claims, born_by)
  select roll_changeset(), domain_id, local_part, user_id, kind, state, false, claims, born_by from recipient
    where user_id = :nought + 200;
update recipient set state = 'removed', user_id = null, claims = '{}', born_by = null, changed_by = roll_changeset()
  where user_id = :nought + 200;
insert into changeset_domain values (roll_changeset(), :domain);
update changeset set mode = 'withdraw', customer_id = :customer, removed = 2 where id = roll_changeset();
commit;
"""),
    (ALWAYS, NEVER, r"""
begin;
select roll_begin('a name') as named \gset
update users set name = 'Married' where id = :nought + 7;
insert into user_change values (roll_changeset(), :nought + 7, 'User 7', 'Married');
update changeset set mode = 'add', customer_id = :customer, changed = 1 where id = roll_changeset();
commit;
begin;
select roll_begin('undone') as undoing \gset
update users set name = 'User 7' where id = :nought + 7;
insert into user_change values (roll_changeset(), :nought + 7, 'Married', 'User 7');
update changeset set mode = 'undo', customer_id = :customer, changed = 1, undoes = :named where id = roll_changeset();
update changeset set state = 'undone', undone_by = roll_changeset() where id = :named;
commit;
insert into changeset (customer_id, mode, source, actor, program, state, note, removed)
  values (:customer, 'replace', 'import', 'root', 'rollcall', 'held', 'would remove most', 300) returning id as held \gset
insert into held_domain values (:held, :domain);
insert into held_entry (changeset_id, entry, place, line, domain_id, local_part, kind, disabled, name)
  select :held, n, n, n, :domain, 'user' || n, 'primary', false, case when n = 1 then '' else 'New ' || n end
    from generate_series(1, 5) n;
insert into changeset (customer_id, mode, source, actor, program, state, decided_at)
  values (:customer, 'replace', 'import', 'root', 'rollcall', 'rejected', now());
insert into gateway (name, version, uuid, seen_at) select 'far.example', version, uuid, now() - interval '1 minute'
  from changeset where version = 2;
insert into audit (actor, program, action, object, detail) values ('root', 'rollcall', 'domain set', 'filled.test', '{"a": 1}');
"""),
    (NUMBER["observation"], NEVER, r"""
select observe_position('gw', 0, now() - interval '1 hour', now(), '{"mail.log": 17}');
select observe_add('gw', array_fill(current_date, '{3}'), array[:domain, :asked, :asked], '{user9,unknown,known}',
  '{4,0,5}', '{4,0,5}', '{0,2,0}', '{0,2,0}', '{0,0,0}', array[now(), null, now()], array[null, now(), null]);
select observe_probes_due(10, interval '1 day', now());
"""),
    (NUMBER["ldap"], NEVER, r"""
insert into ldap_source (name, customer_id, settings, secret, synced_at, digest, held)
  values ('directory', :customer, '{"server": "ldap.filled.test"}', '\x0102', now(), sha256('a'), :held) returning id as source \gset
insert into ldap_source_domain values (:source, :domain);
insert into ldap_user select :source, gen_random_uuid(), :nought + n, 'cn=User ' || n from generate_series(1, 20) n;
insert into ldap_run (source_id, ended_at, outcome, entries, users, changeset_id)
  values (:source, now(), 'applied', 20, 20, :followed);
insert into ldap_notice (source_id, customer_id, kind, why, mailed_at)
  values (:source, :customer, 'failed', 'no answer', now()), (:source, :customer, 'held', 'too many', null);
"""),
    (NUMBER["quarantine"], NEVER, r"""
insert into sender_rule (domain_id, action, pattern, actor) values (:domain, 'block', 'bad.example', 'root');
insert into sender_rule (user_id, action, pattern, actor) values (:nought + 9, 'allow', 'friend@good.example', 'user9');
insert into quarantine_retention values (:customer, 'virus', 7);
select quarantine_add('gw', substr(md5(n::text), 1, 2) || '/' || md5(n::text), now() - n * interval '1 minute', 'Q' || n,
    '192.0.2.1', '', 'helo', sender, false, 1000 + n, sha256(n::text::bytea), category::quarantine_category, 'GTUBE', 7.5,
    sender, sender, 'Buy ' || n, '<' || n || '@x>', 'Subject: Buy', 'Buy now', '', array[sender, split_part(sender, '@', 2)],
    array['user' || n || '@filled.test'], array[:domain], array['user' || n], array[null::text])
  from (values (6, 'spam', 'a@other.example'), (7, 'virus', 'a@bad.example'), (8, 'bulk', 'b@other.example'),
    (9, 'spam', 'friend@good.example'), (10, 'content', 'c@other.example'), (11, 'spam', 'd@other.example')) v (n, category, sender);
select quarantine_answer(min(id), true, '250 ok') from quarantine_request;
select quarantine_ask(array(select id from quarantine_recipient where local_part = 'user6'), 'raw', 'root');
insert into quarantine_raw select id, 1, 'Subject: Buy' from quarantine_request where action = 'raw';
select quarantine_ask(array(select id from quarantine_recipient where local_part = 'user8'), 'delete', 'user8');
"""),
    (NUMBER["mail"], NEVER, r"""
insert into report_setting (customer_id, days, hours, zone, language, brand_logo)
  values (:customer, 31, 128, 'Europe/Berlin', 'de', 'https://filled.test/logo.png');
insert into report_setting (customer_id, domain_id, central_contact) values (:customer, :domain, 'it@filled.test');
insert into report_setting (customer_id, user_id, hours) values (:customer, :nought + 6, 256);
insert into report_run (customer_id, domain_id, user_id, slot, listed) values (:customer, :domain, :nought + 10, now(), 1)
  returning id as report \gset
insert into report_run (customer_id, domain_id, slot, listed) values (:customer, :domain, now(), 2) returning id as central \gset
insert into outbox (kind, customer_id, report_id, urgent, envelope_from, envelope_to, message_id, sealed, body, state, done_at)
  select kind, :customer, case kind when 'report' then :report when 'central' then :central end, sealed, 'r@gw', 'user10@filled.test',
    '<' || n || '@gw>', sealed, case state when 'waiting' then convert_to('body ' || n, 'UTF8') end, state,
    case when state <> 'waiting' then now() end
  from (values (1, 'report', false, 'sent'), (2, 'central', false, 'waiting'), (3, 'confirm', true, 'waiting'),
    (4, 'password', true, 'dead'), (5, 'directory', false, 'waiting')) v (n, kind, sealed, state);
select mail_ask('password', 'user6@filled.test', '192.0.2.7', 10, 10);
select token_make(sha256('confirm'), 'confirm', :nought + 6, interval '1 hour'),
  token_make(sha256('password'), 'password', :nought + 6, interval '1 hour'),
  token_make(sha256('open'), 'password', :nought + 7, interval '1 hour');
select password_confirm(sha256('confirm')), password_set(sha256('password'), '$y$j9T$0123456789$abcdefghijklmnopqrstuvwxyz');
"""),
    # whom a message was told to: marks, then rows of those who were not
    (NUMBER["mail"], NUMBER["untold"], r"""
update quarantine_recipient set reported_in = :report where local_part = 'user10';
update quarantine_recipient set counted_in = :central where local_part in ('user10', 'user11');
"""),
    (NUMBER["untold"], NEVER, r"""
with told as (delete from quarantine_unreported where user_id = :nought + 10 returning recipient_id)
  update report_run set messages = array(select recipient_id from told) where id = :report;
with told as (delete from quarantine_uncounted where recipient_id in (
    select id from quarantine_recipient where local_part in ('user10', 'user11')) returning recipient_id)
  update report_run set messages = array(select recipient_id from told order by 1) where id = :central;
"""),
    (NUMBER["panel"], NEVER, r"""
insert into account (login, role, password, second_factor, recovery, language)
  values ('operator', 'operator', '$y$', '\x01', '{aa,bb}', 'de');
insert into account (login, role, customer_id, password, must_change) values ('admin', 'admin', :customer, '$y$', false)
  returning id as admin \gset
select panel_sign_in(:admin, sha256('cookie'), interval '1 day', '192.0.2.8', 'Browser');
insert into session (digest, user_id, ends_at) values (sha256('cookie of a user'), :nought + 6, now() + interval '1 day');
select panel_failed('account operator', 3, 60);
update gateway set answers = 100, refused = 3 where name = 'far.example';
"""),
    (NUMBER["ldap_request"], NEVER, r"""
insert into ldap_request (source_id, what, actor) values (:source, 'test', 'admin');
"""),
    (NUMBER["notice"], NEVER, r"""
update report_setting set notice_contact = 'it@filled.test' where domain_id = :domain;
insert into outbox (kind, customer_id, urgent, envelope_from, envelope_to, message_id, body)
  values ('notice', :customer, false, 'r@gw', 'it@filled.test', '<notice@gw>', 'body');
"""),
    (NUMBER["report_request"], NEVER, r"""
insert into report_request (customer_id, domain_id, address, actor) values (:customer, :domain, 'user6@filled.test', 'admin');
"""),
    (NUMBER["jobs"], NEVER, r"""
select job_tell('ldapsync', 'central', true, '', interval '3 hours');
"""),
    (NUMBER["unnamed"], NEVER, r"""
update held_entry set name = null where changeset_id = :held and entry = 1;
"""),
    (NUMBER["brand_image"], NEVER, r"""
insert into brand_image (name, customer_id, bytes) values (md5('logo') || '.png', :customer, 'not quite a PNG');
"""),
    (NUMBER["release_virus"], NEVER, r"""
insert into quarantine_release values (:customer, 'users');
"""),
    (NUMBER["credential_change"], NEVER, r"""
update account set password = '$y$new' where login = 'admin';
"""),
]


def fill(pg, dbname, version):
    """Something of everything that a database of that version has."""
    pg.psql("".join(sql for since, until, sql in PIECES if since <= version < until), dbname)
    empty = pg.psql("".join(f"select '{name}' where not exists (select from {name});\n" for name in relations(pg, dbname, "'r'")),
                    dbname).split()
    assert not empty, f"nothing fills {', '.join(empty)} of version {version}: add it to PIECES"


def relations(pg, dbname, kinds):
    return pg.psql(f"select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ({kinds})"
                   " order by 1", dbname).split()


# ------------------------------------------------------------------ comparing

# Columns that an upgrade takes into another form; MEANING tells how that has to read.
MOVED = {
    "recipient_source": {"claimed_by"},  # of no meaning: it named the changeset that a claim was written by, the history has it
    "quarantine_recipient": {"reported_in", "counted_in"},
    "held_entry": {"name"},
}
# (since, the migration that moves it, how it was read, how it is read now)
MEANING = [
    (NUMBER["mail"], NUMBER["untold"],
     "select user_id, id from quarantine_recipient where reported_in is null and user_id is not null and state = 'held' order by 1, 2",
     "select user_id, recipient_id from quarantine_unreported order by 1, 2"),
    (NUMBER["mail"], NUMBER["untold"],
     "select domain_id, id from quarantine_recipient where counted_in is null and state = 'held' order by 1, 2",
     "select domain_id, recipient_id from quarantine_uncounted order by 1, 2"),
    (NUMBER["mail"], NUMBER["untold"],
     "select r.id, array_agg(q.id order by q.id) from report_run r join quarantine_recipient q"
     " on r.id = case when r.user_id is null then q.counted_in else q.reported_in end group by 1 order by 1",
     "select id, messages from report_run where messages <> '{}' order by 1"),
    (ALWAYS, NUMBER["unnamed"],
     "select changeset_id, entry, name = '', name from held_entry order by 1, 2",
     "select changeset_id, entry, name is null, name from held_entry order by 1, 2"),
]
APART = {"gateway", "gateway_hour", "schema_version", "roll_clock"}  # gateways write there, or it is what an upgrade is for


class Picture:
    """Every row of every table and view, as it reads, but those that somebody changes meanwhile."""

    def __init__(self, pg, dbname, version, but_domain=""):
        number = pg.psql(f"select coalesce(min(id), 0) from domain where name = '{but_domain}'", dbname)
        self.rows = {name: [] for name in relations(pg, dbname, "'r', 'v'") if name not in APART}
        for line in pg.psql("".join(f"select '{name} ' || to_jsonb(t)::text from {name} t;\n" for name in self.rows), dbname).splitlines():
            name, row = line.split(" ", 1)
            row = json.loads(row)
            if str(row.get("domain_id")) != number and row.get("domain") != but_domain and row.get("note") != "fault":
                self.rows[name].append(row)
        self.meaning = [pg.psql(old if version < moved else new, dbname) if since <= version else None
                        for since, moved, old, new in MEANING]

    def differences(self, later):
        """What was here and does not read the same there, and what is there that was not here. A line each."""
        found = [f"{name}: {line}" for name, rows in self.rows.items() for line in self._compare(name, rows, later)]
        return found + [f"{MEANING[n][3]}: {later.meaning[n]!r}, not {meant!r}" for n, meant in enumerate(self.meaning)
                        if meant is not None and meant != later.meaning[n]]

    def _compare(self, name, rows, later):
        if name not in later.rows:
            return ["is gone"]
        columns = {column for row in rows for column in row} - MOVED.get(name, set())
        before, after = (collections.Counter(json.dumps({c: row.get(c, "no such column") for c in columns}, sort_keys=True)
                                             for row in some) for some in (rows, later.rows[name]))
        return [f"lost {row}" for row in before - after][:3] + [f"new {row}" for row in after - before][:3]
