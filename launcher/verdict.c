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
        return g_strdup_printf("%s was killed by its sandbox (signal %d): something in its "
                               "configuration needs a system call that qemu.sandbox denies",
                               program, qemu.value);
    if (qemu.is_signal)
        return g_strdup_printf("%s was killed by signal %d%s", program, qemu.value,
                               qemu.has_core ? " (core dumped)" : "");
    return g_strdup_printf("%s exited with status %d", program, qemu.value);
}

/* Whether it ended by a signal other than those of the ladder. */
static gboolean has_crashed(CvdExit qemu)
{
    return qemu.is_signal && qemu.value != SIGTERM && qemu.value != SIGKILL;
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

    if (lifecycle->shutdown == CVD_SHUTDOWN_REBOOT && lifecycle->on_reboot == CVD_ON_EVENT_EXIT)
        text = "guest rebooted, and lifecycle.on_reboot is \"exit\"";
    if (qemu.is_known && !has_crashed(qemu))
        return verdict(shutdowns[lifecycle->shutdown].exit_status, g_strdup(text));
    return verdict(1, g_strdup_printf("%s, but %s", text, how));
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
        return verdict(1, g_strdup_printf("%s was not running within lifecycle.start_timeout_s; if "
                                          "it uses kvm, try --set qemu.accel=tcg",
                                          program));
    case CVD_CAUSE_COMMAND_FAILED:
        return verdict(1, g_strdup("QEMU refused a command; its answer stands above"));
    case CVD_CAUSE_VM_SHUTDOWN:
        return shut_down(lifecycle, program, qemu);
    case CVD_CAUSE_WATCHDOG:
        return verdict(1, g_strdup("the guest's watchdog ran out: the guest hangs"));
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

    if (!lifecycle->has_given_up)
        return of_vm;
    g_autofree char *text = of_vm.text;
    guint n = cvd_restart_policy_get_n_failures(&lifecycle->restarts);
    return verdict(1, g_strdup_printf("%s; given up, as that makes %u failures within 10 minutes "
                                      "(lifecycle.restart_limit is %u)",
                                      text, n, lifecycle->restarts.limit));
}

const char *cvd_cause_to_words(const CvdLifecycle *lifecycle)
{
    switch (lifecycle->cause) {
    case CVD_CAUSE_NONE:
        return "";
    case CVD_CAUSE_STOP_REQUESTED:
        return "a stop was asked for";
    case CVD_CAUSE_TIME_LIMIT:
        return "the time of --timeout is over";
    case CVD_CAUSE_RESTART_REQUESTED:
        return "a restart was asked for";
    case CVD_CAUSE_START_FAILED:
        return "QEMU could not be started";
    case CVD_CAUSE_START_TIMED_OUT:
        return "it did not start in time";
    case CVD_CAUSE_COMMAND_FAILED:
        return "QEMU refused a command";
    case CVD_CAUSE_VM_SHUTDOWN:
        return shutdowns[lifecycle->shutdown].text;
    case CVD_CAUSE_WATCHDOG:
        return "the guest's watchdog ran out";
    case CVD_CAUSE_UNRESPONSIVE:
        return "QEMU does not answer";
    case CVD_CAUSE_CONNECTION_LOST:
        return "QEMU closed a connection";
    case CVD_CAUSE_QEMU_EXITED:
        return "QEMU exited";
    }
    g_assert_not_reached();
}
