/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three files become one configuration. First the JSON trees are gathered: cvd.json with its
 * overrides, of a group made into that of one machine; the two trees that it names or holds, and
 * their overrides. Then each tree is read by tables, QEMU's part before the layout, since the
 * layout's warnings depend on the number of vCPUs. Problems are collected all the way; only a tree
 * that is not there cannot have more of them.
 */
#include "launcher/config/config.h"

#include "base/error.h"
#include "base/group-name.h"
#include "launcher/config/access.h"
#include "launcher/config/cpus.h"
#include "launcher/config/group.h"
#include "launcher/config/json-file.h"
#include "launcher/config/keys.h"
#include "launcher/config/layout-file.h"
#include "launcher/config/layout-print.h"
#include "launcher/config/name.h"
#include "launcher/config/overrides.h"
#include "launcher/config/programs.h"
#include "launcher/config/qemu.h"
#include "launcher/config/references.h"
#include "server/listener.h"
#include "server/ready-word.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREALLOC_UP_TO (4 * 1024 * 1024) /* bytes of window; above it prealloc is off */
#define PREALLOC_UNSET (-1)              /* until the window's size is known */

/* Of a file that is meant for something else there may be one for each of its keys. */
#define MAX_LOGGED 100

/* One of the two trees that cvd.json names or holds. */
typedef struct {
    JsonNode *node; /* NULL: a problem was reported */
    char *origin;
    char *directory;
    CvdPlace place;
} Tree;

static void tree_clear(Tree *tree)
{
    g_clear_pointer(&tree->node, json_node_unref);
    g_free(tree->origin);
    g_free(tree->directory);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Tree, tree_clear)

/* Absolute. */
static char *directory_of(const CvdReader *reader, const char *path)
{
    g_autofree char *directory = g_path_get_dirname(path);
    if (g_path_is_absolute(directory))
        return g_steal_pointer(&directory);
    if (strcmp(directory, ".") == 0)
        return g_strdup(reader->cwd);
    return g_build_filename(reader->cwd, directory, NULL);
}

/* A file that cannot be read is the fault of what names it: @place, or the command line. @opened:
 * as for cvd_json_load() */
static JsonNode *load_file(CvdReader *reader, const CvdPlace *place, const char *path,
                           const char *opened)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) duplicates = g_ptr_array_new_with_free_func(g_free);
    JsonNode *node = cvd_json_load(path, opened, duplicates, reader->lines, &error);
    /* Of a layout file, the only one where such a key may be. */
    gboolean may_comment = error && place && strcmp(place->path, "layout") == 0 &&
                           g_str_has_suffix(error->message, CVD_JSON_NO_COMMENTS);
    if (place && g_error_matches(error, CVD_ERROR, CVD_ERROR_FAILED))
        cvd_place_problem(place, "%s", error->message);
    else if (!node)
        cvd_problem(reader->problems, "%s%s", error->message,
                    may_comment ? ", or make it a \"comment\" key" : "");
    for (guint i = 0; node && i < duplicates->len; i++)
        cvd_problem(reader->problems, "%s: %s: stands twice; remove one of the two", path,
                    (char *)duplicates->pdata[i]);
    return node;
}

/* The value of @key, when it is a string: a file, whose path is shown as relative as it came. */
static void tree_load(Tree *tree, const CvdPlace *place, const char *given)
{
    CvdReader *reader = place->reader;
    if (g_path_is_absolute(given) || place->directory == reader->cwd) {
        tree->origin = g_strdup(given);
    } else {
        g_autofree char *beside = g_path_get_dirname(place->origin);
        tree->origin =
            strcmp(beside, ".") == 0 ? g_strdup(given) : g_build_filename(beside, given, NULL);
    }
    tree->directory = directory_of(reader, tree->origin);
    tree->place = (CvdPlace){reader, tree->origin, tree->directory, "", 1};
    tree->node = load_file(reader, place, tree->origin, NULL);
}

static void tree_find(Tree *tree, const CvdPlace *root_place, JsonNode *root, const char *key)
{
    JsonNode *node = cvd_node_get_member(root, key);
    CvdPlace place = cvd_place_member(root_place, key, node);
    tree->place = place;
    const char *path = cvd_node_get_string(node);
    if (!node)
        cvd_place_problem(&place, "missing; name a file, or put the object here");
    else if (path && *path)
        tree_load(tree, &place, path);
    else if (JSON_NODE_HOLDS_OBJECT(node))
        tree->node = json_node_ref(node);
    else
        cvd_place_found(&place, node, "the path of a file, or an object");
}

