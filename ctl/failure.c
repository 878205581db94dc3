/* SPDX-License-Identifier: Apache-2.0 */
/* What an instance that has failed left in its directory, and forget, which removes it. */
#include "ctl/task.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/instance.h"
#include "base/json.h"
#include "base/lock-file.h"
#include "base/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

void cvd_ctl_failure_free(CvdCtlFailure *failure)
{
    g_free(failure->name);
    g_free(failure->dir);
    g_free(failure->reason);
    g_free(failure->time);
    g_free(failure);
}

static char *get_text(JsonNode *root, const char *member)
{
    JsonNode *node = root != NULL && JSON_NODE_HOLDS_OBJECT(root)
                         ? json_object_get_member(json_node_get_object(root), member)
                         : NULL;
    gboolean is_text = node != NULL && json_node_get_value_type(node) == G_TYPE_STRING;

    return g_strdup(is_text ? json_node_get_string(node) : "");
}

/* A record beside a crash is that of an earlier failure. */
CvdCtlFailure *cvd_ctl_failure_load(const char *dir)
{
    gboolean has_crashed = cvd_instance_has_crashed(dir);
    cvd_autofd dir_fd = cvd_ctl_open_dir(dir, NULL);
    cvd_autofd fd =
        dir_fd < 0 || has_crashed ? -1 : cvd_ctl_open_file(dir_fd, "failure.json", NULL);
    gsize size;

    if (fd < 0 && !has_crashed)
        return NULL;
    g_autofree char *text = fd >= 0 ? cvd_ctl_read(fd, CVD_JSON_MAX_SIZE, &size, NULL) : NULL;
    g_autoptr(JsonNode) root = text != NULL ? cvd_json_from_string(text, NULL) : NULL;
    CvdCtlFailure *failure = g_new0(CvdCtlFailure, 1);
    failure->name = g_path_get_basename(dir);
    failure->dir = g_strdup(dir);
    failure->reason = has_crashed ? g_strdup("cvd-launch ended without a word (killed?)")
                                  : get_text(root, "reason");
    failure->time = get_text(root, "time");
    return failure;
}

static CvdCtlFailure *load_named(const char *name)
{
    g_autofree char *dir = cvd_instance_get_dir(name, NULL);

    return dir != NULL && !cvd_instance_is_running(dir) ? cvd_ctl_failure_load(dir) : NULL;
}

CvdCtlFailure *cvd_ctl_failure_find(const char *name)
{
    if (name != NULL)
        return load_named(name);
    g_autoptr(GPtrArray) dirs = cvd_instance_list(CVD_INSTANCES_FAILED, NULL);
    return dirs != NULL && dirs->len == 1 ? cvd_ctl_failure_load(g_ptr_array_index(dirs, 0)) : NULL;
}

/* ---- forget ---- */

/* Whoever holds the lock starts just now. It is there only if the launcher was killed. */
static gboolean lock(int dir_fd, int *lock_fd)
{
    *lock_fd = openat(dir_fd, "lock", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    return (*lock_fd < 0 && errno == ENOENT) ||
           (*lock_fd >= 0 && flock(*lock_fd, LOCK_EX | LOCK_NB) == 0);
}

/* As the next start would. A note of another user's may name any process. */
static gboolean end_vms(int dir_fd, int lock_fd, GError **error)
{
    g_autofree char *note = lock_fd >= 0 ? cvd_lock_file_read_note(lock_fd) : NULL;
    struct stat st;

    return note == NULL || fstat(dir_fd, &st) < 0 || st.st_uid != geteuid() ||
           cvd_process_end_all(note, error);
}

static gboolean remove_program_logs(const char *dir, int dir_fd, GError **error)
{
    cvd_autofd programs_fd = cvd_ctl_open_programs(dir_fd);
    g_autoptr(GPtrArray) names = cvd_ctl_list_program_logs(programs_fd);

    for (guint i = 0; i < names->len; i++)
        if (unlinkat(programs_fd, g_ptr_array_index(names, i), 0) < 0 && errno != ENOENT)
            return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno,
                                       "%s/" CVD_INSTANCE_PROGRAMS "/%s", dir,
                                       (const char *)g_ptr_array_index(names, i));
    unlinkat(dir_fd, CVD_INSTANCE_PROGRAMS, AT_REMOVEDIR); /* unless there is more */
    return TRUE;
}

