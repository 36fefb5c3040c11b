/*
 * list_bytes - raw bytes into UTF-8; see list_private.h; the only user of zlib and iconv
 *
 * Without a byte order mark: text with a NUL in every second place is UTF-16; what is well-formed
 * UTF-8 is that; the first byte that is neither makes it Windows-1252, of which Latin-1 is a part.
 * Whatever else it may be cannot be told apart, and has to be said.
 */
#include <errno.h>
#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "list_private.h"

enum {
    MAGIC = 512,   /* octets that are looked at first */
    OUT = 1 << 16, /* octets that are unpacked or converted at once */
    CARRY = 8,     /* octets of a character that is not complete yet */
};

enum charset { CHARSET_ASCII, CHARSET_UTF8, CHARSET_ICONV };

struct list_bytes {
    struct buf raw; /* until there are MAGIC of them */
    bool raw_seen;
    bool gzip, gzip_done;
    z_stream unpack;
    struct buf text; /* the same of what was unpacked */
    bool text_seen;
    enum charset charset;
    char encoding[40];
    iconv_t convert;
    bool converting;
    char carry[CARRY];
    size_t carried;
    int64_t given; /* octets, unpacked */
};

#define LIST_OCTETS_MAX (INT64_C(64) << 30)

bool list_bytes_open(struct list *list, struct err *err)
{
    const char *encoding = list->options->encoding;
    struct list_bytes *bytes = list->bytes = mem_zero(1, sizeof *bytes);

    if (encoding == NULL)
        return true;
    if (strcasecmp(encoding, "utf-8") == 0 || strcasecmp(encoding, "utf8") == 0) {
        bytes->charset = CHARSET_UTF8;
        return true;
    }
    bytes->convert = iconv_open("UTF-8", encoding);
    if (bytes->convert == (iconv_t)-1)
        return err_set(err, ERR_USAGE,
                       "--encoding: '%s' is not known here; `iconv -l` lists what is", encoding);
    bytes->converting = true;
    bytes->charset = CHARSET_ICONV;
    snprintf(bytes->encoding, sizeof bytes->encoding, "%s", encoding);
    return true;
}

void list_bytes_free(struct list_bytes **bytes)
{
    if (*bytes == NULL)
        return;
    if ((*bytes)->gzip)
        inflateEnd(&(*bytes)->unpack);
    if ((*bytes)->converting)
        iconv_close((*bytes)->convert);
    buf_free(&(*bytes)->raw);
    buf_free(&(*bytes)->text);
    free(*bytes);
    *bytes = NULL;
}

const char *list_bytes_encoding(const struct list_bytes *bytes)
{
    return bytes->charset == CHARSET_ICONV ? bytes->encoding : "UTF-8";
}

bool list_bytes_gzip(const struct list_bytes *bytes)
{
    return bytes->gzip;
}

static bool start_iconv(struct list_bytes *bytes, const char *encoding, struct err *err)
{
    bytes->convert = iconv_open("UTF-8", encoding);
    if (bytes->convert == (iconv_t)-1)
        return err_set(err, ERR_OTHER, "this system cannot convert %s", encoding);
    bytes->converting = true;
    bytes->charset = CHARSET_ICONV;
    snprintf(bytes->encoding, sizeof bytes->encoding, "%s", encoding);
    return true;
}

