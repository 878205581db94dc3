/* SPDX-License-Identifier: Apache-2.0 */
/* What of `programs` and `hooks` only shows in the whole of a configuration. */
#include "base/passed.h"
#include "launcher/config/access.h"
#include "launcher/config/programs.h"
#include "launcher/config/substitute.h"
#include "server/listener.h"

#include <string.h>

#define OTHER_NAME "choose another name"

/* A program with the place where it stands, and what stands there. */
typedef struct {
    CvdPlace place;
    JsonNode *node;
    CvdProgramConfig *program;
} Entry;

static CvdPlace place_of(const Entry *entry, const char *key)
{
    return cvd_place_member(&entry->place, key, cvd_node_get_member(entry->node, key));
}

static CvdPlace place_of_socket(const Entry *entry, guint index)
{
    CvdPlace sockets = place_of(entry, "sockets");
    const char *name = entry->program->sockets[index].name;
    JsonNode *node = cvd_node_get_member(entry->node, "sockets");

    return cvd_place_member(&sockets, name, cvd_node_get_member(node, name));
}

/* ---- One program ---- */

static void fill_in(const Entry *entry, const char *directory)
{
    CvdProgramConfig *program = entry->program;

    if ((program->oneshot || program->n_sockets > 0) &&
        !cvd_node_get_member(entry->node, "restart"))
        program->restart = CVD_RESTART_NEVER;
    if (!program->cwd)
        program->cwd = cvd_substitute_escape(directory);
}

/* What excludes each other. */
static void check_combinations(const Entry *entry)
{
    const CvdProgramConfig *program = entry->program;
    gboolean has_regions = program->regions && *program->regions;
    const struct {
        gboolean is_wrong;
        const char *key;
        const char *why;
    } rules[] = {
        {!has_regions && program->pass_fds, "pass_fds",
         "there is nothing to pass; name \"regions\""},
        {!has_regions && program->ready == CVD_READY_ATTACHED, "ready",
         "there is nothing to attach to; name \"regions\""},
        {program->oneshot && program->restart != CVD_RESTART_NEVER, "restart",
         "a program that is \"oneshot\" is started once for each VM; leave it out"},
        {program->n_sockets > 0 && program->restart != CVD_RESTART_NEVER, "restart",
         "a program with \"sockets\" is started once for each VM, as QEMU cannot change to "
         "another; leave it out"},
        {program->oneshot && program->ready != CVD_READY_STARTED, "ready",
         "a program that is \"oneshot\" is ready when it has ended with status 0; leave it out"},
        {program->on_restore && !program->oneshot, "on_restore",
         "a program that is not \"oneshot\" always runs; leave it out"},
        {program->oneshot && program->n_sockets > 0, "sockets",
         "QEMU needs a program at the other end, and one that is \"oneshot\" ends"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rules); i++) {
        CvdPlace place = place_of(entry, rules[i].key);
        if (rules[i].is_wrong)
            cvd_place_problem(&place, "%s", rules[i].why);
    }
}

/* @key: of a list of names */
static void check_repetition(const Entry *entry, const char *key)
{
    JsonNode *node = cvd_node_get_member(entry->node, key);
    CvdPlace place = place_of(entry, key);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    CvdElement element = {0};

    while (node && cvd_place_next(&place, node, &element)) {
        const char *name = cvd_node_get_string(element.node);
        if (name && !g_hash_table_add(seen, (gpointer)name))
            cvd_place_problem(&element.place, "\"%s\" stands twice; remove one of the two", name);
    }
}

