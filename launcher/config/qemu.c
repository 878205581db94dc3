/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu.json: a table for the plain values, and small readers for those with two forms. What QEMU
 * itself understands (machine, devices, ...) is passed on, not judged: only what would make a
 * command line that cannot mean what its author meant is refused here.
 */
#include "launcher/config/qemu.h"
#include "base/json.h"
#include "launcher/config/run-as.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the driver of the i6300esb in Linux takes. */
#define MAX_WATCHDOG_S 2046
#define MIN_MEMORY     (G_GUINT64_CONSTANT(1) << 20)
#define MAX_MEMORY     (G_GUINT64_CONSTANT(1) << 44)
#define MAX_VCPUS      4096

static void read_kernel(const CvdPlace *place, JsonNode *node, const CvdField *field,
                        gpointer target)
{
    if (g_strcmp0(cvd_node_get_string(node), "builtin") == 0)
        cvd_store_string(target, field->offset, cvd_builtin_guest_path());
    else
        cvd_read_path(place, node, field, target);
}

/* One that has what the window's device and the command line need. */
static void read_machine(const CvdPlace *place, JsonNode *node, const CvdField *field,
                         gpointer target)
{
    cvd_read_string(place, node, field, target);
    g_auto(GStrv) options = g_strsplit(G_STRUCT_MEMBER(char *, target, field->offset), ",", -1);
    const char *type = options[0] ? options[0] : "";
    if (g_str_has_prefix(type, "type="))
        type += strlen("type=");
    gboolean is_microvm = strcmp(type, "microvm") == 0;
    if (strcmp(type, "isapc") == 0 || strcmp(type, "none") == 0 ||
        (is_microvm && !g_strv_contains((const char *const *)options, "pcie=on")))
        cvd_place_problem(place, "%s has no PCI, which the window's device needs; use %s", type,
                          is_microvm ? "\"microvm,pcie=on\"" : "\"q35\" or \"pc\"");
    for (char **option = options; *option; option++)
        if (g_str_has_prefix(*option, "accel="))
            cvd_place_problem(place, "%s: accelerators are named in \"accel\", as a list", *option);
}

static gboolean is_accel(JsonNode *node)
{
    const char *name = cvd_node_get_string(node);
    gsize length = name ? strcspn(name, ",:") : 0;

    return length > 0 && name[length] != ':';
}

/* Empty after a problem. */
static char **read_accel_list(const CvdPlace *place, JsonArray *array)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    for (guint i = 0; i < json_array_get_length(array); i++) {
        JsonNode *element = json_array_get_element(array, i);
        if (is_accel(element)) {
            g_strv_builder_add(builder, json_node_get_string(element));
        } else {
            g_autofree char *path = NULL;
            CvdPlace child = cvd_place_element(place, i, element, &path);
            cvd_place_found(&child, element, "an accelerator such as \"kvm\" or \"tcg\"");
        }
    }
    return g_strv_builder_end(builder);
}

static void read_accel(const CvdPlace *place, JsonNode *node, const CvdField *field,
                       gpointer target)
{
    static const char expected[] =
        "an accelerator such as \"kvm\", or a list of at least one, in order of preference";

    char **list = NULL;
    if (is_accel(node))
        list = g_strdupv((char *[]){(char *)json_node_get_string(node), NULL});
    else if (JSON_NODE_HOLDS_ARRAY(node) && json_array_get_length(json_node_get_array(node)) > 0)
        list = read_accel_list(place, json_node_get_array(node));
    if (!list) {
        cvd_place_found(place, node, expected);
        return;
    }
    char ***slot = G_STRUCT_MEMBER_P(target, field->offset);
    g_strfreev(*slot);
    *slot = list;
}

