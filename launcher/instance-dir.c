/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything happens relative to descriptors of directories that were opened without following
 * links and checked for their owner, so that nobody can lead us elsewhere.
 *
 * Two locks say who has an instance: that of the directory, which cannot be lost as a file can that
 * somebody removes, and that of the lock file, for a directory that others may open. What holds the
 * first, tmpfiles.d(5) says, a cleaner of /tmp leaves alone; so the directory that instances share
 * is locked, too, though by all of them.
 *
 * A directory that was there before is an administrator's or a service manager's, and stays as it
 * is. Those that launchers make have the sticky bit, which says nothing else of a directory that
 * one user alone can write to: the shared one always, an instance's while nobody has it. One with
 * the usual mode and a lock in it is what a crash left.
 */
#include "launcher/instance-dir.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/instance.h"
#include "base/lock-file.h"
#include "base/process.h"
#include "base/snapshot-format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_FILE "lock"
/* The sticky bit distinguishes what launchers have made. */
#define MODE_MADE (S_ISVTX | 0700)
/* How long a cleaner may keep a directory that it looks through. */
#define LOCK_ATTEMPTS 20
#define LOCK_PAUSE_MS 10

/* All that may be in the directory, apart from the lock and the logs of host programs. */
static const char *const kept[] = {"console.log",  "console.log.1",  "qemu.log",
                                   "qemu.log.1",   "failure.json",   "window.img",
                                   "launcher.log", "launcher.log.1", NULL};

struct CvdInstanceDir {
    char *path;
    char *name;
    int shared_fd; /* the directory of all instances */
    int fd;
    int lock_fd;
    gboolean is_made; /* by a launcher */
};

/* Name and number, for messages. */
static char *describe_user(uid_t uid)
{
    const struct passwd *user = getpwuid(uid);

    return user != NULL ? g_strdup_printf("%s (uid %u)", user->pw_name, uid)
                        : g_strdup_printf("uid %u", uid);
}

/* A group's directory, as 2770, is an administrator's choice. */
static gboolean check_mode(mode_t mode, const char *path, GError **error)
{
    gboolean is_everybodys = (mode & S_IWOTH) != 0;

    if (is_everybodys && (mode & S_ISVTX) == 0)
        return cvd_fail(error, CVD_ERROR_FOREIGN,
                        "%s: everybody may write there (mode %04o); make it yours with chmod 0700, "
                        "or set XDG_RUNTIME_DIR to another directory",
                        path, mode & 07777);
    if (is_everybodys || ((mode & S_IWGRP) != 0 && (mode & S_ISGID) == 0))
        g_warning("%s: others may write there (mode %04o), and so replace the instance's sockets; "
                  "0700 is for its user alone",
                  path, mode & 07777);
    return TRUE;
}

/* Opens a runtime directory of this user's, without following a link, and makes it if need be. The
 * mode of one that was there stays. @path: the whole path, for messages */
static int open_private(int parent_fd, const char *name, const char *path, GError **error)
{
    struct stat st;
    cvd_autofd fd = -1;
    int r;

    do { /* again when the one who stops there removes it in between */
        mode_t umask_of_user = umask(0);
        r = mkdirat(parent_fd, name, MODE_MADE);
        umask(umask_of_user);
        if (r < 0 && errno != EEXIST) {
            cvd_set_error_errno(error, CVD_ERROR_FAILED, errno,
                                "cannot make the runtime directory %s (set XDG_RUNTIME_DIR to "
                                "choose another place)",
                                path);
            return -1;
        }
        fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
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
        g_autofree char *owner = describe_user(st.st_uid);
        g_set_error(error, CVD_ERROR, CVD_ERROR_FOREIGN,
                    "%s: belongs to %s, not to uid %u; have its owner remove it, or set "
                    "XDG_RUNTIME_DIR to a directory of your own",
                    path, owner, geteuid());
        return -1;
    }
    if (r < 0 && !check_mode(st.st_mode, path, error))
        return -1;
    if (r == 0)
        fchmod(fd, MODE_MADE); /* some file systems leave the sticky bit out */
    return g_steal_fd(&fd);
}

static gboolean is_removed(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_nlink == 0;
}

/* Without the bit that a directory may have from its parent. */
static mode_t get_mode(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? st.st_mode & 05777 : 0;
}