/* The limit counts those that it inherits, too. */
static void check_descriptors(const Entry *entry)
{
    const CvdProgramConfig *program = entry->program;
    guint n_regions = program->pass_fds && program->regions ? g_strv_length(program->regions) : 0;
    guint n_fds = CVD_CHILD_FIRST_FD + CVD_PASSED_N_FDS * n_regions + program->n_sockets;
    const CvdConfine *confine = program->confine;
    CvdPlace place_of_confine = place_of(entry, "confine");

    if (n_regions > CVD_MAX_PASSED_REGIONS) {
        CvdPlace place = place_of(entry, "regions");
        cvd_place_problem(&place, "has %u members; with \"pass_fds\" at most %d are allowed",
                          n_regions, CVD_MAX_PASSED_REGIONS);
    }
    if (program->ready == CVD_READY_NOTIFY && program->user)
        n_fds++; /* which it says so through */
    if (confine && confine->has_file_system)
        n_fds += CVD_BUBBLEWRAP_N_FDS;
    if (confine && confine->n_fds > 0 && confine->n_fds < n_fds) {
        CvdPlace place = cvd_place_member(
            &place_of_confine, "descriptors",
            cvd_node_get_member(cvd_node_get_member(entry->node, "confine"), "descriptors"));
        cvd_place_problem(&place, "to start the program takes %u descriptors; allow them", n_fds);
    }
}

/* @text, a list or an object of texts */
static void check_texts(const CvdPlace *place, JsonNode *node, const char *const *sockets)
{
    JsonObjectIter iter;
    const char *name;
    JsonNode *member;
    CvdElement element = {0};

    if (cvd_node_get_string(node))
        cvd_substitute_check(place, cvd_node_get_string(node), sockets);
    while (node && cvd_place_next(place, node, &element))
        check_texts(&element.place, element.node, sockets);
    if (!node || !JSON_NODE_HOLDS_OBJECT(node))
        return;
    json_object_iter_init_ordered(&iter, json_node_get_object(node));
    while (json_object_iter_next_ordered(&iter, &name, &member)) {
        CvdPlace child = cvd_place_member(place, name, member);
        check_texts(&child, member, sockets);
    }
}

static void check_substitutions(const Entry *entry, const CvdConfig *config)
{
    static const char *const keys[] = {"argv", "env", "cwd", "confine"};
    g_autofree const char **sockets = cvd_config_get_socket_names(config, entry->program);

    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        CvdPlace place = place_of(entry, keys[i]);
        check_texts(&place, cvd_node_get_member(entry->node, keys[i]), sockets);
    }
}

/* What bubblewrap cannot do. */
static void check_file_system(const Entry *entry)
{
    const CvdProgramConfig *program = entry->program;
    const CvdConfine *confine = program->confine;
    CvdPlace place = place_of(entry, "confine");

    if (!confine || !confine->has_file_system)
        return;
    for (guint i = 0; i < program->n_sockets; i++)
        if (program->sockets[i].kind == CVD_SOCKET_PATH)
            cvd_place_problem(
                &place,
                "what the program listens at in a file system of its own, nobody else "
                "can reach (socket %s); make it \"listen\" or \"pair\", or set "
                "\"file_system\": false",
                program->sockets[i].name);
    if (confine->writable && g_strv_contains((const char *const *)confine->writable, "/"))
        cvd_place_problem(&place, "with / among \"writable\" nothing is the program's own; set "
                                  "\"file_system\": false");
}

static void check_program(const Entry *entry, const CvdConfig *config)
{
    CvdPlace argv = place_of(entry, "argv");

    if (!cvd_node_get_member(entry->node, "argv") && JSON_NODE_HOLDS_OBJECT(entry->node) &&
        !cvd_place_is_broken(&argv))
        cvd_place_problem(&entry->place, "needs \"argv\", the command as a list");
    if (strcmp(entry->program->name, config->name) == 0)
        cvd_place_problem(&entry->place,
                          "the machine has this name itself; choose another, so that logs and "
                          "commands tell them apart");
    if (strcmp(entry->program->name, "hooks") == 0)
        cvd_place_problem(&entry->place, "the log of the hooks has this name; choose another");
    if (config->layout)
        cvd_regions_check(&entry->place, entry->node, config->layout);
    check_repetition(entry, "regions");
    check_repetition(entry, "after");
    check_combinations(entry);
    check_descriptors(entry);
    check_file_system(entry);
    check_substitutions(entry, config);
}

