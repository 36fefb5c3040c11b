/*
 * follower - the thread that brings the replica up to date with PostgreSQL, and keeps it so
 *
 * It wakes by NOTIFY or every poll_interval, reads what is new in one repeatable-read snapshot and
 * hands it to the replica. It never gives up: whatever fails is told once, tried again, and lets
 * the replica age meanwhile. Which rows are read and what they mean is feed.c's matter.
 */
#ifndef ROLLCALL_FOLLOWER_H
#define ROLLCALL_FOLLOWER_H

#include <stdbool.h>
#include <stdint.h>

#include "policyd/replica.h"

struct follower;

struct follower_options {
    const char *conninfo;
    int64_t timeout_us;
    struct replica *replica;
    void (*changed)(void *context); /* after each applied batch or load, in the follower's thread */
    void *context;
};

struct follower *follower_start(const struct follower_options *options);
/* Ends the thread, interrupting what it waits for, and frees. */
void follower_stop(struct follower **follower);
bool follower_connected(const struct follower *follower); /* any thread */
/* 0 unless the last follow-up failed: then since when (clock_elapsed_us). Any thread. */
int64_t follower_failing_since(const struct follower *follower);

#endif
