/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/fuzz.h"

#include "base/fd.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

static GLogWriterOutput write_nothing(GLogLevelFlags level, const GLogField *fields, gsize n_fields,
                                      gpointer data)
{
    /* The launcher's own errors, and warnings of what peers do, are no findings; GLib's are. */
    for (gsize i = 0; i < n_fields; i++)
        if (g_strcmp0(fields[i].key, "GLIB_DOMAIN") == 0 &&
            g_strcmp0(fields[i].value, "cvd") != 0 && (level & G_LOG_LEVEL_CRITICAL) != 0)
            abort();
    return G_LOG_WRITER_HANDLED;
}

void fuzz_init(void)
{
    signal(SIGPIPE, SIG_IGN);
    g_log_set_writer_func(write_nothing, NULL, NULL);
}

int fuzz_connect(int *other)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        abort();
    *other = pair[1];
    return pair[0];
}

gsize fuzz_drain(int fd)
{
    char bytes[4096];
    gsize n_bytes = 0;
    gssize n;

    while ((n = cvd_socket_receive(fd, bytes, sizeof bytes, NULL, 0)) > 0)
        n_bytes += (gsize)n;
    return n_bytes;
}

gsize fuzz_chunk(guint8 *seed, gsize size)
{
    gsize n = *seed < 128 ? size : 1 + (gsize)(*seed % 16);

    *seed = (guint8)(*seed * 5 + 1);
    return MIN(n, size);
}
