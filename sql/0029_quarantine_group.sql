-- 0029_quarantine_group: the messages that wait for a commit are recorded by one statement
--
-- Starting a statement (its plan, its checks, its triggers) costs PostgreSQL more than the rows of a message do.

-- As quarantine_add for many messages: each array has an element for each of them; patterns, addresses, domains, locals
-- and bases are arrays again, as text. Returns what became of each, in their order. What meets a row that is there
-- already (the same message given again, also twice in one call) goes through quarantine_add by itself.
create function quarantine_add_all(a_gateway text[], a_file text[], a_received_at text[], a_queue_id text[],
  a_client_address text[], a_client_name text[], a_helo text[], a_sender text[], a_smtputf8 text[], a_size text[],
  a_digest text[], a_category text[], a_reason text[], a_score text[], a_from_text text[], a_from_address text[],
  a_subject text[], a_message_id text[], a_headers text[], a_preview text[], a_preview_html text[], a_patterns text[],
  a_addresses text[], a_domains text[], a_locals text[], a_bases text[]) returns setof text
  language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  outcomes text[]; -- null: met a row
  idle bigint[];   -- messages without a recipient that is served
begin
  with kept as (
    insert into quarantine_message (gateway, file, received_at, queue_id, client_address, client_name, helo, sender,
        smtputf8, size, digest, category, reason, score, from_text, from_address, subject, message_id, headers, preview,
        preview_html)
      select m.gateway, m.file, m.received_at::timestamptz, m.queue_id, m.client_address, m.client_name, m.helo, m.sender,
        m.smtputf8::boolean, m.size::bigint, m.digest::bytea, m.category::quarantine_category, m.reason, m.score::real,
        m.from_text, m.from_address, m.subject, m.message_id, m.headers, m.preview, m.preview_html
      from unnest(a_gateway, a_file, a_received_at, a_queue_id, a_client_address, a_client_name, a_helo, a_sender,
          a_smtputf8, a_size, a_digest, a_category, a_reason, a_score, a_from_text, a_from_address, a_subject,
          a_message_id, a_headers, a_preview, a_preview_html)
        m (gateway, file, received_at, queue_id, client_address, client_name, helo, sender, smtputf8, size, digest,
          category, reason, score, from_text, from_address, subject, message_id, headers, preview, preview_html)
      on conflict do nothing
      returning id, gateway, file, received_at, category),
  -- For each recipient: who that is, and the rule that decides, as in quarantine_add.
  told as (
    insert into quarantine_recipient (message_id, customer_id, domain_id, user_id, address, local_part, category,
        received_at, listed, state)
      select k.id, d.customer_id, d.id, who.user_id, asked.a, coalesce(who.local_part, asked.l), k.category,
        k.received_at, case when rule.action = 'block' then rule.scope end,
        case when rule.action = 'allow' and k.category <> 'virus' then 'allowed'::quarantine_state else 'held' end
      from unnest(a_file, a_patterns, a_addresses, a_domains, a_locals, a_bases)
          g (file, patterns, addresses, domains, locals, bases)
        join kept k on k.file = g.file
        cross join lateral unnest(g.addresses::text[], g.domains::integer[], g.locals::text[], g.bases::text[])
          asked (a, d, l, b)
        cross join lateral (select d.id, d.customer_id from domain d
            where d.id = asked.d and d.customer_id is not null and d.state = 'active' offset 0) d
        left join lateral (
          select r.user_id, r.local_part from recipient r
            where r.domain_id = asked.d and r.local_part in (asked.l, asked.b) and r.state in ('active', 'disabled')
            order by r.local_part = asked.l desc limit 1) who on true
        left join lateral (
          select s.action, case when s.user_id is not null then 'user' else 'domain' end as scope from sender_rule s
            where s.pattern = any (g.patterns::text[]) and (s.user_id = who.user_id or s.domain_id = asked.d)
            order by s.user_id is null, array_position(g.patterns::text[], s.pattern) limit 1) rule on true
      on conflict (message_id, address) do nothing
      returning id, message_id, state),
  freed as (
    insert into quarantine_request (gateway, recipient_id, action, actor)
      select k.gateway, t.id, 'release', 'allow list' from told t join kept k on k.id = t.message_id
        where t.state = 'allowed')
  select array_agg(case when k.id is null then null when t.message_id is null then 'nobody' else 'stored' end order by f.n),
      array_agg(k.id) filter (where k.id is not null and t.message_id is null)
    into outcomes, idle
    from unnest(a_file) with ordinality f (file, n)
      left join kept k on k.file = f.file
      left join (select distinct message_id from told) t on t.message_id = k.id;

  if idle is not null then
    delete from quarantine_message m where m.id = any (idle);
  end if;
  for i in 1 .. cardinality(outcomes) loop
    if outcomes[i] is null then
      outcomes[i] := quarantine_add(a_gateway[i], a_file[i], a_received_at[i]::timestamptz, a_queue_id[i],
        a_client_address[i], a_client_name[i], a_helo[i], a_sender[i], a_smtputf8[i]::boolean, a_size[i]::bigint,
        a_digest[i]::bytea, a_category[i]::quarantine_category, a_reason[i], a_score[i]::real, a_from_text[i],
        a_from_address[i], a_subject[i], a_message_id[i], a_headers[i], a_preview[i], a_preview_html[i],
        a_patterns[i]::text[], a_addresses[i]::text[], a_domains[i]::integer[], a_locals[i]::text[], a_bases[i]::text[]);
    end if;
  end loop;
  return query select unnest(outcomes);
end $$;

-- What becomes held is to be told: of what is taken in, by statement.
create function quarantine_become_held() returns trigger language plpgsql as $$
begin
  insert into quarantine_unreported select f.user_id, f.id, f.received_at, f.category, f.listed is not null from fresh f
    where f.state = 'held' and f.user_id is not null;
  insert into quarantine_uncounted select f.domain_id, f.id, f.received_at, f.category, f.listed is not null from fresh f
    where f.state = 'held';
  return null;
end $$;
drop trigger quarantine_recipient_held on quarantine_recipient;
create trigger quarantine_recipient_held after insert on quarantine_recipient referencing new table as fresh
  for each statement execute function quarantine_become_held();

revoke execute on function quarantine_add_all(text[], text[], text[], text[], text[], text[], text[], text[], text[],
  text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[],
  text[], text[]) from public;
