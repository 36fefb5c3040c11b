/* page_report - settings of spam reports: of a customer, of a domain, and a user's own */
#include <stdio.h>
#include <string.h>

#include "panel/model.h"
#include "panel/page.h"
#include "panel/report_values.h"
#include "panel/view.h"

bool page_reports(struct visit *visit, struct err *err)
{
    const char *like = form_value(&visit->query, "q");

    data_text(visit->data, "q", like);
    return model_report_domains(visit->db, like, visit->data, err) &&
           visit_show(visit, "reports", err);
}

/* ---- saving ---- */

/* What is not there is as the next above has it. */
static size_t take_given(const struct report_values *values,
                         struct report_given given[REPORT_SETTINGS_MOST])
{
    size_t count = 0;

    for (size_t i = 0; i < report_setting_count; i++) {
        if (values->of == REPORT_OF_USER && !report_setting_rows[i].users)
            continue;
        const char *value = values->own[i];
        given[count++] = (struct report_given){report_setting_rows[i].name,
                                               value[0] != '\0' ? value : "default"};
    }
    return count;
}

static bool check_zone(struct visit *visit, struct err *err)
{
    STR_AUTO zone = mem_span(span_trim(span_text(form_value(&visit->form, "zone"))));
    bool known = true;

    if (zone[0] != '\0' && !model_zone_known(visit->db, zone, &known, err))
        return false;
    if (!known)
        visit_complain(visit, "zone",
                       visit_words(visit, "No such time zone; write it like Europe/Berlin."));
    return true;
}

/* True with *saved false: something has to be looked at again. */
static bool save(struct visit *visit, const struct report_values *values, bool *saved,
                 struct err *err)
{
    struct report_given given[REPORT_SETTINGS_MOST];
    size_t count = take_given(values, given);

    *saved = false;
    if (!check_zone(visit, err))
        return false;
    if (visit_has_complaints(visit))
        return true;
    *saved = report_setting_set(visit->db, values->of, values->name, given, count,
                                visit->session.login, err);
    return *saved || visit_complain_of(visit, err, "enabled");
}

/* ---- of a customer, of a domain ---- */

static bool show(struct visit *visit, const struct report_values *values, struct err *err)
{
    bool domain = values->of == REPORT_OF_DOMAIN;

    report_values_put(visit, values);
    data_text(visit->data, "id", values->id);
    data_text(visit->data, "name", values->name);
    data_text(visit->data, "of", domain ? "domain" : "customer");
    if (domain && !model_report_asked(visit->db, values->id, visit->data, err))
        return false;
    if (visit_has_complaints(visit))
        visit->status = 422;
    return visit_show(visit, "report", err);
}

static bool page(struct visit *visit, enum report_of of, struct err *err)
{
    struct report_values values;

    return report_values_read(visit, of, visit_number(visit, visit_id(visit)), &values, err) &&
           show(visit, &values, err);
}

static bool change(struct visit *visit, enum report_of of, struct err *err)
{
    struct report_values values;
    bool saved;

    if (!report_values_read(visit, of, visit_number(visit, visit_id(visit)), &values, err))
        return false;
    if (!form_has(&visit->form, "settings"))
        return err_set(err, ERR_DATA, "There is no such page.");
    report_values_take_form(visit, &values);
    if (!save(visit, &values, &saved, err))
        return false;
    if (!saved)
        return show(visit, &values, err);
    return visit_go(visit, visit_words(visit, "Saved; the next reports are made so."),
                    of == REPORT_OF_DOMAIN ? "/reports/domain/%s" : "/reports/customer/%s",
                    values.id);
}

bool page_report_again(struct visit *visit, enum report_of of, struct err *err)
{
    return page(visit, of, err);
}

bool page_report_domain(struct visit *visit, struct err *err)
{
    return page(visit, REPORT_OF_DOMAIN, err);
}

bool do_report_domain(struct visit *visit, struct err *err)
{
    return change(visit, REPORT_OF_DOMAIN, err);
}

bool page_report_customer(struct visit *visit, struct err *err)
{
    return page(visit, REPORT_OF_CUSTOMER, err);
}

bool do_report_customer(struct visit *visit, struct err *err)
{
    return change(visit, REPORT_OF_CUSTOMER, err);
}

/* ---- a user's own ---- */

/* What is set of one's own; the rest is what is in force (and may not be seen one by one). */
struct mine {
    struct visit *visit;
    struct report_values *values;
};

static void take_mine(void *context, const struct report_setting_row *row, const char *value)
{
    struct mine *mine = context;

    mine->values->own[row - report_setting_rows] =
        value != NULL ? arena_text(mine->visit->arena, span_text(value)) : "";
}

static bool read_mine(struct visit *visit, struct report_values *values, bool *choose,
                      struct err *err)
{
    struct mine mine = {visit, values};

    *values = (struct report_values){.of = REPORT_OF_USER, .id = ""};
    snprintf(values->name, sizeof values->name, "%s", visit->session.login);
    return model_report_mine(visit->db, visit->data, choose, err) &&
           report_setting_show(visit->db, REPORT_OF_USER, values->name, take_mine, &mine, err);
}

static bool show_mine(struct visit *visit, const struct report_values *values, bool choose,
                      struct err *err)
{
    report_values_put(visit, values);
    data_flag(visit->data, "choose", choose);
    if (visit_has_complaints(visit))
        visit->status = 422;
    return visit_show(visit, "report-mine", err);
}

bool page_report_mine(struct visit *visit, struct err *err)
{
    struct report_values values;
    bool choose;

    return read_mine(visit, &values, &choose, err) && show_mine(visit, &values, choose, err);
}

/* Who may not choose may still turn them off. */
static bool only_switch(struct visit *visit, const struct report_values *values, struct err *err)
{
    const char *on = strcmp(form_value(&visit->form, "enabled"), "no") == 0 ? "no" : "default";
    struct report_given given = {"enabled", on};

    return report_setting_set(visit->db, REPORT_OF_USER, values->name, &given, 1,
                              visit->session.login, err);
}

bool do_report_mine(struct visit *visit, struct err *err)
{
    struct report_values values;
    bool choose, saved = true;

    if (!read_mine(visit, &values, &choose, err))
        return false;
    report_values_take_form(visit, &values);
    if (!(choose && form_has(&visit->form, "settings") ? save(visit, &values, &saved, err)
                                                       : only_switch(visit, &values, err)))
        return false;
    return saved ? visit_go(visit, visit_words(visit, "Saved; your next report is made so."),
                            "/reports/mine")
                 : show_mine(visit, &values, choose, err);
}
