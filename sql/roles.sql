-- roles: who may do what; run again after every migration
--
-- One login role per program, none with a password: give them one, or map operating system users to them
-- (pg_ident.conf). The owner of the database is whoever ran `rollcall db init`.
do $$
declare
  role text;
begin
  foreach role in array array['rollcall_policyd', 'rollcall_observe', 'rollcall_sync', 'rollcall_report',
                              'rollcall_panel', 'rollcall_admin', 'rollcall_quarantine']
  loop
    begin
      if not exists (select from pg_roles where rolname = role) then
        execute format('create role %I login', role);
      end if;
    exception when duplicate_object or unique_violation then
      null; -- somebody else made it this moment: roles belong to the whole server
    end;
  end loop;
end $$;

-- Row-level security keeps customers apart in the panel and lets rollcall_sync see everything; but where it is asked,
-- COPY is refused. Only a superuser may spare it the asking: without, a directory's first list is written after it was
-- read instead of while it is.
do $$
begin
  if exists (select from pg_roles where rolname = 'rollcall_sync' and not rolbypassrls) then
    alter role rollcall_sync bypassrls;
  end if;
exception when insufficient_privilege or internal_error then
  null; -- internal_error: somebody else altered it this moment
end $$;

grant usage on schema public to rollcall_policyd, rollcall_observe, rollcall_sync, rollcall_report, rollcall_panel, rollcall_admin,
  rollcall_quarantine;

-- reads what it answers from, writes where it stands
grant select on domain, recipient, changeset, roll_clock, gateway, schema_version to rollcall_policyd;
grant insert, update, delete on gateway to rollcall_policyd;

-- an administrator's command line
grant select, insert, update on customer, domain, users, recipient, changeset, user_change, domain_change, held_entry,
  held_domain to rollcall_admin;
grant select, insert on change_line, changeset_domain to rollcall_admin;
grant select on change, recipient_source to rollcall_admin;
grant delete on customer, held_entry, held_domain to rollcall_admin;
grant usage on sequence users_id_seq, recipient_id_seq to rollcall_admin;
grant select on roll, roll_clock, schema_version to rollcall_admin;
grant select, delete on gateway to rollcall_admin;
grant select, insert on audit to rollcall_admin;
revoke execute on function roll_purge(interval, interval) from public;
grant execute on function roll_purge(interval, interval), user_forget(integer, text, interval, text),
  user_forget_lock(integer[], text[]), user_forget_mentions(integer, text), forget_old(interval, interval),
  evidence_purge(interval, interval, bigint, integer) to rollcall_admin;

-- central programs that change the roll through the one door
grant select on customer, domain, roll_clock, schema_version, gateway to rollcall_sync;
grant update on domain to rollcall_sync;
grant select, insert, update on users, recipient, changeset, user_change, held_entry, held_domain to rollcall_sync;
grant select, insert on change_line, changeset_domain to rollcall_sync;
grant insert on domain_change to rollcall_sync;
grant delete on held_entry, held_domain to rollcall_sync;
grant usage on sequence users_id_seq, recipient_id_seq to rollcall_sync;
grant select on change, recipient_source to rollcall_sync;
grant execute on function roll_tidy_search() to rollcall_sync;
grant insert on audit to rollcall_sync;

-- on gateways: may only add what it saw, and move its own position
grant select on domain, schema_version, log_position to rollcall_observe;
grant execute on function observe_position(text, bigint, timestamptz, timestamptz, jsonb), observe_add(text, date[], integer[],
  text[], integer[], integer[], integer[], integer[], integer[], timestamptz[], timestamptz[]),
  observe_probes_due(integer, interval, timestamptz), observe_forget(text, integer, text) to rollcall_observe;
-- followed and shown
grant select on refusal, sender_clock to rollcall_policyd;
grant select (user_id, domain_id, action, pattern) on sender_rule to rollcall_policyd;
grant select on observation, refusal, log_position, domain_observation to rollcall_sync, rollcall_admin;
grant delete on log_position to rollcall_admin;
grant update on domain_observation to rollcall_sync, rollcall_admin;
grant delete on observation, refusal to rollcall_sync;
grant execute on function observe_verify(text, integer, date) to rollcall_sync;

