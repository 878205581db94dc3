/* SPDX-License-Identifier: Apache-2.0 */
#include "base/private-dir.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

char *cvd_describe_user(uid_t uid)
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

int cvd_private_dir_open(int parent_fd, const char *name, const char *path, GError **error)
{
    struct stat st;
    cvd_autofd fd = -1;
    int r;

    do { /* again when the one who stops there removes it in between */
        mode_t umask_of_user = umask(0);
        r = mkdirat(parent_fd, name, CVD_PRIVATE_DIR_MADE);
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
        g_autofree char *owner = cvd_describe_user(st.st_uid);
        g_set_error(error, CVD_ERROR, CVD_ERROR_FOREIGN,
                    "%s: belongs to %s, not to uid %u; have its owner remove it, or set "
                    "XDG_RUNTIME_DIR to a directory of your own",
                    path, owner, geteuid());
        return -1;
    }
    if (r < 0 && !check_mode(st.st_mode, path, error))
        return -1;
    if (r == 0)
        fchmod(fd, CVD_PRIVATE_DIR_MADE); /* some file systems leave the sticky bit out */
    return g_steal_fd(&fd);
}

gboolean cvd_private_dir_is_removed(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_nlink == 0;
}

mode_t cvd_private_dir_get_mode(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? st.st_mode & 05777 : 0;
}
