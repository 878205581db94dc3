/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration as QEMU's command line. Devices and back ends go as JSON, in which no value can
 * break out of its argument; so does the window's own device. Character devices and TPMs, for which
 * QEMU has no JSON, become option strings (config/qapi.c). `machine`, `accel`, `cpu`, `smp` and
 * `display` are option strings of QEMU and passed as they are; -kernel, -initrd, -append and -bios
 * take their whole argument for the value, so that there is nothing to escape in them. What is put
 * into an option string here (a socket's path) has its commas doubled.
 */
#include "launcher/qemu/command.h"

#include "base/json.h"
#include "launcher/config/qapi.h"
#include "launcher/config/references.h"
#include "launcher/config/substitute.h"

#include <string.h>

static void add(GStrvBuilder *argv, const char *option, const char *value)
{
    if (!value)
        return;
    g_strv_builder_add(argv, option);
    g_strv_builder_add(argv, value);
}

static void add_each(GStrvBuilder *argv, const char *option, char **values)
{
    for (; *values; values++)
        add(argv, option, *values);
}

static void add_chardev_fd(GStrvBuilder *argv, const char *id, int fd)
{
    g_autofree char *value = g_strdup_printf("socket,id=%s,fd=%d", id, fd);
    add(argv, "-chardev", value);
}

static void add_ivshmem(GStrvBuilder *argv, const CvdConfig *config, const char *vm_socket)
{
    g_autofree char *path = vm_socket ? cvd_qemu_escape_value(vm_socket) : NULL;
    g_autofree char *chardev = g_strdup_printf("socket,id=ivshmem,path=%s", path);
    g_autofree char *device =
        g_strdup_printf("{\"driver\":\"ivshmem-doorbell\",\"id\":\"ivshmem\","
                        "\"chardev\":\"ivshmem\",\"vectors\":%u,\"addr\":\"0x%x\"%s}",
                        config->layout->n_regions, config->ivshmem_slot,
                        config->ivshmem_migratable ? ",\"master\":\"on\"" : "");
    if (vm_socket)
        add(argv, "-chardev", chardev);
    else
        add_chardev_fd(argv, "ivshmem", CVD_QEMU_FIRST_FD);
    add(argv, "-device", device);
}

static void add_monitor(GStrvBuilder *argv, const CvdQemuConfig *qemu, gboolean has_fds)
{
    if (has_fds)
        add_chardev_fd(argv, "qmp", CVD_QEMU_FIRST_FD + 1);
    else
        add(argv, "-chardev", "stdio,id=qmp");
    add(argv, "-mon", "chardev=qmp,mode=control");
    if (qemu->serial == CVD_SERIAL_NONE)
        return;
    if (has_fds)
        add_chardev_fd(argv, "serial", CVD_QEMU_FIRST_FD + 2);
    else
        add(argv, "-chardev", "null,id=serial");
    add(argv, "-serial", "chardev:serial");
}

/* QEMU takes a number without a unit for MiB. */
static char *format_memory(guint64 bytes)
{
    if (bytes % (1024 * 1024) == 0)
        return g_strdup_printf("%" G_GUINT64_FORMAT "M", bytes / (1024 * 1024));
    return g_strdup_printf("%" G_GUINT64_FORMAT "B", bytes);
}

/* It is the guest's driver that sets the watchdog's time; Linux' takes it from there. */
static void add_kernel_command_line(GStrvBuilder *argv, const CvdQemuConfig *qemu)
{
    const char *append = qemu->append ? qemu->append : "";

    if (qemu->watchdog_s == 0 || !qemu->kernel || strstr(append, "i6300esb.heartbeat=")) {
        add(argv, "-append", qemu->append);
        return;
    }
    g_autofree char *longer =
        g_strdup_printf("%s%si6300esb.heartbeat=%u", append, *append ? " " : "", qemu->watchdog_s);
    add(argv, "-append", longer);
}

gboolean cvd_qemu_has_ram_file(const CvdConfig *config)
{
    return config->qemu.memory_shared || config->ivshmem_migratable;
}

static void add_machine(GStrvBuilder *argv, const CvdConfig *config, const CvdQemuTools *tools)
{
    const CvdQemuConfig *qemu = &config->qemu;
    g_autofree char *memory = format_memory(qemu->memory_bytes);
    g_autofree char *machine = g_strconcat(
        qemu->machine, cvd_qemu_has_ram_file(config) ? ",memory-backend=" CVD_RAM_ID : NULL, NULL);
    add(argv, "-machine", machine);
    add_each(argv, "-accel", tools->accel);
    add(argv, "-cpu", qemu->cpu);
    add(argv, "-smp", qemu->smp);
    add(argv, "-m", memory);
    add(argv, "-kernel", qemu->kernel);
    add(argv, "-initrd", qemu->initrd);
    add_kernel_command_line(argv, qemu);
    add(argv, "-bios", qemu->firmware);
}

static gboolean names_pvpanic(char **args)
{
    for (; *args; args++)
        if (strstr(*args, "pvpanic"))
            return TRUE;
    return FALSE;
}

/* The one on the ISA bus, which takes no slot and which old guests know, where there is that bus.
 */
const char *cvd_qemu_pvpanic(const char *machine)
{
    gboolean is_pc = g_str_has_prefix(machine, "pc") || g_str_has_prefix(machine, "q35");

    return is_pc ? "pvpanic" : "pvpanic-pci";
}

/* Devices by which the guest reports a panic, or is found to hang. */
static void add_fault_devices(GStrvBuilder *argv, const CvdQemuConfig *qemu)
{
    g_autofree char *pvpanic =
        g_strdup_printf("{\"driver\":\"%s\"}", cvd_qemu_pvpanic(qemu->machine));

    if (!names_pvpanic(qemu->devices) && !names_pvpanic(qemu->extra_args))
        add(argv, "-device", pvpanic);
    if (qemu->watchdog_s == 0)
        return;
    add(argv, "-device", "{\"driver\":\"i6300esb\"}");
    add(argv, "-action", "watchdog=pause");
}

static char *format_json(JsonNode *node)
{
    return cvd_json_to_string(node, FALSE);
}

static void add_ram(GStrvBuilder *argv, guint64 size, const CvdQemuOrigin *origin)
{
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    JsonObject *object = json_object_new();

    json_object_set_string_member(
        object, "qom-type", origin->ram_path ? "memory-backend-file" : "memory-backend-memfd");
    json_object_set_string_member(object, "id", CVD_RAM_ID);
    json_object_set_int_member(object, "size", (gint64)size);
    json_object_set_boolean_member(object, "share", !origin->is_private);
    if (origin->ram_path)
        json_object_set_string_member(object, "mem-path", origin->ram_path);
    if (origin->is_read_only) {
        json_object_set_boolean_member(object, "readonly", TRUE);
        json_object_set_string_member(object, "rom", "off"); /* the guest can write, in its copy */
    }
    json_node_take_object(node, object);
    g_autofree char *value = format_json(node);
    add(argv, "-object", value);
}

/* Who starts this QEMU, in whose objects something has to be put in. */
typedef struct {
    const CvdConfig *config;
    gboolean has_fds; /* whether it inherits sockets; else it connects to them */
} Expansion;

/* Where the socket is that an address has as a descriptor; NULL: it has none. */
static char *find_path(const CvdConfig *config, JsonNode *address)
{
    const char *number = cvd_node_get_string(cvd_qapi_get_member(address, "str"));
    g_auto(GStrv) names = cvd_substitute_get_sockets(number ? number : "");
    const CvdProgramConfig *program = NULL;
    guint index = 0;

    if (!names[0] || cvd_config_find_socket(config, names[0], &program, &index) < 0)
        return NULL;
    return cvd_program_get_socket_path(config, program, index);
}

static void replace_by_path(JsonObject *address, const char *path)
{
    json_object_set_string_member(address, "type", "unix");
    json_object_remove_member(address, "data");
    json_object_remove_member(address, "str");
    json_object_set_string_member(address, "path", path);
}

static void expand(JsonNode *node, const Expansion *expansion);

static void expand_member(JsonObject *object, const char *name, JsonNode *node, gpointer data)
{
    expand(node, data);
}

static void expand_element(JsonArray *array, guint index, JsonNode *node, gpointer data)
{
    expand(node, data);
}

static void expand(JsonNode *node, const Expansion *expansion)
{
    const char *text = cvd_node_get_string(node);

    if (text) {
        g_autofree char *value = cvd_substitute(expansion->config, NULL, text);
        json_node_set_string(node, value);
    } else if (JSON_NODE_HOLDS_ARRAY(node)) {
        json_array_foreach_element(json_node_get_array(node), expand_element, (gpointer)expansion);
    } else if (JSON_NODE_HOLDS_OBJECT(node)) {
        JsonObject *object = json_node_get_object(node);
        g_autofree char *path = expansion->has_fds ? NULL : find_path(expansion->config, node);
        json_object_foreach_member(object, expand_member, (gpointer)expansion);
        if (path)
            replace_by_path(object, path);
    }
}

/* Adds each of @texts, expanded, as @format writes it. */
static void add_expanded(GStrvBuilder *argv, const char *option, char **texts,
                         const Expansion *expansion, char *(*format)(JsonNode *node))
{
    for (; *texts; texts++) {
        g_autoptr(JsonNode) node = cvd_json_from_string(*texts, NULL);
        expand(node, expansion);
        g_autofree char *value = format(node);
        add(argv, option, value);
    }
}

static void add_fdsets(GStrvBuilder *argv, const CvdQemuOrigin *origin)
{
    for (guint i = 0; i < origin->n_fds; i++) {
        g_autofree char *value =
            g_strdup_printf("fd=%d,set=%u", origin->first_fd + (int)i, CVD_QEMU_FIRST_FDSET + i);
        add(argv, "-add-fd", value);
    }
}

static void add_devices(GStrvBuilder *argv, const CvdConfig *config, gboolean has_fds,
                        const CvdQemuOrigin *origin)
{
    const CvdQemuConfig *qemu = &config->qemu;
    const Expansion expansion = {config, has_fds};

    add_each(argv, "-object", qemu->objects);
    add_expanded(argv, "-chardev", qemu->chardevs, &expansion, cvd_qapi_format_chardev);
    add_fdsets(argv, origin);
    add_each(argv, "-blockdev", origin->blockdevs ? origin->blockdevs : qemu->blockdevs);
    add_expanded(argv, "-netdev", qemu->netdevs, &expansion, format_json);
    add_expanded(argv, "-tpmdev", qemu->tpmdevs, &expansion, cvd_qapi_format_tpmdev);
    add_each(argv, "-device", qemu->devices);
}

char **cvd_qemu_command(const CvdConfig *config, const CvdQemuTools *tools, const char *vm_socket,
                        const CvdQemuOrigin *origin)
{
    static const CvdQemuOrigin boot;
    g_autoptr(GStrvBuilder) argv = g_strv_builder_new();
    const CvdQemuConfig *qemu = &config->qemu;

    origin = origin ? origin : &boot;
    g_autofree char *name = cvd_qemu_escape_value(config->name);
    g_strv_builder_add_many(argv, tools->binary, "-nodefaults", "-no-user-config", "-S", NULL);
    add(argv, "-name", name);
    add_machine(argv, config, tools);
    add_monitor(argv, qemu, !vm_socket);
    /* Before the devices of the configuration, which take the slots that are left. */
    add_ivshmem(argv, config, vm_socket);
    if (cvd_qemu_has_ram_file(config))
        add_ram(argv, qemu->memory_bytes, origin);
    add_devices(argv, config, !vm_socket, origin);
    add_fault_devices(argv, qemu);
    add(argv, "-display", qemu->display);
    if (config->on_reboot != CVD_ON_EVENT_CONTINUE)
        add(argv, "-action", "reboot=shutdown");
    add(argv, "-sandbox", qemu->sandbox);
    if (origin->is_incoming)
        add(argv, "-incoming", "defer");
    for (char **arg = qemu->extra_args; *arg; arg++)
        g_strv_builder_add(argv, *arg);
    return g_strv_builder_end(argv);
}

char **cvd_qemu_attach_args(const CvdConfig *config, const char *vm_socket)
{
    g_autoptr(GStrvBuilder) argv = g_strv_builder_new();
    add_ivshmem(argv, config, vm_socket);
    return g_strv_builder_end(argv);
}

/* Bare where nothing in it means anything to a shell; g_shell_quote() quotes always. */
static void append_quoted(GString *text, const char *arg)
{
    static const char harmless[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "0123456789_-+=:,./@%";

    if (*arg && strspn(arg, harmless) == strlen(arg)) {
        g_string_append(text, arg);
        return;
    }
    g_autofree char *quoted = g_shell_quote(arg);
    g_string_append(text, quoted);
}

char *cvd_quote_command(const char *const *argv)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; argv[i]; i++) {
        gboolean is_value = i > 0 && argv[i][0] != '-' && argv[i - 1][0] == '-';
        if (i > 0)
            g_string_append(text, is_value ? " " : " \\\n    ");
        append_quoted(text, argv[i]);
    }
    g_string_append_c(text, '\n');
    return g_string_free(text, FALSE);
}
