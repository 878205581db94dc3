/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/json-text.h"

G_BEGIN_DECLS

/*
 * The messages of QMP (QEMU's `docs/interop/qmp-spec`) as text: what callers write, and what they
 * are answered. No end of line belongs to them.
 */

/**
 * CvdQmpRequest:
 * @text: the command, without white space between tokens
 * @name: in quotes, as it was written
 * @id: in @text; its text is %NULL without one
 *
 * A command that a caller has written. QEMU checks what else is in it.
 */
typedef struct {
    char *text;
    char *name;
    CvdJsonSpan id;
} CvdQmpRequest;

/**
 * cvd_qmp_request_parse:
 * @given: what was written, which may be anything
 * @request: (out caller-allocates): on failure what there is of it, without a name, perhaps
 * nothing; to be cleared in any case
 * @error: %CVD_ERROR_INVALID: it is not one JSON object with a command in it
 */
gboolean cvd_qmp_request_parse(const char *given, CvdQmpRequest *request, GError **error);
void cvd_qmp_request_clear(CvdQmpRequest *request);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CvdQmpRequest, cvd_qmp_request_clear)

/** cvd_qmp_request_with_id: Returns: (transfer full): the command with that `id`, not the caller's
 */
char *cvd_qmp_request_with_id(const CvdQmpRequest *request, gint64 id);

/**
 * cvd_qmp_reply:
 * @member: `return` or `error`
 * @value: of it, JSON
 * @id: (nullable): as the caller wrote it
 *
 * Returns: (transfer full): the reply
 */
char *cvd_qmp_reply(const char *member, CvdJsonSpan value, const char *id);

/**
 * cvd_qmp_refusal:
 * @error_class: one of QEMU's: `GenericError`, `CommandNotFound`
 * @description: in words; may hold anything
 * @id: (nullable): as the caller wrote it
 *
 * Returns: (transfer full): the reply that says so
 */
char *cvd_qmp_refusal(const char *error_class, const char *description, const char *id);

/** CVD_QMP_MAX_VERSION: bytes of QEMU's version that are passed on */
#define CVD_QMP_MAX_VERSION 4096

/**
 * cvd_qmp_greeting:
 * @from_qemu: the value of `QMP` in QEMU's greeting; may hold anything
 *
 * Returns: (transfer full): the greeting of a server that has QEMU's version, if that is an object
 *   of at most %CVD_QMP_MAX_VERSION bytes, and none of the optional capabilities
 */
char *cvd_qmp_greeting(CvdJsonSpan from_qemu);

/**
 * cvd_qmp_version_of_greeting:
 * @greeting: as cvd_qmp_greeting() has it
 *
 * Returns: (transfer full) (nullable): `7.2.22`; %NULL: it has none
 */
char *cvd_qmp_version_of_greeting(const char *greeting);

/**
 * cvd_qmp_answer_for_qemu:
 * @is_negotiated: (inout): whether the caller has said `qmp_capabilities`, as it must first
 * @command: what the caller has written, which may be anything
 *
 * The negotiation is a matter of each caller's stream, and there is no way for descriptors and for
 * commands out of band.
 *
 * Returns: (transfer full) (nullable): the reply to a command that does not go to QEMU
 */
char *cvd_qmp_answer_for_qemu(gboolean *is_negotiated, const char *command);

G_END_DECLS
