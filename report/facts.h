/*
 * facts - what a message file of the quarantine tells of itself: its envelope, its seal, how its
 * message begins; and whether it is whole
 */
#ifndef ROLLCALL_FACTS_H
#define ROLLCALL_FACTS_H

#include "lib/secret.h"
#include "lib/str.h"
#include "report/envelope.h"
#include "report/record.h"

struct facts {
    struct buf file; /* the envelope, and the beginning of the message, where it had to be read */
    struct envelope envelope;
    struct span message; /* its beginning */
    uint64_t at, size;   /* where in the file it begins (facts_read), its bytes */
    uint8_t digest[SECRET_DIGEST];
};

/* The file's bytes behind the seal; *used of them are the envelope. */
bool facts_take(struct facts *f, char *text, size_t len, size_t *used) MUST_CHECK;
/* RECORD_STORED: it is as long as its seal says and, with `check`, has the digest. RECORD_HALF: it
 * is not (err). RECORD_FAILED: it cannot be read (err). */
enum record_outcome facts_read(int fd, bool check, const char *name, struct facts *f,
                               struct err *err) MUST_CHECK;
/* The same without `check`, of a file whose message is of no interest: what is read is a page of it
 * rather than all that a row needs. Only size and digest are filled. */
enum record_outcome facts_glance(int fd, const char *name, struct facts *f,
                                 struct err *err) MUST_CHECK;
void facts_free(struct facts *f);

#endif
