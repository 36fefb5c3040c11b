/*
 * table - how fields of the data files are written: any byte, and long runs
 *
 * \xNN is a byte, \t a tab, \n a newline, \\ a backslash; {64:ab} is "ab" 64 times. Everything else
 * stands for itself.
 */
#ifndef ROLLCALL_TEST_TABLE_H
#define ROLLCALL_TEST_TABLE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"

/* One escape at *at, behind its backslash. */
static inline char table_byte(const char **at)
{
    char hex[3] = {(*at)[1], (*at)[1] != '\0' ? (*at)[2] : '\0', '\0'};

    switch (*(*at)++) {
    case 'x':
        *at += 2;
        return (char)strtol(hex, NULL, 16);
    case 't':
        return '\t';
    case 'n':
        return '\n';
    default:
        return (*at)[-1];
    }
}

static inline struct span table_bytes(const char *field, struct buf *out);

/* "{64:ab}" at *at; false when it is no run. */
static inline bool table_run(const char **at, struct buf *out)
{
    BUF_AUTO piece = {0};
    int count, used = 0;

    if (sscanf(*at, "{%d:%n", &count, &used) != 1 || used == 0)
        return false;
    const char *end = strchr(*at + used, '}');
    if (end == NULL)
        return false;
    STR_AUTO body = mem_span(span_of(*at + used, (size_t)(end - (*at + used))));
    table_bytes(body, &piece);
    while (count-- > 0)
        buf_append(out, piece.at, piece.len);
    *at = end + 1;
    return true;
}

/* The bytes that a field stands for, in *out. */
static inline struct span table_bytes(const char *field, struct buf *out)
{
    buf_clear(out);
    buf_text(out, "");
    while (*field != '\0') {
        char c = *field;
        if (c == '{' && table_run(&field, out))
            continue;
        field++;
        if (c == '\\')
            c = table_byte(&field);
        buf_append(out, &c, 1);
    }
    return span_of(out->at, out->len);
}

#endif
