/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cvd-client: looks at the regions of a VM's window and talks through them. A verb is a row of this
 * table and a function in a file of its own or of its group.
 */
#include "client/tool/tool.h"

#include "base/complete.h"

#include <string.h>

#define TEXT_OPTION(name, letter, member, description, value)                                      \
    {                                                                                              \
        name, letter, 0, G_OPTION_ARG_FILENAME, &cvd_tool_options.member, description, value       \
    }
#define FLAG_OPTION(name, letter, member, description)                                             \
    {                                                                                              \
        name, letter, 0, G_OPTION_ARG_NONE, &cvd_tool_options.member, description, NULL            \
    }

static const CvdToolVerb verbs[] = {
    {"list", "", "List the regions", .run = cvd_tool_list},
    {"info", "REGION", "Describe a region", .run = cvd_tool_info},
    {"read", "REGION OFFSET [COUNT]", "Show bytes, up to the end or COUNT", NULL,
     CVD_TOOL_OPTIONS(FLAG_OPTION("raw", 'r', raw, "Write the bytes as they are")),
     .run = cvd_tool_read},
    {"write", "REGION OFFSET [WORD...]", "Store 32-bit words, or bytes from stdin",
     "A WORD is decimal, or hexadecimal with 0x. All are stored, in their order, or\n"
     "none is. The guest does not learn of it: see cvd-client signal.",
     CVD_TOOL_OPTIONS(FLAG_OPTION("raw", 'r', raw, "Take bytes from stdin, up to its end"),
                      FLAG_OPTION("force", 'f', force, "Write to the signal tables, too")),
     .run = cvd_tool_write},
    {"signal", "REGION OFFSET", "Signal the word at OFFSET to the guest", .run = cvd_tool_signal},
    {"ring", "REGION", "Ring the guest without signalling anything",
     "The guest gets an interrupt. The built-in guest rings back: see cvd-client wait.",
     .run = cvd_tool_ring},
    {"wait", "REGION", "Wait for the guest's next signal or interrupt",
     "What the guest has signalled before counts, too. A region has one receiver: do\n"
     "not use this beside a program that waits there.",
     CVD_TOOL_OPTIONS(TEXT_OPTION("timeout", 't', timeout, "Fail after so long", "SECONDS")),
     .run = cvd_tool_wait},
    {"ping", "REGION", "Time round trips to the guest and back",
     "This signals a word of the region's data, and the guest answers in the next one,\n"
     "as the built-in guest does. The first answer may take 10 seconds, because the\n"
     "guest may be booting. Afterwards both words have their old values. A region has\n"
     "one receiver: do not use this beside a program that waits there.",
     CVD_TOOL_OPTIONS(
         TEXT_OPTION("count", 'c', count, "End after so many round trips; default: never", "N"),
         TEXT_OPTION("interval", 'i', interval, "Time from one to the next; default: back to back",
                     "SECONDS"),
         TEXT_OPTION("time-limit", 'W', time_limit, "Time for an answer after the first; default 1",
                     "SECONDS"),
         TEXT_OPTION("offset", 'o', offset, "Offset of the two words; default: the last 8 bytes",
                     "OFFSET")),
     .run = cvd_tool_ping},
    {"watch", "REGION", "Show the signal tables live",
     "This only looks, and takes no signal from anybody. What comes and goes between\n"
     "two looks is missed. On a terminal the tables are drawn in place, in a pipe each\n"
     "change is a line, and with --json an object.",
     CVD_TOOL_OPTIONS(TEXT_OPTION("interval", 'i', interval,
                                  "Time from one look to the next; default 0.1", "SECONDS")),
     .run = cvd_tool_watch},
    {"dump", "REGION FILE", "Save the region's data",
     "FILE is complete, with a checksum, or does not exist.", .run = cvd_tool_dump},
    {"restore", "REGION FILE", "Put back what dump has saved",
     "Nothing is written unless all of FILE is as it was saved, and fits.",
     CVD_TOOL_OPTIONS(
         FLAG_OPTION("force", 'f', force, "Also from a region of another name or version")),
     .run = cvd_tool_restore},
    {"bench", "REGION", "Measure handshakes, round trips and copies",
     "There are four parts: handshakes, reading, writing, and round trips as in ping.\n"
     "This writes to the region's data what it has read there, so do not use it for a\n"
     "region that is in use.",
     CVD_TOOL_OPTIONS(TEXT_OPTION("seconds", 't', seconds,
                                  "How long each of the four parts takes; default 1", "SECONDS")),
     .run = cvd_tool_bench},
    {"trace", "FILE", "Sum up what cvd-launch --trace has recorded",
     "For each region and direction you see how often it was rung, how often that is a\n"
     "second, and how long it took from a ring to the next one in the other direction.\n"
     "FILE may still be written. No instance is needed.",
     CVD_TOOL_OPTIONS(TEXT_OPTION("svg", 'o', svg, "Write a picture of it, too", "FILE")),
     .run = cvd_tool_trace},
    {0},
};

static void complete(gpointer data, const char *kind, GPtrArray *words)
{
    CvdTool *tool = data;
    const char *socket = strcmp(kind, "REGION") == 0 ? cvd_tool_get_socket(tool, NULL) : NULL;
    g_autoptr(GArray) regions = socket ? cvd_list_regions(socket, tool->cancellable, NULL) : NULL;

    for (guint i = 0; regions && i < regions->len; i++)
        cvd_complete_add(words, g_array_index(regions, CvdRegionInfo, i).name, NULL);
}

int main(int argc, char **argv)
{
    static const CvdToolProgram program = {
        .name = "cvd-client",
        .version = CVD_VERSION,
        .summary = "Looks at the regions of a VM's window, and talks to its guest through them.",
        .epilogue =
            "\nWith one instance running, neither --name nor --socket is needed. Offsets are in\n"
            "bytes from the start of the region. Each verb has --help.\n"
            "Exit status: 0 done, 1 failed, 2 usage error\n",
        .has_socket = TRUE,
        .verbs = verbs,
        .complete = complete,
    };

    return cvd_tool_main(&program, argv);
}
