/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * Load:
 * @rate: handshakes a second
 * @p50_us: from connect to the last descriptor, in microseconds
 * @p99_us: the same
 */
typedef struct {
    double rate;
    double p50_us;
    double p99_us;
} Load;

/**
 * load_run:
 * @socket_path: a client socket
 * @region: the name to ask for
 * @n_concurrent: how many connections are in a handshake at once
 * @n_total: how many handshakes in all
 *
 * Full handshakes, docs/protocol.md, The client socket, each on a connection of its own that
 * is closed after it. One thread, one epoll set. Ends the program when one fails.
 */
Load load_run(const char *socket_path, const char *region, guint n_concurrent, guint n_total);

/**
 * load_hold:
 * @n: how many
 *
 * Returns: (transfer full) (element-type int): connections that have done a handshake and stay open
 */
GArray *load_hold(const char *socket_path, const char *region, guint n);

/** load_release: closes them */
void load_release(GArray *held);

/**
 * minimal_server_start:
 * @socket_path: where to listen
 *
 * The baseline: a child process with one thread and one epoll set that sends the bytes of an answer
 * as soon as it has got as many bytes as a request has, without looking at them.
 *
 * Returns: its pid
 */
int minimal_server_start(const char *socket_path);

G_END_DECLS
