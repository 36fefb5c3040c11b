-- 0012_sender_clock: gateways may refuse blocked senders at RCPT
--
-- They keep all rules in memory and read them anew when this number is another one; it is part of what they ask about
-- the roll anyway. As with roll_clock the number is taken last, so that it becomes visible with the rules; the row is
-- locked only from then until the commit is done.

create table sender_clock (
  single boolean primary key default true check (single),
  version bigint not null default 0 check (version >= 0)
);
insert into sender_clock default values;

create function sender_rule_tick() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  -- once in a transaction, whatever it changes
  if current_setting('rollcall.sender_tick', true) is distinct from pg_current_xact_id()::text then
    perform set_config('rollcall.sender_tick', pg_current_xact_id()::text, true);
    update sender_clock set version = version + 1;
    perform pg_notify('rollcall', 'senders');
  end if;
  return null;
end $$;
create constraint trigger sender_rule_tick after insert or update or delete on sender_rule
  deferrable initially deferred for each row execute function sender_rule_tick();