/* Those of host programs have names that the configuration gives. */
static void remove_sockets(int dir_fd)
{
    cvd_autofd fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    struct stat st;

    if (list == NULL)
        return;
    fd = -1; /* it is the list's */
    while ((entry = readdir(list)) != NULL)
        if (g_str_has_suffix(entry->d_name, ".sock") &&
            fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode))
            unlinkat(dir_fd, entry->d_name, 0);
    closedir(list);
}

static gboolean remove_files(const char *dir, GError **error)
{
    static const char *const names[] = {"console.log", "console.log.1", "qemu.log",
                                        "qemu.log.1",  "launcher.log",  "launcher.log.1",
                                        "window.img",  "failure.json",  "control.sock",
                                        "client.sock", "vm.sock",       "lock"};
    cvd_autofd dir_fd = cvd_ctl_open_dir(dir, error);
    cvd_autofd lock_fd = -1;

    if (dir_fd < 0)
        return FALSE;
    if (!lock(dir_fd, &lock_fd))
        return cvd_set_error_errno(error, CVD_ERROR_BUSY, errno, "%s: cannot be locked", dir);
    if (!end_vms(dir_fd, lock_fd, error))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        if (unlinkat(dir_fd, names[i], 0) < 0 && errno != ENOENT)
            return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s/%s", dir, names[i]);
    if (!remove_program_logs(dir, dir_fd, error))
        return FALSE;
    remove_sockets(dir_fd);
    rmdir(dir); /* unless there is more */
    return TRUE;
}

static gboolean fail_without_name(GError **error)
{
    g_autoptr(GPtrArray) dirs = cvd_instance_list(CVD_INSTANCES_FAILED, error);
    g_autoptr(GString) names = g_string_new(NULL);

    if (dirs == NULL)
        return FALSE;
    if (dirs->len == 0)
        return cvd_fail(error, CVD_ERROR_CLOSED, "no instance has failed");
    for (guint i = 0; i < dirs->len; i++)
        g_string_append_printf(names, "%s%s", i > 0 ? ", " : "",
                               strrchr(g_ptr_array_index(dirs, i), '/') + 1);
    return cvd_fail(error, CVD_ERROR_BUSY, "%u instances have failed: %s; choose with --name",
                    dirs->len, names->str);
}

gboolean cvd_ctl_forget(CvdTool *tool, char **arguments, GError **error)
{
    const CvdCtlOrder order = {.done = "forgotten", .treat_failed = remove_files};

    if (tool->group != NULL)
        return cvd_ctl_run_on_group(tool, &order, error);
    g_autoptr(CvdCtlFailure) failure = cvd_ctl_failure_find(tool->name);
    if (failure != NULL)
        return remove_files(failure->dir, error);
    if (tool->name == NULL)
        return fail_without_name(error);
    g_autoptr(GError) reason = NULL;
    g_autofree char *dir = cvd_instance_get_dir(tool->name, error);
    cvd_autofd dir_fd = dir != NULL ? cvd_ctl_open_dir(dir, &reason) : -1;
    if (dir_fd < 0 && g_error_matches(reason, CVD_ERROR, CVD_ERROR_FOREIGN))
        return cvd_pass_error(error, &reason);
    return dir != NULL &&
           cvd_fail(error, CVD_ERROR_CLOSED, "instance '%s' %s", tool->name,
                    cvd_instance_is_running(dir) ? "runs; stop it first"
                                                 : "does not run, and no failure of it is known");
}
