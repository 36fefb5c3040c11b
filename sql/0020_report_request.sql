-- 0020_report_request: a report that somebody wants to see in a mailbox, and what a user may know of the own reports

-- "Send one": what `rollcall report resend` does, asked for in the panel and done by `rollcall-report send`.
create table report_request (
  id bigint generated always as identity primary key,
  customer_id integer not null references customer on delete cascade,
  domain_id integer not null references domain on delete cascade, -- on whose page it was asked for
  address text not null check (length(address) between 3 and 400), -- a user's
  actor text not null check (length(actor) between 1 and 600),
  state text not null default 'waiting' check (state in ('waiting', 'done', 'failed')),
  asked_at timestamptz not null default now(),
  ended_at timestamptz,
  listed bigint not null default 0,
  why text not null default ''
);
create index report_request_waiting on report_request (id) where state = 'waiting';
create index report_request_domain on report_request (domain_id, id);
create trigger report_request_tell after insert on report_request for each statement execute function outbox_tell();

-- Tenants apart, as in 0006_panel.
alter table report_request enable row level security;
create policy everybody on report_request using (true) with check (true);
create policy panel on report_request as restrictive to rollcall_panel
  using ((select panel_customer()) = 0 or customer_id = (select panel_customer())
    and domain_id in (select id from domain));

-- The settings in force for whoever is signed in: a user sees no row of the customer's or the domain's.
create function panel_report() returns table (enabled boolean, users_choose boolean, days integer, hours integer,
    zone text, language text, categories text, block_list boolean, sender_links boolean)
  language sql stable security definer set search_path = public, pg_temp as $$
  select r.enabled, r.users_choose, r.days, r.hours, r.zone, r.language, array_to_string(r.categories, ','),
         r.block_list, r.sender_links
    from report_user r where r.user_id = panel_user_id()
$$;
revoke execute on function panel_report() from public;
