/* sql - pieces of SQL that several statements need */
#ifndef ROLLCALL_SQL_H
#define ROLLCALL_SQL_H

/* A point in time as RFC 3339 in GMT. */
#define SQL_TIME(what) "to_char((" what ") at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
/* The age of a point in time in microseconds. */
#define SQL_AGE(what) "(extract(epoch from clock_timestamp() - (" what ")) * 1000000)::bigint"
/* Held by whoever adds observations, together with others of the kind, until its transaction is over;
 * user_forget_lock holds it alone (sql/0024). */
#define SQL_OBSERVING "select pg_advisory_xact_lock_shared(x'726f6c6c'::int, x'6f627365'::int)"
/* The claims of a recipient row r, as people read them, one a line. */
#define SQL_SOURCES                                                                                \
    "nullif(array_to_string(r.claims, e'\\n'), '')"
/* local@domain, quoted where RFC 5321 wants it, as in the view `roll`. */
#define SQL_ATOM "[^][()<>:;@\\\\,.\" [:cntrl:]]+"
#define SQL_ADDRESS(local, domain)                                                                 \
    "(case when " local " ~ '^" SQL_ATOM "(\\." SQL_ATOM ")*$' then " local                        \
    " else '\"' || regexp_replace(" local                                                          \
    ", '([\"\\\\])', '\\\\\\1', 'g') || '\"' end || '@' || " domain ")"

#endif
