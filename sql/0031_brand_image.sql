-- 0031_brand_image: pictures for the head of reports, kept here and shown by the panel

-- The name is a digest of what it shows and for whom: nobody guesses it, and a mail that was sent keeps its picture.
create table brand_image (
  name text primary key check (name ~ '^[0-9a-f]{32}[.](png|jpg|gif)$'),
  customer_id integer not null references customer on delete cascade,
  bytes bytea not null check (octet_length(bytes) between 8 and 262144),
  made_at timestamptz not null default now()
);
create index brand_image_customer on brand_image (customer_id, made_at);

alter table report_setting drop constraint report_setting_brand_logo_check;
alter table report_setting add constraint report_setting_brand_logo_check
  check (brand_logo ~ '^(https://[!-~]+|/brand/[0-9a-f]{32}[.](png|jpg|gif))?$' and length(brand_logo) <= 500);

-- For whoever may set reports of that customer or domain; of those that no report shows the newest twenty stay.
create function panel_brand_add(of_domain boolean, whose integer, ending text, picture bytea) returns text
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  owner integer;
  made text;
begin
  owner := case when of_domain then (select customer_id from domain where id = whose and state = 'active')
                else (select id from customer where id = whose) end;
  if owner is null or panel_user_id() is not null or coalesce(panel_customer() not in (0, owner), true) then
    raise exception 'there is no such customer or domain' using errcode = '42501';
  end if;
  made := substr(encode(sha256(convert_to(owner || ' ', 'UTF8') || picture), 'hex'), 1, 32) || '.' || ending;
  insert into brand_image (name, customer_id, bytes) values (made, owner, picture)
    on conflict (name) do update set made_at = now();
  delete from brand_image b where b.customer_id = owner
    and not exists (select from report_setting s where s.brand_logo = '/brand/' || b.name)
    and b.name not in (select n.name from brand_image n where n.customer_id = owner order by n.made_at desc limit 20);
  return made;
end $$;

create function panel_brand(name text) returns text
  language sql stable security definer set search_path = public, pg_temp as $$
  select encode(bytes, 'hex') from brand_image where brand_image.name = panel_brand.name
$$;
