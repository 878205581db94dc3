/* SPDX-License-Identifier: Apache-2.0 */
#include "base/wire-client.h"

#include <stdio.h>
#include <string.h>

#define VERSION_PREFIX "PROTOCOL_VER "
#define VERSION_2017   "0x00000000"

gboolean cvd_wire_is_region_name(const char *name)
{
    gsize length = strlen(name);

    if (length < 1 || length > CVD_WIRE_MAX_NAME)
        return FALSE;
    for (gsize i = 0; i < length; i++)
        if (!g_ascii_isalnum(name[i]) && strchr("_-.", name[i]) == NULL)
            return FALSE;
    return TRUE;
}

gsize cvd_wire_format_request(char out[CVD_WIRE_MAX_REQUEST + 1], const char *name)
{
    gsize length = strlen(name);

    g_assert(length <= CVD_WIRE_MAX_NAME);
    return (gsize)snprintf(out, CVD_WIRE_MAX_REQUEST + 1,
                           "INFORM REGION_NAME_LEN: 0x%08xGET REGION: %s", (guint)length, name);
}

static gboolean begins_like(const char *bytes, gsize size, const char *text)
{
    return memcmp(bytes, text, MIN(size, strlen(text))) == 0;
}

CvdWireVersion cvd_wire_parse_version(const char *bytes, gsize size)
{
    g_assert(size <= CVD_WIRE_MAX_VERSION);

    if (begins_like(bytes, size, VERSION_2017))
        return size < strlen(VERSION_2017)    ? CVD_WIRE_VERSION_MORE
               : size == strlen(VERSION_2017) ? CVD_WIRE_VERSION_0
                                              : CVD_WIRE_VERSION_MALFORMED;
    if (begins_like(bytes, size, VERSION_PREFIX)) {
        if (size < CVD_WIRE_MAX_VERSION)
            return CVD_WIRE_VERSION_MORE;
        return begins_like(bytes, size, CVD_WIRE_VERSION_REPLY) ? CVD_WIRE_VERSION_0
                                                                : CVD_WIRE_VERSION_OTHER;
    }
    guint32 number;
    if (!begins_like(bytes, size, "0x"))
        return CVD_WIRE_VERSION_MALFORMED;
    if (size < CVD_WIRE_NUMBER_SIZE)
        return CVD_WIRE_VERSION_MORE;
    return cvd_wire_parse_number(bytes, &number) ? CVD_WIRE_VERSION_OTHER
                                                 : CVD_WIRE_VERSION_MALFORMED;
}

gboolean cvd_wire_parse_number(const char *bytes, guint32 *number)
{
    guint32 value = 0;

    if (memcmp(bytes, "0x", 2) != 0)
        return FALSE;
    for (gsize i = 2; i < CVD_WIRE_NUMBER_SIZE; i++) {
        if (!g_ascii_isxdigit(bytes[i]))
            return FALSE;
        value = value << 4 | (guint32)g_ascii_xdigit_value(bytes[i]);
    }
    *number = value;
    return TRUE;
}

CvdWireParsed cvd_wire_parse_entry(const char *bytes, gsize size, CvdWireEntry *entry, gsize *used)
{
    const gsize numbers = 3 * (gsize)CVD_WIRE_NUMBER_SIZE;
    guint32 length;

    if (size < numbers)
        return CVD_WIRE_INCOMPLETE;
    *entry = (CvdWireEntry){0};
    if (!cvd_wire_parse_number(bytes, &entry->begin) ||
        !cvd_wire_parse_number(bytes + CVD_WIRE_NUMBER_SIZE, &entry->end) ||
        !cvd_wire_parse_number(bytes + 2 * (gsize)CVD_WIRE_NUMBER_SIZE, &length) || length < 1 ||
        length > CVD_WIRE_MAX_NAME)
        return CVD_WIRE_WRONG;
    if (size < numbers + length)
        return CVD_WIRE_INCOMPLETE;
    memcpy(entry->name, bytes + numbers, length);
    if (strlen(entry->name) != length || !cvd_wire_is_region_name(entry->name))
        return CVD_WIRE_WRONG;
    *used = numbers + length;
    return CVD_WIRE_PARSED;
}