/* The value at @path, with @prefix before it, is from @origin. */
static void origins_set(JsonObject *origins, const char *prefix, const char *path,
                        const char *origin)
{
    g_autofree char *name = g_strconcat(prefix, path, NULL);
    g_autofree char *valid = g_utf8_make_valid(origin, -1);

    json_object_set_string_member(origins, name, valid);
}

typedef struct {
    JsonObject *origins;
    const char *prefix;
} Target;

static void add_if_overridden(const CvdPlace *place, const char *key, JsonNode *node, gpointer data)
{
    Target *target = data;

    if (g_hash_table_contains(place->reader->overrides, node))
        origins_set(target->origins, target->prefix, place->path, place->origin);
}

/* What options have put into @node, a value at @place. */
static void origins_add_overridden(JsonObject *origins, const char *prefix, const CvdPlace *place,
                                   JsonNode *node)
{
    cvd_place_walk(place, node, add_if_overridden, &(Target){origins, prefix});
}

/*
 * Of each key where its value comes from: `default`, a file, or an option; and what options have
 * put into the lists and objects that are values. @prefix: of the paths of this tree
 */
static void origins_add(JsonObject *origins, const char *prefix, const CvdKey *keys,
                        const CvdPlace *place, JsonNode *node)
{
    for (; keys->name; keys++) {
        JsonNode *value = cvd_node_get_member(node, keys->name);
        CvdPlace child = cvd_place_member(place, keys->name, value);

        if (keys->type == &cvd_type_object) {
            origins_add(origins, prefix, keys->members, &child, value);
        } else if (keys->type->print) {
            origins_set(origins, prefix, child.path, value ? child.origin : "default");
            if (value)
                origins_add_overridden(origins, prefix, &child, value);
        }
    }
}

/* Where the values come from. The paths of what stands in cvd.json itself are whole already. */
static JsonObject *collect_origins(const CvdConfigSource *source, const CvdPlace *place,
                                   JsonNode *root, const Tree *layout, const Tree *qemu)
{
    JsonObject *origins = json_object_new();

    origins_add(origins, "", cvd_keys, place, root);
    if (source->name)
        origins_set(origins, "", "name", "--name");
    json_object_remove_member(origins, "qemu"); /* its members say it */
    origins_add(origins, *qemu->place.path ? "" : "qemu.", cvd_qemu_keys, &qemu->place, qemu->node);
    origins_set(origins, "", "layout", layout->place.origin);
    if (layout->node)
        origins_add_overridden(origins, *layout->place.path ? "" : "layout.", &layout->place,
                               layout->node);
    return origins;
}

/* The layout is as it was read, so that it can be read again. */
static char *explain(const CvdConfig *config, const Tree *layout, JsonObject *origins)
{
    g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
    JsonNode *values = cvd_keys_print(cvd_keys, config);

    json_object_set_member(json_node_get_object(values), "layout", json_node_ref(layout->node));
    json_node_take_object(root, json_object_new());
    json_object_set_member(json_node_get_object(root), "config", values);
    json_object_set_object_member(json_node_get_object(root), "from", json_object_ref(origins));
    g_autofree char *text = cvd_json_to_string(root, TRUE);
    return g_strconcat(text, "\n", NULL);
}

/* What qemu.json leaves to a layout file of 2017. */
static void inherit(const Tree *layout, const char *key, char **value, const char *inherited,
                    JsonObject *origins)
{
    cvd_string_take(value, g_strdup(inherited));
    if (origins)
        origins_set(origins, "qemu.", key, layout->place.origin);
}

static void report_no_kernel(const Tree *qemu, const char *key)
{
    CvdPlace place = cvd_place_find(&qemu->place, qemu->node, key);

    cvd_place_problem(&place, "needs \"kernel\"");
}

