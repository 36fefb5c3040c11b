/*
 * logfile: rotation in all its forms, between any two runs. Each line is written once with a number
 * of its own, and must be read once. Catches a rest of an old file that is forgotten, a copy that
 * counts twice, a half line read too early, and a compressed file taken for a new one.
 */
#include "sync/logfile.h"

#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "tap.h"

enum { LINES_MOST = 200000 };

static char dir[64], log_path[80];
static unsigned char seen[LINES_MOST];
static int written, run_number;
static struct position_source source;

__attribute__((format(printf, 1, 2))) static void shell(const char *format, ...)
{
    char command[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    if (system(command) != 0)
        ok(false, "'%s' works", command);
}

static void write_bytes(const char *path, const char *text)
{
    FILE *file = fopen(path, "ae");

    if (!ok(file != NULL, "%s is open", path))
        exit(1);
    fputs(text, file);
    fclose(file);
}

static void write_lines(int count)
{
    BUF_AUTO text = {0};

    for (int i = 0; i < count; i++)
        buf_printf(&text, "Nov 23 18:00:00 gw postfix/smtpd[%d]: line %d\n", written, written),
            written++;
    write_bytes(log_path, text.at);
}

static void take_block(struct span block)
{
    struct span line;

    while (span_next(&block, '\n', &line)) {
        const char *mark = memmem(line.at, line.len, ": line ", 7);
        int number = mark != NULL ? atoi(mark + 7) : -1;
        if (number >= 0 && number < LINES_MOST)
            seen[number]++;
    }
}

/* Reads on in one file; false when it is another one than the position says. */
static bool read_file(const struct logfile *file, struct position_file *position, size_t blocks)
{
    struct logfile_reader *reader;
    struct span block;
    struct err err;

    if (!logfile_open(&reader, file, position, &err)) {
        if (err.class != ERR_DATA)
            printf("# %s\n", err.text);
        return err.class != ERR_DATA;
    }
    while (blocks-- > 0 && logfile_read(reader, &block, &err) && block.len > 0)
        take_block(block);
    logfile_note(reader, position);
    logfile_close(&reader);
    return true;
}

/* One run over the family, of at most `blocks` blocks in each file. */
static void run_blocks(size_t blocks, bool history)
{
    struct logfile_family family;
    struct logfile_plan plan[POSITION_FILES_MOST];
    struct err err;

    run_number++;
    if (!ok(logfile_family(&family, log_path, &err), "run %d", run_number)) {
        printf("# %s\n", err.text);
        return;
    }
    size_t count = logfile_plan(&family, &source, history, plan);
    for (size_t i = 0; i < count; i++) {
        const struct logfile *file = &family.files[plan[i].file];
        struct position_file *position =
            plan[i].known != SIZE_MAX ? &source.files[plan[i].known] : position_new_file(&source);
        if (!read_file(file, position, blocks)) {
            position = position_new_file(&source);
            read_file(file, position, blocks);
        }
        position->seen_us = clock_wall_us();
    }
    source.run_us = clock_wall_us();
    logfile_family_free(&family);
}

static void run(void)
{
    run_blocks(SIZE_MAX, false);
}

static void all_once(const char *what)
{
    int missing = 0, twice = 0;

    for (int i = 0; i < written; i++) {
        missing += seen[i] == 0;
        twice += seen[i] > 1;
    }
    ok(missing == 0 && twice == 0, "%s: %d lines, %d missing, %d more than once", what, written,
       missing, twice);
}

static void begin(const char *what)
{
    shell("rm -f %s/*", dir);
    memset(seen, 0, sizeof seen);
    source = (struct position_source){0};
    written = 0;
    printf("# %s\n", what);
}

static void check_plain(void)
{
    begin("a growing file");
    write_lines(1);
    run();
    run();
    write_lines(100);
    run();
    write_bytes(log_path, "Nov 23 18:00:00 gw postfix/smtpd[1]: line ");
    run();
    write_bytes(log_path, "101\n");
    written = 102;
    run();
    write_lines(100000);
    run_blocks(1, false);
    run_blocks(2, false);
    run();
    all_once("growing");
    is_int(source.file_count, 1, "one file");
}

static void check_renamed(void)
{
    begin("renamed, the old one written to for a while");
    write_lines(10);
    run();
    write_lines(5);
    shell("mv %s %s.1", log_path, log_path);
    run();
    shell("cp %s.1 %s/keep", log_path, dir);
    write_bytes(log_path, ""); /* made, still empty */
    run();
    /* the writer has the old file open */
    char old[100];
    snprintf(old, sizeof old, "%s.1", log_path);
    write_bytes(old, "Nov 23 18:00:00 gw postfix/smtpd[1]: line 15\n");
    written = 16;
    write_lines(5);
    run();
    write_bytes(old, "Nov 23 18:00:00 gw postfix/smtpd[1]: line 21\n");
    written = 22;
    run();
    shell("mv %s.1 %s.2 && mv %s %s.1 && gzip %s.2", log_path, log_path, log_path, log_path,
          log_path);
    write_lines(5);
    run();
    shell("mv %s.2.gz %s.3.gz && gzip %s.1 && mv %s.1.gz %s.2.gz", log_path, log_path, log_path,
          log_path, log_path);
    run();
    all_once("renamed");
}

static void check_several(void)
{
    begin("rotated several times between two runs");
    write_lines(10);
    run();
    for (int i = 0; i < 5; i++) {
        write_lines(3);
        shell("for n in 4 3 2 1; do [ ! -e %s.$n ] || mv %s.$n %s.$((n+1)); done; mv %s %s.1",
              log_path, log_path, log_path, log_path, log_path);
    }
    write_lines(3);
    run();
    all_once("several times");
    begin("the file that was read last is gone");
    write_lines(10);
    run();
    shell("rm %s", log_path);
    write_lines(4);
    shell("mv %s %s.1", log_path, log_path);
    write_lines(4);
    run();
    all_once("gone");
}

static void check_truncated(void)
{
    begin("copied and truncated");
    write_lines(10);
    run();
    write_lines(5);
    shell("cp %s %s.1", log_path, log_path);
    run(); /* both are there, whole */
    write_lines(2);
    run();
    shell("cp %s %s.1 && : >%s", log_path, log_path, log_path);
    run();
    write_lines(7);
    run();
    shell("cp %s %s-20261123 && : >%s", log_path, log_path, log_path);
    write_lines(7);
    run();
    all_once("copied and truncated");
    begin("the copy is not complete yet");
    write_lines(10);
    run();
    write_lines(10);
    shell("head -c 300 %s >%s.1", log_path, log_path);
    run();
    shell("cp %s %s.1 && : >%s", log_path, log_path, log_path);
    write_lines(1);
    run();
    all_once("half a copy");
    begin("truncated with nothing kept: what was not read is lost, no line counts twice");
    write_lines(10);
    run();
    shell(": >%s", log_path);
    write_lines(20);
    run();
    all_once("truncated");
}

static void check_gzip(void)
{
    begin("compressed at once");
    write_lines(1000);
    run();
    write_lines(1000);
    shell("mv %s %s.20261123-180000 && gzip %s.20261123-180000", log_path, log_path, log_path);
    write_lines(10);
    run();
    shell("mv %s %s.20261124-180000 && gzip %s.20261124-180000", log_path, log_path, log_path);
    run();
    write_lines(10);
    run();
    run();
    all_once("compressed");
    begin("compression is not complete, then is, then the plain one goes");
    write_lines(40000);
    run_blocks(1, false);
    shell("mv %s %s.1 && gzip -k %s.1 && cp %s.1.gz %s/whole && head -c 100000 %s/whole >%s.1.gz",
          log_path, log_path, log_path, log_path, dir, dir, log_path);
    run_blocks(1, false);
    shell("rm %s.1", log_path); /* as if gzip had been killed: only a part is left */
    run();
    run();
    shell("mv %s/whole %s.1.gz", dir, log_path);
    run();
    run();
    all_once("half compressed");
    size_t ended = 0;
    for (size_t i = 0; i < source.file_count; i++)
        ended += source.files[i].ended;
    is_int(ended, 1, "a compressed file ends once it is whole");
    begin("damaged: what can be read counts once");
    write_lines(40000);
    shell("gzip -c %s >%s.1.gz && printf xxxxxxxx | dd of=%s.1.gz bs=1 seek=90000 conv=notrunc "
          "2>/dev/null && rm %s",
          log_path, log_path, log_path, log_path);
    run_blocks(SIZE_MAX, true);
    int some = 0, again = 0;
    for (int i = 0; i < written; i++)
        some += seen[i];
    run();
    for (int i = 0; i < written; i++)
        again += seen[i];
    ok(some > 1000 && some == again, "damaged: %d lines, no more of them in the next run", some);
}

/* Another log that begins like one that was read, and is longer: it is read from its beginning. */
static void check_begins_alike(bool compressed)
{
    int missing = 0;

    begin(compressed ? "begins alike, compressed" : "begins alike");
    write_lines(100);
    run();
    shell("head -n 30 %s >%s/other && mv %s/other %s", log_path, dir, dir, log_path);
    write_lines(100);
    if (compressed)
        shell("mv %s %s.1 && gzip %s.1", log_path, log_path, log_path);
    run();
    for (int i = 100; i < 200; i++)
        missing += seen[i] != 1;
    is_int(missing, 0, "what another log has is read");
}

static void check_history(void)
{
    begin("the first run reads what is current");
    write_lines(10);
    shell("gzip <%s >%s.2.gz && rm %s", log_path, log_path, log_path);
    write_lines(10);
    shell("mv %s %s.1", log_path, log_path);
    write_lines(10);
    run();
    int old = 0, current = 0;
    for (int i = 0; i < 30; i++)
        *(i < 20 ? &old : &current) += seen[i];
    ok(old == 0 && current == 10, "only the current file");
    run();
    is_int(seen[0] + seen[15], 0, "nor does the second run read older ones");
    source = (struct position_source){0};
    memset(seen, 0, sizeof seen);
    run_blocks(SIZE_MAX, true);
    run();
    all_once("with history all");
}

static void check_names(void)
{
    struct logfile_family family;
    struct err err;

    begin("whose names belong to the family");
    write_lines(1);
    shell("cd %s && touch mail.log.1 mail.log.2.gz mail.log-20261123 mail.log-20261123.gz "
          "mail.log.20261123-180000.gz mail.log.offset mail.log.gz mail.log.1.bak mail.log2 "
          "xmail.log mail.log. mail.log.1x; mkdir mail.log.7",
          dir);
    ok(logfile_family(&family, log_path, &err), "family");
    is_int(family.count, 6, "six of them");
    ok(family.count == 6 && family.files[5].current, "the current one last");
    logfile_family_free(&family);
    shell("rm -r %s/*", dir);
    ok(!logfile_family(&family, log_path, &err) && err.class == ERR_CONFIG, "none: %s", err.text);
    ok(!logfile_family(&family, "/nowhere/at/all", &err) && err.class == ERR_CONFIG,
       "no directory: %s", err.text);
}

/* A line without end, NULs, and no newline at the end. */
static void check_odd(void)
{
    BUF_AUTO text = {0};

    begin("a line that is too long");
    write_lines(3);
    for (int i = 0; i < 1000000; i++)
        buf_text(&text, "x");
    write_bytes(log_path, text.at);
    run();
    write_bytes(log_path, text.at);
    write_bytes(log_path, ": line 0\n");
    write_lines(3);
    run();
    all_once("too long");
    begin("stretches of NUL");
    write_lines(3);
    run();
    shell("head -c 300000 /dev/zero >>%s", log_path);
    write_bytes(log_path, "\n");
    write_lines(3);
    run();
    all_once("NULs");
}

static void check_stream(void)
{
    struct logfile_reader *reader;
    struct logfile head = {0};
    struct position_file position = {0};
    struct span block;
    struct err err;
    char path[100];

    begin("a stream that comes again");
    write_lines(30000);
    snprintf(path, sizeof path, "cat %s", log_path);
    for (int i = 0; i < 3; i++) {
        FILE *pipe = popen(path, "re");
        ok(logfile_stream(&reader, dup(fileno(pipe)), &head, &err), "stream");
        ok(logfile_known(&head, &position) == (i > 0), "known %d", i);
        ok(logfile_skip(reader, &position, &err), "up to where it was read: %lld %s",
           (long long)position.offset, err.text);
        size_t blocks = i == 0 ? 2 : 1000;
        while (blocks-- > 0 && logfile_read(reader, &block, &err) && block.len > 0)
            take_block(block);
        logfile_note(reader, &position);
        logfile_close(&reader);
        pclose(pipe);
    }
    all_once("stream");
}

int main(void)
{
    snprintf(dir, sizeof dir, "/tmp/rollcall-logfile.XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(log_path, sizeof log_path, "%s/mail.log", dir);
    check_plain();
    check_renamed();
    check_several();
    check_truncated();
    check_gzip();
    check_begins_alike(false);
    check_begins_alike(true);
    check_history();
    check_names();
    check_odd();
    check_stream();
    shell("rm -rf %s", dir);
    return tap_done();
}
