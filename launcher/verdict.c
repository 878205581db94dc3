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

static CvdVerdict verdict(int exit_status, char *take_text)
{
    return (CvdVerdict){.exit_status = exit_status, .text = take_text};
}

static char *describe_exit(const char *program, CvdExit qemu)
{
    if (!qemu.is_known)
        return g_strdup_printf("%s did not die of SIGKILL; it was left behind", program);
    if (qemu.is_signal && qemu.value == SIGSYS)
        return g_strdup_printf("%s was killed by its sandbox (signal %d, qemu.sandbox)", program,
                               qemu.value);
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

static CvdVerdict stopped(const CvdLifecycle *lifecycle, const char *program, CvdExit qemu)
{
    g_autofree char *how = describe_exit(program, qemu);

    if (!qemu.is_known)
        return verdict(1, g_steal_pointer(&how));
    if (qemu.is_signal && qemu.value == SIGKILL)
        return verdict(0, g_strdup_printf("stopped, though %s had to be killed", program));
    if (has_crashed(qemu))
        return verdict(0, g_strdup_printf("stopped, though %s", how));
    return verdict(0, g_strdup(lifecycle->shutdown == CVD_SHUTDOWN_POWER_OFF
                                   ? "stopped: the guest powered off"
                                   : "stopped"));
}

static CvdVerdict shut_down(const CvdLifecycle *lifecycle, const char *program, CvdExit qemu)
{
    g_autofree char *how = describe_exit(program, qemu);
    const char *text = shutdowns[lifecycle->shutdown].text;

    if (lifecycle->shutdown == CVD_SHUTDOWN_REBOOT &&
        lifecycle->policy.on_reboot == CVD_ON_EVENT_EXIT)
        text = "guest rebooted, and lifecycle.on_reboot is \"exit\"";
    if (qemu.is_known && !has_crashed(qemu))
        return verdict(shutdowns[lifecycle->shutdown].exit_status, g_strdup(text));
    return verdict(1, g_strdup_printf("%s, but %s", text, how));
}

/* What was seen of a start that took too long. */
static const char *why_not_running(const CvdLifecycle *lifecycle)
{
    if (lifecycle->guest.command == CVD_COMMAND_CONT)
        return "; the guest's processors did not start: if it uses kvm, try --set qemu.accel=tcg";
    if (lifecycle->has_answered)
        return "; it answers QMP but did not take the window: perhaps -preconfig is in "
               "qemu.extra_args";
    return "; it answered nothing: if it uses kvm, try --set qemu.accel=tcg";
}

static CvdVerdict verdict_of_vm(const CvdLifecycle *lifecycle, const char *program, CvdExit qemu)
{
    g_autofree char *how = describe_exit(program, qemu);

    switch (lifecycle->cause) {
    case CVD_CAUSE_STOP_REQUESTED:
        return stopped(lifecycle, program, qemu);
    case CVD_CAUSE_TIME_LIMIT:
        return verdict(1, g_strdup("stopped, as the time of --timeout was over"));
    case CVD_CAUSE_RESTART_REQUESTED:
        if (qemu.is_known)
            return verdict(0, g_strdup("a restart was asked for"));
        return verdict(1, g_steal_pointer(&how));
    case CVD_CAUSE_START_FAILED:
        return verdict(1, g_strdup_printf("%s could not be started again", program));
    case CVD_CAUSE_START_TIMED_OUT:
        return verdict(1, g_strdup_printf("%s was not running within lifecycle.start_timeout_s%s",
                                          program, why_not_running(lifecycle)));
    case CVD_CAUSE_COMMAND_FAILED:
        return verdict(1, g_strdup("QEMU refused a command; its answer stands above"));
    case CVD_CAUSE_VM_SHUTDOWN:
        return shut_down(lifecycle, program, qemu);
    case CVD_CAUSE_WATCHDOG:
        return verdict(1, g_strdup("the guest's watchdog ran out: the guest hangs"));
    case CVD_CAUSE_INTERNAL_ERROR:
        return verdict(1,
                       g_strdup_printf("%s met an internal error and stopped the guest", program));
    case CVD_CAUSE_QMP_GIVEN_UP:
        return verdict(
            1, g_strdup_printf("what %s sent over QMP was no QMP, so it was ended", program));
    case CVD_CAUSE_UNRESPONSIVE:
        return verdict(1, g_strdup_printf("%s did not answer within lifecycle.qmp_timeout_s, so it "
                                          "was killed",
                                          program));
    case CVD_CAUSE_CONNECTION_LOST:
        return verdict(1, g_strdup_printf("%s closed a connection to the launcher but went on, so "
                                          "it was killed",
                                          program));
    case CVD_CAUSE_NONE:
    case CVD_CAUSE_QEMU_EXITED:
        return verdict(1, lifecycle->is_ready
                              ? g_steal_pointer(&how)
                              : g_strdup_printf("%s before the VM was running", how));
    }
    g_assert_not_reached();
}

CvdVerdict cvd_verdict(const CvdLifecycle *lifecycle, const char *program, CvdExit qemu)
{
    CvdVerdict of_vm = verdict_of_vm(lifecycle, program, qemu);

    if (lifecycle->policy.follow != CVD_FOLLOW_GIVE_UP)
        return of_vm;
    g_autofree char *text = of_vm.text;
    guint n = lifecycle->policy.restarts.n_failures;
    return verdict(1, g_strdup_printf("%s; given up, as that makes %u failures within 10 minutes "
                                      "(lifecycle.restart_limit is %u)",
                                      text, n, lifecycle->policy.restarts.limit));
}

static const char *describe_fault(CvdRunState fault)
{
    switch (fault) {
    case CVD_RUN_IO_ERROR:
        return "a disk error";
    case CVD_RUN_PANICKED:
        return "the guest panicked";
    case CVD_RUN_WATCHDOG:
        return "the guest's watchdog ran out";
    case CVD_RUN_INTERNAL_ERROR:
        return "QEMU met an internal error";
    case CVD_RUN_UNKNOWN:
    case CVD_RUN_PRELAUNCH:
    case CVD_RUN_INCOMING:
    case CVD_RUN_RUNNING:
    case CVD_RUN_STOPPED:
    case CVD_RUN_SUSPENDED:
    case CVD_RUN_SHUTDOWN:
        return "QEMU refuses to resume it";
    }
    g_assert_not_reached();
}

static const char *describe_pause(const CvdLifecycle *lifecycle)
{
    const CvdGuest *guest = &lifecycle->guest;

    if (guest->state == CVD_RUN_INCOMING)
        return "it waits for an incoming migration";
    if (guest->holds & CVD_HOLD_OUTSIDE)
        return "somebody else stopped it over QMP";
    return lifecycle->start_paused && !guest->has_run ? "started with --paused"
                                                      : "a pause was asked for";
}

static const char *describe_cause(CvdCause cause, CvdShutdown shutdown)
{
    static const char *const causes[] = {
        [CVD_CAUSE_NONE] = "",
        [CVD_CAUSE_STOP_REQUESTED] = "a stop was asked for",
        [CVD_CAUSE_TIME_LIMIT] = "the time of --timeout is over",
        [CVD_CAUSE_RESTART_REQUESTED] = "a restart was asked for",
        [CVD_CAUSE_START_FAILED] = "QEMU could not be started",
        [CVD_CAUSE_START_TIMED_OUT] = "it did not start in time",
        [CVD_CAUSE_COMMAND_FAILED] = "QEMU refused a command",
        [CVD_CAUSE_WATCHDOG] = "the guest's watchdog ran out",
        [CVD_CAUSE_INTERNAL_ERROR] = "QEMU met an internal error",
        [CVD_CAUSE_UNRESPONSIVE] = "QEMU does not answer",
        [CVD_CAUSE_QMP_GIVEN_UP] = "what QEMU sends over QMP is no QMP",
        [CVD_CAUSE_CONNECTION_LOST] = "QEMU closed a connection",
        [CVD_CAUSE_QEMU_EXITED] = "QEMU exited",
    };

    return cause == CVD_CAUSE_VM_SHUTDOWN ? shutdowns[shutdown].text : causes[cause];
}

char *cvd_describe_state(const CvdLifecycle *lifecycle, const char *fault)
{
    switch (cvd_lifecycle_get_state(lifecycle)) {
    case CVD_STATE_STARTING:
    case CVD_STATE_RUNNING:
        return g_strdup("");
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
        return g_strdup(describe_cause(lifecycle->cause, lifecycle->shutdown));
    }
    g_assert_not_reached();
}
