/* route - see route.h */
#include "panel/route.h"

#include <stdlib.h>
#include <string.h>

#include "panel/page.h"

const struct route routes[] = {
    /* clang-format off */
    {"GET",  "/static/*",                 WHO_NOBODY,   ROUTE_STATIC,          "",          page_static},
    {"GET",  "/",                         WHO_ANY,      0,                     "overview",  page_home},
    {"GET",  "/sign-in",                  WHO_NOBODY,   ROUTE_NO_DATABASE,     "",          page_sign_in},
    {"POST", "/sign-in",                  WHO_NOBODY,   0,                     "",          do_sign_in},
    {"GET",  "/sign-in/code",             WHO_NOBODY,   0,                     "",          page_code},
    {"POST", "/sign-in/code",             WHO_NOBODY,   0,                     "",          do_code},
    {"POST", "/sign-out",                 WHO_NOBODY,   ROUTE_BEFORE_PASSWORD, "",          do_sign_out},
    {"POST", "/sign-out/everywhere",      WHO_ANY,      ROUTE_BEFORE_PASSWORD, "",          do_sign_out_everywhere},
    {"POST", "/sessions/end",             WHO_ANY,      0,                     "me",        do_session_end},
    {"GET",  "/password",                 WHO_ANY,      ROUTE_BEFORE_PASSWORD, "me",        page_password},
    {"POST", "/password",                 WHO_ANY,      ROUTE_BEFORE_PASSWORD, "me",        do_password},
    {"GET",  "/request-password",         WHO_NOBODY,   0,                     "",          page_request},
    {"POST", "/request-password",         WHO_NOBODY,   0,                     "",          do_request},
    {"GET",  "/confirm",                  WHO_NOBODY,   0,                     "",          page_confirm},
    {"POST", "/confirm",                  WHO_NOBODY,   0,                     "",          do_confirm},
    {"GET",  "/set-password",             WHO_NOBODY,   0,                     "",          page_set_password},
    {"POST", "/set-password",             WHO_NOBODY,   0,                     "",          do_set_password},
    {"GET",  "/message",                  WHO_NOBODY,   0,                     "",          page_link},
    {"POST", "/message",                  WHO_NOBODY,   0,                     "",          do_link},
    {"GET",  "/unsubscribe",              WHO_NOBODY,   0,                     "",          page_unsubscribe},
    {"POST", "/unsubscribe",              WHO_NOBODY,   ROUTE_NO_TOKEN,        "",          do_unsubscribe},
    {"GET",  "/quarantine",               WHO_ANY,      0,                     "quarantine", page_quarantine},
    {"POST", "/quarantine",               WHO_ANY,      0,                     "quarantine", do_quarantine},
    {"GET",  "/quarantine/*",             WHO_ANY,      0,                     "quarantine", page_message},
    {"GET",  "/quarantine/*/html",        WHO_ANY,      0,                     "quarantine", page_message_html},
    {"GET",  "/quarantine/*/raw",         WHO_MANAGES,  0,                     "quarantine", page_message_raw},
    {"POST", "/quarantine/*/raw",         WHO_MANAGES,  0,                     "quarantine", do_message_raw},
    {"GET",  "/senders",                  WHO_ANY,      0,                     "senders",   page_senders},
    {"POST", "/senders",                  WHO_ANY,      0,                     "senders",   do_sender_add},
    {"POST", "/senders/*/remove",         WHO_ANY,      0,                     "senders",   do_sender_remove},
    {"GET",  "/me",                       WHO_MANAGES,  0,                     "me",        page_me},
    {"POST", "/me/taste",                 WHO_MANAGES,  0,                     "me",        do_taste},
    {"GET",  "/me/second",                WHO_MANAGES,  ROUTE_BEFORE_SECOND,   "me",        page_second},
    {"POST", "/me/second",                WHO_MANAGES,  ROUTE_BEFORE_SECOND,   "me",        do_second},
    {"POST", "/me/second/drop",           WHO_MANAGES,  0,                     "me",        do_second_drop},
    {"GET",  "/customers",                WHO_OPERATOR, 0,                     "customers", page_customers},
    {"POST", "/customers",                WHO_OPERATOR, 0,                     "customers", do_customer_add},
    {"GET",  "/customers/*",              WHO_OPERATOR, 0,                     "customers", page_customer},
    {"POST", "/customers/*/viruses",      WHO_OPERATOR, 0,                     "customers", do_customer_viruses},
    {"POST", "/customers/*/remove",       WHO_OPERATOR, 0,                     "customers", do_customer_remove},
    {"GET",  "/domains",                  WHO_MANAGES,  0,                     "domains",   page_domains},
    {"GET",  "/domains/add",              WHO_OPERATOR, 0,                     "domains",   page_domain_add},
    {"POST", "/domains/add",              WHO_OPERATOR, 0,                     "domains",   do_domain_add},
    {"GET",  "/domains/*",                WHO_MANAGES,  0,                     "domains",   page_domain},
    {"GET",  "/domains/*/settings",       WHO_MANAGES,  0,                     "domains",   page_domain_settings},
    {"POST", "/domains/*/settings",       WHO_MANAGES,  0,                     "domains",   do_domain_settings},
    {"GET",  "/domains/*/relay-check",    WHO_MANAGES,  0,                     "domains",   page_relay_check},
    {"POST", "/domains/*/relay-check",    WHO_MANAGES,  0,                     "domains",   do_relay_check},
    {"POST", "/domains/*/remove",         WHO_OPERATOR, 0,                     "domains",   do_domain_remove},
    {"GET",  "/domains/*/users",          WHO_MANAGES,  0,                     "users",     page_users},
    {"GET",  "/domains/*/ldap",           WHO_MANAGES,  0,                     "ldap",      page_ldap_domain},
    {"GET",  "/ldap",                     WHO_MANAGES,  0,                     "ldap",      page_ldap},
    {"GET",  "/ldap/add",                 WHO_MANAGES,  0,                     "ldap",      page_ldap_add},
    {"POST", "/ldap/add",                 WHO_MANAGES,  0,                     "ldap",      do_ldap_add},
    {"GET",  "/ldap/*",                   WHO_MANAGES,  0,                     "ldap",      page_ldap_source},
    {"GET",  "/ldap/*/settings",          WHO_MANAGES,  0,                     "ldap",      page_ldap_settings},
    {"POST", "/ldap/*/settings",          WHO_MANAGES,  0,                     "ldap",      do_ldap_settings},
    {"POST", "/ldap/*/ask",               WHO_MANAGES,  0,                     "ldap",      do_ldap_ask},
    {"GET",  "/ldap/*/asked/*",           WHO_MANAGES,  0,                     "ldap",      page_ldap_request},
    {"POST", "/ldap/*/remove",            WHO_MANAGES,  0,                     "ldap",      do_ldap_remove},
    {"GET",  "/reports",                  WHO_MANAGES,  0,                     "reports",   page_reports},
    {"GET",  "/reports/mine",             WHO_USER,     0,                     "reports",   page_report_mine},
    {"POST", "/reports/mine",             WHO_USER,     0,                     "reports",   do_report_mine},
    {"GET",  "/reports/customer/*",       WHO_MANAGES,  0,                     "reports",   page_report_customer},
    {"POST", "/reports/customer/*",       WHO_MANAGES,  0,                     "reports",   do_report_customer},
    {"GET",  "/reports/domain/*",         WHO_MANAGES,  0,                     "reports",   page_report_domain},
    {"POST", "/reports/domain/*",         WHO_MANAGES,  0,                     "reports",   do_report_domain},
    {"POST", "/reports/domain/*/send",    WHO_MANAGES,  0,                     "reports",   do_report_send},
    {"POST", "/reports/customer/*/logo",  WHO_MANAGES,  ROUTE_UPLOAD,          "reports",   do_brand_customer},
    {"POST", "/reports/domain/*/logo",    WHO_MANAGES,  ROUTE_UPLOAD,          "reports",   do_brand_domain},
    {"GET",  "/brand/*",                  WHO_NOBODY,   0,                     "",          page_brand},
    {"GET",  "/reports/look",             WHO_MANAGES,  0,                     "reports",   page_report_look},
    {"POST", "/reports/look",             WHO_MANAGES,  0,                     "reports",   do_report_look},
    {"GET",  "/users",                    WHO_MANAGES,  0,                     "users",     page_users_domain},
    {"GET",  "/domains/*/users/add",      WHO_MANAGES,  0,                     "users",     page_user_add},
    {"POST", "/domains/*/users/add",      WHO_MANAGES,  0,                     "users",     do_user_add},
    {"GET",  "/recipients/*",             WHO_MANAGES,  0,                     "users",     page_user},
    {"POST", "/recipients/*",             WHO_MANAGES,  0,                     "users",     do_user_edit},
    {"POST", "/recipients/*/state",       WHO_MANAGES,  0,                     "users",     do_user_state},
    {"GET",  "/import",                   WHO_MANAGES,  0,                     "users",     page_import},
    {"POST", "/import",                   WHO_MANAGES,  ROUTE_UPLOAD,          "users",     do_import},
    {"GET",  "/paste",                    WHO_MANAGES,  0,                     "users",     page_paste},
    {"POST", "/paste",                    WHO_MANAGES,  0,                     "users",     do_paste},
    {"GET",  "/lists/*",                  WHO_MANAGES,  0,                     "users",     page_list},
    {"GET",  "/lists/*/problems.csv",     WHO_MANAGES,  0,                     "users",     page_list_problems},
    {"POST", "/lists/*/apply",            WHO_MANAGES,  0,                     "users",     do_list_apply},
    {"POST", "/lists/*/drop",             WHO_MANAGES,  0,                     "users",     do_list_drop},
    {"GET",  "/changes",                  WHO_MANAGES,  0,                     "changes",   page_changes},
    {"GET",  "/changes/*",                WHO_MANAGES,  0,                     "changes",   page_change},
    {"POST", "/changes/*/*",              WHO_MANAGES,  0,                     "changes",   do_change},
    {"GET",  "/explain",                  WHO_MANAGES,  0,                     "explain",   page_explain},
    {"GET",  "/gateways",                 WHO_OPERATOR, 0,                     "gateways",  page_gateways},
    {"GET",  "/outbox",                   WHO_OPERATOR, 0,                     "outbox",    page_outbox},
    {"POST", "/outbox",                   WHO_OPERATOR, 0,                     "outbox",    do_outbox},
    {"GET",  "/jobs",                     WHO_OPERATOR, 0,                     "jobs",      page_jobs},
    {"GET",  "/accounts",                 WHO_MANAGES,  0,                     "accounts",  page_accounts},
    {"POST", "/accounts",                 WHO_MANAGES,  0,                     "accounts",  do_account_add},
    {"POST", "/accounts/*/*",             WHO_MANAGES,  0,                     "accounts",  do_account},
    {"GET",  "/audit",                    WHO_MANAGES,  0,                     "audit",     page_audit},
    /* clang-format on */
};
const size_t route_count = sizeof routes / sizeof routes[0];

