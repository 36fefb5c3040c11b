-- 0019_message_policy: a message is seen by who sees one of its recipients
--
-- In the policy of 0006_panel `id` was the recipient's own: a tenant saw no message, or all of them, as it happened.

drop policy panel on quarantine_message;
create policy panel on quarantine_message as restrictive to rollcall_panel
  using ((select panel_customer()) = 0
    or exists (select from quarantine_recipient q where q.message_id = quarantine_message.id));
