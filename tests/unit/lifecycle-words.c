/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/lifecycle-words.h"

const char *const lifecycle_event_names[] = {
    [CVD_EVENT_STARTED] = "started",
    [CVD_EVENT_PREPARED] = "prepared",
    [CVD_EVENT_RESTORED] = "restored",
    [CVD_EVENT_RESTORE_FAILED] = "restore-failed",
    [CVD_EVENT_QMP_READY] = "qmp-ready",
    [CVD_EVENT_HANDED_OVER] = "handed-over",
    [CVD_EVENT_PROGRAMS_READY] = "programs-ready",
    [CVD_EVENT_PROGRAM_FAILED] = "program-failed",
    [CVD_EVENT_STATUS] = "status",
    [CVD_EVENT_COMMAND_DONE] = "done",
    [CVD_EVENT_COMMAND_FAILED] = "refused",
    [CVD_EVENT_VM_STOPPED] = "STOP",
    [CVD_EVENT_VM_RESUMED] = "RESUME",
    [CVD_EVENT_VM_SUSPENDED] = "SUSPEND",
    [CVD_EVENT_VM_WOKE] = "WAKEUP",
    [CVD_EVENT_VM_RESET] = "RESET",
    [CVD_EVENT_VM_SHUTDOWN] = "SHUTDOWN",
    [CVD_EVENT_GUEST_READY] = "says-ready",
    [CVD_EVENT_ALL_READY] = "all-ready",
    [CVD_EVENT_WATCHDOG] = "WATCHDOG",
    [CVD_EVENT_UNRESPONSIVE] = "unresponsive",
    [CVD_EVENT_QMP_GIVEN_UP] = "no-qmp",
    [CVD_EVENT_CONNECTION_LOST] = "closed",
    [CVD_EVENT_PAUSE_REQUESTED] = "pause",
    [CVD_EVENT_RESUME_REQUESTED] = "resume",
    [CVD_EVENT_STOP_REQUESTED] = "stop",
    [CVD_EVENT_HANGUP] = "hangup",
    [CVD_EVENT_TIME_LIMIT] = "time-limit",
    [CVD_EVENT_RESTART_REQUESTED] = "restart",
    [CVD_EVENT_SNAPSHOT_REQUESTED] = "snapshot",
    [CVD_EVENT_SNAPSHOT_SAVED] = "saved",
    [CVD_EVENT_SNAPSHOT_ENDED] = "snapshot-ended",
    [CVD_EVENT_SNAPSHOT_FAILED] = "snapshot-failed",
    [CVD_EVENT_TIMER] = "due",
    [CVD_EVENT_RENEW_FAILED] = "renew-failed",
    [CVD_EVENT_START_FAILED] = "start-failed",
    [CVD_EVENT_QEMU_EXITED] = "exited",
};

static const char *const action_names[CVD_N_ACTIONS] = {
    "clear", "hold",  "report",   "renew", "admit", "hand-over", "restore",
    NULL,    "save",  "cancel",   "wake",  "press", "quit",      "term",
    "kill",  "ready", "announce", "start", "end",
};

static const char *const command_names[] = {
    [CVD_COMMAND_STATUS] = "query-status",
    [CVD_COMMAND_PIN] = "pin",
    [CVD_COMMAND_BUS_MASTER] = "bus-master",
    [CVD_COMMAND_CONT] = "cont",
    [CVD_COMMAND_STOP] = "stop",
};

char *lifecycle_actions_to_text(guint actions, CvdGuestCommand command)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < CVD_N_ACTIONS; i++)
        if (actions & (1U << i))
            g_string_append_printf(text, "%s%s", text->len > 0 ? "," : "",
                                   (1U << i) == CVD_ACTION_SEND ? command_names[command]
                                                                : action_names[i]);
    return g_string_free(text, FALSE);
}