/* What people give by mistake, by its first bytes. */
static bool refuse_magic(struct span head, struct err *err)
{
    static const struct {
        const char *magic;
        size_t len;
        const char *what;
    } known[] = {
        {"PK\3\4", 4, "an Excel workbook or a ZIP archive: save the sheet as CSV, or unpack it"},
        {"\xd0\xcf\x11\xe0", 4, "an old Excel workbook: save the sheet as CSV"},
        {"%PDF", 4, "a PDF document: a list has to be text"},
        {"BZh", 3, "packed with bzip2: of packed files only gzip's are read"},
        {"\xfd"
         "7zXZ",
         5, "packed with xz: of packed files only gzip's are read"},
        {"\x28\xb5\x2f\xfd", 4, "packed with zstd: of packed files only gzip's are read"},
        {"SQLite format 3", 15, "a database, not a list"},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (head.len >= known[i].len && memcmp(head.at, known[i].magic, known[i].len) == 0)
            return err_set(err, ERR_DATA, "this is %s", known[i].what);
    return true;
}

static bool refuse_binary(const struct list *list, struct err *err)
{
    return err_set(err, ERR_DATA, "near line %lld: binary data, no list of addresses",
                   (long long)(list->lines.number > 0 ? list->lines.number : 1));
}

/* NULs in one half of the places and none in the other. */
static const char *utf16_without_mark(struct span head)
{
    size_t nuls[2] = {0, 0};

    for (size_t i = 0; i < head.len; i++)
        nuls[i & 1] += head.at[i] == '\0';
    if (head.len < 4 || nuls[0] + nuls[1] < head.len / 4)
        return NULL;
    return nuls[0] == 0 ? "UTF-16LE" : nuls[1] == 0 ? "UTF-16BE" : NULL;
}

/* The encoding that a byte order mark tells, with the mark's length. */
static const char *marked_encoding(struct span head, size_t *mark)
{
    static const struct {
        const char *mark;
        size_t len;
        const char *encoding;
    } marks[] = {
        {"\xef\xbb\xbf", 3, "UTF-8"},    {"\xff\xfe\0\0", 4, "UTF-32LE"},
        {"\0\0\xfe\xff", 4, "UTF-32BE"}, {"\xff\xfe", 2, "UTF-16LE"},
        {"\xfe\xff", 2, "UTF-16BE"},
    };

    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (head.len >= marks[i].len && memcmp(head.at, marks[i].mark, marks[i].len) == 0) {
            *mark = marks[i].len;
            return marks[i].encoding;
        }
    *mark = 0;
    return NULL;
}

/* Control characters that no text has. */
static bool looks_binary(struct span head)
{
    for (size_t i = 0; i < head.len; i++) {
        unsigned char c = (unsigned char)head.at[i];
        if (c < 0x20 && memchr("\t\n\v\f\r\x1a\x1b", c, 7) == NULL)
            return true;
    }
    return false;
}

/* Looks at the first bytes of the text; *head moves behind a byte order mark. */
static bool find_encoding(struct list *list, struct span *head, struct err *err)
{
    struct list_bytes *bytes = list->bytes;
    size_t mark;
    const char *encoding = marked_encoding(*head, &mark);
    struct span first = span_of(head->at + mark, (head->len < MAGIC ? head->len : MAGIC) - mark);

    if (list->options->encoding != NULL) { /* said; a mark may be there all the same */
        if (mark == 3 && bytes->charset == CHARSET_UTF8)
            *head = span_of(head->at + mark, head->len - mark);
        return true;
    }
    if (!refuse_magic(*head, err))
        return false;
    *head = span_of(head->at + mark, head->len - mark);
    if (mark == 3) {
        bytes->charset = CHARSET_UTF8;
        return true;
    }
    if (encoding == NULL)
        encoding = utf16_without_mark(first);
    if (encoding != NULL)
        return start_iconv(bytes, encoding, err);
    return !looks_binary(first) || refuse_binary(list, err);
}

/* What comes of text that is ASCII or UTF-8 goes on as it is. */
static bool pass(struct list *list, struct span text, struct err *err)
{
    if (text.len > 0 && memchr(text.at, '\0', text.len) != NULL)
        return refuse_binary(list, err);
    return text.len == 0 || list_text(list, text, err);
}

static bool convert_failed(struct list *list, unsigned char byte, struct err *err)
{
    long long line = (long long)(list->lines.number > 0 ? list->lines.number : 1);

    if (list->options->encoding != NULL || strncmp(list->bytes->encoding, "UTF", 3) == 0)
        return err_set(err, ERR_DATA, "near line %lld: byte 0x%02x is not %s", line, byte,
                       list->bytes->encoding);
    return err_set(
        err, ERR_DATA,
        "near line %lld: byte 0x%02x: this is neither UTF-8 nor UTF-16 nor Windows-1252; "
        "name its encoding with --encoding",
        line, byte);
}

/* Converts what it can; *in keeps a character that is not complete. */
static bool convert(struct list *list, struct span *in, struct err *err)
{
    char out[OUT];

    while (in->len > 0) {
        char *from = (char *)in->at, *to = out;
        size_t left = in->len, room = sizeof out;
        size_t rc = iconv(list->bytes->convert, &from, &left, &to, &room);
        int why = errno;

        *in = span_of(from, left);
        if (!pass(list, span_of(out, (size_t)(to - out)), err))
            return false;
        if (rc == (size_t)-1 && why == EILSEQ)
            return convert_failed(list, (unsigned char)*from, err);
        if (rc == (size_t)-1 && why == EINVAL)
            return in->len <= CARRY || convert_failed(list, (unsigned char)*from, err);
    }
    return true;
}

static size_t ascii_length(struct span s)
{
    size_t i = 0;

    for (; i + 8 <= s.len; i += 8) {
        uint64_t word;
        memcpy(&word, s.at + i, 8);
        if ((word & UINT64_C(0x8080808080808080)) != 0)
            break;
    }
    while (i < s.len && (unsigned char)s.at[i] < 0x80)
        i++;
    return i;
}

/* Whether the bytes may be a UTF-8 sequence that is not complete. */
static bool cut_sequence(struct span s)
{
    static const char *const tails[] = {"\x80", "\x80\x80", "\x80\x80\x80"};
    char whole[4];

    if (s.len == 0 || s.len > 3)
        return false;
    memcpy(whole, s.at, s.len);
    for (size_t more = 1; s.len + more <= 4; more++) {
        memcpy(whole + s.len, tails[more - 1], more);
        if (str_utf8_sequence(span_of(whole, s.len + more)) == s.len + more)
            return true;
        whole[s.len] = '\xbf'; /* 0xe0 and 0xf0 want a higher second octet */
        if (str_utf8_sequence(span_of(whole, s.len + more)) == s.len + more)
            return true;
    }
    return false;
}

/* ASCII so far: the first character that is not decides. */
static bool decide(struct list *list, struct span *in, struct err *err)
{
    size_t ascii = ascii_length(*in);
    struct span rest = span_of(in->at + ascii, in->len - ascii);

    if (rest.len > 0 && cut_sequence(rest))
        ; /* more has to come */
    else if (rest.len > 0 && str_utf8_sequence(rest) > 0)
        list->bytes->charset = CHARSET_UTF8;
    else if (rest.len > 0 && !start_iconv(list->bytes, "Windows-1252", err))
        return false;
    if (!pass(list, span_of(in->at, ascii), err))
        return false;
    *in = rest;
    return true;
}

static bool decode_some(struct list *list, struct span *in, struct err *err)
{
    if (list->bytes->charset == CHARSET_ASCII && !decide(list, in, err))
        return false;
    if (list->bytes->charset == CHARSET_ICONV)
        return convert(list, in, err);
    if (list->bytes->charset == CHARSET_UTF8) {
        struct span text = *in;
        *in = span_of(in->at + in->len, 0);
        return pass(list, text, err);
    }
    return true;
}

/* Text of any encoding; what of a character is not complete is kept for the next call. */
static bool decode(struct list *list, struct span in, struct err *err)
{
    struct list_bytes *bytes = list->bytes;

    while (bytes->carried > 0 && in.len > 0) { /* octet by octet until it is whole */
        bytes->carry[bytes->carried++] = in.at[0];
        in = span_of(in.at + 1, in.len - 1);
        char whole[CARRY];
        memcpy(whole, bytes->carry, bytes->carried);
        struct span rest = span_of(whole, bytes->carried);
        if (!decode_some(list, &rest, err))
            return false;
        if (rest.len == CARRY)
            return convert_failed(list, (unsigned char)whole[0], err);
        memcpy(bytes->carry, rest.at, rest.len);
        bytes->carried = rest.len;
    }
    if (in.len == 0)
        return true;
    if (!decode_some(list, &in, err))
        return false;
    if (in.len > CARRY)
        return convert_failed(list, (unsigned char)in.at[0], err);
    memcpy(bytes->carry, in.at, in.len);
    bytes->carried = in.len;
    return true;
}

/* Collects the first bytes in `head`; true with *in being everything so far once there are enough.
 */
static bool enough(struct buf *head, struct span *in, bool at_end)
{
    buf_append(head, in->at, in->len);
    *in = span_of(head->at, head->len);
    return head->len >= MAGIC || at_end;
}

static bool take_text(struct list *list, struct span in, bool at_end, struct err *err)
{
    struct list_bytes *bytes = list->bytes;

    bytes->given += (int64_t)in.len;
    if (bytes->given > LIST_OCTETS_MAX)
        return err_set(err, ERR_DATA, "longer than 64 GiB: that is no list of addresses");
    if (!bytes->text_seen) {
        if (!enough(&bytes->text, &in, at_end))
            return true;
        bytes->text_seen = true;
        if (in.len == 0)
            return err_set(err, ERR_DATA, "is empty");
        if (!find_encoding(list, &in, err))
            return false;
    }
    if (in.len > 0 && !decode(list, in, err))
        return false;
    if (!at_end || bytes->carried == 0)
        return true;
    struct span rest = span_of(bytes->carry, bytes->carried); /* nothing will complete it */
    if (bytes->charset != CHARSET_ASCII)
        return convert_failed(list, (unsigned char)rest.at[0], err);
    return start_iconv(bytes, "Windows-1252", err) && convert(list, &rest, err);
}

/* Members that follow one another are one file; what follows them otherwise is padding. */
static bool next_member(struct list_bytes *bytes)
{
    if (bytes->unpack.avail_in > 0 && bytes->unpack.next_in[0] == 0x1f)
        return inflateReset(&bytes->unpack) == Z_OK;
    bytes->unpack.avail_in = 0;
    return true;
}

static bool unpack(struct list *list, struct span in, struct err *err)
{
    struct list_bytes *bytes = list->bytes;
    char out[OUT];

    bytes->unpack.next_in = (unsigned char *)(uintptr_t)in.at;
    bytes->unpack.avail_in = (unsigned)in.len;
    if (bytes->gzip_done && !next_member(bytes))
        return err_set(err, ERR_DATA, "the gzip file is damaged");
    while (bytes->unpack.avail_in > 0) {
        bytes->unpack.next_out = (unsigned char *)out;
        bytes->unpack.avail_out = sizeof out;
        int rc = inflate(&bytes->unpack, Z_NO_FLUSH);
        bytes->gzip_done = rc == Z_STREAM_END;
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return err_set(err, ERR_DATA, "the gzip file is damaged: %s",
                           bytes->unpack.msg != NULL ? bytes->unpack.msg : "no gzip data");
        size_t made = sizeof out - bytes->unpack.avail_out;
        if (made > 0 && !take_text(list, span_of(out, made), false, err))
            return false;
        if (bytes->gzip_done && !next_member(bytes))
            return err_set(err, ERR_DATA, "the gzip file is damaged");
    }
    return true;
}

static bool take_raw(struct list *list, struct span in, bool at_end, struct err *err)
{
    struct list_bytes *bytes = list->bytes;

    if (!bytes->raw_seen) {
        if (!enough(&bytes->raw, &in, at_end))
            return true;
        bytes->raw_seen = true;
        if (in.len > 2 && memcmp(in.at, "\x1f\x8b", 2) == 0) {
            if (inflateInit2(&bytes->unpack, MAX_WBITS + 16) != Z_OK)
                return err_set(err, ERR_OTHER, "gzip cannot be read on this system");
            bytes->gzip = true;
        }
    }
    if (!bytes->gzip)
        return take_text(list, in, at_end, err);
    while (in.len > 0) { /* zlib counts with unsigned int */
        size_t some = in.len < OUT ? in.len : OUT;
        if (!unpack(list, span_of(in.at, some), err))
            return false;
        in = span_of(in.at + some, in.len - some);
    }
    if (at_end && !bytes->gzip_done)
        return err_set(err, ERR_DATA, "the gzip file is cut off");
    return !at_end || take_text(list, in, true, err);
}

bool list_bytes_feed(struct list *list, struct span bytes, struct err *err)
{
    return take_raw(list, bytes, false, err);
}

bool list_bytes_end(struct list *list, struct err *err)
{
    return take_raw(list, span_of("", 0), true, err);
}
