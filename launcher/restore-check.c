/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a machine fits no other machine. What QEMU would find out, it would say in words of
 * its own, or not at all; so whatever the guest has seen of the hardware is compared here, as the
 * configurations have it.
 */
#include "launcher/restore.h"

#include "base/json.h"
#include "launcher/config/json-file.h"
#include "launcher/config/keys.h"
#include "launcher/config/layout-print.h"
#include "launcher/config/place.h"

#include <string.h>

#define OTHERWISE "or boot without --from and take another snapshot"

/* Of a long text, how much is shown of what comes before the difference, in bytes. */
#define SHOWN_BEFORE 10

/* Of the configuration. */
static const char *const fixed[] = {
    "qemu.machine", "qemu.cpu",        "qemu.smp",        "qemu.firmware",
    "qemu.devices", "qemu.watchdog_s", "ivshmem.address",
};

/* Both are configurations that have every key, as JSON. */
typedef struct {
    const CvdRestore *restore;
    const char *config_path; /* the snapshot's */
    JsonNode *here;
    JsonNode *there;
    GPtrArray *problems;
} Check;

/* Returns: (nullable): what is set at @path */
static JsonNode *find(JsonNode *root, const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, ".", -1);

    for (char **part = parts; *part != NULL; part++)
        root = cvd_node_get_member(root, *part);
    return root != NULL && JSON_NODE_HOLDS_NULL(root) ? NULL : root;
}

/* Returns: (transfer full): all of @text, or from shortly before where it differs from @other */
static char *shorten(const char *text, const char *other)
{
    gsize n = 0;

    if (strlen(text) > CVD_PLACE_MAX_QUOTED)
        while (text[n] != '\0' && text[n] == other[n])
            n++;
    const char *begin = text + n - MIN(n, SHOWN_BEFORE);
    while (begin > text && ((guchar)*begin & 0xc0) == 0x80)
        begin--;
    g_autofree char *shown = cvd_shorten(begin, CVD_PLACE_MAX_QUOTED);
    return g_strconcat(begin > text ? "…" : "", shown, NULL);
}

/* @here, @there: (nullable): as a file may have them; NULL: not set */
static void report(const Check *check, const char *path, const char *here, const char *there)
{
    const char *here_text = here != NULL ? here : "not set";
    const char *there_text = there != NULL ? there : "not set";
    g_autofree char *here_shown = shorten(here_text, there_text);
    g_autofree char *there_shown = shorten(there_text, here_text);
    g_autofree char *remedy = there == NULL ? g_strdup("leave it out")
                              : strlen(there) <= CVD_PLACE_MAX_QUOTED
                                  ? g_strconcat("set it to ", there, NULL)
                                  : g_strconcat("set it as in ", check->config_path, NULL);

    cvd_problem(check->problems, "%s: is %s, and in snapshot %s %s; %s, " OTHERWISE, path,
                here_shown, check->restore->name, there_shown, remedy);
}

/* ---- Values ---- */

static gboolean compare(const Check *check, const char *path, JsonNode *here, JsonNode *there);

static JsonNode *get_element(JsonNode *array, guint index)
{
    JsonArray *elements = json_node_get_array(array);

    return index < json_array_get_length(elements) ? json_array_get_element(elements, index) : NULL;
}

static gboolean compare_elements(const Check *check, const char *path, JsonNode *here,
                                 JsonNode *there)
{
    gboolean is_same = TRUE;

    for (guint i = 0; is_same && (get_element(here, i) != NULL || get_element(there, i) != NULL);
         i++) {
        g_autofree char *element = g_strdup_printf("%s[%u]", path, i);
        is_same = compare(check, element, get_element(here, i), get_element(there, i));
    }
    return is_same;
}

/* The order in which they stand means nothing. */
static gboolean compare_members(const Check *check, const char *path, JsonNode *here,
                                JsonNode *there)
{
    JsonNode *const both[] = {here, there};
    const char *key;

    for (gsize i = 0; i < G_N_ELEMENTS(both); i++) {
        JsonObjectIter iter;
        json_object_iter_init_ordered(&iter, json_node_get_object(both[i]));
        while (json_object_iter_next_ordered(&iter, &key, NULL)) {
            g_autofree char *member = g_strdup_printf("%s.%s", path, key);
            JsonNode *of_here = cvd_node_get_member(here, key);
            gboolean is_done = both[i] == there && of_here != NULL;
            if (!is_done && !compare(check, member, of_here, cvd_node_get_member(there, key)))
                return FALSE;
        }
    }
    return TRUE;
}

