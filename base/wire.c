/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The buffer holds what has arrived and not been understood. Each call looks at it from the start
 * again, so there is no state inside a message, and a message may come in any number of pieces. It
 * always has room for more when a message is incomplete, as the longest has 34 bytes.
 */
#include "base/wire.h"

#include "base/error.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

#define GET_VERSION    "GET PROTOCOL_VER"
#define GET_REGIONS    "GET REGIONS"
#define INFORM_LENGTH  "INFORM REGION_NAME_LEN: 0x"
#define N_DIGITS       8
#define LONG_FORM      "GET "
#define GET_REGION     "GET REGION: "
#define GET_REGION_LEN (sizeof GET_REGION - 1)

G_STATIC_ASSERT(sizeof INFORM_LENGTH - 1 + N_DIGITS < CVD_WIRE_BUFFER_SIZE);
G_STATIC_ASSERT(GET_REGION_LEN + CVD_WIRE_MAX_NAME < CVD_WIRE_BUFFER_SIZE);
G_STATIC_ASSERT(CVD_WIRE_BUFFER_SIZE <= G_MAXUINT8);

typedef enum {
    MATCH_NOT,
    MATCH_PART, /* as far as it has arrived */
    MATCH_ALL,
} Match;

static Match match(const CvdWireParser *parser, const char *text)
{
    gsize length = strlen(text);

    if (memcmp(parser->bytes, text, MIN(length, parser->n_bytes)) != 0)
        return MATCH_NOT;
    return parser->n_bytes < length ? MATCH_PART : MATCH_ALL;
}

static void consume(CvdWireParser *parser, gsize size)
{
    g_assert(size <= parser->n_bytes);
    parser->n_bytes -= (guint8)size;
    memmove(parser->bytes, parser->bytes + size, parser->n_bytes);
}

static gboolean is_text(CvdWireExpects expects)
{
    switch (expects) {
    case CVD_WIRE_EXPECTS_VERSION:
    case CVD_WIRE_EXPECTS_REQUEST:
    case CVD_WIRE_EXPECTS_NAME:
        return TRUE;
    case CVD_WIRE_EXPECTS_LEGACY_LENGTH:
    case CVD_WIRE_EXPECTS_LEGACY_NAME:
    case CVD_WIRE_EXPECTS_NOTHING:
        return FALSE;
    }
    g_assert_not_reached();
}

static void skip_white_space(CvdWireParser *parser)
{
    gsize n = 0;

    while (n < parser->n_bytes && strchr("\r\n ", parser->bytes[n]) != NULL &&
           parser->bytes[n] != '\0')
        n++;
    if (n > 0)
        consume(parser, n);
}

static CvdWireEvent malformed(CvdWireParser *parser, gsize offset, const char *expected,
                              GError **error)
{
    g_autofree char *got = cvd_escape_bytes(parser->bytes + offset, parser->n_bytes - offset);

    g_set_error(error, CVD_ERROR, CVD_ERROR_PROTOCOL, "expected %s, got \"%s\"", expected, got);
    return CVD_WIRE_MALFORMED;
}

static CvdWireEvent parse_version(CvdWireParser *parser, GError **error)
{
    switch (match(parser, GET_VERSION)) {
    case MATCH_NOT:
        return malformed(parser, 0, "`" GET_VERSION "`", error);
    case MATCH_PART:
        return CVD_WIRE_MORE;
    case MATCH_ALL:
        consume(parser, strlen(GET_VERSION));
        parser->expects = CVD_WIRE_EXPECTS_REQUEST;
        return CVD_WIRE_VERSION;
    }
    g_assert_not_reached();
}

static CvdWireEvent take_length(CvdWireParser *parser, gint64 length, gsize size,
                                CvdWireExpects next)
{
    consume(parser, size);
    if (length < 1 || length > CVD_WIRE_MAX_NAME) {
        parser->expects = CVD_WIRE_EXPECTS_NOTHING;
        return CVD_WIRE_BAD_LENGTH;
    }
    parser->name_length = (guint8)length;
    parser->expects = next;
    return CVD_WIRE_MORE;
}

static CvdWireEvent parse_digits(CvdWireParser *parser, GError **error)
{
    const gsize start = strlen(INFORM_LENGTH);
    gint64 length = 0;

    for (gsize i = start; i < start + N_DIGITS; i++) {
        if (i == parser->n_bytes)
            return CVD_WIRE_MORE;
        if (!g_ascii_isxdigit(parser->bytes[i]))
            return malformed(parser, start, "8 hexadecimal digits after `" INFORM_LENGTH "`",
                             error);
        length = length << 4 | g_ascii_xdigit_value(parser->bytes[i]);
    }
    return take_length(parser, length, start + N_DIGITS, CVD_WIRE_EXPECTS_NAME);
}

