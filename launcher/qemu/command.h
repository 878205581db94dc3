/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/probe.h"
#include "launcher/config/substitute.h"

G_BEGIN_DECLS

/** CVD_QEMU_FIRST_FDSET: the sets of descriptors of #CvdQemuOrigin are counted from here on;
 * `/dev/fdset/NUMBER` is such a descriptor in `blockdevs` */
#define CVD_QEMU_FIRST_FDSET 1000000

/**
 * CvdQemuOrigin:
 * @ram_path: (nullable): a file of just the guest's memory; %NULL: QEMU makes one without a name
 *   where the configuration wants its RAM to be one
 * @is_private: what the guest writes does not reach the file
 * @is_read_only: with @is_private: QEMU opens the file for reading alone, which old ones cannot
 * @is_incoming: QEMU waits for a saved VM, which it is given over QMP (`migrate-incoming`)
 * @blockdevs: (array zero-terminated=1) (nullable): in place of those of the configuration
 * @first_fd: the first of the descriptors that @blockdevs has as sets
 * @n_fds: how many
 *
 * What a VM begins with. Zero-initialised is that of a VM that boots.
 */
typedef struct {
    const char *ram_path;
    gboolean is_private;
    gboolean is_read_only;
    gboolean is_incoming;
    char **blockdevs;
    int first_fd;
    guint n_fds;
} CvdQemuOrigin;

/** cvd_qemu_has_ram_file: Returns: whether the guest's RAM is a file, which others can have */
gboolean cvd_qemu_has_ram_file(const CvdConfig *config);

/**
 * cvd_qemu_command:
 * @config: the configuration
 * @tools: what cvd_config_probe() found
 * @vm_socket: (nullable): %NULL for a QEMU that inherits its descriptors; else the path by which it
 *   attaches, with QMP on its stdin and stdout and no console, and with paths for the sockets of
 *   host programs
 * @origin: (nullable): %NULL for a VM that boots, with RAM that QEMU makes
 *
 * Builds QEMU's command line: qemu.json(5). Pure.
 *
 * Returns: (transfer full) (array zero-terminated=1): the argument vector
 */
char **cvd_qemu_command(const CvdConfig *config, const CvdQemuTools *tools, const char *vm_socket,
                        const CvdQemuOrigin *origin);

/**
 * cvd_qemu_attach_args:
 * @config: the configuration
 * @vm_socket: path of the VM socket
 *
 * Returns: (transfer full) (array zero-terminated=1): the four arguments (`-chardev`, its value,
 *   `-device`, its value) with which a QEMU that somebody else starts attaches
 */
char **cvd_qemu_attach_args(const CvdConfig *config, const char *vm_socket);

/** cvd_qemu_pvpanic: Returns: the device with which a guest of @machine reports a panic */
const char *cvd_qemu_pvpanic(const char *machine);

/**
 * cvd_quote_command:
 * @argv: (array zero-terminated=1): an argument vector
 *
 * Returns: (transfer full): one shell-quoted argument a line, with `\` at the ends, so that the
 *   whole can be pasted into a POSIX shell; an option and its value share a line
 */
char *cvd_quote_command(const char *const *argv);

G_END_DECLS
