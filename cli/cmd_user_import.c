/* cmd_user_import - a file of users, in whatever form, put on the roll */
#include <string.h>

#include "cli/cmd.h"
#include "cli/intake.h"

bool cmd_user_import(struct cli *cli, struct err *err)
{
    const char *path = cli->operands[0];
    struct intake intake;

    bool fine = intake_begin(&intake, cli, SOURCE_IMPORT, LIST_ANY,
                             strcmp(path, "-") == 0 ? "standard input" : path, err) &&
                intake_file(&intake, path, err) && intake_finish(&intake, err);
    intake_free(&intake);
    return fine;
}
