/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the entries of qemu.json name of each other, and of the host programs. QEMU would say most
 * of it, too, but only when it is started, and not where it stands. What `extra_args` have is not
 * looked into, and believed.
 */
#include "launcher/config/references.h"

#include "launcher/config/qapi.h"
#include "launcher/config/substitute.h"

#include <string.h>

typedef struct {
    const char *key; /* whose values are wanted */
    GPtrArray *ids;
} Search;

static void collect_id(const CvdPlace *place, const char *key, JsonNode *node, gpointer data)
{
    Search *search = data;

    if (g_strcmp0(key, search->key) == 0 && cvd_node_get_string(node))
        g_ptr_array_add(search->ids, (gpointer)cvd_node_get_string(node));
}

/* Or may be: a -drive has a name, too, if it is given none. */
static gboolean is_in_args(char **args, const char *id)
{
    for (; *args; args++)
        if (strstr(*args, id) || g_str_has_suffix(*args, "-drive") ||
            g_str_has_suffix(*args, "-readconfig"))
            return TRUE;
    return FALSE;
}

/* Who names what: at @path of an entry of @list there may be the @id_key of one of @of. */
static const struct {
    const char *list;
    const char *path;
    const char *of;
    const char *id_key;
} references[] = {
    {"devices", "drive", "blockdevs", "node-name"},
    {"devices", "netdev", "netdevs", "id"},
    {"devices", "chardev", "chardevs", "id"},
    {"devices", "tpmdev", "tpmdevs", "id"},
    {"objects", "chardev", "chardevs", "id"},
    {"netdevs", "chardev", "chardevs", "id"},
    {"tpmdevs", "chardev", "chardevs", "id"},
    {"tpmdevs", "data.chardev", "chardevs", "id"},
    {"chardevs", "backend.chardev", "chardevs", "id"},
    {"chardevs", "backend.data.chardev", "chardevs", "id"},
};

static JsonNode *find(JsonNode *node, const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, ".", -1);

    for (char **name = names; *name; name++)
        node = cvd_node_get_member(node, *name);
    return node;
}

/* As cvd_place_next(), of @list of @qemu, which stands at @place. */
static gboolean next_entry(const CvdPlace *place, JsonNode *qemu, const char *list,
                           CvdElement *entry)
{
    JsonNode *entries = cvd_node_get_member(qemu, list);
    CvdPlace at = cvd_place_member(place, list, entries);

    return entries && cvd_place_next(&at, entries, entry);
}

/* @entry: at @place, and in @qemu; @i: of a reference that it may have */
static void check_reference(const CvdPlace *place, JsonNode *entry, JsonNode *qemu, gsize i,
                            char **args)
{
    const char *list = references[i].of, *id_key = references[i].id_key;
    JsonNode *node = find(entry, references[i].path);
    const char *id = cvd_node_get_string(node);
    JsonNode *entries = cvd_node_get_member(qemu, list);
    g_autoptr(GPtrArray) ids = g_ptr_array_new();

    if (id && entries)
        cvd_place_walk(place, entries, collect_id, &(Search){id_key, ids});
    if (!id || g_ptr_array_find_with_equal_func(ids, id, g_str_equal, NULL) || is_in_args(args, id))
        return;
    gboolean has_none = ids->len == 0;
    g_ptr_array_add(ids, NULL);
    g_autofree char *known = g_strjoinv("\", \"", (char **)ids->pdata);
    g_autofree char *expected =
        has_none ? g_strdup_printf("the %s of an entry of %s, which has none", id_key, list)
                 : g_strdup_printf("the %s of an entry of %s: \"%s\"", id_key, list, known);
    CvdPlace member = cvd_place_find(place, entry, references[i].path);
    cvd_place_found(&member, node, expected);
}

static void check_entries(const CvdPlace *place, JsonNode *qemu, char **args)
{
    for (gsize i = 0; i < G_N_ELEMENTS(references); i++) {
        CvdElement entry = {0};
        while (next_entry(place, qemu, references[i].list, &entry))
            check_reference(&entry.place, entry.node, qemu, i, args);
    }
}

