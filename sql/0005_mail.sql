-- 0005_mail: what Rollcall writes to users: report settings, reports, the outbox, tokens, passwords
--
-- The panel reaches tokens and passwords only through the functions below, and learns from none of them whether an
-- address exists: it leaves a request, and the sender (rollcall-report send) finds out whose it is. Whoever may read
-- this database finds hashes; the mails that carry a live token or password are sealed in the outbox under a key that
-- is not in the database, and erased once they are sent.

-- ---------------------------------------------------------------- report settings

-- A customer's, a domain's or a user's own; null: as the next above, at last the preset of view report_user.
create table report_setting (
  id bigint generated always as identity primary key,
  customer_id integer not null references customer on delete cascade,
  domain_id integer references domain on delete cascade,
  user_id bigint references users on delete cascade,
  enabled boolean,          -- users get reports
  users_choose boolean,     -- users may set these rows of their own
  days smallint check (days between 1 and 127),       -- bit 0: Monday
  hours integer check (hours between 1 and 16777215), -- bit h: at h o'clock
  zone text check (zone ~ '^[A-Za-z0-9_+/-]{1,64}$'), -- of the system's tzdata
  language text check (language in ('en', 'de', 'fr', 'es')),
  categories text[] check (cardinality(categories) between 1 and 4
    and categories <@ array['spam', 'bulk', 'virus', 'content']),
  block_list boolean,       -- also what the block lists caught
  sender_links boolean,     -- with links to allow and block the sender
  central_contact text check (length(central_contact) <= 320), -- gets the accumulative report; '': none
  brand_name text check (length(brand_name) <= 100 and brand_name !~ '[[:cntrl:]]'),
  brand_colour text check (brand_colour ~ '^#[0-9a-f]{6}$'),
  brand_logo text check (brand_logo ~ '^(https://[!-~]+)?$' and length(brand_logo) <= 500),
  brand_footer text check (length(brand_footer) <= 1000),
  check (domain_id is null or user_id is null),
  check (user_id is null or (users_choose is null and central_contact is null and brand_name is null
    and brand_colour is null and brand_logo is null and brand_footer is null)),
  unique nulls not distinct (customer_id, domain_id, user_id)
);
create unique index report_setting_domain on report_setting (domain_id) where domain_id is not null;
create unique index report_setting_user on report_setting (user_id) where user_id is not null;

-- A domain or a user that changes hands takes its settings along.
create function report_setting_follows() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  if tg_table_name = 'domain' then
    update report_setting set customer_id = new.customer_id where domain_id = new.id;
  else
    update report_setting set customer_id = new.customer_id where user_id = new.id;
  end if;
  return null;
end $$;
create trigger domain_report_setting after update of customer_id on domain for each row
  when (new.customer_id is not null and new.customer_id is distinct from old.customer_id)
  execute function report_setting_follows();
create trigger users_report_setting after update of customer_id on users for each row
  when (new.customer_id is distinct from old.customer_id) execute function report_setting_follows();

-- Every user who can get mail, with the settings in force. zone and language null: as rollcall.conf says.
create view report_user with (security_invoker = true) as
  select u.id as user_id, u.name, u.customer_id, d.id as domain_id, d.name as domain, r.local_part,
    coalesce(o.enabled, s.enabled, c.enabled, true) and o.enabled is distinct from false as enabled,
    coalesce(s.users_choose, c.users_choose, true) as users_choose,
    coalesce(o.days, s.days, c.days, 127) as days,
    coalesce(o.hours, s.hours, c.hours, 128) as hours,
    coalesce(o.zone, s.zone, c.zone) as zone,
    coalesce(o.language, s.language, c.language) as language,
    coalesce(o.categories, s.categories, c.categories, array['spam', 'bulk', 'virus', 'content']) as categories,
    coalesce(o.block_list, s.block_list, c.block_list, true) as block_list,
    coalesce(o.sender_links, s.sender_links, c.sender_links, true) as sender_links,
    coalesce(s.brand_name, c.brand_name, '') as brand_name,
    coalesce(s.brand_colour, c.brand_colour, '#1f4e79') as brand_colour,
    coalesce(s.brand_logo, c.brand_logo, '') as brand_logo,
    coalesce(s.brand_footer, c.brand_footer, '') as brand_footer
  from users u
  join recipient r on r.user_id = u.id and r.kind = 'primary' and r.state = 'active'
  join domain d on d.id = r.domain_id and d.state = 'active'
  left join report_setting c on c.customer_id = u.customer_id and c.domain_id is null and c.user_id is null
  left join report_setting s on s.domain_id = d.id
  left join lateral (
    -- what a user may not choose counts no more, except that reports stay off for who has turned them off
    select w.enabled, p.days, p.hours, p.zone, p.language, p.categories, p.block_list, p.sender_links
      from report_setting w left join report_setting p on p.id = w.id and coalesce(s.users_choose, c.users_choose, true)
      where w.user_id = u.id) o on true;

