/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of cvd.json and qemu.json, each once: parser, defaults, the record of a failure,
 * --print-config, the schemas in conf/ and the tables of the manual follow from these tables. What
 * a row cannot say is a type of its own; what only shows in the whole is checked in config.c.
 */
#include "launcher/config/keys.h"

#include "launcher/config/access.h"
#include "launcher/config/cpus.h"
#include "launcher/config/group.h"
#include "launcher/config/name.h"
#include "launcher/config/programs.h"
#include "launcher/config/qemu.h"
#include "launcher/config/run-as.h"
#include "launcher/config/values.h"
#include "launcher/lifecycle/policy.h"
#include "launcher/qemu/line-watch.h"
#include "server/listener.h"
#include "server/trace-file.h"

#include <string.h>

#define MAX_SECONDS       86400
#define MAX_CLIENTS       100000
#define MAX_VERSION_REPLY 64
#define MAX_SLOT          0x1f
/* What the driver of the i6300esb in Linux takes. */
#define MAX_WATCHDOG_S 2046

static void read_mode(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    const char *string = cvd_node_get_string(node);
    guint64 mode = 0;

    if (string && strlen(string) <= 4 && g_ascii_isdigit(*string) &&
        g_ascii_string_to_unsigned(string, 8, 0, 0777, &mode, NULL))
        *(mode_t *)slot = (mode_t)mode;
    else
        cvd_place_found(place, node, "an octal mode as a string, such as \"0660\"");
}

static JsonNode *print_mode(const CvdKey *key, gconstpointer slot)
{
    g_autofree char *mode = g_strdup_printf("%04o", *(const mode_t *)slot);

    return cvd_string_node(mode);
}

static void read_socket(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    g_autofree char *path = NULL;
    g_autoptr(GError) error = NULL;

    cvd_type_path.read(place, node, key, &path);
    if (path && !cvd_listener_path_check(path, &error))
        cvd_place_problem(place, "%s", error->message);
    else if (path)
        cvd_string_take(slot, g_steal_pointer(&path));
}

static void read_pattern(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    g_autofree char *pattern = NULL;
    g_autoptr(GError) error = NULL;

    cvd_type_string.read(place, node, key, &pattern);
    if (pattern && !cvd_line_pattern_check(pattern, &error))
        cvd_place_problem(place, "%s", error->message);
    else if (pattern)
        cvd_string_take(slot, g_steal_pointer(&pattern));
}

static void read_slot(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    const char *string = cvd_node_get_string(node);
    guint64 number = 0;

    if (string && g_str_has_prefix(string, "0x") && strlen(string) <= 4 &&
        g_ascii_string_to_unsigned(string + 2, 16, 1, MAX_SLOT, &number, NULL))
        *(guint *)slot = (guint)number;
    else
        cvd_place_found(place, node, "a PCI slot from \"0x1\" to \"0x1f\"");
}

static JsonNode *print_slot(const CvdKey *key, gconstpointer slot)
{
    g_autofree char *number = g_strdup_printf("0x%x", *(const guint *)slot);

    return cvd_string_node(number);
}

/* A word that is a size. */
static void read_hugepages(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    int word = -1;

    cvd_type_word.read(place, node, key, &word);
    if (word >= 0)
        cvd_parse_size(key->words[word], slot);
}

static JsonNode *print_hugepages(const CvdKey *key, gconstpointer slot)
{
    g_autofree char *size = cvd_format_size(*(const guint64 *)slot);

    return *(const guint64 *)slot > 0 ? cvd_string_node(size) : NULL;
}

/* clang-format off */
static const CvdType type_mode = {read_mode, print_mode, NULL,
    "{'type': 'string', 'pattern': '^0?[0-7]{1,3}$'}"};
static const CvdType type_socket = {read_socket, cvd_string_print, cvd_string_clear,
    CVD_STRING_SCHEMA};
