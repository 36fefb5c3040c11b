-- 0035_evidence_purge: changesets of evidence do not stay for ever
--
-- Each run of `rollcall-observe collect` that brings news, and each agreement with a directory, is a changeset: a hundred
-- thousand a year and gateway, without history. One is needed as long as a row stands as it left it (followers find rows by
-- their changeset), and as long as a gateway may come and say that it is at that version. After that it goes. Versions then
-- have gaps, which nobody minds: a follower reads what is newer, whatever there is, and one whose own version is gone loads
-- everything. Changesets with a history stay: undo needs them.

drop trigger changeset_stays on changeset;
create trigger changeset_stays before delete on changeset for each row
  when (old.version is not null
    and (old.mode <> 'evidence' or current_setting('rollcall.purge', true) is distinct from 'on'))
  execute function roll_keep_version();

-- Without these each deletion would read the tables that refer to changesets.
create index changeset_undoes on changeset (undoes) where undoes is not null;
create index changeset_undone_by on changeset (undone_by) where undone_by is not null;
create index ldap_run_changeset on ldap_run (changeset_id) where changeset_id is not null;
create index ldap_source_held on ldap_source (held) where held is not null;

-- Looks at `most` changesets of evidence behind `after` that are older than `life` and than every live gateway's version,
-- and deletes those that no row names. Returns the last that it looked at (null: there are none more), and how many went.
-- Rows are looked up by index, however few of them there are: the nightly run shall not read a roll of millions.
create function evidence_purge(life interval, live interval, after bigint, most integer, out last bigint, out gone bigint)
  language plpgsql security definer set search_path = public, pg_temp set enable_hashjoin = off set enable_mergejoin = off
  set enable_seqscan = off set jit = off as $$
declare
  looked bigint[];
  upto bigint := least((select min(g.version) from gateway g where g.seen_at > now() - live), (select version from roll_clock));
begin
  perform set_config('rollcall.purge', 'on', true);
  looked := array(select c.id from changeset c where c.id > after and c.mode = 'evidence' and c.version < upto
    and c.created_at < now() - life order by c.id limit most);
  last := looked[cardinality(looked)];
  delete from changeset c where c.id = any (looked)
    and not exists (select from recipient r where r.changed_by = c.id)
    and not exists (select from refusal f where f.changed_by = c.id)
    and not exists (select from domain d where d.changed_by = c.id);
  get diagnostics gone = row_count;
end $$;
revoke execute on function evidence_purge(interval, interval, bigint, integer) from public;
