/* record - see record.h */
#include "record.h"

bool record_next(struct span *rest, struct record *record)
{
    struct span line;

    *record = (struct record){.count = 0};
    if (!span_next(rest, '\n', &line))
        return false;
    while (record->count < RECORD_FIELDS_MOST &&
           span_next(&line, '\t', &record->fields[record->count]))
        record->count++;
    return true;
}

bool record_is(const struct record *record, const char *kind)
{
    return record->count >= 2 && span_equals(record->fields[0], kind);
}

struct span record_field(const struct record *record, size_t at)
{
    return at < record->count ? record->fields[at] : span_of("", 0);
}

int64_t record_number(const struct record *record, size_t at)
{
    int64_t number = 0;

    return at < record->count && str_int64(record->fields[at], &number) ? number : 0;
}
