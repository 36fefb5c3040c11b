/* model_home - see model.h; here: the overview, gateways, the audit */
#include <stdio.h>

#include "panel/model.h"
#include "panel/view.h"

/* Counting stops where a figure says enough: an overview is asked for often. */
enum { MANY = 100000 };
#define CAPPED(from) "(select count(*) from (select from " from " limit 100001) x)"

/* clang-format off */
static const char figures_sql[] =
    "select (select count(*) from domain where state = 'active') as n_domains,"
    " (select count(*) from customer) as n_customers,"
    " " CAPPED("recipient where kind = 'primary' and user_id is not null") " as n_users,"
    " (select count(*) from changeset where state = 'held') as n_held,"
    " (select count(*) from domain where state = 'active' and loaded_at is null"
    "   and alias_of is null and relay_check = 'panel') as n_incomplete,"
    " (select count(*) from changeset where created_at > now() - interval '1 day'"
    "   and mode <> 'evidence' and state = 'applied') as n_changes";
/* clang-format on */

static const char sources_sql[] =
    "select source, sum(added) as n_added, sum(removed) as n_removed,"
    " round(100.0 * sum(added) / greatest(max(sum(added)) over (), 1))::int as share"
    " from changeset where created_at > now() - interval '30 days' and mode <> 'evidence'"
    " and state = 'applied' group by source having sum(added) + sum(removed) > 0 order by 2 desc";

static const char recent_sql[] =
    "select c.id, c.state, c.mode, c.source, k.name as customer, c.actor,"
    " c.created_at as at_made, c.added as n_added, c.removed as n_removed, c.changed as n_changed"
    " from changeset c left join customer k on k.id = c.customer_id"
    " where c.mode <> 'evidence' order by c.id desc limit 8";

/* Domains whose observed users wait, and why: rollcall-observe says it in words. */
static const char waiting_sql[] =
    "select d.id, d.name, o.held, count(*) over () as n_all from domain_observation o"
    " join domain d on d.id = o.domain_id and d.state = 'active'"
    " where o.since is not null and o.held <> '' order by d.name limit 20";

bool model_overview(struct db *db, struct data *page, struct err *err)
{
    DB_RESULT_AUTO figures = NULL;
    DB_RESULT_AUTO sources = NULL;
    DB_RESULT_AUTO recent = NULL;
    DB_RESULT_AUTO waiting = NULL;

    if (!db_query(db, &figures, figures_sql, DB_NO_VALUES, err) ||
        !db_query(db, &sources, sources_sql, DB_NO_VALUES, err) ||
        !db_query(db, &recent, recent_sql, DB_NO_VALUES, err) ||
        !db_query(db, &waiting, waiting_sql, DB_NO_VALUES, err))
        return false;
    view_row(page, figures, 0);
    data_flag(page, "held", db_int(figures, 0, 3) > 0);
    data_flag(page, "incomplete", db_int(figures, 0, 4) > 0);
    data_flag(page, "many_users", db_int(figures, 0, 2) > MANY);
    data_count(page, "n_many", MANY);
    data_flag(page, "no_customers", db_int(figures, 0, 1) == 0);
    data_flag(page, "no_domains", db_int(figures, 0, 0) == 0);
    view_rows(page, "sources", sources);
    view_rows(page, "recent", recent);
    view_rows(page, "waiting", waiting);
    if (db_rows(waiting) > 0)
        data_count(page, "n_waiting", db_int(waiting, 0, 3));
    return true;
}

/* ---- the chart: a bar for each hour, refused over deferred over accepted ---- */

enum { CHART_HEIGHT = 120, CHART_BAR = 18, CHART_STEP = 24 };

