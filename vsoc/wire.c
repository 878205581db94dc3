/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The buffer holds what has arrived and not been understood. Each call looks at it from the start
 * again, so there is no state inside a message, and a message may come in any number of pieces. It
 * always has room for more when a message is incomplete, as the longest has 34 bytes.
 */
#include "vsoc/wire.h"

#include "vsoc/window.h"

#define INFORM_LENGTH  "INFORM REGION_NAME_LEN: 0x"
#define OBSERVE_LENGTH "OBSERVE REGION_NAME_LEN: 0x"
#define N_DIGITS       8
#define LONG_FORM      "GET "
#define GET_REGION     "GET REGION: "
#define VERSION_PREFIX "PROTOCOL_VER "
#define VERSION_2017   "0x00000000"
#define MAX_NAME       VSOC_MAX_DEVICE_NAME

#define LENGTH(literal) (sizeof literal - 1)

_Static_assert(LENGTH(OBSERVE_LENGTH) + N_DIGITS < VSOC_WIRE_BUFFER_SIZE, "room for more");
_Static_assert(LENGTH(GET_REGION) + MAX_NAME < VSOC_WIRE_BUFFER_SIZE, "room for more");
_Static_assert(VSOC_WIRE_BUFFER_SIZE <= UINT8_MAX, "its fields");

enum match {
    MATCH_NOT,
    MATCH_PART, /* as far as it has arrived */
    MATCH_ALL,
};

static enum match match(const char *bytes, size_t size, const char *text)
{
    size_t n = 0;

    for (; n < size && text[n]; n++)
        if (bytes[n] != text[n])
            return MATCH_NOT;
    return text[n] ? MATCH_PART : MATCH_ALL;
}

static enum match match_buffer(const struct vsoc_wire_parser *parser, const char *text)
{
    return match(parser->bytes, parser->n_bytes, text);
}

static void consume(struct vsoc_wire_parser *parser, size_t size)
{
    parser->n_bytes = (uint8_t)(parser->n_bytes - size);
    __builtin_memmove(parser->bytes, parser->bytes + size, parser->n_bytes);
}

static bool is_text(enum vsoc_wire_expects expects)
{
    return expects == VSOC_WIRE_EXPECTS_VERSION || expects == VSOC_WIRE_EXPECTS_REQUEST ||
           expects == VSOC_WIRE_EXPECTS_NAME;
}

static void skip_white_space(struct vsoc_wire_parser *parser)
{
    size_t n = 0;

    while (n < parser->n_bytes &&
           (parser->bytes[n] == '\r' || parser->bytes[n] == '\n' || parser->bytes[n] == ' '))
        n++;
    if (n > 0)
        consume(parser, n);
}

static uint32_t length_of(const char *name)
{
    uint32_t n = 0;

    while (name[n])
        n++;
    return n;
}

/* Returns: @event when @text has come in whole, after which @next is expected */
static enum vsoc_wire_event take_text(struct vsoc_wire_parser *parser, const char *text,
                                      enum vsoc_wire_expects next, enum vsoc_wire_event event)
{
    enum match found = match_buffer(parser, text);

    if (found != MATCH_ALL)
        return found == MATCH_PART ? VSOC_WIRE_MORE : VSOC_WIRE_MALFORMED;
    consume(parser, length_of(text));
    parser->expects = next;
    return event;
}

static enum vsoc_wire_event take_length(struct vsoc_wire_parser *parser, int64_t length,
                                        size_t size, enum vsoc_wire_expects next)
{
    consume(parser, size);
    if (length < 1 || length > MAX_NAME) {
        parser->expects = VSOC_WIRE_EXPECTS_NOTHING;
        return VSOC_WIRE_BAD_LENGTH;
    }
    parser->name_length = (uint8_t)length;
    parser->expects = next;
    return VSOC_WIRE_MORE;
}

/* Returns: what a hexadecimal digit stands for, or −1 */
static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Returns: how many of @size digits are some, up to 8, whose value is @number */
static size_t parse_digits(const char *bytes, size_t size, uint32_t *number)
{
    size_t n = 0;

    *number = 0;
    for (; n < N_DIGITS && n < size && digit_value(bytes[n]) >= 0; n++)
        *number = *number << 4 | (uint32_t)digit_value(bytes[n]);
    return n;
}

/* @start: where the digits are, behind the words */
static enum vsoc_wire_event parse_length(struct vsoc_wire_parser *parser, size_t start)
{
    uint32_t length;
    size_t n = parse_digits(parser->bytes + start, parser->n_bytes - start, &length);

    if (n == N_DIGITS)
        return take_length(parser, length, start + N_DIGITS, VSOC_WIRE_EXPECTS_NAME);
    if (start + n == parser->n_bytes)
        return VSOC_WIRE_MORE;
    return VSOC_WIRE_MALFORMED;
}

static enum vsoc_wire_event parse_request(struct vsoc_wire_parser *parser)
{
    enum vsoc_wire_event list =
        take_text(parser, VSOC_WIRE_GET_REGIONS, VSOC_WIRE_EXPECTS_REQUEST, VSOC_WIRE_LIST);

