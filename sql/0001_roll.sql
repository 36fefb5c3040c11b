-- 0001_roll: the roll of recipients, its history, its clock, and who follows it
--
-- Applied by `rollcall db init|upgrade` in one transaction. Two rules hold everything together:
--
--   * Every change of `domain` or `recipient` happens inside a changeset: begin; select roll_begin(…);
--     change rows with changed_by = roll_changeset(); commit. A trigger refuses everything else.
--   * The very last act before the commit is a deferred trigger that takes the next number of `roll_clock`
--     for the changeset. The row lock lasts until the commit is done, so numbers become visible strictly in
--     order and without gaps, however long each writer worked before. Followers rely on nothing else.
--
-- References from the large tables are checked by statement (triggers over transition tables) instead of by
-- row (foreign keys): a million rows cost one join, not a million look-ups that each lock a row.

create table schema_version (
  version integer primary key check (version > 0),
  name text not null,
  applied_at timestamptz not null default now()
);

create type relay_check as enum ('panel', 'smtp', 'either', 'off');
create type recipient_kind as enum ('primary', 'alias', 'group');
create type recipient_state as enum ('active', 'disabled', 'retired', 'removed');
create type source_kind as enum ('smtp', 'ldap', 'import', 'manual', 'panel');
create type changeset_state as enum ('applied', 'held', 'undone', 'rejected');
create type roll_mode as enum ('add', 'replace', 'follow', 'withdraw', 'disable', 'enable', 'undo', 'settings', 'evidence');

-- ---------------------------------------------------------------- customers

create table customer (
  id integer generated always as identity primary key,
  name text not null check (name = btrim(name) and length(name) between 1 and 200 and name !~ '[[:cntrl:]]'),
  created_at timestamptz not null default now()
);
create unique index customer_name on customer (lower(name));

-- ---------------------------------------------------------------- the clock and the changesets

create table roll_clock (
  single boolean primary key default true check (single),
  version bigint not null default 0 check (version >= 0),
  -- tombstones of changesets up to this version may be gone: who is older must load everything
  purged_version bigint not null default 0 check (purged_version between 0 and version)
);
insert into roll_clock default values;

create table changeset (
  id bigint generated always as identity primary key,
  version bigint unique check (version > 0),
  uuid uuid not null unique default gen_random_uuid(),
  customer_id integer references customer on delete set null,
  mode roll_mode not null,
  source source_kind not null,
  source_id integer not null default 0,
  actor text not null check (length(actor) between 1 and 200),
  program text not null check (length(program) between 1 and 100),
  state changeset_state not null default 'applied',
  forced boolean not null default false,
  note text not null default '',
  added integer not null default 0 check (added >= 0),
  removed integer not null default 0 check (removed >= 0),
  changed integer not null default 0 check (changed >= 0),
  undoes bigint references changeset,
  undone_by bigint references changeset,
  created_at timestamptz not null default now(),
  decided_at timestamptz,
  check (state in ('applied', 'undone') or version is null),
  check ((state = 'undone') = (undone_by is not null)),
  check ((source = 'ldap') = (source_id <> 0))
);
create index changeset_state on changeset (state) where state = 'held';
create index changeset_created on changeset (created_at);

-- The changeset that this transaction works in.
create function roll_changeset() returns bigint language plpgsql stable as $$
declare
  current text := current_setting('rollcall.changeset', true);
begin
  if current is null or current = '' then
    raise exception 'the roll changes only inside a changeset'
      using errcode = 'RC001',
            hint = 'begin; select roll_begin(''why''); … set changed_by = roll_changeset() …; commit;';
  end if;
  return current::bigint;
end $$;

-- Opens a changeset by hand (psql). Programs insert their own row and set rollcall.changeset as this does.
create function roll_begin(why text, by text default session_user) returns bigint language plpgsql as $$
declare
  id bigint;
begin
  insert into changeset (mode, source, actor, program, note) values ('settings', 'manual', by, 'psql', why)
    returning changeset.id into id;
  perform set_config('rollcall.changeset', id::text, true);
  return id;
end $$;

-- The last act of a changeset's transaction: see the head of this file.
create function roll_tick() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
  ticked bigint;
