/* SPDX-License-Identifier: Apache-2.0 */
#include "guests/linux/say.h"

#include <stdio.h>
#include <unistd.h>

#define MAX_LINE 1024
#define PREFIX   "cvd-agent: "

void cvd_agent_vsay(const char *format, va_list args)
{
    char line[MAX_LINE] = PREFIX;
    size_t start = sizeof PREFIX - 1, room = sizeof line - start - 1;
    int n = vsnprintf(line + start, room, format, args);
    size_t length = start + (n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1);

    line[length++] = '\n';
    /* Nobody is left to be told when the console is gone. */
    for (size_t sent = 0; sent < length;) {
        ssize_t written = write(STDOUT_FILENO, line + sent, length - sent);
        if (written <= 0)
            return;
        sent += (size_t)written;
    }
}

void cvd_agent_say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    cvd_agent_vsay(format, args);
    va_end(args);
}

int cvd_agent_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    cvd_agent_vsay(format, args);
    va_end(args);
    return -1;
}
