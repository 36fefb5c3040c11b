-- 0006_panel: who may sign in to the panel, what is open there, and what keeps tenants apart
--
-- The panel connects as rollcall_panel, which owns nothing. Whose rows a request may see is told by the setting
-- rollcall.customer: a customer's number, 0 for an operator of the gateway, empty for nobody. It is set by
-- panel_session(), from the session that the request's cookie names, and row-level security holds every statement to
-- it: a handler that forgets to ask for the customer still shows and changes nothing of another one.
--
-- What has to look across tenants (signing in, searching by trigrams, whose index row-level security would keep from
-- being used because ILIKE is not leakproof) are functions of the owner with a fixed search_path, which filter by
-- themselves.

create extension if not exists pg_trgm;

do $$
begin
  if not exists (select from pg_roles where rolname = 'rollcall_panel') then
    create role rollcall_panel login;
  end if;
exception when duplicate_object or unique_violation then
  null; -- somebody else made it this moment: roles belong to the whole server
end $$;

-- ---------------------------------------------------------------- who may sign in

create table account (
  id integer generated always as identity primary key,
  login text not null check (login ~ '^[^[:space:][:cntrl:]]+$' and length(login) between 1 and 200),
  role text not null check (role in ('operator', 'admin')),
  customer_id integer references customer on delete cascade, -- of an admin
  password text not null default '', -- crypt(5); empty: none fits
  must_change boolean not null default true,
  second_factor bytea,               -- sealed under the key of secret_key_file; null: none
  second_step bigint not null default 0, -- of the last code that was used
  recovery text[] not null default '{}', -- digests of the recovery codes that are left
  language text not null default '' check (length(language) <= 20),
  time_zone text not null default '' check (length(time_zone) <= 64),
  state text not null default 'active' check (state in ('active', 'disabled')),
  created_at timestamptz not null default now(),
  signed_in_at timestamptz,
  check ((role = 'admin') = (customer_id is not null))
);
create unique index account_login on account (lower(login));
create index account_customer on account (customer_id);

create table session (
  digest bytea primary key check (octet_length(digest) = 32), -- of the cookie, which is kept nowhere
  account_id integer references account on delete cascade,
  user_id bigint references users on delete cascade,
  pending boolean not null default false, -- the second factor is still to come
  created_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  ends_at timestamptz not null,
  client text not null default '',
  agent text not null default '',
  check ((account_id is null) <> (user_id is null))
);
create index session_account on session (account_id);
create index session_of_user on session (user_id);
create index session_ends on session (ends_at);

-- Failed attempts, by account and by client; what slows the next one down.
create table sign_in_attempt (
  key text primary key check (length(key) <= 300),
  failures integer not null,
  failed_at timestamptz not null,
  blocked_until timestamptz not null
);
create index sign_in_attempt_age on sign_in_attempt (failed_at);

-- ---------------------------------------------------------------- sessions

-- Whom the cookie names, and from now on what this connection may see. Asked at the begin of every request; without
-- a session it may see nothing.
create function panel_session(digest bytea, idle interval)
  returns table (account_id integer, user_id bigint, login text, role text, customer_id integer, customer text,
                 pending boolean, must_change boolean, second_factor boolean, language text, time_zone text)
  language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
  s record;
begin
  perform set_config('rollcall.customer', '', false), set_config('rollcall.user', '', false),
          set_config('TimeZone', 'UTC', false);
  select session.digest, session.seen_at, session.pending, a.id as account_id, u.id as user_id,
         coalesce(a.login, p.local_part || '@' || d.name) as login, coalesce(a.role, 'user') as role,
         coalesce(a.customer_id, u.customer_id) as customer_id, coalesce(a.must_change, false) as must_change,
         a.second_factor is not null as second_factor, coalesce(a.language, '') as language,
         coalesce(a.time_zone, '') as time_zone
    into s
    from session
    left join account a on a.id = session.account_id and a.state = 'active'
    left join users u on u.id = session.user_id and u.live
    left join recipient p on p.user_id = u.id and p.kind = 'primary' and p.state = 'active'
    left join domain d on d.id = p.domain_id
   where session.digest = panel_session.digest and session.ends_at > now() and session.seen_at > now() - idle
     and (a.id is not null or p.id is not null);
  if not found then
    return;
  end if;
  if s.seen_at < now() - interval '1 minute' then
    update session set seen_at = now() where session.digest = s.digest;
  end if;
  if not s.pending then
    perform set_config('rollcall.customer', case when s.role = 'operator' then '0' else s.customer_id::text end, false),
            set_config('rollcall.user', coalesce(s.user_id::text, ''), false);
    if s.time_zone <> '' then
      perform set_config('TimeZone', s.time_zone, false);
    end if;
  end if;
  return query select s.account_id, s.user_id, s.login, s.role, s.customer_id,
    coalesce((select c.name from customer c where c.id = s.customer_id), ''), s.pending, s.must_change,
    s.second_factor, s.language, s.time_zone;
