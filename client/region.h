/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "client/types.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/**
 * CvdRegion:
 *
 * One region of a VM's window, mapped, with its doorbells and its connection to the server. The
 * guest can write every word of it at any moment: what a call reads from it is read once and
 * checked before use, so that a hostile guest can make calls fail but not read or write elsewhere.
 * Use it from one thread; cvd_region_signal(), cvd_region_interrupt(), cvd_region_load(),
 * cvd_region_store(), cvd_region_read(), cvd_region_write() and cvd_region_wait_word() may be
 * used from any. A region that g_object_new() made is a closed one of no size.
 *
 * `socket-path`, `name`, `observer` and `wanted-version` are set at construction, which opens the
 * region where #GInitable or #GAsyncInitable does it. All properties can be read, with `notify`
 * when the region is opened anew.
 *
 * One receiver a region: only one program may wait on a region's incoming doorbell.
 *
 * Signals are emitted in the #GMainContext that was the thread's default when the region was
 * opened, once cvd_region_start() was called.
 */

/**
 * CvdRegion:socket-path:
 *
 * Path of the client socket. Required at construction.
 *
 * %NULL for an inherited region whose program does not know it.
 */

/**
 * CvdRegion:name:
 *
 * Name of the region. Required at construction.
 */

/**
 * CvdRegion:observer:
 *
 * Whether the region is opened only to be looked at: see cvd_region_observe(). Set at construction.
 */

/**
 * CvdRegion:wanted-version:
 *
 * The version of the contents that the program was written for: see cvd_region_open().
 */

/**
 * CvdRegion:version:
 *
 * See cvd_region_get_version().
 */

/**
 * CvdRegion:min-compatible-version:
 *
 * See cvd_region_get_min_compatible_version().
 */

/**
 * CvdRegion:begin:
 *
 * See cvd_region_get_begin().
 */

/**
 * CvdRegion:size:
 *
 * See cvd_region_get_size().
 */

/**
 * CvdRegion:data-offset:
 *
 * See cvd_region_get_data_offset().
 */

/**
 * CvdRegion:read-only:
 *
 * See cvd_region_is_read_only().
 */

/**
 * CvdRegion:closed:
 *
 * Whether the connection has ended: see cvd_region_is_closed(). Notified of before the signal
 * `closed`.
 */

/**
 * CvdRegion::signalled:
 * @region: the region
 * @offset: of the word, in the region
 *
 * The guest has signalled an offset.
 */

/**
 * CvdRegion::interrupted:
 * @region: the region
 *
 * The guest has rung without signalling an offset.
 */

/**
 * CvdRegion::closed:
 * @region: the region
 *
 * The server has closed the connection. Nothing more comes until cvd_region_reopen().
 */

#define CVD_TYPE_REGION (cvd_region_get_type())
G_DECLARE_FINAL_TYPE(CvdRegion, cvd_region, CVD, REGION, GObject)

/**
 * cvd_region_open:
 * @socket_path: the client socket
 * @name: the region's name
 * @version: what the caller was written for, or 0 for any: must not be above the region's
 *   `current_version` nor below its `min_compatible_version`
 * @cancellable: (nullable): to give up
 * @error: see #CvdRegionError
 *
 * Connects, asks for the region, maps it and only it, checks its descriptor, and does an opener's
 * duties (docs/window.md, Signals): rings if a signal was left unrung. What the
 * guest had signalled before is delivered with the first wait.
 *
 * Blocks until the server has answered, at most 5 seconds.
 *
 * Returns: (transfer full): the region
 */
CvdRegion *cvd_region_open(const char *socket_path, const char *name, guint version,
                           GCancellable *cancellable, GError **error);

/**
 * cvd_region_observe:
 * @socket_path: as above
 * @name: as above
 * @version: as above
 * @cancellable: (nullable): as above
 * @error: see #CvdRegionError; %CVD_REGION_ERROR_CLOSED also: the server is older than 0.2
 *
 * Opens a region only to look at it, whether or not another program has it for itself. It is as
 * when cvd_region_is_read_only(): the memory can be read, and it takes part in no signals.
 *
 * Returns: (transfer full): the region
 */
