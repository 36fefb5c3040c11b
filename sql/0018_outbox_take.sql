-- 0018_outbox_take: mails are taken from the outbox several at a time
--
-- Whoever sends a mail holds an advisory lock with its number until the transaction ends in which it was taken, and
-- records what became of it in another one: so what several connections have handed over is recorded in one commit, and
-- a mail whose sender dies is free at once, as it was when its row was locked.

-- Up to `most` mails that are due and that nobody has in hand, those that somebody waits for first; as many of them as
-- are not longer than `octets` together, but one at least. They are the caller's until its transaction ends.
create function outbox_take(most integer, octets bigint)
  returns table (id bigint, envelope_from text, envelope_to text, message_id text, sealed boolean, content text,
    tries integer, age bigint)
  language plpgsql as $$
#variable_conflict use_column
declare
  ours bigint[];
begin
  loop
    ours := array(select w.id from (
        select o.id from outbox o where o.state = 'waiting' and o.next_at <= now()
          order by o.urgent desc, o.next_at, o.id offset 0) w
      where pg_try_advisory_xact_lock(8031453476610899968 + w.id) limit most); -- "outbox" in its upper bytes
    exit when cardinality(ours) = 0;
    -- looked at anew: some may have been sent by whoever held the lock before us
    return query
      select t.id, t.envelope_from, t.envelope_to, t.message_id, t.sealed,
          case when t.sealed then encode(t.body, 'hex') else convert_from(t.body, 'UTF8') end, t.tries,
          extract(epoch from now() - t.made_at)::bigint
        from (select o.*, sum(octet_length(o.body)) over (order by o.urgent desc, o.next_at, o.id)
                - octet_length(o.body) as before
            from outbox o where o.id = any (ours) and o.state = 'waiting' and o.next_at <= now()) t
        where t.before < octets order by t.urgent desc, t.next_at, t.id;
    exit when found;
  end loop;
end $$;
revoke execute on function outbox_take(integer, bigint) from public;

-- Entries that every mail paid for twice, when it was made and when it was sent, and that nobody looked up.
alter table outbox drop constraint outbox_message_id_key;
drop index outbox_report;
-- By time, and so in the order of the rows: a summary of blocks does for cleaning up once an hour.
drop index report_run_made;
create index report_run_made on report_run using brin (made_at) with (pages_per_range = 16);
-- A body that is compressed to less than a page lies in its row: one entry to write, read and erase, not one for each
-- 2 kB of it.
alter table outbox set (toast_tuple_target = 8160);
