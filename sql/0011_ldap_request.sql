-- 0011_ldap_request: what the panel wants to know from a directory, and from whom it gets it
--
-- The password of a source is read by rollcall-ldapsync alone. So the panel talks to no directory: it leaves a request,
-- which `rollcall-ldapsync --requests` carries out and answers into.

create table ldap_request (
  id bigint generated always as identity primary key,
  source_id integer not null references ldap_source on delete cascade,
  what text not null check (what in ('test', 'preview', 'sync')),
  actor text not null check (length(actor) between 1 and 200),
  state text not null default 'waiting' check (state in ('waiting', 'running', 'done', 'failed')),
  asked_at timestamptz not null default now(),
  started_at timestamptz,
  ended_at timestamptz,
  step text not null default '',      -- while it runs: 'connecting', 'reading', 'comparing'
  entries bigint not null default 0,  -- that were read so far
  why text not null default '',       -- of failed
  records text not null default ''    -- what rollcall-ldapsync --records told, the first of each kind
);
-- One at a time: nobody makes a directory, or us, busy by asking often.
create unique index ldap_request_open on ldap_request (source_id) where state in ('waiting', 'running');
create index ldap_request_source on ldap_request (source_id, id);

create function ldap_request_tell() returns trigger language plpgsql as $$
begin
  perform pg_notify('rollcall_ldap', '');
  return null;
end $$;
create trigger ldap_request_tell after insert on ldap_request for each statement execute function ldap_request_tell();

-- Tenants apart, as in 0006_panel.
alter table ldap_request enable row level security;
create policy everybody on ldap_request using (true) with check (true);
create policy panel on ldap_request as restrictive to rollcall_panel
  using ((select panel_customer()) = 0 or exists (select from ldap_source l where l.id = source_id));
-- A source feeds no domain that whoever sets it may not see.
drop policy panel on ldap_source_domain;
create policy panel on ldap_source_domain as restrictive to rollcall_panel
  using ((select panel_customer()) = 0 or exists (select from ldap_source l where l.id = source_id)
    and domain_id in (select id from domain));