CvdRegion *cvd_region_observe(const char *socket_path, const char *name, guint version,
                              GCancellable *cancellable, GError **error);

/**
 * cvd_region_open_async:
 * @socket_path: as above
 * @name: as above
 * @version: as above
 * @cancellable: (nullable): as above
 * @callback: (scope async): called when it is done
 * @user_data: for @callback
 *
 * cvd_region_open() without blocking.
 */
void cvd_region_open_async(const char *socket_path, const char *name, guint version,
                           GCancellable *cancellable, GAsyncReadyCallback callback,
                           gpointer user_data);

/**
 * cvd_region_open_finish:
 * @result: what the callback was given
 * @error: see #CvdRegionError
 *
 * Returns: (transfer full): the region
 */
CvdRegion *cvd_region_open_finish(GAsyncResult *result, GError **error);

/**
 * cvd_region_open_passed:
 * @name: (nullable): the region's name; %NULL: the first that is not open yet
 * @version: as for cvd_region_open()
 * @error: %CVD_REGION_ERROR_NOT_PASSED: this program has inherited no such region, or has opened it
 *   before; %CVD_REGION_ERROR_PROTOCOL: what was inherited is no region; else see #CvdRegionError
 *
 * Opens a region that this program was started with (docs/protocol.md, Inherited regions), by the
 * variables LISTEN_FDS, LISTEN_FDNAMES and, if it is set, LISTEN_PID. Nobody is asked, so nothing
 * is waited for; the descriptors are checked, are close-on-exec from then on, and belong to the
 * region. Each can be opened once.
 *
 * Afterwards it is a region as from cvd_region_open(). `socket-path` is the value of
 * CVD_CLIENT_SOCKET; without that cvd_region_reopen() fails with %CVD_REGION_ERROR_NO_SERVER.
 *
 * Returns: (transfer full): the region
 */
CvdRegion *cvd_region_open_passed(const char *name, guint version, GError **error);

/**
 * cvd_region_reopen:
 * @region: a region, normally a closed one
 * @cancellable: (nullable): to give up
 * @error: see #CvdRegionError
 *
 * Opens the same region of the same socket anew. Sources of cvd_region_source_new() end then. On
 * success pointers from cvd_region_get_data() are
 * no longer valid; after a failure the region stays closed and the old mapping stays.
 */
gboolean cvd_region_reopen(CvdRegion *region, GCancellable *cancellable, GError **error);

/**
 * cvd_region_reopen_async:
 * @region: as above
 * @cancellable: (nullable): as above
 * @callback: (scope async): called when it is done
 * @user_data: for @callback
 *
 * cvd_region_reopen() without blocking, for a handler of `closed`.
 */
void cvd_region_reopen_async(CvdRegion *region, GCancellable *cancellable,
                             GAsyncReadyCallback callback, gpointer user_data);

/**
 * cvd_region_reopen_finish:
 * @region: as above
 * @result: what the callback was given
 * @error: see #CvdRegionError
 *
 * Says what became of cvd_region_reopen_async().
 */
gboolean cvd_region_reopen_finish(CvdRegion *region, GAsyncResult *result, GError **error);

/**
 * cvd_region_get_name:
 * @region: a region
 *
 * Returns: (transfer none): its name
 */
const char *cvd_region_get_name(CvdRegion *region);
/**
 * cvd_region_get_version:
 * @region: a region
 *
 * Returns: its `current_version` when it was opened
 */
guint cvd_region_get_version(CvdRegion *region);
/**
 * cvd_region_get_min_compatible_version:
 * @region: a region
 *
 * Returns: its `min_compatible_version` when opened
 */
guint cvd_region_get_min_compatible_version(CvdRegion *region);
/**
 * cvd_region_get_begin:
 * @region: a region
 *
 * Returns: its first offset in the window, in bytes
 */
