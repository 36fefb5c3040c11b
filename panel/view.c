/* view - see view.h */
#include "panel/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/clock.h"
#include "lib/when.h"
#include "panel/route.h"
#include "panel/say.h"

enum { VIEWS_MOST = 128 };

struct views {
    const char *names[VIEWS_MOST];
    struct template *templates[VIEWS_MOST];
    size_t count;
    char version[17]; /* of what is static, so that browsers may keep it */
};

const struct panel_file *view_file(const char *folder, struct span name)
{
    STR_AUTO whole = mem_printf("%s/%.*s", folder, (int)name.len, name.at);

    for (size_t i = 0; i < panel_file_count; i++)
        if (strcmp(panel_files[i].name, whole) == 0)
            return &panel_files[i];
    return NULL;
}

static bool find_source(void *context, struct span name, struct span *text)
{
    STR_AUTO file = mem_printf("%.*s.html", (int)name.len, name.at);
    const struct panel_file *found = view_file("templates", span_text(file));

    (void)context;
    if (found != NULL)
        *text = span_of(found->bytes, found->len);
    return found != NULL;
}

static void make_version(struct views *views)
{
    struct secret_digesting *digesting = secret_digest_begin();
    uint8_t digest[SECRET_DIGEST];

    for (size_t i = 0; i < panel_file_count; i++)
        if (strncmp(panel_files[i].name, "static/", 7) == 0)
            secret_digest_add(digesting, panel_files[i].bytes, panel_files[i].len);
    secret_digest_end(&digesting, digest);
    for (size_t i = 0; i < 8; i++)
        snprintf(views->version + 2 * i, 3, "%02x", digest[i]);
}

bool views_open(struct views **views, struct err *err)
{
    static const char folder[] = "templates/";
    struct views *v = mem_zero(1, sizeof *v);
    bool fine = true;

    *views = v;
    make_version(v);
    for (size_t i = 0; fine && i < panel_file_count; i++) {
        const struct panel_file *file = &panel_files[i];
        if (strncmp(file->name, folder, strlen(folder)) != 0 || v->count == VIEWS_MOST)
            continue;
        v->names[v->count] = file->name + strlen(folder);
        fine = template_compile(&v->templates[v->count], span_of(file->bytes, file->len),
                                find_source, NULL, err) ||
               err_prefix(err, "%s", file->name);
        v->count += fine;
    }
    if (!fine)
        views_free(views);
    return fine;
}

void views_free(struct views **views)
{
    if (*views == NULL)
        return;
    for (size_t i = 0; i < (*views)->count; i++)
        template_free(&(*views)->templates[i]);
    free(*views);
    *views = NULL;
}

static const struct template *find_template(const struct views *views, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < views->count; i++)
        if (strncmp(views->names[i], name, len) == 0 && strcmp(views->names[i] + len, ".html") == 0)
            return views->templates[i];
    return NULL;
}

/* Who is here and where: for the head of every page. */
static void put_surroundings(struct visit *visit)
{
    const struct session *session = &visit->session;
    bool in = session->role != ROLE_NOBODY && !session->pending;
    struct data *me = data_child(visit->data, "me");

    data_text(visit->data, "version", visit->panel->views->version);
    data_text(visit->data, "language", text_languages[view_language(visit)]);
    data_flag(visit->data, "signed_in", in);
    data_text(visit->data, "tab", visit->route != NULL ? visit->route->tab : "");
    if (!in)
        return;
    data_text(me, "login", session->login);
    data_text(me, "customer", session->customer_name);
    data_flag(me, "operator", session->role == ROLE_OPERATOR);
    data_flag(me, "manages", session->role == ROLE_OPERATOR || session->role == ROLE_ADMIN);
    data_flag(me, "user", session->role == ROLE_USER);
    data_flag(me, "second_factor", session->second_factor);
}

/* ---- languages ---- */

/* What a browser would rather read: of ours the one with the highest weight (RFC 9110 section
 * 12.5.4), the first of equals. */
static enum text_language accepted(const char *header)
{
    enum text_language best = TEXT_EN, language;
    struct span rest = span_text(header), piece, tag, weight;
    int most = 0;

    while (span_next(&rest, ',', &piece)) {
        struct span more = span_trim(piece), code;
        int q = 1000;
        if (!span_next(&more, ';', &tag))
            continue;
        weight = span_trim(more);
        if (weight.at != NULL && weight.len > 2 && memcmp(weight.at, "q=", 2) == 0)
            q = (int)(strtod(weight.at + 2, NULL) * 1000);
        tag = span_trim(tag);
        if (!span_next(&tag, '-', &code)) /* de-AT: de */
            continue;
        STR_AUTO name = mem_span(code);
        for (char *c = name; *c != '\0'; c++)
            *c = str_lower(*c);
        if (q > most && text_language_find(name, &language)) {
            best = language;
            most = q;
        }
    }
    return best;
}

