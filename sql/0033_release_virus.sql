-- 0033_release_virus: who may release a virus, customer by customer

-- Where it differs from setting release_virus. In a table of its own: an administrator may change the row of the own
-- customer, but not this.
create table quarantine_release (
  customer_id integer primary key references customer on delete cascade,
  virus text not null check (virus in ('operators', 'admins', 'users'))
);
alter table quarantine_release enable row level security;
create policy everybody on quarantine_release using (true) with check (true);
create policy panel on quarantine_release as restrictive to rollcall_panel
  using ((select panel_customer()) = 0 or customer_id = (select panel_customer()))
  with check ((select panel_customer()) = 0);
create policy panel_removes on quarantine_release as restrictive for delete to rollcall_panel
  using ((select panel_customer()) = 0);

-- What the customer of a link's user says; null: nothing.
create function link_release_virus(whose bigint) returns text
  language sql stable security definer set search_path = public, pg_temp as $$
  select q.virus from users u join quarantine_release q on q.customer_id = u.customer_id where u.id = whose
$$;
revoke execute on function link_release_virus(bigint) from public;