static const CvdType type_slot = {read_slot, print_slot, NULL,
    "{'type': 'string', 'pattern': '^0x(0?[1-9a-fA-F]|1[0-9a-fA-F])$'}"};
static const CvdType type_pattern = {read_pattern, cvd_string_print, cvd_string_clear,
    CVD_STRING_SCHEMA};
static const CvdType type_hugepages = {read_hugepages, print_hugepages, NULL,
    "{'enum': [$words]}"};
/* clang-format on */

static const char *const backing_words[] = {"memfd", "posix-shm", NULL};  /* CvdWindowBacking */
static const char *const stop_words[] = {"powerdown", "quit", NULL};      /* CvdStop */
static const char *const failure_words[] = {"exit", "", "restart", NULL}; /* CvdOnEvent */
static const char *const reboot_words[] = {"exit", "continue", "restart", NULL}; /* CvdOnEvent */
static const char *const serial_words[] = {"log", "stdio", "none", NULL};        /* CvdSerial */
/* CvdMachineReady */
static const char *const ready_words[] = {"running", "guest", "programs", NULL};
static const char *const hugepage_words[] = {"2M", "1G", NULL};
static const char *const needs_type[] = {"type", NULL};
static const char *const needs_driver[] = {"driver", NULL};
static const char *const needs_qom_type[] = {"qom-type", NULL};

#define AT(member) G_STRUCT_OFFSET(CvdConfig, member)

/* Each row: name, the version that has it first, type, where its value goes, default, meaning. */

static const CvdKey window_keys[] = {
    CVD_KEY("backing", "0.1", cvd_type_word, AT(window.backing), "'memfd'",
            "The kind of shared memory: memfd has no name and leaves nothing behind; posix-shm has "
            "one.",
            .words = backing_words),
    CVD_KEY("path", "0.1", cvd_type_path, AT(window.path), NULL,
            "The name for posix-shm, such as /dev/shm/ivshmem. A file there that does not come "
            "from cvd-launch is an error."),
    CVD_KEY("size", "0.1", cvd_type_size, AT(min_window_size), NULL,
            "The least size of the window. It is rounded up to a power of two. Without this key "
            "the layout gives the size.",
            .min = 1, .max = CVD_MAX_WINDOW_SIZE),
    CVD_KEY("hugepages", "0.1", type_hugepages, AT(window.hugepage_size), NULL,
            "Takes huge pages of this size for the window; memfd only. Regions then start and end "
            "on such pages.",
            .words = hugepage_words),
    CVD_KEY("prealloc", "0.1", cvd_type_boolean, AT(window.prealloc), NULL,
            "Allocates all pages of the window at the start. By default this is done for a window "
            "of up to 4M."),
    CVD_KEYS_END,
};

static const CvdKey socket_keys[] = {
    CVD_KEY("vm", "0.1", type_socket, AT(vm_socket), NULL,
            "Path of the VM socket. By default it is vm.sock in the runtime directory."),
    CVD_KEY("client", "0.1", type_socket, AT(client_socket), NULL,
            "Path of the client socket. By default it is client.sock in the runtime directory."),
    CVD_KEY("legacy_client", "0.1", type_socket, AT(legacy_socket), NULL,
            "Path of a socket for host programs that speak the binary protocol of 2017. By default "
            "there is none."),
    CVD_KEY("version_reply", "0.1", cvd_type_string, AT(version_reply), "'PROTOCOL_VER 0'",
            "The answer to GET PROTOCOL_VER, of at most 64 bytes. Host programs of June 2017 "
            "expect 0x00000000.",
            .max = MAX_VERSION_REPLY,
            .schema = "{'maxLength': " G_STRINGIFY(MAX_VERSION_REPLY) "}"),
    CVD_KEY("mode", "0.1", type_mode, AT(socket_mode), "'0600'",
            "The mode of all sockets, in octal."),
    CVD_KEYS_END,
};