enum text_language view_language(const struct visit *visit)
{
    enum text_language language;

    if (visit->session.language[0] != '\0' &&
        text_language_find(visit->session.language, &language))
        return language;
    return visit->languages != NULL ? accepted(visit->languages) : TEXT_EN;
}

const char *visit_words(const struct visit *visit, const char *text)
{
    return text_get(view_language(visit), text);
}

static const char *translate(const void *context, const char *one, const char *many, int64_t number)
{
    const enum text_language *language = context;

    return many != NULL ? text_plural(*language, one, many, number) : text_get(*language, one);
}

bool view_render(struct visit *visit, const char *name, struct err *err)
{
    const enum text_language language = view_language(visit);
    const struct template_words words = {.translate = translate, .context = &language};
    const struct template *template = find_template(visit->panel->views, name);

    if (template == NULL)
        return err_set(err, ERR_OTHER, "there is no template %s", name);
    put_surroundings(visit);
    template_render(template, visit->data, &words, &visit->body);
    return true;
}

static void put_when(struct data *time, const char *key, enum when_style style, struct when when)
{
    BUF_AUTO text = {0};

    when_text(&text, arena_language(time->arena), style, when);
    data_text(time, key, text.at);
}

/* For machines: RFC 3339. */
static void put_machine_time(struct data *time, struct when when)
{
    time_t seconds = (time_t)when.local;
    int minutes = abs(when.offset) / 60;
    char text[48] = "";
    struct tm t;

    if (gmtime_r(&seconds, &t) == NULL)
        return;
    size_t used = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(text + used, sizeof text - used, "%c%02d:%02d", when.offset < 0 ? '-' : '+',
             minutes / 60, minutes % 60);
    data_text(time, "machine", text);
}

/* "2026-11-23 19:38:57.705239+01" as people read it, with all of it beside. */
void view_time(struct data *map, const char *key, struct span text)
{
    struct data *time = data_child(map, key);
    struct when when;

    if (!when_parse(text, &when)) { /* none; or not a timestamptz's text: shown as it is */
        data_span(time, "day", text);
        data_span(time, "short", text);
        data_span(time, "exact", text);
        return;
    }
    put_when(time, "day", WHEN_DAY, when);
    put_when(time, "short", WHEN_MINUTE, when);
    put_when(time, "exact", WHEN_EXACT, when);
    put_machine_time(time, when);
}

static void put_cell(struct data *map, const char *key, const struct db_result *rows, size_t row,
                     int column)
{
    if (strncmp(key, "is_", 3) == 0)
        data_flag(map, key, db_bool(rows, row, column));
    else if (strncmp(key, "n_", 2) == 0 && !db_null(rows, row, column))
        data_count(map, key, db_int(rows, row, column));
    else if (strcmp(key, "why") == 0)
        data_text(map, key,
                  say(map->arena, arena_language(map->arena), db_text(rows, row, column)));
    else if (strncmp(key, "at_", 3) == 0)
        view_time(map, key, db_span(rows, row, column));
    else
        data_span(map, key, db_span(rows, row, column));
}

void view_row(struct data *map, const struct db_result *rows, size_t row)
{
    for (size_t c = 0; c < db_columns(rows); c++)
        put_cell(map, arena_text(map->arena, span_text(db_column_name(rows, (int)c))), rows, row,
                 (int)c);
}

void view_rows(struct data *map, const char *key, const struct db_result *rows)
{
    view_some(map, key, rows, db_rows(rows));
}

void view_some(struct data *map, const char *key, const struct db_result *rows, size_t most)
{
    struct data *list = data_list(map, key);
    size_t columns = db_columns(rows);
    const char **names = arena_alloc(map->arena, (columns + 1) * sizeof *names);

    for (size_t c = 0; c < columns; c++)
        names[c] = arena_text(map->arena, span_text(db_column_name(rows, (int)c)));
    for (size_t row = 0; row < db_rows(rows) && row < most; row++) {
        struct data *map_row = data_item(list);
        for (size_t c = 0; c < columns; c++)
            put_cell(map_row, names[c], rows, row, (int)c);
    }
}

void view_choose(struct data *map, const char *list, const char *key, const char *text)
{
    for (struct data *d = map->first; d != NULL; d = d->next) {
        if (strcmp(d->key, list) != 0)
            continue;
        for (struct data *one = d->first; one != NULL; one = one->next) {
            const struct data *value = data_get(one, span_text(key));
            if (value != NULL && span_equals(value->text, text))
                data_flag(one, "is_chosen", true);
        }
    }
}