char *cvd_instance_dir_path(const char *name)
{
    g_autofree char *base = cvd_instance_base_path();
    return g_build_filename(base, name, NULL);
}

static CvdInstanceDir *dir_new(const char *name)
{
    CvdInstanceDir *dir = g_new(CvdInstanceDir, 1);
    *dir = (CvdInstanceDir){.path = cvd_instance_dir_path(name),
                            .name = g_strdup(name),
                            .shared_fd = -1,
                            .fd = -1,
                            .lock_fd = -1};
    return dir;
}

static void dir_free(CvdInstanceDir *dir)
{
    cvd_close_fd(&dir->lock_fd);
    cvd_close_fd(&dir->fd);
    cvd_close_fd(&dir->shared_fd);
    g_free(dir->path);
    g_free(dir->name);
    g_free(dir);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdInstanceDir, dir_free)

static gboolean open_dir(CvdInstanceDir *dir, GError **error)
{
    g_autofree char *shared = g_path_get_dirname(dir->path);

    for (;;) {
        g_autoptr(GError) reason = NULL;
        cvd_close_fd(&dir->fd);
        cvd_close_fd(&dir->shared_fd);
        dir->shared_fd = open_private(AT_FDCWD, shared, shared, error);
        if (dir->shared_fd < 0)
            return FALSE;
        dir->fd = open_private(dir->shared_fd, dir->name, dir->path, &reason);
        if (dir->fd >= 0)
            return TRUE;
        /* The last instance that stops takes the directory of all along. */
        if (!is_removed(dir->shared_fd)) {
            g_propagate_error(error, g_steal_pointer(&reason));
            return FALSE;
        }
    }
}

/* Fails when logs stay, or when others are in there: both are fine. */
static void remove_dirs(const CvdInstanceDir *dir)
{
    g_autofree char *shared = g_path_get_dirname(dir->path);

    if (cvd_fd_is_at(dir->fd, dir->shared_fd, dir->name) &&
        unlinkat(dir->shared_fd, dir->name, AT_REMOVEDIR) == 0 &&
        get_mode(dir->shared_fd) == MODE_MADE && cvd_fd_is_at(dir->shared_fd, AT_FDCWD, shared))
        rmdir(shared);
}

static gboolean set_busy_error(const CvdInstanceDir *dir, pid_t holder, GError **error)
{
    g_autofree char *who = holder > 0    ? g_strdup_printf("pid %d", holder)
                           : holder == 0 ? g_strdup("its lock file was removed")
                                         : g_strdup("its process is out of sight");

    return cvd_fail(error, CVD_ERROR_BUSY,
                    "instance '%s' is already running (%s); stop it, or choose another --name",
                    dir->name, who);
}

/* Others can open it, so whoever they are, their locks mean nothing. */
static gboolean is_open_to_others(const CvdInstanceDir *dir)
{
    return (get_mode(dir->fd) & 077) != 0;
}

