/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/snapshot-job.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/snapshot-store.h"
#include "base/snapshot-writer.h"
#include "base/sparse.h"
#include "launcher/disk-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

CvdSnapshotJob *cvd_snapshot_job_new(const char *path)
{
    CvdSnapshotJob *job = g_new0(CvdSnapshotJob, 1);

    job->path = g_strdup(path);
    job->qemu_fds = job->window_fd = job->ram_fd = job->state_fd = -1;
    job->disk_fds = g_array_new(FALSE, FALSE, sizeof(int));
    g_array_set_clear_func(job->disk_fds, (GDestroyNotify)cvd_close_fd);
    return job;
}

void cvd_snapshot_job_free(CvdSnapshotJob *job)
{
    g_clear_pointer(&job->writer, cvd_snapshot_writer_free);
    g_clear_pointer(&job->disks, g_ptr_array_unref);
    g_clear_pointer(&job->info, cvd_snapshot_info_free);
    g_array_unref(job->disk_fds);
    cvd_close_fd(&job->qemu_fds);
    cvd_close_fd(&job->window_fd);
    cvd_close_fd(&job->ram_fd);
    cvd_close_fd(&job->state_fd);
    g_free(job->config);
    g_free(job->path);
    g_free(job);
}

/* ---- Before the guest is stopped ---- */

static gboolean open_disks(CvdSnapshotJob *job, GError **error)
{
    g_autoptr(GArray) qemu_files = cvd_disk_list_open(job->qemu_fds);

    for (guint i = 0; i < job->disks->len; i++) {
        int fd = cvd_disk_open_file(job->disks->pdata[i], job->run_as, qemu_files, error);
        if (fd < 0)
            return FALSE;
        g_array_append_val(job->disk_fds, fd);
    }
    return TRUE;
}

static gboolean prepare(CvdSnapshotJob *job, GCancellable *cancellable, GError **error)
{
    job->writer = cvd_snapshot_writer_new(job->path, error);
    if (job->writer == NULL || !open_disks(job, error))
        return FALSE;
    job->state_fd = cvd_snapshot_writer_create(job->writer, CVD_SNAPSHOT_STATE, error);
    return job->state_fd >= 0;
}

/* ---- While it stands still ---- */

/* What is copied: the window, RAM, and the disks. */
#define N_BEFORE_DISKS 2

static int get_fd(const CvdSnapshotJob *job, guint index)
{
    if (index < N_BEFORE_DISKS)
        return index == 0 ? job->window_fd : job->ram_fd;
    return g_array_index(job->disk_fds, int, index - N_BEFORE_DISKS);
}

static char *get_file(guint index)
{
    if (index < N_BEFORE_DISKS)
        return g_strdup(index == 0 ? CVD_SNAPSHOT_WINDOW : CVD_SNAPSHOT_RAM);
    return cvd_snapshot_format_disk(index - N_BEFORE_DISKS);
}

/* How long RAM in QEMU's state is, nobody knows before it is there. */
gboolean cvd_snapshot_job_set_space_error(const CvdSnapshotJob *job, GError **error)
{
    gboolean is_known = job->ram_fd >= 0 || job->n_copied > 0;
    guint64 n = 0;

    for (guint i = job->n_copied; is_known && i < N_BEFORE_DISKS + job->disk_fds->len; i++) {
        struct stat st;
        int fd = get_fd(job, i);
        if (fd >= 0 && fstat(fd, &st) == 0)
            n += cvd_sparse_count(fd, 0, (guint64)st.st_size);
    }
    return cvd_snapshot_writer_set_space_error(job->writer, n, error);
}

static gboolean copy(CvdSnapshotJob *job, GCancellable *cancellable, GError **error)
{
    for (; job->n_copied < N_BEFORE_DISKS + job->disk_fds->len; job->n_copied++) {
        int fd = get_fd(job, job->n_copied);
        g_autofree char *file = get_file(job->n_copied);
        g_autoptr(GError) reason = NULL;
        if (fd >= 0 && !cvd_snapshot_writer_copy(job->writer, file, fd, cancellable, &reason))
            return g_error_matches(reason, CVD_ERROR, CVD_ERROR_RESOURCES)
                       ? cvd_snapshot_job_set_space_error(job, error)
                       : cvd_pass_error(error, &reason);
    }
    return TRUE;
}

