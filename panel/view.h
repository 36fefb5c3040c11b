/*
 * view - templates of the panel, compiled once; what is around every page; words in a language
 */
#ifndef ROLLCALL_PANEL_VIEW_H
#define ROLLCALL_PANEL_VIEW_H

#include "lib/text.h"
#include "panel/visit.h"

/* Files that are compiled in: "templates/sign-in.html", "static/app.css". */
struct panel_file {
    const char *name;
    const char *bytes;
    size_t len;
};
extern const struct panel_file panel_files[];
extern const size_t panel_file_count;
const struct panel_file *view_file(const char *folder, struct span name);

/* Compiles every template; err names the one that is wrong. */
bool views_open(struct views **views, struct err *err) MUST_CHECK;
void views_free(struct views **views);
/* The taste of who is here, else what the browser would rather read. */
enum text_language view_language(const struct visit *visit);
/* Renders visit->data into visit->body. */
bool view_render(struct visit *visit, const char *template, struct err *err) MUST_CHECK;

/* Rows of a result become maps with the columns as keys; what a column's name begins with says what
 * it holds: is_… a flag, n_… a number for people, at_… a time (text of PostgreSQL);
 * "why" is what lib says (say.h). */
void view_row(struct data *map, const struct db_result *rows, size_t row);
void view_rows(struct data *map, const char *key, const struct db_result *rows);
/* The first of them. */
void view_some(struct data *map, const char *key, const struct db_result *rows, size_t most);
/* The element of the list whose text under `key` is that one gets the flag is_chosen. */
void view_choose(struct data *map, const char *list, const char *key, const char *text);
void view_time(struct data *map, const char *key, struct span text);

#endif
