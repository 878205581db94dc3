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

static const CvdToolVerb verbs[] = {
    {"list", "", "Show all instances",
     "These are the ones that run, and those that failed as long as their records are\n"
     "there. One that does not answer within a second is shown as such.",
     CVD_TOOL_OPTIONS({"all-users", 'a', 0, G_OPTION_ARG_NONE, &cvd_ctl_options.all_users,
                       "Show whose they are, and those that you may not use", NULL}),
     .run = cvd_ctl_list, .takes_group = TRUE, .with_next = "Show all instances, once or live"},
    {"top", "", "Show all instances live, with programs and regions",
     "Regions have rates if the instance was started with --trace, and else the number\n"
     "of their clients. On a terminal q ends it. Elsewhere each look is a table, the\n"
     "first of which comes after an interval if it has rates.",
     CVD_TOOL_OPTIONS(
         {"interval", 'i', 0, G_OPTION_ARG_STRING, &cvd_ctl_options.interval,
          "Time from one look to the next; default 1", "SECONDS"},
         {"count", 'c', 0, G_OPTION_ARG_STRING, &cvd_ctl_options.count,
          "Print so many tables, also on a terminal", "N"},
         {"once", 0, 0, G_OPTION_ARG_NONE, &cvd_ctl_options.once, "The same as --count=1", NULL}),
     .run = cvd_ctl_top, .takes_group = TRUE},
    {"status", "", "Show the state and regions, or how it failed", .run = cvd_ctl_status,
     .takes_group = TRUE},
    {"stop", "", "Take the instance down, and wait until it is",
     "This is what ctrl-c does in the terminal of cvd-launch. If you interrupt it, the\n"
     "stop goes on.",
     CVD_TOOL_OPTIONS({"now", 0, 0, G_OPTION_ARG_NONE, &cvd_ctl_options.now,
                       "Do not wait for the guest to power off", NULL}),
     .run = cvd_ctl_stop, .takes_group = TRUE,
     .with_next = "Take the instance down, or start another VM"},
    {"restart", "", "Start another VM, and wait until it runs",
     "Window and doorbells stay the same, with new content. The connections of host\n"
     "programs end, which tells them.",
     .run = cvd_ctl_restart, .takes_group = TRUE},
    {"reset", "", "Reset the guest, in the same QEMU", .run = cvd_ctl_call, .method = "Reset",
     .done = "reset", .takes_group = TRUE,
     .with_next = "Reset the guest, or press its power button"},
    {"power-button", "", "Press the guest's power button, once", .run = cvd_ctl_call,
     .method = "PowerButton"},
    {"pause", "", "Stop the guest's processors", .run = cvd_ctl_call, .method = "Pause",
     .done = "paused", .takes_group = TRUE,
     .with_next = "Stop the guest's processors, or let them go on"},
    {"resume", "", "Let the guest's processors go on", .run = cvd_ctl_call, .method = "Resume",
     .done = "resumed", .takes_group = TRUE},
    {"snapshot", "NAME", "Save the machine, to be started from there",
     "Connections of host programs end, as at a reset. Then the machine is stopped, or\n"
     "goes on with --keep-running. NAME with a slash in it is a path.",
     CVD_TOOL_OPTIONS({"keep-running", 0, 0, G_OPTION_ARG_NONE, &cvd_ctl_options.keep_running,
                       "Do not stop the machine", NULL},
                      {"compress", 0, 0, G_OPTION_ARG_NONE, &cvd_ctl_options.compress,
                       "Pack its memory, which takes longer", NULL}),
     .run = cvd_ctl_snapshot},
    {"snapshots", "", "Show all snapshots",
     "USED is how many machines run from one. --json has more. What was left by those\n"
     "who were killed while they made or deleted a snapshot is removed.",
     .run = cvd_ctl_snapshots, .has_no_name = TRUE,
     .with_next = "Show snapshots, or one; delete some"},
    {"info", "SNAPSHOT", "Show all about a snapshot", "SNAPSHOT with a slash in it is a path.",
     CVD_TOOL_OPTIONS({"verify", 0, 0, G_OPTION_ARG_NONE, &cvd_ctl_options.verify,
                       "Read all files, whether they are as they were written", NULL}),
     .run = cvd_ctl_info, .has_no_name = TRUE, .with_next = ""},
    {"delete", "SNAPSHOT [SNAPSHOT...]", "Delete snapshots",
     "A snapshot that a machine runs from cannot be deleted: stop the machine first.",
     .run = cvd_ctl_delete, .has_no_name = TRUE},
    {"wait", "STATE", "Wait until the instance is in a state",
     "The states are starting, running, paused, suspended, faulted, stopping,\n"
     "restarting, stopped and failed; ready is as lifecycle.ready in cvd.json has it.\n"
     "With --name the instance need not exist yet.",
     CVD_TOOL_OPTIONS({"timeout", 0, 0, G_OPTION_ARG_STRING, &cvd_ctl_options.timeout,
                       "How long to wait at most", "SECONDS"}),
     .run = cvd_ctl_wait, .takes_group = TRUE},
    {"events", "", "Follow what happens, until the instance ends",
     "There is a line for each state, with its reason, and for each event of QEMU,\n"
     "with its data.",
     .run = cvd_ctl_events},
    {"qmp", "[CMD] [ARGUMENT...]", "Send QEMU a command, or open a prompt for some",
     "CMD is a name, and each ARGUMENT KEY=VALUE or all of them one JSON object; or\n"
     "CMD is the whole command as JSON. Without CMD, stdin has commands, one a line;\n"
     "on a terminal this is a prompt. What QEMU returns is printed, with --json on one\n"
     "line, and if CMD has an id, in an object with that id.",
     CVD_TOOL_OPTIONS({"timeout", 0, 0, G_OPTION_ARG_STRING, &cvd_ctl_options.timeout,
                       "How long to wait for QEMU at most", "SECONDS"},
                      {"socket", 0, 0, G_OPTION_ARG_FILENAME, &cvd_ctl_options.socket,
                       "Be a QMP socket for other programs", "PATH"}),
     .run = cvd_ctl_qmp, .takes_signals = TRUE},
    {"logs", "[PROGRAM]", "Show what the guest, QEMU or a program printed",
     "Without PROGRAM, which is a host program or \"hooks\", it is the guest's console.\n"
     "This works for an instance that failed, too. On a terminal, control characters\n"
     "are shown as \\xNN.",
     CVD_TOOL_OPTIONS({"follow", 'f', 0, G_OPTION_ARG_NONE, &cvd_ctl_options.follow,
                       "Go on until the instance ends", NULL},
                      {"qemu", 0, 0, G_OPTION_ARG_NONE, &cvd_ctl_options.qemu,
                       "Show what QEMU printed, not the guest", NULL},
                      {"launcher", 0, 0, G_OPTION_ARG_NONE, &cvd_ctl_options.launcher,
                       "Show what cvd-launch says in the background", NULL},
                      {"lines", 0, 0, G_OPTION_ARG_STRING, &cvd_ctl_options.lines,
                       "How many lines to begin with (200)", "N"}),
     .run = cvd_ctl_logs},
    {"attach", "", "Attach to the serial console; ctrl-] detaches",
     "You first see what the guest said last. Several may be attached. If stdin is no\n"
     "terminal, its end does not end this; the end of the instance does.",
     .run = cvd_ctl_attach, .takes_signals = TRUE, .alias = "console"},
    {"clients", "", "Show the clients and their regions",
     "If several clients have the doorbells of one region, they are marked: those that\n"
     "wait there take each other's signals. Nobody can see which clients wait.",
     .run = cvd_ctl_clients, .with_next = "Show the clients, or the host programs"},
    {"programs", "", "Show the host programs of the instance",
     "There is a line for each: its state, its process, how often it was started again\n"
     "by itself, since when it is in that state, its regions, and how it ended last or\n"
     "what it says itself.",
     .run = cvd_ctl_programs},
    {"program", "ACTION PROGRAM", "Start, stop or restart a host program",
     "ACTION is start, stop or restart. This waits until the program is ready, or has\n"
     "ended.",
     .run = cvd_ctl_program},
    {"report", "", "Pack all about it, or a failed one, in a file",
     "The file has the configuration, the command line, the end of the conversation\n"
     "with QEMU, the logs and the window. It is cvd-report-NAME-TIME.tar.gz in the\n"
     "current directory. FILE may be - for stdout.",
     CVD_TOOL_OPTIONS({"output", 'o', 0, G_OPTION_ARG_FILENAME, &cvd_ctl_options.output,
                       "Write this file", "FILE"},
                      {"no-window", 0, 0, G_OPTION_ARG_NONE, &cvd_ctl_options.no_window,
                       "Leave the window out", NULL}),
     .run = cvd_ctl_report, .with_next = "Pack all about it, or remove what it left"},
    {"forget", "", "Remove what an instance that failed has left",
     "This removes its logs, the record of the failure and the copy of the window. Use\n"
     "report first if you want to keep them. With --group it is for those that failed.",
     .run = cvd_ctl_forget, .takes_group = TRUE},
    {0},
};

static void complete(gpointer tool, const char *kind, GPtrArray *words)
{
    static const char *const states[] = {CVD_CTL_STATES, CVD_CTL_READY, NULL};

    static const char *const actions[] = {"start", "stop", "restart", NULL};
    gboolean is_here = ((const CvdTool *)tool)->host == NULL;

    if ((strcmp(kind, "[PROGRAM]") == 0 || strcmp(kind, "PROGRAM") == 0) && is_here)
        cvd_ctl_complete_programs(tool, words);
    if ((strcmp(kind, "SNAPSHOT") == 0 || strcmp(kind, "[SNAPSHOT...]") == 0) && is_here)
        cvd_ctl_complete_snapshots(words);
    for (guint i = 0; strcmp(kind, "ACTION") == 0 && actions[i] != NULL; i++)
        cvd_complete_add(words, actions[i], NULL);
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
        .has_groups = TRUE,
        .verbs = verbs,
        .complete = complete,
        .run_on_host = cvd_ctl_run_on_host,
        .clarify = cvd_ctl_clarify,
    };

    cvd_ctl_end_with_connection();
    return cvd_tool_main(&program, argv);
}