/* ---- Memory that back ends share ---- */

static const char *get_string(JsonNode *node, const char *name)
{
    return cvd_node_get_string(cvd_node_get_member(node, name));
}

/* A memory back end that others can be given. Those in a memfd are so by themselves. */
static gboolean is_shared(JsonNode *object)
{
    const char *type = get_string(object, "qom-type");
    JsonNode *share = cvd_node_get_member(object, "share");

    if (!type || !g_str_has_prefix(type, "memory-backend-"))
        return FALSE;
    if (share && JSON_NODE_HOLDS_VALUE(share))
        return json_node_get_boolean(share);
    return strcmp(type, "memory-backend-memfd") == 0;
}

static gboolean args_have(char **args, const char *text)
{
    for (; *args; args++)
        if (strstr(*args, text))
            return TRUE;
    return FALSE;
}

static gboolean has_shared_memory(const CvdPlace *place, JsonNode *node, const CvdQemuConfig *qemu)
{
    CvdElement object = {0};

    while (next_entry(place, node, "objects", &object))
        if (is_shared(object.node))
            return TRUE;
    return qemu->memory_shared || args_have(qemu->extra_args, "memory-backend");
}

/* Beside a back end of a user's own, ours would be in vain. @at: of the key that asks for ours */
static void check_ram(const CvdPlace *place, JsonNode *node, const CvdQemuConfig *qemu,
                      const CvdPlace *at, const char *advice)
{
    CvdElement object = {0};

    if (strstr(qemu->machine, "memory-backend=") || args_have(qemu->extra_args, "memory-backend="))
        cvd_place_problem(at, "the machine has a memory-backend of its own; leave %s", advice);
    while (next_entry(place, node, "objects", &object))
        if (g_strcmp0(get_string(object.node, "id"), CVD_RAM_ID) == 0)
            cvd_place_problem(&object.place, "id \"" CVD_RAM_ID
                                             "\" is that of the guest's memory; choose another");
}

/* Without it QEMU starts, and the guest's driver waits for ever. */
static void require_shared_memory(const CvdPlace *place, JsonNode *node, const CvdQemuConfig *qemu,
                                  const char *list, const char *key)
{
    CvdElement entry = {0};

    while (next_entry(place, node, list, &entry)) {
        JsonNode *name = cvd_node_get_member(entry.node, key);
        CvdPlace at = cvd_place_member(&entry.place, key, name);
        if (g_str_has_prefix(cvd_node_get_string(name) ? cvd_node_get_string(name) : "",
                             "vhost-user"))
            cvd_place_problem(&at,
                              "%s needs memory that it can share with its back end: set "
                              "\"memory_shared\" to true",
                              cvd_node_get_string(name));
    }
}

/* QEMU takes only a socket that it has connected itself. */
static void check_vhost_user_net(const CvdPlace *place, JsonNode *node)
{
    CvdElement netdev = {0};

    while (next_entry(place, node, "netdevs", &netdev)) {
        const char *id = get_string(netdev.node, "chardev");
        CvdElement chardev = {0};
        if (!id || g_strcmp0(get_string(netdev.node, "type"), "vhost-user") != 0)
            continue;
        while (next_entry(place, node, "chardevs", &chardev)) {
            JsonNode *backend = cvd_node_get_member(chardev.node, "backend");
            JsonNode *address = cvd_qapi_get_member(backend, "addr");
            if (g_strcmp0(get_string(chardev.node, "id"), id) == 0 &&
                g_strcmp0(get_string(address, "type"), "fd") == 0)
                cvd_place_problem(&netdev.place,
                                  "QEMU's vhost-user network cannot use an inherited socket, as "
                                  "\"%s\" has; give that an address of type \"unix\", or the "
                                  "network type \"stream\"",
                                  id);
        }
    }
}

