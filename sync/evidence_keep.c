/* evidence_keep - see evidence.h; here: what is known and not counted yet, as rows and back */
#include <string.h>

#include "sync/evidence_parts.h"

enum row_kind { ROW_MESSAGE = 1, ROW_ID = 2, ROW_WAITING = 3 };

static bool save_table(const struct flight *table, enum row_kind kind, evidence_row_fn *row,
                       void *context, struct err *err)
{
    char bytes[1 + sizeof(struct message)];
    const struct message *m;

    bytes[0] = (char)kind;
    for (size_t i = 0; (m = flight_at(table, &i)) != NULL; i++) {
        memcpy(bytes + 1, m, sizeof *m);
        if (!row(context, span_of(bytes, sizeof bytes), err))
            return false;
    }
    return true;
}

bool evidence_save(const struct evidence *e, evidence_row_fn *row, void *context, struct err *err)
{
    char bytes[1 + sizeof(struct waiting)];

    if (!save_table(&e->messages, ROW_MESSAGE, row, context, err) ||
        !save_table(&e->ids, ROW_ID, row, context, err))
        return false;
    bytes[0] = ROW_WAITING;
    for (size_t i = 0; i < e->waiting_count; i++) {
        memcpy(bytes + 1, &e->waiting[i], sizeof e->waiting[i]);
        if (!row(context, span_of(bytes, sizeof bytes), err))
            return false;
    }
    return true;
}

static bool restore_waiting(struct evidence *e, struct span bytes)
{
    struct waiting w;
    struct message *m;

    if (bytes.len != sizeof w)
        return false;
    memcpy(&w, bytes.at, sizeof w);
    if (w.local_len > ADDR_LOCAL_MAX || (m = flight_find(&e->messages, w.message)) == NULL)
        return false;
    evidence_wait_for(e, m, &w);
    return true;
}

bool evidence_restore(struct evidence *e, struct span row)
{
    struct message m;

    if (row.len == 0)
        return false;
    struct span bytes = span_of(row.at + 1, row.len - 1);
    if (row.at[0] == ROW_WAITING)
        return restore_waiting(e, bytes);
    if (bytes.len != sizeof m || (row.at[0] != ROW_MESSAGE && row.at[0] != ROW_ID))
        return false;
    memcpy(&m, bytes.at, sizeof m);
    if (m.key == 0)
        return false;
    *flight_put(row.at[0] == ROW_MESSAGE ? &e->messages : &e->ids, m.key) = m;
    return true;
}
