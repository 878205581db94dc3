/* SPDX-License-Identifier: Apache-2.0 */
#include "guests/fake/attach.h"

#include "base/error.h"
#include "base/fd.h"
#include "vsoc/abi.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096

static int connect_to(const char *path, GError **error)
{
    int fd = cvd_socket_connect(path);
    const char *hint = errno == ENOENT         ? "; does cvd-launch --serve-only run?"
                       : errno == ECONNREFUSED ? "; the one who listened there has ended"
                                               : "";

    if (fd < 0 && errno == ENAMETOOLONG)
        cvd_fail(error, CVD_ERROR_INVALID, "a socket's path has at most 107 bytes, this one %zu",
                 strlen(path));
    else if (fd < 0)
        cvd_fail(error, CVD_ERROR_CLOSED, "cannot connect: %s%s", g_strerror(errno), hint);
    return fd;
}

static gboolean map_window(CvdVmAttachment *attachment, GError **error)
{
    int fd = attachment->handover.window_fd;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "window: fstat");
    guint64 size = (guint64)st.st_size;
    if (size < PAGE || (size & (size - 1)) != 0)
        return cvd_fail(error, CVD_ERROR_PROTOCOL,
                        "bad window: it has %" G_GUINT64_FORMAT
                        " bytes; a BAR has a power of two of at least %d",
                        size, PAGE);
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno,
                                   "window: cannot map %" G_GUINT64_FORMAT " bytes", size);
    attachment->map = map;
    attachment->size = size;
    return TRUE;
}

static gboolean take_window(CvdVmAttachment *attachment, GError **error)
{
    const struct vsoc_shm_layout_descriptor *header;

    if (!map_window(attachment, error))
        return FALSE;
    header = (const void *)attachment->map;
    guint n_regions = __atomic_load_n(&header->region_count, __ATOMIC_SEQ_CST);
    if (n_regions == 0 || n_regions > VSOC_MAX_REGIONS)
        return cvd_fail(error, CVD_ERROR_PROTOCOL,
                        "bad layout: region_count is %u instead of 1 to %d", n_regions,
                        VSOC_MAX_REGIONS);
    /* Two descriptors a region come in, as many as the launcher holds. */
    if (!cvd_raise_fd_limit(n_regions, CVD_FDS_PER_REGION, error))
        return FALSE;
    cvd_handover_set_regions(&attachment->handover, n_regions);
    return TRUE;
}

/* Returns: whether to go on; else it is time to stop */
static gboolean wait_for(int fd, int signal_fd, int timeout_ms)
{
    struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    int n;

    do
        n = poll(fds, G_N_ELEMENTS(fds), timeout_ms);
    while (n < 0 && errno == EINTR);
    return fds[0].revents == 0;
}

static CvdVmAttachResult take_handover(CvdVmAttachment *attachment, int signal_fd,
                                       const CvdVmOptions *options, GError **error)
{
    for (;;) {
        if (options->slow_ms > 0 && !wait_for(-1, signal_fd, (int)options->slow_ms))
            return CVD_VM_STOPPED;
        if (!wait_for(attachment->connection, signal_fd, -1))
            return CVD_VM_STOPPED;
        switch (cvd_handover_read(&attachment->handover, attachment->connection, error)) {
        case CVD_HANDOVER_EMPTY:
        case CVD_HANDOVER_MORE:
        case CVD_HANDOVER_READY:
            break;
        case CVD_HANDOVER_WINDOW:
            if (!take_window(attachment, error))
                return CVD_VM_FAILED;
            break;
        case CVD_HANDOVER_DONE:
            return CVD_VM_ATTACHED;
        case CVD_HANDOVER_FAILED:
            return CVD_VM_FAILED;
        }
    }
}

CvdVmAttachResult cvd_vm_attach(CvdVmAttachment *attachment, const char *path, int signal_fd,
                                const CvdVmOptions *options, GError **error)
{
    CvdVmAttachResult result = CVD_VM_FAILED;

    attachment->connection = connect_to(path, error);
    if (attachment->connection >= 0) {
        if (options->dies && options->die_after == 0)
            raise(SIGKILL);
        result = take_handover(attachment, signal_fd, options, error);
    }
    if (result == CVD_VM_FAILED)
        g_prefix_error(error, "%s: ", path);
    return result;
}

void cvd_vm_attachment_clear(CvdVmAttachment *attachment)
{
    if (attachment->map != NULL)
        munmap(attachment->map, attachment->size);
    attachment->map = NULL;
    cvd_handover_clear(&attachment->handover);
    cvd_close_fd(&attachment->connection);
}
