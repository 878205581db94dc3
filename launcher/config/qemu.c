/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The types of values that qemu.json alone has. What QEMU itself understands (machine, devices,
 * ...) is passed on unchecked: only what would make a command line that cannot mean what its
 * author meant is refused here.
 */
#include "launcher/config/qemu.h"
#include "base/json.h"
#include "launcher/config/qapi.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SMP_PATTERN "^([0-9]+|[a-z]+=[0-9]+)(,[a-z]+=[0-9]+)*$"

static void read_kernel(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    if (g_strcmp0(cvd_node_get_string(node), "builtin") == 0)
        cvd_string_take(slot, cvd_builtin_guest_path());
    else
        cvd_type_path.read(place, node, key, slot);
}

/* One that has what the window's device and the command line need. */
static void read_machine(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    cvd_type_string.read(place, node, key, slot);
    g_auto(GStrv) options = g_strsplit(*(char **)slot, ",", -1);
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

static void read_accel(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    static const char expected[] =
        "an accelerator such as \"kvm\", or a list of at least one, in order of preference";

    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    CvdElement element = {0};

    if (is_accel(node)) {
        g_strv_builder_add(builder, json_node_get_string(node));
    } else if (!JSON_NODE_HOLDS_ARRAY(node) ||
               json_array_get_length(json_node_get_array(node)) == 0) {
        cvd_place_found(place, node, expected);
        return;
    }
    while (cvd_place_next(place, node, &element)) {
        if (is_accel(element.node))
            g_strv_builder_add(builder, json_node_get_string(element.node));
        else
            cvd_place_found(&element.place, element.node,
                            "an accelerator such as \"kvm\" or \"tcg\"");
    }
    cvd_strings_take(slot, builder);
}

static void read_smp(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    const char *string = cvd_node_get_string(node);
    gint64 n_vcpus = cvd_node_is_integer(node) ? json_node_get_int(node) : 0;

    if (string && g_regex_match_simple(SMP_PATTERN, string, 0, 0))
        n_vcpus = g_ascii_isdigit(*string) ? g_ascii_strtoll(string, NULL, 10) : 1;
    if (n_vcpus < 1 || n_vcpus > CVD_MAX_VCPUS)
        cvd_place_found(place, node,
                        "an integer from 1 to " G_STRINGIFY(
                            CVD_MAX_VCPUS) ", or the value of -smp, such as \"2,maxcpus=4\"");
    else if (string)
        cvd_type_string.read(place, node, key, slot);
    else
        cvd_string_take(slot, g_strdup_printf("%jd", n_vcpus));
}

static void read_append(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    g_auto(GStrv) words = NULL;

    if (cvd_node_get_string(node)) {
        cvd_string_take(slot, g_strdup(cvd_node_get_string(node)));
    } else if (JSON_NODE_HOLDS_ARRAY(node)) {
        cvd_type_strings.read(place, node, key, &words);
        cvd_string_take(slot, g_strjoinv(" ", words));
    } else {
        cvd_place_found(place, node, "a string or a list of strings");
    }
}

/* A daemon would leave the launcher, and survive it. */
static void read_extra_args(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    cvd_type_strings.read(place, node, key, slot);
    for (char **arg = *(char ***)slot; *arg; arg++) {
        if (strcmp(*arg, "-daemonize") == 0 || strcmp(*arg, "--daemonize") == 0)
            cvd_place_problem(place,
                              "%s: QEMU has to stay with the launcher; remove it, and put "
                              "cvd-launch itself into the background",
                              *arg);
    }
}

static void read_sandbox(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    const char *string = cvd_node_get_string(node);
    if (string && *string)
        cvd_string_take(slot, g_strdup(string));
    else if (JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_BOOLEAN)
        cvd_string_take(slot, json_node_get_boolean(node) ? g_strdup(CVD_SANDBOX_DEFAULT) : NULL);
    else
        cvd_place_found(place, node, "true, false, or the value of -sandbox");
}

static JsonNode *print_sandbox(const CvdKey *key, gconstpointer slot)
{
    JsonNode *node = cvd_string_print(key, slot);

    return node ? node : json_node_init_boolean(json_node_alloc(), FALSE);
}

/* One object of a list; the key's first word is the member that QEMU cannot do without. */
static gboolean check_qapi_object(const CvdPlace *place, JsonNode *node, const CvdKey *key)
{
    if (!JSON_NODE_HOLDS_OBJECT(node)) {
        cvd_place_found(place, node, "an object with QEMU's own names");
        return FALSE;
    }
    const char *string = cvd_node_get_string(cvd_node_get_member(node, key->words[0]));
    if (!string || !*string) {
        cvd_place_problem(place, "needs \"%s\", a string", key->words[0]);
        return FALSE;
    }
    const char *id = cvd_node_get_string(cvd_node_get_member(node, "id"));
    if (key->type == &cvd_type_devices && g_strcmp0(id, "ivshmem") == 0) {
        cvd_place_problem(place, "id \"ivshmem\" is that of the window's device; choose another");
        return FALSE;
    }
    return TRUE;
}

/* The files that QEMU's objects name, at any depth, mean the same wherever one starts. */
static void resolve_file(const CvdPlace *place, const char *key, JsonNode *node, gpointer data)
{
    static const char *const files[] = {"filename", "mem-path", NULL};
    const char *value = cvd_node_get_string(node);

    if (key && value && *value && g_strv_contains(files, key)) {
        g_autofree char *resolved = cvd_place_resolve(place, value);
        json_node_set_string(node, resolved);
    }
}

static gboolean is_list_of_strings(JsonNode *node)
{
    JsonArray *array = JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;

    for (guint i = 0; array && i < json_array_get_length(array); i++)
        if (!cvd_node_get_member(json_array_get_element(array, i), "str"))
            return FALSE;
    return array != NULL;
}

/* In JSON QEMU takes these as objects, unlike on its command line. */
static void check_string_lists(const CvdPlace *place, JsonNode *object)
{
    static const char *const keys[] = {"hostfwd", "guestfwd", "dnssearch"};

    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        JsonNode *node = cvd_node_get_member(object, keys[i]);
        if (!node || is_list_of_strings(node))
            continue;
        const char *text = cvd_node_get_string(node);
        CvdPlace member = cvd_place_member(place, keys[i], node);
        g_autofree char *expected =
            g_strdup_printf("a list of objects: [{\"str\": \"%s\"}]", text ? text : "...");
        cvd_place_found(&member, node, expected);
    }
}

