/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/values.h"

G_BEGIN_DECLS

/**
 * CvdChannel:
 * @program_fd: what the program inherits; −1: nothing, or it has it
 * @qemu_fd: what QEMU inherits; −1: not there yet, or QEMU has it
 * @path: (nullable): where something may be bound
 *
 * A socket between a back end and QEMU.
 */
typedef struct {
    const CvdSocketConfig *config;
    int program_fd;
    int qemu_fd;
    char *path;
} CvdChannel;

/**
 * cvd_channel_init:
 * @path: of cvd_program_get_socket_path()
 *
 * Holds nothing yet.
 */
void cvd_channel_init(CvdChannel *channel, const CvdSocketConfig *config, char *take_path);

/**
 * cvd_channel_open:
 * @error: %CVD_ERROR_FAILED
 *
 * Makes both ends, closing those of another VM; of %CVD_SOCKET_PATH it makes room for the
 * program's.
 */
gboolean cvd_channel_open(CvdChannel *channel, GError **error);

/** cvd_channel_connect: Returns: whether QEMU's end is there: of %CVD_SOCKET_PATH only when the
 * program listens, for which there is no event */
gboolean cvd_channel_connect(CvdChannel *channel);

/** cvd_channel_close: closes what is open, and removes what is bound */
void cvd_channel_close(CvdChannel *channel);

G_END_DECLS
