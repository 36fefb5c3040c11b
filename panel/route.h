/*
 * route - the one table of what can be asked for: method, path, who, and the page behind it
 */
#ifndef ROLLCALL_PANEL_ROUTE_H
#define ROLLCALL_PANEL_ROUTE_H

#include "panel/visit.h"

/* Who may: bits by enum role. */
enum {
    WHO_NOBODY = 1U << ROLE_NOBODY, /* everybody, signed in or not */
    WHO_USER = 1U << ROLE_USER,
    WHO_OPERATOR = 1U << ROLE_OPERATOR,
    WHO_MANAGES = 1U << ROLE_ADMIN | 1U << ROLE_OPERATOR,
    WHO_ANY = 1U << ROLE_USER | 1U << ROLE_ADMIN | 1U << ROLE_OPERATOR,
};
enum {
    ROUTE_STATIC = 1,           /* no session is looked for */
    ROUTE_NO_DATABASE = 2,      /* shows something without one */
    ROUTE_UPLOAD = 4,           /* takes a file */
    ROUTE_NO_TOKEN = 8,         /* a POST that is authorised by itself */
    ROUTE_BEFORE_PASSWORD = 16, /* open to those who have to change their password first */
    ROUTE_BEFORE_SECOND = 32,   /* and to those who have to turn a second factor on */
};

struct route {
    const char *method, *path; /* '*' stands for one piece between slashes */
    unsigned who, flags;
    const char *tab; /* which one is lit */
    page_fn *run;
};
extern const struct route routes[];
extern const size_t route_count;

/* Sets route and parameters; 200, 404, 405 (the path has other methods), or 400. */
int route_find(struct visit *visit);

#endif
