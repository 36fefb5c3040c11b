-- 0025_outbox_place: mails are taken from where the last ones were
--
-- Each mail that was sent leaves a dead entry in outbox_waiting until the table is vacuumed, and all of them stand in
-- front of those that still wait: who begins at the beginning for each handful of a hundred thousand reports passes over
-- them all, again and again. A sender therefore says up to which place it has taken; now and then, and when it finds
-- nothing behind that, it begins at the beginning, where mails are that came back.

-- Up to `most` mails that are due and that nobody has in hand: those that somebody waits for, then those behind
-- (after_due, after_id) in the order of next_at and id; as many of them as are not longer than `octets` together, but
-- one at least. They are the caller's until its transaction ends. Everything is text, that the content can be read as
-- the bytes that it is.
drop function outbox_take(integer, bigint);
create function outbox_take(most integer, octets bigint, after_due timestamptz, after_id bigint)
  returns table (id text, envelope_from text, envelope_to text, message_id text, sealed text, content bytea, tries text,
    age text, urgent text, due text)
  language plpgsql as $$
#variable_conflict use_column
declare
  ours bigint[];
begin
  loop
    ours := array(select w.id from (
        (select o.id from outbox o where o.state = 'waiting' and o.urgent and o.next_at <= now()
          order by o.urgent desc, o.next_at, o.id offset 0)
        union all
        (select o.id from outbox o where o.state = 'waiting' and not o.urgent and o.next_at <= now()
            and (o.next_at, o.id) > (after_due, after_id)
          order by o.urgent desc, o.next_at, o.id offset 0)) w
      where pg_try_advisory_xact_lock(8031453476610899968 + w.id) limit most); -- "outbox" in its upper bytes
    exit when cardinality(ours) = 0;
    -- looked at anew: some may have been sent by whoever held the lock before us
    return query
      select t.id::text, t.envelope_from, t.envelope_to, t.message_id, left(t.sealed::text, 1), t.body, t.tries::text,
          extract(epoch from now() - t.made_at)::bigint::text, left(t.urgent::text, 1), t.next_at::text
        from (select o.*, sum(octet_length(o.body)) over (order by o.urgent desc, o.next_at, o.id)
                - octet_length(o.body) as before
            from outbox o where o.id = any (ours) and o.next_at <= now()
              -- still waiting, said so that no partial index seems fit: planned while the outbox is empty, a scan of all
              -- that waits looks as good as the few by their numbers
              and o.state not in ('sent', 'dead')) t
        where t.before < octets order by t.urgent desc, t.next_at, t.id;
    exit when found;
  end loop;
end $$;
revoke execute on function outbox_take(integer, bigint, timestamptz, bigint) from public;
