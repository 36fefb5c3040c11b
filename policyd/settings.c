/* settings - see settings.h */
#include "policyd/settings.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "lib/clock.h"

static struct {
    pthread_mutex_t lock;
    _Atomic unsigned number;
    struct settings value;
} current = {.lock = PTHREAD_MUTEX_INITIALIZER};

void settings_publish(const struct conf *conf)
{
    struct settings s = {
        .poll_interval_us = conf->poll_interval,
        .gateway_interval_us = conf->gateway_interval,
        .idle_limit_us = conf->policy_idle_limit,
        .request_limit_us = conf->policy_request_limit,
        .stale_limit_us = conf->stale_limit,
        .source_stale_limit_us = conf->source_stale_limit,
        .verified_for_us = conf->verified_for,
        .refused_for_us = conf->refused_for,
        .limits = {.probe_limit = (uint32_t)conf->probe_limit,
                   .harvest_limit = (uint32_t)conf->harvest_limit,
                   .harvest_window_s = conf->harvest_window / CLOCK_SECOND},
        .accept_abuse = conf->accept_abuse != 0,
        .reject_blocked_senders = conf->reject_blocked_senders != 0,
        .log_answers = (enum conf_log_answers)conf->log_answers,
    };

    snprintf(s.unknown_text, sizeof s.unknown_text, "%s", conf->unknown_text);
    snprintf(s.unsure_text, sizeof s.unsure_text, "%s", conf->unsure_text);
    snprintf(s.subdomain_text, sizeof s.subdomain_text, "%s", conf->subdomain_text);
    snprintf(s.blocked_text, sizeof s.blocked_text, "%s", conf->blocked_text);
    pthread_mutex_lock(&current.lock);
    s.number = atomic_load(&current.number) + 1;
    current.value = s;
    atomic_store(&current.number, s.number);
    pthread_mutex_unlock(&current.lock);
}

void settings_refresh(struct settings *mine)
{
    if (atomic_load_explicit(&current.number, memory_order_acquire) == mine->number)
        return;
    pthread_mutex_lock(&current.lock);
    *mine = current.value;
    pthread_mutex_unlock(&current.lock);
}