end $$;

-- What checking a password needs; no row: there is no such account.
create function panel_account(login text)
  returns table (id integer, password text, second_factor bytea, second_step bigint)
  language sql stable security definer set search_path = public, pg_temp as $$
  select a.id, a.password, a.second_factor, a.second_step from account a
   where lower(a.login) = lower(panel_account.login) and a.state = 'active'
$$;

-- For how many seconds none of these may try again.
create function panel_wait(keys text[]) returns integer
  language sql stable security definer set search_path = public, pg_temp as $$
  select coalesce(max(ceil(extract(epoch from blocked_until - clock_timestamp())))::integer, 0)
    from sign_in_attempt where key = any (keys) and blocked_until > clock_timestamp()
$$;

-- One more failure: beyond `free` of them within an hour each doubles the wait, up to `most` seconds.
create function panel_failed(key text, free integer, most integer) returns void
  language sql security definer set search_path = public, pg_temp as $$
  delete from sign_in_attempt where failed_at < now() - interval '1 day';
  insert into sign_in_attempt as s (key, failures, failed_at, blocked_until)
    values (panel_failed.key, 1, now(), now())
  on conflict on constraint sign_in_attempt_pkey do update set
    failures = case when s.failed_at < now() - interval '1 hour' then 1 else s.failures + 1 end,
    failed_at = now(),
    blocked_until = case when s.failed_at < now() - interval '1 hour' or s.failures + 1 < free then now()
      else now() + least(most, 2 ^ least(s.failures + 1 - free, 20)) * interval '1 second' end
$$;
create function panel_forgive(key text) returns void
  language sql security definer set search_path = public, pg_temp as $$
  delete from sign_in_attempt where sign_in_attempt.key = panel_forgive.key
$$;

-- Opens a session. With a second factor it is pending, and shows nothing.
create function panel_sign_in(whose integer, digest bytea, life interval, client text, agent text) returns boolean
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  second boolean;
begin
  delete from session where ends_at < now();
  select second_factor is not null into second from account where id = whose and state = 'active';
  if not found then
    return false;
  end if;
  insert into session (digest, account_id, pending, ends_at, client, agent)
    values (panel_sign_in.digest, whose, second, now() + case when second then interval '10 minutes' else life end,
            client, left(agent, 300));
  if not second then
    update account set signed_in_at = now() where id = whose;
  end if;
  return true;
end $$;

-- Who has that address (normalised; an alias domain is its target), for signing in; null: nobody.
create function panel_user(domain text, local text) returns bigint
  language sql stable security definer set search_path = public, pg_temp as $$
  select r.user_id from domain d join recipient r on r.domain_id = coalesce(d.alias_of, d.id)
   where d.name = panel_user.domain and d.state = 'active' and r.local_part = panel_user.local
     and r.user_id is not null and r.state = 'active'
$$;
create function panel_user_sign_in(whose bigint, digest bytea, life interval, client text, agent text) returns void
  language sql security definer set search_path = public, pg_temp as $$
  delete from session where ends_at < now();
  insert into session (digest, user_id, ends_at, client, agent)
    values (panel_user_sign_in.digest, whose, now() + life, panel_user_sign_in.client, left(panel_user_sign_in.agent, 300));
$$;
-- Who has just got another password is signed out everywhere.
create function panel_user_password_changed() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  delete from session where user_id = new.user_id
    and nullif(current_setting('rollcall.user', true), '')::bigint is distinct from new.user_id;
  return null;
end $$;
create trigger panel_user_password_changed after update of hash on user_password for each row
  when (new.changed_at is distinct from old.changed_at) execute function panel_user_password_changed();

-- The code of that step was right: the session gets a new cookie and is open. False: the step was used before.
create function panel_second(old bytea, digest bytea, step bigint, life interval) returns boolean
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  whose integer;
begin
  update account a set second_step = step, signed_in_at = now() from session s
    where s.digest = old and s.pending and s.ends_at > now() and a.id = s.account_id and a.second_step < step
    returning a.id into whose;
  if not found then
    return false;
  end if;
  update session s set digest = panel_second.digest, pending = false, seen_at = now(), ends_at = now() + life
    where s.digest = old;
  return true;
end $$;

