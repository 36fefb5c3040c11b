/* category - see category.h */
#include "report/category.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/display.h"
#include "lib/header.h"

enum { REASON_MOST = 500, VALUE_MOST = 4000 };

const char *const category_names[CATEGORIES] = {"spam", "bulk", "virus", "content"};

struct rule {
    enum category category;
    struct span header, value; /* value empty: any */
    bool within;               /* it may stand anywhere */
};

static bool same(struct span a, struct span b)
{
    return a.len == b.len && strncasecmp(a.at, b.at, a.len) == 0;
}

/* False: it is no rule. */
static bool parse_rule(struct span text, struct rule *rule)
{
    struct span word;

    *rule = (struct rule){0};
    if (!span_next(&text, ' ', &word) || text.at == NULL)
        return false;
    for (size_t i = 0; i < CATEGORIES; i++) {
        if (!span_equals(word, category_names[i]))
            continue;
        rule->category = (enum category)i;
        if (!span_next(&text, ':', &rule->header))
            return false;
        rule->header = span_trim(rule->header);
        rule->value = text.at != NULL ? span_trim(text) : span_of("", 0);
        rule->within = rule->value.len > 0 && rule->value.at[0] == '*';
        if (rule->within)
            rule->value = span_of(rule->value.at + 1, rule->value.len - 1);
        return rule->header.len > 0;
    }
    return false;
}

bool category_check_rules(const char *rules, struct err *err)
{
    struct span rest = span_text(rules), text;
    struct rule rule;

    while (span_next(&rest, ',', &text)) {
        text = span_trim(text);
        if (text.len > 0 && !parse_rule(text, &rule))
            return err_set(err, ERR_CONFIG,
                           "'%.*s' is no rule: spam, bulk, virus or content, a header, and perhaps "
                           "': value'",
                           (int)text.len, text.at);
    }
    return true;
}

static bool has_value(struct span value, const struct rule *rule)
{
    size_t last = value.len >= rule->value.len ? value.len - rule->value.len : 0;

    if (value.len < rule->value.len)
        return false;
    for (size_t i = 0; i <= (rule->within ? last : 0); i++)
        if (strncasecmp(value.at + i, rule->value.at, rule->value.len) == 0)
            return true;
    return false;
}

static bool rule_fits(const struct rule *rule, struct span header)
{
    struct header_field field;

    while (header_next(&header, &field)) {
        BUF_AUTO line = {0};
        if (!same(field.name, rule->header))
            continue;
        header_unfold(&line, field.value, VALUE_MOST);
        if (has_value(span_of(line.at, line.len), rule))
            return true;
    }
    return false;
}

enum category category_of(const char *rules, struct span header)
{
    struct span rest = span_text(rules), text;
    struct rule rule;

    while (span_next(&rest, ',', &text))
        if (parse_rule(span_trim(text), &rule) && rule_fits(&rule, header))
            return rule.category;
    return CATEGORY_SPAM;
}

/* "score=15.0", "hits=15.0", "[15.00 / 6.00]", or the number that it begins with. */
static bool find_score(const char *text, double *score)
{
    static const char *const marks[] = {"score=", "hits=", "[", ""};
    char *end;

    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        const char *mark = strcasestr(text, marks[i]);
        if (mark == NULL)
            continue;
        const char *number = mark + strlen(marks[i]);
        if (strchr("+-.0123456789", *number) == NULL || *number == '\0')
            continue;
        double value = strtod(number, &end);
        if (end == number || !(value > -1e6 && value < 1e6))
            continue;
        *score = value;
        return true;
    }
    return false;
}

bool category_reason(const char *names, struct span header, struct buf *reason, bool *scored,
                     double *score)
{
    struct span rest = span_text(names), name, value;

    while (span_next(&rest, ',', &name)) {
        BUF_AUTO line = {0};
        STR_AUTO wanted = mem_span(span_trim(name));
        if (wanted[0] == '\0' || !header_find(header, wanted, &value))
            continue;
        header_unfold(&line, value, VALUE_MOST);
        display_line(reason, span_of(line.at, line.len), REASON_MOST);
        *scored = find_score(reason->at, score);
        return true;
    }
    return false;
}
