-- 0023_taste: users see times in the zone of their reports, and words in the language of these
--
-- An account has both of its own; a user's are where the reports' are: the user's, the domain's, the customer's.

create or replace function panel_session(digest bytea, idle interval)
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
         coalesce(a.customer_id, u.customer_id) as customer_id, coalesce(a.must_change, w.must_change, false) as must_change,
         a.second_factor is not null as second_factor,
         coalesce(a.language, o.language, i.language, k.language, '') as language,
         coalesce(a.time_zone, o.zone, i.zone, k.zone, '') as time_zone
    into s
    from session
    left join account a on a.id = session.account_id and a.state = 'active'
    left join users u on u.id = session.user_id and u.live
    left join recipient p on p.user_id = u.id and p.kind = 'primary' and p.state = 'active'
    left join domain d on d.id = p.domain_id
    left join user_password w on w.user_id = u.id and not exists (select from ldap_user l where l.user_id = u.id)
    left join report_setting o on o.user_id = u.id
    left join report_setting i on u.id is not null and i.domain_id = p.domain_id
    left join report_setting k on u.id is not null and k.customer_id = u.customer_id and k.domain_id is null
      and k.user_id is null
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
      begin
        perform set_config('TimeZone', s.time_zone, false);
      exception when invalid_parameter_value then -- a zone that PostgreSQL does not know keeps nobody out
        s.time_zone := '';
      end;
    end if;
  end if;
  return query select s.account_id, s.user_id, s.login, s.role, s.customer_id,
    coalesce((select c.name from customer c where c.id = s.customer_id), ''), s.pending, s.must_change,
    s.second_factor, s.language, s.time_zone;
end $$;
