/*
 * prober: what the process that runs sendmail lets itself be told. Catches one that would run it
 * with an option, for an address of somebody, or for more than a few: whoever asks may have been
 * taken over.
 */
#include "sync/prober.h"

#include "lib/str.h"

#include "tap.h"

static void refuses(struct prober *prober, const char *address, const char *why)
{
    char *one = mem_text(address);
    struct err err;

    bool asked = prober_ask(prober, &one, 1, &err);
    ok(!asked && strstr(err.text, "no address to ask for") != NULL, "%s: %s", why,
       asked ? "asked" : err.text);
    free(one);
}

int main(void)
{
    struct prober *prober = NULL;
    struct err err;
    char *many[PROBER_AT_ONCE + 1];

    if (!prober_start(&prober, "/nonexistent", &err))
        abort();
    refuses(prober, "-oQ/tmp", "an option");
    refuses(prober, "bob@customer.test", "somebody");
    refuses(prober, "rollcall-probe-1", "no address");
    refuses(prober, "rollcall-probe-@", "no domain");
    refuses(prober, "rollcall-probe-1@c.test\n-bs", "an option in a line of its own");
    refuses(prober, "rollcall-probe-1@c.test,bob@c.test", "two at once");
    for (int i = 0; i <= PROBER_AT_ONCE; i++)
        many[i] = mem_printf("rollcall-probe-%d@c.test", i);
    ok(!prober_ask(prober, many, PROBER_AT_ONCE + 1, &err) &&
           strstr(err.text, "no address to ask for") != NULL,
       "too many: %s", err.text);
    ok(!prober_ask(prober, many, PROBER_AT_ONCE, &err) && strstr(err.text, "sendmail") != NULL,
       "as many as there may be: sendmail is run, and finds no settings there: %s", err.text);
    for (int i = 0; i <= PROBER_AT_ONCE; i++)
        free(many[i]);
    prober_stop(&prober);
    ok(prober == NULL, "and it ends");
    return tap_done();
}
