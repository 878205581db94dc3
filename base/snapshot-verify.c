/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large files are read once. That one has not been touched since is known from its stamp: the one
 * that was recorded, or, after a copy of the snapshot, the one in the file "checked", which whoever
 * has read them all leaves there.
 */
#include "base/error.h"
#include "base/fd.h"
#include "base/snapshot-dir.h"
#include "base/snapshot.h"
#include "base/sparse.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Of the file "checked", which has a line for each large file. */
#define MAX_CHECKED 16384

/* Of files that are to be read: their stamps, as far as they have been. */
typedef struct {
    const CvdSnapshot *snapshot;
    gboolean all;
    char **checked; /* lines of that file */
    GString *found; /* lines for it */
    gboolean is_news;
    CvdSnapshotProgress *progress;
    gpointer data;
    guint64 done;
    guint64 total;
} Verifying;

static char **read_checked(const CvdSnapshot *snapshot)
{
    cvd_autofd fd = cvd_snapshot_open_file(snapshot, CVD_SNAPSHOT_CHECKED, NULL);
    char text[MAX_CHECKED + 1];
    gssize size = fd >= 0 ? TEMP_FAILURE_RETRY(read(fd, text, MAX_CHECKED)) : 0;

    text[MAX(size, 0)] = '\0';
    return g_strsplit(text, "\n", -1);
}

/* Whoever runs out of time or rights has it verified again by the next. */
static void write_checked(const CvdSnapshot *snapshot, const GString *lines)
{
    g_autofree char *file = g_strdup_printf("." CVD_SNAPSHOT_CHECKED ".%d", getpid());
    cvd_autofd fd = openat(cvd_snapshot_get_dir_fd(snapshot), file,
                           O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return;
    if (write(fd, lines->str, lines->len) != (gssize)lines->len ||
        renameat(cvd_snapshot_get_dir_fd(snapshot), file, cvd_snapshot_get_dir_fd(snapshot),
                 CVD_SNAPSHOT_CHECKED) < 0)
        unlinkat(cvd_snapshot_get_dir_fd(snapshot), file, 0);
}

static char *make_line(const CvdSnapshotFile *file, int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return g_strdup_printf("%s ?", file->name);
    g_autofree char *stamp = cvd_snapshot_format_stamp(&st);
    return g_strdup_printf("%s %s", file->name, stamp);
}

static gboolean is_as_written(const CvdSnapshotFile *file, const char *line)
{
    return strcmp(line + strlen(file->name) + 1, file->stamp) == 0;
}

static gboolean is_trusted(const Verifying *verifying, const CvdSnapshotFile *file,
                           const char *line)
{
    return !verifying->all && file->size > CVD_SNAPSHOT_TRUSTED_SIZE &&
           (is_as_written(file, line) ||
            g_strv_contains((const char *const *)verifying->checked, line));
}

/* Of @total, which another who touches a file meanwhile cannot make too small. */
static void went(gpointer data, guint64 offset)
{
    const Verifying *verifying = data;

    if (verifying->progress != NULL)
        verifying->progress(verifying->data, MIN(verifying->done + offset, verifying->total),
                            verifying->total);
}

static gboolean check_digest(Verifying *verifying, const CvdSnapshotFile *file, int fd,
                             GCancellable *cancellable, GError **error)
{
    const CvdSnapshot *snapshot = verifying->snapshot;
    g_autoptr(GError) reason = NULL;
    g_autofree char *digest = cvd_sparse_digest(fd, went, verifying, cancellable, &reason);

    if (digest == NULL)
        return cvd_snapshot_pass_error(snapshot, file->name, &reason, error);
    return strcmp(digest, file->digest) == 0 ||
           cvd_fail(error, CVD_ERROR_INVALID,
                    "%s: damaged: %s: its SHA-256 is not the one recorded",
                    cvd_snapshot_get_dir(snapshot), file->name);
}

static gboolean verify_file(Verifying *verifying, const CvdSnapshotFile *file,
                            GCancellable *cancellable, GError **error)
{
    cvd_autofd fd = cvd_snapshot_open_file(verifying->snapshot, file->name, error);

    if (fd < 0)
        return FALSE;
    g_autofree char *line = make_line(file, fd);
    gboolean is_read = !is_trusted(verifying, file, line);
    if (is_read && !check_digest(verifying, file, fd, cancellable, error))
        return FALSE;
    verifying->done += is_read ? file->size : 0;
    g_autofree char *line_after = make_line(file, fd);
    if (file->size > CVD_SNAPSHOT_TRUSTED_SIZE && strcmp(line, line_after) == 0) {
        g_string_append_printf(verifying->found, "%s\n", line);
        verifying->is_news |= is_read && !is_as_written(file, line);
    }
    return TRUE;
}

/* What is wrong with a file is found when its turn comes. */
static guint64 measure(const Verifying *verifying, const CvdSnapshotFile *file)
{
    cvd_autofd fd = cvd_snapshot_open_file(verifying->snapshot, file->name, NULL);
    g_autofree char *line = fd >= 0 ? make_line(file, fd) : NULL;

    return line != NULL && is_trusted(verifying, file, line) ? 0 : file->size;
}

gboolean cvd_snapshot_verify(CvdSnapshot *snapshot, gboolean all, CvdSnapshotProgress *progress,
                             gpointer data, GCancellable *cancellable, GError **error)
{
    GPtrArray *files = cvd_snapshot_get_files(snapshot);
    g_auto(GStrv) checked = read_checked(snapshot);
    g_autoptr(GString) found = g_string_new(NULL);
    Verifying verifying = {.snapshot = snapshot,
                           .all = all,
                           .checked = checked,
                           .found = found,
                           .progress = progress,
                           .data = data};

    for (guint i = 0; i < files->len; i++)
        verifying.total += measure(&verifying, g_ptr_array_index(files, i));
    for (guint i = 0; i < files->len; i++)
        if (!verify_file(&verifying, g_ptr_array_index(files, i), cancellable, error))
            return FALSE;
    if (verifying.is_news)
        write_checked(snapshot, found);
    return TRUE;
}