/* ---- Afterwards ---- */

static gboolean write_config(CvdSnapshotJob *job, GError **error)
{
    cvd_autofd fd = cvd_snapshot_writer_create(job->writer, CVD_SNAPSHOT_CONFIG, error);
    gsize size = strlen(job->config);

    for (gsize at = 0; fd >= 0 && at < size;) {
        gssize n = write(fd, job->config + at, size - at);
        if (n < 0 && errno == ENOSPC)
            return cvd_snapshot_writer_set_space_error(job->writer, size, error);
        if (n < 0 && errno != EINTR)
            return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: writing", job->path);
        at += (gsize)MAX(n, 0);
    }
    return fd >= 0;
}

/* What others have put there meanwhile is not counted apart. */
static guint64 measure(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    guint64 n_blocks = 0;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *file = g_build_filename(path, name, NULL);
        struct stat st = {0};
        lstat(file, &st);
        n_blocks += (guint64)st.st_blocks;
    }
    return n_blocks * 512;
}

/* Up to the last moment: who has cancelled it finds nothing. */
static gboolean keep(CvdSnapshotJob *job, GCancellable *cancellable, GError **error)
{
    if (!g_cancellable_set_error_if_cancelled(cancellable, error)) {
        job->size_bytes = measure(job->path);
        return TRUE;
    }
    cvd_snapshot_delete(job->path, NULL);
    return FALSE;
}

static gboolean finish(CvdSnapshotJob *job, GCancellable *cancellable, GError **error)
{
    if (!write_config(job, error))
        return FALSE;
    if (job->compresses && job->ram_fd >= 0 &&
        !cvd_snapshot_writer_compress(job->writer, cancellable, error))
        return FALSE;
    return cvd_snapshot_writer_finish(job->writer, job->info, cancellable, error) &&
           keep(job, cancellable, error);
}

/* ---- The thread ---- */

typedef struct {
    CvdSnapshotJob *job;
    CvdSnapshotStep step;
    void (*done)(const GError *error, gpointer user_data);
    gpointer user_data;
} Run;

static gboolean run_step(const Run *run, GCancellable *cancellable, GError **error)
{
    switch (run->step) {
    case CVD_SNAPSHOT_PREPARE:
        return prepare(run->job, cancellable, error);
    case CVD_SNAPSHOT_COPY:
        return copy(run->job, cancellable, error);
    case CVD_SNAPSHOT_FINISH:
        return finish(run->job, cancellable, error);
    }
    g_assert_not_reached();
}

/* What is not to be completed is removed here, as that takes some 0.1 s a GiB. */
static void in_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    const Run *run = data;
    g_autoptr(GError) error = NULL;
    gboolean is_done = run_step(run, cancellable, &error);

    if (is_done && run->step != CVD_SNAPSHOT_FINISH)
        is_done = !g_cancellable_set_error_if_cancelled(cancellable, &error);
    if (is_done) {
        g_task_return_boolean(task, TRUE);
        return;
    }
    g_clear_pointer(&run->job->writer, cvd_snapshot_writer_free);
    g_task_return_error(task, g_steal_pointer(&error));
}

static void on_step_done(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autofree Run *run = data;
    g_autoptr(GError) error = NULL;

    g_task_propagate_boolean(G_TASK(result), &error);
    run->done(error, run->user_data);
}

void cvd_snapshot_job_run(CvdSnapshotJob *job, CvdSnapshotStep step, GCancellable *cancellable,
                          void (*done)(const GError *error, gpointer user_data), gpointer user_data)
{
    Run *run = g_new(Run, 1);

    *run = (Run){job, step, done, user_data};
    g_autoptr(GTask) task = g_task_new(NULL, cancellable, on_step_done, run);
    /* What is complete is complete; and the thread ends before anybody is told. */
    g_task_set_check_cancellable(task, FALSE);
    g_task_set_task_data(task, run, NULL);
    g_task_run_in_thread(task, in_thread);
}