/* QEMU's and the layout's trees, which need each other a little. @origins may be NULL. */
static void read_trees(CvdConfig *config, const Tree *layout, const Tree *qemu, JsonObject *origins)
{
    g_autoptr(CvdLayoutFile) file =
        layout->node ? cvd_layout_file_parse(&layout->place, layout->node) : NULL;

    if (!cvd_node_get_member(qemu->node, "kernel") && (config->qemu.append || config->qemu.initrd))
        report_no_kernel(qemu, config->qemu.append ? "append" : "initrd");
    if (file && file->vmm_path && !cvd_node_get_member(qemu->node, "binary"))
        inherit(layout, "binary", &config->qemu.binary, file->vmm_path, origins);
    if (file && file->kernel_command_line && config->qemu.kernel && !config->qemu.append)
        inherit(layout, "append", &config->qemu.append, file->kernel_command_line, origins);
    if (!file)
        return;

    guint64 granule = config->window.hugepage_size ? config->window.hugepage_size : CVD_PAGE_SIZE;
    config->layout =
        cvd_layout_file_compute(file, &layout->place, config->min_window_size, granule);
    if (!config->layout)
        return;
    cvd_layout_file_advise(file, &layout->place, config->layout,
                           cvd_qemu_config_get_vcpus(&config->qemu));
    if (config->window.prealloc == PREALLOC_UNSET)
        config->window.prealloc = config->layout->window_size <= PREALLOC_UP_TO;
}

static void check_window(const CvdPlace *root_place, JsonNode *root, const CvdWindowOptions *window)
{
    gboolean has_name = window->backing == CVD_WINDOW_POSIX_SHM;
    CvdPlace place = cvd_place_find(root_place, root, "window");

    if (has_name && !window->path)
        cvd_place_problem(&place, "backing \"posix-shm\" needs \"path\", such as "
                                  "\"/dev/shm/ivshmem\"");
    if (!has_name && window->path)
        cvd_place_problem(&place, "\"path\" is for backing \"posix-shm\"; a memfd has no name");
    if (has_name && window->hugepage_size > 0)
        cvd_place_problem(&place, "\"hugepages\" is for backing \"memfd\" alone");
}

static void check_different(const CvdPlace *root_place, JsonNode *root, const char *a,
                            const char *b)
{
    CvdPlace place = cvd_place_find(root_place, root, "sockets");

    if (g_strcmp0(a, b) == 0 && a)
        cvd_place_problem(&place, "two sockets at %s; each needs a path of its own", a);
}

/* cvd.json itself. */
static void read_root(CvdConfig *config, const CvdPlace *place, JsonNode *root)
{
    cvd_keys_read(place, root, cvd_keys, config);
    check_window(place, root, &config->window);
    check_different(place, root, config->vm_socket, config->client_socket);
    check_different(place, root, config->vm_socket, config->legacy_socket);
    check_different(place, root, config->client_socket, config->legacy_socket);
}

static void set_name(const CvdConfigSource *source, gboolean is_group, CvdConfig *config,
                     GPtrArray *problems)
{
    const CvdGroup *group = &config->group;

    if (group->name)
        cvd_string_take(&config->name, cvd_group_name_format(group->name, group->index));
    if (is_group || !source->name)
        return;
    if (cvd_is_instance_name(source->name))
        cvd_string_take(&config->name, g_strdup(source->name));
    else
        cvd_problem(problems, "--name: found \"%s\"; expected " CVD_NAME_EXPECTED, source->name);
}

gboolean cvd_config_check_sockets(const CvdConfig *config, const char *runtime_directory,
                                  GPtrArray *problems)
{
    static const char *const names[] = {"vm.sock", "client.sock", "control.sock"};

    guint n_before = problems->len;
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        if ((i == 0 && config->vm_socket) || (i == 1 && config->client_socket))
            continue;
        g_autofree char *path = g_build_filename(runtime_directory, names[i], NULL);
        g_autoptr(GError) error = NULL;
        if (!cvd_listener_path_check(path, &error))
            cvd_problem(problems,
                        "runtime directory: %s, with XDG_RUNTIME_DIR, or a shorter --name",
                        error->message);
    }
    cvd_programs_check_paths(config, problems);
    return problems->len == n_before;
}

/* Which regions there are is only known now. */
static void check_access(const CvdPlace *root_place, JsonNode *root, const CvdConfig *config)
{
    JsonNode *node = cvd_node_get_member(root, "access");
    CvdPlace place = cvd_place_member(root_place, "access", node);

    if (config->layout && config->access)
        cvd_access_check(&place, node, config);
}

