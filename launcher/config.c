/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three files become one configuration. First the JSON trees are gathered: cvd.json, the overrides
 * that replace `layout` or `qemu` as a whole, the two trees that these name or hold, the other
 * overrides. Then each tree is read by tables, QEMU's part before the layout, since the layout's
 * warnings depend on the number of vCPUs. Problems are collected all the way; only a tree that is
 * not there cannot have more of them.
 */
#include "launcher/config.h"

#include "launcher/fields.h"
#include "launcher/json.h"
#include "launcher/layout-file.h"
#include "launcher/overrides.h"
#include "launcher/qemu-config.h"
#include "server/listener.h"

#include <string.h>
#include <unistd.h>

#define PREALLOC_UP_TO    (4 * 1024 * 1024) /* bytes of window; above it prealloc is off */
#define MAX_SECONDS       86400
#define MAX_CLIENTS       100000
#define MAX_VERSION_REPLY 64
#define MAX_SLOT          0x1f
#define UNSET             (-1)

/* What is handed out, and behind it what only matters while it is made. */
typedef struct {
    CvdConfig public; /* first */
    guint64 window_size;
    int hugepages; /* index of hugepage_words, or UNSET */
    int prealloc;  /* gboolean, or UNSET */
} Draft;

/* One of the two trees that cvd.json names or holds. */
typedef struct {
    JsonNode *node; /* NULL: a problem told why */
    char *origin;
    char *directory;
    char *path;
    CvdPlace place;
} Tree;

static void tree_clear(Tree *tree)
{
    g_clear_pointer(&tree->node, json_node_unref);
    g_free(tree->origin);
    g_free(tree->directory);
    g_free(tree->path);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Tree, tree_clear)

static gboolean is_instance_name(const char *name)
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

#define NAME_EXPECTED                                                                              \
    "1 to 32 letters, digits, '_', '.' or '-', of which the first is a letter or digit"

static void read_name(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
    const char *name = cvd_node_get_string(node);
    if (name && is_instance_name(name))
        cvd_store_string(target, field->offset, g_strdup(name));
    else
        cvd_place_found(place, node, NAME_EXPECTED);
}

static void read_mode(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
    const char *string = cvd_node_get_string(node);
    guint64 mode = 0;
    if (string && strlen(string) <= 4 && g_ascii_isdigit(*string) &&
        g_ascii_string_to_unsigned(string, 8, 0, 0777, &mode, NULL))
        G_STRUCT_MEMBER(mode_t, target, field->offset) = (mode_t)mode;
    else
        cvd_place_found(place, node, "an octal mode as a string, such as \"0660\"");
}

static void read_socket(const CvdPlace *place, JsonNode *node, const CvdField *field,
                        gpointer target)
{
    g_autofree char *path = NULL;
    cvd_read_path(place, node, &(CvdField){.key = field->key}, &path);
    g_autoptr(GError) error = NULL;
    if (path && !cvd_listener_path_check(path, &error))
        cvd_place_problem(place, "%s", error->message);
    else if (path)
        cvd_store_string(target, field->offset, g_steal_pointer(&path));
}

static void read_slot(const CvdPlace *place, JsonNode *node, const CvdField *field, gpointer target)
{
    const char *string = cvd_node_get_string(node);
    guint64 slot = 0;
    if (string && (g_str_has_prefix(string, "0x")) && strlen(string) <= 4 &&
        g_ascii_string_to_unsigned(string + 2, 16, 1, MAX_SLOT, &slot, NULL))
        G_STRUCT_MEMBER(guint, target, field->offset) = (guint)slot;
    else
        cvd_place_found(place, node, "a PCI slot from \"0x1\" to \"0x1f\"");
}

static void read_event(const CvdPlace *place, JsonNode *node, const CvdField *field,
                       gpointer target)
{
    static const CvdOnEvent events[] = {CVD_ON_EVENT_EXIT, CVD_ON_EVENT_CONTINUE};

    const char *string = cvd_node_get_string(node);
    if (g_strcmp0(string, "restart") == 0) {
        cvd_place_problem(place, "\"restart\" is not available in this version; use \"exit\"");
        return;
    }
    int index = UNSET;
    const CvdField word = {.words = field->words};
    cvd_read_word(place, node, &word, &index);
    if (index != UNSET)
        G_STRUCT_MEMBER(CvdOnEvent, target, field->offset) = events[index];
}

#define AT(member) G_STRUCT_OFFSET(Draft, member)

