/* SPDX-License-Identifier: Apache-2.0 */
/* What the lifecycle asks for, carried out: starts and ends of VMs, commands to QEMU, clients that
 * are held or let in. */
#include "launcher/launch-private.h"

#include "base/fd.h"
#include "base/source.h"
#include "launcher/qemu/bus-master.h"
#include "launcher/qemu/ram.h"
#include "launcher/qemu/vcpus.h"

#include <malloc.h>

/* As QEMU calls them, or the configuration. */
static const char *const command_names[] = {
    [CVD_COMMAND_NONE] = "a command",    [CVD_COMMAND_STATUS] = "query-status",
    [CVD_COMMAND_PIN] = "qemu.cpus.pin", [CVD_COMMAND_BUS_MASTER] = "ivshmem.force_bus_master",
    [CVD_COMMAND_CONT] = "cont",         [CVD_COMMAND_STOP] = "stop",
};

/* A connection that has ended refuses nothing; that it has ended is an event of its own. */
static void on_command(CvdJsonSpan result, const GError *error, gpointer data)
{
    CvdLaunch *launch = data;

    if (error == NULL) {
        cvd_launch_handle(launch, CVD_EVENT_COMMAND_DONE);
    } else if (!g_error_matches(error, CVD_ERROR, CVD_ERROR_CLOSED)) {
        if (cvd_launch_may_log(launch))
            g_warning("%s: %s", command_names[launch->lifecycle.guest.command], error->message);
        cvd_launch_set_fault(launch, error->message);
        cvd_launch_handle(launch, CVD_EVENT_COMMAND_FAILED);
    }
}

static void on_status(CvdJsonSpan result, const GError *error, gpointer data)
{
    if (error == NULL)
        cvd_launch_handle_status(data, CVD_EVENT_STATUS, result);
    else
        on_command(result, error, data);
}

static void send_command(CvdLaunch *launch)
{
    CvdGuestCommand command = launch->lifecycle.guest.command;

    if (command == CVD_COMMAND_PIN)
        cvd_vcpus_pin(launch->vm->qmp, cvd_qemu_process_get_pid(launch->vm->process),
                      launch->config->qemu.cpus.pin, on_command, launch);
    else if (command == CVD_COMMAND_BUS_MASTER)
        cvd_bus_master_enable(launch->vm->qmp, launch->config->ivshmem_slot, on_command, launch);
    else if (command != CVD_COMMAND_NONE)
        cvd_qmp_execute(launch->vm->qmp, command_names[command], NULL,
                        command == CVD_COMMAND_STATUS ? on_status : on_command, launch);
}

/* What does not come true is seen by its time limit. */
static void on_way_down(CvdJsonSpan result, const GError *error, gpointer data)
{
    CvdLaunch *launch = data;

    if (error != NULL && !g_error_matches(error, CVD_ERROR, CVD_ERROR_CLOSED) &&
        cvd_launch_may_log(launch))
        g_warning("%s", error->message);
}

static void on_pressed(CvdJsonSpan result, const GError *error, gpointer data)
{
    ((CvdLaunch *)data)->is_pressing = FALSE;
    on_way_down(result, error, data);
}

/* Again and again, but not once more while QEMU has yet to answer. */
static void press(CvdLaunch *launch, const char *command)
{
    if (launch->is_pressing)
        return;
    launch->is_pressing = TRUE;
    cvd_qmp_execute(launch->vm->qmp, command, NULL, on_pressed, launch);
}

static void clear_signals(CvdLaunch *launch)
{
    g_autoptr(GError) error = NULL;

    if (!cvd_server_clear_signals(launch->host.server, &error) && cvd_launch_may_log(launch))
        g_warning("%s", error->message);
    cvd_launch_await_ready(launch);
}

static void on_kvm(CvdJsonSpan result, const GError *error, gpointer data)
{
    g_autoptr(JsonNode) kvm = cvd_json_parse_leniently(result);
    JsonNode *enabled = JSON_NODE_HOLDS_OBJECT(kvm)
                            ? json_object_get_member(json_node_get_object(kvm), "enabled")
                            : NULL;

    if (enabled != NULL && json_node_get_value_type(enabled) == G_TYPE_BOOLEAN &&
        !json_node_get_boolean(enabled))
        g_warning("QEMU could not use kvm and runs the guest with the next accelerator of "
                  "qemu.accel; QEMU's output says why");
}

