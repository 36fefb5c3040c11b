/* flush - see flush.h */
#include "sync/flush.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/addr.h"
#include "lib/clock.h"
#include "lib/db.h"
#include "lib/schema.h"
#include "lib/spawn.h"

static const int64_t UNLOCK_US = 10 * CLOCK_SECOND;

struct flush {
    const struct flush_options *options;
    bool whole_domain;
    struct addr addr; /* only the domain counts with whole_domain */
};

/* ---- PostgreSQL ---- */

static bool forget(struct flush *f, struct db *db, int64_t *count, struct err *err)
{
    DB_RESULT_AUTO domain = NULL;
    DB_RESULT_AUTO gone = NULL;

    if (!db_query(db, &domain,
                  "select coalesce(alias_of, id), case_sensitive from domain where name = $1"
                  " and state = 'active'",
                  DB_VALUES(f->addr.domain), err))
        return false;
    if (db_rows(domain) == 0)
        return err_set(err, ERR_DATA, "%s: is not served here", f->addr.domain);
    if (!f->whole_domain && !db_bool(domain, 0, 1) &&
        !addr_parse(span_text(f->options->target), true, &f->addr, err))
        return false;
    if (!db_query(db, &gone, "select observe_forget($1, $2::int, $3)",
                  DB_VALUES(f->options->gateway, db_text(domain, 0, 0),
                            f->whole_domain ? NULL : f->addr.local),
                  err))
        return false;
    *count = db_int(gone, 0, 0);
    return true;
}

static bool forget_in_database(struct flush *f, struct err *err)
{
    const struct conf *conf = f->options->conf;
    struct db_options options = {.conninfo = conf->database,
                                 .target = DB_PRIMARY,
                                 .timeout_us = conf->database_timeout,
                                 .program = "rollcall-observe"};
    struct db *db;
    int64_t count = 0;

    if (!db_open(&db, &options, err))
        return false;
    bool fine = schema_check(db, err) && forget(f, db, &count, err);
    db_close(&db);
    if (fine)
        printf("PostgreSQL: %lld refusal%s forgotten, on every gateway\n", (long long)count,
               count == 1 ? "" : "s");
    return fine;
}

/* ---- Postfix's map ---- */

static bool run_program(const char *const *argv, struct span input, struct buf *out,
                        struct err *err)
{
    struct spawn_output output = {0};
    bool fine = spawn_run(argv, input, &output, err);

    if (fine && output.code != 0)
        fine = err_set(err, ERR_OTHER, "%s: exit %d: %.*s", argv[0], output.code,
                       output.errors.len > 300 ? 300 : (int)output.errors.len,
                       output.errors.len > 0 ? output.errors.at : "");
    if (fine && out != NULL)
        buf_append(out, output.out.at != NULL ? output.out.at : "", output.out.len);
    spawn_output_free(&output);
    return fine;
}

/* address_verify_map, "btree:/var/lib/postfix/verify_cache"; empty: memory only. */
static bool map_name(const struct flush *f, struct buf *map, struct err *err)
{
    const char *const argv[] = {
        "postconf",           "-c", f->options->conf->postfix_config_directory, "-xh",
        "address_verify_map", NULL};

    if (!run_program(argv, span_text(""), map, err))
        return false;
    struct span name = span_trim(span_of(map->at, map->len));
    memmove(map->at, name.at, name.len);
    map->len = name.len;
    map->at[map->len] = '\0';
    return true;
}