-- directories: the password is written by an administrator and read by nobody but the synchronisation
grant select (id, name, customer_id, by_customer, settings, has_secret, created_at, synced_at, digest, version,
  held_digest, held, entries, failing_since) on ldap_source to rollcall_admin;
grant insert, update, delete on ldap_source to rollcall_admin;
grant select, insert, delete on ldap_source_domain to rollcall_admin;
grant select on ldap_run, ldap_user to rollcall_admin;
grant select on ldap_source, ldap_source_domain to rollcall_sync;
grant update (synced_at, digest, version, held_digest, held, entries, failing_since) on ldap_source to rollcall_sync;
grant select, insert, update, delete on ldap_run, ldap_user to rollcall_sync;
grant select, insert on ldap_notice to rollcall_sync;
grant select on ldap_notice to rollcall_admin, rollcall_report;
grant update (mailed_at) on ldap_notice to rollcall_report;
grant select (id, name) on ldap_source to rollcall_report;
grant select on ldap_source_domain, notice_reader to rollcall_report;
grant execute on function ldap_login(bigint) to rollcall_panel;
grant select, update, delete on ldap_request to rollcall_sync;
grant select, insert on ldap_request to rollcall_panel;

-- the quarantine: on gateways takes in and does what it is asked for; who looks at it asks
grant select on schema_version, quarantine_message, quarantine_recipient, quarantine_request to rollcall_quarantine;
grant update (lost_at), delete on quarantine_message to rollcall_quarantine;
grant update (attempts, due_at, answer), delete on quarantine_request to rollcall_quarantine;
grant select, insert, delete on quarantine_raw to rollcall_quarantine;
grant execute on function quarantine_domain(text), quarantine_answer(bigint, boolean, text),
  quarantine_add(text, text, timestamptz, text, text, text, text, text, boolean, bigint, bytea,
  quarantine_category, text, real, text, text, text, text, text, text, text, text[], text[], integer[], text[], text[]),
  quarantine_add_all(text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[],
  text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[]) to rollcall_quarantine;
grant select on quarantine_message, quarantine_recipient, quarantine_request, quarantine_raw, quarantine_retention,
  sender_rule to rollcall_admin;
grant update (state, state_at, state_by) on quarantine_recipient to rollcall_admin;
grant insert, update on quarantine_request to rollcall_admin;
grant insert, update, delete on sender_rule, quarantine_retention to rollcall_admin;
grant select, insert, update, delete on quarantine_release to rollcall_admin, rollcall_panel;
grant select on quarantine_release to rollcall_report;
grant execute on function quarantine_domain(text), quarantine_drop(bigint[]),
  quarantine_purge(integer, integer, integer, integer, integer)
  to rollcall_admin;
grant select on quarantine_message, quarantine_recipient, sender_rule to rollcall_report;

-- the panel: what it sees of all this is decided by row-level security (0006_panel)
grant select on customer, domain, users, recipient, recipient_source, changeset, change, change_line, changeset_domain,
  user_change, domain_change, held_entry, held_domain, observation, refusal, domain_observation, audit, gateway, gateway_hour, roll_clock,
  schema_version, ldap_source_domain, ldap_run, ldap_user to rollcall_panel;
grant insert, update on customer, domain, users, recipient, changeset, user_change, domain_change, held_entry,
  held_domain to rollcall_panel;
grant insert on change_line, changeset_domain to rollcall_panel;
grant delete on customer, held_entry, held_domain to rollcall_panel;
grant usage on sequence users_id_seq, recipient_id_seq to rollcall_panel;
grant insert on audit to rollcall_panel;
grant select (id, login, role, customer_id, must_change, language, time_zone, state, created_at, signed_in_at),
  insert, delete, update (password, must_change, state, second_factor, recovery) on account to rollcall_panel;