/* @read_entry: checks an entry, and completes it */
static void read_list(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot,
                      gboolean (*read_entry)(const CvdPlace *, JsonNode *, const CvdKey *))
{
    if (!JSON_NODE_HOLDS_ARRAY(node)) {
        cvd_place_found(place, node, "a list of objects");
        return;
    }
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    CvdElement element = {0};
    while (cvd_place_next(place, node, &element)) {
        if (read_entry(&element.place, element.node, key)) {
            g_autofree char *json = cvd_json_to_string(element.node, FALSE);
            g_strv_builder_add(builder, json);
        }
    }
    cvd_strings_take(slot, builder);
}

static gboolean read_qapi_object(const CvdPlace *place, JsonNode *node, const CvdKey *key)
{
    if (!check_qapi_object(place, node, key))
        return FALSE;
    cvd_place_walk(place, node, resolve_file, NULL);
    check_string_lists(place, node);
    return TRUE;
}

static void read_qapi_list(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    read_list(place, node, key, slot, read_qapi_object);
}

static gboolean read_chardev(const CvdPlace *place, JsonNode *node, const CvdKey *key)
{
    return cvd_qapi_read_chardev(place, node);
}

static void read_chardevs(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    read_list(place, node, key, slot, read_chardev);
}

static gboolean read_tpmdev(const CvdPlace *place, JsonNode *node, const CvdKey *key)
{
    return cvd_qapi_read_tpmdev(place, node);
}

