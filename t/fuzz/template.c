/*
 * template: whatever the template, compiling and rendering end; and whatever the value, it stays
 * text where it stands. The bytes up to the first zero are the template, the rest is the value.
 */
#include "panel/template.h"

#include <string.h>

#include "fuzz.h"

static bool find_part(void *context, struct span name, struct span *text)
{
    (void)context;
    *text = span_text("{{#each list}}{{.}}{{else}}{{> part}}{{/each}}");
    return span_equals(name, "part");
}

/* No byte of the value ends what it stands in. */
static void check_escaped(struct span value)
{
    for (int place = PLACE_TEXT; place <= PLACE_URL_PART; place++) {
        struct buf out = {0};
        template_escape(&out, (enum template_place)place, value);
        fuzz_must(out.len == 0 || strpbrk(out.at, "<>\"'") == NULL);
        fuzz_must(place != PLACE_URL || out.len == 0 ||
                  strncasecmp(out.at, "javascript:", 11) != 0);
        buf_free(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct template_words words;
    struct template *template;
    struct err err;
    struct buf out = {0};
    size_t cut = strnlen((const char *)data, size);
    struct span source = span_of((const char *)data, cut);
    struct span value =
        cut < size ? span_of((const char *)data + cut + 1, size - cut - 1) : span_of("", 0);

    check_escaped(value);
    if (size == 0 || !template_compile(&template, source, find_part, NULL, &err))
        return 0;
    struct arena *arena = arena_new();
    struct data *map = data_map(arena);
    data_span(map, "a", value);
    data_flag(map, "b", true);
    struct data *list = data_list(map, "list");
    data_span(data_item(list), "a", value);
    data_item_text(list, value);
    template_render(template, map, &words, &out);
    buf_free(&out);
    arena_free(&arena);
    template_free(&template);
    return 0;
}