/* ---- All of them ---- */

typedef struct {
    const Entry *entries;
    guint n_entries;
    gboolean *is_done;
    GPtrArray *way; /* of entries, each after the next */
} Search;

static const Entry *find_entry(const Search *search, const char *name)
{
    for (guint i = 0; i < search->n_entries; i++)
        if (strcmp(search->entries[i].program->name, name) == 0)
            return &search->entries[i];
    return NULL;
}

static void report_cycle(const Search *search, guint start)
{
    g_autoptr(GString) names = g_string_new(NULL);
    const Entry *first = search->way->pdata[start];
    CvdPlace place = place_of(first, "after");

    for (guint i = start; i < search->way->len; i++)
        g_string_append_printf(names, "%s -> ", ((Entry *)search->way->pdata[i])->program->name);
    cvd_place_problem(&place, "a cycle, in which none can be the first: %s%s", names->str,
                      first->program->name);
}

static void look_for_cycles(Search *search, const Entry *entry)
{
    guint start;

    if (g_ptr_array_find(search->way, entry, &start)) {
        report_cycle(search, start);
        return;
    }
    if (search->is_done[entry - search->entries])
        return;
    g_ptr_array_add(search->way, (gpointer)entry);
    for (char **name = entry->program->after; name && *name; name++) {
        const Entry *next = find_entry(search, *name);
        if (next)
            look_for_cycles(search, next);
    }
    g_ptr_array_set_size(search->way, (gint)search->way->len - 1);
    search->is_done[entry - search->entries] = TRUE;
}

static void check_after(const Entry *entry, const char *const *names)
{
    JsonNode *node = cvd_node_get_member(entry->node, "after");
    CvdPlace place = place_of(entry, "after");
    CvdElement element = {0};

    while (node && cvd_place_next(&place, node, &element)) {
        const char *name = cvd_node_get_string(element.node);
        if (name && !g_strv_contains(names, name))
            cvd_place_no_such(&element.place, "there is no program", name, names);
    }
}

static void check_order(const Entry *entries, guint n)
{
    g_autoptr(GPtrArray) way = g_ptr_array_new();
    g_autofree gboolean *is_done = g_new0(gboolean, n);
    g_autofree const char **names = g_new0(const char *, n + 1);
    Search search = {entries, n, is_done, way};

    for (guint i = 0; i < n; i++)
        names[i] = entries[i].program->name;
    for (guint i = 0; i < n; i++)
        check_after(&entries[i], names);
    for (guint i = 0; i < n; i++)
        look_for_cycles(&search, &entries[i]);
}

/* @owners: of what there is already of one kind */
static void check_unique(GHashTable *owners, const CvdPlace *place, const char *kind,
                         char *take_name, const char *program, const char *remedy)
{
    const char *owner = g_hash_table_lookup(owners, take_name);

    if (owner)
        cvd_place_problem(place, "%s %s is program %s's already; %s", kind, take_name, owner,
                          remedy);
    g_hash_table_insert(owners, take_name, (gpointer)program);
}

/* All files of sockets are in one directory. */
static void check_files(GHashTable *files, const Entry *entry, const CvdConfig *config)
{
    const CvdProgramConfig *program = entry->program;
    CvdPlace ready = place_of(entry, "ready");

    if (program->ready == CVD_READY_NOTIFY)
        check_unique(files, &ready, "file", cvd_program_get_notify_path(config, program),
                     program->name, OTHER_NAME);
    for (guint i = 0; i < program->n_sockets; i++) {
        CvdPlace place = place_of_socket(entry, i);
        check_unique(files, &place, "file", cvd_program_get_socket_path(config, program, i),
                     program->name, OTHER_NAME);
    }
}

