/*
 * rollcall - the administrator's command line: the table of commands, and what runs one
 *
 * Options, settings, the command's function, the exit code: 0 done, 64 usage, 65 bad data, 75 try
 * again, 78 configuration, 1 anything else.
 */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "lib/clock.h"
#include "lib/str.h"

#define WAIT_FALLBACK (10 * CLOCK_SECOND)
#define WAIT_MOST     (3600 * CLOCK_SECOND)

#define OPTION_WAIT                                                                                \
    {"wait", NULL, false, "return when every live gateway has it, and tell after how long"},       \
    {                                                                                              \
        "timeout", "TIME", false, "with --wait: at most so long (10s); beyond it exit 75"          \
    }
#define OPTION_NOTE                                                                                \
    {                                                                                              \
        "note", "TEXT", false, "why, for the history"                                              \
    }
#define OPTION_DRY_RUN                                                                             \
    {                                                                                              \
        "dry-run", NULL, false, "show the difference, change nothing"                              \
    }
#define OPTION_FORCE                                                                               \
    {                                                                                              \
        "force", NULL, false, "do not hold it, however many addresses it takes away"               \
    }
#define OPTION_CUSTOMER                                                                            \
    {                                                                                              \
        "customer", "NAME", false, "of that customer"                                              \
    }
#define OPTION_LIKE                                                                                \
    {                                                                                              \
        "like", "TEXT", false, "with that fragment in the name"                                    \
    }
#define OPTIONS_END                                                                                \
    {                                                                                              \
        NULL, NULL, false, NULL                                                                    \
    }

static const struct cli_option wait_options[] = {OPTION_WAIT, OPTIONS_END};
static const struct cli_option domain_list_options[] = {OPTION_CUSTOMER, OPTION_LIKE, OPTIONS_END};
static const struct cli_option domain_remove_options[] = {
    {"with-users", NULL, false, "with all its recipients"}, OPTION_WAIT, OPTIONS_END};
static const struct cli_option domain_preflight_options[] = {
    {"relay-check", "MODE", false, "panel, smtp, either or off"}, OPTIONS_END};
static const struct cli_option domain_export_options[] = {
    {"postfix", "DIRECTORY", false, "where the tables go"},
    {"type", "TYPE", false, "hash, btree, lmdb or cdb (Postfix's default_database_type)"},
    OPTIONS_END};
static const struct cli_option user_add_options[] = {
    {"alias", "ADDRESS", true, "another address of the same user"},
    {"name", "TEXT", false, "the user's name"},
    {"group", NULL, false, "group addresses: accepted, but nobody's mailbox"},
    {"disabled", NULL, false, "on the roll, but refused"},
    OPTION_NOTE,
    OPTION_DRY_RUN,
    OPTION_WAIT,
    OPTIONS_END};
static const struct cli_option user_options[] = {OPTION_NOTE, OPTION_DRY_RUN, OPTION_WAIT,
                                                 OPTIONS_END};
static const struct cli_option user_list_options[] = {
    {"domain", "NAME", false, "of that domain"},
    OPTION_CUSTOMER,
    {"state", "STATE", false, "active, disabled or retired"},
    {"source", "SOURCE", false, "put there by smtp, ldap, import, manual or panel"},
    {"newer", "TIME", false, "changed within that time, like 12h or 7d"},
    {"older", "TIME", false, "not changed within that time"},
    {"like", "TEXT", false, "with that fragment in an address or the name"},
    {"sort", "KEY", false, "by address, name or changed (the newest first)"},
    {"limit", "NUMBER", false, "at most so many"},
    {"csv", NULL, false, "as CSV, for a spreadsheet"},
    OPTIONS_END};
static const struct cli_option user_export_options[] = {
    {"domain", "NAME", false, "of that domain"}, OPTION_CUSTOMER, OPTIONS_END};
#define OPTIONS_OF_LISTS                                                                           \
    {"domain", "NAME", true, "only addresses of that domain; may be given several times"},         \
        {"add", NULL, false, "add and update; nobody is taken away (the default)"},                \
        {"replace", NULL, false,                                                                   \
         "add, update and delete old: the list becomes the list of its domains"},                  \
        {"disabled", NULL, false, "everybody on the list is refused"},                             \
        {"strict", NULL, false, "any bad line: change nothing"},                                   \
        {"errors", "FILE", false, "write every bad line there, as CSV"}, OPTION_FORCE,             \
        OPTION_NOTE, OPTION_DRY_RUN, OPTION_WAIT
