-- 0034_credential_change: whoever's password or second factor changes is told by mail
--
-- The change leaves a line in its own transaction, whoever makes it and by whatever program; rollcall-report send makes
-- the mail of it, and takes the line away in the transaction that puts the mail into the outbox.

alter table outbox drop constraint outbox_kind_check,
  add check (kind in ('report', 'central', 'confirm', 'password', 'directory', 'notice', 'changed'));

create table credential_change (
  id bigint generated always as identity primary key,
  user_id bigint references users on delete cascade,
  account_id integer references account on delete cascade,
  login text not null default '', -- of an account; a user's is the address
  customer_id integer,
  language text not null default '', -- of an account
  what text not null check (what in ('password', 'second-on', 'second-off')),
  client text not null, -- the address from which the panel was asked; empty: no browser did it
  made_at timestamptz not null default now(),
  check ((user_id is null) <> (account_id is null))
);
create index credential_change_user on credential_change (user_id);
create index credential_change_account on credential_change (account_id);

create function credential_changed() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  from_client text := left(coalesce(current_setting('rollcall.client', true), ''), 64);
begin
  if tg_table_name = 'user_password' then
    insert into credential_change (user_id, what, client) values (new.user_id, 'password', from_client);
  else
    insert into credential_change (account_id, login, customer_id, language, what, client)
      select new.id, new.login, new.customer_id, new.language, c.what, from_client
        from (values ('password', new.password is distinct from old.password),
                     ('second-on', new.second_factor is not null and new.second_factor is distinct from old.second_factor),
                     ('second-off', new.second_factor is null and old.second_factor is not null)) c (what, has)
        where c.has;
  end if;
  perform pg_notify('rollcall_outbox', '');
  return null;
end $$;

-- Not the same password under newer parameters (changed_at stays), and not one that comes by mail: that mail tells.
create trigger user_password_set after insert on user_password for each row
  when (new.hash is not null and not new.must_change) execute function credential_changed();
create trigger user_password_changed after update of hash on user_password for each row
  when (new.hash is not null and not new.must_change and new.changed_at is distinct from old.changed_at)
  execute function credential_changed();
create trigger account_credential_changed after update of password, second_factor on account for each row
  when (new.password is distinct from old.password or new.second_factor is distinct from old.second_factor)
  execute function credential_changed();
