/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/log-file.h"

G_BEGIN_DECLS

/** CVD_CONSOLE_MAX_VIEWERS: attached at once */
#define CVD_CONSOLE_MAX_VIEWERS 8
/** CVD_CONSOLE_SCROLL_BACK: bytes of the past that a new viewer gets */
#define CVD_CONSOLE_SCROLL_BACK CVD_LOG_FILE_TAIL_SIZE

/**
 * CVD_STREAM_BUFFER_SIZE:
 *
 * In the socket each write of a byte takes the room of 768: with the largest send buffer that
 * everybody may have, this one, it holds 554 of them.
 */
#define CVD_STREAM_BUFFER_SIZE 212992

/**
 * CvdConsole:
 *
 * The guest's serial console: what the guest prints goes to the log, to stdout if asked for, and to
 * every viewer; what viewers or stdin say goes to the guest. Or QEMU's own output, which has no
 * viewers. Outlives the VMs of a launch. In the thread's default #GMainContext.
 */
typedef struct CvdConsole CvdConsole;

/**
 * cvd_console_new:
 * @log: borrowed; outlives the console
 */
CvdConsole *cvd_console_new(CvdLogFile *log);
void cvd_console_free(CvdConsole *console);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdConsole, cvd_console_free)

/**
 * cvd_console_take_vm:
 * @take_fd: a stream socket whose other end is QEMU's; consumed. The one before is read
 *   to its end, as far as that goes without waiting, and closed.
 */
void cvd_console_take_vm(CvdConsole *console, int take_fd);

/**
 * cvd_console_set_listener:
 * @printed: (nullable): called with what the guest prints, from now on
 *
 * What cvd_console_read_rest() finds is told, too.
 */
void cvd_console_set_listener(CvdConsole *console,
                              void (*printed)(const char *bytes, gsize size, gpointer user_data),
                              gpointer user_data);

/** cvd_console_has_printed: Returns: whether this VM's guest has printed anything */
gboolean cvd_console_has_printed(const CvdConsole *console);

/** cvd_console_read_rest: reads what a VM that is gone has left in its socket; a bounded amount, as
 * somebody else may still be writing */
void cvd_console_read_rest(CvdConsole *console);

/**
 * cvd_console_relay_stdio:
 *
 * Also copies the guest's output to stdout, and stdin to the guest. Output that stdout does not
 * take at once is lost there.
 */
void cvd_console_relay_stdio(CvdConsole *console);

/**
 * cvd_console_open_viewer:
 * @error: %CVD_ERROR_BUSY: there are %CVD_CONSOLE_MAX_VIEWERS already; %CVD_ERROR_FAILED
 *
 * A viewer that reads too slowly loses output, and gets a line that says so; it holds up nobody.
 * What the guest does not read makes viewers wait, not the launcher.
 *
 * Returns: (transfer full): the viewer's end of a stream socket: the scroll-back, then what comes;
 *   −1 on failure
 */
int cvd_console_open_viewer(CvdConsole *console, GError **error);

G_END_DECLS
