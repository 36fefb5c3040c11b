/*
 * template: what templates render to, and which are refused (t/data/panel/templates.txt); every
 * template of the panel compiles. Catches a value that is not escaped for where it stands, and a
 * place that cannot be made safe but is taken.
 */
#include "panel/template.h"

#include "panel/view.h"
#include "table.h"
#include "tap.h"

static bool find_part(void *context, struct span name, struct span *text)
{
    (void)context;
    if (span_equals(name, "part"))
        *text = span_text("(a part: {{#if role}}{{name}}{{/if}})");
    else if (span_equals(name, "self"))
        *text = span_text("{{> self}}");
    else
        return false;
    return true;
}

static struct data *make_data(struct arena *arena)
{
    struct data *data = data_map(arena);

    data_text(data, "name", "<b>\"O'Neil\" & co</b>");
    data_text(data, "url", "javascript:alert(1)");
    data_text(data, "path", "/a?b=c&d");
    data_text(data, "link", "https://x.example/\"q");
    data_text(data, "word", "a b/c?d");
    data_text(data, "empty", "");
    data_flag(data, "flag", true);
    data_flag(data, "off", false);
    data_int(data, "count", 3);
    data_int(data, "one", 1);
    struct data *user = data_child(data, "user");
    data_text(user, "name", "alice");
    data_text(user, "role", "operator");
    struct data *list = data_list(data, "list");
    struct data *first = data_item(list), *second = data_item(list);
    data_int(first, "id", 1);
    data_text(first, "name", "x<");
    data_int(second, "id", 2);
    data_text(second, "name", "y");
    struct data *texts = data_list(data, "texts");
    data_item_text(texts, span_text("p"));
    data_item_text(texts, span_text("q&"));
    data_list(data, "none");
    return data;
}

static void check_row(const struct data *data, const char *source, const char *want)
{
    static const struct template_words words;
    struct template *template;
    struct err err;
    BUF_AUTO text = {0};
    BUF_AUTO wanted = {0};
    BUF_AUTO out = {0};

    table_bytes(want, &wanted);
    bool fine = template_compile(&template, table_bytes(source, &text), find_part, NULL, &err);
    if (strncmp(wanted.at, "error: ", 7) == 0) {
        ok(!fine && strstr(err.text, wanted.at + 7) != NULL, "%s is refused: %s", source,
           fine ? "not at all" : err.text);
        template_free(&template);
        return;
    }
    if (!ok(fine, "%s compiles: %s", source, fine ? "" : err.text))
        return;
    template_render(template, data, &words, &out);
    is_text(out.at, wanted.at, "%s", source);
    template_free(&template);
}

static void check_table(void)
{
    struct arena *arena = arena_new();
    struct data *data = make_data(arena);
    char line[2000];
    FILE *file = fopen(TEST_DATA "/panel/templates.txt", "re");

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *tab = strchr(line, '\t');
        if (line[0] == '#' || tab == NULL)
            continue;
        *tab = '\0';
        check_row(data, line, tab + 1);
    }
    ok(file != NULL, "the table is there");
    if (file != NULL)
        fclose(file);
    arena_free(&arena);
}

static void check_pages(void)
{
    struct views *views;
    struct err err;

    bool fine = views_open(&views, &err);
    ok(fine, "every template of the panel compiles: %s", fine ? "" : err.text);
    views_free(&views);
}

static void check_data(void)
{
    struct arena *arena = arena_new();
    struct data *data = data_map(arena);
    BUF_AUTO out = {0};

    data_count(data, "n", 1234567);
    data_count(data, "m", -1000);
    is_text(data_get(data, span_text("n"))->text.at, "1,234,567", "groups of digits");
    is_text(data_get(data, span_text("m"))->text.at, "-1,000", "of a negative number too");
    data_text(data, "n", "again");
    is_text(data_get(data, span_text("n"))->text.at, "again", "the later one counts");
    template_fill(&out, "{n} <{m}> {none}", data);
    is_text(out.at, "again <-1,000> ", "words are filled as they are");
    STR_AUTO big = mem_zero(1, 100001);
    memset(big, 'x', 100000);
    data_text(data, "big", big);
    is_int((int64_t)data_get(data, span_text("big"))->text.len, 100000, "a text beyond a block");
    arena_free(&arena);
}

int main(void)
{
    check_table();
    check_pages();
    check_data();
    return tap_done();
}
