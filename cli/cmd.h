/* cmd - the functions behind the rows of the table of commands in main.c, by file */
#ifndef ROLLCALL_CMD_H
#define ROLLCALL_CMD_H

#include "cli/cli.h"

/* cmd_db.c */
bool cmd_db_init(struct cli *cli, struct err *err);
bool cmd_db_upgrade(struct cli *cli, struct err *err);
bool cmd_db_status(struct cli *cli, struct err *err);
bool cmd_db_purge(struct cli *cli, struct err *err);

/* cmd_customer.c */
bool cmd_customer_add(struct cli *cli, struct err *err);
bool cmd_customer_list(struct cli *cli, struct err *err);
bool cmd_customer_show(struct cli *cli, struct err *err);
bool cmd_customer_remove(struct cli *cli, struct err *err);

/* cmd_domain.c */
bool cmd_domain_add(struct cli *cli, struct err *err);
bool cmd_domain_set(struct cli *cli, struct err *err);
bool cmd_domain_show(struct cli *cli, struct err *err);
bool cmd_domain_list(struct cli *cli, struct err *err);
bool cmd_domain_remove(struct cli *cli, struct err *err);

/* cmd_domain_preflight.c, cmd_domain_export.c */
bool cmd_domain_preflight(struct cli *cli, struct err *err);
bool cmd_domain_export(struct cli *cli, struct err *err);

/* cmd_account.c */
bool cmd_account_add(struct cli *cli, struct err *err);
bool cmd_account_list(struct cli *cli, struct err *err);
bool cmd_account_remove(struct cli *cli, struct err *err);
bool cmd_account_disable(struct cli *cli, struct err *err);
bool cmd_account_enable(struct cli *cli, struct err *err);
bool cmd_account_password(struct cli *cli, struct err *err);
bool cmd_account_reset(struct cli *cli, struct err *err);

/* cmd_user.c */
bool cmd_user_add(struct cli *cli, struct err *err);
bool cmd_user_remove(struct cli *cli, struct err *err);
bool cmd_user_disable(struct cli *cli, struct err *err);
bool cmd_user_enable(struct cli *cli, struct err *err);

/* cmd_user_list.c */
bool cmd_user_show(struct cli *cli, struct err *err);

/* cmd_user_forget.c */
extern const struct cli_option user_forget_options[];
bool cmd_user_forget(struct cli *cli, struct err *err);
bool cmd_user_list(struct cli *cli, struct err *err);

/* cmd_user_import.c, cmd_user_paste.c, cmd_user_export.c */
bool cmd_user_import(struct cli *cli, struct err *err);
bool cmd_user_paste(struct cli *cli, struct err *err);
bool cmd_user_export(struct cli *cli, struct err *err);

/* cmd_report.c */
bool cmd_report_set(struct cli *cli, struct err *err);
bool cmd_report_show(struct cli *cli, struct err *err);
bool cmd_report_preview(struct cli *cli, struct err *err);
bool cmd_report_resend(struct cli *cli, struct err *err);
bool cmd_user_password_request(struct cli *cli, struct err *err);

/* cmd_change.c */
bool cmd_change_list(struct cli *cli, struct err *err);
bool cmd_change_show(struct cli *cli, struct err *err);
bool cmd_change_undo(struct cli *cli, struct err *err);
bool cmd_change_approve(struct cli *cli, struct err *err);
bool cmd_change_reject(struct cli *cli, struct err *err);

/* cmd_ldap.c, cmd_ldap_sync.c, cmd_ldap_login.c */
extern struct cli_option cmd_ldap_set_options[];
void cmd_ldap_options(void); /* fills them, before anything is parsed */
bool cmd_ldap_set(struct cli *cli, struct err *err);
bool cmd_ldap_show(struct cli *cli, struct err *err);
bool cmd_ldap_list(struct cli *cli, struct err *err);
bool cmd_ldap_remove(struct cli *cli, struct err *err);
bool cmd_ldap_test(struct cli *cli, struct err *err);
bool cmd_ldap_sync(struct cli *cli, struct err *err);
bool cmd_ldap_sign_in(struct cli *cli, const char *address, struct err *err); /* of `ldap test` */

/* cmd_explain.c, cmd_status.c, cmd_config.c, cmd_doctor.c */
bool cmd_explain(struct cli *cli, struct err *err);
bool cmd_status(struct cli *cli, struct err *err);
bool cmd_config(struct cli *cli, struct err *err);
bool cmd_doctor(struct cli *cli, struct err *err);

/* cmd_quarantine.c, cmd_sender.c */
bool cmd_quarantine_list(struct cli *cli, struct err *err);
bool cmd_quarantine_show(struct cli *cli, struct err *err);
bool cmd_quarantine_release(struct cli *cli, struct err *err);
bool cmd_quarantine_delete(struct cli *cli, struct err *err);
bool cmd_quarantine_keep(struct cli *cli, struct err *err);
bool cmd_quarantine_viruses(struct cli *cli, struct err *err);
bool cmd_quarantine_purge(struct cli *cli, struct err *err);
bool cmd_sender_allow(struct cli *cli, struct err *err);
bool cmd_sender_block(struct cli *cli, struct err *err);
bool cmd_sender_list(struct cli *cli, struct err *err);
bool cmd_sender_remove(struct cli *cli, struct err *err);

#endif