static void read_smp(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
    static const char value[] = "^([0-9]+|[a-z]+=[0-9]+)(,[a-z]+=[0-9]+)*$"; /* of -smp */
    const char *string = cvd_node_get_string(node);
    if (string) {
        guint64 n = g_ascii_isdigit(*string) ? g_ascii_strtoull(string, NULL, 10) : 1;
        if (n < 1 || n > MAX_VCPUS || !g_regex_match_simple(value, string, 0, 0))
            cvd_place_found(place, node,
                            "from 1 to " G_STRINGIFY(MAX_VCPUS) " vCPUs, or the value of -smp");
        else
            cvd_read_string(place, node, field, target);
        return;
    }
    guint n_vcpus = 0;
    const CvdField number = {.key = field->key, .min = 1, .max = MAX_VCPUS};
    cvd_read_uint(place, node, &number, &n_vcpus);
    if (n_vcpus > 0)
        cvd_store_string(target, field->offset, g_strdup_printf("%u", n_vcpus));
}

static void read_append(const CvdPlace *place, JsonNode *node, const CvdField *field,
                        gpointer target)
{
    const char *string = cvd_node_get_string(node);
    if (string) {
        cvd_store_string(target, field->offset, g_strdup(string));
    } else if (JSON_NODE_HOLDS_ARRAY(node)) {
        g_auto(GStrv) words = NULL;
        cvd_read_strings(place, node, &(CvdField){.key = field->key}, &words);
        cvd_store_string(target, field->offset, g_strjoinv(" ", words));
    } else {
        cvd_place_found(place, node, "a string or a list of strings");
    }
}

/* A daemon would leave the launcher, and survive it. */
static void read_extra_args(const CvdPlace *place, JsonNode *node, const CvdField *field,
                            gpointer target)
{
    char **args;

    cvd_read_strings(place, node, field, target);
    args = G_STRUCT_MEMBER(char **, target, field->offset);
    for (guint i = 0; args && args[i]; i++) {
        if (strcmp(args[i], "-daemonize") == 0 || strcmp(args[i], "--daemonize") == 0)
            cvd_place_problem(place,
                              "%s: QEMU has to stay with the launcher; remove it, and put "
                              "cvd-launch itself into the background",
                              args[i]);
    }
}

static void read_sandbox(const CvdPlace *place, JsonNode *node, const CvdField *field,
                         gpointer target)
{
    const char *string = cvd_node_get_string(node);
    if (string && *string)
        cvd_store_string(target, field->offset, g_strdup(string));
    else if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_BOOLEAN)
        cvd_store_string(target, field->offset,
                         json_node_get_boolean(node) ? g_strdup(CVD_SANDBOX_DEFAULT) : NULL);
    else
        cvd_place_found(place, node, "true, false, or the value of -sandbox");
}

/* One object of a list; @field->words[0] is the member that QEMU cannot do without. */
static gboolean check_qapi_object(const CvdPlace *place, JsonNode *node, const CvdField *field)
{
    if (!JSON_NODE_HOLDS_OBJECT(node)) {
        cvd_place_found(place, node, "an object with QEMU's own names");
        return FALSE;
    }
    JsonObject *object = json_node_get_object(node);
    JsonNode *kind = json_object_get_member(object, field->words[0]);
    const char *string = kind ? cvd_node_get_string(kind) : NULL;
    if (!string || !*string) {
        cvd_place_problem(place, "needs \"%s\", a string", field->words[0]);
        return FALSE;
    }
    JsonNode *id = json_object_get_member(object, "id");
    if (strcmp(field->key, "devices") == 0 && id &&
        g_strcmp0(cvd_node_get_string(id), "ivshmem") == 0) {
        cvd_place_problem(place, "id \"ivshmem\" is that of the window's device; choose another");
        return FALSE;
    }
    return TRUE;
}

static void resolve_files(const CvdPlace *place, JsonNode *node);

static void resolve_file(const CvdPlace *place, JsonObject *object, const char *key)
{
    static const char *const files[] = {"filename", "mem-path", NULL};
    JsonNode *node = json_object_get_member(object, key);
    const char *value = cvd_node_get_string(node);
    g_autofree char *path = NULL;
    CvdPlace child = cvd_place_member(place, key, node, &path);

    if (value && *value && g_strv_contains(files, key)) {
        g_autofree char *resolved = cvd_place_resolve(&child, value);
        json_object_set_string_member(object, key, resolved);
    } else {
        resolve_files(&child, node);
    }
}