/* How the guest could say that it is ready. */
static void check_ready(const CvdPlace *root_place, JsonNode *root, const CvdConfig *config)
{
    CvdPlace ready = cvd_place_find(root_place, root, "lifecycle.ready");
    CvdPlace pattern = cvd_place_find(root_place, root, "lifecycle.ready_pattern");
    gboolean asks = config->ready == CVD_MACHINE_READY_GUEST;

    if (config->ready_pattern && !asks)
        cvd_place_problem(&pattern, "is for \"ready\": \"guest\" alone");
    if (config->ready_pattern && config->qemu.serial == CVD_SERIAL_NONE)
        cvd_place_problem(&pattern, "there is no console to look at, as qemu.serial is \"none\"");
    if (asks && !config->ready_pattern && config->layout &&
        cvd_layout_find_ready_word(config->layout) == 0)
        cvd_place_problem(&ready,
                          "the descriptors of %u regions leave no place for the word by which the "
                          "guest could say so; add a region, or \"ready_pattern\"",
                          config->layout->n_regions);
}

/* cvd.json has an object for its root. NULL: nothing is known of the hardware. */
static CvdConfig *read_all(CvdReader *reader, const CvdConfigSource *source, const char *path,
                           JsonNode *root)
{
    g_autofree char *directory =
        source->directory ? g_strdup(source->directory) : directory_of(reader, path);
    CvdPlace place = {reader, path, directory, "", 1};
    const CvdGroupChoice choice = {source->name, source->index, source->may_choose};
    g_autoptr(CvdConfig) config = g_new0(CvdConfig, 1);
    cvd_override(reader, &(CvdTrees){.root = root}, source->overrides, TRUE);
    gboolean is_group = cvd_group_read(&place, root, &choice, &config->group);
    if (is_group)
        cvd_group_expand(&place, root, config->group.index);

    g_auto(Tree) layout = {0};
    g_auto(Tree) qemu = {0};
    tree_find(&qemu, &place, root, "qemu");
    tree_find(&layout, &place, root, "layout");
    cvd_override(reader, &(CvdTrees){root, layout.node, qemu.node}, source->overrides, FALSE);
    if (is_group) {
        cvd_group_expand(&layout.place, layout.node, config->group.index);
        cvd_group_expand(&qemu.place, qemu.node, config->group.index);
    }

    g_autoptr(JsonObject) origins =
        source->explain ? collect_origins(source, &place, root, &layout, &qemu) : NULL;
    cvd_keys_init(cvd_keys, config);
    config->window.prealloc = PREALLOC_UNSET;
    config->directory = g_strdup(directory);
    config->qemu.directory =
        g_strdup(source->qemu_directory && strcmp(qemu.place.directory, directory) == 0
                     ? source->qemu_directory
                     : qemu.place.directory);
    read_root(config, &place, root);
    set_name(source, is_group, config, reader->problems);
    if (qemu.node) {
        cvd_keys_read(&qemu.place, qemu.node, cvd_qemu_keys, &config->qemu);
        cvd_qemu_check_references(&qemu.place, qemu.node, &place, root, config);
        cvd_cpus_check(&qemu.place, qemu.node, &config->qemu);
    }
    read_trees(config, &layout, &qemu, origins);
    check_access(&place, root, config);
    check_ready(&place, root, config);
    cvd_programs_check(&place, root, config);
    if (qemu.node)
        cvd_qemu_check_sockets(&qemu.place, qemu.node, &place, root, config);
    if (config->ivshmem_migratable && layout.node)
        config->layout_text = cvd_json_to_string(layout.node, FALSE);
    if (origins && layout.node)
        config->explanation = explain(config, &layout, origins);
    return qemu.node ? g_steal_pointer(&config) : NULL;
}

void cvd_config_log_problems(GPtrArray *problems)
{
    for (guint i = 0; i < MIN(problems->len, MAX_LOGGED); i++)
        g_critical("%s", (const char *)g_ptr_array_index(problems, i));
    if (problems->len > MAX_LOGGED)
        g_critical("the first %d problems are above", MAX_LOGGED);
    if (problems->len > 1)
        g_critical("%u problems; nothing was started", problems->len);
}

JsonNode *cvd_config_to_json(const CvdConfig *config)
{
    JsonNode *node = cvd_keys_print(cvd_keys, config);
    g_autofree char *layout = cvd_layout_to_json(config->layout);

    json_object_set_member(json_node_get_object(node), "layout",
                           cvd_json_from_string(layout, NULL));
    return node;
}

/* Put together as text, so that numbers that no node can hold stay what they are. */
char *cvd_config_format(const CvdConfig *config)
{
    g_autoptr(JsonNode) node = cvd_keys_print(cvd_keys, config);
    g_autofree char *values = cvd_json_to_string(node, FALSE);

    g_assert(config->layout_text);
    return g_strconcat("{\"layout\":", config->layout_text, ",", values + strlen("{"), "\n", NULL);
}

