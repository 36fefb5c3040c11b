-- 0024_retention: what has been kept long enough goes, and a person is forgotten without getting in anybody's way

-- Observations and the audit older than that; an interval of 0 keeps them for ever. How many went.
create function forget_old(observations interval, audits interval) returns table (what text, gone bigint)
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  what := 'observations';
  delete from observation where observations > interval '0' and day < (now() at time zone 'UTC')::date - observations;
  get diagnostics gone = row_count;
  return next;
  what := 'audit';
  delete from audit where audits > interval '0' and at < now() - audits;
  get diagnostics gone = row_count;
  return next;
end $$;
revoke execute on function forget_old(interval, interval) from public;

-- Before user_forget, for all addresses of its transaction: everything that others change before they take their version
-- from roll_clock, in the order in which they do, and roll_clock last, as they do. What `rollcall-observe collect` adds
-- comes in an order of its own, rows that are not there yet included: it holds this lock as one of many (SQL_OBSERVING).
create function user_forget_lock(domains integer[], locals text[]) returns void
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  perform pg_advisory_xact_lock(x'726f6c6c'::int, x'6f627365'::int);
  perform from recipient r join unnest(domains, locals) a (d, l) on r.domain_id = a.d and r.local_part = a.l
    order by r.domain_id, r.local_part for update of r;
  perform from refusal f join unnest(domains, locals) a (d, l) on f.domain_id = a.d and f.local_part = a.l
    order by f.domain_id, f.local_part for update of f;
  perform from observation o join unnest(domains, locals) a (d, l) on o.domain_id = a.d and o.local_part = a.l
    order by o.domain_id, o.local_part, o.day for update of o;
  perform from roll_clock for update;
end $$;
revoke execute on function user_forget_lock(integer[], text[]) from public;