guint cvd_region_get_begin(CvdRegion *region);
/**
 * cvd_region_get_size:
 * @region: a region
 *
 * Returns: its size, in bytes, signal tables included
 */
guint cvd_region_get_size(CvdRegion *region);
/**
 * cvd_region_get_data_offset:
 * @region: a region
 *
 * Returns: where its data starts, in the region, in bytes
 */
guint cvd_region_get_data_offset(CvdRegion *region);
/**
 * cvd_region_is_closed:
 * @region: a region
 *
 * Returns: whether the server has closed the connection; looks at it
 */
gboolean cvd_region_is_closed(CvdRegion *region);

/**
 * cvd_region_is_read_only:
 * @region: a region
 *
 * Returns: whether it was opened to be observed, or the server's access rules let this user only
 *   read: what writes or signals then
 *   fails with %CVD_REGION_ERROR_READ_ONLY, as does waiting for signals, and the memory of
 *   cvd_region_get_data() must not be written
 */
gboolean cvd_region_is_read_only(CvdRegion *region);

/**
 * cvd_region_get_data: (skip)
 * @region: a region
 * @size: (out) (optional): of the data, in bytes
 *
 * Returns: (transfer none): the region's data, mapped; valid until the region is freed or reopened
 */
gpointer cvd_region_get_data(CvdRegion *region, gsize *size);

/**
 * cvd_region_allocate:
 * @region: a region
 * @offset: in the region, in bytes
 * @size: how many bytes
 * @error: %CVD_REGION_ERROR_BAD_OFFSET: not all of it is in the region; %CVD_REGION_ERROR_FAILED:
 *   there is not so much memory left; %CVD_REGION_ERROR_READ_ONLY
 *
 * Has memory allocated for these bytes, if there is none yet. Without `window.prealloc` a window
 * has memory where it was touched. Where there is none left, as /dev/shm is full or the huge pages
 * are used up, touching more of it raises SIGBUS: by cvd_region_load(), cvd_region_store(),
 * cvd_region_wait_word() and the pointer of cvd_region_get_data(). All other calls see to that
 * themselves.
 */
gboolean cvd_region_allocate(CvdRegion *region, guint offset, gsize size, GError **error);

/**
 * cvd_region_load:
 * @region: a region
 * @offset: of a 32-bit word, in the region, a multiple of 4
 * @value: (out): the word
 * @error: %CVD_REGION_ERROR_BAD_OFFSET
 *
 * Reads a word, with acquire semantics.
 *
 * Returns: (skip): whether @offset is one
 */
gboolean cvd_region_load(CvdRegion *region, guint offset, guint *value, GError **error);

/**
 * cvd_region_store:
 * @region: a region
 * @offset: of a 32-bit word, in the region, a multiple of 4
 * @value: what to write
 * @error: %CVD_REGION_ERROR_BAD_OFFSET
 *
 * Writes a word, with release semantics.
 */
gboolean cvd_region_store(CvdRegion *region, guint offset, guint value, GError **error);

/**
 * cvd_region_read:
 * @region: a region
 * @offset: in the region, in bytes
 * @size: how many bytes
 * @error: %CVD_REGION_ERROR_BAD_OFFSET: not all of it is in the region; %CVD_REGION_ERROR_FAILED
 *
 * Returns: (transfer full): a copy of the bytes as they were, in no particular order
 */
GBytes *cvd_region_read(CvdRegion *region, guint offset, gsize size, GError **error);

/**
 * cvd_region_write:
 * @region: a region
 * @offset: in the region, in bytes
 * @bytes: what to write
 * @error: as for cvd_region_allocate()
 *
 * Copies bytes into the region, in no particular order.
 */
gboolean cvd_region_write(CvdRegion *region, guint offset, GBytes *bytes, GError **error);

