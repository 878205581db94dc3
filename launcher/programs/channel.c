/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/programs/channel.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void cvd_channel_init(CvdChannel *channel, const CvdSocketConfig *config, char *take_path)
{
    *channel = (CvdChannel){.config = config, .program_fd = -1, .qemu_fd = -1, .path = take_path};
}

/* QEMU is connected before the program has accepted it. Nobody else needs the path. */
static gboolean listen_and_connect(CvdChannel *channel)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (g_strlcpy(address.sun_path, channel->path, sizeof address.sun_path) >=
        sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return FALSE;
    }
    channel->program_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (channel->program_fd < 0 ||
        bind(channel->program_fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
        listen(channel->program_fd, 1) < 0)
        return FALSE;
    channel->qemu_fd = cvd_socket_connect(channel->path);
    unlink(channel->path);
    return channel->qemu_fd >= 0;
}

static gboolean make_pair(CvdChannel *channel)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return FALSE;
    channel->program_fd = pair[0];
    channel->qemu_fd = pair[1];
    return TRUE;
}

gboolean cvd_channel_open(CvdChannel *channel, GError **error)
{
    gboolean is_open = TRUE;

    cvd_channel_close(channel);
    if (channel->config->kind == CVD_SOCKET_LISTEN)
        is_open = listen_and_connect(channel);
    else if (channel->config->kind == CVD_SOCKET_PAIR)
        is_open = make_pair(channel);
    return is_open || cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot make socket %s",
                                          channel->config->name);
}

gboolean cvd_channel_connect(CvdChannel *channel)
{
    if (channel->qemu_fd < 0 && channel->config->kind == CVD_SOCKET_PATH)
        channel->qemu_fd = cvd_socket_connect(channel->path);
    return channel->qemu_fd >= 0;
}

void cvd_channel_close(CvdChannel *channel)
{
    cvd_close_fd(&channel->program_fd);
    cvd_close_fd(&channel->qemu_fd);
    if (channel->path != NULL)
        unlink(channel->path);
}
