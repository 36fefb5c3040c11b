/* visit_form - see visit.h; here: what is said about a form that has to be looked at again */
#include <stdio.h>
#include <string.h>

#include "panel/say.h"
#include "panel/view.h"
#include "panel/visit.h"

static struct data *child(struct data *map, const char *key)
{
    for (struct data *d = map->first; d != NULL; d = d->next)
        if (strcmp(d->key, key) == 0)
            return d;
    return data_child(map, key);
}

const char *visit_say(struct visit *visit, const char *text)
{
    return say(visit->arena, view_language(visit), text);
}

void visit_complain(struct visit *visit, const char *field, const char *complaint)
{
    const char *text = visit_say(visit, complaint);
    struct data *list = NULL;

    for (struct data *d = visit->data->first; d != NULL; d = d->next)
        if (strcmp(d->key, "complaints") == 0)
            list = d;
    if (list == NULL)
        list = data_list(visit->data, "complaints");
    struct data *one = data_item(list);
    data_text(one, "field", field);
    data_text(one, "text", text);
    data_text(child(visit->data, "errors"), arena_text(visit->arena, span_text(field)), text);
}

bool visit_complain_of(struct visit *visit, const struct err *err, const char *otherwise)
{
    size_t len = strcspn(err->text, ":");
    char field[48];

    if (err->class != ERR_DATA && err->class != ERR_USAGE)
        return false;
    snprintf(field, sizeof field, "%.*s", (int)len, err->text);
    for (char *c = field; *c != '\0'; c++)
        *c = *c == '-' ? '_' : *c;
    bool named = strncmp(err->text + len, ": ", 2) == 0 && form_has(&visit->form, field);
    visit_complain(visit, named ? field : otherwise, named ? err->text + len + 2 : err->text);
    visit->status = 422;
    return true;
}

bool visit_has_complaints(const struct visit *visit)
{
    return data_true(data_get(visit->data, span_text("complaints")));
}

void visit_keep_form(struct visit *visit)
{
    struct data *map = child(visit->data, "form");

    for (size_t i = 0; i < visit->form.count; i++) {
        const struct form_field *field = &visit->form.fields[i];
        if (strcmp(field->name, "token") != 0 && strstr(field->name, "password") == NULL)
            data_span(map, arena_text(visit->arena, span_text(field->name)),
                      span_of(field->value, field->len));
    }
}

bool visit_refused(struct visit *visit, const struct err *err, const char *otherwise)
{
    visit_keep_form(visit);
    return visit_complain_of(visit, err, otherwise);
}

size_t visit_chosen(const struct visit *visit, const char *name, size_t most, struct buf *array)
{
    size_t count = 0;
    int64_t number;

    buf_text(array, "{");
    for (size_t i = 0; i < visit->form.count && count < most; i++) {
        const struct form_field *field = &visit->form.fields[i];
        if (strcmp(field->name, name) == 0 && str_int64(span_text(field->value), &number) &&
            number > 0)
            buf_printf(array, "%s%lld", count++ > 0 ? "," : "", (long long)number);
    }
    buf_text(array, "}");
    return count;
}