/**
 * cvd_region_signal:
 * @region: a region
 * @offset: of a 32-bit word, in the region, a multiple of 4, not 0
 * @error: %CVD_REGION_ERROR_TABLE_FULL, %CVD_REGION_ERROR_BAD_OFFSET, %CVD_REGION_ERROR_CLOSED
 *
 * Signals the offset to the guest: "look at that word again". Signals of one offset that the guest
 * has not looked at yet coalesce. See docs/window.md, Signals.
 * %CVD_REGION_ERROR_CLOSED is set once a wait, a source or cvd_region_is_closed() has seen the end
 * of the connection.
 */
gboolean cvd_region_signal(CvdRegion *region, guint offset, GError **error);

/**
 * cvd_region_interrupt:
 * @region: a region
 * @error: %CVD_REGION_ERROR_CLOSED, %CVD_REGION_ERROR_FAILED
 *
 * Rings the guest without an offset.
 */
gboolean cvd_region_interrupt(CvdRegion *region, GError **error);

/**
 * cvd_region_wait:
 * @region: a region that cvd_region_start() was not called for
 * @timeout_ms: how long; negative = for ever; 0 = only look
 * @cancellable: (nullable): to give up
 * @error: %CVD_REGION_ERROR_CLOSED, %G_IO_ERROR_TIMED_OUT, %G_IO_ERROR_CANCELLED
 *
 * Waits for the guest and receives what it signalled: docs/window.md, Signals. Local waiters on
 * those words (futex) are woken, and what asks for a round trip is signalled back.
 *
 * The ring of a signal that was received before it came is reported as one without offsets: like a
 * signal, a ring means "look again".
 *
 * Returns: (transfer full) (element-type guint32): the offsets, ascending, each once; empty when
 *   the guest rang without signalling any
 */
GArray *cvd_region_wait(CvdRegion *region, int timeout_ms, GCancellable *cancellable,
                        GError **error);

/**
 * cvd_region_wait_word:
 * @region: a region
 * @offset: of a 32-bit word, in the region, a multiple of 4
 * @value: what the word is thought to hold
 * @timeout_ms: how long; negative = for ever
 * @cancellable: (nullable): to give up
 * @error: %CVD_REGION_ERROR_BAD_OFFSET, %CVD_REGION_ERROR_CLOSED, %G_IO_ERROR_TIMED_OUT,
 *   %G_IO_ERROR_CANCELLED
 *
 * Sleeps while the word holds @value, until another thread or process receives a signal of its
 * offset (futex), or the connection ends. May return early, and does when another thread opens the
 * region anew.
 *
 * While it sleeps there is a thread that watches the connection and @cancellable.
 */
gboolean cvd_region_wait_word(CvdRegion *region, guint offset, guint value, int timeout_ms,
                              GCancellable *cancellable, GError **error);

/**
 * cvd_region_start:
 * @region: a region
 *
 * From now on what the guest signals is received in the region's #GMainContext and reported by the
 * object's signals. Also done anew by cvd_region_reopen().
 */
void cvd_region_start(CvdRegion *region);

/**
 * cvd_region_stop:
 * @region: a region
 *
 * Ends what cvd_region_start() began. In a handler: what was received together with that signal is
 * still emitted.
 */
void cvd_region_stop(CvdRegion *region);

/**
 * CvdRegionSourceFunc:
 * @region: the region
 * @offsets: (element-type guint32): what was signalled; empty for a plain interrupt
 * @error: (nullable): %CVD_REGION_ERROR_CLOSED when the connection has ended; the source is then
 *   removed
 * @user_data: as given with the callback
 *
 * Returns: %G_SOURCE_CONTINUE or %G_SOURCE_REMOVE
 */
typedef gboolean (*CvdRegionSourceFunc)(CvdRegion *region, GArray *offsets, const GError *error,
                                        gpointer user_data);

/**
 * cvd_region_source_new: (skip)
 * @region: a region that cvd_region_start() was not called for
 *
 * Returns: (transfer full): a source for any context; its callback is a #CvdRegionSourceFunc
 */
GSource *cvd_region_source_new(CvdRegion *region);

G_END_DECLS
