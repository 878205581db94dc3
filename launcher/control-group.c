/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/control-group.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* In which the launchers are. */
#define LEAF "cvd-launch"
/* Processes may come while others are moved. */
#define MAX_ROUNDS 16

#define REMEDY                                                                                     \
    "; start cvd-launch in a control group that is delegated to it: systemd-run --user --scope "   \
    "-p Delegate=yes cvd-launch ..., or Delegate=yes in the unit of a service"

struct CvdControlGroup {
    char *dir;
    int procs_fd;
    guint64 n_oom_kills;
};

gboolean cvd_control_group_is_wanted(const CvdControlGroupLimits *limits)
{
    return limits->weight > 0 || limits->memory_bytes > 0;
}

static const char *get_key(const CvdControlGroupLimits *limits)
{
    return limits->weight > 0 ? "qemu.cpus.weight" : "qemu.memory_limit";
}

/* ---- Where ---- */

/* Returns: (transfer full) (nullable): the path in the hierarchy of version 2: `0::PATH` */
static char *find_path(const char *cgroup)
{
    g_auto(GStrv) lines = g_strsplit(cgroup, "\n", -1);

    for (char **line = lines; *line != NULL; line++)
        if (g_str_has_prefix(*line, "0::/"))
            return g_strdup(*line + strlen("0::"));
    return NULL;
}

/* A line has `ID PARENT DEVICE ROOT MOUNT-POINT OPTIONS … - TYPE SOURCE OPTIONS` (proc(5)); of the
 * hierarchy only ROOT is to be seen there. */
static char *find_below(const char *line, const char *path)
{
    g_auto(GStrv) fields = g_strsplit(line, " ", 6);

    if (g_strv_length(fields) < 6 || strstr(fields[5], " - cgroup2 ") == NULL)
        return NULL;
    g_autofree char *root = g_strcompress(fields[3]);
    g_autofree char *mount_point = g_strcompress(fields[4]);
    gsize length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != '\0'))
        return NULL;
    return g_canonicalize_filename(path + length + (path[length] == '/'), mount_point);
}

char *cvd_control_group_find(const char *mountinfo, const char *cgroup)
{
    g_autofree char *path = find_path(cgroup);
    g_auto(GStrv) lines = g_strsplit(mountinfo, "\n", -1);
    char *dir = NULL;

    /* A process in a namespace of control groups may be outside of it. */
    if (path == NULL || strstr(path, "/..") != NULL)
        return NULL;
    for (char **line = lines; *line != NULL && dir == NULL; line++)
        dir = find_below(*line, path);
    return dir;
}

/* Returns: (transfer full) (nullable): the control group of this process */
static char *find_own(const CvdControlGroupLimits *limits, GError **error)
{
    g_autofree char *mountinfo = NULL, *cgroup = NULL;
    char *dir = NULL;

    if (g_file_get_contents("/proc/self/mountinfo", &mountinfo, NULL, NULL) &&
        g_file_get_contents("/proc/self/cgroup", &cgroup, NULL, NULL))
        dir = cvd_control_group_find(mountinfo, cgroup);
    if (dir == NULL)
        cvd_fail(error, CVD_ERROR_FAILED,
                 "%s needs control groups of version 2, and this system has none; leave the key "
                 "out, or boot with systemd.unified_cgroup_hierarchy=1",
                 get_key(limits));
    return dir;
}

/* Returns: (transfer full): that which is delegated: the launcher's own, or, if another launcher
 * has put it there before it was started, the one above */
static char *get_delegated(const char *own)
{
    g_autofree char *name = g_path_get_basename(own);

    return strcmp(name, LEAF) == 0 ? g_path_get_dirname(own) : g_strdup(own);
}

/* ---- Files ---- */

static gboolean has_word(const char *dir, const char *file, const char *word)
{
    g_autofree char *path = g_build_filename(dir, file, NULL);
    g_autofree char *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return FALSE;
    g_auto(GStrv) words = g_strsplit(g_strchomp(text), " ", -1);
    return g_strv_contains((const char *const *)words, word);
}

/* Returns: whether it was written; if not, `errno` says why */
static gboolean write_file(const char *dir, const char *file, const char *text)
{
    g_autofree char *path = g_build_filename(dir, file, NULL);
    cvd_autofd fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd >= 0 && write(fd, text, strlen(text)) == (gssize)strlen(text);
}