void cvd_config_free(CvdConfig *config)
{
    if (!config)
        return;
    cvd_keys_clear(cvd_keys, config);
    g_clear_pointer(&config->layout, cvd_layout_unref);
    g_free(config->group.name);
    g_free(config->directory);
    g_free(config->qemu.directory);
    g_free(config->layout_text);
    g_free(config->explanation);
    g_free(config);
}

/* In the order in which they are looked at. */
static char **places_of(const char *name)
{
    /* They stand beside a cvd.json and are none. */
    static const char *const parts[] = {"qemu", "vsoc_mem", NULL};
    g_autoptr(GStrvBuilder) places = g_strv_builder_new();
    g_autofree char *own = g_build_filename(g_get_user_config_dir(), "cvd", NULL);
    const char *const folders[] = {own, CVD_SYSCONFDIR "/cvd", CVD_DATADIR "/cvd"};
    gboolean is_named = name && cvd_is_instance_name(name) && !g_strv_contains(parts, name);

    for (guint i = 0; is_named && i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *place = g_strdup_printf("%s/%s.json", folders[i], name);
        g_strv_builder_add(places, place);
    }
    g_strv_builder_add(places, "conf/cvd.json");
    for (guint i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *place = g_build_filename(folders[i], "cvd.json", NULL);
        g_strv_builder_add(places, place);
    }
    return g_strv_builder_end(places);
}

static gboolean is_installed(const char *path)
{
    return g_str_has_prefix(path, CVD_SYSCONFDIR "/cvd/") ||
           g_str_has_prefix(path, CVD_DATADIR "/cvd/");
}

/* The current directory or an environment that root's shell has from a user may lead to a file of
 * somebody else's, and that says which program is run. Links count as such, and files beside. */
static gboolean is_own(const char *path)
{
    g_autofree char *dir = g_path_get_dirname(path);
    const char *const both[] = {path, dir};
    struct stat st;

    for (guint i = 0; i < G_N_ELEMENTS(both); i++)
        if (lstat(both[i], &st) < 0 || (st.st_uid != 0 && st.st_uid != geteuid()))
            return FALSE;
    return TRUE;
}

static gboolean may_use(const char *path)
{
    if (access(path, F_OK) < 0)
        return FALSE;
    if (is_installed(path) || is_own(path))
        return TRUE;
    g_warning("%s: is another user's, so it is not used unless you name it with --config", path);
    return FALSE;
}

char *cvd_config_find(const char *name, char **places)
{
    g_auto(GStrv) paths = places_of(name);

    if (places)
        *places = g_strjoinv(", ", paths);
    for (char **path = paths; *path; path++)
        if (may_use(*path))
            return g_strdup(*path);
    return NULL;
}

CvdConfig *cvd_config_load(const CvdConfigSource *source, GPtrArray *problems)
{
    const char *path = source->path;
    g_autofree char *cwd = g_get_current_dir();
    g_autoptr(GHashTable) overrides = g_hash_table_new_full(
        g_direct_hash, g_direct_equal, (GDestroyNotify)json_node_unref, g_free);
    g_autoptr(GHashTable) lines = cvd_json_lines_new();
    g_autoptr(GStringChunk) paths = g_string_chunk_new(1024);
    g_autoptr(GHashTable) broken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    CvdReader reader = {.problems = problems,
                        .overrides = overrides,
                        .lines = lines,
                        .paths = paths,
                        .cwd = cwd,
                        .broken = broken};
    guint n_before = problems->len;

    /* Relative paths in what comes from there are relative to the current directory. */
    gboolean is_stdin = strcmp(path, "-") == 0;
    g_autoptr(JsonNode) root =
        load_file(&reader, NULL, is_stdin ? "/dev/stdin" : path, source->opened);
    path = is_stdin ? "standard input" : path;
    if (root && !JSON_NODE_HOLDS_OBJECT(root)) {
        CvdPlace place = {&reader, path, cwd, "", 1};
        cvd_place_found(&place, root, "an object");
    } else if (root) {
        g_autoptr(CvdConfig) config = read_all(&reader, source, path, root);
        if (problems->len == n_before || source->keep_broken)
            return g_steal_pointer(&config);
    }
    return NULL;
}
