/* SPDX-License-Identifier: Apache-2.0 */
#include "server/passed.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

void cvd_passed_region_clear(CvdPassedRegion *passed)
{
    for (guint i = 0; i < CVD_PASSED_N_FDS; i++)
        cvd_close_fd(&passed->fds[i]);
    passed->client = 0;
}

char *cvd_passed_region_get_names(const char *region)
{
    GString *names = g_string_new(NULL);

    for (CvdPassedFd i = 0; i < CVD_PASSED_N_FDS; i++)
        g_string_append_printf(names, "%s%s%s", i > 0 ? ":" : "", region,
                               cvd_passed_fd_get_suffix(i));
    return g_string_free(names, FALSE);
}

static void add_own_groups(GArray *gids)
{
    const gid_t primary = getegid();
    int n = getgroups(0, NULL);

    g_array_append_val(gids, primary);
    if (n <= 0)
        return;
    g_array_set_size(gids, 1 + (guint)n);
    n = getgroups(n, &g_array_index(gids, gid_t, 1));
    g_array_set_size(gids, 1 + (guint)MAX(n, 0));
}

CvdAccess cvd_passed_region_get_access(const CvdAccessRules *rules, const CvdServerUser *user,
                                       const char *region)
{
    g_auto(CvdPeer) peer = {
        .uid = user != NULL ? user->uid : geteuid(),
        .gids = g_array_new(FALSE, FALSE, sizeof(gid_t)),
    };

    if (user == NULL)
        add_own_groups(peer.gids);
    else if (user->n_gids > 0)
        g_array_append_vals(peer.gids, user->gids, user->n_gids);
    cvd_access_rules_match(rules, &peer);
    CvdAccess access = cvd_access_rules_check(rules, &peer, region);
    return access != CVD_ACCESS_NONE ? access : CVD_ACCESS_READ_WRITE;
}

/* Who may only read gets doorbells that nobody is at the other end of. */
static int open_doorbell(int doorbell, CvdAccess access)
{
    return access == CVD_ACCESS_READ_ONLY ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
                                          : fcntl(doorbell, F_DUPFD_CLOEXEC, 0);
}

gboolean cvd_passed_region_fill(CvdPassedRegion *passed, const CvdServed *served, guint region,
                                CvdAccess access, GError **error)
{
    int *fds = passed->fds;

    fds[CVD_PASSED_WINDOW] =
        fcntl(access == CVD_ACCESS_READ_ONLY ? served->read_only_window_fd : served->window_fd,
              F_DUPFD_CLOEXEC, 0);
    fds[CVD_PASSED_HOST_TO_GUEST] =
        open_doorbell(cvd_doorbells_get_host_to_guest(served->doorbells, region), access);
    fds[CVD_PASSED_GUEST_TO_HOST] =
        open_doorbell(cvd_doorbells_get_guest_to_host(served->doorbells, region), access);
    for (CvdPassedFd i = 0; i < CVD_PASSED_CONNECTION; i++)
        if (fds[i] < 0)
            return cvd_set_error_errno(error, CVD_ERROR_RESOURCES, errno, "no descriptor is left");
    return TRUE;
}
