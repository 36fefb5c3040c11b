/*
 * directory_watch - see directory_private.h; here: a limit of time for what libldap does not limit
 *
 * A TLS handshake or a SASL bind with somebody who says nothing lasts for ever, and with libldap's
 * own time-out the handshake spins. So another thread closes the connection when its time is over.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "clock.h"
#include "directory_private.h"

struct directory_watch {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t end;
    int fd;
    struct timespec until; /* CLOCK_MONOTONIC */
    bool over, fired;
};

static void *watch(void *context)
{
    struct directory_watch *w = context;
    int waited = 0;

    pthread_mutex_lock(&w->lock);
    while (!w->over && waited == 0)
        waited = pthread_cond_timedwait(&w->end, &w->lock, &w->until);
    w->fired = !w->over;
    if (w->fired)
        shutdown(w->fd, SHUT_RDWR);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static void free_watch(struct directory_watch *w)
{
    pthread_cond_destroy(&w->end);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

struct directory_watch *directory_watch_begin(int fd, int64_t wait_us)
{
    struct directory_watch *w = mem_zero(1, sizeof *w);
    pthread_condattr_t attributes;

    w->fd = fd;
    w->until = clock_until(wait_us);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->end, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&w->thread, NULL, watch, w) == 0)
        return w;
    free_watch(w);
    return NULL;
}

bool directory_watch_fired(struct directory_watch *w)
{
    if (w == NULL)
        return false;
    pthread_mutex_lock(&w->lock);
    bool fired = w->fired;
    pthread_mutex_unlock(&w->lock);
    return fired;
}

void directory_watch_end(struct directory_watch **watched)
{
    struct directory_watch *w = *watched;

    if (w == NULL)
        return;
    pthread_mutex_lock(&w->lock);
    w->over = true;
    pthread_cond_signal(&w->end);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    free_watch(w);
    *watched = NULL;
}
