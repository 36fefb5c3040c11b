-- 0007_forget: a person asks to be forgotten

-- Erases what is known of one address that is not on the roll any more, and of the users who had only that; one row for
-- each kind of trace. The history keeps its changesets, without their lines about this address, so that undoing them does
-- not bring it back. A gateway that has not heard of the removal would never hear of it: then it is refused.
create function user_forget(the_domain integer, the_local text, live interval, by_actor text)
  returns table (what text, traces bigint) language plpgsql security definer set search_path = public, pg_temp as $$
declare
  mine recipient;
  removed_at_version bigint;
  had bigint[];
  gone bigint[];
  whole text;
  messages bigint[];
begin
  perform from roll_clock for update;
  select r.* into mine from recipient r where r.domain_id = the_domain and r.local_part = the_local for update;
  select c.version into removed_at_version from changeset c where c.id = mine.changed_by;
  if mine.state <> 'removed' then
    raise exception 'the address is on the roll' using errcode = 'RC003', hint = 'rollcall user remove';
  end if;
  if exists (select from gateway g where g.seen_at > now() - live and g.version < removed_at_version) then
    raise exception 'not every gateway has heard of the removal' using errcode = '55000', hint = 'try again in a moment';
  end if;
  select the_local || '@' || d.name into whole from domain d where d.id = the_domain;
  select coalesce(array_agg(distinct u), '{}') into had
    from change c cross join lateral unnest(array[c.before_user, c.after_user]) u
    where c.domain_id = the_domain and c.local_part = the_local and u is not null;

  what := 'tombstone';
  perform set_config('rollcall.purge', 'on', true);
  delete from recipient_source s where s.recipient_id = mine.id;
  delete from recipient r where r.id = mine.id;
  get diagnostics traces = row_count;
  if traces > 0 then
    update roll_clock set purged_version = greatest(purged_version, removed_at_version);
  end if;
  return next;

  what := 'history';
  with held as (delete from held_entry h where h.domain_id = the_domain and h.local_part = the_local returning 1),
    told as (delete from change c where c.domain_id = the_domain and c.local_part = the_local returning 1)
  select (select count(*) from held) + (select count(*) from told) into traces;
  return next;

  what := 'users';
  select coalesce(array_agg(u.id), '{}') into gone from users u
    where u.id = any (had) and not u.live and not exists (select from recipient r where r.user_id = u.id)
      and not exists (select from change c where u.id in (c.before_user, c.after_user));
  delete from user_change c where c.user_id = any (gone);
  delete from ldap_user l where l.user_id = any (gone);
  delete from token t where t.purpose in ('confirm', 'password') and t.subject = any (gone);
  delete from report_run r where r.user_id = any (gone);
  delete from users u where u.id = any (gone);
  get diagnostics traces = row_count;
  return next;

  what := 'observations';
  with seen as (delete from observation o where o.domain_id = the_domain and o.local_part = the_local returning 1),
    refused as (delete from refusal f where f.domain_id = the_domain and f.local_part = the_local returning 1)
  select (select count(*) from seen) + (select count(*) from refused) into traces;
  return next;

  -- the gateways delete the files, then the rows; a message that others have too stays theirs
  what := 'quarantined';
  with theirs as (
    update quarantine_recipient q set state = 'deleted', state_at = now(), state_by = by_actor, user_id = null,
        address = '(forgotten ' || q.id || ')', local_part = '(forgotten)'
      where q.domain_id = the_domain and q.local_part = the_local returning q.message_id)
  select coalesce(array_agg(message_id), '{}'), count(*) into messages, traces from theirs;
  perform quarantine_drop(messages);
  return next;

  what := 'mails';
  with sent as (delete from outbox o where lower(o.envelope_to) = lower(whole) returning 1),
    asked as (delete from mail_request m where lower(m.address) = lower(whole) returning 1)
  select (select count(*) from sent) + (select count(*) from asked) into traces;
  return next;

  what := 'audit';
  update audit a set object = '(forgotten)', detail = '{}' where lower(a.object) = lower(whole);
  get diagnostics traces = row_count;
  insert into audit (actor, program, action, object) values (by_actor, 'rollcall', 'user forget',
    (select name from domain where id = the_domain));
  return next;
end $$;
revoke execute on function user_forget(integer, text, interval, text) from public;
