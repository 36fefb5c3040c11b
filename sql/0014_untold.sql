-- 0014_untold: whom a held message has still to be told to, as rows of their own
--
-- A mark in quarantine_recipient cost a new version of the row and an entry in each of its indexes, for each message of
-- each report. A row here is narrow and goes with one deletion; what a report told of stands in the report. Both change
-- in one statement, so a message is in exactly one report, or still here.

-- Messages that their user has not been told of; and that the domain's contact has not, where there is one.
create table quarantine_unreported (
  user_id bigint not null,
  recipient_id bigint not null, -- of quarantine_recipient
  received_at timestamptz not null, -- the message's, as the next two: who is due is found out from here alone
  category quarantine_category not null,
  listed boolean not null, -- a block list has its sender
  primary key (user_id, recipient_id)
);
create table quarantine_uncounted (
  domain_id integer not null,
  recipient_id bigint not null,
  received_at timestamptz not null,
  category quarantine_category not null,
  listed boolean not null,
  primary key (domain_id, recipient_id)
);
insert into quarantine_unreported select user_id, id, received_at, category, listed is not null from quarantine_recipient
  where reported_in is null and user_id is not null and state = 'held';
insert into quarantine_uncounted select domain_id, id, received_at, category, listed is not null from quarantine_recipient
  where counted_in is null and state = 'held';

-- Which messages (quarantine_recipient) a report took: those that it tells of, and those of categories that were off.
alter table report_run add column messages bigint[] not null default '{}';
alter table report_run alter column messages set compression lz4;
alter table report_run set (fillfactor = 50); -- a row is written, then once more with what it lists
update report_run r set messages = coalesce(case when r.user_id is null
    then (select array_agg(q.id order by q.id) from quarantine_recipient q where q.domain_id = r.domain_id and q.counted_in = r.id)
    else (select array_agg(q.id order by q.id) from quarantine_recipient q where q.user_id = r.user_id and q.reported_in = r.id)
  end, '{}') where not again;
alter table quarantine_recipient drop column reported_in, drop column counted_in;

-- What becomes held, by the intake or because its release failed, is to be told.
create function quarantine_becomes_held() returns trigger language plpgsql as $$
begin
  if new.user_id is not null then
    insert into quarantine_unreported values (new.user_id, new.id, new.received_at, new.category, new.listed is not null)
      on conflict do nothing;
  end if;
  insert into quarantine_uncounted values (new.domain_id, new.id, new.received_at, new.category, new.listed is not null)
    on conflict do nothing;
  return null;
end $$;
create trigger quarantine_recipient_held after insert on quarantine_recipient for each row
  when (new.state = 'held') execute function quarantine_becomes_held();
create trigger quarantine_recipient_held_again after update of state on quarantine_recipient for each row
  when (old.state = 'allowed' and new.state = 'held') execute function quarantine_becomes_held();

-- What is gone is told to nobody. (What was released or deleted is passed over and taken out by the next report.)
create function quarantine_is_gone() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  delete from quarantine_unreported u using gone g where u.user_id = g.user_id and u.recipient_id = g.id;
  delete from quarantine_uncounted u using gone g where u.domain_id = g.domain_id and u.recipient_id = g.id;
  return null;
end $$;
create trigger quarantine_recipient_gone after delete on quarantine_recipient referencing old table as gone
  for each statement execute function quarantine_is_gone();
create function quarantine_changes_hands() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  delete from quarantine_unreported u where u.user_id = old.user_id and u.recipient_id = old.id;
  return null;
end $$;
create trigger quarantine_recipient_user after update of user_id on quarantine_recipient for each row
  when (old.user_id is distinct from new.user_id) execute function quarantine_changes_hands();

-- A report that is given up was none: its messages come with the next one.
create or replace function outbox_gives_up() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  r report_run;
begin
  select * into r from report_run where id = new.report_id and not again;
  if r.user_id is not null then
    insert into quarantine_unreported
      select q.user_id, q.id, q.received_at, q.category, q.listed is not null from quarantine_recipient q
        where q.id = any (r.messages) and q.user_id = r.user_id and q.state = 'held'
      on conflict do nothing;
  else
    insert into quarantine_uncounted
      select q.domain_id, q.id, q.received_at, q.category, q.listed is not null from quarantine_recipient q
        where q.id = any (r.messages) and q.domain_id = r.domain_id and q.state = 'held'
      on conflict do nothing;
  end if;
  update report_run set messages = '{}' where id = r.id;
  return null;
end $$;

revoke execute on function quarantine_is_gone(), quarantine_changes_hands() from public;