-- The same with one of the recovery codes, which is used up by it.
create function panel_recover(old bytea, digest bytea, code text, life interval) returns boolean
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  update account a set recovery = array_remove(a.recovery, code), signed_in_at = now() from session s
    where s.digest = old and s.pending and s.ends_at > now() and a.id = s.account_id and code = any (a.recovery);
  if not found then
    return false;
  end if;
  update session s set digest = panel_recover.digest, pending = false, seen_at = now(), ends_at = now() + life
    where s.digest = old;
  return true;
end $$;

create function panel_sign_out(digest bytea) returns void
  language sql security definer set search_path = public, pg_temp as $$
  delete from session where session.digest = panel_sign_out.digest
$$;

-- All sessions of whoever has this one, which stays if `keep`.
create function panel_sign_out_everywhere(digest bytea, keep boolean) returns bigint
  language sql security definer set search_path = public, pg_temp as $$
  with mine as (select account_id, user_id from session where session.digest = panel_sign_out_everywhere.digest),
  gone as (delete from session s using mine
             where (s.account_id = mine.account_id or s.user_id = mine.user_id)
               and (not keep or s.digest <> panel_sign_out_everywhere.digest) returning 1)
  select count(*) from gone
$$;

-- The own password; other sessions end with it.
create function panel_set_password(digest bytea, hash text) returns boolean
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  update account a set password = hash, must_change = false from session s
    where s.digest = panel_set_password.digest and not s.pending and a.id = s.account_id;
  if not found then
    return false;
  end if;
  perform panel_sign_out_everywhere(panel_set_password.digest, true);
  return true;
end $$;

-- The own second factor; null takes it away.
create function panel_set_second(digest bytea, secret bytea, step bigint, codes text[]) returns boolean
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  update account a set second_factor = secret, second_step = step, recovery = codes from session s
    where s.digest = panel_set_second.digest and not s.pending and a.id = s.account_id;
  return found;
end $$;

create function panel_set_taste(digest bytea, language text, time_zone text) returns boolean
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  update account a set language = panel_set_taste.language, time_zone = panel_set_taste.time_zone from session s
    where s.digest = panel_set_taste.digest and not s.pending and a.id = s.account_id;
  return found;
end $$;

-- An account that changes hands or is locked is signed out.
create function account_changed() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  delete from session where account_id = new.id;
  return null;
end $$;
create trigger account_locked after update of state, role, customer_id on account for each row
  when (new.state <> old.state or new.role <> old.role or new.customer_id is distinct from old.customer_id)
  execute function account_changed();

-- ---------------------------------------------------------------- searching

create index recipient_fragment on recipient using gin (local_part gin_trgm_ops) where state <> 'removed';
create index users_fragment on users using gin (name gin_trgm_ops) where name <> '';

