/* page - the functions behind the rows of the table of routes in route.c, by file */
#ifndef ROLLCALL_PANEL_PAGE_H
#define ROLLCALL_PANEL_PAGE_H

#include "panel/visit.h"

#define PAGE(name) bool name(struct visit *visit, struct err *err)

/* page_message.c: of the `message` in data */
bool page_is_virus(const struct data *data);

/* page_sign.c */
PAGE(page_static);
PAGE(page_sign_in);
PAGE(do_sign_in);
PAGE(page_code);
PAGE(do_code);
PAGE(do_sign_out);
PAGE(do_sign_out_everywhere);

/* page_me.c */
PAGE(page_password);
PAGE(do_password);
PAGE(page_me);
PAGE(do_taste);
PAGE(page_second);
PAGE(do_second);
PAGE(do_second_drop);
PAGE(do_session_end);

/* page_brand.c */
PAGE(page_brand);
PAGE(do_brand_domain);
PAGE(do_brand_customer);

/* page_home.c */
PAGE(page_home);
PAGE(page_gateways);
PAGE(page_audit);
PAGE(page_explain);

/* page_customers.c */
PAGE(page_customers);
PAGE(do_customer_add);
PAGE(page_customer);
PAGE(do_customer_viruses);
PAGE(do_customer_remove);
PAGE(page_accounts);
PAGE(do_account_add);
PAGE(do_account);

/* page_domains.c */
PAGE(page_domains);
PAGE(page_domain_add);
PAGE(do_domain_add);
PAGE(page_domain);
PAGE(page_domain_settings);
PAGE(do_domain_settings);
PAGE(page_relay_check);
PAGE(do_relay_check);
PAGE(do_domain_remove);

/* page_users.c */
PAGE(page_users_domain);
PAGE(page_users);
PAGE(page_user_add);
PAGE(do_user_add);
PAGE(page_user);
PAGE(do_user_edit);
PAGE(do_user_state);

/* page_ldap.c */
PAGE(page_ldap);
PAGE(page_ldap_domain);
PAGE(page_ldap_source);
PAGE(do_ldap_ask);
PAGE(page_ldap_request);
PAGE(do_ldap_remove);

/* page_ldap_form.c */
PAGE(page_ldap_add);
PAGE(do_ldap_add);
PAGE(page_ldap_settings);
PAGE(do_ldap_settings);

/* page_lists.c */
PAGE(page_import);
PAGE(do_import);
PAGE(page_paste);
PAGE(do_paste);
PAGE(page_list);
PAGE(page_list_problems);
PAGE(do_list_apply);
PAGE(do_list_drop);

/* page_changes.c */
PAGE(page_changes);
PAGE(page_change);
PAGE(do_change);

/* page_request.c */
PAGE(page_request);
PAGE(do_request);
PAGE(page_confirm);
PAGE(do_confirm);
PAGE(page_set_password);
PAGE(do_set_password);

/* page_link.c */
PAGE(page_link);
PAGE(do_link);
PAGE(page_unsubscribe);
PAGE(do_unsubscribe);

/* page_quarantine.c */
PAGE(page_quarantine);
PAGE(do_quarantine);
PAGE(page_senders);
PAGE(do_sender_add);
PAGE(do_sender_remove);

/* page_message.c */
PAGE(page_message);
PAGE(page_message_html);
PAGE(page_message_raw);
PAGE(do_message_raw);

/* page_report.c */
PAGE(page_reports);
PAGE(page_report_domain);
PAGE(do_report_domain);
PAGE(page_report_customer);
PAGE(do_report_customer);
PAGE(page_report_mine);
PAGE(do_report_mine);

/* page_report_look.c */
PAGE(page_report_look);
PAGE(do_report_look);
PAGE(do_report_send);

/* page_outbox.c */
PAGE(page_outbox);
PAGE(do_outbox);
PAGE(page_jobs);

#endif
