/*
 * evidence: a log and what must be counted from it, for each file of t/data/evidence; read whole,
 * and cut behind each line, where everything in flight is kept and a new reader goes on. Catches a
 * hop taken for the customer's server, a message counted that a filter marked or that came from
 * inside, one counted twice or never because a filter handed it back, and what is lost between two
 * runs.
 */
#include "sync/evidence.h"

#include <dirent.h>

#include "lib/clock.h"
#include "lib/secret.h"
#include "sync/stamp.h"
#include "table.h"
#include "tap.h"

static const char *const instances[] = {"postfix*"};
static const struct maillog_rules log_rules = {instances, 1};

/* One file: its lines, the rules in front of them, the counts behind them. */
struct story {
    struct served *served;
    struct network_list inside;
    struct evidence_rules rules;
    char **lines;
    size_t line_count;
    char **wanted;
    size_t wanted_count;
    int64_t newest_us;
    char *text;
};

static void add_domain(struct story *story, char *value)
{
    char *name = strsep(&value, " "), *id = strsep(&value, " "), *hop = strsep(&value, " ");

    served_add(story->served,
               &(struct served_row){.id = atoi(id),
                                    .name = name,
                                    .next_hop = hop != NULL && strcmp(hop, "-") != 0 ? hop : "",
                                    .delimiter = "+",
                                    .case_sensitive = value != NULL});
}

/* "# name: value" */
static void add_rule(struct story *story, char *name, char *value)
{
    struct stamp_clock clock = {.zone = stamp_gmt};
    struct err err;

    if (strcmp(name, "inside") == 0)
        ok(network_list_parse(span_text(value), &story->inside, &err), "inside %s", value);
    else if (strcmp(name, "filters") == 0)
        ok(evidence_filters_parse(span_text(value), &story->rules.filters, &err), "filters %s",
           value);
    else if (strcmp(name, "header") == 0)
        story->rules.headers[story->rules.header_count++] = span_text(value);
    else if (strcmp(name, "domain") == 0)
        add_domain(story, value);
    else if (strcmp(name, "now") == 0)
        ok(stamp_time(&clock, span_text(value), &story->newest_us), "now %s", value);
    else if (strcmp(name, "want") == 0)
        story->wanted[story->wanted_count++] = value;
}

static void read_story(struct story *story, const char *path)
{
    FILE *file = fopen(path, "re");
    size_t room = 1 << 20;
    char *at, *line;

    *story = (struct story){.served = NULL};
    story->text = mem_alloc(room);
    size_t len = file != NULL ? fread(story->text, 1, room - 1, file) : 0;
    story->text[len] = '\0';
    if (file != NULL)
        fclose(file);
    story->lines = mem_zero(10000, sizeof *story->lines);
    story->wanted = mem_zero(1000, sizeof *story->wanted);
    ok(network_list_parse(span_text("127.0.0.0/8, ::1"), &story->inside, &(struct err){0}),
       "%s: %zu bytes", strrchr(path, '/') + 1, len);
    story->served = served_new(&story->inside);
    at = story->text;
    while ((line = strsep(&at, "\n")) != NULL) {
        char *colon = strstr(line, ": ");
        if (line[0] == '#' && line[1] == ' ' && colon != NULL &&
            memchr(line + 2, ' ', (size_t)(colon - line - 2)) == NULL) {
            *colon = '\0';
            add_rule(story, line + 2, colon + 2);
        } else if (line[0] != '\0' && line[0] != '#') {
            story->lines[story->line_count++] = line;
        }
    }
    story->rules.served = story->served;
    story->rules.inside = &story->inside;
    secret_random(story->rules.key, sizeof story->rules.key);
}

static void free_story(struct story *story)
{
    served_free(&story->served);
    free(story->lines);
    free(story->wanted);
    free(story->text);
}

/* ---- reading ---- */

struct sums {
    char what[1000][160];
    int64_t n[1000][5];
    size_t count;
};

