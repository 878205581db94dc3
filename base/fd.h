/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/**
 * cvd_close_fd:
 * @fd: (inout): a descriptor or −1; −1 afterwards
 *
 * Closes the descriptor, if there is one, and keeps `errno`.
 */
void cvd_close_fd(int *fd);

/**
 * cvd_autofd:
 *
 * Declares a descriptor that is closed at the end of its scope. Hand it on with g_steal_fd().
 */
#define cvd_autofd __attribute__((cleanup(cvd_close_fd))) int

/**
 * cvd_fd_is_at:
 * @fd: of a file of any kind, also one of O_PATH
 * @dir_fd: what @path is relative to, or AT_FDCWD
 *
 * Returns: whether @path still stands for that very file: so that nobody else's is removed there
 */
gboolean cvd_fd_is_at(int fd, int dir_fd, const char *path);

/**
 * cvd_fd_reopen_nonblocking:
 * @fd: a terminal, a pipe or a file, e.g. stdout
 * @flags: access mode and further flags of open(2)
 *
 * O_NONBLOCK is a flag of the open file description, which others may share: this opens the same
 * object once more, for us alone. What cannot or need not be opened so is duplicated with its
 * flags: a socket, another user's terminal, and a regular file, whose offset is to stay shared.
 *
 * Returns: (transfer full): a close-on-exec descriptor; −1 with `errno` set
 */
int cvd_fd_reopen_nonblocking(int fd, int flags);

/**
 * cvd_fd_write_nowait:
 * @fd: what cvd_fd_reopen_nonblocking() returned
 *
 * One `write` that does not block, whatever flags the descriptor has, and raises no SIGPIPE for a
 * socket.
 *
 * Returns: how many bytes went, perhaps not all, or −1 with `errno` set
 */
gssize cvd_fd_write_nowait(int fd, const void *data, gsize size);

/**
 * cvd_fd_read_nowait:
 * @fd: what cvd_fd_reopen_nonblocking() returned
 *
 * One `read` that does not block, as others may read from the same object and be faster.
 *
 * Returns: how many bytes came, 0 at the end, or −1 with `errno` set
 */
gssize cvd_fd_read_nowait(int fd, void *data, gsize size);

/**
 * cvd_doorbell_take:
 * @doorbell: an eventfd, no semaphore, that others hold too
 *
 * Takes the whole count. It does not block, though O_NONBLOCK is shared with whoever holds the
 * doorbell and may clear it: RWF_NOWAIT is a property of the one call.
 *
 * Returns: whether it was rung
 */
gboolean cvd_doorbell_take(int doorbell);
/** cvd_doorbell_take_count: the same; @count: (out): how often it was rung, if it was */
gboolean cvd_doorbell_take_count(int doorbell, guint64 *count);

/**
 * cvd_fd_new_sealed:
 * @name: for /proc
 * @data: (array length=size): what a message is too small for
 *
 * Returns: (transfer full): a descriptor of memory that has a copy of it, and that nobody can
 * change any more; −1 with `errno` set
 */
int cvd_fd_new_sealed(const char *name, const void *data, gsize size);

/**
 * cvd_fd_fill_stdio:
 *
 * Gives stdin, stdout and stderr a descriptor where the program was started without one, so that
 * no socket or doorbell gets the number, and with it what is meant for people. Reading that stdin
 * and writing to that stdout or stderr fails with EBADF, as before. To be called first.
 *
 * Returns: 0, or −1 with `errno` set
 */
int cvd_fd_fill_stdio(void);

/**
 * cvd_fd_close_others:
 * @kept: (array length=n_kept): descriptors
 *
 * Closes all but those and stdin, stdout and stderr: for a process that goes on by itself, and
 * whose starter may wait for the end of what it had open. Without /proc nothing is closed.
 */
void cvd_fd_close_others(const int *kept, guint n_kept);

/**
 * cvd_fd_reserve:
 * @fd: any open descriptor
 * @n_fds: how many more there will be, before long
 *
 * The kernel makes a process's table of descriptors twice as large whenever it is full, and in a
 * process with threads waits each time until all processors have been through the scheduler, some
 * 10 ms. A descriptor with a high number, for a moment, has it grow but once. That there is no such
 * number is found by whoever opens them. May be called between fork and exec: the table stays.
 */
void cvd_fd_reserve(int fd, guint n_fds);