static gboolean fail_with(GError **error, const CvdControlGroupLimits *limits, const char *dir,
                          const char *file)
{
    return cvd_fail(error, CVD_ERROR_FAILED, "%s: cannot write %s/%s: %s" REMEDY, get_key(limits),
                    dir, file, g_strerror(errno));
}

/* ---- Processes out of the way ---- */

/* Returns: whether it is a launcher, or who starts launchers */
static gboolean is_ours(pid_t pid)
{
    static const char *const names[] = {"cvd-launch\n", "cvd-up\n", NULL};
    g_autofree char *path = g_strdup_printf("/proc/%d/comm", pid);
    g_autofree char *name = NULL;

    return pid == getpid() ||
           (g_file_get_contents(path, &name, NULL, NULL) && g_strv_contains(names, name));
}

static gboolean move(const CvdControlGroupLimits *limits, const char *dir, const char *leaf,
                     const char *pid, GError **error)
{
    if (!is_ours(atoi(pid)))
        return cvd_fail(error, CVD_ERROR_FAILED,
                        "%s: other processes are in the control group %s, such as %s" REMEDY,
                        get_key(limits), dir, pid);
    return write_file(leaf, "cgroup.procs", pid) || errno == ESRCH ||
           fail_with(error, limits, leaf, "cgroup.procs");
}

/* Returns: −1 on an error, or how many were there */
static int move_all(const CvdControlGroupLimits *limits, const char *dir, const char *leaf,
                    GError **error)
{
    g_autofree char *path = g_build_filename(dir, "cgroup.procs", NULL);
    g_autofree char *text = NULL;
    int n = 0;

    if (!g_file_get_contents(path, &text, NULL, error))
        return -1;
    g_auto(GStrv) pids = g_strsplit(text, "\n", -1);
    for (char **pid = pids; *pid != NULL; pid++) {
        if (**pid == '\0')
            continue;
        n++;
        if (!move(limits, dir, leaf, *pid, error))
            return -1;
    }
    return n;
}

static gboolean make_room(const CvdControlGroupLimits *limits, const char *dir, GError **error)
{
    g_autofree char *leaf = g_build_filename(dir, LEAF, NULL);
    g_autofree char *type = g_build_filename(dir, "cgroup.type", NULL);
    int n = 1;

    if (!g_file_test(type, G_FILE_TEST_EXISTS))
        return TRUE; /* the root of all, where processes may stay */
    if (g_mkdir(leaf, 0755) < 0 && errno != EEXIST)
        return fail_with(error, limits, dir, LEAF);
    for (guint i = 0; i < MAX_ROUNDS && n > 0; i++)
        n = move_all(limits, dir, leaf, error);
    return n >= 0;
}

static gboolean enable(const CvdControlGroupLimits *limits, const char *dir, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);

    if (limits->weight > 0 && !has_word(dir, "cgroup.subtree_control", "cpu"))
        g_string_append(text, "+cpu ");
    if (limits->memory_bytes > 0 && !has_word(dir, "cgroup.subtree_control", "memory"))
        g_string_append(text, "+memory");
    if (text->len == 0)
        return TRUE;
    return make_room(limits, dir, error) &&
           (write_file(dir, "cgroup.subtree_control", text->str) ||
            fail_with(error, limits, dir, "cgroup.subtree_control"));
}

/* ---- The control group ---- */

static gboolean check_in(const CvdControlGroupLimits *limits, const char *dir, GError **error)
{
    g_autofree char *procs = g_build_filename(dir, "cgroup.procs", NULL);
    const char *missing = NULL;

    if (limits->weight > 0 && !has_word(dir, "cgroup.controllers", "cpu"))
        missing = "cpu";
    else if (limits->memory_bytes > 0 && !has_word(dir, "cgroup.controllers", "memory"))
        missing = "memory";
    if (missing != NULL)
        return cvd_fail(error, CVD_ERROR_FAILED,
                        "%s: the control group %s has no controller %s (cgroup.controllers)" REMEDY,
                        missing[0] == 'm' ? "qemu.memory_limit" : "qemu.cpus.weight", dir, missing);
    return access(procs, W_OK) == 0 || fail_with(error, limits, dir, "cgroup.procs");
}