-- Every domain with a contact who gets the accumulative report.
create view report_domain with (security_invoker = true) as
  select d.id as domain_id, d.customer_id, d.name as domain, coalesce(s.central_contact, c.central_contact) as contact,
    coalesce(s.days, c.days, 127) as days,
    coalesce(s.hours, c.hours, 128) as hours,
    coalesce(s.zone, c.zone) as zone,
    coalesce(s.language, c.language) as language,
    coalesce(s.categories, c.categories, array['spam', 'bulk', 'virus', 'content']) as categories,
    coalesce(s.block_list, c.block_list, true) as block_list,
    coalesce(s.brand_name, c.brand_name, '') as brand_name,
    coalesce(s.brand_colour, c.brand_colour, '#1f4e79') as brand_colour,
    coalesce(s.brand_logo, c.brand_logo, '') as brand_logo,
    coalesce(s.brand_footer, c.brand_footer, '') as brand_footer
  from domain d
  left join report_setting c on c.customer_id = d.customer_id and c.domain_id is null and c.user_id is null
  left join report_setting s on s.domain_id = d.id
  where d.state = 'active' and coalesce(s.central_contact, c.central_contact, '') <> '';

-- ---------------------------------------------------------------- reports, and everything that is to be sent

-- A report that was made. The messages in it point here.
create table report_run (
  id bigint generated always as identity primary key,
  customer_id integer not null,
  domain_id integer not null,
  user_id bigint,            -- null: the domain's accumulative report
  slot timestamptz not null, -- the time it was due
  again boolean not null default false, -- sent again by hand, or as a try
  listed integer not null check (listed >= 0),
  made_at timestamptz not null default now() -- when it was handed over, its row in the outbox tells
);
-- Never the same report twice, whoever makes it.
create unique index report_run_user on report_run (user_id, slot) where user_id is not null and not again;
create unique index report_run_domain on report_run (domain_id, slot) where user_id is null and not again;
create index report_run_made on report_run (made_at);

-- In which report a user, and in which accumulative one the domain's contact, was told of a message.
alter table quarantine_recipient add column reported_in bigint, add column counted_in bigint;
create index quarantine_recipient_unreported on quarantine_recipient (user_id, received_at)
  where reported_in is null and user_id is not null;
create index quarantine_recipient_uncounted on quarantine_recipient (domain_id, received_at) where counted_in is null;

create table outbox (
  id bigint generated always as identity primary key,
  kind text not null check (kind in ('report', 'central', 'confirm', 'password', 'directory')),
  customer_id integer,
  report_id bigint,          -- of a report_run
  urgent boolean not null,   -- somebody waits in front of a screen
  envelope_from text not null check (length(envelope_from) <= 320),
  envelope_to text not null check (length(envelope_to) between 3 and 400),
  message_id text not null unique check (length(message_id) between 5 and 200),
  sealed boolean not null default false,
  body bytea,                -- the message with its headers, CRLF; null once it was sent or given up
  state text not null default 'waiting' check (state in ('waiting', 'sent', 'dead')),
  tries integer not null default 0,
  next_at timestamptz not null default now(),
  made_at timestamptz not null default now(),
  done_at timestamptz,
  trouble text not null default '', -- the last answer that was no yes
  check ((state = 'waiting') = (body is not null))
);
alter table outbox alter column body set compression lz4;
create index outbox_waiting on outbox (urgent desc, next_at, id) where state = 'waiting';
create index outbox_dead on outbox (done_at) where state = 'dead';
create index outbox_done on outbox (done_at) where state <> 'waiting';
create index outbox_report on outbox (report_id) where report_id is not null;