static const char *const backing_words[] = {"memfd", "posix-shm", NULL}; /* CvdWindowBacking */
static const char *const stop_words[] = {"powerdown", "quit", NULL};     /* CvdStop */
static const char *const exit_words[] = {"exit", NULL};                  /* read_event() */
static const char *const reboot_words[] = {"exit", "continue", NULL};    /* read_event() */
static const char *const hugepage_words[] = {"2M", "1G", NULL};
static const guint64 hugepage_sizes[] = {2 * 1024 * 1024, 1024 * 1024 * 1024};

static const CvdField window_fields[] = {
    {.key = "backing",
     .read = cvd_read_word,
     .offset = AT(public.window.backing),
     .words = backing_words},
    {.key = "path", .read = cvd_read_path, .offset = AT(public.window.path)},
    {.key = "size",
     .read = cvd_read_size,
     .offset = AT(window_size),
     .min = 1,
     .max = CVD_MAX_WINDOW_SIZE},
    {.key = "hugepages", .read = cvd_read_word, .offset = AT(hugepages), .words = hugepage_words},
    {.key = "prealloc", .read = cvd_read_boolean, .offset = AT(prealloc)},
    {.key = NULL},
};

static const CvdField socket_fields[] = {
    {.key = "vm", .read = read_socket, .offset = AT(public.vm_socket)},
    {.key = "client", .read = read_socket, .offset = AT(public.client_socket)},
    {.key = "legacy_client", .read = read_socket, .offset = AT(public.legacy_socket)},
    {.key = "version_reply",
     .read = cvd_read_string,
     .offset = AT(public.version_reply),
     .max = MAX_VERSION_REPLY},
    {.key = "mode", .read = read_mode, .offset = AT(public.socket_mode)},
    {.key = NULL},
};

static const CvdField limit_fields[] = {
    {.key = "clients",
     .read = cvd_read_uint,
     .offset = AT(public.max_clients),
     .min = 1,
     .max = MAX_CLIENTS},
    {.key = "handshake_timeout_ms",
     .read = cvd_read_uint,
     .offset = AT(public.handshake_timeout_ms),
     .min = 1,
     .max = MAX_SECONDS * 1000},
    {.key = NULL},
};

static const CvdField ivshmem_fields[] = {
    {.key = "address", .read = read_slot, .offset = AT(public.ivshmem_slot)},
    {.key = "force_bus_master",
     .read = cvd_read_boolean,
     .offset = AT(public.ivshmem_force_bus_master)},
    {.key = NULL},
};

static const CvdField lifecycle_fields[] = {
    {.key = "stop", .read = cvd_read_word, .offset = AT(public.stop), .words = stop_words},
    {.key = "stop_timeout_s",
     .read = cvd_read_uint,
     .offset = AT(public.stop_timeout_s),
     .min = 1,
     .max = MAX_SECONDS},
    {.key = "start_timeout_s",
     .read = cvd_read_uint,
     .offset = AT(public.start_timeout_s),
     .min = 1,
     .max = MAX_SECONDS},
    {.key = "on_crash", .read = read_event, .offset = AT(public.on_crash), .words = exit_words},
    {.key = "on_panic", .read = read_event, .offset = AT(public.on_panic), .words = exit_words},
    {.key = "on_reboot", .read = read_event, .offset = AT(public.on_reboot), .words = reboot_words},
    {.key = "restart_limit",
     .read = cvd_read_uint,
     .offset = AT(public.restart_limit),
     .min = 0,
     .max = 1000},
    {.key = NULL},
};

static const CvdField cvd_fields[] = {
    {.key = "name", .read = read_name, .offset = AT(public.name)},
    {.key = "layout", .read = cvd_read_later},
    {.key = "qemu", .read = cvd_read_later},
    {.key = "window", .read = cvd_read_object, .fields = window_fields},
    {.key = "sockets", .read = cvd_read_object, .fields = socket_fields},
    {.key = "limits", .read = cvd_read_object, .fields = limit_fields},
    {.key = "ivshmem", .read = cvd_read_object, .fields = ivshmem_fields},
    {.key = "lifecycle", .read = cvd_read_object, .fields = lifecycle_fields},
    {.key = NULL},
};