static const struct cli_option user_import_options[] = {
    {"format", "FORM", false, "csv, plain or ldif (found out)"},
    {"delimiter", "SIGN", false, "comma, semicolon, tab or bar (found out)"},
    {"encoding", "NAME", false, "as iconv(1) calls it (UTF-8, UTF-16 and Windows-1252 found out)"},
    {"columns", "LIST", false, "what each column holds, like address,name,-,aliases"},
    {"address-column", "COLUMN", false, "which one, by its header or its number"},
    {"alias-column", "COLUMN", false, "which one, by its header or its number"},
    {"name-column", "COLUMN", false, "which one, by its header or its number"},
    OPTIONS_OF_LISTS,
    OPTIONS_END};
static const struct cli_option user_paste_options[] = {
    {"yes", NULL, false, "do not ask"}, OPTIONS_OF_LISTS, OPTIONS_END};
static const struct cli_option user_remove_options[] = {
    {"all-of", "DOMAIN", false, "everybody of that domain; its name has to be typed again"},
    OPTION_NOTE,
    OPTION_DRY_RUN,
    OPTION_WAIT,
    OPTIONS_END};
static const struct cli_option ldap_show_options[] = {
    {"limit", "NUMBER", false, "so many of the last runs (10)"}, OPTIONS_END};
static const struct cli_option ldap_test_options[] = {
    {"sign-in", "ADDRESS", false, "instead: whether the directory takes that user's password"},
    OPTIONS_END};
static const struct cli_option ldap_sync_options[] = {
    {"all", NULL, false, "all that are enabled"}, OPTION_DRY_RUN, OPTION_FORCE, OPTIONS_END};
static const struct cli_option ldap_remove_options[] = {
    {"with-users", NULL, false, "what it put on the roll leaves it too"}, OPTION_WAIT, OPTIONS_END};
static const struct cli_option change_list_options[] = {
    {"state", "STATE", false, "applied, held, undone or rejected"},
    OPTION_CUSTOMER,
    {"limit", "NUMBER", false, "at most so many, the newest first (50)"},
    OPTIONS_END};
static const struct cli_option change_show_options[] = {
    {"limit", "NUMBER", false, "at most so many addresses of it (1000)"}, OPTIONS_END};
static const struct cli_option change_reject_options[] = {OPTION_NOTE, OPTIONS_END};
#define OPTION_PASSWORD_STDIN                                                                      \
    {                                                                                              \
        "password-stdin", NULL, false, "the password is a line of standard input"                  \
    }
static const struct cli_option account_add_options[] = {
    {"operator", NULL, false, "an operator of the gateway, who sees all customers"},
    {"customer", "NAME", false, "an administrator of that customer"},
    OPTION_PASSWORD_STDIN,
    OPTIONS_END};
static const struct cli_option account_password_options[] = {OPTION_PASSWORD_STDIN, OPTIONS_END};
static const struct cli_option report_set_options[] = {
    {"customer", "NAME", false, "for a customer"},
    {"domain", "NAME", false, "for a domain"},
    {"user", "ADDRESS", false, "for one user"},
    {"enabled", "yes|no", false, "whether users get reports"},
    {"users-choose", "yes|no", false, "whether users may choose for themselves"},
    {"days", "DAYS", false, "on which days, like mon,tue,fri; all"},
    {"hours", "HOURS", false, "at which full hours, like 7,12,17; all"},
    {"zone", "ZONE", false, "whose hours, like Europe/Berlin"},
    {"language", "en|de|fr|es", false, "of reports and password mails"},
    {"categories", "LIST", false, "of spam, bulk, virus, content: what is reported"},
    {"block-list", "yes|no", false, "whether with what the block lists caught"},
    {"sender-links", "yes|no", false, "whether with links to allow and block the sender"},
    {"central-contact", "ADDRESS|none", false, "who gets one report for the whole domain"},
    {"notice-contact", "ADDRESS|none", false, "who is told when a directory fails or is held"},
    {"brand-name", "TEXT", false, "what the reports are called"},
    {"brand-colour", "#RRGGBB", false, "of their head and links"},
    {"brand-logo", "URL|none", false, "a picture in their head"},
    {"brand-footer", "TEXT|none", false, "what stands at their end"},
    OPTIONS_END};
static const struct cli_option report_show_options[] = {
    {"customer", "NAME", false, "of a customer"},
    {"domain", "NAME", false, "of a domain"},
    {"user", "ADDRESS", false, "of one user"},
    OPTIONS_END};
