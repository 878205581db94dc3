/* SPDX-License-Identifier: Apache-2.0 */
#include "base/passed.h"

static const char *const suffixes[] = {
    [CVD_PASSED_WINDOW] = ".window",
    [CVD_PASSED_HOST_TO_GUEST] = ".to-guest",
    [CVD_PASSED_GUEST_TO_HOST] = ".to-host",
    [CVD_PASSED_CONNECTION] = ".connection",
};
G_STATIC_ASSERT(G_N_ELEMENTS(suffixes) == CVD_PASSED_N_FDS);

const char *cvd_passed_fd_get_suffix(CvdPassedFd fd)
{
    g_assert(fd < CVD_PASSED_N_FDS);
    return suffixes[fd];
}
