/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region whose descriptors this program has inherited. What a handshake would say of it, the
 * window says; the guest can write there, so it is checked as always, and then it is a region as
 * all others.
 */
#include "client/passed.h"
#include "client/region-private.h"

#include <fcntl.h>
#include <unistd.h>

static GMutex lock;
static GHashTable *taken; /* the names of those that are, or are about to be, open */

static const CvdPassed *find(GPtrArray *regions, const char *name, GError **error)
{
    g_mutex_lock(&lock);
    if (taken == NULL)
        taken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    const CvdPassed *passed = cvd_passed_find(regions, name, taken, error);
    if (passed != NULL)
        g_hash_table_add(taken, g_strdup(passed->region));
    g_mutex_unlock(&lock);
    return passed;
}

static void give_back(const CvdPassed *passed)
{
    g_mutex_lock(&lock);
    g_hash_table_remove(taken, passed->region);
    g_mutex_unlock(&lock);
}

/* After a failure the descriptors are as they were. */
static gboolean take(CvdRegion *region, const CvdPassed *passed, GError **error)
{
    CvdHandshakeResult result = {
        .window = passed->fds[CVD_PASSED_WINDOW],
        .host_to_guest = passed->fds[CVD_PASSED_HOST_TO_GUEST],
        .guest_to_host = passed->fds[CVD_PASSED_GUEST_TO_HOST],
        .connection = passed->fds[CVD_PASSED_CONNECTION],
    };

    if (!cvd_passed_check(passed, error) || !cvd_region_adopt(region, &result, error))
        return FALSE;
    for (CvdPassedFd i = 0; i < CVD_PASSED_N_FDS; i++)
        fcntl(passed->fds[i], F_SETFD, FD_CLOEXEC);
    return TRUE;
}

CvdRegion *cvd_region_open_passed(const char *name, guint version, GError **error)
{
    const CvdPassedEnvironment environment = {
        .n_fds = g_getenv("LISTEN_FDS"),
        .names = g_getenv("LISTEN_FDNAMES"),
        .pid = g_getenv("LISTEN_PID"),
    };
    g_autoptr(GPtrArray) regions = cvd_passed_parse(&environment, getpid(), error);
    const CvdPassed *passed = regions != NULL ? find(regions, name, error) : NULL;
    if (passed == NULL)
        return NULL;

    g_autoptr(CvdRegion) region =
        g_object_new(CVD_TYPE_REGION, "socket-path", g_getenv("CVD_CLIENT_SOCKET"), "name",
                     passed->region, "wanted-version", version, NULL);
    if (take(region, passed, error))
        return g_steal_pointer(&region);
    give_back(passed);
    return NULL;
}
