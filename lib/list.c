/*
 * list - see list.h
 *
 * What stands here is the way from stage to stage; the stages are listed in list_private.h.
 */
#include "list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "list_private.h"

const char *const list_form_names[] = {"any", "csv", "plain", "ldif", "paste", NULL};

bool list_open(struct list **list, const struct list_options *options, const struct list_sink *sink,
               struct err *err)
{
    struct list_columns columns;
    struct list *made = mem_zero(1, sizeof *made);

    *list = made;
    made->options = options;
    made->sink = sink;
    made->maker.addresses = mem_alloc(ROLL_ADDRESSES_MAX * sizeof *made->maker.addresses);
    made->maker.disabled = mem_alloc(ROLL_ADDRESSES_MAX * sizeof *made->maker.disabled);
    if ((options->columns == NULL || list_columns_parse(options->columns, &columns, err)) &&
        list_bytes_open(made, err))
        return true;
    list_free(list);
    return false;
}

void list_free(struct list **list)
{
    if (*list == NULL)
        return;
    list_bytes_free(&(*list)->bytes);
    list_csv_free(&(*list)->csv);
    list_ldif_free(&(*list)->ldif);
    buf_free(&(*list)->head);
    buf_free(&(*list)->lines.rest);
    buf_free(&(*list)->maker.name);
    buf_free(&(*list)->maker.clean);
    buf_free(&(*list)->maker.unwrapped);
    free((*list)->maker.addresses);
    free((*list)->maker.disabled);
    free(*list);
    *list = NULL;
}

struct list_counts list_counts(const struct list *list)
{
    return list->counts;
}

/* The reason without the text that the listener shows by itself. */
static const char *reason_alone(struct span text, const char *why)
{
    char shown[200];
    size_t len = str_printable(shown, sizeof shown, text.at, text.len);

    if (len > 0 && why[0] == '\'' && strncmp(why + 1, shown, len) == 0 &&
        strncmp(why + 1 + len, "': ", 3) == 0)
        return why + 1 + len + 3;
    return why;
}

static void tell(struct list *list, const struct list_problem *problem)
{
    if (list->sink->problem != NULL)
        list->sink->problem(list->sink->context, problem);
}

void list_bad(struct list *list, int64_t line, struct span text, const char *why)
{
    struct span shown = span_trim(text);
    struct list_problem problem = {.line = line, .text = shown, .why = reason_alone(shown, why)};

    list->counts.problems++;
    tell(list, &problem);
}

void list_pass_over(struct list *list, int64_t line, struct span text, const char *why)
{
    struct list_problem problem = {
        .line = line, .text = span_trim(text), .why = why, .passed_over = true};

    list->counts.passed_over++;
    tell(list, &problem);
}

bool list_line(struct list *list, struct span line, struct err *err)
{
    switch (list->guess.form) {
    case LIST_CSV:
        return list_csv_line(list, line, err);
    case LIST_LDIF:
        return list_ldif_line(list, line, err);
    default:
        return list_plain_line(list, line, err);
    }
}

/* What is looked at to find out the form: whole lines, the same however the bytes came. */
static struct span whole_lines(struct span head, bool at_end)
{
    size_t most = head.len < LIST_HEAD_MAX ? head.len : LIST_HEAD_MAX, len = most;

    if (at_end && len == head.len)
        return head;
    while (len > 0 && head.at[len - 1] != '\n' && head.at[len - 1] != '\r')
        len--;
    return span_of(head.at, len > 0 ? len : most);
}

/* Enough is there to find out what it is. */
static bool begin(struct list *list, bool at_end, struct err *err)
{
    struct span head = span_of(list->head.at, list->head.len);

    list->begun = true;
    if (!list_guess(whole_lines(head, at_end), list->options, &list->guess, err))
        return false;
    bool fine = list_lines_feed(list, head, err);
    buf_free(&list->head);
    return fine;
}