static void read_tpmdevs(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    read_list(place, node, key, slot, read_tpmdev);
}

static JsonNode *print_qapi_list(const CvdKey *key, gconstpointer slot)
{
    JsonNode *node = json_node_new(JSON_NODE_ARRAY);
    JsonArray *array = json_array_new();

    json_node_take_array(node, array);
    for (char **text = *(char ***)slot; *text; text++)
        json_array_add_element(array, cvd_json_from_string(*text, NULL));
    return node;
}

/* clang-format off */
#define ACCEL_SCHEMA "{'type': 'string', 'pattern': '^[^,:]+(,.*)?$'}"
#define QAPI_SCHEMA(MORE) \
    "{'type': 'array', 'items': {'type': 'object', 'required': ['$word']," \
    " 'properties': {'$word': " CVD_STRING_SCHEMA MORE "}}}"

const CvdType cvd_type_kernel = {read_kernel, cvd_string_print, cvd_string_clear,
    CVD_STRING_SCHEMA};
const CvdType cvd_type_machine = {read_machine, cvd_string_print, cvd_string_clear,
    CVD_STRING_SCHEMA};
const CvdType cvd_type_accel = {read_accel, cvd_strings_print, cvd_strings_clear,
    "{'anyOf': [" ACCEL_SCHEMA ", {'type': 'array', 'minItems': 1, 'items': " ACCEL_SCHEMA "}]}"};
const CvdType cvd_type_smp = {read_smp, cvd_string_print, cvd_string_clear,
    "{'anyOf': [{'type': 'integer', 'minimum': $min, 'maximum': $max},"
    " {'type': 'string', 'pattern': '" SMP_PATTERN "'}]}"};
const CvdType cvd_type_append = {read_append, cvd_string_print, cvd_string_clear,
    "{'anyOf': [{'type': 'string'}, {'type': 'array', 'items': {'type': 'string'}}]}"};
const CvdType cvd_type_sandbox = {read_sandbox, print_sandbox, cvd_string_clear,
    "{'anyOf': [{'type': 'boolean'}, " CVD_STRING_SCHEMA "]}"};
const CvdType cvd_type_extra_args = {read_extra_args, cvd_strings_print, cvd_strings_clear,
    "{'type': 'array', 'items': {'type': 'string',"
    " 'not': {'enum': ['-daemonize', '--daemonize']}}}"};
const CvdType cvd_type_qapi = {read_qapi_list, print_qapi_list, cvd_strings_clear,
    QAPI_SCHEMA("")};
const CvdType cvd_type_devices = {read_qapi_list, print_qapi_list, cvd_strings_clear,
    QAPI_SCHEMA(", 'id': {'not': {'const': 'ivshmem'}}")};
const CvdType cvd_type_chardevs = {read_chardevs, print_qapi_list, cvd_strings_clear,
    "{'type': 'array', 'items': {'type': 'object', 'required': ['id', 'backend'],"
    " 'properties': {'id': {'type': 'string', 'pattern': '" CVD_QAPI_ID_PATTERN "',"
    " 'not': {'enum': ['ivshmem', 'qmp', 'serial']}},"
    " 'backend': {'type': 'object', 'required': ['type'],"
    " 'properties': {'type': {'enum': " CVD_QAPI_CHARDEV_TYPES "}}}},"
    " 'additionalProperties': false}}"};
const CvdType cvd_type_tpmdevs = {read_tpmdevs, print_qapi_list, cvd_strings_clear,
    "{'type': 'array', 'items': {'type': 'object', 'required': ['id', 'type'],"
    " 'properties': {'id': {'type': 'string', 'pattern': '" CVD_QAPI_ID_PATTERN "'},"
    " 'type': {'enum': ['emulator', 'passthrough']}}}}"};
/* clang-format on */

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
    return (guint)CLAMP(n_vcpus, 1, CVD_MAX_VCPUS);
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