/* @here, @there: (nullable). Reports the first member that differs, however deep it is. Returns:
 * whether there is none */
static gboolean compare(const Check *check, const char *path, JsonNode *here, JsonNode *there)
{
    if (here != NULL && there != NULL) {
        if (JSON_NODE_HOLDS_ARRAY(here) && JSON_NODE_HOLDS_ARRAY(there))
            return compare_elements(check, path, here, there);
        if (JSON_NODE_HOLDS_OBJECT(here) && JSON_NODE_HOLDS_OBJECT(there))
            return compare_members(check, path, here, there);
    }
    g_autofree char *here_text = here != NULL ? cvd_json_to_string(here, FALSE) : NULL;
    g_autofree char *there_text = there != NULL ? cvd_json_to_string(there, FALSE) : NULL;
    if (g_strcmp0(here_text, there_text) == 0)
        return TRUE;
    report(check, path, here_text, there_text);
    return FALSE;
}

static gboolean compare_key(const Check *check, const char *key)
{
    return compare(check, key, find(check->here, key), find(check->there, key));
}

/* The type may be written as an alias, or in full. */
static gboolean is_same_machine(const CvdRestore *restore, const char *here, const char *there)
{
    gsize length = strlen(restore->info->machine);

    return strcmp(here, there) == 0 || (strncmp(here, restore->info->machine, length) == 0 &&
                                        strcmp(here + length, there + strcspn(there, ",")) == 0);
}

static void compare_all(const Check *check, const CvdConfig *config)
{
    const char *machine = cvd_node_get_string(find(check->there, "qemu.machine"));
    gboolean has_same_machine =
        machine != NULL && is_same_machine(check->restore, config->qemu.machine, machine);

    for (gsize i = 0; i < G_N_ELEMENTS(fixed); i++)
        if (strcmp(fixed[i], "qemu.machine") != 0 || !has_same_machine)
            compare_key(check, fixed[i]);
}

/* ---- Layout ---- */

/* A region is known by its name, unless there are as many. As compare(). */
static gboolean compare_names(const Check *check, const CvdLayout *here, const CvdLayout *there)
{
    gboolean has_more = here->n_regions > there->n_regions;
    const CvdLayout *more = has_more ? here : there;
    const CvdLayout *fewer = has_more ? there : here;
    guint i = 0;

    if (here->n_regions == there->n_regions)
        return TRUE;
    while (cvd_layout_find(fewer, more->regions[i].name, strlen(more->regions[i].name)) >= 0)
        i++;
    if (has_more)
        cvd_problem(check->problems,
                    "layout.vsoc_device_regions[%u]: is region %s, which snapshot %s does not "
                    "have; leave it out, " OTHERWISE,
                    i, more->regions[i].name, check->restore->name);
    else
        cvd_problem(check->problems,
                    "layout.vsoc_device_regions: has no region %s, which snapshot %s has at [%u]; "
                    "add it as in %s, " OTHERWISE,
                    more->regions[i].name, check->restore->name, i, check->config_path);
    return FALSE;
}

/* Whether regions have a size in the file, or else the place where they end. */
static gboolean has_sizes(const CvdConfig *config)
{
    g_autoptr(JsonNode) layout = cvd_json_from_string(config->layout_text, NULL);
    JsonNode *region = get_element(find(layout, "vsoc_device_regions"), 0);

    return cvd_node_get_member(region, "region_size") != NULL;
}

/* As compare(). @end_key: what says in the file where regions end */
static gboolean compare_region(const Check *check, guint i, const char *end_key, JsonNode *here,
                               JsonNode *there)
{
    const char *const keys[] = {
        "device_name",
        "current_version",
        "min_compatible_version",
        "region_begin_offset",
        end_key,
        "guest_to_host_signal_table.num_nodes_lg2",
        "host_to_guest_signal_table.num_nodes_lg2",
        "managed_by",
    };
    gboolean is_same = TRUE;

    for (gsize k = 0; is_same && k < G_N_ELEMENTS(keys); k++) {
        g_autofree char *path =
            g_strdup_printf("layout.vsoc_device_regions[%u].%s (region %s)", i, keys[k],
                            cvd_node_get_string(find(here, "device_name")));
        is_same = compare(check, path, find(here, keys[k]), find(there, keys[k]));
    }
    return is_same;
}