/* Whether the path is of that pattern; what stands for each '*' goes to `pieces`. */
static bool matches(const char *pattern, const char *path, struct span pieces[VISIT_PARAMETERS],
                    size_t *count)
{
    *count = 0;
    for (; *pattern != '\0'; pattern++) {
        if (*pattern != '*') {
            if (*pattern != *path++)
                return false;
            continue;
        }
        size_t len = strcspn(path, "/");
        if (len == 0 || *count == VISIT_PARAMETERS)
            return false;
        pieces[(*count)++] = span_of(path, len);
        path += len;
    }
    return *path == '\0';
}

static int take(struct visit *visit, const struct route *route, const struct span *pieces,
                size_t count)
{
    visit->route = route;
    for (size_t i = 0; i < count; i++) {
        size_t len = pieces[i].len;
        visit->parameters[i] = mem_span(pieces[i]);
        /* a slash that was encoded is not one piece of a path of ours */
        if (!form_decode(visit->parameters[i], &len, false) ||
            strchr(visit->parameters[i], '/') != NULL)
            return 400;
    }
    return 200;
}

int route_find(struct visit *visit)
{
    struct span pieces[VISIT_PARAMETERS];
    bool other = false;
    size_t count;
    const char *method = strcmp(visit->method, "HEAD") == 0 ? "GET" : visit->method;

    for (size_t i = 0; i < route_count; i++) {
        if (!matches(routes[i].path, visit->path, pieces, &count))
            continue;
        if (strcmp(routes[i].method, method) == 0)
            return take(visit, &routes[i], pieces, count);
        other = true;
    }
    return other ? 405 : 404;
}
