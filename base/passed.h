/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdPassedFd:
 * @CVD_PASSED_WINDOW: the window
 * @CVD_PASSED_HOST_TO_GUEST: the doorbell that the program rings
 * @CVD_PASSED_GUEST_TO_HOST: the doorbell that the program waits on
 * @CVD_PASSED_CONNECTION: a client's connection, attached: at its end the region is no longer valid
 * @CVD_PASSED_N_FDS: how many there are
 *
 * The descriptors by which a program inherits a region that is open already, in their order:
 * docs/protocol.md, Inherited regions.
 */
typedef enum {
    CVD_PASSED_WINDOW,
    CVD_PASSED_HOST_TO_GUEST,
    CVD_PASSED_GUEST_TO_HOST,
    CVD_PASSED_CONNECTION,
    CVD_PASSED_N_FDS,
} CvdPassedFd;

/**
 * cvd_passed_fd_get_suffix: (skip)
 *
 * Returns: (transfer none): what follows the region's name in LISTEN_FDNAMES
 */
const char *cvd_passed_fd_get_suffix(CvdPassedFd fd);

G_END_DECLS
