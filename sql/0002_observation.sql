-- 0002_observation: what the gateways' logs tell of recipients, and how far they have been read
--
-- Gateways add, they never change: role rollcall_observe may only call the functions below, which add up counts, keep
-- the newest evidence, and move a gateway's position forward, all in the caller's one transaction. Counts are by GMT
-- day. An alias domain's recipients are its target's.

alter type roll_mode add value 'retire' after 'enable';

create table observation (
  day date not null,
  domain_id integer not null,
  local_part text collate "C" not null check (octet_length(local_part) between 1 and 64), -- normalised
  accepted integer not null default 0 check (accepted >= 0),       -- clean messages from outside that the server took
  deliverable integer not null default 0 check (deliverable >= 0), -- a probe's yes, and all messages that it took
  refused integer not null default 0 check (refused >= 0),         -- 5.1.x about the recipient
  unknown integer not null default 0 check (unknown >= 0),         -- of these: no such mailbox (5.1.1, 5.1.10)
  late integer not null default 0 check (late >= 0),               -- of these: said only after the message was sent
  last_yes timestamptz,
  last_no timestamptz,
  primary key (domain_id, local_part, day)
);
create index observation_day on observation (day, domain_id);

-- Addresses that are not on the roll and that the customer's server refused lately: nobody needs to ask again.
create table refusal (
  domain_id integer not null,
  local_part text collate "C" not null check (octet_length(local_part) between 1 and 64),
  refused_at timestamptz, -- null: the server has accepted it since; kept for a while so that followers hear of it
  changed_by bigint not null default roll_changeset(),
  primary key (domain_id, local_part)
);
create index refusal_changed_by on refusal (changed_by);
-- partial, so that without statistics nobody takes it for as good as the key
create index refusal_age on refusal (domain_id, refused_at) where refused_at is not null;

-- Whoever comes onto the roll is refused no more.
create function refusal_ends() returns trigger language plpgsql security definer set search_path = public, pg_temp
  set enable_seqscan = off set enable_nestloop = on as $$
begin
  if exists (select from refusal) then
    -- a few are looked up by key, many are joined, whatever the statistics say
    if (select count(*) > 1000 from touched) then
      perform set_config('enable_seqscan', 'on', true), set_config('enable_nestloop', 'off', true);
    end if;
    -- dynamic, so that each statement is planned for its own number of rows
    execute 'update refusal f set refused_at = null, changed_by = roll_changeset() from touched t
             where f.domain_id = t.domain_id and f.local_part = t.local_part
               and coalesce(f.refused_at, ''-infinity'') > ''-infinity'' and t.state in (''active'', ''disabled'')';
  end if;
  return null;
end $$;
create trigger recipient_refusal_inserted after insert on recipient referencing new table as touched
  for each statement execute function refusal_ends();
create trigger recipient_refusal_updated after update on recipient referencing new table as touched
  for each statement execute function refusal_ends();

-- How far a gateway's logs have been read. `sequence` counts commits: who read from another one is too late.
create table log_position (
  gateway text primary key check (length(gateway) between 1 and 255),
  sequence bigint not null check (sequence > 0),
  read_from timestamptz not null, -- nothing older was read
  read_to timestamptz not null,   -- everything older was read, and is counted
  sources jsonb not null,         -- per source: files by what they begin with, or the journal's cursor
  updated_at timestamptz not null default now()
);

-- What observation knows of a domain as a whole.
create table domain_observation (
  domain_id integer primary key references domain on delete cascade,
  since timestamptz,              -- in mode smtp or either without a break since then; null: it is not
  worked_to date,                 -- creation is done for the days up to this one
  created_first boolean not null default false, -- users were created at least once
  probe text,                     -- the local part that nobody has, last asked for
  probe_at timestamptz,           -- when it was asked for
  probe_answered_at timestamptz,
  accepts_everything boolean not null default false, -- the answer was yes
  bounces_late boolean not null default false, -- it takes messages for recipients that it then says it does not have
  held text not null default ''   -- why the last creation was held
);

create function domain_observed() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  observed boolean := new.state = 'active' and new.alias_of is null and new.relay_check in ('smtp', 'either');
begin
  insert into domain_observation (domain_id, since) values (new.id, case when observed then now() end)
    on conflict (domain_id) do update
    set since = case when observed then coalesce(domain_observation.since, excluded.since) end;
  return null;
end $$;
create trigger domain_observed after insert or update of state, alias_of, relay_check on domain
  for each row execute function domain_observed();
insert into domain_observation (domain_id, since)
  select id, case when state = 'active' and alias_of is null and relay_check in ('smtp', 'either') then now() end from domain;

-- ---------------------------------------------------------------- what gateways may do

