/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host program as those of 2017: the binary dialect of section 4, read by one recv a message.
 *
 *   host-2017 SOCKET REGION close|keep
 *
 * close, keep: closes the connection after message 4, or leaves it open. Says `attached`, pings the
 * guest and says `answered`. Anything unexpected aborts it.
 */
#include "tests/e2e/host-window.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void receive_version(int server)
{
    uint32_t version;

    if (recv(server, &version, sizeof version, 0) != (ssize_t)sizeof version)
        host_fail("message 1 is not 4 bytes");
    if (version != 0)
        host_fail("message 1 is not version 0");
}

static void request(int server, const char *name)
{
    int16_t length = (int16_t)strlen(name);

    if (send(server, &length, sizeof length, 0) != (ssize_t)sizeof length ||
        send(server, name, (size_t)length, 0) != length)
        host_fail("send");
}

static void receive_descriptors(int server, struct host_region *region)
{
    char zeros[8], control[CMSG_SPACE(3 * sizeof(int))] __attribute__((aligned(8)));
    struct iovec part = {.iov_base = zeros, .iov_len = sizeof zeros};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    int fds[3];

    if (recvmsg(server, &message, 0) != (ssize_t)sizeof zeros)
        host_fail("message 4 is not 8 bytes");
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (memcmp(zeros, "\0\0\0\0\0\0\0", sizeof zeros) != 0 || header == NULL ||
        header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
        header->cmsg_len != CMSG_LEN(sizeof fds) || message.msg_flags & MSG_CTRUNC)
        host_fail("message 4 has not three descriptors");
    memcpy(fds, CMSG_DATA(header), sizeof fds);
    region->from_guest = fds[0];
    region->to_guest = fds[1];
    region->window = fds[2];
}

int main(int argc, char **argv)
{
    struct host_region region;

    if (argc != 4)
        host_fail("usage: host-2017 SOCKET REGION close|keep");
    int server = host_connect(argv[1]);
    receive_version(server);
    request(server, argv[2]);
    receive_descriptors(server, &region);
    if (strcmp(argv[3], "close") == 0)
        close(server);
    host_region_map(&region, argv[2]);
    host_say("attached");
    for (uint32_t value = 41; value < 51; value++)
        host_region_ping(&region, value);
    host_say("answered");
    return 0;
}
