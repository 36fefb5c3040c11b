/*
 * log: the event table, lines as text and JSON, levels, bursts, threads. Catches a line that can be
 * forged by what is logged, JSON that does not parse, a flood that fills the disk or hides that
 * lines were left out, and lines of two threads mixed.
 */
#include "lib/log.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/str.h"
#include "tap.h"

static int capture = -1; /* the file that stderr goes to */

/* What was written since the last call. */
static char *taken(void)
{
    static off_t from;
    off_t end = lseek(capture, 0, SEEK_END);
    char *text = mem_zero((size_t)(end - from) + 1, 1);

    ok(pread(capture, text, (size_t)(end - from), from) == end - from, "what was logged");
    from = end;
    return text;
}

static size_t count_lines(const char *text, const char *with)
{
    size_t lines = 0;
    struct span rest = span_text(text), line;

    while (span_next(&rest, '\n', &line))
        lines += line.len > 0 && memmem(line.at, line.len, with, strlen(with)) != NULL;
    return lines;
}

static void check_table(void)
{
    for (int i = 0; i < LOG_EVENTS; i++) {
        const struct log_event_row *row = &log_events[i];
        if (!ok(row->name != NULL && row->doc != NULL, "event %d has a name and a text", i))
            continue;
        ok(strspn(row->name, "abcdefghijklmnopqrstuvwxyz-") == strlen(row->name), "%s: letters",
           row->name);
        ok(row->doc[strlen(row->doc) - 1] == '.', "%s: documented in sentences", row->name);
        for (int j = 0; j < i; j++)
            if (log_events[j].name != NULL && strcmp(log_events[j].name, row->name) == 0)
                ok(false, "%s stands twice", row->name);
    }
}

static void check_text(void)
{
    STR_AUTO want = mem_printf("test[%d]: start: a?b ?[31m j\xc3\xbcrgen ? \"x\\y\"\n"
                               "test[%d]: error: replica-damaged: broken\n",
                               (int)getpid(), (int)getpid());

    log_open(&(struct log_options){.program = "test", .least = LEVEL_INFO});
    log_write(LOG_START, "%s", "a\nb \x1b[31m j\xc3\xbcrgen \xff \"x\\y\"");
    log_write(LOG_REPLICA_DAMAGED, "broken");
    STR_AUTO got = taken();
    is_text(got, want, "text lines, made printable");
}

static void check_json(void)
{
    log_open(&(struct log_options){.program = "test", .json = true, .least = LEVEL_INFO});
    int64_t before = clock_wall_us();
    log_write(LOG_STOP, "%s", "a\nb \"x\\y\" \xff");
    STR_AUTO got = taken();
    STR_AUTO tail = mem_printf("\"program\":\"test\",\"pid\":%d,\"level\":\"info\","
                               "\"event\":\"stop\",\"text\":\"a?b \\\"x\\\\y\\\" ?\"}\n",
                               (int)getpid());
    char stamp[32];
    clock_rfc3339(stamp, sizeof stamp, before);
    ok(strncmp(got, "{\"time\":\"", 9) == 0 && strncmp(got + 9, stamp, 16) == 0 &&
           strncmp(got + 9 + 24, "\",", 2) == 0,
       "JSON begins with the time: %.40s", got);
    is_text(strlen(got) > 35 ? got + 35 : got, tail, "and goes on with the rest");
}

static void check_levels(void)
{
    log_open(&(struct log_options){.program = "test", .least = LEVEL_WARNING});
    ok(!log_wants(LOG_START) && log_wants(LOG_DATABASE_LOST) && log_wants(LOG_REPLICA_DAMAGED),
       "levels below the least are not wanted");
    log_write(LOG_START, "not written");
    log_write(LOG_DATABASE_LOST, "written");
    STR_AUTO got = taken();
    ok(strstr(got, "not written") == NULL && strstr(got, "database-lost: written") != NULL,
       "nor written");
    log_open(&(struct log_options){.program = "test", .least = LEVEL_DEBUG});
    ok(log_wants(LOG_APPLIED), "debug wants all");
}

static void check_long(void)
{
    char text[5000];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_write(LOG_READY, "%s", text);
    STR_AUTO got = taken();
    ok(strlen(got) < 2200 && count_lines(got, "xxx") == 1, "a long line is cut");
}

static void next_second(void)
{
    int64_t second = clock_elapsed_us() / CLOCK_SECOND;

    while (clock_elapsed_us() / CLOCK_SECOND == second)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* 70 in one second: 50 written, 20 counted; nothing is lost without a word. */
static void check_burst(void)
{
    enum { MANY = LOG_BURST + 20 };

    next_second();
    for (int i = 0; i < MANY; i++)
        log_write(LOG_ANSWER, "burst %d", i);
    log_write(LOG_SHADOW, "another event");
    STR_AUTO first = taken();
    is_int(count_lines(first, "burst"), LOG_BURST, "a burst is cut");
    is_int(count_lines(first, "another event"), 1, "other events are not");
    next_second();
    log_write(LOG_ANSWER, "later");
    STR_AUTO second = taken();
    ok(strstr(second, "answer: 20 more such lines were left out\n") != NULL, "the cut is told");
    is_int(count_lines(second, "later"), 1, "and the next one written");
}

static void *write_many(void *argument)
{
    enum log_event event = *(enum log_event *)argument;

    for (int i = 0; i < LOG_BURST; i++)
        log_write(event, "<%s %d>", "0123456789012345678901234567890123456789", i);
    return NULL;
}

static bool is_whole(struct span line)
{
    static const char tail[] = ": <0123456789012345678901234567890123456789 ";
    size_t begins = 0;

    for (size_t i = 0; i < line.len; i++)
        begins += line.at[i] == '<';
    return begins == 1 && line.at[line.len - 1] == '>' &&
           memmem(line.at, line.len, tail, sizeof tail - 1) != NULL;
}

static void check_threads(void)
{
    static enum log_event events[] = {LOG_START, LOG_READY, LOG_STOP, LOG_RELOAD};
    pthread_t threads[4];
    struct span rest, line;
    size_t whole = 0;

    next_second();
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, write_many, &events[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    STR_AUTO got = taken();
    for (rest = span_text(got); span_next(&rest, '\n', &line);)
        whole += is_whole(line);
    is_int(whole, 4 * LOG_BURST, "lines of four threads are whole");
}

/* Syslog may be absent: then nothing is written, and nothing to stderr. */
static void check_syslog(void)
{
    log_open(&(struct log_options){.program = "test", .to_syslog = true});
    log_write(LOG_RELOAD_FAILED, "to syslog");
    log_open(&(struct log_options){.program = "test"});
    STR_AUTO got = taken();
    is_text(got, "", "syslog only");
}

int main(void)
{
    FILE *file = tmpfile();

    if (file == NULL)
        return 1;
    capture = fileno(file);
    dup2(capture, STDERR_FILENO);
    check_table();
    check_text();
    check_json();
    check_levels();
    check_long();
    check_burst();
    check_threads();
    check_syslog();
    fclose(file);
    return tap_done();
}