static Draft *draft_new(void)
{
    Draft *draft = g_new0(Draft, 1);
    draft->hugepages = UNSET;
    draft->prealloc = UNSET;
    draft->public = (CvdConfig){
        .name = g_strdup("cvd-1"),
        .window.backing = CVD_WINDOW_MEMFD,
        .version_reply = g_strdup("PROTOCOL_VER 0"),
        .socket_mode = 0600,
        .max_clients = 1024,
        .handshake_timeout_ms = 5000,
        .ivshmem_slot = 0x10,
        .stop = CVD_STOP_POWERDOWN,
        .stop_timeout_s = 10,
        .start_timeout_s = 30,
        .on_crash = CVD_ON_EVENT_EXIT,
        .on_panic = CVD_ON_EVENT_EXIT,
        .on_reboot = CVD_ON_EVENT_CONTINUE,
        .restart_limit = 5,
    };
    return draft;
}

void cvd_config_free(CvdConfig *config)
{
    if (!config)
        return;
    g_free(config->name);
    g_clear_pointer(&config->layout, cvd_layout_unref);
    g_free((char *)config->window.path);
    g_free(config->vm_socket);
    g_free(config->client_socket);
    g_free(config->legacy_socket);
    g_free(config->version_reply);
    cvd_qemu_config_clear(&config->qemu);
    g_free(config); /* the first member of its Draft */
}

static void tell(GPtrArray *problems, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void tell(GPtrArray *problems, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_ptr_array_add(problems, g_strdup_vprintf(format, args));
    va_end(args);
}

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

static JsonNode *load_file(CvdReader *reader, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) duplicates = g_ptr_array_new_with_free_func(g_free);
    JsonNode *node = cvd_json_load(path, duplicates, &error);
    if (!node)
        tell(reader->problems, "%s", error->message);
    for (guint i = 0; node && i < duplicates->len; i++)
        tell(reader->problems, "%s: %s: stands twice; remove one of the two", path,
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
    tree->place = (CvdPlace){reader, tree->origin, tree->directory, ""};
    tree->node = load_file(reader, tree->origin);
}

static void tree_find(Tree *tree, const CvdPlace *root_place, JsonNode *root, const char *key)
{
    JsonNode *node = json_object_get_member(json_node_get_object(root), key);
    CvdPlace place = cvd_place_member(root_place, key, node, &tree->path);
    tree->place = place;
    const char *path = node ? cvd_node_get_string(node) : NULL;
    if (!node)
        cvd_place_problem(&place, "missing; name a file, or put the object here");
    else if (path && *path)
        tree_load(tree, &place, path);
    else if (JSON_NODE_HOLDS_OBJECT(node))
        tree->node = json_node_ref(node);
    else
        cvd_place_found(&place, node, "the path of a file, or an object");
}

static gboolean has_override_in(const CvdConfigSource *source, const char *prefix)
{
    for (const char *const *o = source->overrides; o && *o; o++) {
        if (g_str_has_prefix(*o, prefix))
            return TRUE;
    }
    return FALSE;
}

/* What a problem of the layout starts with; the layout's parser knows no places. */
static char *layout_origin(const CvdConfigSource *source, const Tree *tree)
{
    return g_strdup_printf("%s%s%s%s", tree->place.origin, *tree->place.path ? ": " : "",
                           tree->place.path,
                           has_override_in(source, "layout.") ? " (with --set)" : "");
}

static void check_window(const CvdPlace *root, Draft *draft)
{
    CvdWindowOptions *window = &draft->public.window;
    CvdPlace place = *root;
    place.path = "window";
    if (window->backing == CVD_WINDOW_POSIX_SHM && !window->path)
        cvd_place_problem(&place, "backing \"posix-shm\" needs \"path\", such as "
                                  "\"/dev/shm/ivshmem\"");
    if (window->backing == CVD_WINDOW_MEMFD && window->path)
        cvd_place_problem(&place, "\"path\" is for backing \"posix-shm\"; a memfd has no name");
    if (window->backing == CVD_WINDOW_POSIX_SHM && draft->hugepages != UNSET)
        cvd_place_problem(&place, "\"hugepages\" is for backing \"memfd\" alone");
    if (draft->hugepages != UNSET)
        window->hugepage_size = hugepage_sizes[draft->hugepages];
}

/* QEMU's and the layout's trees, which need each other a little. */
static void read_trees(const CvdConfigSource *source, Draft *draft, const Tree *layout,
                       const Tree *qemu)
{
    CvdConfig *config = &draft->public;
    GPtrArray *problems = layout->place.reader->problems;

    cvd_qemu_config_read(&qemu->place, qemu->node, &config->qemu);
    g_autofree char *origin = layout_origin(source, layout);
    g_autoptr(CvdLayoutFile) file =
        layout->node ? cvd_layout_file_parse(layout->node, origin, problems) : NULL;
    g_autofree char *vmm_path = NULL;
    if (file && file->vmm_path)
        vmm_path = strchr(file->vmm_path, '/') ? cvd_place_resolve(&layout->place, file->vmm_path)
                                               : g_strdup(file->vmm_path);
    cvd_qemu_config_finish(&qemu->place, &config->qemu, vmm_path,
                           file ? file->kernel_command_line : NULL);
    if (!file)
        return;

    guint64 granule = config->window.hugepage_size ? config->window.hugepage_size : CVD_PAGE_SIZE;
    config->layout = cvd_layout_file_compute(file, origin, draft->window_size, granule,
                                             cvd_qemu_config_get_vcpus(&config->qemu), problems);
    if (config->layout)
        config->window.prealloc = draft->prealloc != UNSET
                                      ? draft->prealloc
                                      : config->layout->window_size <= PREALLOC_UP_TO;
}

static void override_name(const CvdConfigSource *source, Draft *draft, GPtrArray *problems)
{
    if (!source->name)
        return;
    if (!is_instance_name(source->name)) {
        tell(problems, "--name: found \"%s\"; expected " NAME_EXPECTED, source->name);
        return;
    }
    g_free(draft->public.name);
    draft->public.name = g_strdup(source->name);
}

static void check_different(const CvdPlace *place, const char *a, const char *b)
{
    if (a && b && strcmp(a, b) == 0)
        cvd_place_problem(place, "two sockets at %s; each needs a path of its own", a);
}

static void check_sockets(const CvdPlace *root, const CvdConfig *config)
{
    CvdPlace place = *root;
    place.path = "sockets";
    check_different(&place, config->vm_socket, config->client_socket);
    check_different(&place, config->vm_socket, config->legacy_socket);
    check_different(&place, config->client_socket, config->legacy_socket);
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
            tell(problems, "runtime directory: %s, with XDG_RUNTIME_DIR, or a shorter --name",
                 error->message);
    }
    return problems->len == n_before;
}

