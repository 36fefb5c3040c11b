-- 0030_sessions: who is signed in sees where else, and ends one of these sessions

-- The sessions of whoever has this one. What they are called here tells nothing of their cookies.
create function panel_sessions(digest bytea, idle interval)
  returns table (name text, is_this boolean, at_begun timestamptz, at_seen timestamptz, client text, agent text)
  language sql stable security definer set search_path = public, pg_temp as $$
  select substr(encode(sha256(s.digest), 'hex'), 1, 32), s.digest = mine.digest, s.created_at, s.seen_at, s.client, s.agent
    from session mine join session s on s.account_id = mine.account_id or s.user_id = mine.user_id
   where mine.digest = panel_sessions.digest and not mine.pending and not s.pending and s.ends_at > now()
     and s.seen_at > now() - idle
   order by s.digest <> mine.digest, s.seen_at desc limit 50
$$;

create function panel_session_end(digest bytea, name text) returns boolean
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  delete from session s using session mine
    where mine.digest = panel_session_end.digest and not mine.pending
      and (s.account_id = mine.account_id or s.user_id = mine.user_id)
      and substr(encode(sha256(s.digest), 'hex'), 1, 32) = panel_session_end.name;
  return found;
end $$;
