/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/group/machine.h"

#include "base/fd.h"
#include "base/instance.h"
#include "base/source.h"
#include "launcher/instance-dir.h"

#include <errno.h>
#include <signal.h>
#include <sys/pidfd.h>

static void set_state(CvdMachine *machine, CvdMachineState state)
{
    machine->counts[machine->state]--;
    machine->counts[state]++;
    machine->state = state;
}

static void change(CvdMachine *machine, CvdMachineState state, const char *failure)
{
    set_state(machine, state);
    machine->changed(machine, failure, machine->user_data);
}

/* ---- Up ---- */

/* A launcher looks at the same places. Returns: (transfer full) (nullable): where it runs */
static char *find_running(const char *name)
{
    g_auto(GStrv) places = cvd_instance_get_places();

    for (char **place = places; *place != NULL; place++) {
        g_autofree char *dir = g_build_filename(*place, name, NULL);
        if (cvd_instance_is_own_place(*place) && cvd_instance_is_held(dir))
            return g_steal_pointer(&dir);
    }
    return NULL;
}

static void on_found_ended(CvdFoundEnd end, const char *failure, gpointer data)
{
    static const CvdMachineState states[] = {
        [CVD_FOUND_READY] = CVD_MACHINE_FOUND,
        [CVD_FOUND_GONE] = CVD_MACHINE_WAITING,
        [CVD_FOUND_FAILED] = CVD_MACHINE_FAILED,
    };
    CvdMachine *machine = data;

    g_clear_pointer(&machine->found, cvd_found_free);
    change(machine, states[end], failure);
}

/* Returns: whether it runs already, and is followed */
static gboolean follow_running(CvdMachine *machine)
{
    g_autofree char *dir = find_running(machine->name);

    if (dir == NULL)
        return FALSE;
    set_state(machine, CVD_MACHINE_FOLLOWED);
    machine->found = cvd_found_new(dir, on_found_ended, machine);
    return TRUE;
}

/* Another one may have its name by the time that it is to be taken down. */
static void remember_launcher(CvdMachine *machine)
{
    g_autofree char *dir = cvd_instance_dir_path(machine->name);
    pid_t pid = cvd_instance_get_pid(dir);

    if (pid > 0)
        machine->launcher = cvd_process_id_get(pid);
}

/* Somebody else may have started it at the same time. */
static void on_starter_ended(const char *failure, gboolean is_refused, gpointer data)
{
    CvdMachine *machine = data;
    gboolean is_given_up = machine->state == CVD_MACHINE_STOPPING;

    g_clear_pointer(&machine->starter, cvd_starter_free);
    machine->is_refused = is_refused;
    if (failure == NULL)
        remember_launcher(machine);
    if (failure == NULL)
        change(machine, is_given_up ? CVD_MACHINE_DUE : CVD_MACHINE_UP, NULL);
    else if (is_given_up)
        change(machine, CVD_MACHINE_STOPPED, NULL);
    else if (!follow_running(machine))
        change(machine, CVD_MACHINE_FAILED, failure);
}

void cvd_machine_start(CvdMachine *machine, const char *const *argv)
{
    g_autoptr(GError) error = NULL;

    if (follow_running(machine))
        return;
    set_state(machine, CVD_MACHINE_STARTING);
    machine->starter = cvd_starter_new(argv, on_starter_ended, machine, &error);
    if (machine->starter == NULL)
        change(machine, CVD_MACHINE_FAILED, error->message);
}

/* ---- Down ---- */

void cvd_machine_give_up(CvdMachine *machine)
{
    switch (machine->state) {
    case CVD_MACHINE_STARTING:
        set_state(machine, CVD_MACHINE_STOPPING);
        cvd_starter_stop(machine->starter);
        break;
    case CVD_MACHINE_UP:
        set_state(machine, CVD_MACHINE_DUE);
        break;
    case CVD_MACHINE_FOLLOWED:
        g_clear_pointer(&machine->found, cvd_found_free);
        set_state(machine, CVD_MACHINE_FOUND);
        break;
    case CVD_MACHINE_WAITING:
    case CVD_MACHINE_FOUND:
    case CVD_MACHINE_FAILED:
    case CVD_MACHINE_DUE:
    case CVD_MACHINE_STOPPING:
    case CVD_MACHINE_STOPPED:
        break;
    }
}

static gboolean on_launcher_ended(int fd, GIOCondition condition, gpointer data)
{
    CvdMachine *machine = data;

    cvd_source_clear(&machine->end);
    cvd_close_fd(&machine->launcher_fd);
    change(machine, CVD_MACHINE_STOPPED, NULL);
    return G_SOURCE_REMOVE;
}

/* Where a seccomp profile refuses a pidfd it is told all the same, but not waited for. */
void cvd_machine_stop(CvdMachine *machine)
{
    set_state(machine, CVD_MACHINE_STOPPING);
    machine->launcher_fd = pidfd_open(machine->launcher.pid, 0);
    gboolean is_alive = cvd_process_id_is_alive(machine->launcher);
    if (is_alive && machine->launcher_fd >= 0)
        pidfd_send_signal(machine->launcher_fd, SIGTERM, NULL,
                          0); /* never to who has its pid next */
    else if (is_alive)
        kill(machine->launcher.pid, SIGTERM);
    if (is_alive && machine->launcher_fd >= 0)
        machine->end =
            cvd_source_watch_fd(machine->launcher_fd, G_IO_IN, on_launcher_ended, machine);
    else
        change(machine, CVD_MACHINE_STOPPED, NULL);
}

/* ---- Beginning and end ---- */

CvdMachine *cvd_machine_new(const char *name, guint index, guint *counts, CvdMachineChanged changed,
                            gpointer user_data)
{
    CvdMachine *machine = g_new0(CvdMachine, 1);

    machine->name = g_strdup(name);
    machine->index = index;
    machine->counts = counts;
    machine->counts[CVD_MACHINE_WAITING]++;
    machine->changed = changed;
    machine->user_data = user_data;
    machine->launcher_fd = -1;
    return machine;
}

void cvd_machine_free(CvdMachine *machine)
{
    g_clear_pointer(&machine->found, cvd_found_free);
    g_clear_pointer(&machine->starter, cvd_starter_free);
    cvd_source_clear(&machine->end);
    cvd_close_fd(&machine->launcher_fd);
    g_free(machine->name);
    g_free(machine);
}
