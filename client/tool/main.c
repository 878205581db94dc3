/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cvd-client: looks at the regions of a VM's window and talks through them. A verb is a
 * CvdToolVerb; each lives in a file of its own or of its group.
 */
#include "client/tool/tool.h"

int main(int argc, char **argv)
{
    static const CvdToolVerb *const verbs[] = {
        &cvd_tool_list,    &cvd_tool_info,  &cvd_tool_read, &cvd_tool_write, &cvd_tool_signal,
        &cvd_tool_ring,    &cvd_tool_wait,  &cvd_tool_ping, &cvd_tool_watch, &cvd_tool_dump,
        &cvd_tool_restore, &cvd_tool_bench, NULL,
    };
    static const CvdToolProgram program = {
        .name = "cvd-client",
        .version = CVD_VERSION,
        .summary = "Looks at the regions of a VM's window, and talks to its guest through them.",
        .epilogue = "Each has --help. With one instance running, neither --name nor --socket is "
                    "needed.\nOffsets are in the region, in bytes.",
        .has_socket = TRUE,
        .verbs = verbs,
    };

    return cvd_tool_main(&program, argv);
}