static const CvdKey limit_keys[] = {
    CVD_KEY("clients", "0.1", cvd_type_uint, AT(max_clients), "1024",
            "How many connections of host programs there may be at once. Several users share them.",
            .min = 1, .max = MAX_CLIENTS),
    CVD_KEY("handshake_timeout_ms", "0.1", cvd_type_uint, AT(handshake_timeout_ms), "5000",
            "How long a host program may take to ask for its region.", .unit = "ms", .min = 1,
            .max = MAX_SECONDS * 1000),
    CVD_KEY("trace_size", "0.2", cvd_type_size, AT(trace_size), "'64M'",
            "How large the file of cvd-launch --trace may get. Then the oldest rings in it are "
            "overwritten.",
            .min = CVD_TRACE_MIN_SIZE, .max = CVD_TRACE_MAX_SIZE),
    CVD_KEYS_END,
};

static const CvdKey ivshmem_keys[] = {
    CVD_KEY("address", "0.1", type_slot, AT(ivshmem_slot), "'0x10'",
            "The PCI slot of the window's device on the root bus, from 0x1 to 0x1f."),
    CVD_KEY("force_bus_master", "0.1", cvd_type_boolean, AT(ivshmem_force_bus_master), "false",
            "Enables bus mastering of the window's device for a guest driver that does not do so. "
            "Without bus mastering the guest gets no interrupts."),
    CVD_KEY("migratable", "0.2", cvd_type_boolean, AT(ivshmem_migratable), "false",
            "Makes a VM that QEMU can save and restore. The guest is peer 0 of the device then and "
            "the host peer 1, so its driver has to ring the peer 1 minus its own number. Drivers "
            "that always ring peer 0, as that of Android does, cannot use this."),
    CVD_KEYS_END,
};

static const CvdKey lifecycle_keys[] = {
    CVD_KEY("stop", "0.1", cvd_type_word, AT(stop), "'powerdown'",
            "How a stop begins: powerdown asks the guest to power off, quit ends QEMU at once.",
            .words = stop_words),
    CVD_KEY("stop_timeout_s", "0.1", cvd_type_uint, AT(stop_timeout_s), "10",
            "How long the guest may take to power off before QEMU is told to quit.", .unit = "s",
            .min = 1, .max = MAX_SECONDS),
    CVD_KEY("start_timeout_s", "0.1", cvd_type_uint, AT(start_timeout_s), "30",
            "How long it may take from the start of QEMU until the machine is ready, as ready has "
            "it. While a guest is paused, or sleeps, this time does not run.",
            .unit = "s", .min = 1, .max = MAX_SECONDS),
    CVD_KEY(
        "ready", "0.2", cvd_type_word, AT(ready), "'running'",
        "When the machine is ready, which is what a service manager and cvd-ctl wait ready wait "
        "for: running when the guest runs, guest when the guest says so, programs when the "
        "guest runs and all programs are ready. Guests of this project say so; for others see "
        "ready_pattern.",
        .words = ready_words),
    CVD_KEY("ready_pattern", "0.2", type_pattern, AT(ready_pattern), NULL,
            "With ready guest: a regular expression of PCRE2, for a line of the guest's serial "
            "console. When a line matches, the guest has said that it is ready, whether it can say "
            "so otherwise or not. A prompt is no complete line, so $ does not match at its end.",
            .max = CVD_LINE_WATCH_MAX_PATTERN,
            .schema = "{'maxLength': " G_STRINGIFY(CVD_LINE_WATCH_MAX_PATTERN) "}"),
    CVD_KEY("on_crash", "0.1", cvd_type_word, AT(on_crash), "'exit'",
            "What happens when QEMU dies, stops answering or meets an internal error.",
            .words = failure_words),
    CVD_KEY("on_panic", "0.1", cvd_type_word, AT(on_panic), "'exit'",
            "What happens when the guest panics or its watchdog runs out. A panic is only seen if "
            "the guest has QEMU's pvpanic device.",
            .words = failure_words),
    CVD_KEY("on_reboot", "0.1", cvd_type_word, AT(on_reboot), "'continue'",
            "What happens when the guest reboots: continue lets it boot again in the same QEMU, "
            "exit ends the instance, restart starts another QEMU. A restart is immediate, unless "
            "the VM was started less than 10 seconds before; then it counts as a failure.",
            .words = reboot_words),
    CVD_KEY("restart_limit", "0.1", cvd_type_uint, AT(restart_limit), "5",
            "How many failures within 10 minutes lead to a restart. One more ends the instance.",
            .min = 0, .max = CVD_RESTART_MAX_LIMIT),
    CVD_KEY("restart_delay_ms", "0.1", cvd_type_uint, AT(restart_delay_ms), "1000",
            "The pause before the first restart. It doubles with each further one, up to 30 s.",
            .unit = "ms", .min = 0, .max = CVD_RESTART_MAX_DELAY_MS),
    CVD_KEY("qmp_timeout_s", "0.1", cvd_type_uint, AT(qmp_timeout_s), "0",
            "How long QEMU may take to answer a heartbeat before it counts as crashed; 0 turns the "
            "heartbeat off. While QEMU carries out a command of `cvd-ctl qmp`, except query-* and "
            "qom-get, it has as much time as the caller waits, or ten times this value once the "
            "caller has gone.",
            .unit = "s", .min = 0, .max = MAX_SECONDS),
    CVD_KEYS_END,
};

