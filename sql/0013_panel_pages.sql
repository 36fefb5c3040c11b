-- 0013_panel_pages: quick pages where much is held and searched

-- A customer's messages, in the order of its pages.
create index quarantine_recipient_customer on quarantine_recipient (customer_id, received_at desc, id desc);

-- Smaller looks than in 0009: in the order of addresses the names of users lie anywhere on disk.
create or replace function panel_search_rare(domain integer, pattern text, run text, begins text, mark text, most integer,
                                  out ids bigint[], out keys text[])
  language plpgsql volatile set search_path = public, pg_temp
  set enable_seqscan = off set enable_indexscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  addresses constant integer := 10000; -- of all customers: so many are fetched in some 7 ms
  names constant integer := 2500;
  seen bigint;
  name_ids bigint[];
  name_keys text[];
begin
  select count(*),
         (array_agg(f.id order by f.local_part) filter (where f.fits))[:most],
         (array_agg(f.local_part order by f.local_part) filter (where f.fits))[:most]
    into seen, ids, keys
    from (select r.id, r.local_part, r.domain_id = panel_search_rare.domain and r.local_part > mark
                   and not starts_with(r.local_part, begins) and r.local_part ilike pattern as fits
            from recipient r where r.state <> 'removed' and r.local_part ilike run limit addresses + 1) f;
  if seen > addresses then
    ids := null; keys := null;
    return;
  end if;
  select count(*), array_agg(r.id), array_agg(r.local_part) into seen, name_ids, name_keys
    from (select u.id from users u
            where u.name <> '' and u.name ilike run and u.name ilike pattern limit names + 1) u
    left join recipient r on r.user_id = u.id and r.kind = 'primary' and r.domain_id = panel_search_rare.domain
      and r.local_part > mark and not starts_with(r.local_part, begins);
  if seen > names then
    ids := null; keys := null;
    return;
  end if;
  select coalesce(array_agg(f.id order by f.key), '{}'), coalesce(array_agg(f.key order by f.key), '{}') into ids, keys
    from (select distinct on (key) id, key from unnest(ids || name_ids, keys || name_keys) a (id, key)
           where id is not null order by key limit most) f;
end $$;

-- Addresses of a domain with that fragment in them or in their user's name, behind `after`: first those that begin with
-- it, then the others, each in order. A last row without an id: the search has got there, and found no more so far.
create or replace function panel_search(domain integer, fragment text, after text, most integer)
  returns table (id bigint, local_part text)
  language plpgsql volatile security definer set search_path = public, pg_temp
  set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
  look integer := 250;       -- addresses at a time, for the first time
  look_most constant integer := 1000;
  patience constant interval := coalesce(nullif(current_setting('rollcall.search_patience', true), ''), '12 ms')::interval;
  soon constant integer := 4000; -- addresses: nearer than that the page is filled by walking
  begun constant timestamptz := clock_timestamp();
  tenant constant integer := nullif(current_setting('rollcall.customer', true), '')::integer;
  literal constant text := replace(replace(replace(fragment, '\', '\\'), '%', '\%'), '_', '\_');
  pattern constant text := '%' || literal || '%';
  run constant text := (select '%' || w[1] || '%' from regexp_matches(fragment, '[[:alnum:]]{3,}', 'g') w
                         order by length(w[1]) desc limit 1);
  begins constant text := lower(fragment);
  last constant text := begins || repeat(U&'\+10FFFF', 16); -- 64 octets: nothing that begins so is behind it
  mark text := after;
  wanted bigint := most;
  asked boolean := run is null; -- of the trigram index
  ids bigint[];
  keys text[];
  got bigint;
begin
  if tenant is null or not exists (select from domain d where d.id = panel_search.domain
                                     and (tenant = 0 or d.customer_id = tenant)) then
    return;
  end if;
  if after = '' or starts_with(after, begins) then
    return query select r.id, r.local_part from recipient r
      where r.domain_id = panel_search.domain and r.state <> 'removed' and r.local_part > after
        and r.local_part between begins and last and starts_with(r.local_part, begins) order by r.local_part limit most;
    get diagnostics got = row_count;
    wanted := wanted - got;
    mark := '';
  end if;
  while wanted > 0 loop
    select count(*), max(w.local_part),
           array_agg(w.id order by w.local_part) filter (where w.fits or u.id is not null),
           array_agg(w.local_part order by w.local_part) filter (where w.fits or u.id is not null)
      into got, mark, ids, keys
      from (select r.id, r.local_part, r.user_id, r.kind, r.local_part ilike pattern as fits from recipient r
             where r.domain_id = panel_search.domain and r.state <> 'removed' and r.local_part > mark
               and not starts_with(r.local_part, begins)
             order by r.local_part limit look) w
      left join users u on u.id = w.user_id and w.kind = 'primary' and not w.fits and u.name ilike pattern;
    return query select * from unnest(ids[:wanted], keys[:wanted]);
    wanted := wanted - coalesce(cardinality(ids), 0);
    exit when got < look or wanted <= 0;
    if not asked and wanted * look > soon * coalesce(cardinality(ids), 0) then
      asked := true;
      select r.ids, r.keys into ids, keys
        from panel_search_rare(panel_search.domain, pattern, run, begins, mark, wanted::integer) r;
      if ids is not null then
        return query select * from unnest(ids, keys);
        exit;
      end if;
    end if;
    if clock_timestamp() - begun > patience then
      return query select null::bigint, mark;
      exit;
    end if;
    look := least(look * 2, look_most);
  end loop;
end $$;
