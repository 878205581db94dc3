/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be typed on the console. A command either is done within this call, and then nothing
 * else is served meanwhile, or goes on in a process of its own (guests/linux/job.c). A new one is a
 * function and a line in the table.
 */
#include "guests/linux/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "guests/linux/say.h"
#include "guests/linux/serve.h"

#define MAX_WORDS 2

/* @kinds: a letter for each argument: r for a region, n for a number, t for text. Where @arguments
 * begins with a bracket there may be none. */
struct command {
    const char *name;
    const char *arguments;
    const char *summary;
    const char *kinds;
    cvd_agent_command *run;
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

static void send_signal(const struct cvd_agent_call *call)
{
    cvd_agent_serve_signal((uint32_t)call->region, call->number);
    cvd_agent_say("signalled %s 0x%x", call->text, call->number);
}

static void ring(const struct cvd_agent_call *call)
{
    cvd_agent_serve_ring((uint32_t)call->region);
    cvd_agent_say("rang %s", call->text);
}

static void hold(const struct cvd_agent_call *call)
{
    cvd_agent_serve_hold(true);
    cvd_agent_say("holding");
}

static void resume(const struct cvd_agent_call *call)
{
    cvd_agent_serve_hold(false);
    cvd_agent_say("resumed");
}

/* A panic through the kernel, which tells the pvpanic device. */
static void panic(const struct cvd_agent_call *call)
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

static void restart_machine(const struct cvd_agent_call *call)
{
    end_machine(RB_AUTOBOOT, "reboot");
}

static void power_off(const struct cvd_agent_call *call)
{
    end_machine(RB_POWER_OFF, "poweroff");
}

static void help(const struct cvd_agent_call *call);

static const struct command commands[] = {
    {"check", "REGION SEED", "compare a region's data with what fill would write", "rn",
     cvd_agent_check},
    {"checksum", "REGION", "two sums over the words of a region's data", "r", cvd_agent_checksum},
    {"fill", "REGION SEED", "write numbers over a region's data", "rn", cvd_agent_fill},
    {"help", "", "this", "", help},
    {"hold", "", "answer nothing until resume", "", hold},
    {"panic", "", "have the kernel panic", "", panic},
    {"poweroff", "", "switch the machine off", "", power_off},
    {"reboot", "", "reset the machine", "", restart_machine},
    {"resume", "", "answer again, also what has come meanwhile", "", resume},
    {"ring", "REGION", "ring the host without a signal", "r", ring},
    {"ring-sink", "REGION", "take messages from a ring in a region", "r", cvd_agent_ring_region},
    {"scribble", "[REGION]", "write garbage over the window, but that region", "r",
     cvd_agent_scribble},
    {"sh", "COMMAND", "have a shell run a command, and tell its status", "t", cvd_agent_job_shell},
    {"signal", "REGION OFFSET", "signal a word to the host", "rn", send_signal},
    {"speed", "MIB", "sum up memory, and tell how long it took", "n", cvd_agent_speed},
    {"stop", "", "end all that goes on in a process of its own", "", cvd_agent_job_stop_all},
    {"virtio-echo", "PORT", "send back what comes from a virtio port", "t", cvd_agent_virtio_echo},
    {"virtio-sink", "PORT", "take messages from a virtio port", "t", cvd_agent_virtio_sink},
    {"vsock-echo", "PORT", "send back what comes on a vsock port", "n", cvd_agent_vsock_echo},
};

static const size_t n_commands = sizeof commands / sizeof *commands;

static void help(const struct cvd_agent_call *call)
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

/*
 * Splits @rest at spaces; what is left for a single word stays whole.
 * Returns: how many there are, at most one more than @most
 */
static size_t split(char *rest, char *words[MAX_WORDS], size_t most)
{
    size_t n = 0;

    while (*(rest += strspn(rest, " "))) {
        if (n == most)
            return n + 1;
        words[n++] = rest;
        if (most == 1)
            break;
        rest += strcspn(rest, " ");
        if (*rest)
            *rest++ = '\0';
    }
    return n;
}

static int take_argument(struct cvd_agent_call *call, char kind, const char *word)
{
    if (kind == 'n')
        return parse(word, &call->number);
    call->text = word;
    if (kind == 'r')
        call->region = find_region(word);
    return kind == 'r' && call->region < 0 ? -1 : 0;
}

void cvd_agent_obey(char *line)
{
    char *rest = line + strcspn(line, " "), *words[MAX_WORDS];
    struct cvd_agent_call call = {.region = -1};

    if (*rest)
        *rest++ = '\0';
    const struct command *command = find_command(line);
    if (!command) {
        cvd_agent_say("no command is called '%s'; try help", line);
        return;
    }
    size_t most = strlen(command->kinds), n = split(rest, words, most);
    if (n != most && !(n == 0 && command->arguments[0] == '[')) {
        cvd_agent_say("usage: %s %s", command->name, command->arguments);
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (take_argument(&call, command->kinds[i], words[i]))
            return;
    command->run(&call);
}
