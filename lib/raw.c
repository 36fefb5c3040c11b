/* raw - see raw.h */
#include "raw.h"

#include <stdio.h>

enum { PIECES = 4 /* fetched at once, of 256 KiB each */ };

static unsigned digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

/* As encode(…, 'hex') writes them. */
static void decode(struct buf *out, struct span hex)
{
    char bytes[512];
    size_t count = 0;

    for (size_t i = 0; i + 1 < hex.len; i += 2) {
        bytes[count++] = (char)(digit(hex.at[i]) << 4 | digit(hex.at[i + 1]));
        if (count == sizeof bytes || i + 3 >= hex.len) {
            buf_append(out, bytes, count);
            count = 0;
        }
    }
}

bool raw_read(struct db *db, const char *request, raw_take *take, void *context, struct err *err)
{
    char from[16], to[16];

    for (int piece = 0;; piece += PIECES) {
        DB_RESULT_AUTO rows = NULL;
        BUF_AUTO bytes = {0};

        snprintf(from, sizeof from, "%d", piece);
        snprintf(to, sizeof to, "%d", piece + PIECES);
        if (!db_query(
                db, &rows,
                "select encode(bytes, 'hex') from quarantine_raw where request_id = $1::bigint"
                " and piece >= $2::integer and piece < $3::integer order by piece",
                DB_VALUES(request, from, to), err))
            return false;
        for (size_t i = 0; i < db_rows(rows); i++)
            decode(&bytes, db_span(rows, i, 0));
        if (bytes.len > 0 && !take(context, span_of(bytes.at, bytes.len), err))
            return false;
        if (db_rows(rows) < PIECES)
            return true;
    }
}
