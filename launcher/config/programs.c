/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of `programs` and `hooks` in cvd.json, and the types of values that they alone have. */
#include "launcher/config/programs.h"

#include "launcher/config/name.h"
#include "launcher/config/run-as.h"
#include "launcher/config/substitute.h"

#include <signal.h>
#include <string.h>

#define MAX_SECONDS     86400
#define MAX_CPU_SECONDS 31536000 /* a year */
#define MAX_DESCRIPTORS 1048576

/* ---- Commands and paths ---- */

/* The first is what is run; one without a slash is looked up in PATH. */
static void read_argv(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    g_auto(GStrv) argv = NULL;
    CvdElement first = {0};

    cvd_type_strings.read(place, node, key, &argv);
    if (!argv)
        return;
    if (!argv[0] || !*argv[0]) {
        cvd_place_problem(place, "names no program; give a path, or a name to look up in PATH, and "
                                 "then the arguments");
        return;
    }
    cvd_place_next(place, node, &first);
    if (strchr(argv[0], '/'))
        cvd_string_take(&argv[0], cvd_substitute_resolve(&first.place, argv[0]));
    cvd_strings_clear(key, slot);
    *(char ***)slot = g_steal_pointer(&argv);
}

static JsonNode *print_argv(const CvdKey *key, gconstpointer slot)
{
    return *(char **const *)slot ? cvd_strings_print(key, slot) : NULL;
}

static void read_directory(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    const char *path = cvd_node_get_string(node);

    if (path && *path)
        cvd_string_take(slot, cvd_substitute_resolve(place, path));
    else
        cvd_place_found(place, node, "a path");
}

static void read_paths(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    CvdElement element = {0};

    if (!JSON_NODE_HOLDS_ARRAY(node)) {
        cvd_place_found(place, node, "a list of paths");
        return;
    }
    while (cvd_place_next(place, node, &element)) {
        g_autofree char *path = NULL;
        read_directory(&element.place, element.node, key, &path);
        if (path)
            g_strv_builder_add(builder, path);
    }
    cvd_strings_take(slot, builder);
}

/* ---- Environment ---- */

/* What each program is given anyway. */
static const char *const own_variables[] = {
    "CVD_NAME",   "CVD_CLIENT_SOCKET", "CVD_RUNTIME",    "CVD_REGION",    "CVD_PROGRAM",
    "LISTEN_PID", "LISTEN_FDS",        "LISTEN_FDNAMES", "NOTIFY_SOCKET", NULL};

#define VARIABLE_PATTERN "^[A-Za-z_][A-Za-z0-9_]*$"

static void read_variable(const CvdPlace *place, const char *name, JsonNode *node,
                          GStrvBuilder *variables)
{
    const char *value = cvd_node_get_string(node);

    if (!g_regex_match_simple(VARIABLE_PATTERN, name, G_REGEX_DOLLAR_ENDONLY, 0)) {
        cvd_place_problem(place, "is no name of a variable, which has letters, digits and '_', and "
                                 "does not begin with a digit");
    } else if (g_strv_contains(own_variables, name)) {
        cvd_place_problem(place, "cvd-launch sets this one itself; choose another");
    } else if (!value) {
        cvd_place_found(place, node, "a string");
    } else {
        g_autofree char *variable = g_strconcat(name, "=", value, NULL);
        g_strv_builder_add(variables, variable);
    }
}

static void read_env(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    g_autoptr(GStrvBuilder) variables = g_strv_builder_new();
    JsonObjectIter iter;
    const char *name;
    JsonNode *value;

    if (!JSON_NODE_HOLDS_OBJECT(node)) {
        cvd_place_found(place, node, "an object of strings");
        return;
    }
    json_object_iter_init_ordered(&iter, json_node_get_object(node));
    while (json_object_iter_next_ordered(&iter, &name, &value)) {
        CvdPlace child = cvd_place_member(place, name, value);
        read_variable(&child, name, value, variables);
    }
    cvd_strings_take(slot, variables);
}

static JsonNode *print_env(const CvdKey *key, gconstpointer slot)
{
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);
    JsonObject *object = json_object_new();

    json_node_take_object(node, object);
    for (char **variable = *(char **const *)slot; variable && *variable; variable++) {
        const char *value = strchr(*variable, '=');
        g_autofree char *name = g_strndup(*variable, (gsize)(value - *variable));
        json_object_set_member(object, name, cvd_string_node(value + 1));
    }
    return node;
}

/* ---- Signals ---- */