static CvdWireEvent parse_request(CvdWireParser *parser, GError **error)
{
    Match list = match(parser, GET_REGIONS);

    if (list == MATCH_ALL) {
        consume(parser, strlen(GET_REGIONS));
        return CVD_WIRE_LIST;
    }
    if (list == MATCH_PART)
        return CVD_WIRE_MORE;

    switch (match(parser, INFORM_LENGTH)) {
    case MATCH_NOT:
        return malformed(parser, 0, "`" INFORM_LENGTH "` or `" GET_REGIONS "`", error);
    case MATCH_PART:
        return CVD_WIRE_MORE;
    case MATCH_ALL:
        return parse_digits(parser, error);
    }
    g_assert_not_reached();
}

static CvdWireEvent take_name(CvdWireParser *parser, gsize offset, CvdWireExpects next,
                              CvdWireName *name)
{
    gsize size = offset + parser->name_length;

    if (parser->n_bytes < size)
        return CVD_WIRE_MORE;
    *name = (CvdWireName){.length = parser->name_length};
    memcpy(name->bytes, parser->bytes + offset, name->length);
    consume(parser, size);
    parser->expects = next;
    return CVD_WIRE_REGION;
}

static CvdWireEvent parse_name(CvdWireParser *parser, CvdWireName *name, GError **error)
{
    switch (match(parser, LONG_FORM)) {
    case MATCH_NOT:
        return take_name(parser, 0, CVD_WIRE_EXPECTS_REQUEST, name);
    case MATCH_PART:
        return CVD_WIRE_MORE;
    case MATCH_ALL:
        break;
    }

    switch (match(parser, GET_REGION)) {
    case MATCH_NOT:
        return malformed(parser, 0, "`" GET_REGION "` or a bare name", error);
    case MATCH_PART:
        return CVD_WIRE_MORE;
    case MATCH_ALL:
        return take_name(parser, GET_REGION_LEN, CVD_WIRE_EXPECTS_REQUEST, name);
    }
    g_assert_not_reached();
}

static CvdWireEvent parse_legacy_length(CvdWireParser *parser)
{
    gint16 length;

    if (parser->n_bytes < sizeof length)
        return CVD_WIRE_MORE;
    memcpy(&length, parser->bytes, sizeof length);
    return take_length(parser, length, sizeof length, CVD_WIRE_EXPECTS_LEGACY_NAME);
}

void cvd_wire_parser_init(CvdWireParser *parser, CvdWireExpects expects)
{
    *parser = (CvdWireParser){.expects = expects};
}

gboolean cvd_wire_parser_is_untouched(const CvdWireParser *parser)
{
    return parser->n_bytes == 0 && (parser->expects == CVD_WIRE_EXPECTS_VERSION ||
                                    parser->expects == CVD_WIRE_EXPECTS_LEGACY_LENGTH);
}

char *cvd_wire_parser_get_room(CvdWireParser *parser, gsize *size)
{
    *size = CVD_WIRE_BUFFER_SIZE - parser->n_bytes;
    g_assert(*size > 0);
    return parser->bytes + parser->n_bytes;
}

void cvd_wire_parser_add(CvdWireParser *parser, gsize size)
{
    g_assert(size <= CVD_WIRE_BUFFER_SIZE - (gsize)parser->n_bytes);
    parser->n_bytes += (guint8)size;
}

gboolean cvd_wire_parser_has_begun(CvdWireParser *parser)
{
    if (is_text(parser->expects))
        skip_white_space(parser);
    return parser->n_bytes > 0;
}

CvdWireEvent cvd_wire_parser_next(CvdWireParser *parser, CvdWireName *name, GError **error)
{
    for (;;) {
        if (!cvd_wire_parser_has_begun(parser))
            return CVD_WIRE_MORE;

        CvdWireExpects before = parser->expects;
        CvdWireEvent event = CVD_WIRE_MORE;
        switch (before) {
        case CVD_WIRE_EXPECTS_VERSION:
            event = parse_version(parser, error);
            break;
        case CVD_WIRE_EXPECTS_REQUEST:
            event = parse_request(parser, error);
            break;
        case CVD_WIRE_EXPECTS_NAME:
            event = parse_name(parser, name, error);
            break;
        case CVD_WIRE_EXPECTS_LEGACY_LENGTH:
            event = parse_legacy_length(parser);
            break;
        case CVD_WIRE_EXPECTS_LEGACY_NAME:
            event = take_name(parser, 0, CVD_WIRE_EXPECTS_NOTHING, name);
            break;
        case CVD_WIRE_EXPECTS_NOTHING:
            event = malformed(parser, 0, "nothing more", error);
            break;
        }
        /* A length is no event of its own: the name may be here already. */
        if (event != CVD_WIRE_MORE || parser->expects == before)
            return event;
    }
}

gsize cvd_wire_format_number(char out[CVD_WIRE_NUMBER_SIZE + 1], guint32 number)
{
    return (gsize)snprintf(out, CVD_WIRE_NUMBER_SIZE + 1, "0x%08x", number);
}

gsize cvd_wire_format_entry(char out[CVD_WIRE_ENTRY_SIZE + 1], guint32 begin, guint32 end,
                            const char *name)
{
    gsize length = strlen(name);

    g_assert(length <= CVD_WIRE_MAX_NAME);
    return (gsize)snprintf(out, CVD_WIRE_ENTRY_SIZE + 1, "0x%08x0x%08x0x%08x%s", begin, end,
                           (guint)length, name);
}
