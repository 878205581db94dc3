/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/place.h"

G_BEGIN_DECLS

/**
 * cvd_qapi_read_chardev:
 * @place: of @node
 * @node: (inout): an entry of `chardevs`, as QMP's `chardev-add` has it; paths in it become
 *   absolute
 *
 * QEMU's -chardev takes no JSON, so that each member has to be one that its option string has, too;
 * what is none becomes a problem.
 *
 * Returns: whether cvd_qapi_format_chardev() can write it
 */
gboolean cvd_qapi_read_chardev(const CvdPlace *place, JsonNode *node);

/** cvd_qapi_format_chardev: Returns: (transfer full): the value of -chardev for @node, which was
 * read */
char *cvd_qapi_format_chardev(JsonNode *node);

/**
 * cvd_qapi_read_tpmdev:
 * @place: of @node
 * @node: (inout): an entry of `tpmdevs`: QAPI's TpmTypeOptions with an `id`
 *
 * As cvd_qapi_read_chardev().
 */
gboolean cvd_qapi_read_tpmdev(const CvdPlace *place, JsonNode *node);

/** cvd_qapi_format_tpmdev: Returns: (transfer full): the value of -tpmdev for @node, which was read
 */
char *cvd_qapi_format_tpmdev(JsonNode *node);

/**
 * cvd_qapi_get_member:
 * @node: (nullable): of a type that a member `type` chooses
 *
 * Returns: (nullable): the member @name, from `data`, where QAPI has the members of a type, or from
 *   beside `type`, where they may be, too
 */
JsonNode *cvd_qapi_get_member(JsonNode *node, const char *name);

/** CVD_QAPI_CHARDEV_TYPES: those that have an option string here, for schemas */
#define CVD_QAPI_CHARDEV_TYPES                                                                     \
    "['socket', 'file', 'pipe', 'null', 'ringbuf', 'pty', 'udp', 'serial', 'mux', 'spicevmc',"     \
    " 'qemu-vdagent', 'msmouse']"

/** CVD_QAPI_ID_PATTERN: of ids in QEMU's option strings */
#define CVD_QAPI_ID_PATTERN "^[A-Za-z][A-Za-z0-9._-]*$"

/**
 * cvd_qemu_escape_value:
 * @value: a value for a QEMU option that is not JSON
 *
 * Returns: (transfer full): the value with its commas doubled
 */
char *cvd_qemu_escape_value(const char *value);

G_END_DECLS
