/* page_changes - the history of the roll: shown, undone; what is held: approved or rejected */
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "panel/change.h"
#include "panel/model.h"
#include "panel/page.h"
#include "panel/view.h"

enum { HELD_SHOWN = 500 };
static const int64_t DECIDING = 10 * 60 * CLOCK_SECOND; /* a large change takes as long as that */

bool page_changes(struct visit *visit, struct err *err)
{
    static const char *const states[] = {"applied", "held", "undone", "rejected"};
    const char *state = form_value(&visit->query, "state");
    const char *before = form_value(&visit->query, "before"), *known = NULL;

    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(state, states[i]) == 0)
            known = states[i];
    data_text(visit->data, "state", known != NULL ? known : "");
    return model_changes(visit->db, known, before[0] != '\0' ? visit_number(visit, before) : NULL,
                         visit->data, err) &&
           visit_show(visit, "changes", err);
}

struct hearer {
    struct visit *visit;
    struct data *differences, *problems;
    size_t shown;
};

static void hear_difference(void *context, const struct roll_difference *difference)
{
    struct hearer *hearer = context;
    const char sign[] = {difference->sign, '\0'};

    if (hearer->shown++ >= HELD_SHOWN)
        return;
    struct data *one = data_item(hearer->differences);
    data_text(one, "sign", sign);
    data_text(one, "what", difference->address);
    data_text(one, "before", difference->before);
    data_text(one, "after", difference->after);
}

static void hear_problem(void *context, const struct roll_problem *problem)
{
    struct hearer *hearer = context;
    BUF_AUTO text = {0};

    roll_problem_text(problem, &text);
    if (hearer->problems->count < HELD_SHOWN)
        data_item_text(hearer->problems, span_of(text.at, text.len));
}

typedef bool decide_fn(struct db *db, int64_t id, const struct roll_request *request,
                       const struct roll_listener *listener, struct roll_outcome *outcome,
                       struct err *err);

/* What it would do to the roll as it is now. */
static bool rehearse(struct visit *visit, int64_t id, decide_fn *decide, struct err *err)
{
    struct roll_request request = change_request(visit, ROLL_ADD);
    struct roll_outcome outcome;
    struct hearer hearer = {visit, data_list(visit->data, "rehearsal"),
                            data_list(visit->data, "problems"), 0};
    struct roll_listener listener = {&hearer, hear_problem, hear_difference};

    request.dry_run = true;
    request.strict = false;
    db_set_timeout(visit->db, DECIDING);
    if (!decide(visit->db, id, &request, &listener, &outcome, err)) {
        if (err->class != ERR_DATA)
            return false;
        data_text(visit->data, "refused", visit_say(visit, err->text));
        return true;
    }
    data_count(visit->data, "n_would_add", outcome.added);
    data_count(visit->data, "n_would_remove", outcome.removed);
    data_count(visit->data, "n_would_change", outcome.changed);
    data_flag(visit->data, "rehearsed", true);
    return true;
}

static bool is_true(const struct visit *visit, const char *key)
{
    return data_true(data_get(data_get(visit->data, span_text("change")), span_text(key)));
}

bool page_change(struct visit *visit, struct err *err)
{
    const char *text = visit_number(visit, visit_id(visit));
    int64_t id = 0;
    bool undo = form_has(&visit->query, "undo");

    if (!str_int64(span_text(text), &id) || !model_change(visit->db, text, visit->data, err))
        return false;
    if (is_true(visit, "is_held") && !rehearse(visit, id, roll_approve, err))
        return false;
    if (undo && is_true(visit, "is_applied") && !rehearse(visit, id, roll_undo, err))
        return false;
    data_flag(visit->data, "undo", undo);
    return visit_show(visit, "change", err);
}

/* roll_reject in the shape of the others. */
static bool reject(struct db *db, int64_t id, const struct roll_request *request,
                   const struct roll_listener *listener, struct roll_outcome *outcome,
                   struct err *err)
{
    (void)listener;
    *outcome = (struct roll_outcome){.state = ROLL_UNCHANGED};
    return roll_reject(db, id, request, err);
}

bool do_change(struct visit *visit, struct err *err)
{
    static const struct {
        const char *name;
        decide_fn *decide;
    } acts[] = {{"undo", roll_undo}, {"approve", roll_approve}, {"reject", reject}};
    const char *text = visit_number(visit, visit_id(visit));
    struct roll_request request = change_request(visit, ROLL_ADD);
    struct roll_outcome outcome;
    BUF_AUTO note = {0};
    decide_fn *decide = NULL;
    int64_t id = 0;

    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++)
        if (strcmp(visit->parameters[1], acts[i].name) == 0)
            decide = acts[i].decide;
    if (decide == NULL || !str_int64(span_text(text), &id))
        return err_set(err, ERR_DATA, "There is no such page.");
    if (!model_change(visit->db, text, visit->data, err))
        return false;
    request.strict = false;
    db_set_timeout(visit->db, DECIDING);
    if (decide(visit->db, id, &request, NULL, &outcome, err)) {
        change_tell(visit, &outcome, &note);
        return visit_go(visit, note.at, "/changes/%s", text);
    }
    if (err->class != ERR_DATA)
        return false;
    visit_complain(visit, "change", err->text);
    return visit_show_again(visit, "change", err);
}
