/* data - see data.h */
#include "panel/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16 * 1024, ALIGN = 16 };

struct block {
    struct block *next;
    size_t used, room;
};
struct arena {
    struct block *blocks;
    enum text_language language;
};

struct arena *arena_new(void)
{
    return mem_zero(1, sizeof(struct arena));
}

void arena_free(struct arena **arena)
{
    if (*arena == NULL)
        return;
    for (struct block *b = (*arena)->blocks, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    free(*arena);
    *arena = NULL;
}

void arena_speak(struct arena *arena, enum text_language language)
{
    arena->language = language;
}

enum text_language arena_language(const struct arena *arena)
{
    return arena->language;
}

static size_t rounded(size_t size)
{
    return (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

void *arena_alloc(struct arena *arena, size_t size)
{
    struct block *b = arena->blocks;
    size_t head = rounded(sizeof *b), want = rounded(size);

    if (b == NULL || b->room - b->used < want) {
        size_t room = head + (want > BLOCK ? want : BLOCK);
        b = mem_alloc(room);
        *b = (struct block){.next = arena->blocks, .used = head, .room = room};
        arena->blocks = b;
    }
    void *at = (char *)b + b->used;
    b->used += want;
    return memset(at, 0, want);
}

char *arena_text(struct arena *arena, struct span text)
{
    char *at = arena_alloc(arena, text.len + 1);

    if (text.len > 0)
        memcpy(at, text.at, text.len);
    return at;
}

static struct data *node(struct arena *arena, enum data_kind kind)
{
    struct data *data = arena_alloc(arena, sizeof *data);

    data->kind = kind;
    data->arena = arena;
    return data;
}

static struct data *append(struct data *parent, const char *key, enum data_kind kind)
{
    struct data *child = node(parent->arena, kind);

    child->key = key;
    if (parent->last != NULL)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->count++;
    return child;
}

struct data *data_map(struct arena *arena)
{
    return node(arena, DATA_MAP);
}

void data_span(struct data *map, const char *key, struct span text)
{
    struct data *child = append(map, key, DATA_TEXT);

    child->text = span_of(arena_text(map->arena, text), text.len);
}

void data_text(struct data *map, const char *key, const char *text)
{
    data_span(map, key, span_text(text));
}

void data_int(struct data *map, const char *key, int64_t number)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)number);
    data_text(map, key, text);
}

void data_count(struct data *map, const char *key, int64_t number)
{
    BUF_AUTO text = {0};

    text_number(&text, map->arena->language, number);
    data_text(map, key, text.at);
}

void data_flag(struct data *map, const char *key, bool flag)
{
    append(map, key, DATA_FLAG)->flag = flag;
}

struct data *data_child(struct data *map, const char *key)
{
    return append(map, key, DATA_MAP);
}

struct data *data_list(struct data *map, const char *key)
{
    return append(map, key, DATA_LIST);
}

struct data *data_item(struct data *list)
{
    return append(list, NULL, DATA_MAP);
}

void data_item_text(struct data *list, struct span text)
{
    struct data *child = append(list, NULL, DATA_TEXT);

    child->text = span_of(arena_text(list->arena, text), text.len);
}

const struct data *data_get(const struct data *map, struct span key)
{
    const struct data *found = NULL;

    if (map->kind != DATA_MAP)
        return NULL;
    for (const struct data *d = map->first; d != NULL; d = d->next)
        if (span_equals(key, d->key))
            found = d;
    return found;
}

bool data_true(const struct data *data)
{
    if (data == NULL)
        return false;
    switch (data->kind) {
    case DATA_TEXT:
        return data->text.len > 0;
    case DATA_FLAG:
        return data->flag;
    default:
        return data->count > 0;
    }
}