gboolean cvd_control_group_check(const CvdControlGroupLimits *limits, GError **error)
{
    g_autofree char *own = find_own(limits, error);

    if (own == NULL)
        return FALSE;
    g_autofree char *dir = get_delegated(own);
    return check_in(limits, dir, error);
}

/* Returns: the number of the launcher that has made @name for @instance; 0 = it is another's */
static pid_t get_launcher(const char *name, const char *instance)
{
    g_autofree char *prefix = g_strconcat(LEAF "-", instance, "-", NULL);

    return g_str_has_prefix(name, prefix) ? atoi(name + strlen(prefix)) : 0;
}

static void remove_left_over(const char *dir, const char *instance)
{
    g_autoptr(GDir) entries = g_dir_open(dir, 0, NULL);
    const char *name;

    while (entries != NULL && (name = g_dir_read_name(entries)) != NULL) {
        pid_t pid = get_launcher(name, instance);
        g_autofree char *path = g_build_filename(dir, name, NULL);
        if (pid > 0 && kill(pid, 0) < 0 && errno == ESRCH)
            g_rmdir(path);
    }
}

static gboolean set_limits(const CvdControlGroup *cgroup, const CvdControlGroupLimits *limits,
                           GError **error)
{
    g_autofree char *weight = g_strdup_printf("%u", limits->weight);
    g_autofree char *memory = g_strdup_printf("%" G_GUINT64_FORMAT, limits->memory_bytes);

    if (limits->weight > 0 && !write_file(cgroup->dir, "cpu.weight", weight))
        return fail_with(error, limits, cgroup->dir, "cpu.weight");
    if (limits->memory_bytes > 0 && !write_file(cgroup->dir, "memory.max", memory))
        return fail_with(error, limits, cgroup->dir, "memory.max");
    return TRUE;
}

CvdControlGroup *cvd_control_group_new(const char *name, const CvdControlGroupLimits *limits,
                                       GError **error)
{
    g_autofree char *own = find_own(limits, error);

    if (own == NULL)
        return NULL;
    g_autofree char *dir = get_delegated(own);
    g_autofree char *child = g_strdup_printf(LEAF "-%s-%d", name, getpid());
    if (!check_in(limits, dir, error) || !enable(limits, dir, error))
        return NULL;
    remove_left_over(dir, name);
    g_autofree char *path = g_build_filename(dir, child, NULL);
    if (g_mkdir(path, 0755) < 0) {
        fail_with(error, limits, dir, child);
        return NULL;
    }
    g_autoptr(CvdControlGroup) cgroup = g_new0(CvdControlGroup, 1);
    g_autofree char *procs = g_build_filename(path, "cgroup.procs", NULL);
    cgroup->dir = g_steal_pointer(&path);
    cgroup->procs_fd = open(procs, O_WRONLY | O_CLOEXEC);
    if (cgroup->procs_fd < 0)
        fail_with(error, limits, cgroup->dir, "cgroup.procs");
    else if (set_limits(cgroup, limits, error))
        return g_steal_pointer(&cgroup);
    return NULL;
}

void cvd_control_group_free(CvdControlGroup *cgroup)
{
    cvd_close_fd(&cgroup->procs_fd);
    if (g_rmdir(cgroup->dir) < 0)
        g_warning("cannot remove the control group %s: %s", cgroup->dir, g_strerror(errno));
    g_free(cgroup->dir);
    g_free(cgroup);
}

int cvd_control_group_get_fd(const CvdControlGroup *cgroup)
{
    return cgroup->procs_fd;
}

guint64 cvd_control_group_take_oom_kills(CvdControlGroup *cgroup)
{
    g_autofree char *path = g_build_filename(cgroup->dir, "memory.events", NULL);
    g_autofree char *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return 0; /* it has no limit */
    const char *line = strstr(text, "\noom_kill ");
    guint64 n = line != NULL ? g_ascii_strtoull(line + strlen("\noom_kill "), NULL, 10) : 0;
    guint64 n_new = n - cgroup->n_oom_kills;
    cgroup->n_oom_kills = n;
    return n_new;
}
