/*
 * page_message - one message of the quarantine: its text and headers, its HTML in a sandbox, its
 * bytes as they came
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/display.h"
#include "lib/raw.h"
#include "panel/model.h"
#include "panel/page.h"

enum { HTML_MOST = 256 * 1024 };

static const char *text_of(const struct data *map, const char *key)
{
    const struct data *data = data_get(map, span_text(key));

    return data != NULL ? data->text.at : "";
}

bool page_is_virus(const struct data *data)
{
    return strcmp(text_of(data_get(data, span_text("message")), "category"), "virus") == 0;
}

bool page_message(struct visit *visit, struct err *err)
{
    bool may = true;

    if (!model_message(visit->db, visit_number(visit, visit_id(visit)), visit->data, err) ||
        (page_is_virus(visit->data) && !visit_may_release_virus(visit, &may, err)))
        return false;
    data_flag(visit->data, "is_barred", !may);
    return visit_show(visit, "message", err);
}

/* What is shown in the frame: text and its arrangement alone, and the browser is told to let
 * nothing of it load, run, lead or send anything. */
bool page_message_html(struct visit *visit, struct err *err)
{
    BUF_AUTO html = {0};

    if (!model_message_html(visit->db, visit_number(visit, visit_id(visit)), &html, err))
        return false;
    visit->status = 200;
    visit->sandboxed = true;
    buf_text(&visit->body, "<!doctype html>\n<html><head><meta charset=\"utf-8\">"
                           "<meta name=\"color-scheme\" content=\"light dark\">"
                           "<title>Message</title></head>\n<body>\n");
    display_safe_html(&visit->body, span_of(html.at, html.len), HTML_MOST);
    buf_text(&visit->body, "\n</body></html>\n");
    return true;
}

/* ---- its bytes ---- */

static bool add_bytes(void *context, struct span bytes, struct err *err)
{
    return visit_add_file(context, bytes, err);
}

static bool send_file(struct visit *visit, const char *request, struct err *err)
{
    if (!raw_read(visit->db, request, add_bytes, visit, err))
        return false;
    visit->status = 200;
    visit->type = "application/octet-stream"; /* nothing that a browser opens by itself */
    visit->attachment = mem_printf("message-%s.eml", visit_id(visit));
    return true;
}

/* The gateway that holds the file answers within a moment; until then the page says so. */
bool page_message_raw(struct visit *visit, struct err *err)
{
    const char *id = visit_number(visit, visit_id(visit));
    struct data *raw = data_child(visit->data, "raw");

    if (!model_message_raw(visit->db, id, raw, err))
        return false;
    const char *state = text_of(raw, "state");
    if (strcmp(state, "done") == 0)
        return send_file(visit, text_of(raw, "number"), err);
    if (state[0] == '\0')
        return visit_go(visit, NULL, "/quarantine/%s", id);
    data_flag(visit->data, "running", strcmp(state, "waiting") == 0);
    return visit_show(visit, "message-raw", err);
}

bool do_message_raw(struct visit *visit, struct err *err)
{
    const char *id = visit_number(visit, visit_id(visit));
    STR_AUTO array = mem_printf("{%s}", id);
    size_t asked;

    if (!model_message_raw(visit->db, id, data_child(visit->data, "raw"), err) ||
        !model_quarantine_ask(visit->db, array, "raw", visit->session.login, true, &asked, err))
        return false;
    if (asked == 0)
        return visit_go(visit,
                        visit_words(visit, "The file of this message is not there any more."),
                        "/quarantine/%s", id);
    return visit_go(visit, NULL, "/quarantine/%s/raw", id);
}
