/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything happens relative to descriptors of directories that were opened without following
 * links and checked for their owner, so that nobody can lead us elsewhere. A teardown unlinks the
 * lock while holding it; whoever opened that inode before notices that it is no longer at its path
 * and tries again.
 */
#include "launcher/instance-dir.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/instance.h"
#include "base/process-id.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_FILE "lock"
/* Its content: the launcher, and the processes of its VM. */
#define MAX_LOCK 128

/* All that may be in the directory, apart from the lock. */
static const char *const sockets[] = {"vm.sock", "client.sock", "control.sock", NULL};
static const char *const kept[] = {"console.log",  "console.log.1", "qemu.log", "qemu.log.1",
                                   "failure.json", "window.img",    NULL};

struct CvdInstanceDir {
    char *path;
    int fd;
    int lock_fd;
};

char *cvd_instance_dir_path(const char *name)
{
    g_autofree char *base = cvd_instance_base_path();
    return g_build_filename(base, name, NULL);
}

static CvdInstanceDir *dir_new(const char *name)
{
    CvdInstanceDir *dir = g_new(CvdInstanceDir, 1);
    *dir = (CvdInstanceDir){.path = cvd_instance_dir_path(name), .fd = -1, .lock_fd = -1};
    return dir;
}

static void dir_free(CvdInstanceDir *dir)
{
    cvd_close_fd(&dir->lock_fd);
    cvd_close_fd(&dir->fd);
    g_free(dir->path);
    g_free(dir);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdInstanceDir, dir_free)

/* Makes @name in @parent if need be. Returns: its descriptor, or −1 */
static int open_private_dir(int parent, const char *name, const char *path, GError **error)
{
    struct stat st;
    cvd_autofd fd = -1;

    do { /* again when the one who stops there removes it in between */
        mode_t umask_of_user = umask(0);
        int r = mkdirat(parent, name, 0700);
        umask(umask_of_user);
        if (r < 0 && errno != EEXIST) {
            cvd_set_error_errno(error, CVD_ERROR_FAILED, errno,
                                "cannot make the runtime directory %s (set XDG_RUNTIME_DIR to "
                                "choose another place)",
                                path);
            return -1;
        }
        fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    } while (fd < 0 && errno == ENOENT);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int code = errno == ENOTDIR || errno == ELOOP ? CVD_ERROR_FOREIGN : CVD_ERROR_FAILED;
        cvd_set_error_errno(error, (CvdError)code, errno,
                            "cannot open the runtime directory %s (remove what is there, or set "
                            "XDG_RUNTIME_DIR to choose another place)",
                            path);
        return -1;
    }
    if (st.st_uid != geteuid()) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_FOREIGN,
                    "%s: belongs to uid %u, not to uid %u; remove it, or set XDG_RUNTIME_DIR to a "
                    "directory of your own",
                    path, st.st_uid, geteuid());
        return -1;
    }
    if ((st.st_mode & 07777) != 0700 && fchmod(fd, 0700) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot set mode 0700", path);
        return -1;
    }
    return g_steal_fd(&fd);
}

static gboolean is_removed(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_nlink == 0;
}

static gboolean open_dir(CvdInstanceDir *dir, GError **error)
{
    g_autofree char *base = g_path_get_dirname(dir->path);
    g_autofree char *name = g_path_get_basename(dir->path);

    for (;;) {
        g_autoptr(GError) reason = NULL;
        cvd_autofd base_fd = open_private_dir(AT_FDCWD, base, base, error);
        if (base_fd < 0)
            return FALSE;
        cvd_close_fd(&dir->fd);
        dir->fd = open_private_dir(base_fd, name, dir->path, &reason);
        if (dir->fd >= 0)
            return TRUE;
        /* The last instance that stops takes the directory of all along. */
        if (!is_removed(base_fd)) {
            g_propagate_error(error, g_steal_pointer(&reason));
            return FALSE;
        }
    }
}

/* Fails when logs stay, or when others are in there: both are fine. */
static void remove_dirs(const CvdInstanceDir *dir)
{
    g_autofree char *base = g_path_get_dirname(dir->path);

    if (rmdir(dir->path) == 0)
        rmdir(base);
}

