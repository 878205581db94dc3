/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The window through its descriptor, and section 5's signals for one thread.
 */
#include "tests/e2e/host-window.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DESCRIPTOR_SIZE 60
#define NAME_AT         40
#define NAME_SIZE       16

/* Words of a descriptor. The first has the two versions. */
enum {
    BEGIN = 1,
    END = 2,
    DATA = 3,
    IN = 4, /* the guest's table: lg2 of its slots, where it is, where its word is */
    OUT = 7,
    N_WORDS = 10,
};

void host_fail(const char *what)
{
    perror(what);
    abort();
}

void host_say(const char *line)
{
    puts(line);
    fflush(stdout);
}

int host_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof address.sun_path)
        host_fail("the path is too long");
    strcpy(address.sun_path, path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        host_fail(path);
    return fd;
}

static void read_window(int window, void *data, size_t size, uint32_t offset)
{
    if (pread(window, data, size, offset) != (ssize_t)size)
        host_fail("pread of the window");
}

void host_region_map(struct host_region *region, const char *name)
{
    struct {
        uint16_t major, minor;
        uint32_t size, count, descriptors;
    } layout;
    char found[NAME_SIZE];

    read_window(region->window, &layout, sizeof layout, 0);
    if (layout.major != 2 || layout.minor != 0)
        host_fail("the layout's version is not 2.0");
    for (uint32_t i = 0; i < layout.count; i++) {
        uint32_t at = layout.descriptors + DESCRIPTOR_SIZE * i;

        read_window(region->window, found, sizeof found, at + NAME_AT);
        if (strncmp(found, name, sizeof found) != 0)
            continue;
        read_window(region->window, region->words, 4 * N_WORDS, at);
        region->begin = region->words[BEGIN];
        region->size = region->words[END] - region->begin;
        region->base = mmap(NULL, region->size, PROT_READ | PROT_WRITE, MAP_SHARED, region->window,
                            region->begin);
        if (region->base == MAP_FAILED)
            host_fail("mmap");
        return;
    }
    host_fail("no such region in the window");
}

static uint32_t *word_at(const struct host_region *region, uint32_t offset)
{
    return (uint32_t *)(void *)(region->base + offset);
}

static uint32_t exchange(const struct host_region *region, uint32_t offset, uint32_t value)
{
    return __atomic_exchange_n(word_at(region, offset), value, __ATOMIC_SEQ_CST);
}

static void send_signal(struct host_region *region, uint32_t offset)
{
    const uint32_t *out = region->words + OUT;
    uint32_t mask = (1u << out[0]) - 1, i = 0;
    uint64_t one = 1;

    for (;; i++) {
        uint32_t found = 0;

        if (i > mask)
            host_fail("the signal table is full");
        if (__atomic_compare_exchange_n(word_at(region, out[1] + 4 * (((offset >> 2) + i) & mask)),
                                        &found, offset, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ||
            found == offset)
            break;
    }
    if (exchange(region, out[2], 1) == 0 &&
        write(region->to_guest, &one, sizeof one) != (ssize_t)sizeof one)
        host_fail("write to the doorbell");
}

/* Polls before it reads, as others may have made the doorbell non-blocking. */
static void wait_ring(struct host_region *region)
{
    struct pollfd from_guest = {.fd = region->from_guest, .events = POLLIN};
    uint64_t count;

    if (poll(&from_guest, 1, -1) != 1 ||
        read(region->from_guest, &count, sizeof count) != (ssize_t)sizeof count)
        host_fail("wait for the doorbell");
}

static int receive_signal(struct host_region *region, uint32_t offset)
{
    const uint32_t *in = region->words + IN;
    int has_come = 0;

    exchange(region, in[2], 0);
    for (uint32_t i = 0; i < 1u << in[0]; i++)
        if (exchange(region, in[1] + 4 * i, 0) == offset)
            has_come = 1;
    return has_come;
}

void host_region_ping(struct host_region *region, uint32_t value)
{
    uint32_t data = region->words[DATA];

    receive_signal(region, 0);
    exchange(region, data + 4, 0);
    exchange(region, data, value);
    send_signal(region, data);
    do
        wait_ring(region);
    while (!receive_signal(region, data + 4));
    if (*word_at(region, data + 4) != value + 1)
        host_fail("the guest's answer is not one more");
}
