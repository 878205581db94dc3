/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be typed on the console. A command either is done within this call, and then nothing
 * else is served meanwhile, or goes on in a process of its own (guests/linux/job.c). A new one is a
 * function and a line in the table.
 */
#include "guests/linux/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "guests/linux/job.h"
#include "guests/linux/memory.h"
#include "guests/linux/ring-region.h"
#include "guests/linux/say.h"
#include "guests/linux/scribble.h"
#include "guests/linux/serve.h"
#include "guests/linux/speed.h"
#include "guests/linux/stream.h"

#define MAX_WORDS 4

struct arguments {
    int count;
    char *words[MAX_WORDS]; /* the last has the rest of the line */
};

struct command {
    const char *name;
    const char *arguments;
    const char *summary;
    int least;
    int most;
    void (*run)(const struct arguments *arguments);
};

static int find_region(const char *name)
{
    int region = vsoc_window_find(cvd_agent_serve_window(), name);

    return region >= 0 ? region : cvd_agent_fail("no region is called '%s'", name);
}

static int parse(const char *text, uint32_t *number)
{
    bool is_hex = strncmp(text, "0x", 2) == 0;
    char *end;

    errno = 0;
    unsigned long value = strtoul(text, &end, is_hex ? 16 : 10);
    if (errno || end == text || *end || value > UINT32_MAX)
        return cvd_agent_fail("'%s' is no number of 32 bits", text);
    *number = (uint32_t)value;
    return 0;
}

static void fill(const struct arguments *arguments)
{
    int region = find_region(arguments->words[0]);
    uint32_t seed;

    if (region >= 0 && !parse(arguments->words[1], &seed))
        cvd_agent_fill(cvd_agent_serve_window(), (uint32_t)region, seed);
}

static void check(const struct arguments *arguments)
{
    int region = find_region(arguments->words[0]);
    uint32_t seed;

    if (region >= 0 && !parse(arguments->words[1], &seed))
        cvd_agent_check(cvd_agent_serve_window(), (uint32_t)region, seed);
}

static void checksum(const struct arguments *arguments)
{
    int region = find_region(arguments->words[0]);

    if (region >= 0)
        cvd_agent_checksum(cvd_agent_serve_window(), (uint32_t)region);
}

static void send_signal(const struct arguments *arguments)
{
    int region = find_region(arguments->words[0]);
    uint32_t offset;

    if (region < 0 || parse(arguments->words[1], &offset))
        return;
    cvd_agent_serve_signal((uint32_t)region, offset);
    cvd_agent_say("signalled %s 0x%x", arguments->words[0], offset);
}

static void ring(const struct arguments *arguments)
{
    int region = find_region(arguments->words[0]);

    if (region < 0)
        return;
    cvd_agent_serve_ring((uint32_t)region);
    cvd_agent_say("rang %s", arguments->words[0]);
}

static void hold(const struct arguments *arguments)
{
    cvd_agent_serve_hold(true);
    cvd_agent_say("holding");
}

static void resume(const struct arguments *arguments)
{
    cvd_agent_serve_hold(false);
    cvd_agent_say("resumed");
}

static void scribble(const struct arguments *arguments)
{
    int spared = arguments->count > 0 ? find_region(arguments->words[0]) : CVD_AGENT_SPARE_NONE;

    if (arguments->count == 0 || spared >= 0)
        cvd_agent_scribble(spared);
}

static void sink_ring(const struct arguments *arguments)
{
    int region = find_region(arguments->words[0]);

    if (region >= 0)
        cvd_agent_ring_region((uint32_t)region);
}

static void speed(const struct arguments *arguments)
{
    uint32_t mib;

    if (!parse(arguments->words[0], &mib))
        cvd_agent_speed(mib);
}

static void echo_virtio(const struct arguments *arguments)
{
    cvd_agent_virtio_echo(arguments->words[0]);
}

static void sink_virtio(const struct arguments *arguments)
{
    cvd_agent_virtio_sink(arguments->words[0]);
}

static void echo_vsock(const struct arguments *arguments)
{
    uint32_t port;

    if (!parse(arguments->words[0], &port))
        cvd_agent_vsock_echo(port);
}