/* The files that QEMU's objects name, at any depth, mean the same wherever one starts. */
static void resolve_files(const CvdPlace *place, JsonNode *node)
{
    if (JSON_NODE_HOLDS_OBJECT(node)) {
        JsonObject *object = json_node_get_object(node);
        g_autoptr(GList) keys = json_object_get_members(object);
        for (GList *key = keys; key; key = key->next)
            resolve_file(place, object, key->data);
    } else if (JSON_NODE_HOLDS_ARRAY(node)) {
        JsonArray *array = json_node_get_array(node);
        for (guint i = 0; i < json_array_get_length(array); i++) {
            g_autofree char *path = NULL;
            JsonNode *element = json_array_get_element(array, i);
            CvdPlace child = cvd_place_element(place, i, element, &path);
            resolve_files(&child, element);
        }
    }
}

static void read_qapi_list(const CvdPlace *place, JsonNode *node, const CvdField *field,
                           gpointer target)
{
    if (!JSON_NODE_HOLDS_ARRAY(node)) {
        cvd_place_found(place, node, "a list of objects");
        return;
    }
    JsonArray *array = json_node_get_array(node);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    for (guint i = 0; i < json_array_get_length(array); i++) {
        JsonNode *element = json_array_get_element(array, i);
        g_autofree char *path = NULL;
        CvdPlace child = cvd_place_element(place, i, element, &path);
        if (check_qapi_object(&child, element, field)) {
            resolve_files(&child, element);
            g_autofree char *json = cvd_json_to_string(element, FALSE);
            g_strv_builder_add(builder, json);
        }
    }
    char ***slot = G_STRUCT_MEMBER_P(target, field->offset);
    g_strfreev(*slot);
    *slot = g_strv_builder_end(builder);
}

#define AT(member) G_STRUCT_OFFSET(CvdQemuConfig, member)

static const char *const needs_type[] = {"type", NULL};
static const char *const needs_driver[] = {"driver", NULL};
static const char *const needs_qom_type[] = {"qom-type", NULL};
static const char *const serial_words[] = {"log", "stdio", "none", NULL}; /* CvdSerial */

static const CvdField qemu_fields[] = {
    {.key = "binary", .read = cvd_read_name_or_path, .offset = AT(binary)},
    {.key = "machine", .read = read_machine, .offset = AT(machine)},
    {.key = "accel", .read = read_accel, .offset = AT(accel)},
    {.key = "cpu", .read = cvd_read_string, .offset = AT(cpu)},
    {.key = "smp", .read = read_smp, .offset = AT(smp)},
    {.key = "memory",
     .read = cvd_read_size,
     .offset = AT(memory_bytes),
     .min = MIN_MEMORY,
     .max = MAX_MEMORY},
    {.key = "kernel", .read = read_kernel, .offset = AT(kernel)},
    {.key = "initrd", .read = cvd_read_path, .offset = AT(initrd)},
    {.key = "append", .read = read_append, .offset = AT(append)},
    {.key = "firmware", .read = cvd_read_name_or_path, .offset = AT(firmware)},
    {.key = "objects", .read = read_qapi_list, .offset = AT(objects), .words = needs_qom_type},
    {.key = "blockdevs", .read = read_qapi_list, .offset = AT(blockdevs), .words = needs_driver},
    {.key = "netdevs", .read = read_qapi_list, .offset = AT(netdevs), .words = needs_type},
    {.key = "devices", .read = read_qapi_list, .offset = AT(devices), .words = needs_driver},
    {.key = "serial", .read = cvd_read_word, .offset = AT(serial), .words = serial_words},
    {.key = "display", .read = cvd_read_string, .offset = AT(display)},
    {.key = "sandbox", .read = read_sandbox, .offset = AT(sandbox)},
    {.key = "extra_args", .read = read_extra_args, .offset = AT(extra_args)},
    {.key = "watchdog_s",
     .read = cvd_read_uint,
     .offset = AT(watchdog_s),
     .min = 0,
     .max = MAX_WATCHDOG_S},
    {.key = "run_as", .read = cvd_run_as_read, .offset = AT(run_as)},
    {.key = NULL},
};

