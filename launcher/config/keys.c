/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of cvd.json and qemu.json, each once: parser, defaults, the record of a failure,
 * --print-config, the schemas in conf/ and the tables of the manual follow from these tables. What
 * a row cannot say is a type of its own; what only shows in the whole is checked in config.c.
 */
#include "launcher/config/keys.h"

#include "launcher/config/access.h"
#include "launcher/config/qemu.h"
#include "launcher/config/run-as.h"
#include "launcher/config/values.h"
#include "launcher/lifecycle/policy.h"
#include "server/listener.h"

#include <string.h>

#define MAX_SECONDS       86400
#define MAX_CLIENTS       100000
#define MAX_VERSION_REPLY 64
#define MAX_SLOT          0x1f
/* What the driver of the i6300esb in Linux takes. */
#define MAX_WATCHDOG_S 2046

gboolean cvd_is_instance_name(const char *name)
{
    static const char others[] = "_.-";

    gsize length = strlen(name);
    if (length < 1 || length > 32 || !g_ascii_isalnum(*name))
        return FALSE;
    for (; *name; name++) {
        if (!g_ascii_isalnum(*name) && !strchr(others, *name))
            return FALSE;
    }
    return TRUE;
}

static void read_name(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    const char *name = cvd_node_get_string(node);

    if (name && cvd_is_instance_name(name))
        cvd_string_take(slot, g_strdup(name));
    else
        cvd_place_found(place, node, CVD_NAME_EXPECTED);
}

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
static const CvdType type_name = {read_name, cvd_string_print, cvd_string_clear,
    "{'type': 'string', 'pattern': '^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$'}"};
static const CvdType type_mode = {read_mode, print_mode, NULL,
    "{'type': 'string', 'pattern': '^0?[0-7]{1,3}$'}"};
static const CvdType type_socket = {read_socket, cvd_string_print, cvd_string_clear,
    CVD_STRING_SCHEMA};
static const CvdType type_slot = {read_slot, print_slot, NULL,
    "{'type': 'string', 'pattern': '^0x(0?[1-9a-fA-F]|1[0-9a-fA-F])$'}"};
static const CvdType type_hugepages = {read_hugepages, print_hugepages, NULL,
    "{'enum': [$words]}"};
/* clang-format on */

static const char *const backing_words[] = {"memfd", "posix-shm", NULL};  /* CvdWindowBacking */
static const char *const stop_words[] = {"powerdown", "quit", NULL};      /* CvdStop */
static const char *const failure_words[] = {"exit", "", "restart", NULL}; /* CvdOnEvent */
static const char *const reboot_words[] = {"exit", "continue", "restart", NULL}; /* CvdOnEvent */
static const char *const serial_words[] = {"log", "stdio", "none", NULL};        /* CvdSerial */
static const char *const hugepage_words[] = {"2M", "1G", NULL};
static const char *const needs_type[] = {"type", NULL};
static const char *const needs_driver[] = {"driver", NULL};
static const char *const needs_qom_type[] = {"qom-type", NULL};

#define AT(member) G_STRUCT_OFFSET(CvdConfig, member)

/* Each row: name, the version that has it first, type, where its value goes, default, meaning. */

static const CvdKey window_keys[] = {
    CVD_KEY("backing", "0.1", cvd_type_word, AT(window.backing), "'memfd'",
            "An anonymous memfd, or posix-shm, which has a name.", .words = backing_words),
    CVD_KEY(
        "path", "0.1", cvd_type_path, AT(window.path), NULL,
        "The name, for posix-shm alone, such as /dev/shm/ivshmem; a file there that no launcher "
        "has left is an error."),
    CVD_KEY("size", "0.1", cvd_type_size, AT(min_window_size), NULL,
            "At least so large, at most 2G; rounded up to a power of two. Without it as the layout "
            "has it.",
            .min = 1, .max = CVD_MAX_WINDOW_SIZE),
    CVD_KEY(
        "hugepages", "0.1", type_hugepages, AT(window.hugepage_size), NULL,
        "Size of the window's pages, for memfd alone; regions then start and end on such pages.",
        .words = hugepage_words),
    CVD_KEY("prealloc", "0.1", cvd_type_boolean, AT(window.prealloc), NULL,
            "Whether all pages are allocated at the start; by default up to 4M of window."),
    CVD_KEYS_END,
};

static const CvdKey socket_keys[] = {
    CVD_KEY("vm", "0.1", type_socket, AT(vm_socket), NULL,
            "Path of the VM socket; by default vm.sock in the runtime directory."),
    CVD_KEY("client", "0.1", type_socket, AT(client_socket), NULL,
            "Path of the client socket; by default client.sock in the runtime directory."),
    CVD_KEY("legacy_client", "0.1", type_socket, AT(legacy_socket), NULL,
            "Path of the socket that speaks the binary dialect of 2017."),
    CVD_KEY("version_reply", "0.1", cvd_type_string, AT(version_reply), "'PROTOCOL_VER 0'",
            "Answer to GET PROTOCOL_VER, at most 64 bytes; clients of June 2017 want 0x00000000.",
            .max = MAX_VERSION_REPLY,
            .schema = "{'maxLength': " G_STRINGIFY(MAX_VERSION_REPLY) "}"),
    CVD_KEY("mode", "0.1", type_mode, AT(socket_mode), "'0600'",
            "Mode of all sockets, an octal string."),
    CVD_KEYS_END,
};

