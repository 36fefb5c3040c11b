/* change - see change.h */
#include "panel/change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct roll_request change_request(const struct visit *visit, enum roll_mode mode)
{
    return (struct roll_request){
        .mode = mode,
        .source = SOURCE_PANEL,
        .actor = visit->session.login,
        .program = "rollcall-panel",
        .note = "",
        .strict = true,
        .guard = {.least = visit->panel->conf->guard_least,
                  .percent = visit->panel->conf->guard_percent},
    };
}

void change_tell(struct visit *visit, const struct roll_outcome *outcome, struct buf *note)
{
    static const char *const words[] = {
        [ROLL_UNCHANGED] = N_("Nothing had to be changed."),
        [ROLL_DRY] = N_("Nothing had to be changed."),
        [ROLL_APPLIED] =
            N_("Change {id}: {added} added, {removed} removed, {changed} changed; live on "
               "every gateway within a second."),
        [ROLL_HELD] = N_("Change {id} is held: {why}"),
    };
    struct data *values = data_map(visit->arena);

    data_int(values, "id", outcome->changeset);
    data_count(values, "added", outcome->added);
    data_count(values, "removed", outcome->removed);
    data_count(values, "changed", outcome->changed);
    data_text(values, "why", visit_say(visit, outcome->why));
    buf_clear(note);
    template_fill(note, visit_words(visit, words[outcome->state]), values);
}

/* The next address of a text; false at its end. */
static bool next_address(struct span *rest, struct span *address)
{
    static const char between[] = " \t\r\n,;";

    while (rest->len > 0 && strchr(between, rest->at[0]) != NULL)
        *rest = span_of(rest->at + 1, rest->len - 1);
    size_t len = 0;
    while (len < rest->len && strchr(between, rest->at[len]) == NULL)
        len++;
    *address = span_of(rest->at, len);
    *rest = span_of(rest->at + len, rest->len - len);
    return len > 0;
}

static size_t parse_all(struct visit *visit, const struct change_job *job, struct roll_job *door,
                        struct addr *addresses)
{
    struct span rest = span_text(job->addresses), text;
    struct err why;
    size_t count = 0;

    while (next_address(&rest, &text)) {
        if (count == ROLL_ADDRESSES_MAX) {
            visit_complain(visit, job->field, visit_words(visit, "More than 1000 addresses."));
            break;
        }
        struct addr *one = &addresses[count];
        bool fine = addr_parse(text, true, one, &why) &&
                    (roll_folds_case(door, span_of(one->domain, one->domain_len)) ||
                     addr_parse(text, false, one, &why));
        if (fine)
            count++;
        else
            visit_complain(visit, job->field, why.text);
    }
    return count;
}

static bool stage_all(const struct change_job *job, struct roll_job *door,
                      const struct addr *addresses, size_t count, struct err *err)
{
    size_t step = job->together ? count : 1;

    for (size_t i = 0; i < count; i += step) {
        struct roll_entry entry = {.line = (int64_t)i + 1,
                                   .kind = job->group ? ENTRY_GROUP : ENTRY_USER,
                                   .addresses = addresses + i,
                                   .address_count = step,
                                   .name = span_text(job->name)};
        if (!roll_stage(door, &entry, err))
            return false;
    }
    return true;
}

struct hearer {
    struct visit *visit;
    const char *field;
};

static void hear_problem(void *context, const struct roll_problem *problem)
{
    struct hearer *hearer = context;
    BUF_AUTO text = {0};

    roll_problem_text(problem, &text);
    visit_complain(hearer->visit, hearer->field, text.at);
}

bool change_run(struct visit *visit, const struct change_job *job, bool *done, struct buf *note,
                struct err *err)
{
    struct roll_request request = change_request(visit, job->mode);
    struct roll_outcome outcome;
    struct hearer hearer = {visit, job->field};
    struct roll_listener listener = {.context = &hearer, .problem = hear_problem};
    struct roll_job *door;

    *done = false;
    if (!roll_open(&door, visit->db, &request, err))
        return false;
    struct addr *addresses = mem_zero(ROLL_ADDRESSES_MAX, sizeof *addresses);
    size_t count = parse_all(visit, job, door, addresses);
    if (count == 0 && !visit_has_complaints(visit))
        visit_complain(visit, job->field, visit_words(visit, "An address is needed."));
    bool fine = !visit_has_complaints(visit) && stage_all(job, door, addresses, count, err) &&
                roll_finish(&door, &listener, &outcome, err);
    free(addresses);
    roll_abort(&door);
    if (fine)
        change_tell(visit, &outcome, note);
    *done = fine;
    return fine || visit_has_complaints(visit);
}