static const char hours_sql[] =
    "select h.hour as at_hour, to_char(h.hour, 'HH24') as hour,"
    " greatest(coalesce(sum(g.answers - g.refused - g.deferred), 0), 0)::bigint as n_accepted,"
    " coalesce(sum(g.deferred), 0)::bigint as n_deferred,"
    " coalesce(sum(g.refused), 0)::bigint as n_refused"
    " from generate_series(date_trunc('hour', now()) - interval '23 hours',"
    "   date_trunc('hour', now()), interval '1 hour') h (hour)"
    " left join gateway_hour g on g.hour = h.hour group by 1 order by 1";

static int height(int64_t count, int64_t most)
{
    return most > 0 ? (int)(count * CHART_HEIGHT / most) : 0;
}

static void put_bar(struct data *bar, const char *key, int x, int y, int tall)
{
    struct data *one = data_child(bar, key);

    data_int(one, "x", x);
    data_int(one, "y", y);
    data_int(one, "width", CHART_BAR);
    data_int(one, "height", tall);
}

bool model_chart(struct db *db, struct data *page, struct err *err)
{
    DB_RESULT_AUTO hours = NULL;
    int64_t most = 0, all = 0;

    if (!db_query(db, &hours, hours_sql, DB_NO_VALUES, err))
        return false;
    for (size_t i = 0; i < db_rows(hours); i++) {
        int64_t sum = db_int(hours, i, 2) + db_int(hours, i, 3) + db_int(hours, i, 4);
        most = sum > most ? sum : most;
        all += sum;
    }
    struct data *bars = data_list(page, "bars");
    for (size_t i = 0; i < db_rows(hours); i++) {
        struct data *bar = data_item(bars);
        int x = (int)i * CHART_STEP + (CHART_STEP - CHART_BAR) / 2;
        int accepted = height(db_int(hours, i, 2), most),
            deferred = height(db_int(hours, i, 3), most),
            refused = height(db_int(hours, i, 4), most);
        view_row(bar, hours, i);
        put_bar(bar, "accepted", x, CHART_HEIGHT - accepted, accepted);
        put_bar(bar, "deferred", x, CHART_HEIGHT - accepted - deferred, deferred);
        put_bar(bar, "refused", x, CHART_HEIGHT - accepted - deferred - refused, refused);
        data_flag(bar, "labelled", i % 6 == 5);
    }
    data_flag(page, "answered", all > 0);
    data_count(page, "n_answers", all);
    data_count(page, "n_most", most);
    return true;
}

static const char gateways_sql[] =
    "select g.name, g.version, (select version from roll_clock) - g.version as behind,"
    " g.domains as n_domains, g.recipients as n_recipients, g.age_ms, g.answers as n_answers,"
    " g.refused as n_refused, g.deferred as n_deferred, g.program, g.trouble,"
    " g.started_at as at_started, g.seen_at as at_seen,"
    " g.seen_at > now() - $1::bigint * interval '1 microsecond' as is_live,"
    " g.version = (select version from roll_clock) as is_current,"
    " round((coalesce(g.age_ms, 0) + extract(epoch from now() - g.seen_at) * 1000) / 1000.0, 1)"
    "   as age from gateway g order by g.name";

bool model_gateways(struct db *db, const struct conf *conf, struct data *page, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    char limit[24];

    snprintf(limit, sizeof limit, "%lld", (long long)conf->gateway_live_limit);
    if (!db_query(db, &rows, gateways_sql, DB_VALUES(limit), err))
        return false;
    view_rows(page, "gateways", rows);
    return true;
}

static const char audit_sql[] =
    "select id, at as at_done, actor, program, action, object,"
    " case when detail = '{}' then '' else detail::text end as detail from audit"
    " where $1::bigint is null or id < $1::bigint order by id desc limit 51";

bool model_audit(struct db *db, const char *before, struct data *page, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(db, &rows, audit_sql, DB_VALUES(before), err))
        return false;
    view_rows(page, "entries", rows);
    if (db_rows(rows) > MODEL_PAGE)
        data_text(page, "next", db_text(rows, MODEL_PAGE, 0));
    return true;
}
