/*
 * replica - what was applied is found, survives kill -9 at any moment, and damage is noticed
 *
 * Catches: a position that is committed without its data or before it, a generation that is half
 * switched, an interrupted batch that is forgotten, a served domain that turns foreign after a
 * restored dump, a truncated or overwritten file that is answered from, a refusal that hides a
 * recipient or outlives its domain.
 */
#include "policyd/replica.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/secret.h"
#include "tap.h"

const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libdb-5.3"; /* it keeps what its threads last said */
}

static char directory[] = "/tmp/rollcall-replica-XXXXXX";
static const _Atomic bool never;

static struct replica *open_replica(void)
{
    struct replica *replica = NULL;
    struct err err = {0};
    bool opened = replica_open(&replica,
                               &(struct replica_options){.directory = directory,
                                                         .cache_bytes = 8 << 20,
                                                         .tombstone_life_us = 3600 * CLOCK_SECOND,
                                                         .readers = 2},
                               &err);

    if (!opened) {
        printf("Bail out! %s\n", err.text);
        exit(1);
    }
    return replica;
}

static struct replica_position position(int64_t version)
{
    return (struct replica_position){version, {(uint8_t)version, 7}};
}

static struct domain_record domain(int32_t id, const char *name)
{
    struct domain_record record;

    memset(&record, 0, sizeof record);
    record.id = id;
    record.loaded_at = 1;
    record.name_len = (uint8_t)strlen(name);
    memcpy(record.name, name, record.name_len);
    return record;
}

static const struct replica_recipient active = {.state = STATE_ACTIVE},
                                      disabled = {.state = STATE_DISABLED};

static enum lookup find(struct replica *replica, int32_t id, const char *local)
{
    const struct replica_generation *generation = replica_enter(replica, 0);
    struct replica_probe probe;
    struct index_entry entry;
    enum lookup found = LOOKUP_FAILED;

    if (generation != NULL) {
        replica_probe(generation, id, span_text(local), &probe);
        found = replica_find(generation, &probe, &entry);
    }
    replica_leave(replica, 0);
    return found;
}

/* 'a' absent domain, 's' served, 'r' removed. */
static char standing(struct replica *replica, const char *name)
{
    const struct replica_generation *generation = replica_enter(replica, 0);
    const struct domain_record *record =
        generation != NULL ? domains_by_name(generation->domains, span_text(name)) : NULL;
    char c = record == NULL ? 'a' : record->removed ? 'r' : 's';

    replica_leave(replica, 0);
    return c;
}

/* A full load of one.test (id 1) and, if wanted, two.test (2), with n recipients u0… in each. */
static void load(struct replica *replica, int64_t version, int domains, int n)
{
    struct replica_position at = position(version);
    char local[16];

    replica_load_begin(replica);
    for (int32_t d = 1; d <= domains; d++) {
        struct domain_record record = domain(d, d == 1 ? "one.test" : "two.test");
        replica_load_domain(replica, &record);
        for (int i = 0; i < n; i++) {
            snprintf(local, sizeof local, "u%06d", i);
            replica_load_recipient(replica, d, span_text(local), i == 1 ? &disabled : &active);
        }
    }
    replica_load_end(replica, &at);
    replica_confirm(replica, clock_elapsed_us());
}

static void add_and_remove(struct replica *replica, int64_t version, const char *add,
                           const char *remove)
{
    struct replica_position at = position(version);

    replica_from(replica, clock_elapsed_us());
    replica_batch_begin(replica, &at);
    replica_batch_recipient(replica, 1, span_text(add), &active);
    if (remove != NULL)
        replica_batch_recipient(replica, 1, span_text(remove), NULL);
    replica_batch_end(replica);
}

static void check_loaded(struct replica *replica, const char *when)
{
    ok(find(replica, 1, "u000000") == LOOKUP_FOUND, "%s: known", when);
    ok(find(replica, 2, "u000999") == LOOKUP_FOUND, "%s: the last one", when);
    ok(find(replica, 2, "u001000") == LOOKUP_ABSENT, "%s: unknown", when);
    ok(find(replica, 3, "u000000") == LOOKUP_ABSENT, "%s: other domain", when);
    ok(standing(replica, "two.test") == 's' && standing(replica, "x.test") == 'a', "%s: domains",
       when);
}