static const CvdKey limit_keys[] = {
    CVD_KEY("clients", "0.1", cvd_type_uint, AT(max_clients), "1024",
            "Connections kept on the client socket, at most 100000, shared among users.", .min = 1,
            .max = MAX_CLIENTS),
    CVD_KEY("handshake_timeout_ms", "0.1", cvd_type_uint, AT(handshake_timeout_ms), "5000",
            "How long a client's handshake may take.", .unit = "ms", .min = 1,
            .max = MAX_SECONDS * 1000),
    CVD_KEYS_END,
};

static const CvdKey ivshmem_keys[] = {
    CVD_KEY("address", "0.1", type_slot, AT(ivshmem_slot), "'0x10'",
            "PCI slot of the device on the root bus, 0x1 to 0x1f."),
    CVD_KEY("force_bus_master", "0.1", cvd_type_boolean, AT(ivshmem_force_bus_master), "false",
            "For guest drivers that never enable bus mastering."),
    CVD_KEYS_END,
};

static const CvdKey lifecycle_keys[] = {
    CVD_KEY("stop", "0.1", cvd_type_word, AT(stop), "'powerdown'",
            "How a stop begins: powerdown asks the guest, quit does not.", .words = stop_words),
    CVD_KEY("stop_timeout_s", "0.1", cvd_type_uint, AT(stop_timeout_s), "10",
            "How long a power-down may take.", .unit = "s", .min = 1, .max = MAX_SECONDS),
    CVD_KEY("start_timeout_s", "0.1", cvd_type_uint, AT(start_timeout_s), "30",
            "From the start of QEMU to a running guest.", .unit = "s", .min = 1,
            .max = MAX_SECONDS),
    CVD_KEY("on_crash", "0.1", cvd_type_word, AT(on_crash), "'exit'",
            "When QEMU dies, does not answer any more, or meets an internal error; or restart.",
            .words = failure_words),
    CVD_KEY("on_panic", "0.1", cvd_type_word, AT(on_panic), "'exit'",
            "When the guest panics (QEMU's pvpanic device tells), or its watchdog runs out; or "
            "restart.",
            .words = failure_words),
    CVD_KEY("on_reboot", "0.1", cvd_type_word, AT(on_reboot), "'continue'",
            "When the guest reboots; or exit, or restart: at once, unless the VM was started less "
            "than 10 seconds before, which counts as a failure.",
            .words = reboot_words),
    CVD_KEY("restart_limit", "0.1", cvd_type_uint, AT(restart_limit), "5",
            "How many failures within 10 minutes are followed by a restart.", .min = 0,
            .max = CVD_RESTART_MAX_LIMIT),
    CVD_KEY("restart_delay_ms", "0.1", cvd_type_uint, AT(restart_delay_ms), "1000",
            "Before the first of them; doubled for each further one, up to 30 s.", .unit = "ms",
            .min = 0, .max = CVD_RESTART_MAX_DELAY_MS),
    CVD_KEY("qmp_timeout_s", "0.1", cvd_type_uint, AT(qmp_timeout_s), "0",
            "How long QEMU may take to answer a heartbeat before it counts as crashed; 0 = it is "
            "not asked. While it carries out a command of `cvd-ctl qmp` other than query-* and "
            "qom-get, which may take long, it has as much time as the caller waits, and ten times "
            "this if the caller does not wait any more.",
            .unit = "s", .min = 0, .max = MAX_SECONDS),
    CVD_KEYS_END,
};

#undef AT
#define AT(member) G_STRUCT_OFFSET(CvdQemuConfig, member)

