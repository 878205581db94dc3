/* SPDX-License-Identifier: Apache-2.0 */
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
 * qemu.json: cvd-launch(1), CONFIGURATION. All paths are absolute, files in the lists
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
 * @vm_socket: (nullable): explicit path, absolute; %NULL = in the runtime directory
 * @client_socket: (nullable): the same
 * @legacy_socket: (nullable): absolute path; %NULL = the binary dialect is off
 * @access: (nullable): who may have which region; %NULL = the server's default
 * @ivshmem_slot: the device's PCI slot on the root bus
 * @restart_delay_ms: before the first restart; doubled for each further one, up to 30 s
 * @qmp_timeout_s: how long QEMU may take to answer a heartbeat; 0 = none is sent
 *
 * A validated configuration: cvd.json with the files that it names. Immutable; freed as one.
 */
typedef struct {
    char *name;
    CvdLayout *layout;
    CvdWindowOptions window;
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
} CvdConfig;

/**
 * CvdConfigSource:
 * @path: (nullable): cvd.json; %NULL = cvd_config_default_path()
 * @name: (nullable): instance name over the configuration's
 * @overrides: (array zero-terminated=1) (nullable): `PATH=VALUE` strings of `--set`, in order
 */
typedef struct {
    const char *path;
    const char *name;
    const char *const *overrides;
} CvdConfigSource;

/** cvd_config_default_path: Returns: (nullable): what `--config` defaults to, if it is there */
const char *cvd_config_default_path(void);

/**
 * cvd_config_load:
 * @source: where from
 * @problems: (element-type utf8): every problem found is appended, each a line that has file, JSON
 *   path, what was found and what is allowed; the array must free its elements with g_free()
 *
 * Reads and checks cvd.json, and the two files or inline objects that it names. Touches nothing
 * else: whether binaries and kernels exist is cvd_config_probe()'s business. What is only worth a
 * warning goes to the log.
 *
 * Returns: (transfer full) (nullable): the configuration, or %NULL after at least one problem
 */
CvdConfig *cvd_config_load(const CvdConfigSource *source, GPtrArray *problems);
void cvd_config_free(CvdConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdConfig, cvd_config_free)

/**
 * cvd_config_check_sockets:
 * @config: a configuration
 * @runtime_directory: absolute path of the instance's runtime directory
 * @problems: (element-type utf8): as cvd_config_load()
 *
 * Checks that the path of every socket of the instance, the configured ones and those in the
 * runtime directory, fits a socket address. Touches nothing.
 */
gboolean cvd_config_check_sockets(const CvdConfig *config, const char *runtime_directory,
                                  GPtrArray *problems);

/**
 * CvdQemuTools:
 * @binary: absolute path of the QEMU binary
 * @accel: (array zero-terminated=1): the accelerators of the configuration that can be used here
 *
 * What a configuration's names turned out to mean on this machine.
 */
typedef struct {
    char *binary;
    char **accel;
} CvdQemuTools;

void cvd_qemu_tools_clear(CvdQemuTools *tools);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CvdQemuTools, cvd_qemu_tools_clear)

/**
 * cvd_config_probe:
 * @config: a configuration
 * @tools: (out caller-allocates): filled on success
 * @problems: (element-type utf8): as cvd_config_load()
 *
 * Looks for the QEMU binary, the kernel, initrd, firmware and disk files and, if `accel` names kvm,
 * tries /dev/kvm; logs which accelerator was chosen, and what the sandbox denies. Creates nothing.
 */
gboolean cvd_config_probe(const CvdConfig *config, CvdQemuTools *tools, GPtrArray *problems);

/**
 * cvd_kernel_misfit:
 * @path: of a kernel
 * @binary: path of a QEMU
 *
 * Returns: (nullable): the architecture of a kernel that a QEMU of that name cannot run; %NULL if
 *   it can, or if that cannot be known
 */
const char *cvd_kernel_misfit(const char *path, const char *binary);

/**
 * cvd_kvm_try:
 * @run_as: (nullable): who is to use KVM
 *
 * Makes an empty VM and drops it.
 *
 * Returns: 0, or the errno that says why KVM is of no use
 */
int cvd_kvm_try(const CvdRunAs *run_as);
/** cvd_kvm_remedy: Returns: what to do about an @error of cvd_kvm_try() */
const char *cvd_kvm_remedy(int error);

G_END_DECLS
