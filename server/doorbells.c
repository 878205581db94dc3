/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptors lie in one array: guest_to_host of region i at 2i, host_to_guest at 2i + 1. */
#include "server/doorbells.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

struct CvdDoorbells {
    guint n_fds;
    int fds[];
};

static void set_creation_error(GError **error, int saved_errno, guint n_regions)
{
    struct rlimit limit = {0};

    switch (saved_errno) {
    case EMFILE:
        getrlimit(RLIMIT_NOFILE, &limit);
        g_set_error(
            error, CVD_ERROR, CVD_ERROR_RESOURCES,
            "doorbells: %u regions need %u file descriptors besides those that are open, the limit "
            "is %ju in all; raise it (ulimit -n, LimitNOFILE=) or have fewer regions",
            n_regions, 2 * n_regions, (guint64)limit.rlim_cur);
        return;
    case ENFILE:
        g_set_error(error, CVD_ERROR, CVD_ERROR_RESOURCES,
                    "doorbells: %u regions need %u file descriptors, and the whole system has no "
                    "more; raise the sysctl fs.file-max",
                    n_regions, 2 * n_regions);
        return;
    default:
        cvd_set_error_errno(error, CVD_ERROR_FAILED, saved_errno, "doorbells: eventfd");
    }
}

CvdDoorbells *cvd_doorbells_new(guint n_regions, GError **error)
{
    g_assert(n_regions <= G_MAXINT / 2);

    g_autoptr(CvdDoorbells) doorbells =
        g_malloc(sizeof(CvdDoorbells) + 2 * (gsize)n_regions * sizeof(int));
    doorbells->n_fds = 0;
    while (doorbells->n_fds < 2 * n_regions) {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd < 0) {
            set_creation_error(error, errno, n_regions);
            return NULL;
        }
        if (doorbells->n_fds == 0)
            cvd_fd_reserve(fd, 2 * n_regions);
        doorbells->fds[doorbells->n_fds++] = fd;
    }
    return g_steal_pointer(&doorbells);
}

void cvd_doorbells_free(CvdDoorbells *doorbells)
{
    if (doorbells == NULL)
        return;
    for (guint i = 0; i < doorbells->n_fds; i++)
        cvd_close_fd(&doorbells->fds[i]);
    g_free(doorbells);
}

int cvd_doorbells_get_guest_to_host(const CvdDoorbells *doorbells, guint region)
{
    g_assert(region < doorbells->n_fds / 2);
    return doorbells->fds[2 * region];
}

int cvd_doorbells_get_host_to_guest(const CvdDoorbells *doorbells, guint region)
{
    g_assert(region < doorbells->n_fds / 2);
    return doorbells->fds[2 * region + 1];
}

void cvd_doorbells_drain(CvdDoorbells *doorbells)
{
    for (guint i = 0; i < doorbells->n_fds; i++)
        cvd_doorbell_take(doorbells->fds[i]);
}

void cvd_doorbells_find_rung(const CvdDoorbells *doorbells, guint region, gboolean *to_guest,
                             gboolean *to_host)
{
    struct pollfd fds[] = {
        {.fd = cvd_doorbells_get_host_to_guest(doorbells, region), .events = POLLIN},
        {.fd = cvd_doorbells_get_guest_to_host(doorbells, region), .events = POLLIN},
    };

    poll(fds, G_N_ELEMENTS(fds), 0);
    *to_guest |= (fds[0].revents & POLLIN) != 0;
    *to_host |= (fds[1].revents & POLLIN) != 0;
}
