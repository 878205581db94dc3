/* SPDX-License-Identifier: Apache-2.0 */
#include "base/snapshot-place.h"

#include "base/error.h"
#include "base/instance.h"
#include "base/snapshot-dir.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* What is made beside it has a longer name. */
#define MAX_PATH_NAME 200

char *cvd_snapshot_get_place(GError **error)
{
    const char *dir = g_getenv("CVD_SNAPSHOT_DIR");

    if (dir != NULL && dir[0] != '\0') {
        if (g_path_is_absolute(dir))
            return g_canonicalize_filename(dir, "/");
        cvd_fail(error, CVD_ERROR_INVALID, "CVD_SNAPSHOT_DIR: %s is not an absolute path", dir);
        return NULL;
    }
    if (geteuid() == 0)
        return g_strdup("/var/lib/cvd/snapshots");
    return g_build_filename(g_get_user_state_dir(), "cvd", "snapshots", NULL);
}

static char *get_free_path(const char *path, GError **error)
{
    g_autofree char *absolute = g_canonicalize_filename(path, NULL);
    g_autofree char *name = g_path_get_basename(absolute);

    if (cvd_snapshot_dir_is_temporary(name))
        cvd_fail(
            error, CVD_ERROR_INVALID,
            "%s: no snapshot can have that name, which is of one that is being made or deleted",
            path);
    else if (strcmp(absolute, "/") == 0 || strlen(name) > MAX_PATH_NAME)
        cvd_fail(error, CVD_ERROR_INVALID, "%s: no snapshot can have that path", path);
    else
        return g_steal_pointer(&absolute);
    return NULL;
}

char *cvd_snapshot_get_path(const char *name, GError **error)
{
    if (strchr(name, '/') != NULL)
        return get_free_path(name, error);
    if (!cvd_instance_check_name(name, NULL)) {
        cvd_fail(error, CVD_ERROR_INVALID,
                 "'%s' is no snapshot's name, which begins with a letter or digit, and has up to "
                 "32 of them and of _.-; a path has a /",
                 name);
        return NULL;
    }
    g_autofree char *place = cvd_snapshot_get_place(error);
    return place != NULL ? g_build_filename(place, name, NULL) : NULL;
}

gboolean cvd_snapshot_make_place(const char *path, GError **error)
{
    g_autofree char *parent = g_path_get_dirname(path);
    g_autofree char *place = cvd_snapshot_get_place(NULL);

    return g_strcmp0(parent, place) != 0 || g_mkdir_with_parents(parent, 0700) == 0 ||
           cvd_set_error_errno(error, CVD_ERROR_FAILED, errno,
                               "%s: cannot be made; set CVD_SNAPSHOT_DIR to a directory that can",
                               parent);
}
