-- 0017_notice: a customer's contact is mailed when a directory fails, is held, or is well again

alter table report_setting add column notice_contact text check (length(notice_contact) <= 320),
  add check (user_id is null or notice_contact is null);

alter table outbox drop constraint outbox_kind_check,
  add check (kind in ('report', 'central', 'confirm', 'password', 'directory', 'notice'));

create function ldap_notice_tell() returns trigger language plpgsql as $$
begin
  perform pg_notify('rollcall_outbox', '');
  return null;
end $$;
create trigger ldap_notice_tell after insert on ldap_notice for each statement execute function ldap_notice_tell();

-- Who is told of a directory, in which language: the contact of a domain that it feeds, or the customer's; empty: nobody
-- was chosen, or is wanted.
create view notice_reader with (security_invoker = true) as
  select n.id as notice_id, n.customer_id, l.name as source, c.name as customer,
    coalesce(d.contact, s.notice_contact, s.central_contact) as contact,
    coalesce(d.language, s.language) as language, coalesce(d.brand, s.brand_name, '') as brand
  from ldap_notice n
  join ldap_source l on l.id = n.source_id
  join customer c on c.id = n.customer_id
  left join report_setting s on s.customer_id = n.customer_id and s.domain_id is null and s.user_id is null
  left join lateral (
    select r.notice_contact as contact, r.language, r.brand_name as brand
      from ldap_source_domain f join report_setting r on r.domain_id = f.domain_id
      where f.source_id = n.source_id and r.notice_contact is not null order by r.domain_id limit 1) d on true;
