/*
 * request: whatever the bytes, parsing stays within them, and a request that comes in two pieces is
 * the request that comes at once. The first two bytes choose where it is cut.
 */
#include "policyd/request.h"

#include <string.h>

#include "fuzz.h"

static bool within(struct span field, struct span bytes, size_t used)
{
    return field.at == NULL ||
           (field.at > bytes.at && field.at + field.len < bytes.at + used && field.at[-1] == '=' &&
            field.at[field.len] == '\n' && memchr(field.at, '\n', field.len) == NULL);
}

static void check_complete(struct span bytes, const struct request *r, size_t used)
{
    fuzz_must(used >= strlen("request=\n\n") && used <= bytes.len && used <= REQUEST_MAX);
    fuzz_must(memcmp(bytes.at + used - 2, "\n\n", 2) == 0);
    fuzz_must(memmem(bytes.at, used - 1, "\n\n", 2) == NULL);
    fuzz_must(r->request.at != NULL);
    fuzz_must(within(r->request, bytes, used) && within(r->protocol_state, bytes, used));
    fuzz_must(within(r->recipient, bytes, used) && within(r->sender, bytes, used));
    fuzz_must(within(r->client_address, bytes, used));
}

/* With an empty line there the two agree wholly; before it, pieces may find out later that it is
 * no request. */
static void check_pieces(struct span bytes, size_t cut, enum request_outcome whole,
                         const struct request *wanted, size_t wanted_used)
{
    struct request r;
    size_t used = 0;
    const char *why = NULL;

    if (request_parse(span_of(bytes.at, cut), 0, &r, &used, &why) != REQUEST_PARTIAL)
        return; /* nobody reads on then */
    enum request_outcome outcome = request_parse(bytes, cut, &r, &used, &why);
    if (whole == REQUEST_COMPLETE) {
        fuzz_must(outcome == REQUEST_COMPLETE && used == wanted_used);
        fuzz_must(memcmp(&r, wanted, sizeof r) == 0);
    } else if (whole == REQUEST_PARTIAL)
        fuzz_must(outcome == REQUEST_PARTIAL);
    else if (memmem(bytes.at, bytes.len, "\n\n", 2) != NULL || bytes.len >= REQUEST_MAX)
        fuzz_must(outcome == REQUEST_MALFORMED && why != NULL);
    else
        fuzz_must(outcome != REQUEST_COMPLETE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct request r;
    size_t used = 0;
    const char *why = NULL;

    if (size < 3)
        return 0;
    struct span bytes = span_of((const char *)data + 2, size - 2);
    size_t cut = 1 + ((size_t)data[0] << 8 | data[1]) % bytes.len;
    enum request_outcome whole = request_parse(bytes, 0, &r, &used, &why);
    if (whole == REQUEST_COMPLETE)
        check_complete(bytes, &r, used);
    fuzz_must(whole != REQUEST_PARTIAL || bytes.len < REQUEST_MAX);
    fuzz_must(whole != REQUEST_MALFORMED || why != NULL);
    check_pieces(bytes, cut, whole, &r, used);
    return 0;
}
