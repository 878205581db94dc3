/* SPDX-License-Identifier: Apache-2.0 */
/* Files of an instance's directory, which another user may have made, and descriptors that an
 * instance passes. Nothing is mapped: who made a file can truncate it. */
#include "ctl/ctl.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* As a launcher makes it. Else somebody has put a link in place of a directory above it. */
int cvd_ctl_open_dir(const char *dir, GError **error)
{
    g_autofree char *place = g_path_get_dirname(dir);
    cvd_autofd fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat ours, above;

    if (fd < 0 || fstat(fd, &ours) < 0 || lstat(place, &above) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_CLOSED, errno, "%s", dir);
        return -1;
    }
    if (ours.st_uid == above.st_uid)
        return g_steal_fd(&fd);
    cvd_fail(error, CVD_ERROR_FOREIGN, "%s: belongs to uid %u, but %s to uid %u", dir, ours.st_uid,
             place, above.st_uid);
    return -1;
}

int cvd_ctl_open_file(int dir_fd, const char *name, GError **error)
{
    cvd_autofd fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_CLOSED, errno, "%s", name);
        return -1;
    }
    if (S_ISREG(st.st_mode))
        return g_steal_fd(&fd);
    cvd_fail(error, CVD_ERROR_FOREIGN, "%s: is not a regular file", name);
    return -1;
}

int cvd_ctl_get_fd(GUnixFDList *list, int index, GError **error)
{
    if (list != NULL && index >= 0 && index < g_unix_fd_list_get_length(list))
        return g_unix_fd_list_get(list, index, error);
    cvd_fail(error, CVD_ERROR_PROTOCOL, "cvd-launch has passed no descriptor");
    return -1;
}

off_t cvd_ctl_get_window_size(const char *record)
{
    static const char *const path[] = {"config", "layout", "window_size"};
    g_autoptr(JsonReader) reader = json_reader_new(NULL);
    g_autoptr(JsonNode) root = cvd_json_from_string(record, NULL);

    if (root == NULL)
        return 0;
    json_reader_set_root(reader, root);
    for (gsize i = 0; i < G_N_ELEMENTS(path); i++)
        json_reader_read_member(reader, path[i]);
    return MAX(json_reader_get_int_value(reader), 0);
}

/* Bytes that are not there any more become zeros. */
char *cvd_ctl_read(int fd, gsize max_size, gsize *size, GError **error)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (guint64)st.st_size > max_size) {
        cvd_fail(error, CVD_ERROR_PROTOCOL, "it is no file of at most %" G_GSIZE_FORMAT " bytes",
                 max_size);
        return NULL;
    }
    g_autofree char *bytes = g_malloc0((gsize)st.st_size + 1);
    *size = (gsize)st.st_size;
    for (gsize at = 0; at < *size;) {
        gssize n = pread(fd, bytes + at, *size - at, (off_t)at);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR) {
            cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot read");
            return NULL;
        }
        at += (gsize)MAX(n, 0);
    }
    return g_steal_pointer(&bytes);
}
