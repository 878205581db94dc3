/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/wire.h"

G_BEGIN_DECLS

/*
 * The client's side of the client protocol: section 3 of the protocols' specification. Pure: knows
 * no socket. The server's side is in base/wire.h.
 */

/** CVD_WIRE_GET_VERSION: message 1 */
#define CVD_WIRE_GET_VERSION "GET PROTOCOL_VER"
/** CVD_WIRE_GET_REGIONS: what asks for the listing */
#define CVD_WIRE_GET_REGIONS "GET REGIONS"
/** CVD_WIRE_MAX_REQUEST: messages 3 and 4 together, at most, in bytes */
#define CVD_WIRE_MAX_REQUEST (34 + 12 + CVD_WIRE_MAX_NAME)
/** CVD_WIRE_MAX_VERSION: the longest known message 2, in bytes */
#define CVD_WIRE_MAX_VERSION (sizeof CVD_WIRE_VERSION_REPLY - 1)

/**
 * cvd_wire_is_region_name:
 *
 * Returns: whether a region can have that name: 1 to 15 characters of `A-Z a-z 0-9 _ - .`
 */
gboolean cvd_wire_is_region_name(const char *name);

/**
 * cvd_wire_format_request:
 * @out: (out caller-allocates): room for %CVD_WIRE_MAX_REQUEST bytes and a NUL
 * @name: a region's name
 *
 * Writes messages 3 and 4.
 *
 * Returns: their length in bytes
 */
gsize cvd_wire_format_request(char out[CVD_WIRE_MAX_REQUEST + 1], const char *name);

/**
 * CvdWireVersion:
 * @CVD_WIRE_VERSION_MORE: not all of it has arrived
 * @CVD_WIRE_VERSION_0: `PROTOCOL_VER 0`, or `0x00000000`, as servers say that are configured for
 *   programs of June 2017
 * @CVD_WIRE_VERSION_OTHER: another version
 * @CVD_WIRE_VERSION_MALFORMED: no version at all
 */
typedef enum {
    CVD_WIRE_VERSION_MORE,
    CVD_WIRE_VERSION_0,
    CVD_WIRE_VERSION_OTHER,
    CVD_WIRE_VERSION_MALFORMED,
} CvdWireVersion;

/**
 * cvd_wire_parse_version:
 * @bytes: (array length=size): what has arrived of message 2
 * @size: at most %CVD_WIRE_MAX_VERSION
 */
CvdWireVersion cvd_wire_parse_version(const char *bytes, gsize size);

/**
 * cvd_wire_parse_number:
 * @bytes: (array fixed-size=10): `0x` and 8 hexadecimal digits of either case
 * @number: (out): what they stand for
 *
 * Returns: whether they are that
 */
gboolean cvd_wire_parse_number(const char *bytes, guint32 *number);

/** CvdWireEntry: one region of a listing */
typedef struct {
    guint32 begin;
    guint32 end;
    char name[CVD_WIRE_MAX_NAME + 1];
} CvdWireEntry;

/** CvdWireParsed: how much of something is there */
typedef enum {
    CVD_WIRE_PARSED,
    CVD_WIRE_INCOMPLETE,
    CVD_WIRE_WRONG,
} CvdWireParsed;

/**
 * cvd_wire_parse_entry:
 * @bytes: (array length=size): what has arrived
 * @size: how much
 * @entry: (out): the region
 * @used: (out): how many bytes the entry has
 *
 * Takes one entry of a listing apart. A name that no region can have is wrong.
 */
CvdWireParsed cvd_wire_parse_entry(const char *bytes, gsize size, CvdWireEntry *entry, gsize *used);

G_END_DECLS