-- Addresses of a domain with that fragment in them or in their user's name, behind `after`, in order. Shorter
-- fragments than three characters have no trigram: they are common, and found soon by walking in order.
create function panel_search(domain integer, fragment text, after text, most integer)
  returns table (id bigint, local_part text)
  language plpgsql stable security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
  tenant integer := nullif(current_setting('rollcall.customer', true), '')::integer;
  pattern text := '%' || replace(replace(replace(fragment, '\', '\\'), '%', '\%'), '_', '\_') || '%';
begin
  if tenant is null or not exists (select from domain d where d.id = panel_search.domain
                                     and (tenant = 0 or d.customer_id = tenant)) then
    return;
  end if;
  if length(fragment) < 3 then
    return query select r.id, r.local_part from recipient r
      where r.domain_id = panel_search.domain and r.state <> 'removed' and r.local_part > after
        and r.local_part ilike pattern order by r.local_part limit most;
    return;
  end if;
  -- planned anew for each fragment: how rare it is decides which index is walked
  return query execute
    'select distinct on (local_part) id, local_part from (
       (select r.id, r.local_part from recipient r where r.domain_id = $1 and r.state <> ''removed''
           and r.local_part > $2 and r.local_part ilike $3 order by r.local_part limit $4)
       union all
       (select r.id, r.local_part from users u join recipient r on r.user_id = u.id and r.kind = ''primary''
         where u.live and u.name <> '''' and u.name ilike $3 and r.domain_id = $1 and r.state <> ''removed''
           and r.local_part > $2 order by r.local_part limit $4)) found
     order by local_part limit $4'
    using panel_search.domain, after, pattern, most;
end $$;

-- ---------------------------------------------------------------- answers by the hour, for the overview

create table gateway_hour (
  gateway text not null,
  hour timestamptz not null,
  answers bigint not null default 0,
  refused bigint not null default 0,
  deferred bigint not null default 0,
  primary key (hour, gateway)
);

-- What a gateway has answered since it last told; after a start it counts from zero.
create function gateway_counted() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  again boolean := old.started_at is distinct from new.started_at or new.answers < old.answers;
begin
  insert into gateway_hour as g (gateway, hour, answers, refused, deferred)
    values (new.name, date_trunc('hour', now(), 'UTC'), new.answers - case when again then 0 else old.answers end,
            new.refused - case when again then 0 else old.refused end,
            new.deferred - case when again then 0 else old.deferred end)
  on conflict (hour, gateway) do update set answers = g.answers + excluded.answers,
    refused = g.refused + excluded.refused, deferred = g.deferred + excluded.deferred;
  delete from gateway_hour where hour < now() - interval '40 days';
  return null;
end $$;
create trigger gateway_counted after update of answers, refused, deferred on gateway for each row
  when (new.answers <> old.answers) execute function gateway_counted();

-- ---------------------------------------------------------------- tenants apart

-- Who wrote it: a tenant sees the rows that its own people made.
alter table audit add column customer_id integer
  default nullif(current_setting('rollcall.customer', true), '')::integer;

create function panel_customer() returns integer language sql stable as $$
  select nullif(current_setting('rollcall.customer', true), '')::integer
$$;

create function panel_user_id() returns bigint language sql stable as $$
  select nullif(current_setting('rollcall.user', true), '')::bigint
$$;

-- For each table: everybody as before, and the panel only what `which` says.
do $$
declare
  one record;
begin
  for one in
    select * from (values
      ('customer', 'id = (select panel_customer())'),
      ('domain', 'customer_id = (select panel_customer())'),
      ('users', 'customer_id = (select panel_customer())'),
      ('changeset', 'customer_id = (select panel_customer())'),
      ('account', 'customer_id = (select panel_customer())'),
      ('audit', 'customer_id = (select panel_customer())'),
      ('ldap_source', 'customer_id = (select panel_customer())'),
      ('recipient', 'domain_id in (select id from domain)'),
      ('change', 'domain_id in (select id from domain)'),
      ('domain_change', 'domain_id in (select id from domain)'),
      ('observation', 'domain_id in (select id from domain)'),
      ('refusal', 'domain_id in (select id from domain)'),
      ('domain_observation', 'domain_id in (select id from domain)'),
      ('held_entry', 'domain_id in (select id from domain)'),
      ('held_domain', 'domain_id in (select id from domain)'),
      ('recipient_source', 'exists (select from recipient r where r.id = recipient_id)'),
      ('user_change', 'exists (select from users u where u.id = user_id)'),
      ('ldap_source_domain', 'exists (select from ldap_source l where l.id = source_id)'),
      ('ldap_run', 'exists (select from ldap_source l where l.id = source_id)'),
      ('ldap_user', 'exists (select from ldap_source l where l.id = source_id)'),
      ('quarantine_recipient', 'customer_id = (select panel_customer())
         and ((select panel_user_id()) is null or user_id = (select panel_user_id()))'),
      ('quarantine_message', 'exists (select from quarantine_recipient q where q.message_id = id)'),
      ('quarantine_request', 'exists (select from quarantine_recipient q where q.id = recipient_id)'),
      ('sender_rule', 'case when (select panel_user_id()) is not null then coalesce(user_id = (select panel_user_id()), false)
         else domain_id in (select id from domain) or exists (select from users u where u.id = user_id) end'),
      ('report_setting', 'customer_id = (select panel_customer())
         and ((select panel_user_id()) is null or coalesce(user_id = (select panel_user_id()), false))'),
      ('report_run', 'customer_id = (select panel_customer())'),
      ('gateway', 'false'),
      ('gateway_hour', 'false')) t (name, which)
  loop
    execute format('alter table %I enable row level security', one.name);
    execute format('create policy everybody on %I using (true) with check (true)', one.name);
    execute format('create policy panel on %I as restrictive to rollcall_panel
                    using ((select panel_customer()) = 0 or %s)', one.name, one.which);
  end loop;
end $$;

-- Only operators add domains and customers.
create policy panel_adds on domain as restrictive for insert to rollcall_panel with check ((select panel_customer()) = 0);
create policy panel_adds on customer as restrictive for insert to rollcall_panel with check ((select panel_customer()) = 0);
create policy panel_removes on customer as restrictive for delete to rollcall_panel using ((select panel_customer()) = 0);
-- A customer's administrator makes administrators, not operators; nobody makes a domain somebody else's.
create function panel_keeps_hop() returns trigger language plpgsql as $$
begin
  if current_user = 'rollcall_panel' and public.panel_customer() is distinct from 0
    and (new.next_hop <> old.next_hop or new.customer_id is distinct from old.customer_id) then
    raise exception '%: next hop and customer are set by operators of the gateway', old.name using errcode = '42501';
  end if;
  return new;
end $$;
create trigger panel_keeps_hop before update of next_hop, customer_id on domain for each row
  execute function panel_keeps_hop();
