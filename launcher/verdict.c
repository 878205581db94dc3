/* SPDX-License-Identifier: Apache-2.0 */
/* How a VM ended, or why it is about to, in words. */
#include "launcher/verdict.h"

#include <signal.h>

/* How QEMU ended a VM by itself. */
static const struct {
    int exit_status;
    const char *text;
} shutdowns[] = {
    [CVD_SHUTDOWN_NONE] = {1, "QEMU shut down"},
    [CVD_SHUTDOWN_POWER_OFF] = {0, "guest powered off"},
    [CVD_SHUTDOWN_REBOOT] = {0, "guest rebooted"},
    [CVD_SHUTDOWN_PANIC] = {1, "guest panicked"},
    [CVD_SHUTDOWN_QUIT] = {0, "somebody else quit the VM over QMP"},
    [CVD_SHUTDOWN_UI] = {0, "the VM's window was closed"},
    [CVD_SHUTDOWN_SIGNAL] = {1, "somebody else sent a signal to QEMU, which then exited"},
    [CVD_SHUTDOWN_ERROR] = {1, "QEMU met an error and exited"},
    [CVD_SHUTDOWN_OTHER] = {1, "QEMU shut down for an unknown reason"},
};

static const struct {
    const char *reason; /* why a VM is on its way down */
    const char *end;    /* how it failed; NULL: that depends on more than the cause */
} causes[] = {
    [CVD_CAUSE_NONE] = {"", NULL},
    [CVD_CAUSE_STOP_REQUESTED] = {"a stop was asked for", NULL},
    [CVD_CAUSE_TIME_LIMIT] = {"the time of --timeout is over",
                              "stopped, as the time of --timeout was over"},
    [CVD_CAUSE_RESTART_REQUESTED] = {"a restart was asked for", NULL},
    [CVD_CAUSE_START_FAILED] = {"QEMU could not be started", "QEMU could not be started again"},
    [CVD_CAUSE_START_TIMED_OUT] = {"it did not start in time", NULL},
    [CVD_CAUSE_NOT_READY] = {"it was not ready in time", NULL},
    [CVD_CAUSE_RESTORE_FAILED] = {"it could not be started from its snapshot",
                                  "the VM could not be started from its snapshot"},
    [CVD_CAUSE_COMMAND_FAILED] = {"a command to QEMU failed",
                                  "a command to QEMU failed; why stands above"},
    [CVD_CAUSE_VM_SHUTDOWN] = {NULL, NULL}, /* see shutdowns */
    [CVD_CAUSE_WATCHDOG] = {"the guest's watchdog ran out",
                            "the guest's watchdog ran out: the guest hangs"},
    [CVD_CAUSE_INTERNAL_ERROR] = {"QEMU met an internal error",
                                  "QEMU met an internal error and stopped the guest"},
    [CVD_CAUSE_UNRESPONSIVE] = {"QEMU does not answer",
                                "QEMU did not answer within lifecycle.qmp_timeout_s, so it was "
                                "killed"},
    [CVD_CAUSE_QMP_GIVEN_UP] = {"what QEMU sends over QMP is no QMP",
                                "what QEMU sent over QMP was no QMP, so it was ended"},
    [CVD_CAUSE_CONNECTION_LOST] = {"QEMU closed a connection",
                                   "QEMU closed a connection to the launcher but went on, so it "
                                   "was killed"},
    [CVD_CAUSE_QEMU_EXITED] = {"QEMU exited", NULL},
    [CVD_CAUSE_SNAPSHOT] = {"its snapshot is complete", NULL},
    [CVD_CAUSE_PROGRAM_FAILED] = {"a program that it needs has failed",
                                  "stopped, as a program that it needs has failed"},
};

