/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machines that run from a snapshot. Its locks are counted in /proc/locks, which has none of
 * those that were taken in another pid namespace, or, in one that is not the first, by a process
 * that has ended since, as with `cvd-launch --detach`. So the instances are asked, too.
 */
#include "ctl/ctl.h"
#include "ctl/snapshots.h"

#include <string.h>
#include <sys/stat.h>

typedef struct {
    char *name;
    char *from;
} Machine;

static void machine_free(gpointer data)
{
    Machine *machine = data;

    g_free(machine->name);
    g_free(machine->from);
    g_free(machine);
}

static void ask(CvdTool *tool, GPtrArray *dirs, GPtrArray *machines)
{
    g_autofree CvdCtlAnswer *answers = g_new0(CvdCtlAnswer, dirs->len + 1);
    g_autoptr(GPtrArray) sockets = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < dirs->len; i++) {
        answers[i].socket = g_build_filename(dirs->pdata[i], "control.sock", NULL);
        g_ptr_array_add(sockets, (gpointer)answers[i].socket);
    }
    cvd_ctl_ask(answers, dirs->len, CVD_CTL_LIST_MS, tool->cancellable);
    for (guint i = 0; i < dirs->len; i++) {
        CvdDBusInstance1 *instance = answers[i].instance;
        const char *from = instance != NULL ? cvd_dbus_instance1_get_from(instance) : NULL;
        Machine values = {g_path_get_basename(dirs->pdata[i]), g_strdup(from)};
        g_ptr_array_add(machines, g_memdup2(&values, sizeof values));
        g_clear_object(&answers[i].instance);
        g_clear_error(&answers[i].error);
    }
}

/* All are asked once, when the first snapshot is found that is in use. */
static const GPtrArray *get_machines(CvdTool *tool)
{
    static GPtrArray *machines;

    if (machines == NULL) {
        g_autoptr(GPtrArray) dirs = cvd_instance_list(CVD_INSTANCES_RUNNING, NULL);
        machines = g_ptr_array_new_with_free_func(machine_free);
        if (dirs != NULL)
            ask(tool, dirs, machines);
    }
    return machines;
}

GPtrArray *cvd_ctl_find_users(CvdTool *tool, const char *path)
{
    GPtrArray *names = g_ptr_array_new();
    const GPtrArray *machines = get_machines(tool);
    struct stat st, other;

    for (guint i = 0; stat(path, &st) == 0 && i < machines->len; i++) {
        const Machine *machine = g_ptr_array_index(machines, i);
        if (machine->from != NULL && stat(machine->from, &other) == 0 &&
            st.st_dev == other.st_dev && st.st_ino == other.st_ino)
            g_ptr_array_add(names, machine->name);
    }
    return names;
}

int cvd_ctl_count_users(CvdTool *tool, const CvdSnapshot *snapshot)
{
    int n = cvd_snapshot_count_users(snapshot);

    if (n == 0)
        return 0;
    g_autoptr(GPtrArray) names = cvd_ctl_find_users(tool, cvd_snapshot_get_dir(snapshot));
    return names->len == 0 ? n : MAX(n, (int)names->len);
}
