/* report_values - see report_values.h */
#include "panel/report_values.h"

#include <stdio.h>
#include <string.h>

#include "lib/text.h"
#include "panel/model.h"

static const char *const day_labels[] = {N_("Mon"), N_("Tue"), N_("Wed"), N_("Thu"),
                                         N_("Fri"), N_("Sat"), N_("Sun")};
static const char *const days[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
static const char *const categories[] = {"spam", "bulk", "virus", "content"};
static const char *const category_labels[] = {N_("Spam"), N_("Info mail"), N_("Viruses"),
                                              N_("Forbidden content")};
enum { HOURS = 24 };

bool report_list_has(const char *list, const char *word)
{
    struct span rest = span_text(list), one;

    if (strcmp(list, "all") == 0)
        return true;
    while (span_next(&rest, ',', &one))
        if (span_equals(span_trim(one), word))
            return true;
    return false;
}

/* ---- what is kept ---- */

struct taking {
    struct visit *visit;
    const char **values;
};

static void take_row(void *context, const struct report_setting_row *row, const char *value)
{
    const struct taking *taking = context;

    /* none is "" there, and stands for "none" here: "" is not set */
    taking->values[row - report_setting_rows] =
        value == NULL      ? ""
        : value[0] == '\0' ? "none"
                           : arena_text(taking->visit->arena, span_text(value));
}

static const char *preset_of(const struct visit *visit, const struct report_setting_row *row)
{
    const struct conf *conf = visit->panel->conf;

    if (strcmp(row->name, "zone") == 0)
        return conf->report_zone;
    if (strcmp(row->name, "language") == 0)
        return text_languages[conf->report_language];
    return row->preset;
}

bool report_values_read(struct visit *visit, enum report_of of, const char *id,
                        struct report_values *values, struct err *err)
{
    struct taking own = {visit, values->own}, above = {visit, values->above};
    char domain[254], customer[801];

    *values = (struct report_values){.of = of, .id = id};
    if (of == REPORT_OF_DOMAIN) {
        if (!model_domain_name(visit->db, id, domain, err) ||
            !model_customer_of(visit->db, id, customer, err))
            return false;
        snprintf(values->name, sizeof values->name, "%s", domain);
        if (!report_setting_show(visit->db, REPORT_OF_CUSTOMER, customer, take_row, &above, err))
            return false;
    } else if (!model_customer_name(visit->db, id, values->name, err))
        return false;
    if (!report_setting_show(visit->db, of, values->name, take_row, &own, err))
        return false;
    for (size_t i = 0; i < report_setting_count; i++)
        if (values->above[i] == NULL || values->above[i][0] == '\0')
            values->above[i] = preset_of(visit, &report_setting_rows[i]);
    return true;
}

/* ---- what is typed ---- */

static char *field_name(struct visit *visit, const char *setting)
{
    char *name = arena_text(visit->arena, span_text(setting));

    for (char *c = name; *c != '\0'; c++)
        *c = *c == '-' ? '_' : *c;
    return name;
}

/* Boxes of one name make a list. */
static const char *typed(struct visit *visit, const char *name)
{
    BUF_AUTO list = {0};

    buf_text(&list, "");
    for (size_t i = 0; i < visit->form.count; i++)
        if (strcmp(visit->form.fields[i].name, name) == 0) {
            struct span value = span_trim(span_text(visit->form.fields[i].value));
            buf_text(&list, list.len > 0 ? "," : "");
            buf_append(&list, value.at, value.len);
        }
    return arena_text(visit->arena, span_of(list.at, list.len));
}

void report_values_take_form(struct visit *visit, struct report_values *values)
{
    if (!form_has(&visit->form, "settings"))
        return;
    for (size_t i = 0; i < report_setting_count; i++)
        values->own[i] = typed(visit, field_name(visit, report_setting_rows[i].name));
}

const char *report_value(const struct report_values *values, const char *setting)
{
    for (size_t i = 0; i < report_setting_count; i++)
        if (strcmp(report_setting_rows[i].name, setting) == 0) {
            const char *own = values->own[i];
            const char *value = own != NULL && own[0] != '\0' ? own : values->above[i];
            return value != NULL && strcmp(value, "none") != 0 ? value : "";
        }
    return "";
}

/* ---- onto the page ---- */

static void put_boxes(struct visit *visit, const char *key, const char *const *words,
                      const char *const *labels, size_t count, const char *chosen)
{
    struct data *list = data_list(visit->data, key);

    for (size_t i = 0; i < count; i++) {
        struct data *one = data_item(list);
        data_text(one, "word", words[i]);
        data_text(one, "label", visit_words(visit, labels[i]));
        data_flag(one, "is_on", chosen[0] != '\0' && report_list_has(chosen, words[i]));
    }
}

static void put_hours(struct visit *visit, const char *chosen)
{
    struct data *list = data_list(visit->data, "hours");
    char word[4], label[8];

    for (int hour = 0; hour < HOURS; hour++) {
        struct data *one = data_item(list);
        snprintf(word, sizeof word, "%d", hour);
        snprintf(label, sizeof label, "%02d", hour);
        data_text(one, "word", word);
        data_text(one, "label", label);
        data_flag(one, "is_on", chosen[0] != '\0' && report_list_has(chosen, word));
    }
}

void report_values_put(struct visit *visit, const struct report_values *values)
{
    struct data *settings = data_child(visit->data, "settings");
    struct data *above = data_child(visit->data, "above");

    for (size_t i = 0; i < report_setting_count; i++) {
        const char *name = field_name(visit, report_setting_rows[i].name);
        const char *own = values->own[i] != NULL ? values->own[i] : "";
        data_text(settings, name, own);
        data_text(above, name, values->above[i] != NULL ? values->above[i] : "");
        if (strcmp(name, "days") == 0)
            put_boxes(visit, "days", days, day_labels, 7, own);
        if (strcmp(name, "categories") == 0)
            put_boxes(visit, "categories", categories, category_labels, 4, own);
        if (strcmp(name, "hours") == 0)
            put_hours(visit, own);
    }
}
