/* page_lists - lists of users: uploaded or pasted, looked at, and applied */
#include <stdio.h>
#include <string.h>

#include "panel/job.h"
#include "panel/model.h"
#include "panel/page.h"
#include "panel/view.h"

static bool show_form(struct visit *visit, const char *template, struct err *err)
{
    const struct form *from = visit->form.count > 0 ? &visit->form : &visit->query;

    if (!model_domains(visit->db, "", visit->data, err))
        return false;
    view_choose(visit->data, "domains", "id", form_value(from, "domain"));
    return visit_show(visit, template, err);
}

bool page_import(struct visit *visit, struct err *err)
{
    return show_form(visit, "import", err);
}

bool page_paste(struct visit *visit, struct err *err)
{
    return show_form(visit, "paste", err);
}

/* The list lies in the spool: what is to become of it. */
static bool begin(struct visit *visit, bool pasted, const char *called, struct err *err)
{
    char domain[254] = "", job[JOB_NAME + 1];
    const char *chosen = form_value(&visit->form, "domain");
    struct job_options options = {
        .list = visit->spool_name,
        .called = called,
        .pasted = pasted,
        .replace = strcmp(form_value(&visit->form, "mode"), "replace") == 0,
        .domain = domain,
    };

    if (chosen[0] != '\0' &&
        !model_domain_name(visit->db, visit_number(visit, chosen), domain, err))
        return false;
    return job_begin(visit, &options, job, err) && visit_go(visit, NULL, "/lists/%s", job);
}

bool do_import(struct visit *visit, struct err *err)
{
    if (visit->spool >= 0 && visit->file_name[0] != '\0')
        return begin(visit, false, visit->file_name, err);
    visit_complain(visit, "file", visit_words(visit, "Choose the file first."));
    visit_keep_form(visit);
    visit->status = 422;
    return show_form(visit, "import", err);
}

bool do_paste(struct visit *visit, struct err *err)
{
    const char *text = form_value(&visit->form, "text");

    if (text[strspn(text, " \t\r\n")] == '\0') {
        visit_complain(visit, "text", visit_words(visit, "Paste the addresses into the box."));
        visit_keep_form(visit);
        visit->status = 422;
        return show_form(visit, "paste", err);
    }
    return visit_spool(visit, span_text(text), err) &&
           begin(visit, true, visit_words(visit, "what was pasted"), err);
}

bool page_list(struct visit *visit, struct err *err)
{
    return job_show(visit, visit_id(visit), err) && visit_show(visit, "list", err);
}

bool page_list_problems(struct visit *visit, struct err *err)
{
    if (!job_problems(visit, visit_id(visit), err))
        return false;
    visit->status = 200;
    visit->type = "text/csv; charset=utf-8";
    visit->attachment = mem_text("bad-lines.csv");
    return true;
}

bool do_list_apply(struct visit *visit, struct err *err)
{
    return job_apply(visit, visit_id(visit), err) &&
           visit_go(visit, NULL, "/lists/%s", visit_id(visit));
}

bool do_list_drop(struct visit *visit, struct err *err)
{
    return job_drop(visit, visit_id(visit), err) &&
           visit_go(visit, visit_words(visit, "The list is forgotten; nothing was changed."),
                    "/users");
}