static const struct cli_option explain_options[] = {
    {"sender", "ADDRESS", false, "also what the recipient's sender rules say of that sender"},
    OPTIONS_END};
static const struct cli_option report_preview_options[] = {
    {"directory", "DIRECTORY", false, "where the files go (here)"}, OPTIONS_END};
static const struct cli_option report_resend_options[] = {
    {"since", "TIME", false, "everything that is held since then, like 12h or 3d"}, OPTIONS_END};
static const struct cli_option status_options[] = {
    {"watch", NULL, false, "look again every 2 seconds, until it is ended"},
    {"forget", "GATEWAY", false, "take a gateway that is gone for good off the list"},
    OPTIONS_END};
static const struct cli_option config_options[] = {
    {"n", NULL, false, "only what is set"},
    {"d", NULL, false, "the defaults"},
    {"h", NULL, false, "the values without their names"},
    {"source", NULL, false, "where each value comes from: FILE:LINE, -o, or the default"},
    {"template", NULL, false, "the commented settings file with every default"},
    OPTIONS_END};

static const struct cli_option quarantine_list_options[] = {
    {"address", "ADDRESS", false, "of the user who has it"},
    {"domain", "NAME", false, "of that domain"},
    OPTION_CUSTOMER,
    {"category", "NAME", false, "spam, bulk, virus or content"},
    {"state", "STATE", false, "held, allowed, released, deleted or all (held and allowed)"},
    {"like", "TEXT", false, "with that in subject, sender, reason, queue id or Message-ID"},
    {"limit", "NUMBER", false, "at most so many, the newest first (100)"},
    OPTIONS_END};
static const struct cli_option quarantine_show_options[] = {
    {"raw", NULL, false, "the message itself, byte for byte"}, OPTIONS_END};
static const struct cli_option quarantine_release_options[] = {
    {"again", NULL, false, "also what was released before"}, OPTIONS_END};
static const struct cli_option quarantine_keep_options[] = {
    {"category", "NAME", false, "spam, bulk, virus or content (all of them)"}, OPTIONS_END};
static const struct cli_option sender_options[] = {
    {"user", "ADDRESS", false, "for the user who has it"},
    {"domain", "NAME", false, "for everybody of that domain"},
    OPTIONS_END};