    if (list != VSOC_WIRE_MALFORMED)
        return list;
    enum match words = match_buffer(parser, INFORM_LENGTH);
    parser->observes = words == MATCH_NOT;
    if (parser->observes)
        words = match_buffer(parser, OBSERVE_LENGTH);
    if (words == MATCH_ALL)
        return parse_length(parser,
                            parser->observes ? LENGTH(OBSERVE_LENGTH) : LENGTH(INFORM_LENGTH));
    return words == MATCH_PART ? VSOC_WIRE_MORE : VSOC_WIRE_MALFORMED;
}

static enum vsoc_wire_event take_name(struct vsoc_wire_parser *parser, size_t offset,
                                      enum vsoc_wire_expects next, struct vsoc_wire_name *name)
{
    size_t size = offset + parser->name_length;

    if (parser->n_bytes < size)
        return VSOC_WIRE_MORE;
    *name = (struct vsoc_wire_name){.length = parser->name_length, .observes = parser->observes};
    __builtin_memcpy(name->bytes, parser->bytes + offset, name->length);
    consume(parser, size);
    parser->expects = next;
    return VSOC_WIRE_REGION;
}

static enum vsoc_wire_event parse_name(struct vsoc_wire_parser *parser, struct vsoc_wire_name *name)
{
    enum match form = match_buffer(parser, GET_REGION);

    if (form == MATCH_ALL)
        return take_name(parser, LENGTH(GET_REGION), VSOC_WIRE_EXPECTS_REQUEST, name);
    if (form == MATCH_PART)
        return VSOC_WIRE_MORE;
    if (match_buffer(parser, LONG_FORM) == MATCH_NOT)
        return take_name(parser, 0, VSOC_WIRE_EXPECTS_REQUEST, name);
    return VSOC_WIRE_MALFORMED;
}

static enum vsoc_wire_event parse_legacy_length(struct vsoc_wire_parser *parser)
{
    int16_t length;

    if (parser->n_bytes < sizeof length)
        return VSOC_WIRE_MORE;
    __builtin_memcpy(&length, parser->bytes, sizeof length);
    return take_length(parser, length, sizeof length, VSOC_WIRE_EXPECTS_LEGACY_NAME);
}

void vsoc_wire_init(struct vsoc_wire_parser *parser, enum vsoc_wire_expects expects)
{
    *parser = (struct vsoc_wire_parser){.expects = expects};
}

bool vsoc_wire_is_untouched(const struct vsoc_wire_parser *parser)
{
    return parser->n_bytes == 0 && (parser->expects == VSOC_WIRE_EXPECTS_VERSION ||
                                    parser->expects == VSOC_WIRE_EXPECTS_LEGACY_LENGTH);
}

char *vsoc_wire_get_room(struct vsoc_wire_parser *parser, size_t *size)
{
    *size = VSOC_WIRE_BUFFER_SIZE - (size_t)parser->n_bytes;
    return parser->bytes + parser->n_bytes;
}

void vsoc_wire_add(struct vsoc_wire_parser *parser, size_t size)
{
    parser->n_bytes = (uint8_t)(parser->n_bytes + size);
}

bool vsoc_wire_has_begun(struct vsoc_wire_parser *parser)
{
    if (is_text(parser->expects))
        skip_white_space(parser);
    return parser->n_bytes > 0;
}

static enum vsoc_wire_event parse(struct vsoc_wire_parser *parser, struct vsoc_wire_name *name)
{
    switch (parser->expects) {
    case VSOC_WIRE_EXPECTS_VERSION:
        return take_text(parser, VSOC_WIRE_GET_VERSION, VSOC_WIRE_EXPECTS_REQUEST,
                         VSOC_WIRE_VERSION);
    case VSOC_WIRE_EXPECTS_REQUEST:
        return parse_request(parser);
    case VSOC_WIRE_EXPECTS_NAME:
        return parse_name(parser, name);
    case VSOC_WIRE_EXPECTS_LEGACY_LENGTH:
        return parse_legacy_length(parser);
    case VSOC_WIRE_EXPECTS_LEGACY_NAME:
        return take_name(parser, 0, VSOC_WIRE_EXPECTS_NOTHING, name);
    case VSOC_WIRE_EXPECTS_NOTHING:
        break;
    }
    return VSOC_WIRE_MALFORMED;
}

enum vsoc_wire_event vsoc_wire_next(struct vsoc_wire_parser *parser, struct vsoc_wire_name *name)
{
    while (vsoc_wire_has_begun(parser)) {
        enum vsoc_wire_expects before = parser->expects;
        enum vsoc_wire_event event = parse(parser, name);

        /* A length is no event of its own: the name may be here already. */
        if (event != VSOC_WIRE_MORE || parser->expects == before)
            return event;
    }
    return VSOC_WIRE_MORE;
}