const CvdKey cvd_qemu_keys[] = {
    CVD_KEY(
        "binary", "0.1", cvd_type_name_or_path, AT(binary), "'qemu-system-x86_64'",
        "A name to look up in PATH, or a path; a wrapper has to end in an exec of QEMU, without "
        "setsid, and is warned of otherwise: killed with the launcher QEMU may then go on until "
        "the next start, which ends it."),
    CVD_KEY("machine", "0.1", cvd_type_machine, AT(machine), "'q35'",
            "Value of -machine; one with PCI, so microvm is microvm,pcie=on."),
    CVD_KEY(
        "accel", "0.1", cvd_type_accel, AT(accel), "['kvm', 'tcg']",
        "An accelerator, or a list in order of preference; kvm is used only if a VM can be made "
        "with /dev/kvm."),
    CVD_KEY("cpu", "0.1", cvd_type_string, AT(cpu), NULL, "Value of -cpu; by default QEMU's own."),
    CVD_KEY("smp", "0.1", cvd_type_smp, AT(smp), NULL,
            "Number of vCPUs, or value of -smp, such as 2,maxcpus=4; by default QEMU's own.",
            .min = 1, .max = CVD_MAX_VCPUS),
    CVD_KEY("memory", "0.1", cvd_type_size, AT(memory_bytes), "'512M'", "Guest RAM, 1M to 16384G.",
            .min = G_GUINT64_CONSTANT(1) << 20, .max = G_GUINT64_CONSTANT(1) << 44),
    CVD_KEY("kernel", "0.1", cvd_type_kernel, AT(kernel), NULL,
            "Path, or builtin: the guest that comes with cvd-launch."),
    CVD_KEY("initrd", "0.1", cvd_type_path, AT(initrd), NULL, "Path; needs kernel."),
    CVD_KEY("append", "0.1", cvd_type_append, AT(append), NULL,
            "Kernel command line, a string or a list of strings; needs kernel."),
    CVD_KEY("firmware", "0.1", cvd_type_name_or_path, AT(firmware), NULL,
            "Path, or the bare name of one of QEMU's own files; by default QEMU's own."),
    CVD_KEY("objects", "0.1", cvd_type_qapi, AT(objects), "[]", "List of objects for -object.",
            .words = needs_qom_type),
    CVD_KEY("blockdevs", "0.1", cvd_type_qapi, AT(blockdevs), "[]",
            "List of objects for -blockdev.", .words = needs_driver),
    CVD_KEY("netdevs", "0.1", cvd_type_qapi, AT(netdevs), "[]", "List of objects for -netdev.",
            .words = needs_type),
    CVD_KEY("devices", "0.1", cvd_type_devices, AT(devices), "[]", "List of objects for -device.",
            .words = needs_driver),
    CVD_KEY("serial", "0.1", cvd_type_word, AT(serial), "'log'",
            "Guest console: log (into console.log), stdio (shown on the terminal, too) or none; a "
            "guest that prints more than some 100 kB a second waits.",
            .words = serial_words),
    CVD_KEY("display", "0.1", cvd_type_string, AT(display), "'none'", "Value of -display."),
    CVD_KEY("sandbox", "0.1", cvd_type_sandbox, AT(sandbox), "true",
            "Confine QEMU by -sandbox; false does not, a string is its value."),
    CVD_KEY("extra_args", "0.1", cvd_type_extra_args, AT(extra_args), "[]",
            "List of strings, appended last."),
    CVD_KEY("watchdog_s", "0.1", cvd_type_uint, AT(watchdog_s), "0",
            "Gives the guest an i6300esb watchdog and, on the command line of kernel, tells Linux' "
            "driver this time; when it runs out that counts as a panic.",
            .unit = "s", .min = 0, .max = MAX_WATCHDOG_S),
    CVD_KEY("run_as", "0.1", cvd_type_run_as, AT(run_as), NULL,
            "The user that QEMU runs as when the launcher is root, USER or USER:GROUP, names or "
            "numbers, not root and not in root's group; a number without an entry in the user "
            "database needs a group; its files have to be readable for that user, and the disks "
            "writable."),
    CVD_KEY("$schema", "0.2", cvd_type_schema, 0, NULL,
            "Address of the JSON Schema of this file, for editors; nothing is read from there."),
    CVD_KEYS_END,
};

#undef AT
#define AT(member) G_STRUCT_OFFSET(CvdConfig, member)

const CvdKey cvd_keys[] = {
    CVD_KEY(
        "name", "0.1", type_name, AT(name), "'cvd-1'",
        "Name of the instance: 1 to 32 letters, digits, '_', '.' and '-', of which the first is "
        "a letter or digit."),
    CVD_KEY("layout", "0.1", cvd_type_ignored, 0, NULL,
            "Path of the layout file, or the object itself.",
            .schema = "{'anyOf': [" CVD_STRING_SCHEMA ", {'$ref': 'vsoc_mem.schema.json'}]}"),
    CVD_KEY("qemu", "0.1", cvd_type_tree, AT(qemu), NULL,
            "Path of the file with the VM's hardware, or the object itself.",
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
    CVD_KEY("lifecycle", "0.1", cvd_type_object, 0, NULL, NULL, .members = lifecycle_keys),
    CVD_KEY("access", "0.1", cvd_type_access, AT(access), NULL,
            "Who may have which regions; the first rule that fits counts, and without one a client "
            "may nothing. Not given: this user and root may everything.",
            .elements = cvd_access_rule_keys),
    CVD_KEY("$schema", "0.2", cvd_type_schema, 0, NULL,
            "Address of the JSON Schema of this file, for editors; nothing is read from there."),
    CVD_KEYS_END,
};
