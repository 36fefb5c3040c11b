/*
 * data - what a page shows: a tree of maps, lists and texts that lives in one arena and goes with
 * it
 *
 * Keys are literals of the program (or names of columns in an arena) and are not copied; texts are.
 */
#ifndef ROLLCALL_PANEL_DATA_H
#define ROLLCALL_PANEL_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/str.h"
#include "lib/text.h"

/* Memory that is given back all at once. */
struct arena;
struct arena *arena_new(void);
void arena_free(struct arena **arena);
void *arena_alloc(struct arena *arena, size_t size); /* zeroed, aligned for pointers */
char *arena_text(struct arena *arena, struct span text);
/* The reader's language, which numbers and times are written in; English until it is set. */
void arena_speak(struct arena *arena, enum text_language language);
enum text_language arena_language(const struct arena *arena);

enum data_kind { DATA_TEXT, DATA_FLAG, DATA_MAP, DATA_LIST };
struct data {
    enum data_kind kind;
    struct arena *arena;
    struct span text;
    bool flag;
    const char *key;                  /* in a map */
    struct data *first, *last, *next; /* children in order; the next sibling */
    size_t count;
};

struct data *data_map(struct arena *arena);
/* Members of a map; of two with one key the later one counts. */
void data_span(struct data *map, const char *key, struct span text);
void data_text(struct data *map, const char *key, const char *text);
void data_int(struct data *map, const char *key, int64_t number);
/* As people of the arena's language write it. */
void data_count(struct data *map, const char *key, int64_t number);
void data_flag(struct data *map, const char *key, bool flag);
struct data *data_child(struct data *map, const char *key);
struct data *data_list(struct data *map, const char *key);
/* One more element of a list: a map, or a text. */
struct data *data_item(struct data *list);
void data_item_text(struct data *list, struct span text);

/* NULL: none of that key. */
const struct data *data_get(const struct data *map, struct span key);
/* What a condition asks: a text that is not empty, a list or map with something in it, a flag. */
bool data_true(const struct data *data);

#endif
