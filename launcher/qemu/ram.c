/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/qemu/ram.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const char *call, GError **error)
{
    const char *advice = errno == EFBIG ? " (raise the limit of a file's size, ulimit -f)" : "";

    cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "the guest's memory: %s%s", call, advice);
    return -1;
}

/* QEMU opens it by its path in /proc, perhaps as another user, whom run_as or a wrapper has made
 * it. No other path leads there, and that one is only for whom it belongs to already: who may trace
 * the process. So the mode protects nothing. */
int cvd_ram_new_template(guint64 size, GError **error)
{
    cvd_autofd fd = memfd_create("cvd-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return fail("memfd_create", error);
    if (fchmod(fd, 0666) < 0)
        return fail("fchmod", error);
    if (ftruncate(fd, (off_t)size) < 0)
        return fail("ftruncate", error);
    return g_steal_fd(&fd);
}

int cvd_ram_new(guint64 size, GError **error)
{
    cvd_autofd fd = cvd_ram_new_template(size, error);

    if (fd >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return fail("sealing", error);
    return g_steal_fd(&fd);
}

/* A mapping that keeps what is written to itself is not hindered by that. */
gboolean cvd_ram_seal_template(int fd, GError **error)
{
    const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

    if (fcntl(fd, F_ADD_SEALS, seals) == 0)
        return TRUE;
    fail("sealing", error);
    return FALSE;
}