/* cvd.json has an object for its root. */
static Draft *read_all(CvdReader *reader, const CvdConfigSource *source, const char *path,
                       JsonNode *root)
{
    g_autofree char *directory = directory_of(reader, path);
    CvdPlace place = {reader, path, directory, ""};
    cvd_override_files(reader, root, source->overrides);

    g_auto(Tree) layout = {0};
    g_auto(Tree) qemu = {0};
    tree_find(&qemu, &place, root, "qemu");
    tree_find(&layout, &place, root, "layout");
    cvd_override_values(reader, &(CvdTrees){root, layout.node, qemu.node}, source->overrides);

    Draft *draft = draft_new();
    cvd_fields_read(&place, root, cvd_fields, draft);
    override_name(source, draft, reader->problems);
    check_window(&place, draft);
    check_sockets(&place, &draft->public);
    read_trees(source, draft, &layout, &qemu);
    return draft;
}

/* What `--config` defaults to; NULL after a problem. */
static char *default_path(GPtrArray *problems)
{
    static const char local[] = "conf/cvd.json";
    static const char system[] = CVD_SYSCONFDIR "/cvd/cvd.json";

    if (access(local, F_OK) == 0)
        return g_strdup(local);
    if (access(system, F_OK) == 0)
        return g_strdup(system);
    tell(problems, "no configuration: there is neither %s nor %s; name one with --config FILE",
         local, system);
    return NULL;
}

CvdConfig *cvd_config_load(const CvdConfigSource *source, GPtrArray *problems)
{
    g_autofree char *path = source->path ? g_strdup(source->path) : default_path(problems);
    if (!path)
        return NULL;
    g_autofree char *cwd = g_get_current_dir();
    g_autoptr(GHashTable) overrides = g_hash_table_new_full(
        g_direct_hash, g_direct_equal, (GDestroyNotify)json_node_unref, g_free);
    CvdReader reader = {.problems = problems, .overrides = overrides, .cwd = cwd};
    guint n_before = problems->len;

    g_autoptr(JsonNode) root = load_file(&reader, path);
    if (root && !JSON_NODE_HOLDS_OBJECT(root)) {
        CvdPlace place = {&reader, path, cwd, ""};
        cvd_place_found(&place, root, "an object");
    } else if (root) {
        Draft *draft = read_all(&reader, source, path, root);
        if (problems->len == n_before)
            return &draft->public;
        cvd_config_free(&draft->public);
    }
    return NULL;
}
