-- 0021_jobs: how the jobs do that run by themselves, and what an operator may do about mails that do not leave

-- The last run of each, on each host that runs it.
create table job_run (
  job text not null check (job ~ '^[a-z-]{1,40}$'),
  host text not null check (length(host) between 1 and 255),
  ended_at timestamptz not null default now(),
  fine boolean not null,
  why text not null default '',
  fine_at timestamptz, -- the last one that was
  every interval not null, -- how often it is meant to run
  primary key (job, host)
);

create function job_tell(the_job text, the_host text, is_fine boolean, the_why text, how_often interval) returns void
  language sql security definer set search_path = public, pg_temp as $$
  insert into job_run as j (job, host, fine, why, fine_at, every)
    values (the_job, the_host, is_fine, left(the_why, 1000), case when is_fine then now() end, how_often)
  on conflict (job, host) do update set ended_at = now(), fine = excluded.fine, why = excluded.why,
    fine_at = coalesce(excluded.fine_at, j.fine_at), every = excluded.every
$$;
revoke execute on function job_tell(text, text, boolean, text, interval) from public;

-- Of the whole gateway: an operator's.
alter table job_run enable row level security;
create policy everybody on job_run using (true) with check (true);
create policy panel on job_run as restrictive to rollcall_panel using ((select panel_customer()) = 0);

-- Mails that wait are tried now or given up, those that are over are forgotten; how many. The bodies are nobody's.
create function panel_outbox_act(mails bigint[], what text, who text) returns bigint
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  done bigint;
begin
  if current_setting('rollcall.customer', true) is distinct from '0' then
    raise exception 'the outbox is for operators of the gateway' using errcode = '42501';
  end if;
  if what = 'retry' then
    update outbox set next_at = now() where id = any (mails) and state = 'waiting';
  elsif what = 'drop' then
    update outbox set state = 'dead', body = null, done_at = now(), trouble = 'given up by ' || who
      where id = any (mails) and state = 'waiting';
  elsif what = 'forget' then
    delete from outbox where id = any (mails) and state <> 'waiting';
  else
    raise exception 'nobody can do ''%'' with a mail', what;
  end if;
  get diagnostics done = row_count;
  if done > 0 then
    insert into audit (actor, program, action, object) values (who, 'rollcall-panel', 'outbox ' || what, done || ' mails');
    if what = 'retry' then
      perform pg_notify('rollcall_outbox', '');
    end if;
  end if;
  return done;
end $$;
revoke execute on function panel_outbox_act(bigint[], text, text) from public;
