/* template - see template.h; here: compiling into a list of steps, and taking them */
#include "panel/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAMES_MOST = 4,     /* of a path: a.b.c.d */
    PARTS_DEEP = 8,     /* parts within parts */
    STEPS_MOST = 20000, /* of one template */
};

struct path {
    struct span names[NAMES_MOST];
    size_t count; /* 0: the innermost data itself */
};

enum step_kind {
    STEP_TEXT,
    STEP_VALUE,
    STEP_WORD,
    STEP_WORDS,
    STEP_IF,
    STEP_JUMP,
    STEP_EACH,
    STEP_NEXT,
    STEP_WITH,
    STEP_LEAVE
};
struct step {
    enum step_kind kind;
    struct span text; /* TEXT; IF: what the value has to equal, at NULL: any */
    struct path path;
    enum template_place place;
    char *one, *many; /* WORDS */
    bool negated;     /* IF */
    size_t to;        /* IF, EACH, WITH: where to go on without; JUMP, NEXT: where */
};

struct template
{
    struct step *steps;
    size_t count, room;
};

/* A block that is open. */
struct block {
    enum { BLOCK_IF, BLOCK_UNLESS, BLOCK_EACH, BLOCK_WITH } kind;
    size_t step, otherwise; /* otherwise: the JUMP before {{else}}, 0: none */
    struct template_html begun, ended;
};

struct compiler {
    struct template *template;
    template_source_fn *source;
    void *context;
    struct template_html html;
    struct block blocks[TEMPLATE_DEPTH];
    size_t depth, parts;
};

/* ---- compiling ---- */

static struct step *add_step(struct compiler *c, enum step_kind kind)
{
    struct template *t = c->template;

    if (t->count == t->room) {
        t->room = t->room > 0 ? t->room * 2 : 64;
        t->steps = mem_grow(t->steps, t->room * sizeof *t->steps);
    }
    t->steps[t->count] = (struct step){.kind = kind};
    return &t->steps[t->count++];
}

static bool take_path(struct span text, struct path *path, struct err *err)
{
    struct span rest = span_trim(text), name;

    *path = (struct path){0};
    if (span_equals(rest, "."))
        return true;
    while (span_next(&rest, '.', &name)) {
        bool fine = name.len > 0 && path->count < NAMES_MOST;
        for (size_t i = 0; fine && i < name.len; i++)
            fine = (name.at[i] >= 'a' && name.at[i] <= 'z') || name.at[i] == '_' ||
                   (name.at[i] >= '0' && name.at[i] <= '9');
        if (!fine)
            return err_set(err, ERR_DATA, "'%.*s' is no name", (int)text.len, text.at);
        path->names[path->count++] = name;
    }
    return path->count > 0 || err_set(err, ERR_DATA, "a name is missing");
}

static bool add_value(struct compiler *c, struct span tag, enum step_kind kind, struct err *err)
{
    struct path path;
    enum template_place place;

    if (!take_path(tag, &path, err) || !template_html_place(&c->html, &place, err))
        return false;
    struct step *step = add_step(c, kind);
    step->path = path;
    step->place = place;
    c->html.seen++; /* what follows a value in a URL is a part of it */
    return true;
}

static bool add_words(struct compiler *c, struct span text, bool counted, struct err *err)
{
    struct path path = {0};
    enum template_place place;
    struct span rest = text, name, one = span_trim(text), many = {0};

    if (counted) {
        bool fine = span_next(&rest, '|', &name) && span_next(&rest, '|', &one) && rest.at != NULL;
        if (!fine)
            return err_set(err, ERR_DATA, "{{n name|one|many}} has three pieces");
        many = span_trim(rest);
        one = span_trim(one);
        if (!take_path(name, &path, err))
            return false;
    }
    if (!template_html_place(&c->html, &place, err))
        return false;
    struct step *step = add_step(c, STEP_WORDS);
    step->path = path;
    step->place = place == PLACE_URL ? PLACE_URL_PART : place;
    step->one = mem_span(one);
    step->many = counted ? mem_span(many) : NULL;
    c->html.seen++;
    return true;
}

static bool open_block(struct compiler *c, int kind, enum step_kind step_kind, struct span what,
                       struct err *err)
{
    struct path path;
    struct span equal = {0}, name = what;
    const char *sign = memchr(what.at, '=', what.len);