#undef AT
#define AT(member) G_STRUCT_OFFSET(CvdQemuConfig, member)

static const CvdKey cpus_keys[] = {
    CVD_KEY("pin", "0.2", cvd_type_pin, AT(cpus.pin), NULL,
            "The processors of the host that QEMU may use, such as 0-3,8. A list has an entry for "
            "each vCPU; QEMU's other threads may then use all that are in it."),
    CVD_KEY("weight", "0.2", cvd_type_uint, AT(cpus.weight), "0",
            "How much of the processors QEMU gets when others want them too, against those others; "
            "100 is usual, 0 leaves it to the kernel. Needs a control group of version 2 that is "
            "delegated to cvd-launch.",
            .min = 0, .max = 10000),
    CVD_KEYS_END,
};

const CvdKey cvd_qemu_keys[] = {
    CVD_KEY("binary", "0.1", cvd_type_name_or_path, AT(binary), "'qemu-system-x86_64'",
            "The QEMU to start: a path, or a name that is looked up in PATH. A wrapper script must "
            "end in an exec of QEMU and must not use setsid. Otherwise you get a warning, because "
            "QEMU may then outlive a killed launcher until the next start ends it."),
    CVD_KEY("machine", "0.1", cvd_type_machine, AT(machine), "'q35'",
            "Value of QEMU's -machine. The machine needs PCI: write microvm as microvm,pcie=on."),
    CVD_KEY("accel", "0.1", cvd_type_accel, AT(accel), "['kvm', 'tcg']",
            "An accelerator, or a list of them in order of preference. kvm is used only if "
            "/dev/kvm can make a VM."),
    CVD_KEY("cpu", "0.1", cvd_type_string, AT(cpu), NULL,
            "Value of QEMU's -cpu. By default QEMU chooses."),
    CVD_KEY("smp", "0.1", cvd_type_smp, AT(smp), NULL,
            "The number of vCPUs, or a value of QEMU's -smp such as 2,maxcpus=4. By default QEMU "
            "chooses.",
            .min = 1, .max = CVD_MAX_VCPUS),
    CVD_KEY("cpus", "0.2", cvd_type_object, 0, NULL, NULL, .members = cpus_keys),
    CVD_KEY("memory", "0.1", cvd_type_size, AT(memory_bytes), "'512M'", "The guest's RAM.",
            .min = G_GUINT64_CONSTANT(1) << 20, .max = G_GUINT64_CONSTANT(1) << 44),
    CVD_KEY("memory_limit", "0.2", cvd_type_size, AT(memory_limit_bytes), NULL,
            "The most memory that QEMU may use: what the guest has written to, and some 50M of its "
            "own. If it needs more the kernel kills it. Needs a control group as weight does.",
            .min = G_GUINT64_CONSTANT(1) << 20, .max = G_GUINT64_CONSTANT(1) << 44),
    CVD_KEY("memory_shared", "0.2", cvd_type_boolean, AT(memory_shared), "false",
            "Puts the RAM into memory that QEMU can share with other processes, as all devices "
            "whose names begin with vhost-user need."),
    CVD_KEY("kernel", "0.1", cvd_type_kernel, AT(kernel), NULL,
            "Path of a kernel image, or builtin for the guest that comes with cvd-launch."),
    CVD_KEY("initrd", "0.1", cvd_type_path, AT(initrd), NULL,
            "Path of an initial RAM disk. Needs kernel."),
    CVD_KEY("append", "0.1", cvd_type_append, AT(append), NULL,
            "The kernel's command line, as a string or as a list of its words. Needs kernel."),
    CVD_KEY("firmware", "0.1", cvd_type_name_or_path, AT(firmware), NULL,
            "Path of the firmware, or the name of a file that comes with QEMU. By default QEMU "
            "chooses."),
    CVD_KEY("objects", "0.1", cvd_type_qapi, AT(objects), "[]", "Objects for QEMU's -object.",
            .words = needs_qom_type),
    CVD_KEY("blockdevs", "0.1", cvd_type_qapi, AT(blockdevs), "[]",
            "Objects for QEMU's -blockdev, such as disk images.", .words = needs_driver),
    CVD_KEY("chardevs", "0.2", cvd_type_chardevs, AT(chardevs), "[]",
            "Character devices, such as connections to host programs, as QMP's chardev-add has "
            "them: objects with id and backend."),
    CVD_KEY("netdevs", "0.1", cvd_type_qapi, AT(netdevs), "[]",
            "Objects for QEMU's -netdev, such as networks.", .words = needs_type),
    CVD_KEY("tpmdevs", "0.2", cvd_type_tpmdevs, AT(tpmdevs), "[]",
            "TPMs: objects with id and type, which is emulator, with the chardev that leads to it, "
            "or passthrough."),
    CVD_KEY("devices", "0.1", cvd_type_devices, AT(devices), "[]", "Objects for QEMU's -device.",
            .words = needs_driver),
    CVD_KEY("serial", "0.1", cvd_type_word, AT(serial), "'log'",
            "Where the guest's serial console goes: log writes it to console.log, stdio shows it "
            "on the terminal as well, none has no console. A guest that prints more than some 100 "
            "kB a second has to wait.",
            .words = serial_words),
    CVD_KEY("display", "0.1", cvd_type_string, AT(display), "'none'", "Value of QEMU's -display."),
    CVD_KEY(
        "sandbox", "0.1", cvd_type_sandbox, AT(sandbox), "true",
        "Confines QEMU with its -sandbox. false does not, and a string is the value of -sandbox."),
    CVD_KEY("extra_args", "0.1", cvd_type_extra_args, AT(extra_args), "[]",
            "Further arguments of QEMU, which come last."),
    CVD_KEY("watchdog_s", "0.1", cvd_type_uint, AT(watchdog_s), "0",
            "Gives the guest an i6300esb watchdog with this time limit, and puts the limit on the "
            "kernel's command line for the driver of Linux. 0 means no watchdog. When the time "
            "runs out, that counts as a panic.",
            .unit = "s", .min = 0, .max = MAX_WATCHDOG_S),
    CVD_KEY("run_as", "0.1", cvd_type_run_as, AT(run_as), NULL,
            "The user that QEMU runs as when cvd-launch runs as root: USER or USER:GROUP, names or "
            "numbers. It must not be root or in root's group. A number without an entry in the "
            "user database needs a group. This user must be able to read QEMU's files and to write "
            "its disks."),
    CVD_KEY("$schema", "0.2", cvd_type_schema, 0, NULL,
            "Address of the JSON Schema of this file, for editors; nothing is read from there."),
    CVD_KEYS_END,
};

