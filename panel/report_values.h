/*
 * report_values - settings of reports on a page: what is set there, and what counts where nothing
 * is
 */
#ifndef ROLLCALL_PANEL_REPORT_VALUES_H
#define ROLLCALL_PANEL_REPORT_VALUES_H

#include "lib/report_setting.h"
#include "panel/visit.h"

enum { REPORT_SETTINGS_MOST = 32 };

/* In the order of report_setting_rows; texts live as long as the visit. */
struct report_values {
    enum report_of of;
    const char *id;                          /* of the domain or the customer */
    char name[801];                          /* its name */
    const char *own[REPORT_SETTINGS_MOST];   /* "": not set */
    const char *above[REPORT_SETTINGS_MOST]; /* in force where it is not */
};

/* Of a customer or a domain. ERR_DATA: none that may be seen. */
bool report_values_read(struct visit *visit, enum report_of of, const char *id,
                        struct report_values *values, struct err *err) MUST_CHECK;
/* What a form with the field "settings" says counts as set. */
void report_values_take_form(struct visit *visit, struct report_values *values);
/* What is in force for that setting. */
const char *report_value(const struct report_values *values, const char *setting);
/* Into {{settings}} (what is set), {{above}}, and the lists days, hours, categories of boxes. */
void report_values_put(struct visit *visit, const struct report_values *values);

/* "mon,fri" or "all". */
bool report_list_has(const char *list, const char *word);

/* page_report.c: the page of these settings once more, with what is complained of. */
bool page_report_again(struct visit *visit, enum report_of of, struct err *err) MUST_CHECK;

#endif