    if (c->depth == TEMPLATE_DEPTH)
        return err_set(err, ERR_DATA, "more than %d blocks within each other", TEMPLATE_DEPTH);
    if (step_kind == STEP_IF && sign != NULL) {
        name = span_of(what.at, (size_t)(sign - what.at));
        equal = span_trim(span_of(sign + 1, what.len - name.len - 1));
    }
    if (!take_path(name, &path, err))
        return false;
    struct step *step = add_step(c, step_kind);
    step->path = path;
    step->text = equal;
    step->negated = kind == BLOCK_UNLESS;
    c->blocks[c->depth++] =
        (struct block){.kind = (unsigned)kind, .step = c->template->count - 1, .begun = c->html};
    return true;
}

static void close_loop(struct compiler *c, const struct block *block)
{
    if (block->kind == BLOCK_EACH)
        add_step(c, STEP_NEXT)->to = block->step;
    else if (block->kind == BLOCK_WITH)
        add_step(c, STEP_LEAVE);
}

static bool otherwise(struct compiler *c, struct err *err)
{
    struct block *block = c->depth > 0 ? &c->blocks[c->depth - 1] : NULL;

    if (block == NULL || block->otherwise != 0)
        return err_set(err, ERR_DATA, "{{else}} belongs to no block");
    close_loop(c, block);
    add_step(c, STEP_JUMP);
    block->otherwise = c->template->count - 1;
    c->template->steps[block->step].to = c->template->count;
    block->ended = c->html;
    c->html = block->begun;
    return true;
}

static bool close_block(struct compiler *c, struct span name, struct err *err)
{
    static const char *const names[] = {"if", "unless", "each", "with"};
    struct block *block = c->depth > 0 ? &c->blocks[c->depth - 1] : NULL;

    if (block == NULL || !span_equals(span_trim(name), names[block->kind]))
        return err_set(err, ERR_DATA, "{{/%.*s}} closes nothing", (int)name.len, name.at);
    if (block->otherwise == 0) {
        close_loop(c, block);
        c->template->steps[block->step].to = c->template->count;
        block->ended = block->begun;
    } else
        c->template->steps[block->otherwise].to = c->template->count;
    c->depth--;
    return template_html_join(&c->html, &block->ended) ||
           err_set(err, ERR_DATA, "{{/%.*s}}: the HTML is at another place than without it",
                   (int)name.len, name.at);
}

static bool compile_text(struct compiler *c, struct span text, struct err *err);

static bool add_part(struct compiler *c, struct span what, struct err *err)
{
    struct span rest = span_trim(what), name = {0}, text;

    span_next(&rest, ' ', &name);
    rest = rest.at != NULL ? span_trim(rest) : rest;
    if (c->parts == PARTS_DEEP || !c->source(c->context, name, &text))
        return err_set(err, ERR_DATA, "there is no part '%.*s'", (int)name.len, name.at);
    if (rest.len > 0 && !open_block(c, BLOCK_WITH, STEP_WITH, rest, err))
        return false;
    c->parts++;
    if (!compile_text(c, text, err))
        return err_prefix(err, "%.*s", (int)name.len, name.at);
    c->parts--;
    return rest.len == 0 || close_block(c, span_text("with"), err);
}

static bool begins(struct span *tag, const char *word)
{
    size_t len = strlen(word);

    if (tag->len < len || memcmp(tag->at, word, len) != 0)
        return false;
    *tag = span_of(tag->at + len, tag->len - len);
    return true;
}

static bool add_tag(struct compiler *c, struct span tag, struct err *err)
{
    template_html_settle(&c->html);
    if (c->template->count > STEPS_MOST)
        return err_set(err, ERR_DATA, "the template is too long");
    if (begins(&tag, "!"))
        return true;
    if (begins(&tag, "_ "))
        return add_words(c, tag, false, err);
    if (begins(&tag, "n "))
        return add_words(c, tag, true, err);
    if (begins(&tag, "w "))
        return add_value(c, tag, STEP_WORD, err);
    if (begins(&tag, ">"))
        return add_part(c, tag, err);
    if (begins(&tag, "#if "))
        return open_block(c, BLOCK_IF, STEP_IF, tag, err);
    if (begins(&tag, "#unless "))
        return open_block(c, BLOCK_UNLESS, STEP_IF, tag, err);
    if (begins(&tag, "#each "))
        return open_block(c, BLOCK_EACH, STEP_EACH, tag, err);
    if (begins(&tag, "#with "))
        return open_block(c, BLOCK_WITH, STEP_WITH, tag, err);
    if (begins(&tag, "/"))
        return close_block(c, tag, err);
    if (span_equals(span_trim(tag), "else"))
        return otherwise(c, err);
    return add_value(c, tag, STEP_VALUE, err);
}

