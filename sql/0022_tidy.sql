-- 0022_tidy: the indexes for searching are put in order beside the insertion of a long list
--
-- New entries of a trigram index wait in a list; who makes that too long sorts it in, as part of the insertion. A first
-- list from a directory lets it grow and has it sorted in by another connection meanwhile.
create function roll_tidy_search() returns void
  language plpgsql volatile security definer set search_path = public, pg_temp as $$
begin
  perform gin_clean_pending_list('recipient_fragment'), gin_clean_pending_list('users_fragment');
end $$;
revoke execute on function roll_tidy_search() from public;