/* Those that end a program which knows nothing of them. */
static const struct {
    const char *name;
    int number;
} signals[] = {
    {"SIGTERM", SIGTERM}, {"SIGINT", SIGINT},   {"SIGHUP", SIGHUP},   {"SIGQUIT", SIGQUIT},
    {"SIGUSR1", SIGUSR1}, {"SIGUSR2", SIGUSR2}, {"SIGKILL", SIGKILL},
};

static void read_signal(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    const char *name = cvd_node_get_string(node);
    g_autoptr(GString) expected = g_string_new(NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(signals); i++) {
        if (g_strcmp0(name, signals[i].name) == 0 ||
            g_strcmp0(name, signals[i].name + strlen("SIG")) == 0) {
            *(int *)slot = signals[i].number;
            return;
        }
        g_string_append_printf(expected, "%s\"%s\"", i > 0 ? " or " : "", signals[i].name);
    }
    cvd_place_found(place, node, expected->str);
}

static JsonNode *print_signal(const CvdKey *key, gconstpointer slot)
{
    gsize i = 0;

    while (signals[i].number != *(const int *)slot)
        i++;
    return cvd_string_node(signals[i].name);
}

/* ---- Confinement ---- */

static void clear_confine(const CvdKey *key, gpointer slot)
{
    CvdConfine **confine = slot;

    if (*confine)
        cvd_keys_clear(key->elements, *confine);
    g_clear_pointer(confine, g_free);
}

static gboolean is_set(char **list)
{
    return list && *list;
}

/* A program in the file system that all share also has the network that they share. */
static void check_shared(const CvdPlace *place, JsonNode *node, CvdConfine *confine)
{
    JsonNode *network = cvd_node_get_member(node, "network");
    const struct {
        const char *key;
        gboolean is_wrong;
    } rules[] = {
        {"read_only", is_set(confine->read_only)},
        {"writable", is_set(confine->writable)},
        {"network", network && !confine->network},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rules); i++) {
        CvdPlace child =
            cvd_place_member(place, rules[i].key, cvd_node_get_member(node, rules[i].key));
        if (rules[i].is_wrong)
            cvd_place_problem(&child, "needs a file system of the program's own; remove it, or "
                                      "\"file_system\": false");
    }
    confine->network = TRUE;
}

static void read_confine(const CvdPlace *place, JsonNode *node, const CvdKey *key, gpointer slot)
{
    gboolean is_boolean =
        JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_BOOLEAN;

    if (!is_boolean && !JSON_NODE_HOLDS_OBJECT(node)) {
        cvd_place_found(place, node, "true, false or an object");
        return;
    }
    clear_confine(key, slot);
    if (is_boolean && !json_node_get_boolean(node))
        return;
    CvdConfine *confine = g_new0(CvdConfine, 1);
    *(CvdConfine **)slot = confine;
    cvd_keys_init(key->elements, confine);
    if (is_boolean)
        return;
    cvd_keys_read(place, node, key->elements, confine);
    if (!confine->has_file_system)
        check_shared(place, node, confine);
}

static JsonNode *print_confine(const CvdKey *key, gconstpointer slot)
{
    const CvdConfine *confine = *(CvdConfine *const *)slot;

    return confine ? cvd_keys_print(key->elements, confine)
                   : json_node_init_boolean(json_node_alloc(), FALSE);
}

/* clang-format off */
static const CvdType type_argv = {read_argv, print_argv, cvd_strings_clear,
    "{'type': 'array', 'minItems': 1, 'prefixItems': [" CVD_STRING_SCHEMA "],"
    " 'items': {'type': 'string'}}"};
static const CvdType type_directory = {read_directory, cvd_string_print, cvd_string_clear,
    CVD_STRING_SCHEMA};
static const CvdType type_paths = {read_paths, cvd_strings_print, cvd_strings_clear,
    "{'type': 'array', 'items': " CVD_STRING_SCHEMA "}"};
static const CvdType type_env = {read_env, print_env, cvd_strings_clear,
    "{'type': 'object', 'propertyNames': {'pattern': '" VARIABLE_PATTERN "'},"
    " 'additionalProperties': {'type': 'string'}}"};
static const CvdType type_signal = {read_signal, print_signal, NULL,
    "{'type': 'string', 'pattern': '^(SIG)?(TERM|INT|HUP|QUIT|USR1|USR2|KILL)$'}"};
static const CvdType type_confine = {read_confine, print_confine, clear_confine,
    "{'type': ['boolean', 'object']}"};

