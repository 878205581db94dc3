/* SPDX-License-Identifier: Apache-2.0 */
#include "guests/linux/agent.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "guests/linux/say.h"

#define MAX_LINE 1024

static char line[MAX_LINE];
static size_t length;
static bool is_too_long;

static void take(char c, void (*obey)(char *line))
{
    if (c != '\n' && c != '\r') {
        is_too_long |= length == sizeof line - 1;
        if (!is_too_long)
            line[length++] = c;
        return;
    }
    line[length] = '\0';
    if (is_too_long)
        cvd_agent_say("a line of more than %zu characters was ignored", sizeof line - 1);
    else if (length > 0)
        obey(line);
    length = 0;
    is_too_long = false;
}

int cvd_agent_console_read(void (*obey)(char *line))
{
    char bytes[256];
    ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);

    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        return -1;
    for (ssize_t i = 0; i < n; i++)
        take(bytes[i], obey);
    return 0;
}
