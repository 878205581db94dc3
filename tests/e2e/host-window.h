/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>
#include <stdnoreturn.h>

/*
 * What the two host programs of the compatibility tests share once they have their three
 * descriptors: the window's format and the signalling, from the specification alone, without a
 * library, as programs of 2017 have it. Whatever is not as expected aborts.
 */

/** A region, mapped by itself. */
struct host_region {
    int from_guest; /* the doorbell that the guest rings */
    int to_guest;   /* the one that we ring */
    int window;
    uint8_t *base;
    uint32_t begin;
    uint32_t size;
    uint32_t words[10]; /* of its descriptor, from the versions to the signal tables */
};

/** host_fail: says what is wrong, and aborts */
noreturn void host_fail(const char *what);
/** host_connect: a blocking connection to @path, tried once */
int host_connect(const char *path);
/** host_region_map: `pread`s the descriptors, maps what that of @name tells, for writing too */
void host_region_map(struct host_region *region, const char *name);
/** host_region_ping: has the guest add one to a word, and waits for its signal */
void host_region_ping(struct host_region *region, uint32_t value);
/** host_say: prints a line that the test waits for */
void host_say(const char *line);