static void announce_start(CvdLaunch *launch)
{
    const char *first_accel = launch->tools->accel[0];

    launch->ready_time_us = g_get_monotonic_time();
    double ms = (double)(launch->ready_time_us - launch->start_time_us) / 1000;
    CvdState state = cvd_lifecycle_get_state(&launch->lifecycle);

    const CvdRestore *restore = launch->restore.from;
    cvd_launch_log_state(
        launch, G_LOG_LEVEL_MESSAGE, "%s after %.0f ms%s%s%s", cvd_state_get_name(state), ms,
        restore != NULL ? ", from snapshot " : "", restore != NULL ? restore->name : "",
        state == CVD_STATE_PAUSED && launch->lifecycle.start_paused ? ", ready for a debugger"
                                                                    : "");
    if (first_accel != NULL && g_str_has_prefix(first_accel, "kvm"))
        cvd_qmp_execute(launch->vm->qmp, "query-kvm", NULL, on_kvm, launch);
    if (launch->config->qmp_timeout_s > 0)
        cvd_vm_start_heartbeat(launch->vm, 1000 * launch->config->qmp_timeout_s);
    if (launch->lifecycle.readiness.is_ready)
        cvd_launch_announce_ready(launch);
    /* Parsing left free pages behind that would stay ours for as long as the VM runs. */
    malloc_trim(0);
}

/* The next VM must not find what this one left in the window and the doorbells. */
static gboolean renew(CvdLaunch *launch)
{
    g_autoptr(GError) error = NULL;

    cvd_server_disconnect_vm(launch->host.server);
    if (cvd_server_renew(launch->host.server, &error)) {
        cvd_launch_ring_hosts(launch);
        return TRUE;
    }
    g_critical("%s", error->message);
    cvd_launch_handle(launch, CVD_EVENT_RENEW_FAILED);
    return FALSE;
}

/* Others are shown the RAM by QEMU itself; here it is to be read when the VM is saved. */
static gboolean give_ram(CvdLaunch *launch, CvdVmResources *resources, GError **error)
{
    cvd_close_fd(&launch->ram_fd);
    resources->ram_fd = -1;
    if (launch->restore.from != NULL)
        return cvd_launch_give_restored(launch, resources, error);
    if (!launch->config->ivshmem_migratable)
        return TRUE;
    resources->ram_fd = launch->ram_fd = cvd_ram_new(launch->config->qemu.memory_bytes, error);
    return launch->ram_fd >= 0;
}

gboolean cvd_launch_start_vm(CvdLaunch *launch, GError **error)
{
    cvd_launch_close_ready(launch); /* the console has what the VM before has said last */
    g_clear_pointer(&launch->vm, cvd_vm_free);
    cvd_launch_note_qmp_closed(launch); /* whose other end may have outlived QEMU */
    cvd_source_clear(&launch->hand_over_timer);
    launch->qemu_exit = (CvdExit){0};
    launch->is_all_sent = FALSE;
    cvd_autofd ivshmem_fd = cvd_server_connect_vm(launch->host.server, error);
    if (ivshmem_fd < 0)
        return FALSE;
    CvdVmResources resources = {
        .children = launch->children,
        .ivshmem_fd = ivshmem_fd,
        .cgroup_fd =
            launch->control_group != NULL ? cvd_control_group_get_fd(launch->control_group) : 0,
        .output = launch->qemu_output,
        .console = launch->console,
    };
    if (!give_ram(launch, &resources, error))
        return FALSE;
    if (launch->programs != NULL)
        resources.fds = cvd_programs_get_vm_fds(launch->programs, &resources.n_fds);
    cvd_log_file_begin_part(launch->qemu_log);
    launch->vm = cvd_vm_start(launch->config, launch->tools, &resources, &cvd_launch_vm_handlers,
                              launch, error);
    if (launch->programs != NULL)
        cvd_programs_close_vm_fds(launch->programs);
    cvd_launch_await_ready(launch);
    return launch->vm != NULL;
}