static char *describe_exit(const char *program, CvdExit qemu)
{
    if (!qemu.is_known)
        return g_strdup_printf("%s did not die of SIGKILL; it was left behind", program);
    if (qemu.is_signal && qemu.value == SIGSYS)
        return g_strdup_printf("%s was killed by its sandbox (signal %d, qemu.sandbox)", program,
                               qemu.value);
    if (qemu.is_signal && qemu.is_out_of_memory)
        return g_strdup_printf("%s needed more memory than qemu.memory_limit, and was killed",
                               program);
    if (qemu.is_signal)
        return g_strdup_printf("%s was killed by signal %d%s", program, qemu.value,
                               qemu.has_core ? " (core dumped)" : "");
    return g_strdup_printf("%s exited with status %d", program, qemu.value);
}

/* Whether it ended by a signal other than those of the ladder. */
static gboolean has_crashed(CvdExit qemu)
{
    return qemu.is_signal && qemu.value != SIGHUP && qemu.value != SIGKILL;
}

static char *stopped(const CvdLifecycle *lifecycle, const char *program, CvdExit qemu,
                     int *exit_status)
{
    g_autofree char *how = describe_exit(program, qemu);

    if (!qemu.is_known)
        return g_steal_pointer(&how);
    *exit_status = 0;
    if (qemu.is_signal && qemu.value == SIGKILL)
        return g_strdup_printf("stopped, though %s had to be killed", program);
    if (has_crashed(qemu))
        return g_strdup_printf("stopped, though %s", how);
    return g_strdup(lifecycle->shutdown == CVD_SHUTDOWN_POWER_OFF ? "stopped: the guest powered off"
                                                                  : "stopped");
}

static char *shut_down(const CvdLifecycle *lifecycle, const char *program, CvdExit qemu,
                       int *exit_status)
{
    g_autofree char *how = describe_exit(program, qemu);
    const char *text = shutdowns[lifecycle->shutdown].text;

    if (lifecycle->shutdown == CVD_SHUTDOWN_REBOOT &&
        lifecycle->config->on_reboot == CVD_ON_EVENT_EXIT)
        text = "guest rebooted, and lifecycle.on_reboot is \"exit\"";
    if (!qemu.is_known || has_crashed(qemu))
        return g_strdup_printf("%s, but %s", text, how);
    *exit_status = shutdowns[lifecycle->shutdown].exit_status;
    return g_strdup(text);
}

/* What was seen of a start that took too long. */
static const char *why_not_running(const CvdLifecycle *lifecycle)
{
    if (lifecycle->guest.command == CVD_COMMAND_CONT)
        return "the guest's processors did not start: if it uses kvm, try --set qemu.accel=tcg";
    if (lifecycle->guest.holds & CVD_HOLD_RESTORE && !(lifecycle->guest.holds & CVD_HOLD_START))
        return "it has not read the snapshot to its end";
    if (lifecycle->has_answered)
        return "it answers QMP but did not take the window: perhaps -preconfig is in "
               "qemu.extra_args";
    return "it answered nothing: if it uses kvm, try --set qemu.accel=tcg";
}

/* What was awaited of a VM that ran. */
static const char *why_not_ready(const CvdConfig *config)
{
    if (config->ready == CVD_MACHINE_READY_PROGRAMS)
        return "not all programs were (lifecycle.ready is \"programs\")";
    if (config->ready_pattern == NULL)
        return "the guest did not say so (lifecycle.ready is \"guest\")";
    return "the guest did not say so, and no line of its console matched lifecycle.ready_pattern";
}