/* The first line of each help stands in the list of commands. */
const struct command commands[] = {
    {"db init", cmd_db_init, "", 0, 0, NULL, false,
     "make the tables and roles in the empty database that the setting names\n"
     "The database itself is made before, with createdb. Where the tables are already there,\n"
     "nothing is done."},
    {"db upgrade", cmd_db_upgrade, "", 0, 0, NULL, false,
     "bring the tables to this program's version\n"
     "Each migration is one transaction. A database that is newer than the program is refused."},
    {"db status", cmd_db_status, "", 0, 0, NULL, false,
     "where the database is, its version and its size\n"
     "Exit code 78 when its version is not this program's."},
    {"db purge", cmd_db_purge, "", 0, 0, NULL, false,
     "forget what was removed longer ago than tombstone_life, and old evidence, observations, audit\n"
     "Only what every live gateway has passed. For a daily timer."},
    {"customer add", cmd_customer_add, "NAME", 1, 1, NULL, false, "add a customer"},
    {"customer list", cmd_customer_list, "", 0, 0, NULL, false,
     "list customers with the number of their domains and users"},
    {"customer show", cmd_customer_show, "NAME", 1, 1, NULL, false,
     "show a customer and its domains"},
    {"customer remove", cmd_customer_remove, "NAME", 1, 1, NULL, false,
     "remove a customer\nRefused while it has domains."},
    {"domain add", cmd_domain_add, "NAME…", 1, CLI_MANY, wait_options, true,
     "serve domains of a customer (--customer is needed)\n"
     "All of them in one changeset, or none. A new domain has an empty list that does not count\n"
     "as complete until users are added or it is set --loaded."},
    {"domain set", cmd_domain_set, "NAME…", 1, CLI_MANY, wait_options, true,
     "change settings of domains\nAll of them in one changeset, or none."},
    {"domain show", cmd_domain_show, "NAME…", 1, CLI_MANY, NULL, false,
     "show domains with all their settings"},
    {"domain list", cmd_domain_list, "", 0, 0, domain_list_options, false, "list served domains"},
    {"domain remove", cmd_domain_remove, "NAME…", 1, CLI_MANY, domain_remove_options, false,
     "serve domains no longer\n"
     "Take them out of Postfix's relay_domains first: until the tombstone is purged their mail\n"
     "gets 450. Refused while they have recipients, unless --with-users."},
    {"domain preflight", cmd_domain_preflight, "NAME", 1, 1, domain_preflight_options, false,
     "what another relay check would mean for a domain\n"
     "How many recipients are on its roll, from which sources, and who would be refused."},
    {"domain export", cmd_domain_export, "", 0, 0, domain_export_options, false,
     "write the served domains as Postfix's relay_domains and transport_maps\n"
     "As indexed tables in a directory, for each gateway's cron; only when they have changed, and\n"
     "never an empty one. main.cf: relay_domains = TYPE:DIRECTORY/relay_domains,\n"
     "transport_maps = TYPE:DIRECTORY/transport"},
    {"user add", cmd_user_add, "ADDRESS…", 1, CLI_MANY, user_add_options, false,
     "put users on the roll\n"
     "Each ADDRESS is one user; with --alias or --name give exactly one. All of them in one\n"
     "changeset, or none."},
    {"user remove", cmd_user_remove, "[ADDRESS…]", 0, CLI_MANY, user_remove_options, false,
     "take users or single addresses off the roll\n"
     "A user's primary address takes the user with all addresses; an alias only itself."},
    {"user disable", cmd_user_disable, "ADDRESS…", 1, CLI_MANY, user_options, false,
     "refuse users' mail, whatever the relay check\n"
     "A user's primary address disables the user with all addresses; an alias only itself."},
    {"user enable", cmd_user_enable, "ADDRESS…", 1, CLI_MANY, user_options, false,
     "accept disabled users' mail again"},
    {"user password-request", cmd_user_password_request, "ADDRESS", 1, 1, NULL, false,
     "send a user the mail that leads to a password\nAs if the user had asked for it in the "
     "panel."},
    {"user show", cmd_user_show, "ADDRESS", 1, 1, NULL, false,
     "show the user who has an address, with all addresses and who put them there"},
    {"user forget", cmd_user_forget, "ADDRESS…", 1, CLI_MANY, user_forget_options, false,
     "erase what is known of addresses that are not on the roll any more\n"
     "Their lines in the history, observations, quarantined messages and mails; and the user,\n"
     "when all of its addresses are forgotten. Nothing brings it back."},
    {"user list", cmd_user_list, "", 0, 0, user_list_options, false,
     "list users and group addresses\nOn a terminal a page at a time, by $PAGER."},
    {"user import", cmd_user_import, "FILE|-", 1, 1, user_import_options, false,
     "put the users of a file on the roll: CSV, LDIF, one address per line\n"
     "Exports of Exchange and Microsoft 365 and of this program, any CSV with a header that can "
     "be\n"
     "understood (or --columns), lists of addresses; gzipped or not, in any common encoding. Each\n"
     "bad line is named with its number and reason and the others are applied, unless --strict;\n"
     "the exit code is 65 then. A second run of the same file changes nothing."},
    {"user paste", cmd_user_paste, "", 0, 0, user_paste_options, false,
     "put on the roll what is pasted: addresses in whatever text\n"
     "Ends with an empty line or Ctrl-D. Shows what it understood and asks before it changes\n"
     "anything, unless --yes."},
    {"user export", cmd_user_export, "", 0, 0, user_export_options, false,
     "print the roll as CSV that 'user import' reads back"},
    {"account add", cmd_account_add, "LOGIN", 1, 1, account_add_options, false,
     "let somebody sign in to the panel to manage\n"
     "An operator of the gateway, or an administrator of one customer. The password is generated\n"
     "and printed once, and has to be changed at the first sign-in."},
    {"account list", cmd_account_list, "", 0, 0, NULL, false,
     "list the accounts of the panel\nThose who manage; users sign in with their addresses."},
    {"account remove", cmd_account_remove, "LOGIN", 1, 1, NULL, false, "remove an account"},
    {"account disable", cmd_account_disable, "LOGIN", 1, 1, NULL, false,
     "sign an account out and let it in no more"},
    {"account enable", cmd_account_enable, "LOGIN", 1, 1, NULL, false,
     "let a disabled account in again"},
    {"account password", cmd_account_password, "LOGIN", 1, 1, account_password_options, false,
     "give an account a new password, generated and printed once"},
    {"account reset", cmd_account_reset, "LOGIN", 1, 1, NULL, false,
     "take away an account's second factor, when the telephone is lost"},
    {"explain", cmd_explain, "ADDRESS|CODE", 1, 1, explain_options, false,
     "why an address is accepted or refused, here and on each gateway\n"
     "The verdict is that of the daemon's own code on the facts in PostgreSQL; then what each\n"
     "gateway answers, given how old its data is. CODE is the word in parentheses at the end of\n"
     "a refusal, like unlisted: told what it means."},
    {"report set", cmd_report_set, "", 0, 0, report_set_options, false,
     "choose when reports are sent, and what stands in them\n"
     "For a customer, a domain or a user; 'default' as a value takes what the next above has."},
    {"report show", cmd_report_show, "", 0, 0, report_show_options, false,
     "show what was chosen about reports\nFor a customer, a domain or a user."},
    {"report preview", cmd_report_preview, "ADDRESS", 1, 1, report_preview_options, false,
     "write a user's next report to report.html, report.txt and report.eml\nNothing is sent."},
    {"report resend", cmd_report_resend, "ADDRESS", 1, 1, report_resend_options, false,
     "send a user's last report again"},
    {"status", cmd_status, "", 0, 0, status_options, false,
     "gateways, how far behind they are, and changes that wait for a decision\n"
     "Exit code 1 when something needs attention."},
    {"config", cmd_config, "[NAME…]", 0, CLI_MANY, config_options, false,
     "print the settings, as postconf does for Postfix\n"
     "A password in the setting database is not shown."},
    {"doctor", cmd_doctor, "", 0, 0, NULL, false,
     "check settings, database, replica, sockets and Postfix, and say what to put there\n"
     "Run it as root on a gateway. Exit code 1 when a check is bad."},
    {"ldap set", cmd_ldap_set, "SOURCE", 1, 1, cmd_ldap_set_options, false,
     "make or change an LDAP connection, named as the domain that it feeds, or otherwise\n"
     "What is not given stays; of a new one it is the preset's. The password is sealed and never\n"
     "shown. Its domains follow the directory from the first complete reading on."},
    {"ldap show", cmd_ldap_show, "SOURCE", 1, 1, ldap_show_options, false,
     "show its settings and its last runs"},
    {"ldap test", cmd_ldap_test, "SOURCE|DOMAIN", 1, 1, ldap_test_options, false,
     "sign in, read a page, show who would be taken and who would not, and why"},
    {"ldap sync", cmd_ldap_sync, "SOURCE|DOMAIN…", 0, 64, ldap_sync_options, false,
     "read the directory now; the roll follows"},
    {"ldap list", cmd_ldap_list, "", 0, 0, NULL, false, "list the LDAP connections"},
    {"ldap remove", cmd_ldap_remove, "SOURCE", 1, 1, ldap_remove_options, false,
     "remove an LDAP connection"},
    {"change list", cmd_change_list, "", 0, 0, change_list_options, false,
     "list changesets, the newest first"},
    {"change show", cmd_change_show, "ID", 1, 1, change_show_options, false,
     "show what a changeset did to each address, or would do while it is held"},
    {"change undo", cmd_change_undo, "ID", 1, 1, user_options, false,
     "apply the inverse of a changeset\n"
     "Refused where later changesets touched the same addresses; they are named."},
    {"change approve", cmd_change_approve, "ID", 1, 1, user_options, false,
     "apply a held changeset to the roll as it is now"},
    {"change reject", cmd_change_reject, "ID", 1, 1, change_reject_options, false,
     "drop a held changeset"},
    {"quarantine list", cmd_quarantine_list, "", 0, 0, quarantine_list_options, false,
     "list what the filter caught, the newest first\n"
     "A line for each message and recipient; its number is for the other commands."},
    {"quarantine show", cmd_quarantine_show, "ID", 1, 1, quarantine_show_options, false,
     "show a message: from whom, why it was caught, its headers and text\n"
     "Harmless on a terminal, but for --raw: the gateway that holds the message is asked for it."},
    {"quarantine release", cmd_quarantine_release, "ID…", 1, CLI_MANY, quarantine_release_options,
     false,
     "deliver a message to its recipient after all, and to nobody else\n"
     "The gateway that holds it hands it to release_to, with the original envelope sender. Exit\n"
     "code 75 while that has not happened: it is tried again by itself."},
    {"quarantine delete", cmd_quarantine_delete, "ID…", 1, CLI_MANY, NULL, false,
     "take messages from their recipients\n"
     "The file goes when no recipient has the message any more."},
    {"quarantine keep", cmd_quarantine_keep, "CUSTOMER [DAYS|default]", 1, 2,
     quarantine_keep_options, false, "show or set how long a customer's messages are kept"},
    {"quarantine viruses", cmd_quarantine_viruses, "CUSTOMER [operators|admins|users|default]", 1,
     2, NULL, false,
     "show or set who may release a customer's messages with viruses\n"
     "In the panel and by the links of reports; default: as release_virus says."},
    {"quarantine purge", cmd_quarantine_purge, "", 0, 0, NULL, false,
     "forget messages that are older than they are kept\nFor a daily timer."},
    {"sender allow", cmd_sender_allow, "PATTERN…", 1, CLI_MANY, sender_options, false,
     "let a sender's mail through to a user or domain although the filter caught it\n"
     "PATTERN: a@example.com, example.com, or *.example.com for what is below it; compared with\n"
     "the From that people see and the envelope's. Viruses stay in quarantine."},
    {"sender block", cmd_sender_block, "PATTERN…", 1, CLI_MANY, sender_options, false,
     "put a sender on the block list of a user or domain"},
    {"sender list", cmd_sender_list, "", 0, 0, sender_options, false,
     "list allowed and blocked senders"},
    {"sender remove", cmd_sender_remove, "PATTERN…", 1, CLI_MANY, sender_options, false,
     "take senders off both lists"},
};
const size_t command_count = sizeof commands / sizeof commands[0];

