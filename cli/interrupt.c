/* interrupt - see interrupt.h */
#include "cli/interrupt.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
enum { SIGNALS = sizeof signals / sizeof signals[0] };

static struct sigaction before[SIGNALS];
static int watch[2] = {-1, -1};
static volatile sig_atomic_t seen;

static void on_signal(int number)
{
    (void)number;
    seen = 1;
    if (write(watch[1], "", 1) != 1) { /* full: it is readable already */
    }
}

int interrupt_watch(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: reads end, too */

    if (watch[0] >= 0 || pipe2(watch, O_CLOEXEC | O_NONBLOCK) != 0)
        return watch[0];
    for (int i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &action, &before[i]);
    return watch[0];
}

bool interrupt_seen(void)
{
    return seen != 0;
}

void interrupt_end(void)
{
    if (watch[0] < 0)
        return;
    for (int i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &before[i], NULL);
    close(watch[0]);
    close(watch[1]);
    watch[0] = watch[1] = -1;
}
