/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A write to an eventfd blocks when its counter is full and O_NONBLOCK is not set. Whoever holds
 * the eventfd can bring about both at any moment, and RWF_NOWAIT does not exist for it. But the
 * kernel itself rings one when asynchronous I/O is complete (IOCB_FLAG_RESFD of io_submit(2)), and
 * never waits for that: a counter that is full stays so. So each ring is an empty read of
 * /dev/null.
 *
 * What is complete has to be fetched, or the context is full at some time.
 */
#include "server/ringer.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_COMPLETE (4 * CVD_RINGER_MAX)

struct CvdRinger {
    aio_context_t context;
    int null_fd;
    guint n_complete; /* not fetched yet */
};

void cvd_ringer_free(CvdRinger *ringer)
{
    if (ringer->context != 0)
        syscall(SYS_io_destroy, ringer->context);
    cvd_close_fd(&ringer->null_fd);
    g_free(ringer);
}

static void fetch_complete(CvdRinger *ringer)
{
    struct io_event events[MAX_COMPLETE];

    syscall(SYS_io_getevents, ringer->context, 0, MAX_COMPLETE, events, NULL);
    ringer->n_complete = 0;
}

gboolean cvd_ringer_ring(CvdRinger *ringer, int doorbell, guint64 count)
{
    struct iocb read_nothing = {
        .aio_fildes = (guint32)ringer->null_fd,
        .aio_lio_opcode = IOCB_CMD_PREAD,
        .aio_flags = IOCB_FLAG_RESFD,
        .aio_resfd = (guint32)doorbell,
    };
    struct iocb *all[CVD_RINGER_MAX];
    guint n = (guint)MIN(count, CVD_RINGER_MAX);

    for (guint i = 0; i < n; i++)
        all[i] = &read_nothing;
    if (ringer->n_complete + n > MAX_COMPLETE)
        fetch_complete(ringer);
    long n_done = TEMP_FAILURE_RETRY(syscall(SYS_io_submit, ringer->context, n, all));
    ringer->n_complete += n_done > 0 ? (guint)n_done : 0;
    return n_done > 0;
}

/* A sandbox may let one of the calls pass and not the other. */
static gboolean works(CvdRinger *ringer)
{
    cvd_autofd doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    guint64 count;

    if (doorbell < 0 || !cvd_ringer_ring(ringer, doorbell, 2))
        return FALSE;
    if (cvd_doorbell_take_count(doorbell, &count) && count == 2)
        return TRUE;
    errno = EOPNOTSUPP;
    return FALSE;
}

CvdRinger *cvd_ringer_new(GError **error)
{
    g_autoptr(CvdRinger) ringer = g_new0(CvdRinger, 1);

    ringer->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (ringer->null_fd >= 0 && syscall(SYS_io_setup, MAX_COMPLETE, &ringer->context) == 0 &&
        works(ringer))
        return g_steal_pointer(&ringer);
    cvd_set_error_errno(
        error, CVD_ERROR_RESOURCES, errno,
        "doorbells are rung by asynchronous I/O (io_submit, whose limit is the sysctl "
        "fs.aio-max-nr)");
    return NULL;
}