static void test_life(void)
{
    struct replica *replica = open_replica();
    struct replica_figures figures;

    ok(find(replica, 1, "u000000") == LOOKUP_FAILED, "an empty replica tells nobody from nobody");
    ok(replica_from(replica, clock_elapsed_us()).load, "and asks for a full load");
    ok(replica_age_us(replica, clock_elapsed_us()) == INT64_MAX, "and has no age");
    load(replica, 3, 2, 1000);
    check_loaded(replica, "after the load");
    replica_close(&replica);

    replica = open_replica();
    replica_figures(replica, &figures);
    ok(!figures.in_memory, "reopened: the disk answers first");
    check_loaded(replica, "from disk");
    replica_fill(replica, &never);
    replica_figures(replica, &figures);
    ok(figures.in_memory && figures.recipients == 2000, "then memory");
    check_loaded(replica, "from memory");
    ok(figures.position.version == 3 && figures.position.uuid[0] == 3, "the position is kept");
    ok(replica_age_us(replica, clock_elapsed_us()) < 60 * CLOCK_SECOND, "and the age");

    add_and_remove(replica, 4, "new", "u000000");
    ok(find(replica, 1, "new") == LOOKUP_FOUND && find(replica, 1, "u000000") == LOOKUP_ABSENT,
       "a batch is live at once");
    replica_close(&replica);
    replica = open_replica();
    replica_fill(replica, &never);
    ok(find(replica, 1, "new") == LOOKUP_FOUND && find(replica, 1, "u000000") == LOOKUP_ABSENT,
       "and is there after a restart");
    ok(replica_from(replica, clock_elapsed_us()).position.version == 4, "with its position");

    load(replica, 9, 1, 10);
    ok(standing(replica, "one.test") == 's' && standing(replica, "two.test") == 'r',
       "a domain that a load lacks counts as removed, not as foreign");
    replica_close(&replica);
    replica = open_replica();
    ok(standing(replica, "two.test") == 'r', "after a restart too");
    replica_close(&replica);
}

/* A daemon that is killed right after its very first load has an age at the next start. */
static void test_first_confirmation(void)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        load(open_replica(), 1, 1, 10);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    struct replica *replica = open_replica();
    ok(replica_age_us(replica, clock_elapsed_us()) < 60 * CLOCK_SECOND,
       "the first confirmation is on disk at once");
    replica_close(&replica);
}

/* A question that was begun while the disk answered, and ended when memory did. */
static void test_filled_between(void)
{
    struct replica *replica = open_replica();
    struct replica_probe there, not_there;
    struct index_entry entry;

    const struct replica_generation *generation = replica_enter(replica, 0);
    replica_probe(generation, 1, span_text("u000000"), &there);
    replica_probe(generation, 1, span_text("nobody"), &not_there);
    replica_leave(replica, 0);
    ok(there.index == NULL, "the disk answers at first");
    replica_fill(replica, &never);
    generation = replica_enter(replica, 0);
    ok(replica_find(generation, &there, &entry) == LOOKUP_FOUND &&
           replica_find(generation, &not_there, &entry) == LOOKUP_ABSENT,
       "what was asked before the table was taken away is looked up in memory");
    replica_leave(replica, 0);
    replica_close(&replica);
}

static void test_interrupted_batch(void)
{
    struct replica *replica = open_replica();
    struct replica_position upto = position(20);
    char local[16];

    replica_fill(replica, &never);
    replica_from(replica, clock_elapsed_us());
    replica_batch_begin(replica, &upto);
    for (int i = 0; i < 10000; i++) {
        snprintf(local, sizeof local, "batch%d", i);
        replica_batch_recipient(replica, 1, span_text(local), &active);
    }
    replica_batch_abort(replica);
    struct replica_from from = replica_from(replica, clock_elapsed_us());
    ok(from.position.version == 9 && from.pending.version == 20 && from.pending.uuid[0] == 20,
       "a batch that broke off leaves the old position, and is remembered");
    replica_close(&replica);
    replica = open_replica();
    from = replica_from(replica, clock_elapsed_us());
    ok(from.position.version == 9 && from.pending.version == 20, "after a restart too");
    replica_close(&replica);
}

