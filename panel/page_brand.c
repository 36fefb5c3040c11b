/* page_brand - a customer's logo: taken in, and shown to whoever reads a report */
#include <unistd.h>

#include "panel/model.h"
#include "panel/page.h"
#include "panel/picture.h"
#include "panel/report_values.h"

/* Mail programs ask for it without a session, from pages of others. */
bool page_brand(struct visit *visit, struct err *err)
{
    const struct picture_kind *kind = picture_kind_named(visit_id(visit));
    bool found = false;

    if (kind != NULL && !model_brand(visit->db, visit_id(visit), &visit->body, &found, err))
        return false;
    if (!found)
        return err_set(err, ERR_DATA, "There is no such file.");
    visit->type = kind->type;
    visit->status = 200;
    visit->lasting = visit->for_others = true;
    return true;
}

/* What was uploaded, if it is a picture. */
static const struct picture_kind *take_picture(const struct visit *visit, struct buf *bytes)
{
    char piece[8192];
    ssize_t len = 0;

    if (visit->spool < 0)
        return NULL;
    while (bytes->len <= PICTURE_MOST &&
           (len = pread(visit->spool, piece, sizeof piece, (off_t)bytes->len)) > 0)
        buf_append(bytes, piece, (size_t)len);
    if (len < 0)
        return NULL;
    return picture_kind_of(span_of(bytes->at, bytes->len));
}

static bool keep(struct visit *visit, const struct report_values *values, const char *ending,
                 struct span bytes, struct err *err)
{
    char logo[80];
    struct report_given given = {"brand-logo", logo};

    return model_brand_add(visit->db, values->of == REPORT_OF_DOMAIN, values->id, ending, bytes,
                           logo, sizeof logo, err) &&
           report_setting_set(visit->db, values->of, values->name, &given, 1, visit->session.login,
                              err);
}

static bool take(struct visit *visit, enum report_of of, struct err *err)
{
    struct report_values values;
    BUF_AUTO bytes = {0};

    if (!report_values_read(visit, of, visit_number(visit, visit_id(visit)), &values, err))
        return false;
    const struct picture_kind *kind = take_picture(visit, &bytes);
    if (kind == NULL) {
        visit_complain(visit, "logo",
                       visit_words(visit, "A PNG, JPEG or GIF of at most 256 KiB, please."));
        return page_report_again(visit, of, err);
    }
    return keep(visit, &values, kind->ending, span_of(bytes.at, bytes.len), err) &&
           visit_go(visit, visit_words(visit, "Saved; the next reports are made so."),
                    of == REPORT_OF_DOMAIN ? "/reports/domain/%s" : "/reports/customer/%s",
                    values.id);
}

bool do_brand_domain(struct visit *visit, struct err *err)
{
    return take(visit, REPORT_OF_DOMAIN, err);
}

bool do_brand_customer(struct visit *visit, struct err *err)
{
    return take(visit, REPORT_OF_CUSTOMER, err);
}