/* Returns: whether nobody else has it; on a file system without locks, too */
static gboolean lock_directory(const CvdInstanceDir *dir)
{
    return flock(dir->fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK || is_open_to_others(dir);
}

/* Returns: whether it has the lock; without an error if not: somebody removed the directory just
 * now */
static gboolean try_lock(CvdInstanceDir *dir, GError **error)
{
    pid_t holder;

    if (!open_dir(dir, error))
        return FALSE;
    gboolean has_directory = lock_directory(dir);
    dir->lock_fd = cvd_lock_file_take(dir->fd, LOCK_FILE, &holder);
    if (dir->lock_fd < 0 && errno == EWOULDBLOCK)
        return set_busy_error(dir, holder, error);
    if (dir->lock_fd < 0 && errno == ENOENT)
        return FALSE;
    if (dir->lock_fd < 0 && (errno == EINVAL || errno == EISDIR || errno == ELOOP))
        return cvd_fail(error, CVD_ERROR_FOREIGN, "%s/%s: is not a regular file; remove it",
                        dir->path, LOCK_FILE);
    if (dir->lock_fd < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno,
                                   "cannot lock %s/%s; set XDG_RUNTIME_DIR to a directory whose "
                                   "file system has locks",
                                   dir->path, LOCK_FILE);
    for (guint i = 0; !has_directory && i < LOCK_ATTEMPTS; i++) {
        poll(NULL, 0, LOCK_PAUSE_MS);
        has_directory = lock_directory(dir);
    }
    if (!has_directory)
        return set_busy_error(dir, 0, error);
    if (!cvd_fd_is_at(dir->fd, dir->shared_fd, dir->name))
        return FALSE;
    flock(dir->shared_fd, LOCK_SH | LOCK_NB);
    return TRUE;
}

static gboolean is_program_log(const char *file)
{
    g_autofree char *program = cvd_instance_parse_log(file);

    return program != NULL;
}

/* Returns: −1 with `errno` set: there is none, or it is not ours */
static int open_programs_dir(const CvdInstanceDir *dir)
{
    cvd_autofd fd =
        openat(dir->fd, CVD_INSTANCE_PROGRAMS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -1;
    if (st.st_uid == geteuid())
        return g_steal_fd(&fd);
    errno = EPERM;
    return -1;
}

static DIR *list_programs_dir(const CvdInstanceDir *dir)
{
    cvd_autofd fd = open_programs_dir(dir);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;

    if (list != NULL)
        fd = -1; /* it is the list's */
    return list;
}

static gboolean check_programs_dir(const CvdInstanceDir *dir, GError **error)
{
    DIR *list = list_programs_dir(dir);
    const struct dirent *entry;
    gboolean is_ours = TRUE;

    if (list == NULL)
        return errno == ENOENT || cvd_set_error_errno(error, CVD_ERROR_FOREIGN, errno,
                                                      "%s/" CVD_INSTANCE_PROGRAMS
                                                      ": is no directory of ours; remove it",
                                                      dir->path);
    while (is_ours && (entry = readdir(list)) != NULL)
        is_ours = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                  is_program_log(entry->d_name) ||
                  cvd_fail(error, CVD_ERROR_FOREIGN,
                           "%s/" CVD_INSTANCE_PROGRAMS
                           "/%s: not one of the launcher's files; move it elsewhere",
                           dir->path, entry->d_name);
    closedir(list);
    return is_ours;
}

static void remove_program_logs(const CvdInstanceDir *dir)
{
    DIR *list = list_programs_dir(dir);
    const struct dirent *entry;

    if (list == NULL)
        return;
    while ((entry = readdir(list)) != NULL)
        if (is_program_log(entry->d_name) && unlinkat(dirfd(list), entry->d_name, 0) < 0)
            g_warning("%s/" CVD_INSTANCE_PROGRAMS "/%s: cannot remove: %s", dir->path,
                      entry->d_name, g_strerror(errno));
    closedir(list);
    unlinkat(dir->fd, CVD_INSTANCE_PROGRAMS, AT_REMOVEDIR); /* unless there is more */
}

/* Host programs and back ends have theirs here, too. */
static gboolean is_socket(const CvdInstanceDir *dir, const char *name)
{
    static const char *const ours[] = {"vm.sock", "client.sock", "control.sock", NULL};
    struct stat st;

    if (g_strv_contains(ours, name))
        return TRUE;
    return g_str_has_suffix(name, ".sock") &&
           fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode);
}

/* Of a VM from a snapshot, which means nothing without it. */
static gboolean is_disk(const char *name)
{
    return g_str_has_prefix(name, "disk-") && cvd_snapshot_is_file(name);
}

static void remove_disks(const CvdInstanceDir *dir)
{
    g_autoptr(GDir) list = g_dir_open(dir->path, 0, NULL);
    const char *name;

    while (list != NULL && (name = g_dir_read_name(list)) != NULL)
        if (is_disk(name) && unlinkat(dir->fd, name, 0) < 0)
            g_warning("%s/%s: cannot remove: %s", dir->path, name, g_strerror(errno));
}

static gboolean remove_leftover(const CvdInstanceDir *dir, const char *name, GString *removed,
                                GError **error)
{
    if (g_strv_contains(kept, name))
        return TRUE;
    if (strcmp(name, CVD_INSTANCE_PROGRAMS) == 0)
        return check_programs_dir(dir, error);
    if (!is_socket(dir, name) && !is_disk(name)) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_FOREIGN,
                    "%s/%s: not one of the launcher's files; move it elsewhere", dir->path, name);
        return FALSE;
    }
    if (unlinkat(dir->fd, name, 0) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FOREIGN, errno, "%s/%s: cannot remove",
                                   dir->path, name);
    g_string_append_printf(removed, "%s%s", removed->len > 0 ? ", " : ": ", name);
    return TRUE;
}