/* What excludes each other: programs-check.c. */
#define WHEN(key, is, then) \
    "{'if': {'required': ['" key "'], 'properties': {'" key "': " is "}}, 'then': " then "}"
#define HAS_REGIONS "{'required': ['regions'], 'properties': {'regions': {'minItems': 1}}}"
#define PROGRAM_SCHEMA \
    "{'required': ['argv'], 'allOf': [" \
    WHEN("oneshot", "{'const': true}", \
         "{'properties': {'restart': {'const': 'never'}, 'ready': {'const': 'started'}," \
         " 'sockets': {'maxProperties': 0}}}") "," \
    WHEN("on_restore", "{'const': true}", \
         "{'required': ['oneshot'], 'properties': {'oneshot': {'const': true}}}") "," \
    WHEN("sockets", "{'minProperties': 1}", "{'properties': {'restart': {'const': 'never'}}}") "," \
    WHEN("pass_fds", "{'const': true}", HAS_REGIONS) "," \
    WHEN("ready", "{'const': 'attached'}", HAS_REGIONS) "]}"
#define CONFINE_SCHEMA \
    WHEN("file_system", "{'const': false}", \
         "{'properties': {'read_only': {'maxItems': 0}, 'writable': {'maxItems': 0}," \
         " 'network': {'const': true}}}")
/* clang-format on */

static const char *const restart_words[] = {"never", "on-failure", "always", NULL}; /* CvdRestart */
static const char *const ready_words[] = {"started", "attached", "notify", NULL}; /* CvdReadyWhen */
static const char *const socket_words[] = {"listen", "pair", "path", NULL}; /* CvdSocketKind */

