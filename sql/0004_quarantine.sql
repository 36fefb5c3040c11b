-- 0004_quarantine: what the spam filter caught, for whom, and whom they trust
--
-- The message itself is a file on the gateway that took it in; `quarantine_message.gateway` names it. Here is what
-- people ask for: one row per message, one per recipient. Whoever wants something done to it calls quarantine_ask:
-- a release and a raw view become rows of quarantine_request, which that gateway's rollcall-quarantine carries out
-- (NOTIFY rollcall_quarantine with the gateway's name wakes it); a deletion holds at once, and the file goes when
-- nobody has the message any more.

create type quarantine_category as enum ('spam', 'bulk', 'virus', 'content');
-- allowed: its sender is on an allow list, it is about to be released
create type quarantine_state as enum ('held', 'allowed', 'released', 'deleted');
create type rule_action as enum ('allow', 'block');

-- ---------------------------------------------------------------- whom they trust

-- A rule of a user or of a whole domain. Patterns: 'a@example.com', 'example.com', '*.example.com' (what is below it,
-- not itself); domains as A-labels, everything in lower case.
create table sender_rule (
  id bigint generated always as identity primary key,
  domain_id integer references domain on delete cascade,
  user_id bigint references users on delete cascade,
  action rule_action not null,
  pattern text collate "C" not null check (length(pattern) between 1 and 330 and pattern !~ '[[:cntrl:] ]'),
  actor text not null check (length(actor) between 1 and 200),
  created_at timestamptz not null default now(),
  check (num_nonnulls(domain_id, user_id) = 1)
);
create unique index sender_rule_domain on sender_rule (domain_id, pattern) where domain_id is not null;
create unique index sender_rule_user on sender_rule (user_id, pattern) where user_id is not null;

-- ---------------------------------------------------------------- messages and recipients

create table quarantine_message (
  id bigint generated always as identity primary key,
  gateway text not null check (length(gateway) between 1 and 255),
  file text collate "C" not null check (file ~ '^[0-9a-f]{2}/[0-9a-f]{32}$'),
  received_at timestamptz not null,
  queue_id text not null default '' check (length(queue_id) <= 100),
  client_address text not null default '',
  client_name text not null default '',
  helo text not null default '',
  sender text not null default '' check (length(sender) <= 1024), -- of the envelope; empty: the null sender
  smtputf8 boolean not null default false,
  size bigint not null check (size >= 0),
  digest bytea not null check (octet_length(digest) = 32),
  category quarantine_category not null,
  reason text not null default '', -- what the filter said
  score real,
  -- of the header, decoded, printable; from_address: its first address, normalised, the domain as A-labels
  from_text text not null default '',
  from_address text not null default '',
  subject text not null default '',
  message_id text not null default '',
  headers text compression lz4 not null default '', -- as they stand, printable
  preview text compression lz4 not null default '', -- the text, or what is readable of the HTML
  preview_html text compression lz4 not null default '', -- UTF-8, as it came: never shown outside a sandbox
  lost_at timestamptz,    -- the file was not where it should be
  dropped_at timestamptz, -- nobody has it any more: the gateway removes the file, then this row
  check (octet_length(headers) + octet_length(preview) + octet_length(preview_html) <= 262144),
  unique (gateway, file)
);
-- The same message from the same queue, given again because an answer was lost or some recipients had to wait.
create unique index quarantine_message_again on quarantine_message (gateway, queue_id, digest) where queue_id <> '';
create index quarantine_message_dropped on quarantine_message (gateway) where dropped_at is not null;

create table quarantine_recipient (
  id bigint generated always as identity primary key,
  message_id bigint not null references quarantine_message on delete cascade,
  customer_id integer not null, -- whose the domain was; checked by nobody: the row outlives what it names
  domain_id integer not null,
  user_id bigint,          -- null: on nobody's roll (yet)
  address text not null check (length(address) between 3 and 1024), -- as it was asked for: released to this
  local_part text collate "C" not null, -- normalised, without a tag where the roll has it so
  category quarantine_category not null, -- the message's, for the indexes
  received_at timestamptz not null,      -- likewise
  listed text check (listed in ('user', 'domain')), -- whose block list has the sender
  state quarantine_state not null default 'held',
  state_at timestamptz not null default now(),
  state_by text not null default '',
  released integer not null default 0, -- how many times
  unique (message_id, address)
);
-- A user's pages and reports; a customer's; the purge.
create index quarantine_recipient_user on quarantine_recipient (user_id, received_at desc, id desc);
create index quarantine_recipient_domain on quarantine_recipient (domain_id, received_at desc, id desc);
create index quarantine_recipient_received on quarantine_recipient (received_at);

-- How long a customer's messages are kept, where it differs from the settings.
create table quarantine_retention (
  customer_id integer not null references customer on delete cascade,
  category quarantine_category not null,
  days integer not null check (days between 1 and 3650),
  primary key (customer_id, category)
);

-- ---------------------------------------------------------------- what is asked for

create table quarantine_request (
  id bigint generated always as identity primary key,
  gateway text not null,
  recipient_id bigint not null references quarantine_recipient on delete cascade,
  action text not null check (action in ('release', 'raw')),
  actor text not null check (length(actor) between 1 and 330),
  state text not null default 'waiting' check (state in ('waiting', 'done', 'failed')),
  answer text not null default '', -- for people: what the listener said, why it failed
  attempts integer not null default 0,
  asked_at timestamptz not null default now(),
  due_at timestamptz not null default now(), -- when it is tried (again)
  done_at timestamptz
);
create unique index quarantine_request_once on quarantine_request (recipient_id, action) where state = 'waiting';
create index quarantine_request_due on quarantine_request (gateway, due_at) where state = 'waiting';
create index quarantine_request_done on quarantine_request (done_at) where state <> 'waiting';

-- A raw view's bytes, in pieces, for an hour.
create table quarantine_raw (
  request_id bigint not null references quarantine_request on delete cascade,
  piece integer not null,
  bytes bytea not null,
  primary key (request_id, piece)
);

create function quarantine_request_made() returns trigger language plpgsql as $$
begin
  perform pg_notify('rollcall_quarantine', new.gateway);
  return null;
end $$;
create trigger quarantine_request_made after insert on quarantine_request for each row
  execute function quarantine_request_made();

-- For who waits for an answer.
create function quarantine_request_answered() returns trigger language plpgsql as $$
begin
  perform pg_notify('rollcall_quarantine_done', new.id::text);
  return null;
end $$;
create trigger quarantine_request_answered after update of state on quarantine_request for each row
  when (old.state = 'waiting' and new.state <> 'waiting') execute function quarantine_request_answered();

-- A message that nobody has any more is dropped. Locks the message first, as quarantine_add does.
create function quarantine_drop(messages bigint[]) returns void
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  name text;
begin
  perform from quarantine_message where id = any (messages) order by id for update;
  for name in
    with gone as (
      update quarantine_message m set dropped_at = now(), headers = '', preview = '', preview_html = ''
        where m.id = any (messages) and m.dropped_at is null and not exists (
          select from quarantine_recipient r where r.message_id = m.id and r.state <> 'deleted')
        returning m.gateway)
    select distinct gateway from gone
  loop
    perform pg_notify('rollcall_quarantine', name);
  end loop;
end $$;

-- Asks for something to be done to messages as their recipients have them. One answer for each that exists:
--   asked      a request is waiting (request_id)
--   deleted    it is deleted
--   released   was released before, and `again` was not said (at)
--   gone       was deleted before
--   lost       the file is not there any more
create function quarantine_ask(recipients bigint[], what text, by text, again boolean default false)
  returns table (recipient_id bigint, outcome text, request_id bigint, at timestamptz) language plpgsql as $$
#variable_conflict use_column
declare
  r record;
begin
  if what not in ('release', 'delete', 'raw') then
    raise exception 'quarantine_ask: %: release, delete or raw', what using errcode = 'RC004';
  end if;
  for r in
    select q.id, q.state, q.state_at, q.released, m.id as message, m.gateway, m.lost_at, m.dropped_at
      from quarantine_recipient q join quarantine_message m on m.id = q.message_id
      where q.id = any (recipients) order by q.id for update of q
  loop
    recipient_id := r.id;
    request_id := null;
    at := null;
    if r.state = 'deleted' then
      outcome := 'gone';
      at := r.state_at;
    elsif what = 'delete' then
      update quarantine_recipient set state = 'deleted', state_at = now(), state_by = by where id = r.id;
      update quarantine_request q set state = 'failed', answer = 'deleted before', done_at = now()
        where q.recipient_id = r.id and q.state = 'waiting';
      outcome := 'deleted';
    elsif r.lost_at is not null or r.dropped_at is not null then
      outcome := 'lost';
    elsif what = 'release' and r.released > 0 and not again then
      outcome := 'released';
      at := r.state_at;
    else
      insert into quarantine_request (gateway, recipient_id, action, actor) values (r.gateway, r.id, what, by)
        on conflict (recipient_id, action) where state = 'waiting' do update set due_at = now()
        returning id into request_id;
      outcome := 'asked';
    end if;
    return next;
  end loop;
  if what = 'delete' then
    perform quarantine_drop(array(select distinct q.message_id from quarantine_recipient q where q.id = any (recipients)));
  end if;
end $$;

-- ---------------------------------------------------------------- taking in

-- Records a message whose file is safely on disk, for all its recipients. What came before from the same queue with the
-- same bytes is not recorded again. `patterns`: all that would match the sender, the narrowest first; `locals` are
-- normalised, `bases` the same without tag or null. Returns
--   stored   the file is the message's
--   again    it is not needed: there is one already
--   nobody   none of the recipients' domains is served any more; nothing was recorded
create function quarantine_add(a_gateway text, a_file text, a_received_at timestamptz, a_queue_id text,
  a_client_address text, a_client_name text, a_helo text, a_sender text, a_smtputf8 boolean, a_size bigint,
  a_digest bytea, a_category quarantine_category, a_reason text, a_score real, a_from_text text, a_from_address text,
  a_subject text, a_message_id text, a_headers text, a_preview text, a_preview_html text, patterns text[],
  addresses text[], domains integer[], locals text[], bases text[]) returns text
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  there quarantine_message;
  number bigint;
  fresh boolean := true;
begin
  if a_queue_id <> '' then
    select * into there from quarantine_message m where m.gateway = a_gateway and m.queue_id = a_queue_id
      and m.digest = a_digest and m.queue_id <> '' for update;
    number := there.id;
    fresh := not found or there.file = a_file or there.dropped_at is not null or there.lost_at is not null;
  end if;
  if number is null then
    insert into quarantine_message (gateway, file, received_at, queue_id, client_address, client_name, helo, sender,
        smtputf8, size, digest, category, reason, score, from_text, from_address, subject, message_id, headers, preview,
        preview_html)
      values (a_gateway, a_file, a_received_at, a_queue_id, a_client_address, a_client_name, a_helo, a_sender, a_smtputf8,
        a_size, a_digest, a_category, a_reason, a_score, a_from_text, a_from_address, a_subject, a_message_id, a_headers,
        a_preview, a_preview_html)
      on conflict (gateway, file) do update set lost_at = null
      returning id into number;
  elsif fresh then
    update quarantine_message m set file = a_file, dropped_at = null, lost_at = null, headers = a_headers,
      preview = a_preview, preview_html = a_preview_html where m.id = number;
  end if;

  -- For each recipient: who that is, and the rule that decides (the user's before the domain's, in each the narrowest).
  -- An allowed one's release is asked for at once.
  with added as (
    insert into quarantine_recipient (message_id, customer_id, domain_id, user_id, address, local_part, category,
        received_at, listed, state)
      select number, d.customer_id, d.id, who.user_id, asked.a, coalesce(who.local_part, asked.l), a_category,
        a_received_at, case when rule.action = 'block' then rule.scope end,
        case when rule.action = 'allow' and a_category <> 'virus' then 'allowed'::quarantine_state else 'held' end
      from unnest(addresses, domains, locals, bases) asked (a, d, l, b)
        join domain d on d.id = asked.d and d.customer_id is not null and d.state = 'active'
        left join lateral (
          select r.user_id, r.local_part from recipient r
            where r.domain_id = asked.d and r.local_part in (asked.l, asked.b) and r.state in ('active', 'disabled')
            order by r.local_part = asked.l desc limit 1) who on true
        left join lateral (
          select s.action, case when s.user_id is not null then 'user' else 'domain' end as scope from sender_rule s
            where s.pattern = any (patterns) and (s.user_id = who.user_id or s.domain_id = asked.d)
            order by s.user_id is null, array_position(patterns, s.pattern) limit 1) rule on true
      on conflict (message_id, address) do nothing
      returning id, state)
  insert into quarantine_request (gateway, recipient_id, action, actor)
    select a_gateway, added.id, 'release', 'allow list' from added where added.state = 'allowed';

  if there.id is null and not exists (select from quarantine_recipient r where r.message_id = number) then
    delete from quarantine_message m where m.id = number;
    return 'nobody';
  end if;
  return case when fresh then 'stored' else 'again' end;
end $$;

-- The domain of a recipient, an alias folded onto its target; no row: not served.
create function quarantine_domain(asked text)
  returns table (id integer, delimiter text, case_sensitive boolean)
  language sql stable security definer set search_path = public, pg_temp as $$
  select t.id, t.recipient_delimiter, t.case_sensitive
    from domain d join domain t on t.id = coalesce(d.alias_of, d.id)
    where d.name = asked and d.state = 'active' and t.customer_id is not null
$$;

-- What a request came to. What was deleted meanwhile stays deleted.
create function quarantine_answer(request bigint, fine boolean, told text) returns void
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  q quarantine_request;
begin
  update quarantine_request r set state = case when fine then 'done' else 'failed' end, answer = told, done_at = now(),
    attempts = attempts + 1 where r.id = request returning * into q;
  if q.action <> 'release' then
    return;
  end if;
  update quarantine_recipient r set released = r.released + fine::integer,
      state = case when r.state = 'deleted' then r.state when fine then 'released' else
        case when r.state = 'allowed' then 'held' else r.state end end,
      state_at = case when fine or r.state = 'allowed' then now() else r.state_at end,
      state_by = case when fine then q.actor else r.state_by end
    where r.id = q.recipient_id;
end $$;

-- ---------------------------------------------------------------- forgetting

-- Takes from their recipients the messages that are older than they are kept, up to `most` of them; returns how many.
create function quarantine_purge(spam_days integer, bulk_days integer, virus_days integer, content_days integer,
  most integer) returns bigint
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  touched bigint[];
  gone bigint;
begin
  with old as (
    select q.id from quarantine_recipient q
      left join quarantine_retention k on k.customer_id = q.customer_id and k.category = q.category
      where q.received_at < now() - make_interval(days => coalesce(k.days, case q.category when 'spam' then spam_days
          when 'bulk' then bulk_days when 'virus' then virus_days else content_days end))
        and not exists (select from quarantine_request r where r.recipient_id = q.id and r.state = 'waiting')
      order by q.received_at limit most),
  deleted as (delete from quarantine_recipient q using old where q.id = old.id returning q.message_id)
  select array_agg(distinct message_id), count(*) into touched, gone from deleted;
  if touched is not null then
    perform quarantine_drop(touched);
  end if;
  return gone;
end $$;

revoke execute on function quarantine_add(text, text, timestamptz, text, text, text, text, text, boolean, bigint, bytea,
  quarantine_category, text, real, text, text, text, text, text, text, text, text[], text[], integer[], text[], text[]),
  quarantine_answer(bigint, boolean, text), quarantine_purge(integer, integer, integer, integer, integer),
  quarantine_drop(bigint[]), quarantine_domain(text) from public;
