/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * TestRegion:
 * @socket: the connection to the client socket
 * @begin: offset in the window, as the server said
 * @end: exclusive
 * @guest_to_host: the doorbell that the guest rings
 * @host_to_guest: the doorbell that we ring
 * @window: the shared memory
 * @map: the whole window
 * @data_offset: where the region's data starts, in the region
 *
 * One region as a host program has it. Written from the protocols' specification alone: nothing of
 * the server is used.
 */
typedef struct {
    int socket;
    guint32 begin;
    guint32 end;
    int guest_to_host;
    int host_to_guest;
    int window;
    guint8 *map;
    gsize window_size;
    guint32 data_offset;
    struct {
        guint32 lg2;
        guint32 table;
        guint32 word;
    } out, in;
} TestRegion;

/** test_connect: Returns: a blocking connection to the socket at @path; fails the test */
int test_connect(const char *path);
/** test_try_connect: Returns: the same, or −1 with `errno` set */
int test_try_connect(const char *path);

/** test_visit: the conversation of section 3 and nothing more; on return the server has closed its
 * end, too, and has no descriptor of it left */
void test_visit(const char *socket_path, const char *name);
/** test_say_hello: messages 1 and 2 of it, on a new connection */
void test_say_hello(int socket);
/** test_visit_again: the rest of it, on a connection that may have been used before */
void test_visit_again(int socket, const char *name);

/** test_region_attach: the conversation of section 3, then the opening of section 5 */
TestRegion *test_region_attach(const char *socket_path, const char *name);
/** test_region_wait_closed: waits until the server closes the connection */
void test_region_wait_closed(TestRegion *region);
/** test_region_is_closed: Returns: whether the server has closed the connection by now */
gboolean test_region_is_closed(const TestRegion *region);
void test_region_free(TestRegion *region);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestRegion, test_region_free)

/** test_region_word: Returns: the u32 at @offset of the region */
guint32 *test_region_word(const TestRegion *region, guint32 offset);
/** test_region_ring: rings the guest without signalling anything */
void test_region_ring(TestRegion *region);
/** test_region_is_rung: Returns: whether the guest has rung and nobody has taken it yet */
gboolean test_region_is_rung(const TestRegion *region);
/** test_region_wait_ring: waits until the guest rings, and takes it */
void test_region_wait_ring(TestRegion *region);
/** test_region_signal: sends a signal for @offset, as section 5 says */
void test_region_signal(TestRegion *region, guint32 offset);
/** test_region_wait_signal: receives signals until that for @offset has come */
void test_region_wait_signal(TestRegion *region, guint32 offset);
/** test_region_signals_are_zero: Returns: whether all tables and words are zero */
gboolean test_region_signals_are_zero(const TestRegion *region);

/** test_region_ping: has the guest add one to @value at @offset; fails the test if it does not */
void test_region_ping(TestRegion *region, guint32 offset, guint32 value);
/**
 * test_region_wait_room:
 * @region: a region
 * @barrier: the name of another one, for a ping
 *
 * Has the guest answer where nobody takes answers: it keeps this one until there is room.
 */
void test_region_wait_room(TestRegion *region, const char *socket_path, const char *barrier);
/** test_region_echo: rings and waits until the guest rings back */
void test_region_echo(TestRegion *region);

/** test_ping: attaches to region @name, pings it once, and closes */
void test_ping(const char *socket_path, const char *name);

/** TestListing: (element-type utf8): the names of all regions, in order, as `GET REGIONS` has them
 */
GPtrArray *test_list_regions(const char *socket_path);

/**
 * test_vm_receive:
 * @socket: a connection to the VM socket
 * @n_regions: how many there should be
 *
 * Takes the whole ivshmem hand-over of section 2 and compares every message.
 *
 * Returns: the window's descriptor
 */
int test_vm_receive(int socket, guint n_regions);
/** test_vm_assert_refused: the server says version 1, on which QEMU ends, and closes */
void test_vm_assert_refused(int socket);

G_END_DECLS
