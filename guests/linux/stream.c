/* SPDX-License-Identifier: Apache-2.0 */
/* The other ways by which host and guest exchange bytes, for those who want to compare. */
#include "guests/linux/agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "guests/linux/say.h"
#include "vsoc/ring.h"

/* How many bytes a message may have. */
#define MAX_MESSAGE  (1u << 20)
#define PORTS        "/sys/class/virtio-ports"
#define BUFFER_SIZE  (2 * (MAX_MESSAGE + sizeof(struct vsoc_ring_header)))
#define NOT_YET_NS   10000000
#define STATUS_ERROR 1

static char port_path[300];
static int vsock_listener;
static char buffer[BUFFER_SIZE];

/* Without udev no link has the name of a port; sysfs has it. */
static bool has_name(const char *port, const char *name)
{
    char path[300], found[128] = "";

    snprintf(path, sizeof path, "%s/%s/name", PORTS, port);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool matches = fgets(found, sizeof found, file) != NULL;
    fclose(file);
    found[strcspn(found, "\n")] = '\0';
    return matches && strcmp(found, name) == 0;
}

static int find_port(const char *name)
{
    DIR *ports = opendir(PORTS);
    struct dirent *entry = NULL;

    while (ports && (entry = readdir(ports)) != NULL)
        if (entry->d_name[0] != '.' && has_name(entry->d_name, name)) {
            snprintf(port_path, sizeof port_path, "/dev/%s", entry->d_name);
            break;
        }
    if (ports)
        closedir(ports);
    return entry ? 0 : cvd_agent_fail("no virtio port is called '%s'", name);
}

/* Returns: whether all of it could be sent */
static bool send_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        size -= (size_t)n;
    }
    return true;
}

/*
 * A port to which nobody on the host is connected reads as at its end, and nothing tells when
 * somebody is: so it is tried again after a while.
 * Returns: how much was read, never 0; −1 on an error
 */
static ssize_t receive_from_port(int fd, char *bytes, size_t size)
{
    struct timespec not_yet = {.tv_nsec = NOT_YET_NS};
    ssize_t n;

    while ((n = read(fd, bytes, size)) == 0 || (n < 0 && errno == EINTR))
        nanosleep(&not_yet, NULL);
    return n;
}

static int open_port(void)
{
    int fd = open(port_path, O_RDWR | O_CLOEXEC);

    return fd < 0 ? cvd_agent_fail("%s: %s", port_path, strerror(errno)) : fd;
}

static int run_virtio_echo(void)
{
    int fd = open_port();
    ssize_t n = 0;

    while (fd >= 0 && (n = receive_from_port(fd, buffer, sizeof buffer)) > 0)
        if (!send_all(fd, buffer, (size_t)n))
            break;
    return STATUS_ERROR;
}

/* Of the messages that were taken; what is told at the end of a series. */
static struct vsoc_ring_account account;

/* Returns: how many bytes of @size at @at make whole messages, or −1 when none may follow */
static ssize_t take_messages(int fd, const char *at, size_t size)
{
    struct vsoc_ring_header header;
    size_t taken = 0;

    while (size - taken >= sizeof header) {
        memcpy(&header, at + taken, sizeof header);
        if (header.length > MAX_MESSAGE)
            return cvd_agent_fail("a message of %u bytes", header.length);
        if (size - taken - sizeof header < header.length)
            break;
        vsoc_ring_account_add_bytes(&account, &header, at + taken + sizeof header);
        taken += sizeof header + header.length;
        if (header.length > 0)
            continue;
        if (!send_all(fd, (const char *)&account, sizeof account))
            return -1;
        memset(&account, 0, sizeof account);
    }
    return (ssize_t)taken;
}

static int run_virtio_sink(void)
{
    int fd = open_port();
    size_t begin = 0, end = 0;
    ssize_t n;

    while (fd >= 0 && (n = receive_from_port(fd, buffer + end, sizeof buffer - end)) > 0) {
        end += (size_t)n;
        ssize_t taken = take_messages(fd, buffer + begin, end - begin);
        if (taken < 0)
            break;
        begin += (size_t)taken;
        if (begin < sizeof buffer / 2 && begin < end)
            continue; /* else a message might not find room up to the buffer's end */
        memmove(buffer, buffer + begin, end - begin);
        end -= begin;
        begin = 0;
    }
    return STATUS_ERROR;
}

void cvd_agent_virtio_echo(const struct cvd_agent_call *call)
{
    if (!find_port(call->text))
        cvd_agent_job_start("virtio-echo", run_virtio_echo);
}

void cvd_agent_virtio_sink(const struct cvd_agent_call *call)
{
    if (!find_port(call->text))
        cvd_agent_job_start("virtio-sink", run_virtio_sink);
}

static int listen_on_vsock(uint32_t port)
{
    struct sockaddr_vm address = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1) < 0)
        return cvd_agent_fail("vsock port %u: %s", port, strerror(errno));
    return fd;
}

static int run_vsock_echo(void)
{
    for (;;) {
        int fd = accept(vsock_listener, NULL, NULL);
        ssize_t n;

        if (fd < 0 && errno != EINTR && errno != ECONNABORTED)
            break;
        while (fd >= 0 && (n = read(fd, buffer, sizeof buffer)) > 0)
            if (!send_all(fd, buffer, (size_t)n))
                break;
        if (fd >= 0)
            close(fd);
    }
    return STATUS_ERROR;
}

void cvd_agent_vsock_echo(const struct cvd_agent_call *call)
{
    vsock_listener = listen_on_vsock(call->number);
    if (vsock_listener < 0)
        return;
    cvd_agent_job_start("vsock-echo", run_vsock_echo);
    close(vsock_listener);
}
