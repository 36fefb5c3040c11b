-- 0027_checked: the one door's own statements are not read through once more
--
-- lib/roll sets changed_by by itself and holds the domains locked when it commits: for a hundred thousand addresses the
-- pass over what was touched is a tenth of a second that finds nothing. Everybody else's statements are looked at as before.
create or replace function roll_check_recipient() returns trigger language plpgsql as $$
declare
  foreign_changeset boolean;
  bad text;
begin
  if roll_is_checked() then
    perform roll_changeset(); -- there is one
    return null;
  end if;
  -- one pass over what was touched, however much that is
  execute 'select bool_or(t.foreign_changeset),
             min(coalesce(d.name, t.domain_id::text)) filter (where d.id is null
               or ((d.alias_of is not null or d.state = ''removed'') and t.present))
           from (select domain_id, bool_or(changed_by is distinct from $1) as foreign_changeset,
                   bool_or(state <> ''removed'') as present
                   from touched group by domain_id) t left join domain d on d.id = t.domain_id'
    into foreign_changeset, bad using roll_changeset();
  if foreign_changeset then
    raise exception 'recipient: changed_by must be the current changeset'
      using errcode = 'RC001', hint = 'set changed_by = roll_changeset()';
  end if;
  if bad is not null then
    raise exception 'recipient: its domain % is absent, removed or an alias', bad using errcode = 'foreign_key_violation';
  end if;
  execute 'select t.local_part from touched t left join users u on u.id = t.user_id
           where t.user_id is not null and u.id is null limit 1' into bad;
  if bad is not null then
    raise exception 'recipient %: its user is absent', bad using errcode = 'foreign_key_violation';
  end if;
  return null;
end $$;