static bool add_count(void *context, const struct evidence_count *c, struct err *err)
{
    struct sums *sums = context;
    char what[160], day[32];
    size_t i = 0;

    (void)err;
    clock_rfc3339(day, sizeof day, c->day * 86400 * CLOCK_SECOND);
    snprintf(what, sizeof what, "%.10s %d %.*s", day, c->domain_id, (int)c->local.len, c->local.at);
    while (i < sums->count && strcmp(sums->what[i], what) != 0)
        i++;
    if (i == sums->count)
        snprintf(sums->what[sums->count++], sizeof what, "%s", what);
    const int64_t n[5] = {c->accepted, c->deliverable, c->refused, c->unknown, c->late};
    for (int k = 0; k < 5; k++)
        sums->n[i][k] += n[k];
    return true;
}

static bool keep_row(void *context, struct span row, struct err *err)
{
    struct buf *kept = context;
    uint16_t len = (uint16_t)row.len;

    (void)err;
    buf_append(kept, &len, sizeof len);
    buf_append(kept, row.at, row.len);
    return true;
}

/* What is in flight goes over to a new reader. */
static struct evidence *handed_over(const struct story *story, struct evidence *e,
                                    struct sums *sums)
{
    struct evidence *fresh = evidence_new(&story->rules);
    BUF_AUTO kept = {0};
    struct err err;
    bool fine =
        evidence_counts(e, add_count, sums, &err) && evidence_save(e, keep_row, &kept, &err);

    for (size_t at = 0; at < kept.len;) {
        uint16_t len;
        memcpy(&len, kept.at + at, sizeof len);
        char *exact = mem_alloc(len);
        memcpy(exact, kept.at + at + sizeof len, len);
        fine = evidence_restore(fresh, span_of(exact, len)) && fine && len <= EVIDENCE_ROW_MAX;
        free(exact);
        at += sizeof len + len;
    }
    if (!fine)
        ok(false, "what is in flight goes over");
    evidence_free(&e);
    return fresh;
}

/* Reads the story; behind each `step` lines another reader takes over (0: never). */
static void read_lines(const struct story *story, size_t step, struct sums *sums)
{
    struct evidence *e = evidence_new(&story->rules);
    struct stamp_clock clock = {.zone = stamp_gmt, .newest_us = story->newest_us};
    struct err err;
    int64_t at_us = 0;

    for (size_t i = 0; i < story->line_count; i++) {
        struct maillog_event event;
        maillog_line(&log_rules, span_text(story->lines[i]), &event);
        if (event.kind != MAILLOG_OTHER && stamp_time(&clock, event.stamp, &at_us))
            evidence_event(e, &event, at_us);
        if (step > 0 && i % step == step - 1) {
            evidence_settle(e, at_us);
            e = handed_over(story, e, sums);
        }
    }
    evidence_settle(e, story->newest_us);
    ok(evidence_counts(e, add_count, sums, &err), "counts");
    evidence_free(&e);
}

static void compare(const struct story *story, const struct sums *sums, const char *how)
{
    size_t counted = 0;

    for (size_t i = 0; i < sums->count; i++) {
        char got[256];
        bool found = false;
        const int64_t *n = sums->n[i];
        snprintf(got, sizeof got, "%s %lld %lld %lld %lld %lld", sums->what[i], (long long)n[0],
                 (long long)n[1], (long long)n[2], (long long)n[3], (long long)n[4]);
        for (size_t k = 0; k < story->wanted_count; k++)
            found = found || strcmp(story->wanted[k], got) == 0;
        ok(found, "%s: %s", how, got);
        counted += found;
    }
    if (!ok(counted == story->wanted_count, "%s: nothing is missing", how))
        for (size_t k = 0; k < story->wanted_count; k++)
            printf("# want: %s\n", story->wanted[k]);
}

static void check_story(const char *path)
{
    static const size_t steps[] = {0, 1, 2, 3, 7};
    struct story story;

    read_story(&story, path);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct sums *sums = mem_zero(1, sizeof *sums);
        char how[300];
        read_lines(&story, steps[i], sums);
        snprintf(how, sizeof how, "%s, kept every %zu lines", strrchr(path, '/') + 1, steps[i]);
        compare(&story, sums, how);
        free(sums);
    }
    free_story(&story);
}

/* ---- next hops ---- */