static gboolean remove_leftovers(CvdInstanceDir *dir, GError **error)
{
    pid_t crashed_pid = cvd_lock_file_read_pid(dir->lock_fd);
    g_autoptr(GString) removed = g_string_new(NULL);
    g_autoptr(GDir) list = g_dir_open(dir->path, 0, NULL);
    const char *name;

    if (list == NULL)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot read %s", dir->path);
    while ((name = g_dir_read_name(list)) != NULL)
        if (strcmp(name, LOCK_FILE) != 0 && !remove_leftover(dir, name, removed, error))
            return FALSE;
    if (crashed_pid > 0)
        g_message("%s: removed what a launcher that crashed (pid %d) left behind%s", dir->path,
                  crashed_pid, removed->str);
    return TRUE;
}

static gboolean lock(CvdInstanceDir *dir, GError **error)
{
    g_autoptr(GError) reason = NULL;

    while (!try_lock(dir, &reason)) {
        if (reason != NULL)
            return cvd_pass_error(error, &reason);
        cvd_close_fd(&dir->lock_fd);
    }
    return TRUE;
}

void cvd_instance_dir_record_processes(CvdInstanceDir *dir, const char *record)
{
    if (cvd_lock_file_write(dir->lock_fd, record) < 0)
        g_warning("%s/%s: cannot write: %s", dir->path, LOCK_FILE, g_strerror(errno));
}

/* Two VMs of one name, perhaps on one disk, must not be. */
static gboolean end_vms(CvdInstanceDir *dir, GError **error)
{
    g_autofree char *record = cvd_lock_file_read_note(dir->lock_fd);

    if (cvd_process_end_all(record, error))
        return TRUE;
    g_prefix_error(error, "a launcher that crashed has left a process running: ");
    return FALSE;
}

static void remove_lock(CvdInstanceDir *dir)
{
    if (cvd_fd_is_at(dir->lock_fd, dir->fd, LOCK_FILE))
        unlinkat(dir->fd, LOCK_FILE, 0);
    /* Some file systems keep what is still open, under another name. */
    cvd_close_fd(&dir->lock_fd);
}

static gboolean take_over(CvdInstanceDir *dir, GError **error)
{
    mode_t mode = get_mode(dir->fd);

    dir->is_made = mode == MODE_MADE || (mode == 0700 && cvd_lock_file_read_pid(dir->lock_fd) != 0);
    if (!end_vms(dir, error) || !remove_leftovers(dir, error))
        return FALSE;
    if (cvd_lock_file_write(dir->lock_fd, NULL) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s/%s: cannot write", dir->path,
                                   LOCK_FILE);
    if (dir->is_made)
        fchmod(dir->fd, 0700);
    return TRUE;
}

/* Started with another environment, as cron's and a login shell's are. */
static gboolean check_other_places(const CvdInstanceDir *dir, GError **error)
{
    g_auto(GStrv) places = cvd_instance_get_places();

    for (char **place = places; *place != NULL; place++) {
        g_autofree char *path = g_build_filename(*place, dir->name, NULL);
        if (strcmp(path, dir->path) == 0 || !cvd_instance_is_own_place(*place))
            continue;
        pid_t pid = cvd_instance_get_pid(path);
        if (pid == 0)
            continue;
        set_busy_error(dir, pid, error);
        g_prefix_error(error, "%s: ", path);
        return FALSE;
    }
    return TRUE;
}

/* As root's shell may have it from the user who became root. */
static void report_foreign_runtime_dir(const CvdInstanceDir *dir)
{
    const char *runtime_dir = g_getenv("XDG_RUNTIME_DIR");
    struct stat st;

    if (runtime_dir == NULL || g_getenv("CVD_RUNTIME_DIR") != NULL || stat(runtime_dir, &st) < 0 ||
        st.st_uid == geteuid())
        return;
    g_autofree char *owner = describe_user(st.st_uid);
    g_message("XDG_RUNTIME_DIR: %s belongs to %s; the runtime directory is %s", runtime_dir, owner,
              dir->path);
}

