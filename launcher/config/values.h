/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration comes to: plain structures. Which key fills which member is in keys.c. */
#pragma once

#include "server/access.h"
#include "server/layout.h"
#include "server/window.h"

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

typedef enum {
    CVD_ON_EVENT_EXIT,
    CVD_ON_EVENT_CONTINUE, /* `on_reboot` only */
    CVD_ON_EVENT_RESTART,
} CvdOnEvent;

typedef enum {
    CVD_STOP_POWERDOWN,
    CVD_STOP_QUIT,
} CvdStop;

typedef enum {
    CVD_SERIAL_LOG,
    CVD_SERIAL_STDIO,
    CVD_SERIAL_NONE,
} CvdSerial;

/**
 * CvdRunAs:
 * @user: as configured, for messages
 * @uid: not 0
 * @gid: primary group
 * @gids: (array length=n_gids): supplementary groups
 *
 * Whom QEMU runs as when the launcher is root.
 */
typedef struct {
    char *user;
    uid_t uid;
    gid_t gid;
    gid_t *gids;
    guint n_gids;
} CvdRunAs;

/**
 * CvdQemuConfig:
 * @binary: as configured: a name to look up in PATH, or a path
 * @machine: value of `-machine`
 * @accel: (array zero-terminated=1): accelerators in order of preference
 * @cpu: (nullable): value of `-cpu`
 * @smp: (nullable): value of `-smp`
 * @memory_bytes: guest RAM
 * @kernel: (nullable): path; for `"builtin"` the path of the guest that the project ships
 * @initrd: (nullable): path
 * @append: (nullable): kernel command line, one string
 * @firmware: (nullable): path, or a name that QEMU finds itself
 * @objects: (array zero-terminated=1): JSON texts for `-object`; so are @blockdevs, @netdevs,
 *   @devices for their options
 * @sandbox: (nullable): value of `-sandbox`; %NULL = without
 * @extra_args: (array zero-terminated=1): appended last
 * @watchdog_s: the guest's watchdog, in seconds; 0 = none
 * @run_as: (nullable): %NULL: the launcher's own user
 *
 * @directory: QEMU's working directory: of the file that has these values
 *
 * What qemu.json(5) says. All paths are absolute, files in the lists
 * included; those that QEMU is given in another way are relative to @directory.
 */
typedef struct {
    char *directory;
    char *binary;
    char *machine;
    char **accel;
    char *cpu;
    char *smp;
    guint64 memory_bytes;
    char *kernel;
    char *initrd;
    char *append;
    char *firmware;
    char **objects;
    char **blockdevs;
    char **netdevs;
    char **devices;
    CvdSerial serial;
    char *display;
    char *sandbox;
    char **extra_args;
    guint watchdog_s;
    CvdRunAs *run_as;
} CvdQemuConfig;

/**
 * CvdConfig:
 * @name: the instance's name
 * @layout: the window's layout
 * @window: @window.path is owned by the configuration and absolute
 * @min_window_size: the window is at least so large, in bytes; 0 = as the layout has it
 * @vm_socket: (nullable): explicit path, absolute; %NULL = in the runtime directory
 * @client_socket: (nullable): the same
 * @legacy_socket: (nullable): absolute path; %NULL = the binary dialect is off
 * @access: (nullable): who may have which region; %NULL = the server's default
 * @ivshmem_slot: the device's PCI slot on the root bus
 * @restart_delay_ms: before the first restart; doubled for each further one, up to 30 s
 * @qmp_timeout_s: how long QEMU may take to answer a heartbeat; 0 = none is sent
 * @explanation: (nullable): of #CvdConfigSource, if asked for
 *
 * A validated configuration: cvd.json with the files that it names. Immutable; freed as one.
 */
typedef struct {
    char *name;
    CvdLayout *layout;
    CvdWindowOptions window;
    guint64 min_window_size;
    char *vm_socket;
    char *client_socket;
    char *legacy_socket;
    char *version_reply;
    mode_t socket_mode;
    guint max_clients;
    guint handshake_timeout_ms;
    CvdAccessRules *access;
    guint ivshmem_slot;
    gboolean ivshmem_force_bus_master;
    CvdStop stop;
    guint stop_timeout_s;
    guint start_timeout_s;
    CvdOnEvent on_crash;
    CvdOnEvent on_panic;
    CvdOnEvent on_reboot;
    guint restart_limit;
    guint restart_delay_ms;
    guint qmp_timeout_s;
    CvdQemuConfig qemu;
    char *explanation;
} CvdConfig;

G_END_DECLS