/* How cvd_type_map stores. */
#define CHECK_MAP(type, elements)                                                                  \
    G_STATIC_ASSERT(G_STRUCT_OFFSET(type, n_##elements) ==                                         \
                    G_STRUCT_OFFSET(type, elements) + sizeof(gpointer))
CHECK_MAP(CvdConfig, programs);
CHECK_MAP(CvdProgramConfig, sockets);

#define AT(member) G_STRUCT_OFFSET(CvdConfine, member)

static const CvdKey confine_keys[] = {
    CVD_KEY("memory", "0.2", cvd_type_size, AT(memory_bytes), NULL,
            "How much memory it may map, what it only reserves included.",
            .min = G_GUINT64_CONSTANT(1) << 20, .max = G_GUINT64_CONSTANT(1) << 44),
    CVD_KEY("descriptors", "0.2", cvd_type_uint, AT(n_fds), "0",
            "How many descriptors it may have. 0 means no limit.", .min = 0,
            .max = MAX_DESCRIPTORS),
    CVD_KEY("cpu_s", "0.2", cvd_type_uint, AT(cpu_s), "0",
            "How much processor time it may use in all. 0 means no limit.", .unit = "s", .min = 0,
            .max = MAX_CPU_SECONDS),
    CVD_KEY("file_system", "0.2", cvd_type_boolean, AT(has_file_system), "true",
            "Gives it a file system of its own, through bubblewrap, in which is little more than "
            "the system's programs and libraries and what the next two keys name. false leaves it "
            "the file system and the network that all have."),
    CVD_KEY("read_only", "0.2", type_paths, AT(read_only), "[]",
            "Paths that it can read in its file system."),
    CVD_KEY("writable", "0.2", type_paths, AT(writable), "[]",
            "Paths that it can read and write in its file system."),
    CVD_KEY("network", "0.2", cvd_type_boolean, AT(network), "false",
            "Leaves it the network. Without it a program with a file system of its own has none."),
    CVD_KEYS_END,
};

#undef AT
#define AT(member) G_STRUCT_OFFSET(CvdSocketConfig, member)

static const CvdKey socket_keys[] = {
    CVD_KEY("NAME", NULL, cvd_type_name, AT(name), NULL, NULL),
    CVD_KEY("KIND", NULL, cvd_type_word, AT(kind), NULL, NULL, .words = socket_words),
    CVD_KEYS_END,
};

#undef AT
#define AT(member) G_STRUCT_OFFSET(CvdProgramConfig, member)

static const CvdKey member_keys[] = {
    CVD_KEY("argv", "0.2", type_argv, AT(argv), NULL,
            "The command: a program and its arguments. The program is a path, or a name that is "
            "looked up in PATH."),
    CVD_KEY("regions", "0.2", cvd_type_strings, AT(regions), "[]",
            "Names of the regions that it serves. They are in its environment, as CVD_REGION.",
            .schema = "{'uniqueItems': true}"),
    CVD_KEY("restart", "0.2", cvd_type_word, AT(restart), "'on-failure'",
            "After which ends it is started again: always, after a failure only, or never. The "
            "pauses and the limit are those of lifecycle.restart_delay_ms and restart_limit. A "
            "program that is oneshot or has sockets is never started again by itself.",
            .words = restart_words),
    CVD_KEY("env", "0.2", type_env, AT(env), "{}",
            "Variables of its environment, beside those that cvd-launch has and sets."),
    CVD_KEY("cwd", "0.2", type_directory, AT(cwd), NULL,
            "Its working directory. By default it is that of the file. In a file system of its own "
            "that is not there unless confine names it, and then it is /."),
    CVD_KEY("user", "0.2", cvd_type_run_as, AT(user), NULL,
            "The user that it runs as when cvd-launch runs as root, written as in qemu.run_as. By "
            "default it is the user of cvd-launch."),
    CVD_KEY("stop_signal", "0.2", type_signal, AT(stop_signal), "'SIGTERM'",
            "The signal that asks it to end: SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 or "
            "SIGKILL, with or without SIG."),
    CVD_KEY("stop_timeout_s", "0.2", cvd_type_uint, AT(stop_timeout_s), "5",
            "How long it may take to end before it is killed.", .unit = "s", .min = 1,
            .max = MAX_SECONDS),
    CVD_KEY("critical", "0.2", cvd_type_boolean, AT(critical), "false",
            "The instance fails when it has failed for good. Otherwise the log says so, and the VM "
            "goes on without it."),
    CVD_KEY("oneshot", "0.2", cvd_type_boolean, AT(oneshot), "false",
            "It does its work and ends, at each start of a VM. The guest does not run before it "
            "has ended with status 0."),
    CVD_KEY("on_restore", "0.2", cvd_type_boolean, AT(on_restore), "false",
            "A oneshot program is run also where the VM comes from a snapshot. By default it is "
            "not, as what it did for the guest is in there."),
    CVD_KEY("after", "0.2", cvd_type_strings, AT(after), "[]",
            "Names of programs that have to be ready before this one is started. It is stopped "
            "before them.",
            .schema = "{'uniqueItems': true}"),
    CVD_KEY("ready", "0.2", cvd_type_word, AT(ready), "'started'",
            "When it counts as ready, for which the guest waits: once it runs, once it is attached "
            "to all its regions, or once it sends READY=1 as sd_notify(3) does.",
            .words = ready_words),
    CVD_KEY("pass_fds", "0.2", cvd_type_boolean, AT(pass_fds), "false",
            "It inherits its regions, open, and needs no access to the client socket."),
    CVD_KEY("sockets", "0.2", cvd_type_map, AT(sockets), NULL,
            "Its sockets to QEMU by name: listen, pair or path. A program with one is a back end "
            "of a device, and is started anew before each QEMU.",
            .max = CVD_MAX_SOCKETS, .elements = socket_keys,
            .element_size = sizeof(CvdSocketConfig)),
    CVD_KEY("confine", "0.2", type_confine, AT(confine), "false",
            "What it must not do: true, or an object with the keys below.",
            .elements = confine_keys, .schema = CONFINE_SCHEMA),
    CVD_KEYS_END,
};

const CvdKey cvd_program_keys[] = {
    CVD_KEY("NAME", NULL, cvd_type_name, AT(name), NULL, NULL),
    CVD_KEY("PROGRAM", NULL, cvd_type_object, 0, NULL, NULL, .members = member_keys,
            .schema = PROGRAM_SCHEMA),
    CVD_KEYS_END,
};

#undef AT
#define AT(member) G_STRUCT_OFFSET(CvdHooks, member)

const CvdKey cvd_hook_keys[] = {
    CVD_KEY("before_start", "0.2", type_argv, AT(before_start), NULL,
            "A command that has to end with status 0 before the first VM is started."),
    CVD_KEY("after_ready", "0.2", type_argv, AT(after_ready), NULL,
            "A command that is run when the instance is ready for the first time."),
    CVD_KEY("after_stop", "0.2", type_argv, AT(after_stop), NULL,
            "A command that is run when everything else has ended."),
    CVD_KEY("timeout_s", "0.2", cvd_type_uint, AT(timeout_s), "30",
            "How long each of them may take before it is killed.", .unit = "s", .min = 1,
            .max = MAX_SECONDS),
    CVD_KEYS_END,
};