-- A report that is given up was none: its messages come with the next one.
create function outbox_gives_up() returns trigger
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  -- by the user or the domain: an index by report would cost every message more than this costs the few
  update quarantine_recipient q set reported_in = null from report_run r
    where r.id = new.report_id and not r.again and q.user_id = r.user_id and q.reported_in = r.id;
  update quarantine_recipient q set counted_in = null from report_run r
    where r.id = new.report_id and not r.again and r.user_id is null and q.domain_id = r.domain_id and q.counted_in = r.id;
  return null;
end $$;
create trigger outbox_gives_up after update of state on outbox for each row
  when (new.state = 'dead' and new.report_id is not null) execute function outbox_gives_up();

-- What the panel sees of it: an operator all but the bodies, others nothing. (Reports are written by COPY, which
-- row-level security does not have.)
create view panel_outbox as
  select id, kind, customer_id, envelope_to, message_id, state, tries, next_at, made_at, done_at, trouble from outbox
    where current_setting('rollcall.customer', true) = '0';

create function outbox_tell() returns trigger language plpgsql as $$
begin
  perform pg_notify('rollcall_outbox', '');
  return null;
end $$;
create trigger outbox_tell after insert on outbox for each statement execute function outbox_tell();

-- ---------------------------------------------------------------- tokens

create table token (
  hash bytea primary key check (length(hash) = 32), -- of what was sent; that itself is kept nowhere
  purpose text not null check (purpose in ('confirm', 'password', 'account')),
  subject bigint not null, -- a user; for 'account' an account
  made_at timestamptz not null default now(),
  expires_at timestamptz not null,
  used_at timestamptz
);
create index token_subject on token (purpose, subject);
create index token_expires on token (expires_at);

create function token_make(the_hash bytea, the_purpose text, the_subject bigint, life interval) returns void
  language sql security definer set search_path = public, pg_temp as $$
  insert into token (hash, purpose, subject, expires_at) values (the_hash, the_purpose, the_subject, now() + life)
$$;

-- Whose it is; null: unknown, expired, used, or made for something else.
create function token_look(the_hash bytea, the_purpose text) returns bigint
  language sql stable security definer set search_path = public, pg_temp as $$
  select subject from token where hash = the_hash and purpose = the_purpose and used_at is null and expires_at > now()
$$;

-- The same, and it works no more; nor does any other of that purpose for that subject.
create function token_use(the_hash bytea, the_purpose text) returns bigint
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  whose bigint;
begin
  update token set used_at = now()
    where hash = the_hash and purpose = the_purpose and used_at is null and expires_at > now()
    returning subject into whose;
  if whose is not null then
    delete from token where purpose = the_purpose and subject = whose and used_at is null;
  end if;
  return whose;
end $$;

-- ---------------------------------------------------------------- passwords

create table user_password (
  user_id bigint primary key references users on delete cascade,
  confirmed_at timestamptz, -- when the registration was confirmed
  hash text check (length(hash) between 20 and 200), -- crypt(5), yescrypt
  must_change boolean not null default false, -- it was made by us and came by mail
  changed_at timestamptz
);

-- Somebody wants a mail, about an address that may be anybody's or nobody's.
create table mail_request (
  id bigint generated always as identity primary key,
  kind text not null check (kind in ('confirm', 'password')),
  address text not null check (length(address) between 3 and 400), -- normalised, its case as it came
  client text not null, -- a network, or '' for the help desk
  made_at timestamptz not null default now(),
  done_at timestamptz
);
create index mail_request_waiting on mail_request (id) where done_at is null;
create index mail_request_address on mail_request (lower(address), made_at);
create index mail_request_client on mail_request (client, made_at);

