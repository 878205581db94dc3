/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/passed.h"

G_BEGIN_DECLS

/**
 * CvdPassed:
 * @region: its name
 * @fds: of each #CvdPassedFd; −1: none has its name
 *
 * A region that this program seems to have inherited: its descriptors have not been looked at.
 */
typedef struct {
    char *region;
    int fds[CVD_PASSED_N_FDS];
} CvdPassed;

/**
 * CvdPassedEnvironment:
 * @n_fds: (nullable): LISTEN_FDS
 * @names: (nullable): LISTEN_FDNAMES
 * @pid: (nullable): LISTEN_PID
 */
typedef struct {
    const char *n_fds;
    const char *names;
    const char *pid;
} CvdPassedEnvironment;

/**
 * cvd_passed_parse:
 * @own_pid: of this process
 * @error: %CVD_REGION_ERROR_NOT_PASSED: nothing was passed to this process;
 *   %CVD_REGION_ERROR_PROTOCOL: the variables contradict each other
 *
 * Pure: what is said to have been inherited. Descriptors that have to do with no region are left
 * out.
 *
 * Returns: (transfer full) (element-type CvdPassed): the regions, in their order
 */
GPtrArray *cvd_passed_parse(const CvdPassedEnvironment *environment, int own_pid, GError **error);

/**
 * cvd_passed_find:
 * @regions: (element-type CvdPassed): what was inherited
 * @name: (nullable): a region's name; %NULL: the first that @taken does not have
 * @taken: (element-type utf8): a set of the names of those that are no longer to be had
 * @error: %CVD_REGION_ERROR_NOT_PASSED
 *
 * Pure.
 *
 * Returns: (transfer none): the region
 */
const CvdPassed *cvd_passed_find(GPtrArray *regions, const char *name, GHashTable *taken,
                                 GError **error);

/**
 * cvd_passed_check:
 * @error: %CVD_REGION_ERROR_NOT_PASSED: a descriptor is not open; %CVD_REGION_ERROR_PROTOCOL: one
 *   is missing, or is not what its name says; %CVD_REGION_ERROR_CLOSED: the connection has ended
 *
 * Looks at the descriptors, and changes nothing.
 */
gboolean cvd_passed_check(const CvdPassed *passed, GError **error);

G_END_DECLS