/* Version v adds "k<v>" and removes "k<v-10>": at position v exactly ten are there. */
static void churn(int report)
{
    struct replica *replica = open_replica();

    replica_fill(replica, &never);
    int64_t version = replica_from(replica, clock_elapsed_us()).position.version;
    for (;;) {
        char add[32], remove[32];
        version++;
        snprintf(add, sizeof add, "k%lld", (long long)version);
        snprintf(remove, sizeof remove, "k%lld", (long long)version - 10);
        add_and_remove(replica, version, add, remove);
        if (version % 500 == 0)
            load(replica, version, 2, 0); /* a new generation in between, which empties the list */
        if (write(report, &version, sizeof version) != sizeof version)
            _exit(1);
    }
}

static bool contents_agree(struct replica *replica, int64_t version)
{
    int64_t first = version - version % 500; /* the last load emptied it, if it came so far */
    char local[32];

    for (int64_t v = version - 15; v <= version + 3; v++) {
        if (v <= first && v > first - 12)
            continue; /* around a load: its own test */
        snprintf(local, sizeof local, "k%lld", (long long)v);
        bool expected = v > version - 10 && v <= version;
        if ((find(replica, 1, local) == LOOKUP_FOUND) != expected)
            return false;
    }
    return true;
}

static void kill_once(unsigned *seed, int round)
{
    int pipe_fds[2];
    int64_t version = 0, reported = 0;

    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        abort();
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        churn(pipe_fds[1]);
    close(pipe_fds[1]);
    /* the child lives on for up to 30 ms, now and then long enough to come through a full load */
    long life_ns = rand_r(seed) % 30000000 * (round % 3 == 0 ? 12L : 1L);
    if (read(pipe_fds[0], &reported, sizeof reported) != sizeof reported)
        reported = -1;
    nanosleep(&(struct timespec){.tv_nsec = life_ns}, NULL);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    while (read(pipe_fds[0], &version, sizeof version) == sizeof version)
        reported = version;
    close(pipe_fds[0]);

    struct replica *replica = open_replica();
    replica_fill(replica, &never);
    struct replica_from from = replica_from(replica, clock_elapsed_us());
    ok(!from.load && from.position.version >= reported &&
           contents_agree(replica, from.position.version),
       "kill %d: at %lld of %lld reported, contents and position agree", round,
       (long long)from.position.version, (long long)reported);
    replica_close(&replica);
}

static void test_kills(void)
{
    unsigned seed = (unsigned)time(NULL);
    const char *full = getenv("ROLLCALL_FULL");
    int rounds = full != NULL && full[0] == '1' ? 200 : 30;

    printf("# seed %u\n", seed);
    for (int i = 0; i < rounds; i++)
        kill_once(&seed, i);
}

/* The path of the present generation's table. */
static void table_path(char *out, size_t room, const char *kind)
{
    DIR *dir = opendir(directory);

    out[0] = '\0';
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        if (strncmp(entry->d_name, kind, strlen(kind)) == 0)
            snprintf(out, room, "%s/%s", directory, entry->d_name);
    if (dir != NULL)
        closedir(dir);
}

static void truncate_file(const char *path)
{
    if (truncate(path, 3 * 8192 + 100) != 0)
        abort();
}

static void noise_over_file(const char *path)
{
    char noise[8192];
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    off_t half = fd >= 0 ? lseek(fd, 0, SEEK_END) / 2 : 0;

    secret_random(noise, sizeof noise);
    if (fd < 0 || pwrite(fd, noise, sizeof noise, half - half % 4096) != (ssize_t)sizeof noise)
        abort();
    close(fd);
}

static void remove_file(const char *path)
{
    if (unlink(path) != 0)
        abort();
}

static const struct damage {
    const char *name, *kind;
    void (*inflict)(const char *path);
} damages[] = {
    {"recipients truncated", "recipient.", truncate_file},
    {"noise over recipients", "recipient.", noise_over_file},
    {"recipients removed", "recipient.", remove_file},
    {"noise over domains", "domain.", noise_over_file},
    {"domains removed", "domain.", remove_file},
    {"meta removed", "meta", remove_file},
};

static void test_damage(void)
{
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        struct replica *replica = open_replica();
        char path[512];

        load(replica, 50, 2, 20000);
        replica_close(&replica);
        table_path(path, sizeof path, damages[i].kind);
        damages[i].inflict(path);
        replica = open_replica();
        ok(find(replica, 1, "u000007") != LOOKUP_ABSENT, "%s: no 'unknown' from disk",
           damages[i].name);
        replica_fill(replica, &never);
        enum lookup found = find(replica, 1, "u000007");
        ok(found != LOOKUP_ABSENT, "%s: no 'unknown' afterwards", damages[i].name);
        ok(replica_from(replica, clock_elapsed_us()).load, "%s: is loaded anew", damages[i].name);
        load(replica, 51, 2, 10);
        replica_close(&replica);
        replica = open_replica();
        ok(find(replica, 1, "u000007") == LOOKUP_FOUND, "%s: and is well again", damages[i].name);
        replica_close(&replica);
    }
}

