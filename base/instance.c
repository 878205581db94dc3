/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a lock is held is read from /proc/locks: trying to take it, be it for a moment, could
 * turn away a launcher that starts just then. A line of it ends with the holder's pid, the file's
 * device and inode, and the range; devices are numbered otherwise than in stat(2) on some file
 * systems, so the pid in the lock's own content is compared in their place.
 */
#include "base/instance.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_NAMED 16 /* instances in a message */

static void add_place(GPtrArray *places, char *take_path)
{
    if (g_ptr_array_find_with_equal_func(places, take_path, g_str_equal, NULL))
        g_free(take_path);
    else
        g_ptr_array_add(places, take_path);
}

/* One that is not there yet can still be made by whoever names it. */
static gboolean is_own_or_missing(const char *dir)
{
    struct stat st;

    return stat(dir, &st) < 0 || st.st_uid == geteuid();
}

char **cvd_instance_get_places(void)
{
    GPtrArray *places = g_ptr_array_new();
    const char *runtime_dir = g_getenv("XDG_RUNTIME_DIR");
    g_autofree char *usual_dir = g_strdup_printf("/run/user/%u", geteuid());

    if (runtime_dir != NULL && g_path_is_absolute(runtime_dir) && is_own_or_missing(runtime_dir))
        add_place(places, g_build_filename(runtime_dir, "cvd", NULL));
    if (geteuid() == 0)
        add_place(places, g_strdup("/run/cvd"));
    if (g_file_test(usual_dir, G_FILE_TEST_IS_DIR) && is_own_or_missing(usual_dir))
        add_place(places, g_build_filename(usual_dir, "cvd", NULL));
    add_place(places, g_strdup_printf("%s/cvd-%u", g_get_tmp_dir(), geteuid()));
    add_place(places, g_strdup_printf("/tmp/cvd-%u", geteuid()));
    g_ptr_array_add(places, NULL);
    return (char **)g_ptr_array_free(places, FALSE);
}

char *cvd_instance_base_path(void)
{
    g_auto(GStrv) places = cvd_instance_get_places();

    return g_strdup(places[0]);
}

static gboolean is_in_locks(int pid, guint64 inode)
{
    g_autofree char *locks = NULL;
    g_autofree char *wanted = g_strdup_printf(" %d ", pid);
    g_autofree char *file = g_strdup_printf(":%" G_GUINT64_FORMAT " ", inode);

    if (!g_file_get_contents("/proc/locks", &locks, NULL, NULL))
        return FALSE;
    g_auto(GStrv) lines = g_strsplit(locks, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        if (strstr(*line, " FLOCK ") != NULL && strstr(*line, wanted) != NULL &&
            strstr(*line, file) != NULL)
            return TRUE;
    return FALSE;
}

pid_t cvd_instance_get_pid(const char *dir)
{
    g_autofree char *path = g_build_filename(dir, "lock", NULL);
    char text[16] = "";
    struct stat st;

    cvd_autofd fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || pread(fd, text, sizeof text - 1, 0) <= 0)
        return 0;
    int pid = (int)g_ascii_strtoll(text, NULL, 10);
    return pid > 0 && is_in_locks(pid, st.st_ino) ? pid : 0;
}

gboolean cvd_instance_is_running(const char *dir)
{
    return cvd_instance_get_pid(dir) != 0;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static gboolean has_failed(const char *dir)
{
    g_autofree char *record = g_build_filename(dir, "failure.json", NULL);

    return !cvd_instance_is_running(dir) && g_file_test(record, G_FILE_TEST_IS_REGULAR);
}

static GPtrArray *list(const char *base, CvdInstances which)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(base, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(base, name, NULL);
        if (which == CVD_INSTANCES_RUNNING ? cvd_instance_is_running(path) : has_failed(path))
            g_ptr_array_add(names, g_strdup(name));
    }
    g_ptr_array_sort(names, compare_names);
    return names;
}

static char *join_names(GPtrArray *names)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < names->len && i < MAX_NAMED; i++)
        g_string_append_printf(text, "%s%s", i > 0 ? ", " : "",
                               (const char *)g_ptr_array_index(names, i));
    if (names->len > MAX_NAMED)
        g_string_append(text, ", …");
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static char *find_only(const char *base, GError **error)
{
    g_autoptr(GPtrArray) names = list(base, CVD_INSTANCES_RUNNING);

    if (names->len == 1)
        return g_strdup(g_ptr_array_index(names, 0));
    if (names->len == 0) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_CLOSED,
                    "%s: no instance runs there; start one with cvd-launch", base);
    } else {
        g_autofree char *all = join_names(names);
        g_set_error(error, CVD_ERROR, CVD_ERROR_BUSY, "%u instances run: %s; choose with --name",
                    names->len, all);
    }
    return NULL;
}

/* In /tmp anybody could have made it, to have us talk to a server of theirs. */
static gboolean check_owner(const char *base, GError **error)
{
    struct stat st;

    if (lstat(base, &st) < 0 || (S_ISDIR(st.st_mode) && st.st_uid == geteuid()))
        return TRUE;
    g_set_error(error, CVD_ERROR, CVD_ERROR_FOREIGN,
                "%s: is not a directory of uid %u; set XDG_RUNTIME_DIR", base, geteuid());
    return FALSE;
}

static gboolean check_name(const char *name, GError **error)
{
    if (*name && name[0] != '.' && strchr(name, '/') == NULL)
        return TRUE;
    g_set_error(error, CVD_ERROR, CVD_ERROR_INVALID, "'%s' is no instance's name", name);
    return FALSE;
}

GPtrArray *cvd_instance_list(CvdInstances which, GError **error)
{
    g_autofree char *base = cvd_instance_base_path();

    return check_owner(base, error) ? list(base, which) : NULL;
}

char *cvd_instance_get_dir(const char *name, GError **error)
{
    g_autofree char *base = cvd_instance_base_path();

    if (!check_name(name, error) || !check_owner(base, error))
        return NULL;
    return g_build_filename(base, name, NULL);
}

char *cvd_instance_find_socket(const char *name, const char *file, GError **error)
{
    g_autofree char *base = cvd_instance_base_path();
    g_autofree char *found = NULL;
    struct stat st;

    if ((name != NULL && !check_name(name, error)) || !check_owner(base, error))
        return NULL;
    if (name == NULL) {
        found = find_only(base, error);
        if (found == NULL)
            return NULL;
        name = found;
    }
    g_autofree char *dir = g_build_filename(base, name, NULL);
    g_autofree char *path = g_build_filename(dir, file, NULL);
    if (!cvd_instance_is_running(dir)) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_CLOSED, "instance '%s' does not run (looked in %s)",
                    name, dir);
        return NULL;
    }
    if (lstat(path, &st) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_CLOSED, errno,
                            "%s (if the configuration puts it elsewhere, give --socket)", path);
        return NULL;
    }
    return g_steal_pointer(&path);
}