bool list_text(struct list *list, struct span text, struct err *err)
{
    if (list->begun)
        return list_lines_feed(list, text, err);
    buf_append(&list->head, text.at, text.len);
    bool known = list->options->form != LIST_ANY && list->options->form != LIST_CSV;
    return (!known && list->head.len < LIST_HEAD_MAX) || begin(list, false, err);
}

bool list_feed(struct list *list, const void *bytes, size_t len, struct err *err)
{
    return len == 0 || list_bytes_feed(list, span_of(bytes, len), err);
}

bool list_end(struct list *list, struct err *err)
{
    if (!list_bytes_end(list, err) || (!list->begun && !begin(list, true, err)) ||
        !list_lines_end(list, err))
        return false;
    return list->guess.form == LIST_CSV    ? list_csv_end(list, err)
           : list->guess.form == LIST_LDIF ? list_ldif_end(list, err)
                                           : true;
}

static const char *delimiter_name(char delimiter)
{
    return delimiter == ','    ? "commas"
           : delimiter == ';'  ? "semicolons"
           : delimiter == '\t' ? "tabs"
           : delimiter == '|'  ? "bars"
                               : NULL;
}

/* As --columns has them; those of a wide table by number. */
static void describe_columns(const struct list_columns *columns, struct buf *out)
{
    size_t last = columns->count; /* of those that are used */
    const char *comma = "; columns: ";

    while (last > 0 && columns->role[last - 1] == ROLE_NONE)
        last--;
    for (size_t i = 0; i < last; i++) {
        if (last <= 12)
            buf_printf(out, "%s%s", comma, list_role_names[columns->role[i]]);
        else if (columns->role[i] != ROLE_NONE)
            buf_printf(out, "%s%s in %zu", comma, list_role_names[columns->role[i]], i + 1);
        else
            continue;
        comma = last <= 12 ? "," : ", ";
    }
}

void list_describe(const struct list *list, struct buf *out)
{
    static const char *const forms[] = {"", "CSV", "plain list", "LDIF", "pasted text"};
    const struct list_guess *guess = &list->guess;

    buf_printf(out, "%s, %s%s", forms[guess->form], list_bytes_encoding(list->bytes),
               list_bytes_gzip(list->bytes) ? ", gzip" : "");
    if (guess->form != LIST_CSV)
        return;
    if (delimiter_name(guess->delimiter) != NULL)
        buf_printf(out, ", separated by %s", delimiter_name(guess->delimiter));
    else
        buf_printf(out, ", separated by '%c'", guess->delimiter);
    describe_columns(&guess->columns, out);
}

/* ---- the file */

enum { PIECE = 1 << 18 };

static bool read_all(struct list *list, int fd, int64_t size, const char *name,
                     const struct list_progress *progress, struct err *err)
{
    char *piece = mem_alloc(PIECE);
    int64_t total = 0;
    ssize_t got = 0;
    bool fine = true;

    do {
        got = read(fd, piece, PIECE);
        if (got < 0 && errno != EINTR)
            fine = err_set(err, ERR_OTHER, "%s", strerror(errno));
        total += got > 0 ? got : 0;
        if (fine && got > 0)
            fine = list_feed(list, piece, (size_t)got, err);
        if (fine && progress != NULL)
            fine = progress->step(progress->context, total, size, err);
    } while (fine && got != 0);
    free(piece);
    if (fine)
        fine = list_end(list, err);
    return fine || err_prefix(err, "%s", name);
}

bool list_read_file(struct list *list, const char *path, const struct list_progress *progress,
                    struct err *err)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    const char *name = standard ? "standard input" : path;
    struct stat stat;

    if (fd < 0 || fstat(fd, &stat) != 0)
        return err_set(err, ERR_DATA, "%s: %s", name, strerror(errno));
    bool fine = true;
    if (S_ISDIR(stat.st_mode))
        fine = err_set(err, ERR_DATA, "%s: is a directory", name);
    if (fine)
        fine = read_all(list, fd, S_ISREG(stat.st_mode) ? (int64_t)stat.st_size : -1, name,
                        progress, err);
    if (!standard)
        close(fd);
    return fine;
}
