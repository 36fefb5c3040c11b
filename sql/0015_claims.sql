-- 0015_claims: who claims an address stands in its row; what a list has added is its own history until it is touched again
--
-- A first list wrote three rows for each address: the address, its claim, its line of the history. Two of them said
-- again what the first says. Now
--
--   * recipient.claims has the claims, in order, as the history writes them: 'manual', 'ldap:3', 'ldap:3!' when that
--     source says disabled. recipient_source is a view of it.
--   * recipient.born_by is the changeset that brought the address, as long as the row still is as that one left it. Whoever
--     changes it writes one line into change_line, which has the state before it anyway, and keeps born_by there. `change`
--     is a view that shows both: the lines, and what was born.
--   * changeset_domain has the domains that a changeset touched.

alter table change rename to change_line;
alter table change_line rename constraint change_pkey to change_line_pkey;
-- the changeset that added what was there before, when that has no line of its own
alter table change_line add column born_by bigint;
create index change_line_born_by on change_line (born_by) where born_by is not null;

alter table recipient add column claims text[] not null default '{}', add column born_by bigint;

create table changeset_domain (
  changeset_id bigint not null references changeset on delete cascade,
  domain_id integer not null,
  primary key (changeset_id, domain_id)
);
insert into changeset_domain select distinct c.id, h.domain_id from change_line h join changeset c on c.id = h.changeset_id;

-- every row is written anew, but is not changed: nobody need follow that
alter table recipient disable trigger user;
update recipient r set claims = s.claims
  from (select recipient_id, array_agg(roll_claim(source, source_id, disabled)
          order by roll_claim(source, source_id, disabled) collate "C") as claims
          from recipient_source group by recipient_id) s where s.recipient_id = r.id;
alter table recipient enable trigger user;
alter table recipient add check (state <> 'removed' or claims = '{}');

drop table recipient_source;
drop function roll_check_claim();
create or replace function roll_claims(recipient bigint) returns text[] language sql stable as $$
  select r.claims from public.recipient r where r.id = recipient
$$;
create view recipient_source with (security_invoker = true) as
  select r.id as recipient_id, split_part(rtrim(c, '!'), ':', 1)::source_kind as source,
         coalesce(nullif(split_part(rtrim(c, '!'), ':', 2), '')::integer, 0) as source_id, right(c, 1) = '!' as disabled
    from recipient r cross join unnest(r.claims) c;

-- What was born and touched by nobody is found by changed_by; what only observation has touched since, by this.
create index recipient_born_by on recipient (born_by) where born_by <> changed_by;

-- What a changeset did to an address; null before: it was not there; null after: it left.
create view change with (security_invoker = true) as
  select changeset_id, domain_id, local_part, before_user, before_kind, before_state, before_person, before_claims,
         after_user, after_kind, after_state, after_person, after_claims from change_line
  union all
  select born_by, domain_id, local_part, null, null, null, null, null,
         before_user, before_kind, before_state, before_person, before_claims from change_line where born_by is not null
  union all
  select born_by, domain_id, local_part, null, null, null, null, null,
         user_id, kind, state, disabled_by_person, claims from recipient where born_by = changed_by
  union all
  select born_by, domain_id, local_part, null, null, null, null, null,
         user_id, kind, state, disabled_by_person, claims from recipient where born_by <> changed_by;

-- Who changes a row by hand need not know of all that: what it was born as becomes a line.
create function recipient_grows() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  insert into change_line (changeset_id, domain_id, local_part, after_user, after_kind, after_state, after_person, after_claims)
    values (old.born_by, old.domain_id, old.local_part, old.user_id, old.kind, old.state, old.disabled_by_person, old.claims);
  new.born_by := null;
  return new;
end $$;
create trigger recipient_grows before update on recipient for each row
  when (old.born_by = new.born_by and (old.user_id, old.kind, old.state, old.disabled_by_person, old.claims)
    is distinct from (new.user_id, new.kind, new.state, new.disabled_by_person, new.claims))
  execute function recipient_grows();

do $$
begin
  alter table changeset_domain enable row level security;
  create policy everybody on changeset_domain using (true) with check (true);
  create policy panel on changeset_domain as restrictive to rollcall_panel
    using ((select panel_customer()) = 0 or domain_id in (select id from domain));
end $$;

-- Both views say what the tables behind them have. Forgetting an address takes its lines; claims are written in the row.
create function change_forgotten() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  delete from change_line where domain_id = old.domain_id and local_part = old.local_part;
  return old;
end $$;
create trigger change_forgotten instead of delete on change for each row execute function change_forgotten();
create function recipient_source_reads() returns trigger language plpgsql as $$
begin
  raise exception 'recipient_source is read only' using errcode = 'RC001', hint = 'set recipient.claims inside a changeset';
end $$;
create trigger recipient_source_reads instead of insert or update or delete on recipient_source for each row
  execute function recipient_source_reads();
