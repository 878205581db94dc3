/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** CVD_WIRE_MAX_NAME: the longest region name, in bytes. */
#define CVD_WIRE_MAX_NAME 15
/** CVD_WIRE_BUFFER_SIZE: holds the longest message, and a whole handshake sent at once. */
#define CVD_WIRE_BUFFER_SIZE 80
/** CVD_WIRE_NUMBER_SIZE: `0x%08x`, in bytes, without a NUL. */
#define CVD_WIRE_NUMBER_SIZE 10
/** CVD_WIRE_ENTRY_SIZE: the longest entry of a listing, in bytes. */
#define CVD_WIRE_ENTRY_SIZE (3 * CVD_WIRE_NUMBER_SIZE + CVD_WIRE_MAX_NAME)
/** CVD_WIRE_PASS_SIZE: of a message that carries descriptors, all zero, in bytes. */
#define CVD_WIRE_PASS_SIZE 8
/** CVD_WIRE_VERSION_REPLY: message 2 unless configured otherwise. */
#define CVD_WIRE_VERSION_REPLY "PROTOCOL_VER 0"
/** CVD_WIRE_UNKNOWN: what stands in place of an offset when there is no such region. */
#define CVD_WIRE_UNKNOWN 0xffffffffU

/**
 * CvdWireExpects:
 * @CVD_WIRE_EXPECTS_VERSION: message 1
 * @CVD_WIRE_EXPECTS_REQUEST: message 3, or `GET REGIONS`
 * @CVD_WIRE_EXPECTS_NAME: message 4, in either form
 * @CVD_WIRE_EXPECTS_LEGACY_LENGTH: message 2 of the binary dialect
 * @CVD_WIRE_EXPECTS_LEGACY_NAME: message 3 of the binary dialect
 * @CVD_WIRE_EXPECTS_NOTHING: whatever comes is wrong
 *
 * What the client has to say next.
 */
typedef enum {
    CVD_WIRE_EXPECTS_VERSION,
    CVD_WIRE_EXPECTS_REQUEST,
    CVD_WIRE_EXPECTS_NAME,
    CVD_WIRE_EXPECTS_LEGACY_LENGTH,
    CVD_WIRE_EXPECTS_LEGACY_NAME,
    CVD_WIRE_EXPECTS_NOTHING,
} CvdWireExpects;

/**
 * CvdWireEvent:
 * @CVD_WIRE_MORE: no whole message is there
 * @CVD_WIRE_VERSION: message 1
 * @CVD_WIRE_LIST: `GET REGIONS`
 * @CVD_WIRE_BAD_LENGTH: a name of 0 or more than %CVD_WIRE_MAX_NAME bytes was announced
 * @CVD_WIRE_REGION: a name has arrived
 * @CVD_WIRE_MALFORMED: anything else; nothing more can be parsed
 */
typedef enum {
    CVD_WIRE_MORE,
    CVD_WIRE_VERSION,
    CVD_WIRE_LIST,
    CVD_WIRE_BAD_LENGTH,
    CVD_WIRE_REGION,
    CVD_WIRE_MALFORMED,
} CvdWireEvent;

/**
 * CvdWireParser:
 *
 * Turns the bytes of a client into requests: section 3 of the protocols' specification, and section
 * 4 for the binary dialect. Pure: knows no socket.
 */
typedef struct {
    /*< private >*/
    CvdWireExpects expects;
    guint8 name_length;
    guint8 n_bytes;
    char bytes[CVD_WIRE_BUFFER_SIZE];
} CvdWireParser;

/** CvdWireName: the name that a client asks for; any bytes, @length of them, then a NUL. */
typedef struct {
    gsize length;
    char bytes[CVD_WIRE_MAX_NAME + 1];
} CvdWireName;

/**
 * cvd_wire_parser_init:
 * @parser: (out caller-allocates): a parser
 * @expects: %CVD_WIRE_EXPECTS_VERSION or %CVD_WIRE_EXPECTS_LEGACY_LENGTH
 */
void cvd_wire_parser_init(CvdWireParser *parser, CvdWireExpects expects);

/** cvd_wire_parser_is_untouched: Returns: whether no byte of the first message has come */
gboolean cvd_wire_parser_is_untouched(const CvdWireParser *parser);

/**
 * cvd_wire_parser_get_room:
 * @parser: a parser of which cvd_wire_parser_next() has returned %CVD_WIRE_MORE
 * @size: (out): the room there, at least 1 byte
 *
 * Returns: (transfer none): where the next bytes are to be put
 */
char *cvd_wire_parser_get_room(CvdWireParser *parser, gsize *size);

/** cvd_wire_parser_add: Tells that @size bytes have been put into the room. */
void cvd_wire_parser_add(CvdWireParser *parser, gsize size);

/**
 * cvd_wire_parser_has_begun:
 *
 * Returns: whether bytes are there that belong to a message, white space apart
 */
gboolean cvd_wire_parser_has_begun(CvdWireParser *parser);

/**
 * cvd_wire_parser_next:
 * @parser: a parser
 * @name: (out caller-allocates): filled with %CVD_WIRE_REGION
 * @error: %CVD_ERROR_PROTOCOL with %CVD_WIRE_MALFORMED: what was expected, and the offending bytes
 *
 * Takes one message off the buffer. A message is refused with its first wrong byte.
 */
CvdWireEvent cvd_wire_parser_next(CvdWireParser *parser, CvdWireName *name, GError **error);

/**
 * cvd_wire_format_number:
 * @out: (out caller-allocates): room for %CVD_WIRE_NUMBER_SIZE bytes and a NUL
 * @number: what to write
 *
 * Returns: %CVD_WIRE_NUMBER_SIZE
 */
gsize cvd_wire_format_number(char out[CVD_WIRE_NUMBER_SIZE + 1], guint32 number);

/**
 * cvd_wire_format_entry:
 * @out: (out caller-allocates): room for %CVD_WIRE_ENTRY_SIZE bytes and a NUL
 * @begin: offset in the window
 * @end: offset in the window, exclusive
 * @name: at most %CVD_WIRE_MAX_NAME bytes
 *
 * Writes one region's entry of a listing.
 *
 * Returns: its length in bytes
 */
gsize cvd_wire_format_entry(char out[CVD_WIRE_ENTRY_SIZE + 1], guint32 begin, guint32 end,
                            const char *name);

G_END_DECLS