begin
  if not exists (select from changeset where id = new.id and state = 'applied' and version is null) then
    return null; -- held, or numbered by an earlier event of the same transaction
  end if;
  update roll_clock set version = version + 1 returning version into strict ticked;
  update changeset set version = ticked where id = new.id;
  perform pg_notify('rollcall', ticked::text);
  return null;
end $$;
create constraint trigger changeset_tick after insert or update of state on changeset
  deferrable initially deferred for each row execute function roll_tick();

-- A version, once given, stays: followers know it by number and uuid.
create function roll_keep_version() returns trigger language plpgsql as $$
begin
  raise exception 'changeset % keeps its version and uuid', old.id using errcode = 'RC002';
end $$;
create trigger changeset_keep before update of version, uuid on changeset for each row
  when (old.version is not null and (new.version is distinct from old.version or new.uuid <> old.uuid))
  execute function roll_keep_version();
create trigger changeset_stays before delete on changeset for each row
  when (old.version is not null) execute function roll_keep_version();

-- ---------------------------------------------------------------- domains

create table domain (
  id integer generated always as identity primary key,
  -- IDNA A-labels, lower case, no trailing dot
  name text collate "C" not null unique check (
    length(name) between 1 and 253
    and name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$'),
  customer_id integer references customer, -- null: a tombstone whose customer is gone
  alias_of integer references domain check (alias_of <> id),
  relay_check relay_check not null default 'panel',
  shadow relay_check,
  next_hop text not null default '' check (length(next_hop) <= 300),
  recipient_delimiter text not null default '+' check (recipient_delimiter ~ '^[!-~]{0,8}$' and recipient_delimiter !~ '@'),
  case_sensitive boolean not null default false,
  threshold integer not null default 2 check (threshold between 0 and 1000000),
  stale_limit integer check (stale_limit between 1 and 31536000),               -- seconds; null: the setting
  source_stale_limit integer check (source_stale_limit between 60 and 31536000), -- seconds; null: the setting
  guard_percent integer check (guard_percent between 0 and 100),
  follows_directory boolean not null default false,
  synced_at timestamptz, -- last complete synchronisation of its directory
  loaded_at timestamptz, -- since when its list counts as complete; null: no 550 for unknown recipients
  state text not null default 'active' check (state in ('active', 'removed')),
  removed_at timestamptz,
  changed_by bigint not null references changeset default roll_changeset(),
  created_at timestamptz not null default now(),
  check ((state = 'removed') = (removed_at is not null)),
  check (state = 'removed' or customer_id is not null),
  check (alias_of is null or shadow is null)
);
create index domain_changed_by on domain (changed_by);
create index domain_customer on domain (customer_id);
create index domain_alias_of on domain (alias_of) where alias_of is not null;

-- An alias domain's target is a served domain of the same customer and no alias itself.
create function domain_alias_check() returns trigger language plpgsql as $$
begin
  if new.alias_of is not null and new.state = 'active' and not exists (
    select from domain t where t.id = new.alias_of and t.alias_of is null and t.state = 'active'
      and t.customer_id = new.customer_id)
  then
    raise exception '%: an alias domain needs a served domain of the same customer as its target', new.name
      using errcode = 'RC003';
  end if;
  if (new.alias_of is not null or new.state = 'removed')
    and exists (select from domain a where a.alias_of = new.id and a.state = 'active')
  then
    raise exception '%: other domains are aliases of it', new.name using errcode = 'RC003';
  end if;
  if (new.alias_of is not null or new.state = 'removed')
    and exists (select from recipient r where r.domain_id = new.id and r.state <> 'removed')
  then
    raise exception '%: has recipients of its own', new.name using errcode = 'RC003';
  end if;
  return null;
end $$;

-- ---------------------------------------------------------------- users and recipients

-- Whose addresses are whose. A user is alive while it has a primary address; it stays here without any, so that an undo
-- brings everything back by its addresses alone.
create table users (
  id bigint generated always as identity primary key,
  customer_id integer not null, -- a customer: checked by statement
  name text not null default '' check (length(name) <= 300),
  created_at timestamptz not null default now()
);

create table recipient (
  id bigint generated always as identity primary key,
  domain_id integer not null,
  -- normalised: unquoted, NFC, lower case unless the domain is case-sensitive
  local_part text collate "C" not null check (octet_length(local_part) between 1 and 64),
  user_id bigint,
  kind recipient_kind not null,
  state recipient_state not null default 'active',
  disabled_by_person boolean not null default false,
  verified_on date,        -- the customer's server accepted it (GMT day)
  refused_at timestamptz,  -- the customer's server refused it with 5.1.x
  changed_by bigint not null default roll_changeset(),
  check (state in ('retired', 'removed') or (kind = 'group') = (user_id is null)),
  check (state <> 'removed' or user_id is null)
);
-- one row per address
create unique index recipient_address on recipient (domain_id, local_part);
create index recipient_changed_by on recipient (changed_by);
create unique index recipient_primary on recipient (user_id) where kind = 'primary' and user_id is not null;
create index recipient_alias on recipient (user_id) where kind = 'alias' and user_id is not null;

-- Whether a user has an address: `u.live` of `users u`.
create function live(users) returns boolean language sql stable as $$
  select exists (select from public.recipient r where r.user_id = $1.id and r.kind = 'primary')
$$;

create trigger domain_alias after insert or update on domain for each row execute function domain_alias_check();

-- Who says that the address exists. An address leaves the roll with its last claim.
create table recipient_source (
  recipient_id bigint not null,
  source source_kind not null,
  source_id integer not null default 0, -- ldap: which ldap_source; else 0
  disabled boolean not null default false, -- this source says: exists, but disabled
  claimed_by bigint not null default roll_changeset(),
  primary key (recipient_id, source, source_id),
  check ((source = 'ldap') = (source_id <> 0))
);
create index recipient_source_ldap on recipient_source (source_id) where source = 'ldap';

-- ---------------------------------------------------------------- history

-- How a claim reads: 'manual', 'ldap:3', with '!' behind it when that source says disabled.
create function roll_claim(source source_kind, source_id integer, disabled boolean) returns text
  language sql stable as $$
  select source::text || case when source_id <> 0 then ':' || source_id else '' end || case when disabled then '!' else '' end
$$;
-- All claims to an address, in order.
create function roll_claims(recipient bigint) returns text[] language sql stable as $$
  select array(select public.roll_claim(s.source, s.source_id, s.disabled) from public.recipient_source s
               where s.recipient_id = recipient
               order by public.roll_claim(s.source, s.source_id, s.disabled) collate "C")
$$;
-- Whether one of them says disabled.
create function roll_disables(claims text[]) returns boolean language sql stable as $$
  select position('!' in array_to_string(claims, ' ')) > 0
$$;

-- What a changeset did to an address; null before: it was not there; null after: it left.
create table change (
  changeset_id bigint not null,
  domain_id integer not null,
  local_part text collate "C" not null,
  before_user bigint,
  before_kind recipient_kind,
  before_state recipient_state,
  before_person boolean,
  before_claims text[],
  after_user bigint,
  after_kind recipient_kind,
  after_state recipient_state,
  after_person boolean,
  after_claims text[],
  primary key (changeset_id, domain_id, local_part)
);

-- Whom it gave another name.
create table user_change (
  changeset_id bigint not null,
  user_id bigint not null,
  before_name text not null,
  after_name text not null,
  primary key (changeset_id, user_id)
);

create table domain_change (
  changeset_id bigint not null,
  domain_id integer not null,
  before jsonb, -- null: was not there
  after jsonb not null,
  primary key (changeset_id, domain_id)
);

-- The list that a held changeset would apply, as it was staged.
create table held_entry (
  changeset_id bigint not null references changeset on delete cascade,
  entry integer not null,  -- one user or group of the list
  place integer not null,  -- where among the list's addresses
  line integer not null,   -- where it stood
  domain_id integer not null,
  local_part text collate "C" not null,
  kind recipient_kind not null,
  disabled boolean not null,
  name text not null,
  primary key (changeset_id, domain_id, local_part)
);
-- The domains a held changeset speaks for (replace, follow: also those of which it lists nobody).
create table held_domain (
  changeset_id bigint not null references changeset on delete cascade,
  domain_id integer not null,
  primary key (changeset_id, domain_id)
);

-- ---------------------------------------------------------------- the rules, by statement

-- The one door (lib/roll) writes only references that it has just made or holds locked, and spares us the joins that
-- would find them good: for a million addresses they are seconds. Nobody else says so.
create function roll_is_checked() returns boolean language sql stable as $$
  select current_setting('rollcall.checked', true) is not distinct from 'on'
$$;

create function roll_check_user() returns trigger language plpgsql as $$
declare
  bad integer;
begin
  if roll_is_checked() then
    return null;
  end if;
  -- dynamic, so that each statement is planned for its own number of rows
  execute 'select t.customer_id from touched t left join customer c on c.id = t.customer_id where c.id is null limit 1' into bad;
  if bad is not null then
    raise exception 'users: there is no customer %', bad using errcode = 'foreign_key_violation';
  end if;
  return null;
end $$;
create trigger users_inserted after insert on users referencing new table as touched
  for each statement execute function roll_check_user();
create trigger users_updated after update on users referencing new table as touched
  for each statement execute function roll_check_user();

-- A customer without domains takes along its users, who have no addresses any more.
create function customer_takes_users() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  delete from users where customer_id = old.id;
  return old;
end $$;
create trigger customer_takes_users before delete on customer for each row execute function customer_takes_users();

create function roll_check_recipient() returns trigger language plpgsql as $$
declare
  foreign_changeset boolean;
  bad text;
begin
  -- one pass over what was touched, however much that is
  execute 'select bool_or(t.foreign_changeset),
             min(coalesce(d.name, t.domain_id::text)) filter (where d.id is null
               or ((d.alias_of is not null or d.state = ''removed'') and t.present))
           from (select domain_id, bool_or(changed_by is distinct from $1) as foreign_changeset,
                   bool_or(state <> ''removed'') as present
                   from touched group by domain_id) t left join domain d on d.id = t.domain_id'
    into foreign_changeset, bad using roll_changeset();
  if foreign_changeset then
    raise exception 'recipient: changed_by must be the current changeset'
      using errcode = 'RC001', hint = 'set changed_by = roll_changeset()';
  end if;
  if bad is not null then
    raise exception 'recipient: its domain % is absent, removed or an alias', bad using errcode = 'foreign_key_violation';
  end if;
  if roll_is_checked() then
    return null;
  end if;
  execute 'select t.local_part from touched t left join users u on u.id = t.user_id
           where t.user_id is not null and u.id is null limit 1' into bad;
  if bad is not null then
    raise exception 'recipient %: its user is absent', bad using errcode = 'foreign_key_violation';
  end if;
  return null;
end $$;
create trigger recipient_inserted after insert on recipient referencing new table as touched
  for each statement execute function roll_check_recipient();
create trigger recipient_updated after update on recipient referencing new table as touched
  for each statement execute function roll_check_recipient();

create function roll_check_claim() returns trigger language plpgsql as $$
declare
  bad bigint;
begin
  if roll_is_checked() then
    return null;
  end if;
  execute 'select t.recipient_id from touched t left join recipient r on r.id = t.recipient_id
           where r.id is null or r.state = ''removed'' limit 1' into bad;
  if bad is not null then
    raise exception 'recipient_source %: that recipient is not on the roll', bad using errcode = 'foreign_key_violation';
  end if;
  return null;
end $$;
create trigger recipient_source_inserted after insert on recipient_source referencing new table as touched
  for each statement execute function roll_check_claim();

create function roll_check_domain() returns trigger language plpgsql as $$
declare
  current bigint := roll_changeset();
begin
  if exists (select from touched where changed_by is distinct from current) then
    raise exception 'domain: changed_by must be the current changeset'
      using errcode = 'RC001', hint = 'set changed_by = roll_changeset()';
  end if;
  return null;
end $$;
create trigger domain_inserted after insert on domain referencing new table as touched
  for each statement execute function roll_check_domain();
create trigger domain_updated after update on domain referencing new table as touched
  for each statement execute function roll_check_domain();

-- Rows leave by becoming tombstones; only roll_purge deletes, and only those.
create function roll_refuse_delete() returns trigger language plpgsql as $$
begin
  raise exception '%: rows are removed by state = ''removed'' inside a changeset', tg_table_name
    using errcode = 'RC001', hint = 'rollcall user remove, rollcall domain remove';
end $$;
create trigger recipient_stays before delete on recipient for each row
  when (old.state <> 'removed' or current_setting('rollcall.purge', true) is distinct from 'on')
  execute function roll_refuse_delete();
create trigger domain_stays before delete on domain for each row
  when (old.state <> 'removed' or current_setting('rollcall.purge', true) is distinct from 'on')
  execute function roll_refuse_delete();
create trigger recipient_not_truncated before truncate on recipient for each statement execute function roll_refuse_delete();
create trigger domain_not_truncated before truncate on domain for each statement execute function roll_refuse_delete();

create function users_stay() returns trigger language plpgsql as $$
begin
  if exists (select from recipient where user_id = old.id and kind = 'primary')
    or exists (select from recipient where user_id = old.id and kind = 'alias')
  then
    raise exception 'user %: still has recipients', old.id using errcode = 'foreign_key_violation';
  end if;
  return old;
end $$;
create trigger users_stay before delete on users for each row execute function users_stay();

-- ---------------------------------------------------------------- who follows

create table gateway (
  name text primary key check (length(name) between 1 and 255),
  version bigint not null default 0,      -- what its replica holds
  uuid uuid,
  domains bigint not null default 0,
  recipients bigint not null default 0,
  age_ms bigint,                          -- how old its data was when it wrote; null: it has none
  answers bigint not null default 0,      -- since it started
  refused bigint not null default 0,
  deferred bigint not null default 0,
  program text not null default '',
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  trouble text not null default ''
);

-- Deletes tombstones older than `life` that every live gateway has passed; returns how many.
-- A gateway that was away longer finds its version below purged_version and loads everything.
create function roll_purge(life interval, live interval) returns bigint
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  upto bigint;
  gone bigint;
  more bigint;
begin
  perform set_config('rollcall.purge', 'on', true);
  perform from roll_clock for update;
  select max(version) into upto from changeset
    where created_at < now() - life
      and version <= coalesce((select min(g.version) from gateway g where g.seen_at > now() - live),
                              (select version from roll_clock));
  if upto is null then
    return 0;
  end if;
  delete from recipient r using changeset c where c.id = r.changed_by and r.state = 'removed' and c.version <= upto;
  get diagnostics gone = row_count;
  delete from domain d using changeset c where c.id = d.changed_by and d.state = 'removed' and c.version <= upto
    and d.removed_at < now() - life and not exists (select from recipient r where r.domain_id = d.id)
    and not exists (select from domain a where a.alias_of = d.id);
  get diagnostics more = row_count;
  if gone + more > 0 then
    update roll_clock set purged_version = greatest(purged_version, upto);
  end if;
  return gone + more;
end $$;

-- ---------------------------------------------------------------- who did what

create table audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  actor text not null,
  program text not null,
  action text not null, -- 'domain set', 'change approve', …
  object text not null, -- what it was done to
  detail jsonb not null default '{}'
);
create index audit_at on audit (at);
create index audit_object on audit (object);

-- The roll as people read it.
create view roll as
  select case when r.local_part ~ '^[^][()<>:;@\\,." [:cntrl:]]+(\.[^][()<>:;@\\,." [:cntrl:]]+)*$' then r.local_part
              else '"' || regexp_replace(r.local_part, '(["\\])', '\\\1', 'g') || '"' end || '@' || d.name as address,
         d.name as domain, r.kind, r.state, u.name, p.local_part || '@' || pd.name as primary_address,
         roll_claims(r.id) as sources,
         c.id as changeset, c.created_at as changed_at
    from recipient r
    join domain d on d.id = r.domain_id
    join changeset c on c.id = r.changed_by
    left join users u on u.id = r.user_id
    left join recipient p on p.user_id = r.user_id and p.kind = 'primary'
    left join domain pd on pd.id = p.domain_id
   where r.state <> 'removed';