grant select (id, name, customer_id, by_customer, settings, has_secret, created_at, synced_at, digest, version,
  held_digest, held, entries, failing_since) on ldap_source to rollcall_panel;
grant insert, update, delete on ldap_source to rollcall_panel;
grant insert, delete on ldap_source_domain to rollcall_panel;
grant select on quarantine_message, quarantine_recipient, quarantine_request, quarantine_raw, sender_rule to rollcall_panel;
grant update (state, state_at, state_by) on quarantine_recipient to rollcall_panel;
grant insert, update on quarantine_request to rollcall_panel;
grant insert, update, delete on sender_rule to rollcall_panel;
grant execute on function quarantine_drop(bigint[]) to rollcall_panel;
do $$
declare
  one regprocedure;
begin
  for one in
    select p.oid from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where n.nspname = 'public' and p.prosecdef
       and p.proname in ('panel_session', 'panel_account', 'panel_wait', 'panel_failed', 'panel_forgive', 'panel_sign_in',
                         'panel_second', 'panel_recover', 'panel_sign_out', 'panel_sign_out_everywhere', 'panel_sessions', 'panel_session_end', 'panel_brand', 'panel_brand_add',
                         'panel_set_password', 'panel_set_second', 'panel_set_taste', 'panel_search',
                         'panel_user', 'panel_user_sign_in')
  loop
    execute format('revoke execute on function %s from public', one);
    execute format('grant execute on function %s to rollcall_panel', one);
  end loop;
end $$;
grant select, insert, update, delete on account to rollcall_admin;
grant select, delete on session to rollcall_admin;

-- mails to users: made and sent by rollcall-report; the panel asks for them, and reads and changes settings
grant select on customer, domain, users, recipient, ldap_user, schema_version to rollcall_report;
grant select, insert, delete on quarantine_unreported, quarantine_uncounted to rollcall_report;
grant select on quarantine_unreported to rollcall_admin;
grant select on report_setting, report_user, report_domain to rollcall_report, rollcall_panel, rollcall_admin;
grant insert, update, delete on report_setting to rollcall_panel, rollcall_admin;
grant update on report_setting to rollcall_report;
grant select, insert, update, delete on report_run, outbox, token, user_password, mail_request to rollcall_report;
grant execute on function outbox_take(integer, bigint, timestamptz, bigint) to rollcall_report;
grant select on report_run to rollcall_panel, rollcall_admin;
grant select, update, delete on report_request, credential_change to rollcall_report;
grant select, insert on report_request to rollcall_panel;
grant execute on function panel_report(), panel_outbox_act(bigint[], text, text) to rollcall_panel;

-- jobs tell how they ended
grant execute on function job_tell(text, text, boolean, text, interval) to rollcall_observe, rollcall_sync, rollcall_report,
  rollcall_admin;
grant select on job_run to rollcall_panel, rollcall_admin;
grant select (id, kind, customer_id, report_id, urgent, envelope_from, envelope_to, message_id, sealed, state, tries,
  next_at, made_at, done_at, trouble) on outbox to rollcall_admin;
grant select on panel_outbox to rollcall_panel;
grant insert on report_run, outbox to rollcall_admin;
grant update (listed, messages), delete on report_run to rollcall_admin; -- rollcall report preview, resend
grant update (state, next_at, tries) on outbox to rollcall_admin;
grant execute on function token_make(bytea, text, bigint, interval) to rollcall_report, rollcall_admin;
grant execute on function token_look(bytea, text), token_use(bytea, text), password_confirm(bytea),
  password_set(bytea, text), password_look(bigint), password_rehash(bigint, text, text),
  password_store(bigint, text) to rollcall_panel;
grant execute on function mail_ask(text, text, inet, integer, integer) to rollcall_panel, rollcall_admin;
-- what a report's signed link opens, which the panel has checked
grant execute on function link_user(bigint), link_message(bigint, bigint, text), link_messages(bigint, bigint, integer, text),
  link_act(bigint, bigint, text), link_reports(bigint, boolean), link_release_virus(bigint) to rollcall_panel;