#undef AT
#define AT(member) G_STRUCT_OFFSET(CvdConfig, member)

const CvdKey cvd_keys[] = {
    CVD_KEY("name", "0.1", cvd_type_name, AT(name), "'cvd-1'",
            "Name of the instance: 1 to 32 letters, digits, '_', '.' and '-'. The first one is a "
            "letter or a digit. With instances it is the name of the group.",
            .schema = CVD_GROUP_NAME_SCHEMA),
    CVD_KEY("instances", "0.2", cvd_type_ignored, 0, NULL,
            "Describes a group of machines: how many, with the numbers from 1 on, or the first and "
            "the last number, such as 0..63. At most 10000.",
            .schema = CVD_INSTANCES_SCHEMA),
    CVD_KEY("layout", "0.1", cvd_type_ignored, 0, NULL,
            "Path of the layout file, or the object itself: vsoc_mem.json(5).",
            .schema = "{'anyOf': [" CVD_STRING_SCHEMA ", {'$ref': 'vsoc_mem.schema.json'}]}"),
    CVD_KEY("qemu", "0.1", cvd_type_tree, AT(qemu), NULL,
            "Path of the file with the VM's hardware, or the object itself: qemu.json(5).",
            .members = cvd_qemu_keys,
            .schema = "{'anyOf': [" CVD_STRING_SCHEMA ", {'$ref': 'qemu.schema.json'}]}"),
    CVD_KEY("window", "0.1", cvd_type_object, 0, NULL, NULL, .members = window_keys,
            .schema = "{'if': {'properties': {'backing': {'const': 'posix-shm'}},"
                      "        'required': ['backing']},"
                      " 'then': {'required': ['path'], 'properties': {'hugepages': false}},"
                      " 'else': {'properties': {'path': false}}}"),
    CVD_KEY("sockets", "0.1", cvd_type_object, 0, NULL, NULL, .members = socket_keys),
    CVD_KEY("limits", "0.1", cvd_type_object, 0, NULL, NULL, .members = limit_keys),
    CVD_KEY("ivshmem", "0.1", cvd_type_object, 0, NULL, NULL, .members = ivshmem_keys),
    CVD_KEY("lifecycle", "0.1", cvd_type_object, 0, NULL, NULL, .members = lifecycle_keys,
            .schema = "{'if': {'not': {'properties': {'ready': {'const': 'guest'}},"
                      "                'required': ['ready']}},"
                      " 'then': {'properties': {'ready_pattern': false}}}"),
    CVD_KEY(
        "access", "0.1", cvd_type_access, AT(access), NULL,
        "Which users may use which regions: a list of rules. The first rule that fits counts. A "
        "user whom no rule fits gets no region. Without this key you and root may use all regions.",
        .elements = cvd_access_rule_keys),
    CVD_KEY("programs", "0.2", cvd_type_map, AT(programs), NULL,
            "Host programs that belong to the machine, by name, at most 128.",
            .max = CVD_MAX_PROGRAMS, .elements = cvd_program_keys,
            .element_size = sizeof(CvdProgramConfig)),
    CVD_KEY("hooks", "0.2", cvd_type_object, AT(hooks), NULL, NULL, .members = cvd_hook_keys),
    CVD_KEY("$schema", "0.2", cvd_type_schema, 0, NULL,
            "Address of the JSON Schema of this file, for editors; nothing is read from there."),
    CVD_KEYS_END,
};
