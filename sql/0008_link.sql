-- 0008_link: what the signed links of reports open
--
-- The panel checks the signature and asks here with what it says: a message as one user has it. Whoever opens a link is
-- signed in to nothing, so row-level security shows the panel no row; these functions show and change exactly what the
-- link names, and only while its user can get mail.

-- A time where the user lives; a zone that this server does not know is GMT.
create function link_time(at timestamptz, zone text) returns text language plpgsql stable as $$
begin
  return to_char(at at time zone zone, 'YYYY-MM-DD HH24:MI:SS ') || zone;
exception when invalid_parameter_value then
  return to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS ') || 'UTC';
end $$;

create function link_user(whose bigint, out address text, out enabled boolean)
  language sql stable security definer set search_path = public, pg_temp as $$
  select v.local_part || '@' || v.domain, v.enabled from report_user v where v.user_id = whose
$$;

create function link_message(the_recipient bigint, whose bigint, default_zone text)
  returns table (at_received text, address text, subject text, from_text text, sender text, category text, reason text,
    score text, state text, at_state text, is_held boolean, is_lost boolean, n_size bigint, headers text, preview text,
    is_trusting boolean)
  language sql stable security definer set search_path = public, pg_temp as $$
  select link_time(q.received_at, coalesce(v.zone, default_zone)), q.address, m.subject, m.from_text, m.sender,
    q.category::text, m.reason, coalesce(round(m.score::numeric, 1)::text, ''),
    s.state, link_time(q.state_at, coalesce(v.zone, default_zone)),
    s.state = 'held' and m.lost_at is null, m.lost_at is not null, m.size,
    case when q.state = 'deleted' then '' else m.headers end, case when q.state = 'deleted' then '' else m.preview end,
    v.sender_links and m.from_address <> ''
  from quarantine_recipient q
    join quarantine_message m on m.id = q.message_id
    join report_user v on v.user_id = q.user_id
    cross join lateral (select case when q.state = 'held' and exists (select from quarantine_request r
      where r.recipient_id = q.id and r.action = 'release' and r.state = 'waiting') then 'allowed'
      else q.state::text end as state) s
  where q.id = the_recipient and q.user_id = whose
$$;

-- What is held for a user, the newest first; `before`: the last number of the page before, or null.
create function link_messages(whose bigint, before bigint, most integer, default_zone text)
  returns table (id bigint, at_received text, subject text, sender text, category text, score text, listed text)
  language sql stable security definer set search_path = public, pg_temp as $$
  select q.id, link_time(q.received_at, coalesce(v.zone, default_zone)), m.subject,
    coalesce(nullif(m.from_text, ''), nullif(m.sender, ''), '<>'), q.category::text,
    coalesce(round(m.score::numeric, 1)::text, ''), coalesce(q.listed, '')
  from report_user v
    join quarantine_recipient q on q.user_id = v.user_id
    join quarantine_message m on m.id = q.message_id
  where v.user_id = whose and q.state = 'held' and (before is null or (q.received_at, q.id)
      < (select b.received_at, b.id from quarantine_recipient b where b.id = before and b.user_id = whose))
  order by q.received_at desc, q.id desc limit most
$$;

-- Does what a link permits: 'release', or 'allow' or 'block' the sender and release or delete the message, if it is
-- still held. Null: there is no such message, or it is not permitted (any more). Else as quarantine_ask, or
--   ruled      the sender is allowed or blocked; the message was no longer held
create function link_act(the_recipient bigint, whose bigint, act text) returns text
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  mine record;
  result text;
begin
  select q.state, m.from_address, v.sender_links, v.local_part || '@' || v.domain || ' (link)' as actor into mine
    from quarantine_recipient q
      join quarantine_message m on m.id = q.message_id
      join report_user v on v.user_id = q.user_id
    where q.id = the_recipient and q.user_id = whose for update of q;
  if not found or act not in ('release', 'allow', 'block')
    or act <> 'release' and (not mine.sender_links or mine.from_address = '') then
    return null;
  end if;
  if act <> 'release' then
    insert into sender_rule as s (user_id, action, pattern, actor)
      values (whose, act::rule_action, mine.from_address, left(mine.actor, 200))
      on conflict (user_id, pattern) where user_id is not null
      do update set action = excluded.action, actor = excluded.actor, created_at = now() where s.action <> excluded.action;
    if mine.state <> 'held' then
      return 'ruled';
    end if;
  end if;
  select a.outcome into result from quarantine_ask(array[the_recipient],
    case act when 'block' then 'delete' else 'release' end, left(mine.actor, 330)) a;
  return result;
end $$;

-- Turns a user's reports off, or on again as far as that is the user's to say; false: there is no such user.
create function link_reports(whose bigint, wanted boolean) returns boolean
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  if wanted then
    update report_setting set enabled = null where user_id = whose and not enabled;
    return exists (select from report_user v where v.user_id = whose);
  end if;
  insert into report_setting (customer_id, user_id, enabled)
    select v.customer_id, v.user_id, false from report_user v where v.user_id = whose
    on conflict (user_id) where user_id is not null do update set enabled = false;
  return found;
end $$;

revoke execute on function link_user(bigint), link_message(bigint, bigint, text),
  link_messages(bigint, bigint, integer, text), link_act(bigint, bigint, text), link_reports(bigint, boolean) from public;
