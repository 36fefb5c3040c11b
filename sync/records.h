/*
 * records - lines for a program that reads along: fields separated by tabs, the first two the kind
 * of record and the source
 *
 * Text is made printable, so a tab separates and nothing else. Each line is one write, so that
 * sources that are read at the same time do not mix theirs.
 */
#ifndef ROLLCALL_RECORDS_H
#define ROLLCALL_RECORDS_H

#include <stddef.h>

/* From now on at most so many of each kind, and no field longer than 1000 bytes. */
void record_limit(size_t most);
/* Writes to standard output; the list of fields ends with NULL. */
void record_write(const char *kind, const char *source, const char *const *fields);
#define RECORD(kind, source, ...)                                                                  \
    record_write((kind), (source), (const char *const[]){__VA_ARGS__, NULL})

#endif
