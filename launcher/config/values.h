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

/** CvdMachineReady: when the machine counts as ready */
typedef enum {
    CVD_MACHINE_READY_RUNNING,  /* when the start is complete: it runs, or is paused as asked for */
    CVD_MACHINE_READY_GUEST,    /* when the guest says so */
    CVD_MACHINE_READY_PROGRAMS, /* when the guest runs, and all host programs are ready */
} CvdMachineReady;

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

/** CVD_CHILD_FIRST_FD: the first descriptor that a child inherits beside the usual three */
#define CVD_CHILD_FIRST_FD 3

/** CvdRestart: after which ends a host program is started again */
typedef enum {
    CVD_RESTART_NEVER,
    CVD_RESTART_ON_FAILURE,
    CVD_RESTART_ALWAYS,
} CvdRestart;

/** CvdReadyWhen: when a host program counts as ready */
typedef enum {
    CVD_READY_STARTED,  /* when it was started */
    CVD_READY_ATTACHED, /* when it has all its regions */
    CVD_READY_NOTIFY,   /* when it says so: sd_notify(3) */
} CvdReadyWhen;

typedef enum {
    CVD_SOCKET_LISTEN, /* the program inherits a socket that listens, QEMU one connected to it */
    CVD_SOCKET_PAIR,   /* the two inherit the ends of a pair */
    CVD_SOCKET_PATH,   /* the program listens at a path itself, QEMU inherits a connection to it */
} CvdSocketKind;

/**
 * CvdSocketConfig:
 * @name: unique among all programs
 *
 * A socket between a host program and QEMU.
 */
typedef struct {
    char *name;
    CvdSocketKind kind;
} CvdSocketConfig;

/** CVD_BUBBLEWRAP_N_FDS: how many descriptors bubblewrap needs, beside those of the program that it
 * is to execute */
#define CVD_BUBBLEWRAP_N_FDS 8

/**
 * CvdConfine:
 * @memory_bytes: of address space; 0 = no limit, as for the others
 * @n_fds: descriptors, those that it inherits among them
 * @cpu_s: seconds of processor time
 * @has_file_system: whether it gets a file system of its own
 * @read_only: (array zero-terminated=1): texts of absolute paths that it can read there
 * @writable: (array zero-terminated=1): the same, of those that it can write, too
 * @network: whether it has the host's network
 */
typedef struct {
    guint64 memory_bytes;
    guint n_fds;
    guint cpu_s;
    gboolean has_file_system;
    char **read_only;
    char **writable;
    gboolean network;
} CvdConfine;

/**
 * CvdProgramConfig:
 * @name: as instances' names are
 * @argv: (array zero-terminated=1): its first is a path, or a name to look up in PATH
 * @regions: (array zero-terminated=1): what it serves
 * @restart: %CVD_RESTART_NEVER for a @oneshot and a back end
 * @env: (array zero-terminated=1): `NAME=value`, beside our own environment
 * @cwd: a text of an absolute path; the directory of the configuration if it names none
 * @user: (nullable): whom it runs as; %NULL = the launcher's own user
 * @stop_signal: a signal's number
 * @critical: whether its final failure stops the machine
 * @oneshot: whether it has to exit 0 before the guest runs, at every start of a VM
 * @on_restore: whether a @oneshot also has to before a guest from a snapshot runs
 * @after: (array zero-terminated=1): programs that are ready before this one is started
 * @pass_fds: whether it inherits its regions, open
 * @sockets: (array length=n_sockets): one that has any is a back end: it is started anew before
 *   each QEMU, and QEMU cannot do without it
 * @confine: (nullable): its limits
 *
 * A host program that belongs to the machine. Strings are as configured, to be expanded by
 * cvd_substitute().
 */
typedef struct {
    char *name;
    char **argv;
    char **regions;
    CvdRestart restart;
    char **env;
    char *cwd;
    CvdRunAs *user;
    int stop_signal;
    guint stop_timeout_s;
    gboolean critical;
    gboolean oneshot;
    gboolean on_restore;
    char **after;
    CvdReadyWhen ready;
    gboolean pass_fds;
    CvdSocketConfig *sockets;
    guint n_sockets;
    CvdConfine *confine;
} CvdProgramConfig;

/**
 * CvdHooks:
 * @before_start: (array zero-terminated=1) (nullable): argv, run before the first QEMU is started
 * @after_ready: (array zero-terminated=1) (nullable): run when the machine is ready first
 * @after_stop: (array zero-terminated=1) (nullable): run when everything has ended
 * @timeout_s: how long each may take
 *
 * Commands that run once in a launch.
 */
