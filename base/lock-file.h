/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/**
 * cvd_lock_file_take:
 * @dir_fd: a directory that no other user can write to
 * @name: the lock file's name in it
 * @holder: (out): with EWOULDBLOCK the process that holds the lock; 0: not known
 *
 * Makes the file, if need be, with the mode 0600, so that nobody else can lock it, and locks it
 * (flock(2)). It is this process's as long as the descriptor is open, and may be unlinked only
 * before that is closed.
 *
 * Returns: (transfer full): a descriptor of the file; −1 with `errno` set
 */
int cvd_lock_file_take(int dir_fd, const char *name, pid_t *holder);

/** cvd_lock_file_read_pid: Returns: the process that holds the lock or held it last; 0: none did */
pid_t cvd_lock_file_read_pid(int fd);

/** cvd_lock_file_read_note: Returns: (transfer full): what the last holder wrote, or "" */
char *cvd_lock_file_read_note(int fd);

/**
 * cvd_lock_file_write:
 * @note: (nullable): what the next one who gets the lock should know, one line
 *
 * Makes this process and @note the file's content.
 *
 * Returns: 0, or −1 with `errno` set
 */
int cvd_lock_file_write(int fd, const char *note);

/**
 * CvdPathLock:
 *
 * The right to what is at a path, among the processes of one user: a lock file elsewhere, as the
 * object itself, or its directory, can be locked by whoever can open it.
 */
typedef struct CvdPathLock CvdPathLock;

/**
 * cvd_path_lock_new:
 * @dir: a directory that no other user can write to, for the lock file
 * @path: what is to be locked; its directory exists
 * @error: %CVD_ERROR_BUSY: a live process has it, which the message names; %CVD_ERROR_FAILED
 *
 * Returns: (transfer full) (nullable): the lock
 */
CvdPathLock *cvd_path_lock_new(const char *dir, const char *path, GError **error);

/** cvd_path_lock_free: Removes the lock file and unlocks it. */
void cvd_path_lock_free(CvdPathLock *lock);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdPathLock, cvd_path_lock_free)

/** cvd_path_lock_set_note: @note: as of cvd_lock_file_write() */
gboolean cvd_path_lock_set_note(CvdPathLock *lock, const char *note, GError **error);
/** cvd_path_lock_had_note: Returns: whether one who held the lock, and was killed, left @note */
gboolean cvd_path_lock_had_note(const CvdPathLock *lock, const char *note);

G_END_DECLS
