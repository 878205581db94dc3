/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/json.h"

G_BEGIN_DECLS

/** CVD_QMP_MAX_MESSAGE: bytes of what QEMU says at once; of a longer reply only the command fails
 */
#define CVD_QMP_MAX_MESSAGE (64 * 1024 * 1024)
/** CVD_QMP_MAX_PENDING: commands that may wait for replies, the launcher's own and callers' each */
#define CVD_QMP_MAX_PENDING 64
/** CVD_QMP_MAX_UNREAD: bytes of either kind that may wait for QEMU to read them */
#define CVD_QMP_MAX_UNREAD (16 * 1024 * 1024)
/** CVD_QMP_MAX_DESCRIPTION: bytes of QEMU's description of an error that are passed on. */
#define CVD_QMP_MAX_DESCRIPTION 512

/** CVD_QMP_FORGOTTEN_LIMITS: see cvd_qmp_is_overdue() */
#define CVD_QMP_FORGOTTEN_LIMITS 10

/** CVD_QMP_TAIL_LINES: messages of either direction that are kept for a report */
#define CVD_QMP_TAIL_LINES 64
/** CVD_QMP_TAIL_LINE_SIZE: bytes of each that are kept */
#define CVD_QMP_TAIL_LINE_SIZE 256

/**
 * CvdQmp:
 *
 * An asynchronous client of QEMU's machine protocol (QEMU's `docs/interop/qmp-spec`) over one
 * stream, in the thread's default #GMainContext. QEMU may be compromised: what it sends is bounded.
 * What is not understood is passed over with a line in the log; only what is no sequence of JSON
 * objects ends the connection.
 */
typedef struct CvdQmp CvdQmp;

/**
 * CvdQmpHandlers:
 * @ready: the greeting has come and `qmp_capabilities` was accepted
 * @event: an event came, perhaps before @ready. @members is its data as cvd_json_parse_leniently()
 *   has it, %NULL when it has none; @text the same as QEMU sent it, as valid UTF-8, %NULL also when
 *   it is longer than %CVD_JSON_MAX_SIZE; both borrowed
 * @event_text: (nullable): the same before it, byte for byte as QEMU sent it; borrowed
 * @passed_on: (nullable): a caller's command was taken; @name is in quotes, as it was written
 * @closed: the connection has ended. @error is %NULL when QEMU closed it; otherwise the launcher
 *   gave up on it, and this is why. Called once, after every pending command was answered with an
 *   error, and never again anything.
 *
 * None of them may free the client.
 */
typedef struct {
    void (*ready)(gpointer user_data);
    void (*event)(const char *name, JsonObject *members, const char *text, gpointer user_data);
    void (*event_text)(CvdJsonSpan event, gpointer user_data);
    void (*passed_on)(const char *name, gpointer user_data);
    void (*closed)(const GError *error, gpointer user_data);
} CvdQmpHandlers;

/**
 * CvdQmpReply:
 * @result: the `return` value, byte for byte as QEMU sent it; if it is of a caller's command with
 *   an `id`, an object of `return` and that `id`; borrowed; its text is %NULL after a failure
 * @error: (nullable): what QEMU answered instead, or why it never did. %CVD_ERROR_CLOSED: the
 *   connection has ended, for which `closed` is called, too; %CVD_ERROR_INVALID: it is no command;
 *   %CVD_ERROR_RESOURCES: too many wait already
 */
typedef void (*CvdQmpReply)(CvdJsonSpan result, const GError *error, gpointer user_data);

/**
 * cvd_qmp_new:
 * @take_fd: a stream socket whose other end is QEMU's; consumed
 */
CvdQmp *cvd_qmp_new(int take_fd, const CvdQmpHandlers *handlers, gpointer user_data);

/**
 * cvd_qmp_free:
 *
 * Closes the connection without a further call of any handler. Commands that wait for a reply are
 * answered with %CVD_ERROR_CLOSED.
 */
void cvd_qmp_free(CvdQmp *qmp);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdQmp, cvd_qmp_free)

