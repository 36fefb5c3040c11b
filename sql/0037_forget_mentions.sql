-- 0037_forget_mentions: a person who is forgotten is not named by what was asked for and done either

-- After user_forget, in its transaction: rows and columns that say the address without being about it alone. What somebody
-- asked for goes with the asking; where the row is others' too, or still to be carried out, only the name goes.
-- t/real/test_forget.py has the list of all columns and why the others say nothing.
create function user_forget_mentions(the_domain integer, the_local text) returns table (what text, traces bigint)
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  whole text := lower(the_local || '@' || (select d.name from domain d where d.id = the_domain));
  none constant text := '(forgotten)';
begin
  what := 'mentions';
  with asked as (delete from report_request q where lower(q.address) = whole returning 1),
    asked_by as (update report_request q set actor = none where lower(q.actor) = whole and lower(q.address) <> whole returning 1),
    tried as (delete from sign_in_attempt a where a.key = 'account:' || whole returning 1),
    did as (update audit a set actor = none where lower(a.actor) = whole returning 1),
    acted as (update quarantine_recipient q set state_by = none where lower(q.state_by) = whole returning 1),
    ruled as (update sender_rule s set actor = none where lower(s.actor) = whole returning 1),
    released as (update quarantine_request q set answer = case when strpos(lower(q.answer), whole) > 0 then none else q.answer end,
        actor = case when lower(q.actor) = whole then none else q.actor end
      where lower(q.actor) = whole or strpos(lower(q.answer), whole) > 0 returning 1),
    raw as (delete from quarantine_raw w using quarantine_request q, quarantine_recipient r
      where q.id = w.request_id and r.id = q.recipient_id and r.domain_id = the_domain and r.local_part = none returning 1),
    looked as (update ldap_request q set records = '', why = case when strpos(lower(q.why), whole) > 0 then none else q.why end
      where strpos(lower(q.records), whole) > 0 or strpos(lower(q.why), whole) > 0 returning 1),
    ran as (update ldap_run r set why = none where strpos(lower(r.why), whole) > 0 returning 1),
    told as (update ldap_notice n set why = none where strpos(lower(n.why), whole) > 0 returning 1)
  select (select count(*) from asked) + (select count(*) from asked_by) + (select count(*) from tried)
    + (select count(*) from did) + (select count(*) from acted) + (select count(*) from ruled)
    + (select count(*) from released) + (select count(*) from raw) + (select count(*) from looked) + (select count(*) from ran)
    + (select count(*) from told) into traces;
  return next;
end $$;
revoke execute on function user_forget_mentions(integer, text) from public;
