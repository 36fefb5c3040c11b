/* terminal - see terminal.h */
#include "cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/interrupt.h"

enum {
    MORE_WAIT_MS = 300, /* an empty line within a paste is followed at once by the rest */
    ANSWER_MAX = 1000,
    CONTROL_D = 4,
    DELETE = 127,
    BACKSPACE = 8,
};

static bool too_long(struct err *err)
{
    return err_set(err, ERR_DATA, "more than 64 MiB were pasted: import it as a file");
}

static bool read_failed(struct err *err)
{
    if (interrupt_seen())
        return err_set(err, ERR_TEMPORARY, "interrupted: nothing is changed");
    return err_set(err, ERR_OTHER, "standard input: %s", strerror(errno));
}

/* read(), but a signal that came before it counts as well. `interrupt`: of interrupt_watch. */
static ssize_t read_some(int interrupt, char *out, size_t room)
{
    struct pollfd fds[2] = {{STDIN_FILENO, POLLIN, 0}, {interrupt, POLLIN, 0}};

    if (poll(fds, 2, -1) < 0 || fds[1].revents != 0)
        return -1;
    return read(STDIN_FILENO, out, room);
}

static bool read_pipe(int interrupt, struct buf *out, struct err *err)
{
    char piece[1 << 16];
    ssize_t got;

    while ((got = read_some(interrupt, piece, sizeof piece)) > 0) {
        buf_append(out, piece, (size_t)got);
        if (out->len > TERMINAL_PASTE_MAX)
            return too_long(err);
    }
    return got == 0 || read_failed(err);
}

/* Lines of more than 4,095 octets come only without the terminal's own line editing. */
static bool raw_lines(struct termios *before)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, before) != 0)
        return false;
    raw = *before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    return tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

static void echo(const char *bytes, size_t len)
{
    if (write(STDERR_FILENO, bytes, len) < 0) { /* nobody sees it: nothing to be done */
    }
}

/* Takes the last character of the line back. */
static void erase(struct buf *out)
{
    size_t len = out->len;

    while (len > 0 && ((unsigned char)out->at[len - 1] & 0xc0) == 0x80)
        len--;
    if (len == 0 || out->at[len - 1] == '\n')
        return;
    out->len = len - 1;
    out->at[out->len] = '\0';
    echo("\b \b", 3);
}

static bool more_follows(void)
{
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};

    return poll(&input, 1, MORE_WAIT_MS) > 0;
}

static bool at_line_start(const struct buf *out)
{
    return out->len == 0 || out->at[out->len - 1] == '\n';
}

/* One byte that was typed or pasted; *last says whether there are more in hand. True at the end. */
static bool take_byte(struct buf *out, char c, bool last)
{
    if (c == CONTROL_D)
        return true;
    if (c == DELETE || c == BACKSPACE) {
        erase(out);
        return false;
    }
    bool empty = c == '\n' && at_line_start(out);
    echo(&c, 1);
    if (c != '\n' || out->len > 0)
        buf_append(out, &c, 1);
    return empty && out->len > 0 && last && !more_follows();
}

static bool read_terminal(int interrupt, struct buf *out, struct err *err)
{
    char piece[4096];
    ssize_t got;
    bool ended = false;

    while (!ended && (got = read_some(interrupt, piece, sizeof piece)) != 0) {
        if (got < 0)
            return read_failed(err);
        for (ssize_t i = 0; i < got && !ended; i++)
            ended = take_byte(out, piece[i], i + 1 == got);
        if (out->len > TERMINAL_PASTE_MAX)
            return too_long(err);
    }
    return true;
}

bool terminal_read_paste(const char *prompt, struct buf *out, struct err *err)
{
    struct termios before;

    buf_text(out, "");
    int interrupt = interrupt_watch(); /* the terminal has to be put back */
    bool here = isatty(STDIN_FILENO) == 1;
    bool raw = here && raw_lines(&before);
    if (here)
        cli_warn("%s", prompt);
    bool fine = raw ? read_terminal(interrupt, out, err) : read_pipe(interrupt, out, err);
    if (raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
    interrupt_end();
    return fine;
}

bool terminal_ask(const char *question, bool from_pipe, struct buf *answer, struct err *err)
{
    char line[ANSWER_MAX];
    bool here = from_pipe || isatty(STDIN_FILENO) == 1;
    FILE *input = here ? stdin : fopen("/dev/tty", "re");

    if (input == NULL)
        return err_set(err, ERR_USAGE, "there is no terminal to ask on: give --yes, or --dry-run");
    fflush(stdout);
    fputs(question, stderr);
    fflush(stderr);
    clearerr(input);
    char *got = fgets(line, sizeof line, input);
    if (input != stdin)
        fclose(input);
    struct span text = got == NULL ? span_of("", 0) : span_trim(span_text(line));
    buf_append(answer, text.at, text.len);
    return true;
}

bool terminal_ask_secret(const char *question, struct buf *answer, struct err *err)
{
    char line[ANSWER_MAX + 2];
    struct termios before, silent;
    bool here = tcgetattr(STDIN_FILENO, &before) == 0;

    if (here) {
        silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        fputs(question, stderr);
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    char *got = fgets(line, sizeof line, stdin);
    if (here) {
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
        fputs("\n", stderr);
    }
    if (got == NULL)
        return err_set(err, ERR_USAGE, "no password came on standard input");
    line[strcspn(line, "\r\n")] = '\0';
    if (strlen(line) > ANSWER_MAX)
        return err_set(err, ERR_USAGE, "a password of more than %d octets", ANSWER_MAX);
    buf_text(answer, line);
    explicit_bzero(line, sizeof line);
    return true;
}