/**
 * cvd_qmp_execute:
 * @command: its name
 * @arguments: (nullable): a JSON object
 * @reply: (nullable): called once; at once if the connection has ended or one of the limits above
 *   is reached
 *
 * A command of the launcher's own. Callers' commands have limits of their own, and at most one of
 * them is before it.
 */
void cvd_qmp_execute(CvdQmp *qmp, const char *command, const char *arguments, CvdQmpReply reply,
                     gpointer user_data);

/**
 * cvd_qmp_pass_fd:
 * @name: what other commands call the descriptor; fit for JSON as it is
 * @take_fd: consumed, also on failure
 *
 * Gives QEMU a descriptor, by the command `getfd`, to which all applies that does to
 * cvd_qmp_execute(). One at a time: QEMU must have answered before there is another, which is
 * refused with %CVD_ERROR_RESOURCES else. It is QEMU's until a command uses it, or `closefd`.
 */
void cvd_qmp_pass_fd(CvdQmp *qmp, const char *name, int take_fd, CvdQmpReply reply,
                     gpointer user_data);

/**
 * cvd_qmp_pass_on:
 * @command: a caller's command, JSON, not looked at yet
 * @reply: called once, perhaps at once
 *
 * Hands a command on as it is, but for its `id`. QEMU is given one of these at a time, as it
 * carries them out one by one anyway.
 */
void cvd_qmp_pass_on(CvdQmp *qmp, const char *command, CvdQmpReply reply, gpointer user_data);

/**
 * cvd_qmp_relay:
 * @reply: called once, perhaps at once, with a whole reply: `return` or `error`, and the caller's
 *   `id`. Also if QEMU has not made it, as the command was refused here; but no error is given
 *   other than %CVD_ERROR_CLOSED.
 *
 * As cvd_qmp_pass_on(), for a caller that speaks QMP itself.
 */
void cvd_qmp_relay(CvdQmp *qmp, const char *command, CvdQmpReply reply, gpointer user_data);

/** cvd_qmp_get_greeting: Returns: (nullable): as cvd_qmp_greeting() has it; %NULL before QEMU has
 * greeted */
const char *cvd_qmp_get_greeting(const CvdQmp *qmp);

/** cvd_qmp_get_version: Returns: (transfer full) (nullable): QEMU's, `7.2.22`; %NULL also if it
 * has not said so in its greeting */
char *cvd_qmp_get_version(const CvdQmp *qmp);

/**
 * cvd_qmp_forget:
 * @user_data: as given to cvd_qmp_pass_on() or cvd_qmp_relay()
 *
 * Nobody waits for these commands any more: @reply is not called. One that QEMU was given already
 * is carried out all the same.
 */
void cvd_qmp_forget(CvdQmp *qmp, gpointer user_data);

/**
 * cvd_qmp_is_overdue:
 * @limit_ms: how long QEMU may take for a command of the launcher's own, or one that only reads
 *
 * Any other command of a caller may take as long as its caller waits for it, and
 * %CVD_QMP_FORGOTTEN_LIMITS times @limit_ms if nobody does any more.
 *
 * The time does not run while QEMU is seen to read what it was sent, from one call to the next.
 *
 * Returns: whether the command that QEMU is at has taken longer
 */
gboolean cvd_qmp_is_overdue(CvdQmp *qmp, guint limit_ms);

/**
 * cvd_qmp_read_rest:
 *
 * Handles what is in the socket already, up to the end of the stream, when QEMU is known to be
 * gone: its last events say why. A bounded amount, as somebody else may still be writing.
 */
void cvd_qmp_read_rest(CvdQmp *qmp);

/**
 * cvd_qmp_get_tail:
 *
 * Returns: (transfer full) (array zero-terminated=1): the last messages of the conversation, oldest
 *   first, each with `> ` (to QEMU) or `< ` before it; bytes that are not UTF-8 are replaced
 */
char **cvd_qmp_get_tail(const CvdQmp *qmp);

G_END_DECLS
