/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * CVD_ERROR:
 *
 * The error domain of everything in this project. A message names the object and the remedy, e.g.
 * `/run/cvd/cvd-1: owned by uid 1000; remove it or choose another --name`.
 */
#define CVD_ERROR (cvd_error_quark())

/**
 * CvdError:
 * @CVD_ERROR_FAILED: a system call failed; the message has its name and reason
 * @CVD_ERROR_INVALID: a configuration, a layout or an argument breaks a rule
 * @CVD_ERROR_BUSY: somebody who is alive owns the instance, the socket or the shared memory
 * @CVD_ERROR_FOREIGN: something of another owner or another kind is in the way; it is left alone
 * @CVD_ERROR_RESOURCES: descriptors, memory or huge pages do not suffice
 * @CVD_ERROR_PROTOCOL: a peer said what its protocol does not allow
 * @CVD_ERROR_CLOSED: the peer closed the connection
 * @CVD_ERROR_TIMED_OUT: a deadline has passed
 *
 * What kind of failure it is.
 */
typedef enum {
    CVD_ERROR_FAILED,
    CVD_ERROR_INVALID,
    CVD_ERROR_BUSY,
    CVD_ERROR_FOREIGN,
    CVD_ERROR_RESOURCES,
    CVD_ERROR_PROTOCOL,
    CVD_ERROR_CLOSED,
    CVD_ERROR_TIMED_OUT,
} CvdError;

/**
 * cvd_error_quark:
 *
 * See %CVD_ERROR.
 *
 * Returns: the error domain
 */
GQuark cvd_error_quark(void);

/**
 * cvd_fail:
 * @error: (out) (optional): where to put the error
 * @code: which #CvdError
 * @format: the message. A guint64 is a `%ju`, a gint64 a `%jd`: on Linux they are uintmax_t and
 *   intmax_t, which the compiler checks.
 *
 * Returns: %FALSE, for the caller to return
 */
gboolean cvd_fail(GError **error, CvdError code, const char *format, ...) G_GNUC_PRINTF(3, 4);

/**
 * cvd_pass_error:
 * @error: (out) (optional): where to put the error
 * @reason: (inout): the error, which is moved
 *
 * Returns: %FALSE, for the caller to return
 */
gboolean cvd_pass_error(GError **error, GError **reason);

/**
 * cvd_error_add_help:
 * @error: (inout) (optional): a usage error
 * @command: the program, and its verb if it has one
 *
 * Adds to the message where the usage is explained.
 */
void cvd_error_add_help(GError **error, const char *command);

/**
 * cvd_set_error_errno:
 * @error: (out) (optional): where to put the error
 * @code: which #CvdError
 * @saved_errno: the `errno` of the failed call
 * @format: what was attempted on which object, without the reason
 *
 * Sets @error to the formatted text followed by `: ` and the reason that @saved_errno stands for.
 *
 * Returns: %FALSE, for the caller to return
 */
gboolean cvd_set_error_errno(GError **error, CvdError code, int saved_errno, const char *format,
                             ...) G_GNUC_PRINTF(4, 5);

G_END_DECLS
