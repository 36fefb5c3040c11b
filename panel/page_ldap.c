/* page_ldap - LDAP connections: which there are, how they do, and what is asked of them. The panel
 * talks to no directory: rollcall-ldapsync carries out what is asked. */
#include <stdio.h>
#include <string.h>

#include "lib/ldap_source.h"
#include "panel/change.h"
#include "panel/model.h"
#include "panel/page.h"
#include "panel/view.h"

bool page_ldap(struct visit *visit, struct err *err)
{
    return model_ldap_sources(visit->db, NULL, visit->data, err) && visit_show(visit, "ldap", err);
}

bool page_ldap_domain(struct visit *visit, struct err *err)
{
    const char *id = visit_number(visit, visit_id(visit));

    return model_domain(visit->db, id, visit->data, err) &&
           model_ldap_sources(visit->db, id, visit->data, err) && visit_show(visit, "ldap", err);
}

static const char *source_id(struct visit *visit)
{
    return visit_number(visit, visit_id(visit));
}

bool page_ldap_source(struct visit *visit, struct err *err)
{
    return model_ldap_source(visit->db, source_id(visit), visit->data, err) &&
           visit_show(visit, "ldap-source", err);
}

/* ---- what is asked of it ---- */

bool do_ldap_ask(struct visit *visit, struct err *err)
{
    static const char *const known[] = {"test", "preview", "sync"};
    const char *asked = form_value(&visit->form, "do");
    char name[254], request[24];

    if (!model_ldap_name(visit->db, source_id(visit), name, err))
        return false;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(asked, known[i]) == 0)
            return model_ldap_ask(visit->db, source_id(visit), asked, visit->session.login, request,
                                  err) &&
                   visit_go(visit, NULL, "/ldap/%s/asked/%s", source_id(visit), request);
    return err_set(err, ERR_DATA, "There is no such page.");
}

bool page_ldap_request(struct visit *visit, struct err *err)
{
    return model_ldap_source(visit->db, source_id(visit), visit->data, err) &&
           model_ldap_request(visit->db, source_id(visit),
                              visit_number(visit, visit->parameters[1]), visit->data, err) &&
           visit_show(visit, "ldap-request", err);
}

/* ---- the end of it ---- */

/* Its claims leave the roll first, as a change that can be undone: the list of nobody. */
static bool withdraw(struct visit *visit, const struct ldap_source *source, struct err *err)
{
    static const struct roll_listener deaf;
    struct roll_request request = change_request(visit, ROLL_FOLLOW);
    struct roll_outcome outcome;
    struct roll_job *door;

    request.source = SOURCE_LDAP;
    request.source_id = source->id;
    request.note = "LDAP source removed";
    request.force = true;
    if (!roll_open(&door, visit->db, &request, err))
        return false;
    bool fine = true;
    for (size_t i = 0; fine && i < source->domain_count; i++)
        if (source->domains[i].scope)
            fine = roll_scope(door, source->domains[i].name, err);
    fine = fine && roll_finish(&door, &deaf, &outcome, err);
    roll_abort(&door);
    return fine;
}

static bool remove_source(struct visit *visit, const char *name, struct err *err)
{
    struct ldap_source source;
    bool fine = true;

    if (form_has(&visit->form, "with_users")) {
        if (!ldap_source_get(visit->db, name, false, &source, err))
            return false;
        fine = source.domain_count == 0 || withdraw(visit, &source, err);
        ldap_source_free(&source);
    }
    return fine && ldap_source_remove(visit->db, name, visit->session.login, err);
}

bool do_ldap_remove(struct visit *visit, struct err *err)
{
    char name[254];

    if (!model_ldap_name(visit->db, source_id(visit), name, err))
        return false;
    if (strcmp(form_value(&visit->form, "confirm"), name) != 0)
        visit_complain(visit, "confirm",
                       visit_words(visit, "Type the name of the connection to remove it."));
    else if (remove_source(visit, name, err))
        return visit_go(visit, visit_words(visit, "The LDAP connection is removed."), "/ldap");
    else if (!visit_complain_of(visit, err, "confirm"))
        return false;
    visit->status = 422;
    return page_ldap_source(visit, err);
}
