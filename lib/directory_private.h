/*
 * directory_private - what the files of directory share; nobody else includes it, and nobody else
 * speaks to libldap
 */
#ifndef ROLLCALL_DIRECTORY_PRIVATE_H
#define ROLLCALL_DIRECTORY_PRIVATE_H

#include <ldap.h>

#include "directory.h"

struct directory {
    LDAP *ld;
    const struct directory_login *login;
    char server[320];              /* URI */
    char host[320];                /* of it, for messages */
    char refused[128];             /* why the address of the server is not allowed; "": it is */
    bool connected;                /* somebody answers there */
    bool securing;                 /* TLS is being agreed on */
    struct directory_watch *watch; /* until the bind is done */
    struct ldap_conncb cb;         /* looks at each connection's address */
    bool active_directory;         /* its references to its own other parts are no gaps */
    int64_t page_size;             /* what the server turned out to allow; 0: what is asked for */
};

/* directory_words.c: what a result code means; the diagnostic text, where there is one, in
 * brackets. */
bool directory_say(struct err *err, const struct directory *d, int code, const char *diagnostic,
                   const char *object);
/* Why no protected connection came about. */
bool directory_say_no_connection(struct err *err, struct directory *d, int code);
bool directory_say_late(struct err *err, const struct directory *d);
void directory_diagnostic(const struct directory *d, char *out, size_t room);

/* directory_watch.c: shuts the connection down when it is not ended in time. NULL: it could not be
 * begun. */
struct directory_watch *directory_watch_begin(int fd, int64_t wait_us);
bool directory_watch_fired(struct directory_watch *watch); /* NULL: no */
void directory_watch_end(struct directory_watch **watch);  /* nulls; NULL allowed */

/* directory_certificate.c: what is wrong with the server's certificate, if that can be found out.
 * Returns false. */
bool directory_say_certificate(struct err *err, struct directory *d, bool *said);

/* directory.c */
struct timeval directory_time_left(const struct directory *d, int64_t most_us);
bool directory_too_late(const struct directory *d);

#endif
