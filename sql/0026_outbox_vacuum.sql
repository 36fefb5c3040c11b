-- 0026_outbox_vacuum: what mails leave behind is given back soon
--
-- A mail that was sent leaves its body as dead bytes, some kilobytes each, and its record stays for mail_keep. By the
-- usual fifth of the table a gateway that keeps millions of records would wait for gigabytes of them; a vacuum reads only
-- the pages that changed.
alter table outbox set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000);