static void set_defaults(CvdQemuConfig *qemu)
{
    static const char *const accel[] = {"kvm", "tcg", NULL};

    *qemu = (CvdQemuConfig){
        .machine = g_strdup("q35"),
        .accel = g_strdupv((char **)accel),
        .memory_bytes = 512 * 1024 * 1024,
        .objects = g_new0(char *, 1),
        .blockdevs = g_new0(char *, 1),
        .netdevs = g_new0(char *, 1),
        .devices = g_new0(char *, 1),
        .serial = CVD_SERIAL_LOG,
        .display = g_strdup("none"),
        .sandbox = g_strdup(CVD_SANDBOX_DEFAULT),
        .extra_args = g_new0(char *, 1),
    };
}

void cvd_qemu_config_read(const CvdPlace *place, JsonNode *node, CvdQemuConfig *qemu)
{
    set_defaults(qemu);
    qemu->directory = g_strdup(place->directory);
    if (node)
        cvd_fields_read(place, node, qemu_fields, qemu);
}

void cvd_qemu_config_finish(const CvdPlace *place, CvdQemuConfig *qemu, const char *vmm_path,
                            const char *kernel_command_line)
{
    if (!qemu->kernel && (qemu->append || qemu->initrd))
        cvd_place_problem(place, "\"%s\" needs \"kernel\"", qemu->append ? "append" : "initrd");
    if (!qemu->binary)
        qemu->binary = g_strdup(vmm_path ? vmm_path : "qemu-system-x86_64");
    if (!qemu->append && qemu->kernel)
        qemu->append = g_strdup(kernel_command_line);
}

void cvd_qemu_config_clear(CvdQemuConfig *qemu)
{
    g_free(qemu->directory);
    g_free(qemu->binary);
    g_free(qemu->machine);
    g_strfreev(qemu->accel);
    g_free(qemu->cpu);
    g_free(qemu->smp);
    g_free(qemu->kernel);
    g_free(qemu->initrd);
    g_free(qemu->append);
    g_free(qemu->firmware);
    g_strfreev(qemu->objects);
    g_strfreev(qemu->blockdevs);
    g_strfreev(qemu->netdevs);
    g_strfreev(qemu->devices);
    g_free(qemu->display);
    g_free(qemu->sandbox);
    g_strfreev(qemu->extra_args);
    g_clear_pointer(&qemu->run_as, cvd_run_as_free);
    *qemu = (CvdQemuConfig){0};
}

guint cvd_qemu_config_get_vcpus(const CvdQemuConfig *qemu)
{
    if (!qemu->smp)
        return 1;
    const char *number = strstr(qemu->smp, "cpus=");
    /* Not the `maxcpus` that are only plugged in later. */
    while (number && number != qemu->smp && number[-1] != ',')
        number = strstr(number + 1, "cpus=");
    number = number ? number + strlen("cpus=") : qemu->smp;
    guint64 n_vcpus = g_ascii_strtoull(number, NULL, 10);
    return (guint)CLAMP(n_vcpus, 1, MAX_VCPUS);
}

char *cvd_builtin_guest_path(void)
{
    g_autofree char *executable = realpath("/proc/self/exe", NULL);
    if (executable) {
        g_autofree char *bin = g_path_get_dirname(executable);
        g_autofree char *prefix = g_path_get_dirname(bin);
        g_autofree char *installed = g_build_filename(prefix, "lib/cvd/cvd-guest.elf", NULL);
        if (access(installed, F_OK) == 0)
            return g_steal_pointer(&installed);
        g_autofree char *built = g_build_filename(prefix, "guests/builtin/cvd-guest.elf", NULL);
        if (access(built, F_OK) == 0)
            return g_steal_pointer(&built);
    }
    return g_strdup(CVD_GUEST_PATH);
}
