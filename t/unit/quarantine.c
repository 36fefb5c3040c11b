/*
 * quarantine - what a message is caught for, whose rules match its sender, and its file
 *
 * Would catch: a rule that fits where it should not, a score out of nothing, a subdomain that
 * matches its parent, an envelope that reads back otherwise than it was written, a file that has a
 * name before it is whole, or stays when it was taken back.
 */
#include <dirent.h>
#include <unistd.h>

#include "lib/sender.h"
#include "report/category.h"
#include "report/envelope.h"
#include "report/store.h"
#include "t/unit/table.h"
#include "t/unit/tap.h"

static void check_row(char *line, int number)
{
    char *what = strsep(&line, "\t"), *first = strsep(&line, "\t"), *in = strsep(&line, "\t"),
         *want = strsep(&line, "\t");
    BUF_AUTO header = {0};
    BUF_AUTO wanted = {0};
    BUF_AUTO reason = {0};
    bool scored = false;
    double score = 0;
    char number_text[32] = "-";

    struct span text = table_bytes(in, &header);
    if (strcmp(what, "rules") == 0) {
        is_text(category_names[category_of(first, text)], want, "line %d: category", number);
        return;
    }
    table_bytes(want, &wanted);
    buf_text(&reason, "");
    category_reason(first, text, &reason, &scored, &score);
    if (scored)
        snprintf(number_text, sizeof number_text, "%.2f", score);
    is_text(reason.at, wanted.at, "line %d: reason", number);
    is_text(number_text, line, "line %d: score", number);
}

static void check_table(void)
{
    FILE *file = fopen(TEST_DATA "/quarantine/category.txt", "r");
    char *line = NULL;
    size_t room = 0;
    struct err err;

    if (!ok(file != NULL, "the table"))
        return;
    for (int number = 1; getline(&line, &room, file) > 0; number++) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] != '#')
            check_row(line, number);
    }
    free(line);
    fclose(file);
    ok(category_check_rules("virus X, bulk Y: z", &err), "good rules");
    ok(!category_check_rules("virus X, worm Y", &err) && strstr(err.text, "worm Y") != NULL,
       "a bad rule is named: %s", err.text);
}

static void append(void *context, const char *pattern)
{
    buf_text(context, pattern);
    buf_text(context, " ");
}

static void check_sender(void)
{
    static const char *const given[][2] = {{"A@EXAMPLE.org", "a@example.org"},
                                           {"@Example.org", "example.org"},
                                           {" *.Example.org ", "*.example.org"},
                                           {"m\xc3\xbcnchen.example", "xn--mnchen-3ya.example"},
                                           {"*", NULL},
                                           {"a@", NULL},
                                           {"", NULL},
                                           {"a b@example.org", NULL},
                                           {"\"a b\"@example.org", NULL},
                                           {"*.*.org", NULL}};
    char pattern[SENDER_PATTERN_MOST + 1];
    struct err err;

    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
        bool fine = sender_pattern_parse(span_text(given[i][0]), pattern, &err);
        if (given[i][1] == NULL)
            ok(!fine && err.class == ERR_DATA, "'%s' is none: %s", given[i][0], err.text);
        else if (ok(fine, "'%s'", given[i][0]))
            is_text(pattern, given[i][1], "its normal form");
    }
    BUF_AUTO all = {0};
    sender_patterns("Bob@Mail.Example.ORG", append, &all);
    is_text(all.at, "bob@mail.example.org mail.example.org *.example.org *.org ", "what matches");
    buf_clear(&all);
    sender_patterns("nobody", append, &all);
    is_int(all.len, 0, "nothing matches what is no address");
}

static const char *const recipients[] = {"a@example.com", "\"b c\"@example.com"};
static const struct envelope sample = {.received_us = 1795651200123456,
                                       .sender = "",
                                       .smtputf8 = true,
                                       .forward = {"name", "192.0.2.1", "helo x", "4ABC"},
                                       .recipients = recipients,
                                       .recipient_count = 2};

static void check_envelope(void)
{
    BUF_AUTO text = {0};
    struct envelope e;
    size_t used;

    envelope_write(&text, &sample);
    size_t front = text.len;
    for (size_t len = 0; len < front; len++) {
        STR_AUTO part = mem_span(span_of(text.at, len));
        if (envelope_read(part, len, &e, &used))
            ok(false, "%zu bytes of it are not all", len);
    }
    buf_text(&text, "Subject: x\n\nto z@example.com\n");
    if (!ok(envelope_read(text.at, text.len, &e, &used), "reads what it wrote"))
        return;
    is_int(used, front, "the message begins behind it");
    is_int(e.received_us, sample.received_us, "time");
    is_text(e.sender, "", "the null sender");
    is_int(e.recipient_count, 2, "recipients");
    is_text(e.recipients[1], recipients[1], "the second");
    ok(e.smtputf8 && strcmp(e.forward.helo, "helo x") == 0 && strcmp(e.forward.ident, "4ABC") == 0,
       "and the rest");
    envelope_free(&e);
    char other[] = "From: x\n\n";
    ok(!envelope_read(other, strlen(other), &e, &used), "another file is none");
}

