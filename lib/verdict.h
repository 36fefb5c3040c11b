/*
 * verdict - the decision about one recipient (pure)
 *
 * The daemon gathers the facts (which domain row, which recipient row, how old), this decides, and
 * the daemon words the answer. `rollcall explain` gathers the same facts from PostgreSQL and calls
 * the same function. Nothing here does I/O or reads a clock. Tables: t/data/verdict/.
 */
#ifndef ROLLCALL_VERDICT_H
#define ROLLCALL_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

/* MISSION.md, "The relay check, exactly"; the numbers are those of the SQL type and of the
 * replica's rows. */
enum relay_check { CHECK_PANEL, CHECK_SMTP, CHECK_EITHER, CHECK_OFF, CHECK_NONE /* no shadow */ };
extern const char *const relay_check_names[]; /* by the enum; NULL for CHECK_NONE */
/* The mode of that name, or CHECK_NONE. */
enum relay_check relay_check_by_name(struct span name);

/* What became of a look-up: never two outcomes, always three. */
enum lookup { LOOKUP_ABSENT, LOOKUP_FOUND, LOOKUP_FAILED };

/* How a domain stands to us. */
enum domain_standing {
    DOMAIN_FOREIGN, /* neither served nor below one that is */
    DOMAIN_SERVED,
    DOMAIN_REMOVED,      /* was served; its tombstone lives (or that of a parent) */
    DOMAIN_BELOW_SERVED, /* an unserved subdomain of a served domain */
};

/* Only what decides, with defaults already filled in from the settings. */
struct domain_facts {
    enum domain_standing standing;
    enum relay_check check;
    enum relay_check shadow; /* CHECK_NONE: no shadow mode */
    bool loaded;             /* its list counts as complete */
    int64_t stale_limit_us;
    bool follows_directory;
    int64_t
        source_age_us; /* since the directory's last complete sync; only with follows_directory */
    int64_t source_stale_limit_us;
};

enum recipient_state { STATE_ACTIVE, STATE_DISABLED };

struct recipient_facts {
    enum lookup lookup; /* FAILED: could not be looked up; the rest counts only when FOUND */
    enum recipient_state state;
    bool without_tag;        /* found after the tag was removed; for explanations only */
    int64_t verified_age_us; /* since the customer's server accepted it, newest evidence; -1: never,
                                or refused since */
    int64_t refused_age_us;  /* since it refused it, newest evidence; -1: never, or accepted since.
                                May be known of absent ones */
};

/* What sender rules say of the envelope sender; only where blocked ones are refused at RCPT. */
enum sender_word {
    SENDER_UNLISTED, /* nothing, or it is not asked */
    SENDER_ALLOWED,
    SENDER_BLOCKED_BY_USER,
    SENDER_BLOCKED_BY_DOMAIN,
};

struct verdict_question {
    bool decides;      /* protocol_state is RCPT or VRFY and there is a recipient */
    struct span local; /* as asked, for postmaster and abuse */
    struct domain_facts domain;
    struct recipient_facts recipient;
    bool list_present;   /* the replica has ever been loaded completely */
    int64_t list_age_us; /* since PostgreSQL last confirmed it */
    bool accept_abuse;
    int64_t verified_for_us, refused_for_us;
    enum sender_word sender;
};

enum verdict_action {
    ACTION_DUNNO,
    ACTION_REJECT,
    ACTION_REJECT_POLICY,
    ACTION_ASK_SERVER,
    ACTION_REJECT_SENDER,
    ACTION_DEFER
};
extern const char *const verdict_action_names[];

enum verdict_rule {
    RULE_NOT_ASKED, /* another protocol state */
    RULE_NO_LIST,   /* nothing was ever loaded */
    RULE_FOREIGN,
    RULE_BELOW_SERVED,
    RULE_DOMAIN_REMOVED,
    RULE_POSTMASTER,
    RULE_ABUSE,
    RULE_DISABLED,
    RULE_OFF,
    RULE_LISTED,
    RULE_VERIFIED,
    RULE_ASK_LISTED,
    RULE_ASK_UNLISTED,
    RULE_REFUSED_LATELY,
    RULE_HARVEST, /* the daemon's: would be asked about, but for policyd/limits.h */
    RULE_PROBE_LIMIT,
    RULE_SENDER_BLOCKED_BY_USER,
    RULE_SENDER_BLOCKED_BY_DOMAIN,
    RULE_UNLISTED,
    RULE_LOOKUP_FAILED,
    RULE_LIST_STALE,
    RULE_SOURCE_STALE,
    RULE_NOT_LOADED,
    RULES, /* how many */
};

struct verdict_rule_row {
    const char *code;    /* "unlisted": stands in the reply text, `rollcall explain` knows it */
    const char *meaning; /* a sentence for people */
};
extern const struct verdict_rule_row verdict_rules[RULES];

struct verdict {
    enum verdict_action action;
    enum verdict_rule rule;
    bool shadowed; /* there is a shadow mode and it would act differently */
    enum verdict_action shadow_action;
    enum verdict_rule shadow_rule;
};

struct verdict verdict(const struct verdict_question *question);
/* The same when the server would be asked and may not be: what comes of it for that reason. */
struct verdict verdict_held_off(const struct verdict *verdict, enum verdict_rule why);

/*
 * The action as the policy protocol writes it, "action=…\n\n" (Postfix SMTPD_POLICY_README). Texts
 * as in the settings. Returns the length; `room` of 512 always suffices.
 */
struct verdict_texts {
    const char *unknown, *unsure, *subdomain, *blocked;
};
size_t verdict_write(const struct verdict *verdict, const struct verdict_texts *texts, char *out,
                     size_t room);

#endif