/* Who asks: behind sudo whoever called it. */
static const char *login_name(void)
{
    const char *behind = getuid() == 0 ? getenv("SUDO_USER") : NULL;
    const struct passwd *entry = getpwuid(getuid());
    static char name[200];

    if (behind != NULL && behind[0] != '\0')
        str_printable(name, sizeof name, behind, strnlen(behind, sizeof name - 1));
    else if (entry != NULL)
        snprintf(name, sizeof name, "%s", entry->pw_name);
    else
        snprintf(name, sizeof name, "uid %ld", (long)getuid());
    return name;
}

static bool read_timeout(struct cli *cli, struct err *err)
{
    const char *limit = cli_value(cli, "timeout");

    cli->wait_us = WAIT_FALLBACK;
    if (limit == NULL)
        return true;
    if (!cli_flag(cli, "wait"))
        return err_set(err, ERR_USAGE, "--timeout goes with --wait");
    return (conf_parse_time(span_text(limit), &cli->wait_us) && cli->wait_us > 0 &&
            cli->wait_us <= WAIT_MOST) ||
           err_set(err, ERR_USAGE, "--timeout %s: not a time of up to 1h, like 500ms or 10s",
                   limit);
}

/* The role lacks a right: say which one has it. */
static void hint_at_role(const struct cli *cli, struct err *err)
{
    static const char insufficient_privilege[] = "42501"; /* SQLSTATE */
    size_t len = strlen(err->text);

    if (cli->db != NULL && strcmp(db_sqlstate(cli->db), insufficient_privilege) == 0)
        snprintf(err->text + len, sizeof err->text - len,
                 "; connect as rollcall_admin (-o database=…)");
}

