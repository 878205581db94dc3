/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cvd-ctl: looks after instances of cvd-launch through their control sockets. A verb is a
 * CvdToolVerb; each lives in a file of its own or of its group.
 */
#include "ctl/ctl.h"

int main(int argc, char **argv)
{
    static const CvdToolVerb *const verbs[] = {
        &cvd_ctl_list,
        &cvd_ctl_status,
        &cvd_ctl_stop,
        &cvd_ctl_restart,
        &cvd_ctl_reset,
        &cvd_ctl_pause,
        &cvd_ctl_resume,
        &cvd_ctl_power_button,
        &cvd_ctl_wait,
        &cvd_ctl_events,
        &cvd_ctl_qmp,
        &cvd_ctl_logs,
        &cvd_ctl_console,
        &cvd_ctl_report,
        &cvd_ctl_clients,
        &cvd_ctl_forget,
        NULL,
    };
    static const CvdToolProgram program = {
        .name = "cvd-ctl",
        .version = CVD_VERSION,
        .summary = "Looks after instances of cvd-launch.",
        .epilogue = "Each has --help. With one instance running, --name is not needed.",
        .verbs = verbs,
    };

    return cvd_tool_main(&program, argv);
}
