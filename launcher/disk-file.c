/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk is found by its path, and QEMU may have opened that long ago. Whoever has renamed files
 * since has QEMU write to one, and the path stand for another.
 */
#include "launcher/disk-file.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/qcow2.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* QEMU counts in these, and leaves out what is no whole one. */
#define SECTOR_SIZE 512

/* ---- What QEMU has open ---- */

typedef struct {
    dev_t dev;
    ino_t ino;
} File;

/* Returns: whether all could be seen */
static gboolean list_files(DIR *dir, GArray *files)
{
    const struct dirent *entry;
    struct stat st;

    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        if (fstatat(dirfd(dir), entry->d_name, &st, 0) == 0)
            g_array_append_val(files, ((File){st.st_dev, st.st_ino}));
        else if (errno != ENOENT) /* closed meanwhile */
            return FALSE;
    }
    return files->len > 0;
}

GArray *cvd_disk_list_open(int process_fd)
{
    cvd_autofd fd = openat(process_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    g_autoptr(GArray) files = g_array_new(FALSE, FALSE, sizeof(File));

    if (dir == NULL)
        return NULL;
    (void)g_steal_fd(&fd);
    gboolean is_all = list_files(dir, files);
    closedir(dir);
    return is_all ? g_steal_pointer(&files) : NULL;
}

static gboolean has_open(const GArray *files, const struct stat *st)
{
    for (guint i = 0; i < files->len; i++) {
        const File *file = &g_array_index(files, File, i);
        if (file->dev == st->st_dev && file->ino == st->st_ino)
            return TRUE;
    }
    return FALSE;
}

/* ---- A disk ---- */

static gboolean has_group(const CvdRunAs *run_as, gid_t gid)
{
    for (guint i = 0; i < run_as->n_gids; i++)
        if (run_as->gids[i] == gid)
            return TRUE;
    return run_as->gid == gid;
}

/* QEMU's user may have put a link to somebody else's file in its place. */
static gboolean may_read(const CvdRunAs *run_as, const struct stat *st)
{
    if (run_as == NULL || (st->st_mode & S_IROTH))
        return TRUE;
    if (run_as->uid == st->st_uid)
        return TRUE;
    return (st->st_mode & S_IRGRP) && has_group(run_as, st->st_gid);
}

static gboolean is_qemus(const CvdSaveDisk *disk, const GArray *qemu_files, const struct stat *st,
                         guint64 size)
{
    if (qemu_files != NULL)
        return has_open(qemu_files, st);
    return disk->size == 0 || disk->size / SECTOR_SIZE == size / SECTOR_SIZE;
}

int cvd_disk_open_file(const CvdSaveDisk *disk, const CvdRunAs *run_as, const GArray *qemu_files,
                       GError **error)
{
    cvd_autofd fd = open(disk->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    CvdQcow2 header;

    if (fd < 0 || fstat(fd, &st) < 0)
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "the disk %s", disk->path);
    else if (!S_ISREG(st.st_mode) || !(disk->is_launchers || may_read(run_as, &st)) ||
             !cvd_qcow2_read(fd, &header))
        cvd_fail(error, CVD_ERROR_FAILED, "the disk %s is no qcow2 file that %s may read",
                 disk->path, run_as != NULL ? run_as->user : "QEMU");
    else if (!is_qemus(disk, qemu_files, &st, header.size))
        cvd_fail(error, CVD_ERROR_FAILED,
                 "the disk %s: another file has that name now, and QEMU still has the one that had "
                 "it; move that one back there, or start the machine again with the other one",
                 disk->path);
    else
        return g_steal_fd(&fd);
    return -1;
}