const char *vsoc_wire_get_wanted(const struct vsoc_wire_parser *parser, size_t *wrong)
{
    *wrong = 0;
    switch (parser->expects) {
    case VSOC_WIRE_EXPECTS_VERSION:
        return "`" VSOC_WIRE_GET_VERSION "`";
    case VSOC_WIRE_EXPECTS_REQUEST:
        if (match_buffer(parser, INFORM_LENGTH) == MATCH_ALL) {
            *wrong = LENGTH(INFORM_LENGTH);
            return "8 hexadecimal digits after `" INFORM_LENGTH "`";
        }
        if (match_buffer(parser, OBSERVE_LENGTH) == MATCH_ALL) {
            *wrong = LENGTH(OBSERVE_LENGTH);
            return "8 hexadecimal digits after `" OBSERVE_LENGTH "`";
        }
        return "`" INFORM_LENGTH "` or `" VSOC_WIRE_GET_REGIONS "`";
    case VSOC_WIRE_EXPECTS_NAME:
        return "`" GET_REGION "` or a bare name";
    case VSOC_WIRE_EXPECTS_LEGACY_LENGTH:
    case VSOC_WIRE_EXPECTS_LEGACY_NAME:
    case VSOC_WIRE_EXPECTS_NOTHING:
        break;
    }
    return "nothing more";
}

/* Returns: where more may follow @text at @to, a NUL for now */
static char *put_text(char *to, const char *text)
{
    while ((*to = *text++) != '\0')
        to++;
    return to;
}

static char *put_number(char *to, uint32_t number)
{
    to = put_text(to, "0x");
    for (int shift = 28; shift >= 0; shift -= 4)
        *to++ = "0123456789abcdef"[number >> shift & 0xf];
    *to = '\0';
    return to;
}

size_t vsoc_wire_format_number(char *out, uint32_t number)
{
    return (size_t)(put_number(out, number) - out);
}

size_t vsoc_wire_format_entry(char *out, uint32_t begin, uint32_t end, const char *name)
{
    char *to = put_number(put_number(put_number(out, begin), end), length_of(name));

    return (size_t)(put_text(to, name) - out);
}

size_t vsoc_wire_format_request(char *out, const char *name, bool observes)
{
    char *to = put_text(put_text(out, observes ? "OBSERVE" : "INFORM"), " REGION_NAME_LEN: ");

    to = put_number(to, length_of(name));

    return (size_t)(put_text(put_text(to, GET_REGION), name) - out);
}

enum vsoc_wire_version vsoc_wire_parse_version(const char *bytes, size_t size)
{
    uint32_t number;
    enum match old = match(bytes, size, VERSION_2017);

    if (old == MATCH_PART)
        return VSOC_WIRE_VERSION_MORE;
    if (old == MATCH_ALL)
        return size == LENGTH(VERSION_2017) ? VSOC_WIRE_VERSION_0 : VSOC_WIRE_VERSION_MALFORMED;
    if (match(bytes, size, VERSION_PREFIX) != MATCH_NOT) {
        if (size < VSOC_WIRE_MAX_VERSION)
            return VSOC_WIRE_VERSION_MORE;
        return match(bytes, size, VSOC_WIRE_VERSION_REPLY) == MATCH_ALL ? VSOC_WIRE_VERSION_0
                                                                        : VSOC_WIRE_VERSION_OTHER;
    }
    if (match(bytes, size, "0x") != MATCH_ALL)
        return VSOC_WIRE_VERSION_MALFORMED;
    if (size < VSOC_WIRE_NUMBER_SIZE)
        return VSOC_WIRE_VERSION_MORE;
    return vsoc_wire_parse_number(bytes, &number) ? VSOC_WIRE_VERSION_OTHER
                                                  : VSOC_WIRE_VERSION_MALFORMED;
}

bool vsoc_wire_parse_number(const char *bytes, uint32_t *number)
{
    uint32_t value;

    if (bytes[0] != '0' || bytes[1] != 'x' || parse_digits(bytes + 2, N_DIGITS, &value) != N_DIGITS)
        return false;
    *number = value;
    return true;
}

enum vsoc_wire_parsed vsoc_wire_parse_entry(const char *bytes, size_t size,
                                            struct vsoc_wire_entry *entry, size_t *used)
{
    const size_t numbers = 3 * (size_t)VSOC_WIRE_NUMBER_SIZE;
    uint32_t length, n;

    if (size < numbers)
        return VSOC_WIRE_INCOMPLETE;
    *entry = (struct vsoc_wire_entry){0};
    if (!vsoc_wire_parse_number(bytes, &entry->begin) ||
        !vsoc_wire_parse_number(bytes + VSOC_WIRE_NUMBER_SIZE, &entry->end) ||
        !vsoc_wire_parse_number(bytes + 2 * (size_t)VSOC_WIRE_NUMBER_SIZE, &length) || length < 1 ||
        length > MAX_NAME)
        return VSOC_WIRE_WRONG;
    if (size < numbers + length)
        return VSOC_WIRE_INCOMPLETE;
    __builtin_memcpy(entry->name, bytes + numbers, length);
    if (vsoc_name_check(entry->name, sizeof entry->name, &n) != VSOC_NAME_GOOD || n != length)
        return VSOC_WIRE_WRONG;
    *used = numbers + length;
    return VSOC_WIRE_PARSED;
}
