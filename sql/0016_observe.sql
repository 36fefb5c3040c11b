-- 0016_observe: what a gateway's collecting costs
--
-- Rows of today are changed every few minutes; with room in their page that spares both indexes.

alter table observation set (fillfactor = 80);

-- Adds counts. The arrays are columns of rows, in the order of domain, local part and day, no key twice: so gateways that
-- add at once wait for each other and never deadlock. `yes_at` and `no_at`: when the server last took and refused it.
-- Rows are looked up by key, whatever the statistics say: these tables grow while they are filled.
create or replace function observe_add(by text, days date[], domains integer[], locals text[], n_accepted integer[],
    n_deliverable integer[], n_refused integer[], n_unknown integer[], n_late integer[], yes_at timestamptz[], no_at timestamptz[])
  returns void language plpgsql security definer set search_path = public, pg_temp set enable_seqscan = off
  set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
  news_domain integer[];
  news_local text[];
  news_yes timestamptz[];
  news_no timestamptz[];
  changed bigint[];
  changed_yes timestamptz[];
  changed_no timestamptz[];
  changeset bigint;
  full_domain integer;
begin
  insert into observation as o (day, domain_id, local_part, accepted, deliverable, refused, unknown, late, last_yes,
      last_no)
    select s.day, s.d, s.l, s.a, s.v, s.r, s.u, s.b, s.y, s.n
      from unnest(days, domains, locals, n_accepted, n_deliverable, n_refused, n_unknown, n_late, yes_at, no_at)
        with ordinality s (day, d, l, a, v, r, u, b, y, n, place)
      join domain x on x.id = s.d where s.l not like 'rollcall-probe-%'
      order by s.place
    on conflict (domain_id, local_part, day) do update set accepted = o.accepted + excluded.accepted,
      deliverable = o.deliverable + excluded.deliverable, refused = o.refused + excluded.refused,
      unknown = o.unknown + excluded.unknown, late = o.late + excluded.late,
      last_yes = greatest(o.last_yes, excluded.last_yes), last_no = greatest(o.last_no, excluded.last_no);

  -- The newest yes and no of each address, where they may change something. Most have been said before.
  with seen as (
    select d, l, max(y) as yes, max(n) as no from unnest(domains, locals, yes_at, no_at) t (d, l, y, n) group by d, l)
  select array_agg(s.d), array_agg(s.l), array_agg(s.yes), array_agg(s.no)
    into news_domain, news_local, news_yes, news_no
    from seen s
    left join recipient r on r.domain_id = s.d and r.local_part = s.l and r.state = 'active'
    left join refusal f on f.domain_id = s.d and f.local_part = s.l
    where s.no is not null or s.yes > f.refused_at or s.l like 'rollcall-probe-%'
      or r.id is not null and (s.yes > r.refused_at or r.verified_on is null
        or r.verified_on < (s.yes at time zone 'UTC')::date);
  if news_domain is null then
    return;
  end if;

  -- the probes for addresses that nobody has
  update domain_observation o set accepts_everything = s.yes is not null, probe_answered_at = coalesce(s.yes, s.no)
    from unnest(news_domain, news_local, news_yes, news_no) s (d, l, yes, no)
    where o.domain_id = s.d and o.probe = s.l and coalesce(s.yes, s.no) is not null;

  -- The newest word wins: of those on the roll. A yes is told at most once a day, a no at most once an hour.
  perform from domain where id = any (news_domain) order by id for share;
  with news as (
    select r.id, s.yes, case when s.no is null or s.yes > s.no then null else s.no end as no
      from unnest(news_domain, news_local, news_yes, news_no) s (d, l, yes, no)
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
  with news as (
    select s.d, s.l, case when s.yes > s.no or s.no is null then null else s.no end as no
      from unnest(news_domain, news_local, news_yes, news_no) s (d, l, yes, no)
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
    select distinct d from unnest(news_domain, news_no) t (d, n) where n is not null order by d
  loop
    delete from refusal f using (
        select local_part from refusal where domain_id = full_domain and refused_at is not null
          order by refused_at desc, local_part offset 100000) old
      where f.domain_id = full_domain and f.local_part = old.local_part;
  end loop;
end $$;