/* Whether somebody holds the lock that Postfix takes on such a map: flock on the .db file. */
static bool is_locked(const char *map)
{
    const char *path = strchr(map, ':');
    STR_AUTO file = mem_printf("%s.db", path != NULL ? path + 1 : map);
    int fd = open(file, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    bool locked = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return locked;
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool wait_unlocked(const char *map)
{
    int64_t end = clock_elapsed_us() + UNLOCK_US;

    while (is_locked(map) && clock_elapsed_us() < end)
        poll(NULL, 0, 20);
    return !is_locked(map);
}

/* Makes sure that postmap would not wait for verify(8). */
static bool open_way(const struct flush *f, const char *map, struct err *err)
{
    const char *const argv[] = {"postfix", "-c", f->options->conf->postfix_config_directory,
                                "reload", NULL};

    if (map[0] == '\0')
        return err_set(err, ERR_TEMPORARY,
                       "Postfix keeps its answers in memory only (address_verify_map is empty): "
                       "'postfix reload' forgets them all");
    if (starts(map, "proxy:") || starts(map, "memcache:"))
        return err_set(err, ERR_TEMPORARY,
                       "address_verify_map is %s, which cannot be changed from here: its answers "
                       "go when they expire (address_verify_negative_refresh_time)",
                       map);
    if (!is_locked(map))
        return true;
    if (!f->options->reload)
        return err_set(err, ERR_TEMPORARY,
                       "Postfix's verify(8) holds %s while it runs: say --reload, which ends it "
                       "for a moment, or have address_verify_map = lmdb:…",
                       map);
    return run_program(argv, span_text(""), NULL, err) &&
           (wait_unlocked(map) ||
            err_set(err, ERR_TEMPORARY, "Postfix's verify(8) is busy again already; try again"));
}

/* A line of `postmap -s`: "key<TAB>status:…", where status 0 is a yes. */
static bool is_negative_of(struct span line, const char *domain, struct span *key)
{
    struct span rest = line;

    if (!span_next(&rest, '\t', key) || rest.len < 2 || rest.at[0] == '0')
        return false;
    const char *at = memrchr(key->at, '@', key->len);
    size_t len = at != NULL ? key->len - (size_t)(at + 1 - key->at) : 0;
    return at != NULL && len == strlen(domain) && strncasecmp(at + 1, domain, len) == 0;
}

static bool list_keys(const struct flush *f, const char *map, struct buf *keys, struct err *err)
{
    const char *const argv[] = {"postmap", "-c", f->options->conf->postfix_config_directory,
                                "-s",      map,  NULL};
    BUF_AUTO all = {0};
    struct span rest, line, key;

    if (!run_program(argv, span_text(""), &all, err))
        return false;
    for (rest = span_of(all.at, all.len); rest.len > 0 && span_next(&rest, '\n', &line);)
        if (is_negative_of(line, f->addr.domain, &key)) {
            buf_append(keys, key.at, key.len);
            buf_text(keys, "\n");
        }
    return true;
}

/* verify(8) keeps an address as it was asked for: as written, and as it is normalised. */
static void write_keys(const struct flush *f, struct buf *keys)
{
    buf_printf(keys, "%s\n", f->options->target);
    buf_printf(keys, "%s@%s\n", f->addr.local, f->addr.domain);
}

static bool forget_in_postfix(const struct flush *f, struct err *err)
{
    BUF_AUTO map = {0};
    BUF_AUTO keys = {0};
    size_t count = 0;

    if (!map_name(f, &map, err) || !open_way(f, map.at, err))
        return false;
    if (!f->whole_domain)
        write_keys(f, &keys);
    else if (!list_keys(f, map.at, &keys, err))
        return false;
    const char *const argv[] = {
        "postmap", "-c", f->options->conf->postfix_config_directory, "-d", "-", map.at, NULL};
    for (size_t i = 0; i < keys.len; i++)
        count += keys.at[i] == '\n';
    /* exit 1: none of them was there */
    struct spawn_output output = {0};
    bool fine = keys.len == 0 || spawn_run(argv, span_of(keys.at, keys.len), &output, err);
    if (fine && output.code > 1)
        fine = err_set(err, ERR_OTHER, "postmap -d: exit %d", output.code);
    spawn_output_free(&output);
    if (fine && f->whole_domain)
        printf("Postfix here: %zu negative answer%s removed from %s\n", count,
               count == 1 ? "" : "s", map.at);
    else if (fine)
        printf("Postfix here: %s %s\n", map.at,
               output.code == 0 ? "has forgotten it" : "did not have it");
    return fine;
}

bool flush_run(const struct flush_options *options, struct err *err)
{
    struct flush f = {.options = options, .whole_domain = strchr(options->target, '@') == NULL};
    bool fine = f.whole_domain ? addr_parse_domain(span_text(options->target), f.addr.domain,
                                                   &f.addr.domain_len, err)
                               : addr_parse(span_text(options->target), false, &f.addr, err);

    return fine && forget_in_database(&f, err) && forget_in_postfix(&f, err);
}