static char *verdict_of_vm(const CvdLifecycle *lifecycle, const char *program, CvdExit qemu,
                           int *exit_status)
{
    CvdCause cause = lifecycle->cause;

    *exit_status = 1;
    if (cause == CVD_CAUSE_STOP_REQUESTED || cause == CVD_CAUSE_SNAPSHOT)
        return stopped(lifecycle, program, qemu, exit_status);
    if (cause == CVD_CAUSE_VM_SHUTDOWN)
        return shut_down(lifecycle, program, qemu, exit_status);
    if (cause == CVD_CAUSE_RESTART_REQUESTED && qemu.is_known) {
        *exit_status = 0;
        return g_strdup(causes[cause].reason);
    }
    if (cause == CVD_CAUSE_START_TIMED_OUT)
        return g_strconcat("QEMU was not running within lifecycle.start_timeout_s; ",
                           why_not_running(lifecycle), NULL);
    if (cause == CVD_CAUSE_NOT_READY)
        return g_strdup_printf(
            "the VM ran, but was not ready within lifecycle.start_timeout_s (%u s): %s",
            lifecycle->config->start_timeout_s, why_not_ready(lifecycle->config));
    if (causes[cause].end != NULL)
        return g_strdup(causes[cause].end);
    g_autofree char *how = describe_exit(program, qemu);
    gboolean was_running = lifecycle->is_ready || !qemu.is_known;
    return g_strconcat(how, was_running ? NULL : " before the VM was running", NULL);
}

char *cvd_verdict(const CvdLifecycle *lifecycle, const char *program, CvdExit qemu,
                  int *exit_status)
{
    g_autofree char *text = verdict_of_vm(lifecycle, program, qemu, exit_status);

    if (lifecycle->policy.follow != CVD_FOLLOW_GIVE_UP)
        return g_steal_pointer(&text);
    *exit_status = 1;
    return g_strdup_printf("%s; given up, as that makes %u failures within 10 minutes "
                           "(lifecycle.restart_limit is %u)",
                           text, lifecycle->policy.retry.n_failures,
                           lifecycle->config->restart_limit);
}

static const char *describe_fault(CvdRunState fault)
{
    static const char *const faults[] = {
        [CVD_RUN_IO_ERROR] = "a disk error",
        [CVD_RUN_PANICKED] = "the guest panicked",
        [CVD_RUN_WATCHDOG] = "the guest's watchdog ran out",
        [CVD_RUN_INTERNAL_ERROR] = "QEMU met an internal error",
    };

    return cvd_run_state_is_fault(fault) ? faults[fault] : "QEMU refuses to resume it";
}

/* Of one that runs. */
static const char *describe_readiness(const CvdLifecycle *lifecycle)
{
    if (lifecycle->readiness.is_ready)
        return "";
    return lifecycle->config->ready == CVD_MACHINE_READY_GUEST
               ? "the guest has not said yet that it is ready"
               : "not all programs are ready";
}

static const char *describe_pause(const CvdLifecycle *lifecycle)
{
    const CvdGuest *guest = &lifecycle->guest;

    if (guest->state == CVD_RUN_INCOMING)
        return "it waits for an incoming migration";
    if (guest->holds & CVD_HOLD_SNAPSHOT)
        return "a snapshot is taken";
    if (guest->holds & CVD_HOLD_OUTSIDE)
        return "somebody else stopped it over QMP";
    return lifecycle->start_paused && !guest->has_run ? "started with --paused"
                                                      : "a pause was asked for";
}

char *cvd_describe_state(const CvdLifecycle *lifecycle, const char *fault)
{
    switch (cvd_lifecycle_get_state(lifecycle)) {
    case CVD_STATE_STARTING:
        return g_strdup("");
    case CVD_STATE_RUNNING:
        return g_strdup(describe_readiness(lifecycle));
    case CVD_STATE_PAUSED:
        return g_strdup(describe_pause(lifecycle));
    case CVD_STATE_SUSPENDED:
        return g_strdup(lifecycle->guest.holds & CVD_HOLD_USER
                            ? "the guest sleeps; paused when it wakes up"
                            : "the guest sleeps");
    case CVD_STATE_FAULTED:
        return g_strdup(fault != NULL ? fault : describe_fault(lifecycle->guest.fault));
    case CVD_STATE_STOPPING:
    case CVD_STATE_RESTARTING:
    case CVD_STATE_STOPPED:
    case CVD_STATE_FAILED:
        return g_strdup(lifecycle->cause == CVD_CAUSE_VM_SHUTDOWN
                            ? shutdowns[lifecycle->shutdown].text
                            : causes[lifecycle->cause].reason);
    }
    g_assert_not_reached();
}
