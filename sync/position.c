/* position - see position.h */
#include "sync/position.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/secret.h"

/* ---- in memory ---- */

void position_free(struct position *p)
{
    for (size_t i = 0; i < p->source_count; i++)
        free(p->sources[i].name);
    free(p->sources);
    *p = (struct position){0};
}

struct position_source *position_source(struct position *p, const char *name)
{
    for (size_t i = 0; i < p->source_count; i++)
        if (strcmp(p->sources[i].name, name) == 0)
            return &p->sources[i];
    if (p->source_count == POSITION_SOURCES_MOST)
        return NULL;
    if (p->sources == NULL)
        p->sources = mem_zero(POSITION_SOURCES_MOST, sizeof *p->sources);
    p->sources[p->source_count].name = mem_text(name);
    return &p->sources[p->source_count++];
}

struct position_file *position_new_file(struct position_source *source)
{
    struct position_file *file = &source->files[0];

    if (source->file_count < POSITION_FILES_MOST)
        file = &source->files[source->file_count++];
    else
        for (size_t i = 1; i < source->file_count; i++)
            if (source->files[i].seen_us < file->seen_us)
                file = &source->files[i];
    *file = (struct position_file){0};
    return file;
}

/* Files are told apart, not protected: the key is no secret. */
uint64_t position_hash(struct span bytes)
{
    static const uint8_t key[SECRET_HASH_KEY] = "rollcall-log";

    return secret_hash64(bytes.at, bytes.len, key);
}

/* ---- in PostgreSQL ---- */

/* clang-format off */
static const char row_sql[] =
    "select sequence, (extract(epoch from read_from) * 1000000)::bigint,"
    " (extract(epoch from read_to) * 1000000)::bigint from log_position where gateway = $1";
static const char sources_sql[] =
    "select s.key, s.value->>'cursor', (s.value->>'run')::bigint, (s.value->>'progress')::bigint"
    " from log_position p cross join jsonb_each(p.sources) s where p.gateway = $1 order by 1";
static const char files_sql[] =
    "select s.key, (f->>'head_len')::bigint, f->>'head', (f->>'offset')::bigint,"
    " (f->>'tail_len')::bigint, f->>'tail', (f->>'last')::bigint, (f->>'seen')::bigint,"
    " (f->>'ended')::boolean from log_position p cross join jsonb_each(p.sources) s"
    " cross join jsonb_array_elements(s.value->'files') f where p.gateway = $1";
/* clang-format on */

static void load_file(struct position *p, const struct db_result *r, size_t row)
{
    struct position_source *source = position_source(p, db_text(r, row, 0));

    if (source == NULL || source->file_count == POSITION_FILES_MOST)
        return;
    *position_new_file(source) = (struct position_file){
        .head_len = (uint32_t)db_int(r, row, 1),
        .head = strtoull(db_text(r, row, 2), NULL, 16),
        .offset = db_int(r, row, 3),
        .tail_len = (uint32_t)db_int(r, row, 4),
        .tail = strtoull(db_text(r, row, 5), NULL, 16),
        .last_us = db_int(r, row, 6),
        .seen_us = db_int(r, row, 7),
        .ended = db_bool(r, row, 8),
    };
}

static void load_source(struct position *p, const struct db_result *r, size_t row)
{
    struct position_source *source = position_source(p, db_text(r, row, 0));

    if (source == NULL)
        return;
    snprintf(source->cursor, sizeof source->cursor, "%s", db_text(r, row, 1));
    source->run_us = db_int(r, row, 2);
    source->progress_us = db_int(r, row, 3);
}

static bool damaged(const char *gateway, struct err *err)
{
    return err_prefix(err,
                      "gateway %s: its row of log_position is damaged; put it right, or delete it "
                      "and the current log is read from its beginning",
                      gateway);
}

bool position_load(struct position *p, struct db *db, const char *gateway, struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    DB_RESULT_AUTO sources = NULL;
    DB_RESULT_AUTO files = NULL;

    *p = (struct position){0};
    if (!db_query(db, &row, row_sql, DB_VALUES(gateway), err) ||
        !db_query(db, &sources, sources_sql, DB_VALUES(gateway), err) ||
        !db_query(db, &files, files_sql, DB_VALUES(gateway), err))
        return err->class == ERR_DATA && damaged(gateway, err);
    if (db_rows(row) == 0)
        return true;
    p->sequence = db_int(row, 0, 0);
    p->read_from_us = db_int(row, 0, 1);
    p->read_to_us = db_int(row, 0, 2);
    for (size_t i = 0; i < db_rows(sources); i++)
        load_source(p, sources, i);
    for (size_t i = 0; i < db_rows(files); i++)
        load_file(p, files, i);
    return true;
}

static void write_file(const struct position_file *f, struct buf *out)
{
    buf_printf(out,
               "{\"head_len\":%" PRIu32 ",\"head\":\"%016" PRIx64 "\",\"offset\":%" PRId64
               ",\"tail_len\":%" PRIu32 ",\"tail\":\"%016" PRIx64 "\",\"last\":%" PRId64
               ",\"seen\":%" PRId64 ",\"ended\":%s}",
               f->head_len, f->head, f->offset, f->tail_len, f->tail, f->last_us, f->seen_us,
               f->ended ? "true" : "false");
}

static void write_sources(const struct position *p, struct buf *out)
{
    buf_text(out, "{");
    for (size_t i = 0; i < p->source_count; i++) {
        const struct position_source *s = &p->sources[i];
        buf_text(out, i > 0 ? ",\"" : "\"");
        buf_json(out, span_text(s->name));
        buf_text(out, "\":{\"cursor\":\"");
        buf_json(out, span_text(s->cursor));
        buf_printf(out, "\",\"run\":%" PRId64 ",\"progress\":%" PRId64 ",\"files\":[", s->run_us,
                   s->progress_us);
        for (size_t k = 0; k < s->file_count; k++) {
            buf_text(out, k > 0 ? "," : "");
            write_file(&s->files[k], out);
        }
        buf_text(out, "]}");
    }
    buf_text(out, "}");
}

bool position_move(struct position *p, struct db *db, const char *gateway, struct err *err)
{
    DB_RESULT_AUTO moved = NULL;
    BUF_AUTO sources = {0};
    char sequence[24], from[32], to[32];

    snprintf(sequence, sizeof sequence, "%" PRId64, p->sequence);
    clock_rfc3339(from, sizeof from, p->read_from_us);
    clock_rfc3339(to, sizeof to, p->read_to_us);
    write_sources(p, &sources);
    if (!db_query(db, &moved,
                  "select observe_position($1, $2::bigint, $3::timestamptz, $4::timestamptz,"
                  " $5::jsonb)",
                  DB_VALUES(gateway, sequence, from, to, sources.at), err)) {
        if (strcmp(db_sqlstate(db), "RC010") == 0)
            err_set(err, ERR_TEMPORARY,
                    "gateway %s: its logs were read by another run meanwhile; nothing is counted "
                    "twice. Does another host have the same gateway_name?",
                    gateway);
        return false;
    }
    p->sequence = db_int(moved, 0, 0);
    return true;
}
