/*
 * fuzz-list: any bytes as a list of users, in every form. Asserts what holds whatever they are:
 * each entry has addresses that read back as themselves and a name that fits, lines are numbered
 * upwards from 1, and reading in pieces comes to the same as reading at once.
 */
#include <string.h>

#include "fuzz.h"
#include "lib/list.h"

struct seen {
    int64_t entries, problems;
    uint64_t hash;
};

static void mix(struct seen *seen, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        seen->hash = (seen->hash ^ ((const unsigned char *)bytes)[i]) * UINT64_C(1099511628211);
}

static void check_address(const struct addr *addr)
{
    char text[ADDR_TEXT_MAX + 1];
    struct addr again;
    struct err err;
    size_t len = addr_format(addr, text);

    fuzz_must(addr_parse(span_of(text, len), true, &again, &err));
    fuzz_must(again.local_len == addr->local_len && strcmp(again.domain, addr->domain) == 0 &&
              memcmp(again.local, addr->local, addr->local_len) == 0);
}

static bool on_entry(void *context, const struct roll_entry *entry, struct err *err)
{
    struct seen *seen = context;

    (void)err;
    fuzz_must(entry->line >= 1 && entry->address_count >= 1);
    fuzz_must(entry->address_count <= ROLL_ADDRESSES_MAX);
    fuzz_must(entry->name.len <= ROLL_NAME_MAX && str_utf8_valid(entry->name));
    fuzz_must(entry->name.len == 0 || memchr(entry->name.at, '\0', entry->name.len) == NULL);
    for (size_t i = 0; i < entry->address_count; i++) {
        check_address(&entry->addresses[i]);
        mix(seen, entry->addresses[i].local, entry->addresses[i].local_len);
    }
    mix(seen, &entry->line, sizeof entry->line);
    mix(seen, entry->name.at, entry->name.len);
    seen->entries++;
    return true;
}

static void on_problem(void *context, const struct list_problem *problem)
{
    struct seen *seen = context;

    fuzz_must(problem->line >= 1 && problem->why[0] != '\0');
    mix(seen, problem->text.at, problem->text.len);
    seen->problems++;
}

/* False: the list as a whole is no good. What was handed over before that depends on the pieces. */
static bool read_list(const uint8_t *data, size_t size, size_t step, enum list_form form,
                      struct seen *seen)
{
    struct list_options options = {.form = form};
    struct list_sink sink = {seen, on_entry, on_problem, NULL};
    struct list *list = NULL;
    struct err err = {0};

    *seen = (struct seen){.hash = UINT64_C(14695981039346656037)};
    bool fine = list_open(&list, &options, &sink, &err);
    fuzz_must(fine);
    for (size_t at = 0; fine && at < size; at += step)
        fine = list_feed(list, data + at, size - at < step ? size - at : step, &err);
    fine = fine && list_end(list, &err);
    fuzz_must(fine || (err.class != ERR_NONE && err.text[0] != '\0'));
    list_free(&list);
    return fine;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen whole, pieces;

    if (size < 2)
        return 0;
    enum list_form form = data[0] % 5;
    size_t step = 1 + data[1] % 64;
    bool fine = read_list(data + 2, size - 2, size, form, &whole);
    fuzz_must(read_list(data + 2, size - 2, step, form, &pieces) == fine);
    if (fine)
        fuzz_must(whole.entries == pieces.entries && whole.problems == pieces.problems &&
                  whole.hash == pieces.hash);
    return 0;
}
