-- 0003_ldap: directories that domains follow, and what reading them came to
--
-- A source's password is sealed under a key that is not in the database (secret_key_file), bound to the source's
-- number. Only rollcall_sync may read it, and everybody who may set it can only replace it.

create table ldap_source (
  id integer generated always as identity primary key,
  name text not null check (name ~ '^[[:graph:]]+$' and length(name) between 1 and 253),
  customer_id integer not null references customer on delete cascade,
  by_customer boolean not null default false, -- its servers were named by the customer, not by an operator
  settings jsonb not null default '{}' check (jsonb_typeof(settings) = 'object'), -- only what is set
  secret bytea,
  has_secret boolean generated always as (secret is not null) stored,
  created_at timestamptz not null default now(),
  -- what the last complete run brought
  synced_at timestamptz, -- when the roll last agreed with a complete answer
  digest bytea,          -- of that answer
  version bigint,        -- of the roll when it agreed
  held_digest bytea,     -- of the answer that waits as changeset `held`
  held bigint references changeset on delete set null,
  entries bigint,        -- that answer's
  failing_since timestamptz
);
create unique index ldap_source_name on ldap_source (lower(name));
create index ldap_source_customer on ldap_source (customer_id);

create table ldap_source_domain (
  source_id integer not null references ldap_source on delete cascade,
  domain_id integer not null references domain on delete cascade,
  primary key (source_id, domain_id)
);
create index ldap_source_domain_domain on ldap_source_domain (domain_id);

-- Who is who: a directory's entry keeps its user, whatever its addresses and its place become.
create table ldap_user (
  source_id integer not null, -- goes with its source, see ldap_source_gone()
  identity uuid not null,
  user_id bigint not null,
  dn text not null, -- where it was last seen; sign-in binds as this
  primary key (source_id, identity)
);
create index ldap_user_user on ldap_user (user_id);
create function ldap_source_gone() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  delete from ldap_user u using gone where u.source_id = gone.id;
  return null;
end $$;
create trigger ldap_source_users after delete on ldap_source referencing old table as gone
  for each statement execute function ldap_source_gone();

-- A list that waits knows them too.
alter table held_entry add column known bigint;

create table ldap_run (
  id bigint generated always as identity primary key,
  source_id integer not null references ldap_source on delete cascade,
  started_at timestamptz not null default now(),
  ended_at timestamptz,
  outcome text not null default 'running' check (outcome in ('running', 'applied', 'unchanged', 'held', 'failed')),
  why text not null default '',    -- of held and failed
  server text not null default '', -- that answered
  pages integer not null default 0,
  entries bigint not null default 0,   -- that the directory gave
  users bigint not null default 0,     -- of these: taken as users
  groups bigint not null default 0,    -- as groups and contacts
  left_out bigint not null default 0,  -- not taken
  added integer not null default 0,
  removed integer not null default 0,
  changed integer not null default 0,
  problems bigint not null default 0,  -- addresses that the roll refused
  changeset_id bigint references changeset on delete set null
);
create index ldap_run_source on ldap_run (source_id, started_at);

-- What the customer's contact is to be told: once when a directory begins to fail or to be held, once when that is
-- over. Whoever mails it fills mailed_at.
create table ldap_notice (
  id bigint generated always as identity primary key,
  source_id integer not null references ldap_source on delete cascade,
  customer_id integer not null references customer on delete cascade,
  kind text not null check (kind in ('failed', 'held', 'recovered')),
  why text not null,
  noticed_at timestamptz not null default now(),
  mailed_at timestamptz
);
create index ldap_notice_unsent on ldap_notice (id) where mailed_at is null;
create index ldap_notice_source on ldap_notice (source_id);

-- Where a user signs in: the directory that it comes from, and who it is there. Of several the oldest source.
create function ldap_login(user_id bigint) returns table (source text, dn text, settings jsonb, by_customer boolean)
  language sql stable security definer set search_path = public, pg_temp as $$
  select s.name, u.dn, s.settings, s.by_customer from ldap_user u join ldap_source s on s.id = u.source_id
  where u.user_id = ldap_login.user_id order by s.id limit 1
$$;
revoke execute on function ldap_login(bigint) from public;

-- A removed domain is fed by nobody.
create function ldap_domain_gone() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  delete from ldap_source_domain where domain_id = new.id;
  return null;
end $$;
create trigger domain_unfed after update of state on domain for each row
  when (new.state = 'removed') execute function ldap_domain_gone();
