/*
 * cmd_user_export - the roll as a file that `user import` reads back
 *
 * What is accepted and what is disabled; retired addresses count as not on the roll. A row per user
 * or group, in the order of their addresses, so that two exports of the same roll are the same
 * bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/filter.h"
#include "lib/list.h"
#include "lib/str.h"

/* A row per address: the primary one's number and what it is, then the alias or null. */
static const char export_sql[] =
    "declare export no scroll cursor for"
    " select r.id, r.local_part, d.name, r.kind, r.state, coalesce(u.name, ''), a.local_part,"
    "   ad.name, a.state from recipient r join domain d on d.id = r.domain_id"
    " join customer k on k.id = d.customer_id left join users u on u.id = r.user_id"
    " left join recipient a on a.user_id = r.user_id and a.kind = 'alias'"
    "   and a.state in ('active', 'disabled')"
    " left join domain ad on ad.id = a.domain_id"
    " where r.kind in ('primary', 'group') and r.state in ('active', 'disabled')"
    " and ($1::text is null or d.name = $1)"
    " and ($2::text is null or lower(k.name) = lower($2))"
    " order by d.name, r.local_part, ad.name, a.local_part";
static const char fetch_sql[] = "fetch 5000 from export";

struct writer {
    struct buf out;
    struct addr *addresses;
    bool *disabled; /* each of them */
    size_t count, room;
    int64_t recipient; /* whose row is being put together; 0: none */
    enum entry_kind kind;
    struct buf name;
};

static void put_address(struct writer *writer, struct span local, struct span domain,
                        struct span state)
{
    if (writer->count == writer->room) {
        writer->room = writer->room > 0 ? writer->room * 2 : 16;
        writer->addresses = mem_grow(writer->addresses, writer->room * sizeof(struct addr));
        writer->disabled = mem_grow(writer->disabled, writer->room * sizeof(bool));
    }
    writer->disabled[writer->count] = span_equals(state, "disabled");
    struct addr *addr = &writer->addresses[writer->count++];
    *addr = (struct addr){0};
    addr->local_len = local.len < ADDR_LOCAL_MAX ? local.len : ADDR_LOCAL_MAX;
    addr->domain_len = domain.len < ADDR_DOMAIN_MAX ? domain.len : ADDR_DOMAIN_MAX;
    memcpy(addr->local, local.at, addr->local_len);
    memcpy(addr->domain, domain.at, addr->domain_len);
}

static void end_entry(struct writer *writer)
{
    struct roll_entry entry = {
        .kind = writer->kind,
        .addresses = writer->addresses,
        .address_count = writer->count,
        .name = span_of(writer->name.at, writer->name.len),
        .disabled_each = writer->disabled,
    };

    if (writer->recipient != 0)
        list_write_entry(&writer->out, &entry);
    writer->recipient = 0;
}

static void begin_entry(struct writer *writer, const struct db_result *rows, size_t row)
{
    writer->recipient = db_int(rows, row, 0);
    writer->count = 0;
    writer->kind = span_equals(db_span(rows, row, 3), "group") ? ENTRY_GROUP : ENTRY_USER;
    buf_clear(&writer->name);
    buf_text(&writer->name, db_text(rows, row, 5));
    put_address(writer, db_span(rows, row, 1), db_span(rows, row, 2), db_span(rows, row, 4));
}

static void take_row(struct writer *writer, const struct db_result *rows, size_t row)
{
    if (db_int(rows, row, 0) != writer->recipient) {
        end_entry(writer);
        begin_entry(writer, rows, row);
    }
    if (!db_null(rows, row, 6))
        put_address(writer, db_span(rows, row, 6), db_span(rows, row, 7), db_span(rows, row, 8));
}

static bool flush(struct writer *writer, struct err *err)
{
    bool fine = fwrite(writer->out.at, 1, writer->out.len, stdout) == writer->out.len;

    buf_clear(&writer->out);
    return fine || err_set(err, ERR_OTHER, "the output could not be written");
}

static bool write_all(struct cli *cli, struct writer *writer, struct err *err)
{
    size_t count;

    do {
        DB_RESULT_AUTO rows = NULL;
        if (!db_query(cli->db, &rows, fetch_sql, DB_NO_VALUES, err))
            return false;
        count = db_rows(rows);
        for (size_t i = 0; i < count; i++)
            take_row(writer, rows, i);
        if (count == 0)
            end_entry(writer);
        if (!flush(writer, err))
            return false;
    } while (count > 0);
    return db_script(cli->db, "commit", err);
}

bool cmd_user_export(struct cli *cli, struct err *err)
{
    struct writer writer = {0};
    char name[ADDR_DOMAIN_MAX + 1];
    const char *domain;

    if (cli->json)
        return err_set(err, ERR_USAGE, "an export is CSV; 'rollcall user list --json' is JSON");
    if (!cli_read(cli, err) || !filter_customer(cli, err) ||
        !filter_domain(cli, name, &domain, err))
        return false;
    list_write_header(&writer.out);
    db_set_timeout(cli->db, 0); /* sorting a long roll takes as long as it takes */
    bool fine =
        db_script(cli->db, "begin read only", err) &&
        db_exec(cli->db, export_sql, DB_VALUES(domain, cli_value(cli, "customer")), NULL, err) &&
        write_all(cli, &writer, err);
    buf_free(&writer.out);
    buf_free(&writer.name);
    free(writer.addresses);
    free(writer.disabled);
    return fine;
}