static void run_shell(const struct arguments *arguments)
{
    cvd_agent_job_shell(arguments->words[0]);
}

static void stop_jobs(const struct arguments *arguments)
{
    cvd_agent_job_stop_all();
}

/* A panic through the kernel, which tells the pvpanic device. */
static void panic(const struct arguments *arguments)
{
    int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

    cvd_agent_say("panic");
    if (fd < 0 || write(fd, "c", 1) != 1)
        cvd_agent_say("/proc/sysrq-trigger: %s", strerror(errno));
}

static void end_machine(int how, const char *what)
{
    cvd_agent_say("%s", what);
    sync();
    if (reboot(how) < 0)
        cvd_agent_say("%s: %s", what, strerror(errno));
}

static void restart_machine(const struct arguments *arguments)
{
    end_machine(RB_AUTOBOOT, "reboot");
}

static void power_off(const struct arguments *arguments)
{
    end_machine(RB_POWER_OFF, "poweroff");
}

static void help(const struct arguments *arguments);

static const struct command commands[] = {
    {"check", "REGION SEED", "compare a region's data with what fill would write", 2, 2, check},
    {"checksum", "REGION", "two sums over the words of a region's data", 1, 1, checksum},
    {"fill", "REGION SEED", "write numbers over a region's data", 2, 2, fill},
    {"help", "", "this", 0, 0, help},
    {"hold", "", "answer nothing until resume", 0, 0, hold},
    {"panic", "", "have the kernel panic", 0, 0, panic},
    {"poweroff", "", "switch the machine off", 0, 0, power_off},
    {"reboot", "", "reset the machine", 0, 0, restart_machine},
    {"resume", "", "answer again, also what has come meanwhile", 0, 0, resume},
    {"ring", "REGION", "ring the host without a signal", 1, 1, ring},
    {"ring-sink", "REGION", "take messages from a ring in a region", 1, 1, sink_ring},
    {"scribble", "[REGION]", "write garbage over the window, but that region", 0, 1, scribble},
    {"sh", "COMMAND", "have a shell run a command, and tell its status", 1, 1, run_shell},
    {"signal", "REGION OFFSET", "signal a word to the host", 2, 2, send_signal},
    {"speed", "MIB", "sum up memory, and tell how long it took", 1, 1, speed},
    {"stop", "", "end all that goes on in a process of its own", 0, 0, stop_jobs},
    {"virtio-echo", "PORT", "send back what comes from a virtio port", 1, 1, echo_virtio},
    {"virtio-sink", "PORT", "take messages from a virtio port", 1, 1, sink_virtio},
    {"vsock-echo", "PORT", "send back what comes on a vsock port", 1, 1, echo_vsock},
};

static const size_t n_commands = sizeof commands / sizeof *commands;

static void help(const struct arguments *arguments)
{
    for (size_t i = 0; i < n_commands; i++)
        cvd_agent_say("  %s %s: %s", commands[i].name, commands[i].arguments, commands[i].summary);
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < n_commands; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* Splits @rest at spaces; what is left for the last word that the command takes stays whole. */
static struct arguments split(char *rest, int most)
{
    struct arguments arguments = {0};

    while (rest && *(rest += strspn(rest, " "))) {
        if (arguments.count == most) {
            arguments.count++;
            break;
        }
        char **word = &arguments.words[arguments.count++];
        *word = rest;
        if (arguments.count == most && most == 1)
            break;
        rest += strcspn(rest, " ");
        if (*rest)
            *rest++ = '\0';
    }
    return arguments;
}

void cvd_agent_obey(char *line)
{
    char *rest = line + strcspn(line, " ");

    if (*rest)
        *rest++ = '\0';
    const struct command *command = find_command(line);
    if (!command) {
        cvd_agent_say("no command is called '%s'; try help", line);
        return;
    }
    struct arguments arguments = split(rest, command->most);
    if (arguments.count < command->least || arguments.count > command->most)
        cvd_agent_say("usage: %s %s", command->name, command->arguments);
    else
        command->run(&arguments);
}
