/* metrics - see metrics.h */
#include "panel/metrics.h"

#include <string.h>

#include "lib/clock.h"

void metrics_count(struct panel *panel, int status, int64_t took_us)
{
    size_t class = (size_t)status / 100;

    atomic_fetch_add(&panel->requests, 1);
    atomic_fetch_add(&panel->by_class[class < 6 ? class : 0], 1);
    atomic_fetch_add(&panel->microseconds, (unsigned long long)took_us);
}

static void put(struct buf *body, const char *name, const char *type, const char *help,
                double value)
{
    buf_printf(body, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", name, help, name, type, name, value);
}

static void put_all(struct panel *panel, struct buf *body)
{
    put(body, "rollcall_panel_requests_total", "counter", "Requests answered.",
        (double)atomic_load(&panel->requests));
    put(body, "rollcall_panel_seconds_total", "counter", "Time that answering took.",
        (double)atomic_load(&panel->microseconds) / (double)CLOCK_SECOND);
    put(body, "rollcall_panel_refused_tokens_total", "counter",
        "Forms refused because their token was wrong.",
        (double)atomic_load(&panel->refused_tokens));
    put(body, "rollcall_panel_sign_in_failures_total", "counter", "Failed attempts to sign in.",
        (double)atomic_load(&panel->sign_in_failures));
    buf_text(body, "# HELP rollcall_panel_answers_total Answers by the first digit of the status.\n"
                   "# TYPE rollcall_panel_answers_total counter\n");
    for (int i = 2; i < 6; i++)
        buf_printf(body, "rollcall_panel_answers_total{class=\"%d\"} %llu\n", i,
                   atomic_load(&panel->by_class[i]));
}

unsigned metrics_page(struct panel *panel, const char *path, struct buf *body)
{
    struct db *db = NULL;
    struct err err;

    if (strcmp(path, "/metrics") == 0) {
        put_all(panel, body);
        return 200;
    }
    if (strcmp(path, "/healthz") != 0) {
        buf_text(body, "/metrics or /healthz\n");
        return 404;
    }
    bool fine = pool_take(panel->pool, &db, &err) && db_script(db, "select 1", &err);
    pool_give(panel->pool, &db);
    buf_printf(body, "%s\n", fine ? "ok" : err.text);
    return fine ? 200 : 503;
}