void cvd_qemu_check_references(const CvdPlace *place, JsonNode *node, const CvdPlace *root_place,
                               JsonNode *root, const CvdConfig *config)
{
    const CvdQemuConfig *qemu = &config->qemu;
    CvdPlace shared = cvd_place_find(place, node, "memory_shared");
    CvdPlace migratable = cvd_place_find(root_place, root, "ivshmem.migratable");

    check_entries(place, node, qemu->extra_args);
    check_vhost_user_net(place, node);
    if (config->ivshmem_migratable)
        check_ram(place, node, qemu, &migratable,
                  "that out, as this key needs one that cvd-launch makes");
    else if (qemu->memory_shared)
        check_ram(place, node, qemu, &shared, "this key out, and give that one \"share\": true");
    if (has_shared_memory(place, node, qemu))
        return;
    require_shared_memory(place, node, qemu, "devices", "driver");
    require_shared_memory(place, node, qemu, "netdevs", "type");
}

/* ---- Sockets of host programs ---- */

typedef struct {
    const char **known;  /* all sockets there are */
    GHashTable *used_at; /* name, and where it is used */
} Sockets;

static void check_text(const CvdPlace *place, const char *key, JsonNode *node, gpointer data)
{
    Sockets *sockets = data;
    const char *text = cvd_node_get_string(node);

    if (!text || !cvd_substitute_check(place, text, sockets->known))
        return;
    g_auto(GStrv) names = cvd_substitute_get_sockets(text);
    for (char **name = names; *name; name++) {
        const char *where = g_hash_table_lookup(sockets->used_at, *name);
        if (where)
            cvd_place_problem(place,
                              "socket \"%s\" is used at %s already; give this a socket of "
                              "its own",
                              *name, where);
        else
            g_hash_table_insert(sockets->used_at, g_strdup(*name), g_strdup(place->path));
    }
}

/* Then it is not known which sockets there are. */
static gboolean has_broken_program(const CvdReader *reader)
{
    GHashTableIter iter;
    gpointer path;

    g_hash_table_iter_init(&iter, reader->broken);
    while (g_hash_table_iter_next(&iter, &path, NULL))
        if (g_str_has_prefix(path, "programs"))
            return TRUE;
    return FALSE;
}

static void check_used(const CvdPlace *place, JsonNode *sockets, const CvdProgramConfig *program,
                       GHashTable *used_at)
{
    for (guint i = 0; i < program->n_sockets; i++) {
        const char *name = program->sockets[i].name;
        CvdPlace at = cvd_place_member(place, name, cvd_node_get_member(sockets, name));
        if (!g_hash_table_contains(used_at, name))
            cvd_place_problem(&at,
                              "nothing in qemu.json uses the socket; name it there as "
                              "\"${socket:%s}\", in chardevs or netdevs, or remove it",
                              name);
    }
}

void cvd_qemu_check_sockets(const CvdPlace *place, JsonNode *node, const CvdPlace *root_place,
                            JsonNode *root, const CvdConfig *config)
{
    static const char *const lists[] = {"chardevs", "netdevs", "tpmdevs"};
    g_autofree const char **known = cvd_config_get_socket_names(config, NULL);
    g_autoptr(GHashTable) used_at = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    JsonNode *programs = cvd_node_get_member(root, "programs");
    CvdPlace all = cvd_place_member(root_place, "programs", programs);

    if (has_broken_program(root_place->reader))
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(lists); i++) {
        JsonNode *list = cvd_node_get_member(node, lists[i]);
        CvdPlace at = cvd_place_member(place, lists[i], list);
        if (list)
            cvd_place_walk(&at, list, check_text, &(Sockets){known, used_at});
    }
    for (guint i = 0; i < config->n_programs; i++) {
        JsonNode *program = cvd_node_get_member(programs, config->programs[i].name);
        CvdPlace at = cvd_place_member(&all, config->programs[i].name, program);
        JsonNode *sockets = cvd_node_get_member(program, "sockets");
        CvdPlace inside = cvd_place_member(&at, "sockets", sockets);
        check_used(&inside, sockets, &config->programs[i], used_at);
    }
}