static void add_text(struct compiler *c, struct span text)
{
    if (text.len == 0)
        return;
    add_step(c, STEP_TEXT)->text = text;
    template_html_follow(&c->html, text);
}

/* A line that holds nothing but a block's tag or a part leaves no line behind. */
static bool stands_alone(struct span text, size_t from, size_t tag, size_t behind)
{
    size_t at = tag;

    if (strchr("#/>!e", text.at[tag + 2]) == NULL ||
        (text.at[tag + 2] == 'e' && strncmp(text.at + tag + 2, "else}}", 6) != 0))
        return false;
    while (at > from && (text.at[at - 1] == ' ' || text.at[at - 1] == '\t'))
        at--;
    return (at == 0 || text.at[at - 1] == '\n') && behind < text.len && text.at[behind] == '\n';
}

static size_t line_begin(struct span text, size_t from, size_t tag)
{
    while (tag > from && text.at[tag - 1] != '\n')
        tag--;
    return tag;
}

static bool compile_text(struct compiler *c, struct span text, struct err *err)
{
    size_t from = 0, depth = c->depth;

    for (;;) {
        const char *open = memmem(text.at + from, text.len - from, "{{", 2);
        if (open == NULL)
            break;
        size_t tag = (size_t)(open - text.at);
        const char *close = memmem(open + 2, text.len - tag - 2, "}}", 2);
        if (close == NULL)
            return err_set(err, ERR_DATA, "'{{' without its '}}'");
        size_t behind = (size_t)(close - text.at) + 2;
        bool alone = stands_alone(text, from, tag, behind);
        size_t upto = alone ? line_begin(text, from, tag) : tag;
        add_text(c, span_of(text.at + from, upto - from));
        if (!add_tag(c, span_of(open + 2, (size_t)(close - open) - 2), err))
            return err_prefix(err, "'%.*s'", (int)(behind - tag), open);
        from = behind + alone;
    }
    add_text(c, span_of(text.at + from, text.len - from));
    return c->depth == depth || err_set(err, ERR_DATA, "a block is not closed");
}

bool template_compile(struct template **template, struct span text, template_source_fn *source,
                      void *context, struct err *err)
{
    struct compiler *c = mem_zero(1, sizeof *c);

    *template = mem_zero(1, sizeof **template);
    c->template = *template;
    c->source = source;
    c->context = context;
    bool fine = compile_text(c, text, err);
    if (!fine)
        template_free(template);
    free(c);
    return fine;
}

void template_free(struct template **template)
{
    if (*template == NULL)
        return;
    for (size_t i = 0; i < (*template)->count; i++) {
        free((*template)->steps[i].one);
        free((*template)->steps[i].many);
    }
    free((*template)->steps);
    free(*template);
    *template = NULL;
}

/* ---- rendering ---- */

struct renderer {
    const struct template_words *words;
    struct buf *out;
    const struct data *scopes[TEMPLATE_DEPTH + 1];
    size_t depth; /* of the innermost scope */
};

static const struct data *look_up(const struct renderer *r, const struct path *path)
{
    const struct data *found = NULL;

    if (path->count == 0)
        return r->scopes[r->depth];
    for (size_t i = r->depth + 1; found == NULL && i-- > 0;)
        found = data_get(r->scopes[i], path->names[0]);
    for (size_t i = 1; found != NULL && i < path->count; i++)
        found = data_get(found, path->names[i]);
    return found;
}

static struct span text_of(const struct data *data)
{
    return data != NULL && data->kind == DATA_TEXT ? data->text : (struct span){0};
}