/* ---- refusals */

/* '.' nobody knows of it, 'r' refused, 'a' on the roll. */
static char known(struct replica *replica, const char *local)
{
    const struct replica_generation *generation = replica_enter(replica, 0);
    struct replica_probe probe;
    struct index_entry entry;

    replica_probe(generation, 1, span_text(local), &probe);
    enum lookup found = replica_find(generation, &probe, &entry);
    replica_leave(replica, 0);
    return found == LOOKUP_FOUND ? 'a' : entry.state == INDEX_REFUSED ? 'r' : '.';
}

static void refuse(struct replica *replica, int64_t version, const char *local, int64_t hours_ago)
{
    struct replica_position at = position(version);
    int64_t hour = clock_wall_us() / CLOCK_SECOND / 3600 - hours_ago;

    replica_from(replica, clock_elapsed_us());
    replica_batch_begin(replica, &at);
    replica_batch_refusal(replica, 1, span_text(local), hours_ago < 0 ? 0 : (uint32_t)hour);
    replica_batch_end(replica);
}

static void check_counts(struct replica *replica, uint64_t recipients, uint64_t refusals)
{
    struct replica_figures figures;

    replica_figures(replica, &figures);
    ok(figures.recipients == recipients && figures.refusals == refusals,
       "%llu recipients, %llu refusals", (unsigned long long)figures.recipients,
       (unsigned long long)figures.refusals);
}

static void test_refusals(void)
{
    enum { NOT_ANY_MORE = -1 };
    struct replica *replica = open_replica();

    load(replica, 60, 1, 10);
    refuse(replica, 61, "ghost", 0);
    refuse(replica, 62, "u000003", 0);
    ok(known(replica, "ghost") == 'r', "a refusal is known");
    ok(known(replica, "u000003") == 'a', "and hides no recipient");
    check_counts(replica, 10, 1);
    add_and_remove(replica, 63, "ghost", NULL);
    ok(known(replica, "ghost") == 'a', "whoever comes onto the roll is known");
    refuse(replica, 64, "ghost", NOT_ANY_MORE);
    ok(known(replica, "ghost") == 'a', "the end of a refusal takes nobody from it");
    check_counts(replica, 11, 0);
    add_and_remove(replica, 65, "other", "ghost");
    refuse(replica, 66, "ghost", 2);
    refuse(replica, 67, "old", 30);
    ok(known(replica, "ghost") == 'r' && known(replica, "old") == 'r', "refused after it left");
    /* an hour since the start of the machine is the first moment for regular work */
    replica_tend(replica, clock_elapsed_us() + 7200 * CLOCK_SECOND, 3 * 3600 * CLOCK_SECOND);
    ok(known(replica, "ghost") == 'r' && known(replica, "old") == '.', "old ones go");
    refuse(replica, 68, "ghost", NOT_ANY_MORE);
    ok(known(replica, "ghost") == '.', "one that is over is nothing");
    refuse(replica, 69, "ghost", 0);
    replica_close(&replica);
    replica = open_replica();
    ok(find(replica, 1, "ghost") == LOOKUP_ABSENT, "the disk knows no refusals");
    replica_fill(replica, &never);
    ok(known(replica, "ghost") == '.' && known(replica, "other") == 'a', "only the roll");
    refuse(replica, 70, "ghost", 0);
    load(replica, 71, 1, 10);
    ok(known(replica, "ghost") == '.', "a full load begins without");
    replica_close(&replica);
}

static void empty_directory(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf %s/*", directory);
    if (system(command) != 0)
        printf("# something stays in %s\n", directory);
}

static void remove_directory(void)
{
    empty_directory();
    rmdir(directory);
}

int main(void)
{
    secret_init();
    if (mkdtemp(directory) == NULL)
        abort();
    test_first_confirmation();
    empty_directory();
    test_life();
    test_filled_between();
    test_interrupted_batch();
    test_kills();
    test_damage();
    empty_directory();
    test_refusals();
    remove_directory();
    return tap_done();
}