static void check_hop(const char *next_hop, const char *relay, bool want)
{
    struct network_list inside;
    struct err err;

    ok(network_list_parse(span_text("127.0.0.0/8 ::1"), &inside, &err), "networks");
    struct served *served = served_new(&inside);
    served_add(served, &(struct served_row){
                           .id = 1, .name = "a.test", .next_hop = next_hop, .delimiter = "+"});
    struct served_domain *d = served_find(served, span_text("a.test"));
    ok(d != NULL && served_is_next_hop(d, span_text(relay)) == want &&
           served_is_next_hop(d, span_text(relay)) == want,
       "'%s' %s '%s'", relay, want ? "is" : "is not", next_hop);
    served_free(&served);
}

static void check_hops(void)
{
    check_hop("[127.0.0.1]:2526", "127.0.0.1[127.0.0.1]:2526", true);
    check_hop("[127.0.0.1]:2526", "localhost[127.0.0.1]:2526", true);
    check_hop("relay:[127.0.0.1]:2526", "127.0.0.1[127.0.0.1]:2526", true);
    check_hop("[127.0.0.1]:2526", "127.0.0.1[127.0.0.1]:10024", false);
    check_hop("[127.0.0.1]:2526", "127.0.0.1[127.0.0.2]:2526", false);
    check_hop("[127.0.0.1]", "127.0.0.1[127.0.0.1]:25", true);
    check_hop("[mail.a.test]:587", "Mail.A.test[192.0.2.1]:587", true);
    check_hop("[mail.a.test]", "mail.a.test[192.0.2.1]:25", true);
    check_hop("[mail.a.test]", "mail.b.test[192.0.2.1]:25", false);
    check_hop("[mail.a.test]:submission", "mail.a.test[192.0.2.1]:587", true);
    check_hop("[IPv6:2001:db8::1]", "mail[2001:db8:0::1]:25", true);
    check_hop("[2001:db8::1]:25", "mail[2001:db8::2]:25", false);
    check_hop("a.test", "mx1.a.test[192.0.2.1]:25", true);
    check_hop("a.test:2525", "mx1.a.test[192.0.2.1]:2525", true);
    check_hop("a.test", "localhost[127.0.0.1]:25", false);
    check_hop("smtp:a.test", "mx.b.test[192.0.2.1]:25", true);
    check_hop("", "mx.b.test[192.0.2.1]:25", true);
    check_hop("", "mx.b.test[192.0.2.1]:26", true);
    check_hop("", "filter[127.0.0.1]:10024", false);
    check_hop("", "none", false);
    check_hop("", "local", false);
    check_hop("", "gw[private/lmtp]", false);
    check_hop("lmtp:unix:/run/lmtp", "gw[/run/lmtp]", true);
    check_hop("lmtp:unix:/run/lmtp", "gw[/run/other]", false);
    check_hop("lmtp:[192.0.2.1]", "x[192.0.2.1]:24", true);
    check_hop("[mail.a.test],[mail2.a.test]:26", "mail2.a.test[192.0.2.1]:26", true);
    check_hop("[mail.a.test],[mail2.a.test]:26", "mail2.a.test[192.0.2.1]:25", false);
}

/* Rows of another program, or damaged ones, are refused. */
static void check_bad_rows(void)
{
    struct network_list inside = {.count = 0};
    struct served *served = served_new(&inside);
    struct evidence_rules rules = {.served = served, .inside = &inside};
    struct evidence *e = evidence_new(&rules);
    char bytes[128] = {0};

    ok(!evidence_restore(e, span_of(bytes, 0)), "an empty row");
    for (char kind = 0; kind < 5; kind++) {
        bytes[0] = kind;
        bool refused = true;
        for (size_t len = 1; len <= sizeof bytes; len++)
            refused = refused && !evidence_restore(e, span_of(bytes, len));
        ok(refused, "rows of kind %d without content", kind);
    }
    evidence_free(&e);
    served_free(&served);
}

int main(void)
{
    DIR *directory = opendir(TEST_DATA "/evidence");
    const struct dirent *entry;
    int stories = 0;

    secret_init();
    check_hops();
    check_bad_rows();
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        char path[512];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, TEST_DATA "/evidence/%s", entry->d_name);
        check_story(path);
        stories++;
    }
    if (directory != NULL)
        closedir(directory);
    ok(stories >= 8, "%d stories", stories);
    return tap_done();
}
