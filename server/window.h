/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "server/layout.h"
#include "server/window-backing.h"

G_BEGIN_DECLS

/**
 * CvdWindowOptions:
 * @backing: what kind of object
 * @path: (nullable): for %CVD_WINDOW_POSIX_SHM: where, e.g. `/dev/shm/ivshmem`
 * @lock_dir: (nullable): as #CvdServer:lock-dir
 * @hugepage_size: 0, 2 MiB or 1 GiB, in bytes; memfd only
 * @prealloc: whether all pages are allocated at once
 */
typedef struct {
    CvdWindowBacking backing;
    const char *path;
    const char *lock_dir;
    guint64 hugepage_size;
    gboolean prealloc;
} CvdWindowOptions;

/**
 * CvdWindow:
 *
 * The shared-memory object with its descriptors written, as docs/window.md has it under
 * The memory object. It is never kept mapped here, and nothing is ever read back from it, as the
 * guest can write there, but words that say that somebody is ready, or was signalled.
 */
typedef struct CvdWindow CvdWindow;

/**
 * cvd_window_new:
 * @layout: what goes into it
 * @options: how it is made
 * @error: %CVD_ERROR_RESOURCES: too few huge pages, or no space for @prealloc; %CVD_ERROR_BUSY: a
 *   live process holds the name; %CVD_ERROR_FOREIGN: what has the name is not ours;
 *   %CVD_ERROR_FAILED: a system call failed
 *
 * Returns: (transfer full) (nullable): a zeroed window with descriptors
 */
CvdWindow *cvd_window_new(CvdLayout *layout, const CvdWindowOptions *options, GError **error);

/**
 * cvd_window_free:
 *
 * Closes the window. A name is unlinked if it still stands for the same inode.
 */
void cvd_window_free(CvdWindow *window);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdWindow, cvd_window_free)

/** cvd_window_get_fd: Returns: the window's descriptor, borrowed */
int cvd_window_get_fd(const CvdWindow *window);

/**
 * cvd_window_open_read_only:
 * @error: %CVD_ERROR_FAILED, e.g. where /proc is not mounted
 *
 * Opens the window once more (proc(5), /proc/PID/fd). Through the new descriptor it can neither be
 * written, mapped for writing nor resized, and no seal be added. But whoever may open the file, by
 * its mode 0600 this uid and uid 0, can open it for writing through /proc as well.
 *
 * Returns: (transfer full): the descriptor; −1 on failure
 */
int cvd_window_open_read_only(const CvdWindow *window, GError **error);

/** cvd_window_says_ready: Returns: whether the guest's word says that it is ready, right now */
gboolean cvd_window_says_ready(const CvdWindow *window);

/**
 * cvd_window_find_signalled:
 * @to_guest: (inout): becomes %TRUE if the guest was signalled and has not begun to look at that
 * @to_host: (inout): the same for clients
 *
 * As the interrupt-signalled words have it.
 */
void cvd_window_find_signalled(const CvdWindow *window, guint region, gboolean *to_guest,
                               gboolean *to_host);

/**
 * cvd_window_fill:
 * @content_fd: what another window of this layout held: a file of the same size
 * @error: %CVD_ERROR_INVALID: it has another size, or is no file; %CVD_ERROR_RESOURCES: no memory;
 *   %CVD_ERROR_FAILED
 *
 * Gives a window that is new, or as good as new, that content, but for the descriptors, which are
 * the layout's. Holes cost nothing.
 */
gboolean cvd_window_fill(CvdWindow *window, int content_fd, GError **error);

/**
 * cvd_window_reset_signals:
 *
 * Zeroes every signal table and interrupt-signalled word, and the word that says ready, and writes
 * the descriptors again, for a guest that was reset: the VM must be stopped meanwhile.
 */
gboolean cvd_window_reset_signals(CvdWindow *window, GError **error);

/**
 * cvd_window_renew:
 *
 * Makes the window as it was when new: all zero apart from the descriptors, for another VM. No VM
 * may be attached. Pages are allocated anew if that was asked for.
 */
gboolean cvd_window_renew(CvdWindow *window, GError **error);

G_END_DECLS