static void count_file(void *context, const char *name, int64_t changed_us)
{
    ok(strlen(name) == STORE_NAME && changed_us > 0, "on its shelf: %s", name);
    ++*(int *)context;
}

static int files_in(struct store *store)
{
    struct err err;
    int count = 0;

    for (unsigned i = 0; i < STORE_SHELVES; i++)
        if (!store_list(store, i, count_file, &count, &err))
            return -1;
    return count;
}

static int entries(const char *directory)
{
    DIR *dir = opendir(directory);
    int count = 0;

    for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
        count += e->d_name[0] != '.';
    if (dir != NULL)
        closedir(dir);
    return count;
}

static void check_store(void)
{
    char directory[] = "/tmp/rollcall-store.XXXXXX", tmp[64], command[64];
    struct store *store = NULL, *second = NULL;
    struct store_writing w, taken_back;
    static char much[STORE_HELD];
    struct err err;
    char read_back[64] = "";

    if (mkdtemp(directory) == NULL || !ok(store_open(&store, directory, &err), "a new directory"))
        return;
    snprintf(tmp, sizeof tmp, "%s/tmp", directory);
    ok(!store_open(&second, directory, &err) && err.class == ERR_CONFIG && second == NULL,
       "nobody else has it: %s", err.text);
    ok(store_begin(store, span_text("front\n"), &w, &err) &&
           store_write(&w, span_text("message"), &err),
       "begun");
    is_int(files_in(store), 0, "a file that is not whole has no name");
    ok(store_begin(store, span_text("x"), &taken_back, &err), "another");
    is_int(entries(tmp), 0, "short ones are not written yet");
    ok(store_write(&taken_back, span_of(much, sizeof much), &err) && taken_back.held.len == 0,
       "a long one");
    is_int(entries(tmp), 1, "lies in tmp");
    store_abandon(&taken_back);
    store_abandon(&taken_back);
    is_int(entries(tmp), 0, "and not any more when it is taken back");
    ok(store_commit(&w, &err) && store_sync(&w, &err), "committed");
    ok(w.held.len == STORE_SEAL + 13 && memcmp(w.held.at + STORE_SEAL, "front\nmessage", 13) == 0,
       "what a short file holds is still there");
    store_abandon(&w);
    is_int(entries(tmp), 0, "nothing is left in tmp");
    is_int(files_in(store), 1, "one file");
    is_int(w.size, 7, "size of the message");
    uint8_t digest[SECRET_DIGEST];
    secret_digest("message", 7, digest, sizeof digest);
    ok(memcmp(digest, w.digest, sizeof digest) == 0, "digest of the message");
    int fd = store_read(store, w.name, &err);
    ok(fd >= 0 && pread(fd, read_back, sizeof read_back - 1, STORE_SEAL) == 13, "can be read");
    is_text(read_back, "front\nmessage", "as it was written");
    uint64_t sealed_size = 0;
    uint8_t sealed[SECRET_DIGEST];
    ok(store_read_seal(fd, &sealed_size, sealed) && sealed_size == 7 &&
           memcmp(sealed, digest, sizeof digest) == 0,
       "sealed with size and digest");
    close(fd);

    struct store_writing other;
    ok(store_begin(store, span_text("front\n"), &other, &err) &&
           store_write(&other, span_of(much, sizeof much), &err) &&
           store_write(&other, span_text("end"), &err) && store_commit(&other, &err) &&
           store_sync(&other, &err),
       "a long one is committed");
    ok(other.name[0] == w.name[0] && other.name[1] == w.name[1], "on the shelf of the one before");
    fd = store_read(store, other.name, &err);
    ok(fd >= 0 && store_read_seal(fd, &sealed_size, sealed) && sealed_size == sizeof much + 3 &&
           pread(fd, read_back, 9, STORE_SEAL + 6 + (off_t)sizeof much - 6) == 9 &&
           memcmp(read_back, "\0\0\0\0\0\0end", 9) == 0,
       "whole and sealed");
    close(fd);
    ok(!store_remove_unsealed(store, other.name), "not taken for half a file");
    ok(store_remove(store, other.name, &err), "removed");
    store_abandon(&other);

    ok(store_begin(store, span_text("x"), &taken_back, &err) &&
           store_write(&taken_back, span_of(much, sizeof much), &err),
       "one more is begun");
    is_int(entries(tmp), 1, "and written");
    close(taken_back.fd); /* as after a crash */
    secret_digest_end(&taken_back.digesting, digest);
    store_close(&store);
    ok(store_open(&store, directory, &err) && entries(tmp) == 0, "what was half written is gone");
    is_int(files_in(store), 1, "what was whole is not");
    ok(store_remove(store, w.name, &err) && store_remove(store, w.name, &err), "removed, twice");
    ok(store_read(store, w.name, &err) < 0 && err.class == ERR_DATA, "gone: %s", err.text);
    ok(store_read(store, "../../etc/passwd", &err) < 0, "no other file: %s", err.text);
    store_close(&store);
    snprintf(command, sizeof command, "rm -rf %s", directory);
    if (system(command) != 0)
        printf("# %s stays\n", directory);
}

int main(void)
{
    secret_init();
    check_table();
    check_sender();
    check_envelope();
    check_store();
    return tap_done();
}