/* Clients may have all descriptors but those that are held back for this. */
static void start_or_report(CvdLaunch *launch, gboolean (*start)(CvdLaunch *launch, GError **error))
{
    g_autoptr(GError) error = NULL;

    guint n_held_back = cvd_fd_hold_back(0);
    gboolean is_started = start(launch, &error);
    cvd_fd_hold_back(n_held_back);
    if (is_started)
        return;
    g_critical("%s", error->message);
    cvd_launch_handle(launch, CVD_EVENT_START_FAILED);
}

void cvd_launch_start_vm_or_report(CvdLaunch *launch)
{
    start_or_report(launch, cvd_launch_start_vm);
}

static void start_again(CvdLaunch *launch)
{
    launch->start_time_us = g_get_monotonic_time();
    launch->n_restarts++;
    start_or_report(launch, cvd_launch_begin_vm);
}

/* Without a QEMU there is nothing to be ended. */
static void end_vm(CvdLaunch *launch, guint actions)
{
    if ((actions & (CVD_ACTION_QUIT | CVD_ACTION_TERMINATE | CVD_ACTION_KILL)) != 0 &&
        cvd_launch_cancel_vm(launch)) {
        launch->qemu_exit = (CvdExit){.is_known = TRUE};
        cvd_launch_handle(launch, CVD_EVENT_QEMU_EXITED);
        return;
    }
    if (actions & CVD_ACTION_QUIT)
        cvd_qmp_execute(launch->vm->qmp, "quit", NULL, on_way_down, launch);
    if (actions & CVD_ACTION_TERMINATE)
        cvd_qemu_process_terminate(launch->vm->process);
    if (actions & CVD_ACTION_KILL)
        cvd_qemu_process_kill(launch->vm->process);
}

static void hold_clients(CvdLaunch *launch)
{
    gboolean is_for_snapshot = (launch->lifecycle.guest.holds & CVD_HOLD_SNAPSHOT) != 0;

    if (!is_for_snapshot && cvd_launch_may_log(launch))
        g_message("guest was reset");
    cvd_server_hold_clients(launch->host.server);
    if (launch->programs != NULL)
        cvd_programs_hold_clients(launch->programs);
}

static void admit_clients(CvdLaunch *launch)
{
    cvd_server_admit_clients(launch->host.server);
    if (launch->programs != NULL)
        cvd_programs_admit_clients(launch->programs);
}

static void report_end(CvdLaunch *launch)
{
    cvd_launch_report_end(launch);
    cvd_close_fd(&launch->ram_fd);
    if (launch->programs != NULL)
        cvd_programs_end_vm(launch->programs);
}

void cvd_launch_carry_out(CvdLaunch *launch, guint actions)
{
    if (actions & CVD_ACTION_CLEAR_SIGNALS)
        clear_signals(launch);
    if (actions & CVD_ACTION_HOLD_CLIENTS)
        hold_clients(launch);
    if (actions & CVD_ACTION_REPORT_END)
        report_end(launch);
    gboolean has_failed = (actions & CVD_ACTION_RENEW) && !renew(launch);
    if (actions & CVD_ACTION_ADMIT_CLIENTS)
        admit_clients(launch);
    if (actions & CVD_ACTION_HAND_OVER)
        cvd_launch_hand_over(launch);
    if (actions & CVD_ACTION_RESTORE)
        cvd_launch_restore(launch);
    if (actions & CVD_ACTION_SEND)
        send_command(launch);
    if (actions & CVD_ACTION_SAVE)
        cvd_launch_save(launch);
    if (actions & CVD_ACTION_CANCEL)
        cvd_launch_cancel_snapshot(launch);
    if (actions & CVD_ACTION_WAKE)
        press(launch, "system_wakeup");
    if (actions & CVD_ACTION_POWERDOWN)
        press(launch, "system_powerdown");
    end_vm(launch, actions);
    if (actions & CVD_ACTION_READY)
        announce_start(launch);
    if (actions & CVD_ACTION_ANNOUNCE)
        cvd_launch_announce_ready(launch);
    if ((actions & CVD_ACTION_START) && !has_failed)
        start_again(launch);
    if (actions & CVD_ACTION_END)
        cvd_launch_end(launch);
}