CvdInstanceDir *cvd_instance_dir_acquire(const char *name, GError **error)
{
    g_autoptr(CvdInstanceDir) dir = dir_new(name);

    report_foreign_runtime_dir(dir);
    if (!cvd_instance_check_base(error) || !check_other_places(dir, error))
        return NULL;
    if (lock(dir, error) && take_over(dir, error))
        return g_steal_pointer(&dir);
    /* Made by us: the next start does not follow a crash. */
    if (dir->lock_fd >= 0 && cvd_lock_file_read_pid(dir->lock_fd) == 0)
        remove_lock(dir);
    if (dir->fd >= 0 && get_mode(dir->fd) == MODE_MADE)
        remove_dirs(dir);
    return NULL;
}

void cvd_instance_dir_remove_records(CvdInstanceDir *dir)
{
    for (gsize i = 0; kept[i] != NULL; i++)
        if (unlinkat(dir->fd, kept[i], 0) < 0 && errno != ENOENT)
            g_warning("%s/%s: cannot remove: %s", dir->path, kept[i], g_strerror(errno));
    remove_program_logs(dir);
}

void cvd_instance_dir_release(CvdInstanceDir *dir, gboolean has_failed)
{
    if (!has_failed)
        cvd_instance_dir_remove_records(dir);
    remove_disks(dir);
    if (dir->is_made)
        fchmod(dir->fd, MODE_MADE); /* from here on the next one may come, and makes a lock */
    remove_lock(dir);
    if (dir->is_made)
        remove_dirs(dir);
    dir_free(dir);
}

const char *cvd_instance_dir_get_path(const CvdInstanceDir *dir)
{
    return dir->path;
}

static gboolean is_record(const char *file)
{
    return g_str_has_prefix(file, CVD_INSTANCE_PROGRAMS "/")
               ? is_program_log(file + strlen(CVD_INSTANCE_PROGRAMS "/"))
               : g_strv_contains(kept, file);
}

/* Returns: the directory that @file is in, made if need be; −1 with `errno` set. @name: its name
 * there */
static int open_parent(const CvdInstanceDir *dir, const char *file, const char **name)
{
    *name = file;
    if (!g_str_has_prefix(file, CVD_INSTANCE_PROGRAMS "/"))
        return fcntl(dir->fd, F_DUPFD_CLOEXEC, 0);
    *name = file + strlen(CVD_INSTANCE_PROGRAMS "/");
    if (mkdirat(dir->fd, CVD_INSTANCE_PROGRAMS, 0700) < 0 && errno != EEXIST)
        return -1;
    return open_programs_dir(dir);
}

/* In place of any that was there. Returns: −1 with `errno` set */
static int create(int parent_fd, const char *name)
{
    int fd = -1;

    if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT)
        fd = openat(parent_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0)
        fchmod(fd, 0600); /* whatever the umask is */
    return fd;
}

int cvd_instance_dir_create_file(CvdInstanceDir *dir, const char *file, GError **error)
{
    g_assert(is_record(file) || is_disk(file));

    const char *name;
    cvd_autofd parent_fd = open_parent(dir, file, &name);
    int fd = parent_fd >= 0 ? create(parent_fd, name) : -1;
    if (fd < 0)
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot create %s/%s", dir->path, file);
    return fd;
}

int cvd_instance_dir_rotate_log(CvdInstanceDir *dir, const char *file, GError **error)
{
    g_assert(is_record(file));

    const char *name;
    cvd_autofd parent_fd = open_parent(dir, file, &name);
    g_autofree char *older = g_strdup_printf("%s.1", name);
    if (parent_fd >= 0 && renameat(parent_fd, name, parent_fd, older) < 0 && errno != ENOENT) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot rename %s/%s", dir->path, file);
        return -1;
    }
    return cvd_instance_dir_create_file(dir, file, error);
}

int cvd_instance_dir_open_rotated(const CvdInstanceDir *dir, const char *file)
{
    g_autofree char *older = g_strdup_printf("%s.1", file);
    const char *name;
    cvd_autofd parent_fd = open_parent(dir, older, &name);

    return parent_fd < 0 ? -1 : openat(parent_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}
