/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/snapshot-info.h"
#include "launcher/config/values.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/**
 * CvdSnapshotJob:
 * @path: of the snapshot, absolute
 * @compresses: whether its RAM is to be packed
 * @run_as: (nullable): whose the disks have to be to be read
 * @disks: (element-type CvdSaveDisk): the guest's; set before %CVD_SNAPSHOT_PREPARE
 * @qemu_fds: /proc/PID/fd of QEMU, or −1: the disks have to be what it has open; likewise
 * @info: what the snapshot says of itself; set before %CVD_SNAPSHOT_FINISH
 * @config: the text of its configuration; likewise
 * @window_fd: its window; set before %CVD_SNAPSHOT_COPY
 * @ram_fd: its RAM, or −1; likewise
 * @state_fd: where QEMU's state goes; there after %CVD_SNAPSHOT_PREPARE
 * @size_bytes: what the snapshot takes of the disk; there after %CVD_SNAPSHOT_FINISH
 *
 * The files of a snapshot, made in a thread, one step after the other. The members are the main
 * thread's while no step is under way.
 */
typedef struct {
    char *path;
    gboolean compresses;
    const CvdRunAs *run_as;
    GPtrArray *disks;
    int qemu_fds;
    CvdSnapshotInfo *info;
    char *config;
    int window_fd;
    int ram_fd;
    int state_fd;
    guint64 size_bytes;
    /*< private >*/
    struct CvdSnapshotWriter *writer;
    GArray *disk_fds;
    guint n_copied; /* of window, RAM and disks, in this order */
} CvdSnapshotJob;

typedef enum {
    CVD_SNAPSHOT_PREPARE, /* the directory and the disks are opened: what fails, fails here */
    CVD_SNAPSHOT_COPY,    /* all that has to stand still meanwhile */
    CVD_SNAPSHOT_FINISH,  /* the rest, and its name */
} CvdSnapshotStep;

/** cvd_snapshot_job_new: Returns: (transfer full): without descriptors */
CvdSnapshotJob *cvd_snapshot_job_new(const char *path);
/** cvd_snapshot_job_free: removes what is not finished */
void cvd_snapshot_job_free(CvdSnapshotJob *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdSnapshotJob, cvd_snapshot_job_free)

/**
 * cvd_snapshot_job_run:
 * @cancellable: may end the step early
 * @done: called in the thread's default #GMainContext, never at once. After an error the job can
 *   only be freed, and what it has written is removed already. @error: as of
 *   cvd_snapshot_writer_finish() and cvd_disk_open_file()
 */
void cvd_snapshot_job_run(CvdSnapshotJob *job, CvdSnapshotStep step, GCancellable *cancellable,
                          void (*done)(const GError *error, gpointer user_data),
                          gpointer user_data);

/**
 * cvd_snapshot_job_set_space_error: @error: that there is no space for QEMU's state, or for what
 * is to be copied, and how much that is; the descriptors are set. Returns: %FALSE
 */
gboolean cvd_snapshot_job_set_space_error(const CvdSnapshotJob *job, GError **error);

G_END_DECLS
