/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * CVD_REGION_ERROR:
 *
 * The error domain of the client library.
 */
#define CVD_REGION_ERROR (cvd_region_error_quark())

/**
 * CvdRegionError:
 * @CVD_REGION_ERROR_FAILED: a system call failed
 * @CVD_REGION_ERROR_NO_SERVER: nothing listens at the socket's path
 * @CVD_REGION_ERROR_UNKNOWN_REGION: the server has no region of that name
 * @CVD_REGION_ERROR_PROTOCOL: the server said what the protocol does not allow, or nothing in time
 * @CVD_REGION_ERROR_BAD_DESCRIPTOR: the region's descriptor in the window contradicts itself or
 *   what the server said; the guest may have written there
 * @CVD_REGION_ERROR_VERSION: the protocol's version, the window's major version, or the region's
 *   versions are others than known or asked for
 * @CVD_REGION_ERROR_CLOSED: the server has closed the connection: the window is gone, or it has
 *   another guest now; see cvd_region_reopen()
 * @CVD_REGION_ERROR_TABLE_FULL: all slots of the signal table are taken
 * @CVD_REGION_ERROR_BAD_OFFSET: not the offset of a 32-bit word in the region
 * @CVD_REGION_ERROR_READ_ONLY: the server lets this user only read the region
 * @CVD_REGION_ERROR_NOT_PASSED: this program has not inherited the region, or has opened it before
 * @CVD_REGION_ERROR_IN_USE: the region is exclusive, and another program has it, which the message
 *   names
 *
 * What a time limit and a cancellation are reported as: %G_IO_ERROR_TIMED_OUT,
 * %G_IO_ERROR_CANCELLED.
 */
typedef enum {
    CVD_REGION_ERROR_FAILED,
    CVD_REGION_ERROR_NO_SERVER,
    CVD_REGION_ERROR_UNKNOWN_REGION,
    CVD_REGION_ERROR_PROTOCOL,
    CVD_REGION_ERROR_BAD_DESCRIPTOR,
    CVD_REGION_ERROR_VERSION,
    CVD_REGION_ERROR_CLOSED,
    CVD_REGION_ERROR_TABLE_FULL,
    CVD_REGION_ERROR_BAD_OFFSET,
    CVD_REGION_ERROR_READ_ONLY,
    CVD_REGION_ERROR_NOT_PASSED,
    CVD_REGION_ERROR_IN_USE,
} CvdRegionError;

/**
 * cvd_region_error_quark:
 *
 * See %CVD_REGION_ERROR.
 *
 * Returns: the error domain
 */
GQuark cvd_region_error_quark(void);

/**
 * CvdRegionInfo:
 * @name: the region's name
 * @begin: offset in the window, in bytes
 * @end: exclusive
 *
 * What a server lists of a region.
 */
typedef struct {
    char name[16];
    guint32 begin;
    guint32 end;
} CvdRegionInfo;

/**
 * cvd_region_info_get_name:
 * @info: a region of a listing
 *
 * For languages in which an array of characters is no string.
 *
 * Returns: (transfer none): its name
 */
const char *cvd_region_info_get_name(const CvdRegionInfo *info);

G_END_DECLS