/* Every {name} in translated words is a value; a brace without one stands for itself. */
static void put_words(const struct renderer *r, const char *words, enum template_place place)
{
    struct span rest = span_text(words);
    struct err ignored;

    while (rest.len > 0) {
        const char *open = memchr(rest.at, '{', rest.len);
        const char *close =
            open != NULL ? memchr(open, '}', rest.len - (size_t)(open - rest.at)) : NULL;
        struct path path;
        if (close == NULL ||
            !take_path(span_of(open + 1, (size_t)(close - open) - 1), &path, &ignored)) {
            size_t upto = open != NULL ? (size_t)(open - rest.at) + 1 : rest.len;
            template_escape(r->out, place, span_of(rest.at, upto));
            rest = span_of(rest.at + upto, rest.len - upto);
            continue;
        }
        template_escape(r->out, place, span_of(rest.at, (size_t)(open - rest.at)));
        template_escape(r->out, place, text_of(look_up(r, &path)));
        rest = span_of(close + 1, rest.len - (size_t)(close + 1 - rest.at));
    }
}

static int64_t number_of(struct span text)
{
    int64_t number = 0;

    for (size_t i = 0; i < text.len && number < INT32_MAX; i++)
        if (text.at[i] >= '0' && text.at[i] <= '9')
            number = number * 10 + (text.at[i] - '0');
    return number;
}

static void put_step_words(const struct renderer *r, const struct step *step)
{
    int64_t number = step->many != NULL ? number_of(text_of(look_up(r, &step->path))) : 0;
    const char *words = step->many == NULL || number == 1 ? step->one : step->many;

    if (r->words->translate != NULL)
        words = r->words->translate(r->words->context, step->one, step->many, number);
    put_words(r, words, step->place);
}

/* A value that is a word of ours, such as a state. */
static void put_word(const struct renderer *r, const struct step *step)
{
    STR_AUTO word = mem_span(text_of(look_up(r, &step->path)));
    const char *known = word;

    if (r->words->translate != NULL)
        known = r->words->translate(r->words->context, word, NULL, 0);
    template_escape(r->out, step->place, span_text(known));
}

static bool holds(const struct renderer *r, const struct step *step)
{
    const struct data *data = look_up(r, &step->path);
    struct span text = text_of(data);
    bool is = step->text.at != NULL
                  ? text.len == step->text.len && memcmp(text.at, step->text.at, text.len) == 0
                  : data_true(data);

    return is != step->negated;
}

/* The next element in place of the one before; false: there is none. */
static bool go_on(struct renderer *r)
{
    const struct data *next = r->scopes[r->depth]->next;

    if (next != NULL)
        r->scopes[r->depth] = next;
    else
        r->depth--;
    return next != NULL;
}

/* Enters a list's first element or a map; false: there is nothing in it. */
static bool enter(struct renderer *r, const struct step *step)
{
    const struct data *data = look_up(r, &step->path);

    if (!data_true(data) || (step->kind == STEP_EACH && data->kind != DATA_LIST))
        return false;
    r->scopes[++r->depth] = step->kind == STEP_EACH ? data->first : data;
    return true;
}

/* Takes a step; returns the next one's number. */
static size_t take_step(struct renderer *r, const struct step *step, size_t i)
{
    switch (step->kind) {
    case STEP_TEXT:
        buf_append(r->out, step->text.at, step->text.len);
        return i + 1;
    case STEP_VALUE:
        template_escape(r->out, step->place, text_of(look_up(r, &step->path)));
        return i + 1;
    case STEP_WORD:
        put_word(r, step);
        return i + 1;
    case STEP_WORDS:
        put_step_words(r, step);
        return i + 1;
    case STEP_IF:
        return holds(r, step) ? i + 1 : step->to;
    case STEP_JUMP:
        return step->to;
    case STEP_EACH:
    case STEP_WITH:
        return enter(r, step) ? i + 1 : step->to;
    case STEP_NEXT:
        return go_on(r) ? step->to + 1 : i + 1;
    default: /* STEP_LEAVE */
        r->depth--;
        return i + 1;
    }
}

void template_render(const struct template *template, const struct data *data,
                     const struct template_words *words, struct buf *out)
{
    struct renderer r = {.words = words, .out = out, .scopes = {data}};

    buf_text(out, "");
    for (size_t i = 0; i < template->count;)
        i = take_step(&r, &template->steps[i], i);
}

void template_fill(struct buf *out, const char *words, const struct data *values)
{
    struct renderer r = {.out = out, .scopes = {values}};

    put_words(&r, words, PLACE_NOWHERE);
}