-- Leaves a request; false: there were too many of late, for that address or from that client. Says and costs the same
-- whether the address exists or not.
create function mail_ask(the_kind text, the_address text, the_client inet, per_address integer, per_client integer)
  returns boolean language plpgsql security definer set search_path = public, pg_temp as $$
declare
  network text := coalesce(host(network(set_masklen(the_client, case family(the_client) when 6 then 64 else 32 end))), '');
  last_hour timestamptz := now() - interval '1 hour';
begin
  perform pg_advisory_xact_lock(hashtextextended('mail_ask', 0)); -- so that the counts hold
  if (select count(*) from mail_request where lower(address) = lower(the_address) and made_at > last_hour) >= per_address
    or network <> '' and (select count(*) from mail_request where client = network and made_at > last_hour) >= per_client
  then
    return false;
  end if;
  insert into mail_request (kind, address, client) values (the_kind, the_address, network);
  perform pg_notify('rollcall_outbox', '');
  return true;
end $$;

-- The user with that address, its local part as it was written and folded; an alias domain's are its target's.
create function mail_user(exact text, folded text, in_domain text) returns bigint language sql stable as $$
  select r.user_id from public.domain d
    join public.domain t on t.id = coalesce(d.alias_of, d.id)
    join public.recipient r on r.domain_id = t.id and r.state = 'active'
      and r.local_part = case when t.case_sensitive then exact else folded end
    where d.name = in_domain and d.state = 'active'
$$;

-- The registration is confirmed; null: the token is none.
create function password_confirm(the_hash bytea) returns bigint
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  whose bigint := token_use(the_hash, 'confirm');
begin
  if whose is null or not exists (select from users u where u.id = whose and u.live) then
    return null;
  end if;
  insert into user_password as p (user_id, confirmed_at) values (whose, now())
    on conflict (user_id) do update set confirmed_at = coalesce(p.confirmed_at, now());
  return whose;
end $$;

-- Keeps a new password's hash; null: there is no such user. For the functions below.
create function password_keep(whose bigint, new_hash text) returns bigint
  language plpgsql security definer set search_path = public, pg_temp as $$
begin
  if not exists (select from users u where u.id = whose and u.live) then
    return null;
  end if;
  insert into user_password as p (user_id, confirmed_at, hash, must_change, changed_at)
    values (whose, now(), new_hash, false, now())
    on conflict (user_id) do update set confirmed_at = coalesce(p.confirmed_at, now()), hash = new_hash,
      must_change = false, changed_at = now();
  return whose;
end $$;

-- The one who is signed in to the panel sets it; null: that is somebody else.
create function password_store(whose bigint, new_hash text) returns bigint
  language sql security definer set search_path = public, pg_temp as $$
  select password_keep(whose, new_hash) where nullif(current_setting('rollcall.user', true), '')::bigint = whose
$$;

-- The password's owner sets it by the mail's link.
create function password_set(the_hash bytea, new_hash text) returns bigint
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  whose bigint := token_use(the_hash, 'password');
begin
  return case when whose is null then null else password_keep(whose, new_hash) end;
end $$;

-- What a sign-in is compared with; no row: there is no such user.
create function password_look(whose bigint) returns table (hash text, must_change boolean)
  language sql stable security definer set search_path = public, pg_temp as $$
  select p.hash, p.must_change from user_password p join users u on u.id = p.user_id and u.live
    where p.user_id = whose and p.hash is not null
$$;

-- The same password under newer parameters, if it is still that one.
create function password_rehash(whose bigint, old_hash text, new_hash text) returns void
  language sql security definer set search_path = public, pg_temp as $$
  update user_password set hash = new_hash where user_id = whose and hash = old_hash
$$;

revoke execute on function token_make(bytea, text, bigint, interval), token_look(bytea, text), token_use(bytea, text),
  mail_ask(text, text, inet, integer, integer), password_confirm(bytea), password_keep(bigint, text),
  password_store(bigint, text), password_set(bytea, text), password_look(bigint), password_rehash(bigint, text, text)
  from public;