/* As compare(). Shows the first difference: others often follow from it. */
static gboolean compare_layouts(const Check *check, const CvdConfig *config, const CvdConfig *saved)
{
    g_autofree char *here_text = cvd_layout_to_json(config->layout);
    g_autofree char *there_text = cvd_layout_to_json(saved->layout);
    g_autoptr(JsonNode) here = cvd_json_from_string(here_text, NULL);
    g_autoptr(JsonNode) there = cvd_json_from_string(there_text, NULL);
    const char *end_key = has_sizes(config->layout_text != NULL ? config : saved)
                              ? "region_size"
                              : "region_end_offset";
    gboolean is_same =
        compare_key(check, "window.hugepages") &&
        compare_names(check, config->layout, saved->layout) &&
        compare(check, "layout.vsoc_region_desc_offset", find(here, "vsoc_region_desc_offset"),
                find(there, "vsoc_region_desc_offset"));

    for (guint i = 0; is_same && i < config->layout->n_regions; i++)
        is_same = compare_region(check, i, end_key, get_element(find(here, "regions"), i),
                                 get_element(find(there, "regions"), i));
    if (!is_same || config->layout->window_size == saved->layout->window_size)
        return is_same;
    return compare_key(check, "window.size") &&
           compare(check, "layout.size", find(here, "window_size"), find(there, "window_size"));
}

static void report_layout(const Check *check, const CvdConfig *config)
{
    CvdConfigSource source = cvd_restore_get_source(check->restore, check->config_path);
    g_autoptr(CvdConfig) saved = cvd_config_load(&source, check->problems);

    if (saved != NULL && compare_layouts(check, config, saved))
        cvd_problem(check->problems,
                    "layout: cvd-launch %s makes another window of it than %s did, which took "
                    "snapshot %s; use that version, or take the snapshot anew",
                    CVD_VERSION, check->restore->info->product_version, check->restore->name);
}

static void check_layout(const Check *check, const CvdConfig *config)
{
    g_autofree char *here = cvd_layout_digest(config->layout);

    if (strcmp(here, check->restore->info->layout_digest) != 0)
        report_layout(check, config);
}

/* ---- Disks ---- */

static gboolean has_blockdev(const CvdConfig *config, const char *node_name)
{
    for (char **text = config->qemu.blockdevs; *text != NULL; text++) {
        g_autoptr(JsonNode) node = cvd_json_from_string(*text, NULL);
        if (g_strcmp0(cvd_node_get_string(cvd_node_get_member(node, "node-name")), node_name) == 0)
            return TRUE;
    }
    return FALSE;
}

static void check_disks(const Check *check, const CvdConfig *config)
{
    const GPtrArray *disks = check->restore->info->disks;

    for (guint i = 0; i < disks->len; i++)
        if (!has_blockdev(config, g_ptr_array_index(disks, i)))
            cvd_problem(check->problems,
                        "qemu.blockdevs: has no \"node-name\" \"%s\", which snapshot %s has as a "
                        "disk; add it as in %s, " OTHERWISE,
                        (const char *)g_ptr_array_index(disks, i), check->restore->name,
                        check->config_path);
}

/* ---- All of it ---- */

/* What the snapshot says of itself. */
static void check_metadata(const Check *check, const CvdConfig *config)
{
    guint64 saved = check->restore->info->memory_bytes;
    g_autofree char *here = cvd_format_size(config->qemu.memory_bytes);
    g_autofree char *there = cvd_format_size(saved);

    if (!config->ivshmem_migratable)
        report(check, "ivshmem.migratable", "false", "true");
    if (config->qemu.memory_bytes != saved)
        report(check, "qemu.memory", here, there);
}

gboolean cvd_restore_check(const CvdRestore *restore, const CvdConfig *config, GPtrArray *problems)
{
    guint n_before = problems->len;
    g_autofree char *path = cvd_restore_get_config_path(restore);
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) here = cvd_keys_print(cvd_keys, config);
    g_autoptr(JsonNode) there = cvd_json_load(path, restore->config_opened, NULL, NULL, &error);
    const Check check = {restore, path, here, there, problems};

    if (there != NULL)
        compare_all(&check, config);
    else
        cvd_problem(problems, "%s", error->message);
    check_metadata(&check, config);
    if (there != NULL && config->layout != NULL)
        check_layout(&check, config);
    check_disks(&check, config);
    return problems->len == n_before;
}