-- Moves the position forward from `expected` (0: this gateway's first) and returns the new sequence. Whoever lost a
-- race gets RC010, and nothing of its transaction stays.
create function observe_position(by text, expected bigint, seen_from timestamptz, seen_to timestamptz, at jsonb)
  returns bigint language plpgsql security definer set search_path = public, pg_temp as $$
declare
  moved bigint;
begin
  if expected = 0 then
    insert into log_position (gateway, sequence, read_from, read_to, sources) values (by, 1, seen_from, seen_to, at)
      on conflict do nothing returning sequence into moved;
  else
    update log_position set sequence = sequence + 1, read_to = greatest(read_to, seen_to), sources = at,
        updated_at = clock_timestamp()
      where gateway = by and sequence = expected returning sequence into moved;
  end if;
  if moved is null then
    raise exception 'gateway %: its logs were read by somebody else meanwhile', by using errcode = 'RC010';
  end if;
  return moved;
end $$;

-- This transaction's changeset for evidence: it has a version, so that followers hear of it, and no history.
create function observe_changeset(by text) returns bigint
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  current text := current_setting('rollcall.changeset', true);
  made bigint;
begin
  if current <> '' then
    return current::bigint;
  end if;
  insert into changeset (mode, source, actor, program) values ('evidence', 'smtp', by, 'rollcall-observe')
    returning id into made;
  perform set_config('rollcall.changeset', made::text, true);
  return made;
end $$;

-- Adds counts. The arrays are columns of rows; `yes_at` and `no_at`: when the server last took and refused it. Rows are
-- looked up by key, whatever the statistics say: these tables grow while they are filled.
create function observe_add(by text, days date[], domains integer[], locals text[], n_accepted integer[],
    n_deliverable integer[], n_refused integer[], n_unknown integer[], n_late integer[], yes_at timestamptz[], no_at timestamptz[])
  returns void language plpgsql security definer set search_path = public, pg_temp set enable_seqscan = off set jit = off as $$
declare
  changed bigint[];
  changed_yes timestamptz[];
  changed_no timestamptz[];
  changeset bigint;
  full_domain integer;
begin
  -- the probes for addresses that nobody has
  update domain_observation o set accepts_everything = s.yes is not null, probe_answered_at = coalesce(s.yes, s.no)
    from (select d, l, max(y) as yes, max(n) as no from unnest(domains, locals, yes_at, no_at) t (d, l, y, n) group by d, l) s
    where o.domain_id = s.d and o.probe = s.l and coalesce(s.yes, s.no) is not null;

  insert into observation as o (day, domain_id, local_part, accepted, deliverable, refused, unknown, late, last_yes,
      last_no)
    select s.day, s.d, s.l, sum(s.a), sum(s.v), sum(s.r), sum(s.u), sum(s.b), max(s.y), max(s.n)
      from unnest(days, domains, locals, n_accepted, n_deliverable, n_refused, n_unknown, n_late, yes_at, no_at)
        s (day, d, l, a, v, r, u, b, y, n)
      join domain x on x.id = s.d where s.l not like 'rollcall-probe-%'
      group by s.day, s.d, s.l order by s.d, s.l, s.day
    on conflict (domain_id, local_part, day) do update set accepted = o.accepted + excluded.accepted,
      deliverable = o.deliverable + excluded.deliverable, refused = o.refused + excluded.refused,
      unknown = o.unknown + excluded.unknown, late = o.late + excluded.late,
      last_yes = greatest(o.last_yes, excluded.last_yes), last_no = greatest(o.last_no, excluded.last_no);

  -- The newest word wins: of those on the roll. A yes is told at most once a day, a no at most once an hour.
  perform from domain where id = any (domains) order by id for share;
  with seen as (
    select d, l, max(y) as yes, max(n) as no from unnest(domains, locals, yes_at, no_at) t (d, l, y, n) group by d, l),
  news as (
    select r.id, s.yes, case when s.no is null or s.yes > s.no then null else s.no end as no from seen s
      join recipient r on r.domain_id = s.d and r.local_part = s.l and r.state = 'active'
      where case when s.no is null or s.yes > s.no
        then (r.refused_at is null or s.yes > r.refused_at)
          and (r.refused_at is not null or r.verified_on is null or r.verified_on < (s.yes at time zone 'UTC')::date)
        else (r.refused_at is null or s.no > r.refused_at + interval '1 hour')
          and (r.verified_on is null or r.verified_on <= (s.no at time zone 'UTC')::date) end
      order by r.domain_id, r.local_part for no key update of r)
  select array_agg(id), array_agg(yes), array_agg(no) into changed, changed_yes, changed_no from news;
  if changed is not null then
    changeset := observe_changeset(by); -- the rules look for it even when a statement changes nothing
    update recipient r set
        verified_on = case when n.no is null then greatest(r.verified_on, (n.yes at time zone 'UTC')::date)
                      else r.verified_on end,
        refused_at = n.no,
        changed_by = changeset
      from unnest(changed, changed_yes, changed_no) n (id, yes, no) where n.id = r.id;
  end if;

  -- And of those that are not, where the server is asked.
  with seen as (
    select d, l, max(y) as yes, max(n) as no from unnest(domains, locals, yes_at, no_at) t (d, l, y, n) group by d, l),
  news as (
    select s.d, s.l, case when s.yes > s.no or s.no is null then null else s.no end as no, s.yes from seen s
      join domain x on x.id = s.d and x.state = 'active' and x.relay_check in ('smtp', 'either')
      left join refusal f on f.domain_id = s.d and f.local_part = s.l
      where s.l not like 'rollcall-probe-%'
        and not exists (select from recipient r where r.domain_id = s.d and r.local_part = s.l
          and r.state in ('active', 'disabled'))
        and case when s.yes > s.no or s.no is null then f.refused_at < s.yes
            else f.refused_at is null or f.refused_at < s.no - interval '10 minutes' end
      order by s.d, s.l)
  insert into refusal (domain_id, local_part, refused_at, changed_by)
    select d, l, no, observe_changeset(by) from news
    on conflict (domain_id, local_part) do update
    set refused_at = excluded.refused_at, changed_by = excluded.changed_by;

  -- A dictionary attack does not grow without end: the oldest go. Followers let theirs expire.
  for full_domain in
    select distinct d from unnest(domains, no_at) t (d, n) where n is not null order by d
  loop
    delete from refusal f using (
        select local_part from refusal where domain_id = full_domain and refused_at is not null
          order by refused_at desc, local_part offset 100000) old
      where f.domain_id = full_domain and f.local_part = old.local_part;
  end loop;
end $$;

-- Takes up to `most` domains whose server is to be asked for an address that nobody has, and marks them as asked.
create function observe_probes_due(most integer, every interval, at timestamptz)
  returns table (name text, probe text) language sql security definer set search_path = public, pg_temp as $$
  update domain_observation o set probe = 'rollcall-probe-' || encode(substr(uuid_send(gen_random_uuid()), 1, 8), 'hex'),
      probe_at = at
    from domain d where d.id = o.domain_id and o.domain_id in (
      select p.domain_id from domain_observation p where p.since is not null
        and (p.probe_at is null or p.probe_at < at - every
          or (p.probe_answered_at is null or p.probe_answered_at < p.probe_at) and p.probe_at < at - interval '1 hour')
        order by p.probe_at nulls first, p.domain_id limit most for update skip locked)
    returning d.name, o.probe
$$;

-- Forgets what the server said no to: one recipient's (`local`), or all of the domain's. Returns how many.
create function observe_forget(by text, of integer, local text) returns bigint
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  changeset bigint;
  gone bigint;
  more bigint;
begin
  if not exists (select from refusal f where f.domain_id = of and f.refused_at is not null
      and (local is null or f.local_part = local))
    and not exists (select from recipient r where r.domain_id = of and r.refused_at is not null
      and (local is null or r.local_part = local) and r.state = 'active')
  then
    return 0;
  end if;
  perform from domain where id = of for share; -- as everybody who changes both tables
  changeset := observe_changeset(by);
  update refusal set refused_at = null, changed_by = changeset
    where domain_id = of and refused_at is not null and (local is null or local_part = local);
  get diagnostics gone = row_count;
  update recipient set refused_at = null, changed_by = changeset
    where domain_id = of and refused_at is not null and (local is null or local_part = local) and state = 'active';
  get diagnostics more = row_count;
  return gone + more;
end $$;

-- Notes of a domain's recipients what their server said on a day when they were not on the roll yet.
create function observe_verify(by text, of integer, on_day date) returns void
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  changed bigint[];
  changeset bigint;
begin
  select array_agg(r.id) into changed from recipient r
    join observation o on o.domain_id = r.domain_id and o.local_part = r.local_part and o.day = on_day
    where r.domain_id = of and r.state = 'active' and o.last_yes > coalesce(o.last_no, '-infinity')
      and (r.verified_on is null or r.verified_on < on_day) and (r.refused_at is null or r.refused_at < o.last_yes);
  if changed is not null then
    changeset := observe_changeset(by);
    update recipient r set verified_on = on_day, refused_at = null, changed_by = changeset where r.id = any (changed);
  end if;
end $$;

revoke execute on function
  observe_position(text, bigint, timestamptz, timestamptz, jsonb), observe_changeset(text),
  observe_add(text, date[], integer[], text[], integer[], integer[], integer[], integer[], integer[], timestamptz[],
    timestamptz[]), observe_probes_due(integer, interval, timestamptz), observe_forget(text, integer, text),
  observe_verify(text, integer, date) from public;