/* The lock's content: who holds it, or held it last. */
static int read_pid(int lock_fd)
{
    char text[16] = "";

    if (pread(lock_fd, text, sizeof text - 1, 0) <= 0)
        return 0;
    return (int)g_ascii_strtoll(text, NULL, 10);
}

static gboolean write_pid(CvdInstanceDir *dir, GError **error)
{
    g_autofree char *text = g_strdup_printf("%d\n", getpid());

    if (ftruncate(dir->lock_fd, 0) < 0 || pwrite(dir->lock_fd, text, strlen(text), 0) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s/%s: cannot write", dir->path,
                            LOCK_FILE);
        return FALSE;
    }
    return TRUE;
}

typedef enum {
    LOCK_GOT,
    LOCK_AGAIN, /* somebody removed the lock or the directory just now */
    LOCK_ERROR,
} LockResult;

static LockResult try_lock(CvdInstanceDir *dir, const char *name, GError **error)
{
    struct stat ours, at_path;

    if (!open_dir(dir, error))
        return LOCK_ERROR;
    cvd_autofd fd =
        openat(dir->fd, LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0 && errno == ENOENT)
        return LOCK_AGAIN;
    if (fd < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot open %s/%s", dir->path,
                            LOCK_FILE);
        return LOCK_ERROR;
    }
    fchmod(fd, 0600);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK)
            g_set_error(error, CVD_ERROR, CVD_ERROR_BUSY,
                        "instance '%s' is already running (pid %d); stop it, or choose another "
                        "--name",
                        name, read_pid(fd));
        else
            cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot lock %s/%s", dir->path,
                                LOCK_FILE);
        return LOCK_ERROR;
    }
    if (fstat(fd, &ours) < 0 || fstatat(dir->fd, LOCK_FILE, &at_path, AT_SYMLINK_NOFOLLOW) < 0 ||
        ours.st_dev != at_path.st_dev || ours.st_ino != at_path.st_ino)
        return LOCK_AGAIN;
    dir->lock_fd = g_steal_fd(&fd);
    return LOCK_GOT;
}

/* Returns: whether @name may be removed from the directory; @is_kept: a failure leaves it there */
static gboolean is_ours(const char *name, gboolean *is_kept)
{
    *is_kept = g_strv_contains(kept, name);
    if (*is_kept || g_strv_contains(sockets, name))
        return TRUE;
    /* A listener that was killed before its rename leaves its temporary name. */
    for (gsize i = 0; sockets[i] != NULL; i++) {
        g_autofree char *temp_name = g_strdup_printf(".%s.new", sockets[i]);
        if (strcmp(name, temp_name) == 0)
            return TRUE;
    }
    return FALSE;
}

static gboolean remove_leftovers(CvdInstanceDir *dir, GError **error)
{
    int crashed_pid = read_pid(dir->lock_fd);
    g_autoptr(GString) removed = g_string_new(NULL);
    gboolean is_fine = TRUE;

    int list_fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = list_fd < 0 ? NULL : fdopendir(list_fd);
    if (list == NULL) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot read %s", dir->path);
        cvd_close_fd(&list_fd);
        return FALSE;
    }
    for (struct dirent *entry; is_fine && (entry = readdir(list)) != NULL;) {
        const char *name = entry->d_name;
        gboolean is_kept;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, LOCK_FILE) == 0)
            continue;
        if (!is_ours(name, &is_kept)) {
            g_set_error(error, CVD_ERROR, CVD_ERROR_FOREIGN,
                        "%s/%s: not one of the launcher's files; move it elsewhere", dir->path,
                        name);
            is_fine = FALSE;
        } else if (unlinkat(dir->fd, name, 0) < 0) {
            cvd_set_error_errno(error, CVD_ERROR_FOREIGN, errno, "%s/%s: cannot remove", dir->path,
                                name);
            is_fine = FALSE;
        } else if (!is_kept) {
            g_string_append_printf(removed, "%s%s", removed->len > 0 ? ", " : "", name);
        }
    }
    closedir(list);
    if (is_fine && crashed_pid > 0)
        g_message("%s: removed what a launcher that crashed (pid %d) left behind%s%s", dir->path,
                  crashed_pid, removed->len > 0 ? ": " : "", removed->str);
    return is_fine;
}