static bool run_command(struct cli *cli, struct err *err)
{
    if (!read_timeout(cli, err) ||
        !conf_load(&cli->conf, cli->file, cli->overrides, cli->override_count, err))
        return false;
    cli->out = out_open(stdout, cli->json);
    cli->actor = login_name();
    bool fine = cli->command->run(cli, err);
    if (!fine)
        hint_at_role(cli, err);
    db_close(&cli->db);
    if (!out_close(&cli->out) && fine)
        fine = err_set(err, ERR_OTHER, "the output could not be written");
    conf_free(&cli->conf);
    return fine;
}

static bool run(struct cli *cli, int argc, char **argv, struct err *err)
{
    if (!args_parse(cli, argc, argv, err))
        return false;
    if (cli->help)
        return args_help(cli, err);
    if (!cli->version)
        return run_command(cli, err);
    printf("rollcall %s\n", ROLLCALL_VERSION);
    return true;
}

int main(int argc, char **argv)
{
    struct cli cli = {0};
    struct err err = {0};

    cmd_ldap_options();
    bool fine = run(&cli, argc, argv, &err);
    args_free(&cli);
    if (fine)
        return cli.exit_code;
    cli_warn("%s", err.text);
    return err.class == ERR_NONE ? ERR_OTHER : (int)err.class;
}
