/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host program that speaks the text protocol of section 3 in the way that it is told.
 *
 *   host-text SOCKET REGION long|bare VERSION in-turn|at-once|bytes
 *
 * long, bare: message 4 with or without `GET REGION: `; VERSION: the text that it expects as
 * message 2; in-turn: one message at a time, each answer read first; at-once: all in one send;
 * bytes: each byte in a send of its own. Pings the guest and says `answered`. Anything unexpected
 * aborts it.
 */
#include "tests/e2e/host-window.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void say(int server, const char *text, size_t size)
{
    if (send(server, text, size, 0) != (ssize_t)size)
        host_fail("send");
}

static void hear(int server, char *text, size_t size)
{
    if (recv(server, text, size, MSG_WAITALL) != (ssize_t)size)
        host_fail("recv");
}

static void hear_version(int server, const char *version)
{
    char text[64];

    hear(server, text, strlen(version));
    if (memcmp(text, version, strlen(version)) != 0)
        host_fail("another version");
}

static uint32_t hear_offset(int server)
{
    char text[11] = {0};

    hear(server, text, 10);
    return (uint32_t)strtoul(text, NULL, 16);
}

static int hear_descriptor(int server)
{
    char zeros[8], control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    struct iovec part = {.iov_base = zeros, .iov_len = sizeof zeros};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    int fd;

    if (recvmsg(server, &message, MSG_WAITALL) != (ssize_t)sizeof zeros)
        host_fail("recvmsg");
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (memcmp(zeros, "\0\0\0\0\0\0\0", sizeof zeros) != 0 || header == NULL ||
        header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof fd))
        host_fail("not one descriptor");
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

static void ask_in_turn(int server, const char *version, const char *const *messages)
{
    say(server, messages[0], strlen(messages[0]));
    hear_version(server, version);
    say(server, messages[1], strlen(messages[1]));
    say(server, messages[2], strlen(messages[2]));
}

static void ask_at_once(int server, const char *version, const char *const *messages, size_t step)
{
    char text[128];
    size_t size =
        (size_t)snprintf(text, sizeof text, "%s%s%s", messages[0], messages[1], messages[2]);

    for (size_t at = 0; at < size; at += step)
        say(server, text + at, step < size - at ? step : size - at);
    hear_version(server, version);
}

int main(int argc, char **argv)
{
    struct host_region region;
    char length[64], get[64];

    if (argc != 6)
        host_fail("usage: host-text SOCKET REGION long|bare VERSION in-turn|at-once|bytes");
    const char *name = argv[2], *version = argv[4];
    const char *messages[] = {"GET PROTOCOL_VER", length, get};
    snprintf(length, sizeof length, "INFORM REGION_NAME_LEN: 0x%08zx", strlen(name));
    snprintf(get, sizeof get, "%s%s", strcmp(argv[3], "long") == 0 ? "GET REGION: " : "", name);

    int server = host_connect(argv[1]);
    if (strcmp(argv[5], "in-turn") == 0)
        ask_in_turn(server, version, messages);
    else
        ask_at_once(server, version, messages, strcmp(argv[5], "bytes") == 0 ? 1 : 128);
    uint32_t begin = hear_offset(server);
    uint32_t end = hear_offset(server);
    region.from_guest = hear_descriptor(server);
    region.to_guest = hear_descriptor(server);
    region.window = hear_descriptor(server);
    host_region_map(&region, name);
    if (region.begin != begin || region.size != end - begin)
        host_fail("the server and the window tell different offsets");
    host_region_ping(&region, 41);
    host_say("answered");
    return 0;
}