typedef struct {
    char **before_start;
    char **after_ready;
    char **after_stop;
    guint timeout_s;
} CvdHooks;

/**
 * CvdCpus:
 * @pin: (array zero-terminated=1) (nullable): lists for cvd_processors_parse(): one for all of
 * QEMU, or one for each vCPU
 * @weight: of QEMU among the others of its control group; 0 = as the kernel has it
 *
 * What QEMU gets of the host's processors.
 */
typedef struct {
    char **pin;
    guint weight;
} CvdCpus;

/**
 * CvdQemuConfig:
 * @binary: as configured: a name to look up in PATH, or a path
 * @machine: value of `-machine`
 * @accel: (array zero-terminated=1): accelerators in order of preference
 * @cpu: (nullable): value of `-cpu`
 * @smp: (nullable): value of `-smp`
 * @memory_bytes: guest RAM
 * @memory_limit_bytes: of all that QEMU uses; 0 = none
 * @memory_shared: whether other processes can be given it
 * @kernel: (nullable): path; for `"builtin"` the path of the guest that the project ships
 * @initrd: (nullable): path
 * @append: (nullable): kernel command line, one string
 * @firmware: (nullable): path, or a name that QEMU finds itself
 * @objects: (array zero-terminated=1): JSON texts for `-object`; so are @blockdevs, @netdevs,
 *   @devices for their options
 * @chardevs: (array zero-terminated=1): the same for `-chardev`, as cvd_qapi_format_chardev() takes
 *   them; @tpmdevs likewise. Strings in these and in @netdevs are for cvd_substitute()
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
    CvdCpus cpus;
    guint64 memory_bytes;
    guint64 memory_limit_bytes;
    gboolean memory_shared;
    char *kernel;
    char *initrd;
    char *append;
    char *firmware;
    char **objects;
    char **blockdevs;
    char **chardevs;
    char **netdevs;
    char **tpmdevs;
    char **devices;
    CvdSerial serial;
    char *display;
    char *sandbox;
    char **extra_args;
    guint watchdog_s;
    CvdRunAs *run_as;
} CvdQemuConfig;

/**
 * CvdGroup:
 * @name: (nullable): the group, whose machines are called `NAME-INDEX`; %NULL: there is none
 * @index: that of the machine
 * @first: that of the first machine
 * @last: that of the last
 *
 * What the machine is one of.
 */
typedef struct {
    char *name;
    guint index;
    guint first;
    guint last;
} CvdGroup;

/**
 * CvdConfig:
 * @name: the instance's name
 * @group: what it is one of
 * @layout: the window's layout
 * @window: @window.path is owned by the configuration and absolute
 * @min_window_size: the window is at least so large, in bytes; 0 = as the layout has it
 * @vm_socket: (nullable): explicit path, absolute; %NULL = in the runtime directory
 * @client_socket: (nullable): the same
 * @legacy_socket: (nullable): absolute path; %NULL = the binary dialect is off
 * @access: (nullable): who may have which region; %NULL = the server's default
 * @ivshmem_slot: the device's PCI slot on the root bus
 * @ivshmem_migratable: whether QEMU can save the VM
 * @ready_pattern: (nullable): a regular expression that a line of the console matches when the
 *   guest is ready
 * @restart_delay_ms: before the first restart; doubled for each further one, up to 30 s
 * @qmp_timeout_s: how long QEMU may take to answer a heartbeat; 0 = none is sent
 * @programs: (array length=n_programs): in the order of the file
 * @directory: absolute: of the file that has these values
 * @layout_text: (nullable): the layout as it was read, JSON, if QEMU can save the VM
 * @explanation: (nullable): of #CvdConfigSource, if asked for
 *
 * A validated configuration: cvd.json with the files that it names. Immutable; freed as one.
 */
typedef struct {
    char *name;
    CvdGroup group;
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
    guint64 trace_size;
    CvdAccessRules *access;
    guint ivshmem_slot;
    gboolean ivshmem_force_bus_master;
    gboolean ivshmem_migratable;
    CvdStop stop;
    guint stop_timeout_s;
    guint start_timeout_s;
    CvdMachineReady ready;
    char *ready_pattern;
    CvdOnEvent on_crash;
    CvdOnEvent on_panic;
    CvdOnEvent on_reboot;
    guint restart_limit;
    guint restart_delay_ms;
    guint qmp_timeout_s;
    CvdQemuConfig qemu;
    CvdProgramConfig *programs;
    guint n_programs;
    CvdHooks hooks;
    char *directory;
    char *layout_text;
    char *explanation;
} CvdConfig;

G_END_DECLS
