/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cvd-ctl: looks after instances of cvd-launch through their control sockets. A verb is a row of
 * this table; one that calls a method without arguments needs nothing else here. In which states
 * a verb may be used is for the launcher to say (launcher/control/verbs.c).
 */
#include "ctl/ctl.h"

#include "base/complete.h"
#include "base/instance.h"

#include <string.h>

CvdCtlOptions cvd_ctl_options;

static const CvdToolVerb verbs[] = {
    {"list", "", "Show all instances",
     "One that runs but does not answer within a second is shown as such; one that\n"
     "failed, as long as its logs are there: see status, logs, report and forget.",
     .run = cvd_ctl_list},
    {"status", "", "Show the state and regions, or how it failed", .run = cvd_ctl_status},
    {"stop", "", "Take the instance down, and wait until it is",
     "As ctrl-c does in cvd-launch's terminal. An interrupt ends the wait, not the\nstop.",
     CVD_TOOL_OPTIONS({"now", 0, 0, G_OPTION_ARG_NONE, &cvd_ctl_options.now,
                       "Without waiting for the guest to power off", NULL}),
     .run = cvd_ctl_stop},
    {"restart", "", "Start another VM, and wait until it runs",
     "The window and the doorbells stay; host programs are told by the end of their\n"
     "connections.",
     .run = cvd_ctl_restart},
    {"reset", "", "Reset the guest, in the same QEMU", .run = cvd_ctl_call, .method = "Reset"},
    {"pause", "", "Stop the guest's processors", .run = cvd_ctl_call, .method = "Pause"},
    {"resume", "", "Let them go on", .run = cvd_ctl_call, .method = "Resume"},
    {"power-button", "", "Press the guest's power button, once", .run = cvd_ctl_call,
     .method = "PowerButton"},
    {"wait", "STATE", "Wait until the instance is in a state",
     "The states are starting, running, paused, suspended, faulted, stopping,\n"
     "restarting, stopped and failed. With --name the instance need not be there yet.",
     CVD_TOOL_OPTIONS({"timeout", 0, 0, G_OPTION_ARG_STRING, &cvd_ctl_options.timeout,
                       "How long to wait at most", "SECONDS"}),
     .run = cvd_ctl_wait},
    {"events", "", "Follow what happens, until the instance ends",
     "One line each: states with their reason, and the events of QEMU with their data.",
     .run = cvd_ctl_events},
    {"qmp", "CMD [ARGUMENTS]", "Send QEMU a command",
     "CMD is its name, and ARGUMENTS a JSON object; or CMD is all of it as JSON. What\n"
     "QEMU returns is printed, with --json on one line; if CMD has an id, in an object\n"
     "with it.",
     CVD_TOOL_OPTIONS({"timeout", 0, 0, G_OPTION_ARG_STRING, &cvd_ctl_options.timeout,
                       "How long to wait for QEMU at most", "SECONDS"}),
     .run = cvd_ctl_qmp},
    {"logs", "", "Show the guest's console, or what QEMU printed",
     "Also of an instance that failed. On a terminal, control characters are shown as\n"
     "\\xNN.",
     CVD_TOOL_OPTIONS({"follow", 'f', 0, G_OPTION_ARG_NONE, &cvd_ctl_options.follow,
                       "Go on until the instance ends", NULL},
                      {"qemu", 0, 0, G_OPTION_ARG_NONE, &cvd_ctl_options.qemu,
                       "What QEMU printed, not the guest", NULL},
                      {"lines", 0, 0, G_OPTION_ARG_STRING, &cvd_ctl_options.lines,
                       "How many to begin with (200)", "N"}),
     .run = cvd_ctl_logs},
    {"console", "", "Attach to the serial console; ctrl-] detaches",
     "First what it has said so far. Several may be attached. With a pipe as stdin its\n"
     "end does not end this; the instance's does.",
     .run = cvd_ctl_console, .takes_signals = TRUE},
    {"report", "", "Pack all about it, or a failed one, in a file",
     "Configuration, command line, the end of the conversation with QEMU, logs, and\n"
     "the window, as cvd-report-NAME-TIME.tar.gz in the current directory.",
     CVD_TOOL_OPTIONS(
         {"output", 'o', 0, G_OPTION_ARG_FILENAME, &cvd_ctl_options.output, "Where to", "FILE"},
         {"no-window", 0, 0, G_OPTION_ARG_NONE, &cvd_ctl_options.no_window, "Leave the window out",
          NULL}),
     .run = cvd_ctl_report},
    {"clients", "", "Show the clients and their regions",
     "Whether a client waits for signals nobody can see. Where several have one\n"
     "region's doorbells, those that do take each other's signals.",
     .run = cvd_ctl_clients},
    {"forget", "", "Remove what an instance that failed has left",
     "Its logs, the record of the failure and the window's copy; report packs them\n"
     "first.",
     .run = cvd_ctl_forget},
    {0},
};

static void complete(gpointer tool, const char *kind, GPtrArray *words)
{
    static const char *const states[] = {CVD_CTL_STATES, NULL};

    for (guint i = 0; strcmp(kind, "STATE") == 0 && states[i] != NULL; i++)
        cvd_complete_add(words, states[i], NULL);
}

int main(int argc, char **argv)
{
    static const CvdToolProgram program = {
        .name = "cvd-ctl",
        .version = CVD_VERSION,
        .summary = "Looks after instances of cvd-launch.",
        .epilogue = "With one instance running, --name is not needed. Each verb has --help.\n",
        .verbs = verbs,
        .complete = complete,
        .clarify = cvd_ctl_clarify,
    };

    return cvd_tool_main(&program, argv);
}