static gboolean lock(CvdInstanceDir *dir, const char *name, GError **error)
{
    LockResult result;

    do
        result = try_lock(dir, name, error);
    while (result == LOCK_AGAIN);
    return result == LOCK_GOT;
}

void cvd_instance_dir_record_vm(CvdInstanceDir *dir, const char *record)
{
    g_autofree char *text = g_strdup_printf("%d\n%s\n", getpid(), record);

    if (ftruncate(dir->lock_fd, 0) < 0 || pwrite(dir->lock_fd, text, strlen(text), 0) < 0)
        g_warning("%s/%s: cannot write: %s", dir->path, LOCK_FILE, g_strerror(errno));
}

/* Two VMs of one name, perhaps on one disk, must not be. */
static gboolean end_vms(CvdInstanceDir *dir, GError **error)
{
    char text[MAX_LOCK] = "";
    CvdProcessId id;

    const char *next =
        pread(dir->lock_fd, text, sizeof text - 1, 0) > 0 ? strchr(text, '\n') : NULL;
    while (next != NULL && cvd_process_id_parse(&next, &id)) {
        if (!cvd_process_id_is_alive(id))
            continue;
        if (cvd_process_id_end(id) < 0) {
            cvd_set_error_errno(error, CVD_ERROR_BUSY, errno,
                                "a launcher that crashed has left its QEMU (pid %d) running, which "
                                "cannot be ended",
                                id.pid);
            return FALSE;
        }
        g_message("ended the QEMU (pid %d) that a launcher that crashed has left running", id.pid);
    }
    return TRUE;
}

static gboolean take_over(CvdInstanceDir *dir, GError **error)
{
    if (end_vms(dir, error) && remove_leftovers(dir, error) && write_pid(dir, error))
        return TRUE;
    if (read_pid(dir->lock_fd) <= 0 || read_pid(dir->lock_fd) == getpid())
        unlinkat(dir->fd, LOCK_FILE, 0); /* made by us: the next start is no crash's heir */
    return FALSE;
}

CvdInstanceDir *cvd_instance_dir_acquire(const char *name, GError **error)
{
    g_autoptr(CvdInstanceDir) dir = dir_new(name);

    if (lock(dir, name, error) && take_over(dir, error))
        return g_steal_pointer(&dir);
    if (dir->fd >= 0)
        remove_dirs(dir); /* of our own, and made for nothing if they are empty */
    return NULL;
}

static void remove_files(CvdInstanceDir *dir, const char *const *names)
{
    for (gsize i = 0; names[i] != NULL; i++)
        if (unlinkat(dir->fd, names[i], 0) < 0 && errno != ENOENT)
            g_warning("%s/%s: cannot remove: %s", dir->path, names[i], g_strerror(errno));
}

void cvd_instance_dir_release(CvdInstanceDir *dir, gboolean has_failed)
{
    static const char *const lock[] = {LOCK_FILE, NULL};

    remove_files(dir, sockets);
    if (!has_failed)
        remove_files(dir, kept);
    remove_files(dir, lock);
    remove_dirs(dir);
    dir_free(dir);
}

const char *cvd_instance_dir_get_path(const CvdInstanceDir *dir)
{
    return dir->path;
}

int cvd_instance_dir_create_file(CvdInstanceDir *dir, const char *file, GError **error)
{
    g_assert(g_strv_contains(kept, file));

    int fd = -1;
    if (unlinkat(dir->fd, file, 0) == 0 || errno == ENOENT)
        fd = openat(dir->fd, file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot create %s/%s", dir->path, file);
    else
        fchmod(fd, 0600); /* whatever the umask is */
    return fd;
}

int cvd_instance_dir_rotate_log(CvdInstanceDir *dir, const char *file, GError **error)
{
    g_autofree char *older = g_strdup_printf("%s.1", file);
    g_assert(g_strv_contains(kept, file) && g_strv_contains(kept, older));

    if (renameat(dir->fd, file, dir->fd, older) < 0 && errno != ENOENT) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot rename %s/%s", dir->path, file);
        return -1;
    }
    return cvd_instance_dir_create_file(dir, file, error);
}