/** CVD_FDS_PER_REGION: the doorbells of a region; with a trace there are twice as many */
#define CVD_FDS_PER_REGION        2
#define CVD_FDS_PER_TRACED_REGION 4

/**
 * cvd_check_fd_limit:
 * @n_regions: how many regions the window has
 * @n_per_region: how many descriptors each takes
 * @error: %CVD_ERROR_RESOURCES: the soft RLIMIT_NOFILE is below @n_per_region × @n_regions + 64
 *
 * Returns: whether a server of so many regions has the descriptors that it needs
 */
gboolean cvd_check_fd_limit(guint n_regions, guint n_per_region, GError **error);

/**
 * cvd_raise_fd_limit:
 * @n_regions: how many regions the window has
 * @n_per_region: how many descriptors each takes
 * @error: %CVD_ERROR_RESOURCES: the hard limit is below @n_per_region × @n_regions + 64; the
 * message has both numbers
 *
 * Raises the soft RLIMIT_NOFILE to the hard one: docs/lifecycle.md, Start.
 */
gboolean cvd_raise_fd_limit(guint n_regions, guint n_per_region, GError **error);

/**
 * cvd_restore_fd_limit:
 * @n_needed: how many descriptors the program about to be executed needs
 *
 * Between fork and exec: sets the soft RLIMIT_NOFILE to what it was before cvd_raise_fd_limit(), as
 * many programs close every number below it, or to @n_needed if that is more. QEMU misreads its
 * protocol when it runs out of descriptors.
 */
void cvd_restore_fd_limit(guint n_needed);

/** CVD_FD_RESERVE: what a restart of QEMU, of a host program, and the record of a failure open
 * at once. */
#define CVD_FD_RESERVE 20

/**
 * cvd_fd_hold_back:
 * @n_fds: how many, 0 = none
 *
 * Has this process run out of descriptors @n_fds before its hard limit, until it is called with a
 * smaller number: what peers make it open, a connection each, leaves that many.
 *
 * Returns: what was held back before
 */
guint cvd_fd_hold_back(guint n_fds);

/** CVD_MAX_PASSED_FDS: the most descriptors that one message of any of our protocols carries. */
#define CVD_MAX_PASSED_FDS 3

/** cvd_socket_connect: Returns: a non-blocking stream socket connected to @path, or −1 with `errno`
 * set: ENAMETOOLONG for a path that none can have */
int cvd_socket_connect(const char *path);

/**
 * cvd_socket_send:
 * @socket: a UNIX stream socket
 * @data: (array length=size): the bytes of one message
 * @size: how many, at least 1
 * @fds: (array length=n_fds) (nullable): descriptors to attach; the caller keeps them
 * @n_fds: how many, at most %CVD_MAX_PASSED_FDS
 *
 * One `sendmsg` that neither blocks nor raises SIGPIPE. The descriptors go with the first byte, so
 * after a short send only the remaining bytes are to be sent, without descriptors.
 *
 * Returns: how many bytes went, or −1 with `errno` set (EAGAIN: the socket is full)
 */
gssize cvd_socket_send(int socket, const void *data, gsize size, const int *fds, guint n_fds);

/**
 * cvd_socket_receive:
 * @socket: a UNIX stream socket
 * @data: (out caller-allocates) (array length=size): where the bytes go
 * @size: the room there, at least 1
 * @fds: (out caller-allocates) (array length=max_fds) (nullable): where descriptors go; the caller
 *   owns them; entries without a descriptor become −1
 * @max_fds: the room there, at most %CVD_MAX_PASSED_FDS; descriptors beyond it are closed at once
 *
 * One `recvmsg` that does not block. Received descriptors are close-on-exec.
 *
 * Returns: how many bytes came, 0 at the end of the stream, or −1 with `errno` set (EAGAIN: nothing
 *   there)
 */
gssize cvd_socket_receive(int socket, void *data, gsize size, int *fds, guint max_fds);

/**
 * cvd_socket_watch_sender:
 * @socket: a UNIX stream socket
 *
 * Has the kernel note who sends to @socket from now on, until cvd_socket_peek_sender().
 */
void cvd_socket_watch_sender(int socket);

/**
 * cvd_socket_peek_sender:
 *
 * Returns: the process that has sent what is to be read next; 0: not known. Nothing is read.
 */
pid_t cvd_socket_peek_sender(int socket);

G_END_DECLS