/* QEMU's part names sockets without their programs. */
static void check_sockets(const Entry *entries, guint n, const CvdConfig *config)
{
    g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GHashTable) files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (guint i = 0; i < n; i++) {
        const CvdProgramConfig *program = entries[i].program;
        check_files(files, &entries[i], config);
        for (guint j = 0; j < program->n_sockets; j++) {
            CvdPlace place = place_of_socket(&entries[i], j);
            check_unique(names, &place, "socket", g_strdup(program->sockets[j].name), program->name,
                         OTHER_NAME);
        }
    }
}

/* Whether it has its regions for as long as it runs; others may only look at theirs. */
static gboolean holds_regions(const CvdProgramConfig *program)
{
    return !program->oneshot && (program->pass_fds || program->ready == CVD_READY_ATTACHED);
}

static gboolean is_exclusive(const CvdLayout *layout, const char *name)
{
    int index = cvd_layout_find(layout, name, strlen(name));

    return index >= 0 && layout->regions[index].is_exclusive;
}

/* The second would never be ready. */
static void check_exclusive_regions(const Entry *entries, guint n, const CvdLayout *layout)
{
    g_autoptr(GHashTable) owners = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (guint i = 0; i < n; i++) {
        const CvdProgramConfig *program = entries[i].program;
        CvdPlace place = place_of(&entries[i], "regions");
        for (char **name = program->regions; holds_regions(program) && *name; name++)
            if (is_exclusive(layout, *name))
                check_unique(owners, &place, "exclusive region", g_strdup(*name), program->name,
                             "leave it to one of the two");
    }
}

static void check_hooks(const CvdPlace *root_place, JsonNode *root)
{
    JsonNode *hooks = cvd_node_get_member(root, "hooks");
    CvdPlace place = cvd_place_member(root_place, "hooks", hooks);

    check_texts(&place, hooks, NULL);
}

void cvd_programs_check(const CvdPlace *place, JsonNode *root, CvdConfig *config)
{
    JsonNode *node = cvd_node_get_member(root, "programs");
    CvdPlace programs = cvd_place_member(place, "programs", node);
    g_autofree Entry *entries = g_new0(Entry, config->n_programs);

    for (guint i = 0; i < config->n_programs; i++) {
        CvdProgramConfig *program = &config->programs[i];
        JsonNode *member = cvd_node_get_member(node, program->name);
        entries[i] = (Entry){cvd_place_member(&programs, program->name, member), member, program};
        fill_in(&entries[i], config->directory);
    }
    for (guint i = 0; i < config->n_programs; i++)
        check_program(&entries[i], config);
    check_order(entries, config->n_programs);
    check_sockets(entries, config->n_programs, config);
    if (config->layout)
        check_exclusive_regions(entries, config->n_programs, config->layout);
    check_hooks(place, root);
}

static void check_path(GPtrArray *problems, const char *program, const char *key, const char *path)
{
    g_autoptr(GError) error = NULL;

    if (!cvd_listener_path_check(path, &error))
        cvd_problem(problems,
                    "programs.%s.%s: %s, with a shorter name of socket, program or instance, or "
                    "XDG_RUNTIME_DIR",
                    program, key, error->message);
}

void cvd_programs_check_paths(const CvdConfig *config, GPtrArray *problems)
{
    for (guint i = 0; i < config->n_programs; i++) {
        const CvdProgramConfig *program = &config->programs[i];
        g_autofree char *notify = cvd_program_get_notify_path(config, program);
        if (program->ready == CVD_READY_NOTIFY)
            check_path(problems, program->name, "ready", notify);
        for (guint j = 0; j < program->n_sockets; j++) {
            g_autofree char *path = cvd_program_get_socket_path(config, program, j);
            g_autofree char *key = g_strdup_printf("sockets.%s", program->sockets[j].name);
            if (program->sockets[j].kind != CVD_SOCKET_PAIR)
                check_path(problems, program->name, key, path);
        }
    }
}
